//! Interactive transactions of the model test: what they read, what they would write, and what
//! must, may and must not make them fail at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use base::clock::WallMs;
use base::error::{Code, Coded as _};
use base::words::{CollectionId, DocId, Lsn};
use docstore::{Effect, Transaction};

use super::reference::{Known, Model, TXN_TIMEOUT};
use super::{Run, same};

/// What a transaction scanned, and what it found outside its own writes.
#[derive(Debug)]
struct Scanned {
    collection: CollectionId,
    limit: usize,
    now: WallMs,
    /// Documents that it had written itself by then.
    hidden: BTreeSet<DocId>,
    found: Vec<(DocId, Option<Lsn>)>,
}

impl Scanned {
    /// What it finds at `lsn`.
    fn at(&self, model: &Model, lsn: Lsn) -> Vec<(DocId, Option<Lsn>)> {
        let found = model.scan(self.collection, None, lsn, self.now).into_iter();
        let found = found.filter(|(id, _)| !self.hidden.contains(id));
        found.map(|(id, known)| (id, known.revision)).take(self.limit).collect()
    }
}

/// A transaction that is open.
#[derive(Debug)]
pub(super) struct Tx {
    open: Transaction,
    position: Lsn,
    now: WallMs,
    began: Duration,
    /// Revisions of collections when it first touched them.
    touched: BTreeMap<CollectionId, Lsn>,
    reads: BTreeMap<(CollectionId, DocId), Lsn>,
    scanned: Vec<Scanned>,
    own: BTreeMap<(CollectionId, DocId), Option<Known>>,
    changes: Vec<(CollectionId, DocId, Effect, Option<Known>)>,
}

/// What a commit may answer.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Commits,
    Conflicts,
    /// A range has changed and looks as it did.
    Either,
}

impl Tx {
    /// Whether the collection can be used: it was there at the beginning. It is there now.
    fn touch(&mut self, model: &Model, collection: CollectionId) -> Result<(), Code> {
        let revision = model.collections[&collection].revision;
        if !self.touched.contains_key(&collection) {
            if model.collections[&collection].created > self.position {
                return Err(Code::CollectionNotFound);
            }
            self.touched.insert(collection, revision);
        }
        Ok(())
    }

    fn find(
        &mut self,
        model: &Model,
        collection: CollectionId,
        id: &DocId,
        now: WallMs,
    ) -> Result<Option<Known>, Code> {
        if let Some(own) = self.own.get(&(collection, id.clone())) {
            return Ok(own.clone());
        }
        self.touch(model, collection)?;
        let base = model.revision(collection, id, self.position);
        self.reads.entry((collection, id.clone())).or_insert(base);
        Ok(model.get(collection, id, self.position, now))
    }

    fn verdict(&self, model: &Model) -> Verdict {
        let moved = |(collection, revision): (&CollectionId, &Lsn)| {
            model.collections.get(collection).is_none_or(|now| now.revision != *revision)
        };
        let changed = |((collection, id), base): (&(CollectionId, DocId), &Lsn)| {
            model.revision(*collection, id, model.last) != *base
        };
        let differs = |scanned: &Scanned| scanned.at(model, model.last) != scanned.found;
        if self.changes.is_empty() {
            return Verdict::Commits;
        }
        if self.touched.iter().any(moved)
            || self.reads.iter().any(changed)
            || self.scanned.iter().any(differs)
        {
            return Verdict::Conflicts;
        }
        let touched = |scanned: &Scanned| model.last_change(scanned.collection) > self.position;
        match self.scanned.iter().any(touched) {
            true => Verdict::Either,
            false => Verdict::Commits,
        }
    }
}

impl Run {
    /// Begins a transaction, or does one operation in one.
    pub(super) fn in_transaction(&mut self) {
        if self.transactions.is_empty() || (self.transactions.len() < 3 && self.rng.chance(250)) {
            self.transactions.push(Tx {
                open: self.db().begin().expect("it is open"),
                position: self.model.last,
                now: self.now(),
                began: self.elapsed,
                touched: BTreeMap::new(),
                reads: BTreeMap::new(),
                scanned: Vec::new(),
                own: BTreeMap::new(),
                changes: Vec::new(),
            });
        }
        let mut tx = self.transactions.swap_remove(self.rng.index(self.transactions.len()));
        let live: Vec<CollectionId> = self.model.collections.keys().copied().collect();
        let collection = live[self.rng.index(live.len())];
        let code = match self.rng.below(8) {
            0 | 1 => self.get_in(&mut tx, collection),
            2 => self.scan_in(&mut tx, collection),
            _ => self.write_in(&mut tx, collection),
        };
        let timed_out = self.elapsed - tx.began > TXN_TIMEOUT;
        assert_eq!(code == Some(Code::Timeout), timed_out);
        if !timed_out {
            self.transactions.push(tx);
        }
    }

