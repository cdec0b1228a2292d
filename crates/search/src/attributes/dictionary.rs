//! The different values of an attribute in their order, in blocks; a value's number is its *code*.
//!
//! Of each value a block has the bytes it does not share with the one before, and in how many rows it is.
//! The index has for each block how many values it has, in how many rows they are together, where it is, and
//! its *separator*: bytes that are greater than every key before the block and not greater than its first.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use std::ops::Range;

use super::bytes::{Bytes, put_varint};
use super::error::{AttributesError, Result, damaged};
use super::key;
use super::layout::{Extent, FileWriter, Name, Part, Slot};

/// A block is ended at so many bytes.
const BLOCK_BYTES: usize = 8 * 1024;
/// Most values of a block.
const BLOCK_VALUES: u32 = 512;

/// What the index says of a block.
#[derive(Debug, Clone)]
pub(super) struct BlockEntry {
    /// The code of its first value.
    pub(super) first: u32,
    /// How many values it has.
    pub(super) values: u32,
    /// Pairs of its values and rows.
    pairs: u64,
    /// Those in the blocks before.
    pub(super) pairs_before: u64,
    pub(super) extent: Extent,
    separator: Box<[u8]>,
}

/// Writes values as they come in their order.
#[derive(Debug, Default)]
pub(super) struct DictionaryWriter {
    block: Vec<u8>,
    values: u32,
    pairs: u64,
    last: Vec<u8>,
    separator: Vec<u8>,
    count: u32,
    blocks: u32,
    index: Vec<u8>,
}

impl DictionaryWriter {
    /// Adds the next value, which is in so many rows.
    pub(super) fn push(
        &mut self,
        file: &mut FileWriter<'_>,
        slot: Slot,
        key: &[u8],
        rows: u64,
    ) -> Result<()> {
        if self.count > 0 && *self.last >= *key {
            return Err(damaged("values are out of their order"));
        }
        if self.values >= BLOCK_VALUES || self.block.len() >= BLOCK_BYTES {
            self.flush(file, slot)?;
        }
        let common = self.last.iter().zip(key).take_while(|(a, b)| a == b).count();
        let mut shared = common;
        if self.values == 0 {
            // Of anything but a string only the whole key can be compared.
            let until = if key::is_string(key) { common.saturating_add(1) } else { key.len() };
            let separator = if self.count == 0 { &[] } else { key.get(..until).unwrap_or(key) };
            self.separator = separator.to_vec();
            shared = 0;
        }
        let rest = key.get(shared..).unwrap_or_default();
        put_varint(&mut self.block, shared as u64);
        put_varint(&mut self.block, rest.len() as u64);
        self.block.extend_from_slice(rest);
        put_varint(&mut self.block, rows);
        self.last.truncate(common);
        self.last.extend_from_slice(key.get(common..).unwrap_or_default());
        self.values = self.values.saturating_add(1);
        self.pairs = self.pairs.saturating_add(rows);
        self.count = self
            .count
            .checked_add(1)
            .ok_or(AttributesError::Full { what: "an attribute has 2^32 values" })?;
        Ok(())
    }

    fn flush(&mut self, file: &mut FileWriter<'_>, slot: Slot) -> Result<()> {
        if self.values == 0 {
            return Ok(());
        }
        let extent = file.block(Name(Part::Dictionary, slot, self.blocks), &self.block)?;
        let numbers = [self.values.into(), self.pairs, extent.at, extent.len.into()];
        for number in numbers.into_iter().chain([self.separator.len() as u64]) {
            put_varint(&mut self.index, number);
        }
        self.index.extend_from_slice(&self.separator);
        self.blocks = self.blocks.saturating_add(1);
        self.block.clear();
        (self.values, self.pairs) = (0, 0);
        Ok(())
    }

    /// Ends it: how many values there are. Its part of the index goes to `index`.
    pub(super) fn finish(
        mut self,
        file: &mut FileWriter<'_>,
        slot: Slot,
        index: &mut Vec<u8>,
    ) -> Result<u32> {
        self.flush(file, slot)?;
        put_varint(index, self.blocks.into());
        index.extend_from_slice(&self.index);
        Ok(self.count)
    }
}

/// Where the blocks of a dictionary are, and what they begin with.
#[derive(Debug, Default)]
pub(super) struct DictionaryIndex {
    pub(super) blocks: Vec<BlockEntry>,
}

impl DictionaryIndex {
    /// Takes it from the index of an attribute with so many values and pairs.
    pub(super) fn take(bytes: &mut Bytes<'_>, distinct: u32, pairs: u64, end: u64) -> Result<Self> {
        let contradicts = || damaged("the index of a dictionary contradicts itself");
        let count = bytes.size()?;
        let mut blocks: Vec<BlockEntry> = Vec::new();
        let (mut first, mut pairs_before) = (0_u32, 0_u64);
        for _ in 0..count {
            let (values, pairs) = (bytes.small()?, bytes.varint()?);
            let extent = Extent::checked(bytes.varint()?, bytes.small()?, end)?;
            let len = bytes.size()?;
            let separator = bytes.take(len)?.into();
            if values == 0 || blocks.last().is_some_and(|last| last.separator >= separator) {
                return Err(contradicts());
            }
            blocks.push(BlockEntry { first, values, pairs, pairs_before, extent, separator });
            first = first.checked_add(values).ok_or_else(contradicts)?;
            pairs_before = pairs_before.checked_add(pairs).ok_or_else(contradicts)?;
        }
        if (first, pairs_before) != (distinct, pairs) {
            return Err(contradicts());
        }
        Ok(Self { blocks })
    }

