//! What a database counts and what it says of itself. Every number is measured.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::clock::WallMs;
use base::words::{CollectionId, DatabaseId, Lsn, Name};
use wal::LogStatus;

use crate::database::{Database, lock};
use crate::error::{Result, StoreError};
use crate::location::FileNumber;
use crate::manifest::{Checkpoint, Manifest};

/// What a checkpoint did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckpointReport {
    /// Where a replay starts now; none when there was nothing to do.
    pub lsn: Option<Lsn>,
    /// Documents moved from memory to data files.
    pub flushed: u64,
    /// Deletions written to data files.
    pub tombstones: u64,
    /// The data files that were rewritten.
    pub compacted: Vec<FileNumber>,
    /// Records that the rewriting copied.
    pub copied: u64,
    /// Bytes of log that were let go.
    pub trimmed_bytes: u64,
    /// How long it took.
    pub took: Duration,
}

impl CheckpointReport {
    /// What this one and the `next` did together.
    pub(crate) fn and(mut self, next: Self) -> Self {
        self.lsn = next.lsn.or(self.lsn);
        self.flushed += next.flushed;
        self.tombstones += next.tombstones;
        self.compacted.extend(next.compacted);
        self.copied += next.copied;
        self.trimmed_bytes += next.trimmed_bytes;
        self.took += next.took;
        self
    }
}

/// Statistics of an open database.
#[derive(Debug, Clone)]
pub struct DatabaseStats {
    /// Its name.
    pub name: Name,
    /// Its identity.
    pub id: DatabaseId,
    /// When it was made.
    pub created: WallMs,
    /// Its collections.
    pub collections: Vec<CollectionStats>,
    /// Writes that were committed since it was opened: operations.
    pub committed: u64,
    /// Visible documents.
    pub live: u64,
    /// Deletions kept in memory and data files.
    pub tombstones: u64,
    /// Documents in quarantine.
    pub quarantined: u64,
    /// The log.
    pub log: LogStatus,
    /// Data files and their bytes.
    pub data_files: u64,
    /// Bytes of data in them that was verified.
    pub data_bytes: u64,
    /// Records in them that nobody needs but older checkpoints.
    pub dead_records: u64,
    /// All records in them.
    pub records: u64,
    /// Versions of documents that wait for a data file.
    pub memtable_versions: u64,
    /// Memory of documents that wait for a data file.
    pub memtable_bytes: u64,
    /// Memory of the index.
    pub index_bytes: u64,
    /// Memory of old versions that snapshots hold.
    pub history_bytes: u64,
    /// All memory of the three, bytes.
    pub memory_used: u64,
    /// How much the database may take.
    pub memory_capacity: u64,
    /// Open snapshots.
    pub snapshots: u64,
    /// Snapshots that were let go because nobody used them, or they held too much.
    pub snapshots_expired: u64,
    /// Where a replay would start.
    pub checkpoint_lsn: Lsn,
    /// When the last checkpoint was taken; 0 = never.
    pub last_checkpoint: WallMs,
    /// Checkpoints since the database was opened.
    pub checkpoints: u64,
    /// Checkpoints that failed since then.
    pub checkpoints_failed: u64,
    /// How long the last one took.
    pub last_checkpoint_took: Duration,
    /// When a data file was compacted last; 0 = never.
    pub last_compaction: WallMs,
    /// Healing.
    pub healing: HealingStats,
}

/// Statistics of one collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionStats {
    /// Its number.
    pub collection: CollectionId,
    /// Its name.
    pub name: Name,
    /// Visible documents.
    pub live: u64,
    /// The newest change of anything in it.
    pub last_change: Lsn,
}

/// Statistics of healing since the database was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HealingStats {
    /// Complete passes of scrubs, and of healing on command, over all data files.
    pub scans: u64,
    /// Stripes that were checked.
    pub stripes: u64,
    /// Blocks made again from parity.
    pub blocks_healed: u64,
    /// Documents healed from the log or by parity.
    pub healed: u64,
    /// Documents found damaged.
    pub corrupted: u64,
    /// Documents that could not be healed.
    pub unrecoverable: u64,
    /// When a scan ended last; 0 = never.
    pub last_scan: WallMs,
    /// When something was healed last; 0 = never.
    pub last_healed: WallMs,
}

/// What the newest checkpoint left, for those who do not wait for the next one.
#[derive(Debug)]
pub(crate) struct Shown {
    checkpoint: Checkpoint,
    compacted: WallMs,
}

impl Shown {
    pub(crate) fn of(manifest: &Manifest) -> Arc<Self> {
        let (checkpoint, compacted) = (manifest.newest().clone(), manifest.compacted);
        Arc::new(Self { checkpoint, compacted })
    }
}

/// Counters of an open database.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    committed: AtomicU64,
    checkpoints: AtomicU64,
    checkpoints_failed: AtomicU64,
    /// Why the last one failed; none when it did not.
    checkpoint_failure: Mutex<Option<Arc<str>>>,
    checkpoint_ns: AtomicU64,
    last_checkpoint: AtomicU64,
    healing: Mutex<HealingStats>,
}

