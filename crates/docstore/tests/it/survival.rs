//! What must hold of a database that a crash left.
//!
//! The notes of its life say which states it went through and how far they were promised. It must
//! hold one of them, whole, not older than the promise for this kind of crash; everything that can
//! be asked must agree with it; and it must stay so, whatever comes next. Start with [`check`].

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::clock::WallMs;
use base::error::{Code, Coded as _};
use base::words::{CollectionId, DocId, Lsn, Name};
use docstore::data::Layout;
use docstore::{
    CheckpointReport, DEFAULT_COLLECTION, Database, HealReport, Options, Result, ScanRequest,
    Stored, Write, inspect_manifest,
};
use sim::VirtualClock;
use sim::crash::{Limits, Mode, Point, Recorder, Report, enumerate, record};
use sim::disk::{Crash, FaultDisk, Loss, Rot};
use wal::inspect::{Role, SegmentInspection};

use crate::life::{Model, Note, data_files, index_files, open, rot_data, told};
use crate::world::{DIR, document};

/// What a database holds, as its readers see it.
pub(crate) type Seen = BTreeMap<Name, (CollectionId, BTreeMap<DocId, Stored>)>;

/// How far a check goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Recovery and what it serves, then closing.
    Recovery,
    /// Also that what it served survives further crashes and damage, and that it can go on.
    Aftermath,
}

/// What was tried, in order, and what was promised.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    created: bool,
    damaged: bool,
    tried: Vec<Arc<Model>>,
    /// Acknowledged: no kill may take it.
    acknowledged: Lsn,
    /// Durable: no power loss may take it.
    durable: Lsn,
}

impl Promises {
    /// Of the notes made before a crash.
    pub(crate) fn of(notes: &[Note]) -> Self {
        let mut promises = Self::default();
        for note in notes {
            match note {
                Note::Created => promises.created = true,
                Note::Tried(model) => promises.tried.push(Arc::clone(model)),
                Note::Refused => drop(promises.tried.pop()),
                Note::Acknowledged(lsn) => promises.acknowledged = *lsn,
                Note::Durable(lsn) => promises.durable = promises.durable.max(*lsn),
                Note::Damaged => promises.damaged = true,
            }
        }
        promises
    }

    /// The newest LSN that a crash of this kind must leave.
    pub(crate) fn owed(&self, power_lost: bool, options: &Options) -> Lsn {
        match (power_lost, options.log.fsync.syncs_before_ack()) {
            (true, false) => self.durable,
            (true, true) | (false, _) => self.acknowledged,
        }
    }

    /// The newest of the states that the database may be in which is what it holds.
    ///
    /// # Errors
    /// Says how what it holds differs from all of them.
    pub(crate) fn found(
        &self,
        seen: &Seen,
        now: WallMs,
        owed: Lsn,
        position: Lsn,
    ) -> std::result::Result<Arc<Model>, String> {
        // A state with later changes may look the same: what expired and was deleted then.
        let tried = self.tried.iter().rev().filter(|model| model.last <= position);
        let found = tried.into_iter().find(|model| is_same(model, seen, now));
        match found {
            Some(model) => {
                // A state that only expired documents tell from a newer one is as good as that.
                let newest = self.tried.iter().rev().find(|model| model.last <= owed);
                let is_owed = newest.is_some_and(|newest| is_same(newest, seen, now));
                if model.last >= newest.map_or(Lsn::ZERO, |newest| newest.last) || is_owed {
                    return Ok(Arc::clone(model));
                }
                Err(format!("lost: promised up to {owed}, found up to {}", model.last))
            }
            None => Err(format!(
                "no state that it was ever in; promised up to {owed}\nfound: {}\ntried last: {}",
                brief(seen),
                self.tried.last().map_or(String::new(), |model| model.brief(now)),
            )),
        }
    }
}

