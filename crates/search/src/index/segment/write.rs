//! Makes the files of a segment from versions in memory.

use std::sync::Arc;

use base::words::Lsn;
use roaring::RoaringBitmap;

use super::{ATTRIBUTES_FILE, DOCUMENTS_FILE, ROWS_FILE, TEXT_FILE, vectors_file};
use crate::attributes::Writer as AttributesWriter;
use crate::documents::DocumentsWriter;
use crate::index::error::Result;
use crate::index::files::NewSegment;
use crate::index::rows::RowTable;
use crate::index::version::Version;
use crate::schema::{FieldNo, Row, Schema, VectorField};
use crate::text::{Input as TextInput, merge as merge_text};
use crate::vector::{Kept, Options, Rows, VectorIndex};

/// How segments are made.
#[derive(Debug, Clone, Copy)]
pub(in crate::index) struct Build<'a> {
    /// The schema that the files are for.
    pub(in crate::index) schema: &'a Schema,
    /// The identity that the files are known by.
    pub(in crate::index) identity: &'a [u8; 16],
    /// Threads for what can be shared.
    pub(in crate::index) threads: usize,
}

/// A file that is to be written.
#[derive(Debug)]
pub(in crate::index) struct NewFile {
    /// Its name.
    pub(in crate::index) name: String,
    /// What it has.
    pub(in crate::index) bytes: Vec<u8>,
    /// What its reader wants to know beforehand.
    pub(in crate::index) opening: Vec<u8>,
}

impl NewFile {
    pub(super) fn new(name: impl Into<String>, bytes: Vec<u8>, opening: u64) -> Self {
        Self { name: name.into(), bytes, opening: opening.to_le_bytes().to_vec() }
    }
}

/// The vectors of a field: the rows that have one, and one after the other as the field keeps them.
#[derive(Debug, Default)]
pub(super) struct RawVectors {
    pub(super) rows: RoaringBitmap,
    pub(super) bytes: Vec<u8>,
}

/// The files of a segment with these versions, which are in the order of their positions, and with the words of their
/// texts.
///
/// # Errors
/// When they cannot be indexed, which no version that was prepared by the schema brings about.
pub(in crate::index) fn build(
    build: &Build<'_>,
    versions: &[Arc<Version>],
    words: TextInput<'_>,
) -> Result<NewSegment> {
    debug_assert!(versions.is_sorted_by(|a, b| a.lsn < b.lsn), "each position once, in order");
    let mut files = Vec::new();
    let mut sets = Vec::new();
    for (number, field) in vector_fields(build.schema) {
        let mut raw = RawVectors::default();
        for (row, version) in (0..).zip(versions) {
            if let Some(vector) = version.row.vector(number) {
                raw.rows.insert(row);
                raw.bytes.extend_from_slice(vector.as_bytes());
            }
        }
        files.extend(vectors(build, (number, field), &raw, None)?);
        if !raw.rows.is_empty() {
            sets.push((number, raw.rows));
        }
    }
    let mut attributes = AttributesWriter::new(build.schema);
    for version in versions {
        attributes.add(&version.row, version.lsn)?;
    }
    let mut bytes = Vec::new();
    let written = attributes.finish(build.identity, &mut bytes)?;
    files.push(NewFile::new(ATTRIBUTES_FILE, bytes, written.tail_bytes));
    files.push(documents(build, |add| {
        versions.iter().try_for_each(|version| add(version.row.clone(), version.lsn))
    })?);
    let rows = u32::try_from(versions.len()).expect("a memtable is full long before");
    files.push(text(build, &[words], rows)?);
    let table = RowTable::new(versions.iter().map(|one| (one.lsn, one.expires_at)), sets);
    Ok(finish(build, &table, files))
}

/// The file of words; also where the schema has no text, so that every segment can be asked for some.
pub(super) fn text(build: &Build<'_>, inputs: &[TextInput<'_>], rows: u32) -> Result<NewFile> {
    let (bytes, written) = merge_text(build.identity, inputs, rows)?;
    Ok(NewFile::new(TEXT_FILE, bytes, written.head_bytes))
}

/// The open copy of the rows that `fill` adds.
pub(super) fn documents(
    build: &Build<'_>,
    fill: impl FnOnce(&mut dyn FnMut(Row, Lsn) -> Result<()>) -> Result<()>,
) -> Result<NewFile> {
    let mut bytes = Vec::new();
    let mut writer = DocumentsWriter::begin(build.schema, build.identity, &mut bytes)?;
    fill(&mut |row, lsn| Ok(writer.add(row, lsn)?))?;
    let written = writer.finish()?;
    Ok(NewFile::new(DOCUMENTS_FILE, bytes, u64::from(written.sum)))
}

/// Adds the file of rows.
pub(super) fn finish(build: &Build<'_>, table: &RowTable, mut files: Vec<NewFile>) -> NewSegment {
    files.push(NewFile::new(ROWS_FILE, table.encode(build.identity), 0));
    NewSegment { span: table.span(), rows: table.len(), files }
}

/// The vector fields of a schema.
pub(super) fn vector_fields(schema: &Schema) -> impl Iterator<Item = (FieldNo, &VectorField)> + '_ {
    schema.fields().filter_map(|(_, field)| Some((field.number, field.kind.vector()?)))
}

/// The file of a vector field; none when no row has a vector. What it can it keeps of an index that has some of the
/// rows.
pub(super) fn vectors(
    build: &Build<'_>,
    (number, field): (FieldNo, &VectorField),
    raw: &RawVectors,
    kept: Option<Kept<'_>>,
) -> Result<Option<NewFile>> {
    if raw.rows.is_empty() {
        return Ok(None);
    }
    let rows = Rows::new(field.element, field.dims, &raw.bytes)?;
    let mut options = Options { threads: build.threads, ..Options::new(field.metric) };
    if !field.ann {
        // Never asked but by comparing every vector.
        options.clusters = Some(1);
    }
    let index = match kept {
        Some(kept) => VectorIndex::merge(&options, kept, rows)?.0,
        None => VectorIndex::build(&options, rows)?,
    };
    let mut bytes = Vec::new();
    let written = index.write(rows, build.identity, &mut bytes)?;
    Ok(Some(NewFile::new(vectors_file(number), bytes, written.head_bytes)))
}
