//! The one connection that writes: batches, blocks and dead letters of one partition.
//!
//! Invariants: whatever a call writes is one transaction; the bounds of the file are written with
//! what moved them; nothing is told to readers before its commit.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::block::column::{Packer, Unpacker};
use crate::block::decode::Columns;
use crate::block::encode::{rows_that_fit, seal};
use crate::block::{BLOCK_TEXT_BYTES, SealedBlock};
use crate::entry::{EntryId, StoredEntry};
use crate::error::{LogError, Result};
use crate::export::json_line;
use crate::filter::EntryRef;
use crate::options::{BLOCK_ROWS, FullText, Journal, Options, Seal, Synchronous};
use crate::partition::{Partition, PartitionKey};
use crate::queue::{Queued, Urgency};
use crate::sqlite::connection::{Role, name_of, open};
use crate::sqlite::rows::{
    BLOCK_COLUMNS, Bounds, ENTRY_COLUMNS, block_of, entry_of, id_of, insert_block, insert_entry,
    read_bounds, sql_id, write_bounds,
};
use crate::sqlite::schema::migrate;
use crate::stored_block::{ReadError, SqlFrames};

/// Batches of so many rows become a block at once and never are plain rows.
const DIRECT_ROWS: usize = 2048;
/// Steps of merging that FTS5 does after a block has been sealed.
const MERGE_PAGES: i64 = 500;
/// The name under which all streams are indexed.
const ALL_STREAMS: &str = "*";

/// What sealing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) rows: usize,
    pub(crate) text_bytes: usize,
    pub(crate) stored_bytes: usize,
}

impl Sealed {
    fn of(block: &SealedBlock) -> Self {
        let stored_bytes = block.stored_bytes();
        Self { rows: block.meta.rows, text_bytes: block.text_bytes, stored_bytes }
    }
}

pub(crate) struct Writer {
    connection: Connection,
    pub(crate) partition: Arc<Partition>,
    bounds: Bounds,
    /// Rows that are not sealed, and the bytes of their text.
    tail_rows: usize,
    tail_bytes: usize,
    /// What the connection is set to.
    synchronous: Synchronous,
    packer: Packer,
    options: Arc<Options>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = &self.partition.path;
        f.debug_struct("Writer").field("path", path).finish_non_exhaustive()
    }
}

impl Writer {
    /// Makes a partition that is not there yet.
    pub(crate) fn create(dir: &Path, key: PartitionKey, options: &Arc<Options>) -> Result<Self> {
        Self::open(&Partition::new(dir, key, Bounds::EMPTY), options)
    }

    /// Opens a partition for writing.
    pub(crate) fn open(partition: &Arc<Partition>, options: &Arc<Options>) -> Result<Self> {
        let path = partition.path.clone();
        let sqlite = |error| LogError::sqlite(&path, error);
        let mut connection = open(&path, Role::Writer, options).map_err(sqlite)?;
        migrate(&mut connection, &path, options.seal)?;
        let bounds = read_bounds(&connection).map_err(sqlite)?;
        partition.set_bounds(bounds);
        declare_streams(&connection, options, &bounds).map_err(sqlite)?;
        let (tail_rows, tail_bytes) = match options.seal {
            Seal::On => tail_of(&connection).map_err(sqlite)?,
            // Nobody asks.
            Seal::Off => (0, 0),
        };
        let packer = Packer::new(options.seal_level)
            .map_err(|error| LogError::io("preparing compression", &path, error))?;
        Ok(Self {
            connection,
            partition: Arc::clone(partition),
            bounds,
            tail_rows,
            tail_bytes,
            synchronous: options.synchronous,
            packer,
            options: Arc::clone(options),
        })
    }

