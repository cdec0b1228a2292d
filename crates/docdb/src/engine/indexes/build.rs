//! The thread `builds`: it makes indexes of the documents of their collections, some at once and a piece of each in turn,
//! so that a small one need not wait for a large one.
//!
//! A position is taken first. Documents are then read in the order of their revisions, up to that position, as they
//! are at the moment: one that was changed since is left out, because the feed tells of it. After the last of
//! them the feed is read from the position on, and when it has been caught up with, the index is published and joins the
//! others. So nothing has to hold a snapshot for as long as that takes.
//!
//! The order of revisions is that of no scan: the revisions of all documents are looked at, and the lowest
//! [`WINDOW`] of those that are not in yet are kept and sorted, as often as it takes.

mod reading;

use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::error::{Code, Coded as _};
use base::words::{CollectionId, DocId, Lsn};
use docstore::{Feed, StoreError};
use search::index::{IndexError, Rebuild};
use search::schema::Schema;

use super::contain::{Panicked, contained};
use super::follow::{Phase, Retry, is_due};
use super::removal::Removal;
use super::state::{Progress, Why};
use super::{Indexes, Shared, lock};
use crate::engine::namespaces::schema_property;

/// Documents whose revisions are kept and sorted at once.
const WINDOW: usize = 100_000;
/// Indexes that are made of documents at once, of all databases: each needs memory.
const OF_DOCUMENTS_MAX: usize = 4;
/// The same of those that begin with nothing.
const FRESH_MAX: usize = 16;
/// How long the thread waits when there was nothing to do.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Why an index could not be made.
#[derive(Debug)]
pub(super) enum BuildError {
    /// The documents could not be read.
    Store(StoreError),
    /// They could not be written to the index.
    Index(IndexError),
    /// The log had no longer what was written since.
    Behind,
    /// A defect.
    Panicked(Panicked),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Index(error) => error.fmt(f),
            Self::Panicked(error) => error.fmt(f),
            Self::Behind => f.write_str("more was written meanwhile than the log keeps"),
        }
    }
}

impl From<StoreError> for Box<BuildError> {
    fn from(error: StoreError) -> Self {
        let is_behind = error.code() == Code::LsnTrimmed;
        Box::new(if is_behind { BuildError::Behind } else { BuildError::Store(error) })
    }
}

impl From<IndexError> for Box<BuildError> {
    fn from(error: IndexError) -> Self {
        Box::new(BuildError::Index(error))
    }
}

impl From<search::error::SearchError> for Box<BuildError> {
    fn from(error: search::error::SearchError) -> Self {
        Box::new(BuildError::Index(error.into()))
    }
}

type Result<T> = std::result::Result<T, Box<BuildError>>;

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Built {
    /// There is more to do.
    Partly,
    /// There is more to do, which cannot be done now.
    Later,
    /// It has everything.
    Wholly,
    /// Nobody needs it any more.
    ForNothing,
}

/// An index in the making.
#[derive(Debug)]
pub(super) struct Build {
    collection: CollectionId,
    generation: u64,
    rebuild: Rebuild,
    schema: Schema,
    schema_at: Lsn,
    /// The position up to which documents are read.
    at: Lsn,
    feed: Feed,
    reading: Reading,
    progress: Arc<Progress>,
    /// How often it has failed before.
    times: u32,
    _slot: Slot,
}

/// How many indexes are made at the moment.
#[derive(Debug, Default)]
pub(super) struct Slots {
    of_documents: Arc<AtomicUsize>,
    fresh: Arc<AtomicUsize>,
}

/// One of them, for as long as this lives.
#[derive(Debug)]
struct Slot(Arc<AtomicUsize>);

