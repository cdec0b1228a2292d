//! Entries between `store` and the batcher, bounded by number and by bytes.
//!
//! Invariants: numbers are given under the lock, without gaps, in the order of the queue; an entry
//! that is refused gets none; subscribers are told under the same lock, so that they see entries in
//! the order of their numbers and before anybody can have written them.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::clock::Instant;

use crate::completion::{Outcome, Slot};
use crate::entry::{Entry, EntryId};
use crate::error::{LogError, Result};
use crate::options::{BATCH_ROWS_MAX, Options};
use crate::subscribe::Subscribers;

/// Whether somebody waits for the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Nobody does.
    Queued,
    /// Somebody does, and wants it to survive a loss of power.
    Durable,
}

/// An entry on its way.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) id: EntryId,
    pub(crate) entry: Entry,
    pub(crate) urgency: Urgency,
    pub(crate) queued_at: Instant,
    slot: Arc<Slot>,
    is_settled: bool,
}

impl Queued {
    pub(crate) fn new(
        id: EntryId,
        entry: Entry,
        urgency: Urgency,
        queued_at: Instant,
        slot: Arc<Slot>,
    ) -> Self {
        Self { id, entry, urgency, queued_at, slot, is_settled: false }
    }

    /// Reports what became of it.
    pub(crate) fn settle(mut self, outcome: Outcome) {
        self.is_settled = true;
        self.slot.settle(self.id, outcome);
    }
}

impl Drop for Queued {
    /// Nobody waits for ever for an entry that a defect has dropped.
    fn drop(&mut self) {
        if !self.is_settled {
            self.slot.settle(self.id, Outcome::Unwritten);
        }
    }
}

/// Why a batch was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// It had `batch_size` entries.
    Size,
    /// Its oldest entry had waited for `batch_timeout`.
    Timeout,
    /// Somebody waits for a durable commit.
    Durable,
    /// Nothing had been written for a while, so that waiting for more was not worth it.
    Idle,
    /// The store is being closed.
    Close,
}

impl Trigger {
    /// All triggers.
    pub const ALL: [Self; 5] = [Self::Size, Self::Timeout, Self::Durable, Self::Idle, Self::Close];

    /// The name, as in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Timeout => "timeout",
            Self::Durable => "durable",
            Self::Idle => "idle",
            Self::Close => "close",
        }
    }
}

/// What the batcher is to do.
#[derive(Debug)]
pub(crate) enum Due {
    /// Write these.
    Batch(Vec<Queued>, Trigger),
    /// Nothing before this point.
    At(Instant),
    /// Nothing until something comes.
    Empty,
    /// Nothing any more.
    Closed,
}

/// How full the queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueDepth {
    /// Entries that wait.
    pub entries: usize,
    /// Their bytes.
    pub bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Something came that the batcher must look at.
    arrived: Condvar,
    entries_max: usize,
    bytes_max: usize,
    batch_size: usize,
    batch_timeout: Duration,
    idle_flush: Duration,
}

#[derive(Debug)]
struct State {
    items: VecDeque<Queued>,
    bytes: usize,
    durable: usize,
    next_id: u64,
    is_closed: bool,
    /// Set by whoever wants the batcher to look around; taken by the batcher.
    is_nudged: bool,
}

impl Queue {
    pub(crate) fn new(options: &Options, next_id: u64) -> Self {
        let state = State {
            items: VecDeque::new(),
            bytes: 0,
            durable: 0,
            next_id,
            is_closed: false,
            is_nudged: false,
        };
        Self {
            state: Mutex::new(state),
            arrived: Condvar::new(),
            entries_max: options.queue_size,
            bytes_max: options.queue_bytes,
            batch_size: options.batch_size,
            batch_timeout: options.batch_timeout,
            idle_flush: options.idle_flush,
        }
    }

    /// Queues all of `entries`, which are taken out then, or none. Their slot is told the first
    /// number.
    pub(crate) fn push(
        &self,
        entries: &mut Vec<Entry>,
        urgency: Urgency,
        now: Instant,
        slot: &Arc<Slot>,
        subscribers: &Subscribers,
    ) -> Result<EntryId> {
        let cost = entries.iter().map(Entry::cost_bytes).sum();
        let added = entries.len();
        let mut state = self.lock();
        let first = self.admit(&mut state, added, cost)?;
        slot.number(first.0);
        for (id, entry) in (first.0..).map(EntryId).zip(entries.drain(..)) {
            subscribers.tell(id, &entry);
            state.items.push_back(Queued::new(id, entry, urgency, now, Arc::clone(slot)));
        }
        self.added(state, added, urgency);
        Ok(first)
    }

