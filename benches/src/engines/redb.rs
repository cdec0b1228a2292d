//! redb: one file, one table.

use std::io;
use std::path::Path;

use base::io::{Disk as _, RealDisk};
use redb::{Builder, Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::{Engine, Settings, Visit, as_usize, missing, with_score};

pub(super) const SETUP: &str = "a write transaction per commit with the default \
    `Durability::Immediate`, else defaults";

const DOCUMENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("documents");

pub(super) struct Redb {
    database: Database,
}

fn failed(error: impl Into<redb::Error>) -> io::Error {
    io::Error::other(error.into())
}

impl Redb {
    pub(super) fn open(dir: &Path, settings: &Settings) -> io::Result<Self> {
        let is_new = RealDisk.stat(dir)?.is_none();
        if is_new {
            RealDisk.create_dir(dir)?;
        }
        let mut builder = Builder::new();
        builder.set_cache_size(as_usize(settings.cache_bytes));
        let database = builder.create(dir.join("documents.redb")).map_err(failed)?;
        if is_new {
            let tx = database.begin_write().map_err(failed)?;
            tx.open_table(DOCUMENTS).map_err(failed)?;
            tx.commit().map_err(failed)?;
        }
        Ok(Self { database })
    }
}

impl Engine for Redb {
    fn put(&self, entries: &[(u64, &[u8])]) -> io::Result<()> {
        let tx = self.database.begin_write().map_err(failed)?;
        {
            let mut documents = tx.open_table(DOCUMENTS).map_err(failed)?;
            for (id, text) in entries {
                documents.insert(id, text).map_err(failed)?;
            }
        }
        tx.commit().map_err(failed)
    }

    fn get(&self, id: u64, out: &mut Vec<u8>) -> io::Result<bool> {
        out.clear();
        let tx = self.database.begin_read().map_err(failed)?;
        let documents = tx.open_table(DOCUMENTS).map_err(failed)?;
        let Some(text) = documents.get(id).map_err(failed)? else { return Ok(false) };
        out.extend_from_slice(text.value());
        Ok(true)
    }

    fn scan(&self, from: u64, limit: u64, visit: Visit<'_>) -> io::Result<()> {
        let tx = self.database.begin_read().map_err(failed)?;
        let documents = tx.open_table(DOCUMENTS).map_err(failed)?;
        for entry in documents.range(from..).map_err(failed)?.take(as_usize(limit)) {
            let (id, text) = entry.map_err(failed)?;
            visit(id.value(), text.value())?;
        }
        Ok(())
    }

    fn patch(&self, ids: &[u64], value: u64) -> io::Result<()> {
        let tx = self.database.begin_write().map_err(failed)?;
        {
            let mut documents = tx.open_table(DOCUMENTS).map_err(failed)?;
            for id in ids {
                let text = {
                    let found = documents.get(id).map_err(failed)?;
                    with_score(found.ok_or_else(|| missing(*id))?.value(), value)?
                };
                documents.insert(id, &*text).map_err(failed)?;
            }
        }
        tx.commit().map_err(failed)
    }
}
