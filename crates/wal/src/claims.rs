//! Space claimed before it is needed: zero-filled files named `spare-<n>` that become segments.
//!
//! Writing into blocks that are allocated and written makes a sync cheaper (no metadata changes)
//! and a full disk something that is noticed before an LSN was given. A trimmed segment that
//! nobody reads is reused as a spare: its old frames verify nowhere else, so it needs no zeros.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use base::io::{DiskRef, FileRef, Open, zero_range};

use crate::error::{Op, Result, WalError, is_full};
use crate::segment::{self, FileName};
use crate::sync::{Arc, Mutex, lock};

/// Zeros written between two syncs while claiming, so that a commit's sync never waits behind
/// more than this.
const CLAIM_STEP: u64 = 1024 * 1024;

/// A file that can become a segment.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) path: PathBuf,
    pub(crate) file: FileRef,
    /// Claimed bytes.
    pub(crate) size: u64,
}

impl Spare {
    /// Bytes for frames.
    pub(crate) fn capacity(&self) -> u64 {
        self.size - segment::HEADER_BYTES as u64
    }
}

/// The spares of one log.
#[derive(Debug)]
pub(crate) struct Claims {
    disk: DiskRef,
    dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ready: VecDeque<Spare>,
    last_name: u64,
}

impl Claims {
    /// `last_name` is the highest number among the names in use.
    pub(crate) fn new(disk: DiskRef, dir: &Path, last_name: u64) -> Self {
        let state = State { ready: VecDeque::new(), last_name };
        Self { disk, dir: dir.to_path_buf(), state: Mutex::new(state) }
    }

    fn new_path(&self) -> PathBuf {
        let mut state = lock(&self.state);
        state.last_name += 1;
        FileName::Spare(state.last_name).path(&self.dir)
    }

    /// Bytes for frames in all spares.
    pub(crate) fn capacity(&self) -> u64 {
        lock(&self.state).ready.iter().map(Spare::capacity).sum()
    }

    /// Number of spares.
    pub(crate) fn count(&self) -> usize {
        lock(&self.state).ready.len()
    }

    /// Makes a zero-filled file of `size` bytes, its bytes durable (its name is not), without
    /// putting it among the spares.
    pub(crate) fn make(&self, size: u64) -> Result<Spare> {
        let path = self.new_path();
        let file = self
            .disk
            .open(&path, Open::CreateNew)
            .map_err(|e| refused(Op::Open, &path, size, e))?;
        let filled = fill(&file, 0, size);
        if let Err((op, e)) = filled {
            self.discard(Spare { path: path.clone(), file, size });
            return Err(refused(op, &path, size, e));
        }
        Ok(Spare { path, file, size })
    }

    /// Adds a spare.
    pub(crate) fn put(&self, spare: Spare) {
        lock(&self.state).ready.push_back(spare);
    }

    /// Takes the first spare with room for a frame of `frame` bytes.
    pub(crate) fn take(&self, frame: u64) -> Option<Spare> {
        let mut state = lock(&self.state);
        let fit = state.ready.iter().position(|spare| spare.capacity() >= frame)?;
        state.ready.remove(fit)
    }

    /// Removes a file that is not needed. What cannot be removed is removed at the next open.
    pub(crate) fn discard(&self, spare: Spare) {
        if let Err(e) = self.disk.remove_file(&spare.path) {
            tracing::warn!(path = %spare.path.display(), error = %e, "spare file left behind");
        }
    }

    /// Gives all spares back to the disk.
    pub(crate) fn release(&self) {
        let ready = std::mem::take(&mut lock(&self.state).ready);
        for spare in ready {
            self.discard(spare);
        }
    }

    /// Turns a trimmed segment file that nobody holds into a spare. Its new name is durable
    /// before anything is written into it.
    pub(crate) fn recycle(&self, old: &Path, size: u64) -> Result<()> {
        let path = self.new_path();
        self.disk.rename(old, &path).map_err(|e| WalError::io(Op::Write, old, e))?;
        self.disk.sync_dir(&self.dir).map_err(|e| WalError::io(Op::Sync, &self.dir, e))?;
        let file =
            self.disk.open(&path, Open::Write).map_err(|e| WalError::io(Op::Open, &path, e))?;
        self.put(Spare { path, file, size });
        Ok(())
    }

