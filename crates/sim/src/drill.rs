//! A real disk whose process ends at a named call: for drills with real servers.
//!
//! A *point* is what kind of file a call is about, which call, and where in it: `segment.write.torn`
//! is a write to a segment of the log of which half has happened. The process ends there as if it
//! had been killed: nothing is flushed, no destructor runs, what the system has it keeps. Points are
//! at the seam to the disk, so the server itself knows nothing of them.
//!
//! Start with [`DrillDisk::new`]; [`points`] lists every point that there is.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::io::{Disk, DiskRef, Entry, File, FileRef, Lock, Open, Space, Stat};

/// What a file is to the store, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A segment of a log.
    Segment,
    /// A segment that is being prepared.
    Spare,
    /// A slot of a log's manifest.
    LogManifest,
    /// A slot of a database's manifest.
    Manifest,
    /// A data file.
    Data,
    /// A file of the index.
    Index,
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

/// Which call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// A file is made.
    Create,
    /// Bytes are written.
    Write,
    /// Bytes are made durable.
    Sync,
    /// A name changes, or a directory is made.
    Rename,
    /// A name goes away.
    Remove,
}

/// Where in the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Nothing of it has happened.
    Before,
    /// Half of a write has happened.
    Torn,
    /// All of it has happened, and nobody knows.
    After,
}

/// A place to end at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// On what.
    pub kind: Kind,
    /// In which call.
    pub call: Call,
    /// Where in it.
    pub when: When,
}

const KINDS: [(Kind, &str); 8] = [
    (Kind::Segment, "segment"),
    (Kind::Spare, "spare"),
    (Kind::LogManifest, "log-manifest"),
    (Kind::Manifest, "manifest"),
    (Kind::Data, "data"),
    (Kind::Index, "index"),
    (Kind::Directory, "directory"),
    (Kind::Other, "other"),
];
const CALLS: [(Call, &str); 5] = [
    (Call::Create, "create"),
    (Call::Write, "write"),
    (Call::Sync, "sync"),
    (Call::Rename, "rename"),
    (Call::Remove, "remove"),
];
const WHENS: [(When, &str); 3] =
    [(When::Before, "before"), (When::Torn, "torn"), (When::After, "after")];

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = KINDS.iter().find(|(kind, _)| *kind == self.kind).map_or("", |(_, n)| n);
        let call = CALLS.iter().find(|(call, _)| *call == self.call).map_or("", |(_, n)| n);
        let when = WHENS.iter().find(|(when, _)| *when == self.when).map_or("", |(_, n)| n);
        write!(f, "{kind}.{call}.{when}")
    }
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("there is no point {text:?}");
        let mut parts = text.split('.');
        let mut part = || parts.next().ok_or_else(unknown);
        let (kind, call, when) = (part()?, part()?, part()?);
        let point = Point {
            kind: KINDS.iter().find(|(_, name)| *name == kind).ok_or_else(unknown)?.0,
            call: CALLS.iter().find(|(_, name)| *name == call).ok_or_else(unknown)?.0,
            when: WHENS.iter().find(|(_, name)| *name == when).ok_or_else(unknown)?.0,
        };
        if parts.next().is_some() || !points().contains(&point) {
            return Err(unknown());
        }
        Ok(point)
    }
}

/// Every point that there is.
#[must_use]
pub fn points() -> Vec<Point> {
    let mut points = Vec::new();
    for (kind, _) in KINDS {
        for (call, _) in CALLS {
            for (when, _) in WHENS {
                let is_write = call == Call::Write;
                // Only writes tear, and nobody writes to a directory.
                if (when == When::Torn && !is_write) || (kind == Kind::Directory && is_write) {
                    continue;
                }
                points.push(Point { kind, call, when });
            }
        }
    }
    points
}

/// What the file at `path` is.
fn kind_of(path: &Path) -> Kind {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let parent = path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy());
    let in_log = parent.is_some_and(|parent| parent == "log");
    if name.ends_with(".wal") {
        Kind::Segment
    } else if name.starts_with("spare-") {
        Kind::Spare
    } else if name.starts_with("MANIFEST") {
        if in_log { Kind::LogManifest } else { Kind::Manifest }
    } else if name.ends_with(".data") {
        Kind::Data
    } else if name.ends_with(".idx") {
        Kind::Index
    } else {
        Kind::Other
    }
}

/// When to end.
#[derive(Debug)]
struct Fuse {
    point: Point,
    left: AtomicU64,
}

