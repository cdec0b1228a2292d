//! What a salvage reads: every segment file that may belong to the log, damaged headers included.
//!
//! A frame verifies with the database's UUID and the sequence in the file's name alone, so a
//! segment whose header is gone can still be read. What its header would have said is replaced by
//! what is around it: the segment before it is the next lower file, and that one ends where this
//! one's first frame takes over (`cap`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::io::{DiskRef, EntryKind, FileRef, Open, read_full_at};
use base::words::{DatabaseId, Lsn};

use crate::anchor::LogState;
use crate::error::{Op, Result, WalError};
use crate::frame::{self, LSN_MAX, Seed};
use crate::scan::{Scanner, Step, look_behind};
use crate::segment::{self, FileName, Header, HeaderError};

/// One segment file.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) sequence: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: FileRef,
    pub(crate) seed: Seed,
    pub(crate) header: std::result::Result<Header, HeaderError>,
    /// LSN of its first frame: the header's, else that of the first frame that can be read.
    pub(crate) first: Option<Lsn>,
    /// Position in its transaction of the first frame.
    pub(crate) first_tx_index: u32,
    /// Where it ends, bytes.
    pub(crate) end: u64,
    /// Whether the next segment's header says so, or it is only the end of the file.
    pub(crate) end_known: bool,
    /// Frames from this LSN on are replaced by a later segment's.
    pub(crate) cap: Lsn,
    /// A segment that its header names as the one before it, and that is not there.
    pub(crate) missing_before: Option<u64>,
    /// Highest hint in any of its valid headers.
    hint: Lsn,
}

/// The segment files of a directory, by sequence: path and length.
pub(crate) type Files = BTreeMap<u64, (PathBuf, u64)>;

/// All that a salvage knows of a directory.
#[derive(Debug)]
pub(crate) struct Sources {
    /// From the segment where replay starts on, the oldest first.
    pub(crate) list: Vec<Source>,
    /// Every segment file from the manifest's first one on, whether it is part of the log or not.
    pub(crate) files: Files,
    /// Highest LSN that any header, frame or the manifest says was durable.
    pub(crate) durable: Lsn,
    /// Highest sequence of any segment file or the manifest.
    pub(crate) max_sequence: u64,
    /// Highest number in the name of a spare or spool.
    pub(crate) max_number: u64,
}

/// Lists the segment files of `dir` from `first` on.
fn list(disk: &DiskRef, dir: &Path, first: u64) -> Result<(Files, u64)> {
    let mut files = Files::new();
    let mut max_number = 0;
    let entries = disk.list(dir).map_err(|e| WalError::io(Op::Read, dir, e))?;
    for entry in entries.iter().filter(|entry| entry.kind == EntryKind::File) {
        match FileName::parse(&entry.name) {
            Some(name @ FileName::Segment(sequence)) if sequence >= first => {
                files.insert(sequence, (name.path(dir), entry.len));
            }
            Some(FileName::Spare(number) | FileName::Spool(number)) => {
                max_number = max_number.max(number);
            }
            Some(FileName::Segment(_)) | None => {}
        }
    }
    Ok((files, max_number))
}

/// Reads the header of the segment file at `path`, whosever it is.
pub(crate) fn read_header(
    disk: &DiskRef,
    path: &Path,
) -> Result<(FileRef, std::result::Result<Header, HeaderError>)> {
    let file = disk.open(path, Open::Read).map_err(|e| WalError::io(Op::Open, path, e))?;
    let mut bytes = [0; segment::HEADER_BYTES];
    let got = read_full_at(&*file, &mut bytes, 0).map_err(|e| WalError::io(Op::Read, path, e))?;
    let header =
        if got < bytes.len() { Err(HeaderError::Damaged) } else { Header::decode_any(&bytes) };
    Ok((file, header))
}

/// The database whose id most segment headers carry, and the newest segment that does.
pub(crate) fn identify(disk: &DiskRef, dir: &Path) -> Result<Option<(DatabaseId, u64)>> {
    let mut votes: BTreeMap<[u8; 16], (usize, u64)> = BTreeMap::new();
    for (sequence, (path, _)) in list(disk, dir, 0)?.0 {
        if let (_, Ok(header)) = read_header(disk, &path)? {
            let vote = votes.entry(*header.database.as_bytes()).or_default();
            *vote = (vote.0 + 1, sequence);
        }
    }
    let winner = votes.into_iter().max_by_key(|(_, vote)| *vote);
    Ok(winner.map(|(uuid, (_, sequence))| (DatabaseId::from_bytes(uuid), sequence)))
}

impl Sources {
    /// Gathers what belongs to the log that `state` describes. `replay_lsn` tells where to begin:
    /// what is wholly before it stays as it is.
    pub(crate) fn gather(disk: &DiskRef, dir: &Path, state: &LogState) -> Result<Self> {
        let (files, max_number) = list(disk, dir, state.first_segment)?;
        let newest = files.last_key_value().map_or(0, |(sequence, _)| *sequence);
        let mut sources = Self {
            list: Vec::new(),
            files,
            durable: state.durable_lsn,
            max_sequence: newest.max(state.newest_segment),
            max_number,
        };
        sources.link(disk, state)?;
        sources.durable =
            sources.list.iter().map(|source| source.hint).fold(sources.durable, Lsn::max);
        sources.list.reverse();
        Ok(sources)
    }

