//! Queries of a namespace as its clients send them: one, or several at one position, whose answers may
//! be fused.

use std::sync::Arc;

use base::words::Name;
use search::fusion::Fusion;
use search::json::{Json, Kind};
use search::query::{LIMIT_DEFAULT, LIMIT_MAX, OFFSET_MAX, Query};
use search::schema::Schema;
use search::storage::cache::Temperature;
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
    AccessPath, Answered, Consistency, Documents, Fused, QUERIES_MAX, QueryAnswer, QueryAsked,
};
use base::error::Code;

/// A body that was read.
#[derive(Debug)]
pub(in super::super) struct QueryBody {
    pub(in super::super) queries: Vec<One>,
    /// Whether it had several: then the answers are a list.
    pub(in super::super) is_multi: bool,
    pub(in super::super) fusion: Option<Fused>,
    pub(in super::super) metric: Option<Metric>,
    pub(in super::super) consistency: Consistency,
}

/// One query, and how its rows are shown.
#[derive(Debug)]
pub(in super::super) struct One {
    pub(in super::super) query: Query,
    pub(in super::super) shown: Shown,
    pub(in super::super) metric: Option<Metric>,
    consistency: Consistency,
}

/// Reads a body. `default` is what is shown of a document unless the query says it.
///
/// # Errors
/// The answer to one that is none.
pub(in super::super) fn read(body: &[u8], default: &Include) -> Result<QueryBody> {
    let json = parsed(body)?;
    let Some(queries) = json.get("queries").filter(|queries| queries.kind() != Kind::Null) else {
        let one = one(json, default)?;
        let (metric, consistency) = (one.metric, one.consistency);
        let queries = vec![one];
        return Ok(QueryBody { queries, is_multi: false, fusion: None, metric, consistency });
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
    // All are answered at one position: where one of them must know of everything, all do.
    let consistency = match json.get("consistency").filter(|json| json.kind() != Kind::Null) {
        Some(consistency) => read_consistency(consistency)?,
        None if all.iter().all(|one| one.consistency == Consistency::Eventual) => {
            Consistency::Eventual
        }
        None => Consistency::Strong,
    };
    Ok(QueryBody { queries: all, is_multi: true, fusion, metric, consistency })
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
    let (mut text, mut metric, mut consistency) = (String::from("{"), None, Consistency::Strong);
    for (name, value) in members.filter(|(_, value)| value.kind() != Kind::Null) {
        match &*name {
            "include_attributes" | "exclude_attributes" | "vector_encoding" => {}
            "consistency" => consistency = read_consistency(value)?,
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
    Ok(One { query, shown: Shown::parse(json, default.clone())?, metric, consistency })
}

fn unsupported(what: &'static str) -> Failure {
    Failure::new(Code::Unsupported, what)
}

/// Reads `{"level":"strong"}` or `{"level":"eventual"}`. How old an answer may be at most is asked for with
/// `max_staleness_seconds`: one that is not old at all will do.
fn read_consistency(json: Json<'_>) -> Result<Consistency> {
    let shape = "consistency is an object whose level is strong or eventual";
    let is_known = |name: &str| matches!(name, "level" | "max_staleness_seconds");
    if json.members().is_none_or(|mut members| members.any(|(name, _)| !is_known(&name))) {
        return Err(Failure::bad(shape));
    }
    let staleness = json.get("max_staleness_seconds").filter(|json| json.kind() != Kind::Null);
    if staleness.is_some_and(|staleness| positive(staleness).is_none()) {
        return Err(Failure::bad("max_staleness_seconds is a number of 0 or more"));
    }
    match json.get("level").and_then(Json::string).as_deref() {
        Some("eventual") if staleness.is_none() => Ok(Consistency::Eventual),
        Some("strong" | "eventual") => Ok(Consistency::Strong),
        _ => Err(Failure::bad(shape)),
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
fn fusion(json: Json<'_>, queries: &[One]) -> Result<Option<Fused>> {
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
    let by = Fusion::parse(rerank).map_err(EngineError::from)?;
    let (Fusion::ReciprocalRank { weights, .. } | Fusion::Linear { weights }) = &by;
    if !weights.is_empty() && weights.len() != queries.len() {
        return Err(Failure::bad("rerank_by has as many weights as there are queries"));
    }
    if queries.iter().any(|one| !one.query.has_rows() || one.query.cursor.is_some()) {
        return Err(Failure::bad("rerank_by fuses queries for rows, without cursors"));
    }
    let longest = || queries.iter().map(|one| one.query.limit).max().unwrap_or(LIMIT_DEFAULT);
    let limit = limit.unwrap_or_else(longest);
    Ok(Some(Fused { by, offset: offset.unwrap_or(0), limit }))
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
            consistency: self.consistency,
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
    let (ratio, temperature, exhaustive) = match &answered.access {
        AccessPath::Index(used) => {
            let cache = used.cache();
            let in_memory = used.sum(|query| query.in_memory);
            (cache.hit_ratio().unwrap_or(1.0), cache.temperature(), in_memory)
        }
        // Documents are read where they are: nothing has to be fetched into a cache first.
        AccessPath::Scan(_) => (1.0, Temperature::Hot, answered.work.scanned),
    };
    out.member("performance").open(b'{');
    out.member("approx_namespace_size").number(answered.documents);
    out.member("cache_hit_ratio").raw(format!("{ratio:?}").as_bytes());
    out.member("cache_temperature").string(temperature.name());
    out.member("exhaustive_search_count").number(exhaustive);
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
        let by = Fusion::ReciprocalRank { rank_constant: 10.0, weights: vec![1.0, 0.5] };
        let fused = Fused { by, offset: 2, limit: 5 };
        assert_eq!((body.is_multi, body.fusion), (true, Some(fused)));
    }

    #[test]
    fn an_answer_may_be_old_only_where_every_query_says_so_and_without_a_bound() {
        let eventual = r#"{"consistency":{"level":"eventual"}}"#;
        let check = |text: &str, expect| {
            assert_eq!(read_body(text).unwrap().consistency, expect, "{text}");
        };
        check(eventual, Consistency::Eventual);
        check("{}", Consistency::Strong);
        check(r#"{"consistency":{"level":"strong"}}"#, Consistency::Strong);
        check(
            r#"{"consistency":{"level":"eventual","max_staleness_seconds":60}}"#,
            Consistency::Strong,
        );
        check(&format!(r#"{{"queries":[{eventual},{eventual}]}}"#), Consistency::Eventual);
        check(&format!(r#"{{"queries":[{eventual},{{}}]}}"#), Consistency::Strong);
        check(r#"{"queries":[{},{}],"consistency":{"level":"eventual"}}"#, Consistency::Eventual);
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
            (r#"{"queries":[{}],"rerank_by":["Median"]}"#, Code::InvalidQuery, "RRF"),
            (r#"{"consistency":{"level":"strong","x":1}}"#, Code::InvalidQuery, "consistency"),
            (
                r#"{"consistency":{"level":"eventual","max_staleness_seconds":-1}}"#,
                Code::InvalidQuery,
                "max_staleness",
            ),
            (r#"{"rank_by":["t","SparseKNN",{"a":1}]}"#, Code::Unsupported, "sparse"),
        ] {
            let error = read_body(text).unwrap_err().error;
            assert!(error.code == code && error.message.contains(what), "{text}: {error:?}");
        }
        let many = format!(r#"{{"queries":[{}]}}"#, vec!["{}"; QUERIES_MAX + 1].join(","));
        assert_eq!(read_body(&many).unwrap_err().error.code, Code::InvalidQuery);
    }
}
