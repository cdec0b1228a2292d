//! An index made again from the documents, beside the one that answers meanwhile.
//!
//! Whoever owns the index feeds it: first all documents of a snapshot of the database ([`Rebuild::add`]), in the order of their revisions, then
//! the changes since ([`Rebuild::apply`]), and when it has caught up the two change places ([`Index::adopt`]). Until then
//! nothing of it is durable: a crash begins again.

use std::sync::{Arc, Mutex};

use base::words::Lsn;

use super::core::Core;
use super::error::{IndexError, Result};
use super::files::{Backing, Files, Publisher};
use super::version::{Prepared, Preparer};
use super::{Environment, Index, Options, Status, Step, lock};
use crate::manifest::{Place, Record};
use crate::schema::Schema;

/// An index in the making.
#[derive(Debug)]
pub struct Rebuild {
    index: Index,
    /// The position of the snapshot, when all of its documents have been added.
    documents_end: Option<Lsn>,
    /// The revision of the document that was added last.
    last: Lsn,
    record: Option<Record>,
}

impl Rebuild {
    /// Begins with nothing.
    #[must_use]
    pub fn new(
        backing: Backing,
        place: Place,
        schema: Schema,
        options: Options,
        mut environment: Environment,
    ) -> Self {
        let record = environment.record.take();
        let files = Files::new(backing, place);
        let core = Core::new(Arc::new(schema), Lsn::ZERO, Vec::new());
        let index = Index::new(files, Publisher::unpublished(), core, options, environment);
        Self { index, documents_end: None, last: Lsn::ZERO, record }
    }

    /// What its documents and changes are to be prepared by.
    #[must_use]
    pub fn preparer(&self) -> Arc<Preparer> {
        self.index.preparer()
    }

    /// Adds documents of the snapshot, each as the version that it is of, in the order of their revisions.
    ///
    /// # Errors
    /// [`IndexError::Disorder`] when they are in another order; those before have been added.
    pub fn add(&mut self, documents: Vec<Prepared>) -> Result<()> {
        let now = self.index.clock.now();
        let mut core = lock(&self.index.core);
        for document in documents {
            let lsn = document.lsn();
            if lsn <= self.last {
                return Err(IndexError::Disorder { lsn: lsn.0, last: self.last.0 });
            }
            self.last = lsn;
            if let Prepared::Put { version, tokens, .. } = document {
                core.add(version, &tokens, now);
                self.index.freeze_if_full(&mut core);
            }
        }
        Ok(())
    }

    /// As [`Index::set_schema`].
    pub fn set_schema(&self, schema: Schema) {
        self.index.set_schema(schema);
    }

    /// All documents of the snapshot, which was taken at this position, have been added.
    pub fn documents_end(&mut self, at: Lsn) {
        let mut core = lock(&self.index.core);
        core.documents_end(at, self.index.clock.now());
        self.index.show(&core);
        self.documents_end = Some(at);
    }

    /// Applies changes behind the snapshot, as [`Index::apply`] does.
    pub fn apply(&self, changes: Vec<Prepared>, up_to: Lsn) {
        self.index.apply(changes, up_to);
    }

    /// Whether a batch of so many bytes should be added now, or after a step.
    #[must_use]
    pub fn admits(&self, bytes: usize) -> bool {
        self.index.admits(bytes)
    }

    /// How far it is.
    #[must_use]
    pub fn status(&self) -> Status {
        self.index.status()
    }

    /// As [`Index::background_step`].
    ///
    /// # Errors
    /// When the store fails; another step tries again.
    pub fn background_step(&self) -> Result<Step> {
        self.index.background_step()
    }

    /// Makes it the index of its place, which had none that could be opened.
    ///
    /// # Errors
    /// [`IndexError::Behind`] before the end of the documents, and when the store fails: what was made is lost, and the
    /// next sweep of the place deletes it.
    pub fn finish(mut self) -> Result<Index> {
        self.is_whole(Lsn::ZERO)?;
        self.index.flush_all()?;
        let publisher =
            Publisher::claim(&self.index.files, self.record.take(), self.index.clock.wall())?;
        self.index.publisher = Mutex::new(publisher);
        let durable = lock(&self.index.core).durable();
        self.index.commit(durable)?;
        lock(&self.index.in_work).clear();
        Ok(self.index)
    }

    /// Whether it has all documents, and the changes up to here.
    fn is_whole(&self, wanted: Lsn) -> Result<()> {
        let position = self.index.position();
        if self.documents_end.is_some() && position >= wanted {
            return Ok(());
        }
        Err(IndexError::Behind { position: position.0, wanted: wanted.0 })
    }
}

impl Index {
    /// Begins to make this index again, for the same or another schema.
    #[must_use]
    pub fn rebuild(&self, schema: Schema) -> Rebuild {
        let environment = Environment {
            clock: Arc::clone(&self.clock),
            rng: lock(&self.rng).fork(),
            metrics: Arc::clone(&self.metrics),
            record: None,
        };
        let core = Core::new(Arc::new(schema), Lsn::ZERO, Vec::new());
        let (files, options) = (self.files.clone(), self.options.clone());
        let index = Self::new(files, Publisher::unpublished(), core, options, environment);
        // This index sweeps the place, and must leave alone what is made there as long as it is made.
        lock(&self.rebuilds).push(Arc::downgrade(&index.in_work));
        Rebuild { index, documents_end: None, last: Lsn::ZERO, record: None }
    }

    /// Takes the parts of a rebuild, which has applied the same changes, in place of its own. Snapshots that were taken
    /// before go on with the old ones. Changes wait meanwhile, queries do not.
    ///
    /// # Errors
    /// [`IndexError::Behind`] when the rebuild has to apply more first, and when the store fails: then nothing has
    /// changed, and it may be tried again.
    pub fn adopt(&self, rebuild: &mut Rebuild) -> Result<()> {
        let _applying = lock(&self.applying);
        let _flushing = lock(&self.flushing);
        let _compacting = lock(&self.compacting);
        let wanted = self.position();
        #[cfg(feature = "planted-bugs")]
        let wanted =
            if lock(&self.core).has(crate::planted::Bug::AdoptBehind) { Lsn::ZERO } else { wanted };
        rebuild.is_whole(wanted)?;
        rebuild.index.flush_all()?;
        let durable = lock(&rebuild.index.core).durable();
        self.commit(durable)?;
        let schema = Arc::clone(&lock(&rebuild.index.core).schema);
        let mut empty = Core::new(schema, Lsn::ZERO, Vec::new());
        std::mem::swap(&mut *lock(&rebuild.index.core), &mut empty);
        rebuild.documents_end = None;
        *lock(&self.preparer) = rebuild.preparer();
        let mut core = lock(&self.core);
        *core = empty;
        self.show(&core);
        // Of the parts that are gone nothing is going to be published.
        lock(&self.in_work).clear();
        Ok(())
    }
}
