//! Queries of any collection, and its search schema.
//!
//! The language is that of namespaces (`namespaces/query.rs`); answers have documents. A collection with a
//! search schema is answered by its index; one without is looked at up to a bound, and the answer says so.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use base::error::Code;
use base::words::Name;
use search::index::{PartPlan, Performance};
use search::json::Json;
use search::schema::{Schema, Undeclared};
use serde_json::{Value, json};

use super::call::Call;
use super::error::{Failure, Result};
use super::id::{self, IdForm};
use super::json::Text;
use super::namespaces::query::{One, QueryBody, read};
use super::namespaces::write::{metric_of, parsed};
use super::parameters::{IDS, Parameter, query};
use super::respond;
use super::routes::{Access, Route, Shape, Span, Verb};
use super::rows::{Include, write_attributes, write_facets, write_groups};
use crate::engine::metrics::Operation;
use crate::engine::namespaces::{
    AccessPath, Answered, Asker, Documents, Plan, QueryAnswer, QueryAsked, SCAN_DOCUMENTS_MAX,
    SchemaChange, SchemaInfo,
};
use crate::engine::{Engine, EngineError};

const QUERY: &str = "/v1/databases/{database}/collections/{collection}/query";
const EXPLAIN: &str = "/v1/databases/{database}/collections/{collection}/explain";
const SCHEMA: &str = "/v1/databases/{database}/collections/{collection}/schema";
const INDEXES: &str = "/v1/databases/{database}/collections/{collection}/indexes";

const INFER: Parameter = query(
    "infer",
    r#"{"type":"boolean"}"#,
    "Describe the first documents of the collection instead: what their schema would be.",
);

const BASE: Route = Route {
    verb: Verb::Post,
    path: QUERY,
    name: "query",
    what: "Answer a query of a collection, or several at one position.",
    operation: Operation::Query,
    access: Access::Read,
    span: Span::Bounded,
    takes: &[IDS],
    body: Shape::Json("Query"),
    answers: &[(200, Shape::Json("Answer"))],
    handler: |call| Box::pin(answer_query(call)),
};

pub(super) const ROUTES: &[Route] = &[
    BASE,
    Route {
        path: EXPLAIN,
        name: "explain",
        what: "Say how a query is answered: which parts of the index are asked, and how; or why the \
               documents are looked at.",
        takes: &[],
        answers: &[(200, Shape::Json("QueryPlan"))],
        handler: |call| Box::pin(explain(call)),
        ..BASE
    },
    Route {
        verb: Verb::Get,
        path: SCHEMA,
        name: "get_search_schema",
        what: "Read the search schema of a collection; `null` without one.",
        operation: Operation::Schema,
        takes: &[INFER],
        body: Shape::Nothing,
        answers: &[(200, Shape::Document)],
        handler: |call| Box::pin(schema(call)),
        ..BASE
    },
    Route {
        verb: Verb::Put,
        path: SCHEMA,
        name: "set_search_schema",
        what: "Give a collection a search schema, or change it: what is not named stays. Every document \
               must fit it, those that are there and those to come.",
        operation: Operation::Schema,
        access: Access::Admin,
        takes: &[],
        body: Shape::Json("SearchSchemaChange"),
        answers: &[(200, Shape::Json("SearchSchema"))],
        handler: |call| Box::pin(set_schema(call)),
        ..BASE
    },
    Route {
        verb: Verb::Delete,
        path: SCHEMA,
        name: "remove_search_schema",
        what: "Take the search schema away; the documents stay.",
        operation: Operation::Schema,
        access: Access::Admin,
        takes: &[],
        body: Shape::Nothing,
        answers: &[(204, Shape::Nothing)],
        handler: |call| Box::pin(remove_schema(call)),
        ..BASE
    },
    Route {
        path: INDEXES,
        name: "add_index",
        what: "Declare attributes to filter, sort and group by, and nothing else of the documents: they \
               may have whatever other members.",
        operation: Operation::Schema,
        access: Access::Admin,
        takes: &[],
        body: Shape::Json("NewIndex"),
        answers: &[(200, Shape::Json("SearchSchema"))],
        handler: |call| Box::pin(add_index(call)),
        ..BASE
    },
];

