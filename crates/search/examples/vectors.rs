//! Measures recall and speed of the vector index on one thread.
//!
//! `cargo run --release -p search --example vectors -- DIRECTORY [key=value …]`, where the directory has
//! `base_f16.npy` and `query_f32.npy` of one data set, of 384 dimensions. Keys: `clusters`, `bits`, `rows`,
//! `rounds`, `threads`, `level`, and `serve=yes`: then it reads efforts from its standard input, one a line,
//! and answers each with the nanoseconds and the right rows of every query, for
//! `benches/vectors/compare.py`.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program for measuring by hand: it reads files and clocks, and prints"
)]

use std::error::Error;
use std::fmt::Write as _;
use std::io::{BufRead as _, Write as _};
use std::time::Instant;

use search::vector::{
    Effort, Element, Kernels, Metric, Options, Request, Rows, Space, VectorIndex, Work,
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

/// What is measured.
struct Bench<'a> {
    index: &'a VectorIndex,
    rows: Rows<'a>,
    queries: &'a [f32],
    truth: Vec<Vec<u32>>,
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
        let [hits, clusters, scanned, refined, compared] = totals;
        println!(
            "{effort:?}: recall {:.4}, {:.0} q/s, clusters {}, scanned {}, refined {}, compared {}",
            hits as f64 / (count * K) as f64,
            count as f64 * 1e9 / best.iter().sum::<u128>() as f64,
            clusters / count,
            scanned / count,
            refined / count,
            compared / count,
        );
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
    let queries: Vec<f32> = npy(&format!("{directory}/query_f32.npy"))?
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    let rows = Rows::new(Element::F16, DIMS, &base)?;
    let level = |name: &String| Kernels::available().into_iter().find(|k| k.name() == name);
    let options = Options {
        clusters: key("clusters").map(|c| c.parse()).transpose()?,
        extra_bits: key("bits").map(|b| b.parse()).transpose()?,
        threads: key("threads").map_or(Ok(1), |t| t.parse())?,
        kernels: key("level").and_then(level).unwrap_or_else(Kernels::best),
        ..Options::new(Metric::Cosine)
    };
    let started = Instant::now();
    let index = VectorIndex::build(&options, rows)?;
    println!(
        "{} rows, {} clusters, {} bytes a row, built in {:.2} s, {}",
        index.len(),
        index.clusters(),
        index.list_bytes() / index.len().max(1),
        started.elapsed().as_secs_f64(),
        options.kernels.name(),
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
    let mut efforts: Vec<Effort> = [8, 16, 32, 64, 128].map(Effort::Clusters).to_vec();
    efforts.extend([0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0].map(Effort::Reach));
    efforts.extend([0.9, 0.95, 0.99].map(Effort::Recall));
    for effort in efforts {
        bench.measure(effort, rounds)?;
    }
    Ok(())
}
