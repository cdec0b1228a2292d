//! The settings of search, as the engine takes them.

use std::time::Duration;

use super::read::Reader;
use super::{Config, Search};
use crate::engine::SearchOptions;

/// Memtables of an index that wait to be written, beside the one that takes changes.
const WAITING: usize = 3;
/// The part of the process's memory that the cache takes unless it is set.
const CACHE_PART: u64 = 8;

impl Reader<'_> {
    pub(super) fn search(&self, total_bytes: u64) -> Search {
        let cache = self.some("search.cache_mb").unwrap_or(total_bytes / CACHE_PART);
        Search {
            unindexed_bytes: self.size("search.unindexed_mb"),
            cache_bytes: usize::try_from(cache).unwrap_or(usize::MAX),
            segments_max: self.size("search.compaction.max_segments"),
            compact_every: Duration::from_secs(self.number("search.compaction.interval_secs")),
            segment_bytes_min: self.number("search.compaction.min_segment_size"),
        }
    }
}

impl Config {
    /// The options of search; what no setting names keeps its default.
    #[must_use]
    pub fn search_options(&self) -> SearchOptions {
        let Search { unindexed_bytes, cache_bytes, segments_max, compact_every, segment_bytes_min } =
            self.search;
        let defaults = search::index::Options::default();
        // No query that somebody waits for should find its files gone.
        let longest = self.http.as_ref().map_or(Duration::ZERO, |http| http.request_timeout);
        let index = search::index::Options {
            grace: defaults.grace.max(longest.saturating_mul(2)),
            memtable_bytes: unindexed_bytes / (WAITING + 1),
            waiting_max: WAITING,
            unindexed_bytes_max: unindexed_bytes,
            segments_max,
            segment_bytes_min,
            compact_every,
            ..defaults
        };
        SearchOptions { index, cache_bytes, ..SearchOptions::default() }
    }
}
