//! The engines that are measured beside each other, behind one trait: texts by number, each write
//! durable when it returns, each patch one read, one change and one write that nothing comes
//! between.
//!
//! Every engine is set up as its own documentation recommends; [`Kind::setup`] says how in words,
//! for the report. What an engine could do beyond the trait is not measured.

mod docdb;
mod fjall;
mod lmdb;
mod redb;
mod rocksdb;
mod sqlite;

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Sees a document of a scan.
pub type Visit<'a> = &'a mut dyn FnMut(u64, &[u8]) -> io::Result<()>;

/// An open store of JSON documents by number.
pub trait Engine: Send + Sync {
    /// Makes or replaces all of these or none; durable on return.
    ///
    /// # Errors
    /// What the engine says.
    fn put(&self, entries: &[(u64, &[u8])]) -> io::Result<()>;

    /// Replaces `out` by a copy of the newest version of a document; false when there is none.
    ///
    /// # Errors
    /// What the engine says.
    fn get(&self, id: u64, out: &mut Vec<u8>) -> io::Result<bool>;

    /// Shows up to `limit` documents from `from` on, in the order of their numbers, at one moment.
    ///
    /// # Errors
    /// What the engine says, and those of `visit`.
    fn scan(&self, from: u64, limit: u64, visit: Visit<'_>) -> io::Result<()>;

    /// Sets the member `score` of all of these documents or none to `value`; durable on return.
    ///
    /// # Errors
    /// What the engine says; when one of the documents is missing.
    fn patch(&self, ids: &[u64], value: u64) -> io::Result<()>;

    /// What else it tells of itself: memory of its index, checkpoints and the like.
    ///
    /// # Errors
    /// What the engine says.
    fn facts(&self) -> io::Result<Value> {
        Ok(Value::Null)
    }

    /// Closes it as its documentation says.
    ///
    /// # Errors
    /// What the engine says.
    fn close(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

/// How an engine is opened.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Settings {
    /// How many documents there will be.
    pub documents: u64,
    /// How long each is, about.
    pub document_bytes: u64,
    /// How much memory the engine may take for a cache of its own.
    pub cache_bytes: u64,
    /// Whether the data is larger than the memory.
    pub is_larger_than_memory: bool,
}

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Ours.
    Docdb,
    /// RocksDB.
    Rocksdb,
    /// fjall.
    Fjall,
    /// LMDB.
    Lmdb,
    /// SQLite.
    Sqlite,
    /// redb.
    Redb,
}

impl Kind {
    /// All but ours.
    pub const PEERS: [Self; 5] = [Self::Rocksdb, Self::Fjall, Self::Lmdb, Self::Sqlite, Self::Redb];

    /// Opens the database in the directory `dir`, which is made when it does not exist.
    ///
    /// # Errors
    /// What the engine says.
    pub fn open(self, dir: &Path, settings: &Settings) -> io::Result<Box<dyn Engine>> {
        Ok(match self {
            Self::Docdb => Box::new(docdb::Docdb::open(dir, settings)?),
            Self::Rocksdb => Box::new(rocksdb::RocksDb::open(dir, settings)?),
            Self::Fjall => Box::new(fjall::Fjall::open(dir, settings)?),
            Self::Lmdb => Box::new(lmdb::Lmdb::open(dir, settings)?),
            Self::Sqlite => Box::new(sqlite::Sqlite::open(dir, settings)?),
            Self::Redb => Box::new(redb::Redb::open(dir, settings)?),
        })
    }

