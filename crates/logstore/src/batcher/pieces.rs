//! Parts of a batch that are written in one transaction each.

use std::collections::BTreeSet;

use crate::entry::EntryId;
use crate::partition::PartitionKey;
use crate::queue::Queued;

/// Entries for one file, in the order of their numbers.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) day: i64,
    pub(crate) entries: Vec<Queued>,
    /// The file into which an earlier try may have written some of it.
    pub(crate) doubt: Option<PartitionKey>,
    /// Why its only entry becomes a dead letter.
    pub(crate) refusal: Option<String>,
}

impl Piece {
    fn new(day: i64, entries: Vec<Queued>) -> Self {
        Self { day, entries, doubt: None, refusal: None }
    }

    /// Takes some of its entries out, as a piece of their own.
    pub(super) fn take(&mut self, some: &BTreeSet<EntryId>) -> Self {
        let entries = std::mem::take(&mut self.entries);
        let (taken, left) = entries.into_iter().partition(|queued| some.contains(&queued.id));
        self.entries = left;
        Self { entries: taken, refusal: self.refusal.clone(), ..Self::new(self.day, Vec::new()) }
    }
}

/// Parts a batch by the day of arrival, which never goes back. Says whether the clock did.
pub(super) fn by_day(batch: Vec<Queued>, current: i64) -> (Vec<Piece>, bool) {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut day = current;
    let mut was_set_back = false;
    for queued in batch {
        let arrived = queued.entry.received.day();
        was_set_back |= arrived < day;
        day = day.max(arrived);
        match pieces.last_mut() {
            Some(piece) if piece.day == day => piece.entries.push(queued),
            _ => pieces.push(Piece::new(day, vec![queued])),
        }
    }
    (pieces, was_set_back)
}

/// Parts a piece in the middle.
pub(super) fn halves(mut piece: Piece) -> (Piece, Piece) {
    let second = piece.entries.split_off(piece.entries.len() / 2);
    let mut second = Piece::new(piece.day, second);
    second.doubt = piece.doubt;
    (piece, second)
}

#[cfg(test)]
mod tests {
    use base::clock::Instant;

    use super::*;
    use crate::completion::Slot;
    use crate::entry::{Entry, NANOS_PER_DAY, UnixNanos};
    use crate::queue::Urgency;

    fn queued(id: u64, day: i64) -> Queued {
        let mut entry = Entry::new(UnixNanos(0), "m");
        entry.received = UnixNanos(day * NANOS_PER_DAY + 5);
        Queued::new(EntryId(id), entry, Urgency::Queued, Instant(0), Slot::new(1, None))
    }

    #[track_caller]
    fn check(days: &[i64], current: i64, expect: &[(i64, usize)], set_back: bool) {
        let batch = (1..).zip(days).map(|(id, day)| queued(id, *day)).collect();
        let (pieces, was_set_back) = by_day(batch, current);
        let found: Vec<_> = pieces.iter().map(|piece| (piece.day, piece.entries.len())).collect();
        assert_eq!((found.as_slice(), was_set_back), (expect, set_back));
    }

    #[test]
    fn a_batch_over_midnight_is_two_pieces_and_days_never_go_back() {
        check(&[7, 7], i64::MIN, &[(7, 2)], false);
        check(&[7, 7, 8], 7, &[(7, 2), (8, 1)], false);
        check(&[8, 7, 8], 7, &[(8, 3)], true);
        check(&[3], 7, &[(7, 1)], true);
    }

    #[test]
    fn halves_keep_the_order() {
        let (mut pieces, _) = by_day((1..=5).map(|id| queued(id, 1)).collect(), 1);
        let (first, second) = halves(pieces.remove(0));
        let ids = |piece: &Piece| piece.entries.iter().map(|q| q.id.0).collect::<Vec<_>>();
        assert_eq!((ids(&first), ids(&second)), (vec![1, 2], vec![3, 4, 5]));
    }
}
