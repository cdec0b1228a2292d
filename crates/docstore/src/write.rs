//! The way of a write: evaluated against the newest state, placed in the log under one short lock,
//! waited for outside it.
//!
//! What waits for its sync is *pending*: later writes build on it, readers do not see it. A write
//! that is refused because of something pending is answered only once that is acknowledged; when
//! it fails instead, the write is evaluated again. Evaluation happens without the lock of writers;
//! under it only revisions are compared, and after three changes in between it happens there.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base::clock::WallMs;
use base::document::Document;
use base::words::{Change, CollectionId, DocId, Lsn, Name};
use wal::{Class, Committed, Pending, WalError};

use crate::database::{Core, Database, Inner, lock};
use crate::error::{Result, StoreError};
use crate::heal::Heal;
use crate::memtable::cost_of;
use crate::options::Options;
use crate::read::file_of;
use crate::request::{Action, Condition, Effect, Otherwise, Refused, Stored, Write, Written};
use crate::rule::{Amendment, Rulings};
use crate::state::{Body, Seen};

/// How often a write is evaluated without the writers' lock before it is done under it.
pub(crate) const TRIES_MAX: u32 = 3;
/// Stands for the revision of what has none yet: nobody outside may see it.
pub(crate) const UNKNOWN: Lsn = Lsn(u64::MAX);
/// How long to wait before looking again whether what a refusal rests on was acknowledged.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A range of ids, as a scan read it.
pub(crate) type IdRange = (CollectionId, Bound<DocId>, Bound<DocId>);

/// What a write comes to, if nothing changes before it is placed.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// First what comes before the operations, then one for each that is not passed over.
    pub(crate) changes: Vec<Change>,
    /// How many come before the operations.
    pub(crate) ahead: u64,
    pub(crate) effects: Vec<Effect>,
    /// Revisions that it rests on; zero for no document.
    pub(crate) reads: Vec<(CollectionId, DocId, Lsn)>,
    /// Revisions of collections that it rests on.
    pub(crate) collections: Vec<(CollectionId, Lsn)>,
    /// Names whose collections it rests on, with the newest change of any.
    pub(crate) names: Vec<(Name, Lsn)>,
    /// Ranges in which nothing may have changed since the position.
    pub(crate) ranges: Vec<(IdRange, Lsn)>,
    pub(crate) epoch: u64,
    pub(crate) class: Class,
}

impl Plan {
    /// Puts changes before those of the operations.
    pub(crate) fn put_ahead(&mut self, mut ahead: Vec<Change>) {
        self.ahead = ahead.len() as u64;
        ahead.append(&mut self.changes);
        self.changes = ahead;
    }

    /// Bytes of the documents that it writes.
    fn document_bytes(&self) -> u64 {
        let bytes = |change: &Change| {
            let Change::Put { document, .. } = change else { return 0 };
            document.as_bytes().len() as u64
        };
        self.changes.iter().map(bytes).sum()
    }
}

/// What an evaluation comes to.
pub(crate) enum Evaluated {
    Go(Plan),
    /// Refused because of what it looked at.
    Refuse(Refusal),
}

/// A refusal, and the newest LSN that it rests on.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) refused: Refused,
    pub(crate) looked: Lsn,
    pub(crate) epoch: u64,
}

/// A document as one operation of a batch finds it: as the state has it, or as an earlier
/// operation of the same batch left it.
#[derive(Debug, Clone)]
pub(crate) struct Current {
    /// The version outside the batch; zero when there is none.
    pub(crate) base: Lsn,
    pub(crate) stored: Option<Stored>,
}

impl Database {
    /// Does one operation and returns when it is acknowledged, which means durable in modes
    /// `always` and `group`.
    ///
    /// # Errors
    /// What the operation says of itself (`DocExists`, `DocNotFound`, `RevisionMismatch`,
    /// `ConditionFailed`, `InvalidPatch`, `InvalidSchema`, `CollectionNotFound`): nothing was
    /// written, and what the answer rests on is durable. `DurabilityUnknown`: it may or may not
    /// survive. `DiskFull`, `MemoryLimit`, `QueueFull`: nothing was written.
    pub fn write(&self, write: Write) -> Result<Written> {
        let written = self.batch(vec![write]).map_err(|refused| refused.error)?;
        Ok(written.first().copied().expect("one answer for one operation"))
    }

