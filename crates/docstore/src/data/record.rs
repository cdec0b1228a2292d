//! The record: one version of a document, or the note that it is gone.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | CRC32C of everything behind it up to the end of the payload, seeded |
//! | 1 | flags: bit 0 tombstone, bit 1 LZ4, bit 2 expiry, bit 3 padding; the others are zero |
//! | 1..4 | length of the payload as stored, varint |
//! | 1..5 | collection, varint |
//! | 1..10 | LSN, varint |
//! | 1..10 | expiry, milliseconds since the Unix epoch, varint; with bit 2 only |
//! | 1..4 | length of the JSON text, varint; with bit 1 only |
//! | 1 | length of the id |
//! | n | the id, as `DocId::encode` gives it |
//! | n | payload: the JSON text, as an LZ4 block with bit 1; nothing for a tombstone |
//! | 0..7 | zeros up to a multiple of 8 |
//!
//! The **seed** is the CRC of the database's UUID, the file's number and the record's data offset:
//! no byte of another database or file verifies, nor a record that stands where it does not belong.
//! **Valid** when the CRC fits, every field has its one encoding and is in range, and the zeros are
//! zeros. **Padding** (bit 3 alone, three zeros behind it) says that zeros follow to the end of the
//! stripe.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use base::clock::WallMs;
use base::document::Document;
use base::limits::DOCUMENT_BYTES_MAX;
use base::words::{CollectionId, DocId, Lsn};

use super::bytes::{Cursor, VARINT_BYTES_MAX, put_varint};
use super::error::Flaw;
use super::identity::FileIdentity;
use crate::location::Location;

/// Records begin at multiples of this.
pub const ALIGN: usize = 8;
/// What stands before the longest payload, at most.
pub const HEADER_BYTES_MAX: usize = 4 + 1 + 5 * VARINT_BYTES_MAX + 1 + DocId::ENCODED_BYTES_MAX;
/// The longest record, zeros behind it included.
pub const RECORD_BYTES_MAX: usize = (HEADER_BYTES_MAX + DOCUMENT_BYTES_MAX).next_multiple_of(ALIGN);
/// A shorter JSON text is stored as it is: there is too little to gain.
pub const COMPRESS_BYTES_MIN: usize = 256;

/// No LZ4 block grows by more than this when it is unpacked (LZ4 block format: a byte of length
/// stands for at most 255).
const LZ4_GROWTH_MAX: usize = 256;

const CRC_BYTES: usize = 4;
const TOMBSTONE: u8 = 1;
const LZ4: u8 = 2;
const EXPIRY: u8 = 4;
const PADDING: u8 = 8;

/// A record to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// The collection.
    pub collection: CollectionId,
    /// The document.
    pub id: &'a DocId,
    /// The change that made this version.
    pub lsn: Lsn,
    /// What the change was.
    pub body: Body<'a>,
}

/// What became of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// It has these bytes.
    Document {
        /// The bytes.
        document: &'a Document,
        /// When it stops being visible, if ever.
        expires_at: Option<WallMs>,
    },
    /// It is gone.
    Tombstone,
}

/// What a record says of its document, the payload apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordHeader {
    /// The collection.
    pub collection: CollectionId,
    /// The document.
    pub id: DocId,
    /// The change that made this version.
    pub lsn: Lsn,
    /// When the document stops being visible, if ever.
    pub expires_at: Option<WallMs>,
    /// What the payload is.
    pub kind: Kind,
}

/// What the payload of a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// JSON text, as it is.
    Plain {
        /// Its length.
        bytes: u32,
    },
    /// JSON text in an LZ4 block.
    Lz4 {
        /// Length of the text.
        bytes: u32,
        /// Length of the block.
        stored: u32,
    },
    /// None: the document is gone.
    Tombstone,
}

impl Kind {
    const fn stored(self) -> usize {
        match self {
            Self::Plain { bytes: stored } | Self::Lz4 { stored, .. } => stored as usize,
            Self::Tombstone => 0,
        }
    }
}

/// A record as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Where.
    pub location: Location,
    /// How many bytes of data it takes, zeros behind it included.
    pub disk_bytes: u32,
    /// What it says.
    pub header: RecordHeader,
    /// The document; `None` for a tombstone, and when payloads were not asked for.
    pub document: Option<Document>,
}

impl StoredRecord {
    /// The record to write it again elsewhere; `None` when its payload was not loaded.
    #[must_use]
    pub fn as_ref(&self) -> Option<RecordRef<'_>> {
        let RecordHeader { collection, ref id, lsn, expires_at, kind } = self.header;
        let body = match (kind, &self.document) {
            (Kind::Tombstone, _) => Body::Tombstone,
            (_, Some(document)) => Body::Document { document, expires_at },
            (_, None) => return None,
        };
        Some(RecordRef { collection, id, lsn, body })
    }
}

/// Start value of the checksum of one record, or of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seed(u32);

