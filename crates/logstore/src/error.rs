//! What can go wrong with the log store, and the frozen code of each.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::error::{Category, Code, Coded};

use crate::entry::EntryId;

/// What a call returns.
pub type Result<T> = std::result::Result<T, LogError>;

/// What can go wrong with the log store. Cheap to clone: one failure is handed to every waiter.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The entry breaks the rules for entries. Nothing was queued.
    #[error("the entry is invalid: {reason}")]
    Invalid {
        /// Which rule.
        reason: Arc<str>,
    },
    /// A part of the entry is over its limit. Nothing was queued.
    #[error("{what} is over its limit bytes={bytes} limit={limit_bytes}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large.
        bytes: usize,
        /// How large it may be.
        limit_bytes: usize,
    },
    /// The queue is full: entries come faster than they are written. Nothing was queued.
    #[error("the queue is full entries={entries} bytes={bytes}; try again later")]
    QueueFull {
        /// How many entries wait.
        entries: usize,
        /// How many bytes they are.
        bytes: usize,
    },
    /// The disk is full and so is the queue before it. Nothing was queued; reads go on.
    #[error("there is no room on the disk and {entries} entries wait; free space or keep less")]
    DiskFull {
        /// How many entries wait.
        entries: usize,
    },
    /// The store has been closed. Nothing was queued.
    #[error("the log store is closed")]
    Closed,
    /// The store was closed before this entry could be written: it is lost.
    #[error("the log store was closed before entry {id} could be written")]
    Unwritten {
        /// Its number.
        id: EntryId,
    },
    /// The database refused this one entry; it is kept as a dead letter.
    #[error("entry {id} was refused by the database and kept as a dead letter: {reason}")]
    Refused {
        /// Its number.
        id: EntryId,
        /// What the database said.
        reason: Arc<str>,
    },
    /// The time for a search or a wait is over.
    #[error("the time for {what} is over")]
    Timeout {
        /// What took too long.
        what: &'static str,
    },
    /// The query cannot be answered as it is put.
    #[error("the query is invalid: {reason}")]
    Query {
        /// Why.
        reason: Arc<str>,
    },
    /// A call to SQLite failed.
    #[error("SQLite failed path=`{}`: {source}", path.display())]
    Sqlite {
        /// On which file.
        path: PathBuf,
        /// What it said.
        source: Arc<rusqlite::Error>,
    },
    /// A call to the system failed.
    #[error("{what} failed path=`{}`: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: Arc<std::io::Error>,
    },
    /// A sealed block or a backup cannot be decoded.
    #[error("`{}` is damaged: {what}", path.display())]
    Damaged {
        /// In which file.
        path: PathBuf,
        /// What is wrong with it.
        what: Arc<str>,
    },
    /// The file belongs to a newer version, or to something else.
    #[error("`{}` cannot be used by this version: {what}", path.display())]
    Unsupported {
        /// Which file.
        path: PathBuf,
        /// Why.
        what: Arc<str>,
    },
    /// Another process has the store open.
    #[error("another process has the log store open path=`{}`", path.display())]
    InUse {
        /// Its directory.
        path: PathBuf,
    },
    /// An option makes no sense.
    #[error("the option {option} cannot be {value}: {reason}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What it was set to.
        value: u64,
        /// Why not.
        reason: &'static str,
    },
}

impl LogError {
    pub(crate) fn invalid(reason: impl Into<Arc<str>>) -> Self {
        Self::Invalid { reason: reason.into() }
    }

    pub(crate) fn query(reason: impl Into<Arc<str>>) -> Self {
        Self::Query { reason: reason.into() }
    }

    pub(crate) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        Self::Sqlite { path: path.to_owned(), source: Arc::new(source) }
    }

    pub(crate) fn io(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), source: Arc::new(source) }
    }

    /// What a failure of SQLite asks for; none when it was something else that failed.
    pub(crate) fn fault(&self) -> Option<Fault> {
        if let Self::Sqlite { source, .. } = self { Some(Fault::of(source)) } else { None }
    }

    pub(crate) fn damaged(path: &Path, what: impl Into<Arc<str>>) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.into() }
    }
}

