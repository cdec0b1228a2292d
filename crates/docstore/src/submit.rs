//! Writes whose callers do not wait: they are told what became of them.
//!
//! The same evaluation and the same promises as in `write.rs`, for owners of few threads: a call
//! here evaluates, hands the transaction to the log and returns. Whoever committed it calls the
//! answer; an answer that rests on a write that is still on its way is called when that is
//! acknowledged. Nothing here waits for a sync, for memory or for room in the log's queue: what
//! would have to wait comes back as [`Unplaced`].
//!
//! The invariant: a caller is told of its write only after readers can see it. The log may have
//! acknowledged it before it was applied to the state, so the two meet in a [`Slot`], and the
//! second of them tells.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use base::words::Lsn;
use wal::{Committed, WalError};

use crate::database::{Database, Inner, lock};
use crate::error::{Result, StoreError};
use crate::request::{Refused, Write, Written};
use crate::rule::Amendment;
use crate::transaction::Transaction;
use crate::write::{Evaluated, Plan, Refusal, TRIES_MAX, answers, bytes_of};

/// What a submitted write is answered.
pub type Outcome = std::result::Result<Vec<Written>, Refused>;

/// Told what became of a submitted write, once. It runs on a thread that commits for everybody, so
/// it must neither wait nor write, and must not drop the last handle of the database.
pub type Done = Box<dyn FnOnce(Outcome) + Send>;

/// Something that cannot be let in at the moment: there is no memory for it before a flush has
/// ended (`MemoryLimit`), or too much waits for the log (`QueueFull`). Nothing has happened to it
/// and nobody was told; a flush was asked for. Submit it again after a while, or refuse it.
pub struct Unplaced<T> {
    /// What was to be written.
    pub work: T,
    /// Who is to be told.
    pub done: Done,
    /// Why not now.
    pub why: StoreError,
}

impl<T> fmt::Debug for Unplaced<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unplaced").field("why", &self.why).finish_non_exhaustive()
    }
}

/// Where the state that shows a write and the log that acknowledges it meet.
enum Slot {
    /// It is being placed.
    Placing(Done),
    /// Readers will see it as soon as it is acknowledged.
    Applied(Done),
    /// It was acknowledged, or has failed, before it was applied.
    Early(Done, Outcome),
    Told,
}

type SharedSlot = Arc<Mutex<Slot>>;

impl Database {
    /// Hands in a batch, as [`Database::batch`] does it, and returns when it has its place in the
    /// log or was answered. `done` is called once, maybe before this returns.
    ///
    /// # Errors
    /// [`Unplaced`] when it cannot be let in now. Everything else is told to `done`.
    pub fn submit(
        &self,
        writes: Vec<Write>,
        done: Done,
    ) -> std::result::Result<(), Box<Unplaced<Vec<Write>>>> {
        self.submit_with(None, writes, done)
    }

    /// The same for [`Database::batch_amending`].
    ///
    /// # Errors
    /// As [`Database::submit`].
    pub fn submit_amending(
        &self,
        amendment: &Amendment,
        writes: Vec<Write>,
        done: Done,
    ) -> std::result::Result<(), Box<Unplaced<Vec<Write>>>> {
        self.submit_with(Some(amendment), writes, done)
    }

    fn submit_with(
        &self,
        amendment: Option<&Amendment>,
        writes: Vec<Write>,
        done: Done,
    ) -> std::result::Result<(), Box<Unplaced<Vec<Write>>>> {
        let bytes = match bytes_of(&writes, &self.inner.options) {
            Ok(bytes) => bytes,
            Err(error) => {
                done(Err(error.into()));
                return Ok(());
            }
        };
        let started = match self.inner.admit_now(bytes) {
            Ok(()) => self.inner.start(|inner| inner.evaluate(amendment, &writes), done),
            Err(why) => Err((why, done)),
        };
        started.map_err(|(why, done)| Box::new(Unplaced { work: writes, done, why }))
    }
}

