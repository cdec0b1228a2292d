//! A disk whose next sync waits until a test lets it go on: what is pending stays so for as long
//! as the test wants, without a clock.

use std::sync::{Arc, Condvar, Mutex};

use base::io::DiskRef;
use sim::watch::{Moment, watched};

/// What the gate of a disk is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Syncs pass.
    Open,
    /// The next sync waits.
    Closed,
    /// A sync waits.
    Waiting,
}

/// Lets syncs pass or wait.
#[derive(Debug)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

impl Gate {
    /// A gate that is open.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State::Open), changed: Condvar::new() })
    }

    /// The next sync waits.
    pub(crate) fn close(&self) {
        *self.state.lock().expect("no test panicked") = State::Closed;
    }

    /// Waits until a sync waits.
    pub(crate) fn wait_for_sync(&self) {
        let state = self.state.lock().expect("no test panicked");
        let reached = self.changed.wait_while(state, |state| *state != State::Waiting);
        drop(reached.expect("no test panicked"));
    }

    /// Syncs pass, the one that waits too.
    pub(crate) fn open(&self) {
        *self.state.lock().expect("no test panicked") = State::Open;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut state = self.state.lock().expect("no test panicked");
        if *state == State::Closed {
            *state = State::Waiting;
            self.changed.notify_all();
            let open = self.changed.wait_while(state, |state| *state != State::Open);
            drop(open.expect("no test panicked"));
        }
    }

    /// `disk` with this gate before its syncs of files.
    pub(crate) fn before(self: &Arc<Self>, disk: DiskRef) -> DiskRef {
        let gate = Arc::clone(self);
        watched(disk, move |moment, _| {
            if moment == Moment::Sync {
                gate.pass();
            }
        })
    }
}
