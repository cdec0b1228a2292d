//! Tests of the pool. Every wait is for a message or a condition; none is for time to pass.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::*;
use crate::error::{Code, Coded};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(3600);

fn options(workers: usize, queue_max: usize) -> PoolOptions {
    PoolOptions {
        name: "test".into(),
        workers,
        queue_max,
        worker_expiry: LONG,
        start: Start::OnDemand,
    }
}

/// A place where tasks report that they have begun and then wait to be let go.
struct Gate {
    begun: Receiver<()>,
    report: SyncSender<()>,
    open: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    fn new() -> Self {
        let (report, begun) = sync_channel(100);
        Self { begun, report, open: Arc::default() }
    }

    fn task(&self) -> Task {
        let (report, open) = (self.report.clone(), self.open.clone());
        let work = move || {
            report.send(()).unwrap();
            drop(open.1.wait_while(open.0.lock().unwrap(), |open| !*open).unwrap());
        };
        Task::new(work, |why| panic!("not expected to fail: {why}"))
    }

    fn open(&self) {
        *self.open.0.lock().unwrap() = true;
        self.open.1.notify_all();
    }
}

/// A task that reports what became of it: `Ok(())` or why it failed.
fn reporting(
    to: &SyncSender<Result<(), TaskFailure>>,
    work: impl FnOnce() + Send + 'static,
) -> Task {
    let (ran, failed) = (to.clone(), to.clone());
    let work = move || {
        work();
        ran.send(Ok(())).unwrap();
    };
    Task::new(work, move |why| failed.send(Err(why)).unwrap())
}

/// Starts threads as long as `left` allows; holds up an attempt that is going to fail until
/// `hold` is open.
#[derive(Debug, Default)]
struct Limited {
    left: AtomicUsize,
    attempts: AtomicUsize,
    hold: Option<(SyncSender<()>, Mutex<Receiver<()>>)>,
}

impl Limited {
    fn to(threads: usize) -> Arc<Self> {
        Arc::new(Self { left: threads.into(), ..Self::default() })
    }
}

impl Spawner for Limited {
    fn spawn(&self, name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>> {
        self.attempts.fetch_add(1, Ordering::SeqCst);
        let take = |left: usize| left.checked_sub(1);
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
            return SystemSpawner.spawn(name, work);
        }
        if let Some((attempted, go_on)) = &self.hold {
            attempted.send(()).unwrap();
            go_on.lock().unwrap().recv().unwrap();
        }
        Err(io::ErrorKind::WouldBlock.into())
    }
}

fn wait_for(pool: &Pool, condition: impl Fn(&State) -> bool) {
    let state = pool.shared.lock();
    drop(pool.shared.changed.wait_while(state, |state| !condition(state)).unwrap());
}

#[test]
fn threads_and_waiting_tasks_are_bounded_and_what_is_more_is_refused() {
    let pool = Pool::new(options(2, 3));
    let gate = Gate::new();
    for _ in 0..2 {
        pool.submit(gate.task()).unwrap();
        gate.begun.recv().unwrap();
    }
    for _ in 0..3 {
        pool.submit(gate.task()).unwrap();
    }
    let refused = pool.submit(gate.task()).unwrap_err();
    assert_eq!((refused.why, refused.code()), (WhyRefused::QueueFull, Code::QueueFull));
    assert!(refused.retryable());
    let stats = pool.stats();
    let expected = PoolStats {
        pool_capacity: 2,
        started_workers: 2,
        running_workers: 2,
        waiting_tasks: 3,
        refused_total: 1,
        ..PoolStats::default()
    };
    assert_eq!(stats, expected);
    assert!(!pool.wait_idle(Duration::ZERO));
    gate.open();
    assert!(pool.wait_idle(LONG));
    let stats = pool.stats();
    assert_eq!((stats.tasks_total, stats.free_workers, stats.running_workers), (5, 2, 0));
    // The task that came back is whole and can be handed in again.
    pool.submit(refused.task).unwrap();
    pool.stop();
    assert_eq!(pool.stats().tasks_total, 6);
}

#[test]
fn a_queue_of_no_room_still_gives_work_to_a_free_thread() {
    let pool = Pool::new(options(1, 0));
    let gate = Gate::new();
    pool.submit(gate.task()).unwrap();
    assert!(pool.submit(gate.task()).is_err());
    gate.open();
    assert!(pool.wait_idle(LONG));
    pool.submit(gate.task()).unwrap();
    pool.stop();
}

