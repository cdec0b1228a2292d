//! Every failure that the store promises to survive, made to happen.

use std::time::Duration;

use logstore::*;

use crate::support::{Bed, messages, names, partitions};

/// A connection of somebody else to the newest file of a store.
fn intruder(bed: &Bed) -> rusqlite::Connection {
    let name = partitions(&bed.path()).pop().unwrap();
    rusqlite::Connection::open(bed.path().join(name)).unwrap()
}

#[test]
fn a_full_queue_refuses_at_once_and_counts() {
    let bed = Bed::new(Options { batch_size: 2, queue_size: 2, ..Options::default() });
    let store = bed.open();
    let first = store.store(bed.entry("a")).unwrap();
    drop(store.store(bed.entry("b")).unwrap());
    assert!(matches!(store.store(bed.entry("c")), Err(LogError::QueueFull { entries: 2, .. })));
    assert_eq!(bed.metric("docdb_logs_dropped_entries_total{reason=\"queue_full\"}"), 1.0);
    store.turn();
    assert_eq!(first.wait().unwrap(), EntryId(1));
    assert_eq!(bed.store(&store, &["c"]).first, EntryId(3));
}

#[test]
fn what_is_offered_stays_with_its_owner_until_there_is_room() {
    let bed = Bed::new(Options { batch_size: 2, queue_size: 2, ..Options::default() });
    let store = bed.open();
    drop(store.offer(&mut vec![bed.entry("a")]).unwrap());
    let mut two = vec![bed.entry("b"), bed.entry("c")];
    assert!(matches!(store.offer_durable(&mut two), Err(LogError::QueueFull { .. })));
    assert_eq!(two.len(), 2);
    let dropped = "docdb_logs_dropped_entries_total{reason=\"queue_full\"}";
    assert_eq!(bed.metric(dropped), 0.0);
    bed.flush(&store);
    let group = store.offer_durable(&mut two).unwrap();
    assert!(two.is_empty());
    bed.flush(&store);
    assert_eq!(group.wait_for(Duration::ZERO).unwrap().first, EntryId(2));
    store.give_up(&[bed.entry("d")], &LogError::QueueFull { entries: 2, bytes: 0 });
    assert_eq!(bed.metric(dropped), 1.0);
    assert!(matches!(store.offer(&mut two), Err(LogError::Invalid { .. })));
}

#[test]
fn one_poisoned_entry_in_ten_thousand_is_a_dead_letter_and_the_rest_is_stored() {
    // Plain rows: the trigger that poisons stands on their table.
    let bed = Bed::new(Options { queue_size: 10_000, seal: Seal::Off, ..Options::default() });
    let store = bed.open();
    bed.store(&store, &["before"]);
    intruder(&bed)
        .execute_batch(
            "CREATE TRIGGER poison BEFORE INSERT ON entry WHEN NEW.message = 'm7777' \
             BEGIN SELECT RAISE(ABORT, 'poisoned'); END",
        )
        .unwrap();
    let entries = (0..10_000).map(|n| bed.entry(format!("m{n}"))).collect();
    let group = store.store_all(entries).unwrap();
    bed.flush(&store);
    let receipt = group.wait_for(Duration::ZERO).unwrap();
    let [(id, reason)] = &receipt.refused[..] else { panic!("{receipt:?}") };
    assert_eq!(*id, EntryId(7779));
    assert!(reason.contains("poisoned"), "{reason}");
    let stored = messages(&store);
    assert_eq!(stored.len(), 10_000);
    assert!(!stored.contains(&"m7777".to_owned()));
    let letters = store.dead_letters(10).unwrap();
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!(letter.id, EntryId(7779));
    assert!(letter.entry.contains("m7777") && letter.reason.contains("poisoned"), "{letter:?}");
    assert_eq!(bed.metric("docdb_logs_dropped_entries_total{reason=\"refused\"}"), 1.0);
    assert!(bed.metric("docdb_logs_retries_total{reason=\"content\"}") >= 12.0);
    drop(store);
    assert_eq!(bed.store(&bed.open(), &["after"]).first, EntryId(10_002));
}

