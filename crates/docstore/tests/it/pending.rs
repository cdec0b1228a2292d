//! Refusals that rest on a write which is not durable yet: they wait for it, and share its fate.
//!
//! The disk here stops in front of a call until the test lets it go on, so that a write stays
//! pending for as long as another one looks at it.

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use base::clock::SystemClock;
use base::error::Code;
use base::io::{Disk, DiskRef, Entry, File, FileRef, Lock, Open, Space, Stat};
use base::memory::Budget;
use base::words::Name;
use docstore::planted::Bug;
use docstore::{Condition, DEFAULT_COLLECTION, Database, Options, Write, default_name};
use sim::disk::{Calls, Effect, Fault, FaultDisk, Op};
use wal::Environment;

use crate::world::{DIR, document, id, small};

/// How long nothing may be heard of an answer that must wait; a wrong one comes at once.
const NOT_YET: Duration = Duration::from_millis(150);

/// Where calls are held up.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    closed: Option<Op>,
    waiting: usize,
}

impl Gate {
    /// From now on calls of this kind wait.
    fn close(&self, op: Op) {
        self.state.lock().expect("no panics").closed = Some(op);
    }

    /// Waits until a call waits.
    fn wait_for_somebody(&self) {
        let state = self.state.lock().expect("no panics");
        drop(self.changed.wait_while(state, |state| state.waiting == 0).expect("no panics"));
    }

    fn open(&self) {
        self.state.lock().expect("no panics").closed = None;
        self.changed.notify_all();
    }

    fn pass(&self, op: Op) {
        let mut state = self.state.lock().expect("no panics");
        if state.closed != Some(op) {
            return;
        }
        state.waiting += 1;
        self.changed.notify_all();
        state = self.changed.wait_while(state, |s| s.closed == Some(op)).expect("no panics");
        state.waiting -= 1;
    }
}

#[derive(Debug)]
struct Gated(DiskRef, Arc<Gate>);

#[derive(Debug)]
struct GatedFile(FileRef, Arc<Gate>);

impl Disk for Gated {
    fn open(&self, path: &Path, how: Open) -> io::Result<FileRef> {
        Ok(Arc::new(GatedFile(self.0.open(path, how)?, Arc::clone(&self.1))))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.0.remove_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.0.list(dir)
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        self.0.stat(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.0.lock(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.0.space(path)
    }
}

impl File for GatedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.1.pass(Op::Write);
        self.0.write_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.1.pass(Op::SyncData);
        self.0.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn evict(&self, from: u64, len: u64) -> io::Result<()> {
        self.0.evict(from, len)
    }
}

struct World {
    disk: FaultDisk,
    gate: Arc<Gate>,
    db: Database,
}

/// A database with the document 1 and the collection `old`.
fn world(options: Options) -> World {
    let (disk, gate) = (FaultDisk::new(), Arc::new(Gate::default()));
    let gated: DiskRef = Arc::new(Gated(disk.shared(), Arc::clone(&gate)));
    let budget = Budget::new("test", 1 << 30);
    let at = Path::new(DIR);
    // Whoever waits has to see time pass.
    let env = Environment { disk: gated, clock: SystemClock::shared(), reserve: None };
    let made = Database::create(&env, at, &default_name(), options, &budget);
    let db = made.expect("no faults");
    db.write(Write::create(DEFAULT_COLLECTION, id(1), document(1))).expect("no faults");
    db.create_collection(&name("old")).expect("no faults");
    World { disk, gate, db }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("it is a name")
}

/// What an operation is answered: its code when it is refused.
type Answer = Result<(), Code>;
type Operation = fn(&Database) -> Answer;

fn answer<T, E: base::error::Coded>(result: Result<T, E>) -> Answer {
    result.map(drop).map_err(|error| error.code())
}

/// Pairs of an operation that changes something, and another one that is refused because of it:
/// with which code, and what it is answered when the first has not happened.
const PAIRS: [(Operation, Operation, Code, Answer); 6] = [
    (
        |db| answer(db.write(Write::create(DEFAULT_COLLECTION, id(7), document(7)))),
        |db| answer(db.write(Write::create(DEFAULT_COLLECTION, id(7), document(8)))),
        Code::DocExists,
        Ok(()),
    ),
    (
        |db| answer(db.write(Write::delete(DEFAULT_COLLECTION, id(1)))),
        |db| answer(db.write(Write::update(DEFAULT_COLLECTION, id(1), document(2)))),
        Code::DocNotFound,
        Ok(()),
    ),
    (
        |db| answer(db.write(Write::update(DEFAULT_COLLECTION, id(1), document(2)))),
        |db| {
            let revision = db.get(DEFAULT_COLLECTION, &id(1)).expect("it is there");
            let revision = revision.expect("it is there").revision;
            let write = Write::upsert(DEFAULT_COLLECTION, id(1), document(3));
            answer(db.write(write.when(Condition::Revision(revision))))
        },
        Code::RevisionMismatch,
        Ok(()),
    ),
    (
        |db| answer(db.write(Write::update(DEFAULT_COLLECTION, id(1), document(2)))),
        |db| {
            let test = |old: Option<&docstore::Stored>, _: Option<&base::document::Document>| {
                old.is_some_and(|old| old.document == document(1))
            };
            let write = Write::upsert(DEFAULT_COLLECTION, id(1), document(3));
            answer(db.write(write.when(Condition::Test(Arc::new(test)))))
        },
        Code::ConditionFailed,
        Ok(()),
    ),
    (
        |db| answer(db.create_collection(&name("new"))),
        |db| answer(db.create_collection(&name("new"))),
        Code::CollectionExists,
        Ok(()),
    ),
    (
        |db| answer(db.drop_collection(&name("old"), docstore::DropMode::Force)),
        |db| answer(db.drop_collection(&name("old"), docstore::DropMode::IfEmpty)),
        Code::CollectionNotFound,
        Ok(()),
    ),
];

fn start<'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    db: &Database,
    operation: Operation,
) -> Receiver<Answer> {
    let (send, receive) = sync_channel(1);
    let db = db.clone();
    scope.spawn(move || send.send(operation(&db)).expect("somebody waits for it"));
    receive
}

