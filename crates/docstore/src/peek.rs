//! Reads that touch no file: for callers on threads that must not wait for a disk.

use base::words::{CollectionId, DocId};

use crate::database::Database;
use crate::error::{Result, StoreError};
use crate::request::Stored;
use crate::state::Body;

/// What memory alone says of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peeked {
    /// This is what [`Database::get`] would answer.
    Known(Option<Stored>),
    /// Its bytes are in a data file: ask [`Database::get`].
    OnDisk,
}

impl Database {
    /// A document, if that can be said without reading a file.
    ///
    /// # Errors
    /// As [`Database::get`].
    pub fn peek(&self, collection: CollectionId, id: &DocId) -> Result<Peeked> {
        let inner = &self.inner;
        inner.check_open()?;
        let seen = {
            let state = inner.read();
            let position = inner.position();
            state.collections.find(collection, position)?;
            let Some(seen) = state.at(collection, id, position) else {
                return Ok(Peeked::Known(None));
            };
            if let Some(lsn) = state.lost(collection, id, seen.lsn) {
                return Err(StoreError::DocCorrupt { id: id.clone(), lsn });
            }
            seen
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
            Body::File(_) => Peeked::OnDisk,
        })
    }
}
