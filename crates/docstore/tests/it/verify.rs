//! `verify` finds every fault that is planted, names the file, and never says that nothing is lost
//! when something is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base::document::Document;
use base::io::EntryKind;
use base::memory::Budget;
use base::words::{DocId, Lsn, Name};
use docstore::{
    DEFAULT_COLLECTION, Database, InDoubt, OpenReport, RebuildReport, Severity, Verdict,
    VerifyReport, Write, default_name, rebuild_index, verify,
};
use sim::disk::{FaultDisk, Rot};

use crate::world::{DIR, clock, document, env, id, small};

pub(crate) fn opened(disk: &FaultDisk) -> docstore::Result<(Database, OpenReport)> {
    let env = env(&disk.shared(), &clock());
    let budget = Budget::new("test", 1 << 30);
    Database::open(&env, Path::new(DIR), small(), &budget)
}

pub(crate) fn verified(disk: &FaultDisk) -> VerifyReport {
    verify(&env(&disk.shared(), &clock()), Path::new(DIR)).expect("no faults")
}

pub(crate) fn rebuilt(disk: &FaultDisk, in_doubt: InDoubt) -> docstore::Result<RebuildReport> {
    rebuild_index(&env(&disk.shared(), &clock()), Path::new(DIR), &small(), in_doubt)
}

pub(crate) fn key(n: u64) -> DocId {
    match n % 3 {
        0 => DocId::string(&format!("key-{n:04}")).expect("a short id"),
        _ => id(n),
    }
}

/// Documents with their revisions, as they must be found.
pub(crate) type Truth = Vec<(DocId, Lsn, Document)>;

/// A closed database with several checkpoints, a base and a run, tombstones, and two data files.
pub(crate) fn made() -> (FaultDisk, Truth) {
    let disk = FaultDisk::new();
    let env = env(&disk.shared(), &clock());
    let budget = Budget::new("test", 1 << 30);
    let db = Database::create(&env, Path::new(DIR), &default_name(), small(), &budget)
        .expect("no faults");
    let books = db.create_collection(&Name::new("books").expect("no faults")).expect("no faults");
    for n in 0..120 {
        db.write(Write::upsert(DEFAULT_COLLECTION, key(n), document(n))).expect("no faults");
    }
    db.write(Write::upsert(books, id(1), document(1))).expect("no faults");
    db.checkpoint().expect("no faults");
    for n in 0..6 {
        db.write(Write::delete(DEFAULT_COLLECTION, key(n))).expect("no faults");
        db.write(Write::upsert(DEFAULT_COLLECTION, key(n + 20), document(n + 500)))
            .expect("no faults");
    }
    db.checkpoint().expect("no faults");
    for n in 120..124 {
        db.write(Write::upsert(DEFAULT_COLLECTION, key(n), document(n))).expect("no faults");
    }
    db.close().expect("no faults");
    let (db, _) = opened(&disk.fork()).expect("no faults");
    let truth = (0..124).filter_map(|n| {
        let stored = db.get(DEFAULT_COLLECTION, &key(n)).expect("no faults")?;
        Some((key(n), stored.revision, stored.document))
    });
    (disk, truth.collect())
}

/// Whether every document can be read as it was written, after what opening and a scrub heal.
pub(crate) fn is_whole(disk: &FaultDisk, truth: &Truth) -> Result<(), String> {
    let db = match opened(disk) {
        Ok((db, _)) => db,
        Err(_) => {
            let report = rebuilt(disk, InDoubt::Refuse).map_err(|e| e.to_string())?;
            report.index.ok_or("it is in doubt")?;
            opened(disk).map_err(|e| e.to_string())?.0
        }
    };
    db.heal_all().map_err(|e| e.to_string())?;
    for (id, revision, document) in truth {
        let stored = db.get(DEFAULT_COLLECTION, id).map_err(|e| e.to_string())?;
        let stored = stored.ok_or_else(|| format!("{id} is gone"))?;
        assert_eq!((&stored.revision, &stored.document), (revision, document), "an older {id}");
    }
    if db.count(DEFAULT_COLLECTION).map_err(|e| e.to_string())? != truth.len() as u64 {
        return Err("there are more".to_owned());
    }
    Ok(())
}

/// Every file of the database, with its length.
pub(crate) fn files(disk: &FaultDisk) -> Vec<(PathBuf, u64)> {
    let mut all = Vec::new();
    for dir in [PathBuf::from(DIR), Path::new(DIR).join("log")] {
        for entry in disk.shared().list(&dir).expect("no faults") {
            if entry.kind == EntryKind::File && entry.name != "LOCK" && entry.len > 0 {
                all.push((dir.join(&entry.name), entry.len));
            }
        }
    }
    all
}

