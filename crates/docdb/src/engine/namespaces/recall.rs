//! How much of the truth an index finds: vectors of the namespace are looked for by the index and by
//! comparing every one, and the two answers are compared. Where there is no index to ask, every one is compared
//! both times.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::clock::WallMs;
use base::error::Code;
use base::rng::Rng;
use base::words::{DocId, Name};
use docstore::Stored;
use search::exhaustive::{Answer, Exhaustive};
use search::filter::Filter;
use search::path::Path;
use search::query::{Nearest, Query, RankBy, Search};
use search::schema::{FieldNo, Row, Schema, Undeclared, Vector, VectorField};

use super::super::Engine;
use super::super::error::{EngineError, Result};
use super::super::reply::Reply;
use super::super::served::Served;
use super::super::work::How;
use super::catalog::no_namespace;
use super::indexed::{Indexed, Stopped, Tried};
use super::query::{Consistency, id_of};
use super::scan::{Pass, of_document};
use super::schema::stored_schema;
use super::snapshot::{Snapshot, Waiting};

/// Most vectors that one measurement looks for.
pub const RECALL_QUERIES_MAX: usize = 100;

/// What to measure.
#[derive(Debug, Clone)]
pub struct RecallAsked {
    /// The namespace.
    pub name: Name,
    /// The vector field; none = the first.
    pub field: Option<Path>,
    /// The vector to look for; none = some of the namespace.
    pub vector: Option<Vec<f32>>,
    /// How many of the namespace's.
    pub num: usize,
    /// How many rows each answer has.
    pub top_k: usize,
    /// Of which rows.
    pub filter: Option<Filter>,
}

/// What was measured.
#[derive(Debug)]
pub struct Recall {
    /// Each vector that was looked for.
    pub queries: Vec<RecallQuery>,
}

/// One vector that was looked for.
#[derive(Debug)]
pub struct RecallQuery {
    /// The vector.
    pub vector: Vec<f32>,
    /// The nearest rows, in truth, with their distances.
    pub nearest: Vec<(DocId, f64, Option<Stored>)>,
    /// How many rows the index answered.
    pub answered: usize,
    /// How many of those are among the nearest.
    pub right: usize,
}

impl Engine {
    /// Measures how much of the truth the index of vectors finds.
    pub fn measure_recall(
        self: &Arc<Self>,
        served: &Arc<Served>,
        asked: RecallAsked,
        how: How,
        waiting: Waiting,
        reply: Reply<(Recall, Schema)>,
    ) {
        self.search(served, (how, waiting), reply, move |patience, database| {
            let name = &asked.name;
            let collection = super::found(database, name)?.ok_or_else(|| no_namespace(name))?;
            // The documents first: those of an earlier position fit a schema that has grown since.
            let snapshot = Snapshot::of(database)?;
            let schema = stored_schema(database, collection)?.ok_or_else(|| no_namespace(name))?;
            let reading = schema.with_undeclared(Undeclared::Ignore);
            let (path, number, field) = vector_field(&reading, asked.field.as_ref())?;
            let pass = Pass { snapshot: &snapshot, collection, patience, most: None };
            let of_field = Measured { pass: &pass, schema: &reading, path, number, field };
            let indexed = Indexed { patience, database, collection, schema: &schema };
            let recall = match of_field.by_index(&indexed, &asked)? {
                Tried::Answered(recall) => recall,
                Tried::Not(_) => of_field.by_scan(&asked)?,
            };
            Ok((recall, schema))
        });
    }
}

fn vector_field(schema: &Schema, wanted: Option<&Path>) -> Result<(Path, FieldNo, VectorField)> {
    let mut fields = schema
        .fields()
        .filter_map(|(path, field)| Some((path.clone(), field.number, *field.kind.vector()?)));
    let found = fields.find(|(path, _, field)| match wanted {
        Some(wanted) => wanted == path,
        None => field.ann,
    });
    let found = found.filter(|(_, _, field)| field.ann);
    found.ok_or_else(|| {
        let what = "the namespace has no such vector field with an index";
        EngineError::new(Code::InvalidQuery, what)
    })
}

/// The vector field that is measured, and the documents that have it.
struct Measured<'a> {
    pass: &'a Pass<'a>,
    schema: &'a Schema,
    path: Path,
    number: FieldNo,
    field: VectorField,
}

