//! Operations on documents.

use std::sync::{Arc, Mutex};

use base::clock::WallMs;
use base::error::Code;
use base::words::{DocId, Lsn};
use bytes::Bytes;
use client::wire::{Action, Answer, ExecuteMode, Executed, Failure, Found, Op as WireOp, OpResult};
use docstore::{Condition, Expiry, Stored};

use super::connection::{Names, lock};
use super::databases::{effect_of, transaction};
use super::dispatch::{Asked, code_of, doc_id, failure_of, in_order};
use crate::engine::{
    EngineError, How, Op, OpAnswer, OpAnswers, OpKind, Reply, Result, Served, Together,
    TransactionId,
};

/// Does the operations of a request.
pub(super) fn execute(
    asked: Asked,
    names: &mut Names,
    served: &Arc<Served>,
    number: u64,
    ops: &[WireOp<'_>],
    mode: ExecuteMode,
) {
    if number != 0 {
        return execute_in(asked, names, served, number, ops);
    }
    if let [op] = ops
        && op.only_reads()
    {
        return read(asked, names, served, op, mode);
    }
    let lowered = match mode {
        ExecuteMode::Atomic => lower_all(names, ops),
        ExecuteMode::Independent => match lower_each(names, ops) {
            Ok(lowered) => Ok(lowered),
            // Rare, and then each goes its own way.
            Err(()) => return apart(asked, names, served, ops),
        },
    };
    let lowered = match lowered {
        Ok(lowered) => lowered,
        Err(error) => return asked.refuse(&error),
    };
    let only_reads = ops.iter().all(WireOp::only_reads);
    let how = if only_reads { How::default() } else { in_order(&asked.shared) };
    let together = match mode {
        ExecuteMode::Atomic => Together::Atomic,
        ExecuteMode::Independent => Together::Independent,
    };
    let engine = Arc::clone(&asked.shared.surface.engine);
    engine.execute(served, lowered, together, how, asked.reply(executed));
}

/// One document, answered at once when memory has it.
fn read(asked: Asked, names: &mut Names, served: &Arc<Served>, op: &WireOp<'_>, mode: ExecuteMode) {
    let answer = move |asked: Asked, found: Result<Option<Stored>>| match (found, mode) {
        (Err(error), ExecuteMode::Atomic) => asked.refuse(&error.of_operation(0)),
        (found, _) => executed(asked, vec![found.map(OpAnswer::Read)]),
    };
    let name = names.get(op.collection).map_err(EngineError::from);
    let lowered = name.and_then(|name| Ok((name, doc_id(&op.id)?)));
    let (name, id) = match lowered {
        Ok(lowered) => lowered,
        Err(error) => return answer(asked, Err(error)),
    };
    let engine = Arc::clone(&asked.shared.surface.engine);
    match engine.get_from_memory(served, &name, &id) {
        Some(found) => answer(asked, found),
        None => {
            let reply = Reply::new(move |found: Result<Option<Stored>>| answer(asked, found));
            engine.get(served, name, id, How::default(), reply);
        }
    }
}

fn lower(names: &mut Names, op: &WireOp<'_>) -> Result<Op> {
    let collection = names.get(op.collection)?;
    let id: DocId = doc_id(&op.id)?;
    let expiry = |at: Option<u64>| at.map_or(Expiry::Never, |at| Expiry::At(WallMs(at)));
    let bytes = Bytes::copy_from_slice;
    let (kind, revision) = match op.action {
        Action::Create { document, expires_at } => {
            (OpKind::Create(bytes(document), expiry(expires_at)), None)
        }
        Action::Read => (OpKind::Read, None),
        Action::Update { document, if_revision, expires_at } => {
            (OpKind::Update(bytes(document), expiry(expires_at)), if_revision)
        }
        Action::Upsert { document, if_revision, expires_at } => {
            (OpKind::Upsert(bytes(document), expiry(expires_at)), if_revision)
        }
        Action::Delete { if_revision } => (OpKind::Delete, if_revision),
        Action::Patch { patch, if_revision } => (OpKind::Patch(bytes(patch)), if_revision),
    };
    let conditions = revision.map(|revision| Condition::Revision(Lsn(revision)));
    Ok(Op { collection, id, kind, conditions: conditions.into_iter().collect() })
}

fn lower_all(names: &mut Names, ops: &[WireOp<'_>]) -> Result<Vec<Op>> {
    let lowered = ops.iter().enumerate();
    lowered.map(|(at, op)| lower(names, op).map_err(|error| error.of_operation(at))).collect()
}

/// All of them, if none has a name or an id that is none.
fn lower_each(names: &mut Names, ops: &[WireOp<'_>]) -> std::result::Result<Vec<Op>, ()> {
    ops.iter().map(|op| lower(names, op).map_err(drop)).collect()
}

/// Independent operations of which some cannot even be begun: those are answered here.
fn apart(asked: Asked, names: &mut Names, served: &Arc<Served>, ops: &[WireOp<'_>]) {
    let lowered: Vec<Result<Op>> = ops.iter().map(|op| lower(names, op)).collect();
    let (mut good, mut answers) = (Vec::new(), Vec::new());
    for (at, op) in lowered.into_iter().enumerate() {
        match op {
            Ok(op) => {
                good.push(op);
                answers.push(None);
            }
            Err(error) => answers.push(Some(Err(error.of_operation(at)))),
        }
    }
    let (engine, how) = (Arc::clone(&asked.shared.surface.engine), in_order(&asked.shared));
    let reply = asked.reply(move |asked, done: OpAnswers| {
        let mut done = done.into_iter();
        let merged = answers.into_iter().filter_map(|answer| answer.or_else(|| done.next()));
        executed(asked, merged.collect());
    });
    engine.execute(served, good, Together::Independent, how, reply);
}

/// Answers what became of operations.
fn executed(asked: Asked, answers: OpAnswers) {
    let mut lsn = 0;
    let results = answers.iter().map(|answer| match answer {
        Ok(OpAnswer::Written { revision, effect }) => {
            lsn = lsn.max(revision.0);
            OpResult::Written { effect: effect_of(*effect), revision: revision.0 }
        }
        Ok(OpAnswer::Read(Some(stored))) => OpResult::Found(found(stored)),
        Ok(OpAnswer::Read(None)) => {
            let what = "there is no document with this id";
            OpResult::Failed(Failure::new(code_of(Code::DocNotFound), what))
        }
        Err(error) => OpResult::Failed(failure_of(error)),
    });
    let results = results.collect();
    asked.answer(Answer::Executed(Executed { lsn, results }));
}

/// A document as frames have it.
pub(super) fn found(stored: &Stored) -> Found<'_> {
    Found {
        revision: stored.revision.0,
        expires_at: stored.expires_at.map(|at| at.0),
        document: stored.document.as_bytes(),
    }
}

/// Operations of a transaction, each answered for itself. Its lane keeps their order.
fn execute_in(
    asked: Asked,
    names: &mut Names,
    served: &Arc<Served>,
    number: u64,
    ops: &[WireOp<'_>],
) {
    let id: TransactionId = match transaction(&asked.shared, served, number) {
        Ok(id) => id,
        Err(error) => return asked.refuse(&error),
    };
    if ops.is_empty() {
        return executed(asked, Vec::new());
    }
    let engine = Arc::clone(&asked.shared.surface.engine);
    let answers = ops.iter().map(|_| None).collect();
    let gathering = Arc::new(Mutex::new((answers, ops.len(), Some(asked))));
    for (at, op) in ops.iter().enumerate() {
        let gathering = Arc::clone(&gathering);
        let put = move |answer: Result<OpAnswer>| put(&gathering, at, answer);
        match lower(names, op) {
            Err(error) => put(Err(error)),
            Ok(op) => {
                let reply = Reply::new(move |answers: Result<OpAnswers>| {
                    let only = answers.and_then(|answers| {
                        let none = || EngineError::new(Code::Internal, "no answer to an operation");
                        answers.into_iter().next().ok_or_else(none)?
                    });
                    put(only);
                });
                engine.execute_in(id, vec![op], None, reply);
            }
        }
    }
}

/// Answers that gather one by one, and who waits for the last of them.
type Gathering = (Vec<Option<Result<OpAnswer>>>, usize, Option<Asked>);

fn put(gathering: &Mutex<Gathering>, at: usize, answer: Result<OpAnswer>) {
    let mut gathering = lock(gathering);
    let (answers, missing, asked) = &mut *gathering;
    if let Some(place) = answers.get_mut(at) {
        *place = Some(answer);
    }
    *missing = missing.saturating_sub(1);
    if *missing > 0 {
        return;
    }
    if let Some(asked) = asked.take() {
        executed(asked, std::mem::take(answers).into_iter().flatten().collect());
    }
}
