//! Frames that are none, clients that are slow or silent: each gets an answer or its end, and the
//! server lives.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use client::wire::{
    Call, ExecuteMode, FrameBuffer, Hello, Next, OpenMode, Request, Response, Welcome,
};
use client::{ErrorCode, Op};

use super::{Server, server, server_with, wait_until};

struct Raw {
    stream: UnixStream,
    inbox: FrameBuffer,
}

impl Raw {
    fn of(server: &Server) -> Self {
        Self { stream: server.stream(), inbox: FrameBuffer::new() }
    }

    /// One that has said hello.
    fn welcomed(server: &Server) -> Self {
        let mut raw = Self::of(server);
        let mut hello = Vec::new();
        Hello::new("").encode(&mut hello).unwrap();
        raw.stream.write_all(&hello).unwrap();
        let welcome = raw.frame().unwrap();
        assert!(Welcome::decode(&welcome).unwrap().outcome.is_ok());
        raw
    }

    fn frame(&mut self) -> Option<Vec<u8>> {
        while !self.inbox.is_ready() {
            if self.inbox.read_from(&mut self.stream).unwrap() == 0 {
                return None;
            }
        }
        let Next::Frame(body) = self.inbox.next() else { panic!("no frame") };
        Some(body.to_vec())
    }

    fn send(&mut self, body: &[u8]) {
        let len = u32::try_from(body.len()).unwrap();
        self.stream.write_all(&len.to_le_bytes()).unwrap();
        self.stream.write_all(body).unwrap();
    }

    /// The id and the error that came.
    fn refusal(&mut self) -> (u64, Option<ErrorCode>) {
        let body = self.frame().unwrap();
        let response = Response::decode(&body).unwrap();
        (response.id, response.outcome.unwrap_err().code())
    }

    fn ping(&mut self, id: u64) {
        let mut out = Vec::new();
        Request::new(id, 0, Call::Ping).encode(&mut out).unwrap();
        self.stream.write_all(&out).unwrap();
        let body = self.frame().unwrap();
        let response = Response::decode(&body).unwrap();
        assert_eq!((response.id, response.outcome.is_ok()), (id, true));
    }
}

#[test]
fn every_frame_is_answered_and_the_connection_goes_on() {
    let server = server();
    let mut raw = Raw::welcomed(&server);
    let header = |command: u8, flags: u8| {
        let mut body = 7_u64.to_le_bytes().to_vec();
        body.resize(24, 0);
        body.extend_from_slice(&[command, flags]);
        body
    };
    let cases = [
        (header(99, 0), ErrorCode::Unsupported),
        (header(27, 128), ErrorCode::Unsupported),
        (header(3, 0), ErrorCode::InvalidQuery),
        ([header(1, 0), vec![0, 1, 0, 0xff]].concat(), ErrorCode::InvalidName),
        (vec![7, 0, 0, 0, 0, 0, 0, 0], ErrorCode::InvalidQuery),
    ];
    for (body, code) in &cases {
        raw.send(body);
        assert_eq!(raw.refusal(), (7, Some(*code)), "{body:?}");
    }
    raw.ping(8);
    assert_eq!(server.metric("docdb_ipc_malformed_requests_total"), cases.len() as u64);
}

#[test]
fn a_frame_that_is_too_large_is_answered_and_skipped() {
    let server = server();
    let mut raw = Raw::welcomed(&server);
    let len = u32::try_from(client::wire::BODY_BYTES_MAX + 1).unwrap();
    raw.stream.write_all(&len.to_le_bytes()).unwrap();
    let mut body = vec![1; len as usize];
    body[..8].copy_from_slice(&5_u64.to_le_bytes());
    raw.stream.write_all(&body).unwrap();
    assert_eq!(raw.refusal(), (5, Some(ErrorCode::FrameTooLarge)));
    raw.ping(6);
}

#[test]
fn a_frame_without_an_id_ends_the_connection_with_a_reason() {
    let server = server();
    let mut raw = Raw::welcomed(&server);
    raw.send(&[1, 2, 3]);
    assert_eq!(raw.refusal(), (0, Some(ErrorCode::InvalidRequestId)));
    assert_eq!(raw.frame(), None);
}

#[test]
fn a_first_frame_that_is_no_hello_is_refused() {
    let server = server();
    let refused = |bytes: &[u8]| {
        let mut raw = Raw::of(&server);
        raw.stream.write_all(bytes).unwrap();
        let welcome = raw.frame().unwrap();
        let code = Welcome::decode(&welcome).unwrap().outcome.unwrap_err().code();
        assert_eq!(raw.frame(), None, "it is closed");
        code
    };
    assert_eq!(refused(b"\x08\0\0\0NOTDOCDB"), Some(ErrorCode::InvalidRequestId));
    assert_eq!(refused(b"GET / HTTP/1.1\r\n\r\n"), Some(ErrorCode::FrameTooLarge));
    let mut hello = Vec::new();
    Hello { lowest: 2, highest: 9, key: "" }.encode(&mut hello).unwrap();
    assert_eq!(refused(&hello), Some(ErrorCode::Unsupported));
    let mut ping = Vec::new();
    Request::new(1, 0, Call::Ping).encode(&mut ping).unwrap();
    assert_eq!(refused(&ping), Some(ErrorCode::InvalidRequestId));
}

