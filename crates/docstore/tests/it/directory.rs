//! The directory of a store: which it takes, and what it removes from it.

use std::path::{Path, PathBuf};

use base::error::{Code, Coded as _};
use base::io::Open;
use base::memory::Budget;
use docstore::{Store, StoreError};
use sim::FaultDisk;

use super::world::{clock, env, small};

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
