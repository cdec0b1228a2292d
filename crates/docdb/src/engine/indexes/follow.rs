//! Reading the feed of a database and applying it to its indexes, a piece at a time, by whoever needs it.
//!
//! A database without a namespace is not read: its position moves with the log for nothing, and it begins when somebody
//! asks for an index, or writes where one will be ([`Following::is_resting`]).
//!
//! Changes are applied to an index only when there are some of its collection: an index that stands at an earlier
//! position has everything up to `position` all the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base::clock::Instant;
use base::document::Document;
use base::error::{Code, Coded as _};
use base::words::{Change, CollectionId, Lsn};
use docstore::{ChangesHold, Feed, FeedEntry, StoreError};
use search::index::Prepared;
use search::schema::Schema;

use super::opening::Opening;
use super::segments::Removal;
use super::state::{Live, Progress, Shown, Why};
use super::{Indexes, lock};
use crate::engine::error::Result;
use crate::engine::namespaces::schema_property;

/// As whom indexes hold the log.
pub(super) const READER: &str = "search indexes";
/// Changes of a piece.
const PIECE_CHANGES: usize = 2_000;
/// Bytes of documents of a piece.
const PIECE_BYTES: usize = 4 * 1024 * 1024;
/// Changes after which the log may have let go of what an index with nothing new has behind it.
const FAR: u64 = 10_000;
/// How long nobody tries again after the feed could not be read.
const FEED_AGAIN: Duration = Duration::from_secs(1);

/// Where the indexes of a database are.
#[derive(Debug)]
pub(super) struct Following {
    stage: Stage,
    feed: Option<Feed>,
    /// All changes up to here are applied.
    position: Lsn,
    pub(super) entries: HashMap<CollectionId, Entry>,
    /// Collections that were made in the feed and have had no document, and when.
    fresh: HashMap<CollectionId, Lsn>,
    /// What keeps the log; none where nothing of it is needed.
    hold: Option<ChangesHold>,
    /// When the feed may be read again after an error.
    again: Option<Instant>,
    generation: u64,
    /// Whether it has never looked for namespaces.
    is_new: bool,
}

/// What is being done.
#[derive(Debug)]
enum Stage {
    /// Nothing: there is no namespace, as far as anybody knows.
    Resting,
    /// The indexes of the namespaces that there are, are opened.
    Opening(Opening),
    /// The feed is read.
    Reading,
}

/// A namespace.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) schema: Arc<Schema>,
    /// Up to where `schema` knows of changes of it.
    pub(super) schema_at: Lsn,
    /// What the schema was made to be at or before `schema_at`, as the feed tells it once more.
    past: Option<Schema>,
    pub(super) phase: Phase,
    /// Tells this namespace from one that had its number's place before.
    pub(super) generation: u64,
}

/// What there is of its index.
#[derive(Debug)]
pub(super) enum Phase {
    /// It has not been opened.
    Unopened,
    /// It follows.
    Live(Arc<Live>),
    /// It is made of the documents; of none when it was made at this position and had none.
    Building { progress: Arc<Progress>, why: Why, fresh: Option<Lsn> },
    /// It failed.
    Failed(Failure),
}

/// An index that could not be opened or made.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) why: Arc<str>,
    /// How often in a row.
    pub(super) times: u32,
    /// When it is tried again, and by what; never when nothing would help.
    pub(super) again: Option<(Instant, Retry)>,
}

/// What is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    Open,
    Build,
}

impl Following {
    pub(super) fn new(hold: Option<ChangesHold>) -> Self {
        Self {
            stage: Stage::Resting,
            feed: None,
            position: Lsn::ZERO,
            entries: HashMap::new(),
            fresh: HashMap::new(),
            hold,
            again: None,
            generation: 0,
            is_new: true,
        }
    }

    /// Reads nothing any more.
    pub(super) fn rest(&mut self) {
        self.feed = None;
        self.stage = Stage::Resting;
    }

    /// Whether nothing is read because there is no namespace.
    pub(super) fn is_resting(&self) -> bool {
        matches!(self.stage, Stage::Resting)
    }

