//! The columns and filters of a block where SQLite keeps them.

use std::path::Path;

use rusqlite::Connection;

use crate::block::decode::Frames;
use crate::block::filter::{SLICES, TokenHash, may_have};
use crate::block::{BadBlock, ColumnId};
use crate::error::LogError;
use crate::sqlite::rows::{blob, column_key, filter_key};

/// Why something of a file could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// SQLite failed: nothing of the file can be relied on.
    Sqlite(rusqlite::Error),
    /// A block is damaged; the rest of the file may be whole.
    Block(BadBlock),
    /// The search itself is over.
    Stopped(LogError),
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<BadBlock> for ReadError {
    fn from(error: BadBlock) -> Self {
        Self::Block(error)
    }
}

impl From<std::io::Error> for ReadError {
    fn from(_: std::io::Error) -> Self {
        Self::Block(BadBlock("there is no memory to unpack a column"))
    }
}

impl ReadError {
    /// The error of a file.
    pub(crate) fn at(self, path: &Path) -> LogError {
        match self {
            Self::Sqlite(error) => LogError::sqlite(path, error),
            Self::Block(what) => LogError::damaged(path, what.0),
            Self::Stopped(error) => error,
        }
    }
}

/// The columns of one block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SqlFrames<'c> {
    pub(crate) connection: &'c Connection,
    pub(crate) block: i64,
}

impl Frames for SqlFrames<'_> {
    type Error = ReadError;

    fn frame(&self, column: ColumnId) -> Result<Vec<u8>, ReadError> {
        let key = column_key(self.block, column.number());
        let frame = blob(self.connection, "SELECT frame FROM block_column WHERE id = ?1", key)?;
        frame.ok_or(ReadError::Block(BadBlock("a column is missing")))
    }
}

/// Whether a block may have something.
pub(crate) fn block_may_have(
    connection: &Connection,
    block: i64,
    hash: TokenHash,
) -> Result<bool, ReadError> {
    debug_assert!(hash.slice() < SLICES);
    let sql = "SELECT slice FROM block_filter WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query([filter_key(hash.slice(), block)])?;
    let Some(row) = found.next()? else {
        return Err(ReadError::Block(BadBlock("a filter is missing")));
    };
    let slice = row.get_ref(0)?.as_blob().map_err(|_| BadBlock("a filter is no blob"))?;
    Ok(may_have(slice, hash)?)
}
