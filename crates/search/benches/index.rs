//! What do queries cost on an index of many documents, and what does it cost to apply changes to one: words,
//! filters, orders, expressions, aggregates, vectors, both at once, and upserts with and without words.
//!
//! The index is in one segment, which is read from a directory through a cache that holds all of it. 100,000
//! documents, or as many as `BENCH_ROWS` says.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;

use base::clock::{ClockRef, SystemClock, WallMs};
use base::document::Document;
use base::io::RealDisk;
use base::metrics::Registry;
use base::rng::Rng;
use base::words::{CollectionId, DatabaseId, DocId, Lsn};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use search::fusion::Fusion;
use search::index::{Backing, Environment, Index, Options, Prepared, Step};
use search::json::Json;
use search::manifest::Place;
use search::metrics::Metrics;
use search::query::Query;
use search::schema::{Schema, Undeclared};
use search::storage::cache::{Blocks, MemoryCache};
use search::storage::{LocalStore, StoreRef};

const SCHEMA: &str = r#"{"title":{"type":"string","full_text_search":true},"country":"string","age":"int",
    "price":"float","tags":"[]string","v":{"type":"[32]f32","distance_metric":"cosine_distance"}}"#;
const ATTRIBUTES: &str = r#"{"country":"string","age":"int","price":"float","tags":"[]string"}"#;
/// Different words of titles, some of them much commoner than others.
const WORDS: u64 = 20_000;
/// Documents that are applied together.
const BATCH: u64 = 1000;

fn schema(text: &str) -> Schema {
    let request = Json::parse(text.as_bytes()).expect("JSON");
    Schema::new(Undeclared::Ignore).declare(request, None).expect("a schema").schema
}

fn document(rng: &mut Rng) -> Document {
    let word = |rng: &mut Rng| {
        // The less of three draws is about as skewed as words are.
        let draw = rng.below(WORDS).min(rng.below(WORDS)).min(rng.below(WORDS));
        format!("w{draw}")
    };
    let title: Vec<String> = (0..8 + rng.below(8)).map(|_| word(rng)).collect();
    let vector: Vec<String> =
        (0..32).map(|_| (rng.below(2001) as f64 / 1000.0 - 1.0).to_string()).collect();
    let text = format!(
        r#"{{"title":"{}","country":"c{}","age":{},"price":{},"tags":["t{}","t{}"],"v":[{}]}}"#,
        title.join(" "),
        rng.below(97),
        rng.below(80),
        rng.below(100_000) as f64 / 100.0,
        rng.below(1000),
        rng.below(13),
        vector.join(","),
    );
    Document::parse(text.as_bytes()).expect("a document")
}

fn rows() -> u64 {
    std::env::var("BENCH_ROWS").map_or(100_000, |text| text.parse().expect("a number"))
}

/// An index in a directory, and where it is.
struct World {
    index: Index,
    clock: ClockRef,
    lsn: Lsn,
    _dir: tempfile::TempDir,
}

impl World {
    fn new(declared: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = LocalStore::open(RealDisk::shared(), &dir.path().join("store"));
        let store: StoreRef = Arc::new(store.expect("a store"));
        let cache = Box::new(MemoryCache::new(4 << 30));
        let backing = Backing { store, blocks: Blocks::new(cache, 0) };
        let clock: ClockRef = SystemClock::shared();
        let environment = Environment {
            clock: Arc::clone(&clock),
            rng: Rng::new(1),
            metrics: Arc::new(Metrics::new(&Registry::new()).expect("metrics")),
            record: None,
        };
        let place =
            Place { database: DatabaseId::from_bytes([1; 16]), collection: CollectionId(1) };
        let at = (schema(declared), Lsn::ZERO);
        let index = Index::create(backing, place, at, options(), environment).expect("an index");
        Self { index, clock, lsn: Lsn::ZERO, _dir: dir }
    }

    fn fill(&mut self, rows: u64) {
        let mut rng = Rng::new(7);
        while self.lsn.0 < rows {
            let some: Vec<Prepared> = (0..BATCH).map(|_| self.prepared(&mut rng)).collect();
            self.index.apply(some, Lsn::ZERO);
        }
        while self.index.background_step().expect("a step") == Step::Done {}
    }

    fn prepared(&mut self, rng: &mut Rng) -> Prepared {
        self.lsn = self.lsn.next();
        let (id, preparer) = (DocId::U64(self.lsn.0), self.index.preparer());
        let put = Prepared::put(&preparer, &id, (self.lsn, Lsn::ZERO), None, &document(rng));
        put.expect("it fits the schema")
    }

    fn now(&self) -> WallMs {
        self.clock.wall()
    }
}

fn options() -> Options {
    Options {
        memtable_bytes: 256 << 20,
        unindexed_bytes_max: 1 << 30,
        segment_bytes_min: 1 << 30,
        flush_after: std::time::Duration::ZERO,
        compact_every: std::time::Duration::ZERO,
        ..Options::default()
    }
}

