//! What a database does when nothing fails: every operation, across flushes and reopening.

use std::path::Path;

use base::document::Document;
use base::error::{Code, Coded as _};
use base::memory::Budget;
use base::words::{DocId, Lsn, Name};
use docstore::{
    Condition, DEFAULT_COLLECTION, Database, DropMode, Effect, Expiry, Options, ScanRequest, Write,
    default_name,
};
use sim::VirtualClock;
use sim::disk::FaultDisk;

use crate::world::{DIR, clock, document, env, id, small};

fn fresh(disk: &FaultDisk, clock: &VirtualClock) -> Database {
    let env = env(&disk.shared(), clock);
    let budget = Budget::new("test", 1 << 30);
    Database::create(&env, Path::new(DIR), &default_name(), small(), &budget).expect("no faults")
}

fn reopened(disk: &FaultDisk, clock: &VirtualClock) -> Database {
    let env = env(&disk.shared(), clock);
    let budget = Budget::new("test", 1 << 30);
    Database::open(&env, Path::new(DIR), small(), &budget).expect("no faults").0
}

fn text(database: &Database, n: u64) -> Option<String> {
    let found = database.get(DEFAULT_COLLECTION, &id(n)).expect("it can be read");
    found.map(|stored| String::from_utf8_lossy(stored.document.as_bytes()).into_owned())
}

#[test]
fn documents_are_written_read_and_deleted_wherever_they_are() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let db = fresh(&disk, &clock);
    for round in 0..3 {
        let made = db.write(Write::create(DEFAULT_COLLECTION, id(1), document(1))).unwrap();
        assert_eq!(made.effect, Effect::Created, "round {round}");
        db.checkpoint().unwrap();
        let again = db.write(Write::create(DEFAULT_COLLECTION, id(1), document(2))).unwrap_err();
        assert_eq!(again.code(), Code::DocExists);
        let updated = db.write(Write::update(DEFAULT_COLLECTION, id(1), document(2))).unwrap();
        assert_eq!(updated.effect, Effect::Replaced);
        assert_eq!(text(&db, 1).unwrap(), String::from_utf8_lossy(document(2).as_bytes()));
        if round > 0 {
            db.checkpoint().unwrap();
        }
        let stored = db.get(DEFAULT_COLLECTION, &id(1)).unwrap().unwrap();
        assert_eq!(stored.revision, updated.revision);
        db.write(Write::delete(DEFAULT_COLLECTION, id(1))).unwrap();
        assert_eq!(text(&db, 1), None);
        let gone = db.write(Write::delete(DEFAULT_COLLECTION, id(1))).unwrap_err();
        assert_eq!(gone.code(), Code::DocNotFound);
        assert_eq!(db.count(DEFAULT_COLLECTION).unwrap(), 0);
    }
}

#[test]
fn everything_survives_closing_and_being_killed() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let db = fresh(&disk, &clock);
    let books = db.create_collection(&Name::new("books").unwrap()).unwrap();
    for n in 0..100 {
        db.write(Write::upsert(books, id(n), document(n))).unwrap();
        if n % 30 == 29 {
            db.checkpoint().unwrap();
        }
    }
    let check = |db: &Database| {
        assert_eq!(db.collection(&Name::new("books").unwrap()).unwrap(), books);
        assert_eq!(db.count(books).unwrap(), 100);
        for n in 0..100 {
            let stored = db.get(books, &id(n)).unwrap().expect("it was written");
            assert_eq!(stored.document, document(n), "{n}");
        }
    };
    check(&db);
    let killed = disk.crash(&sim::disk::Crash::Kill);
    check(&reopened(&killed, &clock));
    db.close().unwrap();
    assert_eq!(db.get(books, &id(1)).unwrap_err().code(), Code::DbNotOpen);
    let again = reopened(&disk, &clock);
    check(&again);
    assert_eq!(again.stats().unwrap().memtable_versions, 0, "closing made a checkpoint");
}

