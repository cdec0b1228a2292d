//! Blocks in memory, evicted by S3-FIFO (Yang et al., SOSP 2023): what was used once goes first, so that one long read
//! does not empty the cache.

use bytes::Bytes;
use foyer::{CacheBuilder, S3FifoConfig};

use super::{BLOCK_BYTES, BLOCK_OVERHEAD_BYTES, BlockKey, Cache, Usage};

/// How many blocks a shard should have room for, at least: fewer make its queues too short to tell anything.
const SHARD_BLOCKS_MIN: usize = 256;
const SHARDS_MAX: usize = 16;

/// What a block counts for.
pub(super) fn weight(block: &Bytes) -> usize {
    block.len() + BLOCK_OVERHEAD_BYTES
}

/// Into how many parts, each with a lock of its own, so many bytes are divided.
pub(super) fn shards(bytes: usize) -> usize {
    let block_bytes = usize::try_from(BLOCK_BYTES).unwrap_or(usize::MAX);
    (bytes / SHARD_BLOCKS_MIN / block_bytes).clamp(1, SHARDS_MAX)
}

/// The eviction that both kinds of cache have in memory.
pub(super) fn eviction() -> S3FifoConfig {
    S3FifoConfig::default()
}

/// A cache in memory alone.
pub struct MemoryCache {
    blocks: foyer::Cache<BlockKey, Bytes>,
}

impl std::fmt::Debug for MemoryCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryCache").field("usage", &self.usage()).finish()
    }
}

impl MemoryCache {
    /// A cache that keeps at most so many bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        let blocks = CacheBuilder::new(bytes_max)
            .with_name("search-blocks")
            .with_shards(shards(bytes_max))
            .with_eviction_config(eviction())
            .with_weighter(|_: &BlockKey, block: &Bytes| weight(block))
            .build();
        Self { blocks }
    }
}

impl Cache for MemoryCache {
    fn get(&self, key: &BlockKey) -> Option<Bytes> {
        self.blocks.get(key).map(|entry| entry.value().clone())
    }

    fn put(&self, key: BlockKey, block: Bytes) {
        // The library would take it in and evict all others for it.
        if weight(&block) <= self.blocks.capacity() / self.blocks.shards().max(1) {
            self.blocks.insert(key, block);
        }
    }

    fn holds(&self, key: &BlockKey) -> bool {
        self.blocks.contains(key)
    }

    fn remove(&self, key: &BlockKey) {
        self.blocks.remove(key);
    }

    fn usage(&self) -> Usage {
        Usage {
            memory: self.blocks.usage() as u64,
            memory_max: self.blocks.capacity() as u64,
            disk_max: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(block: u32) -> BlockKey {
        BlockKey { object: "a".into(), block }
    }

    #[test]
    fn a_cache_never_holds_more_than_it_may_and_forgets_what_it_is_told_to() {
        let cache = MemoryCache::new(10_000);
        for block in 0..100 {
            cache.put(key(block), vec![1; 1000].into());
            assert!(cache.usage().memory <= cache.usage().memory_max);
        }
        assert!(cache.usage().memory > 5000, "{cache:?}");
        let held: Vec<u32> = (0..100).filter(|block| cache.holds(&key(*block))).collect();
        assert!((5..=8).contains(&held.len()), "{held:?}");
        let first = key(held[0]);
        assert_eq!(cache.get(&first).unwrap().len(), 1000);
        cache.remove(&first);
        assert_eq!(cache.get(&first), None);
    }

    #[test]
    fn a_block_larger_than_the_cache_is_not_kept_and_evicts_nothing() {
        let cache = MemoryCache::new(2000);
        cache.put(key(1), vec![1; 1000].into());
        cache.put(key(2), vec![1; 3000].into());
        assert!(cache.holds(&key(1)) && !cache.holds(&key(2)));
    }
}
