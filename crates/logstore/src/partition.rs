//! Partitions: one SQLite file for each day of arrival, or more when a day is large.
//!
//! The directory is the list: what is named like a partition is one. Each file keeps the bounds of
//! what it holds, so that a search opens only those that it needs, and retention removes whole
//! files.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rusqlite::Connection;

use crate::entry::civil;
use crate::error::{LogError, Result};
use crate::options::Options;
use crate::sqlite::connection::{Role, open};
use crate::sqlite::rows::Bounds;

const EXTENSION: &str = ".logs";

/// Which partition: its day of arrival, and which of that day's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PartitionKey {
    /// Since 1970-01-01.
    pub(crate) day: i64,
    /// 1 and up.
    pub(crate) part: u32,
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.day);
        write!(f, "{year:04}-{month:02}-{day:02}.{:03}{EXTENSION}", self.part)
    }
}

impl PartitionKey {
    /// The partition with this file name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let (date, part) = name.strip_suffix(EXTENSION)?.split_once('.')?;
        let mut numbers = date.split('-').map(|digits| digits.parse::<i64>().ok());
        let (year, month, day) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let key = Self { day: days_of(year, month, day), part: part.parse().ok()? };
        // Only the one way of writing it names it.
        (key.part > 0 && key.to_string() == name).then_some(key)
    }
}

/// Days from 1970-01-01 to a date (Hinnant, `days_from_civil`). Nonsense gives some other day.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// An open partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) key: PartitionKey,
    pub(crate) path: PathBuf,
    bounds: Mutex<Bounds>,
    /// Connections that nobody reads with at the moment.
    idle: Mutex<Vec<Connection>>,
    /// Whether its file is still in the directory.
    is_retired: AtomicBool,
}

impl Partition {
    pub(crate) fn new(dir: &Path, key: PartitionKey, bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            key,
            path: dir.join(key.to_string()),
            bounds: Mutex::new(bounds),
            idle: Mutex::default(),
            is_retired: AtomicBool::new(false),
        })
    }

    pub(crate) fn bounds(&self) -> Bounds {
        *lock(&self.bounds)
    }

    pub(crate) fn set_bounds(&self, bounds: Bounds) {
        *lock(&self.bounds) = bounds;
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Acquire)
    }

    /// Closes idle connections and refuses new ones; says how many it closed. Readers that have one
    /// finish.
    fn retire(&self) -> usize {
        // Set before the lock is taken: who gives a connection back looks under the lock.
        self.is_retired.store(true, Ordering::Release);
        std::mem::take(&mut *lock(&self.idle)).len()
    }
}

/// All partitions of a store.
#[derive(Debug)]
pub(crate) struct Partitions {
    list: RwLock<BTreeMap<PartitionKey, Arc<Partition>>>,
    idle: AtomicUsize,
    idle_max: usize,
}

impl Partitions {
    pub(crate) fn new(options: &Options) -> Self {
        Self { list: RwLock::default(), idle: AtomicUsize::new(0), idle_max: options.readers }
    }

    pub(crate) fn add(&self, partition: Arc<Partition>) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.insert(partition.key, partition);
    }

    /// Takes a partition out; its file may go afterwards.
    pub(crate) fn remove(&self, key: PartitionKey) -> Option<Arc<Partition>> {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let removed = list.remove(&key)?;
        drop(list);
        self.idle.fetch_sub(removed.retire(), Ordering::AcqRel);
        Some(removed)
    }

    /// All of them, the oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Partition>> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.values().map(Arc::clone).collect()
    }

    pub(crate) fn last(&self) -> Option<Arc<Partition>> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.last_key_value().map(|(_, partition)| Arc::clone(partition))
    }

    /// A connection to read a partition with; none when the partition is gone.
    pub(crate) fn reader(
        self: &Arc<Self>,
        partition: &Arc<Partition>,
        options: &Options,
    ) -> Result<Option<Reader>> {
        if partition.is_retired() {
            return Ok(None);
        }
        let idle = lock(&partition.idle).pop();
        let connection = match idle {
            Some(connection) => {
                self.idle.fetch_sub(1, Ordering::AcqRel);
                connection
            }
            None => match open(&partition.path, Role::Reader, options) {
                Ok(connection) => connection,
                // Retention may have been faster than the open.
                Err(_) if partition.is_retired() => return Ok(None),
                Err(error) => return Err(LogError::sqlite(&partition.path, error)),
            },
        };
        let (pool, partition) = (Arc::clone(self), Arc::clone(partition));
        Ok(Some(Reader { connection: Some(connection), partition, pool }))
    }

    /// Connections that are open and idle.
    pub(crate) fn idle(&self) -> usize {
        self.idle.load(Ordering::Acquire)
    }

    /// Closes every idle connection.
    pub(crate) fn close_idle(&self) {
        for partition in self.all() {
            let closed = std::mem::take(&mut *lock(&partition.idle)).len();
            self.idle.fetch_sub(closed, Ordering::AcqRel);
        }
    }

    fn give_back(&self, partition: &Partition, connection: Connection) {
        let mut idle = lock(&partition.idle);
        if partition.is_retired() {
            return;
        }
        if self.idle.fetch_add(1, Ordering::AcqRel) >= self.idle_max {
            self.idle.fetch_sub(1, Ordering::AcqRel);
            return;
        }
        idle.push(connection);
    }
}

/// A connection on loan.
#[derive(Debug)]
pub(crate) struct Reader {
    /// Some until it is given back.
    connection: Option<Connection>,
    pub(crate) partition: Arc<Partition>,
    pool: Arc<Partitions>,
}

impl Reader {
    /// The connection itself, for a copy of the whole file. It is not kept for others.
    pub(crate) fn whole<T>(mut self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let Some(connection) = self.connection.take() else { return Err(LogError::Closed) };
        read(&connection)
    }

    /// One view of the file for everything that `read` does. The connection is kept for others only
    /// when all went well.
    pub(crate) fn read<T>(mut self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let Some(connection) = self.connection.take() else { return Err(LogError::Closed) };
        let sqlite = |error| LogError::sqlite(&self.partition.path, error);
        let view = connection.unchecked_transaction().map_err(sqlite)?;
        let value = read(&view)?;
        view.finish().map_err(sqlite)?;
        self.pool.give_back(&self.partition, connection);
        Ok(value)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_named_by_their_day_and_found_by_their_names() {
        for (day, part, name) in [
            (0, 1, "1970-01-01.001.logs"),
            (20_454, 12, "2026-01-01.012.logs"),
            (20_513, 1234, "2026-03-01.1234.logs"),
            (-1, 1, "1969-12-31.001.logs"),
        ] {
            let key = PartitionKey { day, part };
            assert_eq!(key.to_string(), name);
            assert_eq!(PartitionKey::from_name(name), Some(key));
        }
        for name in [
            "",
            "x.logs",
            "2026-1-01.001.logs",
            "2026-02-30.001.logs",
            "2026-01-01.000.logs",
            "2026-01-01.1.logs",
            "2026-01-01.001.logs-wal",
            "2026-01-01.001",
            "+026-01-01.001.logs",
            "2026-01-01-01.001.logs",
        ] {
            assert_eq!(PartitionKey::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn the_order_of_keys_is_that_of_names_and_days() {
        let names = ["2025-12-31.002.logs", "2026-01-01.001.logs", "2026-01-01.002.logs"];
        let keys = names.map(|name| PartitionKey::from_name(name).unwrap());
        assert!(keys.is_sorted());
    }
}
