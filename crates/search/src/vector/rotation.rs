//! A random rotation that costs `O(n log n)`: signs, Hadamard transforms and Kac's steps.
//!
//! The codes of this index are good only if no direction is special, which a random rotation sees
//! to. Four rounds of random signs and a Hadamard transform come close enough to one drawn from all
//! rotations (Andoni and others, NIPS 2015, use three). Where the dimension is no power of two, the
//! transform covers the greatest power of two that fits, the front and the back by turns, and a
//! step of Kac's walk mixes the halves after each round. What it makes has the length of what it was
//! given, so distances and dot products stay as they are.
//!
//! Vectors of few dimensions are padded with zeros to [`DIMS_MIN`]: the error of a code falls with
//! the square root of its length.

use base::rng::Rng;

use super::kernel::Kernels;

/// Rounds of signs and transform.
const ROUNDS: usize = 4;
/// Dimensions of a code at least.
pub(crate) const DIMS_MIN: usize = 64;

/// A rotation of vectors of one dimension, fixed by its seed.
#[derive(Debug, Clone)]
pub(crate) struct Rotation {
    dims: usize,
    padded: usize,
    /// The length of the Hadamard transform.
    span: usize,
    /// For each round, what each element is multiplied by: a sign, and the transform's norm.
    factors: Vec<f32>,
}

/// Dimensions after rotation: whole bytes of one-bit codes.
pub(crate) fn padded(dims: usize) -> usize {
    dims.next_multiple_of(8).max(DIMS_MIN)
}

impl Rotation {
    /// The rotation of this seed.
    pub(crate) fn new(dims: usize, seed: u64) -> Self {
        let padded = padded(dims);
        let span = if padded.is_power_of_two() { padded } else { padded.next_power_of_two() / 2 };
        let norm = 1.0 / (span as f32).sqrt();
        let mut rng = Rng::new(seed);
        let mut factors = Vec::with_capacity(ROUNDS * padded);
        for round in 0..ROUNDS {
            let from = Self::from(round, padded, span);
            let mut signs = 0;
            for at in 0..padded {
                if at % 64 == 0 {
                    signs = rng.next_u64();
                }
                let factor = if (from..from + span).contains(&at) { norm } else { 1.0 };
                factors.push(if signs & 1 == 0 { factor } else { -factor });
                signs >>= 1;
            }
        }
        Self { dims, padded, span, factors }
    }

    /// Where the transform of a round begins.
    fn from(round: usize, padded: usize, span: usize) -> usize {
        if round.is_multiple_of(2) { 0 } else { padded - span }
    }

    /// Dimensions of what is rotated.
    pub(crate) fn dims(&self) -> usize {
        self.dims
    }

    /// Rotates `vector` into `out`.
    pub(crate) fn apply(&self, kernels: Kernels, vector: &[f32], out: &mut [f32]) {
        assert_eq!(vector.len(), self.dims, "a vector of the rotation's dimension");
        assert_eq!(out.len(), self.padded, "space for a rotated vector");
        out[..self.dims].copy_from_slice(vector);
        out[self.dims..].fill(0.0);
        for (round, factors) in self.factors.chunks_exact(self.padded).enumerate() {
            for (x, factor) in out.iter_mut().zip(factors) {
                *x *= factor;
            }
            let from = Self::from(round, self.padded, self.span);
            kernels.hadamard(&mut out[from..from + self.span]);
            if self.span < self.padded {
                mix_halves(out);
            }
        }
    }
}

/// One step of Kac's walk on every pair of the two halves: a rotation by an eighth of a turn.
fn mix_halves(x: &mut [f32]) {
    let half = x.len() / 2;
    let (low, high) = x.split_at_mut(half);
    for (a, b) in low.iter_mut().zip(high) {
        let (sum, difference) = (*a + *b, *a - *b);
        *a = sum * std::f32::consts::FRAC_1_SQRT_2;
        *b = difference * std::f32::consts::FRAC_1_SQRT_2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(rng: &mut Rng, dims: usize) -> Vec<f32> {
        (0..dims).map(|_| (rng.below(2_000_001) as f32 - 1e6) / 1e6).collect()
    }

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    #[test]
    fn dot_products_stay_as_they_are_in_any_dimension() {
        let mut rng = Rng::new(1);
        for dims in [1, 2, 3, 7, 63, 64, 65, 100, 127, 128, 384, 768, 1000, 1536, 3072, 10_752] {
            let rotation = Rotation::new(dims, 5);
            let (a, b) = (random(&mut rng, dims), random(&mut rng, dims));
            let mut rotated = [vec![0.0; rotation.padded], vec![0.0; rotation.padded]];
            rotation.apply(Kernels::best(), &a, &mut rotated[0]);
            rotation.apply(Kernels::best(), &b, &mut rotated[1]);
            let scale = (dot(&a, &a) * dot(&b, &b)).sqrt();
            let error = dot(&a, &b) - dot(&rotated[0], &rotated[1]);
            assert!(error.abs() < 1e-5 * scale, "{dims} dimensions: {error} of {scale}");
        }
    }

    #[test]
    fn a_vector_with_one_element_is_spread_over_all() {
        for dims in [3, 100, 384, 1000, 1536] {
            let rotation = Rotation::new(dims, 9);
            for at in [0, dims / 3, dims - 1] {
                let mut unit = vec![0.0; dims];
                unit[at] = 1.0;
                let mut out = vec![0.0; rotation.padded];
                rotation.apply(Kernels::best(), &unit, &mut out);
                let greatest = out.iter().map(|x| x.abs()).fold(0.0, f32::max);
                // A Gaussian of this length rarely has an element beyond five deviations.
                let limit = 5.5 / (rotation.padded as f32).sqrt();
                assert!(greatest < limit, "{dims} dimensions, element {at}: {greatest}");
            }
        }
    }

    #[test]
    fn every_level_of_kernels_rotates_to_the_same_bits() {
        let mut rng = Rng::new(3);
        for dims in [5, 100, 384, 1024] {
            let rotation = Rotation::new(dims, 11);
            let vector = random(&mut rng, dims);
            let mut expect = vec![0.0; rotation.padded];
            rotation.apply(Kernels::scalar(), &vector, &mut expect);
            for kernels in Kernels::available() {
                let mut found = vec![0.0; rotation.padded];
                rotation.apply(kernels, &vector, &mut found);
                assert_eq!(found, expect, "{}, {dims} dimensions", kernels.name());
            }
        }
    }

    #[test]
    fn another_seed_is_another_rotation() {
        let vector = vec![1.0; 96];
        let rotated = |seed| {
            let rotation = Rotation::new(96, seed);
            let mut out = vec![0.0; rotation.padded];
            rotation.apply(Kernels::best(), &vector, &mut out);
            out
        };
        assert_eq!(rotated(1), rotated(1));
        assert_ne!(rotated(1), rotated(2));
    }
}
