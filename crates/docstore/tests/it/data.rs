//! Data files from outside: what is written is read back, or is said to be damaged.
//!
//! The files here are of the smallest geometry, so that every block of every stripe can be
//! damaged. Start with [`Sample`].

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod crash;
mod input;
mod inspect;
mod rot;

use std::path::Path;

use base::clock::WallMs;
use base::document::Document;
use base::error::Code;
use base::io::{Disk, Open, write_all_at};
use base::rng::Rng;
use base::words::{CollectionId, DatabaseId, DocId, Lsn};
use docstore::data::{
    Body, Condition, DataError, DataFile, DataWriter, Expected, FileIdentity, Flaw, Found,
    Geometry, Kind, Layout, Parity, Payloads, RecordRef, StoredRecord,
};
use docstore::{FileNumber, Location};
use sim::disk::{Calls, Effect, Fault, FaultDisk, Op, Rot};

const DIR: &str = "/";

pub(crate) const TINY: Layout = Layout { geometry: Geometry::Tiny, parity: Parity::On };

pub(crate) fn identity() -> FileIdentity {
    FileIdentity { database: DatabaseId::from_bytes([5; 16]), number: FileNumber(3) }
}

pub(crate) fn path() -> std::path::PathBuf {
    identity().number.path(Path::new(DIR))
}

/// A record to write, owned.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) collection: CollectionId,
    pub(crate) id: DocId,
    pub(crate) lsn: Lsn,
    pub(crate) body: Option<(Document, Option<WallMs>)>,
}

impl Sample {
    pub(crate) fn as_ref(&self) -> RecordRef<'_> {
        let body = match &self.body {
            Some((document, expires_at)) => Body::Document { document, expires_at: *expires_at },
            None => Body::Tombstone,
        };
        RecordRef { collection: self.collection, id: &self.id, lsn: self.lsn, body }
    }

    pub(crate) fn expected(&self) -> Expected<'_> {
        Expected { collection: self.collection, id: &self.id, lsn: self.lsn }
    }

    /// Whether `record` is this one, byte for byte.
    pub(crate) fn is(&self, record: &StoredRecord) -> bool {
        record.as_ref() == Some(self.as_ref())
    }
}

/// Records of all kinds; every seventh is longer than several stripes of the smallest geometry.
pub(crate) fn samples(count: u64) -> Vec<Sample> {
    let mut rng = Rng::new(9);
    (0..count)
        .map(|n| {
            let id = match n % 3 {
                0 => DocId::U64(n),
                1 => DocId::string(&format!("document {n}")).unwrap(),
                _ => DocId::Uuid(uuid::Uuid::from_u128(u128::from(n))),
            };
            let len = match n % 7 {
                6 => 5000 + rng.index(2000),
                5 => 300,
                _ => rng.index(120),
            };
            // Digits at random are packed to about a half, which the long ones show.
            let digits: String =
                (0..=len).map(|_| char::from(b"123456789"[rng.index(9)])).collect();
            let expires_at = (n % 4 == 0).then_some(WallMs(1_700_000_000_000 + n));
            let document = Document::parse(digits.as_bytes()).unwrap();
            let body = (n % 5 != 4).then_some((document, expires_at));
            Sample { collection: CollectionId(1), id, lsn: Lsn(100 + n), body }
        })
        .collect()
}

/// A file at rest.
pub(crate) struct Written {
    pub(crate) disk: FaultDisk,
    pub(crate) records: Vec<(Location, Sample)>,
    pub(crate) verified: u64,
}

impl Written {
    pub(crate) fn file(&self) -> DataFile {
        open(&self.disk, self.verified)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.disk.peek(&path()).unwrap()
    }
}

pub(crate) fn open(disk: &FaultDisk, verified: u64) -> DataFile {
    DataFile::open(&disk.shared(), Path::new(DIR), identity(), verified).unwrap()
}

pub(crate) fn create(disk: &FaultDisk, layout: Layout) -> DataWriter {
    DataWriter::create(&disk.shared(), Path::new(DIR), identity(), layout).unwrap()
}

pub(crate) fn append(writer: &mut DataWriter, samples: &[Sample]) -> Vec<(Location, Sample)> {
    let append = |sample: &Sample| (writer.append(&sample.as_ref()).unwrap(), sample.clone());
    samples.iter().map(append).collect()
}

/// A file that was closed.
pub(crate) fn finished(layout: Layout, count: u64) -> Written {
    let disk = FaultDisk::new();
    let mut writer = create(&disk, layout);
    let records = append(&mut writer, &samples(count));
    let verified = writer.finish().unwrap().len;
    Written { disk, records, verified }
}

