//! One connection that threads share: any number of requests in flight, answers in any order.
//!
//! Sending encodes into a buffer under a lock. Whoever finds nobody writing writes for all: what
//! other threads queue meanwhile goes out with the next call of the system. One thread reads and
//! hands each answer to the ticket of its request.
//!
//! Invariants:
//!
//! 1. A request is sent once or not at all. Nothing here connects again or sends again.
//! 2. Every ticket is answered: with the answer, at its timeout, or when the connection is lost.
//! 3. At most `in_flight_max` requests wait for answers, and the buffer holds at most
//!    [`OUTBOX_BYTES_MAX`] and one frame.
//!
//! A request that was given up on keeps its place until its answer comes, so that a late answer
//! is never taken for that of another request.

mod outbox;
mod reader;
mod ticket;

use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{deadline, now};
use crate::error::{Error, Result};
use crate::options::Options;
use crate::socket::Socket;
use crate::wire::{Call, Request};

pub use outbox::OUTBOX_BYTES_MAX;
use outbox::{Outbox, Queued};
use ticket::Slot;
pub use ticket::{Reply, Ticket};

/// What no code here panics while it holds.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection that threads share. Closed when it is dropped: requests that are in flight then
/// are lost.
#[derive(Debug)]
pub struct Connection {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    stream: UnixStream,
    server: String,
    timeout: Duration,
    in_flight_max: usize,
    outbox: Outbox,
    waiting: Mutex<Waiting>,
    /// Told when a request was answered.
    free: Condvar,
}

#[derive(Debug)]
struct Waiting {
    slots: HashMap<u64, Arc<Slot>>,
    next_id: u64,
    lost: Option<Error>,
}

impl Connection {
    /// Connects and says hello.
    ///
    /// # Errors
    /// As [`Socket::connect`].
    pub fn connect(path: &Path, options: &Options) -> Result<Self> {
        Self::of(Socket::connect(path, options)?, options)
    }

    /// Says hello on a stream.
    ///
    /// # Errors
    /// As [`Socket::connect`].
    pub fn start(stream: UnixStream, options: &Options) -> Result<Self> {
        Self::of(Socket::start(stream, options)?, options)
    }

    fn of(socket: Socket, options: &Options) -> Result<Self> {
        let (stream, inbox, server) = socket.into_parts();
        let no_thread = |e: std::io::Error| Error::not_connected(format!("cannot read: {e}"));
        // The reader waits as long as there is nothing to read: tickets have their own deadlines.
        stream.set_read_timeout(None).map_err(no_thread)?;
        let reading = stream.try_clone().map_err(no_thread)?;
        let shared = Arc::new(Shared {
            stream,
            server,
            timeout: options.timeout,
            in_flight_max: options.in_flight_max,
            outbox: Outbox::default(),
            waiting: Mutex::new(Waiting { slots: HashMap::new(), next_id: 1, lost: None }),
            free: Condvar::new(),
        });
        let of_reader = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("docdb-client".to_owned())
            .spawn(move || reader::run(&of_reader, reading, inbox))
            .map_err(no_thread)?;
        Ok(Self { shared })
    }

    /// What the server says it is, such as `docdb 1.2.3`.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.shared.server
    }

    /// Whether the connection is gone: every further call fails.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        lock(&self.shared.waiting).lost.is_some()
    }

    /// Requests that wait for their answers.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        lock(&self.shared.waiting).slots.len()
    }

    /// Sends a request and returns at once, but for when too many are in flight or the server
    /// does not read: then when there is room.
    ///
    /// # Errors
    /// When the request cannot be encoded, there is no room within the timeout, or the connection
    /// was lost before: nothing was sent.
    pub fn send(&self, database: u64, transaction: u64, call: Call<'_>) -> Result<Ticket> {
        let ticket = self.queue(database, transaction, call)?;
        self.flush();
        Ok(ticket)
    }

    /// Queues a request without sending it: the next [`Connection::send`], [`Connection::flush`]
    /// or [`Ticket::wait`] of any thread sends it. Many small requests then share one call of the
    /// system.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub fn queue(&self, database: u64, transaction: u64, call: Call<'_>) -> Result<Ticket> {
        let only_reads = call.only_reads();
        let shared = &self.shared;
        let (id, slot) = shared.take_place()?;
        let request = Request { id, database, transaction, call };
        match shared.outbox.push(&request, shared.timeout) {
            Ok(Queued::Little) => {}
            Ok(Queued::Much) => shared.flush(),
            Err(error) => {
                shared.give_back(id);
                return Err(error);
            }
        }
        Ok(Ticket::new(Arc::clone(shared), slot, only_reads))
    }

    /// Sends what is queued. When that fails the connection is lost, and the tickets say so.
    pub fn flush(&self) {
        self.shared.flush();
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// As [`Connection::send`] and [`Ticket::wait`].
    pub fn call(&self, database: u64, transaction: u64, call: Call<'_>) -> Result<Reply> {
        self.send(database, transaction, call)?.wait()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.lose(&Error::lost("the connection was closed here"));
    }
}

impl Shared {
    /// A request id and the place where its answer will be.
    fn take_place(&self) -> Result<(u64, Arc<Slot>)> {
        let deadline = deadline(self.timeout);
        let mut waiting = lock(&self.waiting);
        loop {
            if let Some(lost) = &waiting.lost {
                return Err(Error::not_connected(lost.message()));
            }
            if waiting.slots.len() < self.in_flight_max {
                break;
            }
            drop(waiting);
            // What holds the places may not have been sent yet.
            self.flush();
            waiting = lock(&self.waiting);
            if waiting.lost.is_some() || waiting.slots.len() < self.in_flight_max {
                continue;
            }
            let left = deadline.saturating_duration_since(now());
            if left.is_zero() {
                let max = self.in_flight_max;
                let message = format!("{max} requests are in flight and none was answered in time");
                return Err(Error::not_connected(message));
            }
            let waited = self.free.wait_timeout(waiting, left);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let id = waiting.next_id;
        waiting.next_id = id.wrapping_add(1).max(1);
        let slot = Arc::new(Slot::default());
        waiting.slots.insert(id, Arc::clone(&slot));
        Ok((id, slot))
    }

    fn give_back(&self, id: u64) {
        lock(&self.waiting).slots.remove(&id);
        self.free.notify_one();
    }

    fn flush(&self) {
        if let Err(error) = self.outbox.flush(&self.stream, self.timeout) {
            self.lose(&error);
        }
    }

    /// Hands an answer to who waits for it; says whether anybody had asked.
    fn deliver(&self, id: u64, body: &[u8]) -> bool {
        let slot = lock(&self.waiting).slots.remove(&id);
        self.free.notify_one();
        match slot {
            Some(slot) => {
                slot.fill(Ok(body));
                true
            }
            None => false,
        }
    }

    /// Ends the connection: whoever waits is told why. The first reason stays.
    fn lose(&self, why: &Error) {
        let slots = {
            let mut waiting = lock(&self.waiting);
            if waiting.lost.is_none() {
                waiting.lost = Some(why.clone());
            }
            std::mem::take(&mut waiting.slots)
        };
        self.free.notify_all();
        self.outbox.close();
        // Fails when the other side was faster, which is as good.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        for slot in slots.values() {
            slot.fill(Err(why.clone()));
        }
    }
}
