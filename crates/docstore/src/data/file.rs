//! A data file for reading: one document by its location, and the bytes under everything else.
//!
//! Shared between threads; the writer of the same file goes on beside it. Nothing at or past the
//! *verified length* is read, because nothing past it was promised to be there.
//!
//! Invariant: memory is allocated for a record only after its length was checked against the
//! limits, the verified length and the length of the file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use base::io::{DiskRef, FileRef, Open, is_unreadable, read_full_at};
use base::words::{CollectionId, DocId, Lsn};

use super::error::{DataError, Flaw, Op, Result};
use super::header::{FileHeader, HEADER_BYTES};
use super::identity::FileIdentity;
use super::layout::{Geometry, Layout};
use super::record::{
    ALIGN, Frame, HEADER_BYTES_MAX, RecordHeader, Seed, StoredRecord, Unit, parse,
};
use super::stripe::Table;
use crate::location::Location;

/// How much [`DataFile::read`] reads at first: most records whole.
pub const READ_BYTES: usize = 4096;

/// The record that a location must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected<'a> {
    /// The collection.
    pub collection: CollectionId,
    /// The document.
    pub id: &'a DocId,
    /// The version.
    pub lsn: Lsn,
}

impl Expected<'_> {
    pub(super) fn fits(&self, header: &RecordHeader) -> bool {
        self.collection == header.collection && *self.id == header.id && self.lsn == header.lsn
    }
}

/// A data file, open for reading and healing.
#[derive(Debug)]
pub struct DataFile {
    pub(super) disk: DiskRef,
    pub(super) file: FileRef,
    pub(super) path: PathBuf,
    pub(super) header: FileHeader,
    verified: AtomicU64,
    /// About how long records are: what a read asks for at first.
    usual: AtomicUsize,
}

impl DataFile {
    /// Opens a file of which `verified_len` bytes of data are verified, as the manifest says.
    ///
    /// A file that is shorter is opened all the same: what is there can be read, and healing says
    /// what is not.
    ///
    /// # Errors
    /// The disk's; [`DataError::Corrupt`] when neither copy of the header is valid or it is
    /// another file's. The first can be mended by [`DataFile::open_without_header`].
    pub fn open(
        disk: &DiskRef,
        dir: &Path,
        identity: FileIdentity,
        verified_len: u64,
    ) -> Result<Self> {
        Self::open_at_path(disk, identity.number.path(dir), identity, verified_len)
    }

    /// The same for a file under another name: a copy of it.
    ///
    /// # Errors
    /// As [`DataFile::open`].
    pub(crate) fn open_at_path(
        disk: &DiskRef,
        path: PathBuf,
        identity: FileIdentity,
        verified_len: u64,
    ) -> Result<Self> {
        let file = disk.open(&path, Open::Read).map_err(|e| DataError::io(Op::Open, &path, e))?;
        let header = match read_header(&*file) {
            Ok(Ok(header)) if header.identity == identity => header,
            Ok(Ok(_)) => {
                let flaw = Flaw::Malformed("the header is that of another file");
                return Err(DataError::Corrupt { file: identity.number, offset: 0, flaw });
            }
            Ok(Err(flaw)) => {
                return Err(DataError::Corrupt { file: identity.number, offset: 0, flaw });
            }
            Err(e) => return Err(DataError::io(Op::Read, &path, e)),
        };
        Ok(Self::over(disk, file, path, header, verified_len))
    }

    /// Opens a file whose header is lost, given what it said. [`DataFile::heal_header`] then
    /// writes it again.
    ///
    /// # Errors
    /// The disk's.
    pub fn open_without_header(
        disk: &DiskRef,
        dir: &Path,
        header: FileHeader,
        verified_len: u64,
    ) -> Result<Self> {
        let path = header.identity.number.path(dir);
        let file = disk.open(&path, Open::Read).map_err(|e| DataError::io(Op::Open, &path, e))?;
        Ok(Self::over(disk, file, path, header, verified_len))
    }

    /// A reader over a file that is open already.
    pub(super) fn over(
        disk: &DiskRef,
        file: FileRef,
        path: PathBuf,
        header: FileHeader,
        verified_len: u64,
    ) -> Self {
        let (disk, verified) = (DiskRef::clone(disk), AtomicU64::new(verified_len));
        Self { disk, file, path, header, verified, usual: AtomicUsize::new(READ_BYTES) }
    }

