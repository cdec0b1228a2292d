//! Interactive transactions: begun, read and written in by several requests, then committed or
//! rolled back. One that stays open for too long is rolled back.

use std::ops::Bound;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use base::error::Code;
use base::words::DocId;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::batch::{answered, operations, write_effect};
use super::call::Call;
use super::error::{Failure, Result};
use super::json::Text;
use super::parameters::IDS;
use super::respond;
use super::routes::{Access, Route, Shape, Span, Verb};
use super::scan::{
    self, AFTER, AFTER_TYPE, BEFORE, BEFORE_TYPE, CURSOR, FROM, FROM_TYPE, LIMIT, PREFIX, TO,
    TO_TYPE,
};
use crate::engine::metrics::Operation;
use crate::engine::{Engine, TransactionId};

const ALL: &str = "/v1/databases/{database}/transactions";
const DOCUMENTS: &str =
    "/v1/databases/{database}/transactions/{transaction}/collections/{collection}/documents";
const ONE: &str = "/v1/databases/{database}/transactions/{transaction}";

const BASE: Route = Route {
    verb: Verb::Post,
    path: ALL,
    name: "begin_transaction",
    what: "Begin a transaction; answers its number.",
    operation: Operation::Begin,
    access: Access::Write,
    span: Span::Bounded,
    takes: &[],
    body: Shape::Nothing,
    answers: &[(201, Shape::Json("Transaction"))],
    handler: |call| Box::pin(begin(call)),
};

pub(super) const ROUTES: &[Route] = &[
    BASE,
    Route {
        path: "/v1/databases/{database}/transactions/{transaction}/operations",
        name: "transaction_operations",
        what: "Do operations within a transaction, in order. The first that is refused ends the \
               request, not the transaction. Revisions are 0 until it is committed.",
        operation: Operation::TransactionStep,
        takes: &[IDS],
        body: Shape::Json("Batch"),
        answers: &[(200, Shape::Json("BatchResult"))],
        handler: |call| Box::pin(step(call)),
        ..BASE
    },
    Route {
        verb: Verb::Get,
        path: DOCUMENTS,
        name: "transaction_scan",
        what: "Read documents in the order of their ids, as the transaction sees them.",
        operation: Operation::TransactionStep,
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
        answers: &[(200, Shape::Json("Page"))],
        handler: |call| Box::pin(scan_in(call)),
        ..BASE
    },
    Route {
        path: "/v1/databases/{database}/transactions/{transaction}/commit",
        name: "commit_transaction",
        what: "Commit: everything or nothing. `TxnConflict` when something that it read has changed.",
        operation: Operation::Commit,
        answers: &[(200, Shape::Json("Committed"))],
        handler: |call| Box::pin(commit(call)),
        ..BASE
    },
    Route {
        verb: Verb::Delete,
        path: ONE,
        name: "rollback_transaction",
        what: "Roll back: end the transaction without a trace.",
        operation: Operation::Rollback,
        answers: &[(204, Shape::Nothing)],
        handler: |call| Box::pin(rollback(call)),
        ..BASE
    },
];

async fn begin(call: Call) -> Result<Response> {
    let database = call.database()?;
    let id = call.ask(|engine, reply| engine.begin(&database, None, call.how(), reply)).await?;
    Ok(respond::json(StatusCode::CREATED, &json!({ "transaction": id.0.to_string() })))
}

/// The transaction of the path, which must be of the database of the path.
pub(super) fn transaction(call: &Call) -> Result<TransactionId> {
    let text = call.part("transaction")?;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    let nowhere = || {
        let what = "there is no open transaction of this number in the database";
        Failure::new(Code::TxnNotFound, what)
    };
    let id = TransactionId(number.ok_or_else(nowhere)?);
    let (database, of) = (call.database()?, call.engine().database_of(id)?);
    if Arc::ptr_eq(&database, &of) { Ok(id) } else { Err(nowhere()) }
}

