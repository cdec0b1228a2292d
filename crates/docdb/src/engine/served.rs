//! A database as the server has it: known by name, open or not, with its queue.
//!
//! Databases are opened by whoever asks for them first, on a thread made for that: their queue is
//! held meanwhile, so nobody else waits. One that cannot be opened answers its error to every call,
//! and another try is made after a while. Idle ones are closed.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use base::clock::Instant;
use base::error::Code;
use base::words::{DatabaseId, Lsn, Name};
use docstore::Database;

use super::error::{EngineError, Result};
use crate::scheduler::QueueId;

/// How long a database that could not be opened answers the same error before another try.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// Most callers who wait for the next change of one database.
pub const WATCHERS_MAX: usize = 100_000;

/// A database of the server.
pub struct Served {
    pub(super) name: Name,
    pub(super) id: DatabaseId,
    pub(super) queue: QueueId,
    state: RwLock<State>,
    /// When somebody asked for it last, nanoseconds of the clock.
    last_used: AtomicU64,
    /// Transactions and feeds that are open on it.
    pub(super) held: AtomicUsize,
    watchers: Mutex<Vec<(Lsn, u64, Watcher)>>,
    watching: AtomicUsize,
    next_watcher: AtomicU64,
}

/// Somebody who waits for a change. Dropped, nobody waits any more: a database on which nothing is
/// written would otherwise gather those who have long given up.
#[derive(Debug)]
pub struct Watching<'a> {
    served: &'a Served,
    number: u64,
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        let mut watchers = self.served.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.retain(|(_, number, _)| *number != self.number);
        self.served.watching.store(watchers.len(), Ordering::SeqCst);
    }
}

type Watcher = Box<dyn FnOnce() + Send>;

/// Whether it can be used.
#[derive(Debug, Clone)]
pub(super) enum State {
    Closed,
    /// Somebody opens or closes it.
    Busy,
    Open(Database),
    Failed(EngineError, Instant),
    Dropped,
}

/// What somebody who needs the database is told.
pub(super) enum Ready {
    Yes(Database),
    /// It must be opened, by whoever is told this: the state says [`State::Busy`] already.
    MustOpen,
    /// Somebody opens it.
    NotYet,
}

/// What a database is doing, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It is not open; the next request opens it.
    Closed,
    /// It is being opened or closed.
    Busy,
    /// It is open.
    Open,
    /// It could not be opened.
    Failed {
        /// The code.
        code: Code,
        /// Why.
        message: Box<str>,
    },
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Served {
    pub(super) fn new(name: Name, id: DatabaseId, queue: QueueId, state: State) -> Self {
        Self {
            name,
            id,
            queue,
            state: RwLock::new(state),
            last_used: AtomicU64::new(0),
            held: AtomicUsize::new(0),
            watchers: Mutex::default(),
            watching: AtomicUsize::new(0),
            next_watcher: AtomicU64::new(0),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> DatabaseId {
        self.id
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the open database; none when it is not open. It is not closed meanwhile,
    /// so this is for what does not wait.
    pub(super) fn with<T>(&self, now: Instant, work: impl FnOnce(&Database) -> T) -> Option<T> {
        self.last_used.store(now.0, Ordering::Relaxed);
        match &*self.read() {
            State::Open(database) => Some(work(database)),
            State::Closed | State::Busy | State::Failed(..) | State::Dropped => None,
        }
    }

    /// The database, or what has to happen first.
    pub(super) fn ready(&self, now: Instant) -> Result<Ready> {
        self.last_used.store(now.0, Ordering::Relaxed);
        if let State::Open(database) = &*self.read() {
            return Ok(Ready::Yes(database.clone()));
        }
        let mut state = self.write();
        match &*state {
            State::Open(database) => Ok(Ready::Yes(database.clone())),
            State::Busy => Ok(Ready::NotYet),
            State::Failed(error, at) if now.since(*at) < TRY_AGAIN => Err(error.clone()),
            State::Closed | State::Failed(..) => {
                *state = State::Busy;
                Ok(Ready::MustOpen)
            }
            State::Dropped => Err(self.dropped()),
        }
    }

    pub(super) fn dropped(&self) -> EngineError {
        let what = format!("the database was dropped name={}", self.name);
        EngineError::new(Code::DbNotFound, what)
    }

    /// What it is doing.
    #[must_use]
    pub fn condition(&self) -> Condition {
        match &*self.read() {
            State::Closed | State::Dropped => Condition::Closed,
            State::Busy => Condition::Busy,
            State::Open(_) => Condition::Open,
            State::Failed(error, _) => {
                Condition::Failed { code: error.code, message: error.message.clone() }
            }
        }
    }

    /// The database if it is open, without marking it as used.
    #[must_use]
    pub fn peek(&self) -> Option<Database> {
        match &*self.read() {
            State::Open(database) => Some(database.clone()),
            State::Closed | State::Busy | State::Failed(..) | State::Dropped => None,
        }
    }

    /// For how long nobody has asked for it; none while somebody holds something open.
    pub(super) fn idle_for(&self, now: Instant) -> Option<Duration> {
        let free =
            self.held.load(Ordering::Acquire) == 0 && self.watching.load(Ordering::Acquire) == 0;
        free.then(|| now.since(Instant(self.last_used.load(Ordering::Relaxed))))
    }

    /// Has `watcher` called when there may be a change behind `position`: at once when there is, by
    /// whoever writes next, or soon after something was written in the background. It must not wait.
    ///
    /// # Errors
    /// `QueueFull` when too many watch already.
    pub fn watch(&self, position: Lsn, watcher: Watcher) -> Result<()> {
        self.add_watcher(position, watcher).map(drop)
    }

    /// The same, for as long as what it answers is kept.
    ///
    /// # Errors
    /// As [`Served::watch`].
    pub fn watch_while(
        &self,
        position: Lsn,
        watcher: impl FnOnce() + Send + 'static,
    ) -> Result<Watching<'_>> {
        let number = self.add_watcher(position, Box::new(watcher))?;
        Ok(Watching { served: self, number })
    }

    fn add_watcher(&self, position: Lsn, watcher: Watcher) -> Result<u64> {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        if watchers.len() >= WATCHERS_MAX {
            let what = format!("{WATCHERS_MAX} clients wait for changes already; try again later");
            return Err(EngineError::new(Code::QueueFull, what));
        }
        let number = self.next_watcher.fetch_add(1, Ordering::Relaxed);
        watchers.push((position, number, watcher));
        self.watching.store(watchers.len(), Ordering::SeqCst);
        drop(watchers);
        // It may have been written before anybody could know that somebody watches.
        self.tell_watchers();
        Ok(number)
    }

    /// Calls those behind whose position something was written.
    pub(super) fn tell_watchers(&self) {
        if self.watching.load(Ordering::SeqCst) == 0 {
            return;
        }
        let newest = self.peek().map(|database| database.durable());
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        // Without a database there is nothing to wait for: they find out when they ask.
        let due = |(at, _, _): &mut (Lsn, u64, Watcher)| newest.is_none_or(|newest| newest > *at);
        let called: Vec<_> = watchers.extract_if(.., due).collect();
        self.watching.store(watchers.len(), Ordering::SeqCst);
        drop(watchers);
        called.into_iter().for_each(|(_, _, watcher)| watcher());
    }
}
