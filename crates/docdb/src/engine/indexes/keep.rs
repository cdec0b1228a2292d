//! The thread `indexes`: it reads the feeds that nobody reads, makes indexes of documents, and tries again what
//! failed. It looks at every open database in turn and does a piece of work for each, so that none waits for the
//! end of another's.

use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use base::words::CollectionId;

use super::build::Built;
use super::follow::{Failure, Phase, Retry};
use super::{Indexes, Shared, lock};
use crate::engine::namespaces::schema_property;

/// How long it waits when there was nothing to do.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Wakes a thread, and ends it.
#[derive(Debug, Default)]
pub(super) struct Signal {
    state: Mutex<Wanted>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Wanted {
    look: bool,
    stop: bool,
}

impl Signal {
    /// Has it look now.
    pub(super) fn wake(&self) {
        lock(&self.state).look = true;
        self.changed.notify_all();
    }

    /// Has it end.
    pub(super) fn stop(&self) {
        lock(&self.state).stop = true;
        self.changed.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        lock(&self.state).stop
    }

    /// Waits until it is woken or `time` is over; says whether to go on.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let state = lock(&self.state);
        let waited =
            self.changed.wait_timeout_while(state, time, |state| !state.look && !state.stop);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.look = false;
        !state.stop
    }
}

/// The thread.
pub(super) fn run(shared: &Shared) {
    let mut is_busy = false;
    while !shared.keeper.is_stopped() {
        if !is_busy && !shared.keeper.wait(LOOK_AGAIN) {
            return;
        }
        is_busy = false;
        for indexes in shared.all() {
            if shared.keeper.is_stopped() {
                return;
            }
            is_busy |= indexes.keep();
        }
    }
}

impl Indexes {
    /// Does a piece of what there is to do; says whether there may be more.
    fn keep(&self) -> bool {
        if self.is_closed() {
            return false;
        }
        let has_read = self.read_on();
        if let Err(error) = self.open_again() {
            tracing::warn!(database = %self.database.name(), %error, "search indexes were not opened");
        }
        let has_built = self.build_on();
        lock(&self.following).update_hold(self);
        self.count_memory();
        has_read || has_built
    }

    /// Reads a piece of the feed; says whether there was one.
    fn read_on(&self) -> bool {
        let newest = self.database.durable();
        let mut following = lock(&self.following);
        let is_wanted = self.is_wanted.swap(false, Ordering::AcqRel) || following.is_new();
        if self.is_closed() || (following.is_resting() && !is_wanted) {
            return false;
        }
        following.try_advance(self, newest).unwrap_or(false)
    }

    /// Goes on with every index that is made of documents; says whether there is more to do at once.
    fn build_on(&self) -> bool {
        let mut builds = lock(&self.builds);
        self.begin_builds(&mut builds);
        let collections: Vec<CollectionId> = builds.keys().copied().collect();
        let mut is_busy = false;
        for collection in collections {
            if self.is_closed() || self.shared.keeper.is_stopped() {
                break;
            }
            let Some(build) = builds.get_mut(&collection) else { continue };
            match build.step(self) {
                Ok(Built::Partly) => is_busy = true,
                Ok(Built::Later) => {}
                Ok(Built::Wholly) => {
                    if let Some(build) = builds.remove(&collection) {
                        self.finish_build(collection, build);
                    }
                    is_busy = true;
                }
                Ok(Built::ForNothing) => {
                    builds.remove(&collection);
                }
                Err(error) => {
                    let times = builds.remove(&collection).map_or(0, |build| build.times());
                    self.build_failed(collection, &*error, times);
                }
            }
        }
        is_busy
    }

    /// The making of an index failed: it begins again, later.
    pub(super) fn build_failed(
        &self,
        collection: CollectionId,
        error: &dyn std::fmt::Display,
        times: u32,
    ) {
        if self.is_closed() {
            return;
        }
        // Of a collection that is gone the feed will tell.
        if self.database.property(collection, &schema_property()).is_ok() {
            self.count_failure();
            tracing::error!(database = %self.database.name(), %collection, %error,
                "a search index could not be made of the documents");
        }
        let mut following = lock(&self.following);
        let is_building = |phase: &Phase| matches!(phase, Phase::Building { .. });
        if following.entries.get(&collection).is_some_and(|entry| is_building(&entry.phase)) {
            let failure = self.failure(&error, times.saturating_add(1), Retry::Build);
            following.enter(self, collection, Phase::Failed(failure));
        }
    }

    /// Reserves the memory of what no segment has. It is there whether there is room for it or not; but then others
    /// are told that there is none.
    fn count_memory(&self) {
        let held: usize = {
            let shown = self.shown();
            shown
                .values()
                .filter_map(|shown| shown.live())
                .map(|live| live.index.unindexed_bytes())
                .sum()
        };
        let held = held as u64;
        let mut memory = lock(&self.memory);
        let before = memory.bytes();
        if held < before {
            memory.shrink(before - held);
        } else if memory.grow(held - before).is_err() {
            self.shared.is_short.store(true, Ordering::Release);
            self.shared.segments.wake();
        }
    }
}

/// Whether a failure is due to be built anew.
pub(super) fn is_due(phase: &Phase, now: base::clock::Instant) -> Option<u32> {
    match phase {
        Phase::Failed(Failure { again: Some((at, Retry::Build)), times, .. }) if *at <= now => {
            Some(*times)
        }
        Phase::Failed(_) | Phase::Unopened | Phase::Live(_) | Phase::Building { .. } => None,
    }
}
