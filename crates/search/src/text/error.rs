//! What can go wrong with a text index, and which frozen code each is.

use std::io;
use std::sync::Arc;

use base::error::{Category, Code, Coded};
use tantivy::TantivyError;
use tantivy::directory::error::OpenReadError;

/// What a text index answers when it cannot do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TextError {
    /// A file is not what it should be, or part of it is damaged.
    #[error("the text index is damaged: {what}")]
    Damaged {
        /// What was found.
        what: Arc<str>,
    },
    /// A part has as many rows as it may have.
    #[error("a text index has too many rows rows={rows}")]
    TooManyRows {
        /// How many there would be.
        rows: u64,
    },
    /// A file could not be read.
    #[error("the text index could not be read: {0}")]
    Read(Arc<io::Error>),
    /// A file could not be written.
    #[error("the text index could not be written: {0}")]
    Write(Arc<str>),
}

impl TextError {
    pub(crate) fn damaged(what: impl Into<Arc<str>>) -> Self {
        Self::Damaged { what: what.into() }
    }

    fn of_io(error: Arc<io::Error>) -> Self {
        if error.kind() == io::ErrorKind::InvalidData {
            return Self::damaged(error.to_string());
        }
        Self::Read(error)
    }

    /// What went wrong while tantivy wrote to memory.
    pub(crate) fn write(error: impl ToString) -> Self {
        Self::Write(error.to_string().into())
    }
}

impl From<io::Error> for TextError {
    fn from(error: io::Error) -> Self {
        Self::of_io(Arc::new(error))
    }
}

impl From<TantivyError> for TextError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else is wrong, is in the bytes")]
    fn from(error: TantivyError) -> Self {
        match error {
            TantivyError::IoError(error)
            | TantivyError::OpenReadError(OpenReadError::IoError { io_error: error, .. }) => {
                Self::of_io(error)
            }
            error => Self::damaged(error.to_string()),
        }
    }
}

impl Coded for TextError {
    fn code(&self) -> Code {
        match self {
            Self::Damaged { .. } => Code::CorruptRecord,
            Self::TooManyRows { .. } => Code::QueueFull,
            Self::Read(_) => Code::FileRead,
            Self::Write(_) => Code::FileWrite,
        }
    }

    fn category(&self) -> Category {
        match self {
            Self::Read(error) => Category::of_io(error),
            Self::Damaged { .. } | Self::TooManyRows { .. } | Self::Write(_) => {
                self.code().category()
            }
        }
    }
}
