//! The end of a checkpoint: what was written is made durable, the MANIFEST names it, readers get it, and
//! what it has made superfluous goes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::words::Lsn;
use wal::{Hold, Log, ReaderMark, WalError};

use super::Making;
#[cfg(feature = "planted-bugs")]
use crate::data::Verified;
use crate::data::{DataFile, FileIdentity};
use crate::database::{Inner, lock};
use crate::error::{Result, sync_dir};
use crate::index::{self, Index, LAYERS_MAX, Target};
use crate::location::FileNumber;
use crate::manifest::{Checkpoint, CollectionRecord, Manifest, Quarantined};
use crate::stats::CheckpointReport;

impl Making<'_> {
    /// Makes everything durable, names it and shows it.
    pub(super) fn finish(mut self) -> Result<CheckpointReport> {
        let mut unprotected = self.job.unprotected.clone();
        if let Some(writer) = &mut self.job.writer {
            let number = writer.identity().number;
            #[cfg(feature = "planted-bugs")]
            let verified = match self.inner.options.planted {
                Some(crate::planted::Bug::UnverifiedRecords) => {
                    writer.flush()?;
                    Verified { len: writer.len(), protected_len: writer.len() }
                }
                Some(_) | None => writer.publish()?,
            };
            #[cfg(not(feature = "planted-bugs"))]
            let verified = writer.publish()?;
            if let Some(file) = self.files.get_mut(&number) {
                file.verified_len = verified.len;
            }
            self.opened.insert(number, verified.len);
            let held = unprotected.entry(number).or_default();
            // Documents that were healed are older than the last checkpoint.
            let newest = self.job.manifest.newest().lsn;
            let flushed = self.frozen.as_ref().map(|_| self.inner.read());
            let healed = flushed.and_then(|state| state.frozen_healed.lsn());
            held.push((verified.len, healed.map_or(newest, |healed| healed.min(newest))));
            held.retain(|(end, _)| *end > verified.protected_len);
        }
        let (collections, files) = (self.collections(), self.files.values().copied().collect());
        let index = self.write_index()?;
        sync_dir(&self.inner.env.disk, &self.inner.dir)?;
        let wall = self.inner.log.wall();
        let checkpoint = Checkpoint { lsn: self.lsn, wall, collections, files, index };
        let opened = self.open_files()?;
        let files = &self.files;
        unprotected.retain(|number, _| files.get(number).is_some_and(|file| !file.finished));
        let holds = unprotected.values().flatten().map(|(_, lsn)| *lsn);
        let hold = holds.min().unwrap_or(self.lsn);
        let manifest = self.next_manifest(checkpoint, hold);
        self.job.is_uncertain = true;
        self.job.file.store(&manifest)?;
        self.job.is_uncertain = false;
        self.job.holds.insert(self.lsn, hold);
        self.job.holds.retain(|lsn, _| manifest.checkpoints.iter().any(|kept| kept.lsn == *lsn));
        (self.job.manifest, self.job.unprotected) = (manifest, unprotected);
        self.report.lsn = Some(self.lsn);
        self.publish(opened);
        self.job_done()
    }

    /// The collections as they are at the checkpoint's LSN.
    fn collections(&self) -> Vec<CollectionRecord> {
        self.inner.read().collections.records(self.lsn)
    }

    /// Writes what has changed in the index as a run, or a new base when that is due.
    fn write_index(&mut self) -> Result<Vec<index::file::FileInfo>> {
        let mut written = self.job.manifest.newest().index.clone();
        let Some(layer) = self.index.freeze() else { return Ok(written) };
        let (merge, kind) = match self.index.due() {
            Some(Target::Base) => (self.index.merge(Target::Base), index::file::Kind::Base),
            Some(Target::Layer) if self.index.layers().len() > LAYERS_MAX => {
                (self.index.merge(Target::Layer), index::file::Kind::Run)
            }
            Some(Target::Layer) | None => (Some(Index::pack(&layer)), index::file::Kind::Run),
        };
        let Some(merge) = merge else { return Ok(written) };
        let all = self.index.layers().len() > LAYERS_MAX;
        let merged = merge.run();
        let number = self.job.manifest.next_index;
        self.job.manifest.next_index += 1;
        let header =
            index::file::Header { database: self.inner.id, number, kind, checkpoint: self.lsn };
        let inner = self.inner;
        let info = index::file::write(&inner.env.disk, &inner.dir, header, merged.table())?;
        match kind {
            index::file::Kind::Base => written.clear(),
            index::file::Kind::Run if all => {
                written.retain(|file| file.header.kind == index::file::Kind::Base)
            }
            index::file::Kind::Run => {}
        }
        written.push(info);
        self.index.install(merged).expect("nobody else has this copy of the index");
        Ok(written)
    }

    /// Opens files that readers do not have yet.
    fn open_files(&self) -> Result<Vec<(FileNumber, Arc<DataFile>)>> {
        let known = self.inner.read().files.clone();
        let mut opened = Vec::new();
        for (number, len) in &self.opened {
            if !known.contains_key(number) && self.files.contains_key(number) {
                let identity = FileIdentity { database: self.inner.id, number: *number };
                let inner = self.inner;
                let file = DataFile::open(&inner.env.disk, &inner.dir, identity, *len)?;
                opened.push((*number, Arc::new(file)));
            }
        }
        Ok(opened)
    }

    /// The manifest with the new checkpoint, which needs the log behind `hold`.
    fn next_manifest(&self, checkpoint: Checkpoint, hold: Lsn) -> Manifest {
        let mut next = self.job.manifest.clone();
        if !self.report.compacted.is_empty() {
            next.compacted = checkpoint.wall;
        }
        // A checkpoint at the LSN of the newest one replaces it.
        next.checkpoints.retain(|older| older.lsn < checkpoint.lsn);
        next.checkpoints.push(checkpoint);
        let most = self.inner.options.checkpoints_max;
        let surplus = next.checkpoints.len().saturating_sub(most);
        next.checkpoints.drain(..surplus);
        let of_kept = |kept: &Checkpoint| self.job.holds.get(&kept.lsn).copied();
        let older = next.checkpoints.iter().filter(|kept| kept.lsn < self.lsn);
        next.hold = older.filter_map(of_kept).fold(hold, Lsn::min);
        let state = self.inner.read();
        let lost = state.quarantined();
        let lost = lost.map(|((collection, id), lsn)| Quarantined {
            collection: *collection,
            id: id.clone(),
            lsn: *lsn,
        });
        next.quarantine = lost.collect();
        next.next_collection = self.inner.next_collection.load(Ordering::Acquire);
        next
    }

    /// Shows readers the new index in the place of the frozen memtable.
    fn publish(&mut self, opened: Vec<(FileNumber, Arc<DataFile>)>) {
        let index = std::mem::take(&mut self.index);
        let mut state = self.inner.state_mut();
        for (number, file) in opened {
            state.files.insert(number, file);
        }
        for (number, len) in &self.opened {
            if let Some(file) = state.files.get(number) {
                file.advance(*len);
            }
        }
        let files = &self.files;
        state.files.retain(|number, _| files.contains_key(number));
        for (collection, id, from, to) in self.moved.drain(..) {
            state.history.relocate(collection, &id, from, to);
        }
        for (collection, id, old) in self.history.drain(..) {
            state.history.add(collection, id, old);
        }
        // Snapshots may have been let go since it was decided what they need.
        let held = lock(&self.inner.snapshots).oldest();
        state.history.prune(held);
        // Freeing what they held takes longer than readers should wait.
        let before = std::mem::replace(&mut state.index, Arc::new(index));
        let flushed = self.frozen.take().and_then(|_| {
            self.healed = std::mem::take(&mut state.frozen_healed);
            state.frozen.take()
        });
        let dropped = state.collections.dropped_by(self.lsn);
        for collection in &dropped {
            state.active.drop_collection(*collection);
        }
        state.collections.forget(&dropped);
        let oldest = self.inner.oldest_reader();
        state.collections.forget_older_properties(oldest.min(self.lsn));
        let lost: BTreeMap<_, _> =
            state.quarantined().map(|(key, lsn)| (key.clone(), *lsn)).collect();
        state.quarantine = lost;
        drop(state);
        drop((before, flushed));
    }

    /// Lets go of what the checkpoint has made superfluous. Failing here costs space, not data,
    /// and the next checkpoint tries again.
    fn job_done(self) -> Result<CheckpointReport> {
        let (inner, mut report, healed) = (self.inner, self.report, self.healed);
        inner.since_checkpoint.fetch_sub(self.logged, Ordering::Relaxed);
        let manifest = &self.job.manifest;
        let oldest = manifest.checkpoints.first().map_or(Lsn::ZERO, |oldest| oldest.lsn);
        inner.hold_for_parity(manifest.hold);
        drop(healed);
        // The frame takes an LSN. While the state has writes that failed it must not be theirs:
        // they would be visible.
        loop {
            match inner.log.checkpoint_in(self.lsn, inner.epoch.load(Ordering::Acquire)) {
                Err(WalError::Rewound { .. }) => inner.rewind(&mut lock(&inner.core)),
                done => break done?,
            }
        }
        #[cfg(feature = "planted-bugs")]
        let oldest = match inner.options.planted {
            Some(crate::planted::Bug::EarlyTrim) => {
                inner.hold_for_parity(inner.log.visible());
                inner.log.visible()
            }
            Some(_) | None => oldest,
        };
        inner.marks.checkpoint.advance(oldest);
        if inner.options.trim_after_checkpoint {
            report.trimmed_bytes = inner.log.trim()?.bytes;
        }
        inner.remove_leftovers(manifest)?;
        Ok(report)
    }
}

impl Inner {
    /// Keeps the log behind `hold`, which may be older than before: a document that was healed from
    /// it went into the end of a file.
    fn hold_for_parity(&self, hold: Lsn) {
        let mut mark = lock(&self.marks.parity);
        if hold < mark.lsn() {
            *mark = parity_mark(&self.log, hold);
        }
        mark.advance(hold);
    }
}

/// The place in the log behind which it has what stands in incomplete stripes.
pub(crate) fn parity_mark(log: &Log, hold: Lsn) -> ReaderMark {
    log.mark("data without parity", Hold::Unlimited, hold)
}
