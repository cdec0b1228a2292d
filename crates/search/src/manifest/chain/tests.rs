//! Tests of one and two writers on a store that does as it is told. Stores that fail are in `tests/it/manifests.rs`.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use base::io::{DiskRef, MemDisk};
use base::rng::Rng;
use base::words::{CollectionId, DatabaseId, Lsn};

use super::*;
use crate::manifest::{Dead, Segment, SegmentFile, Sweep, Swept};
use crate::storage::{LocalStore, Ulid};

const HOUR: Duration = Duration::from_secs(3600);

fn place() -> Place {
    Place { database: DatabaseId::from_bytes([0xDB; 16]), collection: CollectionId(1) }
}

fn store() -> (StoreRef, DiskRef) {
    let disk = MemDisk::shared();
    (Arc::new(LocalStore::open(disk.clone(), Path::new("/store")).unwrap()), disk)
}

fn writer(n: u8) -> WriterId {
    WriterId([n; 16])
}

fn contents(applied: u64) -> Contents {
    Contents { applied: Lsn(applied), schema: b"s"[..].into(), segments: [].into() }
}

fn open(store: &StoreRef, n: u8) -> (Chain, Newest) {
    Chain::open(Arc::clone(store), place(), writer(n), None).unwrap()
}

fn applied(newest: &Newest) -> Option<u64> {
    match newest {
        Newest::Manifest(manifest) => Some(manifest.contents.applied.0),
        Newest::Nothing | Newest::Damaged(_) => None,
    }
}

fn is_fenced<T: std::fmt::Debug>(result: Result<T, ManifestError>, by: u8) -> bool {
    matches!(result, Err(ManifestError::Fenced { by: found, .. }) if found == writer(by))
}

#[test]
fn what_was_published_last_is_found_again() {
    let (store, _) = store();
    let (mut chain, newest) = open(&store, 1);
    assert_eq!(applied(&newest), None);
    chain.claim(WallMs(1)).unwrap();
    assert!(chain.newest().is_none(), "there was nothing to claim");
    for n in 1..=20 {
        assert_eq!(chain.publish(contents(n), WallMs(n)).unwrap().number, n);
    }
    let (_, newest) = open(&store, 2);
    assert_eq!(applied(&newest), Some(20));
    assert_eq!(newest_after(&*store, &place(), 1, 7).unwrap().unwrap().number, 20);
    assert_eq!(newest_after(&*store, &place(), 1, 20).unwrap(), None);
}

#[test]
fn of_two_writers_the_one_that_publishes_next_goes_on_and_the_other_is_fenced() {
    let (store, _) = store();
    let (mut first, _) = open(&store, 1);
    first.publish(contents(1), WallMs(1)).unwrap();
    let (mut second, newest) = open(&store, 2);
    assert_eq!(applied(&newest), Some(1));
    second.claim(WallMs(2)).unwrap();
    assert!(is_fenced(first.publish(contents(2), WallMs(3)), 2));
    second.publish(contents(3), WallMs(4)).unwrap();
    assert!(is_fenced(first.publish(contents(4), WallMs(5)), 2), "fenced for good");
    assert!(is_fenced(first.sweep(&Sweep::default()), 2));
}

#[test]
fn a_copy_of_the_data_directory_is_refused() {
    let (store, disk) = store();
    let record = |name: &str| Record::open(&disk, Path::new(name)).unwrap();
    let open =
        |n: u8, name: &str| Chain::open(Arc::clone(&store), place(), writer(n), Some(record(name)));
    let (mut original, _) = open(1, "/original").unwrap();
    for n in 1..=3 {
        original.publish(contents(n), WallMs(n)).unwrap();
    }
    // The copy is taken now; then the original goes on.
    for slot in 0..3 {
        let from =
            disk.open(Path::new(&format!("/original.{slot}")), base::io::Open::Read).unwrap();
        let mut bytes = vec![0; usize::try_from(from.len().unwrap()).unwrap()];
        base::io::read_exact_at(&*from, &mut bytes, 0).unwrap();
        let to = Path::new("/copy").with_extension(slot.to_string());
        let to = disk.open(&to, base::io::Open::CreateNew).unwrap();
        base::io::write_all_at(&*to, &bytes, 0).unwrap();
    }
    for n in 4..=5 {
        original.publish(contents(n), WallMs(n)).unwrap();
    }
    assert!(is_fenced(open(9, "/copy"), 1));
    assert!(is_fenced(open(9, "/new"), 1), "a directory that never published");
    drop(original);
    let (mut again, newest) = open(2, "/original").unwrap();
    assert_eq!(applied(&newest), Some(5));
    again.claim(WallMs(6)).unwrap();
}

#[test]
fn a_record_whose_making_was_interrupted_is_made_and_one_that_is_lost_is_refused() {
    let (store, disk) = store();
    let path = Path::new("/record");
    let open = |n: u8| {
        let record = Record::open(&disk, path).unwrap();
        Chain::open(Arc::clone(&store), place(), writer(n), Some(record))
    };
    // Killed after the first file was made.
    disk.open(&path.with_extension("0"), base::io::Open::CreateNew).unwrap();
    let (mut chain, _) = open(1).unwrap();
    chain.publish(contents(1), WallMs(1)).unwrap();
    drop(chain);
    assert_eq!(applied(&open(2).unwrap().1), Some(1));
    for slot in 0..3 {
        let file = disk.open(&path.with_extension(slot.to_string()), base::io::Open::Write);
        base::io::write_all_at(&*file.unwrap(), b"nonsense", 0).unwrap();
    }
    assert!(is_fenced(open(3), 1), "nobody knows any more that it was us");
}

