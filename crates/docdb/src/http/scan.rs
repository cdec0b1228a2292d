//! Pages of a collection, in the order of ids, from a snapshot that the cursor holds.

use std::ops::Bound;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::ACCEPT;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use base::limits::ID_BYTES_MAX;
use base::words::{DocId, Name};
use bytes::Bytes;
use docstore::{Stored, write_export_line};
use futures_util::stream;

use super::call::{Call, ask};
use super::error::{Failure, Result};
use super::id::{self, IdForm};
use super::json::Text;
use super::parameters::{IDS, Parameter, Query, query};
use super::respond;
use super::routes::{Access, Route, Shape, Span, Verb};
use crate::engine::metrics::Operation;
use crate::engine::{Engine, EngineError, How, Scan, ScanPage, Served};

/// The type of lines of JSON.
const LINES: &str = "application/x-ndjson";
/// Documents that an export reads at once, at most; a page has about 8 MiB at most anyway.
const EXPORT_PAGE: usize = 1000;
/// Documents of a page unless asked otherwise.
const LIMIT_DEFAULT: usize = 100;

const TEXT: &str = r#"{"type":"string"}"#;
const ID_TYPES: &str = r#"{"type":"string","enum":["u64","uuid","string"]}"#;
pub(super) const FROM: Parameter = query("from", TEXT, "The id to begin with, as in a path.");
pub(super) const AFTER: Parameter = query("after", TEXT, "The id to begin behind.");
pub(super) const TO: Parameter = query("to", TEXT, "The id to end with.");
pub(super) const BEFORE: Parameter = query("before", TEXT, "The id to end before.");
pub(super) const FROM_TYPE: Parameter = query("from_type", ID_TYPES, "What `from` is.");
pub(super) const AFTER_TYPE: Parameter = query("after_type", ID_TYPES, "What `after` is.");
pub(super) const TO_TYPE: Parameter = query("to_type", ID_TYPES, "What `to` is.");
pub(super) const BEFORE_TYPE: Parameter = query("before_type", ID_TYPES, "What `before` is.");
/// What a range is given by.
const RANGE: [Parameter; 5] = [FROM, AFTER, TO, BEFORE, PREFIX];
pub(super) const PREFIX: Parameter =
    query("prefix", TEXT, "Only string ids that begin so; not together with the others.");
pub(super) const LIMIT: Parameter = query(
    "limit",
    r#"{"type":"integer","minimum":1,"maximum":10000,"default":100}"#,
    "How many documents a page has at most; large documents make it shorter.",
);
pub(super) const CURSOR: Parameter = query(
    "cursor",
    TEXT,
    "`next` of the page before: goes on where it ended, as of the same moment.",
);

pub(super) const ROUTES: &[Route] = &[Route {
    verb: Verb::Get,
    path: "/v1/databases/{database}/collections/{collection}/documents",
    name: "scan_documents",
    what: "Read documents in the order of their ids: numbers, UUIDs, strings. With `Accept: \
           application/x-ndjson` all of them, one a line, as an import takes them.",
    operation: Operation::Scan,
    access: Access::Read,
    span: Span::Bounded,
    takes: &[
        FROM,
        FROM_TYPE,
        AFTER,
        AFTER_TYPE,
        TO,
        TO_TYPE,
        BEFORE,
        BEFORE_TYPE,
        PREFIX,
        LIMIT,
        CURSOR,
        IDS,
    ],
    body: Shape::Nothing,
    answers: &[(200, Shape::Json("Page")), (200, Shape::Lines)],
    handler: |call| Box::pin(scan(call)),
}];

