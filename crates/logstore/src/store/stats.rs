//! What the store knows of itself.

use std::sync::atomic::Ordering;
use std::time::Duration;

use base::metrics::Histogram;

use super::BatchedSqliteStorage;
use crate::error::Result;
use crate::queue::QueueDepth;
use crate::retention;

/// The middle and the slow end of some durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quantiles {
    /// How many there were.
    pub count: u64,
    /// Half of them took no longer.
    pub p50: Duration,
    /// 95 in 100 took no longer.
    pub p95: Duration,
    /// 99 in 100 took no longer.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

impl Quantiles {
    fn of(histogram: &Histogram) -> Self {
        let summary = histogram.summary();
        let at = |per_mille| Duration::from_nanos(summary.quantile(per_mille));
        Self {
            count: summary.count,
            p50: at(500),
            p95: at(950),
            p99: at(990),
            max: Duration::from_nanos(summary.max),
        }
    }
}

/// A store at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Entries that were accepted since the store was opened.
    pub stored: u64,
    /// Entries that were committed since then.
    pub committed: u64,
    /// Entries that were not stored since then, by reason.
    pub dropped: Vec<(&'static str, u64)>,
    /// What waits.
    pub queue: QueueDepth,
    /// Whether writes wait for room on the disk.
    pub is_disk_full: bool,
    /// Write transactions.
    pub commits: Quantiles,
    /// From the queue to the commit.
    pub commit_delay: Quantiles,
    /// Live tails.
    pub subscribers: usize,
    /// Files.
    pub partitions: usize,
    /// Files that were found damaged since the store was opened.
    pub damaged: u64,
    /// Entries in all files.
    pub entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Entries that were sealed since the store was opened.
    pub sealed_entries: u64,
    /// Bytes of their blocks.
    pub sealed_bytes: u64,
    /// Reading connections that are open and idle.
    pub idle_readers: usize,
}

impl BatchedSqliteStorage {
    /// What the store knows of itself. Looks at every file's size; sets the gauges.
    ///
    /// # Errors
    /// When a file cannot be looked at.
    pub fn stats(&self) -> Result<Stats> {
        let shared = self.shared();
        let metrics = &shared.metrics;
        retention::measure(shared);
        let queue = shared.queue.depth();
        self.set_queue_gauges(queue);
        let partitions = shared.partitions.all();
        Ok(Stats {
            stored: metrics.stored.get(),
            committed: metrics.committed.get(),
            dropped: metrics.drops(),
            queue,
            is_disk_full: shared.is_disk_full.load(Ordering::Acquire),
            commits: Quantiles::of(&metrics.commit_duration),
            commit_delay: Quantiles::of(&metrics.commit_delay),
            subscribers: shared.subscribers.count(),
            partitions: partitions.len(),
            damaged: metrics.damaged.get(),
            entries: partitions.iter().map(|partition| partition.bounds().rows).sum(),
            bytes: retention::total_bytes(shared)?,
            sealed_entries: metrics.sealed_entries.get(),
            sealed_bytes: metrics.sealed_stored.get(),
            idle_readers: shared.partitions.idle(),
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "a share of a few digits")]
    fn set_queue_gauges(&self, queue: QueueDepth) {
        let (metrics, options) = (&self.shared().metrics, &self.shared().options);
        let by_entries = queue.entries as f64 / options.queue_size as f64;
        let by_bytes = queue.bytes as f64 / options.queue_bytes as f64;
        metrics.queue_entries.set_count(queue.entries as u64);
        metrics.queue_bytes.set_count(queue.bytes as u64);
        metrics.queue_utilisation.set(by_entries.max(by_bytes));
        metrics.subscribers.set_count(self.shared().subscribers.count() as u64);
    }
}
