//! The value `BACKUP`: what a backup holds.
//!
//! It is kept in the slot files `BACKUP.0` to `.2` (see [`base::slots`]: checksum, sequence, three
//! files of which a crash can hurt one). Integers are little-endian, lists a u32 count and their
//! entries; `docs/formats/backup.md` is the normative text.
//!
//! | field | bytes |
//! |---|---|
//! | wall time when it was taken, ms | u64 |
//! | length of the manifest | u32 |
//! | manifest, as the database's own, with one checkpoint; its quarantine lists the documents that the backup does not hold | … |
//! | files: length u64, CRC-32 of all of it u32 (`copy.rs` says why not CRC32C) | list, in the order of the manifest: data files, then index files |
//! | documents: collection u32, count u64 | list |
//!
//! Names of files follow from the manifest: `<number>-<verified length>.data` and
//! `<number>.idx`, in hexadecimal. A data file that grows has another name after every checkpoint.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use base::clock::WallMs;
use base::slots::{Condition, Kind, SlotError, Slots};
use base::words::{CollectionId, Name};

use super::{BackupDir, BackupSummary};
use crate::error::{Op, Result, StoreError};
use crate::location::FileNumber;
use crate::manifest::{Checkpoint, CollectionRecord, DEFAULT_COLLECTION, Manifest};

const KIND: Kind = Kind { magic: *b"DOCDBBAK", version: 1 };
const FILE_NAME: &str = "BACKUP";
/// Slot files of a value.
const COPIES: usize = 3;
/// What the name of a file ends in while it is being copied.
pub(super) const PART: &str = ".part";

/// A file of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileCopy {
    pub(super) bytes: u64,
    pub(super) checksum: u32,
}

/// The name of the copy of a data file of which so many bytes of data are verified.
pub(super) fn data_name(number: FileNumber, verified_len: u64) -> String {
    format!("{:08x}-{verified_len:x}.data", number.0)
}

/// The name of the copy of an index file.
pub(super) fn index_name(number: u64) -> String {
    format!("{number:016x}.idx")
}

/// Whether a backup gives its files names like this.
pub(super) fn is_ours(name: &str) -> bool {
    let name = name.strip_suffix(PART).unwrap_or(name);
    if crate::index::file::parse_name(name).is_some() {
        return true;
    }
    let parts = name.strip_suffix(".data").and_then(|name| name.split_once('-'));
    let Some((number, len)) = parts else { return false };
    let (number, len) = (u32::from_str_radix(number, 16), u64::from_str_radix(len, 16));
    match (number, len) {
        (Ok(number), Ok(len)) => data_name(FileNumber(number), len) == name,
        _ => false,
    }
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Catalog {
    /// With one checkpoint.
    pub(super) manifest: Manifest,
    pub(super) taken: WallMs,
    /// In the order of the manifest: data files, index files.
    pub(super) files: Vec<FileCopy>,
    /// Documents of every collection that has any.
    pub(super) counts: Vec<(CollectionId, u64)>,
}

impl Catalog {
    /// Its files by name.
    pub(super) fn named(&self) -> impl Iterator<Item = (String, FileCopy)> + '_ {
        let newest = self.manifest.newest();
        let data = newest.files.iter().map(|file| data_name(file.number, file.verified_len));
        let index = newest.index.iter().map(|info| index_name(info.header.number));
        data.chain(index).zip(self.files.iter().copied())
    }

    pub(super) fn file(&self, name: &str) -> Option<FileCopy> {
        self.named().find(|(known, _)| known == name).map(|(_, copy)| copy)
    }

    /// Documents of a collection.
    pub(super) fn count(&self, collection: CollectionId) -> u64 {
        let found = self.counts.iter().find(|(known, _)| *known == collection);
        found.map_or(0, |(_, count)| *count)
    }

    /// What it says, with the copies of it that are damaged.
    pub(super) fn summary(&self, damaged_copies: Vec<PathBuf>) -> BackupSummary {
        let (manifest, newest) = (&self.manifest, self.manifest.newest());
        let collections = newest.collections.iter();
        BackupSummary {
            database: manifest.database,
            name: manifest.name.clone(),
            lsn: newest.lsn,
            taken: self.taken,
            collections: collections
                .map(|record| (record.name.clone(), self.count(record.collection)))
                .collect(),
            lost: manifest.quarantine.clone(),
            files: self.files.len() as u64,
            bytes: self.bytes(),
            damaged_copies,
        }
    }

    /// Length of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    fn encode(&self) -> Vec<u8> {
        let len = |n: usize| u32::try_from(n).expect("fewer than 2^32 files and bytes");
        let manifest = self.manifest.encode();
        let mut out = self.taken.0.to_le_bytes().to_vec();
        out.extend_from_slice(&len(manifest.len()).to_le_bytes());
        out.extend_from_slice(&manifest);
        out.extend_from_slice(&len(self.files.len()).to_le_bytes());
        for file in &self.files {
            out.extend_from_slice(&file.bytes.to_le_bytes());
            out.extend_from_slice(&file.checksum.to_le_bytes());
        }
        out.extend_from_slice(&len(self.counts.len()).to_le_bytes());
        for (collection, count) in &self.counts {
            out.extend_from_slice(&collection.0.to_le_bytes());
            out.extend_from_slice(&count.to_le_bytes());
        }
        out
    }

    /// Reads a value back; none when it is not one of ours.
    fn decode(value: &[u8]) -> Option<Self> {
        let mut rest = value;
        let taken = WallMs(u64_of(&mut rest)?);
        let manifest_len = usize::try_from(u32_of(&mut rest)?).ok()?;
        let manifest = Manifest::decode(rest.split_off(..manifest_len)?).ok()?;
        let (mut files, mut counts) = (Vec::new(), Vec::new());
        for _ in 0..u32_of(&mut rest)? {
            let (bytes, checksum) = (u64_of(&mut rest)?, u32_of(&mut rest)?);
            files.push(FileCopy { bytes, checksum });
        }
        for _ in 0..u32_of(&mut rest)? {
            counts.push((CollectionId(u32_of(&mut rest)?), u64_of(&mut rest)?));
        }
        let newest = manifest.newest();
        let named = newest.files.len() + newest.index.len();
        let fits = rest.is_empty() && manifest.checkpoints.len() == 1 && files.len() == named;
        let is_valid = fits && are_sound(&manifest) && are_of(&counts, &newest.collections);
        is_valid.then_some(Self { manifest, taken, files, counts })
    }
}

