//! The JSON of requests and answers. Documents pass through as they are, byte for byte.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::url::{id_type, is_canonical_uuid};
use crate::error::{Error, Result};
use crate::values::{Change, Document, Effect, Event, Id, Outcome, Written};
use crate::wire::{self, Action, Op};

/// An error.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorBody<'a> {
    #[serde(borrow)]
    pub(super) error: ErrorShape<'a>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ErrorShape<'a> {
    #[serde(borrow)]
    pub(super) code: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) message: Cow<'a, str>,
    #[serde(default)]
    pub(super) retryable: bool,
    #[serde(default)]
    pub(super) operation: Option<usize>,
}

/// An id as it is answered: a number or a text, or with `id_type` a text of any type.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum IdShape {
    Number(u64),
    Text(String),
}

impl IdShape {
    fn id(self, id_type: Option<&str>) -> Result<Id> {
        let none = |text: &str| Error::protocol(format!("the server answered no id: `{text}`"));
        match (self, id_type) {
            (Self::Number(number), None | Some("u64")) => Ok(Id::U64(number)),
            (Self::Text(text), Some("u64")) => text.parse().map(Id::U64).map_err(|_| none(&text)),
            (Self::Text(text), Some("string")) => Ok(Id::Text(Cow::Owned(text))),
            (Self::Text(text), None) if !is_canonical_uuid(&text) => Ok(Id::Text(Cow::Owned(text))),
            (Self::Text(text), None | Some("uuid")) => {
                Uuid::try_parse(&text).map(Id::Uuid).map_err(|_| none(&text))
            }
            (Self::Number(number), Some(_)) => Err(none(&number.to_string())),
            (Self::Text(text), Some(_)) => Err(none(&text)),
        }
    }
}

/// What a write is answered.
#[derive(Debug, Deserialize)]
pub(super) struct WrittenShape {
    pub(super) revision: u64,
    #[serde(default)]
    effect: Option<String>,
}

impl WrittenShape {
    /// What it did, when the answer says so or nothing else is possible.
    pub(super) fn written(&self, op: &Action<'_>) -> Written {
        let effect = match (self.effect.as_deref(), op) {
            (Some("created"), _) | (_, Action::Create { .. }) => Some(Effect::Created),
            (Some("replaced"), _) | (_, Action::Update { .. } | Action::Patch { .. }) => {
                Some(Effect::Replaced)
            }
            (Some("deleted"), _) | (_, Action::Delete { .. }) => Some(Effect::Deleted),
            (_, Action::Upsert { .. } | Action::Read) => None,
        };
        Written { revision: self.revision, effect }
    }
}

/// What a batch is answered.
#[derive(Debug, Deserialize)]
pub(super) struct BatchBody {
    pub(super) results: Vec<WrittenShape>,
}

/// A batch.
#[derive(Debug, Serialize)]
pub(super) struct Batch<'a> {
    operations: Vec<Operation<'a>>,
}

#[derive(Debug, Serialize)]
struct Operation<'a> {
    op: &'static str,
    collection: &'a str,
    id: String,
    id_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    if_revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(ops: &'a [Op<'a>]) -> Result<Self> {
        let operations = ops.iter().enumerate();
        let operations = operations
            .map(|(number, op)| Operation::new(op).map_err(|error| error.at(Some(number))))
            .collect::<Result<_>>()?;
        Ok(Self { operations })
    }

    pub(super) fn json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::argument(error.to_string()))
    }
}

impl<'a> Operation<'a> {
    fn new(op: &'a Op<'a>) -> Result<Self> {
        let (name, document, patch, if_revision, expires_at) = match op.action {
            Action::Create { document, expires_at } => {
                ("create", Some(raw(document)?), None, None, expires_at)
            }
            Action::Update { document, if_revision, expires_at } => {
                ("update", Some(raw(document)?), None, if_revision, expires_at)
            }
            Action::Upsert { document, if_revision, expires_at } => {
                ("put", Some(raw(document)?), None, if_revision, expires_at)
            }
            Action::Delete { if_revision } => ("delete", None, None, if_revision, None),
            Action::Patch { patch, if_revision } => {
                ("patch", None, Some(raw(patch)?), if_revision, None)
            }
            Action::Read => return Err(Error::argument("a batch over HTTP holds writes alone")),
        };
        let expires_at = expires_at.map(super::url::rfc3339);
        let (id, id_type) = (op.id.to_string(), id_type(&op.id));
        let collection = op.collection;
        Ok(Self { op: name, collection, id, id_type, document, patch, if_revision, expires_at })
    }
}

/// Bytes that are JSON, as part of a larger JSON text. What is not JSON would make the whole of it
/// none; which documents docdb takes is for the server to say.
fn raw(bytes: &[u8]) -> Result<&RawValue> {
    let invalid = |error: String| {
        let code = crate::ErrorCode::InvalidJson;
        Error::server(Some(code), code.number(), &error)
    };
    serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))
}

