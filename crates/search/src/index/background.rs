//! One thread for the background work of all indexes.
//!
//! It knows indexes weakly: one that its owner lets go of is forgotten. Each look gives every index its turn until it
//! has nothing more to do; what failed is tried again at the next look, so that a store which is down is not hammered.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use base::workers::Spawner;

use super::error::IndexError;
use super::{Index, Step, lock};

/// How long the thread waits before it looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Steps of one index in one look; more than it has to do unless it is written to all the time.
const STEPS_MAX: usize = 16;

/// Told of every step that failed.
pub type Report = dyn Fn(&Arc<Index>, IndexError) + Send + Sync;

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    indexes: Vec<Weak<Index>>,
    is_woken: bool,
    is_stopping: bool,
}

/// The thread. It ends when this is dropped, after the step that it is in.
#[derive(Debug)]
pub struct Background {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts the thread. `report` hears what failed; nothing of it needs to be done by anybody else.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(spawner: &dyn Spawner, report: Box<Report>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = spawner.spawn("search", Box::new(move || run(&theirs, &report)))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Looks after an index from now on.
    pub fn add(&self, index: &Arc<Index>) {
        lock(&self.shared.state).indexes.push(Arc::downgrade(index));
        self.wake();
    }

    /// Looks now: after a write that filled a memtable.
    pub fn wake(&self) {
        lock(&self.shared.state).is_woken = true;
        self.shared.changed.notify_all();
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        lock(&self.shared.state).is_stopping = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported where it happened.
            _ = thread.join();
        }
    }
}

fn run(shared: &Shared, report: &Report) {
    while let Some(indexes) = wait(shared) {
        for index in indexes {
            work(shared, &index, report);
        }
    }
}

/// Waits until it is time to look; none when it is time to end.
fn wait(shared: &Shared) -> Option<Vec<Arc<Index>>> {
    let state = lock(&shared.state);
    let waited = shared
        .changed
        .wait_timeout_while(state, LOOK_AGAIN, |state| !state.is_woken && !state.is_stopping);
    let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
    if state.is_stopping {
        return None;
    }
    state.is_woken = false;
    state.indexes.retain(|index| index.strong_count() > 0);
    Some(state.indexes.iter().filter_map(Weak::upgrade).collect())
}

fn work(shared: &Shared, index: &Arc<Index>, report: &Report) {
    for _ in 0..STEPS_MAX {
        if lock(&shared.state).is_stopping {
            return;
        }
        match index.background_step() {
            Ok(Step::Done) => {}
            Ok(Step::Idle) => return,
            Err(error) => return report(index, error),
        }
    }
}
