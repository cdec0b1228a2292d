//! The typed calls over the Unix socket: requests of [`crate::wire`] on a [`Connection`].
//!
//! When a call finds the connection lost before anything of its request was sent, it connects
//! again, once. A request that may have reached the server is never sent again, neither a write
//! nor a read: its caller is told. Databases are opened anew on a new connection when they are
//! next asked for; transactions and scans are gone with the old one.

use std::collections::HashMap;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::code::ErrorCode;
use crate::connection::{Connection, Reply};
use crate::error::{Error, Result};
use crate::options::Options;
use crate::surface::{Job, LogEvent, Next, OpenTransaction, Page, Range, Results, Search, Surface};
use crate::values::{Change, CollectionInfo, DatabaseInfo, Document, Id, Outcome, Written};
use crate::wire::{
    Answer, Call, Cursor, DropMode, ExecuteMode, HealAction, Listing, MetricsFormat, Op, OpResult,
    OpenMode, ScanCall,
};

/// Names asked for at once in a list.
const LIST_PAGE: u32 = 1000;

/// How long a request of a live tail waits for an entry, at most.
const TAIL_WAIT: Duration = Duration::from_secs(10);

/// One server, by way of one connection at a time.
#[derive(Debug)]
pub(crate) struct Session {
    path: PathBuf,
    options: Options,
    live: Mutex<Arc<Live>>,
    connections: AtomicU64,
}

/// A connection with the databases that were opened on it.
#[derive(Debug)]
struct Live {
    number: u64,
    connection: Connection,
    databases: Mutex<HashMap<String, u64>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    fn connect(path: &std::path::Path, options: &Options, number: u64) -> Result<Arc<Self>> {
        let connection = Connection::connect(path, options)?;
        Ok(Arc::new(Self { number, connection, databases: Mutex::default() }))
    }

    /// The number of a database on this connection, opened if it is not.
    fn database(&self, name: &str) -> Result<u64> {
        if let Some(number) = lock(&self.databases).get(name) {
            return Ok(*number);
        }
        self.open(name, OpenMode::Existing)
    }

    fn open(&self, name: &str, mode: OpenMode) -> Result<u64> {
        let reply = self.connection.call(0, 0, Call::OpenDb { name, mode })?;
        let Answer::Opened { database, .. } = reply.answer()? else {
            return Err(reply.unexpected());
        };
        lock(&self.databases).insert(name.to_owned(), database);
        Ok(database)
    }
}

impl Session {
    pub(crate) fn connect(path: PathBuf, options: Options) -> Result<Self> {
        let live = Mutex::new(Live::connect(&path, &options, 1)?);
        Ok(Self { path, options, live, connections: AtomicU64::new(1) })
    }

    /// The connection, made anew when it was lost.
    fn live(&self) -> Result<Arc<Live>> {
        let mut live = lock(&self.live);
        if live.connection.is_lost() {
            let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
            *live = Live::connect(&self.path, &self.options, number)?;
        }
        Ok(Arc::clone(&live))
    }

    /// Does something on the connection. When that was lost before anything was sent, does it on
    /// a new one.
    fn on_connection<T>(&self, work: impl Fn(&Arc<Live>) -> Result<T>) -> Result<T> {
        let live = self.live()?;
        match work(&live) {
            Err(error) if error.was_not_sent() && live.connection.is_lost() => work(&self.live()?),
            done => done,
        }
    }

    /// A call that names no database.
    fn on_server(&self, call: &Call<'_>) -> Result<Reply> {
        self.on_connection(|live| live.connection.call(0, 0, call.clone()))
    }

    fn on_database(&self, db: &str, call: &Call<'_>) -> Result<Reply> {
        self.on_connection(|live| live.connection.call(live.database(db)?, 0, call.clone()))
    }
}

fn done(reply: &Reply) -> Result<()> {
    let Answer::Done = reply.answer()? else { return Err(reply.unexpected()) };
    Ok(())
}

