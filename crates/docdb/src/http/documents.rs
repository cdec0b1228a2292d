//! One document: read, written, changed, removed, under the conditions that its headers name.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use base::error::Code;
use base::words::{DocId, Lsn};
use docstore::{Condition, Effect, Expiry, Stored};

use super::batch::write_effect;
use super::call::{Call, ask};
use super::error::{Failure, Result};
use super::id::{self, IdForm};
use super::json::Text;
use super::parameters::{ID_TYPE, IDS, Parameter, Query, header, query};
use super::respond;
use super::routes::{Access, Route, Shape, Span, Verb};
use super::time;
use super::transactions::transaction;
use crate::engine::metrics::Operation;
use crate::engine::{EngineError, Op, OpAnswer, OpKind, Together};

const PATH: &str = "/v1/databases/{database}/collections/{collection}/documents/{id}";
const IN_TRANSACTION: &str =
    "/v1/databases/{database}/transactions/{transaction}/collections/{collection}/documents/{id}";
const TAG: &str = r#"{"type":"string"}"#;

const IF_MATCH: Parameter = header(
    "if-match",
    TAG,
    "Revisions, as ETag names them; the document must have one of them. `*`: it must exist.",
);
const IF_NONE_MATCH: Parameter = header(
    "if-none-match",
    TAG,
    "Revisions that the document must not have. `*`: there must be none.",
);
pub(super) const TTL_MS: Parameter = query(
    "ttl_ms",
    r#"{"type":"integer","minimum":1,"maximum":9007199254740991}"#,
    "The document expires so many milliseconds from now.",
);
pub(super) const EXPIRES_AT: Parameter = query(
    "expires_at",
    r#"{"type":"string","format":"date-time"}"#,
    "The document expires at this time (RFC 3339).",
);

const GET: Route = Route {
    verb: Verb::Get,
    path: PATH,
    name: "get_document",
    what: "Read a document: its exact bytes, its revision as ETag.",
    operation: Operation::Get,
    access: Access::Read,
    span: Span::Bounded,
    takes: &[ID_TYPE, IF_NONE_MATCH],
    body: Shape::Nothing,
    answers: &[(200, Shape::Document), (304, Shape::Nothing)],
    handler: |call| Box::pin(get(call)),
};
const PUT: Route = Route {
    verb: Verb::Put,
    path: PATH,
    name: "put_document",
    what: "Make or replace a document.",
    operation: Operation::Write,
    access: Access::Write,
    span: Span::Bounded,
    takes: &[ID_TYPE, IDS, TTL_MS, EXPIRES_AT, IF_MATCH, IF_NONE_MATCH],
    body: Shape::Document,
    answers: &[(200, Shape::Json("Written")), (201, Shape::Json("Written"))],
    handler: |call| Box::pin(write(call, OpKind::Upsert)),
};
const POST: Route = Route {
    verb: Verb::Post,
    path: PATH,
    name: "create_document",
    what: "Make a document; there must be none of this id.",
    operation: Operation::Write,
    access: Access::Write,
    span: Span::Bounded,
    takes: &[ID_TYPE, IDS, TTL_MS, EXPIRES_AT],
    body: Shape::Document,
    answers: &[(201, Shape::Json("Written"))],
    handler: |call| Box::pin(write(call, OpKind::Create)),
};
const PATCH: Route = Route {
    verb: Verb::Patch,
    path: PATH,
    name: "patch_document",
    what: "Change parts of a document; its expiry stays.",
    operation: Operation::Write,
    access: Access::Write,
    span: Span::Bounded,
    takes: &[ID_TYPE, IDS, IF_MATCH, IF_NONE_MATCH],
    body: Shape::Json("Patch"),
    answers: &[(200, Shape::Json("Written"))],
    handler: |call| Box::pin(write(call, |bytes, _| OpKind::Patch(bytes))),
};
const DELETE: Route = Route {
    verb: Verb::Delete,
    path: PATH,
    name: "delete_document",
    what: "Remove a document.",
    operation: Operation::Write,
    access: Access::Write,
    span: Span::Bounded,
    takes: &[ID_TYPE, IDS, IF_MATCH, IF_NONE_MATCH],
    body: Shape::Nothing,
    answers: &[(200, Shape::Json("Written"))],
    handler: |call| Box::pin(delete(call)),
};

