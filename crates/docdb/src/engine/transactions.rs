//! Interactive transactions of clients: open between requests, ended by commit, rollback, their
//! owner's going away, or time.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::clock::Instant;
use base::error::Code;
use base::rng::os_bytes;
use base::words::{DocId, Lsn, Name};
use docstore::{Database, Stored, Transaction};

use super::Engine;
use super::documents::{Op, OpAnswer, OpAnswers, prepare};
use super::error::{EngineError, Result};
use super::reply::Reply;
use super::served::Served;
use super::work::{Held, How, Step, Work};
use crate::scheduler::{HoldFor, Lane};

/// Most transactions that are open at once, of all clients.
pub const TRANSACTIONS_MAX: usize = 10_000;
/// For how long a commit is put off when there is no room for it.
const BREATH: Duration = Duration::from_millis(5);

/// The number of an open transaction: random, so that nobody meets another's by accident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId(pub u64);

/// What a commit answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The revision of each operation, in order.
    pub written: Vec<(Lsn, docstore::Effect)>,
}

/// The open transactions.
#[derive(Debug, Default)]
pub(super) struct Transactions(Mutex<HashMap<TransactionId, Entry>>);

#[derive(Debug)]
struct Entry {
    served: Arc<Served>,
    /// The connection that it goes away with; none over HTTP.
    owner: Option<Lane>,
    began: Instant,
    _held: Held,
    /// None while an operation has it.
    transaction: Arc<Mutex<Option<Transaction>>>,
}

impl Transactions {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TransactionId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Ends those that are open for longer than `timeout`; says how many.
    pub(super) fn expire(&self, now: Instant, timeout: Duration) -> usize {
        let late = |_: &TransactionId, entry: &mut Entry| now.since(entry.began) > timeout;
        let gone: Vec<_> = self.lock().extract_if(late).collect();
        gone.len()
    }

    /// Ends those of a connection that has gone.
    pub(super) fn end_of(&self, owner: Lane) -> usize {
        let theirs = |_: &TransactionId, entry: &mut Entry| entry.owner == Some(owner);
        let gone: Vec<_> = self.lock().extract_if(theirs).collect();
        gone.len()
    }

    /// Ends all.
    pub(super) fn end_all(&self) {
        let all = std::mem::take(&mut *self.lock());
        drop(all);
    }
}

impl TransactionId {
    /// In which its operations keep their order. Numbers of connections are small, so the highest
    /// bit tells the two apart.
    fn lane(self) -> Lane {
        Lane(self.0 | 1 << 63)
    }

    fn not_found(self) -> EngineError {
        let what = format!(
            "there is no open transaction of this number transaction={}; it was committed, rolled \
             back or open for too long",
            self.0
        );
        EngineError::new(Code::TxnNotFound, what)
    }
}

impl Engine {
    /// Begins a transaction, which ends with the connection `owner` if there is one.
    pub fn begin(
        self: &Arc<Self>,
        served: &Arc<Served>,
        owner: Option<Lane>,
        how: How,
        reply: Reply<TransactionId>,
    ) {
        let (engine, target) = (Arc::clone(self), Arc::clone(served));
        self.work(served, 0, how, reply, move |database| {
            let transaction = database.begin()?;
            let mut open = engine.transactions.lock();
            if open.len() >= TRANSACTIONS_MAX {
                let what = format!("{TRANSACTIONS_MAX} transactions are open; try again later");
                return Err(EngineError::new(Code::QueueFull, what));
            }
            let id = loop {
                let id = TransactionId(random()?);
                if id.0 != 0 && !open.contains_key(&id) {
                    break id;
                }
            };
            let entry = Entry {
                _held: Held::of(&target),
                served: target,
                owner,
                began: engine.clock.now(),
                transaction: Arc::new(Mutex::new(Some(transaction))),
            };
            open.insert(id, entry);
            Ok(id)
        });
    }

    /// The database of an open transaction.
    ///
    /// # Errors
    /// `TxnNotFound`.
    pub fn database_of(&self, id: TransactionId) -> Result<Arc<Served>> {
        let open = self.transactions.lock();
        let found = open.get(&id).map(|entry| Arc::clone(&entry.served));
        found.ok_or_else(|| id.not_found())
    }

    /// Does operations within a transaction, in order; the first that is refused ends the request,
    /// not the transaction. Revisions are 0 until the commit says them.
    pub fn execute_in(
        self: &Arc<Self>,
        id: TransactionId,
        ops: Vec<Op>,
        deadline: Option<Instant>,
        reply: Reply<OpAnswers>,
    ) {
        self.within(id, deadline, reply, move |database, transaction| {
            let mut known = HashMap::new();
            let mut answers = Vec::with_capacity(ops.len());
            for (at, op) in ops.into_iter().enumerate() {
                let step = || {
                    if let super::documents::OpKind::Read = op.kind {
                        let collection = database.collection(&op.collection)?;
                        return Ok(OpAnswer::Read(transaction.get(collection, &op.id)?));
                    }
                    let write = prepare(database, op, &mut known)?;
                    Ok(transaction.write(&write)?.into())
                };
                answers.push(Ok(step().map_err(|error: EngineError| error.of_operation(at))?));
            }
            Ok(answers)
        });
    }

