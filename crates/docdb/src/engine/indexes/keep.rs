//! The thread `indexes`: it reads the feeds that nobody reads, and tries again to open what could not be opened. It looks at
//! every open database in turn and does a piece of work for each, so that none waits for the end of another's.

use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::contain::contained;
use super::state::Shown;
use super::{Indexes, Shared, lock};

/// How long it waits when there was nothing to do.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Wakes a thread, and ends it.
#[derive(Debug, Default)]
pub(super) struct Signal {
    state: Mutex<Wanted>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Wanted {
    look: bool,
    stop: bool,
}

impl Signal {
    /// Has it look now.
    pub(super) fn wake(&self) {
        lock(&self.state).look = true;
        self.changed.notify_all();
    }

    /// Has it end.
    pub(super) fn stop(&self) {
        lock(&self.state).stop = true;
        self.changed.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        lock(&self.state).stop
    }

    /// Waits until it is woken or `time` is over; says whether to go on.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let state = lock(&self.state);
        let waited =
            self.changed.wait_timeout_while(state, time, |state| !state.look && !state.stop);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.look = false;
        !state.stop
    }
}

/// The thread.
pub(super) fn run(shared: &Shared) {
    let mut is_busy = false;
    while !shared.keeper.is_stopped() {
        if !is_busy && !shared.keeper.wait(LOOK_AGAIN) {
            return;
        }
        is_busy = false;
        for indexes in shared.all() {
            if shared.keeper.is_stopped() {
                return;
            }
            is_busy |= match contained(|| indexes.keep()) {
                Ok(has_read) => has_read,
                Err(panicked) => {
                    indexes.count_failure();
                    tracing::error!(database = %indexes.database.name(), error = %panicked,
                        "search indexes are not looked after for now");
                    lock(&indexes.following).put_off(&indexes);
                    false
                }
            };
        }
    }
}

impl Indexes {
    /// Does a piece of what there is to do; says whether there may be more.
    fn keep(&self) -> bool {
        if self.is_closed() {
            return false;
        }
        let has_read = self.read_on();
        if let Err(error) = self.open_again() {
            tracing::warn!(database = %self.database.name(), %error, "search indexes were not opened");
        }
        lock(&self.following).update_hold(self);
        self.count_memory();
        has_read
    }

    /// Reads a piece of the feed; says whether there was one.
    fn read_on(&self) -> bool {
        let newest = self.database.durable();
        let mut following = lock(&self.following);
        let is_wanted = self.is_wanted.swap(false, Ordering::AcqRel) || following.is_new();
        if self.is_closed() || (following.is_resting() && !is_wanted) {
            return false;
        }
        following.try_advance(self, newest).unwrap_or(false)
    }

    /// Reserves the memory of what no segment has. It is there whether there is room for it or not; but then others
    /// are told that there is none.
    fn count_memory(&self) {
        let held: u64 = self.shown().values().map(Shown::unindexed_bytes).sum();
        let mut memory = lock(&self.memory);
        let before = memory.bytes();
        if held < before {
            memory.shrink(before - held);
        } else if memory.grow(held - before).is_err() {
            self.shared.is_short.store(true, Ordering::Release);
            self.shared.flusher.wake();
        }
    }
}
