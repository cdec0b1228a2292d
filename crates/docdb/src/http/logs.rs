//! Application logs over HTTP: searching them, and their upkeep. What comes in is in [`ingest`].
//!
//! What is asked is put in names and values ([`crate::log_search`]); the store answers on threads of
//! its own.

pub(super) mod elastic;
pub(super) mod ingest;
pub(super) mod loki;
pub(super) mod otlp;
mod parameters;
pub(super) mod tail;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::call::Call;
use super::databases;
use super::error::{Failure, Result};
use super::parameters::Query;
use super::respond;
use super::routes::{Access, Route, Shape, Span, Verb};
use crate::engine::metrics::Operation;
use crate::engine::{BackupTarget, Logs};
use crate::log_search::{self, Search};
use parameters::{BACK, CURSOR, FIELD, LETTERS, LIMIT, ORDER, TOP, WIDTH_MS, filter_and};

const BASE: Route = Route {
    verb: Verb::Get,
    path: "/v1/logs",
    name: "search_logs",
    what: "Find log entries.",
    operation: Operation::LogSearch,
    access: Access::ReadLogs,
    span: Span::Bounded,
    takes: &filter_and::<4, 16>([ORDER, LIMIT, CURSOR, BACK]),
    body: Shape::Nothing,
    answers: &[(200, Shape::Json("LogPage"))],
    handler: |call| Box::pin(search(call)),
};

pub(super) const ROUTES: &[Route] = &[
    BASE,
    Route {
        path: "/v1/logs/histogram",
        name: "log_histogram",
        what: "Count log entries over time: in the last hour, unless `from` and `to` say otherwise.",
        takes: &filter_and::<1, 13>([WIDTH_MS]),
        answers: &[(200, Shape::Json("LogHistogram"))],
        handler: |call| Box::pin(histogram(call)),
        ..BASE
    },
    Route {
        path: "/v1/logs/top",
        name: "log_top_values",
        what: "The most frequent values of a field of log entries.",
        takes: &filter_and::<2, 14>([FIELD, TOP]),
        answers: &[(200, Shape::Json("LogTopValues"))],
        handler: |call| Box::pin(top_values(call)),
        ..BASE
    },
    Route {
        path: "/v1/logs/dead_letters",
        name: "log_dead_letters",
        what: "The newest entries that the database of the logs refused, which no search finds.",
        takes: &[LETTERS],
        answers: &[(200, Shape::Json("LogDeadLetters"))],
        handler: |call| Box::pin(dead_letters(call)),
        ..BASE
    },
    Route {
        verb: Verb::Post,
        path: "/v1/logs/backup",
        name: "backup_logs",
        what: "Copy the logs to a directory below `backups` of the data directory, which is not \
               there yet.",
        operation: Operation::Backup,
        access: Access::AdminLogs,
        span: Span::Long,
        takes: &[],
        body: Shape::Json("NewName"),
        answers: &[(200, Shape::Json("LogBackup"))],
        handler: |call| Box::pin(backup(call)),
    },
];

/// Has the store answer with JSON.
async fn answered(
    call: Call,
    work: impl FnOnce(&Logs) -> crate::engine::Result<Vec<u8>> + Send + 'static,
) -> Result<Response> {
    let shown = call.ask(|engine, reply| engine.ask_logs(reply, work)).await?;
    Ok(respond::json_text(StatusCode::OK, shown))
}

async fn search(call: Call) -> Result<Response> {
    let search = Search::parse(&|name| call.query.get(name))?;
    answered(call, move |logs| search.run(logs)).await
}

async fn histogram(call: Call) -> Result<Response> {
    let (query, now): (Query, _) = (call.query.clone(), call.engine().received());
    answered(call, move |logs| log_search::counts(logs, &|name| query.get(name), now)).await
}

async fn top_values(call: Call) -> Result<Response> {
    let query: Query = call.query.clone();
    answered(call, move |logs| log_search::top_values(logs, &|name| query.get(name))).await
}

async fn dead_letters(call: Call) -> Result<Response> {
    let limit = call.query.number(LETTERS.name, 1..=1000)?.unwrap_or(100);
    let limit = usize::try_from(limit).unwrap_or(1000);
    let shown = move |logs: &Logs| {
        let letters = logs.store().dead_letters(limit)?;
        let letters = letters.iter().map(|letter| {
            let entry: Value = serde_json::from_str(&letter.entry).unwrap_or_default();
            json!({
                "id": letter.id.0,
                "received": letter.received.rfc3339(),
                "error": letter.reason,
                "entry": entry,
            })
        });
        Ok(json!({ "dead_letters": letters.collect::<Vec<_>>() }).to_string().into_bytes())
    };
    answered(call, shown).await
}

async fn backup(mut call: Call) -> Result<Response> {
    let body = call.body().await?;
    let name = databases::name_in(&body)?;
    let target = BackupTarget::new(&call.engine().options.dir, name.as_str())?;
    call.engine().logs().map_err(Failure::from)?;
    let report = call.ask(|engine, reply| engine.backup_logs(target, reply)).await?;
    let shape = json!({
        "partitions": report.partitions,
        "entries": report.entries,
        "bytes": report.bytes,
    });
    Ok(respond::json(StatusCode::OK, &shape))
}
