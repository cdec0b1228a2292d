//! Every state that a crash at any moment could leave, for every short sequence of steps.

use sim::crash::{Limits, Report, enumerate, record};
use sim::disk::FaultDisk;
use wal::{FsyncMode, Options};

use crate::world::{Depth, MODES, Note, Step, World, check, open, power_lost, small};

/// The steps that sequences are made of.
const STEPS: [Step; 9] = [
    Step::Append,
    Step::Transaction,
    Step::Group,
    Step::Rotate,
    Step::Crossing,
    Step::Recycle,
    Step::Checkpoint,
    Step::Trim,
    Step::Idle,
];

/// Which moments of a sequence the machine is stopped at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moments {
    /// All, from the creation of the log on.
    All,
    /// Those of the last step: the others are those of a shorter sequence.
    LastStep,
}

/// Enumerates the crashes of one sequence; every `nested`-th state also those of its recovery.
pub(crate) fn crashes(
    steps: &[Step],
    options: &Options,
    limits: &Limits,
    moments: Moments,
    nested: u64,
) -> Result<Report, String> {
    let disk = FaultDisk::new();
    let run = |world: &mut World, steps: &[Step]| {
        for step in steps {
            world.step(*step).expect("a fault-free disk");
        }
    };
    let mut world = None;
    let mut rest = steps;
    if let (Moments::LastStep, Some((last, earlier))) = (moments, steps.split_last()) {
        run(world.insert(World::new(&disk, options.clone())), earlier);
        rest = std::slice::from_ref(last);
    }
    let recording = record(&disk, |disk, recorder| {
        let world = world.get_or_insert_with(|| World::new(disk, options.clone()));
        world.record(recorder);
        run(world, rest);
    });
    // Dropping would close the log: a crash does not.
    std::mem::forget(world);
    // A lone sequence is checked to the end in every state; of thousands, in every eighth.
    let aftermath = if nested == 0 { 1 } else { 8 };
    let mut visited = 0u64;
    let mut inner = Report::default();
    let mut report = enumerate(&recording, limits, |disk, notes: &[Note], point| {
        visited += 1;
        if nested > 0 && visited.is_multiple_of(nested) {
            inner.add(&nested_crashes(disk, notes, power_lost(point), options)?);
        }
        let depth =
            if visited.is_multiple_of(aftermath) { Depth::Aftermath } else { Depth::Recovery };
        check(disk, notes, power_lost(point), options, depth)
    })
    .map_err(|failure| format!("{steps:?} {:?}: {failure}", options.fsync))?;
    report.add(&inner);
    Ok(report)
}

/// Crashes the recovery of `disk` at every moment and recovers again.
fn nested_crashes(
    disk: &FaultDisk,
    notes: &[Note],
    power: bool,
    options: &Options,
) -> Result<Report, String> {
    let again = record(&disk.fork(), |disk, _: &sim::crash::Recorder<()>| {
        if let Ok((log, _)) = open(&disk.shared(), &crate::world::clock(), options.clone()) {
            std::mem::forget(log);
        }
    });
    let limits = Limits { exhaustive_max: 16, samples: 8, ..Limits::default() };
    enumerate(&again, &limits, |disk, _, point| {
        check(disk, notes, power || power_lost(point), options, Depth::Aftermath)
    })
    .map_err(|failure| format!("in recovery: {failure}"))
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

fn all_sequences(mode: FsyncMode) {
    let options = small(mode);
    // Modes that acknowledge before they sync leave more calls unsynced and so more states: they
    // get fewer of each moment.
    let (exhaustive_max, samples) = if mode.syncs_before_ack() { (12, 4) } else { (4, 2) };
    let times = usize::try_from(sim::seed::times()).expect("a small number");
    let limits = Limits {
        exhaustive_max: exhaustive_max * times,
        samples: samples * times,
        ..Limits::default()
    };
    let mut total = Report::default();
    for length in 1..=3 {
        for steps in sequences(length) {
            let moments = if length == 1 { Moments::All } else { Moments::LastStep };
            match crashes(&steps, &options, &limits, moments, 97) {
                Ok(report) => total.add(&report),
                Err(message) => panic!("{message}"),
            }
        }
    }
    println!("mode={} {total}", mode.name());
    assert!(total.distinct > 100_000, "the enumeration shrank: {total}");
}

#[test]
fn no_crash_of_any_short_sequence_breaks_a_promise_in_mode_always() {
    all_sequences(MODES[0]);
}

#[test]
fn no_crash_of_any_short_sequence_breaks_a_promise_in_mode_group() {
    all_sequences(MODES[1]);
}

#[test]
fn no_crash_of_any_short_sequence_breaks_a_promise_in_mode_interval() {
    all_sequences(MODES[2]);
}

#[test]
fn no_crash_of_any_short_sequence_breaks_a_promise_in_mode_none() {
    all_sequences(MODES[3]);
}
