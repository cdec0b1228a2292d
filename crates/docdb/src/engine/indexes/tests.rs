//! Indexes beside the engine that writes: what is answered is asked of the index alone, never of the documents.

mod trouble;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use base::clock::SystemClock;
use base::io::{DiskRef, EntryKind, MemDisk, Open, write_all_at};
use base::words::{CollectionId, DocId, Lsn, Name};
use bytes::Bytes;
use docstore::Expiry;
use docstore::data::Parity;
use search::index::Snapshot;
use search::json::Json;
use search::query::Query;
use search::value::Value;
use wal::Environment;

use super::*;
use crate::engine::namespaces::SchemaChange;
use crate::engine::{
    DropCollection, Engine, EngineOptions, How, Op, OpAnswers, OpKind, Reply, Served, Together,
};
use crate::scheduler::SchedulerOptions;

const PATIENCE: Duration = Duration::from_secs(60);
const SCHEMA: &str = r#"{"n":"int","t":{"type":"string","full_text_search":true},
    "v":{"type":"[2]f32","distance_metric":"cosine_distance"}}"#;

struct World {
    disk: DiskRef,
    options: EngineOptions,
    engine: Arc<Engine>,
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn ask<T: Send + 'static>(ask: impl FnOnce(Reply<T>)) -> Result<T> {
    let (tell, told) = sync_channel(1);
    ask(Reply::new(move |result| tell.send(result).expect("somebody listens")));
    told.recv_timeout(PATIENCE).expect("everybody is answered")
}

fn options() -> EngineOptions {
    // Small, so that a checkpoint lets go of all that nobody holds.
    let log = wal::Options {
        segment_bytes_first: 4096,
        segment_bytes_max: 64 * 1024,
        keep_segments: 0,
        ..wal::Options::default()
    };
    EngineOptions {
        dir: PathBuf::from("/data"),
        // Without parity, which would need the log until its blocks are full.
        store: docstore::Options { log, parity: Parity::Off, ..docstore::Options::default() },
        memory_bytes: 1 << 30,
        scheduler: SchedulerOptions {
            workers: 2,
            worker_expiry: Duration::from_secs(1),
            pre_alloc: false,
            queue_depth: 1000,
            max_total_queued: 0,
        },
        weights: BTreeMap::new(),
        databases_open_max: 0,
        idle_timeout: Duration::ZERO,
        transaction_timeout: Duration::from_secs(30),
        operation_threads: 2,
        slow_after: Duration::ZERO,
        logs: None,
        logs_close: Duration::from_secs(5),
        query_threads: 2,
        search: SearchOptions::default(),
    }
}

fn start(disk: &DiskRef, options: &EngineOptions) -> Arc<Engine> {
    let (disk, clock) = (Arc::clone(disk), SystemClock::shared());
    Engine::start(Environment { disk, clock, reserve: None }, options.clone()).unwrap()
}

