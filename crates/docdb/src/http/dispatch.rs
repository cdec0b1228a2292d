//! From a request to its answer, whatever happens: ids, checks, time, errors and the counting of it.

use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts as _, RawPathParams, Request};
use axum::http::header::{CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use base::clock::Instant;
use base::error::Code;
use base::words::Name;
use futures_util::FutureExt as _;

use super::Surface;
use super::access;
use super::call::Call;
use super::compress;
use super::connection::{Pulse, UnderWay};
use super::error::{Failure, Result};
use super::parameters::{DATABASE, Query};
use super::respond;
use super::routes::{Access, Dialect, Route, Span};
use crate::engine::EngineError;

/// The header that names a request, in both directions.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest name that a client may give a request.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// Names requests: random for the process, then counted.
#[derive(Debug)]
pub(super) struct RequestIds {
    process: u32,
    next: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> std::result::Result<Self, EngineError> {
        let mut bytes = [0; 4];
        base::rng::os_bytes(&mut bytes).map_err(|error| {
            let what = format!("the system gives no random numbers: {error}");
            EngineError::new(Code::Internal, what)
        })?;
        Ok(Self { process: u32::from_le_bytes(bytes), next: AtomicU64::new(1) })
    }

    /// What the client calls the request, if that is a name, or a new one.
    fn of(&self, headers: &HeaderMap) -> String {
        let given = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok());
        let is_name = |text: &&str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
            !text.is_empty() && text.len() <= REQUEST_ID_CHARS_MAX && text.bytes().all(plain)
        };
        if let Some(given) = given.filter(is_name) {
            return given.to_owned();
        }
        let mut id = String::with_capacity(24);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        write!(id, "{:08x}-{number:x}", self.process).expect("a string takes everything");
        id
    }
}

/// Serves a request of a route.
pub(super) async fn serve(
    surface: Arc<Surface>,
    route: &'static Route,
    request: Request,
) -> Response {
    let started = surface.engine.clock().now();
    let uri = request.uri().clone();
    let (parts, body) = request.into_parts();
    let id = surface.ids.of(&parts.headers);
    let work = answer(Arc::clone(&surface), route, parts, body, started);
    let result = match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result,
        Err(_) => {
            tracing::error!(request_id = %id, route = route.name, "a request panicked");
            let what = "the request met a defect; see the server's log";
            Err(Failure::new(Code::Internal, what))
        }
    };
    let took = surface.engine.clock().now().since(started);
    let error = result.as_ref().err().map(|failure| failure.error.clone());
    // What the query of a URL says is content.
    let about = || uri.path().to_owned();
    surface.engine.note_answered(route.operation, took, error.as_ref(), about);
    let (name, dialect) = (route.name, route.dialect());
    let response = result.unwrap_or_else(|failure| told(&failure, &id, name, dialect));
    let response = named(response, &id);
    let status = response.status().as_u16();
    tracing::debug!(request_id = %id, route = route.name, status, ?took, "answered");
    surface.count(route.name, response.status(), took);
    response
}

/// Answers a request that no route serves.
pub(super) fn refuse(surface: &Surface, request: &Request, failure: Failure) -> Response {
    let id = surface.ids.of(request.headers());
    surface.engine.track(&failure.error);
    let response = named(told(&failure, &id, "none", Dialect::Own), &id);
    surface.count("none", response.status(), Duration::ZERO);
    response
}

async fn answer(
    surface: Arc<Surface>,
    route: &'static Route,
    mut parts: Parts,
    body: Body,
    started: Instant,
) -> Result<Response> {
    if surface.is_stopping() && route.access != Access::Everybody {
        return Err(Failure::new(Code::PoolStopped, "the server stops; ask another one"));
    }
    let visitor = access::admit(&surface, route, &parts.headers)?;
    let path = RawPathParams::from_request_parts(&mut parts, &()).await.map_err(|_| {
        let what = "the path is not UTF-8 once its escapes are decoded";
        Failure::new(Code::InvalidName, what)
    })?;
    let path: Vec<_> =
        path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    // A namespace's database stands in the query, which says who may ask, so that it is read first.
    let (query, database) = match route.dialect() {
        Dialect::Own => (None, database_of(&path)),
        Dialect::Namespaces => {
            let query = Query::parse_known(parts.uri.query(), route.takes)?;
            let database = namespace_database(&query);
            (Some(query), database)
        }
    };
    access::permit(route, &visitor, database.as_ref())?;
    compress::check(&parts.headers)?;
    let query = match query {
        Some(query) => query,
        None => Query::parse(parts.uri.query(), route.takes)?,
    };
    let lane = parts.extensions.get::<Arc<Pulse>>().map(|pulse| pulse.lane());
    let timeout = surface.options.request_timeout;
    let deadline = (route.span == Span::Bounded).then(|| started.after(timeout));
    let upgrade = upgrade_of(&surface, &mut parts).await;
    let headers = parts.headers;
    let body = Mutex::new(body);
    let engine = Arc::clone(&surface.engine);
    let call =
        Call { surface, visitor, headers, query, path, body, deadline, lane, upgrade, held: None };
    let handler = (route.handler)(call);
    let result = match route.span {
        Span::Long => handler.await,
        Span::Bounded => tokio::time::timeout(timeout, handler).await.unwrap_or_else(|_| {
            let what = "the request took longer than http.request_timeout; a write may have been \
                        done all the same";
            Err(Failure::new(Code::Timeout, what))
        }),
    };
    // What waited for a database that was dropped meanwhile is told the same as what stops with the
    // server; which of the two it was can be seen here.
    match (result, database) {
        (Err(failure), Some(name)) if failure.error.code == Code::PoolStopped => {
            Err(engine.database(&name).err().map_or(failure, Failure::from))
        }
        (result, _) => result,
    }
}

/// The connection for a WebSocket, if the client asks for one.
async fn upgrade_of(
    surface: &Arc<Surface>,
    parts: &mut Parts,
) -> Option<(WebSocketUpgrade, Option<UnderWay>)> {
    let upgrade = WebSocketUpgrade::from_request_parts(parts, &()).await.ok()?;
    let pulse = parts.extensions.get::<Arc<Pulse>>();
    Some((upgrade, pulse.map(|pulse| UnderWay::new(surface, pulse))))
}

/// The database of a namespace, if its name is one.
fn namespace_database(query: &Query) -> Option<Name> {
    query
        .get(DATABASE.name)
        .map_or_else(|| Some(docstore::default_name()), |name| Name::new(name).ok())
}

/// The database that a path names.
fn database_of(path: &[(String, String)]) -> Option<Name> {
    let (_, name) = path.iter().find(|(part, _)| part == "database")?;
    Name::new(name).ok()
}

impl Surface {
    fn count(&self, route: &'static str, status: StatusCode, took: Duration) {
        self.meters.answered(self.engine.meters().registry(), route, status, took);
    }
}

/// An error as an answer.
fn told(failure: &Failure, id: &str, route: &'static str, dialect: Dialect) -> Response {
    let status = failure.status;
    if status.is_server_error() {
        let (code, message) = (failure.error.code, &failure.error.message);
        tracing::warn!(request_id = %id, route, %code, message = %message, "a request failed");
    }
    let body = match dialect {
        Dialect::Own => failure.body(id),
        Dialect::Namespaces => failure.short_body(id),
    };
    let mut response = respond::json_text(status, body);
    let headers = response.headers_mut();
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"docdb\""));
    }
    if failure.error.code == Code::PoolStopped {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn named(mut response: Response, id: &str) -> Response {
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}
