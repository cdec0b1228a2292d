//! What the store and its batcher have in common.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::clock::{ClockRef, SystemClock};
use base::io::{DiskRef, Lock, RealDisk};
use base::metrics::Registry;

use crate::entry::UnixNanos;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::partition::{PartitionKey, Partitions};
use crate::queue::Queue;
use crate::subscribe::Subscribers;

/// What a store takes from outside: time, directories and the registry of metrics. SQLite opens its
/// files itself (see [`Options::vfs`]).
#[derive(Debug, Clone)]
pub struct Environment {
    /// Time.
    pub clock: ClockRef,
    /// Directories, locks and what is put aside.
    pub disk: DiskRef,
    /// Where the store's metrics are registered.
    pub metrics: Arc<Registry>,
}

impl Environment {
    /// The machine's clock and disk, and a registry of its own.
    #[must_use]
    pub fn system() -> Self {
        Self {
            clock: SystemClock::shared(),
            disk: Arc::new(RealDisk),
            metrics: Arc::new(Registry::new()),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) options: Arc<Options>,
    pub(crate) clock: ClockRef,
    pub(crate) disk: DiskRef,
    pub(crate) queue: Queue,
    pub(crate) subscribers: Arc<Subscribers>,
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) metrics: Metrics,
    /// Writes wait for room.
    pub(crate) is_disk_full: AtomicBool,
    /// Whatever is not written yet is to be given up.
    pub(crate) is_abandoned: AtomicBool,
    /// Files that a reader found damaged.
    pub(crate) suspects: Mutex<Vec<PartitionKey>>,
    /// Held by whoever removes files, so that two do not count the same bytes.
    pub(crate) cleaning: Mutex<()>,
    is_done: Mutex<bool>,
    done: Condvar,
    /// Keeps other processes out while the store is open.
    _lock: Box<dyn Lock>,
}

/// The parts that opening has made.
pub(crate) struct Parts {
    pub(crate) dir: PathBuf,
    pub(crate) options: Arc<Options>,
    pub(crate) environment: Environment,
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) metrics: Metrics,
    pub(crate) next_id: u64,
    pub(crate) lock: Box<dyn Lock>,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let missed = parts.metrics.missed.clone();
        Arc::new(Self {
            queue: Queue::new(&parts.options, parts.next_id),
            subscribers: Arc::new(Subscribers::new(missed)),
            dir: parts.dir,
            options: parts.options,
            clock: parts.environment.clock,
            disk: parts.environment.disk,
            partitions: parts.partitions,
            metrics: parts.metrics,
            is_disk_full: AtomicBool::new(false),
            is_abandoned: AtomicBool::new(false),
            suspects: Mutex::default(),
            cleaning: Mutex::default(),
            is_done: Mutex::new(false),
            done: Condvar::new(),
            _lock: parts.lock,
        })
    }

    /// The time of arrival of what comes now.
    pub(crate) fn received(&self) -> UnixNanos {
        UnixNanos::from_ms(self.clock.wall().0)
    }

    pub(crate) fn set_disk_full(&self, is_full: bool) {
        if self.is_disk_full.swap(is_full, Ordering::AcqRel) != is_full {
            self.metrics.disk_full.set_count(u64::from(is_full));
            if is_full {
                tracing::error!(dir = %self.dir.display(), "no room on the disk: logs wait");
            } else {
                tracing::info!(dir = %self.dir.display(), "there is room again: logs are written");
            }
        }
    }

    /// Takes note that nothing is written any more.
    pub(crate) fn set_done(&self) {
        *lock(&self.is_done) = true;
        self.done.notify_all();
    }

    /// Waits until nothing is written any more, at most for `longest`. Says whether it is so.
    pub(crate) fn wait_done(&self, longest: Duration) -> bool {
        let waits = |is_done: &mut bool| !*is_done;
        let waited = self.done.wait_timeout_while(lock(&self.is_done), longest, waits);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
