//! Interactive transactions: reads at one snapshot, writes that the transaction sees and nobody
//! else, and at the end one check that nothing it read has changed. Serializable: a transaction
//! that commits is as if it had run at once, at its commit.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::Ordering;

use base::clock::{Instant, WallMs};
use base::words::{Change, CollectionId, DocId, Lsn};

use crate::database::{Database, Inner, lock};
use crate::error::{Result, StoreError};
use crate::heal::Heal;
use crate::memtable::cost_of;
use crate::read::ScanRequest;
use crate::request::{Effect, Stored, Write, Written};
use crate::rule::Rulings;
use crate::snapshots::SnapshotId;
use crate::write::{Current, Evaluated, IdRange, Plan, Refusal, UNKNOWN, answers, check_bytes};

/// An open transaction. Dropped without [`Transaction::commit`] it has done nothing.
#[derive(Debug)]
pub struct Transaction {
    database: Database,
    snapshot: SnapshotId,
    position: Lsn,
    now: WallMs,
    began: Instant,
    /// What it wrote: the newest of each document.
    written: BTreeMap<(CollectionId, DocId), Current>,
    changes: Vec<Change>,
    effects: Vec<Effect>,
    bytes: u64,
    /// What it read: revisions, zero for no document.
    reads: BTreeMap<(CollectionId, DocId), Lsn>,
    collections: BTreeMap<CollectionId, Lsn>,
    ranges: Vec<IdRange>,
    rulings: Rulings,
}

impl Database {
    /// Begins a transaction at the newest position.
    ///
    /// # Errors
    /// `DbNotOpen`.
    pub fn begin(&self) -> Result<Transaction> {
        let snapshot = self.snapshot()?;
        let position = self.inner.touch(snapshot)?;
        Ok(Transaction {
            database: self.clone(),
            snapshot,
            position,
            now: self.inner.log.wall(),
            began: self.inner.env.clock.now(),
            written: BTreeMap::new(),
            changes: Vec::new(),
            effects: Vec::new(),
            bytes: 0,
            reads: BTreeMap::new(),
            collections: BTreeMap::new(),
            ranges: Vec::new(),
            rulings: Rulings::default(),
        })
    }
}

impl Transaction {
    pub(crate) fn check(&self) -> Result<()> {
        let inner = &self.database.inner;
        inner.check_open()?;
        if inner.env.clock.now().since(self.began) > inner.options.txn_timeout {
            return Err(StoreError::TxnTimeout);
        }
        inner.touch(self.snapshot).map(drop)
    }

    /// A document as the transaction sees it. What it wrote itself has the revision zero until the
    /// commit says which it got.
    ///
    /// # Errors
    /// As [`Database::get`]; `Timeout` when it has been open for too long.
    pub fn get(&mut self, collection: CollectionId, id: &DocId) -> Result<Option<Stored>> {
        self.check()?;
        Ok(self.current(collection, id)?.stored.map(told))
    }

    fn current(&mut self, collection: CollectionId, id: &DocId) -> Result<Current> {
        if let Some(current) = self.written.get(&(collection, id.clone())) {
            return Ok(current.clone());
        }
        self.touch_collection(collection)?;
        let inner = &self.database.inner;
        // The version that the snapshot has, an expired one too: its revision is what a later
        // write would change.
        let base = {
            let state = inner.read();
            let seen = state.at(collection, id, self.position);
            seen.map_or(Lsn::ZERO, |seen| seen.revision())
        };
        let stored = inner.get_with(collection, id, Some(self.position), Heal::AsConfigured)?;
        let stored = stored.filter(|found| found.expires_at.is_none_or(|at| at > self.now));
        self.reads.entry((collection, id.clone())).or_insert(base);
        Ok(Current { base, stored })
    }

    fn touch_collection(&mut self, collection: CollectionId) -> Result<()> {
        if self.collections.contains_key(&collection) {
            return Ok(());
        }
        let state = self.database.inner.read();
        let revision = state.collections.find(collection, self.position)?.revision();
        drop(state);
        self.collections.insert(collection, revision);
        Ok(())
    }

