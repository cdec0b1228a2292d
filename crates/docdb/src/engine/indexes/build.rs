//! Making an index of the documents of its collection.
//!
//! A position is taken first. Documents are then read in the order of their revisions, up to that position, as they
//! are at the moment: one that was changed since is left out, because the feed tells of it. After the last of
//! them the feed is read from the position on, and when it has been caught up with, the index is published and joins the
//! others. So nothing has to hold a snapshot for as long as that takes.
//!
//! The order of revisions is that of no scan: the revisions of all documents are looked at, and the lowest
//! [`WINDOW`] of those that are not in yet are kept and sorted, as often as it takes.

use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::error::{Code, Coded as _};
use base::words::{Change, CollectionId, DocId, Lsn};
use docstore::{Feed, StoreError};
use search::index::{IndexError, Prepared, Rebuild, Step};
use search::schema::Schema;

use super::follow::{Phase, of_past};
use super::keep::is_due;
use super::state::{Progress, Why};
use super::{Indexes, lock};
use crate::engine::namespaces::schema_property;

/// Documents whose revisions are kept and sorted at once.
const WINDOW: usize = 100_000;
/// Revisions that are looked at in one step.
const LIST_STEP: usize = 10_000;
/// Documents that are read in one step, and changes.
const READ_STEP: usize = 500;
/// Bytes of documents that are read in one step.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// Why an index could not be made.
#[derive(Debug)]
pub(super) enum BuildError {
    /// The documents could not be read.
    Store(StoreError),
    /// They could not be written to the index.
    Index(IndexError),
    /// The log had no longer what was written since.
    Behind,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Index(error) => error.fmt(f),
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

impl Indexes {
    /// Begins with what is to be made and is not begun.
    pub(super) fn begin_builds(&self, builds: &mut BTreeMap<CollectionId, Build>) {
        let now = self.shared.clock.now();
        let mut following = lock(&self.following);
        let due: Vec<CollectionId> = following
            .entries
            .iter()
            .filter(|(_, entry)| is_due(&entry.phase, now).is_some())
            .map(|(collection, _)| *collection)
            .collect();
        let mut times_of = BTreeMap::new();
        for collection in due {
            let entry = following.entries.get(&collection);
            times_of.extend(entry.and_then(|e| is_due(&e.phase, now)).map(|n| (collection, n)));
            following.build(self, collection, Why::trouble("the last attempt failed"), None);
        }
        let current = |collection: &CollectionId, generation: u64| {
            following.entries.get(collection).is_some_and(|e| e.generation == generation)
        };
        builds.retain(|collection, build| current(collection, build.generation));
        let mut failed = Vec::new();
        for (collection, entry) in &following.entries {
            let Phase::Building { progress, fresh, .. } = &entry.phase else { continue };
            if builds.contains_key(collection) {
                continue;
            }
            let times = times_of.get(collection).copied().unwrap_or(0);
            let what = (*collection, entry.generation, times);
            match self.begin_build(what, (&entry.schema, entry.schema_at), progress, *fresh) {
                Ok(build) => _ = builds.insert(*collection, build),
                Err(error) => failed.push((*collection, error, times)),
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
        progress: &Arc<Progress>,
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
        })
    }

    /// Publishes an index that has everything, and lets it join the others.
    pub(super) fn finish_build(&self, collection: CollectionId, build: Build) {
        let Build { rebuild, feed, schema, schema_at, generation, times, .. } = build;
        let index = match rebuild.finish() {
            Ok(index) => index,
            Err(error) => return self.build_failed(collection, &error, times),
        };
        let position = index.position();
        let mut following = lock(&self.following);
        let Some(entry) = following.entries.get_mut(&collection) else { return };
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
}

impl Build {
    pub(super) fn times(&self) -> u32 {
        self.times
    }

    /// Does a piece.
    pub(super) fn step(&mut self, indexes: &Indexes) -> Result<Built> {
        let place = indexes.place(self.collection);
        if lock(&indexes.shared.busy).contains(&place) {
            return Ok(Built::Later);
        }
        match &mut self.reading {
            Reading::Listing { .. } => self.list(indexes),
            Reading::Adding { .. } => self.add(indexes),
            Reading::Following => self.follow(indexes),
        }
    }

    fn list(&mut self, indexes: &Indexes) -> Result<Built> {
        let Reading::Listing { above, after, lowest, is_cut } = &mut self.reading else {
            return Ok(Built::Partly);
        };
        let page = indexes.database.revisions(self.collection, after.as_ref(), LIST_STEP)?;
        let is_last = page.len() < LIST_STEP;
        *after = page.last().map(|(id, _)| id.clone());
        for (id, revision) in page {
            if revision <= *above || revision > self.at {
                continue;
            }
            lowest.push((revision, id));
            if lowest.len() > WINDOW {
                lowest.pop();
                *is_cut = true;
            }
        }
        if is_last {
            let left = std::mem::take(lowest).into_sorted_vec().into();
            self.reading = Reading::Adding { left, is_last: !*is_cut };
        }
        Ok(Built::Partly)
    }

