//! Which collections a database has, pending changes included.
//!
//! A collection is there for a reader at some LSN when it was created at or before it and not yet
//! dropped. Creating and dropping are changes like any other: they can be pending, and are taken
//! back when their commit fails. Numbers are never used again, so nothing of a dropped collection
//! can come back under the same name.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::document::Document;
use base::words::{CollectionId, Lsn, Name};

use crate::error::{Result, StoreError};
use crate::manifest::CollectionRecord;
use crate::rule::{DocumentRule, PropertyRule};
use crate::validation::Validation;

/// The property that holds the JSON Schema by which a collection's documents are validated.
///
/// # Panics
/// Never: the text is a name.
pub(crate) fn validation_property() -> Name {
    Name::new("validation").expect("it is a valid name")
}

/// One collection.
#[derive(Debug, Clone)]
pub(crate) struct Collection {
    pub(crate) name: Name,
    pub(crate) created: Lsn,
    pub(crate) dropped: Option<Lsn>,
    /// The newest change of anything in it; stays too high when that was taken back, which only
    /// makes its readers look again.
    pub(crate) last_change: Lsn,
    /// Values with the changes that set them, ascending; the last one holds.
    properties: BTreeMap<Name, Vec<(Lsn, Option<Document>)>>,
    pub(crate) validation: Option<Arc<Validation>>,
    /// The rule that a property makes, if the options name one.
    pub(crate) rule: Option<Arc<dyn DocumentRule>>,
}

impl Collection {
    fn new(name: Name, created: Lsn) -> Self {
        Self {
            name,
            created,
            dropped: None,
            last_change: created,
            properties: BTreeMap::new(),
            validation: None,
            rule: None,
        }
    }

    /// Whether a reader at `lsn` finds it.
    pub(crate) fn exists_at(&self, lsn: Lsn) -> bool {
        self.created <= lsn && self.dropped.is_none_or(|dropped| dropped > lsn)
    }

    /// The value of a property, pending changes included.
    pub(crate) fn property(&self, name: &Name) -> Option<&Document> {
        self.properties.get(name)?.last()?.1.as_ref()
    }

    /// The value of a property at `lsn`.
    pub(crate) fn property_at(&self, name: &Name, lsn: Lsn) -> Option<&Document> {
        let values = self.properties.get(name)?;
        values.iter().rev().find(|(set, _)| *set <= lsn)?.1.as_ref()
    }

    /// The change that last touched its existence or a property.
    pub(crate) fn revision(&self) -> Lsn {
        let properties = self.properties.values().filter_map(|values| values.last());
        let newest = properties.map(|(lsn, _)| *lsn).max().unwrap_or(Lsn::ZERO);
        newest.max(self.created).max(self.dropped.unwrap_or(Lsn::ZERO))
    }

    /// The properties that hold at `lsn`.
    fn properties_at(&self, lsn: Lsn) -> Vec<(Name, Document)> {
        let held = self.properties.iter().filter_map(|(name, values)| {
            let (_, value) = values.iter().rev().find(|(set, _)| *set <= lsn)?;
            Some((name.clone(), value.clone()?))
        });
        held.collect()
    }

    /// Compiles the schema that the properties name.
    fn compile(&mut self) -> Result<()> {
        let schema = self.property(&validation_property()).cloned();
        self.validation = match schema {
            Some(schema) => Some(Arc::new(Validation::compile(&schema)?)),
            None => None,
        };
        Ok(())
    }

    /// The same for a schema that was compiled before it was logged. One that this build refuses
    /// all the same must not keep the database from opening; it validates nothing until it is set
    /// again. The rule of a property says for itself what a value that it does not understand means.
    fn recompile(&mut self, maker: Option<&PropertyRule>) {
        self.rule =
            maker.and_then(|maker| self.property(&maker.property).map(|value| (maker.make)(value)));
        if let Err(error) = self.compile() {
            tracing::error!(collection = %self.name, %error, "a schema is not understood");
        }
    }
}

/// The `n`-th name to try for a collection whose own is lost.
fn recovered_name(collection: CollectionId, n: u64) -> Name {
    let name = match n {
        0 => format!("recovered-{collection}"),
        n => format!("recovered-{collection}-{n}"),
    };
    Name::new(&name).expect("letters, digits and dashes, and short")
}

/// The collections of a database.
#[derive(Debug, Clone, Default)]
pub(crate) struct Collections {
    all: BTreeMap<CollectionId, Collection>,
    /// Which property makes rules.
    maker: Option<PropertyRule>,
}

