//! What a database owes when it is full, starved of memory, or has nothing to do.

use std::path::Path;

use base::document::Document;
use base::memory::Budget;
use base::words::DocId;
use docstore::{DEFAULT_COLLECTION, Database, Options, Write, default_name};
use sim::VirtualClock;
use sim::disk::{Calls, Effect, Fault, FaultDisk, Op};
use wal::Background;

use crate::world::{DIR, clock, document, env, id, small};

fn fresh(disk: &FaultDisk, clock: &VirtualClock, options: Options, budget: u64) -> Database {
    let (env, budget) = (env(&disk.shared(), clock), Budget::new("test", budget));
    Database::create(&env, Path::new(DIR), &default_name(), options, &budget).expect("no faults")
}

fn reopened(disk: &FaultDisk, clock: &VirtualClock) -> Database {
    let (env, budget) = (env(&disk.shared(), clock), Budget::new("test", 1 << 30));
    Database::open(&env, Path::new(DIR), small(), &budget).expect("no faults").0
}

fn upsert(db: &Database, numbers: std::ops::Range<u64>) {
    for n in numbers {
        db.write(Write::upsert(DEFAULT_COLLECTION, id(n), document(n))).expect("no faults");
    }
}

/// Bytes of all files of the database but the log's.
fn bytes(disk: &FaultDisk) -> u64 {
    let disk = disk.shared();
    let entries = disk.list(Path::new(DIR)).expect("it can be listed");
    let len = |path: &Path| disk.stat(path).expect("no faults").map_or(0, |stat| stat.len);
    entries.iter().map(|entry| len(&Path::new(DIR).join(&entry.name))).sum()
}

#[test]
fn checkpoints_that_fail_leave_nothing_on_the_disk() {
    for op in [Op::SyncData, Op::Write, Op::SyncDir] {
        let (disk, clock) = (FaultDisk::new(), clock());
        let db = fresh(&disk, &clock, small(), 1 << 30);
        upsert(&db, 0..50);
        db.checkpoint().expect("no faults");
        upsert(&db, 50..800);
        let before = bytes(&disk);
        for nth in 1..4 {
            // Some of it goes well before.
            disk.inject(Fault::forever(Calls::Only(op), nth, Effect::Enospc));
            db.checkpoint().expect_err("the disk is full");
            disk.clear_faults();
            assert_eq!(bytes(&disk), before, "{op:?} {nth}");
        }
        db.checkpoint().expect("there is room again");
        drop(db);
        let db = reopened(&disk, &clock);
        assert_eq!(db.count(DEFAULT_COLLECTION).unwrap(), 800);
        for n in 0..800 {
            let stored = db.get(DEFAULT_COLLECTION, &id(n)).unwrap().expect("it was written");
            assert_eq!(stored.document, document(n));
        }
    }
}

#[test]
fn a_flush_is_made_for_writers_whom_the_memory_budget_keeps_waiting() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let mut options = Options { checkpoint_auto: false, ..Options::default() };
    options.log.background = Background::Threads;
    // Far less than the memtable may take. The clock stands still: nobody is refused for waiting.
    let db = fresh(&disk, &clock, options, 4 << 20);
    let text = format!("\"{}\"", "x".repeat(500_000));
    let large = Document::parse(text.as_bytes()).expect("it is JSON");
    for n in 0..20 {
        let write = Write::upsert(DEFAULT_COLLECTION, DocId::U64(n), large.clone());
        db.write(write).expect("a flush makes room");
    }
    assert!(db.stats().expect("it is open").checkpoints > 0);
}

#[test]
fn opening_and_closing_a_database_in_which_nothing_was_written_adds_nothing() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let db = fresh(&disk, &clock, small(), 1 << 30);
    upsert(&db, 0..5);
    db.close().expect("no faults");
    let db = reopened(&disk, &clock);
    let (position, durable) = (db.position(), db.sync().expect("no faults"));
    db.close().expect("no faults");
    let db = reopened(&disk, &clock);
    assert_eq!((db.position(), db.sync().expect("no faults")), (position, durable));
    assert_eq!(db.checkpoint().expect("no faults").lsn, None, "there is nothing new");
}
