//! What the files of a backup hold: their checksums, the index, every record.
//!
//! A record of a data file counts when the index has its document at this very place. Others are
//! older versions and tombstones; that they are whole is checked, and that is all.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::Arc;

use base::words::{CollectionId, Lsn};

use super::catalog::{Catalog, data_name};
use super::copy::read_back;
use super::{BackupDir, Meter};
use crate::data::{
    DataError, DataFile, Expected, FileIdentity, Found as Next, Kind, Payloads, RecordRef,
    StoredRecord,
};
use crate::error::{Result, StoreError};
use crate::index::{self, Found, Index};
use crate::location::FileNumber;
use crate::manifest::{FileRecord, Manifest, Quarantined};

/// After so many bytes of records a scan tells how far it is.
const METER_BYTES: u64 = 1024 * 1024;

/// What to do with the documents of a backup.
pub(super) enum Scan<'a> {
    /// They are counted.
    Count,
    /// They are handed over.
    Visit(&'a mut dyn FnMut(&RecordRef<'_>) -> Result<()>),
}

/// What was found in data files.
#[derive(Default)]
pub(super) struct Tally {
    counts: BTreeMap<CollectionId, u64>,
    /// The newest of the documents.
    newest: Lsn,
    /// Data that cannot be read as records.
    damage: Vec<Range<u64>>,
    /// Documents that are in there.
    pub(super) lost: Vec<Quarantined>,
}

/// Whether a file could be read from its start to its end.
pub(super) fn is_sound(found: &Result<Tally>) -> bool {
    found.as_ref().is_ok_and(|found| found.damage.is_empty())
}

/// Compares every file with the length and checksum that the backup has of it.
pub(super) fn verify_files(
    from: &BackupDir,
    catalog: &Catalog,
    meter: &mut Meter<'_>,
) -> Result<()> {
    for (name, known) in catalog.named() {
        let found = read_back(from, &name, meter)?;
        if found != known {
            let what = if found.bytes == known.bytes {
                "its checksum does not fit".to_owned()
            } else {
                format!("it has {} bytes where {} were copied", found.bytes, known.bytes)
            };
            let what = format!("`{}` is damaged: {what}", from.dir.join(name).display());
            return Err(StoreError::Backup(Arc::from(what)));
        }
    }
    Ok(())
}

/// The index of the backup's checkpoint.
pub(super) fn load_index(from: &BackupDir, manifest: &Manifest) -> Result<Index> {
    let mut base = index::Table::new();
    let mut runs = Vec::new();
    for info in &manifest.newest().index {
        let table = index::file::load(&from.disk, &from.dir, info)?;
        match info.header.kind {
            index::file::Kind::Base => base = table,
            index::file::Kind::Run => runs.push(table),
        }
    }
    Ok(Index::of(base, runs))
}

/// Reads a data file of the backup and counts its documents.
pub(super) fn scan_file(
    from: &BackupDir,
    identity: FileIdentity,
    record: &FileRecord,
    index: &Index,
    meter: &mut Meter<'_>,
) -> Result<Tally> {
    scan_one(from, identity, record, index, &mut Scan::Count, meter)
}

/// Reads all data files of the backup, and checks the numbers that it has of them.
pub(super) fn scan_all(
    from: &BackupDir,
    catalog: &Catalog,
    index: &Index,
    scan: &mut Scan<'_>,
    meter: &mut Meter<'_>,
) -> Result<()> {
    let database = catalog.manifest.database;
    let mut tally = Tally::default();
    for record in &catalog.manifest.newest().files {
        let identity = FileIdentity { database, number: record.number };
        tally.add(scan_one(from, identity, record, index, scan, meter)?);
    }
    tally.miss(index, &catalog.manifest.newest().files);
    let counts = tally.check(index, catalog.manifest.newest().lsn)?;
    if counts == catalog.counts && tally.lost == catalog.manifest.quarantine {
        return Ok(());
    }
    Err(StoreError::Backup(Arc::from("it holds other numbers of documents than it says")))
}

fn scan_one(
    from: &BackupDir,
    identity: FileIdentity,
    record: &FileRecord,
    index: &Index,
    scan: &mut Scan<'_>,
    meter: &mut Meter<'_>,
) -> Result<Tally> {
    let path = from.dir.join(data_name(record.number, record.verified_len));
    let file = DataFile::open_at_path(&from.disk, path, identity, record.verified_len)?;
    let payloads = match scan {
        Scan::Count => Payloads::Skip,
        Scan::Visit(_) => Payloads::Load,
    };
    let mut found = Tally::default();
    let mut counted = 0;
    for next in file.records(0..file.verified_len(), payloads) {
        match next? {
            Next::Record(record) => {
                let at = u64::from(record.location.offset);
                if at.saturating_sub(counted) >= METER_BYTES {
                    meter.add(at - counted);
                    counted = at;
                }
                if is_current(index, &record) {
                    found.see(&record, scan)?;
                }
            }
            Next::Damage(damage) => found.damage.push(damage.range),
        }
    }
    meter.add(file.verified_len().saturating_sub(counted));
    if !found.damage.is_empty() {
        found.look_into_damage(&file, index, scan)?;
    }
    Ok(found)
}

