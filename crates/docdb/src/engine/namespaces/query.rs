//! Queries: what is asked, what is answered, and the two ways between.
//!
//! Under a search schema the index is asked (`indexed.rs`), and where it cannot be, or without a schema, the
//! documents are looked at (`scan.rs`). Both answer the same. All queries of one request see one position.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use base::error::Code;
use base::words::{CollectionId, DocId, Name};
use docstore::{Database, Stored};
use search::aggregate::Group;
use search::exhaustive::{Answer, Exhaustive, Work};
use search::fusion::List;
use search::index::Results;
use search::query::{Query, RankBy};
use search::schema::{Schema, Undeclared, metric_name};
use search::value::Value;
use search::vector::Metric;

use super::super::Engine;
use super::super::error::{EngineError, Result};
use super::super::reply::Reply;
use super::super::served::Served;
use super::super::work::How;
use super::access::{AccessPath, IndexUse, WhyScan};
use super::ad_hoc;
use super::indexed::{Indexed, Tried};
use super::scan::{self, Directed, Pass};
use super::schema::stored_schema;
use super::snapshot::{Patience, Snapshot, Waiting};
use super::versions::Versions;

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
    pub fusion: Option<Fused>,
    /// Whether the documents of the rows are answered.
    pub documents: Documents,
    /// How vectors are compared: where a schema declares it, it must be so; else cosine unless it is
    /// said.
    pub metric: Option<Metric>,
    /// Whether the collection must be a namespace.
    pub of_namespace: bool,
    /// Which writes the answers must know of.
    pub consistency: Consistency,
}

/// How several answers become one.
#[derive(Debug, Clone, PartialEq)]
pub struct Fused {
    /// What the rows of one answer score by their places in the others.
    pub by: search::fusion::Fusion,
    /// Rows to pass over.
    pub offset: usize,
    /// Rows to answer.
    pub limit: usize,
}

/// Whether documents are answered with their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Documents {
    /// They are.
    Fetch,
    /// They are not.
    Leave,
}

/// Which writes an answer must know of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// All that were answered before it was asked.
    #[default]
    Strong,
    /// Those that its index has applied already. Rows are found by these; the documents that are shown of them are
    /// the newest.
    Eventual,
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
    /// How the answers were found.
    pub access: AccessPath,
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

/// Answers queries, by the index where it can be asked.
pub(super) fn answer(
    patience: &Patience<'_>,
    database: &Database,
    asked: &QueryAsked,
) -> Result<Answered> {
    check_count(asked)?;
    let collection = database.collection(&asked.collection)?;
    let asking = Asking { patience, database, collection, asked };
    let why = match asking.by_index()? {
        Tried::Answered(answered) => return Ok(answered),
        Tried::Not(why) => why,
    };
    asking.by_scan(why)
}

/// Answers queries by looking at the documents, whatever the index could do.
#[cfg(test)]
pub(super) fn answer_by_scan(
    patience: &Patience<'_>,
    database: &Database,
    asked: &QueryAsked,
) -> Result<Answered> {
    let collection = database.collection(&asked.collection)?;
    let asking = Asking { patience, database, collection, asked };
    asking.by_scan(WhyScan::NotReady(None))
}

pub(super) fn check_count(asked: &QueryAsked) -> Result<()> {
    if asked.queries.is_empty() || asked.queries.len() > QUERIES_MAX {
        let what = format!("a request has 1 to {QUERIES_MAX} queries");
        return Err(EngineError::new(Code::InvalidQuery, what));
    }
    Ok(())
}

/// A request for answers.
pub(super) struct Asking<'a> {
    pub(super) patience: &'a Patience<'a>,
    pub(super) database: &'a Database,
    pub(super) collection: CollectionId,
    pub(super) asked: &'a QueryAsked,
}

