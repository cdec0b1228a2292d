//! The place of an answer that has not come yet.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::{Shared, lock};
use crate::clock::{deadline, now};
use crate::error::{Error, Result};
use crate::wire::{Answer, Response};

/// Where the reader puts an answer.
#[derive(Debug, Default)]
pub(super) struct Slot {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Waiting,
    /// Nobody waits any more.
    Abandoned,
    Filled(Result<Vec<u8>>),
}

impl Slot {
    pub(super) fn fill(&self, answer: Result<&[u8]>) {
        let mut state = lock(&self.state);
        if matches!(*state, State::Waiting) {
            *state = State::Filled(answer.map(<[u8]>::to_vec));
            drop(state);
            self.filled.notify_one();
        }
    }
}

/// A request that was sent, or will be. Dropped, its answer is thrown away; the request is done
/// all the same.
#[derive(Debug)]
#[must_use = "without waiting for it nobody learns how the request went"]
pub struct Ticket {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    only_reads: bool,
}

impl Ticket {
    pub(super) fn new(shared: Arc<Shared>, slot: Arc<Slot>, only_reads: bool) -> Self {
        Self { shared, slot, only_reads }
    }

    /// Whether the answer is there.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(*lock(&self.slot.state), State::Filled(_))
    }

    /// Waits for the answer, as long as the connection's timeout says.
    ///
    /// # Errors
    /// No answer in time, or the connection lost: a request that writes may have been done all
    /// the same ([`Error::is_outcome_unknown`]). What the server refused is in the reply.
    pub fn wait(self) -> Result<Reply> {
        let timeout = self.shared.timeout;
        self.wait_for(timeout)
    }

    /// The same, so long.
    ///
    /// # Errors
    /// As [`Ticket::wait`].
    pub fn wait_for(self, timeout: Duration) -> Result<Reply> {
        if !self.is_ready() {
            self.shared.flush();
        }
        let deadline = deadline(timeout);
        let mut state = lock(&self.slot.state);
        while matches!(*state, State::Waiting) {
            let left = deadline.saturating_duration_since(now());
            if left.is_zero() {
                return Err(Error::timed_out(timeout).of_request(self.only_reads));
            }
            let waited = self.slot.filled.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        match std::mem::replace(&mut *state, State::Abandoned) {
            State::Filled(Ok(body)) => Ok(Reply { body, only_reads: self.only_reads }),
            State::Filled(Err(error)) => Err(error.of_request(self.only_reads)),
            State::Waiting | State::Abandoned => {
                Err(Error::protocol("an answer was taken twice").of_request(self.only_reads))
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        *lock(&self.slot.state) = State::Abandoned;
    }
}

/// An answer, with the bytes that it borrows from.
#[derive(Debug, Clone)]
pub struct Reply {
    body: Vec<u8>,
    only_reads: bool,
}

impl Reply {
    /// The answer. Decodes it, which costs about as much as copying it.
    ///
    /// # Errors
    /// What the server refused the request with; an answer that is none.
    pub fn answer(&self) -> Result<Answer<'_>> {
        match Response::decode(&self.body) {
            Ok(Response { outcome: Ok(answer), .. }) => Ok(answer),
            Ok(Response { outcome: Err(failure), .. }) => Err(Error::from(&failure)),
            Err(error) => {
                let message = format!("the answer is malformed: {error}");
                Err(Error::protocol(message).of_request(self.only_reads))
            }
        }
    }

    /// The error for an answer of another kind than was asked.
    pub(crate) fn unexpected(&self) -> Error {
        let message = "the server answered something else than was asked";
        Error::protocol(message).of_request(self.only_reads)
    }
}
