//! What can go wrong with an index file, and the frozen code of each.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::error::{Category, Code, Coded};
use base::words::DatabaseId;
use wal::Op;

/// A result with the index's error.
pub(super) type Result<T> = std::result::Result<T, IndexError>;

/// What can go wrong with an index file.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IndexError {
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
    /// The file is not what was written. The index can be made again from the data files.
    #[error(
        "the index file is damaged path=`{}` place={} offset={}: {}",
        .0.path.display(), .0.place, .0.offset, .0.wrong
    )]
    Corrupt(Box<Damage>),
}

/// Where and how an index file is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Which part of it.
    pub place: Place,
    /// Where that part starts, bytes.
    pub offset: u64,
    /// What is wrong.
    pub wrong: Wrong,
}

/// A part of an index file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The header.
    Header,
    /// The block at this position, from 0.
    Block(u32),
    /// The trailer.
    Trailer,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Header => f.write_str("header"),
            Self::Block(position) => write!(f, "block-{position}"),
            Self::Trailer => f.write_str("trailer"),
        }
    }
}

/// What is wrong with a part of an index file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// The checksum does not fit.
    #[error("the checksum does not fit")]
    Checksum,
    /// The file ends before the part does.
    #[error("the file is too short")]
    Short,
    /// It does not begin, or end, as index files do.
    #[error("it is not an index file")]
    Magic,
    /// Written by a later version of docdb.
    #[error("it was written by a later version of docdb version={0}")]
    Version(u32),
    /// It belongs to another database.
    #[error("it belongs to another database database={0}")]
    Database(DatabaseId),
    /// It is whole, but not the file that was looked for: number, kind, length or checksum differ.
    #[error("it is not the file that the manifest names")]
    Other,
    /// The checksum fits, and yet a rule of the format is broken.
    #[error("{0}")]
    Rule(&'static str),
}

impl IndexError {
    pub(super) fn io(op: Op, path: &Path, source: io::Error) -> Self {
        Self::Io { op, path: path.to_path_buf(), source: Arc::new(source) }
    }

    pub(super) fn corrupt(path: &Path, place: Place, offset: u64, wrong: Wrong) -> Self {
        Self::Corrupt(Box::new(Damage { path: path.to_path_buf(), place, offset, wrong }))
    }
}

impl Coded for IndexError {
    fn code(&self) -> Code {
        match self {
            Self::Io { source, .. } if is_full(source) => Code::DiskFull,
            Self::Io { op: Op::Open, .. } => Code::FileOpen,
            Self::Io { op: Op::Read, .. } => Code::FileRead,
            Self::Io { op: Op::Write, .. } => Code::FileWrite,
            Self::Io { op: Op::Sync, .. } => Code::FileSync,
            Self::Corrupt(damage) if damage.wrong == Wrong::Checksum => Code::CrcMismatch,
            Self::Corrupt(_) => Code::CorruptRecord,
        }
    }

    fn category(&self) -> Category {
        match self {
            Self::Io { source, .. } => Category::of_io(source),
            Self::Corrupt(_) => self.code().category(),
        }
    }
}

fn is_full(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
