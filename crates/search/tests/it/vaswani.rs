//! Relevance on a judged collection: as good as one plain tantivy index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use search::json::Json;
use search::text::{DROPPED, Input, Leaf, Memory, Part, Reader, Statistics, Texts, merge, search};

use crate::text::{IDENTITY, Plain, compile, opened, row, schema};

/// Documents, queries and, for each query, the documents that were judged relevant.
pub(crate) struct Collection {
    pub(crate) documents: Vec<(u64, String)>,
    pub(crate) queries: Vec<(u64, String)>,
    pub(crate) relevant: BTreeMap<u64, BTreeSet<u64>>,
}

const DIRECTORY: &str = "../../../shared/data/vaswani";

impl Collection {
    /// The collection, from `shared/data/vaswani` in the directory that the checkout is in, where the project's
    /// machines have it. `None`, and a line that says so, where there is none.
    #[expect(clippy::print_stdout, reason = "a test's note on what it leaves out")]
    pub(crate) fn load() -> Option<Self> {
        let (Some(documents), Some(queries), Some(judgements)) =
            (text("corpus.jsonl"), text("queries.jsonl"), text("qrels.tsv"))
        else {
            println!("no {DIRECTORY}: relevance is not looked at");
            return None;
        };
        let lines = |text: &str| {
            let line = |line: &str| {
                let json = Json::parse(line.as_bytes()).expect("JSON");
                let id = json.get("id").expect("an id");
                let id = id.text().trim_matches('"').parse().expect("a number");
                (id, json.get("text").and_then(Json::string).expect("a text").to_lowercase())
            };
            text.lines().map(line).collect::<Vec<(u64, String)>>()
        };
        let mut relevant: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        for line in judgements.lines().skip(1) {
            let numbers: Vec<u64> =
                line.split('\t').map(|number| number.parse().expect("a number")).collect();
            if numbers[2] > 0 {
                relevant.entry(numbers[0]).or_default().insert(numbers[1]);
            }
        }
        Some(Self { documents: lines(&documents), queries: lines(&queries), relevant })
    }
}

/// The vectors of a file of theirs, in the order of the documents or queries.
pub(crate) fn vectors(file: &str) -> Option<Vec<Vec<f32>>> {
    let bytes = read(file)?;
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let rows = bytes[10 + header..].chunks_exact(2 * 384);
    Some(
        rows.map(|row| row.chunks_exact(2).map(|half| from_half(half[0], half[1])).collect())
            .collect(),
    )
}

/// A float of 16 bits.
fn from_half(low: u8, high: u8) -> f32 {
    let half = u32::from(u16::from_le_bytes([low, high]));
    // Its exponent is counted from 15, that of 32 bits from 127.
    let number = f32::from_bits((half & 0x7FFF) << 13) * f32::from_bits((127 + 112) << 23);
    if half & 0x8000 == 0 { number } else { -number }
}

fn text(file: &str) -> Option<String> {
    Some(String::from_utf8(read(file)?).expect("text"))
}

#[expect(clippy::disallowed_methods, reason = "a test reads its data past the product's door")]
fn read(file: &str) -> Option<Vec<u8>> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(DIRECTORY).join(file)).ok()
}

/// Normalised discounted cumulative gain of the first ten.
pub(crate) fn ndcg(found: &[u64], relevant: &BTreeSet<u64>) -> f64 {
    let gain = |rank: usize| 1.0 / (rank as f64 + 2.0).log2();
    let dcg: f64 = found
        .iter()
        .take(10)
        .enumerate()
        .filter(|(_, id)| relevant.contains(id))
        .map(|(rank, _)| gain(rank))
        .sum();
    dcg / (0..relevant.len().min(10)).map(gain).sum::<f64>()
}

