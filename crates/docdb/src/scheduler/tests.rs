//! The scheduler's threads: nobody is forgotten, whatever happens to a task.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use base::clock::SystemClock;

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

fn options(workers: usize) -> SchedulerOptions {
    SchedulerOptions {
        workers,
        worker_expiry: Duration::from_secs(1),
        pre_alloc: false,
        queue_depth: 1000,
        max_total_queued: 0,
    }
}

fn scheduler(workers: usize) -> Scheduler {
    Scheduler::new(options(workers), SystemClock::shared())
}

fn telling(told: &SyncSender<Turn>) -> impl FnOnce(Turn) -> Ran + Send + 'static {
    let told = told.clone();
    move |turn| {
        told.send(turn).expect("somebody listens");
        Ran::Done
    }
}

fn hear(told: &Receiver<Turn>) -> Turn {
    told.recv_timeout(PATIENCE).expect("everybody is told")
}

#[test]
fn tasks_run_and_one_that_panics_takes_no_worker_with_it() {
    let scheduler = scheduler(1);
    let queue = scheduler.add_queue(1);
    let (tell, told) = sync_channel(10);
    scheduler.submit(queue, Task::new(0, |_| panic!("a defect")));
    scheduler.submit(queue, Task::new(0, telling(&tell)));
    assert_eq!(hear(&told), Turn::Go);
    assert!(scheduler.wait_idle(PATIENCE));
    let stats = scheduler.stats();
    assert_eq!((stats.tasks_total, stats.panics_total, stats.started_workers), (2, 1, 1));
    scheduler.stop();
    scheduler.submit(queue, Task::new(0, telling(&tell)));
    assert_eq!(hear(&told), Turn::Not(NotRun::Stopped));
}

#[test]
fn a_task_whose_deadline_has_passed_is_told_so_and_not_run() {
    let scheduler = scheduler(1);
    let queue = scheduler.add_queue(1);
    let (tell, told) = sync_channel(10);
    scheduler.submit(queue, Task::new(0, telling(&tell)).until(Some(Instant(0))));
    assert_eq!(hear(&told), Turn::Not(NotRun::Expired));
    assert!(scheduler.wait_idle(PATIENCE));
    assert_eq!(scheduler.stats().expired_total, 1);
    scheduler.stop();
}

#[test]
fn what_cannot_go_on_comes_again_before_what_is_behind_it_and_holds_up_nobody_else() {
    let scheduler = scheduler(1);
    let (stuck, free) = (scheduler.add_queue(1), scheduler.add_queue(1));
    let (tell, told) = sync_channel(10);
    let order = Arc::new(Mutex::new(Vec::new()));
    let again = {
        let order = Arc::clone(&order);
        move |_| {
            Ran::Again(
                Task::new(0, move |_| {
                    order.lock().unwrap().push("first");
                    Ran::Done
                }),
                HoldFor::AsSaid,
            )
        }
    };
    scheduler.hold(stuck);
    scheduler.submit(stuck, Task::new(0, again).in_lane(Some(Lane(1))));
    let (behind, last) = (Arc::clone(&order), telling(&tell));
    let second = move |turn| {
        behind.lock().unwrap().push("second");
        last(turn)
    };
    scheduler.submit(stuck, Task::new(0, second).in_lane(Some(Lane(1))));
    scheduler.submit(free, Task::new(0, telling(&tell)));
    assert_eq!(hear(&told), Turn::Go, "the other database goes on");
    scheduler.release(stuck);
    assert_eq!(hear(&told), Turn::Go);
    assert_eq!(*order.lock().unwrap(), ["first", "second"]);
    scheduler.stop();
}

#[test]
fn what_is_held_for_a_time_goes_on_by_itself() {
    let scheduler = scheduler(2);
    let queue = scheduler.add_queue(1);
    let (tell, told) = sync_channel(10);
    let later = telling(&tell);
    let hold = HoldFor::Time(Duration::from_millis(1));
    scheduler.submit(queue, Task::new(0, move |_| Ran::Again(Task::new(0, later), hold)));
    assert_eq!(hear(&told), Turn::Go);
    scheduler.stop();
}

#[test]
fn a_full_queue_refuses_and_stopping_tells_everybody_who_waits() {
    let full = SchedulerOptions { queue_depth: 2, ..options(1) };
    let scheduler = Scheduler::new(full, SystemClock::shared());
    let queue = scheduler.add_queue(1);
    let (tell, told) = sync_channel(10);
    scheduler.hold(queue);
    for _ in 0..3 {
        scheduler.submit(queue, Task::new(0, telling(&tell)));
    }
    assert_eq!(hear(&told), Turn::Not(NotRun::QueueFull { depth: 2 }));
    scheduler.stop();
    assert_eq!(hear(&told), Turn::Not(NotRun::Stopped));
    assert_eq!(hear(&told), Turn::Not(NotRun::Stopped));
    assert_eq!(scheduler.stats().refused_total, 1);
}

/// Gives so many threads and no more.
#[derive(Debug)]
struct Stingy(AtomicUsize);

impl Spawner for Stingy {
    fn spawn(
        &self,
        name: &str,
        work: Box<dyn FnOnce() + Send + 'static>,
    ) -> io::Result<JoinHandle<()>> {
        let taken = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
        taken.map_err(|_| io::Error::from(io::ErrorKind::WouldBlock))?;
        SystemSpawner.spawn(name, work)
    }
}

#[test]
fn without_threads_everybody_is_told_and_with_too_few_the_work_is_done() {
    let (tell, told) = sync_channel(100);
    for threads in [0, 1] {
        let spawner = Arc::new(Stingy(AtomicUsize::new(threads)));
        let scheduler = Scheduler::with_spawner(options(4), SystemClock::shared(), spawner);
        let queue = scheduler.add_queue(1);
        for _ in 0..20 {
            scheduler.submit(queue, Task::new(0, telling(&tell)));
        }
        let expected = if threads == 0 { Turn::Not(NotRun::NoThread) } else { Turn::Go };
        for _ in 0..20 {
            assert_eq!(hear(&told), expected);
        }
        assert!(scheduler.stats().spawn_failures_total > 0 || threads == 1);
        scheduler.stop();
    }
}

#[test]
fn every_lane_keeps_its_order_under_many_threads() {
    let scheduler = Scheduler::new(
        SchedulerOptions { queue_depth: 100_000, ..options(8) },
        SystemClock::shared(),
    );
    let queues: Vec<QueueId> = (0..3).map(|_| scheduler.add_queue(1)).collect();
    let seen: Arc<Vec<Mutex<Vec<u32>>>> = Arc::new((0..6).map(|_| Mutex::default()).collect());
    for n in 0..3000_u32 {
        let lane = n as usize % 6;
        let seen = Arc::clone(&seen);
        let note = move |_| {
            // Whoever holds it already would be in the same lane.
            seen[lane].try_lock().expect("nobody else of this lane runs").push(n);
            Ran::Done
        };
        scheduler.submit(queues[lane % 3], Task::new(0, note).in_lane(Some(Lane(lane as u64))));
    }
    assert!(scheduler.wait_idle(PATIENCE));
    scheduler.stop();
    assert_eq!(scheduler.stats().panics_total, 0);
    for lane in seen.iter() {
        let lane = lane.lock().unwrap();
        assert_eq!(lane.len(), 500);
        assert!(lane.is_sorted());
    }
}
