//! Records survive being written and read, and damaged ones are refused.

#![expect(clippy::indexing_slicing, reason = "a test may panic")]
use base::words::DatabaseId;
use proptest::prelude::*;

use super::*;
use crate::location::FileNumber;

fn seed(at: u32) -> Seed {
    Seed::new(identity(), at)
}

fn identity() -> FileIdentity {
    FileIdentity { database: DatabaseId::from_bytes([7; 16]), number: FileNumber(1) }
}

fn encode(record: &RecordRef<'_>) -> Vec<u8> {
    encode_record(record, identity(), 64)
}

fn decode(bytes: &[u8], at: u32) -> Result<(RecordHeader, Option<Document>), Flaw> {
    decode_record(bytes, identity(), at)
}

fn ids() -> [DocId; 4] {
    let text = DocId::string(&"ß".repeat(32)).unwrap();
    [DocId::U64(0), DocId::U64(u64::MAX), DocId::Uuid(uuid::Uuid::from_u128(5)), text]
}

#[test]
fn records_come_back_as_they_were_written_in_their_own_place_only() {
    let text = |n: usize| Document::from_checksummed(format!("\"{}\"", "ab".repeat(n)).as_bytes());
    for id in &ids() {
        for document in [text(0), text(100), text(40_000)] {
            for expires_at in [None, Some(WallMs(0)), Some(WallMs(u64::MAX))] {
                for lsn in [Lsn(1), Lsn(u64::MAX)] {
                    let body = Body::Document { document: &document, expires_at };
                    let collection = CollectionId(u32::MAX);
                    let bytes = encode(&RecordRef { collection, id, lsn, body });
                    assert_eq!(bytes.len() % ALIGN, 0);
                    let (header, found) = decode(&bytes, 64).unwrap();
                    assert_eq!(found.as_ref(), Some(&document));
                    assert_eq!((header.collection, &header.id), (collection, id));
                    assert_eq!((header.lsn, header.expires_at), (lsn, expires_at));
                    assert_eq!(decode(&bytes, 72), Err(Flaw::Checksum));
                }
            }
        }
        let (collection, lsn) = (CollectionId(0), Lsn(9));
        let bytes = encode(&RecordRef { collection, id, lsn, body: Body::Tombstone });
        let (header, found) = decode(&bytes, 64).unwrap();
        assert_eq!((header.kind, header.expires_at, found), (Kind::Tombstone, None, None));
    }
}

#[test]
fn a_record_of_a_numbered_document_takes_at_most_32_bytes_more_than_its_payload() {
    let document = Document::from_checksummed(&[b'1'; 100]);
    let id = DocId::U64(u64::MAX);
    // A billion collections, 2^42 changes, and no expiry.
    let (collection, lsn) = (CollectionId(1 << 30), Lsn(1 << 42));
    let body = Body::Document { document: &document, expires_at: None };
    let bytes = encode(&RecordRef { collection, id: &id, lsn, body });
    assert!(bytes.len() <= 100 + 32 + 7, "{} bytes with the zeros", bytes.len());
    let Ok(Unit::Record(frame)) = parse(&bytes) else { panic!("a record") };
    assert!(frame.header_bytes <= 32, "{} bytes", frame.header_bytes);
}

#[test]
fn text_is_packed_only_when_that_saves_an_eighth() {
    let kind = |text: &[u8]| {
        let document = Document::from_checksummed(text);
        let body = Body::Document { document: &document, expires_at: None };
        let bytes =
            encode(&RecordRef { collection: CollectionId(1), id: &ids()[0], lsn: Lsn(1), body });
        decode(&bytes, 64).unwrap().0.kind
    };
    let mut rng = base::rng::Rng::new(1);
    let noise: Vec<u8> = (0..4096).map(|_| u8::try_from(rng.below(256)).unwrap()).collect();
    assert_eq!(kind(&noise), Kind::Plain { bytes: 4096 });
    assert_eq!(kind(&[b'1'; 255]), Kind::Plain { bytes: 255 });
    assert!(matches!(kind(&[b'1'; 256]), Kind::Lz4 { bytes: 256, stored: ..=224 }));
    assert!(matches!(kind(&vec![b'1'; DOCUMENT_BYTES_MAX]), Kind::Lz4 { .. }));
}

#[test]
fn an_encoder_does_not_keep_the_memory_of_a_long_record() {
    let mut encoder = Encoder::default();
    let mut encode = |bytes: usize| {
        let document = Document::from_checksummed(&vec![b'1'; bytes]);
        let body = Body::Document { document: &document, expires_at: None };
        let (collection, lsn) = (CollectionId(1), Lsn(1));
        encoder.encode(&RecordRef { collection, id: &ids()[0], lsn, body }, seed(64));
        encoder.record.capacity() + encoder.block.capacity()
    };
    assert!(encode(DOCUMENT_BYTES_MAX) > DOCUMENT_BYTES_MAX);
    assert!(encode(300) <= 2 * Encoder::KEPT_BYTES_MAX);
}

