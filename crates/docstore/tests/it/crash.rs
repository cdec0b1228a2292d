//! Every state that a crash at any moment could leave, for every short sequence of steps; and long
//! lives of chance, crashed again and again.

use std::cell::Cell;
use std::sync::Arc;

use base::rng::Rng;
use docstore::Options;
use sim::crash::{Limits, Report, enumerate, record};
use sim::disk::{Crash, FaultDisk, Loss};
use sim::seed::Seeds;
use wal::FsyncMode;

use crate::life::{Life, MODES, Note, STEPS, Step, open, tiny};
use crate::survival::{
    Depth, Promises, check, doubly_damaged, nested_crashes, observe, power_lost,
};

/// Which moments of a sequence the machine is stopped at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moments {
    /// All, from the creation of the database on.
    All,
    /// Those of the last step: the others are those of a shorter sequence.
    LastStep,
}

/// How often the costlier checks are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Every {
    /// Every so many states are checked to the end.
    pub(crate) aftermath: u64,
    /// In every so many recovery is crashed; 0 = in none.
    pub(crate) nested: u64,
}

/// Enumerates the crashes of one sequence.
pub(crate) fn crashes(
    steps: &[Step],
    options: &Options,
    limits: &Limits,
    moments: Moments,
    every: Every,
) -> Result<Report, String> {
    let disk = FaultDisk::new();
    let run = |life: &mut Life, steps: &[Step]| {
        for step in steps {
            if let Err(error) = life.step(*step) {
                panic!("{step:?} on a fault-free disk: {error}");
            }
        }
    };
    let mut life = Life::unborn(&disk, options.clone());
    let mut rest = steps;
    if let (Moments::LastStep, Some((last, earlier))) = (moments, steps.split_last()) {
        life = Life::new(&disk, options.clone());
        run(&mut life, earlier);
        rest = std::slice::from_ref(last);
    }
    let recording = record(&disk, |_, recorder| {
        life.record(recorder);
        if life.db.is_none() {
            life.create().expect("a fault-free disk");
            life.furnish().expect("a fault-free disk");
        }
        run(&mut life, rest);
    });
    let clock = life.clock.clone();
    let (tail, stripes) = life.rot_found;
    ROT.with(|rot| rot.set((rot.get().0 + tail, rot.get().1 + stripes)));
    // Dropping would close the database: a crash does not.
    std::mem::forget(life);
    let mut visited = 0u64;
    let mut inner = Report::default();
    let mut report = enumerate(&recording, limits, |disk, notes: &[Note], point| {
        visited += 1;
        let power = power_lost(point);
        if every.nested > 0 && visited.is_multiple_of(every.nested) {
            inner.add(&nested_crashes(disk, &clock, notes, power, options)?);
        }
        let last = visited.is_multiple_of(every.aftermath);
        let depth = if last { Depth::Aftermath } else { Depth::Recovery };
        check(disk, &clock, notes, power, options, depth)
    })
    .map_err(|failure| format!("{steps:?} {:?}: {failure}", options.log.fsync))?;
    report.add(&inner);
    Ok(report)
}

fn sequences(length: usize) -> Vec<Vec<Step>> {
    let mut all = vec![Vec::new()];
    for _ in 0..length {
        let longer = |sequence: Vec<Step>| {
            STEPS.into_iter().map(move |step| [sequence.as_slice(), &[step]].concat())
        };
        all = all.into_iter().flat_map(longer).collect();
    }
    all
}

/// Of so many sequences of three steps one is tried, unless `TESTS_SIM_TIMES` asks for more: from 2 on
/// all of them.
const SHARE_OF_THREES: usize = 24;

/// All sequences of one and two steps, and those of three as far as there is time.
fn all_sequences(mode: FsyncMode, floor: u64) {
    let options = tiny(mode, None);
    let times = sim::seed::times();
    ROT.with(|rot| rot.set((0, 0)));
    doubly_damaged();
    // Modes that acknowledge before they sync leave more calls unsynced and so more states: they
    // get fewer of each moment.
    let factor = usize::try_from(times).expect("a small number");
    let limits = Limits { exhaustive_max: 2 * factor, samples: factor, ..Limits::default() };
    let every = Every { aftermath: 16, nested: 199 };
    let mut total = Report::default();
    let mut add = |steps: &[Step], moments, limits: &Limits| match crashes(
        steps, &options, limits, moments, every,
    ) {
        Ok(report) => total.add(&report),
        Err(message) => panic!("{message}"),
    };
    add(&[], Moments::All, &limits);
    for length in 1..=2 {
        for steps in sequences(length) {
            add(&steps, Moments::LastStep, &limits);
        }
    }
    // There are so many of them that each gets the fewest.
    let fewest = Limits { exhaustive_max: 2, samples: 1, ..Limits::default() };
    let threes = sequences(3);
    let mut tried = 0;
    for (at, steps) in threes.iter().enumerate() {
        // Neighbours end alike: those that are tried are spread.
        if times > 1 || (at * 7919) % threes.len() < threes.len() / SHARE_OF_THREES {
            add(steps, Moments::LastStep, &fewest);
            tried += 1;
        }
    }
    let (in_tail, in_stripes) = ROT.with(Cell::get);
    let rot =
        format!("rot found where parity does not reach: {in_tail}, where it does: {in_stripes}");
    let double = doubly_damaged();
    println!(
        "mode={} threes={tried} of {} {total}; {rot}; index and log damaged: {double}",
        mode.name(),
        threes.len()
    );
    assert!(total.distinct > floor, "the enumeration shrank: {total}");
    assert!(in_tail > 0 && in_stripes > 0, "{rot}");
    assert!(double > 0, "no log had a segment that a checkpoint covers");
}

