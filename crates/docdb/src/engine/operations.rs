//! What operators ask for: checkpoints, compaction, healing, checks, backups, statistics. All of it
//! runs on threads of its own, few at once, and never on those of requests.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use base::clock::WallMs;
use base::error::Code;
use base::words::{CollectionId, DocId, Lsn, Name};
use docstore::{BackupDir, BackupReport, CheckpointReport, Database, DatabaseStats, HealReport};

use super::Engine;
use super::error::{EngineError, Result};
use super::reply::Reply;
use super::served::Served;
use crate::backups::{self, Kind};
use crate::scheduler::QueueStats;

/// Where a backup goes: a name below the directory for backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupTarget(PathBuf);

/// A version of a document that may be accepted in the place of one that is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionInfo {
    /// Its revision.
    pub revision: Lsn,
    /// When it expires, if ever.
    pub expires_at: Option<WallMs>,
    /// Its bytes.
    pub document: base::document::Document,
}

/// Where backups that are asked for by name go, below the data directory.
pub(super) const BACKUPS: &str = "backups";

impl BackupTarget {
    /// The directory `name` below `<data>/backups`.
    ///
    /// # Errors
    /// `InvalidName` when it is not one plain name.
    pub fn new(data: &Path, name: &str) -> Result<Self> {
        let path = Path::new(name);
        let mut parts = path.components();
        let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
        if !plain || Name::new(name).is_err() {
            let what = format!(
                "a backup is named by 1 to 128 of A-Z a-z 0-9 _ . - not starting with a dot; it \
                 is made below {BACKUPS}/ of the data directory name={name:?}"
            );
            return Err(EngineError::new(Code::InvalidName, what));
        }
        Ok(Self(data.join(BACKUPS).join(name)))
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Engine {
    /// Takes a checkpoint: what waits in memory goes to data files, and the log is let go.
    pub fn checkpoint(self: &Arc<Self>, served: &Arc<Served>, reply: Reply<CheckpointReport>) {
        self.operate(served, reply, |database| Ok(database.checkpoint()?));
    }

    /// Compacts the data file with the most garbage, whatever its share.
    pub fn compact(self: &Arc<Self>, served: &Arc<Served>, reply: Reply<CheckpointReport>) {
        self.operate(served, reply, |database| Ok(database.compact()?));
    }

    /// Checks everything and heals what can be healed.
    pub fn heal_all(self: &Arc<Self>, served: &Arc<Served>, reply: Reply<HealReport>) {
        self.operate(served, reply, |database| Ok(database.heal_all()?));
    }

    /// Reads one document and heals it; says whether it was damaged.
    pub fn heal(
        self: &Arc<Self>,
        served: &Arc<Served>,
        collection: Name,
        id: DocId,
        reply: Reply<bool>,
    ) {
        self.operate(served, reply, move |database| {
            Ok(database.heal(database.collection(&collection)?, &id)?)
        });
    }

    /// Older versions of a document, the newest first.
    pub fn versions(
        self: &Arc<Self>,
        served: &Arc<Served>,
        collection: Name,
        id: DocId,
        reply: Reply<Vec<VersionInfo>>,
    ) {
        self.operate(served, reply, move |database| {
            let found = database.versions(database.collection(&collection)?, &id)?;
            let info = |stored: docstore::Stored| VersionInfo {
                revision: stored.revision,
                expires_at: stored.expires_at,
                document: stored.document,
            };
            Ok(found.into_iter().map(info).collect())
        });
    }

    /// Writes an older version as the newest, because somebody decided so. Answers its revision.
    pub fn accept(
        self: &Arc<Self>,
        served: &Arc<Served>,
        collection: Name,
        id: DocId,
        revision: Lsn,
        reply: Reply<Lsn>,
    ) {
        self.operate(served, reply, move |database| {
            let written = database.accept(database.collection(&collection)?, &id, revision)?;
            Ok(written.revision)
        });
    }

    /// The documents whose newest version is lost.
    pub fn quarantine(
        self: &Arc<Self>,
        served: &Arc<Served>,
        reply: Reply<Vec<(CollectionId, DocId, Lsn)>>,
    ) {
        self.operate(served, reply, |database| Ok(database.quarantine()));
    }

    /// Makes, or brings up to date, a backup below the data directory's `backups`.
    pub fn backup(
        self: &Arc<Self>,
        served: &Arc<Served>,
        target: BackupTarget,
        reply: Reply<BackupReport>,
    ) {
        let disk = Arc::clone(&self.env.disk);
        let data = self.options.dir.clone();
        self.operate(served, reply, move |database| {
            make_dir(&disk, &data.join(BACKUPS))?;
            backups::to_write(Kind::Database, &disk, target.path())?;
            Ok(database.backup(&BackupDir::new(&disk, target.path()))?)
        });
    }

    /// Makes a new database out of a backup below the data directory's `backups`.
    pub fn restore(
        self: &Arc<Self>,
        from: BackupTarget,
        name: Name,
        reply: Reply<docstore::RestoreReport>,
    ) {
        let disk = Arc::clone(&self.env.disk);
        self.operate_on_server(reply, move |engine| {
            backups::to_read(Kind::Database, &disk, from.path())?;
            engine.make_room(None)?;
            let (database, report) =
                engine.store.restore(&BackupDir::new(&disk, from.path()), &name)?;
            engine.adopt(&name, database);
            Ok(report)
        });
    }

    /// Statistics of a database, and of its queue.
    pub fn stats(
        self: &Arc<Self>,
        served: &Arc<Served>,
        reply: Reply<(DatabaseStats, QueueStats)>,
    ) {
        let (engine, queue) = (Arc::clone(self), served.queue);
        self.operate(served, reply, move |database: &Database| {
            Ok((database.stats()?, engine.scheduler.queue_stats(queue)))
        });
    }
}

pub(super) fn make_dir(disk: &base::io::DiskRef, dir: &Path) -> Result<()> {
    let failed = |error: std::io::Error| {
        let what = format!("cannot make the directory {}: {error}", dir.display());
        EngineError::new(Code::FileOpen, what)
    };
    if disk.stat(dir).map_err(failed)?.is_none() {
        disk.create_dir(dir).map_err(failed)?;
        if let Some(parent) = dir.parent() {
            disk.sync_dir(parent).map_err(failed)?;
        }
    }
    Ok(())
}
