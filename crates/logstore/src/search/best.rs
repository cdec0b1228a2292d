//! The entries of a page so far: the best that have been found.

use std::collections::BTreeMap;

use crate::entry::{EntryId, StoredEntry, UnixNanos};
use crate::query::{Cursor, Order, Query};

/// Keeps the first `limit` in some order, and one more: whether there is one says whether there is
/// a next page.
pub(super) struct Best {
    order: Order,
    limit: usize,
    after: Option<Cursor>,
    kept: BTreeMap<Cursor, StoredEntry>,
}

impl Best {
    pub(super) fn new(query: &Query) -> Self {
        let (order, limit, after) = (query.order, query.limit, query.after);
        Self { order, limit, after, kept: BTreeMap::new() }
    }

    pub(super) fn order(&self) -> Order {
        self.order
    }

    /// The one that goes when a better one comes; none while there is room.
    fn worst(&self) -> Option<Cursor> {
        if self.kept.len() <= self.limit {
            return None;
        }
        match self.order {
            Order::NewestFirst => self.kept.first_key_value(),
            Order::OldestFirst => self.kept.last_key_value(),
        }
        .map(|(place, _)| *place)
    }

    /// Whether `a` comes before `b`.
    fn is_before(&self, a: Cursor, b: Cursor) -> bool {
        match self.order {
            Order::NewestFirst => a > b,
            Order::OldestFirst => a < b,
        }
    }

    /// Whether an entry at this place belongs to the page, as far as is known.
    pub(super) fn wants(&self, time: UnixNanos, id: EntryId) -> bool {
        let place = Cursor { time, id };
        self.after.is_none_or(|after| self.is_before(after, place))
            && self.worst().is_none_or(|worst| self.is_before(place, worst))
    }

    /// Whether something between these times may belong to the page.
    pub(super) fn wants_between(&self, first: UnixNanos, last: UnixNanos) -> bool {
        match self.order {
            Order::NewestFirst => self.wants_beyond(last),
            Order::OldestFirst => self.wants_beyond(first),
        }
    }

    /// Whether something at this time or after it in order may belong to the page.
    pub(super) fn wants_beyond(&self, time: UnixNanos) -> bool {
        self.worst().is_none_or(|worst| match self.order {
            Order::NewestFirst => time >= worst.time,
            Order::OldestFirst => time <= worst.time,
        })
    }

    pub(super) fn admit(&mut self, stored: StoredEntry) {
        self.kept.insert(Cursor::of(&stored), stored);
        if self.kept.len() > self.limit + 1 {
            match self.order {
                Order::NewestFirst => self.kept.pop_first(),
                Order::OldestFirst => self.kept.pop_last(),
            };
        }
    }

    /// The page, and where the next one begins.
    pub(super) fn finish(self) -> (Vec<StoredEntry>, Option<Cursor>) {
        let has_more = self.kept.len() > self.limit;
        let in_time = self.kept.into_values();
        let mut entries: Vec<_> = match self.order {
            Order::NewestFirst => in_time.rev().collect(),
            Order::OldestFirst => in_time.collect(),
        };
        entries.truncate(self.limit);
        let next = if has_more { entries.last().map(Cursor::of) } else { None };
        (entries, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Entry;

    fn run(order: Order, limit: usize, after: Option<(i64, u64)>) -> (Vec<u64>, bool) {
        let after = after.map(|(time, id)| Cursor { time: UnixNanos(time), id: EntryId(id) });
        let mut best = Best::new(&Query { order, limit, after, ..Query::default() });
        for (id, time) in [(1, 5), (2, 9), (3, 5), (4, 1), (5, 7)] {
            if best.wants(UnixNanos(time), EntryId(id)) {
                best.admit(StoredEntry { id: EntryId(id), entry: Entry::new(UnixNanos(time), "") });
            }
        }
        let (entries, next) = best.finish();
        (entries.iter().map(|stored| stored.id.0).collect(), next.is_some())
    }

    #[test]
    fn the_best_are_kept_in_either_order_and_from_a_place_on() {
        use Order::{NewestFirst, OldestFirst};
        assert_eq!(run(NewestFirst, 2, None), (vec![2, 5], true));
        assert_eq!(run(OldestFirst, 2, None), (vec![4, 1], true));
        assert_eq!(run(NewestFirst, 2, Some((7, 5))), (vec![3, 1], true));
        assert_eq!(run(NewestFirst, 3, Some((7, 5))), (vec![3, 1, 4], false));
        assert_eq!(run(OldestFirst, 9, Some((5, 1))), (vec![3, 5, 2], false));
        assert_eq!(run(NewestFirst, 9, Some((1, 4))), (vec![], false));
    }
}