async fn scan(call: Call) -> Result<Response> {
    let (database, collection) = (call.database()?, call.collection()?);
    let form = call.query.id_form()?;
    let cursor = call.query.get(CURSOR.name).map(Box::from);
    if call.header(ACCEPT.as_str())?.is_some_and(|accepted| accepted.contains(LINES)) {
        return export(call, collection).await;
    }
    if cursor.is_some() && RANGE.iter().any(|p| call.query.get(p.name).is_some()) {
        return Err(Failure::bad("a cursor knows its range; give no other beside it"));
    }
    let (from, to) = range(&call.query)?;
    let scan = Scan { collection, from, to, limit: limit(&call.query)?, cursor };
    let ask = |engine: &Arc<Engine>, reply| engine.scan(&database, scan, call.how(), reply);
    let page = call.ask(ask).await?;
    let body = write(&page.documents, form, page.next.as_deref());
    Ok(respond::json_text(StatusCode::OK, body))
}

/// Everything of a range, one document a line. A client that reads slowly holds one page and the
/// snapshot; one that takes nothing is cut.
async fn export(call: Call, collection: Name) -> Result<Response> {
    for parameter in [CURSOR, LIMIT, IDS] {
        if call.query.get(parameter.name).is_some() {
            return Err(Failure::bad(format!("an export takes no {}", parameter.name)));
        }
    }
    let (from, to) = range(&call.query)?;
    let scan = Scan { collection, from, to, limit: EXPORT_PAGE, cursor: None };
    let (engine, database) = (Arc::clone(call.engine()), call.database()?);
    let started = engine.clock().now();
    // What is wrong is found by the first page, while there is a status to say so.
    let first = page(&engine, &database, scan.clone()).await?;
    let lines = stream::try_unfold(Some((first, scan)), move |state| {
        let (engine, database) = (Arc::clone(&engine), Arc::clone(&database));
        async move {
            let Some((found, scan)) = state else {
                let took = engine.clock().now().since(started);
                let about = || format!("export of {}", database.name());
                engine.note_answered(Operation::Export, took, None, about);
                return Ok(None);
            };
            let mut text = Vec::new();
            for (id, stored) in &found.documents {
                write_export_line(&mut text, id, stored);
            }
            let next = match found.next {
                None => None,
                Some(cursor) => {
                    let scan = Scan { cursor: Some(cursor), ..scan };
                    let following = page(&engine, &database, scan.clone()).await;
                    Some((following.inspect_err(|error| engine.track(error))?, scan))
                }
            };
            Ok::<_, EngineError>(Some((Bytes::from(text), next)))
        }
    });
    let content_type = HeaderValue::from_static(LINES);
    Ok(respond::bytes(StatusCode::OK, content_type, Body::from_stream(lines)))
}

async fn page(
    engine: &Arc<Engine>,
    database: &Arc<Served>,
    scan: Scan,
) -> std::result::Result<ScanPage, EngineError> {
    ask(|reply| engine.scan(database, scan, How::default(), reply)).await
}

/// Documents of a page, at most.
pub(super) fn limit(query: &Query) -> Result<usize> {
    let max = docstore::PAGE_DOCUMENTS_MAX;
    let limit = query.number(LIMIT.name, 1..=max as u64)?;
    Ok(limit.map_or(LIMIT_DEFAULT, |limit| usize::try_from(limit).unwrap_or(max)))
}

/// The range of ids that a query asks for.
pub(super) fn range(query: &Query) -> Result<(Bound<DocId>, Bound<DocId>)> {
    let id = |of: Parameter, its_type: Parameter| match query.get(of.name) {
        Some(text) => {
            let id_type = query.get(its_type.name).map(id::IdType::parse).transpose()?;
            id::from_url(text, id_type).map(Some)
        }
        None if query.get(its_type.name).is_some() => {
            Err(Failure::bad(format!("{} is given without {}", its_type.name, of.name)))
        }
        None => Ok(None),
    };
    let from = (id(FROM, FROM_TYPE)?, id(AFTER, AFTER_TYPE)?);
    let to = (id(TO, TO_TYPE)?, id(BEFORE, BEFORE_TYPE)?);
    let is_open = from == (None, None) && to == (None, None);
    if let Some(prefix) = query.get(PREFIX.name) {
        if !is_open {
            return Err(Failure::bad("give a prefix or a range, not both"));
        }
        return of_prefix(prefix);
    }
    Ok((bound(from)?, bound(to)?))
}

