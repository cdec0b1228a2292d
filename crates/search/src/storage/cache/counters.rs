//! What came from the cache and what had to be fetched.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of reads, for one object or for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Blocks that were in the cache.
    pub hits: u64,
    /// Blocks that were not.
    pub misses: u64,
    /// Bytes that readers were given.
    pub bytes_read: u64,
    /// Bytes that were fetched from the store.
    pub bytes_fetched: u64,
    /// Calls of the store.
    pub round_trips: u64,
}

impl Counters {
    /// The share of blocks that were in the cache; none when nothing was read.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
    pub fn hit_ratio(&self) -> Option<f64> {
        let all = self.hits.saturating_add(self.misses);
        (all > 0).then(|| self.hits as f64 / all as f64)
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            hits: self.hits.saturating_add(other.hits),
            misses: self.misses.saturating_add(other.misses),
            bytes_read: self.bytes_read.saturating_add(other.bytes_read),
            bytes_fetched: self.bytes_fetched.saturating_add(other.bytes_fetched),
            round_trips: self.round_trips.saturating_add(other.round_trips),
        }
    }

    /// The temperature of what was read: how much of it was in the cache.
    #[must_use]
    pub fn temperature(&self) -> Temperature {
        Temperature::of(self.hits, self.hits.saturating_add(self.misses))
    }

    /// What was counted since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Counters) -> Counters {
        Counters {
            hits: self.hits.saturating_sub(earlier.hits),
            misses: self.misses.saturating_sub(earlier.misses),
            bytes_read: self.bytes_read.saturating_sub(earlier.bytes_read),
            bytes_fetched: self.bytes_fetched.saturating_sub(earlier.bytes_fetched),
            round_trips: self.round_trips.saturating_sub(earlier.round_trips),
        }
    }
}

/// The counting side.
#[derive(Debug, Default)]
pub(super) struct Meter {
    hits: AtomicU64,
    misses: AtomicU64,
    bytes_read: AtomicU64,
    bytes_fetched: AtomicU64,
    round_trips: AtomicU64,
}

impl Meter {
    pub(super) fn add(&self, more: &Counters) {
        // Each is a number of its own: no order between them is promised.
        self.hits.fetch_add(more.hits, Ordering::Relaxed);
        self.misses.fetch_add(more.misses, Ordering::Relaxed);
        self.bytes_read.fetch_add(more.bytes_read, Ordering::Relaxed);
        self.bytes_fetched.fetch_add(more.bytes_fetched, Ordering::Relaxed);
        self.round_trips.fetch_add(more.round_trips, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Counters {
        Counters {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bytes_read: self.bytes_read.load(Ordering::Relaxed),
            bytes_fetched: self.bytes_fetched.load(Ordering::Relaxed),
            round_trips: self.round_trips.load(Ordering::Relaxed),
        }
    }
}

/// How much of something is in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Temperature {
    /// Less than a tenth.
    Cold,
    /// Some of it.
    Warm,
    /// Nine tenths and more.
    Hot,
}

impl Temperature {
    /// The temperature of something of which `part` of `whole` is in the cache. Nothing at all is hot.
    #[must_use]
    pub fn of(part: u64, whole: u64) -> Self {
        let (part, whole) = (u128::from(part), u128::from(whole));
        if part * 10 >= whole * 9 {
            Self::Hot
        } else if part * 10 >= whole {
            Self::Warm
        } else {
            Self::Cold
        }
    }

    /// The name, as in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Warm => "warm",
            Self::Hot => "hot",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temperature_goes_by_tenths() {
        for (part, whole, expect) in [
            (0, 0, "hot"),
            (0, 1, "cold"),
            (9, 100, "cold"),
            (10, 100, "warm"),
            (89, 100, "warm"),
            (90, 100, "hot"),
            (u64::MAX, u64::MAX, "hot"),
        ] {
            assert_eq!(Temperature::of(part, whole).name(), expect, "{part} of {whole}");
        }
    }

    #[test]
    fn a_ratio_needs_something_read() {
        assert_eq!(Counters::default().hit_ratio(), None);
        let counters = Counters { hits: 3, misses: 1, ..Counters::default() };
        assert_eq!(counters.hit_ratio(), Some(0.75));
        assert_eq!(counters.since(&counters), Counters::default());
        assert_eq!(counters.and(counters).hit_ratio(), Some(0.75));
        assert_eq!(counters.temperature(), Temperature::Warm);
        assert_eq!(Counters::default().temperature(), Temperature::Hot);
    }
}
