//! Live tails of application logs on a connection. Answers come one to a request here, so a tail is
//! begun, asked again and again for what has come, and ended; it belongs to its connection and ends
//! with it at the latest. What comes between two requests waits for the second, as far as there is
//! room; what there is none for is counted where it would have been.
//!
//! | `op` | with | answers |
//! |---|---|---|
//! | `tail` | the names of a filter | `{"tail":1}` |
//! | `tail_next` | `tail`, `wait_ms` (at most 60,000) | `{"events":[…],"is_closed":false}` |
//! | `tail_end` | `tail` | `{}` |
//!
//! An event is an entry, or `{"missed":3}`. After `"is_closed":true` nothing follows.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use base::error::Code;
use client::wire::Answer;
use logstore::{Filter, Tail, json_line};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::connection::lock;
use super::dispatch::Asked;
use crate::auth::{Scope, Visitor};
use crate::engine::{EngineError, LogTail, Result};

/// Tails of one connection, at most.
const TAILS_MAX: usize = 16;
/// Longest that a request waits for an entry.
pub(super) const WAIT_MAX_MS: u64 = 60_000;
/// Bytes of events after which an answer ends. The last one may be over it, and fits a frame even so.
const PIECE_BYTES: usize = 1024 * 1024;
/// How often one that waits looks whether its client is still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The tails that were begun on a connection and have not ended.
#[derive(Debug, Default)]
pub(super) struct Tails {
    last: u64,
    open: BTreeMap<u64, Arc<Mutex<LogTail>>>,
}

impl Tails {
    fn get(&self, number: u64) -> Result<Arc<Mutex<LogTail>>> {
        self.open.get(&number).map(Arc::clone).ok_or_else(|| unknown(number))
    }
}

fn unknown(number: u64) -> EngineError {
    let what = format!("no tail of this number was begun on this connection tail={number}");
    EngineError::new(Code::InvalidQuery, what)
}

/// Begins a tail.
pub(super) fn begin(asked: Asked, filter: Filter) {
    match added(&asked, filter) {
        Ok(number) => asked.answer(Answer::Text(json!({ "tail": number }).to_string().into())),
        Err(error) => asked.refuse(&error),
    }
}

fn added(asked: &Asked, filter: Filter) -> Result<u64> {
    let tail = asked.shared.surface.engine.logs()?.tail(filter)?;
    let mut tails = lock(&asked.shared.tails);
    if tails.open.len() >= TAILS_MAX {
        let what = format!("a connection has at most {TAILS_MAX} tails; end one first");
        return Err(EngineError::new(Code::QueueFull, what));
    }
    tails.last += 1;
    let number = tails.last;
    tails.open.insert(number, Arc::new(Mutex::new(tail)));
    Ok(number)
}

/// Ends a tail.
pub(super) fn end(asked: Asked, number: u64) {
    let ended = lock(&asked.shared.tails).open.remove(&number);
    match ended {
        Some(_) => asked.answer(Answer::Text("{}".into())),
        None => asked.refuse(&unknown(number)),
    }
}

/// Answers what has come, once something has or the wait is over.
pub(super) fn next(asked: Asked, visitor: Visitor, number: u64, wait: Duration) {
    let tail = lock(&asked.shared.tails).get(number);
    match tail {
        Ok(tail) => drop(tokio::spawn(wait_for(asked, visitor, tail, wait))),
        Err(error) => asked.refuse(&error),
    }
}

async fn wait_for(asked: Asked, visitor: Visitor, tail: Arc<Mutex<LogTail>>, wait: Duration) {
    let until = Instant::now() + wait;
    // Of two that wait for one tail the second has what the first has left.
    let tail = tail.lock().await;
    let first = loop {
        let look = until.min(Instant::now() + LOOK_EVERY);
        let came = timeout_at(look, poll_fn(|context| tail.entries.poll_next(context))).await;
        let is_over = asked.is_abandoned() || asked.shared.surface.is_stopping();
        if came.is_ok() || is_over || Instant::now() >= until {
            break came.ok();
        }
    };
    // The wait may have outlived the key.
    if let Err(error) = still_may(&asked, visitor) {
        return asked.refuse(&error);
    }
    // A server that stops takes no further request: this is the last answer.
    let mut piece = Piece { is_closed: asked.shared.surface.is_stopping(), ..Piece::default() };
    let mut next = first;
    while let Some(tail_of) = next {
        piece.add(&tail_of);
        next = if piece.is_full() { None } else { tail.entries.try_next() };
    }
    asked.answer(Answer::Text(piece.shown().into()));
}

fn still_may(asked: &Asked, mut visitor: Visitor) -> Result<()> {
    let surface = &asked.shared.surface;
    surface.auth.confirm(&mut visitor, surface.engine.clock().wall())?;
    Ok(visitor.identity().require_logs(Scope::Read)?)
}

/// Events as they go into an answer.
#[derive(Debug, Default)]
struct Piece {
    events: String,
    is_closed: bool,
}

impl Piece {
    fn add(&mut self, tail: &Tail) {
        let event = match tail {
            Tail::Entry(stored) => json_line(&stored.view()),
            Tail::Missed(count) => json!({ "missed": count }).to_string(),
            Tail::Closed => {
                self.is_closed = true;
                return;
            }
        };
        if !self.events.is_empty() {
            self.events.push(',');
        }
        self.events.push_str(&event);
    }

    fn is_full(&self) -> bool {
        self.is_closed || self.events.len() >= PIECE_BYTES
    }

    fn shown(&self) -> String {
        format!("{{\"events\":[{}],\"is_closed\":{}}}", self.events, self.is_closed)
    }
}
