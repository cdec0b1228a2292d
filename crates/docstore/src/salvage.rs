//! Salvage of a database whose log is damaged where it was durable: the log's own salvage, and what
//! that costs in documents.
//!
//! What it is not: data files and indexes are not touched. Those heal by themselves, or by
//! [`crate::rebuild_index`].
//!
//! # What can be known
//!
//! Changes up to the newest checkpoint are in data files: losing their frames costs no document, and where its index
//! is damaged, opening makes it again of them. Of a lost
//! frame behind it nothing is left, neither document nor id; what it changed shows its
//! state before, and the gap in the log, which every reader meets, is the record of it. Frames that
//! are whole, but of a transaction of which a part is lost, are dropped with it: their documents
//! are named, with the LSN that is lost, unless a later change that is kept made that one
//! immaterial. The quarantine in the log's directory still has their bytes.
//!
//! A collection whose creation is lost is named by its number, and by its name where that is known.
//! What the log still has of it is not lost: the database opens with the collection under a name made
//! of its number.
//!
//! A log that ends before the checkpoint after its salvage would give LSNs a second time that the
//! data files have already: that is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use base::io::Lock;
use base::words::{CollectionId, DocId, Lsn, Name};
use wal::inspect::{FrameInspection, inspect};
use wal::salvage::{LostRange, Outcome};
use wal::{Environment, Salvage, SalvageReport};

use crate::error::{Op, Result, StoreError};
use crate::manifest::{CollectionRecord, FILE_NAME, ManifestFile, Quarantined};
use crate::open::{LOG_DIR, take_lock};
use crate::options::Options;

/// The salvage of a database, planned. Holds its locks.
pub struct DatabaseSalvage {
    log: Salvage,
    report: DatabaseSalvageReport,
    _held: Box<dyn Lock>,
}

/// What a salvage of a database found and did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseSalvageReport {
    /// The database.
    pub name: Name,
    /// Everything up to here is in data files.
    pub checkpoint: Lsn,
    /// What becomes of the log.
    pub log: SalvageReport,
    /// Lost changes behind the checkpoint: documents, or collections, of which most are unknown.
    pub lost: Vec<LostRange>,
    /// The documents among them that are known, with the revisions that are lost.
    pub documents: Vec<Quarantined>,
    /// Collections whose creation is lost, with their names where those are known.
    pub collections: Vec<(CollectionId, Option<Name>)>,
    /// How many of the lost changes are of nobody knows what.
    pub unknown: u64,
}

impl std::fmt::Debug for DatabaseSalvage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseSalvage").field("report", &self.report).finish_non_exhaustive()
    }
}

impl DatabaseSalvage {
    /// Reads the closed database in `dir` and decides what to do. Changes nothing.
    ///
    /// # Errors
    /// `FileOpen` while another process has it, or when there is none; `CorruptRecord` when its
    /// MANIFEST cannot be read (its log, in the directory `log`, can be salvaged by itself);
    /// `WalCorrupt` when nothing of the log tells whose it is; the disk's.
    pub fn plan(env: &Environment, dir: &Path, options: &Options) -> Result<Self> {
        options.validate()?;
        let Some(manifest) = ManifestFile::peek(&env.disk, dir)? else {
            let missing = std::io::ErrorKind::NotFound.into();
            return Err(StoreError::io(Op::Open, dir.join(FILE_NAME), missing));
        };
        let held = take_lock(&env.disk, dir)?;
        let log_dir = dir.join(LOG_DIR);
        let log = Salvage::plan(env, &log_dir, &options.log)?;
        let planned = log.report();
        if planned.database != manifest.database {
            let what = "its log belongs to another database";
            return Err(StoreError::Manifest(Arc::from(what)));
        }
        let newest = manifest.newest();
        let checkpoint = newest.lsn;
        let behind = |range: &LostRange| LostRange {
            from: Lsn(range.from.0.max(checkpoint.0.saturating_add(1))),
            to: range.to,
        };
        let lost: Vec<LostRange> =
            planned.lost.iter().map(behind).filter(|range| range.from <= range.to).collect();
        let Named { documents, collections, known } =
            named(env, &log_dir, planned, &lost, &newest.collections)?;
        let all: u64 = lost.iter().map(|range| range.to.0 - range.from.0 + 1).sum();
        let report = DatabaseSalvageReport {
            name: manifest.name.clone(),
            checkpoint,
            log: planned.clone(),
            lost,
            documents,
            collections,
            unknown: all.saturating_sub(known),
        };
        Ok(Self { log, report, _held: held })
    }

    /// What was found, and what [`DatabaseSalvage::apply`] will do.
    #[must_use]
    pub const fn report(&self) -> &DatabaseSalvageReport {
        &self.report
    }

