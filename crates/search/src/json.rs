//! Reading JSON without building it: a value is the slice of the text that spells it.
//!
//! A document may have 16 MiB and a tree of it many times that; what is asked of one is a few of its
//! members. Numbers stay text until somebody knows what type they should have, so that none is rounded on
//! the way.
//!
//! Invariant: the text was accepted by [`base::document::validate`], or has been under a checksum of ours
//! since. Of other bytes nothing is promised but that there is no panic. Start with [`Json`].

use std::borrow::Cow;

use base::document::{Decoded, Document, JsonError, validate};

/// One value: its text without blanks around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<'a>(&'a [u8]);

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl Kind {
    /// Its name with an article, for messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a bool",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

impl<'a> Json<'a> {
    /// The value of a document.
    #[must_use]
    pub fn of(document: &'a Document) -> Self {
        Self(document.as_bytes().trim_ascii())
    }

    /// The value that a text spells.
    ///
    /// # Errors
    /// When the text is not one JSON value.
    pub fn parse(text: &'a [u8]) -> std::result::Result<Self, JsonError> {
        validate(text)?;
        Ok(Self(text.trim_ascii()))
    }

    /// The value that a text spells which is known to be JSON: a body that is larger than a document may
    /// be, and was checked by something else.
    #[must_use]
    pub fn of_text(text: &'a [u8]) -> Self {
        Self(text.trim_ascii())
    }

    /// What it is.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self.0.first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't') => Kind::Bool(true),
            Some(b'f') => Kind::Bool(false),
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }

    /// The text of a number; none when it is something else.
    #[must_use]
    pub fn number(self) -> Option<&'a str> {
        if self.kind() == Kind::Number { std::str::from_utf8(self.0).ok() } else { None }
    }

    /// The text of a string, decoded; none when it is something else.
    #[must_use]
    pub fn string(self) -> Option<Cow<'a, str>> {
        if self.kind() == Kind::String { Some(decoded(self.0)) } else { None }
    }

    /// The elements of an array; none when it is something else.
    #[must_use]
    pub fn elements(self) -> Option<Elements<'a>> {
        if self.kind() == Kind::Array { Some(Elements(inner(self.0))) } else { None }
    }

    /// The members of an object in the order of the text; none when it is something else.
    #[must_use]
    pub fn members(self) -> Option<Members<'a>> {
        if self.kind() == Kind::Object { Some(Members(inner(self.0))) } else { None }
    }

    /// The member of an object with this key.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Json<'a>> {
        self.members()?.find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Its text.
    #[must_use]
    pub fn text(self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.0)
    }

    /// Its text, for messages: not more than 40 characters of it.
    #[must_use]
    pub fn excerpt(self) -> String {
        let text = String::from_utf8_lossy(self.0);
        match text.char_indices().nth(40) {
            Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
            None => text.into_owned(),
        }
    }
}

/// Iterates over the elements of an array.
#[derive(Debug, Clone)]
pub struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = Json<'a>;

    fn next(&mut self) -> Option<Json<'a>> {
        take_value(&mut self.0)
    }
}

/// Iterates over the members of an object.
#[derive(Debug, Clone)]
pub struct Members<'a>(&'a [u8]);

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, Json<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = take_value(&mut self.0)?;
        let value = take_value(&mut self.0)?;
        Some((decoded(key.0), value))
    }
}

/// What stands between the brackets.
fn inner(text: &[u8]) -> &[u8] {
    text.get(1..text.len().saturating_sub(1)).unwrap_or_default()
}

/// The next value of a list, past the blanks and the comma or colon before it.
fn take_value<'a>(rest: &mut &'a [u8]) -> Option<Json<'a>> {
    let is_between = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':');
    let start = rest.iter().position(|byte| !is_between(byte))?;
    let text = rest.get(start..)?;
    let (value, after) = text.split_at(value_len(text));
    *rest = after;
    Some(Json(value))
}

/// The length of the value that `text` begins with; at least 1 of a text that is not empty.
fn value_len(text: &[u8]) -> usize {
    match text.first() {
        Some(b'"') => string_len(text),
        Some(b'[' | b'{') => container_len(text),
        _ => {
            let ends = |byte: &u8| {
                matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' | b']' | b'}')
            };
            text.iter().position(ends).unwrap_or(text.len()).max(1).min(text.len())
        }
    }
}

/// The length of a string with its quotes.
fn string_len(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

fn container_len(text: &[u8]) -> usize {
    let (mut at, mut depth) = (0_usize, 0_usize);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at += string_len(text.get(at..).unwrap_or_default());
                continue;
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// The text of a string that is given with its quotes.
fn decoded(text: &[u8]) -> Cow<'_, str> {
    let raw = inner(text);
    if !raw.contains(&b'\\') {
        return String::from_utf8_lossy(raw);
    }
    let bytes: Vec<u8> = Decoded::new(raw).collect();
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes a string with its quotes.
pub(crate) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\u{0}'..='\u{1f}' => {
                use std::fmt::Write as _;
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

/// Writes a list between `open` and `close`.
pub(crate) fn write_list<T>(
    (open, close): (char, char),
    items: impl IntoIterator<Item = T>,
    out: &mut String,
    mut write: impl FnMut(T, &mut String),
) {
    out.push(open);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(close);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_elements_are_the_texts_of_their_values() {
        let text =
            br#" { "a\u0062" : [ 1 , "x]\"" , { } ] ,"c":-1.50e2, "d":{"e":null},"f":true } "#;
        let json = Json::parse(text).unwrap();
        let names: Vec<_> = json.members().unwrap().map(|(name, _)| name.into_owned()).collect();
        assert_eq!(names, ["ab", "c", "d", "f"]);
        let elements: Vec<_> = json.get("ab").unwrap().elements().unwrap().collect();
        assert_eq!(elements.len(), 3);
        assert_eq!(elements[0].number(), Some("1"));
        assert_eq!(elements[1].string().as_deref(), Some("x]\""));
        assert_eq!(elements[2].members().unwrap().count(), 0);
        assert_eq!(json.get("c").unwrap().number(), Some("-1.50e2"));
        assert_eq!(json.get("d").unwrap().get("e").unwrap().kind(), Kind::Null);
        assert_eq!(json.get("f").unwrap().kind(), Kind::Bool(true));
        assert_eq!(json.get("g"), None);
    }

    #[test]
    fn strings_that_are_written_are_read_back() {
        for text in ["", "a\"b\\c", "\u{0}\n\u{1f}", "straße 日本 🦀"] {
            let mut out = String::new();
            write_string(text, &mut out);
            assert_eq!(Json::parse(out.as_bytes()).unwrap().string().as_deref(), Some(text));
        }
    }

    #[test]
    fn bytes_that_are_no_json_panic_nowhere() {
        for text in [&b"[1,"[..], b"{\"a", b"[[[", b"\"\\", b"{,:}", b"[]]]", b"", b"{\"a\":}"] {
            let json = Json(text);
            let _ = (json.kind(), json.string(), json.excerpt());
            assert!(json.elements().into_iter().flatten().count() <= text.len());
            assert!(json.members().into_iter().flatten().count() <= text.len());
        }
    }
}
