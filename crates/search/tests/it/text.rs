//! Text found and ranked, however its rows are spread over memory and segments: the same as one plain index of
//! the live documents, and as looking at every document.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::document::Document;
use base::rng::Rng;
use base::words::DocId;
use roaring::RoaringBitmap;
use search::exhaustive::scan;
use search::json::Json;
use search::query::Query;
use search::rank::Rank;
use search::schema::{Row, Schema, Undeclared};
use search::text::{
    DROPPED, Hit, Input, Leaf, Memory, Part, Prepared, Reader, Snapshot, Statistics, TextQuery,
    Texts, Weights, Written, merge, search,
};
use search::value::Value;
use search::vector::ReadRanges;
use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, Occur, PhraseQuery, Query as PlainQuery, TermQuery};
use tantivy::schema::{
    Field, IndexRecordOption, STORED, TextFieldIndexing, TextOptions, Value as _,
};
use tantivy::tokenizer::{
    Language, LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer, StopWordFilter, TextAnalyzer,
};
use tantivy::{Index, TantivyDocument, Term};

pub(crate) const IDENTITY: [u8; 16] = *b"a file of words.";

/// A file in memory that counts its round trips.
#[derive(Debug, Default)]
pub(crate) struct Bytes {
    pub(crate) bytes: Vec<u8>,
    pub(crate) trips: AtomicU64,
}

impl ReadRanges for Bytes {
    fn read(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Vec<u8>>> {
        self.trips.fetch_add(1, Ordering::Relaxed);
        let place = |at: u64| usize::try_from(at).expect("a place in memory");
        let part = |range: &Range<u64>| {
            let part = self.bytes.get(place(range.start)..place(range.end));
            part.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        };
        ranges.iter().map(part).collect()
    }
}

pub(crate) fn schema(text: &str) -> Schema {
    let request = Json::parse(text.as_bytes()).expect("JSON");
    Schema::new(Undeclared::Refuse).declare(request, None).expect("a schema").schema
}

pub(crate) fn row(schema: &Schema, id: u64, document: &str) -> Row {
    let document = Document::parse(document.as_bytes()).expect("a document");
    schema.row(&DocId::U64(id), &document).expect("a row")
}

/// The text query that a rank expression is.
pub(crate) fn compile(schema: &Schema, text: &str) -> TextQuery {
    let rank = Rank::parse(Json::parse(text.as_bytes()).expect("JSON")).expect("an expression");
    let Rank::Text(text) = rank else { panic!("{rank:?}") };
    text.compile(schema).expect("a query")
}

pub(crate) fn opened(bytes: Vec<u8>, written: Written) -> Reader {
    let bytes = Arc::new(Bytes { bytes, ..Bytes::default() });
    Reader::open(bytes, &IDENTITY, written).expect("a file")
}

/// Where some documents are.
enum Place {
    Memory(Snapshot),
    File(Box<Reader>),
}

/// A part of a namespace, with the ids of its rows and those that are alive.
struct Shard {
    place: Place,
    ids: Vec<u64>,
    live: RoaringBitmap,
}

impl Shard {
    fn part(&self) -> Part<'_> {
        match &self.place {
            Place::Memory(snapshot) => Part::Memory(snapshot),
            Place::File(reader) => Part::File(reader),
        }
    }
}

/// Documents, some of them dead, spread over parts.
struct World {
    schema: Schema,
    /// The documents that are alive.
    live: BTreeMap<u64, String>,
    shards: Vec<Shard>,
}

/// Words of which some are common, some rare, and some alike.
const WORDS: [&str; 24] = [
    "fox",
    "foxes",
    "the",
    "quick",
    "quickly",
    "brown",
    "bear",
    "beers",
    "jumping",
    "jumped",
    "over",
    "lazy",
    "dog",
    "dogs",
    "running",
    "runner",
    "and",
    "connection",
    "connected",
    "station",
    "stations",
    "night",
    "nights",
    "x",
];

fn sentence(rng: &mut Rng) -> String {
    let words = if rng.below(40) == 0 { 700 } else { rng.index(30) };
    let word = |rng: &mut Rng| WORDS[rng.index(WORDS.len()).min(rng.index(WORDS.len()))];
    (0..words).map(|_| word(rng)).collect::<Vec<_>>().join(" ")
}

