//! [`BatchedSqliteStorage`]: the log storage in SQLite, written in batches.

mod open;
mod stats;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use base::clock::Instant;

use crate::backup::{self, BackupReport};
use crate::batcher::{Batcher, Turn};
use crate::completion::{Completion, GroupCompletion, Slot};
use crate::dead_letters::{self, DeadLetter};
use crate::entry::{Entry, EntryId, Marks};
use crate::error::{LogError, Result};
use crate::export::{Export, ExportFormat, query_of};
use crate::filter::{Field, Filter};
use crate::metrics::DropReason;
use crate::options::{Options, Retention};
use crate::query::{Page, Query};
use crate::queue::Urgency;
use crate::retention::{self, CleanupReport};
use crate::search::{self, Histogram, TopValues};
use crate::shared::{Environment, Shared, lock};
use crate::storage::{CloseReport, LogStorage};
use crate::subscribe::Subscription;

pub use stats::{Quantiles, Stats};

/// How long dropping a store that was not closed waits for its queue.
const DROP_DEADLINE: Duration = Duration::from_secs(5);
/// How long a store that gives up waits for the call to SQLite that is going on.
const ABANDON_GRACE: Duration = Duration::from_secs(1);

/// Application logs in SQLite, written in batches by one thread.
#[derive(Debug)]
pub struct BatchedSqliteStorage {
    shared: Arc<Shared>,
    worker: Worker,
}

#[derive(Debug)]
enum Worker {
    Thread(Mutex<Option<JoinHandle<()>>>),
    Manual(Box<Mutex<Batcher>>),
}

impl BatchedSqliteStorage {
    /// Opens the store in a directory, which is made when its parent is there. Recovers from
    /// whatever a crash has left; puts files aside that are no longer databases.
    ///
    /// # Errors
    /// When another process has the store open, an option makes no sense, or a file is of a newer
    /// version.
    pub fn open(dir: &Path, options: Options, environment: Environment) -> Result<Self> {
        open::open(dir, options, environment)
    }

    /// As [`LogStorage::store`], and `callback` is told what became of the entry.
    ///
    /// # Errors
    /// As [`LogStorage::store`]; the callback is not called then.
    pub fn store_with(
        &self,
        entry: Entry,
        callback: impl FnOnce(Result<EntryId>) + Send + 'static,
    ) -> Result<()> {
        let slot = Slot::new(1, Some(Box::new(callback)));
        self.queue_one(entry, Urgency::Queued, slot).map(|_told_by_the_callback| ())
    }

    /// As [`LogStorage::store_all`] for callers that wait until the entries survive a loss of
    /// power: the batch is closed at once and committed with a sync.
    ///
    /// # Errors
    /// As [`LogStorage::store_all`].
    pub fn store_all_durable(&self, mut entries: Vec<Entry>) -> Result<GroupCompletion> {
        self.queue_all(&mut entries, Urgency::Durable)
    }

    /// Queues all of `entries`, which are taken out then, or none: for callers that wait for room
    /// and offer them again. What finds no room is not counted as dropped; somebody who gives it up
    /// says so with [`BatchedSqliteStorage::give_up`].
    ///
    /// # Errors
    /// As [`LogStorage::store_all`].
    pub fn offer(&self, entries: &mut Vec<Entry>) -> Result<GroupCompletion> {
        self.offer_as(entries, Urgency::Queued)
    }

    /// As [`BatchedSqliteStorage::offer`] for callers that wait until the entries survive a loss of
    /// power.
    ///
    /// # Errors
    /// As [`LogStorage::store_all`].
    pub fn offer_durable(&self, entries: &mut Vec<Entry>) -> Result<GroupCompletion> {
        self.offer_as(entries, Urgency::Durable)
    }

    /// Counts entries that found no room and that nobody offers again.
    pub fn give_up(&self, entries: &[Entry], why: &LogError) {
        self.shared.metrics.dropped(Self::reason(why)).add(entries.len() as u64);
    }

    /// Counts what a filter lets through over time, in bars of one width.
    ///
    /// # Errors
    /// When there would be more than [`BARS_MAX`](crate::BARS_MAX) bars, the filter is too large or
    /// it takes too long.
    pub fn histogram(&self, filter: &Filter, width: Duration) -> Result<Histogram> {
        search::histogram(&self.shared, filter, width)
    }

