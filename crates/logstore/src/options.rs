//! Settings of a store. Every one does something or is refused by [`Options::check`].

use std::collections::BTreeSet;
use std::time::Duration;

use base::retry::Policy;

use crate::error::{LogError, Result};

/// Most rows of one transaction.
pub const BATCH_ROWS_MAX: usize = 4096;
/// Rows of a sealed block.
pub const BLOCK_ROWS: usize = 4096;

/// When a commit survives a loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronous {
    /// Every commit is synced before it is reported: nothing that was reported is lost.
    Full,
    /// Commits survive a crash of the process; a loss of power may take the last ones. A batch
    /// with a durable waiter is committed as with `Full` all the same.
    Normal,
}

/// Whether old rows are pressed into compressed blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// Every few thousand rows of the tail become one block: a quarter of the space or less.
    On,
    /// Every entry stays a row that the sqlite3 tool reads.
    Off,
}

/// Which streams (the entries of one `app_name`) have an FTS5 index, for term search over months.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum FullText {
    /// None: text is found through the filters of blocks.
    #[default]
    Off,
    /// Those of these programs.
    Streams(BTreeSet<String>),
    /// All.
    All,
}

impl FullText {
    pub(crate) fn covers(&self, app_name: &str) -> bool {
        match self {
            Self::Off => false,
            Self::Streams(streams) => streams.contains(app_name),
            Self::All => true,
        }
    }
}

/// Whether there is a write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Journal {
    /// Journal mode WAL: readers and the writer never wait for each other.
    Wal,
    /// Journal mode DELETE with synchronous EXTRA: one plain file, and readers and the writer take
    /// turns.
    Rollback,
}

/// Who does the work behind the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Background {
    /// A thread of the store.
    Thread,
    /// Whoever calls [`BatchedSqliteStorage::turn`](crate::BatchedSqliteStorage::turn): a test
    /// that moves the clock by hand.
    Manual,
}

/// How long entries are kept. Both limits hold; the file that is being written is never dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Files of days so many days ago and older are dropped. None keeps them for ever.
    pub days_max: Option<u32>,
    /// The oldest files are dropped while all together are larger. None sets no limit.
    pub bytes_max: Option<u64>,
}

/// Settings of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Entries that close a batch. 100. Under load a batch takes what waits, up to
    /// [`BATCH_ROWS_MAX`].
    pub batch_size: usize,
    /// How long the oldest entry of a batch waits for others. 100 ms.
    pub batch_timeout: Duration,
    /// The same for the first entry after a pause of `batch_timeout`, for which it is not worth
    /// waiting long. 5 ms.
    pub idle_flush: Duration,
    /// Most entries that wait. 10,000.
    pub queue_size: usize,
    /// Most bytes that wait. 10 MiB.
    pub queue_bytes: usize,
    /// When a commit survives a loss of power. Full.
    pub synchronous: Synchronous,
    /// Whether there is a write-ahead log. Wal.
    pub journal: Journal,
    /// Whether old rows are sealed. On.
    pub seal: Seal,
    /// Compression level of blocks, 1 to 19. 3: higher ones cost ingest and gain little.
    pub seal_level: i32,
    /// Which streams have an FTS5 index. Off.
    pub full_text: FullText,
    /// Size at which a day goes on in another file. 4 GiB.
    pub partition_bytes: u64,
    /// How long entries are kept. For ever.
    pub retention: Retention,
    /// How often retention looks for what is too old. 10 minutes.
    pub retention_interval: Duration,
    /// Longest time of one search. 10 s: a reader that stays keeps the write-ahead log from
    /// shrinking.
    pub query_timeout: Duration,
    /// How long SQLite waits for a lock before a call fails as busy. 5 s.
    pub busy_timeout: Duration,
    /// Idle reading connections that are kept, over all files. 16.
    pub readers: usize,
    /// Waits between tries when the file is busy, full or failing; the number of tries does not
    /// count, because an entry is tried until the store is closed.
    pub backoff: Policy,
    /// Seed of the jitter of these waits.
    pub backoff_seed: u64,
    /// Who does the work. A thread.
    pub background: Background,
    /// Name of the SQLite VFS that opens the files; none is SQLite's own. For tests that fail the
    /// disk.
    pub vfs: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            batch_size: 100,
            batch_timeout: Duration::from_millis(100),
            idle_flush: Duration::from_millis(5),
            queue_size: 10_000,
            queue_bytes: 10 * 1024 * 1024,
            synchronous: Synchronous::Full,
            journal: Journal::Wal,
            seal: Seal::On,
            seal_level: 3,
            full_text: FullText::Off,
            partition_bytes: 4 << 30,
            retention: Retention::default(),
            retention_interval: Duration::from_secs(600),
            query_timeout: Duration::from_secs(10),
            busy_timeout: Duration::from_millis(5000),
            readers: 16,
            backoff: Policy {
                first: Duration::from_millis(10),
                longest: Duration::from_secs(2),
                ..Policy::DEFAULT
            },
            backoff_seed: 0x10_65,
            background: Background::Thread,
            vfs: None,
        }
    }
}

impl Options {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// [`LogError::Option`] with the first option that is wrong.
    pub fn check(&self) -> Result<()> {
        let refuse = |option, value, reason| Err(LogError::Option { option, value, reason });
        if self.batch_size == 0 || self.batch_size > BATCH_ROWS_MAX {
            return refuse("batch_size", self.batch_size as u64, "it is 1 to 4096");
        }
        if self.queue_size < self.batch_size {
            return refuse("queue_size", self.queue_size as u64, "a batch must fit into the queue");
        }
        let least = 2 * (crate::entry::MESSAGE_BYTES_MAX + crate::entry::STRUCTURED_BYTES_MAX);
        if self.queue_bytes < least {
            return refuse(
                "queue_bytes",
                self.queue_bytes as u64,
                "the longest entry must fit twice",
            );
        }
        if self.partition_bytes < 1 << 20 {
            return refuse("partition_bytes", self.partition_bytes, "it is at least 1 MiB");
        }
        if !(1..=19).contains(&self.seal_level) {
            return refuse(
                "seal_level",
                u64::from(self.seal_level.unsigned_abs()),
                "it is 1 to 19",
            );
        }
        if self.retention.days_max == Some(0) {
            return refuse("retention.days_max", 0, "today is always kept; leave it out instead");
        }
        if self.retention_interval.is_zero() {
            return refuse("retention_interval", 0, "it is more than nothing");
        }
        if self.readers == 0 {
            return refuse("readers", 0, "it is at least 1");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_make_no_sense_are_refused_by_name() {
        type Change = fn(&mut Options);
        let cases: [(&str, Change); 9] = [
            ("batch_size", |o| o.batch_size = 0),
            ("batch_size", |o| o.batch_size = BATCH_ROWS_MAX + 1),
            ("queue_size", |o| o.queue_size = 99),
            ("queue_bytes", |o| o.queue_bytes = 1000),
            ("partition_bytes", |o| o.partition_bytes = 1),
            ("seal_level", |o| o.seal_level = 20),
            ("retention.days_max", |o| o.retention.days_max = Some(0)),
            ("retention_interval", |o| o.retention_interval = Duration::ZERO),
            ("readers", |o| o.readers = 0),
        ];
        Options::default().check().unwrap();
        for (name, change) in cases {
            let mut options = Options::default();
            change(&mut options);
            match options.check() {
                Err(LogError::Option { option, .. }) => assert_eq!(option, name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}
