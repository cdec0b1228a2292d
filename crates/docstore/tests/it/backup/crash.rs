//! Every crash of a backup and of a restore: the backup before stays usable, one that was never
//! finished is refused by name, a restored database is there as a whole or not at all.

use std::path::Path;

use sim::crash::{Limits, Report, enumerate, record};

use super::*;

fn limits() -> Limits {
    let times = usize::try_from(sim::seed::times()).expect("a small number");
    Limits { exhaustive_max: 8 * times, samples: 8 * times, ..Limits::default() }
}

/// What the backups of a database were of, by their positions.
type States = BTreeMap<Lsn, Content>;

fn opened(disk: &FaultDisk, options: Options) -> Result<Database, String> {
    let env = env(&disk.shared(), &clock());
    let opened = Database::open(&env, Path::new(DIR), options, &budget());
    opened.map(|(db, _)| db).map_err(|error| format!("the database: {error}"))
}

/// Whatever a crash has left, the next backup is whole and nothing of the one before it stays.
fn is_taken_again(disk: &FaultDisk, options: Options) -> Result<(), String> {
    let db = opened(disk, options)?;
    let report = db.backup(&to(disk)).map_err(|error| format!("the next backup: {error}"))?;
    let summary = check_backup(&to(disk)).map_err(|error| error.to_string())?;
    if summary != report.summary || super::held(disk).len() as u64 != summary.files {
        return Err(format!("{:?} are there after {report:?}", super::held(disk)));
    }
    let copy = restored(disk, &clock()).map_err(|error| error.to_string())?.0;
    if content(&copy, DEFAULT_COLLECTION) != content(&db, DEFAULT_COLLECTION) {
        return Err("the next backup holds something else".to_owned());
    }
    Ok(())
}

/// Enumerates the crashes of the last of some backups. Its position is acknowledged, and that of
/// the one before it.
fn crashes_of_backups(earlier: bool) -> Report {
    let (disk, clock) = (FaultDisk::new(), clock());
    let options = Options { data_file_bytes_max: 2048, ..small() };
    let db = fresh(&disk, &clock, options.clone());
    let mut states = States::new();
    let mut note = |db: &Database| {
        let lsn = db.backup(&to(&disk)).expect("no faults").summary.lsn;
        states.insert(lsn, content(db, DEFAULT_COLLECTION));
        lsn
    };
    for n in 0..30 {
        upsert(&db, n, n);
    }
    let first = earlier.then(|| note(&db));
    for n in 20..40 {
        upsert(&db, n, 100 + n);
    }
    let recording = record(&disk, |_, recorder| {
        first.into_iter().for_each(|first| recorder.acknowledge(first));
        let second = note(&db);
        recorder.acknowledge(second);
    });
    // Dropping would close the database: a crash does not.
    std::mem::forget(db);
    let mut visited = 0_u64;
    let report = enumerate(&recording, &limits(), |disk, acknowledged: &[Lsn], _| {
        visited += 1;
        if visited.is_multiple_of(16) {
            is_taken_again(&disk.fork(), options.clone())?;
        }
        let summary = match check_backup(&to(disk)) {
            Ok(summary) => summary,
            Err(error) if acknowledged.is_empty() => return is_refused(disk, &error),
            Err(error) => return Err(format!("it is unusable: {error}")),
        };
        if acknowledged.last().is_some_and(|last| summary.lsn < *last) {
            return Err(format!("the backup at {acknowledged:?} is gone: {}", summary.lsn));
        }
        let (copy, _) = restored(disk, &self::clock()).map_err(|e| e.to_string())?;
        match states.get(&summary.lsn) {
            Some(state) if *state == content(&copy, DEFAULT_COLLECTION) => Ok(()),
            _ => Err(format!("it holds something else at {}", summary.lsn)),
        }
    });
    report.unwrap_or_else(|failure| panic!("{failure}"))
}

/// Where no backup was finished, the value `BACKUP` is what is missing or not valid.
fn is_refused(disk: &FaultDisk, error: &docstore::StoreError) -> Result<(), String> {
    if !error.to_string().contains("/backup/BACKUP") {
        return Err(format!("an unfinished backup is refused by another name: {error}"));
    }
    match restored(disk, &clock()) {
        Err(other) if other.to_string() == error.to_string() => {}
        other => return Err(format!("it is restored: {other:?}")),
    }
    match disk.shared().stat(Path::new(RESTORED)) {
        Ok(None) => Ok(()),
        found => Err(format!("something was made of it: {found:?}")),
    }
}

#[test]
fn a_crash_during_a_backup_leaves_the_one_before_usable() {
    let report = crashes_of_backups(true);
    println!("backup over an earlier one: {report}");
    assert!(report.distinct > 100, "{report:?}");
}

#[test]
fn a_first_backup_that_a_crash_interrupts_is_refused_by_name() {
    let report = crashes_of_backups(false);
    println!("first backup: {report}");
    assert!(report.distinct > 100, "{report:?}");
}

#[test]
fn a_crash_during_a_restore_leaves_no_database_or_a_whole_one() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let data = Path::new("/data");
    let store = |disk: &FaultDisk| {
        let env = env(&disk.shared(), &self::clock());
        let options = Options { data_file_bytes_max: 2048, ..small() };
        Store::open(&env, data, options, budget())
    };
    let db = fresh(&disk, &clock, small());
    for n in 0..60 {
        upsert(&db, n, n);
    }
    let expected = content(&db, DEFAULT_COLLECTION);
    db.backup(&to(&disk)).unwrap();
    db.close().unwrap();
    drop(db);
    let running = store(&disk).unwrap();
    let recording = record(&disk, |disk, recorder| {
        running.restore(&to(disk), &name("copy")).expect("no faults");
        recorder.acknowledge(());
    });
    std::mem::forget(running);
    let (mut absent, mut whole) = (0, 0);
    let report = enumerate(&recording, &limits(), |disk, acknowledged: &[()], _| {
        let store = store(disk).map_err(|error| format!("the store: {error}"))?;
        if let Some(refused) = store.refused().first() {
            return Err(format!("{}: {}", refused.path.display(), refused.error));
        }
        if store.list().iter().all(|entry| entry.name != name("copy")) {
            absent += 1;
            return match acknowledged {
                [] => Ok(()),
                _ => Err("a database that was restored is gone".to_owned()),
            };
        }
        let copy = store.database(&name("copy")).map_err(|error| format!("its half: {error}"))?;
        if content(&copy, DEFAULT_COLLECTION) != expected {
            return Err("it holds something else".to_owned());
        }
        whole += 1;
        Ok(())
    });
    let report = report.unwrap_or_else(|failure| panic!("{failure}"));
    println!("restore: {report}, absent after {absent}, whole after {whole}");
    assert!(report.distinct > 100 && absent > 50 && whole > 2, "{report:?} {absent} {whole}");
}