fn document(rng: &mut Rng) -> String {
    let mut members = Vec::new();
    if rng.below(10) > 0 {
        members.push(format!("\"t\":\"{}\"", sentence(rng)));
    }
    if rng.below(3) == 0 {
        let elements: Vec<String> =
            (0..rng.index(4)).map(|_| format!("\"{}\"", sentence(rng))).collect();
        members.push(format!("\"list\":[{}]", elements.join(",")));
    }
    format!("{{{}}}", members.join(","))
}

impl World {
    fn new(options: &str, documents: u64, seed: u64) -> Self {
        let schema = schema(&format!(
            r#"{{"t":{{"type":"string","full_text_search":{options}}},
                "list":{{"type":"[]string","full_text_search":{options}}}}}"#
        ));
        let (texts, mut rng) = (Texts::new(&schema), Rng::new(seed));
        let mut world = Self { schema, live: BTreeMap::new(), shards: Vec::new() };
        let mut id = 0;
        while id < documents {
            let memory = Memory::new();
            let (mut ids, mut live) = (Vec::new(), RoaringBitmap::new());
            for _ in 0..=rng.below(documents / 2) {
                id += 1;
                let text = document(&mut rng);
                let tokens = texts.analyze(&row(&world.schema, id, &text));
                let number = memory.append(&tokens).expect("room");
                ids.push(id);
                if rng.below(4) > 0 {
                    live.insert(number);
                    world.live.insert(id, text);
                }
            }
            let place = if rng.below(3) == 0 {
                Place::Memory(memory.snapshot())
            } else {
                // What a flush does: all rows, in their order.
                let snapshot = memory.snapshot();
                let to: Vec<u32> = (0..snapshot.rows()).collect();
                let input = Input { part: Part::Memory(&snapshot), to: &to };
                let (bytes, written) = merge(&IDENTITY, &[input], snapshot.rows()).expect("a file");
                Place::File(opened(bytes, written).into())
            };
            world.shards.push(Shard { place, ids, live });
        }
        world
    }

    /// Makes one segment of all parts: dead rows are dropped, and the others go to places of their own.
    fn merged(&self, rng: &mut Rng) -> Shard {
        let rows = u32::try_from(self.live.len()).expect("few");
        // Every live row takes the next place that is free from a random one on.
        let mut places: Vec<u32> = (0..rows + 3).collect();
        for at in (1..places.len()).rev() {
            places.swap(at, rng.index(at + 1));
        }
        let mut ids = vec![0; places.len()];
        let mut live = RoaringBitmap::new();
        let mut maps = Vec::new();
        for shard in &self.shards {
            let map = (0..).zip(&shard.ids).map(|(number, id)| {
                if !shard.live.contains(number) {
                    return DROPPED;
                }
                let to = places.pop().expect("a place for each");
                ids[to as usize] = *id;
                live.insert(to);
                to
            });
            maps.push(map.collect::<Vec<u32>>());
        }
        let inputs: Vec<Input<'_>> = self
            .shards
            .iter()
            .zip(&maps)
            .map(|(shard, to)| Input { part: shard.part(), to })
            .collect();
        let (bytes, written) = merge(&IDENTITY, &inputs, rows + 3).expect("a file");
        Shard { place: Place::File(opened(bytes, written).into()), ids, live }
    }
}

/// A query prepared on every part, with the weights that all of them together give.
struct Asked {
    prepared: Vec<Prepared>,
    weights: Weights,
}

fn ask(shards: &[Shard], query: &TextQuery) -> Asked {
    let prepared: Vec<Prepared> =
        shards.iter().map(|shard| shard.part().prepare(query).expect("postings")).collect();
    let mut statistics = Statistics::none(query);
    for (prepared, shard) in prepared.iter().zip(shards) {
        statistics.add(&prepared.statistics(Some(&shard.live)));
    }
    let weights = query.weigh(&statistics);
    Asked { prepared, weights }
}

