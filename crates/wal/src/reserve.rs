//! Space of a data directory that only what frees space may use, so that a full disk can be emptied
//! through the database itself.
//!
//! A file named `reserve` takes the space. [`Reserve::disk`] is the same disk for those who may use
//! it: a call that finds no room makes the file shorter and is made again, as long as there is
//! something left of it. Whoever frees space makes it whole again ([`Reserve::refill`]).
//!
//! # Invariants
//!
//! 1. A write that only adds claims log space only while the reserve is whole, and only as much
//!    that what the logs hold behind their checkpoints still finds room in data files: a checkpoint
//!    is what lets go of the log, and must be possible on a disk that has become full.
//! 2. A sync is never made again, whatever it said.
//! 3. A reserve that cannot be made for another reason than room keeps nobody from writing.
//!
//! What it is not: no promise against others who write to the same volume. What is given up may be
//! gone before it is used; more is given up then, until there is none.
//!
//! Start with [`Reserve::afford`] and `lend`.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};

use base::io::{
    Disk, DiskRef, Entry, File, FileRef, Lock, Open, Space, Stat, claim_range, is_volume_full,
};

use crate::error::{Op, Result, WalError};
use crate::segment;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, lock};

/// Name of the file in the data directory.
const NAME: &str = "reserve";
/// What is given up at once, at least.
const STEP: u64 = 64 * 1024;

/// The reserve of one data directory, shared by the logs of all its databases.
#[derive(Debug)]
pub struct Reserve {
    disk: DiskRef,
    dir: PathBuf,
    size: u64,
    state: Mutex<State>,
    /// What is left of it, bytes; changed under the lock of the state.
    left: AtomicU64,
    /// What all logs may have to move into data files, bytes.
    owed: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    file: Option<FileRef>,
    /// Somebody was told that it is in use, or cannot be made.
    told: bool,
}

impl Reserve {
    /// Opens or makes the reserve of the data directory `dir`: a file of `size` bytes named
    /// `reserve`, or what there is room for. The directory must be the caller's alone.
    ///
    /// Never fails: a disk without room is what it is for, and without it everything else works.
    #[must_use]
    pub fn open(disk: &DiskRef, dir: &Path, size: u64) -> Arc<Self> {
        let reserve = Self {
            disk: DiskRef::clone(disk),
            dir: dir.to_path_buf(),
            size: size.max(segment::BYTES_MIN),
            state: Mutex::default(),
            left: AtomicU64::new(0),
            owed: AtomicU64::new(0),
        };
        match reserve.take_up().and_then(|()| reserve.refill()) {
            Ok(()) => {}
            Err(error) => reserve.tell(&mut lock(&reserve.state), &error),
        }
        Arc::new(reserve)
    }

    /// The reserve that there is in the data directory `dir`, as large as it is; `None` when there
    /// is none or it cannot be opened.
    #[must_use]
    pub fn found(disk: &DiskRef, dir: &Path) -> Option<Arc<Self>> {
        let stat = disk.stat(&dir.join(NAME)).ok()??;
        (stat.len >= segment::BYTES_MIN).then(|| Self::open(disk, dir, stat.len))
    }

    fn path(&self) -> PathBuf {
        self.dir.join(NAME)
    }

    /// Opens the file if it is there. One that is longer than it should be is cut.
    fn take_up(&self) -> Result<()> {
        let path = self.path();
        let failed = |op| {
            let path = path.clone();
            move |e| WalError::io(op, path, e)
        };
        let Some(stat) = self.disk.stat(&path).map_err(failed(Op::Open))? else { return Ok(()) };
        let file = self.disk.open(&path, Open::Write).map_err(failed(Op::Open))?;
        if stat.len > self.size {
            file.set_len(self.size).map_err(failed(Op::Write))?;
        }
        lock(&self.state).file = Some(file);
        self.left.store(stat.len.min(self.size), Ordering::Release);
        Ok(())
    }

