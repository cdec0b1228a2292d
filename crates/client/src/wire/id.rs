//! Ids of documents: a number, a UUID or a text, in one tagged encoding.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | 1 = number, 2 = UUID, 3 = text |
//! | 8, 16, or 1 and so many | the number; the UUID's bytes; the text's length and UTF-8 |

use std::borrow::Cow;
use std::fmt;

use uuid::Uuid;

use super::bytes::{Reader, Writer};
use super::error::{Problem, WireError};

/// What errors call an id.
pub(super) const ID: &str = "id";
pub(super) const ID_TEXT: &str = "text of the id";

const NUMBER: u8 = 1;
const UUID: u8 = 2;
const TEXT: u8 = 3;

/// Fewest bytes of an id.
pub(super) const ID_BYTES_MIN: usize = 2;

/// The id of a document within its collection. `7` and `"7"` are two ids.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Id<'a> {
    /// A number.
    U64(u64),
    /// A UUID.
    Uuid(Uuid),
    /// A text. The server takes 1 to 64 bytes without control characters.
    Text(Cow<'a, str>),
}

impl Id<'_> {
    /// The id with a text of its own.
    #[must_use]
    pub fn into_owned(self) -> Id<'static> {
        match self {
            Self::U64(number) => Id::U64(number),
            Self::Uuid(uuid) => Id::Uuid(uuid),
            Self::Text(text) => Id::Text(Cow::Owned(text.into_owned())),
        }
    }

    /// The id, borrowing its text.
    #[must_use]
    pub fn as_borrowed(&self) -> Id<'_> {
        match self {
            Self::U64(number) => Id::U64(*number),
            Self::Uuid(uuid) => Id::Uuid(*uuid),
            Self::Text(text) => Id::Text(Cow::Borrowed(text)),
        }
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        match self {
            Self::U64(number) => {
                writer.u8(NUMBER);
                writer.u64(*number);
            }
            Self::Uuid(uuid) => {
                writer.u8(UUID);
                writer.raw(uuid.as_bytes());
            }
            Self::Text(text) => {
                let problem = Problem::TooLong { bytes: text.len(), max: usize::from(u8::MAX) };
                let len = u8::try_from(text.len()).map_err(|_| writer.error(ID_TEXT, problem))?;
                writer.u8(TEXT);
                writer.u8(len);
                writer.raw(text.as_bytes());
            }
        }
        Ok(())
    }
}

impl<'a> Id<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let at = reader.offset();
        match reader.u8(ID)? {
            NUMBER => reader.u64(ID).map(Self::U64),
            UUID => reader.array(ID).map(|bytes| Self::Uuid(Uuid::from_bytes(bytes))),
            TEXT => {
                let len = reader.u8(ID_TEXT)?;
                let bytes = reader.take(usize::from(len), ID_TEXT)?;
                let text = std::str::from_utf8(bytes);
                let text = text.map_err(|_| WireError::new(ID_TEXT, Problem::NotUtf8, at))?;
                Ok(Self::Text(Cow::Borrowed(text)))
            }
            tag => Err(WireError::new(ID, Problem::Value(u64::from(tag)), at)),
        }
    }
}

impl From<u64> for Id<'_> {
    fn from(number: u64) -> Self {
        Self::U64(number)
    }
}

impl From<Uuid> for Id<'_> {
    fn from(uuid: Uuid) -> Self {
        Self::Uuid(uuid)
    }
}

impl<'a> From<&'a str> for Id<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Id<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl<'a> From<&'a Id<'_>> for Id<'a> {
    fn from(id: &'a Id<'_>) -> Self {
        id.as_borrowed()
    }
}

impl fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::U64(number) => number.fmt(f),
            Self::Uuid(uuid) => uuid.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}
