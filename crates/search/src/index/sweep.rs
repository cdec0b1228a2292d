//! Sweeping: files go that no manifest needs any more, when their grace is over.
//!
//! Which ones may go is decided by [`crate::manifest::Sweep`]; here is said what is being made, and when it is time to
//! look, which takes lists of the store.

use std::collections::HashSet;

use base::clock::Instant;

use super::error::Result;
use super::{Index, Step, lock};
use crate::manifest::Sweep;
use crate::storage::Ulid;

/// What is known of files that may have to go.
#[derive(Debug)]
pub(super) struct Sweeping {
    /// When they were looked for last.
    at: Instant,
    /// Whether there may be some: something was written since, or waited for its grace then.
    is_needed: bool,
}

impl Sweeping {
    /// Of an index that is opened: what an earlier process left is not known.
    pub(super) fn new(now: Instant) -> Self {
        Self { at: now, is_needed: true }
    }
}

impl Index {
    /// Files were written, or the manifest will name fewer.
    pub(super) fn need_sweep(&self) {
        lock(&self.sweeping).is_needed = true;
    }

    /// Twice in a grace, and not at every step; never while nothing is written and nothing is left.
    pub(super) fn sweep_if_due(&self) -> Result<Step> {
        let now = self.clock.now();
        {
            let mut sweeping = lock(&self.sweeping);
            let waited = now.since(sweeping.at);
            if !sweeping.is_needed || waited < self.options.grace / 2 {
                return Ok(Step::Idle);
            }
            // What is written from now on sets it again.
            *sweeping = Sweeping { at: now, is_needed: false };
        }
        let swept = self.sweep_step();
        if swept.is_err() || lock(&self.publisher).has_waiting() {
            self.need_sweep();
        }
        swept
    }

    /// Deletes files whose grace is over.
    ///
    /// # Errors
    /// When the store fails.
    pub fn sweep_step(&self) -> Result<Step> {
        // Nothing is published meanwhile: what is made is either in work or named by the newest manifest. The time
        // is taken before it is known what is in work, so that what is begun afterwards is too young to be deleted.
        let mut publisher = lock(&self.publisher);
        let sweep = Sweep {
            now: self.clock.wall(),
            grace: self.options.grace,
            in_work: self.segments_in_work(),
        };
        #[cfg(feature = "planted-bugs")]
        let sweep = if self.options.planted == Some(crate::planted::Bug::SweepWithoutGrace) {
            Sweep { now: sweep.now, ..Sweep::default() }
        } else {
            sweep
        };
        if publisher.must_publish_to_sweep(&sweep)? {
            let durable = lock(&self.core).durable();
            self.commit_with(&mut publisher, durable)?;
        }
        publisher.sweep(&sweep)
    }

    /// The segments that are being made, by this index and by rebuilds of it.
    fn segments_in_work(&self) -> HashSet<Ulid> {
        let mut in_work = lock(&self.in_work).clone();
        lock(&self.rebuilds).retain(|rebuild| match rebuild.upgrade() {
            Some(theirs) => {
                in_work.extend(lock(&theirs).iter().copied());
                true
            }
            None => false,
        });
        in_work
    }
}
