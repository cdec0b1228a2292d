//! What becomes of an entry that was queued: handles that wait, wake or call back.
//!
//! A handle can be waited for by a thread ([`Completion::wait`]), awaited (it is a plain
//! [`Future`], without any runtime) or dropped, which changes nothing for the entry. One slot
//! serves a whole group, so that a request of a thousand entries costs one allocation.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::entry::EntryId;
use crate::error::{LogError, Result};

/// Called once with what became of an entry, on the thread that writes: it must not block, and
/// must not call the store's waiting methods.
pub type Callback = Box<dyn FnOnce(Result<EntryId>) + Send>;

/// What became of one entry.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// It is in the database.
    Committed,
    /// It is a dead letter.
    Refused(Arc<str>),
    /// The store was closed first.
    Unwritten,
}

/// What became of a group of entries, all of which are settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The number of the first; the others follow without gaps.
    pub first: EntryId,
    /// How many there were.
    pub entries: u64,
    /// Those that the database refused, with its reason; they are dead letters.
    pub refused: Vec<(EntryId, Arc<str>)>,
}

/// Where the batcher reports and handles look.
pub(crate) struct Slot {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    first: u64,
    entries: u64,
    unsettled: u64,
    refused: Vec<(EntryId, Arc<str>)>,
    unwritten: Option<EntryId>,
    waker: Option<Waker>,
    callback: Option<Callback>,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.lock();
        f.debug_struct("Slot")
            .field("first", &state.first)
            .field("unsettled", &state.unsettled)
            .finish_non_exhaustive()
    }
}

impl Slot {
    /// The slot of `entries` entries that have no numbers yet.
    pub(crate) fn new(entries: u64, callback: Option<Callback>) -> Arc<Self> {
        let state = State {
            first: 0,
            entries,
            unsettled: entries,
            refused: Vec::new(),
            unwritten: None,
            waker: None,
            callback,
        };
        Arc::new(Self { state: Mutex::new(state), changed: Condvar::new() })
    }

    /// Says which number the first entry got. Called before the batcher can see any of them.
    pub(crate) fn number(&self, first: u64) {
        self.lock().first = first;
    }

    /// Reports one entry.
    pub(crate) fn settle(&self, id: EntryId, outcome: Outcome) {
        let mut state = self.lock();
        debug_assert!(state.unsettled > 0, "an entry is settled once");
        state.unsettled = state.unsettled.saturating_sub(1);
        match outcome {
            Outcome::Committed => {}
            Outcome::Refused(reason) => state.refused.push((id, reason)),
            Outcome::Unwritten => state.unwritten = state.unwritten.or(Some(id)),
        }
        if state.unsettled > 0 {
            return;
        }
        let waker = state.waker.take();
        let callback = state.callback.take();
        let single = state.single();
        drop(state);
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
        if let (Some(callback), Some(single)) = (callback, single) {
            // A defect of the caller's is not to end the thread that writes for everybody.
            if catch_unwind(AssertUnwindSafe(|| callback(single))).is_err() {
                tracing::error!(%id, "a callback of a log entry panicked");
            }
        }
    }

