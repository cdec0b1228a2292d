//! Application logs in SQLite: taken in batches, sealed into compressed blocks, found at once.
//!
//! [`BatchedSqliteStorage`] implements [`LogStorage`]. An entry that is stored is checked, shown to
//! live tails and queued; a thread writes what waits in one transaction; the handle then resolves
//! to the entry's id. The library needs no server and no async runtime.
//!
//! What may be lost: entries that wait in the queue when the process dies (a handle that has not
//! resolved promises nothing); with [`Synchronous::Normal`], the last commits when power is lost.
//! Everything else that is not stored is counted, with its reason.
//!
//! | to learn about | start with |
//! |---|---|
//! | what an entry is | [`Entry`] |
//! | batches, failures, retries | [`Options`], the module `batcher` |
//! | what search finds | [`Filter`], [`TextQuery`] |
//! | files and blocks | `docs/formats/logs.md` |
//!
//! ```
//! use logstore::*;
//!
//! # fn main() -> Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let dir = dir.path();
//! let logs = BatchedSqliteStorage::open(dir, Options::default(), Environment::system())?;
//! let now = UnixNanos::from_ms(1_767_225_600_000);
//! let id = logs.store_durable(Entry::new(now, "disk full").from_app("web1", "nginx"))?;
//! let page = logs.search(&Query::new(Filter::default().text("full").field(Field::AppName, &["nginx"])))?;
//! assert_eq!(page.entries[0].id, id);
//! logs.close(std::time::Duration::from_secs(5))?;
//! # Ok(())
//! # }
//! ```

mod backup;
mod batcher;
mod block;
mod completion;
mod damage;
mod dead_letters;
mod entry;
mod error;
mod export;
mod filter;
mod json_path;
pub mod metrics;
mod options;
mod partition;
mod query;
mod queue;
mod raw_block;
mod retention;
mod search;
mod shared;
mod sqlite;
mod storage;
mod store;
mod stored_block;
mod subscribe;
mod text;
mod writer;

pub use backup::{BackupReport, check_backup, is_file_of_backup, restore_backup};
pub use completion::{Callback, Completion, GroupCompletion, Receipt};
pub use dead_letters::DeadLetter;
pub use entry::{
    Entry, EntryId, FIELD_BYTES_MAX, MESSAGE_BYTES_MAX, Marks, STRUCTURED_BYTES_MAX, Severity,
    StoredEntry, UnixNanos,
};
pub use error::{LogError, Result};
pub use export::{CSV_HEADER, Export, ExportFormat, csv_line, json_line};
pub use filter::{
    CONDITIONS_MAX, EntryRef, Field, FieldIs, Filter, JsonIs, Polarity, SeveritySet, TimeRange,
    VALUES_MAX,
};
pub use json_path::JsonPath;
pub use options::{
    BATCH_ROWS_MAX, BLOCK_ROWS, Background, FullText, Journal, Options, Retention, Seal,
    Synchronous,
};
pub use query::{Cursor, Order, PAGE_MAX, Page, Query, Unreadable, Work};
pub use queue::{QueueDepth, Trigger};
pub use raw_block::RawBlock;
pub use retention::CleanupReport;
pub use search::{BARS_MAX, Bar, DISTINCT_MAX, Histogram, TOP_MAX, TopValues};
pub use shared::Environment;
pub use storage::{CloseReport, LogStorage};
pub use store::{BatchedSqliteStorage, Quantiles, Stats};
pub use subscribe::{SUBSCRIBER_BYTES_MAX, Subscription, Tail};
pub use text::{QUERY_BYTES_MAX, TERMS_MAX, TextQuery};
