//! What a log storage does, whatever it is made of.

use std::time::Duration;

use crate::completion::{Completion, GroupCompletion};
use crate::entry::{Entry, EntryId, StoredEntry};
use crate::error::Result;
use crate::filter::Filter;
use crate::options::Retention;
use crate::query::{Page, Query};
use crate::retention::CleanupReport;
use crate::subscribe::Subscription;

/// How closing went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseReport {
    /// Whether everything that had been accepted was written or kept as a dead letter.
    pub is_drained: bool,
    /// Entries that were given up.
    pub unwritten: u64,
}

/// A place for application logs. Shared between threads.
pub trait LogStorage: Send + Sync {
    /// Checks an entry, shows it to subscribers, queues it and returns. The handle resolves to its
    /// id when it has been committed, which is as durable as the storage is set to be; until then
    /// a crash loses it.
    ///
    /// # Errors
    /// When the entry breaks the rules, the queue is full (try again later) or the storage is
    /// closed. Nothing was queued then.
    fn store(&self, entry: Entry) -> Result<Completion>;

    /// As [`LogStorage::store`] for many at once: all are queued or none. Their ids follow each
    /// other.
    ///
    /// # Errors
    /// As [`LogStorage::store`], for the first entry that breaks a rule. More entries than the queue
    /// holds are always refused as `QueueFull`.
    fn store_all(&self, entries: Vec<Entry>) -> Result<GroupCompletion>;

    /// Stores an entry and waits until it survives a loss of power.
    ///
    /// # Errors
    /// As [`LogStorage::store`] and [`Completion::wait`].
    fn store_durable(&self, entry: Entry) -> Result<EntryId>;

    /// Finds entries. Sees everything that was committed before the call.
    ///
    /// # Errors
    /// When the query makes no sense or takes too long. What cannot be read is no error: the page
    /// names it.
    fn search(&self, query: &Query) -> Result<Page>;

    /// The newest entries, the newest first.
    ///
    /// # Errors
    /// As [`LogStorage::search`].
    fn recent(&self, limit: usize) -> Result<Vec<StoredEntry>> {
        let query = Query { limit, ..Query::default() };
        Ok(self.search(&query)?.entries)
    }

    /// A live tail of the entries that a filter lets through, from now on. `capacity` entries wait
    /// for a slow reader, who is told how many more there were.
    ///
    /// # Errors
    /// When the filter is too large or the storage is closed.
    fn subscribe(&self, filter: Filter, capacity: usize) -> Result<Subscription>;

    /// Drops what is older or more than `retention` says, now.
    ///
    /// # Errors
    /// When a file cannot be removed.
    fn cleanup(&self, retention: Retention) -> Result<CleanupReport>;

    /// Takes no more entries, writes what waits, at most for `deadline`, and closes. Closing again
    /// is no error.
    ///
    /// # Errors
    /// None of the entries': the report says whether all were written.
    fn close(&self, deadline: Duration) -> Result<CloseReport>;
}
