//! A compiled filter asked of one row.

use std::ops::{Bound, RangeBounds};

use regex::Regex;

use super::pattern;
use crate::schema::{FieldNo, Row};
use crate::text::TextQuery;
use crate::value::Value;

/// A filter that has been checked against a schema; made by [`super::Filter::compile`].
///
/// It belongs to that schema and to those which grow from it: fields keep their numbers.
#[derive(Debug, Clone)]
pub struct Compiled {
    pub(crate) node: Node,
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
pub(crate) enum Source {
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
pub(crate) enum Node {
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    /// The value is missing.
    Missing(Source),
    /// The value is there, and it or one of its elements passes.
    Probe(Source, Probe),
    /// The text has words.
    Words(Box<TextQuery>),
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
            Self::Words(query) => query.matches(&query.features(row.value(query.field()))),
        }
    }
}

/// What is asked of a value that is there. Of an array it is asked of each element.
#[derive(Debug, Clone)]
pub(crate) enum Probe {
    /// It lies in a range.
    Within((Bound<Value>, Bound<Value>)),
    /// The array as a whole is this one.
    Whole(Value),
    /// It is one of these, which are sorted.
    OneOf(Vec<Value>),
    /// It matches, for which it must begin with this.
    Matches(Regex, Box<str>),
    /// It is a few characters away.
    Near(Vec<char>, usize),
}

impl Probe {
    fn passes(&self, value: &Value) -> bool {
        match self {
            Self::Within(range) => value.elements().iter().any(|value| is_within(range, value)),
            Self::Whole(array) => value == array,
            Self::OneOf(values) => {
                value.elements().iter().any(|value| values.binary_search(value).is_ok())
            }
            Self::Matches(..) | Self::Near(..) => {
                value.text().is_some_and(|text| self.passes_text(text))
            }
        }
    }

    /// What every string that passes begins with.
    pub(crate) fn beginning(&self) -> &str {
        if let Self::Matches(_, beginning) = self { beginning } else { "" }
    }

    /// Whether a string passes; of what is asked of other values too, it does not.
    pub(crate) fn passes_text(&self, text: &str) -> bool {
        match self {
            Self::Matches(pattern, _) => pattern.is_match(text),
            Self::Near(pattern, edits) => pattern::is_near(pattern, text, *edits),
            Self::Within(_) | Self::Whole(_) | Self::OneOf(_) => false,
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
