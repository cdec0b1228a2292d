//! Who works on what: a bounded pool of threads for the work of databases, and the queues in front
//! of it.
//!
//! A worker never waits: not for a sync, not for memory, not for a client. What cannot go on comes
//! back as [`Ran::Again`] and its database's queue is held meanwhile, which costs nobody else
//! anything. Every task that is handed in is either run or told why not, and a task that panics is
//! counted and takes no worker with it.
//!
//! [`queues`] decides which task is next. Start with [`Scheduler::submit`].

mod queues;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use base::clock::{ClockRef, Instant};
use base::error::{Code, Coded};
use base::workers::{Spawner, SystemSpawner};

pub use queues::{Lane, QueueId, QueueStats};

use queues::{Depths, Full, Item, Queues, Release, Run};

/// Bytes that cost as much as one task.
pub const COST_BYTES: u64 = 4096;

/// Settings, each with its default in the configuration.
#[derive(Debug, Clone)]
pub struct SchedulerOptions {
    /// Threads.
    pub workers: usize,
    /// How long a thread without work lives.
    pub worker_expiry: Duration,
    /// Whether all threads are started at once, and stay.
    pub pre_alloc: bool,
    /// Tasks that may wait for one database.
    pub queue_depth: usize,
    /// Tasks that may wait altogether; 0 = as many as the queues may hold.
    pub max_total_queued: usize,
}

/// Why a task was not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotRun {
    /// The database's queue is full.
    #[error("{depth} operations wait for this database already; try again later")]
    QueueFull {
        /// How many may.
        depth: usize,
    },
    /// All queues together are full.
    #[error("{depth} operations wait already; try again later")]
    TotalFull {
        /// How many may.
        depth: usize,
    },
    /// Its time was up before its turn.
    #[error("the deadline passed while the operation waited for its turn")]
    Expired,
    /// The database was dropped, or the server stops.
    #[error("the server stops, or the database was dropped")]
    Stopped,
    /// There is no thread, and the system gives none.
    #[error("the system refuses to start a thread; try again later")]
    NoThread,
}

impl Coded for NotRun {
    fn code(&self) -> Code {
        match self {
            Self::QueueFull { .. } | Self::TotalFull { .. } | Self::NoThread => Code::QueueFull,
            Self::Expired => Code::Timeout,
            Self::Stopped => Code::PoolStopped,
        }
    }
}

/// What a task is told when its turn has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Run now.
    Go,
    /// It will not run: answer whoever waits.
    Not(NotRun),
}

/// How a task ended.
pub enum Ran {
    /// It is done, or has answered.
    Done,
    /// It cannot go on now. It stays the first of its lane.
    Again(Task, HoldFor),
}

/// How long a database's queue is held for a task that cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldFor {
    /// As [`Scheduler::hold`] has said, before what will end it was begun.
    AsSaid,
    /// For so long.
    Time(Duration),
}

/// Work for one database.
pub struct Task {
    cost: u64,
    lane: Option<Lane>,
    deadline: Option<Instant>,
    work: Box<dyn FnOnce(Turn) -> Ran + Send>,
}

impl Task {
    /// A task of `bytes` of payload. `work` is called exactly once; when it is given back by
    /// [`Ran::Again`] the new task is.
    pub fn new(bytes: usize, work: impl FnOnce(Turn) -> Ran + Send + 'static) -> Self {
        let cost = 1 + bytes as u64 / COST_BYTES;
        Self { cost, lane: None, deadline: None, work: Box::new(work) }
    }

    /// Keeps it behind what was handed in before it in the same lane.
    #[must_use]
    pub fn in_lane(self, lane: Option<Lane>) -> Self {
        Self { lane, ..self }
    }

    /// It is not begun after this time.
    #[must_use]
    pub fn until(self, deadline: Option<Instant>) -> Self {
        Self { deadline, ..self }
    }

    fn refuse(self, why: NotRun) {
        let refuse = AssertUnwindSafe(move || (self.work)(Turn::Not(why)));
        if catch_unwind(refuse).is_err() {
            tracing::error!(%why, "a refused task panicked");
        }
    }
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task").field("cost", &self.cost).finish_non_exhaustive()
    }
}