#[test]
fn a_record_that_missed_the_last_number_still_fits() {
    let (store, disk) = store();
    let path = Path::new("/record");
    let open = |n: u8| {
        let record = Record::open(&disk, path).unwrap();
        Chain::open(Arc::clone(&store), place(), writer(n), Some(record))
    };
    for round in 0..3 {
        // Killed between the store's answer and the record: published by a chain without one.
        let (chain, _) = open(10 + round).unwrap();
        drop(chain);
        let (mut chain, _) = self::open(&store, 10 + round);
        chain.publish(contents(u64::from(round)), WallMs(1)).unwrap();
    }
    assert_eq!(applied(&open(20).unwrap().1), Some(2));
}

#[test]
fn a_damaged_manifest_is_reported_and_the_next_one_comes_after_it() {
    let (store, _) = store();
    let name = place().manifest(1, 7).unwrap();
    store.put_new(&name, &b"nonsense".to_vec()).unwrap();
    let (mut chain, newest) = open(&store, 1);
    assert!(matches!(newest, Newest::Damaged(ManifestError::Damaged { .. })), "{newest:?}");
    assert_eq!(chain.publish(contents(1), WallMs(1)).unwrap().number, 8);
    assert_eq!(applied(&open(&store, 2).1), Some(1));
}

/// A segment of one file, with dead rows or none.
fn segment(id: Ulid, lsn: u64, dead: Option<Ulid>) -> Segment {
    let file =
        SegmentFile { name: "a.idx".to_owned(), len: 1, identity: [0; 16], opening: Vec::new() };
    let dead = dead.map(|id| Dead { id, len: 1, rows: 1 });
    Segment { id, first: Lsn(lsn), last: Lsn(lsn), rows: 2, dead, files: vec![file] }
}

fn put_segment(store: &StoreRef, segment: &Segment) {
    let name = place().file(segment.id, "a.idx").unwrap();
    // Named again by a later manifest, perhaps.
    _ = store.put_new(&name, &b"x".to_vec());
    if let Some(dead) = segment.dead {
        store.put_new(&place().dead(segment.id, dead.id).unwrap(), &b"x".to_vec()).unwrap();
    }
}

fn swept(manifests: u64, objects: u64) -> Swept {
    Swept { manifests, objects, bytes: objects }
}

#[test]
fn a_sweep_leaves_what_a_manifest_within_the_grace_names_and_takes_the_rest() {
    let (store, _) = store();
    let mut rng = Rng::new(1);
    let hour = u64::try_from(HOUR.as_millis()).unwrap();
    let at = |hours: u64| WallMs(hours * hour);
    let mut ulid = |hours| Ulid::new(at(hours), &mut rng);
    let (old, dead_1, dead_2, merged, orphan, young) =
        (ulid(1), ulid(1), ulid(2), ulid(2), ulid(1), ulid(10));
    let (mut chain, _) = open(&store, 1);
    let sweep = |hours, in_work: &[Ulid]| Sweep {
        now: at(hours),
        grace: HOUR,
        in_work: in_work.iter().copied().collect::<HashSet<_>>(),
    };
    for id in [orphan, young] {
        put_segment(&store, &segment(id, 1, None));
    }
    assert_eq!(chain.sweep(&sweep(9, &[])).unwrap(), swept(0, 0), "nothing published yet");
    for (n, segment) in [
        (1, segment(old, 1, Some(dead_1))),
        (2, segment(old, 1, Some(dead_2))),
        (3, segment(merged, 1, None)),
    ] {
        put_segment(&store, &segment);
        let contents = Contents { segments: [segment].into(), ..contents(n) };
        chain.publish(contents, at(10 + n)).unwrap();
    }
    // At 13:59 the second manifest ended 59 minutes ago, the first an hour and 59.
    let minute = 60_000;
    let just_before = Sweep { now: WallMs(at(14).0 - minute), ..sweep(0, &[orphan, young]) };
    assert_eq!(chain.sweep(&just_before).unwrap(), swept(1, 1), "the first and its dead rows");
    assert_eq!(chain.sweep(&just_before).unwrap(), swept(0, 0));
    assert_eq!(chain.sweep(&sweep(14, &[orphan, young])).unwrap(), swept(1, 2));
    assert_eq!(chain.sweep(&sweep(14, &[young])).unwrap(), swept(0, 1), "the orphan");
    assert_eq!(chain.sweep(&sweep(10, &[])).unwrap(), swept(0, 0), "the clock was set back");
    let slept = newest_after(&*store, &place(), 1, 1).unwrap().unwrap();
    assert_eq!(slept.number, 3, "a reader that slept finds its way");
    let left = list_all(&*store, &place().segments().unwrap(), 2).unwrap();
    let left: Vec<Name> = left.into_iter().map(|listed| listed.name).collect();
    let mut expect = [merged, young].map(|id| place().file(id, "a.idx").unwrap());
    expect.sort_unstable();
    assert_eq!(left, expect);
    assert_eq!(crate::manifest::remove_all(&*store, &place()).unwrap(), 3);
    assert_eq!(applied(&open(&store, 2).1), None);
}
