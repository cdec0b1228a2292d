//! Servers that close, lie, say nothing or refuse.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use client::wire::{Call, Command, ExecuteMode, Failure, Response, Welcome};
use client::{Client, Connection, Error, ErrorCode, ErrorKind, Op, Result};

use crate::fake::{Peer, connection, listen, options, start};

fn put() -> Call<'static> {
    Call::Execute { ops: vec![Op::upsert("c", 1, "{}")].into(), mode: ExecuteMode::Atomic }
}

fn get() -> Call<'static> {
    Call::Execute { ops: vec![Op::read("c", 1)].into(), mode: ExecuteMode::Atomic }
}

/// The error of a write and of a read that a server, after it has read both, treats so.
fn errors_after(script: impl FnOnce(&mut Peer) + Send + 'static) -> (Error, Error) {
    let (connection, server) = connection(&options(), move |peer| {
        peer.ids(2);
        script(peer);
    });
    let write = connection.send(1, 0, put()).unwrap();
    let read = connection.send(1, 0, get()).unwrap();
    let errors = (write.wait().unwrap_err(), read.wait().unwrap_err());
    assert!(connection.is_lost());
    let later = connection.send(1, 0, put()).unwrap_err();
    assert!(later.is_retryable() && !later.is_outcome_unknown(), "nothing was sent: {later}");
    server.join().unwrap();
    errors
}

fn check_lost((write, read): (Error, Error), kind: ErrorKind, text: &str) {
    for error in [&write, &read] {
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(text), "{error}");
    }
    assert!(write.is_outcome_unknown() && !write.is_retryable(), "{write}");
    assert!(!read.is_outcome_unknown(), "{read}");
    assert_eq!(read.is_retryable(), kind == ErrorKind::Connection, "{read}");
}

#[test]
fn a_server_that_closes_leaves_the_outcome_of_writes_unknown() {
    let errors = errors_after(|_| {});
    check_lost(errors, ErrorKind::Connection, "the server closed the connection");
}

#[test]
fn a_server_that_closes_within_an_answer_is_told_apart() {
    let errors = errors_after(|peer| peer.write(&[100, 0, 0, 0, 1, 0]));
    check_lost(errors, ErrorKind::Connection, "within an answer");
}

#[test]
fn an_answer_that_is_too_large_ends_the_connection() {
    let errors = errors_after(|peer| {
        peer.write(&u32::MAX.to_le_bytes());
        peer.write(&1_u64.to_le_bytes());
    });
    check_lost(errors, ErrorKind::Protocol, "an answer of 4294967295 bytes");
}

#[test]
fn an_answer_that_nobody_asked_for_ends_the_connection() {
    let errors = errors_after(|peer| peer.done(77, Command::Ping));
    check_lost(errors, ErrorKind::Protocol, "an answer to 77, which nobody asked");
}

#[test]
fn garbage_ends_the_connection() {
    let errors = errors_after(|peer| peer.write(b"\x03\0\0\0HTTP/1.1 400 Bad Request\r\n"));
    check_lost(errors, ErrorKind::Protocol, "malformed");
}

#[test]
fn a_refusal_of_the_connection_is_handed_on() {
    let errors = errors_after(|peer| {
        let failure = Failure::new(ErrorCode::InvalidRequestId, "who are you");
        peer.answer(&Response::failed(0, None, failure));
    });
    check_lost(errors, ErrorKind::Connection, "InvalidRequestId: who are you");
}

#[test]
fn a_malformed_answer_fails_its_own_request_alone() {
    let (connection, server) = connection(&options(), |peer| {
        let ids = peer.ids(2);
        let mut bytes = 10_u32.to_le_bytes().to_vec();
        bytes.extend_from_slice(&ids[0].to_le_bytes());
        bytes.extend_from_slice(&[3, 0]);
        peer.write(&bytes);
        peer.done(ids[1], Command::Ping);
    });
    let write = connection.send(1, 0, put()).unwrap();
    let ping = connection.send(0, 0, Call::Ping).unwrap();
    let error = write.wait().unwrap().answer().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.is_outcome_unknown());
    ping.wait().unwrap().answer().unwrap();
    server.join().unwrap();
}

