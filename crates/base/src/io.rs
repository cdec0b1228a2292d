//! The storage seam: every byte docdb reads from or writes to a file passes here.
//!
//! [`Disk`] is a file system, [`File`] an open file. [`RealDisk`] is the operating system's,
//! [`MemDisk`] lives in memory; the simulator brings a third that loses power. Both traits are
//! deliberately small: positioned reads and writes, two kinds of sync, and the handful of
//! directory operations whose crash behaviour is described in `docs/formats/fault-model.md`.
//!
//! # What a caller may rely on
//!
//! - Bytes are durable only after [`File::sync_data`] (or `sync_all`) on that file returned `Ok`.
//! - A name is durable only after [`Disk::sync_dir`] on its directory returned `Ok`.
//! - A failed sync promises nothing about the bytes written before it, ever: it must not be
//!   retried as if a later success covered them.
//!
//! Errors are plain [`std::io::Error`]s so that `raw_os_error` (`EIO`, `ENOSPC`, …) survives;
//! stores add the path and the operation when they turn them into their own errors.

mod mem;
mod real;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use mem::MemDisk;
pub use real::RealDisk;

/// A shared file system.
pub type DiskRef = Arc<dyn Disk>;
/// A shared open file.
pub type FileRef = Arc<dyn File>;

/// How to open a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// Reading only; the file must exist.
    Read,
    /// Reading and writing; the file must exist.
    Write,
    /// Reading and writing; the file must not exist.
    CreateNew,
}

/// What a directory entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else: links, sockets, devices. docdb never makes them and never follows them.
    Other,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// File name without its directory. Names that are not UTF-8 are given lossily: none of ours
    /// is such a name, so none is ever mistaken for one of ours.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Length in bytes (0 for directories).
    pub len: u64,
}

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: EntryKind,
    /// Length in bytes (0 for directories).
    pub len: u64,
}

/// Room on the volume that holds a path, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Size of the volume.
    pub total: u64,
    /// What an unprivileged process may still write.
    pub available: u64,
}

/// An exclusive lock on a file, given back on drop (and by the system when the process ends).
pub trait Lock: Send + Sync + Debug {}

/// A file system.
///
/// All paths are given whole; the seam keeps no working directory.
pub trait Disk: Send + Sync + Debug {
    /// Opens a file. With [`Open::CreateNew`] the new name is durable only after `sync_dir`.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, or whatever the system says.
    fn open(&self, path: &Path, how: Open) -> io::Result<FileRef>;

    /// Renames a file or directory, replacing a file at `to`. Durable after `sync_dir`.
    ///
    /// # Errors
    /// `NotFound` when `from` does not exist.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name. Durable after `sync_dir`. Open handles stay usable.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Creates one directory, whose parent must exist. Durable after `sync_dir` of the parent.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound` when the parent is missing.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory. Durable after `sync_dir` of the parent.
    ///
    /// # Errors
    /// `NotFound`, or the system's error for a directory that is not empty.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// The entries of a directory, sorted by name.
    ///
    /// # Errors
    /// `NotFound` when there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;

    /// What `path` names, `None` when it names nothing.
    ///
    /// # Errors
    /// Whatever the system says, except that the path does not exist.
    fn stat(&self, path: &Path) -> io::Result<Option<Stat>>;

    /// Makes the directory's names durable.
    ///
    /// # Errors
    /// After an error the names promised nothing; do not retry as if a later success covered them.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes an exclusive lock on the file at `path`, creating it when absent. Never waits.
    ///
    /// # Errors
    /// `WouldBlock` when another holder has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;

    /// Room on the volume that holds `path`.
    ///
    /// # Errors
    /// Whatever the system says.
    fn space(&self, path: &Path) -> io::Result<Space>;
}

/// An open file. Every method may be called from any thread; offsets are explicit.
pub trait File: Send + Sync + Debug {
    /// Reads up to `buf.len()` bytes at `offset`; 0 means the end of the file.
    ///
    /// # Errors
    /// Whatever the system says; may read short. [`read_exact_at`] and [`read_full_at`] loop.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// As [`File::read_at`] if the bytes can be had without waiting for a device; none when they
    /// cannot, or nobody knows: then [`File::read_at`] is the way. May read short where the next
    /// bytes are not at hand.
    ///
    /// # Errors
    /// Whatever the system says.
    fn read_at_hand(&self, buf: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        let _ = (buf, offset);
        Ok(None)
    }

    /// Writes up to `buf.len()` bytes at `offset`, extending the file when past its end.
    ///
    /// # Errors
    /// Whatever the system says; may write short. [`write_all_at`] loops.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes the bytes (and the length needed to read them) durable: `fdatasync`.
    ///
    /// # Errors
    /// After an error nothing is known about any byte written since the last `Ok`.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes bytes and metadata durable: `fsync`.
    ///
    /// # Errors
    /// As for [`File::sync_data`].
    fn sync_all(&self) -> io::Result<()>;