fn parse(text: &str) -> Query {
    Query::parse(Json::parse(text.as_bytes()).expect("JSON")).expect("a query")
}

const QUERIES: &[(&str, &str)] = &[
    ("text_one_rare", r#"{"rank_by":["title","BM25","w9000"],"limit":10}"#),
    ("text_three_common", r#"{"rank_by":["title","BM25","w1 w20 w300"],"limit":10}"#),
    ("text_all", r#"{"rank_by":["title","BM25","w1 w20",{"match":"all"}],"limit":10}"#),
    ("text_phrase", r#"{"rank_by":["title","BM25","w1 w2",{"match":"phrase"}],"limit":10}"#),
    (
        "text_two_of_expression",
        r#"{"rank_by":["Sum",[["title","BM25","w1 w20"],["Product",0.01,["Attribute","price"]]]],"limit":10}"#,
    ),
    (
        "text_filtered",
        r#"{"rank_by":["title","BM25","w1 w20 w300"],"filters":["country","Eq","c7"],"limit":10}"#,
    ),
    ("filter_one_percent", r#"{"filters":["country","Eq","c7"],"limit":10}"#),
    (
        "filter_and",
        r#"{"filters":["And",[["age","Lt",40],["tags","Contains","t5"],["price","Gte",500]]],"limit":10}"#,
    ),
    ("filter_words", r#"{"filters":["title","ContainsAllTokens","w1 w20"],"limit":10}"#),
    ("order_by_price", r#"{"rank_by":["price","desc"],"limit":10}"#),
    (
        "order_by_expression",
        r#"{"rank_by":["Sum",[["Attribute","age"],["Product",100,["country","Eq","c7"]]]],"limit":10}"#,
    ),
    ("aggregate_sum", r#"{"aggregate_by":{"n":["Count"],"sum":["Sum","price"]}}"#),
    (
        "aggregate_grouped",
        r#"{"aggregate_by":{"n":["Count"],"avg":["Avg","price"]},"group_by":["country"]}"#,
    ),
    ("facets", r#"{"facets":["tags","country"],"filters":["age","Lt",40]}"#),
];

fn vector(search: &str, filter: &str) -> String {
    let floats: Vec<String> = (0..32).map(|n| (f64::from(n) / 32.0 - 0.4).to_string()).collect();
    format!(r#"{{"rank_by":["v","{search}",[{}]],{filter}"limit":10}}"#, floats.join(","))
}

fn queries(criterion: &mut Criterion) {
    let mut world = World::new(SCHEMA);
    world.fill(rows());
    let snapshot = world.index.snapshot();
    let now = world.now();
    let mut group = criterion.benchmark_group("query");
    let mut bench = |name: &str, text: &str| {
        let query = parse(text);
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(snapshot.query(&query, now)).expect("an answer"));
        });
    };
    QUERIES.iter().for_each(|(name, text)| bench(name, text));
    bench("vector_ann", &vector("ANN", ""));
    bench("vector_ann_filtered", &vector("ANN", r#""filters":["age","Lt",40],"#));
    bench("vector_ann_filtered_few", &vector("ANN", r#""filters":["country","Eq","c7"],"#));
    bench("vector_knn", &vector("kNN", ""));
    let hybrid = [
        parse(r#"{"rank_by":["title","BM25","w1 w20 w300"],"limit":100}"#),
        parse(&vector("ANN", "").replace("\"limit\":10", "\"limit\":100")),
    ];
    let fusion = Fusion::ReciprocalRank { rank_constant: 60.0, weights: Vec::new() };
    group.bench_function("hybrid", |bencher| {
        bencher
            .iter(|| black_box(snapshot.fused(&hybrid, &fusion, (10, 0), now)).expect("an answer"));
    });
    group.finish();
}

fn upserts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("upsert");
    group.sample_size(20);
    for (name, declared) in [("everything", SCHEMA), ("attributes", ATTRIBUTES)] {
        for batch in [1, 1000] {
            group.throughput(Throughput::Elements(batch));
            group.bench_function(format!("{name}/{batch}"), |bencher| {
                let (world, last) = (World::new(declared), Cell::new(0));
                let mut rng = Rng::new(3);
                let documents: Vec<Document> = (0..batch).map(|_| document(&mut rng)).collect();
                bencher.iter_batched(
                    || {
                        // What is in memory must not grow without end.
                        while world.index.flush_step().expect("a flush") == Step::Done {}
                        last.replace(last.get() + batch)
                    },
                    |from: u64| {
                        let preparer = world.index.preparer();
                        let put = |(n, document): (u64, &Document)| {
                            let lsn = Lsn(from + n);
                            let id = DocId::U64(lsn.0);
                            Prepared::put(&preparer, &id, (lsn, Lsn::ZERO), None, document)
                                .expect("it fits the schema")
                        };
                        let some = (1..).zip(&documents).map(put).collect();
                        world.index.apply(some, Lsn::ZERO);
                    },
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, queries, upserts);
criterion_main!(benches);
