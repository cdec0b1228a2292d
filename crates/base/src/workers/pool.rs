//! A bounded pool of threads behind a bounded queue.
//!
//! It never makes its caller wait: a task is taken at once, or refused with [`QueueFull`](crate::error::Code::QueueFull)
//! or [`PoolStopped`](crate::error::Code::PoolStopped). Threads start when there is work for them and end after
//! [`PoolOptions::worker_expiry`] without any. Tasks are taken in the order they came.
//!
//! # Invariants
//!
//! - At most `workers` threads, at most `queue_max` tasks beyond what free threads will take.
//! - Every accepted task either runs to its end, or its `failed` is called once with the reason.
//! - A panic ends its task, never its thread.
//! - A thread ends only when the queue is empty, so no task is left behind without a thread.
//! - Nothing is done under the lock but bookkeeping: no task, no callback, no thread's start.
//!
//! Start with [`Pool::submit`].

mod task;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use task::Ended;
pub use task::{Refused, Task, TaskFailure, WhyRefused, message as panic_message};

use super::{Spawner, SystemSpawner};

/// How a pool is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolOptions {
    /// Name of the pool; its threads are called `name-1`, `name-2`, …
    pub name: String,
    /// Most threads; 0 counts as 1.
    pub workers: usize,
    /// Most tasks that wait because every thread is taken.
    pub queue_max: usize,
    /// How long a thread without work stays.
    pub worker_expiry: Duration,
    /// When threads start.
    pub start: Start,
}

/// When a pool starts its threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// One by one, as work comes; they end when idle (`pre_alloc = false`).
    OnDemand,
    /// All at once; they stay (`pre_alloc = true`).
    AtOnce,
}

/// What a pool is doing and has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolStats {
    /// Most threads, as asked for.
    pub pool_capacity: usize,
    /// Threads that exist.
    pub started_workers: usize,
    /// Threads that are busy with a task.
    pub running_workers: usize,
    /// Threads that could be busy and are not, started or not.
    pub free_workers: usize,
    /// Tasks in the queue.
    pub waiting_tasks: usize,
    /// Tasks that ran, those that panicked included.
    pub tasks_total: u64,
    /// Tasks that panicked.
    pub panics_total: u64,
    /// Tasks refused because the queue was full or no thread could be started.
    pub refused_total: u64,
    /// Tasks accepted and then failed without having run.
    pub discarded_total: u64,
    /// Times that the system refused another thread.
    pub spawn_failures_total: u64,
    /// Whether the newest attempt to start a thread failed: the pool works with fewer than asked.
    pub short_of_workers: bool,
}

/// A bounded pool. Dropping it refuses further work, discards what waits and lets the threads end
/// without waiting for them; call [`Pool::stop`] for an end in order.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    spawner: Arc<dyn Spawner>,
}

#[derive(Debug)]
struct Shared {
    options: PoolOptions,
    state: Mutex<State>,
    /// There is work, or the pool is stopping.
    work: Condvar,
    /// A task has ended or a thread has.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Task>,
    /// Threads that exist or are being started.
    threads: usize,
    /// Threads that have a task.
    running: usize,
    /// Submitters that have just started a thread and are about to put in a task for it.
    promised: usize,
    stopping: bool,
    /// Number of the newest thread, for its name.
    named: u64,
    handles: Vec<JoinHandle<()>>,
    tasks_total: u64,
    panics_total: u64,
    refused_total: u64,
    discarded_total: u64,
    spawn_failures_total: u64,
    short_of_workers: bool,
}

impl Pool {
    /// A pool on threads of the system. With [`Start::AtOnce`] threads that cannot be started are
    /// missing from the pool, with a warning in the log and in its stats.
    #[must_use]
    pub fn new(options: PoolOptions) -> Self {
        Self::with_spawner(options, Arc::new(SystemSpawner))
    }

    /// A pool on threads of `spawner`.
    #[must_use]
    pub fn with_spawner(mut options: PoolOptions, spawner: Arc<dyn Spawner>) -> Self {
        options.workers = options.workers.max(1);
        let wanted = match options.start {
            Start::OnDemand => 0,
            Start::AtOnce => options.workers,
        };
        let shared = Arc::new(Shared {
            options,
            state: Mutex::default(),
            work: Condvar::new(),
            changed: Condvar::new(),
        });
        let pool = Self { shared, spawner };
        for _ in 0..wanted {
            let state = pool.start_thread(pool.shared.lock());
            if state.short_of_workers {
                break;
            }
        }
        pool
    }

    /// Hands over a task. Takes a short lock, and starts a thread when all are taken and there
    /// may be more; never waits for a task or for room.
    ///
    /// # Errors
    /// The task comes back, with neither of its closures called: [`QueueFull`](crate::error::Code::QueueFull) when the
    /// queue is full or there is no thread at all (try again later), [`PoolStopped`](crate::error::Code::PoolStopped) once
    /// the pool is stopping.
    pub fn submit(&self, task: Task) -> Result<(), Refused> {
        let mut state = self.shared.lock();
        let room_for_thread = state.threads < self.shared.options.workers;
        if !state.stopping && room_for_thread && state.queue.len() >= state.free() {
            // Started without the lock, the new thread may be ready before the task is there; it
            // must not find itself idle and end.
            state.promised += 1;
            state = self.start_thread(state);
            state.promised -= 1;
        }
        if state.stopping {
            return Err(Refused { task, why: WhyRefused::Stopped });
        }
        let why = if state.threads == 0 {
            WhyRefused::NoThread
        } else if state.queue.len() >= state.free() + self.shared.options.queue_max {
            WhyRefused::QueueFull
        } else {
            state.queue.push_back(task);
            drop(state);
            self.shared.work.notify_one();
            return Ok(());
        };
        state.refused_total += 1;
        Err(Refused { task, why })
    }

