//! Opening the indexes of the namespaces that a database has: at its opening, and when its changes were lost.
//!
//! All are opened before the feed is read, from the lowest position that one of them needs: so it is read once for all.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use base::error::{Category, Code, Coded as _};
use base::words::{CollectionId, Lsn};
use docstore::StoreError;
use search::index::{Index, IndexError};
use search::manifest::remove_all;
use search::schema::Schema;

use super::follow::{Failure, Following, Phase, Readable, Retry, is_due};
use super::state::{Failing, Live, Why};
use super::trouble::{Trouble, of as trouble_of};
use super::{Indexes, lock};
use crate::engine::namespaces::schema_property;

/// Indexes that are opened in one step.
const STEP: usize = 16;
/// After so many failures in a row the files of an index that might be read some day are given up.
const TRIES_MAX: u32 = 4;
const AGAIN_FIRST: Duration = Duration::from_millis(250);
const AGAIN_LONGEST: Duration = Duration::from_secs(60);

/// Indexes that are to be opened.
#[derive(Debug)]
pub(super) struct Opening {
    left: Vec<(CollectionId, Lsn)>,
    /// The position of the database at the beginning.
    at: Lsn,
    /// Where the feed is to be read from.
    from: Lsn,
    log: Readable,
}

impl Opening {
    /// Finds the namespaces that there are.
    pub(super) fn begin(
        following: &mut Following,
        indexes: &Indexes,
        log: Readable,
    ) -> Result<Self, StoreError> {
        let database = &indexes.database;
        let at = database.durable().min(database.position());
        let mut left = Vec::new();
        for record in database.collections()? {
            let property = record.properties.iter().find(|(name, _)| *name == schema_property());
            let Some((_, value)) = property else { continue };
            match Schema::from_stored(value.as_bytes()) {
                Ok(schema) => {
                    let to = (record.collection, Arc::new(schema), at);
                    following.add(indexes, to, Phase::Unopened);
                    left.push((record.collection, record.last_change));
                }
                // Nothing can be written there, and nobody can ask.
                Err(error) => tracing::error!(database = %database.name(), %error,
                    collection = %record.name, "a search schema is not understood"),
            }
        }
        indexes.remove_orphans(&left.iter().map(|(collection, _)| *collection).collect());
        Ok(Self { left, at, from: at, log })
    }

    pub(super) fn is_done(&self) -> bool {
        self.left.is_empty()
    }

    pub(super) fn from(&self) -> Lsn {
        self.from
    }

    /// Opens some.
    pub(super) fn step(
        &mut self,
        following: &mut Following,
        indexes: &Indexes,
    ) -> Result<(), StoreError> {
        let some = self.left.len().saturating_sub(STEP);
        for (collection, last_change) in self.left.split_off(some) {
            let at = (last_change, self.at);
            if let Some(from) = indexes.open_index(following, collection, at, self.log)? {
                self.from = self.from.min(from);
            }
        }
        Ok(())
    }
}

impl Indexes {
    /// Opens the index of a collection; where the feed is to be read from for it. `last_change` is that of the collection as it was at
    /// the position `at` or later.
    pub(super) fn open_index(
        &self,
        following: &mut Following,
        collection: CollectionId,
        (last_change, at): (Lsn, Lsn),
        log: Readable,
    ) -> Result<Option<Lsn>, StoreError> {
        let Some(entry) = following.entries.get(&collection) else { return Ok(None) };
        if self.shared.busy.has(&self.place(collection)) {
            // What was done there when the database was closed is not finished; it is looked at again.
            return Ok(None);
        }
        let schema = Schema::clone(&entry.schema);
        let times = match &entry.phase {
            Phase::Failed(failure) => failure.times,
            Phase::Unopened | Phase::Live(_) | Phase::Building { .. } => 0,
        };
        match self.open_files(collection, schema) {
            Ok(Some(index)) => {
                let applied = index.applied();
                if applied > following.known() {
                    self.forget_history(following, collection, times);
                    return Ok(None);
                }
                let from = if last_change <= applied { at } else { applied.min(at) };
                if from < at && (log == Readable::No || !self.has_changes(applied)?) {
                    let why = Why::of_course("the log has no longer what it lacks");
                    following.build(self, collection, why, None);
                    return Ok(None);
                }
                index.apply(Vec::new(), from);
                following.go_back(self, from);
                following.enter(self, collection, Phase::Live(self.new_live(collection, index)));
                Ok(Some(from))
            }
            Ok(None) => {
                following.build(self, collection, Why::of_course("there was none"), None);
                Ok(None)
            }
            Err(error) => {
                self.not_opened(following, collection, (&error, times));
                Ok(None)
            }
        }
    }

