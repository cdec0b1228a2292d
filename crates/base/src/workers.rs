//! Threads. Nothing else in the project starts one.

use std::io;
use std::thread::JoinHandle;

/// Starts a named thread that its owner joins.
///
/// # Errors
/// When the system refuses another thread.
pub fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}
