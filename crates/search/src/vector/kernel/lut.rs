//! The tables by which a one-bit scan looks codes up.
//!
//! A table has the sum of a query's elements over every subset of a few dimensions, shifted by the
//! absolute values of the negative ones so that it is a byte. There are two arrangements of the same
//! codes, which give the same sums: tables of 16 over the four dimensions of half a byte, for
//! shuffles of 16 bytes; and tables of 64 over six dimensions, for shuffles of 64 bytes. The latter
//! take three bytes at a time: the lower six bits of each are three indices, the upper two bits
//! of all three are the fourth. One or two bytes left over take two tables each.

use super::AlignedBytes;

/// The tables of one query.
#[derive(Debug)]
pub(crate) struct Lut {
    tables: AlignedBytes,
    code_bytes: usize,
}

impl Lut {
    /// Space for a query against codes of `code_bytes` bytes.
    pub(crate) fn new(code_bytes: usize) -> Self {
        // Six dimensions a table take 256 bytes for three bytes of code; 128 for a byte left over.
        Self { tables: AlignedBytes::zeroed(code_bytes * 128), code_bytes }
    }

    pub(crate) fn code_bytes(&self) -> usize {
        self.code_bytes
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.tables.as_slice()
    }

    /// Two tables of 16 for each byte: its lower half, then its upper half.
    pub(super) fn fill_nibbles(&mut self, query: &[i16]) {
        assert_eq!(query.len(), self.code_bytes * 8, "eight dimensions a byte");
        let tables = self.tables.as_mut_slice();
        for (table, dims) in tables.chunks_exact_mut(16).zip(query.chunks_exact(4)) {
            fill(table, dims);
        }
    }

    /// Four tables of 64 for every three bytes, two for each one left over.
    #[cfg(test)]
    pub(super) fn fill_sixes(&mut self, query: &[i16]) {
        self.fill_sixes_by(query, fill);
    }

    /// The same, each table filled by `fill`.
    #[cfg(any(test, target_arch = "x86_64"))]
    #[inline(always)]
    pub(super) fn fill_sixes_by(&mut self, query: &[i16], fill: impl Fn(&mut [u8], &[i16])) {
        assert_eq!(query.len(), self.code_bytes * 8, "eight dimensions a byte");
        let tables = self.tables.as_mut_slice();
        let triples = query.chunks_exact(24);
        let rest = triples.remainder();
        let (of_triples, of_rest) = tables.split_at_mut(query.len() / 24 * 256);
        for (four, dims) in of_triples.chunks_exact_mut(256).zip(triples) {
            fill(&mut four[..64], &dims[0..6]);
            fill(&mut four[64..128], &dims[8..14]);
            fill(&mut four[128..192], &dims[16..22]);
            let upper = [dims[6], dims[7], dims[14], dims[15], dims[22], dims[23]];
            fill(&mut four[192..], &upper);
        }
        for (two, dims) in of_rest.chunks_exact_mut(128).zip(rest.chunks_exact(8)) {
            fill(&mut two[..64], &dims[0..6]);
            fill(&mut two[64..], &dims[6..8]);
        }
    }
}

/// The sums over all subsets of `dims`, repeated to the length of the table.
///
/// Arithmetic on bytes wraps on the way and is right at the end, as each sum fits.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sums are taken modulo 256, and each is known to fit a byte"
)]
fn fill(table: &mut [u8], dims: &[i16]) {
    table[0] = dims.iter().map(|q| (-q).max(0)).sum::<i16>() as u8;
    let mut filled = 1;
    for &q in dims {
        let (from, to) = table.split_at_mut(filled);
        for (to, from) in to.iter_mut().zip(from) {
            *to = from.wrapping_add(q as u8);
        }
        filled *= 2;
    }
    while filled < table.len() {
        table.copy_within(0..filled, filled);
        filled *= 2;
    }
}

/// The greatest sum of absolute values that any addition of bytes makes, in either arrangement.
pub(crate) fn greatest_pair(query: &[f32]) -> f32 {
    let sum = |dims: &[f32]| dims.iter().map(|q| q.abs()).sum::<f32>();
    let by_byte = query.chunks(8).map(sum).fold(0.0, f32::max);
    let by_pair = query.chunks_exact(24).map(|dims| {
        let first = sum(&dims[0..6]) + sum(&dims[8..14]);
        (sum(dims) - first).max(first)
    });
    by_pair.fold(by_byte, f32::max)
}
