//! The typed configuration, read off the settings in effect.

use std::path::PathBuf;
use std::time::Duration;

use super::{
    Alerts, Checkpoint, Compaction, Config, Data, Databases, Healing, Http, Log, LogFormat,
    LogLevel, Memory, Scheduler, Secret, Snapshot, Socket, Tls, Transactions, Wal,
};
use crate::config::value::{address, origins, weights};
use crate::config::{Machine, Settings, Value};

/// The name of the socket in the data directory.
const SOCKET_NAME: &str = "docdb.sock";

/// Reads values of settings by name and kind, and notes which were read.
pub(super) struct Reader<'a> {
    settings: &'a Settings,
    #[cfg(test)]
    pub(super) read: std::cell::RefCell<std::collections::BTreeSet<String>>,
}

impl Settings {
    /// The configuration on this `machine`.
    #[must_use]
    pub fn config(&self, machine: &Machine) -> Config {
        Reader::new(self).config(machine)
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(settings: &'a Settings) -> Self {
        Self {
            settings,
            #[cfg(test)]
            read: std::cell::RefCell::default(),
        }
    }

    pub(super) fn config(&self, machine: &Machine) -> Config {
        let data_dir = PathBuf::from(self.text("data_dir"));
        let total_bytes = self.some("memory.total_mb").unwrap_or(machine.memory_bytes / 2);
        Config {
            shutdown_timeout: self.time("shutdown_timeout"),
            memory: Memory { total_bytes },
            databases: self.databases(total_bytes),
            http: self.http(),
            socket: self.socket(&data_dir),
            scheduler: self.scheduler(machine),
            wal: self.wal(),
            checkpoint: Checkpoint {
                interval_bytes: self.number("checkpoint.interval_mb"),
                auto_create: self.is("checkpoint.auto_create"),
                max_checkpoints: self.size("checkpoint.max_checkpoints"),
            },
            data: Data { parity: self.is("data.parity") },
            compaction: Compaction {
                min_file_bytes: self.number("compaction.min_file_mb"),
                garbage_ratio: self.ratio("compaction.garbage_ratio"),
            },
            snapshot: Snapshot {
                ttl: self.time("snapshot_ttl"),
                held_bytes: self.number("snapshot.held_mb"),
            },
            transactions: Transactions {
                bytes_max: self.number("txn.bytes_max"),
                ops_max: self.count("txn.ops_max"),
                timeout: self.time("txn.timeout"),
            },
            healing: Healing {
                enabled: self.is("healing.enabled"),
                interval: self.time("healing.interval"),
                on_read: self.is("healing.on_read_corruption"),
                max_batch_size: self.size("healing.max_batch_size"),
            },
            search: self.search(total_bytes),
            log: self.log(),
            logs: self.logs(),
            alerts: Alerts {
                webhook_url: Some(self.text("alerts.webhook_url"))
                    .filter(|url| !url.is_empty())
                    .map(|url| Secret::new(url.to_owned())),
            },
            data_dir,
        }
    }

    fn databases(&self, total_bytes: u64) -> Databases {
        let idle_timeout = self.time("db.idle_timeout");
        Databases {
            // A budget beyond the machine's half is cut to it, like the one of the process.
            memory_bytes: self.some("db.memory_mb").unwrap_or(total_bytes).min(total_bytes),
            max_open: self.some_size("db.max_open"),
            idle_timeout: Some(idle_timeout).filter(|timeout| !timeout.is_zero()),
        }
    }

    fn http(&self) -> Option<Http> {
        let http = Http {
            insecure: self.is("http.insecure"),
            body_bytes_max: self.number("http.body_bytes_max"),
            header_bytes_max: self.count("http.header_bytes_max"),
            max_connections: self.some_size("http.max_connections"),
            header_timeout: self.time("http.header_timeout"),
            body_timeout: self.time("http.body_timeout"),
            send_timeout: self.time("http.send_timeout"),
            idle_timeout: self.time("http.idle_timeout"),
            request_timeout: self.time("http.request_timeout"),
            cors_origins: origins(self.text("http.cors_origins")).expect("it was read before"),
            tls: Some(Tls {
                cert: PathBuf::from(self.text("tls.cert")),
                key: PathBuf::from(self.text("tls.key")),
            })
            .filter(|tls| !tls.cert.as_os_str().is_empty()),
            listen: address(self.text("http.listen")).flatten()?,
        };
        Some(http)
    }

    fn socket(&self, data_dir: &std::path::Path) -> Option<Socket> {
        let socket = Socket {
            path: match self.text("ipc.socket") {
                "" => data_dir.join(SOCKET_NAME),
                path => PathBuf::from(path),
            },
            max_connections: self.some_size("ipc.max_connections"),
            frame_timeout: self.time("ipc.frame_timeout"),
        };
        Some(socket).filter(|socket| socket.path.as_os_str() != "off")
    }

    fn scheduler(&self, machine: &Machine) -> Scheduler {
        Scheduler {
            workers: self.some_size("scheduler.workers").unwrap_or(machine.cores),
            query_workers: self.some_size("scheduler.query_workers").unwrap_or(machine.cores),
            worker_expiry: self.time("scheduler.worker_expiry"),
            pre_alloc: self.is("scheduler.pre_alloc"),
            queue_depth: self.size("scheduler.queue_depth"),
            max_total_queued: self.some_size("scheduler.max_total_queued"),
            weights: weights(self.text("scheduler.weights")).expect("it was read before"),
        }
    }

    fn wal(&self) -> Wal {
        let interval = self.time("wal.fsync.interval_ms");
        Wal {
            fsync: match self.text("wal.fsync.mode") {
                "always" => wal::FsyncMode::Always,
                "interval" => wal::FsyncMode::Interval(interval),
                "none" => wal::FsyncMode::Never,
                _ => wal::FsyncMode::Group,
            },
            group_commits_max: self.size("wal.fsync.max_batch_size"),
            segment_bytes_max: self.number("wal.segment_mb"),
            keep_segments: self.count("wal.keep_segments"),
            retain_bytes: self.number("wal.retain_mb"),
            max_segments: self.count("wal.max_segments"),
            trim_after_checkpoint: self.is("wal.trim_after_checkpoint"),
        }
    }

    fn log(&self) -> Log {
        Log {
            level: match self.text("log.level") {
                "error" => LogLevel::Error,
                "warn" => LogLevel::Warn,
                "debug" => LogLevel::Debug,
                "trace" => LogLevel::Trace,
                _ => LogLevel::Info,
            },
            format: match self.text("log.format") {
                "json" => LogFormat::Json,
                _ => LogFormat::Text,
            },
            slow_after: self.time("log.slow_after"),
        }
    }

    fn value(&self, name: &str) -> &'a Value {
        #[cfg(test)]
        self.read.borrow_mut().insert(name.to_owned());
        self.settings.entry(name).value()
    }

