//! The writer's side of an index: every part with its dead rows, under one lock that is never held during I/O.
//!
//! Invariants:
//! - A position is applied once; changes at or before the position that has been reached change nothing, so that a
//!   replay may begin too early.
//! - The live version of a document is in exactly one part. The change that replaces it finds it by its position,
//!   wherever it is, and it dies in the step that adds its successor: no snapshot has both or neither.
//! - What is durable is a state at one position ([`Core::applied`]): deaths by later changes are not in it.

use std::collections::VecDeque;
use std::sync::Arc;

use base::clock::Instant;
use base::words::Lsn;
use roaring::RoaringBitmap;

use super::dead::Dead;
use super::files::{Durable, DurableSegment};
use super::memtable::{Memtable, Table};
use super::segment::Segment;
use super::version::{Prepared, Version};
use super::view::{SegmentView, TableView, View};
use crate::schema::Schema;
use crate::text::{DROPPED, RowTokens, Snapshot as Words};

/// A memtable that takes no more versions and waits for its flush.
#[derive(Debug)]
pub(super) struct Frozen {
    pub(super) memtable: Memtable,
    /// The last change that was applied before it was frozen.
    pub(super) end: Lsn,
    /// What was made of it, when only its publication failed.
    pub(super) written: Option<Arc<Segment>>,
}

/// A segment and its dead rows.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) segment: Arc<Segment>,
    pub(super) dead: Dead,
}

/// Everything that changes are applied to.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) schema: Arc<Schema>,
    pub(super) position: Lsn,
    /// The position of the durable state.
    pub(super) applied: Lsn,
    active: Memtable,
    pub(super) frozen: VecDeque<Frozen>,
    pub(super) segments: Vec<Part>,
    #[cfg(feature = "planted-bugs")]
    pub(super) planted: Option<crate::planted::Bug>,
}

/// What is flushed: the rows of a memtable that were alive when it was frozen.
#[derive(Debug)]
pub(super) struct FlushJob {
    pub(super) schema: Arc<Schema>,
    pub(super) written: Option<Arc<Segment>>,
    table: Table,
    words: Words,
    dead: RoaringBitmap,
}

impl FlushJob {
    /// The words of all rows, and for each the number that it has in the segment.
    pub(super) fn words(&self) -> (&Words, Vec<u32>) {
        let mut next = 0;
        let number = |row: u32| {
            if self.dead.contains(row) {
                return DROPPED;
            }
            next += 1;
            next - 1
        };
        (&self.words, (0..self.table.len()).map(number).collect())
    }

    /// The versions for the segment, in the order of their positions.
    pub(super) fn versions(&self) -> Vec<Arc<Version>> {
        let alive = self.table.rows().filter(|(row, _)| !self.dead.contains(*row));
        alive.map(|(_, version)| Arc::clone(version)).collect()
    }
}

impl Core {
    /// A state that is durable at a position.
    pub(super) fn new(schema: Arc<Schema>, applied: Lsn, segments: Vec<Part>) -> Self {
        let (active, frozen) = (Memtable::default(), VecDeque::new());
        Self {
            schema,
            position: applied,
            applied,
            active,
            frozen,
            segments,
            #[cfg(feature = "planted-bugs")]
            planted: None,
        }
    }

    /// Whether a test runs with this defect.
    #[cfg(feature = "planted-bugs")]
    pub(super) fn has(&self, bug: crate::planted::Bug) -> bool {
        self.planted == Some(bug)
    }

    /// Applies a change. Those that come later than this one replace what it wrote.
    pub(super) fn apply(&mut self, change: Prepared, now: Instant) {
        let lsn = change.lsn();
        let is_applied = lsn <= self.position;
        #[cfg(feature = "planted-bugs")]
        let is_applied = is_applied && !self.has(crate::planted::Bug::ReplayTwice);
        if is_applied {
            return;
        }
        self.position = lsn;
        self.active.touch(now);
        let replaces = match &change {
            Prepared::Put { replaces, .. } | Prepared::Delete { replaces, .. } => *replaces,
        };
        self.kill(replaces, lsn);
        if let Prepared::Put { version, tokens, .. } = change {
            self.active.push(version, &tokens);
        }
    }

