//! A schema for queries of a collection that has none: the attributes that the queries name, with the
//! types that they have in the documents.
//!
//! Costs one pass over the documents that the query will look at. Where an attribute has values of types
//! that no common one holds, nobody knows what comparing them should mean, and the query is refused with
//! the two documents.

use std::collections::BTreeMap;

use base::error::Code;
use base::words::DocId;
use search::filter::{Filter, Op, Operand};
use search::json::{Json, Kind};
use search::path::Path;
use search::query::{Query, RankBy};
use search::rank::Rank;
use search::schema::{Schema, Undeclared, metric_name};
use search::value::{Scalar, Value, ValueType, natural};
use search::vector::Metric;

use super::super::error::{EngineError, Result};
use super::scan::Pass;

/// What is known of an attribute so far.
#[derive(Debug, Default)]
struct Seen {
    /// Its type, and a document that has it so.
    found: Option<(ValueType, DocId)>,
    has_negative: bool,
    /// What it is compared with, for one that no document has.
    asked: Option<ValueType>,
}

/// The schema for some queries.
pub(super) fn schema(pass: &Pass<'_>, queries: &[Query], metric: Metric) -> Result<Schema> {
    let mut named = Named { attributes: BTreeMap::new(), vectors: BTreeMap::new() };
    queries.iter().for_each(|query| named.query(query));
    let Named { mut attributes, vectors } = named;
    attributes.retain(|path, _| !path.is_id() && !vectors.contains_key(path));
    if !attributes.is_empty() {
        pass.snapshot.each(pass.collection, pass.patience, pass.most, |id, stored| {
            let document = Json::of(&stored.document);
            for (path, seen) in &mut attributes {
                if let Some(value) = at(document, path) {
                    seen.add(path, value, &id)?;
                }
            }
            Ok(())
        })?;
    }
    let mut declared: Vec<String> = Vec::new();
    for (path, seen) in &attributes {
        let found = seen.found.as_ref().map(|(found, _)| *found);
        let asked = || seen.asked.unwrap_or(ValueType::one(Scalar::String));
        let value_type = found.unwrap_or_else(asked);
        declared.push(format!("{}:\"{value_type}\"", quoted(path)));
    }
    for (path, dims) in vectors {
        let metric = metric_name(metric);
        let vector = format!(r#"{{"type":"[{dims}]f32","distance_metric":"{metric}"}}"#);
        declared.push(format!("{}:{vector}", quoted(&path)));
    }
    let text = format!("{{{}}}", declared.join(","));
    let request = Json::parse(text.as_bytes())?;
    Ok(Schema::new(Undeclared::Ignore).declare(request, None)?.schema)
}

fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.to_string()).to_string()
}

/// The value at a path; none when it is missing or null. Arrays are not stepped into.
pub(super) fn at<'a>(document: Json<'a>, path: &Path) -> Option<Json<'a>> {
    let found = path.keys().iter().try_fold(document, |json, key| json.get(key))?;
    (found.kind() != Kind::Null).then_some(found)
}

impl Seen {
    fn add(&mut self, path: &Path, value: Json<'_>, id: &DocId) -> Result<()> {
        let Some(elements) = value.elements() else {
            return self.scalar(path, value, false, id);
        };
        elements.into_iter().try_for_each(|element| self.scalar(path, element, true, id))
    }

    fn scalar(&mut self, path: &Path, value: Json<'_>, is_array: bool, id: &DocId) -> Result<()> {
        let refuse = |what: String| {
            let what = format!("{what}; a search schema says what the attribute is at=`{path}`");
            Err(EngineError::new(Code::InvalidQuery, what))
        };
        let scalar = match natural(value) {
            Ok(value) => scalar_of(&value),
            Err(reason) => return refuse(format!("{reason} id={id}")),
        };
        self.has_negative |= value.number().is_some_and(|text| text.starts_with('-'));
        let Some((before, first)) = &mut self.found else {
            self.found = Some((ValueType { scalar, is_array }, id.clone()));
            return Ok(());
        };
        let joined = join(before.scalar, scalar, self.has_negative);
        match joined.filter(|_| before.is_array == is_array) {
            Some(scalar) => {
                before.scalar = scalar;
                Ok(())
            }
            None => {
                let now = ValueType { scalar, is_array };
                refuse(format!("the attribute is {before} in document {first} and {now} in {id}"))
            }
        }
    }
}

/// The type that holds the values of both, if one does.
fn join(a: Scalar, b: Scalar, has_negative: bool) -> Option<Scalar> {
    if a == b {
        return (a != Scalar::Uint || !has_negative).then_some(a);
    }
    match (a, b) {
        (Scalar::Int, Scalar::Uint) | (Scalar::Uint, Scalar::Int) => {
            (!has_negative).then_some(Scalar::Uint)
        }
        (a, b) if a.is_number() && b.is_number() => Some(Scalar::Float),
        (_, _) => None,
    }
}

