//! The typed calls on a collection.

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::unix_ms_after;
use crate::database::{found, only, written};
use crate::error::Result;
use crate::scan::Scan;
use crate::surface::{Range, Search, Surface};
use crate::values::{Document, Id, Outcome, Written};
use crate::wire::{self, ExecuteMode, Op};

/// Documents of a page unless a scan says otherwise.
const PAGE_DOCUMENTS: u32 = 1000;

/// A collection of a database, by name. Cheap to clone.
///
/// An id is a number, a UUID or a text: `7` and `"7"` are two ids. Documents are JSON, kept byte
/// for byte as they are given.
#[derive(Debug, Clone)]
pub struct Collection {
    surface: Arc<dyn Surface>,
    database: Arc<str>,
    name: Arc<str>,
}

impl Collection {
    pub(crate) fn new(surface: Arc<dyn Surface>, database: Arc<str>, name: &str) -> Self {
        Self { surface, database, name: Arc::from(name) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn search(&self, search: Search<'_>) -> Result<String> {
        self.surface.search(&self.database, &self.name, search)
    }

    /// Answers a query: JSON both ways, as `POST …/query` of HTTP has it.
    ///
    /// # Errors
    /// `InvalidQuery` and `InvalidJson`, with what is wrong; `Unsupported`; `CollectionNotFound`.
    pub fn query(&self, query: impl AsRef<str>) -> Result<String> {
        self.search(Search::Query(query.as_ref()))
    }

    /// Says how a query would be answered, as JSON.
    ///
    /// # Errors
    /// As [`Collection::query`].
    pub fn explain(&self, query: impl AsRef<str>) -> Result<String> {
        self.search(Search::Explain(query.as_ref()))
    }

    /// The search schema, as JSON; `null` without one.
    ///
    /// # Errors
    /// `CollectionNotFound`.
    pub fn search_schema(&self) -> Result<String> {
        self.search(Search::Schema)
    }

    /// Describes the first documents: what their search schema would be, as JSON.
    ///
    /// # Errors
    /// `CollectionNotFound`; `InvalidSchema` when no type fits what an attribute has.
    pub fn infer_search_schema(&self) -> Result<String> {
        self.search(Search::Infer)
    }

    /// Gives the collection a search schema, or changes it: `{"attributes":{…},"undeclared":…}`.
    ///
    /// # Errors
    /// `InvalidSchema`, with the first documents that do not fit; `CollectionNotFound`.
    pub fn set_search_schema(&self, change: impl AsRef<str>) -> Result<String> {
        self.search(Search::SetSchema(change.as_ref()))
    }

    /// Takes the search schema away; the documents stay.
    ///
    /// # Errors
    /// `CollectionNotFound`.
    pub fn remove_search_schema(&self) -> Result<()> {
        self.search(Search::RemoveSchema).map(drop)
    }

    fn execute(&self, op: Op<'_>) -> Result<Outcome> {
        only(self.surface.execute(&self.database, &[op], ExecuteMode::Independent)?)
    }

    /// Reads a document; none when there is none.
    ///
    /// # Errors
    /// `CollectionNotFound`; `DocCorrupt` when its newest version is damaged.
    pub fn get<'a>(&self, id: impl Into<wire::Id<'a>>) -> Result<Option<Document>> {
        let id = id.into();
        found(self.execute(Op::read(&self.name, &id)))
    }

    /// Makes a document.
    ///
    /// # Errors
    /// `DocExists`; `InvalidJson`; `CollectionNotFound`.
    pub fn create<'a>(
        &self,
        id: impl Into<wire::Id<'a>>,
        document: impl AsRef<[u8]>,
    ) -> Result<Written> {
        let id = id.into();
        written(self.execute(Op::create(&self.name, &id, document.as_ref())))
    }

    /// Replaces a document that exists.
    ///
    /// # Errors
    /// `DocNotFound`; `InvalidJson`; `CollectionNotFound`.
    pub fn update<'a>(
        &self,
        id: impl Into<wire::Id<'a>>,
        document: impl AsRef<[u8]>,
    ) -> Result<Written> {
        let id = id.into();
        written(self.execute(Op::update(&self.name, &id, document.as_ref())))
    }

    /// Makes or replaces a document.
    ///
    /// # Errors
    /// `InvalidJson`; `CollectionNotFound`.
    pub fn upsert<'a>(
        &self,
        id: impl Into<wire::Id<'a>>,
        document: impl AsRef<[u8]>,
    ) -> Result<Written> {
        let id = id.into();
        written(self.execute(Op::upsert(&self.name, &id, document.as_ref())))
    }

    /// Makes or replaces a document that stops being visible after a time, by this machine's
    /// clock.
    ///
    /// # Errors
    /// As [`Collection::upsert`].
    pub fn upsert_for<'a>(
        &self,
        id: impl Into<wire::Id<'a>>,
        document: impl AsRef<[u8]>,
        lives: Duration,
    ) -> Result<Written> {
        let id = id.into();
        let op = Op::upsert(&self.name, &id, document.as_ref()).expires_at(unix_ms_after(lives));
        written(self.execute(op))
    }

    /// Changes parts of a document that exists, by a JSON array of patch operations.
    ///
    /// # Errors
    /// `DocNotFound`; `InvalidPatch`; `CollectionNotFound`.
    pub fn patch<'a>(
        &self,
        id: impl Into<wire::Id<'a>>,
        patch: impl AsRef<[u8]>,
    ) -> Result<Written> {
        let id = id.into();
        written(self.execute(Op::patch(&self.name, &id, patch.as_ref())))
    }

    /// Removes a document that exists.
    ///
    /// # Errors
    /// `DocNotFound`; `CollectionNotFound`.
    pub fn delete<'a>(&self, id: impl Into<wire::Id<'a>>) -> Result<Written> {
        let id = id.into();
        written(self.execute(Op::delete(&self.name, &id)))
    }

    /// Replaces a document that is at a revision.
    ///
    /// # Errors
    /// `RevisionMismatch` when it is at another one; as [`Collection::update`].
    pub fn update_if<'a>(
        &self,
        id: impl Into<wire::Id<'a>>,
        revision: u64,
        document: impl AsRef<[u8]>,
    ) -> Result<Written> {
        let id = id.into();
        let op = Op::update(&self.name, &id, document.as_ref()).if_revision(revision);
        written(self.execute(op))
    }

    /// Removes a document that is at a revision.
    ///
    /// # Errors
    /// `RevisionMismatch` when it is at another one; as [`Collection::delete`].
    pub fn delete_if<'a>(&self, id: impl Into<wire::Id<'a>>, revision: u64) -> Result<Written> {
        let id = id.into();
        written(self.execute(Op::delete(&self.name, &id).if_revision(revision)))
    }

    /// All documents in the order of their ids: numbers, then UUIDs, then texts. All are of the
    /// position of the first page, whatever is written meanwhile.
    #[must_use]
    pub fn scan(&self) -> Scan<'static> {
        self.scan_range(..)
    }

    /// The documents of a range of ids.
    #[must_use]
    pub fn scan_range(&self, ids: impl RangeBounds<Id>) -> Scan<'static> {
        let bound = |bound: Bound<&Id>| bound.cloned();
        let (from, to) = (bound(ids.start_bound()), bound(ids.end_bound()));
        let range = Range { from, to, page: PAGE_DOCUMENTS };
        let (surface, database) = (Arc::clone(&self.surface), Arc::clone(&self.database));
        let collection = Arc::clone(&self.name);
        Scan::new(range, move |range, next| surface.scan(&database, &collection, range, next))
    }
}
