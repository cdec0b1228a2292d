//! Namespaces: which there are, what they hold, making them and removing them.

use std::sync::Arc;

use base::clock::WallMs;
use base::document::Document;
use base::error::{Code, Coded as _};
use base::words::{CollectionId, Lsn, Name};
use docstore::{Amendment, Database, DropMode, PropertySet, ScanRequest};
use search::json::Json;
use search::schema::Schema;

use super::super::Engine;
use super::super::error::{EngineError, Result};
use super::super::indexes::IndexState;
use super::super::reply::Reply;
use super::super::served::Served;
use super::super::work::How;
use super::indexed::{Indexed, Tried};
use super::query::Consistency;
use super::rule::schema_property;
use super::schema::{SchemaChange, SchemaInfo, stored_schema, write};
use super::snapshot::Waiting;

/// What a namespace is.
#[derive(Debug, Clone)]
pub struct NamespaceInfo {
    /// Its search schema.
    pub schema: Schema,
    /// Visible documents.
    pub documents: u64,
    /// Bytes of them, by those of the first.
    pub bytes: u64,
    /// When it became one; none when nobody wrote that down.
    pub created: Option<WallMs>,
    /// When something of it was changed last; none when the log does not tell any more.
    pub updated: Option<WallMs>,
    /// What is known of its index; none of one that nobody has asked yet.
    pub index: Option<IndexState>,
}

/// Documents by which the bytes of all are guessed.
const SAMPLE: usize = 100;

/// The property that says when a collection became a namespace.
fn created_property() -> Name {
    Name::new("namespace").expect("it is a valid name")
}

/// There is no namespace of this name.
pub(super) fn no_namespace(name: &Name) -> EngineError {
    let what = format!("there is no namespace of this name; write to it first name={name}");
    EngineError::new(Code::CollectionNotFound, what)
}

/// The time of now as a property.
pub(super) fn created_set(engine: &Engine) -> Result<PropertySet> {
    let text = format!("{{\"created_at_ms\":{}}}", engine.clock.wall().0);
    let to = Some(Document::parse(text.as_bytes())?);
    Ok(PropertySet { property: created_property(), from: None, to })
}

/// The same for a collection that may know it already.
pub(super) fn made_now(
    engine: &Engine,
    database: &Database,
    collection: CollectionId,
) -> Result<Option<PropertySet>> {
    let known = database.property(collection, &created_property())?;
    known.is_none().then(|| created_set(engine)).transpose()
}

impl Engine {
    /// The namespaces of a database, by name, behind `after`, of those that begin with `prefix`: at most
    /// `limit`, and whether there are more.
    pub fn namespaces(
        self: &Arc<Self>,
        served: &Arc<Served>,
        prefix: String,
        after: Option<String>,
        limit: usize,
        how: How,
        reply: Reply<(Vec<Name>, bool)>,
    ) {
        self.work(served, 0, how, reply, move |database| {
            let property = schema_property();
            let mut names: Vec<Name> = database
                .collections()?
                .into_iter()
                .filter(|record| record.properties.iter().any(|(name, _)| *name == property))
                .map(|record| record.name)
                .filter(|name| name.as_str().starts_with(&prefix))
                .filter(|name| after.as_deref().is_none_or(|after| name.as_str() > after))
                .collect();
            names.sort();
            let more = names.len() > limit;
            names.truncate(limit);
            Ok((names, more))
        });
    }

    /// What a namespace is.
    pub fn namespace(
        self: &Arc<Self>,
        served: &Arc<Served>,
        name: Name,
        how: How,
        reply: Reply<NamespaceInfo>,
    ) {
        let engine = Arc::clone(self);
        self.work(served, 0, how, reply, move |database| {
            let record = database.collections()?.into_iter().find(|record| record.name == name);
            let record = record.ok_or_else(|| no_namespace(&name))?;
            let schema = stored_schema(database, record.collection)?;
            let schema = schema.ok_or_else(|| no_namespace(&name))?;
            let created = record.properties.iter().find(|(name, _)| *name == created_property());
            let created = created.and_then(|(_, value)| created_at(value));
            let documents = database.count(record.collection)?;
            let bytes = bytes_of(database, record.collection, documents)?;
            let updated = changed_at(database, record.last_change)?.or(created);
            let index = engine.indexes.state(database, record.collection);
            Ok(NamespaceInfo { schema, documents, bytes, created, updated, index })
        });
    }

