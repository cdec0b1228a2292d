//! Damage at rest, in every file of a log and at every place: it is never served, and never taken
//! for the end of the log where something says that the log went on.
//!
//! What is decided here: after any single damage the open either gives exactly what was committed
//! or refuses with `WalCorrupt`. One case cannot be told from a crash: a log that was killed, and
//! damage behind the highest hint that is left. The last group has no hint yet, because a hint is
//! written with the next group or when the log has been idle; where a sector holds the last frame
//! and the only hint for it, one damage takes both. There the log may end early, but never before
//! the highest durable LSN that anything undamaged on the disk states.

use std::path::{Path, PathBuf};

use base::error::Code;
use base::words::Lsn;
use sim::disk::{Crash, FaultDisk, Rot};
use wal::frame::{self, Seed};
use wal::segment::{self, FileName};
use wal::{FileAnchor, FsyncMode, Log, Upto, WalError};

use crate::world::{Content, DIR, Step, World, clock, content, files, open, small};

/// How the process that wrote the log ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Killed,
}

/// A log of several segments with a checkpoint behind some of them, hints, a transaction over
/// several segments and a spare.
fn log_at_rest(end: End, steps: &[Step]) -> (FaultDisk, Content) {
    let disk = FaultDisk::new();
    let mut world = World::new(&disk, small(FsyncMode::Group));
    for step in steps {
        world.step(*step).expect("no fault");
    }
    let log = world.log.take().expect("the log is open");
    let there = content(&log).expect("no fault");
    match end {
        End::Closed => log.close().expect("no fault"),
        End::Killed => std::mem::forget(log),
    }
    (disk.crash(&Crash::Kill), there)
}

const SMALL: &[Step] = &[Step::Append, Step::Transaction, Step::Idle, Step::Append];
const LARGE: &[Step] = &[
    Step::Append,
    Step::Rotate,
    Step::Crossing,
    Step::Checkpoint,
    Step::Transaction,
    Step::Idle,
    Step::Rotate,
    Step::Group,
];

/// The highest LSN that anything on the disk states to be durable: the manifest, the header of a
/// segment, or the header of a frame wherever it stands. Found without the log's own reading.
fn stated(disk: &FaultDisk) -> Lsn {
    let Ok(state) = FileAnchor::peek(&disk.shared(), Path::new(DIR)) else { return Lsn::ZERO };
    let mut highest = state.durable_lsn;
    for path in at_rest(disk) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(FileName::Segment(sequence)) = FileName::parse(name) else { continue };
        let bytes = disk.peek(&path).unwrap_or_default();
        // Without its header nobody knows what a segment is; that is refused anyway.
        let header =
            bytes.first_chunk().map(|b| segment::Header::decode(b, state.database, sequence));
        let Some(Ok(header)) = header else { continue };
        highest = highest.max(header.hint);
        let seed = Seed::new(state.database, sequence);
        for at in (segment::HEADER_BYTES..bytes.len()).step_by(frame::ALIGN) {
            let frame = bytes.get(at..).and_then(|b| b.first_chunk());
            if let Some(frame) = frame.and_then(|bytes| frame::Header::decode(bytes, seed)) {
                highest = highest.max(frame.hint);
            }
        }
    }
    highest
}

/// What opening a damaged log came to.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Everything is there.
    Whole,
    /// The open was refused.
    Refused,
    /// Reading below the replay start was refused, or that part was set aside.
    Reported,
    /// The log ends early.
    Shorter(Lsn),
}

fn outcome(disk: &FaultDisk, there: &Content) -> Result<Outcome, String> {
    let opened = open(&disk.shared(), &clock(), small(FsyncMode::Group));
    let (log, recovery) = match opened {
        Ok(opened) => opened,
        Err(WalError::Corrupt(damage)) => {
            // It names the place.
            return if damage.lost_from <= damage.lost_to && damage.lost_from > Lsn::ZERO {
                Ok(Outcome::Refused)
            } else {
                Err(format!("no range of LSNs: {damage:?}"))
            };
        }
        Err(e) if e.code() == Code::WalCorrupt => return Ok(Outcome::Refused),
        Err(e) => return Err(format!("damage became {}: {e}", e.code())),
    };
    let reported = read(&log, there)? || !recovery.quarantined.is_empty();
    if log.visible() < there.1 {
        return Ok(Outcome::Shorter(log.visible()));
    }
    if log.visible() > there.1 {
        return Err(format!("{} was invented", log.visible()));
    }
    Ok(if reported { Outcome::Reported } else { Outcome::Whole })
}

/// Reads everything; says whether damage was reported. What is read must be what was written, and
/// nothing may be passed over.
fn read(log: &Log, there: &Content) -> Result<bool, String> {
    let first = log.status().first;
    let mut reader = log.read(first, Upto::Visible);
    let mut next = first;
    loop {
        match reader.next() {
            Ok(None) if next > log.visible() => return Ok(false),
            Ok(None) => return Err(format!("the reader ends before {next}")),
            Ok(Some(frame)) if frame.lsn != next => return Err(format!("{next} is passed over")),
            Ok(Some(frame)) => {
                if frame.change().as_ref() != there.0.get(&frame.lsn) {
                    return Err(format!("{next} is not what was written"));
                }
                next = frame.next_lsn();
            }
            Err(WalError::Corrupt(damage)) if damage.lost_from == next => {
                return if next > log.state().replay_lsn {
                    Err(format!("opened, and yet {next} is damaged: {damage:?}"))
                } else {
                    Ok(true)
                };
            }
            Err(e) => return Err(format!("damage became {}: {e}", e.code())),
        }
    }
}

