//! Answers of the index against answers of the documents, which are the truth.

mod forms;

use base::clock::WallMs;
use base::document::Document;
use base::rng::Rng;
use base::words::DocId;
use bytes::Bytes;
use docstore::{Database, Expiry};
use search::filter::Filter;
use search::json::Json;
use search::schema::Undeclared;
use sim::seed::Seeds;

use super::super::tests::{PATIENCE, World, ask, env, name, world};
use super::super::{EngineError, Op, OpKind, Together};
use super::indexed::{Indexed, Tried};
use super::query::answer_by_scan;
use super::schema::stored_schema;
use super::selection::{select, select_by_scan};
use super::snapshot::Snapshot;
use super::versions::Versions;
use super::*;
use crate::http::search::Foreign;

const SPACE: &str = "things";

/// Settings by which a few documents are many segments.
fn tiny(options: &mut crate::engine::EngineOptions) {
    let index = &mut options.search.index;
    index.memtable_bytes = 6 * 1024;
    index.unindexed_bytes_max = 64 * 1024;
    index.segments_max = 5;
    index.segment_bytes_min = 2 * 1024;
}

/// Asks until the index of the namespace answers: that it is asked for is what has it made.
fn wait_for_index(world: &World) {
    let until = world.engine.clock().now().after(PATIENCE);
    loop {
        let (asker, asked) = (Asker::default(), asked(r#"{"limit":1}"#));
        let answered = ask(|reply| {
            let (served, how) = (served(world), How::default());
            world.engine.query_collection(&served, asked, how, asker.waiting(), reply);
        });
        let access = answered.unwrap().access;
        if access.name() == "index" {
            return;
        }
        assert!(world.engine.clock().now() < until, "{access:?}");
        std::thread::yield_now();
    }
}

/// A namespace that is written to and asked.
struct Case {
    world: World,
    rng: Rng,
    /// When documents expire.
    expiries: Vec<WallMs>,
    seen: Seen,
}

/// What was met, so that a test that meets nothing fails.
#[derive(Debug, Default)]
struct Seen {
    by_index: u64,
    by_scan: u64,
    segments: u64,
    memtables: u64,
    rows: u64,
}

fn served(world: &World) -> Arc<Served> {
    world.served("default")
}

fn declare(world: &World, declaration: &'static str) {
    let declaration = Some(Bytes::from_static(declaration.as_bytes()));
    let change = SchemaChange { declaration, metric: None, undeclared: None };
    let asker = Asker::default();
    let changed = ask(|reply| {
        let how = How::default();
        let served = served(world);
        world.engine.change_search_schema(
            &served,
            name(SPACE),
            change,
            how,
            asker.waiting(),
            reply,
        );
    });
    changed.unwrap();
}

/// Makes the namespace.
fn space(world: &World, declaration: &'static str) {
    let declaration = Some(Bytes::from_static(declaration.as_bytes()));
    let undeclared = Some(Undeclared::Ignore);
    let change = SchemaChange { declaration, metric: None, undeclared };
    ask(|reply| world.engine.create_namespace(&served(world), name(SPACE), change, reply)).unwrap();
}

fn op(id: DocId, kind: OpKind) -> Op {
    Op { collection: name(SPACE), id, kind, conditions: Vec::new() }
}

fn upsert(id: DocId, text: String, expiry: Expiry) -> Op {
    op(id, OpKind::Upsert(Bytes::from(text), expiry))
}

fn asked(body: &str) -> QueryAsked {
    let query = Foreign::read(body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error}"));
    query.asked(name(SPACE))
}

impl Case {
    fn new(seed: u64) -> Self {
        let world = world(tiny);
        space(&world, forms::SCHEMA);
        wait_for_index(&world);
        Self { world, rng: Rng::new(seed), expiries: Vec::new(), seen: Seen::default() }
    }

    fn id(&mut self) -> DocId {
        match self.rng.below(60) {
            id if id % 7 == 3 => DocId::string(&format!("id-{id}")).unwrap(),
            id => DocId::U64(id),
        }
    }

    /// A batch of writes of any kind, in one commit.
    fn write(&mut self) {
        let now = self.world.engine.clock().wall();
        let mut ops: Vec<Op> = Vec::new();
        for _ in 0..=self.rng.below(12) {
            let id = self.id();
            if ops.iter().any(|op| op.id == id) {
                continue;
            }
            let kind = match self.rng.below(10) {
                0 | 1 => OpKind::Delete,
                2 => OpKind::Patch(Bytes::from(forms::patch(&mut self.rng))),
                _ => {
                    let expiry = match self.rng.below(12) {
                        0 => Expiry::At(WallMs(now.0 + 1 + self.rng.below(60))),
                        1 => Expiry::At(WallMs(now.0 + 3_600_000)),
                        _ => Expiry::Never,
                    };
                    if let Expiry::At(at) = expiry {
                        self.expiries.push(at);
                    }
                    OpKind::Upsert(Bytes::from(forms::document(&mut self.rng)), expiry)
                }
            };
            ops.push(op(id, kind));
        }
        // Some find nothing to patch or to delete.
        self.world.execute("default", ops, Together::Independent).unwrap();
    }

    fn query(&self, asked: &QueryAsked) -> Result<Answered> {
        let (engine, served, asker) = (&self.world.engine, served(&self.world), Asker::default());
        let how = How::default();
        ask(|reply| engine.query_collection(&served, asked.clone(), how, asker.waiting(), reply))
    }

    /// Does something with the open database.
    fn with<T>(&self, work: impl FnOnce(&Patience<'_>, &Database) -> T) -> T {
        let (asker, database) = (Asker::default(), served(&self.world).peek().unwrap());
        let (engine, waiting) = (&*self.world.engine, asker.waiting());
        work(&Patience { engine, deadline: None, waiting: &waiting }, &database)
    }

    /// Does something twice or more often, until no document has expired while it was done.
    fn at_one_time<T>(&self, work: impl Fn() -> T) -> T {
        loop {
            let from = self.with(|_, database| database.now());
            let done = work();
            let to = self.with(|_, database| database.now());
            if !self.expiries.iter().any(|at| (from..=to).contains(at)) {
                return done;
            }
        }
    }

    /// Asks both ways, and follows cursors.
    fn check(&mut self) {
        let body = forms::body(&mut self.rng);
        let mut asked = asked(&body);
        for page in 0..4 {
            let (found, expect) = self.at_one_time(|| {
                let found = self.query(&asked);
                let by_scan =
                    self.with(|patience, database| answer_by_scan(patience, database, &asked));
                (found, by_scan)
            });
            let (found, expect) = match (found, expect) {
                (Ok(found), Ok(expect)) => (found, expect),
                (Err(found), Err(expect)) => {
                    let told = |error: EngineError| (error.code, error.message);
                    assert_eq!(told(found), told(expect), "{body}");
                    return;
                }
                (found, expect) => panic!("{body}: {found:?}, by scan {expect:?}"),
            };
            self.note(&found);
            same(&found, &expect, &format!("{body} page {page}\n{:?}", found.access));
            let [query] = asked.queries.as_mut_slice() else { return };
            let Some(cursor) = &expect.answers[0].cursor else { return };
            query.offset = 0;
            query.cursor = Some(cursor.clone());
        }
    }

    fn note(&mut self, found: &Answered) {
        let AccessPath::Index(used) = &found.access else {
            self.seen.by_scan += 1;
            return;
        };
        self.seen.by_index += 1;
        let parts = used.queries.iter().flat_map(|query| &query.plans);
        let (memtables, segments): (Vec<_>, Vec<_>) =
            parts.partition(|part| part.part == "memtable");
        self.seen.memtables = self.seen.memtables.max(memtables.len() as u64);
        self.seen.segments = self.seen.segments.max(segments.len() as u64);
        self.seen.rows += found.answers.iter().map(|answer| answer.rows.len() as u64).sum::<u64>();
    }

    /// What deletions and patches by filter select.
    fn check_selection(&mut self) {
        let text = forms::filter(&mut self.rng, 2);
        let most = usize::try_from(self.rng.below(40)).unwrap();
        let filter = Filter::parse(Json::parse(text.as_bytes()).unwrap()).unwrap();
        let (found, expect) = self.at_one_time(|| {
            self.with(|patience, database| {
                let collection = database.collection(&name(SPACE)).unwrap();
                let schema = stored_schema(database, collection).unwrap().unwrap();
                let indexed = Indexed { patience, database, collection, schema: &schema };
                let by_scan = select_by_scan((patience, database), collection, &filter, most);
                (select(&indexed, &filter, most).unwrap(), by_scan.unwrap().unwrap())
            })
        });
        if let Tried::Answered(found) = found {
            assert_eq!(found, expect, "{text} at most {most}");
        }
    }

    fn restart(mut self) -> Self {
        self.world.engine.close().unwrap();
        let options = self.world.engine.options.clone();
        drop(self.world.engine);
        self.world.engine = Engine::start(env(), options).unwrap();
        // The first request opens the database.
        let count = asked(r#"{"aggregate_by":{"c":["Count"]}}"#);
        self.query(&count).unwrap();
        self
    }
}

/// Compares answers; numbers that were calculated to 1e-4.
fn same(found: &Answered, expect: &Answered, told: &str) {
    assert_eq!(found.answers.len(), expect.answers.len(), "{told}");
    for (found, expect) in found.answers.iter().zip(&expect.answers) {
        let ids = |answer: &QueryAnswer| -> Vec<String> {
            answer.rows.iter().map(|row| format!("{} {:?}", row.id, row.dist)).collect()
        };
        let close = found.rows.len() == expect.rows.len()
            && found.rows.iter().zip(&expect.rows).all(|(a, b)| {
                let is_close = match (a.dist, b.dist) {
                    (Some(a), Some(b)) => (a - b).abs() <= 1e-4 * b.abs().max(1.0),
                    (a, b) => a == b,
                };
                a.id == b.id && a.stored == b.stored && is_close
            });
        assert!(close, "{told}\nfound {:?}\nexpected {:?}", ids(found), ids(expect));
        assert_eq!(found.groups, expect.groups, "{told}");
        assert_eq!(found.facets, expect.facets, "{told}");
        assert_eq!(found.cursor.is_some(), expect.cursor.is_some(), "{told}");
    }
}

#[test]
fn the_index_answers_what_looking_at_every_document_does() {
    Seeds::from_env(1, 6).each(|seed| {
        let mut case = Case::new(seed);
        let (steps, declared_at) = (60, case.rng.below(60));
        for step in 0..steps {
            for _ in 0..=case.rng.below(3) {
                case.write();
            }
            if step == declared_at {
                // Until its index is made again the documents are looked at.
                declare(&case.world, forms::EXTRA);
                case.check();
                wait_for_index(&case.world);
            }
            if case.rng.chance(40) {
                case = case.restart();
                wait_for_index(&case.world);
            }
            for _ in 0..6 {
                case.check();
            }
            case.check_selection();
        }
        let Seen { by_index, by_scan, segments, memtables, rows } = case.seen;
        assert!(by_index > 2 * by_scan && by_index > 100, "{:?}", case.seen);
        assert!(segments > 1 && memtables > 0 && rows > 500, "{:?}", case.seen);
        case.world.engine.close().unwrap();
    });
}

#[test]
fn rows_are_shown_as_they_were_at_the_position_at_which_they_were_found() {
    let world = world(|_| {});
    space(&world, r#"{"n":"int"}"#);
    let put = |id: u64, n: u64| upsert(DocId::U64(id), format!("{{\"n\":{n}}}"), Expiry::Never);
    world.execute("default", vec![put(1, 1), put(2, 1), put(3, 1)], Together::Atomic).unwrap();
    let database = served(&world).peek().unwrap();
    let collection = database.collection(&name(SPACE)).unwrap();
    let snapshot = Snapshot::of(&database).unwrap();
    let from = database.position();
    let gone = op(DocId::U64(2), OpKind::Delete);
    world.execute("default", vec![put(1, 2), gone, put(4, 2)], Together::Atomic).unwrap();
    let to = database.position();
    world.execute("default", vec![put(1, 3), put(3, 3)], Together::Atomic).unwrap();
    let ids = (1..=4).map(DocId::U64).collect();
    let versions = Versions::between(&snapshot, collection, (from, to), &ids).unwrap();
    let text = |id: u64| {
        let stored = versions.get(&DocId::U64(id)).unwrap()?;
        Some(String::from_utf8(stored.document.as_bytes().to_vec()).unwrap())
    };
    let expect = [Some("{\"n\":2}"), None, Some("{\"n\":1}"), Some("{\"n\":2}")];
    let found: Vec<Option<String>> = (1..=4).map(text).collect();
    assert_eq!(found, expect.map(|text| text.map(str::to_owned)));
    let none = Versions::between(&snapshot, collection, (from, to), &[].into()).unwrap();
    let first = none.get(&DocId::U64(1)).unwrap().unwrap().document;
    assert_eq!(first, Document::parse(b"{\"n\":1}").unwrap());
}

#[test]
fn who_writes_finds_it_at_once_while_others_write_and_memtables_are_flushed() {
    const WRITERS: u64 = 10;
    const EACH: u64 = 100;
    let world = Arc::new(world(tiny));
    space(&world, forms::SCHEMA);
    wait_for_index(&world);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let world = Arc::clone(&world);
            base::workers::spawn("writer", move || {
                for n in 0..EACH {
                    let id = writer * EACH + n;
                    let text = format!(
                        r#"{{"n":{id},"t":"quick word{id} fox","v":[{writer},{n}],"s":"by-{writer}"}}"#
                    );
                    let write = upsert(DocId::U64(id), text, Expiry::Never);
                    world.execute("default", vec![write], Together::Atomic).unwrap();
                    let body = match n % 3 {
                        0 => format!(r#"{{"filters":["n","Eq",{id}]}}"#),
                        1 => format!(r#"{{"rank_by":["t","BM25","word{id}"]}}"#),
                        _ => format!(r#"{{"rank_by":["v","kNN",[{writer},{n}]],"limit":1}}"#),
                    };
                    let asker = Asker::default();
                    let found = ask(|reply| {
                        let (served, how) = (served(&world), How::default());
                        let asked = asked(&body);
                        world.engine.query_collection(&served, asked, how, asker.waiting(), reply);
                    });
                    let rows = &found.unwrap().answers[0].rows;
                    assert_eq!(rows.len(), 1, "{body}");
                    assert_eq!(rows[0].id, DocId::U64(id), "{body}");
                }
            })
            .unwrap()
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    for body in [
        r#"{"filters":["n","Gte",0],"limit":2000}"#,
        r#"{"rank_by":["t","BM25","quick"],"limit":2000}"#,
        r#"{"rank_by":["v","kNN",[0,0]],"limit":2000}"#,
    ] {
        let asker = Asker::default();
        let found = ask(|reply| {
            let (served, how) = (served(&world), How::default());
            world.engine.query_collection(&served, asked(body), how, asker.waiting(), reply);
        });
        let found = found.unwrap();
        assert_eq!(found.answers[0].rows.len() as u64, WRITERS * EACH, "{body}");
        assert!(found.answers[0].rows.iter().all(|row| row.stored.is_some()), "{body}");
        assert_eq!(found.access.name(), "index");
    }
}
