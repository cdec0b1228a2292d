//! Reading a collection in the order of its ids, and finding what has expired.

use std::iter::Peekable;
use std::ops::Bound;

use base::clock::WallMs;
use base::words::{CollectionId, DocId};

use super::Index;
use super::change::{Entry, Found};
use super::key::{Key, KeyRef};
use super::layer::Changes;

/// The documents of a collection within bounds, in the order of their ids.
#[derive(Debug)]
pub struct Range<'a> {
    changes: Changes<'a>,
    to: Bound<Key>,
}

impl Iterator for Range<'_> {
    type Item = (DocId, Entry);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (key, change) = self.changes.next()?;
            let is_inside = match &self.to {
                Bound::Unbounded => true,
                Bound::Included(to) => key <= to.borrow(),
                Bound::Excluded(to) => key < to.borrow(),
            };
            if !is_inside {
                return None;
            }
            if let Found::Live(entry) = change.now {
                return Some((key.to_id(), entry));
            }
        }
    }
}

/// Some of the expired documents of a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiredPage {
    /// Them, in the order of their ids.
    pub documents: Vec<(DocId, Entry)>,
    /// Where to go on, when there may be more: behind this id.
    pub next: Option<DocId>,
}

impl Index {
    /// Reads the documents of a collection whose ids lie within the bounds, in their order;
    /// expired ones too. Costs a lookup per layer, then a step per document and layer.
    #[must_use]
    pub fn range(
        &self,
        collection: CollectionId,
        from: Bound<&DocId>,
        to: Bound<&DocId>,
    ) -> Range<'_> {
        let from = from.map(Key::of);
        let changes = Changes::new(self.views(collection), from.as_ref().map(Key::borrow));
        Range { changes, to: to.map(Key::of) }
    }

    /// Documents behind `after` that are expired at `now`, after a look at `looks` candidates at
    /// most. Blocks without an expired document are passed over.
    #[must_use]
    pub fn expired(
        &self,
        collection: CollectionId,
        now: WallMs,
        after: Option<&DocId>,
        looks: usize,
    ) -> ExpiredPage {
        let after = after.map(Key::of);
        let from = after.as_ref().map_or(Bound::Unbounded, |key| Bound::Excluded(key.borrow()));
        let keys = self.views(collection).map(|view| view.expired_keys(now, from).peekable());
        let mut keys: Vec<_> = keys.collect();
        let mut page = ExpiredPage { documents: Vec::new(), next: None };
        for looked in 0.. {
            let Some(key) = next_key(&mut keys) else { break };
            // A newer layer may have another word on it.
            if let Some(Found::Live(entry)) = self.find(collection, key)
                && entry.expires_at.is_some_and(|at| at <= now)
            {
                page.documents.push((key.to_id(), entry));
            }
            if looked + 1 >= looks {
                page.next = Some(key.to_id());
                break;
            }
        }
        page
    }

    /// When the first document of a collection expires or has expired; a time that is earlier
    /// than that while a deleted or replaced one is still in a layer.
    #[must_use]
    pub fn earliest_expiry(&self, collection: CollectionId) -> Option<WallMs> {
        self.views(collection).filter_map(|view| view.earliest_expiry()).min()
    }
}

/// Takes the lowest key from all iterators that have it.
fn next_key<'a, I>(keys: &mut [Peekable<I>]) -> Option<KeyRef<'a>>
where
    I: Iterator<Item = KeyRef<'a>>,
{
    let lowest = keys.iter_mut().filter_map(|keys| keys.peek().copied()).min()?;
    for keys in keys {
        keys.next_if_eq(&lowest);
    }
    Some(lowest)
}
