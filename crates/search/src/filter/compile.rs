//! A filter against a schema: every attribute known, every value of its type, every pattern compiled.

use std::ops::Bound;

use uuid::Uuid;

use super::evaluate::{Compiled, Node, Probe, Source};
use super::pattern::{self, Case};
use super::{Filter, Op, Operand, Test};
use crate::error::{Result, SearchError};
use crate::path::Path;
use crate::place::Place;
use crate::schema::{Attribute, Row, Schema};
use crate::value::{DateTime, Scalar, Value};

impl Filter {
    /// Checks the filter against a schema and makes it ready to be asked.
    ///
    /// # Errors
    /// [`SearchError::Query`] with the place: an attribute that the schema does not have or that is not
    /// filterable, an operator or a value that does not fit its type, a pattern that cannot be used,
    /// `$ref_new` outside of a condition, a test of the words of an attribute without `full_text_search`.
    pub fn compile(&self, schema: &Schema) -> Result<Compiled> {
        self.compile_at(schema, &Place::Member("filters"))
    }

    pub(crate) fn compile_at(&self, schema: &Schema, place: &Place<'_>) -> Result<Compiled> {
        Ok(Compiled { node: compile(self, schema, place)? })
    }

    /// The filter with the values of the document that is being written in place of `$ref_new`. A test
    /// of order against a value that is missing is never fulfilled.
    ///
    /// # Errors
    /// [`SearchError::Query`] for an attribute that the schema does not have.
    pub fn bind(&self, schema: &Schema, incoming: &Row) -> Result<Self> {
        let list = |filters: &[Self]| {
            filters.iter().map(|filter| filter.bind(schema, incoming)).collect::<Result<_>>()
        };
        Ok(match self {
            Self::And(filters) => Self::And(list(filters)?),
            Self::Or(filters) => Self::Or(list(filters)?),
            Self::Not(filter) => Self::Not(filter.bind(schema, incoming)?.into()),
            Self::Test(Test { path, op, operand: Operand::RefNew(new) }) => {
                bind_test(path, *op, value_of(schema, new, incoming)?)
            }
            Self::Test(test) => Self::Test(test.clone()),
        })
    }
}

fn value_of(schema: &Schema, path: &Path, row: &Row) -> Result<Option<Value>> {
    if path.is_id() {
        return Ok(Some(row.id().clone()));
    }
    match schema.attribute(path) {
        Some((number, _)) => Ok(row.value(number).cloned()),
        None => Err(unknown(path, &Place::Member("$ref_new"))),
    }
}

fn bind_test(path: &Path, op: Op, value: Option<Value>) -> Filter {
    let is_equality = matches!(op, Op::Eq | Op::NotEq);
    if value.is_none() && !is_equality {
        let never = Filter::Or(Vec::new());
        return if op.positive().is_some() { Filter::Not(never.into()) } else { never };
    }
    let operand = match value {
        Some(Value::Array(values)) => {
            Operand::Many(values.into_vec().into_iter().map(Some).collect())
        }
        value if op.takes_many() => Operand::Many(vec![value]),
        value => Operand::One(value),
    };
    Filter::Test(Test { path: path.clone(), op, operand })
}

fn compile(filter: &Filter, schema: &Schema, place: &Place<'_>) -> Result<Node> {
    let list = |filters: &[Filter]| {
        let inner = place.at(1);
        let compiled = filters.iter().enumerate();
        compiled
            .map(|(index, filter)| compile(filter, schema, &inner.at(index)))
            .collect::<Result<Vec<Node>>>()
    };
    match filter {
        Filter::And(filters) => list(filters).map(Node::And),
        Filter::Or(filters) => list(filters).map(Node::Or),
        Filter::Not(filter) => Ok(Node::Not(compile(filter, schema, &place.at(1))?.into())),
        Filter::Test(test) => compile_test(test, schema, place),
    }
}

fn unknown(path: &Path, place: &Place<'_>) -> SearchError {
    SearchError::query(place, format!("the schema has no attribute `{path}`"))
}

/// An attribute in a test.
struct Subject<'a> {
    source: Source,
    /// None of `id`, which may be a number, a UUID or a string.
    attribute: Option<&'a Attribute>,
    name: String,
}

impl<'a> Subject<'a> {
    fn find(path: &Path, schema: &'a Schema, place: &Place<'_>) -> Result<Self> {
        if path.is_id() {
            return Ok(Self { source: Source::Id, attribute: None, name: "an id".to_owned() });
        }
        let Some((number, attribute)) = schema.attribute(path) else {
            return Err(match schema.field(path) {
                Some(_) => SearchError::query(
                    place,
                    format!("`{path}` is a vector, which no filter tests"),
                ),
                None => unknown(path, place),
            });
        };
        let name = attribute.value_type.to_string();
        Ok(Self { source: Source::Field(number), attribute: Some(attribute), name })
    }