    /// The files of an index know of changes that this database has never had, or has lost. What they have is of no
    /// use, and they must be gone before the positions are given again.
    fn forget_history(&self, following: &mut Following, collection: CollectionId, times: u32) {
        let place = self.place(collection);
        let removed = match self.shared.busy.begin_alone(place) {
            Some(_writing) => {
                remove_all(&*self.shared.backing.store, &place).map_err(IndexError::from)
            }
            None => Err(IndexError::Read(Arc::new(std::io::ErrorKind::WouldBlock.into()))),
        };
        let why = Why::trouble("it was of another history of the database");
        match removed {
            Ok(_) => following.build(self, collection, why, None),
            Err(error) => {
                self.count_failure();
                tracing::error!(database = %self.database.name(), %collection, %error,
                    "a search index of another history was not removed");
                let failure = self.failure(&error, times.saturating_add(1), Retry::Open);
                following.enter(self, collection, Phase::Failed(failure));
            }
        }
    }

    fn open_files(
        &self,
        collection: CollectionId,
        schema: Schema,
    ) -> Result<Option<Index>, IndexError> {
        let (shared, place) = (&self.shared, self.place(collection));
        let (backing, options) = (shared.backing.clone(), shared.options.index.clone());
        Index::open(backing, place, schema, options, shared.environment())
    }

    /// Whether the log has the changes behind a position.
    fn has_changes(&self, position: Lsn) -> Result<bool, StoreError> {
        let mut feed = self.database.changes(position)?;
        match feed.next() {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.code(), Code::LsnTrimmed | Code::WalCorrupt) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn new_live(&self, collection: CollectionId, index: Index) -> Arc<Live> {
        let shared = &self.shared;
        // What a crash has left is swept then.
        let sweep_at = Some(shared.clock.now().after(shared.options.index.grace));
        Arc::new(Live {
            index: Arc::new(index),
            place: self.place(collection),
            is_current: AtomicBool::new(true),
            flush_soon: AtomicBool::new(false),
            sweep_at: Mutex::new(sweep_at),
            flush_failure: Failing::default(),
            merge_failure: Failing::default(),
        })
    }

    fn not_opened(
        &self,
        following: &mut Following,
        collection: CollectionId,
        (error, times): (&IndexError, u32),
    ) {
        self.count_failure();
        let (name, times) = (self.database.name(), times.saturating_add(1));
        let is_near = error.category() != Category::Network;
        let trouble = match trouble_of(error) {
            Trouble::MayPass if is_near && times >= TRIES_MAX => Trouble::Useless,
            trouble @ (Trouble::Useless | Trouble::MayPass | Trouble::Hopeless) => trouble,
        };
        match trouble {
            Trouble::Useless => {
                tracing::error!(database = %name, %collection, %error, code = error.code().name(),
                    "a search index cannot be used");
                let is_outdated = matches!(error, IndexError::Outdated);
                let why = match is_outdated {
                    true => Why::of_course("the search schema was changed"),
                    false => Why::trouble(error.to_string()),
                };
                following.build(self, collection, why, None);
            }
            Trouble::MayPass => {
                tracing::warn!(database = %name, %collection, %error, "a search index was not opened");
                let failure = self.failure(error, times, Retry::Open);
                following.enter(self, collection, Phase::Failed(failure));
            }
            Trouble::Hopeless => {
                tracing::error!(database = %name, %collection, %error, code = error.code().name(),
                    "a search index cannot be used, and is left alone");
                let why = error.to_string().into();
                let failure = Failure { why, times, again: None };
                following.enter(self, collection, Phase::Failed(failure));
            }
        }
    }

    /// A failure that is tried again, later each time.
    pub(super) fn failure(
        &self,
        error: &dyn std::fmt::Display,
        times: u32,
        retry: Retry,
    ) -> Failure {
        let doubled = 2_u32.saturating_pow(times.saturating_sub(1).min(16));
        let wait = AGAIN_FIRST.saturating_mul(doubled).min(AGAIN_LONGEST);
        let again = Some((self.shared.clock.now().after(wait), retry));
        Failure { why: error.to_string().into(), times, again }
    }

    /// Tries again what could not be opened and is due.
    pub(super) fn open_again(&self) -> Result<(), StoreError> {
        let now = self.shared.clock.now();
        let mut following = lock(&self.following);
        // One that was not opened with the others had something written at its place.
        let is_left = |phase: &Phase| following.is_reading() && matches!(phase, Phase::Unopened);
        let due: Vec<CollectionId> = following
            .entries
            .iter()
            .filter(|(_, entry)| is_left(&entry.phase) || is_due(&entry.phase, Retry::Open, now))
            .map(|(collection, _)| *collection)
            .collect();
        for collection in due {
            if self.is_closed() {
                break;
            }
            let at = following.position();
            let records = self.database.collections()?;
            let found = records.iter().find(|record| record.collection == collection);
            // Dropped: the feed will tell.
            let Some(record) = found else { continue };
            let last_change = record.last_change;
            let at = (last_change, at);
            self.open_index(&mut following, collection, at, Readable::Perhaps)?;
        }
        Ok(())
    }
}
