//! The live tail over HTTP: server-sent events and WebSockets, with filters, before entries are
//! written, to readers that are too slow, and until somebody ends it.
#![expect(clippy::big_endian_bytes, reason = "the lengths of RFC 6455 are")]

use std::io::Write as _;

use serde_json::{Value, json};

use super::{intruder, line, metric_of};
use crate::http::world::{Client, World};
use crate::served::until;

const EVENTS: (&str, &str) = ("accept", "text/event-stream");
const TAIL: &str = "/v1/logs/tail";

/// Somebody who follows, in one of two ways.
enum Follower {
    Events(Client),
    Socket(Client),
}

/// What a follower is told.
#[derive(Debug, PartialEq)]
enum Told {
    Entry(Value),
    Missed(u64),
    End,
}

impl Follower {
    fn events(world: &World, query: &str) -> Self {
        let mut client = world.connect();
        client.send("GET", &format!("{TAIL}?{query}"), &[EVENTS], b"");
        let head = client.read_until(": listening\n\n");
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
        Self::Events(client)
    }

    /// The handshake of RFC 6455, section 1.3, with the key that its answer is printed for.
    fn socket(world: &World, query: &str) -> Self {
        let mut client = world.connect();
        let headers = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        client.send("GET", &format!("{TAIL}?{query}"), &headers, b"");
        let head = client.read_until("\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        Self::Socket(client)
    }

    /// Both ways, each listening already.
    fn both(world: &World, query: &str) -> [Self; 2] {
        let both = [Self::events(world, query), Self::socket(world, query)];
        until("both listen", || metric_of(world, "docdb_logs_tail_subscribers") == 2);
        both
    }

    fn next(&mut self) -> Told {
        let text = match self {
            Self::Events(client) => match event(client) {
                Some(text) => text,
                None => return Told::End,
            },
            Self::Socket(client) => match frame(client) {
                Some(text) => text,
                None => return Told::End,
            },
        };
        let told: Value = serde_json::from_str(&text).unwrap();
        told["missed"].as_u64().map_or(Told::Entry(told), Told::Missed)
    }

    fn entry(&mut self) -> Value {
        match self.next() {
            Told::Entry(entry) => entry,
            other @ (Told::Missed(_) | Told::End) => panic!("{other:?}"),
        }
    }

    fn message(&mut self) -> String {
        self.entry()["message"].as_str().unwrap().to_owned()
    }
}

/// The data of the next event, out of the chunks that the stream comes in; none at its end.
fn event(client: &mut Client) -> Option<String> {
    loop {
        // Chunks begin and end with lines of their own, which have carriage returns in them.
        let line = client.read_until("\n");
        if let Some(data) = line.strip_prefix("data: ") {
            return Some(data.trim_end().to_owned());
        }
        if line == "0\r\n" {
            return None;
        }
    }
}

/// The text of the next message over a WebSocket; none when the server says goodbye.
fn frame(client: &mut Client) -> Option<String> {
    loop {
        let head = client.take(2);
        let len = match head[1] {
            126 => usize::from(u16::from_be_bytes(client.take(2).try_into().unwrap())),
            127 => {
                let len = u64::from_be_bytes(client.take(8).try_into().unwrap());
                usize::try_from(len).unwrap()
            }
            len => usize::from(len),
        };
        let body = client.take(len);
        match head[0] {
            0x81 => return Some(String::from_utf8(body).unwrap()),
            0x88 => return None,
            0x89 => {}
            other => panic!("a frame of kind {other:#x}"),
        }
    }
}

fn ingest(world: &World, lines: &str) {
    let stored = world.json("POST", "/v1/logs/ingest", lines)["stored"].as_u64().unwrap();
    assert_eq!(stored, lines.lines().count() as u64);
}

#[test]
fn followers_hear_what_their_filter_lets_through_in_order_and_nothing_from_before() {
    let world = World::new();
    ingest(&world, &line("shop", "err", "before"));
    let query = "app_name=shop&severity_max=warning&text=disk";
    let mut followers = Follower::both(&world, query);
    let lines = [
        line("shop", "err", "disk 1"),
        line("nginx", "err", "disk of another"),
        line("shop", "info", "disk that is fine"),
        line("shop", "crit", "network"),
        line("shop", "warning", "disk 2 \"full\"\n"),
    ];
    ingest(&world, &lines.concat());
    let stored = world.json("GET", "/v1/logs?app_name=shop&text=disk&severity_max=4", "");
    for follower in &mut followers {
        let (first, second) = (follower.entry(), follower.entry());
        assert_eq!(
            (&first["message"], &second["message"]),
            (&json!("disk 1"), &json!("disk 2 \"full\"\n"))
        );
        // The same entry as every search answers it.
        assert_eq!((&stored["entries"][1], &stored["entries"][0]), (&first, &second));
    }
    drop(followers);
    until("nobody follows", || {
        // Whoever has gone is noticed when there is something to tell.
        ingest(&world, &line("shop", "err", "disk"));
        metric_of(&world, "docdb_logs_tail_subscribers") == 0
    });
}

#[test]
fn followers_hear_of_an_entry_before_it_is_written() {
    let world = World::new();
    ingest(&world, &line("shop", "info", "first"));
    let mut followers = Follower::both(&world, "app_name=shop");
    let intruder = intruder(&world.data);
    intruder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut sender = world.connect();
    let body = line("shop", "info", "not yet written");
    sender.send("POST", "/v1/logs/ingest", &[], body.as_bytes());
    for follower in &mut followers {
        assert_eq!(follower.message(), "not yet written");
    }
    let found = |world: &World| {
        let page = world.json("GET", "/v1/logs?app_name=shop", "");
        page["entries"].as_array().unwrap().len()
    };
    assert_eq!(found(&world), 1, "a search finds what is committed");
    intruder.execute_batch("ROLLBACK").unwrap();
    assert_eq!(sender.receive("POST").json()["stored"], 1);
    assert_eq!(found(&world), 2);
}

/// Far more than the buffers of sockets and the buffer of a tail hold together.
const FLOOD: u64 = 1200;

#[test]
fn a_slow_follower_learns_how_much_it_missed_and_hears_what_comes_later() {
    let world = World::new();
    let mut followers = Follower::both(&world, "app_name=flood");
    let filler = "x".repeat(40_000);
    for part in 0..FLOOD / 100 {
        let lines: Vec<String> = (part * 100..(part + 1) * 100)
            .map(|n| line("flood", "info", &format!("{n} {filler}")))
            .collect();
        ingest(&world, &lines.concat());
    }
    let missed = metric_of(&world, "docdb_logs_tail_missed_entries_total");
    assert!(missed > 0, "48 MB fit nowhere");
    let mut gaps = 0;
    for follower in &mut followers {
        let mut next = 0;
        while next < FLOOD {
            match follower.next() {
                Told::Missed(count) => (next, gaps) = (next + count, gaps + count),
                Told::Entry(entry) => {
                    let message = entry["message"].as_str().unwrap();
                    // In order, and without a gap that was not told of.
                    assert_eq!(message.split(' ').next(), Some(next.to_string().as_str()));
                    next += 1;
                }
                Told::End => panic!("it ended at {next}"),
            }
        }
        assert_eq!(next, FLOOD);
    }
    assert_eq!(gaps, missed, "what was counted is what both were told");
    ingest(&world, &line("flood", "info", "last"));
    for follower in &mut followers {
        assert_eq!(follower.message(), "last");
    }
}

#[test]
fn a_tail_ends_with_the_server_and_with_its_client() {
    let world = World::new();
    let [mut events, mut socket] = Follower::both(&world, "");
    let Follower::Socket(client) = Follower::socket(&world, "") else { panic!() };
    until("a third listens", || metric_of(&world, "docdb_logs_tail_subscribers") == 3);
    let mut leaving = client;
    // A goodbye, masked with zeros as a client must mask.
    leaving.stream.write_all(&[0x88, 0x80, 0, 0, 0, 0]).unwrap();
    assert_eq!(frame(&mut leaving), None);
    until("it has gone", || metric_of(&world, "docdb_logs_tail_subscribers") == 2);
    world.listening.refuse();
    let until_end = |follower: &mut Follower| {
        std::iter::repeat_with(|| follower.next()).find(|told| *told == Told::End)
    };
    assert_eq!(until_end(&mut socket), Some(Told::End));
    assert_eq!(until_end(&mut events), Some(Told::End));
}

#[test]
fn what_is_no_tail_is_refused() {
    let world = World::new();
    world.ask("GET", TAIL, "").is_failure(406, "InvalidQuery");
    let asked = format!("{TAIL}?severity_max=loud");
    world.connect().ask("GET", &asked, &[EVENTS], b"").is_failure(400, "InvalidQuery");
    let mut client = world.connect();
    let headers =
        [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "8")];
    client.send("GET", TAIL, &headers, b"");
    client.receive("GET").is_failure(406, "InvalidQuery");
    let Follower::Socket(mut client) = Follower::socket(&world, "") else { panic!() };
    // A message that is longer than a client may send: 64 KiB of text.
    let mut long = vec![0x81, 0xff];
    long.extend_from_slice(&65_536_u64.to_be_bytes());
    long.extend_from_slice(&[0; 4]);
    client.stream.write_all(&long).unwrap();
    client.until_closed();
}
