//! Writes a file: one attribute after the other, of each first the values and then the rows.
//!
//! [`AttributeWriter`] writes one attribute from a stream of values in their order and a stream of rows, and
//! holds no more than a block of each; [`super::merge()`] feeds it from other files. [`Writer`] is fed with rows,
//! whose values it holds until the end: it is for what a memtable has, which is bounded.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use base::words::Lsn;
use roaring::RoaringBitmap;

use super::bytes::put_varint;
use super::dictionary::DictionaryWriter;
use super::error::{AttributesError, Result, damaged};
use super::key;
use super::layout::{Entry, Extent, FileWriter, Kind, Name, Part, Slot, Written};
use super::postings::{Posting, PostingsWriter};
use super::symbols::SymbolsWriter;
use crate::schema::{Row, Schema};
use crate::value::{Scalar, Value};

/// What an attribute is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) slot: Slot,
    pub(super) kind: Kind,
    pub(super) is_array: bool,
}

impl Shape {
    pub(super) const ID: Self = Self { slot: Slot::ID, kind: Kind::Mixed, is_array: false };
    pub(super) const LSN: Self =
        Self { slot: Slot::LSN, kind: Kind::Scalar(Scalar::Uint), is_array: false };
}

/// What a file of this schema has: the filterable attributes, ids and LSNs, in the order of slots.
pub(super) fn shapes(schema: &Schema) -> Vec<Shape> {
    let attributes = schema.fields().filter_map(|(_, field)| {
        let attribute = field.kind.attribute().filter(|attribute| attribute.filterable)?;
        let value_type = attribute.value_type;
        Some(Shape {
            slot: Slot::of(field.number),
            kind: Kind::Scalar(value_type.scalar),
            is_array: value_type.is_array,
        })
    });
    let mut shapes: Vec<Shape> = attributes.chain([Shape::ID, Shape::LSN]).collect();
    shapes.sort_unstable_by_key(|shape| shape.slot);
    shapes
}

/// Writes one attribute: every value, then [`AttributeWriter::begin_rows`], then every row.
#[derive(Debug)]
pub(super) struct AttributeWriter {
    shape: Shape,
    /// Rows of the file.
    rows: u32,
    dictionary: DictionaryWriter,
    postings: PostingsWriter,
    symbols: SymbolsWriter,
    distinct: u32,
    pairs: u64,
    /// Whether value `n` was in row `n` alone, of all values so far. Their postings are not written as
    /// long as it holds.
    is_ordinal: bool,
    rows_given: u32,
    present: RoaringBitmap,
}

impl AttributeWriter {
    pub(super) fn new(shape: Shape, rows: u32) -> Self {
        Self {
            shape,
            rows,
            dictionary: DictionaryWriter::default(),
            postings: PostingsWriter::default(),
            symbols: SymbolsWriter::new(shape.is_array),
            distinct: 0,
            pairs: 0,
            is_ordinal: !shape.is_array,
            rows_given: 0,
            present: RoaringBitmap::new(),
        }
    }

    /// Whether its values are arrays.
    pub(super) const fn is_array(&self) -> bool {
        self.shape.is_array
    }

    /// The next value, and the rows that have it.
    pub(super) fn value(
        &mut self,
        file: &mut FileWriter<'_>,
        key: &[u8],
        rows: &Posting,
    ) -> Result<()> {
        let slot = self.shape.slot;
        self.dictionary.push(file, slot, key, rows.len())?;
        if self.is_ordinal && !matches!(rows, Posting::Few(rows) if **rows == [self.distinct]) {
            self.write_ordinals(file)?;
        }
        if !self.is_ordinal {
            self.postings.push(file, slot, rows)?;
        }
        self.distinct += 1;
        self.pairs += rows.len();
        Ok(())
    }

    /// It is not ordinal after all: writes the postings of the values so far.
    fn write_ordinals(&mut self, file: &mut FileWriter<'_>) -> Result<()> {
        self.is_ordinal = false;
        (0..self.distinct)
            .try_for_each(|row| self.postings.push(file, self.shape.slot, &Posting::Few(vec![row])))
    }

    /// There are no more values.
    pub(super) fn begin_rows(&mut self, file: &mut FileWriter<'_>) -> Result<()> {
        if self.is_ordinal && self.distinct < self.rows {
            self.write_ordinals(file)?;
        }
        Ok(())
    }

