//! Checkpoints: memtable to data files, index runs, MANIFEST, trim. Decide, do, publish.
//!
//! *Decide*: the active memtable is frozen under the writers' lock, and what it holds is waited for
//! until it is durable: nothing derived gets ahead of the log. *Do*: its newest versions are
//! appended to data files, synced and read back; a copy of the index takes their places and is
//! written as a run; none of it is seen by anybody. *Publish*: the MANIFEST names it, the log moves
//! its replay start, and readers get the new index in the place of the frozen memtable.
//!
//! Whatever fails before the MANIFEST is stored leaves everything as it was: the frozen memtable
//! stays and the next checkpoint begins with it. What was written is cut off and removed, unless
//! nobody knows whether the MANIFEST that names it is on the disk: then the next checkpoint goes on
//! in files with new numbers.
//!
//! Here are *decide* and *do*; `publish` has the rest.

mod publish;

pub(crate) use publish::parity_mark;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base::words::{CollectionId, DocId, Lsn};

use crate::compaction;
use crate::data::{
    Body as RecordBody, DataError, DataWriter, FileIdentity, Layout, RecordRef, Verified,
};
use crate::database::{Database, Inner, lock};
use crate::error::{Op, Result, StoreError};
use crate::history::{Kept, Old};
use crate::index::{self, Entry, Index};
use crate::location::{FileNumber, Location};
use crate::manifest::{FileRecord, Manifest, ManifestFile};
use crate::memtable::{Chain, Memtable};
use crate::open::continued;
use crate::state::HealedMark;
use crate::stats::{CheckpointReport, Shown};

/// What the background works with; whoever has it is the only one that writes files.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) manifest: Manifest,
    pub(crate) file: ManifestFile,
    /// Whether the last attempt to store a manifest failed: what it names may be on the disk.
    pub(crate) is_uncertain: bool,
    /// The data file that flushes append to.
    pub(crate) writer: Option<DataWriter>,
    /// Per unfinished file: data up to an offset needs the log behind an LSN until it is in
    /// complete stripes.
    pub(crate) unprotected: Unprotected,
    /// Behind which LSN each checkpoint of the manifest needs the log for that, by its own LSN: an
    /// older one may need more, for files that have been compacted since.
    pub(crate) holds: BTreeMap<Lsn, Lsn>,
    /// Files that compaction has given up on until they are healed.
    pub(crate) unreadable: Vec<FileNumber>,
    /// Garbage that compaction could not leave behind.
    pub(crate) kept: BTreeMap<FileNumber, compaction::KeptGarbage>,
    /// Where the next step of a scrub begins.
    pub(crate) scrub: crate::heal::ScrubCursor,
}

/// Ends of data, and the LSN behind which the log has what stands before each.
type Unprotected = BTreeMap<FileNumber, Vec<(u64, Lsn)>>;

/// Where the bytes of a version are, and its expiry.
type Bytes = (Kept, Option<base::clock::WallMs>);

/// What a checkpoint is made for. Flushing and compacting are apart: what was flushed leaves memory
/// before the rewriting of a file begins, which takes much longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compact {
    /// Flushing: nothing is compacted, and the checkpoint is a new one.
    Nothing,
    /// The file that is worth it most, if one is, and more of them if they are small. Nothing is
    /// flushed, and the checkpoint takes the place of the newest.
    IfWorthIt,
    /// The file with the most garbage, if it has any; as above.
    Anything,
}

impl Database {
    /// Moves everything acknowledged into data files, so that a replay starts here, and lets go of
    /// the log that nobody needs any more. Does nothing when there is nothing new.
    ///
    /// # Errors
    /// The disk's; then everything is as it was, and the next checkpoint tries again.
    pub fn checkpoint(&self) -> Result<CheckpointReport> {
        self.inner.check_open()?;
        self.inner.checkpoint(Compact::Nothing)
    }