/// Looks again until something is so.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let clock = SystemClock::shared();
    let began = clock.now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(clock.now().since(began) < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

impl World {
    fn new(change: impl FnOnce(&mut EngineOptions)) -> Self {
        let disk: DiskRef = MemDisk::shared();
        let mut options = options();
        change(&mut options);
        let engine = start(&disk, &options);
        Self { disk, options, engine }
    }

    /// Ends the server in order, lets `meanwhile` happen, and starts it again.
    fn restart(self, meanwhile: impl FnOnce(&Self)) -> Self {
        self.engine.close().unwrap();
        meanwhile(&self);
        let Self { disk, options, engine } = self;
        // The directory is locked as long as it lives.
        assert_eq!(Arc::strong_count(&engine), 1, "nobody holds on to it");
        drop(engine);
        let engine = start(&disk, &options);
        Self { disk, options, engine }
    }

    fn served(&self) -> Arc<Served> {
        self.engine.database(&docstore::default_name()).unwrap()
    }

    fn database(&self) -> Database {
        let served = self.served();
        ask(|reply| self.engine.open_database(&served, How::default(), reply)).unwrap();
        served.peek().unwrap()
    }

    fn make(&self, namespace: &str) -> CollectionId {
        let declaration = Some(Bytes::from_static(SCHEMA.as_bytes()));
        let asked = SchemaChange { declaration, ..SchemaChange::default() };
        let made = |reply| {
            self.engine.create_namespace(&self.served(), name(namespace), asked, reply);
        };
        ask(made).unwrap();
        self.database().collection(&name(namespace)).unwrap()
    }

    fn execute(&self, ops: Vec<Op>) -> Result<OpAnswers> {
        let (served, how) = (self.served(), How::default());
        ask(|reply| self.engine.execute(&served, ops, Together::Atomic, how, reply))
    }

    fn upsert(&self, namespace: &str, ids: std::ops::Range<u64>, n: u64) {
        self.execute(ids.map(|id| upsert(namespace, id, n)).collect()).unwrap();
    }

    fn schema(&self, collection: CollectionId) -> Schema {
        let property = crate::engine::namespaces::schema_property();
        let value = self.database().property(collection, &property).unwrap().unwrap();
        Schema::from_stored(value.as_bytes()).unwrap()
    }

    /// What a strong query gets.
    fn strong(&self, collection: CollectionId) -> Option<Snapshot> {
        let (database, schema) = (self.database(), self.schema(collection));
        let at = database.position();
        let found = self.engine.indexes.snapshot(&database, (collection, &schema), at, &|| Ok(()));
        found.unwrap().inspect(|snapshot| assert!(snapshot.position() >= at))
    }

    fn ready(&self, collection: CollectionId) -> Snapshot {
        until("the index is ready", || self.strong(collection))
    }

    /// The ids that the index of a collection has with this `n`.
    fn ids(&self, snapshot: &Snapshot, n: u64) -> Vec<u64> {
        let text = format!(r#"{{"filters":["n","Eq",{n}],"limit":10000}}"#);
        let query = Query::parse(Json::parse(text.as_bytes()).unwrap()).unwrap();
        let found = snapshot.query(&query, self.database().now()).unwrap();
        let id = |row: search::exhaustive::Found| {
            let Value::Uint(id) = row.id else { panic!("{row:?}") };
            id
        };
        let mut ids: Vec<u64> = found.answer.rows.into_iter().map(id).collect();
        ids.sort_unstable();
        ids
    }

    fn builds(&self) -> u64 {
        self.engine.indexes.totals().0
    }

    /// The files of an index.
    fn files(&self, collection: CollectionId) -> Vec<PathBuf> {
        let root = self.options.dir.join(SEARCH_DIR).join(self.database().id().to_string());
        let mut found = Vec::new();
        _ = walk(&self.disk, root.join(collection.to_string()), &mut |path| {
            found.push(path);
            ControlFlow::Continue(())
        });
        found
    }
}

fn walk(
    disk: &DiskRef,
    dir: PathBuf,
    show: &mut dyn FnMut(PathBuf) -> ControlFlow<()>,
) -> ControlFlow<()> {
    for entry in disk.list(&dir).unwrap_or_default() {
        let path = dir.join(&entry.name);
        match entry.kind {
            EntryKind::Directory => walk(disk, path, show)?,
            EntryKind::File | EntryKind::Other => show(path)?,
        }
    }
    ControlFlow::Continue(())
}

fn op(namespace: &str, id: u64, kind: OpKind) -> Op {
    Op { collection: name(namespace), id: DocId::U64(id), kind, conditions: Vec::new() }
}

fn upsert(namespace: &str, id: u64, n: u64) -> Op {
    let text = format!(r#"{{"n":{n},"t":"word{id} common","v":[{id},1]}}"#);
    op(namespace, id, OpKind::Upsert(Bytes::from(text), Expiry::Never))
}

fn range(ids: std::ops::Range<u64>) -> Vec<u64> {
    ids.collect()
}

#[test]
fn a_strong_query_sees_every_write_that_was_answered() {
    let world = World::new(|_| {});
    let books = world.make("books");
    world.upsert("books", 0..50, 1);
    assert_eq!(world.ids(&world.ready(books), 1), range(0..50));
    for id in 50..60 {
        world.upsert("books", id..id + 1, 1);
        let snapshot = world.strong(books).expect("it was ready");
        assert_eq!(world.ids(&snapshot, 1), range(0..id + 1));
    }
    world.execute(vec![op("books", 3, OpKind::Delete), upsert("books", 4, 2)]).unwrap();
    let snapshot = world.strong(books).expect("it was ready");
    assert_eq!((world.ids(&snapshot, 2), world.ids(&snapshot, 1).len()), (vec![4], 58));
    assert_eq!(world.builds(), 1);
    assert!(matches!(
        world.engine.indexes.state(&world.database(), books),
        Some(IndexState::Ready)
    ));
    let health = world.engine.health_of(&world.served());
    let status = health.indexes.expect("there is one");
    assert_eq!((status.ready, status.rows, status.troubled.len()), (1, 59, 0));
}

#[test]
fn after_a_restart_the_index_goes_on_with_what_the_log_has_kept_for_it() {
    let mut world = World::new(|_| {});
    let books = world.make("books");
    world.upsert("books", 0..10, 1);
    world.ready(books);
    // Much more than the log would keep behind a checkpoint, none of it in a segment.
    for turn in 0..50 {
        world.upsert("books", turn * 20..turn * 20 + 40, 2);
        world.upsert("default", 0..20, 3);
    }
    let served = world.served();
    for _ in 0..2 {
        ask(|reply| world.engine.checkpoint(&served, reply)).unwrap();
        world.upsert("default", 0..20, 4);
    }
    drop(served);
    for _ in 0..2 {
        world = world.restart(|_| {});
        assert_eq!(world.ids(&world.ready(books), 2), range(0..1020));
        assert_eq!(world.builds(), 0, "it was there");
    }
    world.upsert("books", 0..10, 1);
    let snapshot = world.strong(books).expect("it was ready");
    assert_eq!(world.ids(&snapshot, 1), range(0..10));
}

#[test]
fn an_index_that_keeps_the_log_for_too_long_is_let_go_and_made_again() {
    let mut world = World::new(|options| options.store.log.retain_bytes = 64 * 1024);
    let books = world.make("books");
    world.upsert("books", 0..10, 1);
    world.ready(books);
    for turn in 0..100 {
        world.upsert("books", turn * 20..turn * 20 + 40, 2);
    }
    let served = world.served();
    // So that its own reading keeps nothing.
    world.strong(books).expect("it was ready");
    // The first lets go of it, the second of the log.
    for n in 0..2 {
        world.upsert("default", 0..10, n);
        ask(|reply| world.engine.checkpoint(&served, reply)).unwrap();
    }
    let first = world.database().changes(Lsn::ZERO).unwrap().next();
    assert!(first.is_err(), "the log is let go");
    assert_eq!(world.ids(&world.ready(books), 2), range(0..2020));
    drop(served);
    world = world.restart(|_| {});
    assert_eq!(world.ids(&world.ready(books), 2), range(0..2020));
    assert_eq!(world.builds(), 1, "what the log no longer told, the documents did");
}

#[test]
fn a_flushed_index_is_found_again_and_what_is_superfluous_of_the_log_goes() {
    let mut world = World::new(|options| options.search.index.flush_after = Duration::ZERO);
    let books = world.make("books");
    for turn in 0..20 {
        world.upsert("books", turn * 10..turn * 10 + 20, 1);
    }
    world.ready(books);
    until("it is flushed", || {
        let status = world.engine.indexes.status(world.database().id()).unwrap();
        (status.segments > 0 && status.unindexed_bytes == 0).then_some(())
    });
    let served = world.served();
    until("the log is let go", || {
        world.upsert("default", 0..1, 1);
        ask(|reply| world.engine.checkpoint(&served, reply)).unwrap();
        world.database().changes(Lsn::ZERO).unwrap().next().is_err().then_some(())
    });
    drop(served);
    world = world.restart(|_| {});
    assert_eq!(world.ids(&world.ready(books), 1), range(0..210));
    assert_eq!(world.builds(), 0);
}

#[test]
fn a_namespace_that_is_dropped_and_made_again_has_nothing_of_before() {
    let mut world = World::new(|options| options.search.index.flush_after = Duration::ZERO);
    let before = world.make("books");
    world.upsert("books", 0..20, 1);
    world.ready(before);
    until("there are files", || (!world.files(before).is_empty()).then_some(()));
    let served = world.served();
    let drop_it =
        |reply| world.engine.drop_collection(&served, name("books"), DropCollection::Force, reply);
    ask(drop_it).unwrap();
    let books = world.make("books");
    assert_ne!(before, books);
    world.upsert("books", 5..8, 1);
    assert_eq!(world.ids(&world.ready(books), 1), range(5..8));
    assert_eq!(world.engine.indexes.state(&world.database(), before), None);
    until("the files are gone", || world.files(before).is_empty().then_some(()));
    drop(served);
    world = world.restart(|_| {});
    assert_eq!(world.ids(&world.ready(books), 1), range(5..8));
}

#[test]
fn what_a_crash_left_of_a_dropped_namespace_goes_at_the_next_start() {
    let mut world = World::new(|options| options.search.index.flush_after = Duration::ZERO);
    let (books, films) = (world.make("books"), world.make("films"));
    world.upsert("books", 0..20, 1);
    world.upsert("films", 0..20, 1);
    world.ready(books);
    world.ready(films);
    until("there are files", || (!world.files(books).is_empty()).then_some(()));
    let id = world.database().id();
    let gone = CollectionId(77);
    world = world.restart(|world| {
        let root = world.options.dir.join(SEARCH_DIR);
        let path = root.join(id.to_string()).join(gone.to_string());
        world.disk.create_dir(&path).unwrap();
        world.disk.open(&path.join("file"), Open::CreateNew).unwrap();
        let other = root.join("00000000-0000-4000-8000-000000000000");
        world.disk.create_dir(&other).unwrap();
        world.disk.open(&other.join("file"), Open::CreateNew).unwrap();
    });
    world.ready(films);
    until("the files are gone", || world.files(gone).is_empty().then_some(()));
    let other = world.options.dir.join(SEARCH_DIR).join("00000000-0000-4000-8000-000000000000");
    let is_gone = || world.disk.list(&other).is_ok_and(|all| all.is_empty()).then_some(());
    until("the other files are gone", || is_gone().or(world.disk.list(&other).err().map(drop)));
    assert!(!world.files(books).is_empty() && !world.files(films).is_empty());
}

#[test]
fn a_damaged_segment_is_named_and_made_again() {
    let mut world = World::new(|options| options.search.index.flush_after = Duration::ZERO);
    let books = world.make("books");
    world.upsert("books", 0..200, 1);
    world.ready(books);
    let segment = |world: &World| {
        let files = world.files(books);
        files.into_iter().find(|path| path.ends_with("rows.idx"))
    };
    until("there is a segment", || segment(&world));
    world = world.restart(|world| {
        let path = until("there is a segment", || {
            let root = world.options.dir.join(SEARCH_DIR);
            let mut found = None;
            _ = walk(&world.disk, root, &mut |path| {
                if path.ends_with("rows.idx") {
                    found = Some(path);
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            });
            found
        });
        let file = world.disk.open(&path, Open::Write).unwrap();
        write_all_at(&*file, b"damage", 50).unwrap();
    });
    assert_eq!(world.ids(&world.ready(books), 1), range(0..200));
    let (builds, failures) = world.engine.indexes.totals();
    assert_eq!(builds, 1);
    assert!(failures >= 1);
    world = world.restart(|_| {});
    assert_eq!(world.ids(&world.ready(books), 1), range(0..200));
    assert_eq!(world.builds(), 0, "what was made lasts");
}

#[test]
fn damage_that_a_query_meets_is_made_good_and_there_is_no_index_until_then() {
    let world = World::new(|_| {});
    let books = world.make("books");
    world.upsert("books", 0..20, 1);
    world.ready(books);
    let error = IndexError::Damaged { what: "a block is not what was written".into() };
    let database = world.database();
    let indexes = world.engine.indexes.shared.of(database.id()).unwrap();
    {
        // Nobody makes it meanwhile.
        let _builds = lock(&indexes.builds);
        world.engine.indexes.failed(&database, books, &error);
        let state = world.engine.indexes.state(&database, books);
        assert!(matches!(state, Some(IndexState::Building { .. })), "{state:?}");
        assert!(world.strong(books).is_none());
        let health = world.engine.health_of(&world.served());
        assert_eq!(health.verdict, crate::engine::Verdict::Degraded);
        let (of, why) = health.indexes.unwrap().troubled.remove(0);
        assert!(of == books && why.contains("a block is not"), "{why}");
    }
    assert_eq!(world.ids(&world.ready(books), 1), range(0..20));
    assert_eq!(world.engine.health_of(&world.served()).verdict, crate::engine::Verdict::Ok);
    assert_eq!(world.builds(), 2);
}

#[test]
fn another_schema_is_followed_or_the_index_is_made_again_for_it() {
    let mut world = World::new(|_| {});
    let books = world.make("books");
    world.upsert("books", 0..20, 1);
    world.ready(books);
    // It grows by what a document has more.
    let grown = Bytes::from_static(br#"{"n":1,"more":"x"}"#);
    world.execute(vec![op("books", 30, OpKind::Upsert(grown, Expiry::Never))]).unwrap();
    let schema = Arc::clone(world.strong(books).expect("it was ready").schema());
    assert!(schema.fields().any(|(path, _)| path.to_string() == "more"));
    assert_eq!(world.builds(), 1);
    let declaration = Bytes::from_static(br#"{"more":{"type":"string","full_text_search":true}}"#);
    let asked = SchemaChange { declaration: Some(declaration), ..SchemaChange::default() };
    let asker = crate::engine::namespaces::Asker::default();
    let (served, how) = (world.served(), How::default());
    let waiting = asker.waiting();
    let change = |reply| {
        let of = name("books");
        world.engine.change_search_schema(&served, of, asked, how, waiting, reply);
    };
    ask(change).unwrap();
    let snapshot = world.ready(books);
    let text = br#"{"rank_by":["more","BM25","x"],"limit":10}"#;
    let query = Query::parse(Json::parse(text).unwrap()).unwrap();
    let found = snapshot.query(&query, world.database().now()).unwrap();
    assert_eq!(found.answer.rows.len(), 1);
    assert_eq!(world.builds(), 2);
    // It holds files of the store.
    drop((served, snapshot));
    world = world.restart(|_| {});
    assert_eq!(world.ids(&world.ready(books), 1).len(), 21);
}

#[test]
fn a_collection_with_documents_becomes_a_namespace() {
    let world = World::new(|_| {});
    let create = |reply| world.engine.create_collection(&world.served(), name("old"), reply);
    let old = ask(create).unwrap();
    for turn in 0..30 {
        // Written in another order than that of their ids.
        world.upsert("old", 600 - turn * 20..620 - turn * 20, 1);
    }
    world.execute(vec![op("old", 100, OpKind::Delete), upsert("old", 101, 1)]).unwrap();
    let asked = SchemaChange {
        declaration: Some(Bytes::from_static(SCHEMA.as_bytes())),
        ..SchemaChange::default()
    };
    let asker = crate::engine::namespaces::Asker::default();
    let (served, how, waiting) = (world.served(), How::default(), asker.waiting());
    let change = |reply| {
        world.engine.change_search_schema(&served, name("old"), asked, how, waiting, reply);
    };
    ask(change).unwrap();
    let mut expect = range(20..620);
    expect.retain(|id| *id != 100);
    assert_eq!(world.ids(&world.ready(old), 1), expect);
}

#[test]
fn writers_and_queries_of_several_namespaces_do_not_disturb_each_other() {
    let world = World::new(|options| {
        options.search.index.flush_after = Duration::ZERO;
        options.search.index.segments_max = 4;
    });
    let spaces = ["books", "films"].map(|space| (space, world.make(space)));
    std::thread::scope(|scope| {
        for writer in 0..4_u64 {
            let world = &world;
            scope.spawn(move || {
                for turn in 0..25 {
                    let (space, collection) = spaces[usize::try_from(writer % 2).unwrap()];
                    let id = writer * 1000 + turn;
                    world.upsert(space, id..id + 1, writer);
                    if let Some(snapshot) = world.strong(collection) {
                        let expect = range(writer * 1000..id + 1);
                        assert_eq!(world.ids(&snapshot, writer), expect);
                    }
                }
            });
        }
    });
    for writer in 0..4_u64 {
        let (_, collection) = spaces[usize::try_from(writer % 2).unwrap()];
        let found = world.ids(&world.ready(collection), writer);
        assert_eq!(found, range(writer * 1000..writer * 1000 + 25));
    }
    assert_eq!(world.builds(), 2);
}

#[test]
fn a_database_that_is_closed_and_opened_again_keeps_its_indexes_and_a_dropped_one_does_not() {
    let world = World::new(|options| options.search.index.flush_after = Duration::ZERO);
    let books = world.make("books");
    for turn in 0..5 {
        world.upsert("books", turn * 10..turn * 10 + 10, 1);
        world.ready(books);
        world.engine.close_database(&world.served()).unwrap();
        assert_eq!(world.engine.indexes.status(world.served().id()), None);
    }
    assert_eq!(world.ids(&world.ready(books), 1), range(0..50));
    assert_eq!(world.builds(), 1);
    let other = name("other");
    let made = world.engine.create_database(&other).unwrap();
    let root = world.options.dir.join(SEARCH_DIR).join(made.id().to_string());
    let declaration = Some(Bytes::from_static(SCHEMA.as_bytes()));
    let asked = SchemaChange { declaration, ..SchemaChange::default() };
    ask(|reply| world.engine.create_namespace(&made, name("films"), asked, reply)).unwrap();
    let ops = vec![upsert("films", 1, 1)];
    ask(|reply| world.engine.execute(&made, ops, Together::Atomic, How::default(), reply)).unwrap();
    let database = made.peek().unwrap();
    let films = database.collection(&name("films")).unwrap();
    // Asking for it begins it.
    let schema = Schema::from_stored(
        database
            .property(films, &crate::engine::namespaces::schema_property())
            .unwrap()
            .unwrap()
            .as_bytes(),
    )
    .unwrap();
    until("the index is ready", || {
        let at = database.position();
        world.engine.indexes.snapshot(&database, (films, &schema), at, &|| Ok(())).unwrap()
    });
    until("there are files", || world.disk.list(&root).ok());
    drop(database);
    world.engine.drop_database(&made).unwrap();
    until("the files are gone", || world.disk.list(&root).is_err().then_some(()));
}

#[test]
fn writes_wait_while_an_index_has_too_much_in_memory_and_are_refused_in_the_end() {
    let world = World::new(|options| {
        options.store.stall_max = Duration::from_millis(50);
        // Nothing is flushed by size, and nothing by age for an hour.
        options.search.index.memtable_bytes = usize::MAX;
        options.search.index.flush_after = Duration::from_secs(3600);
        options.search.index.unindexed_bytes_max = 20_000;
    });
    let books = world.make("books");
    world.upsert("books", 0..20, 1);
    world.ready(books);
    let mut id = 19;
    let refused = until("a write is refused", || {
        world.strong(books).expect("it was ready");
        id += 1;
        world.execute(vec![upsert("books", id, 1)]).err()
    });
    assert_eq!(refused.code, Code::QueueFull);
    world.upsert("default", 0..20, 1);
    let together = Together::Independent;
    let (served, how) = (world.served(), How::default());
    let ops = vec![upsert("books", 1, 1), upsert("default", 1, 1)];
    let answers = ask(|reply| world.engine.execute(&served, ops, together, how, reply)).unwrap();
    assert!(answers[0].is_err() && answers[1].is_ok());
    // Beside a reading, and in a transaction, too.
    let mixed = vec![op("books", 1, OpKind::Read), upsert("books", id, 1)];
    assert_eq!(world.execute(mixed).unwrap_err().code, Code::QueueFull);
    let engine = &world.engine;
    let begun = ask(|reply| engine.begin(&served, None, How::default(), reply)).unwrap();
    let ops = vec![upsert("books", id, 1)];
    ask(|reply| engine.execute_in(begun, ops, None, reply)).unwrap();
    let refused = ask(|reply| engine.commit(begun, None, reply)).unwrap_err();
    assert_eq!(refused.code, Code::QueueFull);
    assert_eq!(world.ids(&world.strong(books).unwrap(), 1), range(0..id));
}
