//! What happens without being asked for: checkpoints and compactions when they are due, expired
//! documents, snapshots that nobody uses, scrubbing. A closed list, in [`Inner::maintain`]; in
//! production a thread of the database calls it, in simulation the simulator does.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::checkpoint::Compact;
use crate::database::{Database, Inner, lock};
use crate::error::Result;

/// How long the thread waits before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(1000);

#[derive(Debug, Default)]
struct Signal {
    state: Mutex<Wanted>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone, Copy)]
struct Wanted {
    flush: bool,
    stop: bool,
}

/// The background thread of a database.
#[derive(Debug, Default)]
pub(crate) struct Background {
    signal: Arc<Signal>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Background {
    /// Starts the thread. When the system gives none, callers do its work.
    pub(crate) fn start(&self, inner: &Arc<Inner>) {
        let (signal, weak) = (Arc::clone(&self.signal), Arc::downgrade(inner));
        match base::workers::spawn("docstore", move || run(&signal, &weak)) {
            Ok(handle) => *lock(&self.thread) = Some(handle),
            Err(error) => tracing::warn!(%error, "no thread for a database; callers do its work"),
        }
    }

    pub(crate) fn runs(&self) -> bool {
        lock(&self.thread).is_some()
    }

    /// Asks for a look now.
    pub(crate) fn flush(&self) {
        let mut state = lock(&self.signal.state);
        if !state.flush {
            state.flush = true;
            self.signal.changed.notify_all();
        }
    }

    /// Ends the thread and waits for it, unless it is the one that asks.
    pub(crate) fn stop(&self) {
        lock(&self.signal.state).stop = true;
        self.signal.changed.notify_all();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread.filter(|t| t.thread().id() != std::thread::current().id())
            && thread.join().is_err()
        {
            tracing::error!("the background thread of a database panicked");
        }
    }
}

fn run(signal: &Signal, inner: &Weak<Inner>) {
    loop {
        let state = lock(&signal.state);
        let state = if state.flush || state.stop {
            state
        } else {
            let waited = signal.changed.wait_timeout(state, LOOK_AGAIN);
            waited.unwrap_or_else(PoisonError::into_inner).0
        };
        if state.stop {
            return;
        }
        drop(state);
        lock(&signal.state).flush = false;
        let Some(inner) = inner.upgrade() else { return };
        // Errors were reported where they happened; what is due is due again.
        let _ = inner.maintain();
    }
}

impl Database {
    /// Does what is due in the background: for [`wal::Background::Manual`].
    ///
    /// # Errors
    /// The first that something met; the rest was done all the same.
    pub fn maintain(&self) -> Result<()> {
        self.inner.check_open()?;
        if self.inner.options.log.background == wal::Background::Manual {
            self.inner.log.maintain();
        }
        self.inner.maintain()
    }
}

impl Inner {
    /// Does what is due.
    pub(crate) fn maintain(&self) -> Result<()> {
        self.expire_snapshots();
        let reclaimed = self.reclaim_expired().map(drop);
        let written = if self.is_checkpoint_due() {
            let flushed = self.checkpoint(Compact::Nothing);
            flushed.and_then(|_| self.checkpoint(Compact::IfWorthIt)).map(drop)
        } else {
            Ok(())
        };
        let scrubbed = self.scrub_if_due();
        reclaimed.and(written).and(scrubbed)
    }

    fn expire_snapshots(&self) {
        let now = self.env.clock.now();
        let mut changed = lock(&self.snapshots).expire(now, self.options.snapshot_ttl);
        while self.read().history.bytes() > self.options.snapshot_held_bytes {
            if !lock(&self.snapshots).drop_oldest() {
                break;
            }
            changed = true;
            self.prune();
        }
        if changed {
            self.prune();
        }
    }
}
