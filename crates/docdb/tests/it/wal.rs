//! `docdb inspect wal` and `docdb repair --salvage` on real logs in real directories.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base::clock::SystemClock;
use base::document::Document;
use base::io::{Open, RealDisk};
use base::words::{Change, CollectionId, DatabaseId, DocId, Lsn};
use serde_json::Value;
use tempfile::TempDir;
use wal::{Environment, Log, Options, Upto};

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

fn env() -> Environment {
    Environment { disk: RealDisk::shared(), clock: SystemClock::shared(), reserve: None }
}

/// Small segments, so that a few documents fill several.
fn options() -> Options {
    Options { segment_bytes_first: 1024, segment_bytes_max: 1024, ..Options::default() }
}

/// A closed log of ten documents in several segments.
fn made() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let id = DatabaseId::from_bytes([7; 16]);
    let log = Log::create(&env(), dir.path(), id, options()).expect("an empty directory");
    for n in 0..10 {
        let document = format!("{{\"n\":{n},\"pad\":\"{}\"}}", "x".repeat(200));
        let change = Change::Put {
            collection: CollectionId(1),
            id: DocId::U64(n),
            replaces: Lsn::ZERO,
            expires_at: None,
            document: Document::parse(document.as_bytes()).expect("it is JSON"),
        };
        log.append(&change).expect("there is room");
    }
    log.close().expect("the disk works");
    dir
}

/// Flips a bit in the payload of the frame with this LSN.
fn damage(dir: &Path, lsn: u64) {
    let output = docdb(&["inspect", "wal", "--json", "--frames"], dir);
    let out = text(&output.stdout);
    let frames = out.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let frame = frames.into_iter().find(|frame| frame["lsn"] == lsn).expect("it is listed");
    let segment = frame["segment"].as_u64().expect("a number");
    let path: PathBuf = dir.join(format!("{segment:016x}.wal"));
    let file = RealDisk::shared().open(&path, Open::Write).expect("it is there");
    let at = frame["offset"].as_u64().expect("a number") + 60;
    let mut byte = [0];
    base::io::read_exact_at(&*file, &mut byte, at).expect("it is inside");
    base::io::write_all_at(&*file, &[byte[0] ^ 1], at).expect("it is inside");
}

#[test]
fn inspect_shows_a_healthy_log_to_people_and_programs() {
    let dir = made();
    let output = docdb(&["inspect", "wal"], dir.path());
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}");
    assert!(out.contains("verdict    opens without recovery, last LSN 10"), "{out}");
    assert!(out.contains("the log was closed"), "{out}");
    let json = parsed(&docdb(&["inspect", "wal", "--json"], dir.path()));
    assert_eq!(json["verdict"]["opens"], "clean");
    assert_eq!(json["verdict"]["last_lsn"], 10);
    let puts: u64 = json["segments"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|segment| segment["frames"]["put"].as_u64().unwrap_or(0))
        .sum();
    assert_eq!(puts, 10);
}

#[test]
fn inspect_lists_frames_with_their_documents() {
    let dir = made();
    let out = text(&docdb(&["inspect", "wal", "--frames"], dir.path()).stdout);
    assert_eq!(out.lines().filter(|line| line.contains(" put ")).count(), 10, "{out}");
    assert!(out.lines().any(|line| line.ends_with("  1/9")), "{out}");
}

#[test]
fn inspect_of_what_is_no_log_exits_with_1_and_says_so() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let output = docdb(&["inspect", "wal"], dir.path());
    assert_eq!(output.status.code(), Some(1));
    let err = text(&output.stderr);
    assert!(err.starts_with("docdb: there is no log in"), "{err}");
    assert!(err.ends_with(" code=FileOpen\n"), "{err}");
    let output = docdb(&["inspect", "wal"], &dir.path().join("nothing"));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("docdb: there is no log in"));
}

#[test]
fn a_damaged_log_is_shown_then_salvaged_when_told_to() {
    let dir = made();
    damage(dir.path(), 5);
    let out = text(&docdb(&["inspect", "wal"], dir.path()).stdout);
    assert!(out.contains("verdict    does not open"), "{out}");
    let output = docdb(&["repair", "--salvage"], dir.path());
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("say --yes"), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("lost LSNs:\n  5\n"), "{}", text(&output.stdout));
    assert!(!dir.path().join("quarantine").is_dir(), "nothing was changed");
    let report = parsed(&docdb(&["repair", "--yes", "--json", "--salvage"], dir.path()));
    assert_eq!(report["applied"], true);
    assert_eq!(report["lost"], serde_json::json!([{ "from": 5, "to": 5 }]));
    for copy in report["quarantined"].as_array().expect("a list") {
        assert!(Path::new(copy.as_str().expect("a path")).is_file(), "{copy}");
    }
    let (log, _) = Log::open_dir(&env(), dir.path(), options(), &mut |_| Ok(())).expect("it opens");
    let mut reader = log.read(Lsn(1), Upto::Visible);
    let mut lsns = Vec::new();
    while let Some(frame) = reader.next().expect("it is whole") {
        lsns.extend(frame.change().map(|_| frame.lsn.0));
    }
    assert_eq!(lsns, [1, 2, 3, 4, 6, 7, 8, 9, 10]);
}

#[test]
fn a_healthy_log_needs_no_yes_and_is_left_alone() {
    let dir = made();
    let output = docdb(&["repair", "--salvage"], dir.path());
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("Nothing to do"), "{}", text(&output.stdout));
    assert!(output.stderr.is_empty());
}

#[test]
fn a_log_in_use_is_not_salvaged() {
    let dir = made();
    let (log, _) = Log::open_dir(&env(), dir.path(), options(), &mut |_| Ok(())).expect("it opens");
    let output = docdb(&["repair", "--yes", "--salvage"], dir.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("in use"), "{}", text(&output.stderr));
    drop(log);
}
