//! What queries see of an index at one position: memtables, segments and dead rows, swapped together.

use std::sync::Arc;

use base::clock::WallMs;
use base::words::Lsn;
use roaring::RoaringBitmap;

use super::memtable::Table;
use super::segment::Segment;
use crate::schema::Schema;
use crate::text::Snapshot as Words;

/// A state that never changes.
#[derive(Debug)]
pub(super) struct View {
    /// The last change that it has.
    pub(super) position: Lsn,
    pub(super) schema: Arc<Schema>,
    /// From the oldest to the newest, which is the one that takes changes.
    pub(super) tables: Vec<TableView>,
    /// From the oldest to the newest.
    pub(super) segments: Vec<SegmentView>,
}

/// A memtable and its dead rows.
#[derive(Debug)]
pub(super) struct TableView {
    pub(super) table: Table,
    pub(super) words: Words,
    pub(super) dead: Arc<RoaringBitmap>,
}

/// A segment and its dead rows.
#[derive(Debug)]
pub(super) struct SegmentView {
    pub(super) segment: Arc<Segment>,
    pub(super) dead: Arc<RoaringBitmap>,
}

impl TableView {
    /// The rows that queries at this time may find.
    pub(super) fn live(&self, now: WallMs) -> RoaringBitmap {
        let visible = self.table.rows().filter(|(_, version)| version.is_visible(now));
        visible.map(|(row, _)| row).filter(|row| !self.dead.contains(*row)).collect()
    }
}

impl View {
    /// Rows that are not dead; some may have expired.
    pub(super) fn alive(&self) -> u64 {
        let tables = self.tables.iter().map(|part| u64::from(part.table.len()) - part.dead.len());
        let segments = self.segments.iter();
        let segments = segments.map(|part| u64::from(part.segment.len()) - part.dead.len());
        tables.chain(segments).sum()
    }
}
