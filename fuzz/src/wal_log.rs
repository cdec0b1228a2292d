//! Bytes as the segment files of a log, beside a manifest that is in order: opening it gives a
//! clear error or a log that reads, takes a write and opens again with it.
//!
//! The input is one or two segment files. Checksums of headers are made to fit, so that the
//! mutations reach the code behind them.

use std::path::Path;

use base::clock::SystemClock;
use base::document::Document;
use base::io::{DiskRef, MemDisk, Open, write_all_at};
use base::words::{Change, CollectionId, DatabaseId, DocId, Lsn, Name};
use wal::frame::{self, Seed};
use wal::segment::FileName;
use wal::{Background, Environment, FileAnchor, Log, Options, Upto, segment};

const DIR: &str = "/log";

fn options() -> Options {
    Options {
        segment_bytes_first: 1024,
        segment_bytes_max: 4096,
        background: Background::Manual,
        ..Options::default()
    }
}

fn database() -> DatabaseId {
    DatabaseId::from_bytes([7; 16])
}

fn environment() -> Environment {
    let disk: DiskRef = MemDisk::shared();
    disk.create_dir(Path::new(DIR)).expect("an empty disk");
    Environment { disk, clock: SystemClock::shared(), reserve: None }
}

/// One input: as it is, and with the checksums of its headers made to fit.
pub fn run(data: &[u8]) {
    open(data);
    open(&forged(data));
}

fn open(data: &[u8]) {
    let env = environment();
    FileAnchor::create(&env.disk, Path::new(DIR), database()).expect("a disk without faults");
    let files = data.chunks(data.len().div_ceil(2).max(segment::HEADER_BYTES));
    for (bytes, sequence) in files.zip(1..) {
        let path = FileName::Segment(sequence).path(Path::new(DIR));
        let file = env.disk.open(&path, Open::CreateNew).expect("a new name");
        write_all_at(&*file, bytes, 0).expect("a disk without faults");
    }
    let inspected = wal::inspect::inspect(&env.disk, Path::new(DIR), &mut |_| {});
    drop(inspected);
    let Ok((log, _)) = Log::open_dir(&env, Path::new(DIR), options(), &mut |frame| {
        let _ = frame.change();
        Ok(())
    }) else {
        return;
    };
    let before = count(&log);
    let Ok(committed) = log.append(&changes()[0]) else { return };
    assert_eq!(log.durable(), committed.last);
    log.close().expect("a disk without faults");
    let (log, recovery) = Log::open_dir(&env, Path::new(DIR), options(), &mut |_| Ok(()))
        .expect("a log that was opened, written and closed opens again");
    assert!(recovery.clean);
    if let Some(before) = before {
        assert_eq!(count(&log), Some(before + 1), "one more frame than before");
    }
}

/// Number of frames; `None` when the log below the checkpoint is damaged.
fn count(log: &Log) -> Option<u64> {
    let mut reader = log.read(log.status().first, Upto::Visible);
    let mut frames = 0;
    while reader.next().ok()?.is_some() {
        frames += 1;
    }
    Some(frames)
}

/// The input with checksums that fit: of both segment headers, and of what stands where frames
/// would, one behind the other.
fn forged(data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    let half = data.len().div_ceil(2).max(segment::HEADER_BYTES);
    for (file, sequence) in data.chunks_mut(half).zip(1u64..) {
        if file.len() < segment::HEADER_BYTES {
            continue;
        }
        file[..12].copy_from_slice(b"DOCDBWAL\x01\0\0\0");
        file[16..32].copy_from_slice(database().as_bytes());
        file[32..40].copy_from_slice(&sequence.to_le_bytes());
        let crc = crc32c::crc32c(&file[..124]);
        file[124..128].copy_from_slice(&crc.to_le_bytes());
        let seed = Seed::new(database(), sequence);
        let mut at = segment::HEADER_BYTES;
        while at + frame::HEADER_BYTES <= file.len() {
            let (_, rest) = file.split_at_mut(at);
            let (header, payload) = rest.split_at_mut(frame::HEADER_BYTES);
            let word = |at: usize| u32::from_le_bytes(*header[at..].first_chunk().expect("inside"));
            let len = (word(4) as usize).min(payload.len());
            let crc = crc32c::crc32c(&payload[..len]);
            header[4..8].copy_from_slice(&u32::try_from(len).unwrap_or(0).to_le_bytes());
            header[36..40].copy_from_slice(&crc.to_le_bytes());
            let hint = u64::from_le_bytes(*header[16..].first_chunk().expect("inside"));
            frame::seal(header, Lsn(hint), seed);
            at += frame::frame_bytes(len);
        }
    }
    data
}

/// A change of each kind.
pub(crate) fn changes() -> Vec<Change> {
    let collection = CollectionId(1);
    let put = Change::Put {
        collection,
        id: DocId::U64(3),
        replaces: Lsn::ZERO,
        expires_at: None,
        document: Document::parse(br#"{"a":[1,2.50]}"#).expect("it is JSON"),
    };
    vec![
        put,
        Change::Delete { collection, id: DocId::U64(3), replaces: Lsn(1) },
        Change::CreateCollection { collection, name: Name::new("books").expect("a name") },
        Change::DropCollection { collection },
        Change::SetProperty {
            collection,
            property: Name::new("validation").expect("a name"),
            value: Some(Document::parse(b"{}").expect("it is JSON")),
        },
    ]
}

/// Segment files as the log writes them: one, and one that was followed by another.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for rounds in [1, 6] {
        let env = environment();
        let log = Log::create(&env, Path::new(DIR), database(), options()).expect("no faults");
        for _ in 0..rounds {
            let mut tx = log.transaction();
            for change in changes() {
                tx.push(&change).expect("far from every limit");
            }
            log.commit(tx).expect("a disk without faults");
        }
        drop(log);
        let mut files = Vec::new();
        for sequence in 1..=2 {
            let path = FileName::Segment(sequence).path(Path::new(DIR));
            let Ok(file) = env.disk.open(&path, Open::Read) else { continue };
            let mut bytes = vec![0; usize::try_from(file.len().unwrap_or(0)).unwrap_or(0)];
            base::io::read_exact_at(&*file, &mut bytes, 0).expect("a disk without faults");
            files.push(bytes);
        }
        let longest = files.iter().map(Vec::len).max().unwrap_or(0);
        files.iter_mut().for_each(|file| file.resize(longest, 0));
        seeds.push(files.concat());
    }
    seeds
}
