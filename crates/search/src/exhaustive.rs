//! Answers by looking at every row: slow, exact, and simple enough to be believed.
//!
//! It is how rows are searched that no index knows yet, how a collection without an index is queried (to a
//! bound, and the answer says whether it was reached), and the oracle that every index is tested against.
//! It keeps no row: only as many positions as the answer may need, and the numbers about the others. When rows
//! are ranked by their text it keeps a few numbers of each that matches, because the score of the first depends
//! on how common its words are in the last.
//!
//! What it is not: it does not read documents from anywhere.
//!
//! Invariant: the answer depends on which rows were given, not on their order, but for the last bits of sums
//! of floats and for the choice of rows when a scan is cut short. Start with [`Exhaustive::new`].

mod columns;
mod distance;
mod keep;
mod parts;
mod text;

use std::ops::ControlFlow;

use base::document::Document;
use base::words::DocId;

use crate::aggregate::{FacetCounter, Group, Totals};
use crate::column::Column;
use crate::error::{Result, SearchError};
use crate::filter::Compiled;
use crate::order::{Direction, OrderKey, Part, Position};
use crate::place::Place;
use crate::query::{LIMIT_MAX, Nearest, OFFSET_MAX, Query, RankBy, Search};
use crate::rank::Scorer;
use crate::schema::{FieldNo, Row, Schema};
use crate::value::Value;
use crate::vector::{Element, Metric};

pub(crate) use columns::words;
use distance::Distance;
use keep::{Keeper, Kind};
pub(crate) use parts::First;
use text::TextRanking;

/// An answer in the making: rows go in, and the answer comes out.
#[derive(Debug)]
pub struct Exhaustive {
    filter: Option<Compiled>,
    ranking: Ranking,
    keeper: Option<Keeper>,
    totals: Totals,
    facets: Vec<FacetCounter>,
    query_sum: u32,
    work: Work,
}

/// What a query was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The rows, in their order.
    pub rows: Vec<Found>,
    /// The groups and their totals, in the order of keys; one of an empty key when nothing is grouped by,
    /// and none without aggregates.
    pub groups: Vec<Group>,
    /// For each facet its commonest values.
    pub facets: Vec<Vec<(Value, u64)>>,
    /// Where the next answer begins; none when there are no more rows.
    pub cursor: Option<String>,
    /// What was done.
    pub work: Work,
}

/// A row of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Its id, as a value.
    pub id: Value,
    /// Its distance, or the score that was calculated; none when the order is by attributes.
    pub dist: Option<f64>,
}

/// What was done for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Rows that were looked at.
    pub scanned: u64,
    /// Rows that the filter let through.
    pub matched: u64,
    /// Whether the bound of the scan was reached: there may be rows that were not looked at.
    pub is_cut: bool,
}

/// How the position of a row is found.
#[derive(Debug)]
enum Ranking {
    Id,
    Nearness { field: FieldNo, element: Element, distance: Distance },
    Score(Scorer),
    Text(TextRanking),
    Columns(Vec<(Column, Direction)>),
}

impl Exhaustive {
    /// Checks a query against a schema.
    ///
    /// # Errors
    /// [`SearchError::Query`] with the place of what the schema does not have or what does not fit its types, for
    /// a cursor of another query, and for limits beyond their bounds; and [`SearchError::Unsupported`] as
    /// [`crate::filter::Filter::compile`] says.
    pub fn new(schema: &Schema, query: &Query) -> Result<Self> {
        for (name, found, max) in
            [("limit", query.limit, LIMIT_MAX), ("offset", query.offset, OFFSET_MAX)]
        {
            if found > max {
                return Err(SearchError::query(name, format!("{name} is at most {max}")));
            }
        }
        let filter = query.filter.as_ref().map(|filter| filter.compile(schema)).transpose()?;
        let ranking = Ranking::new(query.rank_by.as_ref(), schema)?;
        let query_sum = query.sum();
        let after = query
            .cursor
            .as_ref()
            .map(|cursor| Position::from_cursor(cursor, query_sum, &ranking.directions()));
        let after = after.transpose()?;
        let keeper = query.has_rows().then(|| Keeper::new(query, after, schema)).transpose()?;
        let place = Place::Member("facets");
        let facets = query.facets.iter().enumerate();
        let facets = facets
            .map(|(index, facet)| FacetCounter::new(facet, schema, &place.at(index)))
            .collect::<Result<_>>()?;
        let totals = Totals::new(&query.aggregates, &query.group_by, schema)?;
        let work = Work::default();
        Ok(Self { filter, ranking, keeper, totals, facets, query_sum, work })
    }

