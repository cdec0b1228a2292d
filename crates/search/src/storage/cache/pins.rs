//! Objects that stay in memory because somebody said so.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use super::BlockKey;

/// Pinned objects with all of their blocks, within a bound.
#[derive(Debug)]
pub(super) struct Pins {
    bytes_max: u64,
    held: RwLock<Held>,
}

#[derive(Debug, Default)]
struct Held {
    bytes: u64,
    objects: HashMap<Arc<str>, Vec<Bytes>>,
}

fn bytes_of(blocks: &[Bytes]) -> u64 {
    blocks.iter().map(|block| block.len() as u64).sum()
}

impl Pins {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, held: RwLock::default() }
    }

    pub(super) fn get(&self, key: &BlockKey) -> Option<Bytes> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.objects.get(&key.object)?.get(usize::try_from(key.block).ok()?).cloned()
    }

    /// Whether there is room for so many bytes more.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.bytes.saturating_add(bytes) <= self.bytes_max
    }

    /// Pins an object; false when there is no room for it any more.
    pub(super) fn put(&self, object: Arc<str>, blocks: Vec<Bytes>) -> bool {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.objects.contains_key(&object) {
            return true;
        }
        let bytes = held.bytes.saturating_add(bytes_of(&blocks));
        if bytes > self.bytes_max {
            return false;
        }
        held.bytes = bytes;
        held.objects.insert(object, blocks);
        true
    }

    pub(super) fn remove(&self, object: &str) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(blocks) = held.objects.remove(object) {
            held.bytes = held.bytes.saturating_sub(bytes_of(&blocks));
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.held.read().unwrap_or_else(PoisonError::into_inner).bytes
    }

    pub(super) fn holds(&self, object: &str) -> bool {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.objects.contains_key(object)
    }
}
