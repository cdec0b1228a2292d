//! A posting list: the rows of one cluster with their codes, as the bytes that a file has too.
//!
//! | part | bytes |
//! |---|---|
//! | header | 64 |
//! | row numbers, ascending | `rows * 4`, padded to 64 |
//! | blocks of 64 rows: one-bit codes, `add`, `rescale` | `⌈rows / 64⌉ * (64 * code_bytes + 512)` |
//! | `add` and `rescale` of the fine code, row by row | `rows * 8`, padded to 64 |
//! | extra bits, row by row | `rows * extra_bytes`, padded to 64 |
//!
//! The first three parts are the *front*, the last two the *back*: a search that reads from a store far
//! away reads fronts alone, and [`List`] may be one. The header matters in files only; see
//! [`super::file`]. A row that is not there, in the last block, has an
//! `add` of infinity, so that no bound keeps it. The extra bits of a row are planes of 4, 2 and 1 bits a
//! dimension, as many as its number of extra bits has ones; see
//! [`Kernels::plane_dot`](super::kernel::Kernels::plane_dot) for the order within one.
//!
//! A list is written once by a [`Builder`] and never changes.

use super::code::{Encoded, Factors};
use super::kernel::{AlignedBytes, BLOCK, Kernels, block_bytes, place};
use super::query::Query;

/// Bytes of the header.
pub(crate) const HEADER_BYTES: usize = 64;

/// Bytes of a list that are worth fetching before it is scanned.
const FRONT_BYTES: usize = 4096;

/// What all lists of an index have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Rotated dimensions; a multiple of 8.
    pub(crate) dims: usize,
    pub(crate) extra_bits: u8,
}

impl Shape {
    pub(crate) fn code_bytes(self) -> usize {
        self.dims / 8
    }

    /// Bytes of the extra bits of one row.
    pub(crate) fn extra_bytes(self) -> usize {
        self.code_bytes() * usize::from(self.extra_bits)
    }

    /// Where the parts of a list of `rows` rows are.
    pub(crate) fn parts(self, rows: usize) -> Parts {
        let blocks = HEADER_BYTES + (rows * 4).next_multiple_of(64);
        let front = blocks + rows.div_ceil(BLOCK) * block_bytes(self.code_bytes());
        let extra = front + (rows * 8).next_multiple_of(64);
        let end = extra + (rows * self.extra_bytes()).next_multiple_of(64);
        Parts { blocks, front, extra, end }
    }
}

/// Where the parts of a list begin; `front` is where the front ends and the back begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) blocks: usize,
    pub(crate) front: usize,
    pub(crate) extra: usize,
    pub(crate) end: usize,
}

/// A posting list.
#[derive(Debug, Clone)]
pub(crate) struct List {
    bytes: AlignedBytes,
    rows: usize,
    shape: Shape,
    parts: Parts,
    summary: Summary,
}

/// What is known of all rows of a list.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Summary {
    /// The greatest spread of a one-bit code.
    pub(crate) coarse_spread: f32,
    /// The greatest spread of a code with its extra bits.
    pub(crate) fine_spread: f32,
    /// The mean squared distance of a row to the centroid.
    pub(crate) mean_squared: f32,
    /// The mean of what a metric adds to the squared distance for a row.
    pub(crate) mean_correction: f32,
}

impl List {
    /// The list, or the front of one, that `bytes` are; the caller has checked length and header.
    pub(crate) fn from_checked(
        bytes: AlignedBytes,
        rows: usize,
        shape: Shape,
        summary: Summary,
    ) -> Self {
        let parts = shape.parts(rows);
        let len = bytes.as_slice().len();
        assert!(len == parts.end || len == parts.front, "a list or the front of one");
        Self { bytes, rows, shape, parts, summary }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Whether there is a back.
    pub(crate) fn is_whole(&self) -> bool {
        self.bytes().len() == self.parts.end
    }

    /// All row numbers, ascending.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.rows).map(|at| self.number(at))
    }

