//! Where the documents are that a command works on: a data directory, and a database in it. Opened
//! here for commands that work without a server, which has the directory to itself while it runs.
//!
//! Without `--data-dir` the data directory is that of a server in the same environment: of
//! `DOCDB_DATA_DIR`, of the file that `DOCDB_CONFIG` names, or the default. A configuration that is
//! wrong is refused then, as `docdb serve` does; with `--data-dir` it is not looked at.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base::clock::SystemClock;
use base::error::Code;
use base::io::{EntryKind, RealDisk};
use base::memory::Budget;
use base::words::Name;
use docstore::{Database, Options, Store, StoreError, inspect_manifest};
use wal::{Environment, WalError};

use super::{Environment as Variables, coded};
use crate::config::{Config, Machine, Settings, Sources};

/// Memory for documents that wait for a data file.
const MEMORY_BYTES: u64 = 256 * 1024 * 1024;

/// Which database, as the command line says it.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct PlaceArguments {
    /// The data directory, which no server and no other command may have open
    /// [default: DOCDB_DATA_DIR, or ./docdb-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The database in it
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = parse_name)]
    database: Name,
}

/// Which database.
#[derive(Debug, Clone)]
pub(super) struct Place {
    data_dir: PathBuf,
    pub(super) database: Name,
}

/// Which database's directory, for commands that look at its files and also take their path.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct DirectoryArguments {
    /// The data directory in which to look for the database [default: DOCDB_DATA_DIR, or
    /// ./docdb-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The database in it; may be left out when there is only one
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    database: Option<Name>,
}

/// The configuration that a server in this environment would have.
pub(super) fn config(data_dir: Option<&Path>, variables: &Variables) -> io::Result<Config> {
    let flag = data_dir.map(|dir| {
        let dir = dir.to_str().map(str::to_owned);
        dir.ok_or_else(|| refused("the path of the data directory is not UTF-8", Code::FileOpen))
    });
    let flags = flag.transpose()?.map(|dir| ("data_dir".to_owned(), dir));
    let flags = flags.into_iter().collect();
    let sources = Sources { file: None, environment: variables.clone(), flags };
    let settings = Settings::gather(&sources, &RealDisk::shared()).map_err(io::Error::other)?;
    Ok(settings.config(&Machine::detect(&RealDisk)))
}

/// The data directory: that of the flag, or that of a server in this environment.
pub(super) fn data_dir(flag: Option<&Path>, variables: &Variables) -> io::Result<PathBuf> {
    match flag {
        Some(dir) => Ok(dir.to_path_buf()),
        None => Ok(config(None, variables)?.data_dir),
    }
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

/// A directory that is one of a database by its name.
struct Found {
    path: PathBuf,
    /// What its manifest says it is called; none when that cannot be read.
    name: Option<Name>,
}

/// The directories of databases in a data directory; none when it is no data directory.
fn databases(data: &Path) -> Vec<Found> {
    let disk = environment().disk;
    let mut entries = disk.list(data).unwrap_or_default();
    entries.retain(|entry| entry.name.starts_with("db-") && entry.kind != EntryKind::File);
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let found = entries.into_iter().map(|entry| {
        let path = data.join(entry.name);
        let manifest = inspect_manifest(&disk, &path).ok().and_then(|found| found.manifest.ok());
        Found { path, name: manifest.map(|manifest| manifest.name) }
    });
    found.collect()
}

impl DirectoryArguments {
    /// The directory of the database that is meant: by a path of it or of its data directory, or by
    /// its name. Nothing is opened, so that a server may run meanwhile.
    pub(super) fn find(&self, path: Option<&Path>, variables: &Variables) -> io::Result<PathBuf> {
        let data = match path {
            Some(_) if self.data_dir.is_some() => {
                let message = "either a directory or --data-dir says where to look, not both";
                return Err(refused(message, Code::FileOpen));
            }
            Some(path) => path.to_path_buf(),
            None => {
                let data = data_dir(self.data_dir.as_deref(), variables)?;
                require_dir("data directory", &data, "; --data-dir says where it is")?;
                data
            }
        };
        let mut found = databases(&data);
        if found.is_empty() && path.is_some() && self.database.is_none() {
            return Ok(data);
        }
        let chosen = match &self.database {
            Some(name) => found.iter().position(|found| found.name.as_ref() == Some(name)),
            None => (found.len() == 1).then_some(0),
        };
        match chosen {
            Some(at) => Ok(found.swap_remove(at).path),
            None => Err(self.which(&data, &found)),
        }
    }

    /// Says what there is to choose from.
    fn which(&self, data: &Path, found: &[Found]) -> io::Error {
        let shown = found.iter().map(|found| {
            let path = found.path.display();
            match &found.name {
                Some(name) => format!("{name} (`{path}`)"),
                None => format!("one that cannot be read (`{path}`)"),
            }
        });
        let there = match shown.collect::<Vec<_>>().as_slice() {
            [] => "there is none at all".to_owned(),
            shown => format!("there are: {}", shown.join(", ")),
        };
        let data = data.display();
        let message = match &self.database {
            Some(name) => {
                format!("there is no database of this name in `{data}` name={name}; {there}")
            }
            None if found.is_empty() => format!("there is no database in `{data}`"),
            None => format!(
                "`{data}` has several databases; name one by --database, or by its directory; {there}"
            ),
        };
        refused(message, Code::DbNotFound)
    }
}

impl PlaceArguments {
    /// The database that is meant.
    pub(super) fn resolve(&self, variables: &Variables) -> io::Result<Place> {
        let data_dir = data_dir(self.data_dir.as_deref(), variables)?;
        Ok(Place { data_dir, database: self.database.clone() })
    }
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
