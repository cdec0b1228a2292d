//! Index files: what is written is what is loaded, and nothing else is.

use std::ops::Bound;
use std::path::Path;

use base::clock::WallMs;
use base::error::{Code, Coded};
use base::io::{Disk, DiskRef, MemDisk, Open, write_all_at};
use base::words::{CollectionId, DatabaseId, DocId, Lsn};
use docstore::index::file::{self, FileInfo, Header, Kind};
use docstore::index::{Index, IndexError, Place, Table, Target, Wrong};
use sim::crash::{Limits, enumerate, record};
use sim::disk::{Calls, Crash, Effect, Fault, FaultDisk, Loss, Rot};

use super::{BOOKS, PEOPLE, entry, expiring, filled, settle};

const DIR: &str = "/";

fn header(number: u64, kind: Kind) -> Header {
    let database = DatabaseId::from_bytes([5; 16]);
    Header { database, number, kind, checkpoint: Lsn(1_000) }
}

fn write(disk: &DiskRef, number: u64, kind: Kind, table: &Table) -> FileInfo {
    file::write(disk, Path::new(DIR), header(number, kind), table).unwrap()
}

fn load(disk: &DiskRef, info: &FileInfo) -> Result<Table, IndexError> {
    file::load(disk, Path::new(DIR), info)
}

/// An index with a base of `documents` and one layer of changes of every sort above it.
fn sample(documents: u64) -> Index {
    let text = |n: u64| DocId::string(&format!("document {n}")).unwrap();
    let uuid = |n: u64| DocId::Uuid(uuid::Uuid::from_u64_pair(n, n));
    let mut index = Index::new();
    for n in 0..documents {
        index.put(BOOKS, &DocId::U64(n * 3), entry(n + 1));
        index.put(BOOKS, &text(n), expiring(n + 1, n));
        index.put(PEOPLE, &uuid(n), entry(n + 1));
        index.put(CollectionId(9), &DocId::U64(n), entry(n + 1));
    }
    settle(&mut index, Target::Base);
    for n in 0..documents / 4 {
        index.put(BOOKS, &DocId::U64(n * 2), expiring(10_000 + n, 7));
        index.put(BOOKS, &text(n * 2), entry(20_000 + n));
        index.delete(BOOKS, &text(n * 2 + 1), Lsn(30_000 + n));
        index.put(PEOPLE, &uuid(n + documents / 2), expiring(40_000 + n, n));
        index.delete(PEOPLE, &uuid(n), Lsn(50_000 + n));
    }
    index.drop_collection(CollectionId(9));
    index
}

/// The one layer of the index, packed.
fn run_of(index: &mut Index) -> Table {
    let layer = index.freeze().unwrap();
    let table = Index::pack(&layer).run();
    assert_eq!(table.table().len(), layer.len());
    table.into_table()
}

/// All that is read of an index.
fn content(index: &Index) -> String {
    let mut all = String::new();
    for collection in index.collections() {
        let documents: Vec<_> =
            index.range(collection, Bound::Unbounded, Bound::Unbounded).collect();
        let (counts, live) = (index.counts(collection), index.live_at(collection, WallMs(7)));
        all += &format!("{collection} {counts:?} {live} {documents:?}\n");
    }
    all
}

#[test]
fn an_index_comes_back_from_its_base_and_its_runs() {
    for documents in [8, 4_000] {
        let disk = MemDisk::shared();
        let mut index = sample(documents);
        let base = write(&disk, 1, Kind::Base, index.base());
        let run = run_of(&mut index);
        let run = write(&disk, 2, Kind::Run, &run);
        index.put(BOOKS, &DocId::U64(1), entry(60_000));
        index.delete(BOOKS, &DocId::U64(3), Lsn(60_001));
        let last = run_of(&mut index);
        let last = write(&disk, 3, Kind::Run, &last);
        assert_eq!(last.entries, 2);
        let loaded = |info| load(&disk, info).unwrap();
        let again = Index::of(loaded(&base), [loaded(&run), loaded(&last)]);
        assert!(content(&again) == content(&index), "{documents} documents");
        assert_eq!(disk.stat(&file::path(Path::new(DIR), 1)).unwrap().unwrap().len, base.bytes);
        // What was loaded merges as what was not.
        let (mut again, mut index) = (again, index);
        settle(&mut again, Target::Base);
        settle(&mut index, Target::Base);
        assert!(content(&again) == content(&index), "{documents} documents");
    }
}

#[test]
fn a_run_above_another_base_than_its_own_does_no_more_than_say_less() {
    let disk = MemDisk::shared();
    let run = run_of(&mut sample(40));
    let run = write(&disk, 2, Kind::Run, &run);
    // It covers documents that are not there, so that the sums over layers are too low.
    let mut index = Index::of(Table::new(), [load(&disk, &run).unwrap()]);
    assert_eq!(index.counts(PEOPLE).live, 0);
    assert_eq!(index.live_at(BOOKS, WallMs(100)), 0);
    settle(&mut index, Target::Base);
    // A base covers nothing, whatever it was made of.
    assert_eq!(index.counts(PEOPLE).live, 10);
    assert_eq!(index.range(PEOPLE, Bound::Unbounded, Bound::Unbounded).count(), 10);
    let base = write(&disk, 3, Kind::Base, index.base());
    assert_eq!(load(&disk, &base).unwrap().len(), index.base().len());
}

