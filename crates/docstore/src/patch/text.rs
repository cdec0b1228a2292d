//! A JSON text and the values in it: where each begins and ends, and how deep it nests. Validation
//! walks documents with it too.
//!
//! It does not judge: every text here was accepted by `base::document`. On anything else it would
//! give wrong answers, but it neither panics nor runs on forever, because every step is bounds
//! checked and moves forward.
//!
//! A value is stepped over byte by byte. Values that are stepped over again and again, because
//! they lie within others that are opened one after the other, would make that quadratic: a text
//! of at least [`TABLE_BYTES_MIN`] bytes is surveyed once, and every container of at least
//! [`LARGE_BYTES_MIN`] bytes is stepped over in one look-up from then on. Start with [`Entries`].
#![deny(clippy::indexing_slicing)]

use std::borrow::Cow;
use std::cell::OnceCell;

use base::document::Decoded;

/// Texts below this size are never surveyed: stepping over one at each of its 128 levels reads at
/// most 2 MiB.
const TABLE_BYTES_MIN: usize = 16 * 1024;
/// Containers below this size are not worth an entry of the survey.
const LARGE_BYTES_MIN: usize = 1024;

/// A whole JSON text: a document, a value of a patch, or a value that was copied.
#[derive(Debug)]
pub(crate) struct Text<'t> {
    bytes: Cow<'t, [u8]>,
    /// The large containers, by where they begin.
    large: OnceCell<Box<[Large]>>,
}

/// Where a large container begins and ends, and how deep it nests.
#[derive(Debug, Clone, Copy)]
struct Large {
    start: u32,
    end: u32,
    height: u32,
}

impl<'t> Text<'t> {
    /// A text that `base::document` accepts. It is longer than a document only if a patch copied
    /// so much, and never longer than 4 GiB: the work of a patch is limited.
    pub(crate) fn new(bytes: impl Into<Cow<'t, [u8]>>) -> Self {
        Self { bytes: bytes.into(), large: OnceCell::new() }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What comes before the outermost value, that value, and what comes after it.
    pub(crate) fn parts(&self) -> (&[u8], Span<'_>, &[u8]) {
        let start = skip_whitespace(self.bytes(), 0);
        let span = self.span_at(start);
        (self.slice(0, start), span, self.slice(span.end as usize, self.bytes.len()))
    }

    fn slice(&self, start: usize, end: usize) -> &[u8] {
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// The value that begins at `start`.
    fn span_at(&self, start: usize) -> Span<'_> {
        let (end, height) = self.value_end(start);
        Span { text: self, start: narrow(start), end: narrow(end), height }
    }

    /// The offset after the value that begins at `at`, and how deep that value nests.
    fn value_end(&self, at: usize) -> (usize, u32) {
        let bytes = self.bytes();
        match bytes.get(at) {
            Some(b'"') => (after_string(bytes, at), 0),
            Some(b'{' | b'[') => match self.large_at(at) {
                Some(large) => (large.end as usize, large.height),
                None => container_end(bytes, at),
            },
            _ => (scalar_end(bytes, at), 0),
        }
    }

    fn large_at(&self, at: usize) -> Option<Large> {
        if self.bytes.len() < TABLE_BYTES_MIN {
            return None;
        }
        let table = self.large.get_or_init(|| survey(self.bytes()));
        let found = table.binary_search_by_key(&narrow(at), |large| large.start);
        found.ok().and_then(|i| table.get(i)).copied()
    }
}

/// A value within a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span<'s> {
    text: &'s Text<'s>,
    start: u32,
    end: u32,
    height: u32,
}