#[test]
fn a_batch_is_done_whole_or_not_at_all_and_sees_itself() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let db = fresh(&disk, &clock);
    let done = db
        .batch(vec![
            Write::create(DEFAULT_COLLECTION, id(1), document(1)),
            Write::update(DEFAULT_COLLECTION, id(1), document(2)),
            Write::delete(DEFAULT_COLLECTION, id(1)),
            Write::create(DEFAULT_COLLECTION, id(1), document(3)),
            Write::create(DEFAULT_COLLECTION, id(2), document(4)),
        ])
        .unwrap();
    let lsns: Vec<u64> = done.iter().map(|written| written.revision.0).collect();
    assert_eq!(lsns, (lsns[0]..lsns[0] + 5).collect::<Vec<_>>());
    assert_eq!(text(&db, 1).unwrap(), String::from_utf8_lossy(document(3).as_bytes()));
    let refused = db
        .batch(vec![
            Write::upsert(DEFAULT_COLLECTION, id(9), document(9)),
            Write::create(DEFAULT_COLLECTION, id(2), document(5)),
        ])
        .unwrap_err();
    assert_eq!((refused.operation, refused.error.code()), (Some(1), Code::DocExists));
    assert_eq!(text(&db, 9), None);
}

#[test]
fn conditions_are_checked_against_the_current_document() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let db = fresh(&disk, &clock);
    let upsert = |n| Write::upsert(DEFAULT_COLLECTION, id(1), document(n));
    let missing = db.write(upsert(1).when(Condition::Exists)).unwrap_err();
    assert_eq!(missing.code(), Code::DocNotFound);
    let first = db.write(upsert(1).when(Condition::Absent)).unwrap().revision;
    assert_eq!(db.write(upsert(2).when(Condition::Absent)).unwrap_err().code(), Code::DocExists);
    let second = db.write(upsert(2).when(Condition::Revision(first))).unwrap().revision;
    let stale = db.write(upsert(3).when(Condition::Revision(first))).unwrap_err();
    assert_eq!(stale.code(), Code::RevisionMismatch);
    db.checkpoint().unwrap();
    let is_two = std::sync::Arc::new(|old: Option<&docstore::Stored>, new: Option<&Document>| {
        old.is_some_and(|old| old.document == document(2)) && new == Some(&document(4))
    });
    let test = Condition::Test(is_two);
    assert_eq!(db.write(upsert(3).when(test.clone())).unwrap_err().code(), Code::ConditionFailed);
    let third = db.write(upsert(4).when(test).when(Condition::Revision(second))).unwrap();
    assert!(third.revision > second);
}

#[test]
fn documents_expire_for_reads_counts_and_scans_and_are_deleted_later() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let db = fresh(&disk, &clock);
    let in_a_second = Expiry::After(std::time::Duration::from_secs(1));
    for flush in [false, true] {
        db.write(Write::upsert(DEFAULT_COLLECTION, id(1), document(1)).expires(in_a_second))
            .unwrap();
        db.write(Write::upsert(DEFAULT_COLLECTION, id(2), document(2))).unwrap();
        if flush {
            db.checkpoint().unwrap();
        }
        assert_eq!(db.count(DEFAULT_COLLECTION).unwrap(), 2);
        clock.advance(std::time::Duration::from_secs(2));
        assert_eq!(db.count(DEFAULT_COLLECTION).unwrap(), 1);
        assert_eq!(text(&db, 1), None);
        let page = db.scan(&ScanRequest::all(DEFAULT_COLLECTION, 10)).unwrap();
        assert_eq!(page.documents.len(), 1);
        let before = db.position();
        assert_eq!(db.reclaim_expired().unwrap(), 1);
        assert!(db.position() > before, "the deletion is a write");
        assert_eq!(db.reclaim_expired().unwrap(), 0);
        let over = db.write(Write::create(DEFAULT_COLLECTION, id(1), document(3))).unwrap();
        assert_eq!(over.effect, Effect::Created);
    }
}

