//! What each row has, in the order of rows, in blocks.
//!
//! A *symbol* is one more than the code of a value, and 0 where a value is missing. Of an attribute with one
//! value each row has a symbol; of one with arrays each row has those of its elements in their order, none
//! when the array is missing.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use super::bytes::{Bytes, put_varint};
use super::error::{AttributesError, Result, damaged};
use super::layout::{FileWriter, Name, Part, Slot};
use super::packed::{Packed, pack};
use super::postings::Run;

/// Most rows of a block.
pub(super) const BLOCK_ROWS: u32 = 16 * 1024;
/// A block of arrays is ended at so many elements.
const BLOCK_ELEMENTS: usize = 64 * 1024;
/// Most elements of a block: one row may have many more than a block is ended at.
const ELEMENTS_MAX: u32 = 1 << 26;

/// Writes the symbols of rows as they come.
#[derive(Debug)]
pub(super) struct SymbolsWriter {
    is_array: bool,
    /// Where the elements of each row end, in a block of arrays.
    ends: Vec<u32>,
    symbols: Vec<u32>,
    rows: u32,
    blocks: u32,
    index: Vec<u8>,
}

impl SymbolsWriter {
    pub(super) const fn new(is_array: bool) -> Self {
        Self {
            is_array,
            ends: Vec::new(),
            symbols: Vec::new(),
            rows: 0,
            blocks: 0,
            index: Vec::new(),
        }
    }

    /// Adds a row.
    pub(super) fn push(
        &mut self,
        file: &mut FileWriter<'_>,
        slot: Slot,
        symbols: &[u32],
    ) -> Result<()> {
        self.symbols.extend_from_slice(symbols);
        if self.is_array {
            let end = u32::try_from(self.symbols.len()).ok().filter(|end| *end <= ELEMENTS_MAX);
            let full = AttributesError::Full { what: "an array has 2^26 elements" };
            self.ends.push(end.ok_or(full)?);
        } else {
            assert!(symbols.len() == 1, "one symbol for one value");
        }
        self.rows = self.rows.saturating_add(1);
        if self.rows >= BLOCK_ROWS || self.symbols.len() >= BLOCK_ELEMENTS {
            self.flush(file, slot)?;
        }
        Ok(())
    }

    fn flush(&mut self, file: &mut FileWriter<'_>, slot: Slot) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut block = Vec::new();
        if self.is_array {
            pack(&self.ends, &mut block);
        }
        pack(&self.symbols, &mut block);
        let extent = file.block(Name(Part::Symbols, slot, self.blocks), &block)?;
        for number in [self.rows.into(), extent.at, extent.len.into()] {
            put_varint(&mut self.index, number);
        }
        self.blocks = self.blocks.saturating_add(1);
        self.ends.clear();
        self.symbols.clear();
        self.rows = 0;
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

/// A block that was read.
#[derive(Debug)]
pub(super) struct SymbolBlock {
    /// Its first row.
    pub(super) first: u32,
    /// How many rows it has.
    pub(super) count: u32,
    ends: Option<Packed>,
    symbols: Packed,
}

impl SymbolBlock {
    /// Decodes the block of a run.
    pub(super) fn decode(bytes: &[u8], run: &Run, is_array: bool) -> Result<Self> {
        let mut bytes = Bytes(bytes);
        if run.count > BLOCK_ROWS {
            return Err(damaged("a block has too many rows"));
        }
        let rows = run.count as usize;
        let (mut ends, mut elements) = (None, rows);
        if is_array {
            let packed = Packed::take(&mut bytes, rows)?;
            let ascends = (1..rows).all(|at| packed.get(at.saturating_sub(1)) <= packed.get(at));
            if !ascends {
                return Err(damaged("arrays end before they begin"));
            }
            let last = packed.get(rows.saturating_sub(1));
            if last > ELEMENTS_MAX {
                return Err(damaged("a block has too many elements"));
            }
            elements = last as usize;
            ends = Some(packed);
        }
        let symbols = Packed::take(&mut bytes, elements)?;
        bytes.end()?;
        Ok(Self { first: run.first, count: run.count, ends, symbols })
    }

    /// The symbol of a row of the block, counted from its first, of an attribute with one value.
    #[inline]
    pub(super) fn one(&self, at: u32) -> u32 {
        self.symbols.get(at as usize)
    }

    /// The symbols of a row of the block, counted from its first.
    pub(super) fn each(&self, at: u32) -> impl Iterator<Item = u32> + '_ {
        let at = at as usize;
        let range = match &self.ends {
            None => at..at.saturating_add(1).min(self.symbols.len()),
            Some(ends) => {
                let start = at.checked_sub(1).map_or(0, |before| ends.get(before));
                start as usize..ends.get(at) as usize
            }
        };
        range.map(|at| self.symbols.get(at)).filter(|symbol| *symbol != 0)
    }
}
