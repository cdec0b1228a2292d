//! A database as the server has it: known by name, open or not, with its queue.
//!
//! Databases are opened by whoever asks for them first, on a thread made for that: their queue is
//! held meanwhile, so nobody else waits. One that cannot be opened answers its error to every call,
//! and another try is made after a while. Idle ones are closed.
//!
//! Nobody who works on a database finds it closed under their hands: whoever got it [`Using`] is waited for, and
//! whoever has something open on it keeps it from being closed. It is *this* database, by its identity: one
//! that is made under the same name later is another [`Served`].

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use base::clock::Instant;
use base::error::Code;
use base::words::{DatabaseId, Lsn, Name};
use docstore::Database;

use super::error::{EngineError, Result};
use crate::scheduler::QueueId;

/// How long a database that could not be opened answers the same error before another try.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// The same when something passing was in the way: that as many were open as may be, and all in use.
const TRY_AGAIN_SOON: Duration = Duration::from_millis(100);
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
    /// Transactions, operations and feeds that are open on it.
    pub(super) held: AtomicUsize,
    /// Who works on it at the moment.
    users: Users,
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

/// Who works on a database at the moment, each of them not for long. Begun under the lock of the state, so that
/// whoever changes the state under it knows them all.
#[derive(Debug, Default)]
struct Users {
    working: Mutex<usize>,
    none: Condvar,
}

impl Users {
    fn lock(&self) -> std::sync::MutexGuard<'_, usize> {
        self.working.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody works on a database.
#[derive(Debug)]
pub(super) struct Using(Arc<Served>);

impl Drop for Using {
    fn drop(&mut self) {
        let mut working = self.0.users.lock();
        *working -= 1;
        if *working == 0 {
            self.0.users.none.notify_all();
        }
    }
}

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
    Yes(Database, Using),
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

/// How long a database that could not be opened answers its error.
fn rest_after(error: &EngineError) -> Duration {
    if error.is_retryable() { TRY_AGAIN_SOON } else { TRY_AGAIN }
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
            users: Users::default(),
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
    pub(super) fn ready(self: &Arc<Self>, now: Instant) -> Result<Ready> {
        self.last_used.store(now.0, Ordering::Relaxed);
        if let State::Open(database) = &*self.read() {
            return Ok(Ready::Yes(database.clone(), self.using()));
        }
        let mut state = self.write();
        match &*state {
            State::Open(database) => Ok(Ready::Yes(database.clone(), self.using())),
            State::Busy => Ok(Ready::NotYet),
            State::Failed(error, at) if now.since(*at) < rest_after(error) => Err(error.clone()),
            State::Closed | State::Failed(..) => {
                *state = State::Busy;
                Ok(Ready::MustOpen)
            }
            State::Dropped => Err(self.dropped()),
        }
    }

    /// Counts somebody who works on it. Under the lock of the state, which says that it is open.
    fn using(self: &Arc<Self>) -> Using {
        *self.users.lock() += 1;
        Using(Arc::clone(self))
    }

    /// Waits until nobody works on it, or `time` is over; says whether that is so. Nobody begins meanwhile
    /// when the state says that it is not open.
    pub(super) fn wait_unused(&self, time: Duration) -> bool {
        let working = self.users.lock();
        let waited = self.users.none.wait_timeout_while(working, time, |working| *working > 0);
        *waited.unwrap_or_else(PoisonError::into_inner).0 == 0
    }

    /// Begins to close it, if it is open and `may` be closed: the state says [`State::Busy`] then, and whoever needs
    /// it waits until it can be opened again. Answers it as it was.
    pub(super) fn begin_closing(
        &self,
        may: impl FnOnce(&Self, &Database) -> bool,
    ) -> Option<Database> {
        let mut state = self.write();
        let State::Open(database) = &*state else { return None };
        if !may(self, database) {
            return None;
        }
        let database = database.clone();
        *state = State::Busy;
        Some(database)
    }

    /// Ends what [`Served::begin_closing`] or an opening has begun, unless it was dropped meanwhile; says
    /// whether it was not.
    pub(super) fn end_busy(&self, now: State) -> bool {
        let mut state = self.write();
        let is_wanted = matches!(*state, State::Busy);
        if is_wanted {
            *state = now;
        }
        is_wanted
    }

    /// An error as it is to be told: what a database that is dropped answers, whatever it was doing, is that it
    /// is gone.
    pub(super) fn explain(&self, error: EngineError) -> EngineError {
        let is_end = matches!(error.code, Code::DbNotOpen | Code::PoolStopped);
        if is_end && matches!(*self.read(), State::Dropped) { self.dropped() } else { error }
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

    /// Whether nobody has anything open on it that outlives a request.
    pub(super) fn is_free(&self) -> bool {
        self.held.load(Ordering::Acquire) == 0 && self.watching.load(Ordering::Acquire) == 0
    }

    /// For how long nobody has asked for it.
    pub(super) fn unused_for(&self, now: Instant) -> Duration {
        now.since(Instant(self.last_used.load(Ordering::Relaxed)))
    }

    /// Whether nobody has used it for `time`, holds something open, or may come back to a scan.
    pub(super) fn is_idle(&self, database: &Database, now: Instant, time: Duration) -> bool {
        self.unused_for(now) >= time
            && self.is_free()
            && *self.users.lock() == 0
            && database.live_snapshots() == 0
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
