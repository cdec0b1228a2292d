//! Rows of the tables, to and from Rust.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::block::{BLOCK_VERSION, BlockMeta, SealedBlock};
use crate::entry::{EntryId, Marks, Severity, UnixNanos};
use crate::filter::EntryRef;

/// The columns of an entry, in the order that [`entry_of`] reads.
pub(crate) const ENTRY_COLUMNS: &str = "id, time, received, severity, facility, marks, hostname, \
     app_name, proc_id, msg_id, source, structured_data, message";

/// The columns of a block, in the order that [`block_of`] reads.
pub(crate) const BLOCK_COLUMNS: &str =
    "id, version, row_count, first_id, last_id, min_time, max_time, severity_rows";

/// A number as SQLite has it. Ours stay below 2^63: one every nanosecond for 292 years.
pub(crate) fn sql_id(id: EntryId) -> i64 {
    i64::try_from(id.0).unwrap_or(i64::MAX)
}

pub(crate) fn id_of(value: i64) -> EntryId {
    EntryId(u64::try_from(value).unwrap_or(0))
}

pub(crate) fn insert_entry(connection: &Connection, entry: &EntryRef<'_>) -> rusqlite::Result<()> {
    let mut statement = connection
        .prepare_cached("INSERT INTO entry VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)")?;
    statement.execute(params![
        sql_id(entry.id),
        entry.time.0,
        entry.received.0,
        entry.severity.number(),
        entry.facility,
        entry.marks.0,
        entry.hostname,
        entry.app_name,
        entry.proc_id,
        entry.msg_id,
        entry.source,
        entry.structured_data,
        entry.message,
    ])?;
    Ok(())
}

/// An entry that lies in a row.
pub(crate) fn entry_of<'r>(row: &'r Row<'_>) -> rusqlite::Result<EntryRef<'r>> {
    let text = |column: usize| {
        let value = row.get_ref(column)?;
        let from_sql = |error| {
            rusqlite::Error::FromSqlConversionFailure(
                column,
                rusqlite::types::Type::Text,
                Box::new(error),
            )
        };
        value.as_str().map_err(from_sql)
    };
    let severity: u8 = row.get(3)?;
    let severity = Severity::from_number(severity)
        .ok_or(rusqlite::Error::IntegralValueOutOfRange(3, i64::from(severity)))?;
    Ok(EntryRef {
        id: id_of(row.get(0)?),
        time: UnixNanos(row.get(1)?),
        received: UnixNanos(row.get(2)?),
        severity,
        facility: row.get(4)?,
        marks: Marks(row.get(5)?),
        hostname: text(6)?,
        app_name: text(7)?,
        proc_id: text(8)?,
        msg_id: text(9)?,
        source: text(10)?,
        structured_data: text(11)?,
        message: text(12)?,
    })
}

/// Where a block's column is kept.
pub(crate) fn column_key(block: i64, column: u8) -> i64 {
    block * 16 + i64::from(column)
}

/// Where a slice of a block's filter is kept: slices lie together, block by block.
pub(crate) fn filter_key(slice: usize, block: i64) -> i64 {
    i64::try_from(slice).unwrap_or(0) << 40 | block
}

/// Writes a block; says which number it got.
pub(crate) fn insert_block(connection: &Connection, sealed: &SealedBlock) -> rusqlite::Result<i64> {
    let meta = &sealed.meta;
    let mask = (0..8u8).filter(|s| meta.severity_rows[usize::from(*s)] > 0);
    let mask = mask.fold(0i64, |mask, severity| mask | 1 << severity);
    let counts: Vec<u8> = meta.severity_rows.iter().flat_map(|rows| rows.to_le_bytes()).collect();
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    connection
        .prepare_cached("INSERT INTO block VALUES (NULL,?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)")?
        .execute(params![
            BLOCK_VERSION,
            count(meta.rows),
            sql_id(meta.first_id),
            sql_id(meta.last_id),
            meta.min_time.0,
            meta.max_time.0,
            mask,
            counts,
            count(sealed.text_bytes),
            count(sealed.stored_bytes()),
        ])?;
    let block = connection.last_insert_rowid();
    let mut columns = connection.prepare_cached("INSERT INTO block_column VALUES (?1, ?2)")?;
    for (column, frame) in (0u8..).zip(&sealed.columns) {
        columns.execute(params![column_key(block, column), frame])?;
    }
    let mut filters = connection.prepare_cached("INSERT INTO block_filter VALUES (?1, ?2)")?;
    for (slice, bits) in sealed.filters.iter().enumerate() {
        filters.execute(params![filter_key(slice, block), bits])?;
    }
    Ok(block)
}

