//! What a machine and its disk hold at one moment: for every file and directory what reads see
//! (*cache*), what power loss leaves (*durable*), and the calls in between (*pending*).
//!
//! An image is a value: cloning copies pointers. The disk mutates one under a lock; the enumerator
//! keeps one per call and builds crashed ones from them. Names are in [`super::names`].
//!
//! Invariants: `cache` is `durable` with every pending call applied in order, plus whatever an
//! orphaned call lost; a pending call that is pinned survives every power loss.

use std::io;
use std::sync::Arc;

use super::fate::{Fate, apply_write};
use super::names::{DirNode, Named, Node};
use super::pages::{PAGE, Pages, mix, mix_bytes};

/// `PAGE` for offsets.
const PAGE_U64: u64 = PAGE as u64;

/// A file, by its place in [`Image::files`]. Never reused.
pub(crate) type FileId = usize;
/// A directory, by its place in [`Image::dirs`]. 0 is the root. Never reused.
pub(crate) type DirId = usize;

/// How far a call is from being durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The next successful sync makes it durable.
    Unsynced,
    /// A failed sync covered it: no later sync will, and power loss may take it or leave it.
    Orphaned,
    /// Durable, but kept in the list because an earlier call that is not touches the same place.
    Pinned,
}

/// A mutating call on a file.
#[derive(Debug)]
pub(crate) enum DataOp {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
}

impl DataOp {
    /// The bytes it writes: start and end.
    fn range(&self) -> Option<(u64, u64)> {
        match self {
            Self::Write { offset, bytes } => Some((*offset, offset + bytes.len() as u64)),
            Self::SetLen(_) => None,
        }
    }

    pub(crate) fn apply(&self, pages: &mut Pages, fate: Fate) {
        match self {
            Self::Write { offset, bytes } => apply_write(pages, *offset, bytes, fate),
            Self::SetLen(len) if fate.is_applied() => pages.set_len(*len),
            Self::SetLen(_) => {}
        }
    }
}

/// A file.
#[derive(Debug, Clone, Default)]
pub(crate) struct FileNode {
    pub(crate) cache: Pages,
    pub(crate) durable: Pages,
    /// For every sector that changed while durable, what it held before: what a device that
    /// drops a write would answer.
    pub(crate) previous: Pages,
    pub(crate) pending: Vec<(Arc<DataOp>, Progress)>,
    /// Whether any name leads here; the room of a file without one is free.
    pub(crate) linked: bool,
}

impl FileNode {
    fn change(&mut self, op: DataOp) {
        op.apply(&mut self.cache, Fate::APPLIED);
        self.pending.push((Arc::new(op), Progress::Unsynced));
    }

    fn mark_unsynced(&mut self, progress: Progress) {
        for (_, state) in &mut self.pending {
            if *state == Progress::Unsynced {
                *state = progress;
            }
        }
    }

    /// Makes every unsynced call durable.
    fn sync(&mut self) {
        self.mark_unsynced(Progress::Pinned);
        self.forget_rewritten_orphans();
        let before = self.durable.clone();
        let mut kept: Vec<(Arc<DataOp>, Progress)> = Vec::new();
        for (op, progress) in std::mem::take(&mut self.pending) {
            if progress == Progress::Pinned && !kept.iter().any(|(earlier, _)| meet(earlier, &op)) {
                op.apply(&mut self.durable, Fate::APPLIED);
                self.remember_previous(&before, &op);
            } else {
                kept.push((op, progress));
            }
        }
        self.pending = kept;
    }

    /// An orphaned write whose every byte a pinned one wrote again can no longer be seen.
    fn forget_rewritten_orphans(&mut self) {
        let mut index = 0;
        while index < self.pending.len() {
            let (op, progress) = &self.pending[index];
            let rewritten = *progress == Progress::Orphaned
                && self.pending[index + 1..]
                    .iter()
                    .any(|(later, state)| *state == Progress::Pinned && covers(later, op));
            if rewritten {
                self.pending.remove(index);
            } else {
                index += 1;
            }
        }
    }

    /// Drops the clean pages that hold bytes of this range, so that reads see what the device
    /// has: of a write that a failed sync covered, nothing. Pages with unsynced bytes stay.
    fn evict(&mut self, from: u64, to: u64) {
        let last = to.min(self.cache.len()).div_ceil(PAGE_U64);
        for page in from / PAGE_U64..last {
            let (start, end) = (page * PAGE_U64, (page + 1) * PAGE_U64);
            let touches = |op: &DataOp| op.range().is_some_and(|(a, b)| a < end && start < b);
            let mut states =
                self.pending.iter().filter(|(op, _)| touches(op)).map(|(_, state)| *state);
            let orphaned = states.clone().any(|state| state == Progress::Orphaned);
            if orphaned && states.all(|state| state != Progress::Unsynced) {
                self.lose_orphans(start, end);
            }
        }
    }