impl Asking<'_> {
    fn by_index(&self) -> Result<Tried<Answered>> {
        let fetches = self.asked.documents == Documents::Fetch && self.asked.has_rows();
        // In this order: the snapshot of the documents is not before this position, and the state of the index is not
        // before that of the snapshot.
        let from = self.database.position();
        // What is written meanwhile is read from the log in the end.
        let _kept = fetches.then(|| self.database.hold_changes("a query", from));
        let snapshot = if fetches { Some(Snapshot::of(self.database)?) } else { None };
        let (schema, found, used) = match self.ask_index()? {
            Tried::Answered(found) => found,
            Tried::Not(why) => return Ok(Tried::Not(why)),
        };
        let work = Work {
            scanned: used.sum(|query| query.scanned),
            matched: used.sum(|query| query.matched),
            is_cut: false,
        };
        let found: Vec<_> = found.into_iter().map(|it| (it.answer, it.direction)).collect();
        let answers = self.fused(found)?;
        let answers = match &snapshot {
            None => shown(answers, None)?,
            Some(snapshot) => {
                let ids = ids_of(&answers)?;
                let span = (from, used.position);
                let versions = Versions::between(snapshot, self.collection, span, &ids)?;
                shown(answers, Some(&versions))?
            }
        };
        self.answered((answers, Some(schema)), work, AccessPath::Index(used)).map(Tried::Answered)
    }

    /// Asks the index of the collection, if it has one.
    pub(super) fn ask_index(&self) -> Result<Tried<(Schema, Vec<Results>, IndexUse)>> {
        let Some(schema) = self.schema()? else { return Ok(Tried::Not(WhyScan::NoSchema)) };
        let reading = schema.with_undeclared(Undeclared::Ignore);
        self.check(&reading)?;
        let Self { patience, database, collection, asked } = *self;
        let indexed = Indexed { patience, database, collection, schema: &schema };
        Ok(match indexed.answer(&asked.queries, asked.consistency)? {
            Tried::Answered((results, used)) => Tried::Answered((schema, results, used)),
            Tried::Not(why) => Tried::Not(why),
        })
    }

    fn by_scan(&self, why: WhyScan) -> Result<Answered> {
        let Self { patience, collection, asked, .. } = *self;
        // The documents first: those of an earlier position fit a schema that has grown since.
        let snapshot = Snapshot::of(self.database)?;
        let schema = self.schema()?;
        let most = if schema.is_some() { None } else { scan::BOUND };
        let pass = Pass { snapshot: &snapshot, collection, patience, most };
        let reading = match &schema {
            Some(schema) => schema.with_undeclared(Undeclared::Ignore),
            None => ad_hoc::schema(&pass, &asked.queries, asked.metric.unwrap_or(Metric::Cosine))?,
        };
        asked.queries.iter().try_for_each(|query| check_metric(asked.metric, query, &reading))?;
        let (found, work) = scan::answer(&pass, &reading, &asked.queries)?;
        let answers = self.fused(found)?;
        let versions = Versions::of(&snapshot, collection);
        let fetches = asked.documents == Documents::Fetch;
        let answers = shown(answers, fetches.then_some(&versions))?;
        self.answered((answers, schema), work, AccessPath::Scan(why))
    }

    /// The search schema; none of a collection that has none, which a namespace must.
    pub(super) fn schema(&self) -> Result<Option<Schema>> {
        let schema = stored_schema(self.database, self.collection)?;
        if schema.is_none() && self.asked.of_namespace {
            return Err(super::catalog::no_namespace(&self.asked.collection));
        }
        Ok(schema)
    }

    /// Refuses what does not fit the schema: of every query, before the first is asked.
    fn check(&self, schema: &Schema) -> Result<()> {
        for query in &self.asked.queries {
            check_metric(self.asked.metric, query, schema)?;
            Exhaustive::new(schema, query)?;
        }
        Ok(())
    }

    fn fused(&self, found: Vec<Directed>) -> Result<Vec<Answer>> {
        let Some(fused) = &self.asked.fusion else {
            return Ok(found.into_iter().map(|(answer, _)| answer).collect());
        };
        let lists: Vec<List<'_>> = found
            .iter()
            .map(|(answer, direction)| List { rows: &answer.rows, direction: *direction })
            .collect();
        let rows = fused.by.fuse(&lists)?;
        let rows = rows.into_iter().skip(fused.offset).take(fused.limit).collect();
        let (groups, facets, cursor) = (Vec::new(), Vec::new(), None);
        Ok(vec![Answer { rows, groups, facets, cursor, work: Work::default() }])
    }

    fn answered(
        &self,
        (answers, schema): (Vec<QueryAnswer>, Option<Schema>),
        work: Work,
        access: AccessPath,
    ) -> Result<Answered> {
        let documents = self.database.count(self.collection)?;
        let schema = schema.map(Arc::new);
        Ok(Answered { answers, schema, work, access, documents, took: Duration::ZERO })
    }
}

impl QueryAsked {
    fn has_rows(&self) -> bool {
        self.queries.iter().any(Query::has_rows)
    }
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

fn ids_of(answers: &[Answer]) -> Result<HashSet<DocId>> {
    answers.iter().flat_map(|answer| &answer.rows).map(|found| id_of(&found.id)).collect()
}

/// The rows, with their documents if these are given: each is read once, however many answers have it. A row whose
/// document is gone by now is left out.
fn shown(answers: Vec<Answer>, versions: Option<&Versions<'_>>) -> Result<Vec<QueryAnswer>> {
    let (mut known, mut bytes): (HashMap<DocId, Option<Stored>>, usize) = (HashMap::new(), 0);
    let mut shown = Vec::with_capacity(answers.len());
    for answer in answers {
        let mut rows = Vec::with_capacity(answer.rows.len());
        for found in answer.rows {
            let id = id_of(&found.id)?;
            let Some(versions) = versions else {
                rows.push(FoundRow { id, dist: found.dist, stored: None });
                continue;
            };
            let stored = match known.get(&id) {
                Some(stored) => stored.clone(),
                None => versions.get(&id)?,
            };
            known.insert(id.clone(), stored.clone());
            let Some(stored) = stored else { continue };
            bytes += stored.document.as_bytes().len();
            if bytes > ANSWER_BYTES_MAX {
                return Err(too_large());
            }
            rows.push(FoundRow { id, dist: found.dist, stored: Some(stored) });
        }
        let (groups, facets, cursor) = (answer.groups, answer.facets, answer.cursor);
        shown.push(QueryAnswer { rows, groups, facets, cursor });
    }
    Ok(shown)
}

fn too_large() -> EngineError {
    let what = format!(
        "the documents of the answer have more than {ANSWER_BYTES_MAX} bytes; ask for fewer rows"
    );
    EngineError::new(Code::PayloadTooLarge, what)
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