async fn answer_query(mut call: Call) -> Result<Response> {
    let (database, collection) = (call.database()?, call.collection()?);
    let form = call.query.id_form()?;
    let body = call.body().await?;
    let body = read(&body, &Include::Everything)?;
    let asked = body.asked(collection, false);
    let (asker, how) = (Asker::default(), call.how());
    let ask = |engine: &Arc<Engine>, reply| {
        engine.query_collection(&database, asked, how, asker.waiting(), reply);
    };
    let answered = call.ask(ask).await?;
    Ok(respond::json_text(StatusCode::OK, written(&body, &answered, form)))
}

/// The answer to one query, or the list of answers.
fn written(body: &QueryBody, answered: &Answered, form: IdForm) -> Vec<u8> {
    let is_list = body.is_multi && body.fusion.is_none();
    let mut out = Text::object();
    if is_list {
        out.member("answers").open(b'[');
    }
    for (index, answer) in answered.answers.iter().enumerate() {
        let Some(one) = body.of_answer(index) else { continue };
        if is_list {
            out.element().open(b'{');
        }
        write_answer(&mut out, one, answer, (answered, form), body.fusion.is_some());
        if is_list {
            out.close(b'}');
        }
    }
    if is_list {
        out.close(b']');
    }
    write_performance(&mut out, answered);
    out.end()
}

fn write_answer(
    out: &mut Text,
    one: &One,
    answer: &QueryAnswer,
    (answered, form): (&Answered, IdForm),
    is_fused: bool,
) {
    out.member("documents").open(b'[');
    for row in &answer.rows {
        out.element().open(b'{');
        id::write(out, &row.id, form);
        if let Some(score) = row.dist {
            out.member("score").raw(format!("{score:?}").as_bytes());
        }
        if let Some(stored) =
            row.stored.as_ref().filter(|_| one.shown.documents() == Documents::Fetch)
        {
            out.member("revision").number(stored.revision.0);
            match one.shown.include {
                // Byte by byte, whatever form its vectors have.
                Include::Everything => out.member("document").raw(stored.document.as_bytes()),
                Include::Only(_) | Include::Except(_) | Include::Nothing => {
                    out.member("document").open(b'{');
                    let schema = answered.schema.as_deref();
                    write_attributes(out, &stored.document, schema, &one.shown);
                    out.close(b'}');
                }
            }
        }
        out.close(b'}');
    }
    out.close(b']');
    if !is_fused {
        write_groups(out, &one.query, &answer.groups);
        write_facets(out, &one.query, answer);
        if let Some(cursor) = &answer.cursor {
            out.member("next").string(cursor);
        }
    }
}

/// A query that came by another way than HTTP, with how it is answered.
#[derive(Debug)]
pub(crate) struct Foreign(QueryBody);

impl Foreign {
    /// Reads it.
    ///
    /// # Errors
    /// As the body of a request would be refused.
    pub(crate) fn read(json: &[u8]) -> std::result::Result<Self, EngineError> {
        read(json, &Include::Everything).map(Self).map_err(|failure| failure.error)
    }

    /// What the engine is asked.
    pub(crate) fn asked(&self, collection: Name) -> QueryAsked {
        self.0.asked(collection, false)
    }

    /// The answer.
    pub(crate) fn answer(&self, answered: &Answered) -> Vec<u8> {
        written(&self.0, answered, IdForm::Json)
    }
}

/// Reads a change of a search schema that came by another way.
///
/// # Errors
/// As the body of a request would be refused.
pub(crate) fn foreign_change(json: &[u8]) -> std::result::Result<SchemaChange, EngineError> {
    change_of(json).map_err(|failure| failure.error)
}

/// How the answer was found, and what was done for it.
fn write_performance(out: &mut Text, answered: &Answered) {
    out.member("performance").open(b'{');
    out.member("access").string(answered.access.name());
    out.member("scanned").number(answered.work.scanned);
    out.member("matched").number(answered.work.matched);
    match &answered.access {
        AccessPath::Index(used) => {
            out.member("position").number(used.position.0);
            out.member("in_memory").number(used.sum(|query| query.in_memory));
            out.member("clusters").number(used.sum(|query| query.clusters));
            let ratio = used.cache().hit_ratio().unwrap_or(1.0);
            out.member("cache_hit_ratio").raw(format!("{ratio:?}").as_bytes());
        }
        AccessPath::Scan(why) => {
            out.member("why").string(&why.to_string());
            out.member("cut").raw(if answered.work.is_cut { b"true" } else { b"false" });
            if answered.schema.is_none() {
                out.member("bound").number(SCAN_DOCUMENTS_MAX);
            }
        }
    }
    let ms = u64::try_from(answered.took.as_millis()).unwrap_or(u64::MAX);
    out.member("took_ms").number(ms);
    out.close(b'}');
}

