//! SQLite: one table with an integer key.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base::io::{Disk as _, RealDisk};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::{Engine, Settings, Visit, missing, with_score};

pub(super) const SETUP: &str = "`journal_mode=WAL`, `synchronous=FULL`, statements prepared once; \
    one connection that writes, behind a lock, since threads that collide would sleep and try \
    again, and one per reading thread; `mmap_size` of 2 GiB, which is the most it takes (0 where \
    the data is larger than memory), and 32 MiB of page cache per connection (less where memory is)";

const UPSERT: &str = "INSERT INTO documents(id, document) VALUES(?1, ?2) \
    ON CONFLICT(id) DO UPDATE SET document = excluded.document";
const GET: &str = "SELECT document FROM documents WHERE id = ?1";
const SCAN: &str = "SELECT id, document FROM documents WHERE id >= ?1 ORDER BY id LIMIT ?2";
const CACHE_BYTES_MAX: u64 = 32 << 20;
const MMAP_BYTES_MAX: u64 = 2_147_418_112;

pub(super) struct Sqlite {
    path: PathBuf,
    options: Options,
    writer: Mutex<Connection>,
    /// Connections for reading that nobody uses now.
    idle: Mutex<Vec<Connection>>,
}

/// Of a connection.
#[derive(Clone, Copy)]
struct Options {
    cache_bytes: u64,
    /// None where the data is larger than memory: pages that are mapped are then read again and again,
    /// each with what is behind it.
    mmap_bytes: u64,
}

fn failed(error: rusqlite::Error) -> io::Error {
    io::Error::other(error)
}

fn key(id: u64) -> io::Result<i64> {
    i64::try_from(id).map_err(io::Error::other)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(path: &Path, options: Options) -> io::Result<Connection> {
    let connection = Connection::open(path).map_err(failed)?;
    let (cache_kib, mmap) = (options.cache_bytes / 1024, options.mmap_bytes);
    let setup = format!(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA mmap_size={mmap}; \
         PRAGMA cache_size=-{cache_kib};"
    );
    connection.execute_batch(&setup).map_err(failed)?;
    Ok(connection)
}

impl Sqlite {
    pub(super) fn open(dir: &Path, settings: &Settings) -> io::Result<Self> {
        let is_new = RealDisk.stat(dir)?.is_none();
        if is_new {
            RealDisk.create_dir(dir)?;
        }
        let path = dir.join("documents.sqlite");
        let cache_bytes = CACHE_BYTES_MAX.min(settings.cache_bytes / 12);
        let mmap_bytes = if settings.is_larger_than_memory { 0 } else { MMAP_BYTES_MAX };
        let options = Options { cache_bytes, mmap_bytes };
        let writer = connect(&path, options)?;
        if is_new {
            let table = "CREATE TABLE documents(id INTEGER PRIMARY KEY, document TEXT NOT NULL)";
            writer.execute_batch(table).map_err(failed)?;
        }
        Ok(Self { path, options, writer: Mutex::new(writer), idle: Mutex::default() })
    }

    /// Reads with a connection that no other thread uses meanwhile.
    fn with_reader<T>(&self, read: impl FnOnce(&Connection) -> io::Result<T>) -> io::Result<T> {
        let idle = lock(&self.idle).pop();
        let connection = idle.map_or_else(|| connect(&self.path, self.options), Ok)?;
        let answer = read(&connection);
        lock(&self.idle).push(connection);
        answer
    }
}

impl Engine for Sqlite {
    fn put(&self, entries: &[(u64, &[u8])]) -> io::Result<()> {
        let mut writer = lock(&self.writer);
        let immediate = TransactionBehavior::Immediate;
        let tx = writer.transaction_with_behavior(immediate).map_err(failed)?;
        {
            let mut upsert = tx.prepare_cached(UPSERT).map_err(failed)?;
            for (id, text) in entries {
                let text = std::str::from_utf8(text).map_err(io::Error::other)?;
                upsert.execute((key(*id)?, text)).map_err(failed)?;
            }
        }
        tx.commit().map_err(failed)
    }

    fn get(&self, id: u64, out: &mut Vec<u8>) -> io::Result<bool> {
        out.clear();
        self.with_reader(|connection| {
            let mut get = connection.prepare_cached(GET).map_err(failed)?;
            let copied = get.query_row([key(id)?], |row| {
                out.extend_from_slice(row.get_ref(0)?.as_bytes()?);
                Ok(())
            });
            copied.optional().map(|found| found.is_some()).map_err(failed)
        })
    }

    fn scan(&self, from: u64, limit: u64, visit: Visit<'_>) -> io::Result<()> {
        self.with_reader(|connection| {
            let mut scan = connection.prepare_cached(SCAN).map_err(failed)?;
            let mut rows = scan.query([key(from)?, key(limit)?]).map_err(failed)?;
            while let Some(row) = rows.next().map_err(failed)? {
                let id: i64 = row.get(0).map_err(failed)?;
                let text = row.get_ref(1).map_err(failed)?;
                let text = text.as_bytes().map_err(io::Error::other)?;
                visit(u64::try_from(id).map_err(io::Error::other)?, text)?;
            }
            Ok(())
        })
    }

    fn patch(&self, ids: &[u64], value: u64) -> io::Result<()> {
        let mut writer = lock(&self.writer);
        let immediate = TransactionBehavior::Immediate;
        let tx = writer.transaction_with_behavior(immediate).map_err(failed)?;
        {
            let mut get = tx.prepare_cached(GET).map_err(failed)?;
            let mut upsert = tx.prepare_cached(UPSERT).map_err(failed)?;
            for id in ids {
                let key = key(*id)?;
                let text: Option<String> =
                    get.query_row([key], |row| row.get(0)).optional().map_err(failed)?;
                let text = text.ok_or_else(|| missing(*id))?;
                let text = String::from_utf8(with_score(text.as_bytes(), value)?);
                upsert.execute((key, text.map_err(io::Error::other)?)).map_err(failed)?;
            }
        }
        tx.commit().map_err(failed)
    }
}
