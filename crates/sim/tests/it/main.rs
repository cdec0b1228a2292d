//! Tests of the simulator itself: if the disk were kinder than the fault model, or the enumerator
//! skipped a state, every test built on them would prove less than it says.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod disk_evict;
mod disk_faults;
mod disk_names;
mod disk_power;
mod disk_rot;
mod enumerate;
mod history;
mod slots;
mod toy;

use std::path::Path;

use base::io::{Disk, FileRef, Open};
use sim::FaultDisk;
use sim::disk::{Crash, Fate, Loss};

/// A path.
pub(crate) fn p(path: &str) -> &Path {
    Path::new(path)
}

/// A new file whose name is durable.
pub(crate) fn named_file(disk: &FaultDisk, path: &str) -> FileRef {
    let file = disk.open(p(path), Open::CreateNew).unwrap();
    disk.sync_dir(p(path).parent().unwrap()).unwrap();
    file
}

/// The disk after a power loss in which every pending call has the fate given here.
pub(crate) fn after(disk: &FaultDisk, fates: &[Fate]) -> FaultDisk {
    assert_eq!(disk.pending().len(), fates.len(), "{:?}", disk.pending());
    disk.crash(&Crash::PowerLoss(Loss::Each(fates.to_vec())))
}

/// The content of `path` after that power loss.
pub(crate) fn found(disk: &FaultDisk, path: &str, fates: &[Fate]) -> Option<Vec<u8>> {
    after(disk, fates).peek(p(path))
}

/// The names below `/` after a power loss, space between.
pub(crate) fn names(disk: &FaultDisk) -> String {
    let entries = disk.list(p("/")).unwrap();
    entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>().join(" ")
}
