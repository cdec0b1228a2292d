//! The change feed: everything that was written, in order, without gaps, from any position that
//! the log still has. It shows only what is durable.

use std::time::Duration;

use base::clock::WallMs;
use base::words::{Change, Lsn};
use wal::{Hold, Reader, ReaderMark, Upto};

use crate::database::Database;
use crate::error::Result;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEntry {
    /// Its position; also the revision of the document that it wrote.
    pub lsn: Lsn,
    /// The first LSN of its transaction: changes with the same one were made together.
    pub transaction: Lsn,
    /// When it was committed.
    pub wall: WallMs,
    /// What it was.
    pub change: Change,
}

/// Reads the changes of a database in order. It keeps the log behind its position, but not without
/// limit: a feed that stays too far behind is let go and answers `LsnTrimmed`.
#[derive(Debug)]
pub struct Feed {
    reader: Reader,
    mark: ReaderMark,
}

impl Database {
    /// The changes after `position`, [`Lsn::ZERO`] for all. To resume, give the LSN of the last
    /// change that was dealt with.
    ///
    /// # Errors
    /// `DbNotOpen`. A position that the log no longer has is told by the first [`Feed::next`].
    pub fn changes(&self, position: Lsn) -> Result<Feed> {
        self.inner.check_open()?;
        let mark = self.inner.log.mark("change feed", Hold::Limited, position);
        let reader = self.inner.log.read(position.next(), Upto::Durable);
        Ok(Feed { reader, mark })
    }
}

impl Feed {
    /// The next change; none when there is none yet.
    ///
    /// # Errors
    /// `LsnTrimmed` when the log no longer has the position: read the documents again, then go on
    /// from there. `WalCorrupt` when the log is damaged.
    #[expect(clippy::should_implement_trait, reason = "an iterator would end where a feed waits")]
    pub fn next(&mut self) -> Result<Option<FeedEntry>> {
        loop {
            let Some(frame) = self.reader.next()? else { return Ok(None) };
            let (lsn, transaction, wall) = (frame.lsn, frame.tx_first, WallMs(frame.wall_ms));
            let change = frame.change();
            self.mark.advance(lsn);
            if let Some(change) = change {
                return Ok(Some(FeedEntry { lsn, transaction, wall, change }));
            }
        }
    }

    /// Waits until there is a change or `timeout` has passed; says whether there may be one.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        self.reader.wait(timeout)
    }

    /// The position of the last change that was answered, or where the feed began.
    #[must_use]
    pub fn position(&self) -> Lsn {
        Lsn(self.reader.position().0.saturating_sub(1))
    }
}