    /// The most frequent values of a field among what a filter lets through.
    ///
    /// # Errors
    /// When `limit` is not 1 to [`TOP_MAX`](crate::TOP_MAX), the filter is too large or it takes too
    /// long.
    pub fn top_values(&self, filter: &Filter, field: Field, limit: usize) -> Result<TopValues> {
        search::top_values(&self.shared, filter, field, limit)
    }

    /// Everything that a filter lets through as lines of text, the earliest first.
    ///
    /// # Errors
    /// When the filter is too large; each line may be an error of the search instead.
    pub fn export(
        &self,
        filter: Filter,
        format: ExportFormat,
    ) -> Result<Export<impl FnMut(&Query) -> Result<Page>>> {
        filter.check()?;
        Ok(Export::new(query_of(filter), format, |query| search::page(&self.shared, query)))
    }

    /// The newest entries that SQLite refused, the newest first, at most `limit`.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>> {
        dead_letters::newest(&self.shared, limit)
    }

    /// Copies the store, while it is in use, into a directory that is not there yet. Everything that
    /// was committed before the call is in it.
    ///
    /// # Errors
    /// When a file cannot be read or written; what is in `to` is no backup then, for it has no
    /// manifest.
    pub fn backup(&self, to: &Path) -> Result<BackupReport> {
        backup::backup(&self.shared, to)
    }

    /// For a store with [`Background::Manual`](crate::Background::Manual): does everything that is
    /// due, and says when something will be. None when that is never, or when the store has a
    /// thread.
    pub fn turn(&self) -> Option<Instant> {
        let Worker::Manual(batcher) = &self.worker else { return None };
        loop {
            match lock(batcher).turn() {
                Turn::Again => {}
                Turn::At(at) => return Some(at),
                Turn::Done => return None,
            }
        }
    }

    fn queue_one(&self, mut entry: Entry, urgency: Urgency, slot: Arc<Slot>) -> Result<Completion> {
        let shared = &*self.shared;
        let marks = self.admit(&mut entry)?;
        let now = shared.clock.now();
        let pushed = shared.queue.push_one(entry, urgency, now, &slot, &shared.subscribers);
        self.count(pushed, 1)?;
        self.count_marks(marks);
        Ok(Completion(slot))
    }

    fn offer_as(&self, entries: &mut Vec<Entry>, urgency: Urgency) -> Result<GroupCompletion> {
        let mut marks = Vec::with_capacity(entries.len());
        for entry in entries.iter_mut() {
            entry.admit(self.shared.received())?;
            marks.push(entry.marks);
        }
        if marks.is_empty() {
            return Err(LogError::invalid("there is no entry"));
        }
        let shared = &*self.shared;
        let slot = Slot::new(marks.len() as u64, None);
        let now = shared.clock.now();
        let pushed = shared.queue.push(entries, urgency, now, &slot, &shared.subscribers);
        pushed.map_err(|error| self.explained(error))?;
        shared.metrics.stored.add(marks.len() as u64);
        marks.into_iter().for_each(|marks| self.count_marks(marks));
        Ok(GroupCompletion(slot))
    }

    fn queue_all(&self, entries: &mut Vec<Entry>, urgency: Urgency) -> Result<GroupCompletion> {
        let shared = &*self.shared;
        let count = entries.len() as u64;
        if count == 0 {
            return Err(self.refused(LogError::invalid("there is no entry"), 0));
        }
        let marks =
            entries.iter_mut().map(|entry| self.admit(entry)).collect::<Result<Vec<_>>>()?;
        let slot = Slot::new(count, None);
        let now = shared.clock.now();
        let pushed = shared.queue.push(entries, urgency, now, &slot, &shared.subscribers);
        self.count(pushed, count)?;
        marks.into_iter().for_each(|marks| self.count_marks(marks));
        Ok(GroupCompletion(slot))
    }

    fn admit(&self, entry: &mut Entry) -> Result<Marks> {
        match entry.admit(self.shared.received()) {
            Ok(()) => Ok(entry.marks),
            Err(error) => Err(self.refused(error, 1)),
        }
    }

    fn count(&self, pushed: Result<EntryId>, count: u64) -> Result<()> {
        match pushed {
            Ok(_) => {
                self.shared.metrics.stored.add(count);
                Ok(())
            }
            Err(error) => Err(self.refused(error, count)),
        }
    }

    fn count_marks(&self, marks: Marks) {
        if marks == Marks::NONE {
            return;
        }
        let metrics = &self.shared.metrics;
        for (mark, counter) in [
            (Marks::CUT, &metrics.cut),
            (Marks::UNPARSED, &metrics.unparsed),
            (Marks::INVALID_UTF8, &metrics.invalid_utf8),
        ] {
            if marks.has(mark) {
                counter.increment();
            }
        }
    }

    /// Counts what was not queued, and says why as exactly as is known.
    fn refused(&self, error: LogError, count: u64) -> LogError {
        let error = self.explained(error);
        self.shared.metrics.dropped(Self::reason(&error)).add(count);
        error
    }

    /// A full queue because of a full disk is the disk's fault.
    fn explained(&self, error: LogError) -> LogError {
        let is_disk_full = self.shared.is_disk_full.load(Ordering::Acquire);
        if let (LogError::QueueFull { entries, .. }, true) = (&error, is_disk_full) {
            return LogError::DiskFull { entries: *entries };
        }
        error
    }

    fn reason(error: &LogError) -> DropReason {
        if matches!(error, LogError::DiskFull { .. }) {
            DropReason::DiskFull
        } else if matches!(error, LogError::QueueFull { .. }) {
            DropReason::QueueFull
        } else if matches!(error, LogError::TooLarge { .. }) {
            DropReason::TooLarge
        } else if matches!(error, LogError::Closed) {
            DropReason::Closed
        } else {
            DropReason::Invalid
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl LogStorage for BatchedSqliteStorage {
    fn store(&self, entry: Entry) -> Result<Completion> {
        self.queue_one(entry, Urgency::Queued, Slot::new(1, None))
    }

    fn store_all(&self, mut entries: Vec<Entry>) -> Result<GroupCompletion> {
        self.queue_all(&mut entries, Urgency::Queued)
    }

    fn store_durable(&self, entry: Entry) -> Result<EntryId> {
        let completion = self.queue_one(entry, Urgency::Durable, Slot::new(1, None))?;
        match &self.worker {
            Worker::Thread(_) => completion.wait(),
            Worker::Manual(_) => {
                self.turn();
                completion.wait_for(Duration::ZERO)
            }
        }
    }

    fn search(&self, query: &Query) -> Result<Page> {
        search::page(&self.shared, query)
    }

    fn subscribe(&self, filter: Filter, capacity: usize) -> Result<Subscription> {
        filter.check()?;
        if self.shared.queue.is_closed() {
            return Err(LogError::Closed);
        }
        Ok(self.shared.subscribers.subscribe(filter, capacity))
    }

    fn cleanup(&self, retention: Retention) -> Result<CleanupReport> {
        let report = retention::cleanup(&self.shared, retention);
        retention::measure(&self.shared);
        report
    }

    fn close(&self, deadline: Duration) -> Result<CloseReport> {
        let shared = &*self.shared;
        shared.queue.close();
        let is_drained = match &self.worker {
            Worker::Thread(thread) => {
                let is_drained = shared.wait_done(deadline);
                if !is_drained {
                    shared.is_abandoned.store(true, Ordering::Release);
                    shared.queue.nudge();
                    shared.wait_done(ABANDON_GRACE);
                }
                if shared.wait_done(Duration::ZERO)
                    && let Some(thread) = lock(thread).take()
                {
                    // Its panics have been caught, and it has nothing more to say.
                    _ = thread.join();
                }
                is_drained
            }
            Worker::Manual(batcher) => {
                let is_drained = self.turn().is_none();
                if !is_drained {
                    lock(batcher).abandon();
                }
                is_drained
            }
        };
        shared.subscribers.close();
        let unwritten = shared.metrics.dropped(DropReason::Unwritten).get();
        Ok(CloseReport { is_drained: is_drained && unwritten == 0, unwritten })
    }
}

impl Drop for BatchedSqliteStorage {
    fn drop(&mut self) {
        // Closing twice is no error, and nobody is left to read the report.
        _ = self.close(DROP_DEADLINE);
    }
}

/// The body of the store's thread.
fn run(mut batcher: Batcher, shared: &Shared) {
    loop {
        // A defect must not leave callers waiting for ever: they learn that their entries are lost.
        let turn = catch_unwind(AssertUnwindSafe(|| batcher.turn()));
        match turn {
            Ok(Turn::Again) => {}
            Ok(Turn::At(at)) => shared.queue.wait(Some(at.since(shared.clock.now()))),
            Ok(Turn::Done) => return,
            Err(_) => {
                tracing::error!("a defect ended the log store's thread");
                shared.queue.close();
                batcher.abandon();
                return;
            }
        }
    }
}
