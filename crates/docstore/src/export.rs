//! Export and import of a collection as lines of JSON.
//!
//! One document a line, in the order of ids, as of one snapshot:
//!
//! ```json
//! {"id":7,"id_type":"u64","revision":31,"expires_at":1700000060000,"document":{"title":"Walden"}}
//! ```
//!
//! `expires_at` (milliseconds since the Unix epoch) is there when the document expires. `document`
//! has the exact bytes that were written. JSON allows line breaks between its tokens; a document
//! with one would take more than a line, and white space around a document would be lost between
//! the parts of the line. The text of both comes as a string, `"text":"{\n \"a\": 1}"` in the place
//! of `document`, and is exact as well. `line.rs` writes and reads lines.
//!
//! An import takes such lines, of any origin: `id` and either `document` or `text` must be there.
//! Revisions are not kept: they are those of the new writes. It is not one transaction but a
//! series of batches; it can be run again in mode upsert.
//!
//! Lines are documents and nothing else: the properties of a collection, its validation and search
//! schemas among them, are in backups and not here.

mod line;
mod token;

use std::io::{self, BufRead, Write as Output};

use base::error::{Code, Coded as _};
use base::words::{CollectionId, Lsn};

use crate::database::Database;
use crate::error::{Op, Result, StoreError};
use crate::read::ScanRequest;
use crate::request::{Effect, Expiry, Refused, Write};
use crate::snapshots::SnapshotId;
pub use line::{ImportLine, LINE_BYTES_MAX, write_export_line};

/// Documents read at once by an export, and written at once by an import, at most.
const BATCH_DOCUMENTS: usize = 1000;
/// A batch of an import ends when its lines exceed this many bytes.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Refused lines that a report names; further ones are counted.
pub const IMPORT_ERRORS_MAX: usize = 1000;

/// What an export has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExportReport {
    /// Documents, one a line.
    pub documents: u64,
    /// Bytes.
    pub bytes: u64,
    /// The position of the snapshot.
    pub position: Lsn,
}

/// What an import does with a document that exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportMode {
    /// Refuses the line.
    Create,
    /// Replaces it.
    Upsert,
}

/// What an import does about a line that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// Notes it and goes on.
    Skip,
    /// Stops: the lines before it are imported, it and those behind it are not.
    Stop,
}

/// How to import. An [`ImportMode`] alone is one that skips lines that are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportOptions {
    /// What to do with documents that exist.
    pub mode: ImportMode,
    /// What to do about a line that is refused.
    pub on_error: OnError,
}

impl From<ImportMode> for ImportOptions {
    fn from(mode: ImportMode) -> Self {
        Self { mode, on_error: OnError::Skip }
    }
}

/// What an import has done.
#[derive(Debug, Clone, Default)]
pub struct ImportReport {
    /// Lines read, empty ones included. Of an import that a refused line stopped: its number.
    pub lines: u64,
    /// Bytes read. Of an import that a refused line stopped: some behind it may be among them.
    pub bytes: u64,
    /// Documents that were not there before.
    pub created: u64,
    /// Documents that took the place of others.
    pub replaced: u64,
    /// Lines that were refused; all others were imported.
    pub refused: u64,
    /// The first [`IMPORT_ERRORS_MAX`] of those that were refused, by their numbers.
    pub errors: Vec<LineError>,
}

/// How far an import has come.
#[derive(Debug, Clone, Copy)]
pub struct ImportProgress<'a> {
    /// Everything up to now.
    pub report: &'a ImportReport,
    /// All lines of the last batch that were refused, by their numbers.
    pub refused: &'a [LineError],
}

/// A line that was refused.
#[derive(Debug, Clone, thiserror::Error)]
#[error("line {line}: {error}")]
pub struct LineError {
    /// Its number, from 1.
    pub line: u64,
    /// Why.
    pub error: StoreError,
}

/// An import that could not go on. What its report counts is in the collection.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the import stopped after {} lines: {error}", report.lines)]
pub struct ImportStopped {
    /// What was done before.
    pub report: ImportReport,
    /// Why.
    pub error: StoreError,
    /// The line that was refused, when that is why: the last of the report's errors.
    pub line: Option<u64>,
}

