//! What can go wrong with an index, and which frozen code each is.

use std::io;
use std::sync::Arc;

use base::error::{Category, Code, Coded};

use crate::attributes::AttributesError;
use crate::documents::DocumentsError;
use crate::error::SearchError;
use crate::manifest::ManifestError;
use crate::storage::StoreError;
use crate::text::TextError;
use crate::vector::VectorError;

/// What a call returns.
pub type Result<T> = std::result::Result<T, IndexError>;

/// What an index answers when it cannot do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IndexError {
    /// A document or a query does not fit.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The vectors of a segment cannot be searched.
    #[error(transparent)]
    Vector(#[from] VectorError),
    /// The store did not do what was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The manifest could not be read or published.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The files are made for a schema that finds rows by other things: the index has to be rebuilt.
    #[error("the index was made for another schema")]
    Outdated,
    /// A file of a segment is not what was written.
    #[error("the index is damaged: {what}")]
    Damaged {
        /// What was found.
        what: Arc<str>,
    },
    /// A part of the index failed; which one.
    #[error("{source} segment={segment}")]
    Segment {
        /// The identity of the segment.
        segment: Arc<str>,
        /// What failed.
        source: Box<IndexError>,
    },
    /// A file of the index could not be read.
    #[error("the index could not be read: {0}")]
    Read(Arc<io::Error>),
    /// The attributes of a segment cannot be read.
    #[error(transparent)]
    Attributes(AttributesError),
    /// The words of a segment cannot be read.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The open copy of a segment cannot be read or written.
    #[error(transparent)]
    Documents(#[from] DocumentsError),
    /// Documents were added to a rebuild in another order than that of their revisions.
    #[error("documents are added in the order of their revisions lsn={lsn} last={last}")]
    Disorder {
        /// The revision of the one that is late.
        lsn: u64,
        /// The revision of the one before it.
        last: u64,
    },
    /// Another index was to take the place of this one, and has not yet applied what this one has.
    #[error("the rebuilt index is behind position={position} wanted={wanted}")]
    Behind {
        /// How far it is.
        position: u64,
        /// How far the one is that answers queries.
        wanted: u64,
    },
}

impl IndexError {
    pub(super) fn read(error: io::Error) -> Self {
        Self::Read(Arc::new(error))
    }

    /// The same of this segment, unless the query is at fault.
    pub(super) fn of_part(self, segment: impl ToString) -> Self {
        if matches!(self, Self::Search(_)) { self } else { self.of_segment(segment) }
    }

    /// The same of this segment.
    pub(super) fn of_segment(self, segment: impl ToString) -> Self {
        Self::Segment { segment: segment.to_string().into(), source: Box::new(self) }
    }
}

impl From<AttributesError> for IndexError {
    fn from(error: AttributesError) -> Self {
        match error {
            // What a query asks too much of is no fault of the file.
            AttributesError::Query(error) => Self::Search(error),
            AttributesError::Text(error) => Self::Text(error),
            other @ (AttributesError::Damaged { .. }
            | AttributesError::Full { .. }
            | AttributesError::Write(_)
            | AttributesError::Read(_)) => Self::Attributes(other),
        }
    }
}

impl Coded for IndexError {
    fn code(&self) -> Code {
        match self {
            Self::Search(error) => error.code(),
            Self::Vector(error) => error.code(),
            Self::Damaged { .. } => Code::CorruptRecord,
            Self::Segment { source, .. } => source.code(),
            Self::Attributes(error) => error.code(),
            Self::Text(error) => error.code(),
            Self::Documents(error) => error.code(),
            Self::Read(_) => Code::FileRead,
            Self::Disorder { .. } => Code::Internal,
            Self::Store(error) => error.code(),
            Self::Manifest(error) => error.code(),
            Self::Behind { .. } | Self::Outdated => Code::IndexUpdating,
        }
    }

    fn category(&self) -> Category {
        match self {
            Self::Search(error) => error.category(),
            Self::Vector(error) => error.category(),
            Self::Segment { source, .. } => source.category(),
            Self::Read(error) => Category::of_io(error),
            Self::Attributes(error) => error.category(),
            Self::Text(error) => error.category(),
            Self::Documents(error) => error.category(),
            Self::Store(error) => error.category(),
            Self::Manifest(error) => error.category(),
            Self::Damaged { .. } | Self::Disorder { .. } | Self::Behind { .. } | Self::Outdated => {
                self.code().category()
            }
        }
    }
}
