//! Loading a closed database: the index of a checkpoint, and the log behind it.
//!
//! The newest checkpoint whose index can be read is loaded, and the log behind it is replayed in one
//! pass that writes no data file. A checkpoint that cannot be read is passed over for an older one,
//! whose log is still there. When none can be read, because the checkpoints share index files and
//! one of those is damaged or missing, the index of the newest is made again by
//! [`crate::rebuild`], of data files and log; that happens only when nothing about the result is in
//! doubt, otherwise the damage is the answer.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use base::io::is_unreadable;
use base::words::{Change, CollectionId, DatabaseId, Lsn};
use wal::frame::Kind as FrameKind;
use wal::{Anchor, Environment, FileAnchor, Log, LogState};

use super::{LOG_DIR, OpenReport, open_file};
use crate::collections::Collections;
use crate::data::{DataError, DataFile, Layout};
use crate::error::{Op, Result, StoreError};
use crate::index::IndexError;
use crate::manifest::{Checkpoint, FileRecord, Manifest, ManifestFile};
use crate::options::Options;
use crate::rebuild::{self, InDoubt};
use crate::state::State;
use crate::verify::load_index;

/// An opening under way.
pub(super) struct Opening<'a> {
    pub(super) env: &'a Environment,
    pub(super) dir: &'a Path,
    pub(super) options: &'a Options,
    pub(super) report: OpenReport,
    /// Bytes of log behind the checkpoint.
    pub(super) replayed_bytes: u64,
    /// Changes that the log has lost: any of them may have made a collection.
    pub(super) lost_changes: u64,
}

impl Opening<'_> {
    /// Loads the newest checkpoint that can be read, of an index made again when there is none;
    /// answers its place in the manifest.
    pub(super) fn load_or_rebuild(
        &mut self,
        file: &mut ManifestFile,
        manifest: &mut Manifest,
    ) -> Result<(usize, State)> {
        match self.load(manifest) {
            Err(error) if is_index_damage(&error) => {
                self.rebuild(file, manifest, error)?;
                self.load(manifest)
            }
            loaded => loaded,
        }
    }

    /// Makes the index of the newest checkpoint again. `damage` is the answer when what comes of it
    /// would be in doubt: nothing is decided here that nobody knows.
    fn rebuild(
        &mut self,
        file: &mut ManifestFile,
        manifest: &mut Manifest,
        damage: StoreError,
    ) -> Result<()> {
        let database = &manifest.name;
        tracing::error!(%database, error = %damage, "the index is made again of the data files");
        let healing = self.options.healing;
        let begun = rebuild::Begun { env: self.env, dir: self.dir, options: self.options, healing };
        let report = begun.run(file, manifest, InDoubt::Refuse)?;
        if report.index.is_none() {
            tracing::error!(
                database = %report.name,
                doubts = report.doubts.len(),
                documents = report.documents_in_doubt,
                "the index is not made again: it is in doubt what was lost\n{report}"
            );
            return Err(damage);
        }
        let (documents, lost) =
            (report.documents.iter().map(|(.., n)| n).sum::<u64>(), &report.lost);
        tracing::warn!(database = %report.name, documents, lost = lost.len(), "the index was made again");
        self.report.rebuilt = Some(report);
        Ok(())
    }

    /// Loads the newest checkpoint that can be read; answers its place in the manifest.
    fn load(&mut self, manifest: &Manifest) -> Result<(usize, State)> {
        let mut first_error = None;
        for (at, checkpoint) in manifest.checkpoints.iter().enumerate().rev() {
            match self.load_one(manifest.database, checkpoint) {
                Ok(mut state) => {
                    state.quarantine = manifest
                        .quarantine
                        .iter()
                        .map(|lost| ((lost.collection, lost.id.clone()), lost.lsn))
                        .collect();
                    self.report.checkpoint = checkpoint.lsn;
                    return Ok((at, state));
                }
                // What the system refuses today it may allow tomorrow.
                Err(error) if !is_damage(&error) => return Err(error),
                Err(error) => {
                    let lsn = checkpoint.lsn;
                    tracing::error!(%lsn, %error, "a checkpoint is passed over");
                    self.report.passed_over.push(error.to_string());
                    first_error.get_or_insert(error);
                }
            }
        }
        Err(first_error.unwrap_or_else(|| StoreError::Manifest(Arc::from("no checkpoint"))))
    }

    fn load_one(&self, database: DatabaseId, checkpoint: &Checkpoint) -> Result<State> {
        let index = load_index(&self.env.disk, self.dir, checkpoint)?;
        let mut files = BTreeMap::new();
        for record in &checkpoint.files {
            files.insert(record.number, Arc::new(self.open_file(database, record)?));
        }
        Ok(State {
            index: Arc::new(index),
            collections: Collections::of(&checkpoint.collections, self.options.rule.clone()),
            files,
            ..State::default()
        })
    }

    fn open_file(&self, database: DatabaseId, record: &FileRecord) -> Result<DataFile> {
        let preferred = Layout { geometry: self.options.geometry, parity: self.options.parity };
        Ok(open_file(&self.env.disk, self.dir, database, record, preferred)?)
    }

    /// Opens the log and applies everything behind the checkpoint; answers the newest change.
    pub(super) fn replay(
        &mut self,
        manifest: &Manifest,
        at: usize,
        state: &mut State,
    ) -> Result<(Log, Lsn)> {
        let Some(checkpoint) = manifest.checkpoints.get(at) else {
            return Err(StoreError::Manifest(Arc::from("no checkpoint")));
        };
        let log_dir = self.dir.join(LOG_DIR);
        let anchor = FileAnchor::open(&self.env.disk, &log_dir)?;
        if anchor.load()?.database != manifest.database {
            let what = "its log belongs to another database";
            return Err(StoreError::Manifest(Arc::from(what)));
        }
        let from = checkpoint.lsn;
        let anchor = Arc::new(StartingAt { anchor, lsn: from });
        let (mut replayed, mut applied, mut bytes) = (0, from, 0);
        let mut adopted = Vec::new();
        let (log, _) =
            Log::open(self.env, &log_dir, anchor, self.options.log.clone(), &mut |frame| {
                // The log's own manifest may be a checkpoint behind.
                if frame.lsn <= from {
                    return Ok(());
                }
                bytes += wal::frame::frame_bytes(frame.payload.len()) as u64;
                if frame.kind == FrameKind::Gap {
                    self.lost_changes += frame.next_lsn().0 - frame.lsn.0;
                }
                if let Some(change) = frame.change() {
                    replayed += 1;
                    applied = frame.lsn;
                    adopted.extend(adopt(state, frame.lsn, &change));
                    state.apply(frame.lsn, change, frame.lsn);
                }
                Ok(())
            })?;
        self.report.adopted = state.collections.name_adopted(&adopted);
        for (collection, name) in &self.report.adopted {
            tracing::error!(%collection, %name, "the creation of a collection is lost");
        }
        self.report.replayed = replayed;
        self.replayed_bytes = bytes;
        if log.durable() < from {
            // Nothing derived gets ahead of the log, so this is not the log that it came from.
            let what = "it is ahead of its log, which is incomplete or from an older copy";
            return Err(StoreError::Manifest(Arc::from(what)));
        }
        Ok((log, applied))
    }
}

