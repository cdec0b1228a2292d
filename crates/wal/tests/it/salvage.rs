//! Salvage of logs with planted damage: exactly what was hit is lost, and it is said.
//!
//! What is expected is worked out from the healthy log, frame by frame, without the code under
//! test: a transaction is lost when a byte of one of its frames was.

#![expect(clippy::unwrap_used, reason = "what helps a test fails as the test does")]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::error::Code;
use base::io::{Disk, Open};
use base::rng::Rng;
use base::words::{Change, DatabaseId, Lsn};
use sim::crash::{Limits, enumerate, record};
use sim::disk::{Calls, Effect, Fault, FaultDisk, Rot};
use wal::frame::{HEADER_BYTES, Kind, Seed};
use wal::salvage::{Identity, Outcome};
use wal::scan::{Scanner, Step as Scan};
use wal::segment::{self, FileName};
use wal::{FileAnchor, FsyncMode, SalvageReport, Upto, WalError, salvage};

use crate::world::{DIR, Step, World, clock, env, open, power_lost, put, small};

/// A frame of the healthy log.
#[derive(Debug, Clone)]
struct Framed {
    segment: u64,
    /// The bytes its checksums cover.
    bytes: Range<u64>,
    lsn: Lsn,
    hint: Lsn,
    tx_first: Lsn,
    change: Option<Change>,
    takes_lsn: bool,
}

/// A log that was written without a fault, and what is in it.
struct Healthy {
    disk: FaultDisk,
    frames: Vec<Framed>,
    segments: Vec<(u64, segment::Header)>,
    last: Lsn,
    manifest_durable: Lsn,
    replay_lsn: Lsn,
}