/// A file whose last stripe is in the making.
pub(crate) fn unfinished(layout: Layout, count: u64) -> Written {
    let disk = FaultDisk::new();
    let mut writer = create(&disk, layout);
    let records = append(&mut writer, &samples(count));
    let verified = writer.publish().unwrap().len;
    Written { disk, records, verified }
}

/// All records of a file, and what is damaged.
pub(crate) fn walk(file: &DataFile) -> (Vec<StoredRecord>, Vec<docstore::data::Damage>) {
    let (mut records, mut damage) = (Vec::new(), Vec::new());
    for found in file.records(0..u64::MAX, Payloads::Load) {
        match found.unwrap() {
            Found::Record(record) => records.push(record),
            Found::Damage(found) => damage.push(found),
        }
    }
    (records, damage)
}

fn layouts() -> impl Iterator<Item = Layout> {
    [Geometry::Standard, Geometry::Tiny]
        .into_iter()
        .flat_map(|geometry| [Parity::On, Parity::Off].map(|parity| Layout { geometry, parity }))
}

#[test]
fn what_was_appended_is_read_back_by_location_and_in_order() {
    for layout in layouts() {
        for written in [finished(layout, 40), unfinished(layout, 40)] {
            let file = written.file();
            for (location, sample) in &written.records {
                let record = file.read(*location, &sample.expected()).unwrap();
                assert!(sample.is(&record), "{record:?}");
                let record = file.read_sized(*location, &sample.expected(), 1 << 20).unwrap();
                assert!(sample.is(&record) && record.location == *location);
            }
            let (records, damage) = walk(&file);
            assert_eq!(damage, []);
            assert_eq!(records.len(), written.records.len());
            for (record, (location, sample)) in records.iter().zip(&written.records) {
                assert!(sample.is(record) && record.location == *location);
            }
            assert!(records.iter().any(|r| matches!(r.header.kind, Kind::Lz4 { .. })));
            for stripe in 0..file.complete_len() / layout.geometry.stripe_bytes() {
                assert_eq!(file.check_stripe(stripe).unwrap(), Condition::Sound);
            }
            assert_eq!(file.check_tail().unwrap(), []);
        }
    }
}

#[test]
fn a_file_continued_at_any_record_is_the_file_written_in_one_go() {
    let all = samples(24);
    let whole = finished(TINY, 24).bytes();
    for cut in 0..=all.len() {
        let disk = FaultDisk::new();
        let mut writer = create(&disk, TINY);
        let mut records = append(&mut writer, &all[..cut]);
        let verified = writer.publish().unwrap();
        assert_eq!(verified.protected_len, verified.len - verified.len % 2048);
        drop(writer);
        // What a crash left behind the verified length is not part of the file.
        let file = disk.open(&path(), Open::Write).unwrap();
        write_all_at(&*file, &[0xA5; 3000], file.len().unwrap()).unwrap();
        let shared = disk.shared();
        let mut writer =
            DataWriter::open_at(&shared, Path::new(DIR), identity(), verified.len).unwrap();
        records.extend(append(&mut writer, &all[cut..]));
        let verified = writer.finish().unwrap();
        assert_eq!(verified.protected_len, verified.len);
        assert!(disk.peek(&path()).unwrap() == whole, "continued behind {cut} records");
    }
}

#[test]
fn a_part_of_a_file_is_read_from_where_an_earlier_reading_ended() {
    let written = unfinished(TINY, 30);
    let file = written.file();
    let (at, _) = written.records[11];
    let mut first = file.records(0..u64::from(at.offset), Payloads::Skip);
    assert_eq!(first.by_ref().count(), 11);
    assert_eq!(first.position(), u64::from(at.offset));
    let rest = file.records(first.position()..u64::MAX, Payloads::Skip);
    let mut seen = 11;
    for found in rest {
        let Found::Record(record) = found.unwrap() else { panic!("damage") };
        assert_eq!((record.location, record.document), (written.records[seen].0, None));
        seen += 1;
    }
    assert_eq!(seen, 30);
}

#[test]
fn only_the_record_that_is_expected_is_answered_and_only_verified_ones() {
    let written = unfinished(TINY, 12);
    let file = written.file();
    let (location, sample) = &written.records[3];
    let refused = |location, expected: &Expected<'_>| {
        let error = file.read(location, expected).unwrap_err();
        assert_eq!(error.code(), Code::CorruptRecord, "{error}");
        error.flaw().unwrap()
    };
    let good = sample.expected();
    let other = DocId::U64(77);
    assert_eq!(refused(*location, &Expected { lsn: Lsn(1), ..good }), Flaw::OtherRecord);
    assert_eq!(refused(*location, &Expected { id: &other, ..good }), Flaw::OtherRecord);
    let collection = CollectionId(2);
    assert_eq!(refused(*location, &Expected { collection, ..good }), Flaw::OtherRecord);
    let next = written.records[4].0;
    assert_eq!(refused(next, &good), Flaw::OtherRecord);
    for wrong in [
        Location { file: FileNumber(4), ..*location },
        Location { offset: location.offset + 4, ..*location },
        Location { offset: u32::MAX - 7, ..*location },
    ] {
        assert!(matches!(refused(wrong, &good), Flaw::Malformed(_)));
    }
    let early = open(&written.disk, u64::from(location.offset));
    assert!(matches!(early.read(*location, &good).unwrap_err().flaw(), Some(Flaw::Malformed(_))));
    early.advance(u64::from(location.offset) + 8);
    assert!(matches!(early.read(*location, &good).unwrap_err().flaw(), Some(Flaw::Malformed(_))));
    early.advance(u64::from(next.offset));
    assert!(sample.is(&early.read(*location, &good).unwrap()));
}

