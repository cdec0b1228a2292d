//! The active layer: changes since the last freeze, in trees that take more of them.
//!
//! When it is frozen it stays as it is, behind an [`std::sync::Arc`], until a merge packs it.

use std::collections::btree_map::{Entry as Slot, Range};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use base::clock::WallMs;
use base::words::CollectionId;

use super::change::{Change, Tally};
use super::key::{Key, KeyRef};

/// Changes of every collection, in trees.
#[derive(Debug, Default)]
pub(super) struct Active {
    collections: BTreeMap<CollectionId, State>,
    /// About what the trees take, bytes.
    bytes: usize,
}

/// What the active layer says of one collection.
#[derive(Debug)]
pub(super) enum State {
    /// The collection is gone, with everything below.
    Dropped,
    /// These documents changed.
    Changed(Tree),
}

/// The changes of one collection.
#[derive(Debug, Default)]
pub(super) struct Tree {
    numbers: BTreeMap<u64, Change>,
    others: BTreeMap<Box<[u8]>, Change>,
    tally: Tally,
    /// Entries by their expiry.
    expiring: BTreeSet<(WallMs, Key)>,
    /// How many live documents below would have expired when.
    covered: BTreeMap<WallMs, u64>,
    /// About what it takes, bytes.
    bytes: usize,
}

/// Changes of a tree in the order of their keys.
#[derive(Debug)]
pub(super) struct TreeCursor<'a> {
    numbers: Option<Range<'a, u64, Change>>,
    others: Range<'a, Box<[u8]>, Change>,
}

impl<'a> Iterator for TreeCursor<'a> {
    type Item = (KeyRef<'a>, Change);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(numbers) = &mut self.numbers {
            if let Some((id, change)) = numbers.next() {
                return Some((KeyRef::Number(*id), *change));
            }
            self.numbers = None;
        }
        self.others.next().map(|(bytes, change)| (KeyRef::Other(bytes), *change))
    }
}

/// What a change takes in a tree: its place in a node that is two thirds full.
const CHANGE_BYTES: usize = 3 * (size_of::<Change>() + size_of::<Key>()) / 2;
/// The same for an expiry, of an entry or below one.
const EXPIRY_BYTES: usize = 3 * size_of::<(WallMs, Key)>() / 2;

fn change_bytes(key: KeyRef<'_>, change: &Change) -> usize {
    let expiry = |on: bool| if on { EXPIRY_BYTES + key.text().len() } else { 0 };
    CHANGE_BYTES
        + key.text().len()
        + expiry(change.expires_at().is_some())
        + expiry(change.beneath.expires_at().is_some())
}

impl Tree {
    pub(super) fn get(&self, key: KeyRef<'_>) -> Option<&Change> {
        match key {
            KeyRef::Number(id) => self.numbers.get(&id),
            KeyRef::Other(bytes) => self.others.get(bytes),
        }
    }

    fn take(&mut self, key: KeyRef<'_>) -> Option<Change> {
        let change = match key {
            KeyRef::Number(id) => self.numbers.remove(&id),
            KeyRef::Other(bytes) => self.others.remove(bytes),
        }?;
        self.tally.remove(&change);
        self.bytes -= change_bytes(key, &change);
        if let Some(at) = change.expires_at() {
            self.expiring.remove(&(at, key.to_key()));
        }
        if let Some(at) = change.beneath.expires_at()
            && let Slot::Occupied(mut slot) = self.covered.entry(at)
        {
            *slot.get_mut() -= 1;
            if *slot.get() == 0 {
                slot.remove();
            }
        }
        Some(change)
    }

    fn insert(&mut self, key: Key, change: Change) {
        self.tally.add(&change);
        self.bytes += change_bytes(key.borrow(), &change);
        if let Some(at) = change.expires_at() {
            self.expiring.insert((at, key.clone()));
        }
        if let Some(at) = change.beneath.expires_at() {
            *self.covered.entry(at).or_default() += 1;
        }
        match key {
            Key::Number(id) => drop(self.numbers.insert(id, change)),
            Key::Other(bytes) => drop(self.others.insert(bytes, change)),
        }
    }