/// A document on a line.
fn line(id: &DocId, stored: &Stored) -> String {
    let text = String::from_utf8_lossy(stored.document.as_bytes()).into_owned();
    let short: String = text.chars().take(12).collect();
    format!(" {id}@{}{short}", stored.revision)
}

fn brief(seen: &Seen) -> String {
    let all = seen.iter().map(|(name, (number, documents))| {
        let documents: String = documents.iter().map(|(id, stored)| line(id, stored)).collect();
        format!("{name}({number}):{documents} ")
    });
    all.collect()
}

impl Model {
    fn brief(&self, now: WallMs) -> String {
        let all = self.collections.iter().map(|(name, holding)| {
            let live = holding.documents.iter().filter(|(_, stored)| is_live(stored, now));
            let documents: String = live.map(|(id, stored)| line(id, stored)).collect();
            format!("{name}({:?}):{documents} ", holding.number)
        });
        all.collect()
    }
}

fn is_live(stored: &Stored, now: WallMs) -> bool {
    stored.expires_at.is_none_or(|at| at > now)
}

/// Whether `seen` is what readers see of the model.
pub(crate) fn is_same(model: &Model, seen: &Seen, now: WallMs) -> bool {
    model.collections.len() == seen.len()
        && model.collections.iter().all(|(name, holding)| {
            let live = holding.documents.iter().filter(|(_, stored)| is_live(stored, now));
            seen.get(name).is_some_and(|(number, documents)| {
                holding.number.is_none_or(|known| known == *number) && live.eq(documents)
            })
        })
}

/// Reads everything in every way there is.
///
/// # Errors
/// The database's own.
///
/// # Panics
/// When two ways disagree.
pub(crate) fn observe(db: &Database) -> Result<Seen> {
    let mut seen = Seen::new();
    for collection in db.collections()? {
        let number = collection.collection;
        let mut documents = BTreeMap::new();
        let mut request = Some(ScanRequest::all(number, 3));
        while let Some(next) = request {
            let page = db.scan(&next)?;
            for (id, stored) in page.documents {
                assert!(documents.insert(id, stored).is_none(), "a scan shows a document twice");
            }
            request = page.next;
        }
        for (id, stored) in &documents {
            let got = db.get(number, id)?;
            assert_eq!(got.as_ref(), Some(stored), "reading {id} differs from scanning it");
        }
        let count = db.count(number)?;
        assert_eq!(count, documents.len() as u64, "{number} is counted wrongly");
        assert_eq!(db.collection(&collection.name)?, number);
        seen.insert(collection.name, (number, documents));
    }
    Ok(seen)
}

/// Checks what a crash left against what was promised before it.
///
/// # Errors
/// What is wrong.
pub(crate) fn check(
    disk: &FaultDisk,
    clock: &VirtualClock,
    notes: &[Note],
    power_lost: bool,
    options: &Options,
    depth: Depth,
) -> std::result::Result<(), String> {
    let promises = Promises::of(notes);
    let db = match open(&disk.shared(), clock, options) {
        Ok(db) => db,
        // It was being made and has no name yet.
        Err(_) if !promises.created && is_missing(disk) => return Ok(()),
        Err(error) => return Err(format!("open: {}", told(&error))),
    };
    if !promises.created {
        return db.close().map_err(|error| format!("close: {}", told(&error)));
    }
    let seen = observe(&db).map_err(|error| format!("read: {}", told(&error)))?;
    let owed = promises.owed(power_lost, options);
    promises.found(&seen, db.now(), owed, db.position())?;
    let stats = db.stats().map_err(|error| told(&error))?;
    if stats.log.durable != stats.log.visible {
        return Err(format!(
            "served up to {}, durable is {}",
            stats.log.visible, stats.log.durable
        ));
    }
    is_clean(&db, promises.damaged)?;
    if depth == Depth::Aftermath {
        survives(disk, clock, &seen, options)?;
        survives_damage(disk, clock, &seen, options)?;
        survives_without_index(disk, clock, &seen, options, promises.damaged)?;
        // What stood at a damaged place in a data file, the log alone may have.
        if !promises.damaged {
            survives_without_index_and_log(disk, clock, &seen, options)?;
            survives_without_newest(disk, clock, &seen, options)?;
        }
        goes_on(disk, clock, &db, seen, options)?;
    }
    db.close().map_err(|error| format!("close: {}", told(&error)))
}

