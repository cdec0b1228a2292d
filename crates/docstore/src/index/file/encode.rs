//! Writing an index file.

use std::path::Path;
use std::sync::Arc;

use base::io::{DiskRef, FileRef, Open, write_all_at};
use base::words::CollectionId;
use wal::Op;

use super::super::block::{Block, Slots};
use super::super::error::{IndexError, Result};
use super::super::table::{Part, Table};
use super::{
    BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, END_MAGIC, FileInfo, HEADER_BYTES, Header, Kind, MAGIC,
    VERSION, path, seed,
};

/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 1024 * 1024;

/// Writes the file of `header` into `dir` and makes its bytes durable; its name is durable once the
/// directory was synced too. A file that a failed attempt left under that name is replaced.
///
/// # Errors
/// The disk's: the file is worth nothing then, and is removed if that is possible. Trying again
/// later is safe.
///
/// # Panics
/// When a base is to be written of a table that is a layer.
pub fn write(disk: &DiskRef, dir: &Path, header: Header, table: &Table) -> Result<FileInfo> {
    let is_base = table.parts().all(|(_, part)| match &**part {
        Part::Dropped => false,
        Part::Changed(blocks) => blocks.tally().tombstones + blocks.tally().covered == 0,
    });
    assert!(is_base || header.kind == Kind::Run, "a base holds live documents alone");
    let path = path(dir, header.number);
    let written = write_file(disk, &path, header, table);
    if written.is_err() {
        // The error that is reported is the first one.
        let _ = disk.remove_file(&path);
    }
    written
}

fn write_file(disk: &DiskRef, path: &Path, header: Header, table: &Table) -> Result<FileInfo> {
    let refused = |e| IndexError::io(Op::Open, path, e);
    if disk.stat(path).map_err(refused)?.is_some() {
        disk.remove_file(path).map_err(refused)?;
    }
    let file = disk.open(path, Open::CreateNew).map_err(refused)?;
    let mut writer = Writer { file, path, buffer: Vec::with_capacity(BUFFER_BYTES), at: 0 };
    writer.buffer.extend_from_slice(&encode_header(&header));
    let seed = seed(&header);
    let mut trailer = Trailer::default();
    for (collection, part) in table.parts() {
        if let Part::Changed(blocks) = &**part {
            for block in blocks.iter() {
                writer.make_room()?;
                let crc = encode_block(block, collection, trailer.blocks, seed, &mut writer.buffer);
                trailer.blocks += 1;
                trailer.chain = crc32c::crc32c_append(trailer.chain, &crc.to_le_bytes());
            }
        }
        trailer.add(collection, part);
    }
    let at = writer.at + writer.buffer.len() as u64;
    let checksum = trailer.encode(seed, at, &mut writer.buffer);
    writer.flush()?;
    writer.file.sync_data().map_err(|e| IndexError::io(Op::Sync, path, e))?;
    Ok(FileInfo { header, bytes: writer.at, entries: table.len(), checksum })
}

struct Writer<'a> {
    file: FileRef,
    path: &'a Path,
    buffer: Vec<u8>,
    /// Where the buffer belongs.
    at: u64,
}

impl Writer<'_> {
    /// Writes what waits if another block would not fit beside it.
    fn make_room(&mut self) -> Result<()> {
        if self.buffer.len() + BLOCK_BYTES_MAX > BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        write_all_at(&*self.file, &self.buffer, self.at)
            .map_err(|e| IndexError::io(Op::Write, self.path, e))?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

fn encode_header(header: &Header) -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    out[0..8].copy_from_slice(MAGIC);
    out[8..12].copy_from_slice(&VERSION.to_le_bytes());
    out[12..16].copy_from_slice(&header.kind.number().to_le_bytes());
    out[16..32].copy_from_slice(header.database.as_bytes());
    out[32..40].copy_from_slice(&header.number.to_le_bytes());
    out[40..48].copy_from_slice(&header.checkpoint.0.to_le_bytes());
    let crc = crc32c::crc32c(&out[..60]);
    out[60..].copy_from_slice(&crc.to_le_bytes());
    out
}

