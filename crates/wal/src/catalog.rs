//! The segments a log consists of, as its readers see them.

use std::path::PathBuf;

use base::words::Lsn;

use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, lock};

/// Bytes between two entries of a segment's sparse index.
const INDEX_STEP: u64 = 1024 * 1024;

/// One segment. Whoever reads its file holds an `Arc` of it; a file is reused only when the log
/// has the last one.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) sequence: u64,
    pub(crate) first_lsn: Lsn,
    pub(crate) path: PathBuf,
    /// Where its frames end, bytes; grows while it is the active one.
    end: AtomicU64,
    /// LSN of its last frame; one less than `first_lsn` while it has none.
    last: AtomicU64,
    /// Bytes of its file.
    size: AtomicU64,
    /// LSN and offset of some frames, ascending.
    index: Mutex<Vec<(Lsn, u64)>>,
}

impl Segment {
    pub(crate) fn new(sequence: u64, first_lsn: Lsn, path: PathBuf, size: u64) -> Arc<Self> {
        Arc::new(Self {
            sequence,
            first_lsn,
            path,
            end: AtomicU64::new(crate::segment::HEADER_BYTES as u64),
            last: AtomicU64::new(first_lsn.0.saturating_sub(1)),
            size: AtomicU64::new(size),
            index: Mutex::new(Vec::new()),
        })
    }

    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    pub(crate) fn last(&self) -> Lsn {
        Lsn(self.last.load(Ordering::Acquire))
    }

    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    pub(crate) fn set_size(&self, size: u64) {
        self.size.store(size, Ordering::Release);
    }

    /// Publishes what has been written; `end` before `last`, so that a reader that sees the LSN
    /// also sees the bytes.
    pub(crate) fn advance(&self, end: u64, last: Lsn) {
        self.end.store(end, Ordering::Release);
        self.last.store(last.0, Ordering::Release);
    }

    /// Notes where a frame stands, if the last note is far enough back.
    pub(crate) fn note(&self, lsn: Lsn, offset: u64) {
        let mut index = lock(&self.index);
        if index.last().is_none_or(|(_, at)| offset.saturating_sub(*at) >= INDEX_STEP) {
            index.push((lsn, offset));
        }
    }

    /// The closest noted offset at or before `lsn`.
    pub(crate) fn near(&self, lsn: Lsn) -> u64 {
        let index = lock(&self.index);
        let past = index.partition_point(|(noted, _)| *noted <= lsn);
        let start = crate::segment::HEADER_BYTES as u64;
        past.checked_sub(1).and_then(|i| index.get(i)).map_or(start, |(_, offset)| *offset)
    }

    /// Forgets where frames stood from `offset` on: they were taken back.
    pub(crate) fn forget_from(&self, offset: u64) {
        lock(&self.index).retain(|(_, at)| *at < offset);
    }

    /// Forgets the index: reading starts at the segment's beginning again.
    pub(crate) fn forget_index(&self) {
        *lock(&self.index) = Vec::new();
    }
}

/// The segments from the oldest to the newest.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    segments: Mutex<Vec<Arc<Segment>>>,
    /// The log gives up its lock: what is listed may be somebody else's by now.
    let_go: AtomicBool,
}

impl Catalog {
    /// Notes that the log is about to give up its lock. Another handle may then reuse or remove any
    /// file of it.
    pub(crate) fn let_go(&self) {
        self.let_go.store(true, Ordering::Release);
    }

    /// Whether the files may be another handle's.
    pub(crate) fn is_let_go(&self) -> bool {
        self.let_go.load(Ordering::Acquire)
    }

    pub(crate) fn push(&self, segment: Arc<Segment>) {
        lock(&self.segments).push(segment);
    }

    pub(crate) fn all(&self) -> Vec<Arc<Segment>> {
        lock(&self.segments).clone()
    }

    pub(crate) fn newest(&self) -> Option<Arc<Segment>> {
        lock(&self.segments).last().cloned()
    }

    pub(crate) fn oldest(&self) -> Option<Arc<Segment>> {
        lock(&self.segments).first().cloned()
    }

    /// The segment that holds `lsn` or would hold it next.
    pub(crate) fn holding(&self, lsn: Lsn) -> Option<Arc<Segment>> {
        let segments = lock(&self.segments);
        let past = segments.partition_point(|segment| segment.first_lsn <= lsn);
        past.checked_sub(1).and_then(|i| segments.get(i)).cloned()
    }

    /// The segment after the one with this sequence.
    pub(crate) fn after(&self, sequence: u64) -> Option<Arc<Segment>> {
        lock(&self.segments).iter().find(|segment| segment.sequence > sequence).cloned()
    }

    /// Removes and returns the oldest `n`.
    pub(crate) fn cut(&self, n: usize) -> Vec<Arc<Segment>> {
        let mut segments = lock(&self.segments);
        let n = n.min(segments.len());
        segments.drain(..n).collect()
    }

    /// Bytes of all segment files.
    pub(crate) fn bytes(&self) -> u64 {
        lock(&self.segments).iter().map(|segment| segment.size()).sum()
    }
}
