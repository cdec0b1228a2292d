//! Collections: making and dropping them, their properties, what there is.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::document::Document;
use base::words::{Change, CollectionId, Lsn, Name};
use wal::Class;

use std::ops::Bound;

use crate::collections::validation_property;
use crate::database::{Database, Inner};
use crate::error::{Result, StoreError};
use crate::manifest::{CollectionRecord, DEFAULT_COLLECTION};
use crate::request::{Effect, Refused};
use crate::validation::Validation;
use crate::write::{Evaluated, Plan, Refusal};

/// Whether a collection may be dropped with what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropMode {
    /// Only when it holds no document.
    IfEmpty,
    /// Whatever it holds.
    Force,
}

impl Database {
    /// The number of a collection.
    ///
    /// # Errors
    /// `CollectionNotFound`.
    pub fn collection(&self, name: &Name) -> Result<CollectionId> {
        self.inner.check_open()?;
        let state = self.inner.read();
        let found = state.collections.named(name, self.inner.position());
        let found = found.map(|(number, _)| number);
        found.ok_or_else(|| StoreError::CollectionNotFound(Arc::from(name.as_str())))
    }

    /// The collections, by number, with their properties.
    ///
    /// # Errors
    /// `DbNotOpen`.
    pub fn collections(&self) -> Result<Vec<CollectionRecord>> {
        self.inner.check_open()?;
        let state = self.inner.read();
        Ok(state.collections.records(self.inner.position()))
    }

    /// Makes a collection; durable on return as any write is.
    ///
    /// # Errors
    /// `CollectionExists`, and as [`Database::write`].
    pub fn create_collection(&self, name: &Name) -> Result<CollectionId> {
        let number = CollectionId(self.inner.next_collection.fetch_add(1, Ordering::AcqRel));
        #[cfg(feature = "planted-bugs")]
        let number = self.inner.reused(number);
        let made = self.inner.decide(|inner| Ok(inner.plan_create(number, name)));
        made.map(|_| number).map_err(|refused| refused.error)
    }

    /// A number for a collection that an [`crate::Amendment`] is to make; nobody else is given it.
    #[must_use]
    pub fn next_collection(&self) -> CollectionId {
        CollectionId(self.inner.next_collection.fetch_add(1, Ordering::AcqRel))
    }

    /// Removes a collection. Its number is never used again; a collection made later under the same
    /// name is another one.
    ///
    /// # Errors
    /// `CollectionNotFound`; `CollectionNotEmpty`; `Unsupported` for `default`; and as
    /// [`Database::write`].
    pub fn drop_collection(&self, name: &Name, mode: DropMode) -> Result<()> {
        let dropped = self.inner.decide(|inner| Ok(inner.plan_drop(name, mode)));
        dropped.map(drop).map_err(|refused| refused.error)
    }

    /// Sets or takes away the JSON Schema that documents of a collection have to fit. Documents
    /// that are there already are not looked at.
    ///
    /// # Errors
    /// `InvalidSchema` when it is none; `CollectionNotFound`; and as [`Database::write`].
    pub fn set_validation(&self, collection: CollectionId, schema: Option<Document>) -> Result<()> {
        if let Some(schema) = &schema {
            Validation::compile(schema)?;
        }
        self.set_property(collection, &validation_property(), schema)
    }

    /// The JSON Schema of a collection.
    ///
    /// # Errors
    /// `CollectionNotFound`.
    pub fn validation(&self, collection: CollectionId) -> Result<Option<Document>> {
        self.property(collection, &validation_property())
    }

    /// Sets or takes away a property, a named value that goes wherever the collection goes. What
    /// it means is its owner's business; `validation` belongs to the store.
    ///
    /// # Errors
    /// `CollectionNotFound`; and as [`Database::write`].
    pub fn set_property(
        &self,
        collection: CollectionId,
        property: &Name,
        value: Option<Document>,
    ) -> Result<()> {
        let set = self.inner.decide(|inner| {
            Ok(inner.plan_existing(collection, |plan| {
                let (property, value) = (property.clone(), value.clone());
                plan.changes.push(Change::SetProperty { collection, property, value });
                plan.effects.push(Effect::Replaced);
            }))
        });
        set.map(drop).map_err(|refused| refused.error)
    }

