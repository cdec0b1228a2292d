//! The change feed: by long poll, or as server-sent events, from any position that the log still
//! has. Whoever comes back names the last change that was dealt with and misses none.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ACCEPT, CACHE_CONTROL};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use base::words::Lsn;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::Surface;
use super::call::{Call, ask};
use super::error::{Failure, Result};
use super::id::{self, IdForm};
use super::json::Text;
use super::listen::stops;
use super::parameters::{IDS, Parameter, header, query};
use super::respond;
use super::routes::{Access, Route, Shape, Span, Verb};
use crate::auth::{Scope, Visitor};
use crate::engine::metrics::Operation;
use crate::engine::{ChangeKind, ChangeOut, Changes, EngineError, How, Served};

/// Changes of an answer unless asked otherwise, and of one piece of a stream.
const LIMIT_DEFAULT: usize = 1000;
/// How long a poll may wait.
const WAIT_MAX: u64 = 60_000;
/// A stream says that it lives when nothing else was to say for so long.
const ALIVE_EVERY: Duration = Duration::from_secs(15);

const AFTER: Parameter = query(
    "after",
    r#"{"type":"integer","minimum":0}"#,
    "The position of the last change that was dealt with; 0 for all that the log has.",
);
const LIMIT: Parameter = query(
    "limit",
    r#"{"type":"integer","minimum":1,"maximum":10000,"default":1000}"#,
    "How many changes an answer has at most.",
);
const WAIT_MS: Parameter = query(
    "wait_ms",
    r#"{"type":"integer","minimum":0,"maximum":60000,"default":0}"#,
    "How long to wait for a change when there is none.",
);
const LAST_EVENT_ID: Parameter = header(
    "last-event-id",
    r#"{"type":"string"}"#,
    "What `after` says, as clients of server-sent events send it when they come back.",
);

pub(super) const ROUTES: &[Route] = &[Route {
    verb: Verb::Get,
    path: "/v1/databases/{database}/changes",
    name: "changes",
    what: "What was written behind a position, in order, without gaps. With `Accept: \
           text/event-stream` a stream that goes on for as long as the client listens.",
    operation: Operation::Changes,
    access: Access::Read,
    span: Span::Long,
    takes: &[AFTER, LIMIT, WAIT_MS, IDS, LAST_EVENT_ID],
    body: Shape::Nothing,
    answers: &[(200, Shape::Json("Changes")), (200, Shape::Events)],
    handler: |call| Box::pin(changes(call)),
}];

async fn changes(call: Call) -> Result<Response> {
    let database = call.database()?;
    let form = call.query.id_form()?;
    let accepted = call.header(ACCEPT.as_str())?.unwrap_or_default();
    let is_stream = accepted.contains("text/event-stream");
    let after = call.query.number(AFTER.name, 0..=u64::MAX)?;
    let last = match call.header(LAST_EVENT_ID.name)? {
        Some(text) => Some(
            text.parse()
                .map_err(|_| Failure::bad("last-event-id is the id of an event of this feed"))?,
        ),
        None => None,
    };
    // Who comes back knows better than the address that it was given first.
    let position = Lsn(last.or(after).unwrap_or(0));
    let limit = call.query.number(LIMIT.name, 1..=10_000)?;
    let limit = limit.map_or(Ok(LIMIT_DEFAULT), usize::try_from).unwrap_or(LIMIT_DEFAULT);
    let wait = call.query.number(WAIT_MS.name, 0..=WAIT_MAX)?;
    let stopping = call.surface.stopping.subscribe();
    let (surface, visitor) = (Arc::clone(&call.surface), call.visitor.clone());
    let mut feed = Feed { surface, visitor, database, position, limit, stopping };
    // Also a stream begins with a piece: what is wrong is said with a status.
    let first = feed.read().await?;
    if is_stream {
        if wait.is_some() {
            return Err(Failure::bad("wait_ms is of polls; a stream waits by itself"));
        }
        return Ok(feed.stream(first, form));
    }
    let mut piece = first;
    if piece.changes.is_empty()
        && let Some(wait) = wait.filter(|wait| *wait > 0)
    {
        // Whether a change came or time is over, the answer is what there is.
        drop(timeout(Duration::from_millis(wait), feed.wait()).await);
        piece = feed.read().await?;
    }
    let mut out = Text::object();
    out.member("changes").open(b'[');
    for change in &piece.changes {
        out.element();
        write(&mut out, change, form);
    }
    out.close(b']');
    out.member("position").number(piece.next.0);
    Ok(respond::json_text(StatusCode::OK, out.end()))
}

/// A reader of the feed.
struct Feed {
    surface: Arc<Surface>,
    /// Who listens; asked again for every piece, because a stream may outlive a key.
    visitor: Visitor,
    database: Arc<Served>,
    position: Lsn,
    limit: usize,
    stopping: watch::Receiver<bool>,
}

