//! Entries as JSON: lines as they come, or a whole array. The answer comes when all of them are
//! committed and survive a loss of power.
//!
//! Memory: of lines, the longest one and a piece of entries; of an array, the body and what it
//! becomes, which is reserved first.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use base::clock::ClockRef;
use bytes::Bytes;
use logstore::Marks;
use serde_json::json;

use crate::engine::metrics::Operation;
use crate::engine::{EngineError, Logs};
use crate::http::body;
use crate::http::call::Call;
use crate::http::error::{Failure, Result};
use crate::http::parameters::{Parameter, query};
use crate::http::respond;
use crate::http::routes::{Access, Route, Shape, Span, Verb};
use crate::ingest::decoded::{Entries, Undecoded};
use crate::ingest::feed::{Feed, Stored};
use crate::ingest::json::{self as format, Defaults};
use crate::ingest::lines::Lines;
use crate::ingest::{fields, syslog::Extent};

/// What a value of JSON takes in memory, for each byte of it, at worst.
pub(super) const JSON_GROWTH: u64 = 16;
/// Entries that the answer names of those that the database refused, at most.
const REFUSED_NAMED_MAX: usize = 100;

const HOSTNAME: Parameter =
    query("hostname", r#"{"type":"string"}"#, "The machine of entries that do not say it.");
const APP_NAME: Parameter =
    query("app_name", r#"{"type":"string"}"#, "The program of entries that do not say it.");
const SEVERITY: Parameter = query(
    "severity",
    r#"{"type":"string"}"#,
    "The severity of entries that do not say it, by its name (`emerg` to `debug`) or number (0 to 7); `info` \
     unless it is given.",
);

pub(in crate::http) const ROUTES: &[Route] = &[Route {
    verb: Verb::Post,
    path: "/v1/logs/ingest",
    name: "ingest_logs",
    what: "Store log entries: JSON, one object a line, or with `Content-Type: application/json` an \
           array of them; with `text/plain` each line is a message. What is no object is stored as \
           it is, and marked. Answered when everything is committed.",
    operation: Operation::LogIngest,
    access: Access::WriteLogs,
    span: Span::Long,
    takes: &[HOSTNAME, APP_NAME, SEVERITY],
    body: Shape::Lines,
    answers: &[(200, Shape::Json("LogsIngested"))],
    handler: |call| Box::pin(ingest(call)),
}];

/// The media type of the body, without its parameters.
pub(super) fn media_type(call: &Call) -> Result<String> {
    let given = call.header(CONTENT_TYPE.as_str())?.unwrap_or_default();
    Ok(given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// A way into the log store for the entries of a request.
pub(super) fn feed(call: &Call) -> Result<Feed> {
    let engine = call.engine();
    let logs = Arc::clone(engine.logs()?);
    let patience = call.surface.options.request_timeout;
    Ok(Feed::new(logs, ClockRef::clone(engine.clock()), patience))
}

/// Has a whole body decoded on a thread that may take its time; its memory is reserved first.
pub(super) async fn decoded<T: Send + 'static>(
    call: &mut Call,
    growth: u64,
    decode: impl FnOnce(&Logs, &Bytes) -> std::result::Result<T, Undecoded> + Send + 'static,
) -> Result<T> {
    let body = call.body().await?;
    if let Some(held) = &mut call.held {
        held.grow((body.len() as u64).saturating_mul(growth)).map_err(|e| body::no_memory(&e))?;
    }
    let work = move |logs: &Logs| Ok(decode(logs, &body)?);
    call.ask(|engine, reply| engine.ask_logs(reply, work)).await
}

fn defaults(call: &Call) -> Result<Defaults> {
    let text = |name: &str| call.query.get(name).unwrap_or_default().to_owned();
    let severity = call.query.get(SEVERITY.name).map(|text| {
        fields::severity(text).ok_or_else(|| Failure::bad("severity is the name of one"))
    });
    Ok(Defaults {
        hostname: text(HOSTNAME.name),
        app_name: text(APP_NAME.name),
        severity: severity.transpose()?,
        source: "http".to_owned(),
    })
}

async fn ingest(mut call: Call) -> Result<Response> {
    let defaults = defaults(&call)?;
    let media = media_type(&call)?;
    let mut feed = Counted { feed: feed(&call)?, unparsed: 0 };
    if media == "application/json" {
        let received = call.engine().received();
        let read = move |_: &Logs, body: &Bytes| match format::document(body, received, &defaults) {
            // What is called JSON is lines of it often enough.
            Err(Undecoded::Malformed(_)) => all_lines(body, received, &defaults),
            read => read,
        };
        let entries = decoded(&mut call, JSON_GROWTH, read).await?;
        feed.add(entries).await?;
    } else {
        stream(&mut call, &mut feed, &defaults, media == "text/plain").await?;
    }
    let Counted { feed, unparsed } = feed;
    let stored = feed.finish().await?;
    Ok(respond::json(StatusCode::OK, &answer(&stored, unparsed)))
}

/// Counts what could not be parsed on its way.
struct Counted {
    feed: Feed,
    unparsed: u64,
}

impl Counted {
    async fn add(&mut self, entries: Entries) -> Result<()> {
        let entries = entries.into_list();
        let unparsed = entries.iter().filter(|entry| entry.marks.has(Marks::UNPARSED));
        self.unparsed += unparsed.count() as u64;
        Ok(self.feed.add(entries).await?)
    }
}

fn all_lines(
    body: &[u8],
    received: logstore::UnixNanos,
    defaults: &Defaults,
) -> std::result::Result<Entries, Undecoded> {
    let (mut lines, mut entries, mut rest) = (Lines::default(), Entries::default(), body);
    while let Some((line, extent)) = lines.next(&mut rest) {
        format::of_line(&line, extent, received, defaults, &mut entries)?;
    }
    if let Some((line, extent)) = lines.last() {
        format::of_line(&line, extent, received, defaults, &mut entries)?;
    }
    Ok(entries)
}

/// Takes lines as they come.
async fn stream(
    call: &mut Call,
    feed: &mut Counted,
    defaults: &Defaults,
    is_plain: bool,
) -> Result<()> {
    let mut body = call.take_body();
    let mut held = body::reserve(&call.surface)?;
    let mut lines = Lines::default();
    let received = call.engine().received();
    let read = |line: &[u8], extent, entries: &mut Entries| {
        if !is_plain {
            return format::of_line(line, extent, received, defaults, entries);
        }
        let marks = if extent == Extent::Cut { Marks::CUT } else { Marks::NONE };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Ok(());
        }
        entries.push(format::plain(line, received, defaults, marks))
    };
    while let Some(piece) = body::next(&mut body, call.surface.options.body_timeout).await? {
        let (mut entries, mut rest) = (Entries::default(), &piece[..]);
        while let Some((line, extent)) = lines.next(&mut rest) {
            read(&line, extent, &mut entries).map_err(EngineError::from)?;
        }
        let holds = (lines.held() + entries.bytes()) as u64;
        if holds > held.bytes() {
            held.grow(holds - held.bytes()).map_err(|e| body::no_memory(&e))?;
        }
        feed.add(entries).await?;
    }
    let mut entries = Entries::default();
    if let Some((line, extent)) = lines.last() {
        read(&line, extent, &mut entries).map_err(EngineError::from)?;
    }
    feed.add(entries).await
}

fn answer(stored: &Stored, unparsed: u64) -> serde_json::Value {
    let named = stored.refused.iter().take(REFUSED_NAMED_MAX);
    let named = named.map(|(id, reason)| json!({ "id": id.0, "error": &**reason }));
    json!({
        "stored": stored.entries,
        "unparsed": unparsed,
        "refused": stored.refused.len(),
        "errors": named.collect::<Vec<_>>(),
    })
}