    /// Length in bytes.
    ///
    /// # Errors
    /// Whatever the system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    /// Whatever the system says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts or extends (with zeros) to `len` bytes. Durable after a sync.
    ///
    /// # Errors
    /// Whatever the system says.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Takes room on the volume for the bytes from `from` to `to`, and extends the file to `to`.
    /// What is read there is zeros, or what was there. [`claim_range`] is for those who want the
    /// room on any file system.
    ///
    /// # Errors
    /// `Unsupported` where there is no such call; otherwise whatever the system says, after which
    /// a part of the room may have been taken.
    fn allocate(&self, from: u64, to: u64) -> io::Result<()> {
        let _ = (from, to);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Asks that the next read of these bytes comes from the device and not from memory. Whole
    /// pages around the range may go with it. Bytes that were not synced stay in memory: call
    /// this after a successful sync.
    ///
    /// A request, not a promise: a system without a page cache of its own, or one where another
    /// process holds the pages, may keep them. What is read afterwards is never wrong, at worst
    /// it proves less.
    ///
    /// # Errors
    /// Whatever the system says; nothing was harmed then.
    fn evict(&self, from: u64, len: u64) -> io::Result<()>;
}

/// Removes a directory with everything in it; says whether it was there. Links are removed and not
/// followed. Durable when the directory around it is synced.
///
/// # Errors
/// The disk's; what was removed until then stays so.
pub fn remove_tree(disk: &dyn Disk, dir: &Path) -> io::Result<bool> {
    if disk.stat(dir)?.is_none() {
        return Ok(false);
    }
    for entry in disk.list(dir)? {
        let path = dir.join(&entry.name);
        match entry.kind {
            EntryKind::Directory => drop(remove_tree(disk, &path)?),
            EntryKind::File | EntryKind::Other => disk.remove_file(&path)?,
        }
    }
    disk.remove_dir(dir)?;
    Ok(true)
}

/// Whether the device said that it cannot give back what it holds (`EIO`): damage to the place
/// that was read, as bytes that do not fit their checksum are.
#[must_use]
pub fn is_unreadable(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

/// Whether there was no room for what was to be written: on the volume, in a quota, or because the
/// file may not be larger (`RLIMIT_FSIZE`, or the largest file of the file system).
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    is_volume_full(error) || error.kind() == io::ErrorKind::FileTooLarge
}

/// The same, of what giving room back can help: the volume is full, or a quota is used up.
#[must_use]
pub fn is_volume_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether a call was not even tried because no more files can be open (`EMFILE`, `ENFILE`). Said
/// of a sync of a directory, which begins with opening it: no sync says so, so that nothing is in
/// doubt and the call may be made again.
#[must_use]
pub fn is_untried(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let untried = [Errno::MFILE.raw_os_error(), Errno::NFILE.raw_os_error()];
    error.raw_os_error().is_some_and(|errno| untried.contains(&errno))
}

/// How often one call is repeated after `EINTR` or `EAGAIN` before giving up.
const RETRIES_MAX: u32 = 64;

fn again(error: &io::Error, tries: &mut u32) -> bool {
    *tries += 1;
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
        && *tries <= RETRIES_MAX
}

/// Reads until `buf` is full or the file ends; returns how many bytes were read.
///
/// # Errors
/// The first error that is not `EINTR` or `EAGAIN`, or those after 64 of them in a row.
pub fn read_full_at(file: &dyn File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    let mut tries = 0;
    while done < buf.len() {
        let Some(rest) = buf.get_mut(done..) else { break };
        match file.read_at(rest, offset + done as u64) {
            Ok(0) => break,
            Ok(n) => (done, tries) = (done + n, 0),
            Err(e) if again(&e, &mut tries) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// Fills `buf` from `offset`.
///
/// # Errors
/// `UnexpectedEof` when the file is shorter; otherwise as [`read_full_at`].
pub fn read_exact_at(file: &dyn File, buf: &mut [u8], offset: u64) -> io::Result<()> {
    let wanted = buf.len();
    let got = read_full_at(file, buf, offset)?;
    if got == wanted { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Writes all of `buf` at `offset`, repeating short writes, `EINTR` and `EAGAIN`.
///
/// # Errors
/// The first other error; any prefix of `buf` may have been written then.
pub fn write_all_at(file: &dyn File, buf: &[u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    let mut tries = 0;
    while let Some(rest) = buf.get(done..).filter(|rest| !rest.is_empty()) {
        match file.write_at(rest, offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => (done, tries) = (done + n, 0),
            Err(e) if again(&e, &mut tries) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Makes sure that the bytes from `from` to `to`, behind the end of the file, have their room on the
/// volume: by [`File::allocate`], or by writing zeros where there is no such call.
///
/// # Errors
/// The system's; a part of the room may have been taken.
pub fn claim_range(file: &dyn File, from: u64, to: u64) -> io::Result<()> {
    match file.allocate(from, to) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => zero_range(file, from, to),
        done => done,
    }
}

/// Writes zeros from `from` to `to`, in pieces of at most 256 KiB.
///
/// # Errors
/// As [`write_all_at`].
pub fn zero_range(file: &dyn File, from: u64, to: u64) -> io::Result<()> {
    static ZEROS: [u8; 256 * 1024] = [0; 256 * 1024];
    let mut at = from;
    while at < to {
        let n = usize::try_from(to - at).unwrap_or(usize::MAX).min(ZEROS.len());
        write_all_at(file, ZEROS.get(..n).unwrap_or(&ZEROS), at)?;
        at += n as u64;
    }
    Ok(())
}
