//! What the threads of one run do, and what they note while they do it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use base::clock::WallMs;
use base::document::Document;
use base::error::Code;
use base::words::{Change, CollectionId, DatabaseId, DocId, Lsn};
use shuttle::rand::{Rng as _, thread_rng};
use sim::clock::VirtualClock;
use sim::disk::{Calls, Effect, Fault, FaultDisk, Op};
use wal::planted::Bug;
use wal::{Background, Committed, Environment, FsyncMode, Log, Options, WalError};

use crate::disk::Yielding;

/// Where the log is.
pub(crate) const DIR: &str = "/db";

/// Who commits what was submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The callers themselves, by `maintain`.
    Callers,
    /// The log's own thread.
    Threads,
}

/// What fails once the threads run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failing {
    Nothing,
    /// One of the first syncs.
    Sync,
    /// One of the first writes, once or for good.
    Write,
}

/// What one thread does next.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Commit,
    /// A place first, the wait for it later.
    Place,
    Submit,
    Sync,
    Maintain,
    Follow,
}

/// A run to be tried in many interleavings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    mode: FsyncMode,
    owner: Owner,
    failing: Failing,
    threads: u64,
    deeds: u64,
    /// The same deeds in every run: commits alone, nothing left to chance.
    fixed: bool,
    waiting_bytes_max: u64,
    /// One thread closes the log while the others are at it.
    closing: bool,
    planted: Option<Bug>,
}

/// What became of one transaction.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The number in its document.
    pub(crate) number: u64,
    pub(crate) result: Result<Committed, Code>,
    /// Whether a completion was told, or the caller.
    pub(crate) by_completion: bool,
}

/// What one run left.
pub(crate) struct Run {
    pub(crate) mode: FsyncMode,
    pub(crate) failing: Failing,
    pub(crate) options: Options,
    pub(crate) disk: FaultDisk,
    pub(crate) answers: Vec<Answer>,
    /// How many transactions the log had taken: as many must have been answered.
    pub(crate) taken: usize,
    /// The newest durable LSN that the log ever claimed.
    pub(crate) durable: Lsn,
}

/// What the threads of a run share.
struct Scene {
    log: Log,
    answers: Arc<Mutex<Vec<Answer>>>,
    taken: Mutex<usize>,
    durable: Mutex<Lsn>,
}

impl Load {
    /// Two to four threads that do whatever comes to mind.
    pub(crate) fn mixed(mode: FsyncMode, owner: Owner, failing: Failing) -> Self {
        Self {
            mode,
            owner,
            failing,
            threads: 4,
            deeds: 3,
            fixed: false,
            waiting_bytes_max: 1 << 20,
            closing: false,
            planted: None,
        }
    }

    /// Commits in front of a queue that has room for one transaction.
    pub(crate) fn crowded(failing: Failing) -> Self {
        Self {
            fixed: true,
            waiting_bytes_max: 200,
            ..Self::mixed(FsyncMode::Group, Owner::Callers, failing)
        }
    }

    /// The same while one thread closes the log.
    pub(crate) fn closing(owner: Owner) -> Self {
        let mixed = Self::mixed(FsyncMode::Group, owner, Failing::Nothing);
        Self { closing: true, ..mixed }
    }

    /// The smallest hand-over: two threads, one commit each.
    pub(crate) fn two_commits() -> Self {
        Self {
            threads: 2,
            deeds: 1,
            fixed: true,
            ..Self::mixed(FsyncMode::Group, Owner::Callers, Failing::Nothing)
        }
    }

    /// The same with a defect.
    pub(crate) fn with_bug(self, bug: Bug) -> Self {
        Self { planted: Some(bug), ..self }
    }

    fn options(&self) -> Options {
        Options {
            fsync: self.mode,
            segment_bytes_first: 1024,
            segment_bytes_max: 2048,
            keep_segments: 0,
            group_bytes_max: 200,
            waiting_bytes_max: self.waiting_bytes_max,
            background: match self.owner {
                Owner::Callers => Background::Manual,
                Owner::Threads => Background::Threads,
            },
            planted: self.planted,
            ..Options::default()
        }
    }

    fn fault(&self) -> Option<Fault> {
        let nth = |max| thread_rng().gen_range(1..=max);
        match self.failing {
            Failing::Nothing => None,
            Failing::Sync => Some(Fault::once(Calls::Only(Op::SyncData), nth(8), Effect::Eio)),
            Failing::Write => {
                let effect = if thread_rng().gen_bool(0.5) { Effect::Eio } else { Effect::Enospc };
                let once = Fault::once(Calls::Only(Op::Write), nth(8), effect);
                let forever = Fault::forever(Calls::Only(Op::Write), nth(8), effect);
                Some(if thread_rng().gen_bool(0.5) { once } else { forever })
            }
        }
    }

