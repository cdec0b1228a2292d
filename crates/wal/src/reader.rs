//! Reading a log that may be written at the same time: in order from any LSN, following its end.
//!
//! A reader holds the segment that it reads, so the file is not reused beneath it while the log is
//! open. It sees whole transactions only, because visibility moves by whole transactions. A reader
//! that is kept past the closing of its log reads nothing more: the next handle may reuse or remove
//! the files, and that must not pass for damage.

use base::io::Open;
use base::words::{Change, CollectionId, DocId, Lsn};

use crate::catalog::Segment;
use crate::error::{Damage, Op, Result, WalError};
use crate::frame::{Header, Kind, Place, Seed};
use crate::payload;
use crate::scan::{Scanner, Step};
use crate::shared::Shared;
use crate::sync::Arc;

/// One frame of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Position in the log.
    pub lsn: Lsn,
    /// LSN of its transaction's first frame: the transaction's id.
    pub tx_first: Lsn,
    /// Whether it ends its transaction.
    pub place: Place,
    /// Wall time of its transaction, milliseconds since the Unix epoch.
    pub wall_ms: u64,
    /// What the payload is.
    pub kind: Kind,
    /// The payload, verified.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    pub(crate) fn new(header: &Header, payload: &'a [u8]) -> Self {
        Self {
            lsn: header.lsn,
            tx_first: header.tx_first(),
            place: header.place,
            wall_ms: header.wall_ms,
            kind: header.kind,
            payload,
        }
    }

    /// The change it records; `None` for checkpoints and gaps.
    #[must_use]
    pub fn change(&self) -> Option<Change> {
        payload::decode(self.kind, self.payload)
    }

    /// The LSN after this frame: behind the missing ones for a gap.
    #[must_use]
    pub fn next_lsn(&self) -> Lsn {
        let lost = (self.kind == Kind::Gap).then(|| payload::decode_lsn(self.payload)).flatten();
        lost.unwrap_or(self.lsn).max(self.lsn).next()
    }
}

/// How far a reader may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upto {
    /// What has been acknowledged.
    Visible,
    /// What power loss cannot take: for everything that is derived from the log.
    Durable,
}

struct Reading {
    segment: Arc<Segment>,
    scanner: Scanner,
}

