//! Docdb's own, simpler shapes of namespaces: `/v1/namespaces/{namespace}`. They lower to the language of
//! `write.rs` and `query.rs`.
//!
//! A row is `{"id":…,"vector":[…],"attributes":{…}}`. A filter is a group,
//! `{"operator":"and","conditions":[…]}`, whose conditions are `{"attribute":"a","op":"Gte","value":3}` or
//! groups again; names of operators are those of the query language, in any case and with `_` between
//! their words if need be.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use base::error::Code;
use base::memory::Reservation;
use base::words::Name;
use docstore::{Effect, IMPORT_ERRORS_MAX};
use search::filter::{FILTER_DEPTH_MAX, Filter, Op};
use search::json::{Json, Kind};
use serde_json::{Value, json};

use super::super::body;
use super::super::bulk::{Line, Lines, is_about_a_line, sorted};
use super::super::call::Call;
use super::super::error::{Failure, Result, as_json};
use super::super::id::{self, IdForm};
use super::super::json::Text;
use super::super::parameters::DATABASE;
use super::super::respond;
use super::super::routes::{Access, Route, Shape, Span, Verb};
use super::super::rows::{Include, write_attributes};
use super::query::{self, QueryBody};
use super::write::{ByFilter, document_of, metric_of, parsed};
use super::{RowsWritten, WriteBody, change_schema, info, read_apart, submit, target, write_body};
use crate::engine::metrics::Operation;
use crate::engine::namespaces::{Answered, Asker, NamespaceWrite, RowOp, RowWrite};
use crate::engine::{Engine, EngineError, Served};

const ONE: &str = "/v1/namespaces/{namespace}";
const UPSERT: &str = "/v1/namespaces/{namespace}/upsert";
const QUERY: &str = "/v1/namespaces/{namespace}/query";
const DELETE: &str = "/v1/namespaces/{namespace}/delete";
const BULK: &str = "/v1/namespaces/{namespace}/bulk";

/// Lines that are written together, at most.
const BATCH_LINES: usize = 1000;
/// A batch ends when its lines exceed this many bytes.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

const BASE: Route = Route {
    verb: Verb::Get,
    path: ONE,
    name: "describe_namespace",
    what: "Describe a namespace: its schema and how much it holds.",
    operation: Operation::Namespaces,
    access: Access::Read,
    span: Span::Bounded,
    takes: &[DATABASE],
    body: Shape::Nothing,
    answers: &[(200, Shape::Json("Namespace"))],
    handler: |call| Box::pin(describe(call)),
};

pub(in super::super) const ROUTES: &[Route] = &[
    BASE,
    Route {
        verb: Verb::Put,
        name: "create_namespace",
        what: "Make a namespace with a schema, or change the schema of one that is there.",
        access: Access::Write,
        body: Shape::Json("SearchSchemaChange"),
        answers: &[(200, Shape::Json("Namespace")), (201, Shape::Json("Namespace"))],
        handler: |call| Box::pin(create(call)),
        ..BASE
    },
    Route {
        verb: Verb::Delete,
        name: "drop_namespace",
        what: "Remove a namespace with its documents.",
        access: Access::Write,
        answers: &[(204, Shape::Nothing)],
        handler: |call| Box::pin(remove(call)),
        ..BASE
    },
    Route {
        verb: Verb::Post,
        path: UPSERT,
        name: "upsert_rows",
        what: "Make or replace rows, all of them or none.",
        operation: Operation::Upsert,
        access: Access::Write,
        body: Shape::Json("Upsert"),
        answers: &[(200, Shape::Json("RowsAffected"))],
        handler: |call| Box::pin(upsert(call)),
        ..BASE
    },
    Route {
        verb: Verb::Post,
        path: QUERY,
        name: "search_namespace",
        what: "Find rows by a vector, by text, by both, or by a filter alone.",
        operation: Operation::Query,
        body: Shape::Json("SimpleQuery"),
        answers: &[(200, Shape::Json("Matches"))],
        handler: |call| Box::pin(find(call)),
        ..BASE
    },
    Route {
        verb: Verb::Post,
        path: DELETE,
        name: "delete_rows",
        what: "Remove rows, by their ids or by a filter.",
        operation: Operation::Upsert,
        access: Access::Write,
        body: Shape::Json("DeleteRows"),
        answers: &[(200, Shape::Json("RowsAffected"))],
        handler: |call| Box::pin(delete(call)),
        ..BASE
    },
    Route {
        verb: Verb::Post,
        path: BULK,
        name: "import_rows",
        what: "Import rows, one a line. Not one transaction: what a refused line or a broken connection \
               leaves is what was imported before.",
        operation: Operation::Import,
        access: Access::Write,
        span: Span::Long,
        body: Shape::Lines,
        answers: &[(200, Shape::Json("RowsImported"))],
        handler: |call| Box::pin(bulk(call)),
        ..BASE
    },
];

