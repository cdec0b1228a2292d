//! `docdb logs` as a process, at a server that it reaches over the Unix socket and over HTTP: what is
//! printed, word for word, and the exit codes.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use super::{line, metric};
use crate::http::world::Client;
use crate::served::{Server, command_of, until};

/// A server with both ways to it.
struct World {
    server: Server,
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let mut command = command_of(&dir.path().join("data"), "127.0.0.1:0", &socket);
        Self { server: Server::run(&mut command), dir }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The addresses of both ways.
    fn ways(&self) -> [String; 2] {
        [self.dir.path().join("s").display().to_string(), format!("http://{}", self.server.address)]
    }

    fn http(&self) -> Client {
        Client::to(self.server.address)
    }

    fn ingest(&self, body: &str) {
        let answer = self.http().ask("POST", "/v1/logs/ingest", &[], body.as_bytes());
        assert_eq!(answer.json()["stored"], body.lines().count());
    }

    /// Entries with times and numbers that a test knows.
    fn filled() -> Self {
        let world = Self::new();
        let body = [
            "{\"time\":\"2026-01-31T00:00:00Z\",\"hostname\":\"web1\",\"app_name\":\"shop\",\"proc_id\":\"7\",\
             \"severity\":\"err\",\"message\":\"disk full\",\"code\":507}\n",
            "{\"time\":\"2026-01-31T00:00:01.5Z\",\"app_name\":\"shop\",\"message\":\"say \\\"hi\\\",\\nthen go\"}\n",
            "{\"time\":\"2026-01-31T00:00:02Z\",\"hostname\":\"web2\",\"app_name\":\"nginx\",\"severity\":\"warning\",\
             \"message\":\"\\u001b[31mred\"}\n",
        ];
        world.ingest(&body.concat());
        world
    }
}

fn logs(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_docdb"));
    command.env_clear().arg("logs").args(args);
    command
}

fn run(args: &[&str]) -> Output {
    logs(args).output().unwrap()
}

#[track_caller]
fn printed(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {said}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}

