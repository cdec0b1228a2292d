//! Numbers at the front of bytes, checked, and their writing.
//!
//! A *varint* is the number in groups of seven bits, the lowest first; every byte but the last has its
//! highest bit set (LEB128).
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use super::error::{Result, damaged};

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        let [low, ..] = number.to_le_bytes();
        out.push(low | 0x80);
        number >>= 7_u32;
    }
    let [low, ..] = number.to_le_bytes();
    out.push(low);
}

/// Takes what stands at the front of bytes.
#[derive(Debug)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    /// So many bytes.
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(damaged("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// So many bytes as an array.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(damaged("it ends too early"))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A varint.
    pub(super) fn varint(&mut self) -> Result<u64> {
        let mut number = 0_u64;
        let mut shift = 0_u32;
        loop {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7F);
            if shift > 63 || (shift == 63 && bits > 1) {
                return Err(damaged("a number is too long"));
            }
            number |= bits.wrapping_shl(shift);
            if byte < 0x80 {
                return Ok(number);
            }
            shift = shift.saturating_add(7);
        }
    }

    /// A varint of 32 bits.
    pub(super) fn small(&mut self) -> Result<u32> {
        u32::try_from(self.varint()?).map_err(|_| damaged("a number is too great"))
    }

    /// A varint that is a length.
    pub(super) fn size(&mut self) -> Result<usize> {
        usize::try_from(self.varint()?).map_err(|_| damaged("a number is too great"))
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(damaged("it goes on where it should end")) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_that_are_too_long_are_refused() {
        assert!(Bytes(&[0x80]).varint().is_err());
        assert!(Bytes(&[0xFF; 10]).varint().is_err());
        let mut beyond = vec![0xFF; 9];
        beyond.push(2);
        assert!(Bytes(&beyond).varint().is_err());
        assert!(Bytes(&[0xFF, 0xFF, 0xFF, 0xFF, 0x10]).small().is_err());
    }

    proptest! {
        #[test]
        fn varints_read_back(number in any::<u64>(), shift in 0..64_u32) {
            let number = number >> shift;
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number);
            let mut read = Bytes(&bytes);
            prop_assert_eq!(read.varint().unwrap(), number);
            prop_assert!(read.end().is_ok());
        }
    }
}
