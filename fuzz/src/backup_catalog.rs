//! Bytes as the catalog of a backup whose files are there: a clear error, or what it says is true,
//! and a restore of it makes a database of as many documents or none.
//!
//! The checksum of the slots is made to fit, so that the mutations reach what is behind it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use base::clock::{Clock, Instant, WallMs};
use base::document::Document;
use base::io::{DiskRef, MemDisk, Open, read_exact_at, write_all_at};
use base::memory::Budget;
use base::slots::{Kind, Slots};
use base::words::{DatabaseId, DocId, Name};
use docstore::data::Geometry;
use docstore::{
    BackupDir, DEFAULT_COLLECTION, Database, Options, Write, check_backup, default_name,
};
use wal::{Background, Environment};

const KIND: Kind = Kind { magic: *b"DOCDBBAK", version: 1 };
const DIR: &str = "/backup";
const CATALOG: &str = "/backup/BACKUP";
/// More than any seed; longer values only take longer.
const VALUE_BYTES_MAX: usize = 4096;

/// A file and what is in it.
type Content = (PathBuf, Vec<u8>);

/// One input.
pub fn run(data: &[u8]) {
    if data.len() > VALUE_BYTES_MAX {
        return;
    }
    let disk = MemDisk::shared();
    disk.create_dir(Path::new(DIR)).expect("an empty disk");
    for (path, bytes) in &made().0 {
        let file = disk.open(path, Open::CreateNew).expect("a new name");
        write_all_at(&*file, bytes, 0).expect("a disk without faults");
    }
    Slots::create(&disk, Path::new(CATALOG), KIND, data).expect("a short value");
    let from = BackupDir::new(&disk, Path::new(DIR));
    let (dir, name) = (Path::new("/restored"), Name::new("copy").expect("it is a name"));
    let restored = Database::restore(&env(&disk), &from, dir, &name, options(), &budget());
    match (check_backup(&from), restored) {
        (Ok(summary), Ok((database, report))) => {
            let documents: u64 = summary.collections.iter().map(|(_, documents)| documents).sum();
            assert_eq!((report.documents, &report.summary), (documents, &summary));
            let collections = database.collections().expect("it is open").into_iter();
            let counted = collections.map(|found| {
                let count = database.count(found.collection).expect("it was listed");
                (found.name, count)
            });
            assert_eq!(counted.collect::<Vec<_>>(), summary.collections);
        }
        (Err(checked), Ok(_)) => panic!("restored though it is refused: {checked}"),
        (_, Err(_)) => assert!(disk.stat(dir).expect("no faults").is_none(), "a half is left"),
    }
}

fn env(disk: &DiskRef) -> Environment {
    Environment { disk: DiskRef::clone(disk), clock: Arc::new(Still), reserve: None }
}

/// A clock that stands still, so that the seeds are the same in every run.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Instant {
        Instant(0)
    }

    fn wall(&self) -> WallMs {
        WallMs(1_700_000_000_000)
    }
}

fn budget() -> Budget {
    Budget::new("fuzz", 1 << 30)
}

fn options() -> Options {
    let log = wal::Options {
        segment_bytes_first: 4096,
        segment_bytes_max: 4096,
        background: Background::Manual,
        ..wal::Options::default()
    };
    let small = Options { log, checkpoint_auto: false, ..Options::default() };
    Options { geometry: Geometry::Tiny, data_file_bytes_max: 2048, ..small }
}

/// The files of a backup without its catalog, and the values that the catalog had.
fn made() -> &'static (Vec<Content>, Vec<Vec<u8>>) {
    static MADE: OnceLock<(Vec<Content>, Vec<Vec<u8>>)> = OnceLock::new();
    MADE.get_or_init(|| {
        let disk = MemDisk::shared();
        let (env, dir, name) = (env(&disk), Path::new("/db"), default_name());
        let id = DatabaseId::from_bytes([7; 16]);
        let db = Database::create_as(&env, dir, &name, id, options(), &budget());
        let db = db.expect("an empty disk");
        let to = BackupDir::new(&disk, Path::new(DIR));
        let mut values = Vec::new();
        let mut backup = |db: &Database| {
            db.backup(&to).expect("a disk without faults");
            values.push(Slots::peek(&disk, Path::new(CATALOG), KIND).expect("it was stored"));
        };
        backup(&db);
        let books = db.create_collection(&Name::new("books").expect("a name")).expect("no faults");
        let document = |text: &str| Document::parse(text.as_bytes()).expect("it is JSON");
        db.set_validation(books, Some(document("{\"type\":\"object\"}"))).expect("no faults");
        for n in 0..20 {
            let (collection, text) =
                if n % 3 == 0 { (books, "{}") } else { (DEFAULT_COLLECTION, "1") };
            let write = Write::upsert(collection, DocId::U64(n), document(text));
            db.write(write).expect("no faults");
        }
        backup(&db);
        let entries = disk.list(Path::new(DIR)).expect("it is there").into_iter();
        let files = entries
            .filter(|entry| !entry.name.starts_with("BACKUP"))
            .map(|entry| {
                let path = Path::new(DIR).join(&entry.name);
                let file = disk.open(&path, Open::Read).expect("it is listed");
                let mut bytes = vec![0; usize::try_from(entry.len).expect("a small file")];
                read_exact_at(&*file, &mut bytes, 0).expect("a disk without faults");
                (path, bytes)
            })
            .collect();
        (files, values)
    })
}

/// The catalogs of a backup of nothing and of one with documents and properties.
pub fn seeds() -> Vec<Vec<u8>> {
    made().1.clone()
}
