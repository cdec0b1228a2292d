//! One run of a workload on a disk that fails, and what must hold at its end.
//!
//! Every transaction is noted with its fate; [`Run::finish`] then compares what the log holds with
//! it: as it stands, after a kill, after power losses, and closed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::error::Code;
use base::words::{Change, DatabaseId, DocId, Lsn};
use sim::clock::VirtualClock;
use sim::disk::{Calls, Crash, Effect, Fault, FaultDisk, Loss, Times};
use wal::{Committed, FsyncMode, Log, Options, Transaction, Upto, WalError};

use crate::world::{DIR, clock, env, make_dir, open, put, small};

/// One act of the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// One transaction of changes of these sizes.
    Commit(&'static [usize]),
    /// Transactions that are written together.
    Group(&'static [&'static [usize]]),
    /// Everything durable counts as kept elsewhere.
    Checkpoint,
    Trim,
    /// One reader reads everything, and goes on after an error.
    Read,
    /// Time passes, and the log does what is due.
    Wait(Duration),
    Sync,
    Reopen,
    /// The process ends without a word, and the log is opened again.
    Kill,
}

/// Everything that a log does. Sizes are chosen for segments of 2 to 4 KiB and a spool of 2 KiB.
pub(crate) const WORKLOAD: &[Act] = &[
    Act::Commit(&[20]),
    Act::Commit(&[300, 300, 100]),
    Act::Group(&[&[400], &[10, 250], &[300]]),
    Act::Commit(&[1500]),
    // Larger than a segment, and larger than what stays in memory.
    Act::Commit(&[700, 700, 700, 700, 700, 700, 700]),
    Act::Sync,
    Act::Read,
    Act::Checkpoint,
    Act::Trim,
    // Goes into the file of a trimmed segment.
    Act::Commit(&[1500, 1200]),
    Act::Wait(Duration::from_millis(150)),
    Act::Wait(Duration::from_secs(2)),
    Act::Commit(&[40]),
    Act::Reopen,
    Act::Group(&[&[30], &[1800], &[1700]]),
    Act::Kill,
    Act::Commit(&[50]),
];

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Acknowledged(Committed),
    Refused,
    Unknown,
}

#[derive(Debug)]
struct Tried {
    changes: Vec<Change>,
    fate: Fate,
}

/// A run of the workload and what it was told.
pub(crate) struct Run {
    pub(crate) disk: FaultDisk,
    clock: VirtualClock,
    options: Options,
    log: Option<Log>,
    tried: Vec<Tried>,
    durable: Lsn,
    next: u64,
    effects: Vec<Effect>,
    /// A hash of the calls on the disks before this one.
    trace: u64,
    /// Errors seen.
    pub(crate) errors: u64,
}

/// What all runs came to.
#[derive(Debug, Default)]
pub(crate) struct Count {
    pub(crate) runs: u64,
    pub(crate) errors: u64,
    pub(crate) poisoned: u64,
    /// A hash of every call of every run.
    pub(crate) trace: u64,
}

impl Run {
    pub(crate) fn new(mode: FsyncMode, effects: Vec<Effect>) -> Self {
        let disk = FaultDisk::new();
        make_dir(&disk.shared());
        let options = Options { spool_bytes: 2048, ..small(mode) };
        Self {
            disk,
            clock: clock(),
            options,
            log: None,
            tried: Vec::new(),
            durable: Lsn::ZERO,
            next: 0,
            effects,
            trace: 0,
            errors: 0,
        }
    }

    fn create(&self) -> Result<Log, WalError> {
        let database = DatabaseId::from_bytes([9; 16]);
        let env = env(&self.disk.shared(), &self.clock);
        Log::create(&env, Path::new(DIR), database, self.options.clone())
    }

    fn open(&self) -> Result<Log, WalError> {
        open(&self.disk.shared(), &self.clock, self.options.clone()).map(|(log, _)| log)
    }

    fn is_poisoned(&self) -> bool {
        self.log.as_ref().is_some_and(|log| log.status().poisoned.is_some())
    }