    /// How large it is when nothing of it is in use, bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// What is left of it, bytes.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Acquire)
    }

    /// Whether nothing of it is in use.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.left() == self.size
    }

    /// Bytes that what frees space can take, what is left of the reserve included; `None` when the
    /// system does not say.
    #[must_use]
    pub fn room(&self) -> Option<u64> {
        let space = self.disk.space(&self.dir).ok()?;
        Some(space.available.saturating_add(self.left()))
    }

    /// Whether writes that only add are refused for want of room, however small they are.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        self.afford(segment::BYTES_MIN).is_err()
    }

    /// The disk for what frees space: it gives the reserve up, step by step, where there is no room.
    #[must_use]
    pub fn disk(self: &Arc<Self>) -> DiskRef {
        let (disk, reserve) = (DiskRef::clone(&self.disk), Arc::clone(self));
        Arc::new(Reclaiming { disk, reserve })
    }

    /// Makes it whole again, durably, if there is room for that.
    ///
    /// # Errors
    /// `DiskFull` while there is not; the disk's others.
    pub fn refill(&self) -> Result<()> {
        let mut state = lock(&self.state);
        let left = self.left();
        let missing = self.size - left;
        if missing == 0 {
            return Ok(());
        }
        let path = self.path();
        let failed = |op| {
            let path = path.clone();
            move |e| match is_volume_full(&e) {
                true => WalError::DiskFull { bytes: missing },
                false => WalError::io(op, path, e),
            }
        };
        let space = self.disk.space(&self.dir).map_err(failed(Op::Read))?;
        if space.available < missing {
            return Err(WalError::DiskFull { bytes: missing });
        }
        let file = match &state.file {
            Some(file) => FileRef::clone(file),
            None => self.disk.open(&path, Open::CreateNew).map_err(failed(Op::Open))?,
        };
        state.file = Some(FileRef::clone(&file));
        let made = claim_range(&*file, left, self.size).map_err(failed(Op::Write));
        let made = made.and_then(|()| file.sync_all().map_err(failed(Op::Sync)));
        let made = made.and_then(|()| self.disk.sync_dir(&self.dir).map_err(failed(Op::Sync)));
        if let Err(error) = made {
            // A part of it would only take room that others can use.
            if let Err(error) = file.set_len(left) {
                tracing::warn!(path = %path.display(), %error, "a part of the reserve stays");
            }
            return Err(error);
        }
        self.left.store(self.size, Ordering::Release);
        if std::mem::take(&mut state.told) {
            tracing::info!(bytes = self.size, "the reserve for a full disk is whole again");
        }
        Ok(())
    }

    /// Whether a log may claim `bytes` for writes that only add.
    ///
    /// # Errors
    /// `DiskFull`: the reserve is in use, or a checkpoint might not find room afterwards.
    pub(crate) fn afford(&self, bytes: u64) -> Result<()> {
        match self.refill() {
            Ok(()) => {}
            Err(WalError::DiskFull { .. }) => return Err(WalError::DiskFull { bytes }),
            // Then there is none, and writes go on as long as there is room.
            Err(error) => self.tell(&mut lock(&self.state), &error),
        }
        let Ok(space) = self.disk.space(&self.dir) else { return Ok(()) };
        let owed = self.owed.load(Ordering::Acquire).saturating_add(bytes);
        // An eighth is for parity and the like; what else a checkpoint writes has the reserve.
        let needed = bytes.saturating_add(owed).saturating_add(owed / 8);
        if space.available < needed { Err(WalError::DiskFull { bytes }) } else { Ok(()) }
    }

    /// Gives up at least `bytes` of it, or what is left. Says whether there was anything.
    fn lend(&self, bytes: u64) -> bool {
        let mut state = lock(&self.state);
        let there = self.left();
        let Some(file) = state.file.clone().filter(|_| there > 0) else { return false };
        let left = there.saturating_sub(bytes.max(STEP).next_multiple_of(STEP));
        if let Err(error) = file.set_len(left) {
            tracing::error!(%error, "the reserve for a full disk cannot be used");
            return false;
        }
        self.left.store(left, Ordering::Release);
        if !std::mem::replace(&mut state.told, true) {
            let dir = self.dir.display();
            tracing::warn!(%dir, "the disk is full; its reserve is used, for what frees space alone");
        }
        true
    }

    /// Tells once that there is no reserve.
    fn tell(&self, state: &mut State, error: &WalError) {
        if !std::mem::replace(&mut state.told, true) {
            let dir = self.dir.display();
            tracing::warn!(%dir, %error, left = self.left(), "the reserve for a full disk is not whole");
        }
    }
}

/// What one log may have to move into data files; given back on drop.
#[derive(Debug)]
pub(crate) struct Debt {
    reserve: Arc<Reserve>,
    bytes: AtomicU64,
}

impl Debt {
    pub(crate) fn new(reserve: &Arc<Reserve>) -> Self {
        Self { reserve: Arc::clone(reserve), bytes: AtomicU64::new(0) }
    }

    /// Says how much it is now.
    pub(crate) fn set(&self, bytes: u64) {
        let before = self.bytes.swap(bytes, Ordering::AcqRel);
        // In this order: the sum is never below zero.
        self.reserve.owed.fetch_add(bytes, Ordering::AcqRel);
        self.reserve.owed.fetch_sub(before, Ordering::AcqRel);
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// The disk of those who may use the reserve.
#[derive(Debug)]
struct Reclaiming {
    disk: DiskRef,
    reserve: Arc<Reserve>,
}

/// Makes a call that takes room for about `bytes`, and makes it again for as long as it finds none
/// and the reserve has something to give up.
fn with<T>(reserve: &Reserve, bytes: u64, call: impl Fn() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if is_volume_full(&error) && reserve.lend(bytes) => {}
            done => return done,
        }
    }
}

impl Disk for Reclaiming {
    fn open(&self, path: &Path, how: Open) -> io::Result<FileRef> {
        let file = with(&self.reserve, 0, || self.disk.open(path, how))?;
        Ok(Arc::new(ReclaimingFile { file, reserve: Arc::clone(&self.reserve) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        with(&self.reserve, 0, || self.disk.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        with(&self.reserve, 0, || self.disk.remove_file(path))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        with(&self.reserve, 0, || self.disk.create_dir(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        with(&self.reserve, 0, || self.disk.remove_dir(path))
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
        with(&self.reserve, 0, || self.disk.lock(path))
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.disk.space(path)
    }
}

#[derive(Debug)]
struct ReclaimingFile {
    file: FileRef,
    reserve: Arc<Reserve>,
}

impl File for ReclaimingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn read_at_hand(&self, buf: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        self.file.read_at_hand(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        with(&self.reserve, buf.len() as u64, || self.file.write_at(buf, offset))
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
        with(&self.reserve, 0, || self.file.set_len(len))
    }

    fn allocate(&self, from: u64, to: u64) -> io::Result<()> {
        with(&self.reserve, to.saturating_sub(from), || self.file.allocate(from, to))
    }

    fn evict(&self, from: u64, len: u64) -> io::Result<()> {
        self.file.evict(from, len)
    }
}
