//! Queries and search schemas over the socket: JSON both ways.
//!
//! A query is `{"collection":…,"query":{…}}`, and what stands in `query` is the body that HTTP has. A schema
//! is read with `{"collection":…}`, described with `"infer":true` beside it, set with `"set":{…}` and taken
//! away with `"remove":true`.

use std::sync::Arc;

use base::error::Code;
use base::words::Name;
use client::wire::Answer;
use search::json::{Json, Kind};

use super::dispatch::{Asked, in_order};
use crate::engine::namespaces::{Asker, SchemaInfo};
use crate::engine::{EngineError, Result, Served};
use crate::http::search::{Foreign, described, foreign_change, shape_of};

/// What is asked about a schema.
enum Schema {
    Read,
    Infer,
    Set(Vec<u8>),
    Remove,
}

fn bad(what: &str) -> EngineError {
    EngineError::new(Code::InvalidQuery, what)
}

/// The collection, and the JSON of the query.
fn query_of(json: &str) -> Result<(Name, Foreign)> {
    let shape = "a query is {\"collection\":…,\"query\":{…}}";
    let json = Json::parse(json.as_bytes())?;
    let only = json.members().map(Iterator::count) == Some(2);
    let query = json.get("query").filter(|_| only).ok_or_else(|| bad(shape))?;
    Ok((collection_of(json)?, Foreign::read(query.text().as_bytes())?))
}

fn collection_of(json: Json<'_>) -> Result<Name> {
    let name = json.get("collection").and_then(Json::string);
    let name = name.ok_or_else(|| bad("`collection` is the name of a collection"))?;
    Ok(Name::new(&name)?)
}

fn schema_of(json: &str) -> Result<(Name, Schema)> {
    let shape = "a schema is {\"collection\":…}, with one of infer, set and remove";
    let json = Json::parse(json.as_bytes())?;
    let name = collection_of(json)?;
    let mut others = json.members().into_iter().flatten().filter(|(name, _)| name != "collection");
    let asked = match (others.next(), others.next()) {
        (None, _) => Schema::Read,
        (Some((name, value)), None) => match (&*name, value.kind()) {
            ("infer", Kind::Bool(true)) => Schema::Infer,
            ("remove", Kind::Bool(true)) => Schema::Remove,
            ("set", Kind::Object) => Schema::Set(value.text().into_owned().into_bytes()),
            (_, _) => return Err(bad(shape)),
        },
        (Some(_), Some(_)) => return Err(bad(shape)),
    };
    Ok((name, asked))
}

/// Whether a request about a schema changes nothing; one that is malformed is refused anyway.
pub(super) fn only_reads(json: &str) -> bool {
    matches!(schema_of(json), Ok((_, Schema::Read | Schema::Infer)))
}

/// Answers a query.
pub(super) fn query(asked: Asked, served: &Arc<Served>, json: &str) {
    let (collection, query) = match query_of(json) {
        Ok(read) => read,
        Err(error) => return asked.refuse(&error),
    };
    let (engine, how) = (Arc::clone(&asked.shared.surface.engine), in_order(&asked.shared));
    let asker = Asker::default();
    let waiting = asker.waiting();
    let words = query.asked(collection);
    let reply = asked.reply(move |asked, answered| {
        // It waits until here.
        drop(asker);
        let text = String::from_utf8_lossy(&query.answer(&answered)).into_owned();
        asked.answer(Answer::Text(text.into()));
    });
    engine.query_collection(served, words, how, waiting, reply);
}

/// Says how a query is answered.
pub(super) fn explain(asked: Asked, served: &Arc<Served>, json: &str) {
    let (collection, query) = match query_of(json) {
        Ok(read) => read,
        Err(error) => return asked.refuse(&error),
    };
    let (engine, how) = (Arc::clone(&asked.shared.surface.engine), in_order(&asked.shared));
    let asker = Asker::default();
    let waiting = asker.waiting();
    let reply = asked.report(move |plan| {
        // It waits until here.
        drop(asker);
        described(plan)
    });
    engine.explain_query(served, query.asked(collection), how, waiting, reply);
}

/// Reads, describes, sets or takes away a search schema.
pub(super) fn schema(asked: Asked, served: &Arc<Served>, json: &str) {
    let (collection, wanted) = match schema_of(json) {
        Ok(read) => read,
        Err(error) => return asked.refuse(&error),
    };
    let (engine, how) = (Arc::clone(&asked.shared.surface.engine), in_order(&asked.shared));
    let asker = Asker::default();
    let waiting = asker.waiting();
    let text = |info: &SchemaInfo| String::from_utf8_lossy(&shape_of(info)).into_owned();
    match wanted {
        Schema::Read => {
            let reply = asked.reply(move |asked, info: Option<SchemaInfo>| {
                let text = info.as_ref().map_or_else(|| "null".to_owned(), text);
                asked.answer(Answer::Text(text.into()));
            });
            engine.search_schema(served, collection, how, reply);
        }
        Schema::Remove => {
            let reply = asked.reply(|asked, ()| asked.answer(Answer::Text("null".into())));
            engine.remove_search_schema(served, collection, reply);
        }
        Schema::Infer => {
            let reply = asked.reply(move |asked, info: SchemaInfo| {
                drop(asker);
                asked.answer(Answer::Text(text(&info).into()));
            });
            engine.infer_search_schema(served, collection, how, waiting, reply);
        }
        Schema::Set(change) => {
            let change = match foreign_change(&change) {
                Ok(change) => change,
                Err(error) => return asked.refuse(&error),
            };
            let reply = asked.reply(move |asked, info: SchemaInfo| {
                drop(asker);
                asked.answer(Answer::Text(text(&info).into()));
            });
            engine.change_search_schema(served, collection, change, how, waiting, reply);
        }
    }
}
