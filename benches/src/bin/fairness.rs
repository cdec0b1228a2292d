//! Fairness: one database flooded by 64 clients, and nine quiet ones beside it, of a real server over
//! its socket with standard settings.
//!
//! What is claimed: the flooded one keeps 0.7 of the rate that it has alone; of a quiet one 99 of 100
//! requests take at most three times as long as without the flood, or 5 ms longer. With `serve` as its
//! first argument this program is the server.

use std::cell::RefCell;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use base::clock::{Clock as _, SystemClock};
use base::io::RealDisk;
use benches::stopwatch::Sample;
use benches::writers::Latencies;
use benches::{Bench, Case, Stopwatch};
use client::{Client, Collection};

const FLOODING: u64 = 64;
const QUIET: u64 = 9;
/// A quiet client asks so often.
const PAUSE: Duration = Duration::from_millis(20);
/// Milliseconds of a round.
const ROUND_MS: u64 = 3000;
/// Documents of each database.
const IDS: u64 = 10_000;
const DOCUMENT_BYTES: usize = 256;
/// What a quiet request may take: so many times as long, or so much longer.
const TIMES: u32 = 3;
const LONGER: Duration = Duration::from_millis(5);
/// Pairs of ten in which a claim must hold.
const HOLDS_IN: (usize, usize) = (7, 9);
/// Looks for the server until it is there.
const LOOKS: u32 = 6000;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == "serve") {
        let (out, err) = (&mut io::stdout(), &mut io::stderr());
        let environment = std::env::vars_os().collect();
        return docdb::cli::run_on(RealDisk::shared(), std::env::args_os(), environment, out, err);
    }
    benches::run("fairness", |bench| {
        let server = Server::start(&bench.scratch().path("fairness"))?;
        let load = Load::new(&server)?;
        flooded(bench, &load)?;
        quiet(bench, &load)
    })
}

/// Takes what a round came to for one side of a pair.
fn timed(stopwatch: &mut Stopwatch, sample: Sample) -> io::Result<()> {
    stopwatch.add(sample);
    Ok(())
}

fn flooded(bench: &mut Bench, load: &Load) -> io::Result<()> {
    let ms = bench.amount(ROUND_MS);
    let case = Case {
        name: "flooded",
        operation: "one durable put of 256 B, 64 clients on one database, nine quiet ones beside it",
        peer: "the same without the quiet ones",
        aim: Some(0.7),
    };
    bench.case(
        case,
        |stopwatch| timed(stopwatch, load.round(ms, FLOODING, QUIET)?.flooded),
        |stopwatch| timed(stopwatch, load.round(ms, FLOODING, 0)?.flooded),
    )
}

fn quiet(bench: &mut Bench, load: &Load) -> io::Result<()> {
    let ms = bench.amount(ROUND_MS);
    let (beside, alone) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
    let case = Case {
        name: "quiet",
        operation: "the 99th percentile of a quiet client's puts and reads, as a rate, beside the flood",
        peer: "the same without the flood",
        // What it may be depends on both figures, and is told below.
        aim: None,
    };
    let note = |into: &RefCell<Vec<Latencies>>, quiet: Latencies| {
        into.borrow_mut().push(quiet);
        Sample { operations: 1, wall: quiet.p99, cpu: Duration::ZERO }
    };
    bench.case(
        case,
        |stopwatch| timed(stopwatch, note(&beside, load.round(ms, FLOODING, QUIET)?.quiet)),
        |stopwatch| timed(stopwatch, note(&alone, load.round(ms, 0, QUIET)?.quiet)),
    )?;
    tell(&alone.borrow(), &beside.borrow())
}

/// What the table of the report has no column for. The first round of each was to warm up.
fn tell(alone: &[Latencies], beside: &[Latencies]) -> io::Result<()> {
    let skipped = usize::from(alone.len() > 1);
    let pairs: Vec<_> = alone.iter().zip(beside).skip(skipped).collect();
    let bound = |alone: &Latencies| (TIMES * alone.p99).max(alone.p99 + LONGER);
    let holding = pairs.iter().filter(|(alone, beside)| beside.p99 <= bound(alone)).count();
    let mut out = io::stdout();
    for (alone, beside) in &pairs {
        writeln!(out, "quiet, alone {alone}; beside the flood {beside}")?;
    }
    let (needed, of) = HOLDS_IN;
    let verdict = match (pairs.len() >= of, holding * of >= needed * pairs.len()) {
        (false, _) => "too few pairs",
        (true, true) => "holds",
        (true, false) => "does not hold",
    };
    writeln!(out, "quiet p99 within its bound in {holding} of {} pairs: {verdict}", pairs.len())
}

