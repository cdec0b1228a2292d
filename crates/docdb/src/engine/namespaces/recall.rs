//! How much of the truth an index finds: vectors of the namespace are looked for by the index and by
//! comparing every one, and the two answers are compared.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::clock::WallMs;
use base::error::Code;
use base::words::{DocId, Name};
use docstore::Stored;
use search::exhaustive::{Answer, Exhaustive};
use search::filter::Filter;
use search::path::Path;
use search::query::{Nearest, Query, RankBy, Search};
use search::schema::{FieldNo, Schema, Undeclared, VectorField};

use super::super::Engine;
use super::super::error::{EngineError, Result};
use super::super::reply::Reply;
use super::super::served::Served;
use super::super::work::How;
use super::catalog::no_namespace;
use super::query::{Pass, id_of, of_document};
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
            let snapshot = Snapshot::of(database)?;
            let schema = stored_schema(database, collection)?.ok_or_else(|| no_namespace(name))?;
            let reading = schema.with_undeclared(Undeclared::Ignore);
            let (path, number, field) = vector_field(&reading, asked.field.as_ref())?;
            let pass = Pass { snapshot: &snapshot, collection, patience, most: None };
            let vectors = match &asked.vector {
                Some(vector) => vec![vector.clone()],
                None => {
                    let seed = patience.engine.clock.wall();
                    sample(&pass, &reading, (number, field), (asked.num, seed))?
                }
            };
            let recall = measure(&pass, &reading, &path, &vectors, &asked)?;
            Ok((recall, schema))
        });
    }
}

fn vector_field(schema: &Schema, wanted: Option<&Path>) -> Result<(Path, FieldNo, VectorField)> {
    let mut fields = schema
        .fields()
        .filter_map(|(path, field)| Some((path.clone(), field.number, *field.kind.vector()?)));
    let found = fields.find(|(path, ..)| wanted.is_none_or(|wanted| wanted == path));
    found.ok_or_else(|| {
        EngineError::new(Code::InvalidQuery, "the namespace has no such vector field")
    })
}

/// Some vectors of the namespace, each as likely as any other (reservoir sampling; Vitter, algorithm R).
fn sample(
    pass: &Pass<'_>,
    schema: &Schema,
    (number, field): (FieldNo, VectorField),
    (num, seed): (usize, WallMs),
) -> Result<Vec<Vec<f32>>> {
    let (mut kept, mut seen): (Vec<Vec<f32>>, u64) = (Vec::new(), 0);
    let mut random = base::rng::Rng::new(seed.0);
    pass.snapshot.each(pass.collection, pass.patience, pass.most, |id, stored| {
        let row =
            schema.row(&id, &stored.document).map_err(|error| of_document(error.into(), &id))?;
        let Some(vector) = row.vector(number) else { return Ok(()) };
        seen += 1;
        let vector = || vector.floats(field.element).collect();
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

fn measure(
    pass: &Pass<'_>,
    schema: &Schema,
    path: &Path,
    vectors: &[Vec<f32>],
    asked: &RecallAsked,
) -> Result<Recall> {
    let executor = |vector: &Vec<f32>, search| {
        let nearest = Nearest { path: path.clone(), vector: vector.clone(), search };
        let query = Query {
            rank_by: Some(RankBy::Nearest(nearest)),
            filter: asked.filter.clone(),
            limit: asked.top_k,
            limit_per: None,
            offset: 0,
            cursor: None,
            aggregates: Vec::new(),
            group_by: Vec::new(),
            facets: Vec::new(),
        };
        Exhaustive::new(schema, &query)
    };
    let mut pairs = Vec::with_capacity(vectors.len());
    for vector in vectors {
        pairs.push((executor(vector, Search::Approximate)?, executor(vector, Search::Exact)?));
    }
    pass.snapshot.each(pass.collection, pass.patience, pass.most, |id, stored| {
        let row =
            schema.row(&id, &stored.document).map_err(|error| of_document(error.into(), &id))?;
        for (found, truth) in &mut pairs {
            found.add(&row)?;
            truth.add(&row)?;
        }
        Ok(())
    })?;
    let pairs = pairs.into_iter().zip(vectors);
    let queries = pairs.map(|((found, truth), vector)| {
        compare(pass, found.finish(), truth.finish(), vector.clone())
    });
    Ok(Recall { queries: queries.collect::<Result<_>>()? })
}

fn compare(pass: &Pass<'_>, found: Answer, truth: Answer, vector: Vec<f32>) -> Result<RecallQuery> {
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
