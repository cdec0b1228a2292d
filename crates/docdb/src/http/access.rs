//! Who may call a route. What it needs stands in its row of the list ([`super::routes`]), so that no
//! route is served for which nobody decided it; that it is asked for, in `dispatch`, before anything
//! else of the request is looked at.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base::words::Name;

use super::Surface;
use super::error::{Failure, Result};
use super::routes::{Dialect, Route};
use crate::auth::{Denied, Scope, Visitor};
use crate::engine::EngineError;

/// Who may call, once there are API keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody: nothing of the data is told.
    Everybody,
    /// Whoever may read the database of the path; without one there, the whole server.
    Read,
    /// Whoever may write to it.
    Write,
    /// Whoever administers it.
    Admin,
    /// Whoever administers the whole server, although the path names a database: it is made or
    /// removed.
    Server,
    /// Whoever may read the application logs.
    ReadLogs,
    /// Whoever may send them.
    WriteLogs,
    /// Whoever administers them.
    AdminLogs,
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        EngineError::from(denied).into()
    }
}

impl Route {
    /// What a key must allow; nothing for what everybody may see.
    pub(super) const fn scope(&self) -> Option<Scope> {
        match self.access {
            Access::Everybody => None,
            Access::Read | Access::ReadLogs => Some(Scope::Read),
            Access::Write | Access::WriteLogs => Some(Scope::Write),
            Access::Admin | Access::Server | Access::AdminLogs => Some(Scope::Admin),
        }
    }

    /// Whether it must be allowed on the database of the path, and not on the whole server.
    fn is_of_database(&self) -> bool {
        let names_one = self.path.contains("{database}") || self.dialect() == Dialect::Namespaces;
        self.access != Access::Server && names_one
    }

    fn is_of_logs(&self) -> bool {
        matches!(self.access, Access::ReadLogs | Access::WriteLogs | Access::AdminLogs)
    }

    /// The grant that a key needs, as `docdb key` writes it, with `{database}` for that of the path.
    pub(super) fn grant(&self) -> Option<String> {
        let of = match (self.is_of_logs(), self.is_of_database()) {
            (true, _) => "@logs",
            (false, true) => "{database}",
            (false, false) => "*",
        };
        self.scope().map(|scope| format!("{of}={scope}"))
    }
}

/// Finds out who calls a route.
pub(super) fn admit(surface: &Surface, route: &Route, headers: &HeaderMap) -> Result<Visitor> {
    if route.scope().is_none() {
        return Ok(Visitor::anybody());
    }
    let now = surface.engine.clock().wall();
    Ok(surface.auth.admit_header(authorization(headers), now)?)
}

/// Whether they may. A path whose database has a name that is none is of no database: only those
/// who may do it on all hear what is wrong with it.
pub(super) fn permit(route: &Route, visitor: &Visitor, database: Option<&Name>) -> Result<()> {
    let Some(scope) = route.scope() else { return Ok(()) };
    if route.is_of_logs() {
        return Ok(visitor.identity().require_logs(scope)?);
    }
    let database = database.filter(|_| route.is_of_database());
    Ok(visitor.identity().require(database, scope)?)
}

/// The value of the header; an empty one, which is no key, for what is no text or there twice.
fn authorization(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let first = all.next()?;
    if all.next().is_some() {
        return Some("");
    }
    Some(first.to_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::http::HeaderValue;

    use super::super::routes;
    use super::*;

    #[test]
    fn what_everybody_may_call_is_a_short_list() {
        let open: BTreeSet<_> =
            routes::all().filter(|route| route.scope().is_none()).map(|route| route.path).collect();
        let expected = ["/", "/health/live", "/health/ready", "/openapi.json"];
        assert_eq!(open, BTreeSet::from(expected));
    }

    #[test]
    fn databases_are_made_and_removed_by_who_administers_the_server() {
        let of_server: BTreeSet<_> = routes::all()
            .filter(|route| route.grant().is_some_and(|grant| grant == "*=admin"))
            .map(|route| route.name)
            .collect();
        let expected = ["create_database", "drop_database", "ensure_database", "restore"];
        assert_eq!(of_server, BTreeSet::from(expected));
    }

    #[test]
    fn whatever_changes_something_needs_more_than_reading() {
        use super::super::routes::Verb;
        let reads = |verb| verb == Verb::Get;
        // Queries are too long for a URL.
        let queries = [
            "query",
            "explain",
            "query_namespace",
            "explain_namespace_query",
            "measure_recall",
            "search_namespace",
        ];
        for route in routes::all().filter(|route| !reads(route.verb)) {
            let is_query = queries.contains(&route.name);
            assert_eq!(route.scope() > Some(Scope::Read), !is_query, "{}", route.name);
        }
    }

    #[test]
    fn two_credentials_are_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(authorization(&headers), None);
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer a"));
        assert_eq!(authorization(&headers), Some("Bearer a"));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer b"));
        assert_eq!(authorization(&headers), Some(""));
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, HeaderValue::from_bytes(b"Bearer \xff").unwrap());
        assert_eq!(authorization(&headers), Some(""));
    }
}
