//! Cursors: where a scan goes on, as text that clients hand back.
//!
//! The server keeps nothing for a cursor but the snapshot that the scan reads. A cursor says all
//! the rest itself, sealed with a key that lives as long as the process: one that was changed is
//! refused, and one of an earlier process is expired, as its snapshot is.
//!
//! ```text
//! base64url of: process u64, database uuid 16, snapshot u64, collection u32,
//!               last id (length u8, bytes), upper bound (0 none | 1 included | 2 excluded, id),
//!               seal u64
//! ```

use std::hash::{BuildHasher, RandomState};
use std::ops::Bound;

use base::error::Code;
use base::words::{CollectionId, DatabaseId, DocId};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use docstore::SnapshotId;

use super::error::{EngineError, Result};

/// Longest cursor, in characters.
const CURSOR_CHARS_MAX: usize = 512;

/// Where a scan goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) database: DatabaseId,
    pub(super) collection: CollectionId,
    pub(super) snapshot: SnapshotId,
    /// The last id that was answered.
    pub(super) last: DocId,
    pub(super) to: Bound<DocId>,
}

/// Makes cursors and reads them.
#[derive(Debug)]
pub(super) struct Cursors {
    /// Keyed at random (SipHash): nobody outside can make a seal.
    key: RandomState,
    process: u64,
}

impl Cursors {
    pub(super) fn new() -> Self {
        let key = RandomState::new();
        let process = key.hash_one("docdb cursor");
        Self { key, process }
    }

    /// The cursor of a position.
    pub(super) fn write(&self, at: &Position) -> Box<str> {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(&self.process.to_le_bytes());
        write_position(&mut bytes, at);
        let seal = self.key.hash_one(bytes.as_slice());
        bytes.extend_from_slice(&seal.to_le_bytes());
        URL_SAFE_NO_PAD.encode(bytes).into()
    }

    /// The position of a cursor.
    ///
    /// # Errors
    /// `InvalidQuery` when it is none, or of another database; `SnapshotExpired` when another
    /// process made it.
    pub(super) fn read(&self, cursor: &str, database: DatabaseId) -> Result<Position> {
        let none =
            || EngineError::new(Code::InvalidQuery, "the cursor is none that this server gave");
        if cursor.len() > CURSOR_CHARS_MAX {
            return Err(none());
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| none())?;
        let (body, seal) = bytes.split_last_chunk::<8>().ok_or_else(none)?;
        let (process, rest) = body.split_first_chunk::<8>().ok_or_else(none)?;
        if u64::from_le_bytes(*process) != self.process {
            let what = "the cursor was given before the server was started; begin the scan anew";
            return Err(EngineError::new(Code::SnapshotExpired, what));
        }
        if self.key.hash_one(body) != u64::from_le_bytes(*seal) {
            return Err(none());
        }
        let position = read_position(rest).ok_or_else(none)?;
        if position.database != database {
            let what = "the cursor is of another database; begin the scan anew";
            return Err(EngineError::new(Code::InvalidQuery, what));
        }
        Ok(position)
    }
}

/// A position in bytes, read and written again; none when it is none.
pub(crate) fn again(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    write_position(&mut out, &read_position(bytes)?);
    Some(out)
}

fn write_position(out: &mut Vec<u8>, at: &Position) {
    out.extend_from_slice(at.database.as_bytes());
    out.extend_from_slice(&at.snapshot.0.to_le_bytes());
    out.extend_from_slice(&at.collection.0.to_le_bytes());
    write_id(out, &at.last);
    match &at.to {
        Bound::Unbounded => out.push(0),
        Bound::Included(id) => {
            out.push(1);
            write_id(out, id);
        }
        Bound::Excluded(id) => {
            out.push(2);
            write_id(out, id);
        }
    }
}

fn read_position(bytes: &[u8]) -> Option<Position> {
    let (database, bytes) = bytes.split_first_chunk::<16>()?;
    let (snapshot, bytes) = bytes.split_first_chunk::<8>()?;
    let (collection, bytes) = bytes.split_first_chunk::<4>()?;
    let (last, bytes) = read_id(bytes)?;
    let (kind, bytes) = bytes.split_first()?;
    let (to, rest) = match kind {
        0 => (Bound::Unbounded, bytes),
        1 => read_id(bytes).map(|(id, rest)| (Bound::Included(id), rest))?,
        2 => read_id(bytes).map(|(id, rest)| (Bound::Excluded(id), rest))?,
        _ => return None,
    };
    rest.is_empty().then_some(Position {
        database: DatabaseId::from_bytes(*database),
        collection: CollectionId(u32::from_le_bytes(*collection)),
        snapshot: SnapshotId(u64::from_le_bytes(*snapshot)),
        last,
        to,
    })
}

fn write_id(out: &mut Vec<u8>, id: &DocId) {
    let len = id.encoded_len();
    out.push(u8::try_from(len).expect("an id takes at most 64 bytes and a tag"));
    id.encode(out);
}

fn read_id(bytes: &[u8]) -> Option<(DocId, &[u8])> {
    let (len, bytes) = bytes.split_first()?;
    let (id, rest) = bytes.split_at_checked(usize::from(*len))?;
    Some((DocId::decode(id).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(to: Bound<DocId>) -> Position {
        Position {
            database: DatabaseId::from_bytes([7; 16]),
            collection: CollectionId(3),
            snapshot: SnapshotId(9),
            last: DocId::string("somewhere").unwrap(),
            to,
        }
    }

    #[test]
    fn a_cursor_says_where_it_was_made() {
        let cursors = Cursors::new();
        let bounds = [
            Bound::Unbounded,
            Bound::Included(DocId::U64(u64::MAX)),
            Bound::Excluded(DocId::string(&"x".repeat(64)).unwrap()),
        ];
        for to in bounds {
            let at = position(to);
            let cursor = cursors.write(&at);
            assert!(cursor.len() <= CURSOR_CHARS_MAX);
            assert_eq!(cursors.read(&cursor, at.database).unwrap(), at);
        }
    }

    #[test]
    fn a_cursor_that_was_changed_or_is_of_another_time_or_place_is_refused() {
        let cursors = Cursors::new();
        let at = position(Bound::Unbounded);
        let cursor = cursors.write(&at);
        let code = |cursor: &str, id| cursors.read(cursor, id).unwrap_err().code;
        for place in 0..cursor.len() {
            let mut changed: Vec<u8> = cursor.bytes().collect();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            let read = cursors.read(&changed, at.database);
            assert!(read.is_err() || changed == *cursor, "place {place}");
        }
        assert_eq!(code("", at.database), Code::InvalidQuery);
        assert_eq!(code("no cursor at all!", at.database), Code::InvalidQuery);
        assert_eq!(code(&cursor, DatabaseId::from_bytes([8; 16])), Code::InvalidQuery);
        let earlier = Cursors::new().write(&at);
        assert_eq!(code(&earlier, at.database), Code::SnapshotExpired);
    }
}