/// A block's row; none when its layout is of a version that is not known.
pub(crate) fn block_of(row: &Row<'_>) -> rusqlite::Result<Option<BlockMeta>> {
    let version: i64 = row.get(1)?;
    let counts = row.get_ref(7)?.as_blob().unwrap_or_default();
    let (counts, left) = counts.as_chunks::<4>();
    let (Ok(counts), true) = (<[[u8; 4]; 8]>::try_from(counts), left.is_empty()) else {
        return Ok(None);
    };
    let rows = row.get::<_, i64>(2)?;
    let meta = BlockMeta {
        block: row.get(0)?,
        rows: usize::try_from(rows).unwrap_or(0),
        first_id: id_of(row.get(3)?),
        last_id: id_of(row.get(4)?),
        min_time: UnixNanos(row.get(5)?),
        max_time: UnixNanos(row.get(6)?),
        severity_rows: counts.map(u32::from_le_bytes),
    };
    Ok((version == BLOCK_VERSION).then_some(meta))
}

/// One stored column or slice; none when it is missing.
pub(crate) fn blob(
    connection: &Connection,
    sql: &str,
    key: i64,
) -> rusqlite::Result<Option<Vec<u8>>> {
    connection.prepare_cached(sql)?.query_row([key], |row| row.get(0)).optional()
}

/// What a file holds, in numbers and in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) rows: u64,
    pub(crate) first_id: EntryId,
    pub(crate) last_id: EntryId,
    pub(crate) min_time: UnixNanos,
    pub(crate) max_time: UnixNanos,
}

impl Bounds {
    /// Of a file with nothing in it: no time is between its bounds.
    pub(crate) const EMPTY: Self = Self {
        rows: 0,
        first_id: EntryId(u64::MAX),
        last_id: EntryId(0),
        min_time: UnixNanos::MAX,
        max_time: UnixNanos::MIN,
    };

    pub(crate) fn add(&mut self, id: EntryId, time: UnixNanos) {
        self.rows += 1;
        self.first_id = self.first_id.min(id);
        self.last_id = self.last_id.max(id);
        self.min_time = self.min_time.min(time);
        self.max_time = self.max_time.max(time);
    }
}

pub(crate) fn read_bounds(connection: &Connection) -> rusqlite::Result<Bounds> {
    let sql = "SELECT row_count, first_id, last_id, min_time, max_time FROM bounds WHERE one = 1";
    connection.prepare_cached(sql)?.query_row([], |row| {
        let rows: i64 = row.get(0)?;
        if rows == 0 {
            return Ok(Bounds::EMPTY);
        }
        Ok(Bounds {
            rows: u64::try_from(rows).unwrap_or(0),
            first_id: id_of(row.get(1)?),
            last_id: id_of(row.get(2)?),
            min_time: UnixNanos(row.get(3)?),
            max_time: UnixNanos(row.get(4)?),
        })
    })
}

pub(crate) fn write_bounds(connection: &Connection, bounds: &Bounds) -> rusqlite::Result<()> {
    if bounds.rows == 0 {
        return Ok(());
    }
    let sql = "UPDATE bounds SET row_count = ?1, first_id = ?2, last_id = ?3, min_time = ?4, \
               max_time = ?5 WHERE one = 1";
    connection.prepare_cached(sql)?.execute(params![
        i64::try_from(bounds.rows).unwrap_or(i64::MAX),
        sql_id(bounds.first_id),
        sql_id(bounds.last_id),
        bounds.min_time.0,
        bounds.max_time.0,
    ])?;
    Ok(())
}
