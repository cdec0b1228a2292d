//! Distances of vectors, calculated plainly: every product in 64 bits, added up in as many sums as there are lanes, each in
//! the order of elements. What an index calculates faster is compared with this; a memtable and the few rows that a
//! filter lets through are compared by it alone, so it is not slow either.

use super::direction;
use crate::order::Direction;
use crate::vector::Metric;

/// Sums that one vector is added up in.
const LANES: usize = 8;

/// The distance from one vector.
#[derive(Debug, Clone)]
pub(super) struct Distance {
    metric: Metric,
    from: Vec<f64>,
    /// The squared length of `from`.
    squared: f64,
}

impl Distance {
    pub(super) fn new(metric: Metric, from: &[f32]) -> Self {
        let from: Vec<f64> = from.iter().copied().map(f64::from).collect();
        let squared = from.iter().map(|x| x * x).sum();
        Self { metric, from, squared }
    }

    pub(super) const fn direction(&self) -> Direction {
        direction(self.metric)
    }

    /// To a vector of as many elements.
    pub(super) fn to(&self, vector: &[f32]) -> f64 {
        let mut lanes = Lanes::default();
        for (from, to) in self.from.chunks(LANES).zip(vector.chunks(LANES)) {
            match (from.first_chunk(), to.first_chunk()) {
                (Some(from), Some(to)) => lanes.add(self.metric, from, to),
                // The last ones are fewer; zeros behind them add nothing.
                _ => {
                    let (mut from_all, mut to_all) = ([0.0; LANES], [0.0; LANES]);
                    from_all.iter_mut().zip(from).for_each(|(all, x)| *all = *x);
                    to_all.iter_mut().zip(to).for_each(|(all, x)| *all = *x);
                    lanes.add(self.metric, &from_all, &to_all);
                }
            }
        }
        let (sum, squared) = lanes.sums();
        // Zero has one sign, as it has in scores.
        let distance: f64 = match self.metric {
            Metric::EuclideanSquared | Metric::Dot => sum,
            Metric::Cosine => {
                // Roots apart: the product of two squared lengths may be too small for a number.
                let lengths = self.squared.sqrt() * squared.sqrt();
                if lengths > 0.0 { 1.0 - sum / lengths } else { 1.0 }
            }
        };
        distance + 0.0
    }
}

/// Sums that are added up beside one another, so that they are no chain in which each waits for the last.
#[derive(Default)]
struct Lanes {
    sums: [f64; LANES],
    /// Of the squares of the vector.
    squares: [f64; LANES],
}

impl Lanes {
    #[inline]
    fn add(&mut self, metric: Metric, from: &[f64; LANES], to: &[f32; LANES]) {
        match metric {
            Metric::EuclideanSquared => {
                for lane in 0..LANES {
                    let difference = from[lane] - f64::from(to[lane]);
                    self.sums[lane] += difference * difference;
                }
            }
            Metric::Dot => {
                for lane in 0..LANES {
                    self.sums[lane] += from[lane] * f64::from(to[lane]);
                }
            }
            Metric::Cosine => {
                for lane in 0..LANES {
                    let to = f64::from(to[lane]);
                    self.sums[lane] += from[lane] * to;
                    self.squares[lane] += to * to;
                }
            }
        }
    }

    fn sums(&self) -> (f64, f64) {
        (self.sums.iter().sum(), self.squares.iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_is_what_it_says() {
        let check = |metric, from: &[f32], to: &[f32], expect: f64| {
            let found = Distance::new(metric, from).to(to);
            assert!((found - expect).abs() <= 1e-12 * expect.abs().max(1.0), "{metric:?}: {found}");
        };
        check(Metric::Cosine, &[3.0, 4.0], &[4.0, 3.0], 1.0 / 25.0);
        check(Metric::Cosine, &[1.0, 0.0], &[-2.0, 0.0], 2.0);
        check(Metric::Cosine, &[0.0, 0.0], &[1.0, 2.0], 1.0);
        check(Metric::Cosine, &[1e-40, 0.0], &[1e-40, 0.0], 0.0);
        check(Metric::EuclideanSquared, &[3.0, 4.0], &[4.0, 3.0], 2.0);
        check(Metric::EuclideanSquared, &[1e15, 0.0], &[-1e15, 0.0], {
            let far = 2.0 * f64::from(1e15_f32);
            far * far
        });
        check(Metric::Dot, &[3.0, 4.0], &[4.0, 3.0], 24.0);
        let zero = Distance::new(Metric::Dot, &[-1.0, 0.0]).to(&[0.0, 5.0]);
        assert!(zero == 0.0 && zero.is_sign_positive(), "{zero}");
    }

    #[test]
    fn vectors_of_any_length_are_compared_to_their_last_element() {
        for len in 1..40_u8 {
            let vector: Vec<f32> = (1..=len).map(f32::from).collect();
            let squared: f64 = vector.iter().map(|x| f64::from(x * x)).sum();
            let dot = Distance::new(Metric::Dot, &vector).to(&vector);
            assert!((dot - squared).abs() < 1e-9, "{len} elements: {dot}");
            let zeros = vec![0.0; vector.len()];
            let apart = Distance::new(Metric::EuclideanSquared, &vector).to(&zeros);
            assert!((apart - squared).abs() < 1e-9, "{len} elements: {apart}");
            let same = Distance::new(Metric::Cosine, &vector).to(&vector);
            assert!(same.abs() < 1e-12, "{len} elements: {same}");
        }
    }
}