#[test]
fn one_thread_takes_tasks_in_the_order_they_came() {
    let pool = Pool::new(options(1, 100));
    let (done, results) = sync_channel(100);
    for n in 0..50 {
        let done = done.clone();
        pool.submit(Task::new(move || done.send(n).unwrap(), |_| {})).unwrap();
    }
    assert!(results.iter().take(50).eq(0..50));
}

#[test]
fn a_panic_is_counted_and_told_and_takes_no_thread() {
    let spawner = Limited::to(1);
    let pool = Pool::with_spawner(options(1, 10), spawner.clone());
    let (report, reports) = sync_channel(10);
    let long = "é".repeat(1000);
    pool.submit(reporting(&report, || panic!("on purpose"))).unwrap();
    pool.submit(reporting(&report, move || panic!("{long}"))).unwrap();
    pool.submit(reporting(&report, || std::panic::panic_any(7))).unwrap();
    pool.submit(Task::new(|| panic!("x"), |_| panic!("the callback too"))).unwrap();
    pool.submit(reporting(&report, || {})).unwrap();
    let messages: Vec<_> = reports.iter().take(4).map(|r| r.map_err(|e| e.to_string())).collect();
    let expected = [
        Err("the task panicked: on purpose".to_owned()),
        Err(format!("the task panicked: {}", "é".repeat(128))),
        Err("the task panicked: no message".to_owned()),
        Ok(()),
    ];
    assert_eq!(messages, expected);
    pool.stop();
    let stats = pool.stats();
    assert_eq!((stats.tasks_total, stats.panics_total), (5, 4));
    assert_eq!(spawner.attempts.load(Ordering::SeqCst), 1);
}

#[test]
fn idle_threads_end_and_new_work_starts_new_ones() {
    let pool = Pool::new(PoolOptions { worker_expiry: Duration::ZERO, ..options(3, 100) });
    let (report, reports) = sync_channel(1);
    for _ in 0..20 {
        pool.submit(reporting(&report, || {})).unwrap();
        assert_eq!(reports.recv().unwrap(), Ok(()));
        wait_for(&pool, |state| state.threads == 0);
        assert_eq!(pool.stats().started_workers, 0);
    }
}

#[test]
fn threads_started_at_once_stay_when_idle() {
    let spawner = Limited::to(1000);
    let at_once =
        PoolOptions { start: Start::AtOnce, worker_expiry: Duration::ZERO, ..options(3, 10) };
    let pool = Pool::with_spawner(at_once, spawner.clone());
    assert_eq!(pool.stats().started_workers, 3);
    let (report, reports) = sync_channel(1);
    for _ in 0..100 {
        pool.submit(reporting(&report, || {})).unwrap();
        assert_eq!(reports.recv().unwrap(), Ok(()));
    }
    pool.stop();
    assert_eq!(spawner.attempts.load(Ordering::SeqCst), 3);
}

#[test]
fn a_pool_with_fewer_threads_than_asked_works_and_says_so() {
    let spawner = Limited::to(2);
    let at_once = PoolOptions { start: Start::AtOnce, ..options(4, 10) };
    let pool = Pool::with_spawner(at_once, spawner.clone());
    let stats = pool.stats();
    assert_eq!((stats.pool_capacity, stats.started_workers), (4, 2));
    assert!(stats.short_of_workers && stats.spawn_failures_total == 1);
    let gate = Gate::new();
    for _ in 0..5 {
        pool.submit(gate.task()).unwrap();
    }
    // Once the system has threads again, work brings them.
    spawner.left.store(2, Ordering::SeqCst);
    pool.submit(gate.task()).unwrap();
    let stats = pool.stats();
    assert_eq!((stats.started_workers, stats.short_of_workers), (3, false));
    gate.open();
    pool.stop();
    assert_eq!(pool.stats().tasks_total, 6);
}

#[test]
fn without_any_thread_tasks_are_refused_and_not_kept() {
    let pool = Pool::with_spawner(options(4, 10), Limited::to(0));
    let refused = pool.submit(Task::new(|| {}, |_| {})).unwrap_err();
    assert_eq!((refused.why, refused.code()), (WhyRefused::NoThread, Code::QueueFull));
    assert_eq!(pool.stats().waiting_tasks, 0);
    pool.stop();
}

