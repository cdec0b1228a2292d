//! The tests are tested: every planted defect is noticed, and the same check passes without it.

use std::path::Path;

use base::error::Code;
use base::io::{Open, write_all_at};
use base::words::Lsn;
use sim::crash::Limits;
use sim::disk::{Calls, Crash, Effect, Fault, FaultDisk, Loss};
use wal::planted::Bug;
use wal::{FsyncMode, Options};

use crate::crash::{Moments, crashes};
use crate::world::{DIR, Step, World, clock, content, open, small, with_bug};

/// Runs `test` with and without the defect: the first must fail, the second must not.
fn is_noticed(bug: Bug, mode: FsyncMode, test: impl Fn(&Options) -> Result<(), String>) {
    if let Err(message) = test(&with_bug(small(mode), None)) {
        panic!("without the defect: {message}");
    }
    let found = test(&with_bug(small(mode), Some(bug)));
    let message = found.expect_err("the defect was not noticed");
    println!("{bug:?}: {}", message.lines().next().unwrap_or_default());
}

fn enumerated(steps: &'static [Step]) -> impl Fn(&Options) -> Result<(), String> {
    move |options| crashes(steps, options, &Limits::default(), Moments::All, 0).map(|_| ())
}

#[test]
fn acknowledging_before_the_sync_is_noticed() {
    is_noticed(Bug::AckBeforeSync, FsyncMode::Group, enumerated(&[Step::Append]));
    is_noticed(Bug::AckBeforeSync, FsyncMode::Always, enumerated(&[Step::Transaction]));
}

#[test]
fn accepting_a_transaction_without_its_end_is_noticed() {
    is_noticed(Bug::MissingCommitCheck, FsyncMode::Group, enumerated(&[Step::Transaction]));
}

#[test]
fn trimming_what_the_checkpoint_needs_is_noticed() {
    let steps = &[Step::Rotate, Step::Rotate, Step::Trim];
    is_noticed(Bug::EarlyTrim, FsyncMode::Group, enumerated(steps));
}

#[test]
fn cutting_one_transaction_too_many_is_noticed() {
    is_noticed(Bug::CutTooFar, FsyncMode::Group, enumerated(&[Step::Append, Step::Append]));
}

#[test]
fn keeping_what_follows_a_bad_frame_is_noticed() {
    is_noticed(Bug::CutTooShort, FsyncMode::Group, enumerated(&[Step::Group]));
}

#[test]
fn a_segment_whose_name_is_not_durable_is_noticed() {
    is_noticed(Bug::NoDirectorySync, FsyncMode::Group, enumerated(&[Step::Append]));
}

#[test]
fn writing_on_behind_the_cut_is_noticed() {
    is_noticed(Bug::ContinueInPlace, FsyncMode::Group, enumerated(&[Step::Group]));
}

/// A log with two changes, the second of which met a failing sync.
fn after_a_failed_sync(options: &Options) -> (FaultDisk, Result<(), String>) {
    let disk = FaultDisk::new();
    let mut world = World::new(&disk, options.clone());
    world.step(Step::Append).expect("no fault yet");
    disk.inject(Fault::once(Calls::Syncs, 1, Effect::Eio));
    let result = world.step(Step::Append).map_err(|e| e.code().to_string());
    std::mem::forget(world.log.take());
    (disk, result)
}

#[test]
fn serving_from_the_page_cache_after_a_failed_sync_is_noticed() {
    is_noticed(Bug::TrustPageCache, FsyncMode::Group, |options| {
        let (disk, result) = after_a_failed_sync(options);
        assert_eq!(result, Err(Code::DurabilityUnknown.to_string()));
        let disk = disk.crash(&Crash::Kill);
        let (log, _) =
            open(&disk.shared(), &clock(), options.clone()).map_err(|e| e.to_string())?;
        let served = content(&log).map_err(|e| e.to_string())?;
        assert_eq!(served.1, Lsn(2), "the page cache still has the second change");
        let disk = disk.crash(&Crash::PowerLoss(Loss::Everything));
        let (log, _) =
            open(&disk.shared(), &clock(), options.clone()).map_err(|e| e.to_string())?;
        match content(&log).map_err(|e| e.to_string())? {
            same if same == served => Ok(()),
            other => Err(format!("served up to {}, then found up to {}", served.1, other.1)),
        }
    });
}

#[test]
fn believing_a_sync_that_was_tried_again_is_noticed() {
    is_noticed(Bug::RetrySync, FsyncMode::Group, |options| {
        let (disk, result) = after_a_failed_sync(options);
        let disk = disk.crash(&Crash::PowerLoss(Loss::Everything));
        let (log, _) =
            open(&disk.shared(), &clock(), options.clone()).map_err(|e| e.to_string())?;
        match (result, log.visible()) {
            (Ok(()), Lsn(1)) => Err("an acknowledged change is lost".to_owned()),
            _ => Ok(()),
        }
    });
}

#[test]
fn taking_damage_for_a_torn_tail_is_noticed() {
    is_noticed(Bug::IgnoreHints, FsyncMode::Group, |options| {
        let disk = FaultDisk::new();
        let mut world = World::new(&disk, options.clone());
        for _ in 0..3 {
            world.step(Step::Append).expect("no fault");
        }
        std::mem::forget(world.log.take());
        let disk = disk.crash(&Crash::Kill);
        let path = Path::new(DIR).join("0000000000000001.wal");
        let file = disk.shared().open(&path, Open::Write).map_err(|e| e.to_string())?;
        write_all_at(&*file, &[0xAA; 8], 128 + 60).map_err(|e| e.to_string())?;
        match open(&disk.shared(), &clock(), options.clone()) {
            Err(e) if e.code() == Code::WalCorrupt => Ok(()),
            Err(e) => Err(format!("another error: {e}")),
            Ok((log, _)) => Err(format!("three changes were durable, {} is left", log.visible())),
        }
    });
}

#[test]
fn bytes_of_another_log_are_never_taken_for_ones_own() {
    is_noticed(Bug::UnseededFrames, FsyncMode::Group, |options| {
        let path = Path::new(DIR).join("0000000000000001.wal");
        let other = FaultDisk::new();
        let mut world = World::new(&other, options.clone());
        for _ in 0..3 {
            world.step(Step::Append).expect("no fault");
        }
        std::mem::forget(world.log.take());
        let foreign = other.peek(&path).expect("the segment is there");

        // A log with one change; behind it stand the other's frames, as they do in a file that
        // the system gave us with old blocks, or that was reused.
        let disk = FaultDisk::new();
        let mut world = World::of_database(&disk, options.clone(), 77);
        world.step(Step::Append).expect("no fault");
        std::mem::forget(world.log.take());
        let disk = disk.crash(&Crash::Kill);
        let file = disk.shared().open(&path, Open::Write).map_err(|e| e.to_string())?;
        let behind = 128 + 112;
        write_all_at(&*file, &foreign[behind..], behind as u64).map_err(|e| e.to_string())?;
        let (log, _) =
            open(&disk.shared(), &clock(), options.clone()).map_err(|e| e.to_string())?;
        match log.visible() {
            Lsn(1) => Ok(()),
            last => Err(format!("one change was written, {last} are found")),
        }
    });
}
