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
//! | `indexes` (`keep.rs`) | reads feeds that nobody reads, makes indexes of documents, tries again what failed |
//! | `segments` (`segments.rs`) | flushes, compacts and sweeps indexes, deletes the files of those that are gone |
//!
//! Invariants:
//! - An index has applied all changes of its collection up to the position of its database's [`Following`], and
//!   answers only positions that it has reached.
//! - What is on disk of an index is derived. What cannot be used, whatever the reason, is made again of the documents;
//!   until then there is no snapshot, and queries look at the documents.
//! - One index at most is open at a place, and one thread writes there (`Shared::busy`).
//! - The log keeps the changes that no segment has, within its own bounds (`wal.retain_mb`); an index that falls
//!   behind those is made again.
//! - The order of locks: `builds`, `following`, `busy`, `shown`. None but `builds` and `following` is held over I/O.
//!
//! Start with [`Indexing::snapshot`], then `follow.rs`.

mod build;
mod follow;
mod keep;
mod opening;
mod segments;
mod state;
#[cfg(test)]
mod tests;
mod trouble;

use std::collections::{BTreeMap, HashMap, HashSet};
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
use docstore::{Action, Database, Write};
use search::index::{Backing, Environment, IndexError, Snapshot};
use search::manifest::Place;
use search::metrics::Metrics;
use search::schema::Schema;
use search::storage::cache::{Blocks, MemoryCache};
use search::storage::{LocalStore, StoreRef};

use super::error::{EngineError, Result};
use build::Build;
use follow::Following;
use keep::Signal;
use segments::Removal;
use state::{Live, Shown};

pub use state::IndexState;

/// The directory of the indexes, below the data directory.
pub const SEARCH_DIR: &str = "search";
/// Changes that may wait to be applied to the indexes of a database before writes to its namespaces wait.
const LAG_MAX: u64 = 65_536;

/// Settings of search.
#[derive(Debug, Clone)]
pub struct SearchOptions {
    /// Those of every index.
    pub index: search::index::Options,
    /// Memory for blocks of segments that were read, bytes.
    pub cache_bytes: usize,
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self { index: search::index::Options::default(), cache_bytes: 64 * 1024 * 1024 }
    }
}

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
    /// Places where the thread of segments writes.
    busy: Mutex<HashSet<Place>>,
    removals: Mutex<Vec<Removal>>,
    keeper: Signal,
    segments: Signal,
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
    /// Attempts to open, feed, make or remove one that failed.
    failed: AtomicU64,
}

/// The indexes of one open database.
#[derive(Debug)]
pub(super) struct Indexes {
    shared: Arc<Shared>,
    database: Database,
    following: Mutex<Following>,
    builds: Mutex<BTreeMap<CollectionId, Build>>,
    shown: RwLock<HashMap<CollectionId, Shown>>,
    /// The position of `following`.
    position: AtomicU64,
    is_closed: AtomicBool,
    /// Whether there may be a namespace though none is followed.
    is_wanted: AtomicBool,
    memory: Mutex<Reservation>,
}

/// What is known of the indexes of a database, for health and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexesStatus {
    /// Those that answer.
    pub ready: u64,
    /// Those that are opened or made.
    pub building: u64,
    /// Those that cannot be opened or made for now.
    pub failed: u64,
    /// Those with which something is wrong, made again or not, and what: the first few.
    pub troubled: Vec<(CollectionId, Arc<str>)>,
    /// Segments.
    pub segments: u64,
    /// Bytes of segments.
    pub segment_bytes: u64,
    /// Rows that are alive in indexes that answer.
    pub rows: u64,
    /// Bytes in memory that no segment has.
    pub unindexed_bytes: u64,
    /// Changes that are not applied yet.
    pub lag: u64,
}

