//! Opens an open copy and reads its rows in their order.
//!
//! The whole file is read and compared with its checksum before anything in it is decoded, because its format
//! has none that we could rely on. So it is read twice: it is for export, not for queries.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, RecordBatch};
use base::words::Lsn;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::columns::{self, ID, ID_TYPE, LSN, OWN};
use super::error::{DocumentsError, Result, damaged, decoding};
use super::write::{DocumentsWritten, IDENTITY_KEY, SCHEMA_KEY, VERSION, VERSION_KEY};
use crate::schema::{Row, Schema};
use crate::vector::ReadRanges;

/// Bytes that are read in one round trip where a file is read from end to end.
const TRIP_BYTES: u64 = 4 << 20;
/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 1024;

/// A file that is open: its metadata is in memory.
#[derive(Debug)]
pub struct Documents {
    source: Source,
    schema: Schema,
    rows: u64,
}

/// A row of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRow {
    /// At which LSN it was written.
    pub lsn: Lsn,
    /// Its id, attributes and vectors.
    pub row: Row,
}

impl Documents {
    /// Opens the file of this identity, and reads all of it to compare it with what was written.
    ///
    /// # Errors
    /// [`DocumentsError::Damaged`] when it is not what was written or of another version;
    /// [`DocumentsError::Decode`] when it cannot be understood; [`DocumentsError::Read`] when it cannot be read.
    pub fn open(
        source: Arc<dyn ReadRanges>,
        identity: &[u8; 16],
        written: DocumentsWritten,
    ) -> Result<Self> {
        let source = Source { ranges: source, len: written.len, failed: Arc::default() };
        let (mut at, mut sum) = (0, 0);
        while at < written.len {
            let end = written.len.min(at + TRIP_BYTES);
            let part = source.range(at..end).map_err(|error| DocumentsError::Read(error.into()))?;
            sum = crc32c::crc32c_append(sum, &part);
            at = end;
        }
        if sum != written.sum {
            return Err(damaged("its checksum does not fit"));
        }
        let builder = ParquetRecordBatchReaderBuilder::try_new(source.clone())
            .map_err(|error| source.explain(error))?;
        let metadata = builder.metadata().file_metadata();
        let members = metadata.key_value_metadata().map(Vec::as_slice).unwrap_or_default();
        let member = |key: &str| {
            let found = members.iter().find(|member| member.key == key);
            found.and_then(|member| member.value.as_deref())
        };
        if member(VERSION_KEY) != Some(VERSION) {
            return Err(damaged("it is of another kind or version"));
        }
        let identity = uuid::Uuid::from_bytes(*identity).to_string();
        if member(IDENTITY_KEY) != Some(identity.as_str()) {
            return Err(damaged("it is another file"));
        }
        let schema = member(SCHEMA_KEY).ok_or(damaged("it has no schema"))?;
        let schema = Schema::from_stored(schema.as_bytes())
            .map_err(|_| damaged("its schema cannot be understood"))?;
        let rows =
            u64::try_from(metadata.num_rows()).map_err(|_| damaged("a count is negative"))?;
        Ok(Self { source, schema, rows })
    }

    /// The schema that it was written under.
    #[must_use]
    pub const fn schema(&self) -> &Schema {
        &self.schema
    }

    /// How many rows there are.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.rows
    }

    /// Whether there is no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Every row, in order; a batch of them is held at a time.
    ///
    /// # Errors
    /// [`DocumentsError::Decode`] when what is inside cannot be understood, or not be read.
    pub fn rows(&self) -> Result<StoredRows<'_>> {
        let source = &self.source;
        let builder = ParquetRecordBatchReaderBuilder::try_new(source.clone())
            .map_err(|error| source.explain(error))?;
        let batches =
            builder.with_batch_size(BATCH_ROWS).build().map_err(|error| source.explain(error))?;
        Ok(StoredRows { schema: &self.schema, source, batches, batch: None, at: 0 })
    }
}

/// Iterates over the rows of a file; ends after an error.
#[derive(Debug)]
pub struct StoredRows<'a> {
    schema: &'a Schema,
    source: &'a Source,
    batches: ParquetRecordBatchReader,
    batch: Option<RecordBatch>,
    at: usize,
}

