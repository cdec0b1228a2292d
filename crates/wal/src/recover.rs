//! Opening a log: survey, walk, settle.
//!
//! **Recovery ends with durability, before anything is served.** A new process cannot know whether
//! a sync of the old one had failed: what it reads may be in the page cache alone, and syncing
//! those pages again proves nothing, because the system thinks them clean. So everything behind
//! the last durable hint is written again into a fresh segment, synced, and named. The fresh
//! segment's header says where the one before it ends, so the rename is the whole decision: before
//! it the old files are the log, after it the new one is, and both say the same.
//!
//! A log that was closed needs none of this and is opened without a write.

use std::path::Path;
use std::sync::Arc as StdArc;

use base::io::{FileRef, Open, write_all_at};
use base::words::Lsn;

use crate::anchor::{Anchor, LogState};
use crate::catalog::{Catalog, Segment};
use crate::claims::{Claims, Spare};
use crate::error::{Damage, Op, Result, WalError};
use crate::frame::{self, HEADER_BYTES, Seed};
use crate::log::Environment;
use crate::options::Options;
use crate::reader::Frame;
use crate::scan::{Scanner, Step};
use crate::segment::{self, FileName};
use crate::shared::Shared;
use crate::survey::{Piece, Survey, survey};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;
use crate::walk::{Position, Walk, locate, walk};
use crate::writer::{Context, IDLE_TAIL_BYTES, Tail, Writer};

/// Bytes of frames copied at once.
const COPY_CHUNK: usize = 1024 * 1024;
/// Name of the lock file.
pub(crate) const LOCK_NAME: &str = "LOCK";

/// What opening a log found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// LSN of the last frame.
    pub last: Lsn,
    /// Whether the log had been closed.
    pub clean: bool,
    /// Frames read from the checkpoint on.
    pub frames_read: u64,
    /// Frames behind the last durable hint that were written again.
    pub frames_rewritten: u64,
    /// Frames behind the end that nobody was promised, and that are gone.
    pub frames_cut: u64,
    /// Damaged segments below the checkpoint that were set aside.
    pub quarantined: Vec<u64>,
}

/// Opens and recovers a log.
pub(crate) fn open(
    env: &Environment,
    dir: &Path,
    anchor: StdArc<dyn Anchor>,
    options: Options,
    replay: &mut dyn FnMut(&Frame<'_>) -> Result<()>,
) -> Result<(Arc<Shared>, Recovery)> {
    options.validate()?;
    let lock_path = dir.join(LOCK_NAME);
    let held = env.disk.lock(&lock_path).map_err(|e| {
        if e.kind() == std::io::ErrorKind::WouldBlock {
            WalError::Locked(lock_path.clone())
        } else {
            WalError::io(Op::Open, &lock_path, e)
        }
    })?;
    let state = anchor.load()?;
    let found = survey(&env.disk, dir, &state, Open::Write)?;
    let claims = Claims::new(env.disk.clone(), env.reserve.clone(), dir, found.max_number);
    let claims = Arc::new(claims);
    let cx = Context {
        disk: env.disk.clone(),
        clock: env.clock.clone(),
        dir: dir.to_path_buf(),
        database: state.database,
        options: Arc::new(options),
        claims,
        catalog: Arc::new(Catalog::default()),
        gate: Arc::default(),
    };
    let opened = if found.pieces.is_empty() {
        empty(cx, &found, state)?
    } else {
        let walked = walk(&found, &state, &cx.options, replay)?;
        settle(cx, &*anchor, &found, &walked, state)?
    };
    let Opened { cx, writer, state, wall_ms, recovery } = opened;
    for (sequence, path) in &found.quarantined {
        let to = path.with_extension("wal.quarantined");
        tracing::error!(sequence, "a damaged log segment below the checkpoint is set aside");
        env.disk.rename(path, &to).map_err(|e| WalError::io(Op::Write, path, e))?;
    }
    let reserve = env.reserve.clone();
    let shared = Shared::new(cx, anchor, state, writer, wall_ms, reserve, held);
    shared.spools.store(found.max_number + 1, Ordering::Relaxed);
    Ok((shared, recovery))
}

struct Opened {
    cx: Context,
    writer: Writer,
    state: LogState,
    wall_ms: u64,
    recovery: Recovery,
}

/// A log without segments: new, or robbed of them.
fn empty(cx: Context, found: &Survey, state: LogState) -> Result<Opened> {
    if let Some(refusal) = found.robbed(&state) {
        return Err(refusal);
    }
    remove(&cx, found.leftovers.iter().map(std::path::PathBuf::as_path));
    let writer = Writer::new(cx.clone(), Tail::default(), found.max_sequence + 1, Lsn::ZERO);
    let recovery = Recovery { clean: true, ..Recovery::default() };
    Ok(Opened { cx, writer, state, wall_ms: 0, recovery })
}

/// Removes leftovers. What cannot be removed stays a leftover.
fn remove<'a>(cx: &Context, paths: impl Iterator<Item = &'a Path>) {
    for path in paths {
        if let Err(error) = cx.disk.remove_file(path) {
            tracing::warn!(path = %path.display(), %error, "a leftover file stays");
        }
    }
}

