//! Drills: a real server is killed under its clients, at named calls to its disk and at any moment,
//! opened again on the same directory, and must have kept every promise. What clients asked and were
//! answered, over all lives of the server, is one history: linearizable for each document, batches
//! whole, nothing lost that was acknowledged.
//!
//! `TESTS_DRILLS` says how many lives there are; the checks use the default, the nightly run 1,000.

mod clients;
mod search;
mod server;

use std::collections::BTreeSet;

use base::rng::Rng;

use clients::Clients;
use server::Server;

/// Points that a life of a server passes by itself, with clients that write, take checkpoints, and
/// make and drop collections. Each is hit at least once in every run.
const POINTS: [&str; 34] = [
    "segment.write.before",
    "segment.write.torn",
    "segment.write.after",
    "segment.sync.before",
    "segment.sync.after",
    "segment.rename.before",
    "segment.rename.after",
    "spare.create.before",
    "spare.create.after",
    "spare.write.before",
    "spare.write.torn",
    "spare.sync.before",
    "spare.sync.after",
    "log-manifest.write.before",
    "log-manifest.write.torn",
    "log-manifest.write.after",
    "log-manifest.sync.before",
    "log-manifest.sync.after",
    "manifest.write.before",
    "manifest.write.torn",
    "manifest.write.after",
    "manifest.sync.before",
    "manifest.sync.after",
    "data.write.before",
    "data.write.torn",
    "data.write.after",
    "data.sync.before",
    "data.sync.after",
    "index.create.after",
    "index.write.torn",
    "index.sync.before",
    "index.sync.after",
    "directory.sync.before",
    "directory.sync.after",
];
/// Lives in a normal run.
const LIVES: usize = 50;

fn lives() -> usize {
    std::env::var("TESTS_DRILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(LIVES)
}

#[test]
fn a_server_killed_at_named_points_and_at_any_moment_keeps_every_promise() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let data = root.path().join("data");
    let clients = Clients::new();
    let mut rng = Rng::new(7);
    let mut hit = BTreeSet::new();
    for life in 0..lives().max(POINTS.len()) {
        let point = POINTS.get(life % (POINTS.len() + 16)).copied();
        // The first time close to the start, so that it is surely passed.
        let nth = if life < POINTS.len() { 1 + rng.below(3) } else { 1 + rng.below(40) };
        let drill = point.map(|point| format!("{point}:{nth}"));
        let server = Server::start(&data, drill.as_deref());
        let Some(mut server) = server else {
            // It ended while it opened the directory, which is a life too.
            hit.extend(point);
            continue;
        };
        let patience = if point.is_some() { 400 } else { 20 + rng.below(100) };
        let lost = clients.work(&server, life as u64, patience);
        match point {
            Some(point) if lost => {
                server.wait_for_end();
                hit.insert(point);
            }
            Some(_) | None => server.kill(),
        }
    }
    let missed: Vec<_> = POINTS.iter().filter(|point| !hit.contains(*point)).collect();
    assert!(missed.is_empty(), "never passed: {missed:?}");
    let server = Server::start(&data, None).expect("nothing keeps it from starting");
    let checked = clients.check(&server);
    server.end();
    assert!(checked.operations > 1000, "{checked:?}");
    println!("lives={} points={} {checked:?}", lives().max(POINTS.len()), hit.len());
}

#[test]
fn a_server_told_to_end_under_load_answers_everybody_and_loses_nothing() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let data = root.path().join("data");
    let clients = Clients::new();
    for life in 0..5 {
        let server = Server::start(&data, None).expect("nothing keeps it from starting");
        _ = clients.work_until_told(&server, life, 2000, |server| server.end());
    }
    let server = Server::start(&data, None).expect("nothing keeps it from starting");
    let checked = clients.check(&server);
    server.end();
    assert!(checked.operations > 500, "{checked:?}");
}

#[test]
fn the_search_index_of_a_server_that_is_killed_is_that_of_its_documents() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let data = root.path().join("data");
    let clients = Clients::new();
    let mut rng = Rng::new(11);
    for life in 0..lives().div_ceil(4) as u64 {
        let mut server = Server::start(&data, None).expect("nothing keeps it from starting");
        if life == 0 {
            search::declare(&server);
        }
        // Nobody writes yet.
        search::compare(&server, &clients.documents(&server));
        _ = clients.work(&server, life, 20 + rng.below(100));
        server.kill();
    }
    let server = Server::start(&data, None).expect("nothing keeps it from starting");
    search::compare(&server, &clients.documents(&server));
    let checked = clients.check(&server);
    server.end();
    assert!(checked.operations > 500, "{checked:?}");
}
