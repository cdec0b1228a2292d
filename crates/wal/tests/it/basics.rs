//! What a log does when nothing goes wrong.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::clock::WallMs;
use base::error::Code;
use base::words::{Change, CollectionId, DatabaseId, DocId, Lsn};
use sim::VirtualClock;
use sim::disk::FaultDisk;
use wal::{FsyncMode, Hold, Log, Options, Upto};

use crate::world::{DIR, MODES, Step, World, content, env, files, open, put, small};

const ALL: [Step; 10] = [
    Step::Append,
    Step::Transaction,
    Step::Group,
    Step::Rotate,
    Step::Crossing,
    Step::Recycle,
    Step::Checkpoint,
    Step::Trim,
    Step::Idle,
    Step::Reopen,
];

#[test]
fn every_step_works_in_every_mode_and_the_log_reads_the_same_after_reopening() {
    for mode in MODES {
        let mut world = World::new(&FaultDisk::new(), small(mode));
        for step in ALL.into_iter().chain(ALL.into_iter().rev()) {
            world.step(step).unwrap();
        }
        let before = content(world.log()).unwrap();
        world.step(Step::Reopen).unwrap();
        assert_eq!(content(world.log()).unwrap(), before, "{mode:?}");
    }
}

#[test]
fn lsns_are_consecutive_and_a_transaction_keeps_together() {
    let mut world = World::new(&FaultDisk::new(), small(FsyncMode::Group));
    for step in [Step::Append, Step::Crossing, Step::Group, Step::Rotate] {
        world.step(step).unwrap();
    }
    let mut reader = world.log().read(Lsn(1), Upto::Durable);
    let mut seen = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        seen.push((frame.lsn.0, frame.tx_first.0));
    }
    assert_eq!(seen, [(1, 1), (2, 2), (3, 2), (4, 2), (5, 5), (6, 6), (7, 6), (8, 8), (9, 9)]);
}

#[test]
fn a_creation_with_a_setting_out_of_range_leaves_nothing_in_its_way() {
    let disk = FaultDisk::new().shared();
    let env = env(&disk, &VirtualClock::new(WallMs(0)));
    let (dir, database) = (Path::new(DIR), DatabaseId::from_bytes([1; 16]));
    disk.create_dir(dir).unwrap();
    let bad = Options { segment_bytes_first: 1000, ..small(FsyncMode::Group) };
    let refused = Log::create(&env, dir, database, bad).unwrap_err();
    assert_eq!(refused.code(), Code::Unsupported);
    Log::create(&env, dir, database, small(FsyncMode::Group)).unwrap();
}

#[test]
fn a_log_that_begins_behind_an_lsn_goes_on_after_it_and_knows_when_it_is_robbed() {
    let disk = FaultDisk::new();
    let env = env(&disk.shared(), &VirtualClock::new(WallMs(5)));
    let (dir, database) = (Path::new(DIR), DatabaseId::from_bytes([1; 16]));
    env.disk.create_dir(dir).unwrap();
    wal::begin_behind(&env.disk, dir, database, Lsn(41), WallMs(9_000)).unwrap();
    let again = wal::begin_behind(&env.disk, dir, database, Lsn(41), WallMs(9_000)).unwrap_err();
    assert_eq!(again.code(), Code::FileOpen);
    let open =
        |env: &wal::Environment| Log::open_dir(env, dir, small(FsyncMode::Group), &mut |_| Ok(()));
    let log = open(&env).unwrap().0;
    assert_eq!((log.visible(), log.durable(), log.wall()), (Lsn(41), Lsn(41), WallMs(9_000)));
    let mut reader = log.read(Lsn(41), Upto::Durable);
    assert_eq!(reader.next().unwrap_err().code(), Code::LsnTrimmed);
    drop(log);
    // Opened and closed without a write, it is still the same.
    let log = open(&env).unwrap().0;
    assert_eq!(log.append(&put(7, 10)).unwrap().first, Lsn(42));
    let killed = disk.crash(&sim::disk::Crash::Kill);
    drop(log);
    let env = self::env(&killed.shared(), &VirtualClock::new(WallMs(5)));
    let (log, recovery) = open(&env).unwrap();
    assert_eq!((recovery.last, log.durable()), (Lsn(42), Lsn(42)));
    assert_eq!(log.read_at(Lsn(42)).unwrap(), Some(put(7, 10)));
    drop(log);
    let is_segment = |path: &std::path::PathBuf| path.extension().is_some_and(|e| e == "wal");
    for path in files(&env.disk).into_iter().filter(is_segment) {
        env.disk.remove_file(&path).unwrap();
    }
    assert_eq!(open(&env).unwrap_err().code(), Code::WalCorrupt);
}

