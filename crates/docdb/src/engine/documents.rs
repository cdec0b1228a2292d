//! Documents: reading one, writing one or many, pages of a collection.
//!
//! A read that memory can answer is answered where it arrives; one that needs a file takes its turn
//! on a worker. Writes are prepared on a worker (parsed, patched, checked) and handed to the log; who
//! commits them answers.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::clock::Instant;
use base::document::Document;
use base::error::Code;
use base::memory::Reservation;
use base::words::{CollectionId, DocId, Lsn, Name};
use bytes::Bytes;
use docstore::patch::Patch;
use docstore::{
    Action, Condition, Database, Effect, Expiry, Otherwise, Peeked, ScanRequest, SnapshotId,
    Stored, Transaction, Write, Written,
};

use super::Engine;
use super::cursor::Position;
use super::error::{EngineError, Result};
use super::reply::Reply;
use super::served::Served;
use super::work::{How, Step, Work};
use crate::scheduler::HoldFor;

/// For how long a database is left alone when it has no memory or no room in its log's queue.
pub(super) const BREATH: Duration = Duration::from_millis(5);

/// What to do with one document.
#[derive(Debug, Clone)]
pub struct Op {
    /// In which collection.
    pub collection: Name,
    /// With which document.
    pub id: DocId,
    /// What.
    pub kind: OpKind,
    /// What must hold.
    pub conditions: Vec<Condition>,
}

/// The kinds of operations. Bytes are as the client sent them, not looked at yet.
#[derive(Debug, Clone)]
pub enum OpKind {
    /// Makes it; there must be none.
    Create(Bytes, Expiry),
    /// Answers it.
    Read,
    /// Replaces it; there must be one.
    Update(Bytes, Expiry),
    /// Removes it; there must be one.
    Delete,
    /// Makes or replaces it.
    Upsert(Bytes, Expiry),
    /// Changes parts of it: a JSON array of operations.
    Patch(Bytes),
}

/// How the operations of one request belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Together {
    /// All or none, in one commit.
    Atomic,
    /// Each by itself, in order.
    Independent,
}

/// What became of one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpAnswer {
    /// It was written.
    Written {
        /// The document's revision, or that of its deletion.
        revision: Lsn,
        /// What it did.
        effect: Effect,
    },
    /// The document; none when there is none.
    Read(Option<Stored>),
}

/// One answer for each operation. An atomic request has either only answers or failed as a whole.
pub type OpAnswers = Vec<Result<OpAnswer>>;

/// What to read of a collection.
#[derive(Debug, Clone)]
pub struct Scan {
    /// The collection.
    pub collection: Name,
    /// Where to begin.
    pub from: Bound<DocId>,
    /// Where to end.
    pub to: Bound<DocId>,
    /// Documents of a page, at most: 1 to 10,000.
    pub limit: usize,
    /// Where the last page ended; then nothing else of this is looked at but the limit.
    pub cursor: Option<Box<str>>,
}

/// A page of a collection.
#[derive(Debug, Clone)]
pub struct ScanPage {
    /// Its documents, in the order of their ids.
    pub documents: Vec<(DocId, Stored)>,
    /// The position that it shows.
    pub position: Lsn,
    /// What asks for the next page; none when this was the last.
    pub next: Option<Box<str>>,
}

impl From<Written> for OpAnswer {
    fn from(written: Written) -> Self {
        Self::Written { revision: written.revision, effect: written.effect }
    }
}

impl Op {
    /// Bytes of payload.
    fn bytes(&self) -> usize {
        match &self.kind {
            OpKind::Create(bytes, _)
            | OpKind::Update(bytes, _)
            | OpKind::Upsert(bytes, _)
            | OpKind::Patch(bytes) => bytes.len(),
            OpKind::Read | OpKind::Delete => 0,
        }
    }

    fn is_read(&self) -> bool {
        matches!(self.kind, OpKind::Read)
    }
}

impl Engine {
    /// Answers a read where it arrives, if memory knows the answer. None when it does not: then
    /// [`Engine::get`] is the way.
    pub fn get_from_memory(
        &self,
        served: &Served,
        collection: &Name,
        id: &DocId,
    ) -> Option<Result<Option<Stored>>> {
        let peeked = served.with(self.clock.now(), |database| {
            let collection = database.collection(collection)?;
            database.peek(collection, id)
        })?;
        match peeked {
            Ok(Peeked::Known(stored)) => Some(Ok(stored)),
            Ok(Peeked::OnDisk) => None,
            Err(error) => Some(Err(error.into())),
        }
    }

