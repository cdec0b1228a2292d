//! The JSON validator: decides whether bytes may become a document. It is the only judge.
//!
//! One pass from left to right, without recursion. Memory is bounded: one word for each open
//! container (at most 128) and 16 bytes for each key of the open objects, twice that while their
//! vector grows. A key takes at least five bytes of text, so the worst case is seven times the
//! text. Time is linear, except that the keys of a large object are sorted when it closes.
//!
//! The error reported is the one at the lowest offset, except that duplicate keys are found when
//! their object closes: an error inside that object comes first, an error after it does not.
//!
//! Invariant: every offset is at most the length of the text, which is at most 16 MiB, so sums
//! of offsets cannot overflow. Start with [`validate`].
#![deny(clippy::indexing_slicing)]

use super::keys::{Key, first_duplicate};
use super::scan::plain_prefix;
use super::{JsonError, JsonErrorKind as Kind};
use crate::limits::{DOCUMENT_BYTES_MAX, DOCUMENT_DEPTH_MAX};

/// Set in an open container's word when it is an object; the rest counts the keys below it.
const OBJECT: u32 = 1 << 31;
/// Keys that the first key of a document makes room for.
const KEYS_FIRST: usize = 32;

/// Checks that `bytes` are a JSON text which docdb accepts, without copying them.
///
/// # Errors
/// The first rule that the bytes break, as [`Document::parse`](super::Document::parse) does.
pub fn validate(bytes: &[u8]) -> Result<(), JsonError> {
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(JsonError { kind: Kind::TooLarge, offset: DOCUMENT_BYTES_MAX });
    }
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        return Err(JsonError { kind: Kind::ByteOrderMark, offset: 0 });
    }
    let mut validator = Validator {
        text: bytes,
        at: 0,
        open: [0; DOCUMENT_DEPTH_MAX],
        depth: 0,
        keys: Vec::new(),
        scratch: Vec::new(),
    };
    validator.run()
}

/// The number that four hexadecimal digits stand for.
pub(super) fn hex4(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |n, digit| Some(n << 4 | char::from(*digit).to_digit(16)?))
}

/// What comes after a value has been read.
enum Next {
    /// Another value of the same container.
    Value,
    /// Nothing: the outermost value is complete.
    End,
}

/// The state of one pass. Its methods are forced inline and what is rare is a function of its own
/// that takes the text and an offset: so the state lives in registers, which was measured to be
/// worth a third of the time on documents of short keys and values.
struct Validator<'a> {
    text: &'a [u8],
    /// The next byte to look at.
    at: usize,
    /// The open containers, outermost first: where their keys begin, and [`OBJECT`].
    open: [u32; DOCUMENT_DEPTH_MAX],
    depth: usize,
    /// Keys of all open objects, those of the innermost last.
    keys: Vec<Key>,
    /// Room for decoding keys that have escapes.
    scratch: Vec<u8>,
}

