//! The frame of a file: header, directory, trailer, and the checksum of every block.
//!
//! The byte tables are in `docs/formats/attributes.md`.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use super::bytes::Bytes;
use super::error::{AttributesError, Result, damaged};
use crate::schema::FieldNo;
use crate::value::Scalar;

/// Bytes of the header.
pub(super) const HEADER_BYTES: u64 = 32;
/// Bytes of the trailer.
pub(super) const TRAILER_BYTES: u64 = 40;
/// Bytes of a checksum.
pub(super) const SUM_BYTES: usize = 4;
/// What a file begins with.
const MAGIC: &[u8; 8] = b"DOCDBATR";
const VERSION: u32 = 1;
/// Bytes of an entry of the directory.
const ENTRY_BYTES: usize = 46;
/// Most attributes of a file: those of a schema, ids and LSNs.
const ENTRIES_MAX: usize = crate::schema::FIELDS_MAX + 2;

/// What was written, which whoever opens the file has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the file.
    pub len: u64,
    /// Bytes at its end that opening it reads.
    pub tail_bytes: u64,
}

/// What a block is; goes into the seed of its checksum. Part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Part {
    Header = 0,
    Trailer = 1,
    Directory = 2,
    Dictionary = 3,
    Postings = 4,
    Symbols = 5,
    Present = 6,
    Index = 7,
}

/// Whose values a block has: an attribute, the ids, or the LSNs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot(pub(super) u32);

impl Slot {
    /// Of blocks that belong to the whole file.
    pub(super) const FILE: Self = Self(u32::MAX);
    /// The ids of documents.
    pub(super) const ID: Self = Self(0x1_0000);
    /// The LSNs of documents.
    pub(super) const LSN: Self = Self(0x1_0001);

    /// An attribute.
    pub(super) fn of(field: FieldNo) -> Self {
        Self(u32::from(field.0))
    }

    /// The attribute that it is, if it is one.
    pub(super) fn field(self) -> Option<FieldNo> {
        u16::try_from(self.0).ok().map(FieldNo)
    }
}

/// What a block is, whose it is, and which of them: what its checksum is seeded with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name(pub(super) Part, pub(super) Slot, pub(super) u32);

fn checksum(identity: &[u8; 16], Name(part, slot, number): Name, bytes: &[u8]) -> u32 {
    let crc = crc32c::crc32c(identity);
    let crc = crc32c::crc32c_append(crc, &[part as u8]);
    let crc = crc32c::crc32c_append(crc, &slot.0.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &number.to_le_bytes());
    crc32c::crc32c_append(crc, bytes)
}

/// Takes the checksum off the end of a block and checks it.
pub(super) fn unseal(identity: &[u8; 16], name: Name, bytes: &mut Vec<u8>) -> Result<()> {
    let does_not_fit = damaged("the checksum of a block does not fit");
    let Some((summed, sum)) = bytes.split_last_chunk::<SUM_BYTES>() else {
        return Err(does_not_fit);
    };
    if u32::from_le_bytes(*sum) != checksum(identity, name, summed) {
        return Err(does_not_fit);
    }
    let len = summed.len();
    bytes.truncate(len);
    Ok(())
}

/// Where a block is, its checksum included. A length of 0 is that of no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Extent {
    pub(super) at: u64,
    pub(super) len: u32,
}

impl Extent {
    pub(super) fn range(self) -> Range<u64> {
        self.at..self.at.saturating_add(u64::from(self.len))
    }

    /// An extent between the header and `end`, or no block.
    pub(super) fn checked(at: u64, len: u32, end: u64) -> Result<Self> {
        let extent = Self { at, len };
        let is_none = extent == Self::default();
        let is_long_enough = usize::try_from(len).is_ok_and(|len| len >= SUM_BYTES);
        if is_none || (at >= HEADER_BYTES && is_long_enough && extent.range().end <= end) {
            return Ok(extent);
        }
        Err(damaged("a block lies outside of the file"))
    }
}

