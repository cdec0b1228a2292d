//! Every I/O call of a workload fails in turn, once and for good, in every way and every mode.
//!
//! What must hold: no panic; an error with a sensible code; nothing that was acknowledged is lost;
//! what was refused is not there; a transaction is there whole or not at all; a poisoned log
//! refuses writes and goes on reading; any other goes on as if nothing had happened; and opening
//! the log without the fault always helps.
//!
//! Start with [`run::WORKLOAD`], then `run.rs` for the checks; here are the faults.

mod run;

use base::rng::Rng;
use sim::disk::{Calls, Effect, Fault, Op, Times};
use sim::seed::Seeds;
use wal::FsyncMode;

use crate::errors::run::{Act, Count, Run, WORKLOAD};
use crate::world::MODES;

/// The workload with these faults; answers how many calls it made.
fn run(mode: FsyncMode, faults: &[Fault], count: &mut Count) -> u64 {
    let forever = faults.iter().any(|fault| fault.times == Times::Forever);
    let mut run = Run::new(mode, faults.iter().map(|fault| fault.effect).collect());
    let before = run.disk.calls();
    faults.iter().for_each(|fault| run.disk.inject(fault.clone()));
    let mut calls = 0;
    let mut going = run.begin();
    for act in WORKLOAD {
        if !going {
            break;
        }
        if *act == Act::Kill {
            // A crash yields a new disk: the faults that are still to come go with it.
            calls = run.disk.calls() - before;
            going = run.kill(faults, calls);
        } else {
            going = run.act(*act);
        }
    }
    calls += run.disk.calls();
    assert!(going || forever || faults.len() > 1, "a fault that struck once ended the workload");
    run.finish(count);
    calls
}

const EFFECTS: [Effect; 6] =
    [Effect::Eio, Effect::Enospc, Effect::Edquot, Effect::Eintr, Effect::Eagain, Effect::Short];

/// Runs the workload once per set of faults and says which of them broke something.
fn sweep(mode: FsyncMode, least: u64, sets: impl Fn(u64) -> Vec<Vec<Fault>>) -> Count {
    let calls = run(mode, &[], &mut Count::default());
    let mut count = Count::default();
    let mut broken = Vec::new();
    for faults in sets(calls) {
        let attempt = std::panic::AssertUnwindSafe(|| run(mode, &faults, &mut count));
        match std::panic::catch_unwind(attempt) {
            // A call is repeated 64 times at most.
            Ok(made) => assert!(made < calls * 70, "{faults:?}: {made} calls"),
            Err(_) => broken.push(faults),
        }
    }
    println!("mode={} calls={calls} {count:?}", mode.name());
    broken.truncate(20);
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(count.runs >= least && count.errors > 0, "it shrank: {count:?}");
    count
}

/// Every call, every effect, once and for good.
fn each_call(calls: u64) -> Vec<Vec<Fault>> {
    let mut sets = Vec::new();
    for nth in 1..=calls {
        for effect in EFFECTS {
            sets.push(vec![Fault::once(Calls::Any, nth, effect)]);
            sets.push(vec![Fault::forever(Calls::Any, nth, effect)]);
        }
    }
    sets
}

/// Each kind of call fails from the n-th of its kind on, while all others work: a full disk, a
/// directory that cannot be changed, a device that does not sync.
fn each_kind(_: u64) -> Vec<Vec<Fault>> {
    let kinds = [
        Calls::Mutating,
        Calls::Syncs,
        Calls::Only(Op::Create),
        Calls::Only(Op::Rename),
        Calls::Only(Op::RemoveFile),
        Calls::Only(Op::SyncDir),
        Calls::Only(Op::Write),
        Calls::Only(Op::Read),
        Calls::Only(Op::SetLen),
    ];
    let mut sets = Vec::new();
    for kind in kinds {
        for nth in 1..=40 {
            for effect in [Effect::Eio, Effect::Enospc, Effect::Short] {
                sets.push(vec![Fault::forever(kind, nth, effect)]);
                // The second one meets what handles the first.
                let second = Fault::once(kind, nth + 1, effect);
                sets.push(vec![Fault::once(kind, nth, effect), second]);
            }
        }
    }
    sets
}

/// Nothing more can be opened from the n-th call of a kind on, once, twice or for good.
fn each_opening(_: u64) -> Vec<Vec<Fault>> {
    let mut sets = Vec::new();
    for op in [Op::Open, Op::Create, Op::SyncDir, Op::List, Op::Lock] {
        let kind = Calls::Only(op);
        for nth in 1..=40 {
            let once = |nth| Fault::once(kind, nth, Effect::Emfile);
            sets.push(vec![once(nth)]);
            sets.push(vec![once(nth), once(nth + 1)]);
            sets.push(vec![Fault::forever(kind, nth, Effect::Emfile)]);
        }
    }
    sets
}

/// Two or three calls chosen by chance fail.
fn some_calls(calls: u64) -> Vec<Vec<Fault>> {
    let seeds = Seeds::from_env(1, 300);
    let set = |seed| {
        let mut rng = Rng::new(seed);
        let faults = 2 + rng.below(2);
        let mut fault = || {
            let effect = EFFECTS[rng.index(EFFECTS.len())];
            Fault::once(Calls::Any, 1 + rng.below(calls), effect)
        };
        (0..faults).map(|_| fault()).collect()
    };
    (0..seeds.runs).map(|run| set(seeds.first.wrapping_add(run))).collect()
}

#[test]
fn no_failing_call_breaks_a_promise_in_mode_always() {
    sweep(MODES[0], 2000, each_call);
}

#[test]
fn no_failing_call_breaks_a_promise_in_mode_group() {
    sweep(MODES[1], 2000, each_call);
}

#[test]
fn no_failing_call_breaks_a_promise_in_mode_interval() {
    sweep(MODES[2], 2000, each_call);
}

#[test]
fn no_failing_call_breaks_a_promise_in_mode_none() {
    sweep(MODES[3], 2000, each_call);
}

#[test]
fn no_kind_of_call_that_keeps_failing_breaks_a_promise() {
    for mode in MODES {
        sweep(mode, 1000, each_kind);
    }
}

#[test]
fn a_want_of_descriptors_breaks_no_promise_and_poisons_nothing() {
    for mode in MODES {
        let count = sweep(mode, 500, each_opening);
        assert_eq!(count.poisoned, 0, "{}: {count:?}", mode.name());
    }
}

#[test]
fn no_few_failing_calls_break_a_promise_together() {
    for mode in MODES {
        sweep(mode, 1, some_calls);
    }
}

#[test]
fn the_same_faults_give_the_same_run_call_by_call() {
    for mode in MODES {
        let trace = |faults: &[Fault]| {
            let mut count = Count::default();
            run(mode, faults, &mut count);
            count.trace
        };
        let none = trace(&[]);
        for faults in some_calls(200).iter().take(40) {
            assert_eq!(trace(faults), trace(faults), "{faults:?}");
            assert_ne!(trace(faults), none, "{faults:?} changed no call");
        }
    }
}
