//! An index made again from data files and log: the same documents, never an older version in
//! silence.

use std::path::{Path, PathBuf};

use base::error::{Code, Coded as _};
use base::words::Lsn;
use docstore::{DEFAULT_COLLECTION, InDoubt, Verdict, Write};
use sim::crash::{Limits, Recorder, enumerate, record};
use sim::disk::{Calls, Crash, Effect, Fault, FaultDisk, Loss, Rot};

use crate::verify::{Truth, files, is_whole, key, made, opened, rebuilt, verified};
use crate::world::{DIR, document};

fn indexes(disk: &FaultDisk) -> Vec<PathBuf> {
    let all = files(disk).into_iter().map(|(path, _)| path);
    all.filter(|path| path.extension().is_some_and(|e| e == "idx")).collect()
}

fn data(number: u32) -> PathBuf {
    Path::new(DIR).join(format!("{number:08x}.data"))
}

/// Damages every index file.
fn blind(disk: &FaultDisk) {
    for path in indexes(disk) {
        disk.rot(&Rot::Flip { path, offset: 70, mask: 4 }).expect("no faults");
    }
}

/// One block more than parity makes again, in the first stripe of the first file.
fn hole(disk: &FaultDisk) {
    for sector in [2, 3] {
        disk.rot(&Rot::Garbage { path: data(1), sector, seed: 9 }).expect("no faults");
    }
}

/// What reads say of every document: its revision, none, or that it is lost.
fn seen(disk: &FaultDisk) -> Vec<Result<Option<Lsn>, Code>> {
    let (db, _) = opened(disk).expect("no faults");
    let get = |n| db.get(DEFAULT_COLLECTION, &key(n)).map_err(|e| e.code());
    (0..124).map(|n| get(n).map(|found| found.map(|stored| stored.revision))).collect()
}

#[test]
fn an_index_that_is_gone_comes_back_as_it_was() {
    let (disk, truth) = made();
    let expected = seen(&disk.fork());
    for all_gone in [true, false] {
        let fork = disk.fork();
        for path in indexes(&fork) {
            match all_gone {
                true => fork.rot(&Rot::Remove { path }).unwrap(),
                false => fork.rot(&Rot::Flip { path, offset: 70, mask: 4 }).unwrap(),
            }
        }
        assert_eq!(verified(&fork).verdict(), Verdict::Healable);
        let alone = fork.fork();
        let (db, report) = opened(&alone).unwrap();
        let by_opening = report.rebuilt.expect("no index was left");
        assert_eq!(report.passed_over.len(), 1, "the newest checkpoint: {by_opening}");
        db.close().unwrap();
        assert_eq!(verified(&alone).verdict(), Verdict::Clean);
        assert_eq!(seen(&alone), expected);
        let report = rebuilt(&fork, InDoubt::Refuse).unwrap();
        assert!(report.index.is_some() && report.lost.is_empty(), "{report}");
        assert_eq!(report, by_opening, "by opening or by command");
        let after = verified(&fork);
        assert_eq!(after.verdict(), Verdict::Clean, "{after}");
        assert_eq!(seen(&fork.fork()), expected);
        is_whole(&fork, &truth).unwrap();
    }
}

#[test]
fn a_sound_index_made_again_is_the_same_and_the_database_goes_on() {
    let (disk, truth) = made();
    let report = rebuilt(&disk, InDoubt::Refuse).unwrap();
    let counted: u64 = report.documents.iter().map(|(_, _, documents)| documents).sum();
    assert_eq!(counted, truth.len() as u64 + 1);
    let (db, opening) = opened(&disk).unwrap();
    assert_eq!(opening.replayed, 0);
    for n in 0..6 {
        db.write(Write::upsert(DEFAULT_COLLECTION, key(n), document(n))).unwrap();
        db.checkpoint().unwrap();
        while !db.compact().unwrap().compacted.is_empty() {}
    }
    assert_eq!(db.count(DEFAULT_COLLECTION).unwrap(), truth.len() as u64 + 6);
    db.close().unwrap();
    assert_eq!(verified(&disk).verdict(), Verdict::Clean);
}

#[test]
fn changes_behind_the_checkpoint_come_from_the_log() {
    let (disk, _) = made();
    let (db, _) = opened(&disk).unwrap();
    db.write(Write::delete(DEFAULT_COLLECTION, key(50))).unwrap();
    db.write(Write::upsert(DEFAULT_COLLECTION, key(51), document(9))).unwrap();
    let killed = disk.crash(&Crash::Kill);
    blind(&killed);
    rebuilt(&killed, InDoubt::Refuse).unwrap();
    let (db, report) = opened(&killed).unwrap();
    assert_eq!(report.replayed, 2);
    assert_eq!(db.get(DEFAULT_COLLECTION, &key(50)).unwrap(), None);
    assert_eq!(db.get(DEFAULT_COLLECTION, &key(51)).unwrap().unwrap().document, document(9));
}

#[test]
fn one_damaged_block_of_each_stripe_costs_nothing() {
    let (disk, truth) = made();
    blind(&disk);
    let (path, len) = files(&disk).into_iter().find(|(path, _)| *path == data(1)).unwrap();
    let stripes = (len - 1024) / 3072;
    for stripe in 0..stripes {
        let sector = 2 + stripe * 6 + stripe % 4;
        disk.rot(&Rot::Garbage { path: path.clone(), sector, seed: stripe }).unwrap();
    }
    let report = rebuilt(&disk, InDoubt::Refuse).unwrap();
    assert!(report.healed >= stripes && report.unreadable.is_empty(), "{report}");
    is_whole(&disk, &truth).unwrap();
}

