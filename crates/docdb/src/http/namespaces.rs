//! Namespaces: the write and query language that turbopuffer's clients speak, `/v2/namespaces` with what
//! of it still stands below `/v1`. `v1` has docdb's own, simpler shapes of the same.
//!
//! A namespace is a collection with a search schema, of the database that the parameter `database` names
//! or of `default`. Parameters that are not known are ignored, and errors have the shape
//! `{"status":"error","error":…}`. What is not done here is refused with `Unsupported`, never ignored.

pub(super) mod query;
pub(super) mod v1;
pub(super) mod write;

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use base::error::Code;
use base::words::{DocId, Name};
use docstore::Effect;
use search::filter::Filter;
use search::json::{Json, Kind};
use search::path::Path;
use serde_json::{Value, json};

use super::call::Call;
use super::error::{Failure, Result};
use super::id::{self, IdForm};
use super::json::Text;
use super::parameters::{DATABASE, Parameter, query as parameter};
use super::respond;
use super::routes::{Access, Route, Shape, Span, Verb};
use super::rows::{Include, Shown, VectorForm, write_attributes, write_floats};
use crate::engine::metrics::Operation;
use crate::engine::namespaces::{
    Asker, NamespaceInfo, NamespaceWritten, RECALL_QUERIES_MAX, RecallAsked, RowCondition, RowOp,
    RowWrite, SchemaChange, SchemaInfo,
};
use crate::engine::{Engine, EngineError, IndexState, Served};

use write::{ByFilter, DELETED_BY_FILTER_MAX, PATCHED_BY_FILTER_MAX, WriteBody};

/// How often a write is tried that met a change of the schema.
const TRIES_MAX: usize = 10;
/// Most namespaces of a page.
const PAGE_MAX: u64 = 1000;
/// Bodies larger than this are read on a thread that may take its time.
const LARGE_BYTES: usize = 64 * 1024;

const ALL: &str = "/v1/namespaces";
const ONE: &str = "/v2/namespaces/{namespace}";
const QUERY: &str = "/v2/namespaces/{namespace}/query";
const EXPLAIN: &str = "/v2/namespaces/{namespace}/explain_query";
const METADATA: &str = "/v2/namespaces/{namespace}/metadata";
const SET_METADATA: &str = "/v1/namespaces/{namespace}/metadata";
const SCHEMA: &str = "/v1/namespaces/{namespace}/schema";
const WARM: &str = "/v1/namespaces/{namespace}/hint_cache_warm";
const RECALL: &str = "/v1/namespaces/{namespace}/_debug/recall";
const ASYNC: &str = "/v2/namespaces/{namespace}/async";

