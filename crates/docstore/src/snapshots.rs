//! Which positions readers hold on to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::clock::Instant;
use base::words::Lsn;

use crate::error::{Result, StoreError};

/// Number of a snapshot of an open database. No other snapshot of the process has it, of any database: whoever
/// remembers one of a database that was closed since finds none, and never another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId(pub u64);

#[derive(Debug, Clone, Copy)]
struct Held {
    lsn: Lsn,
    used: Instant,
}

/// The snapshots of a database.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    held: BTreeMap<u64, Held>,
    expired: u64,
}

/// The number that was given last. It stands in no file.
static LAST: AtomicU64 = AtomicU64::new(0);

impl Snapshots {
    /// Holds on to `lsn`.
    pub(crate) fn add(&mut self, lsn: Lsn, now: Instant) -> SnapshotId {
        let id = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        self.held.insert(id, Held { lsn, used: now });
        SnapshotId(id)
    }

    /// The position of a snapshot, which lives for another `ttl` from now on.
    pub(crate) fn touch(&mut self, id: SnapshotId, now: Instant, ttl: Duration) -> Result<Lsn> {
        self.expire(now, ttl);
        let held = self.held.get_mut(&id.0);
        let held = held.ok_or(StoreError::SnapshotExpired("it was not used for too long"))?;
        held.used = now;
        Ok(held.lsn)
    }

    pub(crate) fn remove(&mut self, id: SnapshotId) {
        self.held.remove(&id.0);
    }

    /// Lets go of those that were not used for `ttl`; says whether there were any.
    pub(crate) fn expire(&mut self, now: Instant, ttl: Duration) -> bool {
        let before = self.held.len();
        self.held.retain(|_, held| now.since(held.used) <= ttl);
        self.expired += (before - self.held.len()) as u64;
        before != self.held.len()
    }

    /// Lets go of the oldest: it holds the most.
    pub(crate) fn drop_oldest(&mut self) -> bool {
        let Some(lsn) = self.oldest() else { return false };
        let before = self.held.len();
        self.held.retain(|_, held| held.lsn != lsn);
        self.expired += (before - self.held.len()) as u64;
        true
    }

    /// The lowest position that is held.
    pub(crate) fn oldest(&self) -> Option<Lsn> {
        self.held.values().map(|held| held.lsn).min()
    }

    /// All positions, ascending.
    pub(crate) fn positions(&self) -> Vec<Lsn> {
        let mut positions: Vec<Lsn> = self.held.values().map(|held| held.lsn).collect();
        positions.sort_unstable();
        positions.dedup();
        positions
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// How many were used within `ttl`.
    pub(crate) fn live(&self, now: Instant, ttl: Duration) -> usize {
        self.held.values().filter(|held| now.since(held.used) <= ttl).count()
    }

    pub(crate) fn expired(&self) -> u64 {
        self.expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_lives_as_long_as_it_is_used() {
        let mut all = Snapshots::default();
        let ttl = Duration::from_nanos(10);
        let id = all.add(Lsn(3), Instant(0));
        assert_eq!(all.touch(id, Instant(10), ttl).unwrap(), Lsn(3));
        assert_eq!(all.touch(id, Instant(20), ttl).unwrap(), Lsn(3));
        assert_eq!([30, 31].map(|now| all.live(Instant(now), ttl)), [1, 0]);
        assert!(all.touch(id, Instant(31), ttl).is_err());
        assert_eq!((all.len(), all.expired(), all.oldest()), (0, 1, None));
    }

    #[test]
    fn the_oldest_goes_first() {
        let mut all = Snapshots::default();
        for lsn in [5, 3, 3, 9] {
            all.add(Lsn(lsn), Instant(0));
        }
        assert_eq!(all.positions(), [Lsn(3), Lsn(5), Lsn(9)]);
        assert!(all.drop_oldest());
        assert_eq!(all.positions(), [Lsn(5), Lsn(9)]);
    }
}
