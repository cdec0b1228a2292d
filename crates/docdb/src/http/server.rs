//! What the server says of itself: its name and version, its metrics, its statistics.

use axum::http::header::ACCEPT;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use base::metrics::Format;
use serde_json::{Value, json};

use super::call::Call;
use super::error::Result;
use super::logs::elastic;
use super::respond;
use super::routes::{Access, Route, Shape, Span, Verb};
use crate::engine::metrics::Operation;
use crate::reports::millis;
use crate::scheduler::SchedulerStats;

const BASE: Route = Route {
    verb: Verb::Get,
    path: "/",
    name: "root",
    what: "The name and the version of the server. A client of Elasticsearch is told what it expects.",
    operation: Operation::Health,
    access: Access::Everybody,
    span: Span::Bounded,
    takes: &[],
    body: Shape::Nothing,
    answers: &[(200, Shape::Json("Root"))],
    handler: |call| Box::pin(root(call)),
};

pub(super) const ROUTES: &[Route] = &[
    BASE,
    Route {
        path: "/metrics",
        name: "metrics",
        what: "Metrics as Prometheus reads them; as OpenMetrics by Accept.",
        operation: Operation::Stats,
        access: Access::Read,
        answers: &[(200, Shape::Text)],
        handler: |call| Box::pin(metrics(call)),
        ..BASE
    },
    Route {
        path: "/v1/stats",
        name: "server_stats",
        what: "Statistics of the workers, of memory, and of the queues and logs of databases.",
        operation: Operation::Stats,
        access: Access::Read,
        answers: &[(200, Shape::Json("ServerStats"))],
        handler: |call| Box::pin(stats(call)),
        ..BASE
    },
];

async fn root(call: Call) -> Result<Response> {
    if elastic::is_client(&call.headers) {
        return Ok(elastic::root(&call.headers));
    }
    let version = env!("CARGO_PKG_VERSION");
    Ok(respond::json(StatusCode::OK, &json!({ "name": "docdb", "version": version })))
}

async fn metrics(call: Call) -> Result<Response> {
    let accepted = call.header(ACCEPT.as_str())?.unwrap_or_default();
    let format = if accepted.contains("application/openmetrics-text") {
        Format::OpenMetrics
    } else {
        Format::Prometheus
    };
    let text = call.ask(|engine, reply| engine.render_metrics(format, reply)).await?;
    let content_type = HeaderValue::from_static(format.content_type());
    Ok(respond::bytes(StatusCode::OK, content_type, text))
}

/// What the workers are doing.
pub(super) fn scheduler(stats: &SchedulerStats) -> Value {
    json!({
        "pool_capacity": stats.pool_capacity,
        "started_workers": stats.started_workers,
        "running_workers": stats.running_workers,
        "free_workers": stats.free_workers,
        "waiting_tasks": stats.waiting_tasks,
        "tasks_total": stats.tasks_total,
        "panics_total": stats.panics_total,
        "refused_total": stats.refused_total,
        "expired_total": stats.expired_total,
        "spawn_failures_total": stats.spawn_failures_total,
    })
}

async fn stats(call: Call) -> Result<Response> {
    let engine = call.engine();
    let memory = engine.budget.stats();
    let mut databases = serde_json::Map::new();
    let mut group_commit = serde_json::Map::new();
    for served in engine.all() {
        let health = engine.health_of(&served);
        let name = served.name().as_str().to_owned();
        let queue = json!({
            "depth": health.queue.depth,
            "longest_wait_ms": millis(health.queue.longest_wait),
        });
        databases.insert(name.clone(), queue);
        if let Some(database) = served.peek() {
            let commits = database.log_status().commits;
            let commits = json!({
                "total_batches": commits.total_batches,
                "total_transactions": commits.total_transactions,
                "avg_batch_size": commits.avg_batch_size,
                "avg_latency_ns": commits.avg_latency_ns,
            });
            group_commit.insert(name, commits);
        }
    }
    let shape = json!({
        "uptime_seconds": engine.uptime().as_secs(),
        "scheduler": scheduler(&engine.scheduler().stats()),
        "memory": { "used_bytes": memory.used, "limit_bytes": memory.limit },
        "open_transactions": engine.transactions_open(),
        "databases": databases,
        "wal_group_commit": group_commit,
    });
    Ok(respond::json(StatusCode::OK, &shape))
}