/// A length within a block.
fn short(len: usize) -> [u8; 2] {
    u16::try_from(len).expect("a block is at most 64 KiB").to_le_bytes()
}

/// Appends a block and answers its checksum.
fn encode_block(
    block: &Block,
    collection: CollectionId,
    position: u32,
    seed: u32,
    out: &mut Vec<u8>,
) -> u32 {
    let start = out.len();
    out.resize(start + BLOCK_HEADER_BYTES, 0);
    let (slots, expiries, covered) = block.parts();
    let mut words =
        |words: &[u64]| words.iter().for_each(|w| out.extend_from_slice(&w.to_le_bytes()));
    let (kind, id_bytes) = match slots {
        Slots::Numbers(slots) => {
            slots.iter().for_each(|slot| words(slot));
            (1_u8, 0)
        }
        Slots::Others { ids, slots, .. } => {
            slots.iter().for_each(|slot| words(slot));
            (2, ids.len())
        }
    };
    words(&expiries.ms);
    words(&covered.ms);
    let mut shorts =
        |list: &[u16]| list.iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
    shorts(&expiries.at);
    shorts(&covered.at);
    if let Slots::Others { ends, ids, .. } = slots {
        shorts(ends);
        out.extend_from_slice(ids);
    }
    let bytes = &mut out[start..];
    let len = u32::try_from(bytes.len()).expect("a block is at most 64 KiB");
    bytes[4..8].copy_from_slice(&len.to_le_bytes());
    bytes[8..12].copy_from_slice(&position.to_le_bytes());
    bytes[12..16].copy_from_slice(&collection.0.to_le_bytes());
    bytes[16..18].copy_from_slice(&short(block.len()));
    bytes[18..20].copy_from_slice(&short(id_bytes));
    bytes[20..22].copy_from_slice(&short(expiries.at.len()));
    bytes[22..24].copy_from_slice(&short(covered.at.len()));
    bytes[24] = kind;
    let crc = crc32c::crc32c_append(seed, &bytes[4..]);
    bytes[0..4].copy_from_slice(&crc.to_le_bytes());
    crc
}

/// The trailer in the making.
#[derive(Default)]
struct Trailer {
    entries: Vec<u8>,
    collections: u32,
    blocks: u32,
    chain: u32,
}

impl Trailer {
    fn add(&mut self, collection: CollectionId, part: &Arc<Part>) {
        let (state, blocks, tally) = match &**part {
            Part::Dropped => (2_u32, 0, Default::default()),
            Part::Changed(blocks) => (1, blocks.iter().len(), *blocks.tally()),
        };
        let blocks = u32::try_from(blocks).expect("memory holds fewer blocks");
        for word in [collection.0, state, blocks, 0] {
            self.entries.extend_from_slice(&word.to_le_bytes());
        }
        for word in [tally.puts, tally.tombstones, tally.covered] {
            self.entries.extend_from_slice(&word.to_le_bytes());
        }
        self.collections += 1;
    }

    /// Appends the trailer, which starts at `at`, and answers its checksum.
    fn encode(self, seed: u32, at: u64, out: &mut Vec<u8>) -> u32 {
        let len = at + (self.entries.len() + super::END_BYTES) as u64;
        let mut end = Vec::with_capacity(super::END_BYTES);
        for word in [self.collections, self.blocks, self.chain] {
            end.extend_from_slice(&word.to_le_bytes());
        }
        end.extend_from_slice(&len.to_le_bytes());
        end.extend_from_slice(END_MAGIC);
        let crc = crc32c::crc32c_append(crc32c::crc32c_append(seed, &self.entries), &end);
        out.extend_from_slice(&self.entries);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&end);
        crc
    }
}
