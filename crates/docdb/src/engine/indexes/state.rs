//! What others see of an index while it is opened, made, used and given up; and where somebody writes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use base::clock::Instant;
use base::words::DatabaseId;
use search::index::Index;
use search::manifest::Place;

use super::lock;

/// What is said of the index of a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexState {
    /// It was found, or not yet looked for: it is not known what it has.
    Opening,
    /// It answers.
    Ready,
    /// It is made of the documents.
    Building {
        /// Documents that it has.
        documents: u64,
        /// Documents that there were when that began.
        of: u64,
        /// Why it is.
        why: Arc<str>,
    },
    /// It could not be opened or made. What may pass is tried again.
    Failed {
        /// Why.
        why: Arc<str>,
    },
}

/// An index that is open and follows the changes.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) index: Arc<Index>,
    pub(super) place: Place,
    /// Whether it is the index of its place still. Changed under `Shared::busy`.
    pub(super) is_current: AtomicBool,
    /// Whether what it has in memory should be flushed without waiting for more.
    pub(super) flush_soon: AtomicBool,
    /// When files may have become superfluous for good.
    pub(super) sweep_at: Mutex<Option<Instant>>,
    /// Why its last flush failed, if it did.
    pub(super) flush_failure: Failing,
    /// Why its last compaction failed, if it did.
    pub(super) merge_failure: Failing,
}

/// Why the last of something failed, if it did.
#[derive(Debug, Default)]
pub(super) struct Failing(Mutex<Option<Arc<str>>>);

impl Failing {
    /// It went well, or failed for this; says whether that is news.
    pub(super) fn note(&self, why: Option<Arc<str>>) -> bool {
        let mut now = lock(&self.0);
        let is_news = *now != why;
        *now = why;
        is_news
    }

    fn why(&self) -> Option<Arc<str>> {
        lock(&self.0).clone()
    }
}

/// How far the making of an index is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) documents: AtomicU64,
    pub(super) of: AtomicU64,
    /// Bytes in memory that no segment has.
    pub(super) bytes: AtomicU64,
    /// The last change that it has of the feed; 0 as long as it takes documents.
    pub(super) position: AtomicU64,
}

/// The state of an index, for those who do not change it.
#[derive(Debug)]
pub(super) enum Shown {
    Opening,
    Live(Arc<Live>),
    Building(Arc<Progress>, Why),
    Failed(Arc<str>),
}

/// Why an index is made.
#[derive(Debug, Clone)]
pub(super) struct Why {
    pub(super) text: Arc<str>,
    /// Whether something went wrong, and not only something new began.
    pub(super) is_trouble: bool,
}

impl Why {
    /// Because something began or was changed.
    pub(super) fn of_course(text: &str) -> Self {
        Self { text: text.into(), is_trouble: false }
    }

    /// Because something went wrong.
    pub(super) fn trouble(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), is_trouble: true }
    }
}

impl Shown {
    pub(super) fn live(&self) -> Option<&Arc<Live>> {
        match self {
            Self::Live(live) => Some(live),
            Self::Opening | Self::Building(..) | Self::Failed(_) => None,
        }
    }

    /// What is wrong with it, if something is.
    pub(super) fn trouble(&self) -> Option<Arc<str>> {
        match self {
            Self::Building(_, why) if why.is_trouble => Some(Arc::clone(&why.text)),
            Self::Failed(why) => Some(Arc::clone(why)),
            Self::Live(live) => live.flush_failure.why().or_else(|| live.merge_failure.why()),
            Self::Opening | Self::Building(..) => None,
        }
    }

    /// Bytes in memory that no segment has.
    pub(super) fn unindexed_bytes(&self) -> u64 {
        match self {
            Self::Live(live) => live.index.unindexed_bytes() as u64,
            Self::Building(progress, _) => progress.bytes.load(Ordering::Relaxed),
            Self::Opening | Self::Failed(_) => 0,
        }
    }

    /// No step of background work begins on it any more.
    pub(super) fn let_go(&self) {
        if let Self::Live(live) = self {
            live.is_current.store(false, Ordering::Release);
        }
    }

    pub(super) fn state(&self) -> IndexState {
        match self {
            Self::Opening => IndexState::Opening,
            Self::Live(_) => IndexState::Ready,
            Self::Building(progress, why) => IndexState::Building {
                documents: progress.documents.load(Ordering::Relaxed),
                of: progress.of.load(Ordering::Relaxed),
                why: Arc::clone(&why.text),
            },
            Self::Failed(why) => IndexState::Failed { why: Arc::clone(why) },
        }
    }
}

/// The places at which somebody writes or deletes, and how many do.
#[derive(Debug, Default)]
pub(super) struct Busy(Mutex<HashMap<Place, u32>>);

/// Somebody writes at a place for as long as this lives.
#[derive(Debug)]
pub(super) struct Writing<'a> {
    busy: &'a Busy,
    place: Place,
}

impl Busy {
    /// Whether somebody writes there.
    pub(super) fn has(&self, place: &Place) -> bool {
        lock(&self.0).contains_key(place)
    }

    /// Whether somebody writes at a place of a database.
    pub(super) fn has_of(&self, database: DatabaseId) -> bool {
        lock(&self.0).keys().any(|place| place.database == database)
    }

    /// Begins to write at a place, beside others who do, if it may.
    pub(super) fn begin(&self, place: Place, may: impl FnOnce() -> bool) -> Option<Writing<'_>> {
        let mut places = lock(&self.0);
        may().then(|| {
            *places.entry(place).or_default() += 1;
            Writing { busy: self, place }
        })
    }

    /// Begins to write at a place where nobody else does.
    pub(super) fn begin_alone(&self, place: Place) -> Option<Writing<'_>> {
        let mut places = lock(&self.0);
        if places.contains_key(&place) {
            return None;
        }
        places.insert(place, 1);
        Some(Writing { busy: self, place })
    }

    /// Nobody begins while this is done.
    pub(super) fn while_none_begins(&self, done: impl FnOnce()) {
        let _places = lock(&self.0);
        done();
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut places = lock(&self.busy.0);
        if let Some(count) = places.get_mut(&self.place) {
            *count -= 1;
            if *count == 0 {
                places.remove(&self.place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use base::words::CollectionId;

    use super::*;

    #[test]
    fn a_place_is_busy_until_the_last_writer_has_ended() {
        let place =
            Place { database: DatabaseId::from_bytes([1; 16]), collection: CollectionId(1) };
        let busy = Busy::default();
        assert!(busy.begin(place, || false).is_none() && !busy.has(&place));
        let first = busy.begin(place, || true).unwrap();
        let second = busy.begin(place, || true).unwrap();
        drop(first);
        assert!(busy.has(&place) && busy.begin_alone(place).is_none());
        assert!(busy.has_of(place.database));
        assert!(!busy.has_of(DatabaseId::from_bytes([2; 16])));
        drop(second);
        let alone = busy.begin_alone(place).unwrap();
        assert!(busy.has(&place));
        drop(alone);
        assert!(!busy.has(&place));
    }

    #[test]
    fn a_failure_is_news_once() {
        let failing = Failing::default();
        assert!(!failing.note(None));
        assert!(failing.note(Some("full".into())) && !failing.note(Some("full".into())));
        assert_eq!(failing.why().as_deref(), Some("full"));
        assert!(failing.note(None) && failing.why().is_none());
    }
}
