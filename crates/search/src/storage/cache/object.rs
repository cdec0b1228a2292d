//! Reading an object through the cache, block by block.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::counters::Meter;
use super::pins::Pins;
use super::{BLOCK_BYTES, BlockKey, Cache, Counters, Temperature, Usage};
use crate::storage::{Name, ReadRanges, StoreError, StoreErrorKind, StoreRef};

/// The most bytes that one range of a fetch has: neighbouring blocks are fetched together up to here.
const FETCH_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A cache and what is counted of it. Shared by all objects that are read through it.
#[derive(Debug)]
pub struct Blocks {
    cache: Box<dyn Cache>,
    pins: Pins,
    meter: Meter,
}

impl Blocks {
    /// Blocks kept by `cache`; pinned objects are kept besides, up to `pinned_bytes_max` bytes.
    #[must_use]
    pub fn new(cache: Box<dyn Cache>, pinned_bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { cache, pins: Pins::new(pinned_bytes_max), meter: Meter::default() })
    }

    /// The object of this name and length, read through the cache.
    #[must_use]
    pub fn object(self: &Arc<Self>, store: StoreRef, name: Name, len: u64) -> CachedObject {
        let parts = Parts { store, name, len, meter: Meter::default() };
        CachedObject { blocks: Arc::clone(self), parts: Arc::new(parts) }
    }

    /// What was read through this cache so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.meter.read()
    }

    /// How full the cache is, pinned objects not counted.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.cache.usage()
    }

    /// Bytes of pinned objects.
    #[must_use]
    pub fn pinned_bytes(&self) -> u64 {
        self.pins.bytes()
    }

    fn get(&self, key: &BlockKey) -> Option<Bytes> {
        self.pins.get(key).or_else(|| self.cache.get(key))
    }
}

/// Fetches what is not in the cache of these objects, in their order, until `bytes_max` bytes were fetched. Answers how
/// many were: 0 means that all of it is there.
///
/// # Errors
/// What the store answers; what was fetched before stays.
pub fn warm(objects: &[CachedObject], bytes_max: u64) -> io::Result<u64> {
    let mut fetched = 0;
    for object in objects {
        let missing: Vec<u32> =
            (0..object.block_count()).filter(|block| !object.holds(*block)).collect();
        for run in runs(&missing) {
            let bytes = object.range_of(&run);
            let len = bytes.end - bytes.start;
            if fetched + len > bytes_max {
                return Ok(fetched);
            }
            object.fetch(&[run])?;
            fetched += len;
        }
    }
    Ok(fetched)
}

/// An object that is read through a cache. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CachedObject {
    blocks: Arc<Blocks>,
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    store: StoreRef,
    name: Name,
    len: u64,
    meter: Meter,
}

/// Ascending numbers as ranges of neighbours, none longer than a fetch may be.
fn runs(blocks: &[u32]) -> Vec<Range<u32>> {
    let most = u32::try_from(FETCH_BYTES_MAX / BLOCK_BYTES).unwrap_or(1);
    let mut runs: Vec<Range<u32>> = Vec::new();
    for block in blocks {
        match runs.last_mut() {
            Some(run) if run.end == *block && run.end - run.start < most => run.end += 1,
            Some(_) | None => runs.push(*block..block.saturating_add(1)),
        }
    }
    runs
}

