//! Identifiers that sort by the time they were made: 48 bits of milliseconds and 80 bits of chance, written in 26
//! characters (the ULID specification; Crockford's base 32).

use std::fmt;

use base::clock::WallMs;
use base::rng::Rng;

const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const TEXT_BYTES: usize = 26;
const CHANCE_BITS: u32 = 80;
const TIME_MAX: u64 = (1 << 48) - 1;

/// A unique identifier with the time it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ulid(u128);

impl Ulid {
    /// A new identifier.
    pub fn new(now: WallMs, rng: &mut Rng) -> Self {
        let chance = (u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64()))
            >> (u128::BITS - CHANCE_BITS);
        Self(u128::from(now.0.min(TIME_MAX)) << CHANCE_BITS | chance)
    }

    /// The identifier with these bytes, most significant first.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes.into_iter().fold(0, |value, byte| value << 8 | u128::from(byte)))
    }

    /// The bytes, most significant first.
    #[must_use]
    pub fn bytes(self) -> [u8; 16] {
        std::array::from_fn(|at| {
            let shift = 8 * (15 - u32::try_from(at).unwrap_or(0));
            u8::try_from(self.0 >> shift & 0xFF).unwrap_or(0)
        })
    }

    /// When it was made, by the clock of whoever made it.
    #[must_use]
    pub fn made_at(self) -> WallMs {
        WallMs(u64::try_from(self.0 >> CHANCE_BITS).unwrap_or(TIME_MAX))
    }

    /// The identifier that `text` is: 26 upper-case digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != TEXT_BYTES {
            return None;
        }
        let mut value: u128 = 0;
        for digit in text.bytes() {
            let digit = DIGITS.iter().position(|d| *d == digit)?;
            // The first of 26 digits has two bits too many.
            value = value.checked_mul(32)? | digit as u128;
        }
        Some(Self(value))
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(TEXT_BYTES);
        for at in (0..TEXT_BYTES).rev() {
            let digit = usize::try_from(self.0 >> (5 * at) & 31).unwrap_or(0);
            text.push(DIGITS.get(digit).copied().map_or('0', char::from));
        }
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_sorts_as_the_value_and_comes_back() {
        let mut rng = Rng::new(1);
        let times = [0, 1, 1_469_918_176_385, TIME_MAX, u64::MAX];
        let ulids: Vec<Ulid> = times.iter().map(|ms| Ulid::new(WallMs(*ms), &mut rng)).collect();
        for (ulid, ms) in ulids.iter().zip(times) {
            assert_eq!(Ulid::parse(&ulid.to_string()), Some(*ulid));
            assert_eq!(Ulid::from_bytes(ulid.bytes()), *ulid);
            assert_eq!(ulid.made_at(), WallMs(ms.min(TIME_MAX)));
        }
        assert!(ulids[..4].is_sorted() && ulids[..4].iter().map(Ulid::to_string).is_sorted());
    }

    #[test]
    fn the_time_is_where_the_specification_puts_it() {
        // The example of the specification: 01ARYZ6S41 is 1469918176385.
        let ulid = Ulid::parse("01ARYZ6S41TSV4RRFFQ69G5FAV").unwrap();
        assert_eq!(ulid.made_at(), WallMs(1_469_918_176_385));
    }

    #[test]
    fn what_is_no_identifier_is_refused() {
        for text in [
            "",
            "01ARYZ6S41TSV4RRFFQ69G5FA",
            "01ARYZ6S41TSV4RRFFQ69G5FAU",
            "81ARYZ6S41TSV4RRFFQ69G5FAV",
        ] {
            assert_eq!(Ulid::parse(text), None, "{text}");
        }
        assert_eq!(Ulid::parse("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"), Some(Ulid(u128::MAX)));
    }
}