#[test]
fn a_scan_shows_one_position_whatever_is_written_between_its_pages() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let db = fresh(&disk, &clock);
    for n in 0..50 {
        db.write(Write::upsert(DEFAULT_COLLECTION, id(n), document(n))).unwrap();
    }
    db.checkpoint().unwrap();
    for n in 50..100 {
        db.write(Write::upsert(DEFAULT_COLLECTION, id(n), document(n))).unwrap();
    }
    let mut request = Some(ScanRequest::all(DEFAULT_COLLECTION, 7));
    let mut found = Vec::new();
    let mut round = 0;
    while let Some(next) = request {
        let page = db.scan(&next).unwrap();
        found.extend(page.documents.into_iter().map(|(id, stored)| (id, stored.document)));
        request = page.next;
        round += 1;
        for n in 0..100 {
            match (n + round) % 5 {
                0 => drop(db.write(Write::upsert(DEFAULT_COLLECTION, id(n), document(n + 1000)))),
                1 => drop(db.write(Write::delete(DEFAULT_COLLECTION, id(n)))),
                _ => {}
            }
        }
        db.write(Write::upsert(DEFAULT_COLLECTION, id(1000 + round), document(7))).unwrap();
        if round % 3 == 0 {
            db.checkpoint().unwrap();
            db.compact().unwrap();
        }
    }
    let expected: Vec<(DocId, Document)> = (0..100).map(|n| (id(n), document(n))).collect();
    assert_eq!(found, expected);
    assert_eq!(db.stats().unwrap().snapshots, 0, "the last page let go of the snapshot");
}

#[test]
fn a_dropped_collection_never_comes_back() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let db = fresh(&disk, &clock);
    let name = Name::new("books").unwrap();
    let first = db.create_collection(&name).unwrap();
    db.write(Write::upsert(first, id(1), document(1))).unwrap();
    db.checkpoint().unwrap();
    db.write(Write::upsert(first, id(2), document(2))).unwrap();
    let full = db.drop_collection(&name, DropMode::IfEmpty).unwrap_err();
    assert_eq!(full.code(), Code::CollectionNotEmpty);
    db.drop_collection(&name, DropMode::Force).unwrap();
    assert_eq!(db.get(first, &id(1)).unwrap_err().code(), Code::CollectionNotFound);
    let second = db.create_collection(&name).unwrap();
    assert_ne!(first, second);
    assert_eq!(db.count(second).unwrap(), 0);
    for _ in 0..3 {
        db.checkpoint().unwrap();
        db.write(Write::upsert(second, id(3), document(3))).unwrap();
    }
    drop(db);
    let db = reopened(&disk, &clock);
    assert_eq!(db.collection(&name).unwrap(), second);
    assert_eq!(db.get(second, &id(1)).unwrap(), None);
    assert_eq!(db.count(second).unwrap(), 1);
}

#[test]
fn a_transaction_commits_only_if_what_it_read_is_unchanged() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let db = fresh(&disk, &clock);
    let upsert = |n, m| Write::upsert(DEFAULT_COLLECTION, id(n), document(m));
    db.write(upsert(1, 1)).unwrap();
    let mut tx = db.begin().unwrap();
    assert_eq!(tx.get(DEFAULT_COLLECTION, &id(1)).unwrap().unwrap().document, document(1));
    tx.write(&upsert(2, 2)).unwrap();
    assert_eq!(tx.get(DEFAULT_COLLECTION, &id(2)).unwrap().unwrap().document, document(2));
    assert_eq!(db.get(DEFAULT_COLLECTION, &id(2)).unwrap(), None, "nobody else sees it");
    let done = tx.commit().unwrap();
    assert_eq!(done.len(), 1);
    assert!(db.get(DEFAULT_COLLECTION, &id(2)).unwrap().is_some());

    let mut tx = db.begin().unwrap();
    tx.get(DEFAULT_COLLECTION, &id(3)).unwrap();
    tx.write(&upsert(4, 4)).unwrap();
    db.write(upsert(3, 3)).unwrap();
    assert_eq!(tx.commit().unwrap_err().code(), Code::TxnConflict, "it read that 3 is absent");
    assert_eq!(db.get(DEFAULT_COLLECTION, &id(4)).unwrap(), None);

    let mut tx = db.begin().unwrap();
    let unbounded = std::ops::Bound::Unbounded;
    let all = tx.scan(DEFAULT_COLLECTION, unbounded.clone(), unbounded, 100).unwrap();
    assert_eq!(all.len(), 3);
    tx.write(&upsert(9, 9)).unwrap();
    db.write(Write::delete(DEFAULT_COLLECTION, id(1))).unwrap();
    db.checkpoint().unwrap();
    assert_eq!(tx.commit().unwrap_err().code(), Code::TxnConflict, "the range has changed");
}

