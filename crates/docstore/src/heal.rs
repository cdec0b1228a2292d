//! Healing: damaged documents are made again from what else there is: parity in the data file,
//! the log. What cannot be made again is put into quarantine: every read says so, and an older
//! version is offered but never served as if it were the newest.
//!
//! Found on read, by scrubbing in steps, or by command. A document that the log still has comes
//! back as a version in memory, with its old revision, and the next checkpoint writes it anew.

use std::ops::{Bound, Range};
use std::sync::Arc;

use base::clock::Instant;
use base::words::{Change, CollectionId, DocId, Lsn};

use crate::data::{DataFile, Expected, Flaw, Found as Next, Outcome, Payloads};
use crate::database::{Database, Inner, lock};
use crate::error::{Result, StoreError};
use crate::location::{FileNumber, Location};
use crate::memtable::Version;
use crate::request::{Stored, Write, Written};

/// Where the next step of a scrub begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ScrubCursor {
    file: u32,
    stripe: u64,
    last: Option<Instant>,
}

/// What healing on command, or a step of a scrub, found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealReport {
    /// Stripes that were checked.
    pub stripes: u64,
    /// Blocks that were made again from parity, and headers from their copy.
    pub blocks_healed: u64,
    /// Copies of headers of data files that were written again.
    pub headers_healed: u64,
    /// Documents that were found damaged after that.
    pub corrupted: u64,
    /// Of them, those that the log still had.
    pub healed: u64,
    /// Of them, those that are lost: now in quarantine. The others were written again meanwhile.
    pub unrecoverable: Vec<(CollectionId, DocId, Lsn)>,
    /// Whether the pass over all files is complete.
    pub complete: bool,
}

/// Stripes of one step of a scrub. A full pass takes a week at one step an hour for 2.8 TB.
const STEP_STRIPES: u64 = 16 * 1024;
/// Longest record: one that begins so far before a damage may reach into it.
const REACH: u64 = crate::data::RECORD_BYTES_MAX as u64;

impl Database {
    /// Checks every stripe of every data file and heals what can be healed, in one go.
    ///
    /// # Errors
    /// The disk's.
    pub fn heal_all(&self) -> Result<HealReport> {
        self.inner.check_open()?;
        let mut report = HealReport::default();
        let mut cursor = ScrubCursor::default();
        while !report.complete {
            self.inner.scrub(&mut cursor, &mut report)?;
        }
        Ok(report)
    }

    /// Does one step of a scrub, from where the last one ended.
    ///
    /// # Errors
    /// The disk's.
    pub fn scrub(&self) -> Result<HealReport> {
        self.inner.check_open()?;
        self.inner.scrub_step()
    }

    /// Reads one document and heals it if it is damaged; says whether it was.
    ///
    /// # Errors
    /// `DocNotFound`; `DocCorrupt` when it cannot be healed.
    pub fn heal(&self, collection: CollectionId, id: &DocId) -> Result<bool> {
        let before = self.inner.counters.healing().healed;
        let found = self.inner.get_with(collection, id, None, Heal::Always)?;
        found.ok_or_else(|| StoreError::DocNotFound { id: id.clone() })?;
        Ok(self.inner.counters.healing().healed > before)
    }

    /// The versions of a document that data files and log still have, the newest first: what may
    /// be accepted in the place of one that is lost. Reads all of both.
    ///
    /// # Errors
    /// `CollectionNotFound`; the disk's.
    pub fn versions(&self, collection: CollectionId, id: &DocId) -> Result<Vec<Stored>> {
        self.inner.versions(collection, id)
    }

    /// Writes an older version of a document as its newest, because somebody decided that it may
    /// stand for the one that was lost.
    ///
    /// # Errors
    /// `DocNotFound` when there is no such version; and as [`Database::write`].
    pub fn accept(&self, collection: CollectionId, id: &DocId, revision: Lsn) -> Result<Written> {
        let versions = self.inner.versions(collection, id)?;
        let wanted = versions.into_iter().find(|version| version.revision == revision);
        let version = wanted.ok_or_else(|| StoreError::DocNotFound { id: id.clone() })?;
        let expiry = match version.expires_at {
            Some(at) => crate::request::Expiry::At(at),
            None => crate::request::Expiry::Never,
        };
        self.write(Write::upsert(collection, id.clone(), version.document).expires(expiry))
    }

    /// Documents whose newest version is lost, with that version.
    #[must_use]
    pub fn quarantine(&self) -> Vec<(CollectionId, DocId, Lsn)> {
        let state = self.inner.read();
        let lost = state.quarantined();
        lost.map(|((collection, id), lsn)| (*collection, id.clone(), *lsn)).collect()
    }
}

/// Whether a read that finds damage heals it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heal {
    /// As the settings say.
    AsConfigured,
    /// Because it was asked for.
    Always,
}

