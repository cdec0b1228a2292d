//! Manifests as bytes: `docs/formats/search-manifest.md`.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use base::clock::WallMs;
use base::words::{CollectionId, DatabaseId, Lsn};

use super::{Contents, Dead, Manifest, ManifestError, Place, Segment, SegmentFile, WriterId};
use super::{FILES_MAX, SEGMENTS_MAX};
use crate::storage::{Name, Ulid, WHOLE_BYTES_MAX};

/// The first bytes of every manifest.
const MAGIC: [u8; 8] = *b"DOCDBSMF";
/// The format version that is written, and the newest one that is read.
const VERSION: u32 = 1;
/// Bytes of the checksum at the end.
const SUM_BYTES: usize = 4;
/// The most bytes of a manifest: what a store creates atomically.
pub const MANIFEST_BYTES_MAX: u64 = WHOLE_BYTES_MAX;
/// A flag of a segment: it has dead rows.
const HAS_DEAD: u8 = 1;

/// Which manifest some bytes should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) place: Place,
    pub(super) term: u64,
    pub(super) number: u64,
}

/// A manifest's bytes.
///
/// # Errors
/// [`ManifestError::Invalid`] when the contents break a rule or are too long.
pub fn encode(manifest: &Manifest) -> Result<Vec<u8>, ManifestError> {
    let invalid = |what| ManifestError::Invalid { what };
    let contents = &manifest.contents;
    contents.check().map_err(invalid)?;
    let mut out = Writer(Vec::with_capacity(4096));
    out.bytes(&MAGIC);
    out.u32(VERSION);
    // The length, once it is known.
    out.u32(0);
    out.bytes(manifest.place.database.as_bytes());
    out.u32(manifest.place.collection.0);
    out.u32(0);
    out.u64(manifest.term);
    out.u64(manifest.number);
    out.bytes(&manifest.writer.0);
    out.u64(manifest.written_at.0);
    out.u64(contents.applied.0);
    out.count(contents.schema.len());
    out.count(contents.segments.len());
    out.bytes(&contents.schema);
    contents.segments.iter().for_each(|segment| out.segment(segment));
    let mut bytes = out.0;
    let len = bytes.len().saturating_add(SUM_BYTES);
    if len as u64 > MANIFEST_BYTES_MAX {
        return Err(invalid("it is too long"));
    }
    let len = u32::try_from(len).map_err(|_| invalid("it is too long"))?;
    if let Some(field) = bytes.get_mut(12..16) {
        field.copy_from_slice(&len.to_le_bytes());
    }
    let sum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    Ok(bytes)
}

struct Writer(Vec<u8>);

impl Writer {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn u16(&mut self, n: u16) {
        self.bytes(&n.to_le_bytes());
    }

    fn u32(&mut self, n: u32) {
        self.bytes(&n.to_le_bytes());
    }

    fn u64(&mut self, n: u64) {
        self.bytes(&n.to_le_bytes());
    }

    /// A number of things that [`Contents::check`] has bounded.
    fn count(&mut self, n: usize) {
        self.u32(u32::try_from(n).unwrap_or(u32::MAX));
    }

    fn segment(&mut self, segment: &Segment) {
        self.bytes(&segment.id.bytes());
        self.u64(segment.first.0);
        self.u64(segment.last.0);
        self.u32(segment.rows);
        let flags = if segment.dead.is_some() { HAS_DEAD } else { 0 };
        let files = u8::try_from(segment.files.len()).unwrap_or(u8::MAX);
        self.bytes(&[files, flags, 0, 0]);
        if let Some(dead) = segment.dead {
            self.bytes(&dead.id.bytes());
            self.u64(dead.len);
            self.u32(dead.rows);
            self.u32(0);
        }
        for file in &segment.files {
            let name = u8::try_from(file.name.len()).unwrap_or(u8::MAX);
            self.bytes(&[name, 0]);
            self.u16(u16::try_from(file.opening.len()).unwrap_or(u16::MAX));
            self.u64(file.len);
            self.bytes(&file.identity);
            self.bytes(file.name.as_bytes());
            self.bytes(&file.opening);
        }
    }
}

/// The manifest that `bytes` are, read from the place, term and number that its name says.
///
/// # Errors
/// [`ManifestError::Damaged`], or [`ManifestError::Version`] when a later docdb wrote it.
pub fn decode(
    place: Place,
    term: u64,
    number: u64,
    bytes: &[u8],
) -> Result<Manifest, ManifestError> {
    let object = place.manifest(term, number)?;
    let expected = Expected { place, term, number };
    parse(&expected, bytes).map_err(|flaw| flaw.of(object))
}

