//! Builds an index of rows in memory: sample, train, assign, encode, calibrate.
//!
//! Rows are read as often as they are needed and never kept rotated: beside the raw vectors a build
//! holds the sample, one number for each row, and what it makes. Work is shared by threads in parts
//! whose results are put together in order, so the result does not depend on their number.

use std::sync::OnceLock;

use base::rng::Rng;
use base::workers::parallel;

use super::VectorIndex;
use super::calibrate::{Calibration, Point, REACHES};
use super::code::{Encoded, Encoder};
use super::error::VectorError;
use super::index::{Centroids, Cluster, Index};
use super::kernel::Kernels;
use super::kmeans::{Means, Tree};
use super::list::{Builder, List, Shape};
use super::metric::Metric;
use super::rotation::{Rotation, padded};
use super::search::{Effort, Scratch, Searcher};
use super::source::{Memory, Rows};
use super::top::{Near, Top};

/// Rows of the sample for each centroid.
const SAMPLE_PER_CENTROID: usize = 64;
/// Rows in a unit of work of a thread.
const PART: usize = 1024;
/// Rows asked as queries for the calibration, and neighbours looked for.
const CALIBRATION_QUERIES: usize = 512;
const CALIBRATION_K: usize = 10;

/// How to build an index. `None` leaves the choice to what was measured best for the rows.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How distance is measured.
    pub metric: Metric,
    /// Bits per dimension beside the first, 0 to 7.
    pub extra_bits: Option<u8>,
    /// Clusters; 1 is the flat tier.
    pub clusters: Option<usize>,
    /// Two builds of the same rows with the same seed are the same, byte by byte.
    pub seed: u64,
    /// Threads to build with.
    pub threads: usize,
    /// The instruction set to build with.
    pub kernels: Kernels,
}

impl Options {
    /// The defaults for a metric: everything measured best, one thread.
    #[must_use]
    pub fn new(metric: Metric) -> Self {
        Self {
            metric,
            extra_bits: None,
            clusters: None,
            seed: 0,
            threads: 1,
            kernels: Kernels::best(),
        }
    }
}

/// Rows up to which there is one cluster, the flat tier: at a recall of .99 it is as fast as many clusters, and
/// it finds .998. See docs/decisions/0019-vector-index.md.
const FLAT_MAX: usize = 20_000;
/// Rows of a cluster, about, in an index of many.
pub(super) const CLUSTER_ROWS: usize = 160;

/// The number of clusters for so many rows.
pub(super) fn clusters_for(rows: usize) -> usize {
    if rows <= FLAT_MAX { 1 } else { rows / CLUSTER_ROWS }
}

/// The number of extra bits for vectors of so many dimensions.
pub(super) fn extra_bits_for(dims: usize) -> u8 {
    match dims {
        0..=191 => 6,
        192..=640 => 4,
        _ => 3,
    }
}

/// What a build reads and how.
#[derive(Debug)]
pub(super) struct Build<'a> {
    pub(super) rows: Rows<'a>,
    pub(super) metric: Metric,
    pub(super) kernels: Kernels,
    pub(super) threads: usize,
    pub(super) shape: Shape,
    pub(super) rotation: Rotation,
}

/// Builds an index of `rows`.
pub(crate) fn build(options: &Options, rows: Rows<'_>) -> Result<VectorIndex, VectorError> {
    let extra_bits = options.extra_bits.unwrap_or_else(|| extra_bits_for(rows.dims()));
    let max = usize::from(super::code::EXTRA_BITS_MAX);
    if usize::from(extra_bits) > max {
        let found = usize::from(extra_bits);
        return Err(VectorError::OutOfRange { what: "extra bits", min: 0, max, found });
    }
    let clusters = options.clusters.unwrap_or_else(|| clusters_for(rows.len()));
    let shape = Shape { dims: padded(rows.dims()), extra_bits };
    let build = Build {
        rows,
        metric: options.metric,
        kernels: options.kernels,
        threads: options.threads.max(1),
        shape,
        rotation: Rotation::new(rows.dims(), options.seed),
    };
    build.check_clusters(clusters)?;
    let means = Means { kernels: build.kernels, threads: build.threads, dims: shape.dims };
    let mut rng = Rng::new(options.seed ^ SEED_OF_BUILDS);
    let centroids = build.train(means, clusters, &mut rng);
    let tree = means.tree(&centroids);
    let assigned = build.assign(means, &tree)?;
    let members = members(&assigned, centroids.len() / shape.dims);
    let lists = build.encode(&centroids, &members);
    let mut index = build.index(options.seed, &centroids, &lists);
    index.calibration = calibrate(&index, &lists, rows, build.threads, &mut rng)?;
    Ok(VectorIndex::new(index, centroids, lists))
}

/// What a build's random numbers begin with, beside the seed that it was given.
pub(super) const SEED_OF_BUILDS: u64 = 0x7261_6269_7471;

fn row_count(list: &List) -> u32 {
    u32::try_from(list.rows()).expect("rows are numbered in 32 bits")
}

