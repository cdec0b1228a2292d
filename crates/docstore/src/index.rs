//! Where every flushed document is: its data file and offset, its revision, its expiry.
//!
//! An [`Index`] keeps keys and locations in memory, never payloads. It is a stack: the *active*
//! layer of trees takes changes, *layers* that were frozen lie below it, and a packed *base* that
//! holds nothing but live documents is at the bottom. Reads go down the stack and stop at the
//! first layer that says something.
//!
//! What it is not: it has no lock and knows no document; files are written and read beside it. Whoever owns it holds it
//! behind a lock; nothing here holds that lock for long, because freezing moves the active layer
//! and merging ([`Merge`]) works on shared parts outside it. Changes are applied in LSN order.
//!
//! # Invariants
//!
//! 1. Layers and the base never change; they are replaced by others that say the same.
//! 2. A change says whether a live document lies below it. So counts are sums over the stack.
//! 3. A tombstone without a live document below it is never kept, and a base has none.
//! 4. Nothing is put into a collection after it was dropped: numbers are never reused.
//!
//! Where to start reading: [`Index::get`] and [`Index::apply`], then `block` for how changes are
//! packed, `merge` for how a base is made, [`mod@file`] for how it is kept.
//!
//! # Example
//!
//! ```
//! use base::words::{CollectionId, DocId, Lsn};
//! use docstore::index::{Entry, Found, Index, Target};
//! use docstore::{FileNumber, Location};
//!
//! let books = CollectionId(1);
//! let at = |lsn, offset| Entry {
//!     lsn: Lsn(lsn),
//!     location: Location { file: FileNumber(1), offset },
//!     expires_at: None,
//! };
//! let mut index = Index::new();
//! index.put(books, &DocId::U64(7), at(1, 0));
//! index.put(books, &DocId::U64(8), at(2, 100));
//! index.freeze();
//! assert_eq!(index.delete(books, &DocId::U64(7), Lsn(3)), Some(at(1, 0)));
//! assert_eq!(index.get(books, &DocId::U64(7)), Some(Found::Deleted(Lsn(3))));
//!
//! index.freeze();
//! let merge = index.merge(Target::Base).expect("two layers to merge");
//! index.install(merge.run()).expect("nothing else was installed meanwhile");
//! assert_eq!(index.get(books, &DocId::U64(8)), Some(Found::Live(at(2, 100))));
//! assert_eq!(index.counts(books).live, 1);
//! ```

mod active;
mod block;
mod change;
mod error;
pub mod file;
mod key;
mod layer;
mod merge;
mod range;
mod search;
mod table;

use std::sync::Arc;

use base::clock::WallMs;
use base::words::{CollectionId, DocId, Lsn};

use crate::location::Location;
use active::Active;
use change::{Beneath, Change};
use key::{Key, KeyRef};
use layer::{Content, View};
use merge::Inputs;

pub use change::{Entry, Found};
pub use error::{Damage, IndexError, Place, Wrong};
pub use layer::Layer;
pub use merge::{Merge, Merged, Step, Target};
pub use range::{ExpiredPage, Range};
pub use table::{Sharing, Table};

/// With more layers than this, every lookup pays for them and a merge is due.
pub const LAYERS_MAX: usize = 4;
/// Layers that hold more than this part of the base are merged into a new one.
const BASE_PARTS: u64 = 4;

/// An index over all collections of one database.
#[derive(Debug, Default)]
pub struct Index {
    active: Active,
    /// The newest first.
    layers: Vec<Arc<Layer>>,
    base: Arc<Table>,
}

/// How many documents of a collection there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Documents, expired ones that are not deleted yet included.
    pub live: u64,
    /// Tombstones in the layers above the base.
    pub tombstones: u64,
}

/// Memory that an index takes, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// The active layer and frozen ones that are not packed yet: an estimate.
    pub trees: usize,
    /// Packed layers.
    pub layers: usize,
    /// The base.
    pub base: usize,
}

/// A merge came to its end after another one had replaced what it merged. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the layers that were merged are no longer those of the index")]
pub struct Stale;

impl Index {
    /// An index of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An index of a base and the runs above it, the oldest first.
    #[must_use]
    pub fn of(base: Table, runs: impl IntoIterator<Item = Table>) -> Self {
        let layer = |run| Arc::new(Layer { content: Content::Packed(Arc::new(run)) });
        let mut layers: Vec<_> = runs.into_iter().map(layer).collect();
        layers.reverse();
        Self { active: Active::default(), layers, base: Arc::new(base) }
    }

    /// An index of the same frozen parts, to be changed beside this one. Costs a few pointers.
    ///
    /// # Panics
    /// When the active layer is not empty: it is not shared.
    #[must_use]
    pub fn share(&self) -> Self {
        assert!(self.active.is_empty(), "changes that are not frozen cannot be shared");
        let (layers, base) = (self.layers.clone(), Arc::clone(&self.base));
        Self { active: Active::default(), layers, base }
    }

