//! The keys of the objects that are open, and the search for two that are the same.
//!
//! Keys are compared as their decoded text. Each entry carries a fingerprint of that text: equal
//! keys have equal fingerprints, so most comparisons end there. Fingerprints are cheap and an
//! attacker can make them collide; nothing but speed depends on them. Objects of up to
//! [`LINEAR_MAX`] keys are compared pair by pair, larger ones are sorted, so the worst case is
//! n log n comparisons whatever the keys are, and no hash and no randomness is involved.

/// Objects of at most this many keys are compared pair by pair: 276 comparisons of one word.
const LINEAR_MAX: usize = 24;
/// Set in [`Key::extent`] when the text has escapes. A document's length leaves the bit free.
const ESCAPED: u32 = 1 << 31;
const _: () = assert!(crate::limits::DOCUMENT_BYTES_MAX < ESCAPED as usize);

/// A key within the text that is being validated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    fingerprint: u64,
    /// Offset of the first byte after the opening quote.
    start: u32,
    /// Length up to the closing quote, and [`ESCAPED`].
    extent: u32,
}

impl Key {
    /// The key whose valid string content is `text[start..end]`. Decodes into `scratch` when it
    /// has escapes.
    pub(super) fn new(
        text: &[u8],
        start: usize,
        end: usize,
        escaped: bool,
        scratch: &mut Vec<u8>,
    ) -> Key {
        let raw = text.get(start..end).unwrap_or_default();
        let fingerprint = if escaped {
            scratch.clear();
            scratch.extend(Decoded::new(raw));
            fingerprint(scratch)
        } else {
            fingerprint(raw)
        };
        let narrow = |n| u32::try_from(n).expect("the text is no longer than a document");
        let flag = if escaped { ESCAPED } else { 0 };
        Key { fingerprint, start: narrow(start), extent: narrow(raw.len()) | flag }
    }

    /// Offset of the opening quote.
    fn offset(self) -> usize {
        (self.start as usize).saturating_sub(1)
    }

    fn raw(self, text: &[u8]) -> &[u8] {
        let start = self.start as usize;
        text.get(start..start + (self.extent & !ESCAPED) as usize).unwrap_or_default()
    }

    fn compare(self, other: Key, text: &[u8]) -> std::cmp::Ordering {
        let (ours, theirs) = (self.raw(text), other.raw(text));
        if (self.extent | other.extent) & ESCAPED == 0 {
            ours.cmp(theirs)
        } else {
            Decoded::new(ours).cmp(Decoded::new(theirs))
        }
    }

    fn same(self, other: Key, text: &[u8]) -> bool {
        self.fingerprint == other.fingerprint && self.compare(other, text).is_eq()
    }
}

/// The offset of the first key that repeats an earlier one of the same object. Reorders `keys`.
pub(super) fn first_duplicate(keys: &mut [Key], text: &[u8]) -> Option<usize> {
    if keys.len() > LINEAR_MAX {
        return first_duplicate_sorted(keys, text);
    }
    let repeats = |&(i, key): &(usize, &Key)| {
        keys.get(..i).unwrap_or_default().iter().any(|earlier| earlier.same(*key, text))
    };
    keys.iter().enumerate().find(repeats).map(|(_, key)| key.offset())
}

fn first_duplicate_sorted(keys: &mut [Key], text: &[u8]) -> Option<usize> {
    keys.sort_unstable_by_key(|key| (key.fingerprint, key.start));
    keys.chunk_by_mut(|a, b| a.fingerprint == b.fingerprint)
        .filter(|run| run.len() > 1)
        .filter_map(|run| {
            run.sort_unstable_by(|a, b| a.compare(*b, text).then(a.start.cmp(&b.start)));
            let pairs = run.iter().zip(run.get(1..).unwrap_or_default());
            pairs.filter(|(a, b)| a.compare(**b, text).is_eq()).map(|(_, b)| b.offset()).min()
        })
        .min()
}

