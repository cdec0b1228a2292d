//! The socket's file, connections that come and go, and the end of the server.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use client::wire::{Call, OpenMode};
use client::{Connection, ErrorCode};
use docdb::ipc::{Options, Surface, listen};

use super::{Server, server, server_of, server_with, wait_until};

/// What another server says that wants to listen at `path`.
fn listen_at(server: &Server, path: &std::path::Path) -> std::io::Result<docdb::ipc::Listening> {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        path: path.to_owned(),
        max_connections: None,
        frame_timeout: Duration::from_secs(30),
        send_timeout: docdb::ipc::SEND_TIMEOUT,
    };
    // Of an engine of its own, because the metrics of a process are registered once.
    let engine = super::engine(dir.path());
    let surface = Surface::new(Arc::clone(&engine), super::auth_in(dir.path()), options).unwrap();
    let listening = server.runtime.block_on(async { listen(surface, None) });
    engine.close().unwrap();
    listening
}

#[test]
fn only_its_owner_may_use_the_socket_and_it_goes_with_the_server() {
    let mut server = server();
    let at = fs::symlink_metadata(&server.path).unwrap();
    assert!(at.file_type().is_socket());
    assert_eq!(at.permissions().mode() & 0o777, 0o600);
    let left: Vec<_> = fs::read_dir(server.path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "the data directory and the socket: {left:?}");
    drop(server.listening.take());
    assert!(fs::symlink_metadata(&server.path).is_err());
}

#[test]
fn a_stale_socket_is_replaced_and_nothing_else_is() {
    let server = server();
    let dir = tempfile::tempdir().unwrap();

    let stale = dir.path().join("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    assert!(listen_at(&server, &stale).is_ok());

    let error = listen_at(&server, &server.path).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse, "{error}");
    server.client().ping().unwrap();

    let file = dir.path().join("file");
    fs::write(&file, b"precious").unwrap();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for path in [&file, &link, &dir.path().to_path_buf()] {
        let error = listen_at(&server, path).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists, "{error}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"precious");
}

#[test]
fn a_socket_that_took_the_place_of_ours_is_not_removed() {
    let mut server = server();
    fs::remove_file(&server.path).unwrap();
    let _other = UnixListener::bind(&server.path).unwrap();
    drop(server.listening.take());
    assert!(fs::symlink_metadata(&server.path).is_ok());
}

#[test]
fn a_client_too_many_is_told_so_and_there_is_room_again_when_one_has_gone() {
    let server = server_with(|options| options.max_connections = Some(1));
    let first = server.client();
    first.ping().unwrap();
    let refused = client::Client::connect(server.address()).unwrap_err();
    assert!(refused.is(ErrorCode::QueueFull) && refused.is_retryable(), "{refused}");
    drop(first);
    wait_until("there is room again", || client::Client::connect(server.address()).is_ok());
}

#[test]
fn transactions_of_a_connection_end_with_it() {
    let server = server();
    let call = |connection: &Connection, database, call| {
        connection.call(database, 0, call).unwrap().answer().map(drop).unwrap();
    };
    let (one, other) = (connect(&server), connect(&server));
    for connection in [&one, &other] {
        call(connection, 0, Call::OpenDb { name: "default", mode: OpenMode::Existing });
        call(connection, 1, Call::Begin);
    }
    assert_eq!(server.engine.transactions_open(), 2);
    drop(one);
    wait_until("one of them ends", || server.engine.transactions_open() == 1);
    drop(other);
    wait_until("both have ended", || server.engine.transactions_open() == 0);
}

fn connect(server: &Server) -> Connection {
    Connection::connect(&server.path, &client::Options::new()).unwrap()
}

#[test]
fn feeds_that_have_given_up_do_not_keep_a_database_open() {
    let server = server_of(|options| options.idle_timeout = Duration::from_millis(1), |_| {});
    let client = server.client();
    client.create_database("quiet").unwrap();
    let mut feed = client.database("quiet").changes(1_000_000);
    for _ in 0..10 {
        assert_eq!(feed.poll(Duration::from_millis(1)).unwrap(), None);
    }
    let name = base::words::Name::new("quiet").unwrap();
    let served = server.engine.database(&name).unwrap();
    wait_until("it is closed", || served.condition() == docdb::engine::Condition::Closed);
}

#[test]
fn a_server_that_stops_answers_what_is_under_way_and_closes_what_is_not() {
    let server = server();
    let client = server.client();
    let all = client.database("default").collection("default");
    all.create(1, "1").unwrap();
    let waiting = {
        let mut feed = client.database("default").changes(1_000_000);
        let poll = move || feed.poll(Duration::from_secs(50));
        std::thread::Builder::new().spawn(poll).unwrap()
    };
    let listening = server.listening.as_ref().unwrap();
    server.runtime.block_on(listening.stop());
    // Told that there is nothing, or that the server went before it had asked.
    match waiting.join().unwrap() {
        Ok(change) => assert_eq!(change, None),
        Err(error) => assert!(!error.is_outcome_unknown(), "{error}"),
    }
    let error = all.create(2, "2").unwrap_err();
    assert!(!error.is_outcome_unknown() || error.code().is_none(), "{error}");
    assert!(server.stream_is_refused());
}

impl Server {
    /// Whether a new client is turned away, one way or another.
    fn stream_is_refused(&self) -> bool {
        client::Options::new().timeout(Duration::from_secs(1)).connect(self.address()).is_err()
    }
}
