//! Two faults at once, where each of them alone costs nothing: what the one took must not be needed to make up for
//! the other, nothing is removed that might be all that is left, and never is an older version of a
//! document the answer.

use std::path::{Path, PathBuf};

use base::error::{Code, Coded as _};
use base::memory::Budget;
use base::slots::Condition;
use base::words::Lsn;
use docstore::{
    DEFAULT_COLLECTION, Database, DatabaseSalvage, InDoubt, Manifest, Options, Severity, Verdict,
    Write, default_name, inspect_manifest,
};
use sim::disk::{Crash, FaultDisk, Rot};
use wal::inspect::{FrameInspection, Inspection, Role, inspect};

use crate::rot::{self, Documents, all_are_read, closed, data_files};
use crate::verify::{opened, rebuilt, verified};
use crate::world::{DIR, clock, document, env, id, small};

fn log_dir() -> PathBuf {
    Path::new(DIR).join("log")
}

/// A database that was killed with two checkpoints, and documents that were written anew between the two. The log has
/// several segments, some of which the newest checkpoint covers.
fn killed() -> (FaultDisk, Documents) {
    let disk = FaultDisk::new();
    let (store, budget) = (env(&disk.shared(), &clock()), Budget::new("test", 1 << 30));
    let db = Database::create(&store, Path::new(DIR), &default_name(), small(), &budget)
        .expect("no faults");
    let mut documents = Documents::new();
    let mut write = |n: u64, value: u64| {
        let written = document(value);
        db.write(Write::upsert(DEFAULT_COLLECTION, id(n), written.clone())).expect("no faults");
        documents.insert(id(n), written);
    };
    (0..60).for_each(|n| write(n, n));
    db.checkpoint().expect("no faults");
    (0..200).for_each(|n| write(n % 80, 1000 + n));
    db.checkpoint().expect("no faults");
    (0..10).for_each(|n| write(n, 5000 + n));
    (disk.crash(&Crash::Kill), documents)
}

fn manifest(disk: &FaultDisk) -> Manifest {
    inspect_manifest(&disk.shared(), Path::new(DIR))
        .expect("no faults")
        .manifest
        .expect("it is whole")
}

/// The index files of the newest checkpoint.
fn newest_index(disk: &FaultDisk) -> Vec<PathBuf> {
    let newest = manifest(disk).newest().index.clone();
    newest
        .iter()
        .map(|file| Path::new(DIR).join(format!("{:016x}.idx", file.header.number)))
        .collect()
}

fn flip(disk: &FaultDisk, path: &Path, offset: u64) {
    let rot = Rot::Flip { path: path.to_path_buf(), offset, mask: 0x10 };
    disk.rot(&rot).expect("the file is there");
}

fn look(disk: &FaultDisk, see: &mut dyn FnMut(&FrameInspection)) -> Inspection {
    inspect(&disk.shared(), &log_dir(), see).expect("no faults")
}

/// The files of a database and of its log.
fn names(disk: &FaultDisk) -> Vec<String> {
    let listed = disk.fork().shared().list(Path::new(DIR)).expect("no faults");
    let names = listed.into_iter().map(|entry| entry.name);
    names.filter(|name| name.ends_with(".data") || name.ends_with(".idx")).collect()
}

/// Damages the newest of the files of the MANIFEST.
fn set_back(disk: &FaultDisk) {
    let slots = inspect_manifest(&disk.shared(), Path::new(DIR)).expect("no faults").slots;
    let newest = slots.iter().max_by_key(|slot| match slot.condition {
        Condition::Valid { sequence, .. } => sequence,
        Condition::Missing | Condition::Newer(_) | Condition::Invalid => 0,
    });
    flip(disk, &newest.expect("there are three").path, 40);
}

