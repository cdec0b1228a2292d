//! What was asked of the disk: the trace that a failing test prints and a seed is compared by.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// `Disk::open` of a file that exists.
    Open,
    /// `Disk::open` with `CreateNew`, and `Disk::lock` of a file that does not exist.
    Create,
    /// `Disk::rename`; the trace has the new name.
    Rename,
    /// `Disk::remove_file`.
    RemoveFile,
    /// `Disk::create_dir`.
    CreateDir,
    /// `Disk::remove_dir`.
    RemoveDir,
    /// `Disk::list`.
    List,
    /// `Disk::stat`.
    Stat,
    /// `Disk::sync_dir`.
    SyncDir,
    /// `Disk::lock` of a file that exists.
    Lock,
    /// `Disk::space`.
    Space,
    /// `File::read_at`.
    Read,
    /// `File::write_at`.
    Write,
    /// `File::sync_data`.
    SyncData,
    /// `File::sync_all`.
    SyncAll,
    /// `File::len`.
    Len,
    /// `File::set_len`; the trace has the length as offset.
    SetLen,
    /// `File::evict`.
    Evict,
}

impl Op {
    /// Whether the call can change what a crash leaves: everything but reads and looks.
    #[must_use]
    pub const fn is_mutating(self) -> bool {
        match self {
            Self::Create
            | Self::Rename
            | Self::RemoveFile
            | Self::CreateDir
            | Self::RemoveDir
            | Self::SyncDir
            | Self::Write
            | Self::SyncData
            | Self::SyncAll
            | Self::SetLen
            | Self::Evict => true,
            Self::Open
            | Self::List
            | Self::Stat
            | Self::Lock
            | Self::Space
            | Self::Read
            | Self::Len => false,
        }
    }

    /// Whether the call makes earlier ones durable.
    #[must_use]
    pub const fn is_sync(self) -> bool {
        matches!(self, Self::SyncDir | Self::SyncData | Self::SyncAll)
    }
}

/// One call, as the trace has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Call {
    /// Its number among all calls on this disk, from 1.
    pub seq: u64,
    /// What it does.
    pub op: Op,
    /// The path it names, or that its file was opened by.
    pub path: Arc<Path>,
    /// Where in the file; 0 where that means nothing.
    pub offset: u64,
    /// How many bytes were asked for; 0 where that means nothing.
    pub len: usize,
    /// How many bytes were read or written, or the system's error number (0 when it has none).
    pub result: Result<usize, i32>,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {:?} {}", self.seq, self.op, self.path.display())?;
        match self.op {
            Op::Read | Op::Write | Op::Evict => {
                write!(f, " offset={} len={}", self.offset, self.len)?
            }
            Op::SetLen => write!(f, " len={}", self.offset)?,
            Op::Open
            | Op::Create
            | Op::Rename
            | Op::RemoveFile
            | Op::CreateDir
            | Op::RemoveDir
            | Op::List
            | Op::Stat
            | Op::SyncDir
            | Op::Lock
            | Op::Space
            | Op::SyncData
            | Op::SyncAll
            | Op::Len => {}
        }
        match self.result {
            Ok(n) if n != self.len => write!(f, " short={n}"),
            Ok(_) => Ok(()),
            Err(errno) => write!(f, " errno={errno}"),
        }
    }
}
