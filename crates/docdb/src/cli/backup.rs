//! `docdb backup`: a copy of a database that no server has open, and checking one that was taken.

use std::io::{self, Write};
use std::path::PathBuf;

use docstore::{BackupDir, BackupReport, BackupSummary, Options, check_backup_with};
use serde_json::{Map, Value, json};

use super::place::{Missing, PlaceArguments, absolute, environment, require_dir};
use super::progress::{Progress, Unit, bytes};
use super::{Environment, coded};
use crate::backups::{self, Kind};

/// Exit code when copies of the catalog are damaged and another one stood in for them.
const DAMAGED: u8 = 4;
/// Exit code when documents are lost and the backup does not hold them.
pub(super) const LOST: u8 = 5;

const HELP: &str = "\
The first backup makes DIR, later ones into the same directory copy only files that are new
and remove those that are not needed any more. Every file is read back and checked before the
backup counts; an interrupted one leaves the one before as it was. A directory holds backups of
one database.

--check reads a whole backup and writes nothing; it needs no data directory.

Exit codes:
  0  done; with --check: the backup is whole
  1  no backup was taken; with --check: it cannot be restored, standard error says why
  2  the command line is wrong
  4  with --check: damaged, and nothing is lost; the next backup makes it good
  5  the database has lost documents, which are named and are not in the backup

Examples:
  docdb backup /backups/orders
  docdb backup /backups/orders --data-dir /var/lib/docdb --database orders
  docdb backup /backups/orders --json | jq .copied_bytes
  docdb backup --check /backups/orders";

/// What to back up, and where to.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// The directory of the backup
    dir: PathBuf,
    /// Check the backup that is there, and take none
    #[arg(long, conflicts_with_all = ["data_dir", "database"])]
    check: bool,
    #[command(flatten)]
    place: PlaceArguments,
    /// Print JSON
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
    let dir = absolute(&arguments.dir)?;
    let disk = environment().disk;
    let backup = BackupDir::new(&disk, &dir);
    if arguments.check {
        require_dir("backup", &dir, "")?;
        backups::to_read(Kind::Database, &disk, &dir).map_err(|error| coded(&error))?;
        let mut progress = Progress::new("check", Unit::Bytes, err);
        let checked = check_backup_with(&backup, &mut |at| progress.at(at.done, Some(at.total)));
        drop(progress);
        let summary = checked.map_err(|error| coded(&error))?;
        show(arguments, &summary, None, out)?;
        warn(&summary, err)?;
        let damaged = if summary.damaged_copies.is_empty() { 0 } else { DAMAGED };
        return Ok(if summary.lost.is_empty() { damaged } else { LOST });
    }
    backups::to_write(Kind::Database, &disk, &dir).map_err(|error| coded(&error))?;
    let report = take(arguments, variables, &backup, err)?;
    show(arguments, &report.summary, Some(&report), out)?;
    warn(&report.summary, err)?;
    Ok(if report.summary.lost.is_empty() { 0 } else { LOST })
}

fn take(
    arguments: &Arguments,
    variables: &Environment,
    to: &BackupDir,
    err: &mut dyn Write,
) -> io::Result<BackupReport> {
    let place = arguments.place.resolve(variables)?;
    let store = place.store(Missing::Refuse, Options::default(), err)?;
    let database = place.database(&store)?;
    let mut progress = Progress::new("backup", Unit::Bytes, err);
    let taken = database.backup_with(to, &mut |at| progress.at(at.done, Some(at.total)));
    drop((progress, database));
    let closed = store.close();
    let report = taken.map_err(|error| coded(&error))?;
    closed.map_err(|error| coded(&error))?;
    Ok(report)
}

fn show(
    arguments: &Arguments,
    summary: &BackupSummary,
    report: Option<&BackupReport>,
    out: &mut dyn Write,
) -> io::Result<()> {
    if arguments.json {
        let mut value = to_json(summary);
        if let Some(report) = report {
            value.insert("copied_files".to_owned(), json!(report.copied_files));
            value.insert("copied_bytes".to_owned(), json!(report.copied_bytes));
            value.insert("kept_files".to_owned(), json!(report.reused_files));
            value.insert("kept_bytes".to_owned(), json!(report.reused_bytes));
        }
        return writeln!(out, "{:#}", Value::Object(value));
    }
    write_text(summary, out)?;
    match report {
        Some(report) => writeln!(
            out,
            "copied     {} files ({}), kept {} ({})",
            report.copied_files,
            bytes(report.copied_bytes),
            report.reused_files,
            bytes(report.reused_bytes)
        ),
        None => writeln!(out, "verdict    every byte is as it was written"),
    }
}

/// What a backup holds, for people.
pub(super) fn write_text(summary: &BackupSummary, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "database   {} {}", summary.name, summary.database)?;
    writeln!(out, "state      LSN {}, taken at {} ms", summary.lsn, summary.taken.0)?;
    for (name, documents) in &summary.collections {
        writeln!(out, "collection {name}: {documents} documents")?;
    }
    writeln!(out, "files      {} ({})", summary.files, bytes(summary.bytes))
}

/// What a backup holds, for programs.
pub(super) fn to_json(summary: &BackupSummary) -> Map<String, Value> {
    let collections = summary.collections.iter();
    let value = json!({
        "database": summary.database.to_string(),
        "name": summary.name.as_str(),
        "lsn": summary.lsn.0,
        "taken_ms": summary.taken.0,
        "collections": collections
            .map(|(name, documents)| json!({ "name": name.as_str(), "documents": documents }))
            .collect::<Vec<_>>(),
        "files": summary.files,
        "bytes": summary.bytes,
        "lost": summary.lost.iter().map(|lost| json!({
            "collection": lost.collection.0,
            "id": lost.id.to_string(),
            "revision": lost.lsn.0,
        })).collect::<Vec<_>>(),
        "damaged_copies": summary.damaged_copies.iter()
            .map(|path| path.display().to_string()).collect::<Vec<_>>(),
    });
    // What `json!` makes of braces is an object.
    if let Value::Object(fields) = value { fields } else { Map::new() }
}

/// Names what is lost or damaged.
pub(super) fn warn(summary: &BackupSummary, err: &mut dyn Write) -> io::Result<()> {
    for path in &summary.damaged_copies {
        let path = path.display();
        writeln!(err, "docdb: `{path}` is damaged; another copy says the same, nothing is lost")?;
    }
    for lost in &summary.lost {
        let (collection, id, revision) = (lost.collection, &lost.id, lost.lsn);
        writeln!(
            err,
            "docdb: lost, and not in the backup: collection={collection} id={id} \
             revision={revision} code=DocCorrupt"
        )?;
    }
    Ok(())
}
