//! What is not counted as it happens, but known to somebody: read when the metrics are asked for.

use std::sync::Arc;
use std::time::Duration;

use base::error::Category;
use base::metrics::{Definition, Format};
use docstore::DatabaseStats;

use super::super::Engine;
use super::super::error::Result;
use super::super::indexes::IndexesStatus;
use super::super::reply::Reply;
use super::super::served::{Condition, Served};
use super::{
    BLOCKS_HEALED, CACHE_BLOCKS, CACHE_BYTES, CACHE_FETCHED, CHECKPOINT_AGE, CHECKPOINTS,
    DATA_SIZE, DATABASE_MEMORY, DATABASES, DISK_FREE, DOCUMENTS, ERRORS, HEALED, HEALING,
    INDEX_BUILDS, INDEX_BYTES, INDEX_FAILURES, INDEX_LAG, INDEX_ROWS, INDEX_SEGMENTS,
    INDEX_UNINDEXED, INDEXES, MEMORY, QUARANTINED, QUERY_WORKERS, QUEUE_DEPTH, QUEUE_WAIT,
    SNAPSHOTS, TASKS, TOMBSTONES, TRANSACTIONS_OPEN, UPTIME, WAL_GROUP_SIZE, WAL_GROUPS,
    WAL_LATENCY, WAL_SIZE, WAL_TRANSACTIONS, WORKERS,
};

impl Engine {
    /// All metrics as text. Waits for checkpoints that are under way, so it runs on the threads for
    /// operations.
    pub fn render_metrics(self: &Arc<Self>, format: Format, reply: Reply<String>) {
        self.operate_on_server(reply, move |engine| {
            engine.gather()?;
            Ok(engine.meters.registry.render(format))
        });
    }

    fn gather(&self) -> Result<()> {
        let mut conditions = [("open", 0), ("closed", 0), ("busy", 0), ("failed", 0)];
        for served in self.all() {
            let at = match served.condition() {
                Condition::Open => 0,
                Condition::Closed => 1,
                Condition::Busy => 2,
                Condition::Failed { .. } => 3,
            };
            conditions[at].1 += 1;
            self.gather_of(&served);
        }
        for (state, count) in conditions {
            self.gauge(&DATABASES, &[state], count);
        }
        let memory = self.budget.stats();
        self.gauge(&MEMORY, &["used"], memory.used);
        self.gauge(&MEMORY, &["limit"], memory.limit);
        let workers = self.scheduler.stats();
        self.gauge(&WORKERS, &["capacity"], workers.pool_capacity as u64);
        self.gauge(&WORKERS, &["started"], workers.started_workers as u64);
        self.gauge(&WORKERS, &["running"], workers.running_workers as u64);
        let queries = self.queries.stats();
        self.gauge(&QUERY_WORKERS, &["capacity"], queries.pool_capacity as u64);
        self.gauge(&QUERY_WORKERS, &["started"], queries.started_workers as u64);
        self.gauge(&QUERY_WORKERS, &["running"], queries.running_workers as u64);
        self.count(&TASKS, &["run"], workers.tasks_total);
        self.count(&TASKS, &["panicked"], workers.panics_total);
        self.count(&TASKS, &["refused"], workers.refused_total);
        self.count(&TASKS, &["expired"], workers.expired_total);
        self.gauge(&TRANSACTIONS_OPEN, &[], self.transactions.len() as u64);
        self.gather_search();
        self.seconds(&UPTIME, &[], self.uptime());
        for category in Category::ALL {
            self.count(&ERRORS, &[category.name()], self.tracker.total(category));
        }
        if let Some(logs) = &self.logs {
            // Sets the gauges; a file that cannot be looked at leaves them as they were.
            if let Err(error) = logs.store().stats() {
                tracing::warn!(%error, "the log store was not measured");
            }
        }
        if let Ok(space) = self.env.disk.space(&self.options.dir) {
            self.gauge(&DISK_FREE, &[], space.available);
        }
        Ok(())
    }

    /// What all indexes share.
    fn gather_search(&self) {
        let (built, failed) = self.indexes.totals();
        self.count(&INDEX_BUILDS, &[], built);
        self.count(&INDEX_FAILURES, &[], failed);
        let blocks = self.indexes.blocks();
        let (read, usage) = (blocks.counters(), blocks.usage());
        self.count(&CACHE_BLOCKS, &["hit"], read.hits);
        self.count(&CACHE_BLOCKS, &["miss"], read.misses);
        self.count(&CACHE_FETCHED, &[], read.bytes_fetched);
        self.gauge(&CACHE_BYTES, &["used"], usage.memory);
        self.gauge(&CACHE_BYTES, &["limit"], usage.memory_max);
    }

    /// The search indexes of one database; nothing of one that has none.
    fn gather_indexes(&self, served: &Served) {
        let name = served.name().as_str();
        let status = self.indexes.status(served.id());
        let Some(status) = status.filter(|status| *status != IndexesStatus::default()) else {
            for metric in [&INDEX_ROWS, &INDEX_SEGMENTS, &INDEX_BYTES, &INDEX_UNINDEXED, &INDEX_LAG]
            {
                self.meters.registry.remove(metric, &[name]);
            }
            for state in ["ready", "building", "failed"] {
                self.meters.registry.remove(&INDEXES, &[name, state]);
            }
            return;
        };
        self.gauge(&INDEXES, &[name, "ready"], status.ready);
        self.gauge(&INDEXES, &[name, "building"], status.building);
        self.gauge(&INDEXES, &[name, "failed"], status.failed);
        self.gauge(&INDEX_ROWS, &[name], status.rows);
        self.gauge(&INDEX_SEGMENTS, &[name], status.segments);
        self.gauge(&INDEX_BYTES, &[name], status.segment_bytes);
        self.gauge(&INDEX_UNINDEXED, &[name], status.unindexed_bytes);
        self.gauge(&INDEX_LAG, &[name], status.lag);
    }

