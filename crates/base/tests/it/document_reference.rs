//! A second JSON parser with the same rules as the validator: recursive, slow, and written from
//! the rules alone. It builds every decoded key and keeps them in a set.

use std::collections::HashSet;

use base::document::{JsonError, JsonErrorKind as Kind};
use base::limits::DOCUMENT_DEPTH_MAX;

type Parsed<T> = Result<T, JsonError>;

fn fail<T>(kind: Kind, offset: usize) -> Parsed<T> {
    Err(JsonError { kind, offset })
}

/// What the rules say about `text`, whose length is not looked at.
pub(crate) fn check(text: &[u8]) -> Parsed<()> {
    if text.starts_with("\u{FEFF}".as_bytes()) {
        return fail(Kind::ByteOrderMark, 0);
    }
    let end = space(text, value(text, space(text, 0), 0)?);
    if end < text.len() { fail(Kind::TrailingBytes, end) } else { Ok(()) }
}

fn space(text: &[u8], at: usize) -> usize {
    at + text[at..].iter().take_while(|b| b" \t\r\n".contains(b)).count()
}

/// Reads the value at `at`, returns the offset after it.
fn value(text: &[u8], at: usize, depth: usize) -> Parsed<usize> {
    match text.get(at) {
        None => fail(Kind::UnexpectedEnd, at),
        Some(b'"') => Ok(string(text, at)?.1),
        Some(b'{' | b'[') if depth == DOCUMENT_DEPTH_MAX => fail(Kind::TooDeep, at),
        Some(b'{') => object(text, at, depth + 1),
        Some(b'[') => array(text, at, depth + 1),
        Some(b'-' | b'0'..=b'9') => number(text, at),
        Some(_) => {
            for word in ["true", "false", "null"] {
                if text[at..].starts_with(word.as_bytes()) {
                    return Ok(at + word.len());
                }
                if word.as_bytes().starts_with(&text[at..]) {
                    return fail(Kind::UnexpectedEnd, text.len());
                }
            }
            fail(Kind::ExpectedValue, at)
        }
    }
}

fn array(text: &[u8], at: usize, depth: usize) -> Parsed<usize> {
    let mut at = space(text, at + 1);
    if text.get(at) == Some(&b']') {
        return Ok(at + 1);
    }
    loop {
        at = space(text, value(text, at, depth)?);
        match text.get(at) {
            Some(b',') => at = space(text, at + 1),
            Some(b']') => return Ok(at + 1),
            Some(_) => return fail(Kind::ExpectedCommaOrEnd, at),
            None => return fail(Kind::UnexpectedEnd, at),
        }
    }
}

fn object(text: &[u8], at: usize, depth: usize) -> Parsed<usize> {
    let mut keys = HashSet::new();
    let mut repeated = None;
    let mut at = space(text, at + 1);
    if text.get(at) == Some(&b'}') {
        return Ok(at + 1);
    }
    loop {
        match text.get(at) {
            Some(b'"') => {}
            Some(_) => return fail(Kind::ExpectedKey, at),
            None => return fail(Kind::UnexpectedEnd, at),
        }
        let (key, after) = string(text, at)?;
        if !keys.insert(key) {
            repeated = repeated.or(Some(at));
        }
        at = space(text, after);
        match text.get(at) {
            Some(b':') => at = space(text, at + 1),
            Some(_) => return fail(Kind::ExpectedColon, at),
            None => return fail(Kind::UnexpectedEnd, at),
        }
        at = space(text, value(text, at, depth)?);
        match (text.get(at), repeated) {
            (Some(b','), _) => at = space(text, at + 1),
            (Some(b'}'), None) => return Ok(at + 1),
            (Some(b'}'), Some(second)) => return fail(Kind::DuplicateKey, second),
            (Some(_), _) => return fail(Kind::ExpectedCommaOrEnd, at),
            (None, _) => return fail(Kind::UnexpectedEnd, at),
        }
    }
}

/// Reads the string at `at`, returns its decoded text and the offset after it.
fn string(text: &[u8], at: usize) -> Parsed<(String, usize)> {
    let mut decoded = String::new();
    let mut at = at + 1;
    loop {
        match text.get(at) {
            None => return fail(Kind::UnexpectedEnd, at),
            Some(b'"') => return Ok((decoded, at + 1)),
            Some(b'\\') => {
                let (c, after) = escape(text, at)?;
                decoded.push(c);
                at = after;
            }
            Some(0..0x20) => return fail(Kind::ControlCharacter, at),
            Some(_) => {
                let whole = |n| std::str::from_utf8(text.get(at..at + n)?).ok();
                let Some(c) = (1..=4).find_map(whole) else { return fail(Kind::InvalidUtf8, at) };
                decoded.push_str(c);
                at += c.len();
            }
        }
    }
}

fn escape(text: &[u8], at: usize) -> Parsed<(char, usize)> {
    let plain = match text.get(at + 1) {
        None => return fail(Kind::UnexpectedEnd, text.len()),
        Some(b'u') => return unicode(text, at),
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(c @ (b'"' | b'\\' | b'/')) => char::from(*c),
        Some(_) => return fail(Kind::InvalidEscape, at),
    };
    Ok((plain, at + 2))
}

fn unicode(text: &[u8], at: usize) -> Parsed<(char, usize)> {
    let unit = |at: usize| {
        let digits = std::str::from_utf8(text.get(at..at + 4)?).ok()?;
        if digits.contains('+') { None } else { u16::from_str_radix(digits, 16).ok() }
    };
    let Some(first) = unit(at + 2) else {
        let rest = &text[at + 2..];
        let cut = rest.len() < 4 && rest.iter().all(u8::is_ascii_hexdigit);
        return if cut {
            fail(Kind::UnexpectedEnd, text.len())
        } else {
            fail(Kind::InvalidEscape, at)
        };
    };
    if let Ok(c) = char::decode_utf16([first]).next().expect("one unit gives one result") {
        return Ok((c, at + 6));
    }
    let second = if text[at + 6..].starts_with(b"\\u") { unit(at + 8) } else { None };
    match second.and_then(|second| char::decode_utf16([first, second]).next()?.ok()) {
        Some(c) => Ok((c, at + 12)),
        None => fail(Kind::LoneSurrogate, at),
    }
}

/// Reads the number at `at`: a state machine over RFC 8259's grammar.
fn number(text: &[u8], at: usize) -> Parsed<usize> {
    let digits = |at: usize| {
        let count = text[at..].iter().take_while(|b| b.is_ascii_digit()).count();
        match (count, text.get(at)) {
            (0, None) => fail(Kind::UnexpectedEnd, at),
            (0, Some(_)) => fail(Kind::InvalidNumber, at),
            _ => Ok(at + count),
        }
    };
    let start = if text[at] == b'-' { at + 1 } else { at };
    let mut at = digits(start)?;
    if text[start] == b'0' && at > start + 1 {
        return fail(Kind::InvalidNumber, start + 1);
    }
    if text.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        at = digits(at + 1 + sign)?;
    }
    Ok(at)
}
