//! The thread `segments`: it flushes, compacts and sweeps the indexes that follow, and deletes the files of those that
//! are gone. It is the only one that writes to the place of an index that answers; while it does, the place is in
//! `Shared::busy`, and nobody else opens or publishes an index there.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base::error::Coded as _;
use base::io::EntryKind;
use base::words::{CollectionId, DatabaseId};
use search::index::{IndexError, Step};
use search::manifest::{ManifestError, Place, remove_all};
use search::storage::{Name, Store, StoreError, list_all};

use super::state::{Live, Why};
use super::trouble::{Trouble, of as trouble_of};
use super::{Indexes, Shared, lock};

/// How long it waits when there was nothing to do.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Steps of one index in one look.
const STEPS_MAX: usize = 4;
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

/// The thread.
pub(super) fn run(shared: &Shared) {
    while shared.segments.wait(LOOK_AGAIN) {
        let is_short = shared.is_short.swap(false, Ordering::AcqRel);
        for indexes in shared.all() {
            for (collection, live) in indexes.all_live() {
                if shared.segments.is_stopped() {
                    return;
                }
                work(shared, &indexes, (collection, &live), is_short);
            }
        }
        remove_some(shared);
    }
}

/// Does what is due for one index.
fn work(shared: &Shared, indexes: &Indexes, of: (CollectionId, &Arc<Live>), is_short: bool) {
    let (collection, live) = of;
    for _ in 0..STEPS_MAX {
        {
            let mut busy = lock(&shared.busy);
            if !live.is_current.load(Ordering::Acquire) {
                return;
            }
            busy.insert(live.place);
        }
        let result = step(shared, live, is_short);
        lock(&shared.busy).remove(&live.place);
        match result {
            Ok(Step::Done) => {}
            Ok(Step::Idle) => return,
            Err(error) => return indexes.failed(collection, &error),
        }
        if shared.segments.is_stopped() {
            return;
        }
    }
}

fn step(shared: &Shared, live: &Live, is_short: bool) -> Result<Step, IndexError> {
    let index = &live.index;
    let is_asked = live.flush_soon.swap(false, Ordering::AcqRel);
    if is_asked || (is_short && index.unindexed_bytes() > 0) {
        index.flush_all()?;
    }
    let has_done = index.flush_step()? == Step::Done || index.compact_step()? == Step::Done;
    let now = shared.clock.now();
    if has_done {
        // What was replaced may go once the grace is over.
        *lock(&live.sweep_at) = Some(now.after(shared.options.index.grace));
        return Ok(Step::Done);
    }
    if lock(&live.sweep_at).take_if(|at| *at <= now).is_some() {
        return index.sweep_step();
    }
    Ok(Step::Idle)
}

/// Deletes files that nobody needs. What fails stays for the next look.
fn remove_some(shared: &Shared) {
    let removals = std::mem::take(&mut *lock(&shared.removals));
    for removal in removals {
        if shared.segments.is_stopped() {
            return;
        }
        let is_busy = match &removal {
            Removal::Index(place) => lock(&shared.busy).contains(place),
            Removal::Database(_) | Removal::Folder(_) => false,
        };
        let removed = if is_busy { Ok(None) } else { remove(shared, &removal).map(Some) };
        match removed {
            Ok(Some(0)) => {}
            Ok(Some(objects)) => tracing::info!(?removal, objects, "a search index was removed"),
            Ok(None) => lock(&shared.removals).push(removal),
            Err(error) => {
                shared.counts.failed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(?removal, %error, "the files of a search index were not removed");
                lock(&shared.removals).push(removal);
            }
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

    /// All indexes that follow.
    fn all_live(&self) -> Vec<(CollectionId, Arc<Live>)> {
        let shown = self.shown();
        let live = shown.iter().filter_map(|(of, shown)| Some((*of, Arc::clone(shown.live()?))));
        live.collect()
    }

    /// Something failed in an index that follows. One whose files are damaged is made again.
    pub(super) fn failed(&self, collection: CollectionId, error: &IndexError) {
        if self.is_closed() || matches!(error, IndexError::Search(_)) {
            return;
        }
        self.count_failure();
        let (name, code) = (self.database.name(), error.code().name());
        let trouble = trouble_of(error);
        if trouble != Trouble::Useless {
            tracing::warn!(database = %name, %collection, %error, code,
                "background work on a search index failed");
            return;
        }
        let mut following = lock(&self.following);
        let entry = following.entries.get(&collection);
        if entry.is_some_and(|entry| matches!(entry.phase, super::follow::Phase::Live(_))) {
            tracing::error!(database = %name, %collection, %error, code, "a search index is damaged");
            following.build(self, collection, Why::trouble(error.to_string()), None);
        }
    }
}