async fn described(call: &Call, status: StatusCode) -> Result<Response> {
    let info = info(call).await?;
    let mut out = Text::object();
    out.member("id").string(call.part("namespace")?);
    out.member("documents").number(info.documents);
    if let Some(created) = info.created {
        out.member("created_at").string(&created.rfc3339());
    }
    out.member("undeclared").string(info.schema.undeclared().name());
    out.member("attributes").raw(info.schema.to_json().as_bytes());
    Ok(respond::json_text(status, out.end()))
}

async fn describe(call: Call) -> Result<Response> {
    described(&call, StatusCode::OK).await
}

async fn create(mut call: Call) -> Result<Response> {
    let (database, name) = target(&call)?;
    let body = call.body().await?;
    let change = super::super::search::change_of(&body)?;
    let (made, asked) = (name.clone(), change.clone());
    let ask = |engine: &Arc<Engine>, reply| {
        engine.create_namespace(&database, made, asked, reply);
    };
    match call.ask(ask).await {
        Ok(_) => described(&call, StatusCode::CREATED).await,
        Err(failure) if failure.error.code == Code::CollectionExists => {
            change_schema(&call, &database, name, change).await?;
            described(&call, StatusCode::OK).await
        }
        Err(failure) => Err(failure),
    }
}

async fn remove(call: Call) -> Result<Response> {
    let (database, name) = target(&call)?;
    call.ask(|engine, reply| engine.drop_namespace(&database, name, reply)).await?;
    Ok(respond::nothing(StatusCode::NO_CONTENT))
}

/// Reads one row.
fn row_of(json: Json<'_>, vector: &mut Option<usize>) -> Result<RowWrite> {
    let shape = "a row is {\"id\":…,\"vector\":[…],\"attributes\":{…}}";
    let bad = || Failure::bad(shape);
    let (mut id, mut attributes) = (None, Vec::new());
    for (name, value) in json.members().ok_or_else(bad)? {
        match &*name {
            "id" => id = Some(id::from_json(&value.text(), None)?),
            "vector" => attributes.push((name.into_owned(), value)),
            "attributes" if value.kind() == Kind::Null => {}
            "attributes" => {
                for (name, value) in value.members().ok_or_else(bad)? {
                    if matches!(&*name, "id" | "vector") {
                        let what = format!("`{name}` stands beside the attributes, not among them");
                        return Err(Failure::bad(what));
                    }
                    attributes.push((name.into_owned(), value));
                }
            }
            _ => return Err(Failure::bad(format!("{shape}; found `{name}`"))),
        }
    }
    let id = id.ok_or_else(bad)?;
    let mut dims = None;
    let document = document_of(attributes.into_iter(), &mut dims)?;
    *vector = vector.or(dims);
    Ok(RowWrite { id, op: RowOp::Upsert(document), is_found: false })
}

/// Reads `{"rows":[…],"distance_metric":…}`.
pub(in super::super) fn rows_of(body: &[u8]) -> Result<NamespaceWrite> {
    let json = parsed(body)?;
    let bad = || Failure::bad("rows to write are {\"rows\":[…]}, with distance_metric if need be");
    let mut write = NamespaceWrite::default();
    let mut rows = None;
    for (name, value) in json.members().ok_or_else(bad)? {
        match &*name {
            "rows" => rows = Some(value.elements().ok_or_else(bad)?),
            "distance_metric" if value.kind() == Kind::Null => {}
            "distance_metric" => write.schema.metric = Some(metric_of(value)?),
            _ => return Err(bad()),
        }
    }
    for row in rows.ok_or_else(bad)? {
        let row = row_of(row, &mut write.vector)?;
        write.ops.push(row);
    }
    Ok(write)
}

fn affected(written: &RowsWritten) -> Response {
    respond::json(StatusCode::OK, &json!({ "rows_affected": written.affected() }))
}

