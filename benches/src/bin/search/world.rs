//! An index in a directory, asked in this process: what the engine itself takes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base::clock::{ClockRef, SystemClock, WallMs};
use base::document::Document;
use base::io::RealDisk;
use base::metrics::Registry;
use base::rng::Rng;
use base::words::{CollectionId, DatabaseId, DocId, Lsn};
use benches::Stopwatch;
use search::index::{Backing, Environment, Index, Options, Prepared, Results, Snapshot, Step, Way};
use search::json::Json;
use search::manifest::Place;
use search::metrics::Metrics;
use search::query::Query;
use search::schema::{Schema, Undeclared};
use search::storage::cache::{Blocks, MemoryCache};
use search::storage::{LocalStore, StoreRef};

/// Documents that are applied together.
const BATCH: u64 = 1000;
/// Room for all blocks that are read.
const CACHE_BYTES: usize = 4 << 30;

/// An index that has all of its rows in one segment.
pub(crate) struct World {
    index: Index,
    clock: ClockRef,
    lsn: Lsn,
}

/// Anything that goes wrong with an index ends the bench.
pub(crate) fn failed(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

/// A query that is written in JSON.
pub(crate) fn query(text: &str) -> io::Result<Query> {
    let json = Json::parse(text.as_bytes()).map_err(failed)?;
    Query::parse(json).map_err(failed)
}

fn options() -> Options {
    Options {
        memtable_bytes: 2 << 30,
        unindexed_bytes_max: 3 << 30,
        segment_bytes_min: 4 << 30,
        flush_after: Duration::ZERO,
        compact_every: Duration::ZERO,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        ..Options::default()
    }
}

impl World {
    /// An index at a place, read through a cache that holds all of it.
    pub(crate) fn new(directory: &std::path::Path, declared: &str) -> io::Result<Self> {
        let store = LocalStore::open(RealDisk::shared(), directory).map_err(failed)?;
        let store: StoreRef = Arc::new(store);
        let blocks = Blocks::new(Box::new(MemoryCache::new(CACHE_BYTES)), 0);
        let backing = Backing { store, blocks };
        let clock: ClockRef = SystemClock::shared();
        let environment = Environment {
            clock: Arc::clone(&clock),
            rng: Rng::new(1),
            metrics: Arc::new(Metrics::new(&Registry::new()).map_err(failed)?),
            record: None,
        };
        let place =
            Place { database: DatabaseId::from_bytes([1; 16]), collection: CollectionId(1) };
        let request = Json::parse(declared.as_bytes()).map_err(failed)?;
        let schema = Schema::new(Undeclared::Ignore).declare(request, None).map_err(failed)?.schema;
        let index = Index::create(backing, place, (schema, Lsn::ZERO), options(), environment);
        Ok(Self { index: index.map_err(failed)?, clock, lsn: Lsn::ZERO })
    }

    /// Puts documents, whose ids are the numbers from 1, and writes them into one segment.
    pub(crate) fn fill(
        &mut self,
        rows: u64,
        mut document: impl FnMut(u64) -> String,
    ) -> io::Result<()> {
        let mut number = 0;
        while number < rows {
            let mut some = Vec::new();
            for _ in 0..BATCH.min(rows - number) {
                some.push(self.prepared(number, &document(number))?);
                number += 1;
            }
            self.index.apply(some, Lsn::ZERO);
        }
        while self.index.background_step().map_err(failed)? == Step::Done {}
        Ok(())
    }

    fn prepared(&mut self, number: u64, text: &str) -> io::Result<Prepared> {
        self.lsn = self.lsn.next();
        let document = Document::parse(text.as_bytes()).map_err(failed)?;
        let (id, preparer) = (DocId::U64(number + 1), self.index.preparer());
        let put = Prepared::put(&preparer, &id, (self.lsn, Lsn::ZERO), None, &document);
        put.map_err(failed)
    }

    /// Deletes the rows of these numbers, as [`World::fill`] numbered them.
    pub(crate) fn delete(&mut self, numbers: impl Iterator<Item = u64>) {
        let mut some = Vec::new();
        for number in numbers {
            self.lsn = self.lsn.next();
            some.push(Prepared::Delete { lsn: self.lsn, replaces: Lsn(number + 1) });
        }
        self.index.apply(some, Lsn::ZERO);
    }

    /// The state to ask.
    pub(crate) fn asked(&self) -> Asked {
        Asked { snapshot: self.index.snapshot(), now: self.clock.wall() }
    }
}

/// A state of an index, and when it is asked.
pub(crate) struct Asked {
    pub(crate) snapshot: Snapshot,
    now: WallMs,
}

impl Asked {
    /// Answers one query.
    pub(crate) fn one(&self, way: Way, query: &Query) -> io::Result<Results> {
        self.snapshot.query_by(way, query, self.now).map_err(failed)
    }

    /// Answers queries one after another, against the clock.
    pub(crate) fn all(
        &self,
        way: Way,
        queries: &[Query],
        stopwatch: &mut Stopwatch,
    ) -> io::Result<()> {
        stopwatch.time(queries.len() as u64, || {
            queries.iter().try_for_each(|query| {
                self.one(way, query).map(|results| {
                    std::hint::black_box(results);
                })
            })
        })
    }
}
