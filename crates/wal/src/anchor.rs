//! What a log must know before it reads its own files: the manifest's part of it.
//!
//! A database keeps this inside its MANIFEST; a log that stands alone keeps it in slot files of
//! its own ([`FileAnchor`]). Either way [`Anchor::store`] returns only when the state is durable.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::io::DiskRef;
use base::slots::{Kind, SlotError, SlotReport, Slots};
use base::words::{DatabaseId, Lsn};

use crate::error::{Op, Result, WalError};
use crate::frame::LSN_MAX;
use crate::segment::NUMBER_MAX;
use crate::sync::{Mutex, lock};

/// The manifest's part of a log's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogState {
    /// The database that the log belongs to.
    pub database: DatabaseId,
    /// Sequence of the first segment that counts; files below it are leftovers of a trim.
    pub first_segment: u64,
    /// Newest segment known when this was written, 0 = none: a log without it has lost it.
    pub newest_segment: u64,
    /// Everything up to here is in the checkpoint; replay starts behind it.
    pub replay_lsn: Lsn,
    /// The LSN known durable when this was written.
    pub durable_lsn: Lsn,
}

impl LogState {
    /// The state of a log of which only the database is known.
    pub(crate) fn unknown(database: DatabaseId) -> Self {
        Self {
            database,
            first_segment: 0,
            newest_segment: 0,
            replay_lsn: Lsn::ZERO,
            durable_lsn: Lsn::ZERO,
        }
    }

    /// Refuses numbers that no log of ours reaches, so that nobody after this has to.
    pub(crate) fn check(&self) -> Result<()> {
        let sequences = [self.first_segment, self.newest_segment];
        let lsns = [self.replay_lsn.0, self.durable_lsn.0];
        if sequences.iter().any(|n| *n > NUMBER_MAX) || lsns.iter().any(|n| *n > LSN_MAX) {
            return Err(WalError::Manifest(Arc::from("a number in it is out of range")));
        }
        Ok(())
    }
}

/// Where [`LogState`] is kept.
pub trait Anchor: Send + Sync {
    /// The state as stored last.
    ///
    /// # Errors
    /// [`WalError::Manifest`] when it cannot be read.
    fn load(&self) -> Result<LogState>;

    /// Replaces the state; durable on return.
    ///
    /// # Errors
    /// When the disk fails; the state is then the old or the new one.
    fn store(&self, state: &LogState) -> Result<()>;
}

const KIND: Kind = Kind { magic: *b"DOCDBLGM", version: 1 };
const VALUE_BYTES: usize = 48;
/// Base name of the slot files.
pub(crate) const FILE_NAME: &str = "MANIFEST";

/// Keeps the state in `MANIFEST.0` to `.2` beside the segments.
///
/// Value: database UUID 16 bytes, then first segment, newest segment, replay LSN, durable LSN as
/// little-endian u64s; the file format is that of [`base::slots`].
#[derive(Debug)]
pub struct FileAnchor {
    slots: Mutex<(Slots, LogState)>,
}

fn slot_error(e: &SlotError) -> WalError {
    match e {
        SlotError::Io { path, source } => {
            let again = source.raw_os_error().map_or_else(
                || std::io::Error::new(source.kind(), source.to_string()),
                std::io::Error::from_raw_os_error,
            );
            WalError::io(Op::Write, path, again)
        }
        SlotError::Missing(_) => WalError::Manifest(Arc::from(format!(
            "{e}; if there is a log beside it, run `docdb repair --salvage`"
        ))),
        SlotError::Corrupt(_) => {
            WalError::Manifest(Arc::from(format!("{e}; run `docdb repair --salvage`")))
        }
        SlotError::Version { .. } | SlotError::TooLarge(_) => {
            WalError::Manifest(Arc::from(e.to_string()))
        }
    }
}

fn encode(state: &LogState) -> [u8; VALUE_BYTES] {
    let mut out = [0; VALUE_BYTES];
    out[..16].copy_from_slice(state.database.as_bytes());
    let words =
        [state.first_segment, state.newest_segment, state.replay_lsn.0, state.durable_lsn.0];
    for (i, word) in words.into_iter().enumerate() {
        out[16 + 8 * i..24 + 8 * i].copy_from_slice(&word.to_le_bytes());
    }
    out
}

