//! Writing a data file: records at its end, parity behind every full stripe, and the proof that the
//! device has them.
//!
//! A record goes through four states: *appended* (in memory), *written*, *synced*, *verified* (read
//! back past the page cache and found whole). Only verified data may be named by the manifest, and
//! only data in complete stripes, of files with parity, needs the log no longer.
//!
//! Invariants: bytes below the verified length are never written again; one failed call ends the
//! writer (a failed sync promises nothing, and another sync of the same pages would promise no
//! more); the tail past the verified length is then abandoned, and nothing refers to it.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::io::{DiskRef, FileRef, Open, write_all_at};

use super::error::{DataError, Flaw, Op, Result};
use super::file::{DataFile, within_usize};
use super::header::FileHeader;
use super::heal::Condition;
use super::identity::FileIdentity;
use super::layout::{Layout, Parity};
use super::record::{Encoder, RECORD_BYTES_MAX, RecordRef, Seed, padding};
use super::records::{Found, Payloads};
use super::stripe::Builder;
use crate::location::Location;

/// Appended data that is kept in memory, at most, before it is written.
pub const WRITE_BYTES: usize = 1024 * 1024;
/// After so many written bytes the device has to have them: what it is given at once is what the
/// syncs of the log wait behind.
const SYNC_BYTES: u64 = 4 * 1024 * 1024;
/// Writes of that kind end at multiples of this in the file.
const WRITE_ALIGN: u64 = 64 * 1024;
/// The most data that a file may hold: offsets of 32 bits, less one record and one stripe.
pub const DATA_BYTES_MAX: u64 =
    u32::MAX as u64 - RECORD_BYTES_MAX as u64 - super::Geometry::Standard.stripe_bytes();

/// How much of a file may be relied upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Data before this offset is on the device and was read back: what the manifest may say.
    pub len: u64,
    /// Data before this offset needs the log no longer: with parity what stands in complete
    /// stripes, without all of it.
    pub protected_len: u64,
}

/// The end of a data file, open for appending. One thread writes; readers go on beside it.
#[derive(Debug)]
pub struct DataWriter {
    disk: DiskRef,
    dir: PathBuf,
    path: PathBuf,
    file: FileRef,
    header: FileHeader,
    /// Length of the data, what is in memory included.
    len: u64,
    /// File offset up to which bytes were written.
    written: u64,
    /// Bytes of the file from there on.
    pending: Vec<u8>,
    synced: u64,
    /// File offset up to which the device was made to have the bytes.
    settled: u64,
    verified: u64,
    /// Records that this writer appended; of them synced; of them verified.
    records: (u64, u64, u64),
    /// Whether the directory is known to have the file's name.
    named: bool,
    stripe: Builder,
    encoder: Encoder,
    stopped: Option<Arc<str>>,
}

impl DataWriter {
    /// Creates a file. Nothing of it is durable before [`DataWriter::sync`].
    ///
    /// # Errors
    /// `FileOpen` when there is a file with this number: one that no manifest names is left from a
    /// process that is gone, and is to be removed first.
    pub fn create(
        disk: &DiskRef,
        dir: &Path,
        identity: FileIdentity,
        layout: Layout,
    ) -> Result<Self> {
        let path = identity.number.path(dir);
        let file =
            disk.open(&path, Open::CreateNew).map_err(|e| DataError::io(Op::Open, &path, e))?;
        let header = FileHeader { identity, layout };
        let mut writer = Self::over(disk, dir, file, header);
        let copy_bytes = layout.geometry.table_bytes();
        for copy in 1..=2 {
            writer.pending.extend_from_slice(&header.encode());
            writer.pending.resize(copy * copy_bytes, 0);
        }
        Ok(writer)
    }

