//! Many requests in flight over one connection.

use std::sync::Arc;

use client::wire::{Answer, Call, Command, ExecuteMode, Request};
use client::{Connection, Op, Reply, Socket};

use crate::fake::{connection, options, start};

fn revision(reply: &Reply) -> u64 {
    let Answer::Executed(executed) = reply.answer().unwrap() else { panic!("{reply:?}") };
    executed.lsn
}

fn put(id: u64) -> Call<'static> {
    let ops = vec![Op::upsert("c", id, "{}")].into();
    Call::Execute { ops, mode: ExecuteMode::Atomic }
}

#[test]
fn answers_are_matched_to_requests_in_whatever_order_they_come() {
    let (connection, server) = connection(&options(), |peer| {
        for id in peer.ids(10).into_iter().rev() {
            peer.written(id, 100 + id);
        }
    });
    let tickets: Vec<_> = (0..10).map(|n| connection.send(1, 0, put(n)).unwrap()).collect();
    let revisions: Vec<u64> =
        tickets.into_iter().map(|ticket| revision(&ticket.wait().unwrap())).collect();
    assert_eq!(revisions, (101..=110).collect::<Vec<u64>>());
    server.join().unwrap();
}

#[test]
fn what_is_queued_is_sent_when_somebody_waits() {
    let (connection, server) = connection(&options(), |peer| {
        for id in peer.ids(3) {
            peer.written(id, id);
        }
    });
    let mut tickets: Vec<_> = (0..3).map(|n| connection.queue(1, 0, put(n)).unwrap()).collect();
    let last = tickets.pop().unwrap();
    assert_eq!(revision(&last.wait().unwrap()), 3);
    for ticket in tickets {
        assert!(revision(&ticket.wait().unwrap()) < 3);
    }
    server.join().unwrap();
}

#[test]
fn threads_share_a_connection_and_each_gets_its_own_answers() {
    const THREADS: u64 = 8;
    const EACH: u64 = 500;
    let (connection, server) = connection(&options(), |peer| {
        while let Some((id, database)) = peer.request(|request| (request.id, request.database)) {
            peer.written(id, database);
        }
    });
    let connection = Arc::new(connection);
    let threads = (1..=THREADS).map(|thread| {
        let connection = Arc::clone(&connection);
        start(move || {
            for n in 0..EACH {
                // The number of the database comes back as the revision.
                let database = thread * 1000 + n;
                let reply = connection.call(database, 0, put(n)).unwrap();
                assert_eq!(revision(&reply), database);
            }
        })
    });
    for thread in threads.collect::<Vec<_>>() {
        thread.join().unwrap();
    }
    assert_eq!(connection.in_flight(), 0);
    drop(connection);
    server.join().unwrap();
}

#[test]
fn no_more_are_in_flight_than_may_be() {
    let (connection, server) = connection(&options().in_flight_max(2), |peer| {
        let first = peer.ids(2);
        // A third one is not sent before one of the two was answered.
        peer.written(first[0], first[0]);
        let third = peer.ids(1);
        assert_eq!(third, [first[1] + 1]);
        peer.written(third[0], third[0]);
        peer.written(first[1], first[1]);
    });
    let connection: Connection = connection;
    let tickets: Vec<_> = (0..3).map(|n| connection.queue(1, 0, put(n)).unwrap()).collect();
    for (number, ticket) in (1..).zip(tickets) {
        assert_eq!(revision(&ticket.wait().unwrap()), number);
    }
    server.join().unwrap();
}

#[test]
fn a_ticket_that_is_dropped_gives_its_place_back() {
    let (connection, server) = connection(&options().in_flight_max(1), |peer| {
        while let Some(id) = peer.request(|request| request.id) {
            peer.done(id, Command::Ping);
        }
    });
    for _ in 0..100 {
        drop(connection.send(0, 0, Call::Ping).unwrap());
    }
    connection.call(0, 0, Call::Ping).unwrap();
    drop(connection);
    server.join().unwrap();
}

#[test]
fn one_thread_alone_sends_a_batch_and_reads_its_answers() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let server = start(move || {
        let mut peer = crate::fake::Peer::new(theirs);
        peer.welcome();
        let ids = peer.ids(50);
        for id in ids.into_iter().rev() {
            peer.written(id, id);
        }
        let id = peer.ids(1)[0];
        peer.done(id, Command::Ping);
    });
    let mut socket = Socket::start(ours, &options()).unwrap();
    assert_eq!(socket.server(), "fake 1");
    for id in 1..=50 {
        socket.queue(&Request::new(id, 1, put(id))).unwrap();
    }
    socket.flush().unwrap();
    assert_eq!(socket.queued(), 0);
    let ids: Vec<u64> = (0..50).map(|_| socket.receive().unwrap().id).collect();
    assert_eq!(ids, (1..=50).rev().collect::<Vec<u64>>());
    let pong = socket.call(&Request::new(51, 0, Call::Ping)).unwrap();
    assert_eq!(pong.outcome, Ok(Answer::Done));
    server.join().unwrap();
}
