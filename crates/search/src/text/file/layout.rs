//! The header and the head: a table of the fields, and what each has.
//!
//! What we made has a checksum of its own, and what tantivy made another: a table that was forged (as tests do)
//! meets the rules here, and never makes tantivy read what it did not write.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use super::pages::{PAGE_BODY, PAGE_BYTES};
use super::{Kind, SUM_BYTES, checksum, seal, sealed};
use crate::schema::{FIELDS_MAX, FieldNo};
use crate::text::ROWS_MAX;
use crate::text::error::TextError;

/// Bytes of the header, with its checksum.
pub(super) const HEADER_BYTES: usize = 64;
/// What a file begins with.
const MAGIC: &[u8; 8] = b"DOCDBTXT";
const VERSION: u32 = 1;
/// Bytes at the front of postings that the head has too: tantivy reads them when it opens the field.
const LEAD_BYTES: usize = 8;
/// Bytes of an entry of the table.
const ENTRY_BYTES: usize = 32;
/// Bytes at the end of postings and positions that the head has too, for the same reason.
const TAIL_BYTES: usize = 256;

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) identity: [u8; 16],
    pub(super) rows: u32,
    pub(super) fields: u32,
    /// Bytes of the head, with its checksums.
    pub(super) head: u64,
    /// Bytes of the whole file.
    pub(super) len: u64,
}

/// One of the two streams of a field that lie in pages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Stream {
    /// Where it begins among the bytes of all pages.
    pub(super) base: u64,
    pub(super) len: u64,
    /// Its first bytes.
    pub(super) lead: Vec<u8>,
    /// Its last bytes.
    pub(super) tail: Vec<u8>,
}

/// What the head has of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldHead {
    pub(super) number: FieldNo,
    /// Tokens of each row, up to the last that has any.
    pub(super) counts: Vec<u32>,
    /// tantivy's dictionary.
    pub(super) terms: Vec<u8>,
    pub(super) postings: Stream,
    pub(super) positions: Stream,
}

fn damaged(what: &'static str) -> TextError {
    TextError::damaged(what)
}

/// Takes what stands at the front of bytes.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], TextError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(damaged("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TextError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(damaged("it ends too early"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, TextError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, TextError> {
        Ok(u64::from_le_bytes(self.array()?))
    }
}

fn size(number: u64) -> Result<usize, TextError> {
    usize::try_from(number).map_err(|_| damaged("a number is too great"))
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.fields.to_le_bytes());
        bytes.extend_from_slice(&self.identity);
        bytes.extend_from_slice(&self.rows.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.head.to_le_bytes());
        bytes.extend_from_slice(&self.len.to_le_bytes());
        bytes.resize(HEADER_BYTES.saturating_sub(SUM_BYTES), 0);
        let sum = checksum(&self.identity, Kind::Header, 0, &bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Decodes the header of the file of this identity and length.
    pub(super) fn decode(bytes: &[u8], identity: &[u8; 16], len: u64) -> Result<Self, TextError> {
        let summed = sealed(identity, Kind::Header, 0, bytes)
            .filter(|_| bytes.len() == HEADER_BYTES)
            .ok_or(damaged("the checksum of the header does not fit"))?;
        let mut cursor = Cursor(summed);
        if cursor.take(8)? != MAGIC || cursor.u32()? != VERSION {
            return Err(damaged("it is of another kind or version"));
        }
        let fields = cursor.u32()?;
        if cursor.array()? != *identity {
            return Err(damaged("it is another file"));
        }
        let rows = cursor.u32()?;
        let zero = cursor.u32()?;
        let (head, found) = (cursor.u64()?, cursor.u64()?);
        let is_sane = rows <= ROWS_MAX && fields as usize <= FIELDS_MAX && zero == 0;
        if !is_sane || found != len || cursor.0.iter().any(|byte| *byte != 0) {
            return Err(damaged("the header has what cannot be"));
        }
        Ok(Self { identity: *identity, rows, fields, head, len })
    }

    /// Where the pages begin.
    pub(super) fn pages(&self) -> u64 {
        self.head.saturating_add(HEADER_BYTES as u64)
    }
}