async fn upsert(mut call: Call) -> Result<Response> {
    let (database, name) = target(&call)?;
    let body = call.body().await?;
    let write = read_apart(body, rows_of).await?;
    let body = WriteBody { write, ..WriteBody::default() };
    Ok(affected(&write_body(&call, &database, name, body).await?))
}

/// Reads `{"ids":[…]}` or `{"filter":{…}}`.
pub(in super::super) fn deletion_of(body: &[u8]) -> Result<WriteBody> {
    let json = parsed(body)?;
    let bad = || Failure::bad("rows to delete are {\"ids\":[…]} or {\"filter\":{…}}");
    let only = json.members().map(Iterator::count) == Some(1);
    let mut read = WriteBody::default();
    match (json.get("ids"), json.get("filter")) {
        (Some(ids), None) if only => {
            for id in ids.elements().ok_or_else(bad)? {
                let id = id::from_json(&id.text(), None)?;
                read.write.ops.push(RowWrite { id, op: RowOp::Delete, is_found: false });
            }
        }
        (None, Some(filter)) if only => {
            let text = filter_of(filter, 0)?;
            let filter = Filter::parse(parsed(text.as_bytes())?).map_err(EngineError::from)?;
            read.delete_by_filter = Some(ByFilter { filter, allow_partial: false });
        }
        (_, _) => return Err(bad()),
    }
    Ok(read)
}

async fn delete(mut call: Call) -> Result<Response> {
    let (database, name) = target(&call)?;
    let body = call.body().await?;
    let body = read_apart(body, deletion_of).await?;
    Ok(affected(&write_body(&call, &database, name, body).await?))
}

/// A filter in the form of the query language.
fn filter_of(json: Json<'_>, depth: usize) -> Result<String> {
    let shape = "a filter is {\"operator\":\"and\",\"conditions\":[…]} with conditions \
                 {\"attribute\":\"a\",\"op\":\"Eq\",\"value\":1}";
    let bad = || Failure::bad(shape);
    if depth > FILTER_DEPTH_MAX {
        return Err(Failure::bad(format!("a filter is at most {FILTER_DEPTH_MAX} deep")));
    }
    let Some(conditions) = json.get("conditions") else { return condition_of(json) };
    let operator = json.get("operator").and_then(Json::string).ok_or_else(bad)?;
    let name = match operator.to_ascii_lowercase().as_str() {
        "and" => "And",
        "or" => "Or",
        _ => return Err(bad()),
    };
    let conditions = conditions.elements().ok_or_else(bad)?;
    let texts: Vec<String> =
        conditions.map(|condition| filter_of(condition, depth + 1)).collect::<Result<_>>()?;
    Ok(format!("[\"{name}\",[{}]]", texts.join(",")))
}

fn condition_of(json: Json<'_>) -> Result<String> {
    let bad = || Failure::bad("a condition is {\"attribute\":\"a\",\"op\":\"Eq\",\"value\":1}");
    let attribute = json.get("attribute").and_then(Json::string).ok_or_else(bad)?;
    let name = json.get("op").and_then(Json::string).ok_or_else(bad)?;
    let plain = name.replace('_', "").to_ascii_lowercase();
    let op = Op::ALL.into_iter().find(|op| op.name().to_ascii_lowercase() == plain);
    let op = op.ok_or_else(|| Failure::bad(format!("there is no operator `{name}`")))?;
    let value = json.get("value").map_or_else(|| "null".into(), Json::text);
    Ok(format!("[{},\"{}\",{value}]", Value::from(&*attribute), op.name()))
}

/// The same query in the language of `query.rs`.
pub(in super::super) fn query_of(body: &[u8]) -> Result<QueryBody> {
    let json = parsed(body)?;
    let members = json.members().ok_or_else(|| Failure::bad("a query is a JSON object"))?;
    let (mut common, mut ranks): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let mut limit = None;
    for (name, value) in members.filter(|(_, value)| value.kind() != Kind::Null) {
        match &*name {
            "vector" => ranks.push(format!("[\"vector\",\"ANN\",{}]", value.text())),
            "full_text" => ranks.push(text_rank(value)?),
            "filter" => common.push(format!("\"filters\":{}", filter_of(value, 0)?)),
            "top_k" => limit = Some(value.text().into_owned()),
            "metric" => common.push(format!("\"distance_metric\":{}", value.text())),
            "include_attributes" | "include_vector" => {}
            _ => return Err(Failure::bad(format!("a query has no member `{name}`"))),
        }
    }
    common.extend(shown_of(json)?);
    common.extend(limit.iter().map(|limit| format!("\"limit\":{limit}")));
    let one = |rank: Option<&String>| {
        let rank = rank.map(|rank| format!("\"rank_by\":{rank}"));
        let members: Vec<String> = common.iter().cloned().chain(rank).collect();
        format!("{{{}}}", members.join(","))
    };
    let text = match ranks.as_slice() {
        [] => one(None),
        [rank] => one(Some(rank)),
        several => {
            let queries: Vec<String> = several.iter().map(|rank| one(Some(rank))).collect();
            format!("{{\"queries\":[{}],\"rerank_by\":[\"RRF\"]}}", queries.join(","))
        }
    };
    query::read(text.as_bytes(), &Include::Everything)
}