#[test]
fn a_sound_database_is_clean_whether_open_closed_or_killed() {
    let (disk, truth) = made();
    let report = verified(&disk);
    assert_eq!((report.verdict(), report.problems.len()), (Verdict::Clean, 0), "{report}");
    let documents: u64 = report.collections.iter().map(|collection| collection.documents).sum();
    assert_eq!(documents, truth.len() as u64 + 1);
    for checkpoint in &report.checkpoints {
        assert_eq!(checkpoint.readable, checkpoint.documents);
    }
    let (db, _) = opened(&disk).unwrap();
    for n in 0..10 {
        db.write(Write::upsert(DEFAULT_COLLECTION, key(n), document(n))).unwrap();
        let report = verified(&disk);
        assert_eq!(report.verdict(), Verdict::Clean, "{report}");
    }
    let killed = disk.crash(&sim::disk::Crash::Kill);
    let report = verified(&killed);
    assert_eq!(report.verdict(), Verdict::Clean, "{report}");
    assert_eq!(report.collections[0].changes, 10);
}

#[test]
fn every_planted_fault_is_found_in_its_file_and_healable_means_that_nothing_is_lost() {
    let (disk, truth) = made();
    let (mut flips, mut healable, mut lost) = (0, 0, 0);
    let log = wal::inspect::inspect(&disk.shared(), &Path::new(DIR).join("log"), &mut |_| ());
    let segments = log.unwrap().segments.into_iter();
    let ends: BTreeMap<PathBuf, u64> = segments.map(|found| (found.path, found.end)).collect();
    for (path, len) in files(&disk) {
        let is_slot = path.to_string_lossy().contains("MANIFEST");
        // A file of a manifest may end in what is left of a longer value, a segment in free space.
        let len = match ends.get(&path) {
            Some(end) => *end,
            None if is_slot => 60,
            None => len,
        };
        for offset in (0..len).step_by(if is_slot { 7 } else { 97 }) {
            if is_slot && (28..32).contains(&offset) {
                continue;
            }
            let fork = disk.fork();
            fork.rot(&Rot::Flip { path: path.clone(), offset, mask: 0x10 }).unwrap();
            let report = verified(&fork);
            let place = format!("{} at {offset}", path.display());
            flips += 1;
            if report.verdict() == Verdict::Clean {
                // Behind the last durable hint damage cannot be told from a torn write: nobody was
                // promised what stands there.
                let tail = report.log.and_then(|log| log.tail).expect(&place);
                assert_eq!(tail.0, path, "{place}");
                is_whole(&fork, &truth).unwrap_or_else(|why| panic!("{place}: {why}"));
                continue;
            }
            let in_log = path.parent().unwrap().ends_with("log");
            let is_named = report
                .problems
                .iter()
                .any(|problem| problem.path == path || (in_log && path.starts_with(&problem.path)));
            assert!(is_named, "{place}: {report}");
            match report.verdict() {
                Verdict::Lost => lost += 1,
                Verdict::Clean | Verdict::Healable => {
                    healable += 1;
                    if let Err(why) = is_whole(&fork, &truth) {
                        panic!("{place}: {why}: {report}");
                    }
                }
            }
        }
    }
    assert!(flips > 300 && healable > 200 && lost > 0, "{flips} {healable} {lost}");
}

#[test]
fn missing_and_shortened_files_are_found() {
    let (disk, truth) = made();
    for (path, len) in files(&disk) {
        for rot in
            [Rot::Remove { path: path.clone() }, Rot::Truncate { path: path.clone(), len: len / 2 }]
        {
            let fork = disk.fork();
            fork.rot(&rot).unwrap();
            let report = verified(&fork);
            assert_ne!(report.verdict(), Verdict::Clean, "{rot:?}");
            if report.verdict() == Verdict::Healable {
                is_whole(&fork, &truth).unwrap_or_else(|why| panic!("{rot:?}: {why}: {report}"));
            }
        }
    }
}

#[test]
fn a_document_that_parity_and_log_have_lost_is_named() {
    let (disk, _) = made();
    // Two blocks of the first stripe: one more than parity makes again.
    let path = Path::new(DIR).join("00000001.data");
    for sector in [2, 3] {
        disk.rot(&Rot::Garbage { path: path.clone(), sector, seed: 7 }).unwrap();
    }
    let report = verified(&disk);
    assert_eq!(report.verdict(), Verdict::Lost);
    let named: Vec<&DocId> = report.lost().map(|lost| &lost.id).collect();
    assert!(!named.is_empty(), "{report}");
    let (db, _) = opened(&disk).unwrap();
    for n in 0..124 {
        let is_lost = db.get(DEFAULT_COLLECTION, &key(n)).is_err();
        assert_eq!(is_lost, named.contains(&&key(n)), "{n}: {report}");
    }
    db.close().unwrap();
    let report = verified(&disk);
    assert_eq!(report.verdict(), Verdict::Lost, "what is in quarantine is lost still");
    assert!(report.problems.iter().any(|p| p.severity == Severity::Lost && p.document.is_some()));
}

#[test]
fn where_there_is_no_database_is_an_error() {
    let disk = FaultDisk::new();
    disk.shared().create_dir(Path::new(DIR)).unwrap();
    let error = verify(&env(&disk.shared(), &clock()), Path::new(DIR)).unwrap_err();
    assert_eq!(base::error::Coded::code(&error), base::error::Code::FileOpen);
}
