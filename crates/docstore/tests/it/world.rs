//! A small database on a simulated disk, for the tests of this crate.

use base::clock::WallMs;
use base::document::Document;
use base::io::DiskRef;
use base::words::DocId;
use docstore::Options;
use docstore::data::Geometry;
use sim::VirtualClock;
use wal::{Background, Environment};

/// Where the database is.
pub(crate) const DIR: &str = "/db";

/// A clock at a fixed time.
pub(crate) fn clock() -> VirtualClock {
    VirtualClock::new(WallMs(1_700_000_000_000))
}

pub(crate) fn env(disk: &DiskRef, clock: &VirtualClock) -> Environment {
    Environment { disk: DiskRef::clone(disk), clock: clock.shared(), reserve: None }
}

/// Settings small enough that every limit is met by little work, and no thread of its own.
pub(crate) fn small() -> Options {
    let log = wal::Options {
        segment_bytes_first: 4096,
        segment_bytes_max: 16 * 1024,
        keep_segments: 0,
        background: Background::Manual,
        ..wal::Options::default()
    };
    Options {
        log,
        checkpoint_auto: false,
        data_file_bytes_max: 16 * 1024,
        geometry: Geometry::Tiny,
        memtable_bytes_max: 1024 * 1024,
        ..Options::default()
    }
}

/// The id of the `n`-th document: numbers, UUIDs and strings in turn.
pub(crate) fn id(n: u64) -> DocId {
    DocId::U64(n)
}

/// A document that says which it is.
pub(crate) fn document(n: u64) -> Document {
    let text = format!("{{\"n\":{n},\"pad\":\"{}\"}}", "x".repeat(40));
    Document::parse(text.as_bytes()).expect("it is JSON")
}
