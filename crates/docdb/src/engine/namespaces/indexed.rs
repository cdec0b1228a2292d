//! Queries, answered by the index of their collection.
//!
//! All queries of one request are asked of one state of the index: one that has every change which was visible
//! when they came, or, for those who can do with less, the state that there is. Where the index cannot be asked the
//! answer is why, and the documents are looked at instead.

use std::cell::Cell;

use base::clock::WallMs;
use base::error::Code;
use base::words::{CollectionId, Lsn};
use docstore::Database;
use search::index::{IndexError, Results, Snapshot as IndexSnapshot};
use search::query::Query;
use search::schema::Schema;

use super::super::error::{EngineError, Result};
use super::access::{IndexUse, WhyScan};
use super::query::Consistency;
use super::snapshot::Patience;

/// What asking the index came to.
pub(super) enum Tried<T> {
    /// It answered.
    Answered(T),
    /// It cannot be asked.
    Not(WhyScan),
}

/// A collection whose index is to be asked.
#[derive(Clone, Copy)]
pub(super) struct Indexed<'a> {
    pub(super) patience: &'a Patience<'a>,
    pub(super) database: &'a Database,
    pub(super) collection: CollectionId,
    /// The search schema that the collection had a moment ago.
    pub(super) schema: &'a Schema,
}

impl Indexed<'_> {
    /// A state of the index that has every change that is visible now; or, if that is enough, the state that there is.
    fn snapshot(&self, consistency: Consistency) -> Result<Tried<IndexSnapshot>> {
        let at = match consistency {
            Consistency::Strong => self.database.position(),
            Consistency::Eventual => Lsn::ZERO,
        };
        let indexes = &self.patience.engine.indexes;
        let of = (self.collection, self.schema);
        let found = indexes.snapshot(self.database, of, at, &|| self.patience.check())?;
        Ok(match found {
            Some(snapshot) => Tried::Answered(snapshot),
            None => {
                let state = indexes.state(self.database, self.collection);
                Tried::Not(WhyScan::NotReady(state))
            }
        })
    }

    /// Does something with the index, if it can be asked. What is wrong with a query is an error; what is wrong with
    /// the index is told to its owner, and is why it was not asked.
    pub(super) fn ask<T>(
        &self,
        consistency: Consistency,
        work: impl Fn(&IndexSnapshot) -> Asked<T>,
    ) -> Result<Tried<T>> {
        let snapshot = match self.snapshot(consistency)? {
            Tried::Answered(snapshot) => snapshot,
            Tried::Not(why) => return Ok(Tried::Not(why)),
        };
        match work(&snapshot) {
            Ok(done) => Ok(Tried::Answered(done)),
            Err(Stopped::ByUs(error)) => Err(error),
            // It may know less of the schema than the query does, because it need not have seen all changes yet.
            Err(Stopped::ByIndex(IndexError::Search(_)))
                if consistency == Consistency::Eventual =>
            {
                self.ask(Consistency::Strong, work)
            }
            Err(Stopped::ByIndex(IndexError::Search(error))) => Err(error.into()),
            Err(Stopped::ByIndex(error)) => {
                let why = WhyScan::Broken(error.to_string().into());
                self.patience.engine.indexes.failed(self.database, self.collection, &error);
                Ok(Tried::Not(why))
            }
        }
    }

    /// Answers queries, all of one state.
    pub(super) fn answer(
        &self,
        queries: &[Query],
        consistency: Consistency,
    ) -> Result<Tried<(Vec<Results>, IndexUse)>> {
        self.ask(consistency, |snapshot| {
            let now = self.database.now();
            let mut results = Vec::with_capacity(queries.len());
            for query in queries {
                results.push(self.query(snapshot, query, now)?);
            }
            let facts = results.iter().map(|results| results.performance.clone()).collect();
            Ok((results, IndexUse { position: snapshot.position(), queries: facts }))
        })
    }
}

impl Indexed<'_> {
    /// Answers a query for as long as somebody waits.
    pub(super) fn query(
        &self,
        snapshot: &IndexSnapshot,
        query: &Query,
        now: WallMs,
    ) -> Asked<Results> {
        let ended = Cell::new(None);
        let go_on = || match self.patience.check() {
            Ok(()) => true,
            Err(error) => {
                ended.set(Some(error));
                false
            }
        };
        match snapshot.query_while(query, now, &go_on)? {
            Some(results) => Ok(results),
            None => {
                let nobody = || EngineError::new(Code::Timeout, "nobody waits for the answer");
                Err(Stopped::ByUs(ended.take().unwrap_or_else(nobody)))
            }
        }
    }
}

/// What work on a state of the index comes to.
pub(super) type Asked<T> = std::result::Result<T, Stopped>;

/// Why work on an index ended.
pub(super) enum Stopped {
    /// The query or the index is at fault.
    ByIndex(IndexError),
    /// Nobody waits any more, or something else went wrong.
    ByUs(EngineError),
}

impl From<IndexError> for Stopped {
    fn from(error: IndexError) -> Self {
        Self::ByIndex(error)
    }
}
