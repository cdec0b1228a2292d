//! Writes of a namespace as its clients send them: rows and columns, patches, deletions, filters and
//! conditions, schema and copies, all in one body.
//!
//! A row becomes a document: its attributes keep their JSON text, `vector` becomes base64, `id` is the key
//! and is not repeated, and what is null is left out.

use std::sync::Arc;

use base::document::Document;
use base::error::Code;
use base::limits::DOCUMENT_BYTES_MAX;
use base::words::{DocId, Name};
use docstore::patch::{Operation, Patch, Pointer};
use search::filter::Filter;
use search::json::{Json, Kind};
use search::schema::metric_name;
use search::vector::Metric;
use serde_json::value::RawValue;

use super::super::error::{Failure, Result};
use super::super::id;
use super::super::rows::packed;
use crate::engine::EngineError;
use crate::engine::namespaces::{NamespaceWrite, RowCondition, RowOp, RowWrite};

/// Most rows that one request deletes by a filter.
pub(in super::super) const DELETED_BY_FILTER_MAX: usize = 500_000;
/// Most rows that one request patches by a filter.
pub(in super::super) const PATCHED_BY_FILTER_MAX: usize = 50_000;
/// Most rows of one request: their descriptions take more memory than their text.
const ROWS_MAX: usize = 100_000;

/// A body that was read.
#[derive(Debug, Default)]
pub(in super::super) struct WriteBody {
    pub(in super::super) write: NamespaceWrite,
    pub(in super::super) delete_by_filter: Option<ByFilter>,
    pub(in super::super) patch_by_filter: Option<(ByFilter, Arc<Patch>)>,
    /// Whether the ids of rows are answered.
    pub(in super::super) returns_ids: bool,
    /// The namespace that this one is to be a copy of.
    pub(in super::super) copy_of: Option<Name>,
}

/// Rows that a filter is to find.
#[derive(Debug, Clone)]
pub(in super::super) struct ByFilter {
    pub(in super::super) filter: Filter,
    /// Whether to take the first when there are too many.
    pub(in super::super) allow_partial: bool,
}

/// Reads a body.
///
/// # Errors
/// The answer to one that is none, with the member that is at fault.
pub(in super::super) fn read(body: &[u8]) -> Result<WriteBody> {
    let json = parsed(body)?;
    let Some(members) = json.members() else {
        return Err(Failure::bad("a write is a JSON object"));
    };
    let mut read = WriteBody::default();
    for (name, value) in members.filter(|(_, value)| value.kind() != Kind::Null) {
        read.member(&name, value, json)?;
    }
    // In this order, whatever order the members have.
    for (name, is_patch) in [("upsert", false), ("patch", true)] {
        let member = |kind: &str| json.get(&format!("{name}_{kind}"));
        if let Some(rows) = member("rows").filter(|rows| rows.kind() != Kind::Null) {
            read.rows(rows, is_patch)?;
        }
        if let Some(columns) = member("columns").filter(|columns| columns.kind() != Kind::Null) {
            read.columns(columns, is_patch)?;
        }
    }
    if let Some(deletes) = json.get("deletes").filter(|deletes| deletes.kind() != Kind::Null) {
        let ids = deletes.elements().ok_or_else(|| Failure::bad("deletes is an array of ids"))?;
        for id in ids {
            let id = id_of(id)?;
            read.push(RowWrite { id, op: RowOp::Delete, is_found: false })?;
        }
    }
    Ok(read)
}

/// A body that is JSON, and may be larger than a document.
pub(in super::super) fn parsed(body: &[u8]) -> Result<Json<'_>> {
    if body.len() <= DOCUMENT_BYTES_MAX {
        return Json::parse(body).map_err(|error| EngineError::from(error).into());
    }
    // Keys that are there twice are found in the documents that are made of it.
    serde_json::from_slice::<&RawValue>(body)
        .map(|_| Json::of_text(body))
        .map_err(|error| Failure::new(Code::InvalidJson, format!("the body is not JSON: {error}")))
}

fn id_of(json: Json<'_>) -> Result<DocId> {
    id::from_json(&json.text(), None)
}

/// The metric of this name.
pub(in super::super) fn metric_of(json: Json<'_>) -> Result<Metric> {
    let name = json.string().unwrap_or_default();
    let all = [Metric::Cosine, Metric::EuclideanSquared, Metric::Dot];
    all.into_iter().find(|metric| metric_name(*metric) == name).ok_or_else(|| {
        let what = "distance_metric is cosine_distance, euclidean_squared or dot";
        Failure::bad(what)
    })
}

fn unsupported(what: &'static str) -> Failure {
    Failure::new(Code::Unsupported, what)
}

