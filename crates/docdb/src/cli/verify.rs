//! `docdb verify`: checking a database directory without changing anything.

use std::io::{self, Write};
use std::path::PathBuf;

use base::clock::SystemClock;
use base::io::RealDisk;
use docstore::{Problem, Verdict, VerifyReport, verify};
use serde_json::{Value, json};
use wal::Environment;

use super::place::DirectoryArguments;
use super::{Environment as Variables, coded};

/// Exit code when something is damaged and nothing is lost.
pub(super) const HEALABLE: u8 = 4;
/// Exit code when something is lost.
pub(super) const LOST: u8 = 5;

const HELP: &str = "\
Reads every byte and writes nothing; a database in use can be checked. Every problem is
named with its file and offset, every document that is lost with its id and revision.

Exit codes:
  0  clean: every byte that counts is as it was written
  1  the check could not be done: there is no database, or the disk failed
  2  the command line is wrong
  4  healable: something is damaged, and nothing is lost; a scrub, opening the database,
     or `docdb repair` makes it whole
  5  lost: something is lost, or nobody can tell that it is not

Examples:
  docdb verify --database orders
  docdb verify docdb-data/db-1f0c8b5e-6f0e-4a5b-9d51-2f7f6f1c0a3d
  docdb verify DIR --json | jq -r .verdict
  docdb verify DIR > report.txt || echo look at report.txt";

/// What to check.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// The directory of a database; without it, the database is looked for in the data directory
    dir: Option<PathBuf>,
    #[command(flatten)]
    place: DirectoryArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command; answers its verdict.
pub(super) fn run(
    arguments: &Arguments,
    variables: &Variables,
    out: &mut dyn Write,
) -> io::Result<Verdict> {
    let env = Environment { disk: RealDisk::shared(), clock: SystemClock::shared(), reserve: None };
    let dir = arguments.place.find(arguments.dir.as_deref(), variables)?;
    let report = verify(&env, &dir).map_err(|e| coded(&e))?;
    match arguments.json {
        true => writeln!(out, "{:#}", to_json(&report))?,
        false => write!(out, "{report}")?,
    }
    out.flush()?;
    Ok(report.verdict())
}

fn to_json(report: &VerifyReport) -> Value {
    let database = report.database.as_ref();
    json!({
        "verdict": report.verdict().name(),
        "database": database.map(|(id, _)| id.to_string()),
        "name": database.map(|(_, name)| name.as_str()),
        "checkpoints": report.checkpoints.iter().map(|checkpoint| json!({
            "lsn": checkpoint.lsn.0,
            "usable": checkpoint.is_usable,
            "documents": checkpoint.documents,
            "readable": checkpoint.readable,
        })).collect::<Vec<_>>(),
        "indexes": report.indexes.iter().map(|index| json!({
            "path": index.path.display().to_string(),
            "bytes": index.bytes,
            "entries": index.info.map(|info| info.entries),
        })).collect::<Vec<_>>(),
        "files": report.files.iter().map(|file| json!({
            "number": file.number.0,
            "data_bytes": file.data_bytes,
            "stripes": file.stripes,
            "records": file.records,
            "tombstones": file.tombstones,
        })).collect::<Vec<_>>(),
        "collections": report.collections.iter().map(|collection| json!({
            "collection": collection.collection.0,
            "name": collection.name.as_str(),
            "documents": collection.documents,
            "changes_behind": collection.changes,
        })).collect::<Vec<_>>(),
        "log": report.log.as_ref().map(|log| json!({
            "segments": log.segments,
            "first_lsn": log.lsns.map(|(from, _)| from.0),
            "last_lsn": log.lsns.map(|(_, to)| to.0),
            "refusal": log.refusal,
            "tail": log.tail.as_ref().map(|(path, offset)| json!({
                "path": path.display().to_string(),
                "offset": offset,
            })),
        })),
        "unused": report.leftovers.iter()
            .map(|path| path.display().to_string()).collect::<Vec<_>>(),
        "problems": report.problems.iter().map(problem_json).collect::<Vec<_>>(),
    })
}

fn problem_json(problem: &Problem) -> Value {
    json!({
        "severity": problem.severity.name(),
        "path": problem.path.display().to_string(),
        "offset": problem.offset,
        "what": problem.what,
        "collection": problem.document.as_ref().map(|lost| lost.collection.0),
        "id": problem.document.as_ref().map(|lost| lost.id.to_string()),
        "revision": problem.document.as_ref().map(|lost| lost.lsn.0),
    })
}
