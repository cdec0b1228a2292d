//! Entries that are not as they should be: one among thousands that the database refuses, lines of ten
//! megabytes, bytes that are no UTF-8, and times of a clock that was set back. Each is kept, or named and
//! kept aside; each is counted.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use base::clock::WallMs;
use serde_json::{Value, json};
use sim::VirtualClock;

use super::{all_of, intruder, line, messages, metric, metric_of};
use crate::http::world::{Client, World};
use crate::served::{Server, command, until};

/// A server whose database refuses messages that begin with `poison`.
fn poisoned() -> World {
    // Plain rows: the trigger that poisons stands on their table.
    let world = World::with(&[("logs.seal", "off")]);
    world.json("POST", "/v1/logs/ingest", &line("before", "info", "m"));
    let trigger = "CREATE TRIGGER poison BEFORE INSERT ON entry WHEN NEW.message LIKE 'poison%' \
         BEGIN SELECT RAISE(ABORT, 'it is poisoned'); END";
    intruder(&world.data).execute_batch(trigger).unwrap();
    world
}

#[test]
fn one_poisoned_entry_in_ten_thousand_is_named_and_kept_aside_and_the_rest_is_stored() {
    let world = poisoned();
    let message = |n| if n == 7777 { "poison 7777".to_owned() } else { format!("m{n}") };
    let body: String = (0..10_000).map(|n| line("shop", "err", &message(n))).collect();
    let answer = world.json("POST", "/v1/logs/ingest", &body);
    assert_eq!((&answer["stored"], &answer["refused"]), (&json!(9999), &json!(1)), "{answer}");
    assert!(answer["errors"][0]["error"].as_str().unwrap().contains("it is poisoned"), "{answer}");
    assert_eq!(all_of(&mut world.connect(), "shop").len(), 9999);
    let letters = world.json("GET", "/v1/logs/dead_letters", "");
    let letters = letters["dead_letters"].as_array().unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["id"], answer["errors"][0]["id"]);
    assert_eq!(letters[0]["entry"]["message"], "poison 7777");
    let refused = "docdb_logs_dropped_entries_total{reason=\"refused\"}";
    assert_eq!(metric_of(&world, refused), 1);
    assert_eq!(world.json("GET", "/health", "")["logs"]["dropped"]["refused"], 1);
}

#[test]
fn a_refused_entry_is_told_in_the_words_of_its_dialect() {
    let world = poisoned();
    let ask = |path: &str, body: &str| {
        world.connect().ask("POST", path, &[("content-type", "application/json")], body.as_bytes())
    };
    let loki = json!({"streams": [{"stream": {"app": "loki"}, "values": [["1", "fine"], ["2", "poison"]]}]});
    let answer = ask("/loki/api/v1/push", &loki.to_string());
    answer.is_failure(400, "InvalidSchema");
    assert!(answer.text().contains("1 of 2"), "{}", answer.text());
    let record = |text: &str| json!({"body": {"stringValue": text}});
    let otlp = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [record("fine"), record("poison")]}]}]});
    let answer = ask("/v1/logs", &otlp.to_string());
    assert_eq!(answer.json()["partialSuccess"]["rejectedLogRecords"], "1");
    let bulk = "{\"create\":{\"_index\":\"es\"}}\n{\"message\":\"poison\"}\n{\"create\":{\"_index\":\"es\"}}\n{\"message\":\"fine\"}\n";
    let answer = ask("/_bulk", bulk).json();
    assert_eq!(answer["errors"], true);
    let status = |n: usize| answer["items"][n]["create"]["status"].clone();
    assert_eq!((status(0), status(1)), (json!(400), json!(201)));
    for source in ["loki", "otlp", "elasticsearch"] {
        let page = world.json("GET", &format!("/v1/logs?source={source}"), "");
        assert_eq!(messages(page["entries"].as_array().unwrap()), ["fine"], "{source}");
    }
    assert_eq!(
        world.json("GET", "/v1/logs/dead_letters", "")["dead_letters"].as_array().unwrap().len(),
        3
    );
}