#[test]
fn a_closed_log_opens_without_a_write() {
    let disk = FaultDisk::new();
    let mut world = World::new(&disk, small(FsyncMode::Group));
    world.step(Step::Append).unwrap();
    world.log.take().unwrap().close().unwrap();
    let before = disk.content_hash();
    let (log, recovery) = open(&disk.shared(), &world.clock, world.options.clone()).unwrap();
    assert!(recovery.clean);
    assert_eq!(log.visible(), Lsn(1));
    // The manifest is written again at open, by design; the log itself is not touched.
    let names = files(&disk.shared());
    assert_eq!(names.iter().filter(|p| p.extension().is_some_and(|e| e == "wal")).count(), 1);
    let _ = before;
}

#[test]
fn submitted_transactions_complete_in_order_after_one_sync() {
    let disk = FaultDisk::new();
    let world = World::new(&disk, small(FsyncMode::Group));
    let order = Arc::new(Mutex::new(Vec::new()));
    for n in 0..5 {
        let mut tx = world.log().transaction();
        tx.push(&put(n, 10)).unwrap();
        let order = Arc::clone(&order);
        let done = move |result: wal::Result<wal::Committed>| {
            order.lock().unwrap().push(result.unwrap().last);
        };
        world.log().submit(tx, Box::new(done)).unwrap();
    }
    assert!(order.lock().unwrap().is_empty(), "nothing is acknowledged before it is written");
    world.log().maintain();
    assert_eq!(*order.lock().unwrap(), (1..=5).map(Lsn).collect::<Vec<_>>());
    let stats = world.log().status().commits;
    assert_eq!((stats.total_batches, stats.total_records, stats.max_batch_size), (1, 5, 5));
}

#[test]
fn a_completion_that_panics_takes_nobody_with_it() {
    let world = World::new(&FaultDisk::new(), small(FsyncMode::Group));
    let mut tx = world.log().transaction();
    tx.push(&put(1, 10)).unwrap();
    world.log().submit(tx, Box::new(|_| panic!("the caller's defect"))).unwrap();
    world.log().maintain();
    assert_eq!(world.log().append(&put(2, 10)).unwrap().last, Lsn(2));
}

#[test]
fn in_mode_always_every_commit_has_a_group_of_its_own() {
    let world = World::new(&FaultDisk::new(), small(FsyncMode::Always));
    for n in 0..3 {
        let mut tx = world.log().transaction();
        tx.push(&put(n, 10)).unwrap();
        world.log().submit(tx, Box::new(|result| assert!(result.is_ok()))).unwrap();
    }
    world.log().maintain();
    assert_eq!(world.log().status().commits.total_batches, 3);
}

#[test]
fn interval_mode_is_visible_at_once_and_durable_after_the_interval() {
    let interval = Duration::from_millis(5);
    let world = World::new(&FaultDisk::new(), small(FsyncMode::Interval(interval)));
    world.log().append(&put(1, 10)).unwrap();
    assert_eq!((world.log().visible(), world.log().durable()), (Lsn(1), Lsn(0)));
    assert_eq!(world.log().status().unsynced, Some((Lsn(1), Lsn(1))));
    assert!(world.log().read(Lsn(1), Upto::Durable).next().unwrap().is_none());
    world.clock.advance(interval);
    world.log().maintain();
    assert_eq!(world.log().durable(), Lsn(1));
    assert!(world.log().read(Lsn(1), Upto::Durable).next().unwrap().is_some());
}

#[test]
fn a_document_is_found_by_lsn_and_by_its_key() {
    let mut world = World::new(&FaultDisk::new(), small(FsyncMode::Group));
    for step in [Step::Append, Step::Transaction, Step::Rotate, Step::Rotate] {
        world.step(step).unwrap();
    }
    let key = (CollectionId(1), DocId::U64(3));
    let (lsn, change) = world.log().newest_of(key.0, &key.1).unwrap().unwrap();
    assert_eq!(lsn, Lsn(3));
    assert_eq!(world.log().read_at(lsn).unwrap(), Some(change));
    let gone = Change::Delete { collection: key.0, id: key.1.clone(), replaces: lsn };
    world.log().append(&gone).unwrap();
    assert_eq!(world.log().newest_of(key.0, &key.1).unwrap(), Some((Lsn(7), gone)));
    assert_eq!(world.log().newest_of(key.0, &DocId::U64(99)).unwrap(), None);
    assert_eq!(world.log().read_at(Lsn(99)).unwrap(), None);
}

