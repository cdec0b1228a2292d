//! The settings of a database, as the document store takes them.

use docstore::data::Parity;

use super::Config;

/// The first segment of a log, unless all are to be smaller.
const FIRST_SEGMENT_BYTES: u64 = 1024 * 1024;

impl Config {
    /// The options of every database; what no setting names keeps its default.
    #[must_use]
    pub fn store_options(&self) -> docstore::Options {
        let log = wal::Options {
            fsync: self.wal.fsync,
            segment_bytes_first: FIRST_SEGMENT_BYTES.min(self.wal.segment_bytes_max),
            segment_bytes_max: self.wal.segment_bytes_max,
            keep_segments: self.wal.keep_segments,
            retain_bytes: self.wal.retain_bytes,
            max_segments: self.wal.max_segments,
            group_commits_max: self.wal.group_commits_max,
            ..wal::Options::default()
        };
        docstore::Options {
            log,
            checkpoint_interval_bytes: self.checkpoint.interval_bytes,
            checkpoint_auto: self.checkpoint.auto_create,
            checkpoints_max: self.checkpoint.max_checkpoints,
            trim_after_checkpoint: self.wal.trim_after_checkpoint,
            parity: if self.data.parity { Parity::On } else { Parity::Off },
            compaction_min_file_bytes: self.compaction.min_file_bytes,
            compaction_garbage_ratio: self.compaction.garbage_ratio,
            snapshot_ttl: self.snapshot.ttl,
            snapshot_held_bytes: self.snapshot.held_bytes,
            txn_timeout: self.transactions.timeout,
            txn_bytes_max: self.transactions.bytes_max,
            txn_ops_max: self.transactions.ops_max,
            memory_bytes_max: self.databases.memory_bytes,
            healing: self.healing.enabled,
            healing_on_read: self.healing.on_read,
            healing_batch: self.healing.max_batch_size,
            healing_interval: self.healing.interval,
            ..docstore::Options::default()
        }
    }
}
