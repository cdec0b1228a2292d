//! Durable commits of 64 threads in our log and in other engines: each engine in the load it likes
//! best (one put per thread), and behind the same committer that combines what waits. What is
//! claimed: none is faster.
//!
//! The peers keep an index and ours here is only a log, so this is what the commit path costs, not
//! what a database does. Run by `cargo xtask bench --peers`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use base::io::{Disk as _, RealDisk};
use benches::rocks::{Rocks, Setup};
use benches::writers::{self, Combiner, Latencies};
use benches::{Bench, Case, log};
use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use wal::FsyncMode;

const THREADS: u64 = 64;
const DOCUMENT_BYTES: usize = 256;
const DOCUMENTS: usize = 4096;

/// A peer's way to write some keys durably.
type Write<'a> = &'a (dyn Fn(&[(u64, &[u8])]) -> io::Result<()> + Sync);

fn main() -> ExitCode {
    benches::run("peers", |bench| {
        let scratch = bench.scratch();
        let dir = scratch.path("rocks");
        RealDisk.create_dir(&dir)?;
        let rocks = Rocks::open(&dir, Setup::Default)?;
        let write = |entries: &[(u64, &[u8])]| {
            rocks.write(entries.iter().map(|(key, value)| (key.to_le_bytes(), *value)))
        };
        against(bench, "rocksdb", "RocksDB 7.8", &write)?;
        drop(rocks);
        let fjall = Database::builder(scratch.path("fjall")).open().map_err(io::Error::other)?;
        let keys = fjall
            .keyspace("documents", KeyspaceCreateOptions::default)
            .map_err(io::Error::other)?;
        let write = |entries: &[(u64, &[u8])]| {
            let mut batch = fjall.batch().durability(Some(PersistMode::SyncData));
            for (key, value) in entries {
                batch.insert(&keys, key.to_le_bytes(), *value);
            }
            batch.commit().map_err(io::Error::other)
        };
        against(bench, "fjall", "fjall 3.1", &write)
    })
}

/// Ours beside one peer, in both loads.
fn against(bench: &mut Bench, name: &str, peer: &str, write: Write<'_>) -> io::Result<()> {
    let writes = bench.amount(500);
    let values = log::payloads(DOCUMENTS, DOCUMENT_BYTES);
    let value = |thread: u64, n: u64| {
        let key = thread * 1_000_003 + n;
        let at = usize::try_from(key).unwrap_or(0) % values.len();
        (key, values[at].as_slice())
    };
    let direct = |thread, n| write(&[value(thread, n)]);
    pair(
        bench,
        &format!("{name}-direct"),
        &format!("{peer}, its own group commit"),
        writes,
        &direct,
    )?;
    let combiner = Combiner::default();
    let combined = |thread, n| combiner.commit(value(thread, n), |group: &mut Vec<_>| write(group));
    pair(
        bench,
        &format!("{name}-combined"),
        &format!("{peer} behind one committer"),
        writes,
        &combined,
    )?;
    writeln!(io::stdout(), "{peer} behind one committer: mean group {:.1}", combiner.mean_group())
}

fn pair(
    bench: &mut Bench,
    name: &str,
    peer: &str,
    writes: u64,
    write: &(dyn Fn(u64, u64) -> io::Result<()> + Sync),
) -> io::Result<()> {
    let puts = log::puts(DOCUMENTS, DOCUMENT_BYTES);
    let ours = log::create(&bench.scratch().path(name), log::options(FsyncMode::Group))?;
    let commit = |thread: u64, n: u64| {
        let at = usize::try_from(thread * 1_000_003 + n).unwrap_or(0) % puts.len();
        ours.append(&puts[at]).map(drop).map_err(log::failed)
    };
    let (mut mine, mut theirs) = (Latencies::default(), Latencies::default());
    let case = Case {
        name,
        operation: "one durable commit of one 256 B document, 64 threads",
        peer,
        aim: Some(1.0),
    };
    bench.case(
        case,
        |stopwatch| {
            stopwatch.time(THREADS * writes, || {
                mine = writers::run(THREADS, writes, commit)?;
                Ok(())
            })
        },
        |stopwatch| {
            stopwatch.time(THREADS * writes, || {
                theirs = writers::run(THREADS, writes, write)?;
                Ok(())
            })
        },
    )?;
    let stats = ours.status().commits;
    writeln!(
        io::stdout(),
        "{name}: docdb mean group {:.1}, {mine}; {peer} {theirs}",
        stats.avg_batch_size
    )?;
    ours.close().map_err(log::failed)
}
