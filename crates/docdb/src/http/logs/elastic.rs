//! The part of Elasticsearch that shippers of logs need: `_bulk`, and a `GET /` by which clients see
//! whom they talk to. Errors have the shape that these clients expect.
//!
//! Clients insist on the header `X-Elastic-Product`, and some of them on a version that they know;
//! it is told to those only ([`is_client`]).

use std::collections::HashSet;

use axum::http::header::{ACCEPT, RETRY_AFTER, USER_AGENT};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use base::clock::Instant;
use bytes::Bytes;
use logstore::EntryId;
use serde_json::{Value, json};

use super::ingest::{JSON_GROWTH, decoded, feed};
use crate::engine::Logs;
use crate::engine::metrics::Operation;
use crate::http::call::Call;
use crate::http::error::{Failure, Result};
use crate::http::parameters::{Parameter, query};
use crate::http::respond;
use crate::http::routes::{Access, Route, Shape, Span, Verb};
use crate::ingest::elastic::{self, Item};
use crate::ingest::feed::Stored;
use crate::reports::millis;

/// What clients look for in every answer.
const PRODUCT: HeaderName = HeaderName::from_static("x-elastic-product");
/// The version that is told when a client does not say with which it is compatible.
const MAJOR_DEFAULT: &str = "8";

const STRING: &str = r#"{"type":"string"}"#;
const REFRESH: Parameter =
    query("refresh", STRING, "Taken and not needed: what is answered is found at once.");
const TIMEOUT: Parameter =
    query("timeout", STRING, "Taken and not needed: the server has a time of its own.");
const SHARDS: Parameter =
    query("wait_for_active_shards", STRING, "Taken and not needed: there is one copy.");
const FILTER_PATH: Parameter =
    query("filter_path", STRING, "Taken; the answer has everything all the same.");
const PRETTY: Parameter = query("pretty", STRING, "Taken; the answer is one line all the same.");
const ERROR_TRACE: Parameter = query("error_trace", STRING, "Taken; errors have no traces.");

const BASE: Route = Route {
    verb: Verb::Post,
    path: "/_bulk",
    name: "bulk_of_elasticsearch",
    what: "Store documents as log entries, by the bulk request of Elasticsearch. `update` and \
           `delete` are refused one by one.",
    operation: Operation::LogIngest,
    access: Access::WriteLogs,
    span: Span::Long,
    takes: &[REFRESH, TIMEOUT, SHARDS, FILTER_PATH, PRETTY, ERROR_TRACE],
    body: Shape::Lines,
    answers: &[(200, Shape::Json("ElasticBulk"))],
    handler: |call| Box::pin(bulk(call)),
};

pub(in crate::http) const ROUTES: &[Route] = &[
    BASE,
    Route { verb: Verb::Put, name: "put_bulk_of_elasticsearch", ..BASE },
    Route { path: "/{index}/_bulk", name: "index_bulk_of_elasticsearch", ..BASE },
    Route {
        verb: Verb::Put,
        path: "/{index}/_bulk",
        name: "put_index_bulk_of_elasticsearch",
        ..BASE
    },
];

/// Whether a request comes from a client of Elasticsearch.
pub(in crate::http) fn is_client(headers: &HeaderMap) -> bool {
    let has = |name: &HeaderName, part: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.to_ascii_lowercase().contains(part)
    };
    let names = ["elastic", "logstash", "filebeat"];
    has(&ACCEPT, "vnd.elasticsearch") || names.iter().any(|name| has(&USER_AGENT, name))
}

/// What `GET /` answers such a client.
pub(in crate::http) fn root(headers: &HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let major = accept.split_once("compatible-with=").map_or(MAJOR_DEFAULT, |(_, rest)| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest.get(..end).filter(|digits| (1..=2).contains(&digits.len())).unwrap_or(MAJOR_DEFAULT)
    });
    let shape = json!({
        "name": "docdb",
        "cluster_name": "docdb",
        "version": {
            "number": format!("{major}.0.0"),
            "build_flavor": "default",
            "docdb": env!("CARGO_PKG_VERSION"),
        },
        "tagline": "You Know, for Search",
    });
    branded(respond::json(StatusCode::OK, &shape))
}

fn branded(mut response: Response) -> Response {
    response.headers_mut().insert(PRODUCT, HeaderValue::from_static("Elasticsearch"));
    response
}

async fn bulk(call: Call) -> Result<Response> {
    let surface = std::sync::Arc::clone(&call.surface);
    let answer = store(call).await.unwrap_or_else(|failure| {
        surface.engine.track(&failure.error);
        refused(&failure)
    });
    Ok(branded(answer))
}

/// An error in the shape that these clients expect.
fn refused(failure: &Failure) -> Response {
    let status = failure.status;
    let reason = json!({ "type": kind(status), "reason": failure.error.message });
    let shape = json!({
        "error": {
            "root_cause": [reason],
            "type": kind(status),
            "reason": failure.error.message,
            "code": failure.error.code.name(),
        },
        "status": status.as_u16(),
    });
    let mut response = respond::json(status, &shape);
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn kind(status: StatusCode) -> &'static str {
    match status {
        StatusCode::TOO_MANY_REQUESTS => "es_rejected_execution_exception",
        StatusCode::PAYLOAD_TOO_LARGE => "content_too_long_exception",
        status if status.is_client_error() => "illegal_argument_exception",
        _ => "exception",
    }
}

async fn store(mut call: Call) -> Result<Response> {
    let started = call.engine().clock().now();
    let mut feed = feed(&call)?;
    let received = call.engine().received();
    let index = call.part("index").ok().map(str::to_owned);
    let read = move |_: &Logs, body: &Bytes| elastic::bulk(body, index.as_deref(), received);
    let bulk = decoded(&mut call, JSON_GROWTH, read).await?;
    feed.add(bulk.entries.into_list()).await?;
    let stored = feed.finish().await?;
    let shape = answer(&bulk.items, &stored, &call, started);
    Ok(respond::json(StatusCode::OK, &shape))
}

fn answer(items: &[Item], stored: &Stored, call: &Call, started: Instant) -> Value {
    let took = call.engine().clock().now().since(started);
    let mut ids = stored
        .runs
        .iter()
        .flat_map(|(first, count)| (0..*count).map(|n| EntryId(first.0.saturating_add(n))));
    let dead: HashSet<u64> = stored.refused.iter().map(|(id, _)| id.0).collect();
    let mut errors = false;
    let shown: Vec<Value> = items
        .iter()
        .map(|item| {
            let number = if item.refused.is_none() { ids.next() } else { None };
            let why = match number {
                Some(id) if dead.contains(&id.0) => Some("the database refused the entry"),
                _ => item.refused,
            };
            errors |= why.is_some();
            json!({ item.action: outcome(item, number, why) })
        })
        .collect();
    json!({ "took": millis(took), "errors": errors, "items": shown })
}

fn outcome(item: &Item, number: Option<EntryId>, why: Option<&str>) -> Value {
    let id = item.id.clone().or_else(|| number.map(|id| id.to_string()));
    if let Some(why) = why {
        let error = json!({ "type": "illegal_argument_exception", "reason": why });
        return json!({ "_index": item.index, "_id": id, "status": 400, "error": error });
    }
    json!({
        "_index": item.index,
        "_id": id,
        "_version": 1,
        "result": "created",
        "_shards": { "total": 1, "successful": 1, "failed": 0 },
        "_seq_no": number.map(|id| id.0),
        "_primary_term": 1,
        "status": 201,
    })
}
