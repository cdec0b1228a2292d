//! No room: for the queue, because the file is busy, and on the disk. Senders are told at once and in
//! their own words, reads go on, metrics and health say it, and what was acknowledged is there.

use std::time::Duration;

use base::clock::SystemClock;
use docdb::ingest::protobuf::put_bytes;
use serde_json::json;

use super::vfs::FaultyVfs;
use super::{all_of, intruder, line, messages, metric_of};
use crate::http::world::{Client, World};
use crate::served::until;

/// A queue that is full soon.
const SMALL: [(&str, &str); 2] = [("logs.queue_size", "100"), ("logs.queue_bytes", "256KiB")];
/// Entries of a request: all that the queue takes.
const TOGETHER: usize = 100;
const APP: &str = "flood";

/// Requests that are under way, each on a connection of its own.
#[derive(Default)]
struct Flood(Vec<Client>);

impl Flood {
    /// Sends another request.
    fn more(&mut self, world: &World) {
        let number = self.0.len();
        let one = |n| line(APP, "info", &format!("request {number} entry {n}"));
        let body: String = (0..TOGETHER).map(one).collect();
        let mut client = world.connect();
        client.send("POST", "/v1/logs/ingest", &[], body.as_bytes());
        self.0.push(client);
    }

    /// Sends more until a metric has a value.
    fn until(&mut self, world: &World, series: &str, least: u64) {
        for _ in 0..1000 {
            if metric_of(world, series) >= least {
                return;
            }
            self.more(world);
        }
        panic!("{series} is still less than {least}");
    }

    /// The answers of all, once there is room again: those that were refused, with their codes, and
    /// every entry of the others is there once.
    fn settle(self, world: &World) -> Vec<(u16, String)> {
        let mut refused = Vec::new();
        let mut expect = Vec::new();
        for (number, mut client) in self.0.into_iter().enumerate() {
            let answer = client.receive("POST");
            if answer.status == 200 {
                assert_eq!(answer.json()["stored"], TOGETHER);
                expect.extend((0..TOGETHER).map(|n| format!("request {number} entry {n}")));
                continue;
            }
            assert_eq!(answer.json()["error"]["retryable"], true);
            assert!(answer.status != 429 || answer.header("retry-after").is_some());
            refused
                .push((answer.status, answer.json()["error"]["code"].as_str().unwrap().to_owned()));
        }
        let entries = all_of(&mut world.connect(), APP);
        let mut found = messages(&entries);
        found.sort_unstable();
        expect.sort_unstable();
        assert_eq!(found, expect);
        refused
    }
}

/// A request of each dialect, and what status it is answered when there is no room.
fn dialects(world: &World, statuses: [u16; 3]) {
    let json = ("content-type", "application/json");
    let protobuf = ("content-type", "application/x-protobuf");
    let loki = json!({"streams": [{"stream": {}, "values": [["1", "loki"]]}]}).to_string();
    let mut record = Vec::new();
    put_bytes(&mut record, 3, b"INFO");
    let mut otlp = record;
    for number in [2, 2, 1] {
        let inner = std::mem::take(&mut otlp);
        put_bytes(&mut otlp, number, &inner);
    }
    let ask = |path: &str, header, body: &[u8]| world.connect().ask("POST", path, &[header], body);
    let answer = ask("/loki/api/v1/push", json, loki.as_bytes());
    assert_eq!(answer.status, statuses[0], "{}", answer.text());
    let answer = ask("/v1/logs", protobuf, &otlp);
    assert_eq!(answer.status, statuses[1], "{}", answer.text());
    let answer = ask("/_bulk", json, b"{\"create\":{\"_index\":\"a\"}}\n{\"message\":\"m\"}\n");
    assert_eq!(answer.status, statuses[2], "{}", answer.text());
    assert_eq!(answer.json()["status"], statuses[2]);
}

#[test]
fn a_file_that_is_busy_fills_the_queue_and_every_sender_is_told_to_wait() {
    let world = World::changed(&SMALL, SystemClock::shared(), |options| {
        options.logs.as_mut().unwrap().busy_timeout = Duration::from_millis(20);
    });
    world.json("POST", "/v1/logs/ingest", &line("before", "info", "m"));
    let intruder = intruder(&world.data);
    intruder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut flood = Flood::default();
    let dropped = "docdb_logs_dropped_entries_total{reason=\"queue_full\"}";
    flood.until(&world, dropped, 1);
    dialects(&world, [429, 429, 429]);
    let retries = "docdb_logs_retries_total{reason=\"busy\"}";
    until("it is tried again", || metric_of(&world, retries) >= 2);
    let logs = world.json("GET", "/health", "")["logs"].clone();
    assert_eq!(logs["queue"]["entries"], TOGETHER);
    assert!(logs["dropped"]["queue_full"].as_u64().unwrap() > 0, "{logs}");
    assert_eq!(metric_of(&world, "docdb_logs_queue_utilisation_ratio"), 1);
    assert_eq!(messages(&all_of(&mut world.connect(), "before")), ["m"], "reads go on");
    intruder.execute_batch("ROLLBACK").unwrap();
    let refused = flood.settle(&world);
    assert!(
        !refused.is_empty()
            && refused.iter().all(|(status, code)| (*status, code.as_str()) == (429, "QueueFull"))
    );
    // Of what was refused nothing is there: three of the dialects, and whole requests.
    assert_eq!(metric_of(&world, dropped), (refused.len() * TOGETHER + 3) as u64);
}

#[test]
fn a_full_disk_is_told_and_writing_goes_on_when_there_is_room() {
    let vfs = FaultyVfs::register();
    let world = World::changed(&SMALL, SystemClock::shared(), |options| {
        options.logs.as_mut().unwrap().vfs = Some(vfs.name.clone());
    });
    world.json("POST", "/v1/logs/ingest", &line("before", "info", "m"));
    vfs.state().is_full = true;
    let mut flood = Flood::default();
    flood.until(&world, "docdb_logs_disk_full_state", 1);
    let dropped = "docdb_logs_dropped_entries_total{reason=\"disk_full\"}";
    flood.until(&world, dropped, 1);
    // OpenTelemetry's exporters give up after 507 and try again after 503.
    dialects(&world, [507, 503, 507]);
    let health = world.json("GET", "/health", "");
    assert_eq!(
        (&health["status"], &health["logs"]["status"]),
        (&json!("degraded"), &json!("degraded"))
    );
    assert_eq!(health["logs"]["disk_full"], true);
    assert_eq!(messages(&all_of(&mut world.connect(), "before")), ["m"], "reads go on");
    vfs.state().is_full = false;
    let refused = flood.settle(&world);
    assert!(
        !refused.is_empty()
            && refused.iter().all(|(status, code)| (*status, code.as_str()) == (507, "DiskFull"))
    );
    assert_eq!(metric_of(&world, "docdb_logs_disk_full_state"), 0);
    assert_eq!(world.json("GET", "/health", "")["logs"]["status"], "ok");
}