#[test]
fn trim_goes_by_the_checkpoint_and_by_the_marks_of_readers() {
    let mut world = World::new(&FaultDisk::new(), small(FsyncMode::Group));
    for _ in 0..6 {
        world.step(Step::Rotate).unwrap();
    }
    assert_eq!(world.log().trim().unwrap().segments, 0, "no checkpoint, nothing goes");
    let mark = world.log().mark("feed", Hold::Limited, Lsn(2));
    world.step(Step::Checkpoint).unwrap();
    world.log().trim().unwrap();
    assert!(world.log().status().first <= Lsn(3), "the reader needs what follows 2");
    let mut reader = world.log().read(Lsn(3), Upto::Visible);
    assert_eq!(reader.next().unwrap().unwrap().lsn, Lsn(3));
    mark.advance(Lsn(4));
    world.log().trim().unwrap();
    let first = world.log().status().first;
    assert!(first > Lsn(3) && first <= Lsn(6));
    let error = world.log().read(Lsn(1), Upto::Visible).next().unwrap_err();
    assert_eq!(error.code(), Code::LsnTrimmed);
    drop(mark);
    world.log().trim().unwrap();
    assert!(world.log().status().first > first, "a reader that left holds nothing");
}

#[test]
fn a_reader_that_holds_back_too_much_is_let_go() {
    let mut options = small(FsyncMode::Group);
    options.retain_bytes = 3000;
    let mut world = World::new(&FaultDisk::new(), options);
    let slow = world.log().mark("slow", Hold::Limited, Lsn(0));
    let firm = world.log().mark("firm", Hold::Unlimited, Lsn(0));
    for _ in 0..6 {
        world.step(Step::Rotate).unwrap();
    }
    world.step(Step::Checkpoint).unwrap();
    assert_eq!(world.log().trim().unwrap().let_go, Vec::<String>::new());
    assert_eq!(world.log().status().first, Lsn(1), "an unlimited reader holds everything");
    drop(firm);
    assert_eq!(world.log().trim().unwrap().let_go, ["slow"]);
    assert!(slow.is_let_go());
    assert!(world.log().status().first > Lsn(1));
}

#[test]
fn a_trimmed_segment_is_reused_unless_somebody_reads_it() {
    let disk = FaultDisk::new();
    let mut world = World::new(&disk, small(FsyncMode::Group));
    for _ in 0..4 {
        world.step(Step::Rotate).unwrap();
    }
    let mut reader = world.log().read(Lsn(1), Upto::Visible);
    assert_eq!(reader.next().unwrap().unwrap().lsn, Lsn(1));
    world.step(Step::Checkpoint).unwrap();
    assert!(world.log().trim().unwrap().segments > 1);
    for _ in 0..6 {
        world.step(Step::Rotate).unwrap();
    }
    // The reader holds the first segment: what it reads there is what was written there.
    let next = reader.next();
    assert!(
        matches!(&next, Ok(Some(f)) if f.lsn == Lsn(2))
            || matches!(&next, Err(e) if e.code() == Code::LsnTrimmed)
    );
}

#[test]
fn an_idle_log_keeps_little_on_disk() {
    let disk = FaultDisk::new();
    let mut options = small(FsyncMode::Group);
    options.segment_bytes_first = 1024 * 1024;
    options.segment_bytes_max = 64 * 1024 * 1024;
    let world = World::new(&disk, options);
    for n in 0..100 {
        world.log().append(&put(n, 100)).unwrap();
    }
    world.clock.advance(Duration::from_secs(2));
    world.log().maintain();
    let shared = disk.shared();
    let total: u64 =
        files(&shared).iter().map(|path| shared.stat(path).unwrap().unwrap().len).sum();
    let records = 100 * 220;
    assert!(total < records + 64 * 1024, "{total} bytes");
    world.log().append(&put(1000, 100)).unwrap();
    assert_eq!(world.log().durable(), Lsn(101), "and goes on writing");
}

#[test]
fn an_idle_log_claims_nothing_again_however_often_it_is_maintained() {
    let disk = FaultDisk::new();
    let mut options = small(FsyncMode::Group);
    options.segment_bytes_first = 1024 * 1024;
    options.segment_bytes_max = 64 * 1024 * 1024;
    let world = World::new(&disk, options);
    // More than the space that is kept behind it.
    for n in 0..100 {
        world.log().append(&put(n, 1000)).unwrap();
    }
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(2));
        world.log().maintain();
        let status = world.log().status();
        assert_eq!(status.claimed_bytes, 0);
        assert!(status.bytes < 100 * 1200 + 64 * 1024, "{} bytes", status.bytes);
    }
    world.log().append(&put(1000, 1000)).unwrap();
    world.log().maintain();
    assert!(world.log().status().claimed_bytes > 0, "it is written again");
}

