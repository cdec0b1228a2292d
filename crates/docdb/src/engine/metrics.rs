//! Every metric of the server, in one place: its definitions, and the handles that the engine
//! counts with. What databases know of themselves is gathered when somebody asks
//! ([`Engine::render_metrics`]).

mod gather;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::error::Code;
use base::metrics::{
    Counter, DURATION_BUCKETS_NANOS, Definition, Histogram, Kind, MetricError, Registry,
};

use super::Engine;
use super::error::EngineError;

/// Characters that are told of where a slow operation went to.
const ABOUT_CHARS_MAX: usize = 200;

const DURATIONS: Kind = Kind::Histogram { bounds: DURATION_BUCKETS_NANOS };

macro_rules! definitions {
    ($($constant:ident $name:literal $kind:expr, $unit:literal, [$($label:literal),*], $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: Definition = Definition {
            name: $name, kind: $kind, unit: $unit, help: $help, labels: &[$($label),*],
        };)*

        /// All of them.
        pub const ALL: &[Definition] = &[$($constant),*];
    };
}

definitions! {
    OPERATIONS "docdb_operations_total" Kind::Counter, "operations", ["operation", "status"],
        "Operations that were answered, by kind and by the code of their error, or ok.";
    OPERATION_DURATION "docdb_operation_duration_seconds" DURATIONS, "seconds", ["operation"],
        "Time from accepting an operation to its answer.";
    DOCUMENTS "docdb_store_documents" Kind::Gauge, "documents", ["database"],
        "Visible documents of an open database.";
    DATABASES "docdb_store_databases" Kind::Gauge, "databases", ["state"],
        "Databases by state: open, closed, busy or failed.";
    MEMORY "docdb_memory_bytes" Kind::Gauge, "bytes", ["what"],
        "Memory that is reserved, and how much may be.";
    DATABASE_MEMORY "docdb_database_memory_bytes" Kind::Gauge, "bytes", ["database", "what"],
        "Memory of an open database: memtable, index and old versions that snapshots hold.";
    WAL_SIZE "docdb_wal_size_bytes" Kind::Gauge, "bytes", ["database"],
        "Bytes of the log's files.";
    WAL_GROUPS "docdb_wal_groups_total" Kind::Counter, "groups", ["database"],
        "Groups of transactions that were written and synced together.";
    WAL_TRANSACTIONS "docdb_wal_transactions_total" Kind::Counter, "transactions", ["database"],
        "Transactions that were committed.";
    WAL_LATENCY "docdb_wal_commit_latency_mean_seconds" Kind::Gauge, "seconds", ["database"],
        "Mean time from placing a transaction to its acknowledgement, since the database was opened.";
    WAL_GROUP_SIZE "docdb_wal_group_size_mean_transactions" Kind::Gauge, "transactions", ["database"],
        "Mean number of transactions in a group, since the database was opened.";
    DATA_SIZE "docdb_data_bytes" Kind::Gauge, "bytes", ["database"],
        "Verified bytes of data files.";
    TOMBSTONES "docdb_store_tombstones" Kind::Gauge, "tombstones", ["database"],
        "Deletions that are kept until nothing older is left.";
    CHECKPOINTS "docdb_checkpoints_total" Kind::Counter, "checkpoints", ["database", "status"],
        "Checkpoints that were taken, and that failed.";
    CHECKPOINT_AGE "docdb_checkpoint_age_seconds" Kind::Gauge, "seconds", ["database"],
        "Time since the last checkpoint.";
    SNAPSHOTS "docdb_store_snapshots" Kind::Gauge, "snapshots", ["database"],
        "Open snapshots.";
    QUARANTINED "docdb_quarantined_documents" Kind::Gauge, "documents", ["database"],
        "Documents whose newest version is lost.";
    HEALING "docdb_healing_operations_total" Kind::Counter, "operations", ["database"],
        "Steps of scrubs, and healing on command.";
    HEALED "docdb_documents_healed_total" Kind::Counter, "", ["database"],
        "Documents that were healed.";
    BLOCKS_HEALED "docdb_blocks_healed_total" Kind::Counter, "", ["database"],
        "Blocks of data files that were made again from parity.";
    ERRORS "docdb_errors_total" Kind::Counter, "errors", ["category"],
        "Errors by category.";
    QUEUE_DEPTH "docdb_scheduler_queue_depth_tasks" Kind::Gauge, "tasks", ["database"],
        "Operations that wait for their turn.";
    QUEUE_WAIT "docdb_scheduler_longest_wait_seconds" Kind::Gauge, "seconds", ["database"],
        "Longest wait of an operation for its turn since the last look.";
    WORKERS "docdb_scheduler_workers" Kind::Gauge, "workers", ["state"],
        "Worker threads: capacity, started and running.";
    TASKS "docdb_scheduler_tasks_total" Kind::Counter, "tasks", ["outcome"],
        "Tasks of workers: run, panicked, refused and expired.";
    TRANSACTIONS_OPEN "docdb_open_transactions" Kind::Gauge, "transactions", [],
        "Interactive transactions that are open.";
    TRANSACTIONS_EXPIRED "docdb_transactions_expired_total" Kind::Counter, "", [],
        "Interactive transactions that were open for too long.";
    DATABASES_OPENED "docdb_databases_opened_total" Kind::Counter, "", [],
        "Databases that were opened.";
    REPLAYED "docdb_replayed_changes_total" Kind::Counter, "changes", [],
        "Changes replayed from logs when databases were opened.";
    QUERY_DURATION "docdb_search_query_duration_seconds" DURATIONS, "seconds", [],
        "Time that queries took on their thread.";
    UPSERT_DURATION "docdb_search_upsert_duration_seconds" DURATIONS, "seconds", [],
        "Time from accepting a write of a namespace to its acknowledgement.";
    QUERY_WORKERS "docdb_search_query_workers" Kind::Gauge, "workers", ["state"],
        "Threads for queries: capacity, started and running.";
    INDEXES "docdb_search_indexes" Kind::Gauge, "indexes", ["database", "state"],
        "Search indexes of an open database by state: ready, building or failed.";
    INDEX_ROWS "docdb_search_rows" Kind::Gauge, "rows", ["database"],
        "Documents in the search indexes of an open database.";
    INDEX_SEGMENTS "docdb_search_segments" Kind::Gauge, "segments", ["database"],
        "Segments of the search indexes of an open database.";
    INDEX_BYTES "docdb_search_segment_bytes" Kind::Gauge, "bytes", ["database"],
        "Bytes of the segments of the search indexes of an open database.";
    INDEX_UNINDEXED "docdb_search_unindexed_bytes" Kind::Gauge, "bytes", ["database"],
        "Bytes in memory that no segment has, of the search indexes of an open database.";
    INDEX_LAG "docdb_search_lag_changes" Kind::Gauge, "changes", ["database"],
        "Changes that were written and not yet applied to the search indexes of an open database.";
    INDEX_BUILDS "docdb_search_builds_total" Kind::Counter, "builds", [],
        "Search indexes that were made of the documents of their collection.";
    INDEX_FAILURES "docdb_search_failures_total" Kind::Counter, "failures", [],
        "Attempts to open, feed, make, flush, compact or remove a search index that failed.";
    CACHE_BLOCKS "docdb_search_cache_blocks_total" Kind::Counter, "blocks", ["found"],
        "Blocks of segments that queries read: in the cache (hit), or not (miss).";
    CACHE_FETCHED "docdb_search_cache_fetched_bytes_total" Kind::Counter, "bytes", [],
        "Bytes of segments that were not in the cache and were read from where they are.";
    CACHE_BYTES "docdb_search_cache_bytes" Kind::Gauge, "bytes", ["what"],
        "Memory of the cache for blocks of segments: used, and how much it may be.";
    UPTIME "docdb_uptime_seconds" Kind::Gauge, "seconds", [],
        "Time since the server was started.";
    DISK_FREE "docdb_disk_free_bytes" Kind::Gauge, "bytes", [],
        "Free bytes of the data directory's disk.";
}

