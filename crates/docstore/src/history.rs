//! Old versions that open snapshots still need, once newer ones have gone into data files.
//!
//! A version stays until no snapshot lies between it and its successor. Its bytes are either in
//! memory still or in a data file, which compaction then has to copy.

use std::collections::BTreeMap;
use std::ops::Bound;

use base::clock::WallMs;
use base::document::Document;
use base::words::{CollectionId, DocId, Lsn};

use crate::location::{FileNumber, Location};

/// Where the bytes of an old version are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    Memory(Document),
    File(Location),
}

/// A version that was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Old {
    pub(crate) lsn: Lsn,
    /// The change that replaced it.
    pub(crate) until: Lsn,
    pub(crate) expires_at: Option<WallMs>,
    pub(crate) kept: Kept,
}

type Key = (CollectionId, DocId);

/// Old versions of documents of one database.
#[derive(Debug, Default)]
pub(crate) struct History {
    versions: BTreeMap<Key, Vec<Old>>,
    bytes: u64,
}

/// What an entry costs beside its document.
const ENTRY_BYTES: u64 = 160;

fn cost(old: &Old) -> u64 {
    ENTRY_BYTES
        + match &old.kept {
            Kept::Memory(document) => document.as_bytes().len() as u64,
            Kept::File(_) => 0,
        }
}

impl History {
    /// Memory that it takes, about.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.versions.is_empty()
    }

    /// Adds a version; those of one document come in ascending order.
    pub(crate) fn add(&mut self, collection: CollectionId, id: DocId, old: Old) {
        self.bytes += cost(&old);
        let versions = self.versions.entry((collection, id)).or_default();
        let at = versions.partition_point(|version| version.lsn < old.lsn);
        versions.insert(at, old);
    }

    /// What a reader at `lsn` sees of a document, if it is an old version.
    pub(crate) fn at(&self, collection: CollectionId, id: &DocId, lsn: Lsn) -> Option<&Old> {
        if self.versions.is_empty() {
            return None;
        }
        let versions = self.versions.get(&(collection, id.clone()))?;
        let newest = versions.iter().rev().find(|version| version.lsn <= lsn)?;
        (newest.until > lsn).then_some(newest)
    }

    /// Ids of a collection that have old versions, from `from` on.
    pub(crate) fn ids(
        &self,
        collection: CollectionId,
        from: Bound<&DocId>,
    ) -> impl Iterator<Item = &DocId> {
        let from = match from {
            Bound::Included(id) => Bound::Included((collection, id.clone())),
            Bound::Excluded(id) => Bound::Excluded((collection, id.clone())),
            Bound::Unbounded => Bound::Included((collection, DocId::U64(0))),
        };
        let all = self.versions.range((from, Bound::Unbounded));
        all.take_while(move |((found, _), _)| *found == collection).map(|((_, id), _)| id)
    }

    /// Drops what no snapshot at or after `oldest` sees; everything when there is none.
    pub(crate) fn prune(&mut self, oldest: Option<Lsn>) {
        let Some(oldest) = oldest else {
            *self = Self::default();
            return;
        };
        let mut freed = 0;
        self.versions.retain(|_, versions| {
            versions.retain(|old| {
                let needed = old.until > oldest;
                freed += if needed { 0 } else { cost(old) };
                needed
            });
            !versions.is_empty()
        });
        self.bytes = self.bytes.saturating_sub(freed);
    }

    /// Old versions whose records are in this file, with their documents.
    pub(crate) fn in_file(&self, file: FileNumber) -> Vec<(CollectionId, DocId, Lsn, Location)> {
        let mut found = Vec::new();
        for ((collection, id), versions) in &self.versions {
            for old in versions {
                if let Kept::File(location) = old.kept
                    && location.file == file
                {
                    found.push((*collection, id.clone(), old.lsn, location));
                }
            }
        }
        found
    }

    /// The record of an old version has moved.
    pub(crate) fn relocate(
        &mut self,
        collection: CollectionId,
        id: &DocId,
        from: Location,
        to: Location,
    ) {
        let Some(versions) = self.versions.get_mut(&(collection, id.clone())) else { return };
        for old in versions.iter_mut().filter(|old| old.kept == Kept::File(from)) {
            old.kept = Kept::File(to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOKS: CollectionId = CollectionId(1);

    fn old(lsn: u64, until: u64) -> Old {
        let kept = Kept::Memory(Document::parse(b"1").unwrap());
        Old { lsn: Lsn(lsn), until: Lsn(until), expires_at: None, kept }
    }

    #[test]
    fn a_version_is_seen_from_its_change_to_its_successors() {
        let mut history = History::default();
        let id = DocId::U64(1);
        history.add(BOOKS, id.clone(), old(5, 8));
        history.add(BOOKS, id.clone(), old(2, 5));
        let at = |lsn| history.at(BOOKS, &id, Lsn(lsn)).map(|old| old.lsn.0);
        assert_eq!(
            [at(1), at(2), at(4), at(5), at(7), at(8)],
            [None, Some(2), Some(2), Some(5), Some(5), None]
        );
    }

    #[test]
    fn what_no_snapshot_sees_is_dropped() {
        let mut history = History::default();
        let id = DocId::U64(1);
        history.add(BOOKS, id.clone(), old(2, 5));
        history.add(BOOKS, id.clone(), old(5, 8));
        history.prune(Some(Lsn(5)));
        assert!(history.at(BOOKS, &id, Lsn(4)).is_none());
        assert!(history.at(BOOKS, &id, Lsn(5)).is_some());
        history.prune(None);
        assert!(history.is_empty());
        assert_eq!(history.bytes(), 0);
    }
}