/// Bytes that a write brings to the index of its collection, about.
fn bytes_of(action: &Action) -> usize {
    match action {
        Action::Create(document, _) | Action::Update(document, _) | Action::Upsert(document, _) => {
            document.as_bytes().len()
        }
        Action::Patch(_) | Action::Delete => 0,
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
            busy: Mutex::default(),
            removals: Mutex::default(),
            keeper: Signal::default(),
            segments: Signal::default(),
            counts: Counts::default(),
            is_short: AtomicBool::new(false),
            budget: budget.clone(),
            _cache: cache,
        });
        let mut threads = Vec::new();
        for (name, run) in
            [("indexes", keep::run as fn(&Shared)), ("segments", segments::run as fn(&Shared))]
        {
            let theirs = Arc::clone(&shared);
            let thread = base::workers::spawn(name, move || run(&theirs)).map_err(|error| {
                EngineError::new(Code::QueueFull, format!("no thread for search: {error}"))
            })?;
            threads.push(thread);
        }
        Ok(Self { shared, threads: Mutex::new(threads) })
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
        segments::remove_unknown(&self.shared, is_known);
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
        let Some(indexes) = self.shared.of(database.id()) else { return Ok(None) };
        if !indexes.reach(at, Some(collection), go_on)? {
            return Ok(None);
        }
        let Some(live) = indexes.live(collection) else { return Ok(None) };
        // The position after the index, which has everything up to there: see `Following::go_back`.
        live.index.apply(Vec::new(), at.min(indexes.position()));
        let snapshot = live.index.snapshot();
        let is_fit = !schema.needs_build(snapshot.schema());
        Ok(Some(snapshot).filter(|snapshot| is_fit && snapshot.position() >= at))
    }

    /// What is said of the index of a collection; none when it has none.
    pub(super) fn state(
        &self,
        database: &Database,
        collection: CollectionId,
    ) -> Option<IndexState> {
        self.shared.of(database.id())?.state(collection)
    }

    /// Whether writes may be let in now, as far as the indexes of their collections go.
    ///
    /// # Errors
    /// `QueueFull` when one is too far behind, or has too much in memory: they should come again soon.
    pub(super) fn admit(&self, database: &Database, writes: &[Write]) -> Result<()> {
        let Some(indexes) = self.shared.of(database.id()) else { return Ok(()) };
        if indexes.shown().is_empty() {
            return Ok(());
        }
        let mut bytes: BTreeMap<CollectionId, usize> = BTreeMap::new();
        for write in writes {
            *bytes.entry(write.collection).or_default() += bytes_of(&write.action);
        }
        match bytes.into_iter().find(|(collection, bytes)| !indexes.admits(*collection, *bytes)) {
            None => Ok(()),
            Some((collection, _)) => {
                let what = format!(
                    "the search index of the collection is too far behind; try again later \
                     collection={collection}"
                );
                Err(EngineError::new(Code::QueueFull, what))
            }
        }
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
            indexes.failed(collection, error);
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
        self.shared.keeper.stop();
        self.shared.segments.stop();
        for thread in lock(&self.threads).drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of search panicked");
            }
        }
    }

    /// Tells the threads to end, without waiting for them.
    pub(super) fn stop_soon(&self) {
        self.shared.keeper.stop();
        self.shared.segments.stop();
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
        lock(&self.removals).push(removal);
        self.segments.wake();
    }
}

impl Indexes {
    fn new(shared: &Arc<Shared>, database: &Database) -> Self {
        let hold = database.take_opening_hold();
        let memory = shared.budget.reserve("search", 0).expect("nothing always fits");
        Self {
            shared: Arc::clone(shared),
            database: database.clone(),
            following: Mutex::new(Following::new(hold)),
            builds: Mutex::default(),
            shown: RwLock::default(),
            position: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            is_wanted: AtomicBool::new(false),
            memory: Mutex::new(memory),
        }
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        lock(&self.builds).clear();
        // Waits for whoever reads the feed at the moment.
        lock(&self.following).rest();
        let _busy = lock(&self.shared.busy);
        for shown in self.shown().values() {
            shown.let_go();
        }
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    fn position(&self) -> Lsn {
        Lsn(self.position.load(Ordering::Acquire))
    }

    fn place(&self, collection: CollectionId) -> Place {
        Place { database: self.database.id(), collection }
    }

    fn shown(&self) -> std::sync::RwLockReadGuard<'_, HashMap<CollectionId, Shown>> {
        self.shown.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self, collection: CollectionId) -> Option<Arc<Live>> {
        self.shown().get(&collection)?.live().cloned()
    }

    fn state(&self, collection: CollectionId) -> Option<IndexState> {
        self.shown().get(&collection).map(Shown::state)
    }

    /// Changes that were written and not applied.
    fn lag(&self) -> u64 {
        self.database.durable().0.saturating_sub(self.position().0)
    }

    fn admits(&self, collection: CollectionId, bytes: usize) -> bool {
        let Some(live) = self.live(collection) else { return true };
        if self.lag() > LAG_MAX {
            self.shared.keeper.wake();
            return false;
        }
        let is_let_in = live.index.admits(bytes);
        if !is_let_in {
            self.shared.segments.wake();
        }
        is_let_in
    }

    fn status(&self) -> IndexesStatus {
        const NAMED_MAX: usize = 10;
        let mut status = IndexesStatus::default();
        for (collection, shown) in &*self.shown() {
            match shown.state() {
                IndexState::Ready => status.ready += 1,
                IndexState::Opening | IndexState::Building { .. } => status.building += 1,
                IndexState::Failed { .. } => status.failed += 1,
            }
            status.troubled.extend(shown.trouble().map(|why| (*collection, Arc::clone(why))));
            let Some(live) = shown.live() else { continue };
            let held = live.index.status();
            status.segments += held.segments;
            status.segment_bytes += held.segment_bytes;
            status.rows += held.rows;
            status.unindexed_bytes += held.unindexed_bytes;
        }
        status.troubled.sort_unstable_by_key(|(collection, _)| *collection);
        status.troubled.truncate(NAMED_MAX);
        if status != IndexesStatus::default() {
            status.lag = self.lag();
        }
        status
    }
}
