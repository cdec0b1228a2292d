//! The live numbers behind the handles: atomics, updated without locks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Most bounds of a histogram.
pub const BUCKETS_MAX: usize = 32;

/// A number that only goes up. Clones are the same counter. A new one from
/// [`Counter::default`] belongs to no registry, which is useful where nobody reads it.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The sum so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes both ways. Clones are the same gauge.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Sets a number of things or bytes; exact up to 2^53.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a double in every format")]
    pub fn set_count(&self, value: u64) {
        self.set(value as f64);
    }

    /// Adds `delta`, which may be negative.
    pub fn add(&self, delta: f64) {
        let sum = |bits| Some((f64::from_bits(bits) + delta).to_bits());
        // The closure never refuses, so there is no error to look at.
        _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
    }

    /// The value.
    #[must_use]
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// Counts of values in ranges, with their sum and maximum. Clones are the same histogram.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<Cells>);

#[derive(Debug)]
struct Cells {
    bounds: &'static [u64],
    /// One for each bound and one for what lies above the last; not cumulative.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
    max: AtomicU64,
}

/// What a histogram holds at one moment, in the unit of its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How many values.
    pub count: u64,
    /// Their sum; wraps after 584 years of nanoseconds.
    pub sum: u64,
    /// The largest, 0 when there is none.
    pub max: u64,
    /// Each bound and how many values are at most as large.
    pub cumulative: Vec<(u64, u64)>,
}

impl Histogram {
    /// A histogram of no values, its bounds ascending.
    #[must_use]
    pub fn new(bounds: &'static [u64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Cells { bounds, counts, sum: AtomicU64::new(0), max: AtomicU64::new(0) }))
    }

    /// Counts a value: three atomic operations, and a search among at most 32 bounds.
    pub fn observe(&self, value: u64) {
        let cells = &*self.0;
        let bucket = cells.bounds.partition_point(|bound| *bound < value);
        cells.counts[bucket].fetch_add(1, Ordering::Relaxed);
        cells.sum.fetch_add(value, Ordering::Relaxed);
        cells.max.fetch_max(value, Ordering::Relaxed);
    }

    /// Counts a duration, in nanoseconds.
    pub fn observe_duration(&self, time: Duration) {
        self.observe(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The numbers so far. The count is that of the ranges, whatever is observed meanwhile; sum
    /// and maximum may be those of a moment later.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let cells = &*self.0;
        let mut count = 0;
        let mut cumulative = Vec::with_capacity(cells.bounds.len());
        let mut counts = cells.counts.iter().map(|count| count.load(Ordering::Relaxed));
        for (bound, in_range) in cells.bounds.iter().zip(&mut counts) {
            count += in_range;
            cumulative.push((*bound, count));
        }
        count += counts.sum::<u64>();
        let (sum, max) = (cells.sum.load(Ordering::Relaxed), cells.max.load(Ordering::Relaxed));
        Summary { count, sum, max, cumulative }
    }
}

impl Summary {
    /// The mean, 0 when there are no values.
    #[must_use]
    pub fn mean(&self) -> u64 {
        self.sum.checked_div(self.count).unwrap_or(0)
    }

    /// An estimate of the value that `per_mille` thousandths of the values do not exceed (500 is
    /// the median, 990 the 99th percentile): exact as to the range, interpolated within it, never
    /// above the maximum. 0 when there are no values.
    #[must_use]
    pub fn quantile(&self, per_mille: u64) -> u64 {
        // The rank of the value, counted from 1, rounded up.
        let wanted = u128::from(self.count) * u128::from(per_mille.min(1000));
        let rank = u64::try_from(wanted.div_ceil(1000)).unwrap_or(self.count).max(1);
        let (mut below, mut from) = (0, 0);
        for &(bound, until) in &self.cumulative {
            if until >= rank {
                return interpolate(from, bound.min(self.max), rank - below, until - below);
            }
            (below, from) = (until, bound);
        }
        if self.count == 0 {
            return 0;
        }
        interpolate(from, self.max, rank - below, self.count - below)
    }
}

/// The point `part / whole` of the way between two values.
fn interpolate(from: u64, to: u64, part: u64, whole: u64) -> u64 {
    let way = u128::from(to.saturating_sub(from)) * u128::from(part) / u128::from(whole.max(1));
    from.min(to) + u64::try_from(way).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_the_range_whose_bound_includes_them() {
        let histogram = Histogram::new(&[10, 100]);
        for value in [0, 10, 11, 100, 101, 5000] {
            histogram.observe(value);
        }
        let summary = histogram.summary();
        assert_eq!(summary.cumulative, [(10, 2), (100, 4)]);
        assert_eq!((summary.count, summary.sum, summary.max, summary.mean()), (6, 5222, 5000, 870));
    }

    #[test]
    fn quantiles_are_right_to_the_range_and_never_above_the_maximum() {
        let histogram = Histogram::new(&[100, 200, 300]);
        assert_eq!(histogram.summary().quantile(500), 0);
        (1..=250).for_each(|value| histogram.observe(value));
        let summary = histogram.summary();
        for (per_mille, expected) in [
            (0, 1),
            (4, 1),
            (200, 50),
            (400, 100),
            (500, 125),
            (800, 200),
            (1000, 250),
            (9999, 250),
        ] {
            assert_eq!(summary.quantile(per_mille), expected, "{per_mille}");
        }
        histogram.observe(1_000_000);
        assert_eq!(histogram.summary().quantile(1000), 1_000_000);
        let one = Histogram::new(&[100]);
        one.observe(7);
        assert_eq!([1, 500, 1000].map(|q| one.summary().quantile(q)), [7, 7, 7]);
    }

    #[test]
    fn no_update_of_several_threads_is_lost() {
        let (counter, gauge) = (Counter::default(), Gauge::default());
        let histogram = Histogram::new(&[1, 2, 3]);
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (counter, gauge) = (counter.clone(), gauge.clone());
                let histogram = histogram.clone();
                let work = move || {
                    for n in 0..10_000 {
                        counter.increment();
                        gauge.add(if n % 2 == 0 { 2.0 } else { -1.0 });
                        histogram.observe(n % 5);
                    }
                };
                crate::workers::spawn("counting", work).unwrap()
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(counter.get(), 40_000);
        assert!((gauge.get() - 20_000.0).abs() < 0.5);
        let summary = histogram.summary();
        assert_eq!((summary.count, summary.sum), (40_000, 80_000));
        assert_eq!(summary.cumulative, [(1, 16_000), (2, 24_000), (3, 32_000)]);
    }
}
