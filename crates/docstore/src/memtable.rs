//! Versions of documents that are not in a data file yet, in memory.
//!
//! A memtable keeps for each document a *chain*: its newest version and those older ones that
//! somebody may still read. A version whose LSN is not visible yet is pending: writers see it,
//! readers do not. What it is not: it knows no lock and no file, and does not know what is below
//! it but for one bit per document ([`Beneath`]), which makes counts exact.
//!
//! # Invariants
//!
//! 1. The LSNs of a chain ascend.
//! 2. Of the versions at or below the LSN that somebody still reads, only the newest is kept.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use base::clock::WallMs;
use base::document::Document;
use base::words::{CollectionId, DocId, Lsn};

/// One version of a document, or its deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// The change that made it.
    pub(crate) lsn: Lsn,
    /// When it stops being visible, if ever.
    pub(crate) expires_at: Option<WallMs>,
    /// The document; none when this is a deletion.
    pub(crate) document: Option<Document>,
}

impl Version {
    /// Whether a reader at `now` finds a document here.
    pub(crate) fn is_live(&self, now: WallMs) -> bool {
        self.document.is_some() && self.expires_at.is_none_or(|at| at > now)
    }
}

/// What a memtable's first version of a document covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beneath {
    /// No document.
    Nothing,
    /// A document with this expiry.
    Live(Option<WallMs>),
}

/// The versions of one document.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    newest: Version,
    /// Ascending; without allocation in the common case of one version.
    older: Vec<Version>,
    beneath: Beneath,
}

impl Chain {
    pub(crate) fn newest(&self) -> &Version {
        &self.newest
    }

    /// The newest version at or below `lsn`.
    pub(crate) fn at(&self, lsn: Lsn) -> Option<&Version> {
        if self.newest.lsn <= lsn {
            return Some(&self.newest);
        }
        self.older.iter().rev().find(|version| version.lsn <= lsn)
    }

    /// All versions, ascending.
    pub(crate) fn versions(&self) -> impl DoubleEndedIterator<Item = &Version> {
        self.older.iter().chain(std::iter::once(&self.newest))
    }

    /// When the newest version, or what is beneath, expires, whichever comes first.
    fn first_expiry(&self) -> Option<WallMs> {
        let beneath = match self.beneath {
            Beneath::Live(expires_at) => expires_at,
            Beneath::Nothing => None,
        };
        self.newest.expires_at.into_iter().chain(beneath).min()
    }

    /// Documents that it adds to what is beneath, at `now`.
    fn delta(&self, now: WallMs) -> i64 {
        let beneath = match self.beneath {
            Beneath::Nothing => false,
            Beneath::Live(expires_at) => expires_at.is_none_or(|at| at > now),
        };
        i64::from(self.newest.is_live(now)) - i64::from(beneath)
    }

    fn bytes(&self) -> usize {
        self.versions().map(cost).sum()
    }
}

/// Memory of one version, about: its bytes and its place in the trees.
fn cost(version: &Version) -> usize {
    VERSION_BYTES + version.document.as_ref().map_or(0, |document| document.as_bytes().len())
}

/// A node of the tree, half full, with its key, and the header of the shared bytes.
const VERSION_BYTES: usize = 192;

/// What a write of `document` will take in a memtable, bytes.
pub(crate) fn cost_of(document: Option<&Document>) -> usize {
    VERSION_BYTES + document.map_or(0, |document| document.as_bytes().len())
}

/// One collection's part.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    chains: BTreeMap<DocId, Chain>,
    counts: Counts,
}

/// What the chains of a part add to what is beneath.
#[derive(Debug, Clone, Default)]
struct Counts {
    /// Documents added by chains in which nothing expires.
    delta: i64,
    /// Chains in which something does, by when it does first.
    timed: BTreeSet<(WallMs, DocId)>,
}

impl Counts {
    fn add(&mut self, id: &DocId, chain: &Chain) {
        match chain.first_expiry() {
            None => self.delta += chain.delta(WallMs(0)),
            Some(at) => _ = self.timed.insert((at, id.clone())),
        }
    }

    /// Takes back what [`Counts::add`] did for the same chain.
    fn subtract(&mut self, id: &DocId, chain: &Chain) {
        match chain.first_expiry() {
            None => self.delta -= chain.delta(WallMs(0)),
            Some(at) => _ = self.timed.remove(&(at, id.clone())),
        }
    }
}

impl Part {
    pub(crate) fn get(&self, id: &DocId) -> Option<&Chain> {
        self.chains.get(id)
    }

