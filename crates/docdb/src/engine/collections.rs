//! Collections: what there is, making and dropping them, the schema that their documents must fit.

use std::sync::Arc;

use base::document::Document;
use base::words::{CollectionId, Lsn, Name};
use bytes::Bytes;
use docstore::{CollectionRecord, Database, DropMode, StoreError};

use super::Engine;
use super::error::Result;
use super::reply::Reply;
use super::served::Served;
use super::work::How;

/// What a collection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionInfo {
    /// Its name.
    pub name: Name,
    /// Its number, never given to another one.
    pub number: CollectionId,
    /// Visible documents.
    pub documents: u64,
    /// The newest change of anything in it.
    pub last_change: Lsn,
    /// Whether its documents must fit a JSON Schema.
    pub validated: bool,
}

/// Whether a collection may be dropped with what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropCollection {
    /// Only when it is empty.
    IfEmpty,
    /// With everything in it.
    Force,
}

impl Engine {
    /// The collections of a database, by name.
    pub fn collections(
        self: &Arc<Self>,
        served: &Arc<Served>,
        how: How,
        reply: Reply<Vec<CollectionInfo>>,
    ) {
        self.work(served, 0, how, reply, |database| {
            let records = database.collections()?;
            let infos: Result<Vec<_>> =
                records.into_iter().map(|record| info(database, record)).collect();
            let mut infos = infos?;
            infos.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(infos)
        });
    }

    /// One collection.
    pub fn collection(
        self: &Arc<Self>,
        served: &Arc<Served>,
        name: Name,
        how: How,
        reply: Reply<CollectionInfo>,
    ) {
        self.work(served, 0, how, reply, move |database| {
            let number = database.collection(&name)?;
            let records = database.collections()?;
            let record = records.into_iter().find(|record| record.collection == number);
            // Dropped between the two looks.
            let gone = || StoreError::CollectionNotFound(Arc::from(name.as_str()));
            info(database, record.ok_or_else(gone)?)
        });
    }

    /// Makes a collection; answered when it is durable.
    pub fn create_collection(
        self: &Arc<Self>,
        served: &Arc<Served>,
        name: Name,
        reply: Reply<CollectionId>,
    ) {
        self.change(served, reply, move |database| Ok(database.create_collection(&name)?));
    }

    /// Removes a collection; answered when that is durable.
    pub fn drop_collection(
        self: &Arc<Self>,
        served: &Arc<Served>,
        name: Name,
        mode: DropCollection,
        reply: Reply<()>,
    ) {
        let mode = match mode {
            DropCollection::IfEmpty => DropMode::IfEmpty,
            DropCollection::Force => DropMode::Force,
        };
        self.change(served, reply, move |database| Ok(database.drop_collection(&name, mode)?));
    }

    /// The JSON Schema of a collection, if it has one.
    pub fn validation(
        self: &Arc<Self>,
        served: &Arc<Served>,
        name: Name,
        how: How,
        reply: Reply<Option<Document>>,
    ) {
        self.work(served, 0, how, reply, move |database| {
            Ok(database.validation(database.collection(&name)?)?)
        });
    }

    /// Sets the JSON Schema of a collection, or takes it away; answered when that is durable.
    pub fn set_validation(
        self: &Arc<Self>,
        served: &Arc<Served>,
        name: Name,
        schema: Option<Bytes>,
        reply: Reply<()>,
    ) {
        self.change(served, reply, move |database| {
            let schema = schema.map(|schema| Document::parse(&schema)).transpose()?;
            Ok(database.set_validation(database.collection(&name)?, schema)?)
        });
    }
}

fn info(database: &Database, record: CollectionRecord) -> Result<CollectionInfo> {
    let validated = record.properties.iter().any(|(name, _)| name.as_str() == "validation");
    let (name, number, last_change) = (record.name, record.collection, record.last_change);
    let documents = database.count(number)?;
    Ok(CollectionInfo { name, number, documents, last_change, validated })
}
