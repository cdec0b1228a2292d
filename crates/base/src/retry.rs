//! Trying again, with waits that grow: for failures that may go away by themselves, and only for
//! those ([`Category::retryable`]).
//!
//! **Never put a sync inside.** A failed `fsync` marks the pages clean: the next one succeeds and
//! proves nothing. See [`crate::io`]. Nor is this for workers, which never wait: it is for the
//! threads of background jobs and for clients.
//!
//! The waits are a pure function of a [`Policy`] and a generator; who waits, and what can
//! interrupt it, is a [`Waiter`]. Start with [`run`].
//!
//! [`Category::retryable`]: crate::error::Category::retryable

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::error::Coded;
use crate::rng::Rng;

/// How often to try and how long to wait in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The first wait, before jitter; each next one is twice as long.
    pub first: Duration,
    /// The longest wait, before jitter.
    pub longest: Duration,
    /// How many tries in all, the first included. 0 counts as 1.
    pub tries: u32,
    /// By how many per cent a wait may be longer or shorter, drawn evenly. At most 100.
    pub jitter_percent: u32,
}

impl Policy {
    /// 10 ms doubling up to 1 s, 5 tries, ± 25 %.
    pub const DEFAULT: Policy = Policy {
        first: Duration::from_millis(10),
        longest: Duration::from_secs(1),
        tries: 5,
        jitter_percent: 25,
    };

