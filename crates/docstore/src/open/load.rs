//! Loading a closed database: the index of a checkpoint, and the log behind it.
//!
//! The newest checkpoint is loaded and the log behind it replayed in one pass that writes no data file. What can
//! be wrong with that, and what is done, in this order:
//!
//! 1. **Its index is damaged or missing.** It is made again of the data files by [`crate::rebuild`]: they have
//!    everything up to the checkpoint, whatever the log is like there. Only when that would lose nothing.
//! 2. Otherwise, or when a data file is missing, an **older checkpoint** is gone on from, if the log is whole from there
//!    to the newest one and behind it. A log that has lost something on that way is refused: data
//!    files of the newest checkpoint may have it, and the version before would be served in its place.
//! 3. Otherwise the index is made again as in 1, though documents are lost, as long as it is known which: they are in
//!    quarantine then.
//! 4. Otherwise the damage is the answer, and nothing was changed.

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

/// A database that was loaded.
pub(super) struct Loaded {
    /// The place of its checkpoint in the manifest.
    pub(super) at: usize,
    pub(super) state: State,
    pub(super) log: Log,
    /// The newest change.
    pub(super) applied: Lsn,
}

impl Opening<'_> {
    /// Loads the database from the newest checkpoint that it can be gone on from.
    pub(super) fn load(
        &mut self,
        file: &mut ManifestFile,
        manifest: &mut Manifest,
    ) -> Result<Loaded> {
        let newest = manifest.checkpoints.len().saturating_sub(1);
        let damage = match self.load_at(manifest, newest) {
            Ok(state) => return self.replay(manifest, newest, state),
            // What the system refuses today it may allow tomorrow.
            Err(error) if !is_damage(&error) => return Err(error),
            Err(error) => error,
        };
        self.pass_over(manifest, newest, &damage);
        let may_rebuild = is_index_damage(&damage);
        if may_rebuild && self.rebuild(file, manifest, InDoubt::RefuseLosses)? {
            return self.load_rebuilt(manifest);
        }
        for at in (0..newest).rev() {
            let loaded = match self.load_at(manifest, at) {
                Ok(state) => self.replay(manifest, at, state),
                Err(error) => Err(error),
            };
            match loaded {
                Ok(loaded) => return Ok(loaded),
                Err(error) if is_damage(&error) || is_log_damage(&error) => {
                    self.pass_over(manifest, at, &error);
                }
                Err(error) => return Err(error),
            }
        }
        if may_rebuild && self.rebuild(file, manifest, InDoubt::Refuse)? {
            return self.load_rebuilt(manifest);
        }
        Err(damage)
    }

    fn load_rebuilt(&mut self, manifest: &Manifest) -> Result<Loaded> {
        // Older checkpoints that cannot be loaded were given up.
        let newest = manifest.checkpoints.len().saturating_sub(1);
        let state = self.load_at(manifest, newest)?;
        self.replay(manifest, newest, state)
    }

    fn pass_over(&mut self, manifest: &Manifest, at: usize, error: &StoreError) {
        let lsn = manifest.checkpoints.get(at).map_or(Lsn::ZERO, |checkpoint| checkpoint.lsn);
        tracing::error!(database = %manifest.name, %lsn, %error, "a checkpoint is passed over");
        self.report.passed_over.push(error.to_string());
    }

    /// Makes the index of the newest checkpoint again; says whether it did. Otherwise nothing has changed.
    fn rebuild(
        &mut self,
        file: &mut ManifestFile,
        manifest: &mut Manifest,
        in_doubt: InDoubt,
    ) -> Result<bool> {
        let healing = self.options.healing;
        let begun = rebuild::Begun { env: self.env, dir: self.dir, options: self.options, healing };
        let mut rebuilt = manifest.clone();
        let report = match begun.run(file, &mut rebuilt, in_doubt) {
            Ok(report) => report,
            // The MANIFEST was written, or nobody knows whether it was.
            Err(error) if rebuilt.checkpoints != manifest.checkpoints => return Err(error),
            // The log was needed and cannot be read, or there is no room for an index.
            Err(error) => {
                tracing::error!(database = %manifest.name, %error, "the index is not made again");
                return Ok(false);
            }
        };
        if report.index.is_none() {
            tracing::error!(
                database = %report.name,
                doubts = report.doubts.len(),
                documents = report.documents_in_doubt,
                lost = report.lost.len(),
                "the index is not made again: something is lost, or it is in doubt what\n{report}"
            );
            return Ok(false);
        }
        *manifest = rebuilt;
        let (documents, lost) =
            (report.documents.iter().map(|(.., n)| n).sum::<u64>(), &report.lost);
        tracing::warn!(database = %report.name, documents, lost = lost.len(), "the index was made again");
        self.report.rebuilt = Some(report);
        Ok(true)
    }

    /// Loads the checkpoint at a place in the manifest.
    fn load_at(&self, manifest: &Manifest, at: usize) -> Result<State> {
        let none = || StoreError::Manifest(Arc::from("no checkpoint"));
        let checkpoint = manifest.checkpoints.get(at).ok_or_else(none)?;
        let mut state = self.load_one(manifest.database, checkpoint)?;
        let lost = manifest.quarantine.iter();
        state.quarantine =
            lost.map(|lost| ((lost.collection, lost.id.clone()), lost.lsn)).collect();
        Ok(state)
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

    /// Opens the log and applies everything behind the checkpoint.
    fn replay(&mut self, manifest: &Manifest, at: usize, mut state: State) -> Result<Loaded> {
        let none = || StoreError::Manifest(Arc::from("no checkpoint"));
        let from = manifest.checkpoints.get(at).ok_or_else(none)?.lsn;
        let newest = manifest.newest().lsn;
        let log_dir = self.dir.join(LOG_DIR);
        let anchor = FileAnchor::open(&self.env.disk, &log_dir)?;
        if anchor.load()?.database != manifest.database {
            let what = "its log belongs to another database";
            return Err(StoreError::Manifest(Arc::from(what)));
        }
        let anchor = Arc::new(StartingAt { anchor, from, newest });
        let (mut replayed, mut applied, mut bytes, mut lost_changes) = (0, from, 0, 0);
        let (mut adopted, mut expected) = (Vec::new(), from.next());
        let (log, _) =
            Log::open(self.env, &log_dir, anchor, self.options.log.clone(), &mut |frame| {
                // The log's own manifest may be a checkpoint behind.
                if frame.lsn <= from {
                    return Ok(());
                }
                bytes += wal::frame::frame_bytes(frame.payload.len()) as u64;
                // A gap may have begun below.
                let whole = if frame.kind == FrameKind::Gap { frame.next_lsn() } else { frame.lsn };
                if whole > expected {
                    if expected <= newest {
                        return Err(lost_on_the_way(expected, whole));
                    }
                    lost_changes += whole.0 - expected.0;
                }
                expected = frame.next_lsn();
                if let Some(change) = frame.change() {
                    replayed += 1;
                    applied = frame.lsn;
                    adopted.extend(adopt(&mut state, frame.lsn, &change));
                    state.apply(frame.lsn, change, frame.lsn);
                }
                Ok(())
            })?;
        self.lost_changes = lost_changes;
        self.report.adopted = state.collections.name_adopted(&adopted);
        for (collection, name) in &self.report.adopted {
            tracing::error!(%collection, %name, "the creation of a collection is lost");
        }
        self.report.replayed = replayed;
        self.report.checkpoint = from;
        self.replayed_bytes = bytes;
        if log.durable() < newest {
            // Nothing derived gets ahead of the log, so this is not the log that it came from.
            let what = "it is ahead of its log, which is incomplete or from an older copy";
            return Err(StoreError::Manifest(Arc::from(what)));
        }
        if expected <= newest {
            return Err(lost_on_the_way(expected, newest.next()).into());
        }
        Ok(Loaded { at, state, log, applied })
    }
}