const PREFIX: Parameter = parameter(
    "prefix",
    r#"{"type":"string"}"#,
    "Names that begin with this; all unless it is said.",
);
const PAGE_SIZE: Parameter = parameter(
    "page_size",
    r#"{"type":"integer","minimum":1,"maximum":1000,"default":100}"#,
    "How many names a page has.",
);
const CURSOR: Parameter =
    parameter("cursor", r#"{"type":"string"}"#, "Where the last page ended, as its answer says.");

const BASE: Route = Route {
    verb: Verb::Get,
    path: ALL,
    name: "list_namespaces",
    what: "List the namespaces: collections with a search schema.",
    operation: Operation::Namespaces,
    access: Access::Read,
    span: Span::Bounded,
    takes: &[DATABASE, PREFIX, PAGE_SIZE, CURSOR],
    body: Shape::Nothing,
    answers: &[(200, Shape::Json("Namespaces"))],
    handler: |call| Box::pin(list(call)),
};

pub(super) const ROUTES: &[Route] = &[
    BASE,
    Route {
        verb: Verb::Post,
        path: ONE,
        name: "write_namespace",
        what: "Write rows, patches and deletions, all of them or none; the namespace is made when it is \
               written to first.",
        operation: Operation::Upsert,
        access: Access::Write,
        takes: &[DATABASE],
        body: Shape::Json("NamespaceWrite"),
        answers: &[(200, Shape::Json("NamespaceWritten"))],
        handler: |call| Box::pin(write_rows(call)),
        ..BASE
    },
    Route {
        verb: Verb::Delete,
        path: ONE,
        name: "delete_namespace",
        what: "Remove a namespace with its documents.",
        access: Access::Write,
        takes: &[DATABASE],
        answers: &[(200, Shape::Json("NamespaceStatus"))],
        handler: |call| Box::pin(remove(call)),
        ..BASE
    },
    Route {
        verb: Verb::Post,
        path: ASYNC,
        name: "start_namespace_copy",
        what: "Refused: copies are made while their client waits.",
        operation: Operation::Upsert,
        access: Access::Write,
        takes: &[DATABASE],
        body: Shape::Json("NamespaceWrite"),
        answers: &[(200, Shape::Json("NamespaceStatus"))],
        handler: |call| Box::pin(start_copy(call)),
        ..BASE
    },
    Route {
        verb: Verb::Post,
        path: QUERY,
        name: "query_namespace",
        what: "Answer a query, or several at one position.",
        operation: Operation::Query,
        takes: &[DATABASE],
        body: Shape::Json("Query"),
        answers: &[(200, Shape::Json("NamespaceAnswer"))],
        handler: |call| Box::pin(answer_query(call)),
        ..BASE
    },
    Route {
        verb: Verb::Post,
        path: EXPLAIN,
        name: "explain_namespace_query",
        what: "Say how a query is answered: which parts of the index are asked, and how.",
        operation: Operation::Query,
        takes: &[DATABASE],
        body: Shape::Json("Query"),
        answers: &[(200, Shape::Json("Plan"))],
        handler: |call| Box::pin(explain(call)),
        ..BASE
    },
    Route {
        path: METADATA,
        name: "get_namespace_metadata",
        what: "Describe a namespace.",
        takes: &[DATABASE],
        answers: &[(200, Shape::Json("NamespaceMetadata"))],
        handler: |call| Box::pin(metadata(call)),
        ..BASE
    },
    Route {
        verb: Verb::Patch,
        path: SET_METADATA,
        name: "update_namespace_metadata",
        what: "Change what a namespace may: it can be neither read-only nor pinned here.",
        access: Access::Write,
        takes: &[DATABASE],
        body: Shape::Json("NamespaceMetadataChange"),
        answers: &[(200, Shape::Json("NamespaceMetadata"))],
        handler: |call| Box::pin(update_metadata(call)),
        ..BASE
    },
    Route {
        path: SCHEMA,
        name: "get_namespace_schema",
        what: "Read the schema of a namespace.",
        operation: Operation::Schema,
        takes: &[DATABASE],
        answers: &[(200, Shape::Json("SearchAttributes"))],
        handler: |call| Box::pin(schema(call)),
        ..BASE
    },
    Route {
        verb: Verb::Post,
        path: SCHEMA,
        name: "update_namespace_schema",
        what: "Change the schema of a namespace; what is not named stays as it is.",
        operation: Operation::Schema,
        access: Access::Write,
        takes: &[DATABASE],
        body: Shape::Json("SearchAttributes"),
        answers: &[(200, Shape::Json("SearchAttributes"))],
        handler: |call| Box::pin(update_schema(call)),
        ..BASE
    },
    Route {
        path: WARM,
        name: "warm_namespace",
        what: "Say that a namespace is about to be queried.",
        takes: &[DATABASE],
        answers: &[(200, Shape::Json("NamespaceStatus"))],
        handler: |call| Box::pin(warm(call)),
        ..BASE
    },
    Route {
        verb: Verb::Post,
        path: RECALL,
        name: "measure_recall",
        what: "Measure how much of the truth the index of vectors finds.",
        operation: Operation::Query,
        takes: &[DATABASE],
        body: Shape::Json("RecallAsked"),
        answers: &[(200, Shape::Json("Recall"))],
        handler: |call| Box::pin(recall(call)),
        ..BASE
    },
];

/// The database and the name of the namespace.
fn target(call: &Call) -> Result<(Arc<Served>, Name)> {
    Ok((call.namespace_database()?, call.name("namespace")?))
}

async fn list(call: Call) -> Result<Response> {
    let database = call.namespace_database()?;
    let size = call.query.number(PAGE_SIZE.name, 1..=PAGE_MAX)?.unwrap_or(100);
    let limit = usize::try_from(size).unwrap_or(usize::MAX);
    let prefix = call.query.get(PREFIX.name).unwrap_or_default().to_owned();
    let after = call.query.get(CURSOR.name).filter(|cursor| !cursor.is_empty()).map(str::to_owned);
    let how = call.how();
    let ask = |engine: &Arc<Engine>, reply| {
        engine.namespaces(&database, prefix, after, limit, how, reply);
    };
    let (names, has_more) = call.ask(ask).await?;
    let ids: Vec<Value> = names.iter().map(|name| json!({ "id": name.as_str() })).collect();
    let mut shape = json!({ "namespaces": ids });
    if let Some(last) = names.last().filter(|_| has_more) {
        shape["next_cursor"] = last.as_str().into();
    }
    Ok(respond::json(StatusCode::OK, &shape))
}

/// Reads a body on a thread where it may take the time that it takes.
async fn read_apart<T: Send + 'static>(
    body: bytes::Bytes,
    read: impl FnOnce(&[u8]) -> Result<T> + Send + 'static,
) -> Result<T> {
    if body.len() <= LARGE_BYTES {
        return read(&body);
    }
    let read = tokio::task::spawn_blocking(move || read(&body)).await;
    read.map_err(|_| Failure::new(Code::Internal, "reading a body panicked"))?
}