    /// Adds a version that a rebuild has read from the documents, at no position of the feed.
    pub(super) fn add(&mut self, version: Arc<Version>, tokens: &RowTokens, now: Instant) {
        self.active.touch(now);
        self.active.push(version, tokens);
    }

    /// All versions of a rebuild up to this position have been added.
    pub(super) fn documents_end(&mut self, at: Lsn, now: Instant) {
        self.position = at;
        // Even without a version in it: its flush is what makes the position durable.
        self.active.touch(now);
        self.freeze();
    }

    /// The state that its segments have, as they are.
    pub(super) fn durable(&self) -> Durable {
        let segments = self.segments.iter().map(|part| DurableSegment {
            files: part.segment.files().clone(),
            dead: part.dead.as_of(self.applied),
        });
        Durable {
            applied: self.applied,
            schema: Arc::clone(&self.schema),
            segments: segments.collect(),
        }
    }

    fn kill(&mut self, replaced: Lsn, by: Lsn) {
        if replaced == Lsn::ZERO || self.active.kill(replaced, by) {
            return;
        }
        let in_frozen =
            self.frozen.iter_mut().rev().any(|frozen| frozen.memtable.kill(replaced, by));
        let died = in_frozen
            || self.segments.iter_mut().rev().any(|part| {
                let row = part.segment.row_of(replaced);
                row.is_some_and(|row| part.dead.kill(row, by))
            });
        if died {
            self.active.count_death();
        }
    }

    /// Bytes that no segment has.
    pub(super) fn unindexed_bytes(&self) -> usize {
        let frozen: usize = self.frozen.iter().map(|frozen| frozen.memtable.bytes()).sum();
        self.active.bytes() + frozen
    }

    /// Rows that no segment has.
    pub(super) fn unindexed_rows(&self) -> u64 {
        let frozen = self.frozen.iter().map(|frozen| u64::from(frozen.memtable.table().len()));
        u64::from(self.active.table().len()) + frozen.sum::<u64>()
    }

    /// The memtable that takes changes: its bytes, and when its first change came.
    pub(super) fn active(&self) -> (usize, Option<Instant>) {
        (self.active.bytes(), self.active.since())
    }

    /// The memtable that takes changes takes no more; another one does. Nothing without a change in it.
    pub(super) fn freeze(&mut self) {
        if self.active.since().is_none() {
            return;
        }
        let mut memtable = std::mem::take(&mut self.active);
        memtable.settle(self.position);
        self.frozen.push_back(Frozen { memtable, end: self.position, written: None });
    }

    /// Whether the durable state has everything that was applied.
    pub(super) fn is_settled(&self) -> bool {
        self.frozen.is_empty() && self.active.since().is_none()
    }

    /// Takes another schema. That is a change like others: a flush makes it durable.
    pub(super) fn set_schema(&mut self, schema: Arc<Schema>, now: Instant) {
        self.schema = schema;
        self.active.touch(now);
    }

    /// The oldest memtable that waits.
    pub(super) fn flush_job(&self) -> Option<FlushJob> {
        let frozen = self.frozen.front()?;
        Some(FlushJob {
            schema: Arc::clone(&self.schema),
            written: frozen.written.clone(),
            table: frozen.memtable.table().clone(),
            words: frozen.memtable.words(),
            dead: frozen.memtable.dead().as_of(frozen.end),
        })
    }

    /// The durable state has what died up to its position.
    pub(super) fn settle(&mut self) {
        for part in &mut self.segments {
            part.dead.settle(self.applied);
        }
    }

    /// What queries see.
    pub(super) fn view(&self) -> View {
        let memtables = self.frozen.iter().map(|frozen| &frozen.memtable).chain([&self.active]);
        let tables =
            memtables.filter(|memtable| memtable.table().len() > 0).map(|memtable| TableView {
                table: memtable.table().clone(),
                words: memtable.words(),
                dead: Arc::clone(memtable.dead().all()),
            });
        let segments = self.segments.iter().map(|part| SegmentView {
            segment: Arc::clone(&part.segment),
            dead: Arc::clone(part.dead.all()),
        });
        View {
            position: self.position,
            schema: Arc::clone(&self.schema),
            tables: tables.collect(),
            segments: segments.collect(),
        }
    }
}
