//! The first rows of one part by a number: the nearest by their exact distances, the best by their scores.

use crate::exhaustive::First;
use crate::order::Direction;

/// Beyond so many more than are wanted, those that are too far are forgotten.
const SLACK: usize = 1024;

/// The nearest rows of those that it is given, and all that are as near as the last of them: ids decide between
/// those, and they have not been read yet. Behind a cursor, the nearest of those that are not before it.
#[derive(Debug)]
pub(super) struct Best {
    direction: Direction,
    /// How many are wanted; none is all of them.
    wanted: Option<usize>,
    /// Where the last answer ended: what is nearer was in it.
    after: Option<f64>,
    rows: Vec<(f64, u32)>,
    /// Those as near as where the last answer ended: it had some of them.
    level: Vec<(f64, u32)>,
    /// From how many on they are cut: with many as near as each other cutting changes little and costs much.
    cut_at: usize,
}

impl Best {
    pub(super) fn new(direction: Direction, first: Option<First>) -> Self {
        let wanted = first.map(|first| first.count);
        let after = first.and_then(|first| first.after);
        let cut_at = wanted.map_or(usize::MAX, |wanted| 2 * wanted + SLACK);
        Self { direction, wanted, after, rows: Vec::new(), level: Vec::new(), cut_at }
    }

    pub(super) fn add(&mut self, distance: f64, row: u32) {
        if let Some(after) = self.after {
            let is_before = match self.direction {
                Direction::Ascending => distance < after,
                Direction::Descending => distance > after,
            };
            if is_before {
                return;
            }
            if distance == after {
                self.level.push((distance, row));
                return;
            }
        }
        self.rows.push((distance, row));
        if self.rows.len() >= self.cut_at {
            self.cut();
            self.cut_at = self.cut_at.max(2 * self.rows.len());
        }
    }

    /// The rows with their distances, in the order of rows.
    pub(super) fn finish(mut self) -> Vec<(f64, u32)> {
        self.cut();
        self.rows.append(&mut self.level);
        self.rows.sort_unstable_by_key(|(_, row)| *row);
        self.rows
    }

    fn cut(&mut self) {
        let Some(wanted) = self.wanted else { return };
        if self.rows.len() <= wanted {
            return;
        }
        let Some(last) = wanted.checked_sub(1) else { return self.rows.clear() };
        let direction = self.direction;
        let order = |a: f64, b: f64| match direction {
            Direction::Ascending => a.total_cmp(&b),
            Direction::Descending => b.total_cmp(&a),
        };
        let (_, (farthest, _), _) =
            self.rows.select_nth_unstable_by(last, |(a, _), (b, _)| order(*a, *b));
        let farthest = *farthest;
        // By value, so that 0 and -0 are as near as each other.
        self.rows.retain(|(distance, _)| match direction {
            Direction::Ascending => *distance <= farthest,
            Direction::Descending => *distance >= farthest,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_are_kept_and_all_that_are_as_near_as_the_last() {
        let distances = [4.0, 0.0, 2.0, -0.0, 2.0, 9.0, 2.0, 1.0];
        let check = |direction, wanted: Option<usize>, expect: &[u32]| {
            let first = wanted.map(|count| First { count, after: None });
            let mut best = Best::new(direction, first);
            for (row, distance) in (0..).zip(distances) {
                best.add(distance, row);
            }
            let rows: Vec<u32> = best.finish().into_iter().map(|(_, row)| row).collect();
            assert_eq!(rows, expect, "{direction:?} {wanted:?}");
        };
        check(Direction::Ascending, Some(0), &[]);
        check(Direction::Ascending, Some(1), &[1, 3]);
        check(Direction::Ascending, Some(4), &[1, 2, 3, 4, 6, 7]);
        check(Direction::Descending, Some(2), &[0, 5]);
        check(Direction::Descending, Some(3), &[0, 2, 4, 5, 6]);
        check(Direction::Descending, None, &[0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn behind_a_cursor_only_what_may_be_behind_it_is_kept() {
        let distances = [4.0, 0.0, 2.0, -0.0, 2.0, 9.0, 2.0, 1.0];
        let check = |direction, (count, after), expect: &[u32]| {
            let mut best = Best::new(direction, Some(First { count, after: Some(after) }));
            for (row, distance) in (0..).zip(distances) {
                best.add(distance, row);
            }
            let rows: Vec<u32> = best.finish().into_iter().map(|(_, row)| row).collect();
            assert_eq!(rows, expect, "{direction:?} {count} behind {after}");
        };
        check(Direction::Ascending, (1, 2.0), &[0, 2, 4, 6]);
        check(Direction::Ascending, (2, -1.0), &[1, 3]);
        check(Direction::Ascending, (1, 9.0), &[5]);
        check(Direction::Descending, (1, 2.0), &[2, 4, 6, 7]);
        check(Direction::Descending, (1, -3.0), &[]);
    }

    #[test]
    fn what_is_too_far_is_forgotten_on_the_way() {
        let mut best = Best::new(Direction::Ascending, Some(First { count: 3, after: None }));
        for row in 0..100_000_u32 {
            best.add(f64::from(row * 7919 % 100_003), row);
            assert!(best.rows.len() <= 6 + SLACK);
        }
        assert_eq!(best.finish().len(), 3);
    }
}