    /// Reads one document; none when there is none.
    pub fn get(
        self: &Arc<Self>,
        served: &Arc<Served>,
        collection: Name,
        id: DocId,
        how: How,
        reply: Reply<Option<Stored>>,
    ) {
        if let Some(known) = self.get_from_memory(served, &collection, &id) {
            reply.send(known);
            return;
        }
        self.work(served, 0, how, reply, move |database| {
            Ok(database.get(database.collection(&collection)?, &id)?)
        });
    }

    /// Does operations: one answer for each, once all of them are acknowledged.
    pub fn execute(
        self: &Arc<Self>,
        served: &Arc<Served>,
        ops: Vec<Op>,
        together: Together,
        how: How,
        reply: Reply<OpAnswers>,
    ) {
        let bytes: usize = ops.iter().map(Op::bytes).sum();
        // What waits for its turn counts too: a thousand requests of 16 MiB each would not fit.
        let _reserved = match self.budget.reserve("requests", bytes as u64) {
            Ok(reserved) => reserved,
            Err(error) => {
                reply.send(Err(EngineError::new(Code::MemoryLimit, error.to_string())));
                return;
            }
        };
        let since = self.clock.now();
        let served = Arc::clone(served);
        match together {
            Together::Independent => {
                let work =
                    Separate { answers: Answers::new(ops.len(), reply), ops, next: 0, since };
                let work = Execution { served: Arc::clone(&served), work, _reserved };
                self.schedule(&served, bytes, how, work);
            }
            Together::Atomic => {
                let work = Batch { stage: Stage::Raw(ops, reply), since };
                let work = Execution { served: Arc::clone(&served), work, _reserved };
                self.schedule(&served, bytes, how, work);
            }
        }
    }

    /// Reads one page of a collection.
    pub fn scan(
        self: &Arc<Self>,
        served: &Arc<Served>,
        scan: Scan,
        how: How,
        reply: Reply<ScanPage>,
    ) {
        let engine = Arc::clone(self);
        self.work(served, 0, how, reply, move |database| engine.scan_now(database, &scan));
    }

    fn scan_now(&self, database: &Database, scan: &Scan) -> Result<ScanPage> {
        let request = match &scan.cursor {
            None => {
                let collection = database.collection(&scan.collection)?;
                ScanRequest::all(collection, scan.limit).range(scan.from.clone(), scan.to.clone())
            }
            Some(cursor) => {
                let at = self.cursors.read(cursor, database.id())?;
                if at.collection != database.collection(&scan.collection)? {
                    let what = "the cursor is of another collection; begin the scan anew";
                    return Err(EngineError::new(Code::InvalidQuery, what));
                }
                let range = (Bound::Excluded(at.last), at.to);
                ScanRequest::all(at.collection, scan.limit).range(range.0, range.1).at(at.snapshot)
            }
        };
        let page = database.scan(&request)?;
        let next = match (&page.next, page.documents.last()) {
            (Some(next), Some((last, _))) => {
                let position = Position {
                    database: database.id(),
                    collection: next.collection,
                    snapshot: next.snapshot().unwrap_or(SnapshotId(0)),
                    last: last.clone(),
                    to: next.to.clone(),
                };
                Some(self.cursors.write(&position))
            }
            (_, _) => {
                // The last page of a cursor's scan lets go of what it held.
                if let Some(snapshot) = request.snapshot() {
                    database.release(snapshot);
                }
                None
            }
        };
        Ok(ScanPage { documents: page.documents, position: page.position, next })
    }
}

/// Work of which something is left when it cannot go on.
trait Kind: Send + Sized + 'static {
    fn go_on(self, engine: &Engine, served: &Arc<Served>, database: &Database) -> Step<Self>;
    fn refuse(self, error: EngineError);
}

/// Operations, and for which database.
struct Execution<K> {
    served: Arc<Served>,
    work: K,
    /// Memory of what they hold, until the log has it.
    _reserved: Reservation,
}

impl<K: Kind> Work for Execution<K> {
    fn go_on(self, engine: &Arc<Engine>, database: &Database) -> Step<Self> {
        let Self { served, work, _reserved } = self;
        match work.go_on(engine, &served, database) {
            Step::Done => Step::Done,
            Step::Later(work, hold) => Step::Later(Self { served, work, _reserved }, hold),
        }
    }

    fn refuse(self, error: EngineError) {
        self.work.refuse(error);
    }
}

/// All or none.
struct Batch {
    stage: Stage,
    since: Instant,
}

enum Stage {
    Raw(Vec<Op>, Reply<OpAnswers>),
    /// There was no room for it.
    Ready(Prepared, Told),
}

/// Parsed and looked up.
enum Prepared {
    Writes(Vec<Write>),
    /// Of operations that read as well.
    Mixed(Box<Transaction>, Reads),
}

