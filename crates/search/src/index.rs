//! The index of a collection: memtables and segments over its changes, asked as one.
//!
//! Changes come in the order of their positions ([`Index::apply`]), prepared beforehand ([`Prepared`]). New versions
//! stand in a memtable and are searched exactly; a flush makes a segment of them, and a compaction one segment of
//! several. A query asks a [`Snapshot`]: one state of all parts, which nothing changes any more.
//!
//! The index is derived and has no log. What it has made durable is the state at one position, [`Index::applied`];
//! after a start whoever owns it applies the changes since. When it is lost, damaged or made for another schema, it
//! is made again from the documents ([`Rebuild`]), while the old one goes on answering.
//!
//! Everything is synchronous: background work is a call ([`Index::background_step`]), made by the thread of
//! [`Background`] in production and by tests in any order.
//!
//! Invariants (`core.rs` and `publish.rs` keep them):
//! - A snapshot has exactly one version of each document that there is, the newest at its position, and none of
//!   those that are gone.
//! - The durable state is one at exactly its position.
//! - Readers never wait for changes, flushes or compactions, nor these for readers. No lock that one of them takes
//!   is held during I/O.
//! - The order of locks: `applying`, `flushing`, `compacting`, `publisher`, `core`, `view`.
//!
//! Start with `core.rs` (changes), then `publish.rs` (how parts replace each other), `execute.rs` (queries).

mod background;
mod compact;
mod core;
mod dead;
mod dead_file;
mod error;
mod execute;
mod files;
mod flush;
mod inspect;
mod memtable;
mod nearest;
mod options;
mod plan;
mod policy;
mod publish;
mod rebuild;
mod rows;
mod segment;
mod select;
mod snapshot;
mod sweep;
mod texts;
mod version;
mod view;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use base::clock::{ClockRef, Instant};
use base::rng::Rng;
use base::words::Lsn;

#[cfg(feature = "planted-bugs")]
use crate::manifest::ManifestError;
use crate::manifest::{Place, Record};
use crate::metrics::Metrics;
use crate::schema::Schema;
use crate::storage::Ulid;

use self::core::{Core, Part};
use dead::Dead;
use files::{Durable, Files, NewSegment, Publisher};
use publish::Edit;
use segment::{Build, Segment};
use sweep::Sweeping;
use view::View;

pub use background::{Background, Report};
pub use dead_file::{decode_dead, encode_dead};
pub use error::{IndexError, Result};
pub use files::Backing;
pub use inspect::{Inspection, inspect};
pub use options::Options;
pub use plan::{PartPlan, Plan, Way};
pub use rebuild::Rebuild;
pub use rows::RowTable;
pub use select::Selection;
pub use snapshot::{Performance, Results, Snapshot};
pub use version::{Prepared, Preparer, Version};

/// What indexes are made with, besides their store.
#[derive(Debug)]
pub struct Environment {
    /// The time.
    pub clock: ClockRef,
    /// What identities of segments are drawn from.
    pub rng: Rng,
    /// What is counted with, one for all indexes.
    pub metrics: Arc<Metrics>,
    /// What the data directory remembers of a store that others can reach; none of one in the data directory.
    pub record: Option<Record>,
}

/// Whether a step of background work found something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It did something; there may be more.
    Done,
    /// There was nothing.
    Idle,
}

/// What an index holds at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// The last change that was applied.
    pub position: Lsn,
    /// The position of the durable state.
    pub applied: Lsn,
    /// Rows that are alive.
    pub rows: u64,
    /// Segments.
    pub segments: u64,
    /// Bytes of segments.
    pub segment_bytes: u64,
    /// Rows in memory that no segment has.
    pub unindexed_rows: u64,
    /// Bytes in memory that no segment has.
    pub unindexed_bytes: u64,
}

/// Segments that no sweep may delete though no manifest names them.
type InWork = Arc<Mutex<HashSet<Ulid>>>;

/// The index of one collection.
#[derive(Debug)]
pub struct Index {
    files: Files,
    options: Options,
    clock: ClockRef,
    metrics: Arc<Metrics>,
    rng: Mutex<Rng>,
    preparer: Mutex<Arc<Preparer>>,
    core: Mutex<Core>,
    view: Mutex<Arc<View>>,
    publisher: Mutex<Publisher>,
    applying: Mutex<()>,
    flushing: Mutex<()>,
    compacting: Mutex<()>,
    /// Segments that are written and not published.
    in_work: InWork,
    /// The same of rebuilds, as long as they last.
    rebuilds: Mutex<Vec<Weak<Mutex<HashSet<Ulid>>>>>,
    /// When compaction last found small segments well as they were.
    compacted: Mutex<Instant>,
    sweeping: Mutex<Sweeping>,
}