/// `{"field":"title","query":"…"}`, or `{"fields":{"title":2,"body":1},"query":"…"}` with weights.
fn text_rank(json: Json<'_>) -> Result<String> {
    let bad = || Failure::bad("full_text is an object of query and field, or fields with weights");
    let text = json.get("query").filter(|text| text.kind() == Kind::String).ok_or_else(bad)?.text();
    if let Some(field) = json.get("field").and_then(Json::string) {
        return Ok(format!("[{},\"BM25\",{text}]", Value::from(&*field)));
    }
    let fields = json.get("fields").and_then(Json::members).ok_or_else(bad)?;
    let parts = fields.map(|(field, weight)| match weight.kind() {
        Kind::Number => Ok(format!(
            "[\"Product\",{},[{},\"BM25\",{text}]]",
            weight.text(),
            Value::from(&*field)
        )),
        Kind::Null | Kind::Bool(_) | Kind::String | Kind::Array | Kind::Object => Err(bad()),
    });
    let parts: Vec<String> = parts.collect::<Result<_>>()?;
    Ok(format!("[\"Sum\",[{}]]", parts.join(",")))
}

/// Which attributes are shown, as the other language says it.
fn shown_of(json: Json<'_>) -> Result<Option<String>> {
    let flag = |name: &str, default: bool| match json.get(name).map(Json::kind) {
        None | Some(Kind::Null) => Ok(default),
        Some(Kind::Bool(asked)) => Ok(asked),
        Some(_) => Err(Failure::bad(format!("{name} is true or false"))),
    };
    let with_vector = flag("include_vector", false)?;
    let list = json.get("include_attributes").filter(|list| list.kind() == Kind::Array);
    if let Some(list) = list {
        let mut names: Vec<String> =
            list.elements().into_iter().flatten().map(|name| name.text().into_owned()).collect();
        names.extend(with_vector.then(|| "\"vector\"".to_owned()));
        return Ok(Some(format!("\"include_attributes\":[{}]", names.join(","))));
    }
    let all = flag("include_attributes", true)?;
    Ok(match (all, with_vector) {
        (true, true) => None,
        (true, false) => Some("\"exclude_attributes\":[\"vector\"]".to_owned()),
        (false, true) => Some("\"include_attributes\":[\"vector\"]".to_owned()),
        (false, false) => Some("\"include_attributes\":false".to_owned()),
    })
}

async fn find(mut call: Call) -> Result<Response> {
    let (database, name) = target(&call)?;
    let body = call.body().await?;
    let body = query_of(&body)?;
    let asked = body.asked(name, true);
    let (asker, how) = (Asker::default(), call.how());
    let ask = |engine: &Arc<Engine>, reply| {
        engine.query_collection(&database, asked, how, asker.waiting(), reply);
    };
    let answered = call.ask(ask).await?;
    Ok(respond::json_text(StatusCode::OK, matches_of(&body, &answered)))
}

fn matches_of(body: &QueryBody, answered: &Answered) -> Vec<u8> {
    let mut out = Text::object();
    out.member("matches").open(b'[');
    if let (Some(one), Some(answer)) = (body.of_answer(0), answered.answers.first()) {
        for row in &answer.rows {
            out.element().open(b'{');
            id::write(&mut out, &row.id, IdForm::Json);
            if let Some(score) = row.dist {
                out.member("score").raw(format!("{score:?}").as_bytes());
            }
            if let Some(stored) = &row.stored {
                out.member("attributes").open(b'{');
                let schema = answered.schema.as_deref();
                write_attributes(&mut out, &stored.document, schema, &one.shown);
                out.close(b'}');
            }
            out.close(b'}');
        }
    }
    out.close(b']');
    out.member("scanned").number(answered.work.scanned);
    let ms = u64::try_from(answered.took.as_millis()).unwrap_or(u64::MAX);
    out.member("took_ms").number(ms);
    out.end()
}

