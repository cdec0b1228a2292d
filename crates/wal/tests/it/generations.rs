//! Many lives of one log: it is opened, written, and stopped at any moment, again and again, each
//! time with other settings, another mode, and calls that fail.
//!
//! The enumeration of crashes sees every state of one life; here is what only several lives can
//! show: names and copies that one recovery left unsynced and the next one relied on, slots that
//! two failed opens overwrote one after the other, a write that one recovery dropped and a later
//! one found again. A transaction that was once served or once dropped must stay so for ever.
//!
//! Start with [`Life::run`]; `generations/model.rs` says what must be found.

mod model;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base::error::Code;
use base::rng::Rng;
use base::words::{Change, DatabaseId, Lsn};
use sim::clock::VirtualClock;
use sim::crash::{Recorder, record};
use sim::disk::{Calls, Crash, Effect, Fault, FaultDisk, Loss, Op};
use sim::seed::Seeds;
use wal::{Committed, FsyncMode, Log, Options, Reader, Transaction, Upto, WalError};

use crate::generations::model::{Event, Model};
use crate::world::{DIR, MODES, Step, World, clock, env, make_dir, open, put, small};

/// Lives of one log.
const LIVES: u64 = 10;

/// What is noted, and where: the live model and the recording see the same.
#[derive(Clone)]
struct Notes {
    model: Arc<Mutex<Model>>,
    recorder: Recorder<Event>,
}

impl Notes {
    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().expect("no test panicked")
    }

    fn add(&self, event: Event) {
        self.model().apply(&event);
        self.recorder.acknowledge(event);
    }

    /// Notes what became of a transaction.
    fn settle(&self, id: u64, mode: FsyncMode, result: &wal::Result<Committed>) {
        self.add(match result {
            Ok(done) => Event::Acknowledged(id, done.first, mode.syncs_before_ack()),
            Err(e) if e.code() == Code::DurabilityUnknown => Event::Unknown(id),
            Err(_) => Event::Refused(id),
        });
    }
}

/// One life: from an open to a crash.
struct Life<'a> {
    rng: &'a mut Rng,
    next: &'a mut u64,
    disk: FaultDisk,
    clock: VirtualClock,
    options: Options,
    notes: Notes,
    /// Whether a call was made to fail: only then may the log say so.
    faulty: bool,
    log: Option<Log>,
    reader: Option<Reader>,
}

fn options(rng: &mut Rng) -> Options {
    let first = 1024 << rng.below(3);
    Options {
        segment_bytes_first: first,
        segment_bytes_max: first << rng.below(3),
        keep_segments: u32::from(rng.below(4) == 0),
        spool_bytes: [512, 2048, 1 << 20][rng.index(3)],
        group_bytes_max: [600, 4096, 1 << 20][rng.index(3)],
        ..small(MODES[rng.index(4)])
    }
}

fn fault(rng: &mut Rng) -> Fault {
    let (calls, most) = [
        (Calls::Any, 250),
        (Calls::Mutating, 200),
        (Calls::Syncs, 12),
        (Calls::Syncs, 60),
        (Calls::Only(Op::SyncDir), 8),
        (Calls::Only(Op::Write), 80),
        (Calls::Only(Op::Rename), 8),
        (Calls::Only(Op::SetLen), 6),
        (Calls::Only(Op::RemoveFile), 8),
    ][rng.index(9)];
    let effect = [Effect::Eio, Effect::Enospc, Effect::Short, Effect::Eintr][rng.index(4)];
    let nth = 1 + rng.below(most);
    match rng.below(4) {
        0 => Fault::forever(calls, nth, effect),
        _ => Fault::once(calls, nth, effect),
    }
}

