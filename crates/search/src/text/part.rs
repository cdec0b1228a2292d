//! A part of a namespace: rows in memory, or those of a file.

use super::error::TextError;
use super::file::Reader;
use super::memory::Snapshot;
use super::prepared::Prepared;
use super::query::TextQuery;

/// Rows with their postings.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    /// In memory.
    Memory(&'a Snapshot),
    /// In a file.
    File(&'a Reader),
}

impl Part<'_> {
    /// How many rows it has.
    #[must_use]
    pub fn rows(self) -> u32 {
        match self {
            Self::Memory(snapshot) => snapshot.rows(),
            Self::File(reader) => reader.rows(),
        }
    }

    /// Finds the postings of a query: all that is read of the part, in one round trip.
    ///
    /// # Errors
    /// [`TextError::Read`] and [`TextError::Damaged`], of a file alone.
    pub fn prepare(self, query: &TextQuery) -> Result<Prepared, TextError> {
        match self {
            Self::Memory(snapshot) => Ok(snapshot.prepare(query)),
            Self::File(reader) => reader.prepare(query),
        }
    }
}
