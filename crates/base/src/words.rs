//! The shared words: identifiers and changes, as every store and surface means them.

use std::fmt;

use crate::clock::WallMs;
use crate::document::Document;
use crate::limits::{ID_BYTES_MAX, NAME_BYTES_MAX};

/// Log sequence number: the position of one frame in a database's log, counted from 1 without
/// gaps. It is also the revision of the document that the frame wrote. 0 means "before the first".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Before the first frame.
    pub const ZERO: Lsn = Lsn(0);

    /// The next number.
    ///
    /// # Panics
    /// Never in practice: at a billion frames a second the numbers last 584 years.
    #[must_use]
    pub fn next(self) -> Lsn {
        self.plus(1)
    }

    /// The number `n` later.
    ///
    /// # Panics
    /// When the sum exceeds `u64::MAX`, which only a damaged number can reach.
    #[must_use]
    pub fn plus(self, n: u64) -> Lsn {
        Lsn(self.0.checked_add(n).expect("log sequence numbers do not run out"))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Identity of one database: a UUID given at creation and at restore, never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatabaseId(pub uuid::Uuid);

impl DatabaseId {
    /// Length of [`DatabaseId::as_bytes`].
    pub const BYTES: usize = 16;

    /// The identity stored in `bytes`.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Uuid::from_bytes(bytes))
    }

    /// A new identity from the system's randomness (UUID version 4, RFC 9562).
    ///
    /// # Errors
    /// When the system has no source of randomness.
    pub fn random() -> std::io::Result<Self> {
        let mut bytes = [0; 16];
        crate::rng::os_bytes(&mut bytes)?;
        Ok(Self(uuid::Builder::from_random_bytes(bytes).into_uuid()))
    }

    /// The bytes, in the order of RFC 9562.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of a collection within its database; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionId(pub u32);

impl fmt::Display for CollectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A text that is not a name: names have 1 to 128 of `A-Za-z0-9_.-` and do not start with `.`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No character at all.
    #[error("a name has at least one character")]
    Empty,
    /// Longer than 128 bytes.
    #[error("a name has at most {NAME_BYTES_MAX} characters")]
    TooLong,
    /// Starts with a dot.
    #[error("a name does not start with a dot")]
    LeadingDot,
    /// Something other than `A-Za-z0-9_.-`.
    #[error("a name has only letters A-Z and a-z, digits, `_`, `.` and `-`; found {0:?}")]
    Character(char),
}

/// The name of a database or a collection: 1 to 128 of `A-Za-z0-9_.-`, not starting with `.`,
/// case-sensitive. Files are never named by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

impl Name {
    /// Checks a text.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if let Some(bad) =
            text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')))
        {
            return Err(NameError::Character(bad));
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        if text.starts_with('.') {
            return Err(NameError::LeadingDot);
        }
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text or encoding that is not a document id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// A string id of no bytes.
    #[error("a string id has at least one byte")]
    Empty,
    /// A string id longer than 64 bytes.
    #[error("a string id has at most {ID_BYTES_MAX} bytes of UTF-8")]
    TooLong,
    /// A string id with a control character, U+0000 to U+001F or U+007F.
    #[error("a string id has no control characters; found {0:?}")]
    Control(char),
    /// Bytes that no id encodes to.
    #[error("the bytes do not encode a document id")]
    Encoding,
}

/// The id of a document within its collection.
///
/// Ordered: all numbers, then all UUIDs, then all strings, each in their own order. The encoding
/// of [`DocId::encode`] sorts the same way byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocId {
    /// An unsigned 64-bit number: the fast path.
    U64(u64),
    /// A UUID.
    Uuid(uuid::Uuid),
    /// 1 to 64 bytes of UTF-8 without control characters.
    Str(StrId),
}

/// The text of a string id: 1 to 64 bytes of UTF-8 without the control characters U+0000 to U+001F
/// and U+007F (`docs/decisions/0007-string-ids.md` says why).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StrId(Box<str>);

impl StrId {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const TAG_U64: u8 = 1;
const TAG_UUID: u8 = 2;
const TAG_STR: u8 = 3;

impl DocId {
    /// Longest encoding, in bytes: a tag and 64 bytes of text.
    pub const ENCODED_BYTES_MAX: usize = 1 + ID_BYTES_MAX;

    /// A string id.
    ///
    /// # Errors
    /// When `text` has no bytes or more than 64, or a control character.
    pub fn string(text: &str) -> Result<Self, IdError> {
        if text.is_empty() {
            return Err(IdError::Empty);
        }
        if let Some(bad) = text.chars().find(char::is_ascii_control) {
            return Err(IdError::Control(bad));
        }
        if text.len() > ID_BYTES_MAX {
            return Err(IdError::TooLong);
        }
        Ok(Self::Str(StrId(text.into())))
    }

