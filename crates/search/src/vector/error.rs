//! What can go wrong with a vector index, and which frozen code each is.

use std::io;
use std::sync::Arc;

use base::error::{Category, Code, Coded};

/// What a vector index answers when it cannot do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VectorError {
    /// A vector has another dimension than the index.
    #[error("a vector has the wrong dimension wanted={wanted} found={found}")]
    Dimension {
        /// That of the index.
        wanted: usize,
        /// That of the vector.
        found: usize,
    },
    /// A vector has an element that is no number, or greater than
    /// [`ELEMENT_MAX`](super::ELEMENT_MAX).
    #[error("a vector has an element that is not finite or too great element={element}")]
    NotFinite {
        /// Its index in the vector.
        element: usize,
    },
    /// What was asked for is outside of a limit.
    #[error("{what} is out of range min={min} max={max} found={found}")]
    OutOfRange {
        /// What it is.
        what: &'static str,
        /// The least that is allowed.
        min: usize,
        /// The most that is allowed.
        max: usize,
        /// What it was.
        found: usize,
    },
    /// A file is not what it should be, or part of it is damaged.
    #[error("the vector index is damaged: {what}")]
    Damaged {
        /// What was found.
        what: &'static str,
    },
    /// A file could not be written.
    #[error("the vector index could not be written: {0}")]
    Write(Arc<io::Error>),
    /// A file could not be read.
    #[error("the vector index could not be read: {0}")]
    Read(Arc<io::Error>),
}

impl Coded for VectorError {
    fn code(&self) -> Code {
        match self {
            Self::Dimension { .. } | Self::NotFinite { .. } | Self::OutOfRange { .. } => {
                Code::InvalidQuery
            }
            Self::Damaged { .. } => Code::CorruptRecord,
            Self::Read(_) => Code::FileRead,
            Self::Write(_) => Code::FileWrite,
        }
    }

    fn category(&self) -> Category {
        match self {
            Self::Read(error) | Self::Write(error) => Category::of_io(error),
            Self::Dimension { .. }
            | Self::NotFinite { .. }
            | Self::OutOfRange { .. }
            | Self::Damaged { .. } => self.code().category(),
        }
    }
}
