//! The configuration as the parts of the server take it: typed, with what 0 stands for worked out.
//!
//! Each field says which setting it is; what that means stands in the table.

mod logs;
mod read;
mod search;
mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use base::words::Name;

use crate::config::Network;

/// The whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `data_dir`.
    pub data_dir: PathBuf,
    /// `shutdown_timeout`.
    pub shutdown_timeout: Duration,
    /// `memory.*`.
    pub memory: Memory,
    /// `db.*`.
    pub databases: Databases,
    /// `http.*`; none when `http.listen` is off.
    pub http: Option<Http>,
    /// `ipc.*`; none when `ipc.socket` is off.
    pub socket: Option<Socket>,
    /// `scheduler.*`.
    pub scheduler: Scheduler,
    /// `wal.*`.
    pub wal: Wal,
    /// `checkpoint.*`.
    pub checkpoint: Checkpoint,
    /// `data.*`.
    pub data: Data,
    /// `compaction.*`.
    pub compaction: Compaction,
    /// `snapshot_ttl` and `snapshot.*`.
    pub snapshot: Snapshot,
    /// `txn.*`.
    pub transactions: Transactions,
    /// `healing.*`.
    pub healing: Healing,
    /// `search.*`.
    pub search: Search,
    /// `log.*`.
    pub log: Log,
    /// `alerts.*`.
    pub alerts: Alerts,
    /// `logs.*`; none when `logs.enabled` is false.
    pub logs: Option<Logs>,
}

/// `memory.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// `memory.total_mb`: the budget of the process, bytes, never 0.
    pub total_bytes: u64,
}

/// `db.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Databases {
    /// `db.memory_mb`: the budget of one database, bytes, never 0 and at most the process's.
    pub memory_bytes: u64,
    /// `db.max_open`; none = not limited by number.
    pub max_open: Option<usize>,
    /// `db.idle_timeout`; none = never.
    pub idle_timeout: Option<Duration>,
}

/// `http.*` and `tls.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// `http.listen`.
    pub listen: SocketAddr,
    /// `http.insecure`.
    pub insecure: bool,
    /// `http.body_bytes_max`.
    pub body_bytes_max: u64,
    /// `http.header_bytes_max`.
    pub header_bytes_max: u32,
    /// `http.max_connections`; none = by the limit on open files.
    pub max_connections: Option<usize>,
    /// `http.header_timeout`.
    pub header_timeout: Duration,
    /// `http.body_timeout`.
    pub body_timeout: Duration,
    /// `http.send_timeout`.
    pub send_timeout: Duration,
    /// `http.idle_timeout`.
    pub idle_timeout: Duration,
    /// `http.request_timeout`.
    pub request_timeout: Duration,
    /// `http.cors_origins`: none, `*` alone, or origins.
    pub cors_origins: Vec<String>,
    /// `tls.*`; none = plain HTTP.
    pub tls: Option<Tls>,
}

/// `tls.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// `tls.cert`.
    pub cert: PathBuf,
    /// `tls.key`: the path of the key, which is no secret.
    pub key: PathBuf,
}

/// `ipc.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// `ipc.socket`: where it is.
    pub path: PathBuf,
    /// `ipc.max_connections`; none = by the limit on open files.
    pub max_connections: Option<usize>,
    /// `ipc.frame_timeout`.
    pub frame_timeout: Duration,
}

/// `scheduler.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduler {
    /// `scheduler.workers`, at least 1.
    pub workers: usize,
    /// `scheduler.query_workers`, at least 1.
    pub query_workers: usize,
    /// `scheduler.worker_expiry`.
    pub worker_expiry: Duration,
    /// `scheduler.pre_alloc`.
    pub pre_alloc: bool,
    /// `scheduler.queue_depth`.
    pub queue_depth: usize,
    /// `scheduler.max_total_queued`; none = limited for each database only.
    pub max_total_queued: Option<usize>,
    /// `scheduler.weights`; who is not in it has 1.
    pub weights: BTreeMap<Name, u32>,
}