/// Makes what the walk found the log, durably.
fn settle(
    cx: Context,
    anchor: &dyn Anchor,
    found: &Survey,
    walked: &Walk,
    mut state: LogState,
) -> Result<Opened> {
    let pieces = &found.pieces;
    let mut recovery = Recovery {
        last: walked.last,
        clean: walked.closed,
        frames_read: walked.frames,
        frames_rewritten: 0,
        frames_cut: walked.cut_frames,
        quarantined: found.quarantined.iter().map(|(sequence, _)| *sequence).collect(),
    };
    if walked.closed || planted!(cx.options, TrustPageCache) {
        let kept = publish(&cx, pieces, walked.end, walked.last);
        let writer = Writer::new(cx.clone(), kept, found.max_sequence + 1, walked.last);
        let unused = found.leftovers.iter().chain(&found.replaced);
        remove(&cx, unused.map(std::path::PathBuf::as_path));
        return Ok(Opened { cx, writer, state, wall_ms: walked.wall_ms, recovery });
    }
    if planted!(cx.options, ContinueInPlace) {
        return in_place(cx, found, walked, state, recovery);
    }
    // None of them is part of the log, and a full disk may need the room.
    remove(&cx, found.leftovers.iter().map(std::path::PathBuf::as_path));
    // The segments that the newest one replaced are still the log if power takes its name, which
    // only the manifest proves to be durable.
    let certain = pieces.last().is_some_and(|p| p.header.sequence <= state.newest_segment);
    let replaced = || found.replaced.iter().map(std::path::PathBuf::as_path);
    if certain {
        remove(&cx, replaced());
    }
    let split = split(&cx, pieces, walked)?;
    let fresh = begin_fresh(&cx, pieces, walked, &split, found.max_sequence + 1)?;
    recovery.frames_rewritten = fresh.frames;
    state.newest_segment = fresh.segment.sequence;
    state.durable_lsn = walked.last;
    if split.previous == 0 {
        state.first_segment = fresh.segment.sequence;
    } else if let Some(first) = pieces.first() {
        state.first_segment = first.header.sequence;
    }
    anchor.store(&state)?;
    if !certain {
        remove(&cx, replaced());
    }
    let kept = pieces.partition_point(|piece| piece.header.sequence <= split.previous);
    let (keep, drop) = pieces.split_at(kept);
    let tail = publish(&cx, keep, split.at, walked.durable);
    let dead = drop.iter().map(|piece| piece.path.as_path());
    remove(&cx, dead);
    shorten(keep.last(), split.at.offset);
    cx.catalog.push(Arc::clone(&fresh.segment));
    let next = fresh.segment.sequence + 1;
    let mut writer = Writer::new(cx.clone(), tail, next, walked.last);
    writer.resume(fresh.segment, fresh.file, fresh.end, fresh.chain);
    if recovery.frames_cut > 0 {
        tracing::warn!(
            frames = recovery.frames_cut,
            last = %walked.last,
            "a torn tail of the log was cut; none of it had been acknowledged as durable"
        );
    }
    Ok(Opened { cx, writer, state, wall_ms: walked.wall_ms, recovery })
}

