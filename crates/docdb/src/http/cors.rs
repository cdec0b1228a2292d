//! Which web pages may call the server: none, unless `http.cors_origins` names their origin.
//!
//! Without it there is no header and no answer to a preflight, and browsers keep pages of other
//! origins out.

use axum::Router;
use axum::http::header::ETAG;
use axum::http::{HeaderValue, Method};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::dispatch::REQUEST_ID;
use super::respond::EXPIRES_AT;

/// Lets pages of `origins` call a router.
pub(super) fn around(router: Router, origins: &[String]) -> Router {
    if origins.is_empty() {
        return router;
    }
    let named = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(named)
    };
    let methods =
        [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::PATCH, Method::DELETE];
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods(methods)
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([ETAG, EXPIRES_AT, REQUEST_ID]);
    router.layer(layer)
}
