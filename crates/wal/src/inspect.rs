//! Looking at a log without touching it: what is in its files and what opening it would do.
//!
//! Nothing is written and no lock is taken, so a log in use can be looked at; what its process is
//! just writing may then look like a torn tail. No damage makes this fail: it is what is reported.
//! Memory is bounded by one frame and the number of segments and damaged places.
//!
//! What it is not: it never decides anything. [`Verdict`] comes from the code that opens logs.

use std::path::{Path, PathBuf};

use base::io::{DiskRef, EntryKind, FileRef};
use base::words::{CollectionId, DatabaseId, DocId, Lsn, Name};

use crate::anchor::{FileAnchor, LogState};
use crate::error::{Op, Result, WalError};
use crate::frame::{Header, Kind, Place, Seed};
use crate::options::Options;
use crate::payload;
use crate::salvage::{diagnose, identify, read_header};
use crate::scan::{Scanner, Step};
use crate::segment::{self, FileName, HeaderError};

/// What a look at a log found.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// The database, when anything says which.
    pub database: Option<DatabaseId>,
    /// The manifest's part, or why it cannot be read; `None` for a single segment file.
    pub manifest: Option<std::result::Result<LogState, String>>,
    /// Every segment file, the oldest first.
    pub segments: Vec<SegmentInspection>,
    /// Spares, spools and other files of the log that hold nothing of it.
    pub leftovers: Vec<(PathBuf, u64)>,
    /// What opening would do; `None` for a single segment file.
    pub verdict: Option<Verdict>,
}

/// Whether a segment file is part of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The headers lead to it.
    Log,
    /// Nothing names it: it was trimmed, or replaced by a recovery.
    Leftover,
    /// Its header is damaged or newer headers are, so nothing says.
    Unclear,
}

/// One segment file.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentInspection {
    /// The file.
    pub path: PathBuf,
    /// The sequence in its name, else in its header.
    pub sequence: u64,
    /// Length of the file, bytes.
    pub len: u64,
    /// Its header, or what is wrong with it.
    pub header: std::result::Result<segment::Header, HeaderError>,
    /// Whether it is part of the log.
    pub role: Role,
    /// Frames per kind, in the order of their numbers; kinds without a frame are left out.
    pub kinds: Vec<(Kind, u64)>,
    /// First and last LSN of its frames.
    pub lsns: Option<(Lsn, Lsn)>,
    /// Transactions that end in it.
    pub transactions: u64,
    /// Bytes of payload.
    pub payload_bytes: u64,
    /// Highest durable hint in it.
    pub hint: Lsn,
    /// Places where a frame should stand and does not, though valid ones follow.
    pub damaged: Vec<(u64, &'static str)>,
    /// Where its frames end, bytes.
    pub end: u64,
    /// Why they end there.
    pub ending: Ending,
}

/// Why the frames of a segment end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The next segment's header says so.
    Continued,
    /// The log was closed here.
    Closed,
    /// Only zeros follow.
    Free,
    /// Something follows that is not a frame: a write that was interrupted, or damage.
    Torn(&'static str),
    /// The next segment's header says that there is more than there is.
    Short(&'static str),
}

/// What opening the log would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Open it without writing to it.
    OpensClean {
        /// Its last LSN.
        last: Lsn,
    },
    /// Recover it first.
    Recovers {
        /// Its last LSN afterwards.
        last: Lsn,
        /// LSNs behind the last durable hint, which are written again.
        rewritten: u64,
        /// Intact frames behind its end that are cut.
        cut: u64,
    },
    /// Refuse, and say this.
    Refuses(String),
}

/// One frame as a look sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameInspection {
    /// Sequence of its segment.
    pub segment: u64,
    /// Where it stands, bytes.
    pub offset: u64,
    /// Its header.
    pub header: Header,
    /// The document it changes, when it changes one.
    pub key: Option<(CollectionId, DocId)>,
    /// The collection that it makes, with its name, or that it drops or sets a property of.
    pub collection: Option<(CollectionId, Option<Name>)>,
    /// The LSN in its payload: of a checkpoint, or the last one of a gap.
    pub payload_lsn: Option<Lsn>,
}

/// Looks at the log directory or the segment file `path`. `see` gets every valid frame in order of
/// segment and offset, those behind damage and in leftovers too.
///
/// # Errors
/// The disk's, and `FileOpen` when there is no log at `path`. Damage is no error.
pub fn inspect(
    disk: &DiskRef,
    path: &Path,
    see: &mut dyn FnMut(&FrameInspection),
) -> Result<Inspection> {
    let stat = disk.stat(path).map_err(|e| WalError::io(Op::Read, path, e))?;
    match stat.map(|stat| stat.kind) {
        Some(EntryKind::Directory) => inspect_dir(disk, path, see),
        Some(EntryKind::File) => inspect_file(disk, path, stat.map_or(0, |stat| stat.len), see),
        Some(EntryKind::Other) | None => Err(WalError::NoLog(path.to_path_buf())),
    }
}

