//! Giving up the end of a data file that is damaged where parity does not reach.
//!
//! A file that was given up before its last stripe was complete holds the log back: the log is the
//! second copy of what stands there. Compaction rewrites such a file, and then lets go of the log; but
//! it leaves alone what it cannot read, and so the log would be held for ever. Here the log is
//! used for what it was held for. Everything that is needed of the end of the file goes into a new,
//! finished one: documents that can be read, those that only the log has, and the deletions that the
//! log knows of, because a deletion that cannot be read still hides an older version from whoever
//! makes the index again. Then the file ends before all of that.
//!
//! What it is not: no document is given up here. One that neither file nor log has is put into
//! quarantine, as it would be by a read.
//!
//! Where the file ends afterwards: before the first record that reaches past the complete
//! stripes. The records of the last stripe before that place go, too, because parity no longer vouches
//! for a stripe in which the data ends.

use std::collections::BTreeMap;
use std::ops::Bound;

use base::words::{Change, CollectionId, DocId, Lsn};
use wal::frame::Kind as FrameKind;
use wal::{Upto, WalError};

use crate::checkpoint::Making;
use crate::data::{
    Body, DataError, DataFile, DataWriter, Expected, Found as Next, Kind, Payloads, RecordRef,
};
use crate::error::Result;
use crate::history::Kept;
use crate::index::{Entry, Found};
use crate::location::{FileNumber, Location};

/// What became of the end of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retired {
    /// Nothing needs it any more.
    Done,
    /// Snapshots need versions that stand there: try again when they are gone.
    Later,
    /// Nothing was changed: what stood there cannot be known.
    Unknown,
}

/// Where the parts of a file end that is damaged behind its complete stripes.
#[derive(Debug, Clone, Copy)]
struct Ends {
    /// What begins here or behind it has to go elsewhere.
    kept: u64,
    /// The file ends here.
    file: u64,
}

/// Moves what is needed of the unprotected end of `file` elsewhere and cuts it off. The file must
/// not be the one that is being written.
pub(crate) fn retire(making: &mut Making<'_>, file: &DataFile) -> Result<Retired> {
    let number = file.identity().number;
    let Some(deleted) = deletions(making, number)? else { return Ok(Retired::Unknown) };
    let ends = ends(file)?;
    let is_here = |at: &Location| at.file == number && u64::from(at.offset) >= ends.kept;
    let in_file = making.inner.read().history.in_file(number);
    let found = making.history.iter().any(|(.., old)| match &old.kept {
        Kept::File(at) => is_here(at),
        Kept::Memory(_) => false,
    });
    if found || in_file.iter().any(|(.., at)| is_here(at)) {
        return Ok(Retired::Later);
    }
    let mut retiring = Retiring { making, file, writer: None, lost: Vec::new() };
    retiring.documents(ends.kept)?;
    retiring.deletions(ends.kept, deleted)?;
    retiring.finish(ends)?;
    Ok(Retired::Done)
}