    /// The waits between the tries: one fewer than there are tries. The same generator gives the
    /// same waits.
    #[must_use]
    pub fn waits(&self, rng: Rng) -> Waits {
        Waits { next: self.first, left: self.tries.saturating_sub(1), policy: *self, rng }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The waits of a [`Policy`], jitter included.
#[derive(Debug, Clone)]
pub struct Waits {
    policy: Policy,
    next: Duration,
    left: u32,
    rng: Rng,
}

impl Iterator for Waits {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let base = self.next.min(self.policy.longest);
        self.next = base.saturating_mul(2);
        let nanos = u64::try_from(base.as_nanos()).unwrap_or(u64::MAX);
        let spread = nanos / 100 * u64::from(self.policy.jitter_percent.min(100));
        let jitter = self.rng.below(spread.saturating_mul(2).saturating_add(1));
        Some(Duration::from_nanos((nanos - spread).saturating_add(jitter)))
    }
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// The time is over.
    Elapsed,
    /// Somebody needs the waiting thread to stop.
    Interrupted,
}

/// Who does the waiting.
pub trait Waiter {
    /// Waits for `time`, or until interrupted.
    fn wait(&self, time: Duration) -> Waited;
}

/// Waits on a condition, so that shutdown can interrupt it. Shared between threads.
#[derive(Debug, Default)]
pub struct InterruptibleWaiter {
    interrupted: Mutex<bool>,
    changed: Condvar,
}

impl InterruptibleWaiter {
    /// A waiter that nobody has interrupted.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the waits that are going on and all that would follow.
    pub fn interrupt(&self) {
        *self.interrupted.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}

impl Waiter for InterruptibleWaiter {
    fn wait(&self, time: Duration) -> Waited {
        let interrupted = self.interrupted.lock().unwrap_or_else(PoisonError::into_inner);
        let (interrupted, _) = self
            .changed
            .wait_timeout_while(interrupted, time, |interrupted| !*interrupted)
            .unwrap_or_else(PoisonError::into_inner);
        if *interrupted { Waited::Interrupted } else { Waited::Elapsed }
    }
}

/// Calls `attempt` until it succeeds, fails for good, has been tried often enough, or the waiter
/// is interrupted. `attempt` gets the number of tries before it.
///
/// # Errors
/// The error of the last try.
pub fn run<T, E: Coded>(
    policy: &Policy,
    rng: Rng,
    waiter: &dyn Waiter,
    mut attempt: impl FnMut(u32) -> Result<T, E>,
) -> Result<T, E> {
    let mut waits = policy.waits(rng);
    let mut tries = 0;
    loop {
        let error = match attempt(tries) {
            Ok(value) => return Ok(value),
            Err(error) if !error.retryable() => return Err(error),
            Err(error) => error,
        };
        tries += 1;
        match waits.next().map(|time| waiter.wait(time)) {
            Some(Waited::Elapsed) => {}
            Some(Waited::Interrupted) | None => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::Arc;

    use super::*;
    use crate::error::{Category, Code};

    #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
    #[error("failed")]
    struct Failed(Category);

    impl Coded for Failed {
        fn code(&self) -> Code {
            Code::Internal
        }

        fn category(&self) -> Category {
            self.0
        }
    }

    /// Notes the waits and lets `patience` of them pass.
    struct Noted {
        waits: RefCell<Vec<Duration>>,
        patience: usize,
    }

    impl Noted {
        fn new(patience: usize) -> Self {
            Self { waits: RefCell::default(), patience }
        }
    }

    impl Waiter for Noted {
        fn wait(&self, time: Duration) -> Waited {
            let mut waits = self.waits.borrow_mut();
            waits.push(time);
            if waits.len() > self.patience { Waited::Interrupted } else { Waited::Elapsed }
        }
    }

    /// Fails as `failure` says until `successes_after` tries; returns the result and the tries.
    fn tries(failure: Category, succeeds_after: u32, waiter: &Noted) -> (Result<u32, Failed>, u32) {
        let mut count = 0;
        let result = run(&Policy::DEFAULT, Rng::new(1), waiter, |before| {
            assert_eq!(before, count);
            count += 1;
            if before >= succeeds_after { Ok(before) } else { Err(Failed(failure)) }
        });
        (result, count)
    }

    #[test]
    fn waits_double_up_to_the_longest_and_stay_within_the_jitter() {
        let policy = Policy { tries: 12, ..Policy::DEFAULT };
        let bases = [10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000, 1000];
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let waits: Vec<_> = policy.waits(Rng::new(seed)).collect();
            assert_eq!(waits.len(), bases.len());
            for (wait, base) in waits.iter().zip(bases.map(Duration::from_millis)) {
                assert!(*wait >= base * 3 / 4 && *wait <= base * 5 / 4, "{wait:?} of {base:?}");
            }
            seen.insert(waits[0]);
        }
        let (first, last) = (seen.first().copied(), seen.last().copied());
        assert!(first < Some(Duration::from_micros(8000)), "{first:?}");
        assert!(last > Some(Duration::from_micros(12_000)), "{last:?}");
        assert!(policy.waits(Rng::new(3)).eq(policy.waits(Rng::new(3))));
    }

    #[test]
    fn a_policy_of_extremes_neither_overflows_nor_waits_after_the_last_try() {
        let extreme = Policy {
            first: Duration::MAX,
            longest: Duration::MAX,
            tries: 3,
            jitter_percent: u32::MAX,
        };
        assert_eq!(extreme.waits(Rng::new(1)).count(), 2);
        for tries in [0, 1] {
            assert_eq!(Policy { tries, ..Policy::DEFAULT }.waits(Rng::new(1)).count(), 0);
        }
        let none = Policy { jitter_percent: 0, ..Policy::DEFAULT };
        let waits: Vec<_> = none.waits(Rng::new(1)).map(|w| w.as_millis()).collect();
        assert_eq!(waits, [10, 20, 40, 80]);
    }

    #[test]
    fn only_failures_that_may_pass_are_tried_again() {
        for (failure, expected) in [
            (Category::Transient, 5),
            (Category::Network, 5),
            (Category::Permanent, 1),
            (Category::Critical, 1),
            (Category::Validation, 1),
        ] {
            let waiter = Noted::new(100);
            let (result, count) = tries(failure, 100, &waiter);
            assert_eq!((result, count), (Err(Failed(failure)), expected));
            assert_eq!(waiter.waits.borrow().len() + 1, expected as usize);
        }
        assert_eq!(tries(Category::Transient, 2, &Noted::new(100)), (Ok(2), 3));
    }

    #[test]
    fn an_interrupted_wait_ends_the_tries() {
        let failed = Err(Failed(Category::Network));
        assert_eq!(tries(Category::Network, 100, &Noted::new(1)), (failed, 2));
    }

    #[test]
    fn interrupting_ends_a_wait_that_is_going_on_and_those_after_it() {
        let waiter = Arc::new(InterruptibleWaiter::new());
        assert_eq!(waiter.wait(Duration::ZERO), Waited::Elapsed);
        let theirs = waiter.clone();
        let day = Duration::from_secs(86_400);
        let waiting = crate::workers::spawn("waiting", move || theirs.wait(day)).unwrap();
        waiter.interrupt();
        assert_eq!(waiting.join().unwrap(), Waited::Interrupted);
        assert_eq!(waiter.wait(day), Waited::Interrupted);
    }
}
