//! What can go wrong with a data file, and the frozen code of each.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::error::{Category, Code, Coded};

use crate::location::FileNumber;

pub use wal::Op;

/// What is wrong with bytes of a data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Flaw {
    /// The checksum does not fit.
    #[error("the checksum does not fit")]
    Checksum,
    /// The checksum may fit, but a field breaks a rule of the format.
    #[error("{0}")]
    Malformed(&'static str),
    /// A whole record, but not the one that was asked for.
    #[error("another record stands here")]
    OtherRecord,
    /// The file ends before it.
    #[error("the file is cut short")]
    Short,
    /// The device cannot read it.
    #[error("the device cannot read it")]
    Unreadable,
}

impl Flaw {
    /// The frozen code.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Checksum => Code::CrcMismatch,
            Self::Malformed(_) | Self::OtherRecord | Self::Short | Self::Unreadable => {
                Code::CorruptRecord
            }
        }
    }
}

/// A stretch of a file's data that cannot be read as records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Data offsets: from the first record that cannot be read to where reading goes on. Records
    /// behind the first may be whole; a location leads to them still.
    pub range: Range<u64>,
    /// What is wrong at its start.
    pub flaw: Flaw,
}

/// What can go wrong with a data file.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DataError {
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
    /// Bytes are not what was written.
    #[error("data is damaged file={file} offset={offset}: {flaw}")]
    Corrupt {
        /// The file.
        file: FileNumber,
        /// Data offset of the record or stripe; 0 when it is the file's header.
        offset: u64,
        /// What is wrong.
        flaw: Flaw,
    },
    /// The writer stopped at an earlier failure. Nothing of this call was done.
    #[error("the data file takes no more records after a failure ({cause}); begin another file")]
    Stopped {
        /// What failed.
        cause: Arc<str>,
    },
    /// The file takes no more records: it has reached the largest size that there is. Nothing of
    /// this call was done.
    #[error("the data file is full file={file} bytes={bytes}; begin another file")]
    Full {
        /// The file.
        file: FileNumber,
        /// How much data it has.
        bytes: u64,
    },
}

/// A result with the error of data files.
pub type Result<T> = std::result::Result<T, DataError>;

impl DataError {
    pub(crate) fn io(op: Op, path: &Path, source: io::Error) -> Self {
        Self::Io { op, path: path.to_path_buf(), source: Arc::new(source) }
    }

    /// What is wrong with the bytes, when that is the error.
    #[must_use]
    pub const fn flaw(&self) -> Option<Flaw> {
        match self {
            Self::Corrupt { flaw, .. } => Some(*flaw),
            Self::Io { .. } | Self::Stopped { .. } | Self::Full { .. } => None,
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
            Self::Corrupt { flaw, .. } => flaw.code(),
            Self::Stopped { .. } | Self::Full { .. } => Code::FileWrite,
        }
    }
}

impl Coded for DataError {
    fn code(&self) -> Code {
        Self::code(self)
    }

    fn category(&self) -> Category {
        match self {
            Self::Io { source, .. } => Category::of_io(source),
            Self::Corrupt { .. } | Self::Stopped { .. } | Self::Full { .. } => {
                self.code().category()
            }
        }
    }
}

fn is_full(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
