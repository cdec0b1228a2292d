//! Files whose checksums all fit and which break a rule: each is refused, and says which rule.
//!
//! They are made of a whole file by changing a few bytes and sealing it again, as a defect in
//! whatever wrote it would.

use std::path::Path;

use base::clock::WallMs;
use base::error::{Code, Coded as _};
use base::io::{MemDisk, Open, read_exact_at, write_all_at};
use base::words::{CollectionId, DatabaseId, DocId, Lsn};
use docstore::index::file::{self, Header, Kind};
use docstore::index::{Entry, Index, IndexError, Place, Table, Target, Wrong};
use docstore::{FileNumber, Location};

use super::entry;

const DIR: &str = "/";
const HEADER: usize = 64;
const END: usize = 32;
/// Bytes of a block's header, and of a number's slot.
const BLOCK: usize = 32;
const SLOT: usize = 24;

/// A file taken apart: its header, its blocks, the entries of its trailer, and its end.
struct Parts {
    header: Vec<u8>,
    blocks: Vec<Vec<u8>>,
    entries: Vec<u8>,
    end: Vec<u8>,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().unwrap())
}

fn put(bytes: &mut [u8], at: usize, with: &[u8]) {
    bytes[at..at + with.len()].copy_from_slice(with);
}

impl Parts {
    /// Of a file of `table`.
    fn of(kind: Kind, table: &Table) -> Self {
        let disk = MemDisk::shared();
        let database = DatabaseId::from_bytes([5; 16]);
        let header = Header { database, number: 1, kind, checkpoint: Lsn(100) };
        let info = file::write(&disk, Path::new(DIR), header, table).unwrap();
        let file = disk.open(&file::path(Path::new(DIR), 1), Open::Read).unwrap();
        let mut bytes = vec![0; usize::try_from(info.bytes).unwrap()];
        read_exact_at(&*file, &mut bytes, 0).unwrap();
        let end = bytes.split_off(bytes.len() - END);
        let entries = bytes.split_off(bytes.len() - 40 * word(&end, 4) as usize);
        let mut rest = bytes.split_off(HEADER);
        let mut blocks = Vec::new();
        while !rest.is_empty() {
            let next = rest.split_off(word(&rest, 4) as usize);
            blocks.push(std::mem::replace(&mut rest, next));
        }
        Self { header: bytes, blocks, entries, end }
    }

    /// The file, with every checksum made to fit and the length corrected.
    fn seal(mut self) -> Vec<u8> {
        let crc = crc32c::crc32c(&self.header[..60]);
        put(&mut self.header, 60, &crc.to_le_bytes());
        let seed = crc32c::crc32c(&self.header[16..40]);
        let mut chain = 0;
        for block in &mut self.blocks {
            let crc = crc32c::crc32c_append(seed, &block[4..]).to_le_bytes();
            put(block, 0, &crc);
            chain = crc32c::crc32c_append(chain, &crc);
        }
        let mut file = [self.header, self.blocks.concat(), self.entries.clone()].concat();
        let len = (file.len() + END) as u64;
        put(&mut self.end, 12, &chain.to_le_bytes());
        put(&mut self.end, 16, &len.to_le_bytes());
        let crc = crc32c::crc32c_append(seed, &self.entries);
        let crc = crc32c::crc32c_append(crc, &self.end[4..]);
        put(&mut self.end, 0, &crc.to_le_bytes());
        file.extend(self.end);
        file
    }
}

fn refusal(bytes: &[u8]) -> Option<(Place, Wrong)> {
    let disk = MemDisk::shared();
    let path = file::path(Path::new(DIR), 1);
    write_all_at(&*disk.open(&path, Open::CreateNew).unwrap(), bytes, 0).unwrap();
    file::inspect(&disk, &path).unwrap().damage.map(|damage| (damage.place, damage.wrong))
}

