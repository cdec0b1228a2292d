//! The header of a data file: who it belongs to and how it is laid out.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `DOCDBDAT` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | number of the file |
//! | 16 | 16 | database UUID |
//! | 32 | 4 | bytes in a block |
//! | 36 | 4 | data blocks in a stripe |
//! | 40 | 1 | 1 with parity blocks, 0 without |
//! | 41 | 19 | zero |
//! | 60 | 4 | CRC32C of bytes 0..60 |
//!
//! **Valid** when magic, version and CRC fit and the sizes are those of a [`Geometry`]. It stands
//! twice, at 0 and at the length of a table; either valid copy will do.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use base::words::DatabaseId;

use super::bytes::Cursor;
use super::error::Flaw;
use super::identity::FileIdentity;
use super::layout::{Geometry, Layout, Parity};
use crate::location::FileNumber;

/// Bytes of a header; the rest of its place is zero.
pub const HEADER_BYTES: usize = 64;
/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"DOCDBDAT";
/// Where the CRC stands.
const CHECKED_BYTES: usize = 60;

/// A decoded header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHeader {
    /// Whose file it is.
    pub identity: FileIdentity,
    /// Where everything is in it.
    pub layout: Layout,
}

impl FileHeader {
    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let Layout { geometry, parity } = self.layout;
        let number = |n: usize| u32::try_from(n).expect("sizes of a geometry fit in 32 bits");
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.identity.number.0.to_le_bytes());
        out.extend_from_slice(self.identity.database.as_bytes());
        out.extend_from_slice(&number(geometry.block_bytes()).to_le_bytes());
        out.extend_from_slice(&number(geometry.blocks()).to_le_bytes());
        out.push(u8::from(parity == Parity::On));
        out.resize(CHECKED_BYTES, 0);
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.try_into().expect("the fields above are 64 bytes")
    }

    /// Decodes and checks a header.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, Flaw> {
        let mut cursor = Cursor::new(bytes);
        let short = Flaw::Short;
        if cursor.array().ok_or(short)? != *MAGIC {
            return Err(Flaw::Malformed("this is not the header of a data file"));
        }
        let (checked, _) = bytes.split_at_checked(CHECKED_BYTES).ok_or(short)?;
        let version = cursor.u32().ok_or(short)?;
        let number = FileNumber(cursor.u32().ok_or(short)?);
        let database = DatabaseId::from_bytes(cursor.array().ok_or(short)?);
        let block_bytes = cursor.u32().ok_or(short)?;
        let blocks = cursor.u32().ok_or(short)?;
        let parity = cursor.u8().ok_or(short)?;
        let zeros: [u8; 19] = cursor.array().ok_or(short)?;
        if cursor.u32().ok_or(short)? != crc32c::crc32c(checked) {
            return Err(Flaw::Checksum);
        }
        if version != VERSION {
            return Err(Flaw::Malformed("the file has a format version unknown to this program"));
        }
        let geometry = Geometry::from_numbers(blocks, block_bytes);
        let geometry = geometry.ok_or(Flaw::Malformed("the file has sizes that no file has"))?;
        let parity = match (parity, zeros == [0; 19]) {
            (0, true) => Parity::Off,
            (1, true) => Parity::On,
            _ => return Err(Flaw::Malformed("the header sets what is reserved")),
        };
        let identity = FileIdentity { database, number };
        Ok(Self { identity, layout: Layout { geometry, parity } })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "a test may panic")]
    use super::*;

    fn sample() -> FileHeader {
        let database = DatabaseId::from_bytes([7; 16]);
        let layout = Layout { geometry: Geometry::Tiny, parity: Parity::Off };
        FileHeader { identity: FileIdentity { database, number: FileNumber(9) }, layout }
    }

    #[test]
    fn headers_round_trip() {
        for geometry in [Geometry::Standard, Geometry::Tiny] {
            for parity in [Parity::On, Parity::Off] {
                let header = FileHeader { layout: Layout { geometry, parity }, ..sample() };
                assert_eq!(FileHeader::decode(&header.encode()), Ok(header));
            }
        }
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = sample().encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(FileHeader::decode(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_sealed_header_with_numbers_that_no_file_has_is_refused() {
        for (at, value) in [(8, 2), (8, 0), (32, 1), (36, 0), (36, 255), (40, 2), (50, 1)] {
            let mut bytes = sample().encode();
            bytes[at] = value;
            let crc = crc32c::crc32c(&bytes[..CHECKED_BYTES]);
            bytes[CHECKED_BYTES..].copy_from_slice(&crc.to_le_bytes());
            let refused = FileHeader::decode(&bytes);
            assert!(matches!(refused, Err(Flaw::Malformed(_))), "byte {at} is {value}");
        }
    }
}