/// Who is to be told, by whoever comes first.
type Told = Arc<Mutex<Option<Reply<OpAnswers>>>>;
/// What the operations that read were answered, by their place.
type Reads = Vec<Option<OpAnswer>>;

impl Kind for Batch {
    fn go_on(self, engine: &Engine, served: &Arc<Served>, database: &Database) -> Step<Self> {
        let since = self.since;
        let (prepared, told) = match self.stage {
            Stage::Raw(ops, reply) if ops.iter().all(Op::is_read) => {
                reply.send(read_all(database, &ops));
                return Step::Done;
            }
            Stage::Raw(ops, reply) => match prepare_all(database, ops) {
                Ok(prepared) => (prepared, Arc::new(Mutex::new(Some(reply)))),
                Err(error) => {
                    reply.send(Err(error));
                    return Step::Done;
                }
            },
            Stage::Ready(prepared, told) => (prepared, told),
        };
        let answering = |reads| answering(Arc::clone(served), Arc::clone(&told), reads);
        let (prepared, why) = match prepared {
            Prepared::Writes(writes) => match engine.indexes.admit(database, &writes) {
                Err(behind) => (Prepared::Writes(writes), behind),
                Ok(()) => match database.submit(writes, answering(Vec::new())) {
                    Ok(()) => return Step::Done,
                    Err(unplaced) => (Prepared::Writes(unplaced.work), unplaced.why.into()),
                },
            },
            Prepared::Mixed(transaction, reads) => {
                match engine.indexes.admit_changes(database, transaction.changes()) {
                    Err(behind) => (Prepared::Mixed(transaction, reads), behind),
                    Ok(()) => match transaction.submit(answering(reads.clone())) {
                        Ok(()) => return Step::Done,
                        Err(unplaced) => {
                            (Prepared::Mixed(Box::new(unplaced.work), reads), unplaced.why.into())
                        }
                    },
                }
            }
        };
        let stage = Stage::Ready(prepared, told);
        let left = Self { stage, since };
        if engine.is_stalled(since) {
            left.refuse(why);
            return Step::Done;
        }
        Step::Later(left, HoldFor::Time(BREATH))
    }

    fn refuse(self, error: EngineError) {
        match self.stage {
            Stage::Raw(_, reply) => reply.send(Err(error)),
            Stage::Ready(_, told) => {
                let reply = told.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(reply) = reply {
                    reply.send(Err(error));
                }
            }
        }
    }
}

/// Parses and looks up, and reads what is to be read.
fn prepare_all(database: &Database, ops: Vec<Op>) -> Result<Prepared> {
    let mixed = ops.iter().any(Op::is_read);
    let (mut writes, mut reads) = (Vec::with_capacity(ops.len()), Vec::new());
    let mut transaction = mixed.then(|| database.begin()).transpose()?;
    let mut known = HashMap::new();
    for (at, op) in ops.into_iter().enumerate() {
        let step = || match &mut transaction {
            None => {
                writes.push(prepare(database, op, &mut known)?);
                Ok(None)
            }
            Some(transaction) if op.is_read() => {
                let collection = database.collection(&op.collection)?;
                Ok(Some(OpAnswer::Read(transaction.get(collection, &op.id)?)))
            }
            Some(transaction) => {
                let write = prepare(database, op, &mut known)?;
                transaction.write(&write)?;
                Ok(None)
            }
        };
        reads.push(step().map_err(|error: EngineError| error.of_operation(at))?);
    }
    Ok(match transaction {
        None => Prepared::Writes(writes),
        Some(transaction) => Prepared::Mixed(Box::new(transaction), reads),
    })
}

/// An answer to a client, as the store tells it: what was written goes where nothing was read.
fn answering(served: Arc<Served>, told: Told, reads: Reads) -> docstore::Done {
    Box::new(move |outcome| {
        let reply = told.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reply) = reply {
            let answers = outcome.map(|written| {
                let mut written = written.into_iter().map(OpAnswer::from);
                if reads.is_empty() {
                    return written.map(Ok).collect();
                }
                reads
                    .into_iter()
                    .filter_map(|read| read.or_else(|| written.next()))
                    .map(Ok)
                    .collect()
            });
            reply.send(answers.map_err(|refused| served.explain(refused.into())));
        }
        served.tell_watchers();
    })
}

fn read_all(database: &Database, ops: &[Op]) -> Result<OpAnswers> {
    let snapshot = database.snapshot()?;
    let read = |(at, op): (usize, &Op)| {
        let collection = database.collection(&op.collection);
        let found = collection.and_then(|found| database.get_at(snapshot, found, &op.id));
        found
            .map(|stored| Ok(OpAnswer::Read(stored)))
            .map_err(|e| EngineError::from(e).of_operation(at))
    };
    let answers = ops.iter().enumerate().map(read).collect();
    database.release(snapshot);
    answers
}