/// What the scheduler is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchedulerStats {
    /// Threads that there may be.
    pub pool_capacity: usize,
    /// Threads that there are.
    pub started_workers: usize,
    /// Threads that have a task.
    pub running_workers: usize,
    /// Threads that could take one, those not started included.
    pub free_workers: usize,
    /// Tasks that wait.
    pub waiting_tasks: usize,
    /// Tasks that ran.
    pub tasks_total: u64,
    /// Of them, those that panicked.
    pub panics_total: u64,
    /// Tasks that were not let in.
    pub refused_total: u64,
    /// Tasks whose deadline passed while they waited.
    pub expired_total: u64,
    /// Threads that the system refused.
    pub spawn_failures_total: u64,
}

struct State {
    queues: Queues<Task>,
    threads: usize,
    running: usize,
    idle: usize,
    stopping: bool,
    /// Nothing is put back any more.
    discarding: bool,
    named: u64,
    handles: Vec<JoinHandle<()>>,
    tasks_total: u64,
    panics_total: u64,
    refused_total: u64,
    expired_total: u64,
    spawn_failures_total: u64,
}

struct Shared {
    options: SchedulerOptions,
    clock: ClockRef,
    spawner: Arc<dyn Spawner>,
    state: Mutex<State>,
    /// Workers without a task wait here.
    work: Condvar,
    /// Whoever waits for the workers to have nothing to do.
    idle: Condvar,
}

/// The pool and its queues. Cheap to clone; clones are the same.
#[derive(Clone)]
pub struct Scheduler(Arc<Shared>);

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler").field("stats", &self.stats()).finish()
    }
}

impl Scheduler {
    /// A scheduler on threads of the system.
    #[must_use]
    pub fn new(options: SchedulerOptions, clock: ClockRef) -> Self {
        Self::with_spawner(options, clock, Arc::new(SystemSpawner))
    }

    /// A scheduler on threads of `spawner`. Threads that cannot be started at once are missing, with
    /// a warning, and are tried again when there is work for them.
    #[must_use]
    pub fn with_spawner(
        mut options: SchedulerOptions,
        clock: ClockRef,
        spawner: Arc<dyn Spawner>,
    ) -> Self {
        options.workers = options.workers.max(1);
        let depths =
            Depths { queue_max: options.queue_depth.max(1), total_max: options.max_total_queued };
        let state = State {
            queues: Queues::new(depths),
            threads: 0,
            running: 0,
            idle: 0,
            stopping: false,
            discarding: false,
            named: 0,
            handles: Vec::new(),
            tasks_total: 0,
            panics_total: 0,
            refused_total: 0,
            expired_total: 0,
            spawn_failures_total: 0,
        };
        let wanted = if options.pre_alloc { options.workers } else { 0 };
        let (work, idle) = (Condvar::new(), Condvar::new());
        let shared = Shared { options, clock, spawner, state: Mutex::new(state), work, idle };
        let scheduler = Self(Arc::new(shared));
        for _ in 0..wanted {
            if !scheduler.0.start_thread(scheduler.0.lock()).1 {
                break;
            }
        }
        scheduler
    }

    /// A queue for one more database, with its share of the workers beside others of weight 1.
    #[must_use]
    pub fn add_queue(&self, weight: u64) -> QueueId {
        self.0.lock().queues.add(weight)
    }

    /// Removes a queue. What waits in it is told `Stopped`.
    pub fn remove_queue(&self, queue: QueueId) {
        let items = self.0.lock().queues.remove(queue);
        items.into_iter().for_each(|item| item.task.refuse(NotRun::Stopped));
    }

