//! RaBitQ codes: one bit per dimension and up to seven more, with an unbiased estimate of distance.
//!
//! A row is coded by its residual `r` to a centroid `c`, both rotated. The one-bit code is the vector
//! `x` of signs, `±1/2`; with `e` extra bits, `x` is the point of a grid of `2^(1+e)` steps a
//! dimension, symmetric about zero, whose direction is close to that of `r`. For a query `q`,
//!
//! ```text
//! |r|² <x, q - c> / <x, r>     estimates     <r, q - c>
//! ```
//!
//! without bias under a random rotation, because what `x` has beside the direction of `r` is a
//! random direction (Gao and Long, "RaBitQ", arXiv 2405.12497, theorem 3.2; for more bits, Gao and
//! others, arXiv 2409.09913). From it follows the distance `|r|² + |q - c|² - 2 <r, q - c>`, of which
//! all that does not depend on the query goes into two numbers for each row, `add` and `rescale`:
//!
//! ```text
//! distance = add + |q - c|² - rescale <x, q>
//! add      = |r|² + rescale <x, c>
//! rescale  = 2 |r|² / <x, r>
//! ```
//!
//! `<x, q>` does not depend on the centroid, so a query is prepared once for all clusters. The error of
//! the estimate has the deviation `rescale |q - c| spread`, where
//! `spread = |x| sqrt(1 - cos²(x, r)) / sqrt(n - 1)` hardly differs between rows of one dimension; the
//! greatest of a cluster is kept for all of its rows. How many deviations a bound takes is `epsilon`
//! in [`super::search`]; the test at the end of this file measures how many rows each leaves out.

use base::rng::Rng;

use super::kernel::Kernels;

/// Bits per dimension beside the sign, at most.
pub(crate) const EXTRA_BITS_MAX: u8 = 7;

/// What an estimate needs of one row, for one of its two codes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Factors {
    pub(crate) add: f32,
    pub(crate) rescale: f32,
    /// The deviation of the error, for a `rescale` and a distance to the centroid of 1.
    pub(crate) spread: f32,
}

/// The codes of one row.
#[derive(Debug, Clone)]
pub(crate) struct Encoded {
    /// Whether each dimension is positive.
    pub(crate) signs: Vec<bool>,
    /// The lower `e` bits of each dimension's place on the grid; the sign is the bit above them.
    pub(crate) low: Vec<u8>,
    pub(crate) coarse: Factors,
    pub(crate) fine: Factors,
}

/// Turns residuals into codes.
#[derive(Debug, Clone)]
pub(crate) struct Encoder {
    dims: usize,
    extra_bits: u8,
    /// Steps of the grid in the length of a residual.
    scale: f32,
}

impl Encoder {
    /// An encoder of vectors of `dims` rotated dimensions.
    pub(crate) fn new(dims: usize, extra_bits: u8) -> Self {
        assert!(extra_bits <= EXTRA_BITS_MAX, "seven extra bits at most");
        Self { dims, extra_bits, scale: best_scale(dims, extra_bits) }
    }

    /// Space for the codes of a row.
    pub(crate) fn space(&self) -> Encoded {
        Encoded {
            signs: vec![false; self.dims],
            low: vec![0; self.dims],
            coarse: Factors::default(),
            fine: Factors::default(),
        }
    }

    /// Encodes `residual`, of which `correction` is added to every distance. `grid` is space for a
    /// vector.
    pub(crate) fn encode(
        &self,
        kernels: Kernels,
        residual: &[f32],
        centroid: &[f32],
        correction: f32,
        grid: &mut [f32],
        out: &mut Encoded,
    ) {
        let norm = kernels.dot(residual, residual);
        for ((sign, x), r) in out.signs.iter_mut().zip(grid.iter_mut()).zip(residual) {
            *sign = *r >= 0.0;
            *x = if *sign { 0.5 } else { -0.5 };
        }
        out.coarse = factors(kernels, norm, residual, centroid, correction, grid);
        if self.extra_bits == 0 {
            return;
        }
        let top = (1_u8 << self.extra_bits) - 1;
        let scale = self.scale_for(residual, norm, top);
        for ((low, x), r) in out.low.iter_mut().zip(grid.iter_mut()).zip(residual) {
            let step = steps(r.abs() * scale, top);
            // The place on the grid counts from its lowest point.
            *low = if *r >= 0.0 { step } else { top - step };
            *x = (f32::from(step) + 0.5).copysign(*r);
            if *r == 0.0 {
                // Zero has the sign of a positive number in `signs`, also where it is -0.
                *x = x.abs();
            }
        }
        out.fine = factors(kernels, norm, residual, centroid, correction, grid);
    }