/// The score of every live document that matches, found by searching each part.
fn searched(shards: &[Shard], query: &TextQuery) -> BTreeMap<u64, f32> {
    let asked = ask(shards, query);
    let mut found = BTreeMap::new();
    for (prepared, shard) in asked.prepared.iter().zip(shards) {
        let leaf = Leaf { prepared, weights: &asked.weights, boost: 1.0 };
        let hits = search(&[leaf], 10_000, Some(&shard.live));
        assert!(hits.is_sorted(), "the best come first");
        check_other_ways(prepared, &asked.weights, shard, &hits);
        found.extend(hits.into_iter().map(|hit| (shard.ids[hit.row as usize], hit.score)));
    }
    found
}

/// The same rows are found by all ways of asking.
fn check_other_ways(prepared: &Prepared, weights: &Weights, shard: &Shard, hits: &[Hit]) {
    let leaf = Leaf { prepared, weights, boost: 1.0 };
    let mut found: BTreeMap<u32, f32> = hits.iter().map(|hit| (hit.row, hit.score)).collect();
    let matches = prepared.matches() & &shard.live;
    assert!(matches.iter().eq(found.keys().copied()));
    let scores = prepared.scores(weights, &shard.live);
    for (row, score) in shard.live.iter().zip(scores) {
        assert_eq!(found.get(&row).copied(), score, "row {row}");
    }
    let first = search(&[leaf], 3, Some(&shard.live));
    let last = hits.get(2).map_or(0.0, |last| last.score);
    assert!(first.iter().eq(hits.iter().take_while(|hit| hit.score >= last)));
    // Of few rows that are allowed each is looked at by itself.
    let few: RoaringBitmap = shard.live.iter().step_by(37).collect();
    found.retain(|row, _| few.contains(*row));
    let hits = search(&[leaf], 10_000, Some(&few));
    assert_eq!(hits.into_iter().map(|hit| (hit.row, hit.score)).collect::<BTreeMap<_, _>>(), found);
}

/// What looking at every live document finds.
fn exhaustive(world: &World, rank_by: &str) -> BTreeMap<u64, f64> {
    let documents: Vec<(DocId, Document)> = world
        .live
        .iter()
        .map(|(id, text)| (DocId::U64(*id), Document::parse(text.as_bytes()).expect("a document")))
        .collect();
    let text = format!("{{\"rank_by\":{rank_by},\"limit\":10000}}");
    let query = Query::parse(Json::parse(text.as_bytes()).expect("JSON")).expect("a query");
    let rows = documents.iter().map(|(id, document)| (id.clone(), document));
    let answer = scan(&world.schema, &query, rows, u64::MAX).expect("an answer");
    let id = |value: &Value| if let Value::Uint(id) = value { *id } else { panic!("{value:?}") };
    answer.rows.iter().map(|found| (id(&found.id), found.dist.expect("a score"))).collect()
}

const QUERIES: [&str; 16] = [
    r#"["t","BM25","quick fox"]"#,
    r#"["t","BM25","the quick quick fox and nothing"]"#,
    r#"["t","BM25","running station",{"match":"all"}]"#,
    r#"["t","BM25","quick fox",{"match":"phrase"}]"#,
    r#"["t","BM25","fox the quick",{"match":"phrase"}]"#,
    r#"["t","BM25","quick fo",{"match":"phrase","last_as_prefix":true}]"#,
    r#"["t","BM25","dog con",{"last_as_prefix":true}]"#,
    r#"["t","BM25","nigths runing",{"max_edit_distance":2}]"#,
    r#"["t","BM25","quick bear",{"match":"phrase","max_edit_distance":1}]"#,
    r#"["t","BM25","+fox -dog lazy",{"match":"boolean"}]"#,
    r#"["t","BM25","-\"quick fox\" +st* over \"brown bear\" jumpin~1",{"match":"boolean"}]"#,
    r#"["t","BM25","-fox",{"match":"boolean"}]"#,
    r#"["t","BM25","nowhere"]"#,
    r#"["t","BM25",""]"#,
    r#"["list","BM25","fox bear"]"#,
    r#"["list","BM25",["quick","brown bear"],{"match":"phrase"}]"#,
];