#[test]
fn an_index_and_the_log_that_its_checkpoint_covers_may_be_damaged_both() {
    let (disk, documents) = killed();
    let covered = manifest(&disk).newest().lsn;
    let segments = look(&disk, &mut |_| ()).segments;
    let below = |lsns: Option<(Lsn, Lsn)>| lsns.is_some_and(|(_, to)| to <= covered);
    let below: Vec<_> = segments.iter().filter(|s| s.role == Role::Log && below(s.lsns)).collect();
    assert!(!below.is_empty(), "{segments:?}");
    for segment in below {
        for index in newest_index(&disk) {
            let fork = disk.fork();
            flip(&fork, &segment.path, segment.end / 2);
            all_are_read(&opened(&fork.fork()).expect("it is covered").0, &documents);
            flip(&fork, &index, 70);
            let checked = verified(&fork);
            assert_eq!(checked.verdict(), Verdict::Healable, "{checked}");
            let (db, report) = opened(&fork).expect("the data files have everything");
            assert!(report.rebuilt.is_some());
            all_are_read(&db, &documents);
            db.close().expect("no faults");
            // The log is damaged still, where nothing needs it.
            assert_ne!(verified(&fork).verdict(), Verdict::Lost);
        }
    }
}

#[test]
fn a_log_with_a_gap_does_not_stand_in_for_the_data_files_of_a_newer_checkpoint() {
    let (disk, documents) = killed();
    let kept = manifest(&disk).checkpoints;
    let [.., older, newest] = kept.as_slice() else { panic!("there are two: {kept:?}") };
    let covered = |lsn: Lsn| older.lsn < lsn && lsn <= newest.lsn;
    // In the segment in which the replay begins, so that opening meets it.
    let (mut last, mut places) = (0, Vec::new());
    look(&disk, &mut |frame| {
        if frame.header.lsn <= newest.lsn {
            last = frame.segment;
        }
        if covered(frame.header.lsn) && frame.key.is_some() {
            places.push((frame.segment, frame.offset));
        }
    });
    let (segment, offset) = *places.iter().rfind(|place| place.0 == last).expect("there is one");
    flip(&disk, &log_dir().join(format!("{segment:016x}.wal")), offset + 60);
    assert_eq!(opened(&disk.fork()).unwrap_err().code(), Code::WalCorrupt);
    let plan = DatabaseSalvage::plan(&env(&disk.shared(), &clock()), Path::new(DIR), &small());
    let report = plan.expect("no faults").apply().expect("no faults");
    assert!(report.lost.is_empty(), "the checkpoint has it: {report}");
    all_are_read(&opened(&disk.fork()).expect("it was salvaged").0, &documents);
    for index in newest_index(&disk) {
        let fork = disk.fork();
        flip(&fork, &index, 70);
        let (db, report) = opened(&fork).expect("the data files have everything");
        assert!(report.rebuilt.is_some());
        all_are_read(&db, &documents);
    }
    // With a data file gone as well nobody knows what was lost: that is said, and nothing older served.
    flip(&disk, &newest_index(&disk)[0], 70);
    let path = data_files(&disk).pop().expect("there are some");
    disk.rot(&Rot::Remove { path }).expect("it is there");
    assert_eq!(verified(&disk).verdict(), Verdict::Lost);
    let refused = opened(&disk).unwrap_err();
    assert!(refused.to_string().contains(".idx"), "{refused}");
}

#[test]
fn where_an_index_made_again_would_lose_what_can_be_healed_an_older_checkpoint_is_gone_on_from() {
    let clock = clock();
    let (disk, documents) = closed(&clock, small(), true);
    let off = Options { healing: false, healing_on_read: false, ..small() };
    let newest = newest_index(&disk).pop().expect("there is one");
    flip(&disk, &newest, 70);
    for path in data_files(&disk) {
        let fork = disk.fork();
        rot::damage(&fork, &path, 3);
        let (db, report) = rot::open(&fork, &clock, off.clone()).expect("nothing is lost");
        assert_eq!(db.quarantine(), [], "parity has it: {report:?}");
        db.close().expect("no faults");
        drop(db);
        all_are_read(&rot::opened(&fork, &clock, small()), &documents);
    }
}

