//! The inner loops, each written for several instruction sets, and the choice among them.
//!
//! This is the only module of the crate with unsafe code. A [`Kernels`] names an instruction set that
//! this machine was seen to have; its methods check lengths, so that the loops need not.
//!
//! **All levels give the same bits.** Sums of integers are exact. Sums of floats are taken in one
//! order everywhere: sixteen partial sums, element `i` going to sum `i % 16` by a fused
//! multiply-add, folded by halves at the end. An index is therefore the same whichever machine
//! built it, and tests compare every level with [`scalar`] bit by bit.
//!
//! Start with [`Kernels::scan_block`]: the loop where a query spends its time.

mod aligned;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod lut;
mod scalar;
#[cfg(test)]
mod tests;

pub(crate) use aligned::AlignedBytes;
pub(crate) use lut::{Lut, greatest_pair};

/// Rows in a block of one-bit codes.
pub(crate) const BLOCK: usize = 64;
/// Centroids in a panel of the matrix product.
pub(crate) const PANEL: usize = 32;
/// Rows that the matrix product takes at a time.
pub(crate) const STRIP: usize = 8;
/// Centroids in a group of byte codes.
pub(crate) const GROUP: usize = 16;
/// Partial sums of a sum of floats.
const LANES: usize = 16;
/// What a query's bytes are followed by, so that a loop may read past them.
pub(crate) const QUERY_PADDING: usize = 64;

/// How raw vectors are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Element {
    /// 32-bit floats.
    F32,
    /// 16-bit floats (IEEE 754 binary16).
    F16,
    /// Signed bytes, taken as the integers they are.
    I8,
}

impl Element {
    /// Bytes of one element.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::I8 => 1,
        }
    }
}

/// From a sum of a one-bit scan to a lower bound of the distance:
/// `add + rescale * (base - step * sum)`, which is kept when it is at most `limit`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) base: f32,
    pub(crate) step: f32,
    pub(crate) limit: f32,
}

/// A dot product with a stored row, and what else one pass over it gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Dot {
    /// Of the query and the row.
    pub(crate) dot: f32,
    /// Of the row with itself.
    pub(crate) norm: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// An instruction set that this machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernels {
    // Private: that a level is named here is the proof that its instructions exist.
    level: Level,
}

/// Calls the function of the chosen level.
macro_rules! dispatch {
    ($self:expr, $function:ident $(::<$bits:ident>)? ( $($argument:expr),* )) => {
        match $self.level {
            Level::Scalar => scalar::$function$(::<$bits>)?($($argument),*),
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "calls a function of an instruction set")]
            // SAFETY: `Level::Avx2` is made only by `available`, after it saw the features.
            Level::Avx2 => unsafe { avx2::$function$(::<$bits>)?($($argument),*) },
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "calls a function of an instruction set")]
            // SAFETY: `Level::Avx512` is made only by `available`, after it saw the features.
            Level::Avx512 => unsafe { avx512::$function$(::<$bits>)?($($argument),*) },
        }
    };
}

impl Kernels {
    /// The best that this machine has.
    #[must_use]
    pub fn best() -> Self {
        Self::available().last().copied().unwrap_or_else(Self::scalar)
    }

    /// Plain code, on every machine.
    #[must_use]
    pub const fn scalar() -> Self {
        Self { level: Level::Scalar }
    }

