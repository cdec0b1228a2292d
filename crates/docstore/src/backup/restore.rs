//! A new database out of a backup.
//!
//! Every checksum of a database knows its identity, and the new database has one of its own: the
//! documents are read from the backup and written into new data files, with a new index over them.
//! What stays: the bytes, revisions and expiries of all documents, the numbers, names and
//! properties of all collections, and the LSN: the log begins behind the one of the backup. What
//! does not: older versions, the change feed before the backup, and the database's identity.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::memory::Budget;
use base::words::{DatabaseId, Lsn, Name};
use wal::Environment;

use super::catalog::{Catalog, CatalogFile};
use super::content::{Scan, load_index, scan_all, verify_files};
use super::{BackupDir, BackupProgress, BackupSummary, Meter};
use crate::data::{DataWriter, FileIdentity, Layout, RecordRef};
use crate::database::Database;
use crate::error::{Op, Result, StoreError};
use crate::index::{self, Entry, Index, Target};
use crate::location::{FileNumber, Location};
use crate::manifest::{Checkpoint, FileRecord, Manifest, ManifestFile, Quarantined};
use crate::open::{build, take_back};
use crate::options::Options;

/// After so many documents the index is packed.
const PACK_EVERY: u64 = 256 * 1024;

/// What restoring a backup did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreReport {
    /// What the backup holds; all of its checksums and numbers were found to be right.
    pub summary: BackupSummary,
    /// The identity of the new database.
    pub database: DatabaseId,
    /// Documents of the new database, which are as many as those of the backup.
    pub documents: u64,
}

/// Which database to make.
pub(crate) struct NewDatabase<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) name: &'a Name,
    /// Never used before.
    pub(crate) id: DatabaseId,
}

impl Database {
    /// Makes a new database in the directory `dir`, which must not exist, out of a backup, and
    /// opens it. It has an identity of its own, and the name that is given. All checksums and
    /// numbers of the backup are checked before anything is written, and those of what was written
    /// after. Durable on return.
    ///
    /// # Errors
    /// `CorruptRecord` and `CrcMismatch` name what is missing or damaged in the backup, and nothing
    /// was made; `FileOpen` when no backup was finished in its directory; `DbExists` when there is
    /// something at `dir`; the disk's. There is nothing at `dir` then, or the whole database when the
    /// disk does not let it go.
    pub fn restore(
        env: &Environment,
        from: &BackupDir,
        dir: &Path,
        name: &Name,
        options: Options,
        budget: &Budget,
    ) -> Result<(Self, RestoreReport)> {
        let id = DatabaseId::random().map_err(|e| StoreError::io(Op::Open, dir, e))?;
        Self::restore_as(env, from, NewDatabase { dir, name, id }, options, budget, &mut |_| ())
    }

    /// The same with an identity that the caller chose.
    pub(crate) fn restore_as(
        env: &Environment,
        from: &BackupDir,
        new: NewDatabase<'_>,
        options: Options,
        budget: &Budget,
        progress: &mut dyn FnMut(BackupProgress),
    ) -> Result<(Self, RestoreReport)> {
        options.validate()?;
        let (catalog, damaged) = CatalogFile::read(from)?;
        let mut meter = Meter::new(catalog.bytes(), progress);
        verify_files(from, &catalog, &mut meter)?;
        let documents = build(&env.disk, new.dir, new.name, |dir, log_dir| {
            let newest = catalog.manifest.newest();
            let wall = newest.wall.max(env.clock.wall());
            wal::begin_behind(&env.disk, log_dir, new.id, newest.lsn, wall)?;
            let mut writing = Writing::new(env, dir.to_path_buf(), new.id, &options);
            let index = load_index(from, &catalog.manifest)?;
            let mut put = |record: &RecordRef<'_>| writing.put(record);
            scan_all(from, &catalog, &index, &mut Scan::Visit(&mut put), &mut meter)?;
            drop(index);
            writing.finish(&catalog, new.name)
        })?;
        let opened = Self::open(env, new.dir, options, budget);
        let (database, _) = opened.inspect_err(|_| take_back(&env.disk, new.dir))?;
        meter.finish();
        let summary = catalog.summary(damaged);
        let report = RestoreReport { summary, database: new.id, documents };
        Ok((database, report))
    }
}

/// The files of the new database.
struct Writing<'a> {
    env: &'a Environment,
    dir: PathBuf,
    id: DatabaseId,
    options: &'a Options,
    writer: Option<DataWriter>,
    files: Vec<FileRecord>,
    index: Index,
    documents: u64,
}