/// Where what is known to be durable ends.
struct Split {
    /// Sequence of the segment that holds the last durable frame, 0 = none.
    previous: u64,
    at: Position,
}

fn split(cx: &Context, pieces: &[Piece], walked: &Walk) -> Result<Split> {
    let lost = || {
        let sequence = pieces.last().map_or(0, |piece| piece.header.sequence);
        WalError::Corrupt(Box::new(Damage {
            segment: sequence,
            offset: 0,
            lost_from: walked.durable,
            lost_to: walked.last,
            what: "the last durable frame cannot be found again",
        }))
    };
    // A segment that begins right behind the last durable frame may itself not be durable, not
    // even its name: the fresh one follows the segment before it.
    let begins = |piece: &&Piece| piece.header.first_lsn == walked.durable.next();
    // Only the walk's word counts: a header that it did not come to may say anything.
    let walked_to = pieces.get(..=walked.end.piece).unwrap_or_default();
    if let Some(piece) = walked_to.iter().find(begins) {
        let at =
            Position { piece: 0, offset: piece.header.previous_end, chain: piece.header.chain };
        return Ok(Split { previous: piece.header.previous, at });
    }
    let at = locate(pieces, &cx.options, walked.durable)?.ok_or_else(lost)?;
    let previous = pieces.get(at.piece).ok_or_else(lost)?.header.sequence;
    Ok(Split { previous, at })
}

/// Cuts the claimed space behind the end of a segment that takes no more frames.
fn shorten(piece: Option<&Piece>, end: u64) {
    if let Some(piece) = piece
        && piece.len > end
        && let Err(error) = piece.file.set_len(end)
    {
        tracing::warn!(%error, "claimed log space was not given back");
    }
}

/// Puts the kept segments into the catalog; returns where the last of them ends.
fn publish(cx: &Context, pieces: &[Piece], end: Position, last: Lsn) -> Tail {
    let mut tail = Tail::default();
    for (i, piece) in pieces.iter().enumerate() {
        let header = &piece.header;
        let segment =
            Segment::new(header.sequence, header.first_lsn, piece.path.clone(), piece.len);
        let (to, upto) = match pieces.get(i + 1) {
            Some(next) => (next.header.previous_end, Lsn(next.header.first_lsn.0 - 1)),
            None => {
                segment.set_size(end.offset);
                (end.offset, last)
            }
        };
        segment.advance(to, upto);
        tail = Tail { sequence: header.sequence, end: to, chain: end.chain };
        cx.catalog.push(segment);
    }
    tail
}

/// A segment that recovery wrote.
struct Fresh {
    segment: Arc<Segment>,
    file: FileRef,
    end: u64,
    chain: u32,
    frames: u64,
}

/// Writes everything behind the split into a new segment, durable with its name on return.
fn begin_fresh(
    cx: &Context,
    pieces: &[Piece],
    walked: &Walk,
    split: &Split,
    sequence: u64,
) -> Result<Fresh> {
    let (mut frames, mut total) = (0, 0);
    suffix(cx, pieces, walked, |_, frame| {
        (frames, total) = (frames + 1, total + frame.len() as u64);
        Ok(())
    })?;
    let tail = IDLE_TAIL_BYTES.min(cx.options.segment_bytes_first);
    let size = (segment::HEADER_BYTES as u64 + total + tail)
        .next_multiple_of(segment::ALIGN)
        .max(segment::BYTES_MIN);
    // A full disk must not keep a database from being opened: only an open one can be emptied.
    let spare = cx.claims.make_of_reserve(size)?;
    let written = fill_fresh(cx, pieces, walked, split, sequence, &spare);
    let (end, chain) = match written {
        Ok(done) => done,
        Err(e) => {
            cx.claims.discard(spare);
            return Err(e);
        }
    };
    let first_lsn = walked.durable.next();
    let path = FileName::Segment(sequence).path(&cx.dir);
    cx.disk.rename(&spare.path, &path).map_err(|e| WalError::io(Op::Write, &spare.path, e))?;
    cx.disk.sync_dir(&cx.dir).map_err(|e| WalError::io(Op::Sync, &cx.dir, e))?;
    let segment = Segment::new(sequence, first_lsn, path, size);
    segment.advance(end, walked.last);
    Ok(Fresh { segment, file: spare.file, end, chain, frames })
}

