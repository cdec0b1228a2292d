//! The MANIFEST: what of a database exists, beside its log. `docs/formats/manifest.md` is the
//! normative text of the format.
//!
//! A value in the slot files `MANIFEST.0` to `.2` (see [`base::slots`]: checksum, sequence, three
//! files of which a crash can hurt one). Integers are little-endian; lists are a u32 count and
//! their entries; texts and documents a u32 length and their bytes.
//!
//! | field | bytes |
//! |---|---|
//! | database UUID | 16 |
//! | name | u32 length and text |
//! | wall time of creation, ms | u64 |
//! | next collection, data file | 2 × u32 |
//! | next index file | u64 |
//! | LSN behind which the log is kept for data without parity | u64 |
//! | wall time of the last compaction, ms, 0 = none | u64 |
//! | checkpoints, the oldest first | list |
//! | – LSN, wall time in ms | 2 × u64 |
//! | – collections: number u32, created LSN u64, last change LSN u64, name, properties (name, document) | list |
//! | – data files: number u32, verified length u64, finished u8, records, tombstones, dead, lowest LSN 4 × u64 | list |
//! | – index files, the base first and the runs from the oldest on: number u64, base u8, checkpoint LSN u64, bytes u64, entries u64, checksum u32 | list |
//! | quarantine: collection u32, lost LSN u64, id | list |
//!
//! The newest checkpoint decides what exists; the older ones are there to fall back upon. The log
//! keeps a small manifest of its own beside its segments, because it changes with every segment
//! and this one is large: a checkpoint is stored here first and there second, so the log never
//! lets go of what this one still needs.

mod codec;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use base::clock::WallMs;
use base::document::Document;
use base::io::DiskRef;
use base::slots::{Kind, SlotError, SlotReport, Slots};
use base::words::{CollectionId, DatabaseId, DocId, Lsn, Name};

use codec::{Cursor, Writer};

use crate::error::{Result, StoreError};
use crate::index::file::FileInfo;
use crate::location::FileNumber;
use crate::store;

const KIND: Kind = Kind { magic: *b"DOCDBMAN", version: 1 };
/// Base name of the slot files.
pub(crate) const FILE_NAME: &str = "MANIFEST";

/// What of a database exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Identity.
    pub database: DatabaseId,
    /// Name.
    pub name: Name,
    /// When it was made.
    pub created: WallMs,
    /// Number of the next collection; never reused, like the two below.
    pub next_collection: u32,
    /// Number of the next data file.
    pub next_file: u32,
    /// Number of the next index file.
    pub next_index: u64,
    /// The log is kept behind this LSN for records that parity does not protect yet.
    pub hold: Lsn,
    /// When a file was compacted last; 0 = never.
    pub compacted: WallMs,
    /// The oldest first; the last one decides.
    pub checkpoints: Vec<Checkpoint>,
    /// Documents that are lost.
    pub quarantine: Vec<Quarantined>,
}

/// A state of the database that can be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Everything up to here is in its files; the log has the rest.
    pub lsn: Lsn,
    /// When it was taken.
    pub wall: WallMs,
    /// Its collections.
    pub collections: Vec<CollectionRecord>,
    /// Its data files.
    pub files: Vec<FileRecord>,
    /// The index's base, if there is one, and the runs above it, the oldest first.
    pub index: Vec<FileInfo>,
}

/// A collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionRecord {
    /// Its number.
    pub collection: CollectionId,
    /// Its name.
    pub name: Name,
    /// The change that created it.
    pub created: Lsn,
    /// The newest change of anything in it.
    pub last_change: Lsn,
    /// Its properties.
    pub properties: Vec<(Name, Document)>,
}

/// A data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileRecord {
    /// Its number.
    pub number: FileNumber,
    /// Data that was read back from the device, bytes; what is behind does not exist.
    pub verified_len: u64,
    /// Whether nothing will be added, and what is needed of it stands in complete stripes.
    pub finished: bool,
    /// Records in it.
    pub records: u64,
    /// Of them, those that say that a document is gone.
    pub tombstones: u64,
    /// Of them, documents that nobody needs but older checkpoints.
    pub dead: u64,
    /// The lowest LSN of them.
    pub lowest: Lsn,
}

/// A document whose newest version is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Its collection.
    pub collection: CollectionId,
    /// Its id.
    pub id: DocId,
    /// The version that is lost.
    pub lsn: Lsn,
}

