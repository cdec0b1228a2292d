//! Counts: how many entries over time, and which values a field has.

use std::collections::HashMap;
use std::time::Duration;

use super::{Run, blocks, full_text, in_order, tail, timed};
use crate::block::BlockMeta;
use crate::entry::{Severity, UnixNanos};
use crate::error::{LogError, Result};
use crate::filter::{Field, Filter};
use crate::metrics::Search;
use crate::query::{Order, Unreadable, Work};
use crate::shared::Shared;

/// Most bars of a histogram.
pub const BARS_MAX: u64 = 10_000;
/// Most different values that are counted apart.
pub const DISTINCT_MAX: usize = 100_000;
/// Most values that are returned.
pub const TOP_MAX: usize = 1000;

/// How many entries happened in one stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// When it begins: a multiple of its width.
    pub start: UnixNanos,
    /// How many of each severity, the worst first.
    pub severities: [u64; 8],
}

impl Bar {
    /// How many of all severities.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.severities.iter().sum()
    }
}

/// Counts over time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    /// The bars that have entries, in the order of time.
    pub bars: Vec<Bar>,
    /// What is missing because it could not be read.
    pub unreadable: Vec<Unreadable>,
    /// What it took.
    pub work: Work,
}

/// The most frequent values of a field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopValues {
    /// Values and how often they occur, the most frequent first.
    pub values: Vec<(String, u64)>,
    /// How many entries were counted.
    pub total: u64,
    /// How many of them have a value that came after [`DISTINCT_MAX`] others and was not counted by
    /// itself. When it is not 0, values may be missing.
    pub uncounted: u64,
    /// What is missing because it could not be read.
    pub unreadable: Vec<Unreadable>,
    /// What it took.
    pub work: Work,
}

/// Bars of one width.
struct Bars {
    width: i64,
    /// The number of the first bar.
    first: i64,
    counts: Vec<[u64; 8]>,
}

impl Bars {
    fn new(width: Duration, from: UnixNanos, to: UnixNanos) -> Result<Self> {
        let width = i64::try_from(width.as_nanos()).ok().filter(|width| *width > 0);
        let width = width.ok_or_else(|| LogError::query("a bar has no width, or too much"))?;
        let (first, last) = (from.0.div_euclid(width), to.0.div_euclid(width));
        let count = last.abs_diff(first).saturating_add(1);
        if count > BARS_MAX {
            return Err(LogError::query(format!("{count} bars are more than {BARS_MAX}")));
        }
        let counts = vec![[0; 8]; usize::try_from(count).unwrap_or(0)];
        Ok(Self { width, first, counts })
    }

    /// The bar of a time; none when it is outside, which only a row that came meanwhile can be.
    fn bar(&mut self, time: UnixNanos) -> Option<&mut [u64; 8]> {
        let at = usize::try_from(time.0.div_euclid(self.width).checked_sub(self.first)?).ok()?;
        self.counts.get_mut(at)
    }

    fn count(&mut self, time: UnixNanos, severity: Severity) {
        if let Some(bar) = self.bar(time) {
            bar[usize::from(severity.number())] += 1;
        }
    }

    /// Counts a whole block from its head, when all of it is in one bar and wanted.
    fn count_block(&mut self, meta: &BlockMeta, filter: &Filter) -> bool {
        let is_one_bar =
            meta.min_time.0.div_euclid(self.width) == meta.max_time.0.div_euclid(self.width);
        if !is_one_bar || !wants_all(filter, meta) {
            return false;
        }
        if let Some(bar) = self.bar(meta.min_time) {
            for (severity, rows) in Severity::ALL.into_iter().zip(meta.severity_rows) {
                if filter.severities.holds(severity) {
                    bar[usize::from(severity.number())] += u64::from(rows);
                }
            }
        }
        true
    }

    fn finish(self) -> Vec<Bar> {
        let starts = (self.first..).map(|bar| UnixNanos(bar.saturating_mul(self.width)));
        let bars = starts.zip(self.counts).map(|(start, severities)| Bar { start, severities });
        bars.filter(|bar| bar.total() > 0).collect()
    }
}

/// Whether a filter asks nothing of rows but time and severity, and the block is within the time.
fn wants_all(filter: &Filter, meta: &BlockMeta) -> bool {
    filter.text.is_empty()
        && filter.fields.is_empty()
        && filter.json.is_empty()
        && filter.time.covers(meta.min_time, meta.max_time)
}

