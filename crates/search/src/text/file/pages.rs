//! Pages: bytes that are read by ranges, each page verified before anybody sees it.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tantivy::HasLen;
use tantivy::directory::{FileHandle, OwnedBytes};

use super::layout::Stream;
use super::{Kind, SUM_BYTES, seal, sealed};
use crate::vector::ReadRanges;

/// Bytes of a page, with its checksum. The last page is as long as what is left.
pub(super) const PAGE_BYTES: u64 = 4096;
/// Bytes that a page holds.
pub(super) const PAGE_BODY: u64 = PAGE_BYTES - SUM_BYTES as u64;

/// Cuts bytes into pages.
pub(super) fn write(identity: &[u8; 16], payload: &[u8], out: &mut Vec<u8>) {
    for (number, body) in
        (0..).zip(payload.chunks(usize::try_from(PAGE_BODY).unwrap_or(usize::MAX)))
    {
        seal(identity, Kind::Page, number, body, out);
    }
}

/// The pages of a file.
pub(super) struct Pages {
    pub(super) reader: Arc<dyn ReadRanges>,
    pub(super) identity: [u8; 16],
    /// Where they begin in the file.
    pub(super) start: u64,
    /// How many bytes they hold.
    pub(super) payload: u64,
    /// What is read ahead for whoever has the turn.
    ahead: Mutex<Vec<Run>>,
    turn: Mutex<()>,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("start", &self.start)
            .field("payload", &self.payload)
            .finish_non_exhaustive()
    }
}

/// Bytes that follow one another, as whole pages hold them.
#[derive(Clone)]
struct Run {
    from: u64,
    bytes: OwnedBytes,
}

impl Run {
    fn part(&self, range: &Range<u64>) -> Option<OwnedBytes> {
        let from = usize::try_from(range.start.checked_sub(self.from)?).ok()?;
        let to = usize::try_from(range.end.checked_sub(self.from)?).ok()?;
        (to <= self.bytes.len()).then(|| self.bytes.slice(from..to))
    }
}

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held that leaves what it guards half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pages {
    pub(super) fn new(
        reader: Arc<dyn ReadRanges>,
        identity: [u8; 16],
        start: u64,
        payload: u64,
    ) -> Self {
        Self { reader, identity, start, payload, ahead: Mutex::default(), turn: Mutex::default() }
    }

    /// Reads ranges in one round trip. Until the guard is dropped, whatever reads of them reads memory.
    pub(super) fn read_ahead(&self, ranges: &[Range<u64>]) -> io::Result<Ahead<'_>> {
        let runs = self.fetch(ranges)?;
        let turn = locked(&self.turn);
        *locked(&self.ahead) = runs;
        Ok(Ahead { pages: self, _turn: turn })
    }

    /// The bytes of a range.
    pub(super) fn read(&self, range: Range<u64>) -> io::Result<OwnedBytes> {
        let ahead = locked(&self.ahead).iter().find_map(|run| run.part(&range));
        if let Some(bytes) = ahead {
            return Ok(bytes);
        }
        let runs = self.fetch(std::slice::from_ref(&range))?;
        let found = runs.iter().find_map(|run| run.part(&range));
        found
            .or_else(|| range.is_empty().then(OwnedBytes::empty))
            .ok_or(damaged("it ends too early"))
    }

    /// Reads the pages that ranges lie in; those that touch become one.
    fn fetch(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Run>> {
        let mut pages: Vec<Range<u64>> = ranges
            .iter()
            .filter(|range| !range.is_empty())
            .map(|range| range.start / PAGE_BODY..range.end.div_ceil(PAGE_BODY))
            .collect();
        pages.sort_unstable_by_key(|pages| pages.start);
        pages.dedup_by(|next, last| {
            let touches = next.start <= last.end;
            if touches {
                last.end = last.end.max(next.end);
            }
            touches
        });
        if pages.is_empty() {
            return Ok(Vec::new());
        }
        if pages.last().is_some_and(|last| last.end > self.payload.div_ceil(PAGE_BODY)) {
            return Err(damaged("a place beyond the end is asked for"));
        }
        let end = self.start.saturating_add(super::layout::pages_len(self.payload));
        let place = |page: u64| self.start.saturating_add(page.saturating_mul(PAGE_BYTES)).min(end);
        let places: Vec<Range<u64>> =
            pages.iter().map(|pages| place(pages.start)..place(pages.end)).collect();
        let parts = self.reader.read(&places)?;
        let fits = parts.len() == places.len()
            && parts
                .iter()
                .zip(&places)
                .all(|(part, place)| part.len() as u64 == place.end.saturating_sub(place.start));
        if !fits {
            return Err(damaged("a range was not read in full"));
        }
        pages.iter().zip(parts).map(|(pages, bytes)| self.verify(pages.start, &bytes)).collect()
    }

    fn verify(&self, first: u64, bytes: &[u8]) -> io::Result<Run> {
        let mut body = Vec::with_capacity(bytes.len());
        let page_bytes = usize::try_from(PAGE_BYTES).unwrap_or(usize::MAX);
        for (number, page) in (first..).zip(bytes.chunks(page_bytes)) {
            let number = u32::try_from(number).map_err(|_| damaged("there are too many pages"))?;
            let page = sealed(&self.identity, Kind::Page, number, page);
            body.extend_from_slice(page.ok_or(damaged("the checksum of a page does not fit"))?);
        }
        Ok(Run { from: first.saturating_mul(PAGE_BODY), bytes: OwnedBytes::new(body) })
    }
}

/// Holds what was read ahead; one at a time.
pub(super) struct Ahead<'a> {
    pages: &'a Pages,
    _turn: MutexGuard<'a, ()>,
}

impl Drop for Ahead<'_> {
    fn drop(&mut self) {
        locked(&self.pages.ahead).clear();
    }
}

/// A stream as a file of tantivy's: its ends are in memory, the rest is in pages.
#[derive(Debug)]
pub(super) struct PagedFile {
    pages: Arc<Pages>,
    base: u64,
    len: usize,
    lead: OwnedBytes,
    tail: OwnedBytes,
}

impl PagedFile {
    pub(super) fn new(pages: &Arc<Pages>, stream: &Stream) -> Self {
        Self {
            pages: Arc::clone(pages),
            base: stream.base,
            len: usize::try_from(stream.len).unwrap_or(usize::MAX),
            lead: OwnedBytes::new(stream.lead.clone()),
            tail: OwnedBytes::new(stream.tail.clone()),
        }
    }
}

impl HasLen for PagedFile {
    fn len(&self) -> usize {
        self.len
    }
}

impl FileHandle for PagedFile {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        if range.start > range.end || range.end > self.len {
            return Err(damaged("a place beyond the end is asked for"));
        }
        if range.end <= self.lead.len() {
            return Ok(self.lead.slice(range));
        }
        let tail = self.len.saturating_sub(self.tail.len());
        if range.start >= tail {
            return Ok(self
                .tail
                .slice(range.start.saturating_sub(tail)..range.end.saturating_sub(tail)));
        }
        let place = |at: usize| self.base.saturating_add(at as u64);
        self.pages.read(place(range.start)..place(range.end))
    }
}