    /// Makes a namespace: a new collection with a search schema, in one commit.
    pub fn create_namespace(
        self: &Arc<Self>,
        served: &Arc<Served>,
        name: Name,
        asked: SchemaChange,
        reply: Reply<SchemaInfo>,
    ) {
        let engine = Arc::clone(self);
        self.change(served, reply, move |database| {
            let schema = asked.apply(None)?;
            let amendment = new_namespace(&engine, database, name, &schema)?;
            database.batch_amending(&amendment, Vec::new())?;
            engine.indexes.begin(database.id());
            Ok(SchemaInfo { schema, sampled: None })
        });
    }

    /// Has what queries of a namespace read fetched into the cache; answers how many bytes that were.
    pub fn warm_namespace(
        self: &Arc<Self>,
        served: &Arc<Served>,
        name: Name,
        how: How,
        waiting: Waiting,
        reply: Reply<u64>,
    ) {
        self.search(served, (how, waiting), reply, move |patience, database| {
            let collection = super::found(database, &name)?.ok_or_else(|| no_namespace(&name))?;
            let schema = stored_schema(database, collection)?.ok_or_else(|| no_namespace(&name))?;
            let indexed = Indexed { patience, database, collection, schema: &schema };
            let room = patience.engine.options.search.cache_bytes as u64;
            let warmed = indexed.ask(Consistency::Eventual, |index| Ok(index.warm(room)?))?;
            // Where there is no index, documents are read where they are.
            Ok(match warmed {
                Tried::Answered(bytes) => bytes,
                Tried::Not(_) => 0,
            })
        });
    }

    /// Removes a namespace with its documents.
    pub fn drop_namespace(self: &Arc<Self>, served: &Arc<Served>, name: Name, reply: Reply<()>) {
        self.change(served, reply, move |database| {
            let collection = super::found(database, &name)?.ok_or_else(|| no_namespace(&name))?;
            if stored_schema(database, collection)?.is_none() {
                return Err(no_namespace(&name));
            }
            Ok(database.drop_collection(&name, DropMode::Force)?)
        });
    }
}

/// About how many bytes so many documents have: as many each as the first of them on average.
fn bytes_of(database: &Database, collection: CollectionId, documents: u64) -> Result<u64> {
    let page = database.scan(&ScanRequest::all(collection, SAMPLE))?;
    if let Some(snapshot) = page.next.as_ref().and_then(ScanRequest::snapshot) {
        database.release(snapshot);
    }
    let bytes: usize =
        page.documents.iter().map(|(_, stored)| stored.document.as_bytes().len()).sum();
    let count = page.documents.len().max(1);
    Ok((bytes as u64).saturating_mul(documents) / count as u64)
}

/// What makes a namespace.
pub(super) fn new_namespace(
    engine: &Engine,
    database: &Database,
    name: Name,
    schema: &Schema,
) -> Result<Amendment> {
    let collection = database.next_collection();
    let to = Some(write(schema)?);
    let set = PropertySet { property: schema_property(), from: None, to };
    let sets = vec![set, created_set(engine)?];
    Ok(Amendment { collection, create: Some(name), sets, unchanged_since: None })
}

fn created_at(value: &Document) -> Option<WallMs> {
    Json::of(value).get("created_at_ms")?.number()?.parse().ok().map(WallMs)
}

/// When a change was committed, as far as the log has it.
fn changed_at(database: &Database, lsn: Lsn) -> Result<Option<WallMs>> {
    let mut feed = database.changes(Lsn(lsn.0.saturating_sub(1)))?;
    match feed.next() {
        Ok(entry) => Ok(entry.map(|entry| entry.wall)),
        Err(error) if error.code() == Code::LsnTrimmed => Ok(None),
        Err(error) => Err(error.into()),
    }
}