fn is_missing(disk: &FaultDisk) -> bool {
    disk.shared().stat(Path::new(DIR)).expect("a fault-free disk").is_none()
}

/// A scrub finds nothing, or what was damaged before; the next finds nothing.
fn is_clean(db: &Database, damaged: bool) -> std::result::Result<(), String> {
    let scrub = || db.heal_all().map_err(|error| format!("scrub: {}", told(&error)));
    let first = scrub()?;
    let second = scrub()?;
    let clean = |report: &HealReport| report.blocks_healed == 0 && report.corrupted == 0;
    if !first.unrecoverable.is_empty() || !db.quarantine().is_empty() {
        return Err(format!("lost for good: {first:?}"));
    }
    // What the log had to heal is damaged in its file until the next checkpoint.
    if !(clean(&first) || damaged) || second.blocks_healed > 0 {
        return Err(format!("the scrub found {first:?}, then {second:?}"));
    }
    Ok(())
}

fn crashes(seed: u64) -> [Crash; 3] {
    [Crash::PowerLoss(Loss::Everything), Crash::PowerLoss(Loss::Seeded(seed)), Crash::Kill]
}

fn reopened(
    disk: &FaultDisk,
    clock: &VirtualClock,
    options: &Options,
) -> std::result::Result<(Database, Seen), String> {
    let db = open(&disk.shared(), clock, options);
    let db = db.map_err(|error| format!("opening again: {}", told(&error)))?;
    let seen = observe(&db).map_err(|error| format!("reading again: {}", told(&error)))?;
    Ok((db, seen))
}

fn same(seen: &Seen, again: &Seen, when: &str) -> std::result::Result<(), String> {
    if seen == again {
        return Ok(());
    }
    Err(format!("{when}: served {}\nthen found {}", brief(seen), brief(again)))
}

/// What was served survives another crash of any kind.
fn survives(
    disk: &FaultDisk,
    clock: &VirtualClock,
    seen: &Seen,
    options: &Options,
) -> std::result::Result<(), String> {
    for crash in crashes(1) {
        let (_db, again) = reopened(&disk.crash(&crash), clock, options)?;
        same(seen, &again, "after another crash")?;
    }
    Ok(())
}

/// What was served survives the loss of one block of every data file.
fn survives_damage(
    disk: &FaultDisk,
    clock: &VirtualClock,
    seen: &Seen,
    options: &Options,
) -> std::result::Result<(), String> {
    let at_rest = disk.crash(&Crash::Kill);
    for path in data_files(&at_rest) {
        let fork = at_rest.fork();
        let long = fork.peek(&path).is_some_and(|bytes| bytes.len() > 1024 + 181);
        if long {
            rot_data(&fork, &path, 120);
            let (_db, again) = reopened(&fork, clock, options)?;
            same(seen, &again, "after damage to a data file")?;
        }
    }
    Ok(())
}

