//! A database whose log is damaged where it was durable opens after its salvage, with everything
//! that was not hit, and says what was.

use std::path::Path;

use base::error::{Code, Coded as _};
use base::memory::Budget;
use base::words::{CollectionId, Lsn, Name};
use docstore::{
    DEFAULT_COLLECTION, Database, DatabaseSalvage, DatabaseSalvageReport, Verdict, Write,
    default_name,
};
use sim::disk::{FaultDisk, Rot};
use wal::inspect::{FrameInspection, inspect};

use crate::verify::{opened, verified};
use crate::world::{DIR, clock, document, env, id, small};

/// A database that was killed: 20 documents in a data file, then 20 in the log, the last
/// five of them in one batch, and one more.
fn made() -> FaultDisk {
    let disk = FaultDisk::new();
    let env = env(&disk.shared(), &clock());
    let budget = Budget::new("test", 1 << 30);
    let db = Database::create(&env, Path::new(DIR), &default_name(), small(), &budget)
        .expect("no faults");
    let upsert = |n| Write::upsert(DEFAULT_COLLECTION, id(n), document(n));
    for n in 0..20 {
        db.write(upsert(n)).expect("no faults");
    }
    db.checkpoint().expect("no faults");
    for n in 20..35 {
        db.write(upsert(n)).expect("no faults");
    }
    db.batch((35..40).map(upsert).collect()).expect("no faults");
    db.write(upsert(40)).expect("no faults");
    // The next group carries the hint that all of that is durable.
    db.write(upsert(41)).expect("no faults");
    disk.crash(&sim::disk::Crash::Kill)
}

/// Damages the frame of a document; answers its LSN.
fn damage(disk: &FaultDisk, n: u64) -> Lsn {
    let dir = Path::new(DIR).join("log");
    let mut place = None;
    inspect(&disk.shared(), &dir, &mut |frame: &FrameInspection| {
        if frame.key == Some((DEFAULT_COLLECTION, id(n))) {
            place = Some((frame.segment, frame.offset, frame.header.lsn));
        }
    })
    .expect("no faults");
    let (segment, offset, lsn) = place.expect("it is in the log");
    let path = dir.join(format!("{segment:016x}.wal"));
    disk.rot(&Rot::Flip { path, offset: offset + 60, mask: 1 }).expect("no faults");
    lsn
}

fn planned(disk: &FaultDisk) -> docstore::Result<DatabaseSalvage> {
    DatabaseSalvage::plan(&env(&disk.shared(), &clock()), Path::new(DIR), &small())
}

fn salvaged(disk: &FaultDisk) -> DatabaseSalvageReport {
    planned(disk).expect("no faults").apply().expect("no faults")
}

#[test]
fn a_lost_change_costs_its_document_alone_and_is_counted() {
    let disk = made();
    let lsn = damage(&disk, 25);
    assert_eq!(opened(&disk.fork()).unwrap_err().code(), Code::WalCorrupt);
    assert_eq!(verified(&disk).verdict(), Verdict::Lost);
    let report = salvaged(&disk);
    assert_eq!((report.lost.len(), report.unknown, report.documents.len()), (1, 1, 0), "{report}");
    assert_eq!((report.lost[0].from, report.lost[0].to), (lsn, lsn));
    for round in 0..2 {
        let (db, _) = opened(&disk).unwrap();
        for n in 0..42 {
            let found = db.get(DEFAULT_COLLECTION, &id(n)).unwrap();
            assert_eq!(found.map(|stored| stored.document), (n != 25).then(|| document(n)), "{n}");
        }
        let written = db.write(Write::upsert(DEFAULT_COLLECTION, id(50), document(round))).unwrap();
        assert!(written.revision > report.log.last);
        let mut feed = db.changes(Lsn(lsn.0 - 2)).unwrap();
        assert_eq!(feed.next().unwrap().unwrap().lsn, Lsn(lsn.0 - 1));
        drop(feed);
        db.checkpoint().unwrap();
        db.close().unwrap();
        assert_eq!(verified(&disk).verdict(), Verdict::Clean);
    }
}

#[test]
fn documents_of_a_batch_of_which_a_part_is_lost_are_named() {
    let disk = made();
    damage(&disk, 37);
    let report = salvaged(&disk);
    let named: Vec<_> = report.documents.iter().map(|lost| lost.id.clone()).collect();
    assert_eq!(named, [35, 36, 38, 39].map(id), "{report}");
    assert_eq!(report.unknown, 1);
    let (db, _) = opened(&disk).unwrap();
    for n in 0..42 {
        let is_there = db.get(DEFAULT_COLLECTION, &id(n)).unwrap().is_some();
        assert_eq!(is_there, !(35..40).contains(&n), "{n}");
    }
}

