//! Making the index of a closed database again, from its data files and its log alone: by command,
//! or by an opening that cannot load the one of the newest checkpoint.
//!
//! What it is not: it does not replace a lost MANIFEST. Which collections there are, which files
//! count and how far they were verified stands nowhere else; without it only a backup helps, and
//! `docdb inspect data` to look at single files.
//!
//! The index of the newest checkpoint is made of all records of the checkpoint's data files: per
//! document the record with the highest LSN wins, and a deletion that wins leaves nothing. The log
//! behind the checkpoint is left to the next open, which replays it as ever. The new base and the
//! MANIFEST that names it are written as a checkpoint writes them.
//!
//! # What can be known when records cannot be read
//!
//! Parity heals first. A stretch that stays unreadable held some records of some documents, and
//! with the index gone nothing in the file says of which. Two witnesses can: an older checkpoint
//! whose index can still be loaded, and the log, as far back as it goes without a gap. When the two
//! together cover every change that the stretch can hold, all is known: a version that the log
//! still has is written anew, and a document whose newest version is gone keeps its entry and goes
//! into **quarantine**: reads say so, an older version is offered and never served.
//!
//! Otherwise there is **doubt**: any document whose newest readable version is older than
//! the log's reach may have had a newer one in the stretch, or have been deleted there. Then nothing
//! is done and the report says which files and stretches, how many records are missing there,
//! between which LSNs they lie, and how many documents are in doubt. Only when the caller accepts that is
//! the index made; the report is then kept in the database's directory as `rebuilt-<index>.txt`,
//! and [`crate::verify()`] says that something is lost for as long as it is there.
//!
//! Nothing is removed here: files that the MANIFEST does not name are gone round, and the next open that succeeds
//! removes them.
//!
//! Memory: an id and about 100 bytes per document. Cost: every data file is read once; the log only
//! if something could not be read.
//!
//! Where to start: [`rebuild_index`]; `scan` reads the files, `witness` asks the others, `publish`
//! writes.

mod publish;
mod report;
mod scan;
mod witness;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use base::clock::WallMs;
use base::document::Document;
use base::words::{CollectionId, DocId, Lsn};
use wal::{Environment, FileAnchor};

use crate::error::{Result, StoreError};
use crate::location::{FileNumber, Location};
use crate::manifest::{Checkpoint, FILE_NAME, Manifest, ManifestFile, Quarantined};
use crate::open::{LOG_DIR, take_lock};
use crate::options::Options;

pub use report::{Doubt, RebuildReport};

/// What to do when it cannot be known whether newer versions were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InDoubt {
    /// Nothing, and nothing either when it is known what was lost: there may be a way to have all of it.
    RefuseLosses,
    /// Nothing, but say what the doubt is.
    Refuse,
    /// Make the index of what there is, and leave the report beside it.
    Accept,
}

/// What is known of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    lsn: Lsn,
    place: Place,
}

/// Where a version is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// It is a deletion.
    Deleted,
    /// In a record that was read.
    Record { location: Location, expires_at: Option<WallMs> },
    /// In the log alone.
    Log { document: Document, expires_at: Option<WallMs> },
    /// In a record that cannot be read.
    Lost { location: Location, expires_at: Option<WallMs> },
}

type Versions = BTreeMap<(CollectionId, DocId), Version>;

/// A rebuild of a closed database whose lock the caller holds.
pub(crate) struct Begun<'a> {
    pub(crate) env: &'a Environment,
    pub(crate) dir: &'a Path,
    pub(crate) options: &'a Options,
    /// Whether data files are healed by parity; what is damaged counts as unreadable otherwise.
    pub(crate) healing: bool,
}

/// A rebuild under way.
struct Rebuild<'a> {
    env: &'a Environment,
    dir: &'a Path,
    options: &'a Options,
    healing: bool,
    manifest: &'a mut Manifest,
    file: &'a mut ManifestFile,
    versions: Versions,
    /// Records that were read of each data file.
    read: BTreeMap<FileNumber, u64>,
    report: RebuildReport,
}

