//! What can go wrong with a log, and the frozen code of each.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use base::error::{Category, Code, Coded};
use base::io::is_full;
use base::words::Lsn;

/// An I/O operation, as errors name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Opening or creating a file.
    Open,
    /// Reading.
    Read,
    /// Writing, renaming, removing.
    Write,
    /// Making durable.
    Sync,
}

impl std::fmt::Display for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
        })
    }
}

/// Where and how a log is damaged. Boxed inside [`WalError`] to keep results small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Sequence of the damaged segment.
    pub segment: u64,
    /// Offset of the first bad byte range in it, bytes.
    pub offset: u64,
    /// First position that cannot be read.
    pub lost_from: Lsn,
    /// Last position known to have been durable beyond it.
    pub lost_to: Lsn,
    /// What is wrong with the bytes.
    pub what: &'static str,
}

/// What can go wrong with a log. Cheap to clone: one failure is handed to every waiter.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WalError {
    /// The system refused a call.
    #[error("{op} failed path=`{}`: {source}", path.display())]
    Io {
        /// What was tried.
        op: Op,
        /// On which file.
        path: PathBuf,
        /// The system's words.
        source: Arc<io::Error>,
    },
    /// No room. Nothing of the transaction was applied.
    #[error("no room on the disk for {bytes} bytes of log; free space or delete documents")]
    DiskFull {
        /// How much was asked for.
        bytes: u64,
    },
    /// A sync failed while this write waited for it: it may or may not survive.
    #[error("a sync failed ({cause}); the write may or may not survive: reopen and read it back")]
    DurabilityUnknown {
        /// What the failed call said.
        cause: Arc<str>,
    },
    /// The log takes no writes since a sync failed. This write was not attempted.
    #[error("the log takes no writes since a sync failed ({cause}); reopen the database")]
    Poisoned {
        /// What the failed call said.
        cause: Arc<str>,
    },
    /// The log is damaged where it had been durable.
    #[error(
        "the log is damaged segment={} offset={} unreachable={}..={}: {}; \
         `docdb repair --salvage` keeps what is whole",
        .0.segment, .0.offset, .0.lost_from, .0.lost_to, .0.what
    )]
    Corrupt(Box<Damage>),
    /// The manifest of the log is missing or unreadable.
    #[error("the log's manifest is unusable: {0}")]
    Manifest(Arc<str>),
    /// There is no log at this path.
    #[error("there is no log in `{}`", .0.display())]
    NoLog(PathBuf),
    /// A salvage cannot begin. Nothing was changed.
    #[error("the log cannot be salvaged: {0}")]
    Salvage(Arc<str>),
    /// The position is no longer in the log.
    #[error("position {wanted} is no longer in the log; the first one is {first}")]
    Trimmed {
        /// What was asked for.
        wanted: Lsn,
        /// What there is.
        first: Lsn,
    },
    /// Too many bytes wait for the committer.
    #[error("{waiting} bytes wait to be written, the most there may be; try again later")]
    QueueFull {
        /// How many wait.
        waiting: u64,
    },
    /// A transaction or one of its parts is over its limit.
    #[error("{what} is over its limit value={value} limit={limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large.
        value: u64,
        /// How large it may be.
        limit: u64,
    },
    /// The log has been closed.
    #[error("the log is closed")]
    Closed,
    /// Writes failed since the transaction was worked out, and their LSNs are given again. Nothing
    /// of it was applied; work it out anew.
    #[error("writes before this one failed; work it out again epoch={epoch}")]
    Rewound {
        /// The epoch that holds now.
        epoch: u64,
    },
    /// A completion commits, or waits for a commit: it would wait for itself.
    #[error("a completion must neither commit nor close the log")]
    Reentered,
    /// Another process or handle has the log open.
    #[error("the log is in use by another process path=`{}`", .0.display())]
    Locked(PathBuf),
    /// There is a log already where one was to be made.
    #[error("there is a log already path=`{}`", .0.display())]
    Exists(PathBuf),
    /// A setting is out of its range.
    #[error("{setting}={value} is out of range: {rule}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// What was given.
        value: u64,
        /// What may be given.
        rule: &'static str,
    },
}

/// A result with the log's error.
pub type Result<T> = std::result::Result<T, WalError>;

impl WalError {
    pub(crate) fn io(op: Op, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { op, path: path.into(), source: Arc::new(source) }
    }

    /// The refusal of a lock.
    pub(crate) fn lock(path: PathBuf, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::WouldBlock {
            Self::Locked(path)
        } else {
            Self::io(Op::Open, path, source)
        }
    }

    /// Whether the system said that there is no room (`ENOSPC`, `EDQUOT` or `EFBIG`).
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::DiskFull { .. } => true,
            Self::Io { source, .. } => is_full(source),
            Self::DurabilityUnknown { .. }
            | Self::Poisoned { .. }
            | Self::Corrupt(_)
            | Self::Manifest(_)
            | Self::Salvage(_)
            | Self::NoLog(_)
            | Self::Trimmed { .. }
            | Self::QueueFull { .. }
            | Self::TooLarge { .. }
            | Self::Closed
            | Self::Rewound { .. }
            | Self::Reentered
            | Self::Locked(_)
            | Self::Exists(_)
            | Self::Setting { .. } => false,
        }
    }

    /// The frozen code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Io { source, .. } if is_full(source) => Code::DiskFull,
            Self::Io { op: Op::Open, .. } => Code::FileOpen,
            Self::Io { op: Op::Read, .. } => Code::FileRead,
            Self::Io { op: Op::Write, .. } => Code::FileWrite,
            Self::Io { op: Op::Sync, .. } => Code::FileSync,
            Self::DiskFull { .. } => Code::DiskFull,
            Self::DurabilityUnknown { .. } => Code::DurabilityUnknown,
            Self::Poisoned { .. } => Code::ReadOnly,
            Self::Corrupt(_) | Self::Manifest(_) | Self::Salvage(_) => Code::WalCorrupt,
            Self::Trimmed { .. } => Code::LsnTrimmed,
            Self::QueueFull { .. } => Code::QueueFull,
            Self::TooLarge { .. } => Code::PayloadTooLarge,
            Self::Closed => Code::DbNotOpen,
            Self::Rewound { .. } => Code::TxnConflict,
            Self::Reentered => Code::Internal,
            Self::Locked(_) | Self::Exists(_) | Self::NoLog(_) => Code::FileOpen,
            Self::Setting { .. } => Code::Unsupported,
        }
    }
}

impl Coded for WalError {
    fn code(&self) -> Code {
        Self::code(self)
    }

    fn category(&self) -> Category {
        match self {
            Self::Io { source, .. } => Category::of_io(source),
            Self::DiskFull { .. }
            | Self::DurabilityUnknown { .. }
            | Self::Poisoned { .. }
            | Self::Corrupt(_)
            | Self::Manifest(_)
            | Self::Salvage(_)
            | Self::NoLog(_)
            | Self::Trimmed { .. }
            | Self::QueueFull { .. }
            | Self::TooLarge { .. }
            | Self::Closed
            | Self::Rewound { .. }
            | Self::Reentered
            | Self::Locked(_)
            | Self::Exists(_)
            | Self::Setting { .. } => self.code().category(),
        }
    }
}