/// A snapshot that is let go at the end, whatever the end is.
struct Held<'a>(&'a Database, SnapshotId);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.release(self.1);
    }
}

impl Database {
    /// Writes a collection to `out`, one document a line, as it is now, and flushes `out`.
    /// `progress` is called about every thousand documents. A document that expires meanwhile may
    /// be left out.
    ///
    /// Memory: a page of documents, about 8 MiB.
    ///
    /// # Errors
    /// `FileWrite` with what `out` said; `SnapshotExpired` when `out` took longer than
    /// `snapshot_ttl` for a single document; and as [`Database::scan`]. What was written so far
    /// is whole lines, but for the last.
    pub fn export(
        &self,
        collection: CollectionId,
        out: &mut dyn Output,
        progress: &mut dyn FnMut(&ExportReport),
    ) -> Result<ExportReport> {
        let snapshot = self.snapshot()?;
        let _held = Held(self, snapshot);
        let mut report = ExportReport::default();
        let mut next = Some(ScanRequest::all(collection, BATCH_DOCUMENTS).at(snapshot));
        let mut line = Vec::new();
        let failed = |e: io::Error| StoreError::io(Op::Write, "the export", e);
        while let Some(request) = next {
            let page = self.scan(&request)?;
            report.position = page.position;
            for (id, stored) in &page.documents {
                line.clear();
                write_export_line(&mut line, id, stored);
                out.write_all(&line).map_err(failed)?;
                report.documents += 1;
                report.bytes += line.len() as u64;
                // However slow `out` is, the snapshot is in use.
                self.inner.touch(snapshot)?;
            }
            line.shrink_to(64 * 1024);
            progress(&report);
            next = page.next;
        }
        out.flush().map_err(failed)?;
        Ok(report)
    }

    /// Imports documents into a collection, one a line, in batches. What to do with a line that is
    /// malformed, or whose document is refused, `options` says; empty lines are skipped. `progress`
    /// is called after each batch. What was imported is acknowledged as any write is.
    ///
    /// Memory: a batch, and the longest line up to [`LINE_BYTES_MAX`].
    ///
    /// # Errors
    /// [`ImportStopped`] when going on is no use: `input` cannot be read (`FileRead`),
    /// `CollectionNotFound`, `DiskFull`, `MemoryLimit`, `DurabilityUnknown` and the like; and at the
    /// first line that is refused with [`OnError::Stop`].
    pub fn import(
        &self,
        collection: CollectionId,
        input: &mut dyn BufRead,
        options: impl Into<ImportOptions>,
        progress: &mut dyn FnMut(ImportProgress<'_>),
    ) -> std::result::Result<ImportReport, Box<ImportStopped>> {
        let mut import = Import {
            db: self,
            collection,
            options: options.into(),
            report: ImportReport::default(),
            batch: Vec::new(),
            refused: Vec::new(),
        };
        match import.run(input, progress) {
            Ok(()) => Ok(import.report),
            Err(Stop { error, line }) => {
                Err(Box::new(ImportStopped { report: import.report, error, line }))
            }
        }
    }
}

/// A line's number and what it asks for.
type Numbered = (u64, Write);

/// Why an import ends early.
struct Stop {
    error: StoreError,
    /// The line that was refused.
    line: Option<u64>,
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self { error, line: None }
    }
}

/// An import under way.
struct Import<'a> {
    db: &'a Database,
    collection: CollectionId,
    options: ImportOptions,
    report: ImportReport,
    batch: Vec<Numbered>,
    /// Lines of the batch that were refused.
    refused: Vec<LineError>,
}

