//! Logs that an earlier docdb wrote must stay readable: two directories of format version 1 under
//! `tests/fixtures/v1`, each with the list of what is in it. `clean` was closed; `torn` ends in a
//! frame of which half arrived. Between them they hold every kind of frame.
//!
//! From the first release on they are never written again. A new format version gets directories of its own, made by
//! running this test with `TESTS_WRITE_FIXTURES` set to an empty directory.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use base::clock::WallMs;
use base::io::{Disk, DiskRef, EntryKind, MemDisk, Open, RealDisk, read_full_at, write_all_at};
use base::words::{Change, CollectionId, DocId, Lsn, Name};
use sim::disk::{Crash, FaultDisk, Rot};
use wal::frame::Kind;
use wal::inspect::{Verdict, inspect};
use wal::{FsyncMode, Upto, salvage};

use crate::world::{DIR, Step, World, clock, env, open, put, small};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1").join(name)
}

fn copy(from: &dyn Disk, from_dir: &Path, to: &dyn Disk, to_dir: &Path) {
    for entry in from.list(from_dir).expect("the directory is there") {
        if entry.kind != EntryKind::File || entry.name == "LOCK" {
            continue;
        }
        let file = from.open(&from_dir.join(&entry.name), Open::Read).expect("it is listed");
        let mut bytes = vec![0; usize::try_from(entry.len).expect("a small file")];
        let got = read_full_at(&*file, &mut bytes, 0).expect("it can be read");
        assert_eq!(got, bytes.len());
        let copy = to.open(&to_dir.join(&entry.name), Open::CreateNew).expect("a new name");
        write_all_at(&*copy, &bytes, 0).expect("there is room");
    }
}

/// A copy of a fixture in memory.
fn loaded(name: &str) -> DiskRef {
    let disk = MemDisk::shared();
    disk.create_dir(Path::new(DIR)).expect("an empty disk");
    copy(&*RealDisk::shared(), &fixture(name).join("log"), &*disk, Path::new(DIR));
    disk
}

/// One line per frame that takes an LSN: LSN, transaction, kind, time, length and checksum of the
/// payload, key, and the LSN that follows.
fn content(disk: &DiskRef) -> String {
    let (log, _) = open(disk, &clock(), small(FsyncMode::Group)).expect("it opens");
    let mut text = String::new();
    let mut reader = log.read(log.status().first, Upto::Durable);
    while let Some(frame) = reader.next().expect("it is whole") {
        let (lsn, tx, kind, wall) = (frame.lsn, frame.tx_first, frame.kind.name(), frame.wall_ms);
        let (bytes, crc) = (frame.payload.len(), crc32c::crc32c(frame.payload));
        let key = wal::payload::decode_key(frame.kind, frame.payload);
        let key = key.map_or("-".to_owned(), |(collection, id)| format!("{collection}/{id}"));
        writeln!(text, "{lsn} {tx} {kind} {wall} {bytes} {crc:08x} {key} {}", frame.next_lsn())
            .expect("text has room");
        assert!(frame.change().is_some() || matches!(frame.kind, Kind::Checkpoint | Kind::Gap));
    }
    text
}

fn golden(name: &str) -> String {
    let path = fixture(name).join("content.txt");
    let file = RealDisk::shared().open(&path, Open::Read).expect("it is committed");
    let mut bytes = vec![0; usize::try_from(file.len().expect("a length")).expect("a small file")];
    read_full_at(&*file, &mut bytes, 0).expect("it can be read");
    String::from_utf8(bytes).expect("it is text")
}

#[test]
fn a_log_of_format_version_1_that_was_closed_opens_clean_with_what_was_in_it() {
    let disk = loaded("clean");
    let found = inspect(&disk, Path::new(DIR), &mut |_| ()).unwrap();
    assert!(matches!(found.verdict, Some(Verdict::OpensClean { .. })), "{found:?}");
    assert!(found.segments.len() >= 3, "{}", found.segments.len());
    assert_eq!(content(&disk), golden("clean"));
}

#[test]
fn a_log_of_format_version_1_with_a_torn_tail_is_recovered_to_what_was_whole() {
    let disk = loaded("torn");
    let found = inspect(&disk, Path::new(DIR), &mut |_| ()).unwrap();
    assert!(matches!(found.verdict, Some(Verdict::Recovers { .. })), "{found:?}");
    assert!(found.segments.len() > 3, "{}", found.segments.len());
    assert_eq!(content(&disk), golden("torn"));
}

