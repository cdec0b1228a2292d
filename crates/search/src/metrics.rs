//! Every metric of search: its definition, and the handle that indexes count with.
//!
//! One handle serves all indexes of a process. What an index holds is not counted here but asked for
//! ([`crate::index::Index::status`]), so that ten thousand of them are not ten thousand series.

use std::time::Duration;

use base::metrics::{
    Counter, DURATION_BUCKETS_NANOS, Definition, Histogram, Kind, MetricError, Registry,
};

const DURATIONS: Kind = Kind::Histogram { bounds: DURATION_BUCKETS_NANOS };

macro_rules! definitions {
    ($($constant:ident $name:literal $kind:expr, $unit:literal, [$($label:literal),*], $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: Definition = Definition {
            name: $name, kind: $kind, unit: $unit, help: $help, labels: &[$($label),*],
        };)*

        /// All of them.
        pub const ALL: &[Definition] = &[$($constant),*];
    };
}

definitions! {
    APPLIED "docdb_search_applied_changes_total" Kind::Counter, "changes", [],
        "Changes of documents that indexes have applied.";
    QUERIES "docdb_search_index_queries_total" Kind::Counter, "queries", ["status"],
        "Queries that indexes answered, and that failed.";
    QUERY_DURATION "docdb_search_index_query_duration_seconds" DURATIONS, "seconds", [],
        "Time of a query in its index.";
    FLUSHES "docdb_search_flushes_total" Kind::Counter, "flushes", ["status"],
        "Memtables that were made into segments, and attempts that failed.";
    FLUSH_DURATION "docdb_search_flush_duration_seconds" DURATIONS, "seconds", [],
        "Time of making a segment of a memtable.";
    MERGES "docdb_search_merges_total" Kind::Counter, "merges", ["status"],
        "Compactions of segments that were done, and that failed.";
    MERGE_DURATION "docdb_search_merge_duration_seconds" DURATIONS, "seconds", [],
        "Time of a compaction.";
}

/// What is counted when something went well, and when not.
#[derive(Debug)]
struct Outcomes {
    ok: Counter,
    error: Counter,
    duration: Histogram,
}

impl Outcomes {
    fn new(
        registry: &Registry,
        count: &Definition,
        duration: &Definition,
    ) -> Result<Self, MetricError> {
        Ok(Self {
            ok: registry.counter(count, &["ok"])?,
            error: registry.counter(count, &["error"])?,
            duration: registry.histogram(duration, &[])?,
        })
    }

    fn count(&self, took: Duration, is_ok: bool) {
        if is_ok { &self.ok } else { &self.error }.increment();
        self.duration.observe_duration(took);
    }
}

/// What indexes count with.
#[derive(Debug)]
pub struct Metrics {
    applied: Counter,
    queries: Outcomes,
    flushes: Outcomes,
    merges: Outcomes,
}

impl Metrics {
    /// Registers every metric.
    ///
    /// # Errors
    /// When another crate has given one of the names another meaning.
    pub fn new(registry: &Registry) -> Result<Self, MetricError> {
        Ok(Self {
            applied: registry.counter(&APPLIED, &[])?,
            queries: Outcomes::new(registry, &QUERIES, &QUERY_DURATION)?,
            flushes: Outcomes::new(registry, &FLUSHES, &FLUSH_DURATION)?,
            merges: Outcomes::new(registry, &MERGES, &MERGE_DURATION)?,
        })
    }

    pub(crate) fn applied(&self, changes: u64) {
        self.applied.add(changes);
    }

    pub(crate) fn queried(&self, took: Duration, is_ok: bool) {
        self.queries.count(took, is_ok);
    }

    pub(crate) fn flushed(&self, took: Duration, is_ok: bool) {
        self.flushes.count(took, is_ok);
    }

    pub(crate) fn merged(&self, took: Duration, is_ok: bool) {
        self.merges.count(took, is_ok);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_is_well_formed_and_counted() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        assert_eq!(registry.inventory().len(), ALL.len());
        metrics.applied(3);
        metrics.queried(Duration::ZERO, true);
        metrics.flushed(Duration::ZERO, false);
        metrics.merged(Duration::ZERO, true);
        assert_eq!(metrics.applied.get(), 3);
        for (outcomes, ok) in [(&metrics.queries, 1), (&metrics.flushes, 0), (&metrics.merges, 1)] {
            assert_eq!((outcomes.ok.get(), outcomes.error.get()), (ok, 1 - ok));
            assert_eq!(outcomes.duration.summary().count, 1);
        }
    }
}
