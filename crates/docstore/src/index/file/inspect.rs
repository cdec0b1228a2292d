//! Looking at an index file without an index: what it says it is, and whether it is whole.

use std::path::{Path, PathBuf};

use base::io::{DiskRef, Open, read_full_at};
use base::words::{CollectionId, DocId};
use wal::Op;

use super::super::error::{Damage, IndexError, Result};
use super::super::table::{Part, Table};
use super::{FileInfo, HEADER_BYTES, Header, decode, load};

/// What a look at an index file found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// Its length, bytes.
    pub bytes: u64,
    /// Its header, when that is whole.
    pub header: Option<Header>,
    /// All that a MANIFEST would say of it, when all of it is whole.
    pub info: Option<FileInfo>,
    /// Its collections in order, when all of it is whole.
    pub collections: Vec<CollectionReport>,
    /// The first thing that is wrong.
    pub damage: Option<Damage>,
}

/// One collection in an index file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionReport {
    /// Its number.
    pub collection: CollectionId,
    /// Whether the file says that it was dropped.
    pub is_dropped: bool,
    /// How many blocks it has.
    pub blocks: usize,
    /// Changes that leave a document.
    pub puts: u64,
    /// Changes that leave none.
    pub tombstones: u64,
    /// Changes that replace or delete a document of an older file.
    pub covered: u64,
    /// The lowest and the highest id.
    pub ids: Option<(DocId, DocId)>,
}

/// Looks at the file at `path`, all of it. Takes the memory that loading it takes.
///
/// # Errors
/// The disk's. Damage is no error, it is what is reported.
pub fn inspect(disk: &DiskRef, path: &Path) -> Result<Report> {
    let file = disk.open(path, Open::Read).map_err(|e| IndexError::io(Op::Open, path, e))?;
    let failed = |e| IndexError::io(Op::Read, path, e);
    let mut bytes = [0; HEADER_BYTES];
    let read = read_full_at(&*file, &mut bytes, 0).map_err(failed)?;
    let header = if read == HEADER_BYTES { decode::header(&bytes).ok() } else { None };
    let len = file.len().map_err(failed)?;
    let path = path.to_path_buf();
    let mut report =
        Report { path, bytes: len, header, info: None, collections: Vec::new(), damage: None };
    match load::read(disk, &report.path, None) {
        Ok((info, table)) => {
            report.info = Some(info);
            report.collections = collections(&table);
        }
        Err(IndexError::Corrupt(damage)) => report.damage = Some(*damage),
        Err(error @ IndexError::Io { .. }) => return Err(error),
    }
    Ok(report)
}

fn collections(table: &Table) -> Vec<CollectionReport> {
    let report = |(collection, part): (CollectionId, &std::sync::Arc<Part>)| {
        let (is_dropped, blocks, tally, ids) = match &**part {
            Part::Dropped => (true, 0, Default::default(), None),
            Part::Changed(blocks) => {
                let ids = blocks.first_key().zip(blocks.last_key());
                let ids = ids.map(|(first, last)| (first.to_id(), last.to_id()));
                (false, blocks.iter().len(), *blocks.tally(), ids)
            }
        };
        CollectionReport {
            collection,
            is_dropped,
            blocks,
            puts: tally.puts,
            tombstones: tally.tombstones,
            covered: tally.covered,
            ids,
        }
    };
    table.parts().map(report).collect()
}
