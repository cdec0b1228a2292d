//! The best rows so far: as many as the answer may need, and one more, which tells whether there are more.

use std::collections::{BTreeMap, BinaryHeap};

use crate::aggregate::GROUPS_MAX;
use crate::column::Column;
use crate::error::{Result, SearchError};
use crate::order::Position;
use crate::place::Place;
use crate::query::Query;
use crate::schema::{Row, Schema};
use crate::value::Value;

/// Most positions that are kept for rows of many kinds.
const POSITIONS_MAX: usize = 200_000;

/// Keeps the first positions of those that it is given.
#[derive(Debug)]
pub(super) struct Keeper {
    after: Option<Position>,
    offset: usize,
    limit: usize,
    kept: Kept,
}

#[derive(Debug)]
enum Kept {
    All(Best),
    /// For each kind of row the best; those before the cursor too, because they count for their kind.
    PerKind {
        columns: Vec<Column>,
        limit: usize,
        kinds: BTreeMap<Vec<Option<Value>>, Best>,
        /// Positions of all kinds together.
        count: usize,
    },
}

impl Keeper {
    pub(super) fn new(query: &Query, after: Option<Position>, schema: &Schema) -> Result<Self> {
        let kept = match &query.limit_per {
            None => Kept::All(Best::new(query.offset + query.limit + 1)),
            Some(per) => {
                let place = Place::Member("limit.per.attributes");
                let columns = per.attributes.iter().enumerate();
                let columns = columns
                    .map(|(index, path)| Column::find_one(path, schema, &place.at(index)))
                    .collect::<Result<_>>()?;
                Kept::PerKind { columns, limit: per.limit, kinds: BTreeMap::new(), count: 0 }
            }
        };
        Ok(Self { after, offset: query.offset, limit: query.limit, kept })
    }

    /// Keeps a position if it is among the first.
    pub(super) fn add(&mut self, position: Position, row: &Row) -> Result<()> {
        match &mut self.kept {
            Kept::All(best) => {
                if self.after.as_ref().is_none_or(|after| position > *after) {
                    let _: usize = best.add(position);
                }
            }
            Kept::PerKind { columns, limit, kinds, count } => {
                let kind: Vec<_> =
                    columns.iter().map(|column| column.value(row).cloned()).collect();
                *count += kinds.entry(kind).or_insert_with(|| Best::new(*limit)).add(position);
                if kinds.len() > GROUPS_MAX || *count > POSITIONS_MAX {
                    let reason = format!(
                        "there are more than {GROUPS_MAX} kinds, or {POSITIONS_MAX} rows of them; \
                         filter more, or take fewer of each"
                    );
                    return Err(SearchError::query("limit.per", reason));
                }
            }
        }
        Ok(())
    }

    /// The rows of the answer in their order, and whether there are more.
    pub(super) fn finish(self) -> (Vec<Position>, bool) {
        let mut positions = match self.kept {
            Kept::All(best) => best.heap.into_sorted_vec(),
            Kept::PerKind { kinds, .. } => {
                let mut positions: Vec<Position> =
                    kinds.into_values().flat_map(|best| best.heap.into_vec()).collect();
                positions.sort_unstable();
                positions
            }
        };
        if let Some(after) = self.after {
            positions.retain(|position| *position > after);
        }
        positions.drain(..self.offset.min(positions.len()));
        let has_more = positions.len() > self.limit;
        positions.truncate(self.limit);
        (positions, has_more)
    }
}

/// The first of the positions that it is given.
#[derive(Debug)]
struct Best {
    limit: usize,
    /// The last of them on top.
    heap: BinaryHeap<Position>,
}

impl Best {
    fn new(limit: usize) -> Self {
        Self { limit, heap: BinaryHeap::new() }
    }

    /// How many there are more.
    fn add(&mut self, position: Position) -> usize {
        if self.heap.len() < self.limit {
            self.heap.push(position);
            return 1;
        }
        if let Some(mut last) = self.heap.peek_mut()
            && position < *last
        {
            *last = position;
        }
        0
    }
}
