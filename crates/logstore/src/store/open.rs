//! Opening a store: every file is looked at, so that numbers and bounds are known.

use std::path::Path;
use std::sync::{Arc, Mutex};

use base::io::{Disk, EntryKind};
use base::workers;

use super::{BatchedSqliteStorage, Worker, run};
use crate::batcher::Batcher;
use crate::damage::{Finding, after_unknown, next_id_of_reports, put_aside};
use crate::entry::EntryId;
use crate::error::{Fault, LogError, Result};
use crate::metrics::Metrics;
use crate::options::{Background, Options};
use crate::partition::{Partition, PartitionKey, Partitions};
use crate::retention;
use crate::shared::{Environment, Parts, Shared};
use crate::writer::survey;

/// The file that keeps other processes out.
const LOCK: &str = "LOCK";

pub(super) fn open(
    dir: &Path,
    options: Options,
    environment: Environment,
) -> Result<BatchedSqliteStorage> {
    options.check()?;
    let metrics = Metrics::new(&environment.metrics).map_err(|error| LogError::Unsupported {
        path: dir.to_owned(),
        what: error.to_string().into(),
    })?;
    let disk = &*environment.disk;
    make_dir(disk, dir)?;
    let lock = disk.lock(&dir.join(LOCK)).map_err(|error| {
        if error.kind() == std::io::ErrorKind::WouldBlock {
            return LogError::InUse { path: dir.to_owned() };
        }
        LogError::io("locking", dir, error)
    })?;
    let partitions = Arc::new(Partitions::new(&options));
    let next_id = find_partitions(dir, &options, &environment, &metrics, &partitions)?;
    let shared = Shared::new(Parts {
        dir: dir.to_owned(),
        options: Arc::new(options),
        environment,
        partitions,
        metrics,
        next_id,
        lock,
    });
    retention::measure(&shared);
    let batcher = Batcher::new(Arc::clone(&shared));
    let worker = match shared.options.background {
        Background::Manual => Worker::Manual(Box::new(Mutex::new(batcher))),
        Background::Thread => {
            let its = Arc::clone(&shared);
            let thread = workers::spawn("logs-writer", move || run(batcher, &its))
                .map_err(|error| LogError::io("starting a thread", dir, error))?;
            Worker::Thread(Mutex::new(Some(thread)))
        }
    };
    Ok(BatchedSqliteStorage { shared, worker })
}

fn make_dir(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let io = |error| LogError::io("making a directory", dir, error);
    if disk.stat(dir).map_err(io)?.is_some() {
        return Ok(());
    }
    disk.create_dir(dir).map_err(io)?;
    match dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => disk.sync_dir(parent).map_err(io),
        None => Ok(()),
    }
}

/// Finds every file, and the number that comes next.
fn find_partitions(
    dir: &Path,
    options: &Options,
    environment: &Environment,
    metrics: &Metrics,
    partitions: &Partitions,
) -> Result<u64> {
    let disk = &*environment.disk;
    let mut last = EntryId(next_id_of_reports(disk, dir)?.saturating_sub(1));
    let entries = disk.list(dir).map_err(|error| LogError::io("listing", dir, error))?;
    let mut damaged = Vec::new();
    for entry in entries.iter().filter(|entry| entry.kind == EntryKind::File) {
        let Some(key) = PartitionKey::from_name(&entry.name) else { continue };
        match survey(&dir.join(&entry.name), options) {
            Ok((bounds, dead)) => {
                last = last.max(bounds.last_id).max(dead);
                partitions.add(Partition::new(dir, key, bounds));
            }
            Err(error) if error.fault() == Some(Fault::Damaged) => {
                damaged.push((key, error.to_string()));
            }
            Err(error) => return Err(error),
        }
    }
    for (key, reason) in damaged {
        last = EntryId(after_unknown(last));
        let at = environment.clock.wall();
        let finding = Finding { reason: &reason, at, bounds: None, next_id: last.0 + 1 };
        let aside = put_aside(disk, dir, key, &finding)?;
        metrics.damaged.increment();
        tracing::error!(partition = %key, reason, aside = %aside.display(), "put aside");
    }
    Ok(last.0 + 1)
}