impl<'s> Span<'s> {
    /// The value as it is written, without the whitespace around it.
    pub(crate) fn bytes(self) -> &'s [u8] {
        self.text.slice(self.start as usize, self.end as usize)
    }

    /// Where it begins in its text.
    pub(crate) fn start(self) -> u32 {
        self.start
    }

    /// A stretch of it.
    pub(crate) fn stretch_bytes(self, stretch: Stretch) -> &'s [u8] {
        self.text.slice(stretch.start as usize, stretch.end as usize)
    }

    /// How many arrays and objects nest in it, itself included: 0 for a scalar.
    pub(crate) fn height(self) -> usize {
        self.height as usize
    }

    /// Whether it is an array or an object, and which.
    pub(crate) fn kind(self) -> Option<Kind> {
        match self.bytes().first() {
            Some(b'{') => Some(Kind::Object),
            Some(b'[') => Some(Kind::Array),
            _ => None,
        }
    }

    /// What it holds, if it is a container.
    pub(crate) fn entries(self) -> Option<Entries<'s>> {
        let kind = self.kind()?;
        let first = self.start as usize + 1;
        let inner_end = skip_whitespace(self.text.bytes(), first);
        let is_empty = matches!(self.text.bytes().get(inner_end), Some(b'}' | b']'));
        let next = if is_empty { None } else { Some(first) };
        let last = (self.end as usize).saturating_sub(1);
        Some(Entries { text: self.text, kind, next, last, delimiter: inner_end })
    }
}

/// Which of the two containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Members with keys.
    Object,
    /// Elements without.
    Array,
}

/// A stretch of consecutive entries of one container, with the commas between them and without
/// those around them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Stretch {
    /// Its length in bytes.
    pub(crate) fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }
}

/// One element or member, as it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'s> {
    /// From the comma or bracket before it up to its value: whitespace, for a member also the key
    /// and the colon.
    pub(crate) before: &'s [u8],
    /// Its key, when it is a member.
    pub(crate) key: Key<'s>,
    pub(crate) value: Span<'s>,
    /// The whitespace after it.
    pub(crate) after: &'s [u8],
}

/// The key of an entry.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Key<'s> {
    /// An array's elements have none.
    None,
    /// What stands between the quotes, and whether there are escapes in it.
    Written {
        /// As written.
        raw: &'s [u8],
        /// Its offset in the text.
        at: u32,
        escaped: bool,
    },
    /// A key that a patch adds, not escaped.
    Added(&'s str),
}

impl<'s> Key<'s> {
    /// Whether it is `name` once escapes are decoded.
    pub(crate) fn is(self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::Written { raw, escaped: false, .. } => raw == name.as_bytes(),
            Self::Written { raw, escaped: true, .. } => Decoded::new(raw).eq(name.bytes()),
            Self::Added(added) => added == name,
        }
    }

    /// Where it is in its text, if it is written in one.
    pub(crate) fn offset(self) -> Option<u32> {
        match self {
            Self::Written { at, .. } => Some(at),
            Self::None | Self::Added(_) => None,
        }
    }

    /// The bytes it stands for, one by one.
    pub(crate) fn decoded(self) -> Decoded<'s> {
        match self {
            Self::Written { raw, .. } => Decoded::new(raw),
            Self::None | Self::Added(_) => Decoded::new(b""),
        }
    }
}

/// The entries of a container or of a stretch of it, in order.
#[derive(Debug)]
pub(crate) struct Entries<'s> {
    text: &'s Text<'s>,
    kind: Kind,
    /// Where the next entry begins; none when the last was given.
    next: Option<usize>,
    /// No entry begins at or after this offset.
    last: usize,
    /// Where the comma or bracket after the last entry given is.
    delimiter: usize,
}

impl<'s> Entries<'s> {
    /// The entries of a stretch of the container that `of` is.
    pub(crate) fn of_stretch(of: Span<'s>, kind: Kind, stretch: Stretch) -> Self {
        let start = stretch.start as usize;
        let last = stretch.end as usize;
        Self { text: of.text, kind, next: Some(start), last, delimiter: start }
    }

    /// Where the comma or closing bracket after the entry given last is; of an empty container
    /// the closing bracket.
    pub(crate) fn delimiter(&self) -> u32 {
        narrow(self.delimiter)
    }

    /// Whether the entry given last was the last one.
    pub(crate) fn is_done(&self) -> bool {
        self.next.is_none()
    }

