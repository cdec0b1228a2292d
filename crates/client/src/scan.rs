//! Reading a collection page by page.

use std::fmt;
use std::vec;

use crate::error::Result;
use crate::surface::{Next, Page, Range};
use crate::values::Document;

type Fetch<'a> = dyn FnMut(&Range, Option<&Next>) -> Result<Page> + Send + 'a;

/// Documents of a collection, fetched as they are asked for. Ends after the first error.
///
/// A scan that pauses for longer than the server keeps its snapshot (a minute) is told
/// `SnapshotExpired`, and so is one whose connection was lost: begin it again behind the last id.
pub struct Scan<'a> {
    range: Range,
    fetch: Box<Fetch<'a>>,
    page: vec::IntoIter<Document>,
    next: State,
}

enum State {
    Begin,
    Next(Next),
    End,
}

impl fmt::Debug for Scan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").field("range", &self.range).finish_non_exhaustive()
    }
}

impl<'a> Scan<'a> {
    pub(crate) fn new(
        range: Range,
        fetch: impl FnMut(&Range, Option<&Next>) -> Result<Page> + Send + 'a,
    ) -> Self {
        Self { range, fetch: Box::new(fetch), page: Vec::new().into_iter(), next: State::Begin }
    }

    /// Asks for so many documents at once; 1,000 by default, at least 1. The server may answer
    /// fewer.
    #[must_use]
    pub fn page(mut self, documents: u32) -> Self {
        self.range.page = documents.max(1);
        self
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<Document>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(document) = self.page.next() {
                return Some(Ok(document));
            }
            let fetched = match std::mem::replace(&mut self.next, State::End) {
                State::Begin => (self.fetch)(&self.range, None),
                State::Next(next) => (self.fetch)(&self.range, Some(&next)),
                State::End => return None,
            };
            match fetched {
                Ok(page) => {
                    self.page = page.documents.into_iter();
                    self.next = page.next.map_or(State::End, State::Next);
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
