//! What is known of a database's documents: memtables over the index over data files.
//!
//! Reads go through the active memtable, the frozen one that is being flushed, and the index; a
//! reader at an older position also through the history. All of it is behind one lock that is
//! never held over I/O: a lookup answers where the bytes are, and the caller fetches them.
//!
//! # Invariants
//!
//! 1. The memtables hold everything above the last checkpoint's LSN, and nothing else but copies of
//!    documents that were healed.
//! 2. A frozen memtable that a flush works on does not change.
//! 3. The index changes by being replaced.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use base::clock::WallMs;
use base::document::Document;
use base::words::{Change, CollectionId, DocId, Lsn};
use wal::ReaderMark;

use crate::collections::Collections;
use crate::data::DataFile;
use crate::history::{History, Kept};
use crate::index::{Found, Index};
use crate::location::{FileNumber, Location};
use crate::memtable::{Beneath, Memtable, Version};

/// A version of a document, wherever it is.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) lsn: Lsn,
    pub(crate) expires_at: Option<WallMs>,
    pub(crate) body: Body,
}

/// Where its bytes are.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// It is a deletion.
    Deleted,
    Memory(Document),
    File(Location),
}

impl Seen {
    /// Whether a request at `now` finds a document here.
    pub(crate) fn is_live(&self, now: WallMs) -> bool {
        !matches!(self.body, Body::Deleted) && self.expires_at.is_none_or(|at| at > now)
    }

    /// Where its bytes are, if they are in a data file.
    pub(crate) fn place(&self) -> Option<Location> {
        match self.body {
            Body::File(location) => Some(location),
            Body::Memory(_) | Body::Deleted => None,
        }
    }

    fn of_version(version: &Version) -> Self {
        let body = version.document.clone().map_or(Body::Deleted, Body::Memory);
        Self { lsn: version.lsn, expires_at: version.expires_at, body }
    }

    fn of_found(found: Found) -> Self {
        match found {
            Found::Live(entry) => Self {
                lsn: entry.lsn,
                expires_at: entry.expires_at,
                body: Body::File(entry.location),
            },
            Found::Deleted(lsn) => Self { lsn, expires_at: None, body: Body::Deleted },
        }
    }
}

/// The documents of one database.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) active: Memtable,
    pub(crate) frozen: Option<Arc<Memtable>>,
    /// The newest LSN that the frozen memtable may hold.
    pub(crate) frozen_upto: Lsn,
    pub(crate) index: Arc<Index>,
    pub(crate) history: History,
    pub(crate) collections: Collections,
    pub(crate) files: BTreeMap<FileNumber, Arc<DataFile>>,
    /// Documents whose newest version is lost, with that version.
    pub(crate) quarantine: BTreeMap<(CollectionId, DocId), Lsn>,
    /// Keeps what the log has of the healed documents in the active memtable.
    pub(crate) healed: HealedMark,
    /// The same for the frozen memtable.
    pub(crate) frozen_healed: HealedMark,
}

/// Holds the log behind the oldest of some documents that were made again from it, until they are
/// as safe elsewhere: their places in the data files are damaged.
#[derive(Debug, Default)]
pub(crate) struct HealedMark(Option<ReaderMark>);

impl HealedMark {
    /// Holds the log for what `other` holds it, too.
    pub(crate) fn join(&mut self, other: Self) {
        let Some(other) = other.0 else { return };
        if self.0.as_ref().is_none_or(|mark| other.lsn() < mark.lsn()) {
            self.0 = Some(other);
        }
    }

    /// Everything up to here is not needed.
    pub(crate) fn lsn(&self) -> Option<Lsn> {
        self.0.as_ref().map(ReaderMark::lsn)
    }
}

impl From<ReaderMark> for HealedMark {
    fn from(mark: ReaderMark) -> Self {
        Self(Some(mark))
    }
}

impl State {
    /// The newest version of a document, pending ones included.
    pub(crate) fn newest(&self, collection: CollectionId, id: &DocId) -> Option<Seen> {
        let chain = self.memtables().find_map(|table| table.get(collection, id));
        match chain {
            Some(chain) => Some(Seen::of_version(chain.newest())),
            None => self.index.get(collection, id).map(Seen::of_found),
        }
    }

