//! Queries, answered by looking at the documents.
//!
//! All queries of one request look at the same documents, at one position, in one pass. Under a search
//! schema the pass covers the collection, so the answer is exact; without one it ends at
//! [`SCAN_DOCUMENTS_MAX`] documents, and the answer says whether it did.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base::error::Code;
use base::words::{DocId, Name};
use docstore::{Database, Stored};
use search::aggregate::Group;
use search::exhaustive::{Answer, Exhaustive, Work};
use search::query::{Query, RankBy};
use search::schema::{Schema, Undeclared, metric_name};
use search::value::Value;
use search::vector::Metric;

use super::super::Engine;
use super::super::error::{EngineError, Result};
use super::super::reply::Reply;
use super::super::served::Served;
use super::super::work::How;
use super::ad_hoc;
use super::fuse::{Fusion, fuse};
use super::schema::stored_schema;
use super::snapshot::{Patience, Snapshot, Waiting};

/// Most documents that a query of a collection without a search schema looks at.
pub const SCAN_DOCUMENTS_MAX: u64 = 100_000;
/// Most queries of one request.
pub const QUERIES_MAX: usize = 16;
/// Most bytes of the documents of one answer.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Queries of one collection.
#[derive(Debug, Clone)]
pub struct QueryAsked {
    /// The collection.
    pub collection: Name,
    /// One or several, answered at one position.
    pub queries: Vec<Query>,
    /// How the answers become one, if they do.
    pub fusion: Option<Fusion>,
    /// Whether the documents of the rows are answered.
    pub documents: Documents,
    /// How vectors are compared: where a schema declares it, it must be so; else cosine unless it is
    /// said.
    pub metric: Option<Metric>,
    /// Whether the collection must be a namespace.
    pub of_namespace: bool,
}

/// Whether documents are answered with their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Documents {
    /// They are.
    Fetch,
    /// They are not.
    Leave,
}

/// The answers to queries.
#[derive(Debug)]
pub struct Answered {
    /// One for each query; one altogether when they were fused.
    pub answers: Vec<QueryAnswer>,
    /// The search schema of the collection, if it has one.
    pub schema: Option<Arc<Schema>>,
    /// What was done, all queries together.
    pub work: Work,
    /// Documents of the collection.
    pub documents: u64,
    /// How long it took on its thread.
    pub took: Duration,
}

/// The answer to one query.
#[derive(Debug)]
pub struct QueryAnswer {
    /// The rows, in their order.
    pub rows: Vec<FoundRow>,
    /// Groups and their totals.
    pub groups: Vec<Group>,
    /// For each facet its commonest values.
    pub facets: Vec<Vec<(Value, u64)>>,
    /// Where the next answer begins.
    pub cursor: Option<String>,
}

/// A row of an answer.
#[derive(Debug)]
pub struct FoundRow {
    /// Its id.
    pub id: DocId,
    /// Its distance or score; none where the order is by attributes.
    pub dist: Option<f64>,
    /// The document, if it was asked for.
    pub stored: Option<Stored>,
}

impl Engine {
    /// Answers queries.
    pub fn query_collection(
        self: &Arc<Self>,
        served: &Arc<Served>,
        asked: QueryAsked,
        how: How,
        waiting: Waiting,
        reply: Reply<Answered>,
    ) {
        self.search(served, (how, waiting), reply, move |patience, database| {
            let started = patience.engine.clock.now();
            let mut answered = answer(patience, database, &asked)?;
            answered.took = patience.engine.clock.now().since(started);
            patience.engine.meters.queried(answered.took);
            Ok(answered)
        });
    }
}

