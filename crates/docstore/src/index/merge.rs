//! Merging: layers into one layer, or into a new base, without a lock and in pieces.
//!
//! The inputs are shared and never change, so readers go on with them. Blocks that nothing
//! changed are taken over as they are; what changed is packed again together with as many
//! neighbours as it takes to fill every new block to three quarters, so that blocks stay few: each
//! costs some 200 bytes beside its slots, and a place in the directory. Only the last blocks of
//! the numbers and of the other ids of a collection may be emptier.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

use base::words::CollectionId;

use super::block::{Block, WEIGHT_MAX, weight};
use super::change::Change;
use super::key::{Key, KeyRef};
use super::layer::{Changes, Layer, View};
use super::table::{Blocks, Part, Position, Table};

/// What a merge makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A base: tombstones have nothing left to hide and are forgotten.
    Base,
    /// A layer, above what the merged layers were above.
    Layer,
}

/// A merge under way. It holds what it merges and what is done so far.
#[derive(Debug)]
pub struct Merge {
    inputs: Inputs,
    done: Table,
    after: Option<CollectionId>,
    current: Option<Collection>,
}

/// What is merged.
#[derive(Debug)]
pub(super) struct Inputs {
    pub(super) target: Target,
    /// The base when one is made, else empty.
    pub(super) oldest: Arc<Table>,
    /// The newest first.
    pub(super) layers: Vec<Arc<Layer>>,
}

/// The result of a merge, with what it replaces. [`super::Index::install`] takes it.
#[derive(Debug)]
pub struct Merged {
    pub(super) inputs: Inputs,
    pub(super) table: Table,
}

/// Where a merge stands after a step.
#[derive(Debug)]
pub enum Step {
    /// There is more to do.
    More(Merge),
    /// All is done.
    Done(Merged),
}

/// The collection that is being merged.
#[derive(Debug)]
struct Collection {
    id: CollectionId,
    /// How far the oldest input is done.
    position: Position,
    /// The last key that was taken from the layers.
    after: Option<Key>,
    packer: Packer,
}

impl Merged {
    /// What was made.
    #[must_use]
    pub const fn table(&self) -> &Table {
        &self.table
    }

    /// What was made, when it is not to be installed.
    #[must_use]
    pub fn into_table(self) -> Table {
        self.table
    }
}

impl Merge {
    pub(super) fn new(inputs: Inputs) -> Self {
        Self { inputs, done: Table::new(), after: None, current: None }
    }

    /// Merges about `changes` more changes, or blocks that are taken over whole. 10,000 take
    /// around a millisecond.
    #[must_use]
    pub fn step(mut self, changes: usize) -> Step {
        let mut budget = changes.max(1);
        while budget > 0 {
            if let Some(collection) = &mut self.current {
                if !collection.step(&self.inputs, &mut budget) {
                    return Step::More(self);
                }
                if let Some(Collection { id, packer, .. }) = self.current.take() {
                    let blocks = packer.finish();
                    if blocks.get(0).is_some() {
                        self.done.insert(id, Arc::new(Part::Changed(blocks)));
                    }
                }
            } else {
                let Some(next) = self.next_collection() else {
                    return Step::Done(Merged { inputs: self.inputs, table: self.done });
                };
                budget -= 1;
                self.after = Some(next);
                self.begin(next);
            }
        }
        Step::More(self)
    }

    /// Merges all of it.
    #[must_use]
    pub fn run(mut self) -> Merged {
        loop {
            match self.step(usize::MAX) {
                Step::More(more) => self = more,
                Step::Done(merged) => return merged,
            }
        }
    }

    fn next_collection(&self) -> Option<CollectionId> {
        let layers = self.inputs.layers.iter().filter_map(|l| l.collection_after(self.after));
        layers.chain(self.inputs.oldest.collection_after(self.after)).min()
    }

    /// Does what can be done with a collection as a whole, or begins to merge it.
    fn begin(&mut self, id: CollectionId) {
        let mut views = self.inputs.views(id).filter(|view| !matches!(view, View::Silent));
        match (views.next(), self.inputs.oldest.part(id)) {
            (None, Some(part)) => self.done.insert(id, Arc::clone(part)),
            (None, None) => {}
            (Some(View::Dropped), _) => {
                if self.inputs.target == Target::Layer {
                    self.done.insert(id, Arc::new(Part::Dropped));
                }
            }
            (Some(View::Silent | View::Tree(_) | View::Blocks(_)), _) => {
                drop(views);
                let position = Position { block: 0, slot: 0 };
                let packer = Packer::default();
                self.current = Some(Collection { id, position, after: None, packer });
            }
        }
    }
}

impl Inputs {
    /// What the layers say of a collection, the newest first; without the oldest input.
    fn views(&self, id: CollectionId) -> impl Iterator<Item = View<'_>> {
        self.layers.iter().map(move |layer| layer.view(id))
    }

    /// A change as the target keeps it, if it does.
    fn keep(&self, change: Change) -> Option<Change> {
        let change = match self.target {
            Target::Base => change.at_the_bottom(),
            Target::Layer => change,
        };
        change.matters().then_some(change)
    }
}

