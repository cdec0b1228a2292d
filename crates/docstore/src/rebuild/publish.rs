//! Writing the index that was made, and the MANIFEST that names it.

use std::collections::BTreeMap;

use base::io::{Open, write_all_at};
use base::words::{CollectionId, DocId, Lsn};

use super::{Place, Rebuild, RebuildReport};
use crate::data::{Body, DataWriter, FileIdentity, Layout, RecordRef};
use crate::error::{Op, Result, StoreError, sync_dir};
use crate::index::file::{FileInfo, Header, Kind};
use crate::index::{self, Entry, Index, Table, Target};
use crate::location::FileNumber;
use crate::manifest::{Checkpoint, FileRecord};
use crate::verify::{NOTE_PREFIX, load_index};

impl Rebuild<'_> {
    /// Makes it true: records that only the log had, the index, the MANIFEST.
    pub(super) fn publish(mut self) -> Result<RebuildReport> {
        self.go_round_leftovers()?;
        let mut files: BTreeMap<FileNumber, FileRecord> =
            self.newest().files.iter().map(|file| (file.number, *file)).collect();
        let missing: Vec<FileNumber> = files.keys().copied().collect();
        for number in missing {
            let path = number.path(self.dir);
            let stat = self.env.disk.stat(&path);
            if stat.map_err(|e| StoreError::io(Op::Read, &path, e))?.is_none() {
                files.remove(&number);
            }
        }
        let recovered = self.write_recovered()?;
        files.extend(recovered.map(|file| (file.number, file)));
        let index = self.index();
        for file in files.values_mut() {
            file.dead = file.records.saturating_sub(file.tombstones);
        }
        for version in self.versions.values() {
            if let Place::Record { location, .. } | Place::Lost { location, .. } = version.place
                && let Some(file) = files.get_mut(&location.file)
            {
                file.dead = file.dead.saturating_sub(1);
            }
        }
        self.count(&index);
        let info = self.write_index(index)?;
        self.note(info.header.number)?;
        sync_dir(&self.env.disk, self.dir)?;
        self.store(files.into_values().collect(), info)?;
        Ok(self.report)
    }

    /// New files get numbers that no file has, whether the MANIFEST names it or not.
    fn go_round_leftovers(&mut self) -> Result<()> {
        let entries = self.env.disk.list(self.dir);
        for entry in entries.map_err(|e| StoreError::io(Op::Read, self.dir, e))? {
            if let Some(FileNumber(number)) = FileNumber::parse(&entry.name) {
                let next = &mut self.manifest.next_file;
                *next = (*next).max(number.saturating_add(1));
            }
            if let Some(number) = index::file::parse_name(&entry.name) {
                let next = &mut self.manifest.next_index;
                *next = (*next).max(number.saturating_add(1));
            }
        }
        Ok(())
    }

    /// Writes documents that only the log had into a data file of their own.
    fn write_recovered(&mut self) -> Result<Option<FileRecord>> {
        let is_in_log = |(_, version): &(&(CollectionId, DocId), &mut super::Version)| {
            matches!(version.place, Place::Log { .. })
        };
        let mut waiting = self.versions.iter_mut().filter(is_in_log).peekable();
        if waiting.peek().is_none() {
            return Ok(None);
        }
        let number = FileNumber(self.manifest.next_file);
        self.manifest.next_file += 1;
        let identity = FileIdentity { database: self.manifest.database, number };
        let layout = Layout { geometry: self.options.geometry, parity: self.options.parity };
        let mut writer = DataWriter::create(&self.env.disk, self.dir, identity, layout)?;
        let (mut records, mut lowest) = (0, Lsn(u64::MAX));
        for ((collection, id), version) in waiting {
            let Place::Log { document, expires_at } = &version.place else { continue };
            let (lsn, expires_at) = (version.lsn, *expires_at);
            let body = Body::Document { document, expires_at };
            let location = writer.append(&RecordRef { collection: *collection, id, lsn, body })?;
            version.place = Place::Record { location, expires_at };
            records += 1;
            lowest = lowest.min(lsn);
        }
        let verified = writer.finish()?;
        self.report.recovered = records;
        Ok(Some(FileRecord {
            number,
            verified_len: verified.len,
            finished: true,
            records,
            tombstones: 0,
            dead: 0,
            lowest,
        }))
    }

    /// The index of all versions that are no deletions.
    fn index(&self) -> Index {
        let mut index = Index::new();
        for ((collection, id), version) in &self.versions {
            let (location, expires_at) = match &version.place {
                Place::Record { location, expires_at } | Place::Lost { location, expires_at } => {
                    (*location, *expires_at)
                }
                // Those of the log were written a moment ago.
                Place::Deleted | Place::Log { .. } => continue,
            };
            index.put(*collection, id, Entry { lsn: version.lsn, location, expires_at });
        }
        index
    }

    fn count(&mut self, index: &Index) {
        let collections = self.newest().collections.iter();
        let counted = collections.map(|record| {
            let live = index.counts(record.collection).live;
            (record.collection, record.name.clone(), live)
        });
        self.report.documents = counted.collect();
    }

    /// Writes the index as a base.
    fn write_index(&mut self, mut index: Index) -> Result<FileInfo> {
        let number = self.manifest.next_index;
        self.manifest.next_index += 1;
        self.report.index = Some(number);
        index.freeze();
        let table = match index.merge(Target::Base) {
            Some(merge) => merge.run().into_table(),
            None => Table::new(),
        };
        let header = Header {
            database: self.manifest.database,
            number,
            kind: Kind::Base,
            checkpoint: self.newest().lsn,
        };
        Ok(index::file::write(&self.env.disk, self.dir, header, &table)?)
    }

    /// Leaves the report in the directory when the index was made in doubt.
    fn note(&mut self, number: u64) -> Result<()> {
        if self.report.doubts.is_empty() {
            return Ok(());
        }
        let path = self.dir.join(format!("{NOTE_PREFIX}{number:016x}.txt"));
        let text = self.report.to_string();
        let disk = &self.env.disk;
        let file = disk.open(&path, Open::CreateNew);
        let file = file.map_err(|e| StoreError::io(Op::Open, &path, e))?;
        write_all_at(&*file, text.as_bytes(), 0)
            .map_err(|e| StoreError::io(Op::Write, &path, e))?;
        file.sync_data().map_err(|e| StoreError::io(Op::Sync, &path, e))?;
        self.report.note = Some(path);
        Ok(())
    }

    /// Stores the MANIFEST. Older checkpoints stay as long as they can be loaded.
    fn store(&mut self, files: Vec<FileRecord>, info: FileInfo) -> Result<()> {
        let newest = self.newest().clone();
        let mut older = std::mem::take(&mut self.manifest.checkpoints);
        older.retain(|checkpoint| checkpoint.lsn < newest.lsn);
        let before = older.len();
        older.retain(|checkpoint| {
            let has_files = checkpoint.files.iter().all(|file| {
                let stat = self.env.disk.stat(&file.number.path(self.dir));
                stat.is_ok_and(|stat| stat.is_some())
            });
            has_files && load_index(&self.env.disk, self.dir, checkpoint).is_ok()
        });
        self.report.checkpoints_dropped = (before - older.len()) as u64;
        older.push(Checkpoint { files, index: vec![info], ..newest });
        self.manifest.checkpoints = older;
        self.manifest.quarantine.clone_from(&self.report.lost);
        self.file.store(self.manifest)
    }
}
