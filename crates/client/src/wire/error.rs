//! What is wrong with a frame, and where.

use std::fmt;

use crate::code::ErrorCode;

/// A frame that cannot be decoded, or a value that cannot be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireError {
    /// The part of the frame that is at fault.
    pub what: &'static str,
    /// What is wrong with it.
    pub problem: Problem,
    /// Where it begins, in bytes from the start of the body.
    pub offset: usize,
    /// The operation or entry that it is part of, counted from 0.
    pub entry: Option<u32>,
}

/// What can be wrong with a part of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The body ends before it.
    Truncated {
        /// Bytes that it needs.
        need: usize,
        /// Bytes that are left.
        have: usize,
    },
    /// The body goes on behind its end.
    Trailing {
        /// Bytes that are left.
        bytes: usize,
    },
    /// It has no such value.
    Value(u64),
    /// It is known to newer versions of the protocol at most.
    Unknown(u64),
    /// It is not UTF-8.
    NotUtf8,
    /// It is longer than it may be.
    TooLong {
        /// Its length, bytes.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// There are more than there may be.
    TooMany {
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
}

impl WireError {
    pub(super) const fn new(what: &'static str, problem: Problem, offset: usize) -> Self {
        Self { what, problem, offset, entry: None }
    }

    pub(super) fn in_entry(self, entry: usize) -> Self {
        Self { entry: u32::try_from(entry).ok(), ..self }
    }

    /// The code that a request with this defect is answered with.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match (self.problem, self.what) {
            (Problem::Truncated { .. }, super::request::REQUEST_ID) => ErrorCode::InvalidRequestId,
            (Problem::Unknown(_), _) => ErrorCode::Unsupported,
            (
                Problem::TooLong { .. } | Problem::TooMany { .. },
                super::bytes::BODY | "operations",
            ) => ErrorCode::PayloadTooLarge,
            (_, "name" | "collection") => ErrorCode::InvalidName,
            (_, super::id::ID | super::id::ID_TEXT) => ErrorCode::InvalidId,
            (
                Problem::Truncated { .. }
                | Problem::Trailing { .. }
                | Problem::Value(_)
                | Problem::NotUtf8
                | Problem::TooLong { .. }
                | Problem::TooMany { .. },
                _,
            ) => ErrorCode::InvalidQuery,
        }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.what;
        match self.problem {
            Problem::Truncated { need, have } => {
                write!(f, "the frame ends within its {what}: need={need} have={have}")?;
            }
            Problem::Trailing { bytes } => {
                write!(f, "the frame goes on behind its {what}: bytes={bytes}")?;
            }
            Problem::Value(value) => write!(f, "the {what} cannot have this value: {value}")?,
            Problem::Unknown(value) => write!(f, "the {what} is not known here: {value}")?,
            Problem::NotUtf8 => write!(f, "the {what} is not UTF-8")?,
            Problem::TooLong { bytes, max } => {
                write!(f, "the {what} is too long: bytes={bytes} max={max}")?;
            }
            Problem::TooMany { count, max } => {
                write!(f, "there are too many {what}: count={count} max={max}")?;
            }
        }
        write!(f, " offset={}", self.offset)?;
        match self.entry {
            Some(entry) => write!(f, " entry={entry}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for WireError {}