    fn gather_of(&self, served: &Arc<Served>) {
        let name = served.name().as_str();
        let queue = self.scheduler.queue_stats(served.queue);
        self.gauge(&QUEUE_DEPTH, &[name], queue.depth as u64);
        self.seconds(&QUEUE_WAIT, &[name], queue.longest_wait);
        self.gather_indexes(served);
        let stats = served.peek().and_then(|database| database.stats().ok());
        match stats {
            Some(stats) => self.gather_database(name, &stats),
            None => self.forget_database(name),
        }
    }

    fn gather_database(&self, name: &str, stats: &DatabaseStats) {
        self.gauge(&DOCUMENTS, &[name], stats.live);
        self.gauge(&DATABASE_MEMORY, &[name, "memtable"], stats.memtable_bytes);
        self.gauge(&DATABASE_MEMORY, &[name, "index"], stats.index_bytes);
        self.gauge(&DATABASE_MEMORY, &[name, "snapshots"], stats.history_bytes);
        self.gauge(&WAL_SIZE, &[name], stats.log.bytes);
        let commits = &stats.log.commits;
        self.count(&WAL_GROUPS, &[name], commits.total_batches);
        self.count(&WAL_TRANSACTIONS, &[name], commits.total_transactions);
        self.seconds(&WAL_LATENCY, &[name], Duration::from_nanos(commits.avg_latency_ns));
        self.number(&WAL_GROUP_SIZE, &[name], commits.avg_batch_size);
        self.gauge(&DATA_SIZE, &[name], stats.data_bytes);
        self.gauge(&TOMBSTONES, &[name], stats.tombstones);
        self.count(&CHECKPOINTS, &[name, "ok"], stats.checkpoints);
        self.count(&CHECKPOINTS, &[name, "failed"], stats.checkpoints_failed);
        let age = self.clock.wall().0.saturating_sub(stats.last_checkpoint.0);
        if stats.last_checkpoint.0 > 0 {
            self.seconds(&CHECKPOINT_AGE, &[name], Duration::from_millis(age));
        }
        self.gauge(&SNAPSHOTS, &[name], stats.snapshots);
        self.gauge(&QUARANTINED, &[name], stats.quarantined);
        self.count(&HEALING, &[name], stats.healing.scans);
        self.count(&HEALED, &[name], stats.healing.healed);
        self.count(&BLOCKS_HEALED, &[name], stats.healing.blocks_healed);
    }

    /// A database that is closed says nothing: its last numbers must not stand for ever.
    fn forget_database(&self, name: &str) {
        let by_name = [
            &DOCUMENTS,
            &WAL_SIZE,
            &WAL_GROUPS,
            &WAL_TRANSACTIONS,
            &WAL_LATENCY,
            &WAL_GROUP_SIZE,
            &DATA_SIZE,
            &TOMBSTONES,
            &CHECKPOINT_AGE,
            &SNAPSHOTS,
            &QUARANTINED,
            &HEALING,
            &HEALED,
            &BLOCKS_HEALED,
        ];
        for metric in by_name {
            self.meters.registry.remove(metric, &[name]);
        }
        for status in ["ok", "failed"] {
            self.meters.registry.remove(&CHECKPOINTS, &[name, status]);
        }
        for what in ["memtable", "index", "snapshots"] {
            self.meters.registry.remove(&DATABASE_MEMORY, &[name, what]);
        }
    }

    fn gauge(&self, of: &Definition, labels: &[&str], value: u64) {
        match self.meters.registry.gauge(of, labels) {
            Ok(gauge) => gauge.set_count(value),
            Err(error) => tracing::warn!(metric = of.name, %error, "not measured"),
        }
    }

    fn number(&self, of: &Definition, labels: &[&str], value: f64) {
        match self.meters.registry.gauge(of, labels) {
            Ok(gauge) => gauge.set(value),
            Err(error) => tracing::warn!(metric = of.name, %error, "not measured"),
        }
    }

    fn seconds(&self, of: &Definition, labels: &[&str], value: Duration) {
        self.number(of, labels, value.as_secs_f64());
    }

    /// Brings a counter up to a total that somebody else counts. A total that went back, because its
    /// database was opened anew, is a counter that begins anew.
    fn count(&self, of: &Definition, labels: &[&str], total: u64) {
        let registry = &self.meters.registry;
        let counter = registry.counter(of, labels).and_then(|counter| {
            if counter.get() <= total {
                return Ok(counter);
            }
            registry.remove(of, labels);
            registry.counter(of, labels)
        });
        match counter {
            Ok(counter) => counter.add(total.saturating_sub(counter.get())),
            Err(error) => tracing::warn!(metric = of.name, %error, "not measured"),
        }
    }
}