/// Counts what a filter wants, in bars of one width.
pub(crate) fn histogram(shared: &Shared, filter: &Filter, width: Duration) -> Result<Histogram> {
    timed(shared, Search::Histogram, || {
        filter.check()?;
        let partitions = in_order(shared, filter, Order::OldestFirst);
        let bounds = || partitions.iter().map(|partition| partition.bounds());
        let from = bounds().map(|bounds| bounds.min_time).min().unwrap_or_default();
        let to = bounds().map(|bounds| bounds.max_time).max().unwrap_or_default();
        let from = from.max(filter.time.from);
        let to = to.min(filter.time.to).max(from);
        let mut bars = Bars::new(width, from, to)?;
        let mut run = Run::new(shared);
        for partition in &partitions {
            run.partition(partition, |run, connection| {
                let hits = full_text::candidates(connection, filter)?;
                let hits = hits.as_deref();
                run.work.used_full_text |= hits.is_some();
                tail::each_wanted(run, connection, filter, hits, None, |entry| {
                    bars.count(entry.time, entry.severity);
                    true
                })?;
                let mut asked = blocks::Asked { filter, hits, order: None };
                blocks::each_block(run, connection, &mut asked, |meta, found| {
                    if bars.count_block(meta, filter) {
                        return Ok(true);
                    }
                    let Some((columns, rows)) = found()? else { return Ok(true) };
                    for row in rows.iter() {
                        bars.count(columns.time(row)?, columns.severity(row)?);
                    }
                    Ok(true)
                })
            })?;
        }
        Ok(Histogram { bars: bars.finish(), unreadable: run.unreadable, work: run.work })
    })
}

/// Values and how often they occur.
#[derive(Default)]
struct Counts {
    values: HashMap<String, u64>,
    total: u64,
    uncounted: u64,
}

impl Counts {
    fn count(&mut self, value: &str, rows: u64) {
        self.total += rows;
        if let Some(count) = self.values.get_mut(value) {
            *count += rows;
        } else if self.values.len() < DISTINCT_MAX {
            self.values.insert(value.to_owned(), rows);
        } else {
            self.uncounted += rows;
        }
    }
}

/// The most frequent values of a field among what a filter wants.
pub(crate) fn top_values(
    shared: &Shared,
    filter: &Filter,
    field: Field,
    limit: usize,
) -> Result<TopValues> {
    timed(shared, Search::Top, || {
        filter.check()?;
        if limit == 0 || limit > TOP_MAX {
            return Err(LogError::query(format!("limit={limit} is not 1 to {TOP_MAX}")));
        }
        let mut counts = Counts::default();
        let mut run = Run::new(shared);
        for partition in in_order(shared, filter, Order::NewestFirst) {
            run.partition(&partition, |run, connection| {
                let hits = full_text::candidates(connection, filter)?;
                let hits = hits.as_deref();
                run.work.used_full_text |= hits.is_some();
                tail::each_wanted(run, connection, filter, hits, None, |entry| {
                    counts.count(entry.field(field), 1);
                    true
                })?;
                let mut asked = blocks::Asked { filter, hits, order: None };
                blocks::each_block(run, connection, &mut asked, |_, found| {
                    if let Some((columns, rows)) = found()? {
                        columns
                            .each_value(&rows, field, |value, rows| counts.count(value, rows))?;
                    }
                    Ok(true)
                })
            })?;
        }
        let mut values: Vec<_> = counts.values.into_iter().collect();
        values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        values.truncate(limit);
        let (total, uncounted) = (counts.total, counts.uncounted);
        let (unreadable, work) = (run.unreadable, run.work);
        Ok(TopValues { values, total, uncounted, unreadable, work })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_begin_at_multiples_of_their_width_on_both_sides_of_the_epoch() {
        let mut bars = Bars::new(Duration::from_nanos(10), UnixNanos(-15), UnixNanos(21)).unwrap();
        for time in [-15, -11, -10, 0, 9, 10, 21, 500] {
            bars.count(UnixNanos(time), Severity::Error);
        }
        let found: Vec<_> = bars.finish().iter().map(|bar| (bar.start.0, bar.total())).collect();
        assert_eq!(found, [(-20, 2), (-10, 1), (0, 2), (10, 1), (20, 1)]);
    }

    #[test]
    fn too_many_bars_are_refused() {
        let bars = |width| Bars::new(Duration::from_nanos(width), UnixNanos(0), UnixNanos(9999));
        assert!(bars(1).is_ok());
        assert!(bars(0).is_err());
        let all = Bars::new(Duration::from_nanos(1), UnixNanos::MIN, UnixNanos::MAX);
        assert!(all.is_err());
    }

    #[test]
    fn values_past_the_limit_are_counted_together() {
        let mut counts = Counts::default();
        for n in 0..=DISTINCT_MAX {
            counts.count(&n.to_string(), 2);
        }
        counts.count("0", 1);
        assert_eq!((counts.uncounted, counts.values["0"]), (2, 3));
        assert_eq!(counts.total, 2 * DISTINCT_MAX as u64 + 3);
    }
}
