//! Checking a database directory without changing anything: MANIFEST, indexes, data files, log, and
//! whether they fit together.
//!
//! No lock is taken and nothing is written. A database in use can be checked: when its MANIFEST
//! has changed meanwhile and something looked wrong, the check begins again, a few times. What its
//! process is just writing stands behind what the MANIFEST and the log's hints vouch for, and is no
//! problem; a torn tail of the log is what a crash leaves, and none either.
//!
//! What it is not: it repairs nothing, and it does not judge by itself: every file is looked at by the code
//! that reads it otherwise.
//!
//! **Lost** or **healable** is said from the side of the documents, as opening would have them. First it is found
//! out which checkpoint opening would go on from, its [`basis::Basis`]: the newest, or the newest with an index made again, or
//! an older one with the log behind it. An entry of that one whose record cannot be read is healable when parity or the
//! log has it or the log has a newer change of it; else the document is lost, by name. What is wrong with the
//! others is healable: they are there to fall back upon. Damage in a data file that hits no entry of any checkpoint
//! and no deletion is **harmless**: nothing reads it, and compaction takes it away. Without an index that can be read
//! nobody knows what stood in a damaged stretch: then that is lost.
//!
//! Memory: the indexes of all checkpoints, one stripe, one record. Cost: every byte is read once,
//! and every unreadable record's neighbourhood again.
//!
//! Where to start: [`verify`]; `basis` for what opening would do, `data` for the records, `log` for the log.

mod basis;
mod data;
mod log;
mod report;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use base::io::{DiskRef, EntryKind};
use base::slots::{Condition, SlotReport};
use base::words::{CollectionId, DocId, Lsn};
use wal::Environment;

use crate::error::{Op, Result, StoreError};
use crate::index::{self, Index};
use crate::location::FileNumber;
use crate::manifest::{Checkpoint, FILE_NAME, Manifest, ManifestFile, Quarantined};
use crate::open::LOG_DIR;

pub use report::{
    CheckpointCheck, CollectionCheck, FileCheck, LogCheck, Problem, Severity, Verdict, VerifyReport,
};

/// How often a check of a database in use begins again.
const TRIES: usize = 5;

/// What the name of a report begins with that an index rebuilt in doubt leaves behind.
pub(crate) const NOTE_PREFIX: &str = "rebuilt-";

/// Checks the database in the directory `dir`, whether it is open or not.
///
/// # Errors
/// `FileOpen` when there is no database in `dir`; the disk's. Damage is no error: it is what is
/// reported.
pub fn verify(env: &Environment, dir: &Path) -> Result<VerifyReport> {
    let mut tries = 0;
    loop {
        let before = ManifestFile::inspect(&env.disk, dir)?;
        let is_there = before.iter().any(|slot| slot.condition != Condition::Missing);
        let log = dir.join(LOG_DIR);
        let has_log = env.disk.stat(&log).map_err(|e| StoreError::io(Op::Read, &log, e))?.is_some();
        if !is_there && !has_log {
            let path = dir.join(FILE_NAME);
            return Err(StoreError::io(Op::Open, path, io::ErrorKind::NotFound.into()));
        }
        let report = Check::new(env, dir, before).run()?;
        tries += 1;
        let has_moved = ManifestFile::inspect(&env.disk, dir)? != report.slots;
        if report.verdict() == Verdict::Clean || !has_moved || tries == TRIES {
            return Ok(report);
        }
    }
}

/// What a look at a MANIFEST found.
#[derive(Debug, Clone)]
pub struct ManifestInspection {
    /// Its files.
    pub slots: Vec<SlotReport>,
    /// What it says, or why it cannot be read.
    pub manifest: std::result::Result<Manifest, StoreError>,
}

/// Looks at the MANIFEST of the database in `dir`, writing nothing.
///
/// # Errors
/// `FileOpen` when there is none; the disk's. Damage is no error.
pub fn inspect_manifest(disk: &DiskRef, dir: &Path) -> Result<ManifestInspection> {
    let slots = ManifestFile::inspect(disk, dir)?;
    let manifest = match ManifestFile::peek(disk, dir) {
        Ok(Some(manifest)) => Ok(manifest),
        Ok(None) => {
            let path = dir.join(FILE_NAME);
            return Err(StoreError::io(Op::Open, path, io::ErrorKind::NotFound.into()));
        }
        Err(error @ StoreError::Manifest(_)) => Err(error),
        Err(error) => return Err(error),
    };
    Ok(ManifestInspection { slots, manifest })
}

/// A check under way.
struct Check<'a> {
    env: &'a Environment,
    dir: &'a Path,
    report: VerifyReport,
    /// Documents that could not be read, until the log has been asked for them.
    unread: BTreeMap<(CollectionId, DocId), Unread>,
}

