//! Too much of everything: bytes, connections, nesting. The answer is an error and memory stays
//! bounded, which is looked up with the system.

use std::io::Write;
use std::net::TcpStream;

use super::process::{Process, wait_until};
use super::raw::{Framed, answer, ask, tcp};

const DOC: &str = "/v1/databases/default/collections/default/documents/1";
const BULK: &str = "/v1/databases/default/collections/default/bulk";
const GIB: u64 = 1 << 30;
/// What memory may grow by while a body of a GiB comes: the longest line or document that is held,
/// buffers, and what the allocator keeps.
const GROWTH_KIB: u64 = 128 * 1024;

/// Sends a GiB in chunks, as far as it is taken.
fn gibibyte(stream: &mut TcpStream, head: &str) -> u64 {
    let head = format!("{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    let head = format!("{head}transfer-encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let piece = vec![b'x'; 1 << 20];
    let chunk = [b"100000\r\n", piece.as_slice(), b"\r\n"].concat();
    let mut sent = 0;
    while sent < GIB && stream.write_all(&chunk).is_ok() {
        sent += piece.len() as u64;
    }
    _ = stream.write_all(b"0\r\n\r\n");
    sent
}

#[test]
fn a_body_of_a_gibibyte_is_refused_in_bounded_memory() {
    let server = Process::start();
    server.lives();
    let before = server.resident();
    let measured = |what: &str, sent: u64| {
        let peak = server.peak();
        println!("{what}: sent {sent} bytes, peak {peak} KiB, {before} KiB before");
        assert!(peak < before + GROWTH_KIB, "{what}: {before} KiB grew to {peak} KiB");
        server.forget_peak();
    };

    // Refused as soon as it is too much.
    let mut stream = tcp(server.http);
    let sent = gibibyte(&mut stream, &format!("PUT {DOC}"));
    let (status, code) = answer(stream);
    // The answer may be lost with what the server did not read any more.
    assert!((status, code.as_str()) == (413, "PayloadTooLarge") || status == 0, "{status} {code}");
    measured("a document", sent);

    // One line of an import: all of it is read, and none of it kept.
    let mut stream = tcp(server.http);
    let sent = gibibyte(&mut stream, &format!("POST {BULK}"));
    assert_eq!((sent, answer(stream).0), (GIB, 200));
    measured("a line of an import", sent);

    // Small on the wire, a GiB when it is unpacked.
    let mut zeros = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..GIB >> 20 {
        zeros.write_all(&[b'0'; 1 << 20]).unwrap();
    }
    let bomb = zeros.finish().unwrap();
    let head = format!("PUT {DOC} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    let head = format!("{head}content-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len());
    let mut stream = tcp(server.http);
    stream.write_all(head.as_bytes()).unwrap();
    _ = stream.write_all(&bomb);
    let (status, code) = answer(stream);
    assert!((status, code.as_str()) == (413, "PayloadTooLarge") || status == 0, "{status} {code}");
    measured("a compressed document", bomb.len() as u64);

    // A frame: read to its end, and passed over.
    let mut framed = Framed::to(&server.socket());
    framed.stream.write_all(&u32::try_from(GIB).unwrap().to_le_bytes()).unwrap();
    let mut piece = vec![1; 1 << 20];
    piece[..8].copy_from_slice(&5_u64.to_le_bytes());
    for _ in 0..GIB >> 20 {
        framed.stream.write_all(&piece).unwrap();
    }
    let refused = framed.frame().unwrap();
    let refused = client::wire::Response::decode(&refused).unwrap();
    let code = refused.outcome.unwrap_err().code();
    assert_eq!((refused.id, code), (5, Some(client::ErrorCode::FrameTooLarge)));
    measured("a frame", GIB);
    server.lives();
}

#[test]
fn a_document_nested_a_million_deep_is_refused_as_json() {
    let server = Process::start();
    let deep = "[".repeat(1_000_000);
    let object = "{\"a\":".repeat(1_000_000);
    for body in [&deep, &object] {
        assert_eq!(
            ask(server.http, &format!("PUT {DOC}"), body.as_bytes()),
            (400, "InvalidJson".into())
        );
        let line = format!("{{\"id\":1,\"document\":{body}}}\n");
        assert_eq!(ask(server.http, &format!("POST {BULK}"), line.as_bytes()).0, 200);
        let all = server.client().database("default").collection("default");
        let error = all.upsert(1, body).unwrap_err();
        assert!(error.is(client::ErrorCode::InvalidJson), "{error}");
    }
    server.lives();
}

/// Connections to the HTTP surface, or as many as the limit of this process allows.
const CONNECTIONS: usize = 10_000;
/// What one of them may take of the server's memory, KiB.
const CONNECTION_KIB: u64 = 64;

#[test]
fn ten_thousand_connections_are_held_and_one_more_is_served() {
    // The test holds the other ends of them.
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let allowed = allowed.current.map_or(CONNECTIONS, |files| usize::try_from(files).unwrap());
    let wanted = CONNECTIONS.min(allowed.saturating_sub(200));
    let server = Process::of(super::process::docdb(), |command| {
        command.args(["--http.max_connections=20000", "--http.idle_timeout=10m"]);
    });
    server.lives();
    let (before, descriptors) = (server.resident(), server.descriptors());
    let mut held: Vec<TcpStream> = Vec::with_capacity(wanted);
    let (_, hard) = server.files_limit();
    let room = hard.parse().map_or(usize::MAX, |files: usize| files.saturating_sub(512));
    while held.len() < wanted.min(room) {
        let mut stream = tcp(server.http);
        // A request on each, whose answer shows that the connection is served and not only queued.
        stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        held.push(stream);
    }
    for stream in &mut held {
        let mut head = [0; 15];
        std::io::Read::read_exact(stream, &mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
    }
    let (connections, now) = (held.len(), server.resident());
    let each = now.saturating_sub(before) / connections as u64;
    println!("{connections} connections: {before} KiB grew to {now} KiB, {each} KiB each");
    assert!(server.descriptors() >= connections);
    assert!(each < CONNECTION_KIB, "{each} KiB each");
    server.lives();
    drop(held);
    wait_until("all are closed", || server.descriptors() <= descriptors + 4);
    server.lives();
}

#[test]
fn a_low_limit_of_open_files_is_raised_as_far_as_it_may_be() {
    let server = Process::of(std::path::Path::new("sh"), |command| {
        let arguments: Vec<_> = command.get_args().map(std::ffi::OsStr::to_owned).collect();
        let mut other = std::process::Command::new("sh");
        other.args(["-c", "ulimit -S -n 256; exec \"$0\" \"$@\""]).arg(super::process::docdb());
        other.args(arguments);
        other.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        other.stderr(std::process::Stdio::piped());
        *command = other;
    });
    let (soft, hard) = server.files_limit();
    assert_eq!(soft, hard);
    server.lives();
}
