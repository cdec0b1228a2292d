//! Damage at rest in every file of a database: healed where there is another copy, reported where
//! there is none, and never answered with anything older or else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::document::Document;
use base::error::{Code, Coded as _};
use base::io::Disk as _;
use base::memory::Budget;
use base::words::DocId;
use docstore::data::{Geometry, Layout, Parity};
use docstore::{
    DEFAULT_COLLECTION, Database, OpenReport, Options, StoreError, Write, default_name,
    inspect_manifest,
};
use sim::VirtualClock;
use sim::disk::{Calls, Crash, Effect, Fault, FaultDisk, Op, Rot};

use crate::world::{DIR, clock, document, env, id, small};

/// Bytes of a sector, and of a block here.
const SECTOR: usize = 512;
const LAYOUT: Layout = Layout { geometry: Geometry::Tiny, parity: Parity::On };

pub(crate) type Documents = BTreeMap<DocId, Document>;

pub(crate) fn keep_log() -> Options {
    Options { trim_after_checkpoint: false, ..small() }
}

pub(crate) fn open(
    disk: &FaultDisk,
    clock: &VirtualClock,
    options: Options,
) -> Result<(Database, OpenReport), StoreError> {
    let budget = Budget::new("test", 1 << 30);
    Database::open(&env(&disk.shared(), clock), Path::new(DIR), options, &budget)
}

pub(crate) fn opened(disk: &FaultDisk, clock: &VirtualClock, options: Options) -> Database {
    open(disk, clock, options).expect("damage of documents does not stop a database").0
}

/// A database that was closed: documents, all of which were written twice, in data files with
/// complete stripes and a tail. With a log that was trimmed, it is behind all but the newest.
pub(crate) fn closed(
    clock: &VirtualClock,
    options: Options,
    trimmed: bool,
) -> (FaultDisk, Documents) {
    let disk = FaultDisk::new();
    let (store, budget) = (env(&disk.shared(), clock), Budget::new("test", 1 << 30));
    let db = Database::create(&store, Path::new(DIR), &default_name(), options, &budget)
        .expect("no faults");
    let mut documents = Documents::new();
    for round in [1000, 2000] {
        for n in 0..40 {
            let written = document(n + round);
            db.write(Write::upsert(DEFAULT_COLLECTION, id(n), written.clone())).expect("no faults");
            documents.insert(id(n), written);
        }
        db.checkpoint().expect("no faults");
    }
    for filler in 0..if trimmed { 12 } else { 0 } {
        for n in 100..130 {
            let written = document(n + filler);
            db.write(Write::upsert(DEFAULT_COLLECTION, id(n), written.clone())).expect("no faults");
            documents.insert(id(n), written);
        }
        db.checkpoint().expect("no faults");
    }
    db.close().expect("no faults");
    (disk, documents)
}

/// Files of a database whose names end so.
pub(crate) fn files(disk: &FaultDisk, dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let names = disk.list(dir).expect("no faults").into_iter().map(|entry| entry.name);
    let mut paths: Vec<PathBuf> =
        names.filter(|name| name.ends_with(suffix)).map(|name| dir.join(name)).collect();
    paths.sort();
    paths
}

pub(crate) fn data_files(disk: &FaultDisk) -> Vec<PathBuf> {
    files(disk, Path::new(DIR), ".data")
}

pub(crate) fn damage(disk: &FaultDisk, path: &Path, sector: usize) {
    let len = disk.peek(path).expect("no faults").len();
    let offset = (sector * SECTOR + sector * 37 % SECTOR).min(len - 1) as u64;
    disk.rot(&Rot::Flip { path: path.to_path_buf(), offset, mask: 0x10 }).expect("no faults");
}

/// Sectors of a data file that hold headers and complete stripes: what parity covers.
fn protected(bytes: &[u8]) -> usize {
    let data = LAYOUT.data_len(bytes.len() as u64);
    let complete = LAYOUT.complete(data);
    let stripes = complete / LAYOUT.geometry.stripe_bytes();
    let end = LAYOUT.header_bytes() + stripes * LAYOUT.stripe_file_bytes();
    usize::try_from(end).expect("no faults") / SECTOR
}

pub(crate) fn all_are_read(db: &Database, documents: &Documents) {
    for (id, document) in documents {
        let stored = db.get(DEFAULT_COLLECTION, id).expect("no faults").expect("it was written");
        assert_eq!(stored.document, *document, "{id:?}");
    }
    assert_eq!(db.quarantine(), []);
}

