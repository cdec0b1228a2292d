//! The answers of a connection: encoded into one buffer by whoever knows them, written together.
//!
//! The first answer in an empty buffer wakes the connection's task; those that come before it has
//! begun to write go out with it, in one call of the system.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base::memory::{Budget, Reservation};
use client::wire::{Command, Failure, Problem, Response, WireError};
use tokio::sync::Notify;

use super::dispatch::code_of;
use base::error::Code;

/// An answer that is larger is reserved in the process's budget until it is written.
const SMALL_BYTES: usize = 64 * 1024;
/// A buffer that grew larger is given back.
const KEEP_BYTES_MAX: usize = 256 * 1024;

/// Answers that wait for one client, and how many more will come.
#[derive(Debug)]
pub(super) struct Outbox {
    budget: Budget,
    state: Mutex<State>,
    /// Bytes that are not written yet.
    bytes: AtomicUsize,
    /// Requests that are not answered yet.
    in_flight: AtomicUsize,
    is_closed: AtomicBool,
    /// Told when there is something to write.
    filled: Notify,
    /// Told when something was written or answered.
    progress: Notify,
}

#[derive(Debug, Default)]
struct State {
    buffer: Vec<u8>,
    reserved: Vec<Reservation>,
}

/// What is to be written next.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    reserved: Vec<Reservation>,
}

impl Outbox {
    pub(super) fn new(budget: Budget) -> Self {
        Self {
            budget,
            state: Mutex::default(),
            bytes: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
            filled: Notify::new(),
            progress: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request that will be answered.
    pub(super) fn expect(&self) {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Bytes that are not written yet.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }

    /// Puts an answer in. Says what it was answered instead, when it could not be sent as it is.
    pub(super) fn put(&self, response: &Response<'_>) -> Option<Code> {
        if self.is_closed.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.lock();
        let before = state.buffer.len();
        let mut instead = None;
        let fits = match response.encode(&mut state.buffer) {
            Ok(()) => self.reserve(&mut state, before),
            Err(error) => Err(why_not(&error)),
        };
        if let Err((code, what)) = fits {
            state.buffer.truncate(before);
            let failure = Failure::new(code_of(code), what);
            let failed = Response::failed(response.id, response.command, failure);
            // A failure of a line of text fits every frame.
            if failed.encode(&mut state.buffer).is_err() {
                tracing::error!("a failure could not be encoded");
            }
            instead = Some(code);
        }
        self.bytes.fetch_add(state.buffer.len() - before, Ordering::AcqRel);
        drop(state);
        if before == 0 {
            self.filled.notify_one();
        }
        instead
    }

    /// Counts a request that was answered.
    pub(super) fn answered(&self) {
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
        self.progress.notify_one();
    }

    fn reserve(&self, state: &mut State, before: usize) -> Result<(), (Code, String)> {
        let bytes = state.buffer.len() - before;
        if bytes > SMALL_BYTES {
            let reserved = self.budget.reserve("answers", bytes as u64);
            let reserved = reserved.map_err(|error| (Code::MemoryLimit, error.to_string()))?;
            state.reserved.push(reserved);
        }
        Ok(())
    }

    /// Waits until there is something to write.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Waits until something was written or answered since the last time this was asked.
    pub(super) async fn progress(&self) {
        self.progress.notified().await;
    }

    /// Takes what there is, and gives back the batch that was written before.
    pub(super) fn take(&self, written: &mut Batch) {
        self.bytes.fetch_sub(written.bytes.len(), Ordering::AcqRel);
        written.bytes.clear();
        written.reserved.clear();
        if written.bytes.capacity() > KEEP_BYTES_MAX {
            written.bytes = Vec::new();
        }
        let mut state = self.lock();
        std::mem::swap(&mut state.buffer, &mut written.bytes);
        std::mem::swap(&mut state.reserved, &mut written.reserved);
        drop(state);
        self.progress.notify_one();
    }

    /// Throws away what waits and what will come: nobody reads it.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        *self.lock() = State::default();
    }
}

fn why_not(error: &WireError) -> (Code, String) {
    let is_large = matches!(error.problem, Problem::TooLong { .. } | Problem::TooMany { .. });
    let code = if is_large { Code::PayloadTooLarge } else { Code::Internal };
    (code, format!("the answer does not fit a frame: {error}"))
}

/// A failure that answers no request, or none that is counted.
pub(super) fn failed(
    id: u64,
    command: Option<Command>,
    code: Code,
    what: impl Into<String>,
) -> Response<'static> {
    Response::failed(id, command, Failure::new(code_of(code), what.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::wire::Answer;

    #[test]
    fn an_answer_that_does_not_fit_is_answered_by_a_failure() {
        let outbox = Outbox::new(Budget::new("test", 100_000));
        let text =
            |bytes: usize| Response::new(1, Command::Stats, Answer::Text("x".repeat(bytes).into()));
        assert_eq!(outbox.put(&text(10)), None);
        assert_eq!(outbox.put(&text(200_000)), Some(Code::MemoryLimit));
        assert_eq!(outbox.put(&text(17 << 20)), Some(Code::PayloadTooLarge));
        let wrong = Response::new(1, Command::Ping, Answer::Collection(1));
        assert_eq!(outbox.put(&wrong), Some(Code::Internal));
        let mut batch = Batch::default();
        outbox.take(&mut batch);
        assert_eq!(outbox.bytes(), batch.bytes.len());
        let mut frames = client::wire::FrameBuffer::new();
        let mut rest = &batch.bytes[..];
        let mut failures = Vec::new();
        while frames.read_from(&mut rest).unwrap() > 0 {
            while let client::wire::Next::Frame(body) = frames.next() {
                failures.push(Response::decode(body).unwrap().outcome.is_err());
            }
        }
        assert_eq!(failures, [false, true, true, true]);
        outbox.take(&mut batch);
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn a_large_answer_is_reserved_until_it_is_written() {
        let budget = Budget::new("test", 1_000_000);
        let outbox = Outbox::new(budget.clone());
        let text = Answer::Text("x".repeat(100_000).into());
        outbox.put(&Response::new(1, Command::Stats, text));
        let mut batch = Batch::default();
        outbox.take(&mut batch);
        assert!(budget.used() > 100_000);
        outbox.take(&mut batch);
        assert_eq!(budget.used(), 0);
    }
}
