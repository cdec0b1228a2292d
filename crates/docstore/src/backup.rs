//! Backups: a copy of one checkpoint of an open database, and new databases made from it.
//!
//! A backup is a directory with copies of the data and index files of one checkpoint and a value
//! `BACKUP` that names them, with their checksums (`catalog.rs`). It holds no log: its state is
//! exactly that of the checkpoint. The files never change once they are verified, so a second
//! backup into the same directory copies only what is new.
//!
//! # Invariants
//!
//! 1. `BACKUP` is stored last. Whatever it names was synced and read back before, and is removed
//!    only once another `BACKUP` that does not name it is durable. A crash at any moment leaves the
//!    one before usable.
//! 2. Files of the database may vanish while they are copied, when a compaction replaces them: they
//!    were opened while nothing could, and an open file stays readable.
//! 3. What a backup does not hold it says: documents whose bytes are lost are listed in it.
//!
//! Start with [`Database::backup`]; `restore.rs` has the way back, `docs/decisions/0008-backup.md`
//! the reasons.

mod catalog;
mod content;
mod copy;
mod progress;
mod restore;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::clock::WallMs;
use base::io::{DiskRef, FileRef, Open};
use base::words::{DatabaseId, Lsn, Name};

use crate::checkpoint::{Compact, Job};
use crate::data::{DataError, DataFile};
use crate::database::{Database, Inner};
use crate::error::{Op, Result, StoreError, sync_dir};
use crate::heal::Heal;
use crate::index;
use crate::manifest::{FileRecord, Manifest, Quarantined};
use catalog::{Catalog, CatalogFile, FileCopy, data_name, index_name};
use content::{Scan, Tally, load_index};
pub use progress::BackupProgress;
use progress::Meter;
pub(crate) use restore::NewDatabase;
pub use restore::RestoreReport;

const LOCK_NAME: &str = "LOCK";

/// Where a backup is.
#[derive(Debug, Clone)]
pub struct BackupDir {
    /// The file system.
    pub disk: DiskRef,
    /// The directory: made by the first backup into it, of one database alone.
    pub dir: PathBuf,
}

impl BackupDir {
    /// The directory `dir` of `disk`.
    #[must_use]
    pub fn new(disk: &DiskRef, dir: &Path) -> Self {
        Self { disk: DiskRef::clone(disk), dir: dir.to_path_buf() }
    }
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSummary {
    /// The database that it was taken of.
    pub database: DatabaseId,
    /// Its name then.
    pub name: Name,
    /// Its state: everything up to this LSN, and nothing behind it.
    pub lsn: Lsn,
    /// When it was taken.
    pub taken: WallMs,
    /// The documents of each collection; those that have expired and were not reclaimed yet count.
    pub collections: Vec<(Name, u64)>,
    /// Documents that the database has lost and the backup does not hold.
    pub lost: Vec<Quarantined>,
    /// Its files.
    pub files: u64,
    /// Their length, bytes.
    pub bytes: u64,
    /// Copies of the value `BACKUP` that are missing or not valid: damaged, or left so by a backup
    /// that was interrupted. Another one stood in for them, and the next backup writes them anew.
    pub damaged_copies: Vec<PathBuf>,
}

/// What taking a backup did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    /// What the backup holds.
    pub summary: BackupSummary,
    /// Files that were copied.
    pub copied_files: u64,
    /// Their length, bytes.
    pub copied_bytes: u64,
    /// Files of an earlier backup that were read back and kept.
    pub reused_files: u64,
    /// Their length, bytes.
    pub reused_bytes: u64,
}

/// Reads a whole backup and says what it holds. Needs the memory of the database's index.
///
/// # Errors
/// `CorruptRecord` and `CrcMismatch` name what is missing or damaged; `FileOpen` when no backup was
/// finished in the directory; the disk's.
pub fn check_backup(from: &BackupDir) -> Result<BackupSummary> {
    check_backup_with(from, &mut |_| ())
}

/// The same; `progress` is called about every MiB.
///
/// # Errors
/// As [`check_backup`].
pub fn check_backup_with(
    from: &BackupDir,
    progress: &mut dyn FnMut(BackupProgress),
) -> Result<BackupSummary> {
    let (catalog, damaged) = CatalogFile::read(from)?;
    let mut meter = Meter::new(catalog.bytes(), progress);
    content::verify_files(from, &catalog, &mut meter)?;
    let index = load_index(from, &catalog.manifest)?;
    content::scan_all(from, &catalog, &index, &mut Scan::Count, &mut meter)?;
    meter.finish();
    Ok(catalog.summary(damaged))
}