    /// Hands a task in. Takes a short lock and never waits. A task that is not let in is told so
    /// before this returns.
    pub fn submit(&self, queue: QueueId, task: Task) {
        let shared = &self.0;
        let since = shared.clock.now();
        let mut state = shared.lock();
        if state.stopping {
            drop(state);
            task.refuse(NotRun::Stopped);
            return;
        }
        let (cost, lane) = (task.cost, task.lane);
        if let Err((item, full)) = state.queues.push(queue, Item { task, cost, lane, since }) {
            state.refused_total += 1;
            drop(state);
            let options = &shared.options;
            item.task.refuse(match full {
                Full::Queue => NotRun::QueueFull { depth: options.queue_depth.max(1) },
                Full::Total => NotRun::TotalFull { depth: options.max_total_queued },
                Full::Gone => NotRun::Stopped,
            });
            return;
        }
        shared.wake(state);
    }

    /// Keeps a queue's tasks where they are until [`Scheduler::release`].
    pub fn hold(&self, queue: QueueId) {
        self.0.lock().queues.hold(queue, Release::Called);
    }

    /// Lets a held queue go on.
    pub fn release(&self, queue: QueueId) {
        let mut state = self.0.lock();
        state.queues.release(queue);
        self.0.wake(state);
    }

    /// What one queue looks like.
    #[must_use]
    pub fn queue_stats(&self, queue: QueueId) -> QueueStats {
        self.0.lock().queues.stats(queue)
    }

    /// What the scheduler is doing.
    #[must_use]
    pub fn stats(&self) -> SchedulerStats {
        let state = self.0.lock();
        SchedulerStats {
            pool_capacity: self.0.options.workers,
            started_workers: state.threads,
            running_workers: state.running,
            free_workers: self.0.options.workers - state.running,
            waiting_tasks: state.queues.waiting(),
            tasks_total: state.tasks_total,
            panics_total: state.panics_total,
            refused_total: state.refused_total,
            expired_total: state.expired_total,
            spawn_failures_total: state.spawn_failures_total,
        }
    }

    /// Refuses further tasks. Those that wait still run.
    pub fn refuse(&self) {
        self.0.lock().stopping = true;
        self.0.work.notify_all();
    }