    /// Writes a batch in one transaction. Says what was sealed with it, if it became a block.
    pub(crate) fn write(&mut self, batch: &[Queued]) -> rusqlite::Result<Option<Sealed>> {
        self.commit_as(batch.iter().any(|queued| queued.urgency == Urgency::Durable))?;
        let rows: Vec<EntryRef<'_>> =
            batch.iter().map(|queued| EntryRef::of(queued.id, &queued.entry)).collect();
        let text_bytes: usize = rows.iter().map(EntryRef::text_bytes).sum();
        let is_block = self.options.seal == Seal::On
            && (DIRECT_ROWS..=BLOCK_ROWS).contains(&rows.len())
            && text_bytes <= BLOCK_TEXT_BYTES;
        let block =
            if is_block { Some(seal(&rows, &mut self.packer).map_err(other)?) } else { None };
        let mut bounds = self.bounds;
        let full_text = &self.options.full_text;
        let writing = begin(&mut self.connection)?;
        for row in &rows {
            bounds.add(row.id, row.time);
            if full_text.covers(row.app_name) {
                index(&writing, row)?;
            }
            if block.is_none() {
                insert_entry(&writing, row)?;
            }
        }
        if let Some(block) = &block {
            insert_block(&writing, block)?;
        }
        write_bounds(&writing, &bounds)?;
        writing.commit()?;
        self.bounds = bounds;
        self.partition.set_bounds(bounds);
        if block.is_none() {
            self.tail_rows += rows.len();
            self.tail_bytes += text_bytes;
        }
        Ok(block.as_ref().map(Sealed::of))
    }

    /// Whether there are enough plain rows for a block.
    pub(crate) fn has_full_tail(&self) -> bool {
        self.options.seal == Seal::On
            && (self.tail_rows >= BLOCK_ROWS || self.tail_bytes >= BLOCK_TEXT_BYTES)
    }

    /// Presses the oldest plain rows into one block. Does nothing when there are none.
    pub(crate) fn seal_tail(&mut self) -> rusqlite::Result<Option<Sealed>> {
        let rows = self.oldest_rows()?;
        if rows.is_empty() {
            (self.tail_rows, self.tail_bytes) = (0, 0);
            return Ok(None);
        }
        let views: Vec<EntryRef<'_>> = rows.iter().map(StoredEntry::view).collect();
        let views = &views[..rows_that_fit(views.iter().map(EntryRef::text_bytes))];
        let block = seal(views, &mut self.packer).map_err(other)?;
        let is_indexed = self.options.full_text != FullText::Off;
        let sealing = begin(&mut self.connection)?;
        insert_block(&sealing, &block)?;
        let deleted = sealing
            .prepare_cached("DELETE FROM entry WHERE id BETWEEN ?1 AND ?2")?
            .execute([sql_id(block.meta.first_id), sql_id(block.meta.last_id)])?;
        debug_assert_eq!(deleted, block.meta.rows);
        if is_indexed {
            let merge = "INSERT INTO term(term, rank) VALUES ('merge', ?1)";
            sealing.prepare_cached(merge)?.execute([MERGE_PAGES])?;
        }
        sealing.commit()?;
        self.tail_rows = self.tail_rows.saturating_sub(block.meta.rows);
        self.tail_bytes = self.tail_bytes.saturating_sub(block.text_bytes);
        Ok(Some(Sealed::of(&block)))
    }

    fn oldest_rows(&self) -> rusqlite::Result<Vec<StoredEntry>> {
        let sql = format!("SELECT {ENTRY_COLUMNS} FROM entry ORDER BY id LIMIT {BLOCK_ROWS}");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut found = statement.query([])?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while let Some(row) = found.next()? {
            let row = entry_of(row)?;
            bytes += row.text_bytes();
            rows.push(row.to_stored());
            if bytes > BLOCK_TEXT_BYTES {
                break;
            }
        }
        Ok(rows)
    }

    /// Which entries with numbers from `first` to `last` are in the file already, in whatever form.
    pub(crate) fn present(&self, first: EntryId, last: EntryId) -> Result<BTreeSet<EntryId>> {
        let sqlite = |error| LogError::sqlite(&self.partition.path, error);
        let mut present = BTreeSet::new();
        for table in ["entry", "dead_letter"] {
            let sql = format!("SELECT id FROM {table} WHERE id BETWEEN ?1 AND ?2");
            let mut statement = self.connection.prepare(&sql).map_err(sqlite)?;
            let ids = statement
                .query_map([sql_id(first), sql_id(last)], |row| row.get(0))
                .map_err(sqlite)?;
            for id in ids {
                present.insert(id_of(id.map_err(sqlite)?));
            }
        }
        let sealed = self.sealed_between(first, last);
        present.extend(sealed.map_err(|error| error.at(&self.partition.path))?);
        Ok(present)
    }

