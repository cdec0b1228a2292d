//! The table of settings: what each is called, what it may be, what it trades and who reads it.
//!
//! The rows are in [`server`], [`storage`], [`search`] and [`logs`]. To add one: a row there, a field in
//! [`Config`](super::Config) and its line in `typed.rs`; a test refuses a row that no field reads.

mod logs;
mod search;
mod server;
mod storage;

use std::time::Duration;

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its dotted name, frozen.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Its default, as a user would write it; empty = not set.
    pub default: &'static str,
    /// What 0, or nothing, stands for, if not for itself.
    pub empty: Option<&'static str>,
    /// What it is, one sentence.
    pub what: &'static str,
    /// What more of it, or the other choice, costs and buys.
    pub trade: &'static str,
    /// The part of the server that reads it.
    pub reader: Reader,
    /// Beside which other settings it means something; all of them must hold.
    pub only: &'static [Only],
    /// Whether its value is shown to nobody.
    pub secret: bool,
}

/// What a setting may be.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Count {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A number between 0 and 1, both excluded.
    Ratio,
    /// A number of bytes.
    Bytes {
        /// What a number without a unit counts.
        unit: u64,
        /// The least, bytes.
        min: u64,
        /// The most, bytes.
        max: u64,
        /// The value must be a multiple of this many bytes.
        step: u64,
    },
    /// A length of time.
    Time {
        /// What a number without a unit counts.
        unit: Duration,
        /// The least.
        min: Duration,
        /// The most.
        max: Duration,
    },
    /// One of several words.
    Choice(&'static [&'static str]),
    /// A path of the file system.
    Path,
    /// A path, nothing for the usual one, or `off`.
    Socket,
    /// An IP address and a port, or `off`.
    Address,
    /// An `http://` or `https://` URL.
    Url,
    /// Origins of web pages.
    Origins,
    /// Databases with a weight each.
    Weights,
    /// Names of programs whose log entries are meant, or all of them.
    Streams,
    /// Blocks of IP addresses.
    Networks,
}

/// The part of the server that reads a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// The process: data directory, memory, start and end.
    Process,
    /// The HTTP server.
    Http,
    /// The Unix socket.
    Socket,
    /// The scheduler.
    Scheduler,
    /// The log of each database.
    Log,
    /// The documents of each database.
    Documents,
    /// The search indexes.
    Search,
    /// The application logs.
    Logs,
    /// What tells of the server: its log lines and alerts.
    Reports,
}

impl Reader {
    /// As the documentation calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "the process",
            Self::Http => "the HTTP server",
            Self::Socket => "the Unix socket",
            Self::Scheduler => "the scheduler",
            Self::Log => "the log of each database",
            Self::Documents => "the documents of each database",
            Self::Search => "the search indexes",
            Self::Logs => "the application logs",
            Self::Reports => "log lines and alerts",
        }
    }
}

/// A condition on another setting, without which a setting means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// The other one is this.
    Is(&'static str, &'static str),
    /// The other one is not this.
    IsNot(&'static str, &'static str),
}

impl Only {
    /// Name and value of the other setting.
    #[must_use]
    pub const fn other(self) -> (&'static str, &'static str) {
        match self {
            Self::Is(name, value) | Self::IsNot(name, value) => (name, value),
        }
    }

    /// Whether it holds when the other setting is shown as `value`.
    #[must_use]
    pub fn holds(self, value: &str) -> bool {
        match self {
            Self::Is(_, wanted) => value == wanted,
            Self::IsNot(_, unwanted) => value != unwanted,
        }
    }
}

impl std::fmt::Display for Only {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Is(name, value) => write!(f, "only with {name} = {value}"),
            Self::IsNot(name, "") => write!(f, "only with {name}"),
            Self::IsNot(name, value) => write!(f, "not with {name} = {value}"),
        }
    }
}

/// Every setting, in the order in which they are shown.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    server::ROWS.iter().chain(storage::ROWS).chain(search::ROWS).chain(logs::ROWS)
}

/// The setting called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.name == name)
}

impl Setting {
    /// The variable of the environment that sets it.
    #[must_use]
    pub fn variable(&self) -> String {
        let name = self.name.to_ascii_uppercase().replace('.', "_");
        format!("{}{name}", super::environment::PREFIX)
    }

    /// The group it belongs to: what stands before the first dot, if anything does.
    #[must_use]
    pub fn group(&self) -> Option<&'static str> {
        self.name.split_once('.').map(|(group, _)| group)
    }
}

/// Bytes of a kibibyte.
const KIB: u64 = 1024;
/// Bytes of a mebibyte.
const MIB: u64 = 1024 * KIB;
/// Bytes of a gibibyte.
const GIB: u64 = 1024 * MIB;
/// Bytes of a tebibyte.
const TIB: u64 = 1024 * GIB;

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

const fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

const fn hours(n: u64) -> Duration {
    minutes(60 * n)
}

const fn count(min: u64, max: u64) -> Kind {
    Kind::Count { min, max }
}

/// A setting in bytes.
const fn bytes(min: u64, max: u64) -> Kind {
    Kind::Bytes { unit: 1, min, max, step: 1 }
}

/// A setting whose name ends with `_mb`.
const fn mib(min: u64, max: u64) -> Kind {
    Kind::Bytes { unit: MIB, min, max, step: 1 }
}

/// A time whose name says no unit: a plain number is seconds.
const fn time(min: Duration, max: Duration) -> Kind {
    Kind::Time { unit: Duration::from_secs(1), min, max }
}

/// What most rows have in common, for `..ROW`.
const ROW: Setting = Setting {
    name: "",
    kind: Kind::Bool,
    default: "",
    empty: None,
    what: "",
    trade: "",
    reader: Reader::Process,
    only: &[],
    secret: false,
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::Value;

    #[test]
    fn no_two_settings_share_a_name_or_a_variable() {
        let names: BTreeSet<_> = all().map(|setting| setting.name).collect();
        let variables: BTreeSet<_> = all().map(Setting::variable).collect();
        assert_eq!((names.len(), variables.len()), (all().count(), all().count()));
        assert_eq!(find("wal.fsync.mode").unwrap().variable(), "DOCDB_WAL_FSYNC_MODE");
        assert!(!variables.contains(super::super::FILE_VARIABLE));
    }

    #[test]
    fn no_name_is_also_a_group() {
        for setting in all() {
            let prefix = format!("{}.", setting.name);
            assert!(all().all(|other| !other.name.starts_with(&prefix)), "{prefix}");
        }
    }

    #[test]
    fn every_row_says_what_it_is_and_what_it_trades() {
        for setting in all() {
            for text in [setting.what, setting.trade] {
                let is_sentence = text.ends_with('.') && text.len() > 10 && !text.contains('|');
                assert!(is_sentence, "{}: {text:?}", setting.name);
            }
        }
    }

    #[test]
    fn every_default_is_allowed_and_shown_as_it_is_written() {
        for setting in all() {
            let value = Value::of_default(setting);
            assert_eq!(value.show(setting), setting.default, "{}", setting.name);
        }
    }

    #[test]
    fn every_condition_is_on_another_setting_and_on_a_value_that_it_can_have() {
        for setting in all() {
            for only in setting.only {
                let (name, value) = only.other();
                let other = find(name).unwrap_or_else(|| panic!("{}: {name}", setting.name));
                assert_ne!(other.name, setting.name);
                let parsed = Value::parse(other, &crate::config::Raw::Text(value.to_owned()));
                assert_eq!(parsed.map(|parsed| parsed.show(other)), Ok(value.to_owned()), "{name}");
            }
        }
    }
}