const WORKLOAD: [Step; 9] = [
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
fn healthy(steps: &[Step], closed: Closed) -> Healthy {
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
enum Closed {
    Yes,
    No,
}

fn look(disk: FaultDisk) -> Healthy {
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

fn path(sequence: u64) -> PathBuf {
    FileName::Segment(sequence).path(Path::new(DIR))
}

/// One planted damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hurt {
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
    fn flip(disk: &FaultDisk, segment: u64, offset: u64) {
        disk.rot(&Rot::Flip { path: path(segment), offset, mask: 0x10 }).unwrap();
    }

    fn plant(&self, disk: &FaultDisk, hurt: Hurt) {
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

    fn hit(&self, hurts: &[Hurt], n: usize) -> bool {
        let frame = &self.frames[n];
        hurts.iter().any(|hurt| match hurt {
            Hurt::FrameHeader(m) | Hurt::Payload(m) => *m == n,
            Hurt::Missing(sequence) => *sequence == frame.segment,
            Hurt::SegmentHeader(_) => false,
        })
    }

    /// LSNs that are lost, of those that anything left says were durable.
    fn lost(&self, hurts: &[Hurt]) -> BTreeSet<u64> {
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
    fn left(&self, lost: &BTreeSet<u64>, upto: Lsn) -> BTreeMap<Lsn, Change> {
        let frames = self.frames.iter().filter(|f| f.lsn <= upto && !lost.contains(&f.lsn.0));
        frames.filter_map(|f| Some((f.lsn, f.change.clone()?))).collect()
    }
}

fn reported(report: &SalvageReport) -> BTreeSet<u64> {
    report.lost.iter().flat_map(|range| range.from.0..=range.to.0).collect()
}

/// Changes, lost LSNs, and the last LSN.
type Readable = (BTreeMap<Lsn, Change>, BTreeSet<u64>, Lsn);

/// Changes and gaps of the log on `disk`, after opening it.
fn read_back(disk: &FaultDisk) -> Result<Readable, WalError> {
    let (log, _) = open(&disk.shared(), &clock(), small(FsyncMode::Group))?;
    let (mut changes, mut gaps) = (BTreeMap::new(), BTreeSet::new());
    let mut reader = log.read(log.status().first, Upto::Durable);
    while let Some(frame) = reader.next()? {
        if let Some(change) = frame.change() {
            changes.insert(frame.lsn, change);
        }
        if frame.kind == Kind::Gap {
            gaps.extend(frame.lsn.0..frame.next_lsn().0);
        }
    }
    let visible = log.visible();
    let next = log.append(&put(999, 10))?;
    assert_eq!(next.first, visible.next(), "no LSN is given twice");
    Ok((changes, gaps, visible))
}

fn run(disk: &FaultDisk) -> Result<SalvageReport, WalError> {
    salvage(&env(&disk.shared(), &clock()), Path::new(DIR), &small(FsyncMode::Group))
}

fn refusal(disk: &FaultDisk) -> Option<Code> {
    open(&disk.fork().shared(), &clock(), small(FsyncMode::Group)).err().map(|e| e.code())
}

/// Plants the damage, salvages, and compares everything with what was written.
fn check(healthy: &Healthy, hurts: &[Hurt]) -> Option<SalvageReport> {
    let disk = healthy.disk.fork();
    hurts.iter().for_each(|hurt| healthy.plant(&disk, *hurt));
    let refused = refusal(&disk);
    let before = disk.content_hash();
    let report = run(&disk).unwrap_or_else(|e| panic!("{hurts:?}: {e}"));
    if refused.is_none() {
        assert_eq!(report.outcome, Outcome::NothingToDo, "{hurts:?}");
        assert_eq!(disk.content_hash(), before, "{hurts:?}: nothing is changed");
        return None;
    }
    assert_eq!(refused, Some(Code::WalCorrupt), "{hurts:?}");
    let lost = healthy.lost(hurts);
    assert_eq!(reported(&report), lost, "{hurts:?}\n{report}");
    assert!(!report.damaged.is_empty(), "{hurts:?}\n{report}");
    for copy in &report.quarantined {
        let original = Path::new(DIR).join(copy.file_name().unwrap());
        let damaged = healthy.disk.fork();
        hurts.iter().for_each(|hurt| healthy.plant(&damaged, *hurt));
        assert_eq!(disk.peek(copy), damaged.peek(&original), "{hurts:?}: {}", copy.display());
    }
    let again = run(&disk.fork()).unwrap();
    assert_eq!(again.outcome, Outcome::NothingToDo, "{hurts:?}");
    let (changes, gaps, last) = read_back(&disk).unwrap_or_else(|e| panic!("{hurts:?}: {e}"));
    assert_eq!(last, report.last, "{hurts:?}\n{report}");
    assert_eq!(gaps, lost, "{hurts:?}");
    assert_eq!(changes, healthy.left(&lost, last), "{hurts:?}\n{report}");
    Some(report)
}

#[test]
fn every_single_bad_frame_costs_exactly_its_transaction() {
    for closed in [Closed::Yes, Closed::No] {
        let healthy = healthy(&WORKLOAD, closed);
        let mut salvaged = 0;
        for n in 0..healthy.frames.len() {
            for hurt in [Hurt::FrameHeader(n), Hurt::Payload(n)] {
                let takes_lsn = healthy.frames[n].takes_lsn;
                if hurt == Hurt::Payload(n) && !takes_lsn {
                    continue;
                }
                let report = check(&healthy, &[hurt]);
                salvaged += usize::from(report.is_some());
            }
        }
        assert!(salvaged >= 20, "{closed:?}: only {salvaged} damages were refused by open");
    }
}

#[test]
fn a_bad_segment_header_costs_nothing_wherever_it_is() {
    for closed in [Closed::Yes, Closed::No] {
        let healthy = healthy(&WORKLOAD, closed);
        assert!(healthy.segments.len() >= 4, "{}", healthy.segments.len());
        for (sequence, _) in &healthy.segments {
            let report = check(&healthy, &[Hurt::SegmentHeader(*sequence)]).unwrap();
            assert!(report.lost.is_empty(), "{report}");
            assert_eq!(report.last, healthy.last);
            assert_eq!(report.damaged.len(), 1, "{report}");
            assert_eq!(report.damaged[0].segment, *sequence);
        }
    }
}

#[test]
fn a_missing_segment_costs_what_was_in_it_and_what_crossed_into_it() {
    let healthy = healthy(&WORKLOAD, Closed::Yes);
    let newest = healthy.segments.last().unwrap().0;
    for (sequence, _) in &healthy.segments {
        let report = check(&healthy, &[Hurt::Missing(*sequence)]);
        if let Some(report) = report {
            assert_eq!(report.end_unknown, *sequence == newest, "{report}");
            assert!(*sequence == newest || !report.lost.is_empty(), "{report}");
        } else {
            assert_eq!(*sequence, newest, "only the newest can go unnoticed");
        }
    }
}

#[test]
fn several_damages_at_once_cost_the_sum_of_what_they_hit() {
    let healthy = healthy(&WORKLOAD, Closed::Yes);
    let mut rng = Rng::new(7);
    let mut salvaged = 0;
    for _ in 0..300 {
        let mut hurts = Vec::new();
        for _ in 0..2 + rng.below(3) {
            let frame = usize::try_from(rng.below(healthy.frames.len() as u64)).unwrap();
            let index = usize::try_from(rng.below(healthy.segments.len() as u64 - 1)).unwrap();
            let sequence = healthy.segments[index].0;
            let hurt = match rng.below(6) {
                0 => Hurt::SegmentHeader(sequence),
                1 => Hurt::Missing(sequence),
                2 | 3 => Hurt::FrameHeader(frame),
                _ => Hurt::Payload(frame),
            };
            let touches = |other: &Hurt| segment_of(&healthy, *other) == segment_of(&healthy, hurt);
            if !hurts.iter().any(touches) {
                hurts.push(hurt);
            }
        }
        salvaged += usize::from(check(&healthy, &hurts).is_some());
    }
    assert!(salvaged > 250, "only {salvaged} of 300 were refused by open");
}

fn segment_of(healthy: &Healthy, hurt: Hurt) -> u64 {
    match hurt {
        Hurt::FrameHeader(n) | Hurt::Payload(n) => healthy.frames[n].segment,
        Hurt::SegmentHeader(sequence) | Hurt::Missing(sequence) => sequence,
    }
}

#[test]
fn a_lost_log_becomes_one_gap_up_to_what_the_manifest_knew() {
    let healthy =
        healthy(&[Step::Append, Step::Rotate, Step::Checkpoint, Step::Append], Closed::Yes);
    let hurts: Vec<Hurt> = healthy.segments.iter().map(|(s, _)| Hurt::Missing(*s)).collect();
    assert!(healthy.manifest_durable > Lsn::ZERO);
    let disk = healthy.disk.fork();
    hurts.iter().for_each(|hurt| healthy.plant(&disk, *hurt));
    assert_eq!(refusal(&disk), Some(Code::WalCorrupt));
    let report = run(&disk).unwrap();
    assert!(report.end_unknown);
    assert_eq!(report.last, healthy.manifest_durable.max(healthy.replay_lsn));
    let (changes, _, last) = read_back(&disk).unwrap();
    assert!(changes.is_empty());
    assert_eq!(last, report.last);
}

#[test]
fn damage_below_the_checkpoint_of_a_refused_log_stays_where_it_is() {
    let steps =
        [Step::Rotate, Step::Rotate, Step::Rotate, Step::Checkpoint, Step::Rotate, Step::Append];
    let healthy = healthy(&steps, Closed::Yes);
    let first = healthy.segments[0].0;
    let index = healthy.frames.iter().position(|f| f.lsn == healthy.last).unwrap();
    assert!(check(&healthy, &[Hurt::FrameHeader(0)]).is_none(), "open does not read there");
    let disk = healthy.disk.fork();
    healthy.plant(&disk, Hurt::FrameHeader(0));
    healthy.plant(&disk, Hurt::FrameHeader(index));
    let report = run(&disk).unwrap();
    assert!(!report.segments.contains(&first), "{report}");
    assert_eq!(reported(&report), BTreeSet::from([healthy.last.0]));
}

#[test]
fn a_healthy_log_is_left_alone() {
    for steps in [&WORKLOAD[..], &[Step::Append], &[]] {
        for closed in [Closed::Yes, Closed::No] {
            let disk = match steps {
                [] => {
                    let disk = FaultDisk::new();
                    World::new(&disk, small(FsyncMode::Group)).log.take().unwrap().close().unwrap();
                    disk
                }
                steps => healthy(steps, closed).disk,
            };
            let before = disk.content_hash();
            let report = run(&disk).unwrap();
            assert_eq!(report.outcome, Outcome::NothingToDo);
            assert!(report.to_string().contains("Nothing to do"), "{report}");
            assert_eq!(disk.content_hash(), before);
        }
    }
}

#[test]
fn a_salvaged_log_can_be_damaged_and_salvaged_again() {
    let healthy = healthy(&WORKLOAD, Closed::Yes);
    let disk = healthy.disk.fork();
    healthy.plant(&disk, Hurt::Payload(1));
    let first = run(&disk).unwrap();
    read_back(&disk).unwrap();
    let middle = look(disk);
    let gap = middle.frames.iter().position(|f| f.change.is_none() && f.takes_lsn).unwrap();
    let hurts = [Hurt::Payload(gap + 1)];
    let disk = middle.disk.fork();
    middle.plant(&disk, hurts[0]);
    assert_eq!(refusal(&disk), Some(Code::WalCorrupt));
    let second = run(&disk).unwrap();
    assert_eq!(reported(&second), middle.lost(&hurts));
    let (_, gaps, _) = read_back(&disk).unwrap();
    let both: BTreeSet<u64> = reported(&first).union(&reported(&second)).copied().collect();
    assert_eq!(gaps, both);
}

#[test]
fn a_reader_that_begins_inside_a_gap_is_told_of_it() {
    let healthy = healthy(&WORKLOAD, Closed::Yes);
    let inside = healthy.frames.iter().position(|f| f.lsn > f.tx_first).unwrap();
    let disk = healthy.disk.fork();
    healthy.plant(&disk, Hurt::Payload(inside));
    run(&disk).unwrap();
    let (log, _) = open(&disk.shared(), &clock(), small(FsyncMode::Group)).unwrap();
    let from = healthy.frames[inside].lsn;
    let mut reader = log.read(from, Upto::Durable);
    let frame = reader.next().unwrap().unwrap();
    assert_eq!((frame.kind, frame.lsn), (Kind::Gap, healthy.frames[inside].tx_first));
    let next = frame.next_lsn();
    assert!(next > from);
    assert_eq!(reader.next().unwrap().unwrap().lsn, next);
    assert_eq!(log.read_at(from).unwrap(), None);
}

fn hurt_manifest(disk: &FaultDisk, slots: Range<u32>) {
    for slot in slots {
        let path = PathBuf::from(format!("{DIR}/MANIFEST.{slot}"));
        match disk.peek(&path) {
            Some(bytes) if bytes.is_empty() => {}
            _ => disk.rot(&Rot::Flip { path, offset: 40, mask: 1 }).unwrap(),
        }
    }
}

#[test]
fn a_manifest_without_a_valid_copy_is_rebuilt_from_the_segments() {
    for closed in [Closed::Yes, Closed::No] {
        let healthy = healthy(&WORKLOAD, closed);
        let disk = healthy.disk.fork();
        hurt_manifest(&disk, 0..3);
        assert_eq!(refusal(&disk), Some(Code::WalCorrupt));
        let report = run(&disk).unwrap();
        assert_eq!(report.outcome, Outcome::ManifestRebuilt);
        let newest = healthy.segments.last().unwrap().0;
        assert_eq!(report.identity, Identity::SegmentHeader(newest));
        assert_eq!(report.database, DatabaseId::from_bytes([9; 16]));
        assert!(report.end_unknown && report.lost.is_empty(), "{report}");
        assert_eq!(report.quarantined.len(), 3, "{report}");
        let (changes, gaps, last) = read_back(&disk).unwrap();
        assert_eq!((changes, last), (healthy.left(&BTreeSet::new(), healthy.last), healthy.last));
        assert!(gaps.is_empty());
    }
}

#[test]
fn a_damaged_manifest_and_damaged_segments_are_salvaged_together() {
    let healthy = healthy(&WORKLOAD, Closed::Yes);
    for n in 0..healthy.frames.len() - 1 {
        if !healthy.frames[n].takes_lsn {
            continue;
        }
        let disk = healthy.disk.fork();
        healthy.plant(&disk, Hurt::Payload(n));
        hurt_manifest(&disk, 0..3);
        let report = run(&disk).unwrap();
        assert!(matches!(report.identity, Identity::SegmentHeader(_)));
        assert_eq!(reported(&report), healthy.lost(&[Hurt::Payload(n)]), "{n}\n{report}");
        let (changes, ..) = read_back(&disk).unwrap();
        assert_eq!(changes, healthy.left(&reported(&report), healthy.last), "{n}");
    }
}

#[test]
fn damage_in_some_slots_of_the_manifest_is_no_refusal() {
    let healthy = healthy(&WORKLOAD, Closed::Yes);
    let disk = healthy.disk.fork();
    hurt_manifest(&disk, 0..1);
    if refusal(&disk).is_none() {
        assert_eq!(run(&disk).unwrap().outcome, Outcome::NothingToDo);
    }
}

#[test]
fn without_any_identity_or_any_log_it_says_so_and_changes_nothing() {
    let healthy = healthy(&[Step::Append], Closed::Yes);
    let disk = healthy.disk.fork();
    healthy.plant(&disk, Hurt::SegmentHeader(1));
    hurt_manifest(&disk, 0..3);
    let before = disk.content_hash();
    let error = run(&disk).unwrap_err();
    assert!(error.to_string().contains("which database"), "{error}");
    assert_eq!(disk.content_hash(), before);
    let empty = FaultDisk::new();
    crate::world::make_dir(&empty.shared());
    let before = empty.content_hash();
    assert!(run(&empty).unwrap_err().to_string().contains("there is no log"));
    assert_eq!(empty.content_hash(), before, "not even a lock file is made");
}

#[test]
fn a_log_in_use_is_not_salvaged() {
    let disk = FaultDisk::new();
    let mut world = World::new(&disk, small(FsyncMode::Group));
    world.step(Step::Append).unwrap();
    world.clock.advance(Duration::from_millis(1));
    assert!(matches!(run(&disk).unwrap_err(), WalError::Locked(_)));
}

/// Every crash of a salvage leaves the old refusal or the salvaged log, and salvaging again
/// finishes the work.
fn crashes_of_a_salvage(healthy: &Healthy, hurts: &[Hurt], manifest: bool) {
    let damaged = healthy.disk.fork();
    hurts.iter().for_each(|hurt| healthy.plant(&damaged, *hurt));
    if manifest {
        hurt_manifest(&damaged, 0..3);
    }
    let lost = healthy.lost(hurts);
    let expected = healthy.left(&lost, healthy.last);
    let quarantined = std::cell::Cell::new(0);
    let recording = record(&damaged.fork(), |disk, recorder| {
        let report = run(disk).unwrap();
        quarantined.set(report.quarantined.len());
        recorder.acknowledge(());
    });
    let limits = Limits { exhaustive_max: 64, samples: 32, ..Limits::default() };
    let report = enumerate(&recording, &limits, |disk, done: &[()], point| {
        match read_back(&disk.fork()) {
            Ok((changes, gaps, last)) => {
                if (&changes, &gaps, last) != (&expected, &lost, healthy.last) {
                    return Err(format!("opened with gaps {gaps:?} up to {last}"));
                }
                let copies = disk.list(Path::new(DIR)).map_err(|e| e.to_string())?;
                if !copies.iter().any(|entry| entry.name == "quarantine") {
                    return Err("salvaged without a quarantine".into());
                }
            }
            Err(e) if done.is_empty() && e.code() == Code::WalCorrupt => {}
            Err(e) => return Err(format!("after {done:?}: {e}")),
        }
        // Whatever the crash left, the next salvage leads to the same log.
        run(disk).map_err(|e| format!("salvaging again: {e}"))?;
        let (changes, gaps, last) = read_back(disk).map_err(|e| e.to_string())?;
        let same = (&changes, &gaps, last) == (&expected, &lost, healthy.last);
        let power = power_lost(point);
        same.then_some(()).ok_or_else(|| format!("then gaps {gaps:?} up to {last}, {power}"))
    })
    .unwrap_or_else(|failure| panic!("{hurts:?}: {failure}"));
    assert!(report.distinct > 20, "{report}");
    println!("salvage of {hurts:?}: {report}");
}

#[test]
fn no_crash_of_a_salvage_hides_a_loss() {
    let healthy = healthy(&WORKLOAD[..6], Closed::Yes);
    let middle = healthy.segments[healthy.segments.len() / 2].0;
    let first = healthy.segments[0].0;
    let cases: [&[Hurt]; 5] = [
        &[Hurt::Payload(1)],
        &[Hurt::FrameHeader(0)],
        &[Hurt::SegmentHeader(middle)],
        &[Hurt::Missing(middle)],
        &[Hurt::SegmentHeader(first), Hurt::Payload(4)],
    ];
    for hurts in cases {
        crashes_of_a_salvage(&healthy, hurts, false);
    }
    crashes_of_a_salvage(&healthy, &[], true);
    crashes_of_a_salvage(&healthy, &[Hurt::Payload(2)], true);
}

#[test]
fn a_salvage_that_fails_at_any_call_can_be_done_again() {
    let healthy = healthy(&WORKLOAD[..6], Closed::Yes);
    let hurts = [Hurt::Payload(2)];
    let lost = healthy.lost(&hurts);
    for effect in [Effect::Eio, Effect::Enospc] {
        let mut failed = 0;
        for nth in 0.. {
            let disk = healthy.disk.fork();
            healthy.plant(&disk, hurts[0]);
            disk.inject(Fault::once(Calls::Mutating, nth, effect));
            let done = run(&disk);
            disk.clear_faults();
            failed += usize::from(done.is_err());
            let over = disk.calls() < nth;
            run(&disk).unwrap();
            let (changes, gaps, last) = read_back(&disk).unwrap();
            assert_eq!(gaps, lost, "{effect:?} at call {nth}");
            assert_eq!(changes, healthy.left(&lost, last), "{effect:?} at call {nth}");
            if over {
                break;
            }
        }
        assert!(failed > 10, "{effect:?}: only {failed} calls could fail");
    }
}
