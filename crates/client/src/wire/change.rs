//! What the change feed answers.
//!
//! | bytes | field |
//! |---|---|
//! | 8 | position; also the revision of the document that it wrote |
//! | 8 | position of the first change of its transaction |
//! | 8 | when it was committed, Unix milliseconds |
//! | 4 | number of the collection |
//! | 2 and so many | name of the collection; empty when it no longer exists |
//! | 1 | kind: 1 put, 2 delete, 3 collection created, 4 collection dropped, 5 property set |
//! | … | put: id, expiry (8, 0 = never), document (4 and so many); delete: id |
//! | … | property: name (2 and so many), 1 byte 1 = set or 0 = taken away, value (4 and so many) |

use super::bytes::{Reader, Writer};
use super::error::{Problem, WireError};
use super::id::Id;

const PUT: u8 = 1;
const DELETE: u8 = 2;
const CREATED: u8 = 3;
const DROPPED: u8 = 4;
const PROPERTY: u8 = 5;

/// Fewest bytes of a change.
pub(super) const CHANGE_BYTES_MIN: usize = 31;

/// One change of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<'a> {
    /// Its position: to go on behind it, ask for the changes after this one.
    pub lsn: u64,
    /// The position of the first change of its transaction: changes with the same one were made
    /// together.
    pub transaction: u64,
    /// When it was committed, in milliseconds since the Unix epoch.
    pub wall_ms: u64,
    /// The number of the collection, never used for another one.
    pub collection: u32,
    /// Its name; empty when the collection no longer exists.
    pub name: &'a str,
    /// What happened.
    pub changed: Changed<'a>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed<'a> {
    /// A document has these bytes from now on.
    Put {
        /// Which.
        id: Id<'a>,
        /// When it stops being visible, in milliseconds since the Unix epoch; never 0.
        expires_at: Option<u64>,
        /// Its bytes.
        document: &'a [u8],
    },
    /// A document is gone.
    Deleted {
        /// Which.
        id: Id<'a>,
    },
    /// The collection exists from now on.
    CollectionCreated,
    /// The collection and everything in it is gone.
    CollectionDropped,
    /// A property of the collection, such as the schema of its documents, was set or taken away.
    PropertySet {
        /// Its name.
        property: &'a str,
        /// Its value, JSON; none when it was taken away.
        value: Option<&'a [u8]>,
    },
}

impl<'a> Change<'a> {
    pub(super) fn write(&self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        writer.u64(self.lsn);
        writer.u64(self.transaction);
        writer.u64(self.wall_ms);
        writer.u32(self.collection);
        writer.name("collection", self.name)?;
        match &self.changed {
            Changed::Put { id, expires_at, document } => {
                writer.u8(PUT);
                id.write(writer)?;
                writer.u64(expires_at.map_or(0, |at| at.max(1)));
                writer.bytes32("document", document)
            }
            Changed::Deleted { id } => {
                writer.u8(DELETE);
                id.write(writer)
            }
            Changed::CollectionCreated => {
                writer.u8(CREATED);
                Ok(())
            }
            Changed::CollectionDropped => {
                writer.u8(DROPPED);
                Ok(())
            }
            Changed::PropertySet { property, value } => {
                writer.u8(PROPERTY);
                writer.name("property", property)?;
                writer.u8(u8::from(value.is_some()));
                writer.bytes32("value", value.unwrap_or_default())
            }
        }
    }

    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let lsn = reader.u64("position")?;
        let transaction = reader.u64("transaction")?;
        let wall_ms = reader.u64("time")?;
        let collection = reader.u32("number of the collection")?;
        let name = reader.name("collection")?;
        let at = reader.offset();
        let changed = match reader.u8("kind of change")? {
            PUT => {
                let id = Id::read(reader)?;
                let expires_at = Some(reader.u64("expiry")?).filter(|at| *at != 0);
                Changed::Put { id, expires_at, document: reader.bytes32("document")? }
            }
            DELETE => Changed::Deleted { id: Id::read(reader)? },
            CREATED => Changed::CollectionCreated,
            DROPPED => Changed::CollectionDropped,
            PROPERTY => {
                let property = reader.name("property")?;
                let at = reader.offset();
                let is_set = reader.flags("flag of the value", 1)? != 0;
                let value = reader.bytes32("value")?;
                if !is_set && !value.is_empty() {
                    return Err(WireError::new("value", Problem::Value(value.len() as u64), at));
                }
                Changed::PropertySet { property, value: is_set.then_some(value) }
            }
            kind => {
                let problem = Problem::Unknown(u64::from(kind));
                return Err(WireError::new("kind of change", problem, at));
            }
        };
        Ok(Self { lsn, transaction, wall_ms, collection, name, changed })
    }
}
