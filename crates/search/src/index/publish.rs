//! Publication: the durable state moves to another set of segments, and what queries see moves with it.
//!
//! Deciding and making were done by others ([`super::flush`], [`super::compact`]). Here the manifest is written, with
//! the state at exactly one position, and then, under the lock of changes, a new segment takes the place of what it
//! was made of. What died in the meantime, in a memtable or an input, dies in the new segment before anybody
//! sees it: a version is known by its position, so its row is found in both.
//!
//! One publication at a time; changes and queries go on during its I/O. One that failed has changed nothing.

use std::sync::Arc;

use base::words::Lsn;
use roaring::RoaringBitmap;

use super::core::{Core, Part};
use super::dead::Dead;
use super::files::{Durable, DurableSegment};
use super::segment::Segment;
#[cfg(feature = "planted-bugs")]
use crate::planted::Bug;
use crate::storage::Ulid;

/// What is published.
#[derive(Debug)]
pub(super) enum Edit {
    /// The oldest memtable that waits is this segment; none where all its rows had died.
    Flushed(Option<Arc<Segment>>),
    /// These segments, which stand together, are this one; none where all their rows had died.
    Merged(Vec<Ulid>, Option<Arc<Segment>>),
}

impl Edit {
    /// The durable state that it makes of the present one.
    pub(super) fn durable(&self, core: &Core) -> Durable {
        let applied = match self {
            Self::Flushed(_) => core.frozen.front().map_or(core.applied, |frozen| frozen.end),
            Self::Merged(..) => core.applied,
        };
        #[cfg(feature = "planted-bugs")]
        let applied = if core.has(Bug::AppliedTooFar) { core.position } else { applied };
        let up_to = applied;
        #[cfg(feature = "planted-bugs")]
        let up_to = if core.has(Bug::DeathsOfLater) { core.position } else { up_to };
        let durable = |part: &Part| DurableSegment {
            files: part.segment.files().clone(),
            dead: part.dead.as_of(up_to),
        };
        let mut segments: Vec<DurableSegment> = Vec::with_capacity(core.segments.len() + 1);
        let successor = self.successor(core);
        let at = self.place(core);
        for (index, part) in core.segments.iter().enumerate() {
            if index == at {
                segments.extend(successor.as_ref().map(durable));
            }
            if !self.replaces(part) {
                segments.push(durable(part));
            }
        }
        if at == core.segments.len() {
            segments.extend(successor.as_ref().map(durable));
        }
        Durable { applied, schema: Arc::clone(&core.schema), segments }
    }

    /// Does it: what was durable so far no longer is.
    pub(super) fn install(&self, core: &mut Core) {
        let (successor, at) = (self.successor(core), self.place(core));
        if let Self::Flushed(_) = self
            && let Some(frozen) = core.frozen.pop_front()
        {
            core.applied = frozen.end;
        }
        let mut parts = std::mem::take(&mut core.segments);
        let after = parts.split_off(at);
        parts.extend(successor);
        parts.extend(after.into_iter().filter(|part| !self.replaces(part)));
        core.segments = parts;
        core.settle();
    }

    /// The segments that are in work no more: what was merged is not needed, and what is durable is named by a manifest.
    pub(super) fn finished(&self, is_durable: bool) -> impl Iterator<Item = Ulid> + '_ {
        let (inputs, output) = match self {
            Self::Flushed(output) => (&[][..], output),
            Self::Merged(inputs, output) => (&inputs[..], output),
        };
        let output = output.as_ref().filter(|_| is_durable).map(|segment| segment.files().id());
        inputs.iter().copied().chain(output)
    }

    /// Where in the order of segments the new one stands.
    fn place(&self, core: &Core) -> usize {
        let first = core.segments.iter().position(|part| self.replaces(part));
        first.unwrap_or(core.segments.len())
    }

    fn replaces(&self, part: &Part) -> bool {
        match self {
            Self::Flushed(_) => false,
            Self::Merged(inputs, _) => inputs.contains(&part.segment.files().id()),
        }
    }

    /// The new segment, with those dead that died since it was made.
    fn successor(&self, core: &Core) -> Option<Part> {
        let mut heir = match self {
            Self::Flushed(segment) | Self::Merged(_, segment) => Heir::new(segment.as_ref()?),
        };
        #[cfg(feature = "planted-bugs")]
        if core.has(match self {
            Self::Flushed(_) => Bug::DeathLostInFlush,
            Self::Merged(..) => Bug::DeathLostInMerge,
        }) {
            return Some(heir.finish());
        }
        match self {
            Self::Flushed(_) => {
                let memtable = &core.frozen.front()?.memtable;
                let lsn_of = |row| memtable.table().get(row).map_or(Lsn::ZERO, |found| found.lsn);
                heir.inherit(memtable.dead(), lsn_of);
            }
            Self::Merged(..) => {
                for part in core.segments.iter().filter(|part| self.replaces(part)) {
                    heir.inherit(&part.dead, |row| part.segment.lsn_of(row));
                }
            }
        }
        Some(heir.finish())
    }
}

/// A new segment and the deaths that it takes over. Rows that were dead when it was made are not in it.
#[derive(Debug)]
struct Heir<'a> {
    segment: &'a Arc<Segment>,
    settled: RoaringBitmap,
    recent: Vec<(Lsn, u32)>,
}

impl<'a> Heir<'a> {
    fn new(segment: &'a Arc<Segment>) -> Self {
        Self { segment, settled: RoaringBitmap::new(), recent: Vec::new() }
    }

    fn inherit(&mut self, dead: &Dead, lsn_of: impl Fn(u32) -> Lsn) {
        let segment = self.segment;
        let row = |row: u32| segment.row_of(lsn_of(row));
        self.settled.extend(dead.settled_rows().iter().filter_map(row));
        self.recent.extend(dead.recent().iter().filter_map(|(by, dead)| Some((*by, row(*dead)?))));
    }

    fn finish(self) -> Part {
        let dead = Dead::of(self.settled, self.recent);
        Part { segment: Arc::clone(self.segment), dead }
    }
}
