//! `docdb verify`, `inspect manifest|data|index` and `repair` on a real database.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base::clock::SystemClock;
use base::document::Document;
use base::io::{Open, RealDisk};
use base::memory::Budget;
use base::words::DocId;
use docstore::{DEFAULT_COLLECTION, Database, Options, Write, default_name};
use serde_json::Value;
use tempfile::TempDir;
use wal::{Background, Environment};

fn docdb(args: &[&str], path: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_docdb"));
    command.args(args).arg(path).stdin(std::process::Stdio::null());
    command.output().expect("the binary was built")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("we write UTF-8")
}

fn parsed(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("it is JSON")
}

fn options() -> Options {
    let log = wal::Options { background: Background::Manual, ..wal::Options::default() };
    Options { log, checkpoint_auto: false, ..Options::default() }
}

fn env() -> Environment {
    Environment { disk: RealDisk::shared(), clock: SystemClock::shared(), reserve: None }
}

fn budget() -> Budget {
    Budget::new("test", 1 << 30)
}

/// A closed database of 20 documents in two checkpoints, and its directory.
fn made() -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().expect("a temporary directory");
    let dir = root.path().join("orders");
    let name = default_name();
    let db = Database::create(&env(), &dir, &name, options(), &budget()).expect("an empty place");
    for n in 0..20 {
        let document = format!("{{\"n\":{n},\"pad\":\"{}\"}}", "x".repeat(100));
        let document = Document::parse(document.as_bytes()).expect("it is JSON");
        db.write(Write::upsert(DEFAULT_COLLECTION, DocId::U64(n), document))
            .expect("there is room");
        if n == 9 {
            db.checkpoint().expect("there is room");
        }
    }
    db.write(Write::delete(DEFAULT_COLLECTION, DocId::U64(3))).expect("it is there");
    db.close().expect("the disk works");
    (root, dir)
}

fn flip(path: &Path, at: u64) {
    let file = RealDisk::shared().open(path, Open::Write).expect("it is there");
    let mut byte = [0];
    base::io::read_exact_at(&*file, &mut byte, at).expect("it is inside");
    base::io::write_all_at(&*file, &[byte[0] ^ 1], at).expect("it is inside");
}

fn files(dir: &Path, end: &str) -> Vec<PathBuf> {
    let entries = RealDisk::shared().list(dir).expect("it is a directory");
    let named = entries.into_iter().filter(|entry| entry.name.ends_with(end));
    named.map(|entry| dir.join(entry.name)).collect()
}

#[test]
fn a_sound_database_is_clean_and_every_file_can_be_looked_at() {
    let (_root, dir) = made();
    let output = docdb(&["verify"], &dir);
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}");
    assert!(out.contains("collection default: 19 documents"), "{out}");
    assert!(out.ends_with("verdict    clean\n"), "{out}");
    let json = parsed(&docdb(&["verify", "--json"], &dir));
    assert_eq!(json["verdict"], "clean");
    assert_eq!(json["problems"], serde_json::json!([]));

    let json = parsed(&docdb(&["inspect", "manifest", "--json"], &dir));
    assert_eq!(json["name"], "default");
    assert_eq!(json["checkpoints"].as_array().expect("a list").len(), 2);
    let out = text(&docdb(&["inspect", "manifest"], &dir).stdout);
    assert!(out.contains("\ncollection 1 default, created at LSN 0"), "{out}");

    let data = &files(&dir, ".data")[0];
    let output = text(&docdb(&["inspect", "data", "--json", "--records"], data).stdout);
    let lines: Vec<Value> =
        output.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let (summary, records) = lines.split_last().expect("a summary");
    assert_eq!(summary["sound"], true, "{summary}");
    assert_eq!(records.len(), 21);
    assert_eq!(records.iter().filter(|record| record["kind"] == "tombstone").count(), 1);
    let out = text(&docdb(&["inspect", "data", "--records"], data).stdout);
    assert!(out.contains("  1/19\n") && out.ends_with("verdict    sound\n"), "{out}");

    for index in files(&dir, ".idx") {
        let json = parsed(&docdb(&["inspect", "index", "--json"], &index));
        assert_eq!(json["sound"], true, "{json}");
        let out = text(&docdb(&["inspect", "index"], &index).stdout);
        assert!(out.ends_with("verdict    sound\n"), "{out}");
    }
}

