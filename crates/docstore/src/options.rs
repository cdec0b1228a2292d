//! Settings of the document store, with their ranges.

use std::time::Duration;

use base::limits::{TXN_BYTES_MAX, TXN_OPS_MAX};

use crate::data::{DATA_BYTES_MAX, Geometry, Parity};
use crate::error::{Result, StoreError};
use crate::rule::PropertyRule;

/// Settings of one database. Every one of them works; what is out of range is refused.
#[derive(Debug, Clone)]
pub struct Options {
    /// The log's settings. Who does the background work is said there, for both.
    pub log: wal::Options,
    /// How many bytes of log are written between two checkpoints. More means fewer writes of data
    /// files and a longer replay after a crash. Default 64 MiB.
    pub checkpoint_interval_bytes: u64,
    /// Whether checkpoints are made by themselves. Default true.
    pub checkpoint_auto: bool,
    /// How many checkpoints are kept, each usable: 2 or more. Default 2.
    pub checkpoints_max: usize,
    /// Whether a checkpoint lets go of the log that it covers. Default true.
    pub trim_after_checkpoint: bool,
    /// Data files are begun anew at this size, bytes. Default 256 MiB.
    pub data_file_bytes_max: u64,
    /// Whether data files carry parity blocks: 6 % of disk for healing without another copy.
    /// Default with.
    pub parity: Parity,
    /// Size and number of the blocks of a stripe: smaller ones are for simulation. Default
    /// standard, 16 of 64 KiB.
    pub geometry: Geometry,
    /// Documents that wait in memory for a data file, bytes, before a flush begins. At four
    /// times as much writers wait. Default 64 MiB.
    pub memtable_bytes_max: u64,
    /// Memory that one database may take of the process's, bytes. Default as much as there is.
    pub memory_bytes_max: u64,
    /// How long a writer waits for a flush before it is refused with `MemoryLimit`. Default 10 s.
    pub stall_max: Duration,
    /// Data files larger than this are compacted, smaller ones when they are larger together or
    /// nothing in one is needed. Default 100 MiB.
    pub compaction_min_file_bytes: u64,
    /// Data files of which more than this part is garbage are compacted. Default 0.3.
    pub compaction_garbage_ratio: f64,
    /// How long a snapshot lives without being used. Default 60 s.
    pub snapshot_ttl: Duration,
    /// Bytes of old versions that snapshots may hold; beyond them the oldest goes. Default 256 MiB.
    pub snapshot_held_bytes: u64,
    /// How long an interactive transaction may be open. Default 30 s.
    pub txn_timeout: Duration,
    /// Most bytes of one batch or transaction. Default and most
    /// [`TXN_BYTES_MAX`].
    pub txn_bytes_max: u64,
    /// Most operations of one batch or transaction. Default and most
    /// [`TXN_OPS_MAX`].
    pub txn_ops_max: u32,
    /// Whether damaged documents are healed at all. Default true.
    pub healing: bool,
    /// Whether they are healed when a read finds them. Default true.
    pub healing_on_read: bool,
    /// Damaged places that parity cannot undo after which a step of a scrub ends: the documents
    /// there are healed from the log, and the next step goes on behind them. Default 100.
    pub healing_batch: usize,
    /// How long after a step of the scrub the next one begins. Default 1 h.
    pub healing_interval: Duration,
    /// Which property of collections makes rules for their documents. Default none.
    pub rule: Option<PropertyRule>,
    /// Whether the log, from the opening of the database on, keeps all changes that it still has for
    /// [`Database::take_opening_hold`](crate::Database::take_opening_hold): for who derives something of
    /// them and does not know yet where it stands. Default false.
    pub hold_changes: bool,
    /// A defect to run with, so that the tests can show that they notice.
    #[cfg(feature = "planted-bugs")]
    pub planted: Option<crate::planted::Bug>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            log: wal::Options::default(),
            checkpoint_interval_bytes: 64 * 1024 * 1024,
            checkpoint_auto: true,
            checkpoints_max: 2,
            trim_after_checkpoint: true,
            data_file_bytes_max: 256 * 1024 * 1024,
            parity: Parity::On,
            geometry: Geometry::Standard,
            memtable_bytes_max: 64 * 1024 * 1024,
            memory_bytes_max: u64::MAX,
            stall_max: Duration::from_secs(10),
            compaction_min_file_bytes: 100 << 20,
            compaction_garbage_ratio: 0.3,
            snapshot_ttl: Duration::from_secs(60),
            snapshot_held_bytes: 256 * 1024 * 1024,
            txn_timeout: Duration::from_secs(30),
            txn_bytes_max: TXN_BYTES_MAX,
            txn_ops_max: TXN_OPS_MAX,
            healing: true,
            healing_on_read: true,
            healing_batch: 100,
            healing_interval: Duration::from_secs(3600),
            rule: None,
            hold_changes: false,
            #[cfg(feature = "planted-bugs")]
            planted: None,
        }
    }
}

impl Options {
    /// Checks every range.
    ///
    /// # Errors
    /// Names the first setting that is out of range.
    pub fn validate(&self) -> Result<()> {
        self.log.validate()?;
        let bad = |setting, value, rule| Err(StoreError::Setting { setting, value, rule });
        if self.checkpoint_interval_bytes == 0 {
            return bad("checkpoint.interval", 0, "at least one byte");
        }
        if self.checkpoints_max < 2 || self.checkpoints_max > 64 {
            return bad("checkpoint.max_checkpoints", self.checkpoints_max as u64, "from 2 to 64");
        }
        if self.data_file_bytes_max == 0 || self.data_file_bytes_max > DATA_BYTES_MAX / 2 {
            let value = self.data_file_bytes_max;
            return bad(
                "data.file_bytes_max",
                value,
                "from 1 byte to half of what a file can hold",
            );
        }
        if self.memtable_bytes_max < 1024 {
            return bad("memtable_bytes_max", self.memtable_bytes_max, "at least 1 KiB");
        }
        if !(self.compaction_garbage_ratio > 0.0 && self.compaction_garbage_ratio < 1.0) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "shown in an error, rounded"
            )]
            let value = self.compaction_garbage_ratio as u64;
            return bad("compaction.garbage_ratio", value, "between 0 and 1");
        }
        if self.healing_batch == 0 {
            return bad("healing.max_batch_size", 0, "at least one place");
        }
        if self.healing_interval.is_zero() {
            return bad("healing.interval", 0, "not zero");
        }
        if self.txn_bytes_max == 0 || self.txn_bytes_max > TXN_BYTES_MAX {
            return bad("txn.bytes_max", self.txn_bytes_max, "from 1 byte to 256 MiB");
        }
        if self.txn_ops_max == 0 || self.txn_ops_max > TXN_OPS_MAX {
            return bad("txn.ops_max", self.txn_ops_max.into(), "from 1 to 1,000,000");
        }
        Ok(())
    }
}
