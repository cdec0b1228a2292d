//! A list of rows with how often something is found in each: in memory, or as tantivy packs it.

use roaring::RoaringBitmap;
use tantivy::postings::BlockSegmentPostings;

/// The row after the last.
pub(super) const END: u32 = u32::MAX;

/// Rows, ascending, and a frequency for each.
pub(super) enum List {
    Plain(Plain),
    Packed(Box<BlockSegmentPostings>),
}

/// A list in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plain {
    rows: Vec<u32>,
    frequencies: Vec<u32>,
}

impl Plain {
    /// Adds a row after all others; one that is there already adds to its frequency.
    pub(super) fn push(&mut self, row: u32, frequency: u32) {
        if self.rows.last() == Some(&row) {
            if let Some(last) = self.frequencies.last_mut() {
                *last += frequency;
            }
            return;
        }
        debug_assert!(self.rows.last().is_none_or(|last| *last < row), "ascending");
        self.rows.push(row);
        self.frequencies.push(frequency);
    }

    /// All rows of several lists, their frequencies added up.
    pub(super) fn union(lists: &[List]) -> Self {
        let mut pairs = Vec::with_capacity(lists.iter().map(List::len).sum());
        for list in lists {
            list.cursor().drain(END, |row, frequency| pairs.push((row, frequency)));
        }
        pairs.sort_unstable();
        let mut union = Self::default();
        for (row, frequency) in pairs {
            union.push(row, frequency);
        }
        union
    }
}

impl List {
    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Plain(plain) => plain.rows.len(),
            Self::Packed(blocks) => blocks.doc_freq() as usize,
        }
    }

    /// Before the first row.
    pub(super) fn cursor(&self) -> Cursor<'_> {
        match self {
            Self::Plain(list) => Cursor::Plain { list, at: 0 },
            Self::Packed(blocks) => Cursor::Packed { blocks: blocks.clone(), at: 0 },
        }
    }

    /// How many of some rows are in the list.
    pub(super) fn count_of(&self, rows: &RoaringBitmap) -> u64 {
        let mut count = 0;
        let mut cursor = self.cursor();
        if rows.len().saturating_mul(8) < self.len() as u64 {
            for row in rows {
                cursor.seek(row);
                count += u64::from(cursor.row() == row);
            }
        } else {
            cursor.drain(END, |row, _| count += u64::from(rows.contains(row)));
        }
        count
    }
}

/// A place in a list.
pub(super) enum Cursor<'a> {
    Plain { list: &'a Plain, at: usize },
    Packed { blocks: Box<BlockSegmentPostings>, at: usize },
}

impl Cursor<'_> {
    /// The row; [`END`] after the last.
    #[inline]
    pub(super) fn row(&self) -> u32 {
        match self {
            Self::Plain { list, at } => list.rows.get(*at).copied().unwrap_or(END),
            Self::Packed { blocks, at } => blocks.docs().get(*at).copied().unwrap_or(END),
        }
    }

    /// How often it is found in the row; 0 after the last.
    #[inline]
    pub(super) fn frequency(&self) -> u32 {
        match self {
            Self::Plain { list, at } => list.frequencies.get(*at).copied().unwrap_or_default(),
            Self::Packed { blocks, at } => blocks.freqs().get(*at).copied().unwrap_or_default(),
        }
    }

    /// Goes to the first row from `target` on; never back.
    pub(super) fn seek(&mut self, target: u32) {
        if self.row() >= target {
            return;
        }
        match self {
            Self::Plain { list, at } => {
                // Gallops: the rows that are asked for are often near.
                let rest = list.rows.get(*at..).unwrap_or_default();
                let mut step = 1;
                while rest.get(step).is_some_and(|row| *row < target) {
                    step *= 2;
                }
                let window = rest.get(step / 2..(step + 1).min(rest.len())).unwrap_or_default();
                *at += step / 2 + window.partition_point(|row| *row < target);
            }
            Self::Packed { blocks, at } => {
                *at = blocks.seek(target.min(tantivy::TERMINATED));
            }
        }
    }

    /// Hands over every row below `end` and goes past them.
    #[inline]
    pub(super) fn drain(&mut self, end: u32, mut visit: impl FnMut(u32, u32)) {
        match self {
            Self::Plain { list, at } => {
                while let (Some(row), Some(frequency)) =
                    (list.rows.get(*at), list.frequencies.get(*at))
                    && *row < end
                {
                    visit(*row, *frequency);
                    *at += 1;
                }
            }
            Self::Packed { blocks, at } => loop {
                let (rows, frequencies) = (blocks.docs(), blocks.freqs());
                let pairs = rows.iter().zip(frequencies).skip(*at);
                for (row, frequency) in pairs {
                    if *row >= end {
                        return;
                    }
                    visit(*row, *frequency);
                    *at += 1;
                }
                if rows.is_empty() {
                    return;
                }
                blocks.advance();
                *at = 0;
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_forward_to_what_is_asked_for() {
        let mut plain = Plain::default();
        for row in (0..1_000).filter(|row| row % 7 == 3) {
            plain.push(row, row % 5 + 1);
        }
        plain.push(997, 4);
        let list = List::Plain(plain);
        assert_eq!(list.len(), 143);
        let mut cursor = list.cursor();
        for (target, row) in
            [(0, 3), (3, 3), (4, 10), (500, 500), (501, 507), (990, 990), (996, 997), (998, END)]
        {
            cursor.seek(target);
            assert_eq!(cursor.row(), row, "{target}");
        }
        assert_eq!(cursor.frequency(), 0);
        let mut cursor = list.cursor();
        let mut found = Vec::new();
        cursor.drain(20, |row, frequency| found.push((row, frequency)));
        assert_eq!((found, cursor.row()), (vec![(3, 4), (10, 1), (17, 3)], 24));
        let rows: RoaringBitmap = [1, 3, 17, 18, 997].into_iter().collect();
        assert_eq!(list.count_of(&rows), 3);
        assert_eq!(list.count_of(&(0..1_000).collect()), 143);
    }

    #[test]
    fn a_union_adds_up_what_is_found_in_both() {
        let list = |pairs: &[(u32, u32)]| {
            let mut plain = Plain::default();
            pairs.iter().for_each(|(row, frequency)| plain.push(*row, *frequency));
            plain
        };
        let lists = [list(&[(1, 1), (5, 2)]), list(&[(0, 1), (5, 3)]), list(&[])].map(List::Plain);
        assert_eq!(Plain::union(&lists), list(&[(0, 1), (1, 1), (5, 5)]));
    }
}
