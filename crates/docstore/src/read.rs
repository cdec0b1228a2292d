//! Reading: single documents, pages of a range, snapshots.
//!
//! A read looks up under the state's lock where the bytes are and fetches them outside it: a file
//! that compaction removes meanwhile stays readable through the handle that the read has.

use std::ops::Bound;
use std::sync::Arc;

use base::words::{CollectionId, DocId, Lsn};

use crate::data::{DataError, DataFile, Expected, Windows};
use crate::database::{Database, Inner, lock};
use crate::error::{Result, StoreError};
use crate::heal::Heal;
use crate::location::Location;
use crate::request::Stored;
use crate::snapshots::SnapshotId;
use crate::state::{Body, Seen, State};

/// Most documents of a page.
pub const PAGE_DOCUMENTS_MAX: usize = 10_000;
/// A page ends before its documents exceed this many bytes, unless it is a single one.
const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// How often a read looks again for a document that moved while it was read.
const MOVES_MAX: u32 = 8;

/// What to read of a collection.
#[derive(Debug, Clone)]
pub struct ScanRequest {
    /// The collection.
    pub collection: CollectionId,
    /// Where to begin.
    pub from: Bound<DocId>,
    /// Where to end.
    pub to: Bound<DocId>,
    /// Documents of a page, at most; from 1 to [`PAGE_DOCUMENTS_MAX`].
    pub limit: usize,
    snapshot: Held,
}

/// The snapshot of a scan.
#[derive(Debug, Clone, Copy)]
enum Held {
    /// None yet.
    Newest,
    /// The caller's.
    Theirs(SnapshotId),
    /// The scan's own, released with its last page.
    Own(SnapshotId),
}

impl ScanRequest {
    /// The whole collection in pages of `limit`, as of the first page.
    #[must_use]
    pub fn all(collection: CollectionId, limit: usize) -> Self {
        let (from, to) = (Bound::Unbounded, Bound::Unbounded);
        Self { collection, from, to, limit, snapshot: Held::Newest }
    }

    /// Only ids in this range.
    #[must_use]
    pub fn range(self, from: Bound<DocId>, to: Bound<DocId>) -> Self {
        Self { from, to, ..self }
    }

    /// As a snapshot has them.
    #[must_use]
    pub fn at(self, snapshot: SnapshotId) -> Self {
        Self { snapshot: Held::Theirs(snapshot), ..self }
    }

    /// The snapshot that it reads, once there is one.
    #[must_use]
    pub fn snapshot(&self) -> Option<SnapshotId> {
        match self.snapshot {
            Held::Newest => None,
            Held::Theirs(id) | Held::Own(id) => Some(id),
        }
    }
}

/// A page of a scan.
#[derive(Debug, Clone)]
pub struct Page {
    /// Documents in the order of their ids.
    pub documents: Vec<(DocId, Stored)>,
    /// The position that it shows.
    pub position: Lsn,
    /// The request for the next page, at the same position; none when this was the last.
    pub next: Option<ScanRequest>,
}

impl Database {
    /// A document as the last acknowledged write left it; none when there is none or it has
    /// expired.
    ///
    /// # Errors
    /// `CollectionNotFound`; `DocCorrupt` when its bytes are damaged and nothing could heal them.
    pub fn get(&self, collection: CollectionId, id: &DocId) -> Result<Option<Stored>> {
        self.inner.get_with(collection, id, None, Heal::AsConfigured)
    }

    /// A document as a snapshot has it.
    ///
    /// # Errors
    /// As [`Database::get`]; `SnapshotExpired`.
    pub fn get_at(
        &self,
        snapshot: SnapshotId,
        collection: CollectionId,
        id: &DocId,
    ) -> Result<Option<Stored>> {
        let lsn = self.inner.touch(snapshot)?;
        let found = self.inner.get_with(collection, id, Some(lsn), Heal::AsConfigured);
        // What the snapshot sees was kept for as long as it was held.
        self.inner.touch(snapshot)?;
        found
    }

    /// Holds on to the newest position: reads of the snapshot see it, whatever is written. It
    /// lives until it is released or was not used for `snapshot_ttl`.
    ///
    /// # Errors
    /// `DbNotOpen`.
    pub fn snapshot(&self) -> Result<SnapshotId> {
        self.inner.check_open()?;
        let state = self.inner.read();
        let (position, now) = (self.inner.position(), self.inner.env.clock.now());
        let id = lock(&self.inner.snapshots).add(position, now);
        drop(state);
        Ok(id)
    }

    /// Lets go of a snapshot.
    pub fn release(&self, snapshot: SnapshotId) {
        lock(&self.inner.snapshots).remove(snapshot);
        self.inner.prune();
    }

