//! Backups and restores: what they hold, while writes go on, and after damage of the database. What
//! failing calls, crashes and rot do to them is in the files of the folder.

mod crash;
mod errors;
mod properties;
mod rot;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use base::clock::WallMs;
use base::document::Document;
use base::error::{Code, Coded as _};
use base::memory::Budget;
use base::words::{Change, CollectionId, DocId, Lsn, Name};
use docstore::{
    BackupDir, DEFAULT_COLLECTION, Database, Expiry, Options, RestoreReport, ScanRequest, Store,
    Write, check_backup, default_name,
};
use sim::VirtualClock;
use sim::disk::{Crash, FaultDisk, Rot};
use sim::watch::{Moment, watched};

use crate::world::{DIR, clock, document, env, id, small};

const BACKUP: &str = "/backup";
const RESTORED: &str = "/restored";

/// The documents of a collection with their revisions.
type Content = BTreeMap<DocId, (Lsn, Document)>;

fn budget() -> Budget {
    Budget::new("test", 1 << 30)
}

fn name(text: &str) -> Name {
    Name::new(text).expect("it is a name")
}

fn fresh(disk: &FaultDisk, clock: &VirtualClock, options: Options) -> Database {
    let env = env(&disk.shared(), clock);
    Database::create(&env, Path::new(DIR), &default_name(), options, &budget()).expect("no faults")
}

fn to(disk: &FaultDisk) -> BackupDir {
    BackupDir::new(&disk.shared(), Path::new(BACKUP))
}

fn restored(disk: &FaultDisk, clock: &VirtualClock) -> docstore::Result<(Database, RestoreReport)> {
    let env = env(&disk.shared(), clock);
    let dir = Path::new(RESTORED);
    Database::restore(&env, &to(disk), dir, &name("copy"), small(), &budget())
}

fn content(db: &Database, collection: CollectionId) -> Content {
    let mut all = Content::new();
    let mut next = Some(ScanRequest::all(collection, 7));
    while let Some(request) = next {
        let page = db.scan(&request).expect("it can be read");
        all.extend(page.documents.into_iter().map(|(id, doc)| (id, (doc.revision, doc.document))));
        next = page.next;
    }
    all
}

fn upsert(db: &Database, n: u64, text: u64) {
    db.write(Write::upsert(DEFAULT_COLLECTION, id(n), document(text))).expect("no faults");
}

fn files_of(disk: &FaultDisk, dir: &str, suffix: &str) -> Vec<PathBuf> {
    let entries = disk.shared().list(Path::new(dir)).expect("it is there");
    let names = entries.into_iter().map(|entry| entry.name);
    names.filter(|name| name.ends_with(suffix)).map(|name| Path::new(dir).join(name)).collect()
}

/// The files of the backup, without its catalog.
fn held(disk: &FaultDisk) -> Vec<PathBuf> {
    let suffixes = [".data", ".idx", ".part"].into_iter();
    suffixes.flat_map(|suffix| files_of(disk, BACKUP, suffix)).collect()
}

#[test]
fn a_backup_is_the_state_at_its_lsn_whatever_is_written_and_compacted_meanwhile() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let options = Options { data_file_bytes_max: 4096, checkpoints_max: 2, ..small() };
    let db = fresh(&disk, &clock, options);
    for n in 0..120 {
        upsert(&db, n, n);
        if n % 40 == 39 {
            db.checkpoint().unwrap();
        }
    }
    upsert(&db, 7, 1_000);
    let before = content(&db, DEFAULT_COLLECTION);
    let at = db.position();
    let (writer, mut round) = (db.clone(), 0);
    let meddle = move || {
        round += 1;
        for n in (0..120).filter(|n| n % 3 == round % 3) {
            upsert(&writer, n, 10_000 * round + n);
        }
        writer.write(Write::delete(DEFAULT_COLLECTION, id(round))).unwrap();
        for _ in 0..3 {
            writer.compact().unwrap();
        }
    };
    let meddle = Mutex::new(meddle);
    let target = watched(disk.shared(), move |moment, _| {
        if moment == Moment::Create {
            (meddle.lock().expect("one thread"))();
        }
    });
    let report = db.backup(&BackupDir::new(&target, Path::new(BACKUP))).unwrap();
    assert!(report.copied_files > 4 && report.reused_files == 0, "{report:?}");
    assert_eq!(report.summary.lsn, at);
    assert_ne!(content(&db, DEFAULT_COLLECTION), before);
    let gone: Vec<_> = files_of(&disk, BACKUP, ".data");
    assert!(gone.len() > 2);
    drop(target);
    let (copy, report) = restored(&disk, &clock).unwrap();
    assert_eq!(content(&copy, DEFAULT_COLLECTION), before);
    assert_eq!(report.documents, before.len() as u64);
    assert_eq!(report.summary, check_backup(&to(&disk)).unwrap());
}