#[test]
fn a_task_that_counted_on_a_thread_that_never_came_is_told() {
    let (attempted, attempts) = sync_channel(1);
    let (let_go, go_on) = sync_channel(1);
    let hold = Some((attempted, Mutex::new(go_on)));
    let spawner = Arc::new(Limited { hold, ..Limited::default() });
    let pool = Arc::new(Pool::with_spawner(options(1, 10), spawner));
    let (report, reports) = sync_channel(1);
    let (first_pool, first_task) = (pool.clone(), reporting(&report, || {}));
    let first = crate::workers::spawn("first", move || first_pool.submit(first_task)).unwrap();
    attempts.recv().unwrap();
    // The only thread is being started, so this one is taken in.
    pool.submit(reporting(&report, || {})).unwrap();
    let_go.send(()).unwrap();
    assert_eq!(first.join().unwrap().unwrap_err().why, WhyRefused::NoThread);
    assert_eq!(reports.recv().unwrap(), Err(TaskFailure::NoThread));
    assert_eq!(pool.stats().discarded_total, 1);
}

#[test]
fn stopping_finishes_what_was_accepted_and_refuses_the_rest() {
    let pool = Pool::new(options(1, 10));
    let gate = Gate::new();
    for _ in 0..5 {
        pool.submit(gate.task()).unwrap();
    }
    pool.refuse();
    let refused = pool.submit(gate.task()).unwrap_err();
    assert_eq!((refused.why, refused.code()), (WhyRefused::Stopped, Code::PoolStopped));
    gate.open();
    pool.stop();
    let stats = pool.stats();
    assert_eq!((stats.tasks_total, stats.started_workers, stats.waiting_tasks), (5, 0, 0));
    pool.stop();
}

#[test]
fn discarding_tells_every_waiting_task_and_counts_them() {
    let pool = Pool::new(options(1, 10));
    let gate = Gate::new();
    pool.submit(gate.task()).unwrap();
    gate.begun.recv().unwrap();
    let (report, reports) = sync_channel(10);
    for _ in 0..3 {
        pool.submit(reporting(&report, || {})).unwrap();
    }
    pool.refuse();
    assert_eq!(pool.discard_waiting(), 3);
    let told: Vec<_> = reports.try_iter().collect();
    assert_eq!(told, vec![Err(TaskFailure::Discarded); 3]);
    assert_eq!(TaskFailure::Discarded.code(), Code::PoolStopped);
    gate.open();
    pool.stop();
    let stats = pool.stats();
    assert_eq!((stats.tasks_total, stats.discarded_total), (1, 3));
}

#[test]
fn dropping_a_pool_discards_what_waits() {
    let pool = Pool::new(options(1, 10));
    let gate = Gate::new();
    pool.submit(gate.task()).unwrap();
    gate.begun.recv().unwrap();
    let (report, reports) = sync_channel(1);
    pool.submit(reporting(&report, || {})).unwrap();
    drop(pool);
    assert_eq!(reports.recv().unwrap(), Err(TaskFailure::Discarded));
    gate.open();
}

#[test]
fn a_task_that_stops_its_own_pool_fails_instead_of_hanging() {
    // Started at once, the thread's handle is known before any task runs.
    let at_once = PoolOptions { start: Start::AtOnce, ..options(1, 1) };
    let pool = Arc::new(Pool::new(at_once));
    let (report, reports) = sync_channel(1);
    let own = pool.clone();
    pool.submit(reporting(&report, move || own.stop())).unwrap();
    let why = reports.recv().unwrap().unwrap_err();
    assert!(why.to_string().contains("a task of its own"), "{why}");
}

#[test]
fn many_threads_may_submit_and_stop_at_once() {
    for round in 0..50 {
        let pool = Arc::new(Pool::new(PoolOptions {
            worker_expiry: Duration::from_micros(round),
            ..options(3, 4)
        }));
        let (ran, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let submitters: Vec<_> = (0..4)
            .map(|_| {
                let (pool, ran, failed) = (pool.clone(), ran.clone(), failed.clone());
                let work = move || {
                    let count = |counter: &Arc<AtomicUsize>| {
                        let counter = counter.clone();
                        move || _ = counter.fetch_add(1, Ordering::SeqCst)
                    };
                    let task = || {
                        let failed = count(&failed);
                        Task::new(count(&ran), move |_| failed())
                    };
                    (0..200).filter(|_| pool.submit(task()).is_ok()).count()
                };
                crate::workers::spawn("submitter", work).unwrap()
            })
            .collect();
        if round % 2 == 0 {
            pool.discard_waiting();
            pool.stop();
        }
        let accepted: usize = submitters.into_iter().map(|s| s.join().unwrap()).sum();
        pool.stop();
        let ended = ran.load(Ordering::SeqCst) + failed.load(Ordering::SeqCst);
        assert_eq!(ended, accepted);
    }
}
