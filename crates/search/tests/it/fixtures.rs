//! Files that an earlier docdb wrote must stay readable. What is under `tests/fixtures` is never written again; a new
//! format version gets files of its own, made by running these tests with `TESTS_WRITE_FIXTURES` set to a directory.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::path::Path;

use base::clock::WallMs;
use base::io::{Disk, Open, RealDisk, read_exact_at, write_all_at};
use base::words::{CollectionId, DatabaseId, Lsn};
use search::manifest::{
    Contents, Dead, Manifest, Place, Segment, SegmentFile, WriterId, decode, encode,
};
use search::storage::Ulid;

fn ulid(text: &str) -> Ulid {
    Ulid::parse(text).unwrap()
}

/// A manifest with all there can be in one.
fn manifest() -> Manifest {
    let file = |name: &str, len, byte, opening: &[u8]| SegmentFile {
        name: name.to_owned(),
        len,
        identity: [byte; 16],
        opening: opening.to_vec(),
    };
    let first = Segment {
        id: ulid("01ARYZ6S41TSV4RRFFQ69G5FAV"),
        first: Lsn(1),
        last: Lsn(1000),
        rows: 900,
        dead: Some(Dead { id: ulid("01ARYZ6S42TSV4RRFFQ69G5FAV"), len: 128, rows: 17 }),
        files: vec![
            file("docs.parquet", 123_456, 1, b""),
            file("vectors-0.ivf", 7_654_321, 2, &[0, 1, 2, 3, 255]),
            file("attrs.idx", 1, 3, b""),
        ],
    };
    let second = Segment {
        id: ulid("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"),
        first: Lsn(1001),
        last: Lsn(1001),
        rows: 1,
        dead: None,
        files: vec![file("text.idx", u64::MAX, 4, b"x")],
    };
    Manifest {
        place: Place {
            database: DatabaseId::from_bytes(*b"sixteen bytes id"),
            collection: CollectionId(42),
        },
        term: 1,
        number: 7,
        writer: WriterId(*b"one of writers.."),
        written_at: WallMs(1_700_000_000_123),
        contents: Contents {
            applied: Lsn(1234),
            schema: b"{\"version\":1}"[..].into(),
            segments: [first, second].into(),
        },
    }
}

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let file = RealDisk.open(&path, Open::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    read_exact_at(&*file, &mut bytes, 0).unwrap();
    bytes
}

#[test]
fn a_manifest_of_version_1_is_read_and_written_as_it_was() {
    let manifest = manifest();
    let bytes = encode(&manifest).unwrap();
    if let Some(dir) = std::env::var_os("TESTS_WRITE_FIXTURES") {
        let file = RealDisk.open(&Path::new(&dir).join("manifest-v1.bin"), Open::CreateNew);
        write_all_at(&*file.unwrap(), &bytes, 0).unwrap();
    }
    let stored = fixture("manifest-v1.bin");
    assert_eq!(decode(manifest.place, 1, 7, &stored).unwrap(), manifest);
    assert_eq!(stored, bytes);
}