    fn sealed_between(
        &self,
        first: EntryId,
        last: EntryId,
    ) -> std::result::Result<Vec<EntryId>, ReadError> {
        let sql =
            format!("SELECT {BLOCK_COLUMNS} FROM block WHERE first_id <= ?2 AND last_id >= ?1");
        let mut statement = self.connection.prepare(&sql)?;
        let mut found = statement.query([sql_id(first), sql_id(last)])?;
        let unpacker = std::cell::RefCell::new(Unpacker::new()?);
        let mut present = Vec::new();
        while let Some(row) = found.next()? {
            let Some(meta) = block_of(row)? else { continue };
            let frames = SqlFrames { connection: &self.connection, block: meta.block };
            let columns = Columns::new(meta, frames, &unpacker)?;
            let ids = columns.ids()?.iter().copied().map(EntryId);
            present.extend(ids.filter(|id| (first..=last).contains(id)));
        }
        Ok(present)
    }

    /// Keeps an entry that cannot be written, with the reason.
    pub(crate) fn dead_letter(&mut self, queued: &Queued, reason: &str) -> rusqlite::Result<()> {
        self.commit_as(queued.urgency == Urgency::Durable)?;
        let writing = begin(&mut self.connection)?;
        let entry = json_line(&EntryRef::of(queued.id, &queued.entry));
        writing.execute(
            "INSERT INTO dead_letter VALUES (?1, ?2, ?3, ?4)",
            params![sql_id(queued.id), queued.entry.received.0, reason, entry],
        )?;
        writing.commit()
    }

    /// Sets how the next commit is synced.
    fn commit_as(&mut self, is_durable: bool) -> rusqlite::Result<()> {
        let wanted = if is_durable { Synchronous::Full } else { self.options.synchronous };
        if self.synchronous != wanted && self.options.journal == Journal::Wal {
            self.connection.pragma_update(None, "synchronous", name_of(wanted))?;
            self.synchronous = wanted;
        }
        Ok(())
    }

    /// Bytes of the file, without its write-ahead log.
    pub(crate) fn file_bytes(&self) -> rusqlite::Result<u64> {
        let pragma = |name| self.connection.pragma_query_value(None, name, |row| row.get(0));
        let (pages, page_bytes): (i64, i64) = (pragma("page_count")?, pragma("page_size")?);
        Ok(u64::try_from(pages * page_bytes).unwrap_or(0))
    }

    /// Copies the write-ahead log into the file and empties it, unless a reader is in the way.
    /// Never waits for one. Says whether it was emptied.
    pub(crate) fn truncate_wal(&self) -> rusqlite::Result<bool> {
        if self.options.journal != Journal::Wal {
            return Ok(true);
        }
        self.connection.busy_timeout(std::time::Duration::ZERO)?;
        let busy = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
            .optional();
        self.connection.busy_timeout(self.options.busy_timeout)?;
        Ok(busy?.unwrap_or(0) == 0)
    }

    /// Makes sure that what the file holds survives a loss of power, after a failure that left it
    /// open whether it does: copies the log into the file, which syncs both.
    pub(crate) fn make_sure(&mut self) -> rusqlite::Result<()> {
        self.commit_as(true)?;
        if self.options.journal == Journal::Wal {
            let busy: i64 =
                self.connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |row| row.get(0))?;
            if busy != 0 {
                let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
                return Err(rusqlite::Error::SqliteFailure(busy, None));
            }
        }
        Ok(())
    }

    /// Ends the file: no entry comes after this. Seals what is left and merges the index.
    pub(crate) fn finish(&mut self) -> rusqlite::Result<Vec<Sealed>> {
        let mut sealed = Vec::new();
        if self.options.seal == Seal::On {
            while let Some(block) = self.seal_tail()? {
                sealed.push(block);
            }
        }
        if self.options.full_text != FullText::Off {
            self.connection.execute("INSERT INTO term(term) VALUES ('optimize')", [])?;
        }
        self.truncate_wal()?;
        Ok(sealed)
    }
}

