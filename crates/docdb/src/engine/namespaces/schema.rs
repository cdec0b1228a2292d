//! The search schema of a collection: reading it, changing it, and describing documents that have none.
//!
//! A change is checked against every document that is there before it holds. What is written meanwhile is
//! judged by the schema of before: the change is committed only if nothing was written since the check,
//! and what was written is checked again, from the log, until that is so.

use std::sync::Arc;

use base::document::Document;
use base::error::{Code, Coded as _};
use base::words::{Change, CollectionId, DocId, Lsn, Name};
use bytes::Bytes;
use docstore::{Amendment, Database, PropertySet, StoreError};
use search::error::SearchError;
use search::json::Json;
use search::schema::{Schema, Undeclared};
use search::vector::Metric;

use super::super::Engine;
use super::super::error::{EngineError, Result};
use super::super::reply::Reply;
use super::super::served::Served;
use super::super::work::How;
use super::catalog::made_now;
use super::rule::schema_property;
use super::snapshot::{Patience, Snapshot, Waiting};

/// How many documents that do not fit a schema are named.
pub const MISFITS_MAX: usize = 10;
/// Most documents that a description of a collection is made of.
pub const SAMPLE_MAX: u64 = 10_000;
/// How often a change of a schema is tried while others write.
const TRIES_MAX: usize = 100;

/// A change of a search schema.
#[derive(Debug, Clone, Default)]
pub struct SchemaChange {
    /// Attributes and vectors: a JSON object of paths, each with a type or an object of type and
    /// options. What it does not name stays.
    pub declaration: Option<Bytes>,
    /// The metric of vectors that do not say theirs.
    pub metric: Option<Metric>,
    /// What becomes of members that are not declared; none = as before, and inferred at first.
    pub undeclared: Option<Undeclared>,
}

/// A search schema, for those who ask.
#[derive(Debug, Clone, PartialEq)]
pub struct SchemaInfo {
    /// The schema.
    pub schema: Schema,
    /// How many documents it was made of, where it is a description.
    pub sampled: Option<u64>,
}

impl Engine {
    /// The search schema of a collection; none when it has none.
    pub fn search_schema(
        self: &Arc<Self>,
        served: &Arc<Served>,
        collection: Name,
        how: How,
        reply: Reply<Option<SchemaInfo>>,
    ) {
        self.work(served, 0, how, reply, move |database| {
            let schema = stored_schema(database, database.collection(&collection)?)?;
            Ok(schema.map(|schema| SchemaInfo { schema, sampled: None }))
        });
    }

    /// Changes the search schema of a collection, or gives it one; answered when it is durable.
    pub fn change_search_schema(
        self: &Arc<Self>,
        served: &Arc<Served>,
        collection: Name,
        asked: SchemaChange,
        how: How,
        waiting: Waiting,
        reply: Reply<SchemaInfo>,
    ) {
        self.search(served, (how, waiting), reply, move |patience, database| {
            let collection = database.collection(&collection)?;
            let schema = change(patience, database, collection, &asked)?;
            patience.engine.indexes.begin(database.id());
            Ok(SchemaInfo { schema, sampled: None })
        });
    }

    /// Takes the search schema away; the documents stay.
    pub fn remove_search_schema(
        self: &Arc<Self>,
        served: &Arc<Served>,
        collection: Name,
        reply: Reply<()>,
    ) {
        self.change(served, reply, move |database| {
            let collection = database.collection(&collection)?;
            Ok(database.set_property(collection, &schema_property(), None)?)
        });
    }

    /// Describes the first documents of a collection: the schema that they would be inferred.
    pub fn infer_search_schema(
        self: &Arc<Self>,
        served: &Arc<Served>,
        collection: Name,
        how: How,
        waiting: Waiting,
        reply: Reply<SchemaInfo>,
    ) {
        self.search(served, (how, waiting), reply, move |patience, database| {
            let collection = database.collection(&collection)?;
            let snapshot = Snapshot::of(database)?;
            let mut check = Check::of(Schema::new(Undeclared::Infer));
            snapshot.each(collection, patience, Some(SAMPLE_MAX), |id, stored| {
                check.document(&id, &stored.document);
                Ok(())
            })?;
            let (sampled, schema) = (Some(check.documents), check.finish()?);
            Ok(SchemaInfo { schema, sampled })
        });
    }
}

/// The search schema of a collection.
pub(super) fn stored_schema(
    database: &Database,
    collection: CollectionId,
) -> Result<Option<Schema>> {
    let value = database.property(collection, &schema_property())?;
    Ok(value.map(|value| read(&value)).transpose()?)
}

/// The schema of a property's value.
pub(super) fn read(value: &Document) -> std::result::Result<Schema, SearchError> {
    Schema::from_stored(value.as_bytes())
}

/// The value of a property for a schema.
pub(super) fn write(schema: &Schema) -> Result<Document> {
    Ok(Document::parse(schema.to_stored().as_bytes())?)
}

impl SchemaChange {
    /// The schema after the change.
    pub(super) fn apply(&self, before: Option<&Schema>) -> Result<Schema> {
        let mut after = match before {
            Some(before) => before.clone(),
            None => Schema::new(Undeclared::Infer),
        };
        if let Some(undeclared) = self.undeclared {
            after = after.with_undeclared(undeclared);
        }
        let Some(declaration) = &self.declaration else { return Ok(after) };
        let request = Json::parse(declaration)?;
        Ok(after.declare(request, self.metric)?.schema)
    }
}

