//! What the server says of its own health: of the process, and of every database by name.

use std::sync::Arc;
use std::time::Duration;

use base::error::Category;
use base::error::tracker::CategoryReport;
use base::memory::BudgetStats;
use base::words::{DatabaseId, Lsn, Name};

use super::Engine;
use super::indexes::IndexesStatus;
use super::logs::LogsHealth;
use super::served::{Condition, Served};
use crate::scheduler::{QueueStats, SchedulerStats};

/// Whether something works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should.
    Ok,
    /// Something is wrong that somebody must look at; what can be served is served.
    Degraded,
}

/// Health of the process.
#[derive(Debug, Clone)]
pub struct Health {
    /// The worst of all.
    pub verdict: Verdict,
    /// How long it runs.
    pub uptime: Duration,
    /// Every database that there is.
    pub databases: Vec<DatabaseHealth>,
    /// Directories that look like databases and are none: what is wrong with each.
    pub refused: Vec<(String, String)>,
    /// Errors by category.
    pub errors: Vec<CategoryReport>,
    /// The workers.
    pub scheduler: SchedulerStats,
    /// Memory for documents, caches and requests.
    pub memory: BudgetStats,
    /// Free and all bytes of the data directory's disk; none when the system does not say.
    pub disk: Option<(u64, u64)>,
    /// The logs; none when the server keeps none.
    pub logs: Option<LogsHealth>,
}

/// Health of one database.
#[derive(Debug, Clone)]
pub struct DatabaseHealth {
    /// Its name.
    pub name: Name,
    /// Its identity.
    pub id: DatabaseId,
    /// Whether something is wrong with it.
    pub verdict: Verdict,
    /// What it is doing.
    pub condition: Condition,
    /// Its queue.
    pub queue: QueueStats,
    /// Its log, while it is open.
    pub log: Option<LogHealth>,
    /// Documents whose newest version is lost.
    pub quarantined: u64,
    /// Why its last checkpoint failed, if it did.
    pub checkpoint_failure: Option<Arc<str>>,
    /// Its search indexes; none when it has none, or is not open.
    pub indexes: Option<IndexesStatus>,
}

/// The log of an open database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogHealth {
    /// `wal.fsync.mode`.
    pub mode: &'static str,
    /// Why it takes no more writes, if it does not.
    pub poisoned: Option<String>,
    /// What was acknowledged and is not known to be durable.
    pub unsynced: Option<(Lsn, Lsn)>,
    /// Its bytes.
    pub bytes: u64,
    /// How long ago the last checkpoint was taken; none when there was none yet.
    pub checkpoint_age: Option<Duration>,
}

impl Engine {
    /// The health of everything. Reads no file, asks for the sizes of those of the logs, and waits
    /// for nothing but short locks.
    #[must_use]
    pub fn health(&self) -> Health {
        let databases: Vec<_> = self.all().iter().map(|s| self.health_of(s)).collect();
        let refused: Vec<_> = self
            .store
            .refused()
            .iter()
            .map(|refused| (refused.path.display().to_string(), refused.error.to_string()))
            .collect();
        let errors = self.tracker.report().to_vec();
        let lately = |report: &&CategoryReport| {
            report.category == Category::Critical && report.per_second > 0.0
        };
        let logs = self.logs_health();
        let all = databases.iter().map(|database| database.verdict);
        let worst = all.chain(logs.iter().map(|logs| logs.verdict)).max();
        let critical = errors.iter().any(|report| lately(&report));
        let verdict = match worst.unwrap_or(Verdict::Ok) {
            Verdict::Ok if refused.is_empty() && !critical => Verdict::Ok,
            Verdict::Ok | Verdict::Degraded => Verdict::Degraded,
        };
        let space = self.env.disk.space(&self.options.dir).ok();
        Health {
            verdict,
            uptime: self.uptime(),
            databases,
            refused,
            errors,
            scheduler: self.scheduler.stats(),
            memory: self.budget.stats(),
            disk: space.map(|space| (space.available, space.total)),
            logs,
        }
    }

    /// The health of one database.
    #[must_use]
    pub fn health_of(&self, served: &Arc<Served>) -> DatabaseHealth {
        let condition = served.condition();
        let database = served.peek();
        let log = database.as_ref().map(|database| {
            let status = database.log_status();
            let at = database.last_checkpoint();
            let now = self.clock.wall();
            LogHealth {
                mode: status.mode,
                poisoned: status.poisoned,
                unsynced: status.unsynced,
                bytes: status.bytes,
                checkpoint_age: (at.0 > 0)
                    .then(|| Duration::from_millis(now.0.saturating_sub(at.0))),
            }
        });
        let quarantined = database.as_ref().map_or(0, |database| database.quarantined());
        let failed = matches!(condition, Condition::Failed { .. });
        let poisoned = log.as_ref().is_some_and(|log| log.poisoned.is_some());
        let checkpoint_failure = database.as_ref().and_then(|open| open.checkpoint_failure());
        let indexes = self.indexes.status(served.id());
        let indexes = indexes.filter(|status| *status != IndexesStatus::default());
        let is_troubled = indexes.as_ref().is_some_and(|status| !status.troubled.is_empty());
        let ails =
            failed || poisoned || quarantined > 0 || checkpoint_failure.is_some() || is_troubled;
        let verdict = match ails {
            true => Verdict::Degraded,
            false => Verdict::Ok,
        };
        let (name, id) = (served.name().clone(), served.id());
        let queue = self.scheduler.queue_stats(served.queue);
        DatabaseHealth {
            name,
            id,
            verdict,
            condition,
            queue,
            log,
            quarantined,
            checkpoint_failure,
            indexes,
        }
    }
}
