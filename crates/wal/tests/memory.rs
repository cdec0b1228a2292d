//! How much memory the log takes, counted at the allocator: opening hostile files, recovering logs
//! of different sizes, and doing nothing.
//!
//! One test, because the counter is the process's.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use base::clock::{ClockRef, WallMs};
use base::document::Document;
use base::io::{DiskRef, Open, RealDisk, write_all_at};
use base::words::{Change, CollectionId, DatabaseId, DocId, Lsn};
use peak_alloc::PeakAlloc;
use sim::clock::VirtualClock;
use wal::frame::{self, Header, Kind, Place, Seed};
use wal::segment::FileName;
use wal::{Background, Environment, FileAnchor, FsyncMode, Log, Options, segment};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const MIB: usize = 1024 * 1024;
/// What opening any bytes whatever may take: the largest frame twice, and the read buffer.
const HOSTILE_BYTES_MAX: usize = 40 * MIB;
/// What recovery may take more for a log eight times as large.
const GROWTH_BYTES_MAX: usize = 2 * MIB;
/// What an open log without writes may take.
const IDLE_BYTES_MAX: usize = 16 * 1024;

/// Most bytes allocated at once while `work` runs, beyond those allocated before.
fn peak<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let out = work();
    (ALLOCATOR.peak_usage().saturating_sub(before), out)
}

/// Time that passes only when it is told to.
fn stopped() -> VirtualClock {
    VirtualClock::new(WallMs(1_700_000_000_000))
}

fn environment(clock: ClockRef) -> Environment {
    Environment { disk: RealDisk::shared(), clock, reserve: None }
}

fn options() -> Options {
    Options { background: Background::Manual, ..Options::default() }
}

fn put(n: u64, bytes: usize) -> Change {
    let text = format!("\"{}\"", "x".repeat(bytes));
    Change::Put {
        collection: CollectionId(1),
        id: DocId::U64(n),
        replaces: Lsn::ZERO,
        expires_at: None,
        document: Document::parse(text.as_bytes()).unwrap(),
    }
}

/// A segment of 64 MiB full of headers that are valid and claim the largest payload there is.
fn hostile(disk: &DiskRef, dir: &Path, database: DatabaseId) {
    let header = segment::Header {
        database,
        sequence: 1,
        first_lsn: Lsn(1),
        previous: 0,
        previous_end: 0,
        hint: Lsn::ZERO,
        created_ms: 0,
        chain: 0,
    };
    let file = disk.open(&FileName::Segment(1).path(dir), Open::CreateNew).unwrap();
    file.set_len(64 * MIB as u64).unwrap();
    write_all_at(&*file, &header.encode(), 0).unwrap();
    let seed = Seed::new(database, 1);
    for at in (0..32).map(|i| 128 + i * MIB as u64) {
        let mut frame = Header {
            len: u32::try_from(frame::PAYLOAD_BYTES_MAX).unwrap(),
            lsn: Lsn(1),
            hint: Lsn::ZERO,
            wall_ms: 0,
            kind: Kind::Put,
            place: Place::Last,
            tx_index: 0,
            payload_crc: 0x1234_5678,
        }
        .encode();
        frame::seal(&mut frame, Lsn::ZERO, seed);
        write_all_at(&*file, &frame, at).unwrap();
    }
}

/// A log of `records` records of 1 KiB that was not closed, in a mode that leaves recovery all of
/// it to write again.
fn unclosed(dir: &Path, records: u64) {
    let env = environment(stopped().shared());
    let options = Options { fsync: FsyncMode::Never, ..options() };
    let log = Log::create(&env, dir, DatabaseId::from_bytes([1; 16]), options).unwrap();
    for n in 0..records {
        log.append(&put(n, 1024)).unwrap();
    }
    // As if the process had been killed: the lock is a file that the copy below does not have.
    for entry in env.disk.list(dir).unwrap().iter().filter(|entry| entry.name != "LOCK") {
        let copy = dir.with_extension("copy");
        if env.disk.stat(&copy).unwrap().is_none() {
            env.disk.create_dir(&copy).unwrap();
        }
        let from = env.disk.open(&dir.join(&entry.name), Open::Read).unwrap();
        let to = env.disk.open(&copy.join(&entry.name), Open::CreateNew).unwrap();
        let mut bytes = vec![0; MIB];
        let mut at = 0;
        while let Ok(n @ 1..) = from.read_at(&mut bytes, at) {
            write_all_at(&*to, &bytes[..n], at).unwrap();
            at += n as u64;
        }
    }
}

fn recover(dir: &Path) -> usize {
    let env = environment(stopped().shared());
    let mut frames = 0u64;
    let (bytes, opened) = peak(|| {
        Log::open_dir(&env, &dir.with_extension("copy"), options(), &mut |_| {
            frames += 1;
            Ok(())
        })
    });
    let (_, recovery) = opened.unwrap();
    assert_eq!(recovery.frames_rewritten, frames);
    assert!(frames > 0);
    bytes
}

#[test]
fn memory_is_bounded_whatever_the_files_hold_and_however_long_the_log_is() {
    let root = tempfile::tempdir().unwrap();
    let new_dir = |name: &str| -> PathBuf {
        let dir = root.path().join(name);
        RealDisk::shared().create_dir(&dir).unwrap();
        dir
    };

    let dir = new_dir("hostile");
    let env = environment(stopped().shared());
    let database = DatabaseId::from_bytes([2; 16]);
    drop(FileAnchor::create(&env.disk, &dir, database).unwrap());
    hostile(&env.disk, &dir, database);
    let (bytes, opened) = peak(|| Log::open_dir(&env, &dir, options(), &mut |_| Ok(())));
    println!("hostile 64 MiB segment: {bytes} bytes at most");
    assert!(bytes < HOSTILE_BYTES_MAX, "{bytes} bytes");
    // Nothing in it was ever promised: it is a torn tail.
    assert_eq!(opened.unwrap().0.visible(), Lsn::ZERO);

    let (small, large) = (new_dir("small"), new_dir("large"));
    unclosed(&small, 8 * 1024);
    unclosed(&large, 64 * 1024);
    let (small, large) = (recover(&small), recover(&large));
    println!("recovery: {small} bytes for 8 MiB of records, {large} for 64 MiB");
    assert!(large < small + GROWTH_BYTES_MAX, "{small} and {large} bytes");

    let clock = stopped();
    let env = environment(clock.shared());
    let before = ALLOCATOR.current_usage();
    let logs: Vec<Log> = (0..64)
        .map(|i| {
            let dir = new_dir(&format!("idle-{i}"));
            let log = Log::create(&env, &dir, DatabaseId::from_bytes([i; 16]), options()).unwrap();
            for n in 0..100 {
                log.append(&put(n, 500)).unwrap();
            }
            log
        })
        .collect();
    clock.advance(Duration::from_secs(60));
    logs.iter().for_each(Log::maintain);
    let each = (ALLOCATOR.current_usage().saturating_sub(before)) / logs.len();
    println!("an idle log: {each} bytes of memory");
    assert!(each < IDLE_BYTES_MAX, "{each} bytes");
}
