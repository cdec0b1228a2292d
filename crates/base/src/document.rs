//! A JSON document: bytes that our validator accepted, kept exactly as given.
//!
//! Nothing here builds a tree of values: docdb stores the text, numbers of any size included.
//! Start with [`Document::parse`]; the rules are in [`JsonErrorKind`], one variant each.

mod keys;
mod scan;
mod validate;

use std::sync::Arc;

use crate::error::{Category, Code, Coded};
use crate::limits::{DOCUMENT_BYTES_MAX, DOCUMENT_DEPTH_MAX};

pub use keys::Decoded;
pub use validate::validate;

/// A valid JSON text of at most 16 MiB, nested at most 128 deep; cheap to clone.
///
/// There are two ways to get one: [`Document::parse`], which validates, and
/// [`Document::from_checksummed`], for bytes that once were a document and have been under a
/// checksum of ours since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document(Arc<[u8]>);

impl Document {
    /// Validates `bytes` and keeps a copy of them, exactly as given. Any JSON value will do, not
    /// only objects.
    ///
    /// Costs one pass over the text, one allocation for the copy, and 16 bytes of memory for each
    /// key of the objects that are open at once.
    ///
    /// # Errors
    /// The first rule that the bytes break; the same bytes always break the same rule at the same
    /// offset, so trying again is no use. The code is [`Code::InvalidJson`], or
    /// [`Code::PayloadTooLarge`] above 16 MiB.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        validate(bytes)?;
        Ok(Self(bytes.into()))
    }

    /// Bytes that a checksum of ours proves to be those of a document written before. Only the
    /// decoders of the log and of data files call it.
    #[must_use]
    pub fn from_checksummed(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The JSON text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The rule that a text breaks. RFC 8259 names the grammar; the rest is docdb's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum JsonErrorKind {
    /// More bytes than a document may have.
    #[error("a document has at most {DOCUMENT_BYTES_MAX} bytes; split it into smaller documents")]
    TooLarge,
    /// A byte order mark before the text.
    #[error("the text starts with a byte order mark; send UTF-8 without one")]
    ByteOrderMark,
    /// The text stops before the value is complete.
    #[error("the text ends before the value does; send the whole value")]
    UnexpectedEnd,
    /// No value starts with this byte.
    #[error("expected a value: an object, array, string, number, true, false or null")]
    ExpectedValue,
    /// An object member does not start with a string.
    #[error("expected a key in double quotes; a comma may not follow the last member")]
    ExpectedKey,
    /// No colon after a key.
    #[error("expected a colon after the key")]
    ExpectedColon,
    /// Neither comma nor closing bracket after a value.
    #[error("expected a comma or the closing bracket of the array or object")]
    ExpectedCommaOrEnd,
    /// Something other than whitespace after the value.
    #[error("found more text after the value; send one value in each document")]
    TrailingBytes,
    /// More arrays and objects open at once than allowed.
    #[error("arrays and objects may nest at most {DOCUMENT_DEPTH_MAX} deep; flatten the document")]
    TooDeep,
    /// A control character in a string.
    #[error("control characters in a string must be escaped, as \\n or \\u000a")]
    ControlCharacter,
    /// A backslash followed by something that is no escape.
    #[error("unknown escape in a string; write a backslash itself as \\\\")]
    InvalidEscape,
    /// Half of a surrogate pair.
    #[error("a \\u escape is half of a surrogate pair; write both halves or neither")]
    LoneSurrogate,
    /// A string holds bytes that are not UTF-8.
    #[error("a string holds bytes that are not UTF-8; encode the text as UTF-8")]
    InvalidUtf8,
    /// Digits that break the grammar of numbers.
    #[error("malformed number; no leading zeros or plus sign, a digit on both sides of the point")]
    InvalidNumber,
    /// Two members of one object have the same key once escapes are decoded.
    #[error("the object has this key already; keep one of the two members")]
    DuplicateKey,
}

/// Why bytes are not a document, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{kind}, offset={offset}")]
pub struct JsonError {
    /// The rule that is broken.
    pub kind: JsonErrorKind,
    /// Bytes before the offending one: the length of the text when it ends too early, the limit
    /// when it is too large, the opening quote of the second key when there are two.
    pub offset: usize,
}

impl Coded for JsonError {
    fn code(&self) -> Code {
        if self.kind == JsonErrorKind::TooLarge { Code::PayloadTooLarge } else { Code::InvalidJson }
    }

    fn category(&self) -> Category {
        Category::Validation
    }
}