impl Collections {
    /// As a checkpoint has them.
    pub(crate) fn of(records: &[CollectionRecord], maker: Option<PropertyRule>) -> Self {
        let mut all = BTreeMap::new();
        for record in records {
            let mut collection = Collection::new(record.name.clone(), record.created);
            collection.last_change = record.last_change;
            for (name, value) in &record.properties {
                let values = vec![(record.created, Some(value.clone()))];
                collection.properties.insert(name.clone(), values);
            }
            collection.recompile(maker.as_ref());
            all.insert(record.collection, collection);
        }
        Self { all, maker }
    }

    /// As a checkpoint at `lsn` records them.
    pub(crate) fn records(&self, lsn: Lsn) -> Vec<CollectionRecord> {
        let existing = self.all.iter().filter(|(_, collection)| collection.exists_at(lsn));
        let record = |(number, collection): (&CollectionId, &Collection)| CollectionRecord {
            collection: *number,
            name: collection.name.clone(),
            created: collection.created,
            // Writes go on while a checkpoint is made: none of later is of its state.
            last_change: collection.last_change.min(lsn),
            properties: collection.properties_at(lsn),
        };
        existing.map(record).collect()
    }

    pub(crate) fn get(&self, collection: CollectionId) -> Option<&Collection> {
        self.all.get(&collection)
    }

    /// The collection with this number, if a reader at `lsn` finds it.
    pub(crate) fn find(&self, collection: CollectionId, lsn: Lsn) -> Result<&Collection> {
        let found = self.all.get(&collection).filter(|found| found.exists_at(lsn));
        found.ok_or_else(|| StoreError::CollectionNotFound(Arc::from(collection.to_string())))
    }

    /// The collection of this name, if a reader at `lsn` finds it.
    pub(crate) fn named(&self, name: &Name, lsn: Lsn) -> Option<(CollectionId, &Collection)> {
        let existing = self.all.iter().filter(|(_, collection)| collection.exists_at(lsn));
        let mut same = existing.filter(|(_, collection)| collection.name == *name);
        same.next().map(|(number, collection)| (*number, collection))
    }

    /// The newest change that made or unmade a collection of this name.
    pub(crate) fn newest_of(&self, name: &Name) -> Lsn {
        let same = self.all.values().filter(|collection| collection.name == *name);
        same.map(Collection::revision).max().unwrap_or(Lsn::ZERO)
    }

    /// The highest number of any.
    pub(crate) fn highest(&self) -> Option<CollectionId> {
        self.all.last_key_value().map(|(number, _)| *number)
    }

    /// All that a reader at `lsn` finds, by number.
    pub(crate) fn at(&self, lsn: Lsn) -> impl Iterator<Item = (CollectionId, &Collection)> {
        let existing = self.all.iter().filter(move |(_, collection)| collection.exists_at(lsn));
        existing.map(|(number, collection)| (*number, collection))
    }

    pub(crate) fn create(&mut self, collection: CollectionId, name: Name, lsn: Lsn) {
        self.all.insert(collection, Collection::new(name, lsn));
    }

    /// Makes a collection whose creation the log has lost: its number came up at `lsn`. Nobody knows
    /// what it was called.
    pub(crate) fn adopt(&mut self, collection: CollectionId, lsn: Lsn) {
        self.create(collection, recovered_name(collection, 0), lsn);
    }

    /// Gives adopted collections names that no other has; answers those that were not dropped since.
    pub(crate) fn name_adopted(&mut self, adopted: &[CollectionId]) -> Vec<(CollectionId, Name)> {
        let mut named = Vec::new();
        for number in adopted {
            let is_taken = |name: &Name| {
                let mut others = self.all.iter().filter(|(other, _)| *other != number);
                others.any(|(_, other)| other.name == *name && other.dropped.is_none())
            };
            let free = (0..).map(|n| recovered_name(*number, n)).find(|name| !is_taken(name));
            if let (Some(name), Some(found)) = (free, self.all.get_mut(number))
                && found.dropped.is_none()
            {
                found.name = name.clone();
                named.push((*number, name));
            }
        }
        named
    }

    pub(crate) fn drop(&mut self, collection: CollectionId, lsn: Lsn) {
        if let Some(dropped) = self.all.get_mut(&collection) {
            dropped.dropped = Some(lsn);
            dropped.last_change = lsn;
        }
    }

    pub(crate) fn set_property(
        &mut self,
        collection: CollectionId,
        property: Name,
        value: Option<Document>,
        lsn: Lsn,
    ) {
        if let Some(found) = self.all.get_mut(&collection) {
            found.properties.entry(property).or_default().push((lsn, value));
            found.last_change = lsn;
            found.recompile(self.maker.as_ref());
        }
    }

