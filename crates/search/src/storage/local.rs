//! Objects as files of a disk, through [`base::io`].
//!
//! The object `a/b/c` is the file `<root>/a/b/c`. It is written and synced under `<root>/.parts` first and then
//! renamed to its place, and both directories are synced: a name that can be seen has its whole content, and one that
//! was answered for stays. What is left in `.parts` is from a put that was never answered, and is removed at open.
//!
//! The seam's rename replaces what is at its target. That none is there is looked at under the lock that every change of
//! names takes, and `<root>/.lock` keeps other processes away; so two creators of one name cannot both succeed.
//!
//! A directory whose sync failed says nothing about its names any more, so the store then refuses every further change
//! ([`StoreErrorKind::DurabilityUnknown`]) until it is opened again. An index that trusted a name which is gone after
//! the next power loss is older than it was, and follows the log or is rebuilt.

mod list;

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base::io::{DiskRef, EntryKind, FileRef, Lock, Open, read_exact_at, write_all_at};
use bytes::Bytes;

use super::{Listed, Name, Source, Store, StoreError, StoreErrorKind, WHOLE_BYTES_MAX};

const PARTS: &str = ".parts";
const LOCK: &str = ".lock";
/// How much is copied at a time.
const STEP_BYTES: u64 = 1024 * 1024;

/// A store in a directory.
pub struct LocalStore {
    disk: DiskRef,
    root: PathBuf,
    names: Mutex<Names>,
    /// None of one that is only read.
    _lock: Option<Box<dyn Lock>>,
}

/// What is known of the directories.
#[derive(Debug, Default)]
struct Names {
    /// The number of the next file in `.parts`.
    next_part: u64,
    /// Directories whose own names are durable.
    durable: HashSet<PathBuf>,
    /// Whether a sync of names has failed.
    doubtful: bool,
    /// Whether nothing may be changed.
    is_read_only: bool,
}

impl fmt::Debug for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalStore").field("root", &self.root).finish_non_exhaustive()
    }
}

impl LocalStore {
    /// The store in `root`, which is made when it is missing; its parent must exist. Removes what an earlier process
    /// left half-written.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] when another process has it open, and whatever the system says.
    pub fn open(disk: DiskRef, root: &Path) -> Result<Self, StoreError> {
        let failed =
            |error: io::Error| StoreError::io(StoreErrorKind::Write, root.display(), &error);
        make_dir(&disk, root).map_err(failed)?;
        if let Some(parent) = root.parent() {
            disk.sync_dir(parent).map_err(failed)?;
        }
        let lock = disk.lock(&root.join(LOCK)).map_err(|error| {
            if error.kind() != io::ErrorKind::WouldBlock {
                return failed(error);
            }
            let reason = "another process has the directory open";
            StoreError::new(StoreErrorKind::Unavailable, root.display(), reason)
        })?;
        let parts = root.join(PARTS);
        make_dir(&disk, &parts).map_err(failed)?;
        for entry in disk.list(&parts).map_err(failed)? {
            disk.remove_file(&parts.join(entry.name)).map_err(failed)?;
        }
        disk.sync_dir(&parts).map_err(failed)?;
        disk.sync_dir(root).map_err(failed)?;
        let durable = HashSet::from([root.to_path_buf()]);
        let names = Mutex::new(Names { durable, ..Names::default() });
        Ok(Self { disk, root: root.to_path_buf(), names, _lock: Some(lock) })
    }

    /// The store in `root`, to be looked at: nothing is written, no lock is taken, and every change is refused. Another
    /// process may have it open and change it meanwhile.
    #[must_use]
    pub fn read_only(disk: DiskRef, root: &Path) -> Self {
        let names = Mutex::new(Names { is_read_only: true, ..Names::default() });
        Self { disk, root: root.to_path_buf(), names, _lock: None }
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.root.join(name.as_str())
    }

    /// The names, for a change of them.
    fn change(&self, object: &dyn fmt::Display) -> Result<MutexGuard<'_, Names>, StoreError> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.is_read_only {
            let reason = "it was opened to be read";
            return Err(StoreError::new(StoreErrorKind::Denied, object, reason));
        }
        if names.doubtful {
            return Err(doubtful(object, "a directory could not be synced before"));
        }
        Ok(names)
    }

    /// Writes the content into a file of its own, synced.
    fn write_part(&self, part: &Path, content: &dyn Source) -> io::Result<()> {
        let file = self.disk.open(part, Open::CreateNew)?;
        let mut at = 0;
        while at < content.len() {
            let end = content.len().min(at.saturating_add(STEP_BYTES));
            write_all_at(&*file, &content.read(at..end)?, at)?;
            at = end;
        }
        file.sync_data()
    }

    /// Makes the directories above a file, and their names durable.
    fn make_folders(&self, names: &mut Names, folder: &Path) -> io::Result<()> {
        if names.durable.contains(folder) {
            return Ok(());
        }
        if let Some(parent) = folder.parent() {
            self.make_folders(names, parent)?;
            make_dir(&self.disk, folder)?;
            self.sync(names, parent)?;
        }
        names.durable.insert(folder.to_path_buf());
        Ok(())
    }

    fn sync(&self, names: &mut Names, dir: &Path) -> io::Result<()> {
        let synced = self.disk.sync_dir(dir);
        names.doubtful |= synced.is_err();
        synced
    }

    /// Gives a part its name.
    fn publish(&self, part: &Path, name: &Name) -> Result<(), StoreError> {
        let mut names = self.change(name)?;
        let path = self.path(name);
        let folder = path.parent().unwrap_or(&self.root);
        let failed = |error: &io::Error| StoreError::io(StoreErrorKind::Write, name, error);
        self.make_folders(&mut names, folder).map_err(|error| failed(&error))?;
        if self.disk.stat(&path).map_err(|error| failed(&error))?.is_some() {
            return Err(StoreError::new(StoreErrorKind::AlreadyExists, name, "its file is there"));
        }
        self.disk.rename(part, &path).map_err(|error| failed(&error))?;
        self.sync(&mut names, folder)
            .and_then(|()| self.sync(&mut names, &self.root.join(PARTS)))
            .map_err(|error| doubtful(name, error))
    }

    fn open_file(&self, name: &Name) -> Result<Option<(FileRef, u64)>, StoreError> {
        let failed = |error: io::Error| StoreError::io(StoreErrorKind::Read, name, &error);
        let path = self.path(name);
        match self.disk.stat(&path).map_err(failed)? {
            Some(stat) if stat.kind == EntryKind::File => {}
            Some(_) | None => return Ok(None),
        }
        let file = match self.disk.open(&path, Open::Read) {
            Ok(file) => file,
            // Deleted since it was looked at.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let len = file.len().map_err(failed)?;
        Ok(Some((file, len)))
    }

    /// Removes directories that have become empty, upward. Nothing depends on it: one that stays or comes back is
    /// empty.
    fn remove_empty(&self, names: &mut Names, folder: &Path) {
        let mut folder = folder;
        while folder != self.root && folder.starts_with(&self.root) {
            if self.disk.remove_dir(folder).is_err() {
                return;
            }
            names.durable.remove(folder);
            let Some(parent) = folder.parent() else { return };
            folder = parent;
        }
    }
}