    /// The revision of the newest document, pending ones included; zero when there is none or it
    /// was deleted.
    pub(crate) fn revision(&self, collection: CollectionId, id: &DocId) -> Lsn {
        let chain = self.memtables().find_map(|table| table.get(collection, id));
        match chain {
            Some(chain) if chain.newest().document.is_none() => Lsn::ZERO,
            Some(chain) => chain.newest().lsn,
            None => match self.index.get(collection, id) {
                Some(Found::Live(entry)) => entry.lsn,
                Some(Found::Deleted(_)) | None => Lsn::ZERO,
            },
        }
    }

    /// What a reader at `lsn` sees of a document.
    pub(crate) fn at(&self, collection: CollectionId, id: &DocId, lsn: Lsn) -> Option<Seen> {
        let chains = self.memtables().filter_map(|table| table.get(collection, id));
        if let Some(version) = chains.into_iter().find_map(|chain| chain.at(lsn)) {
            return Some(Seen::of_version(version));
        }
        match self.index.get(collection, id) {
            Some(found) if Seen::of_found(found).lsn <= lsn => Some(Seen::of_found(found)),
            Some(_) | None => self.history.at(collection, id, lsn).map(|old| Seen {
                lsn: old.lsn,
                expires_at: old.expires_at,
                body: match &old.kept {
                    Kept::Memory(document) => Body::Memory(document.clone()),
                    Kept::File(location) => Body::File(*location),
                },
            }),
        }
    }

    /// What [`State::at`] would say if it forgot the memtables.
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn stale(&self, collection: CollectionId, id: &DocId, lsn: Lsn) -> Option<Seen> {
        let indexed = self.index.get(collection, id).map(Seen::of_found);
        indexed.filter(|seen| seen.lsn <= lsn).or_else(|| self.at(collection, id, lsn))
    }

    /// The version of a document that is lost, if `lsn` is the one.
    pub(crate) fn lost(&self, collection: CollectionId, id: &DocId, lsn: Lsn) -> Option<Lsn> {
        if self.quarantine.is_empty() {
            return None;
        }
        let lost = self.quarantine.get(&(collection, id.clone())).copied();
        lost.filter(|lost| *lost == lsn)
    }

    /// Documents whose newest version is lost. One that was written again is lost no more.
    pub(crate) fn quarantined(&self) -> impl Iterator<Item = (&(CollectionId, DocId), &Lsn)> {
        let newest = |collection: CollectionId, id: &DocId| self.revision(collection, id);
        self.quarantine
            .iter()
            .filter(move |((collection, id), lsn)| newest(*collection, id) == **lsn)
    }

    fn memtables(&self) -> impl Iterator<Item = &Memtable> {
        std::iter::once(&self.active).chain(self.frozen.as_deref())
    }

    /// Memory of both memtables.
    pub(crate) fn memtable_bytes(&self) -> u64 {
        self.memtables().map(|table| table.bytes() as u64).sum()
    }

    /// Versions that the memtables hold.
    pub(crate) fn memtable_versions(&self) -> u64 {
        self.memtables().map(Memtable::versions).sum()
    }

    /// Deletions that the memtables hold.
    pub(crate) fn tombstones(&self) -> u64 {
        let parts = self.memtables().flat_map(Memtable::parts);
        let chains = parts.flat_map(|(_, part)| part.range(Bound::Unbounded, Bound::Unbounded));
        chains.filter(|(_, chain)| chain.newest().document.is_none()).count() as u64
    }

