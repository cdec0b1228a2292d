//! The indexes of one open database: what is shown of them, and their states for queries.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use base::memory::Reservation;
use base::words::{CollectionId, Lsn};
use docstore::Database;
use search::index::Snapshot;
use search::manifest::Place;
use search::schema::Schema;

use super::build::Build;
use super::follow::Following;
use super::state::{IndexState, Live, Shown};
use super::{Shared, lock};
use crate::engine::error::Result;

/// How often a query tries again whose index has gone back for another one.
const ROUNDS: usize = 4;

/// The indexes of one open database.
#[derive(Debug)]
pub(in crate::engine) struct Indexes {
    pub(super) shared: Arc<Shared>,
    pub(super) database: Database,
    pub(super) following: Mutex<Following>,
    pub(super) builds: Mutex<BTreeMap<CollectionId, Build>>,
    shown: RwLock<HashMap<CollectionId, Shown>>,
    /// The position of `following`.
    pub(super) position: AtomicU64,
    is_closed: AtomicBool,
    /// Whether there may be a namespace though none is followed.
    pub(super) is_wanted: AtomicBool,
    pub(super) memory: Mutex<Reservation>,
}

/// What is known of the indexes of a database, for health and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexesStatus {
    /// Those that answer.
    pub ready: u64,
    /// Those that are opened or made.
    pub building: u64,
    /// Those that cannot be opened or made for now.
    pub failed: u64,
    /// Those with which something is wrong, made again or not, and what: the first few.
    pub troubled: Vec<(CollectionId, Arc<str>)>,
    /// Segments.
    pub segments: u64,
    /// Bytes of segments.
    pub segment_bytes: u64,
    /// Rows that are alive in indexes that answer.
    pub rows: u64,
    /// Bytes in memory that no segment has, of indexes in the making too.
    pub unindexed_bytes: u64,
    /// Changes that are not applied yet.
    pub lag: u64,
}

impl Indexes {
    pub(super) fn new(shared: &Arc<Shared>, database: &Database) -> Self {
        let hold = database.take_opening_hold();
        let known = database.position().max(database.durable());
        let memory = shared.budget.reserve("search", 0).expect("nothing always fits");
        Self {
            shared: Arc::clone(shared),
            database: database.clone(),
            following: Mutex::new(Following::new(hold, known)),
            builds: Mutex::default(),
            shown: RwLock::default(),
            position: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            is_wanted: AtomicBool::new(false),
            memory: Mutex::new(memory),
        }
    }

    /// Nothing is read or made any more when this returns.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        // Waits for the step of whoever makes an index, and then for whoever reads the feed at the moment.
        lock(&self.builds).clear();
        lock(&self.following).rest();
        self.shared.busy.while_none_begins(|| {
            for shown in self.shown().values() {
                shown.let_go();
            }
        });
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    pub(super) fn position(&self) -> Lsn {
        Lsn(self.position.load(Ordering::Acquire))
    }

    pub(super) fn place(&self, collection: CollectionId) -> Place {
        Place { database: self.database.id(), collection }
    }

    pub(super) fn shown(&self) -> RwLockReadGuard<'_, HashMap<CollectionId, Shown>> {
        self.shown.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn live(&self, collection: CollectionId) -> Option<Arc<Live>> {
        self.shown().get(&collection)?.live().cloned()
    }

    pub(super) fn state(&self, collection: CollectionId) -> Option<IndexState> {
        self.shown().get(&collection).map(Shown::state)
    }

    /// Shows the state of an index to those who ask.
    pub(super) fn show(&self, collection: CollectionId, shown: Option<Shown>) {
        let mut all = self.shown.write().unwrap_or_else(PoisonError::into_inner);
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
            self.shared.busy.while_none_begins(|| before.let_go());
        }
    }

    pub(super) fn count_failure(&self) {
        self.shared.counts.failed();
    }

    /// As [`super::Indexing::snapshot`].
    pub(super) fn snapshot(
        &self,
        (collection, schema): (CollectionId, &Schema),
        at: Lsn,
        go_on: &dyn Fn() -> Result<()>,
    ) -> Result<Option<Snapshot>> {
        for _ in 0..ROUNDS {
            if !self.reach(at, collection, go_on)? {
                return Ok(None);
            }
            let Some(live) = self.live(collection) else { return Ok(None) };
            // Asked for after the index, which has everything up to there: see `Following::go_back`.
            let reached = at.min(self.position());
            if live.index.position() < reached {
                live.index.apply(Vec::new(), reached);
            }
            let snapshot = live.index.snapshot();
            if snapshot.position() >= at {
                let is_fit = !schema.needs_build(snapshot.schema());
                return Ok(Some(snapshot).filter(|_| is_fit));
            }
        }
        Ok(None)
    }

    pub(super) fn status(&self) -> IndexesStatus {
        const NAMED_MAX: usize = 10;
        let mut status = IndexesStatus::default();
        for (collection, shown) in &*self.shown() {
            match shown.state() {
                IndexState::Ready => status.ready += 1,
                IndexState::Opening | IndexState::Building { .. } => status.building += 1,
                IndexState::Failed { .. } => status.failed += 1,
            }
            status.troubled.extend(shown.trouble().map(|why| (*collection, why)));
            status.unindexed_bytes += shown.unindexed_bytes();
            let Some(live) = shown.live() else { continue };
            let held = live.index.status();
            status.segments += held.segments;
            status.segment_bytes += held.segment_bytes;
            status.rows += held.rows;
        }
        status.troubled.sort_unstable_by_key(|(collection, _)| *collection);
        status.troubled.truncate(NAMED_MAX);
        if status != IndexesStatus::default() {
            status.lag = self.lag();
        }
        status
    }
}
