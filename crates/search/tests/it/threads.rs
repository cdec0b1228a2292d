//! Writers, the feed, background work and queries, each on a thread of its own.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{scope, yield_now};

use base::document::Document;
use base::io::MemDisk;
use base::words::{DocId, Lsn};
use base::workers::SystemSpawner;
use search::index::{Background, Index, Options, Plan, Prepared};
use search::value::Value;

use crate::world::{World, open, open_with, options, parse, settle, store};

const WRITERS: u64 = 10;
const EACH: u64 = 100;
/// Each writer writes its first of so many once more.
const AGAIN: u64 = 10;
/// Changes that wait for the feed.
const WAITING_MAX: usize = 64;
/// How far positions are given out ahead of the index: one writer that is held up leaves the others with nothing to
/// apply, and everything would come at once in the end.
const AHEAD_MAX: u64 = 100;

/// Gives out positions.
#[derive(Debug, Default)]
struct Log {
    /// How many documents there are after each change, from the first.
    live: Vec<u64>,
}

impl Log {
    /// The position of the next change, after which there is one more document or as many.
    fn next(&mut self, more: u64) -> Lsn {
        let live = self.live.last().copied().unwrap_or(0) + more;
        self.live.push(live);
        Lsn(self.live.len() as u64)
    }

    fn at(&self, position: Lsn) -> u64 {
        let last = usize::try_from(position.0).expect("few").checked_sub(1);
        last.map_or(0, |last| self.live[last])
    }
}

struct Shared {
    index: Arc<Index>,
    log: Mutex<Log>,
    background: Background,
    is_over: AtomicBool,
    looks: AtomicU64,
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no panic")
    }

    fn admits(&self) -> bool {
        let given = self.log().live.len() as u64;
        self.index.admits(1024) && given <= self.index.position().0 + AHEAD_MAX
    }
}

fn document(id: u64) -> Document {
    let text = format!(
        r#"{{"n":{},"s":"name {}","t":"common word{id}","v":[{},{}]}}"#,
        id / 3,
        id % 7,
        id / 40,
        id % 40
    );
    Document::parse(text.as_bytes()).expect("a document")
}

/// Writes a hundred documents, as other writers do at the same time.
fn write(shared: &Shared, writer: u64, feed: &SyncSender<Prepared>) {
    let preparer = shared.index.preparer();
    let mut first = Lsn::ZERO;
    for n in 0..EACH {
        let id = writer * EACH + n;
        let changes = if n % AGAIN == AGAIN - 1 {
            [Some(id), Some(id + 1 - AGAIN)]
        } else {
            [Some(id), None]
        };
        for id in changes.into_iter().flatten() {
            while !shared.admits() {
                shared.background.wake();
                yield_now();
            }
            let is_again = id % EACH < n;
            let replaces = if is_again { first } else { Lsn::ZERO };
            let lsn = shared.log().next(u64::from(!is_again));
            if id % AGAIN == 0 {
                first = lsn;
            }
            // In parallel: the feed puts what comes into the order of positions.
            let id = DocId::U64(id);
            let put = Prepared::put(&preparer, &id, (lsn, replaces), None, &document_of(&id));
            feed.send(put.expect("it fits")).expect("the feed is there");
        }
    }
}

fn document_of(id: &DocId) -> Document {
    match id {
        DocId::U64(id) => document(*id),
        DocId::Uuid(_) | DocId::Str(_) => unreachable!("ids are numbers"),
    }
}

/// Applies changes in the order of their positions, as many at once as there are.
fn follow(shared: &Shared, changes: &Receiver<Prepared>) {
    let mut waiting = BTreeMap::new();
    let mut next = 1;
    while let Ok(change) = changes.recv() {
        waiting.insert(change.lsn().0, change);
        waiting.extend(changes.try_iter().map(|change| (change.lsn().0, change)));
        let mut batch = Vec::new();
        while let Some(change) = waiting.remove(&next) {
            batch.push(change);
            next += 1;
        }
        shared.index.apply(batch, Lsn::ZERO);
        shared.background.wake();
    }
    assert!(waiting.is_empty(), "a position is missing");
}

