//! tantivy's segment of one field: written to memory by its serializers, and read by its readers over files that
//! lie wherever ours do.
//!
//! Its readers can only be made by opening an index. That index is empty and the same for all: it is
//! made once, and its dictionary, postings and positions are replaced by those of the field.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tantivy::directory::error::{DeleteError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    Directory, FileHandle, FileSlice, OwnedBytes, RamDirectory, WatchCallback, WatchHandle,
    WritePtr,
};
use tantivy::fieldnorm::FieldNormReader;
use tantivy::index::{Index, InvertedIndexReader, SegmentComponent};
use tantivy::postings::{FieldSerializer, InvertedIndexSerializer};
use tantivy::schema::{Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::{IndexSettings, SegmentReader, TantivyDocument};

use crate::text::bm25;
use crate::text::error::TextError;

/// What a writer of tantivy's asks for at least; it is given back at once.
const WRITER_BYTES: usize = 15_000_000;
const META: &str = "meta.json";

/// The one field that there is.
fn schema() -> (Schema, Field) {
    let mut builder = Schema::builder();
    let indexing = TextFieldIndexing::default()
        .set_tokenizer("raw")
        .set_index_option(IndexRecordOption::WithFreqsAndPositions);
    let field = builder.add_text_field("t", TextOptions::default().set_indexing_options(indexing));
    (builder.build(), field)
}

/// The bytes of a segment's files.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) terms: Vec<u8>,
    pub(super) postings: Vec<u8>,
    pub(super) positions: Vec<u8>,
}

/// Writes a segment: `counts` are the tokens of each row, and `terms` writes terms in their order.
pub(super) fn write(
    counts: &[u32],
    terms: impl FnOnce(&mut FieldSerializer<'_>) -> Result<(), TextError>,
) -> Result<Files, TextError> {
    let (schema, field) = schema();
    let directory = RamDirectory::create();
    let index = Index::create(directory.clone(), schema, IndexSettings::default())
        .map_err(TextError::write)?;
    let segment = index.new_segment();
    let mut serializer = InvertedIndexSerializer::open(&segment).map_err(TextError::write)?;
    let lengths: Vec<u8> = counts.iter().map(|count| bm25::length_code(*count)).collect();
    let lengths = FieldNormReader::open(FileSlice::from(lengths)).map_err(TextError::write)?;
    let tokens = counts.iter().map(|count| u64::from(*count)).sum();
    let mut writer =
        serializer.new_field(field, tokens, Some(lengths)).map_err(TextError::write)?;
    terms(&mut writer)?;
    writer.close().map_err(TextError::write)?;
    serializer.close().map_err(TextError::write)?;
    let bytes = |component| -> Result<Vec<u8>, TextError> {
        let file =
            directory.open_read(&segment.relative_path(component)).map_err(TextError::write)?;
        Ok(file.read_bytes().map_err(TextError::write)?.as_slice().to_vec())
    };
    Ok(Files {
        terms: bytes(SegmentComponent::Terms)?,
        postings: bytes(SegmentComponent::Postings)?,
        positions: bytes(SegmentComponent::Positions)?,
    })
}

/// An index without documents.
struct Empty {
    field: Field,
    files: HashMap<PathBuf, OwnedBytes>,
    terms: PathBuf,
    postings: PathBuf,
    positions: PathBuf,
}

impl Empty {
    fn new() -> tantivy::Result<Self> {
        let (schema, field) = schema();
        let directory = RamDirectory::create();
        let writer = Index::builder()
            .schema(schema)
            .single_segment_index_writer::<TantivyDocument>(directory.clone(), WRITER_BYTES)?;
        let index = writer.finalize()?;
        let segments = index.searchable_segments()?;
        let segment = segments.first().ok_or_else(|| {
            tantivy::TantivyError::InternalError("an index without its segment".to_owned())
        })?;
        let mut files = HashMap::new();
        for component in
            [SegmentComponent::Store, SegmentComponent::FastFields, SegmentComponent::FieldNorms]
        {
            let path = segment.relative_path(component);
            let bytes = directory.open_read(&path)?.read_bytes()?;
            files.insert(path, bytes);
        }
        files.insert(META.into(), OwnedBytes::new(directory.atomic_read(Path::new(META))?));
        Ok(Self {
            field,
            files,
            terms: segment.relative_path(SegmentComponent::Terms),
            postings: segment.relative_path(SegmentComponent::Postings),
            positions: segment.relative_path(SegmentComponent::Positions),
        })
    }

    fn get() -> Result<&'static Self, TextError> {
        static EMPTY: OnceLock<Result<Empty, String>> = OnceLock::new();
        let empty = EMPTY.get_or_init(|| Self::new().map_err(|error| error.to_string()));
        empty.as_ref().map_err(TextError::write)
    }
}

/// Opens the postings of a field.
pub(super) fn open(
    terms: OwnedBytes,
    postings: Arc<dyn FileHandle>,
    positions: Arc<dyn FileHandle>,
) -> Result<Arc<InvertedIndexReader>, TextError> {
    let empty = Empty::get()?;
    let overlay = Overlay { empty, terms: Arc::new(terms), postings, positions };
    let index = Index::open(overlay)?;
    let segments = index.searchable_segments()?;
    let segment = segments.first().ok_or(TextError::damaged("an index without its segment"))?;
    Ok(SegmentReader::open(segment)?.inverted_index(empty.field)?)
}

/// The empty index with the files of a field.
#[derive(Clone)]
struct Overlay {
    empty: &'static Empty,
    terms: Arc<dyn FileHandle>,
    postings: Arc<dyn FileHandle>,
    positions: Arc<dyn FileHandle>,
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Overlay")
    }
}

impl Overlay {
    fn is_read_only<T>() -> io::Result<T> {
        Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "a segment is never written again"))
    }
}

impl Directory for Overlay {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        if path == self.empty.terms {
            Ok(Arc::clone(&self.terms))
        } else if path == self.empty.postings {
            Ok(Arc::clone(&self.postings))
        } else if path == self.empty.positions {
            Ok(Arc::clone(&self.positions))
        } else {
            let file = self.empty.files.get(path);
            let file = file.ok_or_else(|| OpenReadError::FileDoesNotExist(path.to_owned()))?;
            Ok(Arc::new(file.clone()))
        }
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        Err(DeleteError::FileDoesNotExist(path.to_owned()))
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        Ok(self.get_file_handle(path).is_ok())
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        Self::is_read_only().map_err(|error| OpenWriteError::wrap_io_error(error, path.to_owned()))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        let file = self.empty.files.get(path);
        let file = file.ok_or_else(|| OpenReadError::FileDoesNotExist(path.to_owned()))?;
        Ok(file.as_slice().to_vec())
    }

    fn atomic_write(&self, _: &Path, _: &[u8]) -> io::Result<()> {
        Self::is_read_only()
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn watch(&self, _: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}