/// Whether the collections are ones that a database can have: the one that every database has,
/// no number and no name twice, none that the next collection would get, and none of later.
fn are_sound(manifest: &Manifest) -> bool {
    let Checkpoint { lsn, collections, .. } = manifest.newest();
    let names: BTreeSet<&Name> = collections.iter().map(|record| &record.name).collect();
    collections.is_sorted_by(|a, b| a.collection < b.collection)
        && names.len() == collections.len()
        && collections.iter().all(|record| record.created.max(record.last_change) <= *lsn)
        && collections.first().is_some_and(|first| first.collection == DEFAULT_COLLECTION)
        && collections.last().is_some_and(|last| last.collection.0 < manifest.next_collection)
}

/// Whether there are numbers of documents for collections that exist alone, once for each.
fn are_of(counts: &[(CollectionId, u64)], collections: &[CollectionRecord]) -> bool {
    let exists = |count: &(CollectionId, u64)| {
        collections.binary_search_by_key(&count.0, |record| record.collection).is_ok()
    };
    counts.is_sorted_by(|a, b| a.0 < b.0) && counts.iter().all(exists)
}

fn u32_of(rest: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(rest.split_off(..4)?.try_into().ok()?))
}

fn u64_of(rest: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(rest.split_off(..8)?.try_into().ok()?))
}

/// The slot files of a backup's directory.
#[derive(Debug)]
pub(super) struct CatalogFile(Option<(Slots, Catalog)>);