    /// Whether it is not known which namespaces there are.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    pub(super) fn position(&self) -> Lsn {
        self.position
    }

    /// Goes back to a position that an index needs which was not there before. The others have what comes again.
    /// Before it is shown: whoever asks an index takes it to be at `position` at least.
    pub(super) fn go_back(&mut self, indexes: &Indexes, to: Lsn) {
        if to < self.position {
            self.set_position(indexes, to);
            self.feed = None;
        }
    }

    pub(super) fn set_position(&mut self, indexes: &Indexes, to: Lsn) {
        self.position = to;
        indexes.position.store(to.0, Ordering::Release);
    }

    /// A number that no namespace of this database has had.
    pub(super) fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    /// Adds a namespace whose schema holds at a position or later.
    pub(super) fn add(
        &mut self,
        indexes: &Indexes,
        to: (CollectionId, Arc<Schema>, Lsn),
        phase: Phase,
    ) {
        let (collection, schema, schema_at) = to;
        let generation = self.next_generation();
        let shown = phase.shown();
        let entry = Entry { schema, schema_at, past: None, phase, generation };
        self.entries.insert(collection, entry);
        indexes.show(collection, Some(shown));
    }

    /// An index gets into another phase.
    pub(super) fn enter(&mut self, indexes: &Indexes, collection: CollectionId, phase: Phase) {
        let Some(entry) = self.entries.get_mut(&collection) else { return };
        let shown = phase.shown();
        entry.phase = phase;
        indexes.show(collection, Some(shown));
        if !matches!(entry.phase, Phase::Live(_)) {
            indexes.shared.keeper.wake();
        }
    }

    /// The index of a collection is to be made of its documents.
    pub(super) fn build(
        &mut self,
        indexes: &Indexes,
        collection: CollectionId,
        why: Why,
        fresh: Option<Lsn>,
    ) {
        let generation = self.next_generation();
        if let Some(entry) = self.entries.get_mut(&collection) {
            entry.generation = generation;
        }
        tracing::info!(database = %indexes.database.name(), %collection, why = %why.text,
            "a search index is made of the documents");
        self.enter(indexes, collection, Phase::Building { progress: Arc::default(), why, fresh });
    }

    /// A namespace is gone, and with it everything of its index.
    fn forget(&mut self, indexes: &Indexes, collection: CollectionId) {
        if self.entries.remove(&collection).is_some() {
            indexes.show(collection, None);
            indexes.shared.remove(Removal::Index(indexes.place(collection)));
        }
    }

    /// Begins with the namespaces that there are now.
    fn begin(&mut self, indexes: &Indexes) -> std::result::Result<(), StoreError> {
        // What is shown from here on stands somewhere behind it.
        self.set_position(indexes, Lsn::ZERO);
        self.feed = None;
        self.fresh.clear();
        if self.hold.is_none() {
            self.hold = Some(indexes.database.hold_changes(READER, Lsn::ZERO));
        }
        let opening = Opening::begin(self, indexes)?;
        self.is_new = false;
        if opening.is_done() && self.entries.is_empty() {
            self.stage = Stage::Resting;
            self.hold = None;
            return Ok(());
        }
        self.stage = Stage::Opening(opening);
        Ok(())
    }

    /// The same, unless it failed a moment ago; none when it fails.
    pub(super) fn try_advance(&mut self, indexes: &Indexes, to: Lsn) -> Option<bool> {
        let now = indexes.shared.clock.now();
        if self.again.is_some_and(|again| now < again) {
            return None;
        }
        match self.advance(indexes, to) {
            Ok(has_moved) => Some(has_moved),
            Err(error) => {
                self.again = Some(now.after(FEED_AGAIN));
                if !matches!(error, StoreError::DbNotOpen(_)) {
                    indexes.count_failure();
                    tracing::error!(database = %indexes.database.name(), %error,
                        "the changes for search indexes cannot be read");
                }
                None
            }
        }
    }

    /// Does a piece of what has to be done to get to a position; says whether there was something to do.
    fn advance(&mut self, indexes: &Indexes, to: Lsn) -> std::result::Result<bool, StoreError> {
        match &mut self.stage {
            Stage::Resting => {
                self.begin(indexes)?;
                Ok(!self.is_resting())
            }
            Stage::Opening(_) => {
                let Stage::Opening(mut opening) =
                    std::mem::replace(&mut self.stage, Stage::Reading)
                else {
                    return Ok(false);
                };
                if let Err(error) = opening.step(self, indexes) {
                    (self.stage, self.is_new) = (Stage::Resting, true);
                    return Err(error);
                }
                if opening.is_done() {
                    self.set_position(indexes, opening.from());
                } else {
                    self.stage = Stage::Opening(opening);
                }
                Ok(true)
            }
            Stage::Reading if self.position >= to => Ok(false),
            Stage::Reading => {
                let read = self.read_piece(indexes);
                match read {
                    Err(error) if is_lost(&error) => {
                        // As much as when nothing had been followed: what the log no longer tells, documents do.
                        tracing::warn!(database = %indexes.database.name(), %error,
                            "search indexes have missed changes");
                        self.begin_again(indexes)?;
                        Ok(true)
                    }
                    read => read,
                }
            }
        }
    }

    /// Begins anew with the namespaces that there are, as at the opening of the database.
    fn begin_again(&mut self, indexes: &Indexes) -> std::result::Result<(), StoreError> {
        let before = std::mem::take(&mut self.entries);
        self.stage = Stage::Resting;
        let begun = self.begin(indexes);
        for collection in before.into_keys() {
            if !self.entries.contains_key(&collection) {
                indexes.show(collection, None);
                if begun.is_ok() {
                    indexes.shared.remove(Removal::Index(indexes.place(collection)));
                }
            }
        }
        begun
    }

    /// Reads and applies some changes; says whether there were any.
    fn read_piece(&mut self, indexes: &Indexes) -> std::result::Result<bool, StoreError> {
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
        match prepared(live, entry.schema_at, lsn, change) {
            Ok(prepared) => piece.of.entry(collection).or_default().extend(prepared),
            Err(error) => {
                piece.of.remove(&collection);
                let why = format!("a change does not fit the index: {error} lsn={lsn}");
                tracing::error!(database = %indexes.database.name(), %collection, %why,
                    "a search index cannot follow");
                indexes.count_failure();
                self.build(indexes, collection, Why::trouble(why), None);
            }
        }
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

    fn apply_of(&self, indexes: &Indexes, collection: CollectionId, piece: &mut Piece) {
        let Some(changes) = piece.of.remove(&collection) else { return };
        let entry = self.entries.get(&collection);
        let Some(Phase::Live(live)) = entry.map(|entry| &entry.phase) else { return };
        let bound = |change: Option<&Prepared>| change.map_or(Lsn::ZERO, Prepared::lsn);
        let (first, last) = (bound(changes.first()), bound(changes.last()));
        let is_far = live.index.needed().is_none() && first.0 > live.index.applied().0 + FAR;
        live.index.apply(changes, last);
        if is_far {
            // The log may have nothing any more of where the durable state is: a start before the next flush would make
            // the index again.
            live.flush_soon.store(true, Ordering::Release);
            indexes.shared.segments.wake();
        }
        if live.index.unindexed_bytes() >= indexes.shared.options.index.memtable_bytes {
            indexes.shared.segments.wake();
        }
    }

    fn apply_all(&self, indexes: &Indexes, piece: &mut Piece) {
        let collections: Vec<CollectionId> = piece.of.keys().copied().collect();
        for collection in collections {
            self.apply_of(indexes, collection, piece);
        }
    }

    /// Lets go of the log as far as nothing of it is needed after a start.
    pub(super) fn update_hold(&mut self, indexes: &Indexes) {
        match &self.stage {
            Stage::Resting | Stage::Opening(_) => return,
            Stage::Reading if self.entries.is_empty() => {
                self.rest();
                self.hold = None;
                return;
            }
            Stage::Reading => {}
        }
        let mut low = self.position;
        for entry in self.entries.values() {
            match &entry.phase {
                Phase::Live(live) => low = low.min(live.index.needed().unwrap_or(low)),
                // It is not known what they need.
                Phase::Failed(Failure { again: Some((_, Retry::Open)), .. }) | Phase::Unopened => {
                    return;
                }
                Phase::Building { .. } | Phase::Failed(_) => {}
            }
        }
        self.hold_from(indexes, low);
        if let Some(hold) = &self.hold {
            hold.advance(low);
        }
    }

    /// Keeps the log from a position on, which may be an earlier one than before: somebody else has kept it until now.
    pub(super) fn hold_from(&mut self, indexes: &Indexes, position: Lsn) {
        let is_held = |hold: &ChangesHold| !hold.is_let_go() && hold.position() <= position;
        if !self.hold.as_ref().is_some_and(is_held) {
            self.hold = Some(indexes.database.hold_changes(READER, position));
        }
    }
}