async fn write_rows(mut call: Call) -> Result<Response> {
    let started = call.engine().clock().now();
    let (database, name) = target(&call)?;
    let body = call.body().await?;
    let body = read_apart(body, write::read).await?;
    let written = match body.copy_of.clone() {
        Some(source) => copy(&call, &database, source, name).await?,
        None => write_body(&call, &database, name, body).await?,
    };
    let took = call.engine().clock().now().since(started);
    Ok(respond::json_text(StatusCode::OK, written.answer(took)))
}

async fn copy(
    call: &Call,
    database: &Arc<Served>,
    source: Name,
    name: Name,
) -> Result<RowsWritten> {
    let (asker, how) = (Asker::default(), call.how());
    let ask = |engine: &Arc<Engine>, reply| {
        engine.copy_namespace(database, (source, name), how, asker.waiting(), reply);
    };
    let copied = call.ask(ask).await?;
    Ok(RowsWritten { upserted: copied, ..RowsWritten::default() })
}

/// What a write did.
#[derive(Debug, Default)]
pub(super) struct RowsWritten {
    upserted: u64,
    patched: u64,
    deleted: u64,
    /// Whether filters find more rows than were written; none when there were no filters.
    remaining: Option<bool>,
    /// The ids of each kind, if they are answered.
    ids: Option<[Vec<DocId>; 3]>,
}

impl RowsWritten {
    fn of(ops: &[RowWrite], effects: &[Effect], returns_ids: bool) -> Self {
        let mut written = Self { ids: returns_ids.then(Default::default), ..Self::default() };
        for (row, _) in ops.iter().zip(effects).filter(|(_, effect)| **effect != Effect::Skipped) {
            let (count, kind) = match row.op {
                RowOp::Upsert(_) => (&mut written.upserted, 0),
                RowOp::Patch(_) => (&mut written.patched, 1),
                RowOp::Delete => (&mut written.deleted, 2),
            };
            *count += 1;
            if let Some(ids) = written.ids.as_mut().and_then(|ids| ids.get_mut(kind)) {
                ids.push(row.id.clone());
            }
        }
        written
    }

