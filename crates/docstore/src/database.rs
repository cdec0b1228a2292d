//! One open database: what its parts share, and the order in which they may be locked.
//!
//! Lock order: `job` → `core` → `state` → `snapshots`. `core` serialises
//! writers and is not held over I/O but for claiming log space; `job` serialises flushes,
//! compactions and scrubs and is held over I/O; `state` is held for lookups and small changes only.
//!
//! Start with [`Database`]; `write.rs` has the way of a write, `read.rs` that of a read,
//! `checkpoint.rs` what happens in the background.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};

use base::clock::WallMs;
use base::memory::{Budget, Reservation};
use base::words::{CollectionId, DatabaseId, Lsn, Name};
use wal::{Environment, Log, ReaderMark};

use crate::checkpoint::Job;
use crate::error::{Result, StoreError};
use crate::options::Options;
use crate::snapshots::Snapshots;
use crate::state::State;
use crate::stats::{Counters, Shown};

/// An open database. Cheap to clone; clones are the same database. Closed by
/// [`Database::close`] or when the last clone is dropped.
#[derive(Clone)]
pub struct Database {
    pub(crate) inner: Arc<Inner>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database")
            .field("name", &self.inner.name)
            .field("id", &self.inner.id)
            .finish_non_exhaustive()
    }
}

/// The right to place writes.
#[derive(Debug)]
pub(crate) struct Core;

/// The positions behind which the log is kept.
#[derive(Debug)]
pub(crate) struct Marks {
    pub(crate) checkpoint: ReaderMark,
    pub(crate) parity: Mutex<ReaderMark>,
    /// What `hold_changes` asks for, until somebody takes it over.
    pub(crate) changes: Mutex<Option<ReaderMark>>,
}

pub(crate) struct Inner {
    pub(crate) env: Environment,
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    pub(crate) id: DatabaseId,
    pub(crate) name: Name,
    pub(crate) created: WallMs,
    pub(crate) log: Log,
    pub(crate) marks: Marks,
    pub(crate) core: Mutex<Core>,
    pub(crate) state: RwLock<State>,
    pub(crate) job: Mutex<Job>,
    pub(crate) snapshots: Mutex<Snapshots>,
    /// Number of the next collection; never goes back.
    pub(crate) next_collection: AtomicU32,
    /// Bytes written since the last checkpoint.
    pub(crate) since_checkpoint: AtomicU64,
    /// The newest LSN that `state` has.
    pub(crate) applied: AtomicU64,
    /// The log's epoch in which `state` is: it changes when writes that failed are taken back.
    pub(crate) epoch: AtomicU64,
    pub(crate) closed: AtomicBool,
    pub(crate) budget: Budget,
    /// What the memtables have reserved of the budget, and the same number for those in a hurry.
    pub(crate) reservation: Mutex<Reservation>,
    pub(crate) reserved: AtomicU64,
    pub(crate) counters: Counters,
    pub(crate) shown: Mutex<Arc<Shown>>,
    /// How many writers wait for memory, which a flush gives back.
    pub(crate) starving: AtomicUsize,
    /// Whether somebody who does not wait was sent away for want of memory since the last flush.
    pub(crate) hungry: AtomicBool,
    /// Where they wait.
    pub(crate) flushed: (Mutex<()>, Condvar),
    pub(crate) background: crate::background::Background,
    /// Given back when the database is closed.
    pub(crate) held: Mutex<Option<Box<dyn base::io::Lock>>>,
}

/// Locks a mutex. After a panic in a critical section the data is entered all the same: every
/// section leaves it whole, and readers must go on.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The position of readers. Ask for it under the state's lock: what a reader there needs is
    /// kept for as long as the lock is held.
    pub(crate) fn position(&self) -> Lsn {
        let applied = Lsn(self.applied.load(Ordering::Acquire));
        applied.min(self.log.visible())
    }

    /// The oldest position that anybody reads at.
    pub(crate) fn oldest_reader(&self) -> Lsn {
        let position = self.position();
        lock(&self.snapshots).oldest().map_or(position, |oldest| oldest.min(position))
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::DbNotOpen(Arc::from("it was closed")));
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }

    /// Takes back what failed since the state's epoch. Under the core's lock.
    pub(crate) fn rewind(&self, _core: &mut Core) {
        let epoch = self.epoch.load(Ordering::Acquire);
        let Some((now, from)) = self.log.rewound_since(epoch) else { return };
        let last = Lsn(from.0.saturating_sub(1));
        let mut state = self.state_mut();
        state.take_back(last);
        self.applied.fetch_min(last.0, Ordering::AcqRel);
        self.epoch.store(now, Ordering::Release);
        drop(state);
        tracing::warn!(%from, "writes that failed were taken back");
    }
}

impl Database {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.inner.name
    }

    /// Its identity: given at creation and at restore, never reused.
    #[must_use]
    pub fn id(&self) -> DatabaseId {
        self.inner.id
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.inner.path()
    }

    /// The newest LSN that reads see.
    #[must_use]
    pub fn position(&self) -> Lsn {
        let _state = self.inner.read();
        self.inner.position()
    }

    /// The newest LSN that power loss cannot take, and that the change feed shows.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        self.inner.log.durable()
    }

    /// Makes everything acknowledged durable; in modes `always` and `group` it is so already.
    ///
    /// # Errors
    /// `DurabilityUnknown` when the sync fails; writes are refused then until it is reopened.
    pub fn sync(&self) -> Result<Lsn> {
        self.inner.check_open()?;
        Ok(self.inner.log.sync()?)
    }

    /// "Now" for requests: the clock's wall time, never before that of any write.
    #[must_use]
    pub fn now(&self) -> WallMs {
        self.inner.log.wall()
    }

    /// How many documents of a collection are visible. Writes that wait for their sync count
    /// already.
    ///
    /// # Errors
    /// `CollectionNotFound`.
    pub fn count(&self, collection: CollectionId) -> Result<u64> {
        let now = self.inner.log.wall();
        let state = self.inner.read();
        state.collections.find(collection, self.inner.position())?;
        Ok(state.count(collection, now))
    }
}
