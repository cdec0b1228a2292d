//! The calls whose fate a power loss decides, as tests and failure reports see them.

use std::collections::BTreeMap;
use std::fmt;

use base::rng::Rng;

use super::fate::{Fate, Kept, Rest, SectorSize, sectors};
use super::image::{DataOp, FileId, Image, Progress};
use super::names::{NameOp, Node, Place};

/// A call that power loss may still undo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pending {
    /// A name operation, in words.
    Name(String),
    /// A write.
    Write {
        /// A name its file has, or had.
        path: String,
        /// Where.
        offset: u64,
        /// How many bytes.
        len: usize,
        /// Whether it ends past the durable end of its file.
        grows: bool,
    },
    /// A change of length.
    SetLen {
        /// A name its file has, or had.
        path: String,
        /// The length asked for.
        len: u64,
    },
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(what) => f.write_str(what),
            Self::Write { path, offset, len, .. } => {
                write!(f, "write {path} offset={offset} len={len}")
            }
            Self::SetLen { path, len } => write!(f, "set_len {path} len={len}"),
        }
    }
}

impl Pending {
    /// How many sectors of 512 bytes a write touches; 0 for other calls.
    pub(crate) fn sectors(&self) -> u64 {
        match self {
            Self::Write { offset, len, .. } => sectors(*offset, *len, SectorSize::B512),
            Self::Name(_) | Self::SetLen { .. } => 0,
        }
    }

    /// A fate by chance: applied, lost, or for a write anything in between.
    pub(crate) fn chance_fate(&self, rng: &mut Rng) -> Fate {
        let sectors = self.sectors();
        match rng.below(10) {
            0..=3 => Fate::APPLIED,
            4..=6 => Fate::LOST,
            _ if sectors == 0 => Fate::LOST,
            _ => {
                let kept = match rng.below(4) {
                    0 => Kept::Prefix(rng.below(sectors)),
                    1 => Kept::Suffix(1 + rng.below(sectors)),
                    2 => Kept::Mask(rng.next_u64()),
                    _ => Kept::None,
                };
                let rest = match rng.below(3) {
                    0 => Rest::Old,
                    1 => Rest::Grown,
                    _ => Rest::Garbage(rng.next_u64()),
                };
                let sector = if rng.chance(500) { SectorSize::B512 } else { SectorSize::B4096 };
                Fate::torn(kept, rest).in_sectors(sector)
            }
        }
    }
}

impl Image {
    /// The calls that take a fate in [`Image::after_power_loss`], in its order.
    pub(crate) fn pending(&self) -> Vec<Pending> {
        let dirs = self.dir_paths();
        let path = |place: &Place| format!("{}/{}", dirs[place.dir], place.name);
        let open = |progress: Progress| progress != Progress::Pinned;
        let names = self.names.iter().filter(|named| open(named.progress));
        let mut pending: Vec<Pending> = names
            .map(|named| {
                Pending::Name(match &*named.op {
                    NameOp::Link { at, .. } => format!("create {}", path(at)),
                    NameOp::Unlink { at, .. } => format!("remove {}", path(at)),
                    NameOp::Rename { from, to, .. } => {
                        format!("rename {} to {}", path(from), path(to))
                    }
                })
            })
            .collect();
        let paths = self.file_paths(&dirs);
        for (id, reachable) in self.reachable_files().into_iter().enumerate() {
            let file = &self.files[id];
            let path = || paths.get(&id).cloned().unwrap_or_default();
            let calls = file.pending.iter().filter(|(_, progress)| reachable && open(*progress));
            pending.extend(calls.map(|(op, _)| match &**op {
                DataOp::Write { offset, bytes } => Pending::Write {
                    path: path(),
                    offset: *offset,
                    len: bytes.len(),
                    grows: offset + bytes.len() as u64 > file.durable.len(),
                },
                DataOp::SetLen(len) => Pending::SetLen { path: path(), len: *len },
            }));
        }
        pending
    }

    /// A path per directory; empty for the root and for those without a name.
    fn dir_paths(&self) -> Vec<String> {
        let mut paths = vec![String::new(); self.dirs.len()];
        // A directory is made in one that was made before it, unless it was moved: two rounds
        // would be needed for that, and a path in a report is not worth them.
        for (id, dir) in self.dirs.iter().enumerate() {
            for (name, node) in dir.durable.iter().chain(&dir.cache) {
                if let Node::Dir(child) = node {
                    paths[*child] = format!("{}/{name}", paths[id]);
                }
            }
        }
        paths
    }

    fn file_paths(&self, dirs: &[String]) -> BTreeMap<FileId, String> {
        let mut paths = BTreeMap::new();
        for (id, dir) in self.dirs.iter().enumerate() {
            for (name, node) in dir.durable.iter().chain(&dir.cache) {
                if let Node::File(file) = node {
                    paths.insert(*file, format!("{}/{name}", dirs[id]));
                }
            }
        }
        for named in &self.names {
            if let (NameOp::Link { at, .. }, Node::File(file)) = (&*named.op, named.op.node()) {
                paths.entry(file).or_insert_with(|| format!("{}/{}", dirs[at.dir], at.name));
            }
        }
        paths
    }
}