#[test]
fn the_feed_shows_every_change_in_order_and_resumes() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let db = fresh(&disk, &clock);
    for n in 0..10 {
        db.write(Write::upsert(DEFAULT_COLLECTION, id(n), document(n))).unwrap();
    }
    db.checkpoint().unwrap();
    db.write(Write::delete(DEFAULT_COLLECTION, id(3))).unwrap();
    let mut feed = db.changes(Lsn::ZERO).unwrap();
    let mut seen = Vec::new();
    while let Some(entry) = feed.next().unwrap() {
        seen.push(entry.lsn);
        if seen.len() == 5 {
            feed = db.changes(entry.lsn).unwrap();
        }
    }
    assert_eq!(seen.len(), 11);
    assert!(seen.is_sorted());
}

#[test]
fn compaction_keeps_what_is_needed_and_gives_back_the_rest() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let db = fresh(&disk, &clock);
    for round in 0..20 {
        for n in 0..20 {
            db.write(Write::upsert(DEFAULT_COLLECTION, id(n), document(n * 100 + round))).unwrap();
        }
        db.write(Write::upsert(DEFAULT_COLLECTION, id(100 + round), document(round))).unwrap();
        db.checkpoint().unwrap();
    }
    let before = db.stats().unwrap();
    assert!(before.dead_records > 300, "{before:?}");
    while !db.compact().unwrap().compacted.is_empty() {}
    for _ in 0..3 {
        db.write(Write::upsert(DEFAULT_COLLECTION, id(0), document(19))).unwrap();
        db.checkpoint().unwrap();
    }
    let after = db.stats().unwrap();
    assert!(after.dead_records < 10, "{after:?}");
    assert_eq!(after.live, 40);
    drop(db);
    let db = reopened(&disk, &clock);
    for n in 1..20 {
        let stored = db.get(DEFAULT_COLLECTION, &id(n)).unwrap().unwrap();
        assert_eq!(stored.document, document(n * 100 + 19));
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let env = env(&disk.shared(), &clock);
    let budget = Budget::new("test", 1 << 30);
    for options in [
        Options { checkpoints_max: 1, ..small() },
        Options { checkpoint_interval_bytes: 0, ..small() },
        Options { compaction_garbage_ratio: 1.0, ..small() },
        Options { healing_batch: 0, ..small() },
    ] {
        let made = Database::create(&env, Path::new(DIR), &default_name(), options, &budget);
        assert_eq!(made.unwrap_err().code(), Code::Unsupported);
    }
}

#[test]
fn a_snapshot_sees_an_old_version_that_one_checkpoint_replaces_and_moves() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let db = fresh(&disk, &clock);
    for n in 0..20 {
        db.write(Write::upsert(DEFAULT_COLLECTION, id(n), document(n))).unwrap();
    }
    db.checkpoint().unwrap();
    let snapshot = db.snapshot().unwrap();
    for n in 0..19 {
        db.write(Write::upsert(DEFAULT_COLLECTION, id(n), document(n + 100))).unwrap();
    }
    // The garbage is known only now, so that this checkpoint compacts nothing yet.
    db.checkpoint().unwrap();
    db.write(Write::upsert(DEFAULT_COLLECTION, id(19), document(119))).unwrap();
    let compacted = db.compact().unwrap().compacted;
    assert!(!compacted.is_empty(), "the versions of the snapshot are in it");
    for n in 0..20 {
        let old = db.get_at(snapshot, DEFAULT_COLLECTION, &id(n)).unwrap().unwrap();
        assert_eq!(old.document, document(n), "{n}");
    }
    db.release(snapshot);
}

