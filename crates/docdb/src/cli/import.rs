//! `docdb import`: lines of JSON into a collection.

use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::error::{Code, Coded as _};
use base::io::{FileRef, Open};
use base::words::{CollectionId, Name};
use docstore::{
    Database, ImportMode, ImportOptions, ImportReport, ImportStopped, LineError, OnError, Options,
    Store, StoreError,
};
use serde_json::{Value, json};
use wal::FsyncMode;

use super::place::{Missing, Place, PlaceArguments, absolute, environment, parse_name, refused};
use super::progress::{Progress, Unit};
use super::{Environment, coded};

/// Bytes read at once.
const BUFFER_BYTES: usize = 1024 * 1024;
/// How long written batches wait for a sync: all of them are synced before the command ends.
const SYNC_INTERVAL: Duration = Duration::from_millis(100);
/// Exit code when lines were refused.
const REFUSED: u8 = 6;

const HELP: &str = "\
One document a line, as `docdb export` writes them. `id` and `document` are enough:

  {\"id\":7,\"document\":{\"title\":\"Walden\"}}
  {\"id\":\"emma\",\"document\":{\"title\":\"Emma\"},\"expires_at\":1900000000000}

An id is a number, a UUID or another string; \"id_type\" (u64, uuid, string) says which when a
string does not. Documents keep every byte, and get new revisions. Memory does not grow with
the input. What is imported is safe on the disk when the command has ended.

Each line that is refused is named on standard error, with its number, the code and the
reason; how many there were comes at the end. With --on-error stop, the default, everything
before the first of them is imported and nothing behind it.

Exit codes:
  0  every line is imported
  1  the import could not go on; standard error says why, and what was imported
  2  the command line is wrong
  6  lines were refused; standard error names them

Examples:
  docdb import books.ndjson --collection books --create
  gzip -dc books.ndjson.gz | docdb import - --collection books --upsert
  docdb import books.ndjson --on-error skip --json | jq .refused";

/// What to import, and where to.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// The file to read; `-` is standard input
    #[arg(default_value = "-", value_name = "FILE")]
    file: PathBuf,
    /// The collection
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = parse_name)]
    collection: Name,
    #[command(flatten)]
    place: PlaceArguments,
    /// Replace documents that are there already; without it they are refused with DocExists
    #[arg(long)]
    upsert: bool,
    /// What to do about a line that is refused
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = WhenRefused::Stop)]
    on_error: WhenRefused,
    /// Make the data directory, the database and the collection where they are missing
    #[arg(long)]
    create: bool,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum WhenRefused {
    /// Stop there
    Stop,
    /// Go on with the next
    Skip,
}

/// Runs the command; answers its exit code.
pub(super) fn run(
    arguments: &Arguments,
    variables: &Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    // Before anything is made.
    let (mut input, total) = open_input(&arguments.file)?;
    let log = wal::Options { fsync: FsyncMode::Interval(SYNC_INTERVAL), ..wal::Options::default() };
    let missing = if arguments.create { Missing::Make } else { Missing::Refuse };
    let place = arguments.place.resolve(variables)?;
    let store = place.store(missing, Options { log, ..Options::default() }, err)?;
    let imported = target(arguments, &place, &store).map(|(database, collection)| {
        import(arguments, &database, collection, &mut *input, total, err)
    });
    let closed = store.close().map_err(|error| coded(&error));
    let ended = imported?;
    let (report, stopped) = match &ended {
        Ok(report) => (report, None),
        Err(stopped) => (&stopped.report, Some(&**stopped)),
    };
    show(arguments, &place.database, report, stopped, out)?;
    if let Some(ImportStopped { error, line: None, .. }) = stopped {
        let code = error.code().name();
        let lines = report.lines;
        return Err(io::Error::other(format!("stopped after line {lines}: {error} code={code}")));
    }
    closed?;
    Ok(if report.refused > 0 { REFUSED } else { 0 })
}