/// The rows of each cluster, ascending.
pub(super) fn members(assigned: &[u32], clusters: usize) -> Vec<Vec<u32>> {
    let mut members = vec![Vec::new(); clusters];
    for (row, cluster) in (0_u32..).zip(assigned) {
        members[*cluster as usize].push(row);
    }
    members
}

/// `count` rows of `available`, ascending, each once.
fn sample(available: usize, count: usize, rng: &mut Rng) -> Vec<usize> {
    // Selection sampling (Knuth, volume 2, 3.4.2, algorithm S).
    let mut chosen = Vec::with_capacity(count.min(available));
    for row in 0..available {
        let needed = count - chosen.len();
        if needed == 0 {
            break;
        }
        if rng.index(available - row) < needed {
            chosen.push(row);
        }
    }
    chosen
}

impl Build<'_> {
    /// The index of these lists, which is not calibrated yet.
    pub(super) fn index(&self, seed: u64, centroids: &[f32], lists: &[List]) -> Index {
        let about = lists.iter().map(|list| Cluster::new(row_count(list), list.summary()));
        let about = about.collect();
        Index {
            kernels: self.kernels,
            metric: self.metric,
            shape: self.shape,
            rows: self.rows.len(),
            seed,
            centroids: Centroids::new(self.kernels, self.shape.dims, centroids, about),
            rotation: self.rotation.clone(),
            calibration: Calibration::default(),
            uncalibrated: 0,
        }
    }

    /// Some rows, rotated, one after the other.
    pub(super) fn rotated_rows(&self, numbers: &[u32]) -> Vec<f32> {
        let dims = self.shape.dims;
        let mut space = vec![0.0; self.rows.dims()];
        let mut out = vec![0.0; numbers.len() * dims];
        for (&row, out) in numbers.iter().zip(out.chunks_exact_mut(dims)) {
            self.rotated(row as usize, &mut space, out);
        }
        out
    }

    /// Whether every element of a row is a number.
    pub(super) fn check_row(&self, row: u32, space: &mut [f32]) -> Result<(), VectorError> {
        self.kernels.decode_row(self.rows.element(), self.rows.row(row as usize), space);
        super::check_vector(space)
    }

    /// A row, rotated, into `out`; returns its squared length.
    fn rotated(&self, number: usize, space: &mut [f32], out: &mut [f32]) -> f32 {
        let (kernels, metric) = (self.kernels, self.metric);
        Index::rotated_row(kernels, metric, &self.rotation, &self.rows, number, space, out)
    }

    fn check_clusters(&self, found: usize) -> Result<(), VectorError> {
        // A row number fits 32 bits, and there is no use for more clusters than rows.
        let max = self.rows.len().max(1);
        if (1..=max).contains(&found) {
            return Ok(());
        }
        Err(VectorError::OutOfRange { what: "clusters", min: 1, max, found })
    }

    fn train(&self, means: Means, clusters: usize, rng: &mut Rng) -> Vec<f32> {
        let dims = self.shape.dims;
        if self.rows.is_empty() {
            return vec![0.0; dims];
        }
        let chosen = sample(self.rows.len(), clusters.max(16) * SAMPLE_PER_CENTROID, rng);
        let parts: Vec<&[usize]> = chosen.chunks(PART).collect();
        let rotated = parallel::map("vector-sample", self.threads, parts.len(), |part| {
            let mut space = vec![0.0; self.rows.dims()];
            let mut out = vec![0.0; parts[part].len() * dims];
            for (&row, out) in parts[part].iter().zip(out.chunks_exact_mut(dims)) {
                self.rotated(row, &mut space, out);
            }
            out
        });
        means.train(&rotated.concat(), clusters, rng.next_u64())
    }

    /// The cluster of each row.
    fn assign(&self, means: Means, tree: &Tree) -> Result<Vec<u32>, VectorError> {
        let dims = self.shape.dims;
        let count = self.rows.len();
        let parts = count.div_ceil(PART);
        let assigned = parallel::map("vector-assign", self.threads, parts, |part| {
            let rows = part * PART..count.min((part + 1) * PART);
            let mut space = vec![0.0; self.rows.dims()];
            let mut rotated = vec![0.0; rows.len() * dims];
            for (row, out) in rows.zip(rotated.chunks_exact_mut(dims)) {
                self.kernels.decode_row(self.rows.element(), self.rows.row(row), &mut space);
                super::check_vector(&space)?;
                self.rotated(row, &mut space, out);
            }
            Ok(tree.assign_part(means, &rotated))
        });
        Ok(assigned.into_iter().collect::<Result<Vec<_>, VectorError>>()?.concat())
    }

    /// The list of each cluster.
    fn encode(&self, centroids: &[f32], members: &[Vec<u32>]) -> Vec<List> {
        let dims = self.shape.dims;
        let encoder = Encoder::new(dims, self.shape.extra_bits);
        parallel::map("vector-encode", self.threads, members.len(), |cluster| {
            let centroid = &centroids[cluster * dims..(cluster + 1) * dims];
            self.encode_list(&encoder, centroid, &members[cluster])
        })
    }

    fn encode_list(&self, encoder: &Encoder, centroid: &[f32], members: &[u32]) -> List {
        let mut builder = Builder::new(self.shape, members.len());
        let mut space = Encoding::new(encoder, self.rows.dims());
        for &row in members {
            self.encode_row(encoder, centroid, row, &mut space, &mut builder);
        }
        builder.finish()
    }

    /// Encodes a row, and adds it to a list.
    pub(super) fn encode_row(
        &self,
        encoder: &Encoder,
        centroid: &[f32],
        row: u32,
        space: &mut Encoding,
        builder: &mut Builder,
    ) {
        let Encoding { raw, residual, grid, encoded } = space;
        let norm = self.rotated(row as usize, raw, residual);
        for (x, c) in residual.iter_mut().zip(centroid) {
            *x -= c;
        }
        let squared = self.kernels.dot(residual, residual);
        let correction = self.metric.row_correction(norm);
        encoder.encode(self.kernels, residual, centroid, correction, grid, encoded);
        builder.push(row, squared, correction, encoded);
    }
}