impl Life<'_> {
    fn log(&self) -> &Log {
        self.log.as_ref().expect("the log is open")
    }

    /// An error needs a fault.
    fn error(&self, error: &WalError) {
        assert!(self.faulty, "nothing failed, and yet: {error}");
    }

    fn open(&mut self) {
        let mut replayed = Vec::new();
        let env = env(&self.disk.shared(), &self.clock);
        let opened = Log::open_dir(&env, Path::new(DIR), self.options.clone(), &mut |frame| {
            replayed.push(frame.lsn);
            Ok(())
        });
        let log = match opened {
            Ok((log, _)) => log,
            Err(e) => {
                assert_ne!(e.code(), Code::WalCorrupt, "nothing was damaged: {e}");
                return self.error(&e);
            }
        };
        assert_eq!(log.durable(), log.visible(), "what is served is durable");
        let from = log.state().replay_lsn;
        let expected: Vec<Lsn> = (from.next().0..=log.visible().0).map(Lsn).collect();
        assert_eq!(replayed, expected, "replay is whole and in order");
        let mut found = Vec::new();
        let first = log.status().first;
        let mut reader = log.read(first, Upto::Durable);
        loop {
            match reader.next() {
                Ok(Some(frame)) => found.push((frame.lsn, frame.change(), frame.wall_ms)),
                Ok(None) => break,
                Err(e) => {
                    self.error(&e);
                    // The process ends here: what it holds cannot be said.
                    std::mem::forget(log);
                    return;
                }
            }
        }
        let event = self.notes.model().resolve(&found, first, log.visible());
        let event = event.unwrap_or_else(|message| panic!("{message}"));
        self.notes.add(event);
        self.log = Some(log);
    }

    fn transaction(&mut self, sizes: &[usize]) -> Option<(u64, Transaction)> {
        let mut tx = self.log().transaction();
        let mut changes: Vec<Change> = Vec::new();
        let id = *self.next + 1;
        for bytes in sizes {
            *self.next += 1;
            changes.push(put(*self.next, *bytes));
        }
        for change in &changes {
            if let Err(e) = tx.push(change) {
                self.error(&e);
                return None;
            }
        }
        self.notes.add(Event::Tried(id, changes));
        Some((id, tx))
    }

    fn sizes(&mut self) -> Vec<usize> {
        let changes = [1, 1, 2, 4, 12][self.rng.index(5)];
        (0..changes).map(|_| [5, 60, 394, 900][self.rng.index(4)]).collect()
    }

    fn commit(&mut self) {
        let sizes = self.sizes();
        let Some((id, tx)) = self.transaction(&sizes) else { return };
        let result = self.log().commit(tx);
        if let Err(e) = &result {
            self.error(e);
        }
        self.notes.settle(id, self.options.fsync, &result);
    }

    /// Adds transactions without writing them.
    fn submit(&mut self) {
        for _ in 0..=self.rng.below(4) {
            let sizes = self.sizes();
            let Some((id, tx)) = self.transaction(&sizes) else { continue };
            let (notes, mode) = (self.notes.clone(), self.options.fsync);
            let told = move |result| notes.settle(id, mode, &result);
            if let Err(e) = self.log().submit(tx, Box::new(told)) {
                self.error(&e);
                self.notes.add(Event::Refused(id));
            }
        }
    }

    fn pass(&mut self, result: wal::Result<()>) {
        if let Err(e) = result {
            self.error(&e);
        }
    }

    fn checkpoint(&mut self) {
        let durable = self.log().durable();
        // Also in the middle of what is there, be it a transaction.
        let back = self.rng.below(4).min(durable.0);
        let lsn = Lsn(durable.0 - back);
        self.notes.add(Event::Kept(lsn));
        let done = self.log().checkpoint(lsn);
        self.pass(done);
    }

    /// Reads on where the last look ended, in a reader that outlives everything but the log.
    fn read(&mut self) {
        let from = self.log().status().first;
        let mut reader = self.reader.take().unwrap_or_else(|| self.log().read(from, Upto::Visible));
        for _ in 0..=self.rng.below(30) {
            match reader.next() {
                Ok(Some(frame)) => {
                    let (lsn, change) = (frame.lsn, frame.change());
                    self.notes.model().is_acknowledged(lsn, change.as_ref());
                }
                Ok(None) => break,
                Err(WalError::Trimmed { .. }) => return,
                Err(e) => {
                    assert_ne!(e.code(), Code::WalCorrupt, "nothing was damaged: {e}");
                    return self.error(&e);
                }
            }
        }
        self.reader = Some(reader);
    }

    fn close(&mut self) {
        self.reader = None;
        let closed = self.log.take().expect("the log is open").close();
        self.pass(closed);
        self.open();
    }

    fn step(&mut self) {
        match self.rng.below(16) {
            0..=4 => self.commit(),
            5 | 6 => self.submit(),
            7 => {
                let ms = [1, 10, 150, 2000][self.rng.index(4)];
                self.clock.advance(Duration::from_millis(ms));
                self.log().maintain();
            }
            8 => {
                let synced = self.log().sync().map(|_| ());
                self.pass(synced);
            }
            9 | 10 => self.checkpoint(),
            11 | 12 => {
                let trimmed = self.log().trim().map(|_| ());
                self.pass(trimmed);
            }
            13 | 14 => self.read(),
            _ => self.close(),
        }
    }

    /// Opens the log and uses it until there is no log to use.
    fn run(mut self) {
        for _ in 0..3 {
            if self.log.is_none() {
                self.open();
            }
        }
        for _ in 0..self.rng.below(24) {
            if self.log.is_none() {
                break;
            }
            self.step();
            if let Some(log) = &self.log {
                self.notes.add(Event::Durable(log.durable()));
            }
        }
        std::mem::forget(self.reader.take());
        std::mem::forget(self.log.take());
    }
}

