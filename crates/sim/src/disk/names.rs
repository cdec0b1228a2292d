//! Directories, and what a crash may do to names.
//!
//! Every name operation is applied to the cache at once and kept in one list, in call order, until
//! its directory is synced. Power loss applies or loses each on its own, in call order, provided
//! its precondition holds in what came of the earlier ones: a rename needs its source, a create a
//! free name, a removal the very thing it removed. A rename is atomic; one between two directories
//! is durable when both have been synced.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path};
use std::sync::Arc;

use super::fate::Fate;
use super::image::{DirId, FileId, FileNode, Image, Progress, fate_of};
use super::pages::{mix, mix_bytes};

/// What a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    File(FileId),
    Dir(DirId),
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) dir: DirId,
    pub(crate) name: Arc<str>,
}

/// The names of a directory.
#[derive(Debug, Clone, Default)]
pub(crate) struct DirNode {
    pub(crate) cache: BTreeMap<Arc<str>, Node>,
    pub(crate) durable: BTreeMap<Arc<str>, Node>,
}

/// A mutating call on names. `create_dir` and `remove_dir` are links of directories.
#[derive(Debug)]
pub(crate) enum NameOp {
    Link { at: Place, node: Node },
    Unlink { at: Place, node: Node },
    Rename { from: Place, to: Place, node: Node },
}

impl NameOp {
    pub(crate) fn node(&self) -> Node {
        match self {
            Self::Link { node, .. } | Self::Unlink { node, .. } | Self::Rename { node, .. } => {
                *node
            }
        }
    }

    /// The names it touches.
    fn places(&self) -> [&Place; 2] {
        match self {
            Self::Link { at, .. } | Self::Unlink { at, .. } => [at, at],
            Self::Rename { from, to, .. } => [from, to],
        }
    }
}

/// A name operation that is not, or not wholly, durable.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) op: Arc<NameOp>,
    pub(crate) progress: Progress,
    /// Of the two places, which have been synced.
    synced: [bool; 2],
}

impl Named {
    /// Folds it into `hash`.
    pub(crate) fn hash(&self, hash: u64) -> u64 {
        let mut hash = mix(hash, self.progress as u64);
        for (place, synced) in self.op.places().into_iter().zip(self.synced) {
            hash = mix_bytes(mix(hash, place.dir as u64), place.name.as_bytes());
            hash = mix(hash, u64::from(synced));
        }
        match self.op.node() {
            Node::File(file) => mix(hash, file as u64),
            Node::Dir(dir) => mix(hash, !(dir as u64)),
        }
    }
}

/// Whether an operation whose precondition fails is dropped or carried out all the same.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Force {
    /// It was never durable: without its precondition it cannot have reached the disk.
    No,
    /// It is durable, and an earlier orphaned operation it built on was lost.
    Yes,
}

type Maps = Vec<Arc<DirNode>>;

fn durable(dirs: &mut Maps, dir: DirId) -> &mut BTreeMap<Arc<str>, Node> {
    &mut Arc::make_mut(&mut dirs[dir]).durable
}

/// Whether a directory may be overwritten or removed: it holds nothing durable.
fn is_bare(dirs: &Maps, node: Node) -> bool {
    match node {
        Node::File(_) => true,
        Node::Dir(dir) => dirs[dir].durable.is_empty(),
    }
}

fn apply(dirs: &mut Maps, op: &NameOp, force: Force) {
    let force = force == Force::Yes;
    match op {
        NameOp::Link { at, node } => {
            if force || !dirs[at.dir].durable.contains_key(&at.name) {
                durable(dirs, at.dir).insert(Arc::clone(&at.name), *node);
            }
        }
        NameOp::Unlink { node, .. } if force => forget(dirs, *node),
        NameOp::Unlink { at, node } => {
            let there = dirs[at.dir].durable.get(&at.name) == Some(node);
            if there && is_bare(dirs, *node) {
                durable(dirs, at.dir).remove(&at.name);
            }
        }
        NameOp::Rename { to, node, .. } if force => {
            forget(dirs, *node);
            durable(dirs, to.dir).insert(Arc::clone(&to.name), *node);
        }
        NameOp::Rename { from, to, node } => {
            let there = dirs[from.dir].durable.get(&from.name) == Some(node);
            let free = dirs[to.dir].durable.get(&to.name).is_none_or(|old| is_bare(dirs, *old));
            if there && free {
                durable(dirs, from.dir).remove(&from.name);
                durable(dirs, to.dir).insert(Arc::clone(&to.name), *node);
            }
        }
    }
}

/// Takes away whatever name leads to `node`: a lost rename may have left it under an older one.
fn forget(dirs: &mut Maps, node: Node) {
    for dir in dirs {
        if dir.durable.values().any(|there| *there == node) {
            Arc::make_mut(dir).durable.retain(|_, there| *there != node);
        }
    }
}

impl Image {
    /// The directories after power loss.
    pub(super) fn dirs_after_power_loss(&self, fates: &mut impl Iterator<Item = Fate>) -> Maps {
        let mut dirs = self.dirs.clone();
        if self.names.is_empty() {
            return dirs;
        }
        for named in &self.names {
            let force = match named.progress {
                Progress::Pinned => Force::Yes,
                Progress::Unsynced | Progress::Orphaned => Force::No,
            };
            if fate_of(named.progress, fates).is_applied() {
                apply(&mut dirs, &named.op, force);
            }
        }
        for dir in &mut dirs {
            if dir.cache != dir.durable {
                let dir = Arc::make_mut(dir);
                dir.cache.clone_from(&dir.durable);
            }
        }
        dirs
    }

