//! Every state that a crash could leave while an index is flushed, merged, swept, made again, dropped and begun anew on
//! the disk that has the log, too: after a start and the replay of the log it answers as the documents do, nothing
//! that was dropped comes back, and nothing stays that nobody needs.

use std::time::Duration;

use base::words::Lsn;
use search::index::{Index, Options, Rebuild};
use search::manifest::remove_all;
use search::storage::{StoreRef, list_all};
use sim::crash::{Limits, Recorder, Report, enumerate, record};
use sim::disk::FaultDisk;
use sim::seed;

use crate::world::{PLACE, World, backing, environment, open_with, options, settle, store};

/// What is known to have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The log has so many changes.
    Log(usize),
    /// The log says that the index is to go.
    Dropping,
    /// The log says that there is to be one again, of the documents at this position or later. The one before is gone.
    Beginning(Lsn),
}

type Marks = Recorder<Mark>;

/// After one in so many crashes the index goes on for a while.
const AFTERMATH: u64 = 5;

/// Whether it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    GoesOn,
    Ends,
}

/// What a crash does to an index that is being used so.
pub(crate) type Workload = fn(&mut World, &StoreRef, &Marks, &Options);

fn opened(world: &World, store: &StoreRef, options: &Options, seed: u64) -> Result<Index, String> {
    let with = (world.shape.schema.clone(), options.clone());
    open_with(store, with, || environment(&world.clock, seed), (&world.log, 0))
        .map_err(|error| error.to_string())
}

/// Writes, and tells the index of it when the log is durable.
fn write(world: &mut World, marks: &Marks, index: &Index) {
    let changes = world.write();
    marks.acknowledge(Mark::Log(world.log.len()));
    index.apply(world.prepared(&changes), Lsn::ZERO);
}

/// Flushes, merges and sweeps.
pub(crate) fn flushes(world: &mut World, store: &StoreRef, marks: &Marks, options: &Options) {
    let index = opened(world, store, options, 1).expect("a disk without faults");
    for turn in 0..2 {
        (0..4).for_each(|_| write(world, marks, &index));
        world.clock.advance(options.grace / 2);
        index.flush_step().expect("a disk without faults");
        if turn % 2 == 1 {
            write(world, marks, &index);
            settle(&index).expect("a disk without faults");
        }
    }
}

/// The index is made again while changes come, and the process goes on for a while.
pub(crate) fn adopts(world: &mut World, store: &StoreRef, marks: &Marks, options: &Options) {
    let index = opened(world, store, options, 2).expect("a disk without faults");
    (0..4).for_each(|_| write(world, marks, &index));
    index.flush_all().expect("a disk without faults");
    let mut rebuild = index.rebuild(world.shape.schema.clone());
    let (mut documents, at, known) =
        (world.prepared_documents(), world.position(), world.log.len());
    let rest = documents.split_off(documents.len() / 2);
    rebuild.add(documents).expect("in order");
    write(world, marks, &index);
    world.clock.advance(options.flush_after);
    rebuild.background_step().expect("a disk without faults");
    rebuild.add(rest).expect("in order");
    rebuild.documents_end(at);
    rebuild.apply(world.prepared(&world.log[known..]), Lsn::ZERO);
    index.adopt(&mut rebuild).expect("it has all changes");
    drop(rebuild);
    write(world, marks, &index);
    world.clock.advance(options.grace * 2);
    settle(&index).expect("a disk without faults");
}

/// The index is dropped while documents are written, and begun anew at the same place.
pub(crate) fn recreates(world: &mut World, store: &StoreRef, marks: &Marks, options: &Options) {
    let index = opened(world, store, options, 3).expect("a disk without faults");
    (0..3).for_each(|_| write(world, marks, &index));
    index.flush_all().expect("a disk without faults");
    write(world, marks, &index);
    index.flush_all().expect("a disk without faults");
    marks.acknowledge(Mark::Dropping);
    drop(index);
    remove_all(&**store, &PLACE).expect("a disk without faults");
    world.write();
    marks.acknowledge(Mark::Log(world.log.len()));
    marks.acknowledge(Mark::Beginning(world.position()));
    let index = made(world, store, options, 4).expect("a disk without faults");
    write(world, marks, &index);
    index.flush_all().expect("a disk without faults");
}

/// An index made of the documents, at a place that has none.
fn made(world: &World, store: &StoreRef, options: &Options, seed: u64) -> Result<Index, String> {
    let schema = world.shape.schema.clone();
    let environment = environment(&world.clock, seed);
    let mut rebuild = Rebuild::new(backing(store), PLACE, schema, options.clone(), environment);
    rebuild.add(world.prepared_documents()).expect("in order");
    rebuild.documents_end(world.position());
    rebuild.finish().map_err(|error| error.to_string())
}

