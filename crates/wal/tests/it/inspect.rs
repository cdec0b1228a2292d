//! Looking at logs: the numbers are right, and nothing is changed whatever the log is like.

use std::path::Path;

use base::io::DiskRef;
use base::rng::Rng;
use base::words::Lsn;
use sim::disk::{Crash, FaultDisk, Rot};
use wal::frame::Kind;
use wal::inspect::{Ending, FrameInspection, Inspection, Role, Verdict, inspect};
use wal::{FsyncMode, WalError};

use crate::world::{DIR, Step, World, clock, files, open, small};

fn written(steps: &[Step]) -> (FaultDisk, wal::Log) {
    let disk = FaultDisk::new();
    let mut world = World::new(&disk, small(FsyncMode::Group));
    for step in steps {
        world.step(*step).expect("a fault-free disk");
    }
    (disk, world.log.take().expect("it is open"))
}

fn look(disk: &DiskRef, path: &Path) -> Result<(Inspection, Vec<FrameInspection>), WalError> {
    let mut frames = Vec::new();
    let found = inspect(disk, path, &mut |frame| frames.push(frame.clone()))?;
    Ok((found, frames))
}

fn count(found: &Inspection, kind: Kind) -> u64 {
    let kinds = found.segments.iter().flat_map(|segment| &segment.kinds);
    kinds.filter(|(k, _)| *k == kind).map(|(_, n)| n).sum()
}

#[test]
fn a_closed_log_is_counted_and_opens_clean() {
    let steps = [Step::Append, Step::Transaction, Step::Rotate, Step::Checkpoint, Step::Crossing];
    let (disk, log) = written(&steps);
    let last = log.visible();
    log.close().unwrap();
    let before = disk.content_hash();
    let (found, frames) = look(&disk.shared(), Path::new(DIR)).unwrap();
    assert_eq!(found.verdict, Some(Verdict::OpensClean { last }));
    assert_eq!(count(&found, Kind::Put), 8);
    assert_eq!(count(&found, Kind::Checkpoint), 1);
    assert_eq!(count(&found, Kind::Close), 1);
    assert_eq!(found.segments.iter().map(|s| s.transactions).sum::<u64>(), 5);
    let (newest, rest) = found.segments.split_last().unwrap();
    assert_eq!(newest.ending, Ending::Closed);
    assert!(rest.iter().all(|s| s.ending == Ending::Continued && s.role == Role::Log));
    let lsns: Vec<u64> =
        frames.iter().filter(|f| !f.header.kind.is_hint()).map(|f| f.header.lsn.0).collect();
    assert_eq!(lsns, (1..=last.0).collect::<Vec<_>>());
    let checkpoint = frames.iter().find(|f| f.header.kind == Kind::Checkpoint).unwrap();
    assert_eq!(checkpoint.payload_lsn, Some(Lsn(checkpoint.header.lsn.0 - 1)));
    assert!(frames.iter().all(|f| f.key.is_some() == (f.header.kind == Kind::Put)));
    assert_eq!(disk.content_hash(), before, "looking changes nothing");
}

#[test]
fn a_log_in_use_can_be_looked_at_and_would_be_recovered() {
    let (disk, log) = written(&[Step::Append, Step::Append]);
    let (found, _) = look(&disk.shared(), Path::new(DIR)).unwrap();
    let expected = Verdict::Recovers { last: Lsn(2), rewritten: 1, cut: 0 };
    assert_eq!(found.verdict, Some(expected));
    assert_eq!(found.segments[0].ending, Ending::Free);
    drop(log);
}