/// Kinds of operations, as metrics name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Operation {
    Get,
    Write,
    Scan,
    Changes,
    Begin,
    TransactionStep,
    Commit,
    Rollback,
    Collections,
    Databases,
    Checkpoint,
    Compact,
    Heal,
    Validate,
    Backup,
    Restore,
    Stats,
    Import,
    Export,
    Health,
    LogIngest,
    LogSearch,
    LogTail,
    Query,
    Upsert,
    Schema,
    Namespaces,
}

impl Operation {
    /// All kinds.
    pub const ALL: [Self; 27] = [
        Self::Get,
        Self::Write,
        Self::Scan,
        Self::Changes,
        Self::Begin,
        Self::TransactionStep,
        Self::Commit,
        Self::Rollback,
        Self::Collections,
        Self::Databases,
        Self::Checkpoint,
        Self::Compact,
        Self::Heal,
        Self::Validate,
        Self::Backup,
        Self::Restore,
        Self::Stats,
        Self::Import,
        Self::Export,
        Self::Health,
        Self::LogIngest,
        Self::LogSearch,
        Self::LogTail,
        Self::Query,
        Self::Upsert,
        Self::Schema,
        Self::Namespaces,
    ];

    /// Whether it is long by its nature, or waits because its client wants it to.
    const fn takes_its_time(self) -> bool {
        match self {
            Self::Changes
            | Self::Checkpoint
            | Self::Compact
            | Self::Heal
            | Self::Validate
            | Self::Backup
            | Self::Restore
            | Self::Import
            | Self::Export
            | Self::LogIngest
            | Self::LogTail => true,
            Self::Get
            | Self::Write
            | Self::Scan
            | Self::Begin
            | Self::TransactionStep
            | Self::Commit
            | Self::Rollback
            | Self::Collections
            | Self::Databases
            | Self::Stats
            | Self::Health
            | Self::LogSearch
            | Self::Query
            | Self::Upsert
            | Self::Schema
            | Self::Namespaces => false,
        }
    }

