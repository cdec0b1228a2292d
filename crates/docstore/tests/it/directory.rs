//! The directory of a store: which it takes, and what it removes from it.

use std::path::{Path, PathBuf};

use base::error::{Code, Coded as _};
use base::io::{Open, write_all_at};
use base::memory::Budget;
use base::words::Name;
use docstore::{DEFAULT_COLLECTION, Store, StoreError, Write, default_name};
use sim::FaultDisk;

use super::world::{clock, document, env, id, small};

const DATA: &str = "/data";

fn open(disk: &FaultDisk) -> Result<Store, StoreError> {
    let budget = Budget::new("test", 1 << 30);
    Store::open(&env(&disk.shared(), &clock()), Path::new(DATA), small(), budget)
}

fn at(name: &str) -> PathBuf {
    Path::new(DATA).join(name)
}

/// A directory with these files in it.
fn with(names: &[&str]) -> FaultDisk {
    let disk = FaultDisk::new();
    disk.shared().create_dir(Path::new(DATA)).expect("nothing is there");
    for name in names {
        disk.shared().open(&at(name), Open::CreateNew).expect("nothing is there");
    }
    disk
}

#[test]
fn a_directory_of_somebody_else_is_refused_and_left_as_it_is() {
    for names in [&["letter.txt"][..], &["lost+found", "Documents"], &["docdb.toml", "PG_VERSION"]]
    {
        let disk = with(names);
        let before = disk.shared().list(Path::new(DATA)).unwrap();
        let error = open(&disk).unwrap_err();
        assert_eq!(error.code(), Code::FileOpen, "{error}");
        assert!(error.to_string().contains("no data directory of docdb"), "{error}");
        assert_eq!(disk.shared().list(Path::new(DATA)).unwrap(), before);
    }
}

#[test]
fn a_directory_is_taken_when_it_is_ours_or_has_only_what_comes_before_us() {
    let disk = with(&["lost+found", ".keep", "docdb.toml", "keys.json"]);
    drop(open(&disk).unwrap());
    // What somebody adds later is no reason to refuse it.
    disk.shared().open(&at("notes.txt"), Open::CreateNew).unwrap();
    drop(open(&disk).unwrap());
}

#[test]
fn only_what_an_interrupted_creation_or_drop_has_left_is_removed() {
    let disk = with(&[]);
    drop(open(&disk).unwrap());
    let id = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    let left = [format!("dropped-{id}"), format!("db-{id}.new")];
    let kept = ["dropped-files", "db-old.new", "dropped-67E55044-10B1-426F-9247-BB680E5FE0C8"];
    for name in left.iter().map(String::as_str).chain(kept) {
        disk.shared().create_dir(&at(name)).unwrap();
    }
    drop(open(&disk).unwrap());
    let there = |name: &str| disk.shared().stat(&at(name)).unwrap().is_some();
    assert!(kept.iter().all(|name| there(name)));
    assert!(left.iter().all(|name| !there(name)));
}

fn slots(store: &Store, name: &Name) -> [PathBuf; 3] {
    let path = store.database(name).expect("no faults").path().to_path_buf();
    [0, 1, 2].map(|slot| path.join(format!("MANIFEST.{slot}")))
}

fn overwrite(disk: &FaultDisk, path: &Path, bytes: &[u8]) {
    let file = disk.shared().open(path, Open::Write).expect("no faults");
    file.set_len(bytes.len() as u64).expect("no faults");
    write_all_at(&*file, bytes, 0).expect("no faults");
    file.sync_all().expect("no faults");
}

/// Two databases with a document each, closed.
fn two() -> (FaultDisk, [(Name, [PathBuf; 3]); 2]) {
    let disk = with(&[]);
    let store = open(&disk).expect("no faults");
    let names = [default_name(), Name::new("shop").expect("it is a name")];
    store.create(&names[1]).expect("no faults");
    let databases = names.map(|name| {
        let database = store.database(&name).expect("no faults");
        database.write(Write::upsert(DEFAULT_COLLECTION, id(7), document(1))).expect("no faults");
        let paths = slots(&store, &name);
        (name, paths)
    });
    store.close().expect("no faults");
    (disk, databases)
}

fn has_its_document(store: &Store, name: &Name) {
    let database = store.database(name).expect("no faults");
    assert!(database.get(DEFAULT_COLLECTION, &id(7)).expect("no faults").is_some(), "{name}");
}