    /// Rewrites the data file with the most garbage without it, after a checkpoint. Says what it
    /// did; call again until nothing was compacted.
    ///
    /// # Errors
    /// As [`Database::checkpoint`].
    pub fn compact(&self) -> Result<CheckpointReport> {
        self.inner.check_open()?;
        let flushed = self.inner.checkpoint(Compact::Nothing)?;
        let compacted = self.inner.checkpoint(Compact::Anything)?;
        Ok(flushed.and(compacted))
    }
}

/// A checkpoint in the making.
pub(crate) struct Making<'a> {
    pub(crate) inner: &'a Inner,
    pub(crate) job: &'a mut Job,
    /// A copy of the index that takes the new places.
    pub(crate) index: Index,
    /// The data files of the checkpoint.
    pub(crate) files: BTreeMap<FileNumber, FileRecord>,
    /// New or grown files, for readers.
    pub(crate) opened: BTreeMap<FileNumber, u64>,
    /// Old versions that snapshots need.
    pub(crate) history: Vec<(CollectionId, DocId, Old)>,
    /// Where compaction has moved old versions.
    pub(crate) moved: Vec<(CollectionId, DocId, Location, Location)>,
    /// Positions of snapshots, ascending.
    pub(crate) snapshots: Vec<Lsn>,
    /// Everything up to here goes in.
    lsn: Lsn,
    /// What is flushed; none when this checkpoint is for compaction.
    frozen: Option<Arc<Memtable>>,
    /// Bytes of log that came since the last checkpoint and are behind this one.
    logged: u64,
    /// Holds the log for the healed documents of the frozen memtable once readers do without it.
    healed: HealedMark,
    pub(crate) report: CheckpointReport,
}

impl Inner {
    pub(crate) fn checkpoint(&self, compact: Compact) -> Result<CheckpointReport> {
        self.checkpoint_and(compact, |_, report| Ok(report))
    }

    /// A checkpoint, and `then` before anybody can make another: what the manifest names is still
    /// there.
    pub(crate) fn checkpoint_and<T>(
        &self,
        compact: Compact,
        then: impl FnOnce(&Job, CheckpointReport) -> Result<T>,
    ) -> Result<T> {
        let mut job = lock(&self.job);
        let start = self.env.clock.now();
        let mut result = self.checkpoint_with(&mut job, compact);
        if let Err(StoreError::Data(error)) = &result
            && matches!(**error, DataError::Corrupt { .. })
        {
            // The last stripe of the file that flushes append to is damaged: the log has what is
            // in it. That file is given up, and another begun.
            job.writer = None;
            result = self.checkpoint_with(&mut job, compact);
        }
        match &mut result {
            Ok(report) if report.lsn.is_some() => {
                report.took = self.env.clock.now().since(start);
                self.tell_of(report);
                match compact {
                    Compact::Nothing => self.counters.checkpointed(report, self.env.clock.wall()),
                    Compact::IfWorthIt | Compact::Anything => self.counters.nothing_to_checkpoint(),
                }
            }
            Ok(_) => self.counters.nothing_to_checkpoint(),
            Err(error) => {
                self.abandon(&mut job);
                self.counters.checkpoint_failed(error);
                tracing::error!(database = %self.name, %error, "a checkpoint failed");
            }
        }
        let result = result.and_then(|report| then(&job, report));
        *lock(&self.shown) = Shown::of(&job.manifest);
        drop(job);
        self.give_back();
        drop(lock(&self.flushed.0));
        self.flushed.1.notify_all();
        result
    }

