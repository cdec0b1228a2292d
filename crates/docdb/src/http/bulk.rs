//! Import of lines of JSON into a collection, as they come: the format of `docdb export` and of the
//! export below `documents`. A line that is refused is named and passed over.
//!
//! Memory: the longest line up to [`LINE_BYTES_MAX`] and one batch, reserved before they are held.
//! The next piece of the body is read when the batch before is answered, so that a client cannot
//! send faster than the database writes.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use base::error::Code;
use base::memory::Reservation;
use base::words::Name;
use bytes::Bytes;
use docstore::{Effect, Expiry, IMPORT_ERRORS_MAX, ImportLine, LINE_BYTES_MAX};
use serde_json::{Value, json};

use super::body;
use super::call::Call;
use super::error::{Failure, Result, as_json};
use super::parameters::{Parameter, query};
use super::respond;
use super::routes::{Access, Route, Shape, Span, Verb};
use crate::engine::metrics::Operation;
use crate::engine::{Engine, EngineError, Op, OpAnswer, OpKind, Served, Together};

/// Lines that are written together, at most.
const BATCH_LINES: usize = 1000;
/// A batch ends when its lines exceed this many bytes.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

const MODE: Parameter = query(
    "mode",
    r#"{"type":"string","enum":["upsert","create"],"default":"upsert"}"#,
    "`create`: a document that exists already is refused; `upsert`: it is replaced.",
);

pub(super) const ROUTES: &[Route] = &[Route {
    verb: Verb::Post,
    path: "/v1/databases/{database}/collections/{collection}/bulk",
    name: "bulk_import",
    what: "Import documents, one JSON object a line. Not one transaction: what a refused line or a \
           broken connection leaves is what was imported before.",
    operation: Operation::Import,
    access: Access::Write,
    span: Span::Long,
    takes: &[MODE],
    body: Shape::Lines,
    answers: &[(200, Shape::Json("Imported"))],
    handler: |call| Box::pin(bulk(call)),
}];

/// What an import does with a document that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Create,
    Upsert,
}

async fn bulk(mut call: Call) -> Result<Response> {
    let mode = match call.query.get(MODE.name) {
        None | Some("upsert") => Mode::Upsert,
        Some("create") => Mode::Create,
        Some(_) => return Err(Failure::bad("mode is upsert or create")),
    };
    let (database, collection) = (call.database()?, call.collection()?);
    let how = call.how();
    // Otherwise every line would say so.
    let look = |engine: &Arc<Engine>, reply| {
        engine.collection(&database, collection.clone(), how, reply);
    };
    call.ask(look).await?;
    let mut body = call.take_body();
    let held = body::reserve(&call.surface)?;
    let mut import = Import {
        call,
        database,
        collection,
        mode,
        held,
        batch: Batch::default(),
        report: Report::default(),
    };
    let mut lines = Lines::default();
    while let Some(piece) = body::next(&mut body, import.call.surface.options.body_timeout).await? {
        let mut rest = &piece[..];
        while let Some(line) = lines.next(&mut rest) {
            import.take(line).await?;
        }
        import.hold(lines.part.len())?;
    }
    if let Some(line) = lines.last() {
        import.take(line).await?;
    }
    import.write().await?;
    Ok(respond::json(StatusCode::OK, &import.report.shape()))
}

/// A line, or that it was longer than it may be.
pub(super) type Line = std::result::Result<Vec<u8>, TooLong>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLong;

/// Takes lines out of pieces.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The beginning of a line whose end has not come.
    pub(super) part: Vec<u8>,
    is_too_long: bool,
    has_begun: bool,
}

impl Lines {
    /// The next line that ends within `piece`, which begins behind it then.
    pub(super) fn next(&mut self, piece: &mut &[u8]) -> Option<Line> {
        let end = piece.iter().position(|byte| *byte == b'\n');
        let (line, rest) = piece.split_at(end.unwrap_or(piece.len()));
        self.add(line);
        self.has_begun |= !line.is_empty();
        *piece = rest.get(1..).unwrap_or_default();
        end.map(|_| self.whole())
    }