fn answer(patience: &Patience<'_>, database: &Database, asked: &QueryAsked) -> Result<Answered> {
    if asked.queries.is_empty() || asked.queries.len() > QUERIES_MAX {
        let what = format!("a request has 1 to {QUERIES_MAX} queries");
        return Err(EngineError::new(Code::InvalidQuery, what));
    }
    let collection = database.collection(&asked.collection)?;
    // The documents first: those of an earlier position fit a schema that has grown since.
    let snapshot = Snapshot::of(database)?;
    let schema = stored_schema(database, collection)?;
    if schema.is_none() && asked.of_namespace {
        return Err(super::catalog::no_namespace(&asked.collection));
    }
    let (reading, most) = match &schema {
        Some(schema) => (schema.with_undeclared(Undeclared::Ignore), None),
        None => {
            let most = Some(SCAN_DOCUMENTS_MAX);
            let pass = Pass { snapshot: &snapshot, collection, patience, most };
            let metric = asked.metric.unwrap_or(Metric::Cosine);
            (ad_hoc::schema(&pass, &asked.queries, metric)?, most)
        }
    };
    asked.queries.iter().try_for_each(|query| check_metric(asked.metric, query, &reading))?;
    let mut executors: Vec<Exhaustive> = asked
        .queries
        .iter()
        .map(|query| Exhaustive::new(&reading, query))
        .collect::<std::result::Result<_, _>>()?;
    let is_cut = snapshot.each(collection, patience, most, |id, stored| {
        let row = reading.row(&id, &stored.document).map_err(|e| of_document(e.into(), &id))?;
        Ok(executors.iter_mut().try_for_each(|executor| executor.add(&row))?)
    })?;
    let answers: Vec<Answer> = executors.into_iter().map(Exhaustive::finish).collect();
    let mut work = answers.first().map(|answer| answer.work).unwrap_or_default();
    work.is_cut = is_cut;
    let answers = match &asked.fusion {
        None => answers,
        Some(fusion) => vec![fuse(answers, fusion)],
    };
    let answers = fetch(&snapshot, collection, answers, asked.documents)?;
    let documents = database.count(collection)?;
    let schema = schema.map(Arc::new);
    Ok(Answered { answers, schema, work, documents, took: Duration::ZERO })
}

/// Whoever names a metric must mean the one that the vectors have.
fn check_metric(asked: Option<Metric>, query: &Query, schema: &Schema) -> Result<()> {
    let Some(RankBy::Nearest(nearest)) = &query.rank_by else { return Ok(()) };
    let field = schema.vector(&nearest.path).map(|(_, field)| field);
    match (asked, field) {
        (Some(asked), Some(field)) if asked != field.metric => {
            let (asked, found) = (metric_name(asked), metric_name(field.metric));
            let what = format!("the distance_metric of `{}` is {found}, not {asked}", nearest.path);
            Err(EngineError::new(Code::InvalidQuery, what))
        }
        (_, _) => Ok(()),
    }
}

/// What a pass over the documents looks at.
pub(super) struct Pass<'a> {
    pub(super) snapshot: &'a Snapshot<'a>,
    pub(super) collection: base::words::CollectionId,
    pub(super) patience: &'a Patience<'a>,
    pub(super) most: Option<u64>,
}

/// The same error, naming the document that it is about.
pub(super) fn of_document(error: EngineError, id: &DocId) -> EngineError {
    EngineError { message: format!("{} id={id}", error.message).into(), ..error }
}

/// The rows with their documents, each read once however many answers have it.
fn fetch(
    snapshot: &Snapshot<'_>,
    collection: base::words::CollectionId,
    answers: Vec<Answer>,
    documents: Documents,
) -> Result<Vec<QueryAnswer>> {
    let (mut known, mut bytes): (HashMap<DocId, Stored>, usize) = (HashMap::new(), 0);
    let mut fetched = Vec::with_capacity(answers.len());
    for answer in answers {
        let mut rows = Vec::with_capacity(answer.rows.len());
        for found in answer.rows {
            let id = id_of(&found.id)?;
            let stored = match documents {
                Documents::Leave => None,
                Documents::Fetch => match known.get(&id) {
                    Some(stored) => Some(stored.clone()),
                    None => snapshot.get(collection, &id)?.inspect(|stored| {
                        known.insert(id.clone(), stored.clone());
                    }),
                },
            };
            bytes += stored.as_ref().map_or(0, |stored| stored.document.as_bytes().len());
            if bytes > ANSWER_BYTES_MAX {
                let what = format!(
                    "the documents of the answer have more than {ANSWER_BYTES_MAX} bytes; ask for \
                     fewer rows"
                );
                return Err(EngineError::new(Code::PayloadTooLarge, what));
            }
            rows.push(FoundRow { id, dist: found.dist, stored });
        }
        let (groups, facets, cursor) = (answer.groups, answer.facets, answer.cursor);
        fetched.push(QueryAnswer { rows, groups, facets, cursor });
    }
    Ok(fetched)
}

/// The id that a row is found under.
pub(super) fn id_of(value: &Value) -> Result<DocId> {
    match value {
        Value::Uint(number) => Ok(DocId::U64(*number)),
        Value::Uuid(uuid) => Ok(DocId::Uuid(*uuid)),
        Value::String(text) => Ok(DocId::string(text)?),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::DateTime(_) | Value::Array(_) => {
            Err(EngineError::new(Code::Internal, "a row has an id that is none"))
        }
    }
}
