//! What an index keeps in memory: its parameters, the rotation, the centroids, and how far to search.
//!
//! The posting lists and the raw vectors are elsewhere; see [`super::source`]. An index of one cluster
//! is the flat tier: the same codes and the same loops, and nothing to choose from.

use super::calibrate::Calibration;
use super::kernel::{AlignedBytes, GROUP, Kernels};
use super::list::{Shape, Summary};
use super::metric::Metric;
use super::query::Query;
use super::rotation::Rotation;
use super::source::Rows;

/// An index without its lists.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    pub(crate) kernels: Kernels,
    pub(crate) metric: Metric,
    pub(crate) shape: Shape,
    pub(crate) rows: usize,
    pub(crate) seed: u64,
    pub(crate) rotation: Rotation,
    pub(crate) centroids: Centroids,
    pub(crate) calibration: Calibration,
    /// Rows that came or went since the calibration was measured.
    pub(crate) uncalibrated: u32,
}

impl Index {
    /// Reads a raw row as the vector that is indexed, rotated; returns its squared length. `space` is
    /// space for a vector before rotation.
    pub(crate) fn rotated_row(
        kernels: Kernels,
        metric: Metric,
        rotation: &Rotation,
        rows: &Rows<'_>,
        number: usize,
        space: &mut [f32],
        out: &mut [f32],
    ) -> f32 {
        kernels.decode_row(rows.element(), rows.row(number), space);
        let norm = metric.normalise(kernels, space);
        rotation.apply(kernels, space, out);
        norm
    }
}

/// The centroids, rotated, in bytes to find the nearest by. All that a search needs of them.
#[derive(Debug, Clone)]
pub(crate) struct Centroids {
    dims: usize,
    /// Groups of 16 for [`Kernels::byte_dots`].
    codes: AlignedBytes,
    /// For each: squared length, and what one of its bytes is worth.
    scales: Vec<(f32, f32)>,
    /// What is known of the rows of each.
    clusters: Vec<Cluster>,
}

/// What a search wants to know of a cluster before it reads the list.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Cluster {
    pub(crate) rows: u32,
    pub(crate) mean_squared: f32,
    pub(crate) mean_correction: f32,
}

impl Cluster {
    /// From the summary of its list.
    pub(crate) fn new(rows: u32, summary: &Summary) -> Self {
        Self { rows, mean_squared: summary.mean_squared, mean_correction: summary.mean_correction }
    }
}

impl Centroids {
    /// Centroids of `dims` rotated dimensions, one after the other.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast of a float saturates; the scale keeps codes between 1 and 255"
    )]
    pub(crate) fn new(
        kernels: Kernels,
        dims: usize,
        exact: &[f32],
        clusters: Vec<Cluster>,
    ) -> Self {
        assert_eq!(exact.len(), clusters.len() * dims, "one centroid for each cluster");
        let mut codes = AlignedBytes::zeroed(clusters.len().next_multiple_of(GROUP) * dims);
        let mut scales = Vec::with_capacity(clusters.len());
        for (index, centroid) in exact.chunks_exact(dims).enumerate() {
            let greatest = centroid.iter().map(|x| x.abs()).fold(0.0, f32::max);
            let step = if greatest > 1e-30 { greatest / 127.0 } else { 1.0 };
            scales.push((kernels.dot(centroid, centroid), step));
            let group = &mut codes.as_mut_slice()[index / GROUP * GROUP * dims..][..GROUP * dims];
            for (four, x) in centroid.chunks_exact(4).enumerate() {
                let at = four * GROUP * 4 + index % GROUP * 4;
                for (code, x) in group[at..at + 4].iter_mut().zip(x) {
                    *code = ((x / step).round_ties_even() + 128.0) as u8;
                }
            }
        }
        Self { dims, codes, scales, clusters }
    }

    /// The same from a file: what `codes`, `scales` and `clusters` say.
    pub(crate) fn from_parts(
        dims: usize,
        codes: &[u8],
        scales: Vec<(f32, f32)>,
        clusters: Vec<Cluster>,
    ) -> Self {
        assert_eq!(codes.len(), clusters.len().next_multiple_of(GROUP) * dims, "whole groups");
        assert_eq!(scales.len(), clusters.len(), "one scale for each cluster");
        Self { dims, codes: AlignedBytes::copy_of(codes), scales, clusters }
    }

    pub(crate) fn len(&self) -> usize {
        self.clusters.len()
    }

    pub(crate) fn codes(&self) -> &[u8] {
        self.codes.as_slice()
    }

    pub(crate) fn scales(&self) -> &[(f32, f32)] {
        &self.scales
    }

    pub(crate) fn clusters(&self) -> &[Cluster] {
        &self.clusters
    }

    pub(crate) fn get(&self, cluster: u32) -> Option<&Cluster> {
        self.clusters.get(cluster as usize)
    }

    pub(crate) fn cluster(&self, cluster: u32) -> &Cluster {
        &self.clusters[cluster as usize]
    }

    /// The squared distance of the query to each centroid, nearly.
    pub(crate) fn distances(
        &self,
        kernels: Kernels,
        query: &Query,
        dots: &mut Vec<i32>,
        mut visit: impl FnMut(u32, f32),
    ) {
        dots.clear();
        dots.resize(self.len().next_multiple_of(GROUP), 0);
        kernels.byte_dots(self.codes.as_slice(), &query.bytes[..self.dims], dots);
        let shift = 128 * query.byte_sum;
        for (cluster, (dot, (norm, step))) in (0_u32..).zip(dots.iter().zip(&self.scales)) {
            let dot = (dot - shift) as f32 * (step * query.byte_step);
            visit(cluster, (query.norm + norm - 2.0 * dot).max(0.0));
        }
    }

    /// The deviation of what [`distances`](Self::distances) is off by for a cluster.
    pub(crate) fn deviation(&self, query: &Query, cluster: u32) -> f32 {
        // Rounding is off by a uniform part of a step, which has a variance of a twelfth; here it is
        // that of twice the dot product.
        let (norm, step) = self.scales[cluster as usize];
        let variance = query.byte_step * query.byte_step * norm + step * step * query.norm;
        (variance / 3.0).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::rng::Rng;

    #[test]
    fn distances_to_centroids_are_nearly_the_exact_ones() {
        let kernels = Kernels::best();
        let mut rng = Rng::new(1);
        let mut unit = || (rng.below(2001) as f32 - 1000.0) / 1000.0;
        for (dims, count) in [(64, 1), (104, 17), (384, 150)] {
            let exact: Vec<f32> = (0..dims * count).map(|_| unit()).collect();
            let clusters = vec![Cluster::default(); count];
            let centroids = Centroids::new(kernels, dims, &exact, clusters);
            let mut query = Query::new(dims);
            query.rotated.fill_with(&mut unit);
            query.prepare(kernels);
            let mut seen = 0;
            centroids.distances(kernels, &query, &mut Vec::new(), |cluster, near| {
                let deviation = centroids.deviation(&query, cluster);
                let exact =
                    kernels.squared(&query.rotated, &exact[cluster as usize * dims..][..dims]);
                assert!((near - exact).abs() < 5.0 * deviation, "{near} for {exact}, {deviation}");
                assert!(deviation < 0.01 * exact);
                assert_eq!(cluster, seen);
                seen += 1;
            });
            assert_eq!(seen as usize, count);
        }
    }
}
