//! A collection as its owner has it: documents, the changes that made them, and an index that follows these.
//!
//! The documents are the truth. Whatever the index is asked must be what looking at all of them answers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use base::clock::{Clock, ClockRef, WallMs};
use base::document::Document;
use base::io::DiskRef;
use base::metrics::Registry;
use base::rng::Rng;
use base::words::{CollectionId, DatabaseId, DocId, Lsn};
use search::exhaustive::{Answer, scan};
use search::index::{
    Backing, Environment, Index, Options, Prepared, Preparer, Result, Results, Step,
};
use search::json::Json;
use search::manifest::Place;
use search::metrics::Metrics;
use search::query::Query;
use search::schema::Schema;
use search::storage::cache::{Blocks, MemoryCache};
use search::storage::{LocalStore, StoreRef};
use sim::VirtualClock;

use crate::shapes::Shape;

pub(crate) const PLACE: Place =
    Place { database: DatabaseId::from_bytes([3; 16]), collection: CollectionId(7) };

/// Stands still until it is told.
pub(crate) type TestClock = VirtualClock;

/// A version of a document.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) lsn: Lsn,
    pub(crate) expires_at: Option<WallMs>,
    pub(crate) document: Document,
}

/// A change as the log has it.
#[derive(Debug, Clone)]
pub(crate) enum Logged {
    Put { id: DocId, replaces: Lsn, stored: Stored },
    Delete { lsn: Lsn, replaces: Lsn },
}

impl Logged {
    pub(crate) fn lsn(&self) -> Lsn {
        match self {
            Self::Put { stored, .. } => stored.lsn,
            Self::Delete { lsn, .. } => *lsn,
        }
    }

    fn prepared(&self, preparer: &Preparer) -> Prepared {
        match self {
            Self::Put { id, replaces, stored } => {
                let lsns = (stored.lsn, *replaces);
                Prepared::put(preparer, id, lsns, stored.expires_at, &stored.document)
                    .expect("a document of the schema")
            }
            Self::Delete { lsn, replaces } => Prepared::Delete { lsn: *lsn, replaces: *replaces },
        }
    }
}

pub(crate) fn schema() -> Schema {
    Shape::usual().schema
}

pub(crate) fn preparer() -> Preparer {
    Preparer::new(Arc::new(schema()))
}

/// Small limits, so that a few documents are many segments.
pub(crate) fn options() -> Options {
    Options {
        memtable_bytes: 8 * 1024,
        unindexed_bytes_max: 64 * 1024,
        segments_max: 6,
        segment_bytes_min: 64 * 1024,
        ..Options::default()
    }
}

pub(crate) fn store(disk: DiskRef) -> StoreRef {
    Arc::new(LocalStore::open(disk, Path::new("/search")).expect("a store"))
}

pub(crate) fn backing(store: &StoreRef) -> Backing {
    // Little, so that much is read from the store again.
    let cache = Box::new(MemoryCache::new(128 * 1024));
    Backing { store: Arc::clone(store), blocks: Blocks::new(cache, 0) }
}

pub(crate) fn environment(clock: &Arc<TestClock>, seed: u64) -> Environment {
    Environment {
        clock: Arc::clone(clock) as ClockRef,
        rng: Rng::new(seed),
        metrics: Arc::new(Metrics::new(&Registry::new()).expect("metrics")),
        record: None,
    }
}

/// Opens the index that is there, or makes one; then it has everything that the log has.
pub(crate) fn open(
    store: &StoreRef,
    clock: &Arc<TestClock>,
    seed: u64,
    log: &[Logged],
) -> Result<Index> {
    open_with(store, (schema(), options()), || environment(clock, seed), (log, 0))
}

/// As [`open`], with another schema and other options; the replay begins so many changes too early.
pub(crate) fn open_with(
    store: &StoreRef,
    (schema, options): (Schema, Options),
    environment: impl Fn() -> Environment,
    (log, early): (&[Logged], usize),
) -> Result<Index> {
    let opened =
        Index::open(backing(store), PLACE, schema.clone(), options.clone(), environment())?;
    let index = match opened {
        Some(index) => index,
        None => Index::create(backing(store), PLACE, (schema, Lsn::ZERO), options, environment())?,
    };
    let applied = index.applied();
    let preparer = index.preparer();
    let first = log.partition_point(|change| change.lsn() <= applied).saturating_sub(early);
    index.apply(log[first..].iter().map(|change| change.prepared(&preparer)).collect(), Lsn::ZERO);
    Ok(index)
}

/// The documents, the log, and what writes to both.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) documents: BTreeMap<DocId, Stored>,
    pub(crate) log: Vec<Logged>,
    lsn: Lsn,
    pub(crate) shape: Arc<Shape>,
    /// How many ids there are to write to.
    ids: u64,
}

impl World {
    pub(crate) fn new(seed: u64, ids: u64) -> Self {
        Self::of(Shape::usual(), Rng::new(seed), ids)
    }

    pub(crate) fn of(shape: Shape, rng: Rng, ids: u64) -> Self {
        Self {
            rng,
            clock: Arc::new(VirtualClock::new(WallMs(1_700_000_000_000))),
            documents: BTreeMap::new(),
            log: Vec::new(),
            lsn: Lsn::ZERO,
            shape: Arc::new(shape),
            ids,
        }
    }