/// What was served survives the loss of each index file, and of all: opening makes them again. Data
/// that is damaged beside it may leave a doubt; then that is the answer.
fn survives_without_index(
    disk: &FaultDisk,
    clock: &VirtualClock,
    seen: &Seen,
    options: &Options,
    damaged: bool,
) -> std::result::Result<(), String> {
    let at_rest = disk.crash(&Crash::Kill);
    let paths = index_files(&at_rest);
    let flip = |path: &PathBuf| Rot::Flip { path: path.clone(), offset: 20, mask: 1 };
    let remove = |path: &PathBuf| Rot::Remove { path: path.clone() };
    let mut cases: Vec<Vec<Rot>> = paths.iter().map(|path| vec![flip(path)]).collect();
    cases.push(paths.iter().map(remove).collect());
    for rots in cases.into_iter().filter(|rots| !rots.is_empty()) {
        let fork = at_rest.fork();
        rots.iter().for_each(|rot| fork.rot(rot).expect("the file is there"));
        match open(&fork.shared(), clock, options) {
            Ok(db) => {
                let again = observe(&db).map_err(|error| format!("reading: {}", told(&error)))?;
                same(seen, &again, &format!("after {rots:?}"))?;
            }
            Err(error) if damaged && matches!(error.code(), Code::CrcMismatch | Code::FileOpen) => {
            }
            Err(error) => return Err(format!("{rots:?}: {}", told(&error))),
        }
    }
    Ok(())
}

thread_local! {
    /// How often an index and the log that its checkpoint covers were damaged both.
    static DOUBLE: Cell<u64> = const { Cell::new(0) };
}

/// How often an index and the log that its checkpoint covers were damaged both, since this was asked last.
pub(crate) fn doubly_damaged() -> u64 {
    DOUBLE.with(Cell::take)
}

/// What was served survives that the log is damaged where the newest checkpoint covers it, and that checkpoint's index
/// beside it: the data files have everything that the two had.
fn survives_without_index_and_log(
    disk: &FaultDisk,
    clock: &VirtualClock,
    seen: &Seen,
    options: &Options,
) -> std::result::Result<(), String> {
    let at_rest = disk.crash(&Crash::Kill);
    let found = inspect_manifest(&at_rest.shared(), Path::new(DIR));
    let manifest = found.and_then(|found| found.manifest).map_err(|error| told(&error))?;
    let log = wal::inspect::inspect(&at_rest.shared(), &Path::new(DIR).join("log"), &mut |_| ())
        .map_err(|error| error.to_string())?;
    // The log may know of a checkpoint before only: then it still needs what is behind that one.
    let known =
        log.manifest.and_then(std::result::Result::ok).map_or(Lsn::ZERO, |log| log.replay_lsn);
    let covered = manifest.newest().lsn.min(known);
    let is_covered = |segment: &&SegmentInspection| {
        segment.role == Role::Log && segment.lsns.is_some_and(|(_, to)| to <= covered)
    };
    let Some(segment) = log.segments.iter().rfind(is_covered) else { return Ok(()) };
    let Some(index) = manifest.newest().index.last() else { return Ok(()) };
    let flip = |path: PathBuf, offset| Rot::Flip { path, offset, mask: 1 };
    at_rest.rot(&flip(segment.path.clone(), segment.end / 2)).expect("the file is there");
    if let Err(error) = open(&at_rest.fork().shared(), clock, options) {
        // A transaction that ends behind the checkpoint begins there.
        let is_needed = error.code() == Code::WalCorrupt;
        return if is_needed { Ok(()) } else { Err(format!("log alone: {}", told(&error))) };
    }
    let name = format!("{:016x}.idx", index.header.number);
    at_rest.rot(&flip(Path::new(DIR).join(name), 20)).expect("the file is there");
    DOUBLE.with(|count| count.set(count.get() + 1));
    let failed = |error| format!("index and log: {}", told(&error));
    let db = open(&at_rest.shared(), clock, options).map_err(failed)?;
    same(seen, &observe(&db).map_err(failed)?, "after damage to an index and the log below")
}

