//! Every state a crash could leave: record a workload once, then visit them all.
//!
//! [`record`] runs a workload on a [`FaultDisk`] and keeps an image after every mutating call,
//! together with the workload's own marks (what it acknowledged, and when). [`enumerate`] then
//! takes every prefix of those calls, builds every state that a kill or a power loss at that
//! moment could leave (`crash/plans.rs` says which), and hands each distinct one to a check.
//!
//! A check gets a disk of its own. To test that recovery survives a crash itself, it records the
//! recovery on that disk and enumerates again:
//!
//! ```
//! use sim::crash::{Limits, enumerate, record};
//! use sim::disk::FaultDisk;
//! # use std::path::Path;
//! # use base::io::{Disk, Open};
//! # fn recover(_: &FaultDisk) {}
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let recording = record(&FaultDisk::new(), |disk, recorder| {
//!     let file = disk.open(Path::new("/a"), Open::CreateNew).unwrap();
//!     file.write_at(b"x", 0).unwrap();
//!     file.sync_data().unwrap();
//!     disk.sync_dir(Path::new("/")).unwrap();
//!     recorder.acknowledge("x");
//! });
//! let report = enumerate(&recording, &Limits::default(), |disk, acknowledged: &[&str], _| {
//!     let again = record(disk, |disk, _: &sim::crash::Recorder<()>| recover(disk));
//!     enumerate(&again, &Limits::default(), |disk, _, _| {
//!         let found = disk.peek(Path::new("/a"));
//!         match acknowledged {
//!             [] => Ok(()),
//!             _ if found.as_deref() == Some(b"x") => Ok(()),
//!             _ => Err(format!("lost: {found:?}")),
//!         }
//!     })
//!     .map(|_| ())
//!     .map_err(|failure| failure.to_string())
//! })?;
//! assert!(report.distinct > 4);
//! # Ok(())
//! # }
//! ```

mod plans;
mod report;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use base::rng::Rng;

use crate::disk::{Call, DataOp, Fate, FaultDisk, Image, Pending, Step, mix};
use crate::seed::panic_message;
pub use report::{Failure, Report};

/// Where a workload notes what it has promised. Clones note into the same list.
#[derive(Debug)]
pub struct Recorder<A> {
    disk: FaultDisk,
    marks: Arc<Mutex<Vec<(usize, A)>>>,
}

impl<A> Clone for Recorder<A> {
    fn clone(&self) -> Self {
        Self { disk: self.disk.clone(), marks: Arc::clone(&self.marks) }
    }
}

impl<A> Recorder<A> {
    /// Notes that `what` holds from now on: every crash after this moment is checked with it.
    pub fn acknowledge(&self, what: A) {
        // The position is read under the marks' lock, so that the list is in order of position
        // when several threads acknowledge.
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.push((self.disk.recorded(), what));
    }

    /// How many mutating calls have been recorded.
    #[must_use]
    pub fn position(&self) -> usize {
        self.disk.recorded()
    }
}

/// A workload as it ran: its mutating calls, the image after each, and its marks.
#[derive(Debug)]
pub struct Recording<A> {
    start: Image,
    steps: Vec<Step>,
    positions: Vec<usize>,
    marks: Vec<A>,
    /// The size of the volume at the start.
    capacity: Option<u64>,
}

/// Runs `workload` on `disk` and records it. The disk is changed by it; what it held before is
/// where the first prefix starts, unsynced calls included. One recording at a time per disk: a
/// second ends the first.
pub fn record<A>(
    disk: &FaultDisk,
    workload: impl FnOnce(&FaultDisk, &Recorder<A>),
) -> Recording<A> {
    let (start, capacity) = disk.start_recording();
    let recorder = Recorder { disk: disk.clone(), marks: Arc::default() };
    workload(disk, &recorder);
    let steps = disk.take_recording();
    let marks = std::mem::take(&mut *recorder.marks.lock().unwrap_or_else(PoisonError::into_inner));
    let (positions, marks) = marks.into_iter().unzip();
    Recording { start, steps, positions, marks, capacity }
}

impl<A> Recording<A> {
    /// How many mutating calls there were; prefixes go from 0 to this.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether nothing was changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The mutating calls, in order.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.steps.iter().map(|step| &step.call)
    }

    /// What had been acknowledged when `prefix` calls had been made.
    #[must_use]
    pub fn acknowledged(&self, prefix: usize) -> &[A] {
        let n = self.positions.partition_point(|position| *position <= prefix);
        &self.marks[..n]
    }

    fn image(&self, prefix: usize) -> &Image {
        match prefix.checked_sub(1) {
            None => &self.start,
            Some(last) => &self.steps[last].image,
        }
    }

    /// The size of the volume then.
    fn capacity(&self, prefix: usize) -> Option<u64> {
        match prefix.checked_sub(1) {
            None => self.capacity,
            Some(last) => self.steps[last].capacity,
        }
    }

    /// The live disk after `prefix` calls, as the workload saw it.
    ///
    /// # Panics
    /// When there were fewer calls.
    #[must_use]
    pub fn disk_after(&self, prefix: usize) -> FaultDisk {
        FaultDisk::of(self.image(prefix).clone(), self.capacity(prefix))
    }

    /// The disk of one crash state, as the check got it: how a reported failure is looked at.
    ///
    /// # Panics
    /// When the point is not one of this recording.
    #[must_use]
    pub fn disk_at(&self, point: &Point) -> FaultDisk {
        let image = self.image(point.prefix);
        let image = match &point.mode {
            Mode::Kill => image.clone(),
            Mode::KillWithin { bytes } => self.cut_write(point.prefix, *bytes),
            Mode::PowerLoss(fates) => image.after_power_loss(fates, &image.reachable_files()),
        };
        FaultDisk::of(image, self.capacity(point.prefix))
    }

    /// The image after `prefix` calls and the first `bytes` of the next, which is a write.
    fn cut_write(&self, prefix: usize, bytes: usize) -> Image {
        let mut image = self.image(prefix).clone();
        if let Some((file, op)) = &self.steps[prefix].write
            && let DataOp::Write { offset, bytes: written } = &**op
        {
            image.write(*file, *offset, &written[..bytes]);
        }
        image
    }

    /// The length of the write that follows the prefix, 0 when no write does.
    fn next_write_len(&self, prefix: usize) -> usize {
        let step = self.steps.get(prefix);
        match step.and_then(|step| step.write.as_ref()).map(|(_, op)| &**op) {
            Some(DataOp::Write { bytes, .. }) => bytes.len(),
            Some(DataOp::SetLen(_)) | None => 0,
        }
    }
}

/// How the machine stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// The process was killed between two calls.
    Kill,
    /// The process was killed in a write, of which the first `bytes` had been done.
    KillWithin {
        /// How many; at least one and not all.
        bytes: usize,
    },
    /// Power was lost: the fate of every unsynced call, in the order of [`FaultDisk::pending`].
    PowerLoss(Vec<Fate>),
}

