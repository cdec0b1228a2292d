//! Disks that are full, fail or lose power, through the VFS of `vfs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::rng::Rng;
use logstore::*;

use crate::support::{Bed, messages};
use crate::vfs::{Event, FaultyVfs};

fn bed(options: Options) -> (Bed, FaultyVfs) {
    let vfs = FaultyVfs::register();
    (Bed::new(Options { vfs: Some(vfs.name.clone()), ..options }), vfs)
}

#[test]
fn a_full_disk_stops_writes_with_back_pressure_and_they_go_on_when_there_is_room() {
    let (bed, vfs) = bed(Options { batch_size: 5, queue_size: 5, ..Options::default() });
    let store = bed.open();
    bed.store(&store, &["before"]);
    vfs.state().is_full = true;
    // The log may reuse room that it has: until it cannot, batches are written.
    let mut waiting = Vec::new();
    for _ in 0..100 {
        waiting = (0..5).map(|n| store.store(bed.entry(format!("m{n}"))).unwrap()).collect();
        store.turn();
        if waiting[0].settled().is_none() {
            break;
        }
    }
    assert!(store.stats().unwrap().is_disk_full);
    assert_eq!(bed.metric("docdb_logs_disk_full_state"), 1.0);
    let mut queued = Vec::new();
    let refused = loop {
        match store.store(bed.entry("more")) {
            Ok(completion) => queued.push(completion),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, LogError::DiskFull { .. }), "{refused}");
    assert_eq!(bed.metric("docdb_logs_dropped_entries_total{reason=\"disk_full\"}"), 1.0);
    assert!(messages(&store).contains(&"before".to_owned()), "reads go on");
    vfs.state().is_full = false;
    for _ in 0..5 {
        bed.clock.advance(Duration::from_secs(3));
        store.turn();
    }
    for completion in waiting.into_iter().chain(queued) {
        completion.wait_for(Duration::ZERO).unwrap();
    }
    let stats = store.stats().unwrap();
    assert!(!stats.is_disk_full && stats.stored == stats.committed, "{stats:?}");
    assert_eq!(messages(&store).len() as u64, stats.stored);
}

#[test]
fn a_sync_that_fails_is_followed_by_a_look_and_nothing_is_lost_or_twice() {
    // Few entries are rows, many are a block at once.
    for (syncs, writes, count) in
        [(1, 0, 20), (3, 0, 20), (0, 1, 20), (0, 4, 20), (1, 0, 3000), (0, 1, 3000)]
    {
        let (bed, vfs) = bed(Options::default());
        let store = bed.open();
        bed.store(&store, &["before"]);
        vfs.state().failing_syncs = syncs;
        vfs.state().failing_writes = writes;
        let entries = (0..count).map(|n| bed.entry(format!("m{n}"))).collect();
        let group = store.store_all_durable(entries).unwrap();
        store.turn();
        assert!(group.settled().is_none());
        for _ in 0..10 {
            bed.clock.advance(Duration::from_secs(3));
            store.turn();
        }
        assert_eq!(group.wait_for(Duration::ZERO).unwrap().refused, []);
        let mut expect = vec!["before".to_owned()];
        expect.extend((0..count).map(|n| format!("m{n}")));
        assert_eq!(messages(&store), expect, "{syncs} {writes} {count}");
        assert!(bed.metric("docdb_logs_retries_total{reason=\"connection\"}") >= 1.0);
    }
}

/// The files as a loss of power may leave them: what was synced, and any part of the rest.
fn after_power_loss(events: &[Event], rng: &mut Rng) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut durable: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    let mut pending: BTreeMap<PathBuf, Vec<&Event>> = BTreeMap::new();
    for event in events {
        match event {
            Event::Write { path, .. } | Event::Truncate { path, .. } => {
                pending.entry(path.clone()).or_default().push(event);
            }
            Event::Sync { path } => {
                let file = durable.entry(path.clone()).or_default();
                for event in pending.remove(path).unwrap_or_default() {
                    apply(file, event, None);
                }
            }
            Event::Delete { path } => {
                durable.remove(path);
                pending.remove(path);
            }
            Event::Mark(_) => {}
        }
    }
    for (path, events) in pending {
        let file = durable.entry(path).or_default();
        for event in events {
            // None of it, all of it, or some of its sectors.
            match rng.index(3) {
                0 => {}
                1 => apply(file, event, None),
                _ => apply(file, event, Some(rng)),
            }
        }
    }
    durable
}

const SECTOR: usize = 512;

