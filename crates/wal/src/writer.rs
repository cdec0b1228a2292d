//! Writing frames into the active segment: a state machine without threads and without waiting.
//!
//! Invariants:
//! - Only one caller at a time, the leader of the group commit, has the writer.
//! - Nothing is written into a file under a segment's name before its header and its name are
//!   durable.
//! - Transactions that fit into one segment are never split, so a write that fails can be taken
//!   back whole: the bytes behind the last good one are zeroed and synced before anybody hears of
//!   the failure. When that fails too, or any sync fails, the log is poisoned.
//! - No byte of a transaction is written before all the space that it needs is claimed: a full
//!   disk refuses, it never poisons (`large` for those that need more than one segment).
//! - Nothing is written behind the end that the header of a begun segment names, be its name durable
//!   or not: after a crash that header may be the newest, and what is behind the end is no part of
//!   the log then.

mod large;

use std::collections::VecDeque;
use std::path::PathBuf;

use base::clock::ClockRef;
use base::io::{DiskRef, FileRef, is_untried, write_all_at, zero_range};
use base::words::{DatabaseId, Lsn};

use crate::catalog::{Catalog, Segment};
use crate::claims::{Claims, Spare};
use crate::error::{Op, WalError};
use crate::frame::{self, HEADER_BYTES, Header, Kind, Place, Seed};
use crate::options::{FsyncMode, Options};
use crate::segment::{self, FileName};
use crate::sync::{Arc, Mutex, lock};
use crate::transaction::{Class, Spool, frame_len};

/// Claimed bytes that a log without writes keeps behind its last frame.
pub(crate) const IDLE_TAIL_BYTES: u64 = 32 * 1024;

/// Why a group was not written.
#[derive(Debug)]
pub(crate) enum Fail {
    /// Taken back; the log goes on.
    Refused(WalError),
    /// Nothing is known any more; the log takes no more writes.
    Poison(WalError),
}

/// Transactions that are written and synced together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Their frames end to end, LSNs stamped; for a spooled transaction only its last frames.
    pub(crate) bytes: Vec<u8>,
    /// Length in bytes of each transaction, in order.
    pub(crate) lens: Vec<u64>,
    /// The frames before `bytes`, when the batch is one large transaction.
    pub(crate) spool: Option<Spool>,
    /// LSN of the first frame.
    pub(crate) first: Lsn,
    /// Wall time of a spooled transaction.
    pub(crate) wall_ms: u64,
    /// Which space it may use: that of its member that may use most.
    pub(crate) class: Class,
}

#[derive(Debug)]
struct Active {
    segment: Arc<Segment>,
    file: FileRef,
    seed: Seed,
    size: u64,
    offset: u64,
    chain: u32,
    /// Offset and chain value behind the last frame that is not a hint. The next segment names
    /// this as the end: a hint is not synced, so nothing may depend on it being there.
    solid: (u64, u32),
}

impl Active {
    fn room(&self) -> u64 {
        self.size.saturating_sub(self.offset)
    }
}

/// A segment that has its header and its name, which is not known to be durable.
#[derive(Debug)]
struct Begun {
    spare: Spare,
    header: segment::Header,
    path: PathBuf,
}

/// Where the log ends when no segment is active: what the next segment's header will name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tail {
    pub(crate) sequence: u64,
    pub(crate) end: u64,
    pub(crate) chain: u32,
}

/// The parts that the writer shares with the rest of the log.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) disk: DiskRef,
    pub(crate) clock: ClockRef,
    pub(crate) dir: PathBuf,
    pub(crate) database: DatabaseId,
    pub(crate) options: Arc<Options>,
    pub(crate) claims: Arc<Claims>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) gate: Arc<SyncGate>,
}

/// Lets one sync of segment files run at a time, and none after one has failed.
///
/// The system tells a file's write-back error to one caller: a sync that runs beside the one that
/// is told returns `Ok`, and the bytes it vouches for are lost all the same.
#[derive(Debug, Default)]
pub(crate) struct SyncGate(Mutex<Option<WalError>>);

impl SyncGate {
    /// Does `sync` unless one has failed before.
    fn pass(&self, sync: impl FnOnce() -> Result<(), WalError>) -> Result<(), WalError> {
        let mut failed = lock(&self.0);
        if let Some(error) = &*failed {
            return Err(error.clone());
        }
        let result = sync();
        *failed = result.as_ref().err().cloned();
        result
    }
}