/// A log that was salvaged has lost something that the newest checkpoint has in its data files, and an
/// older one, from which it is read, has not.
fn lost_on_the_way(from: Lsn, next: Lsn) -> wal::WalError {
    wal::WalError::Corrupt(Box::new(wal::Damage {
        segment: 0,
        offset: 0,
        lost_from: from,
        lost_to: Lsn(next.0 - 1),
        what: "a salvage left a gap here, and the checkpoint behind it cannot be loaded",
    }))
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

/// Whether the bytes are wrong or gone, and not the disk that would not give them.
fn is_damage(error: &StoreError) -> bool {
    let StoreError::Data(data) = error else { return is_index_damage(error) };
    matches!(**data, DataError::Corrupt { .. })
        || matches!(&**data, DataError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

/// Whether the log is not whole from a checkpoint on.
fn is_log_damage(error: &StoreError) -> bool {
    matches!(error, StoreError::Log(wal::WalError::Corrupt(_)))
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

/// The log's manifest, as the database's knows it better: a replay may have to start where an older checkpoint
/// ends, and what the newest one has was durable, so that what is missing of the log below it was lost.
pub(crate) struct StartingAt {
    pub(crate) anchor: FileAnchor,
    pub(crate) from: Lsn,
    pub(crate) newest: Lsn,
}

impl Anchor for StartingAt {
    fn load(&self) -> wal::Result<LogState> {
        let mut state = self.anchor.load()?;
        state.replay_lsn = state.replay_lsn.min(self.from);
        state.durable_lsn = state.durable_lsn.max(self.newest);
        Ok(state)
    }

    fn store(&self, state: &LogState) -> wal::Result<()> {
        self.anchor.store(state)
    }
}