impl Manifest {
    /// That of a new database.
    pub(crate) fn new(database: DatabaseId, name: Name, created: WallMs) -> Self {
        Self {
            database,
            name,
            created,
            next_collection: DEFAULT_COLLECTION.0 + 1,
            next_file: 1,
            next_index: 1,
            hold: Lsn::ZERO,
            compacted: WallMs(0),
            checkpoints: vec![Checkpoint {
                lsn: Lsn::ZERO,
                wall: created,
                collections: vec![CollectionRecord {
                    collection: DEFAULT_COLLECTION,
                    name: default_name(),
                    created: Lsn::ZERO,
                    last_change: Lsn::ZERO,
                    properties: Vec::new(),
                }],
                files: Vec::new(),
                index: Vec::new(),
            }],
            quarantine: Vec::new(),
        }
    }

    /// The checkpoint that decides.
    ///
    /// # Panics
    /// Never: a manifest has at least one, decoding sees to it.
    #[must_use]
    pub fn newest(&self) -> &Checkpoint {
        self.checkpoints.last().expect("a manifest has at least one checkpoint")
    }

    /// Data files that some checkpoint needs.
    pub(crate) fn files(&self) -> BTreeSet<FileNumber> {
        let files = self.checkpoints.iter().flat_map(|checkpoint| &checkpoint.files);
        files.map(|file| file.number).collect()
    }

    /// Index files that some checkpoint needs.
    pub(crate) fn index_files(&self) -> BTreeSet<u64> {
        let files = self.checkpoints.iter().flat_map(|checkpoint| &checkpoint.index);
        files.map(|file| file.header.number).collect()
    }

    /// The value of the slot files.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::new());
        out.0.extend_from_slice(self.database.as_bytes());
        out.text(self.name.as_str());
        out.u64(self.created.0);
        out.u32(self.next_collection);
        out.u32(self.next_file);
        out.u64(self.next_index);
        out.u64(self.hold.0);
        out.u64(self.compacted.0);
        out.list(&self.checkpoints, Writer::checkpoint);
        out.list(&self.quarantine, |out, lost| {
            out.u32(lost.collection.0);
            out.u64(lost.lsn.0);
            out.id(&lost.id);
        });
        out.0
    }

    /// Reads a value back.
    ///
    /// # Errors
    /// [`StoreError::Manifest`] says what is wrong; a value whose checksum fits is only ever wrong
    /// by a defect.
    pub fn decode(value: &[u8]) -> Result<Self> {
        let bad = || StoreError::Manifest(Arc::from("its value is malformed"));
        let mut cursor = Cursor(value);
        let manifest = cursor.manifest().ok_or_else(bad)?;
        let is_whole = cursor.0.is_empty() && !manifest.checkpoints.is_empty();
        let ascends = manifest.checkpoints.is_sorted_by(|a, b| a.lsn <= b.lsn);
        if is_whole && ascends { Ok(manifest) } else { Err(bad()) }
    }
}

/// The collection that every database has.
pub const DEFAULT_COLLECTION: CollectionId = CollectionId(1);

/// Its name, and that of the database that always exists.
///
/// # Panics
/// Never: the text is a name.
#[must_use]
pub fn default_name() -> Name {
    Name::new("default").expect("it is a valid name")
}

/// Whether a directory may be that of a database: what is called `db-` and an identity is that of this one alone.
fn is_named(dir: &Path, database: DatabaseId) -> bool {
    let name = dir.file_name().and_then(|name| name.to_str());
    let identity = name.and_then(|name| name.strip_prefix(store::PREFIX));
    let identity = identity.filter(|text| store::is_identity(text));
    identity.is_none_or(|text| text == database.to_string())
}

/// What is accepted as a value of the manifest in `dir`: not that of another database, which a disk wrote to the
/// wrong place.
fn belongs_to(dir: &Path) -> impl Fn(&[u8]) -> bool + '_ {
    |value| Manifest::decode(value).map_or(true, |manifest| is_named(dir, manifest.database))
}

/// The slot files of a manifest.
#[derive(Debug)]
pub(crate) struct ManifestFile {
    slots: Slots,
}

impl ManifestFile {
    /// Makes the files in `dir`, durable on return.
    pub(crate) fn create(disk: &DiskRef, dir: &Path, manifest: &Manifest) -> Result<Self> {
        let slots = Slots::create(disk, &dir.join(FILE_NAME), KIND, &manifest.encode());
        Ok(Self { slots: slots.map_err(StoreError::slots)? })
    }

