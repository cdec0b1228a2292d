//! Reading the records of all data files of the newest checkpoint.

use std::io;

use super::{Place, Rebuild, Version};
use crate::data::{DataError, DataFile, Found, Kind, Layout, Payloads};
use crate::error::Result;
use crate::manifest::FileRecord;
use crate::open::open_file;

impl Rebuild<'_> {
    /// Reads every record, after healing what can be healed.
    pub(super) fn scan(&mut self) -> Result<()> {
        for record in self.newest().files.clone() {
            let Some(file) = self.open(&record)? else {
                self.report.unreadable.push((record.number, 0..record.verified_len));
                continue;
            };
            self.scan_file(&file)?;
        }
        Ok(())
    }

    /// Opens a data file; `None` when it is missing.
    pub(super) fn open(&self, record: &FileRecord) -> Result<Option<DataFile>> {
        let preferred = Layout { geometry: self.options.geometry, parity: self.options.parity };
        let database = self.manifest.database;
        match open_file(&self.env.disk, self.dir, database, record, preferred) {
            Ok(file) => Ok(Some(file)),
            Err(DataError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn scan_file(&mut self, file: &DataFile) -> Result<()> {
        if self.healing {
            let healed = file.heal_range(0..file.verified_len())?;
            self.report.healed += healed.healed() as u64;
            if healed.lost().is_empty() {
                self.report.healed += file.heal_header()? as u64;
            }
        }
        self.report.files += 1;
        // Documents are unpacked too, so that a record that wins can be read later.
        for next in file.records(0..file.verified_len(), Payloads::Load) {
            let found = match next? {
                Found::Record(found) => found,
                Found::Damage(damage) => {
                    self.report.unreadable.push((file.identity().number, damage.range));
                    continue;
                }
            };
            self.report.records += 1;
            *self.read.entry(file.identity().number).or_default() += 1;
            let header = found.header;
            if !self.has_collection(header.collection) {
                continue;
            }
            let (location, expires_at) = (found.location, header.expires_at);
            let place = match header.kind {
                Kind::Tombstone => Place::Deleted,
                Kind::Plain { .. } | Kind::Lz4 { .. } => Place::Record { location, expires_at },
            };
            self.take(header.collection, header.id, Version { lsn: header.lsn, place });
        }
        Ok(())
    }
}