    /// One word for names of cases and directories.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Docdb => "docdb",
            Self::Rocksdb => "rocksdb",
            Self::Fjall => "fjall",
            Self::Lmdb => "lmdb",
            Self::Sqlite => "sqlite",
            Self::Redb => "redb",
        }
    }

    /// Name and version.
    #[must_use]
    pub fn title(self) -> String {
        match self {
            Self::Docdb => format!("docdb {}", env!("CARGO_PKG_VERSION")),
            Self::Rocksdb => format!("RocksDB {}", crate::rocks::version()),
            Self::Fjall => format!("fjall {}", locked_version("fjall")),
            Self::Lmdb => lmdb::version(),
            Self::Sqlite => format!("SQLite {}", rusqlite::version()),
            Self::Redb => format!("redb {}", locked_version("redb")),
        }
    }

    /// How it is set up, for the report. Figures that depend on the amount of data are told there.
    #[must_use]
    pub const fn setup(self) -> &'static str {
        match self {
            Self::Docdb => docdb::SETUP,
            Self::Rocksdb => rocksdb::SETUP,
            Self::Fjall => fjall::SETUP,
            Self::Lmdb => lmdb::SETUP,
            Self::Sqlite => sqlite::SETUP,
            Self::Redb => redb::SETUP,
        }
    }
}

/// The version of a crate in the workspace's lock file.
fn locked_version(name: &str) -> &'static str {
    const LOCK: &str = include_str!("../../Cargo.lock");
    let found = LOCK.split_once(&format!("name = \"{name}\"\nversion = \""));
    found.and_then(|(_, rest)| rest.split('"').next()).unwrap_or("?")
}

/// The document with its `score` set, by way of a tree: how a store of plain bytes is patched.
fn with_score(text: &[u8], score: u64) -> io::Result<Vec<u8>> {
    let mut document: Value = serde_json::from_slice(text)?;
    document["score"] = score.into();
    Ok(serde_json::to_vec(&document)?)
}

fn missing(id: u64) -> io::Error {
    io::Error::other(format!("document {id} is missing"))
}

fn as_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scratch;
    use crate::corpus::Corpus;

    const SETTINGS: Settings = Settings {
        documents: 100,
        document_bytes: 256,
        cache_bytes: 8 << 20,
        is_larger_than_memory: false,
    };

    #[test]
    fn every_engine_keeps_what_it_was_given_over_a_close_and_patches_all_or_nothing() {
        let scratch = Scratch::new(&std::env::temp_dir(), "engines").unwrap();
        let corpus = Corpus::new(256);
        let text = |id| {
            let mut text = Vec::new();
            corpus.write(id, 0, &mut text);
            text
        };
        for kind in [Kind::Docdb].into_iter().chain(Kind::PEERS) {
            let dir = scratch.path(kind.word());
            let engine = kind.open(&dir, &SETTINGS).unwrap();
            let texts: Vec<Vec<u8>> = (0..100).map(text).collect();
            let entries: Vec<(u64, &[u8])> = (0..).zip(texts.iter().map(Vec::as_slice)).collect();
            engine.put(&entries).unwrap();
            engine.patch(&[7, 9], 77).unwrap();
            assert!(engine.patch(&[8, 1000], 88).is_err(), "{kind:?}");
            engine.close().unwrap();

            let engine = kind.open(&dir, &SETTINGS).unwrap();
            let mut found = Vec::new();
            assert!(engine.get(8, &mut found).unwrap());
            assert_eq!(found, texts[8], "{kind:?}");
            assert!(!engine.get(100, &mut found).unwrap(), "{kind:?}");
            let mut seen = Vec::new();
            let visit = &mut |id, text: &[u8]| {
                let json: Value = serde_json::from_slice(text)?;
                seen.push((id, json["score"].clone()));
                Ok(())
            };
            engine.scan(6, 4, visit).unwrap();
            let ids: Vec<u64> = seen.iter().map(|(id, _)| *id).collect();
            assert_eq!(ids, [6, 7, 8, 9], "{kind:?}");
            assert_eq!((&seen[1].1, &seen[3].1), (&77.into(), &77.into()), "{kind:?}");
            assert_ne!(seen[2].1, 88, "{kind:?}");
            engine.close().unwrap();
        }
    }

    #[test]
    fn every_engine_says_which_version_it_is() {
        for kind in Kind::PEERS {
            let title = kind.title();
            assert!(title.ends_with(|end: char| end.is_ascii_digit()), "{title}");
        }
    }
}
