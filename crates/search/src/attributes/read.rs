//! Opens a file and reads blocks of it, each checked before it is used.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use std::sync::{Arc, OnceLock};

use roaring::RoaringBitmap;

use super::bytes::Bytes;
use super::column::{ColumnReader, TRIP_BLOCKS};
use super::dictionary::{Block, DictionaryIndex};
use super::error::{AttributesError, Result, damaged};
use super::ids::Ids;
use super::layout::{
    Entry, Extent, HEADER_BYTES, Name, Part, Slot, TRAILER_BYTES, Trailer, Written, check_header,
    unseal,
};
use super::postings::{Run, take_runs};
use super::symbols::SymbolBlock;
use crate::schema::FieldNo;
use crate::vector::ReadRanges;

/// A file that is open: its directory is in memory, the index of an attribute from its first use on, and
/// everything else is read when it is needed.
#[derive(Debug)]
pub struct Reader {
    source: Arc<dyn ReadRanges>,
    identity: [u8; 16],
    rows: u32,
    /// Where blocks end.
    end: u64,
    attributes: Vec<Opened>,
}

/// An attribute of a file.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) entry: Entry,
    index: OnceLock<Index>,
}

/// Where the blocks of an attribute are.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) dictionary: DictionaryIndex,
    pub(super) postings: Vec<Run>,
    pub(super) symbols: Vec<Run>,
    /// The rows that have a value; none when all have.
    pub(super) present: Option<RoaringBitmap>,
}

impl Reader {
    /// Opens the file of this identity. One round trip, when `written` is what writing it said.
    ///
    /// # Errors
    /// [`AttributesError::Damaged`] when what is read is not what was written, [`AttributesError::Read`] when
    /// it cannot be read.
    pub fn open(
        source: Arc<dyn ReadRanges>,
        identity: &[u8; 16],
        written: Written,
    ) -> Result<Self> {
        let len = written.len;
        let least = HEADER_BYTES.saturating_add(TRAILER_BYTES);
        if len < least {
            return Err(damaged("it is too short"));
        }
        let most = len.saturating_sub(HEADER_BYTES);
        let tail = len.saturating_sub(written.tail_bytes.clamp(TRAILER_BYTES, most));
        let mut parts = read(source.as_ref(), &[0..HEADER_BYTES, tail..len])?.into_iter();
        let (header, mut tail_bytes) =
            (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        check_header(identity, header)?;
        let trailer_at = tail_bytes
            .len()
            .checked_sub(usize::try_from(TRAILER_BYTES).unwrap_or(usize::MAX))
            .ok_or(damaged("it is too short"))?;
        let trailer = Trailer::decode(identity, tail_bytes.split_off(trailer_at), len)?;
        let directory = if trailer.directory.at >= tail {
            let skip = usize::try_from(trailer.directory.at.saturating_sub(tail));
            tail_bytes.split_off(skip.unwrap_or(usize::MAX).min(tail_bytes.len()))
        } else {
            read(source.as_ref(), std::slice::from_ref(&trailer.directory.range()))?.concat()
        };
        let entries = trailer.entries(identity, directory)?;
        let attributes =
            entries.into_iter().map(|entry| Opened { entry, index: OnceLock::new() }).collect();
        Ok(Self {
            source,
            identity: *identity,
            rows: trailer.rows,
            end: trailer.directory.at,
            attributes,
        })
    }

    /// How many rows there are.
    #[must_use]
    pub const fn rows(&self) -> u32 {
        self.rows
    }

    /// The attributes that it has, in the order of their numbers.
    pub fn fields(&self) -> impl Iterator<Item = FieldNo> + '_ {
        self.attributes.iter().filter_map(|opened| opened.entry.slot.field())
    }

