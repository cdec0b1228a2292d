//! Places that are taken, stale or somebody else's: starting says what is wrong, and nothing there is
//! touched.

use std::fs;
use std::process::Command;

use super::process::{Process, docdb, serve};

/// What a server that does not start says, and its exit code.
fn refused(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_socket_left_by_a_killed_server_is_taken_over() {
    let server = Process::start();
    server.lives();
    let again = server.killed_and_started_again();
    again.lives();
    assert!(again.end().success());
}

#[test]
fn a_second_server_on_the_same_data_or_socket_is_refused_and_the_first_goes_on() {
    let server = Process::start();
    let (code, said) = refused(serve(docdb(), server.dir()));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("code=FileOpen") && said.contains("in use"), "{said}");
    let other = tempfile::tempdir().unwrap();
    let mut command = Command::new(docdb());
    command.args(["serve", "--http", "off", "--data-dir"]).arg(other.path().join("data"));
    let (code, said) = refused({
        command.arg("--socket").arg(server.socket());
        command
    });
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("another process listens there"), "{said}");
    server.lives();
}

#[test]
fn a_plain_name_is_a_directory_below_the_one_that_the_server_is_started_in() {
    let server = Process::of(docdb(), |command| {
        let dir = command.get_args().last().map(std::path::Path::new).and_then(|at| at.parent());
        let dir = dir.unwrap().to_path_buf();
        let mut other = Command::new(docdb());
        other.args(["serve", "--http", "127.0.0.1:0", "--log.format", "json"]);
        other.args(["--data-dir", "data", "--socket", "s"]).current_dir(&dir);
        other.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        other.stderr(std::process::Stdio::piped());
        *command = other;
    });
    server.lives();
    assert!(server.dir().join("data").is_dir());
}

#[test]
fn a_directory_that_is_not_ours_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("letter.txt"), "precious").unwrap();
    fs::create_dir(data.join("dropped-files")).unwrap();
    let (code, said) = refused(serve(docdb(), dir.path()));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is no data directory of docdb"), "{said}");
    let mut left: Vec<_> =
        fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["dropped-files", "letter.txt"]);
    assert_eq!(fs::read(data.join("letter.txt")).unwrap(), b"precious");

    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("data"), "a file").unwrap();
    let (code, said) = refused(serve(docdb(), dir.path()));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("Not a directory"), "{said}");
    assert_eq!(fs::read(dir.path().join("data")).unwrap(), b"a file");
}
