//! The segment: one file of the log, named `<sequence, 16 hex digits>.wal`.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `DOCDBWAL` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | zero |
//! | 16 | 16 | database UUID |
//! | 32 | 8 | sequence of this segment, from 1 |
//! | 40 | 8 | LSN of its first frame |
//! | 48 | 8 | sequence of the segment before it, 0 = none |
//! | 56 | 8 | where that one ends, bytes: whatever it holds past this is not part of the log |
//! | 64 | 8 | durable hint |
//! | 72 | 8 | wall time of creation, milliseconds since the Unix epoch; not before that of any frame in a segment before it |
//! | 80 | 4 | chain value at the end of the segment before it |
//! | 84 | 40 | zero |
//! | 124 | 4 | CRC32C of bytes 0..124 |
//! | 128 | … | frames |
//!
//! **A file under a segment's name always has a valid header**: it is prepared under the name
//! `spare-<n>`, its header is synced, then it is renamed and the directory is synced, and only
//! then it takes frames. A segment file with a bad header is therefore damage, never a crash.
//!
//! **The header decides where the segment before it ends.** Recovery uses that: it never writes
//! into a segment that another process wrote, it starts a new one that names the cut.

use std::path::{Path, PathBuf};

use base::words::{DatabaseId, Lsn};

use crate::frame::LSN_MAX;

/// Length of the header, bytes.
pub const HEADER_BYTES: usize = 128;
/// Smallest segment, bytes.
pub const BYTES_MIN: u64 = 1024;
/// Largest configurable segment, bytes.
pub const BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Segment sizes are multiples of this.
pub const ALIGN: u64 = 512;
/// Largest sequence, and largest number in the name of a spare or spool file: larger ones were
/// not written by us, and one can always be added.
pub const NUMBER_MAX: u64 = 1 << 56;
/// The format version that is written, and the newest that is read.
pub const VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"DOCDBWAL";
const SUFFIX: &str = ".wal";
const SPARE: &str = "spare-";
const SPOOL: &str = "spool-";

/// Size of a segment with room for so many bytes of frames.
pub(crate) const fn holding(frames: u64) -> u64 {
    (frames + HEADER_BYTES as u64).next_multiple_of(ALIGN)
}

/// A decoded segment header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The database that the segment belongs to.
    pub database: DatabaseId,
    /// Sequence of this segment.
    pub sequence: u64,
    /// LSN of its first frame.
    pub first_lsn: Lsn,
    /// Sequence of the segment before it, 0 = none.
    pub previous: u64,
    /// Where that one ends, bytes.
    pub previous_end: u64,
    /// The LSN known durable when the segment was begun.
    pub hint: Lsn,
    /// Wall time of creation, milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// Chain value at the end of the segment before it.
    pub chain: u32,
}

/// Why bytes are not a segment header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// Too short, wrong magic, or the checksum does not fit.
    Damaged,
    /// Written by a later version of docdb.
    Version(u32),
    /// It belongs to another database.
    Database(DatabaseId),
    /// It says another sequence than its file name.
    Sequence(u64),
}

impl HeaderError {
    /// What to tell the user.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Damaged => "the segment header is damaged",
            Self::Version(_) => "the segment was written by a later version of docdb",
            Self::Database(_) => "the segment belongs to another database",
            Self::Sequence(_) => "the segment header says another sequence than the file name",
        }
    }
}

