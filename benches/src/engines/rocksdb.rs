//! RocksDB by its C interface, which is in [`crate::rocks`].

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::fjall::{key, number};
use super::{Engine, Settings, Visit, as_usize, missing, with_score};
use crate::rocks::{Rocks, Setup};

pub(super) const SETUP: &str = "as the page \"Setup Options and Basic Tuning\" of its wiki has it: \
    dynamic level bytes, blocks of 16 KiB in format 5, bloom filters of 10 bits, index and filter \
    blocks in the block cache and those of level 0 pinned, `bytes_per_sync` 1 MiB, 6 background \
    jobs, LZ4, and 4 recycled log files so that a sync writes no metadata; `sync` on every write; patches under one lock, which costs less than its transactions";

pub(super) struct RocksDb {
    rocks: Rocks,
    patching: Mutex<()>,
}

impl RocksDb {
    pub(super) fn open(dir: &Path, settings: &Settings) -> io::Result<Self> {
        let setup = Setup::Tuned { cache_bytes: as_usize(settings.cache_bytes) };
        Ok(Self { rocks: Rocks::open(dir, setup)?, patching: Mutex::default() })
    }
}

impl Engine for RocksDb {
    fn put(&self, entries: &[(u64, &[u8])]) -> io::Result<()> {
        self.rocks.write(entries.iter().map(|(id, text)| (key(*id), *text)))
    }

    fn get(&self, id: u64, out: &mut Vec<u8>) -> io::Result<bool> {
        self.rocks.get(&key(id), out)
    }

    fn scan(&self, from: u64, limit: u64, visit: Visit<'_>) -> io::Result<()> {
        self.rocks.scan(&key(from), limit, &mut |key, text| {
            visit(number(key.try_into().map_err(io::Error::other)?), text)
        })
    }

    fn patch(&self, ids: &[u64], value: u64) -> io::Result<()> {
        let _alone = self.patching.lock().unwrap_or_else(PoisonError::into_inner);
        let mut texts = Vec::with_capacity(ids.len());
        let mut text = Vec::new();
        for id in ids {
            if !self.rocks.get(&key(*id), &mut text)? {
                return Err(missing(*id));
            }
            texts.push(with_score(&text, value)?);
        }
        let entries = ids.iter().zip(&texts);
        self.rocks.write(entries.map(|(id, text)| (key(*id), text.as_slice())))
    }

    fn facts(&self) -> io::Result<Value> {
        Ok(json!({"stats": self.rocks.property("rocksdb.levelstats")}))
    }
}
