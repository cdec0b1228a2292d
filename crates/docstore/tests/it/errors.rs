//! Every I/O call of a workload fails in turn, once and for good, in every way and every mode.
//!
//! What must hold: no panic; an error with a code that says what happened; nothing that was
//! acknowledged is lost, what was refused is not there, a batch is there whole or not at all; a
//! database that lives on answers reads with what was acknowledged; and opening it without the
//! fault always helps.

use std::sync::Arc;

use base::error::{Code, Coded as _};
use base::rng::Rng;
use docstore::{Options, StoreError};
use sim::disk::{Calls, Crash, Effect, Fault, FaultDisk, Loss, Op};
use sim::seed::Seeds;

use crate::life::{Life, MODES, Step, open, tiny, told};
use crate::survival::{Promises, observe};

/// Everything that a database does, in an order in which each step has something to do.
const WORKLOAD: [Step; 15] = [
    Step::Put,
    Step::Batch,
    Step::Delete,
    Step::Transaction,
    Step::Checkpoint,
    Step::Patch,
    Step::Rotate,
    Step::Recreate,
    Step::Compact,
    Step::Heal,
    Step::Expire,
    Step::Idle,
    Step::Reopen,
    Step::Trim,
    Step::Put,
];

/// What all runs came to.
#[derive(Debug, Default)]
struct Count {
    runs: u64,
    errors: u64,
    poisoned: u64,
    refused: u64,
}

/// Whether a code says what these effects did.
pub(crate) fn is_of(code: Code, effects: &[Effect]) -> bool {
    let full = |effect: &Effect| matches!(effect, Effect::Enospc | Effect::Edquot);
    let of_file = [Code::FileOpen, Code::FileRead, Code::FileWrite, Code::FileSync];
    let mut real = effects.iter().filter(|effect| **effect != Effect::Short);
    let sensible = real.any(|effect| {
        matches!(code, Code::DurabilityUnknown | Code::ReadOnly)
            || (code == Code::DiskFull && full(effect))
            || (of_file.contains(&code) && !full(effect))
    });
    // A sector that cannot be read is damage, as one that reads wrongly is.
    let damage = [Code::DocCorrupt, Code::CorruptRecord, Code::CrcMismatch];
    sensible || (effects.contains(&Effect::Eio) && damage.contains(&code))
}

/// One run of the workload.
struct Run {
    life: Life,
    effects: Vec<Effect>,
    count: Count,
}

impl Run {
    fn new(options: Options, effects: Vec<Effect>) -> Self {
        let disk = FaultDisk::new();
        let life = Life::new(&disk, options);
        Self { life, effects, count: Count { runs: 1, ..Count::default() } }
    }

    /// Notes an error after checking that its code says what happened.
    fn error(&mut self, error: &StoreError) {
        self.count.errors += 1;
        let code = error.code();
        assert!(is_of(code, &self.effects), "{:?} became {}", self.effects, told(error));
        self.count.refused += u64::from(code == Code::DiskFull);
        self.count.poisoned += u64::from(code == Code::DurabilityUnknown);
    }

    fn is_poisoned(&self) -> bool {
        let stats = self.life.db.as_ref().and_then(|db| db.stats().ok());
        stats.is_some_and(|stats| stats.log.poisoned.is_some())
    }

    /// Does the workload; ends early when the database cannot be opened again.
    fn work(&mut self) {
        for step in WORKLOAD {
            if self.life.db.is_none() && !self.reopen() {
                return;
            }
            if let Err(error) = self.life.step(step) {
                self.error(&error);
            }
            // A poisoned database takes no more writes: it is opened again.
            if self.is_poisoned() {
                drop(self.life.db.take());
            }
        }
    }

    /// Opens the database, which a fault that strikes once can prevent once.
    fn reopen(&mut self) -> bool {
        for _ in 0..=self.effects.len() {
            match open(&self.life.disk.shared(), &self.life.clock, &self.life.options) {
                Ok(db) => {
                    self.life.db = Some(db);
                    return self.resolve();
                }
                Err(error) => self.error(&error),
            }
        }
        false
    }

    /// Finds out what became of a write of which nobody was told.
    fn resolve(&mut self) -> bool {
        for _ in 0..=self.effects.len() {
            match observe(self.life.db()) {
                Ok(_) => break,
                Err(error) => self.error(&error),
            }
        }
        let Ok(seen) = observe(self.life.db()) else { return false };
        let promises = Promises::of(&self.life.notes);
        let owed = promises.owed(false, &self.life.options);
        let found = promises
            .found(&seen, self.life.db().now(), owed, self.life.db().position())
            .expect("after reopening");
        let db = self.life.db.take().expect("just opened");
        self.life = self.life.again(&self.life.disk, db, found);
        true
    }

