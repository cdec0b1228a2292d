//! The change feed, in pieces: what was written behind a position, in order, without gaps. A client
//! goes on from the position that the last piece names; waiting for the next change is
//! [`Served::watch`].

use std::collections::HashMap;
use std::sync::Arc;

use base::clock::WallMs;
use base::document::Document;
use base::words::{Change, CollectionId, DocId, Lsn, Name};
use docstore::Database;

use super::Engine;
use super::error::Result;
use super::reply::Reply;
use super::served::Served;
use super::work::How;

/// A piece ends when its documents exceed this many bytes.
const PIECE_BYTES: usize = 4 * 1024 * 1024;
/// Most changes of a piece.
pub const PIECE_CHANGES_MAX: usize = 10_000;

/// What a change did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// A document was made or replaced.
    Put {
        /// Which.
        id: DocId,
        /// Its bytes.
        document: Document,
        /// When it expires, if ever.
        expires_at: Option<WallMs>,
    },
    /// A document was removed, or its time had come.
    Delete {
        /// Which.
        id: DocId,
    },
    /// A collection was made.
    CreateCollection,
    /// A collection was dropped with everything in it.
    DropCollection,
    /// A property of a collection, its schema for instance, was set or taken away.
    SetProperty {
        /// Its name.
        property: Name,
        /// Its value; none when it was taken away.
        value: Option<Document>,
    },
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeOut {
    /// Its position: the revision of the document that it wrote.
    pub lsn: Lsn,
    /// The first position of its transaction: changes with the same one were made together.
    pub transaction: Lsn,
    /// When it was committed.
    pub wall: WallMs,
    /// The collection's number.
    pub collection: CollectionId,
    /// Its name; none for one that was dropped since.
    pub name: Option<Name>,
    /// What it was.
    pub kind: ChangeKind,
}

/// A piece of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// In order; none when nothing was written behind the position yet.
    pub changes: Vec<ChangeOut>,
    /// From where to go on.
    pub next: Lsn,
}

impl Engine {
    /// The changes behind `position`, at most `limit`, and fewer when they are large.
    pub fn changes(
        self: &Arc<Self>,
        served: &Arc<Served>,
        position: Lsn,
        limit: usize,
        how: How,
        reply: Reply<Changes>,
    ) {
        let limit = limit.clamp(1, PIECE_CHANGES_MAX);
        self.work(served, 0, how, reply, move |database| read(database, position, limit));
    }
}

fn read(database: &Database, position: Lsn, limit: usize) -> Result<Changes> {
    let mut names: HashMap<CollectionId, Name> = HashMap::new();
    for record in database.collections()? {
        names.insert(record.collection, record.name);
    }
    let mut feed = database.changes(position)?;
    let (mut changes, mut bytes) = (Vec::new(), 0);
    while changes.len() < limit && bytes < PIECE_BYTES {
        let Some(entry) = feed.next()? else { break };
        let (collection, kind) = match entry.change {
            Change::Put { collection, id, expires_at, document, .. } => {
                bytes += document.as_bytes().len();
                (collection, ChangeKind::Put { id, document, expires_at })
            }
            Change::Delete { collection, id, .. } => (collection, ChangeKind::Delete { id }),
            Change::CreateCollection { collection, name } => {
                names.insert(collection, name);
                (collection, ChangeKind::CreateCollection)
            }
            Change::DropCollection { collection } => (collection, ChangeKind::DropCollection),
            Change::SetProperty { collection, property, value } => {
                (collection, ChangeKind::SetProperty { property, value })
            }
        };
        let name = names.get(&collection).cloned();
        let (lsn, transaction, wall) = (entry.lsn, entry.transaction, entry.wall);
        changes.push(ChangeOut { lsn, transaction, wall, collection, name, kind });
    }
    let next = feed.position().max(position);
    Ok(Changes { changes, next })
}
