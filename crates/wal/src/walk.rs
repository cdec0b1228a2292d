//! Reading the log at open: from the checkpoint to its end, and deciding what the end is.
//!
//! At the first bad frame the durable hints alone decide. If any valid header behind it, the next
//! segments' headers or the manifest say that its LSN had been durable, it is damage and the open
//! is refused. Otherwise it is a torn tail: the log ends at the last whole transaction before it,
//! even if intact ones follow, because nobody was promised those.

use base::words::Lsn;

use crate::anchor::LogState;
use crate::error::{Damage, Op, Result, WalError};
use crate::frame::{self, Header, Kind, Place, Seed};
use crate::options::Options;
use crate::reader::Frame;
use crate::scan::{Behind, Scanner, Step, look_behind};
use crate::segment::HEADER_BYTES;
use crate::survey::{Piece, Survey};

/// A place between two frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// Index of the segment among the pieces.
    pub(crate) piece: usize,
    /// Offset in it, bytes.
    pub(crate) offset: u64,
    /// Chain value there.
    pub(crate) chain: u32,
}

/// What the walk found.
#[derive(Debug)]
pub(crate) struct Walk {
    /// LSN of the last whole transaction's last frame.
    pub(crate) last: Lsn,
    /// Where it ends.
    pub(crate) end: Position,
    /// Highest LSN known to be durable.
    pub(crate) durable: Lsn,
    /// Whether the log was closed: nothing was ever written behind its end.
    pub(crate) closed: bool,
    /// Newest wall time in the log.
    pub(crate) wall_ms: u64,
    /// Intact frames behind the end that are cut.
    pub(crate) cut_frames: u64,
    /// Frames read.
    pub(crate) frames: u64,
}

/// Why the walk stopped.
struct Stop {
    at: Position,
    what: &'static str,
}

struct Walker<'a> {
    pieces: &'a [Piece],
    options: &'a Options,
    replay_lsn: Lsn,
    replay: &'a mut dyn FnMut(&Frame<'_>) -> Result<()>,
    expected: Lsn,
    /// Where the transaction that is being read began, and how many frames of it were read.
    open: Option<(Position, u32, Lsn)>,
    good: Position,
    good_lsn: Lsn,
    before_good: (Position, Lsn),
    hint: Lsn,
    closed: bool,
    wall_ms: u64,
    frames: u64,
}

