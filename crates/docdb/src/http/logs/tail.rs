//! The live tail: entries as they come, as server-sent events or over a WebSocket, before they are
//! written. A reader that is too slow is told how many it missed, and where.
//!
//! | | an entry | missed entries | sign of life |
//! |---|---|---|---|
//! | events | `id: 7` and `data: {…}` | `event: missed` and `data: {"missed":3}` | a comment |
//! | WebSocket | a text message `{…}` | `{"missed":3}` | a ping |
//!
//! It ends when the client goes away, the key is no longer valid, or the server stops.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ws::{Message, WebSocket};
use axum::http::header::{ACCEPT, CACHE_CONTROL};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use logstore::{Tail, json_line};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;

use super::parameters::FILTER;
use crate::auth::{Scope, Visitor};
use crate::engine::metrics::Operation;
use crate::engine::{EngineError, LogTail};
use crate::http::Surface;
use crate::http::call::Call;
use crate::http::connection::UnderWay;
use crate::http::error::{Failure, Result};
use crate::http::listen::stops;
use crate::http::respond;
use crate::http::routes::{Access, Route, Shape, Span, Verb};
use crate::log_search;

/// How long nothing may come until the stream says that it lives.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// Bytes that are put together into one piece of a stream.
const PIECE_BYTES: usize = 64 * 1024;
/// Longest message of a client, which has nothing to say.
pub(in crate::http) const CLIENT_BYTES_MAX: usize = 4096;

pub(in crate::http) const ROUTES: &[Route] = &[Route {
    verb: Verb::Get,
    path: "/v1/logs/tail",
    name: "tail_logs",
    what: "Log entries as they come, for as long as the client listens: server-sent events with \
           `Accept: text/event-stream`, or a WebSocket.",
    operation: Operation::LogTail,
    access: Access::ReadLogs,
    span: Span::Long,
    takes: &FILTER,
    body: Shape::Nothing,
    answers: &[(200, Shape::Events), (101, Shape::Nothing)],
    handler: |call| Box::pin(tail(call)),
}];

async fn tail(mut call: Call) -> Result<Response> {
    let filter = log_search::filter(&|name| call.query.get(name))?;
    let accepted = call.header(ACCEPT.as_str())?.unwrap_or_default();
    let wants_events = accepted.contains("text/event-stream");
    let upgrade = call.upgrade.take();
    if upgrade.is_none() && !wants_events {
        let what = "a tail is a stream of events, with Accept: text/event-stream, or a WebSocket";
        return Err(Failure::bad(what).with_status(StatusCode::NOT_ACCEPTABLE));
    }
    let logs = Arc::clone(call.engine().logs()?);
    let reader = Reader {
        tail: logs.tail(filter)?,
        surface: Arc::clone(&call.surface),
        visitor: call.visitor.clone(),
        stopping: call.surface.stopping.subscribe(),
    };
    match upgrade {
        Some((upgrade, under_way)) => Ok(upgrade
            .max_message_size(CLIENT_BYTES_MAX)
            .max_frame_size(CLIENT_BYTES_MAX)
            .on_upgrade(move |socket| reader.over(socket, under_way))),
        None => Ok(reader.events()),
    }
}

/// Somebody who follows.
struct Reader {
    tail: LogTail,
    surface: Arc<Surface>,
    /// Asked again from time to time, because a tail may outlive a key.
    visitor: Visitor,
    stopping: watch::Receiver<bool>,
}

/// What is to be told.
enum Told {
    Tail(Tail),
    /// Nothing came for a while.
    Alive,
    /// There is nothing more.
    End,
}

impl Reader {
    /// What comes next.
    async fn next(&mut self) -> Told {
        let tail = &self.tail.entries;
        let came = tokio::select! {
            came = timeout(ALIVE_EVERY, poll_fn(|context| tail.poll_next(context))) => came,
            () = stops(&mut self.stopping) => return Told::End,
        };
        match came {
            Ok(Tail::Closed) => Told::End,
            Ok(tail) => Told::Tail(tail),
            Err(_) if self.is_allowed() => Told::Alive,
            Err(_) => Told::End,
        }
    }

    fn is_allowed(&mut self) -> bool {
        let now = self.surface.engine.clock().wall();
        self.surface.auth.confirm(&mut self.visitor, now).is_ok()
            && self.visitor.identity().require_logs(Scope::Read).is_ok()
    }

    fn events(self) -> Response {
        // Something at once, so that a client knows that it listens.
        let begin = Bytes::from_static(b": listening\n\n");
        let events = stream::unfold((self, Some(begin)), |(mut reader, begin)| async move {
            let bytes = match begin {
                Some(begin) => begin,
                None => Bytes::from(reader.piece().await?),
            };
            Some((Ok::<_, EngineError>(bytes), (reader, None)))
        });
        let content_type = HeaderValue::from_static("text/event-stream");
        let mut response = respond::bytes(StatusCode::OK, content_type, Body::from_stream(events));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// What has come, as events; none at the end.
    async fn piece(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        match self.next().await {
            Told::End => return None,
            Told::Alive => return Some(b": alive\n\n".to_vec()),
            Told::Tail(tail) => event(&tail, &mut out),
        }
        while out.len() < PIECE_BYTES
            && let Some(tail) = self.tail.entries.try_next()
        {
            if tail == Tail::Closed {
                break;
            }
            event(&tail, &mut out);
        }
        Some(out)
    }

    /// Tells a client over a WebSocket until one of both has enough.
    async fn over(mut self, mut socket: WebSocket, under_way: Option<UnderWay>) {
        let patience = self.surface.options.send_timeout;
        loop {
            let message = tokio::select! {
                told = self.next() => match told {
                    Told::End => break,
                    Told::Alive => Message::Ping(Bytes::new()),
                    Told::Tail(tail) => Message::Text(text(&tail).into()),
                },
                said = socket.recv() => match said {
                    // Pings are answered by the library; there is nothing else to say.
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Text(_) | Message::Binary(_))) => continue,
                    Some(Ok(Message::Close(_))) => {
                        // The library answers it when it is asked for more, of which there is none.
                        drop(timeout(patience, socket.recv()).await);
                        break;
                    }
                    Some(Err(_)) | None => break,
                },
            };
            match timeout(patience, socket.send(message)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => break,
            }
        }
        // The client may have gone; then nobody needs a goodbye.
        drop(timeout(patience, socket.send(Message::Close(None))).await);
        drop(under_way);
    }
}

fn text(tail: &Tail) -> String {
    match tail {
        Tail::Entry(stored) => json_line(&stored.view()),
        Tail::Missed(count) => json!({ "missed": count }).to_string(),
        Tail::Closed => String::new(),
    }
}

fn event(tail: &Tail, out: &mut Vec<u8>) {
    let head = match tail {
        Tail::Entry(stored) => format!("id: {}\ndata: ", stored.id),
        Tail::Missed(_) => "event: missed\ndata: ".to_owned(),
        Tail::Closed => return,
    };
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(text(tail).as_bytes());
    out.extend_from_slice(b"\n\n");
}
