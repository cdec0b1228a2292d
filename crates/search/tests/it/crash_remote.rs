//! Every state that a crash could leave of a data directory and of a store elsewhere: whatever calls of both had
//! happened, after a start and the replay of the log every answer is right and nothing stays that nobody needs.
//!
//! The store keeps what it was told: its state is after any number of its calls. The disk has the record of what was
//! published. Between two calls to the disk there may be many to the store, and each number of them is a state.

use std::path::Path;
use std::sync::{Arc, Mutex};

use base::words::Lsn;
use bytes::Bytes;
use search::index::Environment;
use search::manifest::Record;
use search::storage::{Listed, Name, Source, Store, StoreError, StoreRef, list_all};
use sim::crash::{Limits, Mode, Recorder, enumerate, record};
use sim::disk::FaultDisk;

use crate::stores::Objects;
use crate::world::{PLACE, World, environment, open_with, options, settle};

/// After one in so many crashes the index goes on for a while.
const AFTERMATH: u64 = 5;

/// What happened beside the calls to the disk.
#[derive(Debug, Clone, Copy)]
enum Mark {
    /// The log has so many changes.
    Log(usize),
    /// The store has done one more call, after so many calls to the disk.
    Store(usize),
}

/// A change of the store.
#[derive(Debug, Clone)]
enum Call {
    Put(Name, Vec<u8>),
    Delete(Name),
}

/// A store that notes its changes among those of a disk.
#[derive(Debug)]
struct Noted {
    inner: Objects,
    recorder: Recorder<Mark>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Noted {
    fn note(&self, call: Call) {
        self.calls.lock().expect("no panic").push(call);
        self.recorder.acknowledge(Mark::Store(self.recorder.position()));
    }
}

impl Store for Noted {
    fn put_new(&self, name: &Name, content: &dyn Source) -> Result<(), StoreError> {
        self.inner.put_new(name, content)?;
        let content = content.read(0..content.len()).expect("from memory");
        self.note(Call::Put(name.clone(), content.to_vec()));
        Ok(())
    }

    fn get_ranges(
        &self,
        wanted: &[(Name, std::ops::Range<u64>)],
    ) -> Result<Vec<Bytes>, StoreError> {
        self.inner.get_ranges(wanted)
    }

    fn get(&self, name: &Name) -> Result<Option<Bytes>, StoreError> {
        self.inner.get(name)
    }

    fn len_of(&self, name: &Name) -> Result<Option<u64>, StoreError> {
        self.inner.len_of(name)
    }

    fn list_after(
        &self,
        folder: &Name,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        self.inner.list_after(folder, after, limit)
    }

    fn delete(&self, names: &[Name]) -> Result<(), StoreError> {
        // One after another: a crash may come between any two.
        for name in names {
            self.inner.delete(std::slice::from_ref(name))?;
            self.note(Call::Delete(name.clone()));
        }
        Ok(())
    }
}

/// The store after so many calls.
fn after(calls: &[Call]) -> StoreRef {
    let objects = Objects::default();
    for call in calls {
        let done = match call {
            Call::Put(name, content) => objects.put_new(name, content),
            Call::Delete(name) => objects.delete(std::slice::from_ref(name)),
        };
        done.expect("as it was done before");
    }
    Arc::new(objects)
}

fn on_disk(world: &World, disk: &FaultDisk, seed: u64) -> Environment {
    let record = Record::open(&disk.shared(), Path::new("/record")).expect("a record");
    Environment { record: Some(record), ..environment(&world.clock, seed) }
}

/// What is wrong with what a crash left, if something is.
fn recover(
    disk: &FaultDisk,
    store: &StoreRef,
    world: &World,
    (changes, goes_on): (usize, bool),
) -> Result<(), String> {
    let failed = |error: search::index::IndexError| error.to_string();
    let mut then = world.at(changes);
    let with = (then.shape.schema.clone(), options());
    let environment = || on_disk(world, disk, 99);
    let index = open_with(store, with, environment, (&then.log, 0)).map_err(failed)?;
    if index.status().rows != then.documents.len() as u64 {
        return Err(format!("{:?} of {} documents", index.status(), then.documents.len()));
    }
    then.check(&index, 2);
    if !goes_on {
        return Ok(());
    }
    index.flush_all().map_err(failed)?;
    for _ in 0..3 {
        world.clock.advance(options().grace);
        settle(&index).map_err(failed)?;
    }
    then.check(&index, 1);
    let all = list_all(&**store, &PLACE.folder().expect("a name"), 1000);
    let all = all.map_err(|error| error.to_string())?.len();
    let most = usize::try_from(index.status().segments).expect("few") * 7 + 1;
    if all > most { Err(format!("orphans: {all} objects of {most}")) } else { Ok(()) }
}

#[test]
fn of_any_state_of_disk_and_store_together_every_answer_is_right() {
    let mut world = World::new(3, 30);
    let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
    let recording = record(&FaultDisk::new(), |disk, recorder: &Recorder<Mark>| {
        let noted = Noted {
            inner: Objects::default(),
            recorder: recorder.clone(),
            calls: Arc::clone(&calls),
        };
        let store: StoreRef = Arc::new(noted);
        let with = (world.shape.schema.clone(), options());
        let index = open_with(&store, with, || on_disk(&world, disk, 1), (&[], 0));
        let index = index.expect("a disk and a store without faults");
        let write = |world: &mut World| {
            let changes = world.write();
            recorder.acknowledge(Mark::Log(world.log.len()));
            index.apply(world.prepared(&changes), Lsn::ZERO);
        };
        for _ in 0..2 {
            (0..3).for_each(|_| write(&mut world));
            index.flush_all().expect("a flush");
        }
        world.clock.advance(options().grace);
        settle(&index).expect("all that is due");
        let mut rebuild = index.rebuild(world.shape.schema.clone());
        rebuild.add(world.prepared_documents()).expect("in order");
        rebuild.documents_end(world.position());
        index.adopt(&mut rebuild).expect("it has all changes");
        write(&mut world);
        world.clock.advance(options().grace * 2);
        settle(&index).expect("all that is due");
    });
    let calls = calls.lock().expect("no panic").clone();
    let limits = Limits { exhaustive_max: 3, samples: 1, ..Limits::default() };
    let mut states = 0_u64;
    let report = enumerate(&recording, &limits, |disk, marks: &[Mark], point| {
        let is_store = |mark: &Mark| matches!(mark, Mark::Store(_));
        let before = |mark: &&Mark| matches!(mark, Mark::Store(at) if *at < point.prefix);
        let most = marks.iter().filter(|mark| is_store(mark)).count();
        let least = match point.mode {
            // The next call to the disk has begun: all before it have ended.
            Mode::KillWithin { .. } => most,
            Mode::Kill | Mode::PowerLoss(_) => marks.iter().filter(before).count(),
        };
        for done in least..=most {
            let mut stores = 0;
            let until = marks.iter().take_while(|mark| {
                stores += usize::from(is_store(mark));
                stores <= done
            });
            let log = until.filter_map(|mark| match mark {
                Mark::Log(changes) => Some(*changes),
                Mark::Store(_) => None,
            });
            let changes = log.last().unwrap_or(0);
            states += 1;
            let how = (changes, states.is_multiple_of(AFTERMATH));
            recover(&disk.fork(), &after(&calls[..done]), &world, how)
                .map_err(|wrong| format!("after {done} calls to the store: {wrong}"))?;
        }
        Ok(())
    });
    let report = report.unwrap_or_else(|failure| panic!("{failure}"));
    println!("{states} states of both; {report:?}");
    assert!(states > 100, "{states} {report:?}");
}
