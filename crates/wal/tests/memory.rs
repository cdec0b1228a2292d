//! How much memory the log takes, counted at the allocator: opening hostile files, recovering logs
//! of different sizes, and doing nothing.
//!
//! One test, because the counter is the process's. How large the large log is and how many idle ones
//! there are can be said by the environment: [`LOG_MIB`] and [`LOGS`].
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]
#![expect(clippy::print_stdout, reason = "a test says what it counted")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use base::clock::{ClockRef, WallMs};
use base::document::Document;
use base::io::{Disk, DiskRef, Open, RealDisk, read_full_at, write_all_at};
use base::words::{Change, CollectionId, DatabaseId, DocId, Lsn};
use peak_alloc::PeakAlloc;
use sim::clock::VirtualClock;
use wal::frame::{self, Header, Kind, Place, Seed};
use wal::segment::FileName;
use wal::{Background, Environment, FileAnchor, FsyncMode, Log, Options, segment};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// The variable that says how many MiB of records the larger of two recovered logs has.
const LOG_MIB: &str = "TESTS_LOG_MIB";
/// The variable that says how many idle logs are open at once.
const LOGS: &str = "TESTS_LOGS";

const MIB: usize = 1024 * 1024;
/// MiB of records in the smaller of two recovered logs, and in the larger one unless the environment
/// says otherwise.
const RECOVERED_MIB: (u64, u64) = (8, 64);
/// Idle logs open at once, unless the environment says otherwise.
const IDLE_LOGS: u64 = 64;
/// What opening any bytes whatever may take: the largest frame twice, and the read buffer.
const HOSTILE_BYTES_MAX: usize = 40 * MIB;
/// What recovery may take more for the larger log.
const GROWTH_BYTES_MAX: usize = 2 * MIB;
/// What an open log without writes may take.
const IDLE_BYTES_MAX: usize = 16 * 1024;
/// File descriptors of an open log without writes: its lock, its newest segment and its manifest's
/// three files.
const IDLE_DESCRIPTORS: u64 = 5;
/// File descriptors that the process may need besides.
const OTHER_DESCRIPTORS: u64 = 64;

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

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// The text of a file of the system's.
fn read(path: &str) -> String {
    let mut bytes = vec![0; 16 * 1024];
    let file = RealDisk.open(Path::new(path), Open::Read).unwrap();
    let got = read_full_at(&*file, &mut bytes, 0).unwrap();
    String::from_utf8(bytes[..got].to_vec()).unwrap()
}

/// The first number in the line of `text` that begins with `name`.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().find_map(|word| word.parse().ok()).unwrap()
}

fn open_descriptors() -> u64 {
    RealDisk.list(Path::new("/proc/self/fd")).unwrap().len() as u64
}

/// How many logs of those asked for may be open at once here.
fn allowed(asked: u64) -> u64 {
    let limit = field(&read("/proc/self/limits"), "Max open files");
    let most = limit.saturating_sub(open_descriptors() + OTHER_DESCRIPTORS) / IDLE_DESCRIPTORS;
    if most < asked {
        println!(
            "{most} logs instead of {asked}: each has {IDLE_DESCRIPTORS} file descriptors, and the \
             system allows {limit}"
        );
    }
    asked.min(most)
}

fn hostile_files(root: &Path) {
    let dir = new_dir(root, "hostile");
    let env = environment(stopped().shared());
    let database = DatabaseId::from_bytes([2; 16]);
    drop(FileAnchor::create(&env.disk, &dir, database).unwrap());
    hostile(&env.disk, &dir, database);
    let (bytes, opened) = peak(|| Log::open_dir(&env, &dir, options(), &mut |_| Ok(())));
    println!("hostile 64 MiB segment: {bytes} bytes at most");
    assert!(bytes < HOSTILE_BYTES_MAX, "{bytes} bytes");
    // Nothing in it was ever promised: it is a torn tail.
    assert_eq!(opened.unwrap().0.visible(), Lsn::ZERO);
}

fn recovered_logs(root: &Path) {
    let mib = (RECOVERED_MIB.0, number(LOG_MIB, RECOVERED_MIB.1));
    let [small, large] = [("small", mib.0), ("large", mib.1)].map(|(name, mib)| {
        let dir = new_dir(root, name);
        unclosed(&dir, mib * 1024);
        recover(&dir)
    });
    let resident = field(&read("/proc/self/status"), "VmHWM:");
    println!("recovery: {small} bytes for {} MiB of records, {large} for {}", mib.0, mib.1);
    println!("the process has had at most {resident} KiB of memory so far");
    assert!(large < small + GROWTH_BYTES_MAX, "{small} and {large} bytes");
}

fn idle_logs(root: &Path) {
    let clock = stopped();
    let env = environment(clock.shared());
    let (before, descriptors) = (ALLOCATOR.current_usage(), open_descriptors());
    let count = allowed(number(LOGS, IDLE_LOGS));
    let logs: Vec<Log> = (0..count)
        .map(|i| {
            let dir = new_dir(root, &format!("idle-{i}"));
            let mut database = [0; 16];
            database[..8].copy_from_slice(&i.to_le_bytes());
            let database = DatabaseId::from_bytes(database);
            let log = Log::create(&env, &dir, database, options()).unwrap();
            let mut tx = log.transaction();
            for n in 0..100 {
                tx.push(&put(n, 500)).unwrap();
            }
            log.commit(tx).unwrap();
            clock.advance(Duration::from_secs(60));
            log.maintain();
            log
        })
        .collect();
    let each = (ALLOCATOR.current_usage().saturating_sub(before)) / logs.len();
    let descriptors = open_descriptors() - descriptors;
    println!("{count} idle logs: {each} bytes of memory each, {descriptors} file descriptors");
    assert!(each < IDLE_BYTES_MAX, "{each} bytes");
    assert!(descriptors <= count * IDLE_DESCRIPTORS, "{descriptors} file descriptors");
}

fn new_dir(root: &Path, name: &str) -> PathBuf {
    let dir = root.join(name);
    RealDisk.create_dir(&dir).unwrap();
    dir
}

#[test]
fn memory_is_bounded_whatever_the_files_hold_however_long_the_log_is_and_however_many_there_are() {
    let root = tempfile::tempdir().unwrap();
    hostile_files(root.path());
    recovered_logs(root.path());
    idle_logs(root.path());
}