fn text(reply: &Reply) -> Result<String> {
    let Answer::Text(text) = reply.answer()? else { return Err(reply.unexpected()) };
    Ok(text.into_owned())
}

fn json(reply: &Reply) -> Result<Value> {
    let text = text(reply)?;
    serde_json::from_str(&text)
        .map_err(|error| Error::protocol(format!("the server's report is not JSON: {error}")))
}

fn results(reply: &Reply, ops: &[Op<'_>]) -> Result<Results> {
    let Answer::Executed(executed) = reply.answer()? else { return Err(reply.unexpected()) };
    if executed.results.len() != ops.len() {
        return Err(reply.unexpected());
    }
    let outcome = |(result, op): (&OpResult<'_>, &Op<'_>)| match result {
        OpResult::Written { effect, revision } => {
            Ok(Outcome::Written(Written { revision: *revision, effect: Some(*effect) }))
        }
        OpResult::Found(found) => {
            Ok(Outcome::Found(Document::of(op.id.clone().into_owned(), found)))
        }
        OpResult::Failed(failure) => Err(Error::from(failure)),
    };
    Ok(executed.results.iter().zip(ops).map(outcome).collect())
}

/// A page as it is asked for, or as it was answered.
fn scan_page(
    live: &Live,
    numbers: (u64, u64),
    collection: &str,
    range: &Range,
    next: Option<&Next>,
) -> Result<Page> {
    let bound = |bound: &Bound<Id>| match bound {
        Bound::Included(id) => (Some(id.clone()), false),
        Bound::Excluded(id) => (Some(id.clone()), true),
        Bound::Unbounded => (None, false),
    };
    let cursor = match next {
        Some(next) if next.connection != live.number => {
            let message = "the connection of the scan was lost; begin it again";
            return Err(Error::server(Some(ErrorCode::SnapshotExpired), 0, message));
        }
        Some(next) => Cursor::Next(&next.cursor),
        None => {
            let ((from, after), (to, before)) = (bound(&range.from), bound(&range.to));
            Cursor::Range { from, after, to, before }
        }
    };
    let call = Call::Scan(ScanCall { collection, cursor, limit: range.page });
    let reply = live.connection.call(numbers.0, numbers.1, call)?;
    let Answer::Page(page) = reply.answer()? else { return Err(reply.unexpected()) };
    let documents = page.documents.iter();
    let next = Next { cursor: page.next.to_vec(), connection: live.number };
    Ok(Page {
        documents: documents.map(|d| Document::of(d.id.clone().into_owned(), &d.found)).collect(),
        next: Some(next).filter(|next| !next.cursor.is_empty()),
    })
}

impl Surface for Session {
    fn ping(&self) -> Result<()> {
        done(&self.on_server(&Call::Ping)?)
    }

    fn databases(&self) -> Result<Vec<DatabaseInfo>> {
        let mut all: Vec<DatabaseInfo> = Vec::new();
        loop {
            let after = all.last().map_or("", |last| last.name.as_str()).to_owned();
            let call = Call::ListDbs(Listing { after: &after, limit: LIST_PAGE });
            let reply = self.on_server(&call)?;
            let Answer::Databases { entries, more } = reply.answer()? else {
                return Err(reply.unexpected());
            };
            let info = |entry: &crate::wire::DatabaseEntry<'_>| DatabaseInfo {
                name: entry.name.to_owned(),
                uuid: entry.uuid,
                state: entry.state,
            };
            all.extend(entries.iter().map(info));
            if !more || entries.is_empty() {
                return Ok(all);
            }
        }
    }

    fn open(&self, name: &str, mode: OpenMode) -> Result<()> {
        self.on_connection(|live| live.open(name, mode).map(drop))
    }

    fn close(&self, name: &str) -> Result<()> {
        let live = self.live()?;
        let Some(number) = lock(&live.databases).remove(name) else { return Ok(()) };
        done(&live.connection.call(number, 0, Call::CloseDb)?)
    }

    fn drop_database(&self, name: &str) -> Result<()> {
        let dropped = done(&self.on_server(&Call::DropDb { name })?);
        if dropped.is_ok() {
            // A database of this name that is made later is another one.
            lock(&self.live()?.databases).remove(name);
        }
        dropped
    }

    fn metrics(&self, format: MetricsFormat) -> Result<String> {
        text(&self.on_server(&Call::Metrics(format))?)
    }

    fn server_stats(&self) -> Result<Value> {
        json(&self.on_server(&Call::Stats)?)
    }

    fn tail_logs(&self, request: &Value, tell: &mut dyn FnMut(LogEvent) -> bool) -> Result<()> {
        // A tail belongs to its connection.
        let live = self.live()?;
        let ask = |request: &Value| {
            json(&live.connection.call(0, 0, Call::Logs(&request.to_string()))?)
        };
        let mut begin = request.clone();
        begin["op"] = "tail".into();
        let tail = ask(&begin)?["tail"].clone();
        let wait = (self.options.timeout / 2).min(TAIL_WAIT);
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let next = serde_json::json!({ "op": "tail_next", "tail": tail, "wait_ms": wait_ms });
        loop {
            let piece = ask(&next)?;
            for event in piece["events"].as_array().into_iter().flatten() {
                let event = match event["missed"].as_u64() {
                    Some(count) => LogEvent::Missed(count),
                    None => LogEvent::Entry(event.clone()),
                };
                if !tell(event) {
                    return ask(&serde_json::json!({ "op": "tail_end", "tail": tail })).map(drop);
                }
            }
            if piece["is_closed"] == true {
                return Ok(());
            }
        }
    }

    fn logs(&self, request: &Value) -> Result<Value> {
        json(&self.on_server(&Call::Logs(&request.to_string()))?)
    }

    fn collections(&self, db: &str) -> Result<Vec<CollectionInfo>> {
        let mut all: Vec<CollectionInfo> = Vec::new();
        loop {
            let after = all.last().map_or("", |last| last.name.as_str()).to_owned();
            let call = Call::ListCollections(Listing { after: &after, limit: LIST_PAGE });
            let reply = self.on_database(db, &call)?;
            let Answer::Collections { entries, more } = reply.answer()? else {
                return Err(reply.unexpected());
            };
            let info = |entry: &crate::wire::CollectionEntry<'_>| CollectionInfo {
                name: entry.name.to_owned(),
                number: entry.number,
            };
            all.extend(entries.iter().map(info));
            if !more || entries.is_empty() {
                return Ok(all);
            }
        }
    }

    fn create_collection(&self, db: &str, name: &str) -> Result<()> {
        let reply = self.on_database(db, &Call::CreateCollection { name })?;
        let Answer::Collection(_) = reply.answer()? else { return Err(reply.unexpected()) };
        Ok(())
    }

    fn drop_collection(&self, db: &str, name: &str, mode: DropMode) -> Result<()> {
        done(&self.on_database(db, &Call::DeleteCollection { name, mode })?)
    }

    fn execute(&self, db: &str, ops: &[Op<'_>], mode: ExecuteMode) -> Result<Results> {
        let call = Call::Execute { ops: ops.into(), mode };
        results(&self.on_database(db, &call)?, ops)
    }

    fn scan(&self, db: &str, collection: &str, range: &Range, next: Option<&Next>) -> Result<Page> {
        self.on_connection(|live| scan_page(live, (live.database(db)?, 0), collection, range, next))
    }

    fn changes(
        &self,
        db: &str,
        after: u64,
        limit: u32,
        wait: Duration,
    ) -> Result<(u64, Vec<Change>)> {
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        let call = Call::Changes { after, limit, wait_ms };
        let reply = self.on_connection(|live| {
            let ticket = live.connection.send(live.database(db)?, 0, call.clone())?;
            ticket.wait_for(self.options.timeout.saturating_add(wait))
        })?;
        let Answer::Changes { position, changes } = reply.answer()? else {
            return Err(reply.unexpected());
        };
        Ok((position, changes.iter().map(Change::of).collect()))
    }

    fn begin(&self, db: &str) -> Result<Box<dyn OpenTransaction>> {
        self.on_connection(|live| {
            let database = live.database(db)?;
            let reply = live.connection.call(database, 0, Call::Begin)?;
            let Answer::Begun(transaction) = reply.answer()? else {
                return Err(reply.unexpected());
            };
            let live = Arc::clone(live);
            let begun: Box<dyn OpenTransaction> = Box::new(Begun { live, database, transaction });
            Ok(begun)
        })
    }

    fn job(&self, db: &str, job: Job) -> Result<Value> {
        let call = match job {
            Job::Stats => Call::Stats,
            Job::HealAll => Call::HealAll,
            Job::HealStats => Call::HealStats,
            Job::Validate => Call::Validate { collection: "" },
            Job::Checkpoint => Call::Checkpoint,
            Job::Compact => Call::Compact,
        };
        json(&self.on_database(db, &call)?)
    }

    fn heal(&self, db: &str, collection: &str, id: &Id, action: HealAction) -> Result<Value> {
        let call = Call::Heal { collection, id: id.as_borrowed(), action };
        json(&self.on_database(db, &call)?)
    }

    fn backup(&self, db: &str, name: &str) -> Result<Value> {
        json(&self.on_database(db, &Call::Backup { name })?)
    }

    fn search(&self, db: &str, collection: &str, search: Search<'_>) -> Result<String> {
        let member = match search {
            Search::Query(json) | Search::Explain(json) => format!(",\"query\":{json}"),
            Search::Schema => String::new(),
            Search::Infer => ",\"infer\":true".to_owned(),
            Search::SetSchema(json) => format!(",\"set\":{json}"),
            Search::RemoveSchema => ",\"remove\":true".to_owned(),
        };
        let asked = format!("{{\"collection\":{}{member}}}", Value::from(collection));
        let call = match search {
            Search::Query(_) => Call::Query(&asked),
            Search::Explain(_) => Call::Explain(&asked),
            Search::Schema | Search::Infer | Search::SetSchema(_) | Search::RemoveSchema => {
                Call::Schema(&asked)
            }
        };
        text(&self.on_database(db, &call)?)
    }
}