#[test]
fn with_an_older_checkpoint_as_witness_what_is_lost_is_quarantined_by_name() {
    let (disk, _) = made();
    let expected = seen(&disk.fork());
    let newest = indexes(&disk).into_iter().max().unwrap();
    disk.rot(&Rot::Flip { path: newest, offset: 70, mask: 4 }).unwrap();
    hole(&disk);
    let report = rebuilt(&disk, InDoubt::Refuse).unwrap();
    assert!(report.doubts.is_empty(), "{report}");
    let found = seen(&disk);
    let mut lost = 0;
    for (n, (found, expected)) in found.iter().zip(&expected).enumerate() {
        match found {
            Err(code) => {
                assert_eq!(*code, Code::DocCorrupt, "{n}");
                lost += 1;
            }
            Ok(found) => assert_eq!(Ok(*found), *expected, "{n} at an older version: {report}"),
        }
    }
    assert_eq!(lost, report.lost.len());
    assert!(lost > 0 || report.recovered > 0, "{report}");
}

#[test]
fn without_a_witness_nothing_is_done_until_the_doubt_is_accepted() {
    let (disk, truth) = made();
    blind(&disk);
    hole(&disk);
    let before = indexes(&disk);
    let report = rebuilt(&disk, InDoubt::Refuse).unwrap();
    assert_eq!(report.index, None);
    let [doubt] = report.doubts.as_slice() else { panic!("{report}") };
    assert!(doubt.records > 0 && doubt.from <= doubt.to && report.documents_in_doubt > 0);
    assert_eq!(indexes(&disk), before, "nothing was changed");
    assert!(opened(&disk.fork()).is_err());
    let report = rebuilt(&disk, InDoubt::Accept).unwrap();
    let note = report.note.clone().expect("the doubt is kept");
    let text = String::from_utf8(disk.peek(&note).unwrap()).unwrap();
    assert!(text.contains("00000001.data"), "{text}");
    let checked = verified(&disk);
    assert_eq!(checked.verdict(), Verdict::Lost, "{checked}");
    assert!(checked.problems.iter().any(|problem| problem.path == note));
    // Whatever is served is a version that the report counts as in doubt, or the newest.
    let (db, _) = opened(&disk).unwrap();
    let mut older = 0;
    for (id, revision, _) in &truth as &Truth {
        match db.get(DEFAULT_COLLECTION, id).unwrap() {
            Some(stored) if stored.revision == *revision => {}
            Some(stored) => {
                assert!(stored.revision <= doubt.to);
                older += 1;
            }
            None => {}
        }
    }
    assert!(older <= report.documents_in_doubt);
}

#[test]
fn without_a_manifest_it_says_what_to_do() {
    let (disk, _) = made();
    for slot in 0..3 {
        let path = Path::new(DIR).join(format!("MANIFEST.{slot}"));
        disk.rot(&Rot::Flip { path, offset: 40, mask: 1 }).unwrap();
    }
    let error = rebuilt(&disk, InDoubt::Accept).unwrap_err();
    assert_eq!(error.code(), Code::CorruptRecord);
    assert!(error.to_string().contains("restore a backup"), "{error}");
}

#[test]
fn a_crash_while_rebuilding_leaves_the_old_state_or_the_new_one() {
    let (disk, truth) = made();
    blind(&disk);
    let mut crashes = 0;
    for nth in 1.. {
        let fork = disk.fork();
        fork.inject(Fault::forever(Calls::Mutating, nth, Effect::Eio));
        let done = rebuilt(&fork, InDoubt::Refuse);
        let crashed = fork.crash(&Crash::PowerLoss(Loss::Seeded(nth)));
        crashed.clear_faults();
        is_whole(&crashed, &truth).unwrap_or_else(|why| panic!("call {nth}: {why}"));
        if done.is_ok() {
            break;
        }
        crashes += 1;
    }
    assert!(crashes > 5, "{crashes}");
}

#[test]
fn a_crash_while_opening_makes_an_index_again_loses_nothing() {
    let (disk, truth) = made();
    let (db, _) = opened(&disk).unwrap();
    db.write(Write::delete(DEFAULT_COLLECTION, key(50))).unwrap();
    db.write(Write::upsert(DEFAULT_COLLECTION, key(51), document(9))).unwrap();
    let killed = disk.crash(&Crash::Kill);
    let expected = seen(&killed.fork());
    drop(db);
    assert!(expected[50] == Ok(None) && truth.len() > 100);
    let mut total = sim::crash::Report::default();
    for all_gone in [true, false] {
        let fork = killed.fork();
        match all_gone {
            true => {
                indexes(&fork).into_iter().for_each(|path| fork.rot(&Rot::Remove { path }).unwrap())
            }
            false => blind(&fork),
        }
        // A block that parity makes again, so that healing is crashed, too.
        fork.rot(&Rot::Garbage { path: data(1), sector: 2, seed: 9 }).unwrap();
        let recording = record(&fork, |disk, _: &Recorder<()>| {
            let (db, report) = opened(disk).unwrap();
            assert!(report.rebuilt.is_some_and(|report| report.healed > 0));
            // A crash does not close.
            std::mem::forget(db);
        });
        let limits = Limits { exhaustive_max: 16, samples: 8, ..Limits::default() };
        let report = enumerate(&recording, &limits, |disk, _, _| {
            let found = seen(disk);
            if found == expected { Ok(()) } else { Err(format!("{found:?}")) }
        });
        total.add(&report.unwrap_or_else(|failure| panic!("{failure}")));
    }
    println!("{total}");
    assert!(total.distinct > 100, "the enumeration shrank: {total}");
}
