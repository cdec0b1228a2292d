//! Rules that somebody else makes of a property of a collection, and by which its documents are judged
//! before they are logged: a search schema, for one, of which this crate knows nothing.
//!
//! A rule sees every document that a write would make, whatever made it: a batch, a transaction, a
//! patch, an import. It answers that the document fits, why it does not, or that it fits once the
//! property has another value, which is then set in the same commit, before the document.
//!
//! Invariant: at every position of the log, each document that was written since a property has a value
//! fits that value or an earlier one.
//!
//! Start with [`DocumentRule`] and [`Amendment`]; `write.rs` asks.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::document::Document;
use base::error::Code;
use base::words::{Change, CollectionId, DocId, Lsn, Name};

use crate::collections::Collections;
use crate::database::Inner;
use crate::error::{Result, StoreError};
use crate::options::Options;
use crate::write::Plan;

/// Judges documents.
pub trait DocumentRule: fmt::Debug + Send + Sync {
    /// Whether a document fits. It may be asked several times for one write, and must answer the same.
    ///
    /// # Errors
    /// Why the document is refused.
    fn check(&self, id: &DocId, document: &Document) -> std::result::Result<Fit, Misfit>;
}

/// How a document fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// As things are.
    AsItIs,
    /// When the property has this value.
    With(Document),
}

/// Why a document is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Misfit {
    /// The code of the refusal.
    pub code: Code,
    /// What is wrong, and what to do.
    pub message: Box<str>,
}

/// Which property makes rules, and how.
#[derive(Debug, Clone)]
pub struct PropertyRule {
    /// The property.
    pub property: Name,
    /// The rule of a value. It runs under the lock of the documents, and must not wait.
    pub make: fn(&Document) -> Arc<dyn DocumentRule>,
}

/// What a batch does to one collection, before its operations and in the same commit.
#[derive(Debug, Clone)]
pub struct Amendment {
    /// The collection.
    pub collection: CollectionId,
    /// Makes it, under this name: its number is one of [`crate::Database::next_collection`].
    pub create: Option<Name>,
    /// Properties that it gives other values.
    pub sets: Vec<PropertySet>,
    /// No document of it may have changed since this position.
    pub unchanged_since: Option<Lsn>,
}

/// A property that is given another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropertySet {
    /// Its name.
    pub property: Name,
    /// The value that it must have: whoever wants to change it has looked at that one.
    pub from: Option<Document>,
    /// The value that it gets.
    pub to: Option<Document>,
}

/// The rules by which the documents of one commit are judged, and what became of their properties.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rulings(BTreeMap<CollectionId, Ruling>);

#[derive(Debug, Clone)]
struct Ruling {
    rule: Option<Arc<dyn DocumentRule>>,
    grown: Option<Document>,
}

impl Rulings {
    /// Judges a document by the rule of its collection, as earlier documents of the commit have left it.
    pub(crate) fn judge(
        &mut self,
        inner: &Inner,
        collection: CollectionId,
        id: &DocId,
        document: &Document,
    ) -> Result<()> {
        let Some(maker) = &inner.options.rule else { return Ok(()) };
        let ruling = match self.0.entry(collection) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => {
                let state = inner.read();
                let found = state.collections.get(collection);
                let rule = found.and_then(|found| found.rule.clone());
                free.insert(Ruling { rule, grown: None })
            }
        };
        let Some(rule) = &ruling.rule else { return Ok(()) };
        if let Fit::With(value) = rule.check(id, document)? {
            ruling.rule = Some((maker.make)(&value));
            ruling.grown = Some(value);
        }
        Ok(())
    }

    /// Judges by this value from here on.
    fn amend(&mut self, maker: &PropertyRule, collection: CollectionId, value: Option<&Document>) {
        let rule = value.map(maker.make);
        self.0.insert(collection, Ruling { rule, grown: None });
    }

    /// The properties that documents have made grow.
    pub(crate) fn changes(&self, options: &Options) -> Vec<Change> {
        let Some(maker) = &options.rule else { return Vec::new() };
        let set = |(collection, ruling): (&CollectionId, &Ruling)| {
            Some(Change::SetProperty {
                collection: *collection,
                property: maker.property.clone(),
                value: Some(ruling.grown.clone()?),
            })
        };
        self.0.iter().filter_map(set).collect()
    }
}

impl Amendment {
    /// The changes of the amendment, if what it rests on holds.
    pub(crate) fn plan(
        &self,
        inner: &Inner,
        plan: &mut Plan,
        rulings: &mut Rulings,
    ) -> std::result::Result<Vec<Change>, (StoreError, Lsn)> {
        let mut changes = Vec::new();
        let collection = self.collection;
        let state = inner.read();
        match &self.create {
            Some(name) => changes.push(self.create(&state.collections, name, plan)?),
            None => self.check(&state.collections, plan)?,
        }
        if let Some(position) = self.unchanged_since {
            use std::ops::Bound::Unbounded;
            if state.changed_since(collection, Unbounded, Unbounded, position) {
                let what = format!("the documents of collection={collection}");
                let looked = Lsn(inner.applied.load(Ordering::Acquire));
                return Err((StoreError::TxnConflict(Arc::from(what)), looked));
            }
            plan.ranges.push(((collection, Unbounded, Unbounded), position));
        }
        drop(state);
        for set in self.sets.iter().filter(|set| set.from != set.to) {
            if let Some(maker) = inner.options.rule.as_ref().filter(|m| m.property == set.property)
            {
                rulings.amend(maker, collection, set.to.as_ref());
            }
            let (property, value) = (set.property.clone(), set.to.clone());
            changes.push(Change::SetProperty { collection, property, value });
        }
        Ok(changes)
    }

    fn create(
        &self,
        collections: &Collections,
        name: &Name,
        plan: &mut Plan,
    ) -> std::result::Result<Change, (StoreError, Lsn)> {
        let newest = collections.newest_of(name);
        if collections.named(name, Lsn(u64::MAX)).is_some() {
            return Err((StoreError::CollectionExists(name.clone()), newest));
        }
        plan.names.push((name.clone(), newest));
        Ok(Change::CreateCollection { collection: self.collection, name: name.clone() })
    }

    fn check(
        &self,
        collections: &Collections,
        plan: &mut Plan,
    ) -> std::result::Result<(), (StoreError, Lsn)> {
        let found = collections.get(self.collection);
        let Some(found) = found.filter(|found| found.dropped.is_none()) else {
            let looked = found.map_or(Lsn::ZERO, |found| found.revision());
            let number = self.collection.to_string();
            return Err((StoreError::CollectionNotFound(Arc::from(number)), looked));
        };
        plan.collections.push((self.collection, found.revision()));
        let moved = self.sets.iter().find(|set| found.property(&set.property) != set.from.as_ref());
        match moved {
            Some(set) => {
                let what = format!("property={} collection={}", set.property, self.collection);
                Err((StoreError::TxnConflict(Arc::from(what)), found.revision()))
            }
            None => Ok(()),
        }
    }
}
