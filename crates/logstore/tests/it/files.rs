//! Files: days, sizes, retention, readers that stay, what is on the disk.

use std::time::Duration;

use logstore::*;

use crate::support::{Bed, DAY, messages, partitions};

#[test]
fn a_batch_over_midnight_goes_to_two_files() {
    let bed = Bed::new(Options::default());
    let store = bed.open();
    let evening = store.store(bed.entry("evening")).unwrap();
    bed.clock.advance(DAY / 2);
    let morning = store.store(bed.entry("morning")).unwrap();
    bed.flush(&store);
    assert_eq!((evening.wait().unwrap(), morning.wait().unwrap()), (EntryId(1), EntryId(2)));
    assert_eq!(partitions(&bed.path()), ["2026-01-01.001.logs", "2026-01-02.001.logs"]);
    assert_eq!(messages(&store), ["evening", "morning"]);
}

#[test]
fn a_day_that_grows_large_goes_on_in_another_file() {
    let bed = Bed::new(Options { partition_bytes: 1 << 20, seal: Seal::Off, ..Options::default() });
    let store = bed.open();
    for n in 0..40 {
        let entry = bed.entry(format!("m{n} {}", "x".repeat(60_000)));
        drop(store.store(entry).unwrap());
        bed.flush(&store);
    }
    let files = partitions(&bed.path());
    assert!(files.len() >= 2 && files[1] == "2026-01-01.002.logs", "{files:?}");
    assert_eq!(messages(&store).len(), 40);
    drop(store);
    let store = bed.open();
    assert_eq!(bed.store(&store, &["next"]).first, EntryId(41));
}

#[test]
fn retention_by_age_drops_whole_files_by_itself() {
    let retention = Retention { days_max: Some(2), bytes_max: None };
    let bed = Bed::new(Options { retention, ..Options::default() });
    let store = bed.open();
    for day in 1..=4 {
        bed.store(&store, &[&format!("day{day}")]);
        bed.clock.advance(DAY);
    }
    store.turn();
    assert_eq!(partitions(&bed.path()), ["2026-01-04.001.logs"]);
    assert_eq!(messages(&store), ["day4"]);
    assert_eq!(bed.metric("docdb_logs_retired_partitions_total{reason=\"age\"}"), 3.0);
    bed.clock.advance(10 * DAY);
    store.turn();
    assert_eq!(messages(&store), ["day4"], "the newest file stays until another takes its place");
}

#[test]
fn retention_by_size_drops_the_oldest_files() {
    let bed = Bed::new(Options::default());
    let store = bed.open();
    for day in 1..=4 {
        bed.store(&store, &[&format!("day{day}")]);
        bed.clock.advance(DAY);
    }
    let bytes = store.stats().unwrap().bytes;
    let report = store.cleanup(Retention { days_max: None, bytes_max: Some(bytes - 1) }).unwrap();
    assert_eq!((report.partitions, report.entries), (1, 1));
    assert_eq!(messages(&store), ["day2", "day3", "day4"]);
    store.cleanup(Retention { days_max: None, bytes_max: Some(0) }).unwrap();
    assert_eq!(messages(&store), ["day4"]);
    assert_eq!(store.stats().unwrap().partitions, 1);
}

#[test]
fn a_reader_that_stays_keeps_its_view_while_the_log_is_written_and_files_go() {
    let bed = Bed::new(Options::default());
    let store = bed.open();
    bed.store(&store, &["one"]);
    let first = partitions(&bed.path()).pop().unwrap();
    let reader = rusqlite::Connection::open(bed.path().join(&first)).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM entry").unwrap();
    let count =
        || -> i64 { reader.query_row("SELECT count(*) FROM entry", [], |row| row.get(0)).unwrap() };
    for n in 0..50 {
        bed.store(&store, &[&format!("{n} {}", "x".repeat(1000))]);
    }
    assert_eq!((count(), messages(&store).len()), (1, 51));
    bed.clock.advance(DAY);
    bed.store(&store, &["tomorrow"]);
    store.cleanup(Retention { days_max: Some(1), bytes_max: None }).unwrap();
    assert_eq!(count(), 1, "a file that is gone is still read by whoever has it open");
    assert_eq!(messages(&store), ["tomorrow"]);
}

