//! What an object is to contain: bytes that can be read again from any place, so that a part that was not sent can be
//! sent once more.
//!
//! Small objects come from memory. Large ones are written to a [`Spool`] first, a file of our own that is gone when it
//! is dropped, and sent from there in parts.

use std::fmt::Debug;
use std::io::{self, Write};
use std::ops::Range;
use std::path::PathBuf;

use base::io::{DiskRef, FileRef, Open, read_exact_at, write_all_at};
use bytes::Bytes;

/// The content of an object to be.
pub trait Source: Debug + Send + Sync {
    /// Its length in bytes.
    fn len(&self) -> u64;

    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of a range. The same range gives the same bytes, however often it is read.
    ///
    /// # Errors
    /// When they cannot be read in full.
    fn read(&self, range: Range<u64>) -> io::Result<Bytes>;
}

fn within(range: &Range<u64>, len: u64) -> io::Result<Range<usize>> {
    let fits = range.start <= range.end && range.end <= len;
    match (fits, usize::try_from(range.start), usize::try_from(range.end)) {
        (true, Ok(from), Ok(to)) => Ok(from..to),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

impl Source for Bytes {
    fn len(&self) -> u64 {
        self.as_ref().len() as u64
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        Ok(self.slice(within(&range, Source::len(self))?))
    }
}

impl Source for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let range = within(&range, Source::len(self))?;
        Ok(self.get(range).map(Bytes::copy_from_slice).unwrap_or_default())
    }
}

/// A file of a disk, from its beginning.
#[derive(Debug)]
pub struct FileSource {
    file: FileRef,
    len: u64,
}

impl FileSource {
    /// The first `len` bytes of `file`, which must not change any more.
    #[must_use]
    pub fn new(file: FileRef, len: u64) -> Self {
        Self { file, len }
    }
}

impl Source for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let wanted = within(&range, self.len)?;
        let mut bytes = vec![0; wanted.len()];
        read_exact_at(&*self.file, &mut bytes, range.start)?;
        Ok(bytes.into())
    }
}

/// How many bytes a spool gathers before it writes them.
const SPOOL_BUFFER_BYTES: usize = 256 * 1024;

/// A file that takes what a writer writes and then is the content of an object. Removed when dropped; never synced,
/// for nothing is to survive in it.
#[derive(Debug)]
pub struct Spool {
    disk: DiskRef,
    path: PathBuf,
    file: FileRef,
    /// Bytes in the file, those of the buffer not among them.
    written: u64,
    buffer: Vec<u8>,
}

impl Spool {
    /// A spool in a new file at `path`.
    ///
    /// # Errors
    /// `AlreadyExists`, or whatever the system says.
    pub fn create(disk: DiskRef, path: PathBuf) -> io::Result<Self> {
        let file = disk.open(&path, Open::CreateNew)?;
        let buffer = Vec::with_capacity(SPOOL_BUFFER_BYTES);
        Ok(Self { disk, path, file, written: 0, buffer })
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len().saturating_add(bytes.len()) > SPOOL_BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() >= SPOOL_BUFFER_BYTES {
            write_all_at(&*self.file, bytes, self.written)?;
            self.written += bytes.len() as u64;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        write_all_at(&*self.file, &self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// What was written and flushed.
impl Source for Spool {
    fn len(&self) -> u64 {
        self.written
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let wanted = within(&range, self.written)?;
        let mut bytes = vec![0; wanted.len()];
        read_exact_at(&*self.file, &mut bytes, range.start)?;
        Ok(bytes.into())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // What cannot be removed now goes with the folder of spools at the next start.
        _ = self.disk.remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use base::io::MemDisk;

    use super::*;

    #[test]
    fn a_spool_is_what_was_written_and_gone_when_dropped() {
        let disk = MemDisk::shared();
        let mut spool = Spool::create(disk.clone(), "/spool".into()).unwrap();
        let mut expect = Vec::new();
        for (i, len) in
            [0, 1, 1000, SPOOL_BUFFER_BYTES, 7, SPOOL_BUFFER_BYTES - 3, 9].iter().enumerate()
        {
            let part = vec![u8::try_from(i).unwrap(); *len];
            spool.write_all(&part).unwrap();
            expect.extend(part);
        }
        spool.flush().unwrap();
        let len = Source::len(&spool);
        assert_eq!(spool.read(0..len).unwrap(), expect);
        assert_eq!(spool.read(5..9).unwrap(), expect[5..9]);
        assert!(spool.read(5..len + 1).is_err());
        drop(spool);
        assert_eq!(disk.stat(Path::new("/spool")).unwrap(), None);
    }
}