/// A page of a scan.
#[derive(Debug, Deserialize)]
pub(super) struct ScanBody<'a> {
    #[serde(borrow)]
    pub(super) documents: Vec<DocumentShape<'a>>,
    #[serde(default)]
    pub(super) next: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct DocumentShape<'a> {
    id: IdShape,
    #[serde(default)]
    id_type: Option<String>,
    revision: u64,
    #[serde(borrow)]
    document: &'a RawValue,
}

impl DocumentShape<'_> {
    pub(super) fn document(self) -> Result<Document> {
        Ok(Document {
            id: self.id.id(self.id_type.as_deref())?,
            revision: self.revision,
            expires_at: None,
            bytes: self.document.get().as_bytes().to_vec(),
        })
    }
}

/// Changes.
#[derive(Debug, Deserialize)]
pub(super) struct ChangesBody<'a> {
    #[serde(borrow)]
    pub(super) changes: Vec<ChangeShape<'a>>,
    /// Where to go on, when that is behind the last change.
    #[serde(default)]
    pub(super) position: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ChangeShape<'a> {
    lsn: u64,
    op: String,
    #[serde(default)]
    collection: Option<String>,
    #[serde(default)]
    id: Option<IdShape>,
    #[serde(default)]
    id_type: Option<String>,
    #[serde(borrow, default)]
    document: Option<&'a RawValue>,
    #[serde(default)]
    property: Option<String>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
}

impl ChangeShape<'_> {
    pub(super) fn change(self) -> Result<Change> {
        let lsn = self.lsn;
        let lacks = |what| Error::protocol(format!("the change lacks its {what} lsn={lsn}"));
        let id_type = self.id_type.as_deref();
        let id = self.id.map(|id| id.id(id_type)).transpose()?;
        let bytes = |raw: &RawValue| raw.get().as_bytes().to_vec();
        let event = match self.op.as_str() {
            "put" => Event::Put(Document {
                id: id.ok_or_else(|| lacks("id"))?,
                revision: lsn,
                expires_at: None,
                bytes: bytes(self.document.ok_or_else(|| lacks("document"))?),
            }),
            "delete" => Event::Deleted(id.ok_or_else(|| lacks("id"))?),
            "create_collection" => Event::CollectionCreated,
            "drop_collection" => Event::CollectionDropped,
            "set_property" => Event::PropertySet {
                property: self.property.ok_or_else(|| lacks("property"))?,
                value: self.value.map(bytes),
            },
            other => {
                return Err(Error::protocol(format!("a change of an unknown kind: `{other}`")));
            }
        };
        Ok(Change { lsn, collection: self.collection.unwrap_or_default(), event })
    }
}

/// A document that was read by itself.
pub(super) fn found(id: &wire::Id<'_>, revision: u64, bytes: Vec<u8>) -> Outcome {
    let id = id.clone().into_owned();
    Outcome::Found(Document { id, revision, expires_at: None, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_with_and_without_their_type() {
        let check = |json: &str, id_type: Option<&str>, expect: Option<Id>| {
            let shape: IdShape = serde_json::from_str(json).unwrap();
            assert_eq!(shape.id(id_type).ok(), expect, "{json} {id_type:?}");
        };
        let uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let quoted = format!("\"{uuid}\"");
        let is_uuid = Some(Id::Uuid(Uuid::parse_str(uuid).unwrap()));
        check("18446744073709551615", None, Some(Id::U64(u64::MAX)));
        check("\"18446744073709551615\"", Some("u64"), Some(Id::U64(u64::MAX)));
        check("\"7\"", None, Some(Id::from("7".to_owned())));
        check("\"7\"", Some("uuid"), None);
        check(&quoted, None, is_uuid.clone());
        check(&quoted, Some("uuid"), is_uuid);
        check(&quoted, Some("string"), Some(Id::from(uuid.to_owned())));
    }

    #[test]
    fn a_batch_keeps_the_bytes_of_documents() {
        let document = br#"{"n":  1.500, "u": "\u00e4"}"#;
        let ops = [Op::upsert("c", 7, document).if_revision(3), Op::delete("c", "7")];
        let json = String::from_utf8(Batch::new(&ops).unwrap().json().unwrap()).unwrap();
        let text = std::str::from_utf8(document).unwrap();
        let expect = format!(
            r#"{{"operations":[{{"op":"put","collection":"c","id":"7","id_type":"u64","document":{text},"if_revision":3}},{{"op":"delete","collection":"c","id":"7","id_type":"string"}}]}}"#
        );
        assert_eq!(json, expect);
    }

    #[test]
    fn a_document_that_is_no_json_does_not_become_part_of_a_batch() {
        let ops = [Op::delete("c", 1), Op::create("c", 2, "{\"a\":1}, {")];
        let error = Batch::new(&ops).unwrap_err();
        assert!(error.is(crate::ErrorCode::InvalidJson), "{error}");
        assert_eq!(error.operation(), Some(1));
    }
}
