//! Reading an index file: in one sequential pass, a mebibyte at a time, straight into the table.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::path::Path;
use std::sync::Arc;

use base::io::{DiskRef, FileRef, Open, read_full_at};
use wal::Op;

use super::super::error::{IndexError, Place, Result, Wrong};
use super::super::table::{Blocks, Part, Table};
use super::decode::{self, End, Listed, Whereabouts};
use super::{
    BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, COLLECTION_BYTES, END_BYTES, FileInfo, HEADER_BYTES, path,
    seed,
};

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 1024 * 1024;

/// Loads the file that `info` describes, and checks all of it. Takes the memory of the table and
/// about a mebibyte more, and never more than the file's length justifies.
///
/// # Errors
/// [`IndexError::Corrupt`] names the file and the place when it is not what was written, or not
/// the file of `info`; otherwise the disk's. Trying again helps against neither, except where the
/// disk's error is a passing one.
pub fn load(disk: &DiskRef, dir: &Path, info: &FileInfo) -> Result<Table> {
    let path = path(dir, info.header.number);
    read(disk, &path, Some(info)).map(|(_, table)| table)
}

/// Reads the file at `path`, which is the one of `expected` if that is given.
pub(super) fn read(
    disk: &DiskRef,
    path: &Path,
    expected: Option<&FileInfo>,
) -> Result<(FileInfo, Table)> {
    let file = disk.open(path, Open::Read).map_err(|e| IndexError::io(Op::Open, path, e))?;
    let len = file.len().map_err(|e| IndexError::io(Op::Read, path, e))?;
    let outline = Outline::read(&file, path, len)?;
    if expected.is_some_and(|expected| *expected != outline.info) {
        let wrong = match expected.map(|expected| expected.header.database) {
            Some(ours) if ours != outline.info.header.database => {
                Wrong::Database(outline.info.header.database)
            }
            Some(_) | None => Wrong::Other,
        };
        return Err(IndexError::corrupt(path, Place::Header, 0, wrong));
    }
    let mut blocks = BlockReader {
        stream: Stream::new(&file, path, HEADER_BYTES as u64, outline.blocks_end),
        seed: seed(&outline.info.header),
        position: 0,
        chain: 0,
    };
    let mut table = Table::new();
    for listed in &outline.listed {
        let part = if listed.is_dropped {
            Part::Dropped
        } else {
            Part::Changed(blocks.collection(listed, &outline)?)
        };
        table.insert(listed.collection, Arc::new(part));
    }
    let damaged = |wrong| IndexError::corrupt(path, Place::Trailer, outline.blocks_end, wrong);
    if blocks.stream.remaining() != 0 {
        return Err(damaged(Wrong::Rule("something stands between the blocks and the trailer")));
    }
    if blocks.chain != outline.end.chain {
        return Err(damaged(Wrong::Checksum));
    }
    Ok((outline.info, table))
}

/// What the header and the trailer say.
pub(super) struct Outline {
    pub(super) info: FileInfo,
    pub(super) listed: Vec<Listed>,
    end: End,
    /// Where the trailer starts.
    blocks_end: u64,
}

impl Outline {
    fn read(file: &FileRef, path: &Path, len: u64) -> Result<Self> {
        let at_header = |wrong| IndexError::corrupt(path, Place::Header, 0, wrong);
        let read = |buf: &mut [u8], at| {
            let got =
                read_full_at(&**file, buf, at).map_err(|e| IndexError::io(Op::Read, path, e))?;
            if got == buf.len() { Ok(()) } else { Err(at_header(Wrong::Short)) }
        };
        let mut bytes = [0; HEADER_BYTES];
        read(&mut bytes, 0)?;
        let header = decode::header(&bytes).map_err(at_header)?;
        let end_at = len.checked_sub(END_BYTES as u64).filter(|at| *at >= HEADER_BYTES as u64);
        let end_at = end_at.ok_or_else(|| at_header(Wrong::Short))?;
        let at_trailer = |wrong| IndexError::corrupt(path, Place::Trailer, end_at, wrong);
        let mut tail = [0; END_BYTES];
        read(&mut tail, end_at)?;
        let end = decode::end(&tail).map_err(at_trailer)?;
        if end.file_bytes != len {
            return Err(at_trailer(Wrong::Rule("the file has another length than it says")));
        }
        let blocks_end = (COLLECTION_BYTES as u64)
            .checked_mul(u64::from(end.collections))
            .and_then(|bytes| end_at.checked_sub(bytes))
            .filter(|at| *at >= HEADER_BYTES as u64)
            .ok_or_else(|| at_trailer(Wrong::Short))?;
        let bytes = usize::try_from(len.saturating_sub(blocks_end));
        let mut trailer = vec![0; bytes.map_err(|_| at_trailer(Wrong::Short))?];
        read(&mut trailer, blocks_end)?;
        let listed =
            decode::trailer(&trailer, &end, seed(&header), header.kind).map_err(at_trailer)?;
        let (_, entries) =
            totals(&listed)
                .filter(|(blocks, _)| *blocks == u64::from(end.blocks))
                .ok_or_else(|| at_trailer(Wrong::Rule("the trailer's numbers do not add up")))?;
        let info = FileInfo { header, bytes: len, entries, checksum: end.checksum };
        Ok(Self { info, listed, end, blocks_end })
    }
}

