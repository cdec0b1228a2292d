//! Queries, answered by looking at the documents.
//!
//! All queries of one request look at the same documents, at one position, in one pass. Under a search schema the
//! pass covers the collection, so the answer is exact; without one it ends at [`SCAN_DOCUMENTS_MAX`] documents, and
//! the answer says whether it did.

use base::words::{CollectionId, DocId};
use search::exhaustive::{Answer, Exhaustive, Work};
use search::order::Direction;
use search::query::Query;
use search::schema::Schema;

use super::super::error::{EngineError, Result};
use super::query::SCAN_DOCUMENTS_MAX;
use super::snapshot::{Patience, Snapshot};

/// What a pass over the documents looks at.
pub(super) struct Pass<'a> {
    pub(super) snapshot: &'a Snapshot<'a>,
    pub(super) collection: CollectionId,
    pub(super) patience: &'a Patience<'a>,
    pub(super) most: Option<u64>,
}

/// An answer, and which way the numbers of its rows go, if they have some.
pub(super) type Directed = (Answer, Option<Direction>);

/// Answers queries, each with the way in which its numbers go, and what was done for all of them together.
pub(super) fn answer(
    pass: &Pass<'_>,
    schema: &Schema,
    queries: &[Query],
) -> Result<(Vec<Directed>, Work)> {
    let mut executors: Vec<Exhaustive> = queries
        .iter()
        .map(|query| Exhaustive::new(schema, query))
        .collect::<std::result::Result<_, _>>()?;
    let is_cut = pass.snapshot.each(pass.collection, pass.patience, pass.most, |id, stored| {
        let row = schema.row(&id, &stored.document).map_err(|e| of_document(e.into(), &id))?;
        Ok(executors.iter_mut().try_for_each(|executor| executor.add(&row))?)
    })?;
    let answers: Vec<Directed> = executors
        .into_iter()
        .map(|executor| {
            let direction = executor.score_direction();
            (executor.finish(), direction)
        })
        .collect();
    let mut work = answers.first().map(|(answer, _)| answer.work).unwrap_or_default();
    work.is_cut = is_cut;
    Ok((answers, work))
}

/// The bound of a pass over a collection without a search schema.
pub(super) const BOUND: Option<u64> = Some(SCAN_DOCUMENTS_MAX);

/// The same error, naming the document that it is about.
pub(super) fn of_document(error: EngineError, id: &DocId) -> EngineError {
    EngineError { message: format!("{} id={id}", error.message).into(), ..error }
}
