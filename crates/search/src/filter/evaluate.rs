//! A compiled filter asked of one row.

use std::ops::{Bound, RangeBounds};

use regex::Regex;

use super::pattern;
use crate::schema::{FieldNo, Row};
use crate::value::Value;

/// A filter that has been checked against a schema; made by [`super::Filter::compile`].
///
/// It belongs to that schema and to those which grow from it: fields keep their numbers.
#[derive(Debug, Clone)]
pub struct Compiled {
    pub(super) node: Node,
}

impl Compiled {
    /// Whether the row is one that the filter asks for.
    #[must_use]
    pub fn matches(&self, row: &Row) -> bool {
        self.node.matches(row)
    }
}

/// Where the value of a test comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Id,
    Field(FieldNo),
}

impl Source {
    fn of(self, row: &Row) -> Option<&Value> {
        match self {
            Self::Id => Some(row.id()),
            Self::Field(number) => row.value(number),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    /// The value is missing.
    Missing(Source),
    /// The value is there, and it or one of its elements passes.
    Probe(Source, Probe),
}

impl Node {
    /// Recursion ends at the depth that filters may have.
    fn matches(&self, row: &Row) -> bool {
        match self {
            Self::And(nodes) => nodes.iter().all(|node| node.matches(row)),
            Self::Or(nodes) => nodes.iter().any(|node| node.matches(row)),
            Self::Not(node) => !node.matches(row),
            Self::Missing(source) => source.of(row).is_none(),
            Self::Probe(source, probe) => source.of(row).is_some_and(|value| probe.passes(value)),
        }
    }
}

/// What is asked of a value that is there. Of an array it is asked of each element.
#[derive(Debug, Clone)]
pub(super) enum Probe {
    /// It lies in a range.
    Within((Bound<Value>, Bound<Value>)),
    /// The array as a whole lies in a range.
    Whole((Bound<Value>, Bound<Value>)),
    /// It is one of these, which are sorted.
    OneOf(Vec<Value>),
    /// It matches.
    Matches(Regex),
    /// It is a few characters away.
    Near(Vec<char>, usize),
}

impl Probe {
    fn passes(&self, value: &Value) -> bool {
        let text = |test: &dyn Fn(&str) -> bool| value.text().is_some_and(test);
        match self {
            Self::Within(range) => value.elements().iter().any(|value| is_within(range, value)),
            Self::Whole(range) => range.contains(value),
            Self::OneOf(values) => {
                value.elements().iter().any(|value| values.binary_search(value).is_ok())
            }
            Self::Matches(pattern) => text(&|text| pattern.is_match(text)),
            Self::Near(pattern, edits) => text(&|text| pattern::is_near(pattern, text, *edits)),
        }
    }
}

/// Whether a value lies in a range of its own kind: of an id that may be a number or a string, only numbers
/// are more than a number.
fn is_within(range: &(Bound<Value>, Bound<Value>), value: &Value) -> bool {
    let bound = match range {
        (Bound::Included(bound) | Bound::Excluded(bound), _)
        | (_, Bound::Included(bound) | Bound::Excluded(bound)) => bound,
        (Bound::Unbounded, Bound::Unbounded) => return true,
    };
    bound.is_comparable(value) && range.contains(value)
}
