//! The terms of a memory in their order, for writing a segment.

use super::encoding::Postings;

/// Terms with their postings; before the first at the beginning.
#[derive(Debug)]
pub(in crate::text) struct MemoryTerms {
    /// The next last.
    lists: Vec<(Box<str>, Postings)>,
    current: Option<(Box<str>, Postings)>,
    rows: u32,
}

impl MemoryTerms {
    pub(super) fn new(mut lists: Vec<(Box<str>, Postings)>, rows: u32) -> Self {
        lists.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        Self { lists, current: None, rows }
    }

    /// Goes to the next term; false after the last.
    pub(in crate::text) fn advance(&mut self) -> bool {
        self.current = self.lists.pop();
        self.current.is_some()
    }

    pub(in crate::text) fn term(&self) -> &[u8] {
        self.current.as_ref().map_or(&[], |(term, _)| term.as_bytes())
    }

    /// Every row of the term with its positions.
    pub(in crate::text) fn each(&self, visit: &mut dyn FnMut(u32, &[u32])) {
        if let Some((_, postings)) = &self.current {
            postings.each(self.rows, visit);
        }
    }
}
