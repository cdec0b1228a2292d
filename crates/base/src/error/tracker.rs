//! Counts errors where they are handled: how many, how many lately, and the last one, for each
//! category. Critical errors are a log entry of their own and are handed to a listener.
//!
//! Memory is bounded: one minute of counts and one message of at most [`MESSAGE_BYTES_MAX`] bytes
//! for each of the five categories. Recording takes one short lock and never waits for anybody:
//! the listener has a bounded queue, and what does not fit is counted, not waited for.
//! Start with [`Tracker::record`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Category, Code};
use crate::clock::{ClockRef, Instant, WallMs};

/// Longest message kept, in bytes; longer ones are cut at a character.
pub const MESSAGE_BYTES_MAX: usize = 256;
/// Seconds over which the rate is taken.
pub const RATE_WINDOW_SECS: u64 = 60;

const SLOTS: usize = 60;
const _: () = assert!(SLOTS as u64 == RATE_WINDOW_SECS);

/// One error as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// When, by the wall clock.
    pub at: WallMs,
    /// The frozen code.
    pub code: Code,
    /// The category, which may differ from that of the code.
    pub category: Category,
    /// The text, at most [`MESSAGE_BYTES_MAX`] bytes.
    pub message: Box<str>,
}

/// What the tracker knows about one category.
#[derive(Debug, Clone, PartialEq)]
pub struct CategoryReport {
    /// Which.
    pub category: Category,
    /// How many since the start.
    pub total: u64,
    /// Errors per second: those of the last minute, by the monotonic clock, divided by 60.
    pub per_second: f64,
    /// The newest.
    pub last: Option<Occurrence>,
}

/// Counts, rates and last occurrences by category. Shared between threads.
#[derive(Debug)]
pub struct Tracker {
    clock: ClockRef,
    categories: [Mutex<Tally>; Category::ALL.len()],
    listener: Mutex<Option<SyncSender<Occurrence>>>,
    unheard: AtomicU64,
}

#[derive(Debug)]
struct Tally {
    total: u64,
    /// Counts by second, at the second modulo 60.
    slots: [u32; SLOTS],
    /// The newest second that has a count; older slots than a minute before it are zero.
    newest: u64,
    last: Option<Occurrence>,
}

impl Tally {
    const EMPTY: Tally = Tally { total: 0, slots: [0; SLOTS], newest: 0, last: None };

    fn slot(&mut self, second: u64) -> &mut u32 {
        let at = usize::try_from(second % RATE_WINDOW_SECS).expect("less than 60");
        &mut self.slots[at]
    }

    /// Forgets the seconds that have left the window. Time never goes back, but two threads may
    /// arrive in the other order than they read the clock; the later reading stands.
    fn advance(&mut self, now: Instant) -> u64 {
        let second = (now.0 / 1_000_000_000).max(self.newest);
        let gone = (second - self.newest).min(RATE_WINDOW_SECS);
        for passed in 0..gone {
            *self.slot(second - passed) = 0;
        }
        self.newest = second;
        second
    }

    fn add(&mut self, now: Instant, occurrence: Occurrence) {
        let second = self.advance(now);
        let slot = self.slot(second);
        *slot = slot.saturating_add(1);
        self.total += 1;
        self.last = Some(occurrence);
    }

    fn report(&mut self, now: Instant, category: Category) -> CategoryReport {
        self.advance(now);
        let lately: u64 = self.slots.iter().copied().map(u64::from).sum();
        let window = f64::from(u32::try_from(SLOTS).expect("60"));
        // The sum of sixty 32-bit counts is exact in a double.
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let per_second = lately as f64 / window;
        CategoryReport { category, total: self.total, per_second, last: self.last.clone() }
    }
}

impl Tracker {
    /// A tracker that has seen nothing.
    #[must_use]
    pub fn new(clock: ClockRef) -> Self {
        Self {
            clock,
            categories: [const { Mutex::new(Tally::EMPTY) }; Category::ALL.len()],
            listener: Mutex::new(None),
            unheard: AtomicU64::new(0),
        }
    }

    /// Records an error, once, where it is handled. A critical one is also written to the log and
    /// handed to the listener. Never waits and never fails.
    pub fn record(&self, code: Code, category: Category, message: &str) {
        let message = cut(message);
        let occurrence =
            Occurrence { at: self.clock.wall(), code, category, message: message.into() };
        if category == Category::Critical {
            tracing::error!(code = code.name(), category = category.name(), "{message}");
            self.tell(occurrence.clone());
        }
        self.tally(category).add(self.clock.now(), occurrence);
    }

    /// Starts handing critical errors to the returned receiver: a webhook's thread, say. At most
    /// `queue_max` wait in it; further ones are counted by [`Tracker::unheard`] instead. A later
    /// call takes the place of an earlier one.
    #[must_use]
    pub fn listen(&self, queue_max: usize) -> Receiver<Occurrence> {
        let (sender, receiver) = sync_channel(queue_max);
        *lock(&self.listener) = Some(sender);
        receiver
    }

    /// Critical errors that a listener had no room for.
    #[must_use]
    pub fn unheard(&self) -> u64 {
        self.unheard.load(Ordering::Relaxed)
    }

    /// Errors of one category since the start.
    #[must_use]
    pub fn total(&self, category: Category) -> u64 {
        self.tally(category).total
    }

    /// What is known, one report for each category in their order.
    #[must_use]
    pub fn report(&self) -> [CategoryReport; Category::ALL.len()] {
        let now = self.clock.now();
        Category::ALL.map(|category| self.tally(category).report(now, category))
    }

