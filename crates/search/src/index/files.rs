//! Where the files of an index are, and the manifests that say which of them it consists of.
//!
//! [`Files`] writes and reads; [`Publisher`] is the index's end of its [`Chain`] of manifests: it writes the dead rows that
//! have changed and publishes the next manifest.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use base::clock::WallMs;
use base::rng::Rng;
use base::words::Lsn;
use roaring::RoaringBitmap;

use super::Step;
use super::dead_file::{decode_dead, encode_dead};
use super::error::{IndexError, Result};
use super::segment::NewFile;
use crate::manifest::{
    Chain, Contents, Dead, Newest, Place, Record, Segment, SegmentFile, Sweep, WriterId,
};
use crate::schema::Schema;
use crate::storage::cache::{Blocks, CachedObject};
use crate::storage::{Name, Object, ReadRanges, StoreRef, Ulid, put_unique};

/// What files are read through.
pub(super) type Reader = Arc<dyn ReadRanges>;

/// What an index stands on.
#[derive(Debug, Clone)]
pub struct Backing {
    /// Where its files are.
    pub store: StoreRef,
    /// What queries read them through.
    pub blocks: Arc<Blocks>,
}

/// Files that wait, with their names.
#[cfg(feature = "planted-bugs")]
type Held = Arc<std::sync::Mutex<Vec<(Name, Vec<u8>)>>>;

/// The files of one index.
#[derive(Debug, Clone)]
pub(super) struct Files {
    backing: Backing,
    place: Place,
    /// Files that are put only after the manifest that names them.
    #[cfg(feature = "planted-bugs")]
    held: Option<Held>,
}

/// The files of a segment, as the manifest names them; without its dead rows.
#[derive(Debug, Clone)]
pub(super) struct SegmentFiles(Segment);

impl From<&Segment> for SegmentFiles {
    fn from(segment: &Segment) -> Self {
        Self(Segment { dead: None, ..segment.clone() })
    }
}

impl SegmentFiles {
    /// The identity of the segment.
    pub(super) fn id(&self) -> Ulid {
        self.0.id
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.0.files.iter().map(|file| file.len).sum()
    }

    /// The file of this name.
    pub(super) fn file(&self, name: &str) -> Result<&SegmentFile> {
        self.0.file(name).ok_or_else(|| {
            let what = format!("there is no file `{name}`").into();
            IndexError::Damaged { what }
        })
    }
}

impl Files {
    pub(super) fn new(backing: Backing, place: Place) -> Self {
        Self {
            backing,
            place,
            #[cfg(feature = "planted-bugs")]
            held: None,
        }
    }

    /// From now on manifests come before what they name, if a test wants it so.
    #[cfg(feature = "planted-bugs")]
    pub(super) fn plant(&mut self, planted: Option<crate::planted::Bug>) {
        if planted == Some(crate::planted::Bug::PublishBeforeUpload) {
            self.held = Some(Arc::default());
        }
    }

    #[cfg(feature = "planted-bugs")]
    pub(super) fn put_held(&self) -> Result<()> {
        let held = self.held.as_ref().map(|held| std::mem::take(&mut *super::lock(held)));
        for (object, bytes) in held.into_iter().flatten() {
            put_unique(&*self.backing.store, &object, &bytes)?;
        }
        Ok(())
    }

    fn name(&self, of: &SegmentFiles, file: &SegmentFile) -> Result<Name> {
        Ok(self.place.file(of.id(), &file.name)?)
    }

    /// What queries read a file through.
    pub(super) fn cached(&self, of: &SegmentFiles, file: &SegmentFile) -> Result<CachedObject> {
        let name = self.name(of, file)?;
        let Backing { store, blocks } = &self.backing;
        Ok(blocks.object(Arc::clone(store), name, file.len))
    }

    /// What reads a file past the cache: for what is read once.
    pub(super) fn reader_past_cache(
        &self,
        of: &SegmentFiles,
        file: &SegmentFile,
    ) -> Result<Reader> {
        let name = self.name(of, file)?;
        Ok(Arc::new(Object::new(Arc::clone(&self.backing.store), name)))
    }