#[test]
fn relevance_is_that_of_a_plain_index() {
    let Some(collection) = Collection::load() else { return };
    let schema = schema(
        r#"{"t":{"type":"string","full_text_search":{"stemming":true,"tokenizer":"word_v0"}}}"#,
    );
    let texts = Texts::new(&schema);
    // A third in a file that was merged from two, a third in another file, a third in memory.
    let memories: Vec<Memory> = (0..4).map(|_| Memory::new()).collect();
    let mut ids: Vec<Vec<u64>> = vec![Vec::new(); 4];
    for (index, (id, text)) in collection.documents.iter().enumerate() {
        let part = [0, 1, 2, 2, 3, 3][index * 6 / collection.documents.len()];
        let document = format!("{{\"t\":\"{text}\"}}");
        memories[part].append(&texts.analyze(&row(&schema, *id, &document))).expect("room");
        ids[part].push(*id);
    }
    let snapshots: Vec<_> = memories.iter().map(Memory::snapshot).collect();
    let reader = |inputs: &[(Part<'_>, u32)]| -> Reader {
        let mut next = 0;
        let maps: Vec<Vec<u32>> = inputs
            .iter()
            .map(|(part, skip)| {
                let map = (0..part.rows())
                    .map(|row| if row < *skip { DROPPED } else { row - skip + next });
                let map: Vec<u32> = map.collect();
                next += part.rows() - skip;
                map
            })
            .collect();
        let inputs: Vec<Input<'_>> =
            inputs.iter().zip(&maps).map(|((part, _), to)| Input { part: *part, to }).collect();
        let (bytes, written) = merge(&IDENTITY, &inputs, next).expect("a file");
        opened(bytes, written)
    };
    let (first, second) =
        (reader(&[(Part::Memory(&snapshots[0]), 0)]), reader(&[(Part::Memory(&snapshots[1]), 0)]));
    let merged = reader(&[(Part::File(&first), 0), (Part::File(&second), 0)]);
    let third = reader(&[(Part::Memory(&snapshots[2]), 0)]);
    let parts = [
        (Part::File(&merged), [&ids[0][..], &ids[1]].concat()),
        (Part::File(&third), ids[2].clone()),
        (Part::Memory(&snapshots[3]), ids[3].clone()),
    ];
    assert_eq!(parts.iter().map(|(_, ids)| ids.len()).sum::<usize>(), collection.documents.len());
    let plain = Plain::new(collection.documents.iter().map(|(id, text)| (*id, &**text)));
    let (mut ours, mut theirs, mut count) = (0.0, 0.0, 0.0);
    for (id, text) in &collection.queries {
        let Some(relevant) = collection.relevant.get(id) else { continue };
        let query = compile(&schema, &format!("[\"t\",\"BM25\",\"{text}\"]"));
        let prepared: Vec<_> =
            parts.iter().map(|(part, _)| part.prepare(&query).expect("postings")).collect();
        let mut statistics = Statistics::none(&query);
        prepared.iter().for_each(|prepared| statistics.add(&prepared.statistics(None)));
        let weights = query.weigh(&statistics);
        let mut hits = Vec::new();
        for (prepared, (_, ids)) in prepared.iter().zip(&parts) {
            let leaf = Leaf { prepared, weights: &weights, boost: 1.0 };
            let found = search(&[leaf], 10, None).into_iter();
            hits.extend(found.map(|hit| (hit.score, ids[hit.row as usize])));
        }
        hits.sort_by(|(a, a_id), (b, b_id)| b.total_cmp(a).then(a_id.cmp(b_id)));
        let found: Vec<u64> = hits.iter().take(10).map(|(_, id)| *id).collect();
        let expect = plain.any(text, 10);
        for ((score, _), (_, other)) in hits.iter().zip(&expect) {
            assert!((score - other).abs() < 1e-4, "{text}: {score} {other}");
        }
        ours += ndcg(&found, relevant);
        theirs += ndcg(&expect.iter().map(|(id, _)| *id).collect::<Vec<_>>(), relevant);
        count += 1.0;
    }
    let (ours, theirs) = (ours / count, theirs / count);
    assert!((ours - theirs).abs() < 0.001 && ours > 0.4, "nDCG@10 {ours}, plain {theirs}");
}
