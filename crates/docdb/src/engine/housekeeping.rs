//! What the engine does by itself, on one thread: transactions that are open for too long end,
//! databases that nobody uses are closed, and whoever waits for changes hears of those that were
//! made in the background. A closed list; what a database does for itself is in the stores.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::Engine;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often it looks for idle databases.
const IDLE_EVERY: u32 = 10;

/// Ends the thread.
#[derive(Debug, Default)]
pub(super) struct Signal {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    pub(super) fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Waits for the next look; says whether there is one.
    fn wait(&self) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(stopped, LOOK_EVERY, |stopped| !*stopped);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Engine {
    pub(super) fn start_housekeeping(self: &Arc<Self>) {
        let (signal, engine) = (Arc::clone(&self.signal), Arc::downgrade(self));
        match base::workers::spawn("housekeeping", move || keep(&signal, &engine)) {
            Ok(thread) => {
                *self.housekeeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
            }
            Err(error) => {
                tracing::error!(%error, "no thread for housekeeping; idle databases stay open")
            }
        }
    }

    /// One look.
    fn look(&self, close_idle: bool) {
        let now = self.clock.now();
        let expired = self.transactions.expire(now, self.options.transaction_timeout);
        if expired > 0 {
            self.meters.transactions_expired(expired as u64);
            tracing::info!(expired, "transactions were open for too long and were rolled back");
        }
        for served in self.all() {
            served.tell_watchers();
            if close_idle && !self.options.idle_timeout.is_zero() {
                self.close_if_idle(&served, self.options.idle_timeout);
            }
        }
    }
}

fn keep(signal: &Signal, engine: &Weak<Engine>) {
    let mut looks: u32 = 0;
    while signal.wait() {
        let Some(engine) = engine.upgrade() else { return };
        looks = looks.wrapping_add(1);
        engine.look(looks.is_multiple_of(IDLE_EVERY));
    }
}
