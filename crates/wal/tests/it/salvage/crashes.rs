//! Salvages that are interrupted by a crash or an error, and done again.

use std::path::Path;

use base::error::Code;
use base::io::Disk;
use sim::crash::{Limits, enumerate, record};
use sim::disk::{Calls, Effect, Fault};

use super::healthy::{Closed, Healthy, Hurt, WORKLOAD, healthy};
use super::manifest::hurt_manifest;
use super::{read_back, run};
use crate::world::{DIR, power_lost};

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
