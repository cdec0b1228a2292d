//! A log on a simulated disk, the steps of a workload, and the check of what a crash left.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::clock::WallMs;
use base::document::Document;
use base::io::DiskRef;
use base::words::{Change, CollectionId, DatabaseId, DocId, Lsn};
use sim::clock::VirtualClock;
use sim::crash::{Mode, Point, Recorder};
use sim::disk::{Crash, FaultDisk, Loss};
use wal::planted::Bug;
use wal::{Background, Environment, FsyncMode, Log, Options, Recovery, Upto, WalError};

/// Where the log is.
pub(crate) const DIR: &str = "/db";

/// The four modes.
pub(crate) const MODES: [FsyncMode; 4] = [
    FsyncMode::Always,
    FsyncMode::Group,
    FsyncMode::Interval(Duration::from_millis(5)),
    FsyncMode::Never,
];

/// Settings small enough that a few steps fill segments.
pub(crate) fn small(mode: FsyncMode) -> Options {
    Options {
        fsync: mode,
        segment_bytes_first: 2048,
        segment_bytes_max: 4096,
        keep_segments: 0,
        background: Background::Manual,
        ..Options::default()
    }
}

/// The environment on `disk`.
pub(crate) fn env(disk: &DiskRef, clock: &VirtualClock) -> Environment {
    Environment { disk: DiskRef::clone(disk), clock: clock.shared(), reserve: None }
}

/// A new virtual clock.
pub(crate) fn clock() -> VirtualClock {
    VirtualClock::new(WallMs(1_700_000_000_000))
}

/// A document's write; `bytes` is about its size and `n` makes it unique.
pub(crate) fn put(n: u64, bytes: usize) -> Change {
    let text = format!("{{\"n\":{n},\"pad\":\"{}\"}}", "x".repeat(bytes));
    Change::Put {
        collection: CollectionId(1),
        id: DocId::U64(n),
        replaces: Lsn::ZERO,
        expires_at: None,
        document: Document::parse(text.as_bytes()).expect("it is JSON"),
    }
}

/// One step of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// One change.
    Append,
    /// A transaction of three.
    Transaction,
    /// Three transactions that are written together.
    Group,
    /// A change that does not fit into what is left of the segment.
    Rotate,
    /// A transaction larger than a segment.
    Crossing,
    /// Everything needed to reuse a segment's file.
    Recycle,
    /// Everything durable counts as kept elsewhere.
    Checkpoint,
    /// What nobody needs goes.
    Trim,
    /// Time passes: hints, timed syncs.
    Idle,
    /// The log is closed and opened.
    Reopen,
}

/// What a workload has told its users, or tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Note {
    /// This change is on its way, at this LSN; the flag says that it ends its transaction.
    Tried(Lsn, Change, bool),
    /// Everything up to here was acknowledged.
    Acknowledged(Lsn),
    /// Everything up to here was reported durable.
    Durable(Lsn),
    /// Everything up to here may be forgotten.
    Kept(Lsn),
}

/// Notes made so far, and where new ones are told.
#[derive(Debug, Clone, Default)]
struct Notes {
    made: Arc<Mutex<Vec<Note>>>,
    recorder: Option<Recorder<Note>>,
}

impl Notes {
    fn add(&self, note: Note) {
        if let Some(recorder) = &self.recorder {
            recorder.acknowledge(note.clone());
        }
        self.made.lock().expect("no test panicked").push(note);
    }
}

/// A running workload.
pub(crate) struct World {
    pub disk: DiskRef,
    pub clock: VirtualClock,
    pub options: Options,
    pub log: Option<Log>,
    notes: Notes,
    next: u64,
}

impl World {
    /// A new log, in a directory made on `disk`.
    pub(crate) fn new(disk: &FaultDisk, options: Options) -> Self {
        Self::of_database(disk, options, 9)
    }

    /// A new log of the database with this identity.
    pub(crate) fn of_database(disk: &FaultDisk, options: Options, identity: u8) -> Self {
        let disk = disk.shared();
        let clock = clock();
        make_dir(&disk);
        let database = DatabaseId::from_bytes([identity; 16]);
        let log = Log::create(&env(&disk, &clock), Path::new(DIR), database, options.clone())
            .expect("a fault-free disk");
        Self { disk, clock, options, log: Some(log), notes: Notes::default(), next: 0 }
    }

    /// The open log.
    pub(crate) fn log(&self) -> &Log {
        self.log.as_ref().expect("the log is open")
    }

    /// Notes go to `recorder` from now on, those made before at once.
    pub(crate) fn record(&mut self, recorder: &Recorder<Note>) {
        for note in self.notes.made.lock().expect("no test panicked").iter() {
            recorder.acknowledge(note.clone());
        }
        self.notes.recorder = Some(recorder.clone());
    }

    fn note(&self, note: Note) {
        self.notes.add(note);
    }

    fn change(&mut self, bytes: usize) -> Change {
        self.next += 1;
        put(self.next, bytes)
    }

