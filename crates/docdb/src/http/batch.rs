//! Many operations in one request: all of them or none.
//!
//! The operations of a body are read as pieces of its text: documents are never made into trees, and
//! their bytes are those that the client sent.

use std::fmt;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use base::words::{DocId, Lsn, Name};
use bytes::Bytes;
use docstore::{Condition, Effect};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::call::Call;
use super::databases::shape;
use super::documents::of_expiry;
use super::error::{Failure, Result};
use super::id::{self, IdForm, IdType};
use super::json::Text;
use super::parameters::IDS;
use super::respond;
use super::routes::{Access, Route, Shape, Span, Verb};
use super::scan::write_stored;
use crate::engine::metrics::Operation;
use crate::engine::{Engine, EngineError, Op, OpAnswer, OpKind, Together};

/// Operations of one request, at most: their descriptions take more memory than their text.
pub(super) const OPERATIONS_MAX: usize = 100_000;

pub(super) const ROUTES: &[Route] = &[Route {
    verb: Verb::Post,
    path: "/v1/databases/{database}/batch",
    name: "batch",
    what: "Do operations on documents of any collections, all of them or none.",
    operation: Operation::Write,
    access: Access::Write,
    span: Span::Bounded,
    takes: &[IDS],
    body: Shape::Json("Batch"),
    answers: &[(200, Shape::Json("BatchResult"))],
    handler: |call| Box::pin(batch(call)),
}];

async fn batch(mut call: Call) -> Result<Response> {
    let database = call.database()?;
    let form = call.query.id_form()?;
    let ops = operations(&call.body().await?)?;
    let ids: Vec<_> = ops.iter().map(|op| op.id.clone()).collect();
    let how = call.how_in_order();
    let ask = |engine: &Arc<Engine>, reply| {
        engine.execute(&database, ops, Together::Atomic, how, reply);
    };
    let answers = call.ask(ask).await?;
    Ok(respond::json_text(StatusCode::OK, answered(&ids, &answers, form)?))
}

/// The operations of a body.
pub(super) fn operations(body: &Bytes) -> Result<Vec<Op>> {
    let asked: BatchBody<'_> = shape(body)?;
    let Operations(asked) = asked.operations;
    let numbered = asked.into_iter().enumerate();
    numbered.map(|(at, op)| op.read(body).map_err(|failure| of_operation(failure, at))).collect()
}

fn of_operation(failure: Failure, at: usize) -> Failure {
    Failure { error: failure.error.of_operation(at), ..failure }
}

/// `{"operations":[…]}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchBody<'a> {
    #[serde(borrow)]
    operations: Operations<'a>,
}

struct Operations<'a>(Vec<OpBody<'a>>);

/// One operation, as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpBody<'a> {
    op: String,
    collection: String,
    #[serde(borrow)]
    id: &'a RawValue,
    id_type: Option<String>,
    #[serde(borrow)]
    document: Option<&'a RawValue>,
    #[serde(borrow)]
    patch: Option<&'a RawValue>,
    if_revision: Option<u64>,
    #[serde(default)]
    if_absent: bool,
    ttl_ms: Option<u64>,
    expires_at: Option<String>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Operations<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_seq(Bounded)
    }
}

/// Reads as many as there may be, and refuses more before it has read them.
struct Bounded;

impl<'de> Visitor<'de> for Bounded {
    type Value = Operations<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at most {OPERATIONS_MAX} operations")
    }

    fn visit_seq<A: SeqAccess<'de>>(
        self,
        mut seq: A,
    ) -> std::result::Result<Operations<'de>, A::Error> {
        let mut read = Vec::new();
        while let Some(op) = seq.next_element()? {
            if read.len() == OPERATIONS_MAX {
                return Err(serde::de::Error::invalid_length(OPERATIONS_MAX + 1, &self));
            }
            read.push(op);
        }
        Ok(Operations(read))
    }
}

impl OpBody<'_> {
    fn read(self, body: &Bytes) -> Result<Op> {
        let collection =
            Name::new(&self.collection).map_err(|e| Failure::from(EngineError::from(e)))?;
        let id_type = self.id_type.as_deref().map(IdType::parse).transpose()?;
        let id = id::from_json(self.id.get(), id_type)?;
        let is_timed = self.ttl_ms.is_some() || self.expires_at.is_some();
        if self.ttl_ms == Some(0) {
            return Err(Failure::bad("ttl_ms is at least 1"));
        }
        let expiry = of_expiry(self.ttl_ms, self.expires_at.as_deref())?;
        let op = self.op.as_str();
        let needs = match op {
            "put" | "create" | "update" => (true, false),
            "patch" => (false, true),
            "delete" | "get" => (false, false),
            _ => {
                let what = "op is one of put, create, update, patch, delete, get";
                return Err(Failure::bad(format!("there is no operation {op}: {what}")));
            }
        };
        if needs != (self.document.is_some(), self.patch.is_some()) {
            let what = match needs {
                (true, _) => "needs document, and nothing else",
                (_, true) => "needs patch, and nothing else",
                _ => "needs neither document nor patch",
            };
            return Err(Failure::bad(format!("the operation {op} {what}")));
        }
        if is_timed && !matches!(op, "put" | "create" | "update") {
            return Err(Failure::bad(format!("the operation {op} sets no expiry")));
        }
        // Shared with the body, not copied.
        let text = self.document.or(self.patch);
        let text = text.map(|text| body.slice_ref(text.get().as_bytes()));
        let text = text.unwrap_or_default();
        let kind = match op {
            "put" => OpKind::Upsert(text, expiry),
            "create" => OpKind::Create(text, expiry),
            "update" => OpKind::Update(text, expiry),
            "patch" => OpKind::Patch(text),
            "delete" => OpKind::Delete,
            // Of the six that it can be here.
            _ => OpKind::Read,
        };
        let mut conditions = Vec::new();
        conditions.extend(self.if_revision.map(|revision| Condition::Revision(Lsn(revision))));
        conditions.extend(self.if_absent.then_some(Condition::Absent));
        if matches!(kind, OpKind::Read) && !conditions.is_empty() {
            return Err(Failure::bad("the operation get has no conditions"));
        }
        Ok(Op { collection, id, kind, conditions })
    }
}