impl CachedObject {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.parts.name
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.parts.len
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.len == 0
    }

    /// What was read of this object, by this and its clones.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.parts.meter.read()
    }

    /// How many of its blocks are in the cache, and how many it has.
    #[must_use]
    pub fn resident(&self) -> (u64, u64) {
        let all = self.block_count();
        let held = (0..all).filter(|block| self.holds(*block)).count();
        (held as u64, u64::from(all))
    }

    /// How much of it is in the cache.
    #[must_use]
    pub fn temperature(&self) -> Temperature {
        let (held, all) = self.resident();
        Temperature::of(held, all)
    }

    /// Keeps all of it in memory until it is unpinned. False when there is no room among the pinned.
    ///
    /// # Errors
    /// What the store answers.
    pub fn pin(&self) -> io::Result<bool> {
        if self.is_pinned() {
            return Ok(true);
        }
        if !self.blocks.pins.has_room(self.len()) {
            return Ok(false);
        }
        let all: Vec<u32> = (0..self.block_count()).collect();
        let blocks = self.gather(&all)?;
        Ok(self.blocks.pins.put(self.name().shared(), blocks.into_values().collect()))
    }

    /// Lets go of what [`CachedObject::pin`] holds.
    pub fn unpin(&self) {
        self.blocks.pins.remove(self.name().as_str());
    }

    /// Whether it is pinned.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.blocks.pins.holds(self.name().as_str())
    }

    /// Forgets its blocks, because the object is about to be deleted.
    pub fn forget(&self) {
        self.unpin();
        for block in 0..self.block_count() {
            self.blocks.cache.remove(&self.key(block));
        }
    }

    /// Numbers of blocks are u32: 128 TiB at most, which no file of ours reaches; what lies behind is not read.
    fn block_count(&self) -> u32 {
        u32::try_from(self.len().div_ceil(BLOCK_BYTES)).unwrap_or(u32::MAX)
    }

    fn key(&self, block: u32) -> BlockKey {
        BlockKey { object: self.name().shared(), block }
    }

    fn holds(&self, block: u32) -> bool {
        let key = self.key(block);
        self.blocks.pins.get(&key).is_some() || self.blocks.cache.holds(&key)
    }

    /// The bytes of a run of blocks.
    fn range_of(&self, run: &Range<u32>) -> Range<u64> {
        let end = u64::from(run.end) * BLOCK_BYTES;
        u64::from(run.start) * BLOCK_BYTES..end.min(self.len())
    }

    /// Fetches runs of blocks in one round trip, and keeps them.
    fn fetch(&self, runs: &[Range<u32>]) -> Result<BTreeMap<u32, Bytes>, StoreError> {
        let wanted: Vec<_> =
            runs.iter().map(|run| (self.name().clone(), self.range_of(run))).collect();
        let parts = self.parts.store.get_ranges(&wanted)?;
        let mut blocks = BTreeMap::new();
        let mut bytes_fetched = 0;
        for (run, bytes) in runs.iter().zip(parts) {
            bytes_fetched += bytes.len() as u64;
            let size = usize::try_from(BLOCK_BYTES).unwrap_or(usize::MAX);
            for (block, bytes) in run.clone().zip(bytes.chunks(size)) {
                // A copy: a slice would hold on to all that was fetched with it.
                let bytes = Bytes::copy_from_slice(bytes);
                self.blocks.cache.put(self.key(block), bytes.clone());
                blocks.insert(block, bytes);
            }
        }
        self.count(&Counters { bytes_fetched, round_trips: 1, ..Counters::default() });
        Ok(blocks)
    }

    fn count(&self, more: &Counters) {
        self.parts.meter.add(more);
        self.blocks.meter.add(more);
    }

    /// These blocks, ascending, from the cache or fetched.
    fn gather(&self, wanted: &[u32]) -> Result<BTreeMap<u32, Bytes>, StoreError> {
        let mut blocks = BTreeMap::new();
        let mut missing = Vec::new();
        for block in wanted {
            match self.blocks.get(&self.key(*block)) {
                Some(bytes) => _ = blocks.insert(*block, bytes),
                None => missing.push(*block),
            }
        }
        let (hits, misses) = (blocks.len() as u64, missing.len() as u64);
        self.count(&Counters { hits, misses, ..Counters::default() });
        if !missing.is_empty() {
            blocks.extend(self.fetch(&runs(&missing))?);
        }
        Ok(blocks)
    }

    fn damaged(&self, reason: String) -> StoreError {
        StoreError::new(StoreErrorKind::Damaged, self.name(), reason)
    }

    /// The numbers of the blocks that ranges lie in, ascending.
    fn blocks_of(&self, ranges: &[Range<u64>]) -> Result<Vec<u32>, StoreError> {
        let mut wanted = Vec::new();
        for Range { start, end } in ranges {
            if start > end || *end > self.len() {
                let len = self.len();
                return Err(self.damaged(format!("no such range len={len} from={start} to={end}")));
            }
            if start < end {
                let number = |at: u64| u32::try_from(at / BLOCK_BYTES).unwrap_or(u32::MAX);
                wanted.extend(number(*start)..=number(end - 1));
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        Ok(wanted)
    }

    /// Puts a range together from its blocks.
    fn assemble(
        &self,
        range: &Range<u64>,
        blocks: &BTreeMap<u32, Bytes>,
    ) -> Result<Vec<u8>, StoreError> {
        let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity(len);
        let mut at = range.start;
        while at < range.end {
            let (block, from) = (at / BLOCK_BYTES, at % BLOCK_BYTES);
            let to = (from + range.end - at).min(BLOCK_BYTES);
            let part = u32::try_from(block).ok().and_then(|block| blocks.get(&block));
            let (from, to) = (usize::try_from(from), usize::try_from(to));
            let part = match (part, from, to) {
                (Some(part), Ok(from), Ok(to)) => part.get(from..to),
                _ => None,
            };
            let part = part.ok_or_else(|| self.damaged("a block is shorter than it was".into()))?;
            bytes.extend_from_slice(part);
            at += part.len() as u64;
        }
        Ok(bytes)
    }
}

impl ReadRanges for CachedObject {
    fn read(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Vec<u8>>> {
        let blocks = self.gather(&self.blocks_of(ranges)?)?;
        let parts: Result<Vec<Vec<u8>>, StoreError> =
            ranges.iter().map(|range| self.assemble(range, &blocks)).collect();
        let parts = parts?;
        let bytes_read = parts.iter().map(|part| part.len() as u64).sum();
        self.count(&Counters { bytes_read, ..Counters::default() });
        Ok(parts)
    }
}
