//! A set of rows, for a search that may return only these.

/// Rows of a segment, one bit each.
///
/// A search asks about thousands of rows, so the set is dense: 125 KB for a million rows, less than
/// what one search reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowSet {
    words: Vec<u64>,
    count: usize,
}

impl RowSet {
    /// The set of these rows.
    #[must_use]
    pub fn new(rows: impl IntoIterator<Item = u32>) -> Self {
        rows.into_iter().collect()
    }

    /// Whether `row` is in the set.
    #[must_use]
    #[inline]
    pub fn contains(&self, row: u32) -> bool {
        let word = self.words.get(row as usize / 64).copied().unwrap_or(0);
        word >> (row % 64) & 1 == 1
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The rows, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0_u32..).zip(&self.words).flat_map(|(index, &word)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| index * 64 + bit)
        })
    }
}

impl FromIterator<u32> for RowSet {
    fn from_iter<T: IntoIterator<Item = u32>>(rows: T) -> Self {
        let mut set = Self::default();
        for row in rows {
            let index = row as usize / 64;
            if index >= set.words.len() {
                set.words.resize(index + 1, 0);
            }
            let bit = 1 << (row % 64);
            set.count += usize::from(set.words[index] & bit == 0);
            set.words[index] |= bit;
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_the_rows_that_it_was_given_and_no_others() {
        let rows = [0, 63, 64, 1000, 1000, 5];
        let set = RowSet::new(rows);
        assert_eq!(set.len(), 5);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 5, 63, 64, 1000]);
        for row in 0..1100 {
            assert_eq!(set.contains(row), rows.contains(&row));
        }
        assert!(!set.contains(u32::MAX));
        assert!(RowSet::default().is_empty());
    }
}
