//! Deciding what of a damaged log is kept: a pass over everything that can be read, without a
//! write.
//!
//! The rules:
//! - Whole transactions are kept, in LSN order, each LSN once. What is intact of a transaction
//!   that is not whole is dropped, and counts as lost.
//! - Every LSN from the start to the end is kept or lost; the lost ones become gaps, also at the
//!   end up to the highest durable hint, so that no LSN is ever given twice.
//! - Behind the highest durable hint the log ends at the first break, as in any recovery: nobody
//!   was promised what follows.
//! - The log stays as it is up to the last whole transaction before the first damage.
//!
//! Memory is bounded by one frame and by the number of damaged places.

use base::words::Lsn;

use super::report::{DamagedPlace, DroppedTransaction, LostRange};
use super::sources::{Event, Source, Sources, read};
use crate::anchor::LogState;
use crate::error::Result;
use crate::frame::{self, Header, Kind, Place};
use crate::payload;
use crate::segment::HEADER_BYTES;

/// Where the part of the log that stays ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Sequence of the last segment that stays, 0 = none does.
    pub(crate) sequence: u64,
    /// Where it ends, bytes.
    pub(crate) end: u64,
    /// Chain value there.
    pub(crate) chain: u32,
    /// Last LSN that stays.
    pub(crate) last: Lsn,
}

/// What a salvage will do.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) cut: Cut,
    /// Last LSN of the salvaged log, kept or lost.
    pub(crate) last: Lsn,
    pub(crate) damaged: Vec<DamagedPlace>,
    pub(crate) lost: Vec<LostRange>,
    pub(crate) dropped: Vec<DroppedTransaction>,
    pub(crate) frames_kept: u64,
    /// Bytes of the frames that have to be written again, and how many they are.
    pub(crate) tail_bytes: u64,
    pub(crate) tail_frames: u64,
    /// Intact frames behind the end, which nobody was promised.
    pub(crate) frames_cut: u64,
    /// The newest segment is gone, and with it whatever it held past `last`.
    pub(crate) newest_missing: bool,
}

/// The transaction that is being read.
struct Open {
    first: Lsn,
    /// Position that its next frame must have.
    next_index: u32,
    frames: u64,
    bytes: u64,
}

struct Sift<'a> {
    list: &'a [Source],
    durable: Lsn,
    plan: Plan,
    /// Nothing is wrong so far.
    clean: bool,
    /// Whether any frame was taken.
    begun: bool,
    /// Segment, offset and chain value where the scan is; only meaningful while clean.
    at: (u64, u64, u32),
    open: Option<Open>,
    /// Bad bytes since the last frame, and whether frames must have stood there: damage only when
    /// they are part of the log.
    pending: Vec<(DamagedPlace, bool)>,
    /// A whole segment or its header is gone since the last frame: never a torn tail, because
    /// names and headers are durable before frames are.
    broken: bool,
    index: usize,
    /// The log has ended: what follows is only counted.
    ended: bool,
}

/// Plans the salvage of `sources`.
pub(crate) fn plan(sources: &Sources, state: &LogState) -> Result<Plan> {
    let (cut, expected) = start(sources, state);
    let newest = sources.files.last_key_value().map_or(0, |(sequence, _)| *sequence);
    let newest_missing = newest < state.newest_segment || sources.files.is_empty();
    let mut sift = Sift {
        list: &sources.list,
        durable: sources.durable,
        plan: Plan {
            cut,
            last: Lsn(expected.0.saturating_sub(1)),
            damaged: Vec::new(),
            lost: Vec::new(),
            dropped: Vec::new(),
            frames_kept: 0,
            tail_bytes: 0,
            tail_frames: 0,
            frames_cut: 0,
            newest_missing,
        },
        clean: true,
        begun: false,
        at: (cut.sequence, cut.end, cut.chain),
        open: None,
        pending: Vec::new(),
        broken: false,
        index: 0,
        ended: false,
    };
    read(&sources.list, |event| {
        sift.event(event);
        Ok(())
    })?;
    if newest_missing {
        let what = if newest == 0 { "all segments are missing" } else { "the segment is missing" };
        let place = DamagedPlace { segment: state.newest_segment, offset: 0, what };
        sift.plan.damaged.push(place);
    }
    sift.finish();
    Ok(sift.plan)
}

/// What stays when nothing can be read, and the LSN that the first frame should have.
fn start(sources: &Sources, state: &LogState) -> (Cut, Lsn) {
    let target = state.replay_lsn.next();
    let nothing = Cut { sequence: 0, end: 0, chain: 0, last: Lsn(target.0 - 1) };
    let Some(oldest) = sources.list.first() else { return (nothing, target) };
    let Some(first) = oldest.first else { return (nothing, target) };
    let expected = first.min(target);
    let before = Lsn(expected.0 - 1);
    match &oldest.header {
        Ok(header) if expected == first => {
            let cut = Cut {
                sequence: header.previous,
                end: header.previous_end,
                chain: header.chain,
                last: before,
            };
            (cut, expected)
        }
        Ok(_) | Err(_) => (Cut { last: before, ..nothing }, expected),
    }
}

