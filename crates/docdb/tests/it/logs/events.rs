//! The server's own events, as entries of its logs under the program `docdb`.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use base::io::{Disk as _, EntryKind, Open, RealDisk, read_exact_at, write_all_at};
use serde_json::Value;

use super::{all_of, metric};
use crate::http::world::Client;
use crate::served::{Server, command, until};

/// The events that have this message at their beginning.
fn events(server: &Server, message: &str) -> Vec<Value> {
    let mut all = all_of(&mut Client::to(server.address), "docdb");
    all.retain(|entry| entry["message"].as_str().unwrap().starts_with(message));
    all
}

#[track_caller]
fn one(server: &Server, message: &str) -> Value {
    until(message, || !events(server, message).is_empty());
    events(server, message).remove(0)
}

fn ask(server: &Server, method: &str, path: &str, body: &str) -> u16 {
    Client::to(server.address).ask(method, path, &[], body.as_bytes()).status
}

const DOCUMENT: &str = "/v1/databases/shop/collections/default/documents/1";

#[test]
fn what_the_server_does_by_itself_and_for_others_is_in_its_logs() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data);
    let starts = one(&server, "docdb starts");
    assert_eq!((&starts["severity"], &starts["source"]), (&"info".into(), &"docdb".into()));
    assert!(starts["proc_id"].as_str().unwrap().parse::<u32>().is_ok(), "{starts}");
    assert_eq!(
        one(&server, "HTTP listens")["structured_data"]["address"],
        server.address.to_string()
    );
    assert_eq!(ask(&server, "PUT", "/v1/databases/shop", ""), 201);
    for n in 0..20 {
        assert!(ask(&server, "PUT", DOCUMENT, &format!("{n}")) < 300);
    }
    assert_eq!(ask(&server, "POST", "/v1/databases/shop/checkpoint", ""), 200);
    let checkpoint = one(&server, "checkpoint");
    let said = &checkpoint["structured_data"];
    assert_eq!((&said["database"], &said["flushed"]), (&"shop".into(), &1.into()), "{checkpoint}");
    assert_eq!(ask(&server, "PUT", DOCUMENT, "\"again\""), 200);
    assert_eq!(ask(&server, "POST", "/v1/databases/shop/checkpoint", ""), 200);
    assert_eq!(ask(&server, "POST", "/v1/databases/shop/compact", ""), 200);
    assert!(one(&server, "compacted")["structured_data"]["files"].as_u64() >= Some(1));
    server.end();
    let server = Server::start(&data);
    until("what happened at the end is there after the start", || {
        !events(&server, "docdb stops").is_empty() && events(&server, "docdb starts").len() == 2
    });
    server.end();
}

#[test]
fn senders_of_syslog_that_are_not_allowed_are_told_of_once_and_counted_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let flags = ["--logs.syslog.tcp", "127.0.0.1:0", "--logs.syslog.allow", "10.0.0.0/8"];
    let server = Server::run(command(&dir.path().join("data")).args(flags));
    for _ in 0..5 {
        let mut stream = TcpStream::connect(server.syslog.unwrap()).unwrap();
        // It may be closed before anything is written.
        _ = stream.write_all(b"<14>from somewhere else\n");
    }
    let refused = "docdb_syslog_refused_total{reason=\"not_allowed\"}";
    until("all are counted", || metric(&mut Client::to(server.address), refused) == 5);
    let told = one(&server, "syslog is not taken");
    let said = &told["structured_data"];
    assert_eq!((&said["peer"], &said["reason"]), (&"127.0.0.1".into(), &"not_allowed".into()));
    assert!(told["message"].as_str().unwrap().contains("logs.syslog.allow"), "{told}");
    assert_eq!(events(&server, "syslog is not taken").len(), 1);
    server.end();
}

#[test]
fn an_operation_that_was_slow_is_an_event_that_says_which() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::run(command(&dir.path().join("data")).args(["--log.slow_after", "1ms"]));
    // A document whose parsing and syncing take longer than that.
    let large = format!("\"{}\"", "x".repeat(8 << 20));
    let path = "/v1/databases/default/collections/default/documents/1";
    until("an operation is slow", || {
        assert!(ask(&server, "PUT", path, &large) < 300);
        let all = events(&server, "an operation was slow");
        all.iter().any(|entry| {
            let said = &entry["structured_data"];
            entry["severity"] == "warning"
                && said["operation"] == "write"
                && said["about"] == path
                && said["took_ms"].as_u64() >= Some(1)
        })
    });
    server.end();
}

#[test]
fn a_database_that_is_made_or_dropped_is_an_event() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"));
    assert_eq!(ask(&server, "PUT", "/v1/databases/shop", ""), 201);
    assert_eq!(ask(&server, "DELETE", "/v1/databases/shop", ""), 204);
    for what in ["a database was made", "a database was dropped"] {
        assert_eq!(one(&server, what)["structured_data"]["database"], "shop");
    }
    server.end();
}

/// Every file below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let listed = RealDisk.list(dir).unwrap().into_iter();
    listed
        .flat_map(|entry| {
            let path = dir.join(&entry.name);
            if entry.kind == EntryKind::Directory { files(&path) } else { vec![path] }
        })
        .collect()
}

/// Changes a byte of every place below a directory, but in logs, where this stands. Says how many.
fn damage(dir: &Path, mark: &[u8]) -> usize {
    let mut count = 0;
    for path in files(dir) {
        let is_log =
            path.components().any(|part| part.as_os_str() == "log" || part.as_os_str() == "logs");
        let file = RealDisk.open(&path, Open::Write).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        read_exact_at(&*file, &mut bytes, 0).unwrap();
        let Some(at) = bytes.windows(mark.len()).position(|window| window == mark) else {
            continue;
        };
        if !is_log {
            write_all_at(&*file, b"!", at as u64).unwrap();
            count += 1;
        }
    }
    count
}

#[test]
fn a_document_that_is_healed_is_an_event() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data);
    let mark = "a document that will be damaged";
    let path = "/v1/databases/default/collections/default/documents/1";
    assert_eq!(ask(&server, "PUT", path, &format!("\"{mark}\"")), 201);
    assert_eq!(ask(&server, "POST", "/v1/databases/default/checkpoint", ""), 200);
    server.end();
    assert_eq!(damage(&data, mark.as_bytes()), 1);
    let server = Server::start(&data);
    assert_eq!(ask(&server, "GET", path, ""), 200);
    let healed = one(&server, "healed");
    assert_eq!(healed["structured_data"]["database"], "default", "{healed}");
    assert_eq!(one(&server, "damaged")["severity"], "err");
    assert_eq!(one(&server, "opened")["structured_data"]["database"], "default");
    server.end();
}
