//! Hours of everything at once: a real server under mixed load over HTTP and the socket, ended in
//! order and killed again and again, with checkpoints, compactions and backups. What it keeps, what
//! it holds and how long it is away are written down, and judged at the end.
//!
//! ```text
//! cargo run --release -p docdb --example soak -- --minutes 120
//! ```
//!
//! The verdict is good when everything that clients were answered is explained by one store
//! ([`load`]), nobody was refused while the server was there, the files verify, and memory,
//! descriptors and disk are where they were before ([`samples`]). The program is the server, too:
//! with `serve` as its first argument it is `docdb`.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test program: it waits by the real clock, looks at files, and fails by panicking"
)]

mod load;
mod probe;
mod samples;
mod server;
mod verdict;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use base::io::RealDisk;
use clap::Parser;

use load::Load;
use probe::Probe;
use samples::Samples;
use server::{Ending, Server};
use verdict::Verdict;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Lives of the server whose answers are checked as one history.
const LIVES_PER_EPOCH: u64 = 4;

#[derive(Debug, Parser)]
#[command(about = "Keeps a docdb server under load, kills it now and then, and judges it")]
struct Options {
    /// How long, at least; what was begun is finished
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Clients, half of them over HTTP
    #[arg(long, default_value_t = 16)]
    clients: u64,
    /// Requests a second of each client, at most
    #[arg(long, default_value_t = 100)]
    rate: u64,
    /// Seconds that the server lives before it is ended
    #[arg(long, default_value_t = 30)]
    life: u64,
    /// What the load is drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the data goes (default: a temporary directory)
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Write the samples and the verdict here as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == "serve" || first == "verify") {
        let (out, err) = (&mut std::io::stdout(), &mut std::io::stderr());
        let environment = std::env::vars_os().collect();
        let disk = RealDisk::shared();
        return docdb::cli::run_on(disk, std::env::args_os(), environment, out, err);
    }
    let options = Options::parse();
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let dir = options.dir.clone().unwrap_or_else(|| temporary.path().to_path_buf());
    let verdict = soak(&options, &dir);
    println!("{verdict}");
    if let Some(path) = &options.json {
        std::fs::write(path, format!("{:#}\n", verdict.to_json())).expect("it can be written");
    }
    if verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn soak(options: &Options, dir: &std::path::Path) -> Verdict {
    let data = dir.join("data");
    let begun = Instant::now();
    let mut server = Server::start(&data);
    let probe = Probe::start(server.addresses());
    let mut samples = Samples::new(&data);
    let mut verdict = Verdict::new(options.life);
    let end = Duration::from_secs(60 * options.minutes);
    for epoch in 0.. {
        let load = Load::new(epoch, options.seed, options.rate, server.addresses());
        let (ended, checked) = load.run(options.clients, || {
            let mut ended = Vec::new();
            for life in 0..LIVES_PER_EPOCH {
                live(&server, &mut samples, Duration::from_secs(options.life));
                // In turn, so that each kind follows each.
                let ending = if (epoch + life) % 2 == 0 { Ending::Kill } else { Ending::Term };
                let gone = probe.away();
                server.end(ending);
                server = Server::start(&data);
                ended.push((ending, probe.back(gone)));
            }
            ended
        });
        verdict.note_epoch(ended, checked, &load);
        let minutes = begun.elapsed().as_secs() / 60;
        eprintln!("soak: epoch {epoch}, minute {minutes}: {}", samples.last());
        if begun.elapsed() >= end {
            break;
        }
    }
    verdict.note_end(begun.elapsed(), probe.stop(), samples);
    server.end(Ending::Term);
    verdict.note_files(server::verify(&data));
    verdict
}

/// Lets the server live for a while and looks at it.
fn live(server: &Server, samples: &mut Samples, span: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < span {
        std::thread::sleep(Duration::from_millis(500).min(span));
        samples.take(server.id());
    }
    samples.life_ends();
}
