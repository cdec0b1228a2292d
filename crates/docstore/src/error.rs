//! What can go wrong, and which frozen code each is.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use base::document::JsonError;
use base::error::{Category, Code, Coded};
use base::io::DiskRef;
use base::memory::MemoryLimit;
use base::slots::SlotError;
use base::words::{DatabaseId, DocId, IdError, Lsn, Name, NameError};
use wal::WalError;

pub use wal::Op;

use crate::data::DataError;
use crate::index::IndexError;
use crate::patch::PatchError;
use crate::rule::Misfit;
use crate::validation::ValidationError;

/// What the document store answers when it cannot do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A document with this id exists already.
    #[error("a document with this id exists already id={id} revision={}", shown(*revision))]
    DocExists {
        /// The id.
        id: DocId,
        /// Its revision; the largest of all when an earlier operation of the same batch wrote it.
        revision: Lsn,
    },
    /// There is no document with this id.
    #[error("there is no document with this id id={id}")]
    DocNotFound {
        /// The id.
        id: DocId,
    },
    /// The document is at another revision.
    #[error("the document is at another revision id={id} wanted={wanted} found={}", shown(*found))]
    RevisionMismatch {
        /// The id.
        id: DocId,
        /// What the request named.
        wanted: Lsn,
        /// What there is; 0 = no document, the largest of all = what an earlier operation of the same
        /// batch wrote.
        found: Lsn,
    },
    /// A condition did not hold.
    #[error("the condition of the write does not hold id={id}")]
    ConditionFailed {
        /// The id.
        id: DocId,
    },
    /// There is no collection of this name or number.
    #[error("there is no such collection collection={0}; create it first")]
    CollectionNotFound(Arc<str>),
    /// A collection of this name exists.
    #[error("there is a collection of this name already name={0}")]
    CollectionExists(Name),
    /// The collection holds documents.
    #[error(
        "the collection holds {documents} documents; drop it with force to lose them name={name}"
    )]
    CollectionNotEmpty {
        /// Its name.
        name: Name,
        /// How many.
        documents: u64,
    },
    /// The collection `default` always exists.
    #[error("the collection `default` always exists; delete its documents instead")]
    DefaultCollection,
    /// The database `default` always exists.
    #[error("the database `default` always exists; delete its collections instead")]
    DefaultDatabase,
    /// There is no database of this name.
    #[error("there is no database of this name name={0}")]
    DbNotFound(Name),
    /// There is none of this name that can be read, and one that cannot be, whose name nobody can tell.
    #[error(
        "`{}` cannot be read and may be the database name={name}: {why}; mend it (`docdb repair`), or move it \
         out of the data directory", path.display()
    )]
    Unread {
        /// The name.
        name: Name,
        /// The directory.
        path: PathBuf,
        /// Why it cannot be read.
        why: Arc<Self>,
    },
    /// A database of this name exists.
    #[error("there is a database of this name already name={0}")]
    DbExists(Name),
    /// The database is closed, or could not be opened.
    #[error("the database is not open: {0}")]
    DbNotOpen(Arc<str>),
    /// The snapshot is gone.
    #[error("the snapshot is gone: {0}; begin again")]
    SnapshotExpired(&'static str),
    /// What a transaction had read was changed by another write.
    #[error("another write changed what the transaction had read: {0}; run it again")]
    TxnConflict(Arc<str>),
    /// A transaction was kept open for too long.
    #[error("the transaction was open for longer than it may be; run it again")]
    TxnTimeout,
    /// Something is over its limit.
    #[error("{what} is over its limit value={value} limit={limit}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// How much.
        value: u64,
        /// How much it may be.
        limit: u64,
    },
    /// The newest version of a document is damaged and was not recovered.
    #[error(
        "the document is damaged and could not be healed id={id} lost_lsn={lsn}; \
         an older version can be accepted in its place"
    )]
    DocCorrupt {
        /// The id.
        id: DocId,
        /// The version that is lost.
        lsn: Lsn,
    },
    /// The database's manifest cannot be used.
    #[error("the manifest of the database is unusable: {0}")]
    Manifest(Arc<str>),
    /// A backup does not hold what it should.
    #[error("the backup is unusable: {0}")]
    Backup(Arc<str>),
    /// Where a backup was to go there are those of another database.
    #[error("the backup in `{}` is that of another database {other}; name another place", path.display())]
    BackupTaken {
        /// Where.
        path: PathBuf,
        /// Whose they are.
        other: DatabaseId,
    },
    /// The system refused a call.
    #[error("cannot {op} `{}`: {source}", path.display())]
    Io {
        /// What was tried.
        op: Op,
        /// On what.
        path: PathBuf,
        /// The system's words.
        source: Arc<io::Error>,
    },
    /// The directory holds what nobody of ours can have put there.
    #[error(
        "the directory `{}` holds `{entry}` and is no data directory of docdb; \
         name one that is empty or does not exist", path.display()
    )]
    NotOurs {
        /// The directory.
        path: PathBuf,
        /// What was found in it.
        entry: Arc<str>,
    },
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
    /// The log's error.
    #[error(transparent)]
    Log(#[from] WalError),
    /// A data file's error.
    #[error("{0}")]
    Data(Arc<DataError>),
    /// An index file's error.
    #[error("{0}")]
    Index(Arc<IndexError>),
    /// A patch that is malformed or does not fit.
    #[error(transparent)]
    Patch(Arc<PatchError>),
    /// A document that its collection's schema refuses, or a schema that is none.
    #[error(transparent)]
    Validation(Arc<ValidationError>),
    /// A document that the rule of its collection refuses.
    #[error(transparent)]
    Misfit(Arc<Misfit>),
    /// Bytes that are not a document.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A text that is not an id.
    #[error(transparent)]
    Id(#[from] IdError),
    /// A text that is not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A line of an import that is malformed.
    #[error("the line is not one of an export: {0}")]
    ImportLine(&'static str),
    /// The id on a line of an import.
    #[error("the id on the line is none: {0}")]
    ImportId(&'static str),
    /// The memory budget is used up.
    #[error(transparent)]
    Memory(#[from] MemoryLimit),
}

/// A revision in a message. What an earlier operation of a batch wrote has none yet.
fn shown(revision: Lsn) -> String {
    if revision == crate::write::UNKNOWN {
        return "(of an earlier operation of this batch)".to_owned();
    }
    revision.to_string()
}

/// A result with the store's error.
pub type Result<T> = std::result::Result<T, StoreError>;

impl StoreError {
    pub(crate) fn io(op: Op, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { op, path: path.into(), source: Arc::new(source) }
    }

    /// The error of a slot set, the base of every manifest.
    pub(crate) fn slots(error: SlotError) -> Self {
        match error {
            SlotError::Io { path, source } => Self::io(Op::Write, path, source),
            SlotError::Missing(_)
            | SlotError::Corrupt(_)
            | SlotError::Version { .. }
            | SlotError::TooLarge(_) => Self::Manifest(Arc::from(error.to_string())),
        }
    }
}

impl From<DataError> for StoreError {
    fn from(error: DataError) -> Self {
        Self::Data(Arc::new(error))
    }
}

impl From<IndexError> for StoreError {
    fn from(error: IndexError) -> Self {
        Self::Index(Arc::new(error))
    }
}

impl From<PatchError> for StoreError {
    fn from(error: PatchError) -> Self {
        Self::Patch(Arc::new(error))
    }
}

impl From<ValidationError> for StoreError {
    fn from(error: ValidationError) -> Self {
        Self::Validation(Arc::new(error))
    }
}

impl From<Misfit> for StoreError {
    fn from(misfit: Misfit) -> Self {
        Self::Misfit(Arc::new(misfit))
    }
}

impl Coded for StoreError {
    fn code(&self) -> Code {
        match self {
            Self::DocExists { .. } => Code::DocExists,
            Self::DocNotFound { .. } => Code::DocNotFound,
            Self::RevisionMismatch { .. } => Code::RevisionMismatch,
            Self::ConditionFailed { .. } => Code::ConditionFailed,
            Self::CollectionNotFound(_) => Code::CollectionNotFound,
            Self::CollectionExists(_) => Code::CollectionExists,
            Self::CollectionNotEmpty { .. } => Code::CollectionNotEmpty,
            Self::DefaultCollection | Self::DefaultDatabase | Self::Setting { .. } => {
                Code::Unsupported
            }
            Self::DbNotFound(_) => Code::DbNotFound,
            Self::Unread { why, .. } => why.code(),
            Self::DbExists(_) | Self::BackupTaken { .. } => Code::DbExists,
            Self::DbNotOpen(_) => Code::DbNotOpen,
            Self::SnapshotExpired(_) => Code::SnapshotExpired,
            Self::TxnConflict(_) => Code::TxnConflict,
            Self::TxnTimeout => Code::Timeout,
            Self::TooLarge { .. } => Code::PayloadTooLarge,
            Self::DocCorrupt { .. } => Code::DocCorrupt,
            Self::Manifest(_) | Self::Backup(_) => Code::CorruptRecord,
            Self::Io { op, source, .. } => io_code(*op, source),
            Self::NotOurs { .. } => Code::FileOpen,
            Self::Log(error) => error.code(),
            Self::Data(error) => error.code(),
            Self::Index(error) => error.code(),
            Self::Patch(error) => error.code(),
            Self::Validation(error) => error.code(),
            Self::Misfit(misfit) => misfit.code,
            Self::Json(error) => error.code(),
            Self::Id(_) | Self::ImportId(_) => Code::InvalidId,
            Self::ImportLine(_) => Code::InvalidJson,
            Self::Name(_) => Code::InvalidName,
            Self::Memory(error) => error.code(),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all others have the category of their code"
    )]
    fn category(&self) -> Category {
        match self {
            Self::Io { source, .. } => Category::of_io(source),
            Self::Unread { why, .. } => why.category(),
            Self::Log(error) => error.category(),
            Self::Data(error) => error.category(),
            Self::Index(error) => error.category(),
            _ => self.code().category(),
        }
    }
}

fn io_code(op: Op, source: &io::Error) -> Code {
    if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return Code::DiskFull;
    }
    match op {
        Op::Open => Code::FileOpen,
        Op::Read => Code::FileRead,
        Op::Write => Code::FileWrite,
        Op::Sync => Code::FileSync,
    }
}

/// Makes the names in `dir` durable.
pub(crate) fn sync_dir(disk: &DiskRef, dir: &std::path::Path) -> Result<()> {
    disk.sync_dir(dir).map_err(|e| StoreError::io(Op::Sync, dir, e))
}