#[test]
fn nothing_is_removed_before_it_is_certain_that_the_database_opens() {
    let (whole, documents) = killed();
    let before = names(&whole);
    for with_index in [true, false] {
        let disk = whole.fork();
        set_back(&disk);
        let named = manifest(&disk);
        let is_left = |name: &String| {
            name.ends_with(".idx")
                && !named
                    .newest()
                    .index
                    .iter()
                    .any(|f| *name == format!("{:016x}.idx", f.header.number))
        };
        assert!(before.iter().any(is_left), "something looks left over");
        if !with_index {
            newest_index(&disk).iter().for_each(|path| flip(&disk, path, 70));
        }
        let newest = look(&disk, &mut |_| ()).segments.pop().expect("there is one").path;
        flip(&disk, &newest, 20);
        let refused = opened(&disk).unwrap_err();
        assert_eq!(refused.code(), Code::WalCorrupt, "{refused}");
        let is_there = |disk: &FaultDisk| {
            let after = names(disk);
            before.iter().all(|name| after.contains(name))
        };
        assert!(is_there(&disk), "{before:?} {:?}", names(&disk));
        assert!(rebuilt(&disk, InDoubt::Refuse).expect("no faults").index.is_some());
        assert!(is_there(&disk), "{before:?} {:?}", names(&disk));
        // Back in order it opens, and what is left over is gone then.
        flip(&disk, &newest, 20);
        let (db, _) = opened(&disk).expect("the log is whole");
        all_are_read(&db, &documents);
        assert!(!is_there(&disk));
    }
}

#[test]
fn a_manifest_that_is_set_back_by_one_is_served_from_what_is_left_and_checked_alike() {
    let disk = FaultDisk::new();
    let (store, budget) = (env(&disk.shared(), &clock()), Budget::new("test", 1 << 30));
    let db = Database::create(&store, Path::new(DIR), &default_name(), small(), &budget)
        .expect("no faults");
    let mut documents = Documents::new();
    let mut passed_over = 0;
    for round in 0..12 {
        for n in 0..60 {
            let written = document(round * 1000 + n);
            let n = (n * 7 + round) % 90;
            db.write(Write::upsert(DEFAULT_COLLECTION, id(n), written.clone())).expect("no faults");
            documents.insert(id(n), written);
        }
        for compactions in 0..4 {
            let done = if compactions == 0 { db.checkpoint() } else { db.compact() };
            done.expect("no faults");
            let fork = disk.crash(&Crash::Kill);
            set_back(&fork);
            let checked = verified(&fork);
            assert_eq!(checked.verdict(), Verdict::Healable, "{round} {compactions}: {checked}");
            let (again, report) = opened(&fork).expect("the other slot serves");
            passed_over += report.passed_over.len();
            all_are_read(&again, &documents);
            again.close().expect("no faults");
            assert_eq!(verified(&fork).verdict(), Verdict::Clean);
        }
    }
    assert!(passed_over > 0, "files of the checkpoint that is served from were gone");
}

#[test]
fn damage_that_nothing_needs_any_more_is_no_reason_to_worry() {
    let clock = clock();
    let keep = rot::keep_log();
    let (whole, documents) = closed(&clock, keep.clone(), false);
    let path = data_files(&whole).remove(0);
    let mut healed = 0;
    for sector in (2..40).step_by(3) {
        let disk = whole.crash(&Crash::Kill);
        rot::damage(&disk, &path, sector);
        rot::damage(&disk, &path, sector + 1);
        assert_ne!(verified(&disk).verdict(), Verdict::Lost, "the log still has it");
        let db = rot::opened(&disk, &clock, keep.clone());
        healed += db.heal_all().expect("no faults").healed;
        for n in 900..903 {
            let write = Write::upsert(DEFAULT_COLLECTION, id(n), document(n));
            db.write(write).expect("no faults");
            db.checkpoint().expect("no faults");
        }
        db.close().expect("no faults");
        let checked = verified(&disk);
        assert_eq!(checked.verdict(), Verdict::Clean, "{checked}");
        let harmless = |problem: &docstore::Problem| {
            problem.severity == Severity::Harmless && problem.path == path
        };
        assert!(checked.problems.iter().all(harmless), "{checked}");
        all_are_read(&opened(&disk).expect("no faults").0, &documents);
    }
    assert!(healed > 0);
}