/// What the values of a dictionary are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of one type.
    Scalar(Scalar),
    /// Ids: uints, UUIDs and strings.
    Mixed,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Scalar(Scalar::String) => 0,
            Self::Scalar(Scalar::Int) => 1,
            Self::Scalar(Scalar::Uint) => 2,
            Self::Scalar(Scalar::Float) => 3,
            Self::Scalar(Scalar::Bool) => 4,
            Self::Scalar(Scalar::Uuid) => 5,
            Self::Scalar(Scalar::DateTime) => 6,
            Self::Mixed => 255,
        }
    }

    fn of(code: u8) -> Option<Self> {
        let mut all = Scalar::ALL.into_iter().map(Self::Scalar).chain([Self::Mixed]);
        all.find(|kind| kind.code() == code)
    }
}

/// What the directory says of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) slot: Slot,
    pub(super) kind: Kind,
    pub(super) is_array: bool,
    /// The code of each row's value is its number: there are neither postings nor symbols.
    pub(super) is_ordinal: bool,
    /// Different values.
    pub(super) distinct: u32,
    /// Rows that have one.
    pub(super) present: u32,
    /// Pairs of a value and a row that has it.
    pub(super) pairs: u64,
    pub(super) index: Extent,
    /// The rows that have a value; no block when all have one.
    pub(super) present_rows: Extent,
}

const ARRAY: u8 = 1;
const ORDINAL: u8 = 2;

impl Entry {
    fn encode(&self, out: &mut Vec<u8>) {
        let mut flags = 0;
        if self.is_array {
            flags |= ARRAY;
        }
        if self.is_ordinal {
            flags |= ORDINAL;
        }
        out.extend_from_slice(&self.slot.0.to_le_bytes());
        out.extend_from_slice(&[self.kind.code(), flags]);
        out.extend_from_slice(&self.distinct.to_le_bytes());
        out.extend_from_slice(&self.present.to_le_bytes());
        out.extend_from_slice(&self.pairs.to_le_bytes());
        for extent in [self.index, self.present_rows] {
            out.extend_from_slice(&extent.at.to_le_bytes());
            out.extend_from_slice(&extent.len.to_le_bytes());
        }
    }

    fn decode(bytes: &mut Bytes<'_>, rows: u32, end: u64) -> Result<Self> {
        let slot = Slot(bytes.u32()?);
        let kind = Kind::of(bytes.u8()?).ok_or(damaged("an unknown type"))?;
        let flags = bytes.u8()?;
        let (is_array, is_ordinal) = (flags & ARRAY != 0, flags & ORDINAL != 0);
        let (distinct, present, pairs) = (bytes.u32()?, bytes.u32()?, bytes.u64()?);
        let index = Extent::checked(bytes.u64()?, bytes.u32()?, end)?;
        let present_rows = Extent::checked(bytes.u64()?, bytes.u32()?, end)?;
        let is_scalar = kind != Kind::Mixed;
        let fits = flags <= (ARRAY | ORDINAL)
            && (slot.field().is_some() || matches!(slot, Slot::ID | Slot::LSN))
            && is_scalar == (slot != Slot::ID)
            && present <= rows
            && u64::from(distinct) <= pairs
            && pairs >= u64::from(present)
            && (is_array || pairs == u64::from(present))
            && (present == 0) == (distinct == 0)
            && (present_rows == Extent::default()) == (present == rows)
            && (!is_ordinal || (!is_array && distinct == rows && present == rows))
            && index != Extent::default();
        if !fits {
            return Err(damaged("the directory contradicts itself"));
        }
        Ok(Self { slot, kind, is_array, is_ordinal, distinct, present, pairs, index, present_rows })
    }
}

/// Writes a file from front to back.
pub(super) struct FileWriter<'a> {
    identity: &'a [u8; 16],
    out: &'a mut dyn Write,
    at: u64,
}

impl<'a> FileWriter<'a> {
    /// Begins a file with its header.
    pub(super) fn begin(identity: &'a [u8; 16], out: &'a mut dyn Write) -> Result<Self> {
        let mut file = Self { identity, out, at: 0 };
        let mut header = Vec::new();
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(identity);
        file.block(Name(Part::Header, Slot::FILE, 0), &header)?;
        Ok(file)
    }

    /// Writes a block and its checksum.
    pub(super) fn block(&mut self, name: Name, bytes: &[u8]) -> Result<Extent> {
        let failed = |error| AttributesError::Write(Arc::new(error));
        let len = u32::try_from(bytes.len().saturating_add(SUM_BYTES))
            .map_err(|_| AttributesError::Full { what: "a block has 4 GiB" })?;
        let sum = checksum(self.identity, name, bytes);
        self.out.write_all(bytes).map_err(failed)?;
        self.out.write_all(&sum.to_le_bytes()).map_err(failed)?;
        let extent = Extent { at: self.at, len };
        self.at = self.at.saturating_add(u64::from(len));
        Ok(extent)
    }

