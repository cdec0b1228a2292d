//! Real threads on a real disk: what clients are answered while checkpoints and compactions run is
//! one linear history, batches are seen whole, nothing acknowledged is lost, and everybody returns.

use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use base::clock::SystemClock;
use base::document::Document;
use base::error::{Code, Coded as _};
use base::io::RealDisk;
use base::memory::Budget;
use base::rng::Rng;
use base::words::{DocId, Lsn};
use docstore::patch::Patch;
use docstore::{
    Condition, DEFAULT_COLLECTION, Database, Options, ScanRequest, Stored, Transaction, Write,
    default_name,
};
use sim::history::{Action, History};
use wal::{Background, Environment};

use crate::world::small;

const CLIENTS: u64 = 8;
const OPERATIONS: u64 = 120;
/// Keys that are written one at a time.
const SINGLES: u64 = 12;
/// The first key of the pairs that are written together.
const PAIRS_FROM: u64 = 100;
const PAIRS: u64 = 4;
/// Counted up by transactions, and by writes that name a revision.
const COUNTERS: [u64; 2] = [200, 201];

type Values = History<u64, u64>;

fn real() -> Environment {
    Environment { disk: RealDisk::shared(), clock: SystemClock::shared(), reserve: None }
}

fn options() -> Options {
    let log = wal::Options {
        segment_bytes_first: 16 * 1024,
        segment_bytes_max: 64 * 1024,
        background: Background::Threads,
        ..small().log
    };
    Options {
        log,
        checkpoint_auto: true,
        checkpoint_interval_bytes: 64 * 1024,
        memtable_bytes_max: 48 * 1024,
        data_file_bytes_max: 64 * 1024,
        compaction_min_file_bytes: 4096,
        ..small()
    }
}

fn budget() -> Budget {
    Budget::new("test", 1 << 30)
}

fn numbered(n: u64) -> Document {
    let pad = "y".repeat(usize::try_from(n % 300).expect("small"));
    Document::parse(format!("{{\"n\":{n},\"pad\":\"{pad}\"}}").as_bytes()).expect("it is JSON")
}

fn number_of(stored: &Stored) -> u64 {
    let text = std::str::from_utf8(stored.document.as_bytes()).expect("it is UTF-8");
    let digits = text.trim_start_matches("{\"n\":").split(',').next().expect("one part");
    digits.parse().expect("every document has a number")
}

fn upsert(key: u64, n: u64) -> Write {
    Write::upsert(DEFAULT_COLLECTION, DocId::U64(key), numbered(n))
}

/// What a client needs.
struct Client<'a> {
    db: &'a Database,
    history: &'a Values,
    /// How often counters were counted up.
    counted: &'a [AtomicU64; 2],
    /// Whether it waits for its writes itself.
    waits: bool,
    rng: Rng,
}

fn telling() -> (docstore::Done, Receiver<docstore::Outcome>) {
    let (send, told) = sync_channel(1);
    (Box::new(move |outcome| send.send(outcome).expect("somebody listens")), told)
}

