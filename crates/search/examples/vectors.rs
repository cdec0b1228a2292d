//! Measures recall and speed of the vector index on one thread.
//!
//! `cargo run --release -p search --example vectors -- DIRECTORY [key=value …]`, where the directory has
//! `base_f16.npy` and `query_f32.npy` of one data set, of 384 dimensions. Keys: `clusters`, `bits`, `rows`,
//! `rounds`, `threads`, `level`, `queries`; `expand`: so many rows, and queries that are no rows, made of those that there
//! are (see [`expanded`]); `cold`: a store answers after so many milliseconds, and each query opens the file first; and
//! `serve=yes`: then it reads efforts from its standard input, one a line,
//! and answers each with the nanoseconds and the right rows of every query, for
//! `benches/vectors/compare.py`.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program for measuring by hand: it reads files and clocks, and prints"
)]

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::io::{BufRead as _, Write as _};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base::rng::Rng;
use search::vector::{
    Effort, Element, Kernels, Metric, Options, ReadRanges, Request, Rows, Space, VectorFile,
    VectorIndex, Work,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const DIMS: usize = 384;
const K: usize = 10;

/// The data of a `.npy` file, without its header.
fn npy(path: &str) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path)?;
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    Ok(bytes[10 + header..].to_vec())
}

/// So many rows: those that there are, and then, over and over, each of them moved by a third of the difference of two
/// others, chosen by a fixed seed. The moves have the directions that the rows differ in, and leave a row nearer to where
/// it was (a cosine of about .9) than most rows are to their neighbours.
fn expanded(base: &[u8], rows: usize) -> Vec<u8> {
    let count = base.len() / (DIMS * 2);
    let mut decoded = vec![0.0_f32; count * DIMS];
    for (x, half) in decoded.iter_mut().zip(base.chunks_exact(2)) {
        *x = from_half(u16::from_le_bytes([half[0], half[1]]));
    }
    let row = |at: usize| &decoded[at * DIMS..(at + 1) * DIMS];
    let mut rng = Rng::new(1);
    let mut out = base[..base.len().min(rows * DIMS * 2)].to_vec();
    for at in count..rows {
        let (here, to, from) = (row(at % count), row(rng.index(count)), row(rng.index(count)));
        let moved = here.iter().zip(to.iter().zip(from)).map(|(x, (a, b))| x + (a - b) / 3.0);
        out.extend(moved.flat_map(|x| to_half(x).to_le_bytes()));
    }
    out
}

/// The value of a binary16 that is no infinity.
fn from_half(half: u16) -> f32 {
    let magnitude = f32::from_bits(u32::from(half & 0x7fff) << 13) * f32::from_bits(0x7780_0000);
    if half >> 15 == 1 { -magnitude } else { magnitude }
}

/// The binary16 nearest to a number below 1,000, of two the greater.
#[expect(clippy::cast_possible_truncation, reason = "sixteen bits are left")]
fn to_half(x: f32) -> u16 {
    let scaled = (x.abs() * f32::from_bits(0x0780_0000)).to_bits() + 0x1000;
    (scaled >> 13) as u16 | u16::from(x < 0.0) << 15
}

/// What is measured.
struct Bench<'a> {
    index: &'a VectorIndex,
    rows: Rows<'a>,
    queries: &'a [f32],
    truth: Vec<Vec<u32>>,
}

/// A file in a store that answers late.
#[derive(Debug)]
struct Late {
    bytes: Vec<u8>,
    latency: Duration,
    trips: AtomicU64,
    read: AtomicU64,
}

impl ReadRanges for &Late {
    fn read(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Vec<u8>>> {
        std::thread::sleep(self.latency);
        self.trips.fetch_add(1, Ordering::Relaxed);
        let place = |at: u64| usize::try_from(at).map_err(io::Error::other);
        let read = ranges.iter().map(|range| {
            self.read.fetch_add(range.end - range.start, Ordering::Relaxed);
            let part = self.bytes.get(place(range.start)?..place(range.end)?);
            part.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        });
        read.collect()
    }
}

/// Seconds that processors have worked for this program.
fn processor_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    // User and system time, fields 14 and 15, in hundredths.
    let ticks = fields.skip(11).take(2).map(str::parse::<u32>);
    let ticks = ticks.collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(f64::from(ticks.iter().sum::<u32>()) / 100.0)
}

