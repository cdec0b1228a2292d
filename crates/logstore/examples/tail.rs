//! Stores a few entries, follows them live and finds them again. Run with a directory to keep them:
//! `cargo run --example tail -p logstore -- logs`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::path::PathBuf;
use std::time::Duration;

use logstore::{
    BatchedSqliteStorage, Entry, Environment, Filter, LogStorage as _, Options, Query, Result,
    Severity, Tail, UnixNanos,
};

fn main() -> Result<()> {
    let argument = std::env::args().nth(1).map(PathBuf::from);
    let dir = argument.unwrap_or_else(|| std::env::temp_dir().join("docdb-example-logs"));
    let environment = Environment::system();
    let clock = environment.clock.clone();
    let logs = BatchedSqliteStorage::open(&dir, Options::default(), environment)?;

    // Whoever follows sees entries before they are written.
    let follows = logs.subscribe(Filter::default().at_least(Severity::Warning), 100)?;
    let now = || UnixNanos::from_ms(clock.wall().0);
    for n in 0..10 {
        let severity = if n % 5 == 0 { Severity::Error } else { Severity::Info };
        let message = format!("request {n} took {} ms", n * 7);
        let entry = Entry::new(now(), message).with_severity(severity).from_app("web1", "shop");
        // The handle may be waited for, awaited or dropped.
        drop(logs.store(entry)?);
    }
    let id =
        logs.store_durable(Entry::new(now(), "disk full").with_severity(Severity::Critical))?;
    println!("committed, as entry {id}");
    while let Some(Tail::Entry(seen)) = follows.try_next() {
        println!("live: {} {}", seen.entry.severity.name(), seen.entry.message);
    }

    let query = Query::new(Filter::default().text("took 7 OR \"disk full\""));
    for found in logs.search(&query)?.entries {
        println!("found: {} {}", found.entry.time.rfc3339(), found.entry.message);
    }
    logs.close(Duration::from_secs(5)).map(|report| println!("closed: {report:?}"))
}
