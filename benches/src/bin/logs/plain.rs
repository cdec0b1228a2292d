//! Logs in plain SQLite: what ours is measured beside.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use base::io::{Disk as _, RealDisk};
use logstore::{Entry, UnixNanos};
use rusqlite::{Connection, params};

/// How entries lie in the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Design {
    /// Time as text, twelve indexes, full text kept by a trigger.
    Plain,
    /// Time as an integer, two indexes, full text filled once for each batch.
    Lean,
    /// Rows by number, and nothing to find them by.
    RowsOnly,
}

impl Design {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "SQLite, 12 indexes, FTS5 by trigger",
            Self::Lean => "SQLite, 2 indexes, FTS5 by batch",
            Self::RowsOnly => "SQLite, rows only",
        }
    }
}

pub(crate) struct Plain {
    path: PathBuf,
    connection: Connection,
    design: Design,
    rows: u64,
}

fn failed(error: rusqlite::Error) -> io::Error {
    io::Error::other(error)
}

const TABLE: &str = "CREATE TABLE entry(id INTEGER PRIMARY KEY, time NOT NULL, received, severity, \
     facility, hostname, app_name, proc_id, msg_id, source, structured_data, message);";
const INDEXED: [&str; 12] = [
    "time",
    "received",
    "severity",
    "facility",
    "hostname",
    "app_name",
    "proc_id",
    "msg_id",
    "source",
    "severity, time",
    "app_name, time",
    "hostname, time",
];

impl Plain {
    pub(crate) fn create(path: &Path, design: Design) -> io::Result<Self> {
        let connection = Connection::open(path).map_err(failed)?;
        let mut setup = String::from(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=1000;",
        );
        setup.push_str(TABLE);
        let indexes: &[&str] = match design {
            Design::Plain => &INDEXED,
            Design::Lean => &["time", "app_name, time"],
            Design::RowsOnly => &[],
        };
        for (n, columns) in indexes.iter().enumerate() {
            // Writing into a string cannot fail.
            _ = write!(setup, "CREATE INDEX index{n} ON entry({columns});");
        }
        if design != Design::RowsOnly {
            setup.push_str(
                "CREATE VIRTUAL TABLE words USING fts5(message, content='entry', \
                 content_rowid='id');",
            );
        }
        if design == Design::Plain {
            setup.push_str(
                "CREATE TRIGGER fill AFTER INSERT ON entry BEGIN INSERT INTO \
                 words(rowid, message) VALUES (NEW.id, NEW.message); END;",
            );
        }
        connection.execute_batch(&setup).map_err(failed)?;
        Ok(Self { path: path.to_owned(), connection, design, rows: 0 })
    }

    /// Stores entries in one transaction.
    pub(crate) fn store(&mut self, entries: &[Entry]) -> io::Result<()> {
        let writing = self.connection.transaction().map_err(failed)?;
        {
            let mut insert = writing
                .prepare_cached("INSERT INTO entry VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)")
                .map_err(failed)?;
            for (entry, id) in entries.iter().zip(self.rows + 1..) {
                let time: rusqlite::types::Value = match self.design {
                    Design::Plain => entry.time.rfc3339().into(),
                    Design::Lean | Design::RowsOnly => entry.time.0.into(),
                };
                let id = i64::try_from(id).map_err(io::Error::other)?;
                insert
                    .execute(params![
                        id,
                        time,
                        entry.received.0,
                        entry.severity.number(),
                        entry.facility,
                        entry.hostname,
                        entry.app_name,
                        entry.proc_id,
                        entry.msg_id,
                        entry.source,
                        entry.structured_data,
                        entry.message,
                    ])
                    .map_err(failed)?;
            }
        }
        if self.design == Design::Lean {
            let fill =
                "INSERT INTO words(rowid, message) SELECT id, message FROM entry WHERE id > ?1";
            let before = i64::try_from(self.rows).map_err(io::Error::other)?;
            writing.execute(fill, [before]).map_err(failed)?;
        }
        writing.commit().map_err(failed)?;
        self.rows += entries.len() as u64;
        Ok(())
    }

    /// The newest hundred messages with a word, from `from` to `to`, at least as bad as `severity`.
    /// For the lean design.
    pub(crate) fn search(
        &self,
        word: &str,
        from: UnixNanos,
        to: UnixNanos,
        severity: u8,
    ) -> io::Result<usize> {
        let sql = "SELECT id, time, message FROM entry WHERE id IN (SELECT rowid FROM words WHERE \
             words MATCH ?1) AND time BETWEEN ?2 AND ?3 AND severity <= ?4 \
             ORDER BY time DESC LIMIT 100";
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let found = statement
            .query_map(params![word, from.0, to.0, severity], |row| row.get::<_, String>(2))
            .map_err(failed)?;
        Ok(found.collect::<rusqlite::Result<Vec<_>>>().map_err(failed)?.len())
    }

    /// Counts by severity in a hundred bars.
    pub(crate) fn histogram(&self, width: i64) -> io::Result<usize> {
        let sql = "SELECT time / ?1, severity, count(*) FROM entry GROUP BY 1, 2";
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let bars = statement.query_map([width], |row| row.get::<_, i64>(2)).map_err(failed)?;
        Ok(bars.collect::<rusqlite::Result<Vec<_>>>().map_err(failed)?.len())
    }

    /// Bytes on disk, and rows.
    pub(crate) fn size(&self) -> io::Result<(u64, u64)> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(failed)?;
        Ok((RealDisk.stat(&self.path)?.map_or(0, |stat| stat.len), self.rows))
    }
}
