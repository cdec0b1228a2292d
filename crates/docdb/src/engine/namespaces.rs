//! Search: what joins the document store and crate `search`.
//!
//! A *namespace* is a collection with a search schema. The schema is a property of the collection, so it
//! is in the log, in checkpoints and in backups with its documents, and every write of whichever surface
//! is judged by it before it is logged (`rule.rs`). Queries are answered by the index of the collection, at one
//! position, on threads of their own (`query.rs`, `indexed.rs`). Where the index cannot be asked, the documents
//! are looked at (`scan.rs`), with the same answer; those of a collection without a schema to a bound
//! ([`SCAN_DOCUMENTS_MAX`]).
//!
//! Invariants: a write of a namespace is one commit, schema and new collection included; nothing here
//! runs on the threads that write, but for what a write itself needs.
//!
//! Start with [`Engine::query_collection`], [`Engine::write_namespace`] and
//! [`Engine::change_search_schema`].

mod access;
mod ad_hoc;
mod catalog;
mod conditions;
mod copy;
mod explain;
mod indexed;
mod query;
mod recall;
mod rule;
mod scan;
mod schema;
mod selection;
mod snapshot;
#[cfg(test)]
mod tests;
mod versions;
mod write;

use std::sync::Arc;

use base::words::Name;
use docstore::Database;

use super::Engine;
use super::error::Result;
use super::reply::Reply;
use super::served::Served;
use super::work::How;

pub use access::{AccessPath, IndexUse, WhyScan};
pub use catalog::NamespaceInfo;
pub use conditions::RowCondition;
pub use explain::Plan;
pub use query::{
    ANSWER_BYTES_MAX, Answered, Consistency, Documents, FoundRow, Fused, QUERIES_MAX, QueryAnswer,
    QueryAsked, SCAN_DOCUMENTS_MAX,
};
pub use recall::{RECALL_QUERIES_MAX, Recall, RecallAsked, RecallQuery};
pub use schema::{MISFITS_MAX, SAMPLE_MAX, SchemaChange, SchemaInfo};
pub use selection::Selected;
pub use snapshot::{Asker, Waiting};
pub use write::{NamespaceWrite, NamespaceWritten, RowOp, RowWrite, SchemaNeeded};

use rule::property_rule;
pub(super) use rule::schema_property;
use snapshot::Patience;

/// What the document store of a data directory must be told to judge documents by.
#[must_use]
pub fn search_rule() -> docstore::PropertyRule {
    property_rule()
}

impl Engine {
    /// Has something read on the threads for queries, until its deadline or until nobody waits.
    fn search<T: Send + 'static>(
        self: &Arc<Self>,
        served: &Arc<Served>,
        (how, waiting): (How, Waiting),
        reply: Reply<T>,
        work: impl FnOnce(&Patience<'_>, &Database) -> Result<T> + Send + 'static,
    ) {
        let engine = Arc::clone(self);
        self.work_on(
            |engine| &engine.queries,
            served,
            how,
            reply,
            move |database| {
                let patience =
                    Patience { engine: &engine, deadline: how.deadline, waiting: &waiting };
                patience.check()?;
                work(&patience, database)
            },
        );
    }
}

/// The number of a collection, if there is one of this name.
fn found(database: &Database, name: &Name) -> Result<Option<base::words::CollectionId>> {
    match database.collection(name) {
        Ok(number) => Ok(Some(number)),
        Err(docstore::StoreError::CollectionNotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