    /// The label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Write => "write",
            Self::Scan => "scan",
            Self::Changes => "changes",
            Self::Begin => "begin",
            Self::TransactionStep => "transaction_step",
            Self::Commit => "commit",
            Self::Rollback => "rollback",
            Self::Collections => "collections",
            Self::Databases => "databases",
            Self::Checkpoint => "checkpoint",
            Self::Compact => "compact",
            Self::Heal => "heal",
            Self::Validate => "validate",
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Stats => "stats",
            Self::Import => "import",
            Self::Export => "export",
            Self::Health => "health",
            Self::LogIngest => "log_ingest",
            Self::LogSearch => "log_search",
            Self::LogTail => "log_tail",
            Self::Query => "query",
            Self::Upsert => "upsert",
            Self::Schema => "schema",
            Self::Namespaces => "namespaces",
        }
    }
}

/// What the engine and the surfaces count with.
#[derive(Debug)]
pub struct Meters {
    registry: Arc<Registry>,
    ok: Vec<Counter>,
    durations: Vec<Histogram>,
    failed: Mutex<BTreeMap<(Operation, Code), Counter>>,
    transactions_expired: Counter,
    opened: Counter,
    replayed: Counter,
    query_duration: Histogram,
    upsert_duration: Histogram,
}

impl Meters {
    pub(super) fn new() -> Result<Self, MetricError> {
        let registry = Arc::new(Registry::new());
        for definition in ALL {
            registry.register(definition)?;
        }
        let mut ok = Vec::new();
        let mut durations = Vec::new();
        for operation in Operation::ALL {
            ok.push(registry.counter(&OPERATIONS, &[operation.name(), "ok"])?);
            durations.push(registry.histogram(&OPERATION_DURATION, &[operation.name()])?);
        }
        Ok(Self {
            ok,
            durations,
            failed: Mutex::default(),
            transactions_expired: registry.counter(&TRANSACTIONS_EXPIRED, &[])?,
            opened: registry.counter(&DATABASES_OPENED, &[])?,
            replayed: registry.counter(&REPLAYED, &[])?,
            query_duration: registry.histogram(&QUERY_DURATION, &[])?,
            upsert_duration: registry.histogram(&UPSERT_DURATION, &[])?,
            registry,
        })
    }

    /// Where surfaces register metrics of their own.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Counts an operation that was answered.
    pub fn answered(&self, operation: Operation, took: Duration, error: Option<Code>) {
        let at = operation as usize;
        if let Some(duration) = self.durations.get(at) {
            duration.observe_duration(took);
        }
        match error {
            None => {
                if let Some(counter) = self.ok.get(at) {
                    counter.increment();
                }
            }
            Some(code) => self.failed(operation, code),
        }
    }

    fn failed(&self, operation: Operation, code: Code) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = failed.get(&(operation, code)) {
            counter.increment();
            return;
        }
        match self.registry.counter(&OPERATIONS, &[operation.name(), code.name()]) {
            Ok(counter) => {
                counter.increment();
                failed.insert((operation, code), counter);
            }
            Err(error) => tracing::error!(%error, "an operation was not counted"),
        }
    }

    /// Counts a query that was answered.
    pub(super) fn queried(&self, took: Duration) {
        self.query_duration.observe_duration(took);
    }

    /// What counts writes of namespaces.
    pub(super) fn upserts(&self) -> Histogram {
        self.upsert_duration.clone()
    }

    pub(super) fn transactions_expired(&self, count: u64) {
        self.transactions_expired.add(count);
    }

    pub(super) fn opened(&self, replayed: u64) {
        self.opened.increment();
        self.replayed.add(replayed);
    }
}

impl Engine {
    /// Counts an operation, and its error where it is answered. One that was slow is told of, with
    /// what `about` says of it: where it went to, no content.
    pub fn note_answered(
        &self,
        operation: Operation,
        took: Duration,
        error: Option<&EngineError>,
        about: impl FnOnce() -> String,
    ) {
        if let Some(error) = error {
            self.track(error);
        }
        self.meters.answered(operation, took, error.map(|error| error.code));
        let slow = self.options.slow_after;
        if !slow.is_zero() && took >= slow && !operation.takes_its_time() {
            let took_ms = crate::reports::millis(took);
            let about: String = about().chars().take(ABOUT_CHARS_MAX).collect();
            tracing::warn!(operation = operation.name(), about, took_ms, "an operation was slow");
        }
    }
}