    /// The values of an attribute; none when the file was written without it, and every value is missing.
    ///
    /// # Errors
    /// As for every read: [`AttributesError::Damaged`] and [`AttributesError::Read`].
    pub fn column(&self, field: FieldNo) -> Result<Option<ColumnReader<'_>>> {
        self.slot(Slot::of(field))
    }

    /// The ids and LSNs of rows.
    ///
    /// # Errors
    /// As for every read: [`AttributesError::Damaged`] and [`AttributesError::Read`].
    pub fn ids(&self) -> Result<Ids<'_>> {
        let missing = || damaged("there are no ids");
        let ids = self.slot(Slot::ID)?.ok_or_else(missing)?;
        let lsns = self.slot(Slot::LSN)?.ok_or_else(missing)?;
        Ok(Ids { ids, lsns })
    }

    /// Reads all of the file, a few blocks at a time, and compares every block with its checksum.
    ///
    /// # Errors
    /// As for every read: [`AttributesError::Damaged`] and [`AttributesError::Read`].
    pub fn verify(&self) -> Result<()> {
        for opened in &self.attributes {
            let Some(column) = self.slot(opened.entry.slot)? else { continue };
            let index = column.index;
            in_trips(index.dictionary.blocks.len(), |trip| {
                column.dictionary_blocks(trip).map(|_| ())
            })?;
            in_trips(index.postings.len(), |trip| column.posting_blocks(trip).map(|_| ()))?;
            in_trips(index.symbols.len(), |trip| column.symbol_blocks(trip).map(|_| ()))?;
        }
        Ok(())
    }

    pub(super) fn slot(&self, slot: Slot) -> Result<Option<ColumnReader<'_>>> {
        let at = self.attributes.binary_search_by_key(&slot, |opened| opened.entry.slot);
        let Some(opened) = at.ok().and_then(|at| self.attributes.get(at)) else { return Ok(None) };
        let index = match opened.index.get() {
            Some(index) => index,
            None => {
                let index = self.read_index(&opened.entry)?;
                opened.index.get_or_init(|| index)
            }
        };
        Ok(Some(ColumnReader { reader: self, entry: &opened.entry, index }))
    }

    fn read_index(&self, entry: &Entry) -> Result<Index> {
        let mut wanted = vec![(Name(Part::Index, entry.slot, 0), entry.index)];
        if entry.present_rows != Extent::default() {
            wanted.push((Name(Part::Present, entry.slot, 0), entry.present_rows));
        }
        let mut parts = self.blocks(&wanted)?.into_iter();
        let index = parts.next().unwrap_or_default();
        let mut bytes = Bytes(&index);
        let dictionary = DictionaryIndex::take(&mut bytes, entry.distinct, entry.pairs, self.end)?;
        let (values, rows) = if entry.is_ordinal { (0, 0) } else { (entry.distinct, self.rows) };
        let postings = take_runs(&mut bytes, values, self.end)?;
        let symbols = take_runs(&mut bytes, rows, self.end)?;
        bytes.end()?;
        let present = parts.next().map(|bytes| self.decode_present(entry, &bytes)).transpose()?;
        Ok(Index { dictionary, postings, symbols, present })
    }

    fn decode_present(&self, entry: &Entry, bytes: &[u8]) -> Result<RoaringBitmap> {
        let malformed = || damaged("the rows that have a value are malformed");
        let rows = RoaringBitmap::deserialize_from(bytes).map_err(|_| malformed())?;
        let fits = rows.len() == u64::from(entry.present)
            && rows.max().is_none_or(|last| last < self.rows);
        if fits { Ok(rows) } else { Err(malformed()) }
    }

    /// Blocks, in one round trip, without their checksums, which are checked.
    fn blocks(&self, wanted: &[(Name, Extent)]) -> Result<Vec<Vec<u8>>> {
        let ranges: Vec<_> = wanted.iter().map(|(_, extent)| extent.range()).collect();
        let mut blocks = read(self.source.as_ref(), &ranges)?;
        for ((name, _), block) in wanted.iter().zip(&mut blocks) {
            unseal(&self.identity, *name, block)?;
        }
        Ok(blocks)
    }

    /// Blocks of one part of an attribute by their numbers.
    fn numbered(
        &self,
        part: Part,
        slot: Slot,
        blocks: &[usize],
        extent: impl Fn(usize) -> Option<Extent>,
    ) -> Result<Vec<Vec<u8>>> {
        let wanted = blocks.iter().map(|block| {
            let number = u32::try_from(*block).ok();
            number
                .zip(extent(*block))
                .map(|(number, extent)| (Name(part, slot, number), extent))
                .ok_or(damaged("there is no such block"))
        });
        self.blocks(&wanted.collect::<Result<Vec<_>>>()?)
    }
}

impl ColumnReader<'_> {
    /// Blocks of the dictionary, in one round trip.
    pub(super) fn dictionary_blocks(&self, blocks: &[usize]) -> Result<Vec<Block>> {
        let index = &self.index.dictionary.blocks;
        let extent = |block: usize| index.get(block).map(|entry| entry.extent);
        let bytes = self.reader.numbered(Part::Dictionary, self.entry.slot, blocks, extent)?;
        let decode = |(block, bytes): (&usize, Vec<u8>)| {
            let entry = index.get(*block).ok_or(damaged("there is no such block"))?;
            Block::decode(&bytes, entry)
        };
        blocks.iter().zip(bytes).map(decode).collect()
    }

    /// Blocks of postings, in one round trip, still encoded.
    pub(super) fn posting_blocks(&self, blocks: &[usize]) -> Result<Vec<(Run, Vec<u8>)>> {
        self.runs(Part::Postings, &self.index.postings, blocks)
    }

    /// Blocks of symbols, in one round trip.
    pub(super) fn symbol_blocks(&self, blocks: &[usize]) -> Result<Vec<SymbolBlock>> {
        let runs = self.runs(Part::Symbols, &self.index.symbols, blocks)?;
        let is_array = self.entry.is_array;
        runs.iter().map(|(run, bytes)| SymbolBlock::decode(bytes, run, is_array)).collect()
    }

    fn runs(&self, part: Part, runs: &[Run], blocks: &[usize]) -> Result<Vec<(Run, Vec<u8>)>> {
        let extent = |block: usize| runs.get(block).map(|run| run.extent);
        let bytes = self.reader.numbered(part, self.entry.slot, blocks, extent)?;
        let of = blocks.iter().filter_map(|block| runs.get(*block).copied());
        Ok(of.zip(bytes).collect())
    }
}

/// Hands over the numbers of so many blocks, as many at a time as are read in one round trip.
fn in_trips(blocks: usize, mut visit: impl FnMut(&[usize]) -> Result<()>) -> Result<()> {
    let numbers: Vec<usize> = (0..blocks).collect();
    numbers.chunks(TRIP_BLOCKS).try_for_each(&mut visit)
}

/// Reads ranges and checks that all of them came in full.
fn read(source: &dyn ReadRanges, ranges: &[std::ops::Range<u64>]) -> Result<Vec<Vec<u8>>> {
    let parts = source.read(ranges).map_err(|error| AttributesError::Read(Arc::new(error)))?;
    let fits = parts.len() == ranges.len()
        && parts
            .iter()
            .zip(ranges)
            .all(|(part, range)| part.len() as u64 == range.end.saturating_sub(range.start));
    if fits { Ok(parts) } else { Err(damaged("a range was not read in full")) }
}