/// Whether the index has the document of a record at this very place.
fn is_current(index: &Index, record: &StoredRecord) -> bool {
    let header = &record.header;
    header.kind != Kind::Tombstone
        && matches!(
            index.get(header.collection, &header.id),
            Some(Found::Live(entry))
                if entry.location == record.location && entry.lsn == header.lsn
        )
}

impl Tally {
    pub(super) fn add(&mut self, file: Self) {
        for (collection, count) in file.counts {
            *self.counts.entry(collection).or_default() += count;
        }
        self.newest = self.newest.max(file.newest);
        self.lost.extend(file.lost);
    }

    fn see(&mut self, record: &StoredRecord, scan: &mut Scan<'_>) -> Result<()> {
        *self.counts.entry(record.header.collection).or_default() += 1;
        self.newest = self.newest.max(record.header.lsn);
        match (scan, record.as_ref()) {
            (Scan::Visit(visit), Some(record)) => visit(&record),
            (Scan::Visit(_) | Scan::Count, _) => Ok(()),
        }
    }

    /// Damage reaches up to the next place where a record is known to begin: documents that begin
    /// within may be whole, and the index knows where they are.
    fn look_into_damage(
        &mut self,
        file: &DataFile,
        index: &Index,
        scan: &mut Scan<'_>,
    ) -> Result<()> {
        for collection in index.collections() {
            for (id, entry) in index.range(collection, Bound::Unbounded, Bound::Unbounded) {
                let (location, lsn) = (entry.location, entry.lsn);
                let at = u64::from(location.offset);
                let is_in = |range: &Range<u64>| range.contains(&at);
                if location.file != file.identity().number || !self.damage.iter().any(is_in) {
                    continue;
                }
                match file.read(location, &Expected { collection, id: &id, lsn }) {
                    Ok(record) => self.see(&record, scan)?,
                    Err(DataError::Corrupt { .. }) => {
                        self.lost.push(Quarantined { collection, id, lsn });
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Notes documents as lost whose place in the index is in none of the data files: they are in
    /// quarantine, and nobody knows where they were.
    pub(super) fn miss(&mut self, index: &Index, files: &[FileRecord]) {
        let ends: BTreeMap<FileNumber, u64> =
            files.iter().map(|file| (file.number, file.verified_len)).collect();
        for collection in index.collections() {
            for (id, entry) in index.range(collection, Bound::Unbounded, Bound::Unbounded) {
                let (at, lsn) = (entry.location, entry.lsn);
                if ends.get(&at.file).is_none_or(|end| u64::from(at.offset) >= *end) {
                    self.lost.push(Quarantined { collection, id, lsn });
                }
            }
        }
    }

    /// The documents of each collection that has any, once it is shown that the data files have
    /// all that the index knows of but those that are lost, and none is behind `lsn`: its revision
    /// would be given a second time.
    pub(super) fn check(&self, index: &Index, lsn: Lsn) -> Result<Vec<(CollectionId, u64)>> {
        if self.newest > lsn {
            let what = format!("it has a document at LSN {} and is of LSN {lsn}", self.newest);
            return Err(StoreError::Backup(Arc::from(what)));
        }
        let mut counts = Vec::new();
        for collection in index.collections() {
            let indexed = index.counts(collection).live;
            let found = self.counts.get(&collection).copied().unwrap_or(0);
            let gone = self.lost.iter().filter(|lost| lost.collection == collection).count() as u64;
            if found + gone != indexed {
                let what = format!(
                    "its data files hold {found} documents of collection {collection} where its \
                     index has {indexed} and {gone} are known to be lost"
                );
                return Err(StoreError::Backup(Arc::from(what)));
            }
            if found > 0 {
                counts.push((collection, found));
            }
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_behind_the_backups_lsn_is_refused() {
        let mut tally = Tally::default();
        tally.add(Tally { newest: Lsn(5), ..Tally::default() });
        tally.add(Tally { newest: Lsn(3), ..Tally::default() });
        assert_eq!(tally.check(&Index::new(), Lsn(5)).unwrap(), []);
        let error = tally.check(&Index::new(), Lsn(4)).unwrap_err();
        assert!(error.to_string().contains("a document at LSN 5 and is of LSN 4"), "{error}");
    }
}
