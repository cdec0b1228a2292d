//! A small value that is replaced as a whole and survives power loss at any moment: the base of
//! every MANIFEST.
//!
//! # Format
//!
//! Three files, `<name>.0`, `<name>.1` and `<name>.2`, each holding one version of the value:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic, chosen by the owner |
//! | 8 | 4 | format version, chosen by the owner |
//! | 12 | 4 | length of the value, bytes |
//! | 16 | 8 | sequence of this version, counted from 1 |
//! | 24 | 4 | CRC32C of bytes 0..24 and the value |
//! | 28 | 4 | zero |
//! | 32 | n | the value |
//!
//! A file is valid when magic, version, length and checksum fit. The valid file with the highest
//! sequence is the value. All integers are little-endian.
//!
//! # Why three
//!
//! With two, a writer overwrites the older one. After a sync that failed, a process may read the
//! newer one from the page cache though the disk never got it; overwriting the older one then
//! leaves, if power fails in that moment, none. So a version read at open is first written again
//! into the *third* file and synced: of the other two, one is durable for certain. Then the file
//! it was read from is written again too, before anybody acts on the value.
//!
//! After a failed store the same file is written again, never another. That holds across
//! processes: two files with the same newest value are one and the copy that an open made of it,
//! and nobody can see whether the copy's sync failed. The next open writes the newer of the two
//! first and the other after it, and never the third, which may be the only one on the disk.

use std::io;
use std::path::{Path, PathBuf};

use crate::io::{DiskRef, FileRef, Open, read_exact_at, write_all_at};

const HEADER_BYTES: usize = 32;
/// Largest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 64 * 1024 * 1024;
const FILES: usize = 3;

/// What went wrong with a slot set.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// No file of the set exists.
    #[error("there is no `{}`", .0.display())]
    Missing(PathBuf),
    /// Files exist and none is valid.
    #[error("none of the copies of `{}` is valid", .0.display())]
    Corrupt(PathBuf),
    /// The value was written by a version of docdb that this one does not know.
    #[error("`{}` has format version {version}; this build reads {supported}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
        /// What this build reads.
        supported: u32,
    },
    /// The value exceeds [`VALUE_BYTES_MAX`].
    #[error("the value has {0} bytes, more than the limit")]
    TooLarge(usize),
    /// The system refused a call.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

/// An open set of slots.
#[derive(Debug)]
pub struct Slots {
    base: PathBuf,
    kind: Kind,
    files: [FileRef; FILES],
    sequence: u64,
    next: usize,
}

/// What identifies the owner's files: a magic and a format version.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// First eight bytes of every file.
    pub magic: [u8; 8],
    /// Format version written, and the newest one read.
    pub version: u32,
}

/// One file of a set, as [`Slots::inspect`] finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotReport {
    /// The file.
    pub path: PathBuf,
    /// How it is.
    pub condition: Condition,
}

/// How one file of a set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// There is none.
    Missing,
    /// It holds a version of the value.
    Valid {
        /// Which version, from 1.
        sequence: u64,
        /// Length of the value.
        bytes: u64,
    },
    /// A later version of docdb wrote it, in this format version.
    Newer(u32),
    /// It holds no version of the value: it is damaged, or its writer was interrupted.
    Invalid,
}

fn slot_path(base: &Path, i: usize) -> PathBuf {
    let mut name = base.as_os_str().to_owned();
    name.push(format!(".{i}"));
    name.into()
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> SlotError + '_ {
    move |source| SlotError::Io { path: path.to_path_buf(), source }
}