/// `wal.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wal {
    /// `wal.fsync.mode` with `wal.fsync.interval_ms`.
    pub fsync: wal::FsyncMode,
    /// `wal.fsync.max_batch_size`; 0 = not counted.
    pub group_commits_max: usize,
    /// `wal.segment_mb`.
    pub segment_bytes_max: u64,
    /// `wal.keep_segments`.
    pub keep_segments: u32,
    /// `wal.retain_mb`.
    pub retain_bytes: u64,
    /// `wal.max_segments`; 0 = not counted.
    pub max_segments: u32,
    /// `wal.trim_after_checkpoint`.
    pub trim_after_checkpoint: bool,
}

/// `checkpoint.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// `checkpoint.interval_mb`.
    pub interval_bytes: u64,
    /// `checkpoint.auto_create`.
    pub auto_create: bool,
    /// `checkpoint.max_checkpoints`.
    pub max_checkpoints: usize,
}

/// `data.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// `data.parity`.
    pub parity: bool,
}

/// `compaction.*`.
#[derive(Debug, Clone, PartialEq)]
pub struct Compaction {
    /// `compaction.min_file_mb`.
    pub min_file_bytes: u64,
    /// `compaction.garbage_ratio`.
    pub garbage_ratio: f64,
}

/// `snapshot_ttl` and `snapshot.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// `snapshot_ttl`.
    pub ttl: Duration,
    /// `snapshot.held_mb`.
    pub held_bytes: u64,
}

/// `txn.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transactions {
    /// `txn.bytes_max`.
    pub bytes_max: u64,
    /// `txn.ops_max`.
    pub ops_max: u32,
    /// `txn.timeout`.
    pub timeout: Duration,
}

/// `healing.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healing {
    /// `healing.enabled`.
    pub enabled: bool,
    /// `healing.interval`.
    pub interval: Duration,
    /// `healing.on_read_corruption`.
    pub on_read: bool,
    /// `healing.max_batch_size`.
    pub max_batch_size: usize,
}

/// `search.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// `search.unindexed_mb`.
    pub unindexed_bytes: usize,
    /// `search.cache_mb`, never 0.
    pub cache_bytes: usize,
    /// `search.compaction.max_segments`.
    pub segments_max: usize,
    /// `search.compaction.interval_secs`.
    pub compact_every: Duration,
    /// `search.compaction.min_segment_size`.
    pub segment_bytes_min: u64,
}

/// `log.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// `log.level`.
    pub level: LogLevel,
    /// `log.format`.
    pub format: LogFormat,
    /// `log.slow_after`; zero for never.
    pub slow_after: Duration,
}

/// `logs.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logs {
    /// The settings of the store; what no setting names keeps its default.
    pub store: logstore::Options,
    /// `logs.syslog.*`.
    pub syslog: Syslog,
}

/// `logs.syslog.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syslog {
    /// `logs.syslog.tcp`; none = off.
    pub tcp: Option<SocketAddr>,
    /// `logs.syslog.udp`; none = off.
    pub udp: Option<SocketAddr>,
    /// `logs.syslog.tls`; none = off.
    pub tls: Option<SyslogTls>,
    /// `logs.syslog.allow`; none at all = whoever reaches a listener.
    pub allow: Vec<Network>,
    /// `logs.syslog.max_connections`.
    pub max_connections: usize,
}

/// `logs.syslog.tls` and what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyslogTls {
    /// `logs.syslog.tls`.
    pub listen: SocketAddr,
    /// `logs.syslog.tls_cert` and `logs.syslog.tls_key`.
    pub files: Tls,
    /// `logs.syslog.tls_client_ca`; none = clients need no certificate.
    pub client_ca: Option<PathBuf>,
}

/// `log.level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// What failed and needs somebody.
    Error,
    /// What is not as it should be.
    Warn,
    /// What happened.
    Info,
    /// Each request.
    Debug,
    /// Each step.
    Trace,
}

/// `log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `alerts.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alerts {
    /// `alerts.webhook_url`.
    pub webhook_url: Option<Secret>,
}

/// Text that is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one who needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}
