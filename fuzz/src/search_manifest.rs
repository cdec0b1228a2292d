//! Bytes as a manifest of a search index: a clear error, or a manifest that is written as the same bytes again.
//!
//! The length and the checksum are made to fit, so that mutations reach the rules behind them.

use base::clock::WallMs;
use base::rng::Rng;
use base::words::{CollectionId, DatabaseId, Lsn};
use search::manifest::{
    Contents, Dead, Manifest, Place, Segment, SegmentFile, WriterId, decode, encode,
};
use search::storage::Ulid;

const TERM: u64 = 1;
const NUMBER: u64 = 7;
const SUM_BYTES: usize = 4;

fn place() -> Place {
    Place { database: DatabaseId::from_bytes([7; 16]), collection: CollectionId(3) }
}

/// One input: as it is, and with a length and a checksum that fit.
pub fn run(data: &[u8]) {
    read(data);
    if let Some(forged) = forged(data) {
        read(&forged);
    }
}

fn read(bytes: &[u8]) {
    if let Ok(manifest) = decode(place(), TERM, NUMBER, bytes) {
        manifest.contents.check().expect("what is read keeps the rules");
        assert_eq!(encode(&manifest).expect("it can be written"), bytes);
    }
}

/// The input with the length that it tells and the checksum at its end set right.
fn forged(data: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = data.to_vec();
    let len = u32::try_from(bytes.len()).ok()?;
    bytes.get_mut(12..16)?.copy_from_slice(&len.to_le_bytes());
    let at = bytes.len().checked_sub(SUM_BYTES)?;
    let sum = crc32c::crc32c(bytes.get(..at)?);
    bytes.get_mut(at..)?.copy_from_slice(&sum.to_le_bytes());
    Some(bytes)
}

/// Manifests with no segment, one, and several with all there can be.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut rng = Rng::new(1);
    let mut ulid = || Ulid::new(WallMs(1_700_000_000_000), &mut rng);
    let mut segment = |lsn: u64| {
        let file = |name: &str| SegmentFile {
            name: name.to_owned(),
            len: lsn,
            identity: [1; 16],
            opening: vec![2; 3],
        };
        let dead = lsn.is_multiple_of(2).then(|| Dead { id: ulid(), len: 9, rows: 2 });
        let files = vec![file("attrs.idx"), file("text.idx")];
        Segment { id: ulid(), first: Lsn(lsn), last: Lsn(lsn), rows: 5, dead, files }
    };
    let mut seed = |segments: u64| {
        let segments = (1..=segments).map(&mut segment).collect();
        let contents = Contents { applied: Lsn(100), schema: b"{}"[..].into(), segments };
        let (writer, written_at) = (WriterId([4; 16]), WallMs(5));
        let manifest =
            Manifest { place: place(), term: TERM, number: NUMBER, writer, written_at, contents };
        encode(&manifest).expect("a manifest that keeps the rules")
    };
    [0, 1, 4].map(&mut seed).to_vec()
}
