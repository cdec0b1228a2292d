//! A server that takes logs, killed with SIGKILL in the middle of load, again and again on the same
//! directory: what it acknowledged is there, nothing is there twice, every file passes
//! `integrity_check`, and the first search after the start finds it.
//!
//! `TESTS_LOGS_SERVER_KILLS` says how often; the checks use the default, the nightly run 100.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::rng::Rng;
use base::workers;

use super::{all_of, messages};
use crate::http::world::Client;
use crate::served::{Server, command, partitions, until};

/// Kills in a normal run.
const KILLS: u64 = 3;
/// Kills of one directory: everything in it is compared after each.
const KILLS_OF_ONE: u64 = 10;
/// Senders over HTTP; one over syslog is beside them.
const SENDERS: u64 = 3;
/// Entries of a request.
const TOGETHER: u64 = 20;
/// The program that all of them are of.
const APP: &str = "killed";

fn kills() -> u64 {
    std::env::var("TESTS_LOGS_SERVER_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS)
}

/// What was sent in all lives of a server.
#[derive(Debug, Default)]
struct Sent {
    acknowledged: BTreeSet<String>,
    /// Of requests that were not answered, and of syslog, which has no answers: these may be there.
    open: BTreeSet<String>,
}

impl Sent {
    fn add(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.open.extend(other.open);
    }
}

/// Sends requests until the server is gone.
fn over_http(address: SocketAddr, name: &str, answered: &AtomicU64) -> Sent {
    let (mut client, mut sent) = (Client::to(address), Sent::default());
    for request in 0.. {
        let messages: Vec<String> =
            (0..TOGETHER).map(|n| format!("{name} request {request} entry {n}")).collect();
        let line =
            |message: &String| format!("{{\"app_name\":\"{APP}\",\"message\":\"{message}\"}}\n");
        let body: String = messages.iter().map(line).collect();
        match client.try_post("/v1/logs/ingest", &body) {
            Some(200) => {
                answered.fetch_add(1, Ordering::AcqRel);
                sent.acknowledged.extend(messages);
            }
            // The sender over syslog has filled the queue: nothing of the request was stored.
            Some(429) => {}
            // The server ends, or is gone.
            Some(_) | None => {
                sent.open.extend(messages);
                break;
            }
        }
    }
    sent
}

/// Sends messages until the server is gone.
fn over_syslog(address: SocketAddr, name: &str) -> Sent {
    let (mut stream, mut sent) = (TcpStream::connect(address).unwrap(), Sent::default());
    for n in 0.. {
        let message = format!("{name} message {n}");
        let line = format!("<14>1 - web1 {APP} - - - {message}\n");
        sent.open.insert(message);
        if stream.write_all(line.as_bytes()).is_err() {
            break;
        }
    }
    sent
}

/// One life: load from all senders, and the `end` of the server in the middle of it.
fn live(data: &Path, life: u64, patience: u64, known: &Sent, end: fn(Server)) -> Sent {
    let server = Server::run(command(data).args(["--logs.syslog.tcp", "127.0.0.1:0"]));
    check(&mut Client::to(server.address), known);
    let answered = Arc::new(AtomicU64::new(0));
    let mut senders: Vec<_> = (0..SENDERS)
        .map(|n| {
            let (address, name) = (server.address, format!("life {life} sender {n}"));
            let answered = Arc::clone(&answered);
            workers::spawn("sender", move || over_http(address, &name, &answered)).unwrap()
        })
        .collect();
    let (address, name) = (server.syslog.unwrap(), format!("life {life} syslog"));
    senders.push(workers::spawn("sender", move || over_syslog(address, &name)).unwrap());
    until("requests are answered", || answered.load(Ordering::Acquire) >= patience);
    end(server);
    let mut sent = Sent::default();
    senders.into_iter().for_each(|sender| sent.add(sender.join().unwrap()));
    sent
}

/// Everything that was acknowledged is found by the first searches, and nothing twice.
fn check(client: &mut Client, known: &Sent) {
    if let Some(one) = known.acknowledged.last() {
        // Words in this order: one entry, found by its text.
        let text = format!("%22{}%22", one.replace(' ', "%20"));
        let page = client.ask("GET", &format!("/v1/logs?app_name={APP}&text={text}"), &[], b"");
        assert_eq!(messages(page.json()["entries"].as_array().unwrap()), [one]);
    }
    let mut entries = all_of(client, APP);
    // What a server that was told to end had read only a part of says so.
    entries.retain(|entry| {
        let is_cut = !entry["marks"].is_null();
        let message = entry["message"].as_str().unwrap();
        assert!(!is_cut || known.open.iter().any(|open| open.starts_with(message)), "{entry}");
        !is_cut
    });
    let mut found = BTreeMap::<&str, u64>::new();
    messages(&entries).into_iter().for_each(|message| *found.entry(message).or_default() += 1);
    for message in &known.acknowledged {
        assert_eq!(found.remove(message.as_str()), Some(1), "{message} was acknowledged");
    }
    for (message, count) in found {
        assert!(count == 1 && known.open.contains(message), "{message} is there {count} times");
    }
    let numbers: BTreeSet<u64> =
        entries.iter().map(|entry| entry["id"].as_u64().unwrap()).collect();
    assert_eq!(numbers.len(), entries.len(), "a number is there twice");
}

/// Looks at copies, so that it is the server that recovers its files.
#[expect(clippy::disallowed_methods, reason = "the test's own copies")]
fn integrity(data: &Path) -> usize {
    let files = partitions(data);
    for file in &files {
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("copy.logs");
        std::fs::copy(file, &copy).unwrap();
        let wal = |path: &Path| format!("{}-wal", path.display());
        if std::fs::exists(wal(file)).unwrap() {
            std::fs::copy(wal(file), wal(&copy)).unwrap();
        }
        let copy = rusqlite::Connection::open(copy).unwrap();
        let said: String = copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(said, "ok", "{}", file.display());
    }
    files.len()
}

#[test]
fn log_entries_that_were_acknowledged_survive_kills_and_are_there_once() {
    let root = tempfile::tempdir().unwrap();
    let mut rng = Rng::new(11);
    let (mut known, mut data) = (Sent::default(), root.path().to_owned());
    let (mut acknowledged, mut open, mut files) = (0, 0, 0);
    for life in 0..kills() {
        if life % KILLS_OF_ONE == 0 {
            data = root.path().join(format!("data{life}"));
            known = Sent::default();
        }
        let patience = 1 + rng.below(60);
        let sent = live(&data, life, patience, &known, Server::kill);
        assert!(sent.acknowledged.len() as u64 >= patience * TOGETHER);
        acknowledged += sent.acknowledged.len();
        open += sent.open.len();
        known.add(sent);
        files += integrity(&data);
        if (life + 1) % KILLS_OF_ONE == 0 || life + 1 == kills() {
            let server = Server::start(&data);
            check(&mut Client::to(server.address), &known);
            server.end();
        }
    }
    println!("kills={} acknowledged={acknowledged} open={open} files={files}", kills());
}

#[test]
fn a_server_told_to_end_under_load_keeps_what_it_acknowledged_and_ends_in_order() {
    let root = tempfile::tempdir().unwrap();
    let (data, mut known) = (root.path().join("data"), Sent::default());
    for life in 0..2 {
        let sent = live(&data, life, 30, &known, Server::end);
        known.add(sent);
    }
    let server = Server::start(&data);
    check(&mut Client::to(server.address), &known);
    server.end();
}
