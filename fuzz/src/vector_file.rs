//! Bytes as a vector index file: a clear error, or an index that can be searched and loaded.
//!
//! Checksums of the header and the head are made to fit, so that mutations reach the rules behind
//! them.

use std::io;
use std::ops::Range;

use search::vector::{
    Effort, Element, Kernels, Metric, Options, ReadRanges, Request, Rows, VectorFile, VectorIndex,
    Written,
};

const IDENTITY: [u8; 16] = [7; 16];
const HEADER_BYTES: usize = 128;

/// A file in memory.
#[derive(Debug)]
struct Bytes(Vec<u8>);

impl ReadRanges for Bytes {
    fn read(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Vec<u8>>> {
        let part = |range: &Range<u64>| {
            let (from, to) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
            self.0.get(from..to).map(<[u8]>::to_vec)
        };
        ranges.iter().map(|range| part(range).ok_or(io::ErrorKind::UnexpectedEof.into())).collect()
    }
}

/// One input: as it is, and with checksums that fit.
pub fn run(data: &[u8]) {
    open(data.to_vec());
    if let Some(forged) = forged(data) {
        open(forged);
    }
}

fn open(bytes: Vec<u8>) {
    let written = Written { len: bytes.len() as u64, head_bytes: HEADER_BYTES as u64 };
    let Ok(file) = VectorFile::open(Bytes(bytes), &IDENTITY, written, Kernels::best()) else {
        return;
    };
    let mut space = file.space();
    for effort in [Effort::Recall(0.9), Effort::Clusters(usize::MAX)] {
        // The dimension of the file is not told; that of the seeds is this one.
        let request = Request { k: 3, effort, filter: None };
        if let Ok(hits) = file.search(&[0.5; 9], &request, &mut space) {
            assert!(hits.iter().all(|hit| (hit.row as usize) < file.len()));
        }
    }
    if let Ok((index, _)) = file.load() {
        assert_eq!(index.len(), file.len());
    }
}

/// The input with the checksums of header and head, and the length that the header tells, set right, as
/// `docs/formats/vectors.md` says.
fn forged(data: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = data.to_vec();
    let len = (data.len() as u64).to_le_bytes();
    bytes.get_mut(16..32)?.copy_from_slice(&IDENTITY);
    bytes.get_mut(56..64)?.copy_from_slice(&len);
    let sum = checksum(0, bytes.get(..HEADER_BYTES - 4)?);
    bytes.get_mut(HEADER_BYTES - 4..HEADER_BYTES)?.copy_from_slice(&sum);
    let number = |at: usize| {
        let four = data.get(at..at + 4)?.try_into().ok()?;
        Some(u64::from(u32::from_le_bytes(four)))
    };
    let dims = number(12)?.next_multiple_of(8).max(64);
    let (clusters, points) = (number(36)?, number(40)?);
    let codes = clusters.next_multiple_of(16).checked_mul(dims)?;
    let head = codes.checked_add(points * 12 + clusters * 20)?;
    let end = HEADER_BYTES.checked_add(usize::try_from(head).ok()?)?;
    let sum = checksum(1, bytes.get(HEADER_BYTES..end)?);
    bytes.get_mut(end..end + 4)?.copy_from_slice(&sum);
    Some(bytes)
}

fn checksum(kind: u8, bytes: &[u8]) -> [u8; 4] {
    let crc = crc32c::crc32c(&IDENTITY);
    let crc = crc32c::crc32c_append(crc, &[kind, 0, 0, 0, 0]);
    crc32c::crc32c_append(crc, bytes).to_le_bytes()
}

/// Small files of every metric and element.
pub fn seeds() -> Vec<Vec<u8>> {
    let cases = [
        (Element::F32, Metric::Cosine, 4),
        (Element::F16, Metric::Dot, 0),
        (Element::I8, Metric::EuclideanSquared, 7),
    ];
    let file = |(element, metric, extra_bits): (Element, Metric, u8)| {
        // Bytes that are finite numbers whatever they are taken for.
        let bytes: Vec<u8> = (0..9 * 20 * element.bytes()).map(|at| (at * 7 % 59) as u8).collect();
        let rows = Rows::new(element, 9, &bytes).expect("whole rows");
        let options =
            Options { extra_bits: Some(extra_bits), clusters: Some(3), ..Options::new(metric) };
        let index = VectorIndex::build(&options, rows).expect("an index");
        let mut out = Vec::new();
        index.write(rows, &IDENTITY, &mut out).expect("space in memory");
        out
    };
    cases.into_iter().map(file).collect()
}