fn flag(name: &str, json: Json<'_>) -> Result<bool> {
    match json.kind() {
        Kind::Bool(asked) => Ok(asked),
        Kind::Null | Kind::Number | Kind::String | Kind::Array | Kind::Object => {
            Err(Failure::bad(format!("{name} is true or false")))
        }
    }
}

impl WriteBody {
    fn member(&mut self, name: &str, value: Json<'_>, body: Json<'_>) -> Result<()> {
        let condition = || RowCondition::parse(value).map(Some).map_err(EngineError::from);
        let write = &mut self.write;
        match name {
            // Read in their order afterwards.
            "upsert_rows" | "upsert_columns" | "patch_rows" | "patch_columns" | "deletes" => {}
            "distance_metric" => write.schema.metric = Some(metric_of(value)?),
            "schema" => {
                write.schema.declaration = Some(value.text().into_owned().into_bytes().into());
            }
            "upsert_condition" => write.upsert_condition = condition()?,
            "patch_condition" => write.patch_condition = condition()?,
            "delete_condition" => write.delete_condition = condition()?,
            "delete_by_filter" => {
                let filter = Filter::parse(value).map_err(EngineError::from)?;
                let allow_partial = partial(body, "delete_by_filter_allow_partial")?;
                self.delete_by_filter = Some(ByFilter { filter, allow_partial });
            }
            "patch_by_filter" => self.patch_by_filter = Some(patch_by_filter(value, body)?),
            "delete_by_filter_allow_partial" | "patch_by_filter_allow_partial" => {
                flag(name, value)?;
            }
            "return_affected_ids" => self.returns_ids = flag(name, value)?,
            "create_namespace" => write.only_existing = !flag(name, value)?,
            // There is no other back-pressure than that which protects the server.
            "disable_backpressure" => {
                flag(name, value)?;
            }
            "copy_from_namespace" | "branch_from_namespace" => {
                self.copy_of = Some(source_of(name, value, body)?);
            }
            "encryption" => {
                return Err(unsupported("namespaces have no encryption keys of their own here"));
            }
            "sharding" => return Err(unsupported("namespaces are not sharded here")),
            _ => return Err(Failure::bad(format!("a write has no member `{name}`"))),
        }
        Ok(())
    }

    fn push(&mut self, row: RowWrite) -> Result<()> {
        if self.write.ops.len() >= ROWS_MAX {
            return Err(Failure::bad(format!("a write has at most {ROWS_MAX} rows; send several")));
        }
        self.write.ops.push(row);
        Ok(())
    }

    fn row<'a>(
        &mut self,
        id: DocId,
        attributes: impl Iterator<Item = (String, Json<'a>)>,
        is_patch: bool,
    ) -> Result<()> {
        let mut vector = None;
        let op = if is_patch {
            RowOp::Patch(Arc::new(patch_of(attributes, &mut vector)?))
        } else {
            RowOp::Upsert(document_of(attributes, &mut vector)?)
        };
        self.write.vector = self.write.vector.or(vector);
        self.push(RowWrite { id, op, is_found: false })
    }

    fn rows(&mut self, rows: Json<'_>, is_patch: bool) -> Result<()> {
        let rows = rows.elements().ok_or_else(|| Failure::bad("rows are an array of objects"))?;
        for (index, row) in rows.enumerate() {
            let of_row = |failure: Failure| at_row(failure, index);
            let id = row.get("id").ok_or_else(|| Failure::bad(format!("row {index} has no id")))?;
            let id = id_of(id).map_err(of_row)?;
            let members = row.members().into_iter().flatten();
            let attributes = members.filter(|(name, _)| name != "id");
            let attributes = attributes.map(|(name, value)| (name.into_owned(), value));
            self.row(id, attributes, is_patch).map_err(of_row)?;
        }
        Ok(())
    }

    fn columns(&mut self, columns: Json<'_>, is_patch: bool) -> Result<()> {
        let shape = "columns are an object of arrays that are as long as `id`";
        let members = columns.members().ok_or_else(|| Failure::bad(shape))?;
        let (mut ids, mut attributes) = (None, Vec::new());
        for (name, column) in members {
            let column: Vec<Json<'_>> =
                column.elements().ok_or_else(|| Failure::bad(shape))?.collect();
            match &*name {
                "id" => ids = Some(column),
                _ => attributes.push((name.into_owned(), column)),
            }
        }
        let ids = ids.ok_or_else(|| Failure::bad("columns have no column `id`"))?;
        if let Some((name, column)) = attributes.iter().find(|(_, c)| c.len() != ids.len()) {
            let (found, wanted) = (column.len(), ids.len());
            let what = format!("the column `{name}` has {found} values, and `id` has {wanted}");
            return Err(Failure::bad(what));
        }
        for (index, id) in ids.into_iter().enumerate() {
            let of_row = |failure: Failure| at_row(failure, index);
            let id = id_of(id).map_err(of_row)?;
            let row = attributes
                .iter()
                .filter_map(|(name, column)| Some((name.clone(), *column.get(index)?)));
            self.row(id, row, is_patch).map_err(of_row)?;
        }
        Ok(())
    }
}