/// A document whose record could not be read.
struct Unread {
    lsn: Lsn,
    path: PathBuf,
    offset: Option<u64>,
    why: String,
    /// The MANIFEST has given it up already: what the log has does not help.
    is_quarantined: bool,
    /// The log has the same version.
    in_log: bool,
    /// The log has a newer change.
    is_superseded: bool,
}

/// A checkpoint with its index.
struct Loaded<'a> {
    /// Its place in the manifest.
    at: usize,
    checkpoint: &'a Checkpoint,
    index: Index,
    readable: u64,
}

impl<'a> Check<'a> {
    fn new(env: &'a Environment, dir: &'a Path, slots: Vec<SlotReport>) -> Self {
        let report = VerifyReport { dir: dir.to_path_buf(), slots, ..VerifyReport::default() };
        Self { env, dir, report, unread: BTreeMap::new() }
    }

    fn run(mut self) -> Result<VerifyReport> {
        let manifest = match ManifestFile::peek(&self.env.disk, self.dir) {
            Ok(manifest) => manifest,
            Err(StoreError::Manifest(why)) => {
                let path = self.dir.join(FILE_NAME);
                self.report.add(Severity::Lost, &path, None, &*why);
                None
            }
            Err(error) => return Err(error),
        };
        let slots = self.report.slots.clone();
        self.slots(&slots);
        match &manifest {
            Some(manifest) => self.with(manifest)?,
            None => self.without()?,
        }
        self.list(manifest.as_ref())?;
        Ok(self.report)
    }

    /// One file that is not valid is what an interrupted write leaves, or damage; opening writes
    /// it again.
    fn slots(&mut self, slots: &[SlotReport]) {
        for slot in slots {
            match slot.condition {
                Condition::Valid { .. } => {}
                Condition::Missing => {
                    self.report.add(
                        Severity::Healable,
                        &slot.path,
                        None,
                        "a copy of the manifest is missing; opening makes it again",
                    );
                }
                Condition::Invalid => {
                    self.report.add(
                        Severity::Healable,
                        &slot.path,
                        Some(0),
                        "a copy of the manifest is damaged or unfinished; opening writes it again",
                    );
                }
                Condition::Newer(version) => {
                    let what = format!("a later version of docdb wrote it version={version}");
                    self.report.add(Severity::Lost, &slot.path, Some(8), what);
                }
            }
        }
    }

    fn with(&mut self, manifest: &Manifest) -> Result<()> {
        self.report.database = Some((manifest.database, manifest.name.clone()));
        self.index_files(manifest)?;
        let mut loaded = Vec::new();
        for (at, checkpoint) in manifest.checkpoints.iter().enumerate() {
            let index = self.load(checkpoint);
            self.report.checkpoints.push(CheckpointCheck {
                lsn: checkpoint.lsn,
                is_usable: index.is_some(),
                documents: index.as_ref().map_or(0, documents),
                readable: 0,
            });
            loaded.extend(index.map(|index| Loaded { at, checkpoint, index, readable: 0 }));
        }
        let files = self.data_files(manifest, &mut loaded)?;
        let basis = self.basis(manifest, &loaded, &files)?;
        self.tell_basis(manifest, &basis);
        self.documents(manifest, &loaded, &basis, files)?;
        for Loaded { checkpoint, readable, .. } in &loaded {
            let lsn = checkpoint.lsn;
            let checks = &mut self.report.checkpoints;
            if let Some(check) = checks.iter_mut().rev().find(|check| check.lsn == lsn) {
                check.readable = *readable;
            }
        }
        if let Some(newest) = basis.judge(&loaded).or(loaded.last()) {
            let count = |record: &crate::manifest::CollectionRecord| CollectionCheck {
                collection: record.collection,
                name: record.name.clone(),
                documents: newest.index.counts(record.collection).live,
                changes: 0,
            };
            self.report.collections = newest.checkpoint.collections.iter().map(count).collect();
        }
        for Quarantined { collection, id, lsn } in &manifest.quarantine {
            let unread = Unread {
                lsn: *lsn,
                path: self.dir.join(FILE_NAME),
                offset: None,
                why: "it is in quarantine".to_owned(),
                is_quarantined: true,
                in_log: false,
                is_superseded: false,
            };
            self.unread.insert((*collection, id.clone()), unread);
        }
        self.log(Some((manifest, basis.lsn(manifest))))?;
        self.settle();
        Ok(())
    }