    /// Does an operation within the transaction. Its answer's revision is zero until the commit
    /// says which it got.
    ///
    /// # Errors
    /// As [`Database::write`] for what the operation says of itself: then it has done nothing, and
    /// the transaction goes on. `PayloadTooLarge` when the transaction grows over its limits.
    pub fn write(&mut self, write: &Write) -> Result<Written> {
        self.check()?;
        let limit = u64::from(self.database.inner.options.txn_ops_max);
        if self.changes.len() as u64 >= limit {
            let value = self.changes.len() as u64 + 1;
            return Err(StoreError::TooLarge { what: "the number of operations", value, limit });
        }
        let current = self.current(write.collection, &write.id)?;
        let inner = &self.database.inner;
        // What a document makes grow counts only once the document is taken.
        let mut rulings = self.rulings.clone();
        let (change, stored, effect) = inner.resolve(write, &current, self.now, &mut rulings)?;
        let bytes = cost_of(stored.as_ref().map(|stored| &stored.document)) as u64;
        let payload = self.bytes + bytes;
        let own = (self.changes.len() as u64 + 1) * cost_of(None) as u64;
        check_bytes(payload - own, &inner.options)?;
        self.bytes = payload;
        self.rulings = rulings;
        let key = (write.collection, write.id.clone());
        self.written.insert(key, Current { base: current.base, stored });
        self.changes.push(change);
        self.effects.push(effect);
        Ok(Written { revision: Lsn::ZERO, effect })
    }

    /// A range of a collection as the transaction sees it, at most `limit` documents.
    ///
    /// # Errors
    /// As [`Database::scan`].
    pub fn scan(
        &mut self,
        collection: CollectionId,
        from: Bound<DocId>,
        to: Bound<DocId>,
        limit: usize,
    ) -> Result<Vec<(DocId, Stored)>> {
        self.check()?;
        self.touch_collection(collection)?;
        let request =
            ScanRequest::all(collection, limit).range(from.clone(), to.clone()).at(self.snapshot);
        let mut found = BTreeMap::new();
        let mut next = Some(request);
        // Own writes may hide some of a page, so pages are read until enough is left.
        let mut read_upto = to.clone();
        while let Some(request) = next.take() {
            let page = self.database.scan(&request)?;
            for (id, stored) in page.documents {
                if !self.written.contains_key(&(collection, id.clone())) {
                    found.insert(id, stored);
                }
            }
            match (found.len() >= limit, found.last_key_value()) {
                (true, Some((last, _))) => read_upto = Bound::Included(last.clone()),
                (_, _) => next = page.next,
            }
        }
        self.ranges.push((collection, from.clone(), read_upto));
        for ((owner, id), current) in &self.written {
            let inside = (from.as_ref(), to.as_ref());
            if *owner == collection
                && std::ops::RangeBounds::<DocId>::contains(&inside, id)
                && let Some(stored) = &current.stored
            {
                found.insert(id.clone(), told(stored.clone()));
            }
        }
        Ok(found.into_iter().take(limit).collect())
    }

    /// Commits: everything or nothing. Answers the LSN of each operation, in order; a transaction
    /// that wrote nothing answers none, and has read one consistent state.
    ///
    /// # Errors
    /// `TxnConflict` when something that it read has changed: nothing was written, run it again.
    /// Otherwise as [`Database::write`].
    pub fn commit(self) -> Result<Vec<Written>> {
        self.check()?;
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let inner = &self.database.inner;
        inner.admit(self.bytes)?;
        let done = inner.decide(|inner| self.evaluate(inner));
        let (first, effects) = done.map_err(|refused| refused.error)?;
        Ok(answers(first, &effects))
    }

    /// What its commit writes, in order; LSNs in it are not those that it will have.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Whether it has written nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// What its commit takes in memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Whether what it read still holds, and what its commit writes.
    pub(crate) fn evaluate(&self, inner: &Inner) -> Result<Evaluated> {
        let epoch = inner.epoch.load(Ordering::Acquire);
        let mut plan = self.plan(self.changes.clone(), self.effects.clone(), epoch);
        plan.put_ahead(self.rulings.changes(&inner.options));
        let Some(what) = inner.broken(&plan) else { return Ok(Evaluated::Go(plan)) };
        let looked = Lsn(inner.applied.load(Ordering::Acquire));
        let refused = StoreError::TxnConflict(what.into()).into();
        Ok(Evaluated::Refuse(Refusal { refused, looked, epoch }))
    }

    fn plan(&self, changes: Vec<Change>, effects: Vec<Effect>, epoch: u64) -> Plan {
        let reads = self.reads.iter();
        let ranges = self.ranges.iter();
        Plan {
            changes,
            effects,
            reads: reads.map(|((owner, id), lsn)| (*owner, id.clone(), *lsn)).collect(),
            collections: self.collections.iter().map(|(owner, lsn)| (*owner, *lsn)).collect(),
            ranges: ranges.map(|range| (range.clone(), self.position)).collect(),
            epoch,
            ..Plan::default()
        }
    }

    /// Ends the transaction without a trace. Dropping it does the same.
    pub fn rollback(self) {}
}

/// A document as callers are told of it.
fn told(stored: Stored) -> Stored {
    let revision = if stored.revision == UNKNOWN { Lsn::ZERO } else { stored.revision };
    Stored { revision, ..stored }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        lock(&self.database.inner.snapshots).remove(self.snapshot);
        self.database.inner.prune();
    }
}