/// Holds the first operation up, starts the second, and lets go: the answers of both. The second
/// is `None` when it did not wait.
fn race(world: &World, op: Op, pair: (Operation, Operation)) -> (Answer, Option<Answer>) {
    let World { gate, db, .. } = world;
    std::thread::scope(|scope| {
        gate.close(op);
        let first = start(scope, db, pair.0);
        gate.wait_for_somebody();
        let second = start(scope, db, pair.1);
        let early = second.recv_timeout(NOT_YET);
        gate.open();
        let first = first.recv().expect("it is answered");
        match early {
            Err(RecvTimeoutError::Timeout) => (first, Some(second.recv().expect("it is answered"))),
            Ok(_) | Err(RecvTimeoutError::Disconnected) => (first, None),
        }
    })
}

#[test]
fn a_refusal_waits_until_what_it_rests_on_is_durable() {
    for (first, second, code, _) in PAIRS {
        let answers = race(&world(small()), Op::SyncData, (first, second));
        assert_eq!(answers, (Ok(()), Some(Err(code))));
    }
}

#[test]
fn a_refusal_from_pending_state_is_noticed_here() {
    let (first, second, code, _) = PAIRS[0];
    let world = world(Options { planted: Some(Bug::RefusalFromPending), ..small() });
    assert_eq!(race(&world, Op::SyncData, (first, second)), (Ok(()), None), "{code:?}");
}

#[test]
fn when_the_sync_fails_neither_the_write_nor_the_refusal_is_certain() {
    for (first, second, code, _) in PAIRS {
        let world = world(small());
        world.disk.inject(Fault::once(Calls::Only(Op::SyncData), 1, Effect::Eio));
        let unknown = Err(Code::DurabilityUnknown);
        let (first, second) = race(&world, Op::SyncData, (first, second));
        assert_eq!(first, unknown);
        let second = second.expect("it has to wait");
        let is_right = second == unknown || second == Err(Code::ReadOnly);
        assert!(is_right, "{second:?} instead of {code:?}");
    }
}

#[test]
fn when_the_write_is_refused_for_want_of_space_the_other_is_evaluated_again() {
    for (first, second, _, otherwise) in PAIRS {
        let world = world(small());
        world.disk.inject(Fault::once(Calls::Only(Op::Write), 1, Effect::Enospc));
        let answers = race(&world, Op::Write, (first, second));
        assert_eq!(answers, (Err(Code::DiskFull), Some(otherwise)));
    }
}

#[test]
fn nobody_reads_what_is_pending() {
    let world = world(small());
    let World { gate, db, .. } = &world;
    std::thread::scope(|scope| {
        gate.close(Op::SyncData);
        let update =
            |db: &Database| answer(db.write(Write::update(DEFAULT_COLLECTION, id(1), document(2))));
        let first = start(scope, db, update);
        gate.wait_for_somebody();
        let read = db.get(DEFAULT_COLLECTION, &id(1)).unwrap().unwrap();
        let snapshot = db.snapshot().unwrap();
        gate.open();
        assert_eq!(first.recv().unwrap(), Ok(()));
        assert_eq!(read.document, document(1));
        let at_snapshot = db.get_at(snapshot, DEFAULT_COLLECTION, &id(1)).unwrap().unwrap();
        assert_eq!(at_snapshot, read);
        assert_eq!(db.get(DEFAULT_COLLECTION, &id(1)).unwrap().unwrap().document, document(2));
    });
}