    pub(crate) fn summary(&self) -> &Summary {
        &self.summary
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// The first bytes that a scan reads, as far as fetching them early helps.
    pub(crate) fn front(&self) -> &[u8] {
        let bytes = self.bytes();
        &bytes[self.parts.blocks..self.parts.front.min(self.parts.blocks + FRONT_BYTES)]
    }

    /// Blocks of 64 rows for [`Kernels::scan_block`].
    pub(crate) fn blocks(&self) -> std::slice::ChunksExact<'_, u8> {
        let block = block_bytes(self.shape.code_bytes());
        self.bytes()[self.parts.blocks..self.parts.front].chunks_exact(block)
    }

    /// The number in its segment of the row at `at`.
    #[inline]
    pub(crate) fn number(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.four(HEADER_BYTES + at * 4))
    }

    /// The extra bits of the row at `at`.
    #[inline]
    pub(crate) fn extra(&self, at: usize) -> &[u8] {
        let bytes = self.shape.extra_bytes();
        let from = self.parts.extra + at * bytes;
        &self.bytes()[from..from + bytes]
    }

    /// `add` and `rescale` of the fine code of the row at `at`.
    #[inline]
    pub(crate) fn fine(&self, at: usize) -> (f32, f32) {
        let from = self.parts.front + at * 8;
        (f32::from_le_bytes(self.four(from)), f32::from_le_bytes(self.four(from + 4)))
    }

    /// `add` and `rescale` of the one-bit code of the row at `at`.
    #[inline]
    pub(crate) fn coarse(&self, at: usize) -> (f32, f32) {
        let code_bytes = self.shape.code_bytes();
        let block = self.parts.blocks + at / BLOCK * block_bytes(code_bytes) + code_bytes * BLOCK;
        let add = block + at % BLOCK * 4;
        (f32::from_le_bytes(self.four(add)), f32::from_le_bytes(self.four(add + BLOCK * 4)))
    }

    #[inline]
    fn four(&self, from: usize) -> [u8; 4] {
        let bytes = &self.bytes()[from..from + 4];
        [bytes[0], bytes[1], bytes[2], bytes[3]]
    }

    /// The dot product of the extra bits of the row at `at` with the query's bytes.
    #[inline]
    pub(crate) fn extra_dot(&self, kernels: Kernels, at: usize, query: &Query) -> i32 {
        let code_bytes = self.shape.code_bytes();
        let mut rest = self.extra(at);
        let mut sum = 0;
        for bits in planes(self.shape.extra_bits) {
            let (plane, others) = rest.split_at(code_bytes * usize::from(bits));
            rest = others;
            let dot = match bits {
                4 => kernels.plane_dot::<4>(plane, &query.bytes),
                2 => kernels.plane_dot::<2>(plane, &query.bytes),
                _ => kernels.plane_dot::<1>(plane, &query.bytes),
            };
            // Planes go from the highest bits to the lowest: a shift for each that follows.
            sum = (sum << bits) + dot;
        }
        sum
    }
}

/// The widths of the planes that make up this number of extra bits, the highest bits first.
fn planes(extra_bits: u8) -> impl Iterator<Item = u8> {
    [4, 2, 1].into_iter().filter(move |bits| extra_bits & bits != 0)
}

/// Puts a list together.
#[derive(Debug)]
pub(crate) struct Builder {
    list: List,
    filled: usize,
    squared: f64,
    corrections: f64,
}

impl Builder {
    /// A builder of a list of exactly `rows` rows.
    pub(crate) fn new(shape: Shape, rows: usize) -> Self {
        let mut bytes = AlignedBytes::zeroed(shape.parts(rows).end);
        let parts = shape.parts(rows);
        let code_bytes = shape.code_bytes();
        let blocks = &mut bytes.as_mut_slice()[parts.blocks..parts.front];
        for block in blocks.chunks_exact_mut(block_bytes(code_bytes)) {
            let adds = &mut block[code_bytes * BLOCK..code_bytes * BLOCK + BLOCK * 4];
            for add in adds.chunks_exact_mut(4) {
                add.copy_from_slice(&f32::INFINITY.to_le_bytes());
            }
        }
        let list = List::from_checked(bytes, rows, shape, Summary::default());
        Self { list, filled: 0, squared: 0.0, corrections: 0.0 }
    }

