//! One layer of an index as readers see it, whether trees or packed blocks; and several of them
//! read as one.

use std::ops::Bound;
use std::sync::Arc;

use base::clock::WallMs;
use base::words::CollectionId;

use super::active::{Active, State, Tree, TreeCursor};
use super::block::Block;
use super::change::{Change, Found, Tally};
use super::key::KeyRef;
use super::table::{Blocks, Part, Position, Table};

/// Changes that a freeze set aside, above a base. Shared, and never changed again.
#[derive(Debug)]
pub struct Layer {
    pub(super) content: Content,
}

/// How a layer keeps its changes.
#[derive(Debug)]
pub(super) enum Content {
    /// As they were when they were frozen.
    Trees(Active),
    /// Packed by a merge, or loaded.
    Packed(Arc<Table>),
}

impl Layer {
    /// How many changes it has in all collections.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.content {
            Content::Trees(active) => {
                let trees = active.collections().filter_map(|c| active.tree(c));
                trees.map(|tree| tree.tally().puts + tree.tally().tombstones).sum()
            }
            Content::Packed(table) => table.len(),
        }
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.content {
            Content::Trees(active) => active.is_empty(),
            Content::Packed(table) => table.is_empty(),
        }
    }

    /// Memory that it takes, bytes; an estimate until it is packed.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.content {
            Content::Trees(active) => active.bytes(),
            Content::Packed(table) => table.bytes(),
        }
    }

    pub(super) fn view(&self, collection: CollectionId) -> View<'_> {
        match &self.content {
            Content::Trees(active) => View::of_active(active, collection),
            Content::Packed(table) => View::of_table(table, collection),
        }
    }

    pub(super) fn collection_after(&self, after: Option<CollectionId>) -> Option<CollectionId> {
        match &self.content {
            Content::Trees(active) => active.collection_after(after),
            Content::Packed(table) => table.collection_after(after),
        }
    }
}

