//! Which rows of a part are dead: replaced or deleted, and by which change.
//!
//! A durable state of the index is one at exactly some position: it has the rows that had died by then and not
//! those that died later, because whoever opens it without the changes since would miss both versions of a
//! document that was replaced. So deaths are kept with the position that brought them until a durable
//! state has them.
//!
//! Invariants: a row dies once; `all` is `settled` and `recent` together; `recent` ascends by position.

use std::sync::Arc;

use base::words::Lsn;
use roaring::RoaringBitmap;

/// The dead rows of a part.
#[derive(Debug, Clone, Default)]
pub(super) struct Dead {
    /// Those that a durable state has, or that the next one will have.
    settled: RoaringBitmap,
    /// The others, with the change that each died by.
    recent: Vec<(Lsn, u32)>,
    /// All of them; snapshots hold it.
    all: Arc<RoaringBitmap>,
}

impl Dead {
    /// Rows that were dead in a durable state, and others that died since, in any order.
    pub(super) fn of(settled: RoaringBitmap, mut recent: Vec<(Lsn, u32)>) -> Self {
        recent.sort_unstable();
        let mut all = settled.clone();
        all.extend(recent.iter().map(|(_, row)| *row));
        Self { settled, recent, all: Arc::new(all) }
    }

    /// The rows that a durable state has as dead.
    pub(super) fn settled_rows(&self) -> &RoaringBitmap {
        &self.settled
    }

    /// A row dies; whether it was alive. Changes come in the order of their positions.
    pub(super) fn kill(&mut self, row: u32, by: Lsn) -> bool {
        debug_assert!(self.recent.last().is_none_or(|(last, _)| *last <= by), "in order");
        let died = !self.all.contains(row) && Arc::make_mut(&mut self.all).insert(row);
        if died {
            self.recent.push((by, row));
        }
        died
    }

    /// All rows that are dead now.
    pub(super) fn all(&self) -> &Arc<RoaringBitmap> {
        &self.all
    }

    /// The rows that were dead at a position, which is not before the last that was settled.
    pub(super) fn as_of(&self, at: Lsn) -> RoaringBitmap {
        let mut rows = self.settled.clone();
        rows.extend(self.recent.iter().take_while(|(by, _)| *by <= at).map(|(_, row)| *row));
        rows
    }

    /// A durable state has what died up to this position.
    pub(super) fn settle(&mut self, at: Lsn) {
        let count = self.recent.partition_point(|(by, _)| *by <= at);
        self.settled.extend(self.recent.drain(..count).map(|(_, row)| row));
    }

    /// The deaths that no durable state has, in their order.
    pub(super) fn recent(&self) -> &[(Lsn, u32)] {
        &self.recent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_durable_state_has_what_died_up_to_its_position_and_no_more() {
        let mut dead = Dead::of([1].into_iter().collect(), Vec::new());
        for (row, by) in [(5, 10), (2, 11), (5, 12), (1, 12), (9, 14)] {
            let died = dead.kill(row, Lsn(by));
            assert_eq!(died, by != 12, "{row} by {by}");
        }
        let rows = |rows: RoaringBitmap| rows.into_iter().collect::<Vec<_>>();
        assert_eq!(rows(dead.as_of(Lsn(9))), [1]);
        assert_eq!(rows(dead.as_of(Lsn(11))), [1, 2, 5]);
        assert_eq!(rows(dead.all().as_ref().clone()), [1, 2, 5, 9]);
        dead.settle(Lsn(13));
        assert_eq!(dead.recent(), [(Lsn(14), 9)]);
        assert_eq!(rows(dead.as_of(Lsn(13))), [1, 2, 5]);
    }
}