#[test]
fn a_second_backup_copies_only_what_is_new_and_removes_what_is_not_needed() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let options = Options { data_file_bytes_max: 4096, ..small() };
    let db = fresh(&disk, &clock, options);
    for n in 0..150 {
        upsert(&db, n, n);
    }
    let first = db.backup(&to(&disk)).unwrap();
    assert_eq!((first.reused_files, first.reused_bytes), (0, 0));
    assert_eq!(first.copied_bytes, first.summary.bytes);
    let again = db.backup(&to(&disk)).unwrap();
    assert_eq!((again.copied_files, again.reused_bytes), (0, first.copied_bytes));
    upsert(&db, 3, 300);
    let third = db.backup(&to(&disk)).unwrap();
    // The file that grows, and what has changed in the index.
    assert_eq!((third.copied_files, third.reused_files), (2, first.copied_files - 1));
    assert!(third.copied_bytes < first.copied_bytes / 2, "{third:?}");
    assert_eq!(held(&disk).len() as u64, third.summary.files);
    let (copy, _) = restored(&disk, &clock).unwrap();
    assert_eq!(content(&copy, DEFAULT_COLLECTION), content(&db, DEFAULT_COLLECTION));
}

#[test]
fn a_damaged_file_of_a_backup_is_named_and_copied_again_by_the_next() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let db = fresh(&disk, &clock, small());
    for n in 0..60 {
        upsert(&db, n, n);
    }
    db.backup(&to(&disk)).unwrap();
    let files = [".data", ".idx"].into_iter().flat_map(|s| files_of(&disk, BACKUP, s));
    let mut damaged = 0;
    for path in files {
        let len = disk.peek(&path).unwrap().len() as u64;
        for offset in [0, len / 3, len / 2, len - 1] {
            let bad = disk.fork();
            bad.rot(&Rot::Flip { path: path.clone(), offset, mask: 0x10 }).unwrap();
            refused(&bad, &clock, &path);
            damaged += 1;
        }
        let bad = disk.fork();
        bad.rot(&Rot::Truncate { path: path.clone(), len: len - 1 }).unwrap();
        refused(&bad, &clock, &path);
        disk.rot(&Rot::Flip { path: path.clone(), offset: len / 2, mask: 1 }).unwrap();
        let again = db.backup(&to(&disk)).unwrap();
        assert_eq!(again.copied_files, 1, "{}", path.display());
        check_backup(&to(&disk)).unwrap();
    }
    assert!(damaged >= 8);
}