#[test]
fn any_one_damaged_sector_of_a_data_file_is_healed_by_reads_and_by_command() {
    let clock = clock();
    let (disk, documents) = closed(&clock, small(), false);
    let mut healed = 0;
    for path in data_files(&disk) {
        let original = disk.peek(&path).expect("no faults");
        for sector in 0..original.len() / SECTOR {
            let is_protected = sector < protected(&original);
            for read_first in [true, false] {
                let disk = disk.crash(&Crash::Kill);
                damage(&disk, &path, sector);
                let db = opened(&disk, &clock, small());
                if read_first {
                    all_are_read(&db, &documents);
                }
                let report = db.heal_all().expect("no faults");
                assert_eq!(report.unrecoverable, [], "sector {sector}");
                if is_protected {
                    assert!(
                        disk.peek(&path).expect("no faults") == original,
                        "sector {sector} {read_first}"
                    );
                    healed += report.blocks_healed;
                }
                all_are_read(&db, &documents);
                db.write(Write::upsert(DEFAULT_COLLECTION, id(999), document(1)))
                    .expect("no faults");
                db.close().expect("no faults");
                drop(db);
                let db = opened(&disk, &clock, small());
                all_are_read(&db, &documents);
                let again = db.heal_all().expect("no faults");
                assert_eq!((again.blocks_healed, again.unrecoverable), (0, vec![]));
            }
        }
    }
    assert!(healed > 10, "{healed}");
}

#[test]
fn two_damaged_blocks_of_a_stripe_are_healed_from_the_log() {
    let clock = clock();
    let (disk, documents) = closed(&clock, keep_log(), false);
    let mut healed = 0;
    for path in data_files(&disk) {
        let sectors = protected(&disk.peek(&path).expect("no faults"));
        for sector in 0..sectors - 1 {
            let disk = disk.crash(&Crash::Kill);
            damage(&disk, &path, sector);
            damage(&disk, &path, sector + 1);
            let db = opened(&disk, &clock, keep_log());
            let report = db.heal_all().expect("no faults");
            assert_eq!(report.unrecoverable, [], "sector {sector}");
            healed += report.healed;
            all_are_read(&db, &documents);
            db.close().expect("no faults");
            drop(db);
            all_are_read(&opened(&disk, &clock, keep_log()), &documents);
        }
    }
    assert!(healed > 10, "{healed}");
}

/// Reads everything: documents are as they were written or refused with `DocCorrupt`. Answers
/// those that were refused.
fn lost_among(db: &Database, documents: &Documents) -> BTreeSet<DocId> {
    let mut lost = BTreeSet::new();
    for (id, document) in documents {
        match db.get(DEFAULT_COLLECTION, id) {
            Ok(stored) => assert_eq!(stored.expect("it was written").document, *document),
            Err(error) => {
                assert_eq!(error.code(), Code::DocCorrupt, "{error}");
                lost.insert(id.clone());
            }
        }
    }
    lost
}

fn quarantined(db: &Database) -> BTreeSet<DocId> {
    db.quarantine().into_iter().map(|(_, id, _)| id).collect()
}

#[test]
fn what_nothing_can_heal_is_quarantined_until_an_older_version_is_accepted() {
    let clock = clock();
    let (disk, documents) = closed(&clock, small(), true);
    let mut losses = 0;
    for path in data_files(&disk) {
        let sectors = protected(&disk.peek(&path).expect("no faults"));
        for (sector, by_command) in (0..sectors - 1).flat_map(|n| [(n, false), (n, true)]) {
            let disk = disk.crash(&Crash::Kill);
            damage(&disk, &path, sector);
            damage(&disk, &path, sector + 1);
            let db = opened(&disk, &clock, small());
            if by_command {
                let report = db.heal_all().expect("no faults");
                let reported = report.unrecoverable.iter().map(|(_, id, _)| id.clone());
                assert_eq!(reported.collect::<BTreeSet<_>>(), quarantined(&db));
            }
            let lost = lost_among(&db, &documents);
            assert_eq!(quarantined(&db), lost);
            losses += lost.len();
            db.write(Write::upsert(DEFAULT_COLLECTION, id(999), document(1))).expect("no faults");
            db.close().expect("no faults");
            drop(db);
            let db = opened(&disk, &clock, small());
            assert_eq!(quarantined(&db), lost, "it survives reopening");
            assert_eq!(lost_among(&db, &documents), lost);
            accept_all(&db, &lost);
            db.close().expect("no faults");
            drop(db);
            let db = opened(&disk, &clock, small());
            assert_eq!(quarantined(&db), BTreeSet::new());
            assert_eq!(
                db.count(DEFAULT_COLLECTION).expect("no faults"),
                documents.len() as u64 + 1
            );
        }
    }
    assert!(losses > 10, "{losses}");
}