impl Inner {
    /// Answers a read whose record does not verify.
    pub(crate) fn heal_read(
        &self,
        collection: CollectionId,
        id: &DocId,
        revision: Lsn,
        location: Location,
        file: &DataFile,
        heal: Heal,
    ) -> Result<Stored> {
        self.counters.heal(|healing| healing.corrupted += 1);
        let allowed = self.options.healing && self.options.healing_on_read;
        if heal == Heal::AsConfigured && !allowed {
            return Err(StoreError::DocCorrupt { id: id.clone(), lsn: revision });
        }
        tracing::error!(database = %self.name, %collection, %id, %revision, %location, "damaged");
        self.heal_document(collection, id, revision, location, file)
    }

    /// Makes one document again, or puts it into quarantine.
    fn heal_document(
        &self,
        collection: CollectionId,
        id: &DocId,
        revision: Lsn,
        location: Location,
        file: &DataFile,
    ) -> Result<Stored> {
        let wall = self.env.clock.wall();
        let healed = |by| {
            self.counters.heal(|healing| {
                healing.healed += 1;
                healing.last_healed = wall;
            });
            tracing::info!(database = %self.name, %collection, %id, %revision, by, "healed");
        };
        if let Some(stored) = self.heal_by_parity(collection, id, revision, location, file) {
            healed("parity");
            return Ok(stored);
        }
        // A log that cannot be read at the moment may well have it: nothing is lost yet.
        if let Some(stored) = self.heal_by_log(collection, id, revision)? {
            healed("log");
            return Ok(stored);
        }
        let again = file.read(location, &Expected { collection, id, lsn: revision });
        let is_wrong = match again {
            // Somebody else has healed it meanwhile.
            Ok(record) => {
                let expires_at = record.header.expires_at;
                let document = record.document.ok_or(StoreError::DocNotFound { id: id.clone() })?;
                return Ok(Stored { revision, expires_at, document });
            }
            Err(error) => error.flaw().is_some_and(|flaw| flaw != Flaw::Unreadable),
        };
        let mut state = self.state_mut();
        // Bytes that the device would not give are not known to be wrong.
        if is_wrong && state.revision(collection, id) == revision {
            state.quarantine.insert((collection, id.clone()), revision);
            self.counters.heal(|healing| healing.unrecoverable += 1);
            tracing::error!(database = %self.name, %collection, %id, %revision, "quarantined");
        }
        Err(StoreError::DocCorrupt { id: id.clone(), lsn: revision })
    }

    fn heal_by_parity(
        &self,
        collection: CollectionId,
        id: &DocId,
        revision: Lsn,
        location: Location,
        file: &DataFile,
    ) -> Option<Stored> {
        let healed = match file.heal(location) {
            Ok(healed) => healed,
            Err(error) => {
                tracing::warn!(%error, "parity did not help");
                return None;
            }
        };
        let blocks = healed.healed() as u64;
        self.counters.heal(|healing| healing.blocks_healed += blocks);
        let record = file.read(location, &Expected { collection, id, lsn: revision }).ok()?;
        let expires_at = record.header.expires_at;
        Some(Stored { revision, expires_at, document: record.document? })
    }