    /// The open file with everything in it, to copy it as it is.
    pub(crate) fn raw(&self) -> &FileRef {
        &self.file
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

    /// How many bytes of data may be read.
    #[must_use]
    pub fn verified_len(&self) -> u64 {
        self.verified.load(Ordering::Acquire)
    }

    /// Lets more of the file be read. The length never goes back.
    pub fn advance(&self, verified_len: u64) {
        self.verified.fetch_max(verified_len, Ordering::AcqRel);
    }

    /// The verified data that stands in complete stripes: with parity, what the file can heal by
    /// itself.
    #[must_use]
    pub fn complete_len(&self) -> u64 {
        self.layout().complete(self.verified_len())
    }

    /// About how long records are, by those that were read last.
    pub(super) fn usual(&self) -> usize {
        self.usual.load(Ordering::Relaxed)
    }

    /// Reads the record at `location`, which must be the one `expected`.
    ///
    /// One read for a record that is about as long as those before it and within one stripe, two
    /// for others. At most [`READ_BYTES`] are read at first: copying what is not wanted costs more
    /// than the lookup.
    ///
    /// # Errors
    /// [`DataError::Corrupt`] when the bytes are not that record: heal, then read again.
    /// [`DataError::Io`] when the system refuses to read.
    pub fn read(&self, location: Location, expected: &Expected<'_>) -> Result<StoredRecord> {
        let usual = self.usual();
        let record = self.read_sized(location, expected, (usual + usual / 4).min(READ_BYTES))?;
        // The mean of about the last eight; when two threads meet, one of them does not count.
        let now = (usual * 7 + record.disk_bytes as usize).div_ceil(8);
        if now != usual {
            self.usual.store(now, Ordering::Relaxed);
        }
        Ok(record)
    }

    /// As [`DataFile::read`], reading `bytes` at first: for a caller that knows how long records
    /// are.
    ///
    /// # Errors
    /// As [`DataFile::read`].
    pub fn read_sized(
        &self,
        location: Location,
        expected: &Expected<'_>,
        bytes: usize,
    ) -> Result<StoredRecord> {
        let (frame, record) = self.load(location, bytes)?;
        let at = u64::from(location.offset);
        if !expected.fits(&frame.header) {
            return Err(self.corrupt(at, Flaw::OtherRecord));
        }
        self.stored(location, frame, &record).map_err(|flaw| self.corrupt(at, flaw))
    }

    /// The checked bytes of the record at `location`.
    pub(super) fn load(&self, location: Location, first: usize) -> Result<(Frame, Vec<u8>)> {
        let at = u64::from(location.offset);
        let corrupt = |flaw| self.corrupt(at, flaw);
        let there = self.verified_len().saturating_sub(at);
        if location.file != self.identity().number || there == 0 || !at.is_multiple_of(ALIGN as u64)
        {
            return Err(corrupt(Flaw::Malformed("no record of this file begins here")));
        }
        let first = (first.max(HEADER_BYTES_MAX) as u64).min(there);
        let mut bytes = vec![0; usize::try_from(first).unwrap_or(READ_BYTES)];
        let got = self.read_data(at, &mut bytes)?;
        bytes.truncate(got);
        let is_short = (got as u64) < first;
        let frame = match parse(&bytes) {
            Ok(Unit::Record(frame)) => frame,
            Ok(Unit::Padding) => return Err(corrupt(Flaw::OtherRecord)),
            Err(_) if is_short => return Err(corrupt(Flaw::Short)),
            Err(flaw) => return Err(corrupt(flaw)),
        };
        let whole = frame.disk_bytes();
        if whole as u64 > there {
            return Err(corrupt(Flaw::Malformed("the record ends past the verified data")));
        }
        if whole > bytes.len() {
            if is_short || !self.is_there(at, whole)? {
                return Err(corrupt(Flaw::Short));
            }
            let read = bytes.len();
            bytes.resize(whole, 0);
            let rest = bytes.get_mut(read..).unwrap_or_default();
            if self.read_data(at + read as u64, rest)? < rest.len() {
                return Err(corrupt(Flaw::Short));
            }
        }
        bytes.truncate(whole);
        frame.check(&bytes, self.seed(location.offset)).map_err(corrupt)?;
        Ok((frame, bytes))
    }

    /// A record that was checked, with its document.
    pub(super) fn stored(
        &self,
        location: Location,
        frame: Frame,
        record: &[u8],
    ) -> std::result::Result<StoredRecord, Flaw> {
        let document = frame.document(record)?;
        let disk_bytes = u32::try_from(frame.disk_bytes()).map_err(|_| Flaw::Short)?;
        Ok(StoredRecord { location, disk_bytes, header: frame.header, document })
    }

    pub(super) fn seed(&self, at: u32) -> Seed {
        Seed::new(self.identity(), at)
    }

    pub(super) fn corrupt(&self, offset: u64, flaw: Flaw) -> DataError {
        DataError::Corrupt { file: self.identity().number, offset, flaw }
    }

    /// Whether the file is long enough to hold this much data.
    pub(super) fn is_there(&self, at: u64, bytes: usize) -> Result<bool> {
        let len = self.file.len().map_err(|e| DataError::io(Op::Read, &self.path, e))?;
        let last = at.saturating_add(bytes as u64).saturating_sub(1);
        Ok(self.layout().file_offset(last) < len)
    }

    /// Reads data, crossing stripes; answers how much there was.
    pub(super) fn read_data(&self, at: u64, buf: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let from = at + done as u64;
            let wanted = rest.len().min(within_usize(self.layout().to_stripe_end(from)));
            let part = rest.get_mut(..wanted).unwrap_or_default();
            let got = self.read_raw(self.layout().file_offset(from), part);
            let got = got.map_err(|e| self.unreadable(at, e))?;
            done += got;
            if got < wanted {
                break;
            }
        }
        Ok(done)
    }

