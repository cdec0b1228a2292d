//! `vectors.ivf`: an index and its raw vectors as one file that is read by ranges.
//!
//! The byte tables are in `docs/formats/vectors.md`; this is how they are used.
//!
//! - Every part has a checksum, seeded with the file's identity, the kind of the part and its number: no
//!   part of another file verifies, nor one at a place where it does not belong.
//! - Lengths of all parts follow from the header and the number of rows in each cluster, and their sum
//!   is the length of the file, so that nothing is allocated by a length that was not checked.
//! - A search reads in at most three dependent steps: the head when the file is opened, the fronts of
//!   posting lists, raw rows.
//!
//! Start with [`VectorFile`].

mod layout;
mod read;
mod source;
mod write;

pub use crate::storage::ReadRanges;
pub use read::VectorFile;
pub use write::Written;
pub(crate) use write::write;

/// What a part is; goes into the seed of its checksum. Part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Part {
    Header = 0,
    Head = 1,
    Centroid = 2,
    RowMap = 3,
    Row = 4,
    ListFront = 5,
    ListBack = 6,
}

/// The checksum of a part, given what it begins with, up to all of it.
fn checksum(identity: &[u8; 16], part: Part, number: u32, bytes: &[u8]) -> u32 {
    let crc = crc32c::crc32c(identity);
    let crc = crc32c::crc32c_append(crc, &[part as u8]);
    let crc = crc32c::crc32c_append(crc, &number.to_le_bytes());
    crc32c::crc32c_append(crc, bytes)
}
