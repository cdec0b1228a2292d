//! The tests are tested: every planted defect is noticed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use base::rng::Rng;
use search::index::Options;
use search::planted::Bug;

use crate::crash::{self, Workload};
use crate::shapes::Shape;
use crate::world::options;
use crate::{differential, faults, index};

/// Runs a test with the defect: it must fail. That it passes without is what the test itself shows where it stands.
fn is_noticed(bug: Bug, test: impl Fn(&Options) -> Result<(), String>) {
    let planted = Options { planted: Some(bug), ..options() };
    let found = catch_unwind(AssertUnwindSafe(|| test(&planted)));
    // A check that panics has noticed, too.
    let Ok(found) = found else { return };
    match found {
        Ok(()) => panic!("{bug:?} was not noticed"),
        Err(message) => println!("{bug:?}: {}", message.lines().next().unwrap_or_default()),
    }
}

/// A life with small memtables, so that changes come while others wait for their flush.
fn lived(options: &Options) -> Result<(), String> {
    let options =
        Options { memtable_bytes: 4096, planted: options.planted, ..differential::hasty() };
    for seed in 1..3 {
        differential::Life::new(Shape::usual(), Rng::new(seed), 40, options.clone()).live(80);
    }
    Ok(())
}

fn crashed(workload: Workload) -> impl Fn(&Options) -> Result<(), String> {
    move |options| crash::crashes(workload, options, &crash::limits()).map(|_| ())
}

#[test]
fn without_a_defect_nothing_is_noticed() {
    lived(&options()).expect("the life that the defects below are noticed in");
}

#[test]
fn a_death_that_a_merge_loses_is_noticed() {
    is_noticed(Bug::DeathLostInMerge, lived);
}

#[test]
fn a_death_that_a_flush_loses_is_noticed() {
    is_noticed(Bug::DeathLostInFlush, lived);
}

#[test]
fn a_manifest_that_claims_changes_which_no_segment_has_is_noticed() {
    is_noticed(Bug::AppliedTooFar, crashed(crash::flushes));
}

#[test]
fn a_manifest_with_deaths_of_the_future_is_noticed() {
    is_noticed(Bug::DeathsOfLater, |options| {
        index::durable_states(options);
        Ok(())
    });
}

#[test]
fn a_manifest_that_comes_before_what_it_names_is_noticed() {
    is_noticed(Bug::PublishBeforeUpload, crashed(crash::flushes));
}

#[test]
fn a_sweep_that_waits_for_nobody_is_noticed() {
    is_noticed(Bug::SweepWithoutGrace, |options| {
        index::sweeps_of_what_is_in_use(options);
        Ok(())
    });
}

#[test]
fn a_replay_that_applies_changes_twice_is_noticed() {
    is_noticed(Bug::ReplayTwice, lived);
}

#[test]
fn a_rebuild_that_has_not_caught_up_and_is_taken_is_noticed() {
    is_noticed(Bug::AdoptBehind, lived);
}

#[test]
fn a_writer_that_goes_on_after_another_has_the_index_is_noticed() {
    is_noticed(Bug::FenceIgnored, |options| {
        let (_, is_stopped) = faults::two_writers(options);
        if is_stopped { Ok(()) } else { Err("both go on".to_owned()) }
    });
}