    /// Opens a file to continue it behind `verified_len` bytes of data. Whatever stands past them
    /// is cut off.
    ///
    /// Reads the data of the last stripe, and one table.
    ///
    /// # Errors
    /// The disk's; [`DataError::Corrupt`] when the last stripe or the table before it is damaged:
    /// the file can be healed and opened again, or left as it is and another one begun.
    pub fn open_at(
        disk: &DiskRef,
        dir: &Path,
        identity: FileIdentity,
        verified_len: u64,
    ) -> Result<Self> {
        let reader = DataFile::open(disk, dir, identity, verified_len)?;
        let path = identity.number.path(dir);
        let file = disk.open(&path, Open::Write).map_err(|e| DataError::io(Op::Open, &path, e))?;
        let mut writer = Self::over(disk, dir, file, reader.header);
        writer.named = true;
        writer.stripe = resume(&reader, verified_len)?;
        writer.written = reader.layout().file_offset(verified_len);
        writer.settled = writer.written;
        (writer.len, writer.synced, writer.verified) = (verified_len, verified_len, verified_len);
        writer.cut()?;
        Ok(writer)
    }

    fn over(disk: &DiskRef, dir: &Path, file: FileRef, header: FileHeader) -> Self {
        Self {
            disk: DiskRef::clone(disk),
            dir: dir.to_path_buf(),
            path: header.identity.number.path(dir),
            file,
            header,
            len: 0,
            written: 0,
            pending: Vec::new(),
            synced: 0,
            settled: 0,
            verified: 0,
            records: (0, 0, 0),
            named: false,
            stripe: Builder::new(header.layout, header.identity),
            encoder: Encoder::default(),
            stopped: None,
        }
    }

    /// Cuts off what stands behind the data.
    fn cut(&self) -> Result<()> {
        let error = |op| move |e| DataError::io(op, &self.path, e);
        let there = self.file.len().map_err(error(Op::Read))?;
        if there < self.written {
            let file = self.header.identity.number;
            return Err(DataError::Corrupt { file, offset: self.len, flaw: Flaw::Short });
        }
        if there > self.written {
            self.file.set_len(self.written).map_err(error(Op::Write))?;
        }
        Ok(())
    }

    /// Whose file it is.
    #[must_use]
    pub const fn identity(&self) -> FileIdentity {
        self.header.identity
    }