/// Both with the defect that a test asks for.
#[cfg(feature = "planted-bugs")]
fn planted(mut files: Files, mut core: Core, options: &Options) -> (Files, Core) {
    core.planted = options.planted;
    files.plant(options.planted);
    (files, core)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic left behind is whole: every change of it is one assignment, or made in order.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Index {
    /// Opens what the store has of the index at a place; none when it has nothing. The caller then applies the
    /// changes after [`Index::applied`].
    ///
    /// # Errors
    /// [`IndexError::Outdated`] when the files are made for a schema that finds rows by other things, and
    /// [`IndexError::Segment`] when one is damaged: the index has to be rebuilt. When the store fails it may be tried again.
    pub fn open(
        backing: Backing,
        place: Place,
        schema: Schema,
        options: Options,
        mut environment: Environment,
    ) -> Result<Option<Self>> {
        let files = Files::new(backing, place);
        let opened = Publisher::open(&files, environment.record.take(), environment.clock.wall())?;
        let Some((publisher, durable)) = opened else { return Ok(None) };
        if schema.needs_build(&durable.schema) {
            return Err(IndexError::Outdated);
        }
        let mut parts = Vec::with_capacity(durable.segments.len());
        for found in durable.segments {
            let segment = Arc::new(Segment::open(&files, found.files)?);
            if !segment.is_for(&schema) {
                return Err(IndexError::Outdated);
            }
            parts.push(Part { segment, dead: Dead::of(found.dead, Vec::new()) });
        }
        let core = Core::new(Arc::new(schema), durable.applied, parts);
        Ok(Some(Self::new(files, publisher, core, options, environment)))
    }

    /// Makes the index of a collection that has no documents at this position, and writes that down, whatever
    /// there was at the place before.
    ///
    /// # Errors
    /// When the store fails.
    pub fn create(
        backing: Backing,
        place: Place,
        (schema, at): (Schema, Lsn),
        options: Options,
        mut environment: Environment,
    ) -> Result<Self> {
        let files = Files::new(backing, place);
        let publisher =
            Publisher::claim(&files, environment.record.take(), environment.clock.wall())?;
        let core = Core::new(Arc::new(schema), at, Vec::new());
        let index = Self::new(files, publisher, core, options, environment);
        let durable = lock(&index.core).durable();
        index.commit(durable)?;
        Ok(index)
    }

    fn new(
        files: Files,
        publisher: Publisher,
        core: Core,
        options: Options,
        environment: Environment,
    ) -> Self {
        #[cfg(feature = "planted-bugs")]
        let (files, core) = planted(files, core, &options);
        let Environment { clock, rng, metrics, record: _ } = environment;
        let compacted = Mutex::new(clock.now());
        let sweeping = Mutex::new(Sweeping::new(clock.now()));
        Self {
            files,
            options,
            clock,
            metrics,
            rng: Mutex::new(rng),
            preparer: Mutex::new(Arc::new(Preparer::new(Arc::clone(&core.schema)))),
            view: Mutex::new(Arc::new(core.view())),
            core: Mutex::new(core),
            publisher: Mutex::new(publisher),
            applying: Mutex::default(),
            flushing: Mutex::default(),
            compacting: Mutex::default(),
            in_work: InWork::default(),
            rebuilds: Mutex::default(),
            compacted,
            sweeping,
        }
    }

    /// Applies changes in the order of their positions; those that were applied already change nothing. What comes
    /// between them in the database's log and is not about this collection is known by `up_to`, the last position that
    /// was looked at.
    ///
    /// Cannot fail. Readers see either none or all of them.
    pub fn apply(&self, changes: Vec<Prepared>, up_to: Lsn) {
        let now = self.clock.now();
        let count = changes.len() as u64;
        let _applying = lock(&self.applying);
        let mut core = lock(&self.core);
        for change in changes {
            core.apply(change, now);
        }
        core.position = core.position.max(up_to);
        self.freeze_if_full(&mut core);
        self.show(&core);
        self.metrics.applied(count);
    }

    /// The state as it is.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            view: Arc::clone(&lock(&self.view)),
            recall: self.options.recall,
            clock: Arc::clone(&self.clock),
            metrics: Arc::clone(&self.metrics),
        }
    }

    /// What changes are to be prepared by.
    #[must_use]
    pub fn preparer(&self) -> Arc<Preparer> {
        Arc::clone(&lock(&self.preparer))
    }

    /// Takes another schema, which is the old one grown or with less to find by. One that needs builds
    /// ([`crate::schema::Change::builds`]) needs a [`Rebuild`].
    pub fn set_schema(&self, schema: Schema) {
        let schema = Arc::new(schema);
        *lock(&self.preparer) = Arc::new(Preparer::new(Arc::clone(&schema)));
        let now = self.clock.now();
        let mut core = lock(&self.core);
        core.set_schema(schema, now);
        self.show(&core);
    }

    /// The last change that was applied.
    #[must_use]
    pub fn position(&self) -> Lsn {
        lock(&self.view).position
    }

    /// The position of the durable state: after a start the changes behind it are applied again, so the log must keep
    /// them.
    #[must_use]
    pub fn applied(&self) -> Lsn {
        lock(&self.core).applied
    }

    /// The position behind which the log must keep the changes so that a start finds them: [`Index::applied`]; none
    /// when everything that was applied is durable, and no change is needed again.
    #[must_use]
    pub fn needed(&self) -> Option<Lsn> {
        let core = lock(&self.core);
        (!core.is_settled()).then_some(core.applied)
    }

    /// What it holds.
    #[must_use]
    pub fn status(&self) -> Status {
        let core = lock(&self.core);
        Status {
            position: core.position,
            applied: core.applied,
            rows: core.view().alive(),
            segments: core.segments.len() as u64,
            segment_bytes: core.segments.iter().map(|part| part.segment.bytes()).sum(),
            unindexed_rows: core.unindexed_rows(),
            unindexed_bytes: core.unindexed_bytes() as u64,
        }
    }

    /// Bytes in memory that no segment has.
    #[must_use]
    pub fn unindexed_bytes(&self) -> usize {
        lock(&self.core).unindexed_bytes()
    }

    /// Whether a write of so many bytes should be let in now: it fits into the bound on what no segment has, or there is
    /// nothing else there. Where not, it waits for a flush.
    #[must_use]
    pub fn admits(&self, bytes: usize) -> bool {
        let unindexed = self.unindexed_bytes();
        unindexed == 0 || unindexed.saturating_add(bytes) <= self.options.unindexed_bytes_max
    }

    /// Does a piece of background work that is due: a flush, or a compaction, or the deletion of files whose grace is
    /// over. That takes lists of the store, so it is done twice in a grace and not at every step.
    ///
    /// # Errors
    /// When the store fails; another step tries again.
    pub fn background_step(&self) -> Result<Step> {
        if self.flush_step()? == Step::Done || self.compact_step()? == Step::Done {
            return Ok(Step::Done);
        }
        self.sweep_if_due()
    }

    /// A memtable that is full takes no more when there is room to wait; where not, admission holds writes back.
    fn freeze_if_full(&self, core: &mut Core) {
        let (bytes, _) = core.active();
        if bytes >= self.options.memtable_bytes && core.frozen.len() < self.options.waiting_max {
            core.freeze();
        }
    }

    /// Shows queries the state as it is now.
    fn show(&self, core: &Core) {
        let view = Arc::new(core.view());
        let before = std::mem::replace(&mut *lock(&self.view), view);
        // Freed after the lock: it may be the last to hold much.
        drop(before);
    }

    /// Writes a segment whose files are made by `make`, and opens it.
    fn write_segment(
        &self,
        schema: &Schema,
        make: impl FnOnce(&Build<'_>) -> Result<NewSegment>,
    ) -> Result<Arc<Segment>> {
        let id = Ulid::new(self.clock.wall(), &mut lock(&self.rng));
        self.need_sweep();
        // Before it is made, which may take longer than the grace: a sweep goes by this and by the time in its identity.
        lock(&self.in_work).insert(id);
        let build = Build { schema, identity: &id.bytes(), threads: self.options.threads };
        let opened = make(&build)
            .and_then(|made| self.files.write(id, made))
            .and_then(|files| Segment::open(&self.files, files));
        if opened.is_err() {
            // Nobody will publish it: what is there of it is an orphan.
            lock(&self.in_work).remove(&id);
        }
        opened.map(Arc::new)
    }

    fn publish(&self, edit: &Edit) -> Result<()> {
        let mut publisher = lock(&self.publisher);
        let durable = edit.durable(&lock(&self.core));
        self.commit_with(&mut publisher, durable)?;
        let mut core = lock(&self.core);
        edit.install(&mut core);
        self.show(&core);
        let mut in_work = lock(&self.in_work);
        let is_published = publisher.is_published();
        edit.finished(is_published).for_each(|id| {
            in_work.remove(&id);
        });
        Ok(())
    }

    fn commit(&self, durable: Durable) -> Result<()> {
        self.commit_with(&mut lock(&self.publisher), durable)
    }

    fn commit_with(&self, publisher: &mut Publisher, durable: Durable) -> Result<()> {
        self.need_sweep();
        let mut rng = lock(&self.rng).fork();
        let committed = publisher.commit(&self.files, durable, self.clock.wall(), &mut rng);
        #[cfg(feature = "planted-bugs")]
        let committed = match committed {
            Ok(()) => self.files.put_held(),
            Err(IndexError::Manifest(ManifestError::Fenced { .. }))
                if self.options.planted == Some(crate::planted::Bug::FenceIgnored) =>
            {
                Ok(())
            }
            error @ Err(_) => error,
        };
        committed
    }
}