#[test]
fn one_entry_alone_that_is_refused_fails_its_handle() {
    let bed = Bed::new(Options { seal: Seal::Off, ..Options::default() });
    let store = bed.open();
    bed.store(&store, &["before"]);
    intruder(&bed)
        .execute_batch(
            "CREATE TRIGGER poison BEFORE INSERT ON entry \
             BEGIN SELECT RAISE(ABORT, 'poisoned'); END",
        )
        .unwrap();
    let completion = store.store(bed.entry("m")).unwrap();
    bed.flush(&store);
    assert!(matches!(completion.wait(), Err(LogError::Refused { id: EntryId(2), .. })));
}

#[test]
fn a_busy_file_is_tried_again_later_and_nothing_is_lost_or_twice() {
    let bed = Bed::new(Options { busy_timeout: Duration::ZERO, ..Options::default() });
    let store = bed.open();
    bed.store(&store, &["before"]);
    let intruder = intruder(&bed);
    intruder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let completion = store.store(bed.entry("waits")).unwrap();
    bed.clock.advance(bed.options.batch_timeout);
    let retry_at = store.turn().unwrap();
    assert!(completion.settled().is_none());
    assert_eq!(bed.metric("docdb_logs_retries_total{reason=\"busy\"}"), 1.0);
    assert_eq!(store.turn(), Some(retry_at), "it waits before it tries again");
    bed.clock.advance(Duration::from_secs(3));
    store.turn();
    assert_eq!(bed.metric("docdb_logs_retries_total{reason=\"busy\"}"), 2.0);
    assert_eq!(messages(&store), ["before"], "readers do not wait");
    intruder.execute_batch("ROLLBACK").unwrap();
    bed.clock.advance(Duration::from_secs(3));
    store.turn();
    assert_eq!(completion.wait().unwrap(), EntryId(2));
    assert_eq!(messages(&store), ["before", "waits"]);
}

#[test]
fn closing_a_store_that_cannot_write_tells_what_is_lost() {
    let bed = Bed::new(Options { busy_timeout: Duration::ZERO, ..Options::default() });
    let store = bed.open();
    bed.store(&store, &["before"]);
    let intruder = intruder(&bed);
    intruder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let completion = store.store(bed.entry("lost")).unwrap();
    let report = store.close(Duration::ZERO).unwrap();
    assert_eq!(report, CloseReport { is_drained: false, unwritten: 1 });
    assert!(matches!(completion.wait(), Err(LogError::Unwritten { id: EntryId(2) })));
    assert_eq!(bed.metric("docdb_logs_dropped_entries_total{reason=\"unwritten\"}"), 1.0);
}

#[test]
fn a_file_that_is_no_database_is_put_aside_when_the_store_is_opened() {
    let bed = Bed::new(Options::default());
    let store = bed.open();
    bed.store(&store, &["lost", "too"]);
    drop(store);
    let name = partitions(&bed.path()).pop().unwrap();
    overwrite(&bed.path().join(&name), 0);
    let store = bed.open();
    assert_eq!(bed.metric("docdb_logs_damaged_partitions_total"), 1.0);
    let aside = names(&bed.path().join("damaged"));
    assert!(aside.iter().any(|aside| aside.starts_with(&name) && aside.ends_with("report.json")));
    assert_eq!(aside.len(), 2, "{aside:?}");
    let receipt = bed.store(&store, &["new"]);
    assert!(receipt.first.0 > 2, "no number of a lost entry is given to another");
    assert_eq!(messages(&store), ["new"]);
    drop(store);
    let store = bed.open();
    assert!(bed.store(&store, &["newer"]).first > receipt.first);
}

#[test]
fn a_file_that_is_damaged_while_it_is_written_is_put_aside_and_the_batch_goes_to_another() {
    let bed = Bed::new(Options::default());
    let store = bed.open();
    bed.store(&store, &["lost"]);
    let name = partitions(&bed.path()).pop().unwrap();
    // Without a write-ahead log to recover from.
    intruder(&bed).query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    for page in 1..40 {
        overwrite(&bed.path().join(&name), page * 4096);
    }
    // Force a fresh look at the pages, as another process' change does.
    intruder_write(&bed);
    let completion = store.store(bed.entry("kept")).unwrap();
    bed.flush(&store);
    bed.clock.advance(Duration::from_secs(1));
    store.turn();
    assert!(completion.wait().unwrap() >= EntryId(2));
    assert_eq!(messages(&store), ["kept"]);
    assert_eq!(partitions(&bed.path()), [name.replace(".001.", ".002.")]);
    let report = names(&bed.path().join("damaged")).into_iter().find(|n| n.ends_with(".json"));
    let report = read(&bed.path().join("damaged").join(report.unwrap()));
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["partition"], &report["next_id"]), (&name.into(), &3.into()));
    assert_eq!(report["known_contents"]["entries"], 1);
}

