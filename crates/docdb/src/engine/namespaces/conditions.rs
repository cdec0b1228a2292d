//! Conditions of writes: a filter asked of the document that there is, which may speak of the one that
//! is to come (`{"$ref_new":"a"}`).
//!
//! A comparison with an attribute that the new document lacks does not hold, whatever it is, but for `Eq`
//! and `In`, which then ask whether the attribute is missing; tests whose names begin with `Not` are the
//! opposite of theirs, as everywhere.

use std::sync::Arc;

use base::document::Document;
use base::words::DocId;
use docstore::{Condition, Stored};
use search::error::SearchError;
use search::filter::{Compiled, Filter, Op, Operand, Test};
use search::json::Json;
use search::path::Path;
use search::schema::{Row, Schema, Undeclared};
use search::value::Value;

/// What must hold for the rows of a write.
#[derive(Debug, Clone, PartialEq)]
pub struct RowCondition(Filter);

impl RowCondition {
    /// Reads a condition.
    ///
    /// # Errors
    /// As [`Filter::parse`].
    pub fn parse(json: Json<'_>) -> Result<Self, SearchError> {
        Filter::parse(json).map(Self)
    }

    /// A filter that speaks of no new document.
    #[must_use]
    pub const fn of(filter: Filter) -> Self {
        Self(filter)
    }

    /// The test of one document, under the schema of now.
    pub(super) fn checks(&self, schema: &Schema) -> Result<Checks, SearchError> {
        let reading = schema.with_undeclared(Undeclared::Ignore);
        if !speaks_of_new(&self.0) {
            let compiled = self.0.compile(&reading)?;
            return Ok(Checks(Arc::new(Shared { reading, known: Some(compiled), filter: None })));
        }
        // Whatever is to come, the attributes must be there to be compared.
        missing(&self.0).compile(&reading)?;
        let filter = Some(self.0.clone());
        Ok(Checks(Arc::new(Shared { reading, known: None, filter })))
    }
}

/// A condition that fits a schema, for any number of documents.
#[derive(Debug, Clone)]
pub(super) struct Checks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    reading: Schema,
    /// What is asked, where it is the same of every document.
    known: Option<Compiled>,
    filter: Option<Filter>,
}

impl Checks {
    /// The condition as the document store asks it. Of a document that is not there yet it holds.
    pub(super) fn condition(&self, id: &DocId) -> Condition {
        let (shared, id) = (Arc::clone(&self.0), id.clone());
        Condition::Test(Arc::new(move |found: Option<&Stored>, new: Option<&Document>| {
            found.is_none_or(|found| shared.holds(&id, &found.document, new))
        }))
    }
}

impl Shared {
    fn holds(&self, id: &DocId, found: &Document, new: Option<&Document>) -> bool {
        // A document that does not fit the schema holds nothing that could be compared.
        let Ok(row) = self.reading.row(id, found) else { return false };
        if let Some(known) = &self.known {
            return known.matches(&row);
        }
        let Some(filter) = &self.filter else { return false };
        let new = new.and_then(|new| self.reading.row(id, new).ok());
        let asked = replaced(filter, new.as_ref().map(|row| (row, &self.reading)));
        asked.compile(&self.reading).is_ok_and(|compiled| compiled.matches(&row))
    }
}

fn speaks_of_new(filter: &Filter) -> bool {
    match filter {
        Filter::And(filters) | Filter::Or(filters) => filters.iter().any(speaks_of_new),
        Filter::Not(filter) => speaks_of_new(filter),
        Filter::Test(test) => matches!(test.operand, Operand::RefNew(_)),
    }
}

/// The filter with every comparison with the new document made a test of both its attributes.
fn missing(filter: &Filter) -> Filter {
    match filter {
        Filter::And(filters) => Filter::And(filters.iter().map(missing).collect()),
        Filter::Or(filters) => Filter::Or(filters.iter().map(missing).collect()),
        Filter::Not(inner) => Filter::Not(Box::new(missing(inner))),
        Filter::Test(Test { path, operand: Operand::RefNew(named), .. }) => {
            Filter::And([path, named].map(|path| is_missing(path.clone())).into())
        }
        Filter::Test(test) => Filter::Test(test.clone()),
    }
}

fn is_missing(path: Path) -> Filter {
    Filter::Test(Test { path, op: Op::Eq, operand: Operand::One(None) })
}