/// How many blocks and changes the collections have together.
fn totals(listed: &[Listed]) -> Option<(u64, u64)> {
    listed.iter().try_fold((0_u64, 0_u64), |(blocks, entries), listed| {
        let more = listed.tally.puts.checked_add(listed.tally.tombstones)?;
        Some((blocks.checked_add(u64::from(listed.blocks))?, entries.checked_add(more)?))
    })
}

/// Reads one block after the other.
struct BlockReader<'a> {
    stream: Stream<'a>,
    seed: u32,
    position: u32,
    chain: u32,
}

impl BlockReader<'_> {
    /// Reads the blocks of one collection.
    fn collection(&mut self, listed: &Listed, outline: &Outline) -> Result<Blocks> {
        let mut blocks = Blocks::default();
        for _ in 0..listed.blocks {
            self.block(listed, outline, &mut blocks)?;
        }
        if *blocks.tally() == listed.tally {
            Ok(blocks)
        } else {
            let wrong = Wrong::Rule("a collection has other changes than the trailer says");
            Err(IndexError::corrupt(self.stream.path, Place::Trailer, outline.blocks_end, wrong))
        }
    }

    fn block(&mut self, listed: &Listed, outline: &Outline, blocks: &mut Blocks) -> Result<()> {
        let (path, at, position) = (self.stream.path, self.stream.at, self.position);
        let damaged = |wrong| IndexError::corrupt(path, Place::Block(position), at, wrong);
        let header = self.stream.peek(BLOCK_HEADER_BYTES)?.and_then(|bytes| bytes.first_chunk());
        let len = decode::block_len(header.ok_or_else(|| damaged(Wrong::Short))?);
        let len = len.map_err(damaged)?;
        let bytes = self.stream.peek(len)?.ok_or_else(|| damaged(Wrong::Short))?;
        let place = Whereabouts { position, collection: listed.collection };
        let decoded = decode::block(bytes, place, self.seed, outline.info.header.kind);
        let (block, crc) = decoded.map_err(damaged)?;
        if blocks.last_key().is_some_and(|last| last >= block.first()) {
            return Err(damaged(Wrong::Rule("the block's ids are out of order with those before")));
        }
        self.chain = crc32c::crc32c_append(self.chain, &crc.to_le_bytes());
        self.stream.skip(len);
        self.position = self.position.saturating_add(1);
        blocks.push(Arc::new(block));
        Ok(())
    }
}

/// A part of a file, from its start to its end.
struct Stream<'a> {
    file: &'a FileRef,
    path: &'a Path,
    buffer: Vec<u8>,
    /// Where in the buffer the next byte is.
    next: usize,
    /// Where in the file that is.
    at: u64,
    end: u64,
}

impl<'a> Stream<'a> {
    fn new(file: &'a FileRef, path: &'a Path, at: u64, end: u64) -> Self {
        Self { file, path, buffer: Vec::new(), next: 0, at, end }
    }

    fn remaining(&self) -> u64 {
        self.end.saturating_sub(self.at)
    }

    /// The next `n` bytes, at most a block; `None` when there are fewer.
    fn peek(&mut self, n: usize) -> Result<Option<&[u8]>> {
        debug_assert!(n <= BLOCK_BYTES_MAX, "more than one block");
        if self.remaining() < n as u64 {
            return Ok(None);
        }
        if self.buffer.len().saturating_sub(self.next) < n {
            self.fill()?;
        }
        let end = self.next.saturating_add(n);
        Ok(self.buffer.get(self.next..end))
    }

    fn skip(&mut self, n: usize) {
        self.next = self.next.saturating_add(n);
        self.at = self.at.saturating_add(n as u64);
    }

    /// Fills the buffer from where the next byte is.
    fn fill(&mut self) -> Result<()> {
        let want = usize::try_from(self.remaining()).unwrap_or(usize::MAX).min(BUFFER_BYTES);
        self.buffer.resize(want, 0);
        let got = read_full_at(&**self.file, &mut self.buffer, self.at)
            .map_err(|e| IndexError::io(Op::Read, self.path, e))?;
        self.buffer.truncate(got);
        self.next = 0;
        Ok(())
    }
}