#[test]
fn what_is_no_database_exits_with_1() {
    let root = tempfile::tempdir().expect("a temporary directory");
    for args in [&["verify"][..], &["inspect", "manifest"], &["repair", "--rebuild-index"]] {
        let output = docdb(args, root.path());
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let err = text(&output.stderr);
        assert!(err.ends_with(" code=FileOpen\n"), "{args:?}: {err}");
    }
}

#[test]
fn a_damaged_index_is_found_and_made_again() {
    let (_root, dir) = made();
    for path in files(&dir, ".idx") {
        flip(&path, 70);
        let out = text(&docdb(&["inspect", "index"], &path).stdout);
        assert!(out.contains("verdict    damaged at "), "{out}");
    }
    let output = docdb(&["verify"], &dir);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("opening makes"), "{}", text(&output.stdout));
    let output = docdb(&["repair", "--rebuild-index"], &dir);
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}{}", text(&output.stderr));
    assert!(out.contains("collection default: 19 documents"), "{out}");
    let output = docdb(&["verify"], &dir);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let (db, _) = Database::open(&env(), &dir, options(), &budget()).expect("it opens");
    assert_eq!(db.count(DEFAULT_COLLECTION).expect("it exists"), 19);
}

#[test]
fn a_log_damaged_where_it_was_durable_is_salvaged_with_its_database() {
    let (_root, dir) = made();
    let (db, _) = Database::open(&env(), &dir, options(), &budget()).expect("it opens");
    for n in 30..35 {
        let document = Document::parse(b"{\"n\":1,\"pad\":\"yyyyyyyyyyyyyyyy\"}").expect("JSON");
        db.write(Write::upsert(DEFAULT_COLLECTION, DocId::U64(n), document)).expect("room");
    }
    // A copy of the files as a process that is killed leaves them.
    let copy = dir.with_file_name("copy");
    copied(&dir, &copy);
    db.close().expect("the disk works");
    let log = copy.join("log");
    let frames = text(&docdb(&["inspect", "wal", "--json", "--frames"], &log).stdout);
    let frames = frames.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let hit = frames.into_iter().find(|frame| frame["id"] == "31").expect("it is listed");
    let segment = hit["segment"].as_u64().expect("a number");
    let at = hit["offset"].as_u64().expect("a number") + 60;
    flip(&log.join(format!("{segment:016x}.wal")), at);
    let output = docdb(&["verify"], &copy);
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stdout));
    // What may know of changes that are lost, and what is of another database.
    let disk = RealDisk::shared();
    let search = copy.with_file_name("search");
    let database = parsed(&docdb(&["inspect", "manifest", "--json"], &copy))["database"].clone();
    let index = search.join(database.as_str().expect("a UUID"));
    let other = search.join("00000000-0000-4000-8000-000000000000");
    for dir in [&search, &index, &index.join("7"), &other] {
        disk.create_dir(dir).expect("a new directory");
    }
    disk.open(&index.join("7/file"), Open::CreateNew).expect("a new name");
    let has = |path: &Path| disk.stat(path).expect("it can be looked for").is_some();
    let output = docdb(&["repair", "--salvage"], &copy);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stdout));
    assert!(has(&index.join("7/file")), "nobody said yes");
    assert!(text(&output.stdout).contains("1 lost changes"), "{}", text(&output.stdout));
    let report = parsed(&docdb(&["repair", "--yes", "--json", "--salvage"], &copy));
    assert_eq!((&report["applied"], &report["unknown_changes_lost"]), (&true.into(), &1.into()));
    assert!(!has(&index) && has(&other), "the index is made again");
    let (db, _) = Database::open(&env(), &copy, options(), &budget()).expect("it opens");
    assert_eq!(db.count(DEFAULT_COLLECTION).expect("it exists"), 23);
}

fn copied(from: &Path, to: &Path) {
    let disk = RealDisk::shared();
    disk.create_dir(to).expect("a new directory");
    for entry in disk.list(from).expect("it is a directory") {
        let (from, to) = (from.join(&entry.name), to.join(&entry.name));
        if entry.kind == base::io::EntryKind::Directory {
            copied(&from, &to);
        } else {
            let file = disk.open(&from, Open::Read).expect("it is listed");
            let mut bytes = vec![0; usize::try_from(entry.len).expect("a small file")];
            base::io::read_full_at(&*file, &mut bytes, 0).expect("it can be read");
            let file = disk.open(&to, Open::CreateNew).expect("a new name");
            base::io::write_all_at(&*file, &bytes, 0).expect("there is room");
        }
    }
}