/// A transaction: of one connection, and gone with it.
#[derive(Debug)]
struct Begun {
    live: Arc<Live>,
    database: u64,
    transaction: u64,
}

impl OpenTransaction for Begun {
    fn execute(&self, ops: &[Op<'_>]) -> Result<Results> {
        let call = Call::Execute { ops: ops.into(), mode: ExecuteMode::Independent };
        results(&self.live.connection.call(self.database, self.transaction, call)?, ops)
    }

    fn scan(&self, collection: &str, range: &Range, next: Option<&Next>) -> Result<Page> {
        scan_page(&self.live, (self.database, self.transaction), collection, range, next)
    }

    fn commit(&self) -> Result<Vec<Written>> {
        let reply = self.live.connection.call(self.database, self.transaction, Call::Commit)?;
        let Answer::Executed(executed) = reply.answer()? else { return Err(reply.unexpected()) };
        let written = |result: &OpResult<'_>| match result {
            OpResult::Written { effect, revision } => {
                Ok(Written { revision: *revision, effect: Some(*effect) })
            }
            OpResult::Found(_) | OpResult::Failed(_) => Err(reply.unexpected()),
        };
        executed.results.iter().map(written).collect()
    }

    fn rollback(&self) -> Result<()> {
        self.live.connection.send(self.database, self.transaction, Call::Rollback).map(drop)
    }
}
