//! What can go wrong with a schema, a document or a query, and the frozen code of each.
//!
//! Every error names the place that is wrong (a path in a document or schema, a place in a query) and
//! what to do about it, so that a client needs nothing else to mend its request.

use std::sync::Arc;

use base::document::JsonError;
use base::error::{Code, Coded};

/// What a call returns.
pub type Result<T> = std::result::Result<T, SearchError>;

/// What is wrong with what was given. Nothing was changed; trying again is no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// A schema is malformed, or a document does not fit it.
    #[error("{reason} path=`{path}`")]
    Schema {
        /// The attribute.
        path: Arc<str>,
        /// What is wrong and what to do.
        reason: Arc<str>,
    },
    /// A query is malformed, or does not fit the schema.
    #[error("{reason} at=`{place}`")]
    Query {
        /// Where in the query: members and elements from its top, as `filters[1][0]`.
        place: Arc<str>,
        /// What is wrong and what to do.
        reason: Arc<str>,
    },
    /// What is asked for is known, and not done.
    #[error("{what} at=`{place}`")]
    Unsupported {
        /// Where it was asked for.
        place: Arc<str>,
        /// What is not done, and what to do instead.
        what: Arc<str>,
    },
    /// A text is not JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
}

impl SearchError {
    pub(crate) fn schema(path: impl ToString, reason: impl Into<Arc<str>>) -> Self {
        Self::Schema { path: path.to_string().into(), reason: reason.into() }
    }

    pub(crate) fn query(place: impl ToString, reason: impl Into<Arc<str>>) -> Self {
        Self::Query { place: place.to_string().into(), reason: reason.into() }
    }

    pub(crate) fn unsupported(place: impl ToString, what: impl Into<Arc<str>>) -> Self {
        Self::Unsupported { place: place.to_string().into(), what: what.into() }
    }
}

impl Coded for SearchError {
    fn code(&self) -> Code {
        match self {
            Self::Schema { .. } => Code::InvalidSchema,
            Self::Query { .. } => Code::InvalidQuery,
            Self::Unsupported { .. } => Code::Unsupported,
            Self::Json(error) => error.code(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_the_code_of_what_is_at_fault_and_is_not_worth_a_retry() {
        for (error, code) in [
            (SearchError::schema("a", "x"), Code::InvalidSchema),
            (SearchError::query("filters", "x"), Code::InvalidQuery),
            (SearchError::unsupported("rank_by", "x"), Code::Unsupported),
        ] {
            assert_eq!((error.code(), error.retryable()), (code, false), "{error}");
        }
    }
}
