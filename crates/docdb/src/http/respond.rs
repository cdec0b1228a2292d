//! Answers: what a document, a revision and JSON look like on the way out.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use base::words::Lsn;
use docstore::Stored;

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// When a document expires.
pub(super) const EXPIRES_AT: HeaderName = HeaderName::from_static("docdb-expires-at");

/// An answer of one type.
pub(super) fn bytes(
    status: StatusCode,
    content_type: HeaderValue,
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// JSON that is written already.
pub(super) fn json_text(status: StatusCode, body: Vec<u8>) -> Response {
    bytes(status, JSON, body)
}

/// JSON out of a tree.
pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Response {
    json_text(status, value.to_string().into_bytes())
}

/// An answer without a body.
pub(super) fn nothing(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Names the revision that an answer is about.
pub(super) fn with_revision(mut response: Response, revision: Lsn) -> Response {
    let tag = format!("\"{revision}\"");
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// A document, exactly as it was written.
pub(super) fn document(stored: &Stored) -> Response {
    let body = bytes::Bytes::copy_from_slice(stored.document.as_bytes());
    described(bytes(StatusCode::OK, JSON, body), stored)
}

/// Revision and expiry of a document.
pub(super) fn described(response: Response, stored: &Stored) -> Response {
    let mut response = with_revision(response, stored.revision);
    let expires = stored.expires_at.map(|at| at.rfc3339());
    if let Some(at) = expires.and_then(|at| HeaderValue::try_from(at).ok()) {
        response.headers_mut().insert(EXPIRES_AT, at);
    }
    response
}
