//! What a check found, for people and for programs.

use std::fmt;
use std::path::{Path, PathBuf};

use base::slots::SlotReport;
use base::words::{CollectionId, DatabaseId, Lsn, Name};

use crate::index;
use crate::location::FileNumber;
use crate::manifest::Quarantined;

/// What a check of a database directory found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// The directory.
    pub dir: PathBuf,
    /// Whose it is, when the MANIFEST can be read.
    pub database: Option<(DatabaseId, Name)>,
    /// The files of the MANIFEST.
    pub slots: Vec<SlotReport>,
    /// The checkpoints that the MANIFEST names, the oldest first.
    pub checkpoints: Vec<CheckpointCheck>,
    /// Every index file of a checkpoint; without a MANIFEST every one in the directory.
    pub indexes: Vec<index::file::Report>,
    /// Every data file of a checkpoint; without a MANIFEST every one in the directory.
    pub files: Vec<FileCheck>,
    /// The collections of the newest checkpoint that can be used.
    pub collections: Vec<CollectionCheck>,
    /// The log, when there is one.
    pub log: Option<LogCheck>,
    /// Files that no checkpoint names: opening removes them.
    pub leftovers: Vec<PathBuf>,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
}

/// One checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointCheck {
    /// Everything up to here is in its files.
    pub lsn: Lsn,
    /// Whether its index could be loaded.
    pub is_usable: bool,
    /// Entries of its index.
    pub documents: u64,
    /// Of them, those whose record was read and is the one that the index means.
    pub readable: u64,
}

/// One data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileCheck {
    /// Its number.
    pub number: FileNumber,
    /// Bytes of data that it must hold.
    pub data_bytes: u64,
    /// Complete stripes, all of them checked.
    pub stripes: u64,
    /// Records that were read, of deletions too.
    pub records: u64,
    /// Of them, those that say that a document is gone.
    pub tombstones: u64,
}

/// One collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionCheck {
    /// Its number.
    pub collection: CollectionId,
    /// Its name.
    pub name: Name,
    /// Documents at the checkpoint, expired ones that were not deleted yet included.
    pub documents: u64,
    /// Changes of documents in the log behind the checkpoint.
    pub changes: u64,
}

/// The log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogCheck {
    /// Segments.
    pub segments: u64,
    /// First and last LSN in them.
    pub lsns: Option<(Lsn, Lsn)>,
    /// Why it does not open, if it does not.
    pub refusal: Option<String>,
    /// Something that is no frame stands behind its end, at this offset of this file: a write that
    /// was interrupted, what a reused file held before, or damage of what nobody was promised.
    /// No problem: opening cuts it off.
    pub tail: Option<(PathBuf, u64)>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// Where in it, bytes; `None` when it is the file as a whole.
    pub offset: Option<u64>,
    /// How bad that is.
    pub severity: Severity,
    /// What is wrong, and what becomes of it.
    pub what: String,
    /// The document that it is about, with the revision that cannot be read.
    pub document: Option<Quarantined>,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing needs what was there, and nothing reads it any more.
    Harmless,
    /// Whatever the database needs of it is still there, or can be made again.
    Healable,
    /// Something that the database needs is gone, or nobody can tell that it is not.
    Lost,
}

/// What a check comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Every byte that counts is as it was written.
    Clean,
    /// Something is damaged that is needed, and nothing is lost.
    Healable,
    /// Something is lost.
    Lost,
}

impl Verdict {
    /// Its name in machine-readable output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Healable => "healable",
            Self::Lost => "lost",
        }
    }
}

impl Severity {
    /// Its name in machine-readable output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Harmless => "harmless",
            Self::Healable => "healable",
            Self::Lost => "lost",
        }
    }
}

impl VerifyReport {
    /// What it comes to: the worst of the problems.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.problems.iter().map(|problem| problem.severity).max() {
            None | Some(Severity::Harmless) => Verdict::Clean,
            Some(Severity::Healable) => Verdict::Healable,
            Some(Severity::Lost) => Verdict::Lost,
        }
    }

    /// The documents whose newest version is lost.
    pub fn lost(&self) -> impl Iterator<Item = &Quarantined> {
        let lost = self.problems.iter().filter(|problem| problem.severity == Severity::Lost);
        lost.filter_map(|problem| problem.document.as_ref())
    }

    pub(super) fn add(
        &mut self,
        severity: Severity,
        path: &Path,
        offset: Option<u64>,
        what: impl Into<String>,
    ) {
        let (path, what) = (path.to_path_buf(), what.into());
        self.problems.push(Problem { path, offset, severity, what, document: None });
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<10} {}", self.severity.name(), self.path.display())?;
        if let Some(offset) = self.offset {
            write!(f, " at {offset}")?;
        }
        write!(f, ": {}", self.what)
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.database {
            Some((id, name)) => writeln!(f, "database   {name} {id}")?,
            None => writeln!(f, "database   unknown: the MANIFEST cannot be read")?,
        }
        for checkpoint in &self.checkpoints {
            let (lsn, documents, readable) =
                (checkpoint.lsn, checkpoint.documents, checkpoint.readable);
            match checkpoint.is_usable {
                true => writeln!(
                    f,
                    "checkpoint LSN {lsn}: {documents} documents, {readable} of them readable"
                )?,
                false => writeln!(f, "checkpoint LSN {lsn}: cannot be used")?,
            }
        }
        for file in &self.files {
            let (number, bytes) = (file.number.file_name(), file.data_bytes);
            let (stripes, records, gone) = (file.stripes, file.records, file.tombstones);
            writeln!(
                f,
                "data       {number}: {bytes} bytes, {stripes} stripes, {records} records, \
                 {gone} of them of deletions"
            )?;
        }
        for report in &self.indexes {
            let entries = report.info.map_or(0, |info| info.entries);
            writeln!(f, "index      {}: {entries} entries", report.path.display())?;
        }
        for collection in &self.collections {
            let CollectionCheck { name, documents, changes, .. } = collection;
            writeln!(f, "collection {name}: {documents} documents, {changes} changes behind them")?;
        }
        if let Some(log) = &self.log {
            let (from, to) = log.lsns.unwrap_or_default();
            writeln!(f, "log        {} segments, LSN {from} to {to}", log.segments)?;
            if let Some((path, offset)) = &log.tail {
                writeln!(f, "tail       {} at {offset}: no frame", path.display())?;
            }
        }
        for left in &self.leftovers {
            writeln!(f, "unused     {}", left.display())?;
        }
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        match self.verdict() {
            Verdict::Clean => writeln!(f, "verdict    clean"),
            Verdict::Healable => writeln!(f, "verdict    healable: nothing is lost"),
            Verdict::Lost => writeln!(f, "verdict    lost: something is lost for good"),
        }
    }
}