fn fill_fresh(
    cx: &Context,
    pieces: &[Piece],
    walked: &Walk,
    split: &Split,
    sequence: u64,
    spare: &Spare,
) -> Result<(u64, u32)> {
    let fail = |e| WalError::io(Op::Write, &spare.path, e);
    let header = segment::Header {
        database: cx.database,
        sequence,
        first_lsn: walked.durable.next(),
        previous: split.previous,
        previous_end: split.at.offset,
        hint: walked.durable,
        created_ms: cx.clock.wall().0.max(walked.wall_ms),
        chain: split.at.chain,
    };
    let seed = Seed::of(&cx.options, cx.database, sequence);
    write_all_at(&*spare.file, &header.encode(), 0).map_err(fail)?;
    let mut at = segment::HEADER_BYTES as u64;
    let mut chain = split.at.chain;
    let mut buffer: Vec<u8> = Vec::new();
    suffix(cx, pieces, walked, |header, payload_frame| {
        let start = buffer.len();
        buffer.extend_from_slice(payload_frame);
        let bytes = buffer.get_mut(start..start + HEADER_BYTES).unwrap_or_default();
        chain = frame::chain(chain, frame::seal(bytes, walked.durable.min(header.hint), seed));
        if buffer.len() >= COPY_CHUNK {
            write_all_at(&*spare.file, &buffer, at).map_err(fail)?;
            at += buffer.len() as u64;
            buffer.clear();
        }
        Ok(())
    })?;
    write_all_at(&*spare.file, &buffer, at).map_err(fail)?;
    at += buffer.len() as u64;
    spare.file.sync_data().map_err(|e| WalError::io(Op::Sync, &spare.path, e))?;
    Ok((at, chain))
}

/// Visits the frames behind the last durable one, up to the last good one, encoded.
fn suffix(
    cx: &Context,
    pieces: &[Piece],
    walked: &Walk,
    mut visit: impl FnMut(&frame::Header, &[u8]) -> Result<()>,
) -> Result<()> {
    let from = walked.durable.next();
    let start = pieces.partition_point(|piece| piece.header.first_lsn <= from).saturating_sub(1);
    let mut bytes = Vec::new();
    for (index, piece) in pieces.iter().enumerate().skip(start) {
        if index > walked.end.piece {
            break;
        }
        let end = pieces.get(index + 1).map_or(piece.len, |next| next.header.previous_end);
        let begin = segment::HEADER_BYTES as u64;
        let mut scanner = Scanner::new(piece.file.clone(), piece.seed(&cx.options), begin, end);
        loop {
            let step = scanner.step().map_err(|e| WalError::io(Op::Read, &piece.path, e))?;
            let Step::Frame { header, .. } = step else { break };
            if header.lsn > walked.last {
                break;
            }
            if header.kind.is_hint() || header.lsn < from {
                continue;
            }
            bytes.clear();
            bytes.extend_from_slice(&header.encode());
            bytes.extend_from_slice(scanner.payload());
            bytes.resize(header.frame_bytes(), 0);
            visit(&header, &bytes)?;
        }
    }
    Ok(())
}

/// The planted defect: goes on behind the cut, in the segment of the process before.
fn in_place(
    cx: Context,
    found: &Survey,
    walked: &Walk,
    state: LogState,
    recovery: Recovery,
) -> Result<Opened> {
    let pieces = &found.pieces;
    let kept = pieces.get(..=walked.end.piece).unwrap_or_default();
    publish(&cx, kept, walked.end, walked.last);
    let mut writer = Writer::new(cx.clone(), Tail::default(), found.max_sequence + 1, walked.last);
    if let (Some(piece), Some(segment)) = (kept.last(), cx.catalog.newest()) {
        piece.file.sync_data().map_err(|e| WalError::io(Op::Sync, &piece.path, e))?;
        segment.set_size(piece.len);
        writer.resume(segment, piece.file.clone(), walked.end.offset, walked.end.chain);
    }
    Ok(Opened { cx, writer, state, wall_ms: walked.wall_ms, recovery })
}
