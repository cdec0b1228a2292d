//! Errors as HTTP has them: a status for every code, and the one shape of their bodies.

use axum::http::StatusCode;
use base::error::{Code, Coded as _};
use serde_json::json;

use crate::engine::EngineError;

/// Why a request was not done, and the status that says so.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) error: EngineError,
    pub(super) status: StatusCode,
}

/// What a handler comes to.
pub(super) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// An error of this surface.
    pub(super) fn new(code: Code, message: impl Into<Box<str>>) -> Self {
        EngineError::new(code, message).into()
    }

    /// The same with another status, where HTTP knows better than the code.
    pub(super) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The request is malformed.
    pub(super) fn bad(message: impl Into<Box<str>>) -> Self {
        Self::new(Code::InvalidQuery, message)
    }

    /// The shape of every error.
    pub(super) fn body(&self, request_id: &str) -> Vec<u8> {
        let mut error = as_json(&self.error);
        error["request_id"] = request_id.into();
        json!({ "error": error }).to_string().into_bytes()
    }

    /// The shape that clients of namespaces expect.
    pub(super) fn short_body(&self, request_id: &str) -> Vec<u8> {
        let (code, message) = (self.error.code.name(), &self.error.message);
        let shape =
            json!({ "status": "error", "error": message, "code": code, "request_id": request_id });
        shape.to_string().into_bytes()
    }
}

/// An error as a part of an answer.
pub(super) fn as_json(error: &EngineError) -> serde_json::Value {
    let mut shape = json!({
        "code": error.code.name(),
        "message": error.message,
        "category": error.category.name(),
        "retryable": error.retryable(),
    });
    if let Some(operation) = error.operation {
        shape["operation"] = operation.into();
    }
    shape
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self { status: status_of(error.code), error }
    }
}

/// The status of a code.
pub(super) const fn status_of(code: Code) -> StatusCode {
    match code {
        Code::InvalidJson
        | Code::InvalidName
        | Code::InvalidId
        | Code::InvalidPatch
        | Code::InvalidQuery
        | Code::InvalidSchema
        | Code::InvalidRequestId
        // What docdb does not do is the client's to change.
        | Code::Unsupported => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::DocNotFound | Code::DbNotFound | Code::CollectionNotFound | Code::TxnNotFound => {
            StatusCode::NOT_FOUND
        }
        Code::DocExists
        | Code::DbExists
        | Code::CollectionExists
        | Code::TxnConflict
        | Code::CollectionNotEmpty
        | Code::IndexUpdating => StatusCode::CONFLICT,
        Code::SnapshotExpired | Code::LsnTrimmed => StatusCode::GONE,
        Code::RevisionMismatch | Code::ConditionFailed => StatusCode::PRECONDITION_FAILED,
        Code::PayloadTooLarge | Code::FrameTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::QueueFull => StatusCode::TOO_MANY_REQUESTS,
        // Another server, or this one in a moment, may do it.
        Code::MemoryLimit | Code::DurabilityUnknown | Code::PoolStopped => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Code::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Code::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
        Code::DbNotOpen
        | Code::CorruptRecord
        | Code::CrcMismatch
        | Code::DocCorrupt
        | Code::WalCorrupt
        | Code::FileOpen
        | Code::FileWrite
        | Code::FileSync
        | Code::FileRead
        | Code::ReadOnly
        | Code::Fenced
        | Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::error::Category;

    #[test]
    fn what_a_client_did_wrong_is_never_the_servers_fault() {
        for code in Code::ALL {
            let status = status_of(*code);
            assert!(status.is_client_error() || status.is_server_error(), "{code}");
            if code.category() == Category::Validation {
                assert!(status.is_client_error(), "{code}");
            }
            if code.category() == Category::Critical {
                assert!(status.is_server_error(), "{code}");
            }
        }
    }

    #[test]
    fn an_error_names_the_request_and_the_operation_at_fault() {
        let error = EngineError::new(Code::DocExists, "it is there").of_operation(2);
        let body = Failure::from(error).body("r-1");
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let expected = json!({"error": {"code": "DocExists", "message": "it is there",
            "category": "permanent", "retryable": false, "operation": 2, "request_id": "r-1"}});
        assert_eq!(body, expected);
    }
}
