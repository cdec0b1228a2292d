//! Making, opening and closing a database.
//!
//! A database is a directory whose MANIFEST is valid: it is built under a temporary name and
//! renamed. Opening reads the MANIFEST, loads a checkpoint and replays the log behind it, which is
//! in `load`; what is here is the way there, and putting the open database together.
//!
//! Nothing is removed before it is certain that the database opens: what looks left over beside a
//! MANIFEST that a damage has set back may be all that is left of something.

mod load;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use base::io::{DiskRef, Lock};
use base::memory::Budget;
use base::words::{CollectionId, DatabaseId, Lsn, Name};
use wal::{Environment, FileAnchor, Hold, Log};

pub(crate) use load::StartingAt;
use load::{Loaded, Opening};

use crate::background::Background;
use crate::checkpoint::{Compact, Job, parity_mark, remove_leftovers};
use crate::data::{
    Condition, DataError, DataFile, DataWriter, FileHeader, FileIdentity, Found, Geometry, Layout,
    Parity, Payloads,
};
use crate::database::{Core, Database, Inner, Marks, lock};
use crate::error::{Op, Result, StoreError, sync_dir};
use crate::manifest::{FileRecord, Manifest, ManifestFile};
use crate::options::Options;
use crate::rebuild::RebuildReport;
use crate::snapshots::Snapshots;
use crate::state::State;
use crate::stats::{Counters, Shown};

/// The log's directory within that of its database.
pub(crate) const LOG_DIR: &str = "log";
const LOCK_NAME: &str = "LOCK";
/// Numbers of collections that are left out, at most, because lost changes may have used them.
const LOST_NUMBERS_MAX: u64 = 1 << 24;

/// What opening a database found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Changes replayed from the log.
    pub replayed: u64,
    /// Where the replay began.
    pub checkpoint: Lsn,
    /// Checkpoints that could not be loaded or not be gone on from, the newest first, and why.
    pub passed_over: Vec<String>,
    /// Collections whose creation a salvaged log has lost, with the names that they have now: the
    /// documents that the log still has of them are there.
    pub adopted: Vec<(CollectionId, Name)>,
    /// What making the index of the newest checkpoint again found, when it could not be read.
    pub rebuilt: Option<RebuildReport>,
}

impl Database {
    /// Makes a new database in the directory `dir`, which must not exist. A directory
    /// `<dir>.new` left by a creation that was interrupted is replaced.
    ///
    /// # Errors
    /// The disk's; `Unsupported` for a setting out of range.
    pub fn create(
        env: &Environment,
        dir: &Path,
        name: &Name,
        options: Options,
        budget: &Budget,
    ) -> Result<Self> {
        let id = DatabaseId::random().map_err(|e| StoreError::io(Op::Open, dir, e))?;
        Self::create_as(env, dir, name, id, options, budget)
    }

    /// The same with an identity that the caller chose; it must never have been used before.
    ///
    /// # Errors
    /// As [`Database::create`].
    pub fn create_as(
        env: &Environment,
        dir: &Path,
        name: &Name,
        id: DatabaseId,
        options: Options,
        budget: &Budget,
    ) -> Result<Self> {
        options.validate()?;
        build(&env.disk, dir, name, |building, log_dir| {
            FileAnchor::create(&env.disk, log_dir, id)?;
            let manifest = Manifest::new(id, name.clone(), env.clock.wall());
            ManifestFile::create(&env.disk, building, &manifest).map(drop)
        })?;
        let opened = Self::open(env, dir, options, budget);
        Ok(opened.inspect_err(|_| take_back(&env.disk, dir))?.0)
    }

    /// Opens the database in `dir`. When the index of its newest checkpoint is damaged or missing, it
    /// is made again of the data files, as [`crate::rebuild_index`] does it, which reads all of them; where
    /// that would lose something, opening goes on from an older checkpoint and the log behind it.
    ///
    /// # Errors
    /// `FileOpen` when another process has it; `CorruptRecord` when its MANIFEST cannot be read;
    /// `WalCorrupt` when its log is damaged where it had been durable; `CrcMismatch`,
    /// `CorruptRecord` or `FileOpen` that name an index file when the index cannot be made again
    /// without doubt about what was lost; the disk's.
    pub fn open(
        env: &Environment,
        dir: &Path,
        options: Options,
        budget: &Budget,
    ) -> Result<(Self, OpenReport)> {
        options.validate()?;
        let held = take_lock(&env.disk, dir)?;
        let (mut file, mut manifest) = ManifestFile::open(&env.disk, dir)?;
        let report = OpenReport::default();
        let (replayed_bytes, lost_changes) = (0, 0);
        let mut opening =
            Opening { env, dir, options: &options, report, replayed_bytes, lost_changes };
        let Loaded { at, state, log, applied } = opening.load(&mut file, &mut manifest)?;
        if at + 1 < manifest.checkpoints.len() {
            // Data files are written on behind what this checkpoint has: the newer ones, whose
            // records were there, must not be tried again.
            manifest.checkpoints.truncate(at + 1);
            file.store(&manifest)?;
        }
        // Files of numbers that are given again would be in the way.
        remove_leftovers(&env.disk, dir, &manifest)?;
        let Opening { report, replayed_bytes, lost_changes, .. } = opening;
        let parts =
            Parts { held, file, manifest, state, log, applied, replayed_bytes, lost_changes };
        let inner = assemble(env, dir, &options, budget, parts)?;
        if options.log.background == wal::Background::Threads {
            inner.background.start(&inner);
        }
        Ok((Self { inner }, report))
    }

