//! A query: what to rank by, what to filter, how many rows, and which numbers about them.
//!
//! Read from JSON in the words of the turbopuffer wire language; what is ours alone is `facets`, `cursor`,
//! and the aggregates beyond Count and Sum. Which attributes to return, consistency and the encoding of
//! vectors belong to the surface that answers, and are not part of it.
//!
//! Start with [`Query::parse`].

mod parse;

use crate::aggregate::{Aggregate, Facet};
use crate::filter::Filter;
use crate::json::{write_list, write_string};
use crate::order::OrderKey;
use crate::path::Path;
use crate::rank::Rank;

/// Most rows that a query may ask for.
pub const LIMIT_MAX: usize = 10_000;
/// Most rows that a query may pass over; a cursor goes further.
pub const OFFSET_MAX: usize = 10_000;
/// Rows that are answered unless another number is asked for.
pub const LIMIT_DEFAULT: usize = 10;

/// A query.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// What the rows are ordered by; none is by id, and no rows at all when there are aggregates.
    pub rank_by: Option<RankBy>,
    /// Which rows.
    pub filter: Option<Filter>,
    /// How many, 0 to [`LIMIT_MAX`].
    pub limit: usize,
    /// How many for each combination of some attributes.
    pub limit_per: Option<LimitPer>,
    /// How many to pass over.
    pub offset: usize,
    /// Where the last answer ended.
    pub cursor: Option<String>,
    /// Numbers about all rows that the filter lets through, by their labels.
    pub aggregates: Vec<(String, Aggregate)>,
    /// What these are grouped by.
    pub group_by: Vec<Path>,
    /// The commonest values of some attributes.
    pub facets: Vec<Facet>,
}

/// What rows are ordered by.
#[derive(Debug, Clone, PartialEq)]
pub enum RankBy {
    /// The distance of a vector.
    Nearest(Nearest),
    /// A score that is calculated.
    Score(Rank),
    /// Attributes.
    Order(Vec<OrderKey>),
}

/// Rows whose vectors are near.
#[derive(Debug, Clone, PartialEq)]
pub struct Nearest {
    /// The vector field.
    pub path: Path,
    /// Near to what.
    pub vector: Vec<f32>,
    /// Whether an index may be asked, or every vector must be compared.
    pub search: Search,
}

/// How vectors are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// By the index: the nearest, but for some.
    Approximate,
    /// By comparing every one.
    Exact,
}

/// At most some rows of each kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitPer {
    /// What makes a kind.
    pub attributes: Vec<Path>,
    /// How many of each.
    pub limit: usize,
}

impl Query {
    /// The sum of what decides which rows come in which order: a cursor belongs to it.
    #[must_use]
    pub fn sum(&self) -> u32 {
        let mut out = String::new();
        match &self.rank_by {
            None => out.push_str("null"),
            Some(RankBy::Order(keys)) => OrderKey::write_all(keys, &mut out),
            Some(RankBy::Score(rank)) => rank.write_json(&mut out),
            Some(RankBy::Nearest(nearest)) => {
                write_string(&nearest.path.to_string(), &mut out);
                write_list(('[', ']'), &nearest.vector, &mut out, |float, out| {
                    out.push_str(&float.to_string());
                });
                out.push(if nearest.search == Search::Exact { 'e' } else { 'a' });
            }
        }
        if let Some(filter) = &self.filter {
            filter.write_json(&mut out);
        }
        if let Some(per) = &self.limit_per {
            write_list(('(', ')'), &per.attributes, &mut out, |path, out| {
                write_string(&path.to_string(), out);
            });
            out.push_str(&per.limit.to_string());
        }
        crc32c::crc32c(out.as_bytes())
    }

    /// Whether rows are answered, and not only numbers about them.
    #[must_use]
    pub fn has_rows(&self) -> bool {
        let has_numbers = !self.aggregates.is_empty() || !self.facets.is_empty();
        self.limit > 0 && (self.rank_by.is_some() || !has_numbers)
    }
}
