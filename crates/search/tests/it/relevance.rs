//! Relevance of words and vectors together on a judged collection: that of comparing every vector and asking one plain
//! tantivy index, fused by rank. And filters: they cost none of the rows that they let through.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base::clock::{SystemClock, WallMs};
use base::document::Document;
use base::io::RealDisk;
use base::metrics::Registry;
use base::rng::Rng;
use base::words::{DocId, Lsn};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use search::fusion::Fusion;
use search::index::{Environment, Index, Options, Prepared, Snapshot, Step, Way};
use search::metrics::Metrics;
use search::storage::cache::{Blocks, MemoryCache};
use search::storage::{LocalStore, StoreRef};
use search::value::Value;

use crate::text::{Plain, schema};
use crate::vaswani::{Collection, ndcg, vectors};
use crate::world::{PLACE, parse};

/// Rows of each list that are fused.
const DEPTH: usize = 100;
/// The rows of a filter have a number below this, of so many.
const DRAWS: u64 = 1000;
const NOW: WallMs = WallMs(1_700_000_000_000);

/// The collection in an index, in a plain one, and as it is.
struct Judged {
    collection: Collection,
    documents: Vec<Vec<f32>>,
    queries: Vec<Vec<f32>>,
    /// What a filter asks of each document.
    draws: BTreeMap<u64, u64>,
    plain: Plain,
    index: Index,
    _directory: tempfile::TempDir,
}

/// A third in one segment, a third in another, a third in memory.
fn judged() -> Option<Judged> {
    let collection = Collection::load()?;
    let (documents, queries) = (vectors("docs_f16.npy")?, vectors("queries_f16.npy")?);
    assert_eq!(
        (documents.len(), queries.len()),
        (collection.documents.len(), collection.queries.len())
    );
    let directory = tempfile::tempdir().expect("a directory");
    let store = LocalStore::open(RealDisk::shared(), &directory.path().join("store"));
    let store: StoreRef = Arc::new(store.expect("a store"));
    let blocks = Blocks::new(Box::new(MemoryCache::new(64 << 20)), 0);
    let environment = Environment {
        clock: SystemClock::shared(),
        rng: Rng::new(1),
        metrics: Arc::new(Metrics::new(&Registry::new()).expect("metrics")),
        record: None,
    };
    let options = Options {
        memtable_bytes: 1 << 30,
        unindexed_bytes_max: 1 << 30,
        flush_after: Duration::ZERO,
        ..Options::default()
    };
    let declared = schema(
        r#"{"t":{"type":"string","full_text_search":{"stemming":true,"tokenizer":"word_v0"}},
            "draw":"int","v":{"type":"[384]f32","distance_metric":"cosine_distance"}}"#,
    );
    let backing = search::index::Backing { store, blocks };
    let index = Index::create(backing, PLACE, (declared, Lsn::ZERO), options, environment);
    let index = index.expect("an index");
    let (preparer, mut rng, mut draws) = (index.preparer(), Rng::new(5), BTreeMap::new());
    let all: Vec<_> = (1..).zip(collection.documents.iter().zip(&documents)).collect();
    for third in all.chunks(all.len().div_ceil(3)) {
        // What is in memory goes into a segment before more comes.
        while index.flush_step().expect("a flush") == Step::Done {}
        let prepared = third.iter().map(|(lsn, ((id, text), vector))| {
            let draw = rng.below(DRAWS);
            draws.insert(*id, draw);
            let vector = encoded(vector);
            let document = format!(r#"{{"t":"{text}","draw":{draw},"v":"{vector}"}}"#);
            let document = Document::parse(document.as_bytes()).expect("a document");
            let lsns = (Lsn(*lsn), Lsn::ZERO);
            Prepared::put(&preparer, &DocId::U64(*id), lsns, None, &document).expect("it fits")
        });
        index.apply(prepared.collect(), Lsn::ZERO);
    }
    assert_eq!((index.status().segments, index.status().rows), (2, all.len() as u64));
    let plain = Plain::new(collection.documents.iter().map(|(id, text)| (*id, &**text)));
    Some(Judged { collection, documents, queries, draws, plain, index, _directory: directory })
}

fn encoded(vector: &[f32]) -> String {
    STANDARD.encode(vector.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())
}

impl Judged {
    /// Each query that was judged: its text, its vector and the documents that are right.
    fn asked(&self) -> impl Iterator<Item = (&str, &[f32], &BTreeSet<u64>)> {
        let queries = self.collection.queries.iter().zip(&self.queries);
        queries.filter_map(|((id, text), vector)| {
            Some((&**text, &**vector, self.collection.relevant.get(id)?))
        })
    }

    fn passes(&self, id: u64, below: u64) -> bool {
        self.draws[&id] < below
    }

    /// The nearest by comparing all, of those that pass.
    fn nearest(&self, vector: &[f32], below: u64, k: usize) -> Vec<u64> {
        let squared = |a: &[f32]| a.iter().map(|x| x * x).sum::<f32>();
        let mut all: Vec<(f32, u64)> = self
            .collection
            .documents
            .iter()
            .zip(&self.documents)
            .filter(|((id, _), _)| self.passes(*id, below))
            .map(|((id, _), row)| {
                let dot: f32 = row.iter().zip(vector).map(|(a, b)| a * b).sum();
                (1.0 - dot / (squared(row) * squared(vector)).sqrt(), *id)
            })
            .collect();
        all.sort_by(|(a, a_id), (b, b_id)| a.total_cmp(b).then(a_id.cmp(b_id)));
        all.into_iter().take(k).map(|(_, id)| id).collect()
    }

