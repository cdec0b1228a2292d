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

    /// How many rows of each of `clusters` clusters are in the set, by the cluster of each row.
    pub(crate) fn count_by(&self, map: &[u32], clusters: usize, counts: &mut Vec<u32>) {
        counts.clear();
        counts.resize(clusters, 0);
        for (&word, map) in self.words.iter().zip(map.chunks(64)) {
            let mut rest = word;
            while rest != 0 {
                let cluster = map.get(rest.trailing_zeros() as usize);
                if let Some(count) = cluster.and_then(|cluster| counts.get_mut(*cluster as usize)) {
                    *count += 1;
                }
                rest &= rest - 1;
            }
        }
    }

    /// The rows, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0_u32..).zip(&self.words).flat_map(|(index, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                rest &= rest.wrapping_sub(1);
                (bit < 64).then(|| index * 64 + bit)
            })
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
    fn the_rows_of_each_cluster_that_pass_are_counted() {
        let set = RowSet::new([0, 2, 3, 70, 500]);
        let mut counts = vec![9; 7];
        let mut map = vec![1; 71];
        map[2] = 2;
        map[70] = 0;
        set.count_by(&map, 3, &mut counts);
        assert_eq!(counts, [1, 2, 1]);
    }

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