    fn is_array(&self) -> bool {
        self.attribute.is_some_and(|attribute| attribute.value_type.is_array)
    }

    fn is_string(&self) -> bool {
        !self.is_array()
            && self.attribute.is_none_or(|found| found.value_type.scalar == Scalar::String)
    }

    /// A value of the query as one of the attribute.
    fn constant(&self, value: &Value, place: &Place<'_>) -> Result<Value> {
        let fits = match self.attribute.map(|attribute| attribute.value_type.scalar) {
            None => id_constant(value),
            Some(scalar) => constant(value, scalar),
        };
        fits.ok_or_else(|| {
            let mut text = String::new();
            value.write_json(&mut text);
            let reason = format!("{text} cannot be compared with a value of type {}", self.name);
            SearchError::query(place, reason)
        })
    }
}

fn id_constant(value: &Value) -> Option<Value> {
    match value {
        Value::Int(_) | Value::Uint(_) | Value::Float(_) | Value::Uuid(_) => Some(value.clone()),
        Value::String(text) => Some(match Uuid::try_parse(text) {
            // Only the canonical form is a UUID where an id is written.
            Ok(uuid) if uuid.to_string() == **text => Value::Uuid(uuid),
            _ => value.clone(),
        }),
        Value::Bool(_) | Value::DateTime(_) | Value::Array(_) => None,
    }
}

fn constant(value: &Value, scalar: Scalar) -> Option<Value> {
    match (scalar, value) {
        (
            Scalar::Int | Scalar::Uint | Scalar::Float,
            Value::Int(_) | Value::Uint(_) | Value::Float(_),
        )
        | (Scalar::String, Value::String(_))
        | (Scalar::Bool, Value::Bool(_))
        | (Scalar::Uuid, Value::Uuid(_))
        | (Scalar::DateTime, Value::DateTime(_)) => Some(value.clone()),
        (Scalar::Uuid, Value::String(text)) => Uuid::try_parse(text).ok().map(Value::Uuid),
        (Scalar::DateTime, Value::String(text)) => DateTime::parse(text).map(Value::DateTime),
        _ => None,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "of three kinds of patterns, the third")]
fn compile_test(test: &Test, schema: &Schema, place: &Place<'_>) -> Result<Node> {
    if let Some(op) = test.op.positive() {
        let positive = Test { path: test.path.clone(), op, operand: test.operand.clone() };
        return Ok(Node::Not(compile_test(&positive, schema, place)?.into()));
    }
    let subject = Subject::find(&test.path, schema, &place.at(0))?;
    if test.op.takes_tokens() {
        return tokens(test, &subject, schema, place);
    }
    if subject.attribute.is_some_and(|attribute| !attribute.filterable) {
        let reason = format!("`{}` is not filterable; make it so in the schema", test.path);
        return Err(SearchError::query(place.at(0), reason));
    }
    let at = place.at(2);
    let probe = match (&test.operand, test.op) {
        (Operand::RefNew(_), _) => {
            let reason = "$ref_new is for conditions of writes; give a value";
            return Err(SearchError::query(at, reason));
        }
        (Operand::Fuzzy { text, edits }, _) => {
            require(subject.is_string(), test.op, &subject, "a string", place)?;
            Probe::Near(text.chars().collect(), usize::from(*edits))
        }
        (Operand::One(Some(Value::String(text))), Op::Glob | Op::IGlob | Op::Regex) => {
            require(subject.is_string(), test.op, &subject, "a string", place)?;
            let compiled = match test.op {
                Op::Glob => pattern::glob(text, Case::Sensitive),
                Op::IGlob => pattern::glob(text, Case::Insensitive),
                _ => pattern::regex(text, Case::Sensitive),
            };
            let compiled = compiled.map_err(|reason| SearchError::query(at, reason))?;
            let beginning =
                if test.op == Op::Glob { pattern::beginning(text) } else { Box::default() };
            Probe::Matches(compiled, beginning)
        }
        (_, Op::Glob | Op::IGlob | Op::Regex) => {
            return Err(SearchError::query(at, "a pattern is a string"));
        }
        (Operand::One(None), Op::Eq) => return Ok(Node::Missing(subject.source)),
        (Operand::Many(values), Op::Eq) if values.is_empty() && subject.is_array() => {
            return Ok(Node::Missing(subject.source));
        }
        (Operand::One(Some(value)), op) => one(value, op, &subject, place)?,
        (Operand::Many(values), op) => return many(values, op, &subject, place),
        (Operand::One(None), op) => {
            let reason = format!(
                "null cannot be compared by {}; [\"{}\",\"Eq\",null] is a missing value",
                op.name(),
                test.path
            );
            return Err(SearchError::query(at, reason));
        }
        (Operand::Tokens { .. }, _) => return tokens(test, &subject, schema, place),
    };
    Ok(Node::Probe(subject.source, probe))
}