impl Measured<'_> {
    fn query(&self, vector: &[f32], search: Search, asked: &RecallAsked) -> Query {
        let nearest = Nearest { path: self.path.clone(), vector: vector.to_vec(), search };
        Query {
            rank_by: Some(RankBy::Nearest(nearest)),
            filter: asked.filter.clone(),
            limit: asked.top_k,
            limit_per: None,
            offset: 0,
            cursor: None,
            aggregates: Vec::new(),
            group_by: Vec::new(),
            facets: Vec::new(),
        }
    }

    /// Asks the index for what it finds, and then to compare every vector that it has.
    fn by_index(&self, indexed: &Indexed<'_>, asked: &RecallAsked) -> Result<Tried<Recall>> {
        indexed.ask(Consistency::Strong, |index| {
            let now = indexed.database.now();
            let vectors = match &asked.vector {
                Some(vector) => vec![vector.clone()],
                None => {
                    let mut rng = Rng::new(indexed.patience.engine.clock.wall().0);
                    let some = index.sample_vectors(self.number, asked.num, (&mut rng, now))?;
                    let floats = |vector: &Vector| vector.floats(self.field.element).collect();
                    some.iter().map(floats).collect()
                }
            };
            let mut queries = Vec::with_capacity(vectors.len());
            for vector in vectors {
                let find = |search| indexed.query(index, &self.query(&vector, search, asked), now);
                let found = find(Search::Approximate)?.answer;
                let truth = find(Search::Exact)?.answer;
                let compared = compare(self.pass, &found, &truth, vector);
                queries.push(compared.map_err(Stopped::ByUs)?);
            }
            Ok(Recall { queries })
        })
    }

    /// Looks at the documents once for the vectors, unless one is given, and once for all that is near to them.
    fn by_scan(&self, asked: &RecallAsked) -> Result<Recall> {
        let vectors = match &asked.vector {
            Some(vector) => vec![vector.clone()],
            None => self.sample(asked.num, self.pass.patience.engine.clock.wall())?,
        };
        let mut executors = Vec::with_capacity(vectors.len());
        for vector in &vectors {
            let query = self.query(vector, Search::Exact, asked);
            executors.push(Exhaustive::new(self.schema, &query)?);
        }
        self.each(|row| Ok(executors.iter_mut().try_for_each(|executor| executor.add(row))?))?;
        let answers = executors.into_iter().map(Exhaustive::finish).zip(vectors);
        let queries = answers.map(|(answer, vector)| compare(self.pass, &answer, &answer, vector));
        Ok(Recall { queries: queries.collect::<Result<_>>()? })
    }

    /// Some vectors of the namespace, each as likely as any other (reservoir sampling; Vitter, algorithm R).
    fn sample(&self, num: usize, seed: WallMs) -> Result<Vec<Vec<f32>>> {
        let (mut kept, mut seen): (Vec<Vec<f32>>, u64) = (Vec::new(), 0);
        let mut random = Rng::new(seed.0);
        self.each(|row| {
            let Some(vector) = row.vector(self.number) else { return Ok(()) };
            seen += 1;
            let vector = || vector.floats(self.field.element).collect();
            if kept.len() < num {
                kept.push(vector());
            } else if let Ok(at) = usize::try_from(random.below(seen))
                && let Some(slot) = kept.get_mut(at)
            {
                *slot = vector();
            }
            Ok(())
        })?;
        Ok(kept)
    }

    fn each(&self, mut show: impl FnMut(&Row) -> Result<()>) -> Result<()> {
        let Pass { snapshot, collection, patience, most } = *self.pass;
        let end = snapshot.each(collection, patience, most, |id, stored| {
            let row = self.schema.row(&id, &stored.document);
            show(&row.map_err(|error| of_document(error.into(), &id))?)
        });
        end.map(drop)
    }
}

fn compare(
    pass: &Pass<'_>,
    found: &Answer,
    truth: &Answer,
    vector: Vec<f32>,
) -> Result<RecallQuery> {
    let mut nearest = Vec::with_capacity(truth.rows.len());
    for row in &truth.rows {
        let id = id_of(&row.id)?;
        let stored = pass.snapshot.get(pass.collection, &id)?;
        nearest.push((id, row.dist.unwrap_or_default(), stored));
    }
    let right: BTreeSet<_> = truth.rows.iter().map(|row| &row.id).collect();
    let right = found.rows.iter().filter(|row| right.contains(&row.id)).count();
    Ok(RecallQuery { vector, nearest, answered: found.rows.len(), right })
}
