//! `docdb serve` as a process: its start, its signals, its exit code.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use super::world::Client;
use crate::served::{Server, command, command_at, until};

#[test]
fn what_was_answered_survives_sigterm_under_load() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data);
    let address = server.address;
    let stopping = std::sync::Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4u64)
        .map(|writer| {
            let stopping = std::sync::Arc::clone(&stopping);
            base::workers::spawn("writer", move || {
                let mut client = Client::to(address);
                let mut written = Vec::new();
                for n in 0.. {
                    let id = writer * 1_000_000 + n;
                    let path = format!("/v1/databases/default/collections/default/documents/{id}");
                    match client.try_put(&path, n) {
                        Some(201) => written.push(id),
                        // Refused, or the connection was closed: the end has begun.
                        _ if stopping.load(Ordering::Acquire) => return written,
                        other => panic!("{other:?}"),
                    }
                }
                written
            })
            .unwrap()
        })
        .collect();
    let mut client = Client::to(address);
    let count = |client: &mut Client| {
        let path = "/v1/databases/default/collections/default";
        client.ask("GET", path, &[], b"").json()["documents"].as_u64().unwrap()
    };
    while count(&mut client) < 200 {}
    stopping.store(true, Ordering::Release);
    server.signal("-TERM");
    let written: Vec<u64> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
    assert_eq!(server.code(), Some(0));
    assert!(written.len() >= 200);
    let again = Server::start(&data);
    let mut client = Client::to(again.address);
    for id in written {
        let path = format!("/v1/databases/default/collections/default/documents/{id}");
        assert_eq!(client.ask("GET", &path, &[], b"").status, 200, "{id} was acknowledged");
    }
    again.signal("-INT");
    assert_eq!(again.code(), Some(0));
}

#[test]
fn a_second_process_on_the_same_data_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data);
    let second = command(&data).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("code=FileOpen"), "{said}");
    let advice = "is in use: a server, or a docdb command, has it open";
    assert!(said.contains(advice) && said.contains("--data-dir"), "{said}");
    server.signal("-TERM");
    assert_eq!(server.code(), Some(0));
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data);
    let taken = server.address.to_string();
    let run = |args: &[&str]| {
        let mut child = command(&dir.path().join("other")).args(args).spawn().unwrap();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (child.wait().unwrap().code(), said)
    };
    let (code, said) = run(&["--http.listen", &taken]);
    assert_eq!(code, Some(2), "an option is given once: {said}");
    let (code, said) = run_with(&dir.path().join("other"), &taken);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot listen") && said.contains(&taken), "{said}");
    assert!(said.contains("listens there") && said.contains("with --http"), "{said}");
    let (code, said) = run_with(&dir.path().join("other"), "0.0.0.0:0");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("beyond loopback") && said.contains("docdb key add"), "{said}");
    let (code, said) = run(&["--scheduler.worker=3"]);
    assert_eq!(code, Some(2), "{said}");
}

/// Makes a key in a directory of data.
fn key(data: &Path, grant: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_docdb"));
    let output = command.args(["key", "add", grant, "--grant", grant, "--data-dir"]).arg(data);
    let output = output.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn status(server: &Server, path: &str, key: Option<&str>) -> u16 {
    let value = key.map(|key| format!("Bearer {key}"));
    let headers: Vec<_> = value.iter().map(|value| ("authorization", value.as_str())).collect();
    Client::to(server.address).ask("GET", path, &headers, b"").status
}

#[test]
fn a_server_that_others_reach_starts_with_a_key_and_asks_everybody_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let key = key(&data, "*=read");
    let mut server = Server::run(&mut command_at(&data, "0.0.0.0:0"));
    server.address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    assert_eq!(status(&server, "/health/live", None), 200);
    assert_eq!(status(&server, "/v1/databases", None), 401);
    assert_eq!(status(&server, "/v1/databases", Some(&key)), 200);
    server.signal("-TERM");
    assert_eq!(server.code(), Some(0));
}

#[test]
fn keys_made_while_a_server_runs_are_asked_for_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data);
    assert_eq!(status(&server, "/v1/databases", None), 200);
    let key = key(&data, "*=read");
    server.signal("-HUP");
    until("a key is asked for", || status(&server, "/v1/databases", None) == 401);
    assert_eq!(status(&server, "/v1/databases", Some(&key)), 200);
    server.signal("-TERM");
    assert_eq!(server.code(), Some(0), "SIGHUP has not ended it");
}

#[test]
fn what_is_wrong_is_told_to_the_webhook() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    #[expect(clippy::disallowed_methods, reason = "a directory of the test's own")]
    std::fs::create_dir_all(data.join("db-0123")).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let server = Server::run(command(&data).env("DOCDB_ALERTS_WEBHOOK_URL", url));
    // What else is wrong with the machine may come first.
    let alert = loop {
        let (mut stream, _) = listener.accept().unwrap();
        let alert = post(&mut stream);
        if alert["condition"] == "directory_refused" {
            break alert;
        }
    };
    assert_eq!((&alert["event"], &alert["source"]), (&"raised".into(), &"docdb".into()));
    assert!(alert["subject"].as_str().unwrap().ends_with("db-0123"), "{alert}");
    assert_eq!(alert["server"].as_str(), data.to_str());
    let metrics = || {
        let text = Client::to(server.address).ask("GET", "/metrics", &[], b"").text();
        text.contains("docdb_standing_alerts{condition=\"directory_refused\"} 1")
    };
    until("the metric says so", metrics);
    server.signal("-TERM");
    assert_eq!(server.code(), Some(0));
}

/// Reads one POST, answers that it was taken, and says what it brought.
fn post(stream: &mut std::net::TcpStream) -> serde_json::Value {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut length = 0;
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "a whole request comes");
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
    std::io::Write::write_all(stream, answer).unwrap();
    serde_json::from_slice(&body).unwrap()
}

fn run_with(dir: &Path, address: &str) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_docdb"))
        .args(["serve", "--socket", "off", "--http", address, "--data-dir"])
        .arg(dir)
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}
