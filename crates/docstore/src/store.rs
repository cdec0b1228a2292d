//! The databases of one data directory.
//!
//! Every database has a directory of its own, named by its identity: `db-<uuid>`. Its name is in
//! its MANIFEST. A directory without a valid MANIFEST is reported and left alone; it stops no other.
//! Dropping renames the directory to `dropped-<uuid>` first, so that it is gone at once and for
//! good, and removes it then.
//!
//! A directory with things in it that nobody of ours can have put there is not taken: see
//! [`Store::open`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base::io::{Entry, EntryKind, Lock};
use base::memory::Budget;
use base::words::{DatabaseId, Name};
use wal::Environment;

use crate::backup::{BackupDir, BackupProgress, NewDatabase, RestoreReport};
use crate::database::{Database, lock};
use crate::error::{Op, Result, StoreError, sync_dir};
use crate::manifest::{ManifestFile, default_name};
use crate::open::{OpenReport, remove_tree};
use crate::options::Options;

pub(crate) const PREFIX: &str = "db-";
const DROPPED: &str = "dropped-";
const BUILDING: &str = ".new";
const LOCK_NAME: &str = "LOCK";

/// Whether a directory is what an interrupted creation or drop has left. Nothing else is removed,
/// whatever it is called.
fn is_left(name: &str) -> bool {
    let dropped = name.strip_prefix(DROPPED);
    let built = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(BUILDING));
    dropped.or(built).is_some_and(is_identity)
}

/// Whether it is the text of a database's identity: a UUID in its canonical form.
pub(crate) fn is_identity(text: &str) -> bool {
    let fits = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
    };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}

/// Something that shows that a directory is not ours to use; none in one that is ours, or in which
/// there is only what may be there before us.
fn foreign(entries: &[Entry]) -> Option<&str> {
    let is_ours = |name: &str| name == LOCK_NAME || name.starts_with(PREFIX) || is_left(name);
    let is_harmless = |name: &str| {
        name == "lost+found" || [".", "docdb", "keys"].iter().any(|p| name.starts_with(p))
    };
    let mut names = entries.iter().map(|entry| entry.name.as_str());
    if names.clone().any(is_ours) { None } else { names.find(|name| !is_harmless(name)) }
}

/// The databases of a data directory.
pub struct Store {
    env: Environment,
    dir: PathBuf,
    options: Options,
    budget: Budget,
    names: Mutex<BTreeMap<Name, Known>>,
    refused: Vec<RefusedDirectory>,
    /// A directory of a database whose name nobody can tell: it may be any that is not among the others. None of
    /// those is made, and whoever asks for one is told.
    may_be_any: Option<(PathBuf, Arc<StoreError>)>,
    _held: Box<dyn Lock>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.dir).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Known {
    id: DatabaseId,
    /// Locked while it is being opened, closed or dropped, which stops no other database.
    open: Slot,
}

type Slot = Arc<Mutex<Open>>;

#[derive(Debug)]
enum Open {
    Closed,
    Yes(Database),
    Dropped,
}

/// A database of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseEntry {
    /// Its name.
    pub name: Name,
    /// Its identity.
    pub id: DatabaseId,
    /// Whether it is open.
    pub is_open: bool,
}

/// A directory that looks like a database and is none that can be listed.
#[derive(Debug, Clone)]
pub struct RefusedDirectory {
    /// The directory.
    pub path: PathBuf,
    /// What is wrong with it.
    pub error: StoreError,
}

impl Store {
    /// Opens the data directory `dir`, which is made when it does not exist, with a database
    /// `default` in it, unless a directory that cannot be read may be that one. Databases are opened when they are asked for.
    ///
    /// One that exists must be ours or as good as empty: what may be in it beforehand are hidden
    /// files, `lost+found`, and what is called `docdb…` or `keys…`.
    ///
    /// # Errors
    /// `FileOpen` when another process has the directory, or it is somebody else's; the disk's.
    pub fn open(env: &Environment, dir: &Path, options: Options, budget: Budget) -> Result<Self> {
        let store = Self::open_as_is(env, dir, options, budget)?;
        let is_known = lock(&store.names).contains_key(&default_name());
        // It may be the one that cannot be read: a second, empty one would be taken for it.
        if !is_known && store.may_be_any.is_none() {
            store.create(&default_name())?;
        }
        Ok(store)
    }