/// Bytes of the pages that hold so many bytes.
pub(super) fn pages_len(payload: u64) -> u64 {
    let pages = payload.div_ceil(PAGE_BODY);
    payload.saturating_add(pages.saturating_mul(PAGE_BYTES.saturating_sub(PAGE_BODY)))
}

impl Stream {
    /// One that begins at `base`.
    pub(super) fn new(base: u64, bytes: &[u8], lead: usize) -> Self {
        let tail = bytes.len().saturating_sub(TAIL_BYTES);
        Self {
            base,
            len: bytes.len() as u64,
            lead: bytes.get(..lead.min(bytes.len())).unwrap_or_default().to_vec(),
            tail: bytes.get(tail..).unwrap_or_default().to_vec(),
        }
    }

    /// The postings of a field.
    pub(super) fn of_postings(base: u64, bytes: &[u8]) -> Self {
        Self::new(base, bytes, LEAD_BYTES)
    }

    /// The positions of a field.
    pub(super) fn of_positions(base: u64, bytes: &[u8]) -> Self {
        Self::new(base, bytes, 0)
    }

    fn decode(
        cursor: &mut Cursor<'_>,
        base: u64,
        len: u64,
        lead: usize,
    ) -> Result<Self, TextError> {
        let whole = usize::try_from(len).unwrap_or(usize::MAX);
        let lead = cursor.take(lead.min(whole))?.to_vec();
        let tail = cursor.take(TAIL_BYTES.min(whole))?.to_vec();
        Ok(Self { base, len, lead, tail })
    }
}

/// Encodes the fields, in the order of their numbers.
fn encode_head(identity: &[u8; 16], fields: &[FieldHead]) -> Vec<u8> {
    let mut table = Vec::with_capacity(fields.len().saturating_mul(ENTRY_BYTES));
    for field in fields {
        table.extend_from_slice(&u32::from(field.number.0).to_le_bytes());
        let counts = u32::try_from(field.counts.len()).unwrap_or(u32::MAX);
        table.extend_from_slice(&counts.to_le_bytes());
        for len in [field.terms.len() as u64, field.postings.len, field.positions.len] {
            table.extend_from_slice(&len.to_le_bytes());
        }
    }
    let mut out = Vec::new();
    seal(identity, Kind::Table, 0, &table, &mut out);
    for field in fields {
        let mut bytes = Vec::new();
        for stream in [&field.postings, &field.positions] {
            bytes.extend_from_slice(&stream.lead);
            bytes.extend_from_slice(&stream.tail);
        }
        for count in &field.counts {
            bytes.extend_from_slice(&count.to_le_bytes());
        }
        bytes.extend_from_slice(&field.terms);
        seal(identity, Kind::Field, u32::from(field.number.0), &bytes, &mut out);
    }
    out
}

/// An entry of the table.
struct Entry {
    number: u16,
    counts: u32,
    terms: u64,
    postings: u64,
    positions: u64,
}

impl Entry {
    fn decode(cursor: &mut Cursor<'_>) -> Result<Self, TextError> {
        Ok(Self {
            number: u16::try_from(cursor.u32()?).map_err(|_| damaged("no number of a field"))?,
            counts: cursor.u32()?,
            terms: cursor.u64()?,
            postings: cursor.u64()?,
            positions: cursor.u64()?,
        })
    }

    /// Bytes of what the field has, with its checksum.
    fn bytes(&self) -> Result<usize, TextError> {
        let tails = self
            .postings
            .min(TAIL_BYTES as u64)
            .saturating_add(self.positions.min(TAIL_BYTES as u64));
        let lead = self.postings.min(LEAD_BYTES as u64);
        let counts = u64::from(self.counts).saturating_mul(4);
        let bytes = self
            .terms
            .checked_add(lead.saturating_add(tails))
            .and_then(|sum| sum.checked_add(counts));
        size(
            bytes
                .and_then(|sum| sum.checked_add(SUM_BYTES as u64))
                .ok_or(damaged("a number is too great"))?,
        )
    }

