//! Calls that fail for want of a file descriptor, and renames that fail: what was not even tried leaves
//! nothing in doubt, so the log refuses the write and takes the next one.

use std::path::Path;
use std::time::Duration;

use base::error::Code;
use base::words::DatabaseId;
use sim::clock::VirtualClock;
use sim::disk::{Calls, Crash, Effect, Fault, FaultDisk, Loss, Op};
use wal::{FsyncMode, Log, Options, WalError};

use crate::world::{Content, DIR, MODES, clock, content, env, make_dir, open, put, small};

/// How many ways of losing power are tried.
const LOSSES: u64 = 40;

struct Starved {
    disk: FaultDisk,
    clock: VirtualClock,
    options: Options,
    log: Log,
}

impl Starved {
    /// A log with something in it.
    fn new(mode: FsyncMode) -> Self {
        let (disk, clock, options) = (FaultDisk::new(), clock(), small(mode));
        make_dir(&disk.shared());
        let (env, database) = (env(&disk.shared(), &clock), DatabaseId::from_bytes([9; 16]));
        let log = Log::create(&env, Path::new(DIR), database, options.clone()).expect("no faults");
        log.append(&put(1, 600)).expect("no faults");
        Self { disk, clock, options, log }
    }

    fn fail(&self, op: Op, effect: Effect) {
        self.disk.inject(Fault::forever(Calls::Only(op), 1, effect));
    }

    /// Appends until something fails.
    fn append_until_refused(&self) -> WalError {
        for n in 2..20 {
            if let Err(error) = self.log.append(&put(n, 600)) {
                return error;
            }
        }
        panic!("no segment was ever begun");
    }

    /// Commits a transaction that needs several segments.
    fn commit_large(&self, first: u64) -> Result<(), WalError> {
        let mut tx = self.log.transaction();
        for n in first..first + 7 {
            tx.push(&put(n, 700))?;
        }
        self.log.commit(tx).map(drop)
    }

    /// What the log has, all of it durable: power loss of any kind leaves it, and adds nothing.
    fn holds(&self) -> Content {
        self.log.sync().expect("files are synced without opening any");
        let there = content(&self.log).expect("it can be read");
        let seeded = (0..LOSSES).map(Loss::Seeded);
        for loss in [Loss::Everything, Loss::Nothing].into_iter().chain(seeded) {
            let disk = self.disk.crash(&Crash::PowerLoss(loss.clone()));
            let (log, _) = open(&disk.shared(), &clock(), self.options.clone())
                .unwrap_or_else(|error| panic!("{} {loss:?}: {error}", self.options.fsync.name()));
            let found = content(&log).expect("nothing is damaged");
            assert_eq!(found, there, "{} {loss:?}", self.options.fsync.name());
        }
        there
    }

    /// The faults are over: the log goes on as if nothing had been, and what it takes stays.
    fn goes_on(&self, before: &Content) {
        self.disk.clear_faults();
        let done = self.log.append(&put(1000, 20)).expect("no faults");
        assert_eq!(done.first, before.1.next(), "LSNs are given without a gap");
        self.holds();
        self.log.append(&put(1001, 1500)).expect("no faults");
        self.commit_large(2000).expect("no faults");
        let there = self.holds();
        self.log.close().expect("no faults");
        let (log, _) =
            open(&self.disk.shared(), &clock(), self.options.clone()).expect("no faults");
        assert_eq!(content(&log).expect("nothing is damaged"), there);
    }
}

#[test]
fn a_segment_whose_directory_cannot_be_opened_is_entered_by_a_later_write() {
    for mode in MODES {
        let starved = Starved::new(mode);
        starved.fail(Op::SyncDir, Effect::Emfile);
        let error = starved.append_until_refused();
        assert_eq!(error.code(), Code::FileOpen, "{error}");
        assert_eq!(starved.log.status().poisoned, None);
        let before = starved.holds();
        for n in 50..53 {
            // Though there is room for it in the segment before: that has an end now.
            let refused = starved.log.append(&put(n, 20)).map_err(|error| error.code());
            assert_eq!(refused, Err(Code::FileOpen));
        }
        starved.clock.advance(Duration::from_millis(150));
        starved.log.maintain();
        assert_eq!(starved.holds(), before);
        starved.goes_on(&before);
    }
}

#[test]
fn a_transaction_of_several_segments_that_cannot_enter_the_next_one_leaves_nothing() {
    for mode in MODES {
        let starved = Starved::new(mode);
        let before = starved.holds();
        starved.fail(Op::SyncDir, Effect::Emfile);
        for first in [100, 200] {
            let refused = starved.commit_large(first).map_err(|error| error.code());
            assert_eq!(refused, Err(Code::FileOpen));
            assert_eq!(starved.log.status().poisoned, None);
            assert_eq!(starved.holds(), before);
        }
        starved.goes_on(&before);
    }
}

#[test]
fn a_log_that_is_closed_before_it_could_enter_a_segment_has_what_was_acknowledged() {
    for mode in MODES {
        let starved = Starved::new(mode);
        starved.fail(Op::SyncDir, Effect::Emfile);
        starved.append_until_refused();
        let there = starved.holds();
        let closed = starved.log.close().map_err(|error| error.code());
        assert_eq!(closed, Err(Code::FileOpen), "it says that it has something to recover");
        starved.disk.clear_faults();
        let options = starved.options.clone();
        let (log, _) = open(&starved.disk.shared(), &clock(), options).expect("no faults");
        assert_eq!(content(&log).expect("nothing is damaged"), there);
    }
}

#[test]
fn a_directory_that_cannot_be_synced_still_poisons_the_log() {
    for mode in MODES {
        let starved = Starved::new(mode);
        starved.fail(Op::SyncDir, Effect::Eio);
        let error = starved.append_until_refused();
        assert_eq!(error.code(), Code::DurabilityUnknown, "{error}");
        assert!(starved.log.is_poisoned());
    }
}

#[test]
fn segments_that_could_not_be_begun_leave_nothing_to_sync_twice() {
    for mode in MODES.into_iter().filter(|mode| !mode.syncs_before_ack()) {
        let starved = Starved::new(mode);
        starved.fail(Op::Rename, Effect::Eio);
        starved.append_until_refused();
        for n in 50..55 {
            let refused = starved.log.append(&put(n, 1500)).map_err(|error| error.code());
            assert_eq!(refused, Err(Code::FileWrite));
        }
        starved.disk.clear_faults();
        let before = starved.disk.trace().len();
        starved.log.sync().expect("no faults");
        let trace = starved.disk.trace();
        let syncs = trace.iter().skip(before).filter(|call| call.op == Op::SyncData).count();
        assert_eq!(syncs, 1, "{}: there is one file that is not synced", mode.name());
    }
}