    /// Commits transactions of changes of these sizes, together.
    pub(crate) fn commit(&mut self, transactions: &[&[usize]]) -> Result<(), WalError> {
        let mut lsn = self.log().visible();
        let mut ready = Vec::new();
        for sizes in transactions {
            let mut tx = self.log().transaction();
            for (i, bytes) in sizes.iter().enumerate() {
                let change = self.change(*bytes);
                tx.push(&change)?;
                lsn = lsn.next();
                self.note(Note::Tried(lsn, change, i + 1 == sizes.len()));
            }
            ready.push(tx);
        }
        if let [_] = transactions {
            let done = self.log().commit(ready.remove(0))?;
            self.note(Note::Acknowledged(done.last));
        } else {
            // Completions of a group run one after another, in LSN order.
            for tx in ready {
                let notes = self.notes.clone();
                let told = move |result: wal::Result<wal::Committed>| {
                    if let Ok(done) = result {
                        notes.add(Note::Acknowledged(done.last));
                    }
                };
                self.log().submit(tx, Box::new(told))?;
            }
            self.log().maintain();
        }
        self.note(Note::Durable(self.log().durable()));
        Ok(())
    }

    /// Runs one step.
    pub(crate) fn step(&mut self, step: Step) -> Result<(), WalError> {
        match step {
            Step::Append => self.commit(&[&[20]]),
            Step::Transaction => self.commit(&[&[300, 300, 100]]),
            Step::Group => self.commit(&[&[400], &[10, 250], &[300]]),
            Step::Rotate => self.commit(&[&[1500]]),
            Step::Crossing => self.commit(&[&[1500, 1500, 1800]]),
            Step::Recycle => {
                for step in [Step::Rotate, Step::Rotate, Step::Checkpoint, Step::Trim] {
                    self.step(step)?;
                }
                self.commit(&[&[1500]])
            }
            Step::Checkpoint => self.checkpoint(),
            Step::Trim => self.log().trim().map(|_| ()),
            Step::Idle => {
                self.clock.advance(Duration::from_millis(150));
                self.log().maintain();
                self.note(Note::Durable(self.log().durable()));
                Ok(())
            }
            Step::Reopen => self.reopen(),
        }
    }

    fn checkpoint(&mut self) -> Result<(), WalError> {
        let upto = self.log().sync()?;
        self.note(Note::Durable(upto));
        self.note(Note::Kept(upto));
        self.log().checkpoint(upto)?;
        self.note(Note::Acknowledged(self.log().visible()));
        self.note(Note::Durable(self.log().durable()));
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), WalError> {
        let last = self.log().visible();
        if let Some(log) = self.log.take() {
            log.close()?;
        }
        let (log, _) = open(&self.disk, &self.clock, self.options.clone())?;
        assert_eq!(log.visible(), last, "a log that was closed is opened as it was");
        self.log = Some(log);
        self.note(Note::Durable(self.log().durable()));
        Ok(())
    }
}

/// Makes the log's directory, durable.
pub(crate) fn make_dir(disk: &DiskRef) {
    disk.create_dir(Path::new(DIR)).expect("a fault-free disk");
    disk.sync_dir(Path::new("/")).expect("a fault-free disk");
}

/// Opens the log on `disk`.
pub(crate) fn open(
    disk: &DiskRef,
    clock: &VirtualClock,
    options: Options,
) -> Result<(Log, Recovery), WalError> {
    Log::open_dir(&env(disk, clock), Path::new(DIR), options, &mut |_| Ok(()))
}

/// What was tried, by LSN, and what was promised.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    tried: BTreeMap<Lsn, (Change, bool)>,
    /// Acknowledged: no kill may take it.
    acknowledged: Lsn,
    /// Durable: no power loss may take it.
    durable: Lsn,
    kept: Lsn,
}

impl Promises {
    /// Of the notes made before a crash.
    pub(crate) fn of(notes: &[Note]) -> Self {
        let mut promises = Self::default();
        for note in notes {
            match note {
                Note::Tried(lsn, change, last) => {
                    promises.tried.insert(*lsn, (change.clone(), *last));
                }
                Note::Acknowledged(lsn) => promises.acknowledged = *lsn,
                Note::Durable(lsn) => promises.durable = promises.durable.max(*lsn),
                Note::Kept(lsn) => promises.kept = promises.kept.max(*lsn),
            }
        }
        promises
    }
}

/// What a log holds: LSN and change of every frame that records one, and its last LSN.
pub(crate) type Content = (BTreeMap<Lsn, Change>, Lsn);

/// Reads everything that `log` holds.
pub(crate) fn content(log: &Log) -> Result<Content, WalError> {
    let mut changes = BTreeMap::new();
    let mut reader = log.read(log.status().first, Upto::Visible);
    while let Some(frame) = reader.next()? {
        if let Some(change) = frame.change() {
            changes.insert(frame.lsn, change);
        }
    }
    Ok((changes, log.visible()))
}

