//! Index files: a base or a run of changes above it, on disk.
//!
//! `docs/formats/index.md` is the normative text. A file is a header, blocks of at most 64 KiB in
//! the order of collection and id, and a trailer. A block of the file is a block in memory with a
//! header in front: decoding it is copying it and checking that its rules hold.
//!
//! | part | bytes | what |
//! |---|---|---|
//! | header | 64 | whose file it is, which number, base or run, up to which LSN |
//! | blocks | … | each with its length, its position, its collection and a checksum |
//! | trailer | 40 a collection, then 32 | how many blocks and changes each has; the file's length and checksum |
//!
//! **Valid** is a file of which every part's checksum fits, whose parts agree with one another and
//! fill it exactly, and whose keys ascend. All checksums are seeded with the database and the
//! file's number, so that no part of another file verifies here.
//!
//! A file exists when a MANIFEST names it. It has its final name from the start; whoever finds one
//! that no MANIFEST names may remove it.

mod decode;
mod encode;
mod inspect;
mod load;

use std::path::{Path, PathBuf};

use base::words::{DatabaseId, Lsn};

pub use encode::write;
pub use inspect::{CollectionReport, Report, inspect};
pub use load::load;

/// The format version that is written, and the newest that is read.
pub const VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"DOCDBIDX";
const END_MAGIC: &[u8; 8] = b"DOCDBXDI";
const SUFFIX: &str = ".idx";

/// Length of the header, bytes.
const HEADER_BYTES: usize = 64;
/// Length of a block's header, bytes.
const BLOCK_HEADER_BYTES: usize = 32;
/// Largest block, its header included, bytes.
const BLOCK_BYTES_MAX: usize = 64 * 1024;
/// What the trailer says of one collection, bytes.
const COLLECTION_BYTES: usize = 40;
/// The end of the trailer, bytes.
const END_BYTES: usize = 32;

const _: () = assert!(super::block::WEIGHT_MAX + BLOCK_HEADER_BYTES <= BLOCK_BYTES_MAX);

/// What an index file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Every document, and nothing else.
    Base,
    /// Changes since the file before it.
    Run,
}

impl Kind {
    const fn number(self) -> u32 {
        match self {
            Self::Base => 1,
            Self::Run => 2,
        }
    }
}

/// Which index file it is: its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The database that it belongs to.
    pub database: DatabaseId,
    /// Its number within the database, never reused.
    pub number: u64,
    /// What it holds.
    pub kind: Kind,
    /// The checkpoint that it was written for.
    pub checkpoint: Lsn,
}

/// What a MANIFEST keeps of a file, and a load compares with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileInfo {
    /// Its header.
    pub header: Header,
    /// Its length, bytes.
    pub bytes: u64,
    /// How many changes it holds.
    pub entries: u64,
    /// The checksum at its end, which covers all the others.
    pub checksum: u32,
}

/// The path of an index file: `<number, 16 hex digits>.idx`.
#[must_use]
pub fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}{SUFFIX}"))
}

/// The number in the name of an index file, if it is one.
#[must_use]
pub fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let is_ours = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let is_number = digits.len() == 16 && digits.bytes().all(is_ours);
    if is_number { u64::from_str_radix(digits, 16).ok() } else { None }
}

/// What all checksums of a file start from.
fn seed(header: &Header) -> u32 {
    let seed = crc32c::crc32c(header.database.as_bytes());
    crc32c::crc32c_append(seed, &header.number.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_foreign_ones_are_left_alone() {
        for number in [0, 1, 0xabc, u64::MAX] {
            let path = path(Path::new("/d"), number);
            let name = path.file_name().and_then(|name| name.to_str()).unwrap();
            assert_eq!(parse_name(name), Some(number));
        }
        let foreign = ["1.idx", "000000000000000A.idx", "+00000000000000a.idx", "x.idx", ".idx"];
        for name in foreign.into_iter().chain(["0000000000000001.wal", "0000000000000001"]) {
            assert_eq!(parse_name(name), None, "{name}");
        }
    }
}