/// Mixes the first eight bytes, the last eight and the length.
fn fingerprint(bytes: &[u8]) -> u64 {
    let mixed = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(head), Some(tail)) => {
            u64::from_le_bytes(*head) ^ u64::from_le_bytes(*tail).rotate_left(29)
        }
        _ => short_word(bytes),
    };
    mixed ^ (bytes.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Fewer than eight bytes as one word, in two overlapping reads instead of a loop.
fn short_word(bytes: &[u8]) -> u64 {
    if let (Some(head), Some(tail)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        return u64::from(u32::from_le_bytes(*head)) | u64::from(u32::from_le_bytes(*tail)) << 32;
    }
    bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// The UTF-8 bytes that a valid string's content stands for, one by one.
///
/// The content is what stands between the quotes of a string or key of a [`Document`]; of other
/// bytes the result is meaningless.
///
/// [`Document`]: super::Document
#[derive(Debug, Clone)]
pub struct Decoded<'a> {
    raw: std::slice::Iter<'a, u8>,
    /// Bytes of a decoded `\u` escape that are still to come.
    pending: [u8; 4],
    pending_at: usize,
    pending_len: usize,
}

impl<'a> Decoded<'a> {
    /// The bytes that `raw` stands for.
    #[must_use]
    pub fn new(raw: &'a [u8]) -> Self {
        Self { raw: raw.iter(), pending: [0; 4], pending_at: 0, pending_len: 0 }
    }

    /// Reads four hexadecimal digits, which the validator has already seen.
    fn unit(&mut self) -> Option<u32> {
        let digits = self.raw.as_slice().get(..4)?;
        self.raw = self.raw.as_slice().get(4..)?.iter();
        super::validate::hex4(digits)
    }

    /// Decodes what follows `\u`, and the second half of a surrogate pair with it.
    fn unicode(&mut self) -> Option<u8> {
        let first = self.unit()?;
        let scalar = if (0xD800..0xDC00).contains(&first) {
            self.raw = self.raw.as_slice().get(2..)?.iter();
            let second = self.unit()?;
            0x1_0000 + ((first & 0x3FF) << 10 | (second & 0x3FF))
        } else {
            first
        };
        self.pending_len = char::from_u32(scalar)?.encode_utf8(&mut self.pending).len();
        self.pending_at = 1;
        Some(self.pending[0])
    }
}

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if self.pending_at < self.pending_len {
            let byte = self.pending.get(self.pending_at).copied();
            self.pending_at += 1;
            return byte;
        }
        match *self.raw.next()? {
            b'\\' => match *self.raw.next()? {
                b'b' => Some(8),
                b'f' => Some(12),
                b'n' => Some(b'\n'),
                b'r' => Some(b'\r'),
                b't' => Some(b'\t'),
                b'u' => self.unicode(),
                itself => Some(itself),
            },
            plain => Some(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_decode_to_the_bytes_they_stand_for() {
        for (raw, decoded) in [
            (r"", ""),
            (r"plain", "plain"),
            (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r"\u0061\u00e9\u20AC\uD83D\ude00!", "aé€😀!"),
            (r"\u0000x", "\0x"),
        ] {
            let bytes: Vec<u8> = Decoded::new(raw.as_bytes()).collect();
            assert_eq!(bytes, decoded.as_bytes(), "{raw}");
        }
    }

    #[test]
    fn colliding_fingerprints_do_not_make_keys_equal() {
        // Same first and last eight bytes, same length, different middles.
        let texts: Vec<String> = (0..100).map(|n| format!("12345678{n:03}12345678")).collect();
        assert_eq!(fingerprint(texts[0].as_bytes()), fingerprint(texts[99].as_bytes()));
        let text = texts.concat();
        let key =
            |i: usize| Key::new(text.as_bytes(), i * 19, (i + 1) * 19, false, &mut Vec::new());
        for count in [2, LINEAR_MAX, LINEAR_MAX + 1, 100] {
            let mut keys: Vec<Key> = (0..count).map(key).collect();
            assert_eq!(first_duplicate(&mut keys, text.as_bytes()), None);
        }
    }
}
