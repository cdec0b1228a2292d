//! A search: clusters in the order of their promise, rows pruned by one bit a dimension, the survivors
//! estimated by all bits, the best of them compared exactly.
//!
//! The threshold is the `k`-th smallest estimate so far. A row goes on from the one-bit code if its
//! estimate less [`EPSILON_COARSE`] deviations is below it, and to the exact comparison if its
//! estimate by all bits less [`EPSILON_FINE`] deviations is. What is returned is exact. The bounds leave
//! out about one of five hundred neighbours; a search for a recall that no measured reach gave takes
//! [`EPSILON_WHOLE`] deviations for both, and looks at all clusters.
//!
//! **Which clusters.** The distance of a query to a random row of a cluster is, in many dimensions,
//! nearly Gaussian: its mean is `|q - c|²` plus the mean squared radius, its deviation in proportion
//! to `|q - c|` times the radius. How many such units the threshold lies below the mean says how likely
//! the cluster has a row below it, whatever the scale of the data. A cluster with more units than the
//! search's *reach* is skipped. The reach is what
//! [`calibrate`](super::calibrate) finds for a wanted recall. As long as fewer than `k` rows are
//! found the threshold is infinite: a filter that few rows pass widens the search by itself. Clusters without a
//! row that passes are not in the order at all: before anything is scanned, the rows that pass are counted by cluster.

use super::error::VectorError;
use super::filter::RowSet;
use super::index::Index;
use super::kernel::{BLOCK, Bound};
use super::list::List;
use super::query::Query;
use super::source::{Found, Rows, Source};
use super::top::{Near, Top};

/// Deviations of the one-bit estimate that a row gets the benefit of.
const EPSILON_COARSE: f32 = 1.9;
/// Deviations of the estimate by all bits that a row gets the benefit of.
const EPSILON_FINE: f32 = 1.5;
/// Deviations of either, where the answer should be whole.
const EPSILON_WHOLE: f32 = 4.0;
/// What is aimed at beyond a wanted recall, as a part of what that leaves out: the calibration asks a few
/// hundred queries, and is off by about as much.
const RECALL_MARGIN: f32 = 0.15;
/// Clusters asked for at first, when nothing is known of the query.
const FIRST_CLUSTERS: usize = 32;
/// Rows that pass a filter up to which comparing all of them exactly is faster than a search.
const EXACT_MATCHES_MAX: usize = 512;
/// Blocks scanned before their survivors are estimated: the threshold falls with each estimate, and
/// is worth most at the start.
const BLOCKS_AT_ONCE: usize = 16;

/// How far a search goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Effort {
    /// As far as gives this recall, on the average of queries like the rows. A recall of 1, or one that
    /// no measured reach gave, is a search of everything.
    Recall(f32),
    /// This far, in the units of the module's documentation: for calibration and measurements.
    Reach(f32),
    /// So many of the nearest clusters, whatever they promise: for measurements.
    Clusters(usize),
}

/// What a search did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Clusters whose rows were looked at.
    pub clusters: usize,
    /// Rows whose one-bit codes were read.
    pub scanned: usize,
    /// Rows whose other bits were read.
    pub refined: usize,
    /// Rows compared exactly.
    pub compared: usize,
    /// Clusters whose list was damaged, so that all of their rows were compared exactly.
    pub damaged: usize,
}

/// A row that survived the one-bit scan.
#[derive(Debug, Clone, Copy)]
struct Survivor {
    at: u32,
    sum: u32,
}

/// A row that may be among the nearest.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    lower: f32,
    row: u32,
}

/// How far a query is from a centroid, by the bytes of both.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Reached {
    squared: f32,
    /// The deviation of what `squared` is off by.
    deviation: f32,
    /// `squared` and what the metric adds for the query.
    offset: f32,
}

/// What an estimate gets the benefit of: a part in proportion to `rescale`, and one that is not.
#[derive(Debug, Clone, Copy)]
struct Slack {
    rescaled: f32,
    fixed: f32,
}

