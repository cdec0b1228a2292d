//! What can go wrong with an attribute index, and which frozen code each is.

use std::io;
use std::sync::Arc;

use base::error::{Category, Code, Coded};

use crate::error::SearchError;
use crate::text::TextError;

/// What a call returns.
pub type Result<T> = std::result::Result<T, AttributesError>;

/// What an attribute index answers when it cannot do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AttributesError {
    /// A file is not what it should be, or part of it is damaged.
    #[error("the attribute index is damaged: {what}")]
    Damaged {
        /// What was found.
        what: &'static str,
    },
    /// More was given than one file may hold.
    #[error("the attribute index is full: {what}")]
    Full {
        /// Of what there is too much.
        what: &'static str,
    },
    /// A file could not be written.
    #[error("the attribute index could not be written: {0}")]
    Write(Arc<io::Error>),
    /// A file could not be read.
    #[error("the attribute index could not be read: {0}")]
    Read(Arc<io::Error>),
    /// The query asks for more than a query may.
    #[error(transparent)]
    Query(#[from] SearchError),
    /// The text index of the same rows cannot do what was asked.
    #[error(transparent)]
    Text(#[from] TextError),
}

impl Coded for AttributesError {
    fn code(&self) -> Code {
        match self {
            Self::Damaged { .. } => Code::CorruptRecord,
            Self::Full { .. } => Code::PayloadTooLarge,
            Self::Write(_) => Code::FileWrite,
            Self::Read(_) => Code::FileRead,
            Self::Query(error) => error.code(),
            Self::Text(error) => error.code(),
        }
    }

    fn category(&self) -> Category {
        match self {
            Self::Read(error) | Self::Write(error) => Category::of_io(error),
            Self::Text(error) => error.category(),
            Self::Damaged { .. } | Self::Full { .. } | Self::Query(_) => self.code().category(),
        }
    }
}

pub(super) const fn damaged(what: &'static str) -> AttributesError {
    AttributesError::Damaged { what }
}