    fn add(&mut self, bytes: &[u8]) {
        if self.is_too_long || self.part.len() + bytes.len() > LINE_BYTES_MAX {
            self.is_too_long = true;
            self.part = Vec::new();
        } else {
            let needed = self.part.len() + bytes.len();
            if needed > self.part.capacity() {
                let room = body::room(needed, LINE_BYTES_MAX);
                self.part.reserve(room - self.part.len());
            }
            self.part.extend_from_slice(bytes);
        }
    }

    fn whole(&mut self) -> Line {
        self.has_begun = false;
        let part = std::mem::take(&mut self.part);
        if std::mem::take(&mut self.is_too_long) { Err(TooLong) } else { Ok(part) }
    }

    /// The last line, when nothing ends it.
    pub(super) fn last(&mut self) -> Option<Line> {
        self.has_begun.then(|| self.whole())
    }
}

/// A line that has something in it, none for one that has not, and why not for one too long.
pub(super) fn sorted(line: Line) -> std::result::Result<Option<Vec<u8>>, EngineError> {
    match line {
        Ok(line) if line.iter().all(u8::is_ascii_whitespace) => Ok(None),
        Ok(line) => Ok(Some(line)),
        Err(TooLong) => {
            let what = format!("a line has at most {LINE_BYTES_MAX} bytes");
            Err(EngineError::new(Code::PayloadTooLarge, what))
        }
    }
}

/// Lines that are to be written together.
#[derive(Debug, Default)]
struct Batch {
    lines: Vec<(u64, Vec<u8>)>,
    bytes: usize,
}

/// What was done.
#[derive(Debug, Default)]
struct Report {
    lines: u64,
    created: u64,
    replaced: u64,
    refused: u64,
    errors: Vec<(u64, EngineError)>,
}

impl Report {
    fn refuse(&mut self, line: u64, error: EngineError) {
        self.refused += 1;
        if self.errors.len() < IMPORT_ERRORS_MAX {
            let error = EngineError { operation: None, ..error };
            self.errors.push((line, error));
        }
    }

    fn shape(&mut self) -> Value {
        self.errors.sort_by_key(|(line, _)| *line);
        let errors = self.errors.iter();
        let errors = errors.map(|(line, error)| json!({ "line": line, "error": as_json(error) }));
        json!({
            "lines": self.lines,
            "created": self.created,
            "replaced": self.replaced,
            "refused": self.refused,
            "errors": errors.collect::<Vec<_>>(),
        })
    }
}

/// An import under way.
struct Import {
    call: Call,
    database: Arc<Served>,
    collection: Name,
    mode: Mode,
    held: Reservation,
    batch: Batch,
    report: Report,
}

impl Import {
    /// Reserves what is held: the batch and `part` bytes of a line.
    fn hold(&mut self, part: usize) -> Result<()> {
        let (wanted, held) = ((self.batch.bytes + part) as u64, self.held.bytes());
        if wanted > held {
            return self.held.grow(wanted - held).map_err(|e| body::no_memory(&e));
        }
        self.held.shrink(held - wanted);
        Ok(())
    }

    async fn take(&mut self, line: Line) -> Result<()> {
        self.report.lines += 1;
        let number = self.report.lines;
        match sorted(line) {
            Err(error) => self.report.refuse(number, error),
            Ok(None) => {}
            Ok(Some(line)) => {
                self.batch.bytes += line.len();
                self.batch.lines.push((number, line));
            }
        }
        if self.batch.lines.len() >= BATCH_LINES || self.batch.bytes > BATCH_BYTES {
            self.write().await?;
        }
        Ok(())
    }

    /// Writes the batch.
    async fn write(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        if batch.lines.is_empty() {
            return Ok(());
        }
        let (collection, mode) = (self.collection.clone(), self.mode);
        // Megabytes of JSON are read on a thread that may take its time.
        let read = tokio::task::spawn_blocking(move || read(batch.lines, &collection, mode)).await;
        let read = read.map_err(|_| Failure::new(Code::Internal, "reading lines panicked"))?;
        for (line, error) in read.refused {
            self.report.refuse(line, error);
        }
        let (database, ops) = (Arc::clone(&self.database), read.ops);
        let how = self.call.how_in_order();
        let ask = |engine: &Arc<Engine>, reply| {
            engine.execute(&database, ops, Together::Independent, how, reply);
        };
        let answers = self.call.ask(ask).await.map_err(|failure| self.stopped(failure))?;
        for (line, answer) in read.numbers.into_iter().zip(answers) {
            match answer {
                Ok(OpAnswer::Written { effect: Effect::Created, .. }) => self.report.created += 1,
                Ok(_) => self.report.replaced += 1,
                Err(error) if is_about_a_line(error.code) => self.report.refuse(line, error),
                Err(error) => return Err(self.stopped(error.into())),
            }
        }
        Ok(())
    }

