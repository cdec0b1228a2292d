//! Reading the feed of a database and applying it to its indexes, a piece at a time, by whoever needs it.
//!
//! A database without a namespace is not read: its position moves with the log for nothing, and it begins when somebody
//! asks for an index, or writes where one will be ([`Following::is_resting`]).
//!
//! Start with [`Following::try_advance`]; `reach.rs` is who asks for it, `changes.rs` what is done with a piece.

mod changes;
mod entry;
mod reach;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base::clock::Instant;
use base::error::{Code, Coded as _};
use base::words::{CollectionId, Lsn};
use docstore::{ChangesHold, Feed, StoreError};
use search::schema::Schema;

use super::Indexes;
use super::opening::Opening;
use super::removal::Removal;
use super::state::Why;

pub(super) use changes::of_past;
pub(super) use entry::{Entry, Failure, Phase, Retry, is_due};

/// As whom indexes hold the log.
pub(super) const READER: &str = "search indexes";
/// How long nobody tries again after the feed could not be read.
const FEED_AGAIN: Duration = Duration::from_secs(1);

/// Where the indexes of a database are.
#[derive(Debug)]
pub(super) struct Following {
    stage: Stage,
    feed: Option<Feed>,
    /// All changes up to here are applied.
    position: Lsn,
    /// The last position that this database is known to have had.
    known: Lsn,
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

/// Whether the log can be read behind what the files of an index have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readable {
    /// As far as anybody knows.
    Perhaps,
    /// It was found that it cannot: what it does not tell, documents do.
    No,
}

impl Following {
    /// Of a database that has just been opened and ends at `known`.
    pub(super) fn new(hold: Option<ChangesHold>, known: Lsn) -> Self {
        Self {
            stage: Stage::Resting,
            feed: None,
            position: Lsn::ZERO,
            known,
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

    /// Whether the feed is read.
    pub(super) fn is_reading(&self) -> bool {
        matches!(self.stage, Stage::Reading)
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

    /// The last position that this database had when it was opened, or that was read since: no index of it knows of
    /// anything behind that.
    pub(super) fn known(&self) -> Lsn {
        self.known
    }

    pub(super) fn set_position(&mut self, indexes: &Indexes, to: Lsn) {
        self.position = to;
        self.known = self.known.max(to);
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
        match entry.phase {
            Phase::Live(_) => {}
            Phase::Building { .. } => indexes.shared.builder.wake(),
            Phase::Unopened | Phase::Failed(_) => indexes.shared.keeper.wake(),
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
        let Some(entry) = self.entries.get_mut(&collection) else { return };
        entry.generation = generation;
        let times = entry.phase.build_failures();
        tracing::info!(database = %indexes.database.name(), %collection, why = %why.text,
            "a search index is made of the documents");
        let progress = Arc::default();
        self.enter(indexes, collection, Phase::Building { progress, why, fresh, times });
    }

    /// A namespace is gone, and with it everything of its index.
    fn forget(&mut self, indexes: &Indexes, collection: CollectionId) {
        if self.entries.remove(&collection).is_some() {
            indexes.show(collection, None);
            indexes.shared.remove(Removal::Index(indexes.place(collection)));
        }
    }

    /// Begins with the namespaces that there are now.
    fn begin(&mut self, indexes: &Indexes, log: Readable) -> Result<(), StoreError> {
        // What is shown from here on stands somewhere behind it.
        self.set_position(indexes, Lsn::ZERO);
        self.feed = None;
        self.fresh.clear();
        if self.hold.is_none() {
            self.hold = Some(indexes.database.hold_changes(READER, Lsn::ZERO));
        }
        let opening = Opening::begin(self, indexes, log)?;
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
                self.put_off(indexes);
                if !matches!(error, StoreError::DbNotOpen(_)) {
                    indexes.count_failure();
                    tracing::error!(database = %indexes.database.name(), %error,
                        "the changes for search indexes cannot be read");
                }
                None
            }
        }
    }

    /// Does nothing for a while: something went wrong.
    pub(super) fn put_off(&mut self, indexes: &Indexes) {
        self.again = Some(indexes.shared.clock.now().after(FEED_AGAIN));
    }

    /// Does a piece of what has to be done to get to a position; says whether there was something to do.
    fn advance(&mut self, indexes: &Indexes, to: Lsn) -> Result<bool, StoreError> {
        match &mut self.stage {
            Stage::Resting => {
                self.begin_again(indexes, Readable::Perhaps)?;
                Ok(!self.is_resting())
            }
            Stage::Opening(_) => {
                // What fails begins anew.
                self.is_new = true;
                let Stage::Opening(mut opening) =
                    std::mem::replace(&mut self.stage, Stage::Resting)
                else {
                    return Ok(false);
                };
                opening.step(self, indexes)?;
                self.is_new = false;
                if opening.is_done() {
                    self.set_position(indexes, opening.from());
                    self.stage = Stage::Reading;
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
                        self.begin_again(indexes, Readable::No)?;
                        Ok(true)
                    }
                    read => read,
                }
            }
        }
    }

    /// Begins anew with the namespaces that there are, as at the opening of the database.
    pub(super) fn begin_again(
        &mut self,
        indexes: &Indexes,
        log: Readable,
    ) -> Result<(), StoreError> {
        let before = std::mem::take(&mut self.entries);
        self.stage = Stage::Resting;
        let begun = self.begin(indexes, log);
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

/// Whether changes are gone for good.
fn is_lost(error: &StoreError) -> bool {
    matches!(error.code(), Code::LsnTrimmed | Code::WalCorrupt)
}