    /// A successful sync of a directory.
    pub(crate) fn sync_dir(&mut self, dir: DirId) {
        for named in &mut self.names {
            for (place, synced) in named.op.places().into_iter().zip(&mut named.synced) {
                *synced |= place.dir == dir;
            }
            if named.progress == Progress::Unsynced && named.synced == [true; 2] {
                named.progress = Progress::Pinned;
            }
        }
        let mut kept_places = BTreeSet::new();
        let mut kept = Vec::new();
        for named in std::mem::take(&mut self.names) {
            let waits = named.op.places().iter().any(|place| kept_places.contains(*place));
            if named.progress == Progress::Pinned && !waits {
                apply(&mut self.dirs, &named.op, Force::Yes);
            } else {
                kept_places.extend(named.op.places().map(Place::clone));
                kept.push(named);
            }
        }
        self.names = kept;
    }

    /// A failed sync of a directory: no later sync covers its earlier operations.
    pub(crate) fn sync_dir_failed(&mut self, dir: DirId) {
        for named in &mut self.names {
            let touched = named.op.places().iter().any(|place| place.dir == dir);
            if touched && named.progress == Progress::Unsynced {
                named.progress = Progress::Orphaned;
            }
        }
    }

    /// What `path` names in the cache.
    ///
    /// # Errors
    /// `NotADirectory` when the way leads through a file, `InvalidInput` for a path that is not
    /// absolute or not plain.
    pub(crate) fn resolve(&self, path: &Path) -> io::Result<Option<Node>> {
        let mut node = Node::Dir(0);
        for part in path.strip_prefix("/").map_err(|_| io::ErrorKind::InvalidInput)?.components() {
            let Component::Normal(name) = part else {
                return Err(io::ErrorKind::InvalidInput.into());
            };
            let Node::Dir(dir) = node else {
                return Err(io::ErrorKind::NotADirectory.into());
            };
            let name = name.to_str().ok_or(io::ErrorKind::InvalidInput)?;
            match self.dirs[dir].cache.get(name) {
                Some(next) => node = *next,
                None => return Ok(None),
            }
        }
        Ok(Some(node))
    }

    /// The directory `path` names.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`.
    pub(crate) fn directory(&self, path: &Path) -> io::Result<DirId> {
        match self.resolve(path)? {
            Some(Node::Dir(dir)) => Ok(dir),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The directory and name of `path`, whatever it names.
    ///
    /// # Errors
    /// As for [`Image::directory`] of the parent; `InvalidInput` for the root.
    pub(crate) fn place(&self, path: &Path) -> io::Result<Place> {
        let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let name = path.file_name().and_then(|name| name.to_str());
        let name = Arc::from(name.ok_or(io::ErrorKind::InvalidInput)?);
        Ok(Place { dir: self.directory(parent)?, name })
    }

    /// What is at `place` in the cache.
    pub(crate) fn at(&self, place: &Place) -> Option<Node> {
        self.dirs[place.dir].cache.get(&place.name).copied()
    }

    fn cached(&mut self, dir: DirId) -> &mut BTreeMap<Arc<str>, Node> {
        &mut Arc::make_mut(&mut self.dirs[dir]).cache
    }

    fn note(&mut self, op: NameOp) {
        let named = Named { op: Arc::new(op), progress: Progress::Unsynced, synced: [false; 2] };
        self.names.push(named);
    }

    /// Creates a file at a free place.
    pub(crate) fn create_file(&mut self, at: Place) -> FileId {
        let file = self.files.len();
        self.files.push(Arc::new(FileNode { linked: true, ..FileNode::default() }));
        self.link(at, Node::File(file));
        file
    }

    /// Creates a directory at a free place.
    pub(crate) fn create_dir(&mut self, at: Place) {
        let dir = self.dirs.len();
        self.dirs.push(Arc::default());
        self.link(at, Node::Dir(dir));
    }

    fn link(&mut self, at: Place, node: Node) {
        self.cached(at.dir).insert(Arc::clone(&at.name), node);
        self.note(NameOp::Link { at, node });
    }

    /// Removes the name of `node` at `at`.
    pub(crate) fn unlink(&mut self, at: Place, node: Node) {
        self.cached(at.dir).remove(&at.name);
        if let Node::File(file) = node {
            self.file_mut(file).linked = false;
        }
        self.note(NameOp::Unlink { at, node });
    }

    /// Moves `node` from one place to another, replacing what is there.
    pub(crate) fn rename(&mut self, from: Place, to: Place, node: Node) {
        self.cached(from.dir).remove(&from.name);
        let replaced = self.cached(to.dir).insert(Arc::clone(&to.name), node);
        if let Some(Node::File(file)) = replaced {
            self.file_mut(file).linked = false;
        }
        self.note(NameOp::Rename { from, to, node });
    }

    /// Calls `visit` with every name below the root and what it leads to, parents first.
    pub(crate) fn walk(&self, mut visit: impl FnMut(&str, Node)) {
        let mut open = vec![0];
        while let Some(dir) = open.pop() {
            for (name, node) in &self.dirs[dir].cache {
                visit(name, *node);
                if let Node::Dir(dir) = node {
                    open.push(*dir);
                }
            }
        }
    }
}
