//! The newest versions, in memory: appended by the writer, read by snapshots, searched exactly.
//!
//! A [`Table`] is what a snapshot sees: so many rows, which never change. The writer appends to its own and
//! gives out another; full chunks are shared by all of them, so that giving one out costs the pointers of one
//! chunk and not the rows. The [`Memtable`] around it is the writer's alone: where each version is, and
//! which of them died.
//!
//! Rows are in the order of their positions.

use std::collections::HashMap;
use std::sync::Arc;

use base::clock::Instant;
use base::words::Lsn;

use super::dead::Dead;
use super::version::{DEATH_BYTES, Version};
use crate::text::{Memory, RowTokens, Snapshot as Words};

/// Rows of a chunk.
const CHUNK: usize = 256;

type Chunk = Arc<[Arc<Version>]>;

/// Rows that never change.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    full: Arc<Vec<Chunk>>,
    tail: Vec<Arc<Version>>,
}

impl Table {
    /// How many rows there are.
    pub(super) fn len(&self) -> u32 {
        let rows = self.full.len() * CHUNK + self.tail.len();
        u32::try_from(rows).expect("a memtable is full long before its rows are too many")
    }

    /// Every row with its number.
    pub(super) fn rows(&self) -> impl Iterator<Item = (u32, &Arc<Version>)> {
        (0..).zip(self.full.iter().flat_map(|chunk| chunk.iter()).chain(&self.tail))
    }

    /// The version of a row.
    pub(super) fn get(&self, row: u32) -> Option<&Arc<Version>> {
        let at = usize::try_from(row).ok()?;
        match self.full.get(at / CHUNK) {
            Some(chunk) => chunk.get(at % CHUNK),
            None => self.tail.get(at % CHUNK),
        }
    }

    fn push(&mut self, version: Arc<Version>) -> u32 {
        let row = self.len();
        self.tail.push(version);
        if self.tail.len() == CHUNK {
            let chunk: Chunk = std::mem::take(&mut self.tail).into();
            Arc::make_mut(&mut self.full).push(chunk);
        }
        row
    }
}

/// A memtable as its writer has it.
#[derive(Debug, Default)]
pub(super) struct Memtable {
    table: Table,
    /// The words of the rows, by the same numbers.
    words: Memory,
    rows: HashMap<Lsn, u32>,
    dead: Dead,
    bytes: usize,
    /// When the first change came.
    since: Option<Instant>,
}

impl Memtable {
    /// Appends a version.
    pub(super) fn push(&mut self, version: Arc<Version>, tokens: &RowTokens) {
        self.bytes += version.bytes() + tokens.bytes() + DEATH_BYTES;
        let lsn = version.lsn;
        let numbered = self.words.append(tokens);
        let row = self.table.push(version);
        debug_assert_eq!(
            numbered.ok(),
            Some(row),
            "a memtable is full long before its rows are too many"
        );
        let before = self.rows.insert(lsn, row);
        debug_assert!(before.is_none(), "one version at a position");
    }

    /// Notes that there was a change, whatever it did.
    pub(super) fn touch(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// A death elsewhere is kept until the memtable is flushed, and counts for it.
    pub(super) fn count_death(&mut self) {
        self.bytes += DEATH_BYTES;
    }

    /// The version at a position dies, if it is here.
    pub(super) fn kill(&mut self, replaced: Lsn, by: Lsn) -> bool {
        self.rows.get(&replaced).is_some_and(|row| self.dead.kill(*row, by))
    }

    /// The rows as they are.
    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// Their words.
    pub(super) fn words(&self) -> Words {
        self.words.snapshot()
    }

    /// The dead ones.
    pub(super) fn dead(&self) -> &Dead {
        &self.dead
    }

    /// What is dead at a position is left out of the segment that is made of it.
    pub(super) fn settle(&mut self, at: Lsn) {
        self.dead.settle(at);
    }

    /// Bytes of memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the first change came; none when there was none.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }
}

#[cfg(test)]
mod tests {
    use base::document::Document;
    use base::words::DocId;

    use super::*;
    use crate::schema::{Schema, Undeclared};

    fn version(lsn: u64) -> Arc<Version> {
        let schema = Schema::new(Undeclared::Ignore);
        let document = Document::parse(b"{}").unwrap();
        let row = schema.row(&DocId::U64(lsn), &document).unwrap();
        Arc::new(Version { lsn: Lsn(lsn), expires_at: None, row })
    }

    #[test]
    fn a_table_that_was_given_out_keeps_its_rows_whatever_is_appended() {
        let mut memtable = Memtable::default();
        let mut given = Vec::new();
        for lsn in 1..=600 {
            memtable.push(version(lsn), &RowTokens::default());
            given.push(memtable.table().clone());
        }
        for (len, table) in (1_u64..).zip(&given) {
            assert_eq!(u64::from(table.len()), len);
            let lsns: Vec<u64> = table.rows().map(|(_, version)| version.lsn.0).collect();
            assert!(lsns.iter().copied().eq(1..=len));
            assert!(table.rows().all(|(row, version)| table.get(row) == Some(version)));
            assert_eq!(table.get(table.len()), None);
        }
        assert!(memtable.kill(Lsn(300), Lsn(601)));
        assert!(!memtable.kill(Lsn(300), Lsn(602)), "it died before");
        assert!(!memtable.kill(Lsn(700), Lsn(703)), "it is not here");
        assert_eq!(memtable.dead().all().iter().collect::<Vec<_>>(), [299]);
    }
}
