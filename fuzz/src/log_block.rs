//! Bytes as a sealed block of logs: reading it gives a clear error or as many entries as it has rows, with
//! numbers that ascend; a filter finds in it what it finds in its entries; sealed again they are the
//! same.
//!
//! The input is how many rows there are (u16), then columns and slices of the filter, each with its length
//! (u16) before it. They are taken three times: as they are, with checksums that fit, and as columns that
//! are yet to be packed, so that mutations reach the code behind the checksums and behind zstd.

use logstore::{Entry, EntryId, Field, Filter, Marks, RawBlock, Severity, StoredEntry, UnixNanos};

/// One input.
pub fn run(data: &[u8]) {
    let block = parse(data);
    read(&block);
    let mut fitting = block.clone();
    fitting.columns.iter_mut().chain(&mut fitting.filter).for_each(|part| fit(part));
    read(&fitting);
    let framed = RawBlock::framed(block.rows, &block.columns, fitting.filter);
    read(&framed.expect("columns are short"));
}

/// Makes the checksum at the beginning fit what is behind it.
fn fit(part: &mut [u8]) {
    if let Some((crc, rest)) = part.split_at_mut_checked(4) {
        crc.copy_from_slice(&crc32c::crc32c(rest).to_le_bytes());
    }
}

fn read(block: &RawBlock) {
    let filters = [
        Filter::default().text("disk"),
        Filter::default().text("\"disk full\" OR req*"),
        Filter::default().at_least(Severity::Warning),
        Filter::default().between(UnixNanos(0), UnixNanos(2_000)),
        Filter::default().field(Field::AppName, &["nginx", ""]),
    ];
    let found: Vec<_> = filters.iter().map(|filter| block.matching(filter)).collect();
    let known = block.may_have("disk full");
    let Ok(entries) = block.entries() else { return };
    assert_eq!(entries.len(), block.rows);
    assert!(entries.is_sorted_by(|a, b| a.id < b.id), "numbers do not ascend");
    for (filter, found) in filters.iter().zip(found) {
        let found = found.expect("every column can be read");
        let matches = |row: &usize| filter.matches(&entries[*row].view());
        assert_eq!(found, (0..block.rows).filter(matches).collect::<Vec<_>>(), "{filter:?}");
    }
    // What was damaged may know too little, but not without saying so.
    drop(known);
    if let Ok(again) = RawBlock::seal(&entries, 1) {
        assert_eq!(again.entries().expect("it has just been sealed"), entries);
        for entry in &entries {
            assert!(again.may_have(&entry.entry.message).expect("it has just been sealed"));
        }
    }
}

fn parse(data: &[u8]) -> RawBlock {
    let (mut rest, rows) = number(data);
    let mut parts = Vec::new();
    while !rest.is_empty() && parts.len() < RawBlock::COLUMNS + RawBlock::SLICES {
        let (behind, len) = number(rest);
        let (part, behind) = behind.split_at(len.min(behind.len()));
        parts.push(part.to_vec());
        rest = behind;
    }
    let filter = parts.split_off(RawBlock::COLUMNS.min(parts.len()));
    RawBlock { rows, columns: parts, filter }
}

fn number(data: &[u8]) -> (&[u8], usize) {
    match data.split_first_chunk() {
        Some((number, rest)) => (rest, usize::from(u16::from_le_bytes(*number))),
        None => (&[], 0),
    }
}

fn put(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&u16::try_from(number).expect("seeds are small").to_le_bytes());
}

fn written(block: &RawBlock) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, block.rows);
    for part in block.columns.iter().chain(&block.filter) {
        put(&mut out, part.len());
        out.extend_from_slice(part);
    }
    out
}

fn entries(count: u64) -> Vec<StoredEntry> {
    let entry = |n: u64| {
        let time = UnixNanos(1_000 + i64::try_from(n * 37 % 100).unwrap_or(0));
        let mut entry = Entry::new(time, format!("disk full: request {n}"))
            .from_app(format!("host{}", n % 3), if n.is_multiple_of(2) { "nginx" } else { "" })
            .with_severity(Severity::ALL[usize::try_from(n % 8).unwrap_or(0)]);
        entry.marks = if n.is_multiple_of(5) { Marks::CUT } else { Marks::NONE };
        entry.structured_data = format!("{{\"n\":{n}}}");
        StoredEntry { id: EntryId(n * 2 + 1), entry }
    };
    (0..count).map(entry).collect()
}

/// Blocks of few and of some rows: as they are stored, and before they are packed.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![Vec::new()];
    for count in [1, 3, 40] {
        let block = RawBlock::seal(&entries(count), 3).expect("they make a block");
        let unpacked = block.unpacked().expect("it has just been sealed");
        seeds.push(written(&block));
        seeds.push(written(&RawBlock { columns: unpacked, ..block }));
    }
    seeds
}
