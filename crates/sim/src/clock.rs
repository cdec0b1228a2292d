//! Time that moves only when a test moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::clock::{Clock, ClockRef, Instant, WallMs};

/// A clock moved by hand. Clones show the same time.
///
/// The monotonic side only goes forward; the wall side can be set to anything, as an operator
/// would.
#[derive(Debug, Clone, Default)]
pub struct VirtualClock {
    hands: Arc<Hands>,
}

#[derive(Debug, Default)]
struct Hands {
    now_ns: AtomicU64,
    wall_ns: AtomicU64,
}

const NS_PER_MS: u64 = 1_000_000;

impl VirtualClock {
    /// A clock whose monotonic side stands at 0 and whose wall side shows `wall`.
    #[must_use]
    pub fn new(wall: WallMs) -> Self {
        let clock = Self::default();
        clock.set_wall(wall);
        clock
    }

    /// This clock as the stores take it.
    #[must_use]
    pub fn shared(&self) -> ClockRef {
        Arc::new(self.clone())
    }

    /// Lets `by` pass on both sides.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        for hand in [&self.hands.now_ns, &self.hands.wall_ns] {
            let add = |ns: u64| Some(ns.saturating_add(by));
            // The closure never answers `None`, so the update cannot fail.
            _ = hand.fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
        }
    }

    /// Sets the wall side, forward or back; the monotonic side does not notice.
    pub fn set_wall(&self, wall: WallMs) {
        self.hands.wall_ns.store(wall.0.saturating_mul(NS_PER_MS), Ordering::Release);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        Instant(self.hands.now_ns.load(Ordering::Acquire))
    }

    fn wall(&self) -> WallMs {
        WallMs(self.hands.wall_ns.load(Ordering::Acquire) / NS_PER_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stands_until_it_is_moved() {
        let clock = VirtualClock::new(WallMs(5000));
        assert_eq!((clock.now(), clock.wall()), (Instant(0), WallMs(5000)));
        clock.advance(Duration::from_micros(1500));
        assert_eq!((clock.now(), clock.wall()), (Instant(1_500_000), WallMs(5001)));
    }

    #[test]
    fn the_wall_side_can_go_back_and_the_monotonic_side_does_not_notice() {
        let clock = VirtualClock::new(WallMs(5000));
        let seen_by_a_store = clock.shared();
        clock.advance(Duration::from_secs(1));
        clock.set_wall(WallMs(10));
        assert_eq!(seen_by_a_store.wall(), WallMs(10));
        assert_eq!(seen_by_a_store.now(), Instant(1_000_000_000));
    }
}