impl CatalogFile {
    /// Opens the files for a backup that is about to be taken. Where none is valid nothing was
    /// ever finished, or everything is damaged: either way there is nothing to build upon.
    pub(super) fn open(to: &BackupDir) -> Result<Self> {
        match Slots::open(&to.disk, &to.dir.join(FILE_NAME), KIND) {
            Ok((slots, value)) => {
                let catalog = Catalog::decode(&value).ok_or_else(malformed)?;
                Ok(Self(Some((slots, catalog))))
            }
            Err(SlotError::Missing(_)) => Ok(Self(None)),
            Err(error @ SlotError::Corrupt(_)) => {
                tracing::warn!(%error, "there is no valid backup; a whole one is taken");
                Ok(Self(None))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// The backup that is there.
    pub(super) fn value(&self) -> Option<&Catalog> {
        self.0.as_ref().map(|(_, catalog)| catalog)
    }

    /// Puts another in its place, in all three files; durable on return. None is left with the
    /// value before: were the others damaged later, it would come up again as if it were the
    /// newest.
    pub(super) fn store(self, to: &BackupDir, catalog: &Catalog) -> Result<()> {
        let value = catalog.encode();
        let stored = match self.0 {
            None => Slots::create(&to.disk, &to.dir.join(FILE_NAME), KIND, &value).map(drop),
            Some((mut slots, _)) => (0..COPIES).try_for_each(|_| slots.store(&value)),
        };
        stored.map_err(StoreError::slots)
    }

    /// Reads the value and writes nothing. Answers also which of its copies are missing or not
    /// valid: another one stood in for them.
    pub(super) fn read(from: &BackupDir) -> Result<(Catalog, Vec<PathBuf>)> {
        let base = from.dir.join(FILE_NAME);
        let value = Slots::peek(&from.disk, &base, KIND).map_err(failed)?;
        let catalog = Catalog::decode(&value).ok_or_else(malformed)?;
        let copies = Slots::inspect(&from.disk, &base, KIND).map_err(failed)?;
        let damaged = copies
            .into_iter()
            .filter(|copy| matches!(copy.condition, Condition::Missing | Condition::Invalid))
            .map(|copy| copy.path)
            .collect();
        Ok((catalog, damaged))
    }
}

/// What is wrong with the value of a backup. Without any copy of it no backup was ever finished.
fn failed(error: SlotError) -> StoreError {
    match error {
        SlotError::Io { path, source } => StoreError::io(Op::Read, path, source),
        SlotError::Missing(path) => {
            let what = "no backup was finished in this directory";
            StoreError::io(Op::Open, path, io::Error::new(io::ErrorKind::NotFound, what))
        }
        SlotError::Corrupt(_) | SlotError::Version { .. } | SlotError::TooLarge(_) => {
            StoreError::Backup(Arc::from(error.to_string()))
        }
    }
}

fn malformed() -> StoreError {
    StoreError::Backup(Arc::from("its value `BACKUP` is malformed"))
}

#[cfg(test)]
mod tests {
    use base::words::{DatabaseId, Lsn};

    use super::*;
    use crate::manifest::default_name;

    #[test]
    fn values_round_trip_and_cut_or_lengthened_ones_are_refused() {
        let manifest = Manifest::new(DatabaseId::from_bytes([3; 16]), default_name(), WallMs(7));
        let counts = vec![(DEFAULT_COLLECTION, 9)];
        let catalog = Catalog { manifest, taken: WallMs(8), files: Vec::new(), counts };
        let value = catalog.encode();
        assert_eq!(Catalog::decode(&value).as_ref(), Some(&catalog));
        for cut in 0..value.len() {
            assert_eq!(Catalog::decode(&value[..cut]), None, "cut at {cut}");
        }
        assert_eq!(Catalog::decode(&[value.as_slice(), b"x"].concat()), None);
        // More files than the manifest names.
        let file = FileCopy { bytes: 1, checksum: 2 };
        let more = Catalog { files: vec![file], ..catalog };
        assert_eq!(Catalog::decode(&more.encode()), None);
    }

    #[test]
    fn collections_that_no_database_has_and_documents_of_none_are_refused() {
        let sound = || {
            let id = DatabaseId::from_bytes([3; 16]);
            let mut manifest = Manifest::new(id, default_name(), WallMs(7));
            let mut books = manifest.checkpoints[0].collections[0].clone();
            (books.collection, books.name) = (CollectionId(4), Name::new("books").unwrap());
            manifest.checkpoints[0].collections.push(books);
            manifest.next_collection = 5;
            let counts = vec![(DEFAULT_COLLECTION, 9), (CollectionId(4), 1)];
            Catalog { manifest, taken: WallMs(8), files: Vec::new(), counts }
        };
        assert!(Catalog::decode(&sound().encode()).is_some());
        let spoil: [fn(&mut Catalog); 10] = [
            |c| c.counts[1].0 = CollectionId(3),
            |c| c.counts[1].0 = DEFAULT_COLLECTION,
            |c| c.counts.reverse(),
            |c| c.manifest.next_collection = 4,
            |c| c.manifest.checkpoints[0].collections[1].created = Lsn(1),
            |c| c.manifest.checkpoints[0].collections[1].last_change = Lsn(1),
            |c| c.manifest.checkpoints[0].collections[0].collection = CollectionId(2),
            |c| c.manifest.checkpoints[0].collections[1].collection = DEFAULT_COLLECTION,
            |c| c.manifest.checkpoints[0].collections[1].name = default_name(),
            |c| drop(c.manifest.checkpoints[0].collections.remove(0)),
        ];
        for (case, spoil) in spoil.iter().enumerate() {
            let mut catalog = sound();
            spoil(&mut catalog);
            assert_eq!(Catalog::decode(&catalog.encode()), None, "case {case}");
        }
    }

    #[test]
    fn only_names_that_a_backup_gives_are_its_own() {
        for ours in ["00000001-0.data", "0000001a-4c0.data", "000000000000000b.idx"] {
            assert!(is_ours(ours) && is_ours(&format!("{ours}{PART}")), "{ours}");
        }
        for other in ["00000001.data", "1-0.data", "00000001-00.data", "notes.part", "BACKUP.0"] {
            assert!(!is_ours(other), "{other}");
        }
    }
}