    /// The scale at which the code is closest to the residual, of a few about the best for all.
    fn scale_for(&self, residual: &[f32], norm: f32, top: u8) -> f32 {
        let scale = if norm > 0.0 { self.scale / norm.sqrt() } else { return 0.0 };
        let mut best = (f32::NEG_INFINITY, scale);
        for factor in SCALES_TRIED {
            let quality = closeness(residual, scale * factor, top);
            if quality > best.0 {
                best = (quality, scale * factor);
            }
        }
        best.1
    }
}

/// What the scale of the grid is multiplied by, to see which fits a vector best.
const SCALES_TRIED: [f32; 7] = [0.8, 0.87, 0.93, 1.0, 1.07, 1.15, 1.24];

/// Whole steps in a length, at most `top`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float saturates, and a length is not negative"
)]
fn steps(length: f32, top: u8) -> u8 {
    (length as u8).min(top)
}

fn factors(
    kernels: Kernels,
    norm: f32,
    residual: &[f32],
    centroid: &[f32],
    correction: f32,
    x: &[f32],
) -> Factors {
    let along = kernels.dot(x, residual);
    if norm <= 0.0 || along <= 0.0 {
        // The row is its centroid: nothing is to be estimated.
        return Factors { add: norm + correction, rescale: 0.0, spread: 0.0 };
    }
    let length = kernels.dot(x, x);
    let rescale = 2.0 * norm / along;
    let cosine = along / (length * norm).sqrt();
    let across = (1.0 - cosine * cosine).max(0.0);
    Factors {
        add: norm + rescale * kernels.dot(x, centroid) + correction,
        rescale,
        spread: (length * across / (residual.len() as f32 - 1.0).max(1.0)).sqrt(),
    }
}

/// The scale of the grid at which codes of random vectors are closest to their direction.
///
/// The paper looks for the best scale of each vector. After a rotation vectors look alike, so that it is
/// enough to try a few about this one: see the test that compares with a hundred.
fn best_scale(dims: usize, extra_bits: u8) -> f32 {
    let top = (1_u8 << extra_bits) - 1;
    if top == 0 {
        return 0.0;
    }
    let mut rng = Rng::new(0x5ca1_e000 + u64::from(extra_bits));
    let samples: Vec<Vec<f32>> = (0..16).map(|_| gaussian_unit(&mut rng, dims)).collect();
    // What lies beyond four deviations is cut off in any case; below one step per deviation
    // nothing is left to code.
    let deviation = (dims as f32).sqrt();
    let mut best = (f32::NEG_INFINITY, 0.0);
    for part in 1..=100_u8 {
        let scale = deviation * f32::from(top + 1) * f32::from(part) / 100.0;
        let quality = samples.iter().map(|sample| closeness(sample, scale, top)).sum::<f32>();
        if quality > best.0 {
            best = (quality, scale);
        }
    }
    best.1
}

/// The cosine between a vector and its code.
fn closeness(vector: &[f32], scale: f32, top: u8) -> f32 {
    let (mut along, mut length) = (0.0, 0.0);
    for r in vector {
        let x = f32::from(steps(r.abs() * scale, top)) + 0.5;
        along += x * r.abs();
        length += x * x;
    }
    along / length.sqrt()
}

/// A direction drawn from all directions alike.
fn gaussian_unit(rng: &mut Rng, dims: usize) -> Vec<f32> {
    let vector: Vec<f32> = (0..dims).map(|_| gaussian(rng)).collect();
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    vector.into_iter().map(|x| x / norm).collect()
}