    /// Looks at a row. No two rows may have one id.
    ///
    /// # Errors
    /// [`SearchError::Query`] when there are more groups or values of a facet than a query may have.
    pub fn add(&mut self, row: &Row) -> Result<()> {
        self.work.scanned += 1;
        let features = match &mut self.ranking {
            Ranking::Text(text) => text.count(row),
            Ranking::Id | Ranking::Nearness { .. } | Ranking::Score(_) | Ranking::Columns(_) => {
                Vec::new()
            }
        };
        if self.filter.as_ref().is_some_and(|filter| !filter.matches(row)) {
            return Ok(());
        }
        self.work.matched += 1;
        self.totals.add(row)?;
        self.facets.iter_mut().try_for_each(|facet| facet.add(row))?;
        let Some(keeper) = &mut self.keeper else { return Ok(()) };
        if let Ranking::Text(text) = &mut self.ranking {
            if text.finds(&features) {
                text.keep(row, features, keeper.announce(row)?);
            }
        } else if let Some(parts) = self.ranking.parts(row) {
            let kind = keeper.announce(row)?;
            keeper.add(Position { parts, id: row.id().clone() }, &kind);
        }
        Ok(())
    }

    /// Adds what another made of other rows, for the same query and schema.
    ///
    /// # Errors
    /// As [`Exhaustive::add`].
    pub fn merge(&mut self, other: Self) -> Result<()> {
        self.work.scanned += other.work.scanned;
        self.work.matched += other.work.matched;
        self.work.is_cut |= other.work.is_cut;
        self.totals.merge(other.totals)?;
        for (facet, more) in self.facets.iter_mut().zip(other.facets) {
            facet.merge(more)?;
        }
        let (Some(keeper), Some(more)) = (&mut self.keeper, other.keeper) else { return Ok(()) };
        if let (Ranking::Text(text), Ranking::Text(more)) = (&mut self.ranking, other.ranking) {
            text.merge(more, |kind| keeper.reserve(kind))?;
        }
        keeper.merge(more)
    }

    /// The answer to the rows so far.
    #[must_use]
    pub fn finish(mut self) -> Answer {
        if let (Ranking::Text(text), Some(keeper)) = (&mut self.ranking, &mut self.keeper) {
            text.rank(|id, score, kind: &Kind| {
                let parts = vec![Part {
                    direction: Direction::Descending,
                    value: Some(Value::Float(score)),
                }];
                keeper.add(Position { parts, id }, kind);
            });
        }
        let (positions, has_more) = self.keeper.map(Keeper::finish).unwrap_or_default();
        let last = positions.last().filter(|_| has_more);
        let cursor = last.map(|position| position.to_cursor(self.query_sum));
        let is_scored =
            matches!(self.ranking, Ranking::Nearness { .. } | Ranking::Score(_) | Ranking::Text(_));
        let rows = positions.into_iter().map(|position| Found {
            dist: position
                .parts
                .first()
                .filter(|_| is_scored)
                .and_then(|part| part.value.as_ref()?.to_score()),
            id: position.id,
        });
        Answer {
            rows: rows.collect(),
            groups: self.totals.finish(),
            facets: self.facets.into_iter().map(FacetCounter::finish).collect(),
            cursor,
            work: self.work,
        }
    }
}

