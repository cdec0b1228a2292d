//! What the machine has: the cores and the memory that defaults are a part of.

use std::path::Path;

use base::io::{Disk, Open, read_full_at};

/// What is assumed where the system does not say.
const MEMORY_ASSUMED: u64 = 2 << 30;
/// The files that are read here are a few kilobytes.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// The cores and the memory that this process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Cores, at least one.
    pub cores: usize,
    /// Bytes of memory: the machine's, or the limit of the control group when that is less.
    pub memory_bytes: u64,
}

impl Machine {
    /// Asks the system, whose files about itself are on `disk`.
    #[must_use]
    pub fn detect(disk: &dyn Disk) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let machine = text(disk, "/proc/meminfo").as_deref().and_then(total_of);
        let group = text(disk, "/sys/fs/cgroup/memory.max").as_deref().and_then(limit_of);
        let memory_bytes = match (machine, group) {
            (Some(machine), Some(group)) => machine.min(group),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => MEMORY_ASSUMED,
        };
        Self { cores, memory_bytes }
    }
}

fn text(disk: &dyn Disk, path: &str) -> Option<String> {
    let file = disk.open(Path::new(path), Open::Read).ok()?;
    let mut bytes = vec![0; FILE_BYTES_MAX];
    let len = read_full_at(file.as_ref(), &mut bytes, 0).ok()?;
    bytes.truncate(len);
    String::from_utf8(bytes).ok()
}

/// `MemTotal:       16314400 kB`, where kB are KiB.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// A number of bytes, or `max`.
fn limit_of(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::io::RealDisk;

    #[test]
    fn the_files_of_the_system_are_read() {
        assert_eq!(total_of("MemTotal:       2 kB\nMemFree: 1 kB\n"), Some(2048));
        assert_eq!(total_of("MemFree: 1 kB\n"), None);
        assert_eq!(total_of("MemTotal: 1 GB\n"), None);
        assert_eq!((limit_of("max\n"), limit_of("1048576\n")), (None, Some(1 << 20)));
    }

    #[test]
    fn this_machine_has_cores_and_memory() {
        let machine = Machine::detect(&RealDisk);
        assert!(machine.cores > 0 && machine.memory_bytes > 1 << 20, "{machine:?}");
        let nothing = Machine::detect(&*base::io::MemDisk::shared());
        assert_eq!(nothing.memory_bytes, MEMORY_ASSUMED);
    }
}
