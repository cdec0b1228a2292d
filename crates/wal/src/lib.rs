//! The segmented write-ahead log: the one durability point of a database.
//!
//! A [`Log`] takes [`Transaction`]s of [`base::words::Change`]s, gives every change an LSN, writes
//! them in groups and acknowledges them as the [`FsyncMode`] says. Opening a log recovers it: what
//! was acknowledged as durable is there byte for byte, what was not is there whole or not at all,
//! and everything that is there is durable before it is served.
//!
//! What it is not: it does not know what a document's state is, only the changes in order.
//!
//! Where to start reading: [`frame`] and [`segment`] for the format (`docs/formats/wal.md` is the
//! normative text), `walk` for what the end of a log is, `recover` for what an open does, `writer`
//! for writing, `commit` and `shared` for group commit.
//!
//! # Invariants
//!
//! 1. A group is acknowledged only after the mode's durability was reached, in LSN order.
//! 2. A failed sync is never tried again: the log is poisoned.
//! 3. No process writes into a segment that another process wrote.
//! 4. LSNs are consecutive; a transaction's frames are contiguous; a reader sees it whole.
//! 5. Nothing is trimmed that the checkpoint, an unlimited reader or a limited one within its
//!    limits still needs, and never the newest segment.
//!
//! # Example
//!
//! ```
//! use base::{clock::SystemClock, document::Document, io::MemDisk};
//! use base::words::{Change, CollectionId, DatabaseId, DocId, Lsn};
//! use wal::{Environment, Log, Options, Upto};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let env = Environment { disk: MemDisk::shared(), clock: SystemClock::shared(), reserve: None };
//! let log = Log::create(&env, "/".as_ref(), DatabaseId::random()?, Options::default())?;
//! let put = Change::Put {
//!     collection: CollectionId(1),
//!     id: DocId::U64(7),
//!     replaces: Lsn::ZERO,
//!     expires_at: None,
//!     document: Document::from_checksummed(br#"{"title":"Walden"}"#),
//! };
//! let committed = log.append(&put)?;
//! assert_eq!(committed.last, log.durable());
//! let mut reader = log.read(Lsn(1), Upto::Durable);
//! assert_eq!(reader.next()?.and_then(|frame| frame.change()), Some(put));
//! log.close()?;
//! # Ok(())
//! # }
//! ```

/// Whether a run uses this planted defect: never, in a build without them.
macro_rules! planted {
    ($options:expr, $bug:ident) => {{
        #[cfg(feature = "planted-bugs")]
        let on = $options.planted == Some(crate::planted::Bug::$bug);
        #[cfg(not(feature = "planted-bugs"))]
        let on = {
            let _ = &$options;
            false
        };
        on
    }};
}

mod anchor;
mod begin;
mod catalog;
mod claims;
mod commit;
mod error;
pub mod frame;
pub mod inspect;
mod log;
mod maintain;
mod options;
pub mod payload;
#[cfg(feature = "planted-bugs")]
pub mod planted;
mod reader;
mod recover;
mod reserve;
pub mod salvage;
pub mod scan;
pub mod segment;
mod shared;
mod stats;
mod sums;
mod survey;
mod sync;
mod transaction;
mod trim;
mod walk;
pub mod whole;
mod writer;

pub use anchor::{Anchor, FileAnchor, LogState};
pub use begin::begin_behind;
pub use commit::{Committed, Completion, Observer};
pub use error::{Damage, Op, Result, WalError};
pub use log::{Environment, Log, LogStatus, Pending};
pub use options::{Background, FsyncMode, Options};
pub use reader::{Frame, Reader, Upto};
pub use recover::Recovery;
pub use reserve::Reserve;
pub use salvage::{Salvage, SalvageReport, salvage};
pub use stats::CommitStats;
pub use transaction::{Class, Transaction};
pub use trim::{Hold, ReaderMark, Trimmed};