    /// Without a MANIFEST every file is looked at by itself.
    fn without(&mut self) -> Result<()> {
        let disk = &self.env.disk;
        for entry in disk.list(self.dir).map_err(|e| StoreError::io(Op::Read, self.dir, e))? {
            let path = self.dir.join(&entry.name);
            if FileNumber::parse(&entry.name).is_some() {
                self.lone_data_file(&path)?;
            } else if index::file::parse_name(&entry.name).is_some() {
                let found = index::file::inspect(disk, &path)?;
                self.index_damage(&found);
                self.report.indexes.push(found);
            }
        }
        self.log(None)
    }

    /// Looks at every index file that a checkpoint names.
    fn index_files(&mut self, manifest: &Manifest) -> Result<()> {
        for number in manifest.index_files() {
            let path = index::file::path(self.dir, number);
            match index::file::inspect(&self.env.disk, &path) {
                Ok(found) => {
                    self.index_damage(&found);
                    self.report.indexes.push(found);
                }
                Err(index::IndexError::Io { source, .. })
                    if source.kind() == io::ErrorKind::NotFound =>
                {
                    let what = "the index file is missing; opening makes the index again or goes \
                                on from an older checkpoint";
                    self.report.add(Severity::Healable, &path, None, what);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn index_damage(&mut self, found: &index::file::Report) {
        if let Some(damage) = &found.damage {
            let what = format!(
                "{}: {}; opening makes the index again or goes on from an older checkpoint",
                damage.place, damage.wrong
            );
            self.report.add(Severity::Healable, &damage.path, Some(damage.offset), what);
        }
    }

    /// The index of a checkpoint. What is wrong with its files was reported already, but that they
    /// are not those that the MANIFEST means.
    fn load(&mut self, checkpoint: &Checkpoint) -> Option<Index> {
        match load_index(&self.env.disk, self.dir, checkpoint) {
            Ok(index) => Some(index),
            Err(error) => {
                if let index::IndexError::Corrupt(damage) = &error {
                    let known = self.report.problems.iter().any(|p| p.path == damage.path);
                    if !known {
                        let what = damage.wrong.to_string();
                        let (path, offset) = (damage.path.clone(), Some(damage.offset));
                        self.report.add(Severity::Healable, &path, offset, what);
                    }
                }
                None
            }
        }
    }

    /// Names the documents that could not be read, now that the log has been asked.
    fn settle(&mut self) {
        for ((collection, id), unread) in std::mem::take(&mut self.unread) {
            if unread.is_superseded {
                continue;
            }
            let Unread { lsn, path, offset, why, is_quarantined, in_log, .. } = unread;
            let is_there = in_log && !is_quarantined;
            let (severity, end) = match is_there {
                true => (Severity::Healable, "; the log still has it"),
                false => (Severity::Lost, ""),
            };
            let what =
                format!("document {id} of collection {collection}, revision {lsn}: {why}{end}");
            let document = Some(Quarantined { collection, id, lsn });
            self.report.problems.push(Problem { path, offset, severity, what, document });
        }
    }

    /// What else is in the directory.
    fn list(&mut self, manifest: Option<&Manifest>) -> Result<()> {
        let disk = &self.env.disk;
        for entry in disk.list(self.dir).map_err(|e| StoreError::io(Op::Read, self.dir, e))? {
            if entry.kind != EntryKind::File {
                continue;
            }
            let path = self.dir.join(&entry.name);
            if entry.name.starts_with(NOTE_PREFIX) {
                let what = "the index was rebuilt though records could not be read: this file \
                            says which; remove it once that is settled";
                self.report.add(Severity::Lost, &path, None, what);
            }
            let Some(manifest) = manifest else { continue };
            let data = FileNumber::parse(&entry.name);
            let run = index::file::parse_name(&entry.name);
            let is_left = data.is_some_and(|number| !manifest.files().contains(&number))
                || run.is_some_and(|number| !manifest.index_files().contains(&number));
            if is_left {
                self.report.leftovers.push(path);
            }
        }
        Ok(())
    }
}

fn documents(index: &Index) -> u64 {
    index.collections().into_iter().map(|collection| index.counts(collection).live).sum()
}

/// Loads the index of a checkpoint.
pub(crate) fn load_index(
    disk: &DiskRef,
    dir: &Path,
    checkpoint: &Checkpoint,
) -> std::result::Result<Index, index::IndexError> {
    let mut base = index::Table::new();
    let mut runs = Vec::new();
    for info in &checkpoint.index {
        let table = index::file::load(disk, dir, info)?;
        match info.header.kind {
            index::file::Kind::Base => base = table,
            index::file::Kind::Run => runs.push(table),
        }
    }
    Ok(Index::of(base, runs))
}