/// What is wrong with some bytes.
enum Flaw {
    Damaged(&'static str),
    Version(u32),
}

impl Flaw {
    fn of(self, object: Name) -> ManifestError {
        match self {
            Self::Damaged(what) => ManifestError::Damaged { object, what },
            Self::Version(version) => {
                ManifestError::Version { object, version, supported: VERSION }
            }
        }
    }
}

type Parsed<T> = Result<T, Flaw>;

fn rule(holds: bool, what: &'static str) -> Parsed<()> {
    if holds { Ok(()) } else { Err(Flaw::Damaged(what)) }
}

fn parse(expected: &Expected, bytes: &[u8]) -> Parsed<Manifest> {
    let mut head = Reader(bytes);
    rule(head.array()? == MAGIC, "it does not begin as a manifest does")?;
    let version = head.u32()?;
    if version > VERSION {
        return Err(Flaw::Version(version));
    }
    rule(version == VERSION, "there is no such format version")?;
    rule(u64::from(head.u32()?) == bytes.len() as u64, "its length is another")?;
    let (summed, sum) =
        bytes.split_last_chunk::<SUM_BYTES>().ok_or(Flaw::Damaged("it is too short"))?;
    rule(crc32c::crc32c(summed) == u32::from_le_bytes(*sum), "its checksum does not fit")?;
    let left = head.0.len().saturating_sub(SUM_BYTES);
    let mut from = Reader(head.0.get(..left).unwrap_or_default());
    let manifest = from.manifest()?;
    rule(from.0.is_empty(), "bytes are left over")?;
    let found = Expected { place: manifest.place, term: manifest.term, number: manifest.number };
    rule(found == *expected, "it belongs to another place")?;
    manifest.contents.check().map_err(Flaw::Damaged)?;
    Ok(manifest)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Parsed<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(Flaw::Damaged("it is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let (taken, rest) =
            self.0.split_first_chunk::<N>().ok_or(Flaw::Damaged("it is cut off"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u16(&mut self) -> Parsed<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Parsed<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Parsed<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn count(&mut self, max: usize) -> Parsed<usize> {
        let count = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        rule(count <= max, "a number is greater than it may be")?;
        Ok(count)
    }

    /// Everything behind the length.
    fn manifest(&mut self) -> Parsed<Manifest> {
        let database = DatabaseId::from_bytes(self.array()?);
        let collection = CollectionId(self.u32()?);
        rule(self.u32()? == 0, "bytes that are kept free are used")?;
        let (term, number) = (self.u64()?, self.u64()?);
        let writer = WriterId(self.array()?);
        let written_at = WallMs(self.u64()?);
        let applied = Lsn(self.u64()?);
        let schema = self.count(super::SCHEMA_BYTES_MAX)?;
        let segments = self.count(SEGMENTS_MAX)?;
        let schema = self.take(schema)?.into();
        // Each takes bytes, so that a number alone allocates nothing.
        let segments = (0..segments).map(|_| self.segment()).collect::<Parsed<Vec<Segment>>>()?;
        let contents = Contents { applied, schema, segments: segments.into() };
        let place = Place { database, collection };
        Ok(Manifest { place, term, number, writer, written_at, contents })
    }

    fn segment(&mut self) -> Parsed<Segment> {
        let id = Ulid::from_bytes(self.array()?);
        let (first, last) = (Lsn(self.u64()?), Lsn(self.u64()?));
        let rows = self.u32()?;
        let [files, flags, zero, zero_too] = self.array()?;
        rule(zero == 0 && zero_too == 0, "bytes that are kept free are used")?;
        rule(flags & !HAS_DEAD == 0, "a flag is unknown")?;
        rule(usize::from(files) <= FILES_MAX, "a number is greater than it may be")?;
        let dead = if flags & HAS_DEAD != 0 { Some(self.dead()?) } else { None };
        let files = (0..files).map(|_| self.file()).collect::<Parsed<Vec<SegmentFile>>>()?;
        Ok(Segment { id, first, last, rows, dead, files })
    }

    fn dead(&mut self) -> Parsed<Dead> {
        let dead =
            Dead { id: Ulid::from_bytes(self.array()?), len: self.u64()?, rows: self.u32()? };
        rule(self.u32()? == 0, "bytes that are kept free are used")?;
        Ok(dead)
    }

    fn file(&mut self) -> Parsed<SegmentFile> {
        let [name, zero] = self.array()?;
        rule(zero == 0, "bytes that are kept free are used")?;
        let opening = self.u16()?;
        let (len, identity) = (self.u64()?, self.array()?);
        let name = std::str::from_utf8(self.take(name.into())?)
            .map_err(|_| Flaw::Damaged("the name of a file is not valid"))?
            .to_owned();
        let opening = self.take(opening.into())?.to_vec();
        Ok(SegmentFile { name, len, identity, opening })
    }
}

#[cfg(test)]
mod tests;
