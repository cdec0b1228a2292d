//! Updates without end: the same documents written again and again must not take ever more disk, nor
//! make reopening ever longer.
//!
//! What a database may take is twice what is live and twelve segments of the log: at the standard
//! sizes 768 MiB. Five of them are the log (what two kept checkpoints and the current interval
//! need, those that are kept anyway, and what is claimed ahead), and seven the data files (one that is
//! being filled, and one of which all is garbage until no kept checkpoint names it).
//!
//! The test that always runs divides every size by 64 and is on a simulated disk, where it is
//! killed again and again. With `TESTS_ENDLESS_FULL` set another one runs with the standard
//! settings on the real disk, in the directory for temporary files.

use std::path::{Path, PathBuf};

use base::clock::SystemClock;
use base::document::Document;
use base::io::{DiskRef, EntryKind, RealDisk};
use base::memory::Budget;
use base::rng::Rng;
use docstore::data::Geometry;
use docstore::{DEFAULT_COLLECTION, Database, OpenReport, Options, Write, default_name};
use sim::disk::{Crash, FaultDisk};
use sim::seed::times;
use wal::{Background, Environment};

use crate::world::{DIR, clock, env, id};

/// A segment of the log at full size.
const SEGMENT: u64 = 64 * 1024 * 1024;
/// Documents at full size, and bytes of each.
const DOCUMENTS: u64 = 10_000;
const DOCUMENT_BYTES: usize = 4000;
/// Segments of log that are written.
const SEGMENTS: u64 = 100;
/// Segments that a database may take beside twice its live bytes.
const SEGMENTS_MAX: u64 = 12;

/// Sizes of a run: the standard ones, divided.
#[derive(Debug, Clone, Copy)]
struct Scale {
    divisor: u64,
}

impl Scale {
    fn segment(self) -> u64 {
        SEGMENT / self.divisor
    }

    fn documents(self) -> u64 {
        DOCUMENTS / self.divisor
    }

    /// Documents of one batch.
    fn batch(self) -> u64 {
        512 / self.divisor
    }

    fn options(self) -> Options {
        let standard = Options::default();
        let log = wal::Options {
            segment_bytes_first: standard.log.segment_bytes_first / self.divisor,
            segment_bytes_max: standard.log.segment_bytes_max / self.divisor,
            background: Background::Manual,
            ..standard.log
        };
        Options {
            log,
            checkpoint_interval_bytes: standard.checkpoint_interval_bytes / self.divisor,
            data_file_bytes_max: standard.data_file_bytes_max / self.divisor,
            memtable_bytes_max: standard.memtable_bytes_max / self.divisor,
            compaction_min_file_bytes: standard.compaction_min_file_bytes / self.divisor,
            // Stripes are smaller in about the same measure: what stands in an incomplete one holds
            // the log back.
            geometry: if self.divisor > 1 { Geometry::Tiny } else { standard.geometry },
            ..standard
        }
    }
}

/// A text that does not become shorter when it is packed.
fn document(rng: &mut Rng) -> Document {
    let letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    let mut text = String::with_capacity(DOCUMENT_BYTES);
    text.push_str("{\"text\":\"");
    while text.len() < DOCUMENT_BYTES - 2 {
        let mut bits = rng.below(1 << 60);
        for _ in 0..10 {
            text.push(char::from(letters[usize::try_from(bits % 64).expect("below 64")]));
            bits /= 64;
        }
    }
    text.truncate(DOCUMENT_BYTES - 2);
    text.push_str("\"}");
    Document::parse(text.as_bytes()).expect("it is JSON")
}

/// Bytes of all files below a directory.
fn disk_bytes(disk: &DiskRef, dir: &Path) -> u64 {
    let entries = disk.list(dir).expect("the directory is there");
    let bytes = entries.into_iter().map(|entry| match entry.kind {
        EntryKind::Directory => disk_bytes(disk, &dir.join(&entry.name)),
        EntryKind::File | EntryKind::Other => entry.len,
    });
    bytes.sum()
}

/// What a run was seen to take.
#[derive(Debug, Default)]
struct Samples {
    /// Bytes on disk, after each batch.
    disk: Vec<u64>,
    /// Bytes of log that were written.
    written: u64,
    updates: u64,
}

impl Samples {
    /// Writes every document once.
    fn begin(db: &Database, rng: &mut Rng, scale: Scale) -> Self {
        let all: Vec<u64> = (0..scale.documents()).collect();
        for ids in all.chunks(100) {
            let put = |n: &u64| Write::upsert(DEFAULT_COLLECTION, id(*n), document(rng));
            let batch: Vec<Write> = ids.iter().map(put).collect();
            db.batch(batch).map_err(|refused| refused.error).expect("no faults");
        }
        Self::default()
    }

