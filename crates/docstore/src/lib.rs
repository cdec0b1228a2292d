//! JSON documents in databases and collections, on the log of crate `wal`.
//!
//! The log is the only place where a write becomes durable; everything else here is derived from
//! it and can be made again: data files, the index of where each document is, checkpoints.

pub mod data;
pub mod index;
mod location;
pub mod patch;
pub mod validation;

mod admin;
mod admission;
mod background;
mod backup;
mod checkpoint;
mod collections;
mod compaction;
mod database;
mod error;
mod expiry;
mod export;
mod feed;
mod heal;
mod history;
mod manifest;
mod memtable;
mod open;
mod options;
mod peek;
#[cfg(feature = "planted-bugs")]
pub mod planted;
mod read;
mod rebuild;
mod request;
mod retire;
mod rule;
mod salvage;
mod snapshots;
mod state;
mod stats;
mod store;
mod submit;
mod transaction;
mod verify;
mod write;

pub use admin::DropMode;
pub use backup::{
    BackupDir, BackupProgress, BackupReport, BackupSummary, RestoreReport, check_backup,
    check_backup_with,
};
pub use database::Database;
pub use error::{Op, Result, StoreError};
pub use export::{
    ExportReport, IMPORT_ERRORS_MAX, ImportLine, ImportMode, ImportOptions, ImportProgress,
    ImportReport, ImportStopped, LINE_BYTES_MAX, LineError, OnError, write_export_line,
};
pub use feed::{ChangesHold, Feed, FeedEntry};
pub use heal::HealReport;
pub use location::{FileNumber, Location};
pub use manifest::{
    Checkpoint, CollectionRecord, DEFAULT_COLLECTION, FileRecord, Manifest, Quarantined,
    default_name,
};
pub use open::OpenReport;
pub use options::Options;
pub use peek::Peeked;
pub use read::{PAGE_DOCUMENTS_MAX, Page, ScanRequest};
pub use rebuild::{Doubt, InDoubt, RebuildReport, rebuild_index};
pub use request::{
    Action, Condition, Effect, Expiry, Otherwise, Refused, Stored, Test, Write, Written,
};
pub use rule::{Amendment, DocumentRule, Fit, Misfit, PropertyRule, PropertySet};
pub use salvage::{DatabaseSalvage, DatabaseSalvageReport};
pub use snapshots::SnapshotId;
pub use stats::{CheckpointReport, CollectionStats, DatabaseStats, HealingStats};
pub use store::{DatabaseEntry, RefusedDirectory, Store};
pub use submit::{Done, Outcome, Unplaced};
pub use transaction::Transaction;
pub use verify::{
    CheckpointCheck, CollectionCheck, FileCheck, LogCheck, ManifestInspection, Problem, Severity,
    Verdict, VerifyReport, inspect_manifest, verify,
};