/// A write as the store takes it.
pub(super) fn prepare(
    database: &Database,
    op: Op,
    known: &mut HashMap<Name, CollectionId>,
) -> Result<Write> {
    let collection = match known.get(&op.collection) {
        Some(collection) => *collection,
        None => {
            let found = database.collection(&op.collection)?;
            known.insert(op.collection, found);
            found
        }
    };
    let action = match op.kind {
        OpKind::Create(bytes, expiry) => Action::Create(Document::parse(&bytes)?, expiry),
        OpKind::Update(bytes, expiry) => Action::Update(Document::parse(&bytes)?, expiry),
        OpKind::Upsert(bytes, expiry) => Action::Upsert(Document::parse(&bytes)?, expiry),
        OpKind::Patch(bytes) => Action::Patch(Arc::new(Patch::parse(&bytes)?)),
        OpKind::Delete => Action::Delete,
        OpKind::Read => {
            let what = "a read is no write";
            return Err(EngineError::new(Code::Internal, what));
        }
    };
    let (conditions, otherwise) = (op.conditions, Otherwise::Refuse);
    Ok(Write { collection, id: op.id, action, conditions, otherwise })
}

/// Each by itself: handed to the log one after the other, answered when all are acknowledged.
struct Separate {
    ops: Vec<Op>,
    next: usize,
    answers: Arc<Answers>,
    since: Instant,
}

impl Kind for Separate {
    fn go_on(mut self, engine: &Engine, served: &Arc<Served>, database: &Database) -> Step<Self> {
        let mut known = HashMap::new();
        while let Some(op) = self.ops.get(self.next) {
            let at = self.next;
            if op.is_read() {
                let read = database.collection(&op.collection);
                let read = read.and_then(|collection| database.get(collection, &op.id));
                self.answers.put(at, read.map(OpAnswer::Read).map_err(EngineError::from));
                self.next += 1;
                continue;
            }
            // Bytes are shared, not copied.
            match prepare(database, op.clone(), &mut known) {
                Err(error) => self.answers.put(at, Err(error)),
                Ok(write) => {
                    let admitted = engine.indexes.admit(database, std::slice::from_ref(&write));
                    if let Err(behind) = admitted {
                        if !engine.is_stalled(self.since) {
                            return Step::Later(self, HoldFor::Time(BREATH));
                        }
                        self.answers.put(at, Err(behind));
                        self.next += 1;
                        continue;
                    }
                    let (answers, told) = (Arc::clone(&self.answers), Arc::clone(served));
                    let done = Box::new(move |outcome: docstore::Outcome| {
                        let written = outcome.map(|written| written[0].into());
                        answers.put(at, written.map_err(|refused| told.explain(refused.into())));
                        told.tell_watchers();
                    });
                    if let Err(unplaced) = database.submit(vec![write], done) {
                        if !engine.is_stalled(self.since) {
                            return Step::Later(self, HoldFor::Time(BREATH));
                        }
                        (unplaced.done)(Err(unplaced.why.into()));
                    }
                }
            }
            self.next += 1;
        }
        Step::Done
    }

    fn refuse(self, error: EngineError) {
        for at in self.next..self.ops.len() {
            self.answers.put(at, Err(error.clone()));
        }
    }
}

/// The answers of operations that are acknowledged by themselves, in any order.
struct Answers(Mutex<Collected>);

struct Collected {
    answers: Vec<Option<Result<OpAnswer>>>,
    missing: usize,
    reply: Option<Reply<OpAnswers>>,
}

impl Answers {
    fn new(count: usize, reply: Reply<OpAnswers>) -> Arc<Self> {
        if count == 0 {
            reply.send(Ok(Vec::new()));
            let nothing = Collected { answers: Vec::new(), missing: 0, reply: None };
            return Arc::new(Self(Mutex::new(nothing)));
        }
        let answers = (0..count).map(|_| None).collect();
        Arc::new(Self(Mutex::new(Collected { answers, missing: count, reply: Some(reply) })))
    }

    fn put(&self, at: usize, answer: Result<OpAnswer>) {
        let mut collected = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = answer.map_err(|error| error.of_operation(at));
        if collected.answers.get_mut(at).is_some_and(|slot| slot.replace(answer).is_none()) {
            collected.missing -= 1;
        }
        if collected.missing > 0 {
            return;
        }
        let answers = std::mem::take(&mut collected.answers);
        let reply = collected.reply.take();
        drop(collected);
        if let Some(reply) = reply {
            reply.send(Ok(answers.into_iter().flatten().collect()));
        }
    }
}