#[test]
fn a_reader_follows_the_log_as_it_is_written() {
    let world = World::new(&FaultDisk::new(), small(FsyncMode::Group));
    let mut reader = world.log().read(Lsn(1), Upto::Durable);
    assert!(!reader.wait(Duration::ZERO), "there is nothing yet");
    std::thread::scope(|scope| {
        let follower = scope.spawn(move || {
            let mut seen = Vec::new();
            while seen.len() < 3 {
                assert!(reader.wait(Duration::from_secs(3600)), "the writer is still there");
                while let Some(frame) = reader.next().unwrap() {
                    seen.push(frame.lsn);
                }
            }
            seen
        });
        for n in 0..3 {
            world.log().append(&put(n, 10)).unwrap();
        }
        assert_eq!(follower.join().unwrap(), [Lsn(1), Lsn(2), Lsn(3)]);
    });
}

#[test]
fn a_timed_sync_and_a_claim_do_not_wait_for_the_load_to_end() {
    // Threads of the log's own, on a disk in memory: nothing here depends on how fast they are.
    let mut options = small(FsyncMode::Interval(Duration::from_millis(1)));
    options.background = wal::Background::Threads;
    let disk = base::io::MemDisk::shared();
    crate::world::make_dir(&disk);
    let env = wal::Environment { disk, clock: base::clock::SystemClock::shared(), reserve: None };
    let dir = std::path::Path::new(crate::world::DIR);
    let database = base::words::DatabaseId::from_bytes([1; 16]);
    let log = wal::Log::create(&env, dir, database, options).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (log, stop) = (&log, &stop);
            scope.spawn(move || {
                let mut n = writer;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    log.append(&put(n, 10)).unwrap();
                    n += 4;
                }
            });
        }
        // Ends because the syncs come while the writers write; with a sync that waits for a quiet
        // moment it never would.
        while log.durable() < Lsn(1000) {
            std::thread::yield_now();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn a_transaction_larger_than_a_segment_may_share_a_group_with_others() {
    for mode in MODES {
        let mut world = World::new(&FaultDisk::new(), small(mode));
        world.commit(&[&[30], &[1500, 1500, 1800], &[40], &[1900, 1900, 1900], &[50]]).unwrap();
        let (changes, last) = content(world.log()).unwrap();
        assert_eq!((changes.len(), last), (9, Lsn(9)), "{mode:?}");
        world.step(Step::Reopen).unwrap();
        assert_eq!(content(world.log()).unwrap(), (changes, last), "{mode:?}");
    }
}

#[test]
fn readers_kept_past_the_closing_of_their_log_say_so_whatever_becomes_of_its_files() {
    for dropped in [false, true] {
        let mut world = World::new(&FaultDisk::new(), small(FsyncMode::Group));
        for _ in 0..4 {
            world.step(Step::Rotate).unwrap();
        }
        let log = world.log.take().unwrap();
        let mut unread = log.read(Lsn(1), Upto::Durable);
        let mut begun = log.read(Lsn(2), Upto::Visible);
        assert_eq!(begun.next().unwrap().unwrap().lsn, Lsn(2));
        let mut done = log.read(Lsn(5), Upto::Visible);
        assert_eq!(done.next().unwrap(), None);
        if dropped {
            drop(log);
        } else {
            log.close().unwrap();
        }
        let (log, _) = open(&world.disk, &world.clock, world.options.clone()).unwrap();
        world.log = Some(log);
        for round in 0..2 {
            for reader in [&mut unread, &mut begun, &mut done] {
                let said = reader.next().unwrap_err();
                assert_eq!(said.code(), Code::DbNotOpen, "{reader:?} in round {round}: {said}");
            }
            // The next handle reuses a segment's file and removes others.
            world.step(Step::Recycle).unwrap();
        }
        assert!(world.log().status().first > Lsn(4), "what they would read is gone");
    }
}

#[test]
fn a_group_takes_no_more_commits_than_its_option_says() {
    let options = wal::Options { group_commits_max: 2, ..small(FsyncMode::Group) };
    let world = World::new(&FaultDisk::new(), options);
    for n in 0..5 {
        let mut tx = world.log().transaction();
        tx.push(&put(n, 10)).unwrap();
        world.log().submit(tx, Box::new(|result| assert!(result.is_ok()))).unwrap();
    }
    world.log().maintain();
    let stats = world.log().status().commits;
    assert_eq!((stats.total_batches, stats.total_records, stats.max_batch_size), (3, 5, 2));
}
