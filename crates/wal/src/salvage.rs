//! Salvage: making a log that open refuses (`WalCorrupt`) open again, without hiding what is lost.
//!
//! [`Salvage::plan`] takes the log's lock and finds out what open refuses, what is damaged and
//! what can be kept; it changes nothing. [`Salvage::apply`] then does it. [`salvage`] does both.
//! What is lost stands in the report and, as frames of kind gap, in the log itself, so that every
//! reader of the log meets it and no LSN is ever given twice.
//!
//! Everything from the first damage on goes into **one** fresh segment, for the reason recovery
//! has: its rename decides. The log before the first damage stays where it is; the fresh segment's
//! header names its end. The originals are copied into the directory `quarantine` beforehand, with
//! the report; nothing that was read is ever gone.
//!
//! What it is not: it does not repair bits, and it does not read sectors that the device refuses
//! to read: copy such a directory with a tool for that first, then salvage the copy.
//!
//! Invariants:
//! - A crash at any moment leaves a log that is refused as before, or the salvaged one.
//! - A log that open accepts is not touched.
//! - Memory is bounded by one frame and the number of damaged places.
//!
//! Where to start reading: `sources` for what is read, `plan` for what is kept, `publish` for how
//! it becomes true.

mod plan;
mod publish;
mod report;
mod sources;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::io::{DiskRef, Lock, Open};
use base::words::Lsn;

use crate::anchor::{Anchor, FileAnchor, LogState};
use crate::error::{Op, Result, WalError};
use crate::log::Environment;
use crate::options::Options;
use crate::recover::LOCK_NAME;
use crate::segment::FileName;
use crate::survey::survey;
use crate::walk::{Walk, walk};
use plan::Plan;
use publish::{Fresh, QUARANTINE};
pub use report::{DamagedPlace, DroppedTransaction, Identity, LostRange, Outcome, SalvageReport};
use sources::Sources;
pub(crate) use sources::{identify, read_header};

/// Plans the salvage of the log in `dir` and carries it out.
///
/// # Errors
/// As [`Salvage::plan`] and [`Salvage::apply`].
pub fn salvage(env: &Environment, dir: &Path, options: &Options) -> Result<SalvageReport> {
    Salvage::plan(env, dir, options)?.apply()
}

/// A salvage that has been planned. Holds the log's lock.
pub struct Salvage {
    env: Environment,
    dir: PathBuf,
    state: LogState,
    work: Work,
    report: SalvageReport,
    _held: Box<dyn Lock>,
}

/// What there is to do.
enum Work {
    Nothing,
    Manifest(Copies),
    Rewrite(Box<Rewrite>),
}

struct Rewrite {
    sources: Sources,
    plan: Plan,
    sequence: u64,
    copies: Copies,
    /// Originals that go once the fresh segment has taken their place.
    replaced: Vec<PathBuf>,
}

/// Files and where in the quarantine their copies go.
type Copies = Vec<(PathBuf, PathBuf)>;

impl std::fmt::Debug for Salvage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Salvage").field("dir", &self.dir).field("report", &self.report).finish()
    }
}

/// What opening the log in `dir` would find. Writes nothing and takes no lock. `None` for a log
/// without segments that never had any.
pub(crate) fn diagnose(
    disk: &DiskRef,
    dir: &Path,
    state: &LogState,
    options: &Options,
) -> Result<Option<Walk>> {
    let found = survey(disk, dir, state, Open::Read)?;
    if found.pieces.is_empty() {
        return found.robbed(state).map_or(Ok(None), Err);
    }
    walk(&found, state, options, &mut |_| Ok(())).map(Some)
}