impl Iterator for StoredRows<'_> {
    type Item = Result<StoredRow>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.batch.as_ref().is_none_or(|batch| self.at >= batch.num_rows()) {
            match self.batches.next()? {
                Ok(batch) => self.batch = Some(batch),
                Err(error) => return Some(Err(self.source.explain(error))),
            }
            self.at = 0;
        }
        let at = self.at;
        self.at += 1;
        self.batch.as_ref().map(|batch| row(self.schema, batch, at))
    }
}

fn row(schema: &Schema, batch: &RecordBatch, at: usize) -> Result<StoredRow> {
    let malformed = || damaged("a column is missing or has another type");
    let text = |name: &str| {
        let column = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
        column.filter(|column| !column.is_null(at)).map(|column| column.value(at))
    };
    let id = columns::id_of(text(ID).ok_or_else(malformed)?, text(ID_TYPE).ok_or_else(malformed)?)?;
    let lsns = batch.column_by_name(LSN).and_then(|column| column.as_primitive_opt::<UInt64Type>());
    let lsn = lsns.filter(|lsns| !lsns.is_null(at)).ok_or_else(malformed)?.value(at);
    let fields = batch.columns().get(OWN..).ok_or_else(malformed)?;
    let (values, vectors) = columns::fields(schema, fields, at)?;
    Ok(StoredRow { lsn: Lsn(lsn), row: Row::of_values(id, values).with_vectors(vectors) })
}

/// A file that is read by ranges.
#[derive(Debug, Clone)]
struct Source {
    ranges: Arc<dyn ReadRanges>,
    len: u64,
    /// Why it could not be read, where the decoder hides it in an error of its own.
    failed: Arc<Mutex<Option<Arc<io::Error>>>>,
}

impl Source {
    fn range(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let wanted = range.end - range.start;
        let parts = self.ranges.read(std::slice::from_ref(&range));
        let mut parts = parts.map_err(|error| {
            let error = Arc::new(error);
            *self.failed() = Some(Arc::clone(&error));
            io::Error::new(error.kind(), error)
        })?;
        match parts.pop() {
            Some(part) if parts.is_empty() && part.len() as u64 == wanted => Ok(part),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn failed(&self) -> MutexGuard<'_, Option<Arc<io::Error>>> {
        // One assignment is all that a panic can interrupt.
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an error of the decoder is: a store that is away for a while is no damage.
    fn explain(&self, error: impl Into<ParquetError>) -> DocumentsError {
        match self.failed().take() {
            Some(failed) => DocumentsError::Read(failed),
            None => decoding(error),
        }
    }

    fn checked(&self, range: Range<u64>) -> parquet::errors::Result<Bytes> {
        if range.start > range.end || range.end > self.len {
            return Err(ParquetError::EOF("a range ends behind the file".to_owned()));
        }
        self.range(range).map(Bytes::from).map_err(|error| ParquetError::External(error.into()))
    }
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for Source {
    type T = FromHere;

    fn get_read(&self, start: u64) -> parquet::errors::Result<FromHere> {
        Ok(FromHere { source: self.clone(), at: start, part: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        self.checked(start..start.saturating_add(length as u64))
    }
}

/// Reads on from a place.
#[derive(Debug)]
struct FromHere {
    source: Source,
    at: u64,
    /// What was read and not yet taken.
    part: Bytes,
}

/// Bytes that are read ahead where it is not known how many will be needed.
const AHEAD_BYTES: u64 = 64 * 1024;

impl Read for FromHere {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.part.is_empty() {
            let end = self.source.len.min(self.at.saturating_add(AHEAD_BYTES));
            if self.at >= end {
                return Ok(0);
            }
            self.part = Bytes::from(self.source.range(self.at..end)?);
            self.at = end;
        }
        let taken = self.part.split_to(out.len().min(self.part.len()));
        out.get_mut(..taken.len()).unwrap_or_default().copy_from_slice(&taken);
        Ok(taken.len())
    }
}
