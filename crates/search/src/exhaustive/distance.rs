//! Distances of vectors, calculated as plainly as can be: every product in 64 bits, in the order of
//! elements. What an index calculates faster is compared with this.

use super::direction;
use crate::order::Direction;
use crate::vector::Metric;

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
    pub(super) fn to(&self, vector: impl Iterator<Item = f32>) -> f64 {
        let pairs = self.from.iter().zip(vector.map(f64::from));
        // Zero has one sign, as it has in scores.
        let distance: f64 = match self.metric {
            Metric::EuclideanSquared => pairs.map(|(a, b)| (a - b) * (a - b)).sum(),
            Metric::Dot => pairs.map(|(a, b)| a * b).sum(),
            Metric::Cosine => {
                let (dot, squared) =
                    pairs.fold((0.0, 0.0), |(dot, squared), (a, b)| (dot + a * b, squared + b * b));
                // Roots apart: the product of two squared lengths may be too small for a number.
                let lengths = self.squared.sqrt() * squared.sqrt();
                if lengths > 0.0 { 1.0 - dot / lengths } else { 1.0 }
            }
        };
        distance + 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_is_what_it_says() {
        let check = |metric, from: &[f32], to: &[f32], expect: f64| {
            let found = Distance::new(metric, from).to(to.iter().copied());
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
        let zero = Distance::new(Metric::Dot, &[-1.0, 0.0]).to([0.0, 5.0].into_iter());
        assert!(zero == 0.0 && zero.is_sign_positive(), "{zero}");
    }
}