    /// Runs it once, in the interleaving that the scheduler chooses.
    pub(crate) fn run(&self) -> Run {
        let disk = FaultDisk::new();
        disk.shared().create_dir(Path::new(DIR)).expect("a new disk is empty");
        disk.shared().sync_dir(Path::new("/")).expect("no fault yet");
        let env = Environment {
            disk: Arc::new(Yielding(disk.shared())),
            clock: VirtualClock::new(WallMs(1_700_000_000_000)).shared(),
            reserve: None,
        };
        let options = self.options();
        let database = DatabaseId::from_bytes([9; 16]);
        let log = Log::create(&env, Path::new(DIR), database, options.clone()).expect("no fault");
        if let Some(fault) = self.fault() {
            disk.inject(fault);
        }
        let scene = Arc::new(Scene {
            log,
            answers: Arc::default(),
            taken: Mutex::new(0),
            durable: Mutex::new(Lsn::ZERO),
        });
        let mut handles = Vec::new();
        for thread in 0..self.threads {
            let (scene, load) = (Arc::clone(&scene), *self);
            handles.push(shuttle::thread::spawn(move || load.act(&scene, thread)));
        }
        for handle in handles {
            handle.join().expect("no thread panics");
        }
        scene.look();
        let scene = Arc::into_inner(scene).expect("the threads have ended");
        // A poisoned log says so when it is closed; what it owes is checked on the disk.
        let _ = scene.log.close();
        let answers = std::mem::take(&mut *hold(&scene.answers));
        let (taken, durable) = (*hold(&scene.taken), *hold(&scene.durable));
        disk.clear_faults();
        Run { mode: self.mode, failing: self.failing, options, disk, answers, taken, durable }
    }

    fn act(&self, scene: &Scene, thread: u64) {
        if self.closing && thread == 0 {
            scene.log.close().expect("nothing fails");
            return;
        }
        for deed in 0..self.deeds {
            let number = thread * self.deeds + deed;
            let choice = if self.fixed { 0 } else { thread_rng().gen_range(0..10) };
            match choice {
                0..=1 => scene.do_it(Deed::Commit, number, self.owner),
                2..=3 => scene.do_it(Deed::Place, number, self.owner),
                4..=6 => scene.do_it(Deed::Submit, number, self.owner),
                7 => scene.do_it(Deed::Sync, number, self.owner),
                8 => scene.do_it(Deed::Maintain, number, self.owner),
                _ => scene.do_it(Deed::Follow, number, self.owner),
            }
            scene.look();
        }
    }
}

pub(crate) fn hold<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The change whose document carries `number`.
pub(crate) fn put(number: u64) -> Change {
    let text = format!("{{\"n\":{number},\"pad\":\"{}\"}}", "x".repeat(40));
    Change::Put {
        collection: CollectionId(1),
        id: DocId::U64(number),
        replaces: Lsn::ZERO,
        expires_at: None,
        document: Document::parse(text.as_bytes()).expect("it is JSON"),
    }
}

impl Scene {
    /// Notes how far the log says it is durable.
    fn look(&self) {
        let now = self.log.durable();
        let mut durable = hold(&self.durable);
        *durable = (*durable).max(now);
    }

    fn do_it(&self, deed: Deed, number: u64, owner: Owner) {
        match deed {
            Deed::Commit => {
                let result = self.log.append(&put(number));
                self.note_taken();
                self.answer(number, &result);
            }
            Deed::Place => {
                let mut tx = self.log.transaction().in_epoch(self.log.epoch());
                tx.push(&put(number)).expect("it is small");
                let result = self.log.place(tx).and_then(wal::Pending::wait);
                self.note_taken();
                self.answer(number, &result);
            }
            Deed::Submit => {
                self.submit(number);
                if owner == Owner::Callers {
                    self.log.maintain();
                }
            }
            Deed::Sync => {
                if let Ok(durable) = self.log.sync() {
                    let mut newest = hold(&self.durable);
                    *newest = (*newest).max(durable);
                }
            }
            Deed::Maintain => self.log.maintain(),
            Deed::Follow => {
                // Nobody may come who writes, so only what is there already is waited for.
                let visible = self.log.visible();
                assert!(self.log.wait_visible(visible, std::time::Duration::from_secs(1)));
            }
        }
    }

    fn submit(&self, number: u64) {
        let mut tx = self.log.transaction();
        tx.push(&put(number)).expect("it is small");
        let answers = Arc::clone(&self.answers);
        let completion = move |result: wal::Result<Committed>| {
            let result = result.map_err(|error| error.code());
            hold(&answers).push(Answer { number, result, by_completion: true });
        };
        // One that was not taken is not answered: its caller got the error.
        if self.log.submit(tx, Box::new(completion)).is_ok() {
            self.note_taken();
        }
    }

    fn note_taken(&self) {
        *hold(&self.taken) += 1;
    }

    fn answer(&self, number: u64, result: &Result<Committed, WalError>) {
        let result = result.as_ref().map(|committed| *committed).map_err(WalError::code);
        hold(&self.answers).push(Answer { number, result, by_completion: false });
    }
}
