//! The smallest few of many numbers.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A distance and a row, ordered by distance, then by row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Near {
    pub(crate) distance: f32,
    pub(crate) row: u32,
}

impl Eq for Near {}

impl Ord for Near {
    fn cmp(&self, other: &Self) -> Ordering {
        self.distance.total_cmp(&other.distance).then(self.row.cmp(&other.row))
    }
}

impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The `k` nearest seen so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Top {
    k: usize,
    heap: BinaryHeap<Near>,
}

impl Top {
    /// Forgets everything; keeps `k` from now on.
    pub(crate) fn reset(&mut self, k: usize) {
        self.k = k;
        self.heap.clear();
    }

    /// The greatest distance kept; infinite while there are fewer than `k`.
    #[inline]
    pub(crate) fn threshold(&self) -> f32 {
        match self.heap.peek() {
            Some(worst) if self.heap.len() >= self.k => worst.distance,
            _ => f32::INFINITY,
        }
    }

    /// Keeps `near` if it is among the `k` nearest.
    #[inline]
    pub(crate) fn push(&mut self, near: Near) {
        if self.heap.len() < self.k {
            self.heap.push(near);
        } else if let Some(mut worst) = self.heap.peek_mut()
            && near < *worst
        {
            *worst = near;
        }
    }

    /// What was kept, nearest first.
    pub(crate) fn sorted(&mut self) -> Vec<Near> {
        let mut sorted = std::mem::take(&mut self.heap).into_vec();
        sorted.sort_unstable();
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_are_kept_and_the_lower_row_of_two_alike() {
        let mut top = Top::default();
        top.reset(3);
        for (row, distance) in (0..).zip([5.0, 1.0, 4.0, 1.0, 9.0, 4.0, -2.0]) {
            assert_eq!(top.threshold() == f32::INFINITY, row < 3);
            top.push(Near { distance, row });
        }
        assert_eq!(top.threshold(), 1.0);
        let rows: Vec<u32> = top.sorted().iter().map(|near| near.row).collect();
        assert_eq!(rows, [6, 1, 3]);
        top.reset(0);
        top.push(Near { distance: 1.0, row: 1 });
        assert!(top.sorted().is_empty());
    }
}