impl Seed {
    /// The seed for the record at a data offset, or for the table of a stripe.
    pub(super) fn new(identity: FileIdentity, at: u32) -> Self {
        let crc = crc32c::crc32c(identity.database.as_bytes());
        let crc = crc32c::crc32c_append(crc, &identity.number.0.to_le_bytes());
        Self(crc32c::crc32c_append(crc, &at.to_le_bytes()))
    }

    pub(super) fn crc(self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(self.0, bytes)
    }
}

/// Encodes records, keeping its buffers from one to the next.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    record: Vec<u8>,
    block: Vec<u8>,
}

impl Encoder {
    /// Memory that is kept between records, at most.
    const KEPT_BYTES_MAX: usize = 1024 * 1024;

    /// The bytes of a record, with zeros up to a multiple of [`ALIGN`].
    pub(super) fn encode(&mut self, record: &RecordRef<'_>, seed: Seed) -> &[u8] {
        for kept in [&mut self.record, &mut self.block] {
            kept.clear();
            kept.shrink_to(Self::KEPT_BYTES_MAX);
        }
        let text = match record.body {
            Body::Document { document, .. } => document.as_bytes(),
            Body::Tombstone => &[],
        };
        let packed = pack(text, &mut self.block);
        let payload = packed.unwrap_or(text);
        let expires_at = match record.body {
            Body::Document { expires_at, .. } => expires_at,
            Body::Tombstone => None,
        };
        let out = &mut self.record;
        out.extend_from_slice(&[0; CRC_BYTES]);
        let mut flags = 0;
        for (flag, is_set) in [
            (TOMBSTONE, record.body == Body::Tombstone),
            (LZ4, packed.is_some()),
            (EXPIRY, expires_at.is_some()),
        ] {
            flags |= if is_set { flag } else { 0 };
        }
        out.push(flags);
        put_varint(payload.len() as u64, out);
        put_varint(u64::from(record.collection.0), out);
        put_varint(record.lsn.0, out);
        if let Some(at) = expires_at {
            put_varint(at.0, out);
        }
        if packed.is_some() {
            put_varint(text.len() as u64, out);
        }
        out.push(u8::try_from(record.id.encoded_len()).expect("ids encode to at most 65 bytes"));
        record.id.encode(out);
        out.extend_from_slice(payload);
        seal(out, seed);
        out.resize(out.len().next_multiple_of(ALIGN), 0);
        out
    }
}

/// Puts the checksum of everything behind it into the first four bytes.
fn seal(record: &mut [u8], seed: Seed) {
    if let Some((crc, rest)) = record.split_first_chunk_mut::<CRC_BYTES>() {
        *crc = seed.crc(rest).to_le_bytes();
    }
}

/// The text as an LZ4 block, when that saves an eighth of it or more.
fn pack<'a>(text: &[u8], block: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    if text.len() < COMPRESS_BYTES_MIN {
        return None;
    }
    block.resize(lz4_flex::block::get_maximum_output_size(text.len()), 0);
    let stored = lz4_flex::block::compress_into(text, block).ok()?;
    let pays = stored <= text.len().saturating_sub(text.len() / 8);
    block.get(..stored).filter(|_| pays)
}

/// The eight bytes behind which a stripe is zeros to its end.
pub(super) fn padding(seed: Seed) -> [u8; ALIGN] {
    let mut out = [0, 0, 0, 0, PADDING, 0, 0, 0];
    seal(&mut out, seed);
    out
}

/// The bytes of one record by itself, as they stand at `offset` of a file: for tools and tests that
/// make files of their own.
#[must_use]
pub fn encode_record(record: &RecordRef<'_>, identity: FileIdentity, offset: u32) -> Vec<u8> {
    Encoder::default().encode(record, Seed::new(identity, offset)).to_vec()
}

/// The record whose bytes are the first of `bytes`, which stand at `offset` of a file. Its document
/// comes along, if it has one.
///
/// # Errors
/// What is wrong with it.
pub fn decode_record(
    bytes: &[u8],
    identity: FileIdentity,
    offset: u32,
) -> Result<(RecordHeader, Option<Document>), Flaw> {
    let Unit::Record(frame) = parse(bytes)? else { return Err(Flaw::OtherRecord) };
    let record = bytes.get(..frame.disk_bytes()).ok_or(Flaw::Short)?;
    frame.check(record, Seed::new(identity, offset))?;
    let document = frame.document(record)?;
    Ok((frame.header, document))
}

/// What begins at a place where a record may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unit {
    /// A record, whose checksum is still to be checked.
    Record(Frame),
    /// Nothing more in this stripe; the checksum is still to be checked.
    Padding,
}

/// What the bytes before a payload say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) header: RecordHeader,
    /// Bytes before the payload.
    header_bytes: usize,
}

impl Frame {
    /// Bytes up to the end of the payload.
    fn sealed_bytes(&self) -> usize {
        self.header_bytes.saturating_add(self.header.kind.stored())
    }

    /// Bytes of the record, zeros behind it included: at most [`RECORD_BYTES_MAX`].
    pub(super) fn disk_bytes(&self) -> usize {
        self.sealed_bytes().next_multiple_of(ALIGN)
    }

