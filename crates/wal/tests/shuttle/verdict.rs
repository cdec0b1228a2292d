//! What must hold after a run, whatever the interleaving was.

use std::collections::BTreeMap;
use std::path::Path;

use base::clock::WallMs;
use base::error::Code;
use base::words::{Change, Lsn};
use sim::clock::VirtualClock;
use sim::disk::{Crash, FaultDisk, Loss};
use wal::{Background, Environment, Log, Options, Upto};

use crate::load::{Answer, DIR, Failing, Run, put};

/// Checks a run: everybody was answered, completions came in LSN order, what was acknowledged is
/// where its LSN says, what was refused is nowhere, and power loss takes nothing of what the mode
/// promised.
pub(crate) fn judge(run: Run) {
    assert_eq!(run.answers.len(), run.taken, "everybody who was let in is answered, once");
    in_order(&run.answers);
    if run.failing == Failing::Nothing {
        let entries = run.disk.shared().list(Path::new(DIR)).expect("no fault");
        let spare = entries.iter().find(|entry| entry.name.starts_with("spare-"));
        assert!(spare.is_none(), "a closed log has {spare:?}");
    }
    let kept = content(&run.disk.crash(&Crash::Kill), &run.options);
    let survived = content(&run.disk.crash(&Crash::PowerLoss(Loss::Everything)), &run.options);
    let mut expected = BTreeMap::new();
    for answer in &run.answers {
        match answer.result {
            Ok(committed) => {
                let before = expected.insert(committed.last, answer.number);
                assert_eq!(before, None, "{} was given twice", committed.last);
                found(&kept, committed.last, answer.number);
                if run.mode.syncs_before_ack() || committed.last <= run.durable {
                    found(&survived, committed.last, answer.number);
                }
            }
            // What was refused for good is nowhere; what nobody knows may be anywhere.
            Err(Code::DurabilityUnknown) => {}
            Err(_) => {
                let there = kept.values().any(|change| *change == put(answer.number));
                assert!(!there, "transaction {} was refused and is there", answer.number);
            }
        }
    }
    assert!(
        survived.len() as u64 >= run.durable.0,
        "durable up to {}, {} survived",
        run.durable,
        survived.len()
    );
}

fn in_order(answers: &[Answer]) {
    let mut last = Lsn::ZERO;
    for answer in answers.iter().filter(|answer| answer.by_completion) {
        let Ok(committed) = answer.result else { continue };
        assert!(committed.last > last, "{} was completed after {last}", committed.last);
        last = committed.last;
    }
}

fn found(content: &BTreeMap<Lsn, Change>, lsn: Lsn, number: u64) {
    assert_eq!(content.get(&lsn), Some(&put(number)), "acknowledged at {lsn}");
}

/// What a new process finds on `disk`; LSNs are consecutive from 1.
fn content(disk: &FaultDisk, options: &Options) -> BTreeMap<Lsn, Change> {
    let env = Environment {
        disk: disk.shared(),
        clock: VirtualClock::new(WallMs(1_700_000_000_000)).shared(),
        reserve: None,
    };
    let options = Options { background: Background::Manual, planted: None, ..options.clone() };
    let (log, _) = Log::open_dir(&env, Path::new(DIR), options, &mut |_| Ok(()))
        .expect("what a crash leaves can be opened");
    let mut changes = BTreeMap::new();
    let mut reader = log.read(Lsn(1), Upto::Durable);
    while let Some(frame) = reader.next().expect("what was recovered can be read") {
        assert_eq!(frame.lsn, Lsn(changes.len() as u64 + 1), "LSNs are consecutive");
        changes.insert(frame.lsn, frame.change().expect("only changes were written"));
    }
    changes
}
