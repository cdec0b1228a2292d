//! Which rows a filter finds, for deletions and patches by filter.

use std::sync::Arc;

use base::words::{DocId, Name};
use search::filter::Filter;
use search::schema::Undeclared;

use super::super::Engine;
use super::super::reply::Reply;
use super::super::served::Served;
use super::super::work::How;
use super::catalog::no_namespace;
use super::query::of_document;
use super::schema::stored_schema;
use super::snapshot::{Snapshot, Waiting};

/// Rows that a filter has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selected {
    /// Their ids, in order.
    pub ids: Vec<DocId>,
    /// Whether there are more.
    pub has_more: bool,
}

impl Engine {
    /// The first rows, at most `most`, that a filter finds at one position.
    pub fn select_rows(
        self: &Arc<Self>,
        served: &Arc<Served>,
        (name, filter, most): (Name, Filter, usize),
        how: How,
        waiting: Waiting,
        reply: Reply<Selected>,
    ) {
        self.search(served, (how, waiting), reply, move |patience, database| {
            let collection = super::found(database, &name)?.ok_or_else(|| no_namespace(&name))?;
            let snapshot = Snapshot::of(database)?;
            let schema = stored_schema(database, collection)?.ok_or_else(|| no_namespace(&name))?;
            let reading = schema.with_undeclared(Undeclared::Ignore);
            let filter = filter.compile(&reading)?;
            let mut selected = Selected::default();
            snapshot.each(collection, patience, None, |id, stored| {
                let row = reading
                    .row(&id, &stored.document)
                    .map_err(|error| of_document(error.into(), &id))?;
                if filter.matches(&row) {
                    if selected.ids.len() < most {
                        selected.ids.push(id);
                    } else {
                        selected.has_more = true;
                    }
                }
                Ok(())
            })?;
            Ok(selected)
        });
    }
}