impl Salvage {
    /// Reads the log in `dir` and decides what to do. Changes nothing but the lock file.
    ///
    /// # Errors
    /// `FileOpen` while another process has the log or there is none; `WalCorrupt` when nothing
    /// says which database it belongs to; the disk's.
    pub fn plan(env: &Environment, dir: &Path, options: &Options) -> Result<Self> {
        let disk = &env.disk;
        let identity = identify(disk, dir)?;
        if identity.is_none() && FileAnchor::files(disk, dir)?.is_empty() {
            return Err(WalError::NoLog(dir.to_path_buf()));
        }
        let lock = dir.join(LOCK_NAME);
        let held = disk.lock(&lock).map_err(|e| WalError::lock(lock, e))?;
        let (state, manifest_refusal) = match FileAnchor::peek(disk, dir) {
            Ok(state) => (Some(state), None),
            Err(e @ WalError::Manifest(_)) if !FileAnchor::is_newer(disk, dir)? => (None, Some(e)),
            Err(e) => return Err(e),
        };
        let (mut state, identity) = match (state, identity) {
            (Some(state), _) => (state, Identity::Manifest),
            (None, Some((database, sequence))) => {
                (LogState::unknown(database), Identity::SegmentHeader(sequence))
            }
            (None, None) => {
                let why = "neither the manifest nor any segment header can be read, so nothing \
                           says which database it belongs to";
                return Err(refuse(why.to_owned()));
            }
        };
        let mut gathered = None;
        if manifest_refusal.is_some() {
            let mut sources = Sources::gather(disk, dir, &state)?;
            state = sources.derive(state);
            gathered = Some(sources);
        }
        let report = SalvageReport::new(state, identity, manifest_refusal.as_ref());
        let mut salvage = Self {
            env: env.clone(),
            dir: dir.to_path_buf(),
            state,
            work: Work::Nothing,
            report,
            _held: held,
        };
        salvage.decide(options, gathered)?;
        Ok(salvage)
    }

    fn decide(&mut self, options: &Options, gathered: Option<Sources>) -> Result<()> {
        let disk = DiskRef::clone(&self.env.disk);
        match diagnose(&disk, &self.dir, &self.state, options) {
            Ok(walked) => {
                if let Some(walked) = walked {
                    self.report.last = walked.last;
                    self.report.frames_kept = walked.frames;
                }
                if let Some(sources) = gathered {
                    self.report.outcome = Outcome::ManifestRebuilt;
                    self.report.end_unknown = true;
                    self.report.segments = sources.list.iter().map(|s| s.sequence).collect();
                    let copies = self.copies(&FileAnchor::files(&disk, &self.dir)?)?;
                    self.report.quarantined = copies.iter().map(|(_, to)| to.clone()).collect();
                    self.work = Work::Manifest(copies);
                }
                Ok(())
            }
            Err(refusal @ WalError::Corrupt(_)) => {
                self.report.refusal.get_or_insert_with(|| refusal.to_string());
                let rebuilt = gathered.is_some();
                let sources = match gathered {
                    Some(sources) => sources,
                    None => Sources::gather(&disk, &self.dir, &self.state)?,
                };
                self.rewrite(sources, rebuilt)
            }
            Err(e) => Err(e),
        }
    }

    /// Plans what becomes of the segments.
    fn rewrite(&mut self, sources: Sources, manifest_too: bool) -> Result<()> {
        let plan = plan::plan(&sources, &self.state)?;
        let sequence = sources.max_sequence + 1;
        let replaced: Vec<PathBuf> = sources
            .files
            .range(plan.cut.sequence + 1..)
            .map(|(_, (path, _))| path.clone())
            .collect();
        let mut originals = Vec::new();
        let read = sources.list.iter().find(|source| source.sequence == plan.cut.sequence);
        originals.extend(read.map(|source| source.path.clone()));
        originals.extend(replaced.iter().cloned());
        if manifest_too {
            originals.extend(FileAnchor::files(&self.env.disk, &self.dir)?);
        }
        let copies = self.copies(&originals)?;
        let report = &mut self.report;
        report.outcome = Outcome::Rewritten(sequence);
        report.segments = sources.list.iter().map(|source| source.sequence).collect();
        report.damaged.clone_from(&plan.damaged);
        report.lost.clone_from(&plan.lost);
        report.dropped.clone_from(&plan.dropped);
        report.last = plan.last;
        report.frames_kept = plan.frames_kept;
        report.frames_rewritten = plan.tail_frames;
        report.frames_cut = plan.frames_cut;
        report.end_unknown = plan.newest_missing || manifest_too;
        report.quarantined = copies.iter().map(|(_, to)| to.clone()).collect();
        let rewrite = Rewrite { sources, plan, sequence, copies, replaced };
        self.work = Work::Rewrite(Box::new(rewrite));
        Ok(())
    }

