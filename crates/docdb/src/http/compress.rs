//! gzip and zstd, both ways: answers as the client accepts them, bodies as the client says.
//!
//! A body is read up to `http.body_bytes_max` of what it decompresses to, piece by piece, so that a
//! small one cannot become a large one in memory.

use axum::Router;
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, StatusCode};
use base::error::Code;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate as _, SizeAbove};
use tower_http::decompression::RequestDecompressionLayer;

use super::error::{Failure, Result};

/// Answers smaller than this are not worth it, bytes.
const WORTH_IT: u64 = 1024;

/// Puts both around a router.
pub(super) fn around(router: Router) -> Router {
    // Events are to arrive as they happen.
    let when = SizeAbove::new(WORTH_IT).and(NotForContentType::SSE);
    let answers = CompressionLayer::new().gzip(true).zstd(true).compress_when(when);
    // Encodings that it does not know are left for `check` to refuse.
    let bodies = RequestDecompressionLayer::new().gzip(true).zstd(true);
    router.layer(bodies.pass_through_unaccepted(true)).layer(answers)
}

/// Refuses a body in an encoding that was not undone.
pub(super) fn check(headers: &HeaderMap) -> Result<()> {
    match headers.get(CONTENT_ENCODING) {
        None => Ok(()),
        Some(encoding) if encoding.as_bytes().eq_ignore_ascii_case(b"identity") => Ok(()),
        Some(_) => {
            let what = "the Content-Encoding is none of gzip, zstd, identity";
            let failure = Failure::new(Code::Unsupported, what);
            Err(failure.with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE))
        }
    }
}
