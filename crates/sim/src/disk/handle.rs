//! The calls themselves: [`FaultDisk`] as a [`Disk`], and its open files.

use std::io;
use std::path::Path;
use std::sync::Arc;

use base::io::{Disk, Entry, EntryKind, File, FileRef, Lock, Open, Space, Stat, is_untried};
use rustix::io::Errno;

use super::call::{Call, Op};
use super::image::{FileId, Image};
use super::names::Node;
use super::pages::PAGE;
use super::{Core, FaultDisk, Step};

/// The longest file. A wild offset must be an error, not an allocation.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// A call about to be made.
struct Request {
    op: Op,
    path: Arc<Path>,
    file: Option<FileId>,
    offset: u64,
    len: usize,
}

impl Request {
    fn on(op: Op, path: &Path) -> Self {
        Self { op, path: Arc::from(path), file: None, offset: 0, len: 0 }
    }
}

impl FaultDisk {
    /// Makes a call: counts it, lets a fault strike, does `work` (which gets the number of bytes
    /// it may move and answers how many it moved), traces and records it.
    fn call<T>(
        &self,
        request: &Request,
        work: impl FnOnce(&mut Core, usize) -> io::Result<(T, usize)>,
    ) -> io::Result<T> {
        let mut core = self.core();
        core.calls += 1;
        let mut effect = None;
        for armed in &mut core.faults {
            let strikes = armed.strikes(request.op, &request.path);
            effect = effect.or(strikes);
        }
        let limit = if effect.is_some() { request.len.div_ceil(2) } else { request.len };
        let done = match effect.and_then(super::Effect::error) {
            Some(error) => {
                if !is_untried(&error) {
                    core.sync_failed(request);
                }
                Err(error)
            }
            None => work(&mut core, limit),
        };
        core.note(request, done.as_ref().map(|(_, moved)| *moved));
        done.map(|(value, _)| value)
    }
}

impl Core {
    /// What a failed sync leaves behind; nothing for other calls.
    fn sync_failed(&mut self, request: &Request) {
        match (request.op, request.file) {
            (Op::SyncDir, _) => {
                if let Ok(dir) = self.image.directory(&request.path) {
                    self.image.sync_dir_failed(dir);
                }
            }
            (op, Some(file)) if op.is_sync() => self.image.sync_file_failed(file),
            _ => {}
        }
    }

    fn note(&mut self, request: &Request, result: Result<usize, &io::Error>) {
        let call = Call {
            seq: self.calls,
            op: request.op,
            path: Arc::clone(&request.path),
            offset: request.offset,
            len: request.len,
            result: result.map_err(|e| e.raw_os_error().unwrap_or(0)),
        };
        // A failed call changed nothing, except that a failed sync left clean pages.
        let changed = request.op.is_mutating() && (result.is_ok() || request.op.is_sync());
        if let Some(steps) = self.recording.as_mut().filter(|_| changed) {
            let written = request.file.filter(|_| request.op == Op::Write);
            let write = written.and_then(|file| {
                let (op, _) = self.image.files[file].pending.last()?;
                Some((file, Arc::clone(op)))
            });
            let (image, capacity) = (self.image.clone(), self.capacity);
            steps.push(Step { call: call.clone(), image, capacity, write });
        }
        self.trace.push(call);
    }

    /// How many of `len` bytes at `offset` there is room for.
    fn room(&self, file: FileId, offset: u64, len: usize) -> usize {
        match self.capacity {
            None => len,
            Some(capacity) => {
                let free = (capacity / PAGE as u64).saturating_sub(self.image.pages_used());
                self.image.files[file].cache.fits(offset, len, free)
            }
        }
    }