#[test]
fn a_torn_tail_and_damage_are_told_apart() {
    let (disk, log) = written(&[Step::Append, Step::Append]);
    std::mem::forget(log);
    let disk = disk.crash(&Crash::Kill);
    let path = files(&disk.shared())
        .into_iter()
        .find(|p| p.extension().is_some() && p.extension().is_some_and(|e| e == "wal"))
        .unwrap();
    let frames = look(&disk.shared(), &path).unwrap().1;
    let torn = disk.fork();
    let last = frames.last().unwrap().offset + 41;
    torn.rot(&Rot::Flip { path: path.clone(), offset: last, mask: 1 }).unwrap();
    let (found, _) = look(&torn.shared(), Path::new(DIR)).unwrap();
    assert!(matches!(found.segments[0].ending, Ending::Torn(_)), "{found:?}");
    assert!(matches!(found.verdict, Some(Verdict::Recovers { last: Lsn(1), .. })), "{found:?}");
    disk.rot(&Rot::Flip { path, offset: frames[0].offset + 41, mask: 1 }).unwrap();
    let (found, seen) = look(&disk.shared(), Path::new(DIR)).unwrap();
    assert_eq!(found.segments[0].damaged.len(), 1);
    assert_eq!(seen.len(), 1, "the frame behind the damage is seen");
    let Some(Verdict::Refuses(why)) = found.verdict else { panic!("{found:?}") };
    assert!(why.contains("damaged"), "{why}");
}

#[test]
fn a_single_segment_file_is_read_even_without_its_header() {
    let (disk, log) = written(&[Step::Append, Step::Transaction]);
    log.close().unwrap();
    let path = Path::new(DIR).join("0000000000000001.wal");
    let whole = look(&disk.shared(), &path).unwrap();
    assert!(whole.0.verdict.is_none() && whole.0.manifest.is_none());
    disk.rot(&Rot::Flip { path: path.clone(), offset: 20, mask: 1 }).unwrap();
    let (found, frames) = look(&disk.shared(), &path).unwrap();
    assert!(found.segments[0].header.is_err());
    assert_eq!(frames, whole.1);
}

#[test]
fn what_is_no_log_is_said_to_be_none() {
    let disk = FaultDisk::new().shared();
    disk.create_dir(Path::new(DIR)).unwrap();
    assert!(matches!(look(&disk, Path::new(DIR)), Err(WalError::NoLog(_))));
    assert!(look(&disk, Path::new("/nothing")).unwrap_err().to_string().contains("/nothing"));
}

#[test]
fn whatever_is_damaged_it_is_reported_as_opening_finds_it() {
    let steps = [Step::Append, Step::Transaction, Step::Rotate, Step::Crossing, Step::Idle];
    let (disk, log) = written(&steps);
    log.close().unwrap();
    let mut rng = Rng::new(3);
    let all = files(&disk.shared());
    let mut refused = 0;
    for round in 0..300 {
        let disk = disk.fork();
        for _ in 0..=rng.below(3) {
            let path = all[usize::try_from(rng.below(all.len() as u64)).unwrap()].clone();
            let len = disk.peek(&path).map_or(0, |bytes| bytes.len() as u64);
            let damage = match rng.below(4) {
                0 => Rot::Remove { path },
                1 => Rot::Truncate { path, len: rng.below(len.max(1)) },
                2 => Rot::Garbage { path, sector: rng.below(len / 512 + 1), seed: round },
                _ => Rot::Flip { path, offset: rng.below(len.max(1)), mask: 4 },
            };
            // Some damage changes nothing, or what it would damage is gone.
            let _ = disk.rot(&damage);
        }
        let before = disk.content_hash();
        let Ok((found, _)) = look(&disk.shared(), Path::new(DIR)) else { continue };
        assert_eq!(disk.content_hash(), before, "round {round}");
        let opened = open(&disk.shared(), &clock(), small(FsyncMode::Group));
        match (found.verdict.unwrap(), opened) {
            (Verdict::OpensClean { last } | Verdict::Recovers { last, .. }, Ok((_, recovery))) => {
                assert_eq!(last, recovery.last, "round {round}");
            }
            (Verdict::Refuses(why), Err(e)) => {
                refused += 1;
                assert_eq!(why, e.to_string(), "round {round}");
            }
            (verdict, opened) => panic!("round {round}: {verdict:?} but {opened:?}"),
        }
    }
    assert!(refused > 50, "only {refused} were refused");
}