fn inspect_file(
    disk: &DiskRef,
    path: &Path,
    len: u64,
    see: &mut dyn FnMut(&FrameInspection),
) -> Result<Inspection> {
    let (file, header) = read_header(disk, path)?;
    let name = path.file_name().and_then(|name| name.to_str()).and_then(FileName::parse);
    let named = match name {
        Some(FileName::Segment(sequence)) => Some(sequence),
        Some(FileName::Spare(_) | FileName::Spool(_)) | None => None,
    };
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A damaged header does not say whose frames these are; what lies beside it may.
    let database = match &header {
        Ok(header) => Some(header.database),
        Err(_) => match FileAnchor::peek(disk, dir) {
            Ok(state) => Some(state.database),
            Err(_) => identify(disk, dir)?.map(|(database, _)| database),
        },
    };
    let sequence = named.or_else(|| header.ok().map(|header| header.sequence));
    let (Some(database), Some(sequence)) = (database, sequence) else {
        return Err(WalError::NoLog(path.to_path_buf()));
    };
    let file = SegmentFile { path: path.to_path_buf(), file, len, header, sequence };
    let segment = look(file, database, None, see)?;
    Ok(Inspection {
        database: Some(database),
        manifest: None,
        segments: vec![segment],
        leftovers: Vec::new(),
        verdict: None,
    })
}

fn inspect_dir(
    disk: &DiskRef,
    dir: &Path,
    see: &mut dyn FnMut(&FrameInspection),
) -> Result<Inspection> {
    let identity = identify(disk, dir)?;
    let manifest = match FileAnchor::peek(disk, dir) {
        Ok(state) => Ok(state),
        Err(e @ WalError::Manifest(_)) => Err(e.to_string()),
        Err(e) => return Err(e),
    };
    if identity.is_none() && manifest.is_err() && FileAnchor::files(disk, dir)?.is_empty() {
        return Err(WalError::NoLog(dir.to_path_buf()));
    }
    let database = manifest.as_ref().map(|state| state.database).ok();
    let database = database.or(identity.map(|(database, _)| database));
    let mut files = Vec::new();
    let mut leftovers = Vec::new();
    for entry in disk.list(dir).map_err(|e| WalError::io(Op::Read, dir, e))? {
        if entry.kind != EntryKind::File {
            continue;
        }
        let path = dir.join(&entry.name);
        match FileName::parse(&entry.name) {
            Some(FileName::Segment(sequence)) => {
                let (file, header) = match read_header(disk, &path) {
                    Ok(read) => read,
                    // The process that has the log may have removed it just now.
                    Err(_) if matches!(disk.stat(&path), Ok(None)) => continue,
                    Err(e) => return Err(e),
                };
                files.push(SegmentFile { path, file, len: entry.len, header, sequence });
            }
            Some(FileName::Spare(_) | FileName::Spool(_)) => leftovers.push((path, entry.len)),
            None => {}
        }
    }
    files.sort_by_key(|file| file.sequence);
    let roles = roles(&files, database, manifest.as_ref().map_or(0, |s| s.first_segment));
    let mut segments = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let next = files.iter().skip(index + 1).find_map(|next| {
            let header = next.header.ok()?;
            let named = header.previous == file.sequence && roles.contains_key(&next.sequence);
            named.then_some(header.previous_end)
        });
        let id = database.unwrap_or(DatabaseId::from_bytes([0; 16]));
        let mut segment = look(file.clone(), id, next, see)?;
        segment.role = roles.get(&file.sequence).copied().unwrap_or(Role::Leftover);
        segments.push(segment);
    }
    let verdict = match &manifest {
        Err(what) => Verdict::Refuses(what.clone()),
        Ok(state) => verdict(disk, dir, state)?,
    };
    Ok(Inspection {
        database,
        manifest: Some(manifest),
        segments,
        leftovers,
        verdict: Some(verdict),
    })
}

fn verdict(disk: &DiskRef, dir: &Path, state: &LogState) -> Result<Verdict> {
    match diagnose(disk, dir, state, &Options::default()) {
        Ok(None) => Ok(Verdict::OpensClean { last: Lsn::ZERO }),
        Ok(Some(walk)) if walk.closed => Ok(Verdict::OpensClean { last: walk.last }),
        Ok(Some(walk)) => Ok(Verdict::Recovers {
            last: walk.last,
            rewritten: walk.last.0.saturating_sub(walk.durable.0),
            cut: walk.cut_frames,
        }),
        Err(e @ (WalError::Corrupt(_) | WalError::Manifest(_))) => {
            Ok(Verdict::Refuses(e.to_string()))
        }
        Err(e) => Err(e),
    }
}

#[derive(Debug, Clone)]
struct SegmentFile {
    path: PathBuf,
    file: FileRef,
    len: u64,
    header: std::result::Result<segment::Header, HeaderError>,
    sequence: u64,
}

