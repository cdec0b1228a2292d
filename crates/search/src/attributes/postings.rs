//! The rows of each value, in the order of codes, in blocks.
//!
//! Few rows are written one by one, each as its distance from the one before; more of them as a roaring
//! bitmap in its portable form. So an attribute whose values are all different takes four bytes a row.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use roaring::RoaringBitmap;

use super::bytes::{Bytes, put_varint};
use super::error::{AttributesError, Result, damaged};
use super::layout::{Extent, FileWriter, Name, Part, Slot};

/// Most rows that are written one by one.
const FEW: usize = 16;
/// A block is ended at so many bytes.
const BLOCK_BYTES: usize = 16 * 1024;
/// Most values of a block.
const BLOCK_VALUES: u32 = 1024;

/// The rows of a value; one at least.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Posting {
    /// In their order.
    Few(Vec<u32>),
    /// More than [`FEW`].
    Many(RoaringBitmap),
}

impl Posting {
    /// Of rows that ascend.
    pub(super) fn of(rows: &[u32]) -> Self {
        if rows.len() <= FEW {
            return Self::Few(rows.to_vec());
        }
        let mut bitmap = RoaringBitmap::new();
        bitmap.append(rows.iter().copied()).expect("rows ascend");
        bitmap.optimize();
        Self::Many(bitmap)
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Few(rows) => rows.len() as u64,
            Self::Many(rows) => rows.len(),
        }
    }

    /// The first row.
    pub(super) fn first(&self) -> u32 {
        let first = match self {
            Self::Few(rows) => rows.first().copied(),
            Self::Many(rows) => rows.min(),
        };
        first.unwrap_or_default()
    }

    /// Appends the rows, in their order.
    pub(super) fn append_to(&self, out: &mut Vec<u32>) {
        match self {
            Self::Few(rows) => out.extend_from_slice(rows),
            Self::Many(rows) => out.extend(rows),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        put_varint(out, self.len());
        match self {
            Self::Few(rows) => {
                let mut last = 0;
                for row in rows {
                    put_varint(out, row.saturating_sub(last).into());
                    last = *row;
                }
            }
            Self::Many(rows) => {
                put_varint(out, rows.serialized_size() as u64);
                rows.serialize_into(out)
                    .map_err(|error| AttributesError::Write(std::sync::Arc::new(error)))?;
            }
        }
        Ok(())
    }

    /// Takes the rows of a value, all of them less than `rows`.
    fn take(bytes: &mut Bytes<'_>, rows: u32) -> Result<Self> {
        let malformed = || damaged("the rows of a value are malformed");
        let count = bytes.varint()?;
        if count > FEW as u64 {
            let len = bytes.size()?;
            let bitmap = RoaringBitmap::deserialize_from(bytes.take(len)?);
            let bitmap = bitmap.map_err(|_| malformed())?;
            let fits = bitmap.len() == count && bitmap.max().is_some_and(|last| last < rows);
            return if fits { Ok(Self::Many(bitmap)) } else { Err(malformed()) };
        }
        let mut few = Vec::with_capacity(FEW);
        let mut last = 0_u32;
        for at in 0..count {
            let distance = bytes.small()?;
            last = last.checked_add(distance).ok_or_else(malformed)?;
            if last >= rows || (at > 0 && distance == 0) {
                return Err(malformed());
            }
            few.push(last);
        }
        if few.is_empty() { Err(malformed()) } else { Ok(Self::Few(few)) }
    }

    /// Passes over the rows of a value.
    fn pass(bytes: &mut Bytes<'_>) -> Result<()> {
        let count = bytes.varint()?;
        if count > FEW as u64 {
            let len = bytes.size()?;
            bytes.take(len)?;
            return Ok(());
        }
        (0..count).try_for_each(|_| bytes.varint().map(|_| ()))
    }
}

/// Writes the rows of values as they come in the order of codes.
#[derive(Debug, Default)]
pub(super) struct PostingsWriter {
    block: Vec<u8>,
    values: u32,
    blocks: u32,
    index: Vec<u8>,
}

impl PostingsWriter {
    pub(super) fn push(
        &mut self,
        file: &mut FileWriter<'_>,
        slot: Slot,
        rows: &Posting,
    ) -> Result<()> {
        if self.values >= BLOCK_VALUES || self.block.len() >= BLOCK_BYTES {
            self.flush(file, slot)?;
        }
        self.values = self.values.saturating_add(1);
        rows.encode(&mut self.block)
    }

    fn flush(&mut self, file: &mut FileWriter<'_>, slot: Slot) -> Result<()> {
        if self.values == 0 {
            return Ok(());
        }
        let extent = file.block(Name(Part::Postings, slot, self.blocks), &self.block)?;
        for number in [self.values.into(), extent.at, extent.len.into()] {
            put_varint(&mut self.index, number);
        }
        self.blocks = self.blocks.saturating_add(1);
        self.block.clear();
        self.values = 0;
        Ok(())
    }

    /// Ends them; their part of the index goes to `index`.
    pub(super) fn finish(
        mut self,
        file: &mut FileWriter<'_>,
        slot: Slot,
        index: &mut Vec<u8>,
    ) -> Result<()> {
        self.flush(file, slot)?;
        put_varint(index, self.blocks.into());
        index.extend_from_slice(&self.index);
        Ok(())
    }
}

/// A run of something in a block: codes, or rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// The first.
    pub(super) first: u32,
    /// How many.
    pub(super) count: u32,
    pub(super) extent: Extent,
}

/// Takes runs from an index: `total` together.
pub(super) fn take_runs(bytes: &mut Bytes<'_>, total: u32, end: u64) -> Result<Vec<Run>> {
    let contradicts = || damaged("an index contradicts itself");
    let blocks = bytes.size()?;
    let mut runs = Vec::new();
    let mut first = 0_u32;
    for _ in 0..blocks {
        let count = bytes.small()?;
        let extent = Extent::checked(bytes.varint()?, bytes.small()?, end)?;
        if count == 0 || extent == Extent::default() {
            return Err(contradicts());
        }
        runs.push(Run { first, count, extent });
        first = first.checked_add(count).ok_or_else(contradicts)?;
    }
    if first == total { Ok(runs) } else { Err(contradicts()) }
}

/// The run that a number is in.
pub(super) fn run_with(runs: &[Run], number: u32) -> usize {
    runs.partition_point(|run| run.first <= number).saturating_sub(1)
}

/// Decodes a block: `visit` is given the rows of each code that is `wanted`, in their order.
pub(super) fn visit(
    bytes: &[u8],
    run: &Run,
    rows: u32,
    wanted: impl Fn(u32) -> bool,
    mut visit: impl FnMut(u32, Posting) -> Result<()>,
) -> Result<()> {
    let mut bytes = Bytes(bytes);
    for at in 0..run.count {
        let code = run.first.saturating_add(at);
        if wanted(code) {
            visit(code, Posting::take(&mut bytes, rows)?)?;
        } else {
            Posting::pass(&mut bytes)?;
        }
    }
    bytes.end()
}
