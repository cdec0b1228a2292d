//! Copying one file into a backup, and reading it back.
//!
//! A copy is made under a name of its own and renamed once it was synced and read back past the
//! page cache: under the name of a file of the backup there is never less than all of it.
//!
//! The checksum of a file is CRC-32 as in zlib and PNG, not CRC32C as everywhere else. A part that
//! ends in its own CRC32C leaves the same CRC32C of the whole file behind whatever is in it: a header
//! in the place of another would not be seen.

use std::sync::Arc;

use base::io::{FileRef, Open, read_full_at, write_all_at};

use super::catalog::{FileCopy, PART};
use super::{BackupDir, Meter};
use crate::error::{Op, Result, StoreError};

/// Bytes copied at once.
const CHUNK_BYTES: usize = 1024 * 1024;

/// Copies the first `len` bytes of `source`, or all when it is shorter, to `name`. Its bytes are
/// durable on return, its name is not. `meter` counts what is written, not what is read back.
pub(super) fn copy(
    to: &BackupDir,
    name: &str,
    source: &FileRef,
    len: u64,
    meter: &mut Meter<'_>,
) -> Result<FileCopy> {
    let path = to.dir.join(name);
    let part = to.dir.join(format!("{name}{PART}"));
    let fail = |op| {
        let part = part.clone();
        move |e| StoreError::io(op, part, e)
    };
    if to.disk.stat(&part).map_err(fail(Op::Open))?.is_some() {
        to.disk.remove_file(&part).map_err(fail(Op::Write))?;
    }
    let file = to.disk.open(&part, Open::CreateNew).map_err(fail(Op::Open))?;
    let mut write = |bytes: &[u8], at: u64| {
        write_all_at(&*file, bytes, at)?;
        meter.add(bytes.len() as u64);
        Ok(())
    };
    let written = each_chunk(source, len, &mut write).map_err(|failed| failed.at(name, &part))?;
    file.sync_data().map_err(fail(Op::Sync))?;
    file.evict(0, written.bytes).map_err(fail(Op::Read))?;
    let found = each_chunk(&file, u64::MAX, &mut |_, _| Ok(()))
        .map_err(|failed| failed.at(&part.display().to_string(), &part))?;
    if found != written {
        let what = format!("`{}` reads back as something else than was written", part.display());
        return Err(StoreError::Backup(Arc::from(what)));
    }
    to.disk.rename(&part, &path).map_err(fail(Op::Write))?;
    Ok(written)
}

/// Length and checksum of a file of the backup as it is on the device.
pub(super) fn read_back(from: &BackupDir, name: &str, meter: &mut Meter<'_>) -> Result<FileCopy> {
    let path = from.dir.join(name);
    let file = from.disk.open(&path, Open::Read).map_err(|e| StoreError::io(Op::Open, &path, e))?;
    let read = |e| StoreError::io(Op::Read, &path, e);
    file.evict(0, file.len().map_err(read)?).map_err(read)?;
    let mut count = |bytes: &[u8], _| {
        meter.add(bytes.len() as u64);
        Ok(())
    };
    let found = each_chunk(&file, u64::MAX, &mut count);
    found.map_err(|failed| failed.at(&path.display().to_string(), &path))
}

/// Which side of a copy failed.
enum Failed {
    Source(std::io::Error),
    Target(std::io::Error),
}

impl Failed {
    fn at(self, source: &str, target: &std::path::Path) -> StoreError {
        match self {
            Self::Source(e) => StoreError::io(Op::Read, source, e),
            Self::Target(e) => StoreError::io(Op::Write, target, e),
        }
    }
}

/// Reads a file up to `len` and hands it over piece by piece; answers what was read.
fn each_chunk(
    file: &FileRef,
    len: u64,
    take: &mut dyn FnMut(&[u8], u64) -> std::io::Result<()>,
) -> std::result::Result<FileCopy, Failed> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let (mut at, mut crc) = (0, crc32fast::Hasher::new());
    while at < len {
        let wanted = usize::try_from(len - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let room = buffer.get_mut(..wanted).unwrap_or_default();
        let got = read_full_at(&**file, room, at).map_err(Failed::Source)?;
        let bytes = buffer.get(..got).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        take(bytes, at).map_err(Failed::Target)?;
        crc.update(bytes);
        at += got as u64;
    }
    Ok(FileCopy { bytes: at, checksum: crc.finalize() })
}