/// An import under way.
struct Import {
    call: Call,
    database: Arc<Served>,
    name: Name,
    held: Reservation,
    lines: Vec<(u64, Vec<u8>)>,
    bytes: usize,
    report: Report,
}

/// What was done.
#[derive(Debug, Default)]
struct Report {
    lines: u64,
    written: u64,
    refused: u64,
    errors: Vec<(u64, EngineError)>,
}

impl Report {
    fn refuse(&mut self, line: u64, error: EngineError) {
        self.refused += 1;
        if self.errors.len() < IMPORT_ERRORS_MAX {
            self.errors.push((line, EngineError { operation: None, ..error }));
        }
    }

    fn shape(&mut self) -> Value {
        self.errors.sort_by_key(|(line, _)| *line);
        let errors = self.errors.iter();
        let errors = errors.map(|(line, error)| json!({ "line": line, "error": as_json(error) }));
        json!({
            "lines": self.lines,
            "written": self.written,
            "refused": self.refused,
            "errors": errors.collect::<Vec<_>>(),
        })
    }
}

async fn bulk(mut call: Call) -> Result<Response> {
    let (database, name) = target(&call)?;
    let mut body = call.take_body();
    let held = body::reserve(&call.surface)?;
    let (lines, bytes, report) = (Vec::new(), 0, Report::default());
    let mut import = Import { call, database, name, held, lines, bytes, report };
    let mut lines = Lines::default();
    while let Some(piece) = body::next(&mut body, import.call.surface.options.body_timeout).await? {
        let mut rest = &piece[..];
        while let Some(line) = lines.next(&mut rest) {
            import.take(line).await?;
        }
        import.hold(lines.part.len())?;
    }
    if let Some(line) = lines.last() {
        import.take(line).await?;
    }
    import.write().await?;
    Ok(respond::json(StatusCode::OK, &import.report.shape()))
}

impl Import {
    fn hold(&mut self, part: usize) -> Result<()> {
        let (wanted, held) = ((self.bytes + part) as u64, self.held.bytes());
        if wanted > held {
            return self.held.grow(wanted - held).map_err(|e| body::no_memory(&e));
        }
        self.held.shrink(held - wanted);
        Ok(())
    }

    async fn take(&mut self, line: Line) -> Result<()> {
        self.report.lines += 1;
        let number = self.report.lines;
        match sorted(line) {
            Err(error) => self.report.refuse(number, error),
            Ok(None) => {}
            Ok(Some(line)) => {
                self.bytes += line.len();
                self.lines.push((number, line));
            }
        }
        if self.lines.len() >= BATCH_LINES || self.bytes > BATCH_BYTES {
            self.write().await?;
        }
        Ok(())
    }

    /// Writes the batch; a row that is refused splits it in two.
    async fn write(&mut self) -> Result<()> {
        let lines = std::mem::take(&mut self.lines);
        self.bytes = 0;
        let read = tokio::task::spawn_blocking(move || read_lines(lines)).await;
        let read = read.map_err(|_| Failure::new(Code::Internal, "reading lines panicked"))?;
        for (line, error) in read.refused {
            self.report.refuse(line, error);
        }
        let mut parts = vec![read.rows];
        while let Some(mut part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let ops = part.iter().map(|(_, row)| row.clone()).collect();
            let write = NamespaceWrite { ops, vector: read.vector, ..NamespaceWrite::default() };
            let (call, name) = (&self.call, self.name.clone());
            match submit(call, &self.database, name, &Arc::new(write)).await {
                Ok(effects) => {
                    let done = effects.iter().filter(|effect| **effect != Effect::Skipped);
                    self.report.written += done.count() as u64;
                }
                Err(Failure { error, .. }) if is_about_a_line(error.code) => {
                    let at = error.operation.unwrap_or(0).min(part.len() - 1);
                    let behind = part.split_off(at + 1);
                    if let Some((line, _)) = part.pop() {
                        self.report.refuse(line, error);
                    }
                    parts.extend([behind, part]);
                }
                Err(failure) => return Err(self.stopped(failure)),
            }
        }
        Ok(())
    }

