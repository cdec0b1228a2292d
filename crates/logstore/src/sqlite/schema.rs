//! The tables of a partition, and how a file of an older version becomes one of this version.
//!
//! `docs/formats/logs.md` describes every table. A file carries our `application_id` and its version
//! in `user_version`. A migration only adds; a file of a newer version, or of another program, is
//! refused untouched.

use std::path::Path;

use rusqlite::Connection;

use crate::error::{LogError, Result};
use crate::options::Seal;

/// `dlog` in ASCII.
pub(crate) const APPLICATION_ID: i32 = 0x646c_6f67;

/// The steps from one version to the next: the file at index `n` has version `n` before it.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE entry(
        id INTEGER PRIMARY KEY,
        time INTEGER NOT NULL,
        received INTEGER NOT NULL,
        severity INTEGER NOT NULL,
        facility INTEGER NOT NULL,
        marks INTEGER NOT NULL,
        hostname TEXT NOT NULL,
        app_name TEXT NOT NULL,
        proc_id TEXT NOT NULL,
        msg_id TEXT NOT NULL,
        source TEXT NOT NULL,
        structured_data TEXT NOT NULL,
        message TEXT NOT NULL
    ) STRICT;
    CREATE TABLE block(
        id INTEGER PRIMARY KEY,
        version INTEGER NOT NULL,
        row_count INTEGER NOT NULL,
        first_id INTEGER NOT NULL,
        last_id INTEGER NOT NULL,
        min_time INTEGER NOT NULL,
        max_time INTEGER NOT NULL,
        severity_mask INTEGER NOT NULL,
        severity_rows BLOB NOT NULL,
        text_bytes INTEGER NOT NULL,
        stored_bytes INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX block_max_time ON block(max_time);
    CREATE INDEX block_min_time ON block(min_time);
    CREATE TABLE block_column(id INTEGER PRIMARY KEY, frame BLOB NOT NULL) STRICT;
    CREATE TABLE block_filter(id INTEGER PRIMARY KEY, slice BLOB NOT NULL) STRICT;
    CREATE TABLE bounds(
        one INTEGER PRIMARY KEY CHECK (one = 1),
        row_count INTEGER NOT NULL,
        first_id INTEGER,
        last_id INTEGER,
        min_time INTEGER,
        max_time INTEGER
    ) STRICT;
    INSERT INTO bounds VALUES (1, 0, NULL, NULL, NULL, NULL);
    CREATE TABLE dead_letter(
        id INTEGER PRIMARY KEY,
        received INTEGER NOT NULL,
        reason TEXT NOT NULL,
        entry TEXT NOT NULL
    ) STRICT;
    CREATE TABLE term_stream(app_name TEXT PRIMARY KEY, from_id INTEGER NOT NULL) STRICT;
    CREATE VIRTUAL TABLE term USING fts5(
        message, content='', detail=none, columnsize=0, tokenize=\"ascii tokenchars '_'\"
    );
"];

/// Brings a file to this version; makes the tables of a new one.
///
/// # Errors
/// [`LogError::Unsupported`] when the file is of a newer version or of another program.
pub(crate) fn migrate(connection: &mut Connection, path: &Path, seal: Seal) -> Result<()> {
    migrate_by(connection, path, MIGRATIONS)?;
    if seal == Seal::Off {
        // Without blocks the rows stay, and are found by time only through an index.
        let sql = "CREATE INDEX IF NOT EXISTS entry_time ON entry(time)";
        connection.execute_batch(sql).map_err(|error| LogError::sqlite(path, error))?;
    }
    Ok(())
}

fn migrate_by(connection: &mut Connection, path: &Path, steps: &[&str]) -> Result<()> {
    let sqlite = |error| LogError::sqlite(path, error);
    let refuse =
        |what: String| Err(LogError::Unsupported { path: path.to_owned(), what: what.into() });
    let (version, owner) = version_of(connection).map_err(sqlite)?;
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    let is_new = version == 0 && owner == 0;
    if !is_new && owner != APPLICATION_ID {
        return refuse(format!("its application_id is {owner}"));
    }
    if is_new && has_tables(connection).map_err(sqlite)? {
        return refuse("it has tables of another program".to_owned());
    }
    let Ok(done @ 0..) = usize::try_from(version) else {
        return refuse(format!("its version is {version}"));
    };
    if done > steps.len() {
        return refuse(format!("its version is {version}, the newest known one is {known}"));
    }
    if done == steps.len() {
        return Ok(());
    }
    let migration = connection.transaction().map_err(sqlite)?;
    for step in &steps[done..] {
        migration.execute_batch(step).map_err(sqlite)?;
    }
    migration.pragma_update(None, "application_id", APPLICATION_ID).map_err(sqlite)?;
    migration.pragma_update(None, "user_version", known).map_err(sqlite)?;
    migration.commit().map_err(sqlite)
}

fn version_of(connection: &Connection) -> rusqlite::Result<(i64, i32)> {
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let owner = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    Ok((version, owner))
}

fn has_tables(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_an_older_version_is_brought_up_and_keeps_what_it_has() {
        let path = Path::new("a");
        let mut connection = Connection::open_in_memory().unwrap();
        let steps = ["CREATE TABLE one(a)", "ALTER TABLE one ADD COLUMN b", "CREATE TABLE two(c)"];
        migrate_by(&mut connection, path, &steps[..1]).unwrap();
        connection.execute("INSERT INTO one VALUES (7)", []).unwrap();
        migrate_by(&mut connection, path, &steps).unwrap();
        migrate_by(&mut connection, path, &steps).unwrap();
        let kept: i64 = connection.query_row("SELECT a FROM one", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, 7);
        assert_eq!(version_of(&connection).unwrap(), (3, APPLICATION_ID));
    }

    #[test]
    fn a_migration_that_fails_changes_nothing() {
        let path = Path::new("a");
        let mut connection = Connection::open_in_memory().unwrap();
        assert!(migrate_by(&mut connection, path, &["CREATE TABLE one(a)", "nonsense"]).is_err());
        assert!(!has_tables(&connection).unwrap());
        assert_eq!(version_of(&connection).unwrap(), (0, 0));
    }

    #[test]
    fn files_of_the_future_and_of_others_are_refused_untouched() {
        let path = Path::new("a");
        let mut newer = Connection::open_in_memory().unwrap();
        migrate_by(&mut newer, path, &["CREATE TABLE one(a)", "CREATE TABLE two(a)"]).unwrap();
        let refused = migrate_by(&mut newer, path, &["CREATE TABLE one(a)"]);
        assert!(matches!(refused, Err(LogError::Unsupported { .. })));
        let mut foreign = Connection::open_in_memory().unwrap();
        foreign.execute_batch("CREATE TABLE theirs(a)").unwrap();
        let refused = migrate(&mut foreign, path, Seal::On);
        assert!(matches!(refused, Err(LogError::Unsupported { .. })));
        foreign.pragma_update(None, "application_id", 5).unwrap();
        assert!(migrate(&mut foreign, path, Seal::On).is_err());
        let tables: i64 =
            foreign.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!(tables, 1);
    }

    #[test]
    fn the_tables_of_this_version_can_be_made() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Path::new("a"), Seal::Off).unwrap();
        migrate(&mut connection, Path::new("a"), Seal::Off).unwrap();
    }
}
