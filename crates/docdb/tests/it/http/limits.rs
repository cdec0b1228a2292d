//! Clients that send too much, too deep, too slowly, or nothing at all.

use std::io::Write;

use super::world::{Client, World};

const DOC: &str = "/v1/databases/default/collections/default/documents/1";

#[test]
fn a_body_beyond_the_limit_is_refused_before_it_is_held() {
    let world = World::with(&[("http.body_bytes_max", "64KiB")]);
    // Said beforehand: refused without a byte of it.
    let mut client = world.connect();
    client
        .stream
        .write_all(
            format!("PUT {DOC} HTTP/1.1\r\nhost: x\r\ncontent-length: 1073741824\r\n\r\n")
                .as_bytes(),
        )
        .unwrap();
    client.receive("PUT").is_failure(413, "PayloadTooLarge");
    // Not said: refused as soon as it is too much.
    let mut client = world.connect();
    let head = format!("PUT {DOC} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    client.stream.write_all(head.as_bytes()).unwrap();
    let chunk = [b"4000\r\n".as_slice(), &[b' '; 0x4000], b"\r\n"].concat();
    // The server stops reading, so that writing may fail.
    while client.stream.write_all(&chunk).is_ok() {
        if client.stream.flush().is_err() || has_answer(&client) {
            break;
        }
    }
    client.receive("PUT").is_failure(413, "PayloadTooLarge");
    assert_eq!(world.ask("GET", "/", "").status, 200);
}

fn has_answer(client: &Client) -> bool {
    client.stream.set_nonblocking(true).unwrap();
    let has = client.stream.peek(&mut [0]).is_ok();
    client.stream.set_nonblocking(false).unwrap();
    has
}

#[test]
fn a_small_body_that_becomes_a_large_one_is_refused() {
    let world = World::with(&[("http.body_bytes_max", "64KiB")]);
    // 1 MiB of zeros, as gzip stores it.
    let bomb = gzip(&vec![b'0'; 1 << 20]);
    assert!(bomb.len() < 32 * 1024);
    let encoding = [("content-encoding", "gzip")];
    world.connect().ask("PUT", DOC, &encoding, &bomb).is_failure(413, "PayloadTooLarge");
    let small = gzip(br#"{"a":"gzip"}"#);
    assert_eq!(world.connect().ask("PUT", DOC, &encoding, &small).status, 201);
    assert_eq!(world.ask("GET", DOC, "").text(), r#"{"a":"gzip"}"#);
    world.connect().ask("PUT", DOC, &encoding, b"no gzip").is_failure(400, "InvalidQuery");
    let unknown = [("content-encoding", "br")];
    world.connect().ask("PUT", DOC, &unknown, b"1").is_failure(415, "Unsupported");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn answers_are_compressed_for_those_who_accept_it() {
    let world = World::new();
    world.json("PUT", DOC, &format!("\"{}\"", "a".repeat(10_000)));
    let answer = world.connect().ask("GET", DOC, &[("accept-encoding", "gzip")], b"");
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert!(answer.body.len() < 1000);
    let zstd = world.connect().ask("GET", DOC, &[("accept-encoding", "zstd")], b"");
    assert_eq!(zstd.header("content-encoding"), Some("zstd"));
    assert_eq!(world.ask("GET", DOC, "").header("content-encoding"), None);
}

#[test]
fn json_nested_without_end_is_refused_as_json() {
    let world = World::new();
    let deep = "[".repeat(1_000_000);
    world.fails("PUT", DOC, &deep, 400, "InvalidJson");
    world.fails("PATCH", DOC, &deep, 400, "InvalidPatch");
    world.fails("POST", "/v1/databases", &deep, 400, "InvalidQuery");
    world.fails("POST", "/v1/databases/default/batch", &deep, 400, "InvalidQuery");
    let schema = "/v1/databases/default/collections/default/validation";
    world.fails("PUT", schema, &deep, 400, "InvalidJson");
}

#[test]
fn malformed_bodies_are_the_clients_fault() {
    let world = World::new();
    for body in ["", "{", "nul", "{\"a\":1,}", "\u{feff}1", "{\"a\":1}{", "'x'", "01", "\"\u{1}\""]
    {
        world.fails("PUT", DOC, body, 400, "InvalidJson");
    }
    world.json("PUT", DOC, "{}");
    for body in [
        "{}",
        "[{}]",
        "[1]",
        r#"[{"op":"sweep","path":""}]"#,
        r#"[{"op":"set","path":"a","value":1}]"#,
    ] {
        world.fails("PATCH", DOC, body, 400, "InvalidPatch");
    }
}

#[test]
fn a_head_that_is_too_long_or_none_is_refused() {
    let world = World::with(&[("http.header_bytes_max", "8KiB")]);
    let mut client = world.connect();
    let long = format!("GET / HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "a".repeat(64 * 1024));
    _ = client.stream.write_all(long.as_bytes());
    assert!(client.until_closed().starts_with("HTTP/1.1 431"), "the server says why");
    let mut client = world.connect();
    client.stream.write_all(b"not http at all\r\n\r\n").unwrap();
    assert!(client.until_closed().starts_with("HTTP/1.1 400"));
    assert_eq!(world.ask("GET", "/", "").status, 200);
}

#[test]
fn clients_that_say_nothing_are_cut() {
    let world = World::with(&[
        ("http.idle_timeout", "100ms"),
        ("http.header_timeout", "100ms"),
        ("http.body_timeout", "100ms"),
    ]);
    assert_eq!(world.connect().until_closed(), "", "no request at all");
    let mut half = world.connect();
    half.stream.write_all(b"GET / HTT").unwrap();
    half.until_closed();
    let mut body = world.connect();
    let head = format!("PUT {DOC} HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{{");
    body.stream.write_all(head.as_bytes()).unwrap();
    body.receive("PUT").is_failure(408, "Timeout");
    let mut idle = world.connect();
    assert_eq!(idle.ask("GET", "/", &[], b"").status, 200);
    assert_eq!(idle.until_closed(), "", "kept alive, then cut");
    let metrics = world.ask("GET", "/metrics", "").text();
    assert!(metrics.contains("docdb_http_cut_connections_total{why=\"slow_head\"} 1"), "{metrics}");
}

#[test]
fn more_connections_than_may_be_are_closed_at_once() {
    let world = World::with(&[("http.max_connections", "2")]);
    let mut held = [world.connect(), world.connect()];
    for client in &mut held {
        assert_eq!(client.ask("GET", "/", &[], b"").status, 200);
    }
    assert_eq!(world.connect().until_closed(), "");
    assert_eq!(held[0].ask("GET", "/", &[], b"").status, 200);
    drop(held);
    // The places are free once the server has noticed.
    let until = std::iter::repeat_with(|| {
        let mut client = world.connect();
        _ = client.stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        client.until_closed()
    });
    assert!(until.take(10_000).any(|answer| answer.starts_with("HTTP/1.1 200")));
}

#[test]
fn a_client_that_goes_away_harms_nobody() {
    let world = World::new();
    for _ in 0..20 {
        let mut client = world.connect();
        client.send("PUT", DOC, &[], b"{\"a\":1}");
        drop(client);
    }
    for at in 0..3 {
        let mut client = world.connect();
        let head = format!("PUT {DOC} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{at}");
        client.stream.write_all(head.as_bytes()).unwrap();
        drop(client);
    }
    // Those requests may still be done, or not: on another document nobody sees them.
    let other = "/v1/databases/default/collections/default/documents/2";
    assert_eq!(world.ask("PUT", other, "2").status, 201);
    assert_eq!(world.ask("GET", other, "").text(), "2");
}

#[test]
fn a_request_that_waits_too_long_is_answered_timeout_or_done() {
    let world = World::with(&[("http.request_timeout", "10ms")]);
    for _ in 0..20 {
        let answer = world.ask("PUT", DOC, "1");
        if answer.status / 100 != 2 {
            answer.is_failure(504, "Timeout");
        }
    }
}

#[test]
fn a_server_that_stops_refuses_new_requests_and_answers_those_it_has() {
    let world = World::new();
    let mut held = world.connect();
    let head = format!("PUT {DOC} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n1");
    held.stream.write_all(head.as_bytes()).unwrap();
    // Its request is under way once another was answered behind it.
    let mut other = world.connect();
    while !other.ask("GET", "/metrics", &[], b"").text().contains("open_connections 2") {}
    world.listening.refuse();
    assert_eq!(other.until_closed(), "", "a connection without a request is closed");
    held.stream.write_all(b"2").unwrap();
    let answer = held.receive("PUT");
    assert!(answer.status == 201 || answer.status == 503, "{answer:?}");
}

#[test]
fn pages_of_other_origins_may_call_only_when_they_are_named() {
    let origin = [("origin", "https://a.example"), ("access-control-request-method", "PUT")];
    let allowed = |world: &World, method: &str| {
        let answer = world.connect().ask(method, DOC, &origin, b"");
        answer.header("access-control-allow-origin").map(str::to_owned)
    };
    let world = World::new();
    assert_eq!(allowed(&world, "GET"), None);
    assert_eq!(allowed(&world, "OPTIONS"), None);
    let world = World::with(&[("http.cors_origins", "https://a.example")]);
    assert_eq!(allowed(&world, "GET").as_deref(), Some("https://a.example"));
    assert_eq!(allowed(&world, "OPTIONS").as_deref(), Some("https://a.example"));
    let world = World::with(&[("http.cors_origins", "https://b.example")]);
    assert_eq!(allowed(&world, "GET"), None);
}
