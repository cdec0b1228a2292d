//! The threads `flushes` and `segments`: one writes what indexes have in memory, the other merges and sweeps their
//! segments and deletes the files of those that are gone (`removal.rs`). A merge may take minutes, and what is written
//! meanwhile must be flushed: so there are two.
//!
//! They are the only ones that write to the place of an index that answers; while they do, the place is in
//! `Shared::busy`, and nobody else opens or publishes an index there.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base::error::Coded as _;
use base::words::CollectionId;
use search::index::{IndexError, Step};

use super::contain::{Panicked, contained};
use super::follow::Phase;
use super::removal::remove_some;
use super::state::{Failing, Live, Why};
use super::trouble::{Trouble, of as trouble_of};
use super::{Indexes, Shared, lock};

/// How long they wait when there was nothing to do.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Steps of one index in one look.
const STEPS_MAX: usize = 4;

/// What one of the threads does.
#[derive(Debug, Clone, Copy)]
struct Task {
    step: fn(&Shared, &Live) -> Result<Step, IndexError>,
    /// Where its failures are told.
    failing: fn(&Live) -> &Failing,
    is_stopped: fn(&Shared) -> bool,
}

const FLUSH: Task = Task {
    step: flush,
    failing: |live| &live.flush_failure,
    is_stopped: |shared| shared.flusher.is_stopped(),
};

const MERGE: Task = Task {
    step: merge,
    failing: |live| &live.merge_failure,
    is_stopped: |shared| shared.merger.is_stopped(),
};

/// The thread `flushes`.
pub(super) fn run_flushes(shared: &Shared) {
    while shared.flusher.wait(LOOK_AGAIN) {
        FLUSH.look(shared);
        shared.is_short.store(false, Ordering::Release);
    }
}

/// The thread `segments`.
pub(super) fn run_merges(shared: &Shared) {
    while shared.merger.wait(LOOK_AGAIN) {
        MERGE.look(shared);
        remove_some(shared);
    }
}

impl Task {
    /// Does what is due for every index.
    fn look(self, shared: &Shared) {
        for indexes in shared.all() {
            for (collection, live) in indexes.all_live() {
                if (self.is_stopped)(shared) {
                    return;
                }
                self.work(shared, &indexes, collection, &live);
            }
        }
    }

    /// Does what is due for one index.
    fn work(self, shared: &Shared, indexes: &Indexes, collection: CollectionId, live: &Live) {
        for _ in 0..STEPS_MAX {
            let is_current = || live.is_current.load(Ordering::Acquire);
            let Some(_writing) = shared.busy.begin(live.place, is_current) else { return };
            let failing = (self.failing)(live);
            match contained(|| (self.step)(shared, live)) {
                Ok(Ok(step)) => {
                    failing.note(None);
                    if step == Step::Idle {
                        return;
                    }
                }
                Ok(Err(error)) => {
                    let is_news = failing.note(Some(error.to_string().into()));
                    return indexes.background_failed(collection, &error, is_news);
                }
                Err(panicked) => return indexes.defective(collection, &panicked),
            }
            if (self.is_stopped)(shared) {
                return;
            }
        }
    }
}

fn flush(shared: &Shared, live: &Live) -> Result<Step, IndexError> {
    let index = &live.index;
    let is_asked = live.flush_soon.swap(false, Ordering::AcqRel);
    let is_short = shared.is_short.load(Ordering::Acquire);
    if is_asked || (is_short && index.unindexed_bytes() > 0) {
        index.flush_all()?;
    }
    let step = index.flush_step()?;
    if step == Step::Done {
        // There is one more, and perhaps too many.
        live.sweep_later(shared);
        shared.merger.wake();
    }
    Ok(step)
}

fn merge(shared: &Shared, live: &Live) -> Result<Step, IndexError> {
    if live.index.compact_step()? == Step::Done {
        live.sweep_later(shared);
        return Ok(Step::Done);
    }
    let now = shared.clock.now();
    if lock(&live.sweep_at).take_if(|at| *at <= now).is_some() {
        return live.index.sweep_step();
    }
    Ok(Step::Idle)
}

impl Live {
    /// What was replaced may go once the grace is over.
    fn sweep_later(&self, shared: &Shared) {
        let at = shared.clock.now().after(shared.options.index.grace);
        *lock(&self.sweep_at) = Some(at);
    }
}

impl Indexes {
    /// All indexes that follow.
    fn all_live(&self) -> Vec<(CollectionId, Arc<Live>)> {
        let shown = self.shown();
        let live = shown.iter().filter_map(|(of, shown)| Some((*of, Arc::clone(shown.live()?))));
        live.collect()
    }

    /// A query failed in an index that follows. One whose files are damaged is made again.
    pub(super) fn query_failed(&self, collection: CollectionId, error: &IndexError) {
        let (name, code) = (self.database.name(), error.code().name());
        if !self.is_made_again(collection, error) && !matches!(error, IndexError::Search(_)) {
            tracing::warn!(database = %name, %collection, %error, code,
                "a search index could not be asked");
        }
    }

    /// Background work failed on an index that follows. It is tried again; one whose files are damaged is made
    /// again.
    fn background_failed(&self, collection: CollectionId, error: &IndexError, is_news: bool) {
        let (name, code) = (self.database.name(), error.code().name());
        if !self.is_made_again(collection, error) && is_news {
            tracing::warn!(database = %name, %collection, %error, code,
                "background work on a search index failed, and is tried again");
        }
    }

    /// Counts a failure, and has an index whose files are damaged made again; says whether it is such a one.
    fn is_made_again(&self, collection: CollectionId, error: &IndexError) -> bool {
        if self.is_closed() || matches!(error, IndexError::Search(_)) {
            return false;
        }
        self.count_failure();
        if trouble_of(error) != Trouble::Useless {
            return false;
        }
        self.make_again(collection, &error);
        true
    }

    /// Work on an index has panicked: nobody knows what it has.
    pub(super) fn defective(&self, collection: CollectionId, panicked: &Panicked) {
        self.count_failure();
        self.make_again(collection, panicked);
    }

    fn make_again(&self, collection: CollectionId, why: &dyn std::fmt::Display) {
        let mut following = lock(&self.following);
        let entry = following.entries.get(&collection);
        if !self.is_closed() && entry.is_some_and(|entry| matches!(entry.phase, Phase::Live(_))) {
            tracing::error!(database = %self.database.name(), %collection, error = %why,
                "a search index is damaged");
            following.build(self, collection, Why::trouble(why.to_string()), None);
        }
    }
}