impl Database {
    /// Copies the database, as it is now, into a directory, while reads and writes go on. Holds
    /// everything that was acknowledged before the call. Every file is read back; what an earlier
    /// backup has copied is kept. Documents that cannot be read are healed first where that is
    /// possible, and listed in the report where it is not.
    ///
    /// Durable on return. Needs the memory of the index a second time, and an open file for each
    /// file of the database.
    ///
    /// # Errors
    /// The disk's, of either side; `CorruptRecord` when the directory holds a backup of another
    /// database; `FileOpen` when another backup is writing there. The backup that was there before
    /// is as it was, or this one has taken its place already.
    pub fn backup(&self, to: &BackupDir) -> Result<BackupReport> {
        self.backup_with(to, &mut |_| ())
    }

    /// The same; `progress` is called about every MiB. When documents are found to be lost, all of
    /// it is done a second time.
    ///
    /// # Errors
    /// As [`Database::backup`].
    pub fn backup_with(
        &self,
        to: &BackupDir,
        progress: &mut dyn FnMut(BackupProgress),
    ) -> Result<BackupReport> {
        self.inner.check_open()?;
        let report = self.inner.backup(to, progress)?;
        if report.summary.lost.is_empty() {
            return Ok(report);
        }
        // Reading them is what heals them; what is healed goes into the next checkpoint.
        for lost in &report.summary.lost {
            let found = self.inner.get_with(lost.collection, &lost.id, None, Heal::AsConfigured);
            if let Err(error) = found {
                tracing::error!(id = %lost.id, %error, "a backup has to leave a document out");
            }
        }
        self.inner.backup(to, progress)
    }
}

/// A checkpoint's files, open.
struct Captured {
    manifest: Manifest,
    data: Vec<(FileRecord, Arc<DataFile>)>,
    indexes: Vec<(u64, FileRef)>,
}

impl Inner {
    fn backup(
        &self,
        to: &BackupDir,
        progress: &mut dyn FnMut(BackupProgress),
    ) -> Result<BackupReport> {
        make_dir(to)?;
        let lock = to.dir.join(LOCK_NAME);
        let _held = to.disk.lock(&lock).map_err(|e| {
            if e.kind() == std::io::ErrorKind::WouldBlock {
                wal::WalError::Locked(lock.clone()).into()
            } else {
                StoreError::io(Op::Open, &lock, e)
            }
        })?;
        let file = CatalogFile::open(to)?;
        if let Some(before) = file.value()
            && before.manifest.database != self.id
        {
            let (path, other) = (to.dir.clone(), before.manifest.database);
            return Err(StoreError::BackupTaken { path, other });
        }
        let captured = self.capture()?;
        let meter = Meter::new(captured.bytes()?, progress);
        let (before, counted) = (file.value(), Counted::default());
        let mut copying = Copying { inner: self, to, before, counted, meter };
        let catalog = copying.run(&captured)?;
        copying.meter.finish();
        let counted = copying.counted;
        sync_dir(&to.disk, &to.dir)?;
        file.store(to, &catalog)?;
        remove_others(to, &catalog)?;
        Ok(counted.report(catalog.summary(Vec::new())))
    }

    /// Makes a checkpoint of everything acknowledged and opens its files before they can go.
    fn capture(&self) -> Result<Captured> {
        let wanted = self.position();
        loop {
            let captured =
                self.checkpoint_and(Compact::Nothing, |job, _| self.open_checkpoint(job))?;
            // The first one ends where an earlier one had failed.
            if captured.manifest.newest().lsn >= wanted.min(self.position()) {
                return Ok(captured);
            }
        }
    }

    fn open_checkpoint(&self, job: &Job) -> Result<Captured> {
        let newest = job.manifest.newest().clone();
        let state = self.read();
        let mut data = Vec::with_capacity(newest.files.len());
        for record in &newest.files {
            let missing = || {
                let what = format!("data file {} is not open", record.number);
                StoreError::Manifest(Arc::from(what))
            };
            let file = state.files.get(&record.number).ok_or_else(missing)?;
            data.push((*record, Arc::clone(file)));
        }
        drop(state);
        let mut indexes = Vec::with_capacity(newest.index.len());
        for info in &newest.index {
            let path = index::file::path(&self.dir, info.header.number);
            let opened = self.env.disk.open(&path, Open::Read);
            let file = opened.map_err(|e| StoreError::io(Op::Open, &path, e))?;
            indexes.push((info.header.number, file));
        }
        let manifest = Manifest { checkpoints: vec![newest], ..job.manifest.clone() };
        Ok(Captured { manifest, data, indexes })
    }
}

impl Captured {
    /// How many bytes there are to copy.
    fn bytes(&self) -> Result<u64> {
        let data = self.data.iter();
        let mut bytes: u64 =
            data.map(|(record, file)| file.layout().file_offset(record.verified_len)).sum();
        for (number, file) in &self.indexes {
            bytes += file.len().map_err(|e| StoreError::io(Op::Read, index_name(*number), e))?;
        }
        Ok(bytes)
    }
}

/// What was copied and what was kept.
#[derive(Debug, Default)]
struct Counted {
    copied: (u64, u64),
    reused: (u64, u64),
}

