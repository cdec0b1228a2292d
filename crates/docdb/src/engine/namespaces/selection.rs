//! Which rows a filter finds, for deletions and patches by filter.

use std::sync::Arc;

use base::words::{CollectionId, DocId, Name};
use docstore::Database;
use search::filter::Filter;
use search::schema::{Schema, Undeclared};

use super::super::Engine;
use super::super::error::Result;
use super::super::reply::Reply;
use super::super::served::Served;
use super::super::work::How;
use super::catalog::no_namespace;
use super::indexed::{Indexed, Tried};
use super::query::{Consistency, id_of};
use super::scan::of_document;
use super::schema::stored_schema;
use super::snapshot::{Patience, Snapshot, Waiting};

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
            let schema = stored_schema(database, collection)?.ok_or_else(|| no_namespace(&name))?;
            let indexed = Indexed { patience, database, collection, schema: &schema };
            match select(&indexed, &filter, most)? {
                Tried::Answered(selected) => Ok(selected),
                Tried::Not(_) => select_by_scan((patience, database), collection, &filter, most)?
                    .ok_or_else(|| no_namespace(&name)),
            }
        });
    }
}

/// Asks the index.
pub(super) fn select(
    indexed: &Indexed<'_>,
    filter: &Filter,
    most: usize,
) -> Result<Tried<Selected>> {
    filter.compile(&reading(indexed.schema))?;
    let selected = indexed.ask(Consistency::Strong, |snapshot| {
        Ok(snapshot.select(filter, most, indexed.database.now())?)
    })?;
    Ok(match selected {
        Tried::Answered(selected) => {
            let ids = selected.ids.iter().map(id_of).collect::<Result<_>>()?;
            Tried::Answered(Selected { ids, has_more: selected.has_more })
        }
        Tried::Not(why) => Tried::Not(why),
    })
}

/// Looks at the documents; none when there is no search schema.
pub(super) fn select_by_scan(
    (patience, database): (&Patience<'_>, &Database),
    collection: CollectionId,
    filter: &Filter,
    most: usize,
) -> Result<Option<Selected>> {
    // The documents first: those of an earlier position fit a schema that has grown since.
    let snapshot = Snapshot::of(database)?;
    let Some(schema) = stored_schema(database, collection)? else { return Ok(None) };
    let reading = reading(&schema);
    let filter = filter.compile(&reading)?;
    let mut selected = Selected::default();
    snapshot.each(collection, patience, None, |id, stored| {
        let row =
            reading.row(&id, &stored.document).map_err(|error| of_document(error.into(), &id))?;
        if filter.matches(&row) {
            if selected.ids.len() < most {
                selected.ids.push(id);
            } else {
                selected.has_more = true;
            }
        }
        Ok(())
    })?;
    Ok(Some(selected))
}

fn reading(schema: &Schema) -> Schema {
    schema.with_undeclared(Undeclared::Ignore)
}