    fn stopped(&self, failure: Failure) -> Failure {
        let message = format!(
            "the import stopped: {}; before that rows were imported, written={}",
            failure.error.message, self.report.written
        );
        let error = EngineError { message: message.into(), operation: None, ..failure.error };
        Failure { error, ..failure }
    }
}

/// Lines that were read.
struct Read {
    rows: Vec<(u64, RowWrite)>,
    vector: Option<usize>,
    refused: Vec<(u64, EngineError)>,
}

fn read_lines(lines: Vec<(u64, Vec<u8>)>) -> Read {
    let mut read = Read { rows: Vec::new(), vector: None, refused: Vec::new() };
    for (number, line) in lines {
        match parsed(&line).and_then(|json| row_of(json, &mut read.vector)) {
            Ok(row) => read.rows.push((number, row)),
            Err(failure) => read.refused.push((number, failure.error)),
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use search::query::RankBy;

    use super::*;

    #[test]
    fn a_filter_of_groups_is_one_of_the_query_language() {
        let text = br#"{"operator":"and","conditions":[{"attribute":"n","op":"gte","value":3},
            {"operator":"OR","conditions":[{"attribute":"t","op":"not_in","value":["a"]},
            {"attribute":"gone","op":"Eq"}]}]}"#;
        assert_eq!(
            filter_of(Json::parse(text).unwrap(), 0).unwrap(),
            r#"["And",[["n","Gte",3],["Or",[["t","NotIn",["a"]],["gone","Eq",null]]]]]"#
        );
        for bad in [
            r#"{"operator":"xor","conditions":[]}"#,
            r#"{"conditions":[]}"#,
            r#"{"attribute":"a","op":"about","value":1}"#,
            r#"{"op":"eq","value":1}"#,
            "[]",
        ] {
            assert!(filter_of(Json::parse(bad.as_bytes()).unwrap(), 0).is_err(), "{bad}");
        }
        let deep = |depth| {
            let open = r#"{"operator":"and","conditions":["#.repeat(depth);
            format!("{open}{}", "]}".repeat(depth))
        };
        let read = |text: &str| filter_of(Json::parse(text.as_bytes()).unwrap(), 0);
        assert!(
            read(&deep(FILTER_DEPTH_MAX)).is_ok() && read(&deep(FILTER_DEPTH_MAX + 2)).is_err()
        );
    }

    #[test]
    fn a_query_is_one_of_the_query_language() {
        let body = query_of(
            br#"{"vector":[0.5,1],"top_k":3,"metric":"dot","filter":{"attribute":"n","op":"eq","value":1}}"#,
        )
        .unwrap();
        let query = &body.queries[0].query;
        assert!(matches!(query.rank_by, Some(RankBy::Nearest(_))) && query.filter.is_some());
        assert_eq!(query.limit, 3);
        assert!(query_of(b"{}").unwrap().queries[0].query.rank_by.is_none());
        for bad in [&b"[]"[..], br#"{"k":1}"#, br#"{"include_vector":1}"#, br#"{"full_text":"x"}"#]
        {
            assert_eq!(query_of(bad).unwrap_err().error.code, Code::InvalidQuery);
        }
    }

    #[test]
    fn rows_to_write_and_to_delete_are_read() {
        let write = rows_of(
            br#"{"rows":[{"id":1,"vector":[1,2],"attributes":{"a":1}},{"id":"x"}],"distance_metric":"dot"}"#,
        )
        .unwrap();
        assert_eq!((write.ops.len(), write.vector), (2, Some(2)));
        assert_eq!(deletion_of(br#"{"ids":[1,"x"]}"#).unwrap().write.ops.len(), 2);
        let filter = br#"{"filter":{"attribute":"a","op":"eq","value":1}}"#;
        assert!(deletion_of(filter).unwrap().delete_by_filter.is_some());
        for bad in [&b"{}"[..], br#"{"ids":[1],"filter":{}}"#, br#"{"ids":1}"#] {
            assert!(deletion_of(bad).is_err());
        }
        for bad in [
            &br#"{"rows":[{"attributes":{}}]}"#[..],
            br#"{"rows":[{"id":1,"title":"x"}]}"#,
            br#"{"rows":[{"id":1,"attributes":{"vector":[1]}}]}"#,
            br"{}",
        ] {
            assert!(rows_of(bad).is_err());
        }
    }
}
