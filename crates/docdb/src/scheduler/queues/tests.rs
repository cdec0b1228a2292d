//! Order, fairness and limits of the queues, without threads.

use std::time::Duration;

use super::*;

const FREE: Depths = Depths { queue_max: 1000, total_max: 0 };

fn item(task: u32, cost: u64, lane: Option<u64>) -> Item<u32> {
    Item { task, cost, lane: lane.map(Lane), since: Instant(0) }
}

fn push(queues: &mut Queues<u32>, id: QueueId, task: u32, lane: Option<u64>) {
    queues.push(id, item(task, 1, lane)).unwrap();
}

/// Everything that may run now, each run finished before the next begins.
fn drained(queues: &mut Queues<u32>) -> Vec<u32> {
    let mut tasks = Vec::new();
    while let Some(run) = queues.pop(Instant(0)) {
        tasks.extend(run.items.iter().map(|item| item.task));
        queues.finished(run.queue, run.lane);
    }
    tasks
}

#[test]
fn tasks_of_one_database_run_in_the_order_in_which_they_came() {
    let mut queues = Queues::new(FREE);
    let id = queues.add(1);
    for n in 0..100 {
        push(&mut queues, id, n, (n % 3 == 0).then_some(7));
    }
    let drained = drained(&mut queues);
    let lane: Vec<u32> = drained.iter().copied().filter(|n| n % 3 == 0).collect();
    let others: Vec<u32> = drained.iter().copied().filter(|n| n % 3 != 0).collect();
    assert_eq!((lane.len(), others.len()), (34, 66));
    assert!(lane.is_sorted() && others.is_sorted());
    assert_eq!(queues.waiting(), 0);
}

#[test]
fn tasks_of_a_lane_never_run_beside_each_other() {
    let mut queues = Queues::new(FREE);
    let id = queues.add(1);
    for n in 0..40 {
        push(&mut queues, id, n, Some(1));
    }
    let first = queues.pop(Instant(0)).unwrap();
    assert_eq!(first.items.len(), RUN_MAX, "a lane is handed out in runs");
    assert!(queues.pop(Instant(0)).is_none(), "the lane is taken");
    push(&mut queues, id, 99, None);
    assert_eq!(queues.pop(Instant(0)).unwrap().items[0].task, 99, "others go on");
    queues.finished(id, Some(Lane(1)));
    assert_eq!(queues.pop(Instant(0)).unwrap().items[0].task, 16);
}

#[test]
fn a_flooded_database_delays_a_quiet_one_by_one_turn_at_most() {
    let mut queues = Queues::new(FREE);
    let (flooded, quiet) = (queues.add(1), queues.add(1));
    for n in 0..500 {
        push(&mut queues, flooded, n, None);
    }
    for _ in 0..50 {
        drop(queues.pop(Instant(0)).unwrap());
    }
    push(&mut queues, quiet, 1000, None);
    let waited = std::iter::from_fn(|| queues.pop(Instant(0)))
        .take_while(|run| run.queue != quiet)
        .count() as u64;
    assert!(waited <= 2 * QUANTUM, "{waited} tasks went first");
}

#[test]
fn shares_follow_cost_and_weight() {
    for (weights, costs, ratio) in
        [((1, 1), (1, 1), 1.0), ((3, 1), (1, 1), 3.0), ((1, 1), (1, 8), 8.0)]
    {
        let mut queues = Queues::new(FREE);
        let (a, b) = (queues.add(weights.0), queues.add(weights.1));
        for n in 0..1000 {
            queues.push(a, item(n, costs.0, None)).unwrap();
            queues.push(b, item(n, costs.1, None)).unwrap();
        }
        let (mut of_a, mut of_b) = (0.0, 0.0);
        for _ in 0..800 {
            if queues.pop(Instant(0)).unwrap().queue == a { of_a += 1.0 } else { of_b += 1.0 }
        }
        let found: f64 = of_a / of_b;
        assert!((found / ratio - 1.0).abs() < 0.15, "{found} instead of {ratio}");
    }
}

