//! The synchronisation primitives of the log: the standard library's, or, under `--cfg shuttle`,
//! a scheduler's that tries the interleavings of the group-commit hand-over.

#[cfg(not(shuttle))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic};

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, atomic};

pub(crate) use std::sync::{Arc, Weak};

/// Threads that the log starts and waits for.
#[cfg(not(shuttle))]
pub(crate) mod thread {
    pub(crate) use base::workers::spawn;
    pub(crate) use std::thread::{JoinHandle, ThreadId, current};

    /// Drops the handles of threads that have ended.
    pub(crate) fn forget_finished(threads: &mut Vec<JoinHandle<()>>) {
        threads.retain(|thread| !thread.is_finished());
    }
}

/// Threads that the log starts and waits for, as the scheduler of the tests runs them.
#[cfg(shuttle)]
pub(crate) mod thread {
    pub(crate) use shuttle::thread::{JoinHandle, ThreadId, current};

    /// Starts a named thread.
    pub(crate) fn spawn<T: Send + 'static>(
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> std::io::Result<JoinHandle<T>> {
        shuttle::thread::Builder::new().name(name.to_owned()).spawn(work)
    }

    /// The scheduler does not say which have ended; a run is short.
    pub(crate) fn forget_finished(_: &mut Vec<JoinHandle<()>>) {}
}

/// Locks a mutex. A poisoned one is entered all the same: the log's own state machine decides what
/// is still allowed after a panic, and readers must go on.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Waits on a condition until it is signalled.
pub(crate) fn wait<'a, T>(condition: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condition.wait(guard).unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Something that happens once, and that threads wait for without taking a lock of anybody's.
#[cfg(not(shuttle))]
#[derive(Debug, Default)]
pub(crate) struct Signal(std::sync::OnceLock<()>);

#[cfg(not(shuttle))]
impl Signal {
    /// It has happened. Costs no system call when nobody waits.
    pub(crate) fn set(&self) {
        // A second time changes nothing.
        let _ = self.0.set(());
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.get().is_some()
    }

    pub(crate) fn wait(&self) {
        self.0.wait();
    }
}

/// The same out of what the scheduler knows.
#[cfg(shuttle)]
#[derive(Debug, Default)]
pub(crate) struct Signal {
    set: Mutex<bool>,
    changed: Condvar,
}

#[cfg(shuttle)]
impl Signal {
    pub(crate) fn set(&self) {
        *lock(&self.set) = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_set(&self) -> bool {
        *lock(&self.set)
    }

    pub(crate) fn wait(&self) {
        let mut set = lock(&self.set);
        while !*set {
            set = wait(&self.changed, set);
        }
    }
}
