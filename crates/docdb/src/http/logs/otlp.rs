//! `POST /v1/logs` of OTLP/HTTP. Answered when everything is committed; of a request in which some
//! records are damaged the others are stored, and the answer says how many were refused.

use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use base::error::Code;
use bytes::Bytes;
use serde_json::json;

use super::ingest::{JSON_GROWTH, decoded, feed, media_type};
use crate::engine::Logs;
use crate::engine::metrics::Operation;
use crate::http::call::Call;
use crate::http::error::{Failure, Result};
use crate::http::respond;
use crate::http::routes::{Access, Route, Shape, Span, Verb};
use crate::ingest::feed::Feed;
use crate::ingest::otlp::{self, Export};

/// Protocol Buffers, as OTLP names them.
const PROTOBUF: &str = "application/x-protobuf";
/// What records of Protocol Buffers become in memory, for each byte, besides the entries, which are
/// bounded by themselves.
const PROTOBUF_GROWTH: u64 = 4;
/// What is wrong with records that are refused.
const WHY: &str = "records are damaged, larger than 1 MiB, or refused by the database";

pub(in crate::http) const ROUTES: &[Route] = &[Route {
    verb: Verb::Post,
    path: "/v1/logs",
    name: "export_logs_of_otlp",
    what: "Store the records of an export request of OpenTelemetry (OTLP/HTTP), as JSON or as \
           Protocol Buffers (`application/x-protobuf`).",
    operation: Operation::LogIngest,
    access: Access::WriteLogs,
    span: Span::Long,
    takes: &[],
    body: Shape::Json("OtlpLogs"),
    answers: &[(200, Shape::Json("OtlpAnswer"))],
    handler: |call| Box::pin(export(call)),
}];

async fn export(call: Call) -> Result<Response> {
    // Exporters try again after 503, and give up after 507.
    store(call).await.map_err(|failure| match failure.status {
        StatusCode::INSUFFICIENT_STORAGE => failure.with_status(StatusCode::SERVICE_UNAVAILABLE),
        _ => failure,
    })
}

async fn store(mut call: Call) -> Result<Response> {
    let feed = feed(&call)?;
    let received = call.engine().received();
    match media_type(&call)?.as_str() {
        "application/json" => {
            let read = move |_: &Logs, body: &Bytes| otlp::json(body, received);
            let rejected = stored(feed, decoded(&mut call, JSON_GROWTH, read).await?).await?;
            let shape = match rejected {
                0 => json!({}),
                // 64-bit numbers are text in this mapping.
                _ => json!({"partialSuccess": {
                    "rejectedLogRecords": rejected.to_string(), "errorMessage": WHY}}),
            };
            Ok(respond::json(StatusCode::OK, &shape))
        }
        PROTOBUF => {
            let read = move |_: &Logs, body: &Bytes| otlp::protobuf(body, received);
            let rejected = stored(feed, decoded(&mut call, PROTOBUF_GROWTH, read).await?).await?;
            let media = HeaderValue::from_static(PROTOBUF);
            Ok(respond::bytes(StatusCode::OK, media, otlp::answer(rejected, WHY)))
        }
        _ => {
            let what = format!(
                "the Content-Type is neither application/json nor {PROTOBUF}, which are those of \
                 OTLP; {}",
                otlp::ELSEWHERE
            );
            let failure = Failure::new(Code::Unsupported, what);
            Err(failure.with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE))
        }
    }
}

/// Stores what was sent; says how many records were refused.
async fn stored(mut feed: Feed, export: Export) -> Result<u64> {
    feed.add(export.entries.into_list()).await?;
    let stored = feed.finish().await?;
    Ok(export.rejected + stored.refused.len() as u64)
}
