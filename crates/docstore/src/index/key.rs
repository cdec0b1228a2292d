//! A document id as the index compares it: a number, or the bytes of any other id's encoding.
//!
//! Numbers sort before everything else and encodings sort as ids do
//! ([`DocId::encode`]), so keys sort as [`DocId`]s do, without taking texts apart.

use base::words::DocId;

/// A borrowed key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KeyRef<'a> {
    /// The id is this number.
    Number(u64),
    /// The id has this encoding, and is not a number.
    Other(&'a [u8]),
}

/// A key that owns its bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// The id is this number.
    Number(u64),
    /// The id has this encoding, and is not a number.
    Other(Box<[u8]>),
}

impl<'a> KeyRef<'a> {
    pub(super) fn to_key(self) -> Key {
        match self {
            Self::Number(n) => Key::Number(n),
            Self::Other(bytes) => Key::Other(bytes.into()),
        }
    }

    /// The id that this is the key of.
    pub(super) fn to_id(self) -> DocId {
        match self {
            Self::Number(n) => DocId::U64(n),
            Self::Other(bytes) => {
                DocId::decode(bytes).expect("keys are made of ids, or checked when they are loaded")
            }
        }
    }

    /// Bytes that a block keeps of the id itself, apart from a number.
    pub(super) fn text(self) -> &'a [u8] {
        match self {
            Self::Number(_) => &[],
            Self::Other(bytes) => bytes,
        }
    }
}

impl Key {
    pub(super) fn of(id: &DocId) -> Self {
        match id {
            DocId::U64(n) => Self::Number(*n),
            DocId::Uuid(_) | DocId::Str(_) => Self::Other(encoding(id).into()),
        }
    }

    pub(super) fn borrow(&self) -> KeyRef<'_> {
        match self {
            Self::Number(n) => KeyRef::Number(*n),
            Self::Other(bytes) => KeyRef::Other(bytes),
        }
    }
}

fn encoding(id: &DocId) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(id.encoded_len());
    id.encode(&mut bytes);
    bytes
}
