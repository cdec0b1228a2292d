//! fjall: one database, one keyspace.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};

use super::{Engine, Settings, Visit, as_usize, missing, with_score};

pub(super) const SETUP: &str = "a batch with `PersistMode::SyncData` per commit; `expect_point_read_hits`, LZ4, else defaults; patches under one lock, which costs less than its \
    transactions";

pub(super) struct Fjall {
    database: Database,
    documents: Keyspace,
    patching: Mutex<()>,
}

fn failed(error: fjall::Error) -> io::Error {
    io::Error::other(error)
}

impl Fjall {
    pub(super) fn open(dir: &Path, settings: &Settings) -> io::Result<Self> {
        let builder = Database::builder(dir).cache_size(settings.cache_bytes);
        let database = builder.open().map_err(failed)?;
        let options = || KeyspaceCreateOptions::default().expect_point_read_hits(true);
        let documents = database.keyspace("documents", options).map_err(failed)?;
        Ok(Self { database, documents, patching: Mutex::default() })
    }

    fn batch(&self) -> OwnedWriteBatch {
        self.database.batch().durability(Some(PersistMode::SyncData))
    }
}

impl Engine for Fjall {
    fn put(&self, entries: &[(u64, &[u8])]) -> io::Result<()> {
        let mut batch = self.batch();
        for (id, text) in entries {
            batch.insert(&self.documents, key(*id), *text);
        }
        batch.commit().map_err(failed)
    }

    fn get(&self, id: u64, out: &mut Vec<u8>) -> io::Result<bool> {
        out.clear();
        let Some(text) = self.documents.get(key(id)).map_err(failed)? else { return Ok(false) };
        out.extend_from_slice(&text);
        Ok(true)
    }

    fn scan(&self, from: u64, limit: u64, visit: Visit<'_>) -> io::Result<()> {
        for entry in self.documents.range(key(from)..).take(as_usize(limit)) {
            let (id, text) = entry.into_inner().map_err(failed)?;
            let id = <[u8; 8]>::try_from(&*id).map_err(io::Error::other)?;
            visit(number(id), &text)?;
        }
        Ok(())
    }

    fn patch(&self, ids: &[u64], value: u64) -> io::Result<()> {
        let _alone = self.patching.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = self.batch();
        for id in ids {
            let text = self.documents.get(key(*id)).map_err(failed)?;
            let text = text.ok_or_else(|| missing(*id))?;
            batch.insert(&self.documents, key(*id), with_score(&text, value)?);
        }
        batch.commit().map_err(failed)
    }
}

/// Keys sort as their numbers do.
#[expect(clippy::big_endian_bytes, reason = "the order of bytes is that of the keys")]
pub(super) const fn key(id: u64) -> [u8; 8] {
    id.to_be_bytes()
}

/// The number of a key.
#[expect(clippy::big_endian_bytes, reason = "the order of bytes is that of the keys")]
pub(super) const fn number(key: [u8; 8]) -> u64 {
    u64::from_be_bytes(key)
}