fn scalar_of(value: &Value) -> Scalar {
    match value {
        Value::Bool(_) => Scalar::Bool,
        Value::Int(_) => Scalar::Int,
        Value::Uint(_) => Scalar::Uint,
        Value::Float(_) => Scalar::Float,
        Value::DateTime(_) => Scalar::DateTime,
        Value::Uuid(_) => Scalar::Uuid,
        Value::String(_) | Value::Array(_) => Scalar::String,
    }
}

/// Whether a test is about the elements of an array.
fn tests_elements(op: Op) -> bool {
    matches!(
        op,
        Op::Contains
            | Op::NotContains
            | Op::ContainsAny
            | Op::NotContainsAny
            | Op::AnyLt
            | Op::AnyLte
            | Op::AnyGt
            | Op::AnyGte
    )
}

/// The attributes and vectors that queries name.
struct Named {
    attributes: BTreeMap<Path, Seen>,
    /// With the number of their elements.
    vectors: BTreeMap<Path, usize>,
}

impl Named {
    fn attribute(&mut self, path: &Path, asked: Option<ValueType>) {
        let seen = self.attributes.entry(path.clone()).or_default();
        seen.asked = seen.asked.or(asked);
    }

    fn query(&mut self, query: &Query) {
        match &query.rank_by {
            None => {}
            Some(RankBy::Nearest(nearest)) => {
                self.vectors.insert(nearest.path.clone(), nearest.vector.len());
            }
            Some(RankBy::Score(rank)) => self.rank(rank),
            Some(RankBy::Order(keys)) => {
                keys.iter().for_each(|key| self.attribute(&key.path, None));
            }
        }
        query.filter.iter().for_each(|filter| self.filter(filter));
        for (_, aggregate) in &query.aggregates {
            let number = Some(ValueType::one(Scalar::Float));
            aggregate.path().into_iter().for_each(|path| self.attribute(path, number));
        }
        let per = query.limit_per.iter().flat_map(|per| &per.attributes);
        let facets = query.facets.iter().map(|facet| &facet.path);
        query.group_by.iter().chain(per).chain(facets).for_each(|path| self.attribute(path, None));
    }

    fn filter(&mut self, filter: &Filter) {
        match filter {
            Filter::And(filters) | Filter::Or(filters) => {
                filters.iter().for_each(|filter| self.filter(filter));
            }
            Filter::Not(filter) => self.filter(filter),
            Filter::Test(test) => {
                let scalar = match &test.operand {
                    Operand::One(value) => value.as_ref().map(scalar_of),
                    Operand::Many(values) => values.iter().flatten().next().map(scalar_of),
                    Operand::Fuzzy { .. } | Operand::Tokens { .. } | Operand::RefNew(_) => None,
                };
                let is_array = tests_elements(test.op);
                self.attribute(&test.path, scalar.map(|scalar| ValueType { scalar, is_array }));
            }
        }
    }

    /// Expressions are bounded in depth.
    fn rank(&mut self, rank: &Rank) {
        match rank {
            Rank::Constant(_) => {}
            // Words need a schema that says how text is cut into them: refused when it is compiled.
            Rank::Text(text) => self.attribute(&text.path, Some(ValueType::one(Scalar::String))),
            Rank::Attribute(path) => self.attribute(path, Some(ValueType::one(Scalar::Float))),
            Rank::Filter(filter) => self.filter(filter),
            Rank::Sum(ranks) | Rank::Max(ranks) | Rank::Product(ranks) => {
                ranks.iter().for_each(|rank| self.rank(rank));
            }
            Rank::Dist(rank, _) | Rank::Saturate(rank, _) | Rank::Decay(rank, _) => self.rank(rank),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(values: &[&str]) -> std::result::Result<String, Box<str>> {
        let mut seen = Seen::default();
        let path = Path::parse("a").unwrap();
        for (value, id) in values.iter().zip(1..) {
            let json = Json::parse(value.as_bytes()).unwrap();
            seen.add(&path, json, &DocId::U64(id)).map_err(|error| error.message)?;
        }
        Ok(seen.found.map_or_else(String::new, |(found, _)| found.to_string()))
    }

    #[test]
    fn the_type_of_an_attribute_is_one_that_holds_all_its_values() {
        for (values, expect) in [
            (&["1", "-2"][..], "int"),
            (&["1", "9223372036854775808"], "uint"),
            (&["1", "0.5"], "float"),
            (&["\"x\""], "string"),
            (&["[]", "[true]"], "[]bool"),
            (&["[1]", "[2,0.5]"], "[]float"),
            (&[], ""),
        ] {
            assert_eq!(seen(values).as_deref(), Ok(expect), "{values:?}");
        }
        for (values, reason) in [
            (&["1", "\"x\""][..], "int in document 1 and string in 2"),
            (&["1", "[1]"], "int in document 1 and []int in 2"),
            (&["-1", "9223372036854775808"], "int in document 1 and uint in 2"),
            (&["9223372036854775808", "-1"], "uint in document 1 and int in 2"),
            (&["{}"], "found an object"),
            (&["[[1]]"], "found an array"),
        ] {
            let message = seen(values).unwrap_err();
            assert!(message.contains(reason), "{values:?}: {message}");
        }
    }
}
