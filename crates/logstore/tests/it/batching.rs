//! From `store` to the database: batches, handles, numbers, live tails.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use logstore::*;

use crate::support::{Bed, messages};

const MS: Duration = Duration::from_millis(1);

#[test]
fn an_entry_is_written_when_its_batch_times_out() {
    let bed = Bed::new(Options::default());
    let store = bed.open();
    bed.store(&store, &["first"]);
    let completion = store.store(bed.entry("second")).unwrap();
    bed.clock.advance(99 * MS);
    store.turn();
    assert!(completion.settled().is_none());
    bed.clock.advance(MS);
    store.turn();
    assert_eq!(completion.wait().unwrap(), EntryId(2));
    assert_eq!(messages(&store), ["first", "second"]);
    assert!(bed.metric("docdb_logs_batches_total{trigger=\"timeout\"}") >= 1.0);
}

#[test]
fn an_idle_store_writes_soon() {
    let bed = Bed::new(Options::default());
    let store = bed.open();
    let completion = store.store(bed.entry("alone")).unwrap();
    bed.clock.advance(4 * MS);
    store.turn();
    assert!(completion.settled().is_none());
    bed.clock.advance(MS);
    store.turn();
    assert_eq!(completion.settled().unwrap().unwrap(), EntryId(1));
    assert_eq!(bed.metric("docdb_logs_batches_total{trigger=\"idle\"}"), 1.0);
}

#[test]
fn a_full_batch_is_written_at_once_and_takes_what_waits() {
    let bed = Bed::new(Options { batch_size: 10, ..Options::default() });
    let store = bed.open();
    bed.store(&store, &["before"]);
    let entries = (0..25).map(|n| bed.entry(n.to_string())).collect();
    let group = store.store_all(entries).unwrap();
    store.turn();
    let receipt = group.wait_for(Duration::ZERO).unwrap();
    assert_eq!((receipt.first, receipt.entries), (EntryId(2), 25));
    assert_eq!(bed.metric("docdb_logs_batches_total{trigger=\"size\"}"), 1.0);
}

#[test]
fn a_durable_waiter_closes_the_batch() {
    let bed = Bed::new(Options { synchronous: Synchronous::Normal, ..Options::default() });
    let store = bed.open();
    bed.store(&store, &["before"]);
    let queued = store.store(bed.entry("queued")).unwrap();
    assert_eq!(store.store_durable(bed.entry("durable")).unwrap(), EntryId(3));
    assert_eq!(queued.settled().unwrap().unwrap(), EntryId(2));
    assert_eq!(bed.metric("docdb_logs_batches_total{trigger=\"durable\"}"), 1.0);
}

#[test]
fn numbers_go_on_after_the_store_was_closed_and_entries_are_still_there() {
    let bed = Bed::new(Options::default());
    let store = bed.open();
    bed.store(&store, &["a", "b"]);
    drop(store);
    let store = bed.open();
    assert_eq!(bed.store(&store, &["c"]).first, EntryId(3));
    assert_eq!(messages(&store), ["a", "b", "c"]);
    assert_eq!(store.recent(2).unwrap().len(), 2);
}

#[test]
fn closing_writes_what_waits_and_then_refuses() {
    let bed = Bed::new(Options::default());
    let store = bed.open();
    let completion = store.store(bed.entry("late")).unwrap();
    let report = store.close(Duration::from_secs(5)).unwrap();
    assert_eq!(report, CloseReport { is_drained: true, unwritten: 0 });
    assert_eq!(completion.wait().unwrap(), EntryId(1));
    assert!(matches!(store.store(bed.entry("too late")), Err(LogError::Closed)));
    assert_eq!(bed.metric("docdb_logs_dropped_entries_total{reason=\"closed\"}"), 1.0);
    assert_eq!(messages(&store), ["late"], "what is closed can still be read");
    drop(store);
    let left = crate::support::partitions(&bed.path());
    assert_eq!(left.len(), 1);
    assert!(!bed.files().iter().any(|name| name.ends_with("-wal")), "{:?}", bed.files());
}

#[test]
fn a_subscriber_sees_an_entry_before_it_is_written() {
    let bed = Bed::new(Options::default());
    let store = bed.open();
    let tail = store.subscribe(Filter::default().text("disk"), 10).unwrap();
    let completion = store.store(bed.entry("disk full")).unwrap();
    drop(store.store(bed.entry("something else")).unwrap());
    let Some(Tail::Entry(seen)) = tail.try_next() else { panic!("nothing seen") };
    assert_eq!((seen.id, seen.entry.message.as_str()), (EntryId(1), "disk full"));
    assert!(completion.settled().is_none());
    assert_eq!(tail.try_next(), None);
    store.close(Duration::ZERO).unwrap();
    assert_eq!(tail.try_next(), Some(Tail::Closed));
    assert!(matches!(store.subscribe(Filter::default(), 1), Err(LogError::Closed)));
}