    pub(super) fn is(&self, name: &str) -> bool {
        *self.value(name) == Value::Bool(true)
    }

    pub(super) fn text(&self, name: &str) -> &'a str {
        let Value::Text(text) = self.value(name) else { panic!("{name} is no text") };
        text
    }

    pub(super) fn time(&self, name: &str) -> Duration {
        let Value::Time(time) = self.value(name) else { panic!("{name} is no time") };
        *time
    }

    fn ratio(&self, name: &str) -> f64 {
        let Value::Ratio(ratio) = self.value(name) else { panic!("{name} is no ratio") };
        *ratio
    }

    pub(super) fn number(&self, name: &str) -> u64 {
        let (Value::Count(n) | Value::Bytes(n)) = self.value(name) else {
            panic!("{name} is no number");
        };
        *n
    }

    pub(super) fn count(&self, name: &str) -> u32 {
        u32::try_from(self.number(name)).expect("its row's most fits in 32 bits")
    }

    pub(super) fn size(&self, name: &str) -> usize {
        usize::try_from(self.number(name)).expect("its row's most fits in 32 bits")
    }

    /// None for 0.
    pub(super) fn some(&self, name: &str) -> Option<u64> {
        Some(self.number(name)).filter(|n| *n > 0)
    }

    /// None for 0.
    fn some_size(&self, name: &str) -> Option<usize> {
        Some(self.size(name)).filter(|n| *n > 0)
    }
}