impl Slots {
    /// Creates the three files at `<base>.0` to `.2` with a first value, durable on return. Files
    /// left there by a creation that was interrupted are replaced; none of those is valid.
    ///
    /// # Errors
    /// When the disk fails or the value is too large.
    pub fn create(
        disk: &DiskRef,
        base: &Path,
        kind: Kind,
        value: &[u8],
    ) -> Result<Self, SlotError> {
        let mut files = Vec::with_capacity(FILES);
        for i in 0..FILES {
            let path = slot_path(base, i);
            if disk.stat(&path).map_err(at(&path))?.is_some() {
                disk.remove_file(&path).map_err(at(&path))?;
            }
            files.push(disk.open(&path, Open::CreateNew).map_err(at(&path))?);
        }
        let files = files.try_into().expect("the loop made exactly three");
        let mut slots = Self { base: base.to_path_buf(), kind, files, sequence: 0, next: 0 };
        // The names come first: a valid copy under a name that a failed sync may have lost would
        // be opened, acted on, and gone after the next power loss.
        let dir = base.parent().unwrap_or(Path::new("/"));
        disk.sync_dir(dir).map_err(at(dir))?;
        // All three, so that replacing the value later needs no room on a disk that is full.
        for _ in 0..FILES {
            slots.store(value)?;
        }
        Ok(slots)
    }

    /// Whether any file of the set exists.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn exists(disk: &DiskRef, base: &Path) -> Result<bool, SlotError> {
        for i in 0..FILES {
            let path = slot_path(base, i);
            if disk.stat(&path).map_err(at(&path))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads the newest value without opening the set for writing and without making it durable:
    /// for tools that only look.
    ///
    /// # Errors
    /// As [`Slots::open`].
    pub fn peek(disk: &DiskRef, base: &Path, kind: Kind) -> Result<Vec<u8>, SlotError> {
        Self::peek_where(disk, base, kind, &|_| true)
    }

    /// The same of those values alone that are accepted: what was written to the wrong place is no value of this set.
    ///
    /// # Errors
    /// As [`Slots::open`].
    pub fn peek_where(
        disk: &DiskRef,
        base: &Path,
        kind: Kind,
        accepts: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>, SlotError> {
        let mut found = false;
        let mut best: Option<(u64, Vec<u8>)> = None;
        let mut newer = None;
        for i in 0..FILES {
            let path = slot_path(base, i);
            let file = match disk.open(&path, Open::Read) {
                Ok(file) => file,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(SlotError::Io { path, source }),
            };
            found = true;
            match decode(&file, kind).map_err(at(&path))? {
                Slot::Valid(sequence, value) if accepts(&value) => {
                    if best.as_ref().is_none_or(|(s, _)| *s < sequence) {
                        best = Some((sequence, value));
                    }
                }
                Slot::Newer(version) => newer = Some((path, version)),
                Slot::Valid(..) | Slot::Invalid => {}
            }
        }
        if let Some((path, version)) = newer {
            return Err(SlotError::Version { path, version, supported: kind.version });
        }
        match best {
            Some((_, value)) => Ok(value),
            None if found => Err(SlotError::Corrupt(base.to_path_buf())),
            None => Err(SlotError::Missing(base.to_path_buf())),
        }
    }

    /// Every value that can be read, whatever the other files are like: for what is the same in all of them.
    #[must_use]
    pub fn readable(disk: &DiskRef, base: &Path, kind: Kind) -> Vec<Vec<u8>> {
        let value = |i| {
            let file = disk.open(&slot_path(base, i), Open::Read).ok()?;
            match decode(&file, kind) {
                Ok(Slot::Valid(_, value)) => Some(value),
                Ok(Slot::Newer(_) | Slot::Invalid) | Err(_) => None,
            }
        };
        (0..FILES).filter_map(value).collect()
    }

    /// Looks at every file of a set by itself and writes nothing. One that is not valid costs
    /// nothing as long as another one is: opening the set writes it again.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn inspect(disk: &DiskRef, base: &Path, kind: Kind) -> Result<Vec<SlotReport>, SlotError> {
        let mut reports = Vec::with_capacity(FILES);
        for i in 0..FILES {
            let path = slot_path(base, i);
            let condition = match disk.open(&path, Open::Read) {
                Ok(file) => match decode(&file, kind).map_err(at(&path))? {
                    Slot::Valid(sequence, value) => {
                        Condition::Valid { sequence, bytes: value.len() as u64 }
                    }
                    Slot::Newer(version) => Condition::Newer(version),
                    Slot::Invalid => Condition::Invalid,
                },
                Err(e) if e.kind() == io::ErrorKind::NotFound => Condition::Missing,
                Err(source) => return Err(SlotError::Io { path, source }),
            };
            reports.push(SlotReport { path, condition });
        }
        Ok(reports)
    }

    /// Opens the set, reads the newest value and makes it durable before returning it.
    ///
    /// # Errors
    /// [`SlotError::Missing`], [`SlotError::Corrupt`], [`SlotError::Version`], or the disk's.
    pub fn open(disk: &DiskRef, base: &Path, kind: Kind) -> Result<(Self, Vec<u8>), SlotError> {
        Self::open_where(disk, base, kind, &|_| true)
    }

    /// The same of those values alone that are accepted; the others are written over.
    ///
    /// # Errors
    /// As [`Slots::open`].
    pub fn open_where(
        disk: &DiskRef,
        base: &Path,
        kind: Kind,
        accepts: &dyn Fn(&[u8]) -> bool,
    ) -> Result<(Self, Vec<u8>), SlotError> {
        let value = Self::peek_where(disk, base, kind, accepts)?;
        let mut files = Vec::with_capacity(FILES);
        let mut order = Vec::with_capacity(FILES);
        for i in 0..FILES {
            let path = slot_path(base, i);
            let file = match disk.open(&path, Open::Write) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => disk.open(&path, Open::CreateNew),
                other => other,
            }
            .map_err(at(&path))?;
            let (sequence, same) = match decode(&file, kind).map_err(at(&path))? {
                Slot::Valid(sequence, found) if accepts(&found) => (sequence, found == value),
                Slot::Valid(..) | Slot::Newer(_) | Slot::Invalid => (0, false),
            };
            order.push((sequence, i, same));
            files.push(file);
        }
        // A file that was missing has just been given its name.
        let dir = base.parent().unwrap_or(Path::new("/"));
        disk.sync_dir(dir).map_err(at(dir))?;
        order.sort_unstable();
        let files = files.try_into().expect("the loop opened exactly three");
        let [oldest, middle, newest] = order.try_into().expect("the loop opened exactly three");
        let (first, second, spared) =
            if middle.2 { (newest.1, middle.1, oldest.1) } else { (oldest.1, newest.1, middle.1) };
        let base = base.to_path_buf();
        let mut slots = Self { base, kind, files, sequence: newest.0, next: first };
        slots.store(&value)?;
        slots.next = second;
        slots.store(&value)?;
        slots.next = spared;
        Ok((slots, value))
    }

