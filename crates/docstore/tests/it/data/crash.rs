//! Crashes and errors at every moment: what was called verified is there, byte for byte, and the
//! file can be continued behind it.

use std::path::Path;

use base::io::Disk;
use docstore::Location;
use docstore::data::{Condition, DataError, DataWriter, Outcome, Verified};
use sim::crash::{Limits, Recorder, enumerate, record};
use sim::disk::{Calls, Crash, Effect, Fault, FaultDisk, Loss, Op, Rot};

use super::{DIR, Sample, TINY, append, create, finished, identity, open, path, samples};

/// A verified length and the records below it.
type Promise = (Verified, Vec<(Location, Sample)>);

/// Writes a file in several flushes, one of them by a writer that continues it, and closes it.
fn write(disk: &FaultDisk, mut promise: impl FnMut(Promise)) -> Result<(), DataError> {
    let all = samples(13);
    let shared = disk.shared();
    let mut records = Vec::new();
    let mut writer = DataWriter::create(&shared, Path::new(DIR), identity(), TINY)?;
    for (n, batch) in all.chunks(3).enumerate() {
        if n == 2 {
            let len = writer.verified().len;
            writer = DataWriter::open_at(&shared, Path::new(DIR), identity(), len)?;
        }
        for sample in batch {
            records.push((writer.append(&sample.as_ref())?, sample.clone()));
            // Several writes for a power loss to choose from.
            writer.flush()?;
        }
        promise((writer.publish()?, records.clone()));
    }
    promise((writer.finish()?, records));
    Ok(())
}

/// What was promised is there, and what protects it.
fn kept(disk: &FaultDisk, (verified, records): &Promise) -> Result<(), String> {
    let file = open(disk, verified.len);
    for (location, sample) in records {
        let record = file.read(*location, &sample.expected()).map_err(|e| e.to_string())?;
        if !sample.is(&record) {
            return Err(format!("{location} holds {record:?}"));
        }
    }
    for stripe in 0..verified.protected_len / TINY.geometry.stripe_bytes() {
        let condition = file.check_stripe(stripe).map_err(|e| e.to_string())?;
        if condition != Condition::Sound {
            return Err(format!("stripe {stripe}: {condition:?}"));
        }
    }
    let tail = file.check_tail().map_err(|e| e.to_string())?;
    if tail.is_empty() { Ok(()) } else { Err(format!("the tail is damaged: {tail:?}")) }
}

/// The file takes more behind what was promised, whatever stands there.
fn goes_on(disk: &FaultDisk, (verified, records): &Promise) -> Result<(), String> {
    let shared = disk.shared();
    let writer = DataWriter::open_at(&shared, Path::new(DIR), identity(), verified.len);
    let mut writer = writer.map_err(|e| e.to_string())?;
    let mut records = records.clone();
    records.extend(append(&mut writer, &samples(9)));
    let verified = writer.finish().map_err(|e| e.to_string())?;
    let after = disk.crash(&Crash::PowerLoss(Loss::Everything));
    kept(&after, &(verified, records))
}

#[test]
fn every_crash_leaves_what_was_verified_and_a_file_that_can_be_continued() {
    let recording = record(&FaultDisk::new(), |disk, recorder: &Recorder<Promise>| {
        write(disk, |promise| recorder.acknowledge(promise)).unwrap();
    });
    let limits = Limits { exhaustive_max: 256, samples: 48, ..Limits::default() };
    let mut promised = 0;
    let report = enumerate(&recording, &limits, |disk, promises: &[Promise], _| {
        let Some(last) = promises.last() else { return Ok(()) };
        promised += 1;
        kept(disk, last)?;
        goes_on(disk, last)
    })
    .unwrap_or_else(|failure| panic!("{failure}"));
    assert!(promised > 300, "{promised} of {report:?}");
    assert!(report.power_torn > 50 && report.kills_within > 5, "{report:?}");
}

#[test]
fn a_heal_that_a_crash_interrupts_leaves_one_bad_block_or_none() {
    let written = finished(TINY, 13);
    let before = written.bytes();
    for offset in [TINY.block_start(1, 2), TINY.parity_start(1), TINY.table_start(1)] {
        let disk = written.disk.fork();
        disk.rot(&Rot::Garbage { path: path(), sector: offset / 512, seed: 3 }).unwrap();
        let recording = record(&disk, |disk, recorder: &Recorder<()>| {
            open(disk, written.verified).heal_stripe(1).unwrap();
            recorder.acknowledge(());
        });
        let report = enumerate(&recording, &Limits::default(), |disk, healed: &[()], _| {
            let is_healed = disk.peek(&path()).as_ref() == Some(&before);
            if !healed.is_empty() && !is_healed {
                return Err("what was healed is not durable".into());
            }
            let outcome = open(disk, written.verified).heal_stripe(1).map_err(|e| e.to_string())?;
            if matches!(outcome, Outcome::Lost(_)) || disk.peek(&path()).as_ref() != Some(&before) {
                return Err(format!("{outcome:?}"));
            }
            Ok(())
        });
        let report = report.unwrap_or_else(|failure| panic!("{failure}"));
        assert!(report.distinct > 4, "{report:?}");
    }
}

#[test]
fn after_any_failing_call_what_was_verified_is_there() {
    let effects =
        [Effect::Eio, Effect::Enospc, Effect::Edquot, Effect::Eintr, Effect::Eagain, Effect::Short];
    let clean = FaultDisk::new();
    write(&clean, |_| {}).unwrap();
    let calls = clean.calls();
    assert!(calls > 40);
    for effect in effects {
        for fault in [Fault::once, Fault::forever] {
            for nth in 1..=calls {
                let disk = FaultDisk::new();
                disk.inject(fault(Calls::Any, nth, effect));
                let mut last = None;
                let result = write(&disk, |promise| last = Some(promise));
                match &result {
                    Ok(()) => {}
                    Err(_) if effect == Effect::Short => panic!("short calls are finished"),
                    Err(DataError::Io { .. } | DataError::Corrupt { .. }) => {}
                    Err(error) => panic!("call {nth}, {effect:?}: {error}"),
                }
                disk.clear_faults();
                let Some(last) = last else { continue };
                for crash in [Crash::Kill, Crash::PowerLoss(Loss::Everything)] {
                    let after = disk.crash(&crash);
                    kept(&after, &last).and_then(|()| goes_on(&after, &last)).unwrap_or_else(|e| {
                        panic!("call {nth}, {effect:?}, {crash:?}: {e} after {result:?}")
                    });
                }
            }
        }
    }
}

#[test]
fn what_a_failed_sync_lost_is_noticed_by_a_writer_that_would_go_on() {
    // A sync that fails without a word to the writer: only reading past the cache can tell.
    let disk = FaultDisk::new();
    let mut writer = create(&disk, TINY);
    append(&mut writer, &samples(3));
    writer.flush().unwrap();
    disk.inject(Fault::once(Calls::Only(Op::SyncData), 1, Effect::Eio));
    let file = disk.open(&path(), base::io::Open::Write).unwrap();
    file.sync_data().unwrap_err();
    writer.sync().unwrap();
    let error = writer.verify().unwrap_err();
    assert!(error.flaw().is_some(), "{error}");
}
