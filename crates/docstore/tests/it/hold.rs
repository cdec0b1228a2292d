//! Changes that are kept for somebody who reads them later, and revisions without documents.

use std::path::Path;

use base::error::{Code, Coded as _};
use base::io::{DiskRef, MemDisk};
use base::memory::Budget;
use base::words::{DocId, Lsn, Name};
use docstore::{Database, Options, Write};
use sim::VirtualClock;

use crate::world::{DIR, clock, document, env, id, small};

struct World {
    disk: DiskRef,
    clock: VirtualClock,
    options: Options,
}

impl World {
    fn new(change: impl FnOnce(&mut Options)) -> Self {
        let mut options = small();
        change(&mut options);
        Self { disk: MemDisk::shared(), clock: clock(), options }
    }

    fn create(&self) -> Database {
        let (env, name) = (env(&self.disk, &self.clock), Name::new("db").expect("a name"));
        let budget = Budget::new("test", 1 << 30);
        Database::create(&env, Path::new(DIR), &name, self.options.clone(), &budget)
            .expect("no faults")
    }

    fn open(&self) -> Database {
        let env = env(&self.disk, &self.clock);
        let budget = Budget::new("test", 1 << 30);
        Database::open(&env, Path::new(DIR), self.options.clone(), &budget).expect("no faults").0
    }
}

/// Writes much more than a segment, and lets go of what nobody needs.
fn write_and_trim(db: &Database) {
    for turn in 0..3 {
        for n in 0..200 {
            db.write(Write::upsert(docstore::DEFAULT_COLLECTION, id(n), document(turn)))
                .expect("no faults");
        }
        db.checkpoint().expect("no faults");
    }
}

fn has(db: &Database, position: Lsn) -> bool {
    match db.changes(position).expect("it is open").next() {
        Ok(Some(entry)) => entry.lsn > position,
        Ok(None) => true,
        Err(error) => {
            assert_eq!(error.code(), Code::LsnTrimmed);
            false
        }
    }
}

#[test]
fn a_hold_keeps_what_is_behind_it_until_it_moves() {
    let db = World::new(|_| {}).create();
    let hold = db.hold_changes("a test", Lsn(50));
    write_and_trim(&db);
    assert!(has(&db, Lsn(50)));
    assert_eq!((hold.position(), hold.is_let_go()), (Lsn(50), false));
    hold.advance(Lsn(400));
    hold.advance(Lsn(70));
    assert_eq!(hold.position(), Lsn(400), "it never moves back");
    write_and_trim(&db);
    assert!(has(&db, Lsn(400)) && !has(&db, Lsn(50)));
    drop(hold);
    write_and_trim(&db);
    assert!(!has(&db, Lsn(400)));
}

#[test]
fn a_hold_that_keeps_too_much_is_let_go() {
    let db = World::new(|options| options.log.retain_bytes = 32 * 1024).create();
    let hold = db.hold_changes("a test", Lsn(1));
    write_and_trim(&db);
    write_and_trim(&db);
    assert!(hold.is_let_go());
    assert!(!has(&db, Lsn(1)));
}

#[test]
fn what_the_log_has_at_the_opening_is_kept_for_who_takes_the_hold() {
    let world = World::new(|options| options.hold_changes = true);
    let db = world.create();
    let hold = db.take_opening_hold().expect("it was asked for");
    assert!(db.take_opening_hold().is_none(), "there is one");
    write_and_trim(&db);
    assert!(has(&db, Lsn::ZERO));
    hold.advance(Lsn(300));
    write_and_trim(&db);
    db.close().unwrap();
    drop((hold, db));
    // Opened, written to and closed before anybody took it.
    let db = world.open();
    write_and_trim(&db);
    db.close().unwrap();
    let db = world.open();
    assert!(has(&db, Lsn(300)) && !has(&db, Lsn::ZERO));
    drop(db.take_opening_hold());
    write_and_trim(&db);
    assert!(!has(&db, Lsn(300)));
    let without = World::new(|_| {}).create();
    assert!(without.take_opening_hold().is_none());
}

#[test]
fn revisions_are_listed_page_by_page_from_memory_and_from_disk() {
    let db = World::new(|_| {}).create();
    let books = docstore::DEFAULT_COLLECTION;
    let mut expect: Vec<(DocId, Lsn)> = Vec::new();
    for n in 0..30 {
        let written = db.write(Write::upsert(books, id(n), document(n))).unwrap();
        expect.push((id(n), written.revision));
        if n == 20 {
            db.checkpoint().unwrap();
        }
    }
    let again = db.write(Write::upsert(books, id(4), document(0))).unwrap();
    expect[4].1 = again.revision;
    db.write(Write::delete(books, id(7))).unwrap();
    expect.remove(7);
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = db.revisions(books, after.as_ref(), 10).unwrap();
        let is_last = page.len() < 10;
        after = page.last().map(|(id, _)| id.clone());
        found.extend(page);
        if is_last {
            break;
        }
    }
    assert_eq!(found, expect);
    db.close().unwrap();
    assert_eq!(db.revisions(books, None, 1).unwrap_err().code(), Code::DbNotOpen);
}
