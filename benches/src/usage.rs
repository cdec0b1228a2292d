//! What a process has of memory and a directory of the disk, as the system tells it.

use std::io;
use std::path::Path;

use base::io::{Disk as _, EntryKind, RealDisk};
use serde::{Deserialize, Serialize};

/// Memory of a process, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Resident, all of it.
    pub resident: u64,
    /// Of that, its own: neither files that it has mapped nor the system's cache.
    pub anonymous: u64,
}

impl Memory {
    /// That of this process.
    ///
    /// # Errors
    /// When the system does not tell.
    #[expect(clippy::disallowed_methods, reason = "the system's own files, not docdb's")]
    pub fn of_this_process() -> io::Result<Self> {
        Self::parse(&std::fs::read_to_string("/proc/self/status")?)
    }

    fn parse(status: &str) -> io::Result<Self> {
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let number = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
            number.ok_or_else(|| io::Error::other(format!("the system does not tell {name}")))
        };
        let (resident, anonymous): (u64, u64) = (kib("VmRSS")?, kib("RssAnon")?);
        Ok(Self { resident: resident * 1024, anonymous: anonymous * 1024 })
    }
}

/// Bytes of the disk that the files of `dir` and of the directories in it take: blocks, not
/// lengths.
///
/// # Errors
/// Whatever the system says.
pub fn disk_bytes(dir: &Path) -> io::Result<u64> {
    const BLOCK: u64 = 512;
    let mut bytes = 0;
    for entry in RealDisk.list(dir)? {
        let path = dir.join(&entry.name);
        if entry.kind == EntryKind::Directory {
            bytes += disk_bytes(&path)?;
        } else {
            let blocks = rustix::fs::stat(&path)?.st_blocks;
            bytes += u64::try_from(blocks).unwrap_or(0) * BLOCK;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scratch;
    use crate::scratch::RawFile;

    #[test]
    fn memory_is_read_from_what_the_system_says() {
        let status = "Name:\tx\nVmRSS:\t    2048 kB\nRssAnon:\t    1024 kB\n";
        let expected = Memory { resident: 2 << 20, anonymous: 1 << 20 };
        assert_eq!(Memory::parse(status).unwrap(), expected);
        assert!(Memory::parse("VmRSS: 1 kB\n").is_err());
        assert!(Memory::of_this_process().unwrap().anonymous > 0);
    }

    #[test]
    fn the_blocks_of_files_are_counted_in_directories_below_too() {
        let scratch = Scratch::new(&std::env::temp_dir(), "usage").unwrap();
        let inner = scratch.path("inner");
        RealDisk.create_dir(&inner).unwrap();
        RawFile::zero_filled(&scratch.path("a"), 8192).unwrap();
        RawFile::zero_filled(&inner.join("b"), 1).unwrap();
        let bytes = disk_bytes(&scratch.path("")).unwrap();
        assert!((8192..65_536).contains(&bytes), "{bytes} bytes");
    }
}
