//! Every I/O call of a backup and of a restore fails in turn, once and for good, in every way.
//!
//! What must hold: an error with a code that says what happened; the database that is copied loses
//! nothing and answers; the backup before stays restorable; what was restored is whole or is not
//! there; and without the fault the next try works and leaves nothing behind.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use docstore::{BackupReport, StoreError};
use sim::disk::{Fault, Loss};

use crate::errors::{each_call, is_of};

use super::*;

const DATA: &str = "/data";

/// A database that was not closed, changed since the earlier backup when there is one.
struct Prepared {
    disk: FaultDisk,
    earlier: Option<Lsn>,
    now: Lsn,
    /// What the backups must be of.
    states: BTreeMap<Lsn, Content>,
}

fn options() -> Options {
    Options { data_file_bytes_max: 2048, ..small() }
}

fn opened(disk: &FaultDisk) -> Database {
    let env = env(&disk.shared(), &clock());
    Database::open(&env, Path::new(DIR), options(), &budget()).expect("no faults").0
}

impl Prepared {
    fn new(with_earlier: bool) -> Self {
        let disk = FaultDisk::new();
        let db = fresh(&disk, &clock(), options());
        for n in 0..24 {
            upsert(&db, n, n);
        }
        let mut states = BTreeMap::new();
        let earlier = with_earlier.then(|| {
            let lsn = db.backup(&to(&disk)).expect("no faults").summary.lsn;
            states.insert(lsn, content(&db, DEFAULT_COLLECTION));
            lsn
        });
        for n in 16..30 {
            upsert(&db, n, 100 + n);
        }
        let now = db.position();
        states.insert(now, content(&db, DEFAULT_COLLECTION));
        Self { disk: disk.crash(&Crash::Kill), earlier, now, states }
    }

    /// Takes a backup with these faults and checks what there is; answers the calls it made, and
    /// whether it failed.
    fn run(&self, faults: &[Fault]) -> (u64, bool) {
        let disk = self.disk.fork();
        let db = opened(&disk);
        let before = disk.calls();
        faults.iter().for_each(|fault| disk.inject(fault.clone()));
        let result = db.backup(&to(&disk));
        let calls = disk.calls() - before;
        disk.clear_faults();
        self.is_told(faults, &result);
        assert_eq!(content(&db, DEFAULT_COLLECTION), self.states[&self.now], "reads go on");
        self.holds(&disk, result.is_ok(), "as it is");
        for loss in [Loss::Everything, Loss::Seeded(calls)] {
            let crashed = disk.crash(&Crash::PowerLoss(loss.clone()));
            self.holds(&crashed, result.is_ok(), &format!("after {loss:?}"));
        }
        let again = db.backup(&to(&disk)).or_else(|error| {
            assert!(matches!(error.code(), Code::ReadOnly | Code::DurabilityUnknown), "{error}");
            drop(db);
            opened(&disk).backup(&to(&disk))
        });
        assert_eq!(again.expect("without the fault").summary.files, held(&disk).len() as u64);
        self.holds(&disk, true, "once it works");
        (calls, result.is_err())
    }

    fn is_told(&self, faults: &[Fault], result: &docstore::Result<BackupReport>) {
        match result {
            Ok(report) => {
                assert_eq!((report.summary.lsn, report.summary.lost.len()), (self.now, 0));
            }
            Err(error) => is_explained(faults, error),
        }
    }

    /// The directory holds the backup that was taken, or the one before it, or none that passes.
    fn holds(&self, disk: &FaultDisk, is_taken: bool, when: &str) {
        let summary = match check_backup(&to(disk)) {
            Ok(summary) => summary,
            Err(error) => {
                assert!(!is_taken && self.earlier.is_none(), "{when}: {error}");
                assert!(error.to_string().contains("/backup/BACKUP"), "{when}: {error}");
                return;
            }
        };
        let allowed = if is_taken { None } else { self.earlier };
        assert!([Some(self.now), allowed].contains(&Some(summary.lsn)), "{when}: {summary:?}");
        let copy = restored(&disk.fork(), &clock()).expect("it was checked").0;
        assert_eq!(content(&copy, DEFAULT_COLLECTION), self.states[&summary.lsn], "{when}");
    }
}

fn is_explained(faults: &[Fault], error: &StoreError) {
    let effects: Vec<_> = faults.iter().map(|fault| fault.effect).collect();
    assert!(is_of(error.code(), &effects), "{effects:?} became {error} ({})", error.code());
}

/// Runs something once for every call and effect and says which of them broke something.
fn sweep(what: &str, least: u64, run: impl Fn(&[Fault]) -> (u64, bool)) {
    let (calls, failed) = run(&[]);
    assert!(!failed, "{what} fails without faults");
    let (mut runs, mut errors) = (0, 0);
    for faults in each_call(calls) {
        match catch_unwind(AssertUnwindSafe(|| run(&faults))) {
            // A call is repeated 64 times at most.
            Ok((made, _)) if made > calls * 70 => panic!("{faults:?}: {made} of {calls} calls"),
            Ok((_, failed)) => (runs, errors) = (runs + 1, errors + u64::from(failed)),
            Err(_) => panic!("{what}: {faults:?} of {calls} calls broke a promise"),
        }
    }
    println!("{what}: calls={calls} runs={runs} errors={errors}");
    assert!(runs >= least && errors > runs / 3, "{runs} runs, {errors} errors");
}

#[test]
fn no_failing_call_of_a_backup_harms_the_database_or_the_backup_before() {
    let prepared = Prepared::new(true);
    sweep("backup over an earlier one", 1000, |faults| prepared.run(faults));
}