async fn step(mut call: Call) -> Result<Response> {
    let id = transaction(&call)?;
    let form = call.query.id_form()?;
    let ops = operations(&call.body().await?)?;
    let ids: Vec<_> = ops.iter().map(|op| op.id.clone()).collect();
    let ask = |engine: &Arc<Engine>, reply| engine.execute_in(id, ops, call.deadline, reply);
    let answers = call.ask(ask).await?;
    Ok(respond::json_text(StatusCode::OK, answered(&ids, &answers, form)?))
}

async fn scan_in(call: Call) -> Result<Response> {
    let transaction = transaction(&call)?;
    let collection = call.collection()?;
    let form = call.query.id_form()?;
    let limit = scan::limit(&call.query)?;
    let range = match call.query.get(CURSOR.name) {
        Some(cursor) => read_cursor(cursor)?,
        None => scan::range(&call.query)?,
    };
    let to = range.1.clone();
    let ask = |engine: &Arc<Engine>, reply| {
        engine.scan_in(transaction, collection, range, limit, call.deadline, reply);
    };
    let documents = call.ask(ask).await?;
    // A page may be short because its documents are large: only an empty one is the last.
    let next = documents.last().map(|(last, _)| write_cursor(last, &to));
    Ok(respond::json_text(StatusCode::OK, scan::write(&documents, form, next.as_deref())))
}

/// Where a scan within a transaction goes on: the last id and the end, in base64 with a dot between
/// them, `i` or `e` before an end that is inside or outside. The transaction itself keeps the moment.
pub(super) fn write_cursor(last: &DocId, to: &Bound<DocId>) -> String {
    let encoded = |id: &DocId| {
        let mut bytes = Vec::new();
        id.encode(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    };
    let to = match to {
        Bound::Unbounded => String::new(),
        Bound::Included(to) => format!("i{}", encoded(to)),
        Bound::Excluded(to) => format!("e{}", encoded(to)),
    };
    format!("{}.{to}", encoded(last))
}

pub(super) fn read_cursor(cursor: &str) -> Result<(Bound<DocId>, Bound<DocId>)> {
    let decoded = |text: &str| DocId::decode(&URL_SAFE_NO_PAD.decode(text).ok()?).ok();
    let read = || {
        let (last, to) = cursor.split_once('.')?;
        let to = match (to.strip_prefix('i'), to.strip_prefix('e')) {
            (Some(to), _) => Bound::Included(decoded(to)?),
            (_, Some(to)) => Bound::Excluded(decoded(to)?),
            (None, None) if to.is_empty() => Bound::Unbounded,
            (None, None) => return None,
        };
        Some((Bound::Excluded(decoded(last)?), to))
    };
    read().ok_or_else(|| Failure::bad("the cursor is none that this server gave"))
}

async fn commit(call: Call) -> Result<Response> {
    let id = transaction(&call)?;
    let committed =
        call.ask(|engine, reply| engine.commit(id, call.deadline, reply)).await?.written;
    let newest = committed.iter().map(|(revision, _)| *revision).max().unwrap_or_default();
    let mut out = Text::object();
    out.member("lsn").number(newest.0);
    out.member("results").open(b'[');
    for (revision, effect) in committed {
        out.element().open(b'{');
        write_effect(&mut out, revision, effect);
        out.close(b'}');
    }
    out.close(b']');
    Ok(respond::json_text(StatusCode::OK, out.end()))
}

async fn rollback(call: Call) -> Result<Response> {
    call.engine().rollback(transaction(&call)?)?;
    Ok(respond::nothing(StatusCode::NO_CONTENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_says_where_a_scan_goes_on() {
        let last = DocId::string("a.b").unwrap();
        for to in [Bound::Unbounded, Bound::Included(DocId::U64(7)), Bound::Excluded(last.clone())]
        {
            let cursor = write_cursor(&last, &to);
            assert_eq!(read_cursor(&cursor).unwrap(), (Bound::Excluded(last.clone()), to));
        }
        for none in ["", ".", "x", "x.y", "AQ.", "!.i"] {
            assert!(read_cursor(none).is_err(), "{none}");
        }
    }
}