impl Slack {
    fn of(self, rescale: f32) -> f32 {
        rescale.mul_add(self.rescaled, self.fixed)
    }
}

/// The space that a search needs, kept from one to the next.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) query: Query,
    vector: Vec<f32>,
    dots: Vec<i32>,
    order: Vec<u64>,
    /// Squared distances to the centroids, nearly.
    distances: Vec<f32>,
    /// Rows of each cluster that pass the filter.
    matches: Vec<u32>,
    survivors: Vec<Survivor>,
    candidates: Vec<Candidate>,
    numbers: Vec<u32>,
    estimates: Top,
    exact: Top,
    work: Work,
}

impl Scratch {
    /// Space for searches in `index`.
    pub(crate) fn new(index: &Index) -> Self {
        Self {
            query: Query::new(index.shape.dims),
            vector: vec![0.0; index.rotation.dims()],
            dots: Vec::new(),
            order: Vec::new(),
            distances: Vec::new(),
            matches: Vec::new(),
            survivors: Vec::new(),
            candidates: Vec::new(),
            numbers: Vec::new(),
            estimates: Top::default(),
            exact: Top::default(),
            work: Work::default(),
        }
    }

    /// What the last search did.
    pub(crate) fn work(&self) -> Work {
        self.work
    }
}

/// A search of one index.
#[derive(Debug)]
pub(crate) struct Searcher<'a, S> {
    pub(crate) index: &'a Index,
    pub(crate) source: &'a S,
    pub(crate) element: super::kernel::Element,
    pub(crate) k: usize,
    pub(crate) effort: Effort,
    pub(crate) filter: Option<&'a RowSet>,
}

