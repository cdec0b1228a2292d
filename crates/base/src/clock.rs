//! Time. Nothing else in the project asks the system for it.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// A point on the monotonic clock, in nanoseconds since an arbitrary start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// Time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The point `by` later.
    #[must_use]
    pub fn after(self, by: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Wall-clock time in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WallMs(pub u64);

/// A shared clock.
pub type ClockRef = Arc<dyn Clock>;

/// A source of time.
pub trait Clock: Send + Sync + Debug {
    /// Monotonic time: never goes back.
    fn now(&self) -> Instant;
    /// Wall time: may jump either way when somebody sets the clock.
    fn wall(&self) -> WallMs;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// A clock that starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
    pub fn new() -> Self {
        Self { start: std::time::Instant::now() }
    }

    /// A shared clock that starts now.
    #[must_use]
    pub fn shared() -> ClockRef {
        Arc::new(Self::new())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
    fn wall(&self) -> WallMs {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        WallMs(since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)))
    }
}
