//! A set of rows of one block, as bits.

use crate::options::BLOCK_ROWS;

const WORDS: usize = BLOCK_ROWS.div_ceil(64);

/// Some rows of a block of at most 4,096.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowSet {
    words: [u64; WORDS],
}

impl RowSet {
    pub(crate) const NONE: Self = Self { words: [0; WORDS] };

    /// The first `rows` rows.
    pub(crate) fn first(rows: usize) -> Self {
        let mut set = Self::NONE;
        for (at, word) in set.words.iter_mut().enumerate() {
            let left = rows.saturating_sub(at * 64).min(64);
            *word = if left == 64 { u64::MAX } else { (1 << left) - 1 };
        }
        set
    }

    pub(crate) fn insert(&mut self, row: usize) {
        if let Some(word) = self.words.get_mut(row / 64) {
            *word |= 1 << (row % 64);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    pub(crate) fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(crate) fn intersect(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    pub(crate) fn unite(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    /// Keeps the rows for which `keeps` says so.
    pub(crate) fn retain(&mut self, mut keeps: impl FnMut(usize) -> bool) {
        for (at, word) in self.words.iter_mut().enumerate() {
            let mut bits = *word;
            while bits != 0 {
                let bit = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                if !keeps(at * 64 + bit) {
                    *word &= !(1 << bit);
                }
            }
        }
    }

    /// The rows, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let mut bits = *word;
            std::iter::from_fn(move || {
                (bits != 0).then(|| {
                    let bit = bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    at * 64 + bit
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_what_was_put_in() {
        for rows in [0, 1, 63, 64, 65, 4095, 4096] {
            let set = RowSet::first(rows);
            assert_eq!(set.len(), rows);
            assert!(set.iter().eq(0..rows));
        }
        let mut set = RowSet::first(200);
        set.retain(|row| row % 3 == 0);
        assert!(set.iter().eq((0..200).step_by(3)));
        let mut other = RowSet::NONE;
        other.insert(3);
        other.insert(4000);
        set.intersect(&other);
        assert!(set.iter().eq([3]));
        set.unite(&other);
        assert!(set.iter().eq([3, 4000]));
        assert!(!set.is_empty() && RowSet::NONE.is_empty());
    }
}