    /// Waits until all are settled, or for `longest`.
    fn wait(&self, longest: Option<Duration>) -> MutexGuard<'_, State> {
        let state = self.lock();
        let waits = |state: &mut State| state.unsettled > 0;
        match longest {
            None => self.changed.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner),
            Some(longest) => {
                let waited = self.changed.wait_timeout_while(state, longest, waits);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What became of the only entry; none while it is not settled.
    fn single(&self) -> Option<Result<EntryId>> {
        let receipt = match self.group()? {
            Ok(receipt) => receipt,
            Err(error) => return Some(Err(error)),
        };
        Some(match receipt.refused.into_iter().next() {
            Some((id, reason)) => Err(LogError::Refused { id, reason }),
            None => Ok(receipt.first),
        })
    }

    /// What became of the group; none while some of it is not settled.
    fn group(&self) -> Option<Result<Receipt>> {
        if self.unsettled > 0 {
            return None;
        }
        if let Some(id) = self.unwritten {
            return Some(Err(LogError::Unwritten { id }));
        }
        let refused = self.refused.clone();
        Some(Ok(Receipt { first: EntryId(self.first), entries: self.entries, refused }))
    }

    fn poll<T>(
        &mut self,
        context: &Context<'_>,
        settled: impl FnOnce(&Self) -> Option<T>,
    ) -> Poll<T> {
        match settled(self) {
            Some(value) => Poll::Ready(value),
            None => {
                self.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

const TIMEOUT: LogError = LogError::Timeout { what: "waiting for a commit" };

/// The handle of one entry: resolves to its id when it has been committed.
#[derive(Debug)]
#[must_use = "an entry is stored all the same, but nobody learns what became of it"]
pub struct Completion(pub(crate) Arc<Slot>);

impl Completion {
    /// Waits until the entry is settled.
    ///
    /// # Errors
    /// [`LogError::Refused`] when it became a dead letter, [`LogError::Unwritten`] when the store
    /// was closed first.
    pub fn wait(self) -> Result<EntryId> {
        self.0.wait(None).single().unwrap_or(Err(TIMEOUT))
    }

    /// As [`Completion::wait`], for at most `longest`.
    ///
    /// # Errors
    /// Also [`LogError::Timeout`]; the entry may still be committed later.
    pub fn wait_for(&self, longest: Duration) -> Result<EntryId> {
        self.0.wait(Some(longest)).single().unwrap_or(Err(TIMEOUT))
    }

    /// What became of the entry, none while that is open. Never waits.
    #[must_use]
    pub fn settled(&self) -> Option<Result<EntryId>> {
        self.0.lock().single()
    }
}

impl Future for Completion {
    type Output = Result<EntryId>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.lock().poll(context, State::single)
    }
}

/// The handle of a group of entries: resolves when all of them are settled.
#[derive(Debug)]
#[must_use = "the entries are stored all the same, but nobody learns what became of them"]
pub struct GroupCompletion(pub(crate) Arc<Slot>);

impl GroupCompletion {
    /// Waits until every entry is settled.
    ///
    /// # Errors
    /// [`LogError::Unwritten`] when the store was closed before all were written. Refused entries
    /// are no error: the receipt names them.
    pub fn wait(self) -> Result<Receipt> {
        self.0.wait(None).group().unwrap_or(Err(TIMEOUT))
    }

    /// As [`GroupCompletion::wait`], for at most `longest`.
    ///
    /// # Errors
    /// Also [`LogError::Timeout`]; the entries may still be committed later.
    pub fn wait_for(&self, longest: Duration) -> Result<Receipt> {
        self.0.wait(Some(longest)).group().unwrap_or(Err(TIMEOUT))
    }

    /// What became of the group, none while that is open. Never waits.
    #[must_use]
    pub fn settled(&self) -> Option<Result<Receipt>> {
        self.0.lock().group()
    }
}

impl Future for GroupCompletion {
    type Output = Result<Receipt>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.lock().poll(context, State::group)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU64);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_group_resolves_with_its_last_entry_and_names_the_refused() {
        let slot = Slot::new(3, None);
        slot.number(7);
        let mut group = GroupCompletion(Arc::clone(&slot));
        let woken = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        assert!(Pin::new(&mut group).poll(&mut context).is_pending());
        slot.settle(EntryId(7), Outcome::Committed);
        slot.settle(EntryId(8), Outcome::Refused("poison".into()));
        assert!(group.settled().is_none());
        assert!(matches!(group.wait_for(Duration::ZERO), Err(LogError::Timeout { .. })));
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        slot.settle(EntryId(9), Outcome::Committed);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        let Poll::Ready(Ok(receipt)) = Pin::new(&mut group).poll(&mut context) else {
            panic!("not resolved");
        };
        let refused = vec![(EntryId(8), Arc::from("poison"))];
        assert_eq!(receipt, Receipt { first: EntryId(7), entries: 3, refused });
    }

    #[test]
    fn a_callback_that_panics_does_not_take_the_writer_along() {
        let slot = Slot::new(1, Some(Box::new(|_| panic!("a defect of the caller's"))));
        slot.settle(EntryId(1), Outcome::Committed);
        assert!(Completion(slot).wait().is_ok());
    }

    #[test]
    fn a_callback_is_told_once() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let callback = {
            let told = Arc::clone(&told);
            Box::new(move |result: Result<EntryId>| told.lock().unwrap().push(result.unwrap()))
        };
        let slot = Slot::new(1, Some(callback));
        slot.number(4);
        slot.settle(EntryId(4), Outcome::Committed);
        assert_eq!(*told.lock().unwrap(), [EntryId(4)]);
        assert_eq!(Completion(slot).wait().unwrap(), EntryId(4));
    }
}
