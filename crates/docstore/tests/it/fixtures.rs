//! Databases that an earlier docdb wrote must stay readable: a directory of format version 1 under
//! `tests/fixtures/v1`, with the list of what is in it. It holds every kind of file and record: two
//! collections with a property, ids of all three kinds, packed documents, expiries, a deletion, a base
//! and a run, a document in quarantine, and a log that goes on behind the checkpoint.
//!
//! From the first release on it is never written again. A new format version gets a directory of
//! its own, made by running this test with `TESTS_WRITE_FIXTURES` set to an empty directory.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use base::clock::WallMs;
use base::document::Document;
use base::io::{Disk, DiskRef, EntryKind, MemDisk, Open, RealDisk, read_full_at, write_all_at};
use base::memory::Budget;
use base::words::{DatabaseId, DocId, Name};
use docstore::data::Kind;
use docstore::{
    DEFAULT_COLLECTION, Database, Expiry, ScanRequest, Verdict, Write, default_name,
    inspect_manifest, verify,
};
use sim::disk::{Crash, FaultDisk, Rot};

use crate::world::{DIR, clock, document, env, id, small};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1")
}

fn read(disk: &dyn Disk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, Open::Read).expect("it is there");
    let len = file.len().expect("a length");
    let mut bytes = vec![0; usize::try_from(len).expect("a small file")];
    let got = read_full_at(&*file, &mut bytes, 0).expect("it can be read");
    assert_eq!(got, bytes.len());
    bytes
}

fn write(disk: &dyn Disk, path: &Path, bytes: &[u8]) {
    let file = disk.open(path, Open::CreateNew).expect("a new name");
    write_all_at(&*file, bytes, 0).expect("there is room");
}

fn copy(from: &dyn Disk, from_dir: &Path, to: &dyn Disk, to_dir: &Path) {
    to.create_dir(to_dir).expect("a new directory");
    for entry in from.list(from_dir).expect("the directory is there") {
        let (source, target) = (from_dir.join(&entry.name), to_dir.join(&entry.name));
        match entry.kind {
            EntryKind::Directory => copy(from, &source, to, &target),
            // Spares hold nothing, and are made again.
            _ if entry.name == "LOCK" || entry.name.starts_with("spare-") => {}
            EntryKind::File | EntryKind::Other => write(to, &target, &read(from, &source)),
        }
    }
}

/// A copy of the fixture in memory.
fn loaded() -> DiskRef {
    let disk = MemDisk::shared();
    copy(&*RealDisk::shared(), &fixture().join("db"), &*disk, Path::new(DIR));
    disk
}

fn opened(disk: &DiskRef) -> Database {
    let budget = Budget::new("test", 1 << 30);
    Database::open(&env(disk, &clock()), Path::new(DIR), small(), &budget).expect("it opens").0
}

/// One line per collection, property, document and lost document.
fn content(disk: &DiskRef) -> String {
    let db = opened(disk);
    let mut text = format!("{} {}\n", db.name(), db.id());
    for record in db.collections().expect("it is open") {
        let collection = record.collection;
        writeln!(text, "collection {collection} {} {}", record.name, record.created)
            .expect("text has room");
        for (name, value) in &record.properties {
            let value = String::from_utf8_lossy(value.as_bytes());
            writeln!(text, "property {name} {value}").expect("text has room");
        }
        let lost = db.quarantine().into_iter().filter(|(at, ..)| *at == collection);
        let lost: Vec<DocId> = lost.map(|(_, id, _)| id).collect();
        for id in ids().filter(|id| !lost.contains(id)) {
            let Some(stored) = db.get(collection, &id).expect("it can be read") else { continue };
            let (revision, bytes) = (stored.revision, stored.document.as_bytes());
            let expires = stored.expires_at.map_or(0, |at| at.0);
            let crc = crc32c::crc32c(bytes);
            writeln!(text, "{id} {revision} {expires} {} {crc:08x}", bytes.len())
                .expect("text has room");
        }
    }
    for (collection, id, lsn) in db.quarantine() {
        writeln!(text, "lost {collection}/{id} {lsn}").expect("text has room");
    }
    text
}

/// Every id that the fixture may have.
fn ids() -> impl Iterator<Item = DocId> {
    let uuid = |n: u8| DocId::Uuid(uuid::Uuid::from_bytes([n; 16]));
    let string = |n: u64| DocId::string(&format!("straße-{n}")).expect("a short id");
    (0..60).map(id).chain((0..4).map(uuid)).chain((0..10).map(string))
}

