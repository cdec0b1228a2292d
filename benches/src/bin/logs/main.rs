//! Application logs: how fast they are stored, how much room they take, how fast they are found.
//!
//! With `serve` as its first argument this program is docdb's server, for what comes over TCP.
//!
//! Ours beside three designs on plain SQLite (`plain.rs`): what a first version looks like, with
//! twelve indexes and full text by triggers; a lean one; and rows alone, which is as fast as SQLite
//! gets without finding anything by text. All commit with `synchronous=FULL`.

mod lines;
mod plain;
mod searches;
mod wire;

use std::cell::RefCell;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use base::clock::{Clock as _, SystemClock};
use base::io::RealDisk;
use base::retry::{InterruptibleWaiter, Waiter as _};
use benches::writers::Latencies;
use benches::{Bench, Case};
use logstore::{BatchedSqliteStorage, Entry, Environment, LogError, LogStorage as _, Options};

use lines::Lines;
use plain::{Design, Plain};

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == "serve") {
        let (out, err) = (&mut io::stdout(), &mut io::stderr());
        let environment = std::env::vars_os().collect();
        return docdb::cli::run_on(RealDisk::shared(), std::env::args_os(), environment, out, err);
    }
    benches::run("logs", |bench| {
        ingest(bench)?;
        wire::run(bench)?;
        steady(bench)?;
        calls(bench)?;
        searches::run(bench)
    })
}

fn failed(error: LogError) -> io::Error {
    io::Error::other(error)
}

fn open(bench: &Bench, name: &str) -> io::Result<BatchedSqliteStorage> {
    let dir = bench.scratch().path(name);
    // Room for the largest batch, and for what comes while it is written.
    let options = Options { queue_size: 20_000, queue_bytes: 32 << 20, ..Options::default() };
    BatchedSqliteStorage::open(&dir, options, Environment::system()).map_err(failed)
}

/// Entries that are made before the clock runs.
fn groups(lines: &mut Lines, rows: u64, batch: u64) -> Vec<Vec<Entry>> {
    let whole = (0..rows / batch).map(|_| batch);
    let rest = (!rows.is_multiple_of(batch)).then_some(rows % batch);
    whole.chain(rest).map(|count| (0..count).map(|_| lines.entry()).collect()).collect()
}

/// Stores groups, two at a time on their way, and waits for the last commit. Groups of one entry are
/// each committed before the next one is stored.
fn store(logs: &BatchedSqliteStorage, groups: Vec<Vec<Entry>>) -> io::Result<()> {
    let mut before = None;
    for group in groups {
        if group.len() == 1 {
            for entry in group {
                logs.store_durable(entry).map_err(failed)?;
            }
            continue;
        }
        let now = logs.store_all(group).map_err(failed)?;
        if let Some(before) = before.replace(now) {
            let receipt: logstore::Receipt = before.wait().map_err(failed)?;
            if !receipt.refused.is_empty() {
                return Err(io::Error::other("entries were refused"));
            }
        }
    }
    before.map_or(Ok(()), |last| last.wait().map(drop).map_err(failed))
}

/// Rows per second, committed with FULL, beside each design at its batch.
fn ingest(bench: &mut Bench) -> io::Result<()> {
    for (name, design, batch, rows) in [
        ("ingest-plain-1", Design::Plain, 1, 300),
        ("ingest-plain-100", Design::Plain, 100, 5000),
        ("ingest-plain", Design::Plain, 1000, 20_000),
        ("ingest-plain-4096", Design::Plain, 4096, 20_480),
        ("ingest-lean-1", Design::Lean, 1, 300),
        ("ingest-lean-100", Design::Lean, 100, 10_000),
        ("ingest-lean", Design::Lean, 1000, 50_000),
        ("ingest-rows", Design::RowsOnly, 1000, 100_000),
        ("ingest-rows-4096", Design::RowsOnly, 4096, 200_000),
    ] {
        let rows = bench.amount(rows);
        let ours = open(bench, name)?;
        let peer =
            RefCell::new(Plain::create(&bench.scratch().path(&format!("{name}-peer")), design)?);
        let lines = RefCell::new(Lines::new(1));
        let case = Case {
            name,
            operation: "one entry stored, committed with FULL",
            peer: &format!("{}, batches of {batch}", design.name()),
            aim: None,
        };
        bench.case(
            case,
            |stopwatch| {
                let groups = groups(&mut lines.borrow_mut(), rows, batch);
                stopwatch.time(rows, || store(&ours, groups))
            },
            |stopwatch| {
                let groups = groups(&mut lines.borrow_mut(), rows, batch);
                stopwatch.time(rows, || {
                    groups.iter().try_for_each(|group| peer.borrow_mut().store(group))
                })
            },
        )?;
        ours.close(Duration::from_secs(60)).map_err(failed)?;
        let (bytes, entries) = size(&ours)?;
        let (peer_bytes, peer_entries) = peer.borrow().size()?;
        tell(&format!(
            "{name}: {:.1} bytes per entry, {}: {:.1}",
            per(bytes, entries),
            design.name(),
            per(peer_bytes, peer_entries)
        ))?;
    }
    Ok(())
}

fn size(logs: &BatchedSqliteStorage) -> io::Result<(u64, u64)> {
    let stats = logs.stats().map_err(failed)?;
    Ok((stats.bytes, stats.entries))
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench stay far below 2^53")]
fn per(bytes: u64, entries: u64) -> f64 {
    bytes as f64 / entries.max(1) as f64
}

/// How long an entry takes to the database when ten come every millisecond.
fn steady(bench: &Bench) -> io::Result<()> {
    let logs = open(bench, "steady")?;
    let mut lines = Lines::new(4);
    let waiter = InterruptibleWaiter::new();
    for _ in 0..bench.amount(5000) {
        for _ in 0..10 {
            drop(logs.store(lines.entry()).map_err(failed)?);
        }
        waiter.wait(Duration::from_millis(1));
    }
    logs.close(Duration::from_secs(60)).map_err(failed)?;
    let delay = logs.stats().map_err(failed)?.commit_delay;
    tell(&format!(
        "steady: the oldest of each batch to the database: p50 {:?}, p99 {:?}, longest {:?}",
        delay.p50, delay.p99, delay.max
    ))
}

/// What `store` costs its caller in a burst.
fn calls(bench: &Bench) -> io::Result<()> {
    let logs = open(bench, "calls")?;
    let mut lines = Lines::new(2);
    let clock = SystemClock::new();
    let mut times = Vec::new();
    for _ in 0..bench.amount(200_000) {
        let entry = lines.entry();
        loop {
            let entry = entry.clone();
            let start = clock.now();
            match logs.store(entry) {
                Ok(completion) => {
                    times.push(clock.now().since(start));
                    drop(completion);
                    break;
                }
                // What is refused is not what is measured.
                Err(LogError::QueueFull { .. }) => std::thread::yield_now(),
                Err(error) => return Err(failed(error)),
            }
        }
    }
    logs.close(Duration::from_secs(60)).map_err(failed)?;
    let stats = logs.stats().map_err(failed)?;
    let latencies = Latencies::of(times);
    tell(&format!(
        "store(): p50 {:?}, p99 {:?}, p999 {:?}; {} stored; {}",
        latencies.p50,
        latencies.p99,
        latencies.p999,
        stats.stored,
        resident(),
    ))
}

/// What the process has in memory, as the system says.
#[expect(clippy::disallowed_methods, reason = "the system's own file, not data of docdb")]
fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.unwrap_or("VmHWM: unknown").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the table of the report has no column for.
fn tell(what: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{what}")
}
