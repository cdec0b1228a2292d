//! What others know of records that cannot be read: an older checkpoint, and the log.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use base::words::{Change, CollectionId, Lsn};
use wal::frame::Kind as FrameKind;
use wal::{FileAnchor, Log, Upto};

use super::{Doubt, Place, Rebuild, Version, Versions};
use crate::data::{DataFile, Expected};
use crate::error::Result;
use crate::index::{Entry, Index};
use crate::location::FileNumber;
use crate::manifest::Checkpoint;
use crate::open::{LOG_DIR, StartingAt};
use crate::verify::load_index;

impl Rebuild<'_> {
    /// Finds out what the unreadable stretches held, or what cannot be known of it.
    pub(super) fn ask_witnesses(&mut self) -> Result<()> {
        let reach = self.ask_log()?;
        let known = |at: &&Checkpoint| at.lsn.0 + 1 >= reach.0;
        let checkpoints = self.manifest.checkpoints.iter().rev().filter(known);
        let loaded = checkpoints.filter_map(|at| {
            let index = load_index(&self.env.disk, self.dir, at).ok()?;
            Some((at.lsn, index))
        });
        match loaded.into_iter().next() {
            Some((lsn, index)) => self.ask_checkpoint(lsn, &index),
            None => {
                self.doubt(reach);
                Ok(())
            }
        }
    }

    /// Takes what the log has up to the checkpoint; answers the LSN from which on it has
    /// everything.
    fn ask_log(&mut self) -> Result<Lsn> {
        let until = self.newest().lsn;
        let log_dir = self.dir.join(LOG_DIR);
        let options = self.options.log.clone();
        let anchor = FileAnchor::open(&self.env.disk, &log_dir)?;
        let anchor = Arc::new(StartingAt { anchor, from: until, newest: until });
        let (log, _) = Log::open(self.env, &log_dir, anchor, options, &mut |_| Ok(()))?;
        let mut reach = log.status().first;
        let mut versions = Versions::new();
        let mut reader = log.read(reach, Upto::Durable);
        while let Some(frame) = reader.next()? {
            if frame.lsn > until {
                break;
            }
            if frame.kind == FrameKind::Gap {
                // Whatever was before it may have been changed in it.
                versions.clear();
                reach = frame.next_lsn();
                continue;
            }
            let lsn = frame.lsn;
            match frame.change() {
                Some(Change::Put { collection, id, expires_at, document, .. }) => {
                    let place = Place::Log { document, expires_at };
                    versions.insert((collection, id), Version { lsn, place });
                }
                Some(Change::Delete { collection, id, .. }) => {
                    versions.insert((collection, id), Version { lsn, place: Place::Deleted });
                }
                Some(
                    Change::CreateCollection { .. }
                    | Change::DropCollection { .. }
                    | Change::SetProperty { .. },
                )
                | None => {}
            }
        }
        drop(reader);
        log.close()?;
        for ((collection, id), version) in versions {
            let known = self.versions.get(&(collection, id.clone()));
            let is_news = known.is_none_or(|known| match &known.place {
                Place::Lost { .. } => known.lsn <= version.lsn,
                Place::Deleted | Place::Record { .. } | Place::Log { .. } => {
                    known.lsn < version.lsn
                }
            });
            if is_news && self.has_collection(collection) {
                self.take(collection, id, version);
            }
        }
        Ok(reach)
    }

    /// With an older checkpoint's index, and the log from there on, everything is known.
    fn ask_checkpoint(&mut self, at: Lsn, index: &Index) -> Result<()> {
        let mut files = BTreeMap::new();
        for record in self.newest().files.clone() {
            if let Some(file) = self.open(&record)? {
                files.insert(record.number, file);
            }
        }
        let collections: Vec<CollectionId> =
            self.newest().collections.iter().map(|record| record.collection).collect();
        for collection in collections {
            for (id, entry) in index.range(collection, Bound::Unbounded, Bound::Unbounded) {
                let known = self.versions.get(&(collection, id.clone()));
                if known.is_some_and(|known| known.lsn >= entry.lsn) {
                    continue;
                }
                let expected = Expected { collection, id: &id, lsn: entry.lsn };
                let place = place_of(&files, &entry, &expected)?;
                self.take(collection, id, Version { lsn: entry.lsn, place });
            }
        }
        // What the checkpoint does not know and was not written since had been deleted by then.
        self.versions.retain(|(collection, id), version| {
            version.lsn > at
                || index.get(*collection, id).is_some_and(|found| found.live().is_some())
        });
        Ok(())
    }

    /// Says what may have been lost without anybody knowing.
    fn doubt(&mut self, reach: Lsn) {
        let newest = self.newest();
        let to = Lsn(newest.lsn.0.min(reach.0.saturating_sub(1)));
        let mut doubts = Vec::new();
        let read = |number| self.read.get(&number).copied().unwrap_or(0);
        for file in &newest.files {
            let is_hit = self.report.unreadable.iter().any(|(number, _)| *number == file.number);
            if is_hit && file.lowest <= to {
                let records = file.records.saturating_sub(read(file.number));
                doubts.push(Doubt { file: file.number, records, from: file.lowest, to });
            }
        }
        let may_be_old = |version: &&Version| {
            version.place != Place::Deleted && doubts.iter().any(|doubt| version.lsn <= doubt.to)
        };
        self.report.documents_in_doubt = self.versions.values().filter(may_be_old).count() as u64;
        self.report.doubts = doubts;
    }
}

/// Where a version is that a checkpoint's index knows of and reading in order did not find.
fn place_of(
    files: &BTreeMap<FileNumber, DataFile>,
    entry: &Entry,
    expected: &Expected<'_>,
) -> Result<Place> {
    let Entry { location, expires_at, .. } = *entry;
    let lost = Place::Lost { location, expires_at };
    let Some(file) = files.get(&location.file) else { return Ok(lost) };
    match file.read(location, expected) {
        Ok(_) => Ok(Place::Record { location, expires_at }),
        Err(crate::data::DataError::Corrupt { .. }) => Ok(lost),
        Err(error) => Err(error.into()),
    }
}