/// The writing end of a log.
#[derive(Debug)]
pub(crate) struct Writer {
    cx: Context,
    active: Option<Active>,
    tail: Tail,
    next_sequence: u64,
    next_size: u64,
    /// A segment whose name could not be made durable because no more files could be open. The
    /// next write begins with that.
    begun: Option<Begun>,
    /// Which space the batch that is being written may use.
    class: Class,
    /// Segments claimed for the transaction that is being written.
    ahead: VecDeque<Spare>,
    /// Sealed segments that were not synced yet (`interval` and `none`).
    unsynced: Vec<(FileRef, PathBuf)>,
    last: Lsn,
    durable: Lsn,
    hinted: Lsn,
    /// Newest wall time in what was written.
    wall_ms: u64,
    /// Whether space was given back since the last write: what is left is small beside the file
    /// all the same, and nothing is to be claimed for a log that nobody writes.
    parked: bool,
}

impl Writer {
    /// A writer that goes on behind `tail`.
    pub(crate) fn new(cx: Context, tail: Tail, next_sequence: u64, last: Lsn) -> Self {
        let next_size = cx.options.segment_bytes_first;
        Self {
            cx,
            active: None,
            tail,
            next_sequence,
            next_size,
            begun: None,
            class: Class::Normal,
            ahead: VecDeque::new(),
            unsynced: Vec::new(),
            last,
            durable: last,
            hinted: last,
            wall_ms: 0,
            parked: false,
        }
    }

    /// Goes on in the segment that recovery has just written, `offset` bytes into it.
    pub(crate) fn resume(&mut self, segment: Arc<Segment>, file: FileRef, offset: u64, chain: u32) {
        let seed = Seed::of(&self.cx.options, self.cx.database, segment.sequence);
        let size = segment.size();
        let solid = (offset, chain);
        self.active = Some(Active { segment, file, seed, size, offset, chain, solid });
    }

    pub(crate) fn last(&self) -> Lsn {
        self.last
    }

    pub(crate) fn durable(&self) -> Lsn {
        self.durable
    }

    /// Claimed bytes behind the last frame.
    pub(crate) fn room(&self) -> u64 {
        match &self.begun {
            Some(begun) => begun.spare.capacity(),
            None => self.active.as_ref().map_or(0, Active::room),
        }
    }

    /// Size of the next segment to claim, when it is time to.
    pub(crate) fn wants_claim(&self) -> Option<u64> {
        let active = self.active.as_ref().filter(|_| !self.parked)?;
        (active.room() < active.size / 2 && self.cx.claims.count() == 0).then_some(self.next_size)
    }

    /// Size of the segment that the next claim should make.
    pub(crate) fn next_size(&self) -> u64 {
        self.next_size
    }

    /// Writes the first transactions of `batch` that can be written in one go, syncs them if the
    /// mode says so, and returns how many they were and the LSN of their last frame. The caller
    /// repeats with the rest, which begins at `done` transactions and `at` bytes.
    pub(crate) fn write(
        &mut self,
        batch: &mut Batch,
        done: usize,
        at: usize,
    ) -> Result<(usize, usize), Fail> {
        let lens = batch.lens.get(done..).unwrap_or_default();
        let Some(first) = lens.first().copied() else { return Ok((0, 0)) };
        let lsn = self.last.next();
        self.parked = false;
        self.class = batch.class;
        self.wall_ms = self.wall_ms.max(batch.wall_ms);
        self.enter()?;
        if first > self.room() && first <= self.largest() {
            self.rotate(lsn, first)?;
        }
        if batch.spool.is_some() || first > self.room() {
            // Of a spooled transaction, which is a batch of its own, only the end is in memory.
            let len = match &batch.spool {
                Some(_) => batch.bytes.len().saturating_sub(at),
                None => usize::try_from(first).unwrap_or(usize::MAX),
            };
            self.write_large(batch, at, len)?;
            self.sync_group()?;
            return Ok((1, len));
        }
        let (mut count, mut bytes) = (0, 0);
        for len in lens {
            if bytes + len > self.room() {
                break;
            }
            count += 1;
            bytes += len;
        }
        let len = usize::try_from(bytes).unwrap_or(usize::MAX);
        let part = batch.bytes.get_mut(at..at.saturating_add(len)).unwrap_or_default();
        self.write_frames(part)?;
        self.show();
        self.sync_group()?;
        Ok((count, len))
    }

    /// Largest transaction that is kept in one segment.
    fn largest(&self) -> u64 {
        self.cx.options.segment_bytes_max - segment::HEADER_BYTES as u64
    }