    /// Something in the collection was changed.
    pub(crate) fn touch(&mut self, collection: CollectionId, lsn: Lsn) {
        if let Some(touched) = self.all.get_mut(&collection) {
            touched.last_change = touched.last_change.max(lsn);
        }
    }

    /// Takes back every change above `last`: their commit failed.
    pub(crate) fn take_back(&mut self, last: Lsn) {
        self.all.retain(|_, collection| collection.created <= last);
        for collection in self.all.values_mut() {
            collection.dropped = collection.dropped.filter(|dropped| *dropped <= last);
            let before = collection.revision();
            for values in collection.properties.values_mut() {
                values.retain(|(lsn, _)| *lsn <= last);
            }
            if collection.revision() != before {
                collection.recompile(self.maker.as_ref());
            }
        }
    }

    /// Collections dropped at or before `lsn`.
    pub(crate) fn dropped_by(&self, lsn: Lsn) -> Vec<CollectionId> {
        let gone = |collection: &Collection| collection.dropped.is_some_and(|at| at <= lsn);
        let dropped = self.all.iter().filter(|(_, collection)| gone(collection));
        dropped.map(|(number, _)| *number).collect()
    }

    /// Forgets collections that nothing refers to any more.
    pub(crate) fn forget(&mut self, gone: &[CollectionId]) {
        self.all.retain(|number, _| !gone.contains(number));
    }

    /// Properties keep one value each from here on: nobody reads below `lsn`.
    pub(crate) fn forget_older_properties(&mut self, lsn: Lsn) {
        for collection in self.all.values_mut() {
            for values in collection.properties.values_mut() {
                let held = values.iter().rposition(|(set, _)| *set <= lsn).unwrap_or(0);
                values.drain(..held);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBER: CollectionId = CollectionId(2);

    fn name() -> Name {
        Name::new("books").unwrap()
    }

    #[test]
    fn a_collection_exists_from_its_creation_to_its_drop() {
        let mut all = Collections::default();
        all.create(NUMBER, name(), Lsn(3));
        all.drop(NUMBER, Lsn(5));
        let there = |lsn| all.find(NUMBER, Lsn(lsn)).is_ok();
        assert_eq!([there(2), there(3), there(4), there(5)], [false, true, true, false]);
        assert_eq!(all.newest_of(&name()), Lsn(5));
        all.take_back(Lsn(4));
        assert!(all.find(NUMBER, Lsn(9)).is_ok());
        all.take_back(Lsn(2));
        assert!(all.named(&name(), Lsn(9)).is_none());
    }

    #[test]
    fn an_adopted_collection_gets_a_name_that_is_free() {
        let mut all = Collections::default();
        all.adopt(NUMBER, Lsn(1));
        all.adopt(CollectionId(5), Lsn(2));
        all.drop(CollectionId(5), Lsn(3));
        all.create(CollectionId(7), Name::new("recovered-2").unwrap(), Lsn(4));
        let named = all.name_adopted(&[NUMBER, CollectionId(5)]);
        assert_eq!(named, [(NUMBER, Name::new("recovered-2-1").unwrap())]);
        assert_eq!(all.named(&named[0].1, Lsn(9)).unwrap().0, NUMBER);
    }

    #[test]
    fn a_checkpoint_tells_of_no_change_behind_it() {
        let mut all = Collections::default();
        all.create(NUMBER, name(), Lsn(1));
        all.touch(NUMBER, Lsn(3));
        let last_change = |lsn| all.records(lsn)[0].last_change;
        assert_eq!((last_change(Lsn(2)), last_change(Lsn(9))), (Lsn(2), Lsn(3)));
    }

    #[test]
    fn properties_hold_from_the_change_that_set_them() {
        let mut all = Collections::default();
        all.create(NUMBER, name(), Lsn(1));
        let property = Name::new("search").unwrap();
        let value = Document::parse(b"{}").unwrap();
        all.set_property(NUMBER, property.clone(), Some(value.clone()), Lsn(2));
        all.set_property(NUMBER, property.clone(), None, Lsn(3));
        assert_eq!(all.records(Lsn(2))[0].properties, [(property.clone(), value.clone())]);
        assert_eq!(all.records(Lsn(3))[0].properties, []);
        all.take_back(Lsn(2));
        assert_eq!(all.get(NUMBER).unwrap().property(&property), Some(&value));
        let again = Collections::of(&all.records(Lsn(2)), None);
        assert_eq!(again.get(NUMBER).unwrap().property(&property), Some(&value));
    }
}
