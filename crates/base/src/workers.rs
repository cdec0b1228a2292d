//! Threads. Nothing else in the project starts one.
//!
//! [`spawn`] starts a thread that its owner joins; [`pool::Pool`] runs short tasks on a bounded
//! number of threads behind a bounded queue; [`parallel::map`] shares one piece of work among threads
//! that end with it.

pub mod parallel;
pub mod pool;

use std::fmt::Debug;
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

/// Who starts a pool's threads: the system, or a test that wants it to fail.
pub trait Spawner: Send + Sync + Debug {
    /// Starts a thread that does `work`.
    ///
    /// # Errors
    /// When there can be no further thread.
    fn spawn(&self, name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>>;
}

/// Starts threads of the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemSpawner;

impl Spawner for SystemSpawner {
    fn spawn(&self, name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>> {
        spawn(name, work)
    }
}