    fn get_in(&mut self, tx: &mut Tx, collection: CollectionId) -> Option<Code> {
        let id = self.some_id();
        let answer = tx.open.get(collection, &id).map_err(|error| error.code());
        if answer == Err(Code::Timeout) {
            return Some(Code::Timeout);
        }
        match (tx.find(&self.model, collection, &id, self.now()), answer) {
            (Ok(expected), Ok(stored)) => {
                // The revision of an own write is not known yet.
                let is_own = expected.as_ref().is_some_and(|known| known.revision.is_none());
                let revision = stored.as_ref().map(|stored| stored.revision).filter(|_| is_own);
                same(
                    stored,
                    expected.map(|known| Known { revision: known.revision.or(revision), ..known }),
                );
                None
            }
            (expected, answer) => {
                assert_eq!(answer.err(), expected.err());
                None
            }
        }
    }

    fn write_in(&mut self, tx: &mut Tx, collection: CollectionId) -> Option<Code> {
        let mut intent = self.some_intent(collection);
        if self.rng.chance(600) {
            intent.demands.clear();
        }
        let answer = tx.open.write(&intent.write()).map_err(|error| error.code());
        if answer == Err(Code::Timeout) {
            return Some(Code::Timeout);
        }
        let found = tx.find(&self.model, collection, &intent.id, self.now());
        let largest = self.model.collections[&collection].largest;
        let expected = found.and_then(|found| intent.apply(found.as_ref(), largest, tx.now));
        match (expected, answer) {
            (Ok((next, effect)), Ok(written)) => {
                assert_eq!((written.effect, written.revision), (effect, Lsn::ZERO), "{intent:?}");
                tx.own.insert((collection, intent.id.clone()), next.clone());
                tx.changes.push((collection, intent.id, effect, next));
            }
            (expected, answer) => assert_eq!(answer.err(), expected.err(), "{intent:?}"),
        }
        None
    }

    fn scan_in(&mut self, tx: &mut Tx, collection: CollectionId) -> Option<Code> {
        let limit = 1 + self.rng.index(8);
        let all = (Bound::Unbounded, Bound::Unbounded);
        let answer = tx.open.scan(collection, all.0, all.1, limit).map_err(|error| error.code());
        if answer == Err(Code::Timeout) {
            return Some(Code::Timeout);
        }
        if let Err(code) = tx.touch(&self.model, collection) {
            assert_eq!(answer.err(), Some(code));
            return None;
        }
        let own = tx.own.iter().filter(|((owner, _), _)| *owner == collection);
        let own: BTreeMap<DocId, Option<Known>> =
            own.map(|((_, id), known)| (id.clone(), known.clone())).collect();
        let hidden: BTreeSet<DocId> = own.keys().cloned().collect();
        let base = self.model.scan(collection, None, tx.position, self.now());
        let base = base.into_iter().filter(|(id, _)| !hidden.contains(id));
        let own = own.into_iter().filter_map(|(id, known)| Some((id, known?)));
        let expected: BTreeMap<DocId, Known> = base.chain(own).collect();
        let expected = expected.into_iter().take(limit).map(|(id, known)| (id, known.document));
        let answer = answer.expect("no faults").into_iter();
        let answer: Vec<_> = answer.map(|(id, stored)| (id, stored.document)).collect();
        assert_eq!(answer, expected.collect::<Vec<_>>());
        let now = self.now();
        let mut scanned = Scanned { collection, limit, now, hidden, found: Vec::new() };
        scanned.found = scanned.at(&self.model, tx.position);
        tx.scanned.push(scanned);
        None
    }

    /// Ends a transaction, usually by committing it.
    pub(super) fn commit(&mut self) {
        if self.transactions.is_empty() {
            return;
        }
        let tx = self.transactions.swap_remove(self.rng.index(self.transactions.len()));
        if self.rng.chance(100) {
            return tx.open.rollback();
        }
        let timed_out = self.elapsed - tx.began > TXN_TIMEOUT;
        let verdict = tx.verdict(&self.model);
        match tx.open.commit() {
            Ok(written) => {
                assert!(!timed_out && verdict != Verdict::Conflicts, "it must not commit");
                assert_eq!(written.len(), tx.changes.len());
                let first = written.first().map_or(self.model.last, |first| first.revision);
                assert!(written.is_empty() || first > self.model.last);
                for ((written, at), (collection, id, effect, next)) in
                    written.iter().zip(first.0..).zip(tx.changes)
                {
                    assert_eq!((written.effect, written.revision), (effect, Lsn(at)));
                    self.model.put(collection, &id, written.revision, next);
                }
            }
            Err(error) if timed_out => assert_eq!(error.code(), Code::Timeout),
            Err(error) => {
                assert_eq!(error.code(), Code::TxnConflict);
                assert_ne!(verdict, Verdict::Commits, "nothing that it read has changed");
            }
        }
    }
}
