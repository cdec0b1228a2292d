//! `docdb key` as a process: what goes where, and what is left in the directory.

use std::path::Path;
use std::process::{Command, Output};

fn key(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_docdb"));
    command.env_clear().arg("key").args(args).arg("--data-dir").arg(dir);
    command.output().expect("the binary was built")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it writes UTF-8")
}

#[test]
fn a_key_is_printed_once_and_alone_and_can_be_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let added = key(&data, &["add", "ci", "--grant", "orders=write", "--expires", "90d"]);
    assert_eq!(added.status.code(), Some(0), "{added:?}");
    let secret = text(&added.stdout).trim_end();
    assert!(secret.starts_with("docdb_") && secret.len() == 70, "{secret}");
    assert!(text(&added.stderr).contains("not shown again"));
    assert!(!text(&added.stderr).contains(secret));
    for list in [key(&data, &["list"]), key(&data, &["list", "--json"])] {
        let shown = text(&list.stdout);
        assert!(shown.contains("ci") && shown.contains("orders=write"), "{shown}");
        assert!(!shown.contains(&secret["docdb_".len()..]), "{shown}");
    }
    let json: serde_json::Value =
        serde_json::from_slice(&key(&data, &["list", "--json"]).stdout).expect("it is JSON");
    assert_eq!(json[0]["label"], "ci");
    assert_eq!(json[0]["expired"], false);
    let removed = key(&data, &["remove", json[0]["id"].as_str().expect("an id")]);
    assert_eq!(removed.status.code(), Some(0));
    assert!(text(&removed.stderr).contains("no key is left"));
    assert_eq!(key(&data, &["list"]).stdout, b"");
    assert_eq!(key(&data, &["remove", "ci"]).status.code(), Some(1));
}

#[test]
fn what_cannot_be_a_key_is_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    for args in [
        &["add", "ci"][..],
        &["add", "ci", "--grant", "orders"],
        &["add", "ci", "--grant", "orders=all"],
        &["add", "ci", "--grant", "../x=read"],
        &["add", "ci", "--grant", "*=read", "--expires", "0"],
        &["add", "ci", "--grant", "*=read", "--expires", "soon"],
    ] {
        assert_eq!(key(&data, args).status.code(), Some(2), "{args:?}");
    }
    assert_eq!(key(&data, &["add", "", "--grant", "*=read"]).status.code(), Some(1));
    #[expect(clippy::disallowed_methods, reason = "a look at what the process left")]
    let exists = data.exists();
    assert!(!exists);
}

#[test]
fn a_data_directory_that_is_not_there_is_said_to_be() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    for args in [&["list"][..], &["remove", "ci"]] {
        let output = key(&data, args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let said = text(&output.stderr);
        assert!(said.contains("there is no data directory at") && said.contains("--data-dir"));
    }
    let added = key(&data.join("below"), &["add", "ci", "--grant", "*=read"]);
    assert_eq!(added.status.code(), Some(1));
    let said = text(&added.stderr);
    assert!(said.contains("there is no directory at") && said.contains("to make"), "{said}");
    let added = key(&data, &["add", "ci", "--grant", "*=read"]);
    assert!(text(&added.stderr).contains("has been made"), "{added:?}");
    let again = key(&data, &["add", "cd", "--grant", "*=read"]);
    assert!(!text(&again.stderr).contains("has been made"), "{again:?}");
}

#[test]
fn the_file_of_keys_is_for_its_user_alone_and_nothing_else_is_left() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("a directory");
    assert_eq!(key(dir.path(), &["add", "ci", "--grant", "*=read"]).status.code(), Some(0));
    #[expect(clippy::disallowed_methods, reason = "a look at what the process left")]
    let entries = std::fs::read_dir(dir.path()).expect("it is there");
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.expect("it is there");
        let mode = entry.metadata().expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{entry:?}");
        names.push(entry.file_name());
    }
    names.sort();
    assert_eq!(names, ["keys.json", "keys.lock"]);
}

#[test]
fn a_damaged_file_is_named_and_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("keys.json");
    #[expect(clippy::disallowed_methods, reason = "a file of the test's own")]
    std::fs::write(&path, "{}").expect("it is new");
    for args in [&["list"][..], &["add", "x", "--grant", "*=read"], &["remove", "x"]] {
        let output = key(dir.path(), args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let said = text(&output.stderr);
        assert!(said.contains("is damaged") && said.contains("keys.json"), "{said}");
    }
    #[expect(clippy::disallowed_methods, reason = "a file of the test's own")]
    let left = std::fs::read(&path).expect("it is there");
    assert_eq!(left, b"{}");
}