    /// Where everything is in it.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.header.layout
    }

    /// Length of the data, what is in memory included: where the next record begins.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was appended yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How much was verified so far.
    #[must_use]
    pub fn verified(&self) -> Verified {
        let layout = self.layout();
        let protected_len = match layout.parity {
            Parity::On => layout.complete(self.verified),
            Parity::Off => self.verified,
        };
        Verified { len: self.verified, protected_len }
    }

    /// Data before this offset needs the log no longer; see [`Verified::protected_len`].
    #[must_use]
    pub fn protected_len(&self) -> u64 {
        self.verified().protected_len
    }

    /// Appends a record; answers where it begins. It is in memory, or written when there was
    /// enough of it: see [`WRITE_BYTES`].
    ///
    /// # Errors
    /// [`DataError::Full`] when the file has [`DATA_BYTES_MAX`] bytes of data; otherwise the
    /// disk's, after which the writer has stopped.
    pub fn append(&mut self, record: &RecordRef<'_>) -> Result<Location> {
        if self.len > DATA_BYTES_MAX {
            return Err(DataError::Full { file: self.identity().number, bytes: self.len });
        }
        self.unless_stopped(|writer| {
            let identity = writer.identity();
            let offset = writer.offset()?;
            let mut encoder = std::mem::take(&mut writer.encoder);
            let bytes = encoder.encode(record, Seed::new(identity, offset));
            writer.put(bytes, writer.len + bytes.len() as u64)?;
            writer.encoder = encoder;
            writer.records.0 += 1;
            if writer.pending.len() >= WRITE_BYTES {
                let end = writer.written + writer.pending.len() as u64;
                writer.write_pending(end - end % WRITE_ALIGN)?;
            }
            Ok(Location { file: identity.number, offset })
        })
    }

    /// Writes what is in memory. Nothing is durable by that.
    ///
    /// # Errors
    /// The disk's, after which the writer has stopped.
    pub fn flush(&mut self) -> Result<()> {
        self.unless_stopped(|writer| {
            writer.write_pending(writer.written + writer.pending.len() as u64)
        })
    }

    /// Writes what is in memory and makes it durable, a new file's name included.
    ///
    /// # Errors
    /// The disk's, after which the writer has stopped: nothing is known about what was appended
    /// since the last verification.
    pub fn sync(&mut self) -> Result<()> {
        self.flush()?;
        self.unless_stopped(|writer| {
            let error = |path: &Path| {
                let path = path.to_path_buf();
                move |e| DataError::io(Op::Sync, &path, e)
            };
            writer.file.sync_data().map_err(error(&writer.path))?;
            if !writer.named {
                writer.disk.sync_dir(&writer.dir).map_err(error(&writer.dir))?;
                writer.named = true;
            }
            writer.synced = writer.len;
            writer.records.1 = writer.records.0;
            Ok(())
        })
    }

    /// Reads what was synced since the last verification back past the page cache and checks it:
    /// every record, and every stripe that was completed. Answers what may be relied upon now.
    ///
    /// # Errors
    /// [`DataError::Corrupt`] when the device does not have what was written, or the disk's. The
    /// writer has stopped then.
    pub fn verify(&mut self) -> Result<Verified> {
        self.unless_stopped(|writer| {
            let reader = DataFile::over(
                &writer.disk,
                FileRef::clone(&writer.file),
                writer.path.clone(),
                writer.header,
                writer.synced,
            );
            let (_, synced, verified) = writer.records;
            check(&reader, writer.verified..writer.synced, synced - verified)?;
            writer.records.2 = synced;
            writer.verified = writer.synced;
            Ok(())
        })?;
        Ok(self.verified())
    }

    /// [`DataWriter::sync`] and [`DataWriter::verify`]: what a flush of the memtable ends with.
    ///
    /// # Errors
    /// As theirs.
    pub fn publish(&mut self) -> Result<Verified> {
        self.sync()?;
        self.verify()
    }

    /// Closes the file for good: fills the last stripe with zeros, so that its parity protects all
    /// of it, syncs and verifies.
    ///
    /// # Errors
    /// As [`DataWriter::publish`].
    pub fn finish(mut self) -> Result<Verified> {
        let rest = self.layout().to_stripe_end(self.len);
        if rest < self.layout().geometry.stripe_bytes() {
            self.unless_stopped(|writer| {
                let mut bytes = padding(Seed::new(writer.identity(), writer.offset()?)).to_vec();
                bytes.resize(within_usize(rest), 0);
                writer.put(&bytes, writer.len + rest)
            })?;
        }
        self.publish()
    }

    fn offset(&self) -> Result<u32> {
        let full = DataError::Full { file: self.identity().number, bytes: self.len };
        u32::try_from(self.len).map_err(|_| full)
    }

    /// Puts one record, which ends at `next`, behind the data, and parity behind every stripe that
    /// it fills.
    fn put(&mut self, bytes: &[u8], next: u64) -> Result<()> {
        let at = self.offset()?;
        let full = DataError::Full { file: self.identity().number, bytes: self.len };
        self.stripe.record(at, u32::try_from(next).map_err(|_| full)?);
        let mut rest = bytes;
        while !rest.is_empty() {
            let n = rest.len().min(within_usize(self.stripe.room()));
            let (part, behind) = rest.split_at_checked(n).unwrap_or((rest, &[]));
            self.stripe.push(part);
            self.pending.extend_from_slice(part);
            if self.stripe.room() == 0 {
                self.stripe.complete(&mut self.pending);
            }
            rest = behind;
        }
        self.len = next;
        Ok(())
    }

    /// Writes what is in memory up to a file offset.
    fn write_pending(&mut self, to: u64) -> Result<()> {
        let n = within_usize(to.saturating_sub(self.written));
        let bytes = self.pending.get(..n).unwrap_or(&self.pending);
        if bytes.is_empty() {
            return Ok(());
        }
        let wrote = write_all_at(&*self.file, bytes, self.written);
        wrote.map_err(|e| DataError::io(Op::Write, &self.path, e))?;
        self.written += bytes.len() as u64;
        self.pending.drain(..bytes.len());
        self.pending.shrink_to(2 * WRITE_BYTES);
        if self.written.saturating_sub(self.settled) >= SYNC_BYTES {
            self.file.sync_data().map_err(|e| DataError::io(Op::Sync, &self.path, e))?;
            self.settled = self.written;
        }
        Ok(())
    }

    /// Does `work`; its failure is the last thing the writer does.
    fn unless_stopped<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if let Some(cause) = &self.stopped {
            return Err(DataError::Stopped { cause: Arc::clone(cause) });
        }
        let done = work(self);
        if let Err(error) = &done {
            self.stopped = Some(error.to_string().into());
        }
        done
    }
}

