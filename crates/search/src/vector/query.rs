//! A query made ready for the kernels: rotated, and in integers of two widths.

use super::kernel::{Kernels, Lut, QUERY_PADDING, greatest_pair};

/// A rotated query and its integers, made once for all clusters. Kept and filled again, so that a query
/// allocates nothing.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) rotated: Vec<f32>,
    /// For the scan of one-bit codes.
    pub(crate) lut: Lut,
    words: Vec<i16>,
    /// For the codes of more bits and those of centroids; zeros behind it.
    pub(crate) bytes: Vec<i8>,
    /// What one in the sums of a scan is worth.
    pub(crate) scan_step: f32,
    /// What the sum of a scan has to be less by to be `<x, q>` in steps: the shift of the tables and half
    /// of the sum of all elements.
    pub(crate) scan_base: f32,
    /// What one of `bytes` is worth.
    pub(crate) byte_step: f32,
    /// The sum of `bytes`.
    pub(crate) byte_sum: i32,
    /// The squared length.
    pub(crate) norm: f32,
}

impl Query {
    /// Space for queries of `dims` rotated dimensions.
    pub(crate) fn new(dims: usize) -> Self {
        Self {
            rotated: vec![0.0; dims],
            lut: Lut::new(dims / 8),
            words: vec![0; dims],
            bytes: vec![0; dims + QUERY_PADDING],
            scan_step: 0.0,
            scan_base: 0.0,
            byte_step: 0.0,
            byte_sum: 0,
            norm: 0.0,
        }
    }

    /// The dimensions after rotation.
    pub(crate) fn dims(&self) -> usize {
        self.rotated.len()
    }

    /// Makes the integers of what is in `rotated`.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the scales keep the integers within their types"
    )]
    pub(crate) fn prepare(&mut self, kernels: Kernels) {
        self.norm = kernels.dot(&self.rotated, &self.rotated);
        let greatest = self.rotated.iter().map(|x| x.abs()).fold(0.0, f32::max);
        let pair = greatest_pair(&self.rotated);
        // Rounding adds at most one half for each of a pair's twelve dimensions.
        let (to_word, to_byte) = if (1e-30..1e30).contains(&pair) {
            (249.0 / pair, 127.0 / greatest)
        } else {
            (0.0, 0.0)
        };
        let (mut words, mut shift, mut bytes) = (0_i32, 0_i32, 0_i32);
        for ((x, word), byte) in self.rotated.iter().zip(&mut self.words).zip(&mut self.bytes) {
            *word = nearest(x * to_word) as i16;
            *byte = nearest(x * to_byte) as i8;
            words += i32::from(*word);
            shift += i32::from((-*word).max(0));
            bytes += i32::from(*byte);
        }
        self.scan_step = if to_word > 0.0 { 1.0 / to_word } else { 0.0 };
        self.byte_step = if to_byte > 0.0 { 1.0 / to_byte } else { 0.0 };
        self.scan_base = shift as f32 + 0.5 * words as f32;
        self.byte_sum = bytes;
        kernels.lut(&self.words, &mut self.lut);
    }
}

/// The nearest integer of a number below 2^22, of two the even one.
///
/// Adding 1.5 * 2^23 leaves no bits behind the point, and the integer in the lowest ones. It is what
/// `round_ties_even` does, which on this baseline is a call into a library for each element.
fn nearest(x: f32) -> i32 {
    const SHIFT: f32 = 12_582_912.0;
    (x + SHIFT).to_bits().wrapping_sub(SHIFT.to_bits()).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_stand_for_the_query_to_a_small_part_of_it() {
        let mut query = Query::new(384);
        for (index, x) in query.rotated.iter_mut().enumerate() {
            *x = (index as f32 * 0.7).sin();
        }
        query.prepare(Kernels::best());
        for ((x, word), byte) in query.rotated.iter().zip(&query.words).zip(&query.bytes) {
            assert!((x - f32::from(*word) * query.scan_step).abs() <= query.scan_step * 0.501);
            assert!((x - f32::from(*byte) * query.byte_step).abs() <= query.byte_step * 0.501);
        }
    }

    #[test]
    fn the_nearest_integer_is_that_of_the_library() {
        for half in -600..600_i16 {
            let x = f32::from(half) / 2.0;
            for x in [x, x + 0.1, x - 0.1] {
                assert_eq!(nearest(x) as f32, x.round_ties_even());
            }
        }
    }

    #[test]
    fn a_query_of_zeros_and_one_of_a_single_element_are_queries() {
        let mut query = Query::new(64);
        query.prepare(Kernels::best());
        assert_eq!((query.scan_step, query.byte_step, query.norm), (0.0, 0.0, 0.0));
        query.rotated[5] = -3.0;
        query.prepare(Kernels::best());
        assert_eq!(query.bytes[5], -127);
        assert_eq!(query.words[5], -249);
    }
}
