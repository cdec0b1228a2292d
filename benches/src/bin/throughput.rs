//! How much log a CPU second writes without syncing, and how much it replays, in 1-KiB records. The
//! aim is 1 GB per CPU second: about 1 µs of CPU per record.

use benches::scratch::RawFile;
use benches::{Bench, Case, log};
use std::cell::Cell;
use std::io;
use std::process::ExitCode;

use base::io::{Disk as _, Open, RealDisk};
use wal::{FsyncMode, Log, Options};

const RECORD_BYTES: usize = 1024;
/// Records in one transaction: one write call.
const TRANSACTION: u64 = 256;
const READ_BYTES: usize = 1024 * 1024;

fn main() -> ExitCode {
    benches::run("throughput", |bench| {
        append(bench)?;
        replay(bench)
    })
}

/// Settings under which all records of a sample go into one segment, claimed before the clock
/// starts.
fn one_segment(mode: FsyncMode) -> Options {
    let bytes = 512 * 1024 * 1024;
    Options { segment_bytes_first: bytes, segment_bytes_max: bytes, ..log::options(mode) }
}

fn fill(log: &Log, puts: &[base::words::Change], transactions: u64) -> io::Result<()> {
    let mut next = puts.iter().cycle();
    for _ in 0..transactions {
        let mut tx = log.transaction();
        for put in next.by_ref().take(usize::try_from(TRANSACTION).unwrap_or(usize::MAX)) {
            tx.push(put).map_err(log::failed)?;
        }
        log.commit(tx).map_err(log::failed)?;
    }
    Ok(())
}

/// Unsynced appends beside raw writes of as many bytes in pieces of the same size.
fn append(bench: &mut Bench) -> io::Result<()> {
    let transactions = bench.amount(512);
    let records = transactions * TRANSACTION;
    let puts = log::puts(4096, RECORD_BYTES);
    let scratch = bench.scratch();
    let piece = vec![0xA5; 1104 * usize::try_from(TRANSACTION).unwrap_or(1)];
    let raw = RawFile::zero_filled(&scratch.path("raw"), transactions * piece.len() as u64)?;
    let run = Cell::new(0);
    bench.case(
        Case {
            name: "append",
            operation: "one 1-KiB record of a transaction of 256, mode none, claimed segment",
            peer: "pwrite of the same bytes, zero-filled file",
            aim: None,
        },
        |stopwatch| {
            run.set(run.get() + 1);
            let dir = scratch.path(&format!("append-{}", run.get()));
            let log = log::create(&dir, one_segment(FsyncMode::Never))?;
            // The first commit claims the segment.
            fill(&log, &puts, 1)?;
            stopwatch.time(records, || fill(&log, &puts, transactions))?;
            log.close().map_err(log::failed)?;
            remove(&dir)
        },
        |stopwatch| {
            stopwatch.time(records, || {
                (0..transactions).try_for_each(|n| raw.write_all_at(&piece, n * piece.len() as u64))
            })
        },
    )?;
    scratch.remove("raw")
}

/// Opening a closed log with every change decoded, beside reading its files.
fn replay(bench: &mut Bench) -> io::Result<()> {
    let transactions = bench.amount(512);
    let records = transactions * TRANSACTION;
    let dir = bench.scratch().path("replay");
    let options = log::options(FsyncMode::Never);
    let log = log::create(&dir, options.clone())?;
    let puts = log::puts(4096, RECORD_BYTES);
    for put in puts.iter().cycle().take(usize::try_from(records).unwrap_or(usize::MAX)) {
        log.append(put).map_err(log::failed)?;
    }
    log.close().map_err(log::failed)?;
    bench.case(
        Case {
            name: "replay",
            operation: "one 1-KiB record, read, verified and decoded by opening a closed log",
            peer: "reading the same files in pieces of 1 MiB",
            aim: None,
        },
        |stopwatch| {
            let mut seen = 0;
            stopwatch.time(records, || {
                let count = &mut |frame: &wal::Frame<'_>| {
                    seen += u64::from(frame.change().is_some());
                    Ok(())
                };
                let env = log::environment();
                Log::open_dir(&env, &dir, options.clone(), count).map_err(log::failed)?;
                Ok(())
            })?;
            if seen == records { Ok(()) } else { Err(io::Error::other("records are missing")) }
        },
        |stopwatch| {
            let mut buffer = vec![0; READ_BYTES];
            stopwatch.time(records, || {
                for entry in RealDisk.list(&dir)? {
                    let file = RealDisk.open(&dir.join(&entry.name), Open::Read)?;
                    let mut at = 0;
                    while let n @ 1.. = file.read_at(&mut buffer, at)? {
                        at += n as u64;
                    }
                }
                Ok(())
            })
        },
    )?;
    remove(&dir)
}

fn remove(dir: &std::path::Path) -> io::Result<()> {
    for entry in RealDisk.list(dir)? {
        RealDisk.remove_file(&dir.join(entry.name))?;
    }
    RealDisk.remove_dir(dir)
}