#[test]
fn an_index_of_nothing_is_a_file_too() {
    let disk = MemDisk::shared();
    let info = write(&disk, 1, Kind::Base, &Table::new());
    assert_eq!(info.entries, 0);
    assert!(load(&disk, &info).unwrap().is_empty());
}

#[test]
fn a_file_that_was_left_behind_is_written_over() {
    let disk = MemDisk::shared();
    write(&disk, 1, Kind::Base, filled(0..5_000).base());
    let mut index = filled(0..3);
    settle(&mut index, Target::Base);
    let info = write(&disk, 1, Kind::Base, index.base());
    assert_eq!(load(&disk, &info).unwrap().len(), 3);
}

#[test]
#[should_panic(expected = "a base holds live documents alone")]
fn a_layer_is_not_written_as_a_base() {
    let run = run_of(&mut sample(8));
    write(&MemDisk::shared(), 1, Kind::Base, &run);
}

/// A disk with a small run, and what describes it.
fn small() -> (FaultDisk, FileInfo) {
    let disk = FaultDisk::new();
    let run = run_of(&mut sample(8));
    let info = write(&disk.shared(), 1, Kind::Run, &run);
    (disk, info)
}

#[test]
fn every_flipped_bit_is_found_and_named() {
    let (disk, info) = small();
    let path = file::path(Path::new(DIR), 1);
    assert!(info.bytes > 500, "there is something to flip");
    let mut places = std::collections::BTreeSet::new();
    for offset in 0..info.bytes {
        for bit in 0..8 {
            let bad = disk.fork();
            bad.rot(&Rot::Flip { path: path.clone(), offset, mask: 1 << bit }).unwrap();
            let Err(IndexError::Corrupt(damage)) = load(&bad.shared(), &info) else {
                panic!("bit {bit} of byte {offset} was not noticed");
            };
            assert_eq!(damage.path, path);
            places.insert(format!("{}", damage.place));
            // Without a manifest it is noticed all the same.
            let report = file::inspect(&bad.shared(), &path).unwrap();
            assert!(report.damage.is_some(), "bit {bit} of byte {offset}");
        }
    }
    let places: Vec<&str> = places.iter().map(String::as_str).collect();
    assert_eq!(places, ["block-0", "block-1", "block-2", "header", "trailer"]);
}

#[test]
fn every_shorter_or_longer_file_is_refused() {
    let (disk, info) = small();
    let path = file::path(Path::new(DIR), 1);
    let whole = disk.peek(&path).unwrap();
    for len in (0..info.bytes).chain([info.bytes + 1, 2 * info.bytes]) {
        let other = MemDisk::shared();
        let file = other.open(&path, Open::CreateNew).unwrap();
        write_all_at(&*file, &whole, 0).unwrap();
        file.set_len(len).unwrap();
        let error = load(&other, &info).unwrap_err();
        assert!(matches!(error, IndexError::Corrupt(_)), "{len}: {error}");
        assert!(file::inspect(&other, &path).unwrap().damage.is_some(), "{len}");
    }
}

#[test]
fn a_file_that_is_not_the_one_of_the_manifest_is_refused() {
    let disk = FaultDisk::new().shared();
    let mut index = sample(8);
    let base = write(&disk, 1, Kind::Base, index.base());
    let run = run_of(&mut index);
    let here = write(&disk, 2, Kind::Run, &run);
    let ours = here.header;
    let wrong = |info: FileInfo| match load(&disk, &info).unwrap_err() {
        IndexError::Corrupt(damage) => {
            assert_eq!(damage.place, Place::Header);
            damage.wrong
        }
        error @ IndexError::Io { .. } => panic!("{error}"),
    };
    let theirs = DatabaseId::from_bytes([6; 16]);
    let header = Header { database: theirs, ..ours };
    assert_eq!(wrong(FileInfo { header, ..here }), Wrong::Database(ours.database));
    let header = Header { checkpoint: Lsn(999), ..ours };
    assert_eq!(wrong(FileInfo { header, ..here }), Wrong::Other);
    assert_eq!(wrong(FileInfo { checksum: !here.checksum, ..here }), Wrong::Other);
    assert_eq!(wrong(FileInfo { entries: 1, ..here }), Wrong::Other);
    // Another file under its name.
    disk.rename(&file::path(Path::new(DIR), 1), &file::path(Path::new(DIR), 2)).unwrap();
    assert_eq!(wrong(here), Wrong::Other);
    let missing = load(&disk, &base).unwrap_err();
    assert_eq!(missing.code(), Code::FileOpen);
}