impl Transaction {
    /// Commits as [`Transaction::commit`] does, and returns when it has its place in the log or was
    /// answered.
    ///
    /// # Errors
    /// [`Unplaced`] when it cannot be let in now: the transaction comes back whole. Everything else
    /// is told to `done`.
    pub fn submit(self, done: Done) -> std::result::Result<(), Box<Unplaced<Transaction>>> {
        if let Err(error) = self.check() {
            done(Err(error.into()));
            return Ok(());
        }
        if self.is_empty() {
            done(Ok(Vec::new()));
            return Ok(());
        }
        let inner = &self.database().inner;
        let started = match inner.admit_now(self.bytes()) {
            Ok(()) => inner.start(|inner| self.evaluate(inner), done),
            Err(why) => Err((why, done)),
        };
        started.map_err(|(why, done)| Box::new(Unplaced { work: self, done, why }))
    }
}

impl Inner {
    /// Evaluates until the outcome stands, and has `done` told of it. Gives `done` back when there
    /// is no room in the log's queue.
    fn start(
        &self,
        evaluate: impl Fn(&Self) -> Result<Evaluated>,
        done: Done,
    ) -> std::result::Result<(), (StoreError, Done)> {
        let slot: SharedSlot = Arc::new(Mutex::new(Slot::Placing(done)));
        match self.try_start(evaluate, &slot) {
            Ok(()) => {}
            Err(why @ StoreError::Log(WalError::QueueFull { .. })) => {
                if let Slot::Placing(done) = std::mem::replace(&mut *lock(&slot), Slot::Told) {
                    return Err((why, done));
                }
            }
            Err(error) => tell(&slot, Err(error.into())),
        }
        Ok(())
    }

    fn try_start(
        &self,
        evaluate: impl Fn(&Self) -> Result<Evaluated>,
        slot: &SharedSlot,
    ) -> Result<()> {
        let mut tries = 0;
        loop {
            self.check_open()?;
            tries += 1;
            // Under the lock nothing moves but what was taken back.
            let mut under_lock = (tries > TRIES_MAX).then(|| lock(&self.core));
            if let Some(core) = &mut under_lock {
                self.rewind(core);
            }
            let plan = match evaluate(self)? {
                Evaluated::Go(plan) => plan,
                Evaluated::Refuse(Refusal { refused, looked, epoch }) => {
                    drop(under_lock);
                    if self.answer_when(looked, epoch, slot, Err(refused))? {
                        return Ok(());
                    }
                    continue;
                }
            };
            if plan.changes.is_empty() {
                drop(under_lock);
                let looked = plan.reads.iter().map(|(_, _, lsn)| *lsn).max().unwrap_or_default();
                let outcome = Ok(answers(looked, &plan.effects));
                if self.answer_when(looked, plan.epoch, slot, outcome)? {
                    return Ok(());
                }
                continue;
            }
            let tx = self.transaction(&plan)?;
            let mut core = under_lock.unwrap_or_else(|| lock(&self.core));
            let bytes = tx.bytes();
            if self.hand_in(&mut core, tx, plan, slot)? {
                self.since_checkpoint.fetch_add(bytes, Ordering::Relaxed);
                drop(core);
                self.note_written();
                return Ok(());
            }
        }
    }

    /// Places a plan; false when something that it rests on has changed.
    fn hand_in(
        &self,
        core: &mut crate::database::Core,
        tx: wal::Transaction,
        plan: Plan,
        slot: &SharedSlot,
    ) -> Result<bool> {
        let (effects, ahead, told) = (plan.effects.clone(), plan.ahead, Arc::clone(slot));
        let completion = move |result: wal::Result<Committed>| {
            let outcome = match result {
                Ok(committed) => Ok(answers(committed.first.plus(ahead), &effects)),
                Err(error) => Err(StoreError::from(error).into()),
            };
            acknowledged(&told, outcome);
        };
        let put = |tx| Ok((self.log.submit(tx, Box::new(completion))?, ()));
        let placed = self.place(core, tx, plan, put)?.is_some();
        if placed {
            applied(slot);
        }
        Ok(placed)
    }