#[test]
fn every_split_into_parts_scores_to_the_last_bit_as_looking_at_every_document() {
    let options = [
        "true",
        r#"{"stemming":true,"tokenizer":"word_v0"}"#,
        r#"{"remove_stopwords":false,"k1":0.4,"b":0.1,"case_sensitive":true}"#,
        r#"{"k1":0,"b":1}"#,
    ];
    for (seed, options) in (0..12).zip(options.iter().cycle()) {
        let world = World::new(options, 60 + 40 * seed, seed);
        let merged = [world.merged(&mut Rng::new(seed))];
        for text in QUERIES {
            let query = compile(&world.schema, text);
            let expect = exhaustive(&world, text);
            for shards in [&world.shards[..], &merged] {
                let found = searched(shards, &query).into_iter();
                let found: BTreeMap<u64, f64> =
                    found.map(|(id, score)| (id, f64::from(score))).collect();
                assert_eq!(found, expect, "seed {seed}, {} parts, {text}", shards.len());
            }
        }
    }
}

#[test]
fn several_texts_are_added_up_with_their_weights() {
    let world = World::new("true", 300, 7);
    let whole = r#"["Sum",[["t","BM25","quick fox"],["Product",2.5,["list","BM25","fox"]]]]"#;
    let expect = exhaustive(&world, whole);
    let queries = [r#"["t","BM25","quick fox"]"#, r#"["list","BM25","fox"]"#];
    let queries = queries.map(|text| compile(&world.schema, text));
    let asked = queries.each_ref().map(|query| ask(&world.shards, query));
    let mut found = BTreeMap::new();
    for (index, shard) in world.shards.iter().enumerate() {
        let leaves = [0, 1].map(|text: usize| Leaf {
            prepared: &asked[text].prepared[index],
            weights: &asked[text].weights,
            boost: [1.0, 2.5][text],
        });
        let hits = search(&leaves, 10_000, Some(&shard.live));
        let few: RoaringBitmap = shard.live.iter().step_by(41).collect();
        let of_few = search(&leaves, 10_000, Some(&few));
        assert_eq!(
            of_few,
            hits.iter().copied().filter(|hit| few.contains(hit.row)).collect::<Vec<_>>()
        );
        found.extend(
            hits.into_iter().map(|hit| (shard.ids[hit.row as usize], f64::from(hit.score))),
        );
    }
    assert!(found.keys().eq(expect.keys()) && found.len() > 50);
    for (id, score) in found {
        assert!((score - expect[&id]).abs() < 1e-5, "{id}: {score} {}", expect[&id]);
    }
}

/// One plain index of texts.
pub(crate) struct Plain {
    index: Index,
    id: Field,
    text: Field,
}

impl Plain {
    pub(crate) fn new<'a>(texts: impl IntoIterator<Item = (u64, &'a str)>) -> Self {
        let mut builder = tantivy::schema::Schema::builder();
        let id = builder.add_u64_field("id", STORED);
        let indexing = TextFieldIndexing::default()
            .set_tokenizer("english")
            .set_index_option(IndexRecordOption::WithFreqsAndPositions);
        let text =
            builder.add_text_field("text", TextOptions::default().set_indexing_options(indexing));
        let index = Index::create_in_ram(builder.build());
        index.tokenizers().register("english", Self::analyzer());
        let mut writer = index.writer_with_num_threads(1, 50_000_000).expect("a writer");
        for (number, words) in texts {
            let mut document = TantivyDocument::new();
            document.add_u64(id, number);
            document.add_text(text, words);
            writer.add_document(document).expect("room");
        }
        writer.commit().expect("a commit");
        Self { index, id, text }
    }

    fn analyzer() -> TextAnalyzer {
        TextAnalyzer::builder(SimpleTokenizer::default())
            .filter(RemoveLongFilter::limit(40))
            .filter(LowerCaser)
            .filter(StopWordFilter::new(Language::English).expect("known"))
            .filter(Stemmer::new(Language::English))
            .build()
    }

    fn terms(&self, text: &str) -> Vec<(usize, Term)> {
        let mut analyzer = Self::analyzer();
        let mut stream = analyzer.token_stream(text);
        let mut terms = Vec::new();
        while let Some(token) = stream.next() {
            terms.push((token.position, Term::from_field_text(self.text, &token.text)));
        }
        terms
    }

    /// Ids and scores for any of the words, the best first.
    pub(crate) fn any(&self, text: &str, k: usize) -> Vec<(u64, f32)> {
        let clauses = self.terms(text).into_iter().map(|(_, term)| {
            let query = TermQuery::new(term, IndexRecordOption::WithFreqs);
            (Occur::Should, Box::new(query) as Box<dyn PlainQuery>)
        });
        self.run(&BooleanQuery::new(clauses.collect()), k)
    }

    fn phrase(&self, text: &str) -> Vec<(u64, f32)> {
        self.run(&PhraseQuery::new_with_offset(self.terms(text)), 10_000)
    }

    fn run(&self, query: &dyn PlainQuery, k: usize) -> Vec<(u64, f32)> {
        let searcher = self.index.reader().expect("a reader").searcher();
        let hits = searcher.search(query, &TopDocs::with_limit(k).order_by_score()).expect("hits");
        let id = |address| {
            let document: TantivyDocument = searcher.doc(address).expect("a document");
            document.get_first(self.id).and_then(|id| id.as_u64()).expect("an id")
        };
        hits.into_iter().map(|(score, address)| (id(address), score)).collect()
    }
}