impl Collection {
    /// Goes on until the collection is done (`true`) or the budget is used up.
    fn step(&mut self, inputs: &Inputs, budget: &mut usize) -> bool {
        let none = Blocks::default();
        let old = match inputs.oldest.part(self.id).map(|part| &**part) {
            Some(Part::Changed(blocks)) => blocks,
            Some(Part::Dropped) | None => &none,
        };
        let from = self.after.as_ref().map_or(Bound::Unbounded, |k| Bound::Excluded(k.borrow()));
        let mut changes = Changes::new(inputs.views(self.id), from);
        let mut taken = None;
        let done = loop {
            let Some(block) = old.get(self.position.block) else {
                match self.take(inputs, &mut changes, None) {
                    Some(key) => taken = Some(key),
                    None => break true,
                }
                if spend(budget) {
                    break false;
                }
                continue;
            };
            let next_block = Position { block: self.position.block + 1, slot: 0 };
            let end = old.get(next_block.block).map(|next| next.first());
            let is_changed = changes.peek_key().is_some_and(|key| end.is_none_or(|end| key < end));
            if !is_changed && self.position.slot == 0 && self.packer.share(block) {
                self.position = next_block;
            } else if self.position.slot == block.len() {
                match is_changed.then(|| self.take(inputs, &mut changes, None)).flatten() {
                    Some(key) => taken = Some(key),
                    None => self.position = next_block,
                }
            } else if let Some(key) = self.merge_one(inputs, &mut changes, block) {
                taken = Some(key);
            }
            if spend(budget) {
                break false;
            }
        };
        if let Some(key) = taken {
            self.after = Some(key.to_key());
        }
        done
    }

    /// Takes the lowest of the change at the position and the next of the layers, or both when
    /// they are of one document; says which key it took from the layers.
    fn merge_one<'a>(
        &mut self,
        inputs: &Inputs,
        changes: &mut Changes<'a>,
        block: &Block,
    ) -> Option<KeyRef<'a>> {
        let slot = self.position.slot;
        let key = block.key(slot);
        match changes.peek_key() {
            Some(newer) if newer < key => self.take(inputs, changes, None),
            Some(newer) if newer == key => {
                self.position.slot += 1;
                self.take(inputs, changes, Some(block.change(slot)))
            }
            Some(_) | None => {
                self.position.slot += 1;
                self.packer.push(key.to_key(), block.change(slot));
                None
            }
        }
    }

    /// Takes the next change of the layers, which lies on `older`.
    fn take<'a>(
        &mut self,
        inputs: &Inputs,
        changes: &mut Changes<'a>,
        older: Option<Change>,
    ) -> Option<KeyRef<'a>> {
        let (key, change) = changes.next()?;
        let change = older.map_or(change, |older| change.over(older));
        if let Some(kept) = inputs.keep(change) {
            self.packer.push(key.to_key(), kept);
        }
        Some(key)
    }
}

fn spend(budget: &mut usize) -> bool {
    *budget = budget.saturating_sub(1);
    *budget == 0
}

/// Packs changes that come in order into blocks of even size.
#[derive(Debug, Default)]
struct Packer {
    blocks: Blocks,
    /// Not packed yet; all numbers or none.
    waiting: VecDeque<(Key, Change)>,
    /// What they weigh together.
    waiting_weight: usize,
}

/// With so much waiting a full block is packed; what stays can always be divided evenly.
const WAITING_MAX: usize = 4 * WEIGHT_MAX;

impl Packer {
    fn push(&mut self, key: Key, change: Change) {
        let same_kind = |(other, _): &(Key, Change)| {
            matches!(other, Key::Number(_)) == matches!(key, Key::Number(_))
        };
        if !self.waiting.back().is_none_or(same_kind) {
            self.pack_all();
        }
        self.waiting_weight += weight(key.borrow(), &change);
        self.waiting.push_back((key, change));
        if self.waiting_weight >= WAITING_MAX {
            self.pack(WEIGHT_MAX);
        }
    }

    /// Takes a whole block over, unless what waits in front of it would fill its blocks badly.
    fn share(&mut self, block: &Arc<Block>) -> bool {
        let is_last_of_kind = self.waiting.back().is_some_and(|(key, _)| {
            matches!((key, block.first()), (Key::Number(_), KeyRef::Other(_)))
        });
        // As many blocks as it takes are at least three quarters full.
        let blocks = self.waiting_weight.div_ceil(WEIGHT_MAX);
        let is_even = self.waiting_weight * 4 >= blocks * WEIGHT_MAX * 3;
        if is_even || is_last_of_kind {
            self.pack_all();
            self.blocks.push(Arc::clone(block));
        }
        is_even || is_last_of_kind
    }

    /// Packs what waits into as few blocks as possible, evenly.
    fn pack_all(&mut self) {
        while self.waiting_weight > 0 {
            let blocks = self.waiting_weight.div_ceil(WEIGHT_MAX);
            self.pack(self.waiting_weight.div_ceil(blocks));
        }
    }

    /// Packs one block of about `target`, and never more than a block holds.
    fn pack(&mut self, target: usize) {
        let (mut total, mut count) = (0, 0);
        for (key, change) in &self.waiting {
            let more = weight(key.borrow(), change);
            if total >= target || total + more > WEIGHT_MAX {
                break;
            }
            (total, count) = (total + more, count + 1);
        }
        self.waiting_weight -= total;
        self.blocks.push(Arc::new(Block::pack(self.waiting.drain(..count))));
    }

    fn finish(mut self) -> Blocks {
        self.pack_all();
        self.blocks
    }
}