    /// Has `outcome` told once `lsn`, on which it rests, is acknowledged; false when that was taken
    /// back instead, and the outcome with it.
    ///
    /// When it fails later, its own error is the answer: nothing was written, and whoever asks again
    /// is evaluated anew.
    fn answer_when(
        &self,
        lsn: Lsn,
        epoch: u64,
        slot: &SharedSlot,
        outcome: Outcome,
    ) -> Result<bool> {
        #[cfg(feature = "planted-bugs")]
        if self.options.planted == Some(crate::planted::Bug::RefusalFromPending) {
            tell(slot, outcome);
            return Ok(true);
        }
        // In this order: if the epoch still holds, it is this write that is visible, and not one
        // that was given its LSN after it had failed.
        if self.log.visible() >= lsn && self.log.epoch() == epoch {
            tell(slot, outcome);
            return Ok(true);
        }
        let outcome = Arc::new(Mutex::new(Some(outcome)));
        let (told, later) = (Arc::clone(slot), Arc::clone(&outcome));
        let observer = move |result: wal::Result<()>| {
            let outcome = lock(&later).take().expect("an observer is told once");
            tell(&told, result.map_err(|e| StoreError::from(e).into()).and(outcome));
        };
        match self.log.observe(lsn, epoch, Box::new(observer)) {
            Ok(true) => Ok(true),
            Ok(false) => {
                let outcome = lock(&outcome).take().expect("nobody else has it");
                tell(slot, outcome);
                Ok(true)
            }
            Err(WalError::Rewound { .. }) => {
                self.rewind(&mut lock(&self.core));
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Tells whoever has not been told.
fn tell(slot: &SharedSlot, outcome: Outcome) {
    let before = std::mem::replace(&mut *lock(slot), Slot::Told);
    match before {
        Slot::Placing(done) | Slot::Applied(done) | Slot::Early(done, _) => done(outcome),
        Slot::Told => {}
    }
}

/// The log has said what became of it.
fn acknowledged(slot: &SharedSlot, outcome: Outcome) {
    let mut held = lock(slot);
    match std::mem::replace(&mut *held, Slot::Told) {
        Slot::Placing(done) => *held = Slot::Early(done, outcome),
        Slot::Applied(done) => {
            drop(held);
            done(outcome);
        }
        Slot::Early(..) | Slot::Told => {}
    }
}

/// The state shows it to whoever reads behind it.
fn applied(slot: &SharedSlot) {
    let mut held = lock(slot);
    match std::mem::replace(&mut *held, Slot::Told) {
        Slot::Placing(done) => *held = Slot::Applied(done),
        Slot::Early(done, outcome) => {
            drop(held);
            done(outcome);
        }
        Slot::Applied(_) | Slot::Told => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};

    use super::*;

    fn placing() -> (SharedSlot, Receiver<Outcome>) {
        let (sender, receiver) = sync_channel(1);
        let done: Done = Box::new(move |outcome| sender.send(outcome).unwrap());
        (Arc::new(Mutex::new(Slot::Placing(done))), receiver)
    }

    #[test]
    fn nobody_is_told_of_a_write_before_it_is_both_applied_and_acknowledged() {
        let (slot, told) = placing();
        acknowledged(&slot, Ok(Vec::new()));
        assert!(told.try_recv().is_err(), "readers do not see it yet");
        applied(&slot);
        told.try_recv().unwrap().unwrap();
        let (slot, told) = placing();
        applied(&slot);
        assert!(told.try_recv().is_err(), "it is not durable yet");
        acknowledged(&slot, Ok(Vec::new()));
        told.try_recv().unwrap().unwrap();
        applied(&slot);
        acknowledged(&slot, Ok(Vec::new()));
        assert!(told.try_recv().is_err(), "once is enough");
    }
}
