//! The enumerator finds planted bugs, passes a store without them, counts what it visits, and does
//! the same again for the same seed.

use base::io::{Disk, Open};
use sim::FaultDisk;
use sim::crash::{Failure, Limits, Mode, Modes, Recorder, Recording, Report, enumerate, record};
use sim::disk::{Calls, Effect, Fault};

use crate::toy::{Bug, Toy};
use crate::{named_file, p};

/// What the toy has promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Promise {
    Appended(u64),
    Value(u64),
}

fn appends(disk: &FaultDisk, bug: Bug) -> Recording<Promise> {
    record(disk, |disk, recorder| {
        let mut toy = Toy::open(disk, bug).unwrap();
        for number in 1..=3 {
            if !toy.append(number, |number| recorder.acknowledge(Promise::Appended(number))) {
                break;
            }
        }
    })
}

fn values(bug: Bug) -> Recording<Promise> {
    record(&FaultDisk::new(), |disk, recorder| {
        let toy = Toy::open(disk, bug).unwrap();
        for number in 1..=2 {
            toy.set_value(number).unwrap();
            recorder.acknowledge(Promise::Value(number));
        }
    })
}

/// Promised numbers are there, in order, with at most the one in flight after them; the value is
/// the promised one or the next.
fn kept(disk: &FaultDisk, promised: &[Promise], bug: Bug) -> Result<(), String> {
    let toy = Toy::open(disk, bug).map_err(|e| e.to_string())?;
    let appended = promised.iter().filter(|p| matches!(p, Promise::Appended(_))).count();
    let expected: Vec<u64> = (1..).take(toy.numbers.len()).collect();
    if toy.numbers != expected || toy.numbers.len() < appended || toy.numbers.len() > appended + 1 {
        return Err(format!("promised={promised:?} found={:?}", toy.numbers));
    }
    let value = Toy::value(disk)?.unwrap_or(0);
    let set = promised.iter().rev().find_map(|promise| match promise {
        Promise::Value(number) => Some(*number),
        Promise::Appended(_) => None,
    });
    let set = set.unwrap_or(0);
    if value == set || value == set + 1 { Ok(()) } else { Err(format!("value={value} set={set}")) }
}

fn survey(recording: &Recording<Promise>, bug: Bug) -> Result<Report, Box<Failure>> {
    enumerate(recording, &Limits::default(), |disk, promised, _| kept(disk, promised, bug))
}

#[test]
fn a_correct_store_passes_in_every_state() {
    let report = survey(&appends(&FaultDisk::new(), Bug::None), Bug::None).unwrap();
    assert!(report.distinct > 50, "{report}");
    assert_eq!(report.prefixes, report.prefixes_exhaustive, "{report}");
    let report = survey(&values(Bug::None), Bug::None).unwrap();
    assert!(report.distinct > 30, "{report}");
}

#[test]
fn acknowledging_before_the_sync_is_found() {
    let failure = survey(&appends(&FaultDisk::new(), Bug::AckBeforeSync), Bug::AckBeforeSync);
    assert!(matches!(failure.unwrap_err().point.mode, Mode::PowerLoss(_)));
}

#[test]
fn renaming_before_the_sync_is_found() {
    let failure = survey(&values(Bug::RenameBeforeSync), Bug::RenameBeforeSync).unwrap_err();
    assert!(failure.message.contains("the value is torn"), "{failure}");
}

#[test]
fn forgetting_the_sync_of_the_directory_is_found() {
    assert!(survey(&values(Bug::NoDirSync), Bug::NoDirSync).is_err());
    assert!(survey(&appends(&FaultDisk::new(), Bug::NoDirSync), Bug::NoDirSync).is_err());
}

#[test]
fn believing_a_record_without_its_checksum_is_found() {
    let failure = survey(&appends(&FaultDisk::new(), Bug::NoChecksum), Bug::NoChecksum);
    assert!(failure.is_err());
}

#[test]
fn believing_a_second_sync_after_a_failed_one_is_found() {
    let run = |bug| {
        let disk = FaultDisk::new();
        // The syncs: the directory, recovery's, and then one per record.
        disk.inject(Fault::once(Calls::Syncs, 4, Effect::Eio));
        survey(&appends(&disk, bug), bug)
    };
    run(Bug::None).unwrap();
    assert!(run(Bug::ResyncAfterFailedSync).unwrap_err().message.contains("promised"));
}