#[test]
fn damage_below_the_checkpoint_costs_nothing() {
    let disk = made();
    damage(&disk, 5);
    let report = salvaged(&disk);
    assert!(report.lost.is_empty() && report.documents.is_empty(), "{report}");
    let (db, _) = opened(&disk).unwrap();
    assert_eq!(db.count(DEFAULT_COLLECTION).unwrap(), 42);
}

#[test]
fn a_sound_database_is_left_alone_and_one_in_use_is_refused() {
    let disk = made();
    assert!(planned(&disk).unwrap().report().is_nothing_to_do());
    let (db, _) = opened(&disk).unwrap();
    assert_eq!(planned(&disk).unwrap_err().code(), Code::FileOpen);
    db.close().unwrap();
}

#[test]
fn a_log_that_would_end_before_the_checkpoint_is_refused() {
    let disk = made();
    let (db, _) = opened(&disk).unwrap();
    db.close().unwrap();
    for (path, _) in crate::verify::files(&disk) {
        if path.parent().unwrap().ends_with("log") {
            disk.rot(&Rot::Remove { path }).unwrap();
        }
    }
    let refused = planned(&disk).and_then(DatabaseSalvage::apply).unwrap_err();
    assert!(matches!(refused.code(), Code::CorruptRecord | Code::FileOpen), "{refused}");
}

/// A database that was killed behind its checkpoint: a collection was made, three documents were
/// written to it, and one more to another. Answers the number of the collection, and the frame that
/// made it, damaged.
fn without_creation(documents: u64) -> (FaultDisk, CollectionId, Lsn) {
    let disk = FaultDisk::new();
    let env = env(&disk.shared(), &clock());
    let budget = Budget::new("test", 1 << 30);
    let db = Database::create(&env, Path::new(DIR), &default_name(), small(), &budget)
        .expect("no faults");
    db.write(Write::upsert(DEFAULT_COLLECTION, id(1), document(1))).expect("no faults");
    db.checkpoint().expect("no faults");
    let books = db.create_collection(&Name::new("books").expect("a name")).expect("no faults");
    for n in 0..documents {
        db.write(Write::upsert(books, id(n), document(n))).expect("no faults");
    }
    for n in 0..2 {
        db.write(Write::upsert(DEFAULT_COLLECTION, id(n), document(7))).expect("no faults");
    }
    let disk = disk.crash(&sim::disk::Crash::Kill);
    let log = Path::new(DIR).join("log");
    let mut place = None;
    inspect(&disk.shared(), &log, &mut |frame: &FrameInspection| {
        if frame.header.kind == wal::frame::Kind::CreateCollection {
            place = Some((frame.segment, frame.offset, frame.header.lsn));
        }
    })
    .expect("no faults");
    let (segment, offset, lsn) = place.expect("it is in the log");
    let path = log.join(format!("{segment:016x}.wal"));
    let offset = offset + wal::frame::HEADER_BYTES as u64;
    disk.rot(&Rot::Flip { path, offset, mask: 1 }).expect("no faults");
    (disk, books, lsn)
}

#[test]
fn a_collection_whose_creation_is_lost_is_reported_and_its_documents_stay_findable() {
    let (disk, books, lsn) = without_creation(3);
    let report = salvaged(&disk);
    assert_eq!((report.lost[0].from, report.lost[0].to), (lsn, lsn));
    assert_eq!(report.collections, [(books, None)], "{report}");
    assert!(report.to_string().contains(&format!("opens as `recovered-{books}`")), "{report}");
    let name = Name::new(&format!("recovered-{books}")).unwrap();
    let mut disk = disk;
    for round in 0..3 {
        let (db, report) = opened(&disk).unwrap();
        // Once a checkpoint has it there is nothing to report.
        let adopted = if round < 2 { vec![(books, name.clone())] } else { Vec::new() };
        assert_eq!(report.adopted, adopted);
        assert_eq!(db.collection(&name).unwrap(), books);
        for n in 0..3 {
            let found = db.get(books, &id(n)).unwrap().expect("it is findable");
            assert_eq!(found.document, document(n));
        }
        assert_eq!(db.count(books).unwrap(), 3);
        let other = Name::new(&format!("other-{round}")).unwrap();
        assert!(db.create_collection(&other).unwrap() > books, "the number is not given again");
        if round == 0 {
            // Killed before a checkpoint has it.
            let killed = disk.crash(&sim::disk::Crash::Kill);
            drop(db);
            disk = killed;
        } else {
            db.close().unwrap();
            assert_eq!(verified(&disk).verdict(), Verdict::Clean);
        }
    }
}

#[test]
fn the_number_of_a_collection_of_which_nothing_is_left_is_not_given_again() {
    let (disk, books, _) = without_creation(0);
    let report = salvaged(&disk);
    assert!(report.collections.is_empty() && report.unknown == 1, "{report}");
    let (db, report) = opened(&disk).unwrap();
    assert!(report.adopted.is_empty());
    let again = db.create_collection(&Name::new("books").unwrap()).unwrap();
    assert!(again > books, "{again} may have been that of the lost one");
}
