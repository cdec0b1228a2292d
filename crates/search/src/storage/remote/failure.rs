//! The library's errors as ours: which may pass, and which will not.

use std::error::Error;
use std::fmt;

use object_store::client::{HttpError, HttpErrorKind};

use crate::storage::{StoreError, StoreErrorKind};

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Reading,
    Writing,
}

impl Doing {
    /// The kind of an error that says nothing else.
    pub(super) fn failed(self) -> StoreErrorKind {
        match self {
            Self::Reading => StoreErrorKind::Read,
            Self::Writing => StoreErrorKind::Write,
        }
    }
}

/// The error as the store answers it.
pub(super) fn store_error(
    object: &dyn fmt::Display,
    doing: Doing,
    error: &object_store::Error,
) -> StoreError {
    StoreError::new(kind_of(doing, error), object, error)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library's list of errors is open")]
fn kind_of(doing: Doing, error: &object_store::Error) -> StoreErrorKind {
    use object_store::Error as Theirs;
    match error {
        Theirs::NotFound { .. } => StoreErrorKind::NotFound,
        Theirs::AlreadyExists { .. } | Theirs::Precondition { .. } | Theirs::NotModified { .. } => {
            StoreErrorKind::AlreadyExists
        }
        Theirs::PermissionDenied { .. } | Theirs::Unauthenticated { .. } => StoreErrorKind::Denied,
        Theirs::NotSupported { .. } | Theirs::NotImplemented { .. } => StoreErrorKind::Unfit,
        Theirs::Generic { source, .. } => by_cause(&**source, doing),
        _ => doing.failed(),
    }
}

/// A failure without a kind: of the connection, or an answer that the library has no name for. The type that has
/// the status is not public, so the status is read from its text; where none is found, trying again does no harm.
fn by_cause(error: &(dyn Error + 'static), doing: Doing) -> StoreErrorKind {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return if http.kind() == HttpErrorKind::Timeout {
                StoreErrorKind::Timeout
            } else {
                StoreErrorKind::Unavailable
            };
        }
        if let Some(status) = status_in(&error.to_string()) {
            return match status {
                408 => StoreErrorKind::Timeout,
                429 | 500.. => StoreErrorKind::Unavailable,
                416 => StoreErrorKind::Damaged,
                _ => doing.failed(),
            };
        }
        cause = error.source();
    }
    StoreErrorKind::Unavailable
}

/// The HTTP status that a text of the library names.
fn status_in(text: &str) -> Option<u16> {
    let (_, after) = text.split_once("status code: ")?;
    after.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_decides_whether_trying_again_makes_sense() {
        let generic = |text: &str| object_store::Error::Generic {
            store: "S3",
            source: text.to_owned().into(),
        };
        for (text, kind) in [
            (
                "Server returned non-2xx status code: 503 Service Unavailable: ",
                StoreErrorKind::Unavailable,
            ),
            (
                "Server returned non-2xx status code: 429 Too Many Requests: ",
                StoreErrorKind::Unavailable,
            ),
            ("Server returned non-2xx status code: 408 Request Timeout: ", StoreErrorKind::Timeout),
            (
                "Server returned non-2xx status code: 416 Range Not Satisfiable: ",
                StoreErrorKind::Damaged,
            ),
            ("Server returned non-2xx status code: 400 Bad Request: ", StoreErrorKind::Write),
            (
                "Server returned error response: <Error>SlowDown</Error>",
                StoreErrorKind::Unavailable,
            ),
        ] {
            assert_eq!(kind_of(Doing::Writing, &generic(text)), kind, "{text}");
        }
    }
}