/// The same failure, of a row.
fn at_row(failure: Failure, index: usize) -> Failure {
    let message = format!("{} row={index}", failure.error.message).into();
    Failure { error: EngineError { message, ..failure.error }, ..failure }
}

fn partial(body: Json<'_>, name: &str) -> Result<bool> {
    match body.get(name).filter(|json| json.kind() != Kind::Null) {
        Some(json) => flag(name, json),
        None => Ok(false),
    }
}

fn patch_by_filter(value: Json<'_>, body: Json<'_>) -> Result<(ByFilter, Arc<Patch>)> {
    let shape = "patch_by_filter is an object of filters and patch";
    let (Some(filter), Some(patch)) = (value.get("filters"), value.get("patch")) else {
        return Err(Failure::bad(shape));
    };
    let filter = Filter::parse(filter).map_err(EngineError::from)?;
    let members = patch.members().ok_or_else(|| Failure::bad(shape))?;
    let mut vector = None;
    let patch = patch_of(members.map(|(name, value)| (name.into_owned(), value)), &mut vector)?;
    let allow_partial = partial(body, "patch_by_filter_allow_partial")?;
    Ok((ByFilter { filter, allow_partial }, Arc::new(patch)))
}

/// The namespace to copy: its name, or an object that says it.
fn source_of(name: &str, value: Json<'_>, body: Json<'_>) -> Result<Name> {
    if body
        .members()
        .into_iter()
        .flatten()
        .any(|(other, json)| other != name && json.kind() != Kind::Null)
    {
        return Err(Failure::bad(format!("{name} stands alone in a write")));
    }
    let others = value.members().into_iter().flatten();
    let foreign =
        others.filter(|(other, json)| other != "source_namespace" && json.kind() != Kind::Null);
    if foreign.count() > 0 {
        return Err(unsupported("a namespace is copied within its database and by its name alone"));
    }
    let source =
        if value.kind() == Kind::Object { value.get("source_namespace") } else { Some(value) };
    let Some(source) = source.and_then(Json::string) else {
        return Err(Failure::bad(format!("{name} names a namespace")));
    };
    Name::new(&source).map_err(|error| EngineError::from(error).into())
}

/// How many elements a vector has; 0 when that cannot be said.
fn dims_of(json: Json<'_>) -> usize {
    match json.string() {
        Some(text) => {
            let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
            (text.len() / 4 * 3).saturating_sub(padding) / 4
        }
        None => json.elements().map_or(0, Iterator::count),
    }
}

/// The text of an attribute as the document has it.
fn text_of(name: &str, value: Json<'_>, vector: &mut Option<usize>) -> String {
    if name == "vector" {
        *vector = vector.or(Some(dims_of(value)));
        // What is no vector keeps its text, and is refused by the schema with its path.
        if let Some(text) = packed(value) {
            return format!("\"{text}\"");
        }
    }
    value.text().into_owned()
}

fn check_name(name: &str) -> Result<()> {
    if name.starts_with('$') {
        let what = format!("names that start with `$` are reserved; take another path=`{name}`");
        return Err(Failure::new(Code::InvalidSchema, what));
    }
    Ok(())
}

/// The document of a row.
pub(in super::super) fn document_of<'a>(
    attributes: impl Iterator<Item = (String, Json<'a>)>,
    vector: &mut Option<usize>,
) -> Result<Document> {
    let mut text = String::from("{");
    for (name, value) in attributes.filter(|(_, value)| value.kind() != Kind::Null) {
        check_name(&name)?;
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&serde_json::Value::from(name.as_str()).to_string());
        text.push(':');
        text.push_str(&text_of(&name, value, vector));
    }
    text.push('}');
    Document::parse(text.as_bytes()).map_err(|error| EngineError::from(error).into())
}