fn refused(disk: &FaultDisk, clock: &VirtualClock, path: &Path) {
    let error = restored(disk, clock).expect_err("it is damaged");
    assert_eq!(error.code(), Code::CorruptRecord, "{error}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    assert!(disk.shared().stat(Path::new(RESTORED)).expect("no faults").is_none());
    assert_eq!(check_backup(&to(disk)).expect_err("it is damaged").to_string(), error.to_string());
}

#[test]
fn a_backup_heals_what_it_finds_damaged_and_lists_what_it_cannot() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let db = fresh(&disk, &clock, small());
    for n in 0..200 {
        upsert(&db, n, n);
    }
    let before = content(&db, DEFAULT_COLLECTION);
    db.close().unwrap();
    let path = files_of(&disk, DIR, ".data").remove(0);
    let flip = |offset| Rot::Flip { path: path.clone(), offset, mask: 4 };
    // Within the first block of data, behind two headers; then in another block of its stripe too.
    let opened = |disk: &FaultDisk| {
        let env = env(&disk.shared(), &clock);
        Database::open(&env, Path::new(DIR), small(), &budget()).unwrap().0
    };
    let healed = disk.fork();
    healed.rot(&flip(1100)).unwrap();
    let report = opened(&healed).backup(&to(&healed)).unwrap();
    assert_eq!(report.summary.lost, []);
    assert_eq!(content(&restored(&healed, &clock).unwrap().0, DEFAULT_COLLECTION), before);
    let lossy = disk.fork();
    // The log would still have them.
    for path in files_of(&lossy, "/db/log", ".wal").into_iter().rev().skip(1) {
        lossy.shared().remove_file(&path).unwrap();
    }
    lossy.rot(&flip(1100)).unwrap();
    lossy.rot(&flip(1700)).unwrap();
    let db = opened(&lossy);
    let report = db.backup(&to(&lossy)).unwrap();
    let lost: Vec<DocId> = report.summary.lost.iter().map(|lost| lost.id.clone()).collect();
    // As many as begin in two blocks of 512 bytes.
    assert!((2..20).contains(&lost.len()), "{lost:?}");
    let (copy, report) = restored(&lossy, &clock).unwrap();
    assert_eq!(report.documents + lost.len() as u64, 200);
    are_lost_or_as(&db, &lost, &before);
    are_lost_or_as(&copy, &lost, &before);
    // They stay so through a checkpoint, in a backup of the copy, and in what is restored of that.
    copy.write(Write::upsert(DEFAULT_COLLECTION, id(999), document(1))).unwrap();
    copy.close().unwrap();
    let env = env(&lossy.shared(), &clock);
    let (copy, _) = Database::open(&env, copy.path(), small(), &budget()).unwrap();
    are_lost_or_as(&copy, &lost, &before);
    let again = BackupDir::new(&lossy.shared(), Path::new("/again"));
    let report = copy.backup(&again).unwrap();
    assert_eq!(report.summary.lost.len(), lost.len());
    assert_eq!(check_backup(&again).unwrap().lost.len(), lost.len());
    let dir = Path::new("/third");
    let (third, _) =
        Database::restore(&env, &again, dir, &name("third"), small(), &budget()).unwrap();
    are_lost_or_as(&third, &lost, &before);
    // Writing one anew ends that.
    third.write(Write::upsert(DEFAULT_COLLECTION, lost[0].clone(), document(5))).unwrap();
    assert_eq!(third.quarantine().len(), lost.len() - 1);
    assert!(third.get(DEFAULT_COLLECTION, &lost[0]).unwrap().is_some());
}

/// Documents are as they were, or lost: never absent, never older.
fn are_lost_or_as(db: &Database, lost: &[DocId], before: &Content) {
    for (id, (revision, document)) in before {
        match db.get(DEFAULT_COLLECTION, id) {
            Ok(found) => {
                let found = found.expect("it is there");
                assert_eq!((&found.revision, &found.document), (revision, document));
                assert!(!lost.contains(id));
            }
            Err(error) => {
                assert_eq!(error.code(), Code::DocCorrupt);
                assert!(lost.contains(id));
            }
        }
    }
    assert_eq!(db.quarantine().len(), lost.len());
}

