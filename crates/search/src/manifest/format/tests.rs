//! Tests of the bytes of manifests. The fixture of version 1 is in `tests/it/fixtures.rs`.

use base::rng::Rng;

use super::*;

fn place() -> Place {
    Place { database: DatabaseId::from_bytes([0xDB; 16]), collection: CollectionId(42) }
}

fn ulid(ms: u64) -> Ulid {
    Ulid::new(WallMs(ms), &mut Rng::new(ms))
}

fn file(name: &str, opening: &[u8]) -> SegmentFile {
    SegmentFile { name: name.to_owned(), len: 7, identity: [9; 16], opening: opening.to_vec() }
}

fn segment(first: u64, last: u64) -> Segment {
    let files = vec![file("attrs.idx", b""), file("vectors-0.ivf", &[1, 2, 3])];
    Segment { id: ulid(first), first: Lsn(first), last: Lsn(last), rows: 10, dead: None, files }
}

fn manifest() -> Manifest {
    let dead = Dead { id: ulid(77), len: 99, rows: 3 };
    let segments = vec![segment(1, 5), Segment { dead: Some(dead), ..segment(6, 6) }];
    let contents =
        Contents { applied: Lsn(9), schema: b"schema"[..].into(), segments: segments.into() };
    let (writer, written_at) = (WriterId([5; 16]), WallMs(1_700_000_000_000));
    Manifest { place: place(), term: 1, number: 12, writer, written_at, contents }
}

fn read(bytes: &[u8]) -> Result<Manifest, ManifestError> {
    decode(place(), 1, 12, bytes)
}

/// The length and the checksum of some bytes set right.
fn forged(mut bytes: Vec<u8>) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).unwrap();
    bytes[12..16].copy_from_slice(&len.to_le_bytes());
    let at = bytes.len() - SUM_BYTES;
    let sum = crc32c::crc32c(&bytes[..at]);
    bytes[at..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

#[test]
fn a_manifest_comes_back_as_it_was() {
    let empty = Manifest {
        contents: Contents { applied: Lsn::ZERO, schema: [].into(), segments: [].into() },
        ..manifest()
    };
    for manifest in [manifest(), empty] {
        assert_eq!(read(&encode(&manifest).unwrap()).unwrap(), manifest);
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_found() {
    let bytes = encode(&manifest()).unwrap();
    for at in 0..bytes.len() {
        assert!(read(&bytes[..at]).is_err(), "cut at {at}");
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            assert!(read(&damaged).is_err(), "bit {bit} of byte {at}");
        }
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(read(&longer).is_err());
    assert!(read(&forged(longer)).is_err(), "bytes are left over");
}

#[test]
fn any_bytes_with_a_checksum_that_fits_are_read_or_refused() {
    let bytes = encode(&manifest()).unwrap();
    let mut rng = Rng::new(1);
    for _ in 0..20_000 {
        let mut mutated = bytes.clone();
        for _ in 0..=rng.index(4) {
            let at = 16 + rng.index(mutated.len() - 16);
            mutated[at] = u8::try_from(rng.below(256)).unwrap();
        }
        if let Ok(manifest) = read(&forged(mutated.clone())) {
            assert_eq!(encode(&manifest).unwrap(), forged(mutated));
        }
    }
}

#[test]
fn a_manifest_at_the_wrong_place_is_refused() {
    let bytes = encode(&manifest()).unwrap();
    let other = Place { collection: CollectionId(43), ..place() };
    let copy = Place { database: DatabaseId::from_bytes([1; 16]), ..place() };
    for (place, term, number) in [(place(), 1, 13), (place(), 2, 12), (other, 1, 12), (copy, 1, 12)]
    {
        let error = decode(place, term, number, &bytes).unwrap_err();
        assert!(matches!(
            error,
            ManifestError::Damaged { what: "it belongs to another place", .. }
        ));
    }
}

#[test]
fn a_later_version_is_told_from_damage() {
    let mut bytes = encode(&manifest()).unwrap();
    bytes[8] = 2;
    let error = read(&bytes).unwrap_err();
    assert!(matches!(error, ManifestError::Version { version: 2, supported: 1, .. }), "{error}");
}

#[test]
fn contents_that_break_a_rule_are_neither_written_nor_read() {
    type Breaks = fn(&mut Vec<Segment>);
    let broken: [(&str, Breaks); 12] = [
        ("overlap", |s| s[1].first = Lsn(5)),
        ("wrong order", |s| s.swap(0, 1)),
        ("ahead", |s| s[1].last = Lsn(10)),
        ("first after last", |s| s[0].first = Lsn(6)),
        ("no rows", |s| s[0].rows = 0),
        ("no files", |s| s[0].files.clear()),
        ("too many files", |s| s[0].files = (0..33).map(|n| file(&n.to_string(), b"")).collect()),
        ("same file", |s| s[0].files[1].name = "attrs.idx".to_owned()),
        ("a path", |s| s[0].files[0].name = "../x".to_owned()),
        ("kept name", |s| s[0].files[0].name = "dead-x".to_owned()),
        ("more dead than rows", |s| s[1].rows = 2),
        ("same id", |s| s[1].id = s[0].id),
    ];
    for (what, breaks) in broken {
        let mut manifest = manifest();
        let mut segments = manifest.contents.segments.to_vec();
        breaks(&mut segments);
        manifest.contents.segments = segments.into();
        let error = encode(&manifest).unwrap_err();
        assert!(matches!(error, ManifestError::Invalid { .. }), "{what}: {error}");
    }
}