    /// Does what was planned; durable on return. The database opens afterwards.
    ///
    /// # Errors
    /// `CorruptRecord` when the log would end before the checkpoint: nothing was changed, and only
    /// a backup helps. And as [`Salvage::apply`].
    pub fn apply(self) -> Result<DatabaseSalvageReport> {
        let Self { log, mut report, _held } = self;
        if report.is_too_short() {
            let what = format!(
                "its log ends at LSN {}, before its checkpoint at LSN {}, even when it is \
                 salvaged; restore a backup",
                report.log.last, report.checkpoint
            );
            return Err(StoreError::Manifest(Arc::from(what)));
        }
        report.log = log.apply()?;
        Ok(report)
    }
}

impl DatabaseSalvageReport {
    /// Whether the log would end before the checkpoint.
    #[must_use]
    pub fn is_too_short(&self) -> bool {
        self.log.last < self.checkpoint
    }

    /// Whether the log opens as it is.
    #[must_use]
    pub fn is_nothing_to_do(&self) -> bool {
        self.log.outcome == Outcome::NothingToDo && !self.is_too_short()
    }
}

/// What is known of lost changes.
#[derive(Default)]
struct Named {
    documents: Vec<Quarantined>,
    collections: Vec<(CollectionId, Option<Name>)>,
    /// How many of them those are.
    known: u64,
}

/// The documents of whole frames that are lost with their transactions, and the collections that
/// frames mention which no kept frame and not the checkpoint, which has the collections `there`, makes.
fn named(
    env: &Environment,
    log_dir: &Path,
    planned: &SalvageReport,
    lost: &[LostRange],
    there: &[CollectionRecord],
) -> Result<Named> {
    let mut documents: BTreeMap<(CollectionId, DocId), Lsn> = BTreeMap::new();
    let mut made: BTreeSet<CollectionId> = there.iter().map(|record| record.collection).collect();
    let mut unmade: BTreeMap<CollectionId, Option<Name>> = BTreeMap::new();
    let mut known = 0;
    let Some(first) = lost.iter().map(|range| range.from).min() else {
        return Ok(Named::default());
    };
    inspect(&env.disk, log_dir, &mut |frame: &FrameInspection| {
        let lsn = frame.header.lsn;
        if !planned.segments.contains(&frame.segment) || lsn > planned.last {
            return;
        }
        let is_lost = lost.iter().any(|range| (range.from..=range.to).contains(&lsn));
        match &frame.collection {
            Some((number, Some(name))) if is_lost => {
                known += 1;
                unmade.insert(*number, Some(name.clone()));
            }
            Some((number, Some(_))) => {
                made.insert(*number);
            }
            Some((number, None)) if !is_lost && lsn > first => {
                unmade.entry(*number).or_default();
            }
            Some((_, None)) | None => {}
        }
        let Some(key) = &frame.key else { return };
        if is_lost {
            known += 1;
            documents.insert(key.clone(), lsn);
        } else if lsn > first {
            unmade.entry(key.0).or_default();
            if documents.get(key).is_some_and(|lost| *lost < lsn) {
                documents.remove(key);
            }
        }
    })?;
    let quarantined = |((collection, id), lsn)| Quarantined { collection, id, lsn };
    unmade.retain(|number, _| !made.contains(number));
    let documents = documents.into_iter().map(quarantined).collect();
    Ok(Named { documents, collections: unmade.into_iter().collect(), known })
}

impl fmt::Display for DatabaseSalvageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "name       {}", self.name)?;
        write!(f, "{}", self.log)?;
        writeln!(f, "checkpoint LSN {}: everything up to there is in data files", self.checkpoint)?;
        if self.is_too_short() {
            writeln!(f, "The log ends before the checkpoint: it cannot be salvaged.")?;
        }
        if self.log.outcome == Outcome::NothingToDo {
            return Ok(());
        }
        match self.lost.is_empty() {
            true => writeln!(f, "documents  none is lost")?,
            false => writeln!(
                f,
                "documents  {} known to be hit; {} lost changes of documents nobody knows, which \
                 show their state before",
                self.documents.len(),
                self.unknown
            )?,
        }
        for (collection, name) in &self.collections {
            let name = name.as_ref().map_or("unknown", Name::as_str);
            writeln!(
                f,
                "  collection {collection}, name {name}: its creation is lost; what is left of it \
                 opens as `recovered-{collection}`"
            )?;
        }
        for lost in &self.documents {
            writeln!(
                f,
                "  document {} of collection {}, revision {}",
                lost.id, lost.collection, lost.lsn
            )?;
        }
        Ok(())
    }
}