impl Validator<'_> {
    fn run(&mut self) -> Result<(), JsonError> {
        loop {
            self.skip_whitespace();
            let opened = match self.peek() {
                Some(b'"') => self.string().map(|_| false)?,
                Some(b'{') => self.open_object()?,
                Some(b'[') => self.open_array()?,
                Some(b'-' | b'0'..=b'9') => self.number().map(|()| false)?,
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                Some(b'n') => self.literal(b"null")?,
                Some(_) => return Err(self.wrong(Kind::ExpectedValue)),
                None => return Err(self.wrong(Kind::UnexpectedEnd)),
            };
            if opened {
                continue;
            }
            match self.after_value()? {
                Next::Value => {}
                Next::End => return self.end(),
            }
        }
    }

    /// Only whitespace may follow the outermost value.
    #[inline(always)]
    fn end(&mut self) -> Result<(), JsonError> {
        self.skip_whitespace();
        if self.at == self.text.len() { Ok(()) } else { Err(self.wrong(Kind::TrailingBytes)) }
    }

    /// Closes containers until one goes on with a comma; reads the key when that is an object.
    #[inline(always)]
    fn after_value(&mut self) -> Result<Next, JsonError> {
        while let Some(container) = self.innermost() {
            let is_object = container & OBJECT != 0;
            self.skip_whitespace();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    if is_object {
                        self.skip_whitespace();
                        self.key()?;
                    }
                    return Ok(Next::Value);
                }
                Some(b'}') if is_object => self.close_object(container & !OBJECT)?,
                Some(b']') if !is_object => self.close(),
                Some(_) => return Err(self.wrong(Kind::ExpectedCommaOrEnd)),
                None => return Err(self.wrong(Kind::UnexpectedEnd)),
            }
        }
        Ok(Next::End)
    }

    /// Opens an object and reads its first key. False when it is empty and closed again.
    #[inline(always)]
    fn open_object(&mut self) -> Result<bool, JsonError> {
        let first_key = u32::try_from(self.keys.len()).expect("fewer keys than bytes");
        self.push(first_key | OBJECT)?;
        if self.peek() == Some(b'}') {
            self.close();
            return Ok(false);
        }
        self.key()?;
        Ok(true)
    }

    /// Opens an array. False when it is empty and closed again.
    #[inline(always)]
    fn open_array(&mut self) -> Result<bool, JsonError> {
        self.push(0)?;
        if self.peek() == Some(b']') {
            self.close();
            return Ok(false);
        }
        Ok(true)
    }

    /// Steps over an opening bracket and the whitespace after it.
    #[inline(always)]
    fn push(&mut self, container: u32) -> Result<(), JsonError> {
        let Some(place) = self.open.get_mut(self.depth) else {
            return Err(self.wrong(Kind::TooDeep));
        };
        *place = container;
        self.depth += 1;
        self.at += 1;
        self.skip_whitespace();
        Ok(())
    }

    #[inline(always)]
    fn close_object(&mut self, first_key: u32) -> Result<(), JsonError> {
        let first_key = first_key as usize;
        let keys = self.keys.get_mut(first_key..).unwrap_or_default();
        if let Some(offset) = first_duplicate(keys, self.text) {
            return Err(JsonError { kind: Kind::DuplicateKey, offset });
        }
        self.keys.truncate(first_key);
        self.close();
        Ok(())
    }

    /// Steps over a closing bracket.
    #[inline(always)]
    fn close(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    #[inline(always)]
    fn innermost(&self) -> Option<u32> {
        self.open.get(self.depth.checked_sub(1)?).copied()
    }

    /// Reads a key and the colon after it.
    #[inline(always)]
    fn key(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'"') => {}
            Some(_) => return Err(self.wrong(Kind::ExpectedKey)),
            None => return Err(self.wrong(Kind::UnexpectedEnd)),
        }
        let start = self.at + 1;
        let escaped = self.string()?;
        let key = Key::new(self.text, start, self.at - 1, escaped, &mut self.scratch);
        if self.keys.capacity() == 0 {
            self.keys.reserve(KEYS_FIRST);
        }
        self.keys.push(key);
        self.skip_whitespace();
        match self.peek() {
            Some(b':') => self.at += 1,
            Some(_) => return Err(self.wrong(Kind::ExpectedColon)),
            None => return Err(self.wrong(Kind::UnexpectedEnd)),
        }
        Ok(())
    }

    /// Reads a string from its opening quote; says whether it has escapes.
    #[inline(always)]
    fn string(&mut self) -> Result<bool, JsonError> {
        self.at += 1;
        let mut escaped = false;
        loop {
            let start = self.at;
            let plain = plain_prefix(self.text.get(start..).unwrap_or_default());
            let end = start + plain.len;
            if plain.beyond_ascii {
                check_utf8(self.text, start, end)?;
            }
            self.at = end;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at = escape(self.text, self.at)?;
                }
                Some(_) => return Err(self.wrong(Kind::ControlCharacter)),
                None => return Err(self.wrong(Kind::UnexpectedEnd)),
            }
        }
    }

    /// Reads a number: sign, integer without leading zeros, fraction, exponent.
    #[inline(always)]
    fn number(&mut self) -> Result<(), JsonError> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
            if self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
                return Err(self.wrong(Kind::InvalidNumber));
            }
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// Reads one digit or more.
    #[inline(always)]
    fn digits(&mut self) -> Result<(), JsonError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        match self.peek() {
            _ if count > 0 => Ok(()),
            Some(_) => Err(self.wrong(Kind::InvalidNumber)),
            None => Err(self.wrong(Kind::UnexpectedEnd)),
        }
    }

    /// Reads one of the three words. Always false: no container was opened.
    #[inline(always)]
    fn literal(&mut self, word: &[u8]) -> Result<bool, JsonError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if rest.starts_with(word) {
            self.at += word.len();
            return Ok(false);
        }
        let cut = word.starts_with(rest);
        Err(if cut { self.end_of_text() } else { self.wrong(Kind::ExpectedValue) })
    }

    #[inline(always)]
    fn skip_whitespace(&mut self) {
        // Compact text has none, so the first byte decides most of the time.
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline(always)]
    fn wrong(&self, kind: Kind) -> JsonError {
        JsonError { kind, offset: self.at }
    }

    #[inline(always)]
    fn end_of_text(&self) -> JsonError {
        JsonError { kind: Kind::UnexpectedEnd, offset: self.text.len() }
    }
}

/// The string piece `text[start..end]` is UTF-8. It ends before a quote, backslash or control
/// character, none of which can be part of a longer character.
#[inline(never)]
fn check_utf8(text: &[u8], start: usize, end: usize) -> Result<(), JsonError> {
    match std::str::from_utf8(text.get(start..end).unwrap_or_default()) {
        Ok(_) => Ok(()),
        Err(e) => Err(JsonError { kind: Kind::InvalidUtf8, offset: start + e.valid_up_to() }),
    }
}

/// Checks the escape whose backslash is at `at`; returns the offset after it.
#[inline(never)]
fn escape(text: &[u8], at: usize) -> Result<usize, JsonError> {
    match text.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => unicode_escape(text, at),
        Some(_) => Err(JsonError { kind: Kind::InvalidEscape, offset: at }),
        None => Err(JsonError { kind: Kind::UnexpectedEnd, offset: text.len() }),
    }
}

/// Checks `\uXXXX`, and the second half with it when it is the first half of a surrogate pair.
fn unicode_escape(text: &[u8], at: usize) -> Result<usize, JsonError> {
    let wrong = |kind| Err(JsonError { kind, offset: at });
    let Some(digits) = text.get(at + 2..at + 6) else {
        let rest = text.get(at + 2..).unwrap_or_default();
        if rest.iter().all(u8::is_ascii_hexdigit) {
            return Err(JsonError { kind: Kind::UnexpectedEnd, offset: text.len() });
        }
        return wrong(Kind::InvalidEscape);
    };
    match hex4(digits) {
        None => wrong(Kind::InvalidEscape),
        Some(0xD800..0xDC00) => {
            let second = text.get(at + 6..at + 12);
            let low = second.and_then(|s| s.strip_prefix(b"\\u")).and_then(hex4);
            match low {
                Some(0xDC00..0xE000) => Ok(at + 12),
                _ => wrong(Kind::LoneSurrogate),
            }
        }
        Some(0xDC00..0xE000) => wrong(Kind::LoneSurrogate),
        Some(_) => Ok(at + 6),
    }
}