    /// The world as it was after the first changes of the log.
    pub(crate) fn at(&self, changes: usize) -> Self {
        let mut then = Self {
            rng: Rng::new(changes as u64),
            clock: Arc::clone(&self.clock),
            documents: BTreeMap::new(),
            log: self.log[..changes].to_vec(),
            lsn: Lsn::ZERO,
            shape: Arc::clone(&self.shape),
            ids: self.ids,
        };
        for change in &self.log[..changes] {
            then.lsn = change.lsn();
            match change {
                Logged::Put { id, replaces, stored } => {
                    let before = then.documents.insert(id.clone(), stored.clone());
                    assert_eq!(before.map_or(Lsn::ZERO, |before| before.lsn), *replaces);
                }
                Logged::Delete { replaces, .. } => {
                    then.documents.retain(|_, stored| stored.lsn != *replaces);
                }
            }
        }
        then
    }

    fn preparer(&self) -> Preparer {
        Preparer::new(Arc::new(self.shape.schema.clone()))
    }

    pub(crate) fn now(&self) -> WallMs {
        self.clock.wall()
    }

    /// The last change.
    pub(crate) fn position(&self) -> Lsn {
        self.log.last().map_or(Lsn::ZERO, Logged::lsn)
    }

    /// Writes or deletes some documents; what the log then has more.
    pub(crate) fn write(&mut self) -> Vec<Logged> {
        let before = self.log.len();
        for _ in 0..=self.rng.below(12) {
            // Other collections have changes in between.
            self.lsn = self.lsn.plus(1 + self.rng.below(3));
            let id = self.id();
            let replaces = self.documents.get(&id).map_or(Lsn::ZERO, |stored| stored.lsn);
            if self.rng.chance(250) {
                self.log.push(Logged::Delete { lsn: self.lsn, replaces });
                self.documents.remove(&id);
            } else {
                let expires_at =
                    self.rng.chance(150).then(|| WallMs(self.now().0 + self.rng.below(200_000)));
                let document = self.shape.document(&mut self.rng);
                let stored = Stored { lsn: self.lsn, expires_at, document };
                self.log.push(Logged::Put { id: id.clone(), replaces, stored: stored.clone() });
                self.documents.insert(id, stored);
            }
        }
        self.log[before..].to_vec()
    }

    pub(crate) fn prepared(&self, changes: &[Logged]) -> Vec<Prepared> {
        let preparer = self.preparer();
        changes.iter().map(|change| change.prepared(&preparer)).collect()
    }

    fn id(&mut self) -> DocId {
        match self.rng.below(self.ids) {
            id if id % 7 == 3 => DocId::string(&format!("id-{id}")).expect("an id"),
            id => DocId::U64(id),
        }
    }

    /// A query of any form.
    pub(crate) fn query(&mut self) -> String {
        self.shape.query(&mut self.rng)
    }

    /// The documents as a rebuild is fed with them.
    pub(crate) fn prepared_documents(&self) -> Vec<Prepared> {
        let mut documents: Vec<_> = self.documents.iter().collect();
        documents.sort_by_key(|(_, stored)| stored.lsn);
        let preparer = self.preparer();
        documents
            .into_iter()
            .map(|(id, stored)| {
                let lsns = (stored.lsn, Lsn::ZERO);
                Prepared::put(&preparer, id, lsns, stored.expires_at, &stored.document)
                    .expect("it fits")
            })
            .collect()
    }

    /// What looking at all documents answers.
    pub(crate) fn expect(&self, query: &Query) -> Answer {
        self.expect_at(query, self.now())
    }

    fn expect_at(&self, query: &Query, now: WallMs) -> Answer {
        let visible =
            self.documents.iter().filter(|(_, stored)| stored.expires_at.is_none_or(|at| now < at));
        let documents = visible.map(|(id, stored)| (id.clone(), &stored.document));
        scan(&self.shape.schema, query, documents, u64::MAX).expect("an answer")
    }

    /// Asks the index some queries, and follows their cursors to the end.
    pub(crate) fn check(&mut self, index: &Index, count: usize) {
        self.ask(index, count).expect("an answer");
    }

    /// As [`World::check`], of an index whose store may fail: what it answers is right.
    pub(crate) fn ask(&mut self, index: &Index, count: usize) -> Result<()> {
        let snapshot = index.snapshot();
        for _ in 0..count {
            let text = self.query();
            let mut query = parse(&text);
            for page in 0..5 {
                // Reading from a slow store takes time.
                let now = self.now();
                let found = snapshot.query(&query, now)?;
                let expect = self.expect_at(&query, now);
                is_same(&found, &expect, &format!("{text} page {page}\n{}", found.performance));
                let Some(cursor) = expect.cursor else { break };
                query.offset = 0;
                query.cursor = Some(cursor);
            }
        }
        Ok(())
    }
}

/// Compares an answer with that of looking at all documents.
pub(crate) fn is_same(found: &Results, expect: &Answer, explained: &str) {
    let Results { answer, .. } = found;
    assert_eq!(answer.rows, expect.rows, "{explained}");
    assert_eq!(answer.groups, expect.groups, "{explained}");
    assert_eq!(answer.facets, expect.facets, "{explained}");
    assert_eq!(answer.cursor, expect.cursor, "{explained}");
    assert_eq!(answer.work.matched, expect.work.matched, "{explained}");
}

pub(crate) fn parse(text: &str) -> Query {
    Query::parse(Json::parse(text.as_bytes()).expect("JSON")).expect(text)
}

/// Does everything that is due.
pub(crate) fn settle(index: &Index) -> Result<()> {
    while index.background_step()? == Step::Done {}
    Ok(())
}