    /// Up to `most` documents of a collection that have expired at `now`.
    pub(crate) fn expired(
        &self,
        collection: CollectionId,
        now: WallMs,
        most: usize,
    ) -> Vec<(DocId, Lsn)> {
        // What was written again since is found above the place where it expired. Left out at once,
        // it does not take the place of others.
        let is_newest = |(id, lsn): &(DocId, Lsn)| self.revision(collection, id) == *lsn;
        let parts = self.memtables().filter_map(|table| table.part(collection));
        let in_memory = parts.flat_map(|part| part.expired(now, usize::MAX));
        let mut found: Vec<(DocId, Lsn)> = in_memory.filter(is_newest).take(most).collect();
        let mut after = None;
        while found.len() < most {
            let page = self.index.expired(collection, now, after.as_ref(), most);
            let expired = page.documents.into_iter().map(|(id, entry)| (id, entry.lsn));
            found.extend(expired.filter(is_newest));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        found.sort_unstable();
        found.dedup();
        found.truncate(most);
        found
    }

    /// Live documents of a collection at `now`, pending changes included.
    pub(crate) fn count(&self, collection: CollectionId, now: WallMs) -> u64 {
        let parts = self.memtables().filter_map(|table| table.part(collection));
        let delta: i64 = parts.map(|part| part.delta(now)).sum();
        self.index.live_at(collection, now).saturating_add_signed(delta)
    }

    /// Applies a change that the log has, or is about to have, at `lsn`.
    pub(crate) fn apply(&mut self, lsn: Lsn, change: Change, oldest_reader: Lsn) {
        match change {
            Change::Put { collection, id, expires_at, document, replaces: _ } => {
                let version = Version { lsn, expires_at, document: Some(document) };
                self.insert(collection, id, version, oldest_reader);
            }
            Change::Delete { collection, id, replaces: _ } => {
                let version = Version { lsn, expires_at: None, document: None };
                self.insert(collection, id, version, oldest_reader);
            }
            Change::CreateCollection { collection, name } => {
                self.collections.create(collection, name, lsn);
            }
            Change::DropCollection { collection } => self.collections.drop(collection, lsn),
            Change::SetProperty { collection, property, value } => {
                self.collections.set_property(collection, property, value, lsn);
            }
        }
    }

    fn insert(&mut self, collection: CollectionId, id: DocId, version: Version, reader: Lsn) {
        if self.collections.get(collection).is_none_or(|found| found.dropped.is_some()) {
            return;
        }
        self.collections.touch(collection, version.lsn);
        let Self { active, frozen, index, .. } = self;
        let beneath = |id: &DocId| beneath(frozen.as_deref(), index, collection, id);
        active.insert(collection, id, version, reader, beneath);
    }

    /// Puts a document that was healed back where reads find it and the next flush writes it; `mark`
    /// keeps what the log has of it until then. Not when it was written again meanwhile.
    pub(crate) fn heal(
        &mut self,
        collection: CollectionId,
        id: &DocId,
        version: Version,
        mark: ReaderMark,
    ) -> bool {
        let in_memory = self.memtables().any(|table| table.get(collection, id).is_some());
        if in_memory || self.revision(collection, id) != version.lsn {
            return false;
        }
        let beneath = Beneath::Live(version.expires_at);
        let lsn = version.lsn;
        self.active.insert(collection, id.clone(), version, lsn, |_| beneath);
        self.healed.join(mark.into());
        true
    }

    /// Takes back every change above `last`: their commit failed.
    pub(crate) fn take_back(&mut self, last: Lsn) {
        self.active.take_back(last);
        if last < self.frozen_upto {
            // What comes again under these LSNs goes into the active memtable.
            self.frozen_upto = last;
            if let Some(frozen) = &mut self.frozen {
                // Nobody else holds it: a flush takes it only once all of it is durable.
                Arc::make_mut(frozen).take_back(last);
            }
        }
        self.collections.take_back(last);
    }

    /// Documents of a collection as a reader at `lsn` sees them, in the order of ids, deletions
    /// and expired ones left out.
    pub(crate) fn range<'a>(
        &'a self,
        collection: CollectionId,
        from: Bound<&'a DocId>,
        to: Bound<&'a DocId>,
        lsn: Lsn,
        now: WallMs,
    ) -> impl Iterator<Item = (DocId, Seen)> + 'a {
        let ids = Ids::new(self, collection, from, to);
        ids.filter_map(move |(id, only_indexed)| {
            let seen = match only_indexed {
                Some(seen) if seen.lsn <= lsn => Some(seen),
                Some(_) | None => self.at(collection, &id, lsn),
            };
            seen.filter(|seen| seen.is_live(now)).map(|seen| (id, seen))
        })
    }

    /// Whether anything in a range was changed after `lsn`, pending changes included.
    pub(crate) fn changed_since(
        &self,
        collection: CollectionId,
        from: Bound<&DocId>,
        to: Bound<&DocId>,
        lsn: Lsn,
    ) -> bool {
        let parts = self.memtables().filter_map(|table| table.part(collection));
        let mut chains = parts.flat_map(|part| part.range(from, to));
        chains.any(|(_, chain)| chain.newest().lsn > lsn)
            || self.index.range(collection, from, to).any(|(_, entry)| entry.lsn > lsn)
            || self.deleted_since(collection, from, to, lsn)
    }

    /// Whether a document of a range was deleted after `lsn` and flushed since: the index forgets
    /// deletions, but the history has what the snapshot at `lsn` saw.
    fn deleted_since(
        &self,
        collection: CollectionId,
        from: Bound<&DocId>,
        to: Bound<&DocId>,
        lsn: Lsn,
    ) -> bool {
        let inside = |id: &&DocId| match to {
            Bound::Unbounded => true,
            Bound::Included(to) => *id <= to,
            Bound::Excluded(to) => *id < to,
        };
        let mut ids = self.history.ids(collection, from).take_while(inside);
        ids.any(|id| self.history.at(collection, id, lsn).is_some())
    }
}

