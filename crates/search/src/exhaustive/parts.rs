//! What an index asks of an answer in the making, to know what it has to hand over.

use super::{Exhaustive, Ranking};
use crate::attributes::{self, Reader};
use crate::error::Result;
use crate::order::{Direction, Part, Position};
use crate::rank::Scorer;
use crate::schema::{FieldNo, Row, Vector};
use crate::value::Value;

/// What a part has to hand over of rows that are ordered by a number: no more than the first of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct First {
    /// How many.
    pub(crate) count: usize,
    /// Where the last answer ended; what is before that is not wanted, and what is level with it may be.
    pub(crate) after: Option<f64>,
}

impl Exhaustive {
    /// Whether rows are asked for, and not only numbers about them.
    pub(crate) const fn has_rows(&self) -> bool {
        self.keeper.is_some()
    }

    /// The rows that a part has to hand over, when these are the first of one order; none when they are all.
    pub(crate) fn first(&self) -> Option<First> {
        let keeper = self.keeper.as_ref().filter(|keeper| keeper.kinds().is_none())?;
        let (after, count) = keeper.bounds();
        let number = |after: &Position| after.parts.first()?.value.as_ref()?.to_score();
        match after.map(number) {
            None => Some(First { count, after: None }),
            // A cursor without a number is one of no such order.
            Some(after) => after.map(|after| First { count, after: Some(after) }),
        }
    }

    /// Whether the first rows are asked for, from the very beginning.
    pub(crate) fn is_plain(&self) -> bool {
        self.first().is_some_and(|first| first.after.is_none())
    }

    /// The vector field that rows are ordered by.
    pub(crate) const fn vector_field(&self) -> Option<FieldNo> {
        match &self.ranking {
            Ranking::Nearness { field, .. } => Some(*field),
            Ranking::Id | Ranking::Score(_) | Ranking::Text(_) | Ranking::Columns(_) => None,
        }
    }

    /// The distance to a vector of the field that rows are ordered by, as it is answered: one way to calculate it for
    /// all parts, so that a row keeps its place when it moves from one to another.
    pub(crate) fn distance(&self, vector: &Vector) -> Option<f64> {
        match &self.ranking {
            Ranking::Nearness { element, distance, .. } => {
                Some(distance.to(&vector.to_floats(*element)))
            }
            Ranking::Id | Ranking::Score(_) | Ranking::Text(_) | Ranking::Columns(_) => None,
        }
    }

    /// Which way the numbers of the rows go, when they have some: the best first.
    #[must_use]
    pub fn score_direction(&self) -> Option<Direction> {
        match &self.ranking {
            Ranking::Nearness { distance, .. } => Some(distance.direction()),
            Ranking::Score(_) | Ranking::Text(_) => Some(Direction::Descending),
            Ranking::Id | Ranking::Columns(_) => None,
        }
    }

    /// The expression that rows are scored by, when it is about texts.
    pub(crate) const fn text_scorer(&self) -> Option<&Scorer> {
        match &self.ranking {
            Ranking::Text(text) => Some(text.scorer()),
            Ranking::Id | Ranking::Score(_) | Ranking::Nearness { .. } | Ranking::Columns(_) => {
                None
            }
        }
    }

    /// Counts a row, and says whether the filter lets it through. It has its place from
    /// [`Exhaustive::add_scored`].
    ///
    /// # Errors
    /// As [`Exhaustive::add`].
    pub(crate) fn count(&mut self, row: &Row) -> Result<bool> {
        self.work.scanned += 1;
        if self.filter.as_ref().is_some_and(|filter| !filter.matches(row)) {
            return Ok(false);
        }
        self.work.matched += 1;
        self.totals.add(row)?;
        self.facets.iter_mut().try_for_each(|facet| facet.add(row))?;
        Ok(true)
    }

    /// Puts a row that was counted in its place by its score.
    ///
    /// # Errors
    /// As [`Exhaustive::add`].
    pub(crate) fn add_scored(&mut self, row: &Row, score: f64) -> Result<()> {
        let Some(keeper) = &mut self.keeper else { return Ok(()) };
        let kind = keeper.announce(row)?;
        let value = Some(Value::Float(score));
        let parts = vec![Part { direction: Direction::Descending, value }];
        keeper.add(Position { parts, id: row.id().clone() }, &kind);
        Ok(())
    }

    /// Puts rows of a segment that were counted in their places by their scores. Each row may be given once, and they
    /// ascend.
    ///
    /// # Errors
    /// As [`Exhaustive::add_segment`].
    pub(crate) fn add_scores(
        &mut self,
        reader: &Reader,
        scores: &[(u32, f64)],
    ) -> attributes::Result<()> {
        let Some(keeper) = &mut self.keeper else { return Ok(()) };
        let kinds = keeper.kinds().map_or(&[][..], |(columns, _)| columns);
        for (position, kind) in reader.scored_rows(scores, Direction::Descending, kinds)? {
            keeper.add_of_kind(position, kind)?;
        }
        Ok(())
    }

    /// How many rows the filter has let through so far.
    pub(crate) const fn matched(&self) -> u64 {
        self.work.matched
    }

    /// Notes that the vectors or codes of rows were looked at.
    pub(crate) const fn note_scanned(&mut self, rows: u64) {
        self.work.scanned += rows;
    }
}
