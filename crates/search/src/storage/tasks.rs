//! The one place where async code runs: a small runtime of its own, and calls that wait for what it does.
//!
//! The libraries behind the remote store and the cache's disk tier are async. Callers are not: they hand over a task and
//! wait on a channel, which works on any thread.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::mpsc::sync_channel;

use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime with a few threads.
pub(super) struct Tasks {
    /// Taken when dropped.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").finish_non_exhaustive()
    }
}

impl Tasks {
    /// A runtime with so many threads of this name.
    pub(super) fn start(name: &str, threads: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name(name)
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        Ok(Self { runtime: Some(runtime), handle })
    }

    /// The runtime, for libraries that start tasks themselves.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What `task` comes to; none when it panicked or the runtime has been shut down.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (done, result) = sync_channel(1);
        self.handle.spawn(async move {
            // Nobody stops waiting before the answer.
            _ = done.send(task.await);
        });
        result.recv().ok()
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        // Dropping it in place would wait for its threads, which a thread of another runtime must not.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_waited_for_and_one_that_panics_has_no_answer() {
        let tasks = Tasks::start("test", 1).unwrap();
        assert_eq!(tasks.wait(async { 7 }), Some(7));
        assert_eq!(tasks.wait(async { assert_eq!(1, 2) }), None);
        assert_eq!(tasks.wait(async { 8 }), Some(8));
    }
}
