//! Logs over the Unix socket: command 25, its live tails, and what each needs.

use std::time::Duration;

use client::{Client, ErrorCode, LogEvent, Value};
use serde_json::json;

use crate::ipc::{PATIENCE, Server, server_of, wait_until};

fn server() -> Server {
    server_of(|options| options.logs = Some(logstore::Options::default()), |_| {})
}

fn ingest(client: &Client, messages: &[&str]) -> Value {
    let entry = |message: &&str| json!({"app_name": "shop", "severity": "err", "message": message});
    let entries: Vec<_> = messages.iter().map(entry).collect();
    client.logs(&json!({"op": "ingest", "entries": entries})).unwrap()
}

fn refused(client: &Client, request: &Value) -> ErrorCode {
    let error = client.logs(request).unwrap_err();
    error.code().unwrap_or_else(|| panic!("{error}"))
}

#[test]
fn entries_are_stored_found_and_counted() {
    let server = server();
    let client = server.client();
    assert_eq!(
        ingest(&client, &["disk full", "disk ok"]),
        json!({"stored": 2, "unparsed": 0, "refused": 0})
    );
    let page = client.logs(&json!({"op": "search", "text": "full", "limit": 1})).unwrap();
    assert_eq!(page["entries"][0]["message"], "disk full");
    assert_eq!(page["entries"][0]["source"], "socket");
    let top = client.logs(&json!({"op": "top", "field": "severity"})).unwrap();
    assert_eq!(top["values"], json!([{"value": "err", "count": 2}]));
    let bars = client.logs(&json!({"op": "histogram", "width_ms": 3_600_000})).unwrap();
    let counted: u64 =
        bars["bars"].as_array().unwrap().iter().map(|bar| bar["count"].as_u64().unwrap()).sum();
    assert_eq!(counted, 2);
    for request in [
        json!({}),
        json!({"op": "drop"}),
        json!({"op": "search", "limit": 0}),
        json!({"op": "search", "colour": "red"}),
        json!({"op": "ingest"}),
        json!({"op": "tail", "limit": 3}),
        json!({"op": "tail_next"}),
        json!({"op": "tail_next", "tail": 1}),
        json!({"op": "tail_next", "tail": 1, "wait_ms": 60_001}),
        json!({"op": "tail_end", "tail": 1}),
        json!({"op": "tail_next", "tail": 1, "text": "a filter is of the beginning"}),
    ] {
        assert_eq!(refused(&client, &request), ErrorCode::InvalidQuery, "{request}");
    }
}

#[test]
fn a_tail_brings_what_came_since_the_last_request_and_ends_with_its_connection() {
    let server = server();
    let (client, other) = (server.client(), server.client());
    ingest(&other, &["before"]);
    let tail = client.logs(&json!({"op": "tail", "text": "disk"})).unwrap()["tail"].clone();
    let next = |wait: u64| {
        client.logs(&json!({"op": "tail_next", "tail": tail, "wait_ms": wait})).unwrap()
    };
    assert_eq!(next(0), json!({"events": [], "is_closed": false}));
    ingest(&other, &["disk 1", "network", "disk 2"]);
    let events = next(60_000)["events"].clone();
    let messages: Vec<_> =
        events.as_array().unwrap().iter().map(|event| &event["message"]).collect();
    assert_eq!(messages, ["disk 1", "disk 2"]);
    // A tail is of one connection, and of no other.
    assert_eq!(refused(&other, &json!({"op": "tail_next", "tail": tail})), ErrorCode::InvalidQuery);
    for _ in 1..16 {
        client.logs(&json!({"op": "tail"})).unwrap();
    }
    assert_eq!(refused(&client, &json!({"op": "tail"})), ErrorCode::QueueFull);
    assert_eq!(client.logs(&json!({"op": "tail_end", "tail": tail})).unwrap(), json!({}));
    assert_eq!(refused(&client, &json!({"op": "tail_end", "tail": tail})), ErrorCode::InvalidQuery);
    assert_eq!(client.logs(&json!({"op": "tail"})).unwrap(), json!({"tail": 17}));
    assert_eq!(server.metric("docdb_logs_tail_subscribers"), 16);
    drop(client);
    wait_until("they end", || server.metric("docdb_logs_tail_subscribers") == 0);
}

#[test]
fn a_request_that_waits_is_answered_by_the_next_entry() {
    let server = server();
    let address = server.address().to_owned();
    let (told, heard) = std::sync::mpsc::sync_channel(10);
    let follower = base::workers::spawn("follower", move || {
        let client = client::Options::new().timeout(PATIENCE).connect(&address).unwrap();
        let mut left = 2;
        client.tail_logs(&json!({"app_name": "shop"}), &mut |event| {
            told.send(event).unwrap();
            left -= 1;
            left > 0
        })
    })
    .unwrap();
    wait_until("it follows", || server.metric("docdb_logs_tail_subscribers") == 1);
    for message in ["one", "two"] {
        ingest(&server.client(), &[message]);
        let LogEvent::Entry(entry) = heard.recv_timeout(PATIENCE).unwrap() else { panic!() };
        assert_eq!(entry["message"], message);
    }
    follower.join().unwrap().unwrap();
    assert!(heard.recv_timeout(Duration::ZERO).is_err());
}

#[test]
fn a_slow_tail_learns_how_much_it_missed() {
    let server = server();
    let (client, other) = (server.client(), server.client());
    let tail = client.logs(&json!({"op": "tail"})).unwrap()["tail"].clone();
    let long = "x".repeat(50_000);
    let messages = vec![long.as_str(); 50];
    // 10 MB, of which the tail keeps 4 MiB.
    (0..4).for_each(|_| drop(ingest(&other, &messages)));
    let (mut entries, mut missed) = (0, 0);
    while entries + missed < 200 {
        let piece = client.logs(&json!({"op": "tail_next", "tail": tail})).unwrap();
        for event in piece["events"].as_array().unwrap() {
            match event["missed"].as_u64() {
                Some(count) => missed += count,
                None => entries += 1,
            }
        }
    }
    assert!(entries > 50 && missed > 50, "{entries} and {missed}");
    assert_eq!(server.metric("docdb_logs_tail_missed_entries_total"), missed);
}

#[test]
fn each_operation_needs_its_scope() {
    let server = server();
    let key = |label: &str, grant: &str| crate::ipc::keys::key(&server, label, &[grant]);
    let connect = |key: &str| client::Options::new().key(key).connect(server.address()).unwrap();
    let (reads, writes) =
        (connect(&key("reads", "@logs=read")), connect(&key("writes", "@logs=write")));
    let other = connect(&key("other", "default=admin"));
    let ingest = json!({"op": "ingest", "entries": ["m"]});
    assert_eq!(refused(&reads, &ingest), ErrorCode::Forbidden);
    assert_eq!(writes.logs(&ingest).unwrap()["stored"], 1);
    for request in
        [json!({"op": "search"}), json!({"op": "tail"}), json!({"op": "top", "field": "source"})]
    {
        reads.logs(&request).unwrap();
        writes.logs(&request).unwrap();
        assert_eq!(refused(&other, &request), ErrorCode::Forbidden);
    }
    assert_eq!(refused(&other, &ingest), ErrorCode::Forbidden);
}