    /// Checks the whole record, `disk_bytes` long.
    pub(super) fn check(&self, record: &[u8], seed: Seed) -> Result<(), Flaw> {
        let (sealed, zeros) = record.split_at_checked(self.sealed_bytes()).ok_or(Flaw::Short)?;
        let (crc, rest) = sealed.split_first_chunk::<CRC_BYTES>().ok_or(Flaw::Short)?;
        if u32::from_le_bytes(*crc) != seed.crc(rest) {
            return Err(Flaw::Checksum);
        }
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(Flaw::Malformed("the bytes behind the record are not zero"));
        }
        Ok(())
    }

    /// The document of a record that was checked; `None` for a tombstone.
    pub(super) fn document(&self, record: &[u8]) -> Result<Option<Document>, Flaw> {
        let payload = record.get(self.header_bytes..self.sealed_bytes()).ok_or(Flaw::Short)?;
        match self.header.kind {
            Kind::Tombstone => Ok(None),
            Kind::Plain { .. } => Ok(Some(Document::from_checksummed(payload))),
            Kind::Lz4 { bytes, .. } => {
                let mut text = vec![0; bytes as usize];
                match lz4_flex::block::decompress_into(payload, &mut text) {
                    Ok(n) if n == text.len() => Ok(Some(Document::from_checksummed(&text))),
                    Ok(_) | Err(_) => {
                        Err(Flaw::Malformed("the payload does not unpack to its length"))
                    }
                }
            }
        }
    }
}

/// Checks the padding that [`parse`] found: `bytes` go to the end of the stripe.
pub(super) fn check_padding(bytes: &[u8], seed: Seed) -> Result<(), Flaw> {
    let (found, zeros) = bytes.split_first_chunk::<ALIGN>().ok_or(Flaw::Short)?;
    if *found == padding(seed) && zeros.iter().all(|byte| *byte == 0) {
        Ok(())
    } else {
        Err(Flaw::Checksum)
    }
}

/// Reads what stands before a payload. `bytes` are [`HEADER_BYTES_MAX`] or all there are, and may
/// be longer. Nothing is proved by it: the checksum covers the payload too.
pub(super) fn parse(bytes: &[u8]) -> Result<Unit, Flaw> {
    const CUT: Flaw = Flaw::Malformed("a field is cut short or too long");
    let mut cursor = Cursor::new(bytes);
    cursor.take(CRC_BYTES).ok_or(CUT)?;
    let flags = cursor.u8().ok_or(CUT)?;
    if flags == PADDING {
        return Ok(Unit::Padding);
    }
    if flags & !(TOMBSTONE | LZ4 | EXPIRY) != 0 {
        return Err(Flaw::Malformed("a flag is set that no record has"));
    }
    let is = |flag| flags & flag != 0;
    let stored = cursor.varint().ok_or(CUT)?;
    let collection = u32::try_from(cursor.varint().ok_or(CUT)?).map_err(|_| CUT)?;
    let lsn = Lsn(cursor.varint().ok_or(CUT)?);
    let expires_at = if is(EXPIRY) { Some(WallMs(cursor.varint().ok_or(CUT)?)) } else { None };
    let text = if is(LZ4) { cursor.varint().ok_or(CUT)? } else { stored };
    let kind = kind(flags & (TOMBSTONE | LZ4), stored, text)?;
    if kind == Kind::Tombstone && expires_at.is_some() {
        return Err(Flaw::Malformed("a tombstone does not expire"));
    }
    let id_bytes = usize::from(cursor.u8().ok_or(CUT)?);
    let id = DocId::decode(cursor.take(id_bytes).ok_or(CUT)?);
    let id = id.map_err(|_| Flaw::Malformed("the id is none"))?;
    let collection = CollectionId(collection);
    let header = RecordHeader { collection, id, lsn, expires_at, kind };
    Ok(Unit::Record(Frame { header, header_bytes: cursor.taken() }))
}

/// What a payload is, by its flags and lengths.
fn kind(flags: u8, stored: u64, text: u64) -> Result<Kind, Flaw> {
    const RANGE: Flaw = Flaw::Malformed("the length of the payload is out of range");
    let length = |n: u64| u32::try_from(n).ok().filter(|n| *n as usize <= DOCUMENT_BYTES_MAX);
    let (stored, bytes) = (length(stored).ok_or(RANGE)?, length(text).ok_or(RANGE)?);
    match flags {
        TOMBSTONE if stored == 0 => Ok(Kind::Tombstone),
        0 if stored > 0 => Ok(Kind::Plain { bytes }),
        // Bounds what unpacking may allocate by what there is.
        LZ4 if stored < bytes
            && bytes as usize <= LZ4_GROWTH_MAX.saturating_mul(stored as usize) =>
        {
            Ok(Kind::Lz4 { bytes, stored })
        }
        _ => Err(RANGE),
    }
}

#[cfg(test)]
mod tests;
