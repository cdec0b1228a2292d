//! Application logs, as surfaces use them: one store below the data directory, beside the databases.
//!
//! Taking entries waits for nothing: they are queued, and whoever wants to know awaits the handle.
//! Searches read files, so they have threads of their own, few and with a bounded queue.
//!
//! The store's memory (what waits, what is written, what searches unpack) is reserved in the
//! process's budget when it is opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::error::{Code, Coded as _};
use base::memory::{Budget, Reservation};
use logstore::{
    BackupReport, BatchedSqliteStorage, Filter, LogError, LogStorage as _, SUBSCRIBER_BYTES_MAX,
    Stats, Subscription, UnixNanos,
};

use super::Engine;
use super::error::{EngineError, Result};
use super::health::Verdict;
use super::operations::{BackupTarget, make_dir};
use super::reply::Reply;

/// Threads for searches.
pub(super) const SEARCH_THREADS: usize = 4;
/// The directory of the store, below the data directory.
pub const LOGS_DIR: &str = "logs";
/// Memory besides the queue: a batch that is written, what SQLite keeps, a block that is unpacked.
const WORKING_BYTES: u64 = 8 * 1024 * 1024;
/// Entries that are offered together, at most.
const PIECE_ENTRIES: usize = 1000;
/// Entries that wait for a slow live tail before it misses some.
const TAIL_ENTRIES: usize = 10_000;

/// The log store of a server.
#[derive(Debug)]
pub struct Logs {
    store: Arc<BatchedSqliteStorage>,
    queue_size: usize,
    queue_bytes: usize,
    budget: Budget,
    _memory: Reservation,
}

/// A live tail, with the memory of what waits for it.
#[derive(Debug)]
pub struct LogTail {
    /// What comes.
    pub entries: Subscription,
    _memory: Reservation,
}

/// What the server says of the health of its logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogsHealth {
    /// Whether something is wrong with them.
    pub verdict: Verdict,
    /// The store at this moment; none when a file could not be looked at.
    pub stats: Option<Stats>,
}

impl From<LogError> for EngineError {
    fn from(error: LogError) -> Self {
        let message = error.to_string().into();
        Self { code: error.code(), category: error.category(), message, operation: None }
    }
}

impl Logs {
    pub(super) fn open(
        dir: &Path,
        options: logstore::Options,
        environment: logstore::Environment,
        budget: &Budget,
    ) -> Result<Arc<Self>> {
        let bytes = options.queue_bytes as u64 + WORKING_BYTES;
        let memory = budget.reserve("logs", bytes);
        let memory = memory.map_err(|e| EngineError::new(Code::MemoryLimit, e.to_string()))?;
        let (queue_size, queue_bytes) = (options.queue_size, options.queue_bytes);
        let store = BatchedSqliteStorage::open(&dir.join(LOGS_DIR), options, environment)?;
        let (store, budget) = (Arc::new(store), budget.clone());
        Ok(Arc::new(Self { store, queue_size, queue_bytes, budget, _memory: memory }))
    }

    /// The store itself, for whoever stores entries one by one.
    #[must_use]
    pub fn store(&self) -> &Arc<BatchedSqliteStorage> {
        &self.store
    }

    /// How many entries, and how many bytes of them, are best offered together: what the queue can
    /// take while something else is in it.
    #[must_use]
    pub fn piece_max(&self) -> (usize, usize) {
        (PIECE_ENTRIES.min(self.queue_size), self.queue_bytes / 2)
    }

    /// A live tail.
    ///
    /// # Errors
    /// `InvalidQuery`; `MemoryLimit` when there is no memory for what waits for it.
    pub fn tail(&self, filter: Filter) -> Result<LogTail> {
        let memory = self.budget.reserve("tail of logs", SUBSCRIBER_BYTES_MAX as u64);
        let memory = memory.map_err(|e| EngineError::new(Code::MemoryLimit, e.to_string()))?;
        let entries = self.store.subscribe(filter, TAIL_ENTRIES)?;
        Ok(LogTail { entries, _memory: memory })
    }

    /// Writes what waits, at most for so long, and takes nothing more.
    pub(super) fn close(&self, deadline: Duration) -> Result<()> {
        let report = self.store.close(deadline)?;
        if !report.is_drained {
            let unwritten = report.unwritten;
            tracing::error!(unwritten, "log entries that waited were not written");
        }
        Ok(())
    }

    fn health(&self) -> LogsHealth {
        let stats = self.store.stats().ok();
        let ails = stats.as_ref().is_none_or(|stats| stats.is_disk_full || stats.damaged > 0);
        let verdict = if ails { Verdict::Degraded } else { Verdict::Ok };
        LogsHealth { verdict, stats }
    }
}

impl Engine {
    /// The logs.
    ///
    /// # Errors
    /// `Unsupported` when `logs.enabled` is false.
    pub fn logs(&self) -> Result<&Arc<Logs>> {
        self.logs.as_ref().ok_or_else(|| {
            EngineError::new(Code::Unsupported, "logs.enabled is false: this server has no logs")
        })
    }

    /// The time of arrival of what comes now.
    #[must_use]
    pub fn received(&self) -> UnixNanos {
        UnixNanos::from_ms(self.clock.wall().0)
    }

    /// Asks the logs something that reads files, or decodes what somebody sent: on threads of its
    /// own.
    pub fn ask_logs<T: Send + 'static>(
        self: &Arc<Self>,
        reply: Reply<T>,
        work: impl FnOnce(&Logs) -> Result<T> + Send + 'static,
    ) {
        self.work_on_server(&self.log_searches, reply, move |engine| work(engine.logs()?));
    }

    /// Copies the logs to a directory below the data directory's `backups`.
    pub fn backup_logs(self: &Arc<Self>, target: BackupTarget, reply: Reply<BackupReport>) {
        self.operate_on_server(reply, move |engine| {
            let disk = &engine.env.disk;
            make_dir(disk, &engine.options.dir.join(super::operations::BACKUPS))?;
            if disk.stat(target.path()).is_ok_and(|found| found.is_some()) {
                let what = format!(
                    "there is a backup already, and each one of logs has a directory of its own; \
                     choose another name path=`{}`",
                    target.path().display()
                );
                return Err(EngineError::new(Code::InvalidName, what));
            }
            Ok(engine.logs()?.store.backup(target.path())?)
        });
    }

    /// The health of the logs; none when there are none.
    #[must_use]
    pub fn logs_health(&self) -> Option<LogsHealth> {
        self.logs.as_ref().map(|logs| logs.health())
    }
}

/// Where the logs of a data directory are.
#[must_use]
pub fn logs_dir(data: &Path) -> PathBuf {
    data.join(LOGS_DIR)
}
