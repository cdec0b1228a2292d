//! `docdb export`: the documents of a collection as lines of JSON.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use base::error::Code;
use base::io::{DiskRef, FileRef, Open, write_all_at};
use base::words::Name;
use docstore::{Database, ExportReport, Options, StoreError};
use serde_json::json;

use super::place::{Missing, PlaceArguments, absolute, environment, parse_name, refused};
use super::progress::{Progress, Unit};
use super::{Environment, coded};

/// Bytes that are collected before they are written.
const BUFFER_BYTES: usize = 1024 * 1024;
/// What the name of a file ends in until it is complete.
const PART: &str = ".part";

const HELP: &str = "\
One document a line, in the order of ids, all as of one moment:

  {\"id\":7,\"id_type\":\"u64\",\"revision\":31,\"document\":{\"title\": \"Walden\"}}

A document that expires has expires_at (milliseconds since 1970). A document that would not
stay on one line comes as \"text\", a string, in the place of \"document\". `docdb import` reads
such lines back exactly; it gives new revisions. Lines are documents alone: schemas and other
properties of the collection go with `docdb backup`.

A file is written as FILE.part, and takes the place of FILE once it is complete and safe on
the disk. What is said about the export comes on standard output then, and on standard error
when the documents go to standard output.

Exit codes:
  0  exported
  1  not exported; FILE, if there was one, is as it was
  2  the command line is wrong

Examples:
  docdb export books.ndjson --collection books
  docdb export --collection books | gzip > books.ndjson.gz
  docdb export all.ndjson --data-dir /var/lib/docdb --database orders --json";

/// What to export, and where to.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// The file to write; `-` is standard output
    #[arg(default_value = "-", value_name = "FILE")]
    file: PathBuf,
    /// The collection
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = parse_name)]
    collection: Name,
    #[command(flatten)]
    place: PlaceArguments,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command; answers its exit code.
pub(super) fn run(
    arguments: &Arguments,
    variables: &Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let place = arguments.place.resolve(variables)?;
    let store = place.store(Missing::Refuse, Options::default(), err)?;
    let exported = place.database(&store).and_then(|database| {
        if arguments.file == Path::new("-") {
            let mut lines = BufWriter::with_capacity(BUFFER_BYTES, &mut *out);
            export(arguments, &database, &mut lines, err)
        } else {
            to_file(arguments, &database, err)
        }
    });
    let closed = store.close();
    let report = exported?;
    closed.map_err(|error| coded(&error))?;
    if arguments.file == Path::new("-") {
        out.flush()?;
        show(arguments, &place.database, &report, err)?;
    } else {
        show(arguments, &place.database, &report, out)?;
    }
    Ok(0)
}

fn export(
    arguments: &Arguments,
    database: &Database,
    lines: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<ExportReport> {
    let collection = database.collection(&arguments.collection).map_err(|error| coded(&error))?;
    let total = database.count(collection).map_err(|error| coded(&error))?;
    let mut progress = Progress::new("export", Unit::Documents, err);
    let report = database
        .export(collection, lines, &mut |report| progress.at(report.documents, Some(total)));
    report.map_err(|error| {
        if let StoreError::Io { source, .. } = &error
            && source.kind() == io::ErrorKind::BrokenPipe
        {
            // The reader has what it wanted.
            return io::ErrorKind::BrokenPipe.into();
        }
        coded(&error)
    })
}

/// Writes the file beside its place, makes it safe, and puts it there.
fn to_file(
    arguments: &Arguments,
    database: &Database,
    err: &mut dyn Write,
) -> io::Result<ExportReport> {
    let path = absolute(&arguments.file)?;
    let mut name = path.clone().into_os_string();
    name.push(PART);
    let part = PathBuf::from(name);
    let disk = environment().disk;
    let at = |path: &Path, what: &str, error: io::Error| {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        let is_full = full.contains(&error.kind());
        let code = if is_full { Code::DiskFull } else { Code::FileWrite };
        refused(format!("cannot {what} `{}`: {error}", path.display()), code)
    };
    if disk.stat(&part).map_err(|e| at(&part, "look at", e))?.is_some() {
        // Left by an export that was killed.
        disk.remove_file(&part).map_err(|e| at(&part, "remove", e))?;
    }
    let file = disk.open(&part, Open::CreateNew).map_err(|e| at(&part, "create", e))?;
    let mut target = BufWriter::with_capacity(BUFFER_BYTES, Appending { file, at: 0 });
    let exported = export(arguments, database, &mut target, err).and_then(|report| {
        let Appending { file, .. } = target.get_ref();
        file.sync_all().map_err(|e| at(&part, "sync", e))?;
        disk.rename(&part, &path).map_err(|e| at(&path, "replace", e))?;
        sync_parent(&disk, &path).map_err(|e| at(&path, "sync the directory of", e))?;
        Ok(report)
    });
    if exported.is_err() {
        // It has been said why; a `.part` that stays is removed by the next export.
        let _ = disk.remove_file(&part);
    }
    exported
}

fn sync_parent(disk: &DiskRef, path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| disk.sync_dir(parent))
}

/// A file that is not there yet, for commands whose lines are not worth a second name.
pub(super) struct NewFile(Appending);

impl NewFile {
    /// Makes it.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let path = absolute(path)?;
        let failed = |error| {
            refused(format!("cannot create `{}`: {error}", path.display()), Code::FileWrite)
        };
        let file = environment().disk.open(&path, Open::CreateNew).map_err(failed)?;
        Ok(Self(Appending { file, at: 0 }))
    }

    /// Makes it safe.
    pub(super) fn finish(self) -> io::Result<()> {
        self.0.file.sync_all()
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A new file, written from its start on.
struct Appending {
    file: FileRef,
    at: u64,
}

impl Write for Appending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_all_at(&*self.file, bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn show(
    arguments: &Arguments,
    database: &Name,
    report: &ExportReport,
    to: &mut dyn Write,
) -> io::Result<()> {
    let collection = &arguments.collection;
    let ExportReport { documents, bytes, position } = report;
    if arguments.json {
        let value = json!({
            "database": database.as_str(),
            "collection": collection.as_str(),
            "documents": documents,
            "bytes": bytes,
            "lsn": position.0,
        });
        return writeln!(to, "{value:#}");
    }
    writeln!(
        to,
        "exported {documents} documents of {database}/{collection} at LSN {position}, {bytes} bytes"
    )
}
