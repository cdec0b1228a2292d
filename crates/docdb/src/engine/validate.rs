//! Reading documents to see whether they are sound: their checksums and identity, and whether they
//! fit the schema of their collection. Changes nothing but what reads heal anyway.

use std::ops::Bound;
use std::sync::Arc;

use base::error::{Code, Coded};
use base::words::{DocId, Name};
use docstore::validation::Validation as Schema;
use docstore::{Database, ScanRequest, StoreError};

use super::Engine;
use super::error::Result;
use super::reply::Reply;
use super::served::Served;

/// Documents of a page.
const PAGE: usize = 1000;
/// Documents that are named, at most; all are counted.
pub const FLAWS_MAX: usize = 1000;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validation {
    /// Documents that were read.
    pub documents: u64,
    /// Of them, those that are not sound.
    pub unsound: u64,
    /// The first of those, at most [`FLAWS_MAX`].
    pub flaws: Vec<Flaw>,
}

/// A document that is not sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// The collection.
    pub collection: Name,
    /// Which document.
    pub id: DocId,
    /// `DocCorrupt`, or `InvalidSchema` when it does not fit.
    pub code: Code,
    /// What is wrong with it.
    pub message: String,
}

impl Engine {
    /// Reads every document of a collection, or of all, and says which are not sound. What is
    /// written meanwhile may or may not be looked at.
    pub fn validate(
        self: &Arc<Self>,
        served: &Arc<Served>,
        collection: Option<Name>,
        reply: Reply<Validation>,
    ) {
        self.operate(served, reply, move |database| {
            let mut found = Validation::default();
            match collection {
                Some(name) => check(database, &name, &mut found)?,
                None => {
                    for record in database.collections()? {
                        match check(database, &record.name, &mut found) {
                            // Dropped since the list was made.
                            Err(error) if error.code == Code::CollectionNotFound => {}
                            checked => checked?,
                        }
                    }
                }
            }
            Ok(found)
        });
    }
}

impl Validation {
    fn add(&mut self, collection: &Name, id: DocId, code: Code, message: String) {
        self.unsound += 1;
        if self.flaws.len() < FLAWS_MAX {
            self.flaws.push(Flaw { collection: collection.clone(), id, code, message });
        }
    }
}

fn check(database: &Database, name: &Name, found: &mut Validation) -> Result<()> {
    let collection = database.collection(name)?;
    let schema = database.validation(collection)?;
    let schema = schema.map(|schema| Schema::compile(&schema)).transpose();
    let schema = schema.map_err(StoreError::from)?;
    let mut from = Bound::Unbounded;
    loop {
        let page = ScanRequest::all(collection, PAGE).range(from, Bound::Unbounded);
        let read = database.scan(&page);
        let page = match read {
            Ok(page) => page,
            // The page may hold sound documents before it: they are read one by one.
            Err(StoreError::DocCorrupt { .. }) => {
                match one_by_one(database, name, &page, schema.as_ref(), found)? {
                    Some(last) => from = Bound::Excluded(last),
                    None => return Ok(()),
                }
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(snapshot) = page.next.as_ref().and_then(ScanRequest::snapshot) {
            // The next page is asked for anew, so that a long check holds nothing.
            database.release(snapshot);
        }
        for (id, stored) in &page.documents {
            found.documents += 1;
            fits(name, id, stored, schema.as_ref(), found);
        }
        match (&page.next, page.documents.last()) {
            (Some(_), Some((last, _))) => from = Bound::Excluded(last.clone()),
            (_, _) => return Ok(()),
        }
    }
}

/// Reads on, a document at a time, up to and including the damaged one; answers its id.
fn one_by_one(
    database: &Database,
    name: &Name,
    page: &ScanRequest,
    schema: Option<&Schema>,
    found: &mut Validation,
) -> Result<Option<DocId>> {
    let mut from = page.from.clone();
    loop {
        let one = ScanRequest::all(page.collection, 1).range(from, Bound::Unbounded);
        match database.scan(&one) {
            Ok(read) => {
                if let Some(snapshot) = read.next.as_ref().and_then(ScanRequest::snapshot) {
                    database.release(snapshot);
                }
                let Some((id, stored)) = read.documents.into_iter().next() else { return Ok(None) };
                found.documents += 1;
                fits(name, &id, &stored, schema, found);
                from = Bound::Excluded(id);
            }
            Err(error @ StoreError::DocCorrupt { .. }) => {
                let message = error.to_string();
                let StoreError::DocCorrupt { id, .. } = error else { return Ok(None) };
                found.documents += 1;
                found.add(name, id.clone(), Code::DocCorrupt, message);
                return Ok(Some(id));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn fits(
    name: &Name,
    id: &DocId,
    stored: &docstore::Stored,
    schema: Option<&Schema>,
    found: &mut Validation,
) {
    if let Some(Err(error)) = schema.map(|schema| schema.check(&stored.document)) {
        found.add(name, id.clone(), error.code(), error.to_string());
    }
}
