//! Salvage of logs with planted damage: exactly what was hit is lost, and it is said.
//!
//! `healthy` has the logs, the damage and what it must cost; `manifest` damages the manifest too;
//! `crashes` interrupts salvages.

#![expect(clippy::unwrap_used, reason = "what helps a test fails as the test does")]

mod crashes;
mod healthy;
mod manifest;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use base::error::Code;
use base::rng::Rng;
use base::words::{Change, Lsn};
use sim::disk::FaultDisk;
use wal::frame::Kind;
use wal::salvage::Outcome;
use wal::{FsyncMode, SalvageReport, Upto, WalError, salvage};

use crate::world::{DIR, Step, World, clock, env, open, put, small};
use healthy::{Closed, Healthy, Hurt, WORKLOAD, healthy, look};

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

#[test]
fn a_log_in_use_is_not_salvaged() {
    let disk = FaultDisk::new();
    let mut world = World::new(&disk, small(FsyncMode::Group));
    world.step(Step::Append).unwrap();
    world.clock.advance(Duration::from_millis(1));
    assert!(matches!(run(&disk).unwrap_err(), WalError::Locked(_)));
}