impl Counted {
    fn report(&self, summary: BackupSummary) -> BackupReport {
        BackupReport {
            summary,
            copied_files: self.copied.0,
            copied_bytes: self.copied.1,
            reused_files: self.reused.0,
            reused_bytes: self.reused.1,
        }
    }

    fn add(&mut self, copy: FileCopy, is_new: bool) {
        let (files, bytes) = if is_new { &mut self.copied } else { &mut self.reused };
        (*files, *bytes) = (*files + 1, *bytes + copy.bytes);
    }
}

/// A backup in the making.
struct Copying<'a> {
    inner: &'a Inner,
    to: &'a BackupDir,
    before: Option<&'a Catalog>,
    counted: Counted,
    meter: Meter<'a>,
}

impl Copying<'_> {
    fn run(&mut self, captured: &Captured) -> Result<Catalog> {
        let mut copies = Vec::with_capacity(captured.data.len() + captured.indexes.len());
        let mut index_copies = Vec::with_capacity(captured.indexes.len());
        for (number, file) in &captured.indexes {
            let len = file.len().map_err(|e| StoreError::io(Op::Read, index_name(*number), e))?;
            let (copy, is_new) = self.bring(&index_name(*number), file, len)?;
            self.counted.add(copy, is_new);
            index_copies.push(copy);
        }
        // What was copied is what counts from here on.
        let index = load_index(self.to, &captured.manifest)?;
        let mut tally = Tally::default();
        for (record, source) in &captured.data {
            copies.push(self.data_file(record, source, &index, &mut tally)?);
        }
        copies.extend(index_copies);
        let mut manifest = captured.manifest.clone();
        tally.miss(&index, &manifest.newest().files);
        let counts = tally.check(&index, manifest.newest().lsn)?;
        manifest.quarantine = tally.lost;
        Ok(Catalog { manifest, taken: self.inner.log.wall(), files: copies, counts })
    }

    /// Brings a data file into the backup, healed if it has to be.
    fn data_file(
        &mut self,
        record: &FileRecord,
        source: &DataFile,
        index: &index::Index,
        tally: &mut Tally,
    ) -> Result<FileCopy> {
        let name = data_name(record.number, record.verified_len);
        let len = source.layout().file_offset(record.verified_len);
        let (mut copy, mut is_new) = self.bring(&name, source.raw(), len)?;
        let mut found =
            content::scan_file(self.to, source.identity(), record, index, &mut self.meter);
        if !content::is_sound(&found) && self.inner.options.healing {
            heal(source, record)?;
            copy = copy::copy(self.to, &name, source.raw(), len, &mut self.meter)?;
            is_new = true;
            found = content::scan_file(self.to, source.identity(), record, index, &mut self.meter);
        }
        self.counted.add(copy, is_new);
        tally.add(found?);
        Ok(copy)
    }

    /// The file `name` of the backup with the first `len` bytes of `source`: the one that is there
    /// already, when it is as an earlier backup left it.
    fn bring(&mut self, name: &str, source: &FileRef, len: u64) -> Result<(FileCopy, bool)> {
        let known = self.before.and_then(|before| before.file(name));
        if let Some(known) = known {
            match copy::read_back(self.to, name, &mut self.meter) {
                Ok(found) if found == known => return Ok((known, false)),
                Ok(_) | Err(StoreError::Io { op: Op::Open | Op::Read, .. }) => {
                    tracing::error!(name, "a file of the backup is damaged and copied again");
                }
                Err(error) => return Err(error),
            }
        }
        Ok((copy::copy(self.to, name, source, len, &mut self.meter)?, true))
    }
}

/// Heals what parity can heal of a data file.
fn heal(source: &DataFile, record: &FileRecord) -> Result<()> {
    let healed =
        source.heal_header().and_then(|_| source.heal_range(0..record.verified_len).map(drop));
    match healed {
        // The file may be gone meanwhile, or its disk may take no writes: then it is as it was.
        Ok(()) | Err(DataError::Io { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn make_dir(to: &BackupDir) -> Result<()> {
    let (disk, dir) = (&to.disk, &to.dir);
    if disk.stat(dir).map_err(|e| StoreError::io(Op::Open, dir, e))?.is_none() {
        disk.create_dir(dir).map_err(|e| StoreError::io(Op::Write, dir, e))?;
        if let Some(parent) = dir.parent() {
            sync_dir(disk, parent)?;
        }
    }
    Ok(())
}

/// Removes files of ours that the backup does not name. A crash before leaves them to the next.
fn remove_others(to: &BackupDir, catalog: &Catalog) -> Result<()> {
    let names: BTreeSet<String> = catalog.named().map(|(name, _)| name).collect();
    let entries = to.disk.list(&to.dir).map_err(|e| StoreError::io(Op::Read, &to.dir, e))?;
    for entry in entries {
        if catalog::is_ours(&entry.name) && !names.contains(&entry.name) {
            let path = to.dir.join(&entry.name);
            to.disk.remove_file(&path).map_err(|e| StoreError::io(Op::Write, &path, e))?;
        }
    }
    Ok(())
}