    /// Appends the encoding: a tag byte, then a big-endian number, 16 bytes, or UTF-8 text to the
    /// end. Encodings sort as the ids do. The length is not part of it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::U64(n) => {
                out.push(TAG_U64);
                out.extend_from_slice(&n.to_be_bytes());
            }
            Self::Uuid(uuid) => {
                out.push(TAG_UUID);
                out.extend_from_slice(uuid.as_bytes());
            }
            Self::Str(text) => {
                out.push(TAG_STR);
                out.extend_from_slice(text.0.as_bytes());
            }
        }
    }

    /// Length of [`DocId::encode`]'s output, in bytes: 9, 17 or 2 to 65.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        match self {
            Self::U64(_) => 9,
            Self::Uuid(_) => 17,
            Self::Str(text) => 1 + text.0.len(),
        }
    }

    /// Reads an encoding back; `bytes` is exactly one id.
    ///
    /// # Errors
    /// When `bytes` is nothing that [`DocId::encode`] writes.
    #[expect(clippy::big_endian_bytes, reason = "big-endian numbers sort byte by byte")]
    pub fn decode(bytes: &[u8]) -> Result<Self, IdError> {
        let (tag, rest) = bytes.split_first().ok_or(IdError::Encoding)?;
        match *tag {
            TAG_U64 => {
                let n = rest.try_into().map_err(|_| IdError::Encoding)?;
                Ok(Self::U64(u64::from_be_bytes(n)))
            }
            TAG_UUID => {
                let n = rest.try_into().map_err(|_| IdError::Encoding)?;
                Ok(Self::Uuid(uuid::Uuid::from_bytes(n)))
            }
            TAG_STR => Self::string(std::str::from_utf8(rest).map_err(|_| IdError::Encoding)?),
            _ => Err(IdError::Encoding),
        }
    }
}

impl fmt::Display for DocId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::U64(n) => n.fmt(f),
            Self::Uuid(uuid) => uuid.fmt(f),
            Self::Str(text) => text.0.fmt(f),
        }
    }
}

/// One thing that happened to a database, as the log records it: outcomes, never instructions,
/// so that replaying asks neither the clock nor any rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A document has these bytes from now on.
    Put {
        /// Where.
        collection: CollectionId,
        /// Which.
        id: DocId,
        /// The version this one replaces, [`Lsn::ZERO`] when there was none.
        replaces: Lsn,
        /// When it stops being visible, if ever.
        expires_at: Option<WallMs>,
        /// Its bytes, exactly as given.
        document: Document,
    },
    /// A document is gone.
    Delete {
        /// Where.
        collection: CollectionId,
        /// Which.
        id: DocId,
        /// The version that is gone, [`Lsn::ZERO`] when there was none.
        replaces: Lsn,
    },
    /// A collection exists from now on.
    CreateCollection {
        /// Its number.
        collection: CollectionId,
        /// Its name.
        name: Name,
    },
    /// A collection and everything in it is gone.
    DropCollection {
        /// Its number.
        collection: CollectionId,
    },
    /// A collection has, or no longer has, a property: the schema its documents are validated by,
    /// a search schema. What a property means is for its owner to say.
    SetProperty {
        /// Its number.
        collection: CollectionId,
        /// Name of the property.
        property: Name,
        /// Its value, none when it is taken away.
        value: Option<Document>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_of_ids_round_trip_and_sort_as_ids_do() {
        let uuid = |n| DocId::Uuid(uuid::Uuid::from_u128(n));
        let text = |s| DocId::string(s).unwrap();
        let long = "x".repeat(64);
        let ids = [
            DocId::U64(0),
            DocId::U64(255),
            DocId::U64(256),
            DocId::U64(u64::MAX),
            uuid(0),
            uuid(1),
            uuid(u128::MAX),
            text("1"),
            text("a"),
            text("aa"),
            text("b"),
            text(&long),
        ];
        let mut last: Option<(DocId, Vec<u8>)> = None;
        for id in ids {
            let mut bytes = Vec::new();
            id.encode(&mut bytes);
            assert_eq!(bytes.len(), id.encoded_len());
            assert_eq!(DocId::decode(&bytes), Ok(id.clone()));
            if let Some((before, encoded)) = last {
                assert!(before < id && encoded < bytes, "{before} sorts before {id}");
            }
            last = Some((id, bytes));
        }
    }

    #[test]
    fn ids_that_are_not_ids_are_refused() {
        for bytes in [&b""[..], b"\x01", b"\x01\0\0\0\0\0\0\0", b"\x02abc", b"\x03", b"\x09a"] {
            assert!(DocId::decode(bytes).is_err(), "{bytes:?}");
        }
        assert_eq!(DocId::string(""), Err(IdError::Empty));
        assert_eq!(DocId::decode(b"\x03\xff"), Err(IdError::Encoding));
        assert_eq!(DocId::string(&"x".repeat(65)), Err(IdError::TooLong));
    }

    #[test]
    fn a_control_character_is_refused_in_an_id_that_is_given_or_read() {
        for bad in (0..0x20).chain([0x7f]).map(char::from) {
            for text in [format!("{bad}"), format!("a{bad}b"), format!("straße{bad}")] {
                assert_eq!(DocId::string(&text), Err(IdError::Control(bad)), "{text:?}");
                let encoded = [b"\x03", text.as_bytes()].concat();
                assert_eq!(DocId::decode(&encoded), Err(IdError::Control(bad)), "{text:?}");
            }
        }
        // What is printable may be hard to type, but nothing mistakes it for something else.
        for good in [" ", "~", "a b", "a/b", "\u{80}", "\u{a0}", "日本"] {
            assert!(DocId::string(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn names_keep_to_their_rules() {
        for good in ["a", "default", "A-b_c.9", &"n".repeat(128)] {
            assert_eq!(Name::new(good).map(|n| n.as_str().to_owned()), Ok(good.to_owned()));
        }
        assert_eq!(Name::new(""), Err(NameError::Empty));
        assert_eq!(Name::new(".a"), Err(NameError::LeadingDot));
        assert_eq!(Name::new("a/b"), Err(NameError::Character('/')));
        assert_eq!(Name::new("a\0b"), Err(NameError::Character('\0')));
        assert_eq!(Name::new("ä"), Err(NameError::Character('ä')));
        assert_eq!(Name::new(&"n".repeat(129)), Err(NameError::TooLong));
    }
}