impl Feed {
    /// What is behind the position, which moves behind it.
    async fn read(&mut self) -> std::result::Result<Changes, EngineError> {
        let (engine, database) = (&self.surface.engine, &self.database);
        self.surface.auth.confirm(&mut self.visitor, engine.clock().wall())?;
        self.visitor.identity().require(Some(database.name()), Scope::Read)?;
        let (position, limit) = (self.position, self.limit);
        let read = |reply| engine.changes(database, position, limit, How::default(), reply);
        let piece = ask(read).await?;
        self.position = piece.next;
        Ok(piece)
    }

    /// Returns when there may be something behind the position; an error when the server stops or
    /// too many wait.
    async fn wait(&mut self) -> std::result::Result<(), EngineError> {
        let told = Arc::new(Notify::new());
        let teller = Arc::clone(&told);
        // Whoever gives up is forgotten with this.
        let _watching = self.database.watch_while(self.position, move || teller.notify_one())?;
        tokio::select! {
            () = told.notified() => Ok(()),
            () = stops(&mut self.stopping) => {
                let what = "the server stops; come back with the last position";
                Err(EngineError::new(base::error::Code::PoolStopped, what))
            }
        }
    }

    fn stream(self, first: Changes, form: IdForm) -> Response {
        let events = stream::try_unfold((self, Some(first)), move |(mut feed, first)| async move {
            let piece = match first {
                Some(first) => first,
                None => feed.next_piece().await?,
            };
            let bytes = Bytes::from(events(&piece, form));
            Ok::<_, EngineError>(Some((bytes, (feed, None))))
        });
        let content_type = HeaderValue::from_static("text/event-stream");
        let mut response = respond::bytes(StatusCode::OK, content_type, Body::from_stream(events));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// The next piece; an empty one when nothing was written for a while.
    async fn next_piece(&mut self) -> std::result::Result<Changes, EngineError> {
        let piece = self.read().await?;
        if !piece.changes.is_empty() {
            return Ok(piece);
        }
        if let Ok(waited) = timeout(ALIVE_EVERY, self.wait()).await {
            waited?;
            return self.read().await;
        }
        Ok(piece)
    }
}

/// A piece of the feed as events, or a comment when there is nothing in it.
fn events(piece: &Changes, form: IdForm) -> Vec<u8> {
    if piece.changes.is_empty() {
        return b": alive\n\n".to_vec();
    }
    let mut out = Vec::new();
    for change in &piece.changes {
        out.extend_from_slice(format!("id: {}\ndata: ", change.lsn).as_bytes());
        // A line break within a document would end the line: the next one continues the data, and
        // whoever listens puts the break back.
        let mut text = Text::empty();
        write(&mut text, change, form);
        for byte in text.into_bytes() {
            match byte {
                b'\n' => out.extend_from_slice(b"\ndata: "),
                // White space between tokens, which alone would end the line too.
                b'\r' => out.push(b' '),
                _ => out.push(byte),
            }
        }
        out.extend_from_slice(b"\n\n");
    }
    out
}

/// One change.
fn write(out: &mut Text, change: &ChangeOut, form: IdForm) {
    let (op, id) = match &change.kind {
        ChangeKind::Put { id, .. } => ("put", Some(id)),
        ChangeKind::Delete { id } => ("delete", Some(id)),
        ChangeKind::CreateCollection => ("create_collection", None),
        ChangeKind::DropCollection => ("drop_collection", None),
        ChangeKind::SetProperty { .. } => ("set_property", None),
    };
    out.open(b'{');
    out.member("lsn").number(change.lsn.0);
    out.member("op").string(op);
    match &change.name {
        Some(name) => out.member("collection").string(name.as_str()),
        None => out.member("collection").raw(b"null"),
    }
    out.member("collection_number").number(u64::from(change.collection.0));
    if let Some(id) = id {
        id::write(out, id, form);
        out.member("revision").number(change.lsn.0);
    }
    out.member("transaction").number(change.transaction.0);
    out.member("time").string(&change.wall.rfc3339());
    match &change.kind {
        ChangeKind::Put { document, expires_at, .. } => {
            if let Some(at) = expires_at {
                out.member("expires_at").string(&at.rfc3339());
            }
            out.member("document").raw(document.as_bytes());
        }
        ChangeKind::SetProperty { property, value } => {
            out.member("property").string(property.as_str());
            match value {
                Some(value) => out.member("value").raw(value.as_bytes()),
                None => out.member("value").raw(b"null"),
            }
        }
        ChangeKind::Delete { .. } | ChangeKind::CreateCollection | ChangeKind::DropCollection => {}
    }
    out.close(b'}');
}
