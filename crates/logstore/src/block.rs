//! Sealed blocks: up to 4,096 entries, column by column, compressed, with what it takes to skip
//! them.
//!
//! `docs/formats/logs.md` has the byte table. Invariants: the rows of a block ascend by number;
//! every column has as many rows as the block; a column or filter whose checksum does not fit is an
//! error and never an answer; nothing is allocated before its length has been checked.
//!
//! Start with [`encode::seal`], then [`decode::Columns`].

mod bytes;
pub(crate) mod column;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod filter;
mod rows;
pub(crate) mod text_search;

use crate::entry::{EntryId, UnixNanos};

pub(crate) use rows::RowSet;

/// Bytes of text after which a block is closed before it has all its rows: what a reader unpacks at
/// once.
pub(crate) const BLOCK_TEXT_BYTES: usize = 4 * 1024 * 1024;
/// Largest column, unpacked: the text of a block, the longest entry over it, and the lengths.
const COLUMN_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Version of the layout of columns and filters.
pub(crate) const BLOCK_VERSION: i64 = 1;

/// Why bytes are no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadBlock(pub(crate) &'static str);

/// The columns of a block, in the order of their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ColumnId {
    Ids = 0,
    Times = 1,
    Received = 2,
    Levels = 3,
    Hostname = 4,
    AppName = 5,
    ProcId = 6,
    MsgId = 7,
    Source = 8,
    StructuredData = 9,
    Message = 10,
}

impl ColumnId {
    pub(crate) const ALL: [Self; 11] = [
        Self::Ids,
        Self::Times,
        Self::Received,
        Self::Levels,
        Self::Hostname,
        Self::AppName,
        Self::ProcId,
        Self::MsgId,
        Self::Source,
        Self::StructuredData,
        Self::Message,
    ];

    pub(crate) const fn number(self) -> u8 {
        self as u8
    }
}

/// What is known of a block without unpacking it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockMeta {
    /// Its number in its file.
    pub(crate) block: i64,
    pub(crate) rows: usize,
    pub(crate) first_id: EntryId,
    pub(crate) last_id: EntryId,
    pub(crate) min_time: UnixNanos,
    pub(crate) max_time: UnixNanos,
    /// How many rows have each severity.
    pub(crate) severity_rows: [u32; 8],
}

/// A block as it is stored.
#[derive(Debug)]
pub(crate) struct SealedBlock {
    /// Its number in the file is not known yet, and 0.
    pub(crate) meta: BlockMeta,
    /// By [`ColumnId::number`].
    pub(crate) columns: Vec<Vec<u8>>,
    /// By slice.
    pub(crate) filters: Vec<Vec<u8>>,
    pub(crate) text_bytes: usize,
}

impl SealedBlock {
    pub(crate) fn stored_bytes(&self) -> usize {
        self.columns.iter().chain(&self.filters).map(Vec::len).sum()
    }
}