/// Accepts another version in the place of each that is lost, or deletes it where there is none.
fn accept_all(db: &Database, lost: &BTreeSet<DocId>) {
    for id in lost {
        let create = Write::create(DEFAULT_COLLECTION, id.clone(), document(0));
        assert_eq!(db.write(create).expect_err("it is refused").code(), Code::DocCorrupt);
        let versions = db.versions(DEFAULT_COLLECTION, id).expect("no faults");
        let Some(version) = versions.first() else {
            let replace = Write::upsert(DEFAULT_COLLECTION, id.clone(), document(0));
            db.write(replace).expect("no faults");
            continue;
        };
        let accepted = db.accept(DEFAULT_COLLECTION, id, version.revision).expect("no faults");
        let stored = db.get(DEFAULT_COLLECTION, id).expect("no faults").expect("it was accepted");
        assert_eq!((stored.revision, &stored.document), (accepted.revision, &version.document));
        assert!(accepted.revision > version.revision);
    }
    assert_eq!(db.quarantine(), [], "nothing is lost any more");
    assert_eq!(db.stats().expect("no faults").quarantined, 0);
}

#[test]
fn a_damaged_version_that_was_written_again_is_no_loss() {
    let clock = clock();
    let (disk, mut documents) = closed(&clock, small(), true);
    let path = data_files(&disk).remove(0);
    let header = usize::try_from(LAYOUT.header_bytes()).expect("no faults") / SECTOR;
    for sector in header..protected(&disk.peek(&path).expect("no faults")) {
        damage(&disk, &path, sector);
    }
    let db = opened(&disk, &clock, small());
    for (id, document) in &mut documents {
        *document = Document::parse(b"[\"again\"]").expect("no faults");
        db.write(Write::upsert(DEFAULT_COLLECTION, id.clone(), document.clone()))
            .expect("no faults");
    }
    let report = db.heal_all().expect("no faults");
    assert_eq!(report.unrecoverable, []);
    all_are_read(&db, &documents);
}

#[test]
fn a_step_of_a_scrub_ends_after_as_much_damage_as_it_may_heal() {
    let clock = clock();
    let (disk, documents) = closed(&clock, keep_log(), false);
    let path = data_files(&disk).remove(0);
    let header = usize::try_from(LAYOUT.header_bytes()).expect("small") / SECTOR;
    let stripe = usize::try_from(LAYOUT.stripe_file_bytes()).expect("small") / SECTOR;
    for stripe in (header..protected(&disk.peek(&path).expect("it exists"))).step_by(stripe) {
        damage(&disk, &path, stripe);
        damage(&disk, &path, stripe + 1);
    }
    let db = opened(&disk, &clock, Options { healing_batch: 1, ..keep_log() });
    let first = db.scrub().expect("no faults");
    assert_eq!((first.stripes, first.complete), (1, false));
    let rest = db.heal_all().expect("no faults");
    assert!(rest.healed > 0 && rest.complete);
    all_are_read(&db, &documents);
    assert_eq!(db.heal_all().expect("no faults").blocks_healed, 0);
}

#[test]
fn healing_that_is_switched_off_repairs_nothing() {
    let clock = clock();
    let (disk, documents) = closed(&clock, small(), false);
    let path = data_files(&disk).remove(0);
    for off in [
        Options { healing: false, ..small() },
        Options { healing_on_read: false, ..small() },
        Options { healing: false, healing_on_read: false, ..small() },
    ] {
        let disk = disk.crash(&Crash::Kill);
        let sectors = protected(&disk.peek(&path).expect("no faults"));
        let header = usize::try_from(LAYOUT.header_bytes()).expect("no faults") / SECTOR;
        // One block of every stripe.
        let stripe = usize::try_from(LAYOUT.stripe_file_bytes()).expect("no faults") / SECTOR;
        (header..sectors).step_by(stripe).for_each(|sector| damage(&disk, &path, sector));
        let damaged = disk.peek(&path).expect("no faults");
        let db = opened(&disk, &clock, off.clone());
        let lost = lost_among(&db, &documents);
        assert!(!lost.is_empty());
        assert_eq!(db.quarantine(), [], "they can be healed");
        for _ in 0..8 {
            db.maintain().expect("no faults");
            clock.advance(Duration::from_secs(2 * 3600));
        }
        let by_scrub = off.healing;
        assert_eq!(disk.peek(&path).expect("no faults") == damaged, !by_scrub, "{off:?}");
        drop(db);
        all_are_read(&opened(&disk, &clock, small()), &documents);
    }
}