#[test]
fn a_restore_keeps_what_is_promised_and_is_a_database_of_its_own() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let db = fresh(&disk, &clock, small());
    let dropped = db.create_collection(&name("dropped")).unwrap();
    let books = db.create_collection(&name("books")).unwrap();
    let schema = Document::parse(br#"{"type":"object"}"#).unwrap();
    db.set_validation(books, Some(schema.clone())).unwrap();
    let fields = Document::parse(br#"{"fields":["title"]}"#).unwrap();
    db.set_property(books, &name("search"), Some(fields.clone())).unwrap();
    db.drop_collection(&name("dropped"), docstore::DropMode::Force).unwrap();
    let ids = [id(1), DocId::Uuid(uuid::Uuid::from_u128(5)), DocId::string("wäl\"den").unwrap()];
    for id in &ids {
        let write = Write::upsert(books, id.clone(), document(1));
        db.write(write.expires(Expiry::After(Duration::from_secs(60)))).unwrap();
    }
    db.write(Write::upsert(books, id(2), document(2))).unwrap();
    db.write(Write::upsert(books, id(3), document(3))).unwrap();
    db.write(Write::delete(books, id(3))).unwrap();
    db.backup(&to(&disk)).unwrap();
    let (copy, report) = restored(&disk, &clock).unwrap();
    assert_ne!(copy.id(), db.id());
    assert_eq!((report.database, report.summary.database), (copy.id(), db.id()));
    assert_eq!((copy.name(), &report.summary.name), (&name("copy"), db.name()));
    let counts = [(default_name(), 0), (name("books"), 4)];
    assert_eq!((report.summary.collections, report.documents), (counts.to_vec(), 4));
    assert_eq!(copy.collections().unwrap(), db.collections().unwrap());
    assert_eq!(copy.validation(books).unwrap(), Some(schema));
    assert_eq!(copy.property(books, &name("search")).unwrap(), Some(fields));
    for id in &ids {
        assert_eq!(copy.get(books, id).unwrap(), db.get(books, id).unwrap());
    }
    assert_eq!(content(&copy, books), content(&db, books));
    assert_eq!(copy.position(), report.summary.lsn);
    // It goes on where the backup ends: no revision and no number of a collection comes twice.
    let bad = Document::parse(b"[]").unwrap();
    let refused = copy.write(Write::upsert(books, id(9), bad)).unwrap_err();
    assert_eq!(refused.code(), Code::InvalidSchema);
    let next = copy.write(Write::upsert(books, id(9), document(9))).unwrap();
    assert!(next.revision > report.summary.lsn);
    let number = copy.create_collection(&name("dropped")).unwrap();
    assert!(number > books && number != dropped);
    let past = copy.changes(Lsn::ZERO).unwrap().next().unwrap_err();
    assert_eq!(past.code(), Code::LsnTrimmed);
    let mut feed = copy.changes(report.summary.lsn).unwrap();
    let change = feed.next().unwrap().unwrap().change;
    assert!(matches!(change, Change::Put { id: DocId::U64(9), .. }), "{change:?}");
    // The clock of expiries goes on, too, also when the machine's is behind.
    assert!(copy.now() >= WallMs(1_700_000_000_000));
    clock.advance(Duration::from_secs(61));
    assert_eq!(content(&copy, books).len(), 2);
    // It is an ordinary database in every other way.
    copy.compact().unwrap();
    let before = content(&copy, books);
    let killed = disk.crash(&Crash::Kill);
    let env = env(&killed.shared(), &clock);
    let again = Database::open(&env, Path::new(RESTORED), small(), &budget()).unwrap().0;
    assert_eq!(content(&again, books), before);
}

#[test]
fn a_store_restores_under_a_name_that_is_free() {
    let (disk, clock) = (FaultDisk::new(), clock());
    let env = env(&disk.shared(), &clock);
    let store = Store::open(&env, Path::new("/data"), small(), budget()).unwrap();
    let db = store.database(&default_name()).unwrap();
    db.backup(&to(&disk)).unwrap();
    let taken = store.restore(&to(&disk), &default_name()).unwrap_err();
    assert_eq!(taken.code(), Code::DbExists);
    upsert(&db, 1, 1);
    db.backup(&to(&disk)).unwrap();
    let (copy, _) = store.restore(&to(&disk), &name("copy")).unwrap();
    assert_eq!(content(&copy, DEFAULT_COLLECTION), content(&db, DEFAULT_COLLECTION));
    assert_eq!(store.database(&name("copy")).unwrap().id(), copy.id());
    let other = copy.backup(&to(&disk)).unwrap_err();
    assert_eq!(other.code(), Code::DbExists, "a directory holds backups of one database");
    let missing = BackupDir::new(&disk.shared(), Path::new("/nowhere"));
    let nothing = store.restore(&missing, &name("none")).unwrap_err();
    assert_eq!(nothing.code(), Code::FileOpen, "{nothing}");
    assert!(nothing.to_string().contains("no backup was finished"), "{nothing}");
    assert!(store.list().iter().all(|entry| entry.name != name("none")));
}