/// Looks whether every state that is seen has exactly the documents of its position.
fn look(shared: &Shared) {
    let all = parse(r#"{"aggregate_by":{"n":["Count"]}}"#);
    while !shared.is_over.load(Ordering::Acquire) {
        let snapshot = shared.index.snapshot();
        let expect = shared.log().at(snapshot.position());
        assert_eq!(snapshot.rows(), expect, "at {}", snapshot.position());
        let found = snapshot.query(&all, base::clock::WallMs(0)).expect("an answer");
        assert_eq!(found.answer.work.matched, expect, "{}", found.performance);
        shared.looks.fetch_add(1, Ordering::AcqRel);
    }
}

/// Finds every document by vector, words and filter, in one answer each.
fn all_are_found(index: &Index, world: &World) {
    let snapshot = index.snapshot();
    assert_eq!(snapshot.rows(), WRITERS * EACH);
    for id in 0..WRITERS * EACH {
        for query in [
            format!(r#"{{"rank_by":["v","ANN",[{},{}]],"limit":1}}"#, id / 40, id % 40),
            format!(r#"{{"rank_by":["t","BM25","word{id}"],"limit":2}}"#),
            format!(r#"{{"filters":["And",[["id","Eq",{id}],["n","Eq",{}]]],"limit":2}}"#, id / 3),
        ] {
            let found = snapshot.query(&parse(&query), world.now()).expect("an answer");
            let ids: Vec<&Value> = found.answer.rows.iter().map(|row| &row.id).collect();
            assert_eq!(ids, [&Value::Uint(id)], "{query}\n{}", found.performance);
        }
    }
}

#[test]
fn what_ten_writers_write_during_flushes_and_merges_is_found_by_vector_words_and_filter()
-> io::Result<()> {
    let world = World::new(1, 1);
    let store = store(MemDisk::shared());
    let options =
        Options { memtable_bytes: 24 * 1024, unindexed_bytes_max: 48 * 1024, ..options() };
    let with = (world.shape.schema.clone(), options);
    let environment = || crate::world::environment(&world.clock, 1);
    let index = open_with(&store, with, environment, (&[], 0)).expect("an index");
    let failed: Arc<Mutex<Vec<String>>> = Arc::default();
    let report = Arc::clone(&failed);
    let background = Background::start(
        &SystemSpawner,
        Box::new(move |_, error| report.lock().expect("no panic").push(error.to_string())),
    )?;
    let shared = Shared {
        index: Arc::new(index),
        log: Mutex::default(),
        background,
        is_over: AtomicBool::new(false),
        looks: AtomicU64::new(0),
    };
    shared.background.add(&shared.index);
    let (feed, changes) = sync_channel(WAITING_MAX);
    scope(|scope| {
        let shared = &shared;
        scope.spawn(|| look(shared));
        // It owns the queue, so that writers do not wait for one that has panicked.
        let follower = scope.spawn(move || follow(shared, &changes));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let feed = feed.clone();
                scope.spawn(move || write(shared, writer, &feed))
            })
            .collect();
        drop(feed);
        let ended: Vec<bool> = writers.into_iter().map(|writer| writer.join().is_ok()).collect();
        let ended = ended.into_iter().all(|ended| ended) && follower.join().is_ok();
        shared.is_over.store(true, Ordering::Release);
        assert!(ended);
    });
    assert_eq!(*failed.lock().expect("no panic"), [] as [&str; 0]);
    assert!(shared.looks.load(Ordering::Acquire) > 0);
    let status = shared.index.status();
    assert!(status.segments > 0 && status.unindexed_rows < 1000, "{status:?}");
    all_are_found(&shared.index, &world);
    drop(shared.background);
    settle(&shared.index).expect("all that is due");
    shared.index.flush_all().expect("a flush");
    all_are_found(&shared.index, &world);
    let query = parse(r#"{"filters":["n","Lt",99999],"limit":0,"aggregate_by":{"n":["Count"]}}"#);
    let found = shared.index.snapshot().query(&query, world.now()).expect("an answer");
    assert!(found.performance.plans.iter().all(|part| part.plan != Plan::Memtable));
    drop(shared.index);
    let index = open(&store, &world.clock, 2, &[]).expect("an index");
    all_are_found(&index, &world);
    Ok(())
}
