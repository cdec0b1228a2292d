//! What the typed calls need of a way to the server. Two modules have it: [`crate::session`] over
//! the Unix socket, [`crate::http`] over HTTP.

use std::ops::Bound;
use std::time::Duration;

use serde_json::Value;

use crate::error::Result;
use crate::values::{Change, CollectionInfo, DatabaseInfo, Document, Id, Outcome, Written};
use crate::wire::{DropMode, ExecuteMode, MetricsFormat, Op, OpenMode};

/// What a live tail of application logs brings.
#[derive(Debug, Clone, PartialEq)]
pub enum LogEvent {
    /// An entry.
    Entry(Value),
    /// So many entries passed by, because they were read too slowly.
    Missed(u64),
}

/// Calls that need nothing but a database and answer a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    Stats,
    HealAll,
    HealStats,
    Validate,
    Checkpoint,
    Compact,
}

/// What is asked of the search of a collection: JSON both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Search<'a> {
    Query(&'a str),
    Explain(&'a str),
    Schema,
    Infer,
    SetSchema(&'a str),
    RemoveSchema,
}

/// The part of a collection that a scan reads.
#[derive(Debug, Clone)]
pub(crate) struct Range {
    pub(crate) from: Bound<Id>,
    pub(crate) to: Bound<Id>,
    pub(crate) page: u32,
}

/// Where a scan goes on. What it means is the surface's own.
#[derive(Debug, Clone)]
pub(crate) struct Next {
    pub(crate) cursor: Vec<u8>,
    /// The connection that it belongs to.
    pub(crate) connection: u64,
}

/// A page of a scan.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) documents: Vec<Document>,
    pub(crate) next: Option<Next>,
}

/// One result for each operation, in their order.
pub(crate) type Results = Vec<Result<Outcome>>;

/// A way to the server. Every call is one that a thread waits in.
pub(crate) trait Surface: std::fmt::Debug + Send + Sync {
    fn ping(&self) -> Result<()>;
    fn databases(&self) -> Result<Vec<DatabaseInfo>>;
    fn open(&self, name: &str, mode: OpenMode) -> Result<()>;
    fn close(&self, name: &str) -> Result<()>;
    fn drop_database(&self, name: &str) -> Result<()>;
    fn metrics(&self, format: MetricsFormat) -> Result<String>;
    fn server_stats(&self) -> Result<Value>;
    /// A request of the command `Logs`, and its answer.
    fn logs(&self, request: &Value) -> Result<Value>;
    /// Entries as they come, until `tell` says that it has enough.
    fn tail_logs(&self, request: &Value, tell: &mut dyn FnMut(LogEvent) -> bool) -> Result<()>;

    fn collections(&self, db: &str) -> Result<Vec<CollectionInfo>>;
    fn create_collection(&self, db: &str, name: &str) -> Result<()>;
    fn drop_collection(&self, db: &str, name: &str, mode: DropMode) -> Result<()>;
    fn execute(&self, db: &str, ops: &[Op<'_>], mode: ExecuteMode) -> Result<Results>;
    fn scan(&self, db: &str, collection: &str, range: &Range, next: Option<&Next>) -> Result<Page>;
    fn changes(
        &self,
        db: &str,
        after: u64,
        limit: u32,
        wait: Duration,
    ) -> Result<(u64, Vec<Change>)>;
    fn begin(&self, db: &str) -> Result<Box<dyn OpenTransaction>>;
    fn job(&self, db: &str, job: Job) -> Result<Value>;
    fn heal(
        &self,
        db: &str,
        collection: &str,
        id: &Id,
        action: crate::wire::HealAction,
    ) -> Result<Value>;
    fn backup(&self, db: &str, name: &str) -> Result<Value>;
    /// Answers the text, whose numbers keep every digit.
    fn search(&self, db: &str, collection: &str, search: Search<'_>) -> Result<String>;
}

/// A transaction that was begun.
pub(crate) trait OpenTransaction: std::fmt::Debug + Send + Sync {
    fn execute(&self, ops: &[Op<'_>]) -> Result<Results>;
    fn scan(&self, collection: &str, range: &Range, next: Option<&Next>) -> Result<Page>;
    fn commit(&self) -> Result<Vec<Written>>;
    /// Does not wait for the answer where it need not.
    fn rollback(&self) -> Result<()>;
}