fn doubtful(object: &dyn fmt::Display, reason: impl fmt::Display) -> StoreError {
    StoreError::new(StoreErrorKind::DurabilityUnknown, object, reason)
}

/// Makes a directory unless it is there.
fn make_dir(disk: &DiskRef, path: &Path) -> io::Result<()> {
    match disk.create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// The bytes of a range of a file of this length.
fn read_range(
    name: &Name,
    file: &FileRef,
    len: u64,
    range: &Range<u64>,
) -> Result<Bytes, StoreError> {
    let size = range.end.checked_sub(range.start).filter(|_| range.end <= len);
    let Some(size) = size.and_then(|size| usize::try_from(size).ok()) else {
        let reason =
            format!("it has no such range len={len} from={} to={}", range.start, range.end);
        return Err(StoreError::new(StoreErrorKind::Damaged, name, reason));
    };
    let mut bytes = vec![0; size];
    read_exact_at(&**file, &mut bytes, range.start)
        .map_err(|error| StoreError::io(StoreErrorKind::Read, name, &error))?;
    Ok(bytes.into())
}

impl Store for LocalStore {
    fn put_new(&self, name: &Name, content: &dyn Source) -> Result<(), StoreError> {
        if self.len_of(name)?.is_some() {
            return Err(StoreError::new(StoreErrorKind::AlreadyExists, name, "its file is there"));
        }
        let part = {
            let mut names = self.change(name)?;
            names.next_part += 1;
            self.root.join(PARTS).join(names.next_part.to_string())
        };
        let done = self
            .write_part(&part, content)
            .map_err(|error| StoreError::io(StoreErrorKind::Write, name, &error))
            .and_then(|()| self.publish(&part, name));
        if done.is_err() {
            // Gone already when the rename was done; what cannot be removed goes at the next open.
            _ = self.disk.remove_file(&part);
        }
        done
    }

    fn get_ranges(&self, wanted: &[(Name, Range<u64>)]) -> Result<Vec<Bytes>, StoreError> {
        let mut open: Option<(&Name, FileRef, u64)> = None;
        let mut parts = Vec::with_capacity(wanted.len());
        for (name, range) in wanted {
            // Ranges of one object usually come one after another.
            let (file, len) = match open.take().filter(|(last, ..)| *last == name) {
                Some((_, file, len)) => (file, len),
                None => self.open_file(name)?.ok_or_else(|| {
                    StoreError::new(StoreErrorKind::NotFound, name, "there is no such file")
                })?,
            };
            parts.push(read_range(name, &file, len, range)?);
            open = Some((name, file, len));
        }
        Ok(parts)
    }

    fn get(&self, name: &Name) -> Result<Option<Bytes>, StoreError> {
        let Some((file, len)) = self.open_file(name)? else { return Ok(None) };
        if len > WHOLE_BYTES_MAX {
            let reason = format!("longer than it may be len={len} max={WHOLE_BYTES_MAX}");
            return Err(StoreError::new(StoreErrorKind::Damaged, name, reason));
        }
        read_range(name, &file, len, &(0..len)).map(Some)
    }

    fn len_of(&self, name: &Name) -> Result<Option<u64>, StoreError> {
        let failed = |error: io::Error| StoreError::io(StoreErrorKind::Read, name, &error);
        let stat = self.disk.stat(&self.path(name)).map_err(failed)?;
        Ok(stat.filter(|stat| stat.kind == EntryKind::File).map(|stat| stat.len))
    }

    fn list_after(
        &self,
        folder: &Name,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        list::list_after(&self.disk, &self.root, folder, after, limit)
    }

    fn delete(&self, names: &[Name]) -> Result<(), StoreError> {
        let Some(first) = names.first() else { return Ok(()) };
        let mut state = self.change(first)?;
        let mut folders = HashSet::new();
        for name in names {
            let path = self.path(name);
            match self.disk.remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(StoreError::io(StoreErrorKind::Write, name, &error)),
            }
            if let Some(folder) = path.parent() {
                folders.insert(folder.to_path_buf());
            }
        }
        for folder in &folders {
            self.sync(&mut state, folder).map_err(|error| doubtful(first, error))?;
        }
        for folder in &folders {
            self.remove_empty(&mut state, folder);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
