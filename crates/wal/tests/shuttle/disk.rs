//! A disk whose every call is a point where another thread may go on: without it the scheduler
//! would see a write and a sync as one step and never let anybody in between.

use std::io;
use std::path::Path;
use std::sync::Arc;

use base::io::{Disk, DiskRef, Entry, File, FileRef, Lock, Open, Space, Stat};

/// A disk that yields before it passes a call on.
#[derive(Debug)]
pub(crate) struct Yielding(pub(crate) DiskRef);

#[derive(Debug)]
struct YieldingFile(FileRef);

impl Disk for Yielding {
    fn open(&self, path: &Path, how: Open) -> io::Result<FileRef> {
        Ok(Arc::new(YieldingFile(self.0.open(path, how)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        shuttle::thread::yield_now();
        self.0.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.0.remove_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.0.list(dir)
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        self.0.stat(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        shuttle::thread::yield_now();
        self.0.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.0.lock(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.0.space(path)
    }
}

impl File for YieldingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        shuttle::thread::yield_now();
        self.0.write_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        shuttle::thread::yield_now();
        let result = self.0.sync_data();
        // What the caller makes of the answer is a step of its own.
        shuttle::thread::yield_now();
        result
    }

    fn sync_all(&self) -> io::Result<()> {
        shuttle::thread::yield_now();
        self.0.sync_all()
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        shuttle::thread::yield_now();
        self.0.set_len(len)
    }

    fn evict(&self, from: u64, len: u64) -> io::Result<()> {
        self.0.evict(from, len)
    }
}