    /// Replaces the value; durable on return.
    ///
    /// # Errors
    /// When the disk fails. The value is then either the old one or the new one, and the next
    /// successful store decides.
    pub fn store(&mut self, value: &[u8]) -> Result<(), SlotError> {
        let len = u32::try_from(value.len())
            .ok()
            .filter(|len| *len as usize <= VALUE_BYTES_MAX)
            .ok_or(SlotError::TooLarge(value.len()))?;
        let sequence = self.sequence + 1;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + value.len());
        bytes.extend_from_slice(&self.kind.magic);
        bytes.extend_from_slice(&self.kind.version.to_le_bytes());
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(&sequence.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes), value);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(value);
        let path = slot_path(&self.base, self.next);
        // The sequence is spent even if the store fails, so that no two versions share one.
        self.sequence = sequence;
        let file = self.files.get(self.next).expect("the next slot is one of three");
        write_all_at(&**file, &bytes, 0).map_err(at(&path))?;
        file.sync_data().map_err(at(&path))?;
        self.next = (self.next + 1) % FILES;
        Ok(())
    }
}

enum Slot {
    Valid(u64, Vec<u8>),
    Newer(u32),
    Invalid,
}

fn decode(file: &FileRef, kind: Kind) -> io::Result<Slot> {
    let len = file.len()?;
    let mut header = [0; HEADER_BYTES];
    if len < HEADER_BYTES as u64 {
        return Ok(Slot::Invalid);
    }
    read_exact_at(&**file, &mut header, 0)?;
    let (magic, rest) = header.split_at(8);
    let field = |from: usize| -> u32 {
        let bytes = rest.get(from..from + 4).and_then(|b| b.try_into().ok());
        u32::from_le_bytes(bytes.unwrap_or_default())
    };
    let version = field(0);
    let value_len = field(4) as usize;
    let sequence = u64::from(field(8)) | (u64::from(field(12)) << 32);
    let crc = field(16);
    if magic != kind.magic || value_len > VALUE_BYTES_MAX || (HEADER_BYTES + value_len) as u64 > len
    {
        return Ok(Slot::Invalid);
    }
    let mut value = vec![0; value_len];
    read_exact_at(&**file, &mut value, HEADER_BYTES as u64)?;
    let covered = header.get(..24).unwrap_or_default();
    if crc32c::crc32c_append(crc32c::crc32c(covered), &value) != crc || sequence == 0 {
        return Ok(Slot::Invalid);
    }
    if version > kind.version {
        return Ok(Slot::Newer(version));
    }
    Ok(Slot::Valid(sequence, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::MemDisk;

    const KIND: Kind = Kind { magic: *b"TESTSLOT", version: 1 };

    fn base() -> PathBuf {
        PathBuf::from("/MANIFEST")
    }

    #[test]
    fn a_look_names_every_file_that_holds_no_version() {
        let disk = MemDisk::shared();
        Slots::create(&disk, &base(), KIND, b"one").unwrap();
        let look = || -> Vec<Condition> {
            let reports = Slots::inspect(&disk, &base(), KIND).unwrap();
            reports.into_iter().map(|report| report.condition).collect()
        };
        let valid = |sequence| Condition::Valid { sequence, bytes: 3 };
        assert_eq!(look(), [valid(1), valid(2), valid(3)]);
        let file = disk.open(&slot_path(&base(), 1), Open::Write).unwrap();
        write_all_at(&*file, b"X", 33).unwrap();
        disk.remove_file(&slot_path(&base(), 2)).unwrap();
        assert_eq!(look(), [valid(1), Condition::Invalid, Condition::Missing]);
    }

    #[test]
    fn the_newest_value_is_read_back_and_survives_damage_to_any_other_copy() {
        let disk = MemDisk::shared();
        let mut slots = Slots::create(&disk, &base(), KIND, b"one").unwrap();
        for value in [&b"two"[..], b"a third and longer value", b"4"] {
            slots.store(value).unwrap();
            assert_eq!(Slots::peek(&disk, &base(), KIND).unwrap(), value);
        }
        let damaged = slots.next;
        let file = disk.open(&slot_path(&base(), damaged), Open::Write).unwrap();
        file.write_at(b"garbage", 3).unwrap();
        let (_, value) = Slots::open(&disk, &base(), KIND).unwrap();
        assert_eq!(value, b"4");
    }

    #[test]
    fn a_damaged_newest_copy_falls_back_and_all_damaged_is_an_error() {
        let disk = MemDisk::shared();
        let mut slots = Slots::create(&disk, &base(), KIND, b"one").unwrap();
        slots.store(b"two").unwrap();
        let one = Some(&b"one"[..]);
        for (i, expect) in [(0, one), (1, one), (2, None)] {
            let file = disk.open(&slot_path(&base(), i), Open::Write).unwrap();
            file.write_at(b"x", 33).unwrap();
            match expect {
                Some(v) => assert_eq!(Slots::peek(&disk, &base(), KIND).unwrap(), v),
                None => {
                    assert!(matches!(Slots::peek(&disk, &base(), KIND), Err(SlotError::Corrupt(_))))
                }
            }
        }
    }

    #[test]
    fn a_missing_set_and_a_newer_version_are_told_apart() {
        let disk = MemDisk::shared();
        assert!(matches!(Slots::open(&disk, &base(), KIND), Err(SlotError::Missing(_))));
        Slots::create(&disk, &base(), Kind { version: 9, ..KIND }, b"v").unwrap();
        assert!(matches!(
            Slots::open(&disk, &base(), KIND),
            Err(SlotError::Version { version: 9, supported: 1, .. })
        ));
    }
}
