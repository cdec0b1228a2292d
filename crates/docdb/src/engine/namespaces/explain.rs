//! How a query is answered.
//!
//! Which rows match, and with that which way each part of an index is asked, is known when the filter has been
//! evaluated and not before. So what the index would answer is found, told of and thrown away; of a scan it is only
//! said what it would look at.

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
use super::access::AccessPath;
use super::indexed::Tried;
use super::query::{Asking, QueryAsked, check_count};
use super::scan;
use super::snapshot::Waiting;

/// How queries of one request are answered.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The collection.
    pub collection: Name,
    /// Its documents.
    pub documents: u64,
    /// Whether it has a search schema.
    pub has_schema: bool,
    /// Documents that a scan looks at, at most; none = all.
    pub bound: Option<u64>,
    /// How the answers are found.
    pub access: AccessPath,
    /// Each query: what it looks for, and how.
    pub queries: Vec<String>,
    /// Whether the answers are fused.
    pub is_fused: bool,
}

impl Plan {
    /// Documents, or rows of an index, that are looked at.
    #[must_use]
    pub fn scanned(&self) -> u64 {
        match &self.access {
            AccessPath::Index(used) => used.sum(|query| query.scanned),
            AccessPath::Scan(_) => {
                self.bound.map_or(self.documents, |bound| bound.min(self.documents))
            }
        }
    }

    /// Whether there are more than a scan will look at.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        matches!(self.access, AccessPath::Scan(_)) && self.scanned() < self.documents
    }
}

impl Engine {
    /// Says how queries are answered.
    pub fn explain_query(
        self: &Arc<Self>,
        served: &Arc<Served>,
        asked: QueryAsked,
        how: How,
        waiting: Waiting,
        reply: Reply<Plan>,
    ) {
        self.search(served, (how, waiting), reply, move |patience, database| {
            check_count(&asked)?;
            let collection = database.collection(&asked.collection)?;
            let asking = Asking { patience, database, collection, asked: &asked };
            let (access, schema) = match asking.ask_index()? {
                Tried::Answered((schema, _, used)) => (AccessPath::Index(used), Some(schema)),
                Tried::Not(why) => (AccessPath::Scan(why), asking.schema()?),
            };
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
                bound: if schema.is_none() { scan::BOUND } else { None },
                access,
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

/// For people: a line for the way, one for each query, and below each query of an index its facts and its parts.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (documents, collection) = (self.documents, &self.collection);
        match &self.access {
            AccessPath::Index(used) => {
                let position = used.position;
                write!(f, "index of {documents} documents, collection={collection}")?;
                write!(f, ", position={position}")?;
            }
            AccessPath::Scan(why) => {
                let scanned = self.scanned();
                write!(f, "scan of {scanned} of {documents} documents, collection={collection}")?;
                write!(f, ", because {why}")?;
                if let Some(bound) = self.bound {
                    let cut =
                        if self.is_cut() { "which cuts it" } else { "which it does not reach" };
                    write!(f, ", bound {bound}, {cut}")?;
                }
            }
        }
        for (number, query) in self.queries.iter().enumerate() {
            write!(f, "\n  query {number}: {query}")?;
            let AccessPath::Index(used) = &self.access else { continue };
            let Some(facts) = used.queries.get(number) else { continue };
            for line in facts.to_string().lines() {
                write!(f, "\n    {line}")?;
            }
        }
        if self.is_fused {
            f.write_str("\n  fused")?;
        }
        Ok(())
    }
}
