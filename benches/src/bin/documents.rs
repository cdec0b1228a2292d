//! The document store: what it costs above the log it stands on. Durable writes of one thread and
//! of 64 beside the same writes into a bare log; point reads of what is in memory and of what is in
//! data files, beside reading as many bytes with `pread`.

use std::io;
use std::process::ExitCode;

use base::document::Document;
use base::io::{Disk as _, Open, RealDisk, read_exact_at, write_all_at};
use base::memory::Budget;
use base::rng::Rng;
use base::words::DocId;
use benches::{Bench, Case, log, writers};
use docstore::{DEFAULT_COLLECTION, Database, Options, StoreError, Write, default_name};
use wal::FsyncMode;

const THREADS: u64 = 64;
const DOCUMENT_BYTES: usize = 256;
/// Documents that are read.
const DOCUMENTS: u64 = 1_000_000;
const BATCH: u64 = 1000;

fn main() -> ExitCode {
    benches::run("documents", |bench| {
        durable(bench, "put", 1, 2000)?;
        durable(bench, "put64", THREADS, 200)?;
        reads(bench)
    })
}

fn failed(error: StoreError) -> io::Error {
    io::Error::other(error)
}

fn create(bench: &Bench<'_>, name: &str) -> io::Result<Database> {
    let dir = bench.scratch().path(name);
    let budget = Budget::new("bench", 4 << 30);
    let environment = log::environment();
    Database::create(&environment, &dir, &default_name(), Options::default(), &budget)
        .map_err(failed)
}

fn documents(count: usize) -> io::Result<Vec<Document>> {
    let texts = log::payloads(count, DOCUMENT_BYTES);
    let parsed = texts.iter().map(|text| Document::parse(text).map_err(io::Error::other));
    parsed.collect()
}

/// Durable upserts of `threads` threads, each waiting for its own before the next.
fn durable(bench: &mut Bench<'_>, name: &str, threads: u64, writes: u64) -> io::Result<()> {
    let writes = bench.amount(writes);
    let documents = documents(4096)?;
    let puts = log::puts(4096, DOCUMENT_BYTES);
    let database = create(bench, &format!("{name}-documents"))?;
    let bare =
        log::create(&bench.scratch().path(&format!("{name}-log")), log::options(FsyncMode::Group))?;
    let at = |thread: u64, n: u64| usize::try_from(thread * 31 + n).unwrap_or(0) % 4096;
    let put = |thread: u64, n: u64| {
        let id = DocId::U64(thread * 1_000_003 + n);
        let write = Write::upsert(DEFAULT_COLLECTION, id, documents[at(thread, n)].clone());
        database.write(write).map(drop).map_err(failed)
    };
    let append =
        |thread: u64, n: u64| bare.append(&puts[at(thread, n)]).map(drop).map_err(log::failed);
    let operation = format!("one durable upsert of one 256 B document, threads={threads}");
    bench.case(
        Case { name, operation: &operation, peer: "appending it to a log alone", aim: None },
        |stopwatch| {
            stopwatch.time(threads * writes, || writers::run(threads, writes, put).map(drop))
        },
        |stopwatch| {
            stopwatch.time(threads * writes, || writers::run(threads, writes, append).map(drop))
        },
    )?;
    bare.close().map_err(log::failed)?;
    database.close().map_err(failed)
}

/// Point reads of random documents, by one thread.
fn reads(bench: &mut Bench<'_>) -> io::Result<()> {
    let count = bench.amount(DOCUMENTS);
    let documents = documents(4096)?;
    let database = create(bench, "reads")?;
    for first in (0..count).step_by(usize::try_from(BATCH).unwrap_or(usize::MAX)) {
        let ids = first..(first + BATCH).min(count);
        let write = |n: u64| {
            let at = usize::try_from(n % 4096).unwrap_or(0);
            Write::upsert(DEFAULT_COLLECTION, DocId::U64(n), documents[at].clone())
        };
        database.batch(ids.map(write).collect()).map_err(io::Error::other)?;
    }
    database.checkpoint().map_err(failed)?;
    let path = bench.scratch().path("raw");
    let raw = RealDisk.open(&path, Open::CreateNew)?;
    for n in 0..count {
        write_all_at(&*raw, &[0xA5; 512], n * 512)?;
    }
    let lookups = bench.amount(500_000);
    let (mut rng, mut other) = (Rng::new(7), Rng::new(7));
    bench.case(
        Case {
            name: "get",
            operation: "one point read of a random 256 B document in a data file, cached by the system",
            peer: "pread of 512 B at a random place of a file as large",
            aim: None,
        },
        |stopwatch| {
            stopwatch.time(lookups, || {
                for _ in 0..lookups {
                    let id = DocId::U64(rng.below(count));
                    let found = database.get(DEFAULT_COLLECTION, &id).map_err(failed)?;
                    found.ok_or_else(|| io::Error::other("a document is missing"))?;
                }
                Ok(())
            })
        },
        |stopwatch| {
            let mut buffer = vec![0; 512];
            stopwatch.time(lookups, || {
                (0..lookups).try_for_each(|_| read_exact_at(&*raw, &mut buffer, other.below(count) * 512))
            })
        },
    )?;
    database.close().map_err(failed)
}
