//! The payload of a frame: how a [`Change`] is laid out.
//!
//! | kind | payload |
//! |---|---|
//! | put | collection u32, replaced LSN u64, expiry u64 (all ones = none), id length u8, id, document to the end |
//! | delete | collection u32, replaced LSN u64, id length u8, id |
//! | create collection | collection u32, name in UTF-8 to the end |
//! | drop collection | collection u32 |
//! | set property | collection u32, name length u8, name in UTF-8, value to the end (none = taken away) |
//! | checkpoint, gap | LSN u64 |
//!
//! Integers are little-endian; ids are in the encoding of [`DocId::encode`]. Payloads are decoded
//! only after the frame's checksum was verified, and still every length is checked.

use base::clock::WallMs;
use base::document::Document;
use base::words::{Change, CollectionId, DocId, Lsn, Name};

use crate::frame::Kind;

const NO_EXPIRY: u64 = u64::MAX;

/// Appends the payload of `change` to `out` and returns its kind.
pub fn encode(change: &Change, out: &mut Vec<u8>) -> Kind {
    match change {
        Change::Put { collection, id, replaces, expires_at, document } => {
            out.extend_from_slice(&collection.0.to_le_bytes());
            out.extend_from_slice(&replaces.0.to_le_bytes());
            let expiry = expires_at.map_or(NO_EXPIRY, |at| at.0);
            out.extend_from_slice(&expiry.to_le_bytes());
            push_id(id, out);
            out.extend_from_slice(document.as_bytes());
            Kind::Put
        }
        Change::Delete { collection, id, replaces } => {
            out.extend_from_slice(&collection.0.to_le_bytes());
            out.extend_from_slice(&replaces.0.to_le_bytes());
            push_id(id, out);
            Kind::Delete
        }
        Change::CreateCollection { collection, name } => {
            out.extend_from_slice(&collection.0.to_le_bytes());
            out.extend_from_slice(name.as_str().as_bytes());
            Kind::CreateCollection
        }
        Change::DropCollection { collection } => {
            out.extend_from_slice(&collection.0.to_le_bytes());
            Kind::DropCollection
        }
        Change::SetProperty { collection, property, value } => {
            out.extend_from_slice(&collection.0.to_le_bytes());
            let name = property.as_str().as_bytes();
            out.push(u8::try_from(name.len()).expect("names have at most 128 bytes"));
            out.extend_from_slice(name);
            // No document is empty, so no bytes say that there is none.
            out.extend_from_slice(value.as_ref().map_or(&[], |value| value.as_bytes()));
            Kind::SetProperty
        }
    }
}

fn push_id(id: &DocId, out: &mut Vec<u8>) {
    let len = u8::try_from(id.encoded_len()).expect("ids encode to at most 65 bytes");
    out.push(len);
    id.encode(out);
}

/// Decodes the payload of a frame; `None` for a kind that is not a change, or bytes that are not
/// its payload.
#[must_use]
pub fn decode(kind: Kind, payload: &[u8]) -> Option<Change> {
    let mut cursor = Cursor(payload);
    let change = match kind {
        Kind::Put => Change::Put {
            collection: cursor.collection()?,
            replaces: Lsn(cursor.u64()?),
            expires_at: Some(cursor.u64()?).filter(|at| *at != NO_EXPIRY).map(WallMs),
            id: cursor.id()?,
            document: Document::from_checksummed(cursor.rest()),
        },
        Kind::Delete => Change::Delete {
            collection: cursor.collection()?,
            replaces: Lsn(cursor.u64()?),
            id: cursor.id()?,
        },
        Kind::CreateCollection => Change::CreateCollection {
            collection: cursor.collection()?,
            name: Name::new(std::str::from_utf8(cursor.rest()).ok()?).ok()?,
        },
        Kind::DropCollection => Change::DropCollection { collection: cursor.collection()? },
        Kind::SetProperty => Change::SetProperty {
            collection: cursor.collection()?,
            property: cursor.name()?,
            value: Some(cursor.rest())
                .filter(|bytes| !bytes.is_empty())
                .map(Document::from_checksummed),
        },
        Kind::Checkpoint | Kind::Gap | Kind::Hint | Kind::Close => return None,
    };
    cursor.0.is_empty().then_some(change)
}

