//! The order of shutdown, as data and a state machine. It does nothing itself: the engine asks
//! which phase it is in, does what the phase's row says, and reports when that is finished.
//!
//! | phase | ends after | what happens |
//! |---|---|---|
//! | drain | 5 s | new work is refused; queues are drained |
//! | finish | 25 s | what is in flight is finished; what still waits is answered `PoolStopped` |
//! | close | 30 s | checkpoint, sync, close |
//! | ended | – | the process ends; what was not finished is cut off, with a warning |
//!
//! The times belong to a `shutdown_timeout` of 30 s and scale with it. A phase whose work is
//! finished early gives way to the next one at once. A second signal ends everything at once. What
//! has been acknowledged survives even that: recovery is the same as after a crash.
//!
//! Invariant: the phase never goes back. Start with [`Shutdown`].

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{ClockRef, Instant};

/// What `shutdown_timeout` is unless set.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// A stage in the life of the process, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// No signal yet: work is accepted.
    Serving,
    /// New work is refused, queues are drained.
    Drain,
    /// What is in flight is finished.
    Finish,
    /// Checkpoint, sync, close.
    Close,
    /// Over: the process is to end now.
    Ended,
}

/// One row of the table: a phase, and when it ends at the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The phase.
    pub phase: Phase,
    /// The end, in thirtieths of the timeout since the first signal.
    pub ends_at_thirtieths: u32,
}

/// The phases of a shutdown, in order.
pub const TABLE: [Row; 3] = [
    Row { phase: Phase::Drain, ends_at_thirtieths: 5 },
    Row { phase: Phase::Finish, ends_at_thirtieths: 25 },
    Row { phase: Phase::Close, ends_at_thirtieths: 30 },
];

impl Row {
    /// When the phase ends at the latest, since the first signal.
    #[must_use]
    pub fn ends_at(&self, timeout: Duration) -> Duration {
        let exact = timeout.checked_mul(self.ends_at_thirtieths).map(|product| product / 30);
        // Only a timeout of billions of years overflows; rounding it does not matter.
        exact.unwrap_or(timeout / 30 * self.ends_at_thirtieths)
    }
}

/// How a shutdown ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Everything was finished and closed.
    Clean,
    /// The timeout passed first.
    TimedOut,
    /// A second signal came first.
    Forced,
}

impl Outcome {
    /// The exit code of the process: 0 clean, 3 timed out, 4 forced. 1 and 2 are those of other
    /// failures and of a wrong command line.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::TimedOut => 3,
            Self::Forced => 4,
        }
    }
}

/// The state of a shutdown. Shared: signal handlers call [`Shutdown::signal`], the engine
/// [`Shutdown::phase`] and [`Shutdown::finished`].
#[derive(Debug)]
pub struct Shutdown {
    clock: ClockRef,
    timeout: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// When the first signal came.
    began: Option<Instant>,
    outcome: Option<Outcome>,
}

impl State {
    /// Moves on to the phase that the time demands, if it is a later one.
    fn advance(&mut self, now: Instant, timeout: Duration) {
        let Some(began) = self.began else { return };
        let elapsed = now.since(began);
        let due = TABLE.iter().find(|row| elapsed < row.ends_at(timeout)).map(|row| row.phase);
        match due {
            Some(phase) => self.phase = self.phase.max(phase),
            None => self.end(Outcome::TimedOut),
        }
    }

    /// Ends the shutdown; the first outcome stands.
    fn end(&mut self, outcome: Outcome) {
        self.phase = Phase::Ended;
        self.outcome.get_or_insert(outcome);
    }
}

impl Shutdown {
    /// A process that serves, and will have `timeout` to end once told to.
    #[must_use]
    pub fn new(clock: ClockRef, timeout: Duration) -> Self {
        let state = State { phase: Phase::Serving, began: None, outcome: None };
        Self { clock, timeout, state: Mutex::new(state) }
    }

    /// Takes note of a signal (or of the command to shut down): the first begins the shutdown,
    /// the second ends it at once. Returns the phase after it.
    pub fn signal(&self) -> Phase {
        let mut state = self.advanced();
        if state.began.is_none() {
            state.began = Some(self.clock.now());
            state.phase = Phase::Drain;
            // A timeout of zero leaves no time even for the first phase.
            state.advance(self.clock.now(), self.timeout);
        } else {
            state.end(Outcome::Forced);
        }
        state.phase
    }

    /// Takes note that the work of `phase` is finished, and goes on to the next one; does nothing
    /// when `phase` is not the current one (its time may have run out meanwhile), nor while
    /// serving. Returns the phase after it.
    pub fn finished(&self, phase: Phase) -> Phase {
        let mut state = self.advanced();
        if state.phase == phase {
            match phase {
                Phase::Drain => state.phase = Phase::Finish,
                Phase::Finish => state.phase = Phase::Close,
                Phase::Close => state.end(Outcome::Clean),
                Phase::Serving | Phase::Ended => {}
            }
        }
        state.phase
    }

