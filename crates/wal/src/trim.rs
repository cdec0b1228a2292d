//! Letting go of old segments: by the marks of those who still read them.
//!
//! The checkpoint holds the log without limit, and so may readers that say so. Any other reader
//! that holds back more than `retain_bytes` or `max_segments` is let go: its mark says so, and
//! what it would read next answers [`WalError::Trimmed`].

use base::words::Lsn;

use crate::catalog::Segment;
use crate::error::{Op, Result, WalError};
use crate::shared::Shared;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, lock};

/// Whether a reader may hold the log without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// For ever if need be.
    Unlimited,
    /// Until it holds back more than the configured limits.
    Limited,
}

#[derive(Debug)]
struct Mark {
    name: String,
    hold: Hold,
    lsn: AtomicU64,
    let_go: AtomicBool,
    dropped: AtomicBool,
}

/// The marks of a log's readers.
#[derive(Debug, Default)]
pub(crate) struct Marks(Vec<Arc<Mark>>);

/// A reader's place: segments with anything behind it are kept. Given up on drop.
#[derive(Debug)]
pub struct ReaderMark(Arc<Mark>);

impl ReaderMark {
    /// Everything up to `lsn` has been read. Never moves back.
    pub fn advance(&self, lsn: Lsn) {
        self.0.lsn.fetch_max(lsn.0, Ordering::AcqRel);
    }

    /// What has been read.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        Lsn(self.0.lsn.load(Ordering::Acquire))
    }

    /// Whether the log has stopped waiting for this reader.
    #[must_use]
    pub fn is_let_go(&self) -> bool {
        self.0.let_go.load(Ordering::Acquire)
    }
}

impl Drop for ReaderMark {
    fn drop(&mut self) {
        self.0.dropped.store(true, Ordering::Release);
    }
}

/// What a trim did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Segments removed or kept for reuse.
    pub segments: usize,
    /// Bytes of their files.
    pub bytes: u64,
    /// First LSN that can still be read.
    pub first: Lsn,
    /// Names of readers that were let go.
    pub let_go: Vec<String>,
}

impl Shared {
    /// Registers a reader that has read everything up to `from`.
    pub(crate) fn mark(&self, name: &str, hold: Hold, from: Lsn) -> ReaderMark {
        let mark = Arc::new(Mark {
            name: name.to_owned(),
            hold,
            lsn: AtomicU64::new(from.0),
            let_go: AtomicBool::new(false),
            dropped: AtomicBool::new(false),
        });
        lock(&self.marks).0.push(Arc::clone(&mark));
        ReaderMark(mark)
    }

    /// Removes what nobody needs.
    pub(crate) fn trim(&self) -> Result<Trimmed> {
        // The state's lock serialises trims, checkpoints and other changes of the manifest.
        let mut state = lock(&self.state);
        let segments = self.cx.catalog.all();
        let (low, let_go) = self.lowest_mark(state.replay_lsn, &segments);
        let keep = self.cx.options.keep_segments as usize + 1;
        let most = segments.len().saturating_sub(keep);
        let count = segments.iter().take(most).take_while(|segment| segment.last() <= low).count();
        let first = segments.get(count).map_or(Lsn(1), |segment| segment.first_lsn);
        let mut trimmed = Trimmed { first, let_go, ..Trimmed::default() };
        let Some(oldest) = segments.get(count).filter(|_| count > 0) else {
            drop(state);
            self.refill_reserve();
            return Ok(trimmed);
        };
        let mut next = *state;
        next.first_segment = oldest.sequence;
        next.durable_lsn = next.durable_lsn.max(self.durable());
        self.anchor.store(&next)?;
        *state = next;
        drop(segments);
        for segment in self.cx.catalog.cut(count) {
            trimmed.segments += 1;
            trimmed.bytes += segment.size();
            self.dispose(segment);
        }
        drop(state);
        self.refill_reserve();
        Ok(trimmed)
    }

    fn lowest_mark(&self, replay: Lsn, segments: &[Arc<Segment>]) -> (Lsn, Vec<String>) {
        if planted!(self.cx.options, EarlyTrim) {
            return (self.visible(), Vec::new());
        }
        let mut marks = lock(&self.marks);
        marks.0.retain(|mark| !mark.dropped.load(Ordering::Acquire));
        let held = |hold| {
            let mine = marks.0.iter().filter(move |mark| mark.hold == hold);
            mine.filter(|mark| !mark.let_go.load(Ordering::Acquire))
        };
        let lsn = |mark: &Arc<Mark>| Lsn(mark.lsn.load(Ordering::Acquire));
        let firm = held(Hold::Unlimited).map(lsn).min().map_or(replay, |low| low.min(replay));
        let mut low = firm;
        let mut let_go = Vec::new();
        for mark in held(Hold::Limited) {
            let at = lsn(mark);
            let held_back = segments.iter().filter(|s| s.last() > at && s.last() <= firm);
            let (count, bytes) = held_back.fold((0, 0), |(n, b), s| (n + 1, b + s.size()));
            let options = &self.cx.options;
            let too_many = options.max_segments > 0 && count > options.max_segments;
            if bytes > options.retain_bytes || too_many {
                mark.let_go.store(true, Ordering::Release);
                tracing::error!(reader = %mark.name, at = %at, "a reader of the log is let go");
                let_go.push(mark.name.clone());
            } else {
                low = low.min(at);
            }
        }
        (low, let_go)
    }

    /// Reuses the file of a trimmed segment when nobody reads it and a spare is wanted, and
    /// removes it otherwise. What fails here is made good at the next open.
    fn dispose(&self, segment: Arc<Segment>) {
        let size = segment.size();
        let path = segment.path.clone();
        let wanted = size >= self.cx.options.segment_bytes_first
            && size.is_multiple_of(crate::segment::ALIGN)
            && self.cx.claims.count() == 0;
        let nobody = Arc::into_inner(segment).is_some();
        // What is written into it needs room in data files, too.
        let affords = || {
            self.owe();
            self.reserve.as_ref().is_none_or(|reserve| reserve.afford(size).is_ok())
        };
        let outcome = if wanted && nobody && affords() {
            let mut queue = lock(&self.queue);
            let recycled = self.cx.claims.recycle(&path, size);
            if recycled.is_ok() {
                queue.room += size - crate::segment::HEADER_BYTES as u64;
            }
            recycled
        } else {
            let removed = self.cx.disk.remove_file(&path);
            removed.map_err(|e| WalError::io(Op::Write, &path, e))
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "a trimmed segment is left behind");
        }
    }
}