    /// Adds a row, whose squared distance to the centroid is `squared`, and to whose distances the
    /// metric adds `correction`.
    pub(crate) fn push(&mut self, number: u32, squared: f32, correction: f32, encoded: &Encoded) {
        let at = self.filled;
        assert!(at < self.list.rows, "as many rows as the list was made for");
        self.filled += 1;
        self.squared += f64::from(squared);
        self.corrections += f64::from(correction);
        let summary = &mut self.list.summary;
        summary.coarse_spread = summary.coarse_spread.max(encoded.coarse.spread);
        summary.fine_spread = summary.fine_spread.max(encoded.fine.spread);
        let shape = self.list.shape;
        let parts = self.list.parts;
        let bytes = self.list.bytes.as_mut_slice();
        let block_at = parts.blocks + at / BLOCK * block_bytes(shape.code_bytes());
        let block = &mut bytes[block_at..block_at + block_bytes(shape.code_bytes())];
        put_coarse(block, at % BLOCK, shape.code_bytes(), encoded);
        let extra = parts.extra + at * shape.extra_bytes();
        put_extra(&mut bytes[extra..extra + shape.extra_bytes()], shape, &encoded.low);
        let fine = parts.front + at * 8;
        put_factors(&mut bytes[fine..fine + 8], 4, &encoded.fine);
        let from = HEADER_BYTES + at * 4;
        bytes[from..from + 4].copy_from_slice(&number.to_le_bytes());
    }

    /// Adds the row at `at` of a list of the same centroid, by another number: its codes stay as they are. Its distance
    /// to the centroid is not in them, so it counts as the mean of where it comes from.
    pub(crate) fn copy(&mut self, number: u32, from: &List, from_at: usize) {
        let at = self.filled;
        assert!(at < self.list.rows, "as many rows as the list was made for");
        assert_eq!(self.list.shape, from.shape, "codes of one shape");
        self.filled += 1;
        self.squared += f64::from(from.summary.mean_squared);
        self.corrections += f64::from(from.summary.mean_correction);
        let summary = &mut self.list.summary;
        summary.coarse_spread = summary.coarse_spread.max(from.summary.coarse_spread);
        summary.fine_spread = summary.fine_spread.max(from.summary.fine_spread);
        let (shape, to, source) = (self.list.shape, self.list.parts, from.parts);
        let block =
            |parts: &Parts, at: usize| parts.blocks + at / BLOCK * block_bytes(shape.code_bytes());
        let (to_block, from_block) = (block(&to, at), block(&source, from_at));
        let bytes = self.list.bytes.as_mut_slice();
        let from = from.bytes();
        for byte in 0..shape.code_bytes() {
            bytes[to_block + byte * BLOCK + place(at % BLOCK)] =
                from[from_block + byte * BLOCK + place(from_at % BLOCK)];
        }
        let factors = shape.code_bytes() * BLOCK;
        let mut copy = |to: usize, source: usize, len: usize| {
            bytes[to..to + len].copy_from_slice(&from[source..source + len]);
        };
        for part in [factors, factors + BLOCK * 4] {
            let place = |block: usize, at: usize| block + part + at % BLOCK * 4;
            copy(place(to_block, at), place(from_block, from_at), 4);
        }
        copy(to.front + at * 8, source.front + from_at * 8, 8);
        let extra = shape.extra_bytes();
        copy(to.extra + at * extra, source.extra + from_at * extra, extra);
        bytes[HEADER_BYTES + at * 4..][..4].copy_from_slice(&number.to_le_bytes());
    }

    /// The list, once it has all its rows.
    pub(crate) fn finish(self) -> List {
        assert_eq!(self.filled, self.list.rows, "as many rows as the list was made for");
        let mut list = self.list;
        let rows = list.rows.max(1) as f64;
        #[expect(clippy::cast_possible_truncation, reason = "means of values that were f32")]
        let (squared, correction) =
            ((self.squared / rows) as f32, (self.corrections / rows) as f32);
        list.summary.mean_squared = squared;
        list.summary.mean_correction = correction;
        list
    }
}