/// Changes the file's counter in its first page, so that every cache of pages is dropped.
fn intruder_write(bed: &Bed) {
    use base::io::{Disk as _, Open, RealDisk, read_exact_at, write_all_at};
    let name = partitions(&bed.path()).pop().unwrap();
    let file = RealDisk.open(&bed.path().join(name), Open::Write).unwrap();
    let mut counter = [0; 4];
    read_exact_at(&*file, &mut counter, 24).unwrap();
    counter[3] = counter[3].wrapping_add(7);
    write_all_at(&*file, &counter, 24).unwrap();
}

fn overwrite(path: &std::path::Path, offset: u64) {
    use base::io::{Disk as _, Open, RealDisk, write_all_at};
    let file = RealDisk.open(path, Open::Write).unwrap();
    let len = RealDisk.stat(path).unwrap().unwrap().len;
    if offset < len {
        write_all_at(&*file, &[0x5a; 4096], offset).unwrap();
    }
}

fn read(path: &std::path::Path) -> String {
    use base::io::{Disk as _, Open, RealDisk, read_exact_at};
    let file = RealDisk.open(path, Open::Read).unwrap();
    let len = RealDisk.stat(path).unwrap().unwrap().len;
    let mut text = vec![0; usize::try_from(len).unwrap()];
    read_exact_at(&*file, &mut text, 0).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn a_damaged_block_is_named_and_the_rest_is_found() {
    let bed = Bed::new(Options { queue_size: 10_000, ..Options::default() });
    let store = bed.open();
    let entries = (0..9000).map(|n| bed.entry(format!("m{n}"))).collect();
    drop(store.store_all(entries).unwrap());
    bed.flush(&store);
    intruder(&bed)
        .execute(
            "UPDATE block_column SET frame = CAST(frame || x'00' AS BLOB) WHERE id = 1 * 16 + 10",
            [],
        )
        .unwrap();
    let query = Query { limit: PAGE_MAX, ..Query::default() };
    let page = store.search(&query).unwrap();
    let [unreadable] = &page.unreadable[..] else { panic!("{:?}", page.unreadable) };
    assert_eq!(unreadable.entries, Some((EntryId(1), EntryId(4096))));
    assert!(unreadable.what.contains("checksum"), "{}", unreadable.what);
    assert_eq!(page.entries.len(), 9000 - 4096);
    assert_eq!(bed.metric("docdb_logs_unreadable_parts_total"), 1.0);
}

#[test]
fn a_clock_that_goes_back_writes_into_the_newest_file_and_is_counted() {
    let bed = Bed::new(Options::default());
    let store = bed.open();
    bed.store(&store, &["today"]);
    bed.clock.set_wall(base::clock::WallMs(crate::support::NOON_MS - 3 * 86_400_000));
    bed.store(&store, &["three days ago"]);
    assert_eq!(partitions(&bed.path()), ["2026-01-01.001.logs"]);
    assert_eq!(bed.metric("docdb_logs_clock_set_back_total"), 1.0);
    assert_eq!(messages(&store), ["three days ago", "today"], "in the order of time");
}

#[test]
fn a_search_that_takes_too_long_is_ended() {
    let bed = Bed::new(Options { query_timeout: Duration::ZERO, ..Options::default() });
    let store = bed.open();
    bed.store(&store, &["m"]);
    // A clock that stands still is never late.
    assert!(store.recent(1).is_ok());
    let impatient = bed.open_with_running_clock(&store);
    assert!(matches!(impatient.recent(1), Err(LogError::Timeout { .. })));
    assert_eq!(impatient.stats().unwrap().entries, 1);
}
