//! Bytes as a frame header, a segment header and the payload of every kind of frame: nothing, or
//! something that encodes to those very bytes.

use base::words::DatabaseId;
use wal::frame::{HEADER_BYTES, Header, Kind, Place, Seed, seal};
use wal::{payload, segment};

/// The database and segment that the input is decoded for.
fn seed() -> Seed {
    Seed::new(DatabaseId::from_bytes([7; 16]), 1)
}

/// One input.
pub fn run(data: &[u8]) {
    if let Some(bytes) = data.first_chunk::<HEADER_BYTES>() {
        header(*bytes);
        // With a checksum that fits, so that what is behind the checksum is reached too.
        let mut sealed = *bytes;
        let hint = u64::from_le_bytes(*bytes[16..].first_chunk().expect("the header is longer"));
        seal(&mut sealed, base::words::Lsn(hint), seed());
        header(sealed);
    }
    if let Some(bytes) = data.first_chunk::<{ segment::HEADER_BYTES }>() {
        let mut forged = *bytes;
        let crc = crc32c::crc32c(&forged[..124]);
        forged[124..].copy_from_slice(&crc.to_le_bytes());
        for bytes in [bytes, &forged] {
            if let Ok(header) = segment::Header::decode_any(bytes) {
                let again = segment::Header::decode_any(&header.encode());
                assert_eq!(again, Ok(header), "a header does not survive its own encoding");
            }
        }
    }
    for number in 0..=u8::MAX {
        let Some(kind) = Kind::from_number(number) else { continue };
        if let Some(change) = payload::decode(kind, data) {
            let mut again = Vec::new();
            assert_eq!(payload::encode(&change, &mut again), kind);
            assert_eq!(again, data, "two encodings of one change");
        }
        let _ = payload::decode_key(kind, data);
    }
    let _ = payload::decode_lsn(data);
}

fn header(bytes: [u8; HEADER_BYTES]) {
    if let Some(header) = Header::decode(&bytes, seed()) {
        let mut again = header.encode();
        seal(&mut again, header.hint, seed());
        assert_eq!(Header::decode(&again, seed()), Some(header));
        assert!(header.tx_first() <= header.lsn);
        assert!(header.frame_bytes() >= HEADER_BYTES);
    }
}

/// A header, a segment header and payloads.
pub fn seeds() -> Vec<Vec<u8>> {
    let header = Header {
        len: 9,
        lsn: base::words::Lsn(5),
        hint: base::words::Lsn(4),
        wall_ms: 1,
        kind: Kind::Put,
        place: Place::Last,
        tx_index: 0,
        payload_crc: 1,
    };
    let mut sealed = header.encode().to_vec();
    seal(&mut sealed, header.hint, seed());
    let mut seeds = vec![sealed];
    seeds.extend(crate::wal_log::seeds().into_iter().map(|log| log[..128].to_vec()));
    for change in crate::wal_log::changes() {
        let mut bytes = Vec::new();
        payload::encode(&change, &mut bytes);
        seeds.push(bytes);
    }
    seeds
}
