//! JSON for people, made of the text and not of a value: numbers stay as they were written, and
//! names stand in their order, because a document is kept byte for byte.
//!
//! Only white space outside strings changes, and control characters inside strings (U+007F to
//! U+009F), which are escaped: some terminals obey them. Text that is not JSON goes through
//! likewise and never panics.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::line::string_len;

/// How far a level is indented.
const INDENT: &str = "  ";
/// Deepest level that is indented further: a document may be nested as deep as it is long.
const INDENTS_MAX: usize = 64;

/// The text on one line.
#[must_use]
pub fn compact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for token in Tokens(text) {
        out.push_str(&printable(token));
    }
    out
}

/// The text with a line for each member.
#[must_use]
pub fn pretty(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let (mut level, mut before) = (0_usize, "");
    for token in Tokens(text) {
        let opened = matches!(before, "{" | "[");
        if matches!(token, "}" | "]") {
            level = level.saturating_sub(1);
            if !opened {
                new_line(&mut out, level);
            }
        } else if opened || before == "," {
            new_line(&mut out, level);
        }
        out.push_str(&printable(token));
        match token {
            "{" | "[" => level += 1,
            ":" => out.push(' '),
            _ => {}
        }
        before = token;
    }
    out
}

fn new_line(out: &mut String, level: usize) {
    out.push('\n');
    for _ in 0..level.min(INDENTS_MAX) {
        out.push_str(INDENT);
    }
}

/// A text as a JSON string, without control characters.
pub(super) fn string(text: &str) -> String {
    printable(&serde_json::Value::from(text).to_string()).into_owned()
}

/// A text for people on one line: control characters as in JSON.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Brackets, commas, colons, strings, and what stands between them, without white space.
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start_matches([' ', '\t', '\n', '\r']);
        let len = match text.as_bytes().first()? {
            b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
            b'"' => string_len(text.as_bytes()).unwrap_or(text.len()),
            _ => text
                .find([' ', '\t', '\n', '\r', '{', '}', '[', ']', ',', ':', '"'])
                .unwrap_or(text.len()),
        };
        let (token, rest) = text.split_at_checked(len).unwrap_or((text, ""));
        self.0 = rest;
        Some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_changes() {
        let text = "{ \"price\" : 9.90,\n\t\"b\":[ 1e400, 12345678901234567890123 ], \"a\":{} }";
        assert_eq!(compact(text), r#"{"price":9.90,"b":[1e400,12345678901234567890123],"a":{}}"#);
        let expect = "{\n  \"price\": 9.90,\n  \"b\": [\n    1e400,\n    12345678901234567890123\n  \
                      ],\n  \"a\": {}\n}";
        assert_eq!(pretty(text), expect);
        assert_eq!(pretty("[]"), "[]");
        assert_eq!(pretty(" \"a b\" "), "\"a b\"");
    }

    #[test]
    fn both_forms_are_the_same_value() {
        for text in ["{\"a\":[{},[],[[1]],{\"b\":null}],\"c\":\"x: {\\\"y\\\", }\"}", "1", "[1,2]"]
        {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            for form in [compact(text), pretty(text), compact(&pretty(text))] {
                assert_eq!(serde_json::from_str::<serde_json::Value>(&form).unwrap(), value);
            }
            assert_eq!(compact(&pretty(text)), compact(text));
        }
    }

    #[test]
    fn terminals_are_told_nothing() {
        let text = "{\"a\":\"\u{9b}2J\u{7f}\"}";
        assert_eq!(compact(text), "{\"a\":\"\\u009b2J\\u007f\"}");
        assert_eq!(string("\u{1b}[2J"), "\"\\u001b[2J\"");
        assert_eq!(printable("a\nb\u{1b}"), "a\\nb\\u001b");
    }

    #[test]
    fn what_is_no_json_goes_through() {
        for text in ["", "{", "}}}}", "\"open", ",:,", "{\"a\" 1]", "é{ü", "\\"] {
            assert_eq!(compact(text), compact(&compact(text)), "{text}");
            assert_eq!(compact(&pretty(text)), compact(text), "{text}");
        }
        let deep = "[".repeat(10_000);
        assert!(pretty(&deep).len() < 10_000 * (INDENT.len() * INDENTS_MAX + 2));
    }
}
