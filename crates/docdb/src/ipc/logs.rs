//! Command 25: application logs, JSON both ways.
//!
//! | `op` | with | answers |
//! |---|---|---|
//! | `search` | the names of [`crate::log_search`] | as `GET /v1/logs` |
//! | `histogram` | the same, `width_ms` | as `GET /v1/logs/histogram` |
//! | `top` | the same, `field`, `limit` | as `GET /v1/logs/top` |
//! | `ingest` | `entries`: an array as `POST /v1/logs/ingest` takes it | how many were stored, once they are committed |
//!
//! Values may be text, numbers or truth values. What a key needs depends on the operation, so it is
//! asked here.

use std::sync::Arc;

use base::clock::ClockRef;
use base::error::Code;
use client::wire::Answer;
use logstore::Marks;
use serde_json::{Map, Value, json};

use super::dispatch::Asked;
use crate::auth::{Scope, Visitor};
use crate::engine::{EngineError, Logs, Result};
use crate::ingest::decoded::Entries;
use crate::ingest::feed::Feed;
use crate::ingest::json::{self as format, Defaults};
use crate::log_search::{self, FILTER, Search};

/// How long entries may wait for room.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

fn wrong(what: impl Into<Box<str>>) -> EngineError {
    EngineError::new(Code::InvalidQuery, what)
}

/// Has a request done.
pub(super) fn logs(asked: Asked, visitor: &Visitor, text: &str) {
    let work = read(text).and_then(|work| {
        visitor.identity().require_logs(work.needs())?;
        Ok(work)
    });
    let engine = Arc::clone(&asked.shared.surface.engine);
    let answer = |asked: Asked, shown: Vec<u8>| {
        asked.answer(Answer::Text(String::from_utf8_lossy(&shown).into_owned().into()));
    };
    match work {
        Err(error) => asked.refuse(&error),
        Ok(Work::Ingest(values)) => drop(tokio::spawn(ingest(asked, values))),
        Ok(Work::Search(search)) => {
            engine.ask_logs(asked.reply(answer), move |logs| search.run(logs));
        }
        Ok(Work::Histogram(names)) => {
            let now = engine.received();
            engine.ask_logs(asked.reply(answer), move |logs: &Logs| {
                log_search::counts(logs, &|name| names.get(name), now)
            });
        }
        Ok(Work::Top(names)) => engine.ask_logs(asked.reply(answer), move |logs: &Logs| {
            log_search::top_values(logs, &|name| names.get(name))
        }),
    }
}

/// What is asked for.
enum Work {
    Search(Box<Search>),
    Histogram(Names),
    Top(Names),
    Ingest(Vec<Value>),
}

impl Work {
    fn needs(&self) -> Scope {
        match self {
            Self::Search(_) | Self::Histogram(_) | Self::Top(_) => Scope::Read,
            Self::Ingest(_) => Scope::Write,
        }
    }
}

/// Names and their values as text.
struct Names(Vec<(String, String)>);

impl Names {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Takes the members of a request, all of which must be known.
    fn new(members: Map<String, Value>, more: &[&str]) -> Result<Self> {
        let mut names = Vec::new();
        for (name, value) in members {
            if !FILTER.contains(&name.as_str()) && !more.contains(&name.as_str()) {
                return Err(wrong(format!("the operation takes no `{name}`")));
            }
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text,
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                Value::Array(_) | Value::Object(_) => {
                    return Err(wrong(format!("`{name}` is text or a number")));
                }
            };
            names.push((name, text));
        }
        Ok(Self(names))
    }
}

fn read(text: &str) -> Result<Work> {
    let Ok(Value::Object(mut members)) = serde_json::from_str(text) else {
        return Err(EngineError::new(Code::InvalidJson, "the request is no JSON object"));
    };
    let op = members.remove("op");
    match op.as_ref().and_then(Value::as_str) {
        Some("search") => {
            let names = Names::new(members, &["order", "limit", "cursor", "back"])?;
            Ok(Work::Search(Box::new(Search::parse(&|name| names.get(name))?)))
        }
        Some("histogram") => Ok(Work::Histogram(Names::new(members, &["width_ms"])?)),
        Some("top") => Ok(Work::Top(Names::new(members, &["field", "limit"])?)),
        Some("ingest") => match members.remove("entries") {
            Some(Value::Array(values)) if members.is_empty() => Ok(Work::Ingest(values)),
            _ => Err(wrong("ingest takes `entries`, an array, and nothing else")),
        },
        _ => Err(wrong("op is search, histogram, top or ingest")),
    }
}

async fn ingest(asked: Asked, values: Vec<Value>) {
    match store(&asked, values).await {
        Ok(shape) => asked.answer(Answer::Text(shape.to_string().into())),
        Err(error) => asked.refuse(&error),
    }
}

async fn store(asked: &Asked, values: Vec<Value>) -> Result<Value> {
    let engine = &asked.shared.surface.engine;
    let received = engine.received();
    let defaults = Defaults { source: "socket".to_owned(), ..Defaults::default() };
    let mut entries = Entries::default();
    for value in values {
        entries.push(format::value(value, received, &defaults))?;
    }
    let entries = entries.into_list();
    let unparsed = entries.iter().filter(|entry| entry.marks.has(Marks::UNPARSED)).count();
    let clock = ClockRef::clone(engine.clock());
    let mut feed = Feed::new(Arc::clone(engine.logs()?), clock, PATIENCE);
    feed.add(entries).await?;
    let stored = feed.finish().await?;
    Ok(json!({
        "stored": stored.entries,
        "unparsed": unparsed,
        "refused": stored.refused.len(),
    }))
}