    /// Lets readers have what was written. Not before it is certain that it stays: they read
    /// ahead, and what is taken back would stay in their buffers.
    fn show(&self) {
        if let Some(active) = &self.active {
            active.segment.advance(active.offset, self.last);
        }
    }

    /// Seals and writes whole frames that fit into the active segment.
    fn write_frames(&mut self, frames: &mut [u8]) -> Result<(), Fail> {
        if frames.is_empty() {
            return Ok(());
        }
        let hint = self.durable;
        let Some(active) = &mut self.active else {
            return Err(Fail::Refused(WalError::Closed));
        };
        let seed = active.seed;
        debug_assert!(frames.len() as u64 <= active.room(), "frames were measured before");
        let mut chain = active.chain;
        let mut at = 0;
        let mut last = self.last;
        while let Some(header) = frames.get_mut(at..at + HEADER_BYTES) {
            last = last.next();
            debug_assert_eq!(header[8..16], last.0.to_le_bytes(), "LSNs are consecutive");
            chain = frame::chain(chain, frame::seal(header, hint, seed));
            if at == 0 {
                active.segment.note(last, active.offset);
            }
            at += frame_len(header);
        }
        if let Err(e) = write_all_at(&*active.file, frames, active.offset) {
            let error = WalError::io(Op::Write, &active.segment.path, e);
            return Err(self.take_back(frames.len() as u64, error));
        }
        active.offset += frames.len() as u64;
        active.chain = chain;
        active.solid = (active.offset, chain);
        self.last = last;
        Ok(())
    }

    /// Zeroes and syncs `len` bytes behind the last good frame after a write failed there.
    fn take_back(&mut self, len: u64, error: WalError) -> Fail {
        let Some(active) = &self.active else { return Fail::Refused(error) };
        let to = (active.offset + len).min(active.size);
        let path = &active.segment.path;
        let undone = zero_range(&*active.file, active.offset, to)
            .map_err(|e| WalError::io(Op::Write, path, e))
            .and_then(|()| {
                let sync = || active.file.sync_data().map_err(|e| WalError::io(Op::Sync, path, e));
                self.cx.gate.pass(sync)
            });
        match undone {
            Ok(()) if error.is_disk_full() => Fail::Refused(WalError::DiskFull { bytes: len }),
            Ok(()) => Fail::Refused(error),
            Err(_) => Fail::Poison(error),
        }
    }

    /// Ends the active segment and begins the next one, with room for `need` bytes of frames.
    fn rotate(&mut self, first_lsn: Lsn, need: u64) -> Result<(), Fail> {
        let claimed = self.ahead.pop_front().or_else(|| self.cx.claims.take(need));
        let spare = match claimed {
            Some(spare) => spare,
            None => self.claim(need, self.next_size, need).map_err(Fail::Refused)?,
        };
        debug_assert!(spare.capacity() >= need, "it was claimed or chosen for this");
        debug_assert!(self.begun.is_none(), "a write enters what was begun first");
        let header = self.header(first_lsn);
        self.begun = Some(self.begin(spare, header)?);
        self.enter()
    }

    /// The header of the next segment, whose first frame will be `first_lsn`.
    fn header(&self, first_lsn: Lsn) -> segment::Header {
        let tail = self.tail_now();
        segment::Header {
            database: self.cx.database,
            sequence: self.next_sequence,
            first_lsn,
            previous: tail.sequence,
            previous_end: tail.end,
            hint: self.durable,
            created_ms: self.cx.clock.wall().0.max(self.wall_ms),
            chain: tail.chain,
        }
    }

    /// Makes the name of a segment that was begun durable, and goes on in it.
    fn enter(&mut self) -> Result<(), Fail> {
        let Some(begun) = self.begun.take() else { return Ok(()) };
        if !planted!(self.cx.options, NoDirectorySync)
            && let Err(e) = self.cx.disk.sync_dir(&self.cx.dir)
        {
            if is_untried(&e) {
                // Nothing is in doubt: the next write tries it.
                self.begun = Some(begun);
                return Err(Fail::Refused(WalError::io(Op::Open, &self.cx.dir, e)));
            }
            return Err(Fail::Poison(WalError::io(Op::Sync, &self.cx.dir, e)));
        }
        let Begun { spare, header, path } = begun;
        if let Some(old) = &self.active
            && self.durable < self.last
        {
            self.unsynced.push((FileRef::clone(&old.file), old.segment.path.clone()));
        }
        self.show();
        let segment = Segment::new(header.sequence, header.first_lsn, path, spare.size);
        self.cx.catalog.push(Arc::clone(&segment));
        self.active = Some(Active {
            segment,
            file: spare.file,
            seed: Seed::of(&self.cx.options, self.cx.database, header.sequence),
            size: spare.size,
            offset: segment::HEADER_BYTES as u64,
            chain: header.chain,
            solid: (segment::HEADER_BYTES as u64, header.chain),
        });
        self.tail = Tail::default();
        self.next_sequence += 1;
        self.next_size = self.size_after(spare.size);
        Ok(())
    }