#[test]
fn a_callback_is_told_of_the_commit() {
    let bed = Bed::new(Options::default());
    let store = bed.open();
    let told = Arc::new(Mutex::new(Vec::new()));
    let teller = Arc::clone(&told);
    store.store_with(bed.entry("m"), move |id| teller.lock().unwrap().push(id.unwrap())).unwrap();
    assert!(told.lock().unwrap().is_empty());
    bed.flush(&store);
    assert_eq!(*told.lock().unwrap(), [EntryId(1)]);
}

#[test]
fn entries_of_many_threads_get_numbers_without_gaps_and_are_all_there() {
    let bed = Bed::new(Options::default());
    let options = Options { background: Background::Thread, ..bed.options.clone() };
    let store = BatchedSqliteStorage::open(&bed.path(), options, Environment::system()).unwrap();
    let store = Arc::new(store);
    let refused = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let (store, refused) = (Arc::clone(&store), Arc::clone(&refused));
            let work = move || {
                let mut last = None;
                for n in 0..2000 {
                    let entry = Entry::new(UnixNanos(n), format!("thread{thread} entry{n}"));
                    loop {
                        match store.store(entry.clone()) {
                            Ok(completion) => break last = Some(completion),
                            Err(LogError::QueueFull { .. }) => {
                                refused.fetch_add(1, Ordering::Relaxed);
                                std::thread::yield_now();
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
                last.unwrap().wait().unwrap()
            };
            base::workers::spawn("writes", work).unwrap()
        })
        .collect();
    let last = threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap();
    store.close(Duration::from_secs(60)).unwrap();
    assert!(last.0 <= 16_000);
    let mut ids: Vec<_> =
        crate::support::all(&store, &Filter::default()).iter().map(|s| s.id.0).collect();
    ids.sort_unstable();
    assert!(ids.into_iter().eq(1..=16_000));
    for thread in 0..8 {
        let filter = Filter::default().text(&format!("thread{thread}"));
        let query = Query { limit: 5000, order: Order::OldestFirst, ..Query::new(filter) };
        let found = store.search(&query).unwrap().entries;
        assert!(found.is_sorted_by_key(|stored| stored.id), "in the order of their thread");
        assert_eq!(found.len(), 2000);
    }
    let stats = store.stats().unwrap();
    assert_eq!((stats.stored, stats.committed, stats.entries), (16_000, 16_000, 16_000));
    let full = stats.dropped.iter().find(|(reason, _)| *reason == "queue_full").unwrap().1;
    assert_eq!(full, refused.load(Ordering::Relaxed));
}

#[test]
fn marks_and_refusals_are_counted() {
    let bed = Bed::new(Options::default());
    let store = bed.open();
    drop(store.store(bed.entry("x".repeat(10_000_000))).unwrap());
    let bytes = Entry::from_bytes(UnixNanos(1), b"no \xff text");
    drop(store.store(bytes).unwrap());
    let mut invalid = bed.entry("m");
    invalid.facility = 99;
    assert!(store.store(invalid).is_err());
    let mut large = bed.entry("m");
    large.structured_data = format!("[{}]", "1,".repeat(STRUCTURED_BYTES_MAX));
    assert!(store.store(large).is_err());
    bed.flush(&store);
    for (series, expect) in [
        ("docdb_logs_marked_entries_total{mark=\"cut\"}", 1.0),
        ("docdb_logs_marked_entries_total{mark=\"invalid_utf8\"}", 1.0),
        ("docdb_logs_dropped_entries_total{reason=\"invalid\"}", 1.0),
        ("docdb_logs_dropped_entries_total{reason=\"too_large\"}", 1.0),
        ("docdb_logs_committed_entries_total", 2.0),
    ] {
        assert_eq!(bed.metric(series), expect, "{series}");
    }
    assert_eq!(messages(&store).iter().map(String::len).max(), Some(MESSAGE_BYTES_MAX));
}

#[test]
fn a_second_store_on_the_same_directory_is_refused() {
    let bed = Bed::new(Options::default());
    let store = bed.open();
    assert!(matches!(bed.try_open(), Err(LogError::InUse { .. })));
    drop(store);
    bed.open();
}