    /// The whitespace within a container without entries.
    pub(crate) fn blank(&self, of: Span<'s>) -> &'s [u8] {
        self.text.slice(of.start as usize + 1, self.delimiter)
    }
}

impl<'s> Iterator for Entries<'s> {
    type Item = Entry<'s>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'s>> {
        let (text, bytes) = (self.text, self.text.bytes());
        let start = self.next?;
        let mut at = skip_whitespace(bytes, start);
        let mut key = Key::None;
        if self.kind == Kind::Object {
            let (quote, escaped) = string_end(bytes, at + 1);
            key = Key::Written { raw: text.slice(at + 1, quote), at: narrow(at + 1), escaped };
            let colon = skip_whitespace(bytes, quote + 1);
            at = skip_whitespace(bytes, colon + 1);
        }
        let value = text.span_at(at);
        let value_end = value.end as usize;
        self.delimiter = skip_whitespace(bytes, value_end);
        let more = bytes.get(self.delimiter) == Some(&b',') && self.delimiter < self.last;
        self.next = more.then_some(self.delimiter + 1);
        let after = text.slice(value_end, self.delimiter);
        Some(Entry { before: text.slice(start, at), key, value, after })
    }
}

/// The value that begins at `offset` in the text of `of`.
pub(crate) fn value_at(of: Span<'_>, offset: u32) -> Span<'_> {
    of.text.span_at(offset as usize)
}

/// The key whose first byte after the opening quote is at `offset`.
pub(crate) fn key_at(of: Span<'_>, offset: u32) -> Key<'_> {
    let start = offset as usize;
    let (end, escaped) = string_end(of.text.bytes(), start);
    Key::Written { raw: of.text.slice(start, end), at: offset, escaped }
}

/// Offsets fit: see [`Text::new`].
fn narrow(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

fn skip_whitespace(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

/// The offset of the closing quote of the string whose content begins at `at`, and whether the
/// string has escapes.
#[inline]
fn string_end(bytes: &[u8], mut at: usize) -> (usize, bool) {
    let mut escaped = false;
    loop {
        at += plain_len(bytes.get(at..).unwrap_or_default());
        match bytes.get(at) {
            Some(b'\\') => {
                escaped = true;
                at += 2;
            }
            Some(_) => return (at, escaped),
            None => return (bytes.len(), escaped),
        }
    }
}

fn after_string(bytes: &[u8], at: usize) -> usize {
    (string_end(bytes, at + 1).0 + 1).min(bytes.len())
}

/// Bytes before the first quote or backslash, eight at a time: a byte of the mask has its high
/// bit set where the word has one of them (Mycroft's trick; a borrow marks only bytes above one
/// that is marked rightly, and the lowest alone counts).
#[inline]
fn plain_len(bytes: &[u8]) -> usize {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let (words, rest) = bytes.as_chunks::<8>();
    let mut len = 0;
    for chunk in words {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (LOW * 0x22);
        let backslash = word ^ (LOW * 0x5C);
        let found = (quote.wrapping_sub(LOW) & !quote) | (backslash.wrapping_sub(LOW) & !backslash);
        let found = found & (LOW << 7);
        if found != 0 {
            return len + found.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    len + rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\')).count()
}

fn scalar_end(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
    at + rest.iter().position(ends).unwrap_or(rest.len())
}

/// The offset after the container that begins at `at`, and how deep it nests.
fn container_end(bytes: &[u8], mut at: usize) -> (usize, u32) {
    let (mut depth, mut height) = (0_u32, 0_u32);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = after_string(bytes, at);
                continue;
            }
            b'{' | b'[' => {
                depth += 1;
                height = height.max(depth);
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return (at + 1, height);
                }
            }
            _ => {}
        }
        at += 1;
    }
    (bytes.len(), height)
}

/// Every large container, by where it begins: one pass over the text.
fn survey(bytes: &[u8]) -> Box<[Large]> {
    let mut large = Vec::new();
    // Of each open container, where it begins and how deep the deepest of its children nests.
    let mut open: Vec<(usize, u32)> = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = after_string(bytes, at);
                continue;
            }
            b'{' | b'[' => open.push((at, 0)),
            b'}' | b']' => {
                let Some((start, below)) = open.pop() else { break };
                let (height, end) = (below + 1, at + 1);
                if let Some((_, deepest)) = open.last_mut() {
                    *deepest = (*deepest).max(height);
                }
                if end - start >= LARGE_BYTES_MIN {
                    large.push(Large { start: narrow(start), end: narrow(end), height });
                }
            }
            _ => {}
        }
        at += 1;
    }
    large.sort_unstable_by_key(|large| large.start);
    large.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<String> {
        let text = Text::new(text.as_bytes());
        let (_, span, _) = text.parts();
        let entries = span.entries().expect("a container");
        entries.map(|entry| String::from_utf8_lossy(entry.value.bytes()).into_owned()).collect()
    }

