//! What is in a directory of backups: copies of a database, or of the application logs. They are
//! made by two libraries with formats of their own, and go to the same place by default, so that
//! one could be written into the other; that is refused here, where both are known.

use std::path::Path;

use base::error::Code;
use base::io::DiskRef;

use crate::engine::EngineError;

/// What the names of the files begin with that say what a backup of a database holds, as
/// `docs/formats/backup.md` has them.
const DATABASE_FILE: &str = "BACKUP.";

/// What a backup is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A database.
    Database,
    /// The application logs.
    Logs,
}

impl Kind {
    const fn what(self) -> &'static str {
        match self {
            Self::Database => "backup of a database",
            Self::Logs => "backup of application logs",
        }
    }

    /// The commands that read it.
    const fn commands(self) -> &'static str {
        match self {
            Self::Database => "`docdb backup --check` and `docdb restore` read it",
            Self::Logs => "`docdb logs backup --check` and `docdb logs restore` read it",
        }
    }
}

/// Whose backup is in a directory, whole or unfinished; none when there is nothing of either.
fn found(disk: &DiskRef, dir: &Path) -> Option<Kind> {
    let entries = disk.list(dir).ok()?;
    entries.iter().find_map(|entry| {
        if entry.name.starts_with(DATABASE_FILE) {
            return Some(Kind::Database);
        }
        logstore::is_file_of_backup(&entry.name).then_some(Kind::Logs)
    })
}

/// What there is of another kind than is wanted, for people.
fn other(wanted: Kind, disk: &DiskRef, dir: &Path) -> Option<String> {
    let other = found(disk, dir).filter(|found| *found != wanted)?;
    let (dir, what, commands) = (dir.display(), other.what(), other.commands());
    Some(format!("`{dir}` holds a {what}: {commands}"))
}

/// Refuses to write a backup into a directory that holds one of another kind.
///
/// # Errors
/// `DbExists`, with what is there and which commands read it.
pub(crate) fn to_write(kind: Kind, disk: &DiskRef, dir: &Path) -> Result<(), EngineError> {
    other(kind, disk, dir).map_or(Ok(()), |there| {
        let message = format!("a {} needs a directory of its own; {there}", kind.what());
        Err(EngineError::new(Code::DbExists, message))
    })
}

/// Refuses to read a backup of another kind.
///
/// # Errors
/// `FileOpen`, with what is there and which commands read it.
pub(crate) fn to_read(kind: Kind, disk: &DiskRef, dir: &Path) -> Result<(), EngineError> {
    other(kind, disk, dir).map_or(Ok(()), |there| {
        let message = format!("there is no {} here; {there}", kind.what());
        Err(EngineError::new(Code::FileOpen, message))
    })
}