async fn explain(mut call: Call) -> Result<Response> {
    let (database, collection) = (call.database()?, call.collection()?);
    let body = call.body().await?;
    let asked = read(&body, &Include::Everything)?.asked(collection, false);
    let (asker, how) = (Asker::default(), call.how());
    let ask = |engine: &Arc<Engine>, reply| {
        engine.explain_query(&database, asked, how, asker.waiting(), reply);
    };
    let plan = call.ask(ask).await?;
    Ok(respond::json(StatusCode::OK, &described(&plan)))
}

/// A plan as JSON.
pub(crate) fn described(plan: &Plan) -> Value {
    let mut shape = json!({
        "access": plan.access.name(),
        "collection": plan.collection.as_str(),
        "documents": plan.documents,
        "scanned": plan.scanned(),
        "cut": plan.is_cut(),
        "has_schema": plan.has_schema,
        "queries": plan.queries,
        "fused": plan.is_fused,
        "text": plan.to_string(),
    });
    match &plan.access {
        AccessPath::Index(used) => {
            shape["position"] = used.position.0.into();
            shape["facts"] = used.queries.iter().map(facts).collect();
        }
        AccessPath::Scan(why) => shape["why"] = why.to_string().into(),
    }
    if let Some(bound) = plan.bound {
        shape["bound"] = bound.into();
    }
    shape
}

/// What the index did for one query.
fn facts(facts: &Performance) -> Value {
    json!({
        "rows": facts.rows,
        "scanned": facts.scanned,
        "matched": facts.matched,
        "parts": facts.plans.iter().map(part).collect::<Value>(),
    })
}

fn part(part: &PartPlan) -> Value {
    let mut shape = json!({
        "part": part.part,
        "plan": part.plan.name(),
        "rows": part.rows,
        "matching": part.matching,
    });
    if part.plan.asks_vectors() {
        shape["clusters"] = part.vectors.clusters.into();
        shape["scanned"] = part.vectors.scanned.into();
        shape["compared"] = part.vectors.compared.into();
    }
    shape
}

async fn schema(call: Call) -> Result<Response> {
    let (database, collection) = (call.database()?, call.collection()?);
    let how = call.how();
    if call.query.flag(INFER.name)? {
        let asker = Asker::default();
        let ask = |engine: &Arc<Engine>, reply| {
            engine.infer_search_schema(&database, collection, how, asker.waiting(), reply);
        };
        let info = call.ask(ask).await?;
        return Ok(respond::json_text(StatusCode::OK, shape_of(&info)));
    }
    let ask = |engine: &Arc<Engine>, reply| {
        engine.search_schema(&database, collection, how, reply);
    };
    let info = call.ask(ask).await?;
    let text = info.map_or_else(|| b"null".to_vec(), |info| shape_of(&info));
    Ok(respond::json_text(StatusCode::OK, text))
}

/// A schema as JSON.
pub(crate) fn shape_of(info: &SchemaInfo) -> Vec<u8> {
    let mut out = Text::object();
    write_schema(&mut out, &info.schema);
    if let Some(sampled) = info.sampled {
        out.member("sampled").number(sampled);
    }
    out.end()
}

fn write_schema(out: &mut Text, schema: &Schema) {
    out.member("undeclared").string(schema.undeclared().name());
    out.member("attributes").raw(schema.to_json().as_bytes());
}

/// Reads `{"attributes":{…},"undeclared":…,"distance_metric":…}`.
///
/// # Errors
/// The answer to a body that is none.
pub(super) fn change_of(body: &[u8]) -> Result<SchemaChange> {
    let json = parsed(body)?;
    let Some(members) = json.members() else {
        return Err(Failure::bad("a schema is an object of attributes and undeclared"));
    };
    let mut change = SchemaChange::default();
    for (name, value) in members {
        match &*name {
            "attributes" => change.declaration = Some(text_of(value)),
            "distance_metric" => change.metric = Some(metric_of(value)?),
            "undeclared" => {
                let named = value.string().and_then(|name| Undeclared::named(&name));
                let bad = || Failure::bad("undeclared is infer, refuse or ignore");
                change.undeclared = Some(named.ok_or_else(bad)?);
            }
            _ => return Err(Failure::bad(format!("a schema has no member `{name}`"))),
        }
    }
    Ok(change)
}