    /// The same without making the database `default` where there is none: for restoring one of
    /// that name, and for looking at what there is.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_as_is(
        env: &Environment,
        dir: &Path,
        options: Options,
        budget: Budget,
    ) -> Result<Self> {
        options.validate()?;
        let disk = &env.disk;
        let failed = |e| StoreError::io(Op::Open, dir, e);
        if disk.stat(dir).map_err(failed)?.is_none() {
            disk.create_dir(dir).map_err(failed)?;
            if let Some(parent) = dir.parent() {
                // A plain name is below the directory that the process is in.
                let is_here = parent.as_os_str().is_empty();
                sync_dir(disk, if is_here { Path::new(".") } else { parent })?;
            }
        } else if let Some(entry) = foreign(&disk.list(dir).map_err(failed)?) {
            let path = dir.to_path_buf();
            return Err(StoreError::NotOurs { path, entry: entry.into() });
        }
        let held = disk.lock(&dir.join(LOCK_NAME)).map_err(|e| {
            if e.kind() == std::io::ErrorKind::WouldBlock {
                wal::WalError::Locked(dir.join(LOCK_NAME)).into()
            } else {
                failed(e)
            }
        })?;
        let mut store = Self {
            env: env.clone(),
            dir: dir.to_path_buf(),
            options,
            budget,
            names: Mutex::default(),
            refused: Vec::new(),
            may_be_any: None,
            _held: held,
        };
        store.discover()?;
        Ok(store)
    }

    /// Finds the databases, and removes what interrupted creations and drops have left.
    fn discover(&mut self) -> Result<()> {
        let disk = &self.env.disk;
        let entries = disk.list(&self.dir).map_err(|e| StoreError::io(Op::Read, &self.dir, e))?;
        let mut names: BTreeMap<Name, Known> = BTreeMap::new();
        for entry in entries.into_iter().filter(|entry| entry.kind == EntryKind::Directory) {
            let path = self.dir.join(&entry.name);
            if is_left(&entry.name) {
                // It takes room and nothing else: the databases beside it are served all the same.
                if let Err(error) = remove_tree(disk, &path) {
                    let path = path.display();
                    tracing::warn!(%path, %error, "what was dropped could not be removed");
                }
                continue;
            }
            let Some(identity) = entry.name.strip_prefix(PREFIX) else { continue };
            let refuse = |what| Err(StoreError::Manifest(Arc::from(what)));
            let found = if is_identity(identity) {
                let found = ManifestFile::identify(disk, &path);
                self.may_be_any = self.may_be_any.take().or_else(|| {
                    found.as_ref().err().map(|error| (path.clone(), Arc::new(error.clone())))
                });
                found
            } else {
                refuse("the directory is not called `db-` and an identity")
            };
            let found = found.and_then(|(id, name)| match names.contains_key(&name) {
                true => refuse("another directory holds a database of the same name"),
                false => Ok((id, name)),
            });
            match found {
                Ok((id, name)) => {
                    let open = Arc::new(Mutex::new(Open::Closed));
                    names.insert(name, Known { id, open });
                }
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "not a database");
                    self.refused.push(RefusedDirectory { path, error });
                }
            }
        }
        self.names = Mutex::new(names);
        Ok(())
    }

    fn path_of(&self, id: DatabaseId) -> PathBuf {
        self.dir.join(format!("{PREFIX}{id}"))
    }

    /// Directories that look like databases and are none that can be listed: damaged ones, for
    /// `docdb repair`.
    #[must_use]
    pub fn refused(&self) -> &[RefusedDirectory] {
        &self.refused
    }

    /// The databases, by name.
    #[must_use]
    pub fn list(&self) -> Vec<DatabaseEntry> {
        let known: Vec<_> = lock(&self.names)
            .iter()
            .map(|(name, known)| (name.clone(), known.id, Arc::clone(&known.open)))
            .collect();
        let entry = |(name, id, open): (Name, DatabaseId, Arc<Mutex<Open>>)| {
            // One that is being opened or closed at the moment counts as closed.
            let is_open = open.try_lock().is_ok_and(|open| matches!(*open, Open::Yes(_)));
            DatabaseEntry { name, id, is_open }
        };
        known.into_iter().map(entry).collect()
    }

    /// Makes a database and opens it.
    ///
    /// # Errors
    /// `DbExists`; that of a directory which cannot be read and may be the one of this name; the disk's.
    pub fn create(&self, name: &Name) -> Result<Database> {
        let made = self.make(name, |id, path| {
            let options = self.options.clone();
            let made = Database::create_as(&self.env, path, name, id, options, &self.budget);
            Ok((made?, ()))
        });
        made.map(|(database, ())| database)
    }

    /// Makes a database out of a backup and opens it.
    ///
    /// # Errors
    /// As [`Database::restore`], and there is no such database then.
    pub fn restore(&self, from: &BackupDir, name: &Name) -> Result<(Database, RestoreReport)> {
        self.restore_with(from, name, &mut |_| ())
    }

    /// The same; `progress` is called about every MiB.
    ///
    /// # Errors
    /// As [`Store::restore`].
    pub fn restore_with(
        &self,
        from: &BackupDir,
        name: &Name,
        progress: &mut dyn FnMut(BackupProgress),
    ) -> Result<(Database, RestoreReport)> {
        self.make(name, |id, path| {
            let (as_new, options) = (NewDatabase { dir: path, name, id }, self.options.clone());
            Database::restore_as(&self.env, from, as_new, options, &self.budget, progress)
        })
    }

    /// Takes the name, and has `build` make the database.
    fn make<T>(
        &self,
        name: &Name,
        build: impl FnOnce(DatabaseId, &Path) -> Result<(Database, T)>,
    ) -> Result<(Database, T)> {
        let id = DatabaseId::random().map_err(|e| StoreError::io(Op::Open, &self.dir, e))?;
        let open = Arc::new(Mutex::new(Open::Closed));
        // Whoever opens it meanwhile waits here until it is made.
        let mut slot = lock(&open);
        {
            let mut names = lock(&self.names);
            if names.get(name).is_some_and(|known| !self.is_nothing(known)) {
                return Err(StoreError::DbExists(name.clone()));
            }
            self.unread(name)?;
            names.insert(name.clone(), Known { id, open: Arc::clone(&open) });
        }
        match build(id, &self.path_of(id)) {
            Ok((database, made)) => {
                *slot = Open::Yes(database.clone());
                Ok((database, made))
            }
            Err(error) => {
                // A disk that failed may keep it, or not say whether it does: then it keeps its
                // name, so that no second one of that name is made, and can be asked for.
                if matches!(self.env.disk.stat(&self.path_of(id)), Ok(None)) {
                    *slot = Open::Dropped;
                    lock(&self.names).remove(name);
                }
                Err(error)
            }
        }
    }

    /// Whether a name is known though there is no database: none was made of it, and the disk was
    /// in no state to say so.
    fn is_nothing(&self, known: &Known) -> bool {
        let is_closed = known.open.try_lock().is_ok_and(|open| matches!(*open, Open::Closed));
        is_closed && matches!(self.env.disk.stat(&self.path_of(known.id)), Ok(None))
    }

    fn known(&self, name: &Name) -> Result<(DatabaseId, Slot)> {
        let names = lock(&self.names);
        let known = names.get(name).map(|known| (known.id, Arc::clone(&known.open)));
        known.ok_or_else(|| self.missing(name))
    }

    /// The same of one database alone: one that was made under its name since is another.
    fn known_with_id(&self, name: &Name, id: DatabaseId) -> Result<Slot> {
        match self.known(name)? {
            (known, open) if known == id => Ok(open),
            _ => Err(StoreError::DbNotFound(name.clone())),
        }
    }

    /// Why there is no database of a name that is not among those that are listed: `DbNotFound`, or the error of
    /// a directory that may be its.
    #[must_use]
    pub fn missing(&self, name: &Name) -> StoreError {
        self.unread(name).err().unwrap_or_else(|| StoreError::DbNotFound(name.clone()))
    }

    /// Refuses a name that is not known while a directory may be that of its database.
    fn unread(&self, name: &Name) -> Result<()> {
        let Some((path, why)) = &self.may_be_any else { return Ok(()) };
        Err(StoreError::Unread { name: name.clone(), path: path.clone(), why: Arc::clone(why) })
    }

    /// The database of this name, opened if it is not. Keeps no lock on one that is refused.
    ///
    /// # Errors
    /// `DbNotFound`, and as [`Database::open`]: another call tries again.
    pub fn database(&self, name: &Name) -> Result<Database> {
        Ok(self.database_with_report(name)?.0)
    }

    /// The same, with what opening found when it was not open.
    ///
    /// # Errors
    /// As [`Store::database`].
    pub fn database_with_report(&self, name: &Name) -> Result<(Database, Option<OpenReport>)> {
        let (id, open) = self.known(name)?;
        self.open_slot(name, id, &open)
    }

    /// The same of the database of this identity alone: whoever remembers one gets no other that was made under its
    /// name since.
    ///
    /// # Errors
    /// As [`Store::database`].
    pub fn database_with_id(
        &self,
        name: &Name,
        id: DatabaseId,
    ) -> Result<(Database, Option<OpenReport>)> {
        let open = self.known_with_id(name, id)?;
        self.open_slot(name, id, &open)
    }

    fn open_slot(
        &self,
        name: &Name,
        id: DatabaseId,
        open: &Mutex<Open>,
    ) -> Result<(Database, Option<OpenReport>)> {
        let mut open = lock(open);
        match &*open {
            Open::Yes(database) => Ok((database.clone(), None)),
            Open::Dropped => Err(StoreError::DbNotFound(name.clone())),
            Open::Closed => {
                let (path, options) = (self.path_of(id), self.options.clone());
                let (database, report) = Database::open(&self.env, &path, options, &self.budget)?;
                *open = Open::Yes(database.clone());
                Ok((database, Some(report)))
            }
        }
    }

    /// Closes a database; it can be opened again.
    ///
    /// # Errors
    /// `DbNotFound`, and as [`Database::close`].
    pub fn close_database(&self, name: &Name) -> Result<()> {
        let (_, open) = self.known(name)?;
        close_slot(name, &open)
    }

    /// The same of the database of this identity alone.
    ///
    /// # Errors
    /// As [`Store::close_database`]; `DbNotFound` when another has its name now.
    pub fn close_with_id(&self, name: &Name, id: DatabaseId) -> Result<()> {
        let open = self.known_with_id(name, id)?;
        close_slot(name, &open)
    }

    /// Removes a database and everything in it, for good. A database made later under the same name
    /// is another one.
    ///
    /// # Errors
    /// `DbNotFound`; `Unsupported` for `default`; the disk's: before the directory was renamed
    /// nothing has happened, after that it is gone.
    pub fn drop_database(&self, name: &Name) -> Result<()> {
        if *name == default_name() {
            return Err(StoreError::DefaultDatabase);
        }
        let (id, open) = self.known(name)?;
        self.drop_slot(name, id, &open)
    }

    /// The same of the database of this identity alone: one that was made under its name since stays.
    ///
    /// # Errors
    /// As [`Store::drop_database`]; `DbNotFound` when another has its name now.
    pub fn drop_with_id(&self, name: &Name, id: DatabaseId) -> Result<()> {
        if *name == default_name() {
            return Err(StoreError::DefaultDatabase);
        }
        let open = self.known_with_id(name, id)?;
        self.drop_slot(name, id, &open)
    }

    fn drop_slot(&self, name: &Name, id: DatabaseId, open: &Mutex<Open>) -> Result<()> {
        let mut open = lock(open);
        match std::mem::replace(&mut *open, Open::Closed) {
            Open::Yes(database) => {
                // What it could not write is about to be removed.
                if let Err(error) = database.close() {
                    tracing::warn!(%name, %error, "a database that is dropped did not close");
                }
            }
            Open::Closed => {}
            Open::Dropped => {
                *open = Open::Dropped;
                return Err(StoreError::DbNotFound(name.clone()));
            }
        }
        let (path, gone) = (self.path_of(id), self.dir.join(format!("{DROPPED}{id}")));
        let disk = &self.env.disk;
        disk.rename(&path, &gone).map_err(|e| StoreError::io(Op::Write, &path, e))?;
        *open = Open::Dropped;
        lock(&self.names).remove(name);
        sync_dir(disk, &self.dir)?;
        remove_tree(disk, &gone)
    }

    /// Closes all databases.
    ///
    /// # Errors
    /// The first that closing met; all are closed.
    pub fn close(&self) -> Result<()> {
        let names: Vec<Name> = lock(&self.names).keys().cloned().collect();
        let mut result = Ok(());
        for name in names {
            let closed = match self.close_database(&name) {
                Err(StoreError::DbNotFound(_)) => Ok(()),
                closed => closed,
            };
            result = result.and(closed);
        }
        result
    }
}

fn close_slot(name: &Name, open: &Mutex<Open>) -> Result<()> {
    let mut open = lock(open);
    match std::mem::replace(&mut *open, Open::Closed) {
        Open::Yes(database) => database.close(),
        Open::Closed => Ok(()),
        Open::Dropped => {
            *open = Open::Dropped;
            Err(StoreError::DbNotFound(name.clone()))
        }
    }
}