    /// Closes the database: nothing more is admitted, everything is moved into data files, and the
    /// log is closed. Other clones answer `DbNotOpen` from then on.
    ///
    /// # Errors
    /// `ReadOnly` when a sync had failed before, the disk's; it is closed all the same, and what
    /// was acknowledged as durable is in the log.
    pub fn close(&self) -> Result<()> {
        self.inner.close()
    }
}

/// Builds a database's directory: `fill` gets the directory under a temporary name and the log's
/// directory in it. What there is once the name is `dir` is what `fill` has made, durable. When it
/// fails, what it has made is removed as far as the disk allows: a full one has its room back.
pub(crate) fn build<T>(
    disk: &DiskRef,
    dir: &Path,
    name: &Name,
    fill: impl FnOnce(&Path, &Path) -> Result<T>,
) -> Result<T> {
    if disk.stat(dir).map_err(|e| StoreError::io(Op::Open, dir, e))?.is_some() {
        return Err(StoreError::DbExists(name.clone()));
    }
    let building = beside(dir, ".new");
    remove_tree(disk, &building)?;
    let make = |path: &Path| disk.create_dir(path).map_err(|e| StoreError::io(Op::Write, path, e));
    make(&building)?;
    let log_dir = building.join(LOG_DIR);
    make(&log_dir)?;
    let filled = fill(&building, &log_dir).and_then(|filled| {
        sync_dir(disk, &building)?;
        disk.rename(&building, dir).map_err(|e| StoreError::io(Op::Write, dir, e))?;
        Ok(filled)
    });
    let filled = filled.inspect_err(|_| {
        if let Err(error) = remove_tree(disk, &building) {
            tracing::warn!(%error, "what is left of a database in the making stays for now");
        }
    })?;
    if let Some(parent) = dir.parent() {
        sync_dir(disk, parent).inspect_err(|_| take_back(disk, dir))?;
    }
    Ok(filled)
}

/// Takes away a database that was made just now and that cannot be opened, as far as the disk
/// allows. A crash leaves it whole or under the name of one in the making.
pub(crate) fn take_back(disk: &DiskRef, dir: &Path) {
    let building = beside(dir, ".new");
    let renamed = disk.rename(dir, &building).map_err(|e| StoreError::io(Op::Write, dir, e));
    let removed = renamed.and_then(|()| {
        dir.parent().map_or(Ok(()), |parent| sync_dir(disk, parent))?;
        remove_tree(disk, &building)
    });
    if let Err(error) = removed {
        tracing::warn!(%error, "a database that was made and cannot be opened stays for now");
    }
}

/// What was found on the disk.
struct Parts {
    held: Box<dyn Lock>,
    file: ManifestFile,
    manifest: Manifest,
    state: State,
    log: Log,
    /// The newest change that the state has: behind it the log has notes of its own.
    applied: Lsn,
    replayed_bytes: u64,
    lost_changes: u64,
}

/// Builds the open database out of what was found.
fn assemble(
    env: &Environment,
    dir: &Path,
    options: &Options,
    budget: &Budget,
    parts: Parts,
) -> Result<Arc<Inner>> {
    let Parts { held, file, manifest, state, log, applied, replayed_bytes, lost_changes } = parts;
    let oldest = manifest.checkpoints.first().map_or(Lsn::ZERO, |oldest| oldest.lsn);
    let marks = Marks {
        checkpoint: log.mark("checkpoint", Hold::Unlimited, oldest),
        parity: Mutex::new(parity_mark(&log, manifest.hold.min(oldest))),
        changes: Mutex::new(options.hold_changes.then(|| crate::feed::opening_mark(&log))),
    };
    let newest = manifest.newest();
    let writer = continued(env, dir, &manifest);
    let unfinished = newest.files.iter().filter(|file| !file.finished);
    let unprotected =
        unfinished.map(|file| (file.number, vec![(file.verified_len, manifest.hold)]));
    let job = Job {
        writer,
        holds: manifest.checkpoints.iter().map(|kept| (kept.lsn, manifest.hold)).collect(),
        unprotected: unprotected.collect(),
        unreadable: Vec::new(),
        kept: BTreeMap::new(),
        scrub: crate::heal::ScrubCursor::default(),
        file,
        is_uncertain: false,
        manifest: manifest.clone(),
    };
    let limit = budget.stats().limit.min(options.memory_bytes_max);
    let budget = budget.child(manifest.name.as_str(), limit);
    let reservation = budget.reserve("documents in memory", 0)?;
    let highest = state.collections.highest().map_or(0, |number| number.0);
    // Each of the changes that the log has lost may have used a number.
    let lost = u32::try_from(lost_changes.min(LOST_NUMBERS_MAX)).unwrap_or(0);
    let next_collection = manifest.next_collection.max(highest.saturating_add(1));
    let epoch = log.epoch();
    Ok(Arc::new(Inner {
        env: env.clone(),
        dir: dir.to_path_buf(),
        options: options.clone(),
        id: manifest.database,
        name: manifest.name.clone(),
        created: manifest.created,
        marks,
        core: Mutex::new(Core),
        job: Mutex::new(job),
        snapshots: Mutex::new(Snapshots::default()),
        next_collection: AtomicU32::new(next_collection.saturating_add(lost)),
        // What was replayed would be replayed again: it counts towards the next checkpoint.
        since_checkpoint: AtomicU64::new(replayed_bytes),
        applied: AtomicU64::new(applied.0),
        epoch: AtomicU64::new(epoch),
        closed: AtomicBool::new(false),
        starving: AtomicUsize::new(0),
        hungry: AtomicBool::new(false),
        budget,
        reservation: Mutex::new(reservation),
        reserved: AtomicU64::new(0),
        counters: Counters::since(manifest.newest().wall),
        shown: Mutex::new(Shown::of(&manifest)),
        flushed: Default::default(),
        background: Background::default(),
        held: Mutex::new(Some(held)),
        state: RwLock::new(state),
        log,
    }))
}