/// What was served survives the loss of everything that the newest checkpoint has and the one before it has not: the log
/// is kept for that.
fn survives_without_newest(
    disk: &FaultDisk,
    clock: &VirtualClock,
    seen: &Seen,
    options: &Options,
) -> std::result::Result<(), String> {
    let at_rest = disk.crash(&Crash::Kill);
    let found = inspect_manifest(&at_rest.shared(), Path::new(DIR));
    let manifest = found.and_then(|found| found.manifest).map_err(|error| told(&error))?;
    let [.., older, newest] = manifest.checkpoints.as_slice() else { return Ok(()) };
    let index = newest.index.iter().filter(|file| !older.index.contains(file));
    for file in index {
        let path = Path::new(DIR).join(format!("{:016x}.idx", file.header.number));
        at_rest.rot(&Rot::Remove { path }).expect("the file is there");
    }
    let layout = Layout { geometry: options.geometry, parity: options.parity };
    for file in &newest.files {
        let path = file.number.path(Path::new(DIR));
        let before = older.files.iter().find(|before| before.number == file.number);
        let rot = match before {
            None => Rot::Remove { path },
            Some(before) if before.verified_len < file.verified_len => {
                Rot::Truncate { path, len: layout.file_offset(before.verified_len) }
            }
            Some(_) => continue,
        };
        at_rest.rot(&rot).expect("the file is there");
    }
    let failed = |error| format!("without the newest checkpoint: {}", told(&error));
    let db = open(&at_rest.shared(), clock, options).map_err(failed)?;
    same(seen, &observe(&db).map_err(failed)?, "without what the newest checkpoint has")
}

/// It takes a write and a collection, moves them to data files, and has them after power loss.
fn goes_on(
    disk: &FaultDisk,
    clock: &VirtualClock,
    db: &Database,
    mut seen: Seen,
    options: &Options,
) -> std::result::Result<(), String> {
    let failed = |what: &str, error: &docstore::StoreError| format!("{what}: {}", told(error));
    let id = DocId::U64(77);
    let put = Write::upsert(DEFAULT_COLLECTION, id.clone(), document(77));
    let revision = db.write(put).map_err(|e| failed("write after recovery", &e))?.revision;
    let name = Name::new("later").expect("a name");
    let number = db.create_collection(&name).map_err(|e| failed("create after recovery", &e))?;
    if seen.values().any(|(used, _)| *used == number) {
        return Err(format!("{number} is given to a second collection"));
    }
    let report: CheckpointReport =
        db.checkpoint().map_err(|e| failed("checkpoint after recovery", &e))?;
    if report.lsn.is_none() {
        return Err("a checkpoint with something to do did nothing".to_owned());
    }
    let stored = Stored { revision, expires_at: None, document: document(77) };
    for (at, documents) in seen.values_mut() {
        if *at == DEFAULT_COLLECTION {
            documents.insert(id.clone(), stored.clone());
        }
    }
    seen.insert(name, (number, BTreeMap::new()));
    for crash in crashes(2) {
        let (_db, again) = reopened(&disk.crash(&crash), clock, options)?;
        same(&seen, &again, "after one more write and checkpoint")?;
    }
    Ok(())
}

/// Whether a crash point is a loss of power.
pub(crate) fn power_lost(point: &Point) -> bool {
    matches!(point.mode, Mode::PowerLoss(_))
}

/// Crashes the recovery of `disk` at every moment and recovers again.
///
/// # Errors
/// What is wrong.
pub(crate) fn nested_crashes(
    disk: &FaultDisk,
    clock: &VirtualClock,
    notes: &[Note],
    power: bool,
    options: &Options,
) -> std::result::Result<Report, String> {
    let again = record(&disk.fork(), |disk, _: &Recorder<()>| {
        if let Ok(db) = open(&disk.shared(), clock, options) {
            // A crash does not close.
            std::mem::forget(db);
        }
    });
    let limits = Limits { exhaustive_max: 4, samples: 2, ..Limits::default() };
    enumerate(&again, &limits, |disk, _, point| {
        check(disk, clock, notes, power || power_lost(point), options, Depth::Recovery)
    })
    .map_err(|failure| format!("in recovery: {failure}"))
}