/// Collection and id of a document's frame without decoding the document; `None` for other kinds.
#[must_use]
pub fn decode_key(kind: Kind, payload: &[u8]) -> Option<(CollectionId, DocId)> {
    let mut cursor = Cursor(payload);
    let collection = cursor.collection()?;
    cursor.u64()?;
    match kind {
        Kind::Put => _ = cursor.u64()?,
        Kind::Delete => {}
        Kind::CreateCollection
        | Kind::DropCollection
        | Kind::SetProperty
        | Kind::Checkpoint
        | Kind::Gap
        | Kind::Hint
        | Kind::Close => return None,
    }
    Some((collection, cursor.id()?))
}

/// The collection that a frame makes, with its name, drops or sets a property of; `None` for other
/// kinds.
#[must_use]
pub fn decode_collection(kind: Kind, payload: &[u8]) -> Option<(CollectionId, Option<Name>)> {
    match kind {
        Kind::CreateCollection => match decode(kind, payload)? {
            Change::CreateCollection { collection, name } => Some((collection, Some(name))),
            Change::Put { .. }
            | Change::Delete { .. }
            | Change::DropCollection { .. }
            | Change::SetProperty { .. } => None,
        },
        Kind::DropCollection | Kind::SetProperty => Some((Cursor(payload).collection()?, None)),
        Kind::Put | Kind::Delete | Kind::Checkpoint | Kind::Gap | Kind::Hint | Kind::Close => None,
    }
}

/// The LSN in the payload of a checkpoint or gap frame.
#[must_use]
pub fn decode_lsn(payload: &[u8]) -> Option<Lsn> {
    Some(Lsn(u64::from_le_bytes(payload.try_into().ok()?)))
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    fn collection(&mut self) -> Option<CollectionId> {
        Some(CollectionId(u32::from_le_bytes(self.take(4)?.try_into().ok()?)))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn id(&mut self) -> Option<DocId> {
        let len = usize::from(*self.take(1)?.first()?);
        DocId::decode(self.take(len)?).ok()
    }

    fn name(&mut self) -> Option<Name> {
        let len = usize::from(*self.take(1)?.first()?);
        Name::new(std::str::from_utf8(self.take(len)?).ok()?).ok()
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Change> {
        let collection = CollectionId(7);
        let id = DocId::U64(u64::MAX);
        let document = Document::from_checksummed(br#"{"a":1.50}"#);
        let text = DocId::string("straße").unwrap();
        vec![
            Change::Put {
                collection,
                id,
                replaces: Lsn(3),
                expires_at: None,
                document: document.clone(),
            },
            Change::Put {
                collection,
                id: text.clone(),
                replaces: Lsn::ZERO,
                expires_at: Some(WallMs(12)),
                document,
            },
            Change::Delete { collection, id: text, replaces: Lsn(9) },
            Change::CreateCollection { collection, name: Name::new("books").unwrap() },
            Change::DropCollection { collection },
            Change::SetProperty {
                collection,
                property: Name::new("validation").unwrap(),
                value: Some(Document::from_checksummed(b"{}")),
            },
            Change::SetProperty { collection, property: Name::new("search").unwrap(), value: None },
        ]
    }

    #[test]
    fn changes_round_trip() {
        for change in samples() {
            let mut bytes = Vec::new();
            let kind = encode(&change, &mut bytes);
            assert_eq!(decode(kind, &bytes), Some(change.clone()));
            if let Change::Put { collection, id, .. } | Change::Delete { collection, id, .. } =
                change
            {
                assert_eq!(decode_key(kind, &bytes), Some((collection, id)));
            }
        }
    }

    #[test]
    fn cut_payloads_are_refused_and_never_panic() {
        for change in samples() {
            let mut bytes = Vec::new();
            let kind = encode(&change, &mut bytes);
            let whole = match kind {
                Kind::Put => bytes.len() - 10,
                Kind::CreateCollection => 5,
                Kind::SetProperty => 4 + 1 + usize::from(bytes[4]),
                Kind::Delete | Kind::DropCollection => bytes.len(),
                Kind::Checkpoint | Kind::Gap | Kind::Hint | Kind::Close => continue,
            };
            for cut in 0..whole {
                assert_eq!(decode(kind, &bytes[..cut]), None, "{kind:?} cut at {cut}");
            }
        }
    }
}