/// Answers a query from documents, looking at no more than `rows_max` of them: [`Work::is_cut`] says
/// whether there was another.
///
/// # Errors
/// As [`Exhaustive::new`] and [`Exhaustive::add`], and as [`Schema::row`] for the first document that does not
/// fit the schema: it is not passed over in silence.
pub fn scan<'a>(
    schema: &Schema,
    query: &Query,
    documents: impl IntoIterator<Item = (DocId, &'a Document)>,
    rows_max: u64,
) -> Result<Answer> {
    let mut answer = Exhaustive::new(schema, query)?;
    let end = documents.into_iter().try_for_each(|(id, document)| {
        if answer.work.scanned >= rows_max {
            answer.work.is_cut = true;
            return ControlFlow::Break(None);
        }
        match schema.row(&id, document).and_then(|row| answer.add(&row)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(Some(error)),
        }
    });
    match end {
        ControlFlow::Break(Some(error)) => Err(error),
        ControlFlow::Break(None) | ControlFlow::Continue(()) => Ok(answer.finish()),
    }
}

impl Ranking {
    fn new(rank_by: Option<&RankBy>, schema: &Schema) -> Result<Self> {
        match rank_by {
            None => Ok(Self::Id),
            Some(RankBy::Score(rank)) => {
                let scorer = rank.compile(schema)?;
                let is_text = !scorer.texts().is_empty();
                Ok(if is_text { Self::Text(TextRanking::new(scorer)) } else { Self::Score(scorer) })
            }
            Some(RankBy::Order(keys)) => {
                let place = Place::Member("rank_by");
                let keys = keys.iter().enumerate().map(|(index, OrderKey { path, direction })| {
                    let column = Column::find_one(path, schema, &place.at(index));
                    column.map(|column| (column, *direction))
                });
                keys.collect::<Result<_>>().map(Self::Columns)
            }
            Some(RankBy::Nearest(nearest)) => Self::nearest(nearest, schema),
        }
    }

    fn nearest(nearest: &Nearest, schema: &Schema) -> Result<Self> {
        let place = Place::Member("rank_by");
        let path = &nearest.path;
        let Some((field, vector)) = schema.vector(path) else {
            let reason = format!("the schema has no vector field `{path}`");
            return Err(SearchError::query(place.at(0), reason));
        };
        if nearest.search == Search::Approximate && !vector.ann {
            let reason = format!("`{path}` has no index; ask by kNN, or declare it with ann");
            return Err(SearchError::query(place.at(1), reason));
        }
        if nearest.vector.len() != vector.dims {
            let (dims, found) = (vector.dims, nearest.vector.len());
            let reason = format!("expected a vector of {dims} elements, found {found}");
            return Err(SearchError::query(place.at(2), reason));
        }
        let distance = Distance::new(vector.metric, &nearest.vector);
        Ok(Self::Nearness { field, element: vector.element, distance })
    }

    /// The directions of the parts of a position.
    fn directions(&self) -> Vec<Direction> {
        match self {
            Self::Id => Vec::new(),
            Self::Nearness { distance, .. } => vec![distance.direction()],
            Self::Score(_) | Self::Text(_) => vec![Direction::Descending],
            Self::Columns(columns) => columns.iter().map(|(_, direction)| *direction).collect(),
        }
    }

    /// Where a row stands; none when it has no vector and cannot be found by one, or when it is not known yet.
    fn parts(&self, row: &Row) -> Option<Vec<Part>> {
        let part = |direction, value| Part { direction, value };
        Some(match self {
            Self::Id => Vec::new(),
            Self::Nearness { field, element, distance } => {
                let found = distance.to(&row.vector(*field)?.to_floats(*element));
                vec![part(distance.direction(), Some(Value::Float(found)))]
            }
            Self::Score(scorer) => {
                vec![part(Direction::Descending, Some(Value::Float(scorer.score(row))))]
            }
            Self::Text(_) => return None,
            Self::Columns(columns) => columns
                .iter()
                .map(|(column, direction)| part(*direction, column.value(row).cloned()))
                .collect(),
        })
    }
}

/// Which way distances of a metric are ordered: the nearest first.
const fn direction(metric: Metric) -> Direction {
    match metric {
        Metric::Cosine | Metric::EuclideanSquared => Direction::Ascending,
        Metric::Dot => Direction::Descending,
    }
}

#[cfg(test)]
mod tests;