fn decode(value: &[u8]) -> Result<LogState> {
    let bad = || WalError::Manifest(Arc::from("its length is wrong"));
    let (uuid, words) = value.split_at_checked(16).ok_or_else(bad)?;
    let uuid = uuid.try_into().map_err(|_| bad())?;
    if words.len() != VALUE_BYTES - 16 {
        return Err(bad());
    }
    let mut numbers = words
        .chunks_exact(8)
        .map(|b| u64::from_le_bytes(b.try_into().expect("chunks of eight bytes")));
    let mut next = || numbers.next().unwrap_or_default();
    Ok(LogState {
        database: DatabaseId::from_bytes(uuid),
        first_segment: next(),
        newest_segment: next(),
        replay_lsn: Lsn(next()),
        durable_lsn: Lsn(next()),
    })
}

impl FileAnchor {
    /// Makes the files for a new, empty log in `dir`, durable on return.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn create(disk: &DiskRef, dir: &Path, database: DatabaseId) -> Result<Self> {
        let state = LogState { first_segment: 1, ..LogState::unknown(database) };
        let slots = Slots::create(disk, &dir.join(FILE_NAME), KIND, &encode(&state))
            .map_err(|e| slot_error(&e))?;
        Ok(Self { slots: Mutex::new((slots, state)) })
    }

    /// Puts files that say `state` in the place of files that cannot be read, durable on return.
    pub(crate) fn replace(disk: &DiskRef, dir: &Path, state: &LogState) -> Result<()> {
        let slots = Slots::create(disk, &dir.join(FILE_NAME), KIND, &encode(state));
        slots.map(|_| ()).map_err(|e| slot_error(&e))
    }

    /// Whether the files were written by a later version of docdb.
    pub(crate) fn is_newer(disk: &DiskRef, dir: &Path) -> Result<bool> {
        match Slots::peek(disk, &dir.join(FILE_NAME), KIND) {
            Err(SlotError::Version { .. }) => Ok(true),
            Err(e @ SlotError::Io { .. }) => Err(slot_error(&e)),
            Err(SlotError::Missing(_) | SlotError::Corrupt(_) | SlotError::TooLarge(_)) | Ok(_) => {
                Ok(false)
            }
        }
    }

    /// The files that there are.
    pub(crate) fn files(disk: &DiskRef, dir: &Path) -> Result<Vec<PathBuf>> {
        let entries = disk.list(dir).map_err(|e| WalError::io(Op::Read, dir, e))?;
        let slot = |name: &str| {
            let number = name.strip_prefix(FILE_NAME)?.strip_prefix('.')?;
            matches!(number, "0" | "1" | "2").then(|| dir.join(name))
        };
        Ok(entries.iter().filter_map(|entry| slot(&entry.name)).collect())
    }

    /// Opens the files in `dir`.
    ///
    /// # Errors
    /// [`WalError::Manifest`] when there is none or none is valid; the disk's errors.
    pub fn open(disk: &DiskRef, dir: &Path) -> Result<Self> {
        let (slots, value) =
            Slots::open(disk, &dir.join(FILE_NAME), KIND).map_err(|e| slot_error(&e))?;
        let state = decode(&value)?;
        Ok(Self { slots: Mutex::new((slots, state)) })
    }

    /// Whether `dir` has such files and their creation got so far that one of them is valid.
    ///
    /// # Errors
    /// The disk's errors.
    pub(crate) fn is_begun(disk: &DiskRef, dir: &Path) -> Result<bool> {
        match Slots::peek(disk, &dir.join(FILE_NAME), KIND) {
            Ok(_) | Err(SlotError::Version { .. } | SlotError::TooLarge(_)) => Ok(true),
            Err(SlotError::Missing(_) | SlotError::Corrupt(_)) => Ok(false),
            Err(e @ SlotError::Io { .. }) => Err(slot_error(&e)),
        }
    }

    /// Looks at each of the files by itself, writing nothing.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn inspect(disk: &DiskRef, dir: &Path) -> Result<Vec<SlotReport>> {
        Slots::inspect(disk, &dir.join(FILE_NAME), KIND).map_err(|e| slot_error(&e))
    }

    /// Reads the state without writing anything.
    ///
    /// # Errors
    /// As [`FileAnchor::open`].
    pub fn peek(disk: &DiskRef, dir: &Path) -> Result<LogState> {
        let value = Slots::peek(disk, &dir.join(FILE_NAME), KIND).map_err(|e| slot_error(&e))?;
        decode(&value)
    }
}

impl Anchor for FileAnchor {
    fn load(&self) -> Result<LogState> {
        Ok(lock(&self.slots).1)
    }

    fn store(&self, state: &LogState) -> Result<()> {
        let mut slots = lock(&self.slots);
        slots.0.store(&encode(state)).map_err(|e| slot_error(&e))?;
        slots.1 = *state;
        Ok(())
    }
}
