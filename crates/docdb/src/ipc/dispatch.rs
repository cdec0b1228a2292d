//! Each request lowered to a call of the engine, and its answer on the way back.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "commands are told apart in steps, and what no step knows is refused"
)]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::clock::Instant;
use base::error::Code;
use base::metrics::Format;
use base::words::{DocId, Name};
use client::ErrorCode;
use client::wire::{
    Answer, Call, Command, DropMode, Failure, Id, MetricsFormat, Request, Response,
};

use super::access;
use super::changes::{Reader, changes};
use super::connection::{Local, Shared, lock};
use super::databases;
use super::execute::execute;
use super::logs::logs;
use super::scan::scan;
use super::search;
use crate::auth::Visitor;
use crate::engine::metrics::Operation;
use crate::engine::{BackupTarget, DropCollection, EngineError, How, Reply, Result, Served};
use crate::reports;

/// The client's name of a code. Both lists are one, as a test sees to.
pub(super) fn code_of(code: Code) -> ErrorCode {
    ErrorCode::from_number(code.number()).unwrap_or(ErrorCode::Internal)
}

/// A failure as a frame has it.
pub(super) fn failure_of(error: &EngineError) -> Failure<'_> {
    Failure {
        status: error.code.number(),
        retryable: error.is_retryable(),
        operation: error.operation.and_then(|at| u32::try_from(at).ok()),
        message: (&*error.message).into(),
    }
}

/// A request that must be answered. Dropped without an answer, it answers `Internal`.
pub(super) struct Asked {
    pub(super) shared: Arc<Shared>,
    id: u64,
    /// The number of the database that it is for; 0 for none.
    database: u64,
    command: Command,
    operation: Option<Operation>,
    started: Instant,
    is_told: bool,
}

impl Asked {
    fn new(shared: &Arc<Shared>, request: &Request<'_>) -> Self {
        shared.outbox.expect();
        shared.surface.in_flight.fetch_add(1, Ordering::AcqRel);
        let command = request.call.command();
        Self {
            shared: Arc::clone(shared),
            id: request.id,
            database: request.database,
            command,
            operation: operation_of(request),
            started: shared.surface.engine.clock().now(),
            is_told: false,
        }
    }

    /// Says what the metrics call the request, once that is known better than its command.
    pub(super) fn counts_as(&mut self, operation: Operation) {
        self.operation = Some(operation);
    }

    /// Whether nobody reads the answer any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.shared.outbox.is_closed()
    }

    /// Answers.
    pub(super) fn answer(mut self, answer: Answer<'_>) {
        self.tell(Ok(answer), None);
    }

    /// Answers that it was refused.
    pub(super) fn refuse(mut self, error: &EngineError) {
        self.tell(Err(failure_of(error)), Some(error));
    }

    /// A reply that answers with what `show` makes of the engine's answer.
    pub(super) fn reply<T: 'static>(self, show: impl FnOnce(Self, T) + Send + 'static) -> Reply<T> {
        Reply::new(move |result: Result<T>| match result {
            Ok(value) => show(self, value),
            Err(error) => self.refuse(&error),
        })
    }

    /// A reply to a request that is answered with nothing.
    pub(super) fn done<T: 'static>(self) -> Reply<T> {
        self.reply(|asked, _| asked.answer(Answer::Done))
    }

    /// A reply to a request that is answered with a report.
    pub(super) fn report<T: 'static>(
        self,
        show: impl FnOnce(&T) -> serde_json::Value + Send + 'static,
    ) -> Reply<T> {
        self.reply(move |asked, value| asked.answer(Answer::Text(show(&value).to_string().into())))
    }

    /// The command, and the database that it is for.
    fn about(&self) -> String {
        match lock(&self.shared.databases).get(self.database) {
            Some(served) => format!("{} in {}", self.command, served.name()),
            None => self.command.to_string(),
        }
    }

    fn tell(
        &mut self,
        outcome: std::result::Result<Answer<'_>, Failure<'_>>,
        error: Option<&EngineError>,
    ) {
        self.is_told = true;
        let response = Response { id: self.id, command: Some(self.command), outcome };
        let instead = self.shared.outbox.put(&response);
        let instead = instead.map(|code| EngineError::new(code, "the answer could not be sent"));
        let engine = &self.shared.surface.engine;
        let error = error.or(instead.as_ref());
        match (self.operation, error) {
            (Some(operation), error) => {
                let took = engine.clock().now().since(self.started);
                engine.note_answered(operation, took, error, || self.about());
            }
            (None, Some(error)) => engine.track(error),
            (None, None) => {}
        }
        self.shared.outbox.answered();
        if self.shared.surface.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.surface.quiet.notify_waiters();
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.is_told {
            let what = "the request ended without an answer, which is a defect";
            let error = EngineError::new(Code::Internal, what);
            self.tell(Err(failure_of(&error)), Some(&error));
        }
    }
}

