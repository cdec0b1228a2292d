//! The engine as surfaces use it: databases that open by themselves, answers that always come.

use std::ops::Bound;
use std::sync::mpsc::sync_channel;

use base::clock::SystemClock;
use base::io::RealDisk;
use base::words::{DocId, Lsn};
use bytes::Bytes;
use docstore::{Condition as Holds, Effect, Expiry};
use tempfile::TempDir;

use super::*;

mod lifetimes;

pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct World {
    pub(super) engine: Arc<Engine>,
    _dir: TempDir,
}

pub(super) fn options(dir: &std::path::Path) -> EngineOptions {
    EngineOptions {
        dir: dir.to_path_buf(),
        store: docstore::Options::default(),
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
        idle_timeout: Duration::from_secs(300),
        transaction_timeout: Duration::from_secs(30),
        operation_threads: 2,
        slow_after: Duration::ZERO,
        logs: None,
        logs_close: Duration::from_secs(5),
        query_threads: 2,
        search: SearchOptions::default(),
    }
}

pub(super) fn env() -> Environment {
    Environment { disk: RealDisk::shared(), clock: SystemClock::shared(), reserve: None }
}

pub(super) fn world(change: impl FnOnce(&mut EngineOptions)) -> World {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&dir.path().join("data"));
    change(&mut options);
    World { engine: Engine::start(env(), options).unwrap(), _dir: dir }
}

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Waits for what `ask` is answered.
pub(super) fn ask<T: Send + 'static>(ask: impl FnOnce(Reply<T>)) -> Result<T> {
    let (tell, told) = sync_channel(1);
    ask(Reply::new(move |result| tell.send(result).expect("somebody listens")));
    told.recv_timeout(PATIENCE).expect("everybody is answered")
}

fn op(id: u64, kind: OpKind) -> Op {
    let (collection, id) = (name("default"), DocId::U64(id));
    Op { collection, id, kind, conditions: Vec::new() }
}

fn upsert(id: u64, text: &'static str) -> Op {
    op(id, OpKind::Upsert(Bytes::from_static(text.as_bytes()), Expiry::Never))
}

impl World {
    pub(super) fn served(&self, database: &str) -> Arc<Served> {
        self.engine.database(&name(database)).unwrap()
    }

    pub(super) fn execute(
        &self,
        database: &str,
        ops: Vec<Op>,
        together: Together,
    ) -> Result<OpAnswers> {
        let served = self.served(database);
        ask(|reply| self.engine.execute(&served, ops, together, How::default(), reply))
    }

    fn get(&self, database: &str, id: u64) -> Option<String> {
        let served = self.served(database);
        let id = DocId::U64(id);
        let found =
            ask(|reply| self.engine.get(&served, name("default"), id, How::default(), reply));
        let text =
            |stored: docstore::Stored| String::from_utf8(stored.document.as_bytes().to_vec());
        found.unwrap().map(|stored| text(stored).unwrap())
    }
}

fn code<T>(result: Result<T>) -> Option<(Code, Option<usize>)> {
    result.err().map(|error| (error.code, error.operation))
}