#[test]
fn a_damaged_index_is_passed_over_for_the_checkpoint_before_it_once_and_for_all() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let db = fresh(&disk, &clock);
    let put = |db: &Database, n| db.write(Write::upsert(DEFAULT_COLLECTION, id(n), document(n)));
    for n in 0..3 {
        put(&db, n).unwrap();
        db.checkpoint().unwrap();
    }
    put(&db, 3).unwrap();
    let disk = disk.crash(&sim::disk::Crash::Kill);
    let mut names: Vec<String> =
        disk.shared().list(Path::new(DIR)).unwrap().into_iter().map(|entry| entry.name).collect();
    names.retain(|name| name.ends_with(".idx"));
    let newest = Path::new(DIR).join(names.last().unwrap());
    disk.rot(&sim::disk::Rot::Flip { path: newest, offset: 70, mask: 1 }).unwrap();
    let budget = Budget::new("test", 1 << 30);
    let open = |disk: &FaultDisk| {
        Database::open(&env(&disk.shared(), &clock), Path::new(DIR), small(), &budget).unwrap()
    };
    let (db, report) = open(&disk);
    assert_eq!(report.passed_over.len(), 1, "{report:?}");
    put(&db, 4).unwrap();
    // Killed before it made a checkpoint of its own.
    let killed = disk.crash(&sim::disk::Crash::Kill);
    let (again, report) = open(&killed);
    assert!(report.passed_over.is_empty(), "{report:?}");
    for db in [&db, &again] {
        for n in 0..5 {
            let found = db.get(DEFAULT_COLLECTION, &id(n)).unwrap();
            assert_eq!(found.map(|stored| stored.document), Some(document(n)), "{n}");
        }
    }
    again.checkpoint().unwrap();
    assert_eq!(again.count(DEFAULT_COLLECTION).unwrap(), 5);
}

#[test]
fn a_batch_and_a_transaction_are_refused_past_the_limits_of_the_options() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let bytes = document(1).as_bytes().len() as u64;
    let options = Options { txn_bytes_max: 2 * bytes, txn_ops_max: 3, ..small() };
    let (env, budget) = (env(&disk.shared(), &clock), Budget::new("test", 1 << 30));
    let db = Database::create(&env, Path::new(DIR), &default_name(), options, &budget).unwrap();
    let put = |n| Write::upsert(DEFAULT_COLLECTION, id(n), document(n));
    let delete = |n| Write::delete(DEFAULT_COLLECTION, id(n));
    db.batch(vec![put(1), put(2)]).unwrap();
    let refused = |writes| db.batch(writes).unwrap_err().error.code();
    assert_eq!(refused(vec![put(3), put(4), put(5)]), Code::PayloadTooLarge, "bytes");
    assert_eq!(refused((1..=4).map(delete).collect()), Code::PayloadTooLarge, "operations");
    let grow = docstore::patch::Patch::parse(
        format!(r#"[{{"op":"set","path":"/pad","value":"{}"}}]"#, "y".repeat(200)).as_bytes(),
    );
    let grow = Write::patch(DEFAULT_COLLECTION, id(1), grow.unwrap());
    assert_eq!(refused(vec![grow]), Code::PayloadTooLarge, "what a patch makes");
    let mut tx = db.begin().unwrap();
    tx.write(&put(3)).unwrap();
    tx.write(&put(4)).unwrap();
    assert_eq!(tx.write(&put(5)).unwrap_err().code(), Code::PayloadTooLarge, "bytes");
    tx.write(&delete(1)).unwrap();
    assert_eq!(tx.write(&delete(2)).unwrap_err().code(), Code::PayloadTooLarge, "operations");
    assert_eq!(tx.commit().unwrap().len(), 3);
    assert_eq!((text(&db, 1), text(&db, 5)), (None, None));
    assert!(text(&db, 2).is_some() && text(&db, 3).is_some() && text(&db, 4).is_some());
}

#[test]
fn a_step_of_the_scrub_begins_as_often_as_the_option_says() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let options = Options { healing_interval: std::time::Duration::from_secs(10), ..small() };
    let (env, budget) = (env(&disk.shared(), &clock), Budget::new("test", 1 << 30));
    let db = Database::create(&env, Path::new(DIR), &default_name(), options, &budget).unwrap();
    for n in 0..100 {
        db.write(Write::create(DEFAULT_COLLECTION, id(n), document(n))).unwrap();
    }
    db.checkpoint().unwrap();
    let mut has_scrubbed = Vec::new();
    for _ in 0..4 {
        db.maintain().unwrap();
        has_scrubbed.push(db.stats().unwrap().healing.stripes > 0);
        clock.advance(std::time::Duration::from_secs(5));
    }
    assert_eq!(has_scrubbed, [false, false, true, true], "at 0, 5, 10 and 15 seconds");
}
