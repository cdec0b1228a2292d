//! A sealed block outside a store: made of entries, and read from bytes of any origin.
//!
//! It is for those who look at blocks without a store, such as a test of the reader that changes
//! their bytes. Stores themselves never come this way; what is read here is read by the same code.

use std::cell::RefCell;
use std::path::Path;

use crate::block::column::{Packer, Unpacker};
use crate::block::decode::{Columns, Frames};
use crate::block::encode::{rows_that_fit, seal};
use crate::block::filter::{SLICES, TokenHash, may_have};
use crate::block::{BadBlock, BlockMeta, ColumnId};
use crate::entry::{EntryId, StoredEntry, UnixNanos};
use crate::error::{LogError, Result};
use crate::filter::{EntryRef, Filter};
use crate::text::folded_tokens;

/// What the reader of blocks answers.
type Read<T> = std::result::Result<T, BadBlock>;

/// What errors call a block that is in no file.
const NO_FILE: &str = "a block outside a store";

/// The stored parts of a block, which nobody has checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RawBlock {
    /// How many rows it is said to have.
    pub rows: usize,
    /// The frames of its columns, by their numbers.
    pub columns: Vec<Vec<u8>>,
    /// The slices of its filter, by their numbers.
    pub filter: Vec<Vec<u8>>,
}

impl RawBlock {
    /// Columns that a block has.
    pub const COLUMNS: usize = ColumnId::ALL.len();
    /// Slices that a filter has.
    pub const SLICES: usize = SLICES;

    /// Seals entries.
    ///
    /// # Errors
    /// [`LogError::Invalid`] when there is none, they are more than one block takes, or their numbers
    /// do not ascend.
    pub fn seal(entries: &[StoredEntry], level: i32) -> Result<Self> {
        let rows: Vec<EntryRef<'_>> = entries.iter().map(StoredEntry::view).collect();
        let fits = rows_that_fit(rows.iter().map(EntryRef::text_bytes)) == rows.len();
        if !fits || !rows.is_sorted_by(|a, b| a.id < b.id) {
            return Err(LogError::invalid("these entries do not make one block"));
        }
        let io = |error| LogError::io("packing", Path::new(NO_FILE), error);
        let sealed = seal(&rows, &mut Packer::new(level).map_err(io)?).map_err(io)?;
        Ok(Self { rows: rows.len(), columns: sealed.columns, filter: sealed.filters })
    }

    /// Puts columns that were unpacked into frames whose checksums fit, whatever is in them.
    ///
    /// # Errors
    /// [`LogError::Io`] when the compressor fails.
    pub fn framed(rows: usize, unpacked: &[Vec<u8>], filter: Vec<Vec<u8>>) -> Result<Self> {
        let io = |error| LogError::io("packing", Path::new(NO_FILE), error);
        let mut packer = Packer::new(1).map_err(io)?;
        let columns = unpacked.iter().map(|column| packer.pack(column));
        let columns = columns.collect::<std::io::Result<_>>();
        Ok(Self { rows, columns: columns.map_err(io)?, filter })
    }

    /// The columns, unpacked.
    ///
    /// # Errors
    /// [`LogError::Damaged`].
    pub fn unpacked(&self) -> Result<Vec<Vec<u8>>> {
        let mut unpacker = unpacker()?;
        let unpack = |frame: &Vec<u8>| unpacker.unpack(frame).map_err(damaged);
        self.columns.iter().map(unpack).collect()
    }

    /// Every entry, by its number.
    ///
    /// # Errors
    /// [`LogError::Damaged`] when the bytes are no block.
    pub fn entries(&self) -> Result<Vec<StoredEntry>> {
        self.read(|columns| (0..self.rows).map(|row| Ok(columns.row(row)?.to_stored())).collect())
    }

    /// The rows that a filter lets through, ascending.
    ///
    /// # Errors
    /// [`LogError::Damaged`] when the bytes are no block.
    pub fn matching(&self, filter: &Filter) -> Result<Vec<usize>> {
        self.read(|columns| Ok(columns.matching(columns.all_rows(), filter)?.iter().collect()))
    }

    /// Whether the filter of the block may know every token of `text`.
    ///
    /// # Errors
    /// [`LogError::Damaged`] when a slice is missing or damaged.
    pub fn may_have(&self, text: &str) -> Result<bool> {
        for token in folded_tokens(text).split_ascii_whitespace() {
            let hash = TokenHash::of_token(token);
            let slice = self.filter.get(hash.slice());
            let slice = slice.ok_or_else(|| damaged(BadBlock("a filter is missing")))?;
            if !may_have(slice, hash).map_err(damaged)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn read<T>(&self, work: impl FnOnce(&Columns<'_, &Self>) -> Read<T>) -> Result<T> {
        let unpacker = RefCell::new(unpacker()?);
        let columns = Columns::new(self.meta(), self, &unpacker).map_err(damaged)?;
        work(&columns).map_err(damaged)
    }

    /// What is known without looking into columns: nothing, so that every one is looked into.
    fn meta(&self) -> BlockMeta {
        BlockMeta {
            block: 0,
            rows: self.rows,
            first_id: EntryId(0),
            last_id: EntryId(u64::MAX),
            min_time: UnixNanos::MIN,
            max_time: UnixNanos::MAX,
            severity_rows: [1; 8],
        }
    }
}

impl Frames for &RawBlock {
    type Error = BadBlock;

    fn frame(&self, column: ColumnId) -> Read<Vec<u8>> {
        let frame = self.columns.get(usize::from(column.number()));
        frame.cloned().ok_or(BadBlock("a column is missing"))
    }
}

fn unpacker() -> Result<Unpacker> {
    Unpacker::new().map_err(|error| LogError::io("unpacking", Path::new(NO_FILE), error))
}

fn damaged(what: BadBlock) -> LogError {
    LogError::damaged(Path::new(NO_FILE), what.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Entry;

    fn entries(count: u64) -> Vec<StoredEntry> {
        let entry = |n| Entry::new(UnixNanos(7), format!("request {n} done")).from_app("web1", "a");
        (1..=count).map(|n| StoredEntry { id: EntryId(n * 3), entry: entry(n) }).collect()
    }

    #[test]
    fn a_block_is_what_it_was_made_of() {
        let entries = entries(40);
        let block = RawBlock::seal(&entries, 3).unwrap();
        assert_eq!(
            (block.columns.len(), block.filter.len()),
            (RawBlock::COLUMNS, RawBlock::SLICES)
        );
        assert_eq!(block.entries().unwrap(), entries);
        assert_eq!(block.matching(&Filter::default().text("17")).unwrap(), [16]);
        assert!(block.may_have("request 17").unwrap() && !block.may_have("nothinglike").unwrap());
        let unpacked = block.unpacked().unwrap();
        let again = RawBlock::framed(40, &unpacked, block.filter.clone()).unwrap();
        assert_eq!(again.entries().unwrap(), entries);
    }

    #[test]
    fn what_is_no_block_is_refused() {
        assert!(RawBlock::seal(&[], 3).is_err() && RawBlock::seal(&entries(5000), 3).is_err());
        let mut twice = entries(2);
        twice[1].id = twice[0].id;
        assert!(RawBlock::seal(&twice, 3).is_err());
        let mut block = RawBlock::seal(&entries(3), 3).unwrap();
        block.rows = 4;
        assert!(matches!(block.entries(), Err(LogError::Damaged { .. })));
        block.rows = 3;
        block.columns.pop();
        assert!(block.entries().is_err());
        block.filter.clear();
        assert!(block.may_have("x").is_err());
    }
}