#[test]
fn no_answer_in_time_is_told_and_a_late_one_goes_to_nobody_else() {
    let (connection, server) = connection(&options(), |peer| {
        let ids = peer.ids(3);
        for id in ids {
            peer.written(id, id);
        }
    });
    let write = connection.send(1, 0, put()).unwrap();
    let read = connection.send(1, 0, get()).unwrap();
    let soon = Duration::from_millis(1);
    let (write, read) = (write.wait_for(soon).unwrap_err(), read.wait_for(soon).unwrap_err());
    assert_eq!((write.kind(), read.kind()), (ErrorKind::TimedOut, ErrorKind::TimedOut));
    assert!(write.is_outcome_unknown() && !write.is_retryable());
    assert!(read.is_retryable());
    assert_eq!(connection.in_flight(), 2, "their places are kept until their answers come");
    let reply = connection.call(1, 0, put()).unwrap();
    assert!(matches!(reply.answer(), Ok(client::wire::Answer::Executed(done)) if done.lsn == 3));
    server.join().unwrap();
}

#[test]
fn a_server_that_reads_nothing_does_not_hold_a_caller_for_ever() {
    let impatient = options().timeout(Duration::from_millis(100)).in_flight_max(1_000_000);
    let (stop, stopped) = std::sync::mpsc::sync_channel::<()>(1);
    let (connection, server) = connection(&impatient, move |_peer| {
        let _ = stopped.recv();
    });
    let document = vec![b'1'; 100_000];
    let error = (0..10_000)
        .find_map(|id| {
            let ops = vec![Op::upsert("c", id, &document)].into();
            connection.send(1, 0, Call::Execute { ops, mode: ExecuteMode::Atomic }).err()
        })
        .expect("a gigabyte does not fit anywhere");
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(connection.is_lost());
    stop.send(()).unwrap();
    server.join().unwrap();
}

#[test]
fn a_connection_that_is_dropped_tells_who_waits() {
    let (connection, server) = connection(&options(), |peer| {
        peer.ids(1);
        assert_eq!(peer.frame(), None);
    });
    let ticket = connection.send(1, 0, put()).unwrap();
    drop(connection);
    let error = ticket.wait().unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    server.join().unwrap();
}

/// What connecting says when the server answers the hello so.
fn refused(answer: impl FnOnce(&mut Peer) + Send + 'static) -> Error {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = start(move || answer(&mut Peer::new(theirs)));
    let error = Connection::start(ours, &options()).unwrap_err();
    server.join().unwrap();
    error
}

fn welcome(peer: &mut Peer, outcome: std::result::Result<(u16, &str), Failure<'_>>) {
    let mut out = Vec::new();
    Welcome { outcome }.encode(&mut out).unwrap();
    peer.write(&out);
}

#[test]
fn a_refused_hello_says_why() {
    let mut full = Failure::new(ErrorCode::QueueFull, "no room");
    full.retryable = true;
    let error = refused(|peer| welcome(peer, Err(full)));
    assert!(error.is(ErrorCode::QueueFull) && error.is_retryable(), "{error}");
    let error = refused(|peer| {
        peer.frame();
        welcome(peer, Err(Failure::new(ErrorCode::Unauthenticated, "which key")));
    });
    assert!(error.is(ErrorCode::Unauthenticated) && !error.is_retryable(), "{error}");
    assert_eq!(error.to_string(), "Unauthenticated: which key");
}

#[test]
fn a_hello_that_is_answered_with_something_else_is_no_connection() {
    let error = refused(|peer| {
        peer.frame();
        welcome(peer, Ok((2, "docdb 9")));
    });
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    let error = refused(|peer| peer.write(b"\x08\0\0\0NOTDOCDB"));
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    let error = refused(|peer| {
        peer.frame();
    });
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    assert!(error.is_retryable(), "{error}");
}

#[test]
fn nobody_listening_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nobody.sock");
    let error = Client::connect(path.to_str().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(error.is_retryable(), "{error}");
}

#[test]
fn a_client_connects_again_but_sends_nothing_again() {
    let first = |peer: &mut Peer| {
        peer.welcome();
        let id = peer.ids(1)[0];
        peer.done(id, Command::Ping);
        // The second request is read and never answered.
        assert!(peer.request(|request| request.id).is_some());
    };
    let second = |peer: &mut Peer| {
        peer.welcome();
        let command = |peer: &mut Peer| peer.request(|request| request.call.command());
        assert_eq!(command(peer), Some(Command::Ping), "the drop is not sent again");
        peer.done(1, Command::Ping);
        assert_eq!(command(peer), None);
    };
    let listening = listen(vec![Box::new(first), Box::new(second)]);
    let client = options().connect(&listening.path).unwrap();
    client.ping().unwrap();
    let lost: Result<()> = client.drop_database("a");
    assert!(lost.unwrap_err().is_outcome_unknown());
    client.ping().unwrap();
    drop(client);
    listening.server.join().unwrap();
}
