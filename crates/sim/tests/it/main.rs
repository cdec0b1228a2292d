//! Tests of the simulator itself: if the disk were kinder than the fault model, or the enumerator
//! skipped a state, every test built on them would prove less than it says.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod enumerate;
mod toy;

use std::path::Path;

use base::io::{Disk, FileRef, Open};
use sim::FaultDisk;

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