const FOUND: &str = "\
2026-01-31T00:00:00.000000000Z err web1 shop[7]: disk full
2026-01-31T00:00:01.500000000Z info shop: say \"hi\",
then go
2026-01-31T00:00:02.000000000Z warning web2 nginx: \\u{1b}[31mred
";

#[test]
fn a_search_prints_what_it_finds_for_people_and_for_programs() {
    let world = World::filled();
    for way in world.ways() {
        let search = |args: &[&str]| {
            let all = [&["search", "--connect", &way], args].concat();
            printed(&run(&all))
        };
        assert_eq!(search(&["--oldest", "--app", "shop,nginx"]), FOUND);
        let lines: Vec<&str> = FOUND.split_inclusive('\n').collect();
        assert_eq!(search(&["31mred", "--app", "!docdb"]), lines[3]);
        assert_eq!(search(&["--severity", "err", "--app", "!docdb"]), lines[0]);
        assert_eq!(search(&["--sd", "code=507", "--host", "web1"]), lines[0]);
        assert_eq!(search(&["--app", "shop", "--limit", "1"]), lines[1..3].concat());
        assert_eq!(search(&["--app", "shop", "--to", "2026-01-31T00:00:01Z"]), lines[0]);
        assert_eq!(search(&["--app", "shop", "--since", "1h"]), "");
        let entry: Value =
            serde_json::from_str(&search(&["full", "--app", "shop", "--json"])).unwrap();
        assert_eq!(
            (&entry["message"], &entry["structured_data"]["code"]),
            (&"disk full".into(), &507.into())
        );
    }
    let refused = run(&["search", "--severity", "loud", "--connect", &world.ways()[0]]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("severity_max is a severity") && said.contains("code=InvalidQuery"),
        "{said}"
    );
    let nobody = run(&["search", "--connect", "/nowhere/docdb.sock"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert_eq!(run(&["search", "--colour", "red"]).status.code(), Some(2));
    world.server.end();
}

#[test]
fn the_shell_finds_the_same() {
    let world = World::filled();
    for way in world.ways() {
        let mut shell = Command::new(env!("CARGO_BIN_EXE_docdb"));
        shell.env_clear().args([
            "shell",
            "--connect",
            &way,
            "-c",
            ".logs --app shop,nginx --limit 2",
        ]);
        let lines: Vec<&str> = FOUND.split_inclusive('\n').collect();
        // A line of the shell is one line.
        let expect =
            format!("OK entries=2 more=yes\n{}{}\\n{}", lines[3], lines[1].trim_end(), lines[2]);
        assert_eq!(printed(&shell.output().unwrap()), expect);
    }
    world.server.end();
}

#[test]
fn a_tail_prints_what_comes_over_both_ways() {
    let world = World::new();
    world.ingest(&line("shop", "err", "before"));
    let tails: Vec<Child> = world
        .ways()
        .iter()
        .flat_map(|way| {
            let args = ["tail", "disk", "--app", "shop", "--count", "2", "--connect", way];
            [logs(&args), logs(&[&args[..], &["--json"]].concat())]
        })
        .map(|mut command| command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    until("all of them follow", || metric(&mut world.http(), "docdb_logs_tail_subscribers") == 4);
    let lines = [
        line("nginx", "err", "disk of another"),
        line("shop", "err", "disk 1"),
        line("shop", "err", "network"),
        line("shop", "warning", "disk 2"),
        line("shop", "warning", "disk 3"),
    ];
    world.ingest(&lines.concat());
    for (n, tail) in tails.into_iter().enumerate() {
        let text = printed(&tail.wait_with_output().unwrap());
        if n % 2 == 0 {
            let expect = "2026-01-31T00:00:00.000000000Z err web1 shop: disk 1\n\
                 2026-01-31T00:00:00.000000000Z warning web1 shop: disk 2\n";
            assert_eq!(text, expect);
        } else {
            let entry = |line| serde_json::from_str::<Value>(line).unwrap()["message"].clone();
            assert_eq!(text.lines().map(entry).collect::<Vec<_>>(), ["disk 1", "disk 2"]);
        }
    }
    world.server.end();
}

#[test]
fn a_tail_ends_with_the_server() {
    let world = World::new();
    let tails: Vec<Child> = world
        .ways()
        .iter()
        .map(|way| {
            logs(&["tail", "--app", "none", "--connect", way])
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    until("both follow", || metric(&mut world.http(), "docdb_logs_tail_subscribers") == 2);
    world.server.end();
    for tail in tails {
        assert_eq!(printed(&tail.wait_with_output().unwrap()), "");
    }
}

/// Runs `docdb logs pipe` on an input.
fn pipe(args: &[&str], input: &[u8]) -> (Option<i32>, String) {
    let mut command = logs(&[&["pipe"], args].concat());
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may end before it has read everything.
    _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_pipe_stores_every_line_once() {
    let world = World::new();
    for (n, way) in world.ways().iter().enumerate() {
        let (app, other) = (format!("piped{n}"), format!("other{n}"));
        let input = [
            b"plain line\r\n\xff is no text\n".to_vec(),
            format!("{{\"message\":\"of JSON\",\"level\":\"error\",\"service\":\"{other}\"}}\n")
                .into_bytes(),
            b"[1]\nwithout an end".to_vec(),
        ]
        .concat();
        let (code, said) =
            pipe(&["--app", &app, "--severity", "notice", "--host", "h", "--connect", way], &input);
        assert_eq!((code, said.as_str()), (Some(0), "docdb: 5 lines were stored, 0 were not\n"));
        let search =
            ["search", "--connect", way, "--app", &format!("{app},{other}"), "--oldest", "--json"];
        let found: Vec<_> = printed(&run(&search))
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .map(|entry| {
                ["message", "severity", "app_name", "hostname"]
                    .map(|name| entry[name].as_str().unwrap().to_owned())
            })
            .collect();
        let mut expect = [
            ["plain line", "notice", &app, "h"],
            ["\u{fffd} is no text", "notice", &app, "h"],
            ["of JSON", "err", &other, "h"],
            ["[1]", "notice", &app, "h"],
            ["without an end", "notice", &app, "h"],
        ];
        // Lines of one millisecond come in the order of their numbers, whatever their time is.
        expect.sort_unstable();
        let mut found = found;
        found.sort_unstable();
        assert_eq!(found, expect.map(|entry| entry.map(str::to_owned)));
    }
    let many: String = (0..5000).map(|n| format!("line {n}\n")).collect();
    let (code, said) = pipe(&["--app", "many", "--connect", &world.ways()[0]], many.as_bytes());
    assert_eq!((code, said.as_str()), (Some(0), "docdb: 5000 lines were stored, 0 were not\n"));
    let top = world.http().ask("GET", "/v1/logs/top?field=app_name&app_name=many", &[], b"");
    assert_eq!(top.json()["total"], 5000);
    let (code, said) = pipe(&["--connect", "/nowhere/docdb.sock"], b"lost\n");
    assert_eq!(code, Some(1), "{said}");
    world.server.end();
}

const NDJSON: [&str; 2] = [
    r#"{"time":"2026-01-31T00:00:00.000000000Z","severity":"err","facility":1,"hostname":"web1","app_name":"shop",
        "proc_id":"7","source":"http","structured_data":{"code":507},"message":"disk full"}"#,
    r#"{"time":"2026-01-31T00:00:01.500000000Z","severity":"info","facility":1,"app_name":"shop",
        "source":"http","message":"say \"hi\",\nthen go"}"#,
];

/// An exported entry without what differs from run to run.
fn steady(line: &str) -> Value {
    let mut entry: Value = serde_json::from_str(line).unwrap();
    let members = entry.as_object_mut().unwrap();
    assert!(members.remove("id").is_some() && members.remove("received").is_some(), "{line}");
    entry
}

#[expect(clippy::disallowed_methods, reason = "the test's own file")]
fn content(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn an_export_is_the_same_from_a_server_and_from_its_files() {
    let world = World::filled();
    let filter = ["--app", "shop"];
    let mut exports: Vec<[String; 2]> = world
        .ways()
        .iter()
        .map(|way| {
            ["ndjson", "csv"].map(|format| {
                let args =
                    [&["export", "-", "--connect", way, "--format", format], &filter[..]].concat();
                printed(&run(&args))
            })
        })
        .collect();
    let file = world.dir.path().join("out.ndjson").display().to_string();
    let to_file = ["export", &file, "--connect", &world.ways()[1], "--app", "shop"];
    assert_eq!(printed(&run(&to_file)), "");
    assert_eq!(content(Path::new(&file)), exports[0][0]);
    let again = run(&to_file);
    assert_eq!(again.status.code(), Some(1), "no file is written over");
    let data = world.data().display().to_string();
    world.server.end();
    exports.push(["ndjson", "csv"].map(|format| {
        let args = [&["export", "--data-dir", &data, "--format", format], &filter[..]].concat();
        printed(&run(&args))
    }));
    assert!(exports.iter().all(|export| *export == exports[0]), "{exports:#?}");
    let [ndjson, csv] = &exports[0];
    let found: Vec<_> = ndjson.lines().map(steady).collect();
    assert_eq!(found, NDJSON.map(|line| serde_json::from_str::<Value>(line).unwrap()));
    assert!(csv.starts_with(&format!("{}\n", logstore::CSV_HEADER)), "{csv}");
    assert!(csv.contains("\"say \"\"hi\"\",\nthen go\""), "{csv}");
    assert_eq!(csv.matches("2026-01-31T00:00:0").count(), 2, "{csv}");
}

#[test]
fn a_backup_of_a_server_that_does_not_run_is_checked_and_restored() {
    let world = World::filled();
    let data = world.data().display().to_string();
    let backup = world.dir.path().join("backup").display().to_string();
    let busy = run(&["backup", &backup, "--data-dir", &data]);
    assert_eq!(busy.status.code(), Some(1));
    let said = String::from_utf8(busy.stderr).unwrap();
    assert!(said.contains("another process has the log store open"), "{said}");
    let World { server, dir } = world;
    server.end();
    let taken = printed(&run(&["backup", &backup, "--data-dir", &data, "--json"]));
    let taken: Value = serde_json::from_str(&taken).unwrap();
    assert_eq!(taken["partitions"], 1);
    let checked = printed(&run(&["backup", &backup, "--check"]));
    let expect =
        format!("checked {} entries in 1 files, {} bytes\n", taken["entries"], taken["bytes"]);
    assert_eq!(checked, expect);
    let refused = run(&["restore", &backup, "--data-dir", &data]);
    assert_eq!(refused.status.code(), Some(1), "nothing is written over");
    let new = dir.path().join("new");
    let server = Server::start(&new);
    server.end();
    #[expect(clippy::disallowed_methods, reason = "the test's own directory")]
    std::fs::remove_dir_all(new.join("logs")).unwrap();
    let new = new.display().to_string();
    printed(&run(&["restore", &backup, "--data-dir", &new]));
    let export = |data: &str| printed(&run(&["export", "--data-dir", data, "--app", "!docdb"]));
    assert_eq!(export(&new), export(&data));
    assert_eq!(export(&new).lines().count(), 3);
}
