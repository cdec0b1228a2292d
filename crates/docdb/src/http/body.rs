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
const GROWN_BYTES: usize = 1024 * 1024;
/// How many times what it needs a longer one gets.
const ROOM_TIMES: usize = 8;

/// The room that a buffer of what comes gets when it needs so many bytes and will never have more than
/// `most`. What is not written to costs addresses and no memory, where a buffer that doubles holds the
/// old and the new one at a time; and what somebody only announces, or may send, must not cost much of those.
pub(super) fn room(needed: usize, most: usize) -> usize {
    if needed <= GROWN_BYTES {
        return needed;
    }
    needed.saturating_mul(ROOM_TIMES).min(most).max(needed)
}

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
            make_room(&mut all, first.len() + piece.len(), limit);
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        make_room(&mut all, piece.len(), limit);
        all.extend_from_slice(&piece);
    }
    Ok((if all.is_empty() { first } else { all.freeze() }, held))
}

/// Makes room for so many more bytes of a body that has at most `most`.
fn make_room(all: &mut BytesMut, more: usize, most: u64) {
    if all.capacity() - all.len() < more {
        let needed = all.len() + more;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        all.reserve(room(needed, most) - all.len());
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_buffer_is_moved_seldom_and_never_gets_more_than_it_may_have() {
        const MOST: usize = 64 << 20;
        assert_eq!((room(100, MOST), room(GROWN_BYTES, MOST)), (100, GROWN_BYTES));
        assert_eq!(room(2 << 20, MOST), 16 << 20);
        assert_eq!((room(MOST, MOST), room(20 << 20, MOST)), (MOST, MOST));
        assert_eq!(room(usize::MAX, MOST), usize::MAX);
        let (mut all, mut moves) = (BytesMut::new(), 0);
        for _ in 0..MOST >> 16 {
            let before = all.capacity();
            make_room(&mut all, 1 << 16, MOST as u64);
            moves += u32::from(all.capacity() != before && before > GROWN_BYTES);
            all.resize(all.len() + (1 << 16), 0);
        }
        assert!(moves <= 2 && all.capacity() < 2 * MOST, "{moves} {}", all.capacity());
    }
}
