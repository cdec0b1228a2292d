//! `docdb restore`: a new database out of a backup.

use std::io::{self, Write};
use std::path::PathBuf;

use base::error::Code;
use docstore::{BackupDir, Options, RestoreReport, StoreError};
use serde_json::{Value, json};

use super::backup::{LOST, to_json, warn, write_text};
use super::place::{Missing, Place, PlaceArguments, absolute, environment, refused, require_dir};
use super::progress::{Progress, Unit};
use super::{Environment, coded};
use crate::backups::{self, Kind};

const HELP: &str = "\
Everything of the backup is checked first, and of one that is damaged nothing is made. The new
database has an identity of its own, the name that --database says, and the documents with
their revisions and expiries, the collections with their properties and schemas. A data
directory that does not exist is made. A restore that is interrupted leaves no database.

Exit codes:
  0  restored
  1  not restored; standard error says why
  2  the command line is wrong
  5  restored, but documents that the backup names as lost are not in it

Examples:
  docdb restore /backups/orders
  docdb restore /backups/orders --database orders-of-monday
  docdb restore /backups/orders --data-dir /var/lib/docdb --json | jq .documents";

/// Which backup, and what to make of it.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// The directory of the backup
    dir: PathBuf,
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
    // Before the data directory is made.
    require_dir("backup", &dir, "")?;
    let disk = environment().disk;
    backups::to_read(Kind::Database, &disk, &dir).map_err(|error| coded(&error))?;
    let from = BackupDir::new(&disk, &dir);
    let place = arguments.place.resolve(variables)?;
    let store = place.store(Missing::Make, Options::default(), err)?;
    let mut progress = Progress::new("restore", Unit::Bytes, err);
    let name = &place.database;
    let restored = store.restore_with(&from, name, &mut |at| progress.at(at.done, Some(at.total)));
    drop(progress);
    let report = restored.map(|(_, report)| report);
    let closed = store.close();
    let report = report.map_err(|error| {
        let StoreError::DbExists(_) = &error else { return coded(&error) };
        let message = format!(
            "{error}; restore it under another name (--database) or into another data directory \
             (--data-dir)"
        );
        refused(message, Code::DbExists)
    })?;
    closed.map_err(|error| coded(&error))?;
    show(arguments, &place, &report, out)?;
    warn(&report.summary, err)?;
    Ok(if report.summary.lost.is_empty() { 0 } else { LOST })
}

fn show(
    arguments: &Arguments,
    place: &Place,
    report: &RestoreReport,
    out: &mut dyn Write,
) -> io::Result<()> {
    let name = &place.database;
    if arguments.json {
        let value = json!({
            "database": report.database.to_string(),
            "name": name.as_str(),
            "documents": report.documents,
            "backup": Value::Object(to_json(&report.summary)),
        });
        return writeln!(out, "{value:#}");
    }
    write_text(&report.summary, out)?;
    writeln!(out, "restored   {} documents as {name} {}", report.documents, report.database)
}
