//! A segment: rows that were flushed or merged together, in files that never change.
//!
//! It knows which rows it has and finds them; which of them are dead it is told. Rows are numbers from 0 in the
//! order of their positions. Start with [`Segment::open`] (from a store) and `segment/write.rs` (what it is
//! made of).
//!
//! | file | |
//! |---|---|
//! | `rows.idx` | positions, expiries, which rows have vectors ([`super::rows`]) |
//! | `docs.parquet` | the rows with all of their values, for others and for merges ([`crate::documents`]) |
//! | `attrs.idx` | filterable attributes and ids ([`crate::attributes`]) |
//! | `text.idx` | the words of texts ([`crate::text`]) |
//! | `vectors-<n>.ivf` | the vectors of field `n` ([`crate::vector`]) |

mod merge;
mod vectors;
mod write;

use std::cell::RefCell;
use std::sync::Arc;

use base::clock::WallMs;
use base::words::Lsn;
use roaring::RoaringBitmap;

use super::error::{IndexError, Result};
use super::files::{Files, Reader, SegmentFiles};
use super::rows::RowTable;
use crate::attributes::{Reader as Attributes, Written as AttributesWritten};
use crate::documents::{Documents, DocumentsWritten};
use crate::manifest::SegmentFile;
use crate::schema::{FieldNo, Schema};
use crate::storage::cache::{CachedObject, Counters};
use crate::text::{Reader as TextReader, Written as TextWritten};
use crate::vector::Written as VectorsWritten;

pub(super) use merge::merge;
pub(super) use vectors::VectorRows;
pub(super) use write::{Build, NewFile, build};

/// The names of files.
const ROWS_FILE: &str = "rows.idx";
const ATTRIBUTES_FILE: &str = "attrs.idx";
const TEXT_FILE: &str = "text.idx";
const DOCUMENTS_FILE: &str = "docs.parquet";

/// The name of the file of a vector field.
fn vectors_file(number: FieldNo) -> String {
    format!("vectors-{}.ivf", number.0)
}

/// A segment that is open.
#[derive(Debug)]
pub(super) struct Segment {
    files: SegmentFiles,
    rows: RowTable,
    attributes: Attributes,
    vectors: Vec<VectorRows>,
    text: TextReader,
    /// The open copy: no query reads it.
    documents: (Reader, DocumentsWritten),
    /// The files that queries read.
    cached: Vec<CachedObject>,
}

impl Segment {
    /// Opens what is in the store.
    ///
    /// # Errors
    /// [`IndexError::Segment`] with its name when a file is damaged or cannot be read.
    pub(super) fn open(store: &Files, files: SegmentFiles) -> Result<Self> {
        let name = files.id();
        let cached = RefCell::new(Vec::new());
        let read = |file: &_| -> Result<Reader> {
            let object = store.cached(&files, file)?;
            cached.borrow_mut().push(object.clone());
            Ok(Arc::new(object))
        };
        let opened = Self::open_files(store, &files, read);
        let opened = opened.map_err(|error| error.of_segment(name))?;
        Ok(Self { cached: cached.into_inner(), ..opened })
    }

    /// Reads every file of a segment from the store, past every cache, and compares it with its checksums and the files
    /// with each other.
    ///
    /// # Errors
    /// As [`Segment::open`].
    pub(super) fn verify(store: &Files, files: &SegmentFiles) -> Result<()> {
        let read = |file: &_| store.reader_past_cache(files, file);
        Self::open_files(store, files, read)
            .and_then(|segment| segment.verify_files())
            .map_err(|error| error.of_segment(files.id()))
    }

    fn verify_files(&self) -> Result<()> {
        self.attributes.verify()?;
        self.text.verify()?;
        self.vectors.iter().try_for_each(VectorRows::verify)?;
        let documents = self.documents()?;
        if documents.len() != u64::from(self.len()) {
            return Err(damaged("its files have different numbers of rows"));
        }
        for (row, found) in (0..).zip(documents.rows()?) {
            if found?.lsn != self.lsn_of(row) {
                return Err(damaged("a row is of another revision in one of its files"));
            }
        }
        Ok(())
    }