fn crash(rng: &mut Rng) -> Crash {
    match rng.below(6) {
        0..=2 => Crash::Kill,
        3 => Crash::PowerLoss(Loss::Everything),
        4 => Crash::PowerLoss(Loss::Nothing),
        _ => Crash::PowerLoss(Loss::Seeded(rng.below(u64::MAX))),
    }
}

fn lives(seed: u64) {
    let mut rng = Rng::new(seed);
    let mut disk = FaultDisk::new();
    make_dir(&disk.shared());
    let database = DatabaseId::from_bytes([9; 16]);
    let created =
        Log::create(&env(&disk.shared(), &clock()), Path::new(DIR), database, options(&mut rng));
    std::mem::forget(created.expect("a disk without faults"));
    disk = disk.crash(&Crash::Kill);
    let (mut model, mut next) = (Model::default(), 0);
    for life in 0..LIVES {
        // The last life has no faults: whatever happened, the log can be opened.
        let faults: Vec<Fault> = match rng.below(3) {
            0 if life + 1 < LIVES => (0..=rng.below(2)).map(|_| fault(&mut rng)).collect(),
            _ => Vec::new(),
        };
        let options = options(&mut rng);
        let live = Arc::new(Mutex::new(model.clone()));
        let recording = record(&disk, |disk, recorder| {
            faults.iter().for_each(|fault| disk.inject(fault.clone()));
            let notes = Notes { model: Arc::clone(&live), recorder: recorder.clone() };
            let (rng, disk, faulty) = (&mut rng, disk.clone(), !faults.is_empty());
            let (clock, log, reader) = (clock(), None, None);
            let next = &mut next;
            Life { rng, next, disk, clock, options, notes, faulty, log, reader }.run();
        });
        let moment = recording.len() + 1;
        let prefix = match rng.below(4) {
            0 => rng.index(moment.min(25)),
            1 | 2 => rng.index(moment),
            _ => recording.len(),
        };
        recording.acknowledged(prefix).iter().for_each(|event| model.apply(event));
        let crash = crash(&mut rng);
        model.crashed(crash != Crash::Kill);
        disk = recording.disk_after(prefix).crash(&crash);
    }
}

#[test]
fn no_number_of_lives_breaks_what_one_of_them_promised() {
    Seeds::from_env(1, 1500).each(lives);
}

