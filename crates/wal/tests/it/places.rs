//! Places: transactions that have their LSNs before anybody waits for them, and what becomes of
//! them when writes before them fail.

use std::sync::{Arc, Mutex};

use base::words::Lsn;
use sim::disk::{Calls, Effect, Fault, FaultDisk, Op};
use wal::{FsyncMode, Log, Transaction, WalError};

use crate::world::{World, put, small};

fn transaction(log: &Log, number: u64) -> Transaction {
    let mut tx = log.transaction();
    tx.push(&put(number, 10)).expect("it is small");
    tx
}

#[test]
fn a_place_has_its_lsn_at_once_and_is_durable_when_it_was_waited_for() {
    let disk = FaultDisk::new();
    let world = World::new(&disk, small(FsyncMode::Group));
    let log = world.log();
    let first = log.place(transaction(log, 1)).unwrap();
    let second = log.place(transaction(log, 2)).unwrap();
    assert_eq!((first.committed().last, second.committed().last), (Lsn(1), Lsn(2)));
    assert_eq!(log.durable(), Lsn::ZERO, "nobody has waited yet");
    assert_eq!(second.wait().unwrap().last, Lsn(2));
    assert_eq!(log.durable(), Lsn(2), "both were in one group");
    first.wait().unwrap();
}

#[test]
fn what_was_worked_out_before_a_failure_is_refused_after_it() {
    let disk = FaultDisk::new();
    let world = World::new(&disk, small(FsyncMode::Group));
    let log = world.log();
    log.append(&put(0, 10)).unwrap();
    let epoch = log.epoch();
    assert_eq!(log.rewound_since(epoch), None);
    let doomed = log.place(transaction(log, 1).in_epoch(epoch)).unwrap();
    disk.inject(Fault::once(Calls::Only(Op::Write), 1, Effect::Eio));
    let code = doomed.wait().unwrap_err();
    assert!(matches!(code, WalError::Io { .. }), "{code}");
    let late = log.place(transaction(log, 2).in_epoch(epoch));
    assert!(matches!(late, Err(WalError::Rewound { .. })), "{late:?}");
    assert_eq!(log.rewound_since(epoch), Some((epoch + 1, Lsn(2))));
    let again = log.place(transaction(log, 2).in_epoch(log.epoch())).unwrap();
    assert_eq!(again.wait().unwrap().last, Lsn(2), "the LSN is given again");
}

#[test]
fn many_failures_are_told_as_the_lowest_lsn_of_them() {
    let disk = FaultDisk::new();
    let world = World::new(&disk, small(FsyncMode::Group));
    let log = world.log();
    let mut last = Lsn::ZERO;
    for n in 0..200 {
        let before = log.append(&put(n, 10)).unwrap();
        let epoch = log.epoch();
        disk.inject(Fault::once(Calls::Only(Op::Write), 1, Effect::Eio));
        // The write that fails may be one that claims space: then nothing had an LSN yet.
        log.append(&put(1000 + n, 10)).unwrap_err();
        if log.epoch() > epoch {
            last = before.last.next();
        }
    }
    let epoch = log.epoch();
    assert!(epoch > 100, "{epoch}");
    assert_eq!(log.rewound_since(0), Some((epoch, Lsn(2))));
    assert_eq!(log.rewound_since(epoch - 1), Some((epoch, last)));
    assert_eq!(log.rewound_since(epoch), None);
}

