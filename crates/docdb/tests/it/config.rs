//! `docdb config` as a process: the environment, the exit codes, and the settings that the
//! documentation recommends.

use std::process::{Command, Output};

const REFERENCE: &str = include_str!("../../../../docs/operations/config.md");

/// Runs it without the variables of the tests themselves, which no server knows.
fn config(args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_docdb"));
    command.env_clear().envs(environment.iter().copied()).arg("config").args(args);
    command.output().expect("the binary was built")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("it writes UTF-8")
}

#[test]
fn a_flag_wins_over_a_variable_over_a_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("docdb.toml");
    #[expect(clippy::disallowed_methods, reason = "a file of the test's own")]
    std::fs::write(&path, "[log]\nlevel = 'warn'\nformat = 'json'\n").expect("it is new");
    let path = path.to_str().expect("it is UTF-8");
    let environment = [("DOCDB_CONFIG", path), ("DOCDB_LOG_LEVEL", "error")];
    let output = config(&["--data-dir", "/d", "--http=off", "--json"], &environment);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let of = |name: &str| {
        let entry = &shown[name];
        format!("{} {}", entry["value"].as_str().unwrap(), entry["origin"].as_str().unwrap())
    };
    assert_eq!(of("log.level"), "error DOCDB_LOG_LEVEL");
    assert_eq!(of("log.format"), format!("json {path}:3"));
    assert_eq!(of("data_dir"), "/d --data_dir");
    assert_eq!(of("http.listen"), "off --http.listen");
    assert_eq!(of("wal.fsync.mode"), "group default");
}

#[test]
fn short_and_dotted_flags_are_the_same_and_a_switch_needs_no_value() {
    for args in [
        ["--http=0.0.0.0:1", "--insecure", "--socket=/s", "--data.parity=false"],
        ["--http.listen=0.0.0.0:1", "--http.insecure=true", "--ipc.socket", "/s"],
    ] {
        let output = config(&args, &[]);
        let shown = text(output.stdout);
        assert!(shown.contains("\nhttp.insecure = true "), "{shown}");
        assert!(shown.contains("\nipc.socket = \"/s\" "), "{shown}");
    }
}

#[test]
fn a_wrong_configuration_exits_with_2_and_says_everything_that_is_wrong() {
    let environment = [("DOCDB_WAL_FSYNC_MOD", "x"), ("DOCDB_WAL_SEGMENT_MB", "y")];
    let output = config(&["--scheduler.queue_depth=0"], &environment);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let said = text(output.stderr);
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(said.contains("nearest=DOCDB_WAL_FSYNC_MODE"), "{said}");
    let output = config(&["--wal.fsync.mdoe=group"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(output.stderr).contains("'--wal.fsync.mode'"));
}

#[test]
fn what_the_documentation_recommends_is_accepted() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut tried = 0;
    for block in REFERENCE.split("```toml\n").skip(1) {
        let (block, _) = block.split_once("```").expect("it ends");
        let path = dir.path().join(format!("{tried}.toml"));
        #[expect(clippy::disallowed_methods, reason = "a file of the test's own")]
        std::fs::write(&path, block).expect("it is new");
        let output = config(&["--config", path.to_str().expect("it is UTF-8")], &[]);
        assert_eq!(output.status.code(), Some(0), "{block}\n{}", text(output.stderr));
        tried += 1;
    }
    assert!(tried >= 6, "{tried}");
}