fn put_coarse(block: &mut [u8], row: usize, code_bytes: usize, encoded: &Encoded) {
    for (byte, signs) in encoded.signs.chunks_exact(8).enumerate() {
        let mut code = 0;
        for (bit, sign) in signs.iter().enumerate() {
            code |= u8::from(*sign) << bit;
        }
        block[byte * BLOCK + place(row)] = code;
    }
    put_factors(&mut block[code_bytes * BLOCK + row * 4..], BLOCK * 4, &encoded.coarse);
}

/// Writes `add`, and `rescale` so many bytes behind it.
fn put_factors(bytes: &mut [u8], apart: usize, factors: &Factors) {
    bytes[..4].copy_from_slice(&factors.add.to_le_bytes());
    bytes[apart..apart + 4].copy_from_slice(&factors.rescale.to_le_bytes());
}

fn put_extra(bytes: &mut [u8], shape: Shape, low: &[u8]) {
    let mut rest = bytes;
    let mut shift = shape.extra_bits;
    for bits in planes(shape.extra_bits) {
        shift -= bits;
        let (plane, others) = rest.split_at_mut(shape.code_bytes() * usize::from(bits));
        rest = others;
        let mask = (1_u8 << bits) - 1;
        let len = plane.len();
        for (part, values) in low.chunks_exact(len).enumerate() {
            let left = usize::from(bits) * part;
            for (code, value) in plane.iter_mut().zip(values) {
                *code |= ((value >> shift) & mask) << left;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::code::Encoder;
    use base::rng::Rng;

    fn random(rng: &mut Rng, dims: usize) -> Vec<f32> {
        (0..dims).map(|_| (rng.below(2001) as f32 - 1000.0) / 1000.0).collect()
    }

    #[test]
    fn what_was_pushed_can_be_read_and_has_its_dot_product() {
        let mut rng = Rng::new(4);
        for extra_bits in 0..=7 {
            for (dims, rows) in [(64, 1), (104, 63), (384, 64), (384, 130)] {
                let shape = Shape { dims, extra_bits };
                let encoder = Encoder::new(dims, extra_bits);
                let (mut grid, mut builder) = (vec![0.0; dims], Builder::new(shape, rows));
                let mut all = Vec::new();
                for row in 0..rows {
                    let residual = random(&mut rng, dims);
                    let mut encoded = encoder.space();
                    let centroid = vec![0.1; dims];
                    let kernels = Kernels::best();
                    encoder.encode(kernels, &residual, &centroid, 0.0, &mut grid, &mut encoded);
                    builder.push(u32::try_from(row * 3).unwrap(), 2.0, 0.5, &encoded);
                    all.push(encoded);
                }
                let list = builder.finish();
                let means = (list.summary().mean_squared, list.summary().mean_correction);
                assert_eq!(means, (2.0, 0.5));
                let mut query = Query::new(dims);
                query.rotated = random(&mut rng, dims);
                query.prepare(Kernels::best());
                for (at, encoded) in all.iter().enumerate() {
                    assert_eq!(list.number(at) as usize, at * 3);
                    assert_eq!(list.fine(at), (encoded.fine.add, encoded.fine.rescale));
                    assert_eq!(list.coarse(at), (encoded.coarse.add, encoded.coarse.rescale));
                    let low = if extra_bits == 0 { &[][..] } else { &encoded.low };
                    let expect: i32 = low
                        .iter()
                        .zip(&query.bytes)
                        .map(|(a, b)| i32::from(*a) * i32::from(*b))
                        .sum();
                    for kernels in Kernels::available() {
                        assert_eq!(list.extra_dot(kernels, at, &query), expect);
                    }
                }
            }
        }
    }

    #[test]
    fn an_empty_list_has_a_header_alone() {
        let list = Builder::new(Shape { dims: 384, extra_bits: 4 }, 0).finish();
        assert_eq!(list.bytes().len(), HEADER_BYTES);
        assert_eq!((list.blocks().count(), list.numbers().count()), (0, 0));
    }
}
