//! From rows to a block.

use super::column::{Packer, put_ascending, put_plain, put_texts, put_times};
use super::filter::FilterBuilder;
use super::{BLOCK_TEXT_BYTES, BlockMeta, ColumnId, SealedBlock};
use crate::filter::{EntryRef, Field};
use crate::options::BLOCK_ROWS;

/// How many of the first rows make a block: as many as fit by number and by bytes, at least one.
pub(crate) fn rows_that_fit(text_bytes: impl Iterator<Item = usize>) -> usize {
    let mut sum = 0;
    let fit = text_bytes.take(BLOCK_ROWS).take_while(|bytes| {
        let has_room = sum == 0 || sum + bytes <= BLOCK_TEXT_BYTES;
        sum += bytes;
        has_room
    });
    fit.count().max(1)
}

/// Seals rows that ascend by number, at least one and no more than fit.
pub(crate) fn seal(rows: &[EntryRef<'_>], packer: &mut Packer) -> std::io::Result<SealedBlock> {
    debug_assert!(!rows.is_empty() && rows.len() <= BLOCK_ROWS);
    debug_assert!(rows.is_sorted_by(|a, b| a.id < b.id));
    let mut columns = Vec::with_capacity(ColumnId::ALL.len());
    for column in ColumnId::ALL {
        columns.push(packer.pack(&encode(rows, column))?);
    }
    let mut severity_rows = [0u32; 8];
    let mut filter = FilterBuilder::default();
    for row in rows {
        severity_rows[usize::from(row.severity.number())] += 1;
        filter.add(row);
    }
    for field in [Field::Hostname, Field::AppName, Field::ProcId, Field::MsgId, Field::Source] {
        let mut last = None;
        for value in rows.iter().map(|row| row.field(field)) {
            if last != Some(value) {
                filter.add_field(field, value);
            }
            last = Some(value);
        }
    }
    let times = || rows.iter().map(|row| row.time);
    let meta = BlockMeta {
        block: 0,
        rows: rows.len(),
        first_id: rows[0].id,
        last_id: rows[rows.len() - 1].id,
        min_time: times().min().unwrap_or_default(),
        max_time: times().max().unwrap_or_default(),
        severity_rows,
    };
    let text_bytes = rows.iter().map(EntryRef::text_bytes).sum();
    Ok(SealedBlock { meta, columns, filters: filter.finish(), text_bytes })
}

fn encode(rows: &[EntryRef<'_>], column: ColumnId) -> Vec<u8> {
    match column {
        ColumnId::Ids => put_ascending(rows.iter().map(|row| row.id.0)),
        ColumnId::Times => put_times(rows.iter().map(|row| row.time.0)),
        ColumnId::Received => put_times(rows.iter().map(|row| row.received.0)),
        ColumnId::Levels => {
            let severities = rows.iter().map(|row| row.severity.number());
            let facilities = rows.iter().map(|row| row.facility);
            severities.chain(facilities).chain(rows.iter().map(|row| row.marks.0)).collect()
        }
        ColumnId::Hostname => put_texts(&collect(rows, |row| row.hostname)),
        ColumnId::AppName => put_texts(&collect(rows, |row| row.app_name)),
        ColumnId::ProcId => put_texts(&collect(rows, |row| row.proc_id)),
        ColumnId::MsgId => put_texts(&collect(rows, |row| row.msg_id)),
        ColumnId::Source => put_texts(&collect(rows, |row| row.source)),
        ColumnId::StructuredData => put_texts(&collect(rows, |row| row.structured_data)),
        // Search runs over the texts of messages in one sweep, which a dictionary would break up.
        ColumnId::Message => put_plain(&collect(rows, |row| row.message)),
    }
}

fn collect<'e>(rows: &[EntryRef<'e>], of: impl Fn(&EntryRef<'e>) -> &'e str) -> Vec<&'e str> {
    rows.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_full_by_rows_or_by_bytes_and_takes_one_row_always() {
        assert_eq!(rows_that_fit([10; 5000].into_iter()), BLOCK_ROWS);
        assert_eq!(rows_that_fit([10; 7].into_iter()), 7);
        assert_eq!(rows_that_fit([BLOCK_TEXT_BYTES / 2; 7].into_iter()), 2);
        assert_eq!(rows_that_fit([2 * BLOCK_TEXT_BYTES; 7].into_iter()), 1);
    }
}