impl Client<'_> {
    /// A batch by both ways: waiting for it, or submitted and told.
    fn batch(&self, writes: Vec<Write>) -> docstore::Outcome {
        if self.waits {
            return self.db.batch(writes);
        }
        let (done, told) = telling();
        let mut writes = Some(writes);
        let mut done = Some(done);
        while let (Some(work), Some(tell)) = (writes.take(), done.take()) {
            if let Err(unplaced) = self.db.submit(work, tell) {
                (writes, done) = (Some(unplaced.work), Some(unplaced.done));
                std::thread::yield_now();
            }
        }
        told.recv().expect("everybody is told")
    }

    fn write(&self, write: Write) -> docstore::Result<docstore::Written> {
        self.batch(vec![write]).map(|written| written[0]).map_err(|refused| refused.error)
    }

    fn commit(&self, tx: Transaction) -> docstore::Result<Vec<docstore::Written>> {
        if self.waits {
            return tx.commit();
        }
        let (done, told) = telling();
        let mut waiting = Some((tx, done));
        while let Some((tx, done)) = waiting.take() {
            waiting = tx.submit(done).err().map(|unplaced| (unplaced.work, unplaced.done));
        }
        told.recv().expect("everybody is told").map_err(|refused| refused.error)
    }

    fn value(&self, key: u64) -> Option<u64> {
        let found = self.db.get(DEFAULT_COLLECTION, &DocId::U64(key)).expect("it can be read");
        found.as_ref().map(number_of)
    }

    fn step(&mut self, n: u64) {
        let key = self.rng.below(SINGLES);
        let pair = PAIRS_FROM + 2 * self.rng.below(PAIRS);
        match self.rng.below(12) {
            0 | 1 => {
                let started = self.history.write(key, n);
                self.write(upsert(key, n)).expect("nothing refuses it");
                self.history.acknowledged(started);
            }
            2 => self.delete(key),
            3 => self.patch(key, n),
            4 | 5 => {
                let started = self.history.read(key);
                self.history.answered(started, vec![self.value(key)]);
            }
            6 | 7 => {
                let values = vec![(pair, Some(n)), (pair + 1, Some(n))];
                let started = self.history.start(Action::Write(values));
                let done = self.batch(vec![upsert(pair, n), upsert(pair + 1, n)]);
                done.expect("nothing refuses it");
                self.history.acknowledged(started);
            }
            8 => self.read_pair(pair),
            9 => self.scan_pair(pair),
            10 => self.count_in_transaction(),
            _ => self.count_by_revision(),
        }
    }

    /// A deletion that finds nothing has read that there is nothing.
    fn delete(&self, key: u64) {
        let (gone, read) = (self.history.delete(key), self.history.read(key));
        match self.write(Write::delete(DEFAULT_COLLECTION, DocId::U64(key))) {
            Ok(_) => {
                self.history.acknowledged(gone);
                self.history.failed(read);
            }
            Err(error) => {
                assert_eq!(error.code(), Code::DocNotFound, "{error}");
                self.history.failed(gone);
                self.history.answered(read, vec![None]);
            }
        }
    }

    fn patch(&self, key: u64, n: u64) {
        let (write, read) = (self.history.write(key, n), self.history.read(key));
        let text = format!(r#"[{{"op":"set","path":"/n","value":{n}}}]"#);
        let patch = Patch::parse(text.as_bytes()).expect("it is a patch");
        match self.write(Write::patch(DEFAULT_COLLECTION, DocId::U64(key), patch)) {
            Ok(_) => {
                self.history.acknowledged(write);
                self.history.failed(read);
            }
            Err(error) => {
                assert_eq!(error.code(), Code::DocNotFound, "{error}");
                self.history.failed(write);
                self.history.answered(read, vec![None]);
            }
        }
    }

    fn read_pair(&self, pair: u64) {
        let started = self.history.start(Action::Read(vec![pair, pair + 1]));
        let snapshot = self.db.snapshot().expect("it is open");
        let read = |key| {
            let found = self.db.get_at(snapshot, DEFAULT_COLLECTION, &DocId::U64(key));
            found.expect("the snapshot is held").as_ref().map(number_of)
        };
        let seen = [read(pair), read(pair + 1)];
        self.history.answered(started, seen.to_vec());
        assert_eq!(seen[0], seen[1], "half a batch");
        std::thread::yield_now();
        assert_eq!([read(pair), read(pair + 1)], seen, "a snapshot stays as it is");
        self.db.release(snapshot);
    }

    fn scan_pair(&self, pair: u64) {
        let started = self.history.start(Action::Read(vec![pair, pair + 1]));
        let (from, to) = (DocId::U64(pair), DocId::U64(pair + 1));
        let request = ScanRequest::all(DEFAULT_COLLECTION, 1);
        let request = request.range(std::ops::Bound::Included(from), std::ops::Bound::Included(to));
        let (mut seen, mut next) = (vec![None, None], Some(request));
        while let Some(request) = next {
            let page = self.db.scan(&request).expect("it can be read");
            for (id, stored) in &page.documents {
                let at = usize::from(*id == DocId::U64(pair + 1));
                seen[at] = Some(number_of(stored));
            }
            next = page.next;
        }
        assert_eq!(seen[0], seen[1], "half a batch");
        self.history.answered(started, seen);
    }

    fn count_in_transaction(&self) {
        let key = COUNTERS[0];
        let mut tx = self.db.begin().expect("it is open");
        let found = tx.get(DEFAULT_COLLECTION, &DocId::U64(key)).expect("it can be read");
        let next = found.as_ref().map_or(0, number_of) + 1;
        tx.write(&upsert(key, next)).expect("it fits");
        match self.commit(tx) {
            Ok(_) => drop(self.counted[0].fetch_add(1, Ordering::Relaxed)),
            Err(error) => assert_eq!(error.code(), Code::TxnConflict, "{error}"),
        }
    }

    fn count_by_revision(&self) {
        let key = COUNTERS[1];
        let found = self.db.get(DEFAULT_COLLECTION, &DocId::U64(key)).expect("it can be read");
        let revision = found.as_ref().map_or(Lsn::ZERO, |found| found.revision);
        let next = found.as_ref().map_or(0, number_of) + 1;
        match self.write(upsert(key, next).when(Condition::Revision(revision))) {
            Ok(_) => drop(self.counted[1].fetch_add(1, Ordering::Relaxed)),
            Err(error) => assert_eq!(error.code(), Code::RevisionMismatch, "{error}"),
        }
    }
}

