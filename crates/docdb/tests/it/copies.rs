//! `docdb backup`, `restore`, `export` and `import` on real data directories.

mod documents;
mod whole;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use base::clock::SystemClock;
use base::io::{Open, RealDisk};
use base::memory::Budget;
use docstore::{Options, Store};
use serde_json::Value;
use tempfile::TempDir;
use wal::Environment;

/// Runs a command line with some standard input.
fn fed(args: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_docdb"));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary was built");
    let mut stdin = child.stdin.take().expect("it is piped");
    // A command that reads nothing closes its end: that is for its test to judge.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn docdb(args: &[&str]) -> Output {
    fed(args, b"")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it was not killed")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("we write UTF-8")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("we write UTF-8")
}

/// What a command that must succeed prints.
fn done(args: &[&str]) -> String {
    let output = docdb(args);
    assert_eq!(code(&output), 0, "{args:?}: {}{}", out(&output), err(&output));
    out(&output)
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("it is JSON")
}

fn root() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// A path below a directory, as an argument.
fn below(root: &TempDir, name: &str) -> String {
    root.path().join(name).to_str().expect("it is UTF-8").to_owned()
}

fn env() -> Environment {
    Environment { disk: RealDisk::shared(), clock: SystemClock::shared(), reserve: None }
}

/// A data directory that this process has open, as a server would.
fn held(dir: &str) -> Store {
    let budget = Budget::new("test", 1 << 30);
    Store::open(&env(), Path::new(dir), Options::default(), budget).expect("an empty place")
}

fn is_there(path: &str) -> bool {
    RealDisk::shared().stat(Path::new(path)).expect("it can be asked").is_some()
}

fn bytes_of(path: &str) -> Vec<u8> {
    let file = RealDisk::shared().open(Path::new(path), Open::Read).expect("it is there");
    let len = usize::try_from(file.len().expect("it has one")).expect("a small file");
    let mut bytes = vec![0; len];
    base::io::read_exact_at(&*file, &mut bytes, 0).expect("it can be read");
    bytes
}

fn write(path: &str, bytes: &[u8]) {
    let file = RealDisk::shared().open(Path::new(path), Open::CreateNew).expect("a new name");
    base::io::write_all_at(&*file, bytes, 0).expect("there is room");
}

fn flip(path: &Path, at: u64) {
    let file = RealDisk::shared().open(path, Open::Write).expect("it is there");
    let mut byte = [0];
    base::io::read_exact_at(&*file, &mut byte, at).expect("it is inside");
    base::io::write_all_at(&*file, &[byte[0] ^ 1], at).expect("it is inside");
}

fn files(dir: &str, end: &str) -> Vec<PathBuf> {
    let entries = RealDisk::shared().list(Path::new(dir)).expect("it is a directory");
    let named = entries.into_iter().filter(|entry| entry.name.ends_with(end));
    named.map(|entry| Path::new(dir).join(entry.name)).collect()
}

/// Lines of documents with the ids `from` to `to`.
fn numbered(from: u64, to: u64) -> Vec<u8> {
    let line =
        |n| format!("{{\"id\":{n},\"document\":{{\"n\":{n},\"pad\":\"{}\"}}}}\n", "x".repeat(50));
    (from..to).map(line).collect::<String>().into_bytes()
}

/// Imports lines, making whatever is missing.
fn filled(data: &str, lines: &[u8]) {
    let output = fed(&["import", "--create", "--data-dir", data], lines);
    assert_eq!(code(&output), 0, "{}{}", out(&output), err(&output));
}

#[test]
fn every_command_has_help_with_examples_and_exit_codes() {
    for command in ["backup", "restore", "export", "import"] {
        let help = done(&[command, "--help"]);
        assert!(help.contains("Exit codes:\n  0  "), "{help}");
        assert!(help.contains(&format!("Examples:\n  docdb {command} ")), "{help}");
        assert!(help.contains("--data-dir") && help.contains("./docdb-data"), "{help}");
    }
}

#[test]
fn a_data_directory_that_is_open_elsewhere_is_left_alone_and_said_to_be_in_use() {
    let root = root();
    let (data, to) = (below(&root, "data"), below(&root, "backup"));
    filled(&data, &numbered(0, 3));
    done(&["backup", &to, "--data-dir", &data]);
    let server = held(&data);
    let lines = below(&root, "lines");
    for args in [
        &["backup", &to][..],
        &["restore", &to, "--database", "copy"],
        &["export", &lines],
        &["import", "-"],
    ] {
        let output = docdb(&[args, &["--data-dir", &data]].concat());
        assert_eq!(code(&output), 1, "{args:?}");
        let said = err(&output);
        assert!(said.contains(&data) && said.contains("is in use: a server"), "{said}");
        assert!(said.ends_with(" code=FileOpen\n"), "{said}");
        assert!(out(&output).is_empty(), "{args:?}");
    }
    assert!(!is_there(&lines));
    assert_eq!(server.list().len(), 1);
    drop(server);
    done(&["backup", &to, "--data-dir", &data]);
}

#[test]
fn what_is_not_there_is_named_and_nothing_is_made() {
    let root = root();
    let (data, to) = (below(&root, "data"), below(&root, "backup"));
    for args in [&["backup", &to][..], &["export"], &["import", "-"]] {
        let output = docdb(&[args, &["--data-dir", &data]].concat());
        assert_eq!(code(&output), 1, "{args:?}");
        let said = err(&output);
        assert!(said.contains("there is no data directory at `") && said.contains(&data), "{said}");
        assert!(said.ends_with(" code=FileOpen\n"), "{said}");
    }
    let output = docdb(&["restore", &to, "--data-dir", &data]);
    assert_eq!(code(&output), 1);
    assert!(err(&output).contains("there is no backup at `"), "{}", err(&output));
    assert!(!is_there(&data) && !is_there(&to));
    filled(&data, &numbered(0, 3));
    for args in [&["backup", &to][..], &["export"], &["import", "-"]] {
        let output = docdb(&[args, &["--data-dir", &data, "--database", "orders"]].concat());
        assert_eq!(code(&output), 1, "{args:?}");
        let said = err(&output);
        assert!(said.ends_with("name=orders; there are: default code=DbNotFound\n"), "{said}");
    }
    for args in [&["export"][..], &["import", "-"]] {
        let output = docdb(&[args, &["--data-dir", &data, "--collection", "books"]].concat());
        assert_eq!(code(&output), 1, "{args:?}");
        assert!(err(&output).ends_with(" code=CollectionNotFound\n"), "{}", err(&output));
    }
    assert!(!is_there(&to));
}
