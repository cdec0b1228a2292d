//! What can go wrong with an open copy, and which frozen code each is.

use std::io;
use std::sync::Arc;

use base::error::{Category, Code, Coded};
use parquet::errors::ParquetError;

/// What a call returns.
pub type Result<T> = std::result::Result<T, DocumentsError>;

/// What an open copy answers when it cannot do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DocumentsError {
    /// A file is not what it should be, or part of it is damaged.
    #[error("the open copy is damaged: {what}")]
    Damaged {
        /// What was found.
        what: &'static str,
    },
    /// What is inside of a file could not be understood, though it is what was written.
    #[error("the open copy could not be decoded: {0}")]
    Decode(Arc<ParquetError>),
    /// A file could not be written.
    #[error("the open copy could not be written: {0}")]
    Write(Arc<ParquetError>),
    /// A file could not be read.
    #[error("the open copy could not be read: {0}")]
    Read(Arc<io::Error>),
}

impl Coded for DocumentsError {
    fn code(&self) -> Code {
        match self {
            Self::Damaged { .. } | Self::Decode(_) => Code::CorruptRecord,
            Self::Write(_) => Code::FileWrite,
            Self::Read(_) => Code::FileRead,
        }
    }

    fn category(&self) -> Category {
        match self {
            Self::Read(error) => Category::of_io(error),
            Self::Damaged { .. } | Self::Decode(_) | Self::Write(_) => self.code().category(),
        }
    }
}

pub(super) const fn damaged(what: &'static str) -> DocumentsError {
    DocumentsError::Damaged { what }
}

pub(super) fn decoding(error: impl Into<ParquetError>) -> DocumentsError {
    DocumentsError::Decode(Arc::new(error.into()))
}

pub(super) fn writing(error: impl Into<ParquetError>) -> DocumentsError {
    DocumentsError::Write(Arc::new(error.into()))
}