    /// Updates documents until so many more bytes were written, and looks at the disk.
    fn run(&mut self, db: &Database, disk: &DiskRef, rng: &mut Rng, scale: Scale, bytes: u64) {
        let until = self.written + bytes;
        while self.written < until {
            let batch: Vec<Write> = (0..scale.batch())
                .map(|_| {
                    let at = id(rng.below(scale.documents()));
                    Write::upsert(DEFAULT_COLLECTION, at, document(rng))
                })
                .collect();
            self.updates += batch.len() as u64;
            // A frame has a header of its own; leaving it out makes the run a little longer.
            self.written += (batch.len() * DOCUMENT_BYTES) as u64;
            db.batch(batch).map_err(|refused| refused.error).expect("no faults");
            db.maintain().expect("no faults");
        }
        self.disk.push(disk_bytes(disk, db.path()));
    }

    /// Every sample is within the bound, and nothing grows in the second half.
    fn judge(&self, scale: Scale) {
        let live = scale.documents() * DOCUMENT_BYTES as u64;
        let bound = 2 * live + SEGMENTS_MAX * scale.segment();
        let quarter = self.disk.len() / 4;
        let most = |from: usize| self.disk[from..from + quarter].iter().max().copied();
        let quarters = [0, 1, 2, 3].map(|n| most(n * quarter).expect("samples"));
        println!(
            "divisor={} updates={} written={} live={live} bound={bound} most by quarter={quarters:?}",
            scale.divisor, self.updates, self.written
        );
        let above = self.disk.iter().position(|bytes| *bytes > bound);
        assert_eq!(above, None, "a sample is above the bound: {:?}", self.disk);
        assert!(quarters[3] <= quarters[2] + scale.segment() / 2, "it grows: {:?}", self.disk);
    }
}

#[test]
fn updating_the_same_documents_without_end_takes_no_more_disk_and_reopening_no_longer() {
    let scale = Scale { divisor: 64 };
    let (mut disk, clock, mut rng) = (FaultDisk::new(), clock(), Rng::new(7));
    let budget = Budget::new("test", 1 << 30);
    let (environment, dir) = (env(&disk.shared(), &clock), Path::new(DIR));
    let made = Database::create(&environment, dir, &default_name(), scale.options(), &budget);
    let mut db = made.expect("no faults");
    let mut samples = Samples::begin(&db, &mut rng, scale);
    for round in 0..12 * SEGMENTS * times() {
        samples.run(&db, &disk.shared(), &mut rng, scale, scale.segment() / 4);
        if round % 9 == 8 {
            let killed = disk.crash(&Crash::Kill);
            drop(db);
            disk = killed;
            let opened =
                Database::open(&env(&disk.shared(), &clock), dir, scale.options(), &budget);
            let (again, report): (Database, OpenReport) = opened.expect("no faults");
            // The interval, and one more that was due when it was killed.
            let most = 2 * scale.segment() / DOCUMENT_BYTES as u64;
            assert!(report.replayed <= most, "{report:?}");
            assert_eq!(again.count(DEFAULT_COLLECTION).expect("it is there"), scale.documents());
            db = again;
        }
    }
    samples.judge(scale);
}

#[test]
fn updating_ten_thousand_documents_without_end_at_full_size_takes_no_more_disk() {
    if std::env::var_os("TESTS_ENDLESS_FULL").is_none() {
        return;
    }
    let scale = Scale { divisor: 1 };
    let root = tempfile::tempdir().expect("a temporary directory");
    let disk = RealDisk::shared();
    let environment =
        Environment { disk: DiskRef::clone(&disk), clock: SystemClock::shared(), reserve: None };
    let (dir, budget): (PathBuf, _) = (root.path().join("db"), Budget::new("test", 1 << 32));
    let made = Database::create(&environment, &dir, &default_name(), scale.options(), &budget);
    let (mut db, mut rng) = (made.expect("the disk works"), Rng::new(7));
    let mut samples = Samples::begin(&db, &mut rng, scale);
    for round in 0..8 * SEGMENTS {
        samples.run(&db, &disk, &mut rng, scale, scale.segment() / 8);
        if round % 100 == 99 {
            drop(db);
            let opened = Database::open(&environment, &dir, scale.options(), &budget);
            let (again, report) = opened.expect("the disk works");
            assert_eq!(report.replayed, 0, "closing has made a checkpoint: {report:?}");
            assert_eq!(again.count(DEFAULT_COLLECTION).expect("it is there"), scale.documents());
            db = again;
        }
    }
    samples.judge(scale);
}
