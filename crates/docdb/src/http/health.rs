//! Health: whether the process lives, whether it takes requests, and what is wrong with which
//! database. Asking opens no database.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::call::Call;
use super::databases::condition;
use super::error::Result;
use super::respond;
use super::routes::{Access, Route, Shape, Span, Verb};
use super::server::scheduler;
use crate::engine::metrics::Operation;
use crate::engine::{DatabaseHealth, Health, IndexesStatus, LogsHealth, Verdict};
use crate::reports::{log_store, millis};

const BASE: Route = Route {
    verb: Verb::Get,
    path: "/health",
    name: "health",
    what: "The health of the server and of every database by name.",
    operation: Operation::Health,
    access: Access::Read,
    span: Span::Bounded,
    takes: &[],
    body: Shape::Nothing,
    answers: &[(200, Shape::Json("Health"))],
    handler: |call| Box::pin(health(call)),
};

pub(super) const ROUTES: &[Route] = &[
    BASE,
    Route {
        path: "/health/live",
        name: "live",
        what: "Whether the process answers at all.",
        access: Access::Everybody,
        answers: &[(200, Shape::Json("Status"))],
        handler: |call| Box::pin(live(call)),
        ..BASE
    },
    Route {
        path: "/health/ready",
        name: "ready",
        what: "Whether the server takes requests: 503 once it stops.",
        access: Access::Everybody,
        answers: &[(200, Shape::Json("Status")), (503, Shape::Json("Status"))],
        handler: |call| Box::pin(ready(call)),
        ..BASE
    },
];

async fn live(_: Call) -> Result<Response> {
    Ok(respond::json(StatusCode::OK, &json!({ "status": "ok" })))
}

async fn ready(call: Call) -> Result<Response> {
    let (status, says) = if call.surface.is_stopping() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else {
        (StatusCode::OK, "ok")
    };
    Ok(respond::json(status, &json!({ "status": says })))
}

async fn health(call: Call) -> Result<Response> {
    let health = call
        .ask(|engine, reply| engine.operate_on_server(reply, |engine| Ok(engine.health())))
        .await?;
    Ok(respond::json(StatusCode::OK, &described(&health)))
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Degraded => "degraded",
    }
}

fn described(health: &Health) -> Value {
    let errors = health.errors.iter().map(|report| {
        let last = report.last.as_ref().map(|last| last.code.name());
        let of = json!({ "total": report.total, "per_second": report.per_second, "last": last });
        (report.category.name().to_owned(), of)
    });
    let refused = health
        .refused
        .iter()
        .map(|(directory, why)| json!({ "directory": directory, "error": why }));
    let disk = health.disk.map(|(free, all)| json!({ "free_bytes": free, "total_bytes": all }));
    json!({
        "status": verdict(health.verdict),
        "uptime_seconds": health.uptime.as_secs(),
        "databases": health.databases.iter().map(of_database).collect::<Vec<_>>(),
        "refused_directories": refused.collect::<Vec<_>>(),
        "errors": errors.collect::<serde_json::Map<_, _>>(),
        "scheduler": scheduler(&health.scheduler),
        "memory": { "used_bytes": health.memory.used, "limit_bytes": health.memory.limit },
        "disk": disk,
        "logs": health.logs.as_ref().map(of_logs),
    })
}

fn of_logs(health: &LogsHealth) -> Value {
    let mut shape = health.stats.as_ref().map_or_else(|| json!({}), log_store);
    shape["status"] = verdict(health.verdict).into();
    shape
}

fn of_database(health: &DatabaseHealth) -> Value {
    let (state, error) = condition(health.condition.clone());
    let log = health.log.as_ref().map(|log| {
        json!({
            "mode": log.mode,
            "poisoned": log.poisoned,
            "unsynced": log.unsynced.map(|(from, to)| json!({ "from": from.0, "to": to.0 })),
            "bytes": log.bytes,
            "checkpoint_age_seconds": log.checkpoint_age.map(|age| age.as_secs()),
        })
    });
    json!({
        "name": health.name.as_str(),
        "uuid": health.id.to_string(),
        "status": verdict(health.verdict),
        "state": state,
        "error": error,
        "queue": {
            "depth": health.queue.depth,
            "longest_wait_ms": millis(health.queue.longest_wait),
        },
        "log": log,
        "quarantined_documents": health.quarantined,
        "checkpoint_error": health.checkpoint_failure.as_deref(),
        "search": health.indexes.as_ref().map(of_indexes),
    })
}

fn of_indexes(status: &IndexesStatus) -> Value {
    let troubled = status
        .troubled
        .iter()
        .map(|(collection, why)| json!({ "collection": collection.0, "error": &**why }));
    json!({
        "ready": status.ready,
        "building": status.building,
        "failed": status.failed,
        "troubled": troubled.collect::<Vec<_>>(),
        "rows": status.rows,
        "segments": status.segments,
        "segment_bytes": status.segment_bytes,
        "unindexed_bytes": status.unindexed_bytes,
        "lag_changes": status.lag,
    })
}