#[test]
fn a_task_that_costs_more_than_a_turn_still_gets_its_turn() {
    let mut queues = Queues::new(FREE);
    let (large, small) = (queues.add(1), queues.add(1));
    queues.push(large, item(1, 100 * QUANTUM, Some(5))).unwrap();
    for n in 0..900 {
        push(&mut queues, small, n, None);
    }
    let found = std::iter::from_fn(|| queues.pop(Instant(0))).any(|run| run.queue == large);
    assert!(found);
}

#[test]
fn full_queues_refuse_and_say_which_is_full() {
    let mut queues = Queues::new(Depths { queue_max: 2, total_max: 3 });
    let (a, b) = (queues.add(1), queues.add(1));
    push(&mut queues, a, 1, None);
    push(&mut queues, a, 2, None);
    assert_eq!(queues.push(a, item(3, 1, None)).unwrap_err().1, Full::Queue);
    push(&mut queues, b, 3, None);
    assert_eq!(queues.push(b, item(4, 1, None)).unwrap_err().1, Full::Total);
    let gone: Vec<u32> = queues.remove(a).into_iter().map(|item| item.task).collect();
    assert_eq!(gone, [1, 2]);
    assert_eq!(queues.push(a, item(5, 1, None)).unwrap_err().1, Full::Gone);
    assert_eq!(drained(&mut queues), [3]);
}

#[test]
fn a_held_queue_keeps_its_tasks_until_it_is_released_or_its_time_has_come() {
    let mut queues = Queues::new(FREE);
    let (a, b) = (queues.add(1), queues.add(1));
    push(&mut queues, a, 1, None);
    push(&mut queues, b, 2, None);
    queues.hold(a, Release::Called);
    assert_eq!(drained(&mut queues), [2]);
    assert!(queues.stats(a).held);
    queues.release(a);
    assert_eq!(drained(&mut queues), [1]);
    push(&mut queues, a, 3, None);
    queues.hold(a, Release::At(Instant(100)));
    assert!(drained(&mut queues).is_empty());
    assert_eq!(queues.due(), Some(Instant(100)));
    // Also while others keep the workers busy.
    push(&mut queues, b, 4, None);
    let first = queues.pop(Instant(100)).unwrap();
    let second = queues.pop(Instant(100)).unwrap();
    let mut both = [first.items[0].task, second.items[0].task];
    both.sort_unstable();
    assert_eq!(both, [3, 4]);
    assert_eq!(queues.due(), None);
}

#[test]
fn what_is_put_back_comes_before_what_came_later() {
    let mut queues = Queues::new(FREE);
    let id = queues.add(1);
    for n in 0..5 {
        push(&mut queues, id, n, Some(1));
    }
    let mut run = queues.pop(Instant(0)).unwrap();
    assert_eq!(run.items.pop_front().unwrap().task, 0);
    push(&mut queues, id, 5, Some(1));
    assert!(queues.put_back(run).is_empty());
    assert_eq!(drained(&mut queues), [1, 2, 3, 4, 5]);
    push(&mut queues, id, 6, None);
    let run = queues.pop(Instant(0)).unwrap();
    queues.remove(id);
    let gone: Vec<u32> = queues.put_back(run).into_iter().map(|item| item.task).collect();
    assert_eq!(gone, [6], "its database is gone");
}

#[test]
fn waits_are_measured() {
    let mut queues = Queues::new(FREE);
    let id = queues.add(1);
    push(&mut queues, id, 1, None);
    queues.pop(Instant(5_000)).unwrap();
    let stats = queues.stats(id);
    assert_eq!((stats.handed_out, stats.longest_wait), (1, Duration::from_nanos(5_000)));
    assert_eq!(queues.stats(id).longest_wait, Duration::ZERO, "since the last look");
}
