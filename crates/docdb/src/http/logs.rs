//! Application logs over HTTP: searching them, and their upkeep. What comes in is in [`ingest`].
//!
//! What is asked is put in names and values ([`crate::log_search`]); the store answers on threads of
//! its own.

pub(super) mod elastic;
pub(super) mod ingest;
pub(super) mod loki;
pub(super) mod otlp;
pub(super) mod tail;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::call::Call;
use super::databases;
use super::error::{Failure, Result};
use super::parameters::{Parameter, Query, query};
use super::respond;
use super::routes::{Access, Route, Shape, Span, Verb};
use crate::engine::metrics::Operation;
use crate::engine::{BackupTarget, Logs};
use crate::log_search::{self, Search};

const STRING: &str = r#"{"type":"string"}"#;

const TEXT: Parameter = query(
    "text",
    STRING,
    "Words, \"phrases\", `OR`, `-without`, `begin*`; what has no meaning as an operator is a word.",
);
const SEVERITY_MAX: Parameter = query(
    "severity_max",
    STRING,
    "Only entries as bad as this or worse: a name (`warning`) or a number of syslog, 0 the worst.",
);
const HOSTNAME: Parameter =
    query("hostname", STRING, "One of these machines; with `!` before them, none of them.");
const APP_NAME: Parameter = query("app_name", STRING, "The same for programs.");
const PROC_ID: Parameter = query("proc_id", STRING, "The same for processes.");
const MSG_ID: Parameter = query("msg_id", STRING, "The same for kinds of messages.");
const SOURCE: Parameter = query("source", STRING, "The same for where entries came from.");
const FACILITY: Parameter =
    query("facility", STRING, "The same for facilities of syslog, 0 to 23.");
const SEVERITY: Parameter = query("severity", STRING, "The same for severities.");
const SD: Parameter = query(
    "sd",
    STRING,
    "Values in the structured data: `user.name=ann;code!=200`, or a path alone for any value.",
);
const FROM: Parameter =
    query("from", STRING, "The first time: RFC 3339, or nanoseconds since 1970.");
const TO: Parameter = query("to", STRING, "The last time, in the same way.");
const ORDER: Parameter = query(
    "order",
    r#"{"type":"string","enum":["newest","oldest"],"default":"newest"}"#,
    "Which entries come first.",
);
const LIMIT: Parameter = query(
    "limit",
    r#"{"type":"integer","minimum":1,"maximum":1000,"default":100}"#,
    "How many entries an answer has at most.",
);
const CURSOR: Parameter = query(
    "cursor",
    r#"{"type":"string","pattern":"^[0-9a-fA-F]{32}$"}"#,
    "`next` of an answer, for what comes behind it; with `back`, `previous` of one.",
);
const BACK: Parameter = query(
    "back",
    r#"{"type":"boolean","default":false}"#,
    "Whether to answer what comes before the cursor, in the same order.",
);
const WIDTH_MS: Parameter = query(
    "width_ms",
    r#"{"type":"integer","minimum":1,"maximum":31536000000}"#,
    "How much time a bar is; about 60 bars unless it is given.",
);
const FIELD: Parameter = query(
    "field",
    r#"{"type":"string","enum":["hostname","app_name","proc_id","msg_id","source","facility","severity"]}"#,
    "Whose values are counted; must be given.",
);
const TOP: Parameter = query(
    "limit",
    r#"{"type":"integer","minimum":1,"maximum":1000,"default":10}"#,
    "How many values an answer has at most.",
);
const LETTERS: Parameter = query(
    "limit",
    r#"{"type":"integer","minimum":1,"maximum":1000,"default":100}"#,
    "How many an answer has at most.",
);

const BASE: Route = Route {
    verb: Verb::Get,
    path: "/v1/logs",
    name: "search_logs",
    what: "Find log entries.",
    operation: Operation::LogSearch,
    access: Access::ReadLogs,
    span: Span::Bounded,
    takes: &[
        TEXT,
        SEVERITY_MAX,
        HOSTNAME,
        APP_NAME,
        PROC_ID,
        MSG_ID,
        SOURCE,
        FACILITY,
        SEVERITY,
        SD,
        FROM,
        TO,
        ORDER,
        LIMIT,
        CURSOR,
        BACK,
    ],
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
        takes: &[
            TEXT,
            SEVERITY_MAX,
            HOSTNAME,
            APP_NAME,
            PROC_ID,
            MSG_ID,
            SOURCE,
            FACILITY,
            SEVERITY,
            SD,
            FROM,
            TO,
            WIDTH_MS,
        ],
        answers: &[(200, Shape::Json("LogHistogram"))],
        handler: |call| Box::pin(histogram(call)),
        ..BASE
    },
    Route {
        path: "/v1/logs/top",
        name: "log_top_values",
        what: "The most frequent values of a field of log entries.",
        takes: &[
            FIELD,
            TOP,
            TEXT,
            SEVERITY_MAX,
            HOSTNAME,
            APP_NAME,
            PROC_ID,
            MSG_ID,
            SOURCE,
            FACILITY,
            SEVERITY,
            SD,
            FROM,
            TO,
        ],
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
