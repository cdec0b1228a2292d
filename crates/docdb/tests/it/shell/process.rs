//! `docdb shell` as a process: its streams, its exit code, its name, and what it never says.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::{Command, Output, Stdio};

use super::server::Server;

/// Runs a command with this standard input.
fn fed(command: &mut Command, script: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary was built");
    child.stdin.take().unwrap().write_all(script.as_bytes()).expect("it reads its input");
    child.wait_with_output().expect("it ends")
}

fn shell(arguments: &[&str], script: &str) -> Output {
    fed(Command::new(env!("CARGO_BIN_EXE_docdb")).arg("shell").args(arguments), script)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("we write UTF-8")
}

const SCRIPT: &str = "\
# a script
.create 1 {
  \"a\": 1
}
.create 1 {}

.ping
";

#[test]
fn a_script_goes_on_after_an_error_unless_it_is_strict() {
    let server = Server::start();
    let socket = server.socket();
    let connect = ["--connect", &socket];
    let output = shell(&connect, SCRIPT);
    let lines: Vec<&str> = text(&output.stdout).lines().collect();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
    assert!(
        matches!(lines[..], [first, second, "OK"]
        if first.starts_with("OK id=1 ") && second.starts_with("ERROR DocExists: ")),
        "{lines:?}"
    );

    let output = shell(&[&connect[..], &["--strict"]].concat(), SCRIPT);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout).lines().count(), 1, "the document is there already");
    let said = text(&output.stderr);
    assert!(said.starts_with("docdb: ") && said.contains("line=2"), "{said}");
}

#[test]
fn statements_of_the_command_line_are_run_in_their_order_until_one_exits() {
    let server = Server::start();
    let socket = server.socket();
    let connect = ["--connect", &socket];
    let statements = ["-c", ".create a {}", "-c", ".read a", "-c", ".exit", "-c", ".ping"];
    let arguments = [&connect[..], &statements].concat();
    let output = shell(&arguments, "");
    let lines: Vec<&str> = text(&output.stdout).lines().collect();
    assert_eq!(output.status.code(), Some(0));
    assert!(matches!(lines[..], [_, read, "{}"] if read.starts_with("OK id=a ")), "{lines:?}");

    let failing = ["--strict", "-c", ".ping", "-c", ".read b", "-c", ".ping"];
    let arguments = [&connect[..], &failing].concat();
    let output = shell(&arguments, "");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("command=2"), "{}", text(&output.stderr));
}

#[test]
fn under_the_name_docdbsh_it_is_the_shell() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("docdbsh");
    symlink(env!("CARGO_BIN_EXE_docdb"), &link).unwrap();
    let output = fed(Command::new(&link).args(["--connect", &server.socket()]), ".ping\n");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "OK\n"));
}

#[test]
fn without_a_server_it_says_how_to_get_one_and_never_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("docdb.sock");
    let mut command = Command::new(env!("CARGO_BIN_EXE_docdb"));
    command.args(["shell", "--connect"]).arg(&socket).env("DOCDBSH_KEY", "a-secret");
    let output = fed(&mut command, "");
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = text(&output.stderr);
    assert!(said.contains("code=ConnectionLost") && said.contains("docdb serve"), "{said}");
    assert!(!said.contains("a-secret"));
}

#[test]
fn any_bytes_whatever_are_answered() {
    let server = Server::start();
    let mut script = String::from("\u{0}\n.\n..\n\"\n.read \u{1b}[2J\n.create {{{{\n]\n.ping\n");
    script.push_str(&".ping ".repeat(1000));
    let output = shell(&["--connect", &server.socket()], &script);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).lines().all(|line| line.starts_with(['O', 'E'])));
    assert!(!output.stdout.contains(&0x1b));
}
