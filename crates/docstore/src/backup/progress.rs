//! How far a backup, a check or a restore has come, for whoever waits for it.
//!
//! Work is counted in bytes: those of all files, once for their bytes and once for their records.
//! It is an estimate: the parity of a file has no records, and a file that is copied twice counts
//! once. What is done never goes back and never exceeds the total.

/// How far a backup, a check or a restore has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackupProgress {
    /// Bytes of work that are done.
    pub done: u64,
    /// Bytes of work in all.
    pub total: u64,
}

/// Counts work and tells somebody.
pub(super) struct Meter<'a> {
    at: BackupProgress,
    tell: &'a mut dyn FnMut(BackupProgress),
}

impl<'a> Meter<'a> {
    /// A meter for files of so many bytes together.
    pub(super) fn new(bytes: u64, tell: &'a mut dyn FnMut(BackupProgress)) -> Self {
        let at = BackupProgress { done: 0, total: bytes.saturating_mul(2) };
        tell(at);
        Self { at, tell }
    }

    /// So many bytes more are done.
    pub(super) fn add(&mut self, bytes: u64) {
        self.at.done = self.at.done.saturating_add(bytes).min(self.at.total);
        (self.tell)(self.at);
    }

    /// Everything is done.
    pub(super) fn finish(&mut self) {
        self.add(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_never_exceeds_its_total_and_ends_there() {
        let mut told = Vec::new();
        let mut note = |at: BackupProgress| told.push((at.done, at.total));
        let mut meter = Meter::new(10, &mut note);
        for bytes in [3, 0, 30] {
            meter.add(bytes);
        }
        meter.finish();
        assert_eq!(told, [(0, 20), (3, 20), (3, 20), (20, 20), (20, 20)]);
    }
}
