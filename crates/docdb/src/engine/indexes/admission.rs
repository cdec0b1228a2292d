//! Whether writes may be let in, as far as the indexes of their collections go: one that is too far behind, or has too
//! much in memory, holds them back until it has caught up. Other collections go on.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use base::error::Code;
use base::words::{Change, CollectionId, Lsn};
use docstore::{Action, Database, Write};

use super::state::{Progress, Shown};
use super::{Indexes, Indexing};
use crate::engine::error::{EngineError, Result};

/// Bytes that a write brings to the index of its collection, about.
fn bytes_of(action: &Action) -> usize {
    match action {
        Action::Create(document, _) | Action::Update(document, _) | Action::Upsert(document, _) => {
            document.as_bytes().len()
        }
        Action::Patch(_) | Action::Delete => 0,
    }
}

impl Indexing {
    /// Whether writes may be let in now.
    ///
    /// # Errors
    /// `QueueFull` when an index is too far behind, or has too much in memory: they should come again soon.
    pub(in crate::engine) fn admit(&self, database: &Database, writes: &[Write]) -> Result<()> {
        let bytes = writes.iter().map(|write| (write.collection, bytes_of(&write.action)));
        self.admit_bytes(database, bytes)
    }

    /// The same of what a transaction has written.
    ///
    /// # Errors
    /// As [`Indexing::admit`].
    pub(in crate::engine) fn admit_changes(
        &self,
        database: &Database,
        changes: &[Change],
    ) -> Result<()> {
        let bytes = changes.iter().filter_map(|change| match change {
            Change::Put { collection, document, .. } => {
                Some((*collection, document.as_bytes().len()))
            }
            Change::Delete { collection, .. } => Some((*collection, 0)),
            Change::CreateCollection { .. }
            | Change::DropCollection { .. }
            | Change::SetProperty { .. } => None,
        });
        self.admit_bytes(database, bytes)
    }

    fn admit_bytes(
        &self,
        database: &Database,
        writes: impl Iterator<Item = (CollectionId, usize)>,
    ) -> Result<()> {
        let Some(indexes) = self.shared.of(database.id()) else { return Ok(()) };
        if indexes.shown().is_empty() {
            return Ok(());
        }
        let mut bytes: BTreeMap<CollectionId, usize> = BTreeMap::new();
        for (collection, more) in writes {
            *bytes.entry(collection).or_default() += more;
        }
        match bytes.into_iter().find(|(collection, bytes)| !indexes.admits(*collection, *bytes)) {
            None => Ok(()),
            Some((collection, _)) => {
                let what = format!(
                    "the search index of the collection is too far behind; try again later \
                     collection={collection}"
                );
                Err(EngineError::new(Code::QueueFull, what))
            }
        }
    }
}

impl Indexes {
    /// Changes that were written and not applied.
    pub(super) fn lag(&self) -> u64 {
        self.database.durable().0.saturating_sub(self.position().0)
    }

    fn admits(&self, collection: CollectionId, bytes: usize) -> bool {
        let lag_max = self.shared.options.lag_changes_max;
        let live = match self.shown().get(&collection) {
            Some(Shown::Live(live)) => std::sync::Arc::clone(live),
            Some(Shown::Building(progress, _)) => {
                let is_let_in = self.lag_of(progress) <= lag_max;
                if !is_let_in {
                    self.shared.builder.wake();
                }
                return is_let_in;
            }
            Some(Shown::Opening | Shown::Failed(_)) | None => return true,
        };
        if self.lag() > lag_max {
            self.shared.keeper.wake();
            return false;
        }
        let is_let_in = live.index.admits(bytes);
        if !is_let_in {
            self.shared.flusher.wake();
        }
        is_let_in
    }

    /// How far an index in the making is behind; not at all as long as it takes documents, because what is written
    /// meanwhile is no more than the log keeps for it.
    fn lag_of(&self, progress: &Progress) -> u64 {
        match Lsn(progress.position.load(Ordering::Relaxed)) {
            Lsn::ZERO => 0,
            position => self.database.durable().0.saturating_sub(position.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_write_its_document_counts() {
        let document = base::document::Document::parse(br#"{"a":1}"#).unwrap();
        let expiry = docstore::Expiry::Never;
        assert_eq!(bytes_of(&Action::Upsert(document, expiry)), 7);
        assert_eq!(bytes_of(&Action::Delete), 0);
    }
}