/// Space to encode rows in.
#[derive(Debug)]
pub(super) struct Encoding {
    raw: Vec<f32>,
    residual: Vec<f32>,
    grid: Vec<f32>,
    encoded: Encoded,
}

impl Encoding {
    /// Space for rows of so many elements.
    pub(super) fn new(encoder: &Encoder, dims: usize) -> Self {
        let encoded = encoder.space();
        let (residual, grid) = (vec![0.0; encoded.low.len()], vec![0.0; encoded.low.len()]);
        Self { raw: vec![0.0; dims], residual, grid, encoded }
    }
}

/// Measures the recall of each reach with rows as queries.
pub(super) fn calibrate(
    index: &Index,
    lists: &[List],
    rows: Rows<'_>,
    threads: usize,
    rng: &mut Rng,
) -> Result<Calibration, VectorError> {
    if lists.len() == 1 || rows.is_empty() {
        // There is but one cluster to look at.
        return Ok(Calibration::new([Point { reach: 0.0, recall: 1.0, clusters: 1.0 }]));
    }
    let queries = sample(rows.len(), CALIBRATION_QUERIES, rng);
    let map = OnceLock::new();
    let source = Memory { kernels: index.kernels, lists, rows, map: &map };
    let found = parallel::map("vector-calibrate", threads, queries.len(), |at| {
        let mut query = vec![0.0; rows.dims()];
        index.kernels.decode_row(rows.element(), rows.row(queries[at]), &mut query);
        // The row itself is found by any search and says nothing.
        let k = CALIBRATION_K + 1;
        let mut scratch = Scratch::new(index);
        let element = rows.element();
        let effort = Effort::Recall(f32::INFINITY);
        let whole = Searcher { index, source: &source, element, k, effort, filter: None };
        let exact = whole.run(&query, &mut scratch)?;
        let farthest = exact.last().map_or(f32::INFINITY, |near| near.distance);
        REACHES
            .iter()
            .map(|&reach| {
                let effort = Effort::Reach(reach);
                let searcher =
                    Searcher { index, source: &source, element, k, effort, filter: None };
                let near = searcher.run(&query, &mut scratch)?;
                // A row at the distance of the last is as good as it.
                let hits = near.iter().filter(|near| near.distance <= farthest).count();
                let clusters = scratch.work().clusters;
                Ok((hits.saturating_sub(1), exact.len().saturating_sub(1), clusters))
            })
            .collect::<Result<Vec<_>, VectorError>>()
    });
    let mut sums = vec![(0, 0, 0); REACHES.len()];
    let count = queries.len().max(1) as f32;
    for query in found {
        for (sum, (hits, wanted, clusters)) in sums.iter_mut().zip(query?) {
            *sum = (sum.0 + hits, sum.1 + wanted, sum.2 + clusters);
        }
    }
    let points = REACHES.iter().zip(sums).map(|(&reach, (hits, wanted, clusters))| Point {
        reach,
        recall: hits as f32 / wanted.max(1) as f32,
        clusters: clusters as f32 / count,
    });
    Ok(Calibration::new(points))
}

/// The nearest rows by comparing with every one of `range`.
pub(crate) fn exact(
    index: &Index,
    rows: Rows<'_>,
    query: &[f32],
    k: usize,
    filter: Option<&super::filter::RowSet>,
    range: std::ops::Range<usize>,
) -> Vec<Near> {
    let mut query = query.to_vec();
    index.metric.normalise(index.kernels, &mut query);
    let mut top = Top::default();
    top.reset(k);
    for number in range {
        let row = u32::try_from(number).expect("rows are numbered in 32 bits");
        if filter.is_none_or(|filter| filter.contains(row)) {
            let kept = rows.row(number);
            let distance = index.metric.exact(index.kernels, rows.element(), &query, kept);
            top.push(Near { distance, row });
        }
    }
    top.sorted()
}