/// Collection 1 has three numbers and three texts, the second of each with an expiry; collection 2
/// a number.
fn base() -> Parts {
    let mut index = Index::new();
    for n in 1..=3 {
        let location = Location { file: FileNumber(1), offset: 1 };
        let entry = Entry { lsn: Lsn(n), location, expires_at: (n == 2).then_some(WallMs(9)) };
        index.put(CollectionId(1), &DocId::U64(n), entry);
        index.put(CollectionId(1), &DocId::string(&format!("id{n}")).unwrap(), entry);
    }
    index.put(CollectionId(2), &DocId::U64(1), entry(1));
    super::settle(&mut index, Target::Base);
    Parts::of(Kind::Base, index.base())
}

/// Replaces a document with an expiry, deletes another, and drops collection 2.
fn run() -> Parts {
    let mut index = Index::new();
    for n in 1..=3 {
        index.put(CollectionId(1), &DocId::U64(n), super::expiring(n, 9));
    }
    super::settle(&mut index, Target::Base);
    index.put(CollectionId(1), &DocId::U64(1), super::expiring(5, 8));
    index.delete(CollectionId(1), &DocId::U64(3), Lsn(6));
    index.drop_collection(CollectionId(2));
    let layer = index.freeze().unwrap();
    Parts::of(Kind::Run, Index::pack(&layer).run().table())
}

/// Changes a whole file and says what must be said of it.
fn check(mut parts: Parts, change: fn(&mut Parts), place: Place, rule: &str) {
    change(&mut parts);
    match refusal(&parts.seal()) {
        Some((found, Wrong::Rule(text))) => {
            assert_eq!(found, place, "{text}");
            assert!(text.contains(rule), "{text:?} where {rule:?} was broken");
        }
        other => panic!("{other:?} where {rule:?} was broken"),
    }
}

#[test]
fn what_is_only_sealed_again_is_whole() {
    assert_eq!(refusal(&base().seal()), None);
    assert_eq!(refusal(&run().seal()), None);
    assert_eq!((base().blocks.len(), run().blocks.len()), (3, 1));
}

#[test]
fn a_header_that_breaks_a_rule_is_refused() {
    let at = Place::Header;
    check(base(), |p| p.header[8] = 0, at, "never was such a version");
    check(base(), |p| p.header[12] = 3, at, "neither a base nor a run");
    check(base(), |p| p.header[47] = 1, at, "beyond the last LSN");
    check(base(), |p| p.header[50] = 1, at, "not zero");
    let mut later = base();
    later.header[8] = 2;
    assert_eq!(refusal(&later.seal()), Some((at, Wrong::Version(2))));
    let mut foreign = base();
    foreign.header[0] = b'X';
    assert_eq!(refusal(&foreign.seal()), Some((at, Wrong::Magic)));
}

#[test]
fn a_block_that_breaks_a_rule_is_refused() {
    let (first, second) = (Place::Block(0), Place::Block(1));
    let order = "out of order or no ids";
    check(base(), |p| put(&mut p.blocks[0], BLOCK + SLOT, &[1]), first, order);
    check(base(), |p| put(&mut p.blocks[0], BLOCK, &[2]), first, order);
    // The ids are the last bytes of the second block: `3id1`, `3id2` and `3id3` by their tag.
    check(base(), |p| *p.blocks[1].last_mut().unwrap() = b'2', second, order);
    check(base(), |p| *p.blocks[1].last_mut().unwrap() = 0xFF, second, order);
    check(base(), |p| *p.blocks[1].iter_mut().nth_back(11).unwrap() = 1, second, order);
    check(base(), |p| *p.blocks[1].iter_mut().nth_back(13).unwrap() = 9, second, order);
    check(base(), |p| p.blocks[0][16] = 4, first, "do not add up");
    check(base(), |p| p.blocks[0][20] = 2, first, "do not add up");
    check(base(), |p| p.blocks[1][18] = 13, second, "do not add up");
    let longer = |p: &mut Parts| {
        p.blocks[0].push(0);
        p.blocks[0][4] += 1;
    };
    check(base(), longer, first, "do not add up");
    check(base(), |p| p.blocks[0][4..8].fill(0xFF), first, "shorter or longer");
    check(base(), |p| p.blocks[0][24] = 3, first, "no known kind");
    check(base(), |p| p.blocks[0][30] = 3, first, "not zero");
    check(base(), |p| p.blocks[0][8] = 1, first, "another place");
    check(base(), |p| p.blocks[0][12] = 7, first, "another place");
    check(base(), |p| p.blocks.swap(0, 1), first, "another place");
}

