//! The search indexes of the server: opened with their database, fed by its change feed, flushed, made again when
//! they have to be, and removed with their collection.
//!
//! A collection with a search schema has an index (`search::index`). Here is what stands between the two stores: who
//! reads the feed, and when. **Nobody has a thread for a database.** Whoever needs an index at a position reads the
//! feed up to there himself ([`Indexing::snapshot`]); what nobody asks for is read by the one thread of
//! `keep.rs`, so that what waits stays little. Live and after a start it is the same loop (`follow.rs`).
//!
//! | thread | does |
//! |---|---|
//! | `indexes` (`keep.rs`) | reads feeds that nobody reads, opens indexes, tries again what failed |
//! | `builds` (`build.rs`) | makes indexes of documents, a piece of each in turn |
//! | `flushes` (`segments.rs`) | writes what indexes have in memory |
//! | `segments` (`segments.rs`, `removal.rs`) | compacts and sweeps indexes, deletes the files of those that are gone |
//!
//! A panic of work on one index ends at that index, which is made again (`contain.rs`).
//!
//! Invariants:
//! - An index has applied all changes of its collection up to the position of its database's `Following`, and
//!   answers only positions that it has reached.
//! - What is on disk of an index is derived. What cannot be used, whatever the reason, is made again of the documents;
//!   until then there is no snapshot, and queries look at the documents.
//! - One index at most is open at a place; who writes or deletes there says so (`Shared::busy`), and nobody else makes
//!   or deletes an index there meanwhile.
//! - The log keeps the changes that no segment has, within its own bounds (`wal.retain_mb`); an index that falls
//!   behind those is made again.
//! - The order of locks: `builds`, `following`, `busy`, `shown`. None but `builds` and `following` is held over I/O.
//!
//! Start with [`Indexing::snapshot`], then `database.rs` and `follow.rs`.

mod admission;
mod build;
mod contain;
mod database;
mod follow;
mod keep;
mod opening;
mod removal;
mod segments;
mod state;
#[cfg(test)]
mod tests;
mod trouble;

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;

use base::clock::ClockRef;
use base::error::{Code, Coded as _};
use base::io::DiskRef;
use base::memory::{Budget, Reservation};
use base::metrics::Registry;
use base::rng::{self, Rng};
use base::words::{CollectionId, DatabaseId, Lsn};
use docstore::Database;
use search::index::{Backing, Environment, IndexError, Snapshot};
use search::metrics::Metrics;
use search::schema::Schema;
use search::storage::cache::{Blocks, MemoryCache};
use search::storage::{LocalStore, StoreRef};

use super::error::{EngineError, Result};
use build::Slots;
use database::Indexes;
use keep::Signal;
use removal::Removal;
use state::Busy;

pub use database::IndexesStatus;
pub use state::IndexState;

/// The directory of the indexes, below the data directory.
pub const SEARCH_DIR: &str = "search";

/// Settings of search.
#[derive(Debug, Clone)]
pub struct SearchOptions {
    /// Those of every index.
    pub index: search::index::Options,
    /// Memory for blocks of segments that were read, bytes.
    pub cache_bytes: usize,
    /// Changes that may wait to be applied to an index before writes to its collection wait.
    pub lag_changes_max: u64,
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self {
            index: search::index::Options::default(),
            cache_bytes: 64 * 1024 * 1024,
            lag_changes_max: 65_536,
        }
    }
}