    /// Ends the file with its directory and trailer. Entries are in the order of slots.
    pub(super) fn end(mut self, rows: u32, entries: &[Entry]) -> Result<Written> {
        let mut directory = Vec::new();
        for entry in entries {
            entry.encode(&mut directory);
        }
        let count = u32::try_from(entries.len())
            .map_err(|_| AttributesError::Full { what: "there are too many attributes" })?;
        let directory = self.block(Name(Part::Directory, Slot::FILE, 0), &directory)?;
        let len = self.at.saturating_add(TRAILER_BYTES);
        let mut trailer = Vec::new();
        trailer.extend_from_slice(&rows.to_le_bytes());
        trailer.extend_from_slice(&count.to_le_bytes());
        trailer.extend_from_slice(&directory.at.to_le_bytes());
        trailer.extend_from_slice(&directory.len.to_le_bytes());
        trailer.extend_from_slice(&len.to_le_bytes());
        trailer.extend_from_slice(MAGIC);
        self.block(Name(Part::Trailer, Slot::FILE, 0), &trailer)?;
        Ok(Written { len, tail_bytes: len.saturating_sub(directory.at) })
    }
}

/// Checks the header.
pub(super) fn check_header(identity: &[u8; 16], mut bytes: Vec<u8>) -> Result<()> {
    unseal(identity, Name(Part::Header, Slot::FILE, 0), &mut bytes)?;
    let mut bytes = Bytes(&bytes);
    if bytes.take(MAGIC.len())? != MAGIC || bytes.u32()? != VERSION {
        return Err(damaged("it is of another kind or version"));
    }
    if bytes.array()? != *identity {
        return Err(damaged("it is another file"));
    }
    bytes.end()
}

/// What the trailer says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trailer {
    pub(super) rows: u32,
    entries: usize,
    pub(super) directory: Extent,
}

impl Trailer {
    /// Decodes the trailer of a file of this length.
    pub(super) fn decode(identity: &[u8; 16], mut bytes: Vec<u8>, file_len: u64) -> Result<Self> {
        unseal(identity, Name(Part::Trailer, Slot::FILE, 0), &mut bytes)?;
        let mut bytes = Bytes(&bytes);
        let (rows, entries) = (bytes.u32()?, bytes.u32()?);
        let (at, len) = (bytes.u64()?, bytes.u32()?);
        let directory_end = file_len.saturating_sub(TRAILER_BYTES);
        let directory = Extent::checked(at, len, directory_end)?;
        let entries = usize::try_from(entries).map_err(|_| damaged("too many attributes"))?;
        let directory_bytes = entries.saturating_mul(ENTRY_BYTES).saturating_add(SUM_BYTES);
        let fits = bytes.u64()? == file_len
            && bytes.take(MAGIC.len())? == MAGIC
            && directory.range().end == directory_end
            && entries <= ENTRIES_MAX
            && directory_bytes as u64 == u64::from(len)
            && rows < u32::MAX;
        bytes.end()?;
        if fits {
            Ok(Self { rows, entries, directory })
        } else {
            Err(damaged("the trailer contradicts itself"))
        }
    }

    /// Decodes the directory.
    pub(super) fn entries(&self, identity: &[u8; 16], mut bytes: Vec<u8>) -> Result<Vec<Entry>> {
        unseal(identity, Name(Part::Directory, Slot::FILE, 0), &mut bytes)?;
        let mut bytes = Bytes(&bytes);
        let entries: Vec<Entry> = (0..self.entries)
            .map(|_| Entry::decode(&mut bytes, self.rows, self.directory.at))
            .collect::<Result<_>>()?;
        bytes.end()?;
        let ascends = entries.is_sorted_by(|a, b| a.slot < b.slot);
        let has = |slot| entries.iter().any(|entry: &Entry| entry.slot == slot);
        let is_complete = has(Slot::ID) && has(Slot::LSN);
        let is_whole = |entry: &Entry| entry.slot.field().is_some() || entry.present == self.rows;
        if ascends && is_complete && entries.iter().all(is_whole) {
            return Ok(entries);
        }
        Err(damaged("the directory contradicts itself"))
    }
}