/// What one round came to.
struct Round {
    /// Of the flooded database.
    flooded: Sample,
    /// Of all quiet ones together.
    quiet: Latencies,
}

/// The clients, connected once.
struct Load {
    flooding: Vec<Collection>,
    quiet: Vec<Collection>,
    document: Vec<u8>,
}

impl Load {
    fn new(server: &Server) -> io::Result<Self> {
        let connect = |name: &str| {
            let client = server.client().map_err(io::Error::other)?;
            let database = client.open_or_create_database(name).map_err(io::Error::other)?;
            Ok::<_, io::Error>(database.collection("default"))
        };
        let flooding = (0..FLOODING).map(|_| connect("flooded")).collect::<io::Result<_>>()?;
        let quiet =
            (0..QUIET).map(|n| connect(&format!("quiet-{n}"))).collect::<io::Result<_>>()?;
        let pad = "x".repeat(DOCUMENT_BYTES - 10);
        Ok(Self { flooding, quiet, document: format!("{{\"pad\":\"{pad}\"}}").into_bytes() })
    }

    /// Lets so many clients work for so long.
    fn round(&self, ms: u64, flooding: u64, quiet: u64) -> io::Result<Round> {
        let clock = SystemClock::new();
        let begin = clock.now();
        let is_over = || clock.now().since(begin) >= Duration::from_millis(ms);
        let put = |all: &Collection, n: u64| {
            all.upsert(n % IDS, &self.document).map(drop).map_err(io::Error::other)
        };
        // Each client does something, however short the round is.
        let flood = |all: &Collection, number: u64| -> io::Result<u64> {
            let mut done = 0;
            while done == 0 || !is_over() {
                put(all, number * 151 + done)?;
                done += 1;
            }
            Ok(done)
        };
        let ask = |all: &Collection, number: u64| -> io::Result<Vec<Duration>> {
            let mut times = Vec::new();
            while times.is_empty() || !is_over() {
                let (n, start) = (number * 151 + times.len() as u64 / 2, clock.now());
                match times.len() % 2 {
                    0 => put(all, n)?,
                    _ => drop(all.get(n % IDS).map_err(io::Error::other)?),
                }
                times.push(clock.now().since(start));
                wait(PAUSE.min(Duration::from_millis(ms)));
            }
            Ok(times)
        };
        let (done, times) = std::thread::scope(|scope| {
            let (flood, ask) = (&flood, &ask);
            let flooding = self.flooding.iter().zip(0..flooding);
            let flooding: Vec<_> =
                flooding.map(|(all, n)| scope.spawn(move || flood(all, n))).collect();
            let quiet = self.quiet.iter().zip(0..quiet);
            let quiet: Vec<_> = quiet.map(|(all, n)| scope.spawn(move || ask(all, n))).collect();
            let panicked = |_| io::Error::other("a client panicked");
            let done = flooding.into_iter().map(|thread| thread.join().map_err(panicked)?);
            let done = done.sum::<io::Result<u64>>();
            let times = quiet.into_iter().map(|thread| thread.join().map_err(panicked)?);
            (done, times.collect::<io::Result<Vec<_>>>())
        });
        let wall = clock.now().since(begin);
        let flooded = Sample { operations: done?, wall, cpu: Duration::ZERO };
        Ok(Round { flooded, quiet: Latencies::of(times?.into_iter().flatten().collect()) })
    }
}

#[expect(clippy::disallowed_methods, reason = "a quiet client is one that waits by the clock")]
fn wait(time: Duration) {
    std::thread::sleep(time);
}

/// The server, as a process of its own.
struct Server {
    child: Child,
    socket: PathBuf,
}

impl Server {
    fn start(at: &Path) -> io::Result<Self> {
        let socket = at.with_extension("sock");
        let child = Command::new(std::env::current_exe()?)
            .args(["serve", "--http", "off", "--log.level", "warn", "--data-dir"])
            .arg(at)
            .arg("--socket")
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let mut server = Self { child, socket };
        for _ in 0..LOOKS {
            if server.client().is_ok() {
                return Ok(server);
            }
            if server.child.try_wait()?.is_some() {
                break;
            }
            wait(Duration::from_millis(10));
        }
        Err(io::Error::other("the server does not start"))
    }

    fn client(&self) -> client::Result<Client> {
        Client::connect(&format!("unix:{}", self.socket.display()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
