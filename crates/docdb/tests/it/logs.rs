//! Application logs at the level of the server: what is promised to senders and readers when
//! something fails, over real sockets, with real files and real processes.
#![expect(clippy::unwrap_used, reason = "a failure here is the test's")]

mod access;
mod commands;
mod damage;
mod events;
mod kills;
mod room;
mod socket;
mod tails;
mod values;
#[path = "../../../logstore/tests/it/vfs.rs"]
#[expect(dead_code, reason = "what happened to files is the log store's own question")]
mod vfs;

use std::path::Path;

use serde_json::Value;

use crate::http::world::{Client, World};
use crate::served::partitions;

/// A connection of somebody else to the newest file of the log store of a data directory.
fn intruder(data: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(partitions(data).pop().unwrap()).unwrap()
}

/// The value of a metric, by its name and labels as they are rendered; 0 where there is none.
fn metric(client: &mut Client, series: &str) -> u64 {
    let text = client.ask("GET", "/metrics", &[], b"").text();
    let of = |line: &str| line.strip_prefix(series)?.trim().parse().ok();
    text.lines().find_map(of).unwrap_or(0)
}

fn metric_of(world: &World, series: &str) -> u64 {
    metric(&mut world.connect(), series)
}

/// An entry as a line of `POST /v1/logs/ingest`.
fn line(app: &str, severity: &str, message: &str) -> String {
    let entry = serde_json::json!({
        "time": "2026-01-31T00:00:00Z", "hostname": "web1",
        "app_name": app, "severity": severity, "message": message,
    });
    format!("{entry}\n")
}

/// Every entry of a program, the earliest first, page by page.
fn all_of(client: &mut Client, app: &str) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/logs?app_name={app}&order=oldest&limit=1000{cursor}");
        let page = client.ask("GET", &path, &[], b"").json();
        assert_eq!(page["unreadable"], serde_json::json!([]));
        found.extend(page["entries"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

fn messages(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["message"].as_str().unwrap()).collect()
}
