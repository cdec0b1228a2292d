//! What typed calls answer: values that own their bytes, the same over the socket and over HTTP.

use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::wire;
pub use crate::wire::{DatabaseState, Effect};

/// An id that owns its text.
pub type Id = wire::Id<'static>;

/// A document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its id.
    pub id: Id,
    /// The write that made this version.
    pub revision: u64,
    /// When it stops being visible, in milliseconds since the Unix epoch. Over HTTP the server
    /// does not tell it.
    pub expires_at: Option<u64>,
    /// Its bytes, exactly as they were given: JSON.
    pub bytes: Vec<u8>,
}

impl Document {
    /// The document as a value of Rust.
    ///
    /// # Errors
    /// When it does not fit the type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.bytes).map_err(|error| {
            Error::argument(format!("the document does not fit the type: {error} id={}", self.id))
        })
    }

    pub(crate) fn of(id: Id, found: &wire::Found<'_>) -> Self {
        let (revision, expires_at) = (found.revision, found.expires_at);
        Self { id, revision, expires_at, bytes: found.document.to_vec() }
    }
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The revision of the document, or of its deletion; 0 within a transaction, where the commit
    /// tells it.
    pub revision: u64,
    /// What became of the document. None where the server does not say: for an upsert in a batch
    /// over HTTP.
    pub effect: Option<Effect>,
}

/// What one operation was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It wrote.
    Written(Written),
    /// It read a document.
    Found(Document),
}

/// A collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionInfo {
    /// Its name.
    pub name: String,
    /// Its number, never used for another one.
    pub number: u32,
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseInfo {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uuid: Uuid,
    /// How it is.
    pub state: DatabaseState,
}

/// One change of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its position: to go on behind it, ask for the changes after this one.
    pub lsn: u64,
    /// The name of the collection; empty when the collection no longer exists.
    pub collection: String,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A document has these bytes from now on.
    Put(Document),
    /// A document is gone.
    Deleted(Id),
    /// The collection exists from now on.
    CollectionCreated,
    /// The collection and everything in it is gone.
    CollectionDropped,
    /// A property of the collection, such as the schema of its documents, was set or taken away.
    PropertySet {
        /// Its name.
        property: String,
        /// Its value, JSON; none when it was taken away.
        value: Option<Vec<u8>>,
    },
}

impl Change {
    pub(crate) fn of(change: &wire::Change<'_>) -> Self {
        let event = match &change.changed {
            wire::Changed::Put { id, expires_at, document } => Event::Put(Document {
                id: id.clone().into_owned(),
                revision: change.lsn,
                expires_at: *expires_at,
                bytes: document.to_vec(),
            }),
            wire::Changed::Deleted { id } => Event::Deleted(id.clone().into_owned()),
            wire::Changed::CollectionCreated => Event::CollectionCreated,
            wire::Changed::CollectionDropped => Event::CollectionDropped,
            wire::Changed::PropertySet { property, value } => Event::PropertySet {
                property: (*property).to_owned(),
                value: value.map(<[u8]>::to_vec),
            },
        };
        Self { lsn: change.lsn, collection: change.name.to_owned(), event }
    }
}
