//! Where the files of an index are, and the manifests that say which of them it consists of.
//!
//! [`Files`] writes and reads; [`Publisher`] is the index's end of its [`Chain`] of manifests: it writes the dead rows that
//! have changed and publishes the next manifest.
//!
//! `dead-<id>.roar`: the identity of the segment (16 bytes), the set of dead rows (a roaring bitmap in its portable form), and
//! CRC32C of both (4 bytes).

use std::collections::{HashMap, HashSet};
use std::io::Cursor;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use base::clock::WallMs;
use base::rng::Rng;
use base::words::Lsn;
use roaring::RoaringBitmap;

use super::Step;
use super::error::{IndexError, Result};
use super::rows::bitmap_bytes;
use super::segment::NewFile;
use crate::manifest::{
    Chain, Contents, Dead, Newest, Place, Record, Segment, SegmentFile, Sweep, WriterId,
};
use crate::schema::Schema;
use crate::storage::cache::Blocks;
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

/// The files of one index.
#[derive(Debug, Clone)]
pub(super) struct Files {
    backing: Backing,
    place: Place,
}

/// The files of a segment, as the manifest names them; without its dead rows.
#[derive(Debug, Clone)]
pub(super) struct SegmentFiles(Segment);

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
        Self { backing, place }
    }

    fn name(&self, of: &SegmentFiles, file: &SegmentFile) -> Result<Name> {
        Ok(self.place.file(of.id(), &file.name)?)
    }

    /// What queries read a file through.
    pub(super) fn reader(&self, of: &SegmentFiles, file: &SegmentFile) -> Result<Reader> {
        let name = self.name(of, file)?;
        let Backing { store, blocks } = &self.backing;
        Ok(Arc::new(blocks.object(Arc::clone(store), name, file.len)))
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
            put_unique(&*self.backing.store, &object, &bytes)?;
            written.push(SegmentFile { name, len, identity: id.bytes(), opening });
        }
        Ok(SegmentFiles(Segment { id, first, last, rows, dead: None, files: written }))
    }

    fn write_dead(&self, segment: Ulid, id: Ulid, rows: &RoaringBitmap) -> Result<Dead> {
        let mut bytes = segment.bytes().to_vec();
        bytes.extend(bitmap_bytes(rows));
        let sum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        let len = bytes.len() as u64;
        put_unique(&*self.backing.store, &self.place.dead(segment, id)?, &bytes)?;
        let rows = u32::try_from(rows.len()).expect("rows are numbered in 32 bits");
        Ok(Dead { id, len, rows })
    }

    fn read_dead(&self, segment: Ulid, dead: &Dead) -> Result<RoaringBitmap> {
        let object =
            Object::new(Arc::clone(&self.backing.store), self.place.dead(segment, dead.id)?);
        let whole: Range<u64> = 0..dead.len;
        let bytes = object.read(std::slice::from_ref(&whole)).map_err(IndexError::read)?.concat();
        let rows = bytes.split_last_chunk::<4>().and_then(|(summed, sum)| {
            let fits = crc32c::crc32c(summed) == u32::from_le_bytes(*sum);
            let (named, set) = summed.split_first_chunk::<16>()?;
            let is_ours = fits && *named == segment.bytes();
            let rows = RoaringBitmap::deserialize_from(Cursor::new(set)).ok()?;
            (is_ours && rows.len() == u64::from(dead.rows)).then_some(rows)
        });
        let damaged = IndexError::Damaged { what: "the dead rows are not those written".into() };
        rows.ok_or_else(|| damaged.of_segment(segment))
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
            let segment = SegmentFiles(Segment { dead: None, ..segment.clone() });
            segments.push(DurableSegment { files: segment, dead: rows });
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

    /// Deletes what no manifest needs any more.
    ///
    /// # Errors
    /// When the store fails, or somebody else has the index.
    pub(super) fn sweep(
        &mut self,
        now: WallMs,
        grace: Duration,
        in_work: HashSet<Ulid>,
    ) -> Result<Step> {
        let Some(chain) = &mut self.chain else { return Ok(Step::Idle) };
        let swept = chain.sweep(&Sweep { now, grace, in_work })?;
        let is_idle = swept.manifests == 0 && swept.objects == 0;
        Ok(if is_idle { Step::Idle } else { Step::Done })
    }
}