/// What is beneath the active memtable.
fn beneath(
    frozen: Option<&Memtable>,
    index: &Index,
    collection: CollectionId,
    id: &DocId,
) -> Beneath {
    if let Some(chain) = frozen.and_then(|table| table.get(collection, id)) {
        let newest = chain.newest();
        return match newest.document {
            Some(_) => Beneath::Live(newest.expires_at),
            None => Beneath::Nothing,
        };
    }
    match index.get(collection, id) {
        Some(Found::Live(entry)) => Beneath::Live(entry.expires_at),
        Some(Found::Deleted(_)) | None => Beneath::Nothing,
    }
}

/// The ids of a collection in order, from every place that has one; with what the index says of
/// those that only it knows.
struct Ids<'a> {
    active: Peekable<Box<dyn Iterator<Item = &'a DocId> + 'a>>,
    frozen: Peekable<Box<dyn Iterator<Item = &'a DocId> + 'a>>,
    history: Peekable<Box<dyn Iterator<Item = &'a DocId> + 'a>>,
    index: Peekable<Box<dyn Iterator<Item = (DocId, Seen)> + 'a>>,
}

impl<'a> Ids<'a> {
    fn new(
        state: &'a State,
        collection: CollectionId,
        from: Bound<&'a DocId>,
        to: Bound<&'a DocId>,
    ) -> Self {
        let chains = |table: Option<&'a Memtable>| {
            let part = table.and_then(|table| table.part(collection));
            let ids = part.into_iter().flat_map(move |part| part.range(from, to));
            let ids: Box<dyn Iterator<Item = &'a DocId> + 'a> = Box::new(ids.map(|(id, _)| id));
            ids.peekable()
        };
        let inside = move |id: &&DocId| match to {
            Bound::Unbounded => true,
            Bound::Included(to) => *id <= to,
            Bound::Excluded(to) => *id < to,
        };
        let history: Box<dyn Iterator<Item = &'a DocId> + 'a> =
            Box::new(state.history.ids(collection, from).take_while(inside));
        let index: Box<dyn Iterator<Item = (DocId, Seen)> + 'a> = Box::new(
            state
                .index
                .range(collection, from, to)
                .map(|(id, entry)| (id, Seen::of_found(Found::Live(entry)))),
        );
        Self {
            active: chains(Some(&state.active)),
            frozen: chains(state.frozen.as_deref()),
            history: history.peekable(),
            index: index.peekable(),
        }
    }
}

impl Iterator for Ids<'_> {
    type Item = (DocId, Option<Seen>);

    fn next(&mut self) -> Option<Self::Item> {
        let Self { active, frozen, history, index } = self;
        let known = [active.peek(), frozen.peek(), history.peek()];
        let other = known.into_iter().flatten().min().copied();
        let only_indexed = match (index.peek(), other) {
            (Some((id, _)), Some(other)) => id < other,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if only_indexed {
            return index.next().map(|(id, seen)| (id, Some(seen)));
        }
        let id = other?.clone();
        for source in [active, frozen, history] {
            source.next_if(|found| **found == id);
        }
        index.next_if(|(found, _)| *found == id);
        Some((id, None))
    }
}
