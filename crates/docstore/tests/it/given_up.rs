//! A data file that was given up before it was complete, and whose end is damaged, where only the
//! log has a second copy: nothing is lost, and the log is not held back for ever.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base::document::Document;
use base::memory::Budget;
use base::words::DocId;
use docstore::{
    DEFAULT_COLLECTION, Database, OpenReport, Options, Verdict, Write, default_name,
    inspect_manifest,
};
use sim::VirtualClock;
use sim::disk::{Crash, FaultDisk, Rot};

use crate::verify::verified;
use crate::world::{DIR, clock, document, env, id, small};

const SECTOR: u64 = 512;
/// Headers, and a stripe with its parity and table.
const HEADER: u64 = 1024;
const STRIPE: u64 = 3072;

type Documents = BTreeMap<DocId, Option<Document>>;

fn options() -> Options {
    // One file for everything, unless it is given up.
    Options { data_file_bytes_max: 1024 * 1024, ..small() }
}

fn opened(disk: &FaultDisk, clock: &VirtualClock) -> (Database, OpenReport) {
    let budget = Budget::new("test", 1 << 30);
    let opened = Database::open(&env(&disk.shared(), clock), Path::new(DIR), options(), &budget);
    opened.expect("damage of documents does not stop a database")
}

fn put(db: &Database, documents: &mut Documents, n: u64, value: u64) {
    db.write(Write::upsert(DEFAULT_COLLECTION, id(n), document(value))).expect("no faults");
    documents.insert(id(n), Some(document(value)));
}

fn delete(db: &Database, documents: &mut Documents, n: u64) {
    db.write(Write::delete(DEFAULT_COLLECTION, id(n))).expect("no faults");
    documents.insert(id(n), None);
}

/// A database that was killed: `before` documents, some of which stand in complete stripes, and
/// behind them an end of the file with new versions and deletions of some of them.
fn made(clock: &VirtualClock, before: u64) -> (FaultDisk, Documents) {
    let disk = FaultDisk::new();
    let (store, budget) = (env(&disk.shared(), clock), Budget::new("test", 1 << 30));
    let db = Database::create(&store, Path::new(DIR), &default_name(), options(), &budget)
        .expect("no faults");
    let mut documents = Documents::new();
    for n in 0..before {
        put(&db, &mut documents, n, n);
    }
    db.checkpoint().expect("no faults");
    for n in 0..before.min(4) {
        delete(&db, &mut documents, n);
    }
    put(&db, &mut documents, 900, 900);
    put(&db, &mut documents, 5, 905);
    db.checkpoint().expect("no faults");
    let killed = disk.crash(&Crash::Kill);
    drop(db);
    (killed, documents)
}

fn is_whole(db: &Database, documents: &Documents) {
    for (id, document) in documents {
        let found = db.get(DEFAULT_COLLECTION, id).expect("it can be read");
        assert_eq!(found.map(|stored| stored.document), *document, "{id}");
    }
    let live = documents.values().flatten().count() as u64;
    assert_eq!(db.count(DEFAULT_COLLECTION).expect("it is there"), live);
    assert_eq!(db.quarantine(), []);
}

/// The file offsets of the sectors behind the complete stripes of the only data file.
fn tail(disk: &FaultDisk) -> Vec<u64> {
    let len = disk.peek(&data(1)).expect("it is there").len() as u64;
    let stripes = (len - HEADER) / STRIPE;
    (HEADER + stripes * STRIPE..len).step_by(usize::try_from(SECTOR).expect("small")).collect()
}

fn data(number: u32) -> PathBuf {
    Path::new(DIR).join(format!("{number:08x}.data"))
}

/// Writes and makes checkpoints until the log must have let go of all that was there before.
fn go_on(db: &Database, documents: &mut Documents) {
    for round in 0..12 {
        for n in 1000..1040 {
            put(db, documents, n, n + round);
        }
        db.maintain().expect("no faults");
        db.checkpoint().expect("no faults");
        while !db.compact().expect("no faults").compacted.is_empty() {}
    }
}

#[test]
fn the_damaged_end_of_a_file_that_was_given_up_is_moved_elsewhere_and_the_log_let_go() {
    let clock = clock();
    let mut hit = 0;
    for before in [8, 60, 61, 62, 63, 64, 65, 66] {
        let (killed, documents) = made(&clock, before);
        for sector in tail(&killed) {
            let disk = killed.fork();
            disk.rot(&Rot::Garbage { path: data(1), sector: sector / SECTOR, seed: 3 })
                .expect("it is there");
            let mut documents = documents.clone();
            let (db, report) = opened(&disk, &clock);
            assert_eq!(report.passed_over, Vec::<String>::new());
            let held = db.stats().expect("it is open").log.first;
            put(&db, &mut documents, 901, 901);
            db.checkpoint().expect("no faults");
            let manifest = inspect_manifest(&disk.shared(), Path::new(DIR)).expect("no faults");
            let files = manifest.manifest.expect("it is whole").newest().files.len();
            // A sector of which nothing was written yet hits nothing.
            hit += u64::from(files > 1);
            go_on(&db, &mut documents);
            is_whole(&db, &documents);
            let log = db.stats().expect("it is open").log;
            assert!(log.first > held, "sector {sector} of {before}: the log is held at {held}");
            assert!(log.bytes < 6 * 16 * 1024, "sector {sector} of {before}: {log:?}");
            db.close().expect("no faults");
            let check = verified(&disk);
            assert_eq!(check.verdict(), Verdict::Clean, "sector {sector} of {before}: {check}");
            // What is deleted stays so when the index is made again.
            for name in disk.shared().list(Path::new(DIR)).expect("no faults") {
                if name.name.ends_with(".idx") {
                    let path = Path::new(DIR).join(name.name);
                    disk.rot(&Rot::Remove { path }).expect("it is there");
                }
            }
            let (db, report) = opened(&disk, &clock);
            assert!(report.rebuilt.is_some());
            is_whole(&db, &documents);
        }
    }
    assert!(hit > 10, "{hit}");
}

#[test]
fn versions_that_a_snapshot_needs_are_waited_for() {
    let clock = clock();
    let (disk, mut documents) = made(&clock, 8);
    let (db, _) = opened(&disk, &clock);
    let snapshot = db.snapshot().expect("no faults");
    put(&db, &mut documents, 900, 1);
    db.checkpoint().expect("no faults");
    let sector = tail(&disk)[0] / SECTOR;
    let killed = disk.peek(&data(1)).expect("it is there");
    disk.rot(&Rot::Garbage { path: data(1), sector, seed: 3 }).expect("it is there");
    // The next stripe cannot be completed.
    go_on(&db, &mut documents);
    assert!(disk.peek(&data(1)).is_some_and(|bytes| bytes.len() >= killed.len()), "it waits");
    db.release(snapshot);
    go_on(&db, &mut documents);
    is_whole(&db, &documents);
    let log = db.stats().expect("it is open").log;
    assert!(log.bytes < 6 * 16 * 1024, "{log:?}");
}
