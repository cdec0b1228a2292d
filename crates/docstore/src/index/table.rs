//! A table: the packed changes of every collection, never changed again.
//!
//! A table is either the base, which holds every document and nothing else, or a layer above it.
//! Blocks lie behind [`Arc`]s, so a table made of another one costs only what is different.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use base::clock::WallMs;
use base::words::CollectionId;

use super::block::Block;
use super::change::{Change, Found, Tally};
use super::key::KeyRef;

/// Packed changes of every collection.
#[derive(Debug, Default)]
pub struct Table {
    parts: BTreeMap<CollectionId, Arc<Part>>,
}

/// What two tables share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sharing {
    /// Blocks of the table that was asked.
    pub total: usize,
    /// Those that the other one has too.
    pub shared: usize,
}

/// What a table says of one collection.
#[derive(Debug)]
pub(super) enum Part {
    /// The collection is gone, with everything below.
    Dropped,
    /// These documents changed.
    Changed(Blocks),
}

/// The blocks of one collection, in the order of their keys; those of numbers come first.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    blocks: Vec<Arc<Block>>,
    /// The first id of each block of numbers: where a lookup starts.
    firsts: Vec<u64>,
    /// The last id that is a number.
    last_number: u64,
    tally: Tally,
}

/// A place between two changes of a collection: in front of this slot of this block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) block: usize,
    pub(super) slot: usize,
}

impl Blocks {
    /// Adds a block whose keys are above all that are there.
    pub(super) fn push(&mut self, block: Arc<Block>) {
        debug_assert!(self.blocks.last().is_none_or(|last| last.last() < block.first()));
        if let (KeyRef::Number(first), KeyRef::Number(last)) = (block.first(), block.last()) {
            self.firsts.push(first);
            self.last_number = last;
        }
        self.tally.add_all(*block.tally());
        self.blocks.push(block);
    }

    pub(super) fn get(&self, block: usize) -> Option<&Arc<Block>> {
        self.blocks.get(block)
    }

    pub(super) fn first_key(&self) -> Option<KeyRef<'_>> {
        self.blocks.first().map(|block| block.first())
    }

    pub(super) fn last_key(&self) -> Option<KeyRef<'_>> {
        self.blocks.last().map(|block| block.last())
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Arc<Block>> {
        self.blocks.iter()
    }

    pub(super) const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The block that has `key` if one has: the last whose first key is not above it.
    fn owner(&self, key: KeyRef<'_>) -> Option<usize> {
        let after = match key {
            KeyRef::Number(id) => self.firsts.partition_point(|first| *first <= id),
            KeyRef::Other(_) => {
                let others = &self.blocks[self.firsts.len()..];
                self.firsts.len() + others.partition_point(|block| block.first() <= key)
            }
        };
        after.checked_sub(1)
    }

    /// A number that no number in the block exceeds.
    fn upper(&self, block: usize) -> u64 {
        match self.firsts.get(block + 1) {
            Some(next) => next - 1,
            None => self.last_number,
        }
    }

    /// Where `key` is, or where it would be.
    pub(super) fn search(&self, key: KeyRef<'_>) -> Result<Position, Position> {
        let Some(block) = self.owner(key) else { return Err(Position { block: 0, slot: 0 }) };
        match self.blocks[block].search(key, self.upper(block)) {
            Ok(slot) => Ok(Position { block, slot }),
            Err(slot) => Err(Position { block, slot }),
        }
    }

    pub(super) fn find(&self, key: KeyRef<'_>) -> Option<Found> {
        let at = self.search(key).ok()?;
        Some(self.blocks[at.block].found(at.slot))
    }

    pub(super) fn change(&self, key: KeyRef<'_>) -> Option<Change> {
        let at = self.search(key).ok()?;
        Some(self.blocks[at.block].change(at.slot))
    }

    /// The block and slot at `position`, or the first behind it, and the position behind that.
    pub(super) fn at(&self, mut position: Position) -> Option<(&Block, usize, Position)> {
        loop {
            let block = self.blocks.get(position.block)?;
            if position.slot < block.len() {
                let next = Position { block: position.block, slot: position.slot + 1 };
                return Some((block, position.slot, next));
            }
            position = Position { block: position.block + 1, slot: 0 };
        }
    }

    /// The place in front of the first change that `from` lets in.
    pub(super) fn seek(&self, from: Bound<KeyRef<'_>>) -> Position {
        match from {
            Bound::Unbounded => Position { block: 0, slot: 0 },
            Bound::Included(key) => self.search(key).unwrap_or_else(|at| at),
            Bound::Excluded(key) => match self.search(key) {
                Ok(at) => Position { block: at.block, slot: at.slot + 1 },
                Err(at) => at,
            },
        }
    }

    /// The earliest expiry of an entry.
    pub(super) fn earliest_expiry(&self) -> Option<WallMs> {
        self.iter().filter_map(|block| block.earliest_expiry()).min()
    }

    /// Keys that `after` lets in of entries that are expired at `now`, in order. Blocks without
    /// such an entry are passed over unread.
    pub(super) fn expired_keys<'a>(
        &'a self,
        now: WallMs,
        after: Bound<KeyRef<'a>>,
    ) -> impl Iterator<Item = KeyRef<'a>> + 'a {
        let from = self.seek(after);
        let blocks = self.blocks.iter().enumerate().skip(from.block);
        blocks.flat_map(move |(number, block)| {
            let first = if number == from.block { from.slot } else { 0 };
            let slots = block.expired_slots(now).filter(move |slot| *slot >= first);
            slots.map(|slot| block.key(slot))
        })
    }

    /// Entries expired at `now`, less live documents below that would have been.
    pub(super) fn expired_at(&self, now: WallMs) -> (u64, u64) {
        self.iter()
            .map(|block| block.expired_at(now))
            .fold((0, 0), |sum, block| (sum.0 + block.0, sum.1 + block.1))
    }

    fn bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.bytes()).sum::<usize>()
            + self.blocks.capacity() * size_of::<Arc<Block>>()
            + self.firsts.capacity() * size_of::<u64>()
    }
}