/// Walks the pieces from the checkpoint on. `replay` gets whole transactions behind it.
pub(crate) fn walk(
    survey: &Survey,
    state: &LogState,
    options: &Options,
    replay: &mut dyn FnMut(&Frame<'_>) -> Result<()>,
) -> Result<Walk> {
    let pieces = &survey.pieces;
    let target = state.replay_lsn.next();
    let mut start = pieces.partition_point(|piece| piece.header.first_lsn <= target);
    // A transaction may have begun in a segment before: it is read from its first frame.
    let mut inside = 0;
    while let Some(piece) = start.checked_sub(1).and_then(|i| pieces.get(i)) {
        inside = first_tx_index(piece, options)?;
        if inside == 0 || start == 1 {
            break;
        }
        start -= 1;
    }
    let Some(first) = start.checked_sub(1).and_then(|i| pieces.get(i)) else {
        let to = pieces.first().map_or(state.durable_lsn, |p| Lsn(p.header.first_lsn.0 - 1));
        return Err(corrupt(state.first_segment, 0, target, to, "segments are missing"));
    };
    let begin =
        Position { piece: start - 1, offset: HEADER_BYTES as u64, chain: first.header.chain };
    let before = Lsn(first.header.first_lsn.0 - 1);
    let mut walker = Walker {
        pieces,
        options,
        replay_lsn: state.replay_lsn,
        replay,
        expected: first.header.first_lsn,
        open: (inside > 0).then_some((begin, inside, first.header.first_lsn)),
        good: begin,
        good_lsn: before,
        before_good: (begin, before),
        // A checkpoint holds only what was durable.
        hint: state.durable_lsn.max(state.replay_lsn).max(first.header.hint),
        closed: false,
        wall_ms: first.header.created_ms,
        frames: 0,
    };
    let stop = walker.run(begin)?;
    walker.decide(survey, &stop)
}

/// Position in its transaction of a segment's first frame; 0 when it has none.
fn first_tx_index(piece: &Piece, options: &Options) -> Result<u32> {
    let mut scanner =
        Scanner::new(piece.file.clone(), piece.seed(options), HEADER_BYTES as u64, piece.len);
    let step = scanner.step().map_err(|e| WalError::io(Op::Read, &piece.path, e))?;
    Ok(match step {
        Step::Frame { header, .. } => header.tx_index,
        Step::Bad { .. } | Step::End => 0,
    })
}

fn corrupt(segment: u64, offset: u64, from: Lsn, to: Lsn, what: &'static str) -> WalError {
    let damage = Damage { segment, offset, lost_from: from, lost_to: to.max(from), what };
    WalError::Corrupt(Box::new(damage))
}

impl Walker<'_> {
    fn seed(&self, piece: &Piece) -> Seed {
        piece.seed(self.options)
    }

    /// Reads until the end of the log or the first thing that does not belong there.
    fn run(&mut self, begin: Position) -> Result<Stop> {
        let mut at = begin;
        loop {
            let Some(piece) = self.pieces.get(at.piece) else {
                return Ok(Stop { at, what: "the log ends" });
            };
            if at.piece > begin.piece {
                let header = &piece.header;
                if header.first_lsn != self.expected || header.chain != at.chain {
                    return Ok(Stop { at, what: "the segment does not continue the one before" });
                }
                self.hint = self.hint.max(header.hint);
                self.wall_ms = self.wall_ms.max(header.created_ms);
                if self.open.is_none() {
                    // The log ends in this segment even if it holds no transaction: offsets of
                    // the one before mean nothing here.
                    self.good = at;
                }
            }
            let last = at.piece + 1 == self.pieces.len();
            at = match self.run_piece(at)? {
                // The last segment's end is the log's: nothing follows.
                Ok(end) if last => return Ok(Stop { at: end, what: "the log ends" }),
                Ok(end) => Position { piece: end.piece + 1, offset: HEADER_BYTES as u64, ..end },
                Err(stop) => return Ok(stop),
            };
        }
    }

    fn end_of(&self, piece: usize) -> u64 {
        let next = self.pieces.get(piece + 1).map(|next| next.header.previous_end);
        let len = self.pieces.get(piece).map_or(0, |piece| piece.len);
        next.unwrap_or(len)
    }

    fn run_piece(&mut self, mut at: Position) -> Result<std::result::Result<Position, Stop>> {
        let Some(piece) = self.pieces.get(at.piece) else { return Ok(Ok(at)) };
        let end = self.end_of(at.piece);
        let last = at.piece + 1 == self.pieces.len();
        let seed = self.seed(piece);
        let mut scanner = Scanner::new(piece.file.clone(), seed, at.offset, end);
        loop {
            let step = scanner.step().map_err(|e| WalError::io(Op::Read, &piece.path, e))?;
            let what = match step {
                Step::Frame { header, offset, crc } => {
                    let start = Position { offset, ..at };
                    let after = Position {
                        offset: scanner.offset(),
                        chain: frame::chain(at.chain, crc),
                        ..at
                    };
                    match self.take(&header, scanner.payload(), start, after)? {
                        None => {
                            at = after;
                            continue;
                        }
                        Some(what) => what,
                    }
                }
                Step::End if last || scanner.offset() == end => return Ok(Ok(at)),
                Step::End => "the segment ends early",
                Step::Bad { what } => what,
            };
            if planted!(self.options, CutTooShort) && self.skip(&mut scanner, &mut at)? {
                continue;
            }
            return Ok(Err(Stop { at, what }));
        }
    }

    /// The planted defect: goes on behind a bad frame as if nothing were missing.
    fn skip(&mut self, scanner: &mut Scanner, at: &mut Position) -> Result<bool> {
        let fail = |e| WalError::io(Op::Read, "", e);
        if !scanner.resync().map_err(fail)? {
            return Ok(false);
        }
        at.offset = scanner.offset();
        let mut ahead = scanner.fork();
        if let Step::Frame { header, .. } = ahead.step().map_err(fail)? {
            self.expected = header.lsn;
            self.open = None;
        }
        Ok(true)
    }

    /// Takes one frame, or says why it does not belong here.
    fn take(
        &mut self,
        header: &Header,
        payload: &[u8],
        start: Position,
        after: Position,
    ) -> Result<Option<&'static str>> {
        self.closed = false;
        if header.kind.is_hint() {
            if header.lsn.next() != self.expected || self.open.is_some() {
                return Ok(Some("a hint is out of sequence"));
            }
            self.hint = self.hint.max(header.hint);
            self.closed = header.kind == Kind::Close;
            return Ok(None);
        }
        let (begin, count, first) = self.open.unwrap_or((start, 0, header.lsn));
        if header.lsn != self.expected || header.tx_index != count {
            return Ok(Some("the frame's LSN is out of sequence"));
        }
        self.hint = self.hint.max(header.hint);
        self.wall_ms = self.wall_ms.max(header.wall_ms);
        self.frames += 1;
        let frame = Frame::new(header, payload);
        self.expected = frame.next_lsn();
        if header.place == Place::Inside {
            self.open = Some((begin, count + 1, first));
            return Ok(None);
        }
        self.open = None;
        self.before_good = (self.good, self.good_lsn);
        self.good = after;
        self.good_lsn = Lsn(self.expected.0 - 1);
        if count == 0 {
            if header.lsn > self.replay_lsn {
                (self.replay)(&frame)?;
            }
        } else if header.lsn > self.replay_lsn {
            self.deliver(begin, after)?;
        }
        Ok(None)
    }

    /// Reads a transaction of several frames again, now that it is known to be whole: nothing
    /// outside it, or many small ones would cost a read buffer each.
    fn deliver(&mut self, begin: Position, after: Position) -> Result<()> {
        for index in begin.piece..=after.piece {
            let Some(piece) = self.pieces.get(index) else { break };
            let from = if index == begin.piece { begin.offset } else { HEADER_BYTES as u64 };
            let end = if index == after.piece { after.offset } else { self.end_of(index) };
            let mut scanner = Scanner::new(piece.file.clone(), self.seed(piece), from, end);
            while scanner.offset() < end {
                let step = scanner.step().map_err(|e| WalError::io(Op::Read, &piece.path, e))?;
                let Step::Frame { header, .. } = step else {
                    let (sequence, lsn) = (piece.header.sequence, self.good_lsn);
                    return Err(corrupt(sequence, from, lsn, lsn, "it changed while read"));
                };
                if !header.kind.is_hint() && header.lsn > self.replay_lsn {
                    (self.replay)(&Frame::new(&header, scanner.payload()))?;
                }
            }
        }
        Ok(())
    }

    /// Torn tail or damage?
    fn decide(mut self, survey: &Survey, stop: &Stop) -> Result<Walk> {
        let mut behind = Behind::default();
        if !self.closed {
            for index in stop.at.piece..self.pieces.len() {
                let Some(piece) = self.pieces.get(index) else { break };
                let from =
                    if index == stop.at.piece { stop.at.offset } else { HEADER_BYTES as u64 };
                let end = self.end_of(index);
                let seed = self.seed(piece);
                let found = look_behind(&piece.file, seed, from, end)
                    .map_err(|e| WalError::io(Op::Read, &piece.path, e))?;
                behind.frames += found.frames;
                behind.hint = behind.hint.max(found.hint).max(piece.header.hint);
            }
        }
        let durable = self.hint.max(behind.hint);
        if planted!(self.options, MissingCommitCheck) && self.open.is_some() {
            (self.good, self.good_lsn) = (stop.at, Lsn(self.expected.0 - 1));
        }
        if planted!(self.options, CutTooFar) && durable < self.good_lsn {
            (self.good, self.good_lsn) = self.before_good;
        }
        let segment = |at: &Position| self.pieces.get(at.piece).map(|p| p.header.sequence);
        if let Some((sequence, what)) = survey.bad_newest {
            return Err(corrupt(sequence, 0, self.good_lsn.next(), durable, what));
        }
        if durable > self.good_lsn && !planted!(self.options, IgnoreHints) {
            let sequence = segment(&stop.at).unwrap_or(survey.max_sequence);
            let from = self.good_lsn.next();
            return Err(corrupt(sequence, stop.at.offset, from, durable, stop.what));
        }
        let unfinished = self.open.map_or(0, |(_, count, _)| u64::from(count));
        Ok(Walk {
            last: self.good_lsn,
            end: self.good,
            durable: durable.min(self.good_lsn),
            closed: self.closed && durable == self.good_lsn,
            wall_ms: self.wall_ms,
            cut_frames: behind.frames + unfinished,
            frames: self.frames,
        })
    }
}