    /// All that this machine has, the best last.
    #[must_use]
    pub fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "nothing to add"))]
        let mut found = vec![Self::scalar()];
        #[cfg(target_arch = "x86_64")]
        {
            let has_avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            if has_avx2 {
                found.push(Self { level: Level::Avx2 });
            }
            let has_avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vbmi")
                && is_x86_feature_detected!("avx512vnni");
            if has_avx2 && has_avx512 {
                found.push(Self { level: Level::Avx512 });
            }
        }
        found
    }

    /// The name of the instruction set.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.level {
            Level::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
        }
    }

    /// The tables by which [`scan_block`](Self::scan_block) looks codes up, for a query in integers.
    pub(crate) fn lut(self, query: &[i16], lut: &mut Lut) {
        match self.level {
            Level::Scalar => lut.fill_nibbles(query),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => lut.fill_nibbles(query),
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "calls a function of an instruction set")]
            // SAFETY: `Level::Avx512` is made only by `available`, after it saw the features.
            Level::Avx512 => unsafe { avx512::fill_lut(query, lut) },
        }
    }

    /// Sums a query over one block of one-bit codes and says which rows stay within the bound.
    ///
    /// `block` is `code_bytes * 64` bytes of codes, then 64 `add` and 64 `rescale`, as f32 of
    /// little-endian bytes. Byte `j * 64 + place(v)` has dimensions `8 * j ..` of row `v`, where
    /// `place(v)` is `2 * v` for the first 32 rows and `2 * (v - 32) + 1` for the others: the even
    /// and the odd bytes of a register, which are summed apart, are then rows in their order.
    /// `sums[v]` becomes the sum of the query's elements where row `v` has a bit, plus that of the
    /// absolute values of its negative elements, which makes it a sum of what is not negative.
    pub(crate) fn scan_block(
        self,
        block: &[u8],
        code_bytes: usize,
        lut: &Lut,
        bound: &Bound,
        sums: &mut [u32; BLOCK],
    ) -> u64 {
        assert_eq!(block.len(), block_bytes(code_bytes), "a block and its factors");
        assert_eq!(lut.code_bytes(), code_bytes, "tables of a query of other dimensions");
        dispatch!(self, scan_block(block, code_bytes, lut.bytes(), bound, sums))
    }

    /// The integer dot product of a plane of codes of `BITS` = 1, 2 or 4 bits with a query in bytes.
    ///
    /// A plane of `n` bytes has `8 / BITS` codes in each; code `k` of byte `j` belongs to element
    /// `k * n + j` of the query, which goes on with zeros for [`QUERY_PADDING`] after the last.
    pub(crate) fn plane_dot<const BITS: usize>(self, plane: &[u8], query: &[i8]) -> i32 {
        assert!(query.len() >= plane.len() * (8 / BITS) + QUERY_PADDING, "a padded query");
        dispatch!(self, plane_dot::<BITS>(plane, query))
    }

    /// Dot products of a query in bytes with groups of 16 centroids in unsigned bytes.
    ///
    /// Within a group, byte `64 * g + 4 * c + i` is element `4 * g + i` of centroid `c`.
    pub(crate) fn byte_dots(self, groups: &[u8], query: &[i8], out: &mut [i32]) {
        let dims = query.len();
        assert!(dims.is_multiple_of(4) && out.len().is_multiple_of(GROUP), "whole groups");
        assert_eq!(groups.len(), dims * out.len(), "one sum for each centroid");
        dispatch!(self, byte_dots(groups, query, out));
    }

    /// The dot product of two vectors.
    pub(crate) fn dot(self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len(), "vectors of the same dimension");
        dispatch!(self, dot(a, b))
    }

    /// The squared distance of two vectors, for tests to compare with.
    #[cfg(test)]
    pub(crate) fn squared(self, a: &[f32], b: &[f32]) -> f32 {
        let row: Vec<u8> = b.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.row_squared(Element::F32, a, &row)
    }

    /// The dot product of a query with a stored row, and the row's with itself.
    pub(crate) fn row_dot(self, element: Element, query: &[f32], row: &[u8]) -> Dot {
        assert_eq!(row.len(), query.len() * element.bytes(), "a row of the query's dimension");
        match element {
            Element::F32 => dispatch!(self, row_dot_f32(query, row)),
            Element::F16 => dispatch!(self, row_dot_f16(query, row)),
            Element::I8 => dispatch!(self, row_dot_i8(query, row)),
        }
    }

    /// The squared distance of a query to a stored row.
    pub(crate) fn row_squared(self, element: Element, query: &[f32], row: &[u8]) -> f32 {
        assert_eq!(row.len(), query.len() * element.bytes(), "a row of the query's dimension");
        match element {
            Element::F32 => dispatch!(self, row_squared_f32(query, row)),
            Element::F16 => dispatch!(self, row_squared_f16(query, row)),
            Element::I8 => dispatch!(self, row_squared_i8(query, row)),
        }
    }

    /// A stored row as floats.
    pub(crate) fn decode_row(self, element: Element, row: &[u8], out: &mut [f32]) {
        assert_eq!(row.len(), out.len() * element.bytes(), "a row of the same dimension");
        match element {
            Element::F32 => scalar::decode_f32(row, out),
            Element::F16 => dispatch!(self, decode_f16(row, out)),
            Element::I8 => scalar::decode_i8(row, out),
        }
    }

    /// Dot products of [`STRIP`] rows with the [`PANEL`] centroids of a panel: element `d` of
    /// centroid `c` is `panel[d * 32 + c]`, of row `r` it is `rows[r * dims + d]`.
    pub(crate) fn panel_dots(self, rows: &[f32], panel: &[f32], out: &mut [[f32; PANEL]; STRIP]) {
        assert_eq!(rows.len() / STRIP, panel.len() / PANEL, "rows and panel of one dimension");
        assert!(
            rows.len().is_multiple_of(STRIP) && panel.len().is_multiple_of(PANEL),
            "whole rows"
        );
        dispatch!(self, panel_dots(rows, panel, out));
    }

    /// The fast Walsh-Hadamard transform in place, not normalised; the length is a power of two.
    pub(crate) fn hadamard(self, data: &mut [f32]) {
        assert!(data.len().is_power_of_two(), "a power of two");
        dispatch!(self, hadamard(data));
    }

    /// Asks the processor to fetch `bytes` of memory that will soon be read.
    #[inline]
    pub(crate) fn prefetch(self, bytes: &[u8]) {
        #[cfg(target_arch = "x86_64")]
        for line in bytes.chunks(64) {
            #[expect(unsafe_code, reason = "prefetching is an intrinsic")]
            // SAFETY: a prefetch reads nothing that the program sees and cannot fault; SSE is part
            // of x86-64.
            unsafe {
                use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
                _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast());
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = bytes;
    }
}

/// Bytes of a block of codes with its factors.
pub(crate) const fn block_bytes(code_bytes: usize) -> usize {
    BLOCK * code_bytes + BLOCK * 4 * 2
}

/// Where row `row` of a block has its bytes, within each 64.
pub(crate) const fn place(row: usize) -> usize {
    if row < BLOCK / 2 { 2 * row } else { 2 * (row - BLOCK / 2) + 1 }
}