impl Counters {
    /// Of a database whose last checkpoint was taken then.
    pub(crate) fn since(last_checkpoint: WallMs) -> Self {
        Self { last_checkpoint: AtomicU64::new(last_checkpoint.0), ..Self::default() }
    }

    pub(crate) fn committed(&self, operations: u64) {
        self.committed.fetch_add(operations, Ordering::Relaxed);
    }

    pub(crate) fn checkpointed(&self, report: &CheckpointReport, now: WallMs) {
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
        let ns = u64::try_from(report.took.as_nanos()).unwrap_or(u64::MAX);
        self.checkpoint_ns.store(ns, Ordering::Relaxed);
        self.last_checkpoint.store(now.0, Ordering::Relaxed);
        *lock(&self.checkpoint_failure) = None;
    }

    /// Nothing to do is no failure any more either.
    pub(crate) fn nothing_to_checkpoint(&self) {
        *lock(&self.checkpoint_failure) = None;
    }

    pub(crate) fn checkpoint_failed(&self, why: &StoreError) {
        self.checkpoints_failed.fetch_add(1, Ordering::Relaxed);
        *lock(&self.checkpoint_failure) = Some(why.to_string().into());
    }

    pub(crate) fn heal(&self, count: impl FnOnce(&mut HealingStats)) {
        count(&mut lock(&self.healing));
    }

    pub(crate) fn healing(&self) -> HealingStats {
        *lock(&self.healing)
    }
}

impl Database {
    /// What its log looks like. Waits for nothing but short locks.
    #[must_use]
    pub fn log_status(&self) -> LogStatus {
        self.inner.log.status()
    }

    /// When the last checkpoint was taken; 0 = never. Waits for nothing.
    #[must_use]
    pub fn last_checkpoint(&self) -> WallMs {
        WallMs(self.inner.counters.last_checkpoint.load(Ordering::Relaxed))
    }

    /// Why the last checkpoint failed; none when it did not. While they fail the log grows. Waits
    /// for nothing but a short lock.
    #[must_use]
    pub fn checkpoint_failure(&self) -> Option<Arc<str>> {
        lock(&self.inner.counters.checkpoint_failure).clone()
    }

    /// How many documents have lost their newest version. Waits for nothing but a short lock.
    #[must_use]
    pub fn quarantined(&self) -> u64 {
        self.inner.read().quarantined().count() as u64
    }

    /// What the database says of itself. Waits for nothing but short locks: while a checkpoint is
    /// under way, what is said of files is what the one before it left.
    ///
    /// # Errors
    /// `DbNotOpen`.
    pub fn stats(&self) -> Result<DatabaseStats> {
        let inner = &self.inner;
        inner.check_open()?;
        let shown = Arc::clone(&lock(&inner.shown));
        let (manifest_newest, compacted) = (&shown.checkpoint, shown.compacted);
        let now = inner.log.wall();
        let state = inner.read();
        let position = inner.position();
        let collections: Vec<CollectionStats> = state
            .collections
            .at(position)
            .map(|(number, collection)| CollectionStats {
                collection: number,
                name: collection.name.clone(),
                live: state.count(number, now),
                last_change: collection.last_change,
            })
            .collect();
        let memory = state.index.memory();
        let index_bytes = (memory.trees + memory.layers + memory.base) as u64;
        let (memtable_bytes, history_bytes) = (state.memtable_bytes(), state.history.bytes());
        let files = &manifest_newest.files;
        let snapshots = lock(&inner.snapshots);
        let counters = &inner.counters;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ok(DatabaseStats {
            name: inner.name.clone(),
            id: inner.id,
            created: inner.created,
            live: collections.iter().map(|collection| collection.live).sum(),
            collections,
            committed: load(&counters.committed),
            tombstones: state.tombstones() + files.iter().map(|file| file.tombstones).sum::<u64>(),
            quarantined: state.quarantined().count() as u64,
            log: inner.log.status(),
            data_files: files.len() as u64,
            data_bytes: files.iter().map(|file| file.verified_len).sum(),
            dead_records: files.iter().map(|file| file.dead).sum(),
            records: files.iter().map(|file| file.records).sum(),
            memtable_versions: state.memtable_versions(),
            memtable_bytes,
            index_bytes,
            history_bytes,
            memory_used: memtable_bytes + index_bytes + history_bytes,
            memory_capacity: inner.budget.stats().limit,
            snapshots: snapshots.len() as u64,
            snapshots_expired: snapshots.expired(),
            checkpoint_lsn: manifest_newest.lsn,
            last_checkpoint: manifest_newest.wall,
            checkpoints: load(&counters.checkpoints),
            checkpoints_failed: load(&counters.checkpoints_failed),
            last_checkpoint_took: Duration::from_nanos(load(&counters.checkpoint_ns)),
            last_compaction: compacted,
            healing: counters.healing(),
        })
    }
}
