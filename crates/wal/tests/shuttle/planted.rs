//! Defects of the hand-over that these tests must notice.

use std::panic::{AssertUnwindSafe, catch_unwind};

use std::time::Duration;

use wal::FsyncMode;
use wal::planted::Bug;

use crate::load::{Failing, Load, Owner};
use crate::try_many;

/// Runs `load` with the defect and returns how the scheduler described the failure.
fn failure_with(bug: Bug, load: Load) -> String {
    let load = load.with_bug(bug);
    let panic = catch_unwind(AssertUnwindSafe(|| try_many(load)))
        .expect_err("the defect must not go unnoticed");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

#[test]
fn a_leader_that_wakes_no_successor_is_noticed() {
    let load = Load::mixed(FsyncMode::Group, Owner::Callers, Failing::Nothing);
    let text = failure_with(Bug::LostWakeUp, load);
    assert!(text.contains("deadlock"), "{text}");
}

#[test]
fn a_sync_beside_the_leaders_that_takes_its_error_away_is_noticed() {
    let interval = FsyncMode::Interval(Duration::from_millis(5));
    let load = Load::mixed(interval, Owner::Callers, Failing::Sync);
    let text = failure_with(Bug::UnguardedSync, load);
    assert!(text.contains("acknowledged at"), "{text}");
}
