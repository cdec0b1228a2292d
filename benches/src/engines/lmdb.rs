//! LMDB by `heed`: one environment, its unnamed database.

#![expect(unsafe_code, reason = "a memory map is only as safe as what else touches the file")]

use std::io;
use std::path::Path;

use base::io::{Disk as _, RealDisk};
use heed::byteorder::BigEndian;
use heed::types::{Bytes, U64};
use heed::{CommitOrAbort, EnvFlags, EnvOpenOptions, WithoutTls};

use super::{Engine, Settings, Visit, as_usize, missing, with_score};

pub(super) const SETUP: &str = "a write transaction per commit, synchronous as by default; map of \
    four times the data; `MDB_NORDAHEAD` where the data is larger than memory; no cache but the \
    system's";

type Documents = heed::Database<'static, U64<BigEndian>, Bytes>;
type Env = heed::Env<WithoutTls>;

pub(super) struct Lmdb {
    documents: Documents,
    env: Env,
}

fn failed(error: heed::Error) -> io::Error {
    io::Error::other(error)
}

pub(super) fn version() -> String {
    let version = heed::lmdb_version();
    format!("LMDB {}.{}.{}", version.major, version.minor, version.patch)
}

impl Lmdb {
    pub(super) fn open(dir: &Path, settings: &Settings) -> io::Result<Self> {
        if RealDisk.stat(dir)?.is_none() {
            RealDisk.create_dir(dir)?;
        }
        let data = settings.documents * (settings.document_bytes + 64);
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(as_usize((4 * data + (1 << 30)).next_multiple_of(1 << 20)));
        if settings.is_larger_than_memory {
            // SAFETY: this flag changes how the system reads ahead, nothing else.
            unsafe { options.flags(EnvFlags::NO_READ_AHEAD) };
        }
        // SAFETY: the directory is the bench's own; nothing else opens or changes it meanwhile.
        let env = unsafe { options.open(dir) }.map_err(failed)?;
        let tx = env.write_txn().map_err(failed)?;
        let made = env.create_databases_and_commit(tx, |opener, tx| {
            opener.create_database(tx, None).map(CommitOrAbort::<_, ()>::Commit)
        });
        let documents = made.map_err(failed)?.unwrap_commit();
        Ok(Self { documents, env })
    }
}

impl Engine for Lmdb {
    fn put(&self, entries: &[(u64, &[u8])]) -> io::Result<()> {
        let mut tx = self.env.write_txn().map_err(failed)?;
        for (id, text) in entries {
            self.documents.put(&mut tx, id, text).map_err(failed)?;
        }
        tx.commit().map_err(failed)
    }

    fn get(&self, id: u64, out: &mut Vec<u8>) -> io::Result<bool> {
        out.clear();
        let tx = self.env.read_txn().map_err(failed)?;
        let Some(text) = self.documents.get(&tx, &id).map_err(failed)? else { return Ok(false) };
        out.extend_from_slice(text);
        Ok(true)
    }

    fn scan(&self, from: u64, limit: u64, visit: Visit<'_>) -> io::Result<()> {
        let tx = self.env.read_txn().map_err(failed)?;
        let entries = self.documents.range(&tx, &(from..)).map_err(failed)?;
        for entry in entries.take(as_usize(limit)) {
            let (id, text) = entry.map_err(failed)?;
            visit(id, text)?;
        }
        Ok(())
    }

    fn patch(&self, ids: &[u64], value: u64) -> io::Result<()> {
        let mut tx = self.env.write_txn().map_err(failed)?;
        for id in ids {
            let text = self.documents.get(&tx, id).map_err(failed)?;
            let text = with_score(text.ok_or_else(|| missing(*id))?, value)?;
            self.documents.put(&mut tx, id, &text).map_err(failed)?;
        }
        tx.commit().map_err(failed)
    }

    fn close(self: Box<Self>) -> io::Result<()> {
        self.env.prepare_for_closing().wait();
        Ok(())
    }
}
