//! Bytes as an index file: a clear error or a table, which reads, merges and survives being written
//! again.
//!
//! Checksums are made to fit, so that the mutations reach the rules behind them.

use std::ops::Bound;
use std::path::Path;

use base::clock::WallMs;
use base::io::{DiskRef, MemDisk, Open, read_exact_at, write_all_at};
use base::words::{CollectionId, DatabaseId, DocId, Lsn};
use docstore::index::file::{self, Header, Kind};
use docstore::index::{Entry, Index, Table, Target};
use docstore::{FileNumber, Location};

const DIR: &str = "/";
const HEADER_BYTES: usize = 64;
const ENTRY_BYTES: usize = 40;
const END_BYTES: usize = 32;

/// One input: as it is, and with checksums that fit.
pub fn run(data: &[u8]) {
    read(data);
    read(&forged(data));
}

fn read(data: &[u8]) {
    let disk = MemDisk::shared();
    let path = file::path(Path::new(DIR), 1);
    let file = disk.open(&path, Open::CreateNew).expect("an empty disk");
    write_all_at(&*file, data, 0).expect("a disk without faults");
    let report = file::inspect(&disk, &path).expect("a disk without faults");
    let Some(mut info) = report.info else {
        assert!(report.damage.is_some(), "neither whole nor damaged");
        return;
    };
    if info.header.number != 1 {
        disk.rename(&path, &file::path(Path::new(DIR), info.header.number)).expect("no faults");
    }
    let table = file::load(&disk, Path::new(DIR), &info).expect("it was inspected");
    assert_eq!(table.len(), info.entries);
    info.header.number = info.header.number.wrapping_add(1);
    let again = file::write(&disk, Path::new(DIR), info.header, &table).expect("no faults");
    assert_eq!((again.bytes, again.entries), (info.bytes, info.entries));
    match info.header.kind {
        Kind::Base => merges(Index::of(table, []), &report.collections),
        Kind::Run => merges(Index::of(Table::new(), [table]), &report.collections),
    }
}

/// Whatever was loaded, a merge changes nothing that is read of it.
fn merges(mut index: Index, collections: &[file::CollectionReport]) {
    let documents = |index: &Index| {
        collections
            .iter()
            .flat_map(|c| index.range(c.collection, Bound::Unbounded, Bound::Unbounded))
            .collect::<Vec<_>>()
    };
    let before = documents(&index);
    for collection in collections.iter().map(|c| c.collection) {
        let _ = (index.live_at(collection, WallMs(5)), index.counts(collection));
        let _ = index.expired(collection, WallMs(5), None, 100);
    }
    if let Some(merge) = index.merge(Target::Base) {
        index.install(merge.run()).expect("the only merge");
    }
    assert_eq!(documents(&index), before);
}

/// The input with checksums that fit, as far as it looks like an index file.
fn forged(data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    let len = data.len();
    if len < HEADER_BYTES + END_BYTES {
        return data;
    }
    let word = |bytes: &[u8], at: usize| {
        u32::from_le_bytes(*bytes[at..].first_chunk().expect("inside the part"))
    };
    let seed = crc32c::crc32c(&data[16..40]);
    let crc = crc32c::crc32c(&data[..60]);
    data[60..64].copy_from_slice(&crc.to_le_bytes());
    let collections = word(&data, len - END_BYTES + 4) as usize;
    let trailer = collections
        .checked_mul(ENTRY_BYTES)
        .and_then(|bytes| (len - END_BYTES).checked_sub(bytes))
        .filter(|at| *at >= HEADER_BYTES);
    let Some(trailer) = trailer else { return data };
    let (mut at, mut chain) = (HEADER_BYTES, 0);
    while at + 32 <= trailer {
        let end = at + (word(&data, at + 4) as usize).max(32);
        if end > trailer {
            break;
        }
        let crc = crc32c::crc32c_append(seed, &data[at + 4..end]).to_le_bytes();
        data[at..at + 4].copy_from_slice(&crc);
        chain = crc32c::crc32c_append(chain, &crc);
        at = end;
    }
    let end = len - END_BYTES;
    data[end + 12..end + 16].copy_from_slice(&chain.to_le_bytes());
    data[end + 16..end + 24].copy_from_slice(&(len as u64).to_le_bytes());
    let crc = crc32c::crc32c_append(seed, &data[trailer..end]);
    let crc = crc32c::crc32c_append(crc, &data[end + 4..]);
    data[end..end + 4].copy_from_slice(&crc.to_le_bytes());
    data
}

/// A base and a run, with every kind of id and change.
pub fn seeds() -> Vec<Vec<u8>> {
    let disk = MemDisk::shared();
    let (books, people, gone) = (CollectionId(1), CollectionId(2), CollectionId(3));
    let entry = |n: u64, expires_at: Option<u64>| {
        let location = Location { file: FileNumber(1), offset: 100 };
        Entry { lsn: Lsn(n + 1), location, expires_at: expires_at.map(WallMs) }
    };
    let text = |n: u64| DocId::string(&format!("id {n}")).expect("a short text");
    let mut index = Index::new();
    for n in 0..5 {
        index.put(books, &DocId::U64(n), entry(n, (n % 2 == 0).then_some(n)));
        index.put(books, &text(n), entry(n, (n % 2 == 1).then_some(n)));
        index.put(people, &DocId::Uuid(uuid::Uuid::from_u128(n.into())), entry(n, None));
        index.put(gone, &DocId::U64(n), entry(n, None));
    }
    index.freeze();
    let base = index.merge(Target::Base).expect("there is a layer").run();
    let base_file = write(&disk, 1, Kind::Base, base.table());
    index.install(base).expect("the only merge");
    for n in 0..3 {
        index.delete(books, &DocId::U64(n), Lsn(10));
        index.put(books, &text(n + 3), entry(10, Some(9)));
    }
    index.drop_collection(gone);
    let layer = index.freeze().expect("there are changes");
    vec![base_file, write(&disk, 2, Kind::Run, Index::pack(&layer).run().table())]
}

fn write(disk: &DiskRef, number: u64, kind: Kind, table: &Table) -> Vec<u8> {
    let database = DatabaseId::from_bytes([7; 16]);
    let header = Header { database, number, kind, checkpoint: Lsn(20) };
    let info = file::write(disk, Path::new(DIR), header, table).expect("a disk without faults");
    let file = disk.open(&file::path(Path::new(DIR), number), Open::Read).expect("it was written");
    let mut bytes = vec![0; usize::try_from(info.bytes).expect("a small file")];
    read_exact_at(&*file, &mut bytes, 0).expect("a disk without faults");
    bytes
}
