//! Walking the directories of a store in the order of the names of its objects.

use std::io;
use std::path::Path;

use base::io::{DiskRef, Entry, EntryKind};

use crate::storage::{Listed, Name, StoreError, StoreErrorKind};

/// As [`Store::list_after`](crate::storage::Store::list_after).
pub(super) fn list_after(
    disk: &DiskRef,
    root: &Path,
    folder: &Name,
    after: Option<&Name>,
    limit: usize,
) -> Result<Vec<Listed>, StoreError> {
    let after = after.map_or("", Name::as_str);
    let mut walk = Walk { disk, root, after, limit, found: Vec::new() };
    walk.folder(folder.as_str())?;
    Ok(walk.found)
}

struct Walk<'a> {
    disk: &'a DiskRef,
    root: &'a Path,
    after: &'a str,
    limit: usize,
    found: Vec<Listed>,
}

/// What decides where an entry comes in the order of whole names: below a directory, the next byte is `/`.
fn key(entry: &Entry) -> String {
    match entry.kind {
        EntryKind::Directory => format!("{}/", entry.name),
        EntryKind::File | EntryKind::Other => entry.name.clone(),
    }
}

impl Walk<'_> {
    fn folder(&mut self, folder: &str) -> Result<(), StoreError> {
        let mut entries = match self.disk.list(&self.root.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(StoreError::io(StoreErrorKind::Read, folder, &error)),
        };
        entries.sort_by_cached_key(key);
        for entry in entries {
            if self.found.len() >= self.limit {
                return Ok(());
            }
            // Files that begin with `.` are the store's own; others that are no name are nobody's.
            let Ok(name) = Name::new(&format!("{folder}/{}", entry.name)) else { continue };
            match entry.kind {
                EntryKind::Directory if self.may_hold_more(&name) => self.folder(name.as_str())?,
                EntryKind::File if name.as_str() > self.after => {
                    self.found.push(Listed { name, len: entry.len });
                }
                EntryKind::Directory | EntryKind::File | EntryKind::Other => {}
            }
        }
        Ok(())
    }

    /// Whether a folder may have names after the one where the list begins.
    fn may_hold_more(&self, folder: &Name) -> bool {
        let beginning = format!("{folder}/");
        beginning.as_str() > self.after || self.after.starts_with(&beginning)
    }
}
