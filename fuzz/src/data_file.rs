//! Bytes as a data file of the smallest geometry: looking at it, reading it, healing it and going on
//! with it give records that verify or typed errors, and healing never changes what was whole.
//!
//! The first byte says whether there is parity and how much of the file is verified. Checksums of
//! headers and tables are made to fit as well, so that the mutations reach the code behind them.

use std::path::Path;

use base::document::Document;
use base::io::{DiskRef, MemDisk, Open, write_all_at};
use base::words::{CollectionId, DocId, Lsn};
use docstore::Location;
use docstore::data::{
    Body, DataError, DataFile, DataWriter, Expected, FileHeader, Found, Geometry, Layout, Parity,
    Payloads, RecordRef, StoredRecord, inspect,
};

use crate::data_record::{identity, seed};

const DIR: &str = "/";

fn layout(choice: u8) -> Layout {
    let parity = if choice & 1 == 0 { Parity::On } else { Parity::Off };
    Layout { geometry: Geometry::Tiny, parity }
}

/// One input: as it is, and with headers and tables that fit.
pub fn run(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else { return };
    let layout = layout(*choice);
    let there = layout.data_len(bytes.len() as u64).min(1 << 20);
    // All of it, or what a manifest might say.
    let verified = if choice & 2 == 0 { there } else { there / 16 * 8 };
    work(bytes, layout, verified);
    work(&sealed(bytes, layout), layout, verified);
}

fn work(bytes: &[u8], layout: Layout, verified: u64) {
    let disk: DiskRef = MemDisk::shared();
    let path = identity().number.path(Path::new(DIR));
    let file = disk.open(&path, Open::CreateNew).expect("an empty disk");
    write_all_at(&*file, bytes, 0).expect("a disk in memory");
    inspect(&disk, &path, &mut |_| {}).expect("damage is no error");
    let header = FileHeader { identity: identity(), layout };
    let open = || DataFile::open_without_header(&disk, Path::new(DIR), header, verified);
    let file = open().expect("the file is there");
    let before = records(&file);
    file.heal_range(0..u64::MAX).expect("damage is no error");
    file.check_tail().expect("damage is no error");
    let after = records(&file);
    for record in &before {
        assert!(after.contains(record), "healing lost {record:?}");
    }
    file.heal_header().expect("a disk in memory");
    let continued = DataWriter::open_at(&disk, Path::new(DIR), identity(), verified);
    match continued {
        Ok(mut writer) => {
            let (id, collection, lsn) = (DocId::U64(1), CollectionId(1), Lsn(1));
            let record = RecordRef { collection, id: &id, lsn, body: Body::Tombstone };
            let location = writer.append(&record).expect("room in the file");
            assert_eq!(u64::from(location.offset), verified);
            let len = writer.publish().expect("a disk in memory").len;
            file.advance(len);
            let expected = Expected { collection, id: &id, lsn };
            let read = file.read(location, &expected).expect("the record just written");
            assert_eq!(read.as_ref(), Some(record));
        }
        Err(error) => assert!(matches!(error, DataError::Corrupt { .. }), "{error}"),
    }
}

/// Every record, each read by its location again.
fn records(file: &DataFile) -> Vec<StoredRecord> {
    let mut records = Vec::new();
    let mut at = 0;
    for found in file.records(0..u64::MAX, Payloads::Load) {
        match found.expect("damage is no error") {
            Found::Record(record) => {
                let Location { offset, .. } = record.location;
                assert!(u64::from(offset) >= at, "records go back");
                at = u64::from(offset) + u64::from(record.disk_bytes);
                records.push(record);
            }
            Found::Damage(damage) => {
                assert!(damage.range.start >= at && damage.range.end > damage.range.start);
                at = damage.range.end;
            }
        }
    }
    records
}

/// The input with headers and tables whose checksums fit.
fn sealed(bytes: &[u8], layout: Layout) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let header = FileHeader { identity: identity(), layout }.encode();
    if let Some(place) = bytes.get_mut(..header.len()) {
        place.copy_from_slice(&header);
    }
    for stripe in 0..64_u32 {
        let table = usize::try_from(layout.table_start(stripe.into())).unwrap_or(usize::MAX);
        let Some(table) = bytes.get_mut(table..table + layout.geometry.table_bytes()) else {
            break;
        };
        table[..8].copy_from_slice(b"DOCDBSTR");
        table[8..12].copy_from_slice(&stripe.to_le_bytes());
        let (checked, crc) = table.split_last_chunk_mut::<4>().expect("longer than that");
        *crc = crc32c::crc32c_append(seed(stripe), checked).to_le_bytes();
    }
    bytes
}

/// Files as the writer leaves them, closed and not.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for choice in 0..4 {
        let disk: DiskRef = MemDisk::shared();
        let writer = DataWriter::create(&disk, Path::new(DIR), identity(), layout(choice));
        let mut writer = writer.expect("an empty disk");
        for n in 0..12_u64 {
            let text = format!("[{}]", vec![n.to_string(); 150 * (n as usize % 4) + 1].join(","));
            let document = Document::parse(text.as_bytes()).expect("an array of numbers");
            let body = match n % 3 {
                2 => Body::Tombstone,
                _ => Body::Document { document: &document, expires_at: None },
            };
            let (id, collection, lsn) = (DocId::U64(n), CollectionId(1), Lsn(n + 1));
            writer.append(&RecordRef { collection, id: &id, lsn, body }).expect("room");
        }
        match choice {
            0 | 1 => drop(writer.finish().expect("a disk in memory")),
            _ => drop(writer.publish().expect("a disk in memory")),
        }
        let path = identity().number.path(Path::new(DIR));
        let file = disk.open(&path, Open::Read).expect("just written");
        let len = usize::try_from(file.len().expect("a disk in memory")).expect("a small file");
        let mut bytes = vec![0; len];
        base::io::read_exact_at(&*file, &mut bytes, 0).expect("a disk in memory");
        seeds.push([&[choice], &bytes[..]].concat());
    }
    seeds
}