    /// Notes an error after checking that its code says what happened.
    fn error(&mut self, error: &WalError) {
        self.errors += 1;
        let code = error.code();
        let full = |effect: &Effect| matches!(effect, Effect::Enospc | Effect::Edquot);
        // A short call is no error: it is done in two.
        let of_file = [Code::FileOpen, Code::FileRead, Code::FileWrite, Code::FileSync];
        let sensible = self.effects.iter().filter(|e| **e != Effect::Short).any(|effect| {
            matches!(code, Code::DurabilityUnknown | Code::ReadOnly)
                || (code == Code::DiskFull && full(effect))
                || (of_file.contains(&code) && !full(effect))
        });
        assert!(sensible, "{:?} became {code}: {error}", self.effects);
    }

    /// A transaction of changes of these sizes, whose fate is not known yet.
    fn transaction(&mut self, sizes: &[usize]) -> Result<Transaction, WalError> {
        let changes: Vec<Change> = sizes
            .iter()
            .map(|bytes| {
                self.next += 1;
                put(self.next, *bytes)
            })
            .collect();
        let mut tx = self.log.as_ref().expect("the log is open").transaction();
        self.tried.push(Tried { changes: changes.clone(), fate: Fate::Refused });
        changes.iter().try_for_each(|change| tx.push(change))?;
        Ok(tx)
    }

    fn settle(&mut self, index: usize, result: Result<Committed, WalError>, before: Lsn) {
        let fate = match result {
            Ok(committed) => {
                assert_eq!(committed.first, before.next(), "LSNs are given without a gap");
                Fate::Acknowledged(committed)
            }
            Err(error) => {
                self.error(&error);
                if error.code() == Code::DurabilityUnknown { Fate::Unknown } else { Fate::Refused }
            }
        };
        self.tried[index].fate = fate;
    }

    fn commit(&mut self, sizes: &[usize]) {
        let poisoned = self.is_poisoned();
        let log_visible = |run: &Self| run.log.as_ref().map_or(Lsn::ZERO, Log::visible);
        let before = log_visible(self);
        let index = self.tried.len();
        let tx = match self.transaction(sizes) {
            Ok(tx) => tx,
            Err(error) => return self.error(&error),
        };
        let result = self.log.as_ref().expect("the log is open").commit(tx);
        if poisoned {
            let code = result.as_ref().map_err(WalError::code);
            assert_eq!(code.err(), Some(Code::ReadOnly), "a poisoned log takes no writes");
        }
        self.settle(index, result, before);
    }

    fn group(&mut self, transactions: &[&[usize]]) {
        let mut before = self.log.as_ref().expect("the log is open").visible();
        let told = Arc::new(Mutex::new(BTreeMap::new()));
        for sizes in transactions {
            let index = self.tried.len();
            let tx = match self.transaction(sizes) {
                Ok(tx) => tx,
                Err(error) => {
                    self.error(&error);
                    continue;
                }
            };
            let sink = Arc::clone(&told);
            let log = self.log.as_ref().expect("the log is open");
            let completion = move |result| {
                assert!(
                    sink.lock().expect("no panic").insert(index, result).is_none(),
                    "told twice"
                );
            };
            match log.submit(tx, Box::new(completion)) {
                // Whatever happens until it is told, this one was given its place.
                Ok(_) => self.tried[index].fate = Fate::Unknown,
                Err(error) => self.error(&error),
            }
        }
        self.log.as_ref().expect("the log is open").maintain();
        let told = std::mem::take(&mut *told.lock().expect("no panic"));
        let waiting = self.tried.iter().enumerate().filter(|(_, t)| t.fate == Fate::Unknown);
        let untold = waiting.filter(|(i, _)| *i + transactions.len() >= self.tried.len());
        for (index, _) in untold {
            assert!(told.contains_key(&index), "nobody was told what became of it");
        }
        for (index, result) in told {
            let last = result.as_ref().ok().map(|done: &Committed| done.last);
            self.settle(index, result, before);
            before = last.unwrap_or(before);
        }
    }