/// The patch that gives attributes these values; what is null is missing from then on.
fn patch_of<'a>(
    attributes: impl Iterator<Item = (String, Json<'a>)>,
    vector: &mut Option<usize>,
) -> Result<Patch> {
    let mut operations = Vec::new();
    for (name, value) in attributes {
        check_name(&name)?;
        if name == "id" {
            return Err(Failure::bad("a patch does not change the id"));
        }
        let mut found = None;
        let text = text_of(&name, value, &mut found);
        *vector = vector.or(found.filter(|_| value.kind() != Kind::Null));
        let value = Document::parse(text.as_bytes()).map_err(EngineError::from)?;
        let path = Pointer::from_tokens([name.as_str()]).map_err(|kind| {
            Failure::new(Code::InvalidQuery, format!("the attribute `{name}` is refused: {kind}"))
        })?;
        operations.push(Operation::Set { path, value });
    }
    Patch::new(operations).map_err(|error| EngineError::from(error).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ops(body: &str) -> Vec<String> {
        let body = read(body.as_bytes()).unwrap();
        let show = |row: &RowWrite| match &row.op {
            RowOp::Upsert(document) => {
                format!("{}={}", row.id, String::from_utf8_lossy(document.as_bytes()))
            }
            RowOp::Patch(patch) => format!("{}~{}", row.id, patch.operations().len()),
            RowOp::Delete => format!("{}-", row.id),
        };
        body.write.ops.iter().map(show).collect()
    }

    #[test]
    fn rows_and_columns_become_the_same_documents() {
        let expect = [
            r#"1={"vector":"zczMPc3MTD4=","n": 1.50}"#.replace("n\": ", "n\":"),
            r#"x={"vector":"zczMPc3MTD4="}"#.to_owned(),
        ];
        let rows = r#"{"upsert_rows":[{"id":1,"vector":[0.1,0.2],"n": 1.50},
            {"id":"x","vector":"zczMPc3MTD4=","n":null}]}"#;
        let columns = r#"{"upsert_columns":{"id":[1,"x"],"vector":["zczMPc3MTD4=",[0.1,0.2]],"n":[1.50,null]}}"#;
        assert_eq!((ops(rows), ops(columns)), (expect.to_vec(), expect.to_vec()));
        assert_eq!(read(rows.as_bytes()).unwrap().write.vector, Some(2));
    }

    #[test]
    fn operations_have_one_order_whatever_order_their_members_have() {
        let body =
            r#"{"deletes":[3],"patch_rows":[{"id":2,"a":null,"b":1}],"upsert_rows":[{"id":1}]}"#;
        assert_eq!(ops(body), ["1={}", "2~2", "3-"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, code, what) in [
            ("[]", Code::InvalidQuery, "JSON object"),
            ("{", Code::InvalidJson, ""),
            (r#"{"colour":1}"#, Code::InvalidQuery, "`colour`"),
            (r#"{"upsert_rows":[{"n":1}]}"#, Code::InvalidQuery, "row 0 has no id"),
            (r#"{"upsert_rows":[{"id":1},{"id":-1}]}"#, Code::InvalidId, "row=1"),
            (r#"{"upsert_rows":[{"id":1,"$x":1}]}"#, Code::InvalidSchema, "$x"),
            (r#"{"upsert_columns":{"id":[1],"a":[1,2]}}"#, Code::InvalidQuery, "column `a` has 2"),
            (r#"{"upsert_columns":{"a":[1]}}"#, Code::InvalidQuery, "no column `id`"),
            (r#"{"deletes":1}"#, Code::InvalidQuery, "deletes"),
            (r#"{"distance_metric":"hamming"}"#, Code::InvalidQuery, "distance_metric"),
            (r#"{"delete_by_filter":["a"]}"#, Code::InvalidQuery, "filter"),
            (
                r#"{"patch_by_filter":{"filters":["a","Eq",1]}}"#,
                Code::InvalidQuery,
                "patch_by_filter",
            ),
            (r#"{"patch_rows":[{"id":1,"id":2}]}"#, Code::InvalidJson, ""),
            (r#"{"encryption":{}}"#, Code::Unsupported, "encryption"),
            (r#"{"sharding":{}}"#, Code::Unsupported, "sharded"),
            (r#"{"copy_from_namespace":"a","deletes":[1]}"#, Code::InvalidQuery, "alone"),
            (
                r#"{"copy_from_namespace":{"source_namespace":"a","source_region":"x"}}"#,
                Code::Unsupported,
                "within its database",
            ),
        ] {
            let error = read(body.as_bytes()).unwrap_err().error;
            assert!(error.code == code && error.message.contains(what), "{body}: {error:?}");
        }
    }

    #[test]
    fn a_copy_names_its_source_in_either_form() {
        for body in [
            r#"{"copy_from_namespace":"src"}"#,
            r#"{"branch_from_namespace":{"source_namespace":"src","source_api_key":null}}"#,
        ] {
            assert_eq!(read(body.as_bytes()).unwrap().copy_of, Some(Name::new("src").unwrap()));
        }
    }
}