    /// The ids of a collection's documents with their revisions, as they are at the moment, in the order of
    /// ids: those behind `after`, and fewer than `limit` only when there are no more. Reads no
    /// document. Two calls see two moments.
    ///
    /// # Errors
    /// `DbNotOpen`, `CollectionNotFound`.
    pub fn revisions(
        &self,
        collection: CollectionId,
        after: Option<&DocId>,
        limit: usize,
    ) -> Result<Vec<(DocId, Lsn)>> {
        self.inner.check_open()?;
        let wall = self.inner.log.wall();
        let state = self.inner.read();
        let position = self.inner.position();
        state.collections.find(collection, position)?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let all = state.range(collection, from, Bound::Unbounded, position, wall);
        Ok(all.take(limit).map(|(id, seen)| (id, seen.lsn)).collect())
    }

    /// How many snapshots are held that were used within `snapshot_ttl`, those of scans between two pages
    /// included. Closing the database ends them.
    #[must_use]
    pub fn live_snapshots(&self) -> usize {
        let now = self.inner.env.clock.now();
        lock(&self.inner.snapshots).live(now, self.inner.options.snapshot_ttl)
    }

    /// One page of a collection.
    ///
    /// A scan of more than one page reads all of them at the position of the first: it holds a
    /// snapshot that is released with the last page.
    ///
    /// # Errors
    /// As [`Database::get`]; `SnapshotExpired` when too much time has passed since the last page.
    pub fn scan(&self, request: &ScanRequest) -> Result<Page> {
        self.inner.scan(request)
    }
}

impl Inner {
    pub(crate) fn get_with(
        &self,
        collection: CollectionId,
        id: &DocId,
        at: Option<Lsn>,
        heal: Heal,
    ) -> Result<Option<Stored>> {
        self.check_open()?;
        let (seen, file) = {
            let state = self.read();
            let lsn = at.unwrap_or_else(|| self.position());
            state.collections.find(collection, lsn.max(self.position()))?;
            #[cfg(feature = "planted-bugs")]
            let seen = match self.options.planted {
                Some(crate::planted::Bug::StaleRead) => state.stale(collection, id, lsn),
                Some(_) | None => state.at(collection, id, lsn),
            };
            #[cfg(not(feature = "planted-bugs"))]
            let seen = state.at(collection, id, lsn);
            let Some(seen) = seen else { return Ok(None) };
            if let Some(lsn) = state.lost(collection, id, seen.lsn) {
                return Err(StoreError::DocCorrupt { id: id.clone(), lsn });
            }
            let file = file_of(&state, &seen);
            (seen, file)
        };
        if matches!(seen.body, Body::Deleted) {
            return Ok(None);
        }
        if seen.expires_at.is_some_and(|at| at <= self.log.wall()) {
            return Ok(None);
        }
        self.load(collection, id, seen, file, heal).map(Some)
    }

    /// The bytes of a version that was seen a moment ago, with the file that it was in.
    pub(crate) fn load(
        &self,
        collection: CollectionId,
        id: &DocId,
        seen: Seen,
        file: Option<Arc<DataFile>>,
        heal: Heal,
    ) -> Result<Stored> {
        let (revision, expires_at) = (seen.lsn, seen.expires_at);
        match seen.body {
            Body::Memory(document) => Ok(Stored { revision, expires_at, document }),
            Body::File(location) => {
                self.load_from(collection, id, revision, (location, file), heal)
            }
            Body::Deleted => Err(StoreError::DocNotFound { id: id.clone() }),
        }
    }

    /// The same for a version that a window may have.
    fn load_near(
        &self,
        collection: CollectionId,
        id: &DocId,
        seen: Seen,
        file: Option<Arc<DataFile>>,
        windows: &Windows,
    ) -> Result<Stored> {
        if let (Some(place), Some(file)) = (seen.place(), &file) {
            let expected = Expected { collection, id, lsn: seen.lsn };
            let taken = file.take(windows, place, &expected);
            let document = taken.and_then(|record| Some((record.header, record.document?)));
            if let Some((header, document)) = document {
                let (revision, expires_at) = (seen.lsn, header.expires_at);
                return Ok(Stored { revision, expires_at, document });
            }
        }
        self.load(collection, id, seen, file, Heal::AsConfigured)
    }