    /// What the field has; its checksum is verified.
    fn open(&self, bytes: &[u8], base: u64) -> Result<FieldHead, TextError> {
        let mut cursor = Cursor(bytes);
        let postings = Stream::decode(&mut cursor, base, self.postings, LEAD_BYTES)?;
        let after = base.checked_add(self.postings).ok_or(damaged("a number is too great"))?;
        let positions = Stream::decode(&mut cursor, after, self.positions, 0)?;
        let counts = cursor.take(size(u64::from(self.counts).saturating_mul(4))?)?;
        let counts = counts.chunks_exact(4).map(|four| match four {
            [a, b, c, d] => u32::from_le_bytes([*a, *b, *c, *d]),
            _ => 0,
        });
        let counts = counts.collect();
        let terms = cursor.take(size(self.terms)?)?.to_vec();
        Ok(FieldHead { number: FieldNo(self.number), counts, terms, postings, positions })
    }
}

/// Decodes what is after the header: the fields of the head, its checksums verified, and the length of what is
/// in pages.
pub(super) fn decode_head(
    header: &Header,
    bytes: &[u8],
) -> Result<(Vec<FieldHead>, u64), TextError> {
    let identity = &header.identity;
    let mut cursor = Cursor(bytes);
    let table = (header.fields as usize).saturating_mul(ENTRY_BYTES).saturating_add(SUM_BYTES);
    let table = sealed(identity, Kind::Table, 0, cursor.take(table)?)
        .ok_or(damaged("the checksum of the fields does not fit"))?;
    let mut table = Cursor(table);
    let mut fields: Vec<FieldHead> = Vec::new();
    let mut base = 0_u64;
    for _ in 0..header.fields {
        let entry = Entry::decode(&mut table)?;
        if entry.counts > header.rows
            || fields.last().is_some_and(|last| last.number.0 >= entry.number)
        {
            return Err(damaged("fields or their rows do not ascend"));
        }
        let bytes = cursor.take(entry.bytes()?)?;
        let bytes = sealed(identity, Kind::Field, u32::from(entry.number), bytes)
            .ok_or(damaged("the checksum of a field does not fit"))?;
        let field = entry.open(bytes, base)?;
        let end = field.positions.base.checked_add(field.positions.len);
        base = end.ok_or(damaged("a number is too great"))?;
        fields.push(field);
    }
    let len = header.pages().checked_add(pages_len(base));
    if !cursor.0.is_empty() || len != Some(header.len) {
        return Err(damaged("its parts do not add up to its length"));
    }
    Ok((fields, base))
}

/// The front of a file: header and head.
pub(super) fn encode_front(
    identity: &[u8; 16],
    rows: u32,
    fields: &[FieldHead],
    payload: u64,
) -> Vec<u8> {
    let head = encode_head(identity, fields);
    let mut header = Header {
        identity: *identity,
        rows,
        fields: u32::try_from(fields.len()).unwrap_or(u32::MAX),
        head: head.len() as u64,
        len: 0,
    };
    header.len = header.pages().saturating_add(pages_len(payload));
    let mut out = header.encode();
    out.extend_from_slice(&head);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_front_reads_back_and_every_flipped_bit_is_found() {
        let stream = |base, len: usize, lead| Stream::new(base, &vec![7; len], lead);
        let fields = vec![
            FieldHead {
                number: FieldNo(2),
                counts: vec![1, 0, 3],
                terms: vec![1, 2, 3],
                postings: stream(0, 5_000, LEAD_BYTES),
                positions: stream(5_000, 20, 0),
            },
            FieldHead {
                number: FieldNo(9),
                counts: vec![],
                terms: vec![],
                postings: stream(5_020, 4, LEAD_BYTES),
                positions: stream(5_024, 0, 0),
            },
        ];
        let identity = [9; 16];
        let mut front = encode_front(&identity, 3, &fields, 5_024);
        let len = front.len() as u64 + 5_024 + 8;
        let decode = |front: &[u8]| {
            let header = Header::decode(&front[..HEADER_BYTES], &identity, len)?;
            decode_head(&header, &front[HEADER_BYTES..])
        };
        assert_eq!(decode(&front).unwrap(), (fields, 5_024));
        for bit in 0..front.len() * 8 {
            front[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&front).is_err(), "bit {bit}");
            front[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(Header::decode(&front[..HEADER_BYTES], &[8; 16], len).is_err());
        assert!(Header::decode(&front[..HEADER_BYTES], &identity, len + 1).is_err());
    }
}