/// What each file is, by its sequence; leftovers are left out.
fn roles(
    files: &[SegmentFile],
    database: Option<DatabaseId>,
    first: u64,
) -> std::collections::BTreeMap<u64, Role> {
    let mut roles = std::collections::BTreeMap::new();
    let mut below = u64::MAX;
    let mut role = Role::Log;
    for file in files.iter().rev().filter(|file| file.sequence >= first) {
        if file.sequence > below {
            continue;
        }
        let header = file
            .header
            .ok()
            .filter(|header| Some(header.database) == database && header.sequence == file.sequence);
        match header {
            Some(header) => {
                roles.insert(file.sequence, role);
                below = header.previous;
                role = Role::Log;
            }
            None => {
                roles.insert(file.sequence, Role::Unclear);
                below = file.sequence - 1;
                role = Role::Unclear;
            }
        }
    }
    roles
}

/// Reads all of one segment. `end` is what the next one's header says.
fn look(
    file: SegmentFile,
    database: DatabaseId,
    end: Option<u64>,
    see: &mut dyn FnMut(&FrameInspection),
) -> Result<SegmentInspection> {
    let SegmentFile { path, file, len, header, sequence } = file;
    let fail = |e| WalError::io(Op::Read, &path, e);
    let begin = segment::HEADER_BYTES as u64;
    let until = end.unwrap_or(len);
    let seed = Seed::new(database, sequence);
    let mut scanner = Scanner::new(FileRef::clone(&file), seed, begin, until);
    let mut found = SegmentInspection {
        path: path.clone(),
        sequence,
        len,
        header: check_header(header, database, sequence),
        role: Role::Unclear,
        kinds: Vec::new(),
        lsns: None,
        transactions: 0,
        payload_bytes: 0,
        hint: header.map_or(Lsn::ZERO, |header| header.hint),
        damaged: Vec::new(),
        end: begin,
        ending: Ending::Free,
    };
    let mut closed = false;
    loop {
        match scanner.step().map_err(fail)? {
            Step::Frame { header, offset, .. } => {
                let frame = frame_of(sequence, offset, &header, scanner.payload());
                closed = header.kind == Kind::Close;
                found.end = scanner.offset();
                found.count(&frame);
                see(&frame);
            }
            Step::End => {
                found.ending = match end {
                    Some(end) if end == scanner.offset() => Ending::Continued,
                    Some(_) => Ending::Short("the segment ends early"),
                    None if closed => Ending::Closed,
                    None => Ending::Free,
                };
                return Ok(found);
            }
            Step::Bad { what } => {
                let offset = scanner.offset();
                if scanner.resync().map_err(fail)? {
                    found.damaged.push((offset, what));
                    continue;
                }
                found.ending = match end {
                    Some(_) => Ending::Short(what),
                    None if closed => Ending::Closed,
                    None if zeros(&file, found.end, until).map_err(fail)? => Ending::Free,
                    None => Ending::Torn(what),
                };
                return Ok(found);
            }
        }
    }
}

fn check_header(
    header: std::result::Result<segment::Header, HeaderError>,
    database: DatabaseId,
    sequence: u64,
) -> std::result::Result<segment::Header, HeaderError> {
    match header {
        Ok(h) if h.database != database => Err(HeaderError::Database(h.database)),
        Ok(h) if h.sequence != sequence => Err(HeaderError::Sequence(h.sequence)),
        other => other,
    }
}

fn zeros(file: &FileRef, from: u64, to: u64) -> std::io::Result<bool> {
    let mut buffer = vec![0; 64 * 1024];
    let mut at = from;
    while at < to {
        let want = usize::try_from(to - at).unwrap_or(usize::MAX).min(buffer.len());
        let space = buffer.get_mut(..want).unwrap_or_default();
        let got = base::io::read_full_at(&**file, space, at)?;
        if space.iter().take(got).any(|byte| *byte != 0) {
            return Ok(false);
        }
        if got < want {
            return Ok(true);
        }
        at += got as u64;
    }
    Ok(true)
}

fn frame_of(segment: u64, offset: u64, header: &Header, payload: &[u8]) -> FrameInspection {
    let lsn = matches!(header.kind, Kind::Checkpoint | Kind::Gap);
    FrameInspection {
        segment,
        offset,
        header: *header,
        key: payload::decode_key(header.kind, payload),
        collection: payload::decode_collection(header.kind, payload),
        payload_lsn: lsn.then(|| payload::decode_lsn(payload)).flatten(),
    }
}

impl SegmentInspection {
    fn count(&mut self, frame: &FrameInspection) {
        let header = &frame.header;
        match self.kinds.binary_search_by_key(&(header.kind as u8), |(kind, _)| *kind as u8) {
            Ok(at) => {
                if let Some((_, count)) = self.kinds.get_mut(at) {
                    *count += 1;
                }
            }
            Err(at) => self.kinds.insert(at, (header.kind, 1)),
        }
        self.hint = self.hint.max(header.hint);
        self.payload_bytes += u64::from(header.len);
        if header.kind.is_hint() {
            return;
        }
        self.transactions += u64::from(header.place == Place::Last);
        let last = frame.payload_lsn.filter(|_| header.kind == Kind::Gap).unwrap_or(header.lsn);
        let (from, to) = self.lsns.unwrap_or((header.lsn, last));
        self.lsns = Some((from.min(header.lsn), to.max(last)));
    }

    /// Frames of every kind.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.kinds.iter().map(|(_, count)| count).sum()
    }
}
