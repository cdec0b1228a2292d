//! Operations on documents.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | type: 1 create, 2 read, 3 update, 4 delete, 5 upsert, 7 patch |
//! | 1 | flags: bit 0 expected revision, bit 1 expiry |
//! | 2 and so many | collection |
//! | … | id |
//! | 8 | expected revision; with bit 0 only |
//! | 8 | expiry, Unix milliseconds, not 0; with bit 1 only |
//! | 4 and so many | payload: the document, or the patch; empty for read and delete |
//!
//! A flag is valid only where the operation has a use for it: [`Action`] shows which has which.

use super::bytes::{Reader, Writer};
use super::error::{Problem, WireError};
use super::id::{ID_BYTES_MIN, Id};

const CREATE: u8 = 1;
const READ: u8 = 2;
const UPDATE: u8 = 3;
const DELETE: u8 = 4;
const UPSERT: u8 = 5;
const PATCH: u8 = 7;

const HAS_REVISION: u8 = 1;
const HAS_EXPIRY: u8 = 2;

/// Fewest bytes of an operation.
pub(super) const OP_BYTES_MIN: usize = 8_usize.saturating_add(ID_BYTES_MIN);

/// One operation on one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op<'a> {
    /// The name of the collection.
    pub collection: &'a str,
    /// Which document.
    pub id: Id<'a>,
    /// What to do with it.
    pub action: Action<'a>,
}

/// What to do with a document. Documents and patches are JSON text; times are milliseconds since
/// the Unix epoch, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action<'a> {
    /// Makes it; there must be none.
    Create {
        /// Its bytes.
        document: &'a [u8],
        /// When it stops being visible, if ever.
        expires_at: Option<u64>,
    },
    /// Reads it.
    Read,
    /// Replaces it; there must be one.
    Update {
        /// Its bytes.
        document: &'a [u8],
        /// The revision that it must be at.
        if_revision: Option<u64>,
        /// When it stops being visible, if ever.
        expires_at: Option<u64>,
    },
    /// Makes or replaces it.
    Upsert {
        /// Its bytes.
        document: &'a [u8],
        /// The revision that it must be at.
        if_revision: Option<u64>,
        /// When it stops being visible, if ever.
        expires_at: Option<u64>,
    },
    /// Removes it; there must be one.
    Delete {
        /// The revision that it must be at.
        if_revision: Option<u64>,
    },
    /// Changes parts of it; there must be one. Its expiry stays.
    Patch {
        /// A JSON array of patch operations.
        patch: &'a [u8],
        /// The revision that it must be at.
        if_revision: Option<u64>,
    },
}

impl<'a> Op<'a> {
    fn new(collection: &'a str, id: impl Into<Id<'a>>, action: Action<'a>) -> Self {
        Self { collection, id: id.into(), action }
    }

    /// Makes a document that must not exist yet.
    #[must_use]
    pub fn create(
        collection: &'a str,
        id: impl Into<Id<'a>>,
        document: &'a (impl AsRef<[u8]> + ?Sized),
    ) -> Self {
        let document = document.as_ref();
        Self::new(collection, id, Action::Create { document, expires_at: None })
    }

    /// Reads a document.
    #[must_use]
    pub fn read(collection: &'a str, id: impl Into<Id<'a>>) -> Self {
        Self::new(collection, id, Action::Read)
    }

    /// Replaces a document that exists.
    #[must_use]
    pub fn update(
        collection: &'a str,
        id: impl Into<Id<'a>>,
        document: &'a (impl AsRef<[u8]> + ?Sized),
    ) -> Self {
        let document = document.as_ref();
        Self::new(collection, id, Action::Update { document, if_revision: None, expires_at: None })
    }

    /// Makes or replaces a document.
    #[must_use]
    pub fn upsert(
        collection: &'a str,
        id: impl Into<Id<'a>>,
        document: &'a (impl AsRef<[u8]> + ?Sized),
    ) -> Self {
        let document = document.as_ref();
        Self::new(collection, id, Action::Upsert { document, if_revision: None, expires_at: None })
    }

    /// Removes a document that exists.
    #[must_use]
    pub fn delete(collection: &'a str, id: impl Into<Id<'a>>) -> Self {
        Self::new(collection, id, Action::Delete { if_revision: None })
    }

    /// Changes parts of a document that exists.
    #[must_use]
    pub fn patch(
        collection: &'a str,
        id: impl Into<Id<'a>>,
        patch: &'a (impl AsRef<[u8]> + ?Sized),
    ) -> Self {
        Self::new(collection, id, Action::Patch { patch: patch.as_ref(), if_revision: None })
    }