#[test]
fn the_write_ahead_log_is_emptied_once_the_long_reader_is_gone() {
    let bed = Bed::new(Options { seal: Seal::Off, ..Options::default() });
    let store = bed.open();
    bed.store(&store, &["one"]);
    let name = partitions(&bed.path()).pop().unwrap();
    let reader = rusqlite::Connection::open(bed.path().join(&name)).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM entry").unwrap();
    let wal = || {
        use base::io::Disk as _;
        let path = bed.path().join(format!("{name}-wal"));
        base::io::RealDisk.stat(&path).unwrap().map_or(0, |stat| stat.len)
    };
    let message = "x".repeat(60_000);
    while wal() < 70 << 20 {
        let entries = vec![bed.entry(message.as_str()); 100];
        drop(store.store_all(entries).unwrap());
        bed.flush(&store);
    }
    bed.clock.advance(Duration::from_secs(2));
    bed.store(&store, &["looks"]);
    assert_eq!(bed.metric("docdb_logs_wal_truncations_total{status=\"blocked\"}"), 1.0);
    assert!(wal() > 64 << 20);
    reader.execute_batch("COMMIT").unwrap();
    bed.clock.advance(Duration::from_secs(2));
    bed.store(&store, &["looks again"]);
    bed.clock.advance(Duration::from_secs(2));
    store.turn();
    assert!(wal() < 1 << 20, "{}", wal());
    assert_eq!(bed.metric("docdb_logs_wal_truncations_total{status=\"done\"}"), 1.0);
}

#[test]
fn rows_stay_plain_when_sealing_is_off_and_become_blocks_when_it_is_on() {
    for (seal, rows, blocks) in [(Seal::Off, 5000, 0), (Seal::On, 904, 1)] {
        let bed = Bed::new(Options { seal, queue_size: 5000, ..Options::default() });
        let store = bed.open();
        for part in 0..5 {
            let entries = (0..1000).map(|n| bed.entry(format!("m{part}-{n}"))).collect();
            drop(store.store_all(entries).unwrap());
            bed.flush(&store);
        }
        assert_eq!(messages(&store).len(), 5000);
        drop(store);
        let name = partitions(&bed.path()).pop().unwrap();
        let file = rusqlite::Connection::open(bed.path().join(name)).unwrap();
        let count = |table: &str| -> i64 {
            let sql = format!("SELECT count(*) FROM {table}");
            file.query_row(&sql, [], |row| row.get(0)).unwrap()
        };
        assert_eq!((count("entry"), count("block")), (rows, blocks));
        let check: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
    }
}

#[test]
fn a_tail_that_a_closed_store_has_left_is_sealed_when_its_day_is_over() {
    let bed = Bed::new(Options::default());
    let store = bed.open();
    bed.store(&store, &["a", "b"]);
    drop(store);
    bed.clock.advance(DAY);
    let store = bed.open();
    bed.store(&store, &["tomorrow"]);
    assert_eq!(messages(&store), ["a", "b", "tomorrow"]);
    drop(store);
    let file = rusqlite::Connection::open(bed.path().join("2026-01-01.001.logs")).unwrap();
    let sql = "SELECT (SELECT count(*) FROM entry), (SELECT sum(row_count) FROM block)";
    let counts: (i64, i64) = file.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(counts, (0, 2));
}

#[test]
fn without_a_write_ahead_log_there_is_one_plain_file() {
    let bed = Bed::new(Options { journal: Journal::Rollback, ..Options::default() });
    let store = bed.open();
    bed.store(&store, &["a"]);
    assert_eq!(bed.files(), ["2026-01-01.001.logs", "LOCK"]);
    assert_eq!(messages(&store), ["a"]);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the mode of a file, as the system has it")]
fn files_are_for_their_user_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let bed = Bed::new(Options::default());
    let store = bed.open();
    bed.store(&store, &["a"]);
    store.backup(&bed.dir.path().join("backup")).unwrap();
    let backup = bed.dir.path().join("backup");
    for dir in [bed.path(), backup] {
        for name in crate::support::names(&dir) {
            let mode = std::fs::metadata(dir.join(&name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}

#[test]
fn a_store_of_a_newer_version_is_refused_untouched() {
    let bed = Bed::new(Options::default());
    let store = bed.open();
    bed.store(&store, &["a"]);
    drop(store);
    let path = bed.path().join("2026-01-01.001.logs");
    let file = rusqlite::Connection::open(&path).unwrap();
    file.pragma_update(None, "user_version", 99).unwrap();
    drop(file);
    assert!(matches!(bed.try_open(), Err(LogError::Unsupported { .. })));
    let file = rusqlite::Connection::open(&path).unwrap();
    let rows: i64 = file.query_row("SELECT count(*) FROM entry", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 1);
}

#[test]
fn exports_give_every_entry_the_earliest_first() {
    let bed = Bed::new(Options { queue_size: 10_000, ..Options::default() });
    let store = bed.open();
    let entries = (0..9000).map(|n| bed.entry(format!("m{n}"))).collect();
    drop(store.store_all(entries).unwrap());
    bed.flush(&store);
    let lines: Vec<_> = store
        .export(Filter::default(), ExportFormat::NdJson)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(lines.len(), 9000);
    for (n, line) in lines.iter().enumerate() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["message"], format!("m{n}"));
    }
    let csv = store.export(Filter::default().text("m17"), ExportFormat::Csv).unwrap();
    let csv: Vec<_> = csv.map(Result::unwrap).collect();
    assert!(csv.len() == 2 && csv[0].starts_with("id,time,") && csv[1].ends_with(",m17"));
}
