//! Why a command failed: a code and a message, from the server or from the shell itself.

use client::ErrorCode;

/// What a command could not be done for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// A name of `docs/errors`, or one of the two that only a client can meet: `ConnectionLost` and
    /// `ProtocolError`.
    pub code: &'static str,
    /// What happened, for people.
    pub message: String,
    /// Whether the command may have been carried out all the same.
    pub outcome_unknown: bool,
}

impl Fault {
    /// What was asked cannot be asked.
    pub fn argument(message: impl Into<String>) -> Self {
        Self::coded(ErrorCode::InvalidQuery, message)
    }

    /// A fault that has a code, though no server said so.
    pub fn coded(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code: code.name(), message: message.into(), outcome_unknown: false }
    }
}

impl From<client::Error> for Fault {
    fn from(error: client::Error) -> Self {
        let outcome_unknown = error.is_outcome_unknown();
        Self { code: error.name(), message: error.message().to_owned(), outcome_unknown }
    }
}
