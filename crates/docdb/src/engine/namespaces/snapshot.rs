//! Reading a whole collection at one position, for as long as somebody waits for what it is read for.

use std::sync::{Arc, Weak};

use base::clock::Instant;
use base::error::Code;
use base::words::{CollectionId, DocId};
use docstore::{Database, ScanRequest, SnapshotId, Stored};

use super::super::Engine;
use super::super::error::{EngineError, Result};

/// Documents of a page. Between two pages it is looked whether anybody still waits.
const PAGE: usize = 1000;

/// Somebody who waits for an answer: once it is dropped nobody does, and the work for it ends.
#[derive(Debug, Default)]
pub struct Asker(Arc<()>);

impl Asker {
    /// What the work looks at.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        Waiting(Arc::downgrade(&self.0))
    }
}

/// Whether somebody waits.
#[derive(Debug, Clone)]
pub struct Waiting(Weak<()>);

/// For how long work may go on.
pub(super) struct Patience<'a> {
    pub(super) engine: &'a Engine,
    pub(super) deadline: Option<Instant>,
    pub(super) waiting: &'a Waiting,
}

impl Patience<'_> {
    /// Whether to go on.
    pub(super) fn check(&self) -> Result<()> {
        if self.deadline.is_some_and(|deadline| self.engine.clock.now() >= deadline) {
            let what = "the deadline passed before the answer was found; ask for less";
            return Err(EngineError::new(Code::Timeout, what));
        }
        if self.waiting.0.strong_count() == 0 {
            return Err(EngineError::new(Code::Timeout, "nobody waits for the answer any more"));
        }
        if self.engine.is_stopping() {
            return Err(EngineError::new(Code::PoolStopped, "the server stops"));
        }
        Ok(())
    }
}

/// A position that is held.
pub(super) struct Snapshot<'a> {
    pub(super) database: &'a Database,
    id: SnapshotId,
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        self.database.release(self.id);
    }
}

impl<'a> Snapshot<'a> {
    /// The newest position.
    pub(super) fn of(database: &'a Database) -> Result<Self> {
        Ok(Self { database, id: database.snapshot()? })
    }

    /// One document.
    pub(super) fn get(&self, collection: CollectionId, id: &DocId) -> Result<Option<Stored>> {
        Ok(self.database.get_at(self.id, collection, id)?)
    }

    /// Shows every document of a collection, in the order of ids, but no more than `most`; says whether
    /// there was another.
    pub(super) fn each(
        &self,
        collection: CollectionId,
        patience: &Patience<'_>,
        most: Option<u64>,
        mut show: impl FnMut(DocId, Stored) -> Result<()>,
    ) -> Result<bool> {
        let mut left = most.unwrap_or(u64::MAX);
        let mut next = Some(ScanRequest::all(collection, PAGE).at(self.id));
        while let Some(request) = next.take() {
            patience.check()?;
            let page = self.database.scan(&request)?;
            for (id, stored) in page.documents {
                if left == 0 {
                    return Ok(true);
                }
                left -= 1;
                show(id, stored)?;
            }
            next = page.next;
        }
        Ok(false)
    }
}
