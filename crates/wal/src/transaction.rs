//! A transaction on its way into the log: frames laid end to end, without their LSNs.
//!
//! Payload checksums are computed here, on the caller's thread; LSN, hint and header checksum come
//! later. Above [`crate::Options::spool_bytes`] the frames wait in a file, so that memory stays
//! bounded; the file is removed when the transaction is dropped or written.

use std::path::PathBuf;

use base::io::{DiskRef, FileRef, Open, read_exact_at, write_all_at};
use base::limits::{TXN_BYTES_MAX, TXN_OPS_MAX};
use base::words::{Change, Lsn};

use crate::error::{Op, Result, WalError};
use crate::frame::{self, HEADER_BYTES, Header, Kind, PAYLOAD_BYTES_MAX, Place};
use crate::payload;

/// Bytes of a frame beside its document, at most, padding included: for reserving only.
const PUT_OVERHEAD: usize = HEADER_BYTES + 128;

/// Which space a transaction may use when the disk is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Class {
    /// Only what is free.
    #[default]
    Normal,
    /// Also the reserve: for deletes, expiry, checkpoints and compaction, which free space.
    Reclaim,
}

/// Frames that belong together: all of them take effect or none.
#[derive(Debug)]
pub struct Transaction {
    buffer: Vec<u8>,
    spool: Option<Spool>,
    frames: u32,
    bytes: u64,
    payload_bytes: u64,
    /// Where in `buffer` the last frame starts.
    last_at: usize,
    class: Class,
    epoch: Option<u64>,
    spool_bytes: usize,
    place: Option<SpoolPlace>,
}

/// Where a spool file goes when one is needed.
#[derive(Debug, Clone)]
pub(crate) struct SpoolPlace {
    pub(crate) disk: DiskRef,
    pub(crate) path: PathBuf,
}

impl Transaction {
    /// An empty transaction that stays in memory.
    #[must_use]
    pub fn new() -> Self {
        Self::with_place(usize::MAX, None)
    }

    pub(crate) fn with_place(spool_bytes: usize, place: Option<SpoolPlace>) -> Self {
        Self {
            buffer: Vec::new(),
            spool: None,
            frames: 0,
            bytes: 0,
            payload_bytes: 0,
            last_at: 0,
            class: Class::Normal,
            epoch: None,
            spool_bytes,
            place,
        }
    }

    /// Sets which space it may use when the disk is full.
    #[must_use]
    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// Says in which epoch it was worked out ([`crate::Log::epoch`]): in a later one it is refused,
    /// because what it rests on may never be.
    #[must_use]
    pub fn in_epoch(mut self, epoch: u64) -> Self {
        self.epoch = Some(epoch);
        self
    }

    pub(crate) fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// Adds a change.
    ///
    /// # Errors
    /// `PayloadTooLarge` over the limits on frames, bytes and payloads; the disk's when the
    /// transaction waits in a file. The transaction is as before then.
    pub fn push(&mut self, change: &Change) -> Result<()> {
        if self.buffer.is_empty()
            && let Change::Put { document, .. } = change
        {
            // Most transactions are one change: one allocation for its frame, not one per doubling.
            self.buffer.reserve(document.as_bytes().len() + PUT_OVERHEAD);
        }
        self.add(|out| payload::encode(change, out))
    }

    /// Adds a frame that carries an LSN: a checkpoint or a gap.
    pub(crate) fn push_lsn(&mut self, kind: Kind, lsn: Lsn) -> Result<()> {
        self.add(|out| {
            out.extend_from_slice(&lsn.0.to_le_bytes());
            kind
        })
    }

    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Kind) -> Result<()> {
        let limit = |what, value, limit| Err(WalError::TooLarge { what, value, limit });
        if self.frames >= TXN_OPS_MAX {
            let max = u64::from(TXN_OPS_MAX);
            return limit("the number of changes in a transaction", max + 1, max);
        }
        let at = self.buffer.len();
        self.buffer.resize(at + HEADER_BYTES, 0);
        let kind = write(&mut self.buffer);
        let payload = self.buffer.get(at + HEADER_BYTES..).unwrap_or_default();
        let (len, crc) = (payload.len(), crc32c::crc32c(payload));
        let total = self.payload_bytes + len as u64;
        if len > PAYLOAD_BYTES_MAX || total > TXN_BYTES_MAX {
            self.buffer.truncate(at);
            return if len > PAYLOAD_BYTES_MAX {
                limit("a change", len as u64, PAYLOAD_BYTES_MAX as u64)
            } else {
                limit("a transaction", total, TXN_BYTES_MAX)
            };
        }
        let header = Header {
            len: u32::try_from(len).expect("checked against the payload limit"),
            lsn: Lsn::ZERO,
            hint: Lsn::ZERO,
            wall_ms: 0,
            kind,
            place: Place::Inside,
            tx_index: self.frames,
            payload_crc: crc,
        };
        self.buffer[at..at + HEADER_BYTES].copy_from_slice(&header.encode());
        let frame = frame::frame_bytes(len);
        self.buffer.resize(at + frame, 0);
        self.spill(at)?;
        self.frames += 1;
        self.bytes += frame as u64;
        self.payload_bytes = total;
        Ok(())
    }

    /// Moves everything before the frame at `at` to the file when the buffer is over its size.
    /// The last frame stays in memory: its header still lacks the commit flag.
    fn spill(&mut self, at: usize) -> Result<()> {
        self.last_at = at;
        if self.buffer.len() <= self.spool_bytes || at == 0 {
            return Ok(());
        }
        let Some(place) = &self.place else { return Ok(()) };
        let head = self.buffer.get(..at).unwrap_or_default();
        let written = match &mut self.spool {
            Some(spool) => spool.append(head),
            None => Spool::create(place).and_then(|spool| self.spool.insert(spool).append(head)),
        };
        if let Err(e) = written {
            self.buffer.truncate(at);
            return Err(e);
        }
        self.buffer.drain(..at);
        self.last_at = 0;
        Ok(())
    }

    /// Number of changes.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.frames
    }

    /// Whether there is no change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// Bytes it takes in the log, headers and padding included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn space_class(&self) -> Class {
        self.class
    }

    /// Marks the last frame and gives the frames up: those in the file, then those in memory.
    pub(crate) fn finish(mut self) -> (Option<Spool>, Vec<u8>) {
        if let Some(flags) = self.buffer.get_mut(self.last_at + 31) {
            *flags = 1;
        }
        (self.spool, self.buffer)
    }
}

