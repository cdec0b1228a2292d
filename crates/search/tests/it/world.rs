//! A collection as its owner has it: documents, the changes that made them, and an index that follows these.
//!
//! The documents are the truth. Whatever the index is asked must be what looking at all of them answers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::clock::{Clock, ClockRef, Instant, WallMs};
use base::document::Document;
use base::io::DiskRef;
use base::metrics::Registry;
use base::rng::Rng;
use base::words::{CollectionId, DatabaseId, DocId, Lsn};
use search::exhaustive::{Answer, scan};
use search::index::{Backing, Environment, Index, Options, Prepared, Preparer, Result, Step};
use search::json::Json;
use search::manifest::Place;
use search::metrics::Metrics;
use search::query::Query;
use search::schema::{Schema, Undeclared};
use search::storage::cache::{Blocks, MemoryCache};
use search::storage::{LocalStore, StoreRef};

pub(crate) const PLACE: Place =
    Place { database: DatabaseId::from_bytes([3; 16]), collection: CollectionId(7) };

const SCHEMA: &str = r#"{"n":"int","f":"float","s":"string","tags":"[]string","a.b":"datetime",
    "t":{"type":"string","full_text_search":{"stemming":true}},
    "u":{"type":"[]string","full_text_search":{"k1":0.9,"b":0.4},"filterable":true},
    "v":{"type":"[2]f32","distance_metric":"euclidean_squared"},
    "w":{"type":"[3]i8","distance_metric":"dot","ann":false}}"#;

/// Words, some of them common.
const WORDS: [&str; 12] = [
    "fox", "foxes", "quick", "brown", "lazy", "dog", "jumps", "jumping", "over", "river", "zebra",
    "of",
];

fn words(rng: &mut Rng, len: u64) -> String {
    let word = |rng: &mut Rng| {
        let (one, other) = (rng.index(WORDS.len()), rng.index(WORDS.len()));
        WORDS[one.min(other)]
    };
    (0..len).map(|_| word(rng)).collect::<Vec<_>>().join(" ")
}

/// A clock that stands still until it is told.
#[derive(Debug, Default)]
pub(crate) struct TestClock(Mutex<u64>);

impl TestClock {
    pub(crate) fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).expect("a short time");
        *self.0.lock().expect("no panic") += by;
    }

    pub(crate) fn now_ms(&self) -> u64 {
        *self.0.lock().expect("no panic")
    }
}

impl Clock for TestClock {
    fn now(&self) -> Instant {
        Instant(self.now_ms() * 1_000_000)
    }

    fn wall(&self) -> WallMs {
        WallMs(1_000_000 + self.now_ms())
    }
}

/// A version of a document.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) lsn: Lsn,
    pub(crate) expires_at: Option<WallMs>,
    pub(crate) document: Document,
}

/// A change as the log has it.
#[derive(Debug, Clone)]
pub(crate) enum Logged {
    Put { id: DocId, replaces: Lsn, stored: Stored },
    Delete { lsn: Lsn, replaces: Lsn },
}

impl Logged {
    pub(crate) fn lsn(&self) -> Lsn {
        match self {
            Self::Put { stored, .. } => stored.lsn,
            Self::Delete { lsn, .. } => *lsn,
        }
    }

    fn prepared(&self, preparer: &Preparer) -> Prepared {
        match self {
            Self::Put { id, replaces, stored } => {
                let lsns = (stored.lsn, *replaces);
                Prepared::put(preparer, id, lsns, stored.expires_at, &stored.document)
                    .expect("a document of the schema")
            }
            Self::Delete { lsn, replaces } => Prepared::Delete { lsn: *lsn, replaces: *replaces },
        }
    }
}

pub(crate) fn schema() -> Schema {
    let request = Json::parse(SCHEMA.as_bytes()).expect("JSON");
    Schema::new(Undeclared::Refuse).declare(request, None).expect("a schema").schema
}

pub(crate) fn preparer() -> Preparer {
    Preparer::new(Arc::new(schema()))
}

/// Small limits, so that a few documents are many segments.
pub(crate) fn options() -> Options {
    Options {
        memtable_bytes: 8 * 1024,
        unindexed_bytes_max: 64 * 1024,
        segments_max: 6,
        segment_bytes_min: 2 * 1024,
        ..Options::default()
    }
}

pub(crate) fn store(disk: DiskRef) -> StoreRef {
    Arc::new(LocalStore::open(disk, Path::new("/search")).expect("a store"))
}

pub(crate) fn backing(store: &StoreRef) -> Backing {
    let cache = Box::new(MemoryCache::new(4 * 1024 * 1024));
    Backing { store: Arc::clone(store), blocks: Blocks::new(cache, 0) }
}

