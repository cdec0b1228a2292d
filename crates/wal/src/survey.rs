//! Looking at a log directory: which segments make up the log, and which files are leftovers.
//!
//! The newest segment's header names the one before it and where that one ends, and so on back to
//! the first: these are the log. A segment that nobody names was replaced by a recovery; a file
//! below the manifest's first segment was trimmed; spares and spools belong to a process that is
//! gone. All of those are leftovers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base::io::{DiskRef, EntryKind, FileRef, Open, read_full_at};
use base::words::{DatabaseId, Lsn};

use crate::anchor::LogState;
use crate::error::{Damage, Op, Result, WalError};
use crate::frame::Seed;
use crate::options::Options;
use crate::segment::{self, FileName, Header, HeaderError};

/// One segment of the log.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) header: Header,
    pub(crate) path: PathBuf,
    pub(crate) file: FileRef,
    pub(crate) len: u64,
}

impl Piece {
    pub(crate) fn seed(&self, options: &Options) -> Seed {
        Seed::of(options, self.header.database, self.header.sequence)
    }
}

/// What a log directory holds.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// The log, the oldest segment first.
    pub(crate) pieces: Vec<Piece>,
    /// Files that are not part of it, whatever power loss does.
    pub(crate) leftovers: Vec<PathBuf>,
    /// Segments that no header names: a recovery replaced them by the newest one.
    pub(crate) replaced: Vec<PathBuf>,
    /// Damaged segments below the replay start.
    pub(crate) quarantined: Vec<(u64, PathBuf)>,
    /// A newest segment that cannot be read, and why.
    pub(crate) bad_newest: Option<(u64, &'static str)>,
    /// Highest sequence of any segment file or the manifest.
    pub(crate) max_sequence: u64,
    /// Highest number in the name of a spare or spool: new ones get higher ones.
    pub(crate) max_number: u64,
}

impl Survey {
    /// Why a directory without a readable segment is not an empty log; `None` when it is one.
    pub(crate) fn robbed(&self, state: &LogState) -> Option<WalError> {
        let known = state.durable_lsn.max(state.replay_lsn);
        if state.newest_segment == 0 && known == Lsn::ZERO && self.bad_newest.is_none() {
            return None;
        }
        let (segment, what) =
            self.bad_newest.unwrap_or((state.newest_segment, "all segments are missing"));
        let lost_from = state.replay_lsn.next();
        let lost_to = known.max(lost_from);
        let damage = Damage { segment, offset: 0, lost_from, lost_to, what };
        Some(WalError::Corrupt(Box::new(damage)))
    }
}

/// Segment files by sequence: path and length.
type Files = BTreeMap<u64, (PathBuf, u64)>;

/// Lists `dir` and sorts out what is what. Writes nothing; `how` is how segments are opened.
pub(crate) fn survey(disk: &DiskRef, dir: &Path, state: &LogState, how: Open) -> Result<Survey> {
    state.check()?;
    let mut survey = Survey { max_sequence: state.newest_segment, ..Survey::default() };
    let mut files = Files::new();
    let entries = disk.list(dir).map_err(|e| WalError::io(Op::Read, dir, e))?;
    for entry in entries.iter().filter(|entry| entry.kind == EntryKind::File) {
        let Some(name) = FileName::parse(&entry.name) else { continue };
        let path = name.path(dir);
        match name {
            FileName::Segment(sequence) => {
                survey.max_sequence = survey.max_sequence.max(sequence);
                if sequence < state.first_segment {
                    survey.leftovers.push(path);
                } else {
                    files.insert(sequence, (path, entry.len));
                }
            }
            FileName::Spare(number) | FileName::Spool(number) => {
                survey.max_number = survey.max_number.max(number);
                survey.leftovers.push(path);
            }
        }
    }
    link(disk, state, files, &mut survey, how)?;
    Ok(survey)
}

/// Follows the headers back from the newest segment.
fn link(
    disk: &DiskRef,
    state: &LogState,
    mut files: Files,
    survey: &mut Survey,
    how: Open,
) -> Result<()> {
    let Some((newest, _)) = files.last_key_value() else { return Ok(()) };
    if *newest < state.newest_segment {
        survey.bad_newest = Some((state.newest_segment, "the newest segment is missing"));
    }
    let mut next = None;
    while let Some((sequence, (path, len))) = files.pop_last() {
        match open(disk, &path, len, (state.database, sequence), how)? {
            Ok(piece) => {
                next = Some(piece);
                break;
            }
            Err(e) if survey.bad_newest.is_none() => {
                survey.bad_newest = Some((sequence, e.what()));
            }
            Err(_) => {}
        }
    }
    while let Some(piece) = next.take() {
        let previous = piece.header.previous;
        let replayed = piece.header.first_lsn <= state.replay_lsn.next();
        let first = piece.header.first_lsn;
        survey.pieces.push(piece);
        if previous < state.first_segment.max(1) {
            break;
        }
        let found = match files.remove(&previous) {
            Some((path, len)) => match open(disk, &path, len, (state.database, previous), how)? {
                Ok(piece) => Ok(piece),
                Err(e) => Err((Some(path), e.what())),
            },
            None => Err((None, "a segment is missing")),
        };
        match found {
            Ok(piece) => next = Some(piece),
            Err((path, _)) if replayed => {
                survey.quarantined.extend(path.map(|path| (previous, path)));
                break;
            }
            Err((_, what)) => {
                return Err(WalError::Corrupt(Box::new(Damage {
                    segment: previous,
                    offset: 0,
                    lost_from: state.replay_lsn.next(),
                    lost_to: Lsn(first.0 - 1),
                    what,
                })));
            }
        }
    }
    survey.pieces.reverse();
    survey.replaced.extend(files.into_values().map(|(path, _)| path));
    Ok(())
}

fn open(
    disk: &DiskRef,
    path: &Path,
    len: u64,
    (database, sequence): (DatabaseId, u64),
    how: Open,
) -> Result<std::result::Result<Piece, HeaderError>> {
    let file = disk.open(path, how).map_err(|e| WalError::io(Op::Open, path, e))?;
    let mut bytes = [0; segment::HEADER_BYTES];
    let got = read_full_at(&*file, &mut bytes, 0).map_err(|e| WalError::io(Op::Read, path, e))?;
    if got < segment::HEADER_BYTES {
        return Ok(Err(HeaderError::Damaged));
    }
    let header = Header::decode(&bytes, database, sequence);
    Ok(header.map(|header| Piece { header, path: path.to_path_buf(), file, len }))
}