/// Opens a database whose index is damaged, lets it go on, and opens it again: no document is lost,
/// and the second time nothing is left to report.
fn goes_on_without_an_index_file(
    disk: &FaultDisk,
    clock: &VirtualClock,
    documents: &Documents,
) -> OpenReport {
    let (db, found) = open(disk, clock, small()).expect("an index can be made again");
    let mut documents = documents.clone();
    all_are_read(&db, &documents);
    for n in 300..303 {
        db.write(Write::upsert(DEFAULT_COLLECTION, id(n), document(n))).expect("no faults");
        db.checkpoint().expect("no faults");
        documents.insert(id(n), document(n));
    }
    drop(db);
    let (db, report) = open(disk, clock, small()).expect("no faults");
    assert_eq!((report.passed_over, report.rebuilt), (Vec::new(), None));
    all_are_read(&db, &documents);
    found
}

#[test]
fn damage_anywhere_in_any_index_file_costs_time_at_the_next_opening_and_no_document() {
    let clock = clock();
    let mut rebuilt = 0;
    let (apart, (shared, mut more)) =
        (closed(&clock, small(), false), closed(&clock, small(), true));
    // Both checkpoints have the base then.
    let db = opened(&shared, &clock, small());
    db.write(Write::upsert(DEFAULT_COLLECTION, id(1), document(7))).expect("no faults");
    more.insert(id(1), document(7));
    db.close().expect("no faults");
    for (disk, documents) in [apart, (shared, more)] {
        let manifest = inspect_manifest(&disk.shared(), Path::new(DIR)).expect("no faults");
        let newest = manifest.manifest.expect("it is whole").newest().index.clone();
        for path in files(&disk, Path::new(DIR), ".idx") {
            let len = disk.peek(&path).expect("no faults").len();
            let file_name = path.file_name().and_then(|name| name.to_str()).expect("a name");
            let number = docstore::index::file::parse_name(file_name);
            // One that only the older checkpoint has is not looked at.
            let is_needed = newest.iter().any(|file| Some(file.header.number) == number);
            let flips = (0..len.div_ceil(SECTOR)).map(|sector| {
                let offset = (sector * SECTOR + sector * 37 % SECTOR).min(len - 1) as u64;
                Rot::Flip { path: path.clone(), offset, mask: 0x10 }
            });
            let others = [
                Rot::Remove { path: path.clone() },
                Rot::Truncate { path: path.clone(), len: len as u64 / 2 },
                Rot::Truncate { path: path.clone(), len: 0 },
                Rot::Garbage { path: path.clone(), sector: 0, seed: 5 },
            ];
            for rot in flips.chain(others) {
                let disk = disk.crash(&Crash::Kill);
                disk.rot(&rot).expect("the file is there");
                let report = goes_on_without_an_index_file(&disk, &clock, &documents);
                assert_eq!(!report.passed_over.is_empty(), is_needed, "{rot:?}: {report:?}");
                assert_eq!(report.rebuilt.is_some(), is_needed, "{rot:?}");
                if let Some(report) = report.rebuilt {
                    assert!(report.index.is_some() && report.lost.is_empty(), "{report}");
                    rebuilt += 1;
                }
            }
        }
    }
    assert!(rebuilt > 0);
}

#[test]
fn an_index_is_not_made_again_in_silence_where_a_document_may_be_lost() {
    let clock = clock();
    let (disk, documents) = closed(&clock, small(), true);
    for path in files(&disk, Path::new(DIR), ".idx") {
        disk.rot(&Rot::Remove { path }).expect("it is there");
    }
    // One block is made again by parity, but not while healing is switched off; two never are.
    let path = data_files(&disk).remove(0);
    damage(&disk, &path, 2);
    let off = Options { healing: false, ..small() };
    let error = open(&disk, &clock, off).expect_err("a record cannot be read");
    assert_eq!(error.code(), Code::FileOpen, "{error}");
    all_are_read(&opened(&disk.crash(&Crash::Kill), &clock, small()), &documents);
    damage(&disk, &path, 3);
    let before = disk.crash(&Crash::Kill);
    let error = open(&disk, &clock, small()).expect_err("nobody knows what is lost");
    assert_eq!(error.code(), Code::FileOpen, "{error}");
    assert!(error.to_string().contains(".idx"), "{error}");
    for path in data_files(&before) {
        assert_eq!(disk.peek(&path), before.peek(&path), "{}", path.display());
    }
}

