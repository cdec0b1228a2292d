//! Where the values of a line end, and what its strings say. Nothing here proves that a value is
//! well formed, but of strings that [`text`] has decoded.
#![deny(clippy::indexing_slicing)]

use crate::error::{Result, StoreError};

/// The text of a JSON string.
pub(super) fn text(value: &[u8]) -> Result<String> {
    let malformed = || StoreError::ImportLine("a string is malformed");
    let inner = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    let mut rest = inner.ok_or_else(malformed)?;
    let mut out = Vec::with_capacity(rest.len());
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\\' => unescape(&mut rest, &mut out).ok_or_else(malformed)?,
            0..0x20 | b'"' => return Err(malformed()),
            _ => out.push(*byte),
        }
    }
    String::from_utf8(out).map_err(|_| malformed())
}

/// Decodes what follows a backslash.
fn unescape(rest: &mut &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (byte, after) = rest.split_first()?;
    *rest = after;
    let plain = match byte {
        b'"' | b'\\' | b'/' => *byte,
        b'b' => 0x08,
        b'f' => 0x0C,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => {
            let mut unit = hex4(rest)?;
            if (0xD800..0xDC00).contains(&unit) {
                *rest = rest.strip_prefix(b"\\u")?;
                let low = hex4(rest)?.checked_sub(0xDC00).filter(|low| *low < 0x400)?;
                unit = 0x10000 + ((unit - 0xD800) << 10) + low;
            }
            let decoded = char::from_u32(unit)?;
            out.extend_from_slice(decoded.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(());
        }
        _ => return None,
    };
    out.push(plain);
    Some(())
}

fn hex4(rest: &mut &[u8]) -> Option<u32> {
    let (digits, after) = rest.split_at_checked(4)?;
    *rest = after;
    digits.iter().try_fold(0, |n, digit| Some(n << 4 | char::from(*digit).to_digit(16)?))
}

/// A place in a line.
pub(super) struct Cursor<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn skip_space(&mut self) {
        let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
        let end = self.rest.iter().position(|byte| !space(byte)).unwrap_or(self.rest.len());
        self.rest = self.rest.get(end..).unwrap_or_default();
    }

    /// Passes white space and this byte, if it follows.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    pub(super) fn expect(&mut self, byte: u8, what: &'static str) -> Result<()> {
        if self.take(byte) { Ok(()) } else { Err(StoreError::ImportLine(what)) }
    }

    fn split(&mut self, at: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(at)?;
        self.rest = tail;
        Some(head)
    }

    /// A string with its quotes.
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let mut is_escaped = true;
        let end = self.rest.iter().position(|byte| {
            let ends = *byte == b'"' && !is_escaped;
            is_escaped = *byte == b'\\' && !is_escaped;
            ends
        })?;
        if self.rest.starts_with(b"\"") { self.split(end + 1) } else { None }
    }

    /// A value, without the white space around it.
    pub(super) fn value(&mut self) -> Option<&'a [u8]> {
        self.skip_space();
        match self.rest.first()? {
            b'"' => self.string(),
            b'{' | b'[' => self.container(),
            _ => {
                let ends = |byte: &u8| matches!(byte, b',' | b'}' | b' ' | b'\t' | b'\r');
                let end = self.rest.iter().position(ends).filter(|end| *end > 0)?;
                self.split(end)
            }
        }
    }

    fn container(&mut self) -> Option<&'a [u8]> {
        let (mut depth, mut in_string, mut is_escaped) = (0_u32, false, false);
        let end = self.rest.iter().position(|byte| {
            match (in_string, byte) {
                (true, _) if is_escaped => is_escaped = false,
                (true, b'\\') => is_escaped = true,
                (true, b'"') => in_string = false,
                (true, _) => {}
                (false, b'"') => in_string = true,
                (false, b'{' | b'[') => depth = depth.saturating_add(1),
                (false, b'}' | b']') => depth = depth.saturating_sub(1),
                (false, _) => {}
            }
            depth == 0
        })?;
        self.split(end + 1)
    }
}
