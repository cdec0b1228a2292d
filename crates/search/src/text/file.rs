//! `text.idx`: the postings of a segment's rows as one file that is read by ranges.
//!
//! The byte tables are in `docs/formats/text.md`; this is how they are used.
//!
//! - Postings, positions and the dictionary of each attribute are those of a tantivy segment, written by its
//!   serializers and read by its readers; its index, its directory and its JSON are not in the file.
//! - What a query needs to begin with is the *head*: dictionaries and exact token counts. It is read when the
//!   file is opened, and held. Postings and positions lie in *pages*, which are read when they are asked for:
//!   those of a query in one round trip.
//! - Every part of the head and every page have a checksum, seeded with the file's identity, the kind of the part and its
//!   number: tantivy, which trusts what it reads, sees no byte that was not verified.
//! - A document of tantivy's is a row, also one without any text.
//!
//! Start with [`Reader`] and [`merge`].

mod bundle;
mod layout;
mod pages;
mod read;
mod write;

pub use read::Reader;
pub use write::{DROPPED, Input, merge};

/// What was written, which whoever opens the file has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the file.
    pub len: u64,
    /// Bytes at its front that opening it reads.
    pub head_bytes: u64,
}

/// What a part is; goes into the seed of its checksum. Part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Header = 0,
    Table = 1,
    Field = 2,
    Page = 3,
}

/// Bytes of a checksum.
const SUM_BYTES: usize = 4;

/// The checksum of a part.
fn checksum(identity: &[u8; 16], kind: Kind, number: u32, bytes: &[u8]) -> u32 {
    let crc = crc32c::crc32c(identity);
    let crc = crc32c::crc32c_append(crc, &[kind as u8]);
    let crc = crc32c::crc32c_append(crc, &number.to_le_bytes());
    crc32c::crc32c_append(crc, bytes)
}

/// What is before the checksum at the end of `bytes`, if that fits.
fn sealed<'a>(identity: &[u8; 16], kind: Kind, number: u32, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let (summed, sum) = bytes.split_last_chunk::<SUM_BYTES>()?;
    (u32::from_le_bytes(*sum) == checksum(identity, kind, number, summed)).then_some(summed)
}

/// Appends bytes and their checksum.
fn seal(identity: &[u8; 16], kind: Kind, number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(bytes);
    out.extend_from_slice(&checksum(identity, kind, number, bytes).to_le_bytes());
}
