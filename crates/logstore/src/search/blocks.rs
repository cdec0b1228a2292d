//! The sealed blocks of a file: which of them a filter does not rule out, and their rows.

use std::cell::RefCell;

use rusqlite::Connection;

use super::Run;
use crate::block::column::Unpacker;
use crate::block::decode::Columns;
use crate::block::filter::TokenHash;
use crate::block::{BlockMeta, RowSet};
use crate::entry::Severity;
use crate::filter::{Field, Filter, Polarity};
use crate::query::Order;
use crate::sqlite::rows::{BLOCK_COLUMNS, block_of};
use crate::stored_block::{ReadError, SqlFrames, block_may_have};

/// What is asked of blocks.
pub(super) struct Asked<'f> {
    pub(super) filter: &'f Filter,
    /// The numbers of all entries that may match, ascending, when an index knows them.
    pub(super) hits: Option<&'f [u64]>,
    /// Which blocks come first.
    pub(super) order: Option<Order>,
}

/// The rows of a block that a filter wants; none when the block was ruled out.
pub(super) type Found<'b> = Option<(Columns<'b, SqlFrames<'b>>, RowSet)>;

/// Calls `each` for every block that overlaps in time and severity, until it says that it has
/// enough. Its second argument unpacks the block and finds the rows, when `each` wants them.
///
/// A block that is damaged is noted and passed over.
pub(super) fn each_block(
    run: &mut Run<'_>,
    connection: &Connection,
    asked: &mut Asked<'_>,
    mut each: impl for<'b> FnMut(
        &BlockMeta,
        &mut dyn FnMut() -> Result<Found<'b>, ReadError>,
    ) -> Result<bool, ReadError>,
) -> Result<(), ReadError> {
    let sort = match asked.order {
        Some(Order::NewestFirst) => "ORDER BY max_time DESC",
        Some(Order::OldestFirst) => "ORDER BY min_time",
        None => "",
    };
    let sql = format!(
        "SELECT {BLOCK_COLUMNS} FROM block WHERE max_time >= ?1 AND min_time <= ?2 \
         AND severity_mask & ?3 != 0 {sort}"
    );
    let filter = asked.filter;
    let mask = Severity::ALL.into_iter().filter(|severity| filter.severities.holds(*severity));
    let mask = mask.fold(0i64, |mask, severity| mask | 1 << severity.number());
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query([filter.time.from.0, filter.time.to.0, mask])?;
    let unpacker = RefCell::new(Unpacker::new()?);
    while let Some(row) = found.next()? {
        run.deadline.check()?;
        run.work.blocks += 1;
        let Some(meta) = block_of(row)? else {
            run.note_unreadable(None, "a block of an unknown version");
            continue;
        };
        let mut unpacked = false;
        let mut look = || {
            let found = rows_of(connection, &unpacker, meta, asked)?;
            unpacked |= found.is_some();
            Ok(found)
        };
        let goes_on = each(&meta, &mut look);
        run.work.blocks_unpacked += u64::from(unpacked);
        match goes_on {
            Ok(true) => {}
            Ok(false) => break,
            Err(ReadError::Block(what)) => {
                run.note_unreadable(Some((meta.first_id, meta.last_id)), what.0);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn rows_of<'b>(
    connection: &'b Connection,
    unpacker: &'b RefCell<Unpacker>,
    meta: BlockMeta,
    asked: &Asked<'_>,
) -> Result<Found<'b>, ReadError> {
    let frames = SqlFrames { connection, block: meta.block };
    let hits = match asked.hits {
        Some(hits) => {
            let from = hits.partition_point(|id| *id < meta.first_id.0);
            let until = hits.partition_point(|id| *id <= meta.last_id.0);
            if from == until {
                return Ok(None);
            }
            Some(&hits[from..until])
        }
        None if !may_match(connection, meta.block, asked.filter)? => return Ok(None),
        None => None,
    };
    let columns = Columns::new(meta, frames, unpacker)?;
    let rows = match hits {
        Some(hits) => columns.rows_of(hits)?,
        None => columns.all_rows(),
    };
    let rows = columns.matching(rows, asked.filter)?;
    Ok(Some((columns, rows)))
}

/// Whether the filter of a block leaves open that it has what is wanted.
fn may_match(connection: &Connection, block: i64, filter: &Filter) -> Result<bool, ReadError> {
    for condition in &filter.fields {
        let is_known = !matches!(condition.field, Field::Facility | Field::Severity);
        if condition.polarity == Polarity::IsNot || !is_known {
            continue;
        }
        let mut has_one = false;
        for value in &condition.values {
            let hash = TokenHash::of_field(condition.field, value);
            if block_may_have(connection, block, hash)? {
                has_one = true;
                break;
            }
        }
        if !has_one {
            return Ok(false);
        }
    }
    let mut has = |token: &str| block_may_have(connection, block, TokenHash::of_token(token));
    filter.text.root().map_or(Ok(true), |root| root.may_match(&mut has))
}
