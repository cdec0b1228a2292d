//! Files of indexes that nobody needs any more: those of collections and databases that were dropped, now or just
//! before the server ended.
//!
//! A collection that is a namespace again, or a database that is open again, keeps what is at its place: whoever makes
//! an index there deletes what he does not need.

use std::collections::HashSet;

use base::io::EntryKind;
use base::words::{CollectionId, DatabaseId};
use search::manifest::{ManifestError, Place, remove_all};
use search::storage::{Name, Store, StoreError, list_all};

use super::contain::contained;
use super::state::Writing;
use super::{Indexes, Shared, lock};

/// Objects of a list, and of a deletion.
const PAGE: usize = 1000;

/// Files that nobody needs any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Removal {
    /// Those of one index.
    Index(Place),
    /// Those of all indexes of a database.
    Database(DatabaseId),
    /// Those of all in a folder whose name says that it was a database's.
    Folder(Name),
}

/// Deletes files that nobody needs. What fails stays for the next look.
pub(super) fn remove_some(shared: &Shared) {
    let all = lock(&shared.removals).len();
    for _ in 0..all {
        if shared.merger.is_stopped() {
            return;
        }
        let Some(removal) = lock(&shared.removals).pop_front() else { return };
        let Ok(writing) = begin(shared, &removal) else {
            lock(&shared.removals).push_back(removal);
            continue;
        };
        if is_used(shared, &removal) {
            continue;
        }
        let removed = contained(|| remove(shared, &removal));
        drop(writing);
        let why: &dyn std::fmt::Display = match &removed {
            Ok(Ok(objects)) => {
                if *objects > 0 {
                    tracing::info!(?removal, objects, "a search index was removed");
                }
                continue;
            }
            Ok(Err(error)) => error,
            Err(panicked) => panicked,
        };
        shared.counts.failed();
        tracing::warn!(?removal, error = %why, "the files of a search index were not removed");
        lock(&shared.removals).push_back(removal);
    }
}

/// Has nobody write there meanwhile; an error where somebody does.
fn begin<'a>(shared: &'a Shared, removal: &Removal) -> Result<Option<Writing<'a>>, ()> {
    match removal {
        Removal::Index(place) => shared.busy.begin_alone(*place).map(Some).ok_or(()),
        // Nobody writes for a database that is not open, but for the step that he was in when it was closed.
        Removal::Database(database) if shared.busy.has_of(*database) => Err(()),
        Removal::Database(_) | Removal::Folder(_) => Ok(None),
    }
}

/// Whether there is a use for it again.
fn is_used(shared: &Shared, removal: &Removal) -> bool {
    match removal {
        Removal::Index(place) => shared
            .of(place.database)
            .is_some_and(|indexes| indexes.shown().contains_key(&place.collection)),
        Removal::Database(database) => shared.of(*database).is_some(),
        Removal::Folder(folder) => {
            let is_its = |id: DatabaseId| id.to_string() == folder.to_string();
            shared.all().iter().any(|indexes| is_its(indexes.database.id()))
        }
    }
}

fn remove(shared: &Shared, removal: &Removal) -> Result<u64, ManifestError> {
    let store = &*shared.backing.store;
    match removal {
        Removal::Index(place) => remove_all(store, place),
        Removal::Database(database) => {
            Ok(remove_folder(store, &Name::new(&database.to_string())?)?)
        }
        Removal::Folder(folder) => Ok(remove_folder(store, folder)?),
    }
}

fn remove_folder(store: &dyn Store, folder: &Name) -> Result<u64, StoreError> {
    let all = list_all(store, folder, PAGE)?;
    let names: Vec<Name> = all.into_iter().map(|listed| listed.name).collect();
    for batch in names.chunks(PAGE) {
        store.delete(batch)?;
    }
    Ok(names.len() as u64)
}

/// Has everything below `root` removed that is called as the indexes of a database are and belongs to none that is
/// known: a database that was dropped just before the server ended.
pub(super) fn remove_unknown(shared: &Shared, is_known: impl Fn(&str) -> bool) {
    let entries = match shared.disk.list(&shared.root) {
        Ok(entries) => entries,
        Err(error) => {
            tracing::warn!(%error, "the directory of search indexes cannot be read");
            return;
        }
    };
    for entry in entries {
        let is_folder = entry.kind == EntryKind::Directory
            && uuid::Uuid::try_parse(&entry.name).is_ok()
            && !is_known(&entry.name);
        if let Some(folder) = Name::new(&entry.name).ok().filter(|_| is_folder) {
            shared.remove(Removal::Folder(folder));
        }
    }
}

impl Indexes {
    /// Has the files of collections removed that are no namespaces: of those that were dropped just before the server
    /// ended. `known` are the namespaces.
    pub(super) fn remove_orphans(&self, known: &HashSet<CollectionId>) {
        let Shared { disk, root, .. } = &*self.shared;
        // Nothing was ever written there, most often.
        let Ok(entries) = disk.list(&root.join(self.database.id().to_string())) else { return };
        for entry in entries.into_iter().filter(|entry| entry.kind == EntryKind::Directory) {
            if let Ok(number) = entry.name.parse()
                && !known.contains(&CollectionId(number))
            {
                self.shared.remove(Removal::Index(self.place(CollectionId(number))));
            }
        }
    }
}
