//! `POST /loki/api/v1/push`: JSON, or Protocol Buffers compressed with snappy. Answered 204 when
//! everything is committed.

use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;

use super::ingest::{JSON_GROWTH, decoded, feed, media_type};
use crate::engine::metrics::Operation;
use crate::engine::{EngineError, Logs};
use crate::http::call::Call;
use crate::http::error::Result;
use crate::http::respond;
use crate::http::routes::{Access, Route, Shape, Span, Verb};
use crate::ingest::loki;
use base::error::Code;

pub(in crate::http) const ROUTES: &[Route] = &[Route {
    verb: Verb::Post,
    path: "/loki/api/v1/push",
    name: "push_logs_of_loki",
    what: "Store the log lines of a push request of Loki: JSON, or with another content type \
           Protocol Buffers compressed with snappy. Labels become structured data.",
    operation: Operation::LogIngest,
    access: Access::WriteLogs,
    span: Span::Long,
    takes: &[],
    body: Shape::Json("LokiPush"),
    answers: &[(204, Shape::Nothing)],
    handler: |call| Box::pin(push(call)),
}];

async fn push(mut call: Call) -> Result<Response> {
    let mut feed = feed(&call)?;
    let bytes_max = call.surface.options.body_bytes_max;
    let entries = match media_type(&call)?.as_str() {
        "application/json" => {
            decoded(&mut call, JSON_GROWTH, |_: &Logs, body: &Bytes| loki::json(body)).await?
        }
        _ => {
            let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
            // What snappy makes of a byte, at most; what the body says itself is not more.
            let read = move |_: &Logs, body: &Bytes| loki::protobuf(body, bytes_max);
            decoded(&mut call, SNAPPY_GROWTH, read).await?
        }
    };
    let count = entries.len();
    feed.add(entries.into_list()).await?;
    let stored = feed.finish().await?;
    if !stored.refused.is_empty() {
        let what = format!(
            "the database refused {} of {count} entries; the others are stored",
            stored.refused.len()
        );
        return Err(EngineError::new(Code::InvalidSchema, what).into());
    }
    Ok(respond::nothing(StatusCode::NO_CONTENT))
}

/// What snappy packs into a byte at best, and the entries made of it.
const SNAPPY_GROWTH: u64 = 32;
