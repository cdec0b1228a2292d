//! Queries of a namespace as its clients send them: one, or several at one position, whose answers may
//! be fused.

use std::sync::Arc;

use base::words::Name;
use search::json::{Json, Kind};
use search::query::{LIMIT_DEFAULT, LIMIT_MAX, OFFSET_MAX, Query};
use search::schema::Schema;
use search::vector::Metric;

use super::super::error::{Failure, Result};
use super::super::id::{self, IdForm};
use super::super::json::Text;
use super::super::rows::{
    Include, Shown, VectorForm, write_attributes, write_facets, write_groups,
};
use super::write::{metric_of, parsed};
use crate::engine::EngineError;
use crate::engine::namespaces::{
    Answered, Documents, Fusion, QUERIES_MAX, QueryAnswer, QueryAsked,
};
use base::error::Code;

/// A body that was read.
#[derive(Debug)]
pub(in super::super) struct QueryBody {
    pub(in super::super) queries: Vec<One>,
    /// Whether it had several: then the answers are a list.
    pub(in super::super) is_multi: bool,
    pub(in super::super) fusion: Option<Fusion>,
    pub(in super::super) metric: Option<Metric>,
}

/// One query, and how its rows are shown.
#[derive(Debug)]
pub(in super::super) struct One {
    pub(in super::super) query: Query,
    pub(in super::super) shown: Shown,
    pub(in super::super) metric: Option<Metric>,
}

/// Reads a body. `default` is what is shown of a document unless the query says it.
///
/// # Errors
/// The answer to one that is none.
pub(in super::super) fn read(body: &[u8], default: &Include) -> Result<QueryBody> {
    let json = parsed(body)?;
    let Some(queries) = json.get("queries").filter(|queries| queries.kind() != Kind::Null) else {
        let one = one(json, default)?;
        let metric = one.metric;
        return Ok(QueryBody { queries: vec![one], is_multi: false, fusion: None, metric });
    };
    let known = |name: &str| {
        matches!(
            name,
            "queries"
                | "consistency"
                | "vector_encoding"
                | "rerank_by"
                | "limit"
                | "top_k"
                | "offset"
        )
    };
    if let Some((name, _)) = json.members().into_iter().flatten().find(|(name, _)| !known(name)) {
        return Err(Failure::bad(format!("several queries have no member `{name}` beside them")));
    }
    check_consistency(json)?;
    let Some(elements) = queries.elements() else {
        return Err(Failure::bad("queries are an array"));
    };
    let mut all: Vec<One> = Vec::new();
    for (index, query) in elements.enumerate() {
        if index == QUERIES_MAX {
            return Err(Failure::bad(format!("a request has at most {QUERIES_MAX} queries")));
        }
        all.push(one(query, default).map_err(|failure| of_query(failure, index))?);
    }
    if all.is_empty() {
        return Err(Failure::bad("queries are an array of at least one"));
    }
    let vectors = VectorForm::parse(json)?;
    if json.get("vector_encoding").is_some() {
        all.iter_mut().for_each(|one| one.shown.vectors = vectors);
    }
    let metric = all.iter().find_map(|one| one.metric);
    if all.iter().any(|one| one.metric.is_some_and(|other| Some(other) != metric)) {
        return Err(Failure::bad("the queries of one request have one distance_metric"));
    }
    let fusion = fusion(json, &all)?;
    Ok(QueryBody { queries: all, is_multi: true, fusion, metric })
}

fn of_query(failure: Failure, index: usize) -> Failure {
    let message = format!("{} query={index}", failure.error.message).into();
    Failure { error: EngineError { message, ..failure.error }, ..failure }
}

/// Reads one query: the members that say how it is answered, and those of the query itself.
fn one(json: Json<'_>, default: &Include) -> Result<One> {
    let Some(members) = json.members() else {
        return Err(Failure::bad("a query is a JSON object"));
    };
    let (mut text, mut metric) = (String::from("{"), None);
    for (name, value) in members.filter(|(_, value)| value.kind() != Kind::Null) {
        match &*name {
            "include_attributes" | "exclude_attributes" | "vector_encoding" => {}
            "consistency" => check_consistency(json)?,
            "distance_metric" => metric = Some(metric_of(value)?),
            "compute_attributes" => {
                return Err(unsupported("attributes are not computed here; rank by expressions"));
            }
            "rerank_by" => return Err(unsupported("rerank_by is for several queries")),
            _ => {
                if text.len() > 1 {
                    text.push(',');
                }
                text.push_str(&serde_json::Value::from(&*name).to_string());
                text.push(':');
                text.push_str(&value.text());
            }
        }
    }
    text.push('}');
    let query = Query::parse(parsed(text.as_bytes())?).map_err(EngineError::from)?;
    Ok(One { query, shown: Shown::parse(json, default.clone())?, metric })
}

fn unsupported(what: &'static str) -> Failure {
    Failure::new(Code::Unsupported, what)
}