/// The newest deletions of documents that the log has, as far back as the file needs it; none when
/// the log does not go back so far.
fn deletions(
    making: &Making<'_>,
    number: FileNumber,
) -> Result<Option<BTreeMap<(CollectionId, DocId), Lsn>>> {
    let held = making.job.unprotected.get(&number);
    let Some(from) = held.and_then(|held| held.iter().map(|(_, lsn)| lsn.next()).min()) else {
        return Ok(None);
    };
    let upto = making.job.manifest.newest().lsn;
    let mut deleted = BTreeMap::new();
    let mut reader = making.inner.log.read(from, Upto::Durable);
    loop {
        let frame = match reader.next() {
            Ok(Some(frame)) if frame.lsn <= upto => frame,
            Ok(_) => return Ok(Some(deleted)),
            Err(WalError::Trimmed { .. } | WalError::Corrupt(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if frame.kind == FrameKind::Gap {
            return Ok(None);
        }
        match frame.change() {
            Some(Change::Delete { collection, id, .. }) => {
                deleted.insert((collection, id), frame.lsn);
            }
            Some(Change::Put { collection, id, .. }) => {
                deleted.remove(&(collection, id));
            }
            Some(
                Change::CreateCollection { .. }
                | Change::DropCollection { .. }
                | Change::SetProperty { .. },
            )
            | None => {}
        }
    }
}

/// Finds where the file must end.
fn ends(file: &DataFile) -> Result<Ends> {
    let end = first_past(file, file.complete_len())?.unwrap_or_else(|| file.verified_len());
    let kept = first_past(file, file.layout().complete(end))?.unwrap_or(end);
    Ok(Ends { kept: kept.min(end), file: end })
}

/// Where the first record begins that ends behind `offset`, or the first stretch without any.
fn first_past(file: &DataFile, offset: u64) -> Result<Option<u64>> {
    for next in file.records(0..file.verified_len(), Payloads::Skip) {
        let span = match next? {
            Next::Record(record) => {
                let begin = u64::from(record.location.offset);
                begin..begin + u64::from(record.disk_bytes)
            }
            Next::Damage(damage) => damage.range,
        };
        if span.end > offset {
            return Ok(Some(span.start));
        }
    }
    Ok(None)
}

struct Retiring<'m, 'a> {
    making: &'m mut Making<'a>,
    file: &'m DataFile,
    writer: Option<DataWriter>,
    /// Documents that nobody has.
    lost: Vec<(CollectionId, DocId, Lsn)>,
}

impl Retiring<'_, '_> {
    /// Writes the documents that begin at `from` or behind it anew.
    fn documents(&mut self, from: u64) -> Result<()> {
        let number = self.file.identity().number;
        for collection in self.making.index.collections() {
            let all = self.making.index.range(collection, Bound::Unbounded, Bound::Unbounded);
            let is_here = |entry: &Entry| {
                entry.location.file == number && u64::from(entry.location.offset) >= from
            };
            let here: Vec<(DocId, Entry)> = all.filter(|(_, entry)| is_here(entry)).collect();
            for (id, entry) in here {
                self.document(collection, &id, &entry)?;
            }
        }
        Ok(())
    }

    fn document(&mut self, collection: CollectionId, id: &DocId, entry: &Entry) -> Result<()> {
        let Entry { lsn, location, expires_at } = *entry;
        let document = match self.file.read(location, &Expected { collection, id, lsn }) {
            Ok(record) => record.document,
            Err(DataError::Corrupt { .. }) => self.logged(collection, id, lsn)?,
            Err(error) => return Err(error.into()),
        };
        let Some(document) = document else {
            self.lost.push((collection, id.clone(), lsn));
            return Ok(());
        };
        let body = Body::Document { document: &document, expires_at };
        let location = self.append(&RecordRef { collection, id, lsn, body })?;
        self.making.index.put(collection, id, Entry { lsn, location, expires_at });
        self.making.report.copied += 1;
        Ok(())
    }

    fn logged(
        &self,
        collection: CollectionId,
        id: &DocId,
        lsn: Lsn,
    ) -> Result<Option<base::document::Document>> {
        match self.making.inner.log.read_at(lsn) {
            Ok(Some(Change::Put { collection: at, id: found, document, .. })) => {
                Ok((at == collection && found == *id).then_some(document))
            }
            Ok(_) | Err(WalError::Trimmed { .. } | WalError::Corrupt(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes deletions anew: those in the log, and those that stand at `from` or behind it and can
    /// be read. One more than needed hides nothing.
    fn deletions(
        &mut self,
        from: u64,
        mut deleted: BTreeMap<(CollectionId, DocId), Lsn>,
    ) -> Result<()> {
        for next in self.file.records(0..self.file.verified_len(), Payloads::Skip) {
            let Next::Record(record) = next? else { continue };
            let header = record.header;
            if header.kind == Kind::Tombstone && u64::from(record.location.offset) >= from {
                let newest = deleted.entry((header.collection, header.id)).or_insert(header.lsn);
                *newest = header.lsn.max(*newest);
            }
        }
        for ((collection, id), lsn) in deleted {
            let is_live = matches!(self.making.index.get(collection, &id), Some(Found::Live(_)));
            let exists = self.making.inner.read().collections.get(collection).is_some();
            if exists && !is_live {
                self.append(&RecordRef { collection, id: &id, lsn, body: Body::Tombstone })?;
            }
        }
        Ok(())
    }

    fn append(&mut self, record: &RecordRef<'_>) -> Result<Location> {
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.making.begin_file()?,
        };
        let location = writer.append(record)?;
        self.writer = Some(writer);
        self.making.count(record, location.file);
        Ok(location)
    }

    /// Ends both files, and notes what is lost.
    fn finish(mut self, ends: Ends) -> Result<()> {
        if let Some(writer) = self.writer.take() {
            let number = writer.identity().number;
            let verified = writer.finish()?;
            self.making.finished(number, verified);
        }
        let number = self.file.identity().number;
        tracing::warn!(file = %number, ends.file, lost = self.lost.len(), "the damaged end of a data file is given up");
        if !self.lost.is_empty() {
            let mut state = self.making.inner.state_mut();
            for (collection, id, lsn) in &self.lost {
                if state.revision(*collection, id) == *lsn {
                    tracing::error!(%collection, %id, revision = %lsn, "quarantined");
                    state.quarantine.insert((*collection, id.clone()), *lsn);
                }
            }
        }
        if ends.file == 0 && self.lost.is_empty() {
            self.making.files.remove(&number);
            self.making.opened.remove(&number);
            return Ok(());
        }
        let (mut records, mut tombstones) = (0, 0);
        for next in self.file.records(0..ends.file, Payloads::Skip) {
            let Next::Record(record) = next? else { continue };
            records += 1;
            tombstones += u64::from(record.header.kind == Kind::Tombstone);
        }
        let index = &self.making.index;
        let mut live = 0;
        for collection in index.collections() {
            let all = index.range(collection, Bound::Unbounded, Bound::Unbounded);
            live += all.filter(|(_, entry)| entry.location.file == number).count() as u64;
        }
        if let Some(file) = self.making.files.get_mut(&number) {
            (file.verified_len, file.finished) = (ends.file, true);
            (file.records, file.tombstones) = (records, tombstones);
            file.dead = records.saturating_sub(tombstones).saturating_sub(live);
        }
        Ok(())
    }
}