impl Fuse {
    fn passes(&self, kind: Kind, call: Call, when: When) {
        let point = Point { kind, call, when };
        if point == self.point && self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.end();
        }
    }

    /// Whether the next write is the one of which only half is to happen.
    fn tears(&self, kind: Kind) -> bool {
        let torn = Point { kind, call: Call::Write, when: When::Torn };
        torn == self.point && self.left.fetch_sub(1, Ordering::AcqRel) == 1
    }

    fn end(&self) -> ! {
        // Whoever drives the drill reads this to know that it was not something else.
        let _ = io::stderr().write_all(format!("drill: ended at {}\n", self.point).as_bytes());
        std::process::abort();
    }
}

/// The system's disk, and a process that ends at a point.
#[derive(Debug)]
pub struct DrillDisk {
    disk: DiskRef,
    fuse: Arc<Fuse>,
    /// What the open files are, by their path now: a spare that is renamed becomes a segment.
    files: Mutex<HashMap<PathBuf, KindCell>>,
}

type KindCell = Arc<Mutex<Kind>>;

impl DrillDisk {
    /// `disk`, on which the process ends when it passes `point` for the `nth` time, counted from 1.
    #[must_use]
    pub fn new(disk: DiskRef, point: Point, nth: u64) -> Self {
        let fuse = Arc::new(Fuse { point, left: AtomicU64::new(nth.max(1)) });
        Self { disk, fuse, files: Mutex::default() }
    }

    fn cell(&self, path: &Path) -> KindCell {
        let mut files = lock(&self.files);
        let cell = files.entry(path.to_path_buf()).or_insert_with(|| {
            let kind = kind_of(path);
            Arc::new(Mutex::new(kind))
        });
        Arc::clone(cell)
    }

    fn around<T>(
        &self,
        kind: Kind,
        call: Call,
        work: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        around(&self.fuse, kind, call, work)
    }
}

fn around<T>(
    fuse: &Fuse,
    kind: Kind,
    call: Call,
    work: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    fuse.passes(kind, call, When::Before);
    let done = work()?;
    fuse.passes(kind, call, When::After);
    Ok(done)
}

impl Disk for DrillDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<FileRef> {
        let kind = kind_of(path);
        let open = || self.disk.open(path, how);
        let file = match how {
            Open::CreateNew => self.around(kind, Call::Create, open)?,
            Open::Read | Open::Write => open()?,
        };
        let kind = self.cell(path);
        Ok(Arc::new(DrillFile { file, kind, fuse: Arc::clone(&self.fuse) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let is_directory = self
            .disk
            .stat(from)?
            .is_some_and(|found| matches!(found.kind, base::io::EntryKind::Directory));
        let kind = if is_directory { Kind::Directory } else { kind_of(to) };
        self.around(kind, Call::Rename, || {
            self.disk.rename(from, to)?;
            let mut files = lock(&self.files);
            if let Some(cell) = files.remove(from) {
                *lock(&cell) = kind_of(to);
                files.insert(to.to_path_buf(), cell);
            }
            Ok(())
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.around(kind_of(path), Call::Remove, || {
            self.disk.remove_file(path)?;
            lock(&self.files).remove(path);
            Ok(())
        })
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.around(Kind::Directory, Call::Create, || self.disk.create_dir(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.around(Kind::Directory, Call::Remove, || self.disk.remove_dir(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(dir)
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        self.disk.stat(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.around(Kind::Directory, Call::Sync, || self.disk.sync_dir(dir))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.disk.lock(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.disk.space(path)
    }
}

#[derive(Debug)]
struct DrillFile {
    file: FileRef,
    kind: KindCell,
    fuse: Arc<Fuse>,
}

impl DrillFile {
    fn kind(&self) -> Kind {
        *lock(&self.kind)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl File for DrillFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        if self.fuse.tears(self.kind()) {
            let half = buf.get(..buf.len() / 2).unwrap_or_default();
            base::io::write_all_at(&*self.file, half, offset)?;
            self.fuse.end();
        }
        around(&self.fuse, self.kind(), Call::Write, || self.file.write_at(buf, offset))
    }

    fn sync_data(&self) -> io::Result<()> {
        around(&self.fuse, self.kind(), Call::Sync, || self.file.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        around(&self.fuse, self.kind(), Call::Sync, || self.file.sync_all())
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
    use super::*;

    #[test]
    fn every_point_has_a_name_of_its_own_and_is_found_by_it() {
        let points = points();
        assert!(points.len() >= 25, "{}", points.len());
        for point in &points {
            assert_eq!(point.to_string().parse::<Point>().unwrap(), *point);
        }
        assert!("segment.sync.torn".parse::<Point>().is_err());
        assert!("segment.write".parse::<Point>().is_err());
        assert!("segment.write.torn.x".parse::<Point>().is_err());
    }
}
