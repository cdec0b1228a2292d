//! Sweeps effort against recall and queries per second on one thread, to tune kernels by.
//!
//! `cargo run --release -p search --example tune -- DIRECTORY [key=value …]`, where the directory has
//! `base_f16.npy`, `query_f32.npy` and `gt100.npy` of one data set. Keys: `clusters`, `bits`, `rows`,
//! `rounds`, `threads`, `level`.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program for measuring by hand: it reads files and clocks, and prints"
)]

use std::error::Error;
use std::time::Instant;

use search::vector::{Effort, Element, Kernels, Metric, Options, Request, Rows, VectorIndex};

/// The data of a `.npy` file, without its header.
fn npy(path: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    Ok(bytes[10 + header..].to_vec())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("name a directory")?;
    let keys: Vec<(String, String)> = arguments
        .filter_map(|word| word.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())))
        .collect();
    let key = |name: &str| keys.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let dims = 384;
    let mut base = npy(&format!("{directory}/base_f16.npy"))?;
    if let Some(rows) = key("rows") {
        base.truncate(rows.parse::<usize>()? * dims * 2);
    }
    let queries: Vec<f32> = npy(&format!("{directory}/query_f32.npy"))?
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    let rows = Rows::new(Element::F16, dims, &base)?;
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
        "{} rows, {} clusters, {} bytes a row, built in {:.2?}, {}",
        index.len(),
        index.clusters(),
        index.list_bytes() / index.len().max(1),
        started.elapsed(),
        options.kernels.name(),
    );
    println!("calibration {:?}", index.calibration().collect::<Vec<_>>());
    let truth: Vec<Vec<u32>> = queries
        .chunks_exact(dims)
        .map(|query| {
            let hits = index.exact(rows, query, 10, None)?;
            Ok(hits.iter().map(|hit| hit.row).collect())
        })
        .collect::<Result<_, Box<dyn Error>>>()?;
    let rounds: usize = key("rounds").map_or(Ok(9), |r| r.parse())?;
    let mut efforts: Vec<Effort> = [8, 16, 32, 64, 128].map(Effort::Clusters).to_vec();
    efforts.extend([0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0].map(Effort::Reach));
    efforts.extend([0.9, 0.95, 0.99].map(Effort::Recall));
    for effort in efforts {
        measure(&index, rows, &queries, &truth, effort, rounds)?;
    }
    Ok(())
}

/// Prints recall and speed of one effort.
fn measure(
    index: &VectorIndex,
    rows: Rows<'_>,
    queries: &[f32],
    truth: &[Vec<u32>],
    effort: Effort,
    rounds: usize,
) -> Result<(), Box<dyn Error>> {
    let mut space = index.space();
    let request = Request { k: 10, effort, filter: None };
    let count = truth.len();
    // The least of several rounds for each query: what other programs took is left out.
    let (mut best, mut hits) = (vec![f64::INFINITY; count], 0);
    let mut totals = [0; 4];
    for round in 0..rounds {
        for (number, query) in queries.chunks_exact(rows.dims()).enumerate() {
            let started = Instant::now();
            let found = index.search(rows, query, &request, &mut space)?;
            best[number] = best[number].min(started.elapsed().as_secs_f64());
            if round == 0 {
                let work = space.work();
                let counts = [work.clusters, work.scanned, work.refined, work.compared];
                for (total, count) in totals.iter_mut().zip(counts) {
                    *total += count;
                }
                hits += found.iter().filter(|hit| truth[number].contains(&hit.row)).count();
            }
        }
    }
    println!(
        "{effort:?}: recall {:.4}, {:.0} q/s, clusters {}, scanned {}, refined {}, compared {}",
        hits as f64 / (count * 10) as f64,
        count as f64 / best.iter().sum::<f64>(),
        totals[0] / count,
        totals[1] / count,
        totals[2] / count,
        totals[3] / count,
    );
    Ok(())
}
