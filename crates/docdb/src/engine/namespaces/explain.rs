//! How a query would be answered, without answering it.

use std::fmt;
use std::sync::Arc;

use base::words::Name;
use search::exhaustive::Exhaustive;
use search::query::{Query, RankBy, Search};
use search::schema::{Schema, Undeclared};

use super::super::Engine;
use super::super::reply::Reply;
use super::super::served::Served;
use super::super::work::How;
use super::catalog::no_namespace;
use super::query::{QueryAsked, SCAN_DOCUMENTS_MAX};
use super::schema::stored_schema;

/// How queries of one request would be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The collection.
    pub collection: Name,
    /// Its documents.
    pub documents: u64,
    /// Whether it has a search schema.
    pub has_schema: bool,
    /// Documents that are looked at, at most; none = all.
    pub bound: Option<u64>,
    /// Each query: what it looks for, and how.
    pub queries: Vec<String>,
    /// Whether the answers are fused.
    pub is_fused: bool,
}

impl Plan {
    /// Documents that will be looked at.
    #[must_use]
    pub fn scanned(&self) -> u64 {
        self.bound.map_or(self.documents, |bound| bound.min(self.documents))
    }

    /// Whether there are more than will be looked at.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.scanned() < self.documents
    }
}

impl Engine {
    /// Says how queries would be answered.
    pub fn explain_query(
        self: &Arc<Self>,
        served: &Arc<Served>,
        asked: QueryAsked,
        how: How,
        reply: Reply<Plan>,
    ) {
        self.work(served, 0, how, reply, move |database| {
            let collection = database.collection(&asked.collection)?;
            let schema = stored_schema(database, collection)?;
            if schema.is_none() && asked.of_namespace {
                return Err(no_namespace(&asked.collection));
            }
            // Without a schema what the attributes are is known once the documents are read.
            if let Some(schema) = &schema {
                let reading = schema.with_undeclared(Undeclared::Ignore);
                for query in &asked.queries {
                    Exhaustive::new(&reading, query)?;
                }
            }
            Ok(Plan {
                documents: database.count(collection)?,
                has_schema: schema.is_some(),
                bound: schema.is_none().then_some(SCAN_DOCUMENTS_MAX),
                queries: asked.queries.iter().map(|q| described(q, schema.as_ref())).collect(),
                is_fused: asked.fusion.is_some(),
                collection: asked.collection,
            })
        });
    }
}

fn described(query: &Query, schema: Option<&Schema>) -> String {
    let mut parts = Vec::new();
    if let Some(filter) = &query.filter {
        let mut text = String::new();
        filter.write_json(&mut text);
        parts.push(format!("filter {text}"));
    }
    parts.push(match &query.rank_by {
        None => "order by id".to_owned(),
        Some(RankBy::Nearest(nearest)) => {
            let asked = match nearest.search {
                Search::Approximate => "approximate search asked for",
                Search::Exact => "exact search asked for",
            };
            let metric = schema.and_then(|schema| schema.vector(&nearest.path));
            let metric = metric.map(|(_, field)| search::schema::metric_name(field.metric));
            let metric = metric.unwrap_or("the metric of the query");
            format!("nearest by `{}`, {metric}, {asked}", nearest.path)
        }
        Some(RankBy::Score(rank)) => {
            let mut text = String::new();
            rank.write_json(&mut text);
            format!("order by score {text}")
        }
        Some(RankBy::Order(keys)) => {
            let keys: Vec<String> = keys.iter().map(|key| key.path.to_string()).collect();
            format!("order by {}", keys.join(", "))
        }
    });
    if query.has_rows() {
        parts.push(format!("rows {} from {}", query.limit, query.offset));
    }
    if !query.aggregates.is_empty() {
        parts.push(format!("aggregates {}", query.aggregates.len()));
    }
    if !query.facets.is_empty() {
        parts.push(format!("facets {}", query.facets.len()));
    }
    parts.join("; ")
}

/// For people: a line for the scan, and one for each query.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scanned, documents) = (self.scanned(), self.documents);
        write!(f, "scan of {scanned} of {documents} documents, collection={}", self.collection)?;
        let schema =
            if self.has_schema { "by its search schema" } else { "without a search schema" };
        write!(f, ", {schema}")?;
        if let Some(bound) = self.bound {
            let cut = if self.is_cut() { "which cuts it" } else { "which it does not reach" };
            write!(f, ", bound {bound}, {cut}")?;
        }
        for (number, query) in self.queries.iter().enumerate() {
            write!(f, "\n  query {number}: {query}")?;
        }
        if self.is_fused {
            f.write_str("\n  fused by reciprocal ranks")?;
        }
        Ok(())
    }
}