    fn add(&mut self, indexes: &Indexes) -> Result<Built> {
        let Reading::Adding { left, is_last } = &mut self.reading else { return Ok(Built::Partly) };
        let preparer = self.rebuild.preparer();
        let (mut documents, mut bytes, mut last) = (Vec::new(), 0, Lsn::ZERO);
        while documents.len() < READ_STEP && bytes < READ_BYTES {
            let Some((revision, id)) = left.pop_front() else { break };
            last = revision;
            // One that is gone, has expired or was written again is the feed's.
            let stored = indexes.database.get(self.collection, &id)?;
            let Some(stored) = stored.filter(|stored| stored.revision == revision) else {
                continue;
            };
            bytes += stored.document.as_bytes().len();
            let at = (revision, Lsn::ZERO);
            documents.push(Prepared::put(&preparer, &id, at, stored.expires_at, &stored.document)?);
        }
        let count = documents.len() as u64;
        if left.is_empty() {
            self.reading = match is_last {
                true => Reading::Following,
                false => Reading::listing(last),
            };
        }
        self.rebuild.add(documents)?;
        self.progress.documents.fetch_add(count, Ordering::Relaxed);
        if matches!(self.reading, Reading::Following) {
            self.rebuild.documents_end(self.at);
        }
        self.write()
    }

    /// Writes segments as they fill, so that memory stays bounded.
    fn write(&mut self) -> Result<Built> {
        while self.rebuild.background_step()? == Step::Done {}
        Ok(Built::Partly)
    }

    fn follow(&mut self, indexes: &Indexes) -> Result<Built> {
        let mut changes = Vec::new();
        for _ in 0..READ_STEP {
            let Some(entry) = self.feed.next()? else { break };
            if !self.take(entry.lsn, &entry.change, &mut changes)? {
                return Ok(Built::ForNothing);
            }
        }
        if self.feed.has_gap() {
            return Err(Box::new(BuildError::Behind));
        }
        self.rebuild.apply(changes, self.feed.position());
        self.write()?;
        let is_near = self.feed.position() >= indexes.database.durable().min(indexes.position());
        Ok(if is_near { Built::Wholly } else { Built::Partly })
    }

    /// Takes a change; says whether the index is still needed, for this schema.
    fn take(&mut self, lsn: Lsn, change: &Change, changes: &mut Vec<Prepared>) -> Result<bool> {
        match change {
            Change::Put { collection, .. } | Change::Delete { collection, .. }
                if *collection == self.collection =>
            {
                let prepared = Prepared::of(&self.rebuild.preparer(), lsn, change);
                changes.extend(of_past(prepared, self.schema_at, lsn, change)?);
                Ok(true)
            }
            Change::DropCollection { collection } => Ok(*collection != self.collection),
            Change::SetProperty { collection, property, value }
                if *collection == self.collection && *property == schema_property() =>
            {
                let value = value.as_ref();
                let schema =
                    value.map(|value| Schema::from_stored(value.as_bytes())).transpose()?;
                Ok(self.set_schema(lsn, schema, changes))
            }
            Change::Put { .. }
            | Change::Delete { .. }
            | Change::CreateCollection { .. }
            | Change::SetProperty { .. } => Ok(true),
        }
    }

    /// The schema was changed meanwhile; says whether what was made can still be used.
    fn set_schema(
        &mut self,
        lsn: Lsn,
        schema: Option<Schema>,
        changes: &mut Vec<Prepared>,
    ) -> bool {
        if lsn <= self.schema_at {
            return true;
        }
        let Some(schema) = schema else { return false };
        if schema.needs_build(&self.schema) {
            return false;
        }
        self.rebuild.apply(std::mem::take(changes), Lsn::ZERO);
        self.rebuild.set_schema(schema.clone());
        (self.schema, self.schema_at) = (schema, lsn);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_revisions_are_kept_in_their_order() {
        let mut lowest = BinaryHeap::new();
        for revision in [5, 3, 9, 1, 7] {
            lowest.push((Lsn(revision), DocId::U64(revision)));
            if lowest.len() > 3 {
                lowest.pop();
            }
        }
        let kept: Vec<u64> = lowest.into_sorted_vec().into_iter().map(|(lsn, _)| lsn.0).collect();
        assert_eq!(kept, [1, 3, 5]);
    }
}
