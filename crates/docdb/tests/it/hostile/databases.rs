//! Very many databases: what an idle one costs, and what a start with all of them takes.
//!
//! `TESTS_DATABASES` says how many; the nightly run makes 10,000.

use std::time::Instant;

use client::wire::DatabaseState;

use super::process::{Process, docdb, wait_until};

/// How many in a normal run.
const DATABASES: u64 = 200;
/// What a closed one may hold of memory, KiB.
const CLOSED_KIB: u64 = 64;

fn number() -> u64 {
    std::env::var("TESTS_DATABASES").ok().and_then(|n| n.parse().ok()).unwrap_or(DATABASES)
}

#[test]
fn databases_that_nobody_uses_cost_next_to_nothing() {
    let wanted = number();
    let server = Process::of(docdb(), |command| {
        // Small segments: each database has two from the beginning.
        command.args(["--db.idle_timeout=500ms", "--wal.segment_mb=64KiB", "--db.max_open=100"]);
    });
    let (before, descriptors) = (server.resident(), server.descriptors());
    let client = server.client();
    let begun = Instant::now();
    for n in 0..wanted {
        let database = client.create_database(&format!("tenant-{n}")).unwrap();
        database.collection("default").create(n, "{}").unwrap();
    }
    let (made, open) = (begun.elapsed(), server.descriptors());
    // Each is closed when nobody has asked for it for a while.
    let is_open = |info: client::DatabaseInfo| info.state == DatabaseState::Open;
    wait_until("all are closed", || !client.databases().unwrap().into_iter().any(is_open));
    let (idle, left) = (server.resident(), server.descriptors());
    println!(
        "{wanted} databases made in {:.1} s; descriptors {descriptors} before, {open} when all were \
         made, {left} when all were closed; {before} KiB before, {idle} KiB after",
        made.as_secs_f64()
    );
    assert!(left <= descriptors + 16, "{left} descriptors");
    assert!(idle < before + 32 * 1024 + wanted * CLOSED_KIB, "{idle} KiB");
    // Any of them is opened by whoever asks for it.
    for n in [0, wanted / 2, wanted - 1] {
        let database = client.database(&format!("tenant-{n}"));
        assert_eq!(database.collection("default").get(n).unwrap().unwrap().bytes, b"{}");
    }
    let begun = Instant::now();
    let again = server.killed_and_started_again();
    println!("started again with {wanted} databases in {:.2} s", begun.elapsed().as_secs_f64());
    println!("{} KiB, {} descriptors then", again.resident(), again.descriptors());
    assert_eq!(again.client().databases().unwrap().len() as u64, wanted + 1);
    again.lives();
}