/// What the damages of one log came to.
#[derive(Debug, Default)]
struct Count {
    whole: u64,
    refused: u64,
    reported: u64,
    shorter: u64,
}

/// Damages a copy of `disk` and checks what comes of it.
fn check(disk: &FaultDisk, end: End, there: &Content, rots: &[Rot], count: &mut Count) {
    let damaged = disk.fork();
    for rot in rots {
        // Damage that changes nothing is none.
        if damaged.rot(rot).is_err() {
            return;
        }
    }
    // Read before the open, which rewrites what it finds.
    let stated = stated(&damaged);
    match outcome(&damaged, there) {
        Ok(Outcome::Whole) => count.whole += 1,
        Ok(Outcome::Refused) => count.refused += 1,
        Ok(Outcome::Reported) => count.reported += 1,
        Ok(Outcome::Shorter(last)) => {
            assert_eq!(end, End::Killed, "a closed log lost {last}..{}: {rots:?}", there.1);
            assert!(last >= stated, "{stated} is stated, {last} is left: {rots:?}");
            count.shorter += 1;
        }
        Err(message) => panic!("{end:?} {rots:?}: {message}"),
    }
}

fn length(disk: &FaultDisk, path: &Path) -> u64 {
    disk.peek(path).map_or(0, |bytes| bytes.len() as u64)
}

fn sectors(disk: &FaultDisk, path: &Path) -> std::ops::Range<u64> {
    0..length(disk, path).div_ceil(512)
}

fn at_rest(disk: &FaultDisk) -> Vec<PathBuf> {
    files(&disk.shared())
}

#[test]
fn a_flipped_bit_is_found_or_harmless_wherever_it_is() {
    for end in [End::Closed, End::Killed] {
        let (disk, there) = log_at_rest(end, SMALL);
        let mut count = Count::default();
        for path in at_rest(&disk) {
            for offset in 0..length(&disk, &path) {
                for bit in 0..8 {
                    let rot = Rot::Flip { path: path.clone(), offset, mask: 1 << bit };
                    check(&disk, end, &there, &[rot], &mut count);
                }
            }
        }
        println!("{end:?}: {count:?}");
        assert!(count.refused > 0 && count.whole > 0, "{count:?}");
        assert_eq!(count.shorter > 0, end == End::Killed, "{count:?}");
    }
}

#[test]
fn a_damaged_sector_is_found_or_harmless_wherever_it_is() {
    for end in [End::Closed, End::Killed] {
        let (disk, there) = log_at_rest(end, LARGE);
        let mut count = Count::default();
        for path in at_rest(&disk) {
            for sector in sectors(&disk, &path) {
                let zero = Rot::Zero { path: path.clone(), sector };
                let garbage = Rot::Garbage { path: path.clone(), sector, seed: sector };
                let dropped = Rot::DropWrite { path: path.clone(), sector };
                for rot in [zero, garbage, dropped] {
                    check(&disk, end, &there, &[rot], &mut count);
                }
            }
        }
        println!("{end:?}: {count:?}");
        assert!(count.refused > 0 && count.reported > 0 && count.whole > 0, "{count:?}");
    }
}

#[test]
fn a_sector_that_went_to_the_wrong_place_is_never_served() {
    for end in [End::Closed, End::Killed] {
        let (disk, there) = log_at_rest(end, LARGE);
        let mut count = Count::default();
        let all = at_rest(&disk);
        for (i, from) in all.iter().enumerate() {
            for to in all.iter().skip(i.saturating_sub(1)).take(3) {
                for a in sectors(&disk, from) {
                    for b in sectors(&disk, to) {
                        let rot = Rot::Misdirect { from: (from.clone(), a), to: (to.clone(), b) };
                        check(&disk, end, &there, &[rot], &mut count);
                    }
                }
            }
        }
        println!("{end:?}: {count:?}");
        assert!(count.refused > 0 && count.reported > 0, "{count:?}");
    }
}

#[test]
fn a_file_that_is_cut_or_gone_is_noticed() {
    for end in [End::Closed, End::Killed] {
        let (disk, there) = log_at_rest(end, LARGE);
        let mut count = Count::default();
        for path in at_rest(&disk) {
            check(&disk, end, &there, &[Rot::Remove { path: path.clone() }], &mut count);
            for len in (0..length(&disk, &path)).step_by(8) {
                check(&disk, end, &there, &[Rot::Truncate { path: path.clone(), len }], &mut count);
            }
        }
        println!("{end:?}: {count:?}");
        assert!(count.refused > 0 && count.whole > 0, "{count:?}");
    }
}

#[test]
fn a_log_without_any_manifest_or_any_segment_is_refused() {
    for end in [End::Closed, End::Killed] {
        let (disk, there) = log_at_rest(end, LARGE);
        for kind in ["MANIFEST", ".wal"] {
            let gone = at_rest(&disk).into_iter();
            let gone = gone.filter(|path| path.to_string_lossy().contains(kind));
            let rots: Vec<Rot> = gone.map(|path| Rot::Remove { path }).collect();
            let mut count = Count::default();
            check(&disk, end, &there, &rots, &mut count);
            assert_eq!(count.refused, 1, "{end:?} {kind}: {count:?}");
        }
    }
}
