//! Space claimed before it is needed: zero-filled files named `spare-<n>` that become segments.
//!
//! Writing into blocks that are allocated and written makes a sync cheaper (no metadata changes)
//! and a full disk something that is noticed before an LSN was given. A trimmed segment that
//! nobody reads is reused as a spare: its old frames verify nowhere else, so it needs no zeros.
//! Whether more may be claimed on a disk that is about to be full, [`Reserve`] says.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use base::io::{DiskRef, FileRef, Open, is_full, zero_range};

use crate::error::{Op, Result, WalError};
use crate::reserve::Reserve;
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
    reserve: Option<Arc<Reserve>>,
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
    pub(crate) fn new(
        disk: DiskRef,
        reserve: Option<Arc<Reserve>>,
        dir: &Path,
        last_name: u64,
    ) -> Self {
        let state = State { ready: VecDeque::new(), last_name };
        Self { disk, reserve, dir: dir.to_path_buf(), state: Mutex::new(state) }
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
    /// putting it among the spares: of what is free, and not of the last of it.
    pub(crate) fn make(&self, size: u64) -> Result<Spare> {
        if let Some(reserve) = &self.reserve {
            reserve.afford(size)?;
        }
        self.make_on(&self.disk, size)
    }

    /// The same for what frees space, and for opening a log: of the reserve where nothing is free.
    pub(crate) fn make_of_reserve(&self, size: u64) -> Result<Spare> {
        match &self.reserve {
            Some(reserve) => self.make_on(&reserve.disk(), size),
            None => self.make_on(&self.disk, size),
        }
    }

    fn make_on(&self, disk: &DiskRef, size: u64) -> Result<Spare> {
        let path = self.new_path();
        let file =
            disk.open(&path, Open::CreateNew).map_err(|e| refused(Op::Open, &path, size, e))?;
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