/// A route of documents within a transaction, made of the one outside.
const fn within(name: &'static str, outside: Route) -> Route {
    Route {
        path: IN_TRANSACTION,
        name,
        operation: Operation::TransactionStep,
        // Reading within one takes part in it.
        access: Access::Write,
        ..outside
    }
}

pub(super) const ROUTES: &[Route] = &[
    GET,
    PUT,
    POST,
    PATCH,
    DELETE,
    within("transaction_get_document", GET),
    within("transaction_put_document", PUT),
    within("transaction_create_document", POST),
    within("transaction_patch_document", PATCH),
    within("transaction_delete_document", DELETE),
];

async fn get(call: Call) -> Result<Response> {
    let (database, collection, id) = (call.database()?, call.collection()?, call.id()?);
    let not_wanted = call.header("if-none-match")?.map(Tags::parse).transpose()?;
    let stored = if call.is_in_transaction() {
        let op = Op { collection, id: id.clone(), kind: OpKind::Read, conditions: Vec::new() };
        match do_one(&call, op).await? {
            OpAnswer::Read(found) => found,
            OpAnswer::Written { .. } => return Err(odd()),
        }
    } else {
        let (how, id) = (call.how(), id.clone());
        // Answered at once when memory knows it.
        call.ask(|engine, reply| engine.get(&database, collection, id, how, reply)).await?
    };
    let stored = stored.ok_or_else(|| not_found(&id))?;
    if not_wanted.is_some_and(|tags| tags.has(stored.revision)) {
        return Ok(respond::described(respond::nothing(StatusCode::NOT_MODIFIED), &stored));
    }
    Ok(respond::document(&stored))
}

/// There is no document of this id.
pub(super) fn not_found(id: &DocId) -> Failure {
    Failure::new(Code::DocNotFound, format!("there is no document with this id, id={id}"))
}

async fn write(
    mut call: Call,
    kind: impl FnOnce(bytes::Bytes, Expiry) -> OpKind + Send,
) -> Result<Response> {
    let expiry = expiry(&call.query)?;
    let body = call.body().await?;
    execute(&call, kind(body, expiry)).await
}

async fn delete(call: Call) -> Result<Response> {
    execute(&call, OpKind::Delete).await
}

async fn execute(call: &Call, kind: OpKind) -> Result<Response> {
    let (collection, id) = (call.collection()?, call.id()?);
    let form = call.query.id_form()?;
    let op = Op { collection, id: id.clone(), kind, conditions: conditions(call)? };
    match do_one(call, op).await? {
        OpAnswer::Written { revision, effect } => Ok(written(&id, form, revision, effect)),
        OpAnswer::Read(_) => Err(odd()),
    }
}

fn odd() -> Failure {
    Failure::new(Code::Internal, "an operation was answered as another")
}

/// Does one operation, within the transaction of the path if there is one.
async fn do_one(call: &Call, op: Op) -> Result<OpAnswer> {
    // One operation needs no number.
    let alone = |error: EngineError| Failure::from(EngineError { operation: None, ..error });
    let answers = if call.is_in_transaction() {
        let id = transaction(call)?;
        ask(|reply| call.engine().execute_in(id, vec![op], call.deadline, reply)).await
    } else {
        let (database, how) = (call.database()?, call.how_in_order());
        let execute = |reply| {
            call.engine().execute(&database, vec![op], Together::Atomic, how, reply);
        };
        ask(execute).await
    };
    match answers.map_err(alone)?.into_iter().next() {
        Some(answer) => answer.map_err(alone),
        None => Err(odd()),
    }
}

fn written(id: &DocId, form: IdForm, revision: Lsn, effect: Effect) -> Response {
    let mut out = Text::object();
    id::write(&mut out, id, form);
    write_effect(&mut out, revision, effect);
    let status = match effect {
        Effect::Created => StatusCode::CREATED,
        Effect::Replaced | Effect::Deleted | Effect::Skipped => StatusCode::OK,
    };
    let response = respond::json_text(status, out.end());
    if effect == Effect::Deleted || revision == Lsn::ZERO {
        response
    } else {
        respond::with_revision(response, revision)
    }
}

