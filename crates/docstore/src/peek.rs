//! Reads that wait for no device: for callers on threads that must not. Memory answers them, or the
//! system's page cache.

use base::words::{CollectionId, DocId};

use crate::data::{Expected, StoredRecord};
use crate::database::Database;
use crate::error::{Result, StoreError};
use crate::read::file_of;
use crate::request::Stored;
use crate::state::Body;

/// What can be said of a document without waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peeked {
    /// This is what [`Database::get`] would answer.
    Known(Option<Stored>),
    /// Its bytes have to come from a device, or are damaged: ask [`Database::get`].
    OnDisk,
}

impl Database {
    /// A document, if that can be said without waiting for a device.
    ///
    /// # Errors
    /// As [`Database::get`].
    pub fn peek(&self, collection: CollectionId, id: &DocId) -> Result<Peeked> {
        let inner = &self.inner;
        inner.check_open()?;
        let (seen, file) = {
            let state = inner.read();
            let position = inner.position();
            state.collections.find(collection, position)?;
            let Some(seen) = state.at(collection, id, position) else {
                return Ok(Peeked::Known(None));
            };
            if let Some(lsn) = state.lost(collection, id, seen.lsn) {
                return Err(StoreError::DocCorrupt { id: id.clone(), lsn });
            }
            let file = file_of(&state, &seen);
            (seen, file)
        };
        // Few documents expire, and asking for the time takes a lock.
        if seen.expires_at.is_some_and(|at| at <= inner.log.wall()) {
            return Ok(Peeked::Known(None));
        }
        Ok(match seen.body {
            Body::Memory(document) => {
                let (revision, expires_at) = (seen.lsn, seen.expires_at);
                Peeked::Known(Some(Stored { revision, expires_at, document }))
            }
            Body::Deleted => Peeked::Known(None),
            Body::File(location) => {
                let expected = Expected { collection, id, lsn: seen.lsn };
                let found = file.and_then(|file| file.read_at_hand(location, &expected));
                let stored = |record: StoredRecord| {
                    let (revision, expires_at) = (seen.lsn, record.header.expires_at);
                    record.document.map(|document| Stored { revision, expires_at, document })
                };
                found.and_then(stored).map_or(Peeked::OnDisk, |found| Peeked::Known(Some(found)))
            }
        })
    }
}
