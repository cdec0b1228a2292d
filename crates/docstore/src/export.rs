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
pub use line::LINE_BYTES_MAX;

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

/// What an import has done.
#[derive(Debug, Clone, Default)]
pub struct ImportReport {
    /// Lines read, empty ones included.
    pub lines: u64,
    /// Documents that were not there before.
    pub created: u64,
    /// Documents that took the place of others.
    pub replaced: u64,
    /// Lines that were refused; all others were imported.
    pub refused: u64,
    /// The first [`IMPORT_ERRORS_MAX`] of those that were refused.
    pub errors: Vec<LineError>,
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
                line::write(&mut line, id, stored);
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

    /// Imports documents into a collection, one a line, in batches. A line that is malformed, or
    /// whose document is refused, is noted and passed over; empty lines are skipped. `progress` is
    /// called after each batch. What was imported is acknowledged as any write is.
    ///
    /// Memory: a batch, and the longest line up to [`LINE_BYTES_MAX`].
    ///
    /// # Errors
    /// [`ImportStopped`] when going on is no use: `input` cannot be read (`FileRead`),
    /// `CollectionNotFound`, `DiskFull`, `MemoryLimit`, `DurabilityUnknown` and the like.
    pub fn import(
        &self,
        collection: CollectionId,
        input: &mut dyn BufRead,
        mode: ImportMode,
        progress: &mut dyn FnMut(&ImportReport),
    ) -> std::result::Result<ImportReport, Box<ImportStopped>> {
        let mut import =
            Import { db: self, collection, mode, report: ImportReport::default(), batch: vec![] };
        match import.run(input, progress) {
            Ok(()) => Ok(import.report),
            Err(error) => Err(Box::new(ImportStopped { report: import.report, error })),
        }
    }
}

/// A line's number and what it asks for.
type Numbered = (u64, Write);

/// An import under way.
struct Import<'a> {
    db: &'a Database,
    collection: CollectionId,
    mode: ImportMode,
    report: ImportReport,
    batch: Vec<Numbered>,
}

impl Import<'_> {
    fn run(
        &mut self,
        input: &mut dyn BufRead,
        progress: &mut dyn FnMut(&ImportReport),
    ) -> Result<()> {
        let (mut line, mut bytes) = (Vec::new(), 0);
        loop {
            let read = line::read(input, &mut line)
                .map_err(|e| StoreError::io(Op::Read, "the import", e))?;
            if read != line::Read::End {
                self.report.lines += 1;
                bytes += line.len();
                self.take(&line, read == line::Read::TooLong);
            }
            let is_full = self.batch.len() >= BATCH_DOCUMENTS || bytes > BATCH_BYTES;
            if read == line::Read::End || is_full {
                self.write()?;
                bytes = 0;
                line.shrink_to(64 * 1024);
                progress(&self.report);
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
        match line::parse(line) {
            Ok(parsed) => {
                let write = match self.mode {
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
        self.report.refused += 1;
        if self.report.errors.len() < IMPORT_ERRORS_MAX {
            self.report.errors.push(LineError { line, error });
        }
    }

    /// Writes the batch. Where a line is refused, those before it and those behind it are written
    /// by themselves: no line is evaluated more than a few times, however many are refused.
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
                        }
                    }
                }
                Err(Refused { operation: Some(at), error })
                    if is_about_a_line(&error) && at < part.len() =>
                {
                    parts.push(part.split_off(at + 1));
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