    /// As [`Queue::push`] for one entry, without a vector around it.
    pub(crate) fn push_one(
        &self,
        entry: Entry,
        urgency: Urgency,
        now: Instant,
        slot: &Arc<Slot>,
        subscribers: &Subscribers,
    ) -> Result<EntryId> {
        let cost = entry.cost_bytes();
        let mut state = self.lock();
        let id = self.admit(&mut state, 1, cost)?;
        slot.number(id.0);
        subscribers.tell(id, &entry);
        state.items.push_back(Queued::new(id, entry, urgency, now, Arc::clone(slot)));
        self.added(state, 1, urgency);
        Ok(id)
    }

    /// Finds room and numbers for `added` entries.
    fn admit(&self, state: &mut State, added: usize, cost: usize) -> Result<EntryId> {
        if state.is_closed {
            return Err(LogError::Closed);
        }
        if state.items.len() + added > self.entries_max || state.bytes + cost > self.bytes_max {
            return Err(LogError::QueueFull { entries: state.items.len(), bytes: state.bytes });
        }
        let first = state.next_id;
        state.next_id += added as u64;
        state.bytes += cost;
        Ok(EntryId(first))
    }

    /// Wakes the batcher when it has to look: it knows by itself when what it saw is due.
    fn added(&self, mut state: MutexGuard<'_, State>, added: usize, urgency: Urgency) {
        let len = state.items.len();
        let crossed = len >= self.batch_size && len - added < self.batch_size;
        let is_urgent = urgency == Urgency::Durable;
        if is_urgent {
            state.durable += added;
        }
        if len == added || crossed || is_urgent {
            state.is_nudged = true;
            drop(state);
            self.arrived.notify_one();
        }
    }

    /// What to write now, after something was written last at `last_flush`.
    pub(crate) fn take(&self, now: Instant, last_flush: Option<Instant>) -> Due {
        let mut state = self.lock();
        let Some(oldest) = state.items.front() else {
            return if state.is_closed { Due::Closed } else { Due::Empty };
        };
        // What comes often is worth waiting for, what comes after a pause is not.
        let queued_at = oldest.queued_at;
        let is_idle = last_flush.is_none_or(|last| queued_at.since(last) >= self.batch_timeout);
        let (wait, late) = if is_idle && self.idle_flush < self.batch_timeout {
            (self.idle_flush, Trigger::Idle)
        } else {
            (self.batch_timeout, Trigger::Timeout)
        };
        let due_at = queued_at.after(wait);
        let trigger = if state.is_closed {
            Trigger::Close
        } else if state.durable > 0 {
            Trigger::Durable
        } else if state.items.len() >= self.batch_size {
            Trigger::Size
        } else if now >= due_at {
            late
        } else {
            return Due::At(due_at);
        };
        let count = state.items.len().min(BATCH_ROWS_MAX);
        let batch: Vec<Queued> = state.items.drain(..count).collect();
        state.bytes -= batch.iter().map(|queued| queued.entry.cost_bytes()).sum::<usize>();
        state.durable -= batch.iter().filter(|queued| queued.urgency == Urgency::Durable).count();
        Due::Batch(batch, trigger)
    }

