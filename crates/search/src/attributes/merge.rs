//! Several files become one: the live rows of the first, then those of the second, and so on.
//!
//! What comes out is, byte by byte, what [`super::Writer`] would write of these rows. Values are merged in their
//! order as they are read; in memory are a block or two of each input, four bytes for each of its rows, and,
//! of one attribute at a time, four bytes for each of its values.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::VecDeque;
use std::io::Write;

use roaring::RoaringBitmap;

use super::column::{ColumnReader, RowSymbols, TRIP_BLOCKS};
use super::dictionary::Block;
use super::error::{AttributesError, Result, damaged};
use super::layout::{Entry, FileWriter, Slot, Written};
use super::postings::{Posting, visit};
use super::read::Reader;
use super::write::{AttributeWriter, Shape, shapes};
use crate::schema::Schema;

/// A file to merge.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// It.
    pub reader: &'a Reader,
    /// The rows that go on living.
    pub live: &'a RoaringBitmap,
}

/// An input, and what becomes of its rows.
struct Source<'a> {
    reader: &'a Reader,
    live: &'a RoaringBitmap,
    /// For each row its number in the merged file, or [`DEAD`].
    rows: Vec<u32>,
}

/// What is no row.
const DEAD: u32 = u32::MAX;

/// Merges files under the schema of today: attributes that it no longer has, or that are no longer
/// filterable, are left out.
///
/// # Errors
/// [`AttributesError::Full`] when there are too many rows; [`AttributesError::Damaged`] when an input is, when
/// an attribute has another type in it, and when two live rows have one id or one LSN; as for every read and
/// write.
pub fn merge(
    schema: &Schema,
    inputs: &[Input<'_>],
    identity: &[u8; 16],
    out: &mut dyn Write,
) -> Result<Written> {
    let mut total = 0_u32;
    let mut sources = Vec::with_capacity(inputs.len());
    for Input { reader, live } in inputs {
        let mut rows = vec![DEAD; reader.rows() as usize];
        for row in live.range(..reader.rows()) {
            rows[row as usize] = total;
            total += 1;
            if total == DEAD {
                return Err(AttributesError::Full { what: "there are 2^32 - 2 rows" });
            }
        }
        sources.push(Source { reader, live, rows });
    }
    let mut file = FileWriter::begin(identity, out)?;
    let mut entries = Vec::new();
    for shape in shapes(schema) {
        let entry = merge_attribute(&mut file, shape, &sources, total)?;
        if matches!(shape.slot, Slot::ID | Slot::LSN) && entry.distinct != total {
            return Err(damaged("two live rows have one id or one LSN"));
        }
        entries.push(entry);
    }
    file.end(total, &entries)
}

fn merge_attribute(
    file: &mut FileWriter<'_>,
    shape: Shape,
    sources: &[Source<'_>],
    total: u32,
) -> Result<Entry> {
    let columns = sources
        .iter()
        .map(|source| source.reader.slot(shape.slot))
        .collect::<Result<Vec<Option<ColumnReader<'_>>>>>()?;
    let is_alike = |column: &ColumnReader<'_>| {
        (column.entry.kind, column.entry.is_array) == (shape.kind, shape.is_array)
    };
    if !columns.iter().flatten().all(is_alike) {
        return Err(damaged("an attribute has another type"));
    }
    let mut writer = AttributeWriter::new(shape, total);
    let symbols = merge_values(file, &mut writer, sources, &columns)?;
    writer.begin_rows(file)?;
    for ((source, column), symbols) in sources.iter().zip(&columns).zip(&symbols) {
        merge_rows(file, &mut writer, source, column.as_ref(), symbols)?;
    }
    writer.finish(file)
}

/// Writes the values of all columns: for each of these the new symbols of its codes, 0 of those without a
/// live row.
fn merge_values(
    file: &mut FileWriter<'_>,
    writer: &mut AttributeWriter,
    sources: &[Source<'_>],
    columns: &[Option<ColumnReader<'_>>],
) -> Result<Vec<Vec<u32>>> {
    let mut streams: Vec<Values<'_>> =
        columns.iter().flatten().map(|column| Values::new(*column)).collect();
    let of_stream: Vec<usize> =
        (0..columns.len()).filter(|input| columns[*input].is_some()).collect();
    let mut symbols: Vec<Vec<u32>> = columns
        .iter()
        .map(|column| vec![0; column.map_or(0, |column| column.entry.distinct as usize)])
        .collect();
    let mut heap = BinaryHeap::new();
    for (stream, values) in streams.iter_mut().enumerate() {
        if let Some(key) = values.next_key()? {
            heap.push(Reverse((key, stream)));
        }
    }
    let (mut rows, mut next_symbol) = (Vec::new(), 1_u32);
    while let Some(Reverse((key, stream))) = heap.pop() {
        let mut same = vec![stream];
        while let Some(Reverse((other, _))) = heap.peek()
            && *other == key
            && let Some(Reverse((_, stream))) = heap.pop()
        {
            same.push(stream);
        }
        rows.clear();
        for stream in &same {
            let (code, posting) = streams[*stream].take()?;
            let (first, input) = (rows.len(), of_stream[*stream]);
            posting.append_to(&mut rows);
            let new_rows = &sources[input].rows;
            rows[first..].iter_mut().for_each(|row| *row = new_rows[*row as usize]);
            symbols[input][code as usize] = next_symbol;
        }
        rows.retain(|row| *row != DEAD);
        if rows.is_empty() {
            for stream in &same {
                let input = of_stream[*stream];
                let code = streams[*stream].taken();
                symbols[input][code as usize] = 0;
            }
        } else {
            writer.value(file, &key, &Posting::of(&rows))?;
            next_symbol = next_symbol
                .checked_add(1)
                .ok_or(AttributesError::Full { what: "an attribute has 2^32 values" })?;
        }
        for stream in same {
            if let Some(key) = streams[stream].next_key()? {
                heap.push(Reverse((key, stream)));
            }
        }
    }
    Ok(symbols)
}

/// Writes the live rows of one input.
fn merge_rows(
    file: &mut FileWriter<'_>,
    writer: &mut AttributeWriter,
    source: &Source<'_>,
    column: Option<&ColumnReader<'_>>,
    symbols: &[u32],
) -> Result<()> {
    let missing: &[u32] = if writer.is_array() { &[] } else { &[0] };
    let Some(column) = column else {
        let live = source.live.range_cardinality(..source.reader.rows());
        return (0..live).try_for_each(|_| writer.row(file, missing));
    };
    let mut of_row = Vec::new();
    column.each(Some(source.live), |_, row: RowSymbols<'_>| {
        of_row.clear();
        for symbol in row.each() {
            let symbol = symbols.get(symbol as usize - 1).filter(|symbol| **symbol != 0);
            of_row.push(*symbol.ok_or(damaged("a row has a value that does not exist"))?);
        }
        writer.row(file, if of_row.is_empty() { missing } else { &of_row })
    })
}

/// The values of a column in their order, each with its rows.
struct Values<'a> {
    column: ColumnReader<'a>,
    next_block: usize,
    blocks: VecDeque<Block>,
    /// The next value in the first block.
    at: usize,
    /// The next code.
    code: u32,
    next_postings: usize,
    postings: VecDeque<Posting>,
}

impl<'a> Values<'a> {
    fn new(column: ColumnReader<'a>) -> Self {
        Self {
            column,
            next_block: 0,
            blocks: VecDeque::new(),
            at: 0,
            code: 0,
            next_postings: 0,
            postings: VecDeque::new(),
        }
    }

    /// The key of the next value; none when there is none.
    fn next_key(&mut self) -> Result<Option<Vec<u8>>> {
        if self.blocks.front().is_some_and(|block| self.at >= block.len()) {
            self.blocks.pop_front();
            self.at = 0;
        }
        if self.blocks.is_empty() {
            let all = self.column.index.dictionary.blocks.len();
            let trip: Vec<usize> = (self.next_block..all).take(TRIP_BLOCKS).collect();
            self.next_block += trip.len();
            self.blocks = self.column.dictionary_blocks(&trip)?.into();
        }
        Ok(self.blocks.front().map(|block| block.key(self.at).to_vec()))
    }

    /// Takes the next value: its code and its rows.
    fn take(&mut self) -> Result<(u32, Posting)> {
        let code = self.code;
        self.code += 1;
        self.at += 1;
        if self.column.entry.is_ordinal {
            return Ok((code, Posting::Few(vec![code])));
        }
        if self.postings.is_empty() {
            let rows = self.column.reader.rows();
            for (run, bytes) in self.column.posting_blocks(&[self.next_postings])? {
                visit(
                    &bytes,
                    &run,
                    rows,
                    |_| true,
                    |_, posting| {
                        self.postings.push_back(posting);
                        Ok(())
                    },
                )?;
            }
            self.next_postings += 1;
        }
        let posting = self.postings.pop_front().ok_or(damaged("a value has no rows"))?;
        Ok((code, posting))
    }

    /// The code that was taken last.
    const fn taken(&self) -> u32 {
        self.code - 1
    }
}
