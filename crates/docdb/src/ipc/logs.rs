//! Command 25: application logs, JSON both ways.
//!
//! | `op` | with | answers |
//! |---|---|---|
//! | `search` | the names of [`crate::log_search`] | as `GET /v1/logs` |
//! | `histogram` | the same, `width_ms` | as `GET /v1/logs/histogram` |
//! | `top` | the same, `field`, `limit` | as `GET /v1/logs/top` |
//! | `ingest` | `entries`: an array as `POST /v1/logs/ingest` takes it | how many were stored, once they are committed |
//! | `tail`, `tail_next`, `tail_end` | see [`super::tails`] | what comes, piece by piece |
//!
//! Values may be text, numbers or truth values. What a key needs depends on the operation, so it is
//! asked here.

use std::sync::Arc;
use std::time::Duration;

use base::clock::ClockRef;
use base::error::Code;
use client::wire::Answer;
use logstore::{Filter, Marks};
use serde_json::{Map, Value, json};

use super::dispatch::Asked;
use super::tails::{self, WAIT_MAX_MS};
use crate::auth::{Scope, Visitor};
use crate::engine::metrics::Operation;
use crate::engine::{EngineError, Logs, Result};
use crate::ingest::decoded::Entries;
use crate::ingest::feed::Feed;
use crate::ingest::json::{self as format, Defaults};
use crate::log_search::{self, FILTER, Search};

/// How long entries may wait for room.
const PATIENCE: Duration = Duration::from_secs(30);

fn wrong(what: impl Into<Box<str>>) -> EngineError {
    EngineError::new(Code::InvalidQuery, what)
}

/// Has a request done.
pub(super) fn logs(mut asked: Asked, visitor: &Visitor, text: &str) {
    let work = read(text).and_then(|work| {
        visitor.identity().require_logs(work.needs())?;
        Ok(work)
    });
    if let Ok(work) = &work {
        asked.counts_as(work.operation());
    }
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
        Ok(Work::Tail(filter)) => tails::begin(asked, *filter),
        Ok(Work::TailNext(tail, wait)) => tails::next(asked, visitor.clone(), tail, wait),
        Ok(Work::TailEnd(tail)) => tails::end(asked, tail),
    }
}

/// What is asked for.
enum Work {
    Search(Box<Search>),
    Histogram(Names),
    Top(Names),
    Ingest(Vec<Value>),
    Tail(Box<Filter>),
    TailNext(u64, Duration),
    TailEnd(u64),
}

impl Work {
    fn operation(&self) -> Operation {
        match self {
            Self::Search(_) | Self::Histogram(_) | Self::Top(_) => Operation::LogSearch,
            Self::Ingest(_) => Operation::LogIngest,
            Self::Tail(_) | Self::TailNext(..) | Self::TailEnd(_) => Operation::LogTail,
        }
    }

    fn needs(&self) -> Scope {
        match self {
            Self::Search(_)
            | Self::Histogram(_)
            | Self::Top(_)
            | Self::Tail(_)
            | Self::TailNext(..)
            | Self::TailEnd(_) => Scope::Read,
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

    /// A number that may be left out.
    fn number(&self, name: &str, max: u64) -> Result<Option<u64>> {
        let read = |text: &str| {
            let number = text.parse().ok().filter(|number| *number <= max);
            number.ok_or_else(|| wrong(format!("`{name}` is a number from 0 to {max}")))
        };
        self.get(name).map(read).transpose()
    }

    /// The number of a tail.
    fn tail(&self) -> Result<u64> {
        self.number("tail", u64::MAX)?.ok_or_else(|| wrong("`tail` is the number of one"))
    }

    /// The members of a request, all of which must be of a filter or of `more`.
    fn new(members: Map<String, Value>, more: &[&str]) -> Result<Self> {
        Self::known(members, |name| FILTER.contains(&name) || more.contains(&name))
    }

    fn known(members: Map<String, Value>, is_known: impl Fn(&str) -> bool) -> Result<Self> {
        let mut names = Vec::new();
        for (name, value) in members {
            if !is_known(&name) {
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
        Some("tail") => {
            let names = Names::new(members, &[])?;
            Ok(Work::Tail(Box::new(log_search::filter(&|name| names.get(name))?)))
        }
        Some("tail_next") => {
            let names = Names::known(members, |name| ["tail", "wait_ms"].contains(&name))?;
            let wait = names.number("wait_ms", WAIT_MAX_MS)?.unwrap_or(0);
            Ok(Work::TailNext(names.tail()?, Duration::from_millis(wait)))
        }
        Some("tail_end") => {
            Ok(Work::TailEnd(Names::known(members, |name| name == "tail")?.tail()?))
        }
        _ => Err(wrong("op is search, histogram, top, ingest, tail, tail_next or tail_end")),
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