fn apply(file: &mut Vec<u8>, event: &Event, mut torn: Option<&mut Rng>) {
    match event {
        Event::Write { offset, bytes, .. } => {
            let offset = usize::try_from(*offset).unwrap();
            for (at, sector) in (offset..).step_by(SECTOR).zip(bytes.chunks(SECTOR)) {
                if torn.as_mut().is_some_and(|rng| rng.chance(500)) {
                    continue;
                }
                file.resize(file.len().max(at + sector.len()), 0);
                file[at..at + sector.len()].copy_from_slice(sector);
            }
        }
        Event::Truncate { len, .. } => file.resize(usize::try_from(*len).unwrap(), 0),
        Event::Sync { .. } | Event::Delete { .. } | Event::Mark(_) => {}
    }
}

#[expect(clippy::disallowed_methods, reason = "a test lays out a disk")]
fn lay_out(files: &BTreeMap<PathBuf, Vec<u8>>, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for (path, bytes) in files.iter().filter(|(path, _)| path.to_string_lossy().contains(".logs")) {
        std::fs::write(to.join(path.file_name().unwrap()), bytes).unwrap();
    }
}

/// Whether nothing that was acknowledged before the loss is missing, and nothing is there twice.
fn check_after_power_loss(events: &[Event], dir: &Path, clock: &Bed, seed: u64) {
    let acknowledged = events
        .iter()
        .filter_map(|event| if let Event::Mark(id) = event { Some(*id) } else { None });
    let files = after_power_loss(events, &mut Rng::new(seed));
    lay_out(&files, dir);
    let environment = Environment { clock: clock.clock.shared(), ..Environment::system() };
    let options = Options { vfs: None, ..clock.options.clone() };
    let store = BatchedSqliteStorage::open(dir, options, environment).unwrap();
    let stats = store.stats().unwrap();
    assert_eq!(stats.damaged, 0, "seed {seed}, after {} events", events.len());
    let mut found: Vec<_> = crate::support::all(&store, &Filter::default())
        .into_iter()
        .map(|stored| {
            assert_eq!(stored.entry.message, format!("m{}", stored.id.0));
            stored.id.0
        })
        .collect();
    found.sort_unstable();
    assert!(found.is_sorted_by(|a, b| a < b), "nothing twice");
    for id in acknowledged {
        let is_there = found.binary_search(&id).is_ok();
        assert!(is_there, "entry {id} is lost, seed {seed}, after {} events", events.len());
    }
    drop(store);
    for name in crate::support::partitions(dir) {
        let file = rusqlite::Connection::open(dir.join(name)).unwrap();
        let sound: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok", "seed {seed}");
    }
}

fn power_loss(options: Options, is_durable: bool, seed: u64) {
    let (bed, vfs) = bed(options);
    let store = bed.open();
    let mut rng = Rng::new(seed);
    let mut next = 1;
    for round in 0..12 {
        let count = [1, 3, 700, 40, 2600][rng.index(5)];
        let entries = (next..next + count).map(|n| bed.entry(format!("m{n}"))).collect();
        let group = if is_durable || rng.chance(300) {
            store.store_all_durable(entries)
        } else {
            store.store_all(entries)
        };
        bed.flush(&store);
        let durable = is_durable || bed.options.synchronous == Synchronous::Full;
        let receipt = group.unwrap().wait_for(Duration::ZERO).unwrap();
        assert_eq!(receipt.first.0, next);
        if durable {
            (next..next + count).for_each(|id| vfs.mark(id));
        }
        next += count;
        if round == 7 {
            bed.clock.advance(crate::support::DAY);
        }
    }
    let events = vfs.state().events.clone();
    drop(store);
    // More of them by `TESTS_LOGS_POWER_LOSSES`.
    let losses = std::env::var("TESTS_LOGS_POWER_LOSSES").map_or(25, |n| n.parse().unwrap());
    for loss in 0..losses {
        let until = rng.index(events.len() + 1);
        let dir = bed.dir.path().join(format!("after{loss}"));
        check_after_power_loss(&events[..until], &dir, &bed, rng.next_u64());
    }
}

#[test]
fn nothing_that_was_committed_with_full_is_lost_with_the_power() {
    power_loss(Options { queue_size: 5000, ..Options::default() }, false, 1);
}

#[test]
fn nor_with_a_rollback_journal() {
    let journal = Journal::Rollback;
    power_loss(Options { queue_size: 5000, journal, ..Options::default() }, false, 2);
}

#[test]
fn nor_what_a_durable_caller_waited_for_when_others_commit_without_syncs() {
    let synchronous = Synchronous::Normal;
    power_loss(Options { queue_size: 5000, synchronous, ..Options::default() }, true, 3);
}
