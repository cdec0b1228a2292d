//! Content that goes in parts, each tried again by itself; one part is in memory at a time.
//!
//! An upload that is given up leaves nothing that has a name. What the provider keeps of its parts is asked to be
//! dropped; where that fails too, the bucket's rule for incomplete uploads removes it.

use std::sync::Arc;

use object_store::PutPayload;
use object_store::multipart::PartId;
use object_store::path::Path;

use super::RemoteStore;
use super::failure::Doing;
use crate::storage::{Name, Source, Store, StoreError, StoreErrorKind, WHOLE_BYTES_MAX};

/// As [`Store::put_new`], for long content.
pub(super) fn put(
    store: &RemoteStore,
    name: &Name,
    content: &dyn Source,
) -> Result<(), StoreError> {
    must_be_free(store, name)?;
    let path = store.path(name);
    let id = store.tries(|_| {
        let (backend, path) = (Arc::clone(&store.backend), path.clone());
        store.wait(name, Doing::Writing, async move { backend.create_multipart(&path).await })
    })?;
    let upload = Upload { store, name, path, id };
    let done = upload.parts(content).and_then(|parts| upload.complete(parts, content.len()));
    if done.is_err() {
        upload.abort();
    }
    done
}

fn must_be_free(store: &RemoteStore, name: &Name) -> Result<(), StoreError> {
    match store.len_of(name)? {
        Some(_) => Err(StoreError::new(StoreErrorKind::AlreadyExists, name, "it is there")),
        None => Ok(()),
    }
}

struct Upload<'a> {
    store: &'a RemoteStore,
    name: &'a Name,
    path: Path,
    id: String,
}

impl Upload<'_> {
    fn parts(&self, content: &dyn Source) -> Result<Vec<PartId>, StoreError> {
        let mut parts = Vec::new();
        let mut at = 0;
        while at < content.len() {
            let end = content.len().min(at.saturating_add(WHOLE_BYTES_MAX));
            let bytes = content
                .read(at..end)
                .map_err(|error| StoreError::io(StoreErrorKind::Read, self.name, &error))?;
            let number = parts.len();
            let part = self.store.tries(|_| {
                let backend = Arc::clone(&self.store.backend);
                let (path, id) = (self.path.clone(), self.id.clone());
                let payload = PutPayload::from(bytes.clone());
                let request = async move { backend.put_part(&path, &id, number, payload).await };
                self.store.wait(self.name, Doing::Writing, request)
            })?;
            parts.push(part);
            at = end;
        }
        Ok(parts)
    }

    /// Joins the parts. When the answer was lost, the provider does not know the upload any more, and the object is
    /// there.
    fn complete(&self, parts: Vec<PartId>, len: u64) -> Result<(), StoreError> {
        must_be_free(self.store, self.name)?;
        let joined = self.store.tries(|_| {
            let backend = Arc::clone(&self.store.backend);
            let (path, id, parts) = (self.path.clone(), self.id.clone(), parts.clone());
            let request = async move { backend.complete_multipart(&path, &id, parts).await };
            self.store.wait(self.name, Doing::Writing, request).map(|_| ())
        });
        match joined {
            Err(error)
                if error.kind() == StoreErrorKind::NotFound
                    && self.store.len_of(self.name)? == Some(len) =>
            {
                Ok(())
            }
            other => other,
        }
    }

    fn abort(&self) {
        let backend = Arc::clone(&self.store.backend);
        let (path, id) = (self.path.clone(), self.id.clone());
        let request = async move { backend.abort_multipart(&path, &id).await };
        // Best effort: see the top of this file.
        _ = self.store.wait(self.name, Doing::Writing, request);
    }
}
