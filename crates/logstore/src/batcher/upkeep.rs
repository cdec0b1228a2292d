//! What the batcher does between batches: sealing, retention, small write-ahead logs.

use std::time::Duration;

use base::clock::Instant;

use super::Batcher;
use crate::retention;
use crate::shared::{Shared, lock};
use crate::writer::{Sealed, Writer};

/// A write-ahead log over this is emptied when no reader is in the way.
const WAL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How often its size is looked at.
const WAL_LOOK: Duration = Duration::from_secs(1);
/// How long sealing rests after it has failed.
const SEAL_REST: Duration = Duration::from_secs(10);

/// When upkeep is due.
#[derive(Debug)]
pub(super) struct Schedule {
    retention_at: Instant,
    wal_at: Instant,
    seal_from: Instant,
}

impl Schedule {
    pub(super) fn new(shared: &Shared) -> Self {
        let now = shared.clock.now();
        // Retention looks around at once: the store may have been closed for days.
        Self { retention_at: now, wal_at: now.after(WAL_LOOK), seal_from: now }
    }

    /// When regular upkeep is due again.
    pub(super) fn next(&self) -> Instant {
        self.retention_at
    }
}

impl Batcher {
    pub(super) fn is_upkeep_due(&self, now: Instant) -> bool {
        now >= self.upkeep.retention_at || !lock(&self.shared.suspects).is_empty()
    }

    pub(super) fn regular_upkeep(&mut self, now: Instant) {
        self.leave_suspects();
        if now < self.upkeep.retention_at {
            return;
        }
        self.upkeep.retention_at = now.after(self.shared.options.retention_interval);
        if let Some(writer) = &self.writer {
            self.truncate_wal(writer);
        }
        if let Err(error) = retention::cleanup(&self.shared, self.shared.options.retention) {
            tracing::error!(%error, "retention failed; it will be tried again");
        }
        retention::measure(&self.shared);
    }

    /// Writes no more into a file that a reader found damaged. What can be read of it stays.
    fn leave_suspects(&mut self) {
        for key in std::mem::take(&mut *lock(&self.shared.suspects)) {
            let is_newest = self.shared.partitions.last().is_some_and(|newest| newest.key == key);
            if is_newest && self.burned < Some(key) {
                tracing::error!(partition = %key, "damaged: another file takes over");
                self.shared.metrics.damaged.increment();
                self.burned = Some(key);
                self.writer = None;
            }
        }
    }

    /// Seals one block when there are enough rows. Says whether it did something.
    pub(super) fn seal_if_full(&mut self, now: Instant) -> bool {
        self.look_at_wal(now);
        if now < self.upkeep.seal_from {
            return false;
        }
        let Some(writer) = self.writer.as_mut().filter(|writer| writer.has_full_tail()) else {
            return false;
        };
        match writer.seal_tail() {
            Ok(sealed) => {
                self.count_sealed(sealed.as_slice());
                true
            }
            Err(error) => {
                self.shared.metrics.seal_failures.increment();
                tracing::warn!(%error, "sealing failed; the rows stay as they are for now");
                self.upkeep.seal_from = now.after(SEAL_REST);
                // A connection that has failed is not to be trusted with the next batch.
                self.writer = None;
                false
            }
        }
    }

    fn look_at_wal(&mut self, now: Instant) {
        if now < self.upkeep.wal_at {
            return;
        }
        self.upkeep.wal_at = now.after(WAL_LOOK);
        let Some(writer) = &self.writer else { return };
        let mut wal = writer.partition.path.clone().into_os_string();
        wal.push("-wal");
        let stat = self.shared.disk.stat(wal.as_ref()).ok().flatten();
        if stat.is_some_and(|stat| stat.len > WAL_BYTES_MAX) {
            self.truncate_wal(writer);
        }
    }

    pub(super) fn truncate_wal(&self, writer: &Writer) {
        match writer.truncate_wal() {
            Ok(true) => self.shared.metrics.truncated.increment(),
            Ok(false) => self.shared.metrics.truncation_blocked.increment(),
            Err(error) => tracing::warn!(%error, "the write-ahead log could not be emptied"),
        }
    }

    /// Ends the file that is being written: another one follows.
    pub(super) fn end_file(&mut self) {
        let Some(mut writer) = self.writer.take() else { return };
        match writer.finish() {
            Ok(sealed) => self.count_sealed(&sealed),
            Err(error) => {
                // Its rows are all there, only not as small as they could be.
                self.shared.metrics.seal_failures.increment();
                tracing::warn!(%error, partition = %writer.partition.key, "a file was not finished");
            }
        }
    }

    pub(super) fn count_sealed(&self, sealed: &[Sealed]) {
        let metrics = &self.shared.metrics;
        for block in sealed {
            metrics.sealed_blocks.increment();
            metrics.sealed_entries.add(block.rows as u64);
            metrics.sealed_text.add(block.text_bytes as u64);
            metrics.sealed_stored.add(block.stored_bytes as u64);
        }
    }
}
