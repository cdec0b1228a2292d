//! Is the way that the planner chooses the best one? For every part of the rows that a filter lets through, ours is the
//! chosen way and the peer the better of those which can be had by force, found out beforehand.
//!
//! Filters: `draw` has nothing to do with the vectors; `near` lets the rows through that are nearest to one of them, and
//! is asked with queries that are near to it too, and with queries as they come, most of which are not.

use std::cmp::Reverse;
use std::io;

use base::clock::SystemClock;
use base::rng::Rng;
use benches::{Bench, Case, Stopwatch};
use search::index::Way;
use search::query::Query;

use crate::data::{DIMS, PARTS, Vectors, attributes, dot, encoded, word};
use crate::tell;
use crate::world::{Asked, World, query};

/// Rows of the index.
const ROWS: u64 = 200_000;
/// Of ten thousand rows so many pass a filter.
const PASSING: [u64; 5] = [1, 10, 100, 1000, 5000];
/// Queries of a round.
const QUERIES: u64 = 60;
/// A chosen way may take so many times as long as the best.
const MOST: f64 = 1.2;
const RECALL_LEAST: f64 = 0.95;

/// A filter, and what is asked behind it.
struct Asking {
    name: &'static str,
    attribute: &'static str,
    /// What to rank by, in JSON.
    ranks: Vec<String>,
}

pub(crate) fn run(bench: &mut Bench) -> io::Result<()> {
    let rows = if bench.is_smoke() { 2000 } else { ROWS };
    let vectors = Vectors::load(rows)?;
    tell(&format!("planner: {rows} rows, vectors: {}", vectors.source))?;
    let centre = vectors.row(17);
    let mut similar: Vec<(f32, u64)> =
        (0..rows).map(|row| (dot(&centre, &vectors.row(row)), row)).collect();
    similar.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let mut near = vec![0; similar.len()];
    for (rank, (_, row)) in (0..).zip(&similar) {
        near[usize::try_from(*row).unwrap_or_default()] = rank * PARTS / rows;
    }
    let schema = format!(
        r#"{{"title":{{"type":"string","full_text_search":true}},"draw":"int","near":"int",
        "v":{{"type":"[{DIMS}]f16","distance_metric":"cosine_distance"}}}}"#
    );
    let mut world = World::new(&bench.scratch().path("planner"), &schema)?;
    let mut rng = Rng::new(7);
    world.fill(rows, |row| {
        let (near, vector) =
            (near[usize::try_from(row).unwrap_or_default()], encoded(&vectors.row(row)));
        format!(r#"{{{},"near":{near},"v":"{vector}"}}"#, attributes(&mut rng))
    })?;
    let asked = world.asked();
    let count = usize::try_from(bench.amount(QUERIES)).unwrap_or_default();
    let rank = |vector: &Vec<f32>| format!(r#"["v","ANN","{}"]"#, encoded(vector));
    let mut close: Vec<&Vec<f32>> = vectors.queries.iter().collect();
    close.sort_by_key(|query| Reverse(sortable(dot(&centre, query))));
    let some: Vec<String> = vectors.queries.iter().take(count).map(rank).collect();
    let mut words =
        |count: u64| -> String { (0..count).map(|_| word(&mut rng)).collect::<Vec<_>>().join(" ") };
    let mut texts = |count: u64, how_many: usize| -> Vec<String> {
        (0..how_many).map(|_| format!(r#"["title","BM25","{}"]"#, words(count))).collect()
    };
    let askings = [
        Asking { name: "vector", attribute: "draw", ranks: some.clone() },
        Asking {
            name: "vector-near",
            attribute: "near",
            ranks: close.into_iter().take(count).map(rank).collect(),
        },
        Asking { name: "vector-far", attribute: "near", ranks: some },
        Asking { name: "word", attribute: "draw", ranks: texts(1, count) },
        Asking { name: "words", attribute: "draw", ranks: texts(4, count) },
    ];
    askings.iter().try_for_each(|asking| {
        PASSING.iter().try_for_each(|passing| case(bench, &asked, asking, *passing))
    })
}

/// Floats in their order.
fn sortable(x: f32) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a similarity is at most one")]
    let whole = (f64::from(x) * 1e9) as i64;
    whole
}

fn case(bench: &mut Bench, asked: &Asked, asking: &Asking, passing: u64) -> io::Result<()> {
    let Asking { name, attribute, ranks } = asking;
    let queries = ranks.iter().map(|rank| {
        query(&format!(
            r#"{{"rank_by":{rank},"filters":["{attribute}","Lt",{passing}],"limit":10}}"#
        ))
    });
    let queries: Vec<Query> = queries.collect::<io::Result<_>>()?;
    let (best, other) = best(asked, &queries)?;
    let plans = recall(asked, &queries, name, passing)?;
    let name = format!("plan-{name}-{}", percent(passing));
    let case = Case {
        name: &name,
        operation: &format!("one query, planned: {plans}"),
        peer: &format!("{best:?} by force (the other takes {other:.2} times as long)"),
        aim: Some(1.0 / MOST),
    };
    bench.case(
        case,
        |stopwatch| asked.all(Way::Planned, &queries, stopwatch),
        |stopwatch| asked.all(best, &queries, stopwatch),
    )
}

/// A part of ten thousand as one of a hundred.
fn percent(passing: u64) -> String {
    format!("{}%", passing as f64 / 100.0)
}

/// The way that takes the least time, and how many times that the other takes.
fn best(asked: &Asked, queries: &[Query]) -> io::Result<(Way, f64)> {
    let mut took = [f64::INFINITY; 2];
    for _ in 0..3 {
        for (way, took) in [Way::Rows, Way::Index].into_iter().zip(&mut took) {
            let mut stopwatch = Stopwatch::new(SystemClock::shared());
            asked.all(way, queries, &mut stopwatch)?;
            *took = took.min(stopwatch.finish()?.cpu.as_secs_f64());
        }
    }
    let [rows, index] = took;
    Ok(if rows <= index { (Way::Rows, index / rows) } else { (Way::Index, rows / index) })
}

/// Tells how many of the ten best rows are found; which plans were chosen how often.
fn recall(asked: &Asked, queries: &[Query], name: &str, passing: u64) -> io::Result<String> {
    let (mut found, mut wanted) = (0, 0);
    let mut plans: Vec<(&str, usize)> = Vec::new();
    for query in queries {
        let planned = asked.one(Way::Planned, query)?;
        let exact = asked.one(Way::Rows, query)?;
        // Rows that are as good as the last are as right as it.
        let ids: Vec<_> = planned.answer.rows.iter().map(|row| &row.id).collect();
        wanted += exact.answer.rows.len();
        found += exact.answer.rows.iter().filter(|row| ids.contains(&&row.id)).count();
        for part in planned.performance.plans.iter().filter(|part| part.part != "memtable") {
            let plan = part.plan.name();
            match plans.iter_mut().find(|(known, _)| *known == plan) {
                Some((_, count)) => *count += 1,
                None => plans.push((plan, 1)),
            }
        }
    }
    let recall = if wanted == 0 { 1.0 } else { found as f64 / wanted as f64 };
    let verdict = if recall < RECALL_LEAST { ", TOO LITTLE" } else { "" };
    let plans: Vec<String> =
        plans.into_iter().map(|(plan, count)| format!("{plan} {count} times")).collect();
    tell(&format!("{name} {}: recall@10 {recall:.4}{verdict}", percent(passing)))?;
    Ok(plans.join(", "))
}