/// What the metrics call a request; nothing for what docdb does not do.
fn operation_of(request: &Request<'_>) -> Option<Operation> {
    Some(match request.call.command() {
        Command::OpenDb | Command::CloseDb | Command::ListDbs | Command::DropDb => {
            Operation::Databases
        }
        Command::Execute if request.transaction != 0 => Operation::TransactionStep,
        Command::Execute if request.call.only_reads() => Operation::Get,
        Command::Execute => Operation::Write,
        Command::Scan if request.transaction != 0 => Operation::TransactionStep,
        Command::Scan => Operation::Scan,
        Command::Stats | Command::HealStats | Command::Metrics => Operation::Stats,
        Command::CreateCollection | Command::DeleteCollection | Command::ListCollections => {
            Operation::Collections
        }
        Command::Heal | Command::HealAll => Operation::Heal,
        Command::Begin => Operation::Begin,
        Command::Commit => Operation::Commit,
        Command::Rollback => Operation::Rollback,
        Command::Validate => Operation::Validate,
        Command::Changes => Operation::Changes,
        Command::Checkpoint => Operation::Checkpoint,
        Command::Compact => Operation::Compact,
        Command::Backup => Operation::Backup,
        Command::Ping => Operation::Health,
        Command::Logs => Operation::LogSearch,
        Command::Query | Command::Explain => Operation::Query,
        Command::Schema => Operation::Schema,
        _ => return None,
    })
}

/// An id as the engine has it.
pub(super) fn doc_id(id: &Id<'_>) -> Result<DocId> {
    Ok(match id {
        Id::U64(number) => DocId::U64(*number),
        Id::Uuid(uuid) => DocId::Uuid(*uuid),
        Id::Text(text) => DocId::string(text)?,
    })
}

/// An id as a frame has it.
pub(super) fn wire_id(id: &DocId) -> Id<'_> {
    match id {
        DocId::U64(number) => Id::U64(*number),
        DocId::Uuid(uuid) => Id::Uuid(*uuid),
        DocId::Str(text) => Id::from(text.as_str()),
    }
}

/// Has a request done. It is answered in any case, some at once and some later.
pub(super) fn dispatch(shared: &Arc<Shared>, local: &mut Local, request: &Request<'_>) {
    let asked = Asked::new(shared, request);
    if shared.surface.is_stopping() {
        let error = EngineError::new(Code::PoolStopped, "the server is being shut down");
        asked.refuse(&error);
        return;
    }
    let served = match database_of(shared, request) {
        Ok(served) => served,
        Err(error) => return asked.refuse(&error),
    };
    let (engine, auth) = (&shared.surface.engine, &shared.surface.auth);
    let visitor = &mut local.visitor;
    if let Err(denied) = access::permit(engine, auth, visitor, served.as_deref(), request) {
        return asked.refuse(&denied.into());
    }
    match served {
        Some(served) => on_database(asked, local, &served, request),
        None => on_server(asked, &local.visitor, request),
    }
}

fn database_of(shared: &Shared, request: &Request<'_>) -> Result<Option<Arc<Served>>> {
    let number = request.database;
    if number == 0 {
        return Ok(None);
    }
    let found = lock(&shared.databases).get(number);
    let missing = || {
        let what = format!("no database of this number was opened here database={number}");
        EngineError::new(Code::DbNotOpen, what)
    };
    found.map(Some).ok_or_else(missing)
}

fn unsupported(command: Command) -> EngineError {
    EngineError::new(Code::Unsupported, format!("this server does not do this: {command}"))
}

fn on_server(asked: Asked, visitor: &Visitor, request: &Request<'_>) {
    let surface = Arc::clone(&asked.shared.surface);
    match &request.call {
        Call::OpenDb { name, mode } => with_name(asked, name, |asked, name| {
            match access::mode(&surface.engine, visitor, &name, *mode) {
                Ok(mode) => databases::open(asked, name, mode),
                Err(denied) => asked.refuse(&denied.into()),
            }
        }),
        Call::ListDbs(page) => databases::list(asked, *page),
        Call::DropDb { name } => databases::drop_database(asked, name),
        Call::Stats => {
            let report = asked.report(reports::server);
            surface.engine.operate_on_server(report, |engine| Ok(engine.health()));
        }
        Call::Metrics(format) => {
            let format = match format {
                MetricsFormat::Prometheus => Format::Prometheus,
                MetricsFormat::OpenMetrics => Format::OpenMetrics,
            };
            let reply = asked.reply(|asked, text: String| asked.answer(Answer::Text(text.into())));
            surface.engine.render_metrics(format, reply);
        }
        Call::Ping => asked.answer(Answer::Done),
        Call::Logs(text) => logs(asked, visitor, text),
        call => {
            let what = format!("{} needs a database that was opened here", call.command());
            asked.refuse(&EngineError::new(Code::DbNotOpen, what));
        }
    }
}