    /// Does one act; `false` when there is no log to go on with.
    pub(crate) fn act(&mut self, act: Act) -> bool {
        let done = match act {
            Act::Commit(sizes) => {
                self.commit(sizes);
                Ok(())
            }
            Act::Group(transactions) => {
                self.group(transactions);
                Ok(())
            }
            Act::Checkpoint => {
                let log = self.log.as_ref().expect("the log is open");
                log.checkpoint(log.durable())
            }
            Act::Trim => self.log.as_ref().expect("the log is open").trim().map(|_| ()),
            Act::Read => {
                self.read();
                Ok(())
            }
            Act::Sync => self.log.as_ref().expect("the log is open").sync().map(|_| ()),
            Act::Wait(time) => {
                self.clock.advance(time);
                self.log.as_ref().expect("the log is open").maintain();
                Ok(())
            }
            Act::Reopen => self.log.take().expect("the log is open").close(),
            Act::Kill => unreachable!("the run kills the process"),
        };
        if let Err(error) = done {
            self.error(&error);
        }
        if act == Act::Reopen {
            self.reopen();
        }
        if let Some(log) = &self.log {
            self.durable = self.durable.max(log.durable());
        }
        self.log.is_some()
    }

    fn read(&mut self) {
        let log = self.log.take().expect("the log is open");
        let mut reader = log.read(log.status().first, Upto::Visible);
        let mut tries = 0;
        loop {
            match reader.next() {
                Ok(Some(_)) => {}
                Ok(None) => break assert_eq!(reader.position(), log.visible().next()),
                Err(_) if tries > self.effects.len() => break,
                Err(error) => {
                    tries += 1;
                    self.error(&error);
                }
            }
        }
        self.log = Some(log);
    }

    /// Ends the process after so many calls and opens the log again, under the faults that are
    /// still to come.
    pub(crate) fn kill(&mut self, faults: &[Fault], calls: u64) -> bool {
        std::mem::forget(self.log.take());
        self.trace = self.disk.trace_hash();
        self.disk = self.disk.crash(&Crash::Kill);
        for fault in faults {
            let nth = fault.nth.saturating_sub(calls);
            if fault.calls == Calls::Any && (nth > 0 || fault.times == Times::Forever) {
                self.disk.inject(Fault { nth: nth.max(1), ..fault.clone() });
            }
        }
        self.reopen();
        if let Some(log) = &self.log {
            self.durable = self.durable.max(log.durable());
        }
        self.log.is_some()
    }

    /// Opens the log, which a fault that strikes once can prevent once.
    fn reopen(&mut self) {
        for _ in 0..=self.effects.len().max(1) {
            match self.open() {
                Ok(log) => {
                    self.log = Some(log);
                    return;
                }
                Err(error) => self.error(&error),
            }
        }
    }

    /// Makes the log, which a fault that strikes once can prevent once. If the log was there
    /// already when it struck, it is opened.
    pub(crate) fn begin(&mut self) -> bool {
        for _ in 0..=self.effects.len().max(1) {
            match self.create() {
                Ok(log) => {
                    self.log = Some(log);
                    return true;
                }
                Err(WalError::Exists(_)) => {
                    self.reopen();
                    return self.log.is_some();
                }
                Err(error) => self.error(&error),
            }
        }
        false
    }

    /// What `log` holds must be what was acknowledged up to `owed`, nothing that was refused, and
    /// nothing by halves.
    fn verify(&self, log: &Log, owed: Lsn) {
        let first = log.status().first;
        let mut found = BTreeMap::new();
        let mut reader = log.read(first, Upto::Visible);
        let mut expected = first;
        while let Some(frame) = reader.next().expect("the log is read without faults") {
            assert_eq!(frame.lsn, expected, "LSNs without a gap");
            expected = frame.next_lsn();
            if let Some(change) = frame.change() {
                found.insert(frame.lsn, change);
            }
        }
        assert_eq!(expected, log.visible().next().max(first), "read to the end");
        let mut by_number: BTreeMap<u64, Lsn> = BTreeMap::new();
        for (lsn, change) in &found {
            assert!(by_number.insert(number(change), *lsn).is_none(), "{lsn} is there twice");
        }
        for tried in &self.tried {
            let lsns: Vec<Option<Lsn>> =
                tried.changes.iter().map(|c| by_number.remove(&number(c))).collect();
            let there = lsns.iter().flatten().count();
            match &tried.fate {
                Fate::Refused => assert_eq!(there, 0, "refused and there: {lsns:?}"),
                Fate::Unknown => {
                    assert!(there == 0 || there == lsns.len(), "half there: {lsns:?}");
                }
                Fate::Acknowledged(done) => {
                    let mut lsn = done.first;
                    for at in &lsns {
                        let trimmed = lsn < first;
                        let lost = done.last > owed && there == 0;
                        assert!(
                            *at == Some(lsn) || trimmed || lost,
                            "acknowledged at {lsn}, found at {at:?}; owed up to {owed}"
                        );
                        lsn = lsn.next();
                    }
                }
            }
            for (lsn, change) in lsns.iter().zip(&tried.changes) {
                let same = lsn.is_none_or(|lsn| found.get(&lsn) == Some(change));
                assert!(same, "changed at {lsn:?}");
            }
        }
        assert!(by_number.is_empty(), "invented: {by_number:?}");
    }