    fn tell(&self, occurrence: Occurrence) {
        let mut listener = lock(&self.listener);
        match listener.as_ref().map(|sender| sender.try_send(occurrence)) {
            None | Some(Ok(())) => {}
            Some(Err(TrySendError::Full(_))) => _ = self.unheard.fetch_add(1, Ordering::Relaxed),
            Some(Err(TrySendError::Disconnected(_))) => *listener = None,
        }
    }

    fn tally(&self, category: Category) -> MutexGuard<'_, Tally> {
        let at = match category {
            Category::Transient => 0,
            Category::Permanent => 1,
            Category::Critical => 2,
            Category::Validation => 3,
            Category::Network => 4,
        };
        lock(&self.categories[at])
    }
}

/// Counts stay right when a thread panics between two of them, so a poisoned lock is usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first [`MESSAGE_BYTES_MAX`] bytes, less a character that they would cut.
fn cut(message: &str) -> &str {
    message.get(..message.floor_char_boundary(MESSAGE_BYTES_MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;

    #[derive(Debug, Default)]
    struct TestClock(AtomicU64);

    impl TestClock {
        fn pass(&self, by: Duration) {
            self.0.fetch_add(u64::try_from(by.as_nanos()).unwrap(), Ordering::Relaxed);
        }
    }

    impl Clock for TestClock {
        fn now(&self) -> Instant {
            Instant(self.0.load(Ordering::Relaxed))
        }

        fn wall(&self) -> WallMs {
            WallMs(self.0.load(Ordering::Relaxed) / 1_000_000)
        }
    }

    fn tracker() -> (Arc<TestClock>, Tracker) {
        let clock = Arc::new(TestClock::default());
        (clock.clone(), Tracker::new(clock))
    }

    fn rate(tracker: &Tracker) -> f64 {
        tracker.report()[0].per_second
    }

    #[test]
    fn categories_are_counted_apart_and_keep_their_last_error() {
        let (clock, tracker) = tracker();
        tracker.record(Code::QueueFull, Category::Transient, "first");
        clock.pass(Duration::from_millis(1500));
        tracker.record(Code::QueueFull, Category::Transient, "second");
        tracker.record(Code::FileRead, Category::Permanent, "third");
        for (i, report) in tracker.report().into_iter().enumerate() {
            assert_eq!(report.category, Category::ALL[i]);
            assert_eq!(report.total, [2, 1, 0, 0, 0][i]);
            assert_eq!(report.total, tracker.total(report.category));
            let last = report.last.map(|last| (last.at, last.code, last.message));
            let expected = match i {
                0 => Some((WallMs(1500), Code::QueueFull, "second".into())),
                1 => Some((WallMs(1500), Code::FileRead, "third".into())),
                _ => None,
            };
            assert_eq!(last, expected);
        }
    }

    #[test]
    fn the_rate_forgets_what_is_older_than_a_minute() {
        let (clock, tracker) = tracker();
        let close = |rate: f64, events: f64| assert!((rate - events / 60.0).abs() < 1e-9, "{rate}");
        for _ in 0..30 {
            tracker.record(Code::Timeout, Category::Transient, "");
        }
        close(rate(&tracker), 30.0);
        clock.pass(Duration::from_secs(59));
        tracker.record(Code::Timeout, Category::Transient, "");
        close(rate(&tracker), 31.0);
        clock.pass(Duration::from_secs(1));
        close(rate(&tracker), 1.0);
        clock.pass(Duration::from_secs(100_000));
        close(rate(&tracker), 0.0);
        tracker.record(Code::Timeout, Category::Transient, "");
        close(rate(&tracker), 1.0);
        assert_eq!(tracker.total(Category::Transient), 32);
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let (_, tracker) = tracker();
        tracker.record(Code::Internal, Category::Permanent, &"é".repeat(1000));
        tracker.record(Code::Internal, Category::Network, &format!("x{}", "é".repeat(1000)));
        let [_, even, _, _, odd] = tracker.report().map(|r| r.last.map(|l| l.message.len()));
        assert_eq!((even, odd), (Some(256), Some(255)));
    }

    #[test]
    fn a_listener_hears_critical_errors_and_cannot_hold_anybody_up() {
        let (_, tracker) = tracker();
        tracker.record(Code::FileSync, Category::Critical, "nobody listens yet");
        let events = tracker.listen(2);
        tracker.record(Code::Timeout, Category::Transient, "not critical");
        for text in ["one", "two", "three"] {
            tracker.record(Code::FileSync, Category::Critical, text);
        }
        let heard: Vec<_> = events.try_iter().map(|o| o.message).collect();
        assert_eq!(heard, ["one".into(), "two".into()]);
        assert_eq!((tracker.unheard(), tracker.total(Category::Critical)), (1, 4));
        drop(events);
        tracker.record(Code::FileSync, Category::Critical, "gone");
        assert_eq!(tracker.unheard(), 1);
    }

    /// Counts log entries at level ERROR.
    struct CountErrors(Arc<AtomicU64>);

    impl tracing::Subscriber for CountErrors {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            if *event.metadata().level() == tracing::Level::ERROR {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }

        fn enter(&self, _: &tracing::span::Id) {}

        fn exit(&self, _: &tracing::span::Id) {}
    }

    #[test]
    fn a_critical_error_is_a_log_entry_of_its_own() {
        let entries = Arc::new(AtomicU64::new(0));
        tracing::subscriber::with_default(CountErrors(entries.clone()), || {
            let (_, tracker) = tracker();
            for category in Category::ALL {
                tracker.record(Code::Internal, category, "text");
            }
        });
        assert_eq!(entries.load(Ordering::Relaxed), 1);
    }
}