/// One crash: after how many mutating calls, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// How many of the recorded calls had returned.
    pub prefix: usize,
    /// How it stopped.
    pub mode: Mode,
}

/// Which kinds of crash are enumerated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modes {
    /// Kills and power losses.
    Both,
    /// Kills alone.
    Kill,
    /// Power losses alone.
    PowerLoss,
}

/// How far an enumeration goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Chooses garbage and samples. Default 1.
    pub seed: u64,
    /// The most states per prefix that are visited without sampling. Default 1024. More costs
    /// time in proportion.
    pub exhaustive_max: usize,
    /// States by chance for a prefix that has more than that. Default 128.
    pub samples: usize,
    /// Which crashes. Default both.
    pub modes: Modes,
}

impl Default for Limits {
    fn default() -> Self {
        Self { seed: 1, exhaustive_max: 1024, samples: 128, modes: Modes::Both }
    }
}

/// Visits every distinct crash state of `recording`: calls `check` with the crashed disk, what had
/// been acknowledged, and where the crash was. States are the same when a program would read the
/// same from them (after a kill: and when a later power loss could do the same to them) and
/// the same had been acknowledged.
///
/// # Errors
/// The first state whose check answered `Err` or panicked.
pub fn enumerate<A>(
    recording: &Recording<A>,
    limits: &Limits,
    check: impl FnMut(&FaultDisk, &[A], &Point) -> Result<(), String>,
) -> Result<Report, Box<Failure>> {
    let report = Report::default();
    let mut visitor = Visitor { recording, limits, check, seen: HashSet::new(), report };
    for prefix in 0..=recording.len() {
        visitor.report.prefixes += 1;
        if limits.modes != Modes::PowerLoss {
            visitor.kills(prefix)?;
        }
        if limits.modes != Modes::Kill {
            visitor.power_losses(prefix)?;
        }
    }
    Ok(visitor.report)
}

