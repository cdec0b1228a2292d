//! `docdb logs backup` and `restore`: copies of the logs of a server that does not run. Of one that
//! does, `POST /v1/logs/backup` makes the same.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base::error::Code;
use base::io::EntryKind;
use logstore::{
    BackupReport, BatchedSqliteStorage, Environment, LogStorage as _, Options, check_backup,
    restore_backup,
};
use serde_json::json;

use crate::backups::{self, Kind};
use crate::cli::place::{absolute, data_dir, environment, hold, refused, require_dir};
use crate::cli::{Environment as Variables, coded};
use crate::engine::logs_dir;

/// How long what waits may take to be written: nothing waits in a store that only was opened.
const CLOSE_TIME: std::time::Duration = std::time::Duration::from_secs(30);

/// Where a backup goes.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Backup {
    /// The directory of the backup, which is not there yet
    dir: PathBuf,
    /// Check the backup that is there, and take none
    #[arg(long, conflicts_with = "data_dir")]
    check: bool,
    /// The data directory, which no server may have open [default: DOCDB_DATA_DIR, or ./docdb-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Where a backup comes from.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Restore {
    /// The directory of the backup
    dir: PathBuf,
    /// The data directory, which must have no logs [default: DOCDB_DATA_DIR, or ./docdb-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The logs of a data directory, opened without a server.
pub(super) fn open(data: &Path) -> io::Result<BatchedSqliteStorage> {
    let logs = logs_dir(&absolute(data)?);
    require_dir("logs", &logs, "; --data-dir says where the data directory is")?;
    BatchedSqliteStorage::open(&logs, Options::default(), Environment::system())
        .map_err(|error| coded(&error))
}

/// Closes it.
pub(super) fn close(store: &BatchedSqliteStorage) -> io::Result<()> {
    store.close(CLOSE_TIME).map(drop).map_err(|error| coded(&error))
}

/// Refuses what is no directory, and what is a backup of something else.
fn require_backup(dir: &Path) -> io::Result<()> {
    require_dir("backup", dir, "")?;
    backups::to_read(Kind::Logs, &environment().disk, dir).map_err(|error| coded(&error))
}

pub(super) fn backup(
    arguments: &Backup,
    variables: &Variables,
    out: &mut dyn Write,
) -> io::Result<()> {
    let dir = absolute(&arguments.dir)?;
    if arguments.check {
        require_backup(&dir)?;
        let report = check_backup(&*environment().disk, &dir).map_err(|error| coded(&error))?;
        return show("checked", &report, arguments.json, out);
    }
    let store = open(&data_dir(arguments.data_dir.as_deref(), variables)?)?;
    let taken = store.backup(&dir).map_err(|error| coded(&error));
    close(&store)?;
    show("copied", &taken?, arguments.json, out)
}

pub(super) fn restore(
    arguments: &Restore,
    variables: &Variables,
    out: &mut dyn Write,
) -> io::Result<()> {
    let data = data_dir(arguments.data_dir.as_deref(), variables)?;
    let (from, data) = (absolute(&arguments.dir)?, absolute(&data)?);
    require_backup(&from)?;
    // Made where it is not there, and held: a server that runs would have logs there by the next moment.
    let _held = hold(&data)?;
    let disk = environment().disk;
    let logs = logs_dir(&data);
    match disk.stat(&logs)? {
        None => {}
        Some(stat) if stat.kind != EntryKind::File && disk.list(&logs)?.is_empty() => {
            disk.remove_dir(&logs)?;
        }
        Some(_) => {
            let logs = logs.display();
            let message = format!("there are logs at `{logs}` already; move them away first");
            return Err(refused(message, Code::FileWrite));
        }
    }
    let report = restore_backup(&*disk, &from, &logs).map_err(|error| coded(&error))?;
    show("restored", &report, arguments.json, out)
}

fn show(what: &str, report: &BackupReport, as_json: bool, out: &mut dyn Write) -> io::Result<()> {
    let BackupReport { partitions, entries, bytes } = *report;
    if as_json {
        let shape = json!({ "partitions": partitions, "entries": entries, "bytes": bytes });
        return writeln!(out, "{shape:#}");
    }
    writeln!(out, "{what} {entries} entries in {partitions} files, {bytes} bytes")
}