/// The stripe in the making of a file that is continued: read again, and every record checked.
fn resume(reader: &DataFile, len: u64) -> Result<Builder> {
    let layout = reader.layout();
    let stripe = layout.stripe_of(len);
    let start = layout.complete(len);
    let number = u32::try_from(stripe).unwrap_or(u32::MAX);
    if len == start {
        // The next record sets where it begins.
        return Ok(Builder::at(layout, reader.identity(), number, (0, 0)));
    }
    if stripe > 0 {
        reader.table(stripe - 1)?.map_err(|flaw| reader.corrupt(start, flaw))?;
    }
    let (from, starts) = reader.anchor(stripe)?;
    let mut builder = Builder::at(layout, reader.identity(), number, starts);
    let mut records = reader.records(from..len, Payloads::Skip);
    for found in &mut records {
        match found? {
            Found::Record(record) => {
                let next = record.location.offset.saturating_add(record.disk_bytes);
                builder.record(record.location.offset, next);
            }
            Found::Damage(damage) => return Err(reader.corrupt(damage.range.start, damage.flaw)),
        }
    }
    if records.position() != len {
        let flaw = Flaw::Malformed("no record ends at the verified length");
        return Err(reader.corrupt(records.position(), flaw));
    }
    let mut data = vec![0; within_usize(len - start)];
    if reader.read_data(start, &mut data)? < data.len() {
        return Err(reader.corrupt(start, Flaw::Short));
    }
    builder.push(&data);
    Ok(builder)
}

/// Reads `fresh` data past the page cache and checks it; `records` says how many there must be.
fn check(reader: &DataFile, fresh: Range<u64>, records: u64) -> Result<()> {
    let layout = reader.layout();
    let first = layout.stripe_of(fresh.start);
    let from = if fresh.start == 0 { 0 } else { layout.stripe_start(first) };
    let to = layout.file_offset(fresh.end);
    let evicted = reader.file.evict(from, to.saturating_sub(from));
    evicted.map_err(|e| DataError::io(Op::Read, &reader.path, e))?;
    if fresh.start == 0
        && let Some(at) = reader.bad_headers()?.first()
    {
        return Err(reader.corrupt(*at, Flaw::Malformed("the header is not as it was written")));
    }
    let mut seen = 0;
    for found in reader.records(fresh.clone(), Payloads::Skip) {
        match found? {
            Found::Record(_) => seen += 1,
            Found::Damage(damage) => return Err(reader.corrupt(damage.range.start, damage.flaw)),
        }
    }
    if records != seen {
        return Err(reader.corrupt(fresh.start, Flaw::Malformed("records are missing")));
    }
    for stripe in first..layout.stripe_of(layout.complete(fresh.end)) {
        if reader.check_stripe(stripe)? != Condition::Sound {
            let flaw = Flaw::Malformed("the stripe is not as it was written");
            return Err(reader.corrupt(stripe * layout.geometry.stripe_bytes(), flaw));
        }
    }
    Ok(())
}
