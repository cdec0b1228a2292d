//! A disk in memory that loses power, fails and rots as `docs/formats/fault-model.md` says.
//!
//! [`FaultDisk`] implements [`base::io::Disk`]; its state is an `Image` (`disk/image.rs`: file
//! contents, `disk/names.rs`: directories), which is cheap to copy. Every call passes through
//! `FaultDisk::call` in `disk/handle.rs`: counted, traced, perhaps failed, perhaps recorded.
//!
//! A crash does not change the disk it happens to: it yields a new one, on which recovery runs and
//! can crash again. Handles of the old disk keep working on the old disk. The same calls with the
//! same faults and seeds give the same disk, byte for byte.

mod call;
mod fate;
mod fault;
mod handle;
mod image;
mod names;
mod pages;
mod pending;
mod rot;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::io::DiskRef;
use base::rng::Rng;

pub use call::{Call, Op};
pub use fate::{Fate, Kept, Rest, SectorSize};
pub use fault::{Calls, Effect, Fault, Times};
pub use pending::Pending;
pub use rot::Rot;

use fault::Armed;
pub(crate) use image::{DataOp, FileId, Image};
pub(crate) use pages::mix;

/// How a machine stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Crash {
    /// The process ends, the system stays: every byte written so far is still read, locks are
    /// free, and a later power loss may still take what was never synced.
    Kill,
    /// The machine stops: what was not synced has the fate given here.
    PowerLoss(Loss),
}

/// What power loss does to the calls that were not synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// All of them had reached the device.
    Nothing,
    /// None of them had.
    Everything,
    /// Chance decides, the same way for the same seed.
    Seeded(u64),
    /// One fate per entry of [`FaultDisk::pending`], in that order; missing ones are lost.
    Each(Vec<Fate>),
}

/// A mutating call and the image it left.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) call: Call,
    pub(crate) image: Image,
    pub(crate) capacity: Option<u64>,
    /// The file and the write, when it was one.
    pub(crate) write: Option<(FileId, Arc<DataOp>)>,
}

#[derive(Debug)]
pub(crate) struct Core {
    image: Image,
    trace: Vec<Call>,
    calls: u64,
    faults: Vec<Armed>,
    capacity: Option<u64>,
    recording: Option<Vec<Step>>,
    locks: BTreeSet<FileId>,
}

/// A disk in memory that can crash, fail and rot. Clones are handles to the same disk; a disk of
/// its own with the same content comes from [`FaultDisk::fork`] and [`FaultDisk::crash`].
#[derive(Debug, Clone)]
pub struct FaultDisk {
    core: Arc<Mutex<Core>>,
}

impl Default for FaultDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl FaultDisk {
    /// An empty disk of unlimited size: the directory `/` and nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::of(Image::new(), None)
    }

    /// A disk with this content, and counters, trace, faults and locks afresh.
    pub(crate) fn of(image: Image, capacity: Option<u64>) -> Self {
        let core = Core {
            image,
            trace: Vec::new(),
            calls: 0,
            faults: Vec::new(),
            capacity,
            recording: None,
            locks: BTreeSet::new(),
        };
        Self { core: Arc::new(Mutex::new(core)) }
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This disk as the stores take it.
    #[must_use]
    pub fn shared(&self) -> DiskRef {
        Arc::new(self.clone())
    }

    /// An independent disk with the same content, synced and unsynced, and the same capacity;
    /// counters, trace, faults and locks start afresh.
    #[must_use]
    pub fn fork(&self) -> Self {
        let core = self.core();
        Self::of(core.image.clone(), core.capacity)
    }

    /// The disk that is found after a crash at this moment.
    #[must_use]
    pub fn crash(&self, crash: &Crash) -> Self {
        let (image, capacity) = {
            let core = self.core();
            (core.image.clone(), core.capacity)
        };
        let loss = match crash {
            Crash::Kill => return Self::of(image, capacity),
            Crash::PowerLoss(loss) => loss,
        };
        let pending = image.pending();
        let fates: Vec<Fate> = match loss {
            Loss::Nothing => vec![Fate::APPLIED; pending.len()],
            Loss::Everything => Vec::new(),
            Loss::Each(fates) => fates.clone(),
            Loss::Seeded(seed) => {
                let mut rng = Rng::new(*seed);
                pending.iter().map(|pending| pending.chance_fate(&mut rng)).collect()
            }
        };
        Self::of(image.after_power_loss(&fates, &image.reachable_files()), capacity)
    }

    /// The calls whose fate a power loss now would decide: those not synced, and those that a
    /// failed sync covered. Name operations first, in call order; then writes and lengths, file
    /// by file.
    #[must_use]
    pub fn pending(&self) -> Vec<Pending> {
        self.core().image.pending()
    }

    /// Arms a fault. Several may be armed; the first that strikes decides, and every one counts
    /// the call.
    pub fn inject(&self, fault: Fault) {
        self.core().faults.push(Armed { fault, seen: 0 });
    }

    /// Disarms all faults.
    pub fn clear_faults(&self) {
        self.core().faults.clear();
    }

    /// Gives the volume a size in bytes, `None` for no limit. Room is counted in blocks of 4096
    /// bytes when they are first written; holes take none. A volume already fuller than that
    /// keeps what it has.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.core().capacity = bytes;
    }

    /// How many calls of any kind this disk has had.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.core().calls
    }

    /// Every call so far, failed ones too. A disk keeps its trace for as long as it lives.
    #[must_use]
    pub fn trace(&self) -> Vec<Call> {
        self.core().trace.clone()
    }

    /// A hash of the trace: equal for two runs that did the same.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        let core = self.core();
        core.trace.iter().fold(0, |hash, call| pages::mix_bytes(hash, call.to_string().as_bytes()))
    }

    /// A hash of what a program can see on this disk: names and contents.
    #[must_use]
    pub fn content_hash(&self) -> u64 {
        self.core().image.visible_hash()
    }

    /// The content of a file, without a call that is counted or can fail. `None` when there is
    /// no such file.
    #[must_use]
    pub fn peek(&self, path: &Path) -> Option<Vec<u8>> {
        let core = self.core();
        let file = Image::need_file(core.image.resolve(path).ok()??).ok()?;
        let pages = &core.image.files[file].cache;
        let mut bytes = vec![0; usize::try_from(pages.len()).ok()?];
        pages.read(0, &mut bytes);
        Some(bytes)
    }

    /// Starts to keep an image per mutating call; answers the image now.
    pub(crate) fn start_recording(&self) -> (Image, Option<u64>) {
        let mut core = self.core();
        core.recording = Some(Vec::new());
        (core.image.clone(), core.capacity)
    }

    /// Ends it; answers the steps.
    pub(crate) fn take_recording(&self) -> Vec<Step> {
        self.core().recording.take().unwrap_or_default()
    }

    /// How many steps have been recorded.
    pub(crate) fn recorded(&self) -> usize {
        self.core().recording.as_ref().map_or(0, Vec::len)
    }
}