pub(crate) fn environment(clock: &Arc<TestClock>, seed: u64) -> Environment {
    Environment {
        clock: Arc::clone(clock) as ClockRef,
        rng: Rng::new(seed),
        metrics: Arc::new(Metrics::new(&Registry::new()).expect("metrics")),
        record: None,
    }
}

/// Opens the index that is there, or makes one; then it has everything that the log has.
pub(crate) fn open(
    store: &StoreRef,
    clock: &Arc<TestClock>,
    seed: u64,
    log: &[Logged],
) -> Result<Index> {
    let opened = Index::open(backing(store), PLACE, schema(), options(), environment(clock, seed))?;
    let index = match opened {
        Some(index) => index,
        None => Index::create(
            backing(store),
            PLACE,
            (schema(), Lsn::ZERO),
            options(),
            environment(clock, seed),
        )?,
    };
    let applied = index.applied();
    let preparer = index.preparer();
    let behind = log.iter().filter(|change| change.lsn() > applied);
    index.apply(behind.map(|change| change.prepared(&preparer)).collect(), Lsn::ZERO);
    Ok(index)
}

/// The documents, the log, and what writes to both.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) documents: BTreeMap<DocId, Stored>,
    pub(crate) log: Vec<Logged>,
    lsn: Lsn,
    schema: Schema,
    /// How many ids there are to write to.
    ids: u64,
}

