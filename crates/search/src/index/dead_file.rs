//! `dead-<id>.roar`: the rows of a segment that had died at the position of a manifest.
//!
//! | bytes | field |
//! |---|---|
//! | 16 | identity of the segment |
//! | n | the set of dead rows: a roaring bitmap in its portable form |
//! | 4 | checksum |
//!
//! **The file is valid** when the checksum fits (CRC32C of all bytes before it), it names the segment, and has as many
//! rows as the manifest says.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use roaring::RoaringBitmap;

use super::error::{IndexError, Result};
use super::rows::bitmap_bytes;
use crate::storage::Ulid;

/// The file of these rows of a segment.
#[must_use]
pub fn encode_dead(segment: Ulid, rows: &RoaringBitmap) -> Vec<u8> {
    let mut bytes = segment.bytes().to_vec();
    bytes.extend(bitmap_bytes(rows));
    let sum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// Reads the file of so many rows of a segment.
///
/// # Errors
/// [`IndexError::Damaged`] when it is not what was written.
pub fn decode_dead(segment: Ulid, count: u32, bytes: &[u8]) -> Result<RoaringBitmap> {
    let damaged = || IndexError::Damaged { what: "the dead rows are not those written".into() };
    let (summed, sum) = bytes.split_last_chunk::<4>().ok_or_else(damaged)?;
    let (named, set) = summed.split_first_chunk::<16>().ok_or_else(damaged)?;
    if crc32c::crc32c(summed) != u32::from_le_bytes(*sum) || *named != segment.bytes() {
        return Err(damaged());
    }
    let rows = RoaringBitmap::deserialize_from(set).map_err(|_| damaged())?;
    if rows.len() == u64::from(count) { Ok(rows) } else { Err(damaged()) }
}

#[cfg(test)]
mod tests {
    use base::clock::WallMs;
    use base::rng::Rng;

    use super::*;

    #[test]
    fn dead_rows_read_back_and_every_flipped_bit_and_other_length_is_noticed() {
        let mut rng = Rng::new(1);
        let (segment, other) = (Ulid::new(WallMs(1), &mut rng), Ulid::new(WallMs(1), &mut rng));
        let rows: RoaringBitmap = (0..300).filter(|row| row % 7 < 3).collect();
        let count = u32::try_from(rows.len()).unwrap();
        let bytes = encode_dead(segment, &rows);
        assert_eq!(decode_dead(segment, count, &bytes).unwrap(), rows);
        for at in 0..bytes.len() {
            let mut hit = bytes.clone();
            hit[at] ^= 1 << (at % 8);
            let error = decode_dead(segment, count, &hit).unwrap_err();
            assert!(matches!(error, IndexError::Damaged { .. }), "byte {at}: {error}");
            assert!(decode_dead(segment, count, &bytes[..at]).is_err(), "{at} bytes");
        }
        assert!(decode_dead(other, count, &bytes).is_err());
        assert!(decode_dead(segment, count + 1, &bytes).is_err());
    }
}