fn on_database(asked: Asked, local: &mut Local, served: &Arc<Served>, request: &Request<'_>) {
    match &request.call {
        Call::Execute { ops, mode } => {
            execute(asked, &mut local.names, served, request.transaction, ops, *mode);
        }
        Call::Scan(call) => scan(asked, served, request.transaction, call),
        Call::Changes { after, limit, wait_ms } => {
            let reader = Reader::new(served, &local.visitor, *limit);
            changes(asked, reader, *after, *wait_ms);
        }
        Call::Query(_) | Call::Explain(_) if request.transaction != 0 => {
            let what = "queries do not see what a transaction writes; ask outside of it";
            asked.refuse(&EngineError::new(Code::Unsupported, what));
        }
        Call::Query(json) => search::query(asked, served, json),
        Call::Explain(json) => search::explain(asked, served, json),
        Call::Schema(json) => search::schema(asked, served, json),
        Call::Begin => databases::begin(asked, served),
        Call::Commit => databases::commit(asked, served, request.transaction),
        Call::Rollback => databases::rollback(asked, served, request.transaction),
        Call::CloseDb => databases::close(asked, request.database),
        Call::CreateCollection { .. }
        | Call::DeleteCollection { .. }
        | Call::ListCollections(_) => {
            on_collections(asked, served, &request.call);
        }
        call => operate(asked, served, call),
    }
}

fn on_collections(asked: Asked, served: &Arc<Served>, call: &Call<'_>) {
    let engine = Arc::clone(&asked.shared.surface.engine);
    match call {
        Call::CreateCollection { name } => with_name(asked, name, |asked, name| {
            let reply = asked.reply(|asked, number: base::words::CollectionId| {
                asked.answer(Answer::Collection(number.0));
            });
            engine.create_collection(served, name, reply);
        }),
        Call::DeleteCollection { name, mode } => with_name(asked, name, |asked, name| {
            let mode = match mode {
                DropMode::IfEmpty => DropCollection::IfEmpty,
                DropMode::WithDocuments => DropCollection::Force,
            };
            engine.drop_collection(served, name, mode, asked.done());
        }),
        Call::ListCollections(page) => databases::list_collections(asked, served, *page),
        call => asked.refuse(&unsupported(call.command())),
    }
}

/// What the engine answers about a database.
type Stats = (docstore::DatabaseStats, crate::scheduler::QueueStats);

/// What operators ask for.
fn operate(asked: Asked, served: &Arc<Served>, call: &Call<'_>) {
    let engine = Arc::clone(&asked.shared.surface.engine);
    match call {
        Call::Stats => engine
            .stats(served, asked.report(|stats: &Stats| reports::database(&stats.0, &stats.1))),
        Call::HealStats => {
            engine.stats(served, asked.report(|stats: &Stats| reports::healing(&stats.0.healing)));
        }
        Call::HealAll => engine.heal_all(served, asked.report(reports::heal)),
        Call::Checkpoint => engine.checkpoint(served, asked.report(reports::checkpoint)),
        Call::Compact => engine.compact(served, asked.report(reports::checkpoint)),
        Call::Heal { collection, id, action } => {
            let named = Name::new(collection).map_err(EngineError::from);
            match named.and_then(|name| Ok((name, doc_id(id)?))) {
                Ok((name, id)) => databases::heal(asked, served, name, id, *action),
                Err(error) => asked.refuse(&error),
            }
        }
        Call::Validate { collection: "" } => {
            engine.validate(served, None, asked.report(reports::validation));
        }
        Call::Validate { collection } => with_name(asked, collection, |asked, name| {
            engine.validate(served, Some(name), asked.report(reports::validation));
        }),
        Call::Backup { name } => match BackupTarget::new(&engine.options.dir, name) {
            Ok(target) => engine.backup(served, target, asked.report(reports::backup)),
            Err(error) => asked.refuse(&error),
        },
        call => asked.refuse(&unsupported(call.command())),
    }
}

/// Goes on with a name, if it is one.
pub(super) fn with_name(asked: Asked, text: &str, go_on: impl FnOnce(Asked, Name)) {
    match Name::new(text) {
        Ok(name) => go_on(asked, name),
        Err(error) => asked.refuse(&error.into()),
    }
}

/// How writes of a connection are to be treated: in the order sent.
pub(super) fn in_order(shared: &Shared) -> How {
    How { lane: Some(shared.lane), deadline: None }
}