    pub(super) const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Changes from `from` on, in the order of their keys.
    pub(super) fn range(&self, from: Bound<KeyRef<'_>>) -> TreeCursor<'_> {
        let (numbers, others) = match from {
            Bound::Unbounded => (Some(Bound::Unbounded), Bound::Unbounded),
            Bound::Included(KeyRef::Number(id)) => (Some(Bound::Included(id)), Bound::Unbounded),
            Bound::Excluded(KeyRef::Number(id)) => (Some(Bound::Excluded(id)), Bound::Unbounded),
            Bound::Included(KeyRef::Other(bytes)) => (None, Bound::Included(bytes)),
            Bound::Excluded(KeyRef::Other(bytes)) => (None, Bound::Excluded(bytes)),
        };
        TreeCursor {
            numbers: numbers.map(|from| self.numbers.range((from, Bound::Unbounded))),
            others: self.others.range::<[u8], _>((others, Bound::Unbounded)),
        }
    }

    /// Entries expired at `now`, less live documents below that would have been.
    pub(super) fn expired_at(&self, now: WallMs) -> (u64, u64) {
        let covered = self.covered.range(..=now).map(|(_, n)| *n).sum();
        (self.expiring_until(now).count() as u64, covered)
    }

    /// The keys of entries that are expired at `now`, those that expired first in front.
    pub(super) fn expiring_until(&self, now: WallMs) -> impl Iterator<Item = KeyRef<'_>> {
        let until = self.expiring.iter().take_while(move |(at, _)| *at <= now);
        until.map(|(_, key)| key.borrow())
    }

    pub(super) fn earliest_expiry(&self) -> Option<WallMs> {
        self.expiring.first().map(|(at, _)| *at)
    }
}

impl Active {
    pub(super) fn is_empty(&self) -> bool {
        self.collections.is_empty()
    }

    pub(super) fn state(&self, collection: CollectionId) -> Option<&State> {
        self.collections.get(&collection)
    }

    pub(super) fn tree(&self, collection: CollectionId) -> Option<&Tree> {
        match self.collections.get(&collection)? {
            State::Changed(tree) => Some(tree),
            State::Dropped => None,
        }
    }

    pub(super) fn collection_after(&self, after: Option<CollectionId>) -> Option<CollectionId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.collections.range((from, Bound::Unbounded)).next().map(|(collection, _)| *collection)
    }

    pub(super) fn collections(&self) -> impl Iterator<Item = CollectionId> {
        self.collections.keys().copied()
    }

    /// Changes a document. `change.beneath` is what the layers below have; it must be what it was
    /// when the document was changed here before.
    pub(super) fn apply(&mut self, collection: CollectionId, key: Key, change: Change) {
        let state = self.collections.entry(collection);
        let State::Changed(tree) = state.or_insert_with(|| State::Changed(Tree::default())) else {
            return;
        };
        let bytes_before = tree.bytes;
        if let Some(before) = tree.take(key.borrow()) {
            debug_assert_eq!(before.beneath, change.beneath, "what is below stays as it is");
        }
        // A document that came and went between two freezes leaves nothing to remember.
        if change.matters() {
            tree.insert(key, change);
        }
        self.bytes = self.bytes - bytes_before + tree.bytes;
    }

    /// Forgets the documents of a collection, here and below.
    pub(super) fn drop_collection(&mut self, collection: CollectionId) {
        if let Some(State::Changed(tree)) = self.collections.insert(collection, State::Dropped) {
            self.bytes -= tree.bytes;
        }
    }

    /// About how much memory it takes, bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.collections.len() * 2 * size_of::<(CollectionId, State)>()
    }
}