/// The filter with values in the place of those of the new document.
fn replaced(filter: &Filter, new: Option<(&Row, &Schema)>) -> Filter {
    let each = |filters: &[Filter]| -> Vec<Filter> {
        filters.iter().map(|filter| replaced(filter, new)).collect()
    };
    match filter {
        Filter::And(filters) => Filter::And(each(filters)),
        Filter::Or(filters) => Filter::Or(each(filters)),
        Filter::Not(inner) => Filter::Not(Box::new(replaced(inner, new))),
        Filter::Test(Test { path, op, operand: Operand::RefNew(named) }) => {
            compared(path, *op, new.and_then(|(row, schema)| value_of(named, row, schema)))
        }
        Filter::Test(test) => Filter::Test(test.clone()),
    }
}

fn value_of(path: &Path, row: &Row, schema: &Schema) -> Option<Value> {
    if path.is_id() {
        return Some(row.id().clone());
    }
    let (number, _) = schema.attribute(path)?;
    row.value(number).cloned()
}

/// The test with a value, or what it comes to without one.
fn compared(path: &Path, op: Op, value: Option<Value>) -> Filter {
    let test = |operand| Filter::Test(Test { path: path.clone(), op, operand });
    let takes_many = matches!(op, Op::In | Op::NotIn | Op::ContainsAny | Op::NotContainsAny);
    match value {
        Some(Value::Array(values)) => {
            test(Operand::Many(values.iter().cloned().map(Some).collect()))
        }
        Some(value) if takes_many => test(Operand::Many(vec![Some(value)])),
        Some(value) => test(Operand::One(Some(value))),
        None if matches!(op, Op::Eq | Op::In) => is_missing(path.clone()),
        None if matches!(op, Op::NotEq | Op::NotIn) => {
            Filter::Not(Box::new(is_missing(path.clone())))
        }
        None if op.name().starts_with("Not") => Filter::And(Vec::new()),
        None => Filter::Or(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(condition: &str, found: &str, new: &str) -> bool {
        let declared = Json::parse(br#"{"n":"int","s":"string","tags":"[]string"}"#).unwrap();
        let schema = Schema::new(Undeclared::Infer).declare(declared, None).unwrap().schema;
        let condition = RowCondition::parse(Json::parse(condition.as_bytes()).unwrap()).unwrap();
        let Condition::Test(test) = condition.checks(&schema).unwrap().condition(&DocId::U64(7))
        else {
            panic!("it is a test")
        };
        let document = |text: &str| Document::parse(text.as_bytes()).unwrap();
        let stored =
            Stored { revision: base::words::Lsn(1), expires_at: None, document: document(found) };
        assert!(test(None, Some(&document(new))), "a document that is new");
        test(Some(&stored), Some(&document(new)))
    }

    #[test]
    fn a_condition_compares_what_there_is_with_what_is_to_come() {
        let older = r#"["n","Lt",{"$ref_new":"n"}]"#;
        for (condition, found, new, expect) in [
            (older, r#"{"n":1}"#, r#"{"n":2}"#, true),
            (older, r#"{"n":2}"#, r#"{"n":2}"#, false),
            (older, r#"{}"#, r#"{"n":2}"#, false),
            (older, r#"{"n":1}"#, r"{}", false),
            (r#"["s","NotEq",{"$ref_new":"s"}]"#, r#"{"s":"a"}"#, r"{}", true),
            (r#"["s","Eq",{"$ref_new":"s"}]"#, r"{}", r"{}", true),
            (r#"["s","In",{"$ref_new":"s"}]"#, r#"{"s":"a"}"#, r#"{"s":"a"}"#, true),
            (
                r#"["tags","ContainsAny",{"$ref_new":"tags"}]"#,
                r#"{"tags":["a"]}"#,
                r#"{"tags":["b","a"]}"#,
                true,
            ),
            (r#"["id","Eq",{"$ref_new":"id"}]"#, r"{}", r"{}", true),
            (
                r#"["Not",["n","Lt",{"$ref_new":"n"}]]"#,
                r#"{"n":2}"#,
                r#"{"n":1,"later":true}"#,
                true,
            ),
            (r#"["s","Eq","a"]"#, r#"{"s":"a","later":true}"#, r"{}", true),
            (r#"["s","Eq",null]"#, r#"{"n":1}"#, r"{}", true),
        ] {
            assert_eq!(holds(condition, found, new), expect, "{condition} {found} {new}");
        }
    }
}