#[test]
fn a_block_of_another_file_or_another_place_does_not_verify() {
    // Two files that differ in their numbers alone, and blocks of one collection in both.
    let (disk, mut index) = (MemDisk::shared(), filled(0..6_000));
    settle(&mut index, Target::Base);
    let infos = [1, 2].map(|number| write(&disk, number, Kind::Base, index.base()));
    let path = file::path(Path::new(DIR), 1);
    let bytes = |number| {
        let file = disk.open(&file::path(Path::new(DIR), number), Open::Read).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        base::io::read_exact_at(&*file, &mut bytes, 0).unwrap();
        bytes
    };
    let (one, two) = (bytes(1), bytes(2));
    let len = u32::from_le_bytes(*one[68..].first_chunk().unwrap()) as usize;
    let second = 64 + len..64 + 2 * len;
    let moved = [&one[..64], &one[second.clone()], &one[second.start..]].concat();
    let foreign = [&one[..64], &two[64..64 + len], &one[second.start..]].concat();
    for bad in [moved, foreign] {
        assert_eq!(bad.len(), one.len());
        write_all_at(&*disk.open(&path, Open::Write).unwrap(), &bad, 0).unwrap();
        let Err(IndexError::Corrupt(damage)) = load(&disk, &infos[0]) else {
            panic!("it was taken");
        };
        assert_eq!(damage.place, Place::Block(0));
    }
}

#[test]
fn a_run_that_a_manifest_could_name_is_whole_after_every_crash() {
    let run = run_of(&mut sample(8));
    let disk = FaultDisk::new();
    let recording = record(&disk, |disk, recorder| {
        let info = write(&disk.shared(), 1, Kind::Run, &run);
        disk.sync_dir(Path::new(DIR)).unwrap();
        recorder.acknowledge(info);
    });
    let mut named = 0;
    let mut torn = 0;
    let report = enumerate(&recording, &Limits::default(), |disk, infos, _| {
        match (infos, load(&disk.shared(), &info_of(&run))) {
            ([info], Ok(table)) if table.len() == info.entries => named += 1,
            ([_], other) => return Err(format!("the run is lost: {other:?}")),
            ([], Err(IndexError::Corrupt(_))) => torn += 1,
            (_, Ok(_) | Err(_)) => {}
        }
        Ok(())
    });
    let report = report.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(named >= 2 && torn > 10, "{named} named, {torn} torn: {report}");
}

/// What a table's file is described by: writing is deterministic.
fn info_of(run: &Table) -> FileInfo {
    write(&MemDisk::shared(), 1, Kind::Run, run)
}

#[test]
fn a_failed_call_is_reported_and_leaves_no_file_behind() {
    let run = run_of(&mut sample(8));
    let clean = FaultDisk::new();
    write(&clean.shared(), 1, Kind::Run, &run);
    let path = file::path(Path::new(DIR), 1);
    for nth in 1..=clean.calls() {
        for effect in [Effect::Eio, Effect::Enospc] {
            let disk = FaultDisk::new();
            disk.inject(Fault::once(Calls::Any, nth, effect));
            let error = file::write(&disk.shared(), Path::new(DIR), header(1, Kind::Run), &run)
                .expect_err("every call matters");
            assert!(matches!(error, IndexError::Io { .. }), "{error}");
            assert_eq!(disk.peek(&path), None, "call {nth}: {error}");
            // Trying again is safe.
            let info = write(&disk.shared(), 1, Kind::Run, &run);
            assert_eq!(load(&disk.shared(), &info).unwrap().len(), run.len());
        }
    }
    // Nothing of a failed sync is promised: what a crash leaves then is not taken for the run.
    let disk = FaultDisk::new();
    disk.inject(Fault::once(Calls::Syncs, 1, Effect::Eio));
    let error = file::write(&disk.shared(), Path::new(DIR), header(1, Kind::Run), &run);
    assert_eq!(error.unwrap_err().code(), Code::FileSync);
    let after = disk.crash(&Crash::PowerLoss(Loss::Everything));
    assert!(load(&after.shared(), &info_of(&run)).is_err());
}

#[test]
fn an_inspection_says_what_is_in_a_file() {
    let disk = MemDisk::shared();
    let mut index = sample(8);
    let run = run_of(&mut index);
    let info = write(&disk, 1, Kind::Run, &run);
    let report = file::inspect(&disk, &file::path(Path::new(DIR), 1)).unwrap();
    assert_eq!(report.header, Some(info.header));
    assert_eq!(report.info, Some(info));
    assert_eq!((report.bytes, report.damage), (info.bytes, None));
    let of = |n: usize| {
        let c = &report.collections[n];
        (c.collection, c.is_dropped, c.blocks, c.puts, c.tombstones, c.covered)
    };
    assert_eq!(of(0), (BOOKS, false, 2, 4, 2, 5));
    assert_eq!(of(1), (PEOPLE, false, 1, 2, 2, 4));
    assert_eq!(of(2), (CollectionId(9), true, 0, 0, 0, 0));
    let ids = report.collections[0].ids.clone().unwrap();
    assert_eq!(ids, (DocId::U64(0), DocId::string("document 3").unwrap()));
}
