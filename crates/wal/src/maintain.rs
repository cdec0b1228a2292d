//! What is nobody's request: claiming ahead, timed syncs, hints, giving back what an idle log does
//! not need. One function says what is due and does it; in production a thread of the log calls
//! it, in simulation the simulator does.

use std::time::Duration;

use crate::commit::{Claiming, Queue, State};
use crate::options::Background;
use crate::shared::Shared;
use crate::sync::{Arc, MutexGuard, lock, thread};
use crate::writer::{Fail, Writer};

/// Longest the background thread waits before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl Shared {
    /// Does what is due.
    pub(crate) fn maintain(&self) {
        self.drive();
        self.upkeep();
    }

    /// Does what is due but leading: under load there is always a group to lead, and a timed sync
    /// must not wait for the load to end.
    fn upkeep(&self) {
        let now = self.cx.clock.now();
        let (idle, sync_due, open) = {
            let queue = lock(&self.queue);
            let due = queue.sync_at.is_some_and(|at| at <= now);
            (now.since(queue.last_activity), due, matches!(queue.state, State::Open))
        };
        if !open {
            return;
        }
        if sync_due {
            lock(&self.queue).sync_at = None;
            // The error has already poisoned the log and is reported there.
            let _ = self.sync();
            self.replan_sync();
        }
        self.record_newest_segment();
        if idle >= self.cx.options.hint_after {
            self.quietly(Writer::hint);
        }
        if idle >= self.cx.options.park_after {
            self.quietly(|writer| {
                writer.park();
                Ok(())
            });
            self.refill_reserve();
            lock(&self.queue).release();
        }
    }

    /// What came in while a timed sync ran waits for the next one.
    fn replan_sync(&self) {
        let due = lock(&self.writer).sync_due();
        let mut queue = lock(&self.queue);
        if let crate::FsyncMode::Interval(interval) = self.cx.options.fsync
            && due
            && queue.sync_at.is_none()
        {
            queue.sync_at = Some(self.cx.clock.now().after(interval));
        }
    }

    /// Claims the next segment if it is time to, in this thread.
    pub(crate) fn claim_if_due(&self) {
        let wanted = lock(&self.writer).wants_claim();
        match wanted {
            Some(size) => self.claim_ahead(size),
            None => lock(&self.queue).claiming = Claiming::No,
        }
    }

    fn quietly(&self, work: impl FnOnce(&mut Writer) -> Result<(), Fail>) {
        match self.with_writer(work) {
            None | Some(Ok(())) => {}
            Some(Err(Fail::Refused(error))) => {
                tracing::warn!(%error, "upkeep of the log failed; it is tried again");
            }
            Some(Err(Fail::Poison(error))) => self.poison(&error),
        }
    }

    /// Writes into the manifest which segment is the newest, so that losing its file is noticed.
    pub(crate) fn record_newest_segment(&self) {
        let Some(newest) = self.cx.catalog.newest() else { return };
        let mut state = lock(&self.state);
        if state.newest_segment == newest.sequence {
            return;
        }
        let mut next = *state;
        next.newest_segment = newest.sequence;
        next.durable_lsn = next.durable_lsn.max(self.durable());
        match self.anchor.store(&next) {
            Ok(()) => *state = next,
            Err(error) => tracing::warn!(%error, "the newest segment was not recorded"),
        }
    }

    /// Writes into the manifest how far a closed log goes: the closing frame says it too, but is
    /// the first thing that goes when the file loses its end.
    pub(crate) fn record_end(&self) {
        let mut state = lock(&self.state);
        let newest = self.cx.catalog.newest().map_or(0, |newest| newest.sequence);
        let mut next = *state;
        next.durable_lsn = next.durable_lsn.max(self.durable());
        next.newest_segment = next.newest_segment.max(newest);
        if next == *state {
            return;
        }
        match self.anchor.store(&next) {
            Ok(()) => *state = next,
            Err(error) => tracing::warn!(%error, "the end of the closed log was not recorded"),
        }
    }

    /// Makes the reserve whole again when there is room for it.
    pub(crate) fn refill_reserve(&self) {
        let Some(reserve) = &self.reserve else { return };
        if let Err(error) = reserve.refill() {
            tracing::debug!(%error, "the reserve is not refilled yet");
        }
        self.owe();
        if self.affords() {
            lock(&self.queue).reserved = 0;
        }
    }

    /// Starts the background thread if there is none and somebody wants it.
    pub(crate) fn with_committer<'a>(
        &'a self,
        mut queue: MutexGuard<'a, Queue>,
    ) -> MutexGuard<'a, Queue> {
        if queue.committer || self.cx.options.background == Background::Manual {
            return queue;
        }
        queue.committer = true;
        drop(queue);
        let started = self.start("wal-commit", Self::run);
        let mut queue = lock(&self.queue);
        if !started {
            queue.committer = false;
        }
        queue
    }

    /// Starts a thread that [`Shared::close`] waits for; says whether the system let it.
    fn start(&self, name: &str, work: fn(Arc<Self>)) -> bool {
        let Some(me) = self.myself() else { return false };
        match thread::spawn(name, move || work(me)) {
            Ok(handle) => {
                let mut threads = lock(&self.threads);
                thread::forget_finished(&mut threads);
                threads.push(handle);
                true
            }
            Err(error) => {
                tracing::warn!(%error, name, "no thread for the log; callers do its work");
                false
            }
        }
    }

    /// Waits for the log's threads, except for the one that calls this.
    pub(crate) fn end_threads(&self) {
        self.committer.notify_all();
        let threads = std::mem::take(&mut *lock(&self.threads));
        let me = thread::current().id();
        for thread in threads.into_iter().filter(|thread| thread.thread().id() != me) {
            if thread.join().is_err() {
                tracing::error!("a background thread of the log panicked");
            }
        }
    }

    /// The background thread: ends when the log is closed or has had nothing to do for a while.
    fn run(self: Arc<Self>) {
        loop {
            self.start_claim();
            self.upkeep();
            let queue = lock(&self.queue);
            let now = self.cx.clock.now();
            let idle = now.since(queue.last_activity) >= self.cx.options.park_after;
            let closed = !matches!(queue.state, State::Open);
            let waiting = !queue.groups.is_empty();
            let busy = waiting || queue.sync_at.is_some() || queue.claiming != Claiming::No;
            if (closed && !waiting) || (idle && !busy) {
                let mut queue = queue;
                queue.committer = false;
                return;
            }
            if waiting && !queue.leading {
                self.lead(queue);
                continue;
            }
            let wait = self.next_look(&queue);
            drop(
                self.committer
                    .wait_timeout(queue, wait)
                    .unwrap_or_else(std::sync::PoisonError::into_inner),
            );
        }
    }

    fn next_look(&self, queue: &Queue) -> Duration {
        let now = self.cx.clock.now();
        let idle = now.since(queue.last_activity);
        let options = &self.cx.options;
        let mut wait = LOOK_AGAIN;
        for due in [options.hint_after, options.park_after] {
            if idle < due {
                wait = wait.min(due - idle);
            }
        }
        if let Some(at) = queue.sync_at {
            wait = wait.min(at.since(now));
        }
        wait.max(Duration::from_micros(100))
    }

    /// Claims in a thread of its own: filling a segment with zeros takes longer than commits may
    /// wait.
    fn start_claim(&self) {
        {
            let mut queue = lock(&self.queue);
            if queue.claiming != Claiming::Wanted {
                return;
            }
            queue.claiming = Claiming::Running;
        }
        if !self.start("wal-claim", |me| me.claim_if_due()) {
            self.claim_if_due();
        }
    }
}