#[test]
fn lines_of_ten_megabytes_and_bytes_that_are_no_text_are_kept_as_far_as_they_can_be() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::run(command(&data).args(["--logs.syslog.tcp", "127.0.0.1:0"]));
    let mut client = Client::to(server.address);
    let long = vec![b'x'; 10_000_000];
    let mut sender = TcpStream::connect(server.syslog.unwrap()).unwrap();
    // With a line end behind it, and counted before it.
    let head = b"<14>1 - web1 odd - - - ";
    let counted = format!("{} ", head.len() + long.len());
    sender
        .write_all(&[head, &long[..], b"\n", counted.as_bytes(), head, &long[..]].concat())
        .unwrap();
    sender.write_all(b"<14>1 - web1 odd - - - a\xffb\n<14>1 - web1 odd - - - after").unwrap();
    drop(sender);
    let http = [
        b"{\"app_name\":\"odd\",\"message\":\"",
        &long[..],
        b"\"}\n{\"app_name\":\"odd\",\"message\":\"\xfe\"}\n",
    ];
    let answer = client.ask("POST", "/v1/logs/ingest?app_name=odd", &[], &http.concat()).json();
    assert_eq!((&answer["stored"], &answer["unparsed"]), (&json!(2), &json!(2)));
    until("all are there", || {
        let top = Client::to(server.address).ask(
            "GET",
            "/v1/logs/top?field=app_name&app_name=odd",
            &[],
            b"",
        );
        top.json()["total"] == 6
    });
    let entries = all_of(&mut client, "odd");
    let shown = |entry: &Value| {
        let message = entry["message"].as_str().unwrap();
        let marks = entry["marks"].as_array().map_or(0, Vec::len);
        (message.len().min(100), message.chars().filter(|c| *c == '\u{fffd}').count(), marks)
    };
    let mut found: Vec<_> = entries.iter().map(shown).collect();
    found.sort_unstable();
    // "after"; "a?b"; the line of JSON with a byte that is none; three that were cut, one of them unparsed.
    assert_eq!(found[0], (5, 0, 0));
    assert_eq!(found[1], (5, 1, 1));
    assert_eq!((found[2].1, found[2].2), (1, 2));
    assert_eq!(found[3..], [(100, 0, 1), (100, 0, 1), (100, 0, 2)]);
    assert!(entries.iter().all(|entry| entry["message"].as_str().unwrap().len() <= 64 * 1024));
    for (mark, count) in [("cut", 3), ("invalid_utf8", 2), ("unparsed", 2)] {
        let series = format!("docdb_logs_marked_entries_total{{mark=\"{mark}\"}}");
        assert_eq!(metric(&mut client, &series), count, "{mark}");
    }
    server.end();
}

/// 2026-01-02T12:00:00Z.
const NOON: WallMs = WallMs(1_767_355_200_000);

#[test]
fn a_clock_that_is_set_back_loses_nothing_and_is_counted() {
    let clock = VirtualClock::new(NOON);
    let world = World::changed(&[], clock.shared(), |_| {});
    let store = |message: &str| {
        let body = format!("{{\"app_name\":\"shop\",\"message\":\"{message}\"}}");
        assert_eq!(world.json("POST", "/v1/logs/ingest", &body)["stored"], 1);
    };
    store("today");
    clock.set_wall(WallMs(NOON.0 - 86_400_000));
    store("yesterday");
    assert_eq!(metric_of(&world, "docdb_logs_clock_set_back_total"), 1);
    clock.set_wall(NOON);
    clock.advance(Duration::from_secs(1));
    store("again");
    let entries = all_of(&mut world.connect(), "shop");
    // By when they happened; their numbers are in the order of arrival.
    assert_eq!(messages(&entries), ["yesterday", "today", "again"]);
    let numbers: Vec<_> = entries.iter().map(|entry| entry["id"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [2, 1, 3]);
    assert_eq!(crate::served::partitions(&world.data).len(), 1, "days never go back");
}
