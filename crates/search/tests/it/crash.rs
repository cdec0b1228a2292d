//! Every state that a crash could leave while an index is flushed, merged and swept: after a start and the replay of
//! the log it answers as the documents do, and nothing stays in its store that nobody needs.

use std::sync::Arc;

use base::words::Lsn;
use search::storage::list_all;
use sim::crash::{Limits, enumerate, record};
use sim::disk::FaultDisk;

use crate::world::{Logged, PLACE, World, open, options, settle, store};

/// A world after the first changes of another's log.
fn at(world: &World, changes: usize) -> World {
    let mut then = World::new(1, 30);
    then.clock = Arc::clone(&world.clock);
    then.log = world.log[..changes].to_vec();
    for change in &world.log[..changes] {
        match change {
            Logged::Put { id, replaces, stored } => {
                let before = then.documents.insert(id.clone(), stored.clone());
                assert_eq!(before.map_or(Lsn::ZERO, |before| before.lsn), *replaces);
            }
            Logged::Delete { replaces, .. } => {
                then.documents.retain(|_, stored| stored.lsn != *replaces);
            }
        }
    }
    then
}

/// What is wrong after a crash, if something is.
fn recover(disk: &FaultDisk, world: &World, changes: usize) -> Result<(), String> {
    let mut then = at(world, changes);
    let store = store(disk.shared());
    let index = open(&store, &world.clock, 77, &then.log).map_err(|error| error.to_string())?;
    if index.status().rows != then.documents.len() as u64 {
        return Err(format!("{:?} of {} documents", index.status(), then.documents.len()));
    }
    then.check(&index, 4);
    let is_there = |done: search::index::Result<()>| done.map_err(|error| error.to_string());
    is_there(index.flush_all())?;
    world.clock.advance(options().grace * 2);
    is_there(settle(&index))?;
    world.clock.advance(options().grace * 2);
    is_there(settle(&index))?;
    then.check(&index, 2);
    let segments = usize::try_from(index.status().segments).expect("few");
    for (folder, most) in [
        (PLACE.segments(), segments * 7),
        // The newest, and the one that it replaced.
        (PLACE.manifests(), 2),
    ] {
        let folder = folder.expect("a name");
        let left = list_all(&*store, &folder, 100).map_err(|error| error.to_string())?;
        if left.len() > most {
            return Err(format!("orphans below {folder}: {left:?}"));
        }
    }
    Ok(())
}

fn crashes(seed: u64, turns: usize, limits: &Limits) {
    let mut world = World::new(seed, 30);
    let recording = record(&FaultDisk::new(), |disk, recorder| {
        let store = store(disk.shared());
        let index = open(&store, &world.clock, seed, &[]).expect("a disk without faults");
        for turn in 0..turns {
            for _ in 0..4 {
                let changes = world.write();
                // The log is durable before the index hears of it.
                recorder.acknowledge(world.log.len());
                index.apply(world.prepared(&changes), Lsn::ZERO);
            }
            world.clock.advance(options().grace / 2);
            index.flush_step().expect("a disk without faults");
            if turn % 2 == 1 {
                let changes = world.write();
                recorder.acknowledge(world.log.len());
                index.apply(world.prepared(&changes), Lsn::ZERO);
                settle(&index).expect("a disk without faults");
            }
        }
    });
    let report = enumerate(&recording, limits, |disk, acknowledged: &[usize], _| {
        recover(disk, &world, acknowledged.last().copied().unwrap_or(0))
    });
    let report = report.unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
    assert!(report.distinct > 100, "{report:?}");
}

#[test]
fn after_any_crash_and_a_replay_every_answer_is_right_and_nothing_is_left_over() {
    let limits = Limits { exhaustive_max: 6, samples: 2, ..Limits::default() };
    crashes(1, 3, &limits);
}