impl Slots {
    /// Room for one more, if there is some. Only the one thread takes it.
    fn take(&self, is_fresh: bool) -> Option<Slot> {
        let (taken, most) = match is_fresh {
            true => (&self.fresh, FRESH_MAX),
            false => (&self.of_documents, OF_DOCUMENTS_MAX),
        };
        if taken.load(Ordering::Relaxed) >= most {
            return None;
        }
        taken.fetch_add(1, Ordering::Relaxed);
        Some(Slot(Arc::clone(taken)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How far it is with the documents.
#[derive(Debug)]
enum Reading {
    /// Finding those with the lowest revisions above `above`, behind `after` in the order of ids.
    Listing { above: Lsn, after: Option<DocId>, lowest: BinaryHeap<(Lsn, DocId)>, is_cut: bool },
    /// Reading these.
    Adding { left: VecDeque<(Lsn, DocId)>, is_last: bool },
    /// All are there: reading the feed.
    Following,
}

impl Reading {
    fn listing(above: Lsn) -> Self {
        Self::Listing { above, after: None, lowest: BinaryHeap::new(), is_cut: false }
    }
}

/// The thread.
pub(super) fn run(shared: &Shared) {
    let mut is_busy = false;
    while !shared.builder.is_stopped() {
        if !is_busy && !shared.builder.wait(LOOK_AGAIN) {
            return;
        }
        is_busy = false;
        for indexes in shared.all() {
            if shared.builder.is_stopped() {
                return;
            }
            match contained(|| indexes.build_on()) {
                Ok(has_built) => is_busy |= has_built,
                Err(panicked) => {
                    indexes.count_failure();
                    tracing::error!(database = %indexes.database.name(), error = %panicked,
                        "no search index is made for now");
                }
            }
        }
    }
}

impl Indexes {
    /// Goes on with every index that is made of documents; says whether there is more to do at once.
    fn build_on(&self) -> bool {
        let mut builds = lock(&self.builds);
        self.begin_builds(&mut builds);
        let collections: Vec<CollectionId> = builds.keys().copied().collect();
        let mut is_busy = false;
        for collection in collections {
            if self.is_closed() || self.shared.builder.is_stopped() {
                return false;
            }
            let Some(mut build) = builds.remove(&collection) else { continue };
            let times = build.times;
            let step = contained(|| build.step(self));
            match step.unwrap_or_else(|panicked| Err(Box::new(BuildError::Panicked(panicked)))) {
                Ok(built @ (Built::Partly | Built::Later)) => {
                    is_busy |= built == Built::Partly;
                    builds.insert(collection, build);
                }
                Ok(Built::Wholly) => {
                    is_busy = true;
                    if let Err(panicked) = contained(|| self.finish_build(collection, build)) {
                        self.build_failed(collection, &panicked, times);
                    }
                }
                Ok(Built::ForNothing) => {}
                Err(error) => self.build_failed(collection, &*error, times),
            }
        }
        is_busy
    }

    /// Begins with what is to be made and is not begun, as far as there is room.
    fn begin_builds(&self, builds: &mut BTreeMap<CollectionId, Build>) {
        let now = self.shared.clock.now();
        let mut following = lock(&self.following);
        if self.is_closed() {
            return;
        }
        let due: Vec<CollectionId> = following
            .entries
            .iter()
            .filter(|(_, entry)| is_due(&entry.phase, Retry::Build, now))
            .map(|(collection, _)| *collection)
            .collect();
        for collection in due {
            following.build(self, collection, Why::trouble("the last attempt failed"), None);
        }
        let current = |collection: &CollectionId, generation: u64| {
            following.entries.get(collection).is_some_and(|e| e.generation == generation)
        };
        builds.retain(|collection, build| current(collection, build.generation));
        let mut failed = Vec::new();
        for (collection, entry) in &following.entries {
            let Phase::Building { progress, fresh, times, .. } = &entry.phase else { continue };
            if builds.contains_key(collection) {
                continue;
            }
            let Some(slot) = self.shared.slots.take(fresh.is_some()) else { continue };
            let what = (*collection, entry.generation, *times);
            let schema = (&entry.schema, entry.schema_at);
            match self.begin_build(what, schema, (progress, slot), *fresh) {
                Ok(build) => _ = builds.insert(*collection, build),
                Err(error) => failed.push((*collection, error, *times)),
            }
        }
        drop(following);
        for (collection, error, times) in failed {
            self.build_failed(collection, &*error, times);
        }
    }

    fn begin_build(
        &self,
        (collection, generation, times): (CollectionId, u64, u32),
        (schema, schema_at): (&Arc<Schema>, Lsn),
        (progress, slot): (&Arc<Progress>, Slot),
        fresh: Option<Lsn>,
    ) -> Result<Build> {
        let database = &self.database;
        let at = fresh.unwrap_or_else(|| database.durable().min(database.position()));
        let feed = database.changes(at)?;
        // After the position: what is read at it fits this one.
        let value = database.property(collection, &schema_property())?;
        let newest = value.and_then(|value| Schema::from_stored(value.as_bytes()).ok());
        let (schema, schema_at) = match (fresh, newest) {
            (None, Some(newest)) => (newest, at.max(schema_at)),
            (Some(_), _) | (None, None) => (Schema::clone(schema), schema_at),
        };
        let shared = &self.shared;
        let mut rebuild = Rebuild::new(
            shared.backing.clone(),
            self.place(collection),
            schema.clone(),
            shared.options.index.clone(),
            shared.environment(),
        );
        let reading = if fresh.is_some() {
            rebuild.documents_end(at);
            progress.position.store(at.0, Ordering::Relaxed);
            Reading::Following
        } else {
            progress.of.store(database.count(collection)?, Ordering::Relaxed);
            Reading::listing(Lsn::ZERO)
        };
        let progress = Arc::clone(progress);
        Ok(Build {
            collection,
            generation,
            rebuild,
            schema,
            schema_at,
            at,
            feed,
            reading,
            progress,
            times,
            _slot: slot,
        })
    }

    /// Publishes an index that has everything, and lets it join the others.
    fn finish_build(&self, collection: CollectionId, build: Build) {
        let Build { rebuild, feed, schema, schema_at, generation, times, .. } = build;
        let index = match rebuild.finish() {
            Ok(index) => index,
            Err(error) => return self.build_failed(collection, &error, times),
        };
        let position = index.position();
        let mut following = lock(&self.following);
        let Some(entry) = following.entries.get_mut(&collection) else {
            // Its files were removed before these were there.
            return self.shared.remove(Removal::Index(self.place(collection)));
        };
        if entry.generation != generation || self.is_closed() {
            return;
        }
        (entry.schema, entry.schema_at) = (Arc::new(schema), schema_at.max(position));
        tracing::info!(database = %self.database.name(), %collection, position = %position,
            rows = index.status().rows, "a search index is ready");
        following.hold_from(self, position);
        // Until here it has kept the log.
        drop(feed);
        following.go_back(self, position);
        following.enter(self, collection, Phase::Live(self.new_live(collection, index)));
        self.shared.counts.built.fetch_add(1, Ordering::Relaxed);
    }
    /// The making of an index failed: it begins again, later.
    fn build_failed(&self, collection: CollectionId, error: &dyn std::fmt::Display, times: u32) {
        if self.is_closed() {
            return;
        }
        // Of a collection that is gone the feed will tell.
        if self.database.property(collection, &schema_property()).is_ok() {
            self.count_failure();
            tracing::error!(database = %self.database.name(), %collection, %error,
                "a search index could not be made of the documents");
        }
        let mut following = lock(&self.following);
        let is_building = |phase: &Phase| matches!(phase, Phase::Building { .. });
        if following.entries.get(&collection).is_some_and(|entry| is_building(&entry.phase)) {
            let failure = self.failure(&error, times.saturating_add(1), Retry::Build);
            following.enter(self, collection, Phase::Failed(failure));
        }
    }
}