    /// The phase at this moment.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.advanced().phase
    }

    /// How long the current phase may still last: as long as somebody may wait for its work. None
    /// while serving, zero once ended.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        let now = self.clock.now();
        let state = self.advanced();
        let began = state.began?;
        let row = TABLE.iter().find(|row| row.phase == state.phase);
        let ends = row.map_or(Duration::ZERO, |row| row.ends_at(self.timeout));
        Some(ends.saturating_sub(now.since(began)))
    }

    /// How the shutdown ended; none before it has.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.advanced().outcome
    }

    fn advanced(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.advance(self.clock.now(), self.timeout);
        state
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::clock::{Clock, WallMs};

    #[derive(Debug, Default)]
    struct TestClock(AtomicU64);

    impl Clock for TestClock {
        fn now(&self) -> Instant {
            Instant(self.0.load(Ordering::Relaxed))
        }

        fn wall(&self) -> WallMs {
            WallMs(0)
        }
    }

    /// What happens to a shutdown, in milliseconds of the clock.
    enum Event {
        At(u64),
        Signal,
        Finished(Phase),
    }

    use Event::{At, Finished, Signal};

    #[track_caller]
    fn check(timeout: Duration, events: &[(Event, Phase)], outcome: Option<Outcome>) {
        let clock = Arc::new(TestClock::default());
        let shutdown = Shutdown::new(clock.clone(), timeout);
        for (i, (event, expected)) in events.iter().enumerate() {
            let phase = match event {
                At(ms) => {
                    clock.0.store(ms * 1_000_000, Ordering::Relaxed);
                    shutdown.phase()
                }
                Signal => shutdown.signal(),
                Finished(phase) => shutdown.finished(*phase),
            };
            assert_eq!(phase, *expected, "event {i}");
            assert_eq!(shutdown.phase(), *expected, "event {i}, asked again");
            assert_eq!(shutdown.outcome().is_some(), phase == Phase::Ended, "event {i}");
        }
        assert_eq!(shutdown.outcome(), outcome);
    }

    #[test]
    fn phases_end_at_their_times_when_nothing_finishes() {
        for (timeout, scale) in [(TIMEOUT_DEFAULT, 1000), (Duration::from_secs(3), 100)] {
            let events = [
                (At(7), Phase::Serving),
                (At(1_000_000), Phase::Serving),
                (Signal, Phase::Drain),
                (At(1_000_000 + 5 * scale - 1), Phase::Drain),
                (At(1_000_000 + 5 * scale), Phase::Finish),
                (At(1_000_000 + 25 * scale - 1), Phase::Finish),
                (At(1_000_000 + 25 * scale), Phase::Close),
                (At(1_000_000 + 30 * scale - 1), Phase::Close),
                (At(1_000_000 + 30 * scale), Phase::Ended),
                (Finished(Phase::Close), Phase::Ended),
            ];
            check(timeout, &events, Some(Outcome::TimedOut));
        }
    }

    #[test]
    fn work_that_is_finished_early_ends_its_phase() {
        let events = [
            (Finished(Phase::Serving), Phase::Serving),
            (Signal, Phase::Drain),
            (Finished(Phase::Close), Phase::Drain),
            (Finished(Phase::Drain), Phase::Finish),
            (Finished(Phase::Drain), Phase::Finish),
            (At(6000), Phase::Finish),
            (Finished(Phase::Finish), Phase::Close),
            (At(24_999), Phase::Close),
            (Finished(Phase::Close), Phase::Ended),
            (At(100_000), Phase::Ended),
            (Signal, Phase::Ended),
        ];
        check(TIMEOUT_DEFAULT, &events, Some(Outcome::Clean));
    }

    #[test]
    fn a_second_signal_forces_the_end_in_every_phase() {
        for at in [0, 5000, 25_000] {
            let phase = Phase::Ended;
            let clock_at = match at {
                0 => Phase::Drain,
                5000 => Phase::Finish,
                _ => Phase::Close,
            };
            let events = [(Signal, Phase::Drain), (At(at), clock_at), (Signal, phase)];
            check(TIMEOUT_DEFAULT, &events, Some(Outcome::Forced));
        }
    }

    #[test]
    fn a_jump_of_the_clock_skips_phases_and_a_late_report_changes_nothing() {
        let events = [
            (Signal, Phase::Drain),
            (At(26_000), Phase::Close),
            (Finished(Phase::Drain), Phase::Close),
            (At(31_000), Phase::Ended),
            (Signal, Phase::Ended),
        ];
        check(TIMEOUT_DEFAULT, &events, Some(Outcome::TimedOut));
    }

    #[test]
    fn no_timeout_is_too_short_or_too_long() {
        check(Duration::ZERO, &[(Signal, Phase::Ended)], Some(Outcome::TimedOut));
        check(Duration::MAX, &[(Signal, Phase::Drain), (At(1 << 40), Phase::Drain)], None);
    }

    #[test]
    fn the_time_left_is_that_of_the_phase() {
        let clock = Arc::new(TestClock::default());
        let shutdown = Shutdown::new(clock.clone(), TIMEOUT_DEFAULT);
        assert_eq!(shutdown.time_left(), None);
        shutdown.signal();
        clock.0.store(1_000_000_000, Ordering::Relaxed);
        assert_eq!(shutdown.time_left(), Some(Duration::from_secs(4)));
        shutdown.finished(Phase::Drain);
        assert_eq!(shutdown.time_left(), Some(Duration::from_secs(24)));
        shutdown.signal();
        assert_eq!(shutdown.time_left(), Some(Duration::ZERO));
    }

    #[test]
    fn every_outcome_has_an_exit_code_of_its_own() {
        let codes = [Outcome::Clean, Outcome::TimedOut, Outcome::Forced].map(Outcome::exit_code);
        assert_eq!(codes, [0, 3, 4]);
    }

    #[test]
    fn the_table_is_in_order_and_ends_with_the_timeout() {
        assert!(TABLE.is_sorted_by(
            |a, b| a.phase < b.phase && a.ends_at(TIMEOUT_DEFAULT) < b.ends_at(TIMEOUT_DEFAULT)
        ));
        assert_eq!(TABLE.last().map(|row| row.ends_at(TIMEOUT_DEFAULT)), Some(TIMEOUT_DEFAULT));
    }
}