/// The input, and how long it is when that can be told.
fn open_input(file: &Path) -> io::Result<(Box<dyn BufRead>, Option<u64>)> {
    if file == Path::new("-") {
        if io::stdin().is_terminal() {
            let message = "say which file to read, or pipe lines into the command";
            return Err(refused(message, Code::FileOpen));
        }
        let input = BufReader::with_capacity(BUFFER_BYTES, io::stdin());
        return Ok((Box::new(input), None));
    }
    let path = absolute(file)?;
    let open = || {
        let file = environment().disk.open(&path, Open::Read)?;
        let len = file.len()?;
        // What cannot be read at a place is a pipe: it is told before anything is made.
        file.read_at(&mut [0], 0)?;
        Ok((file, len))
    };
    let (file, len) = open().map_err(|error: io::Error| {
        let is_pipe = error.kind() == io::ErrorKind::NotSeekable;
        let hint = if is_pipe { "; give it to `docdb import -` on standard input" } else { "" };
        let message = format!("cannot read `{}`: {error}{hint}", path.display());
        refused(message, Code::FileOpen)
    })?;
    let input = BufReader::with_capacity(BUFFER_BYTES, Reading { file, at: 0 });
    Ok((Box::new(input), Some(len)))
}

/// A file, read from its start on.
struct Reading {
    file: FileRef,
    at: u64,
}

impl Read for Reading {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buf, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

/// The collection, made with its database when that was asked for.
fn target(
    arguments: &Arguments,
    place: &Place,
    store: &Store,
) -> io::Result<(Database, CollectionId)> {
    let name = &place.database;
    let is_there = store.list().iter().any(|entry| entry.name == *name);
    let database = if arguments.create && !is_there {
        store.create(name).map_err(|error| coded(&error))?
    } else {
        place.database(store)?
    };
    let collection = match database.collection(&arguments.collection) {
        Err(StoreError::CollectionNotFound(_)) if arguments.create => {
            database.create_collection(&arguments.collection)
        }
        found => found,
    };
    let collection = collection.map_err(|error| {
        let StoreError::CollectionNotFound(name) = &error else { return coded(&error) };
        let message = format!("there is no such collection collection={name}; --create makes it");
        refused(message, Code::CollectionNotFound)
    })?;
    Ok((database, collection))
}

type Ended = Result<ImportReport, Box<ImportStopped>>;

fn import(
    arguments: &Arguments,
    database: &Database,
    collection: CollectionId,
    input: &mut dyn BufRead,
    total: Option<u64>,
    err: &mut dyn Write,
) -> Ended {
    let mode = if arguments.upsert { ImportMode::Upsert } else { ImportMode::Create };
    let on_error = match arguments.on_error {
        WhenRefused::Stop => OnError::Stop,
        WhenRefused::Skip => OnError::Skip,
    };
    let mut progress = Progress::new("import", Unit::Bytes, err);
    let options = ImportOptions { mode, on_error };
    database.import(collection, input, options, &mut |at| {
        for refused in at.refused {
            // The count at the end is right though nobody reads this.
            let _ = progress.note(&line_text(refused));
        }
        progress.at(at.report.bytes, total);
    })
}

fn line_text(refused: &LineError) -> String {
    let LineError { line, error } = refused;
    format!("line {line}: {error} code={}", error.code().name())
}

fn show(
    arguments: &Arguments,
    database: &Name,
    report: &ImportReport,
    stopped: Option<&ImportStopped>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let collection = &arguments.collection;
    if arguments.json {
        return writeln!(out, "{:#}", to_json((database, collection), report, stopped));
    }
    let ImportReport { lines, created, replaced, refused, .. } = report;
    writeln!(
        out,
        "{lines} lines into {database}/{collection}: {created} created, {replaced} replaced, \
         {refused} refused"
    )?;
    if let Some(line) = stopped.and_then(|stopped| stopped.line) {
        writeln!(out, "stopped at line {line}: those before it are imported, none behind it is")?;
    }
    Ok(())
}

fn to_json(
    (database, collection): (&Name, &Name),
    report: &ImportReport,
    stopped: Option<&ImportStopped>,
) -> Value {
    let error =
        |error: &StoreError| json!({ "code": error.code().name(), "message": error.to_string() });
    json!({
        "database": database.as_str(),
        "collection": collection.as_str(),
        "lines": report.lines,
        "created": report.created,
        "replaced": report.replaced,
        "refused": report.refused,
        "stopped_at": stopped.and_then(|stopped| stopped.line),
        "failure": stopped.filter(|stopped| stopped.line.is_none()).map(|s| error(&s.error)),
        "errors": report.errors.iter().map(|refused| json!({
            "line": refused.line,
            "code": refused.error.code().name(),
            "message": refused.error.to_string(),
        })).collect::<Vec<_>>(),
        "errors_not_listed": report.refused.saturating_sub(report.errors.len() as u64),
    })
}
