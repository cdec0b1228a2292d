//! Where the documents are that a command works on: a data directory, and a database in it. Opened
//! here for commands that work without a server, which has the directory to itself while it runs.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base::clock::SystemClock;
use base::error::Code;
use base::io::{EntryKind, RealDisk};
use base::memory::Budget;
use base::words::Name;
use docstore::{Database, Options, Store, StoreError};
use wal::{Environment, WalError};

use super::coded;

/// Memory for documents that wait for a data file.
const MEMORY_BYTES: u64 = 256 * 1024 * 1024;

/// Which database.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Place {
    /// The data directory; no server and no other command may have it open
    #[arg(long, value_name = "DIR", default_value = "./docdb-data")]
    pub(super) data_dir: PathBuf,
    /// The database in it
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = parse_name)]
    pub(super) database: Name,
}

/// A name as the command line has it.
pub(super) fn parse_name(text: &str) -> Result<Name, String> {
    Name::new(text).map_err(|error| error.to_string())
}

/// What must be there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// The data directory must be there.
    Refuse,
    /// It is made when it is not, without a database in it.
    Make,
}

/// The machine's disk and clock.
pub(super) fn environment() -> Environment {
    Environment { disk: RealDisk::shared(), clock: SystemClock::shared(), reserve: None }
}

/// A path that does not depend on the working directory, and so has a parent.
pub(super) fn absolute(path: &Path) -> io::Result<PathBuf> {
    std::path::absolute(path)
}

/// A message with a code that `docdb errors` explains.
pub(super) fn refused(message: impl std::fmt::Display, code: Code) -> io::Error {
    io::Error::other(format!("{message} code={}", code.name()))
}

/// Refuses what is no directory, before anything is made.
pub(super) fn require_dir(what: &str, dir: &Path, hint: &str) -> io::Result<()> {
    match environment().disk.stat(dir)? {
        Some(stat) if stat.kind != EntryKind::File => Ok(()),
        found => {
            let found = if found.is_some() { "a file and no" } else { "no" };
            let message = format!("there is {found} {what} at `{}`{hint}", dir.display());
            Err(refused(message, Code::FileOpen))
        }
    }
}

/// Makes a data directory that is not there, and has it alone for as long as the answer lives.
pub(super) fn hold(dir: &Path) -> io::Result<Store> {
    let budget = Budget::new("docdb", MEMORY_BYTES);
    let rule = Some(crate::engine::namespaces::search_rule());
    let options = Options { rule, ..Options::default() };
    Store::open_as_is(&environment(), dir, options, budget).map_err(|e| explained(&e, dir))
}

/// The directory of a database that is meant by a path: of a data directory it has to be said which.
pub(super) fn database_dir(path: &Path) -> io::Result<&Path> {
    let entries = environment().disk.list(path).unwrap_or_default();
    let is_database = |name: &str| name.starts_with("db-");
    let mut names: Vec<String> =
        entries.into_iter().map(|entry| entry.name).filter(|name| is_database(name)).collect();
    if names.is_empty() {
        return Ok(path);
    }
    names.sort_unstable();
    let shown: Vec<String> =
        names.iter().map(|name| path.join(name).display().to_string()).collect();
    let message = format!(
        "`{}` is a data directory; name a database in it (`.ls` in the shell tells which is which): {}",
        path.display(),
        shown.join(", ")
    );
    Err(refused(message, Code::FileOpen))
}

impl Place {
    /// Opens the data directory, and names what in it is no database.
    pub(super) fn store(
        &self,
        missing: Missing,
        options: Options,
        err: &mut dyn Write,
    ) -> io::Result<Store> {
        let dir = absolute(&self.data_dir)?;
        if missing == Missing::Refuse {
            require_dir("data directory", &dir, "; --data-dir says where it is")?;
        }
        let budget = Budget::new("docdb", MEMORY_BYTES);
        let rule = Some(crate::engine::namespaces::search_rule());
        let opened = Store::open_as_is(&environment(), &dir, Options { rule, ..options }, budget);
        let store = opened.map_err(|error| explained(&error, &dir))?;
        for refused in store.refused() {
            let (path, error) = (refused.path.display(), &refused.error);
            writeln!(err, "docdb: `{path}` is left alone, it cannot be used: {error}")?;
        }
        Ok(store)
    }

    /// Opens the database.
    pub(super) fn database(&self, store: &Store) -> io::Result<Database> {
        store.database(&self.database).map_err(|error| {
            let StoreError::DbNotFound(_) = &error else {
                return explained(&error, &self.data_dir);
            };
            let names: Vec<String> =
                store.list().iter().map(|entry| entry.name.to_string()).collect();
            let there = match names.as_slice() {
                [] => "there is none at all".to_owned(),
                names => format!("there are: {}", names.join(", ")),
            };
            refused(format!("{error}; {there}"), Code::DbNotFound)
        })
    }
}

/// The failure of a store; of one that is in use, what can be done about it.
fn explained(error: &StoreError, dir: &Path) -> io::Error {
    if let StoreError::Log(WalError::Locked(_)) = error {
        let message = format!(
            "the data directory `{}` is in use: a server, or another docdb command, has it open, \
             and nothing was done. Stop it, and run this again",
            dir.display()
        );
        return refused(message, Code::FileOpen);
    }
    coded(error)
}
