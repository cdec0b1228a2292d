//! The first of some rows in the order of a query, found by comparing codes: these sort as values do.
//!
//! Values are looked up of the rows alone that were chosen.

use std::collections::{BinaryHeap, HashMap};

use roaring::RoaringBitmap;

use super::column::{ColumnReader, windows};
use super::dictionary::Mark;
use super::error::{Result, damaged};
use super::layout::Slot;
use super::read::Reader;
use super::score::Scores;
use crate::column::Column;
use crate::error::SearchError;
use crate::order::{Direction, ORDER_KEYS_MAX, Part, Position};
use crate::value::Value;

/// Where a row stands: what is less is earlier. Of a row ordered by attributes there is twice the symbol for
/// each, so that a cursor whose value is not in the file has a place between two; of one with a score, that.
/// The id is behind them.
type Place = [u64; ORDER_KEYS_MAX + 1];

/// Twice what is behind every symbol: what is missing comes last.
const MISSING: u64 = 2 * (u32::MAX as u64);

/// What rows are ordered by.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order<'q> {
    /// Attributes; of none, the id.
    Columns(&'q [(Column, Direction)]),
    /// A score, the greatest first.
    Score(&'q Scores<'q>),
}

/// How many of the first rows are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'q> {
    /// Only those behind it.
    pub(crate) after: Option<&'q Position>,
    /// How many.
    pub(crate) limit: usize,
    /// What makes a kind of rows, and how many of each kind.
    pub(crate) kinds: Option<(&'q [Column], usize)>,
    /// What is said when there are more kinds, or more rows of them than are wanted.
    pub(crate) kinds_max: usize,
    pub(crate) too_many: fn() -> SearchError,
}

/// A row that was chosen, with what makes its kind.
pub(crate) type Chosen = (Position, Vec<Option<Value>>);

impl Reader {
    /// The first of `rows`, all of which there are, in no order.
    pub(crate) fn first_rows(
        &self,
        rows: &RoaringBitmap,
        order: Order<'_>,
        wanted: &Wanted<'_>,
    ) -> Result<Vec<Chosen>> {
        let places = Places::new(self, order)?;
        let after = wanted.after.map(|after| places.anchor(after)).transpose()?;
        let kinds = wanted.kinds.map_or(&[][..], |(columns, _)| columns);
        let kinds =
            kinds.iter().map(|column| self.column_of(*column)).collect::<Result<Vec<_>>>()?;
        let limit = wanted.kinds.map_or(wanted.limit, |(_, limit)| limit);
        let mut heaps: HashMap<Vec<u32>, BinaryHeap<(Place, u32)>> = HashMap::new();
        let mut count = 0;
        windows(rows, |window| {
            let of_kinds = symbols_of(&kinds, window)?;
            for (at, place) in places.of(window)?.into_iter().enumerate() {
                if limit == 0 || after.is_some_and(|after| place <= after) {
                    continue;
                }
                let kind: Vec<u32> = of_kinds.iter().map(|symbols| symbols[at]).collect();
                let heap = heaps.entry(kind).or_default();
                if heap.len() < limit {
                    heap.push((place, window[at]));
                    count += 1;
                } else if let Some(mut last) = heap.peek_mut()
                    && place < last.0
                {
                    *last = (place, window[at]);
                }
            }
            let is_too_many = heaps.len() > wanted.kinds_max || count > wanted.limit;
            if is_too_many && wanted.kinds.is_some() {
                return Err((wanted.too_many)().into());
            }
            Ok(())
        })?;
        let chosen: Vec<(Place, u32)> = heaps.into_values().flatten().collect();
        let rows: Vec<u32> = chosen.iter().map(|(_, row)| *row).collect();
        let of_kinds = kinds
            .iter()
            .map(|column| values_of(column.as_ref(), &rows))
            .collect::<Result<Vec<_>>>()?;
        let positions = places.positions(&chosen, &rows)?;
        Ok(positions.into_iter().zip(transposed(rows.len(), of_kinds)).collect())
    }