    /// What is known of a document; `None` when nothing is, or its collection was dropped.
    #[must_use]
    pub fn get(&self, collection: CollectionId, id: &DocId) -> Option<Found> {
        match id {
            DocId::U64(number) => self.find(collection, KeyRef::Number(*number)),
            DocId::Uuid(_) | DocId::Str(_) => self.find(collection, Key::of(id).borrow()),
        }
    }

    fn find(&self, collection: CollectionId, key: KeyRef<'_>) -> Option<Found> {
        match View::of_active(&self.active, collection) {
            View::Dropped => None,
            view @ (View::Silent | View::Tree(_) | View::Blocks(_)) => {
                view.find(key).or_else(|| self.find_below(collection, key))
            }
        }
    }

    /// What is known below the active layer.
    fn find_below(&self, collection: CollectionId, key: KeyRef<'_>) -> Option<Found> {
        for view in self.views_below(collection) {
            if matches!(view, View::Dropped) {
                return None;
            }
            if let Some(found) = view.find(key) {
                return Some(found);
            }
        }
        None
    }

    /// What the frozen layers and the base say of a collection, the newest first.
    fn views_below(&self, collection: CollectionId) -> impl Iterator<Item = View<'_>> {
        let base = std::iter::once_with(move || View::of_table(&self.base, collection));
        self.layers.iter().map(move |layer| layer.view(collection)).chain(base)
    }

    /// What the whole stack says of a collection, the newest first, down to where it was dropped.
    fn views(&self, collection: CollectionId) -> impl Iterator<Item = View<'_>> {
        std::iter::once(View::of_active(&self.active, collection))
            .chain(self.views_below(collection))
            .take_while(|view| !matches!(view, View::Dropped))
    }

    /// A document is there from now on. Answers the entry that it replaces. In a collection that
    /// was dropped this does nothing.
    ///
    /// # Panics
    /// When no log can have such an LSN.
    pub fn put(&mut self, collection: CollectionId, id: &DocId, entry: Entry) -> Option<Entry> {
        assert!(is_lsn(entry.lsn), "the log gives no such LSN: {}", entry.lsn);
        self.apply(collection, id, Found::Live(entry))
    }

    /// A document is gone. Answers the entry that there was.
    ///
    /// # Panics
    /// When no log can have such an LSN.
    pub fn delete(&mut self, collection: CollectionId, id: &DocId, lsn: Lsn) -> Option<Entry> {
        assert!(is_lsn(lsn), "the log gives no such LSN: {lsn}");
        self.apply(collection, id, Found::Deleted(lsn))
    }

    fn apply(&mut self, collection: CollectionId, id: &DocId, now: Found) -> Option<Entry> {
        let key = Key::of(id);
        let above = View::of_active(&self.active, collection);
        if matches!(above, View::Dropped) {
            return None;
        }
        let (before, beneath) = match above.change(key.borrow()) {
            Some(change) => (Some(change.now), change.beneath),
            None => {
                let below = self.find_below(collection, key.borrow());
                (below, Beneath::of(below))
            }
        };
        let before = before.and_then(Found::live);
        let change = Change { now, beneath };
        // A deletion of what is not there would leave an empty collection behind.
        if before.is_some() || matches!(now, Found::Live(_)) {
            self.active.apply(collection, key, change);
        }
        before
    }

    /// Says that the record of a document has moved, if the document is still the one with this
    /// LSN at this place. Compaction and healing use it: whoever wrote meanwhile is right.
    pub fn relocate(
        &mut self,
        collection: CollectionId,
        id: &DocId,
        lsn: Lsn,
        from: Location,
        to: Location,
    ) -> bool {
        let Some(Found::Live(entry)) = self.get(collection, id) else { return false };
        let is_same = entry.lsn == lsn && entry.location == from;
        if is_same {
            self.put(collection, id, Entry { location: to, ..entry });
        }
        is_same
    }

    /// Forgets all documents of a collection, whose number is never used again.
    pub fn drop_collection(&mut self, collection: CollectionId) {
        self.active.drop_collection(collection);
    }

    /// The collections that the index has heard of and that were not dropped, in order. One may
    /// have no document left.
    #[must_use]
    pub fn collections(&self) -> Vec<CollectionId> {
        let mut found: Vec<CollectionId> = self.active.collections().collect();
        for layer in &self.layers {
            let mut after = None;
            while let Some(next) = layer.collection_after(after) {
                found.push(next);
                after = Some(next);
            }
        }
        found.extend(self.base.parts().map(|(collection, _)| collection));
        found.sort_unstable();
        found.dedup();
        found.retain(|collection| {
            let mut views = std::iter::once(View::of_active(&self.active, *collection))
                .chain(self.views_below(*collection));
            !views.any(|view| matches!(view, View::Dropped))
        });
        found
    }

    /// How many documents a collection has. Costs a step per layer.
    #[must_use]
    pub fn counts(&self, collection: CollectionId) -> Counts {
        let (mut puts, mut covered, mut tombstones) = (0, 0, 0);
        for tally in self.views(collection).map(View::tally) {
            puts += tally.puts;
            covered += tally.covered;
            tombstones += tally.tombstones;
        }
        // A run that was damaged on purpose may claim to cover what is not there.
        Counts { live: u64::saturating_sub(puts, covered), tombstones }
    }

    /// How many documents a collection has that are not expired at `now`: `expires_at` is later.
    /// Costs a step per block of 64 KiB, and a look at the expiries of those blocks in which some
    /// have passed and others not.
    #[must_use]
    pub fn live_at(&self, collection: CollectionId, now: WallMs) -> u64 {
        let (mut expired, mut covered) = (0, 0);
        for sums in self.views(collection).map(|view| view.expired_at(now)) {
            expired += sums.0;
            covered += sums.1;
        }
        let expired = u64::saturating_sub(expired, covered);
        self.counts(collection).live.saturating_sub(expired)
    }

    /// Sets the active layer aside and answers it; `None` when nothing has changed since the last
    /// time. Costs the same whatever it holds.
    pub fn freeze(&mut self) -> Option<Arc<Layer>> {
        if self.active.is_empty() {
            return None;
        }
        let layer = Arc::new(Layer { content: Content::Trees(std::mem::take(&mut self.active)) });
        self.layers.insert(0, Arc::clone(&layer));
        Some(layer)
    }

    /// The frozen layers, the newest first.
    #[must_use]
    pub fn layers(&self) -> &[Arc<Layer>] {
        &self.layers
    }

    /// The base.
    #[must_use]
    pub const fn base(&self) -> &Arc<Table> {
        &self.base
    }

    /// Begins to pack one frozen layer, as it is: what is written as a run.
    #[must_use]
    pub fn pack(layer: &Arc<Layer>) -> Merge {
        let layers = vec![Arc::clone(layer)];
        Merge::new(Inputs { target: Target::Layer, oldest: Arc::default(), layers })
    }

    /// Begins to merge all frozen layers into one, or with the base into a new one. `None` when
    /// that would change nothing.
    #[must_use]
    pub fn merge(&self, target: Target) -> Option<Merge> {
        let oldest = match (target, &*self.layers) {
            (_, []) => return None,
            (Target::Base, _) => Arc::clone(&self.base),
            (Target::Layer, [only]) if matches!(only.content, Content::Packed(_)) => return None,
            (Target::Layer, _) => Arc::default(),
        };
        Some(Merge::new(Inputs { target, oldest, layers: self.layers.clone() }))
    }

    /// The merge that is due, if one is: into a new base when the layers hold more than a quarter
    /// of it, else into one layer when there are more than [`LAYERS_MAX`] or one is not packed.
    #[must_use]
    pub fn due(&self) -> Option<Target> {
        let changes: u64 = self.layers.iter().map(|layer| layer.len()).sum();
        let is_tree = |layer: &Arc<Layer>| matches!(layer.content, Content::Trees(_));
        if self.layers.is_empty() {
            None
        } else if changes.saturating_mul(BASE_PARTS) > self.base.len() {
            Some(Target::Base)
        } else if self.layers.len() > LAYERS_MAX || self.layers.iter().any(is_tree) {
            Some(Target::Layer)
        } else {
            None
        }
    }

    /// Puts the result of a merge in the place of what was merged.
    ///
    /// # Errors
    /// [`Stale`] when that is no longer there.
    pub fn install(&mut self, merged: Merged) -> Result<(), Stale> {
        let Merged { inputs, table } = merged;
        let from = match inputs.layers.first() {
            Some(newest) => self.layers.iter().position(|layer| Arc::ptr_eq(layer, newest)),
            None => None,
        };
        let from = from.ok_or(Stale)?;
        let to = from + inputs.layers.len();
        let is_same = |(a, b): (&Arc<Layer>, &Arc<Layer>)| Arc::ptr_eq(a, b);
        let here = self.layers.get(from..to).ok_or(Stale)?;
        if !here.iter().zip(&inputs.layers).all(is_same) {
            return Err(Stale);
        }
        match inputs.target {
            Target::Base => {
                if to != self.layers.len() || !Arc::ptr_eq(&self.base, &inputs.oldest) {
                    return Err(Stale);
                }
                self.layers.truncate(from);
                self.base = Arc::new(table);
            }
            Target::Layer => {
                let layer = Arc::new(Layer { content: Content::Packed(Arc::new(table)) });
                self.layers.splice(from..to, [layer]);
            }
        }
        Ok(())
    }

    /// Memory that it takes.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let mut memory = Memory { trees: self.active.bytes(), layers: 0, base: self.base.bytes() };
        for layer in &self.layers {
            match layer.content {
                Content::Trees(_) => memory.trees += layer.bytes(),
                Content::Packed(_) => memory.layers += layer.bytes(),
            }
        }
        memory
    }
}

fn is_lsn(lsn: Lsn) -> bool {
    (1..=wal::frame::LSN_MAX).contains(&lsn.0)
}
