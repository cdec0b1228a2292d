//! Retention: whole files go, the oldest first, and never the one that is being written.

use std::path::Path;
use std::sync::Arc;

use crate::damage::BESIDE;
use crate::error::{LogError, Result};
use crate::options::Retention;
use crate::partition::Partition;
use crate::shared::{Shared, lock};

/// What a cleanup removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CleanupReport {
    /// Files.
    pub partitions: u64,
    /// Entries in them.
    pub entries: u64,
    /// Their bytes on disk.
    pub bytes: u64,
}

/// Removes what is older or more than may be.
pub(crate) fn cleanup(shared: &Shared, retention: Retention) -> Result<CleanupReport> {
    let _one_at_a_time = lock(&shared.cleaning);
    let mut report = CleanupReport::default();
    let mut all = shared.partitions.all();
    // The newest takes entries.
    all.pop();
    let today = shared.received().day();
    let mut left = Vec::new();
    for partition in all {
        let is_old =
            retention.days_max.is_some_and(|days| partition.key.day <= today - i64::from(days));
        if is_old {
            remove(shared, &partition, &mut report)?;
            shared.metrics.retired_by_age.increment();
        } else {
            left.push(partition);
        }
    }
    if let Some(bytes_max) = retention.bytes_max {
        let mut total = total_bytes(shared)?;
        for partition in left {
            if total <= bytes_max {
                break;
            }
            let before = report.bytes;
            remove(shared, &partition, &mut report)?;
            shared.metrics.retired_by_size.increment();
            total = total.saturating_sub(report.bytes - before);
        }
    }
    if report.partitions > 0 {
        let io = |error| LogError::io("syncing", &shared.dir, error);
        shared.disk.sync_dir(&shared.dir).map_err(io)?;
        tracing::info!(?report, "retention dropped files of logs");
    }
    Ok(report)
}

fn remove(shared: &Shared, partition: &Arc<Partition>, report: &mut CleanupReport) -> Result<()> {
    let bytes = bytes_of(shared, &partition.path)?;
    // First out of the list: nobody opens a file that is about to go.
    shared.partitions.remove(partition.key);
    // The file itself goes first: what is left beside it means nothing without it.
    for suffix in [""].into_iter().chain(BESIDE) {
        let mut path = partition.path.clone().into_os_string();
        path.push(suffix);
        match shared.disk.remove_file(Path::new(&path)) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(LogError::io("removing", Path::new(&path), error)),
        }
    }
    report.partitions += 1;
    report.entries += partition.bounds().rows;
    report.bytes += bytes;
    Ok(())
}

/// Bytes of a file and of what SQLite keeps beside it.
fn bytes_of(shared: &Shared, path: &Path) -> Result<u64> {
    let mut sum = 0;
    for suffix in [""].into_iter().chain(BESIDE) {
        let mut path = path.to_owned().into_os_string();
        path.push(suffix);
        let path = Path::new(&path);
        let stat = shared.disk.stat(path).map_err(|error| LogError::io("looking", path, error))?;
        sum += stat.map_or(0, |stat| stat.len);
    }
    Ok(sum)
}

pub(crate) fn total_bytes(shared: &Shared) -> Result<u64> {
    let all = shared.partitions.all();
    all.iter().map(|partition| bytes_of(shared, &partition.path)).sum()
}

/// Sets the gauges that cost a look at every file.
pub(crate) fn measure(shared: &Shared) {
    let all = shared.partitions.all();
    let rows: u64 = all.iter().map(|partition| partition.bounds().rows).sum();
    shared.metrics.partitions.set_count(all.len() as u64);
    shared.metrics.store_entries.set_count(rows);
    if let Ok(bytes) = total_bytes(shared) {
        shared.metrics.store_bytes.set_count(bytes);
    }
}
