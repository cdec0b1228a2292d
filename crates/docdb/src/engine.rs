//! The engine: what every surface calls. It joins the stores, gives work its turn, and keeps the
//! process's own account of what it does.
//!
//! Nothing here knows of HTTP, frames or shells: requests are words of this module, answers come
//! through a [`Reply`]. Nothing here is asynchronous either; the surfaces bring that.
//!
//! Where to start: `documents` reads and writes, [`namespaces`] searches, `transactions`,
//! `collections` and `operations` do the rest, `work` is how anything gets its turn, `housekeeping` what happens by itself, `health`
//! what the server says of itself.

mod collections;
mod cursor;
mod databases;
mod documents;
mod error;
mod feed;
mod health;
mod housekeeping;
mod indexes;
mod logs;
pub mod metrics;
pub mod namespaces;
mod operations;
mod reply;
mod served;
mod transactions;
mod validate;
mod work;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use base::clock::{ClockRef, Instant};
use base::error::tracker::Tracker;
use base::error::{Code, Coded};
use base::memory::Budget;
use base::words::Name;
use base::workers::pool::{Pool, PoolOptions, Start};
use docstore::{Store, StoreError};
use wal::{Environment, WalError};

pub use collections::{CollectionInfo, DropCollection};
pub use documents::{Op, OpAnswer, OpAnswers, OpKind, Scan, ScanPage, Together};
pub use error::{EngineError, Result};
pub use feed::{ChangeKind, ChangeOut, Changes, PIECE_CHANGES_MAX};
pub use health::{DatabaseHealth, Health, LogHealth, Verdict};
pub use indexes::{IndexState, IndexesStatus, SEARCH_DIR, SearchOptions};
pub use logs::{LOGS_DIR, LogTail, Logs, LogsHealth, logs_dir};
pub use operations::{BackupTarget, VersionInfo};
pub use reply::Reply;
pub use served::{Condition, Served, WATCHERS_MAX, Watching};
pub use transactions::{Committed, TRANSACTIONS_MAX, TransactionId};
pub use validate::{FLAWS_MAX, Flaw, Validation};
pub use work::How;

use crate::scheduler::{Lane, Scheduler, SchedulerOptions};
use cursor::Cursors;
pub(crate) use cursor::again as cursor_again;
use housekeeping::Signal;
use indexes::Indexing;
use metrics::Meters;
use transactions::Transactions;

/// Settings of the engine, made of the configuration.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The data directory.
    pub dir: PathBuf,
    /// Settings of every database.
    pub store: docstore::Options,
    /// Memory for documents that wait, caches and requests, of the whole process, bytes.
    pub memory_bytes: u64,
    /// The workers and their queues.
    pub scheduler: SchedulerOptions,
    /// The share of the workers that each database has beside others; 1 for those not named.
    pub weights: BTreeMap<Name, u32>,
    /// Databases that may be open at once; 0 = as many as there are.
    pub databases_open_max: usize,
    /// A database that nobody uses for so long is closed.
    pub idle_timeout: Duration,
    /// How long a transaction may be open.
    pub transaction_timeout: Duration,
    /// Threads for operations that take long.
    pub operation_threads: usize,
    /// An operation that takes longer is told in the server's own log; zero for never.
    pub slow_after: Duration,
    /// The log store; none for a server without one.
    pub logs: Option<logstore::Options>,
    /// How long the log store may take to write what waits, at the end.
    pub logs_close: Duration,
    /// Threads for queries.
    pub query_threads: usize,
    /// The search indexes.
    pub search: SearchOptions,
}

/// Threads that open databases.
const OPENERS: usize = 4;
/// Databases that may wait to be opened.
const OPENERS_QUEUE: usize = 20_000;
/// Threads for what waits for a sync: making and dropping collections and databases.
const CHANGERS: usize = 4;
/// Operations that may wait for a thread.
const OPERATIONS_QUEUE: usize = 1_000;

/// The engine of one data directory.
pub struct Engine {
    pub(crate) options: EngineOptions,
    pub(crate) clock: ClockRef,
    pub(crate) env: Environment,
    pub(crate) store: Store,
    pub(crate) budget: Budget,
    pub(crate) scheduler: Scheduler,
    openers: Pool,
    operations: Pool,
    changers: Pool,
    log_searches: Pool,
    logs: Option<Arc<Logs>>,
    queries: Pool,
    indexes: Arc<Indexing>,
    databases: RwLock<BTreeMap<Name, Arc<Served>>>,
    transactions: Transactions,
    cursors: Cursors,
    tracker: Arc<Tracker>,
    meters: Meters,
    started: Instant,
    stopping: AtomicBool,
    next_lane: std::sync::atomic::AtomicU64,
    signal: Arc<Signal>,
    housekeeper: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("dir", &self.options.dir).finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens the data directory and starts the threads. Databases are opened by their first
    /// request.
    ///
    /// # Errors
    /// `FileOpen` when another process has the directory; a setting out of range; the disk's.
    pub fn start(env: Environment, mut options: EngineOptions) -> Result<Arc<Self>> {
        options.store.rule = Some(namespaces::search_rule());
        // Until it is known how far their indexes are.
        options.store.hold_changes = true;
        let clock = ClockRef::clone(&env.clock);
        let budget = Budget::new("process", options.memory_bytes);
        let opened = Store::open(&env, &options.dir, options.store.clone(), budget.clone());
        let store = opened.map_err(|error| not_opened(error, &options.dir))?;
        let scheduler = Scheduler::new(options.scheduler.clone(), ClockRef::clone(&clock));
        let pool = |name: &str, workers: usize, queue_max| {
            Pool::new(PoolOptions {
                name: name.into(),
                workers,
                queue_max,
                worker_expiry: options.scheduler.worker_expiry,
                start: Start::OnDemand,
            })
        };
        let meters = Meters::new().map_err(|error| {
            EngineError::new(Code::Internal, format!("the metrics do not fit together: {error}"))
        })?;
        let logs = options.logs.clone().map(|of_logs| {
            let environment = logstore::Environment {
                clock: ClockRef::clone(&clock),
                disk: Arc::clone(&env.disk),
                metrics: Arc::clone(meters.registry()),
            };
            Logs::open(&options.dir, of_logs, environment, &budget)
        });
        let of_search = options.search.clone();
        let place = (&env.disk, &clock, options.dir.as_path());
        let engine = Arc::new(Self {
            indexes: Arc::new(Indexing::start(place, of_search, &budget, meters.registry())?),
            log_searches: pool("logs", logs::SEARCH_THREADS, OPERATIONS_QUEUE),
            logs: logs.transpose()?,
            openers: pool("opener", OPENERS, OPENERS_QUEUE),
            operations: pool("operation", options.operation_threads.max(1), OPERATIONS_QUEUE),
            changers: pool("changer", CHANGERS, OPERATIONS_QUEUE),
            queries: pool("query", options.query_threads.max(1), options.scheduler.queue_depth),
            databases: RwLock::default(),
            transactions: Transactions::default(),
            cursors: Cursors::new(),
            tracker: Arc::new(Tracker::new(ClockRef::clone(&clock))),
            meters,
            started: clock.now(),
            stopping: AtomicBool::new(false),
            next_lane: std::sync::atomic::AtomicU64::new(1),
            signal: Arc::new(Signal::default()),
            housekeeper: Mutex::default(),
            store,
            scheduler,
            budget,
            clock,
            env,
            options,
        });
        engine.discover();
        engine.start_housekeeping();
        Ok(engine)
    }