#[test]
fn a_database_that_cannot_be_read_is_not_replaced_by_an_empty_one() {
    let (disk, databases) = two();
    for (at, (name, slots)) in databases.iter().enumerate() {
        let whole = slots.each_ref().map(|path| disk.peek(path).unwrap());
        for path in slots {
            overwrite(&disk, path, b"nonsense");
        }
        let before = disk.shared().list(Path::new(DATA)).unwrap();
        let store = open(&disk).unwrap();
        assert_eq!(store.refused().len(), 1);
        let other = Name::new("other").unwrap();
        for refused in [
            store.database(name).unwrap_err(),
            store.create(name).unwrap_err(),
            store.create(&other).unwrap_err(),
        ] {
            assert_eq!(refused.code(), Code::CorruptRecord, "{refused}");
            let dir = slots[0].parent().unwrap().display().to_string();
            assert!(refused.to_string().contains(&dir), "{refused}");
        }
        has_its_document(&store, &databases[1 - at].0);
        drop(store);
        assert_eq!(disk.shared().list(Path::new(DATA)).unwrap(), before, "nothing is made");
        for (path, bytes) in slots.iter().zip(whole) {
            overwrite(&disk, path, &bytes);
        }
        let store = open(&disk).unwrap();
        databases.iter().for_each(|(name, _)| has_its_document(&store, name));
        store.create(&other).unwrap();
        store.drop_database(&other).unwrap();
    }
}

#[test]
fn a_manifest_of_another_database_is_none_of_this_one() {
    let (disk, [ours, (theirs, from)]) = two();
    // Theirs is the newer one by far.
    let store = open(&disk).unwrap();
    for _ in 0..5 {
        let database = store.database(&theirs).unwrap();
        database.write(Write::upsert(DEFAULT_COLLECTION, id(8), document(1))).unwrap();
        store.close_database(&theirs).unwrap();
    }
    drop(store);
    for (path, from) in ours.1.iter().zip(&from) {
        overwrite(&disk, path, &disk.peek(from).unwrap());
        for _ in 0..2 {
            let store = open(&disk).unwrap();
            has_its_document(&store, &ours.0);
            has_its_document(&store, &theirs);
            assert!(store.refused().is_empty(), "{:?}", store.refused());
        }
    }
}

#[test]
fn what_is_asked_of_a_database_by_its_identity_never_befalls_another_of_its_name() {
    let disk = with(&[]);
    let store = open(&disk).unwrap();
    let name = Name::new("shop").unwrap();
    let old = store.create(&name).unwrap().id();
    store.drop_with_id(&name, old).unwrap();
    let new = store.create(&name).unwrap();
    new.write(Write::upsert(DEFAULT_COLLECTION, id(7), document(1))).unwrap();
    for late in [
        store.drop_with_id(&name, old).unwrap_err(),
        store.close_with_id(&name, old).unwrap_err(),
        store.database_with_id(&name, old).unwrap_err(),
    ] {
        assert_eq!(late.code(), Code::DbNotFound, "{late}");
    }
    assert!(new.get(DEFAULT_COLLECTION, &id(7)).unwrap().is_some(), "it was not closed either");
    store.close_with_id(&name, new.id()).unwrap();
    has_its_document(&store, &name);
    store.drop_with_id(&name, new.id()).unwrap();
    assert_eq!(store.database(&name).unwrap_err().code(), Code::DbNotFound);
}

#[test]
fn a_snapshot_of_a_database_that_was_closed_is_none_of_the_one_that_is_open() {
    let disk = with(&[]);
    let store = open(&disk).unwrap();
    let before = store.database(&default_name()).unwrap();
    before.write(Write::upsert(DEFAULT_COLLECTION, id(7), document(1))).unwrap();
    let gone = before.snapshot().unwrap();
    assert_eq!(before.live_snapshots(), 1);
    store.close_database(&default_name()).unwrap();
    let now = store.database(&default_name()).unwrap();
    let held = now.snapshot().unwrap();
    let lost = now.get_at(gone, DEFAULT_COLLECTION, &id(7)).unwrap_err();
    assert_eq!(lost.code(), Code::SnapshotExpired);
    assert!(now.get_at(held, DEFAULT_COLLECTION, &id(7)).unwrap().is_some());
}