    /// Goes back from the newest file to where replay starts.
    fn link(&mut self, disk: &DiskRef, state: &LogState) -> Result<()> {
        let mut end = None;
        let mut cap = Lsn(LSN_MAX + 1);
        let mut at = self.files.last_key_value().map(|(sequence, _)| *sequence);
        while let Some(sequence) = at {
            let Some((path, len)) = self.files.get(&sequence) else { break };
            let mut source = examine(disk, state.database, sequence, path, *len, end, cap)?;
            cap = source.first.map_or(cap, |first| first.min(cap));
            let lower = self.files.range(..sequence).next_back().map(|(sequence, _)| *sequence);
            at = match &source.header {
                Err(_) => {
                    end = None;
                    lower
                }
                Ok(header) => {
                    let replayed = header.first_lsn <= state.replay_lsn.next();
                    let oldest = header.previous < state.first_segment.max(1);
                    let there = self.files.contains_key(&header.previous);
                    if oldest || (replayed && (source.first_tx_index == 0 || !there)) {
                        None
                    } else if there {
                        end = Some(header.previous_end);
                        Some(header.previous)
                    } else {
                        end = None;
                        source.missing_before = Some(header.previous);
                        let below = self.files.range(..header.previous).next_back();
                        below.map(|(sequence, _)| *sequence)
                    }
                }
            };
            self.list.push(source);
        }
        Ok(())
    }
}

fn examine(
    disk: &DiskRef,
    database: DatabaseId,
    sequence: u64,
    path: &Path,
    len: u64,
    end: Option<u64>,
    cap: Lsn,
) -> Result<Source> {
    let (file, header) = read_header(disk, path)?;
    let header = header.and_then(|header| match header {
        h if h.database != database => Err(HeaderError::Database(h.database)),
        h if h.sequence != sequence => Err(HeaderError::Sequence(h.sequence)),
        h => Ok(h),
    });
    if let Err(e @ HeaderError::Version(_)) = header {
        let why = format!("segment={sequence}: {}", e.what());
        return Err(WalError::Salvage(Arc::from(why)));
    }
    let mut source = Source {
        sequence,
        path: path.to_path_buf(),
        file,
        seed: Seed::new(database, sequence),
        header,
        first: header.ok().map(|header| header.first_lsn),
        first_tx_index: 0,
        end: end.unwrap_or(len),
        end_known: end.is_some(),
        cap,
        missing_before: None,
        hint: header.map_or(Lsn::ZERO, |header| header.hint),
    };
    source.look().map_err(|e| WalError::io(Op::Read, path, e))?;
    Ok(source)
}

impl Source {
    /// A scan of its frames from the first on.
    pub(crate) fn scanner(&self) -> Scanner {
        let begin = segment::HEADER_BYTES as u64;
        Scanner::new(FileRef::clone(&self.file), self.seed, begin, self.end)
    }

    /// Collects the hints, also those of headers whose payload is gone, and the first LSN.
    fn look(&mut self) -> std::io::Result<()> {
        let mut scanner = self.scanner();
        let mut frames = 0_u64;
        loop {
            match scanner.step()? {
                Step::Frame { header, .. } => {
                    self.hint = self.hint.max(header.hint);
                    if header.kind.is_hint() {
                        continue;
                    }
                    if frames == 0 && self.first.is_none_or(|first| first == header.lsn) {
                        self.first_tx_index = header.tx_index;
                    }
                    self.first.get_or_insert(header.lsn);
                    frames += 1;
                }
                Step::End => return Ok(()),
                Step::Bad { .. } => {
                    let from = scanner.offset();
                    let more = scanner.resync()?;
                    let to = if more { scanner.offset() } else { self.end };
                    self.hint = self.hint.max(look_behind(&self.file, self.seed, from, to)?.hint);
                    if !more {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// What reading the sources in order meets.
pub(crate) enum Event<'a> {
    /// The frames of the source with this index follow.
    Segment(usize),
    /// A valid frame that no later segment replaces, hints included.
    Frame {
        header: &'a frame::Header,
        payload: &'a [u8],
        /// Its header's checksum.
        crc: u32,
        /// Where it ends in its segment, bytes.
        end: u64,
    },
    /// Bytes that are not a frame where one should stand; the next event is behind them.
    Bad {
        /// Where, bytes.
        offset: u64,
        what: &'static str,
        /// Whether frames must have stood here, or it may be the end.
        certain: bool,
    },
}

/// Reads all sources in order, jumping over what is bad.
pub(crate) fn read(list: &[Source], mut visit: impl FnMut(Event<'_>) -> Result<()>) -> Result<()> {
    for (index, source) in list.iter().enumerate() {
        visit(Event::Segment(index))?;
        let fail = |e| WalError::io(Op::Read, &source.path, e);
        let mut scanner = source.scanner();
        loop {
            match scanner.step().map_err(fail)? {
                Step::Frame { header, .. } if header.lsn >= source.cap => {}
                Step::Frame { header, crc, .. } => {
                    let (payload, end) = (scanner.payload(), scanner.offset());
                    visit(Event::Frame { header: &header, payload, crc, end })?;
                }
                Step::End => {
                    let offset = scanner.offset();
                    if source.end_known && offset < source.end {
                        let what = "the segment ends early";
                        visit(Event::Bad { offset, what, certain: true })?;
                    }
                    break;
                }
                Step::Bad { what } => {
                    let offset = scanner.offset();
                    let more = scanner.resync().map_err(fail)?;
                    visit(Event::Bad { offset, what, certain: more || source.end_known })?;
                    if !more {
                        break;
                    }
                }
            }
        }
    }
    Ok(())
}