    /// Opens the files in `dir`.
    pub(crate) fn open(disk: &DiskRef, dir: &Path) -> Result<(Self, Manifest)> {
        let opened = Slots::open_where(disk, &dir.join(FILE_NAME), KIND, &belongs_to(dir));
        let (slots, value) = opened.map_err(StoreError::slots)?;
        Ok((Self { slots }, Manifest::decode(&value)?))
    }

    /// Reads the manifest in `dir` and writes nothing; none when there is none.
    pub(crate) fn peek(disk: &DiskRef, dir: &Path) -> Result<Option<Manifest>> {
        match Slots::peek_where(disk, &dir.join(FILE_NAME), KIND, &belongs_to(dir)) {
            Ok(value) => Ok(Some(Manifest::decode(&value)?)),
            Err(SlotError::Missing(_)) => Ok(None),
            Err(error) => Err(StoreError::slots(error)),
        }
    }

    /// Which database it is in `dir`: the same in every file, so that one which can be read is enough.
    ///
    /// # Errors
    /// What keeps all of them from being read.
    pub(crate) fn identify(disk: &DiskRef, dir: &Path) -> Result<(DatabaseId, Name)> {
        let values = Slots::readable(disk, &dir.join(FILE_NAME), KIND);
        let manifests = values.iter().filter_map(|value| Manifest::decode(value).ok());
        let mut known = manifests.filter(|manifest| is_named(dir, manifest.database));
        if let Some(manifest) = known.next() {
            return Ok((manifest.database, manifest.name));
        }
        let what = match Self::peek(disk, dir)? {
            None => "it is missing",
            Some(_) => "it is that of another database",
        };
        Err(StoreError::Manifest(Arc::from(what)))
    }

    /// Looks at each of the files in `dir` by itself, writing nothing.
    pub(crate) fn inspect(disk: &DiskRef, dir: &Path) -> Result<Vec<SlotReport>> {
        Slots::inspect(disk, &dir.join(FILE_NAME), KIND).map_err(StoreError::slots)
    }

    /// Replaces the value; durable on return.
    pub(crate) fn store(&mut self, manifest: &Manifest) -> Result<()> {
        self.slots.store(&manifest.encode()).map_err(StoreError::slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index;

    fn full() -> Manifest {
        let mut manifest =
            Manifest::new(DatabaseId::from_bytes([7; 16]), default_name(), WallMs(12));
        let mut next = manifest.newest().clone();
        next.lsn = Lsn(99);
        let header = index::file::Header {
            database: manifest.database,
            number: 3,
            kind: index::file::Kind::Run,
            checkpoint: Lsn(99),
        };
        next.index = vec![FileInfo { header, bytes: 400, entries: 5, checksum: 77 }];
        next.files = vec![FileRecord {
            number: FileNumber(2),
            verified_len: 4096,
            finished: true,
            records: 17,
            tombstones: 2,
            dead: 3,
            lowest: Lsn(4),
        }];
        next.collections[0].properties =
            vec![(Name::new("validation").unwrap(), Document::parse(b"{}").unwrap())];
        manifest.checkpoints.push(next);
        manifest.quarantine.push(Quarantined {
            collection: DEFAULT_COLLECTION,
            id: DocId::string("lost").unwrap(),
            lsn: Lsn(8),
        });
        manifest
    }

    #[test]
    fn manifests_round_trip() {
        for manifest in
            [full(), Manifest { checkpoints: full().checkpoints[..1].to_vec(), ..full() }]
        {
            assert_eq!(Manifest::decode(&manifest.encode()).unwrap(), manifest);
        }
    }

    #[test]
    fn values_that_were_cut_or_lengthened_are_refused() {
        let value = full().encode();
        for cut in 0..value.len() {
            assert!(Manifest::decode(&value[..cut]).is_err(), "cut at {cut}");
        }
        assert!(Manifest::decode(&[value.as_slice(), b"x"].concat()).is_err());
    }

    #[test]
    fn a_count_of_everything_reserves_nothing() {
        let mut value = full().encode();
        let at = 16 + 4 + "default".len() + 8 + 4 + 4 + 8 + 8 + 8;
        value[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(Manifest::decode(&value).is_err());
    }
}
