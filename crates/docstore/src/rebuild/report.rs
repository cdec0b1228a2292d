//! What making an index again found and did, for people and for programs.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use base::words::{CollectionId, DatabaseId, Lsn, Name};

use crate::location::FileNumber;
use crate::manifest::{Manifest, Quarantined};

/// What making an index again found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuildReport {
    /// The database.
    pub database: DatabaseId,
    /// Its name.
    pub name: Name,
    /// The checkpoint whose index was made.
    pub checkpoint: Lsn,
    /// The number of the new index file; `None` when nothing was changed because of doubts.
    pub index: Option<u64>,
    /// Data files that were read.
    pub files: u64,
    /// Records that were read.
    pub records: u64,
    /// Blocks and headers that were made again from parity or another copy.
    pub healed: u64,
    /// Documents of every collection of the checkpoint.
    pub documents: Vec<(CollectionId, Name, u64)>,
    /// Stretches of data files that cannot be read; a file that is missing is one stretch.
    pub unreadable: Vec<(FileNumber, Range<u64>)>,
    /// Documents that only the log still had, which are written anew.
    pub recovered: u64,
    /// Documents whose newest version is lost, and which are now in quarantine.
    pub lost: Vec<Quarantined>,
    /// What cannot be known.
    pub doubts: Vec<Doubt>,
    /// Documents of which a newer version, or the deletion, may have been lost.
    pub documents_in_doubt: u64,
    /// Older checkpoints that cannot be loaded and were given up.
    pub checkpoints_dropped: u64,
    /// Where this report is kept, when the index was made in doubt.
    pub note: Option<PathBuf>,
}

/// What cannot be known of one data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// The file.
    pub file: FileNumber,
    /// How many of its records could not be read, of documents nobody knows.
    pub records: u64,
    /// They are changes from this LSN on …
    pub from: Lsn,
    /// … to this one.
    pub to: Lsn,
}

impl RebuildReport {
    pub(super) fn new(manifest: &Manifest) -> Self {
        Self {
            database: manifest.database,
            name: manifest.name.clone(),
            checkpoint: manifest.newest().lsn,
            index: None,
            files: 0,
            records: 0,
            healed: 0,
            documents: Vec::new(),
            unreadable: Vec::new(),
            recovered: 0,
            lost: Vec::new(),
            doubts: Vec::new(),
            documents_in_doubt: 0,
            checkpoints_dropped: 0,
            note: None,
        }
    }
}

impl fmt::Display for RebuildReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "database   {} {}", self.name, self.database)?;
        writeln!(f, "checkpoint LSN {}", self.checkpoint)?;
        writeln!(f, "read       {} data files, {} records", self.files, self.records)?;
        if self.healed > 0 {
            writeln!(f, "healed     {} blocks and headers", self.healed)?;
        }
        for (_, name, documents) in &self.documents {
            writeln!(f, "collection {name}: {documents} documents")?;
        }
        for (file, range) in &self.unreadable {
            let (from, to) = (range.start, range.end);
            writeln!(f, "unreadable {}: data {from}..{to}", file.file_name())?;
        }
        if self.recovered > 0 {
            writeln!(f, "recovered  {} documents from the log", self.recovered)?;
        }
        for lost in &self.lost {
            writeln!(
                f,
                "lost       document {} of collection {}, revision {}: in quarantine",
                lost.id, lost.collection, lost.lsn
            )?;
        }
        for doubt in &self.doubts {
            writeln!(
                f,
                "in doubt   {}: {} records of unknown documents, changes between LSN {} and {}",
                doubt.file.file_name(),
                doubt.records,
                doubt.from,
                doubt.to
            )?;
        }
        if !self.doubts.is_empty() {
            writeln!(
                f,
                "in doubt   {} documents: a newer version or the deletion may be among those",
                self.documents_in_doubt
            )?;
        }
        if self.checkpoints_dropped > 0 {
            writeln!(f, "given up   {} older checkpoints", self.checkpoints_dropped)?;
        }
        match (self.index, &self.note) {
            (None, _) => writeln!(f, "Nothing was changed: it is in doubt what was lost."),
            (Some(number), None) => writeln!(f, "Rebuilt: {number:016x}.idx"),
            (Some(number), Some(note)) => {
                writeln!(f, "Rebuilt in doubt: {number:016x}.idx; see {}", note.display())
            }
        }
    }
}