thread_local! {
    /// How often damage was found by reading: where only the log has a second copy, and in stripes
    /// with parity.
    static ROT: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

#[test]
fn no_crash_of_any_short_sequence_breaks_a_promise_in_mode_always() {
    all_sequences(MODES[0], 40_000);
}

#[test]
fn no_crash_of_any_short_sequence_breaks_a_promise_in_mode_group() {
    all_sequences(MODES[1], 40_000);
}

#[test]
fn no_crash_of_any_short_sequence_breaks_a_promise_in_mode_interval() {
    all_sequences(MODES[2], 60_000);
}

#[test]
fn no_crash_of_any_short_sequence_breaks_a_promise_in_mode_none() {
    all_sequences(MODES[3], 60_000);
}

/// The steps of a long life: a few of them, some more often than others.
fn swarm(rng: &mut Rng) -> Vec<Step> {
    let mut steps = Vec::new();
    for step in STEPS {
        // Data is damaged only where it is healed at once: damage that adds up is another test.
        if step != Step::Rot && rng.below(2) == 0 {
            steps.extend(std::iter::repeat_n(step, 1 << rng.below(4)));
        }
    }
    steps.push(Step::Put);
    steps
}

/// One life: steps until a crash within the last of them. Answers what the crash left, and whether
/// it was a loss of power.
fn live(life: &mut Life, steps: &[Step], rng: &mut Rng) -> (FaultDisk, Vec<Note>, bool) {
    let mut step = |life: &mut Life| {
        let step = steps[rng.index(steps.len())];
        let n = [0; 4].map(|_| 1 + rng.below(12));
        if let Err(error) = life.step_on(step, n) {
            panic!("{step:?} on a fault-free disk: {error}");
        }
    };
    for _ in 0..24 {
        step(life);
    }
    let disk = life.disk.clone();
    let recording = record(&disk, |_, recorder| {
        life.record(recorder);
        step(life);
    });
    // Dropping would close the database: a crash does not.
    std::mem::forget(life.db.take());
    let at = rng.index(recording.len() + 1);
    let left = recording.disk_after(at);
    let notes = recording.acknowledged(at).to_vec();
    match rng.below(3) {
        0 => (left.crash(&Crash::Kill), notes, false),
        1 => (left.crash(&Crash::PowerLoss(Loss::Everything)), notes, true),
        _ => (left.crash(&Crash::PowerLoss(Loss::Seeded(rng.below(1 << 40)))), notes, true),
    }
}

/// A few lives of one database, each ended by a crash.
pub(crate) fn lives(seed: u64, options: &Options) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let steps = swarm(&mut rng);
    let mut life = Life::new(&FaultDisk::new(), options.clone());
    for number in 0..4 {
        let (disk, notes, power) = live(&mut life, &steps, &mut rng);
        let clock = life.clock.clone();
        let failed = |message| format!("life {number} of {steps:?}: {message}");
        check(&disk.fork(), &clock, &notes, power, options, Depth::Aftermath).map_err(failed)?;
        let promises = Promises::of(&notes);
        let db = open(&disk.shared(), &clock, options).map_err(|error| error.to_string())?;
        let seen = observe(&db).map_err(|error| error.to_string())?;
        let owed = promises.owed(power, options);
        let found: Arc<_> = promises.found(&seen, db.now(), owed, db.position())?;
        life = life.again(&disk, db, found);
    }
    Ok(())
}

#[test]
fn no_crash_of_a_long_life_breaks_a_promise() {
    Seeds::from_env(1, 300).each(|seed| {
        let mode = MODES[usize::try_from(seed % 4).expect("below 4")];
        if let Err(message) = lives(seed, &tiny(mode, None)) {
            panic!("{message}");
        }
    });
}