/// Makes the index of the newest checkpoint of the closed database in `dir` again. Whatever parity
/// can heal in its data files is healed. Durable on return; a crash at any moment leaves the
/// database as it was, or rebuilt.
///
/// # Errors
/// `FileOpen` while another process has the database, or when there is none; `CorruptRecord` when
/// its MANIFEST or all of its log is lost; `WalCorrupt` when the log is needed and damaged:
/// salvage it first; the disk's.
pub fn rebuild_index(
    env: &Environment,
    dir: &Path,
    options: &Options,
    in_doubt: InDoubt,
) -> Result<RebuildReport> {
    options.validate()?;
    if ManifestFile::peek(&env.disk, dir).map_err(hopeless)?.is_none() {
        let path = dir.join(FILE_NAME);
        let missing = std::io::ErrorKind::NotFound.into();
        return Err(StoreError::io(crate::error::Op::Open, path, missing));
    }
    let held = take_lock(&env.disk, dir)?;
    let (mut file, mut manifest) = ManifestFile::open(&env.disk, dir).map_err(hopeless)?;
    let begun = Begun { env, dir, options, healing: true };
    let report = begun.run(&mut file, &mut manifest, in_doubt)?;
    drop(held);
    Ok(report)
}

impl<'a> Begun<'a> {
    /// Makes the index of the newest checkpoint of `manifest` again, which is the one that `file`
    /// has; both are those of the rebuilt database afterwards, unless the report says that nothing
    /// was changed.
    pub(crate) fn run(
        self,
        file: &'a mut ManifestFile,
        manifest: &'a mut Manifest,
        in_doubt: InDoubt,
    ) -> Result<RebuildReport> {
        let Self { env, dir, options, healing } = self;
        let log = FileAnchor::peek(&env.disk, &dir.join(LOG_DIR))?;
        if log.database != manifest.database {
            let what = "its log belongs to another database";
            return Err(StoreError::Manifest(Arc::from(what)));
        }
        let report = RebuildReport::new(manifest);
        let (versions, read) = (Versions::new(), BTreeMap::new());
        let mut rebuild =
            Rebuild { env, dir, options, healing, manifest, file, versions, read, report };
        rebuild.scan()?;
        rebuild.recall_quarantine();
        if !rebuild.report.unreadable.is_empty() {
            rebuild.ask_witnesses()?;
        }
        let lost = rebuild.lost();
        let is_sure = rebuild.report.doubts.is_empty();
        let is_news = |lost: &Quarantined| !rebuild.manifest.quarantine.contains(lost);
        let is_good_enough = match in_doubt {
            InDoubt::RefuseLosses => is_sure && !lost.iter().any(is_news),
            InDoubt::Refuse => is_sure,
            InDoubt::Accept => true,
        };
        rebuild.report.lost = lost;
        if is_good_enough { rebuild.publish() } else { Ok(rebuild.report) }
    }
}

/// Says what to do about a MANIFEST that cannot be read.
fn hopeless(error: StoreError) -> StoreError {
    let StoreError::Manifest(why) = error else { return error };
    let what = format!(
        "{why}; without it nothing says which files count, so the index cannot be made again: \
         restore a backup, or look at single files with `docdb inspect data`"
    );
    StoreError::Manifest(Arc::from(what))
}

impl Rebuild<'_> {
    fn newest(&self) -> &Checkpoint {
        self.manifest.newest()
    }

    fn has_collection(&self, collection: CollectionId) -> bool {
        self.newest().collections.iter().any(|record| record.collection == collection)
    }

    /// Takes a version unless a newer one is known.
    fn take(&mut self, collection: CollectionId, id: DocId, version: Version) {
        match self.versions.entry((collection, id)) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(version);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                // The same version stands twice where one was healed: the later copy is as good.
                if entry.get().lsn <= version.lsn {
                    entry.insert(version);
                }
            }
        }
    }

    /// The MANIFEST knows of versions that were lost before: no older one stands for them.
    fn recall_quarantine(&mut self) {
        for Quarantined { collection, id, lsn } in self.manifest.quarantine.clone() {
            let known = self.versions.get(&(collection, id.clone()));
            if known.is_none_or(|known| known.lsn < lsn) && self.has_collection(collection) {
                let place = Place::Lost { location: Location::NOWHERE, expires_at: None };
                self.take(collection, id, Version { lsn, place });
            }
        }
    }

    /// Documents whose newest version is lost.
    fn lost(&self) -> Vec<Quarantined> {
        let lost = self.versions.iter().filter(|(_, v)| matches!(v.place, Place::Lost { .. }));
        lost.map(|((collection, id), version)| Quarantined {
            collection: *collection,
            id: id.clone(),
            lsn: version.lsn,
        })
        .collect()
    }
}
