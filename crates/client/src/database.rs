//! The typed calls on a database.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::collection::Collection;
use crate::error::{Error, Result};
use crate::feed::Changes;
use crate::surface::{Job, Results, Surface};
use crate::transaction::Transaction;
use crate::values::{CollectionInfo, Document, Id, Outcome, Written};
use crate::wire::{DropMode, ExecuteMode, HealAction, Op};

/// A database of a server, by name. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Database {
    surface: Arc<dyn Surface>,
    name: Arc<str>,
}

/// What the server did with one write; an answer to a read is not one.
pub(crate) fn written(outcome: Result<Outcome>) -> Result<Written> {
    match outcome? {
        Outcome::Written(written) => Ok(written),
        Outcome::Found(_) => Err(Error::protocol("a write was answered with a document")),
    }
}

/// The document that a read found; none when there is none.
pub(crate) fn found(outcome: Result<Outcome>) -> Result<Option<Document>> {
    match outcome {
        Ok(Outcome::Found(document)) => Ok(Some(document)),
        Ok(Outcome::Written(_)) => Err(Error::protocol("a read was answered with a write")),
        Err(error) if error.is(crate::ErrorCode::DocNotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The result of a single operation.
pub(crate) fn only(results: Results) -> Result<Outcome> {
    let mut results = results.into_iter();
    match (results.next(), results.next()) {
        (Some(result), None) => result,
        _ => Err(Error::protocol("one operation was not answered once")),
    }
}

impl Database {
    pub(crate) fn new(surface: Arc<dyn Surface>, name: &str) -> Self {
        Self { surface, name: Arc::from(name) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A collection, by name. Asks nothing: the first call on it tells whether it exists.
    #[must_use]
    pub fn collection(&self, name: &str) -> Collection {
        Collection::new(Arc::clone(&self.surface), Arc::clone(&self.name), name)
    }

    /// Makes a collection.
    ///
    /// # Errors
    /// `CollectionExists`; `InvalidName`.
    pub fn create_collection(&self, name: &str) -> Result<Collection> {
        self.surface.create_collection(&self.name, name)?;
        Ok(self.collection(name))
    }

    /// Removes a collection.
    ///
    /// # Errors
    /// `CollectionNotFound`; `CollectionNotEmpty` unless it may lose documents.
    pub fn drop_collection(&self, name: &str, mode: DropMode) -> Result<()> {
        self.surface.drop_collection(&self.name, name, mode)
    }

    /// The collections, by name.
    ///
    /// # Errors
    /// `DbNotFound`.
    pub fn collections(&self) -> Result<Vec<CollectionInfo>> {
        self.surface.collections(&self.name)
    }

    /// Does all operations or none, in one commit; one result for each. Reads see what the
    /// operations before them did; a read that finds nothing does not stop the batch.
    ///
    /// # Errors
    /// Why nothing was done: [`Error::operation`] says which operation is at fault.
    pub fn batch(&self, ops: &[Op<'_>]) -> Result<Vec<Result<Outcome>>> {
        self.surface.execute(&self.name, ops, ExecuteMode::Atomic)
    }

    /// Does each operation for itself; one result for each. Over the socket they are one request,
    /// over HTTP one after the other.
    ///
    /// # Errors
    /// When there is no answer. What one operation was refused for is its result.
    pub fn independent(&self, ops: &[Op<'_>]) -> Result<Vec<Result<Outcome>>> {
        self.surface.execute(&self.name, ops, ExecuteMode::Independent)
    }

    /// Does one write.
    ///
    /// # Errors
    /// What it was refused for.
    pub fn write(&self, op: Op<'_>) -> Result<Written> {
        written(only(self.surface.execute(&self.name, &[op], ExecuteMode::Atomic)?))
    }

    /// Begins a transaction: reads see one state and what the transaction wrote, and at the commit
    /// all is done or nothing.
    ///
    /// # Errors
    /// `DbNotFound`.
    pub fn begin(&self) -> Result<Transaction> {
        self.surface.begin(&self.name).map(Transaction::new)
    }

    /// The changes behind a position, from the first one on with 0; it goes on for ever.
    #[must_use]
    pub fn changes(&self, after: u64) -> Changes {
        Changes::new(Arc::clone(&self.surface), Arc::clone(&self.name), after)
    }

    /// Statistics.
    ///
    /// # Errors
    /// `DbNotFound`.
    pub fn stats(&self) -> Result<Value> {
        self.surface.job(&self.name, Job::Stats)
    }

    /// Statistics of healing.
    ///
    /// # Errors
    /// `DbNotFound`.
    pub fn heal_stats(&self) -> Result<Value> {
        self.surface.job(&self.name, Job::HealStats)
    }

    /// Checks every data file and heals what can be healed. Reads everything: the timeout of the
    /// client should allow for that.
    ///
    /// # Errors
    /// The server's disk's.
    pub fn heal_all(&self) -> Result<Value> {
        self.surface.job(&self.name, Job::HealAll)
    }

    /// Reads one document and heals it if it is damaged; names the versions of it that are left;
    /// or accepts one of them in the place of the one that is lost.
    ///
    /// # Errors
    /// `DocNotFound`; `DocCorrupt` when it cannot be healed.
    pub fn heal(&self, collection: &str, id: impl Into<Id>, action: HealAction) -> Result<Value> {
        self.surface.heal(&self.name, collection, &id.into(), action)
    }

    /// Reads every document and says which are not sound.
    ///
    /// # Errors
    /// The server's disk's.
    pub fn validate(&self) -> Result<Value> {
        self.surface.job(&self.name, Job::Validate)
    }

    /// Takes a checkpoint.
    ///
    /// # Errors
    /// The server's disk's.
    pub fn checkpoint(&self) -> Result<Value> {
        self.surface.job(&self.name, Job::Checkpoint)
    }

    /// Compacts data files.
    ///
    /// # Errors
    /// The server's disk's.
    pub fn compact(&self) -> Result<Value> {
        self.surface.job(&self.name, Job::Compact)
    }

    /// Takes a backup into a directory of this name below the server's directory for backups. One
    /// that is there already is brought up to date, by copying what is new.
    ///
    /// # Errors
    /// The server's disk's; `InvalidName`; `CorruptRecord` when the directory holds a backup of
    /// another database.
    pub fn backup(&self, name: &str) -> Result<Value> {
        self.surface.backup(&self.name, name)
    }
}

/// How long a feed waits for a change in one request.
pub(crate) const FEED_WAIT: Duration = Duration::from_secs(10);
