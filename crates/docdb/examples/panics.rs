//! `docdb` on a disk that panics: for tests of what a defect does to a real server.
//!
//! `TESTS_PANICS=5` makes the first five reads of a data file panic that a worker of the scheduler
//! does; everything else is the system's disk. Without it this is `docdb` itself.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::io::{Disk, DiskRef, Entry, File, FileRef, Lock, Open, RealDisk, Space, Stat};

fn main() -> ExitCode {
    let panics = std::env::var("TESTS_PANICS").ok();
    let disk = panics.map_or_else(RealDisk::shared, |panics| {
        let left = Arc::new(AtomicU64::new(panics.parse().expect("a number")));
        let disk: DiskRef = Arc::new(PanicDisk { disk: RealDisk::shared(), left });
        disk
    });
    let (out, err) = (&mut std::io::stdout(), &mut std::io::stderr());
    docdb::cli::run_on(disk, std::env::args_os(), std::env::vars_os().collect(), out, err)
}

#[derive(Debug)]
struct PanicDisk {
    disk: DiskRef,
    /// How often a read still panics.
    left: Arc<AtomicU64>,
}

impl Disk for PanicDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<FileRef> {
        let file = self.disk.open(path, how)?;
        if path.extension().is_none_or(|extension| extension != "data") {
            return Ok(file);
        }
        Ok(Arc::new(PanicFile { file, left: Arc::clone(&self.left) }))
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

#[derive(Debug)]
struct PanicFile {
    file: FileRef,
    left: Arc<AtomicU64>,
}

impl File for PanicFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let thread = std::thread::current();
        let is_worker = thread.name().is_some_and(|name| name.starts_with("worker-"));
        if is_worker {
            let less = |left: u64| left.checked_sub(1);
            let taken = self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
            assert!(taken.is_err(), "the planted defect");
        }
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn evict(&self, from: u64, len: u64) -> io::Result<()> {
        self.file.evict(from, len)
    }
}