#[test]
fn a_failed_call_ends_the_writer_and_no_sync_is_tried_again() {
    for op in [Op::Write, Op::SyncData, Op::SyncDir, Op::Evict, Op::Read] {
        let disk = FaultDisk::new();
        let mut writer = create(&disk, TINY);
        append(&mut writer, &samples(5));
        disk.inject(Fault::once(Calls::Only(op), 1, Effect::Eio));
        writer.publish().unwrap_err();
        let calls = disk.calls();
        assert!(matches!(writer.publish(), Err(DataError::Stopped { .. })), "{op:?}");
        assert!(matches!(writer.verify(), Err(DataError::Stopped { .. })), "{op:?}");
        let again = writer.append(&samples(1)[0].as_ref());
        assert_eq!(again.unwrap_err().code(), Code::FileWrite);
        assert_eq!(writer.verified().len, 0);
        assert!(matches!(writer.finish(), Err(DataError::Stopped { .. })));
        assert_eq!(disk.calls(), calls, "nothing was asked of the disk again");
    }
}

#[test]
fn what_the_device_did_not_keep_is_never_called_verified() {
    let bytes = unfinished(TINY, 14).bytes().len() as u64;
    for sector in 0..bytes.div_ceil(512) {
        for drop in [true, false] {
            let disk = FaultDisk::new();
            let mut writer = create(&disk, TINY);
            append(&mut writer, &samples(14));
            writer.sync().unwrap();
            let path = path();
            let rot = match drop {
                true => Rot::DropWrite { path, sector },
                false => Rot::Flip { path, offset: sector * 512, mask: 1 },
            };
            disk.rot(&rot).unwrap();
            let error = writer.verify().unwrap_err();
            assert!(error.flaw().is_some(), "sector {sector}: {error}");
            assert_eq!(writer.verified().len, 0);
        }
    }
}

#[test]
fn records_are_gathered_into_large_writes() {
    let disk = FaultDisk::new();
    let mut writer = create(&disk, Layout::default());
    let noise = samples(700);
    for _ in 0..10 {
        append(&mut writer, &noise);
    }
    let writes: Vec<_> = disk.trace().into_iter().filter(|call| call.op == Op::Write).collect();
    assert!(!writes.is_empty());
    for call in &writes {
        assert!(call.len >= 960 * 1024, "{call}");
        assert_eq!((call.offset + call.len as u64) % (64 * 1024), 0, "{call}");
    }
    let reads = disk.trace().iter().filter(|call| call.op == Op::Read).count();
    assert_eq!(reads, 0, "nothing is read to append");
}

#[test]
fn a_file_of_another_database_or_number_is_refused() {
    let written = finished(TINY, 3);
    let other = DatabaseId::from_bytes([6; 16]);
    let shared = written.disk.shared();
    let whose = FileIdentity { database: other, ..identity() };
    let refused = DataFile::open(&shared, Path::new(DIR), whose, 8).unwrap_err();
    assert_eq!(refused.code(), Code::CorruptRecord);
    let number = FileNumber(9);
    written.disk.rename(&path(), &number.path(Path::new(DIR))).unwrap();
    let whose = FileIdentity { number, ..identity() };
    let refused = DataFile::open(&shared, Path::new(DIR), whose, 8).unwrap_err();
    assert_eq!(refused.code(), Code::CorruptRecord);
    let gone = DataFile::open(&shared, Path::new(DIR), identity(), 8).unwrap_err();
    assert_eq!(gone.code(), Code::FileOpen);
}

#[test]
fn an_empty_file_is_a_file() {
    for layout in layouts() {
        let written = finished(layout, 0);
        assert_eq!(written.verified, 0);
        assert_eq!(walk(&written.file()), (vec![], vec![]));
        let shared = written.disk.shared();
        let mut writer = DataWriter::open_at(&shared, Path::new(DIR), identity(), 0).unwrap();
        assert!(writer.is_empty());
        append(&mut writer, &samples(1));
        assert!(writer.publish().unwrap().len > 0);
    }
}