    /// Chains from `from` on, in the order of ids.
    pub(crate) fn range(
        &self,
        from: Bound<&DocId>,
        to: Bound<&DocId>,
    ) -> impl Iterator<Item = (&DocId, &Chain)> {
        // A range that ends before it begins is empty, and would panic.
        let is_empty = match (from, to) {
            (Bound::Included(a), Bound::Included(b)) => a > b,
            (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => {
                a >= b
            }
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        };
        (!is_empty).then(|| self.chains.range::<DocId, _>((from, to))).into_iter().flatten()
    }

    /// Documents that it adds to what is beneath, at `now`.
    pub(crate) fn delta(&self, now: WallMs) -> i64 {
        let timed = self.counts.timed.iter().filter_map(|(_, id)| self.chains.get(id));
        self.counts.delta + timed.map(|chain| chain.delta(now)).sum::<i64>()
    }

    /// Up to `most` documents whose newest version has expired at `now`.
    pub(crate) fn expired(&self, now: WallMs, most: usize) -> Vec<(DocId, Lsn)> {
        let due = self.counts.timed.iter().take_while(|(at, _)| *at <= now);
        let chains = due.filter_map(|(_, id)| Some((id, self.chains.get(id)?)));
        chains
            .filter(|(_, chain)| chain.newest.document.is_some() && !chain.newest.is_live(now))
            .map(|(id, chain)| (id.clone(), chain.newest.lsn))
            .take(most)
            .collect()
    }
}

/// Versions of documents of one database.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memtable {
    parts: BTreeMap<CollectionId, Part>,
    bytes: usize,
    versions: u64,
}

impl Memtable {
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Memory that it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Versions that it holds.
    pub(crate) fn versions(&self) -> u64 {
        self.versions
    }

    pub(crate) fn part(&self, collection: CollectionId) -> Option<&Part> {
        self.parts.get(&collection)
    }

    pub(crate) fn parts(&self) -> impl Iterator<Item = (CollectionId, &Part)> {
        self.parts.iter().map(|(collection, part)| (*collection, part))
    }

    pub(crate) fn get(&self, collection: CollectionId, id: &DocId) -> Option<&Chain> {
        self.parts.get(&collection)?.get(id)
    }

    /// Adds a version above all others of its document. Versions that nobody at or after
    /// `oldest_reader` sees are dropped. `beneath` is asked when the document is new here.
    ///
    /// Costs one search of the tree: it happens while writers and readers wait.
    pub(crate) fn insert(
        &mut self,
        collection: CollectionId,
        id: DocId,
        version: Version,
        oldest_reader: Lsn,
        beneath: impl FnOnce(&DocId) -> Beneath,
    ) {
        let Part { chains, counts } = self.parts.entry(collection).or_default();
        self.bytes += cost(&version);
        self.versions += 1;
        match chains.entry(id) {
            Entry::Vacant(slot) => {
                let beneath = beneath(slot.key());
                let chain = Chain { newest: version, older: Vec::new(), beneath };
                counts.add(slot.key(), &chain);
                slot.insert(chain);
            }
            Entry::Occupied(mut slot) => {
                counts.subtract(slot.key(), slot.get());
                let chain = slot.get_mut();
                debug_assert!(chain.newest.lsn < version.lsn, "LSNs ascend");
                let before = chain.bytes();
                let count = chain.older.len() + 1;
                let newest = std::mem::replace(&mut chain.newest, version);
                let added = cost(&chain.newest);
                chain.older.push(newest);
                let seen = chain.older.iter().rposition(|version| version.lsn <= oldest_reader);
                if chain.newest.lsn <= oldest_reader {
                    chain.older.clear();
                } else if let Some(seen) = seen {
                    chain.older.drain(..seen);
                }
                if chain.older.is_empty() {
                    chain.older = Vec::new();
                }
                self.bytes = (self.bytes + chain.bytes()).saturating_sub(before + added);
                self.versions -= (count - chain.older.len()) as u64;
                counts.add(slot.key(), slot.get());
            }
        }
    }

    /// Takes back every version above `last`: their commit failed.
    pub(crate) fn take_back(&mut self, last: Lsn) {
        let Self { parts, bytes, versions } = self;
        parts.retain(|_, part| {
            let hit = part.chains.iter().filter(|(_, chain)| chain.newest.lsn > last);
            let hit: Vec<DocId> = hit.map(|(id, _)| id.clone()).collect();
            for id in hit {
                let Some(chain) = part.chains.get_mut(&id) else { continue };
                part.counts.subtract(&id, chain);
                while chain.newest.lsn > last {
                    *bytes = bytes.saturating_sub(cost(&chain.newest));
                    *versions -= 1;
                    match chain.older.pop() {
                        Some(older) => chain.newest = older,
                        None => {
                            part.chains.remove(&id);
                            break;
                        }
                    }
                }
                if let Some(chain) = part.chains.get(&id) {
                    part.counts.add(&id, chain);
                }
            }
            !part.chains.is_empty()
        });
    }

