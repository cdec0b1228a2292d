//! How much may wait in memory: writers are let in while there is room, wait for a flush when
//! there is not, and are refused when it does not come.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use crate::checkpoint::Compact;
use crate::database::{Inner, lock};
use crate::error::{Result, StoreError};

/// Memory is reserved in steps of this many bytes, so that few writes touch the budget.
const STEP: u64 = 1024 * 1024;

/// Writers wait at this many times the size at which a flush begins: before the flushed documents
/// leave memory as many again may come, and while a compaction runs nothing leaves it.
const WAITING_MAX: u64 = 4;

impl Inner {
    /// Lets a write of about `bytes` in. Call it before anything is held.
    pub(crate) fn admit(&self, bytes: u64) -> Result<()> {
        let limit = self.options.memtable_bytes_max.saturating_mul(WAITING_MAX);
        let clock = &self.env.clock;
        let until = clock.now().after(self.options.stall_max);
        loop {
            self.check_open()?;
            let used = self.read().memtable_bytes();
            let refused = match self.reserve(used, bytes) {
                Ok(()) if used < limit => return Ok(()),
                Ok(()) => self.over(used, limit),
                Err(error) => error,
            };
            if used == 0 {
                // A flush would change nothing.
                return Err(refused);
            }
            if !self.background.runs() {
                self.checkpoint(Compact::Nothing)?;
                if self.read().memtable_bytes() >= used {
                    return Err(refused);
                }
                continue;
            }
            let left = until.since(clock.now());
            if left.is_zero() {
                return Err(refused);
            }
            let guard = lock(&self.flushed.0);
            self.starving.fetch_add(1, Ordering::AcqRel);
            self.background.flush();
            let step = left.min(std::time::Duration::from_millis(100));
            let waited = self.flushed.1.wait_timeout(guard, step);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            self.starving.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Lets a write of about `bytes` in if there is room, without waiting. When there is none a
    /// flush is asked for.
    ///
    /// # Errors
    /// `MemoryLimit`.
    pub(crate) fn admit_now(&self, bytes: u64) -> Result<()> {
        let limit = self.options.memtable_bytes_max.saturating_mul(WAITING_MAX);
        let used = self.read().memtable_bytes();
        let refused = match self.reserve(used, bytes) {
            Ok(()) if used < limit => return Ok(()),
            Ok(()) => self.over(used, limit),
            Err(error) => error,
        };
        if used > 0 {
            self.hungry.store(true, Ordering::Release);
            self.background.flush();
        }
        Err(refused)
    }

    fn over(&self, used: u64, limit: u64) -> StoreError {
        base::memory::MemoryLimit {
            budget: std::sync::Arc::from("memtable"),
            purpose: "documents that wait for a data file",
            wanted: used,
            used,
            limit,
        }
        .into()
    }

    fn reserve(&self, used: u64, bytes: u64) -> Result<()> {
        let wanted = used.saturating_add(bytes);
        if wanted <= self.reserved.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut reservation = lock(&self.reservation);
        let more = wanted.saturating_sub(reservation.bytes());
        if more > 0 {
            reservation.grow(more.next_multiple_of(STEP))?;
        }
        self.reserved.store(reservation.bytes(), Ordering::Release);
        Ok(())
    }

    /// Gives back what a flush has made superfluous.
    pub(crate) fn give_back(&self) {
        self.hungry.store(false, Ordering::Release);
        let used = self.read().memtable_bytes();
        let mut reservation = lock(&self.reservation);
        let surplus = reservation.bytes().saturating_sub(used.next_multiple_of(STEP) + STEP);
        reservation.shrink(surplus);
        self.reserved.store(reservation.bytes(), Ordering::Release);
    }

    /// Notes that something was written: a flush or a checkpoint may be due.
    pub(crate) fn note_written(&self) {
        if self.is_checkpoint_due() {
            self.background.flush();
        }
    }

    /// Whether a checkpoint is due by itself.
    pub(crate) fn is_checkpoint_due(&self) -> bool {
        let since = self.since_checkpoint.load(Ordering::Relaxed);
        let is_full = || self.read().active.bytes() as u64 >= self.options.memtable_bytes_max;
        (self.options.checkpoint_auto && since >= self.options.checkpoint_interval_bytes)
            || is_full()
            || self.starving.load(Ordering::Acquire) > 0
            || self.hungry.load(Ordering::Acquire)
    }
}