    /// The next row: its symbols, 0 or none when its value is missing.
    pub(super) fn row(&mut self, file: &mut FileWriter<'_>, symbols: &[u32]) -> Result<()> {
        if symbols.iter().any(|symbol| *symbol != 0) {
            self.present.insert(self.rows_given);
        }
        self.rows_given += 1;
        if self.is_ordinal {
            return Ok(());
        }
        self.symbols.push(file, self.shape.slot, symbols)
    }

    /// Ends the attribute.
    pub(super) fn finish(mut self, file: &mut FileWriter<'_>) -> Result<Entry> {
        assert_eq!(self.rows_given, self.rows, "every row was given");
        let slot = self.shape.slot;
        let mut index = Vec::new();
        self.dictionary.finish(file, slot, &mut index)?;
        if self.is_ordinal {
            // Neither postings nor symbols: no blocks of both.
            put_varint(&mut index, 0);
            put_varint(&mut index, 0);
        } else {
            self.postings.finish(file, slot, &mut index)?;
            self.symbols.finish(file, slot, &mut index)?;
        }
        let present = u32::try_from(self.present.len()).expect("no more than there are rows");
        let mut present_rows = Extent::default();
        if present < self.rows {
            let mut bytes = Vec::new();
            self.present.optimize();
            let write = self.present.serialize_into(&mut bytes);
            write.map_err(|error| AttributesError::Write(Arc::new(error)))?;
            present_rows = file.block(Name(Part::Present, slot, 0), &bytes)?;
        }
        if (present == 0) != (self.distinct == 0) {
            return Err(damaged("values and rows do not belong together"));
        }
        let index = file.block(Name(Part::Index, slot, 0), &index)?;
        Ok(Entry {
            slot,
            kind: self.shape.kind,
            is_array: self.shape.is_array,
            is_ordinal: self.is_ordinal,
            distinct: self.distinct,
            present,
            pairs: self.pairs,
            index,
            present_rows,
        })
    }
}

/// Rows that become a file.
#[derive(Debug)]
pub struct Writer {
    rows: u32,
    /// The ids, the LSNs and the filterable attributes, in the order of their slots.
    columns: Vec<Column>,
}

impl Writer {
    /// A writer of the filterable attributes of a schema.
    #[must_use]
    pub fn new(schema: &Schema) -> Self {
        Self { rows: 0, columns: shapes(schema).into_iter().map(Column::new).collect() }
    }

    /// How many rows there are.
    #[must_use]
    pub const fn rows(&self) -> u32 {
        self.rows
    }

    /// Adds the next row, which was written at `lsn`. No two rows may have one id, nor one LSN.
    ///
    /// # Errors
    /// [`AttributesError::Full`] when there are 2^32 - 2 rows.
    pub fn add(&mut self, row: &Row, lsn: Lsn) -> Result<()> {
        if self.rows >= u32::MAX - 1 {
            return Err(AttributesError::Full { what: "there are 2^32 - 2 rows" });
        }
        let lsn = Value::Uint(lsn.0);
        for column in &mut self.columns {
            let value = match column.shape.slot {
                Slot::ID => Some(row.id()),
                Slot::LSN => Some(&lsn),
                slot => slot.field().and_then(|field| row.value(field)),
            };
            column.push(value)?;
        }
        self.rows += 1;
        Ok(())
    }

    /// Writes the file of this identity.
    ///
    /// # Errors
    /// [`AttributesError::Write`] when it cannot be written, and [`AttributesError::Damaged`] when an id or an
    /// LSN was given twice.
    pub fn finish(self, identity: &[u8; 16], out: &mut dyn Write) -> Result<Written> {
        let mut file = FileWriter::begin(identity, out)?;
        let mut entries = Vec::with_capacity(self.columns.len());
        for column in self.columns {
            let is_key = matches!(column.shape.slot, Slot::ID | Slot::LSN);
            let entry = column.write(&mut file, self.rows)?;
            if is_key && entry.distinct != self.rows {
                return Err(damaged("an id or an LSN was given twice"));
            }
            entries.push(entry);
        }
        file.end(self.rows, &entries)
    }
}