    /// Does all operations or none, in one commit; later ones see what earlier ones did. One
    /// answer for each.
    ///
    /// # Errors
    /// As [`Database::write`], with the operation that is at fault.
    pub fn batch(&self, writes: Vec<Write>) -> std::result::Result<Vec<Written>, Refused> {
        self.batch_with(None, writes)
    }

    /// The same, and before the operations, in the same commit, what `amendment` says of one collection.
    ///
    /// # Errors
    /// As [`Database::batch`]; `TxnConflict` and `CollectionExists` when the collection is not as the
    /// amendment expects it: look again.
    pub fn batch_amending(
        &self,
        amendment: &Amendment,
        writes: Vec<Write>,
    ) -> std::result::Result<Vec<Written>, Refused> {
        self.batch_with(Some(amendment), writes)
    }

    fn batch_with(
        &self,
        amendment: Option<&Amendment>,
        writes: Vec<Write>,
    ) -> std::result::Result<Vec<Written>, Refused> {
        let bytes = bytes_of(&writes, &self.inner.options)?;
        self.inner.admit(bytes)?;
        let (first, effects) = self.inner.decide(|inner| inner.evaluate(amendment, &writes))?;
        Ok(answers(first, &effects))
    }
}

/// One answer for each operation; the first that was not passed over has the revision `first`.
pub(crate) fn answers(first: Lsn, effects: &[Effect]) -> Vec<Written> {
    let mut next = first.0;
    let answer = |effect: &Effect| {
        if *effect == Effect::Skipped {
            return Written { revision: Lsn::ZERO, effect: *effect };
        }
        let revision = Lsn(next);
        next += 1;
        Written { revision, effect: *effect }
    };
    effects.iter().map(answer).collect()
}

/// What a batch will take in memory; over the limits of a transaction it is refused. What patches
/// make is counted once they are evaluated.
pub(crate) fn bytes_of(writes: &[Write], options: &Options) -> Result<u64> {
    let limit = u64::from(options.txn_ops_max);
    if writes.len() as u64 > limit {
        let value = writes.len() as u64;
        return Err(StoreError::TooLarge { what: "the number of operations", value, limit });
    }
    let document = |write: &Write| match &write.action {
        Action::Create(document, _) | Action::Update(document, _) | Action::Upsert(document, _) => {
            cost_of(Some(document))
        }
        Action::Patch(_) | Action::Delete => cost_of(None),
    };
    let payload: u64 = writes.iter().map(|write| document(write) as u64).sum();
    check_bytes(payload - writes.len() as u64 * cost_of(None) as u64, options)?;
    Ok(payload)
}

/// Refuses documents that are larger together than a transaction may be.
pub(crate) fn check_bytes(value: u64, options: &Options) -> Result<()> {
    let limit = options.txn_bytes_max;
    let what = "the documents of a transaction";
    if value > limit { Err(StoreError::TooLarge { what, value, limit }) } else { Ok(()) }
}

