//! Damage at rest: what a device does to bytes that were synced long ago.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::FaultDisk;
use super::fate::garbage;
use super::image::{FileId, FileNode, Image};
use super::names::Node;

/// Bytes per sector here.
const SECTOR: u64 = 512;

/// One damage. Sectors are numbered from 0 in units of 512 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rot {
    /// The bits of `mask` flip in the byte at `offset`.
    Flip {
        /// The file.
        path: PathBuf,
        /// The byte.
        offset: u64,
        /// Which bits; not 0.
        mask: u8,
    },
    /// A sector reads as zeros.
    Zero {
        /// The file.
        path: PathBuf,
        /// The sector.
        sector: u64,
    },
    /// A sector holds bytes nobody wrote, chosen by `seed`.
    Garbage {
        /// The file.
        path: PathBuf,
        /// The sector.
        sector: u64,
        /// Chooses the bytes.
        seed: u64,
    },
    /// A write went to the wrong place: the content of one sector also stands at another's.
    Misdirect {
        /// Where the content belongs.
        from: (PathBuf, u64),
        /// Where it also went.
        to: (PathBuf, u64),
    },
    /// The device dropped the last write of a sector, which was synced: it holds what it held
    /// before.
    DropWrite {
        /// The file.
        path: PathBuf,
        /// The sector.
        sector: u64,
    },
    /// The file's end is gone.
    Truncate {
        /// The file.
        path: PathBuf,
        /// What is left of it.
        len: u64,
    },
    /// The file is gone.
    Remove {
        /// The file.
        path: PathBuf,
    },
}

impl FaultDisk {
    /// Damages what is on the disk. Damage is for what lies at rest: what the file has unsynced
    /// becomes durable first. It is seen by reads at once, and is no call: not counted, not
    /// traced, not subject to faults.
    ///
    /// # Errors
    /// `NotFound` without such a file; `InvalidInput` when there is nothing at that place to
    /// damage, or the damage would change nothing: a test of damage must damage.
    pub fn rot(&self, rot: &Rot) -> io::Result<()> {
        let mut core = self.core();
        let image = &mut core.image;
        match rot {
            Rot::Flip { path, offset, mask } => {
                let mut byte = [0];
                let file = find(image, path)?;
                if image.files[file].cache.read(*offset, &mut byte) == 0 {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                overwrite(image.file_mut(file), *offset, &[byte[0] ^ mask])
            }
            Rot::Zero { path, sector } => {
                let file = find(image, path)?;
                let len = read(&image.files[file], *sector)?.len();
                overwrite(image.file_mut(file), sector * SECTOR, &vec![0; len])
            }
            Rot::Garbage { path, sector, seed } => {
                let file = find(image, path)?;
                let len = read(&image.files[file], *sector)?.len();
                overwrite(image.file_mut(file), sector * SECTOR, &garbage(*seed, len))
            }
            Rot::Misdirect { from, to } => {
                let source = find(image, &from.0)?;
                let target = find(image, &to.0)?;
                let mut bytes = read(&image.files[source], from.1)?;
                let len = read(&image.files[target], to.1)?.len();
                bytes.truncate(len);
                overwrite(image.file_mut(target), to.1 * SECTOR, &bytes)
            }
            Rot::DropWrite { path, sector } => {
                let file = find(image, path)?;
                let len = read(&image.files[file], *sector)?.len();
                let mut bytes = vec![0; len];
                image.files[file].previous.read(sector * SECTOR, &mut bytes);
                overwrite(image.file_mut(file), sector * SECTOR, &bytes)
            }
            Rot::Truncate { path, len } => {
                let file = find(image, path)?;
                if image.files[file].cache.len() <= *len {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                let file = image.file_mut(file);
                settle(file);
                file.cache.set_len(*len);
                file.durable.set_len(*len);
                Ok(())
            }
            Rot::Remove { path } => {
                let file = find(image, path)?;
                image.file_mut(file).linked = false;
                forget(image, Node::File(file));
                Ok(())
            }
        }
    }
}

fn find(image: &Image, path: &Path) -> io::Result<FileId> {
    Image::need_file(image.resolve(path)?.ok_or(io::ErrorKind::NotFound)?)
}

/// The content of a sector: less than 512 bytes at the end of a file, an error past it.
fn read(file: &FileNode, sector: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 512];
    let offset = sector.checked_mul(SECTOR).ok_or(io::ErrorKind::InvalidInput)?;
    let n = file.cache.read(offset, &mut bytes);
    bytes.truncate(n);
    if bytes.is_empty() { Err(io::ErrorKind::InvalidInput.into()) } else { Ok(bytes) }
}

/// Makes what the file has unsynced durable.
fn settle(file: &mut FileNode) {
    file.pending.clear();
    file.durable = file.cache.clone();
}

fn overwrite(file: &mut FileNode, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut before = vec![0; bytes.len()];
    file.cache.read(offset, &mut before);
    if before == bytes {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    settle(file);
    file.cache.write(offset, bytes);
    file.durable.write(offset, bytes);
    Ok(())
}

/// Takes every name of `node` away, those that a crash could bring back too.
fn forget(image: &mut Image, node: Node) {
    for dir in &mut image.dirs {
        let dir = Arc::make_mut(dir);
        dir.cache.retain(|_, there| *there != node);
        dir.durable.retain(|_, there| *there != node);
    }
    image.names.retain(|named| named.op.node() != node);
}