    /// A lane of its own for a connection.
    #[must_use]
    pub fn new_lane(&self) -> Lane {
        Lane(self.next_lane.fetch_add(1, Ordering::Relaxed))
    }

    /// Where errors are counted and who is told of critical ones.
    #[must_use]
    pub fn tracker(&self) -> &Arc<Tracker> {
        &self.tracker
    }

    /// What is measured.
    #[must_use]
    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    /// The workers.
    #[must_use]
    pub fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// Time that is passed to deadlines.
    #[must_use]
    pub fn clock(&self) -> &ClockRef {
        &self.clock
    }

    /// For how long the engine runs.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.clock.now().since(self.started)
    }

    /// How many transactions are open.
    #[must_use]
    pub fn transactions_open(&self) -> usize {
        self.transactions.len()
    }

    /// Counts an error where it is answered.
    pub fn track(&self, error: &EngineError) {
        self.tracker.record(error.code, error.category(), &error.message);
    }

    /// Whether something that cannot be let in has waited for as long as it may.
    fn is_stalled(&self, since: Instant) -> bool {
        self.stopping.load(Ordering::Acquire)
            || self.clock.now().since(since) > self.options.store.stall_max
    }

    /// Whether the engine is being closed: whoever works for long ends.
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Refuses new work; what was accepted goes on. The first phase of a shutdown.
    pub fn refuse(&self) {
        self.scheduler.refuse();
        self.operations.refuse();
        self.changers.refuse();
        self.log_searches.refuse();
        self.queries.refuse();
    }

    /// Waits until nothing waits or runs, or `time` is over; says whether that is so.
    #[must_use]
    pub fn wait_idle(&self, time: Duration) -> bool {
        let until = self.clock.now().after(time);
        let left = || until.since(self.clock.now());
        self.openers.wait_idle(left())
            && self.scheduler.wait_idle(left())
            && self.changers.wait_idle(left())
            && self.queries.wait_idle(left())
            && self.operations.wait_idle(left())
            && self.log_searches.wait_idle(left())
    }

    /// Throws away what still waits, ends transactions, stops the threads, closes every database with
    /// a checkpoint, and the logs. The last phase of a shutdown; may be called again.
    ///
    /// # Errors
    /// The first that closing met; every database is closed.
    pub fn close(&self) -> Result<()> {
        self.stopping.store(true, Ordering::Release);
        self.refuse();
        self.signal.stop();
        let housekeeper = self.housekeeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if housekeeper.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("housekeeping panicked");
        }
        let discarded = self.scheduler.discard_waiting()
            + self.changers.discard_waiting()
            + self.queries.discard_waiting()
            + self.operations.discard_waiting()
            + self.log_searches.discard_waiting();
        if discarded > 0 {
            tracing::warn!(discarded, "operations that waited were thrown away");
        }
        self.openers.refuse();
        self.openers.discard_waiting();
        self.scheduler.stop();
        self.changers.stop();
        self.queries.stop();
        self.operations.stop();
        self.log_searches.stop();
        self.openers.stop();
        self.transactions.end_all();
        self.indexes.stop_soon();
        // They keep the log, which closing trims.
        let indexes = self.indexes.leave_all();
        let closed = self.close_databases();
        drop(indexes);
        self.indexes.stop();
        // Last, so that they have what went wrong before.
        let logs = self.logs.as_ref().map_or(Ok(()), |logs| logs.close(self.options.logs_close));
        closed.and(logs)
    }
}

/// Why a data directory was not opened; of one that is in use, what there is to do.
fn not_opened(error: StoreError, dir: &Path) -> EngineError {
    if let StoreError::Log(WalError::Locked(_)) = &error {
        let what = format!(
            "the data directory `{}` is in use: a server, or a docdb command, has it open; stop that \
             one, or choose another directory with --data-dir",
            dir.display()
        );
        return EngineError::new(Code::FileOpen, what);
    }
    error.into()
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.signal.stop();
    }
}

#[cfg(test)]
mod tests;