    fn copies(&self, originals: &[PathBuf]) -> Result<Copies> {
        let place = |from: &PathBuf| {
            publish::place(&self.env.disk, &self.dir, from).map(|to| (from.clone(), to))
        };
        originals.iter().map(place).collect()
    }

    /// What was found, and what [`Salvage::apply`] will do.
    #[must_use]
    pub fn report(&self) -> &SalvageReport {
        &self.report
    }

    /// Does what was planned; durable on return. Needs room for a copy of every file in
    /// [`SalvageReport::quarantined`] and for the fresh segment.
    ///
    /// # Errors
    /// `DiskFull` and the disk's. The log is then refused as before or salvaged already: planning
    /// again tells which.
    pub fn apply(self) -> Result<SalvageReport> {
        match &self.work {
            Work::Nothing => {}
            Work::Manifest(copies) => {
                self.quarantine(copies, "manifest")?;
                FileAnchor::replace(&self.env.disk, &self.dir, &self.state)?;
            }
            Work::Rewrite(rewrite) => self.carry_out(rewrite)?,
        }
        Ok(self.report)
    }

    fn quarantine(&self, copies: &Copies, name: &str) -> Result<()> {
        let path = self.dir.join(QUARANTINE).join(format!("salvage-{name}.txt"));
        let text = self.report.to_string();
        publish::quarantine(&self.env.disk, &self.dir, copies, (&path, &text))
    }

    fn carry_out(&self, rewrite: &Rewrite) -> Result<()> {
        let Rewrite { sources, plan, sequence, copies, replaced } = rewrite;
        let disk = &self.env.disk;
        self.quarantine(copies, &format!("{sequence:016x}"))?;
        let fresh = Fresh {
            disk,
            dir: &self.dir,
            database: self.state.database,
            sequence: *sequence,
            now_ms: self.env.clock.wall().0,
            plan,
            sources,
            borders: [self.state.replay_lsn, self.state.durable_lsn],
        };
        fresh.publish()?;
        let mut state = self.state;
        state.newest_segment = *sequence;
        state.durable_lsn = plan.last;
        if !sources.files.contains_key(&plan.cut.sequence) {
            state.first_segment = *sequence;
        }
        match self.report.identity {
            Identity::Manifest => FileAnchor::open(disk, &self.dir)?.store(&state)?,
            Identity::SegmentHeader(_) => FileAnchor::replace(disk, &self.dir, &state)?,
        }
        for path in replaced {
            disk.remove_file(path).map_err(|e| WalError::io(Op::Write, path, e))?;
        }
        disk.sync_dir(&self.dir).map_err(|e| WalError::io(Op::Sync, &self.dir, e))?;
        let lost = self.report.lost_count();
        let segment = FileName::Segment(*sequence).path(&self.dir);
        tracing::warn!(lost, segment = %segment.display(), "a damaged log was salvaged");
        Ok(())
    }
}

fn refuse(why: String) -> WalError {
    WalError::Salvage(Arc::from(why))
}

impl Sources {
    /// What the manifest would say, as far as the segments tell: replay starts at the first frame.
    fn derive(&mut self, unknown: LogState) -> LogState {
        let Some(oldest) = self.list.first_mut() else { return unknown };
        // Whether what came before was trimmed or lost, nothing tells any more.
        oldest.missing_before = None;
        LogState {
            first_segment: oldest.sequence,
            newest_segment: self.max_sequence,
            replay_lsn: oldest.first.map_or(Lsn::ZERO, |first| Lsn(first.0 - 1)),
            durable_lsn: self.durable,
            ..unknown
        }
    }
}
