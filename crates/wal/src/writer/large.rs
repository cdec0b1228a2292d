//! Writing transactions that need more than one segment, or that wait in a spool file.
//!
//! Invariants:
//! - Every segment that the transaction will begin is claimed before its first byte is written, so
//!   that a full disk refuses it whole. How its frames fall into segments is worked out beforehand
//!   for this: [`Layout::add`] does what [`Writer::spread`] will do, frame by frame.
//! - What fails after that is I/O. While it has entered no segment, its frames are taken back.
//!   Afterwards the log is poisoned: the begun segment's name is durable and the manifest may know
//!   it, so it cannot be taken back, and half a transaction must not be written behind.

use super::{Batch, Fail, Writer};
use crate::claims::Spare;
use crate::error::WalError;
use crate::frame::HEADER_BYTES;
use crate::transaction::{frame_len, stamp};

/// Bytes read from a spool file at once.
const SPOOL_CHUNK: usize = 1024 * 1024;

/// Where a segment's space comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// It had been claimed before.
    Claims,
    /// It was made for this transaction.
    Made,
}

/// The segments that a transaction will begin.
struct Layout<'a> {
    writer: &'a Writer,
    /// Bytes left in the last of them, or in the active segment before the first.
    room: u64,
    /// Size of the next one to make.
    next_size: u64,
    /// Bytes of frames that have no place yet.
    left: u64,
    segments: Vec<(Spare, Origin)>,
}

impl Layout<'_> {
    /// Finds a place for the next frame, of `len` bytes.
    fn add(&mut self, len: u64) -> Result<(), WalError> {
        if len > self.room {
            let claims = &self.writer.cx.claims;
            let (spare, origin) = match claims.take(len) {
                Some(spare) => (spare, Origin::Claims),
                None => (self.writer.claim(len, self.next_size, self.left)?, Origin::Made),
            };
            self.room = spare.capacity();
            self.next_size = self.writer.size_after(spare.size);
            self.segments.push((spare, origin));
        }
        self.room -= len;
        self.left = self.left.saturating_sub(len);
        Ok(())
    }

    fn add_all(&mut self, frames: &[u8]) -> Result<(), WalError> {
        let mut at = 0;
        while let Some(header) = frames.get(at..at + HEADER_BYTES) {
            let len = frame_len(header);
            self.add(len as u64)?;
            at += len;
        }
        Ok(())
    }

    fn add_spooled(&mut self, batch: &Batch) -> Result<(), WalError> {
        let Some(spool) = &batch.spool else { return Ok(()) };
        let mut from = 0;
        while from < spool.len() {
            let chunk = spool.read(from, SPOOL_CHUNK)?;
            self.add_all(&chunk)?;
            from += chunk.len() as u64;
        }
        Ok(())
    }

    /// Gives up: what had been claimed before stays claimed, what was made is given back.
    fn undo(self) {
        let claims = &self.writer.cx.claims;
        for (spare, origin) in self.segments {
            match origin {
                Origin::Claims => claims.put(spare),
                Origin::Made => claims.discard(spare),
            }
        }
    }
}

impl Writer {
    /// Writes one transaction that waits in a file or is larger than a segment.
    /// `len` bytes of it are in memory, from `at` on.
    pub(super) fn write_large(
        &mut self,
        batch: &mut Batch,
        at: usize,
        len: usize,
    ) -> Result<(), Fail> {
        self.claim_whole(batch, at, len).map_err(Fail::Refused)?;
        let start = self.active.as_ref().map(|a| (a.segment.sequence, a.offset, a.chain, a.solid));
        let last = self.last;
        let written = self.stream(batch, at, len);
        for unused in self.ahead.drain(..) {
            self.cx.claims.put(unused);
        }
        let Err(fail) = written else {
            self.show();
            return Ok(());
        };
        // Whatever becomes of its frames, the log ends before them: a later sync must not vouch
        // for half a transaction.
        self.last = last;
        let Fail::Refused(error) = fail else { return Err(fail) };
        // Frames of it may stand before the one that failed: take all of them back, which is
        // possible while no segment was begun for it.
        match (&mut self.active, start) {
            (Some(active), Some((sequence, offset, chain, solid)))
                if active.segment.sequence == sequence =>
            {
                let len = active.offset - offset;
                active.offset = offset;
                active.chain = chain;
                active.solid = solid;
                active.segment.forget_from(offset);
                if len == 0 {
                    return Err(Fail::Refused(error));
                }
                // A segment that was begun names an end behind frames that are about to go.
                match self.name_end_again() {
                    Ok(()) => Err(self.take_back(len, error)),
                    Err(_) => Err(Fail::Poison(error)),
                }
            }
            (None, None) => Err(Fail::Refused(error)),
            _ => Err(Fail::Poison(error)),
        }
    }

    /// Claims every segment that the transaction will begin. A spool file is read once more for
    /// it, which costs little beside writing and syncing what it holds.
    fn claim_whole(&mut self, batch: &Batch, at: usize, len: usize) -> Result<(), WalError> {
        let in_memory = batch.bytes.get(at..at.saturating_add(len)).unwrap_or_default();
        let total = batch.spool.as_ref().map_or(0, |spool| spool.len()) + in_memory.len() as u64;
        let room = self.room();
        if total <= room {
            return Ok(());
        }
        let (next_size, segments) = (self.next_size, Vec::new());
        let mut layout = Layout { writer: self, room, next_size, left: total, segments };
        match layout.add_spooled(batch).and_then(|()| layout.add_all(in_memory)) {
            Ok(()) => {
                let segments = layout.segments;
                self.ahead.extend(segments.into_iter().map(|(spare, _)| spare));
                Ok(())
            }
            Err(error) => {
                layout.undo();
                let full = error.is_disk_full();
                Err(if full { WalError::DiskFull { bytes: total } } else { error })
            }
        }
    }

    fn stream(&mut self, batch: &mut Batch, at: usize, len: usize) -> Result<(), Fail> {
        if let Some(spool) = &batch.spool {
            let (mut from, mut lsn) = (0, batch.first);
            while from < spool.len() {
                let mut chunk = spool.read(from, SPOOL_CHUNK).map_err(Fail::Refused)?;
                stamp(&mut chunk, lsn, batch.wall_ms);
                self.spread(&mut chunk)?;
                from += chunk.len() as u64;
                lsn = self.last.next();
            }
        }
        let end = at.saturating_add(len);
        self.spread(batch.bytes.get_mut(at..end).unwrap_or_default())
    }

    /// Writes frames over as many segments as they need.
    fn spread(&mut self, frames: &mut [u8]) -> Result<(), Fail> {
        let mut from = 0;
        while from < frames.len() {
            let room = self.room();
            let mut to = from;
            let mut next = 0;
            while let Some(header) = frames.get(to..to + HEADER_BYTES) {
                next = frame_len(header);
                if (to + next - from) as u64 > room {
                    break;
                }
                to += next;
            }
            if to == from {
                self.rotate(self.last.next(), next as u64)?;
                continue;
            }
            self.write_frames(frames.get_mut(from..to).unwrap_or_default())?;
            from = to;
        }
        Ok(())
    }
}