/// A thread of search: its name, and what it does until it is told to end.
type Thread = (&'static str, fn(&Shared));

const THREADS: [Thread; 4] = [
    ("indexes", keep::run),
    ("builds", build::run),
    ("flushes", segments::run_flushes),
    ("segments", segments::run_merges),
];

/// The indexes of all open databases.
#[derive(Debug)]
pub(super) struct Indexing {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What everything here shares.
#[derive(Debug)]
struct Shared {
    options: SearchOptions,
    clock: ClockRef,
    backing: Backing,
    /// Where the files are.
    disk: DiskRef,
    root: PathBuf,
    metrics: Arc<Metrics>,
    rng: Mutex<Rng>,
    open: RwLock<HashMap<DatabaseId, Arc<Indexes>>>,
    busy: Busy,
    removals: Mutex<VecDeque<Removal>>,
    slots: Slots,
    keeper: Signal,
    builder: Signal,
    flusher: Signal,
    merger: Signal,
    counts: Counts,
    /// Whether there was no room in the budget for what no segment has.
    is_short: AtomicBool,
    budget: Budget,
    _cache: Reservation,
}

/// What is counted of the indexes of a process.
#[derive(Debug, Default)]
struct Counts {
    /// Indexes that were made of their documents.
    built: AtomicU64,
    /// Attempts to open, feed, make, ask or remove one that failed.
    failed: AtomicU64,
}

impl Counts {
    fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic leaves behind is an index that is behind or missing, and both are noticed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Indexing {
    /// Opens the store of indexes below the data directory `dir`, and starts the threads.
    ///
    /// # Errors
    /// `FileOpen` when another process has it; the disk's; `MemoryLimit` when there is no room for the cache.
    pub(super) fn start(
        (disk, clock, dir): (&DiskRef, &ClockRef, &Path),
        options: SearchOptions,
        budget: &Budget,
        registry: &Registry,
    ) -> Result<Self> {
        let root = dir.join(SEARCH_DIR);
        let store = LocalStore::open(Arc::clone(disk), &root)
            .map_err(|error| EngineError::new(error.code(), error.to_string()))?;
        let memory = budget.reserve("search cache", options.cache_bytes as u64);
        let cache = memory.map_err(|e| EngineError::new(Code::MemoryLimit, e.to_string()))?;
        let metrics = Metrics::new(registry).map_err(|error| {
            EngineError::new(Code::Internal, format!("the metrics do not fit together: {error}"))
        })?;
        let blocks = Blocks::new(Box::new(MemoryCache::new(options.cache_bytes)), 0);
        let mut seed = [0; 8];
        rng::os_bytes(&mut seed).map_err(|e| EngineError::new(Code::FileOpen, e.to_string()))?;
        let shared = Arc::new(Shared {
            options,
            clock: ClockRef::clone(clock),
            backing: Backing { store: Arc::new(store) as StoreRef, blocks },
            disk: Arc::clone(disk),
            root,
            metrics: Arc::new(metrics),
            rng: Mutex::new(Rng::new(u64::from_le_bytes(seed))),
            open: RwLock::default(),
            busy: Busy::default(),
            removals: Mutex::default(),
            slots: Slots::default(),
            keeper: Signal::default(),
            builder: Signal::default(),
            flusher: Signal::default(),
            merger: Signal::default(),
            counts: Counts::default(),
            is_short: AtomicBool::new(false),
            budget: budget.clone(),
            _cache: cache,
        });
        let all = Self { shared, threads: Mutex::default() };
        for (name, run) in THREADS {
            let theirs = Arc::clone(&all.shared);
            // Where one cannot be had, those before it end with `all`.
            let thread = base::workers::spawn(name, move || run(&theirs)).map_err(|error| {
                EngineError::new(Code::QueueFull, format!("no thread for search: {error}"))
            })?;
            lock(&all.threads).push(thread);
        }
        Ok(all)
    }

    /// Takes notice of a database that was opened. Finds out whether it has namespaces; their indexes are opened later.
    pub(super) fn opened(&self, database: &Database) {
        let indexes = Arc::new(Indexes::new(&self.shared, database));
        // What fails here is tried again.
        _ = lock(&indexes.following).try_advance(&indexes, Lsn::ZERO);
        self.shared.open_mut().insert(database.id(), indexes);
        self.shared.keeper.wake();
    }

    /// Lets go of a database that is about to be closed: nothing reads its feed any more when this returns. What is
    /// returned keeps the log until the database is closed; drop it then.
    #[must_use]
    pub(super) fn leave(&self, database: DatabaseId) -> Option<Arc<Indexes>> {
        let indexes = self.shared.open_mut().remove(&database)?;
        indexes.close();
        Some(indexes)
    }

    /// The same of all databases.
    #[must_use]
    pub(super) fn leave_all(&self) -> Vec<Arc<Indexes>> {
        let all: Vec<Arc<Indexes>> = self.shared.open_mut().drain().map(|(_, all)| all).collect();
        all.iter().for_each(|indexes| indexes.close());
        all
    }

    /// Has the files of a database that is gone for good removed.
    pub(super) fn remove_database(&self, database: DatabaseId) {
        self.shared.remove(Removal::Database(database));
    }

    /// Removes what is left of databases that are not among those that there are.
    pub(super) fn remove_unknown(&self, is_known: impl Fn(&str) -> bool) {
        removal::remove_unknown(&self.shared, is_known);
    }

    /// The state of the index of a collection at `at` or later, for a query under `schema`. What is missing is applied
    /// first, by the caller; `go_on` is asked now and then whether anybody still waits.
    ///
    /// None when there is no index that can answer now: it is being opened or made, it failed, or the collection has
    /// none. To see every write that was answered, read the schema first and then
    /// [`Database::position`] for `at`; [`Lsn::ZERO`] takes the state as it is.
    ///
    /// # Errors
    /// What `go_on` answers.
    pub(super) fn snapshot(
        &self,
        database: &Database,
        (collection, schema): (CollectionId, &Schema),
        at: Lsn,
        go_on: &dyn Fn() -> Result<()>,
    ) -> Result<Option<Snapshot>> {
        match self.shared.of(database.id()) {
            Some(indexes) => indexes.snapshot((collection, schema), at, go_on),
            None => Ok(None),
        }
    }

    /// What is said of the index of a collection; none when it has none.
    pub(super) fn state(
        &self,
        database: &Database,
        collection: CollectionId,
    ) -> Option<IndexState> {
        self.shared.of(database.id())?.state(collection)
    }

    /// There is a namespace: where nothing is followed yet, that begins.
    pub(super) fn begin(&self, database: DatabaseId) {
        if let Some(indexes) = self.shared.of(database)
            && indexes.shown().is_empty()
        {
            indexes.is_wanted.store(true, Ordering::Release);
            self.shared.keeper.wake();
        }
    }

    /// A query of a collection failed in its index. When that is because files are damaged, the index is made again,
    /// and the query should look at the documents.
    pub(super) fn failed(&self, database: &Database, collection: CollectionId, error: &IndexError) {
        if let Some(indexes) = self.shared.of(database.id()) {
            indexes.query_failed(collection, error);
        }
    }

    /// What is known of the indexes of a database; none when it is not open.
    pub(super) fn status(&self, database: DatabaseId) -> Option<IndexesStatus> {
        self.shared.of(database).map(|indexes| indexes.status())
    }

    /// Indexes that were made of their documents, and attempts of anything that failed, since the start.
    pub(super) fn totals(&self) -> (u64, u64) {
        let Counts { built, failed } = &self.shared.counts;
        (built.load(Ordering::Relaxed), failed.load(Ordering::Relaxed))
    }

    /// The cache of blocks.
    pub(super) fn blocks(&self) -> &Arc<Blocks> {
        &self.shared.backing.blocks
    }

    /// Ends the threads, each after the step that it is in. May be called again.
    pub(super) fn stop(&self) {
        self.stop_soon();
        for thread in lock(&self.threads).drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of search panicked");
            }
        }
    }

    /// Tells the threads to end, without waiting for them.
    pub(super) fn stop_soon(&self) {
        let Shared { keeper, builder, flusher, merger, .. } = &*self.shared;
        [keeper, builder, flusher, merger].into_iter().for_each(Signal::stop);
    }
}

impl Drop for Indexing {
    fn drop(&mut self) {
        self.stop_soon();
        // They hold what holds them.
        self.shared.open_mut().clear();
    }
}

impl Shared {
    fn open_mut(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<DatabaseId, Arc<Indexes>>> {
        self.open.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, database: DatabaseId) -> Option<Arc<Indexes>> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.get(&database).cloned()
    }

    fn all(&self) -> Vec<Arc<Indexes>> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.values().cloned().collect()
    }

    fn environment(&self) -> Environment {
        Environment {
            clock: ClockRef::clone(&self.clock),
            rng: lock(&self.rng).fork(),
            metrics: Arc::clone(&self.metrics),
            record: None,
        }
    }

    fn remove(&self, removal: Removal) {
        lock(&self.removals).push_back(removal);
        self.merger.wake();
    }
}