    fn open_files(
        store: &Files,
        files: &SegmentFiles,
        read: impl Fn(&SegmentFile) -> Result<Reader>,
    ) -> Result<Self> {
        let rows = files.file(ROWS_FILE)?;
        let rows = RowTable::decode(&store.read_whole(files, rows)?, &rows.identity)?;
        let file = files.file(ATTRIBUTES_FILE)?;
        let written = AttributesWritten { len: file.len, tail_bytes: opening(&file.opening)? };
        let attributes = Attributes::open(read(file)?, &file.identity, written)?;
        let mut vectors = Vec::new();
        for (number, some) in rows.vectors() {
            let file = files.file(&vectors_file(*number))?;
            let written = VectorsWritten { len: file.len, head_bytes: opening(&file.opening)? };
            let is_every = some.len() == u64::from(rows.len());
            let some = (some.clone(), is_every);
            vectors.push(VectorRows::open(read(file)?, &file.identity, *number, written, some)?);
        }
        let file = files.file(TEXT_FILE)?;
        let written = TextWritten { len: file.len, head_bytes: opening(&file.opening)? };
        let text = TextReader::open(read(file)?, &file.identity, written)?;
        if attributes.rows() != rows.len() || text.rows() != rows.len() {
            return Err(damaged("its files have different numbers of rows"));
        }
        let file = files.file(DOCUMENTS_FILE)?;
        let sum = u32::try_from(opening(&file.opening)?)
            .map_err(|_| damaged("a file has another opening"))?;
        let written = DocumentsWritten { len: file.len, sum };
        let documents = (store.reader_past_cache(files, file)?, written);
        Ok(Self {
            files: files.clone(),
            rows,
            attributes,
            vectors,
            text,
            documents,
            cached: Vec::new(),
        })
    }

    /// Its identity and files.
    pub(super) fn files(&self) -> &SegmentFiles {
        &self.files
    }

    /// What of its files queries have read, and where that was.
    pub(super) fn counters(&self) -> Counters {
        self.cached.iter().map(CachedObject::counters).fold(Counters::default(), Counters::and)
    }

    /// The files that queries read.
    pub(super) fn cached(&self) -> &[CachedObject] {
        &self.cached
    }

    /// How many rows it has, dead ones too.
    pub(super) fn len(&self) -> u32 {
        self.rows.len()
    }

    /// Bytes of its files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.bytes()
    }

    /// The row of the version that this position wrote.
    pub(super) fn row_of(&self, lsn: Lsn) -> Option<u32> {
        let (first, last) = self.rows.span();
        if (first..=last).contains(&lsn) { self.rows.row_of(lsn) } else { None }
    }

    /// The position that wrote a row.
    pub(super) fn lsn_of(&self, row: u32) -> Lsn {
        self.rows.lsn_of(row)
    }

    /// The rows that queries at this time may find.
    pub(super) fn live(&self, dead: &RoaringBitmap, now: WallMs) -> RoaringBitmap {
        let mut rows = RoaringBitmap::new();
        rows.insert_range(0..self.len());
        rows -= dead;
        for row in self.rows.expired(now) {
            rows.remove(row);
        }
        rows
    }

    /// Its attributes.
    pub(super) fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// The words of its texts.
    pub(super) fn text(&self) -> &TextReader {
        &self.text
    }

    /// Its rows with all of their values.
    ///
    /// # Errors
    /// When the file is damaged or cannot be read.
    fn documents(&self) -> Result<Documents> {
        let (reader, written) = &self.documents;
        let identity = self.files.id().bytes();
        Ok(Documents::open(reader.clone(), &identity, *written)?)
    }

    /// The vectors of a field; none when no row has one.
    pub(super) fn vectors(&self, number: FieldNo) -> Option<&VectorRows> {
        self.vectors.iter().find(|vectors| vectors.number() == number)
    }

    /// Whether its files find rows by what a schema says. A schema that has more than they have is one that no row
    /// of theirs has a value for, or else one that the index is rebuilt for.
    pub(super) fn is_for(&self, schema: &Schema) -> bool {
        self.vectors.iter().all(|vectors| {
            let field = schema.fields().find(|(_, field)| field.number == vectors.number());
            field
                .and_then(|(_, field)| field.kind.vector())
                .is_some_and(|field| vectors.is_of(field))
        })
    }
}

fn damaged(what: &str) -> IndexError {
    IndexError::Damaged { what: what.into() }
}

/// What the reader of a file wants to know beforehand: a number of bytes.
fn opening(bytes: &[u8]) -> Result<u64> {
    let bytes = bytes.try_into().map_err(|_| damaged("a file has another opening"))?;
    Ok(u64::from_le_bytes(bytes))
}