impl Sift<'_> {
    fn expected(&self) -> Lsn {
        let inside = self.open.as_ref().map_or(0, |open| open.frames);
        self.plan.last.plus(inside + 1)
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Segment(index) => self.enter(index),
            Event::Frame { header, .. } if self.ended => {
                self.plan.frames_cut += u64::from(!header.kind.is_hint());
            }
            Event::Frame { header, payload, crc, end } => {
                self.at = (self.at.0, end, frame::chain(self.at.2, crc));
                if !header.kind.is_hint() {
                    self.frame(header, payload);
                }
            }
            Event::Bad { .. } if self.ended => {}
            Event::Bad { offset, what, certain } => {
                if certain && self.torn() {
                    self.end();
                    return;
                }
                let segment = self.list.get(self.index).map_or(0, |source| source.sequence);
                self.pending.push((DamagedPlace { segment, offset, what }, certain));
                self.clean = false;
            }
        }
    }

    /// Whether a break here is the torn tail: nothing behind it had been promised.
    fn torn(&self) -> bool {
        self.plan.last >= self.durable && !self.broken
    }

    fn end(&mut self) {
        self.ended = true;
        self.pending.clear();
        self.plan.frames_cut += self.open.take().map_or(0, |open| open.frames);
    }

    fn damage(&mut self, segment: u64, what: &'static str) {
        self.clean = false;
        self.broken = true;
        self.plan.damaged.push(DamagedPlace { segment, offset: 0, what });
    }

    /// What was bad was part of the log.
    fn confirm(&mut self) {
        self.plan.damaged.extend(self.pending.drain(..).map(|(place, _)| place));
    }

    fn enter(&mut self, index: usize) {
        self.index = index;
        let Some(source) = self.list.get(index) else { return };
        if self.ended {
            return;
        }
        if let Some(missing) = source.missing_before {
            self.damage(missing, "the segment is missing");
        }
        match &source.header {
            Err(e) => self.damage(source.sequence, e.what()),
            Ok(header) => {
                if self.clean && (header.first_lsn != self.expected() || header.chain != self.at.2)
                {
                    let what = "the segment does not continue the one before";
                    self.damage(source.sequence, what);
                }
                self.at = (source.sequence, HEADER_BYTES as u64, header.chain);
            }
        }
    }

    fn frame(&mut self, header: &Header, payload: &[u8]) {
        let expected = self.expected();
        if header.lsn < expected {
            return;
        }
        let inherited = !self.begun && self.clean && header.lsn == expected;
        self.begun = true;
        if inherited && header.tx_index > 0 {
            // It began in a segment that was trimmed, below the replay start.
            let first = header.lsn;
            self.open = Some(Open { first, next_index: header.tx_index, frames: 0, bytes: 0 });
        }
        let next_index = self.open.as_ref().map_or(0, |open| open.next_index);
        if header.tx_index != next_index || header.lsn != expected {
            if self.torn() {
                self.end();
                self.plan.frames_cut += 1;
                return;
            }
            self.lose_before(header);
        }
        // No frame is missing here, so what may have been a segment's end was one.
        self.pending.retain(|(_, certain)| *certain);
        self.confirm();
        self.broken = false;
        if self.open.is_none() && header.tx_index > 0 {
            self.drop_frames(header.tx_first(), 1);
            self.lose(header.lsn);
            return;
        }
        self.take(header, payload);
    }

    /// The frames between the last whole transaction and this one are gone.
    fn lose_before(&mut self, header: &Header) {
        let first = self.plan.last.next();
        self.clean = false;
        self.confirm();
        if let Some(open) = self.open.take() {
            self.drop_frames(open.first, open.frames);
        }
        if header.lsn > first {
            self.lose(Lsn(header.lsn.0 - 1));
        }
    }

    fn take(&mut self, header: &Header, payload: &[u8]) {
        let open =
            self.open.get_or_insert(Open { first: header.lsn, next_index: 0, frames: 0, bytes: 0 });
        open.next_index += 1;
        open.frames += 1;
        open.bytes += header.frame_bytes() as u64;
        if header.place == Place::Inside {
            return;
        }
        let Some(open) = self.open.take() else { return };
        let last = last_lsn(header, payload);
        self.plan.frames_kept += open.frames;
        self.plan.last = last;
        if self.clean && last <= self.durable {
            let (sequence, end, chain) = self.at;
            self.plan.cut = Cut { sequence, end, chain, last };
        } else {
            self.plan.tail_bytes += open.bytes;
            self.plan.tail_frames += open.frames;
        }
    }

    fn drop_frames(&mut self, first: Lsn, frames: u64) {
        match self.plan.dropped.last_mut() {
            Some(tx) if tx.first == first => tx.frames += frames,
            _ if frames > 0 => self.plan.dropped.push(DroppedTransaction { first, frames }),
            _ => {}
        }
    }

    /// Everything from the last whole transaction up to `to` is lost.
    fn lose(&mut self, to: Lsn) {
        let from = self.plan.last.next();
        match self.plan.lost.last_mut() {
            Some(range) if range.to.next() == from => range.to = to,
            _ => self.plan.lost.push(LostRange { from, to }),
        }
        self.plan.last = to;
    }

    fn finish(&mut self) {
        let (first, frames) =
            self.open.take().map_or((Lsn::ZERO, 0), |open| (open.first, open.frames));
        if self.durable > self.plan.last {
            self.confirm();
            self.drop_frames(first, frames);
            self.lose(self.durable);
        } else {
            self.plan.frames_cut += frames;
        }
    }
}

/// The last LSN that a frame stands for.
pub(crate) fn last_lsn(header: &Header, payload: &[u8]) -> Lsn {
    let gap = (header.kind == Kind::Gap).then(|| payload::decode_lsn(payload)).flatten();
    gap.map_or(header.lsn, |to| to.max(header.lsn))
}