    /// Why going on is no use, and how far it came.
    fn stopped(&self, failure: Failure) -> Failure {
        let (created, replaced) = (self.report.created, self.report.replaced);
        let message = format!(
            "the import stopped: {}; before that documents were imported, created={created} \
             replaced={replaced}",
            failure.error.message
        );
        let error = EngineError { message: message.into(), operation: None, ..failure.error };
        Failure { error, ..failure }
    }
}

/// Lines that were read.
struct Read {
    ops: Vec<Op>,
    /// The line of each operation.
    numbers: Vec<u64>,
    refused: Vec<(u64, EngineError)>,
}

fn read(lines: Vec<(u64, Vec<u8>)>, collection: &Name, mode: Mode) -> Read {
    let mut read = Read { ops: Vec::new(), numbers: Vec::new(), refused: Vec::new() };
    for (number, line) in lines {
        match ImportLine::parse(&line) {
            Ok(parsed) => {
                let text = Bytes::copy_from_slice(parsed.document.as_bytes());
                let expiry = parsed.expires_at.map_or(Expiry::Never, Expiry::At);
                let kind = match mode {
                    Mode::Create => OpKind::Create(text, expiry),
                    Mode::Upsert => OpKind::Upsert(text, expiry),
                };
                let collection = collection.clone();
                read.ops.push(Op { collection, id: parsed.id, kind, conditions: Vec::new() });
                read.numbers.push(number);
            }
            Err(error) => read.refused.push((number, error.into())),
        }
    }
    read
}

/// What an import of a body in these pieces would write and refuse.
pub(super) fn read_pieces(
    pieces: &[&[u8]],
    collection: &Name,
) -> (Vec<Op>, Vec<(u64, EngineError)>) {
    let (mut lines, mut batch, mut refused) = (Lines::default(), Vec::new(), Vec::new());
    let mut number = 0;
    let mut take = |line: Line| {
        number += 1;
        match sorted(line) {
            Ok(Some(line)) => batch.push((number, line)),
            Ok(None) => {}
            Err(error) => refused.push((number, error)),
        }
    };
    for piece in pieces {
        let mut rest = *piece;
        while let Some(line) = lines.next(&mut rest) {
            take(line);
        }
    }
    if let Some(line) = lines.last() {
        take(line);
    }
    let read = read(batch, collection, Mode::Upsert);
    refused.extend(read.refused);
    refused.sort_by_key(|(line, _)| *line);
    (read.ops, refused)
}

/// Whether other lines may be accepted all the same.
pub(super) fn is_about_a_line(code: Code) -> bool {
    matches!(
        code,
        Code::DocExists
            | Code::InvalidSchema
            | Code::InvalidJson
            | Code::InvalidId
            | Code::PayloadTooLarge
            | Code::DocCorrupt
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&str]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for piece in pieces {
            let mut rest = piece.as_bytes();
            while let Some(line) = lines.next(&mut rest) {
                found.push(line.unwrap());
            }
        }
        found.extend(lines.last().map(std::result::Result::unwrap));
        found.into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn lines_are_found_wherever_pieces_end() {
        assert_eq!(split(&["a\nb", "c\n", "\nd"]), ["a", "bc", "", "d"]);
        assert_eq!(split(&["", "a", "", "\n"]), ["a"]);
        assert!(split(&[]).is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_is_not_held() {
        let mut lines = Lines::default();
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..=LINE_BYTES_MAX >> 20 {
            assert!(lines.next(&mut &piece[..]).is_none());
        }
        assert!(lines.part.is_empty());
        let mut rest = &b"x\nb\n"[..];
        assert_eq!(lines.next(&mut rest), Some(Err(TooLong)));
        assert_eq!(lines.next(&mut rest), Some(Ok(b"b".to_vec())));
    }
}