    /// Rows of every kind.
    pub(super) fn affected(&self) -> u64 {
        self.upserted + self.patched + self.deleted
    }

    fn answer(&self, took: Duration) -> Vec<u8> {
        let mut out = Text::object();
        out.member("status").string("OK");
        out.member("message").string("rows were written");
        out.member("rows_affected").number(self.affected());
        let kinds =
            [("upserted", self.upserted), ("patched", self.patched), ("deleted", self.deleted)];
        for (index, (name, count)) in kinds.into_iter().enumerate() {
            if count > 0 {
                out.member(&format!("rows_{name}")).number(count);
            }
            let ids = self.ids.as_ref().and_then(|ids| ids.get(index));
            if let Some(ids) = ids {
                out.member(&format!("{name}_ids")).open(b'[');
                for id in ids {
                    out.element();
                    id::write_value(&mut out, id);
                }
                out.close(b']');
            }
        }
        if let Some(remaining) = self.remaining {
            out.member("rows_remaining").raw(if remaining { b"true" } else { b"false" });
        }
        out.member("billing").raw(br#"{"billable_logical_bytes_written":0}"#);
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        out.member("performance").open(b'{');
        out.member("server_total_ms").number(ms);
        out.close(b'}');
        out.end()
    }
}

/// Does what a body asks for: rows that filters find first, then the rest, in one commit.
async fn write_body(
    call: &Call,
    database: &Arc<Served>,
    name: Name,
    mut body: WriteBody,
) -> Result<RowsWritten> {
    let mut remaining = None;
    let mut found: Vec<RowWrite> = Vec::new();
    let by_filters = [
        body.delete_by_filter.take().map(|by| (by, RowOp::Delete, DELETED_BY_FILTER_MAX)),
        body.patch_by_filter
            .take()
            .map(|(by, patch)| (by, RowOp::Patch(patch), PATCHED_BY_FILTER_MAX)),
    ];
    for (by, op, most) in by_filters.into_iter().flatten() {
        let (ids, has_more) = select(call, database, name.clone(), &by, most).await?;
        remaining = Some(remaining.unwrap_or(false) || has_more);
        // It is asked again of every row that it has found, when that is written.
        let condition = Some(RowCondition::of(by.filter));
        match op {
            RowOp::Patch(_) => body.write.patch_filter = condition,
            RowOp::Delete | RowOp::Upsert(_) => body.write.delete_filter = condition,
        }
        found.extend(ids.into_iter().map(|id| RowWrite { id, op: op.clone(), is_found: true }));
    }
    found.append(&mut body.write.ops);
    body.write.ops = found;
    let returns_ids = body.returns_ids;
    let write = Arc::new(body.write);
    let effects = submit(call, database, name, &write).await?;
    let written = RowsWritten::of(&write.ops, &effects, returns_ids);
    Ok(RowsWritten { remaining, ..written })
}

async fn select(
    call: &Call,
    database: &Arc<Served>,
    name: Name,
    by: &ByFilter,
    most: usize,
) -> Result<(Vec<DocId>, bool)> {
    let (asker, how, filter) = (Asker::default(), call.how(), by.filter.clone());
    let ask = |engine: &Arc<Engine>, reply| {
        engine.select_rows(database, (name, filter, most), how, asker.waiting(), reply);
    };
    let selected = call.ask(ask).await?;
    if selected.has_more && !by.allow_partial {
        let what = format!(
            "the filter finds more than {most} rows, which is all that one request may write; allow a \
             part of them, and ask again while rows remain"
        );
        return Err(Failure::bad(what));
    }
    Ok((selected.ids, selected.has_more))
}

/// Writes, and where the schema has to be checked against documents first, has that done.
pub(super) async fn submit(
    call: &Call,
    database: &Arc<Served>,
    name: Name,
    write: &Arc<crate::engine::namespaces::NamespaceWrite>,
) -> Result<Vec<Effect>> {
    let mut tries = 0;
    loop {
        tries += 1;
        let (how, asked, target) = (call.how_in_order(), Arc::clone(write), name.clone());
        let ask = |engine: &Arc<Engine>, reply| {
            engine.write_namespace(database, target, asked, how, reply);
        };
        match call.ask(ask).await {
            Ok(NamespaceWritten::Done(effects)) => return Ok(effects),
            Ok(NamespaceWritten::SchemaFirst(needed)) if tries < TRIES_MAX => {
                change_schema(call, database, name.clone(), needed.0).await?;
            }
            Ok(NamespaceWritten::SchemaFirst(_)) => {
                let what = "the schema of the namespace is changed by others; try again";
                return Err(Failure::new(Code::TxnConflict, what));
            }
            Err(failure) if tries < TRIES_MAX && met_another(failure.error.code) => {}
            Err(failure) => return Err(failure),
        }
    }
}

/// Whether somebody else made the namespace or changed its schema meanwhile.
fn met_another(code: Code) -> bool {
    matches!(code, Code::TxnConflict | Code::CollectionExists)
}

async fn change_schema(
    call: &Call,
    database: &Arc<Served>,
    name: Name,
    change: SchemaChange,
) -> Result<SchemaInfo> {
    let (asker, how) = (Asker::default(), call.how());
    let ask = |engine: &Arc<Engine>, reply| {
        engine.change_search_schema(database, name, change, how, asker.waiting(), reply);
    };
    call.ask(ask).await
}

async fn remove(call: Call) -> Result<Response> {
    let (database, name) = target(&call)?;
    call.ask(|engine, reply| engine.drop_namespace(&database, name, reply)).await?;
    Ok(respond::json(StatusCode::OK, &json!({ "status": "OK" })))
}

async fn start_copy(_: Call) -> Result<Response> {
    let what = "copies are made while their client waits; write with copy_from_namespace";
    Err(Failure::new(Code::Unsupported, what))
}

async fn answer_query(mut call: Call) -> Result<Response> {
    let started = call.engine().clock().now();
    let (database, name) = target(&call)?;
    let body = call.body().await?;
    let body = read_apart(body, |body| query::read(body, &Include::Nothing)).await?;
    let asked = body.asked(name, true);
    let (asker, how) = (Asker::default(), call.how());
    let ask = |engine: &Arc<Engine>, reply| {
        engine.query_collection(&database, asked, how, asker.waiting(), reply);
    };
    let answered = call.ask(ask).await?;
    let took = call.engine().clock().now().since(started);
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    Ok(respond::json_text(StatusCode::OK, query::answer(&body, &answered, ms)))
}

async fn explain(mut call: Call) -> Result<Response> {
    let (database, name) = target(&call)?;
    let body = call.body().await?;
    let body = read_apart(body, |body| query::read(body, &Include::Nothing)).await?;
    let asked = body.asked(name, true);
    let (asker, how) = (Asker::default(), call.how());
    let ask = |engine: &Arc<Engine>, reply| {
        engine.explain_query(&database, asked, how, asker.waiting(), reply);
    };
    let plan = call.ask(ask).await?;
    Ok(respond::json(StatusCode::OK, &json!({ "plan_text": plan.to_string() })))
}

async fn info(call: &Call) -> Result<NamespaceInfo> {
    let (database, name) = target(call)?;
    let how = call.how();
    let ask = |engine: &Arc<Engine>, reply| {
        engine.namespace(&database, name, how, reply);
    };
    call.ask(ask).await
}

async fn metadata(call: Call) -> Result<Response> {
    let info = info(&call).await?;
    Ok(respond::json_text(StatusCode::OK, described(&info)))
}

fn described(info: &NamespaceInfo) -> Vec<u8> {
    let mut out = Text::object();
    out.member("approx_logical_bytes").number(info.bytes);
    out.member("approx_row_count").number(info.documents);
    for (name, at) in [("created_at", info.created), ("updated_at", info.updated)] {
        let at = at.unwrap_or(base::clock::WallMs(0));
        out.member(name).string(&at.rfc3339());
    }
    out.member("encryption").raw(br#"{"sse":false}"#);
    write_index(&mut out, info);
    out.member("schema").raw(info.schema.to_json().as_bytes());
    out.end()
}

/// Up to so many rows without an index are looked at by every query in no time, as those in memory are.
const UNINDEXED_FEW: u64 = 1000;

/// Whether queries are answered by the index. What writes have not applied yet is applied by the next query.
fn write_index(out: &mut Text, info: &NamespaceInfo) {
    let left = match &info.index {
        None | Some(IndexState::Ready) => None,
        Some(IndexState::Building { documents, .. }) => {
            Some(info.documents.saturating_sub(*documents))
        }
        Some(IndexState::Opening | IndexState::Failed { .. }) => Some(info.documents),
    };
    let Some(rows) = left.filter(|rows| *rows > UNINDEXED_FEW) else {
        out.member("index").raw(br#"{"status":"up-to-date"}"#);
        return;
    };
    let bytes = u128::from(info.bytes) * u128::from(rows) / u128::from(info.documents.max(1));
    out.member("index").open(b'{');
    out.member("status").string("updating");
    out.member("unindexed_rows").number(rows);
    out.member("unindexed_bytes").number(u64::try_from(bytes).unwrap_or(u64::MAX));
    out.close(b'}');
}

async fn update_metadata(mut call: Call) -> Result<Response> {
    let body = call.body().await?;
    let json = write::parsed(&body)?;
    let members = json.members().ok_or_else(|| Failure::bad("metadata is a JSON object"))?;
    for (name, value) in members {
        let is_off = matches!(value.kind(), Kind::Null | Kind::Bool(false));
        match (&*name, is_off) {
            ("read_only" | "pinning", true) => {}
            ("read_only", false) => {
                let what =
                    "a namespace cannot be made read-only; give its clients keys that only read";
                return Err(Failure::new(Code::Unsupported, what));
            }
            ("pinning", false) => {
                let what = "a namespace cannot be pinned: what is asked often stays in the cache";
                return Err(Failure::new(Code::Unsupported, what));
            }
            (_, _) => return Err(Failure::bad(format!("metadata has no member `{name}`"))),
        }
    }
    metadata(call).await
}

async fn schema(call: Call) -> Result<Response> {
    let info = info(&call).await?;
    Ok(respond::json_text(StatusCode::OK, info.schema.to_json().into_bytes()))
}

async fn update_schema(mut call: Call) -> Result<Response> {
    let (database, name) = target(&call)?;
    let declaration = Some(call.body().await?);
    // A namespace that is not there is not made by its schema alone.
    info(&call).await?;
    let change = SchemaChange { declaration, ..SchemaChange::default() };
    let info = change_schema(&call, &database, name, change).await?;
    Ok(respond::json_text(StatusCode::OK, info.schema.to_json().into_bytes()))
}

async fn warm(call: Call) -> Result<Response> {
    let (database, name) = target(&call)?;
    let (asker, how) = (Asker::default(), call.how());
    let ask = |engine: &Arc<Engine>, reply| {
        engine.warm_namespace(&database, name, how, asker.waiting(), reply);
    };
    let bytes = call.ask(ask).await?;
    let message = format!("the cache was given {bytes} bytes of the index that it did not have");
    let shape = json!({ "status": "ACCEPTED", "message": message });
    Ok(respond::json(StatusCode::OK, &shape))
}

async fn recall(mut call: Call) -> Result<Response> {
    let (database, name) = target(&call)?;
    let body = call.body().await?;
    let (asked, with_truth) = recall_asked(name, &body)?;
    let (asker, how) = (Asker::default(), call.how());
    let ask = |engine: &Arc<Engine>, reply| {
        engine.measure_recall(&database, asked, how, asker.waiting(), reply);
    };
    let (recall, schema) = call.ask(ask).await?;
    let mut out = Text::object();
    let mean = |of: &dyn Fn(&crate::engine::namespaces::RecallQuery) -> f64| {
        let count = recall.queries.len().max(1);
        recall.queries.iter().map(of).sum::<f64>() / as_float(count)
    };
    let found = |query: &crate::engine::namespaces::RecallQuery| match query.nearest.len() {
        0 => 1.0,
        truth => as_float(query.right) / as_float(truth),
    };
    let number = |number: f64| format!("{number:?}");
    out.member("avg_recall").raw(number(mean(&found)).as_bytes());
    let answered = mean(&|query| as_float(query.answered));
    out.member("avg_ann_count").raw(number(answered).as_bytes());
    let truth = mean(&|query| as_float(query.nearest.len()));
    out.member("avg_exhaustive_count").raw(number(truth).as_bytes());
    if with_truth {
        let shown = Shown { include: Include::Everything, vectors: VectorForm::Floats };
        out.member("ground_truth").open(b'[');
        for query in &recall.queries {
            out.element().open(b'{');
            out.member("query_vector");
            write_floats(&mut out, &query.vector);
            out.member("nearest_neighbors").open(b'[');
            for (id, dist, stored) in &query.nearest {
                out.element().open(b'{');
                id::write(&mut out, id, IdForm::Json);
                out.member("$dist").raw(number(*dist).as_bytes());
                if let Some(stored) = stored {
                    write_attributes(&mut out, &stored.document, Some(&schema), &shown);
                }
                out.close(b'}');
            }
            out.close(b']');
            out.close(b'}');
        }
        out.close(b']');
    }
    Ok(respond::json_text(StatusCode::OK, out.end()))
}

/// A count as a part of a mean.
fn as_float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

/// Reads what is to be measured, and whether the truth is answered.
fn recall_asked(name: Name, body: &[u8]) -> Result<(RecallAsked, bool)> {
    let json = write::parsed(body)?;
    let members = json.members().ok_or_else(|| Failure::bad("the body is a JSON object"))?;
    let mut asked =
        RecallAsked { name, field: None, vector: None, num: 5, top_k: 10, filter: None };
    let mut with_truth = false;
    let count = |name: &str, value: Json<'_>, max: usize| {
        let number = value.number().and_then(|text| text.parse().ok());
        let bad = || Failure::bad(format!("{name} is an integer from 1 to {max}"));
        number.filter(|number| (1..=max).contains(number)).ok_or_else(bad)
    };
    for (name, value) in members.filter(|(_, value)| value.kind() != Kind::Null) {
        match &*name {
            "num" => asked.num = count(&name, value, RECALL_QUERIES_MAX)?,
            "top_k" => asked.top_k = count(&name, value, search::query::LIMIT_MAX)?,
            "filters" => asked.filter = Some(Filter::parse(value).map_err(EngineError::from)?),
            "include_ground_truth" => with_truth = value.kind() == Kind::Bool(true),
            "rank_by" => {
                let (field, vector) = nearest(value)?;
                (asked.field, asked.vector) = (Some(field), Some(vector));
            }
            _ => return Err(Failure::bad(format!("recall has no member `{name}`"))),
        }
    }
    Ok((asked, with_truth))
}

/// The field and the vector of a `rank_by`.
fn nearest(value: Json<'_>) -> Result<(Path, Vec<f32>)> {
    let text = format!("{{\"rank_by\":{}}}", value.text());
    let query = search::query::Query::parse(write::parsed(text.as_bytes())?);
    match query.map_err(EngineError::from)?.rank_by {
        Some(search::query::RankBy::Nearest(nearest)) => Ok((nearest.path, nearest.vector)),
        Some(_) | None => Err(Failure::bad("recall is measured of a rank_by of vectors")),
    }
}