    fn stat(&self, node: Node) -> Stat {
        match node {
            Node::File(file) => {
                Stat { kind: EntryKind::File, len: self.image.files[file].cache.len() }
            }
            Node::Dir(_) => Stat { kind: EntryKind::Directory, len: 0 },
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (source, target) = (self.image.place(from)?, self.image.place(to)?);
        let node = self.image.at(&source).ok_or(io::ErrorKind::NotFound)?;
        if source == target {
            return Ok(());
        }
        match (node, self.image.at(&target)) {
            (Node::Dir(_), _) if to.starts_with(from) => Err(io::ErrorKind::InvalidInput)?,
            (Node::File(_), Some(Node::Dir(_))) => Err(io::ErrorKind::IsADirectory)?,
            (Node::Dir(_), Some(Node::File(_))) => Err(io::ErrorKind::NotADirectory)?,
            (Node::Dir(_), Some(Node::Dir(dir))) if !self.image.dirs[dir].cache.is_empty() => {
                Err(io::ErrorKind::DirectoryNotEmpty)?;
            }
            _ => {}
        }
        self.image.rename(source, target, node);
        Ok(())
    }

    fn open(&mut self, path: &Path, how: Open) -> io::Result<FileId> {
        let place = self.image.place(path)?;
        match (self.image.at(&place), how) {
            (Some(_), Open::CreateNew) => Err(io::ErrorKind::AlreadyExists.into()),
            (Some(node), Open::Read | Open::Write) => Image::need_file(node),
            (None, Open::Read | Open::Write) => Err(io::ErrorKind::NotFound.into()),
            (None, Open::CreateNew) => Ok(self.image.create_file(place)),
        }
    }
}

impl Disk for FaultDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<FileRef> {
        let op = if how == Open::CreateNew { Op::Create } else { Op::Open };
        let request = Request::on(op, path);
        let file = self.call(&request, |core, _| Ok((core.open(path, how)?, 0)))?;
        let access = if how == Open::Read { Access::Read } else { Access::Write };
        let (disk, path) = (self.clone(), Arc::clone(&request.path));
        Ok(Arc::new(FaultFile { disk, path, file, access }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(&Request::on(Op::Rename, to), |core, _| Ok((core.rename(from, to)?, 0)))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call(&Request::on(Op::RemoveFile, path), |core, _| {
            let place = core.image.place(path)?;
            let node = core.image.at(&place).ok_or(io::ErrorKind::NotFound)?;
            Image::need_file(node)?;
            Ok((core.image.unlink(place, node), 0))
        })
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.call(&Request::on(Op::CreateDir, path), |core, _| {
            let place = core.image.place(path)?;
            if core.image.at(&place).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            Ok((core.image.create_dir(place), 0))
        })
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.call(&Request::on(Op::RemoveDir, path), |core, _| {
            let dir = core.image.directory(path)?;
            if !core.image.dirs[dir].cache.is_empty() {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            let place = core.image.place(path)?;
            Ok((core.image.unlink(place, Node::Dir(dir)), 0))
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.call(&Request::on(Op::List, dir), |core, _| {
            let id = core.image.directory(dir)?;
            let names = core.image.dirs[id].cache.iter();
            let entries = names.map(|(name, node)| {
                let Stat { kind, len } = core.stat(*node);
                Entry { name: name.to_string(), kind, len }
            });
            Ok((entries.collect(), 0))
        })
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        self.call(&Request::on(Op::Stat, path), |core, _| {
            let node = core.image.resolve(path)?;
            Ok((node.map(|node| core.stat(node)), 0))
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.call(&Request::on(Op::SyncDir, dir), |core, _| {
            let dir = core.image.directory(dir)?;
            Ok((core.image.sync_dir(dir), 0))
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let there = self.core().image.resolve(path)?.is_some();
        let op = if there { Op::Lock } else { Op::Create };
        let file = self.call(&Request::on(op, path), |core, _| {
            // Asked again: another thread may have made the file since.
            let there = core.image.resolve(path)?.is_some();
            let file = core.open(path, if there { Open::Write } else { Open::CreateNew })?;
            if !core.locks.insert(file) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok((file, 0))
        })?;
        Ok(Box::new(FaultLock { disk: self.clone(), file }))
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.call(&Request::on(Op::Space, path), |core, _| {
            core.image.resolve(path)?.ok_or(io::ErrorKind::NotFound)?;
            let used = core.image.pages_used() * PAGE as u64;
            let space = match core.capacity {
                None => Space { total: u64::MAX, available: u64::MAX },
                Some(total) => Space { total, available: total.saturating_sub(used) },
            };
            Ok((space, 0))
        })
    }
}

/// What a handle was opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

#[derive(Debug)]
struct FaultFile {
    disk: FaultDisk,
    path: Arc<Path>,
    file: FileId,
    access: Access,
}

impl FaultFile {
    fn request(&self, op: Op, offset: u64, len: usize) -> Request {
        Request { op, path: Arc::clone(&self.path), file: Some(self.file), offset, len }
    }

    fn need_write(&self) -> io::Result<()> {
        match self.access {
            Access::Write => Ok(()),
            Access::Read => Err(Errno::BADF.into()),
        }
    }

    fn need_size(end: Option<u64>) -> io::Result<()> {
        if end.is_some_and(|end| end <= FILE_BYTES_MAX) { Ok(()) } else { Err(Errno::FBIG.into()) }
    }

    fn sync(&self, op: Op) -> io::Result<()> {
        self.disk.call(&self.request(op, 0, 0), |core, _| Ok((core.image.sync_file(self.file), 0)))
    }
}

impl File for FaultFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.call(&self.request(Op::Read, offset, buf.len()), |core, limit| {
            let n = core.image.files[self.file].cache.read(offset, &mut buf[..limit]);
            Ok((n, n))
        })
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.disk.call(&self.request(Op::Write, offset, buf.len()), |core, limit| {
            self.need_write()?;
            Self::need_size(offset.checked_add(buf.len() as u64))?;
            let n = core.room(self.file, offset, limit);
            if n == 0 && !buf.is_empty() {
                return Err(Errno::NOSPC.into());
            }
            core.image.write(self.file, offset, &buf[..n]);
            Ok((n, n))
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(Op::SyncData)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync(Op::SyncAll)
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.call(&self.request(Op::Len, 0, 0), |core, _| {
            Ok((core.image.files[self.file].cache.len(), 0))
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.call(&self.request(Op::SetLen, len, 0), |core, _| {
            self.need_write()?;
            Self::need_size(Some(len))?;
            Ok((core.image.set_len(self.file, len), 0))
        })
    }

    fn evict(&self, from: u64, len: u64) -> io::Result<()> {
        let bytes = usize::try_from(len).unwrap_or(usize::MAX);
        self.disk.call(&self.request(Op::Evict, from, bytes), |core, _| {
            Ok((core.image.evict(self.file, from, from.saturating_add(len)), bytes))
        })
    }
}

#[derive(Debug)]
struct FaultLock {
    disk: FaultDisk,
    file: FileId,
}

impl Lock for FaultLock {}

impl Drop for FaultLock {
    fn drop(&mut self) {
        self.disk.core().locks.remove(&self.file);
    }
}
