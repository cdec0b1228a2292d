//! A disk that lets a test act at the moment of a call: wait there, panic there, change something
//! else meanwhile.
//!
//! It is no fault model ([`crate::disk`] is): every call reaches the disk below as it was made. Start
//! with [`watched`].

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::io::{Disk, DiskRef, Entry, File, FileRef, Lock, Open, Space, Stat};

/// A call that is about to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A file is made.
    Create,
    /// Bytes of a file are read.
    Read,
    /// Bytes of a file are written.
    Write,
    /// A file is made durable.
    Sync,
}

/// Told of a call and of the file that it is about. It may take its time, and it may panic.
type Watcher = Arc<dyn Fn(Moment, &Path) + Send + Sync>;

/// `disk`, with `watcher` called before each call that is a [`Moment`].
#[must_use]
pub fn watched(disk: DiskRef, watcher: impl Fn(Moment, &Path) + Send + Sync + 'static) -> DiskRef {
    Arc::new(WatchedDisk { disk, watcher: Arc::new(watcher) })
}

struct WatchedDisk {
    disk: DiskRef,
    watcher: Watcher,
}

struct WatchedFile {
    file: FileRef,
    path: PathBuf,
    watcher: Watcher,
}

impl fmt::Debug for WatchedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedDisk").field("disk", &self.disk).finish_non_exhaustive()
    }
}

impl fmt::Debug for WatchedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedFile").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Disk for WatchedDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<FileRef> {
        if how == Open::CreateNew {
            (self.watcher)(Moment::Create, path);
        }
        let (file, watcher) = (self.disk.open(path, how)?, Arc::clone(&self.watcher));
        Ok(Arc::new(WatchedFile { file, path: path.to_path_buf(), watcher }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(dir)
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        self.disk.stat(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.disk.lock(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.disk.space(path)
    }
}

impl WatchedFile {
    fn tell(&self, moment: Moment) {
        (self.watcher)(moment, &self.path);
    }
}

impl File for WatchedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.tell(Moment::Read);
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.tell(Moment::Write);
        self.file.write_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.tell(Moment::Sync);
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.tell(Moment::Sync);
        self.file.sync_all()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, from: u64, to: u64) -> io::Result<()> {
        self.file.allocate(from, to)
    }

    fn evict(&self, from: u64, len: u64) -> io::Result<()> {
        self.file.evict(from, len)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use base::io::{read_full_at, write_all_at};

    use super::*;
    use crate::FaultDisk;

    #[test]
    fn a_watcher_is_told_before_each_call_and_the_call_is_made() {
        let (below, told) = (FaultDisk::new(), Arc::new(Mutex::new(Vec::new())));
        let note = Arc::clone(&told);
        let disk = watched(below.shared(), move |moment, path| {
            note.lock().unwrap().push((moment, path.to_path_buf()));
        });
        let path = Path::new("/file");
        let file = disk.open(path, Open::CreateNew).unwrap();
        write_all_at(&*file, b"bytes", 0).unwrap();
        file.sync_data().unwrap();
        file.sync_all().unwrap();
        let mut found = [0; 5];
        assert_eq!(read_full_at(&*file, &mut found, 0).unwrap(), 5);
        assert_eq!((&found, below.peek(path).unwrap().as_slice()), (b"bytes", &b"bytes"[..]));
        let moments: Vec<_> = told.lock().unwrap().iter().map(|(moment, _)| *moment).collect();
        let expected = [Moment::Create, Moment::Write, Moment::Sync, Moment::Sync, Moment::Read];
        assert_eq!(moments, expected);
        assert!(told.lock().unwrap().iter().all(|(_, told)| told == path));
        drop(disk.open(path, Open::Read).unwrap());
        assert_eq!(told.lock().unwrap().len(), expected.len());
    }
}
