//! A version of a document as the index sees it, and what a change does to the versions there are.
//!
//! Making one reads and checks the document; it needs the schema alone, so that many can be made at once.
//! Applying one afterwards looks at nothing of its content and cannot fail.

use std::mem::size_of;
use std::sync::Arc;

use base::clock::WallMs;
use base::document::Document;
use base::words::{Change, DocId, Lsn};

use crate::error::Result;
use crate::schema::{Row, Schema};
use crate::text::{RowTokens, Texts};
use crate::value::Value;

/// What is counted for a death in a memtable: where it happened, and by what.
pub(super) const DEATH_BYTES: usize = 16;

/// A version of a document: what the schema sees of it, and when it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// The position that wrote it: its revision.
    pub lsn: Lsn,
    /// From when on no query finds it.
    pub expires_at: Option<WallMs>,
    /// Its fields.
    pub row: Row,
}

impl Version {
    /// Whether queries that are asked at this time find it.
    #[must_use]
    pub fn is_visible(&self, now: WallMs) -> bool {
        self.expires_at.is_none_or(|at| now < at)
    }

    /// Bytes of memory that it takes, about.
    #[must_use]
    pub(super) fn bytes(&self) -> usize {
        let values: usize = self.row.values().map(|(_, value)| value_bytes(value)).sum();
        let vectors: usize = self.row.vectors().map(|(_, vector)| vector.as_bytes().len()).sum();
        size_of::<Self>() + value_bytes(self.row.id()) + values + vectors
    }
}

fn value_bytes(value: &Value) -> usize {
    let behind = match value {
        Value::String(text) => text.len(),
        Value::Array(elements) => elements.iter().map(value_bytes).sum(),
        Value::Bool(_)
        | Value::Int(_)
        | Value::Uint(_)
        | Value::Float(_)
        | Value::DateTime(_)
        | Value::Uuid(_) => 0,
    };
    size_of::<Value>() + behind
}

/// What documents are prepared by: a schema, and what makes words of its texts. Made once for a schema and shared.
#[derive(Debug, Clone)]
pub struct Preparer {
    schema: Arc<Schema>,
    texts: Texts,
}

impl Preparer {
    /// For the documents of this schema.
    #[must_use]
    pub fn new(schema: Arc<Schema>) -> Self {
        Self { texts: Texts::new(&schema), schema }
    }

    /// The schema.
    #[must_use]
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }
}

/// A change of the collection, ready to be applied.
#[derive(Debug, Clone)]
pub enum Prepared {
    /// A document has a new version.
    Put {
        /// The version that it replaces, [`Lsn::ZERO`] when there was none.
        replaces: Lsn,
        /// The new one.
        version: Arc<Version>,
        /// The words of its texts.
        tokens: RowTokens,
    },
    /// A document is gone.
    Delete {
        /// The position of the change.
        lsn: Lsn,
        /// The version that is gone, [`Lsn::ZERO`] when there was none.
        replaces: Lsn,
    },
}

impl Prepared {
    /// Prepares a version of a document: pure, and costly for long texts and vectors.
    ///
    /// # Errors
    /// As [`Schema::row`]: the document does not fit the schema.
    pub fn put(
        preparer: &Preparer,
        id: &DocId,
        (lsn, replaces): (Lsn, Lsn),
        expires_at: Option<WallMs>,
        document: &Document,
    ) -> Result<Self> {
        let row = preparer.schema.row(id, document)?;
        let tokens = preparer.texts.analyze(&row);
        Ok(Self::Put { replaces, version: Arc::new(Version { lsn, expires_at, row }), tokens })
    }

    /// Prepares a change of the feed at this position; none of one that is not about a document.
    ///
    /// # Errors
    /// As [`Prepared::put`].
    pub fn of(preparer: &Preparer, lsn: Lsn, change: &Change) -> Result<Option<Self>> {
        match change {
            Change::Put { id, replaces, expires_at, document, .. } => {
                Self::put(preparer, id, (lsn, *replaces), *expires_at, document).map(Some)
            }
            Change::Delete { replaces, .. } => Ok(Some(Self::Delete { lsn, replaces: *replaces })),
            Change::CreateCollection { .. }
            | Change::DropCollection { .. }
            | Change::SetProperty { .. } => Ok(None),
        }
    }

    /// The position of the change.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        match self {
            Self::Put { version, .. } => version.lsn,
            Self::Delete { lsn, .. } => *lsn,
        }
    }

    /// Bytes of memory that it will take in the memtable, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Put { version, tokens, .. } => version.bytes() + tokens.bytes() + DEATH_BYTES,
            Self::Delete { .. } => DEATH_BYTES,
        }
    }
}