/// What one layer says of one collection.
#[derive(Debug, Clone, Copy)]
pub(super) enum View<'a> {
    /// Nothing: what is below holds.
    Silent,
    /// The collection is gone.
    Dropped,
    /// These documents changed.
    Tree(&'a Tree),
    /// These documents changed.
    Blocks(&'a Blocks),
}

impl<'a> View<'a> {
    pub(super) fn of_active(active: &'a Active, collection: CollectionId) -> Self {
        match active.state(collection) {
            None => Self::Silent,
            Some(State::Dropped) => Self::Dropped,
            Some(State::Changed(tree)) => Self::Tree(tree),
        }
    }

    pub(super) fn of_table(table: &'a Table, collection: CollectionId) -> Self {
        match table.part(collection).map(|part| &**part) {
            None => Self::Silent,
            Some(Part::Dropped) => Self::Dropped,
            Some(Part::Changed(blocks)) => Self::Blocks(blocks),
        }
    }

    pub(super) fn find(self, key: KeyRef<'_>) -> Option<Found> {
        match self {
            Self::Silent | Self::Dropped => None,
            Self::Tree(tree) => tree.get(key).map(|change| change.now),
            Self::Blocks(blocks) => blocks.find(key),
        }
    }

    pub(super) fn change(self, key: KeyRef<'_>) -> Option<Change> {
        match self {
            Self::Silent | Self::Dropped => None,
            Self::Tree(tree) => tree.get(key).copied(),
            Self::Blocks(blocks) => blocks.change(key),
        }
    }

    pub(super) fn tally(self) -> Tally {
        match self {
            Self::Silent | Self::Dropped => Tally::default(),
            Self::Tree(tree) => *tree.tally(),
            Self::Blocks(blocks) => *blocks.tally(),
        }
    }

    /// Entries expired at `now`, less live documents below that would have been.
    pub(super) fn expired_at(self, now: WallMs) -> (u64, u64) {
        match self {
            Self::Silent | Self::Dropped => (0, 0),
            Self::Tree(tree) => tree.expired_at(now),
            Self::Blocks(blocks) => blocks.expired_at(now),
        }
    }

    pub(super) fn earliest_expiry(self) -> Option<WallMs> {
        match self {
            Self::Silent | Self::Dropped => None,
            Self::Tree(tree) => tree.earliest_expiry(),
            Self::Blocks(blocks) => blocks.earliest_expiry(),
        }
    }

    /// Keys behind `after` of entries that are expired at `now`, in order.
    pub(super) fn expired_keys(
        self,
        now: WallMs,
        after: Bound<KeyRef<'a>>,
    ) -> Box<dyn Iterator<Item = KeyRef<'a>> + 'a> {
        match self {
            Self::Silent | Self::Dropped => Box::new(std::iter::empty()),
            Self::Tree(tree) => {
                let mut keys: Vec<_> =
                    tree.expiring_until(now).filter(|key| is_behind(*key, after)).collect();
                keys.sort_unstable();
                Box::new(keys.into_iter())
            }
            Self::Blocks(blocks) => Box::new(blocks.expired_keys(now, after)),
        }
    }

    /// Changes from `from` on, in the order of their keys.
    fn changes(self, from: Bound<KeyRef<'_>>) -> Option<Source<'a>> {
        match self {
            Self::Silent | Self::Dropped => None,
            Self::Tree(tree) => Some(Source::Tree(tree.range(from))),
            Self::Blocks(blocks) => Some(Source::Blocks { blocks, position: blocks.seek(from) }),
        }
    }
}

pub(super) fn is_behind(key: KeyRef<'_>, after: Bound<KeyRef<'_>>) -> bool {
    match after {
        Bound::Unbounded => true,
        Bound::Included(after) => key >= after,
        Bound::Excluded(after) => key > after,
    }
}

#[derive(Debug)]
enum Source<'a> {
    Tree(TreeCursor<'a>),
    Blocks { blocks: &'a Blocks, position: Position },
}

impl<'a> Iterator for Source<'a> {
    type Item = (KeyRef<'a>, Change);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Tree(cursor) => cursor.next(),
            Self::Blocks { blocks, position } => {
                let (block, slot, next): (&Block, _, _) = blocks.at(*position)?;
                *position = next;
                Some((block.key(slot), block.change(slot)))
            }
        }
    }
}

/// The changes of several layers as one layer would have them.
#[derive(Debug)]
pub(super) struct Changes<'a> {
    /// The newest layer first; each with its next change. Layers that have ended are gone.
    sources: Vec<((KeyRef<'a>, Change), Source<'a>)>,
}

impl<'a> Changes<'a> {
    /// Reads `views`, the newest first, from `from` on. Whatever is below a layer that dropped the
    /// collection is left out.
    pub(super) fn new(views: impl Iterator<Item = View<'a>>, from: Bound<KeyRef<'_>>) -> Self {
        let views = views.take_while(|view| !matches!(view, View::Dropped));
        let sources = views.filter_map(|view| {
            let mut source = view.changes(from)?;
            source.next().map(|first| (first, source))
        });
        Self { sources: sources.collect() }
    }

    /// The next change, without taking it.
    pub(super) fn peek_key(&self) -> Option<KeyRef<'a>> {
        self.sources.iter().map(|((key, _), _)| *key).min()
    }
}

impl<'a> Iterator for Changes<'a> {
    type Item = (KeyRef<'a>, Change);

    fn next(&mut self) -> Option<Self::Item> {
        if let [(head, source)] = &mut *self.sources {
            let taken = *head;
            match source.next() {
                Some(next) => *head = next,
                None => self.sources.clear(),
            }
            return Some(taken);
        }
        let key = self.peek_key()?;
        let mut merged: Option<Change> = None;
        self.sources.retain_mut(|((head, change), source)| {
            if *head != key {
                return true;
            }
            merged = Some(merged.map_or(*change, |newer| newer.over(*change)));
            source.next().map(|next| (*head, *change) = next).is_some()
        });
        merged.map(|change| (key, change))
    }
}
