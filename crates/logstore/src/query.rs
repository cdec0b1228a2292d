//! What a search asks and what it answers.

use std::fmt;
use std::str::FromStr;

use crate::entry::{EntryId, StoredEntry, UnixNanos};
use crate::error::{LogError, Result};
use crate::filter::Filter;

/// Most entries of one page.
pub const PAGE_MAX: usize = 10_000;

/// Which entries come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The latest in time.
    #[default]
    NewestFirst,
    /// The earliest in time.
    OldestFirst,
}

impl Order {
    /// The other one.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::NewestFirst => Self::OldestFirst,
            Self::OldestFirst => Self::NewestFirst,
        }
    }
}

/// A place between entries: right after the one it names, whichever way one reads.
///
/// Entries are ordered by time, and by number where times are equal. As text it is 32 hexadecimal
/// digits that sort the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// When the entry happened.
    pub time: UnixNanos,
    /// Its number.
    pub id: EntryId,
}

impl Cursor {
    /// The place of an entry.
    #[must_use]
    pub fn of(stored: &StoredEntry) -> Self {
        Self { time: stored.entry.time, id: stored.id }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The sign bit is turned over so that text sorts as times do.
        let time = self.time.0.cast_unsigned() ^ (1 << 63);
        write!(f, "{time:016x}{:016x}", self.id.0)
    }
}

impl FromStr for Cursor {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self> {
        let is_cursor = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_cursor {
            return Err(LogError::query("a cursor has 32 hexadecimal digits"));
        }
        let half = |digits| {
            u64::from_str_radix(digits, 16).map_err(|error| LogError::query(error.to_string()))
        };
        let time = (half(&text[..16])? ^ (1 << 63)).cast_signed();
        Ok(Self { time: UnixNanos(time), id: EntryId(half(&text[16..])?) })
    }
}

/// A search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Which entries.
    pub filter: Filter,
    /// Which come first.
    pub order: Order,
    /// How many, at most [`PAGE_MAX`].
    pub limit: usize,
    /// Only what comes after this place in `order`. To turn round, reverse the order and give the
    /// cursor of the page's first entry.
    pub after: Option<Cursor>,
}

impl Default for Query {
    fn default() -> Self {
        Self { filter: Filter::default(), order: Order::NewestFirst, limit: 100, after: None }
    }
}

impl Query {
    /// The newest 100 that a filter lets through.
    #[must_use]
    pub fn new(filter: Filter) -> Self {
        Self { filter, ..Self::default() }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.limit == 0 || self.limit > PAGE_MAX {
            return Err(LogError::query(format!("limit={} is not 1 to {PAGE_MAX}", self.limit)));
        }
        self.filter.check()
    }
}

/// A part of the store that could not be read, and so is missing from an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The file.
    pub partition: String,
    /// The numbers of the entries that are missing, as far as known: the first and the last.
    pub entries: Option<(EntryId, EntryId)>,
    /// What is wrong.
    pub what: String,
}

/// The answer to a search.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// What was found, in the order that was asked for.
    pub entries: Vec<StoredEntry>,
    /// Where the next page begins; none when there is nothing more.
    pub next: Option<Cursor>,
    /// What is missing because it could not be read.
    pub unreadable: Vec<Unreadable>,
    /// What the search did.
    pub work: Work,
}

/// What it took to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Files that were opened.
    pub partitions: u64,
    /// Rows that were looked at one by one.
    pub rows: u64,
    /// Blocks whose filters and bounds were looked at.
    pub blocks: u64,
    /// Blocks of which columns were unpacked.
    pub blocks_unpacked: u64,
    /// Whether an FTS5 index said where to look.
    pub used_full_text: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_text_that_sorts_as_they_do() {
        let cursor = |time, id| Cursor { time: UnixNanos(time), id: EntryId(id) };
        let cursors = [
            cursor(i64::MIN, 0),
            cursor(-1, 5),
            cursor(0, 1),
            cursor(0, u64::MAX),
            cursor(1, 0),
            cursor(i64::MAX, 7),
        ];
        let texts = cursors.map(|cursor| cursor.to_string());
        assert!(texts.is_sorted() && cursors.is_sorted());
        for (cursor, text) in cursors.iter().zip(&texts) {
            assert_eq!(text.parse::<Cursor>().unwrap(), *cursor);
        }
        for wrong in
            ["", "12", "+0000000000000000000000000000001", &"g".repeat(32), &"0".repeat(33)]
        {
            assert!(wrong.parse::<Cursor>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_limit_has_limits() {
        assert!(Query { limit: 0, ..Query::default() }.check().is_err());
        assert!(Query { limit: PAGE_MAX + 1, ..Query::default() }.check().is_err());
        assert!(Query::default().check().is_ok());
    }
}
