//! JSON Pointers (RFC 6901): where in a document an operation works.

use std::fmt;

use base::limits::DOCUMENT_DEPTH_MAX;

use super::PatchErrorKind as Kind;

/// Longest pointer, in bytes of its text: a key that is longer cannot be reached.
pub const POINTER_BYTES_MAX: usize = 4096;

/// A JSON Pointer: the empty text for the whole document, otherwise one `/token` for each step
/// down. In a token `~1` stands for `/` and `~0` for `~`.
///
/// In an object a token is a key, compared once its escapes are decoded. In an array it is an index without
/// leading zeros, or `-` for the place after the last element.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pointer {
    text: Box<str>,
    tokens: Box<[Box<str>]>,
}

impl Pointer {
    /// Reads the text of a pointer. Its URI form (`#/a`) is not accepted.
    ///
    /// # Errors
    /// When it does not begin with `/`, has a `~` that is followed by neither `0` nor `1`, or is
    /// longer than [`POINTER_BYTES_MAX`] bytes or 128 tokens.
    pub fn parse(text: &str) -> Result<Self, Kind> {
        if text.len() > POINTER_BYTES_MAX {
            return Err(Kind::PointerTooLong);
        }
        let mut written = text.split('/');
        if written.next() != Some("") {
            return Err(Kind::PointerWithoutSlash);
        }
        let tokens = written.map(decode).collect::<Result<Box<[_]>, _>>()?;
        if tokens.len() > DOCUMENT_DEPTH_MAX {
            return Err(Kind::PointerTooDeep);
        }
        Ok(Self { text: text.into(), tokens })
    }

    /// The pointer whose decoded tokens are `tokens`: none for the whole document.
    ///
    /// # Errors
    /// When it would be longer than [`POINTER_BYTES_MAX`] bytes or 128 tokens.
    pub fn from_tokens<T: AsRef<str>>(tokens: impl IntoIterator<Item = T>) -> Result<Self, Kind> {
        let mut text = String::new();
        for token in tokens {
            text.push('/');
            text.push_str(&token.as_ref().replace('~', "~0").replace('/', "~1"));
            if text.len() > POINTER_BYTES_MAX {
                return Err(Kind::PointerTooLong);
            }
        }
        Self::parse(&text)
    }

    /// The text, as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The decoded tokens, outermost first.
    pub fn tokens(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tokens.iter().map(AsRef::as_ref)
    }

    pub(super) fn token_slice(&self) -> &[Box<str>] {
        &self.tokens
    }

    /// The text up to and including the first `count` tokens.
    pub(super) fn prefix(&self, count: usize) -> &str {
        let end = self.text.match_indices('/').nth(count).map(|(at, _)| at);
        end.and_then(|end| self.text.get(..end)).unwrap_or(&self.text)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn decode(written: &str) -> Result<Box<str>, Kind> {
    if !written.contains('~') {
        return Ok(written.into());
    }
    let mut pieces = written.split('~');
    let mut token = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (escaped, rest) = match (piece.strip_prefix('0'), piece.strip_prefix('1')) {
            (Some(rest), _) => ('~', rest),
            (_, Some(rest)) => ('/', rest),
            _ => return Err(Kind::PointerEscape),
        };
        token.push(escaped);
        token.push_str(rest);
    }
    Ok(token.into())
}

/// A token as a place in an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Index {
    /// Before so many others, or past the end.
    At(usize),
    /// `-`: after the last.
    End,
}

impl Index {
    /// Reads `-` or a number without leading zeros. One too large for this machine is past the
    /// end of every array.
    pub(super) fn parse(token: &str) -> Result<Self, Kind> {
        match token.as_bytes() {
            b"-" => Ok(Self::End),
            b"0" => Ok(Self::At(0)),
            [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => {
                Ok(Self::At(token.parse().unwrap_or(usize::MAX)))
            }
            _ => Err(Kind::NotAnIndex),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_decoded_once() {
        for (text, tokens) in [
            ("", &[][..]),
            ("/", &[""]),
            ("/a/b", &["a", "b"]),
            ("//", &["", ""]),
            ("/a~1b/~0", &["a/b", "~"]),
            ("/~01", &["~1"]),
            ("/~10", &["/0"]),
            ("/ä/\"\\", &["ä", "\"\\"]),
        ] {
            let pointer = Pointer::parse(text).unwrap();
            assert_eq!(pointer.tokens().collect::<Vec<_>>(), tokens, "{text}");
            assert_eq!(Pointer::from_tokens(tokens), Ok(pointer));
        }
    }

    #[test]
    fn texts_that_are_no_pointers_are_refused() {
        for (text, kind) in [
            ("a", Kind::PointerWithoutSlash),
            ("#/a", Kind::PointerWithoutSlash),
            ("/~", Kind::PointerEscape),
            ("/a~2", Kind::PointerEscape),
            ("/~~0", Kind::PointerEscape),
            (&"/a".repeat(129), Kind::PointerTooDeep),
            (&format!("/{}", "a".repeat(4096)), Kind::PointerTooLong),
        ] {
            assert_eq!(Pointer::parse(text), Err(kind), "{text}");
        }
        assert!(Pointer::parse(&"/a".repeat(128)).is_ok());
        assert!(Pointer::parse(&format!("/{}", "a".repeat(4095))).is_ok());
        assert_eq!(Pointer::from_tokens(["~".repeat(2048)]), Err(Kind::PointerTooLong));
    }

    #[test]
    fn indices_have_no_leading_zeros_and_no_sign() {
        assert_eq!(Index::parse("0"), Ok(Index::At(0)));
        assert_eq!(Index::parse("10"), Ok(Index::At(10)));
        assert_eq!(Index::parse("-"), Ok(Index::End));
        assert_eq!(Index::parse(&"9".repeat(50)), Ok(Index::At(usize::MAX)));
        for token in ["", "00", "01", "-1", "+1", "1.0", "1e1", " 1", "١"] {
            assert_eq!(Index::parse(token), Err(Kind::NotAnIndex), "{token}");
        }
    }

    #[test]
    fn a_prefix_ends_before_the_next_token() {
        let pointer = Pointer::parse("/a/~1/c").unwrap();
        for (count, prefix) in [(0, ""), (1, "/a"), (2, "/a/~1"), (3, "/a/~1/c")] {
            assert_eq!(pointer.prefix(count), prefix);
        }
    }
}
