//! What the server holds: memory, descriptors, disk; looked at twice a second.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// One look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) resident_kib: u64,
    pub(crate) descriptors: u64,
    pub(crate) disk_kib: u64,
}

/// All looks, by the lives of the server.
pub(crate) struct Samples {
    data: PathBuf,
    of_life: Vec<Sample>,
    /// The most of each life.
    lives: Vec<Sample>,
}

impl Samples {
    pub(crate) fn new(data: &Path) -> Self {
        Self { data: data.to_path_buf(), of_life: Vec::new(), lives: Vec::new() }
    }

    pub(crate) fn take(&mut self, process: u32) {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count);
        self.of_life.push(Sample {
            resident_kib: resident.unwrap_or(0),
            descriptors: descriptors as u64,
            disk_kib: disk_kib(&self.data),
        });
    }

    /// The samples since the last life are one life's.
    pub(crate) fn life_ends(&mut self) {
        let all = std::mem::take(&mut self.of_life);
        let most = |of: fn(&Sample) -> u64| all.iter().map(of).max().unwrap_or(0);
        self.lives.push(Sample {
            resident_kib: most(|sample| sample.resident_kib),
            descriptors: most(|sample| sample.descriptors),
            disk_kib: most(|sample| sample.disk_kib),
        });
    }

    /// The last life, for people.
    pub(crate) fn last(&self) -> String {
        let Sample { resident_kib, descriptors, disk_kib } =
            self.lives.last().copied().unwrap_or_default();
        format!("{resident_kib} KiB resident, {descriptors} descriptors, {disk_kib} KiB on disk")
    }

    /// The middle of the second quarter of all lives and that of the last one. The first is for
    /// filling what has a size: caches, the log that is kept, files that wait for compaction.
    pub(crate) fn early_and_late(&self) -> (Sample, Sample) {
        let quarter = self.lives.len() / 4;
        let early = self.lives.get(quarter..(2 * quarter).max(quarter + 1)).unwrap_or(&self.lives);
        let late = self.lives.get(3 * quarter..).unwrap_or(&self.lives);
        (middle(early), middle(late))
    }

    pub(crate) fn to_json(&self) -> Value {
        let lives = self.lives.iter().map(|life| {
            json!({
                "resident_kib": life.resident_kib,
                "descriptors": life.descriptors,
                "disk_kib": life.disk_kib,
            })
        });
        lives.collect()
    }
}

/// The median of each figure.
fn middle(samples: &[Sample]) -> Sample {
    let median = |of: fn(&Sample) -> u64| {
        let mut all: Vec<u64> = samples.iter().map(of).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied().unwrap_or(0)
    };
    Sample {
        resident_kib: median(|sample| sample.resident_kib),
        descriptors: median(|sample| sample.descriptors),
        disk_kib: median(|sample| sample.disk_kib),
    }
}

/// Blocks of a directory's files. What vanishes meanwhile counts for nothing.
fn disk_kib(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(at) if at.is_dir() => disk_kib(&entry.path()),
            Ok(at) => at.blocks() / 2,
            Err(_) => 0,
        })
        .sum()
}