#[test]
fn half_a_frame_and_then_silence_ends_the_connection() {
    let server = server_with(|options| options.frame_timeout = Duration::from_millis(50));
    let mut raw = Raw::welcomed(&server);
    raw.stream.write_all(&[100, 0, 0, 0, 1]).unwrap();
    assert_eq!(raw.stream.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(server.metric("docdb_ipc_cut_connections_total{why=\"slow_frame\"}"), 1);
    // One that is silent between frames is left alone.
    let mut quiet = Raw::welcomed(&server);
    quiet.ping(1);
    quiet.ping(2);
}

#[test]
fn a_client_that_does_not_read_its_answers_is_held_back_and_then_gets_all_of_them() {
    const REQUESTS: u64 = 400;
    let server = server();
    let large = format!("\"{}\"", "x".repeat(100_000));
    server.client().database("default").collection("default").create(1, &large).unwrap();
    let mut raw = Raw::welcomed(&server);
    let mut out = Vec::new();
    Request::new(0, 0, Call::OpenDb { name: "default", mode: OpenMode::Existing })
        .encode(&mut out)
        .unwrap();
    for id in 1..=REQUESTS {
        let ops = vec![Op::read("default", 1)].into();
        let call = Call::Execute { ops, mode: ExecuteMode::Atomic };
        Request::new(id, 1, call).encode(&mut out).unwrap();
    }
    raw.stream.write_all(&out[..40]).unwrap();
    assert!(Response::decode(&raw.frame().unwrap()).unwrap().outcome.is_ok());
    raw.stream.write_all(&out[40..]).unwrap();
    let idle = 2 << 20;
    let used = || server.engine.health().memory.used;
    let at_rest = server.client().stats().unwrap()["memory"]["used_bytes"].as_u64().unwrap();
    wait_until("answers gather", || used() >= (1 << 20));
    let ceiling = at_rest.max(1 << 20) + docdb::ipc::OUTBOX_BYTES_MAX as u64 + idle;
    let mut ids = Vec::new();
    while ids.len() < usize::try_from(REQUESTS).unwrap() {
        assert!(used() <= ceiling, "{} of {ceiling} bytes are held", used());
        let body = raw.frame().unwrap();
        let response = Response::decode(&body).unwrap();
        assert!(response.outcome.is_ok());
        ids.push(response.id);
    }
    ids.sort_unstable();
    assert_eq!(ids, (1..=REQUESTS).collect::<Vec<u64>>());
}

#[test]
fn a_client_that_takes_none_of_its_answers_is_cut_and_what_waits_for_it_is_let_go() {
    const REQUESTS: u64 = 400;
    let server = server_with(|options| options.send_timeout = Duration::from_millis(50));
    let large = format!("\"{}\"", "x".repeat(100_000));
    server.client().database("default").collection("default").create(1, &large).unwrap();
    let at_rest = server.engine.health().memory.used;
    let mut raw = Raw::welcomed(&server);
    let mut out = Vec::new();
    Request::new(REQUESTS + 1, 0, Call::OpenDb { name: "default", mode: OpenMode::Existing })
        .encode(&mut out)
        .unwrap();
    raw.stream.write_all(&out).unwrap();
    assert!(Response::decode(&raw.frame().unwrap()).unwrap().outcome.is_ok());
    out.clear();
    for id in 1..=REQUESTS {
        let ops = vec![Op::read("default", 1)].into();
        let call = Call::Execute { ops, mode: ExecuteMode::Atomic };
        Request::new(id, 1, call).encode(&mut out).unwrap();
    }
    // The server may have cut it before it has read all of them.
    _ = raw.stream.write_all(&out);
    let cut = "docdb_ipc_cut_connections_total{why=\"slow_reader\"}";
    wait_until("the connection is cut", || server.metric(cut) == 1);
    wait_until("its memory is free", || server.engine.health().memory.used <= at_rest);
    // What it could have taken is still there, and then the end.
    let mut rest = Vec::new();
    match raw.stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    assert!(rest.len() < 400 * 100_000, "{} bytes were taken", rest.len());
}

#[test]
fn what_is_under_way_when_the_client_has_said_its_last_is_still_answered() {
    let server = server();
    let mut raw = Raw::welcomed(&server);
    let mut out = Vec::new();
    Request::new(1, 0, Call::OpenDb { name: "new", mode: OpenMode::Create })
        .encode(&mut out)
        .unwrap();
    raw.stream.write_all(&out).unwrap();
    raw.stream.shutdown(std::net::Shutdown::Write).unwrap();
    let body = raw.frame().unwrap();
    assert!(Response::decode(&body).unwrap().outcome.is_ok());
    assert_eq!(raw.frame(), None);
}