/// One query of one round.
struct Sample {
    nanoseconds: u128,
    hits: usize,
    work: Work,
}

impl Bench<'_> {
    /// All queries, one after another.
    fn round(&self, effort: Effort, space: &mut Space) -> Result<Vec<Sample>> {
        let request = Request { k: K, effort, filter: None };
        self.queries
            .chunks_exact(DIMS)
            .zip(&self.truth)
            .map(|(query, truth)| {
                let started = Instant::now();
                let found = self.index.search(self.rows, query, &request, space)?;
                let nanoseconds = started.elapsed().as_nanos();
                let hits = found.iter().filter(|hit| truth.contains(&hit.row)).count();
                Ok(Sample { nanoseconds, hits, work: space.work() })
            })
            .collect()
    }

    /// Prints recall and speed of one effort: the least of several rounds for each query, which leaves out
    /// what other programs took.
    fn measure(&self, effort: Effort, rounds: usize) -> Result<()> {
        let mut space = self.index.space();
        let mut best = vec![u128::MAX; self.truth.len()];
        let mut totals = [0; 5];
        for round in 0..rounds {
            for (best, sample) in best.iter_mut().zip(self.round(effort, &mut space)?) {
                *best = sample.nanoseconds.min(*best);
                let Work { clusters, scanned, refined, compared, .. } = sample.work;
                let counts = [sample.hits, clusters, scanned, refined, compared];
                for (total, count) in totals.iter_mut().zip(counts).filter(|_| round == 0) {
                    *total += count;
                }
            }
        }
        let count = best.len().max(1);
        let mut sorted = best.clone();
        sorted.sort_unstable();
        let [hits, clusters, scanned, refined, compared] = totals;
        println!(
            "{effort:?}: recall {:.4}, {:.0} q/s, p99 {:.2} ms, clusters {}, scanned {}, refined {}, compared {}",
            hits as f64 / (count * K) as f64,
            count as f64 * 1e9 / best.iter().sum::<u128>() as f64,
            sorted[(sorted.len() * 99 / 100).min(sorted.len() - 1)] as f64 / 1e6,
            clusters / count,
            scanned / count,
            refined / count,
            compared / count,
        );
        Ok(())
    }

    /// Each query opens the file, of which nothing is in memory.
    fn cold(&self, latency: Duration) -> Result<()> {
        let mut bytes = Vec::new();
        let written = self.index.write(self.rows, &[7; 16], &mut bytes)?;
        let (trips, read) = (AtomicU64::new(0), AtomicU64::new(0));
        let store = Late { bytes, latency, trips, read };
        for recall in [0.9, 0.95, 0.99] {
            let request = Request { k: K, effort: Effort::Recall(recall), filter: None };
            let (mut took, mut trips, mut read, mut hits) = (Vec::new(), 0, 0, 0);
            for (query, truth) in self.queries.chunks_exact(DIMS).zip(&self.truth) {
                let started = Instant::now();
                let file = VectorFile::open(&store, &[7; 16], written, Kernels::best())?;
                let found = file.search(query, &request, &mut file.space())?;
                took.push(started.elapsed().as_secs_f64() * 1e3);
                trips = trips.max(store.trips.swap(0, Ordering::Relaxed));
                read += store.read.swap(0, Ordering::Relaxed);
                hits += found.iter().filter(|hit| truth.contains(&hit.row)).count();
            }
            took.sort_by(f64::total_cmp);
            let count = took.len();
            println!(
                "cold, asked for {recall}: recall {:.4}, {trips} round trips at most, {:.2} MiB, p50 {:.0} ms, p99 {:.0} ms",
                hits as f64 / (count * K) as f64,
                read as f64 / count as f64 / 1_048_576.0,
                took[count / 2],
                took[count * 99 / 100],
            );
        }
        Ok(())
    }

    /// Answers efforts from the standard input.
    fn serve(&self) -> Result<()> {
        let mut space = self.index.space();
        for line in std::io::stdin().lock().lines() {
            let line = line?;
            let effort = match line.split_once(' ') {
                Some(("recall", value)) => Effort::Recall(value.parse()?),
                Some(("reach", value)) => Effort::Reach(value.parse()?),
                Some(("clusters", value)) => Effort::Clusters(value.parse()?),
                _ => return Err(format!("no effort: {line}").into()),
            };
            let mut answer = String::new();
            for sample in self.round(effort, &mut space)? {
                write!(answer, "{} {} ", sample.nanoseconds, sample.hits)?;
            }
            println!("{answer}");
            std::io::stdout().flush()?;
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("name a directory")?;
    let keys: Vec<(String, String)> = arguments
        .filter_map(|word| word.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())))
        .collect();
    let key = |name: &str| keys.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let mut base = npy(&format!("{directory}/base_f16.npy"))?;
    if let Some(rows) = key("rows") {
        base.truncate(rows.parse::<usize>()? * DIMS * 2);
    }
    let mut queries: Vec<f32> = npy(&format!("{directory}/query_f32.npy"))?
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    let asked = key("queries").map_or(Ok(usize::MAX), |count| count.parse())?;
    queries.truncate(asked.saturating_mul(DIMS));
    if let Some(rows) = key("expand") {
        let rows: usize = rows.parse()?;
        base = expanded(&base, rows + queries.len() / DIMS);
        let of_queries = base.split_off(rows * DIMS * 2);
        let halves = of_queries.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
        queries = halves.map(from_half).collect();
    }
    let rows = Rows::new(Element::F16, DIMS, &base)?;
    let level = |name: &String| Kernels::available().into_iter().find(|k| k.name() == name);
    let options = Options {
        clusters: key("clusters").map(|c| c.parse()).transpose()?,
        extra_bits: key("bits").map(|b| b.parse()).transpose()?,
        threads: key("threads").map_or(Ok(1), |t| t.parse())?,
        kernels: key("level").and_then(level).unwrap_or_else(Kernels::best),
        ..Options::new(Metric::Cosine)
    };
    let (started, before) = (Instant::now(), processor_seconds()?);
    let index = VectorIndex::build(&options, rows)?;
    println!(
        "{} rows, {} clusters, {} bytes a row, built in {:.2} s, {}, {:.1} s of processors",
        index.len(),
        index.clusters(),
        index.list_bytes() / index.len().max(1),
        started.elapsed().as_secs_f64(),
        options.kernels.name(),
        processor_seconds()? - before,
    );
    let exact = |query| index.exact(rows, query, K, None);
    let truth = queries
        .chunks_exact(DIMS)
        .map(|query| Ok(exact(query)?.iter().map(|hit| hit.row).collect()))
        .collect::<Result<_>>()?;
    let bench = Bench { index: &index, rows, queries: &queries, truth };
    if key("serve").is_some() {
        return bench.serve();
    }
    let rounds: usize = key("rounds").map_or(Ok(9), |r| r.parse())?;
    if let Some(latency) = key("cold") {
        for recall in [0.9, 0.95, 0.99] {
            bench.measure(Effort::Recall(recall), rounds)?;
        }
        return bench.cold(Duration::from_millis(latency.parse()?));
    }
    let mut efforts: Vec<Effort> = [8, 16, 32, 64, 128].map(Effort::Clusters).to_vec();
    efforts.extend([0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0].map(Effort::Reach));
    efforts.extend([0.9, 0.95, 0.99].map(Effort::Recall));
    for effort in efforts {
        bench.measure(effort, rounds)?;
    }
    Ok(())
}