#[test]
fn a_damaged_slot_of_the_manifest_is_no_loss() {
    let clock = clock();
    let (disk, documents) = closed(&clock, small(), false);
    for path in (0..3).map(|n| Path::new(DIR).join(format!("MANIFEST.{n}"))) {
        let Some(bytes) = disk.peek(&path) else { continue };
        for sector in 0..bytes.len().div_ceil(SECTOR) {
            let disk = disk.crash(&Crash::Kill);
            damage(&disk, &path, sector);
            let db = opened(&disk, &clock, small());
            all_are_read(&db, &documents);
            db.write(Write::upsert(DEFAULT_COLLECTION, id(999), document(1))).expect("no faults");
            db.close().expect("no faults");
            drop(db);
            all_are_read(&opened(&disk, &clock, small()), &documents);
        }
    }
}

#[test]
fn damage_in_the_log_is_refused_or_harmless() {
    let clock = clock();
    let (disk, mut documents) = closed(&clock, small(), false);
    let db = opened(&disk, &clock, small());
    for n in 200..240 {
        db.write(Write::upsert(DEFAULT_COLLECTION, id(n), document(n))).expect("no faults");
        documents.insert(id(n), document(n));
    }
    // An idle log writes down what is durable.
    clock.advance(Duration::from_millis(500));
    db.maintain().expect("no faults");
    let killed = disk.crash(&Crash::Kill);
    drop(db);
    let mut refused = 0;
    for path in files(&killed, &Path::new(DIR).join("log"), ".wal") {
        let sectors = killed.peek(&path).expect("no faults").len() / SECTOR;
        for sector in 0..sectors {
            let disk = killed.crash(&Crash::Kill);
            damage(&disk, &path, sector);
            match open(&disk, &clock, small()) {
                Ok((db, _)) => all_are_read(&db, &documents),
                Err(error) => {
                    assert_eq!(error.code(), Code::WalCorrupt, "{error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 5, "{refused}");
}

#[test]
fn what_was_healed_from_the_log_stays_there_until_parity_covers_it() {
    let clock = clock();
    let (closed, mut documents) = closed(&clock, keep_log(), false);
    let header = usize::try_from(LAYOUT.header_bytes()).expect("no faults") / SECTOR;
    let (mut healed, mut tails) = (0, 0);
    for kept in 0..12 {
        let disk = closed.crash(&Crash::Kill);
        // More of every stripe than its parity can make again, but for the first few sectors.
        for path in data_files(&disk) {
            for sector in header + kept..protected(&disk.peek(&path).expect("no faults")) {
                damage(&disk, &path, sector);
            }
        }
        // From here on the log is trimmed as far as it is not held.
        let db = opened(&disk, &clock, small());
        let report = db.heal_all().expect("no faults");
        assert_eq!(report.unrecoverable, []);
        healed += report.healed;
        // More log, one document more to flush, and the damaged files given up.
        for n in 3000..5000 {
            let write = Write::upsert(DEFAULT_COLLECTION, id(0), document(n));
            db.write(write).expect("no faults");
            documents.insert(id(0), document(n));
            match n {
                3499 => db.compact().map(drop).expect("no faults"),
                3999 | 4499 | 4999 => db.checkpoint().map(drop).expect("no faults"),
                _ => {}
            }
        }
        db.close().expect("no faults");
        for path in data_files(&disk) {
            let bytes = disk.peek(&path).expect("no faults");
            for sector in protected(&bytes)..bytes.len().div_ceil(SECTOR) {
                let disk = disk.crash(&Crash::Kill);
                damage(&disk, &path, sector);
                all_are_read(&opened(&disk, &clock, small()), &documents);
                tails += 1;
            }
        }
    }
    assert!(healed > 0 && tails > 0, "{healed} {tails}");
}

#[test]
fn an_index_file_that_the_device_cannot_read_costs_time_at_the_next_opening_and_no_document() {
    let clock = clock();
    let (disk, documents) = closed(&clock, small(), true);
    let (mut went_on, mut refused) = (0, 0);
    for nth in 1..=60 {
        let disk = disk.crash(&Crash::Kill);
        disk.inject(Fault::once(Calls::Only(Op::Read), nth, Effect::Eio));
        match open(&disk, &clock, small()) {
            Ok((db, report)) => {
                went_on += usize::from(!report.passed_over.is_empty());
                all_are_read(&db, &documents);
            }
            // The manifest and the log have no copy.
            Err(_) => refused += 1,
        }
        let (db, _) = open(&disk, &clock, small()).expect("it can be read again");
        all_are_read(&db, &documents);
    }
    assert!(went_on > 0 && refused > 0, "{went_on} {refused}");
}
