//! The end of the process, step by step: what is done in which phase of [`base::shutdown`].
//!
//! A step that does not end in time is left to itself and the next phase begins; a second signal
//! leaves everything. What has been acknowledged survives either.

use std::time::Duration;

use base::shutdown::{Outcome, Phase, Shutdown};
use tokio::sync::Notify;

/// What can be asked of what serves.
pub(super) trait Parts {
    /// Refuses new work everywhere. Does not wait.
    fn refuse(&self);

    /// Ends when nothing waits or runs any more.
    async fn drained(&self);

    /// Ends when every answer has been sent.
    async fn finished(&self);

    /// Takes checkpoints and closes everything; ends when that is done.
    async fn closed(&self);
}

/// How often it is looked whether the time of a phase is over, at least and at most.
const LOOK_MIN: Duration = Duration::from_millis(1);
const LOOK_MAX: Duration = Duration::from_millis(100);

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Connections, requests and operations that are new are refused.
    Refuse,
    /// What waits in queues is done.
    Drain,
    /// What is in flight is answered.
    Finish,
    /// Checkpoint, sync, close.
    Close,
}

/// The order.
pub(super) const ORDER: [(Phase, Step); 4] = [
    (Phase::Drain, Step::Refuse),
    (Phase::Drain, Step::Drain),
    (Phase::Finish, Step::Finish),
    (Phase::Close, Step::Close),
];

/// Carries the order out; `forced` is told when a second signal came.
pub(super) async fn stop(shutdown: &Shutdown, forced: &Notify, parts: &impl Parts) -> Outcome {
    for (at, (phase, step)) in ORDER.iter().enumerate() {
        let ended = tokio::select! {
            () = carry_out(*step, parts) => true,
            () = overtaken(shutdown, *phase) => false,
            () = forced.notified() => false,
        };
        if !ended {
            tracing::warn!(?step, "not finished in its time");
        }
        let is_last = ORDER.get(at + 1).is_none_or(|(next, _)| next != phase);
        if ended && is_last {
            shutdown.finished(*phase);
        }
        if let Some(outcome) = shutdown.outcome() {
            return outcome;
        }
    }
    // Every row was carried out or overtaken, and the last ends the shutdown either way.
    shutdown.outcome().unwrap_or(Outcome::TimedOut)
}

async fn carry_out(step: Step, parts: &impl Parts) {
    match step {
        Step::Refuse => parts.refuse(),
        Step::Drain => parts.drained().await,
        Step::Finish => parts.finished().await,
        Step::Close => parts.closed().await,
    }
}

/// Ends when the time of `phase` is over.
async fn overtaken(shutdown: &Shutdown, phase: Phase) {
    while shutdown.phase() <= phase {
        let left = shutdown.time_left().unwrap_or_default();
        tokio::time::sleep(left.clamp(LOOK_MIN, LOOK_MAX)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    use base::clock::{Clock, Instant, WallMs};
    use base::shutdown::TABLE;

    use super::*;

    /// Time that passes when a step takes it.
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

    struct Fake {
        clock: Arc<TestClock>,
        done: Mutex<Vec<(Step, Phase)>>,
        shutdown: Arc<Shutdown>,
        /// A step that never ends, and the second at which the clock stands then.
        hangs: Option<(Step, u64)>,
    }

    impl Fake {
        async fn step(&self, step: Step) {
            self.done.lock().unwrap().push((step, self.shutdown.phase()));
            if let Some((hangs, seconds)) = self.hangs
                && hangs == step
            {
                self.clock.0.store(seconds * 1_000_000_000, Ordering::Relaxed);
                std::future::pending::<()>().await;
            }
        }
    }

    impl Parts for Fake {
        fn refuse(&self) {
            self.done.lock().unwrap().push((Step::Refuse, self.shutdown.phase()));
        }

        async fn drained(&self) {
            self.step(Step::Drain).await;
        }

        async fn finished(&self) {
            self.step(Step::Finish).await;
        }

        async fn closed(&self) {
            self.step(Step::Close).await;
        }
    }

    fn check(hangs: Option<(Step, u64)>, is_forced: bool, expected: Outcome) -> Vec<(Step, Phase)> {
        let clock = Arc::new(TestClock::default());
        let shutdown = Arc::new(Shutdown::new(clock.clone(), Duration::from_secs(30)));
        shutdown.signal();
        let forced = Notify::new();
        if is_forced {
            shutdown.signal();
            forced.notify_one();
        }
        let done = Mutex::default();
        let fake = Fake { clock, done, shutdown: Arc::clone(&shutdown), hangs };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        assert_eq!(runtime.block_on(stop(&shutdown, &forced, &fake)), expected);
        fake.done.into_inner().unwrap()
    }

    const ALL: [(Step, Phase); 4] = [
        (Step::Refuse, Phase::Drain),
        (Step::Drain, Phase::Drain),
        (Step::Finish, Phase::Finish),
        (Step::Close, Phase::Close),
    ];

    #[test]
    fn every_step_is_carried_out_in_its_phase() {
        assert_eq!(check(None, false, Outcome::Clean), ALL);
    }

    #[test]
    fn a_step_that_does_not_end_gives_way_to_the_next_phase() {
        assert_eq!(check(Some((Step::Drain, 5)), false, Outcome::Clean), ALL);
        assert_eq!(check(Some((Step::Finish, 25)), false, Outcome::Clean), ALL);
        assert_eq!(check(Some((Step::Close, 30)), false, Outcome::TimedOut), ALL);
        // A drain that took the time of all leaves none to close.
        let done = check(Some((Step::Drain, 31)), false, Outcome::TimedOut);
        assert_eq!(done, ALL[..2]);
    }

    #[test]
    fn a_second_signal_leaves_everything() {
        let done = check(Some((Step::Drain, 0)), true, Outcome::Forced);
        assert!(done.len() <= 1, "{done:?}");
    }

    #[test]
    fn the_order_follows_the_phases_and_leaves_none_out() {
        assert!(ORDER.is_sorted_by_key(|(phase, _)| *phase));
        for row in TABLE {
            assert!(ORDER.iter().any(|(phase, _)| *phase == row.phase), "{:?}", row.phase);
        }
    }
}