#[test]
fn a_completion_that_commits_or_drops_the_log_is_refused_and_does_not_hang() {
    let disk = FaultDisk::new();
    let mut world = World::new(&disk, small(FsyncMode::Group));
    let log = Arc::new(world.log.take().expect("it is open"));
    let said = Arc::new(Mutex::new(Vec::new()));
    let (inner, heard) = (Arc::clone(&log), Arc::clone(&said));
    let completion = move |result: wal::Result<wal::Committed>| {
        result.expect("a fault-free disk");
        heard.lock().unwrap().push(inner.append(&put(2, 10)).map(|done| done.last));
        heard.lock().unwrap().push(inner.close().map(|()| Lsn::ZERO));
    };
    log.submit(transaction(&log, 1), Box::new(completion)).unwrap();
    log.maintain();
    let said = std::mem::take(&mut *said.lock().unwrap());
    assert!(said.iter().all(|result| matches!(result, Err(WalError::Reentered))), "{said:?}");
    assert_eq!(said.len(), 2);
    assert_eq!(log.durable(), Lsn(1));
    assert_eq!(log.append(&put(3, 10)).unwrap().last, Lsn(2), "it was not closed by half");
}

/// An observer that notes what it was told.
fn observer(said: &Arc<Mutex<Vec<wal::Result<()>>>>) -> wal::Observer {
    let said = Arc::clone(said);
    Box::new(move |result| said.lock().expect("no panics").push(result))
}

#[test]
fn who_observes_a_place_is_told_when_it_is_acknowledged_and_not_before() {
    let disk = FaultDisk::new();
    let world = World::new(&disk, small(FsyncMode::Group));
    let log = world.log();
    let said = Arc::default();
    let pending = log.place(transaction(log, 1)).unwrap();
    let lsn = pending.committed().last;
    assert!(log.observe(lsn, log.epoch(), observer(&said)).unwrap());
    assert!(said.lock().unwrap().is_empty(), "nothing was written yet");
    pending.wait().unwrap();
    assert!(matches!(said.lock().unwrap().as_slice(), [Ok(())]));
    let known = log.observe(lsn, log.epoch(), observer(&said)).unwrap();
    assert!(!known, "it is acknowledged already");
    assert_eq!(said.lock().unwrap().len(), 1);
}

#[test]
fn who_observes_what_fails_is_told_why() {
    for (fault, unknown) in [(Op::Write, false), (Op::SyncData, true)] {
        let disk = FaultDisk::new();
        let world = World::new(&disk, small(FsyncMode::Group));
        let log = world.log();
        log.append(&put(0, 10)).unwrap();
        let (epoch, said) = (log.epoch(), Arc::default());
        let first = log.place(transaction(log, 1)).unwrap();
        let lsn = first.committed().last;
        assert!(log.observe(lsn, epoch, observer(&said)).unwrap());
        disk.inject(Fault::once(Calls::Only(fault), 1, Effect::Eio));
        first.wait().unwrap_err();
        let told = std::mem::take(&mut *said.lock().unwrap());
        let is_unknown = matches!(told.as_slice(), [Err(WalError::DurabilityUnknown { .. })]);
        assert_eq!((told.len(), is_unknown), (1, unknown), "{told:?}");
        assert!(told.iter().all(Result::is_err), "{told:?}");
        let late = log.observe(lsn, epoch, observer(&said)).unwrap_err();
        let is_unknown = matches!(late, WalError::DurabilityUnknown { .. });
        assert_eq!(is_unknown, unknown, "{late}");
    }
}

#[test]
fn who_observes_what_was_refused_behind_a_failed_sync_is_told() {
    let disk = FaultDisk::new();
    let world = World::new(&disk, wal::Options { group_bytes_max: 64, ..small(FsyncMode::Group) });
    let log = world.log();
    let (epoch, said) = (log.epoch(), Arc::default());
    let first = log.place(transaction(log, 1)).unwrap();
    let second = log.place(transaction(log, 2)).unwrap();
    assert!(log.observe(second.committed().last, epoch, observer(&said)).unwrap());
    disk.inject(Fault::once(Calls::Only(Op::SyncData), 1, Effect::Eio));
    first.wait().unwrap_err();
    let told = std::mem::take(&mut *said.lock().unwrap());
    assert!(matches!(told.as_slice(), [Err(_)]), "{told:?}");
    second.wait().unwrap_err();
}