    /// The best of the plain index, of those that pass.
    fn best(&self, text: &str, below: u64, k: usize) -> Vec<(u64, f32)> {
        let all = self.plain.any(text, self.documents.len());
        all.into_iter().filter(|(id, _)| self.passes(*id, below)).take(k).collect()
    }

    /// The first ten of both lists together.
    fn reference(&self, text: &str, vector: &[f32], below: u64) -> Vec<u64> {
        let words = self.best(text, below, DEPTH).into_iter().map(|(id, _)| id).collect();
        let mut scores: BTreeMap<u64, f64> = BTreeMap::new();
        for list in [words, self.nearest(vector, below, DEPTH)] {
            for (rank, id) in (1..).zip(list) {
                *scores.entry(id).or_default() += 1.0 / (60.0 + f64::from(rank));
            }
        }
        let mut fused: Vec<(u64, f64)> = scores.into_iter().collect();
        fused.sort_by(|(a_id, a), (b_id, b)| b.total_cmp(a).then(a_id.cmp(b_id)));
        fused.into_iter().take(10).map(|(id, _)| id).collect()
    }
}

fn filter(below: u64) -> String {
    if below == DRAWS { String::new() } else { format!(r#""filters":["draw","Lt",{below}],"#) }
}

fn by_words(text: &str, below: u64, limit: usize) -> String {
    format!(r#"{{"rank_by":["t","BM25","{text}"],{}"limit":{limit}}}"#, filter(below))
}

fn by_vector(search: &str, vector: &[f32], below: u64, limit: usize) -> String {
    let (vector, filter) = (encoded(vector), filter(below));
    format!(r#"{{"rank_by":["v","{search}","{vector}"],{filter}"limit":{limit}}}"#)
}

fn number(id: &Value) -> u64 {
    match id {
        Value::Uint(id) => *id,
        Value::Int(_)
        | Value::Float(_)
        | Value::Bool(_)
        | Value::String(_)
        | Value::Uuid(_)
        | Value::DateTime(_)
        | Value::Array(_) => panic!("{id:?}"),
    }
}

/// The ids of an answer and its numbers.
fn rows(snapshot: &Snapshot, way: Way, query: &str) -> Vec<(u64, f64)> {
    let found = snapshot.query_by(way, &parse(query), NOW).expect("an answer").answer.rows;
    found.iter().map(|row| (number(&row.id), row.dist.expect("a number"))).collect()
}

#[test]
fn words_and_vectors_together_are_as_relevant_as_an_exact_reference() {
    let Some(judged) = judged() else { return };
    let snapshot = judged.index.snapshot();
    let fusion = Fusion::ReciprocalRank { rank_constant: 60.0, weights: Vec::new() };
    let (mut exact, mut approximate, mut reference, mut count) = (0.0, 0.0, 0.0, 0.0);
    for (text, vector, relevant) in judged.asked() {
        let fused = |search: &str| -> f64 {
            let words = parse(&by_words(text, DRAWS, DEPTH));
            let vectors = parse(&by_vector(search, vector, DRAWS, DEPTH));
            let (fused, _) =
                snapshot.fused(&[words, vectors], &fusion, (10, 0), NOW).expect("an answer");
            ndcg(&fused.iter().map(|row| number(&row.id)).collect::<Vec<_>>(), relevant)
        };
        exact += fused("kNN");
        approximate += fused("ANN");
        reference += ndcg(&judged.reference(text, vector, DRAWS), relevant);
        count += 1.0;
    }
    let [exact, approximate, reference] = [exact, approximate, reference].map(|sum| sum / count);
    let found = format!("nDCG@10 kNN {exact:.5}, ANN {approximate:.5}, reference {reference:.5}");
    assert!((exact - reference).abs() < 0.001, "{found}");
    assert!((approximate - reference).abs() < 0.001, "{found}");
    assert!(reference > 0.47, "{found}");
}

#[test]
fn a_filter_costs_none_of_the_rows_that_it_lets_through() {
    let Some(judged) = judged() else { return };
    let snapshot = judged.index.snapshot();
    for below in [DRAWS, DRAWS / 2, DRAWS / 10, DRAWS / 100, DRAWS / 1000] {
        let (mut found, mut wanted) = (0, 0);
        for (text, vector, _) in judged.asked() {
            let expect = judged.best(text, below, 10);
            for way in [Way::Planned, Way::Rows, Way::Index] {
                let hits = rows(&snapshot, way, &by_words(text, below, 10));
                assert_eq!(hits.len(), expect.len(), "{text} below {below}, {way:?}");
                for ((_, score), (_, other)) in hits.iter().zip(&expect) {
                    assert!((score - f64::from(*other)).abs() < 1e-4, "{text}: {score} {other}");
                }
            }
            let expect = judged.nearest(vector, below, 10);
            let all = |search: &str| -> Vec<u64> {
                let hits = rows(&snapshot, Way::Planned, &by_vector(search, vector, below, 10));
                hits.into_iter().map(|(id, _)| id).collect()
            };
            assert_eq!(all("kNN"), expect, "{text} below {below}");
            let hits = all("ANN");
            assert_eq!(hits.len(), expect.len(), "{text} below {below}");
            assert!(hits.iter().all(|id| judged.passes(*id, below)), "{text} below {below}");
            wanted += expect.len();
            found += expect.iter().filter(|id| hits.contains(id)).count();
        }
        let recall = found as f64 / wanted as f64;
        assert!(recall >= 0.95, "recall {recall} of those below {below}");
    }
}
