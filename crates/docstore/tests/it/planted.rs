//! The tests are tested: every planted defect is noticed, and the same check passes without it.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use base::error::{Code, Coded as _};
use docstore::planted::Bug;
use docstore::{Condition, DEFAULT_COLLECTION, Database, Options, Write, default_name};
use sim::crash::Limits;
use sim::disk::{Calls, Effect, Fault, FaultDisk};
use wal::FsyncMode;

use crate::crash::{Every, Moments, crashes};
use crate::gate::Gate;
use crate::life::{Life, Step, budget, id, tiny};
use crate::survival::{is_same, observe};
use crate::world::{DIR, clock, document, env};

/// Runs `test` with and without the defect: the first must fail, the second must not.
fn is_noticed(bug: Bug, mode: FsyncMode, test: impl Fn(&Options) -> Result<(), String>) {
    if let Err(message) = test(&tiny(mode, None)) {
        panic!("without the defect: {message}");
    }
    let found = catch_unwind(AssertUnwindSafe(|| test(&tiny(mode, Some(bug)))));
    // A check that panics has noticed, too.
    let Ok(found) = found else { return };
    let message = found.expect_err("the defect was not noticed");
    println!("{bug:?}: {}", message.lines().next().unwrap_or_default());
}

/// The crashes of the last of these steps, all checked to the end.
fn enumerated(steps: &'static [Step]) -> impl Fn(&Options) -> Result<(), String> {
    move |options| {
        let limits = Limits { exhaustive_max: 8, samples: 4, ..Limits::default() };
        let every = Every { aftermath: 1, nested: 0 };
        crashes(steps, options, &limits, Moments::LastStep, every).map(|_| ())
    }
}

#[test]
fn answering_from_the_index_alone_is_noticed() {
    is_noticed(Bug::StaleRead, FsyncMode::Group, enumerated(&[Step::Put]));
}

#[test]
fn flushing_what_is_not_durable_is_noticed() {
    let steps = &[Step::Put, Step::Checkpoint];
    is_noticed(Bug::DerivedAheadOfLog, FsyncMode::Never, enumerated(steps));
}

#[test]
fn trimming_what_older_checkpoints_and_damaged_blocks_need_is_noticed() {
    is_noticed(Bug::EarlyTrim, FsyncMode::Group, enumerated(&[Step::Put, Step::Trim]));
}

#[test]
fn naming_records_that_were_not_synced_is_noticed() {
    let steps = &[Step::Put, Step::Checkpoint];
    is_noticed(Bug::UnverifiedRecords, FsyncMode::Group, enumerated(steps));
}

#[test]
fn a_compaction_that_leaves_out_what_it_cannot_read_is_noticed() {
    let steps = &[Step::Put, Step::Rot, Step::Compact];
    is_noticed(Bug::CompactionDropsUnreadable, FsyncMode::Group, enumerated(steps));
}

/// The tombstone ends up in another file than the record that it hides, in one with more garbage.
const HIDDEN_IN_ANOTHER_FILE: &[Step] = &[
    Step::Rotate,
    Step::Checkpoint,
    Step::Rotate,
    Step::Checkpoint,
    Step::Rotate,
    Step::Checkpoint,
    Step::Delete,
    Step::Checkpoint,
    Step::Put,
    Step::Checkpoint,
    Step::Put,
    Step::Checkpoint,
    Step::Put,
    Step::Checkpoint,
    Step::Put,
    Step::Checkpoint,
    Step::Put,
    Step::Checkpoint,
    Step::Put,
    Step::Compact,
];

#[test]
fn dropping_a_tombstone_that_still_hides_an_older_record_is_noticed() {
    is_noticed(Bug::TombstoneDroppedEarly, FsyncMode::Group, enumerated(HIDDEN_IN_ANOTHER_FILE));
}

#[test]
fn giving_a_number_to_a_second_collection_is_noticed() {
    is_noticed(Bug::NumberReused, FsyncMode::Group, enumerated(&[Step::Recreate]));
}

#[test]
fn showing_a_write_that_the_log_refused_is_noticed() {
    is_noticed(Bug::IndexBeforeLog, FsyncMode::Group, |options| {
        let disk = FaultDisk::new();
        // With the defect it cannot be closed: it would wait for what the log never had.
        let mut life = ManuallyDrop::new(Life::new(&disk, options.clone()));
        disk.set_capacity(Some(0));
        let mut refused = 0;
        for _ in 0..40 {
            if let Err(error) = life.step(Step::Rotate) {
                assert_eq!(error.code(), Code::DiskFull, "{error}");
                refused += 1;
            }
            let seen = observe(life.db()).map_err(|error| error.to_string())?;
            if !is_same(&life.model, &seen, life.db().now()) {
                return Err("a write that was refused is seen".to_owned());
            }
        }
        assert!(refused > 0, "the disk is full");
        Ok(())
    });
}

#[test]
fn refusing_because_of_a_write_that_is_then_lost_is_noticed() {
    is_noticed(Bug::RefusalFromPending, FsyncMode::Group, |options| {
        let (disk, clock, gate) = (FaultDisk::new(), clock(), Gate::new());
        let env = env(&gate.before(disk.shared()), &clock);
        let dir = std::path::Path::new(DIR);
        let db = Database::create(&env, dir, &default_name(), options.clone(), &budget());
        let db = db.map_err(|error| error.to_string())?;
        // The first write makes the segment, with syncs of its own.
        let made = db.write(Write::upsert(DEFAULT_COLLECTION, id(2), document(2)));
        made.map_err(|error| error.to_string())?;
        gate.close();
        let first = std::thread::scope(|scope| {
            let pending = Write::create(DEFAULT_COLLECTION, id(1), document(1));
            let first = scope.spawn(|| db.write(pending).map_err(|error| error.code()));
            gate.wait_for_sync();
            disk.inject(Fault::once(Calls::Syncs, 1, Effect::Eio));
            // It sees the pending document, and the sync fails before it is answered.
            let let_go = Arc::clone(&gate);
            let test = move |old: Option<&docstore::Stored>, _: Option<&_>| {
                let_go.open();
                // Later writes build on what is pending.
                old.is_none()
            };
            let second = Write::upsert(DEFAULT_COLLECTION, id(1), document(2));
            let second = db.write(second.when(Condition::Test(Arc::new(test))));
            let first = first.join().expect("it does not panic");
            (first, second.map_err(|error| error.code()))
        });
        assert_eq!(first.0.err(), Some(Code::DurabilityUnknown));
        match first.1.err() {
            Some(Code::DurabilityUnknown) => Ok(()),
            other => Err(format!("answered {other:?} because of a write that may be lost")),
        }
    });
}
