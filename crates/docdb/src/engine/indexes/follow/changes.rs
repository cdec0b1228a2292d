//! The changes of a piece of the feed: taken apart for the indexes that they are of, and applied.
//!
//! Changes are applied to an index only when there are some of its collection: an index that stands at an earlier
//! position has everything up to that of [`Following`] all the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::document::Document;
use base::words::{Change, CollectionId, Lsn};
use docstore::{FeedEntry, StoreError};
use search::error::SearchError;
use search::index::Prepared;
use search::schema::Schema;

use super::super::Indexes;
use super::super::contain::contained;
use super::super::state::{Live, Why};
use super::{Following, Phase};
use crate::engine::namespaces::schema_property;

/// Changes of a piece.
const PIECE_CHANGES: usize = 2_000;
/// Bytes of documents of a piece.
const PIECE_BYTES: usize = 4 * 1024 * 1024;
/// Changes after which the log may have let go of what an index with nothing new has behind it.
const FAR: u64 = 10_000;

impl Following {
    /// Reads and applies some changes; says whether there were any.
    pub(super) fn read_piece(&mut self, indexes: &Indexes) -> Result<bool, StoreError> {
        let mut feed = match self.feed.take() {
            Some(feed) => feed,
            None => indexes.database.changes(self.position)?,
        };
        let mut piece = Piece::default();
        let mut result = Ok(());
        while piece.changes < PIECE_CHANGES && piece.bytes < PIECE_BYTES {
            match feed.next() {
                Ok(Some(entry)) => self.take(indexes, entry, &mut piece),
                Ok(None) => break,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.apply_all(indexes, &mut piece);
        let reached = feed.position().max(self.position);
        let has_moved = reached > self.position;
        self.set_position(indexes, reached);
        if feed.has_gap() {
            tracing::warn!(database = %indexes.database.name(), "the log has lost changes");
            let all: Vec<CollectionId> = self.entries.keys().copied().collect();
            for collection in all {
                self.build(indexes, collection, Why::trouble("the log has lost changes"), None);
            }
            return result.map(|()| true);
        }
        result?;
        self.feed = Some(feed);
        Ok(has_moved)
    }

    fn take(&mut self, indexes: &Indexes, entry: FeedEntry, piece: &mut Piece) {
        let FeedEntry { lsn, change, .. } = entry;
        piece.changes += 1;
        match change {
            Change::CreateCollection { collection, .. } => {
                self.fresh.insert(collection, lsn);
            }
            Change::DropCollection { collection } => {
                self.fresh.remove(&collection);
                piece.of.remove(&collection);
                self.forget(indexes, collection);
            }
            Change::SetProperty { collection, property, value } => {
                if property == schema_property() {
                    self.apply_of(indexes, collection, piece);
                    self.set_schema(indexes, (collection, lsn), value.as_ref());
                }
            }
            Change::Put { collection, .. } | Change::Delete { collection, .. } => {
                self.fresh.remove(&collection);
                if let Change::Put { document, .. } = &change {
                    piece.bytes += document.as_bytes().len();
                }
                self.prepare(indexes, (collection, lsn), &change, piece);
            }
        }
    }

    /// Takes a change of a document apart for its index.
    fn prepare(
        &mut self,
        indexes: &Indexes,
        (collection, lsn): (CollectionId, Lsn),
        change: &Change,
        piece: &mut Piece,
    ) {
        let Some(entry) = self.entries.get(&collection) else { return };
        let Phase::Live(live) = &entry.phase else { return };
        if lsn <= live.index.position() {
            return;
        }
        let why = match contained(|| prepared(live, entry.schema_at, lsn, change)) {
            Ok(Ok(prepared)) => {
                piece.of.entry(collection).or_default().extend(prepared);
                return;
            }
            Ok(Err(error)) => format!("a change does not fit the index: {error} lsn={lsn}"),
            Err(panicked) => format!("{panicked} lsn={lsn}"),
        };
        piece.of.remove(&collection);
        self.cannot_follow(indexes, collection, why);
    }

    /// What an index has is not what it should have: it is made again.
    fn cannot_follow(&mut self, indexes: &Indexes, collection: CollectionId, why: String) {
        tracing::error!(database = %indexes.database.name(), %collection, %why,
            "a search index cannot follow");
        indexes.count_failure();
        self.build(indexes, collection, Why::trouble(why), None);
    }

    /// The search schema of a collection was set or taken away.
    fn set_schema(
        &mut self,
        indexes: &Indexes,
        (collection, lsn): (CollectionId, Lsn),
        value: Option<&Document>,
    ) {
        let schema = match value.map(|value| Schema::from_stored(value.as_bytes())).transpose() {
            Ok(schema) => schema,
            Err(error) => {
                tracing::error!(database = %indexes.database.name(), %collection, %error,
                    "a search schema is not understood");
                None
            }
        };
        let known = self.entries.get(&collection).map(|entry| lsn <= entry.schema_at);
        match (known, schema) {
            (None, None) => {}
            (None, Some(schema)) => self.discover(indexes, (collection, lsn), schema),
            (Some(true), schema) => self.note_past(indexes, collection, schema),
            (Some(false), None) => self.forget(indexes, collection),
            (Some(false), Some(schema)) => self.change_schema(indexes, (collection, lsn), schema),
        }
    }

    /// A collection became a namespace.
    fn discover(
        &mut self,
        indexes: &Indexes,
        (collection, lsn): (CollectionId, Lsn),
        schema: Schema,
    ) {
        // It may have been dropped since; the feed will tell.
        if indexes.database.property(collection, &schema_property()).is_err() {
            return;
        }
        let fresh = self.fresh.remove(&collection).map(|_| lsn);
        let why = match fresh {
            Some(_) => "the namespace is new",
            None => "the collection has a search schema now",
        };
        self.add(indexes, (collection, Arc::new(schema), lsn), Phase::Unopened);
        self.build(indexes, collection, Why::of_course(why), fresh);
    }

    /// The feed tells of a schema that was replaced before the index was opened: when it shows that the documents
    /// of then were not what the index takes them for, the index is of no use.
    fn note_past(&mut self, indexes: &Indexes, collection: CollectionId, schema: Option<Schema>) {
        let Some(entry) = self.entries.get_mut(&collection) else { return };
        let is_broken = match (&entry.past, &schema) {
            (_, None) => true,
            (Some(before), Some(after)) => after.needs_build(before),
            (None, Some(_)) => false,
        };
        entry.past = schema;
        if is_broken && matches!(entry.phase, Phase::Live(_)) {
            self.build(indexes, collection, Why::of_course("the search schema was changed"), None);
        }
    }

    fn change_schema(
        &mut self,
        indexes: &Indexes,
        (collection, lsn): (CollectionId, Lsn),
        schema: Schema,
    ) {
        let Some(entry) = self.entries.get_mut(&collection) else { return };
        let needs_build = schema.needs_build(&entry.schema);
        entry.schema = Arc::new(schema);
        entry.schema_at = lsn;
        let schema = Schema::clone(&entry.schema);
        match &entry.phase {
            Phase::Live(_) if needs_build => {
                self.build(
                    indexes,
                    collection,
                    Why::of_course("the search schema was changed"),
                    None,
                );
            }
            Phase::Live(live) => live.index.set_schema(schema),
            // Whoever makes it reads the feed himself; what failed begins with what there is then.
            Phase::Unopened | Phase::Building { .. } | Phase::Failed(_) => {}
        }
    }

    fn apply_of(&mut self, indexes: &Indexes, collection: CollectionId, piece: &mut Piece) {
        let Some(changes) = piece.of.remove(&collection) else { return };
        let entry = self.entries.get(&collection);
        let Some(Phase::Live(live)) = entry.map(|entry| &entry.phase) else { return };
        let bound = |change: Option<&Prepared>| change.map_or(Lsn::ZERO, Prepared::lsn);
        let (first, last) = (bound(changes.first()), bound(changes.last()));
        let is_far = live.index.needed().is_none() && first.0 > live.index.applied().0 + FAR;
        if let Err(panicked) = contained(|| live.index.apply(changes, last)) {
            return self.cannot_follow(indexes, collection, format!("{panicked} lsn={last}"));
        }
        if is_far {
            // The log may have nothing any more of where the durable state is: a start before the next flush would make
            // the index again.
            live.flush_soon.store(true, Ordering::Release);
            indexes.shared.flusher.wake();
        }
        if live.index.unindexed_bytes() >= indexes.shared.options.index.memtable_bytes {
            indexes.shared.flusher.wake();
        }
    }

    fn apply_all(&mut self, indexes: &Indexes, piece: &mut Piece) {
        let collections: Vec<CollectionId> = piece.of.keys().copied().collect();
        for collection in collections {
            self.apply_of(indexes, collection, piece);
        }
    }
}

/// Changes that were read and not applied.
#[derive(Debug, Default)]
struct Piece {
    of: HashMap<CollectionId, Vec<Prepared>>,
    changes: usize,
    bytes: usize,
}

/// A change for an index.
fn prepared(
    live: &Live,
    schema_at: Lsn,
    lsn: Lsn,
    change: &Change,
) -> Result<Option<Prepared>, SearchError> {
    of_past(Prepared::of(&live.index.preparer(), lsn, change), schema_at, lsn, change)
}

/// A version that does not fit a schema which was set later: all versions that were alive then were found to fit, so
/// this one had died, and all that is left of it is what it replaced.
pub(in super::super) fn of_past(
    prepared: Result<Option<Prepared>, SearchError>,
    schema_at: Lsn,
    lsn: Lsn,
    change: &Change,
) -> Result<Option<Prepared>, SearchError> {
    match (prepared, change) {
        (Err(_), Change::Put { replaces, .. }) if lsn <= schema_at => {
            Ok(Some(Prepared::Delete { lsn, replaces: *replaces }))
        }
        (prepared, _) => prepared,
    }
}