    /// The positions of rows with a score or a distance that was found elsewhere, with what makes their kinds.
    pub(crate) fn scored_rows(
        &self,
        scored: &[(u32, f64)],
        direction: Direction,
        kinds: &[Column],
    ) -> Result<Vec<Chosen>> {
        let rows: Vec<u32> = scored.iter().map(|(row, _)| *row).collect();
        let id = self.slot(Slot::ID)?;
        let ids = values_of(id.as_ref(), &rows)?;
        let of_kinds = kinds
            .iter()
            .map(|column| values_of(self.column_of(*column)?.as_ref(), &rows))
            .collect::<Result<Vec<_>>>()?;
        let kinds = transposed(rows.len(), of_kinds);
        let chosen = scored.iter().zip(ids).zip(kinds).map(|(((_, score), id), kind)| {
            let parts = vec![Part { direction, value: Some(Value::Float(*score)) }];
            let id = id.ok_or(damaged("a row has no id"))?;
            Ok((Position { parts, id }, kind))
        });
        chosen.collect()
    }
}

/// The symbols of rows that ascend, of each of some columns; those of what the file does not have are 0.
fn symbols_of(columns: &[Option<ColumnReader<'_>>], rows: &[u32]) -> Result<Vec<Vec<u32>>> {
    let symbols = columns.iter().map(|column| match column {
        Some(column) => column.symbols(rows),
        None => Ok(vec![0; rows.len()]),
    });
    symbols.collect()
}

fn values_of(column: Option<&ColumnReader<'_>>, rows: &[u32]) -> Result<Vec<Option<Value>>> {
    column.map_or_else(|| Ok(vec![None; rows.len()]), |column| column.values(rows))
}

/// For each of `len` rows what the columns have.
fn transposed(len: usize, columns: Vec<Vec<Option<Value>>>) -> Vec<Vec<Option<Value>>> {
    let mut rows = vec![Vec::with_capacity(columns.len()); len];
    for column in columns {
        for (row, value) in rows.iter_mut().zip(column) {
            row.push(value);
        }
    }
    rows
}

/// Finds the places of rows.
struct Places<'a, 'q> {
    order: Order<'q>,
    /// What rows are ordered by, the id last.
    columns: Vec<(Option<ColumnReader<'a>>, Direction)>,
}

impl<'a, 'q> Places<'a, 'q> {
    fn new(reader: &'a Reader, order: Order<'q>) -> Result<Self> {
        let keys = if let Order::Columns(keys) = order { keys } else { &[] };
        let mut columns = Vec::with_capacity(keys.len() + 1);
        for (column, direction) in keys {
            columns.push((reader.column_of(*column)?, *direction));
        }
        columns.push((reader.slot(Slot::ID)?, Direction::Ascending));
        Ok(Self { order, columns })
    }

    /// Of rows that ascend.
    fn of(&self, rows: &[u32]) -> Result<Vec<Place>> {
        let mut places = vec![Place::default(); rows.len()];
        let mut first = 0;
        if let Order::Score(scores) = self.order {
            for (place, score) in places.iter_mut().zip(scores.of(rows, &[])?) {
                place[0] = of_score(score);
            }
            first = 1;
        }
        for (at, (column, direction)) in (first..).zip(&self.columns) {
            match column {
                Some(column) => {
                    for (place, symbol) in places.iter_mut().zip(column.symbols(rows)?) {
                        place[at] = of_symbol(symbol, *direction);
                    }
                }
                None => places.iter_mut().for_each(|place| place[at] = MISSING),
            }
        }
        Ok(places)
    }

    /// The place of a position, which may be that of no row here.
    fn anchor(&self, position: &Position) -> Result<Place> {
        let mut place = Place::default();
        let mut values: Vec<Option<&Value>> =
            position.parts.iter().map(|part| part.value.as_ref()).collect();
        let mut first = 0;
        if let Order::Score(_) = self.order {
            let score = values.drain(..1.min(values.len())).next().flatten();
            place[0] = of_score(score.and_then(Value::to_score).unwrap_or_default());
            first = 1;
        }
        values.push(Some(&position.id));
        for ((at, (column, direction)), value) in (first..).zip(&self.columns).zip(values) {
            place[at] = match (value, column) {
                (None, _) => MISSING,
                // Before everything that is missing, and nothing else is there.
                (Some(_), None) => 0,
                (Some(value), Some(column)) => {
                    let edges = column.edges_of(std::slice::from_ref(value))?;
                    let [before, behind] = *edges else {
                        return Err(damaged("a value has no place"));
                    };
                    between(before, behind, *direction)
                }
            };
        }
        Ok(place)
    }

    /// The positions of rows that were chosen.
    fn positions(&self, chosen: &[(Place, u32)], rows: &[u32]) -> Result<Vec<Position>> {
        let mut columns = Vec::with_capacity(self.columns.len());
        for (column, _) in &self.columns {
            columns.push(values_of(column.as_ref(), rows)?);
        }
        let positions = transposed(rows.len(), columns).into_iter().zip(chosen);
        positions
            .map(|(mut values, (place, _))| {
                let id = values.pop().flatten().ok_or(damaged("a row has no id"))?;
                let directions = self.columns.iter().map(|(_, direction)| *direction);
                let parts = match self.order {
                    Order::Columns(_) => values
                        .into_iter()
                        .zip(directions)
                        .map(|(value, direction)| Part { direction, value })
                        .collect(),
                    Order::Score(_) => {
                        let value = Some(Value::Float(score_of(place[0])));
                        vec![Part { direction: Direction::Descending, value }]
                    }
                };
                Ok(Position { parts, id })
            })
            .collect()
    }
}

/// The place of a symbol.
fn of_symbol(symbol: u32, direction: Direction) -> u64 {
    match (symbol, direction) {
        (0, _) => MISSING,
        (_, Direction::Ascending) => 2 * u64::from(symbol),
        (_, Direction::Descending) => MISSING - 2 - 2 * u64::from(symbol),
    }
}

/// The place of a value that is before the one code and behind the other: of a value that is there, its own.
fn between(before: Mark, behind: Mark, direction: Direction) -> u64 {
    let is_there = before.code < behind.code;
    // The symbol of the code behind `before` is one more than that.
    let ascending = 2 * u64::from(before.code) + if is_there { 2 } else { 1 };
    match direction {
        Direction::Ascending => ascending,
        Direction::Descending => MISSING - 2 - ascending,
    }
}

const SIGN: u64 = 1 << 63;

/// The place of a score: the greatest first. Zero has one place, whichever sign it has.
fn of_score(score: f64) -> u64 {
    let bits = if score == 0.0 { 0 } else { score.to_bits() };
    !(if bits & SIGN == 0 { bits ^ SIGN } else { !bits })
}

/// The score of a place.
fn score_of(place: u64) -> f64 {
    let bits = !place;
    f64::from_bits(if bits & SIGN == 0 { !bits } else { bits ^ SIGN })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_of_scores_sort_the_greatest_first(
            a in prop::num::f64::NORMAL | prop::num::f64::ZERO,
            b in prop::num::f64::NORMAL | prop::num::f64::ZERO,
        ) {
            let expect = b.partial_cmp(&a).unwrap();
            prop_assert_eq!(of_score(a).cmp(&of_score(b)), expect);
            prop_assert_eq!(score_of(of_score(a)), a);
        }

        #[test]
        fn places_of_symbols_sort_with_what_is_missing_last(
            a in 0..u32::MAX, b in 0..u32::MAX, up in any::<bool>(),
        ) {
            let direction = if up { Direction::Ascending } else { Direction::Descending };
            let expect = match (a, b) {
                (0, _) | (_, 0) => (a == 0).cmp(&(b == 0)),
                _ if up => a.cmp(&b),
                _ => b.cmp(&a),
            };
            prop_assert_eq!(of_symbol(a, direction).cmp(&of_symbol(b, direction)), expect);
        }
    }
}
