//! The values of one attribute: which values there are, which rows have them, what each row has.

use std::ops::Range;

use roaring::RoaringBitmap;

use super::dictionary::Block;
use super::error::{Result, damaged};
use super::key;
use super::layout::Entry;
use super::postings::run_with;
use super::read::{Index, Reader};
use super::symbols::SymbolBlock;
use crate::value::Value;

/// Blocks that are read in one round trip.
pub(super) const TRIP_BLOCKS: usize = 64;
/// Rows whose symbols are held at a time.
const WINDOW_ROWS: usize = 64 * 1024;

/// The values of an attribute in one file.
#[derive(Debug, Clone, Copy)]
pub struct ColumnReader<'a> {
    pub(super) reader: &'a Reader,
    pub(super) entry: &'a Entry,
    pub(super) index: &'a Index,
}

/// Numbers about the values of an attribute, of all rows, dead or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// Different values; of arrays different elements.
    pub distinct: u32,
    /// Rows that have a value.
    pub present: u32,
    /// Pairs of a value and a row that has it.
    pub pairs: u64,
}

/// What a row has.
#[derive(Debug, Clone, Copy)]
pub(super) enum RowSymbols<'b> {
    /// The value whose code is its number.
    Ordinal(u32),
    /// What stands at a place of a block.
    Block(&'b SymbolBlock, u32),
}

impl<'b> RowSymbols<'b> {
    /// The one symbol of a row that is no array.
    #[inline]
    pub(super) fn one(self) -> u32 {
        match self {
            Self::Ordinal(row) => row + 1,
            Self::Block(block, at) => block.one(at),
        }
    }

    /// The symbols of the elements; of what is no array the one, if it is not missing.
    pub(super) fn each(self) -> impl Iterator<Item = u32> + 'b {
        let (own, block) = match self {
            Self::Ordinal(row) => (Some(row + 1), None),
            Self::Block(block, at) => (None, Some(block.each(at))),
        };
        own.into_iter().chain(block.into_iter().flatten())
    }
}

impl<'a> ColumnReader<'a> {
    /// Numbers about it.
    #[must_use]
    pub const fn statistics(&self) -> Statistics {
        let Entry { distinct, present, pairs, .. } = *self.entry;
        Statistics { distinct, present, pairs }
    }

    /// Whether its values are arrays.
    #[must_use]
    pub const fn is_array(&self) -> bool {
        self.entry.is_array
    }

    /// The least and the greatest value, of arrays the elements; none when there is none.
    ///
    /// # Errors
    /// As for every read.
    pub fn extremes(&self) -> Result<Option<(Value, Value)>> {
        let Some(last) = self.entry.distinct.checked_sub(1) else { return Ok(None) };
        let values = self.values_of(&if last == 0 { vec![0] } else { vec![0, last] })?;
        let (least, greatest) = (values.first().cloned(), values.last().cloned());
        Ok(least.zip(greatest))
    }

    /// The rows that have a value.
    #[must_use]
    pub fn present(&self) -> RoaringBitmap {
        match &self.index.present {
            Some(rows) => rows.clone(),
            None => self.reader.all(),
        }
    }

    /// The values of rows, in whatever order these are given.
    ///
    /// # Errors
    /// As for every read.
    pub fn values(&self, rows: &[u32]) -> Result<Vec<Option<Value>>> {
        let wanted: RoaringBitmap = rows.iter().copied().collect();
        let (mut sorted, mut ends, mut symbols) = (Vec::new(), Vec::new(), Vec::new());
        self.each(Some(&wanted), |row, of_row| {
            sorted.push(row);
            symbols.extend(of_row.each());
            ends.push(symbols.len());
            Ok(())
        })?;
        let lookup = self.lookup(&symbols)?;
        let value = |row: &u32| {
            let at = sorted.binary_search(row).ok()?;
            let start = at.checked_sub(1).map_or(0, |before| ends[before]);
            let mut elements =
                symbols[start..ends[at]].iter().map(|symbol| lookup.value(*symbol)).peekable();
            elements.peek()?;
            if self.entry.is_array {
                return Some(Value::Array(elements.flatten().cloned().collect()));
            }
            elements.next().flatten().cloned()
        };
        Ok(rows.iter().map(value).collect())
    }

