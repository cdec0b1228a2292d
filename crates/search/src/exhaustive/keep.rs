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
pub(super) const POSITIONS_MAX: usize = 200_000;

/// What is said when there are more kinds, or more rows of them.
pub(super) fn too_many_kinds() -> SearchError {
    let reason = format!(
        "there are more than {GROUPS_MAX} kinds, or {POSITIONS_MAX} rows of them; filter more, or \
         take fewer of each"
    );
    SearchError::query("limit.per", reason)
}

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
        kinds: BTreeMap<Kind, OfKind>,
        /// Positions that there will be of all kinds together.
        count: usize,
    },
}

/// What rows of one kind have in common; nothing when there are no kinds.
pub(super) type Kind = Vec<Option<Value>>;

/// Rows of one kind.
#[derive(Debug)]
struct OfKind {
    best: Best,
    /// How many there are, up to the limit.
    seen: usize,
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

    /// What makes a kind of row, and how many of each kind are kept; none when all rows are alike.
    pub(super) fn kinds(&self) -> Option<(&[Column], usize)> {
        match &self.kept {
            Kept::All(_) => None,
            Kept::PerKind { columns, limit, .. } => Some((columns, *limit)),
        }
    }

    /// Where the last answer ended, and how many positions behind it are kept; of rows of many kinds those
    /// before it are kept, too.
    pub(super) fn bounds(&self) -> (Option<&Position>, usize) {
        match &self.kept {
            Kept::All(best) => (self.after.as_ref(), best.limit),
            Kept::PerKind { .. } => (None, POSITIONS_MAX),
        }
    }

    /// Makes room for a row: its kind, with which its position is added once.
    pub(super) fn announce(&mut self, row: &Row) -> Result<Kind> {
        let kind = match &self.kept {
            Kept::All(_) => Kind::new(),
            Kept::PerKind { columns, .. } => {
                columns.iter().map(|column| column.value(row).cloned()).collect()
            }
        };
        self.reserve(&kind)?;
        Ok(kind)
    }

    /// Makes room for a row of a kind.
    pub(super) fn reserve(&mut self, kind: &Kind) -> Result<()> {
        let Kept::PerKind { limit, kinds, count, .. } = &mut self.kept else { return Ok(()) };
        let of_kind = match kinds.get_mut(kind) {
            Some(of_kind) => of_kind,
            None => kinds
                .entry(kind.clone())
                .or_insert_with(|| OfKind { best: Best::new(*limit), seen: 0 }),
        };
        if of_kind.seen < *limit {
            of_kind.seen += 1;
            *count += 1;
        }
        if kinds.len() > GROUPS_MAX || *count > POSITIONS_MAX {
            return Err(too_many_kinds());
        }
        Ok(())
    }

    /// Keeps a position for which there is room, if it is among the first of its kind.
    pub(super) fn add(&mut self, position: Position, kind: &Kind) {
        match &mut self.kept {
            Kept::All(best) => {
                if self.after.as_ref().is_none_or(|after| position > *after) {
                    best.add(position);
                }
            }
            Kept::PerKind { kinds, .. } => {
                if let Some(of_kind) = kinds.get_mut(kind) {
                    of_kind.best.add(position);
                }
            }
        }
    }

    /// Keeps a position of a row of this kind if it is among the first.
    pub(super) fn add_of_kind(&mut self, position: Position, kind: Kind) -> Result<()> {
        self.reserve(&kind)?;
        self.add(position, &kind);
        Ok(())
    }

    /// Keeps the first of the positions that another kept, for the same query.
    pub(super) fn merge(&mut self, other: Self) -> Result<()> {
        match other.kept {
            Kept::All(best) => best
                .heap
                .into_iter()
                .try_for_each(|position| self.add_of_kind(position, Kind::new())),
            Kept::PerKind { kinds, .. } => kinds.into_iter().try_for_each(|(kind, of_kind)| {
                of_kind
                    .best
                    .heap
                    .into_iter()
                    .try_for_each(|position| self.add_of_kind(position, kind.clone()))
            }),
        }
    }

    /// The rows of the answer in their order, and whether there are more.
    pub(super) fn finish(self) -> (Vec<Position>, bool) {
        let mut positions = match self.kept {
            Kept::All(best) => best.heap.into_sorted_vec(),
            Kept::PerKind { kinds, .. } => {
                let mut positions: Vec<Position> =
                    kinds.into_values().flat_map(|kind| kind.best.heap.into_vec()).collect();
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

    fn add(&mut self, position: Position) {
        if self.heap.len() < self.limit {
            self.heap.push(position);
        } else if let Some(mut last) = self.heap.peek_mut()
            && position < *last
        {
            *last = position;
        }
    }
}