/// What is wrong after a crash, if something is.
fn recover(
    disk: &FaultDisk,
    world: &World,
    marks: &[Mark],
    (options, after): (&Options, Then),
) -> Result<(), String> {
    let log = marks.iter().rev().find_map(|mark| match mark {
        Mark::Log(changes) => Some(*changes),
        Mark::Dropping | Mark::Beginning(_) => None,
    });
    let mut then = world.at(log.unwrap_or(0));
    let store = store(disk.shared());
    let last = marks.iter().rev().find(|mark| !matches!(mark, Mark::Log(_)));
    let index = match last {
        Some(Mark::Dropping) => {
            remove_all(&*store, &PLACE).map_err(|error| error.to_string())?;
            let left = list_all(&*store, &PLACE.folder().expect("a name"), 100);
            let left = left.map_err(|error| error.to_string())?;
            if !left.is_empty() {
                return Err(format!("left after it was dropped: {left:?}"));
            }
            made(&then, &store, options, 77)?
        }
        Some(Mark::Beginning(at)) => begun(&then, &store, options, *at)?,
        Some(Mark::Log(_)) | None => opened(&then, &store, options, 77)?,
    };
    if index.status().rows != then.documents.len() as u64 {
        return Err(format!("{:?} of {} documents", index.status(), then.documents.len()));
    }
    then.check(&index, 2);
    if after == Then::Ends { Ok(()) } else { aftermath(&mut then, &store, &index, options) }
}

/// The index that was begun at this position, or of which nothing is durable yet.
fn begun(then: &World, store: &StoreRef, options: &Options, at: Lsn) -> Result<Index, String> {
    let with = (then.shape.schema.clone(), options.clone());
    let environment = environment(&then.clock, 77);
    let found = Index::open(backing(store), PLACE, with.0, with.1, environment);
    let Some(index) = found.map_err(|error| error.to_string())? else {
        return made(then, store, options, 78);
    };
    if index.applied() < at {
        // The log has been trimmed up to there.
        return Err(format!("the one that was dropped is back: {:?}", index.status()));
    }
    drop(index);
    opened(then, store, options, 79)
}

/// The index goes on, and what nobody needs goes.
fn aftermath(
    then: &mut World,
    store: &StoreRef,
    index: &Index,
    options: &Options,
) -> Result<(), String> {
    let failed = |error: search::index::IndexError| error.to_string();
    index.flush_all().map_err(failed)?;
    for _ in 0..3 {
        then.clock.advance(options.grace);
        settle(index).map_err(failed)?;
    }
    index.verify().map_err(failed)?;
    then.check(index, 2);
    let segments = usize::try_from(index.status().segments).expect("few");
    // Rows, attributes, words, the open copy, two vector fields, and perhaps dead rows; and one manifest.
    for (folder, most) in [(PLACE.segments(), segments * 7), (PLACE.manifests(), 1)] {
        let folder = folder.expect("a name");
        let left = list_all(&**store, &folder, 100).map_err(|error| error.to_string())?;
        if left.len() > most {
            return Err(format!("orphans below {folder}: {left:?}"));
        }
    }
    Ok(())
}

/// Enumerates the crashes of a workload.
pub(crate) fn crashes(
    workload: Workload,
    options: &Options,
    limits: &Limits,
) -> Result<Report, String> {
    let mut world = World::new(1, 30);
    let recording = record(&FaultDisk::new(), |disk, marks: &Marks| {
        workload(&mut world, &store(disk.shared()), marks, options);
    });
    // The clock of what comes after does not go back.
    world.clock.advance(Duration::from_secs(1));
    let mut states = 0_u64;
    let report = enumerate(&recording, limits, |disk, marks: &[Mark], _| {
        states += 1;
        if !states.is_multiple_of(stride()) {
            return Ok(());
        }
        let is_long = (states / stride()).is_multiple_of(AFTERMATH);
        let then = if is_long { Then::GoesOn } else { Then::Ends };
        recover(disk, &world, marks, (options, then))
    });
    report.map_err(|failure| failure.to_string())
}

/// Of so many states one is looked at; of every one when four times as much is asked for.
pub(crate) fn stride() -> u64 {
    4_u64.div_ceil(seed::times())
}

/// Few samples of each moment, and more when asked for.
pub(crate) fn limits() -> Limits {
    let samples = usize::try_from(seed::times()).expect("a small number");
    Limits { exhaustive_max: 3, samples, ..Limits::default() }
}

fn every_state_is_right(workload: Workload) {
    let report = crashes(workload, &options(), &limits()).unwrap_or_else(|wrong| panic!("{wrong}"));
    println!("{report:?}");
    assert!(report.distinct > 100, "{report:?}");
}

#[test]
fn after_any_crash_between_flushes_and_merges_every_answer_is_right_and_nothing_is_left_over() {
    every_state_is_right(flushes);
}

#[test]
fn after_any_crash_while_an_index_is_made_again_every_answer_is_right() {
    every_state_is_right(adopts);
}

#[test]
fn after_any_crash_while_an_index_is_dropped_and_begun_anew_nothing_comes_back() {
    every_state_is_right(recreates);
}
