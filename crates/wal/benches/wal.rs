//! What the log costs step by step: laying out and sealing a frame, appending without a sync in
//! memory, replaying, one durable commit, and 64 threads that commit at once.
//!
//! Comparisons with raw writes and with other engines are in the crate `benches`.

use std::hint::black_box;
use std::path::Path;

use base::clock::SystemClock;
use base::document::Document;
use base::io::{Disk as _, DiskRef, MemDisk, RealDisk};
use base::words::{Change, CollectionId, DatabaseId, DocId, Lsn};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use wal::frame::{self, Seed};
use wal::{Environment, FsyncMode, Log, Options, Transaction};

/// Documents per replay: 16 MiB of them.
const REPLAYED: u64 = 16 * 1024;
const THREADS: u64 = 64;

fn put(n: u64, bytes: usize) -> Change {
    let text = format!("{{\"n\":{n},\"pad\":\"{}\"}}", "x".repeat(bytes.saturating_sub(30)));
    Change::Put {
        collection: CollectionId(1),
        id: DocId::U64(n),
        replaces: Lsn::ZERO,
        expires_at: None,
        document: Document::parse(text.as_bytes()).expect("it is JSON"),
    }
}

fn env(disk: DiskRef) -> Environment {
    Environment { disk, clock: SystemClock::shared(), reserve: None }
}

fn create(disk: DiskRef, dir: &Path, fsync: FsyncMode) -> Log {
    let options = Options { fsync, ..Options::default() };
    let database = DatabaseId::from_bytes([1; 16]);
    Log::create(&env(disk), dir, database, options).expect("a new log in an empty directory")
}

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame");
    for bytes in [256, 1024] {
        let change = put(1, bytes);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("lay_out_{bytes}B"), |b| {
            b.iter(|| {
                let mut tx = Transaction::new();
                tx.push(black_box(&change)).map(|()| tx)
            });
        });
    }
    let seed = Seed::new(DatabaseId::from_bytes([1; 16]), 1);
    let mut header = [0; frame::HEADER_BYTES];
    group.throughput(Throughput::Elements(1));
    group.bench_function("seal", |b| {
        b.iter(|| frame::seal(black_box(&mut header), Lsn(7), seed));
    });
    group.finish();
}

fn append_in_memory(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append_in_memory");
    for bytes in [256, 1024] {
        let change = put(1, bytes);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("{bytes}B"), |b| {
            b.iter_custom(|rounds| appending(&change, rounds));
        });
    }
    group.finish();
}

/// How long `rounds` appends take, in logs of bounded size: memory is all they are written to.
fn appending(change: &Change, rounds: u64) -> std::time::Duration {
    let clock = SystemClock::shared();
    let mut took = std::time::Duration::ZERO;
    let mut left = rounds;
    while left > 0 {
        let log = create(MemDisk::shared(), "/".as_ref(), FsyncMode::Never);
        let some = left.min(REPLAYED);
        let start = clock.now();
        for _ in 0..some {
            log.append(black_box(change)).expect("a disk in memory does not fail");
        }
        took += clock.now().since(start);
        left -= some;
    }
    took
}

fn replay(criterion: &mut Criterion) {
    let disk = MemDisk::shared();
    let log = create(DiskRef::clone(&disk), "/".as_ref(), FsyncMode::Never);
    for n in 0..REPLAYED {
        log.append(&put(n, 1024)).expect("a disk in memory does not fail");
    }
    log.close().expect("a disk in memory does not fail");
    let mut group = criterion.benchmark_group("replay");
    group.throughput(Throughput::Bytes(REPLAYED * 1024));
    group.sample_size(10);
    group.bench_function("1KiB_records", |b| {
        b.iter_batched(
            || (),
            |()| {
                let mut frames = 0_u64;
                let replayed = Log::open_dir(
                    &env(DiskRef::clone(&disk)),
                    "/".as_ref(),
                    Options::default(),
                    &mut |frame| {
                        frames += u64::from(black_box(frame.change()).is_some());
                        Ok(())
                    },
                );
                assert_eq!(frames, REPLAYED, "all of it is replayed");
                replayed.map(|(log, _)| log)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn durable(criterion: &mut Criterion) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory of cargo's");
    let mut group = criterion.benchmark_group("durable_commit");
    let change = put(1, 256);
    let path = dir.path().join("lone");
    RealDisk.create_dir(&path).expect("a new directory");
    let log = create(RealDisk::shared(), &path, FsyncMode::Group);
    group.bench_function("lone_256B", |b| b.iter(|| log.append(black_box(&change))));
    drop(log);
    let path = dir.path().join("many");
    RealDisk.create_dir(&path).expect("a new directory");
    let log = create(RealDisk::shared(), &path, FsyncMode::Group);
    group.throughput(Throughput::Elements(THREADS));
    group.bench_function("64_threads_256B_each", |b| {
        b.iter_custom(|rounds| timed(&log, &change, rounds));
    });
    group.finish();
}

/// How long `rounds` commits of each of the threads take.
fn timed(log: &Log, change: &Change, rounds: u64) -> std::time::Duration {
    let clock = SystemClock::shared();
    let start = clock.now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..rounds).try_for_each(|_| log.append(change).map(drop)));
        }
    });
    clock.now().since(start)
}

criterion_group!(benches, frames, append_in_memory, replay, durable);
criterion_main!(benches);
