//! Writes an open copy from rows in their order: a batch of rows at a time becomes columns, some batches a row
//! group. No more than a row group, compressed, is held.

use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use arrow_schema::SchemaRef;
use base::words::Lsn;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::columns;
use super::error::{Result, writing};
use crate::schema::{FieldKind, Row, Schema};
use crate::value::Value;

/// The version that is written and read.
pub(super) const VERSION: &str = "1";
/// Members of the file's metadata.
pub(super) const VERSION_KEY: &str = "docdb.version";
pub(super) const IDENTITY_KEY: &str = "docdb.identity";
pub(super) const SCHEMA_KEY: &str = "docdb.schema";

/// Rows of a batch, and bytes at which one is ended before.
const BATCH_ROWS: usize = 1024;
const BATCH_BYTES: usize = 4 << 20;
/// A row group is ended at so many rows, or at so many bytes.
const GROUP_ROWS: usize = 128 * 1024;
const GROUP_BYTES: usize = 32 << 20;

/// What was written, which whoever opens the file has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentsWritten {
    /// Bytes of the file.
    pub len: u64,
    /// CRC32C of the file.
    pub sum: u32,
}

/// Rows that become a file.
pub struct DocumentsWriter<'a> {
    schema: Schema,
    arrow: SchemaRef,
    writer: ArrowWriter<Summed<'a>>,
    batch: Vec<(Lsn, Row)>,
    batch_bytes: usize,
}

/// Counts what goes through.
struct Summed<'a> {
    out: &'a mut (dyn Write + Send),
    written: DocumentsWritten,
}

impl Write for Summed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(bytes)?;
        self.written.len += bytes.len() as u64;
        self.written.sum = crc32c::crc32c_append(self.written.sum, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<'a> DocumentsWriter<'a> {
    /// Begins the file of this identity.
    ///
    /// # Errors
    /// [`super::DocumentsError::Write`] when it cannot be written.
    pub fn begin(
        schema: &Schema,
        identity: &[u8; 16],
        out: &'a mut (dyn Write + Send),
    ) -> Result<Self> {
        let arrow = Arc::new(columns::arrow_schema(schema));
        let identity = uuid::Uuid::from_bytes(*identity).to_string();
        let metadata = [
            (VERSION_KEY, VERSION.to_owned()),
            (IDENTITY_KEY, identity),
            (SCHEMA_KEY, schema.to_stored()),
        ];
        let metadata = metadata.map(|(key, value)| KeyValue::new(key.to_owned(), value));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).map_err(writing)?))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_created_by("docdb".to_owned())
            .set_key_value_metadata(Some(metadata.to_vec()))
            .build();
        let summed = Summed { out, written: DocumentsWritten { len: 0, sum: 0 } };
        let writer =
            ArrowWriter::try_new(summed, Arc::clone(&arrow), Some(properties)).map_err(writing)?;
        Ok(Self { schema: schema.clone(), arrow, writer, batch: Vec::new(), batch_bytes: 0 })
    }

    /// Adds the next row, which was written at `lsn`.
    ///
    /// # Errors
    /// [`super::DocumentsError::Write`] when it cannot be written.
    pub fn add(&mut self, row: Row, lsn: Lsn) -> Result<()> {
        self.batch_bytes += size(&self.schema, &row);
        self.batch.push((lsn, row));
        if self.batch.len() >= BATCH_ROWS || self.batch_bytes >= BATCH_BYTES {
            self.write_batch()?;
        }
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`super::DocumentsError::Write`] when it cannot be written.
    pub fn finish(mut self) -> Result<DocumentsWritten> {
        self.write_batch()?;
        self.writer.finish().map_err(writing)?;
        Ok(self.writer.inner().written)
    }

    fn write_batch(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = self.record_batch()?;
        self.batch.clear();
        self.batch_bytes = 0;
        self.writer.write(&batch).map_err(writing)?;
        if self.writer.in_progress_size() >= GROUP_BYTES {
            self.writer.flush().map_err(writing)?;
        }
        Ok(())
    }

    fn record_batch(&self) -> Result<RecordBatch> {
        let ids = self
            .batch
            .iter()
            .map(|(_, row)| columns::id_text(row.id()))
            .collect::<Result<Vec<(String, &str)>>>()?;
        let texts: StringArray = ids.iter().map(|(text, _)| Some(text)).collect();
        let types: StringArray = ids.iter().map(|(_, kind)| Some(kind)).collect();
        let lsns: UInt64Array = self.batch.iter().map(|(lsn, _)| Some(lsn.0)).collect();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(texts), Arc::new(types), Arc::new(lsns)];
        for (_, field) in self.schema.fields() {
            let rows = self.batch.iter().map(|(_, row)| row);
            columns.push(match &field.kind {
                FieldKind::Attribute(attribute) => {
                    let values: Vec<Option<&Value>> =
                        rows.map(|row| row.value(field.number)).collect();
                    columns::values(attribute.value_type, &values)?
                }
                FieldKind::Vector(vector) => {
                    let vectors: Vec<_> = rows.map(|row| row.vector(field.number)).collect();
                    columns::vectors(vector, &vectors)?
                }
            });
        }
        RecordBatch::try_new(Arc::clone(&self.arrow), columns).map_err(writing)
    }
}

impl std::fmt::Debug for DocumentsWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DocumentsWriter").field("batch", &self.batch.len()).finish_non_exhaustive()
    }
}

/// About how many bytes a row has.
fn size(schema: &Schema, row: &Row) -> usize {
    let of = |value: &Value| value.text().map_or(8, str::len);
    let values = row.values().flat_map(|(_, value)| value.elements()).map(of).sum::<usize>();
    let vectors = schema.fields().filter_map(|(_, field)| row.vector(field.number));
    values + vectors.map(|vector| vector.as_bytes().len()).sum::<usize>()
}
