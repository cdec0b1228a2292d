//! The list of what is served: one [`Route`] for each method and path, kept beside its handler.
//! The router and the description at `/openapi.json` are both made of it.

use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use base::error::Code;

pub(super) use super::access::Access;
use super::call::Call;
use super::error::{Failure, Result};
use super::parameters::Parameter;
use super::{Surface, dispatch};
use crate::engine::metrics::Operation;

/// What a handler is: it answers, or says why not.
pub(super) type Handler = fn(Call) -> Pin<Box<dyn Future<Output = Result<Response>> + Send>>;

/// The methods that are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Put,
    Post,
    Patch,
    Delete,
}

/// How long an answer may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    /// `http.request_timeout`.
    Bounded,
    /// As long as the work takes, or the client asks for.
    Long,
}

/// What a request carries, and what an answer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Nothing.
    Nothing,
    /// JSON of this schema of `schemas.json`.
    Json(&'static str),
    /// The same, or nothing.
    Maybe(&'static str),
    /// Any JSON value: a document.
    Document,
    /// JSON, one object a line, as `docdb export` writes it.
    Lines,
    /// Server-sent events.
    Events,
    /// Text, as metrics are.
    Text,
}

/// One method of one path.
pub(super) struct Route {
    pub(super) verb: Verb,
    pub(super) path: &'static str,
    /// The name of it, as generated clients have it.
    pub(super) name: &'static str,
    /// What it does.
    pub(super) what: &'static str,
    pub(super) operation: Operation,
    pub(super) access: Access,
    pub(super) span: Span,
    /// What it takes besides what stands in its path.
    pub(super) takes: &'static [Parameter],
    pub(super) body: Shape,
    /// Its answers when it succeeds.
    pub(super) answers: &'static [(u16, Shape)],
    pub(super) handler: Handler,
}

/// Every route, by the files that serve them.
pub(super) const TABLES: &[&[Route]] = &[
    super::server::ROUTES,
    super::health::ROUTES,
    super::databases::ROUTES,
    super::collections::ROUTES,
    super::documents::ROUTES,
    super::scan::ROUTES,
    super::batch::ROUTES,
    super::transactions::ROUTES,
    super::bulk::ROUTES,
    super::changes::ROUTES,
    super::operations::ROUTES,
    super::logs::ROUTES,
    super::logs::tail::ROUTES,
    super::logs::ingest::ROUTES,
    super::logs::loki::ROUTES,
    super::logs::otlp::ROUTES,
    super::logs::elastic::ROUTES,
    super::search::ROUTES,
    super::namespaces::ROUTES,
    super::namespaces::v1::ROUTES,
    super::openapi::ROUTES,
];

/// Whose shapes a route speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Docdb's own.
    Own,
    /// That of the clients of namespaces: parameters that are not known are ignored, the database stands
    /// in the query, and errors are short.
    Namespaces,
}

impl Route {
    /// Whose shapes it speaks.
    pub(super) fn dialect(&self) -> Dialect {
        let is_of = |prefix: &str| self.path.starts_with(prefix);
        if is_of("/v1/namespaces") || is_of("/v2/namespaces") {
            Dialect::Namespaces
        } else {
            Dialect::Own
        }
    }
}

/// Every route.
pub(super) fn all() -> impl Iterator<Item = &'static Route> {
    TABLES.iter().flat_map(|table| table.iter())
}

impl Verb {
    fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Put => MethodFilter::PUT,
            Self::Post => MethodFilter::POST,
            Self::Patch => MethodFilter::PATCH,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// The router of a surface.
pub(super) fn router(surface: &Arc<Surface>) -> Router {
    let mut router = Router::new();
    for route in all() {
        let surface = Arc::clone(surface);
        let serve = move |request: Request| dispatch::serve(Arc::clone(&surface), route, request);
        let method: MethodRouter = on(route.verb.filter(), serve);
        router = router.route(route.path, method);
    }
    let (nowhere, otherwise) = (Arc::clone(surface), Arc::clone(surface));
    router
        .fallback(move |request: Request| {
            let surface = Arc::clone(&nowhere);
            async move {
                let what = "there is nothing at this path; /openapi.json lists what there is";
                let failure = Failure::new(Code::Unsupported, what);
                dispatch::refuse(&surface, &request, failure.with_status(StatusCode::NOT_FOUND))
            }
        })
        .method_not_allowed_fallback(move |request: Request| {
            let surface = Arc::clone(&otherwise);
            async move {
                let what = "this path does not take the method; see the header Allow";
                let failure = Failure::new(Code::Unsupported, what);
                let status = StatusCode::METHOD_NOT_ALLOWED;
                dispatch::refuse(&surface, &request, failure.with_status(status))
            }
        })
}