    /// The block in which the first key that is not `before` is, or at whose end it would be; `before` holds of
    /// keys up to some place and of none behind it. None when there is no block.
    pub(super) fn block_of(&self, before: &dyn Fn(&[u8]) -> bool) -> Option<usize> {
        let later = self.blocks.get(1..)?;
        Some(later.partition_point(|block| before(&block.separator)))
    }

    /// The block that a code is in.
    pub(super) fn block_with(&self, code: u32) -> usize {
        self.blocks.partition_point(|block| block.first <= code).saturating_sub(1)
    }
}

/// A block that was read.
#[derive(Debug)]
pub(super) struct Block {
    keys: Vec<u8>,
    /// Where each key ends, and the pairs of the values up to it.
    ends: Vec<(usize, u64)>,
    /// The code of its first value.
    pub(super) first: u32,
    pairs_before: u64,
}

impl Block {
    /// Decodes the block that an index tells of.
    pub(super) fn decode(bytes: &[u8], entry: &BlockEntry) -> Result<Self> {
        let malformed = || damaged("a block of a dictionary is malformed");
        let mut bytes = Bytes(bytes);
        let (mut keys, mut ends): (Vec<u8>, Vec<(usize, u64)>) = (Vec::new(), Vec::new());
        let (mut last, mut pairs) = (0_usize..0, 0_u64);
        for _ in 0..entry.values {
            let (shared, len) = (bytes.size()?, bytes.size()?);
            let rest = bytes.take(len)?;
            let start = keys.len();
            let beginning = last.start..last.start.saturating_add(shared);
            if beginning.end > last.end {
                return Err(malformed());
            }
            keys.extend_from_within(beginning);
            keys.extend_from_slice(rest);
            let key = start..keys.len();
            if !ends.is_empty() && keys.get(last) >= keys.get(key.clone()) {
                return Err(malformed());
            }
            pairs = pairs.checked_add(bytes.varint()?).ok_or_else(malformed)?;
            ends.push((keys.len(), pairs));
            last = key;
        }
        bytes.end()?;
        if pairs != entry.pairs {
            return Err(malformed());
        }
        Ok(Self { keys, ends, first: entry.first, pairs_before: entry.pairs_before })
    }

    /// How many values it has.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    fn start(&self, at: usize) -> (usize, u64) {
        at.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or((0, 0))
    }

    /// The key at a place; no bytes beyond the last.
    pub(super) fn key(&self, at: usize) -> &[u8] {
        let (start, (end, _)) = (self.start(at).0, self.ends.get(at).copied().unwrap_or((0, 0)));
        self.keys.get(start..end).unwrap_or_default()
    }

    /// The place of the first key that is not `before`.
    pub(super) fn partition(&self, before: &dyn Fn(&[u8]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if before(self.key(middle)) {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        low
    }

    /// Where a place is in the whole dictionary.
    pub(super) fn mark(&self, at: usize) -> Mark {
        Mark {
            code: self.first.saturating_add(u32::try_from(at).unwrap_or(u32::MAX)),
            pairs: self.pairs_before.saturating_add(self.start(at).1),
        }
    }
}

/// A place between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Mark {
    /// The code behind it.
    pub(super) code: u32,
    /// Pairs of a value before it and a row.
    pub(super) pairs: u64,
}

/// Some codes: ranges that ascend and do not touch, and in how many pairs they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Codes {
    pub(super) ranges: Vec<Range<u32>>,
    pub(super) pairs: u64,
}

impl Codes {
    /// Adds the codes between two places behind those that are in.
    pub(super) fn push(&mut self, from: Mark, to: Mark) {
        if from.code >= to.code {
            return;
        }
        self.pairs = self.pairs.saturating_add(to.pairs.saturating_sub(from.pairs));
        match self.ranges.last_mut() {
            Some(last) if last.end == from.code => last.end = to.code,
            _ => self.ranges.push(from.code..to.code),
        }
    }

    /// The others of a dictionary with so many values and pairs.
    pub(super) fn complement(&self, distinct: u32, pairs: u64) -> Self {
        let starts = [0].into_iter().chain(self.ranges.iter().map(|range| range.end));
        let ends = self.ranges.iter().map(|range| range.start).chain([distinct]);
        let ranges = starts.zip(ends).map(|(start, end)| start..end);
        let ranges = ranges.filter(|range| !range.is_empty()).collect();
        Self { ranges, pairs: pairs.saturating_sub(self.pairs) }
    }

    /// How many codes there are.
    pub(super) fn len(&self) -> u64 {
        self.ranges.iter().map(|range| range.len() as u64).sum()
    }

    /// Whether there is none.
    pub(super) const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether a code is one of them.
    pub(super) fn contains(&self, code: u32) -> bool {
        let at = self.ranges.partition_point(|range| range.end <= code);
        self.ranges.get(at).is_some_and(|range| range.contains(&code))
    }
}