    /// Makes the reserve's file a spare of this log.
    pub(crate) fn take_reserve(&self, reserve: &Reserve) -> Result<Option<u64>> {
        let path = self.new_path();
        let Some(size) = reserve.give(&path)? else { return Ok(None) };
        self.disk.sync_dir(&self.dir).map_err(|e| WalError::io(Op::Sync, &self.dir, e))?;
        let file =
            self.disk.open(&path, Open::Write).map_err(|e| WalError::io(Op::Open, &path, e))?;
        let spare = Spare { path, file, size };
        let capacity = spare.capacity();
        self.put(spare);
        Ok(Some(capacity))
    }
}

fn fill(file: &FileRef, from: u64, to: u64) -> std::result::Result<(), (Op, std::io::Error)> {
    let mut at = from;
    while at < to {
        let next = (at + CLAIM_STEP).min(to);
        zero_range(&**file, at, next).map_err(|e| (Op::Write, e))?;
        file.sync_data().map_err(|e| (Op::Sync, e))?;
        at = next;
    }
    Ok(())
}

fn refused(op: Op, path: &Path, bytes: u64, e: std::io::Error) -> WalError {
    if is_full(&e) { WalError::DiskFull { bytes } } else { WalError::io(op, path, e) }
}

/// One segment of space per data directory that only what frees space may use, so that a full
/// disk can be emptied through the database itself.
#[derive(Debug)]
pub struct Reserve {
    disk: DiskRef,
    dir: PathBuf,
    size: u64,
    state: Mutex<bool>,
}

const RESERVE_NAME: &str = "reserve";

impl Reserve {
    /// Opens or makes the reserve of the data directory `dir`: a zero-filled file of `size` bytes
    /// named `reserve`. On a disk that is full already it starts out used; [`Reserve::refill`]
    /// makes it later.
    ///
    /// # Errors
    /// The disk's, except that there is no room.
    pub fn open(disk: &DiskRef, dir: &Path, size: u64) -> Result<Arc<Self>> {
        let reserve = Self {
            disk: DiskRef::clone(disk),
            dir: dir.to_path_buf(),
            size: size.max(segment::BYTES_MIN),
            state: Mutex::new(false),
        };
        match reserve.refill() {
            Ok(()) | Err(WalError::DiskFull { .. }) => Ok(Arc::new(reserve)),
            Err(e) => Err(e),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.join(RESERVE_NAME)
    }

    /// Whether the reserve is there to be used.
    #[must_use]
    pub fn is_full(&self) -> bool {
        *lock(&self.state)
    }

    /// Whether the volume has so much room that making the reserve again takes nothing from
    /// those who write: twice its size.
    pub(crate) fn has_room_again(&self) -> bool {
        self.disk.space(&self.dir).is_ok_and(|space| space.available / 2 >= self.size)
    }

    /// Makes the reserve again after it was used.
    ///
    /// # Errors
    /// `DiskFull` while there is no room; the disk's others.
    pub fn refill(&self) -> Result<()> {
        let mut full = lock(&self.state);
        if *full {
            return Ok(());
        }
        let path = self.path();
        let fail = |op| {
            let path = path.clone();
            move |e| refused(op, &path, self.size, e)
        };
        let (file, have) = match self.disk.stat(&path).map_err(fail(Op::Open))? {
            Some(stat) => (self.disk.open(&path, Open::Write), stat.len),
            None => (self.disk.open(&path, Open::CreateNew), 0),
        };
        let file = file.map_err(fail(Op::Open))?;
        if let Err((op, e)) = fill(&file, have.min(self.size), self.size) {
            // A part of it would only take room that others can use.
            if self.disk.remove_file(&path).is_err() {
                tracing::warn!(path = %path.display(), "partial reserve left behind");
            }
            return Err(refused(op, &path, self.size, e));
        }
        self.disk.sync_dir(&self.dir).map_err(fail(Op::Sync))?;
        *full = true;
        Ok(())
    }

    /// Renames the reserve to `to`; `None` when it is used up.
    fn give(&self, to: &Path) -> Result<Option<u64>> {
        let mut full = lock(&self.state);
        if !*full {
            return Ok(None);
        }
        *full = false;
        let path = self.path();
        self.disk.rename(&path, to).map_err(|e| WalError::io(Op::Write, &path, e))?;
        self.disk.sync_dir(&self.dir).map_err(|e| WalError::io(Op::Sync, &self.dir, e))?;
        Ok(Some(self.size))
    }
}