/// Everything there is, with revisions.
fn contents(db: &Database) -> Vec<(DocId, Stored)> {
    db.scan(&ScanRequest::all(DEFAULT_COLLECTION, 10_000)).expect("it can be read").documents
}

#[test]
fn clients_at_once_see_one_history_while_checkpoints_and_compactions_run() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let dir = root.path().join("db");
    let db = Database::create(&real(), &dir, &default_name(), options(), &budget()).unwrap();
    let (history, counted) = (Values::new(), [AtomicU64::new(0), AtomicU64::new(0)]);
    let working = AtomicUsize::new(usize::try_from(CLIENTS).expect("small"));
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (db, history, counted, working) = (&db, &history, &counted, &working);
            scope.spawn(move || {
                let _leaving = Leaving(working);
                let rng = Rng::new(client);
                let mut client_of = Client { db, history, counted, waits: client % 2 == 0, rng };
                for operation in 0..OPERATIONS {
                    client_of.step(1 + client * OPERATIONS + operation);
                }
            });
        }
        while working.load(Ordering::Acquire) > 0 {
            db.checkpoint().expect("the disk is sound");
            db.compact().expect("the disk is sound");
        }
    });
    let rng = Rng::new(0);
    let reader = Client { db: &db, history: &history, counted: &counted, waits: true, rng };
    for key in (0..SINGLES).chain(PAIRS_FROM..PAIRS_FROM + 2 * PAIRS) {
        let started = history.read(key);
        history.answered(started, vec![reader.value(key)]);
    }
    for (key, counted) in COUNTERS.iter().zip(&counted) {
        let counted = counted.load(Ordering::Relaxed);
        assert!(counted > 0, "nobody got through");
        assert_eq!(reader.value(*key), Some(counted), "an update was lost");
    }
    let checked = history.check(2_000_000).unwrap();
    assert!(checked.operations > 500, "{checked:?}");
    let before = contents(&db);
    db.close().unwrap();
    drop(db);
    let (db, report) = Database::open(&real(), &dir, options(), &budget()).unwrap();
    assert_eq!(report.replayed, 0);
    assert_eq!(contents(&db), before);
}

/// Counts a client out, also when it panics: the others must not wait for it for ever.
struct Leaving<'a>(&'a AtomicUsize);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[test]
fn closing_under_load_ends_every_client_and_loses_nothing_that_was_acknowledged() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let dir = root.path().join("db");
    let db = Database::create(&real(), &dir, &default_name(), options(), &budget()).unwrap();
    let acknowledged = AtomicU64::new(0);
    let newest: Vec<(u64, u64)> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let (db, acknowledged) = (&db, &acknowledged);
                scope.spawn(move || {
                    let mut newest = 0;
                    loop {
                        match db.write(upsert(client, newest + 1)) {
                            Ok(_) => newest += 1,
                            Err(error) => {
                                let ended = matches!(error.code(), Code::DbNotOpen);
                                assert!(ended, "{error}");
                                return (client, newest);
                            }
                        }
                        acknowledged.fetch_add(1, Ordering::Release);
                    }
                })
            })
            .collect();
        while acknowledged.load(Ordering::Acquire) < 200
            && clients.iter().all(|client| !client.is_finished())
        {
            std::thread::yield_now();
        }
        db.close().expect("the disk is sound");
        clients.into_iter().map(|client| client.join().expect("it ended")).collect()
    });
    drop(db);
    let db = Database::open(&real(), Path::new(&dir), options(), &budget()).unwrap().0;
    for (client, newest) in newest {
        let stored = db.get(DEFAULT_COLLECTION, &DocId::U64(client)).unwrap().unwrap();
        assert_eq!(number_of(&stored), newest);
    }
}
