//! What callers ask for and what they are answered, in the store's words.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base::clock::WallMs;
use base::document::Document;
use base::words::{CollectionId, DocId, Lsn};

use crate::error::StoreError;
use crate::patch::Patch;

/// A document as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The LSN of the write that made this version.
    pub revision: Lsn,
    /// When it stops being visible, if ever.
    pub expires_at: Option<WallMs>,
    /// Its bytes, exactly as they were given.
    pub document: Document,
}

/// One operation on one document.
#[derive(Debug, Clone)]
pub struct Write {
    /// Where.
    pub collection: CollectionId,
    /// Which.
    pub id: DocId,
    /// What to do.
    pub action: Action,
    /// What must hold for it, all of them.
    pub conditions: Vec<Condition>,
    /// What becomes of it when it cannot be done on the document that there is.
    pub otherwise: Otherwise,
}

/// What becomes of a write whose conditions do not hold, or that finds no document or one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Otherwise {
    /// It is refused, and with it the batch that it belongs to.
    #[default]
    Refuse,
    /// It is passed over, and the others of its batch are done. Within an open transaction it is refused.
    Skip,
}

/// What to do with a document.
#[derive(Debug, Clone)]
pub enum Action {
    /// Makes it; there must be none.
    Create(Document, Expiry),
    /// Replaces it; there must be one.
    Update(Document, Expiry),
    /// Makes or replaces it.
    Upsert(Document, Expiry),
    /// Changes parts of it; there must be one. Its expiry stays.
    Patch(Arc<Patch>),
    /// Removes it; there must be one.
    Delete,
}

/// When a document stops being visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expiry {
    /// Never.
    #[default]
    Never,
    /// At this time.
    At(WallMs),
    /// So long after "now" of the request.
    After(Duration),
}

impl Expiry {
    pub(crate) fn resolve(self, now: WallMs) -> Option<WallMs> {
        match self {
            Self::Never => None,
            Self::At(at) => Some(at),
            Self::After(span) => {
                let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
                // The largest number says "never" in the log.
                Some(WallMs(now.0.saturating_add(ms).min(u64::MAX - 1)))
            }
        }
    }
}

/// A test of the current and the new document: neither is there for an absent document and a
/// deletion.
pub type Test = dyn Fn(Option<&Stored>, Option<&Document>) -> bool + Send + Sync;

/// What must hold for a write.
#[derive(Clone)]
pub enum Condition {
    /// There is no document.
    Absent,
    /// There is a document.
    Exists,
    /// The document is at this revision.
    Revision(Lsn),
    /// The test says yes. It may be asked several times, and must answer the same for the same
    /// documents.
    Test(Arc<Test>),
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("Absent"),
            Self::Exists => f.write_str("Exists"),
            Self::Revision(lsn) => write!(f, "Revision({lsn})"),
            Self::Test(_) => f.write_str("Test"),
        }
    }
}

impl Write {
    fn new(collection: CollectionId, id: DocId, action: Action) -> Self {
        let (conditions, otherwise) = (Vec::new(), Otherwise::Refuse);
        Self { collection, id, action, conditions, otherwise }
    }

    /// Makes a document that must not exist yet.
    #[must_use]
    pub fn create(collection: CollectionId, id: DocId, document: Document) -> Self {
        Self::new(collection, id, Action::Create(document, Expiry::Never))
    }

    /// Replaces a document that exists.
    #[must_use]
    pub fn update(collection: CollectionId, id: DocId, document: Document) -> Self {
        Self::new(collection, id, Action::Update(document, Expiry::Never))
    }

    /// Makes or replaces a document.
    #[must_use]
    pub fn upsert(collection: CollectionId, id: DocId, document: Document) -> Self {
        Self::new(collection, id, Action::Upsert(document, Expiry::Never))
    }

    /// Changes parts of a document that exists.
    #[must_use]
    pub fn patch(collection: CollectionId, id: DocId, patch: Patch) -> Self {
        Self::new(collection, id, Action::Patch(Arc::new(patch)))
    }

    /// Removes a document that exists.
    #[must_use]
    pub fn delete(collection: CollectionId, id: DocId) -> Self {
        Self::new(collection, id, Action::Delete)
    }

    /// Sets when the document expires. Patches and deletions have no expiry of their own: for them
    /// this changes nothing.
    #[must_use]
    pub fn expires(mut self, when: Expiry) -> Self {
        match &mut self.action {
            Action::Create(_, expiry) | Action::Update(_, expiry) | Action::Upsert(_, expiry) => {
                *expiry = when;
            }
            Action::Patch(_) | Action::Delete => {}
        }
        self
    }

    /// Adds a condition.
    #[must_use]
    pub fn when(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Has it passed over when it cannot be done on the document that there is.
    #[must_use]
    pub fn or_skip(mut self) -> Self {
        self.otherwise = Otherwise::Skip;
        self
    }
}

/// What became of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The LSN of the write: the document's revision, or that of its deletion; zero when it was passed
    /// over.
    pub revision: Lsn,
    /// What it did.
    pub effect: Effect,
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// There was no document before.
    Created,
    /// There was one.
    Replaced,
    /// There is none any more.
    Deleted,
    /// Nothing: it was passed over, as [`Otherwise::Skip`] says.
    Skipped,
}

/// A batch that was refused: nothing of it was applied.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub struct Refused {
    /// The operation that is at fault, counted from 0; none when it is none of them.
    pub operation: Option<usize>,
    /// Why.
    pub error: StoreError,
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self { operation: None, error }
    }
}
