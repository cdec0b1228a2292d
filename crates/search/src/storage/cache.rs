//! Blocks of objects that were read, kept in memory and, before a remote store, on a disk as well.
//!
//! [`Cache`] is what keeps blocks: [`MemoryCache`], or [`TieredCache`] with a disk tier behind memory. [`Blocks`] is
//! what readers have: it makes [`CachedObject`]s, which read ranges of one object through the cache and fetch what is
//! missing in one round trip, and it warms, pins and counts.
//!
//! Objects never change and their names are never used twice, so nothing here is ever out of date, and everything may
//! be lost at any moment. Blocks are not checked here: files have checksums of their own, which their readers look at
//! after the cache as they would after the store.
//!
//! Two readers that miss the same block at once both fetch it. What is read once, by merges, should not come through
//! here: [`Object`](super::Object) reads past the cache.

mod counters;
mod memory;
mod object;
mod pins;
mod tiered;

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;

pub use counters::{Counters, Temperature};
pub use memory::MemoryCache;
pub use object::{Blocks, CachedObject, warm};
pub use tiered::{TieredCache, TieredOptions};

/// Bytes of a block; the last one of an object has fewer.
pub const BLOCK_BYTES: u64 = 32 * 1024;

/// What a block costs besides its bytes: key, entry and links, about.
const BLOCK_OVERHEAD_BYTES: usize = 128;

/// One block of one object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlockKey {
    /// The name of the object.
    pub object: Arc<str>,
    /// The number of the block, from 0.
    pub block: u32,
}

/// How full a cache is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// What is in memory.
    pub memory: u64,
    /// The most that may be.
    pub memory_max: u64,
    /// The most that may be on disk; 0 without a disk tier.
    pub disk_max: u64,
}

/// Keeps blocks until it needs their room.
pub trait Cache: Debug + Send + Sync {
    /// The block, if it is kept.
    fn get(&self, key: &BlockKey) -> Option<Bytes>;

    /// Keeps a block, unless there is something better to keep.
    fn put(&self, key: BlockKey, block: Bytes);

    /// Whether the block is probably kept. Does not count as a use of it.
    fn holds(&self, key: &BlockKey) -> bool;

    /// Forgets a block.
    fn remove(&self, key: &BlockKey);

    /// How full it is.
    fn usage(&self) -> Usage;
}

/// Shared, so that its owner can still ask it things.
impl<C: Cache + ?Sized> Cache for Arc<C> {
    fn get(&self, key: &BlockKey) -> Option<Bytes> {
        (**self).get(key)
    }

    fn put(&self, key: BlockKey, block: Bytes) {
        (**self).put(key, block);
    }

    fn holds(&self, key: &BlockKey) -> bool {
        (**self).holds(key)
    }

    fn remove(&self, key: &BlockKey) {
        (**self).remove(key);
    }

    fn usage(&self) -> Usage {
        (**self).usage()
    }
}