#[test]
fn blocks_of_one_collection_that_are_out_of_order_are_refused() {
    // The second block gets the first one's ids, and so starts before it ends.
    let swap = |p: &mut Parts| {
        let mut again = p.blocks[0].clone();
        again[8] = 1;
        p.blocks[1] = again;
    };
    check(base(), swap, Place::Block(1), "out of order with those before");
}

#[test]
fn flags_that_contradict_one_another_are_refused() {
    let at = Place::Block(0);
    // The tagged LSN is the last word of a slot: the LSN times 16, and the flags.
    fn tag(p: &mut Parts, slot: usize, tagged: u64) {
        put(&mut p.blocks[0], BLOCK + SLOT * slot + 16, &tagged.to_le_bytes());
    }
    check(base(), |p| tag(p, 0, 0), at, "LSN");
    check(base(), |p| tag(p, 0, ((1 << 56) + 1) << 4), at, "LSN");
    for flag in [1, 4, 8] {
        let change = match flag {
            1 => |p: &mut Parts| tag(p, 0, 16 + 1),
            4 => |p: &mut Parts| tag(p, 0, 16 + 4),
            _ => |p: &mut Parts| tag(p, 0, 16 + 8),
        };
        check(base(), change, at, "no document");
    }
    check(base(), |p| tag(p, 0, 16 + 2), at, "an expiry is missing");
    check(base(), |p| tag(p, 1, 16), at, "more expiries");
    check(run(), |p| tag(p, 1, 16 + 1), at, "a tombstone");
    check(run(), |p| tag(p, 1, 16 + 4 + 2 + 1), at, "a tombstone");
    check(run(), |p| p.blocks[0][BLOCK + SLOT + 8] = 1, at, "a tombstone");
    check(run(), |p| tag(p, 0, 16 + 8 + 2), at, "covered where no document is");
    check(run(), |p| tag(p, 1, 16 + 4 + 1), at, "more expiries");
}

#[test]
fn a_trailer_that_breaks_a_rule_is_refused() {
    let at = Place::Trailer;
    check(base(), |p| p.entries[0] = 2, at, "out of order");
    check(base(), |p| p.entries[4] = 3, at, "cannot be");
    check(base(), |p| p.entries[8] = 0, at, "cannot be");
    check(base(), |p| p.entries[12] = 1, at, "cannot be");
    check(base(), |p| p.entries[16] = 7, at, "other changes than");
    check(base(), |p| p.entries[8] = 3, at, "do not add up");
    check(base(), |p| p.end[8] = 2, at, "do not add up");
    check(run(), |p| p.entries[40 + 8] = 1, at, "cannot be");
    // A base in which something was dropped.
    check(run(), |p| p.header[12] = 1, at, "cannot be");
    // A block that no collection counts.
    let extra = |p: &mut Parts| {
        let mut block = p.blocks[2].clone();
        block[8] = 3;
        p.blocks.push(block);
    };
    check(base(), extra, at, "between the blocks and the trailer");
}

#[test]
fn a_refused_file_is_a_corrupt_record_and_one_with_a_bad_checksum_a_mismatch() {
    for (at, code) in [(HEADER + 40, Code::CrcMismatch), (0, Code::CorruptRecord)] {
        let disk = MemDisk::shared();
        let header = Header {
            database: DatabaseId::from_bytes([5; 16]),
            number: 1,
            kind: Kind::Base,
            checkpoint: Lsn(100),
        };
        let mut index = super::filled(0..9);
        super::settle(&mut index, Target::Base);
        let info = file::write(&disk, Path::new(DIR), header, index.base()).unwrap();
        let file = disk.open(&file::path(Path::new(DIR), 1), Open::Write).unwrap();
        write_all_at(&*file, b"\xA5", at as u64).unwrap();
        let error: IndexError = file::load(&disk, Path::new(DIR), &info).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
}
