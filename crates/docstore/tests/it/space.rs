//! What must not grow: what a reopening has to replay, and what has expired.
//!
//! The sizes are those of production divided by 8,192: a log segment and the interval between
//! checkpoints are 8 KiB, a data file 32 KiB. `TESTS_SIM_TIMES` makes the runs longer.

use std::path::Path;

use base::memory::Budget;
use base::rng::Rng;
use docstore::{DEFAULT_COLLECTION, Database, OpenReport, Options, Write, default_name};
use sim::disk::{Calls, Crash, Effect, Fault, FaultDisk};
use sim::seed::times;

use crate::world::{DIR, clock, document, env, id, small};

/// Bytes of a segment of the log, and between two checkpoints.
const SEGMENT: u64 = 8 * 1024;
const DOCUMENTS: u64 = 60;
/// A change takes at least so many bytes of log: a frame's header and a document.
const CHANGE_BYTES_MIN: u64 = 100;

fn options() -> Options {
    let log = wal::Options { segment_bytes_first: 4096, segment_bytes_max: SEGMENT, ..small().log };
    Options {
        log,
        checkpoint_auto: true,
        checkpoint_interval_bytes: SEGMENT,
        data_file_bytes_max: 4 * SEGMENT,
        compaction_min_file_bytes: SEGMENT,
        ..small()
    }
}

fn made(disk: &FaultDisk) -> Database {
    let (store, budget) = (env(&disk.shared(), &clock()), Budget::new("test", 1 << 30));
    let made = Database::create(&store, Path::new(DIR), &default_name(), options(), &budget);
    made.expect("no faults")
}

fn opened(disk: &FaultDisk) -> (Database, OpenReport) {
    let (store, budget) = (env(&disk.shared(), &clock()), Budget::new("test", 1 << 30));
    Database::open(&store, Path::new(DIR), options(), &budget).expect("no faults")
}

fn update(db: &Database, rng: &mut Rng, round: u64) -> u64 {
    let new = document(round);
    let bytes = new.as_bytes().len() as u64;
    let at = id(rng.below(DOCUMENTS));
    db.write(Write::upsert(DEFAULT_COLLECTION, at, new)).expect("no faults");
    bytes
}

#[test]
fn being_killed_again_and_again_does_not_let_the_log_grow() {
    let mut disk = FaultDisk::new();
    let mut db = made(&disk);
    let (mut rng, mut round) = (Rng::new(2), 0);
    for _ in 0..40 * times() {
        // Less than what makes a checkpoint due.
        let mut written = 0;
        while written < SEGMENT / 4 {
            round += 1;
            written += update(&db, &mut rng, round);
        }
        db.maintain().expect("no faults");
        let after = disk.crash(&Crash::Kill);
        drop(db);
        disk = after;
        let (again, report) = opened(&disk);
        let most = (2 * SEGMENT) / CHANGE_BYTES_MIN;
        assert!(report.replayed <= most, "{report:?}");
        db = again;
    }
}

/// A clock on which every look takes a millisecond.
#[derive(Debug, Default)]
struct Ticking(std::sync::atomic::AtomicU64);

impl base::clock::Clock for Ticking {
    fn now(&self) -> base::clock::Instant {
        let ticks = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        base::clock::Instant(ticks * 1_000_000)
    }

    fn wall(&self) -> base::clock::WallMs {
        base::clock::WallMs(1_700_000_000_000)
    }
}

#[test]
fn a_checkpoint_says_how_long_it_took() {
    let disk = FaultDisk::new();
    let ticking = std::sync::Arc::new(Ticking::default());
    let store = wal::Environment { clock: ticking, ..env(&disk.shared(), &clock()) };
    let budget = Budget::new("test", 1 << 30);
    let made = Database::create(&store, Path::new(DIR), &default_name(), options(), &budget);
    let db = made.expect("no faults");
    db.write(Write::upsert(DEFAULT_COLLECTION, id(1), document(1))).expect("no faults");
    let report = db.checkpoint().expect("no faults");
    assert!(report.took >= std::time::Duration::from_millis(1), "{report:?}");
    assert_eq!(db.stats().expect("it is open").last_checkpoint_took, report.took);
}

#[test]
fn a_checkpoint_that_fails_is_known_until_one_does_not() {
    let disk = FaultDisk::new();
    let db = made(&disk);
    db.write(Write::upsert(DEFAULT_COLLECTION, id(1), document(1))).expect("no faults");
    assert_eq!(db.checkpoint_failure(), None);
    // Its first data file.
    let file = Path::new(DIR).join("00000001.data");
    disk.inject(Fault::forever(Calls::Any, 1, Effect::Eio).under(file));
    assert!(db.checkpoint().is_err());
    let why = db.checkpoint_failure().expect("it failed");
    assert!(!why.is_empty());
    disk.clear_faults();
    db.checkpoint().expect("no faults");
    assert_eq!(db.checkpoint_failure(), None);
}

#[test]
fn all_that_has_expired_is_reclaimed_however_much_it_is() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let (store, budget) = (env(&disk.shared(), &clock), Budget::new("test", 1 << 30));
    let options = Options { checkpoint_auto: false, ..options() };
    let made = Database::create(&store, Path::new(DIR), &default_name(), options, &budget);
    let db = made.expect("no faults");
    let soon = docstore::Expiry::After(std::time::Duration::from_secs(1));
    // More than one transaction deletes.
    for first in [0, 1000, 2000] {
        let writes = (first..first + 1000)
            .map(|n| Write::upsert(DEFAULT_COLLECTION, id(n), document(n)).expires(soon));
        db.batch(writes.collect()).expect("no faults");
    }
    db.checkpoint().expect("no faults");
    clock.advance(std::time::Duration::from_secs(2));
    assert_eq!(db.reclaim_expired().expect("no faults"), 3000);
    assert_eq!(db.reclaim_expired().expect("no faults"), 0);
}