/// Nearly a Gaussian: the sum of twelve uniform numbers, which has a deviation of 1.
fn gaussian(rng: &mut Rng) -> f32 {
    (0..12).map(|_| rng.below(1 << 24) as f32 / 16_777_216.0).sum::<f32>() - 6.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Estimates of many random pairs: mean error, its deviation, and what the spread foretold, all
    /// in units of the foretold deviation; and the part outside of `epsilon` deviations.
    fn errors(dims: usize, extra_bits: u8, epsilon: f64) -> (f64, f64, f64) {
        let kernels = Kernels::best();
        let mut rng = Rng::new(dims as u64 * 8 + u64::from(extra_bits));
        let encoder = Encoder::new(dims, extra_bits);
        let mut encoded = encoder.space();
        let mut grid = vec![0.0; dims];
        let (mut sum, mut squares, mut outside) = (0.0, 0.0, 0.0);
        let pairs = 1500;
        for _ in 0..pairs {
            let residual: Vec<f32> =
                gaussian_unit(&mut rng, dims).into_iter().map(|x| x * 0.7).collect();
            let centroid = gaussian_unit(&mut rng, dims);
            let query: Vec<f32> = gaussian_unit(&mut rng, dims)
                .iter()
                .zip(&residual)
                .map(|(noise, r)| noise + r)
                .collect();
            encoder.encode(kernels, &residual, &centroid, 0.25, &mut grid, &mut encoded);
            let (factors, top) = if extra_bits == 0 {
                (encoded.coarse, 0.0)
            } else {
                (encoded.fine, f32::from((1_u8 << extra_bits) - 1))
            };
            let x = encoded.signs.iter().zip(&encoded.low).map(|(sign, low)| {
                let place = f32::from(*low) + if *sign { top + 1.0 } else { 0.0 };
                place - top - 0.5
            });
            let inner: f32 = x.zip(&query).map(|(x, q)| x * q).sum();
            let row: Vec<f32> = residual.iter().zip(&centroid).map(|(r, c)| r + c).collect();
            let reach = kernels.squared(&query, &centroid);
            let estimate = factors.add + reach - factors.rescale * inner;
            let truth = kernels.squared(&query, &row) + 0.25;
            let deviation = f64::from(factors.rescale * factors.spread * reach.sqrt());
            let error = f64::from(estimate - truth) / deviation;
            sum += error;
            squares += error * error;
            outside += f64::from(u8::from(error.abs() > epsilon));
        }
        let pairs = f64::from(pairs);
        (sum / pairs, (squares / pairs).sqrt(), outside / pairs)
    }

    #[test]
    fn estimates_are_unbiased_and_err_as_foretold() {
        for dims in [64, 384] {
            for extra_bits in [0, 1, 2, 4, 7] {
                let (mean, deviation, _) = errors(dims, extra_bits, 2.0);
                let what = format!("{dims} dimensions, {extra_bits} extra bits");
                // The mean of 1500 has a deviation of 0.026.
                assert!(mean.abs() < 0.11, "{what}: mean error {mean} deviations");
                assert!((0.85..1.05).contains(&deviation), "{what}: {deviation} of foretold");
            }
        }
    }

    #[test]
    fn the_bound_holds_for_as_many_rows_as_a_gaussian_foretells() {
        // (epsilon, part of a Gaussian outside of it), and a margin for small samples.
        for (epsilon, expect) in [(1.0, 0.317), (1.9, 0.0574), (3.0, 0.0027)] {
            for (dims, extra_bits) in [(128, 0), (384, 0), (384, 4)] {
                let (_, _, outside) = errors(dims, extra_bits, epsilon);
                let what = format!("{dims} dimensions, {extra_bits} extra bits, {epsilon}");
                assert!(outside < expect * 1.25 + 0.003, "{what}: {outside} outside");
            }
        }
    }

    #[test]
    fn each_extra_bit_nearly_halves_the_error() {
        let kernels = Kernels::best();
        let mut rng = Rng::new(77);
        let residual = gaussian_unit(&mut rng, 384);
        let centroid = vec![0.0; 384];
        let mut last = f32::INFINITY;
        for extra_bits in 1..=7 {
            let encoder = Encoder::new(384, extra_bits);
            let (mut encoded, mut grid) = (encoder.space(), vec![0.0; 384]);
            encoder.encode(kernels, &residual, &centroid, 0.0, &mut grid, &mut encoded);
            let error = encoded.fine.rescale * encoded.fine.spread;
            assert!(error < last * 0.65, "{extra_bits} extra bits: {error} after {last}");
            last = error;
        }
    }

    #[test]
    fn trying_a_few_scales_is_nearly_as_good_as_trying_a_hundred() {
        let error = |cosine: f32| (1.0 - cosine * cosine).sqrt() / cosine;
        let mut rng = Rng::new(8);
        for extra_bits in [2, 4, 6] {
            let encoder = Encoder::new(384, extra_bits);
            let scale = encoder.scale;
            let top = (1 << extra_bits) - 1;
            let (mut few, mut hundred) = (0.0, 0.0);
            for _ in 0..20 {
                let vector = gaussian_unit(&mut rng, 384);
                let found = encoder.scale_for(&vector, 1.0, top);
                few += error(closeness(&vector, found, top));
                let scales = (50..150).map(|part| scale * part as f32 / 100.0);
                let best = scales.map(|scale| closeness(&vector, scale, top)).fold(0.0, f32::max);
                hundred += error(best);
            }
            assert!(few < hundred * 1.05, "{extra_bits} extra bits: {few} for {hundred}");
        }
    }

    #[test]
    fn a_row_that_is_its_centroid_has_the_centroids_distance() {
        let encoder = Encoder::new(64, 3);
        let (mut encoded, mut grid) = (encoder.space(), vec![0.0; 64]);
        let zero = vec![0.0; 64];
        encoder.encode(Kernels::best(), &zero, &[0.5; 64], 0.0, &mut grid, &mut encoded);
        assert_eq!((encoded.coarse, encoded.fine), (Factors::default(), Factors::default()));
    }
}