    /// Takes the bytes from `start` to `end` out of every orphaned write, and out of the cache.
    fn lose_orphans(&mut self, start: u64, end: u64) {
        let mut kept = Vec::with_capacity(self.pending.len());
        for (op, progress) in std::mem::take(&mut self.pending) {
            match (&*op, progress) {
                (DataOp::Write { offset, bytes }, Progress::Orphaned) => {
                    let parts = outside(*offset, bytes, start, end).into_iter();
                    kept.extend(parts.map(|part| (Arc::new(part), progress)));
                }
                _ => kept.push((op, progress)),
            }
        }
        self.pending = kept;
        let mut device = self.durable.clone();
        for (op, _) in &self.pending {
            op.apply(&mut device, Fate::APPLIED);
        }
        let mut bytes = [0; PAGE];
        device.read(start, &mut bytes);
        let there = usize::try_from(self.cache.len().saturating_sub(start)).unwrap_or(PAGE);
        self.cache.write(start, &bytes[..there.min(PAGE)]);
    }

    fn remember_previous(&mut self, before: &Pages, op: &DataOp) {
        let Some((from, to)) = op.range() else { return };
        for sector in from / 512..to.div_ceil(512) {
            let (mut old, mut new) = ([0; 512], [0; 512]);
            before.read(sector * 512, &mut old);
            self.durable.read(sector * 512, &mut new);
            if old != new {
                self.previous.write(sector * 512, &old);
            }
        }
    }

    /// The file after power loss; `fates` are those of the pending calls that are not pinned.
    fn after_power_loss(&self, fates: &mut impl Iterator<Item = Fate>) -> Self {
        let mut pages = self.durable.clone();
        for (op, progress) in &self.pending {
            op.apply(&mut pages, fate_of(*progress, fates));
        }
        Self {
            cache: pages.clone(),
            durable: pages,
            previous: self.previous.clone(),
            pending: Vec::new(),
            linked: false,
        }
    }
}

/// What is left of a write without the bytes from `start` to `end`: at most two writes.
fn outside(offset: u64, bytes: &[u8], start: u64, end: u64) -> Vec<DataOp> {
    let within = |at: u64| {
        usize::try_from(at.saturating_sub(offset)).map_or(bytes.len(), |at| at.min(bytes.len()))
    };
    let (before, after) = (within(start), within(end));
    let parts = [(0, before), (after, bytes.len())];
    let parts = parts.into_iter().filter(|(from, to)| from < to);
    parts
        .map(|(from, to)| DataOp::Write {
            offset: offset + from as u64,
            bytes: bytes[from..to].to_vec(),
        })
        .collect()
}

/// Whether swapping two calls could be seen.
fn meet(a: &DataOp, b: &DataOp) -> bool {
    match (a.range(), b.range()) {
        (Some(a), Some(b)) => a.0 < b.1 && b.0 < a.1,
        (None, _) | (_, None) => true,
    }
}

/// Whether `outer` writes every byte that `inner` writes.
fn covers(outer: &DataOp, inner: &DataOp) -> bool {
    match (outer.range(), inner.range()) {
        (Some(outer), Some(inner)) => outer.0 <= inner.0 && inner.1 <= outer.1,
        (None, _) | (_, None) => false,
    }
}

/// The fate of the next pending call; a call without one is lost.
pub(crate) fn fate_of(progress: Progress, fates: &mut impl Iterator<Item = Fate>) -> Fate {
    match progress {
        Progress::Pinned => Fate::APPLIED,
        Progress::Unsynced | Progress::Orphaned => fates.next().unwrap_or(Fate::LOST),
    }
}

/// Files, directories and the name operations between cache and durable.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) files: Vec<Arc<FileNode>>,
    pub(crate) dirs: Vec<Arc<DirNode>>,
    pub(crate) names: Vec<Named>,
}

impl Image {
    /// An empty root directory.
    pub(crate) fn new() -> Self {
        Self { files: Vec::new(), dirs: vec![Arc::default()], names: Vec::new() }
    }

    pub(crate) fn file_mut(&mut self, file: FileId) -> &mut FileNode {
        Arc::make_mut(&mut self.files[file])
    }