    /// Reads bytes of the file, whatever they are; answers how many there were.
    pub(super) fn read_raw(&self, at: u64, buf: &mut [u8]) -> io::Result<usize> {
        read_full_at(&*self.file, buf, at)
    }

    /// A failed read: damage, when the device says that it cannot read the place.
    pub(super) fn unreadable(&self, at: u64, error: io::Error) -> DataError {
        if is_unreadable(&error) {
            self.corrupt(at, Flaw::Unreadable)
        } else {
            DataError::io(Op::Read, &self.path, error)
        }
    }

    /// The table of a stripe, or what is wrong with it.
    pub(super) fn table(&self, stripe: u64) -> Result<std::result::Result<Table, Flaw>> {
        let geometry = self.layout().geometry;
        let mut bytes = vec![0; geometry.table_bytes()];
        match self.read_raw(self.layout().table_start(stripe), &mut bytes) {
            Ok(got) if got < bytes.len() => Ok(Err(Flaw::Short)),
            Ok(_) => {
                let stripe = u32::try_from(stripe).unwrap_or(u32::MAX);
                Ok(Table::decode(&bytes, geometry, self.identity(), stripe))
            }
            Err(e) if is_unreadable(&e) => Ok(Err(Flaw::Unreadable)),
            Err(e) => Err(DataError::io(Op::Read, &self.path, e)),
        }
    }
}

/// A number that is known to be small, as a length in memory.
pub(super) fn within_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// The header of a file: the first valid copy, or what is wrong with the first.
pub(super) fn read_header(
    file: &dyn base::io::File,
) -> io::Result<std::result::Result<FileHeader, Flaw>> {
    let mut wrong = None;
    // Where a copy stands depends on the sizes that it tells.
    let places = [0, Geometry::Tiny.table_bytes(), Geometry::Standard.table_bytes()];
    for at in places {
        let mut bytes = [0; HEADER_BYTES];
        let flaw = match read_full_at(file, &mut bytes, at as u64) {
            Ok(HEADER_BYTES) => match FileHeader::decode(&bytes) {
                Ok(header) if at == 0 || header.layout.geometry.table_bytes() == at => {
                    return Ok(Ok(header));
                }
                Ok(_) => Flaw::Malformed("a header stands where none belongs"),
                Err(flaw) => flaw,
            },
            Ok(_) => Flaw::Short,
            Err(e) if is_unreadable(&e) => Flaw::Unreadable,
            Err(e) => return Err(e),
        };
        wrong = wrong.or(Some(flaw));
    }
    Ok(Err(wrong.unwrap_or(Flaw::Short)))
}