fn change(
    patience: &Patience<'_>,
    database: &Database,
    collection: CollectionId,
    asked: &SchemaChange,
) -> Result<Schema> {
    let mut checked: Option<Checked> = None;
    for _ in 0..TRIES_MAX {
        patience.check()?;
        let from = database.property(collection, &schema_property())?;
        let before = from.as_ref().map(read).transpose()?;
        let after = asked.apply(before.as_ref())?;
        if before.as_ref() == Some(&after) {
            return Ok(after);
        }
        let known = checked.take().filter(|known| known.from == from);
        let known = match known.map(|known| known.catch_up(database, collection)).transpose()? {
            Some(Some(known)) => known,
            Some(None) | None => Checked::all(patience, database, collection, (from, after))?,
        };
        let schema = known.check.schema.clone();
        let to = Some(write(&schema)?);
        let mut sets =
            vec![PropertySet { property: schema_property(), from: known.from.clone(), to }];
        if known.from.is_none() {
            sets.extend(made_now(patience.engine, database, collection)?);
        }
        let unchanged_since = Some(known.position);
        let amendment = Amendment { collection, create: None, sets, unchanged_since };
        match database.batch_amending(&amendment, Vec::new()) {
            Ok(_) => return Ok(schema),
            Err(refused) if matches!(refused.error, StoreError::TxnConflict(_)) => {
                checked = Some(known);
            }
            Err(refused) => return Err(refused.into()),
        }
    }
    let what = "the collection is written to faster than a change of its schema can be checked; \
                try again";
    Err(EngineError::new(Code::TxnConflict, what))
}

/// Documents that were checked against a schema, up to a position.
struct Checked {
    /// The value that the schema is a change of.
    from: Option<Document>,
    check: Check,
    position: Lsn,
}

impl Checked {
    fn all(
        patience: &Patience<'_>,
        database: &Database,
        collection: CollectionId,
        (from, after): (Option<Document>, Schema),
    ) -> Result<Self> {
        // What is written between the two is looked at twice.
        let position = database.position();
        let snapshot = Snapshot::of(database)?;
        let mut check = Check::of(after);
        snapshot.each(collection, patience, None, |id, stored| {
            check.document(&id, &stored.document);
            Ok(())
        })?;
        check.settle()?;
        Ok(Self { from, check, position })
    }

    /// Checks what was written since; none when the log does not have all of it any more.
    fn catch_up(mut self, database: &Database, collection: CollectionId) -> Result<Option<Self>> {
        let mut feed = database.changes(self.position)?;
        loop {
            let entry = match feed.next() {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(error) if error.code() == Code::LsnTrimmed => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            if let Change::Put { collection: owner, id, document, .. } = entry.change
                && owner == collection
            {
                self.check.document(&id, &document);
            }
        }
        self.position = feed.position().max(self.position);
        self.check.settle()?;
        Ok(Some(self))
    }
}

/// Documents checked against a schema, which grows by them where it infers.
struct Check {
    schema: Schema,
    documents: u64,
    misfits: Vec<String>,
    /// How many there are, those that are not named too.
    misfits_total: u64,
}

impl Check {
    fn of(schema: Schema) -> Self {
        Self { schema, documents: 0, misfits: Vec::new(), misfits_total: 0 }
    }

    fn document(&mut self, id: &DocId, document: &Document) {
        self.documents += 1;
        if let Err(error) = self.fit(id, document) {
            self.misfits_total += 1;
            if self.misfits.len() < MISFITS_MAX {
                self.misfits.push(format!("id={id}: {error}"));
            }
        }
    }

    fn fit(&mut self, id: &DocId, document: &Document) -> std::result::Result<(), SearchError> {
        if self.schema.undeclared() == Undeclared::Infer
            && let Some(grown) = self.schema.infer(document)?
        {
            grown.row(id, document)?;
            self.schema = grown;
            return Ok(());
        }
        self.schema.row(id, document).map(drop)
    }

    /// Whether all fit.
    fn settle(&self) -> Result<()> {
        if self.misfits_total == 0 {
            return Ok(());
        }
        let (total, documents) = (self.misfits_total, self.documents);
        let what = format!(
            "{total} of {documents} documents do not fit the schema; the first of them: {}",
            self.misfits.join("; ")
        );
        Err(EngineError::new(Code::InvalidSchema, what))
    }

    fn finish(self) -> Result<Schema> {
        self.settle()?;
        Ok(self.schema)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_documents_that_do_not_fit_are_named_and_all_are_counted() {
        let declared = Json::parse(br#"{"n":"int"}"#).unwrap();
        let schema = Schema::new(Undeclared::Infer).declare(declared, None).unwrap().schema;
        let mut check = Check::of(schema);
        for id in 0..20 {
            let text: &[u8] = if id % 2 == 0 { br#"{"n":"x"}"# } else { br#"{"n":1,"more":true}"# };
            check.document(&DocId::U64(id), &Document::parse(text).unwrap());
        }
        assert!(check.schema.to_json().contains("more"));
        let error = check.settle().unwrap_err();
        assert_eq!(error.code, Code::InvalidSchema);
        assert!(error.message.starts_with("10 of 20 documents"), "{error}");
        assert_eq!(error.message.matches("id=").count(), MISFITS_MAX);
    }
}