    /// The values of these symbols.
    pub(super) fn lookup(&self, symbols: &[u32]) -> Result<Lookup> {
        let mut codes: Vec<u32> =
            symbols.iter().filter_map(|symbol| symbol.checked_sub(1)).collect();
        codes.sort_unstable();
        codes.dedup();
        let values = self.values_of(&codes)?;
        Ok(Lookup { codes: Some(codes), values })
    }

    /// The values that `rows` may have: all there are, or, when these are many more, those of the rows.
    pub(super) fn lookup_rows(&self, rows: &RoaringBitmap) -> Result<Lookup> {
        if u64::from(self.entry.distinct) > rows.len().saturating_mul(4) {
            let codes: Vec<u32> = self.histogram(rows)?.into_iter().map(|(code, _)| code).collect();
            let values = self.values_of(&codes)?;
            return Ok(Lookup { codes: Some(codes), values });
        }
        let mut values = Vec::with_capacity(self.entry.distinct as usize);
        self.scan(|block| {
            (0..block.len()).try_for_each(|at| {
                values.push(key::decode(block.key(at))?);
                Ok(())
            })
        })?;
        Ok(Lookup { codes: None, values })
    }

    /// The values of codes that ascend.
    pub(super) fn values_of(&self, codes: &[u32]) -> Result<Vec<Value>> {
        if codes.last().is_some_and(|last| *last >= self.entry.distinct) {
            return Err(damaged("a row has a value that does not exist"));
        }
        let mut values = Vec::with_capacity(codes.len());
        let mut blocks: Vec<usize> =
            codes.iter().map(|code| self.index.dictionary.block_with(*code)).collect();
        blocks.dedup();
        let mut rest = codes;
        for trip in blocks.chunks(TRIP_BLOCKS) {
            for block in self.dictionary_blocks(trip)? {
                let end = u64::from(block.first) + block.len() as u64;
                let (of_block, after) =
                    rest.split_at(rest.partition_point(|code| u64::from(*code) < end));
                for code in of_block {
                    values.push(key::decode(block.key((code - block.first) as usize))?);
                }
                rest = after;
            }
        }
        Ok(values)
    }

    /// Every block of the dictionary, in order.
    pub(super) fn scan(&self, visit: impl FnMut(&Block) -> Result<()>) -> Result<()> {
        self.scan_blocks(0..self.index.dictionary.blocks.len(), visit)
    }

    pub(super) fn scan_blocks(
        &self,
        blocks: Range<usize>,
        mut visit: impl FnMut(&Block) -> Result<()>,
    ) -> Result<()> {
        let blocks: Vec<usize> = blocks.collect();
        for trip in blocks.chunks(TRIP_BLOCKS) {
            self.dictionary_blocks(trip)?.iter().try_for_each(&mut visit)?;
        }
        Ok(())
    }

    /// The symbol of each of some rows that ascend, of an attribute with one value.
    pub(super) fn symbols(&self, rows: &[u32]) -> Result<Vec<u32>> {
        if self.entry.is_ordinal {
            return Ok(rows.iter().map(|row| row + 1).collect());
        }
        let mut symbols = Vec::with_capacity(rows.len());
        let runs = &self.index.symbols;
        let mut rest = rows;
        while !rest.is_empty() {
            let (mut trip, mut of_blocks) = (Vec::new(), Vec::new());
            while let Some(row) = rest.first().filter(|_| trip.len() < TRIP_BLOCKS) {
                let block = run_with(runs, *row);
                let end = runs.get(block).map_or(0, |run| run.first + run.count);
                let (of_block, after) = rest.split_at(rest.partition_point(|row| *row < end));
                if of_block.is_empty() {
                    return Err(damaged("there is no such row"));
                }
                trip.push(block);
                of_blocks.push(of_block);
                rest = after;
            }
            for (block, rows) in self.symbol_blocks(&trip)?.iter().zip(of_blocks) {
                symbols.extend(rows.iter().map(|row| block.one(row - block.first)));
            }
        }
        Ok(symbols)
    }

