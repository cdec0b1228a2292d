//! A log that was written without a fault, damage to plant in it, and what that must cost.
//!
//! What is expected is worked out from the frames of the healthy log, without the code under test: a
//! transaction is lost when a byte of one of its frames was.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use base::io::{Disk, Open};
use base::words::{Change, Lsn};
use sim::disk::{FaultDisk, Rot};
use wal::frame::{HEADER_BYTES, Seed};
use wal::scan::{Scanner, Step as Scan};
use wal::segment::{self, FileName};
use wal::{FileAnchor, FsyncMode};

use crate::world::{DIR, Step, World, small};

/// A frame of the healthy log.
#[derive(Debug, Clone)]
pub(super) struct Framed {
    pub(super) segment: u64,
    /// The bytes its checksums cover.
    pub(super) bytes: Range<u64>,
    pub(super) lsn: Lsn,
    pub(super) hint: Lsn,
    pub(super) tx_first: Lsn,
    pub(super) change: Option<Change>,
    pub(super) takes_lsn: bool,
}

/// A log that was written without a fault, and what is in it.
pub(super) struct Healthy {
    pub(super) disk: FaultDisk,
    pub(super) frames: Vec<Framed>,
    pub(super) segments: Vec<(u64, segment::Header)>,
    pub(super) last: Lsn,
    pub(super) manifest_durable: Lsn,
    pub(super) replay_lsn: Lsn,
}

pub(super) const WORKLOAD: [Step; 9] = [
    Step::Append,
    Step::Rotate,
    Step::Transaction,
    Step::Crossing,
    Step::Group,
    Step::Idle,
    Step::Rotate,
    Step::Group,
    Step::Append,
];

/// Runs `steps`; the log is closed or, for `Closed::No`, left as a crash leaves it.
pub(super) fn healthy(steps: &[Step], closed: Closed) -> Healthy {
    let disk = FaultDisk::new();
    let mut world = World::new(&disk, small(FsyncMode::Group));
    for step in steps {
        world.step(*step).unwrap();
    }
    let log = world.log.take().unwrap();
    match closed {
        Closed::Yes => log.close().unwrap(),
        Closed::No => std::mem::forget(log),
    }
    look(if closed == Closed::No { disk.crash(&sim::disk::Crash::Kill) } else { disk })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    Yes,
    No,
}

pub(super) fn look(disk: FaultDisk) -> Healthy {
    let state = FileAnchor::peek(&disk.shared(), Path::new(DIR)).unwrap();
    let mut segments = Vec::new();
    for entry in disk.list(Path::new(DIR)).unwrap() {
        if let Some(FileName::Segment(sequence)) = FileName::parse(&entry.name) {
            let bytes = disk.peek(&path(sequence)).unwrap();
            let header = segment::Header::decode_any(bytes[..128].try_into().unwrap()).unwrap();
            segments.push((sequence, header));
        }
    }
    let mut frames = Vec::new();
    for (i, (sequence, _)) in segments.iter().enumerate() {
        let end = segments.get(i + 1).map_or(u64::MAX, |(_, next)| next.previous_end);
        let file = disk.open(&path(*sequence), Open::Read).unwrap();
        let end = end.min(file.len().unwrap());
        let mut scanner = Scanner::new(file, Seed::new(state.database, *sequence), 128, end);
        while let Scan::Frame { header, offset, .. } = scanner.step().unwrap() {
            frames.push(Framed {
                segment: *sequence,
                bytes: offset..offset + HEADER_BYTES as u64 + u64::from(header.len),
                lsn: header.lsn,
                hint: header.hint,
                tx_first: header.tx_first(),
                change: wal::payload::decode(header.kind, scanner.payload()),
                takes_lsn: !header.kind.is_hint(),
            });
        }
    }
    let last = frames.last().unwrap().lsn;
    let (manifest_durable, replay_lsn) = (state.durable_lsn, state.replay_lsn);
    Healthy { disk, frames, segments, last, manifest_durable, replay_lsn }
}

pub(super) fn path(sequence: u64) -> PathBuf {
    FileName::Segment(sequence).path(Path::new(DIR))
}

/// One planted damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hurt {
    /// A bit of this frame's header.
    FrameHeader(usize),
    /// A bit of this frame's payload.
    Payload(usize),
    /// A bit of this segment's header.
    SegmentHeader(u64),
    /// The whole file of this segment.
    Missing(u64),
}

impl Healthy {
    pub(super) fn flip(disk: &FaultDisk, segment: u64, offset: u64) {
        disk.rot(&Rot::Flip { path: path(segment), offset, mask: 0x10 }).unwrap();
    }

    pub(super) fn plant(&self, disk: &FaultDisk, hurt: Hurt) {
        match hurt {
            Hurt::FrameHeader(n) => {
                let frame = &self.frames[n];
                Self::flip(disk, frame.segment, frame.bytes.start + 9);
            }
            Hurt::Payload(n) => {
                let frame = &self.frames[n];
                Self::flip(disk, frame.segment, frame.bytes.end - 1);
            }
            Hurt::SegmentHeader(sequence) => Self::flip(disk, sequence, 57),
            Hurt::Missing(sequence) => disk.rot(&Rot::Remove { path: path(sequence) }).unwrap(),
        }
    }

    pub(super) fn hit(&self, hurts: &[Hurt], n: usize) -> bool {
        let frame = &self.frames[n];
        hurts.iter().any(|hurt| match hurt {
            Hurt::FrameHeader(m) | Hurt::Payload(m) => *m == n,
            Hurt::Missing(sequence) => *sequence == frame.segment,
            Hurt::SegmentHeader(_) => false,
        })
    }

    /// LSNs that are lost, of those that anything left says were durable.
    pub(super) fn lost(&self, hurts: &[Hurt]) -> BTreeSet<u64> {
        let all = 0..self.frames.len();
        let broken: BTreeSet<Lsn> = all
            .clone()
            .filter(|n| self.hit(hurts, *n) && self.frames[*n].takes_lsn)
            .map(|n| self.frames[n].tx_first)
            .collect();
        let lost = |frame: &Framed| frame.takes_lsn && broken.contains(&frame.tx_first);
        let kept = self.frames.iter().filter(|frame| frame.takes_lsn && !lost(frame));
        let hints = all
            .filter(|n| !self.hit(hurts, *n) || hurts.contains(&Hurt::Payload(*n)))
            .map(|n| self.frames[n].hint);
        let headers = self.segments.iter().filter(|(sequence, _)| {
            let gone = [Hurt::Missing(*sequence), Hurt::SegmentHeader(*sequence)];
            !gone.iter().any(|hurt| hurts.contains(hurt))
        });
        let durable = hints
            .chain(headers.map(|(_, header)| header.hint))
            .chain([self.manifest_durable])
            .max()
            .unwrap();
        let known = kept.map(|frame| frame.lsn).max().unwrap_or_default().max(durable);
        self.frames.iter().filter(|f| lost(f) && f.lsn <= known).map(|f| f.lsn.0).collect()
    }

    /// What must be there after a salvage: everything written but what is lost.
    pub(super) fn left(&self, lost: &BTreeSet<u64>, upto: Lsn) -> BTreeMap<Lsn, Change> {
        let frames = self.frames.iter().filter(|f| f.lsn <= upto && !lost.contains(&f.lsn.0));
        frames.filter_map(|f| Some((f.lsn, f.change.clone()?))).collect()
    }
}