impl Default for Transaction {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes LSNs and the wall time into the frames of `buffer`, the first of which gets `first`.
pub(crate) fn stamp(buffer: &mut [u8], first: Lsn, wall_ms: u64) {
    let mut lsn = first;
    let mut at = 0;
    while let Some(header) = buffer.get_mut(at..at + HEADER_BYTES) {
        header[8..16].copy_from_slice(&lsn.0.to_le_bytes());
        header[24..30].copy_from_slice(&wall_ms.to_le_bytes()[..6]);
        at += frame_len(header);
        lsn = lsn.next();
    }
}

/// Length of the frame whose encoded header this is, bytes, padding included.
pub(crate) fn frame_len(header: &[u8]) -> usize {
    let len = header.get(4..8).and_then(|b| b.first_chunk().copied()).unwrap_or_default();
    frame::frame_bytes(u32::from_le_bytes(len) as usize)
}

/// Frames waiting in a file. Nothing in it needs to survive anything: it is not part of the log.
#[derive(Debug)]
pub(crate) struct Spool {
    disk: DiskRef,
    path: PathBuf,
    file: FileRef,
    len: u64,
}

impl Spool {
    fn create(place: &SpoolPlace) -> Result<Self> {
        let file = place
            .disk
            .open(&place.path, Open::CreateNew)
            .map_err(|e| WalError::io(Op::Open, &place.path, e))?;
        Ok(Self { disk: DiskRef::clone(&place.disk), path: place.path.clone(), file, len: 0 })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        write_all_at(&*self.file, bytes, self.len)
            .map_err(|e| WalError::io(Op::Write, &self.path, e))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Bytes of whole frames in the file.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Reads whole frames from `at`: as many as fit in `about` bytes, at least one.
    pub(crate) fn read(&self, at: u64, about: usize) -> Result<Vec<u8>> {
        let fail = |e| WalError::io(Op::Read, &self.path, e);
        let want = usize::try_from(self.len - at).unwrap_or(usize::MAX).min(about);
        let mut out = vec![0; want];
        read_exact_at(&*self.file, &mut out, at).map_err(fail)?;
        let mut whole = 0;
        while let Some(header) = out.get(whole..whole + HEADER_BYTES) {
            let len = frame_len(header);
            if whole + len > out.len() {
                if whole == 0 {
                    out.resize(len, 0);
                    read_exact_at(&*self.file, &mut out, at).map_err(fail)?;
                    whole = len;
                }
                break;
            }
            whole += len;
        }
        out.truncate(whole);
        Ok(out)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if let Err(e) = self.disk.remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), error = %e, "spool file left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::document::Document;
    use base::io::MemDisk;
    use base::words::{CollectionId, DocId};

    fn put(n: u64, bytes: usize) -> Change {
        Change::Put {
            collection: CollectionId(1),
            id: DocId::U64(n),
            replaces: Lsn::ZERO,
            expires_at: None,
            document: Document::from_checksummed(&vec![b'1'; bytes]),
        }
    }

    #[test]
    fn a_spooled_transaction_has_the_frames_of_one_in_memory() {
        let disk = MemDisk::shared();
        let path = PathBuf::from("/spool-1");
        let place = SpoolPlace { disk: DiskRef::clone(&disk), path: path.clone() };
        let mut spooled = Transaction::with_place(500, Some(place));
        let mut plain = Transaction::new();
        for n in 0..40 {
            for tx in [&mut spooled, &mut plain] {
                tx.push(&put(n, 10 + usize::try_from(n).unwrap() * 20)).unwrap();
            }
        }
        assert_eq!(spooled.bytes(), plain.bytes());
        let (spool, tail) = spooled.finish();
        let (none, mut whole) = plain.finish();
        assert!(none.is_none());
        let spool = spool.unwrap();
        let mut joined = Vec::new();
        while (joined.len() as u64) < spool.len() {
            joined.extend(spool.read(joined.len() as u64, 300).unwrap());
        }
        joined.extend(tail);
        stamp(&mut joined, Lsn(5), 77);
        stamp(&mut whole, Lsn(5), 77);
        assert_eq!(joined, whole);
        drop(spool);
        assert_eq!(disk.stat(&path).unwrap(), None, "the file is gone with the transaction");
    }

    #[test]
    fn what_is_over_a_limit_is_refused_and_leaves_the_transaction_as_it_was() {
        let mut tx = Transaction::new();
        tx.push(&put(1, 10)).unwrap();
        let before = tx.bytes();
        let error = tx.push(&put(2, PAYLOAD_BYTES_MAX)).unwrap_err();
        assert_eq!(error.code(), base::error::Code::PayloadTooLarge);
        assert_eq!((tx.bytes(), tx.len()), (before, 1));
    }
}