    /// Has the header of a segment that was begun name the end as it is now, durably.
    fn name_end_again(&mut self) -> Result<(), WalError> {
        let header = self.header(self.last.next());
        let Some(begun) = &mut self.begun else { return Ok(()) };
        begun.header = header;
        let (file, path) = (&begun.spare.file, &begun.path);
        write_all_at(&**file, &header.encode(), 0).map_err(|e| WalError::io(Op::Write, path, e))?;
        file.sync_data().map_err(|e| WalError::io(Op::Sync, path, e))
    }

    /// Claims a segment of `size` bytes, or more where a frame of `frame` bytes needs it. A full
    /// disk may still have room for a smaller one, as long as the `left` bytes that are to be
    /// written fit into it.
    fn claim(&self, frame: u64, size: u64, left: u64) -> Result<Spare, WalError> {
        let wanted = size.max(segment::holding(frame));
        let least = segment::holding(left).max(segment::BYTES_MIN);
        let made = match self.cx.claims.make(wanted) {
            Err(WalError::DiskFull { .. }) if least < wanted => self.cx.claims.make(least),
            made => made,
        };
        match (made, self.class) {
            // There was room for it by its bytes: the ends of segments do not keep it out.
            (Err(WalError::DiskFull { .. }), Class::Reclaim) => {
                self.cx.claims.make_of_reserve(least.min(wanted))
            }
            (made, _) => made,
        }
    }

    /// Size of the segment to claim after one of `size` bytes.
    fn size_after(&self, size: u64) -> u64 {
        let options = &self.cx.options;
        size.saturating_mul(2).clamp(options.segment_bytes_first, options.segment_bytes_max)
    }

    /// Writes the header into a spare, durably, and gives it its name.
    fn begin(&self, spare: Spare, header: segment::Header) -> Result<Begun, Fail> {
        let path = FileName::Segment(header.sequence).path(&self.cx.dir);
        if let Err(e) = write_all_at(&*spare.file, &header.encode(), 0) {
            let error = WalError::io(Op::Write, &spare.path, e);
            self.cx.claims.discard(spare);
            return Err(Fail::Refused(error));
        }
        if let Err(e) = spare.file.sync_data() {
            return Err(Fail::Poison(WalError::io(Op::Sync, &spare.path, e)));
        }
        if let Err(e) = self.cx.disk.rename(&spare.path, &path) {
            let error = WalError::io(Op::Write, &spare.path, e);
            self.cx.claims.discard(spare);
            return Err(Fail::Refused(error));
        }
        Ok(Begun { spare, header, path })
    }

    fn tail_now(&self) -> Tail {
        self.active.as_ref().map_or(self.tail, |active| Tail {
            sequence: active.segment.sequence,
            end: active.solid.0,
            chain: active.solid.1,
        })
    }

    fn sync_group(&mut self) -> Result<(), Fail> {
        if planted!(self.cx.options, AckBeforeSync) {
            return Ok(());
        }
        if self.cx.options.fsync.syncs_before_ack() { self.sync() } else { Ok(()) }
    }

    /// Makes everything written durable.
    pub(crate) fn sync(&mut self) -> Result<(), Fail> {
        let job = self.sync_job();
        job.run()?;
        self.synced(&job);
        Ok(())
    }

    /// What a sync that runs beside writes has to do.
    pub(crate) fn sync_job(&self) -> SyncJob {
        let mut files = self.unsynced.clone();
        if let Some(active) = &self.active {
            files.push((FileRef::clone(&active.file), active.segment.path.clone()));
        }
        SyncJob {
            files,
            sealed: self.unsynced.len(),
            upto: self.last,
            gate: Arc::clone(&self.cx.gate),
            again: planted!(self.cx.options, RetrySync),
            unguarded: planted!(self.cx.options, UnguardedSync),
        }
    }

