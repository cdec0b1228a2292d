//! The operating system's file system. The only file in the project that touches `std::fs`.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the seam's far side")]

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use super::{Disk, Entry, EntryKind, File, FileRef, Lock, Open, Space, Stat};

/// The operating system's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl RealDisk {
    /// A shared handle.
    #[must_use]
    pub fn shared() -> super::DiskRef {
        Arc::new(Self)
    }
}

/// Files are for the user that docdb runs as: documents and keys are nobody else's.
const FILE_MODE: u32 = 0o600;

#[derive(Debug)]
struct RealFile(fs::File);

#[derive(Debug)]
struct RealLock {
    _file: fs::File,
}

impl Lock for RealLock {}

fn kind_of(kind: fs::FileType) -> EntryKind {
    if kind.is_file() {
        EntryKind::File
    } else if kind.is_dir() {
        EntryKind::Directory
    } else {
        EntryKind::Other
    }
}

fn len_of(meta: &fs::Metadata) -> u64 {
    if meta.is_file() { meta.len() } else { 0 }
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<FileRef> {
        let mut options = fs::OpenOptions::new();
        options.read(true);
        match how {
            Open::Read => {}
            Open::Write => _ = options.write(true),
            Open::CreateNew => _ = options.write(true).create_new(true).mode(FILE_MODE),
        }
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // An entry may vanish between listing and looking: another thread's unlink.
            let meta = match fs::symlink_metadata(entry.path()) {
                Ok(meta) => meta,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            entries.push(Entry {
                name: entry.file_name().to_string_lossy().into_owned(),
                kind: kind_of(meta.file_type()),
                len: len_of(&meta),
            });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        match fs::symlink_metadata(path) {
            Ok(meta) => Ok(Some(Stat { kind: kind_of(meta.file_type()), len: len_of(&meta) })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .mode(FILE_MODE)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealLock { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(fs::TryLockError::Error(e)) => Err(e),
        }
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let vfs = rustix::fs::statvfs(path)?;
        Ok(Space {
            total: vfs.f_blocks.saturating_mul(vfs.f_frsize),
            available: vfs.f_bavail.saturating_mul(vfs.f_frsize),
        })
    }
}

impl File for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    #[cfg(target_os = "linux")]
    fn read_at_hand(&self, buf: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        use rustix::io::{Errno, ReadWriteFlags, preadv2};
        let mut parts = [io::IoSliceMut::new(buf)];
        match preadv2(&self.0, &mut parts, offset, ReadWriteFlags::NOWAIT) {
            Ok(read) => Ok(Some(read)),
            // Not in the page cache, interrupted, or a file system that cannot say.
            Err(Errno::AGAIN | Errno::INTR | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    #[cfg(target_os = "linux")]
    fn allocate(&self, from: u64, to: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::{Errno, retry_on_intr};
        let len = to.saturating_sub(from);
        if len == 0 {
            return Ok(());
        }
        match retry_on_intr(|| fallocate(&self.0, FallocateFlags::empty(), from, len)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Err(io::ErrorKind::Unsupported.into()),
            done => Ok(done?),
        }
    }

    fn evict(&self, from: u64, len: u64) -> io::Result<()> {
        drop_pages(&self.0, from, len)
    }
}

/// The largest page of the systems that docdb runs on. The kernel keeps a page of which only a
/// part was named, so ranges are widened to whole ones.
#[cfg(target_os = "linux")]
const PAGE_BYTES_MAX: u64 = 64 * 1024;

#[cfg(target_os = "linux")]
fn drop_pages(file: &fs::File, from: u64, len: u64) -> io::Result<()> {
    use rustix::fs::{Advice, fadvise};
    if len == 0 {
        return Ok(());
    }
    let start = from - from % PAGE_BYTES_MAX;
    let end = from.saturating_add(len).checked_next_multiple_of(PAGE_BYTES_MAX);
    // Without a length the call means everything to the end of the file.
    let len = end.and_then(|end| std::num::NonZeroU64::new(end - start));
    let len = len.filter(|len| i64::try_from(len.get()).is_ok());
    Ok(fadvise(file, start, len, Advice::DontNeed)?)
}

/// Elsewhere there is no such call: what is read back proves what the system remembers.
#[cfg(not(target_os = "linux"))]
fn drop_pages(_file: &fs::File, _from: u64, _len: u64) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn what_was_just_written_is_at_hand_and_nothing_is_behind_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let file = RealDisk.open(&dir.path().join("f"), Open::CreateNew).unwrap();
        file.write_at(b"some bytes", 0).unwrap();
        let mut bytes = [0; 32];
        // A file system that cannot say answers none.
        if let Some(read) = file.read_at_hand(&mut bytes, 5).unwrap() {
            assert_eq!(bytes.get(..read), Some(&b"bytes"[..]));
            assert_eq!(file.read_at_hand(&mut bytes, 1000).unwrap(), Some(0));
        }
    }

    #[test]
    fn files_that_are_made_are_for_their_user_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (file, lock) = (dir.path().join("f"), dir.path().join("LOCK"));
        RealDisk.open(&file, Open::CreateNew).unwrap();
        let _held = RealDisk.lock(&lock).unwrap();
        for path in [file, lock] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn claimed_bytes_have_their_room_and_are_zeros_behind_what_was_there() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = RealDisk.open(&path, Open::CreateNew).unwrap();
        file.write_at(b"abc", 0).unwrap();
        crate::io::claim_range(&*file, 3, 300_000).unwrap();
        let mut bytes = vec![1; 300_000];
        crate::io::read_exact_at(&*file, &mut bytes, 0).unwrap();
        assert_eq!(bytes.get(..3), Some(&b"abc"[..]));
        assert!(bytes.iter().skip(3).all(|byte| *byte == 0));
        let found = fs::metadata(&path).unwrap();
        assert_eq!(found.len(), 300_000);
        assert!(found.blocks() * 512 >= 300_000, "it is a hole");
        crate::io::claim_range(&*file, 300_000, 300_000).unwrap();
    }

    #[test]
    fn dropping_pages_loses_neither_synced_nor_unsynced_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = RealDisk.open(&path, Open::CreateNew).unwrap();
        let reader = RealDisk.open(&path, Open::Read).unwrap();
        for (sync, byte) in [(true, 1), (false, 2)] {
            file.write_at(&[byte; 200_000], 100).unwrap();
            if sync {
                file.sync_data().unwrap();
            }
            for (from, len) in [(0, 0), (5000, 1), (100, 200_000), (0, u64::MAX), (u64::MAX, 1)] {
                reader.evict(from.min(1 << 40), len).unwrap();
                let mut bytes = vec![0; 200_000];
                crate::io::read_exact_at(&*reader, &mut bytes, 100).unwrap();
                assert!(bytes.iter().all(|b| *b == byte), "from={from} len={len}");
            }
        }
    }
}