    fn load_from(
        &self,
        collection: CollectionId,
        id: &DocId,
        revision: Lsn,
        place: (Location, Option<Arc<DataFile>>),
        heal: Heal,
    ) -> Result<Stored> {
        let (mut location, mut file) = place;
        for _ in 0..MOVES_MAX {
            if let Some(file) = &file {
                let expected = Expected { collection, id, lsn: revision };
                match file.read(location, &expected) {
                    Ok(record) => {
                        let expires_at = record.header.expires_at;
                        let document = record.document;
                        let document =
                            document.ok_or(StoreError::DocNotFound { id: id.clone() })?;
                        return Ok(Stored { revision, expires_at, document });
                    }
                    Err(DataError::Corrupt { .. }) => {
                        return self.heal_read(collection, id, revision, location, file, heal);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            // Compaction has moved it between the lookup and now.
            let state = self.read();
            let seen = state.at(collection, id, revision).filter(|seen| seen.lsn == revision);
            let Some(seen) = seen else {
                return Err(StoreError::DocCorrupt { id: id.clone(), lsn: revision });
            };
            file = file_of(&state, &seen);
            match seen.body {
                Body::File(moved) => location = moved,
                Body::Memory(document) => {
                    let expires_at = seen.expires_at;
                    return Ok(Stored { revision, expires_at, document });
                }
                Body::Deleted => return Err(StoreError::DocNotFound { id: id.clone() }),
            }
        }
        Err(StoreError::DocCorrupt { id: id.clone(), lsn: revision })
    }

    pub(crate) fn touch(&self, snapshot: SnapshotId) -> Result<Lsn> {
        self.check_open()?;
        let now = self.env.clock.now();
        lock(&self.snapshots).touch(snapshot, now, self.options.snapshot_ttl)
    }

    /// Drops what only snapshots that are gone needed.
    pub(crate) fn prune(&self) {
        if self.read().history.is_empty() {
            return;
        }
        let mut state = self.state_mut();
        let oldest = lock(&self.snapshots).oldest();
        state.history.prune(oldest);
    }

    fn scan(&self, request: &ScanRequest) -> Result<Page> {
        if request.limit == 0 || request.limit > PAGE_DOCUMENTS_MAX {
            let (value, rule) = (request.limit as u64, "from 1 to 10,000");
            return Err(StoreError::Setting { setting: "limit", value, rule });
        }
        let looked = self.look_up_page(request);
        if let Some(snapshot) = request.snapshot() {
            // What it sees was kept for as long as it was held.
            self.touch(snapshot)?;
        }
        let looked = looked?;
        let page = self.load_page(request, looked.found, looked.position, looked.more);
        let next = page.as_ref().is_ok_and(|page| page.next.is_some());
        match looked.held {
            Held::Own(id) if !next => {
                lock(&self.snapshots).remove(id);
                self.prune();
                page
            }
            held @ (Held::Newest | Held::Theirs(_) | Held::Own(_)) => page.map(|mut page| {
                if let Some(next) = &mut page.next {
                    next.snapshot = held;
                }
                page
            }),
        }
    }

    fn look_up_page(&self, request: &ScanRequest) -> Result<LookedUp> {
        let at = request.snapshot().map(|id| self.touch(id)).transpose()?;
        self.check_open()?;
        let wall = self.log.wall();
        let state = self.read();
        let now = self.position();
        let collection = request.collection;
        state.collections.find(collection, now)?;
        let position = at.unwrap_or(now);
        let range =
            state.range(collection, request.from.as_ref(), request.to.as_ref(), position, wall);
        let (mut found, mut bytes, mut more) = (Vec::new(), 0, false);
        for (id, seen) in range {
            if found.len() == request.limit || bytes > PAGE_BYTES {
                more = true;
                break;
            }
            if let Some(lsn) = state.lost(collection, &id, seen.lsn) {
                return Err(StoreError::DocCorrupt { id, lsn });
            }
            if let Body::Memory(document) = &seen.body {
                bytes += document.as_bytes().len();
            }
            let file = file_of(&state, &seen);
            found.push((id, seen, file));
        }
        let held = match request.snapshot {
            Held::Newest => Held::Own(lock(&self.snapshots).add(position, self.env.clock.now())),
            held @ (Held::Theirs(_) | Held::Own(_)) => held,
        };
        Ok(LookedUp { found, position, more, held })
    }

    fn load_page(
        &self,
        request: &ScanRequest,
        found: Vec<(DocId, Seen, Option<Arc<DataFile>>)>,
        position: Lsn,
        mut more: bool,
    ) -> Result<Page> {
        let count = found.len();
        let mut documents: Vec<(DocId, Stored)> = Vec::with_capacity(count);
        let mut bytes = 0;
        let places: Vec<Option<Location>> = found.iter().map(|(_, seen, _)| seen.place()).collect();
        let mut windows = Windows::default();
        for (n, (id, seen, file)) in found.into_iter().enumerate() {
            if let (Some(place), Some(file)) = (seen.place(), &file)
                && !windows.cover(place)
            {
                let next = places.iter().skip(n + 1).flatten();
                file.fill(windows.of(place.file), place, next.copied());
            }
            let stored = self.load_near(request.collection, &id, seen, file, &windows)?;
            bytes += stored.document.as_bytes().len();
            // So a page of more than one document is never larger, and surfaces with frames can
            // send it as it is.
            if bytes > PAGE_BYTES && !documents.is_empty() {
                more = true;
                break;
            }
            documents.push((id, stored));
        }
        let last = documents.last().filter(|_| more);
        let from = last.map(|(last, _)| Bound::Excluded(last.clone()));
        let next = from.map(|from| ScanRequest { from, ..request.clone() });
        Ok(Page { documents, position, next })
    }
}

/// What a page will hold, before its bytes were read.
struct LookedUp {
    found: Vec<(DocId, Seen, Option<Arc<DataFile>>)>,
    position: Lsn,
    more: bool,
    held: Held,
}

/// The file that a version's bytes are in.
pub(crate) fn file_of(state: &State, seen: &Seen) -> Option<Arc<DataFile>> {
    match seen.body {
        Body::File(location) => state.files.get(&location.file).cloned(),
        Body::Memory(_) | Body::Deleted => None,
    }
}
