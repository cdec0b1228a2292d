//! Measures recall and speed of searches with filters, in memory and by ranges of a file.
//!
//! `cargo run --release -p search --example vector-filters -- DIRECTORY [key=value …]`, where the directory has
//! `base_f16.npy` and `query_f32.npy` of one data set, of 384 dimensions. Keys: `recall` (0.95), `threads` (1).
//!
//! Of each part of the rows there are three sets: rows at random; those nearest to the query itself; and
//! those nearest to another query, which are far from this one.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program for measuring by hand: it reads files and clocks, and prints"
)]

use std::error::Error;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use base::rng::Rng;
use search::vector::{
    Effort, Element, Kernels, Metric, Options, ReadRanges, Request, RowSet, Rows, VectorFile,
    VectorIndex,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const DIMS: usize = 384;
const K: usize = 10;
const QUERIES: usize = 100;

/// The data of a `.npy` file, without its header.
fn npy(path: &str) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path)?;
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    Ok(bytes[10 + header..].to_vec())
}

/// A file in memory that counts what is read of it.
#[derive(Debug, Default)]
struct Counted {
    bytes: Vec<u8>,
    trips: AtomicU64,
    read: AtomicU64,
}

impl ReadRanges for &Counted {
    fn read(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Vec<u8>>> {
        self.trips.fetch_add(1, Ordering::Relaxed);
        let place = |at: u64| usize::try_from(at).map_err(io::Error::other);
        ranges
            .iter()
            .map(|range| {
                self.read.fetch_add(range.end - range.start, Ordering::Relaxed);
                let part = self.bytes.get(place(range.start)?..place(range.end)?);
                part.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            })
            .collect()
    }
}

/// What is searched.
struct World<'a> {
    rows: Rows<'a>,
    index: VectorIndex,
    file: VectorFile<&'a Counted>,
    counted: &'a Counted,
    queries: Vec<&'a [f32]>,
    recall: f32,
}

/// Sums over all queries.
#[derive(Default)]
struct Sums {
    hits: usize,
    far_hits: usize,
    wanted: usize,
    seconds: f64,
    clusters: usize,
    scanned: usize,
    trips: u64,
    read: u64,
}

impl World<'_> {
    fn measure(&self, what: &str, set: impl Fn(usize) -> Result<RowSet>) -> Result<()> {
        let (mut space, mut far) = (self.index.space(), self.file.space());
        let mut sums = Sums::default();
        for (at, query) in self.queries.iter().enumerate() {
            let filter = set(at)?;
            let exact = self.index.exact(self.rows, query, K, Some(&filter))?;
            let effort = Effort::Recall(self.recall);
            let request = Request { k: K, effort, filter: Some(&filter) };
            let mut best = f64::INFINITY;
            let mut found = Vec::new();
            for _ in 0..3 {
                let started = Instant::now();
                found = self.index.search(self.rows, query, &request, &mut space)?;
                best = best.min(started.elapsed().as_secs_f64());
            }
            sums.seconds += best;
            sums.clusters += space.work().clusters;
            sums.scanned += space.work().scanned;
            sums.hits += found.iter().filter(|hit| exact.contains(hit)).count();
            sums.wanted += exact.len();
            self.counted.trips.store(0, Ordering::Relaxed);
            self.counted.read.store(0, Ordering::Relaxed);
            let found = self.file.search(query, &request, &mut far)?;
            sums.far_hits += found.iter().filter(|hit| exact.contains(hit)).count();
            sums.trips += self.counted.trips.load(Ordering::Relaxed);
            sums.read += self.counted.read.load(Ordering::Relaxed);
        }
        let (count, wanted) = (self.queries.len(), sums.wanted as f64);
        println!(
            "| {what} | {:.4} | {:.0} | {} | {} | {:.4} | {:.1} | {:.1} |",
            sums.hits as f64 / wanted,
            count as f64 / sums.seconds,
            sums.clusters / count,
            sums.scanned / count,
            sums.far_hits as f64 / wanted,
            sums.trips as f64 / count as f64,
            sums.read as f64 / count as f64 / 1_048_576.0,
        );
        Ok(())
    }

    /// The rows nearest to a query, more than a search may be asked for.
    fn nearest(&self, query: &[f32], count: usize) -> Result<RowSet> {
        let mut all = Vec::new();
        for first in (0..self.rows.len()).step_by(10_000) {
            let last = self.rows.len().min(first + 10_000);
            let part =
                (first..last).map(u32::try_from).collect::<std::result::Result<Vec<_>, _>>()?;
            let part = RowSet::new(part);
            all.extend(self.index.exact(self.rows, query, 10_000, Some(&part))?);
        }
        all.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        Ok(RowSet::new(all.iter().take(count).map(|hit| hit.row)))
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("name a directory")?;
    let keys: Vec<(String, String)> = arguments
        .filter_map(|word| word.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())))
        .collect();
    let key = |name: &str| keys.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let base = npy(&format!("{directory}/base_f16.npy"))?;
    let queries: Vec<f32> = npy(&format!("{directory}/query_f32.npy"))?
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    let rows = Rows::new(Element::F16, DIMS, &base)?;
    let threads = key("threads").map_or(Ok(1), |threads| threads.parse())?;
    let index = VectorIndex::build(&Options { threads, ..Options::new(Metric::Cosine) }, rows)?;
    let mut counted = Counted::default();
    let written = index.write(rows, &[7; 16], &mut counted.bytes)?;
    let file = VectorFile::open(&counted, &[7; 16], written, Kernels::best())?;
    println!("{} rows, {} clusters", index.len(), index.clusters());
    println!("| filter | recall | q/s | clusters | scanned | recall of file | trips | MiB |");
    println!("|---|---|---|---|---|---|---|---|");
    let queries: Vec<&[f32]> = queries.chunks_exact(DIMS).take(QUERIES).collect();
    let recall = key("recall").map_or(Ok(0.95), |recall| recall.parse())?;
    let world = World { rows, index, file, counted: &counted, queries, recall };
    for (part, divisor) in [("50 %", 2), ("10 %", 10), ("1 %", 100), ("0.1 %", 1000)] {
        let count = rows.len() / divisor;
        let random = |at: usize| {
            let mut rng = Rng::new(at as u64);
            let all = 0..u32::try_from(rows.len())?;
            Ok(RowSet::new(all.filter(|_| rng.index(divisor) == 0)))
        };
        world.measure(&format!("{part} at random"), random)?;
        let near = |at: usize| world.nearest(world.queries[at], count);
        world.measure(&format!("{part} near the query"), near)?;
        let far = |at: usize| world.nearest(world.queries[(at + 1) % QUERIES], count);
        world.measure(&format!("{part} near another query"), far)?;
    }
    Ok(())
}