    /// Forgets a collection.
    pub(crate) fn drop_collection(&mut self, collection: CollectionId) {
        let Some(part) = self.parts.remove(&collection) else { return };
        for chain in part.chains.values() {
            self.bytes = self.bytes.saturating_sub(chain.bytes());
            self.versions -= chain.older.len() as u64 + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOKS: CollectionId = CollectionId(1);

    fn version(lsn: u64, text: Option<&str>) -> Version {
        let document = text.map(|text| Document::parse(text.as_bytes()).unwrap());
        Version { lsn: Lsn(lsn), expires_at: None, document }
    }

    fn put(table: &mut Memtable, id: u64, lsn: u64, oldest_reader: u64) {
        let oldest = Lsn(oldest_reader);
        let nothing = |_: &DocId| Beneath::Nothing;
        table.insert(BOOKS, DocId::U64(id), version(lsn, Some("1")), oldest, nothing);
    }

    fn lsns(table: &Memtable, id: u64) -> Vec<u64> {
        let chain = table.get(BOOKS, &DocId::U64(id)).unwrap();
        chain.versions().map(|version| version.lsn.0).collect()
    }

    #[test]
    fn versions_that_nobody_reads_are_dropped_and_others_kept() {
        let mut table = Memtable::default();
        put(&mut table, 1, 1, 0);
        put(&mut table, 1, 2, 0);
        put(&mut table, 1, 3, 0);
        assert_eq!(lsns(&table, 1), [1, 2, 3]);
        put(&mut table, 1, 4, 2);
        assert_eq!(lsns(&table, 1), [2, 3, 4], "2 is what a reader at 2 sees");
        put(&mut table, 1, 5, 5);
        assert_eq!(lsns(&table, 1), [5]);
        assert_eq!(table.versions(), 1);
        let one = table.bytes();
        put(&mut table, 2, 6, 6);
        assert_eq!(table.bytes(), 2 * one);
    }

    #[test]
    fn a_reader_sees_the_newest_version_at_or_below_its_position() {
        let mut table = Memtable::default();
        for lsn in [2, 4, 6] {
            put(&mut table, 1, lsn, 0);
        }
        let chain = table.get(BOOKS, &DocId::U64(1)).unwrap();
        let at = |lsn| chain.at(Lsn(lsn)).map(|version| version.lsn.0);
        assert_eq!([at(1), at(2), at(5), at(9)], [None, Some(2), Some(4), Some(6)]);
    }

    #[test]
    fn taking_back_restores_what_was_there_before() {
        let mut table = Memtable::default();
        put(&mut table, 1, 1, 0);
        let before = (table.bytes(), table.versions());
        put(&mut table, 1, 2, 0);
        put(&mut table, 2, 3, 0);
        table.take_back(Lsn(1));
        assert_eq!(lsns(&table, 1), [1]);
        assert!(table.get(BOOKS, &DocId::U64(2)).is_none());
        assert_eq!((table.bytes(), table.versions()), before);
        assert_eq!(table.part(BOOKS).unwrap().delta(WallMs(0)), 1);
        table.take_back(Lsn::ZERO);
        assert!(table.is_empty());
    }

    #[test]
    fn counts_follow_expiry_above_and_beneath() {
        let mut table = Memtable::default();
        let timed = |lsn, at| Version { expires_at: Some(WallMs(at)), ..version(lsn, Some("1")) };
        table.insert(BOOKS, DocId::U64(1), timed(1, 10), Lsn::ZERO, |_| Beneath::Nothing);
        let covered = |_: &DocId| Beneath::Live(Some(WallMs(5)));
        table.insert(BOOKS, DocId::U64(2), version(2, None), Lsn::ZERO, covered);
        let covered = |_: &DocId| Beneath::Live(None);
        table.insert(BOOKS, DocId::U64(3), version(3, None), Lsn::ZERO, covered);
        let part = table.part(BOOKS).unwrap();
        assert_eq!(part.delta(WallMs(0)), 1 - 1 - 1);
        assert_eq!(part.delta(WallMs(5)), 1 - 1);
        assert_eq!(part.delta(WallMs(10)), -1);
        assert_eq!(part.expired(WallMs(10), 9), [(DocId::U64(1), Lsn(1))]);
    }
}
