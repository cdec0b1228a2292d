//! Making a plan true: copies into the quarantine, one fresh segment, the manifest, and only then
//! the originals go.
//!
//! The rename of the fresh segment is the whole decision. Before it, open refuses as it did; after
//! it, the log is the salvaged one. The originals are copied first, durably, because from the
//! rename on an open takes them for leftovers of a recovery and removes them.

use std::io;
use std::path::{Path, PathBuf};

use base::io::{DiskRef, File, Open, read_full_at, write_all_at};
use base::words::{DatabaseId, Lsn};

use super::plan::{Plan, last_lsn};
use super::sources::{Event, Sources, read};
use crate::claims::{Claims, Spare};
use crate::error::{Damage, Op, Result, WalError};
use crate::frame::{self, HEADER_BYTES, Header, Kind, Place, Seed};
use crate::segment::{self, FileName};

/// Directory for what a salvage set aside.
pub(crate) const QUARANTINE: &str = "quarantine";
const CHUNK: usize = 1024 * 1024;
const GAP_BYTES: usize = frame::frame_bytes(8);

/// Copies `originals` into the quarantine under their own names and puts `report` beside them,
/// durable on return. A copy that a salvage left that failed is written again: nobody knows how much
/// of it is durable.
pub(crate) fn quarantine(
    disk: &DiskRef,
    dir: &Path,
    copies: &[(PathBuf, PathBuf)],
    report: (&Path, &str),
) -> Result<()> {
    let to = dir.join(QUARANTINE);
    if disk.stat(&to).map_err(|e| WalError::io(Op::Read, &to, e))?.is_none() {
        disk.create_dir(&to).map_err(|e| WalError::io(Op::Write, &to, e))?;
    }
    disk.sync_dir(dir).map_err(|e| WalError::io(Op::Sync, dir, e))?;
    for (from, copy) in copies {
        copy_file(disk, from, copy)?;
    }
    let (path, text) = report;
    write_file(disk, path, |file| write_all_at(file, text.as_bytes(), 0))?;
    disk.sync_dir(&to).map_err(|e| WalError::io(Op::Sync, &to, e))
}

/// Where the copy of `from` is or will be: under its own name, or a numbered one when another
/// file has that.
pub(crate) fn place(disk: &DiskRef, dir: &Path, from: &Path) -> Result<PathBuf> {
    let name = from.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    let mut number = 0_u32;
    loop {
        let candidate = match number {
            0 => name.clone(),
            n => format!("{name}.{n}"),
        };
        let path = dir.join(QUARANTINE).join(candidate);
        let taken = disk.stat(&path).map_err(|e| WalError::io(Op::Read, &path, e))?;
        if taken.is_none() || same(disk, from, &path)? {
            return Ok(path);
        }
        number += 1;
    }
}

fn same(disk: &DiskRef, a: &Path, b: &Path) -> Result<bool> {
    let open =
        |path: &Path| disk.open(path, Open::Read).map_err(|e| WalError::io(Op::Open, path, e));
    let (one, other) = (open(a)?, open(b)?);
    let fail = |path: &Path| {
        let path = path.to_path_buf();
        move |e| WalError::io(Op::Read, path, e)
    };
    let (mut left, mut right) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut at = 0;
    loop {
        let n = read_full_at(&*one, &mut left, at).map_err(fail(a))?;
        let m = read_full_at(&*other, &mut right, at).map_err(fail(b))?;
        if n != m || left.get(..n) != right.get(..n) {
            return Ok(false);
        }
        if n < CHUNK {
            return Ok(true);
        }
        at += n as u64;
    }
}

/// Writes a file under a temporary name, syncs it and gives it its own.
fn write_file(
    disk: &DiskRef,
    path: &Path,
    fill: impl FnOnce(&dyn File) -> io::Result<()>,
) -> Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    if disk.stat(&partial).map_err(|e| WalError::io(Op::Read, &partial, e))?.is_some() {
        disk.remove_file(&partial).map_err(|e| WalError::io(Op::Write, &partial, e))?;
    }
    let file =
        disk.open(&partial, Open::CreateNew).map_err(|e| WalError::io(Op::Open, &partial, e))?;
    let filled = fill(&*file).map_err(|e| WalError::io(Op::Write, &partial, e));
    let synced = filled
        .and_then(|()| file.sync_all().map_err(|e| WalError::io(Op::Sync, &partial, e)))
        .and_then(|()| {
            disk.rename(&partial, path).map_err(|e| WalError::io(Op::Write, &partial, e))
        });
    if synced.is_err() && disk.remove_file(&partial).is_err() {
        tracing::warn!(path = %partial.display(), "a partial copy is left behind");
    }
    synced
}

fn copy_file(disk: &DiskRef, from: &Path, to: &Path) -> Result<()> {
    let source = disk.open(from, Open::Read).map_err(|e| WalError::io(Op::Open, from, e))?;
    write_file(disk, to, |file| {
        let mut buffer = vec![0; CHUNK];
        let mut at = 0;
        loop {
            let n = read_full_at(&*source, &mut buffer, at)?;
            write_all_at(file, buffer.get(..n).unwrap_or_default(), at)?;
            at += n as u64;
            if n < CHUNK {
                return Ok(());
            }
        }
    })
}

/// What the fresh segment is made from.
pub(crate) struct Fresh<'a> {
    pub(crate) disk: &'a DiskRef,
    pub(crate) dir: &'a Path,
    pub(crate) database: DatabaseId,
    pub(crate) sequence: u64,
    pub(crate) now_ms: u64,
    pub(crate) plan: &'a Plan,
    pub(crate) sources: &'a Sources,
    /// LSNs behind which a gap is begun anew: a reader or a manifest may stand there.
    pub(crate) borders: [Lsn; 2],
}

