//! Finds the end of the plain part of a string, eight bytes at a time. It knows nothing of JSON
//! but the bytes that end the part: a quote, a backslash, a control character.
#![deny(clippy::indexing_slicing)]

/// Bytes of a string that need no look at one by one.
pub(super) struct Plain {
    /// How many bytes come before the first quote, backslash or control character.
    pub(super) len: usize,
    /// Whether any of them may lie beyond ASCII; false is certain.
    pub(super) beyond_ascii: bool,
}

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = LOW << 7;

/// Eight bytes at a time: the high bit of a byte in the mask says that it is special. A borrow
/// can mark a byte above a special one wrongly, never one below, and only the lowest is used.
/// (The word trick is in Mycroft's 1987 note on finding a zero byte, and in Warren's Hacker's
/// Delight, 6-1.)
#[inline(always)]
pub(super) fn plain_prefix(bytes: &[u8]) -> Plain {
    let mut seen = 0;
    let mut len = 0;
    let (words, rest) = bytes.as_chunks::<8>();
    for chunk in words {
        let word = u64::from_le_bytes(*chunk);
        let control = word.wrapping_sub(LOW * 0x20);
        let quote = (word ^ (LOW * 0x22)).wrapping_sub(LOW);
        let backslash = (word ^ (LOW * 0x5C)).wrapping_sub(LOW);
        let special = (control | quote | backslash) & !word & HIGH;
        seen |= word;
        if special != 0 {
            len += special.trailing_zeros() as usize / 8;
            return Plain { len, beyond_ascii: seen & HIGH != 0 };
        }
        len += 8;
    }
    for byte in rest {
        if matches!(byte, 0..0x20 | b'"' | b'\\') {
            break;
        }
        seen |= u64::from(*byte);
        len += 1;
    }
    Plain { len, beyond_ascii: seen & HIGH != 0 }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_word_scan_finds_what_a_byte_scan_finds() {
        let mut rng = crate::rng::Rng::new(7);
        let alphabet = [0, 0x1F, 0x20, 0x21, 0x22, 0x23, 0x5B, 0x5C, 0x5D, 0x7F, 0x80, 0xA2, 0xFF];
        for _ in 0..20_000 {
            let len = rng.index(40);
            let tame = rng.chance(500);
            let mut bytes: Vec<u8> = (0..len).map(|_| alphabet[rng.index(13)]).collect();
            if tame {
                bytes.iter_mut().for_each(|b| *b = (*b).max(0x23) & 0x7F | 0x21);
                if let Some(byte) = bytes.last_mut() {
                    *byte = alphabet[rng.index(13)];
                }
            }
            let slow = bytes.iter().position(|b| matches!(b, 0..0x20 | b'"' | b'\\'));
            let plain = plain_prefix(&bytes);
            assert_eq!(plain.len, slow.unwrap_or(len), "{bytes:02x?}");
            assert!(plain.beyond_ascii || bytes[..plain.len].is_ascii(), "{bytes:02x?}");
        }
    }
}
