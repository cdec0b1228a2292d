//! Entries that SQLite refused, to be looked at by people: they are in no search.

use crate::entry::{EntryId, UnixNanos};
use crate::error::{LogError, Result};
use crate::shared::Shared;
use crate::sqlite::rows::id_of;

/// An entry that was refused, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The number that it had been given.
    pub id: EntryId,
    /// When it came.
    pub received: UnixNanos,
    /// What SQLite said.
    pub reason: String,
    /// The entry, as one JSON object.
    pub entry: String,
}

/// The newest dead letters, the newest first.
pub(crate) fn newest(shared: &Shared, limit: usize) -> Result<Vec<DeadLetter>> {
    let mut letters = Vec::new();
    for partition in shared.partitions.all().iter().rev() {
        let left = limit - letters.len();
        if left == 0 {
            break;
        }
        // None when retention has dropped the file meanwhile.
        let Some(reader) = shared.partitions.reader(partition, &shared.options)? else { continue };
        letters.extend(reader.read(|connection| {
            of_file(connection, left).map_err(|error| LogError::sqlite(&partition.path, error))
        })?);
    }
    Ok(letters)
}

fn of_file(connection: &rusqlite::Connection, limit: usize) -> rusqlite::Result<Vec<DeadLetter>> {
    let sql = "SELECT id, received, reason, entry FROM dead_letter ORDER BY id DESC LIMIT ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let letters = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        Ok(DeadLetter {
            id: id_of(row.get(0)?),
            received: UnixNanos(row.get(1)?),
            reason: row.get(2)?,
            entry: row.get(3)?,
        })
    })?;
    letters.collect()
}
