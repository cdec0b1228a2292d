//! The hand-over of group commit under every interleaving that a scheduler can be made to try: a
//! whole [`wal::Log`] on a disk that fails on demand, its threads and locks those of `shuttle`.
//!
//! Compiled only with `--cfg shuttle` (`cargo xtask ci shuttle`): the scheduler finds a thread that
//! waits for ever by itself, because no other thread is left that could wake it. What the threads
//! do is in `load.rs`, what must hold afterwards in `verdict.rs`. `planted.rs` shows that both can
//! fail. More runs: `TESTS_SIM_RUNS` sets their number, `TESTS_SIM_TIMES` multiplies it.
//!
//! Not covered: timed waits never time out here, so nothing that relies on a time-out to go on
//! passes; and the scheduler knows no weak memory orders.

#![cfg(shuttle)]

mod disk;
mod load;
mod planted;
mod verdict;

use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, Runner};

use load::{Failing, Load, Owner};
use sim::seed::Seeds;
use wal::FsyncMode;

/// Runs of each random test; the environment can ask for more. Their seed is always the same: what
/// repeats a run here is the schedule that a failure prints.
fn runs() -> usize {
    usize::try_from(Seeds::from_env(0, 400).runs).expect("as many as a test can count")
}

/// The log's frames on a stack need more than the scheduler's threads have by default.
fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = 512 * 1024;
    config.failure_persistence = FailurePersistence::Print;
    config
}

fn try_all(scheduler: impl Scheduler + 'static, load: Load) {
    Runner::new(scheduler, config()).run(move || verdict::judge(load.run()));
}

/// Both random schedulers: one treats all threads alike, one lets few run far ahead of the others.
fn try_many(load: Load) {
    try_all(RandomScheduler::new_from_seed(0x5EED, runs()), load);
    try_all(PctScheduler::new_from_seed(0x5EED, 3, runs()), load);
}

const MODES: [FsyncMode; 4] = [
    FsyncMode::Group,
    FsyncMode::Always,
    FsyncMode::Interval(std::time::Duration::from_millis(5)),
    FsyncMode::Never,
];

#[test]
fn every_caller_is_answered_when_nothing_fails() {
    for mode in MODES {
        try_many(Load::mixed(mode, Owner::Callers, Failing::Nothing));
    }
}

#[test]
fn every_caller_is_answered_when_a_sync_fails() {
    for mode in MODES {
        try_many(Load::mixed(mode, Owner::Callers, Failing::Sync));
    }
}

#[test]
fn every_caller_is_answered_when_a_write_fails() {
    for mode in MODES {
        try_many(Load::mixed(mode, Owner::Callers, Failing::Write));
    }
}

#[test]
fn every_caller_is_answered_with_a_thread_that_commits_for_them() {
    for failing in [Failing::Nothing, Failing::Sync, Failing::Write] {
        try_many(Load::mixed(FsyncMode::Group, Owner::Threads, failing));
    }
}

#[test]
fn callers_in_front_of_a_full_queue_get_in() {
    for failing in [Failing::Nothing, Failing::Sync, Failing::Write] {
        try_many(Load::crowded(failing));
    }
}

#[test]
fn closing_ends_what_others_are_at_and_leaves_no_claimed_space() {
    for owner in [Owner::Callers, Owner::Threads] {
        try_many(Load::closing(owner));
    }
}

#[test]
fn two_writers_hand_over_wherever_an_ordered_search_gets_in_its_time() {
    let bound = runs() * 50;
    try_all(DfsScheduler::new(Some(bound), false), Load::two_commits());
}