/// The values of one attribute.
#[derive(Debug)]
struct Column {
    shape: Shape,
    /// The number of each value, in the order in which they came.
    numbers: HashMap<Value, u32>,
    /// For each row one more than the number of its value, or 0; of arrays those of the elements.
    symbols: Vec<u32>,
    /// Of arrays how many elements each row has.
    lens: Vec<u32>,
}

impl Column {
    fn new(shape: Shape) -> Self {
        Self { shape, numbers: HashMap::new(), symbols: Vec::new(), lens: Vec::new() }
    }

    fn push(&mut self, value: Option<&Value>) -> Result<()> {
        let elements = value.map(Value::elements).unwrap_or_default();
        for element in elements {
            let symbol = self.symbol(element)?;
            self.symbols.push(symbol);
        }
        if self.shape.is_array {
            let full = AttributesError::Full { what: "an array has 2^32 elements" };
            self.lens.push(u32::try_from(elements.len()).map_err(|_| full)?);
        } else if elements.is_empty() {
            self.symbols.push(0);
        }
        Ok(())
    }

    fn symbol(&mut self, value: &Value) -> Result<u32> {
        if let Some(number) = self.numbers.get(value) {
            return Ok(number + 1);
        }
        let number = u32::try_from(self.numbers.len()).ok().filter(|number| *number < u32::MAX - 1);
        let number =
            number.ok_or(AttributesError::Full { what: "an attribute has 2^32 values" })?;
        self.numbers.insert(value.clone(), number);
        Ok(number + 1)
    }

    fn write(self, file: &mut FileWriter<'_>, rows: u32) -> Result<Entry> {
        let mut values: Vec<(Value, u32)> = self.numbers.into_iter().collect();
        values.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        // From symbols in the order of coming to those in the order of values.
        let mut symbol_of = vec![0_u32; values.len() + 1];
        for (symbol, (_, number)) in (1..).zip(&values) {
            symbol_of[*number as usize + 1] = symbol;
        }
        let symbols: Vec<u32> =
            self.symbols.iter().map(|symbol| symbol_of[*symbol as usize]).collect();
        let rows_of = RowsOf::new(&symbols, &self.lens, self.shape.is_array, values.len());
        let mut writer = AttributeWriter::new(self.shape, rows);
        let mut key = Vec::new();
        for (at, (value, _)) in values.iter().enumerate() {
            key.clear();
            key::encode(value, &mut key);
            writer.value(file, &key, &Posting::of(rows_of.rows(at)))?;
        }
        writer.begin_rows(file)?;
        if self.shape.is_array {
            let mut rest = symbols.as_slice();
            for len in self.lens {
                let (row, after) = rest.split_at(len as usize);
                writer.row(file, row)?;
                rest = after;
            }
        } else {
            for symbol in &symbols {
                writer.row(file, std::slice::from_ref(symbol))?;
            }
        }
        writer.finish(file)
    }
}

/// The rows of each value.
struct RowsOf {
    rows: Vec<u32>,
    /// Where those of each value begin, and how many there are.
    places: Vec<(usize, usize)>,
}

impl RowsOf {
    /// Sorts rows by their symbols, counting them first.
    fn new(symbols: &[u32], lens: &[u32], is_array: bool, values: usize) -> Self {
        let mut counts = vec![0_usize; values + 1];
        for symbol in symbols {
            counts[*symbol as usize] += 1;
        }
        let mut places = Vec::with_capacity(values);
        let mut start = 0;
        for count in &counts[1..] {
            places.push((start, 0));
            start += count;
        }
        let mut rows = vec![0_u32; start];
        let mut put = |symbol: u32, row: u32| {
            if let Some(at) = (symbol as usize).checked_sub(1) {
                let (start, len) = &mut places[at];
                // An element that stands twice in one array counts once.
                if *len == 0 || rows[*start + *len - 1] != row {
                    rows[*start + *len] = row;
                    *len += 1;
                }
            }
        };
        if is_array {
            let mut rest = symbols;
            for (row, len) in (0..).zip(lens) {
                let (of_row, after) = rest.split_at(*len as usize);
                of_row.iter().for_each(|symbol| put(*symbol, row));
                rest = after;
            }
        } else {
            for (row, symbol) in (0..).zip(symbols) {
                put(*symbol, row);
            }
        }
        Self { rows, places }
    }

    fn rows(&self, at: usize) -> &[u32] {
        let (start, len) = self.places[at];
        &self.rows[start..start + len]
    }
}
