//! The store in a directory, crashed at every moment of every short sequence of changes, and on a disk that fails.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::BTreeMap;
use std::path::Path;

use search::storage::{LocalStore, Name, Store, StoreErrorKind, list_all};
use sim::crash::{Limits, Recorder, enumerate, record};
use sim::disk::{Calls, Effect, Fault, FaultDisk};

use crate::stores::name;

const ROOT: &str = "/store";

/// A change of the store.
#[derive(Debug, Clone, Copy)]
enum Change {
    Put(&'static str, u8, usize),
    Delete(&'static [&'static str]),
}

/// Larger than a sector and a page, and two contents for one name.
const CHANGES: [Change; 5] = [
    Change::Put("f/a", 1, 5000),
    Change::Put("f/a", 2, 10),
    Change::Put("f/g/b", 3, 600),
    Change::Delete(&["f/a"]),
    Change::Delete(&["f/a", "f/g/b"]),
];

/// What is in a store: a byte and a length under each name.
type Model = BTreeMap<&'static str, (u8, usize)>;

fn apply(model: &mut Model, change: Change) {
    match change {
        Change::Put(name, byte, len) => _ = model.entry(name).or_insert((byte, len)),
        Change::Delete(names) => model.retain(|name, _| !names.contains(name)),
    }
}

fn change(store: &LocalStore, change: Change) -> Result<(), StoreErrorKind> {
    let done = match change {
        Change::Put(object, byte, len) => store.put_new(&name(object), &vec![byte; len]),
        Change::Delete(names) => {
            let names: Vec<Name> = names.iter().map(|object| name(object)).collect();
            store.delete(&names)
        }
    };
    done.map_err(|error| error.kind())
}

fn open(disk: &FaultDisk) -> LocalStore {
    LocalStore::open(disk.shared(), Path::new(ROOT)).unwrap()
}

fn sequences() -> impl Iterator<Item = [Change; 3]> {
    CHANGES.into_iter().flat_map(|first| {
        CHANGES
            .into_iter()
            .flat_map(move |second| CHANGES.map(|third| [first, second, third]).into_iter())
    })
}

/// What the store of a disk has, every object whole.
fn found(store: &LocalStore) -> Result<BTreeMap<String, (u8, usize)>, String> {
    let mut found = BTreeMap::new();
    for listed in list_all(store, &name("f"), 2).map_err(|error| error.to_string())? {
        let content = store.get(&listed.name).map_err(|error| error.to_string())?;
        let content = content.ok_or_else(|| format!("listed and gone: {}", listed.name))?;
        let Some(first) = content.first().filter(|first| content.iter().all(|b| b == *first))
        else {
            return Err(format!("a torn object: {} len={}", listed.name, content.len()));
        };
        found.insert(listed.name.to_string(), (*first, content.len()));
    }
    Ok(found)
}

fn as_found(model: &Model) -> BTreeMap<String, (u8, usize)> {
    model.iter().map(|(name, content)| ((*name).to_owned(), *content)).collect()
}

/// Deleting several names is not one step: each of them may be gone or not.
fn is_between(
    found: &BTreeMap<String, (u8, usize)>,
    before: &BTreeMap<String, (u8, usize)>,
    after: &BTreeMap<String, (u8, usize)>,
) -> bool {
    let names = before.keys().chain(after.keys()).chain(found.keys());
    names.into_iter().all(|name| {
        let here = found.get(name);
        here == before.get(name) || here == after.get(name)
    })
}

#[test]
fn a_crash_leaves_whole_objects_of_what_was_answered_and_perhaps_of_the_last_change() {
    let mut states = 0;
    for changes in sequences() {
        let recording = record(&FaultDisk::new(), |disk, recorder: &Recorder<()>| {
            let store = open(disk);
            for next in changes {
                match change(&store, next) {
                    Ok(()) | Err(StoreErrorKind::AlreadyExists) => recorder.acknowledge(()),
                    Err(other) => panic!("{other:?}"),
                }
            }
        });
        let limits = Limits { exhaustive_max: 128, samples: 32, ..Limits::default() };
        let report = enumerate(&recording, &limits, |disk, answered: &[()], _| {
            let mut model = Model::new();
            changes[..answered.len()].iter().for_each(|change| apply(&mut model, *change));
            let before = as_found(&model);
            if let Some(next) = changes.get(answered.len()) {
                apply(&mut model, *next);
            }
            for _ in 0..2 {
                let store = open(disk);
                let found = found(&store)?;
                if !is_between(&found, &before, &as_found(&model)) {
                    return Err(format!(
                        "{changes:?}: found {found:?}, not {before:?} or {model:?}"
                    ));
                }
                for object in found.keys() {
                    let again = store.put_new(&name(object), &vec![9; 9]);
                    let kind = again.map_err(|error| error.kind());
                    if kind != Err(StoreErrorKind::AlreadyExists) {
                        return Err(format!("{object} was created a second time: {kind:?}"));
                    }
                }
            }
            let leftovers = disk.shared().list(&Path::new(ROOT).join(".parts"));
            match leftovers {
                Ok(leftovers) if leftovers.is_empty() => Ok(()),
                other => Err(format!("left over: {other:?}")),
            }
        });
        states += report.unwrap_or_else(|failure| panic!("{failure}")).distinct;
    }
    assert!(states > 5000, "only {states} states");
}

#[test]
fn whatever_call_of_the_disk_fails_nothing_is_half_there_and_the_next_open_works() {
    let changes = [CHANGES[0], CHANGES[2], CHANGES[4], CHANGES[1]];
    for effect in [Effect::Eio, Effect::Enospc, Effect::Short, Effect::Eintr] {
        for nth in 1..80 {
            let disk = FaultDisk::new();
            let store = open(&disk);
            disk.inject(Fault::once(Calls::Any, nth, effect));
            let (mut before, mut after) = (Model::new(), Model::new());
            for next in changes {
                apply(&mut after, next);
                match change(&store, next) {
                    Ok(()) | Err(StoreErrorKind::AlreadyExists) => before.clone_from(&after),
                    Err(_) => break,
                }
            }
            disk.clear_faults();
            drop(store);
            let found = found(&open(&disk)).unwrap();
            let fits = is_between(&found, &as_found(&before), &as_found(&after));
            assert!(fits, "{effect:?} at {nth}: {found:?} {before:?} {after:?}");
        }
    }
}

#[test]
fn after_a_failed_sync_of_names_nothing_is_changed_until_the_store_is_opened_again() {
    let disk = FaultDisk::new();
    let store = open(&disk);
    change(&store, CHANGES[2]).unwrap();
    // The file's sync goes well, that of its directory does not.
    disk.inject(Fault::once(Calls::Syncs, 2, Effect::Eio));
    assert_eq!(change(&store, CHANGES[0]), Err(StoreErrorKind::DurabilityUnknown));
    assert_eq!(change(&store, CHANGES[1]), Err(StoreErrorKind::AlreadyExists));
    for next in [Change::Put("f/c", 1, 1), CHANGES[3]] {
        assert_eq!(change(&store, next), Err(StoreErrorKind::DurabilityUnknown));
    }
    assert_eq!(found(&store).unwrap().len(), 2, "reading goes on");
    drop(store);
    change(&open(&disk), Change::Put("f/c", 1, 1)).unwrap();
}
