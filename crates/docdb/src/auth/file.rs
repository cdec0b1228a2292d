//! `keys.json` in the data directory: the hashes of the keys and what each allows.
//!
//! ```json
//! {"version":1,"checksum":"<SHA-256 of the keys>","keys":[{"hash":"<SHA-256 of the key>",
//!  "label":"ci","created_ms":1,"expires_ms":null,"grants":["orders=write"]}]}
//! ```
//!
//! It is written whole beside itself, synced, renamed over itself and its directory synced: a crash
//! leaves the old or the new one. The checksum is over the keys in one fixed way of writing them, so
//! that a damaged file is refused even where it is still JSON. No file means that no key was ever
//! made; the removal of the last one leaves a file without keys.

mod content;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::clock::WallMs;
use base::io::{DiskRef, Lock, Open, read_full_at, write_all_at};
use subtle::ConstantTimeEq;

use super::key::{Hash, Key, NewKey, Wanted};

/// The name of the file.
pub const FILE_NAME: &str = "keys.json";
/// Most keys.
pub const KEYS_MAX: usize = 10_000;
/// Largest file.
const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The file while it is written.
const NEW_NAME: &str = "keys.json.new";
/// Who changes the file holds this.
const LOCK_NAME: &str = "keys.lock";

/// What is wrong with the file of keys.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error("the file of API keys cannot be used, file={} error={error}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: Arc<io::Error>,
    },
    /// It is there and not what was written.
    #[error(
        "the file of API keys is damaged, file={} reason={reason}; restore it from a copy, or move it \
         away and make new keys",
        .path.display()
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// How that shows.
        reason: &'static str,
    },
    /// It was there before, and the server goes on with what it knows.
    #[error("the file of API keys is gone, the keys stay as they were, file={}", .path.display())]
    Vanished {
        /// Which.
        path: PathBuf,
    },
    /// Somebody else changes it at the moment.
    #[error("another command changes the API keys at the moment, file={}", .path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
    },
    /// A key of this name is not among them, or more than one is.
    #[error("{count} keys are called so, name={name}")]
    Ambiguous {
        /// The id or label.
        name: String,
        /// How many.
        count: usize,
    },
    /// The key that is wanted is none that can be kept.
    #[error("there can be no such API key, rule={0}")]
    Refused(&'static str),
    /// There are as many keys as there may be.
    #[error("there are as many API keys as there may be, limit={KEYS_MAX}")]
    Full,
}

/// The keys of a file.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// In the order in which they were made.
    list: Vec<Arc<Key>>,
    by_hash: HashMap<Hash, Arc<Key>>,
    /// Of the file's bytes; none when there was no file.
    digest: Option<[u8; 32]>,
}

impl Keys {
    fn new(list: Vec<Arc<Key>>, digest: Option<[u8; 32]>) -> Self {
        let by_hash = list.iter().map(|key| (key.hash, Arc::clone(key))).collect();
        Self { list, by_hash, digest }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether there is no file of them.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.digest.is_none()
    }

    /// All, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.list.iter().map(|key| &**key)
    }

    pub(super) fn digest(&self) -> Option<[u8; 32]> {
        self.digest
    }

    /// The key that `credential` is. Its hash is the index: who tries credentials learns from the
    /// time at most something about hashes, from which no key can be made.
    pub(super) fn find(&self, credential: &str) -> Option<Arc<Key>> {
        self.find_hash(&Hash::of(credential))
    }

    /// The key of this hash.
    pub(super) fn find_hash(&self, hash: &Hash) -> Option<Arc<Key>> {
        let key = self.by_hash.get(hash)?;
        let is_equal: bool = key.hash.0.ct_eq(&hash.0).into();
        is_equal.then(|| Arc::clone(key))
    }
}

/// The file of keys of a data directory.
#[derive(Debug)]
pub struct KeyFile {
    disk: DiskRef,
    dir: PathBuf,
}