    /// A property of a collection.
    ///
    /// # Errors
    /// `CollectionNotFound`.
    pub fn property(&self, collection: CollectionId, property: &Name) -> Result<Option<Document>> {
        self.inner.check_open()?;
        let state = self.inner.read();
        let position = self.inner.position();
        let found = state.collections.find(collection, position)?;
        Ok(found.property_at(property, position).cloned())
    }
}

impl Inner {
    fn new_plan(&self) -> Plan {
        Plan { epoch: self.epoch.load(Ordering::Acquire), ..Plan::default() }
    }

    #[cfg(feature = "planted-bugs")]
    fn reused(&self, number: CollectionId) -> CollectionId {
        if self.options.planted != Some(crate::planted::Bug::NumberReused) {
            return number;
        }
        let state = self.read();
        let dropped = state.collections.dropped_by(self.position());
        dropped.first().copied().unwrap_or(number)
    }

    fn plan_create(&self, number: CollectionId, name: &Name) -> Evaluated {
        let mut plan = self.new_plan();
        let state = self.read();
        let newest = state.collections.newest_of(name);
        if state.collections.named(name, Lsn(u64::MAX)).is_some() {
            return refuse(StoreError::CollectionExists(name.clone()), newest, plan.epoch);
        }
        plan.names.push((name.clone(), newest));
        let name = name.clone();
        plan.changes.push(Change::CreateCollection { collection: number, name });
        plan.effects.push(Effect::Created);
        Evaluated::Go(plan)
    }

    fn plan_drop(&self, name: &Name, mode: DropMode) -> Evaluated {
        let mut plan = self.new_plan();
        plan.class = Class::Reclaim;
        let now = self.log.wall();
        let state = self.read();
        let newest = state.collections.newest_of(name);
        let Some((number, found)) = state.collections.named(name, Lsn(u64::MAX)) else {
            let error = StoreError::CollectionNotFound(Arc::from(name.as_str()));
            return refuse(error, newest, plan.epoch);
        };
        if number == DEFAULT_COLLECTION {
            return refuse(StoreError::DefaultCollection, Lsn::ZERO, plan.epoch);
        }
        plan.collections.push((number, found.revision()));
        if mode == DropMode::IfEmpty {
            let documents = state.count(number, now);
            if documents > 0 {
                let error = StoreError::CollectionNotEmpty { name: name.clone(), documents };
                return refuse(error, found.last_change, plan.epoch);
            }
            // Nobody may write into it before it is gone.
            let applied = Lsn(self.applied.load(Ordering::Acquire));
            plan.ranges.push(((number, Bound::Unbounded, Bound::Unbounded), applied));
        }
        plan.changes.push(Change::DropCollection { collection: number });
        plan.effects.push(Effect::Deleted);
        Evaluated::Go(plan)
    }

    /// A plan about a collection that exists.
    fn plan_existing(&self, collection: CollectionId, fill: impl FnOnce(&mut Plan)) -> Evaluated {
        let mut plan = self.new_plan();
        let state = self.read();
        match state.collections.get(collection) {
            Some(found) if found.dropped.is_none() => {
                plan.collections.push((collection, found.revision()));
                fill(&mut plan);
                Evaluated::Go(plan)
            }
            found => {
                let looked = found.map_or(Lsn::ZERO, |found| found.revision());
                let error = StoreError::CollectionNotFound(Arc::from(collection.to_string()));
                refuse(error, looked, plan.epoch)
            }
        }
    }
}

fn refuse(error: StoreError, looked: Lsn, epoch: u64) -> Evaluated {
    Evaluated::Refuse(Refusal { refused: Refused::from(error), looked, epoch })
}
