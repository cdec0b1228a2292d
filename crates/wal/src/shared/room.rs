//! Room for what is to be written: claimed before a transaction gets its place, so that a full disk
//! is noticed while nothing depends on it, and told to whoever plans checkpoints.
//!
//! Lock order as in [`super`]: `claiming` is held over the calls to the disk, the queue's lock is not.

use base::words::Lsn;

use super::Shared;
use crate::claims::Spare;
use crate::commit::{Claiming, State};
use crate::error::{Result, WalError};
use crate::segment;
use crate::sync::atomic::Ordering;
use crate::sync::lock;
use crate::transaction::Class;

impl Shared {
    /// Claims space until `bytes` more of this class fit.
    pub(super) fn claim(&self, bytes: u64, class: Class) -> Result<()> {
        let _one = lock(&self.claiming);
        loop {
            self.owe();
            let affords = self.affords();
            let missing = {
                let mut queue = lock(&self.queue);
                queue.admit(None)?;
                if affords {
                    queue.reserved = 0;
                }
                queue.missing(bytes, class)
            };
            if missing == 0 {
                return Ok(());
            }
            let max = self.cx.options.segment_bytes_max;
            let exact = segment::holding(missing).clamp(segment::BYTES_MIN, max);
            let wanted = exact.max(self.next_size.load(Ordering::Relaxed)).min(max);
            let made = largest(wanted, exact, |size| self.cx.claims.make(size));
            let made = match (made, class) {
                (Err(WalError::DiskFull { .. }), Class::Reclaim) => {
                    // Room for many at once: a segment costs a name and two syncs. And for this one
                    // whole: what is left of other segments may be too short for it.
                    let least = exact.max(segment::holding(bytes).min(max));
                    let most = least.max(self.cx.options.segment_bytes_first);
                    let made = largest(most, least, |size| self.cx.claims.make_of_reserve(size));
                    made.map(|spare| (spare, Class::Reclaim))
                }
                (made, _) => made.map(|spare| (spare, Class::Normal)),
            };
            match made {
                Ok((spare, whose)) => self.keep(spare, whose),
                Err(WalError::DiskFull { .. }) => return Err(WalError::DiskFull { bytes }),
                Err(e) => return Err(e),
            }
        }
    }

    /// Whether what was claimed for deletes is anybody's: a checkpoint finds room for all of it, and
    /// the reserve is whole.
    pub(crate) fn affords(&self) -> bool {
        self.reserve.as_ref().is_some_and(|reserve| reserve.afford(0).is_ok())
    }

    /// Says what a checkpoint may have to find room for: what the log has behind the last one, and
    /// what may still be written into the space that it has claimed.
    pub(crate) fn owe(&self) {
        let Some(debt) = &self.debt else { return };
        let done = Lsn(self.replayed.load(Ordering::Acquire));
        let segments = self.cx.catalog.all();
        let mut bytes = self.cx.claims.capacity();
        if let Some((newest, sealed)) = segments.split_last() {
            let room = newest.size().saturating_sub(newest.end());
            bytes += if newest.last() > done { newest.size() } else { room };
            let behind = sealed.iter().filter(|segment| segment.last() > done);
            bytes += behind.map(|segment| segment.end()).sum::<u64>();
        }
        debt.set(bytes);
    }

    /// Adds claimed space, for these. A log that was closed meanwhile has given its own back already.
    fn keep(&self, spare: Spare, whose: Class) {
        let mut queue = lock(&self.queue);
        if matches!(queue.state, State::Closed) {
            drop(queue);
            self.cx.claims.discard(spare);
            return;
        }
        queue.room += spare.capacity();
        if whose == Class::Reclaim {
            queue.reserved += spare.capacity();
        }
        self.cx.claims.put(spare);
    }

    /// Claims the next segment's space before it is needed. Failing is not an error yet.
    pub(crate) fn claim_ahead(&self, size: u64) {
        let _one = lock(&self.claiming);
        let open = matches!(lock(&self.queue).state, State::Open);
        if open && self.cx.claims.count() == 0 {
            self.owe();
            match self.cx.claims.make(size) {
                Ok(spare) => self.keep(spare, Class::Normal),
                Err(e) => tracing::debug!(error = %e, "no space claimed ahead"),
            }
        }
        lock(&self.queue).claiming = Claiming::No;
    }
}

/// Makes something of the size `most`, or of a smaller one where there is no room for that: of the
/// size `least` at the end, but not at once, because every segment costs a name and two syncs.
fn largest(most: u64, least: u64, make: impl Fn(u64) -> Result<Spare>) -> Result<Spare> {
    let between = (most / 16).next_multiple_of(segment::ALIGN).max(least);
    match make(most) {
        Err(WalError::DiskFull { .. }) if least < most => match make(between) {
            Err(WalError::DiskFull { .. }) if least < between => make(least),
            made => made,
        },
        made => made,
    }
}