impl World {
    pub(crate) fn new(seed: u64, ids: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            clock: Arc::default(),
            documents: BTreeMap::new(),
            log: Vec::new(),
            lsn: Lsn::ZERO,
            schema: schema(),
            ids,
        }
    }

    pub(crate) fn now(&self) -> WallMs {
        self.clock.wall()
    }

    /// The last change.
    pub(crate) fn position(&self) -> Lsn {
        self.log.last().map_or(Lsn::ZERO, Logged::lsn)
    }

    /// Writes or deletes some documents; what the log then has more.
    pub(crate) fn write(&mut self) -> Vec<Logged> {
        let before = self.log.len();
        for _ in 0..=self.rng.below(12) {
            // Other collections have changes in between.
            self.lsn = self.lsn.plus(1 + self.rng.below(3));
            let id = self.id();
            let replaces = self.documents.get(&id).map_or(Lsn::ZERO, |stored| stored.lsn);
            if self.rng.chance(250) {
                self.log.push(Logged::Delete { lsn: self.lsn, replaces });
                self.documents.remove(&id);
            } else {
                let expires_at =
                    self.rng.chance(150).then(|| WallMs(self.now().0 + self.rng.below(200_000)));
                let stored = Stored { lsn: self.lsn, expires_at, document: self.document() };
                self.log.push(Logged::Put { id: id.clone(), replaces, stored: stored.clone() });
                self.documents.insert(id, stored);
            }
        }
        self.log[before..].to_vec()
    }

    pub(crate) fn prepared(&self, changes: &[Logged]) -> Vec<Prepared> {
        let preparer = preparer();
        changes.iter().map(|change| change.prepared(&preparer)).collect()
    }

    fn id(&mut self) -> DocId {
        match self.rng.below(self.ids) {
            id if id % 7 == 3 => DocId::string(&format!("id-{id}")).expect("an id"),
            id => DocId::U64(id),
        }
    }

    fn document(&mut self) -> Document {
        let rng = &mut self.rng;
        let mut members = Vec::new();
        let number = |rng: &mut Rng, bound: u64| i64::try_from(rng.below(bound)).expect("small");
        if rng.chance(850) {
            members.push(format!("\"n\":{}", number(rng, 12) - 4));
        }
        if rng.chance(800) {
            members.push(format!("\"f\":{}", number(rng, 64) as f64 / 8.0));
        }
        if rng.chance(800) {
            members.push(format!("\"s\":\"{}\"", ["red", "green", "blue", ""][rng.index(4)]));
        }
        if rng.chance(600) {
            let tags: Vec<&str> =
                (0..rng.below(4)).map(|_| ["\"x\"", "\"y\"", "\"z\""][rng.index(3)]).collect();
            members.push(format!("\"tags\":[{}]", tags.join(",")));
        }
        if rng.chance(400) {
            members.push(format!("\"a\":{{\"b\":\"2024-01-{:02}\"}}", 1 + rng.below(28)));
        }
        if rng.chance(850) {
            members.push(format!("\"v\":[{},{}]", number(rng, 9) - 4, number(rng, 9) - 4));
        }
        if rng.chance(500) {
            let (x, y, z) = (number(rng, 5) - 2, number(rng, 5) - 2, number(rng, 5) - 2);
            members.push(format!("\"w\":[{x},{y},{z}]"));
        }
        if rng.chance(800) {
            let len = 1 + rng.below(9);
            members.push(format!("\"t\":\"{}\"", words(rng, len)));
        }
        if rng.chance(300) {
            let (one, other) = (words(rng, 2), words(rng, 3));
            members.push(format!("\"u\":[\"{one}\",\"{other}\"]"));
        }
        let text = format!("{{{}}}", members.join(","));
        Document::parse(text.as_bytes()).expect("a document")
    }

    /// A query of any form.
    pub(crate) fn query(&mut self) -> String {
        let rng = &mut self.rng;
        let filters = [
            r#""filters":["n","Gte",2],"#,
            r#""filters":["s","In",["red","blue"]],"#,
            r#""filters":["And",[["tags","Contains","x"],["Not",["n","Eq",3]]]],"#,
            r#""filters":["Or",[["s","Eq",null],["f","Lt",1.5],["id","In",[3,4,"id-10"]]]],"#,
            r#""filters":["s","Glob","*e*"],"#,
            r#""filters":["a.b","Gt","2024-01-15"],"#,
            r#""filters":["tags","NotContainsAny",["y","z"]],"#,
            r#""filters":["t","ContainsAllTokens","jump fox"],"#,
            r#""filters":["Or",[["t","ContainsTokenSequence","quick brown"],["u","ContainsAnyToken","zebra lazy"]]],"#,
            "",
            "",
        ];
        let ranks = [
            r#""rank_by":["v","ANN",[1,-2]],"#,
            r#""rank_by":["v","kNN",[0.5,0]],"#,
            r#""rank_by":["w","kNN",[1,2,-1]],"#,
            r#""rank_by":["t","BM25","quick foxes river"],"#,
            r#""rank_by":["Sum",[["t","BM25","zebra jumps"],["Product",2,["u","BM25","dog"]]]],"#,
            r#""rank_by":["Sum",[["t","BM25","br",{"last_as_prefix":true}],["Attribute","f"]]],"#,
            r#""rank_by":["n","desc"],"#,
            r#""rank_by":[["s","asc"],["f","desc"]],"#,
            r#""rank_by":["Sum",[["Attribute","f"],["Product",2,["s","Eq","red"]]]],"#,
            "",
        ];
        let limits = [
            r#""limit":3"#,
            r#""limit":5,"offset":2"#,
            r#""limit":1000"#,
            r#""limit":{"total":6,"per":{"attributes":["s"],"limit":2}}"#,
            r#""limit":0"#,
        ];
        let numbers = [
            r#","aggregate_by":{"c":["Count"],"n":["Sum","n"],"m":["Max","f"]}"#,
            r#","aggregate_by":{"a":["Avg","n"],"x":["Min","a.b"],"t":["Count","tags"]},"group_by":["s"]"#,
            r#","facets":["tags",{"attribute":"n","limit":3}]"#,
            "",
            "",
        ];
        let pick = |rng: &mut Rng, texts: &[&'static str]| texts[rng.index(texts.len())];
        let (filter, rank) = (pick(rng, &filters), pick(rng, &ranks));
        format!("{{{filter}{rank}{}{}}}", pick(rng, &limits), pick(rng, &numbers))
    }

    /// What looking at all documents answers.
    pub(crate) fn expect(&self, query: &Query) -> Answer {
        let now = self.now();
        let visible =
            self.documents.iter().filter(|(_, stored)| stored.expires_at.is_none_or(|at| now < at));
        let documents = visible.map(|(id, stored)| (id.clone(), &stored.document));
        scan(&self.schema, query, documents, u64::MAX).expect("an answer")
    }

    /// Asks the index some queries, and follows their cursors to the end.
    pub(crate) fn check(&mut self, index: &Index, count: usize) {
        let snapshot = index.snapshot();
        for _ in 0..count {
            let text = self.query();
            let mut query = parse(&text);
            for page in 0.. {
                let found = snapshot.query(&query, self.now()).expect("an answer");
                let expect = self.expect(&query);
                let explained = format!("{text} page {page}\n{}", found.performance);
                assert_eq!(found.answer.rows, expect.rows, "{explained}");
                assert_eq!(found.answer.groups, expect.groups, "{explained}");
                assert_eq!(found.answer.facets, expect.facets, "{explained}");
                assert_eq!(found.answer.cursor, expect.cursor, "{explained}");
                assert_eq!(found.answer.work.matched, expect.work.matched, "{explained}");
                let Some(cursor) = expect.cursor else { break };
                query.offset = 0;
                query.cursor = Some(cursor);
                if page > 3 {
                    break;
                }
            }
        }
    }
}

pub(crate) fn parse(text: &str) -> Query {
    Query::parse(Json::parse(text.as_bytes()).expect("JSON")).expect(text)
}

/// Does everything that is due.
pub(crate) fn settle(index: &Index) -> Result<()> {
    while index.background_step()? == Step::Done {}
    Ok(())
}