    /// Writes to the cache.
    pub(crate) fn write(&mut self, file: FileId, offset: u64, bytes: &[u8]) {
        self.file_mut(file).change(DataOp::Write { offset, bytes: bytes.to_vec() });
    }

    /// Cuts or extends in the cache.
    pub(crate) fn set_len(&mut self, file: FileId, len: u64) {
        self.file_mut(file).change(DataOp::SetLen(len));
    }

    /// A successful sync of a file.
    pub(crate) fn sync_file(&mut self, file: FileId) {
        if !self.files[file].pending.is_empty() {
            self.file_mut(file).sync();
        }
    }

    /// A failed sync of a file: its pages are clean now, and perhaps nowhere but in memory.
    pub(crate) fn sync_file_failed(&mut self, file: FileId) {
        self.file_mut(file).mark_unsynced(Progress::Orphaned);
    }

    /// Drops clean pages of a file. Its fate decided, an orphaned write is gone for good: a power
    /// loss does not bring back what a read has shown to be lost.
    pub(crate) fn evict(&mut self, file: FileId, from: u64, to: u64) {
        if self.files[file].pending.iter().any(|(_, state)| *state == Progress::Orphaned) {
            self.file_mut(file).evict(from, to);
        }
    }

    /// Pages of the volume in use.
    pub(crate) fn pages_used(&self) -> u64 {
        self.files.iter().filter(|file| file.linked).map(|file| file.cache.allocated()).sum()
    }

    /// Whether a file can still be seen after some crash.
    pub(crate) fn reachable_files(&self) -> Vec<bool> {
        let mut seen = vec![false; self.files.len()];
        let mut mark = |node: Node| {
            if let Node::File(file) = node {
                seen[file] = true;
            }
        };
        for dir in &self.dirs {
            dir.durable.values().chain(dir.cache.values()).for_each(|node| mark(*node));
        }
        for named in &self.names {
            mark(named.op.node());
        }
        seen
    }

    /// The image after power loss. `fates` go first to the name operations that are not pinned,
    /// in call order, then to the data calls that are not pinned, file by file in order of
    /// creation; files out of reach of any name take none.
    pub(crate) fn after_power_loss(&self, fates: &[Fate], reachable: &[bool]) -> Self {
        let mut fates = fates.iter().copied();
        let dirs = self.dirs_after_power_loss(&mut fates);
        let files = self.files.iter().zip(reachable).map(|(file, reachable)| {
            if *reachable && !file.pending.is_empty() {
                Arc::new(file.after_power_loss(&mut fates))
            } else {
                Arc::clone(file)
            }
        });
        let mut after = Self { files: files.collect(), dirs, names: Vec::new() };
        after.settle();
        after
    }

    /// Makes `linked` true of exactly the files that a path leads to, and drops the others.
    fn settle(&mut self) {
        let mut linked = vec![false; self.files.len()];
        self.walk(|_, node| {
            if let Node::File(file) = node {
                linked[file] = true;
            }
        });
        for (file, linked) in self.files.iter_mut().zip(linked) {
            if !linked {
                *file = Arc::default();
            } else if !file.linked {
                Arc::make_mut(file).linked = true;
            }
        }
    }

    /// A hash of what a program can see: the tree below the root, names and contents.
    pub(crate) fn visible_hash(&self) -> u64 {
        let mut hash = 1;
        self.walk(|name, node| {
            hash = mix_bytes(hash, name.as_bytes());
            hash = match node {
                Node::File(file) => mix(hash, self.files[file].cache.hash()),
                Node::Dir(dir) => mix(hash, self.dirs[dir].cache.len() as u64),
            };
        });
        hash
    }

    /// A hash of everything a later crash can depend on as well.
    pub(crate) fn whole_hash(&self) -> u64 {
        let mut hash = self.visible_hash();
        for file in &self.files {
            hash = mix(hash, file.durable.hash());
            for (op, progress) in &file.pending {
                hash = mix(hash, *progress as u64);
                hash = match &**op {
                    DataOp::Write { offset, bytes } => mix_bytes(mix(hash, *offset), bytes),
                    DataOp::SetLen(len) => mix(hash, !len),
                };
            }
        }
        for named in &self.names {
            hash = named.hash(hash);
        }
        for dir in &self.dirs {
            hash = dir.durable.keys().fold(mix(hash, 3), |h, name| mix_bytes(h, name.as_bytes()));
        }
        hash
    }

    /// The file's number when `node` is one.
    pub(crate) fn need_file(node: Node) -> io::Result<FileId> {
        match node {
            Node::File(file) => Ok(file),
            Node::Dir(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }
}