impl Phase {
    pub(super) fn shown(&self) -> Shown {
        match self {
            Self::Unopened => Shown::Opening,
            Self::Live(live) => Shown::Live(Arc::clone(live)),
            Self::Building { progress, why, .. } => {
                Shown::Building(Arc::clone(progress), why.clone())
            }
            Self::Failed(failure) => Shown::Failed(Arc::clone(&failure.why)),
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
) -> std::result::Result<Option<Prepared>, search::error::SearchError> {
    of_past(Prepared::of(&live.index.preparer(), lsn, change), schema_at, lsn, change)
}

/// A version that does not fit a schema which was set later: all versions that were alive then were found to fit, so
/// this one had died, and all that is left of it is what it replaced.
pub(super) fn of_past(
    prepared: std::result::Result<Option<Prepared>, search::error::SearchError>,
    schema_at: Lsn,
    lsn: Lsn,
    change: &Change,
) -> std::result::Result<Option<Prepared>, search::error::SearchError> {
    match (prepared, change) {
        (Err(_), Change::Put { replaces, .. }) if lsn <= schema_at => {
            Ok(Some(Prepared::Delete { lsn, replaces: *replaces }))
        }
        (prepared, _) => prepared,
    }
}

/// Whether changes are gone for good.
fn is_lost(error: &StoreError) -> bool {
    matches!(error.code(), Code::LsnTrimmed | Code::WalCorrupt)
}

impl Indexes {
    /// Shows the state of an index to those who ask.
    pub(super) fn show(&self, collection: CollectionId, shown: Option<Shown>) {
        let mut all = self.shown.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = match shown {
            Some(shown) => all.insert(collection, shown),
            None => all.remove(&collection),
        };
        let kept = match (&before, all.get(&collection).and_then(Shown::live)) {
            (Some(Shown::Live(before)), Some(live)) => Arc::ptr_eq(before, live),
            _ => false,
        };
        drop(all);
        if let Some(before) = before.filter(|_| !kept) {
            let _busy = lock(&self.shared.busy);
            before.let_go();
        }
    }

    pub(super) fn count_failure(&self) {
        self.shared.counts.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Applies everything up to a position; says whether that was possible. `wanted` is a collection that has a search
    /// schema: where nothing is followed yet, it begins.
    pub(super) fn reach(
        &self,
        to: Lsn,
        wanted: Option<CollectionId>,
        go_on: &dyn Fn() -> Result<()>,
    ) -> Result<bool> {
        let mut is_synced = false;
        loop {
            go_on()?;
            if self.is_closed() {
                return Ok(false);
            }
            let mut following = lock(&self.following);
            if self.is_closed() {
                return Ok(false);
            }
            let is_wanted = wanted.is_some_and(|wanted| !following.entries.contains_key(&wanted));
            if following.is_resting() && !is_wanted {
                return Ok(true);
            }
            match following.try_advance(self, to) {
                None => return Ok(false),
                Some(true) => {}
                Some(false) if following.is_resting() => return Ok(true),
                Some(false) if following.position >= to => return Ok(true),
                Some(false) if is_synced => return Ok(false),
                // What is visible and not durable is not in the feed.
                Some(false) => {
                    drop(following);
                    is_synced = true;
                    if self.database.durable() < to && self.database.sync().is_err() {
                        return Ok(false);
                    }
                }
            }
        }
    }
}
