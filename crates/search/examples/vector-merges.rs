//! Measures what it costs to replace a fifth of the vectors of an index by merges, and what recall is left.
//!
//! `cargo run --release -p search --example vector-merges -- DIRECTORY [key=value …]`, where the directory has
//! `base_f16.npy` and `query_f32.npy` of one data set, of 384 dimensions. Keys: `merges` (5), `threads` (1). The last
//! sixth of the rows is what comes in; as many of the others go, chosen at random.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program for measuring by hand: it reads files and clocks, and prints"
)]

use std::error::Error;
use std::time::Instant;

use base::rng::Rng;
use search::vector::{
    Effort, Element, GONE, Kept, Metric, Options, Request, Rows, VectorIndex, Work,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const DIMS: usize = 384;
const ROW: usize = DIMS * 2;
const K: usize = 10;

/// The data of a `.npy` file, without its header.
fn npy(path: &str) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path)?;
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    Ok(bytes[10 + header..].to_vec())
}

fn rows_of(bytes: &[u8]) -> Result<Rows<'_>> {
    Ok(Rows::new(Element::F16, DIMS, bytes)?)
}

/// Recall at an effort, and the rows that were scanned for a query.
fn recall(index: &VectorIndex, rows: Rows<'_>, queries: &[f32], effort: Effort) -> Result<String> {
    let mut space = index.space();
    let (mut hits, mut work) = (0, Work::default());
    for query in queries.chunks_exact(DIMS) {
        let exact = index.exact(rows, query, K, None)?;
        let request = Request { k: K, effort, filter: None };
        let found = index.search(rows, query, &request, &mut space)?;
        hits += found.iter().filter(|hit| exact.contains(hit)).count();
        work.scanned += space.work().scanned;
        work.clusters += space.work().clusters;
    }
    let count = queries.len() / DIMS;
    Ok(format!(
        "recall {:.4}, scanned {}, clusters {}",
        hits as f64 / (count * K) as f64,
        work.scanned / count,
        work.clusters / count
    ))
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("name a directory")?;
    let keys: Vec<(String, String)> = arguments
        .filter_map(|word| word.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())))
        .collect();
    let key = |name: &str, default: usize| {
        let found = keys.iter().find(|(key, _)| key == name);
        found.map_or(Ok(default), |(_, value)| value.parse())
    };
    let (merges, threads) = (key("merges", 5)?, key("threads", 1)?);
    let base = npy(&format!("{directory}/base_f16.npy"))?;
    let queries: Vec<f32> = npy(&format!("{directory}/query_f32.npy"))?
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    let all = base.len() / ROW;
    let count = all * 5 / 6;
    let options = Options { threads, ..Options::new(Metric::Cosine) };
    let mut bytes = base[..count * ROW].to_vec();
    let started = Instant::now();
    let mut index = VectorIndex::build(&options, rows_of(&bytes)?)?;
    let built = started.elapsed();
    println!("{count} rows, {} clusters, built in {built:.2?}", index.clusters());
    let mut rng = Rng::new(1);
    let (mut changed, mut spent) = (0, 0.0);
    for merge in 0..merges {
        let new = all - count;
        let new =
            &base[(count + new * merge / merges) * ROW..(count + new * (merge + 1) / merges) * ROW];
        let goes = new.len() / ROW;
        let (mut numbers, mut stay, mut left) = (Vec::new(), Vec::new(), goes);
        for (at, row) in bytes.chunks_exact(ROW).enumerate() {
            if rng.index(count - at) < left {
                left -= 1;
                numbers.push(GONE);
            } else {
                numbers.push(u32::try_from(stay.len() / ROW)?);
                stay.extend_from_slice(row);
            }
        }
        stay.extend_from_slice(new);
        let started = Instant::now();
        let kept = Kept { index: &index, numbers: &numbers };
        let (merged, changes) = VectorIndex::merge(&options, kept, rows_of(&stay)?)?;
        let took = started.elapsed();
        println!("{} rows changed in {took:.2?}: {changes:?}", 2 * goes);
        (changed, spent) = (changed + 2 * goes, spent + took.as_secs_f64());
        (index, bytes) = (merged, stay);
    }
    let started = Instant::now();
    let fresh = VectorIndex::build(&options, rows_of(&bytes)?)?;
    println!(
        "{:.1} µs a changed vector, {} clusters; built afresh {:.1} µs a vector, {} clusters",
        spent * 1e6 / changed as f64,
        index.clusters(),
        started.elapsed().as_secs_f64() * 1e6 / count as f64,
        fresh.clusters(),
    );
    for effort in
        [Effort::Clusters(64), Effort::Recall(0.9), Effort::Recall(0.95), Effort::Recall(0.99)]
    {
        for (what, index) in [("merged", &index), ("afresh", &fresh)] {
            println!("{effort:?} {what}: {}", recall(index, rows_of(&bytes)?, &queries, effort)?);
        }
    }
    Ok(())
}
