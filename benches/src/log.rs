//! A log of ours to be measured, and documents for it.

use std::io;
use std::path::Path;

use base::clock::SystemClock;
use base::document::Document;
use base::io::{Disk as _, RealDisk};
use base::words::{Change, CollectionId, DatabaseId, DocId, Lsn};
use wal::{Environment, FsyncMode, Log, Options, WalError};

use crate::documents::Documents;

/// The environment of the running machine.
#[must_use]
pub fn environment() -> Environment {
    Environment { disk: RealDisk::shared(), clock: SystemClock::shared(), reserve: None }
}

/// A new log in the directory `dir`, which is made.
///
/// # Errors
/// The disk's.
pub fn create(dir: &Path, options: Options) -> io::Result<Log> {
    RealDisk.create_dir(dir)?;
    Log::create(&environment(), dir, DatabaseId::from_bytes([7; 16]), options).map_err(failed)
}

/// Default settings in this mode.
#[must_use]
pub fn options(fsync: FsyncMode) -> Options {
    Options { fsync, ..Options::default() }
}

/// A log's error as a bench reports it.
#[must_use]
pub fn failed(error: WalError) -> io::Error {
    io::Error::other(error)
}

/// `count` writes of documents of about `bytes` bytes, the same for every call.
///
/// # Panics
/// Never: the generator makes JSON.
#[must_use]
pub fn puts(count: usize, bytes: usize) -> Vec<Change> {
    let documents = Documents::new(7, bytes).take(count).zip(0..);
    documents
        .map(|(text, n)| Change::Put {
            collection: CollectionId(1),
            id: DocId::U64(n),
            replaces: Lsn::ZERO,
            expires_at: None,
            document: Document::parse(text.as_bytes()).expect("the generator makes JSON"),
        })
        .collect()
}

/// The documents of [`puts`] as bytes.
#[must_use]
pub fn payloads(count: usize, bytes: usize) -> Vec<Vec<u8>> {
    Documents::new(7, bytes).take(count).map(String::into_bytes).collect()
}
