//! What can go wrong with manifests, and which frozen code each is.

use std::sync::Arc;

use base::error::{Category, Code, Coded};
use base::slots::SlotError;

use super::WriterId;
use crate::storage::{Name, StoreError};

/// What went wrong.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ManifestError {
    /// The store did not do what was asked, or does not say whether it did. Publishing again is safe.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody else writes this index: another server, or one that runs on a copy of this data directory. This one
    /// must not go on.
    #[error("another writer has this index object=`{object}` writer={by}")]
    Fenced {
        /// The manifest that says so.
        object: Name,
        /// Its writer.
        by: WriterId,
    },
    /// A manifest is not what it should be.
    #[error("the manifest is damaged: {what} object=`{object}`")]
    Damaged {
        /// Which.
        object: Name,
        /// What was found.
        what: &'static str,
    },
    /// A manifest was written by a later version of docdb.
    #[error(
        "the manifest has format version {version}; this build reads {supported} object=`{object}`"
    )]
    Version {
        /// Which.
        object: Name,
        /// Its version.
        version: u32,
        /// What this build reads.
        supported: u32,
    },
    /// What was to be published breaks a rule: a defect of whoever made it.
    #[error("a manifest that breaks its rules was not published: {what}")]
    Invalid {
        /// Which rule.
        what: &'static str,
    },
    /// The data directory's record of the store could not be read or written. No further manifest is published.
    #[error("the record of the index's store: {0}")]
    Record(Arc<SlotError>),
}

impl From<SlotError> for ManifestError {
    fn from(error: SlotError) -> Self {
        Self::Record(Arc::new(error))
    }
}

impl Coded for ManifestError {
    fn code(&self) -> Code {
        match self {
            Self::Store(error) => error.code(),
            Self::Fenced { .. } => Code::Fenced,
            Self::Damaged { .. } => Code::CorruptRecord,
            Self::Version { .. } => Code::Unsupported,
            Self::Invalid { .. } => Code::Internal,
            Self::Record(_) => Code::FileWrite,
        }
    }

    fn category(&self) -> Category {
        match self {
            Self::Store(error) => error.category(),
            Self::Fenced { .. }
            | Self::Damaged { .. }
            | Self::Version { .. }
            | Self::Invalid { .. }
            | Self::Record(_) => self.code().category(),
        }
    }
}