    /// Notes that a sync job has succeeded.
    pub(crate) fn synced(&mut self, job: &SyncJob) {
        // By identity, not by number: another job may have been done since this one was made. And
        // only what was sealed then: what was active may have been written to since.
        let sealed = job.files.get(..job.sealed).unwrap_or_default();
        self.unsynced.retain(|(file, _)| !sealed.iter().any(|(done, _)| Arc::ptr_eq(file, done)));
        self.durable = self.durable.max(job.upto);
    }

    /// Writes down what is known to be durable, without syncing it: the statement is true already
    /// and needs no promise of its own.
    pub(crate) fn hint(&mut self) -> Result<(), Fail> {
        if self.hinted >= self.durable || self.durable < self.last {
            return Ok(());
        }
        self.write_hint(Kind::Hint)
    }

    fn write_hint(&mut self, kind: Kind) -> Result<(), Fail> {
        let (last, durable) = (self.last, self.durable);
        let Some(active) = &mut self.active else { return Ok(()) };
        let seed = active.seed;
        if active.room() < HEADER_BYTES as u64 || last == Lsn::ZERO {
            return Ok(());
        }
        let header = Header {
            len: 0,
            lsn: last,
            hint: durable,
            wall_ms: self.cx.clock.wall().0,
            kind,
            place: Place::Last,
            tx_index: 0,
            payload_crc: crc32c::crc32c(&[]),
        };
        let mut bytes = header.encode();
        let crc = frame::seal(&mut bytes, durable, seed);
        if let Err(e) = write_all_at(&*active.file, &bytes, active.offset) {
            let error = WalError::io(Op::Write, &active.segment.path, e);
            return Err(self.take_back(HEADER_BYTES as u64, error));
        }
        active.offset += HEADER_BYTES as u64;
        active.chain = frame::chain(active.chain, crc);
        active.segment.advance(active.offset, last);
        self.hinted = durable;
        Ok(())
    }

    /// Gives back claimed space and memory that a log without writes does not need.
    pub(crate) fn park(&mut self) {
        self.parked = true;
        self.cx.claims.release();
        self.next_size = self.cx.options.segment_bytes_first;
        if let Some(active) = &mut self.active {
            let keep = (active.offset + IDLE_TAIL_BYTES).next_multiple_of(segment::ALIGN);
            if keep < active.size {
                match active.file.set_len(keep) {
                    Ok(()) => {
                        active.size = keep;
                        active.segment.set_size(keep);
                    }
                    Err(e) => tracing::warn!(error = %e, "claimed log space was not given back"),
                }
            }
        }
        for segment in self.cx.catalog.all() {
            segment.forget_index();
        }
    }

    /// Syncs, writes the closing frame and cuts the file behind it.
    pub(crate) fn close(&mut self) -> Result<(), Fail> {
        self.enter()?;
        self.sync()?;
        self.write_hint(Kind::Close)?;
        self.sync()?;
        self.cx.claims.release();
        let tail = self.tail_now();
        if let Some(active) = self.active.take() {
            self.tail = tail;
            if let Err(e) = active.file.set_len(active.offset) {
                tracing::warn!(error = %e, "claimed log space was not given back");
            }
            active.segment.set_size(active.offset);
        }
        Ok(())
    }

    /// Whether the mode acknowledges before syncing and something waits for a sync.
    pub(crate) fn sync_due(&self) -> bool {
        matches!(self.cx.options.fsync, FsyncMode::Interval(_)) && self.durable < self.last
    }
}

/// Files to sync, and what is durable once they are.
#[derive(Debug)]
pub(crate) struct SyncJob {
    files: Vec<(FileRef, PathBuf)>,
    /// How many of `files` take no more writes.
    sealed: usize,
    upto: Lsn,
    gate: Arc<SyncGate>,
    /// A planted defect: a failed sync is tried again and believed.
    again: bool,
    /// A planted defect: syncs do not wait for each other.
    unguarded: bool,
}

impl SyncJob {
    /// Syncs the files, the oldest first.
    pub(crate) fn run(&self) -> Result<(), Fail> {
        let synced = if self.unguarded { self.sync() } else { self.gate.pass(|| self.sync()) };
        synced.map_err(Fail::Poison)
    }

    fn sync(&self) -> Result<(), WalError> {
        for (file, path) in &self.files {
            let synced = file.sync_data();
            let synced = if self.again { synced.or_else(|_| file.sync_data()) } else { synced };
            synced.map_err(|e| WalError::io(Op::Sync, path, e))?;
        }
        Ok(())
    }
}