impl KeyFile {
    /// The file of the data directory `dir`.
    #[must_use]
    pub fn new(disk: &DiskRef, dir: &Path) -> Self {
        Self { disk: DiskRef::clone(disk), dir: dir.to_path_buf() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.dir.join(FILE_NAME)
    }

    /// Reads and checks it; no file is no keys.
    ///
    /// # Errors
    /// When it is there and cannot be read, or is damaged.
    pub fn load(&self) -> Result<Keys, KeyFileError> {
        let Some(bytes) = self.bytes()? else { return Ok(Keys::default()) };
        let list = content::parse(&bytes)
            .map_err(|reason| KeyFileError::Damaged { path: self.path(), reason })?;
        let list = list.into_iter().map(Arc::new).collect();
        Ok(Keys::new(list, Some(content::digest(&bytes))))
    }

    /// What tells this file from another; none when there is none.
    pub(super) fn digest(&self) -> Result<Option<[u8; 32]>, KeyFileError> {
        Ok(self.bytes()?.map(|bytes| content::digest(&bytes)))
    }

    /// Makes a key and writes the file, and the directory when it does not exist.
    ///
    /// # Errors
    /// When there can be no such key, the keys cannot be read or written, or are too many; nothing has changed then.
    pub fn add(&self, wanted: Wanted, now: WallMs) -> Result<NewKey, KeyFileError> {
        wanted.check().map_err(KeyFileError::Refused)?;
        self.make_dir().map_err(|error| self.io(error))?;
        let _held = self.lock()?;
        let mut list = self.load()?.list;
        if list.len() >= KEYS_MAX {
            return Err(KeyFileError::Full);
        }
        let made = NewKey::make(wanted, now).map_err(|error| self.io(error))?;
        list.push(Arc::new(made.key.clone()));
        self.store(&list)?;
        Ok(made)
    }

    /// Removes the key whose id or label is `name`.
    ///
    /// # Errors
    /// When none or more than one is called so, or the keys cannot be read or written; nothing has
    /// changed then.
    pub fn remove(&self, name: &str) -> Result<Key, KeyFileError> {
        let _held = self.lock()?;
        let mut list = self.load()?.list;
        let is_named = |key: &Arc<Key>| key.label == name || key.id().to_string() == name;
        let count = list.iter().filter(|key| is_named(key)).count();
        let Some(at) = list.iter().position(is_named).filter(|_| count == 1) else {
            return Err(KeyFileError::Ambiguous { name: name.to_owned(), count });
        };
        let removed = list.remove(at);
        self.store(&list)?;
        Ok(Key::clone(&removed))
    }

    fn io(&self, error: io::Error) -> KeyFileError {
        KeyFileError::Io { path: self.path(), error: Arc::new(error) }
    }

    fn lock(&self) -> Result<Box<dyn Lock>, KeyFileError> {
        let path = self.dir.join(LOCK_NAME);
        self.disk.lock(&path).map_err(|error| {
            let is_held = error.kind() == io::ErrorKind::WouldBlock;
            if is_held { KeyFileError::Busy { path } } else { self.io(error) }
        })
    }

    fn make_dir(&self) -> io::Result<()> {
        if self.disk.stat(&self.dir)?.is_some() {
            return Ok(());
        }
        self.disk.create_dir(&self.dir)?;
        let parent = self.dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        self.disk.sync_dir(parent.unwrap_or(Path::new(".")))
    }

    /// The bytes of the file; none when there is none.
    fn bytes(&self) -> Result<Option<Vec<u8>>, KeyFileError> {
        let read = || {
            let file = self.disk.open(&self.path(), Open::Read)?;
            let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
            if len > FILE_BYTES_MAX {
                return Err(io::Error::other("it is larger than 64 MiB"));
            }
            let mut bytes = vec![0; len];
            let len = read_full_at(file.as_ref(), &mut bytes, 0)?;
            bytes.truncate(len);
            Ok(bytes)
        };
        match read() {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.io(error)),
        }
    }

    fn store(&self, list: &[Arc<Key>]) -> Result<(), KeyFileError> {
        let write = || {
            let new = self.dir.join(NEW_NAME);
            // What a crash left is nobody's: who writes holds the lock.
            match self.disk.remove_file(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            // Made for its user alone, as every file of docdb.
            let file = self.disk.open(&new, Open::CreateNew)?;
            write_all_at(file.as_ref(), &content::render(list), 0)?;
            file.sync_all()?;
            self.disk.rename(&new, &self.path())?;
            self.disk.sync_dir(&self.dir)
        };
        write().map_err(|error| self.io(error))
    }
}