/// Makes the collection of a change if nothing has made it: a salvage has lost its creation. What the
/// log still has of it is kept findable, and its number is not given to another one.
fn adopt(state: &mut State, lsn: Lsn, change: &Change) -> Option<CollectionId> {
    let collection = match change {
        Change::CreateCollection { .. } => return None,
        Change::Put { collection, .. }
        | Change::Delete { collection, .. }
        | Change::DropCollection { collection }
        | Change::SetProperty { collection, .. } => *collection,
    };
    if state.collections.get(collection).is_some() {
        return None;
    }
    state.collections.adopt(collection, lsn);
    Some(collection)
}

/// Whether the bytes are wrong, and not the disk that would not give them.
fn is_damage(error: &StoreError) -> bool {
    let is_data =
        matches!(error, StoreError::Data(error) if matches!(**error, DataError::Corrupt { .. }));
    is_data || is_index_damage(error)
}

/// Whether an index file is not what was written, or gone, or on a place that the device cannot
/// read: no document is in it, so one made again is as good.
fn is_index_damage(error: &StoreError) -> bool {
    let StoreError::Index(error) = error else { return false };
    match &**error {
        IndexError::Corrupt(_) => true,
        IndexError::Io { source, op, .. } => {
            let is_unreadable = *op == Op::Read && is_unreadable(source);
            is_unreadable || source.kind() == io::ErrorKind::NotFound
        }
    }
}

/// The log's manifest, for a replay that may start where an older checkpoint ends: the log's own
/// replay start is never behind the newest checkpoint, but that one may be damaged.
struct StartingAt {
    anchor: FileAnchor,
    lsn: Lsn,
}

impl Anchor for StartingAt {
    fn load(&self) -> wal::Result<LogState> {
        let mut state = self.anchor.load()?;
        state.replay_lsn = state.replay_lsn.min(self.lsn);
        Ok(state)
    }

    fn store(&self, state: &LogState) -> wal::Result<()> {
        self.anchor.store(state)
    }
}