/// Every answer is of the newest position, which is more than any level asks for.
fn check_consistency(json: Json<'_>) -> Result<()> {
    let Some(consistency) = json.get("consistency").filter(|json| json.kind() != Kind::Null) else {
        return Ok(());
    };
    let level = consistency.get("level").and_then(Json::string);
    match level.as_deref() {
        Some("strong" | "eventual") => Ok(()),
        _ => Err(Failure::bad("consistency is an object whose level is strong or eventual")),
    }
}

fn number(json: Json<'_>, name: &str, max: usize) -> Result<Option<usize>> {
    let Some(json) = json.get(name).filter(|json| json.kind() != Kind::Null) else {
        return Ok(None);
    };
    let found = json.number().and_then(|text| text.parse().ok());
    let found = found.filter(|number| *number <= max);
    let bad = || Failure::bad(format!("{name} is an integer from 0 to {max}"));
    Ok(Some(found.ok_or_else(bad)?))
}

/// Reads `rerank_by` with its limit and offset.
fn fusion(json: Json<'_>, queries: &[One]) -> Result<Option<Fusion>> {
    let limit = match number(json, "limit", LIMIT_MAX)? {
        Some(limit) => Some(limit),
        None => number(json, "top_k", LIMIT_MAX)?,
    };
    let offset = number(json, "offset", OFFSET_MAX)?;
    let Some(rerank) = json.get("rerank_by").filter(|json| json.kind() != Kind::Null) else {
        if limit.is_some() || offset.is_some() {
            let what =
                "limit and offset beside several queries need rerank_by; each query has its own";
            return Err(Failure::bad(what));
        }
        return Ok(None);
    };
    let shape = "rerank_by is [\"RRF\"] or [\"RRF\",{\"rank_constant\":60,\"weights\":[…]}]";
    let bad = || Failure::bad(shape);
    let parts: Vec<Json<'_>> = rerank.elements().into_iter().flatten().take(3).collect();
    let options = match parts.as_slice() {
        [name] if name.string().as_deref() == Some("RRF") => None,
        [name, options] if name.string().as_deref() == Some("RRF") => Some(*options),
        _ => return Err(bad()),
    };
    let (mut constant, mut weights) = (60.0, Vec::new());
    for (name, value) in options.and_then(Json::members).into_iter().flatten() {
        match &*name {
            "rank_constant" => constant = positive(value).ok_or_else(bad)?,
            "weights" => {
                let elements = value.elements().ok_or_else(bad)?;
                weights = elements.map(positive).collect::<Option<_>>().ok_or_else(bad)?;
            }
            _ => return Err(bad()),
        }
    }
    if !weights.is_empty() && weights.len() != queries.len() {
        return Err(Failure::bad("rerank_by has as many weights as there are queries"));
    }
    if queries.iter().any(|one| !one.query.has_rows() || one.query.cursor.is_some()) {
        return Err(Failure::bad("rerank_by fuses queries for rows, without cursors"));
    }
    let longest = || queries.iter().map(|one| one.query.limit).max().unwrap_or(LIMIT_DEFAULT);
    let limit = limit.unwrap_or_else(longest);
    Ok(Some(Fusion { constant, weights, offset: offset.unwrap_or(0), limit }))
}