#[test]
fn what_was_written_is_read_from_memory_from_disk_and_after_a_restart() {
    let mut world = world(|_| {});
    let answers = world.execute("default", vec![upsert(1, r#"{"a":1}"#)], Together::Atomic);
    let answers = answers.unwrap();
    assert!(matches!(answers[0], Ok(OpAnswer::Written { effect: Effect::Created, .. })));
    let served = world.served("default");
    let id = DocId::U64(1);
    let known = world.engine.get_from_memory(&served, &name("default"), &id);
    assert!(known.unwrap().unwrap().is_some());
    ask(|reply| world.engine.checkpoint(&served, reply)).unwrap();
    // From the page cache here, or by a worker: what it answers is the same.
    if let Some(known) = world.engine.get_from_memory(&served, &name("default"), &id) {
        assert_eq!(known.unwrap().unwrap().document.as_bytes(), br#"{"a":1}"#);
    }
    assert_eq!(world.get("default", 1).unwrap(), r#"{"a":1}"#);
    world.engine.close().unwrap();
    let options = world.engine.options.clone();
    world.engine = {
        let closed = world.engine;
        assert_eq!(Arc::strong_count(&closed), 1, "nobody holds on to it");
        drop((closed, served));
        Engine::start(env(), options).unwrap()
    };
    assert_eq!(world.get("default", 1).unwrap(), r#"{"a":1}"#);
}

#[test]
fn an_atomic_batch_answers_each_operation_or_names_the_one_at_fault() {
    let world = world(|_| {});
    world.execute("default", vec![upsert(1, "1")], Together::Atomic).unwrap();
    let create = op(1, OpKind::Create(Bytes::from_static(b"2"), Expiry::Never));
    let refused = world.execute("default", vec![upsert(2, "2"), create.clone()], Together::Atomic);
    assert_eq!(code(refused), Some((Code::DocExists, Some(1))));
    assert_eq!(world.get("default", 2), None);
    let bad = world.execute("default", vec![upsert(2, "2"), upsert(3, "{")], Together::Atomic);
    assert_eq!(code(bad), Some((Code::InvalidJson, Some(1))));
    let mut nowhere = upsert(3, "3");
    nowhere.collection = name("nowhere");
    let lost = world.execute("default", vec![nowhere], Together::Atomic);
    assert_eq!(code(lost), Some((Code::CollectionNotFound, Some(0))));
    let held = Op { conditions: vec![Holds::Revision(Lsn(7))], ..upsert(1, "5") };
    let stale = world.execute("default", vec![held], Together::Atomic);
    assert_eq!(code(stale), Some((Code::RevisionMismatch, Some(0))));
}

#[test]
fn a_batch_may_read_what_it_has_written_and_reads_alone_see_one_state() {
    let world = world(|_| {});
    let ops = vec![upsert(1, "1"), op(1, OpKind::Read), op(2, OpKind::Read)];
    let answers = world.execute("default", ops, Together::Atomic).unwrap();
    let Ok(OpAnswer::Written { revision, .. }) = &answers[0] else { panic!("{answers:?}") };
    assert!(*revision > Lsn::ZERO);
    let Ok(OpAnswer::Read(Some(seen))) = &answers[1] else { panic!("{answers:?}") };
    assert_eq!(seen.document.as_bytes(), b"1");
    assert_eq!(answers[2].as_ref().unwrap(), &OpAnswer::Read(None));
    let reads = vec![op(1, OpKind::Read), op(2, OpKind::Read)];
    let answers = world.execute("default", reads, Together::Atomic).unwrap();
    assert!(matches!(&answers[0], Ok(OpAnswer::Read(Some(_)))));
}

#[test]
fn independent_operations_fail_one_by_one() {
    let world = world(|_| {});
    let ops = vec![
        upsert(1, "1"),
        upsert(2, "{"),
        op(9, OpKind::Delete),
        upsert(3, "3"),
        op(3, OpKind::Patch(Bytes::from_static(b"[]"))),
    ];
    let answers = world.execute("default", ops, Together::Independent).unwrap();
    let codes: Vec<_> = answers.into_iter().map(code).collect();
    let at = |code, operation| Some((code, Some(operation)));
    let expected = [None, at(Code::InvalidJson, 1), at(Code::DocNotFound, 2), None, None];
    assert_eq!(codes, expected);
    assert_eq!(world.get("default", 3).unwrap(), "3");
    let nothing = world.execute("default", Vec::new(), Together::Independent).unwrap();
    assert!(nothing.is_empty());
}

#[test]
fn writes_of_one_lane_take_effect_in_the_order_sent() {
    let world = world(|_| {});
    let served = world.served("default");
    let lane = Some(world.engine.new_lane());
    let (tell, told) = sync_channel(1000);
    for n in 0..500 {
        let text = Bytes::from(n.to_string());
        let write = op(1, OpKind::Upsert(text, Expiry::Never));
        let tell = tell.clone();
        let reply = Reply::new(move |result: Result<OpAnswers>| tell.send(result).unwrap());
        let how = How { lane, deadline: None };
        world.engine.execute(&served, vec![write], Together::Atomic, how, reply);
    }
    for _ in 0..500 {
        told.recv_timeout(PATIENCE).unwrap().unwrap();
    }
    assert_eq!(world.get("default", 1).unwrap(), "499");
}

#[test]
fn databases_are_made_dropped_and_closed_when_idle_and_open_again_by_themselves() {
    let world = world(|options| options.databases_open_max = 2);
    for database in ["a", "b", "c", "d"] {
        let made = name(database);
        ask(|reply| {
            world.engine.operate_on_server(reply, move |e| e.create_database(&made).map(drop))
        })
        .unwrap();
        world.execute(database, vec![upsert(1, "1")], Together::Atomic).unwrap();
    }
    for database in ["a", "b", "c", "d", "a", "default"] {
        let expected = (database != "default").then(|| "1".to_string());
        assert_eq!(world.get(database, 1), expected);
    }
    let served = world.served("d");
    world.engine.close_database(&served).unwrap();
    assert_eq!(served.condition(), Condition::Closed);
    assert_eq!(world.get("d", 1).unwrap(), "1");
    world.until_closed(&served);
    let gone = Arc::clone(&served);
    ask(|reply| world.engine.operate_on_server(reply, move |e| e.drop_database(&gone))).unwrap();
    assert_eq!(code(world.engine.database(&name("d"))).unwrap().0, Code::DbNotFound);
    let late = ask(|reply| {
        let ops = vec![upsert(1, "1")];
        world.engine.execute(&served, ops, Together::Atomic, How::default(), reply);
    });
    assert_eq!(code(late).unwrap().0, Code::DbNotFound, "it is gone for those who still hold it");
    let refused = world.engine.drop_database(&world.served("default"));
    assert_eq!(code(refused).unwrap().0, Code::Unsupported);
}

#[test]
fn pages_of_a_scan_follow_each_other_by_cursors() {
    let world = world(|_| {});
    let served = world.served("default");
    let ops = (0..10).map(|n| upsert(n, "1")).collect();
    world.execute("default", ops, Together::Atomic).unwrap();
    let mut scan = Scan {
        collection: name("default"),
        from: Bound::Included(DocId::U64(2)),
        to: Bound::Excluded(DocId::U64(9)),
        limit: 3,
        cursor: None,
    };
    let mut ids = Vec::new();
    loop {
        let asked = scan.clone();
        let page = ask(|reply| world.engine.scan(&served, asked, How::default(), reply)).unwrap();
        ids.extend(page.documents.iter().map(|(id, _)| id.clone()));
        // Written behind the first page: it is not seen.
        world.execute("default", vec![upsert(8, "2"), upsert(7, "2")], Together::Atomic).unwrap();
        let Some(next) = page.next else { break };
        scan.cursor = Some(next);
    }
    assert_eq!(ids, (2..9).map(DocId::U64).collect::<Vec<_>>());
    let held = served.peek().unwrap().stats().unwrap().snapshots;
    assert_eq!(held, 0, "the last page lets go");
}

#[test]
fn transactions_commit_conflict_end_with_their_connection_and_expire() {
    let world = world(|options| options.transaction_timeout = Duration::from_secs(1));
    let served = world.served("default");
    let begin =
        |owner| ask(|reply| world.engine.begin(&served, owner, How::default(), reply)).unwrap();
    let step = |id, ops| ask(|reply| world.engine.execute_in(id, ops, None, reply));
    let commit = |id| ask(|reply| world.engine.commit(id, None, reply));
    let id = begin(None);
    let answers = step(id, vec![upsert(1, "1"), op(1, OpKind::Read)]).unwrap();
    let Ok(OpAnswer::Read(Some(own))) = &answers[1] else { panic!("{answers:?}") };
    assert_eq!(own.revision, Lsn::ZERO, "it has none before the commit");
    assert_eq!(world.get("default", 1), None, "nobody else sees it");
    assert_eq!(commit(id).unwrap().written.len(), 1);
    assert_eq!(world.get("default", 1).unwrap(), "1");
    assert_eq!(code(commit(id)).unwrap().0, Code::TxnNotFound);
    let id = begin(None);
    step(id, vec![op(1, OpKind::Read), upsert(2, "2")]).unwrap();
    world.execute("default", vec![upsert(1, "9")], Together::Atomic).unwrap();
    assert_eq!(code(commit(id)).unwrap().0, Code::TxnConflict);
    let lane = world.engine.new_lane();
    let id = begin(Some(lane));
    world.engine.connection_ended(lane);
    assert_eq!(code(step(id, vec![upsert(3, "3")])).unwrap().0, Code::TxnNotFound);
    let id = begin(None);
    world.engine.rollback(id).unwrap();
    let id = begin(None);
    while world.engine.transactions_open() > 0 {
        std::thread::yield_now();
    }
    assert_eq!(code(commit(id)).unwrap().0, Code::TxnNotFound, "it was open for too long");
    assert_eq!(world.get("default", 3), None);
}

#[test]
fn changes_are_answered_in_pieces_and_who_waits_is_called() {
    let world = world(|_| {});
    let served = world.served("default");
    let read = |from, limit| {
        ask(|reply| world.engine.changes(&served, from, limit, How::default(), reply)).unwrap()
    };
    let start = read(Lsn::ZERO, 100).next;
    let (tell, told) = sync_channel(1);
    served.watch(start, Box::new(move || tell.send(()).unwrap())).unwrap();
    assert!(told.try_recv().is_err(), "nothing was written yet");
    world.execute("default", vec![upsert(1, "1"), upsert(2, "2")], Together::Atomic).unwrap();
    told.recv_timeout(PATIENCE).unwrap();
    let first = read(start, 1);
    assert_eq!(first.changes.len(), 1);
    let second = read(first.next, 10);
    let ChangeKind::Put { id, .. } = &second.changes[0].kind else { panic!("{second:?}") };
    assert_eq!(*id, DocId::U64(2));
    assert_eq!(second.changes[0].transaction, first.changes[0].lsn);
    assert_eq!(second.changes[0].name, Some(name("default")));
}

#[test]
fn a_panic_in_an_operation_is_answered_and_the_engine_goes_on() {
    let world = world(|_| {});
    let served = world.served("default");
    let panicked: Result<()> =
        ask(|reply| world.engine.work(&served, 0, How::default(), reply, |_| panic!("a defect")));
    assert_eq!(code(panicked).unwrap().0, Code::Internal);
    let panicked: Result<()> =
        ask(|reply| world.engine.operate(&served, reply, |_| panic!("a defect")));
    assert_eq!(code(panicked).unwrap().0, Code::Internal);
    world.execute("default", vec![upsert(1, "1")], Together::Atomic).unwrap();
}

#[test]
fn a_damaged_database_is_named_and_stops_no_other() {
    let mut world = world(|_| {});
    let broken = name("broken");
    ask(|reply| {
        world.engine.operate_on_server(reply, move |e| e.create_database(&broken).map(drop))
    })
    .unwrap();
    world.execute("broken", vec![upsert(1, "1")], Together::Atomic).unwrap();
    let dir = world.served("broken").peek().unwrap().path().to_path_buf();
    world.engine.close().unwrap();
    // Its log is gone, which no crash can do.
    let disk = RealDisk::shared();
    for entry in disk.list(&dir.join("log")).unwrap() {
        if entry.kind == base::io::EntryKind::File {
            disk.remove_file(&dir.join("log").join(entry.name)).unwrap();
        }
    }
    let options = world.engine.options.clone();
    drop(world.engine);
    world.engine = Engine::start(env(), options).unwrap();
    world.execute("default", vec![upsert(1, "1")], Together::Atomic).unwrap();
    let refused = world.execute("broken", vec![upsert(1, "1")], Together::Atomic);
    assert!(refused.is_err());
    let health = world.engine.health();
    assert_eq!(health.verdict, Verdict::Degraded);
    let of = |wanted: &str| {
        health.databases.iter().find(|database| database.name.as_str() == wanted).unwrap()
    };
    assert_eq!(of("broken").verdict, Verdict::Degraded);
    assert!(matches!(of("broken").condition, Condition::Failed { .. }));
    assert_eq!(of("default").verdict, Verdict::Ok);
    assert_eq!(of("default").log.as_ref().unwrap().mode, "group");
}

#[test]
fn every_metric_is_well_formed_and_alive_after_some_work() {
    let world = world(|_| {});
    let served = world.served("default");
    world.execute("default", vec![upsert(1, "1")], Together::Atomic).unwrap();
    ask(|reply| world.engine.checkpoint(&served, reply)).unwrap();
    let about = String::new;
    world.engine.note_answered(metrics::Operation::Get, Duration::from_millis(1), None, about);
    let schema = Some(Bytes::from_static(br#"{"n":"int"}"#));
    let asked = namespaces::SchemaChange { declaration: schema, ..Default::default() };
    ask(|reply| world.engine.create_namespace(&served, name("books"), asked, reply)).unwrap();
    let render = || {
        ask(|reply| world.engine.render_metrics(base::metrics::Format::Prometheus, reply)).unwrap()
    };
    // Its index is made in the background.
    let mut text = render();
    while !text.contains("docdb_search_indexes{database=\"default\",state=\"ready\"} 1") {
        text = render();
    }
    for line in [
        "docdb_store_documents{database=\"default\"} 1",
        "docdb_operations_total{operation=\"get\",status=\"ok\"} 1",
        "docdb_store_databases{state=\"open\"} 1",
        "docdb_checkpoints_total{database=\"default\",status=\"ok\"} 1",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    for definition in metrics::ALL {
        definition.check().unwrap();
        assert!(text.contains(definition.name), "{} is missing", definition.name);
    }
}

#[test]
fn closing_answers_what_waits_and_loses_nothing_acknowledged() {
    let world = world(|_| {});
    let served = world.served("default");
    let (tell, told) = sync_channel(10_000);
    for n in 0..2000 {
        let tell = tell.clone();
        let reply = Reply::new(move |result: Result<OpAnswers>| {
            tell.send((n, result.is_ok())).unwrap();
        });
        let ops = vec![upsert(n, "1")];
        world.engine.execute(&served, ops, Together::Atomic, How::default(), reply);
    }
    let options = world.engine.options.clone();
    world.engine.close().unwrap();
    drop(world.engine);
    let engine = Engine::start(env(), options).unwrap();
    let served = engine.database(&name("default")).unwrap();
    for _ in 0..2000 {
        let (n, ok) = told.recv_timeout(PATIENCE).expect("everybody is answered");
        let id = DocId::U64(n);
        let found = ask(|reply| engine.get(&served, name("default"), id, How::default(), reply));
        assert!(!ok || found.unwrap().is_some(), "document {n} was acknowledged");
    }
}