    /// Waits until no task waits or runs, or `time` is over; says whether that is so.
    #[must_use]
    pub fn wait_idle(&self, time: Duration) -> bool {
        let busy = |state: &mut State| state.running > 0 || state.queues.waiting() > 0;
        let state = self.0.lock();
        let waited = self.0.idle.wait_timeout_while(state, time, busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Tells everything that waits `Stopped`, and what cannot go on from now on; says how many
    /// waited. After [`Scheduler::refuse`].
    pub fn discard_waiting(&self) -> usize {
        let items = {
            let mut state = self.0.lock();
            state.discarding = true;
            state.queues.drain()
        };
        let count = items.len();
        items.into_iter().for_each(|item| item.task.refuse(NotRun::Stopped));
        self.0.idle.notify_all();
        count
    }

    /// Refuses further tasks, discards those that wait, and joins the threads.
    ///
    /// # Panics
    /// When called from a task, which would wait for itself.
    pub fn stop(&self) {
        self.refuse();
        self.discard_waiting();
        let handles = std::mem::take(&mut self.0.lock().handles);
        let this = std::thread::current().id();
        assert!(
            handles.iter().all(|handle| handle.thread().id() != this),
            "a scheduler is not stopped from a task of its own"
        );
        for handle in handles {
            // Its loop catches what tasks do, and has nothing else to fail with.
            _ = handle.join();
        }
    }
}

impl Shared {
    /// The state is bookkeeping that no panic can interrupt, so a poisoned lock is usable.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has somebody look at the queues.
    fn wake(self: &Arc<Self>, state: MutexGuard<'_, State>) {
        if state.idle > 0 {
            drop(state);
            self.work.notify_one();
            return;
        }
        if state.threads < self.options.workers && state.queues.waiting() > 0 {
            let (mut state, _) = self.start_thread(state);
            if state.threads == 0 {
                let stranded = state.queues.drain();
                state.refused_total += stranded.len() as u64;
                drop(state);
                stranded.into_iter().for_each(|item| item.task.refuse(NotRun::NoThread));
            }
        }
    }

    /// Starts one more thread, without the lock; its place is taken before and given back when the
    /// system refuses, which the second answer says.
    fn start_thread<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
    ) -> (MutexGuard<'a, State>, bool) {
        state.threads += 1;
        state.named += 1;
        let name = format!("worker-{}", state.named);
        drop(state);
        let shared = Arc::clone(self);
        let started = self.spawner.spawn(&name, Box::new(move || shared.work_off()));
        let mut state = self.lock();
        match started {
            Ok(handle) => {
                state.handles.retain(|handle| !handle.is_finished());
                state.handles.push(handle);
                (state, true)
            }
            Err(error) => {
                state.threads -= 1;
                state.spawn_failures_total += 1;
                let (has, wanted) = (state.threads, self.options.workers);
                tracing::warn!(has, wanted, %error, "fewer workers than asked for");
                (state, false)
            }
        }
    }

    /// A thread's life.
    fn work_off(&self) {
        let mut state = self.lock();
        loop {
            let run;
            (state, run) = self.next(state);
            let Some(run) = run else { break };
            state.running += 1;
            drop(state);
            state = self.run(run);
            state.running -= 1;
            if state.running == 0 && state.queues.waiting() == 0 {
                self.idle.notify_all();
            }
        }
        state.threads -= 1;
        drop(state);
        self.idle.notify_all();
    }

    /// Waits for something to do. None when the thread is to end.
    fn next<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> (MutexGuard<'a, State>, Option<Run<Task>>) {
        loop {
            let now = self.clock.now();
            if let Some(run) = state.queues.pop(now) {
                return (state, Some(run));
            }
            if state.stopping && state.queues.waiting() == 0 {
                return (state, None);
            }
            // Somebody has to be there when a held queue may go on.
            let expiry = self.options.worker_expiry;
            let wait = state.queues.due().map_or(expiry, |due| due.since(now).min(expiry));
            state.idle += 1;
            let (after, timeout) =
                self.work.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
            state = after;
            state.idle -= 1;
            let may_end = !self.options.pre_alloc && state.queues.waiting() == 0;
            if timeout.timed_out() && may_end {
                return (state, None);
            }
        }
    }

    /// Runs what was handed out, in order. What cannot go on is put back with all that follows.
    fn run(&self, run: Run<Task>) -> MutexGuard<'_, State> {
        let Run { queue, lane, mut items } = run;
        let (mut ran, mut panicked, mut expired) = (0, 0, 0);
        let mut again = None;
        while let Some(item) = items.pop_front() {
            let Item { task, cost, since, .. } = item;
            let late = task.deadline.is_some_and(|deadline| deadline <= self.clock.now());
            let turn = if late { Turn::Not(NotRun::Expired) } else { Turn::Go };
            expired += u64::from(late);
            ran += u64::from(!late);
            let deadline = task.deadline;
            match catch_unwind(AssertUnwindSafe(|| (task.work)(turn))) {
                Ok(Ran::Done) => {}
                Ok(Ran::Again(task, hold)) => {
                    let task = Task { lane, deadline, ..task };
                    items.push_front(Item { task, cost, lane, since });
                    again = Some(hold);
                    break;
                }
                Err(panic) => {
                    panicked += 1;
                    tracing::error!(code = Code::Internal.name(), "a task panicked");
                    // Its destructor may panic too; leaking it ends the matter.
                    std::mem::forget(panic);
                }
            }
        }
        let mut state = self.lock();
        state.tasks_total += ran;
        state.panics_total += panicked;
        state.expired_total += expired;
        match again {
            None => state.queues.finished(queue, lane),
            Some(hold) => {
                if let HoldFor::Time(time) = hold {
                    let until = Release::At(self.clock.now().after(time));
                    state.queues.hold(queue, until);
                }
                let gone = match state.discarding {
                    true => items.into(),
                    false => state.queues.put_back(Run { queue, lane, items }),
                };
                if !gone.is_empty() {
                    drop(state);
                    gone.into_iter().for_each(|item| item.task.refuse(NotRun::Stopped));
                    state = self.lock();
                }
            }
        }
        state
    }
}

#[cfg(test)]
mod tests;
