//! A unit of work, and what can keep it from being done.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::tracker::MESSAGE_BYTES_MAX;
use crate::error::{Code, Coded};

/// Work for a pool, and what to do when it cannot be finished.
pub struct Task {
    work: Box<dyn FnOnce() + Send>,
    failed: Box<dyn FnOnce(TaskFailure) + Send>,
}

/// Why an accepted task did not run to its end. Its client is answered by the task's `failed`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskFailure {
    /// It panicked: a defect, with the panic's message, cut to 256 bytes.
    #[error("the task panicked: {0}")]
    Panicked(Box<str>),
    /// The pool stopped before its turn.
    #[error("the pool stopped before the task's turn")]
    Discarded,
    /// The only thread that could have run it could not be started.
    #[error("the system refuses to start a thread")]
    NoThread,
}

impl Coded for TaskFailure {
    fn code(&self) -> Code {
        match self {
            Self::Panicked(_) => Code::Internal,
            Self::Discarded => Code::PoolStopped,
            Self::NoThread => Code::QueueFull,
        }
    }
}

/// A task that was not accepted, and why. Neither of its closures has been called.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Refused {
    /// The task, for whoever wants to try again.
    pub task: Task,
    /// The reason.
    pub why: WhyRefused,
}

/// Why a pool does not accept a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WhyRefused {
    /// All threads are taken and as many tasks wait as may.
    #[error("the queue of the pool is full; try again later")]
    QueueFull,
    /// There is no thread and the system refuses to start one.
    #[error("the pool has no thread and the system refuses to start one; try again later")]
    NoThread,
    /// The pool is stopping.
    #[error("the pool has been stopped")]
    Stopped,
}

impl Coded for Refused {
    fn code(&self) -> Code {
        match self.why {
            WhyRefused::QueueFull | WhyRefused::NoThread => Code::QueueFull,
            WhyRefused::Stopped => Code::PoolStopped,
        }
    }
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Normally,
    Panicked,
}

impl Task {
    /// A task that does `work`. When it is accepted and cannot be finished, `failed` is called
    /// once instead, after a panic on the same thread, otherwise on the thread that discards it.
    pub fn new(
        work: impl FnOnce() + Send + 'static,
        failed: impl FnOnce(TaskFailure) + Send + 'static,
    ) -> Self {
        Self { work: Box::new(work), failed: Box::new(failed) }
    }

    /// Does the work. Whatever panics, the work itself, the failure callback, or a destructor of
    /// what they hold, does not get past here.
    pub(super) fn run(self) -> Ended {
        let Self { work, failed } = self;
        // The closure is consumed and what it shared with others is theirs to keep sound, as it
        // is when a thread of its own panics.
        let Err(panic) = catch_unwind(AssertUnwindSafe(work)) else {
            contain(|| drop(failed));
            return Ended::Normally;
        };
        let why = TaskFailure::Panicked(message(&*panic));
        contain(|| drop(panic));
        tracing::error!(code = why.code().name(), "{why}");
        contain(|| failed(why));
        Ended::Panicked
    }

    /// Calls `failed` instead of doing the work.
    pub(super) fn fail(self, why: TaskFailure) {
        let Self { work, failed } = self;
        contain(|| drop(work));
        contain(|| failed(why));
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").finish_non_exhaustive()
    }
}

/// Runs something that has no business panicking, and reports it when it does.
fn contain(action: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(action)) {
        tracing::error!("a task's cleanup panicked: {}", message(&*panic));
        // Its destructor may panic too; leaking it ends the matter.
        std::mem::forget(panic);
    }
}

/// What a panic says, at most [`MESSAGE_BYTES_MAX`] bytes of it.
#[must_use]
pub fn message(panic: &(dyn Any + Send)) -> Box<str> {
    let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text.as_str(),
        (None, None) => "no message",
    };
    text.get(..text.floor_char_boundary(MESSAGE_BYTES_MAX)).unwrap_or_default().into()
}