    /// Checks what there is now that nothing fails.
    fn finish(mut self) -> Count {
        self.life.disk.clear_faults();
        let promises = Promises::of(&self.life.notes);
        let options = self.life.options.clone();
        let owed = promises.owed(false, &options);
        if let Some(db) = &self.life.db {
            let seen = observe(db).expect("reads go on");
            promises.found(&seen, db.now(), owed, db.position()).expect("what lives on");
        }
        let crashes = [
            (Crash::Kill, false),
            (Crash::PowerLoss(Loss::Everything), true),
            (Crash::PowerLoss(Loss::Seeded(owed.0)), true),
        ];
        for (crash, power) in crashes {
            let disk = self.life.disk.crash(&crash);
            let db = open(&disk.shared(), &self.life.clock, &options);
            let db = db.unwrap_or_else(|error| panic!("after {crash:?}: {}", told(&error)));
            let seen = observe(&db).expect("no faults");
            let found =
                promises.found(&seen, db.now(), promises.owed(power, &options), db.position());
            let found = found.unwrap_or_else(|message| panic!("after {crash:?}: {message}"));
            let mut again = self.life.again(&disk, db, found);
            again.step(Step::Put).expect("it takes writes");
            again.checkpoint().expect("it takes checkpoints");
            let held = Arc::clone(&again.model);
            again.step(Step::Reopen).expect("it is closed and opened");
            let seen = observe(again.db()).expect("no faults");
            assert!(crate::survival::is_same(&held, &seen, again.db().now()), "after going on");
        }
        drop(self.life.db.take());
        self.count
    }
}

/// The workload with these faults; answers how many calls it made.
fn run(options: &Options, faults: &[Fault], total: &mut Count) -> u64 {
    let mut run = Run::new(options.clone(), faults.iter().map(|fault| fault.effect).collect());
    let before = run.life.disk.calls();
    faults.iter().for_each(|fault| run.life.disk.inject(fault.clone()));
    run.work();
    let calls = run.life.disk.calls() - before;
    let count = run.finish();
    total.runs += count.runs;
    total.errors += count.errors;
    total.poisoned += count.poisoned;
    total.refused += count.refused;
    calls
}

pub(crate) const EFFECTS: [Effect; 6] =
    [Effect::Eio, Effect::Enospc, Effect::Edquot, Effect::Eintr, Effect::Eagain, Effect::Short];

/// Runs the workload once per set of faults and says which of them broke something.
pub(crate) fn sweep(
    options: &Options,
    sets: impl Fn(u64) -> Vec<Vec<Fault>>,
) -> Result<u64, String> {
    let calls = run(options, &[], &mut Count::default());
    let mut count = Count::default();
    for faults in sets(calls) {
        let attempt = std::panic::AssertUnwindSafe(|| run(options, &faults, &mut count));
        match std::panic::catch_unwind(attempt) {
            // A call is repeated 64 times at most.
            Ok(made) if made < calls * 70 => {}
            Ok(made) => return Err(format!("{faults:?}: {made} calls of {calls}")),
            Err(_) => return Err(format!("{faults:?} of {calls} calls broke a promise")),
        }
    }
    println!("mode={} calls={calls} {count:?}", options.log.fsync.name());
    assert!(count.errors > 0, "nothing failed: {count:?}");
    Ok(count.runs)
}

/// Every call, every effect, once and for good.
pub(crate) fn each_call(calls: u64) -> Vec<Vec<Fault>> {
    let mut sets = Vec::new();
    for nth in 1..=calls {
        for effect in EFFECTS {
            sets.push(vec![Fault::once(Calls::Any, nth, effect)]);
            sets.push(vec![Fault::forever(Calls::Any, nth, effect)]);
        }
    }
    sets
}

/// Each kind of call fails from the n-th of its kind on, while all others work.
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
        for nth in (1..=40).step_by(3) {
            for effect in [Effect::Eio, Effect::Enospc] {
                sets.push(vec![Fault::forever(kind, nth, effect)]);
                // The second one meets what handles the first.
                let second = Fault::once(kind, nth + 1, effect);
                sets.push(vec![Fault::once(kind, nth, effect), second]);
            }
        }
    }
    sets
}

/// Two or three calls chosen by chance fail.
fn some_calls(calls: u64) -> Vec<Vec<Fault>> {
    let seeds = Seeds::from_env(1, 100);
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

fn nothing_breaks(mode: usize, least: u64, sets: impl Fn(u64) -> Vec<Vec<Fault>>) {
    match sweep(&tiny(MODES[mode], None), sets) {
        Ok(runs) => assert!(runs >= least, "it shrank: {runs} runs"),
        Err(message) => panic!("{message}"),
    }
}

#[test]
fn no_failing_call_breaks_a_promise_in_mode_always() {
    nothing_breaks(0, 3000, each_call);
}

#[test]
fn no_failing_call_breaks_a_promise_in_mode_group() {
    nothing_breaks(1, 3000, each_call);
}

#[test]
fn no_failing_call_breaks_a_promise_in_mode_interval() {
    nothing_breaks(2, 3000, each_call);
}

#[test]
fn no_failing_call_breaks_a_promise_in_mode_none() {
    nothing_breaks(3, 3000, each_call);
}

#[test]
fn no_kind_of_call_that_keeps_failing_breaks_a_promise() {
    nothing_breaks(1, 500, each_kind);
    nothing_breaks(2, 500, each_kind);
}

#[test]
fn no_few_failing_calls_break_a_promise_together() {
    for mode in 0..MODES.len() {
        nothing_breaks(mode, 1, some_calls);
    }
}