    /// An event of a checkpoint that was taken, and of what it has rewritten.
    fn tell_of(&self, report: &CheckpointReport) {
        let lsn = report.lsn.unwrap_or_default();
        let took_ms = u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX);
        let (flushed, trimmed_bytes) = (report.flushed, report.trimmed_bytes);
        if report.compacted.is_empty() {
            tracing::info!(database = %self.name, %lsn, flushed, trimmed_bytes, took_ms, "checkpoint");
        } else {
            let (files, copied) = (report.compacted.len(), report.copied);
            tracing::info!(database = %self.name, %lsn, files, copied, took_ms, "compacted");
        }
    }

    /// Lets go of what a checkpoint that failed has written, at once: on a full disk it would take
    /// the room that emptying it needs.
    fn abandon(&self, job: &mut Job) {
        // What the writer has beyond the verified length belongs to nobody.
        job.writer = None;
        if job.is_uncertain {
            return;
        }
        job.writer = continued(&self.env, &self.dir, &job.manifest);
        if let Err(error) = self.remove_leftovers(&job.manifest) {
            tracing::warn!(database = %self.name, %error, "files of no checkpoint stay for now");
        }
    }

    fn checkpoint_with(&self, job: &mut Job, compact: Compact) -> Result<CheckpointReport> {
        match compact {
            Compact::Nothing => self.flush(job),
            Compact::IfWorthIt | Compact::Anything => {
                let mut making = self.begin(job, None);
                let Some(victim) = compaction::choose(&making, compact) else {
                    return Ok(CheckpointReport::default());
                };
                compaction::compact_some(&mut making, victim, compact)?;
                making.finish()
            }
        }
    }

    /// A new checkpoint, with all that the memtable has now.
    fn flush(&self, job: &mut Job) -> Result<CheckpointReport> {
        let logged = self.freeze();
        self.settle()?;
        let (frozen, upto) = {
            let state = self.read();
            // Not what was taken back, nor what came later under the same LSNs.
            (state.frozen.clone(), state.frozen_upto)
        };
        let empty = frozen.as_deref().is_none_or(Memtable::is_empty);
        if upto <= job.manifest.newest().lsn && empty {
            self.forget_frozen();
            return Ok(CheckpointReport::default());
        }
        let frozen = frozen.unwrap_or_default();
        let mut making = self.begin(job, Some((Arc::clone(&frozen), upto)));
        making.logged = logged;
        making.flush(&frozen)?;
        making.drop_collections();
        making.finish()
    }

    /// A checkpoint in which nothing has changed yet: what is to be flushed, or the newest again.
    fn begin<'a>(&'a self, job: &'a mut Job, frozen: Option<(Arc<Memtable>, Lsn)>) -> Making<'a> {
        let state = self.read();
        let newest = job.manifest.newest();
        let (frozen, lsn) = frozen.map_or((None, newest.lsn), |(frozen, lsn)| (Some(frozen), lsn));
        Making {
            inner: self,
            index: state.index.share(),
            files: newest.files.iter().map(|file| (file.number, *file)).collect(),
            opened: BTreeMap::new(),
            history: Vec::new(),
            moved: Vec::new(),
            snapshots: lock(&self.snapshots).positions(),
            lsn,
            frozen,
            logged: 0,
            healed: HealedMark::default(),
            report: CheckpointReport::default(),
            job,
        }
    }

    /// Sets the active memtable aside, unless one is set aside already: it is still there when a
    /// checkpoint failed. What came later stays where it is then, so this one goes as far as that
    /// one would have.
    ///
    /// Answers how much log there was since the last one.
    pub(crate) fn freeze(&self) -> u64 {
        let mut core = lock(&self.core);
        self.rewind(&mut core);
        let mut state = self.state_mut();
        if state.frozen.as_deref().is_none_or(Memtable::is_empty) {
            state.frozen = Some(Arc::new(std::mem::take(&mut state.active)));
            state.frozen_upto = Lsn(self.applied.load(Ordering::Acquire));
            let healed = std::mem::take(&mut state.healed);
            state.frozen_healed.join(healed);
        }
        self.since_checkpoint.load(Ordering::Relaxed)
    }

    fn forget_frozen(&self) {
        let mut state = self.state_mut();
        if state.frozen.as_deref().is_some_and(Memtable::is_empty) {
            state.frozen = None;
        }
    }

    /// Waits until everything in the frozen memtable is durable and visible, or was taken back.
    pub(crate) fn settle(&self) -> Result<()> {
        #[cfg(feature = "planted-bugs")]
        if self.options.planted == Some(crate::planted::Bug::DerivedAheadOfLog) {
            return Ok(());
        }
        loop {
            self.rewind(&mut lock(&self.core));
            let epoch = self.epoch.load(Ordering::Acquire);
            let newest = self.read().frozen_upto;
            // A sync beside a group vouches for it before readers see it. And what failed and came
            // again under the same LSN since the look at the memtable is not what is in it.
            let settled = self.log.sync()? >= newest && self.log.visible() >= newest;
            if settled && self.log.epoch() == epoch {
                return Ok(());
            }
            if self.options.log.background == wal::Background::Manual {
                // Nobody may be waiting for what was submitted.
                self.log.maintain();
                continue;
            }
            // Its writers are about to write it.
            let _ = self.log.wait_visible(newest, Duration::from_millis(5));
        }
    }
}