#[test]
fn recovery_is_crashed_itself_and_a_bug_that_needs_two_crashes_is_found() {
    let run = |bug| {
        let first = record(&FaultDisk::new(), |disk, recorder| {
            let mut toy = Toy::open(disk, bug).unwrap();
            toy.append(1, |number| recorder.acknowledge(number));
        });
        enumerate(&first, &Limits::default(), |disk, promised: &[u64], _| {
            let second = record(disk, |disk, recorder: &Recorder<u64>| {
                let mut toy = Toy::open(disk, bug).unwrap();
                toy.append(2, |number| recorder.acknowledge(number));
            });
            enumerate(&second, &Limits::default(), |disk, then: &[u64], _| {
                let found = Toy::open(disk, bug).unwrap().numbers;
                let lost = |number: &&u64| !found.contains(*number);
                match promised.iter().chain(then).find(lost) {
                    Some(number) => Err(format!("lost={number} found={found:?}")),
                    None => Ok(()),
                }
            })
            .map(|_| ())
            .map_err(|failure| failure.to_string())
        })
    };
    run(Bug::None).unwrap();
    assert!(run(Bug::AppendAfterTornTail).unwrap_err().message.contains("lost=2"));
}

#[test]
fn a_reported_point_builds_the_same_disk_again() {
    let recording = appends(&FaultDisk::new(), Bug::None);
    let mut seen = Vec::new();
    let limits = Limits::default();
    enumerate(&recording, &limits, |disk, _, point| {
        seen.push((disk.content_hash(), point.clone()));
        Ok(())
    })
    .unwrap();
    for (hash, point) in seen {
        assert_eq!(recording.disk_at(&point).content_hash(), hash, "{point:?}");
    }
}

#[test]
fn the_same_seed_visits_the_same_states_and_another_seed_others() {
    let recording: Recording<()> = record(&FaultDisk::new(), |disk, _| {
        let file = named_file(disk, "/f");
        for i in 0..14_u8 {
            file.write_at(&[i; 700], u64::from(i) * 500).unwrap();
        }
    });
    let visited = |seed| {
        let mut hashes = Vec::new();
        let limits = Limits { seed, exhaustive_max: 16, samples: 64, modes: Modes::PowerLoss };
        let report = enumerate(&recording, &limits, |disk, _, _| {
            hashes.push(disk.content_hash());
            Ok(())
        });
        (report.unwrap(), hashes)
    };
    assert_eq!(visited(5), visited(5));
    assert_ne!(visited(5).1, visited(6).1);
    assert!(visited(5).0.prefixes_sampled > 0);
}

#[test]
fn every_checked_state_differs_from_every_other() {
    let recording: Recording<()> = record(&FaultDisk::new(), |disk, _| {
        let a = disk.open(p("/a"), Open::CreateNew).unwrap();
        a.write_at(&[1; 1024], 0).unwrap();
        disk.rename(p("/a"), p("/b")).unwrap();
        disk.sync_dir(p("/")).unwrap();
    });
    let mut hashes = Vec::new();
    let limits = Limits { modes: Modes::PowerLoss, ..Limits::default() };
    let report = enumerate(&recording, &limits, |disk, _, _| {
        hashes.push(disk.content_hash());
        Ok(())
    });
    let report = report.unwrap();
    assert_eq!(report.distinct, hashes.len() as u64);
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(report.distinct, hashes.len() as u64);
    assert!(report.states > report.distinct, "{report}");
}

#[test]
fn a_panic_of_the_check_is_reported_with_its_state() {
    let recording = appends(&FaultDisk::new(), Bug::None);
    let failure = enumerate(&recording, &Limits::default(), |_, promised, _| {
        assert!(promised.len() < 2, "two promises");
        Ok(())
    });
    let failure = failure.unwrap_err();
    assert_eq!(failure.acknowledged, 2);
    let text = failure.to_string();
    assert!(text.contains("two promises") && text.contains("seed=1"), "{text}");
}

#[test]
fn marks_are_seen_by_the_crashes_after_them_and_by_no_other() {
    let recording = record(&FaultDisk::new(), |disk, recorder| {
        let file = named_file(disk, "/f");
        recorder.acknowledge("named");
        assert_eq!(recorder.position(), 2);
        file.write_at(b"x", 0).unwrap();
        recorder.acknowledge("written");
    });
    assert_eq!(recording.len(), 3);
    assert_eq!(recording.acknowledged(1), [""; 0]);
    assert_eq!(recording.acknowledged(2), ["named"]);
    assert_eq!(recording.acknowledged(3), ["named", "written"]);
    assert_eq!(recording.disk_after(2).peek(p("/f")), Some(vec![]));
    assert_eq!(recording.disk_after(3).peek(p("/f")), Some(b"x".to_vec()));
}

#[test]
fn a_crashed_volume_has_the_size_it_had_at_the_crash() {
    let recording: Recording<()> = record(&FaultDisk::new(), |disk, _| {
        let file = named_file(disk, "/f");
        disk.set_capacity(Some(8192));
        file.write_at(&[1; 4096], 0).unwrap();
    });
    let room = |prefix: usize| recording.disk_after(prefix).space(p("/")).unwrap().available;
    assert_eq!((room(2), room(3)), (u64::MAX, 4096));
}