/// The bits of a float, in the order of floats.
fn sortable(x: f32) -> u32 {
    let bits = x.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// What the limits of a search come to.
#[derive(Debug, Clone, Copy)]
struct Limits {
    reach: f32,
    clusters: usize,
    /// Clusters that a source far away is asked for at once.
    expected: usize,
    /// Deviations that the two estimates get the benefit of.
    coarse: f32,
    fine: f32,
}

impl<S: Source> Searcher<'_, S> {
    /// The nearest rows, nearest first, with their distance as it is inside.
    pub(crate) fn run(
        &self,
        query: &[f32],
        scratch: &mut Scratch,
    ) -> Result<Vec<Near>, VectorError> {
        let index = self.index;
        let kernels = index.kernels;
        scratch.vector.copy_from_slice(query);
        index.metric.normalise(kernels, &mut scratch.vector);
        index.rotation.apply(kernels, &scratch.vector, &mut scratch.query.rotated);
        scratch.query.prepare(kernels);
        scratch.candidates.clear();
        scratch.estimates.reset(self.k);
        scratch.exact.reset(self.k);
        scratch.work = Work::default();
        match self.filter {
            _ if self.k == 0 => {}
            Some(filter) if filter.len() <= EXACT_MATCHES_MAX.max(self.k) => {
                self.matches(scratch, filter);
            }
            _ => self.clusters(scratch)?,
        }
        self.compare(scratch)?;
        Ok(scratch.exact.sorted())
    }

    /// Makes every row that passes a candidate.
    fn matches(&self, scratch: &mut Scratch, filter: &RowSet) {
        let rows = filter.iter().take_while(|row| (*row as usize) < self.index.rows);
        let candidates = rows.map(|row| Candidate { lower: f32::NEG_INFINITY, row });
        scratch.candidates.extend(candidates);
    }

    fn limits(&self) -> Limits {
        let calibration = &self.index.calibration;
        let (reach, clusters) = match self.effort {
            Effort::Recall(wanted) => {
                let aimed = wanted + (1.0 - wanted) * RECALL_MARGIN;
                let reach = if wanted < 1.0 { calibration.reach(aimed) } else { f32::INFINITY };
                (reach, usize::MAX)
            }
            Effort::Reach(reach) => (reach, usize::MAX),
            Effort::Clusters(clusters) => (f32::INFINITY, clusters),
        };
        let expected = calibration.clusters(reach, self.index.centroids.len()).min(clusters);
        let is_whole = matches!(self.effort, Effort::Recall(_)) && reach == f32::INFINITY;
        let (coarse, fine) =
            if is_whole { (EPSILON_WHOLE, EPSILON_WHOLE) } else { (EPSILON_COARSE, EPSILON_FINE) };
        Limits { reach, clusters, expected, coarse, fine }
    }

    /// Looks at the clusters that promise something.
    fn clusters(&self, scratch: &mut Scratch) -> Result<(), VectorError> {
        let mut order = std::mem::take(&mut scratch.order);
        self.order(scratch, &mut order)?;
        let limits = self.limits();
        let mut rest = &mut order[..];
        let is_far = self.source.is_far();
        let mut wave = if is_far { limits.expected } else { FIRST_CLUSTERS };
        let mut left = limits.clusters;
        while !rest.is_empty() && left > 0 {
            let now = wave.min(rest.len()).min(left);
            if now < rest.len() {
                rest.select_nth_unstable(now - 1);
            }
            let (nearest, others) = rest.split_at_mut(now);
            nearest.sort_unstable();
            rest = others;
            left -= now;
            wave *= 2;
            let goes_on = self.wave(scratch, nearest, &limits)?;
            if !goes_on {
                break;
            }
            if is_far && scratch.estimates.threshold().is_finite() {
                // Another round trip is worth it only for rows that are still missing, and these are few where the
                // calibration knew how far to go: not with a filter. What can promise anything now comes at once.
                if self.filter.is_none() {
                    break;
                }
                let promising =
                    partition(rest, |key| self.promises(scratch, low_half(key), &limits));
                rest = &mut rest[..promising];
                wave = promising;
            }
        }
        scratch.order = order;
        Ok(())
    }

    /// The clusters that have rows which pass, by what they promise.
    fn order(&self, scratch: &mut Scratch, order: &mut Vec<u64>) -> Result<(), VectorError> {
        let centroids = &self.index.centroids;
        let Scratch { query, dots, distances, matches, .. } = scratch;
        let mut is_counted = false;
        if let Some(filter) = self.filter
            && let Some(map) = self.source.row_map()?
        {
            filter.count_by(map, centroids.len(), matches);
            is_counted = true;
        }
        order.clear();
        distances.clear();
        centroids.distances(self.index.kernels, query, dots, |cluster, squared| {
            distances.push(squared);
            if is_counted && matches[cluster as usize] == 0 {
                return;
            }
            let promise = squared + centroids.cluster(cluster).mean_correction;
            order.push(u64::from(sortable(promise)) << 32 | u64::from(cluster));
        });
        Ok(())
    }

    /// Whether a cluster may have a row that is near enough.
    fn promises(&self, scratch: &Scratch, cluster: u32, limits: &Limits) -> bool {
        let index = self.index;
        let squared = scratch.distances[cluster as usize];
        let offset = squared + index.metric.query_correction(scratch.query.norm);
        let about = index.centroids.cluster(cluster);
        let mean = offset + about.mean_squared + about.mean_correction;
        let unit = (squared * about.mean_squared).sqrt();
        // What is no number, of rows that are their centroid and a reach without end, promises something too.
        let nearest = mean - limits.reach * unit;
        nearest <= scratch.estimates.threshold() || nearest.is_nan()
    }

    /// Looks at these clusters; false if one after another promised nothing.
    fn wave(
        &self,
        scratch: &mut Scratch,
        nearest: &[u64],
        limits: &Limits,
    ) -> Result<bool, VectorError> {
        let mut clusters = std::mem::take(&mut scratch.numbers);
        clusters.clear();
        clusters.extend(nearest.iter().map(|key| low_half(*key)));
        let mut idle = 0;
        let visit = &mut |at: usize, found: Found<'_>| {
            let cluster = clusters[at];
            if self.visit(scratch, cluster, &found, limits) {
                idle = 0;
            } else {
                idle += 1;
            }
            idle < IDLE_MAX
        };
        let result = self.source.lists(&clusters, visit);
        scratch.numbers = clusters;
        result.map(|()| idle < IDLE_MAX)
    }

    /// Looks at one cluster if it promises something; says whether it did.
    fn visit(
        &self,
        scratch: &mut Scratch,
        cluster: u32,
        found: &Found<'_>,
        limits: &Limits,
    ) -> bool {
        if !self.promises(scratch, cluster, limits) {
            return false;
        }
        let index = self.index;
        let squared = scratch.distances[cluster as usize];
        let offset = squared + index.metric.query_correction(scratch.query.norm);
        scratch.work.clusters += 1;
        match found {
            Found::List(list) => {
                let deviation = index.centroids.deviation(&scratch.query, cluster);
                let reached = Reached { squared, deviation, offset };
                self.scan(scratch, list, &reached, limits);
            }
            Found::Raw { numbers, rows } => {
                scratch.work.damaged += 1;
                self.raw(scratch, numbers, rows);
            }
        }
        true
    }

    /// Scans a list and estimates what survives.
    fn scan(&self, scratch: &mut Scratch, list: &List, reached: &Reached, limits: &Limits) {
        let kernels = self.index.kernels;
        let shape = self.index.shape;
        let query = &scratch.query;
        let noise = query.scan_step * query.scan_step / 12.0 * shape.dims as f32 / 4.0;
        let spread = list.summary().coarse_spread;
        let slack = Slack {
            rescaled: limits.coarse * (spread * spread * reached.squared + noise).sqrt(),
            fixed: limits.coarse * reached.deviation,
        };
        let mut bound = Bound {
            base: query.scan_step * query.scan_base - slack.rescaled,
            step: query.scan_step,
            limit: 0.0,
        };
        let mut sums = [0; BLOCK];
        let is_whole = list.is_whole();
        let mut first = 0_u32;
        let mut pending = 0;
        let mut at_once =
            if scratch.estimates.threshold().is_finite() { BLOCKS_AT_ONCE } else { 1 };
        for block in list.blocks() {
            bound.limit = scratch.estimates.threshold() - reached.offset + slack.fixed;
            let query = &scratch.query;
            let mut kept =
                kernels.scan_block(block, shape.code_bytes(), &query.lut, &bound, &mut sums);
            while kept != 0 {
                let row = kept.trailing_zeros();
                kept &= kept - 1;
                let survivor = Survivor { at: first + row, sum: sums[row as usize] };
                let at = survivor.at as usize;
                if at < list.rows() && self.allows(list, at) {
                    if is_whole {
                        kernels.prefetch(list.extra(at));
                    }
                    scratch.survivors.push(survivor);
                }
            }
            first += BLOCK_ROWS;
            pending += 1;
            if pending == at_once {
                self.refine(scratch, list, reached, slack, limits);
                pending = 0;
                at_once = (at_once * 4).min(BLOCKS_AT_ONCE);
            }
        }
        self.refine(scratch, list, reached, slack, limits);
        scratch.work.scanned += list.rows();
    }

    fn allows(&self, list: &List, at: usize) -> bool {
        self.filter.is_none_or(|filter| filter.contains(list.number(at)))
    }

    /// Estimates the survivors by all their bits.
    fn refine(
        &self,
        scratch: &mut Scratch,
        list: &List,
        reached: &Reached,
        slack: Slack,
        limits: &Limits,
    ) {
        let offset = reached.offset;
        let Scratch { query, survivors, candidates, estimates, work, .. } = scratch;
        // The front of a list has one bit alone.
        let extra_bits = if list.is_whole() { self.index.shape.extra_bits } else { 0 };
        let weight = f32::from(1_u16 << extra_bits);
        let noise = query.scan_step * query.scan_step / 12.0 * query.dims() as f32 / 4.0;
        let spread = list.summary().fine_spread;
        let fine_slack =
            limits.fine * (spread * spread * reached.squared + noise * weight * weight).sqrt();
        let fine_fixed = limits.fine * reached.deviation;
        let half = (weight - 1.0) / 2.0 * query.byte_sum as f32;
        for survivor in survivors.drain(..) {
            let at = survivor.at as usize;
            let signs = query.scan_step * (survivor.sum as f32 - query.scan_base);
            let (add, rescale) = list.coarse(at);
            let coarse = add + offset - rescale * signs;
            let threshold = estimates.threshold();
            if coarse - slack.of(rescale) > threshold {
                continue;
            }
            let (estimate, lower) = if extra_bits == 0 {
                // The smallest of many such estimates are those that err downwards: a threshold of
                // them as they are would leave out rows that are nearer.
                let slack = slack.of(rescale);
                (coarse + 0.5 * slack, coarse - slack)
            } else {
                work.refined += 1;
                let dot = list.extra_dot(self.index.kernels, at, query) as f32;
                let inner = weight * signs + query.byte_step * (dot - half);
                let (add, rescale) = list.fine(at);
                let estimate = add + offset - rescale * inner;
                (estimate, estimate - rescale * fine_slack - fine_fixed)
            };
            if lower <= threshold {
                let row = list.number(at);
                candidates.push(Candidate { lower, row });
                estimates.push(Near { distance: estimate, row });
            }
        }
    }

    /// Compares the rows of a damaged list exactly.
    fn raw(&self, scratch: &mut Scratch, numbers: &[u32], rows: &Rows<'_>) {
        for (index, &row) in numbers.iter().enumerate() {
            if self.filter.is_some_and(|filter| !filter.contains(row)) {
                continue;
            }
            let distance = self.exact(&scratch.vector, rows.row(index));
            scratch.work.compared += 1;
            let near = Near { distance, row };
            scratch.exact.push(near);
            scratch.estimates.push(near);
        }
    }

    fn exact(&self, query: &[f32], row: &[u8]) -> f32 {
        self.index.metric.exact(self.index.kernels, self.element, query, row)
    }

    /// Compares the candidates exactly, those with the lowest bounds first.
    fn compare(&self, scratch: &mut Scratch) -> Result<(), VectorError> {
        let threshold = scratch.estimates.threshold();
        scratch.candidates.retain(|candidate| candidate.lower <= threshold);
        scratch
            .candidates
            .sort_unstable_by(|a, b| a.lower.total_cmp(&b.lower).then(a.row.cmp(&b.row)));
        let Scratch { candidates, numbers, exact, vector, work, .. } = scratch;
        // From far away all that may be needed comes at once, if it is not too much.
        let at_once = if self.source.is_far() { FAR_ROWS.max(self.k * 4) } else { usize::MAX };
        for batch in candidates.chunks(at_once.min(candidates.len()).max(1)) {
            if batch[0].lower > exact.threshold() {
                break;
            }
            numbers.clear();
            numbers.extend(batch.iter().map(|candidate| candidate.row));
            self.source.rows(numbers, &mut |at, row| {
                let candidate = batch[at];
                if candidate.lower > exact.threshold() {
                    return false;
                }
                let distance = self.exact(vector, row);
                work.compared += 1;
                exact.push(Near { distance, row: candidate.row });
                true
            })?;
        }
        Ok(())
    }
}

/// Rows that a source far away is asked for at once, if no more are wanted.
const FAR_ROWS: usize = 512;

/// Rows of a block, as they are counted within a list.
const BLOCK_ROWS: u32 = 64;
const _: () = assert!(BLOCK_ROWS as usize == BLOCK);

/// Clusters without promise, one after another, after which a search ends.
const IDLE_MAX: usize = 8;

/// Brings those that `keeps` says to the front, and answers how many they are.
fn partition(keys: &mut [u64], keeps: impl Fn(u64) -> bool) -> usize {
    let mut kept = 0;
    for at in 0..keys.len() {
        if keeps(keys[at]) {
            keys.swap(kept, at);
            kept += 1;
        }
    }
    kept
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half of a key is a cluster")]
fn low_half(key: u64) -> u32 {
    key as u32
}