impl Making<'_> {
    /// Appends the newest version of everything in a memtable.
    fn flush(&mut self, frozen: &Memtable) -> Result<()> {
        for (collection, part) in frozen.parts() {
            for (id, chain) in part.range(Bound::Unbounded, Bound::Unbounded) {
                self.flush_one(collection, id, chain)?;
            }
        }
        Ok(())
    }

    fn flush_one(&mut self, collection: CollectionId, id: &DocId, chain: &Chain) -> Result<()> {
        let newest = chain.newest();
        let lsn = newest.lsn;
        let before = match &newest.document {
            Some(document) => {
                let expires_at = newest.expires_at;
                let body = RecordBody::Document { document, expires_at };
                let location = self.append(&RecordRef { collection, id, lsn, body })?;
                self.report.flushed += 1;
                self.index.put(collection, id, Entry { lsn, location, expires_at })
            }
            None => {
                let before = self.index.delete(collection, id, lsn);
                if before.is_some() {
                    // It hides the older record from whoever rebuilds the index.
                    let body = RecordBody::Tombstone;
                    self.append(&RecordRef { collection, id, lsn, body })?;
                    self.report.tombstones += 1;
                }
                before
            }
        };
        if let Some(before) = before {
            self.is_dead(before.location);
        }
        if !self.snapshots.is_empty() {
            self.keep_history(collection, id, chain, before);
        }
        Ok(())
    }

    /// Keeps the versions that a snapshot sees and the new index no longer shows.
    fn keep_history(
        &mut self,
        collection: CollectionId,
        id: &DocId,
        chain: &Chain,
        before: Option<Entry>,
    ) {
        let mut versions: Vec<(Lsn, Option<Bytes>)> = Vec::new();
        let first = chain.versions().next().map_or(Lsn::ZERO, |version| version.lsn);
        if let Some(before) = before.filter(|before| before.lsn < first) {
            versions.push((before.lsn, Some((Kept::File(before.location), before.expires_at))));
        }
        for version in chain.versions() {
            let kept = version.document.clone().map(Kept::Memory);
            versions.push((version.lsn, kept.map(|kept| (kept, version.expires_at))));
        }
        for pair in versions.windows(2) {
            let [(lsn, kept), (until, _)] = pair else { continue };
            let at = self.snapshots.partition_point(|snapshot| snapshot < lsn);
            let is_seen = self.snapshots.get(at).is_some_and(|snapshot| snapshot < until);
            if let (true, Some((kept, expires_at))) = (is_seen, kept) {
                let (kept, expires_at) = (kept.clone(), *expires_at);
                let old = Old { lsn: *lsn, until: *until, expires_at, kept };
                self.history.push((collection, id.clone(), old));
            }
        }
    }

    /// Appends a record to the current data file, which is begun or ended as needed.
    fn append(&mut self, record: &RecordRef<'_>) -> Result<Location> {
        if self
            .job
            .writer
            .as_ref()
            .is_some_and(|writer| writer.len() >= self.inner.options.data_file_bytes_max)
        {
            self.end_file()?;
        }
        let mut writer = match self.job.writer.take() {
            Some(writer) => writer,
            None => self.begin_file()?,
        };
        // A writer that failed is not put back.
        let location = writer.append(record)?;
        self.job.writer = Some(writer);
        self.count(record, location.file);
        Ok(location)
    }

    /// Counts a record that was appended.
    pub(crate) fn count(&mut self, record: &RecordRef<'_>, file: FileNumber) {
        let counted = self.files.entry(file).or_insert(FileRecord {
            number: file,
            verified_len: 0,
            finished: false,
            records: 0,
            tombstones: 0,
            dead: 0,
            lowest: record.lsn,
        });
        counted.records += 1;
        counted.tombstones += u64::from(record.body == RecordBody::Tombstone);
        counted.lowest = counted.lowest.min(record.lsn);
    }

    fn is_dead(&mut self, location: Location) {
        if let Some(file) = self.files.get_mut(&location.file) {
            file.dead += 1;
        }
    }

    /// Begins a data file with a number of its own.
    pub(crate) fn begin_file(&mut self) -> Result<DataWriter> {
        let number = FileNumber(self.job.manifest.next_file);
        self.job.manifest.next_file += 1;
        let identity = FileIdentity { database: self.inner.id, number };
        let layout =
            Layout { geometry: self.inner.options.geometry, parity: self.inner.options.parity };
        Ok(DataWriter::create(&self.inner.env.disk, &self.inner.dir, identity, layout)?)
    }

    pub(crate) fn end_file(&mut self) -> Result<()> {
        let Some(writer) = self.job.writer.take() else { return Ok(()) };
        let number = writer.identity().number;
        let verified = writer.finish()?;
        self.finished(number, verified);
        Ok(())
    }

    /// Notes that a file is complete.
    pub(crate) fn finished(&mut self, number: FileNumber, verified: Verified) {
        if let Some(file) = self.files.get_mut(&number) {
            file.verified_len = verified.len;
            file.finished = true;
        }
        self.opened.insert(number, verified.len);
    }

    /// Takes out of the index what was dropped.
    fn drop_collections(&mut self) {
        let state = self.inner.read();
        let dropped = state.collections.dropped_by(self.lsn);
        drop(state);
        for collection in dropped {
            let range = self.index.range(collection, Bound::Unbounded, Bound::Unbounded);
            let locations: Vec<Location> = range.map(|(_, entry)| entry.location).collect();
            for location in locations {
                self.is_dead(location);
            }
            self.index.drop_collection(collection);
        }
    }
}

impl Inner {
    /// Removes data and index files that no checkpoint names.
    pub(crate) fn remove_leftovers(&self, manifest: &Manifest) -> Result<()> {
        remove_leftovers(&self.env.disk, &self.dir, manifest)
    }
}

/// Removes data and index files that no checkpoint of the manifest names: those of a checkpoint
/// that failed or was superseded.
pub(crate) fn remove_leftovers(
    disk: &base::io::DiskRef,
    dir: &std::path::Path,
    manifest: &Manifest,
) -> Result<()> {
    let (files, indexes) = (manifest.files(), manifest.index_files());
    let entries = disk.list(dir).map_err(|e| StoreError::io(Op::Read, dir, e))?;
    for entry in entries {
        let data = FileNumber::parse(&entry.name);
        let run = index::file::parse_name(&entry.name);
        let is_left = data.is_some_and(|number| !files.contains(&number))
            || run.is_some_and(|number| !indexes.contains(&number));
        if is_left {
            let path = dir.join(&entry.name);
            disk.remove_file(&path).map_err(|e| StoreError::io(Op::Write, &path, e))?;
        }
    }
    Ok(())
}