/// A number that is not negative.
fn positive(json: Json<'_>) -> Option<f64> {
    json.number()?.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

impl QueryBody {
    /// What the engine is asked.
    pub(in super::super) fn asked(&self, collection: Name, of_namespace: bool) -> QueryAsked {
        let fetch = self.queries.iter().any(|one| one.shown.documents() == Documents::Fetch);
        QueryAsked {
            collection,
            queries: self.queries.iter().map(|one| one.query.clone()).collect(),
            fusion: self.fusion.clone(),
            documents: if fetch { Documents::Fetch } else { Documents::Leave },
            metric: self.metric,
            of_namespace,
        }
    }

    /// How the rows of an answer are shown: fused ones as the first query that shows something says.
    pub(in super::super) fn of_answer(&self, index: usize) -> Option<&One> {
        if self.fusion.is_none() {
            return self.queries.get(index);
        }
        let shows = |one: &&One| one.shown.documents() == Documents::Fetch;
        self.queries.iter().find(shows).or_else(|| self.queries.first())
    }
}

/// Writes the rows and numbers of one answer, as members.
pub(in super::super) fn write_answer(
    out: &mut Text,
    one: &One,
    answer: &QueryAnswer,
    schema: Option<&Arc<Schema>>,
    is_fused: bool,
) {
    if is_fused || one.query.has_rows() || one.query.aggregates.is_empty() {
        out.member("rows").open(b'[');
        for row in &answer.rows {
            out.element().open(b'{');
            id::write(out, &row.id, IdForm::Json);
            if let Some(dist) = row.dist {
                out.member("$dist").raw(format!("{dist:?}").as_bytes());
            }
            if let Some(stored) = &row.stored {
                let schema = schema.map(Arc::as_ref);
                write_attributes(out, &stored.document, schema, &one.shown);
            }
            out.close(b'}');
        }
        out.close(b']');
    }
    if is_fused {
        return;
    }
    write_groups(out, &one.query, &answer.groups);
    write_facets(out, &one.query, answer);
    if let Some(cursor) = &answer.cursor {
        out.member("next_cursor").string(cursor);
    }
}

/// The whole answer, as clients of namespaces expect it.
pub(in super::super) fn answer(body: &QueryBody, answered: &Answered, took_ms: u64) -> Vec<u8> {
    let is_fused = body.fusion.is_some();
    let mut out = Text::object();
    let schema = answered.schema.as_ref();
    if body.is_multi && !is_fused {
        out.member("results").open(b'[');
    }
    for (index, answer) in answered.answers.iter().enumerate() {
        let Some(one) = body.of_answer(index) else { continue };
        if body.is_multi && !is_fused {
            out.element().open(b'{');
        }
        write_answer(&mut out, one, answer, schema, is_fused);
        if body.is_multi && !is_fused {
            out.close(b'}');
        }
    }
    if body.is_multi && !is_fused {
        out.close(b']');
    }
    write_billing(&mut out);
    write_performance(&mut out, answered, took_ms);
    out.end()
}

/// Nothing is billed.
fn write_billing(out: &mut Text) {
    out.member("billing")
        .raw(br#"{"billable_logical_bytes_queried":0,"billable_logical_bytes_returned":0}"#);
}

fn write_performance(out: &mut Text, answered: &Answered, took_ms: u64) {
    out.member("performance").open(b'{');
    out.member("approx_namespace_size").number(answered.documents);
    // Documents are read where they are: nothing has to be fetched into a cache first.
    out.member("cache_hit_ratio").raw(b"1.0");
    out.member("cache_temperature").string("hot");
    out.member("exhaustive_search_count").number(answered.work.scanned);
    let ms = u64::try_from(answered.took.as_millis()).unwrap_or(u64::MAX);
    out.member("query_execution_ms").number(ms);
    out.member("server_total_ms").number(took_ms);
    out.close(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_body(text: &str) -> Result<QueryBody> {
        read(text.as_bytes(), &Include::Nothing)
    }

    #[test]
    fn one_query_and_several_are_read() {
        let body = read_body(
            r#"{"consistency":{"level":"eventual"},"filters":["And",[["t","Eq","a"],["n","Gte",3]]],
                "include_attributes":["title"],"rank_by":["vector","ANN",[0.1,0.2]],"top_k":7}"#,
        )
        .unwrap();
        assert!(!body.is_multi && body.queries[0].query.limit == 7);
        let body = read_body(
            r#"{"queries":[{"rank_by":["a","asc"],"limit":3},{"rank_by":["b","desc"],"limit":5}],
                "rerank_by":["RRF",{"rank_constant":10,"weights":[1,0.5]}],"offset":2}"#,
        )
        .unwrap();
        let fusion = Fusion { constant: 10.0, weights: vec![1.0, 0.5], offset: 2, limit: 5 };
        assert_eq!((body.is_multi, body.fusion), (true, Some(fusion)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, code, what) in [
            ("[]", Code::InvalidQuery, "JSON object"),
            (r#"{"colour":1}"#, Code::InvalidQuery, "colour"),
            (r#"{"consistency":{"level":"weak"}}"#, Code::InvalidQuery, "consistency"),
            (r#"{"compute_attributes":{}}"#, Code::Unsupported, "computed"),
            (r#"{"queries":[]}"#, Code::InvalidQuery, "at least one"),
            (r#"{"queries":{}}"#, Code::InvalidQuery, "an array"),
            (r#"{"queries":[{"limit":-1}]}"#, Code::InvalidQuery, "query=0"),
            (r#"{"queries":[{}],"filters":["a","Eq",1]}"#, Code::InvalidQuery, "filters"),
            (r#"{"queries":[{}],"limit":3}"#, Code::InvalidQuery, "need rerank_by"),
            (
                r#"{"queries":[{}],"rerank_by":["RRF",{"weights":[1,2]}]}"#,
                Code::InvalidQuery,
                "weights",
            ),
            (r#"{"queries":[{}],"rerank_by":["Linear"]}"#, Code::InvalidQuery, "RRF"),
            (r#"{"rank_by":["t","SparseKNN",{"a":1}]}"#, Code::Unsupported, "sparse"),
        ] {
            let error = read_body(text).unwrap_err().error;
            assert!(error.code == code && error.message.contains(what), "{text}: {error:?}");
        }
        let many = format!(r#"{{"queries":[{}]}}"#, vec!["{}"; QUERIES_MAX + 1].join(","));
        assert_eq!(read_body(&many).unwrap_err().error.code, Code::InvalidQuery);
    }
}