/// Makes the database.
fn made() -> FaultDisk {
    let disk = FaultDisk::new();
    let (environment, budget) = (env(&disk.shared(), &clock()), Budget::new("test", 1 << 30));
    let identity = DatabaseId::from_bytes([0x5A; 16]);
    let (dir, name) = (Path::new(DIR), default_name());
    let db = Database::create_as(&environment, dir, &name, identity, small(), &budget)
        .expect("no faults");
    let books = db.create_collection(&Name::new("books").expect("a name")).expect("no faults");
    let property = Name::new("shelf").expect("a name");
    let value = Document::parse(b"{\"row\":7}").expect("JSON");
    db.set_property(books, &property, Some(value)).expect("no faults");
    let long = format!("{{\"text\":\"{}\"}}", "all work and no play ".repeat(40));
    let long = Document::parse(long.as_bytes()).expect("JSON");
    for (n, id) in (0..).zip(ids()) {
        let (body, expiry) = match n % 7 {
            0 => (long.clone(), Expiry::Never),
            1 => (document(n), Expiry::At(WallMs(1_900_000_000_000 + n))),
            _ => (document(n), Expiry::Never),
        };
        let collection = if n % 5 == 0 { books } else { DEFAULT_COLLECTION };
        db.write(Write::upsert(collection, id, body).expires(expiry)).expect("no faults");
    }
    db.checkpoint().expect("no faults");
    db.write(Write::delete(DEFAULT_COLLECTION, id(2))).expect("no faults");
    db.write(Write::upsert(DEFAULT_COLLECTION, id(3), document(300))).expect("no faults");
    // Two checkpoints later the log has let go of the first documents.
    for n in 0..3 {
        db.checkpoint().expect("no faults");
        db.write(Write::upsert(DEFAULT_COLLECTION, id(4), document(n))).expect("no faults");
    }
    db.checkpoint().expect("no faults");
    let hole = Path::new(DIR).join("00000001.data");
    for sector in [2, 3] {
        disk.rot(&Rot::Garbage { path: hole.clone(), sector, seed: 3 }).expect("it is there");
    }
    db.heal_all().expect("no faults");
    db.write(Write::upsert(DEFAULT_COLLECTION, id(6), document(600))).expect("no faults");
    db.checkpoint().expect("no faults");
    db.write(Write::upsert(DEFAULT_COLLECTION, id(59), document(5900))).expect("no faults");
    disk.crash(&Crash::Kill)
}

#[test]
fn a_database_of_format_version_1_opens_with_what_was_in_it() {
    let golden = read(&*RealDisk::shared(), &fixture().join("content.txt"));
    assert_eq!(content(&loaded()), String::from_utf8(golden).expect("it is text"));
}

#[test]
fn the_fixture_holds_every_kind_of_file_and_record() {
    check_kinds(&loaded());
}

fn check_kinds(disk: &DiskRef) {
    let found = inspect_manifest(disk, Path::new(DIR)).expect("no faults");
    let manifest = found.manifest.expect("it is whole");
    let newest = manifest.newest();
    let kinds: Vec<_> = newest.index.iter().map(|file| file.header.kind).collect();
    assert_eq!(kinds.first(), Some(&docstore::index::file::Kind::Base));
    assert!(kinds.contains(&docstore::index::file::Kind::Run), "{kinds:?}");
    assert!(!manifest.quarantine.is_empty() && manifest.checkpoints.len() >= 2);
    assert!(newest.collections.iter().any(|record| !record.properties.is_empty()));
    let mut records = Vec::new();
    for file in &newest.files {
        let path = file.number.path(Path::new(DIR));
        docstore::data::inspect(disk, &path, &mut |record| records.push(record.header.clone()))
            .expect("no faults");
    }
    assert!(records.iter().any(|record| matches!(record.kind, Kind::Lz4 { .. })));
    assert!(records.iter().any(|record| record.kind == Kind::Tombstone));
    assert!(records.iter().any(|record| record.expires_at.is_some()));
    for is in [
        |id: &DocId| matches!(id, DocId::U64(_)),
        |id: &DocId| matches!(id, DocId::Uuid(_)),
        |id: &DocId| matches!(id, DocId::Str(_)),
    ] {
        assert!(records.iter().any(|record| is(&record.id)));
    }
    let report = verify(&env(disk, &clock()), Path::new(DIR)).expect("no faults");
    assert_eq!(report.verdict(), Verdict::Lost, "something is in quarantine: {report}");
    assert_eq!(report.lost().count(), manifest.quarantine.len(), "{report}");
    let db = opened(disk);
    assert!(db.scan(&ScanRequest::all(newest.collections[1].collection, 5)).is_ok());
}

#[test]
fn the_fixture_can_be_made_and_is_written_when_asked_for() {
    let disk = made();
    check_kinds(&disk.fork().shared());
    let text = content(&disk.fork().shared());
    assert!(text.contains("lost "), "{text}");
    let Some(to) = std::env::var_os("TESTS_WRITE_FIXTURES").map(PathBuf::from) else { return };
    let real = RealDisk::shared();
    copy(&*disk.shared(), Path::new(DIR), &*real, &to.join("db"));
    write(&*real, &to.join("content.txt"), text.as_bytes());
}