#[test]
fn the_fixtures_hold_every_kind_of_frame() {
    let mut kinds = Vec::new();
    for name in ["clean", "torn"] {
        let see = &mut |frame: &wal::inspect::FrameInspection| kinds.push(frame.header.kind);
        inspect(&loaded(name), Path::new(DIR), see).unwrap();
    }
    for kind in (0..=u8::MAX).filter_map(Kind::from_number) {
        assert!(kinds.contains(&kind), "no {kind:?}");
    }
}

/// Writes a log with every kind of frame; `torn` leaves it as a crash in a write does.
fn made(torn: bool) -> FaultDisk {
    let disk = FaultDisk::new();
    let mut world = World::new(&disk, small(FsyncMode::Group));
    let collection = CollectionId(2);
    let id = DocId::string("straße").expect("a short id");
    let name = Name::new("books").expect("a valid name");
    let Change::Put { document, .. } = put(77, 5) else { panic!("it is a put") };
    let expires_at = Some(WallMs(1_800_000_000_000));
    let replaces = Lsn::ZERO;
    let property = Name::new("validation").expect("a valid name");
    let changes = [
        Change::CreateCollection { collection, name },
        Change::SetProperty { collection, property, value: Some(document.clone()) },
        Change::Put { collection, id: id.clone(), replaces, expires_at, document },
        Change::Delete { collection, id, replaces: Lsn(3) },
        Change::DropCollection { collection },
    ];
    for change in &changes {
        world.log().append(change).expect("a fault-free disk");
    }
    for step in [Step::Transaction, Step::Rotate, Step::Checkpoint, Step::Idle] {
        world.step(step).expect("a fault-free disk");
    }
    if torn {
        world.step(Step::Crossing).expect("a fault-free disk");
    }
    world.step(Step::Reopen).expect("a fault-free disk");
    world.step(Step::Append).expect("a fault-free disk");
    world.step(Step::Append).expect("a fault-free disk");
    world.step(Step::Append).expect("a fault-free disk");
    world.log.take().expect("it is open").close().expect("a fault-free disk");
    // Damage in the middle and its salvage leave a gap.
    let (path, offset) = place(&disk, world_lsn(&disk) - 1);
    disk.rot(&Rot::Flip { path, offset: offset + 41, mask: 1 }).expect("it is there");
    let (environment, options) = (env(&disk.shared(), &clock()), small(FsyncMode::Group));
    salvage(&environment, Path::new(DIR), &options).expect("it can be salvaged");
    let (log, _) = open(&disk.shared(), &clock(), options).expect("it opens");
    for n in 100..103 {
        log.append(&put(n, 30)).expect("a fault-free disk");
    }
    if !torn {
        log.close().expect("a fault-free disk");
        return disk;
    }
    std::mem::forget(log);
    let disk = disk.crash(&Crash::Kill);
    let (path, offset) = place(&disk, world_lsn(&disk));
    disk.rot(&Rot::Flip { path, offset: offset + 60, mask: 0xFF }).expect("it is there");
    disk
}

fn world_lsn(disk: &FaultDisk) -> u64 {
    let mut last = 0;
    let see = &mut |frame: &wal::inspect::FrameInspection| last = last.max(frame.header.lsn.0);
    inspect(&disk.shared(), Path::new(DIR), see).expect("it is a log");
    last
}

fn place(disk: &FaultDisk, lsn: u64) -> (PathBuf, u64) {
    let mut place = None;
    inspect(&disk.shared(), Path::new(DIR), &mut |frame| {
        if frame.header.lsn == Lsn(lsn) && !frame.header.kind.is_hint() {
            let name = format!("{:016x}.wal", frame.segment);
            place = Some((Path::new(DIR).join(name), frame.offset));
        }
    })
    .expect("it is a log");
    place.expect("the frame is there")
}

#[test]
fn the_fixtures_can_be_made_and_are_written_when_asked_for() {
    for (name, torn) in [("clean", false), ("torn", true)] {
        let disk = made(torn);
        let text = content(&disk.fork().shared());
        assert!(text.contains(" gap "), "{text}");
        let Some(to) = std::env::var_os("TESTS_WRITE_FIXTURES").map(PathBuf::from) else {
            continue;
        };
        let real = RealDisk::shared();
        let dir = to.join(name);
        real.create_dir(&dir).expect("a new directory");
        real.create_dir(&dir.join("log")).expect("a new directory");
        copy(&*disk.shared(), Path::new(DIR), &*real, &dir.join("log"));
        let file = real.open(&dir.join("content.txt"), Open::CreateNew).expect("a new file");
        write_all_at(&*file, text.as_bytes(), 0).expect("there is room");
    }
}