/// Reads the log in order.
pub struct Reader {
    shared: Arc<Shared>,
    upto: Upto,
    next: Lsn,
    place: Option<Reading>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("next", &self.next).field("upto", &self.upto).finish()
    }
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, from: Lsn, upto: Upto) -> Self {
        Self { shared, upto, next: from.max(Lsn(1)), place: None }
    }

    /// LSN of the frame that comes next.
    #[must_use]
    pub fn position(&self) -> Lsn {
        self.next
    }

    fn limit(&self) -> Lsn {
        match self.upto {
            Upto::Visible => self.shared.visible(),
            Upto::Durable => self.shared.durable().min(self.shared.visible()),
        }
    }

    /// The next frame, `None` at the end for now. Where LSNs were lost to damage it is a gap, also
    /// for a reader that begins in the middle of one.
    ///
    /// # Errors
    /// `LsnTrimmed` when the position is no longer in the log, `WalCorrupt` when its bytes are
    /// damaged, `DbNotOpen` ([`WalError::Closed`]) once the log's closing has begun, the disk's.
    #[expect(clippy::should_implement_trait, reason = "a frame borrows from the reader")]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>> {
        if self.shared.cx.catalog.is_let_go() {
            return Err(WalError::Closed);
        }
        let header = match self.find() {
            Ok(Some(header)) => header,
            Ok(None) => return Ok(None),
            // It may have been closed since, and what was met is what another handle did.
            Err(_) if self.shared.cx.catalog.is_let_go() => return Err(WalError::Closed),
            Err(error) => return Err(error),
        };
        let Some(place) = &self.place else { return Ok(None) };
        let frame = Frame::new(&header, place.scanner.payload());
        self.next = frame.next_lsn();
        Ok(Some(frame))
    }

    /// Reads on to the frame that comes next; its payload is the scanner's.
    fn find(&mut self) -> Result<Option<Header>> {
        if self.next > self.limit() {
            return Ok(None);
        }
        loop {
            if self.place.is_none() {
                self.open()?;
            }
            let Some(place) = &mut self.place else { return Ok(None) };
            let segment = Arc::clone(&place.segment);
            place.scanner.extend_to(segment.end());
            let fail = |e| WalError::io(Op::Read, &segment.path, e);
            match place.scanner.step().map_err(fail)? {
                Step::Frame { header, .. } if header.kind.is_hint() => {}
                Step::Frame { header, .. } if header.lsn == self.next => return Ok(Some(header)),
                Step::Frame { header, .. } if header.lsn < self.next => {
                    // Who begins inside a gap is told of all of it.
                    let frame = Frame::new(&header, place.scanner.payload());
                    if frame.next_lsn() > self.next {
                        return Ok(Some(header));
                    }
                }
                Step::Frame { .. } => return Err(self.damage("the LSN is out of sequence")),
                Step::Bad { what } => return Err(self.damage(what)),
                Step::End if segment.last() < self.next => {
                    self.place = None;
                    if self.shared.cx.catalog.after(segment.sequence).is_none() {
                        return Err(self.damage_in(&segment, "the segment ends early"));
                    }
                }
                Step::End => return Err(self.damage("the segment ends early")),
            }
        }
    }

    fn open(&mut self) -> Result<()> {
        let catalog = &self.shared.cx.catalog;
        let Some(segment) = catalog.holding(self.next) else {
            let first = catalog.oldest().map_or(self.next, |oldest| oldest.first_lsn);
            return Err(WalError::Trimmed { wanted: self.next, first });
        };
        let file = match self.shared.cx.disk.open(&segment.path, Open::Read) {
            Ok(file) => file,
            Err(e) => {
                let first = catalog.oldest().map_or(self.next, |oldest| oldest.first_lsn);
                return Err(if first > self.next {
                    WalError::Trimmed { wanted: self.next, first }
                } else {
                    WalError::io(Op::Open, &segment.path, e)
                });
            }
        };
        let cx = &self.shared.cx;
        let seed = Seed::of(&cx.options, cx.database, segment.sequence);
        let scanner = Scanner::new(file, seed, segment.near(self.next), segment.end());
        self.place = Some(Reading { segment, scanner });
        Ok(())
    }

    fn damage(&self, what: &'static str) -> WalError {
        match &self.place {
            Some(place) => self.damage_in(&place.segment, what),
            None => WalError::Closed,
        }
    }

    fn damage_in(&self, segment: &Segment, what: &'static str) -> WalError {
        WalError::Corrupt(Box::new(Damage {
            segment: segment.sequence,
            offset: self.place.as_ref().map_or(0, |place| place.scanner.offset()),
            lost_from: self.next,
            lost_to: segment.last(),
            what,
        }))
    }

    /// Waits until there is something to read or `timeout` has passed; says whether there is.
    #[must_use]
    pub fn wait(&self, timeout: std::time::Duration) -> bool {
        self.shared.wait_visible(self.next, timeout) && self.next <= self.limit()
    }

    /// The newest change of a document from here to the end, with its LSN. Reads everything in
    /// between: the way for healing, not for serving.
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub fn newest_of(
        &mut self,
        collection: CollectionId,
        id: &DocId,
    ) -> Result<Option<(Lsn, Change)>> {
        let mut newest = None;
        while let Some(frame) = self.next()? {
            let key = payload::decode_key(frame.kind, frame.payload);
            if key.is_some_and(|(c, i)| c == collection && i == *id)
                && let Some(change) = frame.change()
            {
                newest = Some((frame.lsn, change));
            }
        }
        Ok(newest)
    }
}
