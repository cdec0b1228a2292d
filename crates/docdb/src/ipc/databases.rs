//! Databases, transactions and lists: what a connection has open.

use std::sync::Arc;

use base::error::Code;
use base::words::{DocId, Lsn, Name};
use client::wire::{
    Answer, CollectionEntry, DatabaseEntry, DatabaseState, Effect, Executed, HealAction, Listing,
    OpResult, OpenMode,
};

use super::connection::{Shared, lock};
use super::dispatch::{Asked, with_name};
use crate::engine::{
    CollectionInfo, Committed, Condition, EngineError, How, Reply, Result, Served, TransactionId,
};
use crate::reports;

/// Most entries of a page of a list: a page of names of 128 bytes fits a frame many times.
const LIST_MAX: usize = 10_000;

pub(super) fn open(asked: Asked, name: Name, mode: OpenMode) {
    let engine = Arc::clone(&asked.shared.surface.engine);
    match (engine.database(&name), mode) {
        (Ok(served), OpenMode::Existing | OpenMode::OrCreate) => open_served(asked, &served),
        (Err(error), OpenMode::Existing) => asked.refuse(&error),
        (_, OpenMode::OrCreate | OpenMode::Create) => {
            let reply = asked.reply(|asked, served: Arc<Served>| opened(asked, &served));
            engine.change_server(reply, move |engine| {
                match engine.create_database(&name) {
                    // Somebody else was faster, which is as good.
                    Err(error) if error.code == Code::DbExists && mode == OpenMode::OrCreate => {
                        engine.database(&name)
                    }
                    created => created,
                }
            });
        }
    }
}

fn open_served(asked: Asked, served: &Arc<Served>) {
    let engine = Arc::clone(&asked.shared.surface.engine);
    let target = Arc::clone(served);
    let reply = asked.reply(move |asked, ()| opened(asked, &target));
    engine.open_database(served, How::default(), reply);
}

fn opened(asked: Asked, served: &Arc<Served>) {
    let number = lock(&asked.shared.databases).add(Arc::clone(served));
    match number {
        Some(database) => asked.answer(Answer::Opened { database, uuid: served.id().0 }),
        None => {
            let what = "this connection has opened too many databases; open a new one";
            asked.refuse(&EngineError::new(Code::QueueFull, what));
        }
    }
}

pub(super) fn close(asked: Asked, number: u64) {
    lock(&asked.shared.databases).remove(number);
    asked.answer(Answer::Done);
}

pub(super) fn drop_database(asked: Asked, name: &str) {
    with_name(asked, name, |asked, name| {
        let engine = Arc::clone(&asked.shared.surface.engine);
        // The one that has the name now, whichever has it when this gets its turn.
        let served = match engine.database(&name) {
            Ok(served) => served,
            Err(error) => return asked.refuse(&error),
        };
        let reply = asked.reply(|asked, ()| asked.answer(Answer::Done));
        engine.change_server(reply, move |engine| engine.drop_database(&served));
    });
}

/// How many entries a page has: what the client asks for, and one more, which says that there is
/// more.
fn page_of<T>(all: impl Iterator<Item = T>, limit: u32) -> (Vec<T>, bool) {
    let limit = usize::try_from(limit).unwrap_or(LIST_MAX).clamp(1, LIST_MAX);
    let mut page: Vec<T> = all.take(limit + 1).collect();
    let more = page.len() > limit;
    page.truncate(limit);
    (page, more)
}

pub(super) fn list(asked: Asked, page: Listing<'_>) {
    let all = asked.shared.surface.engine.all();
    let behind = all.iter().filter(|served| served.name().as_str() > page.after);
    let (found, more) = page_of(behind, page.limit);
    let state = |served: &Served| match served.condition() {
        Condition::Open => DatabaseState::Open,
        Condition::Closed | Condition::Busy => DatabaseState::Closed,
        Condition::Failed { .. } => DatabaseState::Damaged,
    };
    let entries = found.into_iter().map(|served| DatabaseEntry {
        uuid: served.id().0,
        state: state(served),
        name: served.name().as_str(),
    });
    let entries = entries.collect();
    asked.answer(Answer::Databases { entries, more });
}

