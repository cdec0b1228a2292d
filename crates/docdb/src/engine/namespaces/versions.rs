//! The documents of rows, as they were at the position at which the rows were found.
//!
//! An index is asked at the position that it has reached, which is never before that of the snapshot of the
//! documents and may be behind it by a few writes. Documents that these wrote are read from the change feed, the
//! others from the snapshot: so an answer shows of every row the version that was found.

use std::collections::{HashMap, HashSet};

use base::words::{Change, CollectionId, DocId, Lsn};
use docstore::{Database, Stored};

use super::super::error::Result;
use super::snapshot::Snapshot;

/// The documents of one collection at one position.
pub(super) struct Versions<'a> {
    snapshot: &'a Snapshot<'a>,
    collection: CollectionId,
    /// What was written behind the snapshot; none of what was removed.
    newer: HashMap<DocId, Option<Stored>>,
}

impl<'a> Versions<'a> {
    /// As the snapshot has them.
    pub(super) fn of(snapshot: &'a Snapshot<'a>, collection: CollectionId) -> Self {
        Self { snapshot, collection, newer: HashMap::new() }
    }

    /// Those of `ids` as they were at the position `to`. The snapshot has every change up to `from`, and none behind
    /// `to`.
    pub(super) fn between(
        snapshot: &'a Snapshot<'a>,
        collection: CollectionId,
        (from, to): (Lsn, Lsn),
        ids: &HashSet<DocId>,
    ) -> Result<Self> {
        let newer = if from < to && !ids.is_empty() {
            written(snapshot.database, collection, (from, to), ids)?
        } else {
            HashMap::new()
        };
        Ok(Self { snapshot, collection, newer })
    }

    /// A document; none of one that is gone, or whose time has come since it was found.
    pub(super) fn get(&self, id: &DocId) -> Result<Option<Stored>> {
        match self.newer.get(id) {
            None => self.snapshot.get(self.collection, id),
            Some(found) => {
                let now = self.snapshot.database.now();
                let is_visible = |stored: &&Stored| stored.expires_at.is_none_or(|at| now < at);
                Ok(found.as_ref().filter(is_visible).cloned())
            }
        }
    }
}

/// What was written of some documents behind one position and up to another.
fn written(
    database: &Database,
    collection: CollectionId,
    (from, to): (Lsn, Lsn),
    ids: &HashSet<DocId>,
) -> Result<HashMap<DocId, Option<Stored>>> {
    let mut newer = HashMap::new();
    let mut feed = database.changes(from)?;
    while let Some(entry) = feed.next()? {
        if entry.lsn > to {
            break;
        }
        match entry.change {
            Change::Put { collection: owner, id, expires_at, document, .. }
                if owner == collection && ids.contains(&id) =>
            {
                newer.insert(id, Some(Stored { revision: entry.lsn, expires_at, document }));
            }
            Change::Delete { collection: owner, id, .. }
                if owner == collection && ids.contains(&id) =>
            {
                newer.insert(id, None);
            }
            Change::Put { .. }
            | Change::Delete { .. }
            | Change::CreateCollection { .. }
            | Change::DropCollection { .. }
            | Change::SetProperty { .. } => {}
        }
    }
    Ok(newer)
}