struct Visitor<'a, A, C> {
    recording: &'a Recording<A>,
    limits: &'a Limits,
    check: C,
    seen: HashSet<u64>,
    report: Report,
}

impl<A, C> Visitor<'_, A, C>
where
    C: FnMut(&FaultDisk, &[A], &Point) -> Result<(), String>,
{
    fn kills(&mut self, prefix: usize) -> Result<(), Box<Failure>> {
        let image = self.recording.image(prefix).clone();
        let hash = mix(image.whole_hash(), 1);
        self.visit(prefix, image, hash, || Mode::Kill)?;
        for bytes in plans::cuts(self.recording.next_write_len(prefix)) {
            let image = self.recording.cut_write(prefix, bytes);
            let hash = mix(image.whole_hash(), 1);
            self.visit(prefix, image, hash, || Mode::KillWithin { bytes })?;
        }
        Ok(())
    }

    fn power_losses(&mut self, prefix: usize) -> Result<(), Box<Failure>> {
        let recording = self.recording;
        let image = recording.image(prefix);
        let pending = image.pending();
        let reachable = image.reachable_files();
        let mut rng =
            Rng::new(self.limits.seed ^ (prefix as u64).wrapping_mul(0xD6E8_FEB8_6659_FD93));
        let coverage = plans::each(&pending, self.limits, &mut rng, &mut |fates: &[Fate]| {
            let after = image.after_power_loss(fates, &reachable);
            let hash = mix(after.visible_hash(), 2);
            self.visit(prefix, after, hash, || Mode::PowerLoss(fates.to_vec()))
        })?;
        self.report.count_coverage(coverage);
        Ok(())
    }

    fn visit(
        &mut self,
        prefix: usize,
        image: Image,
        hash: u64,
        mode: impl FnOnce() -> Mode,
    ) -> Result<(), Box<Failure>> {
        self.report.states += 1;
        let acknowledged = self.recording.acknowledged(prefix);
        if !self.seen.insert(mix(hash, acknowledged.len() as u64)) {
            return Ok(());
        }
        let point = Point { prefix, mode: mode() };
        self.report.count_state(&point.mode);
        let disk = FaultDisk::of(image, self.recording.capacity(prefix));
        let check = &mut self.check;
        let result = catch_unwind(AssertUnwindSafe(|| check(&disk, acknowledged, &point)));
        let message = match result {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(message)) => message,
            Err(panic) => panic_message(&*panic),
        };
        Err(Box::new(self.failure(point, message)))
    }

    fn failure(&self, point: Point, message: String) -> Failure {
        let image = self.recording.image(point.prefix);
        let pending: Vec<Pending> = image.pending();
        Failure {
            seed: self.limits.seed,
            message,
            calls: self.recording.calls().take(point.prefix).cloned().collect(),
            acknowledged: self.recording.acknowledged(point.prefix).len(),
            pending,
            point,
        }
    }
}