/// What a file holds, and the greatest number that it has given to a dead letter.
pub(crate) fn survey(path: &Path, options: &Options) -> Result<(Bounds, EntryId)> {
    let sqlite = |error| LogError::sqlite(path, error);
    let mut connection = open(path, Role::Writer, options).map_err(sqlite)?;
    migrate(&mut connection, path, options.seal)?;
    let bounds = read_bounds(&connection).map_err(sqlite)?;
    let sql = "SELECT coalesce(max(id), 0) FROM dead_letter";
    let dead = connection.query_row(sql, [], |row| row.get(0)).map_err(sqlite)?;
    Ok((bounds, id_of(dead)))
}

fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// A failure that SQLite has no word for.
fn other(error: std::io::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}

fn tail_of(connection: &Connection) -> rusqlite::Result<(usize, usize)> {
    let sql =
        "SELECT count(*), total(octet_length(message) + octet_length(structured_data)) FROM entry";
    connection.query_row(sql, [], |row| {
        let (rows, bytes): (i64, f64) = (row.get(0)?, row.get(1)?);
        // A sum of lengths: whole and not negative. As a trigger it need not be exact.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "see above")]
        let bytes = bytes as usize;
        Ok((usize::try_from(rows).unwrap_or(0), bytes))
    })
}

/// Writes down from which entry on each stream is indexed. A stream that is no longer indexed loses
/// its place: its index has gaps from here on.
fn declare_streams(
    connection: &Connection,
    options: &Options,
    bounds: &Bounds,
) -> rusqlite::Result<()> {
    let wanted: BTreeSet<&str> = match &options.full_text {
        FullText::Off => BTreeSet::new(),
        FullText::Streams(streams) => streams.iter().map(String::as_str).collect(),
        FullText::All => BTreeSet::from([ALL_STREAMS]),
    };
    let from = if bounds.rows == 0 { 0 } else { sql_id(bounds.last_id) + 1 };
    let mut statement = connection.prepare("SELECT app_name FROM term_stream")?;
    let known: BTreeSet<String> =
        statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for gone in known.iter().filter(|name| !wanted.contains(name.as_str())) {
        connection.execute("DELETE FROM term_stream WHERE app_name = ?1", [gone])?;
    }
    for new in wanted.iter().filter(|name| !known.contains(**name)) {
        connection.execute("INSERT INTO term_stream VALUES (?1, ?2)", params![new, from])?;
        // Segments are merged when a block is sealed instead of at every commit.
        connection.execute("INSERT INTO term(term, rank) VALUES ('automerge', 0)", [])?;
    }
    Ok(())
}

/// Whether the FTS5 index of a file knows every entry of these streams, or of all when there are
/// none.
pub(crate) fn index_is_complete(
    connection: &Connection,
    streams: Option<&[String]>,
) -> rusqlite::Result<bool> {
    let mut complete = connection
        .prepare_cached("SELECT 1 FROM term_stream WHERE app_name = ?1 AND from_id = 0")?;
    if complete.exists([ALL_STREAMS])? {
        return Ok(true);
    }
    let Some(streams) = streams else { return Ok(false) };
    for stream in streams {
        if !complete.exists([stream])? {
            return Ok(false);
        }
    }
    Ok(!streams.is_empty())
}

/// Adds an entry to the FTS5 index: our tokens, folded, so that both agree on what a token is.
fn index(connection: &Connection, row: &EntryRef<'_>) -> rusqlite::Result<()> {
    let text = crate::text::folded_tokens(row.message);
    connection
        .prepare_cached("INSERT INTO term(rowid, message) VALUES (?1, ?2)")?
        .execute(params![sql_id(row.id), text])?;
    Ok(())
}
