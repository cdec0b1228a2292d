//! The change feed.

use std::sync::Arc;
use std::time::Duration;
use std::vec;

use crate::database::FEED_WAIT;
use crate::error::Result;
use crate::surface::Surface;
use crate::values::Change;

/// Changes asked for at once.
const PAGE_CHANGES: u32 = 1000;

/// The changes of a database, in order and without gaps. As an iterator it waits for the next
/// change and never ends. After an error it may be asked again: it goes on where it was.
#[derive(Debug)]
pub struct Changes {
    surface: Arc<dyn Surface>,
    database: Arc<str>,
    /// Behind this the server is asked next.
    asked: u64,
    /// The last change that was handed out.
    position: u64,
    page: vec::IntoIter<Change>,
}

impl Changes {
    pub(crate) fn new(surface: Arc<dyn Surface>, database: Arc<str>, after: u64) -> Self {
        let page = Vec::new().into_iter();
        Self { surface, database, asked: after, position: after, page }
    }

    /// Behind which change to go on: keep it, and give it to [`crate::Database::changes`] when the
    /// program starts again.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next change; none when there was none for so long, which may be zero.
    ///
    /// # Errors
    /// `LsnTrimmed` when the server no longer has what comes next: read the documents again, and
    /// go on from there.
    pub fn poll(&mut self, wait: Duration) -> Result<Option<Change>> {
        if self.page.as_slice().is_empty() {
            let (position, changes) =
                self.surface.changes(&self.database, self.asked, PAGE_CHANGES, wait)?;
            self.asked = position;
            self.page = changes.into_iter();
        }
        let change = self.page.next();
        self.position = match &change {
            Some(change) => change.lsn,
            None => self.asked,
        };
        Ok(change)
    }
}

impl Iterator for Changes {
    type Item = Result<Change>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(change) = self.poll(FEED_WAIT).transpose() {
                return Some(change);
            }
        }
    }
}