/// Where the frame with LSN `lsn` ends: at the start of the segment that begins behind it, or
/// found by reading its segment again. `None` when no segment holds it.
pub(crate) fn locate(pieces: &[Piece], options: &Options, lsn: Lsn) -> Result<Option<Position>> {
    let holding = pieces.partition_point(|piece| piece.header.first_lsn <= lsn);
    let Some(index) = holding.checked_sub(1) else { return Ok(None) };
    let Some(piece) = pieces.get(index) else { return Ok(None) };
    let end = pieces.get(index + 1).map_or(piece.len, |next| next.header.previous_end);
    let mut scanner =
        Scanner::new(piece.file.clone(), piece.seed(options), HEADER_BYTES as u64, end);
    let mut chain = piece.header.chain;
    loop {
        let step = scanner.step().map_err(|e| WalError::io(Op::Read, &piece.path, e))?;
        let Step::Frame { header, crc, .. } = step else { return Ok(None) };
        chain = frame::chain(chain, crc);
        if header.kind.is_hint() {
            continue;
        }
        let last = if header.kind == Kind::Gap {
            Frame::new(&header, scanner.payload()).next_lsn().0 - 1
        } else {
            header.lsn.0
        };
        if last >= lsn.0 {
            return Ok(Some(Position { piece: index, offset: scanner.offset(), chain }));
        }
    }
}
