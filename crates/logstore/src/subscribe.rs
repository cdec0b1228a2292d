//! Live tail: subscribers see an entry when it is stored, before it is written.
//!
//! A subscriber has a bounded buffer of its own. When it is full, entries pass it by and are
//! counted, and the count stands in its stream where they would have been: it is told, never
//! slowed down and never slows anybody down.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use base::metrics::Counter;

use crate::entry::{Entry, EntryId, StoredEntry};
use crate::filter::{EntryRef, Filter};

/// Bytes that the buffer of a subscriber holds, however few entries they are.
pub const SUBSCRIBER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a subscriber reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tail {
    /// An entry that passes the filter. It is queued, not yet written.
    Entry(Arc<StoredEntry>),
    /// So many entries that pass the filter came while the buffer was full.
    Missed(u64),
    /// The store has been closed; nothing follows.
    Closed,
}

#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    /// Read before the list, so that a store without subscribers takes no lock.
    count: AtomicUsize,
    list: RwLock<Vec<Weak<Shared>>>,
    missed: Counter,
}

#[derive(Debug)]
struct Shared {
    filter: Filter,
    capacity: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Tail>,
    bytes: usize,
    /// Passed by since the last item.
    missed: u64,
    is_closed: bool,
    waker: Option<Waker>,
}

impl Subscribers {
    pub(crate) fn new(missed: Counter) -> Self {
        Self { missed, ..Self::default() }
    }

    pub(crate) fn subscribe(self: &Arc<Self>, filter: Filter, capacity: usize) -> Subscription {
        let shared = Arc::new(Shared {
            filter,
            capacity: capacity.max(1),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.push(Arc::downgrade(&shared));
        self.count.store(list.len(), Ordering::Release);
        Subscription { shared, subscribers: Arc::clone(self) }
    }

    /// Shows an entry to everybody whose filter it passes.
    pub(crate) fn tell(&self, id: EntryId, entry: &Entry) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let view = EntryRef::of(id, entry);
        let mut stored: Option<Arc<StoredEntry>> = None;
        for shared in list.iter().filter_map(Weak::upgrade) {
            if !shared.filter.matches(&view) {
                continue;
            }
            let stored =
                stored.get_or_insert_with(|| Arc::new(StoredEntry { id, entry: entry.clone() }));
            if !shared.offer(stored) {
                self.missed.increment();
            }
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Tells everybody that nothing follows.
    pub(crate) fn close(&self) {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        for shared in list.iter().filter_map(Weak::upgrade) {
            let mut state = shared.lock();
            state.is_closed = true;
            shared.wake(state);
        }
    }

    fn forget(&self, shared: &Arc<Shared>) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(shared)));
        self.count.store(list.len(), Ordering::Release);
    }
}

impl Shared {
    /// Buffers an entry; says whether there was room.
    fn offer(&self, stored: &Arc<StoredEntry>) -> bool {
        let cost = stored.entry.cost_bytes();
        let mut state = self.lock();
        let has_room = state.items.len() < self.capacity
            && (state.items.is_empty() || state.bytes + cost <= SUBSCRIBER_BYTES_MAX);
        if has_room {
            if state.missed > 0 {
                let missed = std::mem::take(&mut state.missed);
                state.items.push_back(Tail::Missed(missed));
            }
            state.bytes += cost;
            state.items.push_back(Tail::Entry(Arc::clone(stored)));
        } else {
            state.missed += 1;
        }
        self.wake(state);
        has_room
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let waker = state.waker.take();
        drop(state);
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next(&mut self) -> Option<Tail> {
        match self.items.pop_front() {
            Some(Tail::Entry(stored)) => {
                self.bytes -= stored.entry.cost_bytes();
                Some(Tail::Entry(stored))
            }
            Some(other) => Some(other),
            None if self.missed > 0 => Some(Tail::Missed(std::mem::take(&mut self.missed))),
            None => self.is_closed.then_some(Tail::Closed),
        }
    }
}

/// A live tail. Dropping it ends it.
#[derive(Debug)]
pub struct Subscription {
    shared: Arc<Shared>,
    subscribers: Arc<Subscribers>,
}

impl Subscription {
    /// What comes next; none when nothing has come. Never waits.
    #[must_use]
    pub fn try_next(&self) -> Option<Tail> {
        self.shared.lock().next()
    }

    /// What comes next, waiting for it at most `longest`.
    #[must_use]
    pub fn next_within(&self, longest: Duration) -> Option<Tail> {
        let is_quiet =
            |state: &mut State| state.items.is_empty() && state.missed == 0 && !state.is_closed;
        let waited = self.shared.changed.wait_timeout_while(self.shared.lock(), longest, is_quiet);
        waited.unwrap_or_else(PoisonError::into_inner).0.next()
    }

    /// What comes next, for an async caller. Safe to cancel: what was not returned stays.
    pub fn poll_next(&self, context: &Context<'_>) -> Poll<Tail> {
        let mut state = self.shared.lock();
        match state.next() {
            Some(tail) => Poll::Ready(tail),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.subscribers.forget(&self.shared);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::UnixNanos;

    fn read(subscription: &Subscription) -> Vec<String> {
        std::iter::from_fn(|| subscription.try_next())
            .take(100)
            .map(|tail| match tail {
                Tail::Entry(stored) => stored.id.to_string(),
                Tail::Missed(count) => format!("missed {count}"),
                Tail::Closed => "closed".to_owned(),
            })
            .collect()
    }

    #[test]
    fn a_slow_subscriber_learns_how_much_it_missed_and_where() {
        let missed = Counter::default();
        let subscribers = Arc::new(Subscribers::new(missed.clone()));
        let subscription = subscribers.subscribe(Filter::default(), 2);
        let tell = |ids: std::ops::RangeInclusive<u64>| {
            ids.for_each(|id| subscribers.tell(EntryId(id), &Entry::new(UnixNanos(1), "m")));
        };
        tell(1..=5);
        assert_eq!(read(&subscription), ["1", "2", "missed 3"]);
        tell(6..=8);
        assert!(matches!(subscription.try_next(), Some(Tail::Entry(_))));
        tell(9..=9);
        assert_eq!(read(&subscription), ["7", "missed 1", "9"]);
        assert_eq!(missed.get(), 4);
        drop(subscription);
        assert_eq!(subscribers.count(), 0);
    }

    #[test]
    fn bytes_bound_the_buffer_too_and_one_entry_always_fits() {
        let subscribers = Arc::new(Subscribers::default());
        let subscription = subscribers.subscribe(Filter::default(), 1_000_000);
        let big = Entry::new(UnixNanos(1), "x".repeat(SUBSCRIBER_BYTES_MAX));
        subscribers.tell(EntryId(1), &big);
        subscribers.tell(EntryId(2), &big);
        assert_eq!(read(&subscription), ["1", "missed 1"]);
        subscribers.close();
        assert_eq!(subscription.try_next(), Some(Tail::Closed));
    }
}