impl Inner {
    /// Evaluates until the outcome stands: placed and acknowledged, or refused by what is
    /// acknowledged. Answers the LSN of the first operation and what each did.
    pub(crate) fn decide(
        &self,
        evaluate: impl Fn(&Self) -> Result<Evaluated>,
    ) -> std::result::Result<(Lsn, Vec<Effect>), Refused> {
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
                Evaluated::Refuse(refusal) => {
                    drop(under_lock);
                    if self.is_acknowledged(refusal.looked, refusal.epoch)? {
                        return Err(refusal.refused);
                    }
                    continue;
                }
            };
            if plan.changes.is_empty() {
                drop(under_lock);
                let looked = plan.reads.iter().map(|(_, _, lsn)| *lsn).max().unwrap_or_default();
                if self.is_acknowledged(looked, plan.epoch)? {
                    return Ok((looked, plan.effects));
                }
                continue;
            }
            let tx = self.transaction(&plan)?;
            let mut core = under_lock.unwrap_or_else(|| lock(&self.core));
            let (effects, ahead) = (plan.effects.clone(), plan.ahead);
            self.since_checkpoint.fetch_add(tx.bytes(), Ordering::Relaxed);
            let placed = self.place(&mut core, tx, plan, |tx| {
                let pending = self.log.place(tx)?;
                Ok((pending.committed(), pending))
            })?;
            drop(core);
            if let Some(pending) = placed {
                return Ok((self.acknowledge(pending)?.plus(ahead), effects));
            }
        }
    }

    /// What a plan writes, as the log takes it.
    pub(crate) fn transaction(&self, plan: &Plan) -> Result<wal::Transaction> {
        check_bytes(plan.document_bytes(), &self.options)?;
        let mut tx = self.log.transaction().class(plan.class).in_epoch(plan.epoch);
        for change in &plan.changes {
            tx.push(change)?;
        }
        Ok(tx)
    }

    /// Places a plan if what it rests on still holds: `put` hands its transaction to the log.
    /// None when something has changed.
    pub(crate) fn place<P>(
        &self,
        core: &mut Core,
        tx: wal::Transaction,
        plan: Plan,
        put: impl FnOnce(wal::Transaction) -> wal::Result<(Committed, P)>,
    ) -> Result<Option<P>> {
        if !self.still_holds(&plan) {
            self.rewind(core);
            return Ok(None);
        }
        #[cfg(feature = "planted-bugs")]
        if self.options.planted == Some(crate::planted::Bug::IndexBeforeLog) {
            // Readers see it at once, whatever becomes of it in the log.
            let next = Lsn(self.applied.load(Ordering::Acquire).max(self.log.visible().0) + 1);
            self.apply(next, plan.changes);
            return Ok(Some(put(tx)?.1));
        }
        let (committed, placed) = match put(tx) {
            Ok(placed) => placed,
            Err(WalError::Rewound { .. }) => {
                self.rewind(core);
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        self.counters.committed(plan.changes.len() as u64);
        self.apply(committed.first, plan.changes);
        Ok(Some(placed))
    }

    /// Shows placed changes to later writes.
    fn apply(&self, first: Lsn, changes: Vec<Change>) {
        let mut state = self.state_mut();
        let oldest = self.oldest_reader();
        let mut lsn = first;
        for change in changes {
            state.apply(lsn, change, oldest);
            self.applied.store(lsn.0, Ordering::Release);
            lsn = lsn.next();
        }
        drop(state);
    }

    fn still_holds(&self, plan: &Plan) -> bool {
        if self.epoch.load(Ordering::Acquire) != plan.epoch {
            return false;
        }
        self.broken(plan).is_none()
    }

    /// What a plan rests on and does not hold any more.
    pub(crate) fn broken(&self, plan: &Plan) -> Option<String> {
        let state = self.read();
        let moved = |(collection, revision): &&(CollectionId, Lsn)| {
            let found = state.collections.get(*collection);
            found.is_none_or(|found| found.dropped.is_some() || found.revision() != *revision)
        };
        if let Some((collection, _)) = plan.collections.iter().find(moved) {
            return Some(format!("collection={collection}"));
        }
        let renamed = |(name, newest): &&(Name, Lsn)| state.collections.newest_of(name) != *newest;
        if let Some((name, _)) = plan.names.iter().find(renamed) {
            return Some(format!("collection={name}"));
        }
        let changed = |(collection, id, lsn): &&(CollectionId, DocId, Lsn)| {
            state.revision(*collection, id) != *lsn
        };
        if let Some((collection, id, _)) = plan.reads.iter().find(changed) {
            return Some(format!("collection={collection} id={id}"));
        }
        let touched = |((collection, from, to), position): &&(IdRange, Lsn)| {
            state.changed_since(*collection, from.as_ref(), to.as_ref(), *position)
        };
        let range = plan.ranges.iter().find(touched);
        range.map(|((collection, _, _), _)| format!("a range of collection={collection}"))
    }

    /// Waits for a placed write.
    fn acknowledge(&self, pending: Pending<'_>) -> Result<Lsn> {
        let first = pending.committed().first;
        match pending.wait() {
            Ok(_) => {
                self.note_written();
                Ok(first)
            }
            Err(error) => {
                self.rewind(&mut lock(&self.core));
                Err(error.into())
            }
        }
    }

    /// Waits until `lsn` is acknowledged; false when it was taken back instead.
    ///
    /// # Errors
    /// `DurabilityUnknown` when a sync failed meanwhile.
    pub(crate) fn is_acknowledged(&self, lsn: Lsn, epoch: u64) -> Result<bool> {
        #[cfg(feature = "planted-bugs")]
        if self.options.planted == Some(crate::planted::Bug::RefusalFromPending) {
            return Ok(true);
        }
        loop {
            if self.log.epoch() != epoch {
                if self.log.is_poisoned() {
                    let cause = Arc::from("a write that the answer rests on has failed");
                    return Err(WalError::DurabilityUnknown { cause }.into());
                }
                self.rewind(&mut lock(&self.core));
                return Ok(false);
            }
            // Unless it failed meanwhile and something else was acknowledged under its LSN.
            if self.log.wait_visible(lsn, LOOK_AGAIN) && self.log.epoch() == epoch {
                return Ok(true);
            }
            self.check_open()?;
        }
    }

    /// Evaluates the operations of a batch.
    pub(crate) fn evaluate(
        &self,
        amendment: Option<&Amendment>,
        writes: &[Write],
    ) -> Result<Evaluated> {
        let epoch = self.epoch.load(Ordering::Acquire);
        let now = self.log.wall();
        let mut plan = Plan { epoch, ..Plan::default() };
        let mut known: BTreeMap<(CollectionId, &DocId), Current> = BTreeMap::new();
        let (mut looked, mut rulings) = (Lsn::ZERO, Rulings::default());
        let ahead = amendment.map(|amendment| amendment.plan(self, &mut plan, &mut rulings));
        let mut ahead = match ahead.transpose() {
            Ok(ahead) => ahead.unwrap_or_default(),
            Err((error, looked)) => {
                let refused = Refused::from(error);
                return Ok(Evaluated::Refuse(Refusal { refused, looked, epoch }));
            }
        };
        let made = amendment.filter(|amendment| amendment.create.is_some());
        let made = made.map(|amendment| amendment.collection);
        for (operation, write) in writes.iter().enumerate() {
            let refuse = |error, looked| {
                let refused = Refused { operation: Some(operation), error };
                Ok(Evaluated::Refuse(Refusal { refused, looked, epoch }))
            };
            let key = (write.collection, &write.id);
            let current = match known.get(&key) {
                Some(current) => current.clone(),
                None if made == Some(write.collection) => Current { base: Lsn::ZERO, stored: None },
                None => match self.look(&mut plan, write, now, &mut looked) {
                    Ok(current) => current,
                    Err(error) => return refuse(error, looked),
                },
            };
            match self.resolve(write, &current, now, &mut rulings) {
                Ok((change, next, effect)) => {
                    plan.changes.push(change);
                    plan.effects.push(effect);
                    known.insert(key, Current { base: current.base, stored: next });
                }
                Err(error) if write.otherwise == Otherwise::Skip && is_of_condition(&error) => {
                    plan.effects.push(Effect::Skipped);
                    known.insert(key, current);
                }
                // A schema that was set since then may be what refuses it.
                Err(error) => return refuse(error, looked.max(self.revision_of(write.collection))),
            }
        }
        ahead.extend(rulings.changes(&self.options));
        let deletes = writes.iter().all(|write| matches!(write.action, Action::Delete));
        plan.class = if deletes && ahead.is_empty() { Class::Reclaim } else { Class::Normal };
        plan.put_ahead(ahead);
        Ok(Evaluated::Go(plan))
    }

    /// The newest change of a collection's existence and properties.
    fn revision_of(&self, collection: CollectionId) -> Lsn {
        let state = self.read();
        state.collections.get(collection).map_or(Lsn::ZERO, |owner| owner.revision())
    }

    /// The document that an operation is about, noting in the plan that it rests on it.
    fn look(
        &self,
        plan: &mut Plan,
        write: &Write,
        now: WallMs,
        looked: &mut Lsn,
    ) -> Result<Current> {
        let (collection, id) = (write.collection, &write.id);
        let (seen, revision, file) = {
            let state = self.read();
            let found = state.collections.get(collection);
            let missing = || StoreError::CollectionNotFound(Arc::from(collection.to_string()));
            let found = found.ok_or_else(missing)?;
            let revision = found.revision();
            *looked = (*looked).max(revision);
            if found.dropped.is_some() {
                return Err(missing());
            }
            let seen = state.newest(collection, id);
            if let Some(lsn) = seen.as_ref().and_then(|seen| state.lost(collection, id, seen.lsn)) {
                let replaces = matches!(write.action, Action::Upsert(..) | Action::Delete);
                if !replaces {
                    return Err(StoreError::DocCorrupt { id: id.clone(), lsn });
                }
            }
            // Compaction may move it before it is read: this handle has it all the same.
            let file = seen.as_ref().and_then(|seen| file_of(&state, seen));
            (seen, revision, file)
        };
        if plan.collections.iter().all(|(known, _)| *known != collection) {
            plan.collections.push((collection, revision));
        }
        let base = match &seen {
            Some(seen) if !matches!(seen.body, Body::Deleted) => seen.lsn,
            Some(_) | None => Lsn::ZERO,
        };
        *looked = (*looked).max(seen.as_ref().map_or(Lsn::ZERO, |seen| seen.lsn));
        plan.reads.push((collection, id.clone(), base));
        let live = seen.filter(|seen| seen.is_live(now));
        let needs_bytes = matches!(write.action, Action::Patch(_))
            || write.conditions.iter().any(|condition| matches!(condition, Condition::Test(_)));
        let stored = match live {
            None => None,
            Some(seen) if needs_bytes => {
                Some(self.load(collection, id, seen, file, Heal::AsConfigured)?)
            }
            Some(seen) => Some(Stored {
                revision: seen.lsn,
                expires_at: seen.expires_at,
                document: match seen.body {
                    Body::Memory(document) => document,
                    // Nobody looks at the bytes.
                    Body::Deleted | Body::File(_) => Document::from_checksummed(b"null"),
                },
            }),
        };
        Ok(Current { base, stored })
    }

    /// What an operation makes of the document that it found.
    pub(crate) fn resolve(
        &self,
        write: &Write,
        current: &Current,
        now: WallMs,
        rulings: &mut Rulings,
    ) -> Result<(Change, Option<Stored>, Effect)> {
        let (collection, id) = (write.collection, write.id.clone());
        let found = current.stored.as_ref();
        check_first(write, found)?;
        let (document, expires_at) = match (&write.action, found) {
            (Action::Create(..), Some(found)) => {
                return Err(StoreError::DocExists { id, revision: found.revision });
            }
            (Action::Update(..) | Action::Patch(_) | Action::Delete, None) => {
                return Err(StoreError::DocNotFound { id });
            }
            (Action::Create(document, expiry) | Action::Upsert(document, expiry), _)
            | (Action::Update(document, expiry), Some(_)) => {
                (Some(document.clone()), expiry.resolve(now))
            }
            (Action::Patch(patch), Some(found)) => {
                (Some(patch.apply(&found.document)?), found.expires_at)
            }
            (Action::Delete, Some(_)) => (None, None),
        };
        for condition in &write.conditions {
            if let Condition::Test(test) = condition
                && !test(found, document.as_ref())
            {
                return Err(StoreError::ConditionFailed { id });
            }
        }
        let effect = match (&document, found) {
            (None, _) => Effect::Deleted,
            (Some(_), None) => Effect::Created,
            (Some(_), Some(_)) => Effect::Replaced,
        };
        let replaces = current.base;
        let Some(document) = document else {
            return Ok((Change::Delete { collection, id, replaces }, None, effect));
        };
        self.validate(collection, &document)?;
        rulings.judge(self, collection, &id, &document)?;
        // The revision of what an earlier operation of this batch wrote is not known yet; nobody
        // outside can name it.
        let revision = UNKNOWN;
        let next = Stored { revision, expires_at, document: document.clone() };
        let change = Change::Put { collection, id, replaces, expires_at, document };
        Ok((change, Some(next), effect))
    }

    /// Checks a document against its collection's schema, if it has one.
    fn validate(&self, collection: CollectionId, document: &Document) -> Result<()> {
        let validation = {
            let state = self.read();
            state.collections.get(collection).and_then(|found| found.validation.clone())
        };
        match validation {
            Some(validation) => Ok(validation.check(document)?),
            None => Ok(()),
        }
    }
}

/// Whether an operation is refused because of the document that there is, or because there is none.
fn is_of_condition(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::DocExists { .. }
            | StoreError::DocNotFound { .. }
            | StoreError::RevisionMismatch { .. }
            | StoreError::ConditionFailed { .. }
    )
}

/// The conditions that are about the current document alone.
fn check_first(write: &Write, found: Option<&Stored>) -> Result<()> {
    let id = &write.id;
    for condition in &write.conditions {
        match (condition, found) {
            (Condition::Absent, Some(found)) => {
                return Err(StoreError::DocExists { id: id.clone(), revision: found.revision });
            }
            (Condition::Exists, None) => return Err(StoreError::DocNotFound { id: id.clone() }),
            (Condition::Revision(wanted), found) => {
                let found = found.map_or(Lsn::ZERO, |found| found.revision);
                if found != *wanted {
                    let (id, wanted) = (id.clone(), *wanted);
                    return Err(StoreError::RevisionMismatch { id, wanted, found });
                }
            }
            (Condition::Absent, None) | (Condition::Exists, Some(_)) | (Condition::Test(_), _) => {}
        }
    }
    Ok(())
}

impl Seen {
    /// The revision, zero for a deletion.
    pub(crate) fn revision(&self) -> Lsn {
        if matches!(self.body, Body::Deleted) { Lsn::ZERO } else { self.lsn }
    }
}