    /// The document must be at this revision, or nothing happens. Creating wants no document and
    /// reading takes any: for them this changes nothing.
    #[must_use]
    pub fn if_revision(mut self, revision: u64) -> Self {
        match &mut self.action {
            Action::Update { if_revision, .. }
            | Action::Upsert { if_revision, .. }
            | Action::Delete { if_revision }
            | Action::Patch { if_revision, .. } => *if_revision = Some(revision),
            Action::Create { .. } | Action::Read => {}
        }
        self
    }

    /// The document stops being visible at this time, in milliseconds since the Unix epoch; 0 is
    /// taken for 1. Reading, deleting and patching set no expiry: for them this changes nothing.
    #[must_use]
    pub fn expires_at(mut self, unix_ms: u64) -> Self {
        match &mut self.action {
            Action::Create { expires_at, .. }
            | Action::Update { expires_at, .. }
            | Action::Upsert { expires_at, .. } => *expires_at = Some(unix_ms.max(1)),
            Action::Read | Action::Delete { .. } | Action::Patch { .. } => {}
        }
        self
    }

    /// Whether the operation leaves everything as it was.
    #[must_use]
    pub const fn only_reads(&self) -> bool {
        matches!(self.action, Action::Read)
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) -> Result<(), WireError> {
        let (kind, revision, expiry, payload): (u8, Option<u64>, Option<u64>, &[u8]) =
            match self.action {
                Action::Create { document, expires_at } => (CREATE, None, expires_at, document),
                Action::Read => (READ, None, None, &[]),
                Action::Update { document, if_revision, expires_at } => {
                    (UPDATE, if_revision, expires_at, document)
                }
                Action::Upsert { document, if_revision, expires_at } => {
                    (UPSERT, if_revision, expires_at, document)
                }
                Action::Delete { if_revision } => (DELETE, if_revision, None, &[]),
                Action::Patch { patch, if_revision } => (PATCH, if_revision, None, patch),
            };
        let flag = |value: Option<u64>, flag| if value.is_some() { flag } else { 0 };
        writer.u8(kind);
        writer.u8(flag(revision, HAS_REVISION) | flag(expiry, HAS_EXPIRY));
        writer.name("collection", self.collection)?;
        self.id.write(writer)?;
        if let Some(revision) = revision {
            writer.u64(revision);
        }
        if let Some(expiry) = expiry {
            if expiry == 0 {
                return Err(writer.error("expiry", Problem::Value(0)));
            }
            writer.u64(expiry);
        }
        writer.bytes32("payload", payload)
    }

    pub(super) fn read_from(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let kind = reader.u8("type of operation")?;
        let at = reader.offset();
        let known = match kind {
            CREATE => HAS_EXPIRY,
            READ => 0,
            UPDATE | UPSERT => HAS_REVISION | HAS_EXPIRY,
            DELETE | PATCH => HAS_REVISION,
            kind => {
                let problem = Problem::Unknown(u64::from(kind));
                return Err(WireError::new("type of operation", problem, at.saturating_sub(1)));
            }
        };
        let flags = reader.flags("flags of the operation", known)?;
        let collection = reader.name("collection")?;
        let id = Id::read(reader)?;
        let has = |flag| flags & flag != 0;
        let if_revision =
            if has(HAS_REVISION) { Some(reader.u64("expected revision")?) } else { None };
        let expires_at = if has(HAS_EXPIRY) { Some(read_expiry(reader)?) } else { None };
        let at = reader.offset();
        let payload = reader.bytes32("payload")?;
        let action = match kind {
            CREATE => Action::Create { document: payload, expires_at },
            UPDATE => Action::Update { document: payload, if_revision, expires_at },
            UPSERT => Action::Upsert { document: payload, if_revision, expires_at },
            PATCH => Action::Patch { patch: payload, if_revision },
            _ if !payload.is_empty() => {
                let problem = Problem::TooLong { bytes: payload.len(), max: 0 };
                return Err(WireError::new("payload", problem, at));
            }
            DELETE => Action::Delete { if_revision },
            _ => Action::Read,
        };
        Ok(Self { collection, id, action })
    }
}

fn read_expiry(reader: &mut Reader<'_>) -> Result<u64, WireError> {
    let at = reader.offset();
    match reader.u64("expiry")? {
        0 => Err(WireError::new("expiry", Problem::Value(0), at)),
        expiry => Ok(expiry),
    }
}