    /// Waits until the batcher has to look around, at most for `longest`. What happened since its
    /// last look counts, so nothing is overslept.
    pub(crate) fn wait(&self, longest: Option<Duration>) {
        let state = self.lock();
        let is_quiet = |state: &mut State| !state.is_nudged;
        let mut state = match longest {
            None => {
                self.arrived.wait_while(state, is_quiet).unwrap_or_else(PoisonError::into_inner)
            }
            Some(longest) => {
                let waited = self.arrived.wait_timeout_while(state, longest, is_quiet);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        state.is_nudged = false;
    }

    /// Makes the batcher look around.
    pub(crate) fn nudge(&self) {
        self.lock().is_nudged = true;
        self.arrived.notify_all();
    }

    /// Refuses whatever comes from now on.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.nudge();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Everything that waits, for a store that gives up.
    pub(crate) fn abandon(&self) -> Vec<Queued> {
        let mut state = self.lock();
        state.bytes = 0;
        state.durable = 0;
        state.items.drain(..).collect()
    }

    pub(crate) fn depth(&self) -> QueueDepth {
        let state = self.lock();
        QueueDepth { entries: state.items.len(), bytes: state.bytes }
    }

    /// The number that the next entry will get.
    pub(crate) fn next_id(&self) -> u64 {
        self.lock().next_id
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::UnixNanos;

    fn queue(options: Options) -> Queue {
        Queue::new(&options, 1)
    }

    fn small() -> Options {
        Options { batch_size: 3, queue_size: 5, ..Options::default() }
    }

    fn push(queue: &Queue, count: usize, urgency: Urgency, at_ms: u64) -> Result<EntryId> {
        let mut entries = vec![Entry::new(UnixNanos(1), "m"); count];
        let slot = Slot::new(count as u64, None);
        queue.push(&mut entries, urgency, ms(at_ms), &slot, &Subscribers::default())
    }

    fn ms(ms: u64) -> Instant {
        Instant(ms * 1_000_000)
    }

    #[track_caller]
    fn check(queue: &Queue, at_ms: u64, is_idle: bool, expect: &str) {
        let last_flush = if is_idle { None } else { Some(ms(at_ms)) };
        let due = match queue.take(ms(at_ms), last_flush) {
            Due::Batch(batch, trigger) => format!("{} {}", batch.len(), trigger.name()),
            Due::At(at) => format!("at {}", at.0 / 1_000_000),
            Due::Empty => "empty".to_owned(),
            Due::Closed => "closed".to_owned(),
        };
        assert_eq!(due, expect);
    }

    #[test]
    fn a_batch_is_closed_by_size_time_idleness_durability_and_the_end() {
        let queue = queue(small());
        check(&queue, 0, false, "empty");
        push(&queue, 2, Urgency::Queued, 10).unwrap();
        check(&queue, 20, false, "at 110");
        check(&queue, 12, true, "at 15");
        check(&queue, 15, true, "2 idle");
        push(&queue, 2, Urgency::Queued, 20).unwrap();
        check(&queue, 120, false, "2 timeout");
        push(&queue, 2, Urgency::Queued, 130).unwrap();
        push(&queue, 2, Urgency::Queued, 131).unwrap();
        check(&queue, 131, false, "4 size");
        push(&queue, 1, Urgency::Queued, 140).unwrap();
        push(&queue, 1, Urgency::Durable, 140).unwrap();
        check(&queue, 140, false, "2 durable");
        push(&queue, 1, Urgency::Queued, 150).unwrap();
        queue.close();
        check(&queue, 150, false, "1 close");
        check(&queue, 150, false, "closed");
    }

    #[test]
    fn a_full_queue_refuses_whole_groups_and_gives_no_numbers_away() {
        let queue = queue(small());
        assert_eq!(push(&queue, 4, Urgency::Queued, 0).unwrap(), EntryId(1));
        assert!(matches!(push(&queue, 2, Urgency::Queued, 0), Err(LogError::QueueFull { .. })));
        assert_eq!(push(&queue, 1, Urgency::Queued, 0).unwrap(), EntryId(5));
        assert_eq!(queue.depth().entries, 5);
        check(&queue, 0, false, "5 size");
        assert_eq!(queue.depth(), QueueDepth::default());
        assert_eq!(push(&queue, 1, Urgency::Queued, 0).unwrap(), EntryId(6));
    }

    #[test]
    fn bytes_fill_the_queue_before_entries_do() {
        let cost = Entry::new(UnixNanos(1), "m").cost_bytes();
        let queue = queue(Options { queue_bytes: 2 * cost, ..Options::default() });
        push(&queue, 2, Urgency::Queued, 0).unwrap();
        assert!(matches!(push(&queue, 1, Urgency::Queued, 0), Err(LogError::QueueFull { .. })));
    }

    #[test]
    fn a_closed_queue_takes_nothing() {
        let queue = queue(small());
        queue.close();
        assert!(matches!(push(&queue, 1, Urgency::Queued, 0), Err(LogError::Closed)));
    }
}