impl<'a> Writing<'a> {
    fn new(env: &'a Environment, dir: PathBuf, id: DatabaseId, options: &'a Options) -> Self {
        let (files, index) = (Vec::new(), Index::new());
        Self { env, dir, id, options, writer: None, files, index, documents: 0 }
    }

    fn put(&mut self, record: &RecordRef<'_>) -> Result<()> {
        let limit = self.options.data_file_bytes_max;
        if self.writer.as_ref().is_some_and(|writer| writer.len() >= limit) {
            self.end_file()?;
        }
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.begin_file()?,
        };
        let location = writer.append(record)?;
        self.writer = Some(writer);
        if let Some(file) = self.files.last_mut() {
            file.records += 1;
            file.lowest = file.lowest.min(record.lsn);
        }
        let crate::data::Body::Document { expires_at, .. } = record.body else { return Ok(()) };
        let entry = Entry { lsn: record.lsn, location, expires_at };
        // Before and not after the document: at the end there is always something to merge.
        if self.documents > 0 && self.documents.is_multiple_of(PACK_EVERY) {
            self.index.freeze();
            self.pack();
        }
        self.index.put(record.collection, record.id, entry);
        self.documents += 1;
        Ok(())
    }

    fn begin_file(&mut self) -> Result<DataWriter> {
        let after = self.files.last().map_or(0, |file| file.number.0);
        let number = FileNumber(after + 1);
        self.files.push(FileRecord {
            number,
            verified_len: 0,
            finished: true,
            records: 0,
            tombstones: 0,
            dead: 0,
            lowest: Lsn(u64::MAX),
        });
        let identity = FileIdentity { database: self.id, number };
        let layout = Layout { geometry: self.options.geometry, parity: self.options.parity };
        Ok(DataWriter::create(&self.env.disk, &self.dir, identity, layout)?)
    }

    /// Completes the file: no log has its records.
    fn end_file(&mut self) -> Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let verified = writer.finish()?;
        if let Some(file) = self.files.last_mut() {
            file.verified_len = verified.len;
        }
        Ok(())
    }

    /// Merges what was frozen.
    fn pack(&mut self) {
        if let Some(merge) = self.index.due().and_then(|target| self.index.merge(target)) {
            self.index.install(merge.run()).expect("nobody else has this index");
        }
    }

    /// Completes the data files, writes index and manifest; answers how many documents there are.
    fn finish(mut self, catalog: &Catalog, name: &Name) -> Result<u64> {
        self.end_file()?;
        let newest = catalog.manifest.newest();
        let expected: u64 = catalog.counts.iter().map(|(_, count)| count).sum();
        if self.documents != expected {
            let what = format!("{} of {expected} documents were found", self.documents);
            return Err(StoreError::Backup(Arc::from(what)));
        }
        // What the backup does not hold is lost here, too, and not absent.
        let lost = &catalog.manifest.quarantine;
        for Quarantined { collection, id, lsn } in lost {
            let entry = Entry { lsn: *lsn, location: Location::NOWHERE, expires_at: None };
            self.index.put(*collection, id, entry);
        }
        self.index.freeze();
        let mut indexes = Vec::new();
        if self.documents > 0 || !lost.is_empty() {
            let header = index::file::Header {
                database: self.id,
                number: 1,
                kind: index::file::Kind::Base,
                checkpoint: newest.lsn,
            };
            if let Some(merge) = self.index.merge(Target::Base) {
                let merged = merge.run();
                let (disk, dir) = (&self.env.disk, &self.dir);
                indexes.push(index::file::write(disk, dir, header, merged.table())?);
            }
        }
        let after = self.files.last().map_or(0, |file| file.number.0);
        let manifest = Manifest {
            database: self.id,
            name: name.clone(),
            created: self.env.clock.wall(),
            next_collection: catalog.manifest.next_collection,
            next_file: after + 1,
            next_index: 2,
            hold: newest.lsn,
            compacted: base::clock::WallMs(0),
            checkpoints: vec![Checkpoint {
                files: std::mem::take(&mut self.files),
                index: indexes,
                ..newest.clone()
            }],
            quarantine: catalog.manifest.quarantine.clone(),
        };
        ManifestFile::create(&self.env.disk, &self.dir, &manifest)?;
        Ok(self.documents)
    }
}
