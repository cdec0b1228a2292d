//! The change feed: everything that was written, in order, without gaps, from any position that
//! the log still has. It shows only what is durable.

use std::time::Duration;

use base::clock::WallMs;
use base::words::{Change, Lsn};
use wal::frame::Kind;
use wal::{Hold, Log, Reader, ReaderMark, Upto};

use crate::database::{Database, lock};
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
    has_gap: bool,
}

/// Has the log keep the changes behind a position, for somebody who reads them later. Not without limit,
/// as for a feed: one that holds back too much is let go. Given up on drop.
#[derive(Debug)]
pub struct ChangesHold(ReaderMark);

impl ChangesHold {
    /// The changes up to this position are needed no more. Never moves back.
    pub fn advance(&self, position: Lsn) {
        self.0.advance(position);
    }

    /// The position behind which changes are kept.
    #[must_use]
    pub fn position(&self) -> Lsn {
        self.0.lsn()
    }

    /// Whether the log has stopped keeping them.
    #[must_use]
    pub fn is_let_go(&self) -> bool {
        self.0.is_let_go()
    }
}

/// Keeps everything that the log has.
pub(crate) fn opening_mark(log: &Log) -> ReaderMark {
    log.mark("what is derived of the changes", Hold::Limited, Lsn::ZERO)
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
        Ok(Feed { reader, mark, has_gap: false })
    }

    /// The hold on the changes that the log has kept since the database was opened, if the options ask for
    /// one ([`hold_changes`](crate::Options::hold_changes)): for the first who takes it.
    #[must_use]
    pub fn take_opening_hold(&self) -> Option<ChangesHold> {
        lock(&self.inner.marks.changes).take().map(ChangesHold)
    }

    /// Keeps the changes behind a position, those that the log still has.
    #[must_use]
    pub fn hold_changes(&self, reader: &str, position: Lsn) -> ChangesHold {
        ChangesHold(self.inner.log.mark(reader, Hold::Limited, position))
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
            self.has_gap |= frame.kind == Kind::Gap;
            self.mark.advance(lsn);
            if let Some(change) = change {
                return Ok(Some(FeedEntry { lsn, transaction, wall, change }));
            }
        }
    }

    /// Whether changes were lost where it has read: the log was damaged there and was salvaged.
    #[must_use]
    pub fn has_gap(&self) -> bool {
        self.has_gap
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
