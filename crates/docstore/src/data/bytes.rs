//! Taking fields off the front of bytes: every take is checked, none allocates.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

/// Longest [`put_varint`], in bytes.
pub(super) const VARINT_BYTES_MAX: usize = 10;

/// Appends `value` as LEB128: seven bits a byte, the lowest first, the top bit set on all but the
/// last byte.
#[expect(clippy::cast_possible_truncation, reason = "the low bits are what is meant")]
pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes of which some were taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    taken: usize,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, taken: 0 }
    }

    /// How many bytes were taken.
    pub(super) const fn taken(&self) -> usize {
        self.taken
    }

    pub(super) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(n)?;
        self.rest = tail;
        self.taken = self.taken.checked_add(n)?;
        Some(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.array()?))
    }

    /// A [`put_varint`]; `None` for one that is cut, over 64 bits, or longer than needed.
    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        let mut shift = 0_u32;
        loop {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7F);
            let placed = bits.checked_shl(shift)?;
            // Bits that the shift pushed out would be lost.
            if placed >> shift != bits {
                return None;
            }
            value |= placed;
            if byte & 0x80 == 0 {
                return (byte != 0 || shift == 0).then_some(value);
            }
            shift = shift.checked_add(7)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip_at_every_length() {
        for shift in 0..64 {
            for value in [1_u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let mut bytes = Vec::new();
                put_varint(value, &mut bytes);
                assert!(bytes.len() <= VARINT_BYTES_MAX);
                let mut cursor = Cursor::new(&bytes);
                assert_eq!(cursor.varint(), Some(value));
                assert_eq!(cursor.taken(), bytes.len());
                bytes.pop();
                assert_eq!(Cursor::new(&bytes).varint(), None, "cut");
            }
        }
    }

    #[test]
    fn a_number_has_one_encoding() {
        assert_eq!(Cursor::new(&[0]).varint(), Some(0));
        assert_eq!(Cursor::new(&[0x80, 0]).varint(), None, "a zero too long");
        assert_eq!(Cursor::new(&[0xFF, 0]).varint(), None, "127 too long");
        let mut over = [0xFF; 10];
        over[9] = 2;
        assert_eq!(Cursor::new(&over).varint(), None, "more than 64 bits");
        assert_eq!(Cursor::new(&[0xFF; 20]).varint(), None, "no end");
    }
}