    /// In how many of `rows` each code is that is in any, in the order of codes.
    pub(super) fn histogram(&self, rows: &RoaringBitmap) -> Result<Vec<(u32, u64)>> {
        let mut of_row: Vec<u32> = Vec::new();
        let mut each_code = |count: &mut dyn FnMut(u32)| {
            self.each(Some(rows), |_, symbols| {
                if !self.entry.is_array {
                    if let Some(code) = symbols.one().checked_sub(1) {
                        count(code);
                    }
                    return Ok(());
                }
                of_row.clear();
                of_row.extend(symbols.each().map(|symbol| symbol - 1));
                of_row.sort_unstable();
                of_row.dedup();
                of_row.iter().for_each(|code| count(*code));
                Ok(())
            })
        };
        if u64::from(self.entry.distinct) <= rows.len().saturating_mul(4) {
            let mut counts = vec![0_u64; self.entry.distinct as usize];
            let mut is_sound = true;
            each_code(&mut |code| match counts.get_mut(code as usize) {
                Some(count) => *count += 1,
                None => is_sound = false,
            })?;
            if !is_sound {
                return Err(damaged("a row has a value that does not exist"));
            }
            return Ok((0..).zip(counts).filter(|(_, count)| *count > 0).collect());
        }
        let mut codes = Vec::new();
        each_code(&mut |code| codes.push(code))?;
        codes.sort_unstable();
        let runs = codes.chunk_by(|a, b| a == b);
        Ok(runs.map(|run| (run[0], run.len() as u64)).collect())
    }

    /// What each row has, in the order of rows; only of `rows`, if some are given.
    pub(super) fn each(
        &self,
        rows: Option<&RoaringBitmap>,
        mut visit: impl FnMut(u32, RowSymbols<'_>) -> Result<()>,
    ) -> Result<()> {
        let all = self.reader.rows();
        if self.entry.is_ordinal {
            return match rows {
                None => (0..all).try_for_each(|row| visit(row, RowSymbols::Ordinal(row))),
                Some(rows) => {
                    rows.range(..all).try_for_each(|row| visit(row, RowSymbols::Ordinal(row)))
                }
            };
        }
        let runs = &self.index.symbols;
        let is_wanted = |at: &usize| {
            let (first, count) = (runs[*at].first, runs[*at].count);
            rows.is_none_or(|rows| rows.range(first..first + count).next().is_some())
        };
        let blocks: Vec<usize> = (0..runs.len()).filter(is_wanted).collect();
        for trip in blocks.chunks(TRIP_BLOCKS) {
            for block in &self.symbol_blocks(trip)? {
                let SymbolBlock { first, count, .. } = *block;
                let mut give = |row: u32| visit(row, RowSymbols::Block(block, row - first));
                match rows {
                    None => (first..first + count).try_for_each(&mut give)?,
                    Some(rows) => rows.range(first..first + count).try_for_each(&mut give)?,
                }
            }
        }
        Ok(())
    }
}

/// Gives rows in their order, some at a time.
pub(super) fn windows(
    rows: &RoaringBitmap,
    mut give: impl FnMut(&[u32]) -> Result<()>,
) -> Result<()> {
    let mut window = Vec::with_capacity(WINDOW_ROWS);
    let mut rest = rows.iter();
    loop {
        // One by one: `next_many` of roaring 0.12 overflows where all of 65,536 numbers are there.
        window.clear();
        window.extend(rest.by_ref().take(WINDOW_ROWS));
        if window.is_empty() {
            return Ok(());
        }
        give(&window)?;
    }
}

/// The values of some symbols.
#[derive(Debug)]
pub(super) struct Lookup {
    /// Of which codes; none when of all.
    codes: Option<Vec<u32>>,
    values: Vec<Value>,
}

impl Lookup {
    /// The value of a symbol; none of 0.
    pub(super) fn value(&self, symbol: u32) -> Option<&Value> {
        let code = symbol.checked_sub(1)?;
        let at = match &self.codes {
            Some(codes) => codes.binary_search(&code).ok()?,
            None => code as usize,
        };
        self.values.get(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_give_every_row_once_and_in_order_however_many_there_are_on_end() {
        let mut gaps: RoaringBitmap = (0..100_000).step_by(3).collect();
        gaps.insert_range(131_072..262_144);
        let full = RoaringBitmap::from_sorted_iter(0..200_000).expect("they are sorted");
        let mut runs = full.clone();
        runs.optimize();
        for rows in [RoaringBitmap::new(), gaps, full, runs] {
            let mut seen = Vec::new();
            let give = |window: &[u32]| {
                assert!(!window.is_empty() && window.len() <= WINDOW_ROWS);
                seen.extend_from_slice(window);
                Ok(())
            };
            windows(&rows, give).expect("nothing fails");
            assert!(rows.iter().eq(seen.iter().copied()));
            assert_eq!(seen.len() as u64, rows.len());
        }
    }
}
