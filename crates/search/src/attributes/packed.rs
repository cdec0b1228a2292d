//! Numbers of 32 bits in as few bits as the greatest of them needs, each reached by its place.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | the least of the numbers, u32 |
//! | 1 | width: bits of each, 0 to 32 |
//! | `⌈count * width / 8⌉` | each number less the least, the lowest bit first, without gaps |
//!
//! How many there are stands elsewhere.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use super::bytes::Bytes;
use super::error::{Result, damaged};

/// Bytes behind the last number, so that each is read as one word.
const SLACK: usize = 8;

/// Appends numbers.
pub(super) fn pack(numbers: &[u32], out: &mut Vec<u8>) {
    let least = numbers.iter().copied().min().unwrap_or(0);
    let greatest = numbers.iter().copied().max().unwrap_or(0);
    let width = 32_u32.saturating_sub(greatest.saturating_sub(least).leading_zeros());
    out.extend_from_slice(&least.to_le_bytes());
    let [width_byte, ..] = width.to_le_bytes();
    out.push(width_byte);
    // Never more than 7 + 32 bits.
    let (mut bits, mut filled) = (0_u64, 0_u32);
    for number in numbers {
        bits |= u64::from(number.saturating_sub(least)).wrapping_shl(filled);
        filled = filled.saturating_add(width);
        while filled >= 8 {
            let [low, ..] = bits.to_le_bytes();
            out.push(low);
            bits >>= 8_u32;
            filled = filled.saturating_sub(8);
        }
    }
    if filled > 0 {
        let [low, ..] = bits.to_le_bytes();
        out.push(low);
    }
}

/// Numbers that were packed.
#[derive(Debug, Clone)]
pub(super) struct Packed {
    least: u32,
    width: usize,
    mask: u64,
    count: usize,
    bytes: Box<[u8]>,
}

impl Packed {
    /// Takes `count` numbers.
    pub(super) fn take(bytes: &mut Bytes<'_>, count: usize) -> Result<Self> {
        let least = bytes.u32()?;
        let width = bytes.u8()?;
        if width > 32 {
            return Err(damaged("numbers are too wide"));
        }
        let width = usize::from(width);
        let bits = count.checked_mul(width).ok_or(damaged("there are too many numbers"))?;
        let taken = bytes.take(bits.div_ceil(8))?;
        let mut padded = Vec::with_capacity(taken.len().saturating_add(SLACK));
        padded.extend_from_slice(taken);
        padded.resize(taken.len().saturating_add(SLACK), 0);
        let mask = 1_u64.wrapping_shl(u32::try_from(width).unwrap_or(32)).wrapping_sub(1);
        Ok(Self { least, width, mask, count, bytes: padded.into() })
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// The number at a place; 0 beyond the last.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "masked to 32 bits")]
    pub(super) fn get(&self, at: usize) -> u32 {
        // No overflow: the bits of all numbers were counted when they were taken.
        let bit = at.wrapping_mul(self.width);
        let word = self.bytes.get(bit / 8..).and_then(<[u8]>::first_chunk);
        match word {
            Some(word) if at < self.count => {
                let bits = u64::from_le_bytes(*word) >> (bit % 8);
                self.least.wrapping_add((bits & self.mask) as u32)
            }
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(numbers: &[u32]) -> usize {
        let mut bytes = Vec::new();
        pack(numbers, &mut bytes);
        let mut rest = Bytes(&bytes);
        let packed = Packed::take(&mut rest, numbers.len()).unwrap();
        assert!(rest.end().is_ok());
        assert_eq!(packed.len(), numbers.len());
        let back: Vec<u32> = (0..numbers.len()).map(|at| packed.get(at)).collect();
        assert_eq!(back, numbers);
        assert_eq!(packed.get(numbers.len()), 0);
        bytes.len()
    }

    #[test]
    fn equal_numbers_take_no_space() {
        assert_eq!(check(&[7; 1000]), 5);
        assert_eq!(check(&[]), 5);
        assert_eq!(check(&[u32::MAX, 0]), 13);
        assert_eq!(check(&[100, 101, 100, 101, 101, 100, 100, 100]), 6);
    }

    #[test]
    fn what_is_cut_or_too_wide_is_refused() {
        let mut bytes = Vec::new();
        pack(&[1, 2, 3], &mut bytes);
        assert!(Packed::take(&mut Bytes(&bytes), 100).is_err());
        assert!(Packed::take(&mut Bytes(&bytes), usize::MAX).is_err());
        bytes[4] = 33;
        assert!(Packed::take(&mut Bytes(&bytes), 1).is_err());
    }

    proptest! {
        #[test]
        fn numbers_read_back(numbers in prop::collection::vec(any::<u32>(), 0..200), shift in 0..32_u32) {
            let numbers: Vec<u32> = numbers.into_iter().map(|number| number >> shift).collect();
            check(&numbers);
        }
    }
}
