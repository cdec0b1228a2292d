//! Where commands that need no server look for databases: in the data directory of the flag, of the
//! environment or of the configuration, as `docdb serve` does; and what goes where in it.
#![expect(clippy::unwrap_used, reason = "a failure here is the test's")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A run in `dir`, with nothing in its environment but these variables.
fn docdb(dir: &Path, variables: &[(&str, &str)], args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_docdb"));
    command.env_clear().envs(variables.iter().copied()).current_dir(dir).args(args);
    command.stdin(Stdio::null()).output().unwrap()
}

/// The same, which must succeed; what it prints.
#[track_caller]
fn done(dir: &Path, variables: &[(&str, &str)], args: &[&str]) -> String {
    let output = docdb(dir, variables, args);
    assert!(output.status.success(), "{args:?}: {}", error(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn error(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The same, which must be refused with this exit code; what it says.
#[track_caller]
fn refused(dir: &Path, variables: &[(&str, &str)], args: &[&str], code: i32) -> String {
    let output = docdb(dir, variables, args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    error(&output)
}

#[expect(clippy::disallowed_methods, reason = "files of the test's own")]
fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

/// A database with a document in it, in the data directory that the variables say.
fn import(dir: &Path, variables: &[(&str, &str)], database: &str) {
    write(&dir.join("one.ndjson"), "{\"id\":1,\"document\":{\"a\":1}}\n");
    done(dir, variables, &["import", "one.ndjson", "--create", "--database", database]);
}

fn is_there(path: &Path) -> bool {
    use base::io::Disk as _;
    base::io::RealDisk.stat(path).unwrap().is_some()
}

#[test]
fn every_command_looks_where_a_server_in_the_same_environment_would() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(&dir.join("docdb.toml"), "data_dir = \"of-the-file\"\n");
    for (variables, data) in [
        (&[][..], "docdb-data"),
        (&[("DOCDB_DATA_DIR", "of-the-variable")], "of-the-variable"),
        (&[("DOCDB_CONFIG", "docdb.toml")], "of-the-file"),
    ] {
        import(dir, variables, "default");
        assert!(is_there(&dir.join(data)), "{data}");
        let backup = format!("{data}-backup");
        for args in [
            &["export"][..],
            &["verify"],
            &["verify", "--database", "default"],
            &["inspect", "manifest"],
            &["inspect", "wal"],
            &["repair", "--salvage"],
            &["repair", "--rebuild-index"],
            &["backup", &backup],
            &["restore", &backup, "--database", "copy"],
            &["key", "list"],
        ] {
            done(dir, variables, args);
        }
        // A flag comes before all of them.
        let elsewhere = refused(dir, variables, &["export", "--data-dir", "nowhere"], 1);
        assert!(elsewhere.contains("no data directory at"), "{elsewhere}");
    }
    assert!(is_there(&dir.join("of-the-file")) && is_there(&dir.join("of-the-variable")));
}

#[test]
fn a_configuration_that_is_wrong_is_refused_unless_nothing_of_it_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    import(dir, &[], "default");
    let wrong = [("DOCDB_DATADIR", "data")];
    for args in [&["verify"][..], &["export"], &["backup", "b"], &["shell", "-c", ".ls"]] {
        let said = refused(dir, &wrong, args, 2);
        assert!(said.contains("DOCDB_DATADIR") && said.contains("DOCDB_DATA_DIR"), "{said}");
    }
    done(dir, &wrong, &["export", "--data-dir", "docdb-data"]);
}

#[test]
fn of_several_databases_the_one_that_is_meant_must_be_named() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let said = refused(dir, &[], &["verify"], 1);
    assert!(said.contains("no data directory"), "{said}");
    import(dir, &[], "default");
    import(dir, &[], "orders");
    for args in [&["verify"][..], &["verify", "docdb-data"], &["inspect", "manifest"]] {
        let said = refused(dir, &[], args, 1);
        assert!(said.contains("--database") && said.contains("orders (`"), "{said}");
    }
    let report = done(dir, &[], &["verify", "--database", "orders", "--json"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["name"], "orders");
    let report = done(dir, &[], &["verify", "docdb-data", "--database", "default", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&report).unwrap()["name"], "default");
    let said = refused(dir, &[], &["verify", "--database", "shop"], 1);
    assert!(said.contains("name=shop") && said.contains("code=DbNotFound"), "{said}");
    let said = refused(dir, &[], &["verify", "x", "--data-dir", "docdb-data"], 1);
    assert!(said.contains("not both"), "{said}");
}

#[test]
fn backups_of_databases_and_of_logs_are_kept_apart() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    import(dir, &[], "default");
    done(dir, &[], &["backup", "of-database"]);
    let server = crate::served::Server::start(&dir.join("docdb-data"));
    let ask = |path: &str, body: &str| {
        let mut client = crate::http::world::Client::to(server.address);
        client.ask("POST", path, &[], body.as_bytes())
    };
    let name = "{\"name\":\"monday\"}";
    assert_eq!(ask("/v1/logs/backup", name).status, 200);
    ask("/v1/databases/default/backup", name).is_failure(409, "DbExists");
    ask("/v1/databases/default/backup", "{\"name\":\"tuesday\"}");
    ask("/v1/logs/backup", "{\"name\":\"tuesday\"}").is_failure(400, "InvalidName");
    let from = "{\"backup\":\"monday\"}";
    ask("/v1/databases/new/restore", from).is_failure(404, "FileOpen");
    server.end();
    let of_logs = "docdb-data/backups/monday";
    done(dir, &[], &["logs", "backup", "--check", of_logs]);
    for (args, code) in [
        (&["backup", of_logs][..], "code=DbExists"),
        (&["backup", "--check", of_logs], "code=FileOpen"),
        (&["restore", of_logs, "--database", "new"], "code=FileOpen"),
    ] {
        let said = refused(dir, &[], args, 1);
        assert!(said.contains("`docdb logs restore`") && said.contains(code), "{said}");
    }
    for args in
        [&["logs", "backup", "--check", "of-database"][..], &["logs", "restore", "of-database"]]
    {
        let said = refused(dir, &[], args, 1);
        assert!(said.contains("`docdb restore`") && said.contains("code=FileOpen"), "{said}");
    }
    done(dir, &[], &["backup", "--check", "of-database"]);
    done(dir, &[], &["logs", "backup", "--check", of_logs]);
}

#[test]
fn a_server_is_found_by_its_data_directory_or_by_host_and_port() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("d");
    let socket = data.join("docdb.sock");
    let mut serve = crate::served::command_of(&data, "127.0.0.1:0", &socket);
    let server = crate::served::Server::run(&mut serve);
    let address = server.address.to_string();
    let variables = [("DOCDB_DATA_DIR", data.to_str().unwrap())];
    for (variables, more) in
        [(&[][..], &["--data-dir", "d"][..]), (&[], &["--connect", &address]), (&variables, &[])]
    {
        let shell = [&["shell", "--no-history", "-c", ".ls"][..], more].concat();
        assert!(done(dir.path(), variables, &shell).contains("name=default"), "{more:?}");
        let search = [&["logs", "search", "serves"][..], more].concat();
        assert!(done(dir.path(), variables, &search).contains("docdb serves"), "{more:?}");
    }
    let said =
        refused(dir.path(), &[], &["shell", "-c", ".ls", "--connect", "x:1", "--data-dir", "d"], 2);
    assert!(said.contains("cannot be used with"), "{said}");
    server.end();
}
