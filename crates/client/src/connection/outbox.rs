//! What is to be sent: one buffer that is filled while another is written.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::lock;
use crate::clock::{deadline, now};
use crate::error::{Error, Result};
use crate::wire::Request;

/// Bytes that may be queued: with more, the next request waits for room.
pub const OUTBOX_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A buffer that grew larger than this is not kept.
const KEEP_BYTES_MAX: usize = 1024 * 1024;
/// With so much queued, queueing sends.
const SEND_BYTES: usize = 64 * 1024;

/// How much is queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queued {
    /// More may be added before it is sent.
    Little,
    /// It should be sent.
    Much,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    /// Told when the buffer was taken to be written, or the outbox closed.
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queued: Vec<u8>,
    /// The buffer that is not in use.
    spare: Vec<u8>,
    is_writing: bool,
    is_closed: bool,
}

impl Outbox {
    /// Queues a request, and says whether it is time to send.
    pub(super) fn push(&self, request: &Request<'_>, timeout: Duration) -> Result<Queued> {
        let deadline = deadline(timeout);
        let mut state = lock(&self.state);
        while state.queued.len() >= OUTBOX_BYTES_MAX && !state.is_closed {
            let left = deadline.saturating_duration_since(now());
            if left.is_zero() {
                return Err(Error::not_connected("the server does not read"));
            }
            let waited = self.room.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.is_closed {
            return Err(Error::not_connected("the connection is lost"));
        }
        request.encode(&mut state.queued)?;
        Ok(if state.queued.len() >= SEND_BYTES { Queued::Much } else { Queued::Little })
    }

    /// Writes what is queued, unless another thread is at it: that one writes this too.
    pub(super) fn flush(&self, stream: &UnixStream, timeout: Duration) -> Result<()> {
        let mut state = lock(&self.state);
        if state.is_writing {
            return Ok(());
        }
        while !state.queued.is_empty() && !state.is_closed {
            let spare = std::mem::take(&mut state.spare);
            let mut writing = std::mem::replace(&mut state.queued, spare);
            state.is_writing = true;
            drop(state);
            self.room.notify_all();
            let mut stream = stream;
            let written = stream.write_all(&writing);
            writing.clear();
            state = lock(&self.state);
            state.is_writing = false;
            if writing.capacity() <= KEEP_BYTES_MAX {
                state.spare = writing;
            }
            if let Err(error) = written {
                state.is_closed = true;
                let is_late = matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                );
                return Err(if is_late {
                    Error::lost(format!("the server did not read for {} ms", timeout.as_millis()))
                } else {
                    Error::lost(format!("the connection is lost: {error}"))
                });
            }
        }
        Ok(())
    }

    /// Takes nothing any more.
    pub(super) fn close(&self) {
        lock(&self.state).is_closed = true;
        self.room.notify_all();
    }
}
