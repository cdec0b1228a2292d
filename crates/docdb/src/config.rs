//! The settings of the server: one table of them ([`table`]) from which the file, the environment,
//! the flags, the defaults, `docdb config` and `docs/operations/config.md` are all made.
//!
//! A setting is given by, in this order of precedence: a flag `--wal.fsync.mode=always`, a variable
//! `DOCDB_WAL_FSYNC_MODE=always`, a line of the TOML file that `--config` or `DOCDB_CONFIG` names, its
//! default. The variable of a setting is `DOCDB_`, then its name in capitals with `_` for every dot;
//! no two names give the same variable.
//!
//! # Invariants
//!
//! - What is not in the table is refused, with the nearest name that is.
//! - Every value that was given is checked, also one that another source overrides.
//! - A setting that means nothing beside the others is refused when it is given.
//! - Where a value came from stays with it: [`Origin`].
//! - A secret is shown by nothing here: not by an error, not by `Debug`, not by `docdb config`.
//!
//! Start with [`Settings::gather`], then [`Settings::config`].

mod environment;
mod error;
mod file;
mod machine;
mod nearest;
mod network;
mod settings;
mod source;
pub mod table;
mod typed;
mod value;

pub use error::{ConfigError, ConfigErrors};
pub use machine::Machine;
pub(crate) use nearest::nearest;
pub use network::Network;
pub use settings::{Entry, Settings};
pub use source::{Origin, Sources};
pub use typed::{
    Alerts, Checkpoint, Compaction, Config, Data, Databases, Healing, Http, Log, LogFormat,
    LogLevel, Logs, Memory, Scheduler, Search, Secret, Snapshot, Socket, Syslog, SyslogTls, Tls,
    Transactions, Wal,
};
pub use value::{Raw, Value, rule};

/// A length of time as users write it: `90d`, `1h30m`, or a number of seconds.
#[must_use]
pub fn parse_time(text: &str) -> Option<std::time::Duration> {
    value::time(text, std::time::Duration::from_secs(1))
}

/// Where the file is named, besides `--config`.
pub const FILE_VARIABLE: &str = "DOCDB_CONFIG";