/// Opens a data file. One whose header is damaged is opened by the layout in which its data makes
/// sense, `preferred` first: its records verify by themselves, and a scrub writes the header anew.
pub(crate) fn open_file(
    disk: &DiskRef,
    dir: &Path,
    database: DatabaseId,
    record: &FileRecord,
    preferred: Layout,
) -> std::result::Result<DataFile, DataError> {
    let identity = FileIdentity { database, number: record.number };
    let damaged = match DataFile::open(disk, dir, identity, record.verified_len) {
        Err(error @ DataError::Corrupt { .. }) => error,
        opened => return opened,
    };
    tracing::error!(file = %record.number, error = %damaged, "a header of a data file is lost");
    let open = |layout| {
        let header = FileHeader { identity, layout };
        DataFile::open_without_header(disk, dir, header, record.verified_len)
    };
    let others = [Geometry::Standard, Geometry::Tiny]
        .into_iter()
        .flat_map(|geometry| [Parity::On, Parity::Off].map(|parity| Layout { geometry, parity }));
    for layout in std::iter::once(preferred).chain(others) {
        let file = open(layout)?;
        if makes_sense(&file)? {
            return Ok(file);
        }
    }
    open(preferred)
}

/// Whether a file that was opened without its header begins as its layout says.
fn makes_sense(file: &DataFile) -> std::result::Result<bool, DataError> {
    if file.complete_len() > 0 {
        return Ok(!matches!(file.check_stripe(0)?, Condition::Lost(_)));
    }
    let first = file.records(0..file.verified_len(), Payloads::Skip).next().transpose()?;
    Ok(matches!(first, Some(Found::Record(_))))
}

/// The writer of the newest data file that is not finished. One that cannot be continued is left
/// as it is: the next flush begins another, and compaction takes this one.
pub(crate) fn continued(env: &Environment, dir: &Path, manifest: &Manifest) -> Option<DataWriter> {
    let unfinished = manifest.newest().files.iter().rev().find(|file| !file.finished)?;
    let identity = FileIdentity { database: manifest.database, number: unfinished.number };
    // What an older checkpoint would fall back upon is below the verified length: never rewritten.
    match DataWriter::open_at(&env.disk, dir, identity, unfinished.verified_len) {
        Ok(writer) => Some(writer),
        Err(error) => {
            tracing::warn!(file = %unfinished.number, %error, "a data file is not continued");
            None
        }
    }
}

pub(crate) fn take_lock(disk: &DiskRef, dir: &Path) -> Result<Box<dyn Lock>> {
    let path = dir.join(LOCK_NAME);
    disk.lock(&path).map_err(|e| {
        if e.kind() == std::io::ErrorKind::WouldBlock {
            wal::WalError::Locked(path).into()
        } else {
            StoreError::io(Op::Open, path, e)
        }
    })
}

/// `<dir><suffix>`.
pub(crate) fn beside(dir: &Path, suffix: &str) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes a directory and what is in it, if it is there.
pub(crate) fn remove_tree(disk: &DiskRef, dir: &Path) -> Result<()> {
    base::io::remove_tree(&**disk, dir).map(drop).map_err(|e| StoreError::io(Op::Write, dir, e))
}

impl Inner {
    pub(crate) fn close(&self) -> Result<()> {
        // A second caller waits here until the first is done.
        let mut held = lock(&self.held);
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.background.stop();
        let kept = if self.log.is_poisoned() {
            Ok(())
        } else {
            self.checkpoint(Compact::Nothing).map(drop)
        };
        let closed = self.log.close();
        held.take();
        kept.and(closed.map_err(StoreError::from))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(database = %self.name, %error, "the database was not closed cleanly");
        }
    }
}