impl Header {
    /// Encodes the header with its checksum.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[16..32].copy_from_slice(self.database.as_bytes());
        let words = [
            self.sequence,
            self.first_lsn.0,
            self.previous,
            self.previous_end,
            self.hint.0,
            self.created_ms,
        ];
        for (i, word) in words.into_iter().enumerate() {
            out[32 + 8 * i..40 + 8 * i].copy_from_slice(&word.to_le_bytes());
        }
        out[80..84].copy_from_slice(&self.chain.to_le_bytes());
        let crc = crc32c::crc32c(&out[..124]);
        out[124..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Decodes and verifies the header of segment `sequence` of `database`.
    ///
    /// # Errors
    /// Says why the bytes are not that header.
    pub fn decode(
        bytes: &[u8; HEADER_BYTES],
        database: DatabaseId,
        sequence: u64,
    ) -> Result<Self, HeaderError> {
        let header = Self::decode_any(bytes)?;
        if header.database != database {
            return Err(HeaderError::Database(header.database));
        }
        if header.sequence != sequence {
            return Err(HeaderError::Sequence(header.sequence));
        }
        Ok(header)
    }

    /// Decodes and verifies a header without knowing whose it is.
    ///
    /// # Errors
    /// Says why the bytes are not a header.
    pub fn decode_any(bytes: &[u8; HEADER_BYTES]) -> Result<Self, HeaderError> {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let long = |at: usize| u64::from(word(at)) | (u64::from(word(at + 4)) << 32);
        if &bytes[..8] != MAGIC || crc32c::crc32c(&bytes[..124]) != word(124) {
            return Err(HeaderError::Damaged);
        }
        if word(8) != VERSION {
            return Err(HeaderError::Version(word(8)));
        }
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&bytes[16..32]);
        let header = Self {
            database: DatabaseId::from_bytes(uuid),
            sequence: long(32),
            first_lsn: Lsn(long(40)),
            previous: long(48),
            previous_end: long(56),
            hint: Lsn(long(64)),
            created_ms: long(72),
            chain: word(80),
        };
        let plausible = header.first_lsn.0 >= 1
            && header.first_lsn.0 <= LSN_MAX
            && header.hint < header.first_lsn
            && header.previous < header.sequence;
        if plausible { Ok(header) } else { Err(HeaderError::Damaged) }
    }
}

/// What a file of a log directory is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileName {
    /// A segment with this sequence.
    Segment(u64),
    /// Space claimed ahead, or a segment waiting for reuse.
    Spare(u64),
    /// A large transaction on its way into the log.
    Spool(u64),
}

impl FileName {
    /// Reads a name; `None` when it is not one of ours, written as we write it.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        if let Some(hex) = name.strip_suffix(SUFFIX) {
            let lower = hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            return (hex.len() == 16 && lower)
                .then(|| u64::from_str_radix(hex, 16).ok())
                .flatten()
                .filter(|sequence| (1..=NUMBER_MAX).contains(sequence))
                .map(Self::Segment);
        }
        let number = |digits: &str| {
            let number: u64 = digits.parse().ok()?;
            (number <= NUMBER_MAX && number.to_string() == digits).then_some(number)
        };
        if let Some(digits) = name.strip_prefix(SPARE) {
            return number(digits).map(Self::Spare);
        }
        name.strip_prefix(SPOOL).and_then(number).map(Self::Spool)
    }

    /// The path of the file in `dir`.
    #[must_use]
    pub fn path(self, dir: &Path) -> PathBuf {
        dir.join(match self {
            Self::Segment(sequence) => format!("{sequence:016x}{SUFFIX}"),
            Self::Spare(n) => format!("{SPARE}{n}"),
            Self::Spool(n) => format!("{SPOOL}{n}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Header {
        Header {
            database: DatabaseId::from_bytes([3; 16]),
            sequence: 9,
            first_lsn: Lsn(100),
            previous: 8,
            previous_end: 4096,
            hint: Lsn(99),
            created_ms: 5,
            chain: 0x1234_5678,
        }
    }

    #[test]
    fn headers_round_trip_and_know_their_place() {
        let bytes = sample().encode();
        let database = sample().database;
        assert_eq!(Header::decode(&bytes, database, 9), Ok(sample()));
        assert_eq!(Header::decode(&bytes, database, 8), Err(HeaderError::Sequence(9)));
        let other = DatabaseId::from_bytes([4; 16]);
        assert_eq!(Header::decode(&bytes, other, 9), Err(HeaderError::Database(database)));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let good = sample().encode();
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode_any(&bad), Err(HeaderError::Damaged), "bit {bit}");
        }
    }

    #[test]
    fn file_names_round_trip_and_foreign_ones_are_left_alone() {
        let dir = Path::new("/d");
        for name in [FileName::Segment(0xabc), FileName::Spare(0), FileName::Spool(12)] {
            let path = name.path(dir);
            assert_eq!(FileName::parse(path.file_name().unwrap().to_str().unwrap()), Some(name));
        }
        let foreign = ["1.wal", "000000000000000A.wal", "spare-x", "LOCK", "notes.txt", ".wal"];
        let too_large = ["ffffffffffffffff.wal", "spare-18446744073709551615", "spool-01"];
        for foreign in foreign.into_iter().chain(too_large) {
            assert_eq!(FileName::parse(foreign), None, "{foreign}");
        }
    }
}
