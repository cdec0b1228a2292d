//! Connections. Every one gets the same pragmas, whoever opens it.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::options::{Journal, Options, Synchronous};

/// Pages of write-ahead log after which SQLite copies them into the file.
const WAL_AUTOCHECKPOINT_PAGES: i64 = 1000;
/// Page cache of the writer and of a reader, in KiB, as SQLite takes it: negative.
const WRITER_CACHE_KIB: i64 = -4096;
const READER_CACHE_KIB: i64 = -1024;
/// Prepared statements that a connection keeps: all of ours.
const STATEMENTS: usize = 32;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Makes the file when there is none.
    Writer,
    /// Only reads, and never makes a file.
    Reader,
}

/// Opens a file.
pub(crate) fn open(path: &Path, role: Role, options: &Options) -> rusqlite::Result<Connection> {
    // One thread at a time has a connection, so SQLite need not lock it.
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if role == Role::Writer {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let connection = match &options.vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs.as_str())?,
        None => Connection::open_with_flags(path, flags)?,
    };
    prepare(&connection, role, options)?;
    Ok(connection)
}

fn prepare(connection: &Connection, role: Role, options: &Options) -> rusqlite::Result<()> {
    connection.busy_timeout(options.busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let (journal, synchronous) = match options.journal {
        Journal::Wal => ("WAL", name_of(options.synchronous)),
        Journal::Rollback => ("DELETE", "EXTRA"),
    };
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", journal, |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case(journal) {
        // SQLite keeps the old mode when it cannot change it, and calls that a success.
        let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        let what = format!("the journal mode stays {mode}");
        return Err(rusqlite::Error::SqliteFailure(busy, Some(what)));
    }
    connection.pragma_update(None, "synchronous", synchronous)?;
    let set: i64 = connection.pragma_update_and_check(
        None,
        "wal_autocheckpoint",
        WAL_AUTOCHECKPOINT_PAGES,
        |row| row.get(0),
    )?;
    debug_assert_eq!(set, WAL_AUTOCHECKPOINT_PAGES);
    let cache = if role == Role::Writer { WRITER_CACHE_KIB } else { READER_CACHE_KIB };
    connection.pragma_update(None, "cache_size", cache)?;
    if role == Role::Reader {
        connection.pragma_update(None, "query_only", true)?;
    }
    Ok(())
}

pub(crate) const fn name_of(synchronous: Synchronous) -> &'static str {
    match synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pragma(connection: &Connection, name: &str) -> String {
        connection
            .pragma_query_value(None, name, |row| {
                Ok(match row.get_ref(0)?.as_str() {
                    Ok(text) => text.to_owned(),
                    Err(_) => row.get::<_, i64>(0)?.to_string(),
                })
            })
            .unwrap()
    }

    #[test]
    fn every_connection_has_the_pragmas() {
        let names = ["journal_mode", "synchronous", "wal_autocheckpoint", "busy_timeout"];
        for (journal, synchronous, expect) in [
            (Journal::Wal, Synchronous::Full, ["wal", "2", "1000", "5000"]),
            (Journal::Wal, Synchronous::Normal, ["wal", "1", "1000", "5000"]),
            (Journal::Rollback, Synchronous::Full, ["delete", "3", "1000", "5000"]),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a.logs");
            let options = Options { journal, synchronous, ..Options::default() };
            for role in [Role::Writer, Role::Reader] {
                let connection = open(&path, role, &options).unwrap();
                assert_eq!(names.map(|name| pragma(&connection, name)), expect, "{role:?}");
            }
        }
    }

    #[test]
    fn a_reader_makes_no_file() {
        let dir = tempfile::tempdir().unwrap();
        assert!(open(&dir.path().join("a"), Role::Reader, &Options::default()).is_err());
    }
}
