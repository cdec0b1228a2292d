//! What "near" means, and the one number inside that stands for all three meanings.
//!
//! Inside, a smaller number is always nearer, and it is a squared Euclidean distance or differs from
//! one by what is known exactly of the row or of the query:
//!
//! | metric | inside | reported |
//! |---|---|---|
//! | cosine | `2 - 2 cos`: the squared distance of the directions | `1 - cos` |
//! | squared Euclidean | itself | itself |
//! | dot | `-2 <q, x>`: the squared distance less both squared lengths | `<q, x>` |

use super::kernel::{Element, Kernels};

/// How the distance of two vectors is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// `1 - cos` of the angle; that of a vector of zeros is 1.
    Cosine,
    /// The squared Euclidean distance.
    EuclideanSquared,
    /// The dot product, of which more is nearer.
    Dot,
}

impl Metric {
    /// What is reported for a number inside.
    #[must_use]
    pub(crate) fn reported(self, inside: f32) -> f32 {
        match self {
            Self::Cosine => inside / 2.0,
            Self::EuclideanSquared => inside,
            Self::Dot => inside / -2.0,
        }
    }

    /// Turns a vector into the one that is indexed; returns its squared length afterwards.
    pub(crate) fn normalise(self, kernels: Kernels, vector: &mut [f32]) -> f32 {
        let norm = kernels.dot(vector, vector);
        match self {
            Self::EuclideanSquared | Self::Dot => norm,
            Self::Cosine if norm > 0.0 => {
                let scale = 1.0 / norm.sqrt();
                for x in vector.iter_mut() {
                    *x *= scale;
                }
                1.0
            }
            Self::Cosine => 0.0,
        }
    }

    /// What has to be added to the squared distance for a row of this squared length.
    pub(crate) fn row_correction(self, norm: f32) -> f32 {
        match self {
            // A row of zeros is at the distance 1 of every direction, 2 inside.
            Self::Cosine => 1.0 - norm,
            Self::EuclideanSquared => 0.0,
            Self::Dot => -norm,
        }
    }

    /// What has to be added to the squared distance for a query of this squared length.
    pub(crate) fn query_correction(self, norm: f32) -> f32 {
        match self {
            Self::Cosine => 1.0 - norm,
            Self::EuclideanSquared => 0.0,
            Self::Dot => -norm,
        }
    }

    /// The number inside for a query, normalised, and a row as it is kept.
    #[inline]
    pub(crate) fn exact(
        self,
        kernels: Kernels,
        element: Element,
        query: &[f32],
        row: &[u8],
    ) -> f32 {
        match self {
            Self::Cosine => {
                let dot = kernels.row_dot(element, query, row);
                if dot.norm > 0.0 { 2.0 - 2.0 * (dot.dot / dot.norm.sqrt()) } else { 2.0 }
            }
            Self::EuclideanSquared => kernels.row_squared(element, query, row),
            Self::Dot => -2.0 * kernels.row_dot(element, query, row).dot,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(metric: Metric, query: &[f32], row: &[f32], expect: f32) {
        let kernels = Kernels::best();
        let mut query = query.to_vec();
        metric.normalise(kernels, &mut query);
        let bytes: Vec<u8> = row.iter().flat_map(|x| x.to_le_bytes()).collect();
        let inside = metric.exact(kernels, Element::F32, &query, &bytes);
        assert!((metric.reported(inside) - expect).abs() < 1e-6, "{metric:?}: {inside}");
        // The same by way of the squared distance and its corrections.
        let mut row = row.to_vec();
        let row_norm = metric.normalise(kernels, &mut row);
        let query_norm = kernels.dot(&query, &query);
        let squared = kernels.squared(&query, &row);
        let corrected =
            squared + metric.row_correction(row_norm) + metric.query_correction(query_norm);
        assert!((corrected - inside).abs() < 1e-5, "{metric:?}: {corrected} for {inside}");
    }

    #[test]
    fn each_metric_is_what_it_says_and_follows_from_the_squared_distance() {
        let (a, b) = ([3.0, 4.0], [4.0, 3.0]);
        check(Metric::Cosine, &a, &b, 1.0 - 24.0 / 25.0);
        check(Metric::EuclideanSquared, &a, &b, 2.0);
        check(Metric::Dot, &a, &b, 24.0);
        check(Metric::Cosine, &a, &[0.0, 0.0], 1.0);
        check(Metric::Cosine, &[0.0, 0.0], &[0.0, 0.0], 1.0);
        check(Metric::Cosine, &[0.0, 0.0], &b, 1.0);
        check(Metric::Dot, &[0.0, 0.0], &b, 0.0);
    }
}