pub(super) fn list_collections(asked: Asked, served: &Arc<Served>, page: Listing<'_>) {
    let engine = Arc::clone(&asked.shared.surface.engine);
    let (after, limit) = (page.after.to_owned(), page.limit);
    let reply = asked.reply(move |asked, all: Vec<CollectionInfo>| {
        let behind = all.iter().filter(|info| info.name.as_str() > after.as_str());
        let (found, more) = page_of(behind, limit);
        let entries = found.into_iter().map(|info| CollectionEntry {
            number: info.number.0,
            documents: info.documents,
            last_change: info.last_change.0,
            name: info.name.as_str(),
        });
        let entries = entries.collect();
        asked.answer(Answer::Collections { entries, more });
    });
    engine.collections(served, How::default(), reply);
}

pub(super) fn begin(asked: Asked, served: &Arc<Served>) {
    let engine = Arc::clone(&asked.shared.surface.engine);
    let owner = Some(asked.shared.lane);
    let reply = asked.reply(|asked, id: TransactionId| {
        lock(&asked.shared.transactions).insert(id.0);
        asked.answer(Answer::Begun(id.0));
    });
    engine.begin(served, owner, How::default(), reply);
}

/// The transaction of a request: one of this connection and of this database.
pub(super) fn transaction(shared: &Shared, served: &Served, number: u64) -> Result<TransactionId> {
    let id = TransactionId(number);
    let missing = || {
        let what =
            format!("no such transaction is open here and on this database transaction={number}");
        EngineError::new(Code::TxnNotFound, what)
    };
    if !lock(&shared.transactions).contains(&number) {
        return Err(missing());
    }
    let of = shared.surface.engine.database_of(id)?;
    if std::ptr::eq(&*of, served) { Ok(id) } else { Err(missing()) }
}

pub(super) fn commit(asked: Asked, served: &Served, number: u64) {
    let id = match transaction(&asked.shared, served, number) {
        Ok(id) => id,
        Err(error) => return asked.refuse(&error),
    };
    let engine = Arc::clone(&asked.shared.surface.engine);
    lock(&asked.shared.transactions).remove(&number);
    let reply = asked.reply(|asked, committed: Committed| {
        let written = committed.written.iter();
        let lsn = written.clone().map(|(lsn, _)| lsn.0).max().unwrap_or(0);
        let results = written
            .map(|(lsn, effect)| OpResult::Written { effect: effect_of(*effect), revision: lsn.0 })
            .collect();
        asked.answer(Answer::Executed(Executed { lsn, results }));
    });
    engine.commit(id, None, reply);
}

pub(super) fn rollback(asked: Asked, served: &Served, number: u64) {
    let ended = transaction(&asked.shared, served, number).and_then(|id| {
        lock(&asked.shared.transactions).remove(&number);
        asked.shared.surface.engine.rollback(id)
    });
    match ended {
        Ok(()) => asked.answer(Answer::Done),
        Err(error) => asked.refuse(&error),
    }
}

pub(super) fn effect_of(effect: docstore::Effect) -> Effect {
    match effect {
        docstore::Effect::Created => Effect::Created,
        // No operation of this surface may be passed over: it is refused instead.
        docstore::Effect::Replaced | docstore::Effect::Skipped => Effect::Replaced,
        docstore::Effect::Deleted => Effect::Deleted,
    }
}

pub(super) fn heal(
    asked: Asked,
    served: &Arc<Served>,
    collection: Name,
    id: DocId,
    action: HealAction,
) {
    let engine = Arc::clone(&asked.shared.surface.engine);
    match action {
        HealAction::Heal => {
            let reply: Reply<bool> = asked.reply(|asked, damaged| {
                let report = serde_json::json!({ "damaged": damaged });
                asked.answer(Answer::Text(report.to_string().into()));
            });
            engine.heal(served, collection, id, reply);
        }
        HealAction::Versions => {
            let reply = asked.reply(|asked, versions: Vec<crate::engine::VersionInfo>| {
                asked.answer(Answer::Text(reports::versions(&versions).into()));
            });
            engine.versions(served, collection, id, reply);
        }
        HealAction::Accept(revision) => {
            let reply: Reply<Lsn> = asked.reply(|asked, revision: Lsn| {
                let report = serde_json::json!({ "revision": revision.0 });
                asked.answer(Answer::Text(report.to_string().into()));
            });
            engine.accept(served, collection, id, Lsn(revision), reply);
        }
    }
}