/// An end of a range, out of the id that is inside or the one that is outside.
fn bound(ids: (Option<DocId>, Option<DocId>)) -> Result<Bound<DocId>> {
    match ids {
        (None, None) => Ok(Bound::Unbounded),
        (Some(inside), None) => Ok(Bound::Included(inside)),
        (None, Some(outside)) => Ok(Bound::Excluded(outside)),
        (Some(_), Some(_)) => Err(Failure::bad("a range has one beginning and one end")),
    }
}

/// The string ids that begin so.
fn of_prefix(prefix: &str) -> Result<(Bound<DocId>, Bound<DocId>)> {
    let string = |text: &str| id::of_type(text, id::IdType::Str);
    let first = string(prefix)?;
    if prefix.len() == ID_BYTES_MAX {
        return Ok((Bound::Included(first.clone()), Bound::Included(first)));
    }
    let mut rest = prefix.to_owned();
    while let Some(last) = rest.pop() {
        // The next character that an id may have; its text is a byte longer at most.
        let next = (last..=char::MAX).skip(1).find(|next| !next.is_ascii_control());
        if let Some(next) = next {
            rest.push(next);
            return Ok((Bound::Included(first), Bound::Excluded(string(&rest)?)));
        }
    }
    Ok((Bound::Included(first), Bound::Unbounded))
}

/// A page as JSON.
pub(super) fn write(documents: &[(DocId, Stored)], form: IdForm, next: Option<&str>) -> Vec<u8> {
    let mut out = Text::object();
    out.member("documents").open(b'[');
    for (id, stored) in documents {
        out.element().open(b'{');
        id::write(&mut out, id, form);
        write_stored(&mut out, stored);
        out.close(b'}');
    }
    out.close(b']');
    match next {
        Some(next) => out.member("next").string(next),
        None => out.member("next").raw(b"null"),
    }
    out.end()
}

/// Revision, expiry and bytes of a document, as members.
pub(super) fn write_stored(out: &mut Text, stored: &Stored) {
    out.member("revision").number(stored.revision.0);
    if let Some(at) = stored.expires_at {
        out.member("expires_at").string(&at.rfc3339());
    }
    out.member("document").raw(stored.document.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(prefix: &str, inside: &[&str], outside: &[&str]) {
        let (from, to) = of_prefix(prefix).unwrap();
        let holds = |text: &str| {
            let id = DocId::string(text).unwrap();
            std::ops::RangeBounds::contains(&(from.clone(), to.clone()), &id)
        };
        for text in inside {
            assert!(holds(text), "{prefix:?} has {text:?}");
        }
        for text in outside {
            assert!(!holds(text), "{prefix:?} has no {text:?}");
        }
    }

    #[test]
    fn a_prefix_is_a_range_of_string_ids() {
        check("a", &["a", "a\u{10ffff}", "ab", "az"], &["b", "A", "`"]);
        check("order-", &["order-1", "order-~"], &["order.", "order"]);
        check("a~", &["a~", "a~~", "a~\u{10ffff}"], &["a\u{80}", "a}", "b"]);
        check("a\u{d7ff}", &["a\u{d7ff}x"], &["a\u{e000}"]);
        check("a\u{10ffff}", &["a\u{10ffff}x"], &["b", "a"]);
        check("\u{10ffff}", &["\u{10ffff}x"], &["b"]);
        let longest = "x".repeat(64);
        check(&longest, &[&longest], &["x", "y"]);
        assert!(of_prefix("").is_err() && of_prefix("a\n").is_err());
        assert!(of_prefix(&"x".repeat(65)).is_err());
        check(&"~".repeat(63), &[&"~".repeat(64)], &["~"]);
    }
}
