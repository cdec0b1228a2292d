//! Bodies of requests: read up to their limit, without waiting for ever, into memory that is
//! reserved first.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use base::error::Code;
use base::memory::{MemoryLimit, Reservation};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;

use super::Surface;
use super::error::{Failure, Result};
use crate::engine::EngineError;

/// What is reserved for, as errors name it.
const PURPOSE: &str = "request";

/// Up to so many bytes a buffer of what comes grows by doubling.
pub(super) const GROWN_BYTES: usize = 1024 * 1024;

fn too_large(limit: u64) -> Failure {
    let what = format!("the body is larger than {limit} bytes, which is http.body_bytes_max");
    Failure::new(Code::PayloadTooLarge, what)
}

pub(super) fn no_memory(error: &MemoryLimit) -> Failure {
    EngineError::new(Code::MemoryLimit, error.to_string()).into()
}

/// A reservation of nothing, to grow with what is held.
pub(super) fn reserve(surface: &Surface) -> Result<Reservation> {
    surface.engine.budget.reserve(PURPOSE, 0).map_err(|e| no_memory(&e))
}

/// Reads a whole body.
pub(super) async fn read(
    surface: &Surface,
    headers: &HeaderMap,
    mut body: Body,
) -> Result<(Bytes, Reservation)> {
    let limit = surface.options.body_bytes_max;
    let said = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if said.is_some_and(|said: u64| said > limit) {
        return Err(too_large(limit));
    }
    let mut held = reserve(surface)?;
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(piece) = next(&mut body, surface.options.body_timeout).await? {
        let len = held.bytes() + piece.len() as u64;
        if len > limit {
            return Err(too_large(limit));
        }
        held.grow(piece.len() as u64).map_err(|e| no_memory(&e))?;
        // Most bodies come in one piece, which is not copied.
        if first.is_empty() && all.is_empty() {
            first = piece;
            continue;
        }
        if all.is_empty() {
            make_room(&mut all, first.len() + piece.len(), said, limit);
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        make_room(&mut all, piece.len(), said, limit);
        all.extend_from_slice(&piece);
    }
    Ok((if all.is_empty() { first } else { all.freeze() }, held))
}

/// Makes room for so many more bytes of a body, once: for as many as it says it has or, when it does not
/// say and is long, for the most that it may have. What is not written to costs addresses and no memory,
/// where a buffer that doubles holds the old and the new one at a time.
fn make_room(all: &mut BytesMut, more: usize, said: Option<u64>, limit: u64) {
    if all.capacity() - all.len() >= more {
        return;
    }
    let needed = all.len() + more;
    let whole = said.unwrap_or(if needed > GROWN_BYTES { limit } else { 0 });
    // A body that says less than it has is refused before, by the parser of HTTP; one that is
    // unpacked has more.
    let whole = usize::try_from(whole.min(limit)).unwrap_or(needed).max(needed);
    all.reserve(whole - all.len());
}

/// The next piece of a body; none at its end.
pub(super) async fn next(body: &mut Body, patience: Duration) -> Result<Option<Bytes>> {
    loop {
        let frame = tokio::time::timeout(patience, body.frame()).await.map_err(|_| {
            let what = "nothing of the body came for as long as http.body_timeout allows";
            Failure::new(Code::Timeout, what).with_status(StatusCode::REQUEST_TIMEOUT)
        })?;
        match frame {
            None => return Ok(None),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Ok(Some(data)),
                // Trailers say nothing here.
                Err(_) => {}
            },
            Some(Err(error)) => {
                let what = format!("the body cannot be read: {error}");
                return Err(Failure::bad(what));
            }
        }
    }
}