    /// All of a file, past the cache.
    pub(super) fn read_whole(&self, of: &SegmentFiles, file: &SegmentFile) -> Result<Vec<u8>> {
        let object = self.reader_past_cache(of, file)?;
        let whole: Range<u64> = 0..file.len;
        let parts = object.read(std::slice::from_ref(&whole)).map_err(IndexError::read)?;
        Ok(parts.concat())
    }

    /// Writes the files of a segment, which covers these positions. Nobody knows of them before they are published.
    pub(super) fn write(&self, id: Ulid, made: NewSegment) -> Result<SegmentFiles> {
        let NewSegment { span: (first, last), rows, files } = made;
        let mut written = Vec::with_capacity(files.len());
        for NewFile { name, bytes, opening } in files {
            let object = self.place.file(id, &name)?;
            let len = bytes.len() as u64;
            #[cfg(feature = "planted-bugs")]
            if let (Some(held), "docs.parquet") = (&self.held, name.as_str()) {
                super::lock(held).push((object, bytes));
                written.push(SegmentFile { name, len, identity: id.bytes(), opening });
                continue;
            }
            put_unique(&*self.backing.store, &object, &bytes)?;
            written.push(SegmentFile { name, len, identity: id.bytes(), opening });
        }
        Ok(SegmentFiles(Segment { id, first, last, rows, dead: None, files: written }))
    }

    fn write_dead(&self, segment: Ulid, id: Ulid, rows: &RoaringBitmap) -> Result<Dead> {
        let bytes = encode_dead(segment, rows);
        let len = bytes.len() as u64;
        put_unique(&*self.backing.store, &self.place.dead(segment, id)?, &bytes)?;
        let rows = u32::try_from(rows.len()).expect("rows are numbered in 32 bits");
        Ok(Dead { id, len, rows })
    }

    /// Reads the rows of a segment that had died.
    ///
    /// # Errors
    /// [`IndexError::Segment`] when their file is damaged or cannot be read.
    pub(super) fn read_dead(&self, segment: Ulid, dead: &Dead) -> Result<RoaringBitmap> {
        let object =
            Object::new(Arc::clone(&self.backing.store), self.place.dead(segment, dead.id)?);
        let whole: Range<u64> = 0..dead.len;
        object
            .read(std::slice::from_ref(&whole))
            .map_err(IndexError::read)
            .and_then(|parts| decode_dead(segment, dead.rows, &parts.concat()))
            .map_err(|error| error.of_segment(segment))
    }
}

/// The files of a segment to be.
#[derive(Debug)]
pub(super) struct NewSegment {
    /// The first and the last position that it covers.
    pub(super) span: (Lsn, Lsn),
    pub(super) rows: u32,
    pub(super) files: Vec<NewFile>,
}

/// The state of an index that is durable, or is to be.
#[derive(Debug, Clone)]
pub(super) struct Durable {
    pub(super) applied: Lsn,
    pub(super) schema: Arc<Schema>,
    pub(super) segments: Vec<DurableSegment>,
}

/// A segment in it.
#[derive(Debug, Clone)]
pub(super) struct DurableSegment {
    pub(super) files: SegmentFiles,
    pub(super) dead: RoaringBitmap,
}

/// Publishes the durable states of an index.
#[derive(Debug)]
pub(super) struct Publisher {
    /// None of an index in the making, of which nothing is durable.
    chain: Option<Chain>,
    /// The dead rows of each segment as they were written last. Rows only ever die, so as many are the same.
    dead: HashMap<Ulid, Dead>,
}