fn text_of(json: Json<'_>) -> bytes::Bytes {
    json.text().into_owned().into_bytes().into()
}

async fn change(call: &Call, change: SchemaChange) -> Result<Response> {
    let (database, collection) = (call.database()?, call.collection()?);
    let (asker, how) = (Asker::default(), call.how());
    let ask = |engine: &Arc<Engine>, reply| {
        engine.change_search_schema(&database, collection, change, how, asker.waiting(), reply);
    };
    let info = call.ask(ask).await?;
    Ok(respond::json_text(StatusCode::OK, shape_of(&info)))
}

async fn set_schema(mut call: Call) -> Result<Response> {
    let body = call.body().await?;
    change(&call, change_of(&body)?).await
}

async fn remove_schema(call: Call) -> Result<Response> {
    let (database, collection) = (call.database()?, call.collection()?);
    let ask = |engine: &Arc<Engine>, reply| {
        engine.remove_search_schema(&database, collection, reply);
    };
    call.ask(ask).await?;
    Ok(respond::nothing(StatusCode::NO_CONTENT))
}

/// Reads `{"paths":{"a.b":"int"}}`: types of attributes, and nothing else.
pub(super) fn index_of(body: &[u8]) -> Result<SchemaChange> {
    let json = parsed(body)?;
    let shape = "an index is {\"paths\":{\"a.b\":\"int\"}}: paths and the types of their values";
    let bad = || Failure::bad(shape);
    let only = json.members().map(Iterator::count) == Some(1);
    let paths = json.get("paths").filter(|_| only).ok_or_else(bad)?;
    for (path, value) in paths.members().ok_or_else(bad)? {
        let name = value.string().ok_or_else(bad)?;
        if search::value::ValueType::parse(&name).is_none() {
            let what = format!(
                "there is no index of type `{name}`; there are string, int, uint, float, bool, uuid, \
                 datetime and arrays as []int path=`{path}`"
            );
            return Err(Failure::new(Code::InvalidSchema, what));
        }
    }
    let declaration = Some(text_of(paths));
    Ok(SchemaChange { declaration, ..SchemaChange::default() })
}

async fn add_index(mut call: Call) -> Result<Response> {
    let body = call.body().await?;
    let asked = index_of(&body)?;
    let (database, collection) = (call.database()?, call.collection()?);
    let how = call.how();
    let ask = |engine: &Arc<Engine>, reply| {
        engine.search_schema(&database, collection, how, reply);
    };
    // What a collection does with other members stays; one without a schema ignores them.
    let undeclared = call.ask(ask).await?.is_none().then_some(Undeclared::Ignore);
    change(&call, SchemaChange { undeclared, ..asked }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_a_schema_is_read() {
        let change = change_of(br#"{"attributes":{"a":"int"},"undeclared":"refuse"}"#).unwrap();
        assert_eq!(change.undeclared, Some(Undeclared::Refuse));
        assert_eq!(change.declaration.as_deref(), Some(&br#"{"a":"int"}"#[..]));
        for bad in [&b"[]"[..], br#"{"fields":{}}"#, br#"{"undeclared":"drop"}"#] {
            assert_eq!(change_of(bad).unwrap_err().error.code, Code::InvalidQuery);
        }
    }

    #[test]
    fn an_index_is_of_values_alone() {
        assert!(index_of(br#"{"paths":{"a.b":"int","tags":"[]string"}}"#).is_ok());
        for (bad, code) in [
            (&br#"{"paths":{"v":"[2]f32"}}"#[..], Code::InvalidSchema),
            (br#"{"paths":{"v":{"type":"int"}}}"#, Code::InvalidQuery),
            (br#"{"paths":{},"more":1}"#, Code::InvalidQuery),
            (br"{}", Code::InvalidQuery),
        ] {
            assert_eq!(index_of(bad).unwrap_err().error.code, code);
        }
    }
}
