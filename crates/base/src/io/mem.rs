//! A file system in memory, for tests and for values that need no disk. It never fails and never
//! loses power; the simulator's disk does both.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, Entry, EntryKind, File, FileRef, Lock, Open, Space, Stat};

#[derive(Debug, Clone)]
enum Node {
    File(Arc<MemFile>),
    Directory,
}

type Tree = BTreeMap<PathBuf, Node>;

/// A file system in memory. The root directory `/` exists from the start.
#[derive(Debug, Default)]
pub struct MemDisk {
    tree: Mutex<Tree>,
    locks: Arc<Mutex<Vec<PathBuf>>>,
}

#[derive(Debug, Default)]
struct MemFile(Mutex<Vec<u8>>);

#[derive(Debug)]
struct MemLock {
    path: PathBuf,
    locks: Arc<Mutex<Vec<PathBuf>>>,
}

impl Lock for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        hold(&self.locks).retain(|held| *held != self.path);
    }
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn index(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput.into())
}

impl MemDisk {
    /// An empty file system.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty file system, shared.
    #[must_use]
    pub fn shared() -> super::DiskRef {
        Arc::new(Self::new())
    }

    fn need_parent(tree: &Tree, path: &Path) -> io::Result<()> {
        match path.parent() {
            None => Err(io::ErrorKind::InvalidInput.into()),
            Some(parent) if parent.parent().is_none() => Ok(()),
            Some(parent) => match tree.get(parent) {
                Some(Node::Directory) => Ok(()),
                Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
                None => Err(io::ErrorKind::NotFound.into()),
            },
        }
    }

    fn children<'a>(
        tree: &'a Tree,
        dir: &'a Path,
    ) -> impl Iterator<Item = (&'a PathBuf, &'a Node)> {
        tree.range(dir.to_path_buf()..)
            .take_while(move |(path, _)| path.starts_with(dir))
            .filter(move |(path, _)| path.parent() == Some(dir))
    }
}

impl Disk for MemDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<FileRef> {
        let mut tree = hold(&self.tree);
        Self::need_parent(&tree, path)?;
        match (tree.get(path), how) {
            (Some(Node::Directory), _) => Err(io::ErrorKind::IsADirectory.into()),
            (Some(Node::File(_)), Open::CreateNew) => Err(io::ErrorKind::AlreadyExists.into()),
            (Some(Node::File(file)), Open::Read | Open::Write) => Ok(Arc::<MemFile>::clone(file)),
            (None, Open::Read | Open::Write) => Err(io::ErrorKind::NotFound.into()),
            (None, Open::CreateNew) => {
                let file = Arc::new(MemFile::default());
                tree.insert(path.to_path_buf(), Node::File(Arc::clone(&file)));
                Ok(file)
            }
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut tree = hold(&self.tree);
        Self::need_parent(&tree, to)?;
        if !tree.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let moved: Vec<PathBuf> =
            tree.keys().filter(|path| path.starts_with(from)).cloned().collect();
        for old in moved {
            let Ok(rest) = old.strip_prefix(from) else { continue };
            let new = if rest.as_os_str().is_empty() { to.to_path_buf() } else { to.join(rest) };
            if let Some(node) = tree.remove(&old) {
                tree.insert(new, node);
            }
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut tree = hold(&self.tree);
        match tree.get(path) {
            Some(Node::File(_)) => _ = tree.remove(path),
            Some(Node::Directory) => return Err(io::ErrorKind::IsADirectory.into()),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        Ok(())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut tree = hold(&self.tree);
        Self::need_parent(&tree, path)?;
        if tree.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        tree.insert(path.to_path_buf(), Node::Directory);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut tree = hold(&self.tree);
        match tree.get(path) {
            Some(Node::Directory) => {}
            Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        if Self::children(&tree, path).next().is_some() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        tree.remove(path);
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let tree = hold(&self.tree);
        if dir.parent().is_some() && !matches!(tree.get(dir), Some(Node::Directory)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Self::children(&tree, dir)
            .map(|(path, node)| {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                match node {
                    Node::File(f) => {
                        Entry { name, kind: EntryKind::File, len: hold(&f.0).len() as u64 }
                    }
                    Node::Directory => Entry { name, kind: EntryKind::Directory, len: 0 },
                }
            })
            .collect())
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        let tree = hold(&self.tree);
        if path.parent().is_none() {
            return Ok(Some(Stat { kind: EntryKind::Directory, len: 0 }));
        }
        Ok(tree.get(path).map(|node| match node {
            Node::File(f) => Stat { kind: EntryKind::File, len: hold(&f.0).len() as u64 },
            Node::Directory => Stat { kind: EntryKind::Directory, len: 0 },
        }))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.list(dir).map(|_| ())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        if self.stat(path)?.is_none() {
            self.open(path, Open::CreateNew)?;
        }
        let mut locks = hold(&self.locks);
        if locks.iter().any(|held| held == path) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        locks.push(path.to_path_buf());
        Ok(Box::new(MemLock { path: path.to_path_buf(), locks: Arc::clone(&self.locks) }))
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        Ok(Space { total: u64::MAX, available: u64::MAX })
    }
}

impl File for MemFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = hold(&self.0);
        let from = index(offset)?.min(bytes.len());
        let rest = bytes.get(from..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        Ok(n)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let mut bytes = hold(&self.0);
        let from = index(offset)?;
        let to = from.checked_add(buf.len()).ok_or(io::ErrorKind::InvalidInput)?;
        if bytes.len() < to {
            bytes.resize(to, 0);
        }
        if let Some(place) = bytes.get_mut(from..to) {
            place.copy_from_slice(buf);
        }
        Ok(buf.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(hold(&self.0).len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        hold(&self.0).resize(index(len)?, 0);
        Ok(())
    }

    fn evict(&self, _from: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }
}
