//! Durable commits: one writer beside raw writes of the same bytes, and 64 writers beside other
//! engines. What is claimed: a lone writer has at least 0.9 of what the disk gives.
//!
//! Other engines are measured by `peers.rs`.

use benches::scratch::RawFile;
use benches::writers::{self, Latencies};
use benches::{Bench, Case, log};
use std::cell::{Cell, RefCell};
use std::io::{self, Write as _};
use std::process::ExitCode;
use wal::{FsyncMode, Log, WalError};

const THREADS: u64 = 64;
const DOCUMENT_BYTES: usize = 256;
/// The disk's speed drifts by a fifth within seconds: each sample of the lone writer is 16 short
/// runs in turn with the peer's.
const SLICES: usize = 16;

fn main() -> ExitCode {
    benches::run("commit", |bench| {
        lone(bench)?;
        many(bench)
    })
}

/// One writer, each commit durable before the next, beside `pwrite` and `fdatasync` of as many
/// bytes into a zero-filled file.
fn lone(bench: &mut Bench) -> io::Result<()> {
    let writes = bench.amount(500);
    let puts = log::puts(usize::try_from(writes).unwrap_or(usize::MAX), DOCUMENT_BYTES);
    let bytes = {
        let mut tx = wal::Transaction::new();
        puts.iter().take(1).try_for_each(|put| tx.push(put)).map_err(log::failed)?;
        tx.bytes()
    };
    let scratch = bench.scratch();
    let frame = vec![0xA5; usize::try_from(bytes).unwrap_or(usize::MAX)];
    let raw = RawFile::zero_filled(&scratch.path("raw"), writes * bytes)?;
    let log = log::create(&scratch.path("lone"), log::options(FsyncMode::Group))?;
    bench.case_in_slices(
        Case {
            name: "lone",
            operation: "one durable commit of one 256 B document, one writer",
            peer: "pwrite and fdatasync of the same bytes, zero-filled file",
            aim: Some(0.9),
        },
        SLICES,
        |stopwatch| {
            stopwatch.time(writes, || {
                puts.iter().try_for_each(|put| log.append(put).map(drop)).map_err(log::failed)
            })
        },
        |stopwatch| {
            stopwatch.time(writes, || {
                (0..writes).try_for_each(|n| {
                    raw.write_all_at(&frame, n * bytes)?;
                    raw.sync_data()
                })
            })
        },
    )?;
    log.close().map_err(log::failed)?;
    scratch.remove("raw")
}

/// 64 writers in one log, beside one writer per sync: what group commit is worth; then beside the
/// peers.
fn many(bench: &mut Bench) -> io::Result<()> {
    let writes = bench.amount(200);
    let puts = log::puts(4096, DOCUMENT_BYTES);
    let scratch = bench.scratch();
    let ours = log::create(&scratch.path("group"), log::options(FsyncMode::Group))?;
    let lone = log::create(&scratch.path("alone"), log::options(FsyncMode::Group))?;
    let latencies = RefCell::new(Latencies::default());
    let commit = |log: &Log, thread: u64, n: u64| -> Result<(), WalError> {
        let at = usize::try_from(thread * 31 + n).unwrap_or(0) % puts.len();
        log.append(&puts[at]).map(drop)
    };
    let before = Cell::new(ours.status().commits);
    bench.case(
        Case {
            name: "many",
            operation: "one durable commit of one 256 B document, 64 threads",
            peer: "the same log with one thread",
            aim: None,
        },
        |stopwatch| {
            stopwatch.time(THREADS * writes, || {
                let write = |thread, n| commit(&ours, thread, n).map_err(log::failed);
                *latencies.borrow_mut() = writers::run(THREADS, writes, write)?;
                Ok(())
            })
        },
        |stopwatch| {
            stopwatch.time(writes, || {
                (0..writes).try_for_each(|n| commit(&lone, 0, n)).map_err(log::failed)
            })
        },
    )?;
    let now = ours.status().commits;
    tell("docdb, 64 threads", &latencies.borrow(), mean(before.get(), now))?;
    ours.close().map_err(log::failed)?;
    lone.close().map_err(log::failed)?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench stay far below 2^53")]
fn mean(before: wal::CommitStats, now: wal::CommitStats) -> f64 {
    let groups = now.total_batches - before.total_batches;
    (now.total_transactions - before.total_transactions) as f64 / groups.max(1) as f64
}

/// What the table of the report has no column for.
fn tell(who: &str, latencies: &Latencies, group: f64) -> io::Result<()> {
    writeln!(io::stdout(), "{who}: mean group {group:.1}; last round {latencies}")
}
