//! Ours: one database of the document store, one collection.

use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use base::document::Document;
use base::io::{Disk as _, RealDisk};
use base::memory::Budget;
use base::words::DocId;
use docstore::patch::Patch;
use docstore::{
    Action, DEFAULT_COLLECTION, Database, Options, ScanRequest, StoreError, Write, default_name,
};
use serde_json::{Value, json};

use super::{Engine, Settings, Visit, as_usize};
use crate::log;

pub(super) const SETUP: &str = "every setting at its default: one fdatasync per group of commits, \
    checkpoint every 64 MiB of log, parity on; no cache but the system's; documents are validated \
    when they are written";

/// Documents of a page of a scan.
const PAGE: u64 = 1000;
/// What it may take for everything, beside what was set as the others' cache.
const MEMORY_BYTES: u64 = 1 << 30;

pub(super) struct Docdb {
    database: Database,
}

fn failed(error: StoreError) -> io::Error {
    io::Error::other(error)
}

impl Docdb {
    pub(super) fn open(dir: &Path, settings: &Settings) -> io::Result<Self> {
        let budget = Budget::new("bench", MEMORY_BYTES.max(settings.cache_bytes));
        let (environment, options) = (log::environment(), Options::default());
        let database = if RealDisk.stat(dir)?.is_some() {
            Database::open(&environment, dir, options, &budget).map(|(database, _)| database)
        } else {
            Database::create(&environment, dir, &default_name(), options, &budget)
        };
        Ok(Self { database: database.map_err(failed)? })
    }

    fn commit(&self, writes: Vec<Write>) -> io::Result<()> {
        self.database.batch(writes).map(drop).map_err(io::Error::other)
    }
}

impl Engine for Docdb {
    fn put(&self, entries: &[(u64, &[u8])]) -> io::Result<()> {
        let write = |(id, text): &(u64, &[u8])| {
            let document = Document::parse(text).map_err(io::Error::other)?;
            Ok(Write::upsert(DEFAULT_COLLECTION, DocId::U64(*id), document))
        };
        self.commit(entries.iter().map(write).collect::<io::Result<_>>()?)
    }

    fn get(&self, id: u64, out: &mut Vec<u8>) -> io::Result<bool> {
        out.clear();
        let found = self.database.get(DEFAULT_COLLECTION, &DocId::U64(id)).map_err(failed)?;
        let Some(stored) = found else { return Ok(false) };
        out.extend_from_slice(stored.document.as_bytes());
        Ok(true)
    }

    fn scan(&self, from: u64, limit: u64, visit: Visit<'_>) -> io::Result<()> {
        let first = as_usize(limit.min(PAGE));
        let from = Bound::Included(DocId::U64(from));
        let mut left = limit;
        let all = ScanRequest::all(DEFAULT_COLLECTION, first).range(from, Bound::Unbounded);
        let mut next = Some(all);
        while let Some(mut request) = next.take().filter(|_| left > 0) {
            request.limit = request.limit.min(as_usize(left));
            let page = self.database.scan(&request).map_err(failed)?;
            for (id, stored) in &page.documents {
                let DocId::U64(id) = id else { return Err(io::Error::other("not a number")) };
                visit(*id, stored.document.as_bytes())?;
            }
            left -= page.documents.len() as u64;
            next = page.next;
        }
        // A scan that is not read to its end holds a snapshot.
        if let Some(snapshot) = next.and_then(|request| request.snapshot()) {
            self.database.release(snapshot);
        }
        Ok(())
    }

    fn patch(&self, ids: &[u64], value: u64) -> io::Result<()> {
        let text = format!(r#"[{{"op":"set","path":"/score","value":{value}}}]"#);
        let patch = Patch::parse(text.as_bytes()).map_err(io::Error::other)?;
        let action = Action::Patch(Arc::new(patch));
        let write = |id: &u64| Write {
            collection: DEFAULT_COLLECTION,
            id: DocId::U64(*id),
            action: action.clone(),
            conditions: Vec::new(),
            otherwise: docstore::Otherwise::Refuse,
        };
        self.commit(ids.iter().map(write).collect())
    }

    fn facts(&self) -> io::Result<Value> {
        let stats = self.database.stats().map_err(failed)?;
        Ok(json!({
            "index_bytes": stats.index_bytes,
            "data_bytes": stats.data_bytes,
            "checkpoints": stats.checkpoints,
            "last_compaction": stats.last_compaction.0,
        }))
    }

    fn close(self: Box<Self>) -> io::Result<()> {
        self.database.close().map_err(failed)
    }
}