    fn heal_by_log(
        &self,
        collection: CollectionId,
        id: &DocId,
        revision: Lsn,
    ) -> Result<Option<Stored>> {
        // Nothing trims what is about to be read, nor afterwards what only the log has.
        let behind = Lsn(revision.0.saturating_sub(1));
        let mark = self.log.mark("healed documents", wal::Hold::Unlimited, behind);
        match self.log.read_at(revision) {
            Ok(Some(Change::Put { collection: at, id: found, expires_at, document, .. }))
                if at == collection && found == *id =>
            {
                let version =
                    Version { lsn: revision, expires_at, document: Some(document.clone()) };
                self.state_mut().heal(collection, id, version, mark);
                Ok(Some(Stored { revision, expires_at, document }))
            }
            Ok(_) | Err(wal::WalError::Trimmed { .. } | wal::WalError::Corrupt(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Does a step of a scrub if one is due.
    pub(crate) fn scrub_if_due(&self) -> Result<()> {
        if !self.options.healing {
            return Ok(());
        }
        let now = self.env.clock.now();
        let due = {
            let mut job = lock(&self.job);
            let last = *job.scrub.last.get_or_insert(now);
            let due = now.since(last) >= self.options.healing_interval;
            if due {
                job.scrub.last = Some(now);
            }
            due
        };
        if due { self.scrub_step().map(drop) } else { Ok(()) }
    }

    fn scrub_step(&self) -> Result<HealReport> {
        let mut cursor = lock(&self.job).scrub;
        let mut report = HealReport::default();
        self.scrub(&mut cursor, &mut report)?;
        lock(&self.job).scrub = cursor;
        Ok(report)
    }

    /// Checks the next stripes and heals what is damaged there.
    fn scrub(&self, cursor: &mut ScrubCursor, report: &mut HealReport) -> Result<()> {
        // No checkpoint moves records meanwhile.
        let mut job = lock(&self.job);
        let wall = self.env.clock.wall();
        let next = {
            let state = self.read();
            let mut files = state.files.range(FileNumber(cursor.file)..);
            files.next().map(|(number, file)| (*number, Arc::clone(file)))
        };
        let Some((number, file)) = next else {
            *cursor = ScrubCursor { last: cursor.last, ..ScrubCursor::default() };
            report.complete = true;
            self.counters.heal(|healing| {
                healing.scans += 1;
                healing.last_scan = wall;
            });
            return Ok(());
        };
        if number.0 != cursor.file {
            (cursor.file, cursor.stripe) = (number.0, 0);
        }
        let stripe_bytes = file.layout().geometry.stripe_bytes();
        let stripes = file.complete_len() / stripe_bytes;
        let first = cursor.stripe;
        let most = first.saturating_add(STEP_STRIPES).min(stripes);
        let (mut lost, mut blocks) = (Vec::new(), 0);
        while cursor.stripe < most && lost.len() < self.options.healing_batch {
            match file.heal_stripe(cursor.stripe)? {
                Outcome::Sound => {}
                Outcome::Healed(_) => blocks += 1,
                Outcome::Lost(ranges) => lost.extend(ranges),
            }
            cursor.stripe += 1;
        }
        // A file that is read by a layout that is not its own has nothing that is sound.
        if first == 0 && lost.is_empty() {
            let headers = file.heal_header()? as u64;
            report.headers_healed += headers;
            blocks += headers;
        }
        if blocks > 0 {
            job.unreadable.retain(|unreadable| *unreadable != number);
        }
        let checked = cursor.stripe - first;
        if cursor.stripe == stripes {
            let tail = file.check_tail()?;
            lost.extend(tail.into_iter().map(|damage| damage.range));
            (cursor.file, cursor.stripe) = (number.0 + 1, 0);
        }
        report.stripes += checked;
        report.blocks_healed += blocks;
        if blocks > 0 {
            tracing::info!(database = %self.name, file = %number, blocks, by = "parity", "healed");
        }
        self.counters.heal(|healing| {
            healing.stripes += checked;
            healing.blocks_healed += blocks;
        });
        if !lost.is_empty() {
            self.heal_lost(number, &file, &lost, report)?;
        }
        drop(job);
        Ok(())
    }

    /// Heals the documents that damage hit which parity could not undo.
    fn heal_lost(
        &self,
        number: FileNumber,
        file: &DataFile,
        ranges: &[Range<u64>],
        report: &mut HealReport,
    ) -> Result<()> {
        let is_near = |offset: u64| {
            let near = |range: &Range<u64>| range.start.saturating_sub(REACH)..range.end;
            ranges.iter().any(|range| near(range).contains(&offset))
        };
        let index = Arc::clone(&self.read().index);
        for collection in index.collections() {
            for (id, entry) in index.range(collection, Bound::Unbounded, Bound::Unbounded) {
                let at = entry.location;
                if at.file != number || !is_near(u64::from(at.offset)) {
                    continue;
                }
                let expected = Expected { collection, id: &id, lsn: entry.lsn };
                match file.read(at, &expected) {
                    Err(crate::data::DataError::Corrupt { .. }) => {}
                    Ok(_) => continue,
                    Err(error) => return Err(error.into()),
                }
                report.corrupted += 1;
                self.counters.heal(|healing| healing.corrupted += 1);
                match self.heal_document(collection, &id, entry.lsn, at, file) {
                    Ok(_) => report.healed += 1,
                    // One that was written again is not needed any more.
                    Err(StoreError::DocCorrupt { .. }) => {
                        if self.read().revision(collection, &id) == entry.lsn {
                            report.unrecoverable.push((collection, id, entry.lsn));
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn versions(&self, collection: CollectionId, id: &DocId) -> Result<Vec<Stored>> {
        self.check_open()?;
        let files: Vec<Arc<DataFile>> = {
            let state = self.read();
            state.collections.find(collection, self.position())?;
            state.files.values().cloned().collect()
        };
        let mut found = std::collections::BTreeMap::new();
        for file in files {
            for next in file.records(0..file.verified_len(), Payloads::Load) {
                let Next::Record(record) = next? else { continue };
                let header = record.header;
                if header.collection == collection
                    && header.id == *id
                    && let Some(document) = record.document
                {
                    let (revision, expires_at) = (header.lsn, header.expires_at);
                    found.insert(revision, Stored { revision, expires_at, document });
                }
            }
        }
        let mut reader = self.log.read(self.log.status().first, wal::Upto::Durable);
        while let Some(frame) = reader.next()? {
            let lsn = frame.lsn;
            if let Some(Change::Put { collection: at, id: other, expires_at, document, .. }) =
                frame.change()
                && at == collection
                && other == *id
            {
                found.insert(lsn, Stored { revision: lsn, expires_at, document });
            }
        }
        // Before the collection was made under this number there was nothing of it.
        Ok(found.into_values().rev().collect())
    }
}