#[test]
fn scores_are_those_of_one_plain_index_of_the_live_documents() {
    for seed in 20..26 {
        let options = r#"{"stemming":true,"tokenizer":"word_v0"}"#;
        let world = World::new(options, 500, seed);
        let texts: Vec<(u64, String)> = world
            .live
            .iter()
            .map(|(id, text)| {
                let json = Json::parse(text.as_bytes()).expect("JSON");
                let text = json.get("t").and_then(Json::string).unwrap_or_default();
                (*id, text.into_owned())
            })
            .collect();
        let plain = Plain::new(texts.iter().map(|(id, text)| (*id, &**text)));
        let check = |query: &str, expect: Vec<(u64, f32)>| {
            let expect: BTreeMap<u64, f32> = expect.into_iter().collect();
            let found = searched(&world.shards, &compile(&world.schema, query));
            assert!(found.keys().eq(expect.keys()), "seed {seed}: {query}");
            for (id, score) in &found {
                let other = expect[id];
                assert!(
                    (score - other).abs() < 1e-4,
                    "seed {seed}: {query}: {id}: {score} {other}"
                );
            }
        };
        for words in
            ["fox", "quick foxes", "the connection of running stations at nights", "quick quick x"]
        {
            check(&format!(r#"["t","BM25","{words}"]"#), plain.any(words, 10_000));
        }
        for words in ["quick fox", "fox and the quick", "quick brown fox"] {
            check(&format!(r#"["t","BM25","{words}",{{"match":"phrase"}}]"#), plain.phrase(words));
        }
    }
}

#[test]
fn a_snapshot_sees_the_rows_that_there_were() {
    let schema = schema(r#"{"t":{"type":"string","full_text_search":true}}"#);
    let (texts, memory) = (Texts::new(&schema), Memory::new());
    let query = compile(&schema, r#"["t","BM25","fox",{"last_as_prefix":true}]"#);
    let mut snapshots = vec![memory.snapshot()];
    for id in 0..200 {
        let text = if id % 3 == 0 { r#"{"t":"quick fox foxes"}"# } else { "{}" };
        let tokens = texts.analyze(&row(&schema, id, text));
        assert_eq!(u64::from(memory.append(&tokens).expect("room")), id);
        snapshots.push(memory.snapshot());
    }
    for (rows, snapshot) in (0_u32..).zip(&snapshots) {
        for snapshot in [snapshot.clone(), snapshots[200].first(rows)] {
            let prepared = Part::Memory(&snapshot).prepare(&query).expect("postings");
            let statistics = prepared.statistics(None);
            let with = u64::from(rows.div_ceil(3));
            assert_eq!((statistics.docs, statistics.tokens), (u64::from(rows), with * 3));
            assert_eq!(statistics.df, [with]);
            assert!(prepared.matches().iter().eq((0..rows).step_by(3)));
        }
    }
    assert!(memory.bytes() > 200 && memory.rows() == 200);
}
