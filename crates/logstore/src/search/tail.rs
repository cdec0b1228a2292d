//! The plain rows of a file: the tail that is not sealed yet, or everything where sealing is off.

use rusqlite::{Connection, Rows, params};

use super::Run;
use crate::filter::{EntryRef, Filter};
use crate::options::Seal;
use crate::query::Order;
use crate::sqlite::rows::{ENTRY_COLUMNS, entry_of};
use crate::stored_block::ReadError;

/// Rows between two looks at the clock.
const ROWS_PER_LOOK: u64 = 1024;

/// Calls `each` with every row that a filter wants, until it says that it has enough: rows then come
/// in `order` where the file has an index for it, and in any order where it is a short tail, whose
/// rows are all looked at.
pub(super) fn each_wanted(
    run: &mut Run<'_>,
    connection: &Connection,
    filter: &Filter,
    hits: Option<&[u64]>,
    order: Option<Order>,
    mut each: impl FnMut(&EntryRef<'_>) -> bool,
) -> Result<(), ReadError> {
    let is_indexed = run.shared.options.seal == Seal::Off;
    if let (Some(hits), true) = (hits, is_indexed) {
        return each_hit(run, connection, filter, hits, each);
    }
    let sort = match order {
        Some(Order::NewestFirst) if is_indexed => "ORDER BY time DESC, id DESC",
        Some(Order::OldestFirst) if is_indexed => "ORDER BY time, id",
        _ => "",
    };
    let sql = format!("SELECT {ENTRY_COLUMNS} FROM entry WHERE time BETWEEN ?1 AND ?2 {sort}");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query([filter.time.from.0, filter.time.to.0])?;
    let can_stop = is_indexed && order.is_some();
    look_at(run, rows, filter, |entry| each(entry) || !can_stop)
}

/// The same for rows whose numbers are known.
fn each_hit(
    run: &mut Run<'_>,
    connection: &Connection,
    filter: &Filter,
    hits: &[u64],
    mut each: impl FnMut(&EntryRef<'_>) -> bool,
) -> Result<(), ReadError> {
    let sql = format!("SELECT {ENTRY_COLUMNS} FROM entry WHERE id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    for hit in hits {
        let rows = statement.query(params![i64::try_from(*hit).unwrap_or(i64::MAX)])?;
        look_at(run, rows, filter, |entry| {
            each(entry);
            true
        })?;
    }
    Ok(())
}

fn look_at(
    run: &mut Run<'_>,
    mut rows: Rows<'_>,
    filter: &Filter,
    mut each: impl FnMut(&EntryRef<'_>) -> bool,
) -> Result<(), ReadError> {
    while let Some(row) = rows.next()? {
        run.work.rows += 1;
        if run.work.rows.is_multiple_of(ROWS_PER_LOOK) {
            run.deadline.check()?;
        }
        let entry = entry_of(row)?;
        if filter.matches(&entry) && !each(&entry) {
            break;
        }
    }
    Ok(())
}
