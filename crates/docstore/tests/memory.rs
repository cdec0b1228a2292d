//! How much memory the index takes, counted at the allocator: per document, while a file is
//! loaded, and when a file lies about what it holds.
//!
//! One test, because the counter is the process's.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::path::Path;

use base::io::{DiskRef, Open, RealDisk, read_exact_at, write_all_at};
use base::words::{CollectionId, DatabaseId, DocId, Lsn};
use docstore::index::file::{self, FileInfo, Header, Kind};
use docstore::index::{Entry, Index, Target};
use docstore::{FileNumber, Location};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const BOOKS: CollectionId = CollectionId(1);
const DOCUMENTS: u64 = 1_000_000;
/// What a document whose id is a number may take, bytes.
const DOCUMENT_BYTES_MAX: usize = 32;
/// What loading may take beyond its result: a buffer, and the block that is being decoded.
const LOADING_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Most bytes allocated at once while `work` runs, and those that stay, beyond those before.
fn count<T>(work: impl FnOnce() -> T) -> (usize, usize, T) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let out = work();
    let peak = ALLOCATOR.peak_usage().saturating_sub(before);
    (peak, ALLOCATOR.current_usage().saturating_sub(before), out)
}

/// Documents that come in three orders: one behind the other, all over the place, and backwards.
fn filled() -> Index {
    let mut index = Index::new();
    for n in 0..DOCUMENTS {
        let id = match n % 3 {
            0 => n,
            1 => n.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            _ => u64::MAX / 2 - n,
        };
        let location = Location { file: FileNumber(1), offset: u32::try_from(n).unwrap() };
        let entry = Entry { lsn: Lsn(n + 1), location, expires_at: None };
        index.put(BOOKS, &DocId::U64(id), entry);
        if n % 150_000 == 0 || n + 1 == DOCUMENTS {
            index.freeze();
            let merge = index.merge(Target::Base).unwrap();
            index.install(merge.run()).unwrap();
        }
    }
    index
}

/// The file with its lengths made as large as they can be said, one field at a time.
fn lies(disk: &DiskRef, dir: &Path, info: &FileInfo) {
    let path = file::path(dir, info.header.number);
    let file = disk.open(&path, Open::Write).unwrap();
    let end = info.bytes - 32;
    // The collections and blocks of the end, the blocks and changes of an entry, and a block's
    // length and counts.
    let fields = [end + 4, end + 8, end - 32, end - 24, end - 20, 68, 80, 84];
    for at in fields {
        let mut good = [0; 4];
        read_exact_at(&*file, &mut good, at).unwrap();
        for lie in [u32::MAX, 0x00FF_FFFF, 0xFFFF] {
            write_all_at(&*file, &lie.to_le_bytes(), at).unwrap();
            let (peak, _, loaded) = count(|| file::load(disk, dir, info));
            assert!(loaded.is_err(), "a lie at {at} was believed");
            let most = 2 * usize::try_from(info.bytes).unwrap() + LOADING_BYTES_MAX;
            assert!(peak < most, "{peak} bytes for a lie at {at}");
        }
        write_all_at(&*file, &good, at).unwrap();
    }
}

#[test]
fn memory_is_what_the_documents_take_whatever_a_file_says() {
    let (_, kept, index) = count(filled);
    let documents = usize::try_from(DOCUMENTS).unwrap();
    println!("{} bytes a document, {:?}", kept / documents, index.memory());
    assert!(kept <= DOCUMENT_BYTES_MAX * documents, "{kept} bytes");
    // What the index says of itself is what the allocator says.
    let said = index.memory().base;
    assert!(said.abs_diff(kept) < kept / 20, "{said} said, {kept} counted");

    let root = tempfile::tempdir().unwrap();
    let disk = RealDisk::shared();
    let database = DatabaseId::from_bytes([1; 16]);
    let header = Header { database, number: 1, kind: Kind::Base, checkpoint: Lsn(DOCUMENTS) };
    let (peak, _, info) = count(|| file::write(&disk, root.path(), header, index.base()).unwrap());
    println!("writing: {peak} bytes");
    assert!(peak < LOADING_BYTES_MAX, "{peak} bytes");
    drop(index);
    let (peak, kept, table) = count(|| file::load(&disk, root.path(), &info).unwrap());
    println!("loading: {peak} bytes at most, {kept} stay");
    assert_eq!(table.len(), DOCUMENTS);
    assert!(kept <= DOCUMENT_BYTES_MAX * documents, "{kept} bytes");
    assert!(peak - kept < LOADING_BYTES_MAX, "{peak} bytes for {kept}");
    drop(table);
    lies(&disk, root.path(), &info);
    assert!(file::load(&disk, root.path(), &info).is_ok(), "all lies were taken back");
}