impl Import<'_> {
    fn run(
        &mut self,
        input: &mut dyn BufRead,
        progress: &mut dyn FnMut(ImportProgress<'_>),
    ) -> std::result::Result<(), Stop> {
        let (mut line, mut bytes) = (Vec::new(), 0);
        loop {
            let read = line::read(input, &mut line)
                .map_err(|e| StoreError::io(Op::Read, "the import", e))?;
            if let line::Read::Whole(len) | line::Read::TooLong(len) = read {
                self.report.lines += 1;
                self.report.bytes += len;
                bytes += line.len();
                self.take(&line, matches!(read, line::Read::TooLong(_)));
            }
            let lines = self.batch.len() + self.refused.len();
            let is_full = lines >= BATCH_DOCUMENTS || bytes > BATCH_BYTES;
            let is_refused = self.options.on_error == OnError::Stop && !self.refused.is_empty();
            if read == line::Read::End || is_full || is_refused {
                let written = self.write();
                self.settle(progress);
                written?;
                self.stopped()?;
                bytes = 0;
                line.shrink_to(64 * 1024);
            }
            if read == line::Read::End {
                return Ok(());
            }
        }
    }

    /// Adds a line to the batch, or notes what is wrong with it.
    fn take(&mut self, line: &[u8], is_too_long: bool) {
        let number = self.report.lines;
        if is_too_long {
            let (what, limit) = ("the line", LINE_BYTES_MAX as u64);
            self.refuse(number, StoreError::TooLarge { what, value: limit + 1, limit });
            return;
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        match ImportLine::parse(line) {
            Ok(parsed) => {
                let write = match self.options.mode {
                    ImportMode::Create => {
                        Write::create(self.collection, parsed.id, parsed.document)
                    }
                    ImportMode::Upsert => {
                        Write::upsert(self.collection, parsed.id, parsed.document)
                    }
                };
                let expiry = parsed.expires_at.map_or(Expiry::Never, Expiry::At);
                self.batch.push((number, write.expires(expiry)));
            }
            Err(error) => self.refuse(number, error),
        }
    }

    fn refuse(&mut self, line: u64, error: StoreError) {
        self.refused.push(LineError { line, error });
    }

    /// Moves the refused lines of a batch into the report, in their order, and tells of it. When
    /// the first of them is where the import stops, it is the only one: those behind it are not
    /// imported, whatever they say.
    fn settle(&mut self, progress: &mut dyn FnMut(ImportProgress<'_>)) {
        self.refused.sort_by_key(|refused| refused.line);
        if self.options.on_error == OnError::Stop {
            self.refused.truncate(1);
        }
        self.report.refused += self.refused.len() as u64;
        let room = IMPORT_ERRORS_MAX - self.report.errors.len();
        self.report.errors.extend(self.refused.iter().take(room).cloned());
        if let (OnError::Stop, Some(last)) = (self.options.on_error, self.refused.last()) {
            self.report.lines = last.line;
        }
        progress(ImportProgress { report: &self.report, refused: &self.refused });
        self.refused.clear();
    }

    /// Whether a refused line ends the import.
    fn stopped(&self) -> std::result::Result<(), Stop> {
        match (self.options.on_error, self.report.errors.first()) {
            (OnError::Stop, Some(LineError { line, error })) => {
                Err(Stop { error: error.clone(), line: Some(*line) })
            }
            (OnError::Skip, _) | (OnError::Stop, None) => Ok(()),
        }
    }

    /// Writes the batch. Where a line is refused, those before it and, unless the import stops
    /// there, those behind it are written by themselves: no line is evaluated more than a few
    /// times, however many are refused.
    fn write(&mut self) -> Result<()> {
        let mut parts = vec![std::mem::take(&mut self.batch)];
        while let Some(mut part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let writes = part.iter().map(|(_, write)| write.clone()).collect();
            match self.db.batch(writes) {
                Ok(written) => {
                    for one in written {
                        match one.effect {
                            Effect::Created => self.report.created += 1,
                            Effect::Replaced | Effect::Deleted => self.report.replaced += 1,
                            // An import has no operation that may be passed over.
                            Effect::Skipped => {}
                        }
                    }
                }
                Err(Refused { operation: Some(at), error })
                    if is_about_a_line(&error) && at < part.len() =>
                {
                    let behind = part.split_off(at + 1);
                    match self.options.on_error {
                        OnError::Skip => parts.push(behind),
                        OnError::Stop => parts.clear(),
                    }
                    if let Some((line, _)) = part.pop() {
                        self.refuse(line, error);
                    }
                    parts.push(part);
                }
                Err(refused) => return Err(refused.error),
            }
        }
        Ok(())
    }
}

/// Whether other lines may be accepted all the same.
fn is_about_a_line(error: &StoreError) -> bool {
    let codes = [Code::DocExists, Code::InvalidSchema, Code::PayloadTooLarge, Code::DocCorrupt];
    codes.contains(&error.code())
}
