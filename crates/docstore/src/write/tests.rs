//! Writes that fail while somebody is in the middle of something: what was taken back must not be
//! seen, relied upon or covered by a checkpoint, though its LSN is given again.
//!
//! The moment is chosen by a clock that does something when it is asked for the time.

use std::path::Path;
use std::sync::{Arc, Mutex};

use base::clock::{Clock, Instant, WallMs};
use base::document::Document;
use base::memory::Budget;
use base::words::{DocId, Lsn};
use sim::disk::{Calls, Crash, Effect, Fault, FaultDisk, Loss, Op};
use wal::{Background, Environment};

use super::Evaluated;
use crate::database::{Database, lock};
use crate::manifest::default_name;
use crate::request::Write;
use crate::{DEFAULT_COLLECTION, Options};

const DIR: &str = "/db";

type Deed = Box<dyn FnOnce() + Send>;

/// Time that stands still, and deeds to do when somebody asks for it: once each.
#[derive(Default)]
struct Asked {
    now: Mutex<Option<Deed>>,
    wall: Mutex<Option<Deed>>,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").finish_non_exhaustive()
    }
}

impl Clock for Asked {
    fn now(&self) -> Instant {
        let deed = lock(&self.now).take();
        if let Some(deed) = deed {
            deed();
        }
        Instant(0)
    }

    fn wall(&self) -> WallMs {
        let deed = lock(&self.wall).take();
        if let Some(deed) = deed {
            deed();
        }
        WallMs(1_700_000_000_000)
    }
}

fn environment(disk: &FaultDisk, clock: &Arc<Asked>) -> Environment {
    let clock = Arc::<Asked>::clone(clock);
    Environment { disk: disk.shared(), clock, reserve: None }
}

fn options() -> Options {
    let log = wal::Options { background: Background::Manual, ..wal::Options::default() };
    Options { log, checkpoint_auto: false, ..Options::default() }
}

fn fresh(disk: &FaultDisk, clock: &Arc<Asked>) -> Database {
    let (env, budget) = (environment(disk, clock), Budget::new("test", 1 << 30));
    Database::create(&env, Path::new(DIR), &default_name(), options(), &budget).unwrap()
}

fn document(n: u64) -> Document {
    Document::parse(n.to_string().as_bytes()).unwrap()
}

fn upsert(id: u64, n: u64) -> Write {
    Write::upsert(DEFAULT_COLLECTION, DocId::U64(id), document(n))
}

fn read(database: &Database, id: u64) -> Option<Document> {
    let found = database.get(DEFAULT_COLLECTION, &DocId::U64(id)).unwrap();
    found.map(|stored| stored.document)
}

/// Gives a write its place and lets nobody wait for it.
fn place(database: &Database, write: Write) -> Lsn {
    let inner = &database.inner;
    let Ok(Evaluated::Go(plan)) = inner.evaluate(None, &[write]) else {
        panic!("it is not refused")
    };
    let tx = inner.transaction(&plan).unwrap();
    let put = |tx| {
        let pending = inner.log.place(tx)?;
        Ok((pending.committed(), pending))
    };
    let placed = inner.place(&mut lock(&inner.core), tx, plan, put).unwrap();
    placed.expect("nothing stands in its way").committed().first
}

/// Has everything that waits written, in vain. The state does not know it yet.
fn fail(database: &Database, disk: &FaultDisk) {
    let epoch = database.inner.log.epoch();
    disk.inject(Fault::once(Calls::Only(Op::Write), 1, Effect::Eio));
    database.inner.log.maintain();
    assert_eq!(database.inner.log.epoch(), epoch + 1, "it failed");
}

#[test]
fn a_checkpoint_does_not_cover_what_came_again_under_an_lsn_that_failed() {
    let (disk, clock) = (FaultDisk::new(), Arc::new(Asked::default()));
    let db = fresh(&disk, &clock);
    db.write(upsert(1, 1)).unwrap();
    let doomed = place(&db, upsert(2, 2));
    db.inner.freeze();
    fail(&db, &disk);
    db.inner.rewind(&mut lock(&db.inner.core));
    let again = db.write(upsert(3, 3)).unwrap().revision;
    assert_eq!(again, doomed, "the LSN is given again");
    db.checkpoint().unwrap();
    let disk = disk.crash(&Crash::PowerLoss(Loss::Everything));
    let (env, budget) = (environment(&disk, &clock), Budget::new("test", 1 << 30));
    let (db, _) = Database::open(&env, Path::new(DIR), options(), &budget).unwrap();
    let found = [read(&db, 1), read(&db, 2), read(&db, 3)];
    assert_eq!(found, [Some(document(1)), None, Some(document(3))]);
}

#[test]
fn a_refusal_does_not_rest_on_a_write_that_failed_though_its_lsn_was_acknowledged_since() {
    let (disk, clock) = (FaultDisk::new(), Arc::new(Asked::default()));
    let db = fresh(&disk, &clock);
    let doomed = place(&db, upsert(1, 1));
    let (other, faulty) = (db.clone(), disk.clone());
    let deed = move || {
        fail(&other, &faulty);
        let again = other.write(upsert(2, 2)).unwrap().revision;
        assert_eq!(again, doomed, "the LSN is given again");
    };
    let write = Write::create(DEFAULT_COLLECTION, DocId::U64(1), document(9));
    // The first to ask is who admits the write, the next who waits for what refuses it.
    let (later, deed) = (Arc::clone(&clock), Box::new(deed));
    *lock(&clock.now) = Some(Box::new(move || *lock(&later.now) = Some(deed)));
    db.write(write).expect("the document that it met was never there");
    assert!(lock(&clock.now).is_none(), "it was waited for");
    assert_eq!([read(&db, 1), read(&db, 2)], [Some(document(9)), Some(document(2))]);
}

#[test]
fn a_checkpoint_does_not_show_writes_that_failed_while_it_was_made() {
    let (disk, clock) = (FaultDisk::new(), Arc::new(Asked::default()));
    let db = fresh(&disk, &clock);
    db.write(upsert(1, 1)).unwrap();
    let (other, faulty) = (db.clone(), disk.clone());
    *lock(&clock.wall) = Some(Box::new(move || {
        place(&other, upsert(1, 2));
        fail(&other, &faulty);
    }));
    db.checkpoint().unwrap();
    assert!(lock(&clock.wall).is_none(), "they failed meanwhile");
    assert_eq!(read(&db, 1), Some(document(1)));
}
