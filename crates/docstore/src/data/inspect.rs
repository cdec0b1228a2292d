//! Looking at a data file without touching it: what is in it and what is wrong with it.
//!
//! Nothing is written. No damage makes this fail: it is what is reported. Without the manifest
//! nobody knows how much of the file is verified, so all of it is looked at: the end of a file in
//! use may be what its process is just writing, and look damaged. Memory: one record, one stripe's
//! block and the list of damages.

use std::path::{Path, PathBuf};

use base::io::{DiskRef, Open};
use base::words::Lsn;

use super::error::{Damage, DataError, Flaw, Op, Result};
use super::file::{DataFile, read_header};
use super::header::FileHeader;
use super::heal::Condition;
use super::record::{Kind, StoredRecord};
use super::records::{Found, Payloads};
use crate::location::FileNumber;

/// What a look at a data file found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The file.
    pub path: PathBuf,
    /// The number in its name; `None` when it is not named as a data file is.
    pub number_in_name: Option<FileNumber>,
    /// Length of the file, bytes.
    pub file_len: u64,
    /// Its header, or what is wrong with it: nothing else is known then.
    pub header: std::result::Result<FileHeader, Flaw>,
    /// File offsets of the copies of the header that are bad.
    pub bad_headers: Vec<u64>,
    /// Bytes of data that it has room for.
    pub data_len: u64,
    /// Complete stripes.
    pub stripes: u64,
    /// Those that are not sound.
    pub bad_stripes: Vec<(u64, Condition)>,
    /// What its records are.
    pub contents: Contents,
    /// What cannot be read as records. See the module about the last of them.
    pub damage: Vec<Damage>,
}

/// The records of a file, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Contents {
    /// Documents: newest versions and older ones alike.
    pub documents: u64,
    /// Notes that a document is gone.
    pub tombstones: u64,
    /// Documents that are packed.
    pub packed: u64,
    /// Bytes of JSON text.
    pub text_bytes: u64,
    /// Bytes of payload as stored.
    pub stored_bytes: u64,
    /// Bytes of data that the records take.
    pub record_bytes: u64,
    /// Lowest and highest LSN.
    pub lsns: Option<(Lsn, Lsn)>,
}

impl Contents {
    fn count(&mut self, record: &StoredRecord) {
        let (text, stored) = match record.header.kind {
            Kind::Plain { bytes } => (bytes, bytes),
            Kind::Lz4 { bytes, stored } => (bytes, stored),
            Kind::Tombstone => (0, 0),
        };
        match record.header.kind {
            Kind::Plain { .. } => self.documents += 1,
            Kind::Lz4 { .. } => {
                (self.documents, self.packed) = (self.documents + 1, self.packed + 1)
            }
            Kind::Tombstone => self.tombstones += 1,
        }
        self.text_bytes += u64::from(text);
        self.stored_bytes += u64::from(stored);
        self.record_bytes += u64::from(record.disk_bytes);
        let lsn = record.header.lsn;
        let (low, high) = self.lsns.unwrap_or((lsn, lsn));
        self.lsns = Some((low.min(lsn), high.max(lsn)));
    }
}

impl Inspection {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.header.is_ok()
            && self.bad_headers.is_empty()
            && self.bad_stripes.is_empty()
            && self.damage.is_empty()
    }
}

/// Looks at the data file at `path`. `see` gets every record, without its document, in order.
///
/// # Errors
/// The disk's. Damage is no error.
pub fn inspect(
    disk: &DiskRef,
    path: &Path,
    see: &mut dyn FnMut(&StoredRecord),
) -> Result<Inspection> {
    let error = |op| move |e| DataError::io(op, path, e);
    let file = disk.open(path, Open::Read).map_err(error(Op::Open))?;
    let file_len = file.len().map_err(error(Op::Read))?;
    let header = read_header(&*file).map_err(error(Op::Read))?;
    let name = path.file_name().and_then(|name| name.to_str());
    let mut found = Inspection {
        path: path.to_path_buf(),
        number_in_name: name.and_then(FileNumber::parse),
        file_len,
        header,
        bad_headers: Vec::new(),
        data_len: 0,
        stripes: 0,
        bad_stripes: Vec::new(),
        contents: Contents::default(),
        damage: Vec::new(),
    };
    let Ok(header) = header else { return Ok(found) };
    found.data_len = header.layout.data_len(file_len).min(u64::from(u32::MAX));
    let file = DataFile::over(disk, file, path.to_path_buf(), header, found.data_len);
    found.bad_headers = file.bad_headers()?;
    found.stripes = file.complete_len() / header.layout.geometry.stripe_bytes();
    for stripe in 0..found.stripes {
        let condition = file.check_stripe(stripe)?;
        if condition != Condition::Sound {
            found.bad_stripes.push((stripe, condition));
        }
    }
    for next in file.records(0..found.data_len, Payloads::Skip) {
        match next? {
            Found::Record(record) => {
                found.contents.count(&record);
                see(&record);
            }
            Found::Damage(damage) => found.damage.push(damage),
        }
    }
    Ok(found)
}