#[test]
fn every_flipped_bit_of_a_record_is_noticed_in_its_zeros_too() {
    let document = Document::from_checksummed(&[b'7'; 300]);
    for body in
        [Body::Tombstone, Body::Document { document: &document, expires_at: Some(WallMs(5)) }]
    {
        let good =
            encode(&RecordRef { collection: CollectionId(1), id: &ids()[3], lsn: Lsn(3), body });
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bad, 64).is_err(), "bit {bit}");
        }
        for cut in 0..good.len() {
            assert!(decode(&good[..cut], 64).is_err(), "cut at {cut}");
        }
    }
}

/// A record by its bytes behind the checksum, sealed.
fn forged(fields: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; CRC_BYTES];
    bytes.extend_from_slice(fields);
    seal(&mut bytes, seed(64));
    bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
    bytes
}

#[test]
fn sealed_records_that_break_a_rule_are_refused_before_memory_is_taken() {
    let id = [9, 1, 0, 0, 0, 0, 0, 0, 0, 1];
    let mut long = Vec::new();
    put_varint(DOCUMENT_BYTES_MAX as u64 + 1, &mut long);
    let cases: [(&str, Vec<u8>); 12] = [
        ("an unknown flag", [&[16, 1, 1, 1], &id[..], b"1"].concat()),
        ("padding and more", [&[PADDING | EXPIRY, 0, 0, 0], &id[..]].concat()),
        ("a tombstone with a payload", [&[TOMBSTONE, 1, 1, 1], &id[..], b"1"].concat()),
        ("a packed tombstone", [&[TOMBSTONE | LZ4, 0, 1, 1, 5], &id[..]].concat()),
        ("a tombstone that expires", [&[TOMBSTONE | EXPIRY, 0, 1, 1, 5], &id[..]].concat()),
        ("no payload", [&[0, 0, 1, 1], &id[..]].concat()),
        ("a payload too long", [&[0], &long[..], &[1, 1], &id[..]].concat()),
        ("a text too long", [&[LZ4, 9, 1, 1], &long[..], &id[..], &[0; 9]].concat()),
        ("a text that grew", [&[LZ4, 1, 1, 1, 0x81, 2], &id[..], &[0]].concat()),
        ("a text that shrank", [&[LZ4, 2, 1, 1, 2], &id[..], &[0; 2]].concat()),
        ("an id of no kind", [&[0, 1, 1, 1, 2, 9, 9][..], b"1"].concat()),
        ("a number written long", [&[0, 0x81, 0, 1, 1], &id[..], b"1"].concat()),
    ];
    for (what, fields) in cases {
        let found = decode(&forged(&fields), 64);
        assert!(matches!(found, Err(Flaw::Malformed(_))), "{what}: {found:?}");
    }
    // The control: the same by hand without a broken rule.
    let good = forged(&[&[0, 1, 1, 1], &id[..], b"1"].concat());
    assert!(decode(&good, 64).is_ok());
    let block = [&[LZ4, 4, 1, 1, 200, 1], &id[..], &[0xFF; 4]].concat();
    let unpacked = decode(&forged(&block), 64);
    assert!(matches!(unpacked, Err(Flaw::Malformed(_))), "{unpacked:?}");
}

#[test]
fn padding_is_only_padding_in_its_place_and_before_zeros() {
    let mut bytes = padding(seed(64)).to_vec();
    bytes.resize(512, 0);
    assert_eq!(parse(&bytes), Ok(Unit::Padding));
    assert_eq!(check_padding(&bytes, seed(64)), Ok(()));
    assert_eq!(check_padding(&bytes, seed(72)), Err(Flaw::Checksum));
    bytes[511] = 1;
    assert_eq!(check_padding(&bytes, seed(64)), Err(Flaw::Checksum));
    assert_eq!(
        parse(&[0; 128]).map(|_| ()),
        Err(Flaw::Malformed("the length of the payload is out of range")),
        "zeros are not a record"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_a_record_or_a_flaw(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok((header, document)) = decode(&forged(&bytes), 64) {
            let body = match &document {
                Some(document) => Body::Document { document, expires_at: header.expires_at },
                None => Body::Tombstone,
            };
            let RecordHeader { collection, ref id, lsn, .. } = header;
            let again = encode(&RecordRef { collection, id, lsn, body });
            prop_assert_eq!(decode(&again, 64).map(|found| found.1), Ok(document));
        }
        let _ = decode(&bytes, 64);
    }
}