    /// What the pool is doing and has done.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let state = self.shared.lock();
        let pool_capacity = self.shared.options.workers;
        PoolStats {
            pool_capacity,
            started_workers: state.threads,
            running_workers: state.running,
            free_workers: pool_capacity - state.running,
            waiting_tasks: state.queue.len(),
            tasks_total: state.tasks_total,
            panics_total: state.panics_total,
            refused_total: state.refused_total,
            discarded_total: state.discarded_total,
            spawn_failures_total: state.spawn_failures_total,
            short_of_workers: state.short_of_workers,
        }
    }

    /// Refuses further tasks with [`PoolStopped`](crate::error::Code::PoolStopped). Those accepted still run, and threads
    /// end as they run out of them.
    pub fn refuse(&self) {
        self.shared.lock().stopping = true;
        self.shared.work.notify_all();
    }

    /// Waits until no task waits or runs, or `time` is over; says whether that is so.
    #[must_use]
    pub fn wait_idle(&self, time: Duration) -> bool {
        let busy = |state: &mut State| state.running > 0 || !state.queue.is_empty();
        let state = self.shared.lock();
        let (state, timeout) = self
            .shared
            .changed
            .wait_timeout_while(state, time, busy)
            .unwrap_or_else(PoisonError::into_inner);
        drop(state);
        !timeout.timed_out()
    }

    /// Takes all waiting tasks out of the queue and calls their `failed` on this thread; returns
    /// how many there were.
    pub fn discard_waiting(&self) -> usize {
        let discarded = self.shared.lock().take_waiting();
        let count = discarded.len();
        self.shared.changed.notify_all();
        discarded.into_iter().for_each(|task| task.fail(TaskFailure::Discarded));
        count
    }

    /// Refuses further tasks, waits for those accepted to end, however long they take, and joins
    /// the threads. [`Pool::discard_waiting`] first, after [`Pool::refuse`], shortens that.
    ///
    /// # Panics
    /// When called from a task of this pool, which would wait for itself for ever.
    pub fn stop(&self) {
        self.refuse();
        let this = std::thread::current().id();
        let mut state = self.shared.lock();
        assert!(
            state.handles.iter().all(|handle| handle.thread().id() != this),
            "a pool is not stopped from a task of its own"
        );
        while state.threads > 0 {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let handles = std::mem::take(&mut state.handles);
        drop(state);
        for handle in handles {
            // The thread's loop catches what its tasks do, and has nothing else to fail with.
            _ = handle.join();
        }
    }

    /// Starts one more thread, without the lock; its place is taken before and given back when
    /// the system refuses. There must be room for it.
    fn start_thread<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.threads += 1;
        state.named += 1;
        let name = format!("{}-{}", self.shared.options.name, state.named);
        drop(state);
        let shared = self.shared.clone();
        let started = self.spawner.spawn(&name, Box::new(move || shared.work_off()));
        let mut state = self.shared.lock();
        match started {
            Ok(handle) => {
                state.short_of_workers = false;
                state.handles.retain(|handle| !handle.is_finished());
                state.handles.push(handle);
            }
            Err(error) => {
                state.threads -= 1;
                state.spawn_failures_total += 1;
                let first = !std::mem::replace(&mut state.short_of_workers, true);
                let has = state.threads;
                // Others may have counted on this thread, and no other is left for them.
                let stranded = if has == 0 { state.take_waiting() } else { VecDeque::new() };
                drop(state);
                if first {
                    let (pool, wanted) = (&self.shared.options.name, self.shared.options.workers);
                    tracing::warn!(pool, has, wanted, %error, "fewer threads than asked for");
                }
                stranded.into_iter().for_each(|task| task.fail(TaskFailure::NoThread));
                state = self.shared.lock();
                self.shared.changed.notify_all();
            }
        }
        state
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.refuse();
        self.discard_waiting();
    }
}

impl State {
    /// Threads that have no task, those that are being started included.
    fn free(&self) -> usize {
        self.threads - self.running
    }

    /// Empties the queue; whoever calls it fails the tasks once the lock is given back.
    fn take_waiting(&mut self) -> VecDeque<Task> {
        self.discarded_total += self.queue.len() as u64;
        std::mem::take(&mut self.queue)
    }
}

impl Shared {
    /// The state is bookkeeping that no panic can interrupt, so a poisoned lock is usable.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread's life: tasks until the pool stops or there have been none for long enough.
    fn work_off(&self) {
        let mut state = self.lock();
        loop {
            let task;
            (state, task) = self.next_task(state);
            let Some(task) = task else { break };
            state.running += 1;
            drop(state);
            let ended = task.run();
            state = self.lock();
            state.running -= 1;
            state.tasks_total += 1;
            state.panics_total += u64::from(ended == Ended::Panicked);
            self.changed.notify_all();
        }
        state.threads -= 1;
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for the next task. None when the thread is to end, which it is only when there is no
    /// task: whoever puts one in under the lock can count on the threads that the state counts.
    fn next_task<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> (MutexGuard<'a, State>, Option<Task>) {
        loop {
            if let Some(task) = state.queue.pop_front() {
                return (state, Some(task));
            }
            if state.stopping {
                return (state, None);
            }
            if self.options.start == Start::AtOnce {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let waited = self.work.wait_timeout(state, self.options.worker_expiry);
            let (after, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = after;
            if timeout.timed_out() && state.queue.is_empty() && state.promised == 0 {
                return (state, None);
            }
        }
    }
}