/// A test of the words of a text.
fn tokens(test: &Test, subject: &Subject<'_>, schema: &Schema, place: &Place<'_>) -> Result<Node> {
    if subject.attribute.is_none_or(|attribute| attribute.full_text.is_none()) {
        let reason = format!("`{}` has no full_text_search; add it to the schema", test.path);
        return Err(SearchError::query(place.at(0), reason));
    }
    let Some(text) = test.text_match() else {
        let is_reference = matches!(test.operand, Operand::RefNew(_));
        let reason = if is_reference {
            "$ref_new is for conditions of writes; give a string"
        } else {
            "words are a string, or an array of them"
        };
        return Err(SearchError::query(place.at(2), reason));
    };
    text.compile_at(schema, place).map(|query| Node::Words(query.into()))
}

fn require(
    holds: bool,
    op: Op,
    subject: &Subject<'_>,
    wanted: &str,
    place: &Place<'_>,
) -> Result<()> {
    if holds {
        return Ok(());
    }
    let reason = format!("{} tests {wanted}; the attribute is {}", op.name(), subject.name);
    Err(SearchError::query(place.at(1), reason))
}

/// A test against one value.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is left are tests of equality")]
fn one(value: &Value, op: Op, subject: &Subject<'_>, place: &Place<'_>) -> Result<Probe> {
    if op.takes_many() {
        let reason = format!("{} takes an array of values", op.name());
        return Err(SearchError::query(place.at(2), reason));
    }
    let of_elements = matches!(op, Op::Contains | Op::AnyLt | Op::AnyLte | Op::AnyGt | Op::AnyGte);
    if of_elements {
        require(subject.is_array(), op, subject, "an array", place)?;
    } else {
        let wanted = "one value (Contains and AnyLt test the elements of an array)";
        require(!subject.is_array(), op, subject, wanted, place)?;
    }
    let value = subject.constant(value, &place.at(2))?;
    let range = match op {
        Op::Lt | Op::AnyLt => (Bound::Unbounded, Bound::Excluded(value)),
        Op::Lte | Op::AnyLte => (Bound::Unbounded, Bound::Included(value)),
        Op::Gt | Op::AnyGt => (Bound::Excluded(value), Bound::Unbounded),
        Op::Gte | Op::AnyGte => (Bound::Included(value), Bound::Unbounded),
        _ => (Bound::Included(value.clone()), Bound::Included(value)),
    };
    Ok(Probe::Within(range))
}

/// A test against several values.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others take one value")]
fn many(
    values: &[Option<Value>],
    op: Op,
    subject: &Subject<'_>,
    place: &Place<'_>,
) -> Result<Node> {
    let (at, source) = (place.at(2), subject.source);
    let mut found = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        if let Some(value) = value {
            found.push(subject.constant(value, &at.at(index))?);
        }
    }
    let has_null = found.len() < values.len();
    let in_array = |what: &str| {
        let reason = format!("null is no element of an array; {what}");
        Err(SearchError::query(at, reason))
    };
    match op {
        Op::Eq => {
            require(subject.is_array(), op, subject, "one value; In tests several", place)?;
            if has_null {
                return in_array("compare with values");
            }
            return Ok(Node::Probe(source, Probe::Whole(Value::Array(found.into()))));
        }
        Op::In => {
            let wanted = "one value (ContainsAny tests the elements of an array)";
            require(!subject.is_array(), op, subject, wanted, place)?;
        }
        Op::ContainsAny => {
            require(subject.is_array(), op, subject, "an array", place)?;
            if has_null {
                return in_array("test with Eq null whether the array is missing");
            }
        }
        _ => {
            let reason = format!("{} takes one value, not an array", op.name());
            return Err(SearchError::query(at, reason));
        }
    }
    found.sort_unstable();
    found.dedup();
    let probe = Node::Probe(source, Probe::OneOf(found));
    Ok(if has_null { Node::Or(vec![Node::Missing(source), probe]) } else { probe })
}