    /// Reads a range within a transaction.
    pub fn scan_in(
        self: &Arc<Self>,
        id: TransactionId,
        collection: Name,
        range: (Bound<DocId>, Bound<DocId>),
        limit: usize,
        deadline: Option<Instant>,
        reply: Reply<Vec<(DocId, Stored)>>,
    ) {
        self.within(id, deadline, reply, move |database, transaction| {
            let collection = database.collection(&collection)?;
            Ok(transaction.scan(collection, range.0, range.1, limit)?)
        });
    }

    fn within<T: Send + 'static>(
        self: &Arc<Self>,
        id: TransactionId,
        deadline: Option<Instant>,
        reply: Reply<T>,
        work: impl FnOnce(&Database, &mut Transaction) -> Result<T> + Send + 'static,
    ) {
        let found = {
            let open = self.transactions.lock();
            open.get(&id).map(|entry| (Arc::clone(&entry.served), Arc::clone(&entry.transaction)))
        };
        let Some((served, slot)) = found else {
            reply.send(Err(id.not_found()));
            return;
        };
        let how = How { lane: Some(id.lane()), deadline };
        self.work(&served, 0, how, reply, move |database| {
            // Its lane lets only one at a time come here.
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = slot.as_mut().ok_or_else(|| id.not_found())?;
            work(database, transaction)
        });
    }

    /// Commits: everything or nothing.
    pub fn commit(
        self: &Arc<Self>,
        id: TransactionId,
        deadline: Option<Instant>,
        reply: Reply<Committed>,
    ) {
        // From here on it cannot be found, so nothing can be added behind the commit.
        let Some(entry) = self.transactions.lock().remove(&id) else {
            reply.send(Err(id.not_found()));
            return;
        };
        let served = Arc::clone(&entry.served);
        let how = How { lane: Some(id.lane()), deadline };
        let told = Arc::new(Mutex::new(Some(reply)));
        let work = Commit { id, entry, told, since: self.clock.now() };
        self.schedule(&served, 0, how, work);
    }

    /// Ends a transaction without a trace.
    ///
    /// # Errors
    /// `TxnNotFound`.
    pub fn rollback(&self, id: TransactionId) -> Result<()> {
        let gone = self.transactions.lock().remove(&id);
        gone.map(drop).ok_or_else(|| id.not_found())
    }

    /// Ends what a connection has left open.
    pub fn connection_ended(&self, lane: Lane) {
        let ended = self.transactions.end_of(lane);
        if ended > 0 {
            tracing::debug!(ended, "transactions were rolled back with their connection");
        }
    }
}

/// A commit, which may have to come again.
struct Commit {
    id: TransactionId,
    entry: Entry,
    told: Arc<Mutex<Option<Reply<Committed>>>>,
    since: Instant,
}

impl Work for Commit {
    fn go_on(self, engine: &Arc<Engine>, database: &Database) -> Step<Self> {
        let mut slot = self.entry.transaction.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(transaction) = slot.take() else {
            drop(slot);
            let error = self.id.not_found();
            self.refuse(error);
            return Step::Done;
        };
        if let Err(behind) = engine.indexes.admit_changes(database, transaction.changes()) {
            *slot = Some(transaction);
            drop(slot);
            return self.later(engine, behind);
        }
        let (told, served) = (Arc::clone(&self.told), Arc::clone(&self.entry.served));
        let done = Box::new(move |outcome: docstore::Outcome| {
            let reply = told.lock().unwrap_or_else(PoisonError::into_inner).take();
            let written = |written: Vec<docstore::Written>| Committed {
                written: written.into_iter().map(|w| (w.revision, w.effect)).collect(),
            };
            if let Some(reply) = reply {
                reply.send(outcome.map(written).map_err(|refused| served.explain(refused.into())));
            }
            served.tell_watchers();
        });
        let Err(unplaced) = transaction.submit(done) else { return Step::Done };
        *slot = Some(unplaced.work);
        drop(slot);
        self.later(engine, unplaced.why.into())
    }

    fn refuse(self, error: EngineError) {
        let reply = self.told.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reply) = reply {
            reply.send(Err(error));
        }
    }
}

impl Commit {
    /// There is no room for it: it comes again, unless it has for too long.
    fn later(self, engine: &Engine, why: EngineError) -> Step<Self> {
        if engine.is_stalled(self.since) {
            self.refuse(why);
            return Step::Done;
        }
        Step::Later(self, HoldFor::Time(BREATH))
    }
}

fn random() -> Result<u64> {
    let mut bytes = [0; 8];
    os_bytes(&mut bytes).map_err(|error| {
        let what = format!("the system gives no random numbers: {error}");
        EngineError::new(Code::Internal, what)
    })?;
    // Within 63 bits, and below 2^53 so that every client can hold it as a number.
    Ok(u64::from_le_bytes(bytes) >> 11)
}
