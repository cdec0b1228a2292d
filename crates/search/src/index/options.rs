//! What an index may hold, and when it does something by itself.

use std::time::Duration;

/// The settings of an index. The defaults are those of `search.*` in the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Bytes of a memtable from which on it is flushed.
    pub memtable_bytes: usize,
    /// Memtables that may wait for their flush beside the one that takes changes.
    pub waiting_max: usize,
    /// Bytes in memory that no segment has, over which no more should be written: [`super::Index::admits`].
    pub unindexed_bytes_max: usize,
    /// How old the oldest change in memory may become before it is flushed. Longer is fewer, larger segments and a
    /// longer replay after a start.
    pub flush_after: Duration,
    /// Most segments; beyond it neighbours are merged whatever their size.
    pub segments_max: usize,
    /// Bytes below which a segment is small: small ones are merged first, and after an interval in any case.
    pub segment_bytes_min: u64,
    /// Bytes that no merge makes a segment larger than, since a merge is made in memory.
    pub merge_bytes_max: u64,
    /// The part of a segment's rows that may be dead before it is written anew.
    pub dead_ratio_max: f64,
    /// How long small segments may stay beside each other.
    pub compact_every: Duration,
    /// How long files that no manifest names any more are kept for readers that still have them.
    pub grace: Duration,
    /// The recall that approximate search of vectors aims at.
    pub recall: f32,
    /// Threads that the making of one segment may use.
    pub threads: usize,
    /// A defect to run with, so that the tests can show that they notice.
    #[cfg(feature = "planted-bugs")]
    pub planted: Option<crate::planted::Bug>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memtable_bytes: 32 * 1024 * 1024,
            waiting_max: 3,
            unindexed_bytes_max: 128 * 1024 * 1024,
            flush_after: Duration::from_secs(60),
            segments_max: 100,
            segment_bytes_min: 10 * 1024 * 1024,
            merge_bytes_max: 1024 * 1024 * 1024,
            dead_ratio_max: 0.3,
            compact_every: Duration::from_secs(3600),
            grace: Duration::from_secs(600),
            recall: 0.95,
            threads: 1,
            #[cfg(feature = "planted-bugs")]
            planted: None,
        }
    }
}