#[test]
fn a_first_backup_of_which_a_call_fails_is_whole_or_refused() {
    let prepared = Prepared::new(false);
    sweep("first backup", 1000, |faults| prepared.run(faults));
}

/// A finished backup and an empty data directory, and what the backup is of.
fn backed_up() -> (FaultDisk, Content) {
    let disk = FaultDisk::new();
    let db = fresh(&disk, &clock(), options());
    for n in 0..24 {
        upsert(&db, n, n);
    }
    db.backup(&to(&disk)).expect("no faults");
    let expected = content(&db, DEFAULT_COLLECTION);
    drop(db);
    store(&disk).close().expect("no faults");
    (disk, expected)
}

fn store(disk: &FaultDisk) -> Store {
    let env = env(&disk.shared(), &clock());
    Store::open(&env, Path::new(DATA), options(), budget()).expect("no faults")
}

/// Restores into a directory with these faults and checks what there is.
fn restore_run(base: &FaultDisk, expected: &Content, faults: &[Fault]) -> (u64, bool) {
    let disk = base.fork();
    let before = disk.calls();
    faults.iter().for_each(|fault| disk.inject(fault.clone()));
    let result = restored(&disk, &clock());
    let calls = disk.calls() - before;
    disk.clear_faults();
    let is_whole = |disk: &FaultDisk| {
        if disk.shared().stat(Path::new(RESTORED)).expect("no faults").is_none() {
            return false;
        }
        let env = env(&disk.shared(), &clock());
        let db = Database::open(&env, Path::new(RESTORED), options(), &budget());
        let db = db.expect("a database that is there is whole").0;
        assert_eq!(content(&db, DEFAULT_COLLECTION), *expected);
        true
    };
    for loss in [Loss::Everything, Loss::Seeded(calls)] {
        let there = is_whole(&disk.crash(&Crash::PowerLoss(loss)));
        assert!(there || result.is_err(), "it is gone after a power loss");
    }
    let failed = result.is_err();
    match result {
        Ok((db, report)) => {
            assert_eq!(content(&db, DEFAULT_COLLECTION), *expected);
            assert_eq!(report.documents, expected.len() as u64);
        }
        Err(error) => {
            is_explained(faults, &error);
            if !is_whole(&disk) {
                let db = restored(&disk, &clock()).expect("without the fault").0;
                assert_eq!(content(&db, DEFAULT_COLLECTION), *expected);
            }
        }
    }
    check_backup(&to(&disk)).expect("a restore leaves the backup as it is");
    (calls, failed)
}

#[test]
fn a_restore_of_which_a_call_fails_makes_no_database_or_a_whole_one() {
    let (base, expected) = backed_up();
    sweep("restore", 1000, |faults| restore_run(&base, &expected, faults));
}

/// The same through a store, where the name of a database that was not made stays free.
fn store_run(base: &FaultDisk, expected: &Content, faults: &[Fault]) -> (u64, bool) {
    let disk = base.fork();
    let running = store(&disk);
    let before = disk.calls();
    faults.iter().for_each(|fault| disk.inject(fault.clone()));
    let result = running.restore(&to(&disk), &name("copy")).map(drop);
    let calls = disk.calls() - before;
    disk.clear_faults();
    if let Err(error) = &result {
        is_explained(faults, error);
        match running.restore(&to(&disk), &name("copy")) {
            Ok(_) => {}
            // It was made, and the disk did not let go of it: it is looked at below.
            Err(again) => assert_eq!(again.code(), Code::DbExists, "{again}"),
        }
    }
    let copy = running.database(&name("copy")).expect("without the fault");
    assert_eq!(content(&copy, DEFAULT_COLLECTION), *expected);
    drop((copy, running));
    let again = store(&disk);
    assert!(again.refused().is_empty(), "{:?}", again.refused());
    assert_eq!(again.list().len(), 2, "`default` and the copy: {:?}", again.list());
    let copy = again.database(&name("copy")).expect("without the fault");
    assert_eq!(content(&copy, DEFAULT_COLLECTION), *expected);
    let left: Vec<String> = disk
        .shared()
        .list(Path::new(DATA))
        .expect("no faults")
        .into_iter()
        .map(|e| e.name)
        .collect();
    assert_eq!(left.len(), 3, "the lock and two databases: {left:?}");
    (calls, result.is_err())
}

#[test]
fn a_store_of_which_a_restore_fails_has_the_name_free_or_the_whole_database() {
    let (base, expected) = backed_up();
    sweep("restore into a store", 1000, |faults| store_run(&base, &expected, faults));
}

#[test]
fn a_restore_that_finds_no_room_gives_back_what_it_took() {
    let (base, expected) = backed_up();
    let running = store(&base);
    let used = |disk: &FaultDisk| {
        let mut bytes = 0;
        let mut dirs = vec![PathBuf::from(DATA)];
        while let Some(dir) = dirs.pop() {
            for entry in disk.shared().list(&dir).expect("no faults") {
                bytes += entry.len;
                if entry.kind == base::io::EntryKind::Directory {
                    dirs.push(dir.join(&entry.name));
                }
            }
        }
        bytes
    };
    let before = used(&base);
    let full =
        Fault::forever(sim::disk::Calls::Only(sim::disk::Op::Write), 4, sim::disk::Effect::Enospc);
    base.inject(full.under(DATA));
    let error = running.restore(&to(&base), &name("copy")).expect_err("the disk is full");
    assert_eq!(error.code(), Code::DiskFull, "{error}");
    assert_eq!(used(&base), before);
    base.clear_faults();
    let copy = running.restore(&to(&base), &name("copy")).expect("there is room").0;
    assert_eq!(content(&copy, DEFAULT_COLLECTION), expected);
}