/// The answers of operations that were done together. Revisions are 0 before a commit.
pub(super) fn answered(
    ids: &[DocId],
    answers: &[std::result::Result<OpAnswer, EngineError>],
    form: IdForm,
) -> Result<Vec<u8>> {
    let mut out = Text::object();
    let mut newest = Lsn::ZERO;
    out.member("results").open(b'[');
    for (at, (id, answer)) in ids.iter().zip(answers).enumerate() {
        out.element().open(b'{');
        id::write(&mut out, id, form);
        match answer {
            Ok(OpAnswer::Written { revision, effect }) => {
                newest = newest.max(*revision);
                write_effect(&mut out, *revision, *effect);
            }
            Ok(OpAnswer::Read(None)) => out.member("found").raw(b"false"),
            Ok(OpAnswer::Read(Some(stored))) => {
                out.member("found").raw(b"true");
                write_stored(&mut out, stored);
            }
            Err(error) => return Err(of_operation(error.clone().into(), at)),
        }
        out.close(b'}');
    }
    out.close(b']');
    out.member("lsn").number(newest.0);
    Ok(out.end())
}

/// What a write did, as members.
pub(super) fn write_effect(out: &mut Text, revision: Lsn, effect: Effect) {
    out.member("revision").number(revision.0);
    out.member("effect").string(match effect {
        Effect::Created => "created",
        Effect::Replaced => "replaced",
        Effect::Deleted => "deleted",
        Effect::Skipped => "skipped",
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::error::Code;

    fn read(ops: &str) -> Result<Vec<Op>> {
        operations(&Bytes::from(format!(r#"{{"operations":[{ops}]}}"#)))
    }

    fn code(ops: &str) -> (Code, Option<usize>) {
        let error = read(ops).unwrap_err().error;
        (error.code, error.operation)
    }

    #[test]
    fn documents_of_a_batch_keep_their_bytes() {
        let ops = read(
            r#"{"op":"put","collection":"c","id":1,"document":{ "a" : 1.0 },"ttl_ms":5},
               {"op":"get","collection":"c","id":"2","id_type":"u64"}"#,
        );
        let ops = ops.unwrap();
        let OpKind::Upsert(bytes, _) = &ops[0].kind else { panic!("{ops:?}") };
        assert_eq!(&bytes[..], br#"{ "a" : 1.0 }"#);
        assert_eq!(ops[1].id, DocId::U64(2));
    }

    #[test]
    fn what_does_not_fit_names_its_operation() {
        let get = r#"{"op":"get","collection":"c","id":1}"#;
        let second = |op: &str| code(&format!("{get},{op}"));
        let at = Some(1);
        for (op, expected) in [
            (r#"{"op":"put","collection":"c","id":1}"#, Code::InvalidQuery),
            (r#"{"op":"delete","collection":"c","id":1,"document":1}"#, Code::InvalidQuery),
            (r#"{"op":"patch","collection":"c","id":1,"patch":[],"ttl_ms":1}"#, Code::InvalidQuery),
            (r#"{"op":"sweep","collection":"c","id":1}"#, Code::InvalidQuery),
            (r#"{"op":"get","collection":"../c","id":1}"#, Code::InvalidName),
            (r#"{"op":"get","collection":"c","id":-1}"#, Code::InvalidId),
            (r#"{"op":"get","collection":"c","id":{}}"#, Code::InvalidId),
            (r#"{"op":"get","collection":"c","id":1,"if_absent":true}"#, Code::InvalidQuery),
        ] {
            assert_eq!(second(op), (expected, at), "{op}");
        }
        assert_eq!(code(r#"{"op":"get","collection":"c","id":1,"extra":1}"#).0, Code::InvalidQuery);
        assert_eq!(code("{").0, Code::InvalidJson);
    }

    #[test]
    fn too_many_operations_are_refused() {
        let get = r#"{"op":"get","collection":"c","id":1}"#;
        let many = vec![get; OPERATIONS_MAX + 1].join(",");
        assert_eq!(code(&many).0, Code::InvalidQuery);
        assert_eq!(read(&vec![get; OPERATIONS_MAX].join(",")).unwrap().len(), OPERATIONS_MAX);
    }

    #[test]
    fn nesting_without_end_is_no_recursion() {
        let deep = "[".repeat(1_000_000);
        let op = format!(r#"{{"op":"put","collection":"c","id":1,"document":{deep}}}"#);
        assert_eq!(code(&op).0, Code::InvalidJson);
    }
}
