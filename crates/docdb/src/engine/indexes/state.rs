//! What others see of an index while it is opened, made, used and given up.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use base::clock::Instant;
use search::index::Index;
use search::manifest::Place;

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
}

/// How far the making of an index is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) documents: AtomicU64,
    pub(super) of: AtomicU64,
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
    pub(super) fn trouble(&self) -> Option<&Arc<str>> {
        match self {
            Self::Building(_, why) if why.is_trouble => Some(&why.text),
            Self::Failed(why) => Some(why),
            Self::Opening | Self::Live(_) | Self::Building(..) => None,
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
