//! What is known of one namespace while its database is followed.

use std::sync::Arc;

use base::clock::Instant;
use base::words::Lsn;
use search::schema::Schema;

use super::super::state::{Live, Progress, Shown, Why};

/// A namespace.
#[derive(Debug)]
pub(in super::super) struct Entry {
    pub(in super::super) schema: Arc<Schema>,
    /// Up to where `schema` knows of changes of it.
    pub(in super::super) schema_at: Lsn,
    /// What the schema was made to be at or before `schema_at`, as the feed tells it once more.
    pub(super) past: Option<Schema>,
    pub(in super::super) phase: Phase,
    /// Tells this namespace from one that had its number's place before.
    pub(in super::super) generation: u64,
}

/// What there is of its index.
#[derive(Debug)]
pub(in super::super) enum Phase {
    /// It has not been opened.
    Unopened,
    /// It follows.
    Live(Arc<Live>),
    /// It is made of the documents; of none when it was made at this position and had none. How often that has failed
    /// in a row.
    Building { progress: Arc<Progress>, why: Why, fresh: Option<Lsn>, times: u32 },
    /// It failed.
    Failed(Failure),
}

/// An index that could not be opened or made.
#[derive(Debug, Clone)]
pub(in super::super) struct Failure {
    pub(in super::super) why: Arc<str>,
    /// How often in a row.
    pub(in super::super) times: u32,
    /// When it is tried again, and by what; never when nothing would help.
    pub(in super::super) again: Option<(Instant, Retry)>,
}

/// What is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Retry {
    Open,
    Build,
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
    /// How often making it anew has failed in a row.
    pub(super) fn build_failures(&self) -> u32 {
        match self {
            Self::Failed(Failure { again: Some((_, Retry::Build)), times, .. })
            | Self::Building { times, .. } => *times,
            Self::Failed(_) | Self::Unopened | Self::Live(_) => 0,
        }
    }
}

/// Whether something that failed is due to be tried again.
pub(in super::super) fn is_due(phase: &Phase, by: Retry, now: Instant) -> bool {
    match phase {
        Phase::Failed(Failure { again: Some((at, retry)), .. }) => *retry == by && *at <= now,
        Phase::Failed(Failure { again: None, .. })
        | Phase::Unopened
        | Phase::Live(_)
        | Phase::Building { .. } => false,
    }
}