    #[test]
    fn entries_are_what_stands_between_the_commas() {
        for (text, expect) in [
            ("[]", &[][..]),
            (" [ \n ] ", &[]),
            ("{ }", &[]),
            ("[1]", &["1"]),
            (
                "[ 1 , \"a,\\\"]\" ,[2,[3]], {\"x\":[]} ]",
                &["1", "\"a,\\\"]\"", "[2,[3]]", "{\"x\":[]}"],
            ),
            ("{\"a,:\" : 1 ,\"}\":null}", &["1", "null"]),
        ] {
            assert_eq!(values(text), expect, "{text}");
        }
    }

    #[test]
    fn the_parts_of_an_entry_add_up_to_the_text() {
        let text = Text::new(&b" { \"a\" : 1 , \"b\\n\":[ ]\t, \"\":\"\"} "[..]);
        let (before, span, after) = text.parts();
        assert_eq!((before, after), (&b" "[..], &b" "[..]));
        let mut joined = Vec::new();
        for entry in span.entries().expect("an object") {
            joined.push(if joined.is_empty() { b'{' } else { b',' });
            joined.extend([entry.before, entry.value.bytes(), entry.after].concat());
        }
        joined.push(b'}');
        assert_eq!(joined, span.bytes());
    }

    #[test]
    fn heights_count_open_containers_with_and_without_a_survey() {
        let filler = format!("\"{}\"", "x".repeat(TABLE_BYTES_MIN));
        for (text, height) in [("1", 0), ("\"[[\"", 0), ("[]", 1), ("[{},[[1]],2]", 3)] {
            let small = Text::new(text.as_bytes());
            assert_eq!(small.parts().1.height(), height, "{text}");
            let large = format!("[[[{filler}]],{text},[{filler}]]");
            let large = Text::new(large.as_bytes());
            let entries = large.parts().1.entries().expect("an array");
            let heights: Vec<usize> = entries.map(|entry| entry.value.height()).collect();
            assert_eq!(heights, [2, height, 1], "{text}");
        }
    }

    #[test]
    fn the_word_scan_finds_what_a_byte_scan_finds() {
        let mut rng = base::rng::Rng::new(11);
        for _ in 0..20_000 {
            let len = rng.index(30);
            // Mostly tame bytes; otherwise those that come next to a quote or backslash.
            let byte = |rng: &mut base::rng::Rng| match rng.below(40) {
                0 => b'"',
                1 => b'\\',
                2 => 0x21,
                3 => 0x23,
                4 => 0x5B,
                5 => 0x5D,
                6 => 0xA2,
                7 => 0xDC,
                _ => b'x',
            };
            let bytes: Vec<u8> = (0..len).map(|_| byte(&mut rng)).collect();
            let slow = bytes.iter().position(|b| matches!(b, b'"' | b'\\'));
            assert_eq!(plain_len(&bytes), slow.unwrap_or(bytes.len()), "{bytes:02x?}");
        }
    }

    #[test]
    fn text_that_is_no_json_ends_the_walk() {
        for text in ["", "{", "[1", "[1,", "{\"a", "{\"a\\", "{\"a\":", "]", "{]", "[\"\\"] {
            let text = Text::new(text.as_bytes());
            let (_, span, _) = text.parts();
            assert!(span.entries().into_iter().flatten().take(10).count() < 10);
        }
    }
}