/// Checks what a crash left against what was promised before it, then that what was served after
/// recovery survives whatever comes next.
pub(crate) fn check(
    disk: &FaultDisk,
    notes: &[Note],
    power_lost: bool,
    options: &Options,
    depth: Depth,
) -> Result<(), String> {
    let promises = Promises::of(notes);
    let clock = clock();
    let mut replayed = BTreeMap::new();
    let opened = Log::open_dir(
        &env(&disk.shared(), &clock),
        Path::new(DIR),
        options.clone(),
        &mut |frame| {
            replayed.insert(frame.lsn, frame.change());
            Ok(())
        },
    );
    let log = match opened {
        Ok((log, _)) => log,
        // The log's very first files were not yet durable: there is no log to open.
        Err(WalError::Manifest(_)) if notes.is_empty() => return Ok(()),
        Err(e) => return Err(format!("open failed: {e}")),
    };
    let found = content(&log).map_err(|e| format!("read failed: {e}"))?;
    let survived = match (power_lost, options.fsync.syncs_before_ack()) {
        (true, false) => promises.durable,
        // Where an acknowledgement waits for a sync, it promises what a sync promises.
        (true, true) | (false, _) => promises.acknowledged,
    };
    verify(&promises, &found, survived)?;
    let replay_lsn = log.state().replay_lsn;
    if replay_lsn > promises.kept {
        return Err(format!("replay starts at {replay_lsn}, kept is {}", promises.kept));
    }
    let expected: Vec<Lsn> = ((replay_lsn.0 + 1)..=found.1.0).map(Lsn).collect();
    let given: Vec<Lsn> = replayed.keys().copied().collect();
    if given != expected {
        return Err(format!("replayed {given:?}, expected {expected:?}"));
    }
    if log.durable() != found.1 {
        return Err(format!("served up to {} but durable is {}", found.1, log.durable()));
    }
    match depth {
        Depth::Recovery => Ok(()),
        Depth::Aftermath => survives(disk, &log, &found, options),
    }
}

/// How far a check goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Recovery and what it serves.
    Recovery,
    /// Also that what it served survives further crashes, at once and after one more write.
    Aftermath,
}

fn verify(promises: &Promises, found: &Content, owed: Lsn) -> Result<(), String> {
    let (changes, last) = found;
    if *last < owed {
        return Err(format!("lost: promised up to {owed}, found up to {last}"));
    }
    for (lsn, change) in changes {
        match promises.tried.get(lsn) {
            None => return Err(format!("invented: {lsn} {change:?}")),
            Some((tried, _)) if tried != change => return Err(format!("changed: {lsn}")),
            Some(_) => {}
        }
    }
    let wanted = |lsn: &&Lsn| **lsn > promises.kept && **lsn <= *last;
    if let Some(lsn) = promises.tried.keys().filter(wanted).find(|lsn| !changes.contains_key(lsn)) {
        return Err(format!("missing: {lsn} of {last}"));
    }
    match promises.tried.get(last) {
        Some((_, false)) => Err(format!("half a transaction: the log ends at {last}")),
        Some((_, true)) | None => Ok(()),
    }
}

/// What was served after recovery survives another crash of any kind, at once and after one more
/// write.
fn survives(disk: &FaultDisk, log: &Log, found: &Content, options: &Options) -> Result<(), String> {
    let crashes = [
        Crash::PowerLoss(Loss::Everything),
        Crash::PowerLoss(Loss::Seeded(found.1.0 + 1)),
        Crash::Kill,
    ];
    for crash in &crashes {
        let again = reopened(&disk.crash(crash), options)?;
        if again != *found {
            return Err(format!("served up to {}, then found up to {}", found.1, again.1));
        }
    }
    // As long as the first change of a group, so that an old frame behind it would line up.
    log.append(&put(1_000_000, 394)).map_err(|e| format!("append after recovery: {e}"))?;
    let durable = log.sync().map_err(|e| format!("sync after recovery: {e}"))?;
    for crash in &crashes {
        let (changes, last) = reopened(&disk.crash(crash), options)?;
        if last != durable || changes.len() != found.0.len() + 1 {
            return Err(format!("one more write up to {durable}, then found up to {last}"));
        }
    }
    Ok(())
}

fn reopened(disk: &FaultDisk, options: &Options) -> Result<Content, String> {
    let (log, _) = open(&disk.shared(), &clock(), options.clone())
        .map_err(|e| format!("opening again: {e}"))?;
    content(&log).map_err(|e| format!("reading again: {e}"))
}

/// Whether a crash point is a loss of power.
pub(crate) fn power_lost(point: &Point) -> bool {
    matches!(point.mode, Mode::PowerLoss(_))
}

/// The same settings with a planted defect.
pub(crate) fn with_bug(mut options: Options, bug: Option<Bug>) -> Options {
    options.planted = bug;
    options
}

/// Files of the log's directory.
pub(crate) fn files(disk: &DiskRef) -> Vec<PathBuf> {
    let entries = disk.list(Path::new(DIR)).expect("a fault-free disk");
    entries.into_iter().map(|entry| Path::new(DIR).join(entry.name)).collect()
}
