//! The binary as a process: what only a real process has, its exit code and its streams.

mod codes;
mod config;
mod copies;
mod database;
mod drills;
mod environment;
mod hostile;
mod http;
mod ipc;
mod key;
mod logs;
mod search_files;
mod served;
mod shell;
mod syslog;
mod wal;

use std::process::{Command, Output};

fn docdb(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_docdb")).args(args).output().expect("the binary was built")
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    for args in [&["no-such-command"][..], &["errors", "NoSuchCode"], &["version", "--no-such"]] {
        let output = docdb(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn help_and_version_exit_with_0_on_standard_output() {
    for args in [&[][..], &["-h"], &["--help"], &["--version"], &["version"], &["errors"]] {
        let output = docdb(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn an_error_code_is_explained_by_its_whole_page_wherever_the_program_runs() {
    let page = include_str!("../../../../docs/errors/WalCorrupt.md");
    assert!(page.contains("docdb repair --salvage"));
    for name in ["25", "WalCorrupt", "walcorrupt"] {
        let output = Command::new(env!("CARGO_BIN_EXE_docdb"))
            .args(["errors", name])
            .current_dir("/")
            .output()
            .expect("the binary was built");
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8_lossy(&output.stdout), page);
    }
}