impl Coded for LogError {
    fn code(&self) -> Code {
        match self {
            Self::Invalid { .. } | Self::Refused { .. } => Code::InvalidSchema,
            Self::TooLarge { .. } => Code::PayloadTooLarge,
            Self::QueueFull { .. } => Code::QueueFull,
            Self::DiskFull { .. } => Code::DiskFull,
            Self::Closed | Self::Unwritten { .. } => Code::PoolStopped,
            Self::Timeout { .. } => Code::Timeout,
            Self::Query { .. } => Code::InvalidQuery,
            Self::Sqlite { source, .. } => code_of_sqlite(source),
            Self::Io { .. } => Code::FileWrite,
            Self::Damaged { .. } => Code::CorruptRecord,
            Self::Unsupported { .. } | Self::Option { .. } => Code::Unsupported,
            Self::InUse { .. } => Code::FileOpen,
        }
    }

    fn category(&self) -> Category {
        if let Self::Io { source, .. } = self {
            return Category::of_io(source);
        }
        // Of a full disk: space may be freed and the same entry stored, the queue is what refused it.
        if matches!(self, Self::DiskFull { .. }) || self.fault() == Some(Fault::Busy) {
            return Category::Transient;
        }
        self.code().category()
    }
}

fn code_of_sqlite(error: &rusqlite::Error) -> Code {
    match Fault::of(error) {
        Fault::Full => Code::DiskFull,
        Fault::Damaged => Code::CorruptRecord,
        Fault::Busy => Code::Timeout,
        Fault::Connection => Code::FileWrite,
        Fault::Content => Code::Internal,
    }
}

/// What a failure of SQLite asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Somebody else holds a lock: wait and try again.
    Busy,
    /// No room: wait for some.
    Full,
    /// The file is no longer a database: put it aside.
    Damaged,
    /// The file or its connection fails: open it anew, wait and try again.
    Connection,
    /// What was to be written is at fault: try smaller pieces.
    Content,
}

impl Fault {
    pub(crate) fn of(error: &rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Sqlite;
        match error.sqlite_error_code() {
            Some(Sqlite::DatabaseBusy | Sqlite::DatabaseLocked | Sqlite::OutOfMemory) => Self::Busy,
            Some(Sqlite::DiskFull) => Self::Full,
            Some(Sqlite::DatabaseCorrupt | Sqlite::NotADatabase) => Self::Damaged,
            Some(
                Sqlite::SystemIoFailure
                | Sqlite::CannotOpen
                | Sqlite::ReadOnly
                | Sqlite::PermissionDenied
                | Sqlite::OperationInterrupted
                | Sqlite::FileLockingProtocolFailed
                | Sqlite::NoLargeFileSupport,
            ) => Self::Connection,
            _ => Self::Content,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_that_pass_are_worth_a_retry_and_others_are_not() {
        let sqlite = |code| {
            let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            LogError::sqlite(Path::new("a"), error)
        };
        for (error, code, retry) in [
            (LogError::QueueFull { entries: 1, bytes: 1 }, Code::QueueFull, true),
            (LogError::DiskFull { entries: 1 }, Code::DiskFull, true),
            (LogError::Closed, Code::PoolStopped, false),
            (LogError::invalid("x"), Code::InvalidSchema, false),
            (sqlite(rusqlite::ffi::SQLITE_BUSY), Code::Timeout, true),
            (sqlite(rusqlite::ffi::SQLITE_FULL), Code::DiskFull, false),
            (sqlite(rusqlite::ffi::SQLITE_CORRUPT), Code::CorruptRecord, false),
        ] {
            assert_eq!((error.code(), error.retryable()), (code, retry), "{error}");
        }
    }
}
