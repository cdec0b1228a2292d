//! Bytes as a record and as the header of a data file: nothing, or something that encodes to a
//! record that says the same.

use base::clock::WallMs;
use base::document::Document;
use base::words::{CollectionId, DatabaseId, DocId, Lsn};
use docstore::FileNumber;
use docstore::data::{
    Body, FileHeader, FileIdentity, HEADER_BYTES, RecordRef, StoredRecord, decode_record,
    encode_record,
};

/// Where the input is said to stand.
const OFFSET: u32 = 64;

pub(crate) fn identity() -> FileIdentity {
    FileIdentity { database: DatabaseId::from_bytes([7; 16]), number: FileNumber(1) }
}

/// Start value of a checksum, as `docs/formats/data.md` says.
pub(crate) fn seed(at: u32) -> u32 {
    let crc = crc32c::crc32c(identity().database.as_bytes());
    let crc = crc32c::crc32c_append(crc, &identity().number.0.to_le_bytes());
    crc32c::crc32c_append(crc, &at.to_le_bytes())
}

/// One input: as it is, and with a checksum that fits all of it.
pub fn run(data: &[u8]) {
    record(data);
    if let Some((_, rest)) = data.split_first_chunk::<4>() {
        let crc = crc32c::crc32c_append(seed(OFFSET), rest).to_le_bytes();
        let mut sealed = [&crc, rest].concat();
        sealed.resize(sealed.len().next_multiple_of(8), 0);
        record(&sealed);
    }
    if let Some(bytes) = data.first_chunk::<HEADER_BYTES>() {
        let mut sealed = *bytes;
        let crc = crc32c::crc32c(&sealed[..HEADER_BYTES - 4]);
        sealed[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        for bytes in [bytes, &sealed] {
            if let Ok(header) = FileHeader::decode(bytes) {
                assert_eq!(header.encode(), *bytes, "two encodings of one header");
            }
        }
    }
}

fn record(bytes: &[u8]) {
    let Ok((header, document)) = decode_record(bytes, identity(), OFFSET) else { return };
    let location = docstore::Location { file: identity().number, offset: OFFSET };
    let found = StoredRecord { location, disk_bytes: 0, header, document };
    let again = found.as_ref().expect("a record is decoded with its document");
    let encoded = encode_record(&again, identity(), OFFSET);
    let (header, document) = decode_record(&encoded, identity(), OFFSET).expect("just encoded");
    assert_eq!(document, found.document);
    // Another packer may have packed what ours does not: all else is the same.
    let same = (header.collection, header.lsn, header.expires_at, &header.id);
    let before = &found.header;
    assert_eq!(same, (before.collection, before.lsn, before.expires_at, &before.id));
    assert!(decode_record(bytes, identity(), OFFSET + 8).is_err(), "it verifies elsewhere too");
}

/// Records of all kinds.
pub fn seeds() -> Vec<Vec<u8>> {
    let long = format!("\"{}\"", "abcd".repeat(200));
    let documents = [&b"1"[..], br#"{"a":[1,2.50]}"#, long.as_bytes()];
    let documents = documents.map(|text| Document::parse(text).expect("it is JSON"));
    let mut bodies = vec![Body::Tombstone];
    for document in &documents {
        for expires_at in [None, Some(WallMs(1_700_000_000_000))] {
            bodies.push(Body::Document { document, expires_at });
        }
    }
    let mut seeds = Vec::new();
    for id in &[DocId::U64(7), DocId::string("a name").expect("short")] {
        for body in &bodies {
            let (collection, lsn) = (CollectionId(300), Lsn(70_000));
            let record = RecordRef { collection, id, lsn, body: *body };
            seeds.push(encode_record(&record, identity(), OFFSET));
        }
    }
    seeds.push(FileHeader { identity: identity(), layout: Default::default() }.encode().to_vec());
    seeds
}