#[test]
fn a_recovery_behind_an_interrupted_one_loses_nothing() {
    let options = small(FsyncMode::Group);
    let disk = FaultDisk::new();
    let mut world = World::new(&disk, options.clone());
    world.step(Step::Append).expect("a disk without faults");
    std::mem::forget(world.log.take());
    let recovery = |disk: &FaultDisk| {
        record(disk, |disk, _: &Recorder<()>| {
            std::mem::forget(open(&disk.shared(), &clock(), options.clone()).ok());
        })
    };
    for failing in 1..=3 {
        let disk = disk.crash(&Crash::Kill);
        // A name that is seen and that no later sync makes durable.
        disk.inject(Fault::once(Calls::Only(Op::SyncDir), failing, Effect::Eio));
        let first = recovery(&disk);
        for killed in 0..=first.len() {
            let second = recovery(&first.disk_after(killed).crash(&Crash::Kill));
            let moments = (0..=second.len()).flat_map(|at| (0..16).map(move |seed| (at, seed)));
            for (lost, seed) in moments {
                let disk = second.disk_after(lost).crash(&Crash::PowerLoss(Loss::Seeded(seed)));
                let at = format!("sync {failing}, killed after {killed}, lost after {lost}");
                let (log, _) = open(&disk.shared(), &clock(), options.clone())
                    .unwrap_or_else(|e| panic!("{at}: {e}"));
                assert_eq!(log.visible(), Lsn(1), "{at}");
            }
        }
    }
}

#[test]
fn a_log_closed_right_after_a_recovery_goes_on_where_it_ended() {
    let disk = FaultDisk::new();
    let mut world = World::new(&disk, small(FsyncMode::Group));
    world.step(Step::Append).expect("a disk without faults");
    std::mem::forget(world.log.take());
    // Twice, so that the newest segment holds nothing but what closes the log.
    let mut disk = disk;
    for _ in 0..2 {
        disk = disk.crash(&Crash::Kill);
        let (log, _) = open(&disk.shared(), &clock(), small(FsyncMode::Group)).expect("whole");
        std::mem::forget(log);
    }
    disk = disk.crash(&Crash::Kill);
    for last in 1..4 {
        let (log, _) = open(&disk.shared(), &clock(), small(FsyncMode::Group)).expect("whole");
        assert_eq!(log.visible(), Lsn(last));
        log.close().expect("a disk without faults");
        let (log, _) = open(&disk.shared(), &clock(), small(FsyncMode::Group)).expect("whole");
        log.append(&put(last, 10)).expect("a disk without faults");
        log.close().expect("a disk without faults");
    }
}

#[test]
fn half_a_transaction_that_fails_while_the_log_is_closed_is_cut() {
    for mode in MODES {
        for nth in 1..12 {
            let disk = FaultDisk::new();
            let mut world = World::new(&disk, small(mode));
            world.step(Step::Append).expect("a disk without faults");
            let log = world.log.take().expect("the log is open");
            let mut tx = log.transaction();
            for n in 10..16 {
                tx.push(&put(n, 1500)).expect("a small transaction");
            }
            log.submit(tx, Box::new(|_| ())).expect("the log is open");
            disk.inject(Fault::once(Calls::Only(Op::Write), nth, Effect::Eio));
            let closed = log.close();
            let disk = disk.crash(&Crash::Kill);
            let (log, _) = open(&disk.shared(), &clock(), small(mode))
                .unwrap_or_else(|e| panic!("{mode:?}, write {nth}, closed {closed:?}: {e}"));
            assert!([Lsn(1), Lsn(7)].contains(&log.visible()), "{mode:?}, write {nth}");
        }
    }
}

#[test]
fn what_was_taken_back_does_not_mislead_who_reads_from_the_middle() {
    let options = Options {
        segment_bytes_first: 8 << 20,
        segment_bytes_max: 8 << 20,
        spool_bytes: 64 * 1024,
        ..small(FsyncMode::Group)
    };
    let disk = FaultDisk::new();
    let mut world = World::new(&disk, options);
    world.step(Step::Append).expect("a disk without faults");
    let mut tx = world.log().transaction();
    for n in 0..50 {
        tx.push(&put(1000 + n, 60_000)).expect("a small transaction");
    }
    // The first two megabytes of it are written.
    disk.inject(Fault::once(Calls::Only(Op::Write), 3, Effect::Enospc));
    let refused = world.log().commit(tx).expect_err("the disk was full");
    assert_eq!(refused.code(), Code::DiskFull);
    let sizes: Vec<usize> = vec![59_000; 50];
    world.commit(&[&sizes]).expect("a disk without faults");
    for lsn in 2..=51 {
        let found = world.log().read_at(Lsn(lsn)).unwrap_or_else(|e| panic!("{lsn}: {e}"));
        assert!(found.is_some(), "{lsn}");
    }
}