/// When what is written expires.
fn expiry(query: &Query) -> Result<Expiry> {
    let ttl = query.number(TTL_MS.name, 1..=(1 << 53) - 1)?;
    of_expiry(ttl, query.get(EXPIRES_AT.name))
}

/// An expiry out of a span or a time.
pub(super) fn of_expiry(ttl_ms: Option<u64>, at: Option<&str>) -> Result<Expiry> {
    match (ttl_ms, at) {
        (None, None) => Ok(Expiry::Never),
        (Some(ttl), None) => Ok(Expiry::After(Duration::from_millis(ttl))),
        (None, Some(at)) => match time::parse(at) {
            Some(at) => Ok(Expiry::At(at)),
            None => Err(Failure::bad(
                "expires_at is a time of RFC 3339 from 1970 on, as 2030-01-31T12:00:00Z",
            )),
        },
        (Some(_), Some(_)) => Err(Failure::bad("give ttl_ms or expires_at, not both")),
    }
}

/// What the headers demand of the document. Conditions that do not hold are answered 412, as RFC
/// 9110 has it.
fn conditions(call: &Call) -> Result<Vec<Condition>> {
    let mut conditions = Vec::new();
    if let Some(wanted) = call.header("if-match")?.map(Tags::parse).transpose()? {
        conditions.push(match wanted.single() {
            Some(revision) => Condition::Revision(revision),
            None => Condition::Test(Arc::new(move |found: Option<&Stored>, _| {
                found.is_some_and(|found| wanted.has(found.revision))
            })),
        });
    }
    if let Some(unwanted) = call.header("if-none-match")?.map(Tags::parse).transpose()? {
        conditions.push(Condition::Test(Arc::new(move |found: Option<&Stored>, _| {
            found.is_none_or(|found| !unwanted.has(found.revision))
        })));
    }
    Ok(conditions)
}

/// Revisions as conditions name them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tags {
    /// `*`
    Any,
    /// Each in quotes. A weak one is no revision, and matches none.
    These(Vec<Lsn>),
}

impl Tags {
    pub(super) fn parse(text: &str) -> Result<Self> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        let mut revisions = Vec::new();
        for tag in text.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
            let is_weak = tag.starts_with("W/");
            let quoted = tag.strip_prefix("W/").unwrap_or(tag);
            let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let inner = inner.ok_or_else(|| {
                Failure::bad("a revision in a condition stands in quotes, as ETag gives it")
            })?;
            let digits = !inner.is_empty() && inner.bytes().all(|byte| byte.is_ascii_digit());
            // A tag that is no number is of no revision of ours.
            if let Some(number) = digits.then(|| inner.parse().ok()).flatten()
                && !is_weak
            {
                revisions.push(Lsn(number));
            }
        }
        Ok(Self::These(revisions))
    }

    pub(super) fn has(&self, revision: Lsn) -> bool {
        match self {
            Self::Any => true,
            Self::These(revisions) => revisions.contains(&revision),
        }
    }

    /// The revision, if it is one.
    fn single(&self) -> Option<Lsn> {
        match self {
            Self::These(revisions) if revisions.len() == 1 => revisions.first().copied(),
            Self::Any | Self::These(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_name_revisions_in_quotes() {
        let tags = |text| Tags::parse(text).unwrap();
        assert_eq!(tags("*"), Tags::Any);
        assert_eq!(tags("\"7\"").single(), Some(Lsn(7)));
        assert_eq!(tags("\"7\", \"8\""), Tags::These(vec![Lsn(7), Lsn(8)]));
        assert!(!tags("W/\"7\"").has(Lsn(7)) && !tags("\"x\"").has(Lsn(0)));
        for text in ["7", "\"7", "'7'"] {
            assert!(Tags::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_expiry_is_a_span_or_a_time() {
        assert_eq!(of_expiry(None, None).unwrap(), Expiry::Never);
        assert_eq!(of_expiry(Some(5), None).unwrap(), Expiry::After(Duration::from_millis(5)));
        let at = of_expiry(None, Some("1970-01-01T00:00:01Z")).unwrap();
        assert_eq!(at, Expiry::At(base::clock::WallMs(1000)));
        assert!(of_expiry(Some(5), Some("1970-01-01T00:00:01Z")).is_err());
        assert!(of_expiry(None, Some("tomorrow")).is_err());
    }
}