impl Publisher {
    /// Finds the durable state; none when there is none, or none that can be read.
    ///
    /// # Errors
    /// When somebody else has the index, and when the store fails.
    pub(super) fn open(
        files: &Files,
        record: Option<Record>,
        now: WallMs,
    ) -> Result<Option<(Self, Durable)>> {
        let (chain, newest) = Self::chain(files, record, now)?;
        let Newest::Manifest(manifest) = newest else { return Ok(None) };
        let contents = &manifest.contents;
        let schema = Arc::new(Schema::from_stored(&contents.schema)?);
        let mut segments = Vec::with_capacity(contents.segments.len());
        let mut dead = HashMap::new();
        for segment in contents.segments.iter() {
            let rows = match &segment.dead {
                None => RoaringBitmap::new(),
                Some(found) => {
                    dead.insert(segment.id, *found);
                    files.read_dead(segment.id, found)?
                }
            };
            segments.push(DurableSegment { files: segment.into(), dead: rows });
        }
        let durable = Durable { applied: contents.applied, schema, segments };
        Ok(Some((Self { chain: Some(chain), dead }, durable)))
    }

    /// Makes ready to publish behind whatever there is.
    ///
    /// # Errors
    /// As [`Publisher::open`].
    pub(super) fn claim(files: &Files, record: Option<Record>, now: WallMs) -> Result<Self> {
        let (chain, _) = Self::chain(files, record, now)?;
        Ok(Self { chain: Some(chain), dead: HashMap::new() })
    }

    fn chain(files: &Files, record: Option<Record>, now: WallMs) -> Result<(Chain, Newest)> {
        let writer = WriterId::random().map_err(IndexError::read)?;
        let store = Arc::clone(&files.backing.store);
        let is_shared = record.is_some();
        let (mut chain, newest) = Chain::open(store, files.place, writer, record)?;
        if is_shared {
            // Whoever wrote before hears of it now, and not at our first flush.
            chain.claim(now)?;
        }
        Ok((chain, newest))
    }

    /// Of an index in the making: it publishes nothing.
    pub(super) fn unpublished() -> Self {
        Self { chain: None, dead: HashMap::new() }
    }

    /// Whether states that it is given become durable.
    pub(super) fn is_published(&self) -> bool {
        self.chain.is_some()
    }

    /// Makes a state the durable one.
    ///
    /// # Errors
    /// When the store fails. It may be tried again, with this or a later state.
    pub(super) fn commit(
        &mut self,
        files: &Files,
        durable: Durable,
        now: WallMs,
        rng: &mut Rng,
    ) -> Result<()> {
        let Some(chain) = &mut self.chain else { return Ok(()) };
        let mut named = HashMap::new();
        let mut segments = Vec::with_capacity(durable.segments.len());
        for DurableSegment { files: of, dead } in durable.segments {
            let id = of.id();
            let before = self.dead.get(&id).filter(|before| u64::from(before.rows) == dead.len());
            let dead = match before {
                _ if dead.is_empty() => None,
                Some(before) => Some(*before),
                None => Some(files.write_dead(id, Ulid::new(now, rng), &dead)?),
            };
            named.extend(dead.map(|dead| (id, dead)));
            segments.push(Segment { dead, ..of.0 });
        }
        let contents = Contents {
            applied: durable.applied,
            schema: durable.schema.to_stored().into_bytes().into(),
            segments: segments.into(),
        };
        chain.publish(contents, now)?;
        self.dead = named;
        Ok(())
    }

    /// Whether there is something to delete that may only be deleted after another publication: this opening of the
    /// index has published nothing yet, or its last try was not answered.
    ///
    /// # Errors
    /// As [`Publisher::sweep`].
    pub(super) fn must_publish_to_sweep(&mut self, sweep: &Sweep) -> Result<bool> {
        let Some(chain) = &mut self.chain else { return Ok(false) };
        Ok(chain.has_leftovers_before_publishing(sweep)?)
    }

    /// Deletes what no manifest needs any more.
    ///
    /// # Errors
    /// When the store fails, or somebody else has the index.
    pub(super) fn sweep(&mut self, sweep: &Sweep) -> Result<Step> {
        let Some(chain) = &mut self.chain else { return Ok(Step::Idle) };
        let swept = chain.sweep(sweep)?;
        let is_idle = swept.manifests == 0 && swept.objects == 0;
        Ok(if is_idle { Step::Idle } else { Step::Done })
    }

    /// Whether a later sweep will have something to delete, even if nothing is written until then.
    pub(super) fn has_waiting(&self) -> bool {
        self.chain.as_ref().is_some_and(Chain::has_waiting)
    }
}