impl Fresh<'_> {
    /// Writes the segment, durable with its name on return.
    pub(crate) fn publish(&self) -> Result<()> {
        let gaps = self.gaps();
        let bytes = self.plan.tail_bytes + (gaps.len() * GAP_BYTES) as u64;
        let size = (segment::HEADER_BYTES as u64 + bytes).next_multiple_of(segment::ALIGN);
        let claims =
            Claims::new(DiskRef::clone(self.disk), None, self.dir, self.sources.max_number);
        let spare = claims.make(size.max(segment::BYTES_MIN))?;
        if let Err(e) = self.fill(&spare, &gaps) {
            claims.discard(spare);
            return Err(e);
        }
        let path = FileName::Segment(self.sequence).path(self.dir);
        self.disk
            .rename(&spare.path, &path)
            .map_err(|e| WalError::io(Op::Write, &spare.path, e))?;
        self.disk.sync_dir(self.dir).map_err(|e| WalError::io(Op::Sync, self.dir, e))
    }

    /// The lost ranges, begun anew behind every border inside one.
    fn gaps(&self) -> Vec<(Lsn, Lsn)> {
        let mut borders = self.borders;
        borders.sort_unstable();
        let mut gaps = Vec::new();
        for range in &self.plan.lost {
            let mut from = range.from;
            for border in borders {
                if from <= border && border < range.to {
                    gaps.push((from, border));
                    from = border.next();
                }
            }
            gaps.push((from, range.to));
        }
        gaps
    }

    fn fill(&self, spare: &Spare, gaps: &[(Lsn, Lsn)]) -> Result<()> {
        let cut = &self.plan.cut;
        let header = segment::Header {
            database: self.database,
            sequence: self.sequence,
            first_lsn: cut.last.next(),
            previous: cut.sequence,
            previous_end: cut.end,
            hint: cut.last,
            created_ms: self.now_ms,
            chain: cut.chain,
        };
        write_all_at(&*spare.file, &header.encode(), 0)
            .map_err(|e| WalError::io(Op::Write, &spare.path, e))?;
        let mut tail = Tail {
            spare,
            seed: Seed::new(self.database, self.sequence),
            hint: cut.last,
            buffer: Vec::new(),
            at: segment::HEADER_BYTES as u64,
            next: cut.last.next(),
            wall_ms: 0,
            gaps,
        };
        read(&self.sources.list, |event| match event {
            Event::Frame { header, payload, .. } if !header.kind.is_hint() => {
                tail.frame(header, payload, self.plan.last)
            }
            Event::Frame { .. } | Event::Segment(_) | Event::Bad { .. } => Ok(()),
        })?;
        tail.close_gaps(self.plan.last.next())?;
        tail.flush()?;
        if tail.next != self.plan.last.next() {
            return Err(self.changed(tail.next));
        }
        spare.file.sync_data().map_err(|e| WalError::io(Op::Sync, &spare.path, e))
    }

    fn changed(&self, at: Lsn) -> WalError {
        WalError::Corrupt(Box::new(Damage {
            segment: self.sequence,
            offset: 0,
            lost_from: at,
            lost_to: self.plan.last,
            what: "the log changed while it was salvaged",
        }))
    }
}

/// The frames of the fresh segment on their way.
struct Tail<'a> {
    spare: &'a Spare,
    seed: Seed,
    hint: Lsn,
    buffer: Vec<u8>,
    at: u64,
    /// The LSN to be written next.
    next: Lsn,
    wall_ms: u64,
    gaps: &'a [(Lsn, Lsn)],
}

impl Tail<'_> {
    fn frame(&mut self, header: &Header, payload: &[u8], last: Lsn) -> Result<()> {
        self.wall_ms = if header.lsn < self.next { header.wall_ms } else { self.wall_ms };
        self.close_gaps(header.lsn)?;
        if header.lsn != self.next || header.lsn > last {
            return Ok(());
        }
        self.wall_ms = header.wall_ms;
        self.push(header, payload)?;
        self.next = last_lsn(header, payload).next();
        Ok(())
    }

    /// Writes the gaps that are due before `lsn`.
    fn close_gaps(&mut self, lsn: Lsn) -> Result<()> {
        while let Some(((from, to), rest)) = self.gaps.split_first()
            && *from == self.next
            && *from <= lsn
        {
            let payload = to.0.to_le_bytes();
            let header = Header {
                len: 8,
                lsn: *from,
                hint: Lsn::ZERO,
                wall_ms: self.wall_ms,
                kind: Kind::Gap,
                place: Place::Last,
                tx_index: 0,
                payload_crc: crc32c::crc32c(&payload),
            };
            self.push(&header, &payload)?;
            self.next = to.next();
            self.gaps = rest;
        }
        Ok(())
    }

    fn push(&mut self, header: &Header, payload: &[u8]) -> Result<()> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&header.encode());
        self.buffer.extend_from_slice(payload);
        self.buffer.resize(start + header.frame_bytes(), 0);
        let sealed = self.buffer.get_mut(start..start + HEADER_BYTES).unwrap_or_default();
        frame::seal(sealed, self.hint, self.seed);
        if self.buffer.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        write_all_at(&*self.spare.file, &self.buffer, self.at)
            .map_err(|e| WalError::io(Op::Write, &self.spare.path, e))?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