impl Table {
    /// A table of no collection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn insert(&mut self, collection: CollectionId, part: Arc<Part>) {
        self.parts.insert(collection, part);
    }

    pub(super) fn part(&self, collection: CollectionId) -> Option<&Arc<Part>> {
        self.parts.get(&collection)
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = (CollectionId, &Arc<Part>)> {
        self.parts.iter().map(|(collection, part)| (*collection, part))
    }

    /// The first collection whose number is above `after`.
    pub(super) fn collection_after(&self, after: Option<CollectionId>) -> Option<CollectionId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.parts.range((from, Bound::Unbounded)).next().map(|(collection, _)| *collection)
    }

    /// How many changes there are in all collections.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.parts.values().map(|part| part.len()).sum()
    }

    /// Whether the table says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// How many blocks it has, and how many of them it shares with another table. Costs a step per
    /// block of both.
    #[must_use]
    pub fn blocks_shared_with(&self, other: &Table) -> Sharing {
        let theirs: HashSet<*const Block> = other.blocks().map(Arc::as_ptr).collect();
        let shared = self.blocks().filter(|block| theirs.contains(&Arc::as_ptr(block))).count();
        Sharing { total: self.blocks().count(), shared }
    }

    fn blocks(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.parts.values().flat_map(|part| match &**part {
            Part::Dropped => [].iter(),
            Part::Changed(blocks) => blocks.iter(),
        })
    }

    /// Memory that it takes, bytes; blocks shared with another table are counted in both.
    #[must_use]
    pub fn bytes(&self) -> usize {
        // A map's node has room for eleven and is half full at worst.
        let entry = 2 * (size_of::<CollectionId>() + size_of::<Arc<Part>>());
        let part = |part: &Arc<Part>| match &**part {
            Part::Dropped => 0,
            Part::Changed(blocks) => blocks.bytes(),
        };
        self.parts.values().map(|p| entry + size_of::<Part>() + 16 + part(p)).sum()
    }
}

impl Part {
    fn len(&self) -> u64 {
        match self {
            Self::Dropped => 0,
            Self::Changed(blocks) => blocks.tally.puts + blocks.tally.tombstones,
        }
    }
}