    /// Everything acknowledged so far.
    fn acknowledged(&self) -> Lsn {
        let last = |tried: &Tried| match &tried.fate {
            Fate::Acknowledged(done) => done.last,
            Fate::Refused | Fate::Unknown => Lsn::ZERO,
        };
        self.tried.iter().map(last).max().unwrap_or_default()
    }

    /// What is there after a crash must be opened, hold what is owed, and take writes.
    fn survives(&self, crash: &Crash, owed: Lsn) {
        let disk = self.disk.crash(crash);
        let (log, _) = open(&disk.shared(), &clock(), self.options.clone())
            .unwrap_or_else(|error| panic!("after {crash:?}: {error}"));
        self.verify(&log, owed);
        let before = log.visible();
        let more = log.append(&put(1_000_000, 60)).expect("a disk without faults");
        assert_eq!(more.first, before.next());
    }

    /// Checks everything once the workload is over and the disk works again.
    pub(crate) fn finish(&mut self, count: &mut Count) {
        count.runs += 1;
        count.errors += self.errors;
        let trace = self.trace.rotate_left(1) ^ self.disk.trace_hash();
        count.trace = count.trace.rotate_left(1) ^ trace;
        self.disk.clear_faults();
        if self.log.is_none() && self.acknowledged() == Lsn::ZERO {
            // It never came to a log. Now it does.
            assert!(self.begin(), "creation goes on failing");
        }
        let poisoned = self.is_poisoned();
        count.poisoned += u64::from(poisoned);
        if let Some(log) = &self.log {
            self.verify(log, log.visible());
            if poisoned {
                let refused = log.append(&put(1_000_000, 60)).map_err(|e| e.code());
                assert_eq!(refused, Err(Code::ReadOnly));
                assert_eq!(log.sync().map_err(|e| e.code()), Err(Code::ReadOnly));
            } else {
                // Without reopening.
                self.commit(&[60]);
                let fate = self.tried.last().map(|tried| &tried.fate);
                assert!(matches!(fate, Some(Fate::Acknowledged(_))), "{fate:?}");
                let log = self.log.as_ref().expect("the log is open");
                self.durable = log.sync().expect("a disk without faults");
                assert_eq!(self.durable, log.visible());
            }
        }
        let acknowledged = self.acknowledged();
        let owed_by_sync =
            if self.options.fsync.syncs_before_ack() { acknowledged } else { self.durable };
        self.survives(&Crash::Kill, acknowledged);
        self.survives(&Crash::PowerLoss(Loss::Everything), owed_by_sync);
        self.survives(&Crash::PowerLoss(Loss::Seeded(self.disk.calls())), owed_by_sync);
        if let Some(log) = self.log.take() {
            let closed = log.close().map_err(|e| e.code());
            assert_eq!(closed, if poisoned { Err(Code::ReadOnly) } else { Ok(()) });
            self.survives(&Crash::PowerLoss(Loss::Everything), owed_by_sync);
        }
    }
}

fn number(change: &Change) -> u64 {
    let Change::Put { id: DocId::U64(n), .. } = change else { panic!("nobody wrote {change:?}") };
    *n
}
