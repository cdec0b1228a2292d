//! A directory for the files of one bench, and the raw file that is the ceiling of everything that
//! writes to disk: system calls and nothing else.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use base::io::{Disk as _, RealDisk};
use rustix::fs::{CWD, Mode, OFlags};

/// A new directory, removed with the files in it on drop.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

/// The directory of the running program: in cargo's target directory, on the disk that holds it.
///
/// # Errors
/// When the system does not say where the program is.
pub fn beside_the_program() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    program.parent().map(Path::to_path_buf).ok_or_else(|| io::Error::other("no directory"))
}

impl Scratch {
    /// Makes `bench-<name>-<process id>` in `parent`.
    ///
    /// # Errors
    /// When the directory exists or cannot be made.
    pub fn new(parent: &Path, name: &str) -> io::Result<Self> {
        let path = parent.join(format!("bench-{name}-{}", std::process::id()));
        RealDisk.create_dir(&path)?;
        Ok(Self { path })
    }

    /// The path of a file in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Removes a file in it.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        RealDisk.remove_file(&self.path(name))
    }
}

impl Drop for Scratch {
    /// Peers make directories of their own, so everything below goes.
    #[expect(clippy::disallowed_methods, reason = "the storage seam has no recursive removal")]
    fn drop(&mut self) {
        // What is left behind is in the target directory, and its name says whose it was.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// An open file, by system calls.
#[derive(Debug)]
pub struct RawFile {
    fd: OwnedFd,
}

impl RawFile {
    /// A new file of `len` bytes, each written with zero and durable, so that writes into it change
    /// neither its length nor its extents.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn zero_filled(path: &Path, len: u64) -> io::Result<Self> {
        static CHUNK: [u8; 64 * 1024] = [0; 64 * 1024];
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::RUSR | Mode::WUSR)?;
        let file = Self { fd };
        let mut at = 0;
        while at < len {
            let chunk = usize::try_from(len - at).unwrap_or(CHUNK.len()).min(CHUNK.len());
            file.write_all_at(&CHUNK[..chunk], at)?;
            at += chunk as u64;
        }
        rustix::fs::fsync(&file.fd)?;
        Ok(file)
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = rustix::io::pwrite(&self.fd, bytes, offset)?;
            bytes = &bytes[n..];
            offset += n as u64;
        }
        Ok(())
    }

    /// `fdatasync`.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn sync_data(&self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&self.fd)?)
    }
}
