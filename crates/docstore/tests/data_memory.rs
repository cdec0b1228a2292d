//! How much memory reading a data file takes, counted at the allocator: the longest document there
//! is, and files that only claim to hold long ones.
//!
//! One test, because the counter is the process's.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::path::Path;

use base::document::Document;
use base::io::{DiskRef, MemDisk, Open, write_all_at};
use base::limits::DOCUMENT_BYTES_MAX;
use base::rng::Rng;
use base::words::{CollectionId, DatabaseId, DocId, Lsn};
use docstore::FileNumber;
use docstore::data::{
    Body, DataFile, DataWriter, Expected, FileIdentity, Layout, Payloads, RECORD_BYTES_MAX,
    RecordRef, inspect,
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const MIB: usize = 1024 * 1024;
/// The record as stored, its text, the document that is handed over, and a megabyte for the rest.
const READ_BYTES_MAX: usize = RECORD_BYTES_MAX + 2 * DOCUMENT_BYTES_MAX + MIB;
/// What a file that holds nothing may take, whatever it claims.
const HOSTILE_BYTES_MAX: usize = 2 * MIB;

/// Most bytes allocated at once while `work` runs, beyond those allocated before.
fn peak<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let out = work();
    (ALLOCATOR.peak_usage().saturating_sub(before), out)
}

fn identity(number: u32) -> FileIdentity {
    FileIdentity { database: DatabaseId::from_bytes([1; 16]), number: FileNumber(number) }
}

/// The longest document, of which an LZ4 block saves just enough: the most memory to unpack.
fn longest() -> Document {
    let mut rng = Rng::new(1);
    let hard = DOCUMENT_BYTES_MAX / 16 * 13;
    let mut text: Vec<u8> = (0..hard).map(|_| u8::try_from(rng.below(256)).unwrap()).collect();
    text.resize(DOCUMENT_BYTES_MAX, b' ');
    Document::from_checksummed(&text)
}

#[test]
fn memory_is_bounded_by_the_longest_record_and_by_what_is_there() {
    let (disk, dir): (DiskRef, _) = (MemDisk::shared(), Path::new("/"));
    let (collection, id, lsn) = (CollectionId(1), DocId::U64(1), Lsn(1));
    let document = longest();
    let mut writer = DataWriter::create(&disk, dir, identity(1), Layout::default()).unwrap();
    let body = Body::Document { document: &document, expires_at: None };
    let location = writer.append(&RecordRef { collection, id: &id, lsn, body }).unwrap();
    let verified = writer.finish().unwrap().len;
    let file = DataFile::open(&disk, dir, identity(1), verified).unwrap();
    let expected = Expected { collection, id: &id, lsn };
    let (bytes, read) = peak(|| file.read(location, &expected));
    assert!(read.unwrap().document == Some(document));
    println!("reading the longest document: {bytes} bytes at most");
    assert!(bytes < READ_BYTES_MAX, "{bytes} bytes");
    let (bytes, count) = peak(|| file.records(0..verified, Payloads::Load).count());
    println!("going through its file: {bytes} bytes at most");
    assert!(bytes < READ_BYTES_MAX && count == 1, "{bytes} bytes");

    // A file of one stripe that is said to have 64 MiB, full of claims of 16 MiB, plain and packed.
    let layout = Layout::default();
    DataWriter::create(&disk, dir, identity(2), layout).unwrap().publish().unwrap();
    let path = identity(2).number.path(dir);
    let raw = disk.open(&path, Open::Write).unwrap();
    let plain: &[u8] = &[0, 0, 0, 0, 0, 0x80, 0x80, 0x80, 8, 1, 1, 9, 1];
    let packed: &[u8] = &[0, 0, 0, 0, 2, 0xFF, 0xFF, 0xFF, 7, 1, 1, 0x80, 0x80, 0x80, 8, 9, 1];
    for (n, at) in (layout.stripe_start(0)..layout.stripe_start(1)).step_by(512).enumerate() {
        write_all_at(&*raw, if n % 2 == 0 { plain } else { packed }, at).unwrap();
    }
    let file = DataFile::open(&disk, dir, identity(2), 64 * MIB as u64).unwrap();
    let (bytes, ()) = peak(|| {
        assert!(file.records(0..u64::MAX, Payloads::Load).all(|found| found.is_ok()));
        for offset in (0..1 << 20).step_by(512) {
            let location = docstore::Location { file: FileNumber(2), offset };
            file.read(location, &expected).unwrap_err();
        }
        file.heal_range(0..u64::MAX).unwrap();
        inspect(&disk, &path, &mut |_| {}).unwrap();
    });
    println!("a hostile file of 1 MiB: {bytes} bytes at most");
    assert!(bytes < HOSTILE_BYTES_MAX, "{bytes} bytes");
}
