//! The synchronisation primitives of the log: the standard library's, or, under `--cfg shuttle`,
//! a scheduler's that tries the interleavings of the group-commit hand-over.

#[cfg(not(shuttle))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic};

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, atomic};

pub(crate) use std::sync::{Arc, Weak};

/// Locks a mutex. A poisoned one is entered all the same: the log's own state machine decides what
/// is still allowed after a panic, and readers must go on.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Waits on a condition until it is signalled.
pub(crate) fn wait<'a, T>(condition: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condition.wait(guard).unwrap_or_else(std::sync::PoisonError::into_inner)
}
